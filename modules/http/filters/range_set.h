/* range_set: the value of a Range field (RFC 9110 14.1.1) against a length. Pure but for the
 * pool. */
#ifndef WR_RANGE_SET_H
#define WR_RANGE_SET_H

#include "base/base.h"

struct wr_range {
    uint64_t from, to;         /* to is behind the last byte */
};
struct wr_ranges {
    WR_VEC(struct wr_range) list; /* not empty each, in the client's order */
    uint64_t total;            /* bytes of all of them */
    bool ascending;            /* each begins where the one before ended, or later */
};
enum wr_range_result {
    WR_RANGE_OK,
    WR_RANGE_IGNORED,          /* no bytes=, too many, or more than the whole */
    WR_RANGE_NONE              /* not well-formed, or nothing of it is there: 416 */
};
/* length: of the whole. At most max ranges, the unsatisfiable ones not counted. */
enum wr_range_result wr_ranges_parse(struct wr_str value, uint64_t length, uint32_t max,
                                     struct wr_pool *pool, struct wr_ranges *out) WR_CHECKED;

#endif
