/* mux: a toy protocol that carries many HTTP exchanges over one connection, to prove that the core
 * knows no HTTP version: a speaker from outside, both sides. Not for use.
 *
 *     listen ... mux;      clients may speak it: a connection begins with "MUX1\n" (or by ALPN)
 *     mux_pass SERVER;     servers are spoken to in it: a group, an address, a name
 *
 * A frame is a type, a stream (4 bytes) and a length (4), then its payload:
 *     M  says nothing; of stream "UX1\n" it is the preface
 *     h  head, in the words of HTTP/1       d  a part of the body
 *     e  end of the body, with trailers     r  reset; "n": nothing was done for it, nor will be
 * A reply has an end, a request one when its head speaks of a body. There are no windows: when
 * much came that the streams' owners did not take, the connection is not read on. */
#include "http1/http1.h"

#include <arpa/inet.h>

#define PREFACE "MUX1\n"
enum { HEADER = 9, FRAME_MAX = 65536, PIECE = 16384, STREAMS = 100, TURN = 128, HIGH = 262144 };

struct mux {                    /* a connection, seen from either side */
    uint32_t magic, n, last;    /* n: streams; last: the number of the newest */
    struct wr_conn *conn;
    struct wr_session *session; /* NULL: it goes to a server */
    struct wr_peer_link *peer;  /* NULL: a client made it */
    struct wr_link streams;
    struct wr_bufq out;         /* frames; copied, as they outlive their exchanges */
    struct wr_flush flush;
    size_t unread, in_n;        /* bytes that streams hold; that are in `in` */
    bool leaving;               /* no stream will follow those there are */
    char in[HEADER + FRAME_MAX];
};
struct stream {                 /* state of an endpoint, in the exchange's pool */
    uint32_t magic, id;
    struct mux *m;              /* NULL: it has left, or the connection is gone */
    struct wr_link link;
    struct wr_exchange *x;
    struct wr_str head;         /* of the reply; p NULL: has not come */
    struct wr_bufq in;          /* came and was not read */
    bool in_end, out_end, refused;
    struct wr_fields trailers;
};
#define WR_TYPE_MUX ((enum wr_type)(WR_TYPE_NONE + 0x10001)) /* beside the list of base.h */
#define WR_TYPE_MUX_STREAM ((enum wr_type)(WR_TYPE_NONE + 0x10002))
typedef struct mux wr_type_MUX;
typedef struct stream wr_type_MUX_STREAM;

extern struct wr_module wr_module_mux;

/* ---- frames out ---- */

static void put_frame(struct mux *m, char type, uint32_t id, struct wr_str payload)
{
    uint32_t numbers[2] = { htonl(id), htonl((uint32_t)payload.n) };

    wr_bufq_copy(&m->out, &type, 1);
    wr_bufq_copy(&m->out, numbers, sizeof(numbers));
    wr_bufq_copy(&m->out, payload.p, payload.n);
    wr_loop_flush_later(m->conn->loop, &m->flush);
}

/* A value that is no line would be another field. */
static void put_field(struct wr_text *t, struct wr_str name, struct wr_str value)
{
    if (value.n > 0 && memchr(value.p, '\n', value.n) == NULL
        && !wr_field_is_hop(wr_field_id(name)))
        wr_text_fmt(t, WR_FMT ": " WR_FMT "\r\n", WR_ARG(name), WR_ARG(value));
}

static void put_fields(struct wr_text *t, const struct wr_fields *f)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (!f->at[i].gone)
            put_field(t, f->at[i].name, f->at[i].value);
}

/* False: it is too long. */
static bool put_head(struct stream *s, struct wr_text *t)
{
    wr_text_c(t, "\r\n");
    if (s->m != NULL && !t->overflow)
        put_frame(s->m, 'h', s->id, wr_text_view(t));
    return !t->overflow;
}

/* ---- streams: the same for both sides ---- */

static void count_read(struct mux *m, size_t n)
{
    if (m->unread > HIGH && m->unread - n <= HIGH) /* it is read on */
        wr_task_wake(m->conn->loop, m->conn->task);
    m->unread -= n;
}

/* Nothing is sent: where the other side is gone, that could destroy what has come from it. */
static void detach(struct stream *s)
{
    count_read(s->m, s->in.n);
    wr_list_remove(&s->link);
    s->m->n--;
    s->m = NULL;
}

/* What runs is reset. Idempotent. */
static void leave(struct stream *s)
{
    if (s->m == NULL)
        return;
    if (!s->in_end || !s->out_end)
        put_frame(s->m, 'r', s->id, WR_STR("c"));
    detach(s);
}

static void drop_stream(void *arg)
{
    leave(arg);
    wr_bufq_clear(&((struct stream *)arg)->in);
}

/* What has come is given before it is told that no more will. */
static enum wr_io stream_read(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    struct stream *s = WR_CHECK(e->state, MUX_STREAM);

    *got = wr_bufq_peek(&s->in, p, n);
    wr_bufq_drop(&s->in, *got);
    if (s->m != NULL)
        count_read(s->m, *got);
    if (*got == 0 && s->in_end && e == &s->x->peer && s->trailers.n > 0)
        wr_http_take_trailers(s->x, &s->trailers);
    return *got > 0 ? WR_IO_OK : s->in_end ? WR_IO_EOF : s->m != NULL ? WR_IO_AGAIN : WR_IO_ERROR;
}

/* Files are read: a connection's frames are not sent from many. AGAIN: it is not all written. */
static enum wr_io write_piece(struct stream *s, const struct wr_slice *c, size_t *put)
{
    const struct wr_waiter who = { s->x->loop, &s->x->task };
    size_t n = wr_min(c->n, (size_t)PIECE);
    enum wr_io io = c->p == NULL ? wr_reader_read(c, &who, wr_scratch, n, &n) : WR_IO_OK;

    if (io != WR_IO_OK)
        return io;
    put_frame(s->m, 'd', s->id, wr_str_of(c->p == NULL ? wr_scratch : c->p, n));
    *put += n;
    return n < c->n ? WR_IO_AGAIN : WR_IO_OK;
}

static enum wr_io stream_write(struct wr_endpoint *e, const struct wr_slice *chain, bool fin,
                               size_t *put)
{
    struct stream *s = WR_CHECK(e->state, MUX_STREAM);
    enum wr_io io = s->m == NULL || (s->out_end && chain != NULL) ? WR_IO_ERROR : WR_IO_OK;
    struct wr_text t;

    for (*put = 0; io == WR_IO_OK && chain != NULL; chain = chain->next)
        io = s->m->out.n > HIGH ? WR_IO_AGAIN : write_piece(s, chain, put);
    if (io == WR_IO_OK && fin && !s->out_end) {
        t = wr_text_grow(s->x->pool, 64, FRAME_MAX);
        if (e == &s->x->client)
            put_fields(&t, &wr_http_of(s->x)->res.trailers);
        put_frame(s->m, 'e', s->id, t.overflow ? WR_STR("") : wr_text_view(&t));
        s->out_end = true;
    }
    return io == WR_IO_AGAIN && *put > 0 ? WR_IO_OK : io;
}

static uint64_t stream_want(struct wr_endpoint *e WR_UNUSED)
{
    return 0;
}

static void stream_end(struct wr_endpoint *e, enum wr_end how WR_UNUSED)
{
    leave(WR_CHECK(e->state, MUX_STREAM));
    e->ops = NULL;
}

static bool stream_gone(const struct wr_endpoint *e)
{
    return WR_CHECK(e->state, MUX_STREAM)->m == NULL;
}

/* An upgrade is never agreed to: no to_raw. */
static const struct wr_endpoint_ops stream_ops = {
    .name = "mux stream", .read = stream_read, .write = stream_write, .want = stream_want,
    .end = stream_end, .gone = stream_gone,
};

static struct wr_endpoint stream_new(struct mux *m, struct wr_exchange *x, uint32_t id)
{
    struct stream *s = WR_NEW(x->pool, struct stream);

    WR_TYPED(s, MUX_STREAM);
    s->m = m;
    s->x = x;
    s->id = m->last = id;
    wr_list_push(&m->streams, &s->link);
    m->n++;
    wr_pool_cleanup(x->pool, drop_stream, s);
    return (struct wr_endpoint){ .ops = &stream_ops, .conn = m->conn, .state = s };
}

/* ---- the connection ---- */

static void cut_streams(struct mux *m)
{
    while (!wr_list_empty(&m->streams)) {
        struct stream *s = wr_container(m->streams.next, struct stream, link);

        detach(s);
        wr_exchange_wake(s->x);
    }
}

/* It has ended, or breaks the protocol, or is not needed. */
static void lose(struct mux *m)
{
    m->leaving = true;
    cut_streams(m);
    if (m->peer != NULL)
        wr_peer_link_gone(m->peer);
    else
        wr_session_end(m->session);
}

static void write_out(struct wr_flush *f)
{
    struct mux *m = wr_container(f, struct mux, flush);
    size_t before = m->out.n, put;
    enum wr_io io = WR_IO_OK;

    while (m->out.n > 0 && io == WR_IO_OK)
        io = wr_conn_write_q(m->conn, &m->out, SIZE_MAX, &put);
    if (before > HIGH && m->out.n <= HIGH) { /* bodies go on, and reading */
        for (struct wr_link *l = m->streams.next; l != &m->streams; l = l->next)
            wr_exchange_wake(wr_container(l, struct stream, link)->x);
        wr_task_wake(m->conn->loop, m->conn->task);
    }
    wr_conn_arm(m->conn);
    if (io == WR_IO_ERROR || (m->leaving && m->n == 0 && m->out.n == 0))
        lose(m);
}

static struct mux *mux_new(struct wr_session *s, struct wr_peer_link *l)
{
    struct mux *m = wr_calloc(1, sizeof(*m));

    WR_TYPED(m, MUX);
    m->session = s;
    m->peer = l;
    m->conn = l != NULL ? &l->conn : &s->conn;
    m->flush.fn = write_out;
    wr_list_init(&m->streams);
    return m;
}

static void mux_free(struct mux *m)
{
    cut_streams(m);
    wr_flush_cancel(&m->flush);
    wr_bufq_clear(&m->out);
    WR_UNTYPED(m);
    free(m);
}

/* False: it breaks the protocol. */
static bool stream_frame(struct stream *s, char type, struct wr_str p)
{
    bool has_head = s->m->session != NULL || s->head.p != NULL;

    wr_exchange_wake(s->x);
    if (type == 'r') {
        s->refused = wr_str_is(p, "n");
        s->m->leaving = s->m->leaving || s->refused; /* others fare no better there */
        detach(s);
        return true;
    }
    if (s->in_end || (type == 'h') == has_head || strchr("hde", type) == NULL)
        return false;
    if (s->m->peer != NULL)
        s->x->tries->lease.received += p.n;
    if (type == 'h')
        s->head = wr_pool_str(s->x->pool, p);
    s->in_end = type == 'e';
    if (type != 'd')
        return type == 'h' || wr_h1_trailers(wr_pool_str(s->x->pool, p), s->x->pool, &s->trailers);
    wr_bufq_copy(&s->in, p.p, p.n);
    s->m->unread += p.n;
    return true;
}

static void request_came(struct mux *m, uint32_t id, struct wr_str p);

static bool take_frame(struct mux *m, char type, uint32_t id, struct wr_str p)
{
    for (struct wr_link *l = m->streams.next; l != &m->streams; l = l->next)
        if (wr_container(l, struct stream, link)->id == id)
            return stream_frame(wr_container(l, struct stream, link), type, p);
    if (type == 'h' && m->session != NULL && id > m->last)
        request_came(m, id, p);
    return type == 'M' || id <= m->last; /* the other side may not know yet that it has ended */
}

/* Reads up to the end of a header, then of its payload. */
static enum wr_io read_some(struct mux *m)
{
    uint32_t numbers[2] = { 0 };
    size_t got, n;
    enum wr_io io;

    if (m->in_n >= HEADER)
        memcpy(numbers, m->in + 1, sizeof(numbers));
    n = HEADER + ntohl(numbers[1]);
    if (n > sizeof(m->in))
        return WR_IO_ERROR;
    if (m->in_n < n) {
        io = wr_conn_read(m->conn, m->in + m->in_n, n - m->in_n, &got);
        m->in_n += got;
        return io;
    }
    m->in_n = 0;
    return take_frame(m, m->in[0], ntohl(numbers[0]), wr_str_of(m->in + HEADER, n - HEADER))
         ? WR_IO_OK : WR_IO_ERROR;
}

/* Something happened on the connection; may end it. */
static void run(struct mux *m)
{
    enum wr_io io = WR_IO_OK;

    for (int i = 0; i < TURN && io == WR_IO_OK; i++)
        io = m->unread > HIGH || m->out.n > 2 * HIGH ? WR_IO_AGAIN : read_some(m);
    if (io == WR_IO_OK) /* others get their turn */
        wr_task_wake(m->conn->loop, m->conn->task);
    if (io == WR_IO_OK || io == WR_IO_AGAIN)
        write_out(&m->flush);
    else
        lose(m);
}

/* ---- to clients ---- */

static struct mux *mux_of(const struct wr_session *s)
{
    return WR_CHECK(*(void **)(void *)wr_http_session_of(s)->state, MUX);
}

static void rest(struct mux *m)
{
    wr_session_idle(m->session, m->n == 0);
    wr_conn_timeout(m->conn, m->n == 0 ? wr_http_header_ms(m->session) : 0);
}

static void over(struct wr_exchange *x)
{
    leave(WR_CHECK(x->client.state, MUX_STREAM));
    if (!x->s->ending) {
        rest(mux_of(x->s));
        wr_loop_flush_later(x->s->loop, &mux_of(x->s)->flush);
    }
}

static void request_came(struct mux *m, uint32_t id, struct wr_str p)
{
    struct wr_h1_progress progress = { 0 };
    struct wr_head_rules rules;
    struct wr_exchange *x;
    struct wr_request *r;

    m->last = id;
    if (m->leaving || m->n == STREAMS) {
        put_frame(m, 'r', id, WR_STR("n"));
        return;
    }
    x = wr_http_request_new(m->session, 0);
    x->over = over;
    x->client = stream_new(m, x, id);
    rules = (struct wr_head_rules){ .limits = &wr_http_of(x)->server->limits, .pool = x->pool,
                                    .of_host = wr_http_host_known, .arg = x };
    r = &wr_http_of(x)->req;
    if (wr_h1_request(wr_pool_str(x->pool, p), &rules, &progress, r) != WR_PARSE_OK)
        wr_http_request_bad(x, 400, "client sent an invalid mux head", true);
    wr_fields_remove(&r->fields, WR_F_CONTENT_LENGTH); /* the frames say how long it is */
    wr_fields_remove(&r->fields, WR_F_UPGRADE);
    WR_CHECK(x->client.state, MUX_STREAM)->in_end = r->framing == WR_BODY_NONE;
    if (r->framing != WR_BODY_NONE)
        r->framing = WR_BODY_CHUNKED;
    wr_exchange_wake(x);
    rest(m);
}

static bool put_reply(struct wr_exchange *x, const struct wr_reply_out *out)
{
    struct wr_text t = wr_text_grow(x->pool, 512, FRAME_MAX);

    wr_text_fmt(&t, "HTTP/1.1 %u \r\n", out->status);
    put_field(&t, WR_STR("Server"), out->server);
    put_field(&t, WR_STR("Date"), out->date);
    put_field(&t, WR_STR("Content-Type"), out->type);
    put_fields(&t, out->fields);
    wr_http_of(x)->header_bytes_sent = t.n;
    return put_head(WR_CHECK(x->client.state, MUX_STREAM), &t);
}

static void stop_reply(struct wr_exchange *x, enum wr_abort how WR_UNUSED)
{
    leave(WR_CHECK(x->client.state, MUX_STREAM));
}

static void begin(struct wr_session *s)
{
    *(void **)(void *)wr_http_session_of(s)->state = mux_new(s, NULL);
    rest(mux_of(s));
}

static void wake(struct wr_session *s)
{
    if (mux_of(s)->n == 0 && s->conn.deadline.fired)
        wr_session_end(s);
    else
        run(mux_of(s));
}

static void drain(struct wr_session *s)
{
    mux_of(s)->leaving = true;
    wr_loop_flush_later(s->loop, &mux_of(s)->flush);
}

static void ended(struct wr_session *s)
{
    mux_free(mux_of(s));
}

static enum wr_claim claims(struct wr_str first)
{
    return wr_str_starts(first, WR_STR(PREFACE)) ? WR_CLAIM_YES
         : wr_str_starts(WR_STR(PREFACE), first) ? WR_CLAIM_MORE : WR_CLAIM_NO;
}

/* ---- to servers ---- */

static bool speaks(struct wr_str alpn)
{
    return alpn.n == 0 || wr_str_is(alpn, "mux/1");
}

static struct mux *mux_to(const struct wr_peer_link *l)
{
    return WR_CHECK(l->of_speaker, MUX);
}

static enum wr_room room(struct wr_peer_link *l)
{
    return mux_to(l)->leaving ? WR_ROOM_GONE
         : mux_to(l)->n < STREAMS ? WR_ROOM_READY : WR_ROOM_FULL;
}

static void link_begin(struct wr_peer_link *l)
{
    l->of_speaker = mux_new(NULL, l);
    wr_bufq_copy(&mux_to(l)->out, PREFACE "\0\0\0", HEADER); /* and the zero behind it */
}

static void link_run(struct wr_peer_link *l)
{
    run(mux_to(l));
}

/* The end of the connection says it. */
static void link_drain(struct wr_peer_link *l WR_UNUSED)
{
}

static void link_end(struct wr_peer_link *l)
{
    mux_free(mux_to(l));
    l->of_speaker = NULL;
}

static const struct wr_link_speaker link_speaker = {
    .name = "mux", .speaks = speaks, .lease = room, .begin = link_begin, .run = link_run,
    .drain = link_drain, .end = link_end,
};

static bool put_request(struct wr_exchange *x, const struct wr_request_out *out)
{
    struct mux *m = mux_to(x->tries->lease.link);
    struct wr_text t = wr_text_grow(x->pool, 512, FRAME_MAX);
    struct stream *s;

    x->peer = stream_new(m, x, m->last + 1);
    s = WR_CHECK(x->peer.state, MUX_STREAM);
    s->out_end = out->framing == WR_BODY_NONE;
    wr_text_fmt(&t, WR_FMT " " WR_FMT " HTTP/1.1\r\n%s", WR_ARG(out->method_text),
                WR_ARG(out->target), s->out_end ? "" : "Transfer-Encoding: chunked\r\n");
    for (uint32_t i = 0; i < out->n; i++)
        put_field(&t, out->fields[i]->name, out->fields[i]->value);
    x->tries->lease.sent += t.n;
    return put_head(s, &t);
}

static enum wr_io reply_head(struct wr_exchange *x)
{
    struct stream *s = WR_CHECK(x->peer.state, MUX_STREAM);
    struct wr_response *r = &wr_http_of(x)->res;
    struct wr_h1_progress p = { 0 };

    if (s->head.p == NULL)
        return s->m == NULL ? WR_IO_EOF : WR_IO_AGAIN;
    if (wr_h1_response(s->head, FRAME_MAX, WR_M_GET, x->pool, &p, r) != WR_PARSE_OK
        || r->status < 200) /* none in between: a toy */
        return WR_IO_ERROR;
    r->framing = WR_BODY_CHUNKED;
    wr_fields_remove(&r->fields, WR_F_DATE); /* ours are said */
    wr_fields_remove(&r->fields, WR_F_SERVER);
    return WR_IO_OK;
}

static void cancel(struct wr_exchange *x, enum wr_failure why WR_UNUSED)
{
    if (x->peer.ops != NULL)
        x->peer.ops->end(&x->peer, WR_END_RESET);
}

static struct wr_try_verdict verdict(const struct wr_exchange *x, enum wr_failure why)
{
    const struct wr_lease *e = &x->tries->lease;

    return wr_try_judge(&(struct wr_try_facts){
        .failure = why, .reused = e->reused, .sent = wr_lease_sent(e),
        .received = wr_lease_received(e),
        .idempotent = wr_method_idempotent(wr_http_of(x)->req.method),
        .refused = x->peer.ops != NULL && WR_CHECK(x->peer.state, MUX_STREAM)->refused,
    });
}

static const struct wr_http_speaker speaker = {
    .name = "mux", .word = "mux", .alpn = WR_STR_INIT("\x05mux/1"), .claims = claims,
    .server = { .begin = begin, .wake = wake, .reply = put_reply, .abort = stop_reply,
                .drain = drain, .ended = ended },
    .peer = { .request = put_request, .head = reply_head, .cancel = cancel, .verdict = verdict,
              .link = &link_speaker },
};

/* ---- mux_pass ---- */

struct mux_conf {
    struct wr_http_proxy_conf base;
    struct wr_upstream *upstream; /* NULL: not here */
};

static bool set_pass(struct wr_cf *cf, void *conf)
{
    struct mux_conf *c = conf;

    c->upstream = wr_upstream_named(cf, 1, wr_cf_arg(cf, 1), 0);
    return c->upstream != NULL;
}

static bool complete(struct wr_exchange *x, struct wr_request_out *out)
{
    struct wr_fields *f = &wr_http_of(x)->req.fields;

    wr_fields_remove(f, WR_F_CONTENT_LENGTH);
    out->target = wr_http_of(x)->req.target;
    out->fields = WR_NEW_ARRAY(x->pool, const struct wr_field *, (size_t)f->n + 1);
    for (uint32_t i = 0; i < f->n; i++)
        if (!f->at[i].gone)
            out->fields[out->n++] = &f->at[i];
    return true;
}

static enum wr_verdict pass_reply(struct wr_exchange *x WR_UNUSED)
{
    return WR_PASS;
}

static const struct wr_http_proxy_ops ops = {
    .name = "mux", .speaker = &speaker, .request = complete, .reply = pass_reply,
};

static enum wr_verdict content(struct wr_exchange *x)
{
    const struct mux_conf *c = wr_conf_of(x, &wr_module_mux);

    if (c->upstream == NULL)
        return WR_PASS;
    return wr_http_proxy(x, &ops, &c->base, c->upstream, c->upstream->name, 0);
}

static bool finish(struct wr_cf *cf, struct wr_scope *scope WR_UNUSED, void *conf)
{
    struct mux_conf *c = conf;

    c->base.chunked_out = c->base.pass_trailers = true;
    if (!wr_http_proxy_finish(cf, &c->base, "mux"))
        return false;
    wr_http_proxy_folders(cf, &c->base);
    return true;
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("mux_pass", WR_L7 | WR_LV_LOCATION, 1, 1, set_pass, NULL,
              "where requests go, in the words of mux"),
    WR_HTTP_PROXY_ROWS("mux", WR_PROXY_TEMP_PATH, struct mux_conf, base),
    { 0 },
};

struct wr_module wr_module_mux = {
    .name = "mux",
    .layers = WR_L7,
    .conf_size = sizeof(struct mux_conf),
    .directives = directives,
    .speaker = &speaker,
    .phases = (const struct wr_phase_hook[]){
        { .phase = WR_PH_CONTENT, .layers = WR_L7, .run = content, .rank = -1 },
        { 0 },
    },
    .finish = finish,
};
