/* http_upstream: sends a request to a server. The step body first reads the client's body; the
 * steps send and head send the request and wait for the reply's head. Proxy modules call
 * wr_http_proxy; a failure leads to the step retry, a reply to the step respond. */
#include "http/http_impl.h"

#include <errno.h>

void wr_http_leave_upstream(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);

    if (x->peer.ops != NULL)
        x->peer.ops->end(&x->peer, WR_END_FIN);
    h->asking = h->wanted = h->conditional = false;
    if (x->tries == NULL)
        return;
    wr_relay_end(&x->up, x->loop);
    x->up.src = x->up.dst = NULL; /* `taken` stays: what was read cannot be sent again */
    wr_tries_end(x);
}

static enum wr_go body_run(struct wr_exchange *x)
{
    switch (wr_http_read_body(x)) {
    case WR_HOLD:
        return WR_WAIT;
    case WR_REJECTED:
        return x->layer->reject(x, x->status);
    default:
        x->tries->begun_ms = wr_now(); /* time spent waiting for the client does not count */
        x->step = &wr_step_start;
        return WR_GO;
    }
}

const struct wr_step wr_step_body = { "body", "reading client request body", body_run };

/* With these schemes the connection is authenticated, not the request (RFC 4559 6). */
static bool authenticates_connection(const struct wr_request *r)
{
    struct wr_str value = wr_fields_value(&r->fields, WR_F_AUTHORIZATION);
    struct wr_str scheme = wr_str_of(value.p, 0);

    while (scheme.n < value.n && wr_is_alnum(value.p[scheme.n])) /* a tab may follow, too */
        scheme.n++;
    return wr_str_ieq(scheme, WR_STR("NTLM")) || wr_str_ieq(scheme, WR_STR("Negotiate"));
}

enum wr_verdict wr_http_proxy(struct wr_exchange *x, const struct wr_http_proxy_ops *ops,
                              const struct wr_http_proxy_conf *conf, struct wr_upstream *u,
                              struct wr_str target, uint16_t default_port)
{
    const struct wr_proxy_hook *hook = wr_proxy_hook_of(x);
    struct wr_http *h = wr_http_of(x);

    if (wr_http_has_lost_body(x)) { /* an earlier proxy_pass sent its beginning */
        wr_xlog(x, WR_LOG_ERROR, 0, "a request body that was sent on cannot be sent again");
        return wr_reject(x, 502, NULL);
    }
    h->proxy = ops;
    h->proxy_conf = conf;
    h->peer_speaker = conf->speaker;
    h->asking = false;
    if (hook != NULL) {
        enum wr_verdict v = hook->start(x);

        if (v != WR_PASS)
            return v;
    }
    h->asking = true;
    if (u != NULL)
        wr_upstream_start(x, u, &conf->rows);
    else if (!wr_upstream_start_text(x, target, default_port, &conf->rows))
        return wr_reject(x, 500, NULL);
    x->tries->speaker = conf->speaker->peer.link;
    if (x->tries->u != NULL && x->tries->u->own_links)
        wr_tries_own_link(x, authenticates_connection(&h->req));
    if (h->req.framing != WR_BODY_NONE && !h->body.complete
        && (conf->request_buffering || conf->set_body != NULL
            || (h->req.framing == WR_BODY_CHUNKED && !conf->chunked_out)))
        x->step = &wr_step_body;
    else if (h->req.framing != WR_BODY_NONE && !h->body.complete)
        return wr_http_preread_body(x) == WR_PASS ? WR_TAKEN : WR_REJECTED;
    return WR_TAKEN;
}

static uint64_t body_length(const struct wr_exchange *x)
{
    const struct wr_http *h = wr_http_of(x);

    if (h->body.complete || h->req.framing == WR_BODY_NONE)
        return h->body.size;
    return h->req.framing == WR_BODY_LENGTH ? h->req.length : UINT64_MAX;
}

/* A complete body is sent from memory and file, and stays for another try; else it streams. */
static void request_direction(struct wr_exchange *x, struct wr_str own)
{
    struct wr_http *h = wr_http_of(x);

    if (x->up.dst != NULL) /* left by the previous try */
        wr_relay_end(&x->up, x->loop);
    x->up = (struct wr_relay){ .dst = &x->peer, .high = 16384, .copied = true };
    if (own.n > 0)
        wr_bufq_borrow(&x->up.q, own.p, own.n);
    if (own.p != NULL || !h->proxy_conf->pass_request_body)
        return;
    if (h->body.q.n > 0) /* the whole body, or the part that came with the head */
        wr_bufq_tee(&x->up.q, &h->body.q);
    if (h->body.file != NULL)
        wr_bufq_file(&x->up.q, &h->body.file->reader, 0, (size_t)h->body.file->size);
    if (!h->body.complete && h->req.framing != WR_BODY_NONE)
        x->up.src = &x->client;
}

static enum wr_go head_run(struct wr_exchange *x);

static const struct wr_step step_send = { "send", "sending request to upstream", head_run };

static bool send_request(struct wr_exchange *x, uint64_t length)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_request_out out = wr_request_out(&h->req, length);
    const struct wr_proxy_hook *hook = wr_proxy_hook_of(x);

    if (!h->proxy->request(x, &out))
        return false;
    if (hook != NULL)
        hook->request(x, &out);
    h->upstream_method = out.method;
    return h->peer_speaker->peer.request(x, &out);
}

enum wr_go wr_http_connected(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);
    uint64_t length = h->proxy_conf->pass_request_body ? body_length(x) : 0;
    struct wr_str own = { NULL, 0 };

    if (h->proxy_conf->set_body != NULL) {
        own = wr_template_str(x, h->proxy_conf->set_body);
        if (own.p == NULL)
            return x->layer->reject(x, 500);
        length = own.n;
    }
    if (!send_request(x, length))
        return x->layer->reject(x, 500);
    if (!x->tries->lease.reused)
        wr_socket_nodelay(wr_try_conn(x->tries)->fd);
    request_direction(x, own);
    wr_timer_off(x->loop, &x->idle); /* keep_patience sets it */
    x->step = &step_send;
    return WR_GO;
}

/* ---- send, head: the reply may come before the whole request is sent ---- */

static struct wr_try_verdict judge_try(const struct wr_exchange *x, enum wr_failure why)
{
    const struct wr_http *h = wr_http_of(x);
    const struct wr_lease *e = &x->tries->lease;
    bool (*refused)(const struct wr_exchange *) = h->peer_speaker->peer.refused;

    return wr_try_judge(&(struct wr_try_facts){
        .failure = why,
        .reused = e->reused,
        .idempotent = wr_method_idempotent(h->req.method),
        .refused = refused != NULL && refused(x),
        .sent = wr_lease_sent(e),
        .received = wr_lease_received(e),
    });
}

enum wr_go wr_http_fail_try(struct wr_exchange *x, enum wr_failure why)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_tries *a = x->tries;
    struct wr_try_verdict v = judge_try(x, why);

    a->failure = v.failure;
    a->lost = a->lost || wr_http_has_lost_body(x);
    a->sealed = a->sealed || (v.processed && !wr_method_idempotent(h->req.method));
    if (x->peer.ops != NULL)
        x->peer.ops->end(&x->peer, WR_END_RESET);
    wr_response_init(&h->res);
    x->step = &wr_step_retry;
    return WR_GO;
}

void wr_http_abort(struct wr_exchange *x, enum wr_abort how)
{
    struct wr_http *h = wr_http_of(x);

    h->aborted = true;
    h->keepalive = false;
    if (h->speaker != NULL && h->speaker->server.abort != NULL)
        h->speaker->server.abort(x, how);
}

static enum wr_go client_gone(struct wr_exchange *x)
{
    wr_xlog(x, WR_LOG_INFO, wr_endpoint_error(&x->client), "client prematurely closed connection");
    if (wr_http_go_on(x))
        return WR_WAIT;
    wr_http_abort(x, WR_ABORT_LEFT);
    return wr_finish(x, wr_http_of(x)->head_sent ? 0 : 499);
}

/* True: the client's FIN changes nothing here, or body bytes before it are still to be read. */
static bool is_end_expected(const struct wr_exchange *x)
{
    const struct wr_http *h = wr_http_of(x);

    if (h->tunnel || x->step == &wr_step_phases || x->step == &wr_step_body)
        return true;
    if (x->step != &wr_step_dial && x->step != &wr_step_pick && x->up.src != NULL && !x->up.src_fin
        && !x->up.dst_fin)
        return true;
    return h->proxy != NULL && h->proxy_conf->ignore_client_abort;
}

/* As in nginx, a client that sends FIN while it waits for its reply has left, even if it has sent
 * pipelined requests. */
enum wr_go wr_http_left(struct wr_exchange *x)
{
    struct wr_conn *c = x->client.conn;

    if (is_end_expected(x))
        return WR_WAIT;
    if (c != NULL && (c->ready & WR_ERR) != 0 && c->error == 0)
        c->error = wr_socket_error(c->fd);
    return client_gone(x);
}

/* Sends the head of the request even if no byte of its body has come yet. */
static void send_head(struct wr_exchange *x)
{
    size_t put;

    if (x->up.src != NULL && x->up.q.n == 0)
        (void)x->peer.ops->write(&x->peer, NULL, false, &put); /* the next read reports an error */
}

/* True: a request that streams waits for bytes of the client, not for the server. */
static bool awaits_client(const struct wr_exchange *x)
{
    return x->up.src != NULL && !x->up.src_fin && !x->up.dst_fin && x->up.q.n == 0;
}

/* True: go on to the reply; false: return *go. */
static bool pump_up(struct wr_exchange *x, bool *moved, enum wr_go *go)
{
    enum wr_pump p;

    if (x->up.dst_fin || x->up.dst == NULL)
        return true;
    if (x->up.src != NULL)
        wr_http_want_body(x);
    p = wr_relay_pump(&x->up, x->loop, moved);
    send_head(x);
    if (p == WR_PUMP_MORE)
        wr_exchange_wake(x);
    if (p == WR_PUMP_DONE) /* the wait for the reply begins now */
        *moved = true;
    if (p == WR_PUMP_SRC_ERROR) {
        *go = wr_endpoint_why(&x->client) != NULL ? x->layer->reject(x, 400) : client_gone(x);
        return false;
    }
    if (wr_http_streams_too_much(x)) {
        wr_xlog(x, WR_LOG_ERROR, 0, "client intended to send too large chunked body: %llu bytes",
                (unsigned long long)(wr_http_of(x)->body.size + x->up.taken));
        *go = x->layer->reject(x, 413);
        return false;
    }
    /* The server may have replied without reading the body: look for its reply. */
    if (p == WR_PUMP_DST_ERROR)
        x->up.dst_fin = true;
    return true;
}

/* Waits for either side while there is no reply. */
static enum wr_go keep_patience(struct wr_exchange *x, bool moved)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    const struct wr_http_proxy_conf *conf = wr_http_of(x)->proxy_conf;
    bool client = awaits_client(x);
    struct wr_patience p = {
        .whom = client ? WR_AWAITS_CLIENT : WR_AWAITS_SERVER, .moved = moved,
        .busy = !x->up.dst_fin && wr_relay_is_busy(&x->up),
    };

    switch (wr_patience_keep(x, p, client ? c->client_body_timeout_ms
                                 : x->up.dst_fin ? conf->read_timeout_ms : conf->send_timeout_ms)) {
    case WR_TIMEOUT_REFUSE:
        wr_http_of(x)->keepalive = false;
        return x->layer->reject(x, 408);
    case WR_TIMEOUT_FAIL:
        return wr_http_fail_try(x, WR_FAIL_TIMEOUT);
    default: /* within the timeout */
        return WR_WAIT;
    }
}

static enum wr_go invalid_reply(struct wr_exchange *x, const char *why)
{
    wr_xlog(x, WR_LOG_ERROR, 0, "%s", why);
    return wr_http_fail_try(x, WR_FAIL_INVALID);
}

static enum wr_go upstream_failed(struct wr_exchange *x, enum wr_io io)
{
    const struct wr_lease *e = &x->tries->lease;
    const char *why = io == WR_IO_ERROR ? wr_endpoint_why(&x->peer) : NULL;

    if (why != NULL)
        return invalid_reply(x, why);
    if (e->reused && wr_lease_received(e) == 0)
        wr_xlog(x, WR_LOG_DEBUG, 0, "a kept connection was closed by the server");
    else if (io == WR_IO_EOF)
        wr_xlog(x, WR_LOG_ERROR, 0, "upstream prematurely closed connection");
    else
        wr_xlog(x, WR_LOG_ERROR, e->link->conn.error, "recv() failed");
    return wr_http_fail_try(x, WR_FAIL_ERROR);
}

static bool asked_to_upgrade(const struct wr_http *h)
{
    return wr_fields_first(&h->req.fields, WR_F_UPGRADE) != NULL;
}

static enum wr_go head_run(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);
    enum wr_go go = WR_WAIT;
    bool moved = false;
    enum wr_io io;

    if (!pump_up(x, &moved, &go))
        return go;
    if (x->up.dst_fin)
        x->step = &wr_step_head;
    do {
        io = h->peer_speaker->peer.head(x);
        /* Interim replies are dropped; 101 is final. */
    } while (io == WR_IO_OK && h->res.status < 200 && h->res.status != 101);
    if (io == WR_IO_OK && h->res.status == 101 && !asked_to_upgrade(h))
        return invalid_reply(x, "upstream sent 101 that was not asked for");
    if (io == WR_IO_OK)
        return wr_http_take_reply(x);
    if (io != WR_IO_AGAIN)
        return upstream_failed(x, io);
    return keep_patience(x, moved);
}

const struct wr_step wr_step_head = {
    "head", "reading response header from upstream", head_run
};
