/* cache_serve: a stored reply as if its server had just sent it: its head in h->res, its body
 * behind x->peer. What a location adds, hides or cuts out comes later, as for any reply. */
#include "cache_impl.h"

static void add_age(struct wr_exchange *x, const struct wr_cache_object *o)
{
    struct wr_fields *fields = &wr_http_of(x)->res.fields;
    struct wr_text t = wr_text_grow(x->pool, 12, 12);

    wr_text_u64(&t, wr_freshness_age(&o->facts.fresh, wr_clock.wall_ms));
    wr_fields_set(x->pool, fields, WR_F_AGE, wr_text_view(&t));
}

/* Slices of the pinned memory, in order. */
static void borrow_parts(struct wr_cache_ctx *c, struct wr_bufq *q)
{
    struct wr_cache_at at = { 0 };
    uint64_t from = c->object.body_at, end = from + c->object.body_n;

    while (from < end) {
        struct wr_str part = wr_cache_pin_part(&c->pinned, &at, from,
                                               (size_t)wr_min(end - from, (uint64_t)SIZE_MAX));

        if (part.n == 0) /* damaged: the reply is cut, as its length is known */
            return;
        wr_bufq_borrow(q, part.p, part.n);
        from += part.n;
    }
}

/* A small body came with the head. Of a larger one it is cheaper to send all from the file. */
static void put_file(struct wr_cache_ctx *c, struct wr_bufq *q)
{
    if (c->read->at_hand.n == c->object.body_n)
        wr_bufq_borrow(q, c->read->at_hand.p, c->read->at_hand.n);
    else
        wr_bufq_file(q, &c->read->reader, (off_t)c->object.body_at, (size_t)c->object.body_n);
}

static void put_body(struct wr_cache_ctx *c, struct wr_bufq *q)
{
    if (c->object.body_n == 0)
        return;
    if (c->whole.p != NULL)
        wr_bufq_borrow(q, c->whole.p + c->object.body_at, (size_t)c->object.body_n);
    else if (c->pinned.m != NULL)
        borrow_parts(c, q);
    else
        put_file(c, q);
}

void wr_cache_use(struct wr_exchange *x, struct wr_cache_ctx *c, enum wr_cache_outcome status)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_bufq q = { 0 };

    if (!wr_cache_reply(&c->object, x->pool, &h->res)) { /* it was parsed when it was stored */
        wr_response_init(&h->res);
        h->res.status = 502;
        c->object.body_n = 0;
    }
    if ((c->object.facts.flags & WR_CACHE_OF_HEAD) != 0 && h->res.framing == WR_BODY_LENGTH) {
        h->res.framing = WR_BODY_CHUNKED; /* how long the body is, nobody knows */
        h->res.has_length = false;
    }
    c->status = status;
    add_age(x, &c->object);
    h->res.ranges = h->res.status == 200;
    h->conditional = true;
    put_body(c, &q);
    wr_endpoint_store(&x->peer, x->pool, wr_exchange_waiter(x), &q);
}
