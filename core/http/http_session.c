/* http_session: an HTTP/1 client connection: waits for heads, makes an exchange of each, and what
 * comes after it: the next request, a body nobody wanted, the end. Owns the unread bytes. */
#include "http/engine.h"

#include <errno.h>

#define DROPS 16 /* reads in one turn of what nobody wants */

static const struct wr_http_address *address_of(const struct wr_session *s)
{
    return s->listener->object;
}

static const struct wr_http_conf *standard_conf(const struct wr_session *s)
{
    return wr_scope_conf(address_of(s)->a.standard->scope, &wr_module_http);
}

/* ---- unread bytes ---- */

static void release(struct wr_http_session *hs)
{
    if (hs->at == hs->n) {
        free(hs->buf);
        hs->buf = NULL;
        hs->at = hs->n = hs->cap = 0;
    }
}

enum wr_io wr_http_take(struct wr_session *s, void *p, size_t n, size_t *got)
{
    struct wr_http_session *hs = s->of_layer;

    if (hs->at == hs->n)
        return wr_conn_read(&s->conn, p, n, got);
    *got = wr_min(n, hs->n - hs->at);
    memcpy(p, hs->buf + hs->at, *got);
    hs->at += *got;
    release(hs);
    return WR_IO_OK;
}

static void store(struct wr_http_session *hs, const char *p, size_t n)
{
    if (n == 0)
        return;
    if (hs->at > 0) { /* what was used makes room */
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

void wr_http_untake(struct wr_session *s, const void *p, size_t n)
{
    struct wr_http_session *hs = s->of_layer;
    char *old = hs->buf;
    size_t at = hs->at, end = hs->n;

    hs->buf = NULL;
    hs->at = hs->n = hs->cap = 0;
    store(hs, p, n);
    store(hs, old + at, end - at);
    free(old);
}

static enum wr_io gone(struct wr_session *s, enum wr_io io)
{
    if (io == WR_IO_EOF) {
        s->conn.error = 0;
        return WR_IO_ERROR;
    }
    return io;
}

static enum wr_io read_chunked(struct wr_session *s, char *p, size_t n, size_t *got)
{
    struct wr_h1_in *in = &wr_http_session_of(s)->in;
    size_t raw, at;
    enum wr_io io = wr_http_take(s, p, n, &raw);

    *got = 0;
    if (io != WR_IO_OK)
        return gone(s, io);
    if (!wr_chunked_in_place(&in->chunked, p, raw, got, &at)) {
        s->conn.error = EBADMSG;
        return WR_IO_ERROR;
    }
    in->done = in->chunked.done;
    if (at < raw)
        wr_http_untake(s, p + at, raw - at);
    return WR_IO_OK;
}

enum wr_io wr_http_read_in(struct wr_session *s, void *p, size_t n, size_t *got)
{
    struct wr_h1_in *in = &wr_http_session_of(s)->in;
    enum wr_io io;

    *got = 0;
    if (in->done)
        return WR_IO_EOF;
    if (in->framing == WR_BODY_CLOSE) /* of a request that was none */
        return WR_IO_EOF;
    if (in->framing == WR_BODY_CHUNKED) {
        do {
            io = read_chunked(s, p, n, got);
        } while (io == WR_IO_OK && *got == 0 && !in->done);
        return io == WR_IO_OK && *got == 0 ? WR_IO_EOF : io;
    }
    io = wr_http_take(s, p, (size_t)wr_min((uint64_t)n, in->left), got);
    if (io == WR_IO_OK) {
        in->left -= *got;
        in->done = in->left == 0;
    }
    return gone(s, io);
}

/* ---- a request begins ---- */

static void body_begins(struct wr_http_session *hs, const struct wr_request *r)
{
    hs->in = (struct wr_h1_in){
        .framing = r->framing,
        .left = r->framing == WR_BODY_LENGTH ? r->length : 0,
        .done = r->framing == WR_BODY_NONE || (r->framing == WR_BODY_LENGTH && r->length == 0),
    };
}

static void prepare(struct wr_exchange *x)
{
    struct wr_http *h = WR_NEW(x->pool, struct wr_http);

    x->of_layer = h;
    h->pool = x->pool;
    h->server = x->scope->object;
    h->session = x->s->of_layer;
    h->speaker = &wr_http1;
    h->redirects = 10;
    h->body.fd = -1;
    h->req.version = 11;
    h->res.last_modified = -1; /* as wr_response_init has it */
}

static void finished(struct wr_exchange *x);

static struct wr_exchange *request_new(struct wr_session *s)
{
    struct wr_http_session *hs = s->of_layer;
    struct wr_exchange *x = wr_exchange_new(s, address_of(s)->a.standard->scope, &wr_step_route);

    wr_h1_server_open(x);
    x->over = finished;
    x->left = wr_http_left;
    wr_session_enter(x);
    if (hs->head_ms != 0)
        x->begun_ms = hs->head_ms;
    hs->head_ms = 0;
    hs->requests++;
    return x;
}

static void enter_server(struct wr_exchange *x, struct wr_http_server *server)
{
    wr_http_of(x)->server = server;
    wr_exchange_scope(x, server->v.scope);
}

/* The server the handshake was for counts where no host is named, or the head too bad to tell. */
static bool enter_by_handshake(struct wr_exchange *x)
{
    bool secure = wr_tls_up(&x->s->conn);

    if (secure)
        enter_server(x, wr_ssl_scope(x->s)->object);
    return secure;
}

static const struct wr_head_limits *host_known(void *arg, const struct wr_request *r)
{
    struct wr_exchange *x = arg;
    const struct wr_address *a = &address_of(x->s)->a;
    struct wr_virtual *found = wr_host_find(a->map, x, r->host);
    bool named = r->host.n > 0 || found != a->standard;

    if (found != NULL && (named || !enter_by_handshake(x)))
        enter_server(x, wr_http_server_of(found));
    else if (found == NULL) /* it ends with 500, of the default server */
        enter_server(x, wr_http_server_of(a->standard));
    return &wr_http_of(x)->server->limits;
}

static void head_fine(struct wr_http *h, struct wr_http_session *hs)
{
    h->request_length = hs->progress.size;
    h->keepalive = h->req.keepalive;
    h->expect = h->req.expect && h->req.version >= 11;
    body_begins(hs, &h->req);
}

static void head_bad(struct wr_exchange *x, struct wr_http *h, struct wr_http_session *hs)
{
    if (h->req.host.n == 0)
        (void)enter_by_handshake(x);
    h->request_length = hs->progress.line;
    h->bad_status = hs->progress.status;
    h->bad_why = hs->progress.why;
    hs->in = (struct wr_h1_in){ .framing = WR_BODY_CLOSE }; /* whatever comes is dropped */
    h->req.framing = WR_BODY_NONE; /* and is no body for the page of the error */
    if (!hs->progress.first_line_done)
        x->step = &wr_step_bad_line;
}

/* text: all unread bytes; its head is complete, or bad. How many of them were used. */
static size_t head_read(struct wr_session *s, struct wr_str text)
{
    struct wr_http_session *hs = s->of_layer;
    struct wr_exchange *x = request_new(s);
    struct wr_http *h = wr_http_of(x);
    size_t n = hs->progress.size > 0 ? hs->progress.size : text.n;
    struct wr_head_rules rules = { &h->server->limits, x->pool, host_known, x };

    if (wr_h1_request(wr_pool_str(x->pool, wr_str_of(text.p, n)), &rules, &hs->progress, &h->req)
        == WR_PARSE_OK)
        head_fine(h, hs);
    else
        head_bad(x, h, hs);
    if (h->req.ignored.p != NULL)
        wr_xlog(x, WR_LOG_INFO, 0, "client sent invalid header line: \"" WR_FMT "\"",
                WR_ARG(h->req.ignored));
    return h->request_length;
}

static bool head_complete(struct wr_session *s, struct wr_str text)
{
    struct wr_http_session *hs = s->of_layer;

    return wr_h1_head_end(text, &address_of(s)->most, true, &hs->progress) != WR_PARSE_MORE;
}

static void head_wait(struct wr_session *s, bool begun)
{
    struct wr_http_session *hs = s->of_layer;

    /* One deadline for the whole head: it begins with the connection, later with the first byte
     * behind the request before. */
    if (hs->requests == 0 ? s->conn.deadline.at == 0 : begun && hs->head_ms == 0)
        wr_conn_timeout(&s->conn, standard_conf(s)->client_header_timeout_ms);
    if (begun) {
        wr_session_idle(s, false);
        hs->head_ms = hs->head_ms != 0 ? hs->head_ms : wr_now();
    }
    wr_conn_arm(&s->conn);
}

static void run(struct wr_session *s)
{
    struct wr_http_session *hs = s->of_layer;

    wr_session_idle(s, false);
    wr_conn_timeout(&s->conn, 0);
    hs->progress = (struct wr_h1_progress){ 0 };
    wr_exchange_run(s->x);
}

/* The rest of a head will not come. It is a request all the same, for the log. */
static void head_ends(struct wr_session *s, uint16_t status, const char *why)
{
    struct wr_http_session *hs = s->of_layer;

    if (hs->at == hs->n) {
        wr_session_end(s);
        return;
    }
    hs->progress.status = status;
    hs->progress.why = why;
    hs->at += head_read(s, wr_str_of(hs->buf + hs->at, hs->n - hs->at));
    wr_http_of(s->x)->aborted = status == 400;
    run(s);
}

static void head_broken_off(struct wr_session *s, enum wr_io io)
{
    head_ends(s, 400, io == WR_IO_EOF ? "client prematurely closed connection" : "recv() failed");
}

/* The first read of a request goes into the worker's scratch; only an incomplete head, a body or
 * a pipelined request makes the session hold memory. */
static void read_head(struct wr_session *s)
{
    struct wr_http_session *hs = s->of_layer;
    size_t got, room = wr_min(wr_max(address_of(s)->most.line, (size_t)16384),
                              (size_t)WR_SCRATCH);

    for (;;) {
        struct wr_str text = wr_str_of(hs->n > hs->at ? hs->buf + hs->at : "", hs->n - hs->at);
        bool stored = text.n > 0;
        enum wr_io io;
        char *scratch = wr_loop_scratch(s->loop);

        if (stored && head_complete(s, text)) {
            hs->at += head_read(s, text);
            release(hs);
            run(s);
            return;
        }
        io = wr_conn_read(&s->conn, scratch, room, &got);
        if (io == WR_IO_AGAIN) {
            head_wait(s, stored);
            return;
        }
        if (io != WR_IO_OK) {
            head_broken_off(s, io);
            return;
        }
        if (!stored && head_complete(s, wr_str_of(scratch, got))) {
            size_t used = head_read(s, wr_str_of(scratch, got));

            store(hs, scratch + used, got - used);
            run(s);
            return;
        }
        store(hs, scratch, got);
    }
}

/* ---- after a request ---- */

static void drop_begin(struct wr_session *s, uint64_t total_ms, uint64_t each_ms)
{
    struct wr_http_session *hs = s->of_layer;

    hs->linger_until = wr_now() + wr_max(total_ms, (uint64_t)1);
    hs->linger_each = each_ms;
    wr_conn_timeout(&s->conn, wr_max(wr_min(each_ms, total_ms), (uint64_t)1));
}

/* Reads and drops the rest of a body; with `closing` anything at all, until the client closes:
 * closing with unread bytes would send RST and may destroy the reply. */
static void drop(struct wr_session *s)
{
    struct wr_http_session *hs = s->of_layer;
    size_t got;
    enum wr_io io = WR_IO_OK;
    int reads = 0;
    char *scratch = wr_loop_scratch(s->loop);

    if (wr_now() >= hs->linger_until || s->conn.deadline.fired) {
        wr_session_end(s);
        return;
    }
    if (hs->closing) /* TLS may not have got its last message out at once */
        (void)!wr_conn_shutdown(&s->conn);
    while (io == WR_IO_OK && reads < DROPS) {
        io = hs->closing ? wr_http_take(s, scratch, 65536, &got)
                         : wr_http_read_in(s, scratch, 65536, &got);
        reads += io == WR_IO_OK;
    }
    if (io == WR_IO_EOF && !hs->closing) {
        hs->linger_until = 0;
        wr_http_next(s, true);
    } else if (io != WR_IO_AGAIN && io != WR_IO_OK) {
        wr_session_end(s);
    } else {
        if (reads > 0)
            wr_conn_timeout(&s->conn, wr_max(wr_min(hs->linger_each, hs->linger_until - wr_now()),
                                             (uint64_t)1));
        if (io == WR_IO_OK)
            wr_task_wake(s->loop, &s->task);
        wr_conn_arm(&s->conn);
    }
}

void wr_http_next(struct wr_session *s, bool keep)
{
    struct wr_http_session *hs = s->of_layer;

    if (!keep || s->conn.read_eof || s->quitting) {
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

static void finished(struct wr_exchange *x)
{
    struct wr_session *s = x->s;
    struct wr_http_session *hs = s->of_layer;
    struct wr_http *h = wr_http_of(x);
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);

    wr_bufq_clear(&h->body.q);
    if (h->tunnel || h->aborted) {
        wr_session_end(s);
        return;
    }
    hs->keep_ms = wr_http_keepalive_ms(x);
    s->keep_until = c->keepalive_min_timeout_ms > 0 ? wr_now() + c->keepalive_min_timeout_ms : 0;
    hs->closing = !h->keepalive || hs->keep_ms == 0;
    if (hs->closing && (hs->in.done || c->lingering_close == 0) && c->lingering_close != 2
        && hs->n == hs->at) {
        wr_session_end(s);
        return;
    }
    if (!hs->closing && hs->in.done) {
        wr_http_next(s, true);
        return;
    }
    drop_begin(s, c->lingering_time_ms, c->lingering_timeout_ms);
    wr_task_wake(s->loop, &s->task);
}

static void wake(struct wr_session *s)
{
    struct wr_http_session *hs = s->of_layer;

    if (s->listener->ssl && !hs->secured && !wr_http_secured(s))
        return;
    if (hs->linger_until > 0) {
        drop(s);
    } else if (s->conn.deadline.fired) {
        head_ends(s, 408, "client timed out");
    } else {
        read_head(s);
    }
}

static void begin(struct wr_session *s)
{
    (void)s;
}

static const struct wr_scope *greeting(const struct wr_session *s, uint64_t *ms)
{
    if (ms != NULL)
        *ms = standard_conf(s)->client_header_timeout_ms;
    return address_of(s)->a.standard->scope;
}

static void session_ended(struct wr_session *s)
{
    struct wr_http_session *hs = s->of_layer;

    free(hs->buf);
    hs->buf = NULL;
    hs->at = hs->n = 0;
}

static enum wr_go no_content(struct wr_exchange *x)
{
    return x->layer->reject(x, 404);
}

static enum wr_go reject(struct wr_exchange *x, unsigned status)
{
    return wr_http_error(x, status) == WR_HOLD ? WR_WAIT : WR_GO;
}

static void log_context(const struct wr_exchange *x, struct wr_text *t)
{
    const struct wr_http *h = wr_http_of(x);
    const struct wr_attempts *a = x->attempts;
    struct wr_str host;

    if (h == NULL)
        return;
    wr_text_c(t, ", server: ");
    wr_text_str(t, h->server->v.name);
    if (h->req.line.n > 0) {
        wr_text_c(t, ", request: \"");
        wr_text_str(t, h->req.line);
        wr_text_char(t, '"');
    }
    if (a != NULL && a->tries.n > 0) {
        wr_text_c(t, ", upstream: \"");
        if (h->proxy != NULL && h->proxy->log_url != NULL) {
            h->proxy->log_url(x, t);
        } else {
            wr_text_c(t, "http://");
            wr_try_whom(t, &a->tries.at[a->tries.n - 1]);
        }
        wr_text_char(t, '"');
    }
    host = wr_fields_value(&h->req.fields, WR_F_HOST);
    if (host.n > 0) {
        wr_text_c(t, ", host: \"");
        wr_text_str(t, host);
        wr_text_char(t, '"');
    }
}

const struct wr_layer wr_layer_http = {
    .name = "http",
    .bit = WR_L7,
    .session_size = sizeof(struct wr_http_session),
    .begin = begin,
    .greeting = greeting,
    .by_name = wr_http_by_name,
    .prepare = prepare,
    .wake = wake,
    .no_content = no_content,
    .reject = reject,
    .connected = wr_http_connected,
    .field = wr_http_field,
    .log_context = log_context,
    .session_ended = session_ended,
};
