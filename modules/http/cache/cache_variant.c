/* cache_variant: keys whose replies vary (RFC 9111 4.1). Under the key's own name lies a marker: an
 * object that only names the fields of a request that the replies vary by. Each variant has a name
 * of its own. cache_find asks which one a request may get, cache_keep which one a reply is. */
#include "cache_impl.h"

#define VARIANTS_MAX 16384     /* of one key: more share their places */
#define VARY_VALUES_MAX 16384

bool wr_cache_vary_by(struct wr_exchange *x, struct wr_cache_ctx *c, struct wr_str names)
{
    struct wr_text values = wr_text_grow(x->pool, 128, VARY_VALUES_MAX);
    struct wr_variant *v = NULL;
    uint64_t variant;

    if (names.n > 0) {
        v = WR_NEW(x->pool, struct wr_variant);
        if (!wr_vary_variant(names, &wr_http_of(x)->req.fields, &values, v))
            return false;
    }
    c->names = names;
    c->varies = v;
    variant = v != NULL ? 1 + v->number % VARIANTS_MAX : 0;
    if (variant != c->variant)
        c->name = wr_cache_name_of(c->key, variant);
    c->variant = variant;
    return true;
}

bool wr_cache_is_marker(const struct wr_cache_object *o)
{
    return (o->facts.flags & WR_CACHE_VARIES) != 0 && o->facts.variant == 0;
}

struct wr_str wr_cache_marker_names(struct wr_exchange *x, const struct wr_cache_object *o)
{
    struct wr_text t = wr_text_grow(x->pool, 64, WR_VARY_NAMES_MAX);
    struct wr_str rest = o->vary;
    struct wr_cache_vary v;

    while (wr_cache_vary_next(&rest, &v)) {
        wr_text_c(&t, t.n > 0 ? "," : "");
        wr_text_str(&t, v.name);
    }
    return wr_text_view(&t);
}

bool wr_cache_is_same_variant(const struct wr_cache_ctx *c)
{
    struct wr_str rest = c->object.vary;
    struct wr_cache_vary v;
    uint32_t n = 0;

    if (c->varies == NULL)
        return c->object.vary.n == 0;
    while (wr_cache_vary_next(&rest, &v))
        if (n == c->varies->n || !wr_vary_equal(&v, &c->varies->at[n++]))
            return false;
    return n == c->varies->n;
}

/* Stores what the key's replies vary by, under the name of the key itself. */
static void store_marker(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    struct wr_cache_ctx marker = *c;
    struct wr_variant names = *c->varies;
    struct wr_freshness none = { 0 };
    struct wr_response reply = wr_http_of(x)->res, *r = &wr_http_of(x)->res;

    for (uint32_t i = 0; i < names.n; i++)
        names.at[i].value = wr_str_of(NULL, 0);
    marker.varies = &names;
    marker.variant = 0;
    marker.tags.n = 0;
    marker.name = wr_cache_name_of(c->key, 0);
    marker.leads = marker.updates = false;
    wr_response_init(r);
    r->status = 200;
    wr_cache_keep_bare(x, &marker, &none);
    *r = reply;
}

bool wr_cache_variant_place(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    const struct wr_http *h = wr_http_of(x);
    struct wr_text names = wr_text_grow(x->pool, 64, WR_VARY_NAMES_MAX);
    bool known = c->names.p != NULL;
    struct wr_str before = c->names;

    if ((h->proxy_conf->ignore & WR_IGNORE_VARY) == 0)
        switch (wr_vary_names(&h->res.fields, &names)) {
        case WR_VARY_NEVER:
            return false;
        case WR_VARY_NONE:
        case WR_VARY_BY:
            break;
        }
    if (!wr_cache_vary_by(x, c, wr_text_view(&names)))
        return false;
    if (names.n > 0 && !(known && wr_str_eq(before, c->names)))
        store_marker(x, c);
    return true;
}
