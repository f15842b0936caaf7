/* http_relay: the step relay, after respond: moves the reply's body to the client, and to the peer
 * the rest of a request whose reply came early; then the exchange ends. An upgraded connection is a
 * tunnel (http_tunnel). */
#include "http/http_impl.h"

/* The peer might have taken longer for the whole reply. */
static void note_left(struct wr_exchange *x)
{
    if (wr_http_is_proxied(x, wr_http_of(x)))
        wr_try_now(x->tries)->left = true;
}

enum wr_go wr_http_cut(struct wr_exchange *x, enum wr_pump p)
{
    const struct wr_http *h = wr_http_of(x);

    wr_http_abort(x, WR_ABORT_CUT);
    if (p == WR_PUMP_SRC_ERROR && wr_http_is_proxied(x, h) && !h->tunnel && !x->down.broken) {
        const char *why = wr_endpoint_why(&x->peer);

        wr_try_now(x->tries)->cut = true;
        if (why != NULL)
            wr_xlog(x, WR_LOG_ERROR, 0, "%s", why);
        else
            wr_xlog(x, WR_LOG_ERROR, wr_try_conn(x->tries)->error, "recv() failed");
    } else if (p == WR_PUMP_DST_ERROR) {
        note_left(x);
        if (wr_endpoint_error(&x->client) != 0)
            wr_xlog(x, WR_LOG_INFO, wr_endpoint_error(&x->client), "send() failed");
        else if (x->parent != NULL)
            wr_xlog(x, WR_LOG_ERROR, 0, "subrequest's reply is too long");
    }
    if (x->peer.ops != NULL)
        x->peer.ops->end(&x->peer, WR_END_FIN);
    return wr_finish(x, 0);
}

/* True: the reply waits for the client: there are bytes for it, or all come from a file or a text;
 * false: it waits for the peer. */
static bool awaits_client(const struct wr_exchange *x)
{
    return x->down.q.n > 0 || x->down.pipe != NULL || x->down.src == NULL
        || !wr_http_is_proxied(x, wr_http_of(x));
}

static enum wr_go end_too_slow(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);

    if (!awaits_client(x)) {
        wr_try_now(x->tries)->cut = true;
    } else if (wr_http_go_on(x)) {
        wr_exchange_wake(x);
        return WR_WAIT;
    } else {
        note_left(x);
        if (c->reset_timedout)
            wr_http_abort(x, WR_ABORT_RESET);
    }
    return wr_http_cut(x, WR_PUMP_IDLE);
}

/* False: the other side was too slow. */
static bool keep_patience(struct wr_exchange *x, bool moved)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    bool client = awaits_client(x);
    struct wr_patience p = {
        .whom = client ? WR_AWAITS_CLIENT : WR_AWAITS_SERVER, .moved = moved,
        .busy = wr_relay_is_busy(&x->down), .begun = true,
    };

    return wr_patience_keep(x, p, client ? c->send_timeout_ms
                                         : wr_http_of(x)->proxy_conf->read_timeout_ms)
        != WR_TIMEOUT_CUT;
}

/* The reply came before the whole request was sent: send the rest. If that fails, the reply goes on
 * nevertheless. */
static void pump_rest(struct wr_exchange *x, bool *moved)
{
    enum wr_pump p = wr_relay_pump(&x->up, x->loop, moved);
    bool too_much = wr_http_streams_too_much(x);

    if (p == WR_PUMP_SRC_ERROR || too_much) /* the next request could not be parsed */
        wr_http_of(x)->keepalive = false;
    if (p == WR_PUMP_SRC_ERROR || p == WR_PUMP_DST_ERROR || too_much)
        x->up.dst_fin = true;
    else if (p == WR_PUMP_MORE)
        wr_exchange_wake(x);
}

/* The head is sent with the first bytes of the body, or alone, once limit_rate allows it. */
static bool is_head_early(struct wr_exchange *x)
{
    return x->down.rate > 0 && x->down.moved == 0 && x->down.q.n == 0
        && !wr_relay_may_read(&x->down, x->loop);
}

static enum wr_go relay_run(struct wr_exchange *x)
{
    uint64_t before = x->down.moved;
    bool moved = false, client = awaits_client(x), awaited;
    enum wr_pump down;

    if (wr_http_of(x)->tunnel)
        return wr_http_tunnel_run(x);
    if (x->up.dst != NULL && !x->up.dst_fin && x->tries != NULL && x->peer.ops != NULL)
        pump_rest(x, &moved);
    if (is_head_early(x))
        return WR_WAIT;
    down = wr_relay_pump(&x->down, x->loop, &moved);
    if (down == WR_PUMP_DONE)
        return wr_proxy_hook_of(x) != NULL && wr_proxy_hook_after(x) ? WR_GO : wr_finish(x, 0);
    if (down == WR_PUMP_DST_ERROR && wr_http_go_on(x)) {
        wr_exchange_wake(x);
        return WR_WAIT;
    }
    if (down == WR_PUMP_SRC_ERROR || down == WR_PUMP_DST_ERROR)
        return wr_http_cut(x, down);
    /* Bytes from the peer must not extend the timeout of a client that does not read. */
    awaited = client ? x->down.moved != before : moved;
    if (!keep_patience(x, awaited))
        return end_too_slow(x);
    if (down == WR_PUMP_MORE)
        wr_exchange_wake(x);
    return WR_WAIT;
}

const struct wr_step wr_step_http_relay = { "relay", "sending to client", relay_run };
