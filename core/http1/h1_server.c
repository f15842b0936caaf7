/* h1_server: the endpoint at the client's side in HTTP/1: reads request bodies, sends replies. One
 * is made for each request; unread bytes, which outlive it, belong to the session. */
#include "http1/http1_impl.h"

/* Sends the control bytes in `out`. */
static enum wr_io flush_out(struct wr_h1_server *sv)
{
    size_t put;

    return wr_h1_send(&sv->x->s->conn, &sv->out, &sv->out_at, NULL, 0, false, &put);
}

static enum wr_io server_read(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    struct wr_h1_server *sv = WR_CHECK(e->state, H1_SERVER);

    /* If 100 Continue was not written completely, flush it first: the client waits for it. */
    if (sv->out.n > sv->out_at && !wr_http_of(sv->x)->head_sent && flush_out(sv) == WR_IO_ERROR)
        return WR_IO_ERROR;
    return wr_h1_read_in(sv->x->s, &sv->in, p, n, got);
}

static uint64_t chain_bytes(const struct wr_slice *chain)
{
    uint64_t n = 0;

    for (; chain != NULL; chain = chain->next)
        n += chain->n;
    return n;
}

static void open_chunk(struct wr_h1_server *sv, const struct wr_slice *chain, bool fin)
{
    const struct wr_http *h = wr_http_of(sv->x);

    if (sv->framing != WR_BODY_CHUNKED || sv->left > 0 || sv->last)
        return;
    if (chain != NULL) {
        sv->left = chain_bytes(chain);
        wr_h1_chunk_open(&sv->out, sv->left, NULL);
    } else if (fin) {
        wr_h1_chunk_open(&sv->out, 0, &h->res.trailers);
        sv->last = true;
    }
}

/* A body without a length ends with the connection. Over TLS it is complete only when close_notify
 * was sent. */
static enum wr_io end_body(struct wr_endpoint *e)
{
    const struct wr_h1_server *sv = WR_CHECK(e->state, H1_SERVER);

    if (sv->framing != WR_BODY_CLOSE || e->conn->io->raw)
        return WR_IO_OK;
    return wr_conn_shutdown(e->conn) == WR_IO_AGAIN ? WR_IO_AGAIN : WR_IO_OK;
}

/* A body of known length that ends early must not look complete. */
static bool is_cut_short(const struct wr_h1_server *sv)
{
    return sv->framing == WR_BODY_LENGTH && sv->left > 0;
}

static enum wr_io server_write(struct wr_endpoint *e, const struct wr_slice *chain, bool fin,
                               size_t *put)
{
    struct wr_h1_server *sv = WR_CHECK(e->state, H1_SERVER);
    bool bounded = sv->framing == WR_BODY_LENGTH || sv->framing == WR_BODY_CHUNKED;
    enum wr_io io;

    *put = 0;
    if (chain != NULL && (sv->framing == WR_BODY_NONE
                          || (sv->framing == WR_BODY_LENGTH && sv->left == 0))) {
        *put = (size_t)chain_bytes(chain); /* drop: beyond the length, or no body allowed */
        return flush_out(sv);
    }
    if (chain == NULL && fin && is_cut_short(sv)) {
        e->conn->error = 0;
        return WR_IO_ERROR;
    }
    open_chunk(sv, chain, fin);
    io = wr_h1_send(e->conn, &sv->out, &sv->out_at, chain, bounded ? sv->left : UINT64_MAX,
                    sv->framing == WR_BODY_CHUNKED, put);
    if (bounded)
        sv->left -= *put;
    return io == WR_IO_OK && chain == NULL && fin ? end_body(e) : io;
}

void wr_h1_server_interim(struct wr_exchange *x, unsigned status)
{
    struct wr_h1_server *sv = WR_CHECK(x->client.state, H1_SERVER);

    WR_ASSERT(status == 100);
    wr_text_str(&sv->out, wr_h1_continue);
    (void)flush_out(sv); /* the read that follows reports an error */
}

static void set_connection(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);

    if (!c->tcp_nodelay) /* connections inherit it from the listening socket */
        wr_socket_delay(x->s->conn.fd);
    x->s->conn.file_max = !c->sendfile ? 0
                        : c->sendfile_max_chunk > 0 ? c->sendfile_max_chunk : SIZE_MAX;
}

/* A body of unknown length is sent in chunks, or ended by closing the connection. */
static void decide_framing(const struct wr_exchange *x, struct wr_http *h)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    bool headless = h->req.version < 10; /* HTTP/0.9: a reply has only a body */

    if (wr_unlikely(headless || (h->res.framing == WR_BODY_CHUNKED
                                 && (h->req.version < 11 || !c->chunked)))) {
        h->res.framing = WR_BODY_CLOSE;
        h->keepalive = false;
    }
}

static void put_head(struct wr_h1_server *sv, struct wr_http *h, const struct wr_reply_out *out)
{
    struct wr_exchange *x = sv->x;
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_h1_hop hop = {
        .chunked = h->res.framing == WR_BODY_CHUNKED && out->status != 304,
        .keep_s = c->keepalive_header_s,
    };
    size_t begun = sv->out.n;

    wr_h1_decide_keepalive(sv, h);
    hop.connection = h->tunnel ? WR_H1_UPGRADE : h->keepalive ? WR_H1_KEEP : WR_H1_CLOSE;
    wr_h1_write_reply(&sv->out, out, &hop);
    h->header_bytes_sent = sv->out.n - begun;
}

bool wr_h1_server_reply(struct wr_exchange *x, const struct wr_reply_out *out)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_h1_server *sv = WR_CHECK(x->client.state, H1_SERVER);

    set_connection(x);
    decide_framing(x, h);
    if (h->req.version >= 10)
        put_head(sv, h, out);
    sv->framing = out->bare ? WR_BODY_NONE : h->res.framing;
    sv->left = sv->framing == WR_BODY_LENGTH ? h->res.length : 0;
    return !sv->out.overflow;
}

void wr_h1_server_abort(struct wr_exchange *x, enum wr_abort how)
{
    if (how == WR_ABORT_RESET)
        x->s->conn.reset_on_close = true;
}

/* Spliced bytes bypass `out`: allowed only while it is empty, and never inside chunks. */
static uint64_t server_want(struct wr_endpoint *e)
{
    const struct wr_h1_server *sv = WR_CHECK(e->state, H1_SERVER);

    if (!e->conn->io->raw || sv->out.n > sv->out_at)
        return 0;
    return sv->framing == WR_BODY_LENGTH ? sv->left
         : sv->framing == WR_BODY_CLOSE ? UINT64_MAX : 0;
}

static void server_spliced(struct wr_endpoint *e, uint64_t n)
{
    struct wr_h1_server *sv = WR_CHECK(e->state, H1_SERVER);

    if (sv->framing == WR_BODY_LENGTH)
        sv->left -= n;
}

static void server_to_raw(struct wr_endpoint *e, struct wr_bufq *in, struct wr_bufq *out)
{
    struct wr_h1_server *sv = WR_CHECK(e->state, H1_SERVER);
    struct wr_h1_session *hs = wr_h1_session_of(sv->x->s);

    if (hs->n > hs->at)
        wr_bufq_copy(in, hs->buf + hs->at, hs->n - hs->at);
    hs->at = hs->n;
    wr_bufq_copy(out, sv->out.p + sv->out_at, sv->out.n - sv->out_at);
    wr_endpoint_raw(e, e->conn);
}

static void server_end(struct wr_endpoint *e, enum wr_end how)
{
    if (how == WR_END_RESET)
        e->conn->reset_on_close = true;
    e->ops = NULL;
}

/* Bytes the session has read: of this request's body, or of the next request. */
static size_t server_unread(const struct wr_endpoint *e)
{
    const struct wr_h1_server *sv = WR_CHECK(e->state, H1_SERVER);
    const struct wr_h1_session *hs = wr_h1_session_of(sv->x->s);

    return hs->n - hs->at;
}

static bool server_at_end(const struct wr_endpoint *e)
{
    const struct wr_h1_server *sv = WR_CHECK(e->state, H1_SERVER);

    return sv->in.done;
}

static const char *server_why(const struct wr_endpoint *e)
{
    const struct wr_h1_server *sv = WR_CHECK(e->state, H1_SERVER);

    return sv->in.chunked.why != NULL ? "client sent invalid chunked body" : NULL;
}

static const struct wr_endpoint_ops server_ops = {
    .name = "h1 server",
    .read = server_read,
    .write = server_write,
    .want = server_want,
    .to_raw = server_to_raw,
    .end = server_end,
    .spliced = server_spliced,
    .unread = server_unread,
    .at_end = server_at_end,
    .why = server_why,
};

struct wr_h1_server *wr_h1_server_open(struct wr_exchange *x)
{
    struct wr_h1_server *sv = WR_NEW(x->pool, struct wr_h1_server);

    WR_TYPED(sv, H1_SERVER);
    sv->x = x;
    sv->out = wr_text_grow(x->pool, 1000, 1 << 20); /* small enough for a region of the pool */
    x->client = (struct wr_endpoint){
        .ops = &server_ops,
        .conn = &x->s->conn,
        .state = sv,
        .sent_before = x->s->conn.sent,
        .received_before = wr_h1_session_of(x->s)->received_before,
    };
    return sv;
}
