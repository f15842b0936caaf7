/* How both HTTP/1 endpoints write: to a receiver that takes a little each time. */
#include "http/engine.h"
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

/* Short messages, each behind the beginning of the next, and never a moment when all is out: the
 * text of what waits stays small, and nothing is lost. */
START_TEST(short_messages)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text out = wr_text_grow(pool, 1024, 1 << 20);
    struct wr_conn c = { .io = &slow };
    char piece[PIECE];
    size_t at = 0, given = 0, put;

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
    for (size_t i = 0; i < given; i++)
        ck_assert_int_eq(taken[i + 4], (int)('a' + i / PIECE % 26));
    free(taken);
    wr_pool_free(pool);
}
END_TEST

UNIT_MAIN("http/h1_out", short_messages)
