/* The arithmetic of slices. */
#include "lib/unit.h"

#include "../../modules/http/cache/slice_range.h"

#define END WR_SLICE_UNKNOWN

START_TEST(asked)
{
    static const struct {
        const char *range;     /* for slices of 10 */
        uint64_t from, to;
    } rows[] = {
        { NULL, 0, END },
        { "", 0, END },
        { "bytes=", 0, END },
        { "bytes=0-", 0, END },
        { "bytes=0-0", 0, 10 },
        { "bytes=0-9", 0, 10 },
        { "bytes=0-10", 0, 20 },
        { "BYTES=9-10", 0, 20 },
        { "bytes=10-", 10, END },
        { "bytes=25-37", 20, 40 },
        { "bytes= 25 - 37 ", 20, 40 },
        { "bytes=25-21", 20, 30 },
        { "bytes=25-3", 0, END },
        { "bytes=-5", 0, END },
        { "bytes=25-37,40-41", 0, END },
        { "items=25-37", 0, END },
        { "bytes=a-b", 0, END },
        { "bytes=25-b", 0, END },
        { "bytes=25", 0, END },
        { "bytes=9223372036854775807-", 9223372036854775800U, END },
        { "bytes=0-9223372036854775807", 0, 9223372036854775810U },
        { "bytes=9223372036854775808-", 0, END },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_slices s = wr_slices_of(wr_str_c(rows[i].range), 10);

        ck_assert_msg(s.from == rows[i].from && s.to == rows[i].to, "%s: %llu, %llu",
                      rows[i].range, (unsigned long long)s.from, (unsigned long long)s.to);
    }
    ck_assert_uint_eq(wr_slices_of(WR_STR("bytes=5-6"), UINT64_MAX).to, UINT64_MAX);
    ck_assert_uint_eq(wr_slices_of(WR_STR("bytes=5-6"), 1).from, 5);
    ck_assert_uint_eq(wr_slices_of(WR_STR("bytes=5-6"), 1).to, 7);
}
END_TEST

START_TEST(clipped)
{
    struct wr_slices s = { 20, END };

    ck_assert(wr_slices_clip(&s, 25) && s.to == 25);
    ck_assert(wr_slices_clip(&s, 100) && s.to == 25);
    ck_assert(!wr_slices_clip(&s, 20));
    s = (struct wr_slices){ 0, END };
    ck_assert(!wr_slices_clip(&s, 0));
}
END_TEST

START_TEST(texts)
{
    char buffer[WR_SLICE_TEXT_MAX];
    struct wr_text t = wr_text_on(buffer, sizeof(buffer));

    wr_slice_text(20, 10, &t);
    ck_view(wr_text_view(&t), "bytes=20-29");
    t.n = 0;
    wr_slice_text(UINT64_MAX - 5, UINT64_MAX, &t);
    ck_view(wr_text_view(&t), "bytes=18446744073709551610-18446744073709551615");
}
END_TEST

/* RFC 9110 14.4 */
START_TEST(content_ranges)
{
    static const struct {
        const char *in;
        uint64_t from, to, length; /* to 0: wrong */
    } rows[] = {
        { "bytes 0-9/100", 0, 10, 100 },
        { "Bytes 0-9/*", 0, 10, END },
        { " bytes  0 - 9 / 10 ", 0, 10, 10 },
        { "bytes 0-9/9", 0, 0, 0 },
        { "bytes 9-8/100", 0, 0, 0 },
        { "bytes */100", 0, 0, 0 },
        { "bytes 0-9", 0, 0, 0 },
        { "bytes 0-/9", 0, 0, 0 },
        { "bytes -9/100", 0, 0, 0 },
        { "bytes 0-9/", 0, 0, 0 },
        { "bytes=0-9/100", 0, 0, 0 },
        { "items 0-9/100", 0, 0, 0 },
        { "bytes 0-9/100/1", 0, 0, 0 },
        { "bytes", 0, 0, 0 },
        { "", 0, 0, 0 },
        { "bytes 0-9223372036854775806/9223372036854775807", 0, INT64_MAX, INT64_MAX },
        { "bytes 0-9223372036854775807/9223372036854775808", 0, 0, 0 },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_content_range r = { 0, 0, 0 };
        bool ok = wr_content_range_parse(wr_str_c(rows[i].in), &r);

        ck_assert_msg(ok == (rows[i].to > 0), "%s", rows[i].in);
        ck_assert_msg(!ok || (r.from == rows[i].from && r.to == rows[i].to
                              && r.length == rows[i].length), "%s", rows[i].in);
    }
}
END_TEST

static const char *wrong(const char *content_range, uint64_t from, uint64_t length)
{
    struct wr_content_range r;

    ck_assert(wr_content_range_parse(wr_str_c(content_range), &r));
    return wr_slice_wrong(&r, from, 10, length);
}

START_TEST(replies)
{
    ck_assert_ptr_null(wrong("bytes 20-29/100", 20, END));
    ck_assert_ptr_null(wrong("bytes 20-29/100", 20, 100));
    ck_assert_ptr_null(wrong("bytes 20-24/25", 20, END));
    ck_assert_ptr_null(wrong("bytes 20-29/30", 20, 30));
    ck_assert_str_eq(wrong("bytes 20-29/*", 20, 100), "no complete length in slice response");
    ck_assert_str_eq(wrong("bytes 20-29/100", 20, 101), "unexpected length in slice response");
    ck_assert_str_eq(wrong("bytes 20-29/100", 10, END), "unexpected range in slice response");
    ck_assert_str_eq(wrong("bytes 20-28/100", 20, END), "unexpected range in slice response");
    ck_assert_str_eq(wrong("bytes 20-30/100", 20, END), "unexpected range in slice response");
    ck_assert_str_eq(wrong("bytes 0-99/100", 0, END), "unexpected range in slice response");
}
END_TEST

UNIT_MAIN("slice_range", asked, clipped, texts, content_ranges, replies)
