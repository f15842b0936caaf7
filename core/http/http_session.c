/* http_session: the part of a client connection that all speakers share: making a request's
 * exchange, finding its server; and the layer's table. The speaker reads and writes the
 * connection. */
#include "http/http_impl.h"

static const struct wr_http_address *address_of(const struct wr_session *s)
{
    return WR_CHECK(s->listener->object, HTTP_ADDRESS);
}

uint64_t wr_http_header_ms(const struct wr_session *s)
{
    const struct wr_http_conf *c = wr_scope_conf(address_of(s)->a.default_server->scope,
                                                 &wr_module_http);

    return c->client_header_timeout_ms;
}

/* ---- a request begins ---- */

static void prepare(struct wr_exchange *x)
{
    struct wr_http *h = WR_NEW(x->pool, struct wr_http);

    WR_TYPED(h, HTTP);
    x->of_layer = h;
    h->server = WR_CHECK(x->scope->object, HTTP_SERVER);
    h->session = wr_http_session_of(x->s);
    h->redirects = 10;
    h->req.version = 11;
    h->res.last_modified = -1; /* as wr_response_init has it */
}

struct wr_exchange *wr_http_request_new(struct wr_session *s, uint64_t begun_ms)
{
    struct wr_exchange *x = wr_exchange_new(s, address_of(s)->a.default_server->scope,
                                            &wr_step_route);
    struct wr_http_session *hs = wr_http_session_of(s);

    wr_http_of(x)->speaker = hs->speaker;
    x->left = wr_http_left;
    if (begun_ms != 0)
        x->begun_ms = begun_ms;
    hs->requests++;
    wr_session_add(x);
    return x;
}

static void enter_server(struct wr_exchange *x, struct wr_http *h, struct wr_http_server *server)
{
    h->server = server;
    wr_exchange_scope(x, server->v.scope);
}

/* Enters the server of the TLS handshake, for a request that names no host, or whose host cannot be
 * read from a bad head. False: not TLS. */
static bool enter_by_handshake(struct wr_exchange *x, struct wr_http *h)
{
    bool secure = wr_tls_up(&x->s->conn);

    if (secure)
        enter_server(x, h, WR_CHECK(wr_ssl_scope(x->s)->object, HTTP_SERVER));
    return secure;
}

const struct wr_head_limits *wr_http_host_known(void *exchange, const struct wr_request *r)
{
    struct wr_exchange *x = WR_CHECK(exchange, EXCHANGE);
    const struct wr_address *a = &address_of(x->s)->a;
    struct wr_http *h = wr_http_of(x);
    struct wr_virtual *found = wr_host_find(a->map, x, r->host);
    bool named = r->host.n > 0 || found != a->default_server;

    if (found != NULL && (named || !enter_by_handshake(x, h)))
        enter_server(x, h, wr_http_server_of(found));
    else if (found == NULL) /* the default server replies with 500 */
        enter_server(x, h, wr_http_server_of(a->default_server));
    return &h->server->limits;
}

void wr_http_request_bad(struct wr_exchange *x, uint16_t status, const char *why, bool line)
{
    struct wr_http *h = wr_http_of(x);

    if (h->req.host.n == 0)
        (void)enter_by_handshake(x, h);
    h->bad_status = status;
    h->bad_why = why;
    h->req.framing = WR_BODY_NONE; /* further input is not a body for the error page */
    if (!line)
        x->step = &wr_step_bad_line;
}

/* ---- the layer ---- */

static void begin(struct wr_session *s)
{
    (void)s;
}

static void wake(struct wr_session *s)
{
    const struct wr_http_session *hs = wr_http_session_of(s);

    if (s->listener->ssl && !hs->secured && !wr_http_secured(s))
        return;
    if (hs->speaker == NULL && !wr_speakers_begin(s))
        return;
    hs->speaker->server.wake(s);
}

static void drain(struct wr_session *s)
{
    const struct wr_http_session *hs = wr_http_session_of(s);

    if (hs->speaker != NULL)
        hs->speaker->server.drain(s);
}

static void session_ended(struct wr_session *s)
{
    const struct wr_http_session *hs = wr_http_session_of(s);

    if (hs->speaker != NULL)
        hs->speaker->server.ended(s);
}

static struct wr_str protocols(const struct wr_listener *l)
{
    const struct wr_http_address *a = WR_CHECK(l->object, HTTP_ADDRESS);

    return a->alpn;
}

static const struct wr_scope *greeting(const struct wr_session *s, uint64_t *ms)
{
    if (ms != NULL)
        *ms = wr_http_header_ms(s);
    return address_of(s)->a.default_server->scope;
}

static enum wr_go no_content(struct wr_exchange *x)
{
    return x->layer->reject(x, 404);
}

static enum wr_go reject(struct wr_exchange *x, unsigned status)
{
    if (wr_proxy_hook_fails(x, status))
        return WR_GO;
    return wr_http_error(x, status) == WR_HOLD ? WR_WAIT : WR_GO;
}

static void log_context(const struct wr_exchange *x, struct wr_text *t)
{
    const struct wr_http *h = wr_http_of(x);
    const struct wr_tries *a = x->tries;
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
    if (x->parent != NULL) {
        wr_text_c(t, ", subrequest: \"");
        wr_text_str(t, h->req.uri);
        wr_text_char(t, '"');
    }
    if (a != NULL && a->all.n > 0) {
        wr_text_c(t, ", upstream: \"");
        if (h->proxy != NULL && h->proxy->log_url != NULL) {
            h->proxy->log_url(x, t);
        } else {
            wr_text_c(t, "http://");
            wr_try_peer_text(t, &a->all.at[a->all.n - 1]);
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

static bool field_values(struct wr_exchange *x, struct wr_str name, struct wr_str *out)
{
    return wr_fields_values(x->pool, &wr_http_of(x)->req.fields, name, out);
}

const struct wr_layer wr_layer_http = {
    .name = "http",
    .bit = WR_L7,
    .session_size = sizeof(struct wr_http_session),
    .session_type = WR_TYPE_HTTP_SESSION,
    .begin = begin,
    .greeting = greeting,
    .by_name = wr_http_by_name,
    .speaks = wr_speakers_word,
    .protocols = protocols,
    .prepare = prepare,
    .wake = wake,
    .drain = drain,
    .no_content = no_content,
    .reject = reject,
    .connected = wr_http_connected,
    .field = field_values,
    .log_context = log_context,
    .session_ended = session_ended,
};
