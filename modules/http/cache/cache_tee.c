/* cache_tee: the endpoint of a server whose reply is stored: what is read from it goes into the
 * cache, too. */
#include "cache_impl.h"

static struct wr_cache_ctx *ctx_of(const struct wr_endpoint *e)
{
    struct wr_endpoint *peer = (struct wr_endpoint *)(uintptr_t)e;

    return wr_cache_ctx_of(wr_container(peer, struct wr_exchange, peer));
}

/* Asks the server's endpoint: another wrapper may lie over this one. */
static bool tee_at_end(const struct wr_endpoint *e)
{
    const struct wr_cache_ctx *c = ctx_of(e);

    return c->real->at_end != NULL && c->real->at_end(e);
}

static enum wr_io tee_read(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    struct wr_cache_ctx *c = ctx_of(e);
    enum wr_io io = c->real->read(e, p, n, got);

    if (io == WR_IO_OK)
        wr_cache_keep_add(c, p, *got);
    if (io == WR_IO_EOF || (io == WR_IO_OK && tee_at_end(e)))
        wr_cache_keep_end(c);
    else if (io == WR_IO_ERROR)
        wr_cache_keep_drop(c);
    return io;
}

static struct wr_str tee_first(struct wr_endpoint *e)
{
    struct wr_cache_ctx *c = ctx_of(e);
    struct wr_str first = { 0 };

    if (c->real->first != NULL)
        first = c->real->first(e);
    wr_cache_keep_add(c, first.p, first.n);
    if (tee_at_end(e))
        wr_cache_keep_end(c);
    return first;
}

static enum wr_io tee_write(struct wr_endpoint *e, const struct wr_slice *chain, bool fin,
                            size_t *put)
{
    return ctx_of(e)->real->write(e, chain, fin, put);
}

static void tee_to_raw(struct wr_endpoint *e, struct wr_bufq *in, struct wr_bufq *out)
{
    ctx_of(e)->real->to_raw(e, in, out);
}

static void tee_end(struct wr_endpoint *e, enum wr_end how)
{
    struct wr_cache_ctx *c = ctx_of(e);

    wr_cache_keep_drop(c);
    c->real->end(e, how);
}

static size_t tee_unread(const struct wr_endpoint *e)
{
    const struct wr_cache_ctx *c = ctx_of(e);

    return c->real->unread != NULL ? c->real->unread(e) : 0;
}

static const char *tee_why(const struct wr_endpoint *e)
{
    const struct wr_cache_ctx *c = ctx_of(e);

    return c->real->why != NULL ? c->real->why(e) : NULL;
}

static void tee_keep(struct wr_endpoint *e)
{
    const struct wr_cache_ctx *c = ctx_of(e);

    if (c->real->keep != NULL)
        c->real->keep(e);
}

static bool tee_gone(const struct wr_endpoint *e)
{
    const struct wr_cache_ctx *c = ctx_of(e);

    if (c->real->gone != NULL)
        return c->real->gone(e);
    return e->conn != NULL && (e->conn->ready & (WR_HUP | WR_ERR)) != 0;
}

static void tee_arm(struct wr_endpoint *e)
{
    const struct wr_cache_ctx *c = ctx_of(e);

    if (c->real->arm != NULL)
        c->real->arm(e);
    else if (e->conn != NULL && e->conn->fd >= 0)
        wr_conn_arm(e->conn);
}

/* Nothing is spliced past it, and nothing given without a read. */
static const struct wr_endpoint_ops tee_ops = {
    .name = "into the cache",
    .read = tee_read,
    .write = tee_write,
    .to_raw = tee_to_raw,
    .end = tee_end,
    .unread = tee_unread,
    .at_end = tee_at_end,
    .why = tee_why,
    .first = tee_first,
    .keep = tee_keep,
    .gone = tee_gone,
    .arm = tee_arm,
};

void wr_cache_tee(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    c->real = x->peer.ops;
    x->peer.ops = &tee_ops;
}
