/* h1_client: the endpoint at the peer's side in HTTP/1: sends the request, reads the reply's head
 * and body. One is made for each try. */
#include "http1/http1_impl.h"

#define INTERIM_MAX 65536 /* bytes of 1xx heads before the final one */

/* ---- out ---- */

static enum wr_io client_write(struct wr_endpoint *e, const struct wr_slice *chain, bool fin,
                               size_t *put)
{
    struct wr_h1_client *c = WR_CHECK(e->state, H1_CLIENT);
    enum wr_io io;

    if (c->out_chunked && c->out_left == 0 && !c->out_last) {
        for (const struct wr_slice *s = chain; s != NULL; s = s->next)
            c->out_left += s->n;
        if (c->out_left > 0 || fin) {
            wr_h1_chunk_open(&c->out, c->out_left, NULL);
            c->out_last = c->out_left == 0;
        }
    }
    io = wr_h1_send(e->conn, &c->out, &c->out_at, chain, c->out_chunked ? c->out_left : UINT64_MAX,
                    c->out_chunked, put);
    if (c->out_chunked)
        c->out_left -= *put;
    return io;
}

/* ---- in ---- */

static void lend_rest(struct wr_h1_client *c, char *p, size_t n)
{
    c->buf = p;
    c->at = 0;
    c->n = n;
    c->cap = 0;
    c->loan = n > 0;
}

static void client_keep(struct wr_endpoint *e)
{
    struct wr_h1_client *c = WR_CHECK(e->state, H1_CLIENT);
    size_t n = c->n - c->at;

    if (!c->loan)
        return;
    c->loan = false;
    if (n > 0) {
        char *own = wr_pool_alloc(c->x->pool, n);

        memcpy(own, c->buf + c->at, n);
        c->buf = own;
    }
    c->at = 0;
    c->n = c->cap = n;
}

static struct wr_str client_first(struct wr_endpoint *e)
{
    struct wr_h1_client *c = WR_CHECK(e->state, H1_CLIENT);
    struct wr_str first = { 0 };

    if (!c->loan || c->in.framing == WR_BODY_CHUNKED || c->in.done)
        return first;
    first = wr_str_of(c->buf + c->at, c->n - c->at);
    if (c->in.framing == WR_BODY_LENGTH) {
        first.n = (size_t)wr_min((uint64_t)first.n, c->in.left);
        c->in.left -= first.n;
        c->in.done = c->in.left == 0;
    }
    c->at += first.n;
    return first;
}

/* Views of the head must stay valid: copy it once, to its exact size, and parse it there. */
static enum wr_parse parse_head(struct wr_h1_client *c, struct wr_http *h, struct wr_str text,
                                size_t limit)
{
    enum wr_parse r;
    struct wr_str head;

    r = wr_h1_head_end(text, &(struct wr_head_limits){ .line = limit, .total = limit }, false,
                       &c->progress);
    if (r != WR_PARSE_OK)
        return r;
    c->heads += c->progress.size;
    if (c->heads > limit + INTERIM_MAX)
        return wr_h1_bad(&c->progress, 502, "upstream sent too many interim responses");
    head = wr_pool_str(c->x->pool, wr_str_of(text.p, c->progress.size));
    return wr_h1_response(head, limit, h->upstream_method, c->x->pool, &c->progress, &h->res);
}

static void begin_body(struct wr_h1_client *c, const struct wr_http *h)
{
    const struct wr_response *r = &h->res;

    wr_h1_in_begin(&c->in, r->framing, r->length);
    if (r->framing == WR_BODY_CHUNKED)
        c->in.chunked.trailers = wr_text_grow(c->x->pool, 8, h->proxy_conf->buffer_size);
}

/* Moves an incomplete head out of the scratch, to memory for the longest head allowed. */
static void move_to_room(struct wr_h1_client *c, struct wr_str text, size_t limit)
{
    if (c->room == NULL)
        c->room = wr_pool_alloc(c->x->pool, limit);
    memmove(c->room, text.p, text.n);
    c->buf = c->room;
    c->cap = limit;
    c->at = 0;
    c->n = text.n;
    c->loan = false;
}

/* Size of the first read: besides the head, it takes as much of the body as may wait for the client
 * anyway. */
static size_t first_read(const struct wr_http_proxy_conf *p)
{
    size_t n = p->buffering ? wr_max(p->buffers_total, p->buffer_size) : p->buffer_size;

    return wr_min(n, (size_t)WR_SCRATCH);
}

enum wr_io wr_h1_client_head(struct wr_exchange *x)
{
    struct wr_h1_client *c = WR_CHECK(x->peer.state, H1_CLIENT);
    struct wr_http *h = wr_http_of(x);
    const struct wr_http_proxy_conf *conf = h->proxy_conf;
    size_t limit = conf->buffer_size, got;
    char *room = NULL;
    struct wr_str text = wr_str_of(c->buf == NULL ? "" : c->buf + c->at, c->n - c->at);

    for (;;) {
        enum wr_parse r = text.n > 0 ? parse_head(c, h, text, limit) : WR_PARSE_MORE;
        enum wr_io io;

        if (r == WR_PARSE_OK) {
            size_t used = c->progress.size;

            c->progress = (struct wr_h1_progress){ 0 };
            if (c->buf != NULL && text.p == c->buf + c->at)
                c->at += used;
            else
                lend_rest(c, room + used, text.n - used);
            begin_body(c, h);
            return WR_IO_OK;
        }
        if (r == WR_PARSE_BAD || text.n >= limit) {
            c->why = r == WR_PARSE_BAD ? c->progress.why : "upstream sent too big header";
            return WR_IO_ERROR;
        }
        if (text.n > 0)
            move_to_room(c, text, limit);
        room = text.n > 0 ? c->buf + c->n : wr_scratch;
        io = wr_conn_read(x->peer.conn, room, text.n > 0 ? c->cap - c->n : first_read(conf), &got);
        if (io != WR_IO_OK)
            return io;
        if (text.n > 0)
            c->n += got;
        text = text.n > 0 ? wr_str_of(c->buf + c->at, c->n - c->at) : wr_str_of(room, got);
    }
}

static enum wr_io take_bytes(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    struct wr_h1_client *c = WR_CHECK(e->state, H1_CLIENT);

    if (c->at == c->n)
        return wr_conn_read(e->conn, p, n, got);
    *got = wr_min(n, c->n - c->at);
    memmove(p, c->buf + c->at, *got);
    c->at += *got;
    return WR_IO_OK;
}

static enum wr_io early_end(struct wr_h1_client *c, enum wr_io io)
{
    if (io != WR_IO_EOF)
        return io;
    c->why = "upstream prematurely closed connection";
    return WR_IO_ERROR;
}

/* Takes the fields after the last chunk. */
static bool take_trailers(struct wr_h1_client *c)
{
    const struct wr_text *lines = &c->in.chunked.trailers;
    struct wr_fields *f;

    if (lines->n == 0)
        return true;
    f = WR_NEW(c->x->pool, struct wr_fields);
    if (lines->overflow || !wr_h1_trailers(wr_text_view(lines), c->x->pool, f)) {
        c->why = "upstream sent invalid trailer";
        return false;
    }
    wr_http_take_trailers(c->x, f);
    return true;
}

static enum wr_io read_chunked(struct wr_endpoint *e, char *p, size_t n, size_t *got)
{
    struct wr_h1_client *c = WR_CHECK(e->state, H1_CLIENT);
    size_t raw, at;
    enum wr_io io = take_bytes(e, p, n, &raw);

    *got = 0;
    if (io != WR_IO_OK)
        return early_end(c, io);
    if (!wr_chunked_in_place(&c->in.chunked, p, raw, got, &at)) {
        c->why = "upstream sent invalid chunked response";
        return WR_IO_ERROR;
    }
    c->in.done = c->in.chunked.done;
    if (c->in.done && !take_trailers(c))
        return WR_IO_ERROR;
    if (at < raw) /* nothing may follow the last chunk */
        wr_http_of(c->x)->res.keepalive = false;
    return WR_IO_OK;
}

static enum wr_io read_some(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    struct wr_h1_client *c = WR_CHECK(e->state, H1_CLIENT);
    enum wr_io io;

    if (c->in.framing == WR_BODY_CLOSE)
        return take_bytes(e, p, n, got);
    io = take_bytes(e, p, (size_t)wr_min((uint64_t)n, c->in.left), got);
    if (io == WR_IO_OK) {
        c->in.left -= *got;
        c->in.done = c->in.left == 0;
    }
    return early_end(c, io);
}

static enum wr_io client_read(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    struct wr_h1_client *c = WR_CHECK(e->state, H1_CLIENT);
    enum wr_io io;

    *got = 0;
    if (c->in.done)
        return WR_IO_EOF;
    if (c->in.framing != WR_BODY_CHUNKED)
        return read_some(e, p, n, got);
    do {
        io = read_chunked(e, p, n, got);
    } while (io == WR_IO_OK && *got == 0 && !c->in.done);
    return io == WR_IO_OK && *got == 0 ? WR_IO_EOF : io;
}

static uint64_t client_want(struct wr_endpoint *e)
{
    const struct wr_h1_client *c = WR_CHECK(e->state, H1_CLIENT);

    if (!e->conn->io->raw || c->at < c->n)
        return 0;
    return c->in.framing == WR_BODY_LENGTH ? c->in.left
         : c->in.framing == WR_BODY_CLOSE ? UINT64_MAX : 0;
}

static void client_spliced(struct wr_endpoint *e, uint64_t n)
{
    struct wr_h1_client *c = WR_CHECK(e->state, H1_CLIENT);

    if (c->in.framing == WR_BODY_LENGTH) {
        c->in.left -= n;
        c->in.done = c->in.left == 0;
    }
}

/* A tunnel begins: the whole request was sent before. */
static void client_to_raw(struct wr_endpoint *e, struct wr_bufq *in, struct wr_bufq *out)
{
    struct wr_h1_client *c = WR_CHECK(e->state, H1_CLIENT);

    (void)out;
    if (c->n > c->at)
        wr_bufq_copy(in, c->buf + c->at, c->n - c->at);
    wr_endpoint_raw(e, e->conn);
}

static const char *client_why(const struct wr_endpoint *e)
{
    const struct wr_h1_client *c = WR_CHECK(e->state, H1_CLIENT);

    return c->why;
}

static bool client_at_end(const struct wr_endpoint *e)
{
    const struct wr_h1_client *c = WR_CHECK(e->state, H1_CLIENT);

    return c->in.done;
}

/* The connection may carry another exchange if request and reply are complete and no byte is left
 * over. */
static void client_end(struct wr_endpoint *e, enum wr_end how)
{
    const struct wr_h1_client *c = WR_CHECK(e->state, H1_CLIENT);

    if (wr_try_conn(c->x->tries) == e->conn)
        c->x->tries->lease.reusable =
            how == WR_END_REUSE && c->in.done && c->at == c->n && c->out.n == c->out_at
            && c->out_left == 0 && c->out_last == c->out_chunked
            && wr_http_of(c->x)->res.keepalive && c->x->up.src_fin && c->x->up.q.n == 0;
    e->ops = NULL;
}

static const struct wr_endpoint_ops client_ops = {
    .name = "h1 client",
    .read = client_read,
    .write = client_write,
    .want = client_want,
    .to_raw = client_to_raw,
    .end = client_end,
    .spliced = client_spliced,
    .at_end = client_at_end,
    .why = client_why,
    .first = client_first,
    .keep = client_keep,
};

bool wr_h1_client_request(struct wr_exchange *x, const struct wr_request_out *out)
{
    struct wr_h1_client *c = WR_NEW(x->pool, struct wr_h1_client);

    WR_TYPED(c, H1_CLIENT);
    c->x = x;
    c->out = wr_text_grow(x->pool, 1000, 1 << 20);
    c->out_chunked = out->framing == WR_BODY_CHUNKED;
    x->peer = (struct wr_endpoint){
        .ops = &client_ops, .conn = wr_try_conn(x->tries), .state = c,
    };
    wr_h1_write_request(&c->out, out);
    return !c->out.overflow;
}

static bool speaks(struct wr_str alpn)
{
    return alpn.n == 0 || wr_str_is(alpn, "http/1.1") || wr_str_is(alpn, "http/1.0");
}

const struct wr_link_speaker wr_h1_link = { .name = "HTTP/1", .speaks = speaks };
