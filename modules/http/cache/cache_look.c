/* cache_look: decides what becomes of a request before a server is chosen: a stored reply is sent,
 * another request is waited for that fetches it, or a server is asked. Called by the engine through
 * the hook. */
#include "cache_impl.h"
#include "slice_range.h"

#define SOON_MS 1000           /* for so long a file may take to get its name */
#define NEVER_MS 1000          /* for so long nobody waits for a reply that could not be stored */
#define BUSY_MS 4              /* between two looks at an index that another process changes */

/* ---- what the exchange holds ---- */

void wr_cache_lead_end(struct wr_cache_ctx *c)
{
    if (c->leads)
        wr_cache_index_lead_end(&c->zone->store.index, &c->view);
    if (c->updates)
        wr_cache_index_update_end(&c->zone->store.index, &c->view);
    c->leads = c->updates = false;
}

void wr_cache_lead_in_vain(struct wr_cache_ctx *c)
{
    if (c->leads)
        wr_cache_index_set_user(&c->zone->store.index, &c->view, wr_cache_say(WR_CACHE_NEVER));
    wr_cache_lead_end(c);
}

/* The client's reply was cut, as its beginning was sent: the next one is a server's again. */
static void drop_unreadable(struct wr_cache_ctx *c)
{
    uint64_t created = c->object.facts.created_us;

    if (c->read == NULL || !c->read->failed)
        return;
    (void)wr_cache_index_set_disk(&c->zone->store.index, &c->name, created, 0);
    wr_cache_remove_later(&c->zone->folder, wr_cache_threads, &c->name, created);
}

/* After those cleanups of the pool that were added later: c->read has ended. */
static void end_all(void *arg)
{
    struct wr_cache_ctx *c = arg;

    drop_unreadable(c);
    wr_cache_wait_end(&c->waiter);
    wr_cache_keep_drop(c);
    if (c->zone != NULL)
        wr_cache_lead_end(c);
    wr_cache_pin_drop(&c->pinned);
}

/* For a request that is new, or was redirected to another location. */
static void begin_anew(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    bool cleans = c->cleans;

    if (cleans)
        end_all(c);
    else
        wr_pool_cleanup(x->pool, end_all, c);
    *c = (struct wr_cache_ctx){ .cleans = true };
}

/* TAKEN: the request takes part, and c->key is known. */
static enum wr_verdict take_part(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    const struct wr_cache_rows *r = wr_cache_rows_of(x);
    const struct wr_http *h = wr_http_of(x);

    if (r->zone_name.p == NULL || (r->methods & 1u << h->req.method) == 0)
        return WR_PASS;
    if (!wr_cache_zone_of(x, r, &c->zone))
        return wr_reject(x, 500, NULL);
    if (c->zone == NULL)
        return WR_PASS;
    c->key = wr_cache_key(x, r);
    if (c->key.p == NULL) {
        wr_xlog(x, WR_LOG_ERROR, 0, "the key of the cache is too long: not cached");
        return WR_PASS;
    }
    c->rows = r;
    if (r->rfc9111)
        c->request = wr_cache_control_request(&h->req.fields);
    c->name = wr_cache_name_of(c->key, 0);
    return WR_TAKEN;
}

/* ---- asking a server ---- */

static enum wr_verdict ask_server(struct wr_exchange *x, struct wr_cache_ctx *c,
                                  enum wr_cache_outcome status)
{
    struct wr_http *h = wr_http_of(x);

    c->status = status;
    c->created_us = wr_purge_stamp(&c->zone->store.purges);
    c->asked_ms = wr_clock.wall_ms;
    c->converts = h->req.method == WR_M_HEAD && c->rows->convert_head;
    c->revalidates = c->revalidates && c->stores; /* else its own validators are sent */
    h->wanted = c->stores;
    wr_cache_wait_end(&c->waiter);
    wr_timer_off(x->loop, &x->idle);
    return WR_PASS;
}

/* ---- deciding ---- */

struct wr_use_ask wr_cache_use_ask(const struct wr_cache_ctx *c)
{
    const struct wr_cache_rows *r = c->rows;

    return (struct wr_use_ask){
        .stored = c->found ? &c->object.facts.fresh : NULL,
        .request = r->rfc9111 ? &c->request : NULL,
        .now = wr_clock.wall_ms,
        .use_stale = r->use_stale & ~WR_STALE_OFF,
        .updating = c->view.leader != 0 || c->view.updating != 0,
        .background = r->background,
        .validator = r->revalidate && c->found
                     && (c->object.etag.p != NULL || c->object.facts.last_modified_s >= 0),
    };
}

/* True: the entry's leader has said so within that time. Its clock may be ahead of ours. */
static bool has_said(const struct wr_cache_view *v, enum wr_cache_said what, uint64_t within_ms)
{
    uint64_t at = v->user >> 1;

    return v->user != 0 && (v->user & 1) == what && at < wr_now() + within_ms
        && wr_now() < at + within_ms;
}

uint64_t wr_cache_say(enum wr_cache_said what)
{
    return wr_now() << 1 | what;
}

/* Waits for at most look_ms. False: it has waited for long enough. */
static bool keep_waiting(struct wr_exchange *x, struct wr_cache_ctx *c, uint64_t look_ms)
{
    if (c->wait_until_ms == 0)
        c->wait_until_ms = wr_now() + (c->rows->lock ? c->rows->lock_timeout_ms : SOON_MS);
    if (wr_now() >= c->wait_until_ms)
        return false;
    wr_timer_set(x->loop, &x->idle, wr_min(look_ms, c->wait_until_ms - wr_now()));
    return true;
}

/* True: another request fetches the reply, or its file is about to get its name: wait for it. */
static bool must_wait(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    if (!c->rows->lock && !has_said(&c->view, WR_CACHE_SOON, SOON_MS))
        return false;
    return !has_said(&c->view, WR_CACHE_NEVER, NEVER_MS) && keep_waiting(x, c, UINT64_MAX);
}

/* The entry has changed since it was looked up: look again. */
static bool has_changed(const struct wr_cache_ctx *c, const struct wr_cache_view *now)
{
    return now->created_us != 0 && now->created_us != c->view.created_us
        && now->created_us != (c->found ? c->object.facts.created_us : 0);
}

/* True: the client wants what is so far behind that the whole reply is not worth fetching. */
static bool is_far_behind(const struct wr_exchange *x, const struct wr_cache_rows *r)
{
    struct wr_str range = wr_fields_value(&wr_http_of(x)->req.fields, WR_F_RANGE);

    return r->limits_range && range.p != NULL
        && wr_slices_of(range, 1).from > r->max_range_offset;
}

enum led { LED_ASK, LED_AGAIN, LED_WAIT };

static enum led take_lead(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    struct wr_cache_index *ix = &c->zone->store.index;
    const struct wr_cache_rows *r = c->rows;
    struct wr_cache_view now;
    enum wr_cache_led led;

    c->stores = !is_far_behind(x, r);
    if (!c->stores)
        return LED_ASK;
    if (r->lock || c->view.leader != 0)
        wr_cache_wait_begin(&c->zone->store.waits, &c->waiter, &c->name, x->loop, &x->task);
    led = wr_cache_index_lead(ix, &c->name, r->lock ? r->lock_age_ms : 0, &now);
    if (led == WR_CACHE_LEAD_BUSY && r->lock && keep_waiting(x, c, BUSY_MS))
        return LED_WAIT;
    if (led == WR_CACHE_LEAD_BUSY || led == WR_CACHE_NO_LEADER) {
        c->stores = false;
        return LED_ASK;
    }
    c->leads = led == WR_CACHE_LEADS;
    if (c->leads && has_changed(c, &now)) {
        c->view = now;
        wr_cache_lead_end(c);
        return LED_AGAIN;
    }
    c->view = now;
    c->stores = now.uses >= r->min_uses;
    if (!c->stores)
        wr_cache_lead_end(c);
    else if (!c->leads && must_wait(x, c))
        return LED_WAIT;
    else if (!c->leads && r->lock)
        c->stores = false; /* as in nginx: it has waited in vain */
    return LED_ASK;
}

/* ---- the request ---- */

static enum wr_verdict serve_stored(struct wr_exchange *x, struct wr_cache_ctx *c,
                                    enum wr_cache_outcome status)
{
    wr_cache_wait_end(&c->waiter);
    wr_timer_off(x->loop, &x->idle);
    wr_cache_use(x, c, status);
    wr_http_serve(x);
    return WR_TAKEN;
}

/* The status while nothing usable was found. */
static enum wr_cache_outcome status_of(enum wr_use how)
{
    return how == WR_USE_HIT ? WR_CACHE_HIT : how == WR_USE_STALE ? WR_CACHE_STALE
         : how == WR_USE_UPDATING ? WR_CACHE_UPDATING : how == WR_USE_MISS ? WR_CACHE_MISS
                                                                           : WR_CACHE_EXPIRED;
}

static enum wr_verdict hold_request(struct wr_cache_ctx *c)
{
    c->looking = true;
    return WR_HOLD;
}

/* True: what is stored would be sent, but for what the request says of it (RFC 9211 2.2). */
static bool is_refused(struct wr_use_ask ask)
{
    ask.request = NULL;
    return wr_use_judge(&ask).how == WR_USE_HIT;
}

static enum wr_verdict look_up(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    for (int i = 0; i < 3; i++) {
        enum wr_cache_finding f = wr_cache_find(x, c);
        struct wr_use_ask ask;
        struct wr_using u;

        if (f == WR_CACHE_READING)
            return hold_request(c);
        ask = wr_cache_use_ask(c);
        u = wr_use_judge(&ask);
        if (u.background && x->parent != NULL) /* it cannot go on alone, so it asks at once */
            u = (struct wr_using){ .how = ask.validator ? WR_USE_REVALIDATE : WR_USE_EXPIRED };
        if (u.how == WR_USE_NOT_CACHED)
            return wr_reject(x, 504, "nothing fresh is stored, and the client asks for no more");
        if (wr_use_is_stored(u.how)) {
            c->refresh_after = u.background;
            return serve_stored(x, c, status_of(u.how));
        }
        c->revalidates = u.how == WR_USE_REVALIDATE;
        c->refused = is_refused(ask);
        switch (take_lead(x, c)) {
        case LED_WAIT:
            return hold_request(c);
        case LED_AGAIN:
            break;
        case LED_ASK:
            return ask_server(x, c, status_of(u.how));
        }
    }
    c->stores = false; /* the entry changes all the time */
    return ask_server(x, c, WR_CACHE_MISS);
}

/* Asks the server again behind a stale reply. */
static enum wr_verdict ask_anew(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    c->revalidates = wr_cache_use_ask(c).validator;
    c->stores = true;
    return ask_server(x, c, WR_CACHE_EXPIRED);
}

static enum wr_verdict begin_request(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    const struct wr_cache_rows *r = wr_cache_rows_of(x);
    const struct wr_http *h = wr_http_of(x);
    enum wr_verdict part;

    if (r->purge.list.n > 0 && wr_cache_is_any(x, &r->purge))
        return wr_cache_purge(x, r);
    if (h->req.method == WR_M_POST && !h->body.complete && h->req.framing != WR_BODY_NONE
        && (r->methods & 1u << WR_M_POST) != 0) { /* the key may have it */
        enum wr_verdict v = wr_http_read_body(x);

        if (v != WR_PASS)
            return v;
    }
    begin_anew(x, c);
    part = take_part(x, c);
    if (part != WR_TAKEN)
        return part;
    if (wr_cache_is_any(x, &c->rows->bypass)) {
        c->stores = true;
        return ask_server(x, c, WR_CACHE_BYPASS);
    }
    return look_up(x, c);
}

enum wr_verdict wr_cache_start(struct wr_exchange *x)
{
    struct wr_cache_ctx *c = wr_cache_ctx_of(x);
    bool looking = c->looking, asks = c->asks_anew;

    c->looking = c->asks_anew = false;
    if (asks)
        return ask_anew(x, c);
    return looking ? look_up(x, c) : begin_request(x, c);
}
