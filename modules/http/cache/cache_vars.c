/* cache_vars: variables about what the cache did for a request. */
#include "cache_impl.h"

static struct wr_cache_ctx *known_ctx(const struct wr_exchange *x)
{
    return x->ctx != NULL ? x->ctx[wr_module_http_cache.index] : NULL;
}

static bool get_status(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    static const char *const names[] = {
        [WR_CACHE_MISS] = "MISS", [WR_CACHE_BYPASS] = "BYPASS", [WR_CACHE_EXPIRED] = "EXPIRED",
        [WR_CACHE_STALE] = "STALE", [WR_CACHE_UPDATING] = "UPDATING",
        [WR_CACHE_REVALIDATED] = "REVALIDATED", [WR_CACHE_HIT] = "HIT",
    };
    const struct wr_cache_ctx *c = known_ctx(x);

    (void)v;
    if (c == NULL || c->status == WR_CACHE_NONE)
        return false;
    *out = wr_str_c(names[c->status]);
    return true;
}

static bool get_key(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_cache_ctx *c = known_ctx(x);

    (void)v;
    if (c == NULL || c->key.p == NULL)
        return false;
    *out = c->key;
    return true;
}

static bool get_age(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_cache_ctx *c = known_ctx(x);

    (void)v;
    if (c == NULL || !c->found)
        return false;
    *out = wr_pool_fmt(x->pool, "%u", wr_freshness_age(&c->object.facts.fresh, wr_clock.wall_ms));
    return true;
}

static bool get_modified(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_cache_ctx *c = known_ctx(x);
    struct wr_text t = wr_text_grow(x->pool, 32, 64);

    (void)v;
    if (c == NULL || !c->found || c->object.facts.last_modified_s < 0)
        return false;
    wr_clock_http((time_t)c->object.facts.last_modified_s, &t);
    *out = wr_text_view(&t);
    return true;
}

static bool get_etag(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_cache_ctx *c = known_ctx(x);

    (void)v;
    if (c == NULL || !c->found || c->object.etag.p == NULL)
        return false;
    *out = c->object.etag;
    return true;
}

const struct wr_variable wr_cache_vars[] = {
    { .name = "upstream_cache_status", .layers = WR_L7, .get = get_status },
    { .name = "upstream_cache_key", .layers = WR_L7, .get = get_key },
    { .name = "upstream_cache_age", .layers = WR_L7, .get = get_age },
    { .name = "upstream_cache_last_modified", .layers = WR_L7, .get = get_modified },
    { .name = "upstream_cache_etag", .layers = WR_L7, .get = get_etag },
    { 0 },
};
