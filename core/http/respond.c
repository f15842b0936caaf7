/* respond: the step that runs the head filters, sends the reply's head and prepares the relay of
 * its body. Content hooks call wr_http_respond; the step head goes on to it with a peer's reply.
 * Owns the list of the modules' head filters. */
#include "http/http_impl.h"

/* The smaller one of limit_rate and proxy_limit_rate: the relay has one rate. limit_rate counts the
 * head, too. */
static void limit_down(struct wr_exchange *x, const struct wr_http *h)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    uint64_t rate = wr_http_limit_rate(x), own = 0;

    if (wr_http_is_proxied(x, h))
        own = wr_amount(x, &h->proxy_conf->limit_rate);
    if (own > 0 && (rate == 0 || own <= rate)) {
        x->down.rate = wr_min(own, WR_RATE_MAX);
        return;
    }
    x->down.rate = wr_min(rate, WR_RATE_MAX);
    if (rate > 0) {
        x->down.rate_after = wr_min(wr_amount(x, &c->limit_rate_after), (uint64_t)INT64_MAX);
        x->down.taken = h->header_bytes_sent;
    }
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

static enum wr_filtered drop_run(struct wr_relay_filter *f, enum wr_push push WR_UNUSED,
                                 struct wr_bufq *out WR_UNUSED)
{
    wr_bufq_clear(&f->in);
    return WR_FILTERED;
}

/* The client gets no body, but all of it is read. */
static struct wr_relay_filter *drop_filter(struct wr_pool *pool)
{
    struct wr_relay_filter *f = WR_NEW(pool, struct wr_relay_filter);

    f->run = drop_run;
    return f;
}

static void begin_down(struct wr_exchange *x, const struct wr_http *h)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    bool proxied = wr_http_is_proxied(x, h);

    x->down_timer.task = &x->task;
    x->down = (struct wr_relay){
        .src = x->peer.ops != NULL ? &x->peer : NULL,
        .dst = &x->client,
        .high = proxied ? h->proxy_conf->buffer_size : 32768,
        .rate_from = wr_now(),
        .turn = !c->sendfile ? 0 : c->sendfile_max_chunk > 0 ? c->sendfile_max_chunk : UINT64_MAX,
        .rate_timer = &x->down_timer,
    };
    limit_down(x, h);
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
    if (!h->header_only)
        x->down.filters = h->filters;
    else if (h->wanted)
        x->down.filters = drop_filter(x->pool);
    else
        x->down.src = NULL; /* if a HEAD was sent as GET, its reply has a body to drop */
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

/* For a subrequest's reply only the filters that change its text are called: the others prepare it
 * for a client. */
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

    if (!wr_http_is_proxied(x, h))
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

/* add_header, for example, can make a head too long. Sends nothing, as a part would be misread. */
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
