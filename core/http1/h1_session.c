/* h1_session: an HTTP/1 client connection. Waits for heads and makes an exchange of each; after its
 * reply reads the next head, drops a body that was not read, or closes. Owns the unread bytes. */
#include "http1/http1_impl.h"

#define DROPS 16 /* most reads of dropped input in one turn */

static const struct wr_head_limits *head_limits(const struct wr_session *s)
{
    const struct wr_http_address *a = WR_CHECK(s->listener->object, HTTP_ADDRESS);

    return &a->most;
}

/* ---- unread bytes ---- */

static void release_buf(struct wr_h1_session *hs)
{
    if (hs->at == hs->n) {
        free(hs->buf);
        hs->buf = NULL;
        hs->at = hs->n = hs->cap = 0;
    }
}

static enum wr_io take_bytes(struct wr_session *s, void *p, size_t n, size_t *got)
{
    struct wr_h1_session *hs = wr_h1_session_of(s);

    if (hs->at == hs->n)
        return wr_conn_read(&s->conn, p, n, got);
    *got = wr_min(n, hs->n - hs->at);
    memcpy(p, hs->buf + hs->at, *got);
    hs->at += *got;
    release_buf(hs);
    return WR_IO_OK;
}

static void store_bytes(struct wr_h1_session *hs, const char *p, size_t n)
{
    if (n == 0)
        return;
    if (hs->at > 0) { /* used bytes make room */
        memmove(hs->buf, hs->buf + hs->at, hs->n - hs->at);
        hs->n -= hs->at;
        hs->at = 0;
    }
    if (hs->n + n > hs->cap) {
        hs->cap = wr_max(hs->n + n, (size_t)1024);
        hs->buf = wr_realloc(hs->buf, hs->cap);
    }
    memcpy(hs->buf + hs->n, p, n);
    hs->n += n;
}

static void put_back(struct wr_session *s, const void *p, size_t n)
{
    struct wr_h1_session *hs = wr_h1_session_of(s);
    char *old = hs->buf;
    size_t at = hs->at, end = hs->n;

    hs->buf = NULL;
    hs->at = hs->n = hs->cap = 0;
    store_bytes(hs, p, n);
    if (old != NULL)
        store_bytes(hs, old + at, end - at);
    free(old);
}

static enum wr_io eof_is_error(struct wr_session *s, enum wr_io io)
{
    if (io == WR_IO_EOF) {
        s->conn.error = 0;
        return WR_IO_ERROR;
    }
    return io;
}

static enum wr_io read_chunked(struct wr_session *s, struct wr_h1_in *in, char *p, size_t n,
                               size_t *got)
{
    size_t raw, at;
    enum wr_io io = take_bytes(s, p, n, &raw);

    *got = 0;
    if (io != WR_IO_OK)
        return eof_is_error(s, io);
    if (!wr_chunked_in_place(&in->chunked, p, raw, got, &at)) {
        s->conn.error = 0; /* wr_endpoint_why has the reason */
        return WR_IO_ERROR;
    }
    in->done = in->chunked.done;
    if (at < raw)
        put_back(s, p + at, raw - at);
    return WR_IO_OK;
}

enum wr_io wr_h1_read_in(struct wr_session *s, struct wr_h1_in *in, void *p, size_t n, size_t *got)
{
    enum wr_io io;

    *got = 0;
    if (in->done)
        return WR_IO_EOF;
    if (in->framing == WR_BODY_CLOSE) /* the head was bad: no body */
        return WR_IO_EOF;
    if (in->framing == WR_BODY_CHUNKED) {
        do {
            io = read_chunked(s, in, p, n, got);
        } while (io == WR_IO_OK && *got == 0 && !in->done);
        return io == WR_IO_OK && *got == 0 ? WR_IO_EOF : io;
    }
    io = take_bytes(s, p, (size_t)wr_min((uint64_t)n, in->left), got);
    if (io == WR_IO_OK) {
        in->left -= *got;
        in->done = in->left == 0;
    }
    return eof_is_error(s, io);
}

/* ---- a request begins ---- */

static void finished(struct wr_exchange *x);

/* Makes an exchange of a head that is complete, or bad. text: all unread bytes. Returns how many of
 * them it used. */
static size_t begin_request(struct wr_session *s, struct wr_str text)
{
    struct wr_h1_session *hs = wr_h1_session_of(s);
    const struct wr_h1_progress *p = &hs->progress;
    size_t n = p->size > 0 ? p->size : text.n, used = p->size;
    struct wr_exchange *x = wr_http_request_new(s, hs->head_ms);
    struct wr_http *h = wr_http_of(x);
    struct wr_h1_in *in = &wr_h1_server_open(x)->in;
    struct wr_head_rules rules = { &h->server->limits, x->pool, wr_http_host_known, x };

    x->over = finished;
    wr_session_own(x);
    h->pipelined = hs->pipelined;
    hs->head_ms = 0;
    if (wr_h1_request(wr_pool_str(x->pool, wr_str_of(text.p, n)), &rules, &hs->progress, &h->req)
        == WR_PARSE_OK) {
        h->keepalive = h->req.keepalive;
        h->expect = h->req.expect && h->req.version >= 11;
        wr_h1_in_begin(in, h->req.framing, h->req.length);
    } else {
        wr_http_request_bad(x, p->status, p->why, p->first_line_done);
        used = p->line;
        in->framing = WR_BODY_CLOSE; /* the session drops all further input */
    }
    if (h->req.ignored.p != NULL)
        wr_xlog(x, WR_LOG_INFO, 0, "client sent invalid header line: \"" WR_FMT "\"",
                WR_ARG(h->req.ignored));
    return used;
}

static bool is_head_complete(struct wr_session *s, struct wr_str text)
{
    struct wr_h1_session *hs = wr_h1_session_of(s);

    return wr_h1_head_end(text, head_limits(s), true, &hs->progress) != WR_PARSE_MORE;
}

static void wait_for_head(struct wr_session *s, bool begun)
{
    struct wr_h1_session *hs = wr_h1_session_of(s);

    /* One deadline for the whole head: it begins with the connection, for later requests with the
     * first byte. */
    if (wr_http_session_of(s)->requests == 0 ? s->conn.deadline.at == 0 : begun && hs->head_ms == 0)
        wr_conn_timeout(&s->conn, wr_http_header_ms(s));
    if (begun) {
        wr_session_idle(s, false);
        hs->head_ms = hs->head_ms != 0 ? hs->head_ms : wr_now();
    }
    wr_conn_arm(&s->conn);
}

static void run_request(struct wr_session *s)
{
    struct wr_h1_session *hs = wr_h1_session_of(s);

    wr_session_idle(s, false);
    wr_conn_timeout(&s->conn, 0);
    hs->progress = (struct wr_h1_progress){ 0 };
    wr_exchange_run(s->x);
}

/* The rest of a head will not come. Make it a request nevertheless, so that it is logged. */
static void end_head(struct wr_session *s, uint16_t status, const char *why)
{
    struct wr_h1_session *hs = wr_h1_session_of(s);

    if (hs->at == hs->n) {
        wr_session_end(s);
        return;
    }
    hs->progress.status = status;
    hs->progress.why = why;
    hs->at += begin_request(s, wr_str_of(hs->buf + hs->at, hs->n - hs->at));
    wr_http_of(s->x)->aborted = status == 400;
    run_request(s);
}

/* Reads a request's first bytes into the worker's scratch; the session needs memory only for an
 * incomplete head, a body or a pipelined request. */
static void read_head(struct wr_session *s)
{
    struct wr_h1_session *hs = wr_h1_session_of(s);
    size_t got, room = wr_min(wr_max(head_limits(s)->line, (size_t)16384),
                              (size_t)WR_SCRATCH);

    for (;;) {
        struct wr_str text = wr_str_of(hs->n > hs->at ? hs->buf + hs->at : "", hs->n - hs->at);
        bool stored = text.n > 0;
        enum wr_io io;

        if (stored && is_head_complete(s, text)) {
            hs->at += begin_request(s, text);
            release_buf(hs);
            run_request(s);
            return;
        }
        io = wr_conn_read(&s->conn, wr_scratch, room, &got);
        if (io == WR_IO_AGAIN) {
            wait_for_head(s, stored);
            return;
        }
        if (io != WR_IO_OK) {
            end_head(s, 400, io == WR_IO_EOF ? "client prematurely closed connection"
                                             : "recv() failed");
            return;
        }
        if (!stored && is_head_complete(s, wr_str_of(wr_scratch, got))) {
            size_t used = begin_request(s, wr_str_of(wr_scratch, got));

            store_bytes(hs, wr_scratch + used, got - used);
            run_request(s);
            return;
        }
        store_bytes(hs, wr_scratch, got);
    }
}

/* ---- after a request ---- */

static void drop_begin(struct wr_session *s, const struct wr_http_conf *c,
                       const struct wr_h1_in *rest, bool closing)
{
    struct wr_h1_drop *d = wr_calloc(1, sizeof(*d));
    uint64_t total = wr_max(c->lingering_time_ms, (uint64_t)1);

    d->in = *rest;
    d->closing = closing;
    d->until = wr_now() + total;
    d->each = c->lingering_timeout_ms;
    wr_h1_session_of(s)->drop = d;
    wr_conn_timeout(&s->conn, wr_max(wr_min(d->each, total), (uint64_t)1));
    wr_task_wake(s->loop, &s->task);
}

static void drop_end(struct wr_h1_session *hs)
{
    free(hs->drop);
    hs->drop = NULL;
}

static void await_next(struct wr_session *s, struct wr_h1_session *hs)
{
    if (s->conn.read_eof || s->quitting) {
        wr_session_end(s);
        return;
    }
    hs->received_before = s->conn.received - (hs->n - hs->at);
    hs->pipelined = hs->n > hs->at;
    if (hs->n > hs->at || (s->conn.ready & WR_READABLE) != 0)
        wr_task_wake(s->loop, &s->task);
    else
        wr_conn_arm(&s->conn);
    wr_session_idle(s, hs->n == hs->at);
    wr_conn_timeout(&s->conn, hs->keep_ms);
}

static enum wr_io drop_some(struct wr_session *s, struct wr_h1_drop *d, int *reads)
{
    enum wr_io io = WR_IO_OK;
    size_t got;

    while (io == WR_IO_OK && *reads < DROPS) {
        io = d->closing ? take_bytes(s, wr_scratch, 65536, &got)
                        : wr_h1_read_in(s, &d->in, wr_scratch, 65536, &got);
        *reads += io == WR_IO_OK;
    }
    return io;
}

/* Reads and drops the rest of a body; with `closing` all input, until the client closes: closing
 * with unread bytes would send RST, which may destroy the reply. */
static void drop_input(struct wr_session *s, struct wr_h1_session *hs)
{
    struct wr_h1_drop *d = hs->drop;
    enum wr_io io;
    int reads = 0;

    if (wr_now() >= d->until || s->conn.deadline.fired) {
        wr_session_end(s);
        return;
    }
    if (d->closing) /* again, as TLS may not have sent all of close_notify at once */
        (void)!wr_conn_shutdown(&s->conn);
    io = drop_some(s, d, &reads);
    if (io == WR_IO_EOF && !d->closing) {
        drop_end(hs);
        await_next(s, hs);
    } else if (io != WR_IO_AGAIN && io != WR_IO_OK) {
        wr_session_end(s);
    } else {
        if (reads > 0)
            wr_conn_timeout(&s->conn, wr_max(wr_min(d->each, d->until - wr_now()), (uint64_t)1));
        if (io == WR_IO_OK)
            wr_task_wake(s->loop, &s->task);
        wr_conn_arm(&s->conn);
    }
}

static void finished(struct wr_exchange *x)
{
    struct wr_session *s = x->s;
    struct wr_h1_session *hs = wr_h1_session_of(s);
    struct wr_http *h = wr_http_of(x);
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    const struct wr_h1_server *sv;
    bool closing;

    if (h->tunnel || h->aborted) { /* the endpoint need not be h1_server any more */
        wr_session_end(s);
        return;
    }
    sv = WR_CHECK(x->client.state, H1_SERVER);
    s->keep_until = c->keepalive_min_timeout_ms > 0 ? wr_now() + c->keepalive_min_timeout_ms : 0;
    closing = !h->keepalive || s->quitting;
    if (closing && (sv->in.done || c->lingering_close == 0) && c->lingering_close != 2
        && hs->n == hs->at)
        wr_session_end(s);
    else if (!closing && sv->in.done)
        await_next(s, hs);
    else
        drop_begin(s, c, &sv->in, closing);
}

/* ---- the session ---- */

void wr_h1_session_wake(struct wr_session *s)
{
    struct wr_h1_session *hs = wr_h1_session_of(s);

    if (hs->drop != NULL)
        drop_input(s, hs);
    else if (s->conn.deadline.fired)
        end_head(s, 408, "client timed out");
    else
        read_head(s);
}

/* Closes an idle connection. Another one is closed after its request, as s->quitting is set. */
void wr_h1_session_drain(struct wr_session *s)
{
    if (s->idle && s->keep_until <= wr_now())
        wr_session_end(s);
    else if (s->idle)
        wr_conn_timeout(&s->conn, s->keep_until - wr_now());
}

void wr_h1_session_ended(struct wr_session *s)
{
    struct wr_h1_session *hs = wr_h1_session_of(s);

    drop_end(hs);
    free(hs->buf);
    hs->buf = NULL;
    hs->at = hs->n = 0;
}
