/* Patterns: matches and captures, and a bound on the time for any subject. */
#include "lib/unit.h"

static struct wr_pool *pool;

static struct wr_regex *compile(const char *pattern, bool fold)
{
    struct wr_regex_error err;
    struct wr_regex *re;

    if (pool == NULL)
        pool = wr_pool_new(0);
    re = wr_regex_compile(pool, wr_str_c(pattern), fold, &err);
    ck_assert_msg(re != NULL, "%s: %s", pattern, err.text);
    return re;
}

static int match(const char *pattern, const char *subject)
{
    int found = wr_regex_match(compile(pattern, false), wr_str_c(subject), NULL, 0);

    wr_pool_free(pool);
    pool = NULL;
    return found;
}

START_TEST(matches)
{
    ck_assert_int_eq(match("^/api/v[0-9]+", "/api/v12"), 1);
    ck_assert_int_eq(match("^/api/v[0-9]+", "/api/vx"), 0);
    ck_assert_int_eq(match("", ""), 1);
    ck_assert_int_eq(match("A", "a"), 0);
    ck_assert_int_eq(wr_regex_match(compile("A", true), WR_STR("a"), NULL, 0), 1);
    ck_assert_int_eq(wr_regex_match(compile("^$", true), wr_str_of(NULL, 0), NULL, 0), 1);
    wr_pool_free(pool);
}
END_TEST

START_TEST(captures)
{
    struct wr_regex *re = compile("^(?<user>a)(b)?(?<rest>c*)", false);
    struct wr_str g[5];

    ck_assert_uint_eq(wr_regex_captures(re), 3);
    ck_view(wr_regex_name(re, 1), "user");
    ck_view(wr_regex_name(re, 2), "");
    ck_view(wr_regex_name(re, 3), "rest");
    ck_view(wr_regex_pattern(re), "^(?<user>a)(b)?(?<rest>c*)");
    ck_assert_int_eq(wr_regex_match(re, WR_STR("acc."), g, 5), 1);
    ck_view(g[0], "acc");
    ck_view(g[1], "a");
    ck_assert_ptr_null(g[2].p);
    ck_view(g[3], "cc");
    ck_assert_ptr_null(g[4].p);
    ck_assert_int_eq(wr_regex_match(re, WR_STR("ab"), g, 2), 1);
    ck_view(g[1], "a");
    wr_pool_free(pool);
}
END_TEST

START_TEST(many_groups)
{
    char pattern[1024] = "", subject[128];
    struct wr_str g[101];

    memset(subject, 'x', sizeof(subject));
    for (unsigned i = 0; i < 100; i++)
        memcpy(pattern + 3 * i, "(.)", 4);
    ck_assert_int_eq(wr_regex_match(compile(pattern, false), wr_str_of(subject, 100), g, 101), 1);
    ck_assert_ptr_eq(g[100].p, subject + 99);
    ck_assert_int_eq(wr_regex_match(compile("(.)", false), WR_STR("y"), g, 101), 1);
    ck_view(g[1], "y");
    ck_assert_ptr_null(g[100].p);
    wr_pool_free(pool);
}
END_TEST

START_TEST(start_behind_the_end)
{
    struct wr_str g[1];

    /* Newer engines refuse \K in a lookahead; older ones report a start behind the end of the
     * match. */
    struct wr_regex_error err;
    struct wr_regex *re;

    pool = wr_pool_new(0);
    re = wr_regex_compile(pool, WR_STR("(?=ab\\K)"), false, &err);
    if (re != NULL && wr_regex_match(re, WR_STR("xabx"), g, 1) == 1)
        ck_assert_uint_eq(g[0].n, 0);
    wr_pool_free(pool);
}
END_TEST

START_TEST(reports_errors)
{
    struct wr_regex_error err;

    pool = wr_pool_new(0);
    ck_assert_ptr_null(wr_regex_compile(pool, WR_STR("a(b"), false, &err));
    ck_assert_uint_eq(err.offset, 3);
    ck_assert_uint_gt(strlen(err.text), 5);
    ck_assert_ptr_null(wr_regex_compile(pool, WR_STR("(*UTF8)a(b"), false, &err));
    ck_assert_uint_eq(err.offset, 10);
    wr_pool_free(pool);
}
END_TEST

START_TEST(utf_only_on_demand)
{
    ck_assert_int_eq(match("^.$", "\xc3\xa4"), 0);
    ck_assert_int_eq(match("(*UTF8)^.$", "\xc3\xa4"), 1);
    ck_assert_int_eq(match("(*UTF)^.$", "\xc3\xa4"), 1);
    ck_assert_int_eq(match("(*UTF8)^.$", "\xc3"), 0);
    ck_assert_int_eq(match("^.$", "\xc3"), 1);
}
END_TEST

START_TEST(hostile_subjects_end)
{
    struct wr_regex *re = compile("^(a+)+$", false);
    char subject[4096];
    int found;

    memset(subject, 'a', sizeof(subject));
    subject[sizeof(subject) - 1] = '!';
    wr_clock_update();
    uint64_t before = wr_now();
    found = wr_regex_match(re, wr_str_of(subject, sizeof(subject)), NULL, 0);
    wr_clock_update();
    ck_assert_int_eq(found, -1);
    ck_assert_uint_lt(wr_now() - before, 5000);
    wr_pool_free(pool);
}
END_TEST

UNIT_MAIN("base/regex", matches, captures, many_groups, start_behind_the_end, reports_errors,
          utf_only_on_demand, hostile_subjects_end)
