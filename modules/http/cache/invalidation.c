/* invalidation: see invalidation.h. */
#include "invalidation.h"

bool wr_invalidates(struct wr_str method, unsigned status)
{
    static const struct wr_str safe[] = { /* of the registry of RFC 9110 16.1 */
        WR_STR_INIT("GET"), WR_STR_INIT("HEAD"), WR_STR_INIT("OPTIONS"), WR_STR_INIT("TRACE"),
        WR_STR_INIT("PROPFIND"), WR_STR_INIT("REPORT"), WR_STR_INIT("SEARCH"),
        WR_STR_INIT("QUERY"), WR_STR_INIT("PRI"),
    };

    if (status < 200 || status > 399)
        return false;
    for (size_t i = 0; i < WR_COUNT(safe); i++)
        if (wr_str_eq(safe[i], method)) /* case-sensitive: RFC 9110 9.1 */
            return false;
    return true;
}
