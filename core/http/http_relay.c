/* http_relay: the last steps of a request: respond writes the reply's head, relay moves its body,
 * or both directions of an upgraded connection (tunnel). Content hooks call wr_http_respond, or the
 * step head goes on to respond. */
#include "http/http_impl.h"

/* True: the reply comes from a peer, not from a file or a text. */
static bool is_proxied(const struct wr_exchange *x, const struct wr_http *h)
{
    return h->proxy != NULL && x->peer.ops != NULL && x->peer.ops->give == NULL;
}

/* The smaller one of limit_rate and proxy_limit_rate: the relay has one rate. */
static uint64_t rate_of(struct wr_exchange *x, const struct wr_http *h, uint64_t *after)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    uint64_t rate = wr_http_limit_rate(x), own = 0;

    *after = wr_amount(x, &c->limit_rate_after);
    if (is_proxied(x, h))
        own = wr_amount(x, &h->proxy_conf->limit_rate);
    if (own == 0 || (rate > 0 && rate < own))
        return rate;
    *after = 0;
    return own;
}

/* X-Accel-Buffering of the reply overrides proxy_buffering. */
static bool is_buffered(const struct wr_http *h)
{
    return h->x_buffering == WR_AS_CONFIGURED ? h->proxy_conf->buffering
                                              : h->x_buffering == WR_BUFFER;
}

static struct wr_spill *new_spill(struct wr_exchange *x)
{
    const struct wr_http_conf *hc = wr_conf_of(x, &wr_module_http);
    const struct wr_http_proxy_conf *c = wr_http_of(x)->proxy_conf;
    struct wr_temp how = wr_http_temp(x, c->temp_path.p);

    if (hc->aio_write)
        how.writers = how.readers;
    return wr_spill_new(&how, c->max_temp_file);
}

static void begin_down(struct wr_exchange *x, const struct wr_http *h)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    uint64_t after, rate = rate_of(x, h, &after);
    bool proxied = is_proxied(x, h);

    x->down_timer.task = &x->task;
    x->down = (struct wr_relay){
        .src = x->peer.ops != NULL ? &x->peer : NULL,
        .dst = &x->client,
        .high = proxied ? h->proxy_conf->buffer_size : 32768,
        .rate_from = wr_now(),
        .rate_after = wr_min(after, (uint64_t)INT64_MAX),
        .turn = !c->sendfile ? 0 : c->sendfile_max_chunk > 0 ? c->sendfile_max_chunk : UINT64_MAX,
        .rate_timer = &x->down_timer,
    };
    x->down.rate = wr_min(rate, WR_RATE_MAX);
    if (proxied && is_buffered(h)) {
        x->down.high = wr_max(h->proxy_conf->buffers_total, h->proxy_conf->buffer_size);
        x->down.ahead = true;
        if (h->proxy_conf->max_temp_file > 0
            && !(h->res.framing == WR_BODY_LENGTH && h->res.length <= x->down.high)) {
            x->spill_timer.task = &x->task;
            x->down.spill_timer = &x->spill_timer;
            x->down.spill = new_spill(x);
        }
    }
    if (h->header_only)
        x->down.src = NULL; /* if a HEAD was sent as GET, its reply has a body to drop */
    if (!h->header_only)
        x->down.filters = h->filters;
}

static struct placed_filter {
    enum wr_filter_result (*head)(struct wr_exchange *x);
    enum wr_filter_rank rank;
    uint64_t idle;             /* not called where wr_scope.idle has this bit */
} *filters;                    /* of all modules, by rank */
static size_t filters_count;

void wr_filters_init(void)
{
    for (struct wr_module *const *m = wr_modules; *m != NULL; m++)
        for (const struct wr_filter *f = (*m)->filters; f != NULL && f->head != NULL; f++) {
            size_t i = filters_count++;

            filters = wr_realloc(filters, filters_count * sizeof(*filters));
            for (; i > 0 && filters[i - 1].rank > f->rank; i--)
                filters[i] = filters[i - 1];
            filters[i] = (struct placed_filter){ f->head, f->rank, wr_module_idle_bit(*m) };
        }
}

/* Of a subrequest's reply only the text is changed: the other filters are for what is sent to a
 * client. */
static bool is_called(const struct wr_exchange *x, const struct placed_filter *f)
{
    return (f->idle & x->scope->idle) == 0
        && (x->parent == NULL || (f->rank >= WR_FR_CHARSET && f->rank <= WR_FR_SUB));
}

static bool head_filters(struct wr_exchange *x)
{
    for (size_t i = 0; i < filters_count; i++)
        if (is_called(x, &filters[i]) && filters[i].head(x) != WR_FILTER_OK)
            return false;
    return true;
}

/* The first bytes of the body, which came with the peer's head, are in the worker's scratch: send
 * them from there together with the reply's head; only the rest is copied. */
static void forward_first(struct wr_exchange *x, const struct wr_http *h)
{
    struct wr_slice one = { 0 };
    struct wr_str first;
    size_t put = 0;

    if (!is_proxied(x, h))
        return;
    if (x->down.src != NULL && x->down.filters == NULL && x->down.rate == 0 && !h->tunnel) {
        first = x->peer.ops->first != NULL ? x->peer.ops->first(&x->peer) : wr_str_of(NULL, 0);
        one.p = first.p;
        one.n = first.n;
        x->down.taken += first.n;
        if (first.n > 0 && x->client.ops->write(&x->client, &one, false, &put) == WR_IO_OK)
            x->down.moved += put;
        if (put < first.n) /* a failed write fails again in the relay, which reports it */
            wr_bufq_copy(&x->down.q, first.p + put, first.n - put);
        x->down.src_fin = wr_endpoint_at_end(&x->peer); /* spares a read that finds the end */
    }
    if (x->peer.ops->keep != NULL)
        x->peer.ops->keep(&x->peer);
}

/* For example by add_header. A part of the head must not be sent. */
static enum wr_go head_too_long(struct wr_exchange *x)
{
    wr_xlog(x, WR_LOG_ERROR, 0, "the head of the reply is too long");
    wr_http_abort(x, WR_ABORT_CUT);
    return wr_finish(x, 500);
}

static enum wr_go respond_run(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_reply_out out;

    if (h->kept.n > 0)
        wr_http_add_kept_fields(x);
    if (h->error_status != 0) { /* a page of error_page has the error's status */
        h->res.status = h->error_status;
        h->res.reason = wr_str_of(NULL, 0);
    }
    h->header_only = h->req.method == WR_M_HEAD || h->res.status == 204 || h->res.status == 304;
    if (!h->tunnel && !head_filters(x)) /* the filter has set the error's status */
        return x->layer->reject(x, h->res.status);
    if (x->gave_up && h->res.status != 500)
        return WR_GO; /* wr_exchange_run rejects */
    x->gave_up = false;
    h->header_only |= h->res.status == 204 || h->res.status == 304;
    x->status = h->res.status;
    wr_http_decide_reply(x, &out);
    if (h->speaker != NULL && !h->speaker->server.reply(x, &out))
        return head_too_long(x);
    if (h->header_only)
        h->res.framing = WR_BODY_NONE;
    h->head_sent = true;
    begin_down(x, h);
    forward_first(x, h);
    wr_timer_idle(&x->idle); /* the next step has a timeout of its own */
    x->step = &wr_step_http_relay;
    return WR_GO;
}

const struct wr_step wr_step_respond = { "respond", "sending response to client", respond_run };

static void tunnel_begin(struct wr_exchange *x)
{
    /* Bytes that either side sent after its head go first. */
    x->client.ops->to_raw(&x->client, &x->up.q, &x->down.q);
    x->peer.ops->to_raw(&x->peer, &x->down.q, &x->up.q);
    x->up = (struct wr_relay){ .src = &x->client, .dst = &x->peer, .q = x->up.q, .high = 16384 };
    x->down = (struct wr_relay){ .src = &x->peer, .dst = &x->client, .q = x->down.q,
                                 .high = 16384 };
    wr_http_of(x)->tunnel_open = true;
    wr_timer_set(x->loop, &x->idle, wr_http_of(x)->proxy_conf->read_timeout_ms);
}

static enum wr_go cut_reply(struct wr_exchange *x, enum wr_pump p)
{
    const struct wr_http *h = wr_http_of(x);

    wr_http_abort(x, WR_ABORT_CUT);
    if (p == WR_PUMP_SRC_ERROR && is_proxied(x, h) && !h->tunnel && !x->down.broken) {
        const char *why = wr_endpoint_why(&x->peer);

        if (why != NULL)
            wr_xlog(x, WR_LOG_ERROR, 0, "%s", why);
        else
            wr_xlog(x, WR_LOG_ERROR, wr_try_conn(x->attempts)->error, "recv() failed");
    } else if (p == WR_PUMP_DST_ERROR) {
        if (wr_endpoint_error(&x->client) != 0)
            wr_xlog(x, WR_LOG_INFO, wr_endpoint_error(&x->client), "send() failed");
        else if (x->parent != NULL)
            wr_xlog(x, WR_LOG_ERROR, 0, "subrequest's reply is too long");
    }
    if (x->peer.ops != NULL)
        x->peer.ops->end(&x->peer, WR_END_FIN);
    return wr_finish(x, 0);
}

/* True: the reply waits for the client, for which bytes are there; false: it waits for the peer. */
static bool awaits_client(const struct wr_exchange *x)
{
    return x->down.q.n > 0 || x->down.pipe != NULL || x->down.src == NULL
        || !is_proxied(x, wr_http_of(x));
}

static enum wr_go end_too_slow(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);

    if (awaits_client(x) && c->reset_timedout)
        wr_http_abort(x, WR_ABORT_RESET);
    return cut_reply(x, WR_PUMP_IDLE);
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
        != WR_PATIENT_CUTS;
}

static bool tunnel_patience(struct wr_exchange *x, bool moved, uint64_t ms)
{
    struct wr_patience p = { .whom = WR_AWAITS_EITHER, .moved = moved, .raw = true };

    return wr_patience_keep(x, p, ms) != WR_PATIENT_CLOSES;
}

static enum wr_go tunnel_run(struct wr_exchange *x)
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
        return cut_reply(x, WR_PUMP_IDLE);
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
        return cut_reply(x, WR_PUMP_IDLE);
    p = wr_relay_pump(&x->up, x->loop, &moved);
    if (p == WR_PUMP_SRC_ERROR || p == WR_PUMP_DST_ERROR || wr_http_streams_too_much(x))
        return cut_reply(x, WR_PUMP_IDLE);
    if (p == WR_PUMP_DONE)
        return WR_GO;
    if (p == WR_PUMP_MORE)
        wr_exchange_wake(x);
    return tunnel_patience(x, moved, c->client_body_timeout_ms) ? WR_WAIT
                                                                : cut_reply(x, WR_PUMP_IDLE);
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

static enum wr_go relay_run(struct wr_exchange *x)
{
    uint64_t before = x->down.moved;
    bool moved = false, client = awaits_client(x), awaited;
    enum wr_pump down;

    if (wr_http_of(x)->tunnel)
        return wr_http_of(x)->tunnel_open || x->up.dst_fin ? tunnel_run(x) : tunnel_rest(x);
    if (x->up.dst != NULL && !x->up.dst_fin && x->attempts != NULL && x->peer.ops != NULL)
        pump_rest(x, &moved);
    down = wr_relay_pump(&x->down, x->loop, &moved);
    if (down == WR_PUMP_DONE)
        return wr_finish(x, 0);
    if (down == WR_PUMP_SRC_ERROR || down == WR_PUMP_DST_ERROR)
        return cut_reply(x, down);
    /* Bytes from the peer must not extend the timeout of a client that does not read. */
    awaited = client ? x->down.moved != before : moved;
    if (!keep_patience(x, awaited))
        return end_too_slow(x);
    if (down == WR_PUMP_MORE)
        wr_exchange_wake(x);
    return WR_WAIT;
}

const struct wr_step wr_step_http_relay = { "relay", "sending to client", relay_run };

/* Drops an unwanted body as far as it came with the head. False: it is malformed. */
static bool drop_buffered(struct wr_exchange *x)
{
    enum wr_io io = WR_IO_OK;
    size_t got;

    while (io == WR_IO_OK && wr_endpoint_unread(&x->client) > 0
           && !wr_endpoint_at_end(&x->client))
        io = x->client.ops->read(&x->client, wr_scratch, 65536, &got);
    return io != WR_IO_ERROR || wr_endpoint_why(&x->client) == NULL;
}

enum wr_verdict wr_http_respond(struct wr_exchange *x, struct wr_bufq *q)
{
    struct wr_http *h = wr_http_of(x);

    if (h->proxy == NULL && h->bad_status == 0 && h->error_status == 0 && !drop_buffered(x)) {
        h->keepalive = false;
        h->bad_status = 400;
        wr_bufq_clear(q);
        return wr_reject(x, 400, wr_endpoint_why(&x->client));
    }
    if (x->peer.ops != NULL) /* another reply that was not sent */
        x->peer.ops->end(&x->peer, WR_END_FIN);
    wr_endpoint_store(&x->peer, x->pool, wr_exchange_waiter(x), q);
    wr_timer_off(x->loop, &x->idle);
    x->step = &wr_step_respond;
    return WR_TAKEN;
}
