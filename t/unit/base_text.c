/* The bounded builder: bytes that fit, the overflow latch, and no byte behind cap. */
#include "lib/unit.h"

START_TEST(builds)
{
    char buf[256];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    const char *text;

    wr_text_str(&t, WR_STR("a"));
    wr_text_str(&t, wr_str_of(NULL, 0));
    wr_text_c(&t, "bc");
    wr_text_c(&t, NULL);
    wr_text_char(&t, ' ');
    wr_text_u64(&t, 0);
    wr_text_char(&t, ' ');
    wr_text_u64(&t, UINT64_MAX);
    wr_text_char(&t, ' ');
    wr_text_pad(&t, 7, 3);
    wr_text_pad(&t, 1234, 3);
    wr_text_char(&t, ' ');
    wr_text_hex(&t, "\x0f\xa0", 2);
    wr_text_fmt(&t, " %s-%d", "x", -5);
    ck_view(wr_text_view(&t),
            "abc 0 18446744073709551615 0071234 0fa0 x--5");
    ck_assert(!t.overflow);
    ck_assert(wr_text_cstr(&t, &text));
    ck_assert_uint_eq(strlen(text), t.n);
}
END_TEST

START_TEST(latches)
{
    char *buf = wr_malloc(4);
    struct wr_text t = wr_text_on(buf, 4);
    const char *text;

    wr_text_c(&t, "abcd");
    ck_assert(!t.overflow);
    ck_assert(!wr_text_cstr(&t, &text)); /* no room for the zero */
    wr_text_char(&t, 'e');
    ck_assert(t.overflow);
    ck_view(wr_text_view(&t), "abcd");

    t = wr_text_on(buf, 4);
    wr_text_c(&t, "ab");
    wr_text_c(&t, "xyz");
    ck_view(wr_text_view(&t), "abxy");
    ck_assert(t.overflow);
    t.n = 1; /* no append follows, even with room again */
    wr_text_c(&t, "z");
    wr_text_fmt(&t, "%d", 1);
    ck_view(wr_text_view(&t), "a");
    ck_assert(!wr_text_cstr(&t, &text));

    t = wr_text_on(buf, 4);
    wr_text_fmt(&t, "%s", "abc");
    ck_assert(!t.overflow);
    wr_text_fmt(&t, "%s", "d"); /* its zero does not fit */
    ck_assert(t.overflow);
    ck_view(wr_text_view(&t), "abc");

    t = wr_text_on(NULL, 0);
    wr_text_fmt(&t, "%s", "");
    ck_assert(t.overflow);
    free(buf);
}
END_TEST

START_TEST(grows_in_a_pool)
{
    struct wr_pool *p = wr_pool_new(0);
    struct wr_text t = wr_text_grow(p, 4, 1000);
    const char *text;

    for (int i = 0; i < 100; i++)
        wr_text_c(&t, "0123456789");
    ck_assert(!t.overflow);
    ck_assert_uint_eq(t.n, 1000);
    ck_assert(wr_text_cstr(&t, &text));
    ck_assert_uint_eq(strlen(text), 1000);
    wr_text_char(&t, 'x');
    ck_assert(t.overflow);
    ck_assert_uint_eq(t.n, 1000);

    t = wr_text_grow(p, 0, 300);
    wr_text_fmt(&t, "%0300d", 7);
    ck_assert(!t.overflow);
    ck_assert_uint_eq(t.n, 300);
    ck_assert_int_eq(t.p[299], '7');

    t = wr_text_grow(p, 8, 12);
    wr_text_fmt(&t, "%s", "0123456789abcdef");
    ck_assert(t.overflow);
    ck_assert_uint_le(t.n, 12);
    ck_view(wr_str_of(t.p, 8), "01234567");
    wr_pool_free(p);
}
END_TEST

START_TEST(full_pool_overflows)
{
    struct wr_pool *p = wr_pool_new(256);
    struct wr_text t = wr_text_grow(p, 16, 100000);

    for (int i = 0; i < 100; i++)
        wr_text_c(&t, "0123456789");
    ck_assert(t.overflow);
    ck_assert_uint_ge(t.n, 16);
    ck_assert_int_eq(memcmp(t.p, "0123456789012345", 16), 0);
    wr_pool_free(p);
}
END_TEST

UNIT_MAIN("base/text", builds, latches, grows_in_a_pool, full_pool_overflows)
