/* Chunked bodies: the same data, end and errors in whatever pieces the bytes come. */
#include "http1/http1.h"
#include "lib/unit.h"

struct outcome {
    char data[256], trailers[256];
    size_t n, used;
    bool done;
    const char *why;
};

/* Pieces of at most `piece` bytes, each in memory of its exact size. */
static struct outcome read_body(struct wr_str in, size_t piece)
{
    struct outcome o = { 0 };
    struct wr_chunked c = { .trailers = wr_text_on(o.trailers, sizeof(o.trailers) - 1) };

    while (o.used < in.n && !c.done && c.why == NULL) {
        size_t n = wr_min(piece, in.n - o.used), used;
        struct wr_str data;
        char *copy = malloc(n);
        enum wr_parse r;

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, in.p + o.used, n);
        r = wr_chunked_step(&c, wr_str_of(copy, n), &used, &data);
        ck_assert((r == WR_PARSE_BAD) == (c.why != NULL));
        ck_assert_uint_le(used, n);
        ck_assert(r != WR_PARSE_MORE || used == n);
        ck_assert(r != WR_PARSE_OK || c.done || used < n);
        ck_assert_uint_le(o.n + data.n, sizeof(o.data));
        memcpy(o.data + o.n, data.p, data.n);
        o.n += data.n;
        o.used += used;
        free(copy);
    }
    o.done = c.done;
    o.why = c.why;
    return o;
}

static void check(const char *in, const char *data, const char *trailers, size_t left)
{
    struct wr_str s = wr_str_c(in);

    for (size_t piece = 1; piece <= s.n; piece++) {
        struct outcome o = read_body(s, piece);

        ck_assert_msg(o.done && o.why == NULL, "%s by %zu: %s", in, piece, o.why);
        ck_view(wr_str_of(o.data, o.n), data);
        ck_assert_str_eq(o.trailers, trailers);
        ck_assert_uint_eq(s.n - o.used, left);
    }
}

START_TEST(reads_bodies)
{
    check("0\r\n\r\n", "", "", 0);
    check("5\r\nhello\r\n0\r\n\r\nGET", "hello", "", 3);
    check("5\r\nhello\r\n00A\r\n, wonderfu\r\n1\r\nl\r\n000\r\n\r\n", "hello, wonderful", "", 0);
    check("0000000000000002\r\n\r\n\r\n0\r\n\r\n", "\r\n", "", 0);
    check("2;a=b;c=\"d\t;\xff\"\r\nxy\r\n0;last\r\n\r\n", "xy", "", 0);
    check("2 \t;a\r\nxy\r\n0\r\n\r\n", "xy", "", 0);
    check("0\r\nX: a\r\nx-y_z:\tb;\xff \r\n\r\nmore", "", "X: a\r\nx-y_z:\tb;\xff \r\n", 4);
    check("0\r\nX:\r\n\r\n", "", "X:\r\n", 0);
}
END_TEST

START_TEST(refuses)
{
    static const struct {
        const char *in;
        size_t n;              /* 0: up to the zero */
    } rows[] = {
        { "\r\n", 0 }, { ";a\r\n", 0 }, { "g\r\n", 0 }, { "-1\r\n", 0 }, { "+1\r\n", 0 },
        { " 1\r\n", 0 }, { "0x1\r\n", 0 }, { "1 \r\n", 0 }, { "1\t\r\n", 0 }, { "1 1\r\n", 0 },
        { "1\nx\r\n", 0 }, { "1\rx", 0 }, { "1\r\r\n", 0 }, { "1,2\r\n", 0 },
        { "1;a\nx", 0 }, { "1;a\rb\r\n", 0 }, { "1;\x01", 0 }, { "1;\x7f", 0 }, { "1;a\0", 4 },
        { "1\0", 2 }, { "1\r\nxy", 0 }, { "1\r\nx\n", 0 }, { "1\r\nx\ry", 0 }, { "1\r\nx0", 0 },
        { "00000000000000001", 0 }, { "8000000000000000\r\n", 0 }, { "fffffffffffffffff\r\n", 0 },
        { "0\r\nX\r\n", 0 }, { "0\r\n X: a\r\n", 0 }, { "0\r\nX : a\r\n", 0 },
        { "0\r\n: a\r\n", 0 }, { "0\r\nX: a\n", 0 }, { "0\r\nX: a\rb", 0 }, { "0\r\nX: \x01", 0 },
        { "0\r\nX: a\r\n b", 0 }, { "0\r\n\rx", 0 }, { "0\r\n\n", 0 }, { "0\n\n", 0 },
        { "0\r\nX(: a", 0 },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_str s = wr_str_of(rows[i].in, rows[i].n > 0 ? rows[i].n : strlen(rows[i].in));

        for (size_t piece = 1; piece <= s.n; piece++) {
            struct outcome o = read_body(s, piece);

            ck_assert_msg(o.why != NULL && !o.done, "\"%s\" by %zu", rows[i].in, piece);
        }
    }
}
END_TEST

START_TEST(reads_sizes)
{
    struct wr_chunked c = { 0 };
    struct wr_str data, in = WR_STR("7FFFFFFFFFFFFFFF\r\nabc");
    size_t used;

    ck_assert_int_eq(wr_chunked_step(&c, in, &used, &data), WR_PARSE_MORE);
    ck_view(data, "abc");
    ck_assert_uint_eq(c.left, (uint64_t)INT64_MAX - 3);
    ck_assert_int_eq(wr_chunked_step(&c, wr_str_of("", 0), &used, &data), WR_PARSE_MORE);
    ck_assert_uint_eq(data.n, 0);
}
END_TEST

/* Reads prefix, then `fill` repeatedly; returns the bytes accepted before the error. */
static size_t endured(const char *prefix, const char *fill)
{
    struct wr_chunked c = { 0 };
    struct wr_str data, s = wr_str_c(prefix);
    size_t used, n = 0;

    while (n < 1000000 && wr_chunked_step(&c, s, &used, &data) != WR_PARSE_BAD) {
        s = wr_str_c(fill);
        n += s.n;
    }
    ck_assert_ptr_nonnull(c.why);
    return n;
}

START_TEST(is_bounded)
{
    struct wr_chunked c = { 0 };
    struct wr_str data;
    char ext[4000];
    size_t used;

    ck_assert_uint_eq(endured("1;", "a"), 4097);
    ck_assert_uint_eq(endured("1 ", " "), 4097);
    ck_assert_uint_eq(endured("0\r\n", "X:a\r\n"), 8195);
    ck_assert_uint_eq(endured("0\r\nX:", "a"), 8191);
    /* Each chunk has its own bound. */
    memset(ext, 'a', sizeof(ext));
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_int_ne(wr_chunked_step(&c, WR_STR("1;"), &used, &data), WR_PARSE_BAD);
        ck_assert_int_ne(wr_chunked_step(&c, wr_str_of(ext, sizeof(ext)), &used, &data),
                         WR_PARSE_BAD);
        ck_assert_int_ne(wr_chunked_step(&c, WR_STR("\r\nx\r\n"), &used, &data), WR_PARSE_BAD);
        ck_view(data, "x");
    }
}
END_TEST

START_TEST(one_call_per_chunk)
{
    struct wr_chunked c = { 0 };
    struct wr_str data, in = WR_STR("2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n");
    size_t used;

    ck_assert_int_eq(wr_chunked_step(&c, in, &used, &data), WR_PARSE_OK);
    ck_view(data, "ab");
    in = wr_str_skip(in, used);
    ck_assert_int_eq(wr_chunked_step(&c, in, &used, &data), WR_PARSE_OK);
    ck_view(data, "cde");
    ck_assert(c.done && used == in.n);
}
END_TEST

UNIT_MAIN("http1/chunked", reads_bodies, refuses, reads_sizes, is_bounded, one_call_per_chunk)
