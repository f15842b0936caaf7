/* cache_follow: with proxy_cache_lock, a request that would wait for another one reads what that
 * one has stored so far, as soon as there is a head, and goes on with it at its own pace: the
 * memory tier has the bytes, which a pin keeps. If the leader fails the reply is cut. */
#include "cache_impl.h"

struct follower {
    uint32_t magic;
    struct wr_exchange *x;
    struct wr_cache_at hint;
    uint64_t at;               /* of the object's bytes: those before it were read */
    bool whole;
    const char *why;           /* it broke */
};

static void look_again(struct wr_cache_ctx *c, struct wr_exchange *x)
{
    wr_cache_wait_begin(&c->zone->store.waits, &c->waiter, &c->name, x->loop, &x->task);
}

/* Somebody leads still: a leader that died tells nobody. */
static bool has_leader(struct wr_cache_ctx *c)
{
    struct wr_cache_view now;

    return wr_cache_index_find(&c->zone->store.index, &c->name, &now) && now.leader != 0;
}

static enum wr_io judge_end(struct follower *f, struct wr_cache_ctx *c, enum wr_cache_filled is)
{
    if (is == WR_CACHE_FILLED) {
        f->whole = true;
        return WR_IO_EOF;
    }
    if (is == WR_CACHE_FILLING && has_leader(c))
        return WR_IO_AGAIN;
    f->why = "the reply that another request was fetching for the cache was cut";
    return WR_IO_ERROR;
}

/* The order matters: wait first, then look, so that no change is missed. */
static enum wr_io follow_read(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    struct follower *f = WR_CHECK(e->state, FOLLOWER);
    struct wr_cache_ctx *c = wr_cache_ctx_of(f->x);
    enum wr_cache_filled is;
    struct wr_str part;
    uint64_t there = 0;

    *got = 0;
    look_again(c, f->x);
    is = wr_cache_pin_filled(&c->pinned, &there);
    if (there <= f->at)
        return judge_end(f, c, is);
    part = wr_cache_pin_part(&c->pinned, &f->hint, f->at,
                             (size_t)wr_min(there - f->at, (uint64_t)n));
    part.n = wr_min(part.n, n);
    if (part.n == 0) {
        f->why = "an object of the cache was damaged";
        return WR_IO_ERROR;
    }
    memcpy(p, part.p, part.n);
    f->at += part.n;
    *got = part.n;
    return WR_IO_OK;
}

static enum wr_io follow_write(struct wr_endpoint *e, const struct wr_slice *chain, bool fin,
                               size_t *put)
{
    (void)e;
    (void)chain;
    (void)fin;
    *put = 0;
    return WR_IO_OK;
}

static void follow_to_raw(struct wr_endpoint *e, struct wr_bufq *in, struct wr_bufq *out)
{
    (void)e;
    (void)in;
    (void)out;
}

static void follow_end(struct wr_endpoint *e, enum wr_end how)
{
    struct follower *f = WR_CHECK(e->state, FOLLOWER);

    (void)how;
    wr_cache_wait_end(&wr_cache_ctx_of(f->x)->waiter);
    e->ops = NULL;
}

static bool follow_at_end(const struct wr_endpoint *e)
{
    return WR_CHECK(e->state, FOLLOWER)->whole;
}

static const char *follow_why(const struct wr_endpoint *e)
{
    return WR_CHECK(e->state, FOLLOWER)->why;
}

static const struct wr_endpoint_ops follow_ops = {
    .name = "follower",
    .read = follow_read,
    .write = follow_write,
    .to_raw = follow_to_raw,
    .end = follow_end,
    .at_end = follow_at_end,
    .why = follow_why,
};

bool wr_cache_follow(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    struct wr_http *h = wr_http_of(x);
    struct follower *f;

    if (c->view.filling.number == 0 || !wr_cache_take_pinned(x, c, true))
        return false;
    if (!wr_str_eq(c->object.key, c->key) || c->object.facts.variant != c->variant
        || (c->object.facts.flags & WR_CACHE_VARIES) != 0
        || !wr_cache_reply(&c->object, x->pool, &h->res)) {
        wr_cache_pin_drop(&c->pinned);
        return false;
    }
    f = WR_NEW(x->pool, struct follower);
    WR_TYPED(f, FOLLOWER);
    f->x = x;
    f->at = c->object.body_at;
    x->peer = (struct wr_endpoint){ .ops = &follow_ops, .state = f };
    h->res.ranges = h->res.status == 200 && h->res.has_length;
    h->conditional = true;
    c->status = WR_CACHE_HIT;
    return true;
}
