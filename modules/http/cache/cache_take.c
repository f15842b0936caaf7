/* cache_take: what becomes of a server's reply, or of its failure: it is stored, it confirms what
 * is stored, or a stale reply is sent in its place. Called by the engine through the hook. */
#include "cache_impl.h"
#include "invalidation.h"
#include "stored_fields.h"

static uint32_t stale_of_status(unsigned status)
{
    static const struct { unsigned status; uint32_t bit; } bits[] = {
        { 500, WR_STALE_500 }, { 502, WR_STALE_502 }, { 503, WR_STALE_503 },
        { 504, WR_STALE_504 }, { 403, WR_STALE_403 }, { 404, WR_STALE_404 },
        { 429, WR_STALE_429 },
    };

    for (size_t i = 0; i < WR_COUNT(bits); i++)
        if (bits[i].status == status)
            return bits[i].bit;
    return 0;
}

static bool may_use_stale(const struct wr_cache_ctx *c, uint32_t failure)
{
    struct wr_use_ask ask;

    if (!c->found || failure == 0)
        return false;
    ask = wr_cache_use_ask(c);
    return wr_use_after_failure(&ask, (enum wr_stale)failure);
}

/* The server's reply is not sent: its connection may go on. */
static void leave_reply(struct wr_exchange *x)
{
    if (x->peer.ops != NULL)
        x->peer.ops->end(&x->peer, WR_END_REUSE);
    wr_http_leave_upstream(x);
}

static enum wr_store judge_reply(const struct wr_exchange *x, const struct wr_cache_ctx *c,
                                 struct wr_freshness *fresh)
{
    const struct wr_http *h = wr_http_of(x);
    struct wr_store_ask ask = {
        .rfc9111 = c->rows->rfc9111,
        .status = h->res.status,
        .method = c->converts ? WR_M_GET : h->req.method,
        .authorization = wr_fields_first(&h->req.fields, WR_F_AUTHORIZATION) != NULL,
        .slice = h->sliced,
        .request = &c->request,
        .fields = &h->res.fields,
        .ignore = h->proxy_conf->ignore,
        .valid = wr_cache_valid_s(c->rows, h->res.status),
        .asked = c->asked_ms,
        .now = wr_clock.wall_ms,
    };

    return wr_store_judge(&ask, fresh);
}

static void store_reply(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    struct wr_freshness fresh;
    enum wr_store why;

    if (wr_cache_is_any(x, &c->rows->no_cache)) {
        c->why_not = "proxy_no_cache";
        wr_cache_lead_in_vain(c);
        return;
    }
    why = judge_reply(x, c, &fresh);
    if (why != WR_STORE_YES) {
        c->why_not = wr_store_reason(why);
        wr_trace(x, c->why_not, 0);
        wr_cache_lead_in_vain(c);
        return;
    }
    wr_cache_keep_begin(x, c, &fresh);
}

/* 304: what is stored holds on, with the fields that came. */
static void confirm_stored(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_fields came = h->res.fields;
    struct wr_freshness fresh;

    leave_reply(x);
    wr_cache_use(x, c, WR_CACHE_REVALIDATED);
    if (wr_stored_merge(x->pool, &h->res.fields, &came) == WR_MERGE_OTHER) {
        /* the server means another reply than it was asked about: ask for it next time */
        (void)wr_cache_index_purge(&c->zone->store.index, &c->name, c->created_us, true, NULL);
        wr_cache_lead_in_vain(c);
        return;
    }
    if (h->res.last_modified != -1 || wr_fields_first(&h->res.fields, WR_F_LAST_MODIFIED) != NULL)
        h->res.last_modified = WR_MODIFIED_UNREAD; /* the 304 may have brought another one */
    if (judge_reply(x, c, &fresh) == WR_STORE_YES) {
        wr_cache_keep_again(x, c, &fresh);
    } else {
        wr_cache_lead_in_vain(c);
    }
}

/* RFC 9111 4.4: what is stored is void after a request that may have changed it. */
static void invalidate_key(struct wr_exchange *x)
{
    const struct wr_cache_rows *r = wr_cache_rows_of(x);
    const struct wr_http *h = wr_http_of(x);
    struct wr_cache_zone *z;
    struct wr_str key;
    bool was_there;

    if (!r->rfc9111 || r->zone_name.p == NULL
        || !wr_invalidates(h->req.method_text, h->res.status))
        return;
    key = wr_cache_key(x, r);
    if (wr_cache_zone_of(x, r, &z) && z != NULL && key.p != NULL)
        (void)wr_cache_purge_key(z, key, false, &was_there);
}

void wr_cache_head(struct wr_exchange *x)
{
    struct wr_cache_ctx *c = wr_cache_ctx_of(x);
    struct wr_http *h = wr_http_of(x);

    if (c->rows == NULL) {
        invalidate_key(x);
        return;
    }
    h->wanted = false;
    if (c->revalidates && h->res.status == 304) {
        confirm_stored(x, c);
    } else if (may_use_stale(c, stale_of_status(h->res.status))) {
        leave_reply(x);
        wr_cache_lead_end(c); /* of those who wait one asks next */
        wr_cache_use(x, c, WR_CACHE_STALE);
    } else if (c->stores) {
        store_reply(x, c);
    }
}

void wr_cache_intercept(struct wr_exchange *x)
{
    struct wr_cache_ctx *c = wr_cache_ctx_of(x);

    if (c->fill != NULL)
        wr_cache_keep_head(x, c);
}

static uint32_t stale_of_failure(enum wr_failure why)
{
    return why == WR_FAIL_TIMEOUT ? WR_STALE_TIMEOUT : why == WR_FAIL_INVALID ? WR_STALE_INVALID
                                                                             : WR_STALE_ERROR;
}

bool wr_cache_fail(struct wr_exchange *x)
{
    struct wr_cache_ctx *c = wr_cache_ctx_of(x);
    bool stale;

    if (c->rows == NULL)
        return false;
    stale = may_use_stale(c, stale_of_failure(x->tries->failure));
    wr_cache_lead_end(c);
    if (!stale)
        return false;
    wr_http_leave_upstream(x);
    wr_cache_use(x, c, WR_CACHE_STALE);
    wr_http_serve(x);
    return true;
}

bool wr_cache_after(struct wr_exchange *x)
{
    struct wr_cache_ctx *c = wr_cache_ctx_of(x);
    struct wr_cache_index *ix;

    if (c->rows == NULL || !c->refresh_after)
        return false;
    ix = &c->zone->store.index;
    c->refresh_after = false;
    if (!wr_cache_index_find(ix, &c->name, &c->view)
        || c->view.created_us > c->object.facts.created_us /* somebody was faster */
        || !wr_cache_index_update(ix, &c->view, c->rows->lock_age_ms))
        return false;
    c->updates = true;
    c->asks_anew = true;
    wr_http_ask_again(x);
    return true;
}
