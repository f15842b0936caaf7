/* stream_session: the layer table of layer 4 and the step relay of its TCP sessions. A session has
 * one exchange: phases, then an upstream or a stored text, then relay until both directions are
 * done. The relay of UDP sessions is in stream_datagrams. */
#include "stream/stream_impl.h"

static const struct wr_step step_relay;

static void over(struct wr_exchange *x)
{
    wr_session_end(x->s);
}

/* The client has ended the connection, or its part of it. True: it needs no server any more, as it
 * has sent nothing and half_close is off. */
static bool needs_nothing(struct wr_exchange *x)
{
    char byte;
    size_t got;

    if ((x->client.conn->ready & WR_ERR) != 0)
        return true;
    return x->preread.n == 0 && !WR_CHECK(x->of_layer, STREAM_RELAY)->half_close
        && wr_conn_peek(x->client.conn, &byte, 1, &got) == WR_IO_EOF;
}

/* While the session waits for a server nothing else notices that its client leaves. */
static enum wr_go left(struct wr_exchange *x)
{
    if (x->step != &wr_step_pick || !needs_nothing(x))
        return WR_WAIT;
    wr_xlog(x, WR_LOG_INFO, 0, "client disconnected");
    return wr_finish(x, 502);
}

static void begin(struct wr_session *s)
{
    const struct wr_address *a = WR_CHECK(s->listener->object, ADDRESS);
    struct wr_exchange *x = wr_exchange_new(s, a->default_server->scope, &wr_step_phases);

    x->over = over;
    x->left = left;
    wr_session_add(x);
    wr_session_own(x);
    if (wr_log_on(x->log, WR_LOG_INFO, &x->source)) {
        char buf[WR_ADDR_TEXT_MAX];
        struct wr_text t = wr_text_on(buf, sizeof(buf));

        wr_addr_text(&s->client, &t);
        wr_log_put(x->log, WR_LOG_INFO, 0, &(struct wr_log_source){ .number = s->number },
                   "%sclient " WR_FMT " connected to " WR_FMT, s->flow != NULL ? "udp " : "",
                   WR_ARG(wr_text_view(&t)), WR_ARG(s->listener->text));
    }
}

static const struct wr_scope *greeting(const struct wr_session *s, uint64_t *ms)
{
    const struct wr_address *a = WR_CHECK(s->listener->object, ADDRESS);
    const struct wr_stream_conf *c = wr_scope_conf(a->default_server->scope, &wr_module_stream);

    if (ms != NULL)
        *ms = c->proxy_protocol_timeout_ms;
    return a->default_server->scope;
}

static const struct wr_scope *by_name(const struct wr_session *s, struct wr_str name)
{
    const struct wr_address *a = WR_CHECK(s->listener->object, ADDRESS);

    return wr_host_scope(a->map, s, name);
}

static enum wr_go no_content(struct wr_exchange *x)
{
    return wr_finish(x, 500); /* loading has warned of it */
}

static enum wr_go reject(struct wr_exchange *x, unsigned status)
{
    return wr_finish(x, status == 504 ? 502 : status); /* $status has no 504 at layer 4 */
}

void wr_stream_add_bytes(struct wr_text *t, const struct wr_exchange *x)
{
    const struct wr_conn *peer = wr_try_conn(x->tries);

    wr_text_fmt(t, ", bytes from/to client:%llu/%llu, bytes from/to upstream:%llu/%llu",
                (unsigned long long)wr_endpoint_received(&x->client),
                (unsigned long long)wr_endpoint_sent(&x->client),
                (unsigned long long)(peer != NULL ? peer->received : 0),
                (unsigned long long)(peer != NULL ? peer->sent : 0));
}

static void log_context(const struct wr_exchange *x, struct wr_text *t)
{
    const struct wr_tries *a = x->tries;

    wr_text_c(t, ", server: ");
    wr_text_str(t, x->s->listener->text);
    if (a == NULL || a->all.n == 0)
        return;
    wr_text_c(t, ", upstream: \"");
    wr_try_peer_text(t, &a->all.at[a->all.n - 1]);
    wr_text_char(t, '"');
    wr_stream_add_bytes(t, x);
}

/* ---- relay ---- */

static struct wr_relay make_relay(struct wr_exchange *x, struct wr_endpoint *src,
                                  struct wr_endpoint *dst, const struct wr_amount *limit,
                                  struct wr_timer *timer)
{
    const struct wr_stream_relay *how = WR_CHECK(x->of_layer, STREAM_RELAY);
    uint64_t rate = wr_amount(x, limit);

    timer->task = &x->task;
    return (struct wr_relay){
        .src = src,
        .dst = dst,
        .high = how->buffer_size,
        .rate = wr_min(rate, WR_RATE_MAX),
        .rate_from = wr_now(),
        .rate_timer = rate > 0 ? timer : NULL,
        .hold_fin = !how->half_close,
    };
}

void wr_stream_relay_as(struct wr_exchange *x, const struct wr_stream_relay *how)
{
    x->of_layer = (void *)(uintptr_t)how;
}

void wr_stream_relay_prepare(struct wr_exchange *x, bool up)
{
    const struct wr_stream_relay *how = WR_CHECK(x->of_layer, STREAM_RELAY);

    if (up) {
        x->up = make_relay(x, &x->client, &x->peer, &how->upload_rate, &x->up_timer);
        wr_bufq_move(&x->up.q, &x->preread, x->preread.n);
    }
    x->down = make_relay(x, &x->peer, &x->client, &how->download_rate, &x->down_timer);
    wr_timer_set(x->loop, &x->idle, how->timeout_ms);
}

enum wr_verdict wr_stream_serve(struct wr_exchange *x, const struct wr_stream_relay *how)
{
    x->status = 200;
    wr_stream_relay_as(x, how);
    wr_stream_relay_prepare(x, false);
    x->step = &step_relay;
    return WR_TAKEN;
}

static void log_connected(struct wr_exchange *x)
{
    char buf[2 * WR_ADDR_TEXT_MAX];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    struct wr_addr local;

    wr_text_c(&t, x->s->flow != NULL ? "udp proxy " : "proxy ");
    if (wr_socket_local(wr_try_conn(x->tries)->fd, &local))
        wr_addr_text(&local, &t);
    wr_text_c(&t, " connected to ");
    wr_addr_text(&wr_try_now(x->tries)->addr, &t);
    wr_xlog(x, WR_LOG_INFO, 0, WR_FMT, WR_ARG(wr_text_view(&t)));
}

static enum wr_go connected(struct wr_exchange *x)
{
    const struct wr_stream_conf *c = wr_conf_of(x, &wr_module_stream);

    if (wr_log_on(x->log, WR_LOG_INFO, &x->source))
        log_connected(x);
    x->status = 200;
    if (x->s->flow != NULL)
        return wr_stream_flow_connected(x);
    wr_endpoint_raw(&x->peer, wr_try_conn(x->tries));
    wr_try_works(x);
    if (c->tcp_nodelay)
        wr_socket_nodelay(wr_try_conn(x->tries)->fd);
    else
        wr_socket_delay(x->s->conn.fd);
    wr_stream_relay_prepare(x, true);
    x->step = &step_relay;
    return WR_GO;
}

static enum wr_go relay_over(struct wr_exchange *x, const char *who)
{
    char buf[256];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    if (x->tries != NULL && wr_log_on(x->log, WR_LOG_INFO, &x->source)) {
        wr_text_fmt(&t, "%s disconnected", who);
        wr_stream_add_bytes(&t, x);
        wr_xlog(x, WR_LOG_INFO, 0, WR_FMT, WR_ARG(wr_text_view(&t)));
    }
    return wr_finish(x, 0);
}

/* recv() or send() failed. Logged at info: it is a common end of a session. */
static enum wr_go relay_failed(struct wr_exchange *x, const struct wr_relay *r, enum wr_pump p)
{
    const struct wr_endpoint *e = p == WR_PUMP_SRC_ERROR ? r->src : r->dst;

    if (e->conn != NULL)
        wr_xlog(x, WR_LOG_INFO, e->conn->error, "%s failed",
                p == WR_PUMP_SRC_ERROR ? "recv()" : "send()");
    return relay_over(x, e == &x->client ? "client" : "upstream");
}

void wr_stream_note_first_byte(struct wr_exchange *x)
{
    struct wr_try *t = x->tries != NULL ? wr_try_now(x->tries) : NULL;

    if (t != NULL && t->first_byte_ms == WR_NOT_YET && x->down.taken > 0)
        t->first_byte_ms = wr_now() - t->begun_ms;
}

static bool has_failed(enum wr_pump p)
{
    return p == WR_PUMP_SRC_ERROR || p == WR_PUMP_DST_ERROR;
}

/* The server accepts no more bytes, but may have replied before it closed: relay its bytes. */
static enum wr_go relay_rest_down(struct wr_exchange *x)
{
    wr_xlog(x, WR_LOG_INFO, wr_try_conn(x->tries)->error, "send() failed");
    wr_relay_end(&x->up, x->loop);
    x->up.src = NULL;
    wr_exchange_wake(x);
    return WR_WAIT;
}

static enum wr_go relay_run(struct wr_exchange *x)
{
    const struct wr_stream_relay *how = WR_CHECK(x->of_layer, STREAM_RELAY);
    bool moved = false, two_way = x->up.src != NULL;
    enum wr_pump up, down;

    down = wr_relay_pump(&x->down, x->loop, &moved);
    up = two_way ? wr_relay_pump(&x->up, x->loop, &moved) : WR_PUMP_DONE;
    wr_stream_note_first_byte(x);
    if (has_failed(down))
        return relay_failed(x, &x->down, down);
    if (up == WR_PUMP_DST_ERROR)
        return relay_rest_down(x);
    if (has_failed(up))
        return relay_failed(x, &x->up, up);
    if (down == WR_PUMP_DONE && (up == WR_PUMP_DONE || !how->half_close))
        return relay_over(x, "upstream");
    if (up == WR_PUMP_DONE && two_way && !how->half_close)
        return relay_over(x, "client");
    if (wr_patience_keep(x, (struct wr_patience){ .whom = WR_AWAITS_EITHER, .moved = moved,
                                                  .raw = true },
                         how->timeout_ms) == WR_TIMEOUT_CLOSE)
        return wr_finish(x, 0);
    if (up == WR_PUMP_MORE || down == WR_PUMP_MORE)
        wr_exchange_wake(x);
    return WR_WAIT;
}

static const struct wr_step step_relay = { "relay", "proxying connection", relay_run };

const struct wr_layer wr_layer_stream = {
    .name = "stream",
    .bit = WR_L4,
    .begin = begin,
    .greeting = greeting,
    .by_name = by_name,
    .no_content = no_content,
    .reject = reject,
    .connected = connected,
    .log_context = log_context,
};
