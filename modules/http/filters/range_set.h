/* range_set: the value of a Range field (RFC 9110 14.1.1) against a length. Pure but for the
 * pool. */
#ifndef WR_RANGE_SET_H
#define WR_RANGE_SET_H

#include "base/base.h"

struct wr_range {
    uint64_t from, to;         /* to is one past the last byte */
};
struct wr_ranges {
    WR_VEC(struct wr_range) list; /* none is empty; in the client's order */
    uint64_t total;            /* bytes of all ranges */
    bool ascending;            /* they are in ascending order and do not overlap */
};
enum wr_range_result {
    WR_RANGE_OK,
    WR_RANGE_IGNORED,          /* no bytes=, too many, or more than the whole */
    WR_RANGE_NONE              /* malformed, or beyond the end: 416 */
};
/* length: of the whole body. At most max ranges, not counting unsatisfiable ones. */
enum wr_range_result wr_ranges_parse(struct wr_str value, uint64_t length, uint32_t max,
                                     struct wr_pool *pool, struct wr_ranges *out) WR_CHECKED;

#endif
