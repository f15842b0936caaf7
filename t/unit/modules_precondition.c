/* Conditional requests (RFC 9110 13), as nginx decides and in the strict order of 13.2.2. */
#include "lib/fields.h"
#include "lib/unit.h"

#include "../../modules/http/filters/precondition.h"

#define OLD "Fri, 15 Jan 2027 07:00:00 GMT"
#define SAME "Fri, 15 Jan 2027 08:00:00 GMT"
#define NEW "Fri, 15 Jan 2027 09:00:00 GMT"

/* For an ETag "a" and a Last-Modified of 08:00. */
static const struct row {
    const char *asked;
    unsigned nginx, strict;    /* 200, 304, 412 */
} rows[] = {
    { "", 200, 200 },
    { "If-None-Match: \"a\"", 304, 304 },
    { "If-None-Match: \"b\", W/\"a\"", 304, 304 },
    { "If-None-Match: *", 304, 304 },
    { "If-None-Match: \"b\"", 200, 200 },
    { "If-Modified-Since: " SAME, 304, 304 },
    { "If-Modified-Since: " OLD, 200, 200 },
    { "If-Modified-Since: " NEW, 200, 200 }, /* exact; see below */
    { "If-Modified-Since: foo", 200, 200 },
    { "If-None-Match: \"a\"\nIf-Modified-Since: " OLD, 200, 304 },
    { "If-None-Match: \"b\"\nIf-Modified-Since: " SAME, 200, 200 },
    { "If-None-Match: \"a\"\nIf-Modified-Since: " SAME, 304, 304 },
    { "If-Match: \"a\"", 200, 200 },
    { "If-Match: \"b\"", 412, 412 },
    { "If-Match: W/\"a\"", 412, 412 },
    { "If-Match: *", 200, 200 },
    { "If-Unmodified-Since: " SAME, 200, 200 },
    { "If-Unmodified-Since: " NEW, 200, 200 },
    { "If-Unmodified-Since: " OLD, 412, 412 },
    { "If-Unmodified-Since: foo", 412, 412 },
    { "If-Match: \"a\"\nIf-Unmodified-Since: " OLD, 412, 200 },
    { "If-Match: \"b\"\nIf-Unmodified-Since: " SAME, 412, 412 },
    { "If-Match: \"a\"\nIf-None-Match: \"a\"", 304, 304 },
    { "If-Match: \"b\"\nIf-None-Match: \"a\"", 412, 412 },
};

static unsigned status_of(const char *asked, const struct wr_validators *have, enum wr_since how,
                          bool strict)
{
    static const unsigned status[] = { [WR_PRECONDITION_HOLDS] = 200,
                                       [WR_PRECONDITION_UNCHANGED] = 304,
                                       [WR_PRECONDITION_FAILED] = 412 };
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_fields f = fields_of(pool, asked);
    enum wr_precondition p = wr_precondition(&f, have, how, strict);

    wr_pool_free(pool);
    return status[p];
}

START_TEST(conditions)
{
    const struct wr_validators have = { WR_STR("\"a\""), 1800000000 };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        unsigned nginx = status_of(rows[i].asked, &have, WR_SINCE_EXACT, false);
        unsigned strict = status_of(rows[i].asked, &have, WR_SINCE_EXACT, true);

        ck_assert_msg(nginx == rows[i].nginx && strict == rows[i].strict, "%s: %u, %u",
                      rows[i].asked, nginx, strict);
    }
    ck_assert_uint_eq(status_of("If-Modified-Since: " NEW, &have, WR_SINCE_BEFORE, true), 304);
    ck_assert_uint_eq(status_of("If-Modified-Since: " OLD, &have, WR_SINCE_BEFORE, true), 200);
    ck_assert_uint_eq(status_of("If-Modified-Since: " SAME, &have, WR_SINCE_OFF, true), 200);
}
END_TEST

START_TEST(without_validators)
{
    const struct wr_validators none = { { NULL, 0 }, -1 };

    ck_assert_uint_eq(status_of("If-Modified-Since: " SAME, &none, WR_SINCE_BEFORE, true), 200);
    ck_assert_uint_eq(status_of("If-None-Match: \"a\"", &none, WR_SINCE_EXACT, true), 200);
    ck_assert_uint_eq(status_of("If-None-Match: *", &none, WR_SINCE_EXACT, true), 304);
    ck_assert_uint_eq(status_of("If-Match: \"a\"", &none, WR_SINCE_EXACT, true), 412);
    ck_assert_uint_eq(status_of("If-Unmodified-Since: " NEW, &none, WR_SINCE_EXACT, true), 412);
}
END_TEST

static bool may_part(const char *asked, const char *etag, time_t modified)
{
    const struct wr_validators have = { wr_str_c(etag), modified };
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_fields f = fields_of(pool, asked);
    bool may = wr_if_range_holds(&f, &have);

    wr_pool_free(pool);
    return may;
}

START_TEST(if_range)
{
    ck_assert(may_part("", NULL, -1));
    ck_assert(may_part("If-Range: \"a\"", "\"a\"", -1));
    ck_assert(!may_part("If-Range: \"b\"", "\"a\"", -1));
    ck_assert(!may_part("If-Range: W/\"a\"", "W/\"a\"", -1)); /* 13.1.5: strong comparison */
    ck_assert(!may_part("If-Range: \"a\"", NULL, 1800000000));
    ck_assert(may_part("If-Range: " SAME, "\"a\"", 1800000000));
    ck_assert(!may_part("If-Range: " NEW, "\"a\"", 1800000000));
    ck_assert(!may_part("If-Range: " SAME, "\"a\"", -1));
    ck_assert(!may_part("If-Range: foo", "\"a\"", 1800000000));
    ck_assert(!may_part("If-Range:", "\"a\"", 1800000000));
}
END_TEST

UNIT_MAIN("precondition", conditions, without_validators, if_range)
