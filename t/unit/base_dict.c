/* Names to pointers. */
#include "lib/unit.h"

START_TEST(adds_and_gets)
{
    struct wr_pool *p = wr_pool_new(0);
    struct wr_dict *d = wr_dict_new(p, false);
    int values[2];

    ck_assert_ptr_null(wr_dict_get(d, WR_STR("host")));
    ck_assert_ptr_null(wr_dict_add(d, WR_STR("host"), &values[0]));
    ck_assert_ptr_eq(wr_dict_add(d, WR_STR("host"), &values[1]), &values[0]);
    ck_assert_ptr_eq(wr_dict_get(d, WR_STR("host")), &values[0]);
    ck_assert_ptr_null(wr_dict_get(d, WR_STR("Host")));
    ck_assert_ptr_null(wr_dict_add(d, WR_STR("Host"), &values[1]));
    ck_assert_ptr_null(wr_dict_add(d, WR_STR(""), &values[1]));
    ck_assert_ptr_eq(wr_dict_get(d, wr_str_of(NULL, 0)), &values[1]);
    wr_pool_free(p);
}
END_TEST

START_TEST(folds_case)
{
    struct wr_pool *p = wr_pool_new(0);
    struct wr_dict *d = wr_dict_new(p, true);
    int value;

    ck_assert_ptr_null(wr_dict_add(d, WR_STR("Content-Length"), &value));
    ck_assert_ptr_eq(wr_dict_get(d, WR_STR("content-length")), &value);
    ck_assert_ptr_eq(wr_dict_add(d, WR_STR("CONTENT-LENGTH"), &d), &value);
    /* The hash folds more than letters; the comparison does not. */
    ck_assert_ptr_null(wr_dict_add(d, WR_STR("a@b"), &value));
    ck_assert_ptr_null(wr_dict_get(d, WR_STR("a`b")));
    wr_pool_free(p);
}
END_TEST

START_TEST(grows)
{
    enum { COUNT = 20000 };
    struct wr_pool *p = wr_pool_new(0);
    struct wr_dict *d = wr_dict_new(p, false);
    struct wr_str *names = WR_NEW_ARRAY(p, struct wr_str, COUNT);

    for (unsigned i = 0; i < COUNT; i++) {
        names[i] = wr_pool_fmt(p, "name%u.example.com", i);
        ck_assert_ptr_null(wr_dict_add(d, names[i], &names[i]));
    }
    for (unsigned i = 0; i < COUNT; i++)
        ck_assert_ptr_eq(wr_dict_get(d, wr_pool_str(p, names[i])), &names[i]);
    ck_assert_ptr_null(wr_dict_get(d, WR_STR("name20000.example.com")));
    wr_pool_free(p);
}
END_TEST

UNIT_MAIN("base/dict", adds_and_gets, folds_case, grows)
