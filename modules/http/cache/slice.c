/* slice: a large reply is fetched, and stored by the cache, in pieces of one size: each is asked
 * for by a request of its own, with the Range field that $slice_range gives. The client gets one
 * reply. The first piece comes by the request itself; its endpoint is wrapped and goes on with the
 * bytes of child exchanges, one after the other, so what a client does not take is not fetched. */
#include "http/http.h"
#include "slice_range.h"

struct slice_conf {
    size_t size;               /* 0: off */
};
struct slice {                 /* of an exchange; in a child only size and at are used */
    uint64_t size;             /* 0: $slice_range was not asked for */
    uint64_t at;               /* where its own slice begins */
    struct wr_slices want;
    uint64_t length, next;     /* of the whole; where the next slice begins */
    struct wr_str etag;
    const struct wr_endpoint_ops *first; /* of the first slice; NULL: it has ended */
    struct wr_bufq q;          /* of the last child */
    bool fetching;
    const char *why;           /* what was wrong; NULL: nothing */
};

extern struct wr_module wr_module_slice;

static struct slice *slice_of(struct wr_exchange *x)
{
    return wr_ctx_of(x, &wr_module_slice);
}

static struct slice *slice_at(const struct wr_endpoint *e)
{
    return slice_of(wr_container((struct wr_endpoint *)(uintptr_t)e, struct wr_exchange, peer));
}

/* With If-Range all may be wanted, whatever Range says. */
static struct wr_slices wanted_slices(const struct wr_http *h, uint64_t size)
{
    struct wr_str range = wr_fields_value(&h->req.fields, WR_F_RANGE);

    if (wr_fields_first(&h->req.fields, WR_F_IF_RANGE) != NULL)
        range = wr_str_of(NULL, 0);
    return wr_slices_of(range, size);
}

static bool get_range(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct slice_conf *c = wr_conf_of(x, &wr_module_slice);
    struct wr_text t = wr_text_grow(x->pool, WR_SLICE_TEXT_MAX, WR_SLICE_TEXT_MAX);
    struct slice *s = slice_of(x);

    (void)v;
    if (c->size == 0)
        return false;
    if (s->size == 0) {
        s->size = c->size;
        s->at = wanted_slices(wr_http_of(x), s->size).from;
        wr_http_of(x)->sliced = true;
    }
    wr_slice_text(s->at, s->size, &t);
    *out = wr_text_view(&t);
    return true;
}

/* ---- children ---- */

static const char *judge_child(const struct slice *s, const struct wr_exchange *child)
{
    const struct wr_http *h = wr_http_of(child);
    struct wr_content_range got;

    if (h->aborted)
        return "a slice was cut short";
    if (h->res.status != 206)
        return "unexpected status code in slice response";
    if (!wr_content_range_parse(wr_fields_value(&h->res.fields, WR_F_CONTENT_RANGE), &got))
        return "no valid Content-Range in slice response";
    if (!wr_str_eq(wr_fields_value(&h->res.fields, WR_F_ETAG), s->etag))
        return "etag mismatch in slice response";
    if (s->q.n != got.to - got.from)
        return "a slice was cut short";
    return wr_slice_wrong(&got, s->next, s->size, s->length);
}

/* Its end wakes the parent. */
static void child_over(struct wr_exchange *child)
{
    struct slice *s = slice_of(child->parent);

    s->fetching = false;
    s->why = judge_child(s, child);
    s->next += s->size;
}

static void drop_bytes(void *q)
{
    wr_bufq_clear(q);
}

/* The child is what the parent was when it came to this location: no rewrite runs again. */
static bool fetch_next(struct wr_exchange *x, struct slice *s)
{
    const struct wr_http *h = wr_http_of(x);
    struct wr_exchange *child = wr_subrequest_new(x, h->req.uri, h->req.args);
    struct wr_http *of;

    if (child == NULL)
        return false;
    of = wr_http_of(child);
    wr_exchange_scope(child, x->scope);
    child->phase = WR_PH_CONTENT;
    of->location = h->location;
    of->server = h->server;
    of->uri_internal = h->uri_internal;
    of->uri_set_by_break = h->uri_set_by_break;
    of->sliced = true;
    slice_of(child)->size = s->size;
    slice_of(child)->at = s->next;
    wr_endpoint_collect(&child->client, &s->q, s->size);
    child->over = child_over;
    s->fetching = true;
    wr_exchange_wake(child);
    return true;
}

/* ---- the endpoint ---- */

static const struct wr_endpoint_ops slice_ops;

/* The server's connection is given back before the next slice is fetched. */
static void end_first(struct wr_endpoint *e, struct slice *s, enum wr_end how)
{
    struct wr_exchange *x = wr_container(e, struct wr_exchange, peer);

    if (s->first == NULL)
        return;
    s->first->end(e, how);
    s->first = NULL;
    if (x->tries_end != NULL)
        x->tries_end(x);
    e->conn = NULL;
    e->ops = &slice_ops;
}

static bool has_more(const struct slice *s)
{
    return s->next < s->want.to;
}

static enum wr_io read_first(struct wr_endpoint *e, struct slice *s, void *p, size_t n,
                             size_t *got)
{
    const struct wr_endpoint_ops *first = s->first;
    enum wr_io io = first->read(e, p, n, got);

    if (io == WR_IO_EOF
        || (io == WR_IO_OK && first->at_end != NULL && first->at_end(e)))
        end_first(e, s, WR_END_REUSE);
    return io;
}

static enum wr_io slice_read(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    struct wr_exchange *x = wr_container(e, struct wr_exchange, peer);
    struct slice *s = slice_of(x);
    enum wr_io io = WR_IO_EOF;

    *got = 0;
    if (s->first != NULL)
        io = read_first(e, s, p, n, got);
    if (io != WR_IO_EOF)
        return io;
    if (s->why != NULL)
        return WR_IO_ERROR;
    if (s->fetching) /* a slice is passed on when it is whole, and was judged */
        return WR_IO_AGAIN;
    if (s->q.n > 0) {
        *got = wr_bufq_peek(&s->q, p, n);
        wr_bufq_drop(&s->q, *got);
        return WR_IO_OK;
    }
    if (!has_more(s))
        return WR_IO_EOF;
    if (!fetch_next(x, s)) {
        s->why = "a slice could not be asked for";
        return WR_IO_ERROR;
    }
    return WR_IO_AGAIN;
}

static enum wr_io slice_write(struct wr_endpoint *e, const struct wr_slice *chain, bool fin,
                              size_t *put)
{
    struct slice *s = slice_at(e);

    *put = 0;
    return s->first != NULL ? s->first->write(e, chain, fin, put) : WR_IO_OK;
}

static void slice_to_raw(struct wr_endpoint *e, struct wr_bufq *in, struct wr_bufq *out)
{
    (void)e;
    (void)in;
    (void)out;
}

static void slice_end(struct wr_endpoint *e, enum wr_end how)
{
    end_first(e, slice_at(e), how);
    e->ops = NULL;
}

static bool slice_at_end(const struct wr_endpoint *e)
{
    const struct slice *s = slice_at(e);

    return s->first == NULL && s->q.n == 0 && !s->fetching && s->why == NULL && !has_more(s);
}

static const char *slice_why(const struct wr_endpoint *e)
{
    const struct slice *s = slice_at(e);

    if (s->first != NULL)
        return s->first->why != NULL ? s->first->why(e) : NULL;
    return s->why;
}

static void slice_keep(struct wr_endpoint *e)
{
    const struct slice *s = slice_at(e);

    if (s->first != NULL && s->first->keep != NULL)
        s->first->keep(e);
}

static const struct wr_endpoint_ops slice_ops = {
    .name = "slices",
    .read = slice_read,
    .write = slice_write,
    .to_raw = slice_to_raw,
    .end = slice_end,
    .at_end = slice_at_end,
    .why = slice_why,
    .keep = slice_keep,
};

/* ---- the head ---- */

static enum wr_filter_result refuse_slice(struct wr_exchange *x, const char *why)
{
    wr_xlog(x, WR_LOG_ERROR, 0, "%s", why);
    wr_http_of(x)->res.status = 502;
    return WR_FILTER_ERROR;
}

/* The reply to the client is about the whole; what of it is sent, the range filter decides. */
static void make_whole(struct wr_exchange *x, const struct slice *s)
{
    struct wr_response *r = &wr_http_of(x)->res;

    r->status = 200;
    r->reason = wr_str_of(NULL, 0);
    r->framing = WR_BODY_LENGTH;
    r->length = s->length;
    r->has_length = true;
    r->ranges = true;
    r->offset = s->at;
    wr_fields_remove(&r->fields, WR_F_CONTENT_RANGE);
    wr_fields_remove(&r->fields, WR_F_ACCEPT_RANGES);
}

static enum wr_filter_result slice_head(struct wr_exchange *x)
{
    struct slice *s = slice_of(x);
    struct wr_http *h = wr_http_of(x);
    struct wr_content_range got;
    const char *why;

    if (s->size == 0 || h->res.status != 206 || h->proxy == NULL)
        return WR_FILTER_OK;
    if (!wr_content_range_parse(wr_fields_value(&h->res.fields, WR_F_CONTENT_RANGE), &got))
        return refuse_slice(x, "no valid Content-Range in slice response");
    why = wr_slice_wrong(&got, s->at, s->size, WR_SLICE_UNKNOWN);
    if (why != NULL)
        return refuse_slice(x, why);
    s->length = got.length;
    s->etag = wr_fields_value(&h->res.fields, WR_F_ETAG);
    s->next = s->at + s->size;
    s->want = wanted_slices(h, s->size);
    if (!wr_slices_clip(&s->want, s->length))
        s->want.to = s->next;
    make_whole(x, s);
    if (h->req.method == WR_M_HEAD || !has_more(s))
        return WR_FILTER_OK;
    s->first = x->peer.ops;
    x->peer.ops = &slice_ops;
    wr_pool_cleanup(x->pool, drop_bytes, &s->q);
    return WR_FILTER_OK;
}

static bool has_work(const void *conf)
{
    const struct slice_conf *c = conf;

    return c->size > 0;
}

struct wr_module wr_module_slice = {
    .name = "slice",
    .layers = WR_L7,
    .conf_size = sizeof(struct slice_conf),
    .ctx_size = sizeof(struct slice),
    .directives = (const struct wr_directive[]){
        WR_SIZE("slice", WR_L7 | WR_IN_LOCATIONS, struct slice_conf, size, "0",
                "fetches a large reply in pieces of this size, by $slice_range; 0: in one"),
        { 0 },
    },
    .variables = (const struct wr_variable[]){
        { .name = "slice_range", .layers = WR_L7, .get = get_range },
        { 0 },
    },
    .filters = (const struct wr_filter[]){ { WR_FR_SLICE, slice_head }, { 0 } },
    .has_work = has_work,
};
