/* Cache-Status (RFC 9211). */
#include "lib/unit.h"

#include "../../modules/http/cache/cache_status.h"

START_TEST(texts)
{
    static const struct {
        struct wr_cache_status s;
        const char *out;
    } rows[] = {
        { { .cache = WR_STR_INIT("weir") }, "weir; hit" },
        { { .cache = WR_STR_INIT("a.example:80") }, "a.example:80; hit" },
        { { .cache = WR_STR_INIT("my cache") }, "\"my cache\"; hit" },
        { { .cache = WR_STR_INIT("1a") }, "\"1a\"; hit" },
        { { .cache = WR_STR_INIT("a\"b\\c") }, "\"a\\\"b\\\\c\"; hit" },
        { { .cache = WR_STR_INIT("") }, "weir; hit" },
        { { .cache = WR_STR_INIT("\xc3\xa4") }, "weir; hit" },
        { { .cache = WR_STR_INIT("weir"), .has_ttl = true, .ttl = 376 }, "weir; hit; ttl=376" },
        { { .cache = WR_STR_INIT("weir"), .has_ttl = true, .ttl = -412 }, "weir; hit; ttl=-412" },
        /* for a hit these have no meaning */
        { { .cache = WR_STR_INIT("weir"), .stored = true, .collapsed = true, .fwd_status = 304 },
          "weir; hit" },
        { { .cache = WR_STR_INIT("weir"), .fwd = WR_FWD_URI_MISS, .stored = true,
            .has_ttl = true }, "weir; fwd=uri-miss; stored; ttl=0" },
        { { .cache = WR_STR_INIT("weir"), .fwd = WR_FWD_STALE, .fwd_status = 304,
            .collapsed = true }, "weir; fwd=stale; fwd-status=304; collapsed" },
        { { .cache = WR_STR_INIT("weir"), .fwd = WR_FWD_BYPASS }, "weir; fwd=bypass" },
        { { .cache = WR_STR_INIT("weir"), .fwd = WR_FWD_METHOD }, "weir; fwd=method" },
        { { .cache = WR_STR_INIT("weir"), .fwd = WR_FWD_VARY_MISS }, "weir; fwd=vary-miss" },
        { { .cache = WR_STR_INIT("weir"), .fwd = WR_FWD_MISS }, "weir; fwd=miss" },
        { { .cache = WR_STR_INIT("weir"), .fwd = WR_FWD_REQUEST }, "weir; fwd=request" },
        { { .cache = WR_STR_INIT("weir"), .fwd = WR_FWD_URI_MISS, .detail = "Set-Cookie" },
          "weir; fwd=uri-miss; detail=\"Set-Cookie\"" },
        { { .cache = WR_STR_INIT("weir"), .fwd = WR_FWD_STALE, .detail = "no time",
            .stored = true }, "weir; fwd=stale; stored" },
        { { .cache = WR_STR_INIT("weir"), .detail = "no time" }, "weir; hit" },
        { { .cache = WR_STR_INIT("weir"), .fwd = WR_FWD_NOWHERE }, "weir; detail=only-if-cached" },
        { { .cache = WR_STR_INIT("weir"), .key = WR_STR_INIT("h/\"x\"\\") },
          "weir; hit; key=\"h/\\\"x\\\"\\\\\"" },
        { { .cache = WR_STR_INIT("weir"), .key = WR_STR_INIT("h/\r\nx") }, "weir; hit" },
        { { .cache = WR_STR_INIT("weir"), .key = WR_STR_INIT("") }, "weir; hit; key=\"\"" },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        char buffer[256];
        struct wr_text t = wr_text_on(buffer, sizeof(buffer));

        ck_assert(wr_cache_status_write(&t, &rows[i].s));
        ck_view(wr_text_view(&t), rows[i].out);
    }
}
END_TEST

START_TEST(too_long)
{
    const struct wr_cache_status s = { .cache = WR_STR("weir"), .key = WR_STR("0123456789") };
    char buffer[20];
    struct wr_text t = wr_text_on(buffer, sizeof(buffer));

    ck_assert(!wr_cache_status_write(&t, &s));
}
END_TEST

UNIT_MAIN("cache_status", texts, too_long)
