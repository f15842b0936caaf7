/* Sending in both HTTP/1 endpoints: to a receiver that takes a little each time; field lines. */
#include "http1/http1_impl.h"
#include "lib/unit.h"

#include <sys/uio.h>

#define SHARE 900              /* bytes the receiver takes at once */
#define PIECE 1000
#define ROUNDS 3000

static char *taken;
static size_t ntaken;

static enum wr_io takes_a_little(struct wr_conn *c, const struct iovec *v, size_t nv, size_t *put)
{
    size_t left = SHARE;

    *put = 0;
    for (size_t i = 0; i < nv && left > 0; i++) {
        size_t n = wr_min(v[i].iov_len, left);

        memcpy(taken + ntaken, v[i].iov_base, n);
        ntaken += n;
        left -= n;
        *put += n;
    }
    c->ready = 0;
    return WR_IO_OK;
}

static const struct wr_transport slow = { .write = takes_a_little };

/* Short messages to a receiver so slow that some bytes always wait: the text that holds them stays
 * small, and nothing is lost. */
START_TEST(short_messages)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text out = wr_text_grow(pool, 1024, 1 << 20);
    struct wr_conn c = { .io = &slow };
    char piece[PIECE];
    size_t at = 0, given = 0, wrong = 0, put;

    taken = wr_malloc((size_t)ROUNDS * PIECE * 2);
    ntaken = 0;
    wr_text_c(&out, "head");
    for (size_t round = 0; round < ROUNDS; round++) {
        struct wr_slice s = { .p = piece, .n = PIECE };

        memset(piece, (int)('a' + given / PIECE % 26), PIECE);
        c.ready = WR_WRITABLE;
        (void)!wr_h1_send(&c, &out, &at, &s, UINT64_MAX, false, &put);
        ck_assert(put == 0 || put == PIECE);
        given += put;
        ck_assert_uint_lt(out.n, 65536);
    }
    while (out.n > at) {
        c.ready = WR_WRITABLE;
        (void)!wr_h1_send(&c, &out, &at, NULL, 0, false, &put);
    }
    ck_assert_uint_eq(ntaken, given + 4);
    for (size_t i = 0; i < given; i++) /* an assertion each would take seconds */
        wrong += taken[i + 4] != (char)('a' + i / PIECE % 26);
    ck_assert_uint_eq(wrong, 0);
    free(taken);
    wr_pool_free(pool);
}
END_TEST

static const char *lines_of(struct wr_pool *pool, const struct wr_fields *f)
{
    struct wr_text out = wr_text_grow(pool, 16, 4096);
    const char *p;

    wr_h1_write_fields(&out, f);
    ck_assert(wr_text_cstr(&out, &p));
    return p;
}

/* Field lines copied in one piece or one by one have the same bytes, without control characters. */
START_TEST(field_lines)
{
    static const struct {
        const char *name, *value, *line;
    } rows[] = {
        { "X-A", "b", "X-A: b\r\n" },
        { "X-A", "", "X-A: \r\n" },
        { "X-A", "a\tb\xc3\xa4\x80", "X-A: a\tb\xc3\xa4\x80\r\n" },
        { "X-A", "a\r\nX-B: c\f\x7f", "X-A: a  X-B: c  \r\n" },
        { "Set-Cookie", "\n", "Set-Cookie:  \r\n" },
        { "Location", "/a b", "Location: /a b\r\n" },
        { "location", "\r\n/a\x01/", "location: %0D%0A/a%01/\r\n" },
        { "Refresh", "5; url=/a\n", "Refresh: 5; url=/a%0A\r\n" },
    };
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_str whole = WR_STR("X-A: 1\r\nX-B: 2\r\nX-C: 3\r\nX-D: a\nb");
    struct wr_fields f = { 0 };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_fields one = { 0 };

        (void)wr_fields_add(pool, &one, wr_str_c(rows[i].name), wr_str_c(rows[i].value));
        ck_assert_str_eq(lines_of(pool, &one), rows[i].line);
    }
    for (size_t i = 0; i < whole.n; i += 8) /* as a parser leaves them */
        wr_fields_add(pool, &f, wr_str_of(whole.p + i, 3),
                      wr_str_of(whole.p + i + 5, i == 24 ? 3 : 1))->parsed = i < 24;
    ck_assert_str_eq(lines_of(pool, &f), "X-A: 1\r\nX-B: 2\r\nX-C: 3\r\nX-D: a b\r\n");
    f.at[1].value = WR_STR("other");
    ck_assert_str_eq(lines_of(pool, &f), "X-A: 1\r\nX-B: other\r\nX-C: 3\r\nX-D: a b\r\n");
    wr_pool_free(pool);
}
END_TEST

/* A value that is guarded where it was written, in a text that is too small for it. */
START_TEST(field_guard)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_fields f = { 0 };
    char room[16];

    (void)wr_fields_put(pool, &f, WR_F_LOCATION, WR_STR("L"), WR_STR("/\n/\n"));
    for (size_t cap = 7; cap <= sizeof(room); cap++) {
        struct wr_text out = wr_text_on(room, cap);

        wr_h1_write_fields(&out, &f);
        ck_assert(cap < 13 ? out.overflow : wr_str_is(wr_text_view(&out), "L: /%0A/%0A\r\n"));
        for (size_t i = 0; i < wr_min(out.n, (size_t)11); i++)
            ck_assert(out.p[i] >= ' ');
    }
    wr_pool_free(pool);
}
END_TEST

UNIT_MAIN("http1/out", short_messages, field_lines, field_guard)
