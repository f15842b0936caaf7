/* The keys of map: exact words, wildcards at both ends of host names, their order. */
#include "lib/unit.h"

#include "../../modules/shared/map_table.h"

static char *const v1 = "1", *const v2 = "2", *const v3 = "3";

static void check_value(const struct wr_map_table *t, const char *key, const char *want)
{
    const char *got = wr_map_find(t, wr_str_c(key));

    ck_assert_msg(got == want, "%s: %s, not %s", key, got != NULL ? got : "nothing",
                  want != NULL ? want : "nothing");
}

static enum wr_map_put put_key(struct wr_map_table *t, const char *key, bool hosts, void *value)
{
    return wr_map_put(t, wr_str_c(key), hosts, value);
}

START_TEST(words_fold_case)
{
    struct wr_map_table t = { .pool = wr_pool_new(0) };

    check_value(&t, "a", NULL);
    ck_assert_int_eq(put_key(&t, "Abc", false, v1), WR_MAP_PUT);
    ck_assert_int_eq(put_key(&t, "*.x", false, v2), WR_MAP_PUT);
    ck_assert_int_eq(put_key(&t, "", false, v3), WR_MAP_PUT);
    ck_assert_int_eq(put_key(&t, "aBC", false, v2), WR_MAP_TWICE);
    check_value(&t, "ABC", v1);
    check_value(&t, "ab", NULL);
    check_value(&t, "*.X", v2);
    check_value(&t, "a.x", NULL);
    check_value(&t, "", v3);
    wr_pool_free(t.pool);
}
END_TEST

START_TEST(host_names)
{
    struct wr_map_table t = { .pool = wr_pool_new(0) };

    ck_assert_int_eq(put_key(&t, "*.example.com", true, v1), WR_MAP_PUT);
    ck_assert_int_eq(put_key(&t, "*.b.example.com", true, v2), WR_MAP_PUT);
    ck_assert_int_eq(put_key(&t, "c.example.com", true, v3), WR_MAP_PUT);
    ck_assert_int_eq(put_key(&t, ".dot.org", true, v1), WR_MAP_PUT);
    ck_assert_int_eq(put_key(&t, "a.*", true, v2), WR_MAP_PUT);
    ck_assert_int_eq(put_key(&t, "a.example.*", true, v3), WR_MAP_PUT);
    check_value(&t, "example.com", NULL);
    check_value(&t, "x.example.com", v1);
    check_value(&t, "y.x.EXAMPLE.com", v1);
    check_value(&t, "x.b.example.com", v2);
    check_value(&t, "b.example.com", v1);
    check_value(&t, "c.example.com", v3);
    check_value(&t, "dot.org", v1);
    check_value(&t, "x.dot.org", v1);
    check_value(&t, "xdot.org", NULL);
    check_value(&t, "a.example.com", v1);
    check_value(&t, "a.example.org", v3);
    check_value(&t, "a.example", v2);
    check_value(&t, "a.b.c.d", v2);
    check_value(&t, "a", NULL);
    check_value(&t, ".", NULL);
    check_value(&t, "...", NULL);
    check_value(&t, "", NULL);
    wr_pool_free(t.pool);
}
END_TEST

START_TEST(host_conflicts)
{
    struct wr_map_table t = { .pool = wr_pool_new(0) };

    ck_assert_int_eq(put_key(&t, ".a.b", true, v1), WR_MAP_PUT);
    ck_assert_int_eq(put_key(&t, "*.a.b", true, v2), WR_MAP_TWICE);
    ck_assert_int_eq(put_key(&t, "a.b", true, v2), WR_MAP_TWICE);
    ck_assert_int_eq(put_key(&t, "*.c", true, v1), WR_MAP_PUT);
    ck_assert_int_eq(put_key(&t, ".c", true, v1), WR_MAP_TWICE);
    ck_assert_int_eq(put_key(&t, "d.*", true, v1), WR_MAP_PUT);
    ck_assert_int_eq(put_key(&t, "D.*", true, v1), WR_MAP_TWICE);
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
        ck_assert_msg(put_key(&t, wrong[i], true, v1) == WR_MAP_INVALID, "%s", wrong[i]);
    wr_pool_free(t.pool);
}
END_TEST

UNIT_MAIN("map", words_fold_case, host_names, host_conflicts, no_host_names)
