/* http_tunnel: an upgraded connection: once the peer has the whole request, both endpoints become
 * raw, and bytes are relayed in both directions. The step relay calls it. */
#include "http/http_impl.h"

static void tunnel_begin(struct wr_exchange *x)
{
    /* Bytes that either side sent after its head go first. */
    x->client.ops->to_raw(&x->client, &x->up.q, &x->down.q);
    x->peer.ops->to_raw(&x->peer, &x->down.q, &x->up.q);
    x->up = (struct wr_relay){ .src = &x->client, .dst = &x->peer, .q = x->up.q, .high = 16384 };
    x->down = (struct wr_relay){ .src = &x->peer, .dst = &x->client, .q = x->down.q,
                                 .high = 16384 };
    wr_http_of(x)->tunnel_open = true;
    wr_try_watch(x);
    wr_timer_set(x->loop, &x->idle, wr_http_of(x)->proxy_conf->read_timeout_ms);
}

static bool tunnel_patience(struct wr_exchange *x, bool moved, uint64_t ms)
{
    struct wr_patience p = { .whom = WR_AWAITS_EITHER, .moved = moved, .raw = true };

    return wr_patience_keep(x, p, ms) != WR_TIMEOUT_CLOSE;
}

static enum wr_go relay_both(struct wr_exchange *x)
{
    bool moved = false;
    enum wr_pump up, down;

    if (!wr_http_of(x)->tunnel_open)
        tunnel_begin(x);
    down = wr_relay_pump(&x->down, x->loop, &moved);
    up = wr_relay_pump(&x->up, x->loop, &moved);
    if (down == WR_PUMP_SRC_ERROR || down == WR_PUMP_DST_ERROR || down == WR_PUMP_DONE
        || up == WR_PUMP_SRC_ERROR || up == WR_PUMP_DST_ERROR || up == WR_PUMP_DONE)
        return wr_finish(x, 0);
    if (!tunnel_patience(x, moved, wr_http_of(x)->proxy_conf->read_timeout_ms))
        return wr_http_cut(x, WR_PUMP_IDLE);
    if (up == WR_PUMP_MORE || down == WR_PUMP_MORE)
        wr_exchange_wake(x);
    return WR_WAIT;
}

/* The peer agreed to the upgrade before it had the whole request: send the rest first, framed as
 * the request's head announced. */
static enum wr_go tunnel_rest(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    bool moved = false;
    enum wr_pump p;
    size_t put;

    if (x->client.ops->write(&x->client, NULL, false, &put) == WR_IO_ERROR)
        return wr_http_cut(x, WR_PUMP_IDLE);
    p = wr_relay_pump(&x->up, x->loop, &moved);
    if (p == WR_PUMP_SRC_ERROR || p == WR_PUMP_DST_ERROR || wr_http_streams_too_much(x))
        return wr_http_cut(x, WR_PUMP_IDLE);
    if (p == WR_PUMP_DONE)
        return WR_GO;
    if (p == WR_PUMP_MORE)
        wr_exchange_wake(x);
    return tunnel_patience(x, moved, c->client_body_timeout_ms) ? WR_WAIT
                                                                : wr_http_cut(x, WR_PUMP_IDLE);
}

enum wr_go wr_http_tunnel_run(struct wr_exchange *x)
{
    return wr_http_of(x)->tunnel_open || x->up.dst_fin ? relay_both(x) : tunnel_rest(x);
}
