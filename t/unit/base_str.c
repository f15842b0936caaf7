/* Borrowed views. */
#include "lib/unit.h"

static const struct wr_str none = { NULL, 0 };

START_TEST(compares)
{
    ck_assert(wr_str_eq(WR_STR("abc"), WR_STR("abc")));
    ck_assert(!wr_str_eq(WR_STR("abc"), WR_STR("abd")));
    ck_assert(!wr_str_eq(WR_STR("abc"), WR_STR("ab")));
    ck_assert(wr_str_eq(none, WR_STR("")));
    ck_assert(wr_str_ieq(WR_STR("Content-Type"), WR_STR("cONTENT-tYPE")));
    ck_assert(!wr_str_ieq(WR_STR("@["), WR_STR("`{")));
    ck_assert(wr_str_is(WR_STR("on"), "on"));
    ck_assert(!wr_str_is(WR_STR("on"), "one"));
    ck_assert(wr_str_is(none, ""));
    ck_assert_int_eq(wr_str_cmp(WR_STR("a"), WR_STR("a")), 0);
    ck_assert_int_lt(wr_str_cmp(WR_STR("a"), WR_STR("ab")), 0);
    ck_assert_int_gt(wr_str_cmp(WR_STR("\xff"), WR_STR("a")), 0);
    ck_assert_int_lt(wr_str_cmp(none, WR_STR("a")), 0);
}
END_TEST

START_TEST(folds_ascii_only)
{
    for (unsigned c = 0; c < 256; c++) {
        unsigned want = c >= 'A' && c <= 'Z' ? c + 32 : c;

        ck_assert_uint_eq(wr_lower((unsigned char)c), want);
    }
}
END_TEST

START_TEST(classifies_bytes)
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned c = 0; c < 256; c++) {
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool digit = c >= '0' && c <= '9';
        int value = -1;

        for (int i = 0; i < 16; i++)
            if (wr_lower((unsigned char)c) == (unsigned char)digits[i])
                value = i;
        ck_assert_int_eq(wr_is_alnum((char)c), letter || digit);
        ck_assert_int_eq(wr_is_word_char((char)c), letter || digit || c == '_');
        ck_assert_int_eq(wr_hex_digit((char)c), value);
    }
    for (int i = 0; i < 16; i++)
        ck_assert_int_eq(wr_hex_digit(wr_hex_upper[i]), i);
}
END_TEST

START_TEST(folds_at_every_place)
{
    /* Eight bytes are compared at once: a difference must be found at every place. */
    for (size_t n = 1; n <= 20; n++) {
        for (size_t i = 0; i < n; i++) {
            for (unsigned c = 0; c < 256; c++) {
                char a[20], b[20];

                memset(a, 'x', n);
                memset(b, 'X', n);
                a[i] = 'k';
                b[i] = (char)c;
                ck_assert(wr_str_ieq(wr_str_of(a, n), wr_str_of(b, n)) == (c == 'k' || c == 'K'));
                a[i] = b[i];
                ck_assert(wr_str_ieq(wr_str_of(a, n), wr_str_of(b, n)));
            }
        }
    }
}
END_TEST

START_TEST(looks_at_the_ends)
{
    ck_assert(wr_str_starts(WR_STR("/api/v1"), WR_STR("/api")));
    ck_assert(!wr_str_starts(WR_STR("/ap"), WR_STR("/api")));
    ck_assert(wr_str_starts(none, none));
    ck_assert(wr_str_ends(WR_STR("a.example.com"), WR_STR(".com")));
    ck_assert(!wr_str_ends(WR_STR("com"), WR_STR(".com")));
    ck_view(wr_str_skip(WR_STR("abc"), 1), "bc");
    ck_view(wr_str_skip(WR_STR("abc"), 9), "");
    ck_view(wr_str_skip(none, 9), "");
    ck_view(wr_str_trim(WR_STR(" \t a b\t ")), "a b");
    ck_view(wr_str_trim(WR_STR(" \t ")), "");
    ck_view(wr_str_trim(none), "");
}
END_TEST

START_TEST(finds)
{
    struct wr_str s = WR_STR("a.b.c");

    ck_assert_uint_eq(wr_str_find(s, '.'), 1);
    ck_assert_uint_eq(wr_str_rfind(s, '.'), 3);
    ck_assert_uint_eq(wr_str_find(s, 'x'), s.n);
    ck_assert_uint_eq(wr_str_rfind(s, 'x'), s.n);
    ck_assert_uint_eq(wr_str_find(none, 'x'), 0);
    ck_assert_uint_eq(wr_str_search(s, WR_STR("b.")), 2);
    ck_assert_uint_eq(wr_str_search(s, WR_STR("b.b")), s.n);
    ck_assert_uint_eq(wr_str_search(s, none), 0);
    ck_assert_uint_eq(wr_str_search(none, s), 0);
}
END_TEST

START_TEST(cuts)
{
    struct wr_str s = WR_STR("a,,b"), last;

    ck_view(wr_str_cut(&s, ','), "a");
    ck_view(wr_str_cut(&s, ','), "");
    ck_assert_ptr_nonnull(s.p);
    last = wr_str_cut(&s, ',');
    ck_view(last, "b");
    ck_assert_ptr_null(s.p);
    /* A separator at the end leaves an empty rest, which differs from none. */
    s = WR_STR("a,");
    ck_view(wr_str_cut(&s, ','), "a");
    ck_assert_ptr_nonnull(s.p);
    ck_assert_uint_eq(s.n, 0);
    ck_view(wr_str_cut(&s, ','), "");
    ck_assert_ptr_null(s.p);
}
END_TEST

START_TEST(reads_numbers)
{
    static const char *const bad[] = { "", "-", "+1", " 1", "1 ", "0x1", "1.0", "a",
                                       "18446744073709551616", "99999999999999999999" };
    uint64_t u = 7;

    for (unsigned n = 0; n < WR_COUNT(bad); n++)
        ck_assert_msg(!wr_str_u64(wr_str_c(bad[n]), &u), "%s", bad[n]);
    ck_assert_uint_eq(u, 7);
    ck_assert(wr_str_u64(WR_STR("18446744073709551615"), &u));
    ck_assert_uint_eq(u, UINT64_MAX);
    ck_assert(wr_str_u64(WR_STR("007"), &u));
    ck_assert_uint_eq(u, 7);
    ck_assert(!wr_str_u64(WR_STR("-1"), &u));
}
END_TEST

START_TEST(measures_distance)
{
    char longer[80];

    memset(longer, 'a', sizeof(longer));
    ck_assert_uint_eq(wr_str_distance(WR_STR("listen"), WR_STR("listen"), 3), 0);
    ck_assert_uint_eq(wr_str_distance(WR_STR("lisen"), WR_STR("listen"), 3), 1);
    ck_assert_uint_eq(wr_str_distance(WR_STR("lsiten"), WR_STR("listen"), 3), 2);
    ck_assert_uint_eq(wr_str_distance(WR_STR("kitten"), WR_STR("sitting"), 5), 3);
    ck_assert_uint_eq(wr_str_distance(none, WR_STR("abc"), 5), 3);
    ck_assert_uint_eq(wr_str_distance(WR_STR("abc"), WR_STR("xyzuvw"), 2), 3);
    ck_assert_uint_eq(wr_str_distance(wr_str_of(longer, 80), WR_STR("a"), 2), 3);
    ck_assert_uint_eq(wr_str_distance(wr_str_of(longer, 64), wr_str_of(longer, 63), 2), 1);
}
END_TEST

START_TEST(checks_utf8)
{
    static const struct {
        const char *s;
        size_t n;
    } rows[] = {
        { "", 0 }, { "a", 1 }, { "\x7f", 1 }, { "\x80", 0 }, { "\xbf", 0 }, { "\xc1\x81", 0 },
        { "\xc2\x80", 2 }, { "\xdf\xbf", 2 }, { "\xdf", 0 }, { "\xdf\xc0", 0 },
        { "\xe0\x9f\xbf", 0 }, { "\xe0\xa0\x80", 3 }, { "\xed\x9f\xbf", 3 },
        { "\xed\xa0\x80", 0 }, { "\xef\xbf\xbf", 3 }, { "\xef\xbf", 0 }, { "\xef\xbf\x7f", 0 },
        { "\xf0\x8f\xbf\xbf", 0 }, { "\xf0\x90\x80\x80", 4 }, { "\xf4\x8f\xbf\xbf", 4 },
        { "\xf4\x90\x80\x80", 0 }, { "\xf5\x80\x80\x80", 0 }, { "\xff", 0 },
        { "\xf0\x90\x80\x41", 0 }, { "\xc3\xa4" "b", 2 },
    };

    for (unsigned i = 0; i < WR_COUNT(rows); i++)
        ck_assert_msg(wr_utf8_char(wr_str_c(rows[i].s)) == rows[i].n, "row %u", i);
}
END_TEST

START_TEST(wraps_c_strings)
{
    size_t n;

    ck_assert_uint_eq(wr_str_c(NULL).n, 0);
    ck_assert_uint_eq(wr_str_c("abc").n, 3);
    ck_assert(wr_add(1, 2, &n) && n == 3);
    ck_assert(!wr_add(SIZE_MAX, 1, &n));
    ck_assert(wr_mul(3, 4, &n) && n == 12);
    ck_assert(!wr_mul(SIZE_MAX / 2, 3, &n));
}
END_TEST

UNIT_MAIN("base/str", compares, folds_ascii_only, classifies_bytes, folds_at_every_place,
          looks_at_the_ends, finds, cuts, reads_numbers, measures_distance, checks_utf8,
          wraps_c_strings)
