/* mux: a toy protocol that carries many HTTP exchanges over one connection, both sides of it: the
 * proof that a speaker can come from outside. `listen ... mux` lets clients speak it, and
 * `proxy_http_version mux` speaks it to servers. Not for use.
 * A frame is three numbers of 4 bytes - type, stream, length - and so many bytes of payload:
 *     MUX1   has no meaning; the first frame of a connection
 *     h      a head, in the format of HTTP/1. No end follows a request that has no body
 *     d, e   a part of the body; its end, with the lines of trailers
 *     r, n   a reset; n: a refused request, which was not processed
 * There are no windows: the next frame is read when its stream has consumed the last one. */
#include "http1/http1.h"

#include <arpa/inet.h>

enum { MUX1 = 0x4d555831, HEAD = 'h', DATA = 'd', END = 'e', RESET = 'r', REFUSED = 'n' };
enum { HEADER = 12, FRAME_MAX = 65536, PIECE = 16384, STREAMS = 100, TURN = 128, HIGH = 262144 };

struct mux {                    /* a connection, seen from either side */
    uint32_t magic, n, last;    /* n: streams; last: number of the newest */
    struct wr_conn *conn;
    struct wr_session *session; /* of the client; NULL: the connection is to a server */
    struct wr_peer_link *link;  /* to the server, or NULL */
    struct wr_link streams;
    struct wr_bufq out;         /* frames; copied, because they outlive their exchanges */
    struct wr_flush flush;
    bool leaving;               /* no new streams */
    struct stream *due;         /* must consume the frame in `in`; NULL: read the next */
    uint32_t type;              /* of that frame */
    struct wr_str rest;         /* of its payload: not consumed yet */
    size_t in_n;
    char in[HEADER + FRAME_MAX];
};
struct stream {                 /* state of an endpoint, in the exchange's pool */
    uint32_t magic, id;
    struct mux *m;              /* NULL: it has ended, or the connection has */
    struct wr_link at;
    struct wr_exchange *x;
    bool has_head, in_end, out_end;
    uint32_t reset;             /* type of the frame that has reset it; 0: none */
    struct wr_fields trailers;
};
#define WR_TYPE_MUX ((enum wr_type)(WR_TYPE_NONE + 0x10001)) /* beside the list of base.h */
#define WR_TYPE_MUX_STREAM ((enum wr_type)(WR_TYPE_NONE + 0x10002))
typedef struct mux wr_type_MUX;
typedef struct stream wr_type_MUX_STREAM;

static void put_frame(struct mux *m, uint32_t type, uint32_t id, struct wr_str payload)
{
    uint32_t header[] = { htonl(type), htonl(id), htonl((uint32_t)payload.n) };

    wr_bufq_copy(&m->out, header, sizeof(header));
    wr_bufq_copy(&m->out, payload.p, payload.n);
    wr_loop_flush_later(m->conn->loop, &m->flush);
}

/* ---- streams: endpoints of either side ---- */

/* End a stream; reset it, unless both directions have ended. A reset is not answered: the other
 * side may have closed, and a write could destroy the bytes received from it. Idempotent. */
static void leave_stream(void *stream)
{
    struct stream *s = stream;
    struct mux *m = s->m;

    if (m == NULL)
        return;
    if (s->reset == 0 && (!s->in_end || !s->out_end))
        put_frame(m, RESET, s->id, WR_STR(""));
    if (m->due == s)
        m->due = NULL;
    m->n--;
    wr_list_remove(&s->at);
    s->m = NULL;
    wr_loop_flush_later(m->conn->loop, &m->flush); /* read again, or end the connection */
}

static enum wr_io stream_read(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    struct stream *s = WR_CHECK(e->state, MUX_STREAM);
    struct mux *m = s->m;

    *got = 0;
    if (s->in_end || m == NULL || m->due != s)
        return s->in_end ? WR_IO_EOF : m == NULL ? WR_IO_ERROR : WR_IO_AGAIN;
    if (m->type == DATA) {
        *got = wr_min(n, m->rest.n);
        memcpy(p, m->rest.p, *got);
        m->rest = wr_str_skip(m->rest, *got);
        if (m->rest.n > 0)
            return WR_IO_OK;
    } else if (e == &s->x->peer && wr_h1_trailers(wr_pool_str(s->x->pool, m->rest), s->x->pool,
                                                  &s->trailers)) {
        wr_http_take_trailers(s->x, &s->trailers);
    }
    s->in_end = m->type == END;
    m->due = NULL;
    wr_loop_flush_later(m->conn->loop, &m->flush);
    return s->in_end ? WR_IO_EOF : WR_IO_OK;
}

/* Write a piece of the first slice, or the end. Files are read into memory: frames are copies. */
static enum wr_io stream_write(struct wr_endpoint *e, const struct wr_slice *chain, bool fin,
                               size_t *put)
{
    struct stream *s = WR_CHECK(e->state, MUX_STREAM);
    const struct wr_waiter who = { s->x->loop, &s->x->task };
    enum wr_io io = WR_IO_OK;

    *put = chain != NULL ? wr_min(chain->n, (size_t)PIECE) : 0;
    if (s->m == NULL || s->m->out.n > HIGH)
        io = s->m == NULL ? WR_IO_ERROR : WR_IO_AGAIN;
    else if (chain != NULL && chain->p == NULL)
        io = wr_reader_read(chain, &who, wr_scratch, *put, put);
    if (io != WR_IO_OK) {
        *put = 0;
    } else if (chain != NULL) {
        put_frame(s->m, DATA, s->id, wr_str_of(chain->p == NULL ? wr_scratch : chain->p, *put));
    } else if (fin && !s->out_end) {
        struct wr_text t = wr_text_grow(s->x->pool, 64, FRAME_MAX);

        if (e == &s->x->client)
            wr_h1_write_fields(&t, &wr_http_of(s->x)->res.trailers);
        put_frame(s->m, END, s->id, wr_text_view(&t));
        s->out_end = true;
    }
    return io;
}

static void stream_end(struct wr_endpoint *e, enum wr_end how WR_UNUSED)
{
    leave_stream(WR_CHECK(e->state, MUX_STREAM));
    e->ops = NULL;
}

static bool stream_gone(const struct wr_endpoint *e)
{
    return WR_CHECK(e->state, MUX_STREAM)->m == NULL;
}

static const struct wr_endpoint_ops stream_ops = {
    .name = "mux stream", .read = stream_read, .write = stream_write, .end = stream_end,
    .gone = stream_gone,
};

static struct stream *stream_new(struct mux *m, uint32_t id, struct wr_exchange *x,
                                 struct wr_endpoint *e)
{
    struct stream *s = WR_NEW(x->pool, struct stream);

    WR_TYPED(s, MUX_STREAM);
    s->m = m;
    s->x = x;
    s->id = m->last = id;
    m->n++;
    wr_list_push(&m->streams, &s->at);
    wr_pool_cleanup(x->pool, leave_stream, s);
    *e = (struct wr_endpoint){ .ops = &stream_ops, .conn = m->conn, .state = s };
    return s;
}

static void request_came(struct mux *m, uint32_t id, struct wr_str text)
{
    struct wr_exchange *x = wr_http_request_new(m->session, 0);
    struct stream *s = stream_new(m, id, x, &x->client);
    struct wr_http *h = wr_http_of(x);
    const struct wr_head_rules rules = { &h->server->limits, x->pool, wr_http_host_known, x };
    struct wr_h1_progress p = { 0 };

    if (wr_h1_request(wr_pool_str(x->pool, text), &rules, &p, &h->req) != WR_PARSE_OK)
        wr_http_request_bad(x, 400, "client sent an invalid mux head", true);
    wr_fields_remove(&h->req.fields, WR_F_UPGRADE); /* never accepted: there is no to_raw */
    s->has_head = true;
    s->in_end = h->req.framing == WR_BODY_NONE;
    if (!s->in_end)
        h->req.framing = WR_BODY_CHUNKED; /* whatever length the head has */
    wr_exchange_wake(x);
}

static bool put_reply(struct wr_exchange *x, const struct wr_reply_out *out)
{
    struct stream *s = WR_CHECK(x->client.state, MUX_STREAM);
    struct wr_text t = wr_text_grow(x->pool, 512, FRAME_MAX);

    wr_h1_write_reply(&t, out, &(struct wr_h1_hop){ .connection = WR_H1_KEEP });
    if (s->m != NULL)
        put_frame(s->m, HEAD, s->id, wr_text_view(&t));
    return !t.overflow;
}

static bool put_request(struct wr_exchange *x, const struct wr_request_out *out)
{
    struct mux *m = WR_CHECK(x->tries->lease.link->of_speaker, MUX);
    struct stream *s = stream_new(m, m->last + 1, x, &x->peer);
    struct wr_text t = wr_text_grow(x->pool, 512, FRAME_MAX);

    wr_h1_write_request(&t, out);
    put_frame(m, HEAD, s->id, wr_text_view(&t));
    x->tries->lease.sent += t.n;
    s->out_end = out->framing == WR_BODY_NONE;
    return !t.overflow;
}

/* Interim heads are errors here. */
static enum wr_io reply_head(struct wr_exchange *x)
{
    struct stream *s = WR_CHECK(x->peer.state, MUX_STREAM);
    struct wr_response *r = &wr_http_of(x)->res;
    struct wr_h1_progress p = { 0 };
    struct mux *m = s->m;

    if (m == NULL || m->due != s)
        return m == NULL ? WR_IO_EOF : WR_IO_AGAIN;
    s->has_head = true;
    m->due = NULL;
    wr_loop_flush_later(m->conn->loop, &m->flush);
    if (wr_h1_response(wr_pool_str(x->pool, m->rest), FRAME_MAX, WR_M_GET, x->pool, &p, r)
        != WR_PARSE_OK || r->status < 200)
        return WR_IO_ERROR;
    r->framing = WR_BODY_CHUNKED;
    return WR_IO_OK;
}

static bool was_refused(const struct wr_exchange *x)
{
    return x->peer.ops != NULL && WR_CHECK(x->peer.state, MUX_STREAM)->reset == REFUSED;
}

/* ---- the connection: the same for either side ---- */

/* False: the frame breaks the protocol. */
static bool frame_came(struct mux *m, uint32_t type, uint32_t id, struct wr_str payload)
{
    bool is_new = type == HEAD && id > m->last;
    struct wr_link *l = m->streams.next;
    struct stream *s;

    while (l != &m->streams && wr_container(l, struct stream, at)->id != id)
        l = l->next;
    if (l == &m->streams) {
        if (is_new && (m->leaving || m->n == STREAMS))
            put_frame(m, REFUSED, m->last = id, WR_STR(""));
        else if (is_new && m->session != NULL)
            request_came(m, id, payload);
        return type == MUX1 || id <= m->last; /* the sender may not know that the stream ended */
    }
    s = wr_container(l, struct stream, at);
    wr_exchange_wake(s->x);
    if (type == RESET || type == REFUSED) {
        s->reset = type;
        m->leaving = m->leaving || type == REFUSED; /* it would refuse others, too */
        leave_stream(s);
        return true;
    }
    if (m->link != NULL)
        s->x->tries->lease.received += payload.n;
    m->due = type != DATA || payload.n > 0 ? s : NULL;
    m->type = type;
    m->rest = payload;
    return !s->in_end && (s->has_head ? type == DATA || type == END : type == HEAD);
}

/* Read up to the end of a header, then to the end of its payload. */
static enum wr_io read_some(struct mux *m)
{
    struct wr_scan header = wr_scan_of(m->in, m->in_n);
    uint32_t type = wr_scan_u32(&header), id = wr_scan_u32(&header), n = wr_scan_u32(&header);
    enum wr_io io;
    size_t got;

    if (n > FRAME_MAX)
        return WR_IO_ERROR;
    if (m->in_n == HEADER + n) {
        m->in_n = 0;
        return frame_came(m, type, id, wr_str_of(m->in + HEADER, n)) ? WR_IO_OK : WR_IO_ERROR;
    }
    io = wr_conn_read(m->conn, m->in + m->in_n, HEADER + n - m->in_n, &got);
    m->in_n += got;
    return io;
}

/* Called when the connection has an event, or a stream has put or consumed a frame. May end the
 * connection. */
static void run_connection(struct wr_flush *f)
{
    struct mux *m = wr_container(f, struct mux, flush);
    enum wr_io in = WR_IO_OK, out = WR_IO_OK;
    size_t put;

    m->leaving = m->leaving || (m->session != NULL && m->session->quitting);
    for (int i = 0; i < TURN && in == WR_IO_OK; i++)
        in = m->due == NULL ? read_some(m) : WR_IO_AGAIN;
    while (m->out.n > 0 && out == WR_IO_OK)
        out = wr_conn_write_q(m->conn, &m->out, SIZE_MAX, &put);
    for (struct wr_link *l = m->streams.next; l != &m->streams; l = l->next)
        wr_exchange_wake(wr_container(l, struct stream, at)->x); /* it may write again, or end */
    if (in == WR_IO_OK) /* others get their turn */
        wr_task_wake(m->conn->loop, m->conn->task);
    wr_conn_arm(m->conn);
    if (in != WR_IO_EOF && in != WR_IO_ERROR && out != WR_IO_ERROR
        && (!m->leaving || m->n > 0 || m->out.n > 0))
        return;
    while (m->n > 0)
        leave_stream(wr_container(m->streams.next, struct stream, at));
    if (m->link != NULL)
        wr_peer_link_gone(m->link);
    else
        wr_session_end(m->session);
}

static struct mux *mux_new(struct wr_conn *c, struct wr_session *s, struct wr_peer_link *l)
{
    struct mux *m = wr_calloc(1, sizeof(*m));

    WR_TYPED(m, MUX);
    m->conn = c;
    m->session = s;
    m->link = l;
    m->flush.fn = run_connection;
    wr_list_init(&m->streams);
    if (l != NULL)
        put_frame(m, MUX1, 0, WR_STR(""));
    return m;
}

static void mux_free(struct mux *m)
{
    while (m->n > 0)
        leave_stream(wr_container(m->streams.next, struct stream, at));
    wr_flush_cancel(&m->flush);
    wr_bufq_clear(&m->out);
    WR_UNTYPED(m);
    free(m);
}

/* ---- the functions of the speaker ---- */

static enum wr_claim claims(struct wr_str first)
{
    return wr_str_starts(first, WR_STR("MUX1")) ? WR_CLAIM_YES
         : wr_str_starts(WR_STR("MUX1"), first) ? WR_CLAIM_MORE : WR_CLAIM_NO;
}

static void begin(struct wr_session *s)
{
    wr_http_session_of(s)->of_speaker = mux_new(&s->conn, s, NULL);
}

static void wake(struct wr_session *s)
{
    run_connection(&WR_CHECK(wr_http_session_of(s)->of_speaker, MUX)->flush);
}

static void ended(struct wr_session *s)
{
    mux_free(WR_CHECK(wr_http_session_of(s)->of_speaker, MUX));
}

static bool speaks(struct wr_str alpn)
{
    return alpn.n == 0 || wr_str_is(alpn, "mux/1");
}

static enum wr_room room(struct wr_peer_link *l)
{
    const struct mux *m = WR_CHECK(l->of_speaker, MUX);

    return m->leaving ? WR_ROOM_GONE : m->n < STREAMS ? WR_ROOM_READY : WR_ROOM_FULL;
}

static void link_begin(struct wr_peer_link *l)
{
    l->of_speaker = mux_new(&l->conn, NULL, l);
}

static void link_run(struct wr_peer_link *l)
{
    run_connection(&WR_CHECK(l->of_speaker, MUX)->flush);
}

static void link_end(struct wr_peer_link *l)
{
    mux_free(WR_CHECK(l->of_speaker, MUX));
}

static const struct wr_link_speaker link_speaker = {
    .name = "mux", .speaks = speaks, .lease = room, .begin = link_begin, .run = link_run,
    .end = link_end,
};

static const struct wr_http_speaker speaker = {
    .name = "mux", .word = "mux", .version = "mux", .alpn = WR_STR_INIT("\x05mux/1"),
    .claims = claims,
    .server = { .begin = begin, .wake = wake, .reply = put_reply, .drain = wake, .ended = ended },
    .peer = { .request = put_request, .head = reply_head, .refused = was_refused,
              .link = &link_speaker },
};

struct wr_module wr_module_mux = { .name = "mux", .layers = WR_L7, .speaker = &speaker };
