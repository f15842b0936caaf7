/* stored_endpoint: an endpoint for bytes that are complete from the beginning, in memory or in
 * files: a static file, an error page, the text of `return`. Slices are passed on without reading
 * them (a file goes out by sendfile), or read in pieces, by a thread if they are not in the page
 * cache. Bytes written to it are dropped, or collected for the module that made a child. */
#include "relay/relay.h"

struct stored {
    uint32_t magic;
    struct wr_bufq q;          /* bytes not taken yet */
    struct wr_waiter who;
    struct wr_bufq *into;      /* gets the bytes that are written; NULL: they are swallowed */
    size_t most;               /* bytes that `into` takes */
};

static enum wr_io stored_read(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    struct stored *s = WR_CHECK(e->state, STORED);
    const struct wr_slice *first = s->q.head;
    enum wr_io io = WR_IO_OK;

    *got = 0;
    if (s->q.n == 0)
        return WR_IO_EOF;
    if (first->p == NULL) {
        io = wr_reader_read(first, &s->who, p, n, got);
    } else {
        *got = wr_min(n, first->n);
        memcpy(p, first->p, *got);
    }
    wr_bufq_drop(&s->q, *got);
    return io;
}

/* Loads a small file, so that it is sent in one piece with the head. */
static size_t stored_give(struct wr_endpoint *e, struct wr_bufq *q, size_t max)
{
    struct stored *s = WR_CHECK(e->state, STORED);
    size_t n = wr_min(max, s->q.n);

    wr_bufq_move(q, &s->q, n);
    if (s->q.n == 0)
        wr_bufq_load(q);
    return n;
}

static bool stored_at_end(const struct wr_endpoint *e)
{
    const struct stored *s = WR_CHECK(e->state, STORED);

    return s->q.n == 0;
}

/* AGAIN: a thread reads the next piece of a file. */
static enum wr_io collect_slice(struct stored *s, struct wr_slice part, size_t *put)
{
    if (s->into->n + part.n > s->most)
        return WR_IO_ERROR;
    while (part.n > 0) {
        size_t n;
        char *to = wr_bufq_room(s->into, &n);

        n = wr_min(n, part.n);
        if (part.p != NULL) {
            memcpy(to, part.p, n);
            part.p += n;
        } else {
            enum wr_io io = wr_reader_read(&part, &s->who, to, n, &n);

            if (io != WR_IO_OK)
                return io;
            part.at += (off_t)n;
        }
        wr_bufq_commit(s->into, n);
        part.n -= n;
        *put += n;
    }
    return WR_IO_OK;
}

static enum wr_io stored_write(struct wr_endpoint *e, const struct wr_slice *chain, bool fin,
                               size_t *put)
{
    struct stored *s = WR_CHECK(e->state, STORED);
    enum wr_io io = WR_IO_OK;

    (void)fin;
    *put = 0;
    for (; chain != NULL && io == WR_IO_OK; chain = chain->next)
        if (s->into != NULL)
            io = collect_slice(s, *chain, put);
        else
            *put += chain->n;
    return io;
}

static void stored_to_raw(struct wr_endpoint *e, struct wr_bufq *in, struct wr_bufq *out)
{
    (void)e;
    (void)in;
    (void)out;
}

static void stored_end(struct wr_endpoint *e, enum wr_end how)
{
    struct stored *s = WR_CHECK(e->state, STORED);

    (void)how;
    wr_bufq_clear(&s->q);
    e->ops = NULL;
}

static const struct wr_endpoint_ops stored_ops = {
    .name = "stored",
    .read = stored_read,
    .write = stored_write,
    .to_raw = stored_to_raw,
    .end = stored_end,
    .at_end = stored_at_end,
    .give = stored_give,
};

static void drop_slices(void *arg)
{
    struct stored *s = arg;

    wr_bufq_clear(&s->q);
}

void wr_endpoint_store(struct wr_endpoint *e, struct wr_pool *pool, struct wr_waiter who,
                       struct wr_bufq *q)
{
    struct stored *s = WR_NEW(pool, struct stored);

    WR_TYPED(s, STORED);
    if (q != NULL) {
        s->q = *q;
        *q = (struct wr_bufq){ 0 };
    }
    s->who = who;
    if (s->q.n > 0) /* if nobody ends the endpoint */
        wr_pool_cleanup(pool, drop_slices, s);
    *e = (struct wr_endpoint){ .ops = &stored_ops, .state = s };
}

void wr_endpoint_collect(struct wr_endpoint *e, struct wr_bufq *into, size_t most)
{
    struct stored *s = WR_CHECK(e->state, STORED);

    s->into = into;
    s->most = most;
}

struct wr_bufq *wr_endpoint_stored(const struct wr_endpoint *e)
{
    return e->ops == &stored_ops ? &WR_CHECK(e->state, STORED)->q : NULL;
}
