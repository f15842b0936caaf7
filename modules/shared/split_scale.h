/* split_scale: the arithmetic of split_clients, pure: percents to shares of a 32-bit hash. */
#ifndef WR_SPLIT_SCALE_H
#define WR_SPLIT_SCALE_H

#include "base/base.h"

#define WR_SPLIT_WHOLE 10000 /* percents are counted in hundredths */

/* "51.2%" gives 5120; at most two digits after the point. False: not a percentage, or zero. */
bool wr_split_percent(struct wr_str s, uint32_t *out) WR_CHECKED;
/* The number of hash values (of 2^32) in a share of this many hundredths of a percent. */
uint32_t wr_split_scale(uint32_t hundredths);

#endif
