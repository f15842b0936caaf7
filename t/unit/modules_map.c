/* The keys of map: exact words, wildcards at both ends of host names, their order. */
#include "lib/unit.h"

#include "../../modules/shared/map_table.h"

static char *const v1 = "1", *const v2 = "2", *const v3 = "3";

static void expect(const struct wr_map_table *t, const char *key, const char *want)
{
    const char *got = wr_map_find(t, wr_str_c(key));

    ck_assert_msg(got == want, "%s: %s, not %s", key, got != NULL ? got : "nothing",
                  want != NULL ? want : "nothing");
}

static enum wr_map_put put(struct wr_map_table *t, const char *key, bool hosts, void *value)
{
    return wr_map_put(t, wr_str_c(key), hosts, value);
}

START_TEST(words_fold_case)
{
    struct wr_map_table t = { .pool = wr_pool_new(0) };

    expect(&t, "a", NULL);
    ck_assert_int_eq(put(&t, "Abc", false, v1), WR_MAP_PUT);
    ck_assert_int_eq(put(&t, "*.x", false, v2), WR_MAP_PUT);
    ck_assert_int_eq(put(&t, "", false, v3), WR_MAP_PUT);
    ck_assert_int_eq(put(&t, "aBC", false, v2), WR_MAP_TWICE);
    expect(&t, "ABC", v1);
    expect(&t, "ab", NULL);
    expect(&t, "*.X", v2);
    expect(&t, "a.x", NULL);
    expect(&t, "", v3);
    wr_pool_free(t.pool);
}
END_TEST

START_TEST(host_names)
{
    struct wr_map_table t = { .pool = wr_pool_new(0) };

    ck_assert_int_eq(put(&t, "*.example.com", true, v1), WR_MAP_PUT);
    ck_assert_int_eq(put(&t, "*.b.example.com", true, v2), WR_MAP_PUT);
    ck_assert_int_eq(put(&t, "c.example.com", true, v3), WR_MAP_PUT);
    ck_assert_int_eq(put(&t, ".dot.org", true, v1), WR_MAP_PUT);
    ck_assert_int_eq(put(&t, "a.*", true, v2), WR_MAP_PUT);
    ck_assert_int_eq(put(&t, "a.example.*", true, v3), WR_MAP_PUT);
    expect(&t, "example.com", NULL);
    expect(&t, "x.example.com", v1);
    expect(&t, "y.x.EXAMPLE.com", v1);
    expect(&t, "x.b.example.com", v2);
    expect(&t, "b.example.com", v1);
    expect(&t, "c.example.com", v3);
    expect(&t, "dot.org", v1);
    expect(&t, "x.dot.org", v1);
    expect(&t, "xdot.org", NULL);
    expect(&t, "a.example.com", v1);
    expect(&t, "a.example.org", v3);
    expect(&t, "a.example", v2);
    expect(&t, "a.b.c.d", v2);
    expect(&t, "a", NULL);
    expect(&t, ".", NULL);
    expect(&t, "...", NULL);
    expect(&t, "", NULL);
    wr_pool_free(t.pool);
}
END_TEST

START_TEST(host_conflicts)
{
    struct wr_map_table t = { .pool = wr_pool_new(0) };

    ck_assert_int_eq(put(&t, ".a.b", true, v1), WR_MAP_PUT);
    ck_assert_int_eq(put(&t, "*.a.b", true, v2), WR_MAP_TWICE);
    ck_assert_int_eq(put(&t, "a.b", true, v2), WR_MAP_TWICE);
    ck_assert_int_eq(put(&t, "*.c", true, v1), WR_MAP_PUT);
    ck_assert_int_eq(put(&t, ".c", true, v1), WR_MAP_TWICE);
    ck_assert_int_eq(put(&t, "d.*", true, v1), WR_MAP_PUT);
    ck_assert_int_eq(put(&t, "D.*", true, v1), WR_MAP_TWICE);
    wr_pool_free(t.pool);
}
END_TEST

START_TEST(no_host_names)
{
    static const char *const wrong[] = {
        "*", "*.", ".*", "*.*", "*.a.*", "..a", "a..b", "*a", "a*", "a*.b", "a.*.b", "*..a",
    };
    struct wr_map_table t = { .pool = wr_pool_new(0) };

    for (size_t i = 0; i < WR_COUNT(wrong); i++)
        ck_assert_msg(put(&t, wrong[i], true, v1) == WR_MAP_INVALID, "%s", wrong[i]);
    wr_pool_free(t.pool);
}
END_TEST

UNIT_MAIN("map", words_fold_case, host_names, host_conflicts, no_host_names)
