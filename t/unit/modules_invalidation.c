/* Tests what unsafe methods make void (RFC 9111 4.4). */
#include "lib/unit.h"

#include "../../modules/http/cache/invalidation.h"

START_TEST(methods)
{
    static const struct {
        const char *method;
        unsigned status;
        bool does;
    } rows[] = {
        { "GET", 200, false }, { "HEAD", 200, false }, { "OPTIONS", 200, false },
        { "TRACE", 200, false }, { "PROPFIND", 207, false }, { "POST", 200, true },
        { "PUT", 201, true }, { "DELETE", 204, true }, { "PATCH", 200, true },
        { "M-SEARCH", 200, true }, { "get", 200, true }, { "FOO", 302, true },
        { "POST", 303, true }, { "POST", 399, true }, { "POST", 400, false },
        { "POST", 500, false }, { "POST", 199, false }, { "POST", 0, false },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++)
        ck_assert_msg(wr_invalidates(wr_str_c(rows[i].method), rows[i].status) == rows[i].does,
                      "%s %u", rows[i].method, rows[i].status);
}
END_TEST

UNIT_MAIN("invalidation", methods)
