/* cache_key: which rows, which zone and which key a request has. */
#include "cache_impl.h"

const struct wr_cache_rows *wr_cache_rows_of(const struct wr_exchange *x)
{
    const struct wr_cache_conf *c = wr_conf_of(x, &wr_module_http_cache);

    return &c->proxy;
}

bool wr_cache_zone_of(struct wr_exchange *x, const struct wr_cache_rows *r,
                      struct wr_cache_zone **out)
{
    struct wr_str name;

    *out = r->zone;
    if (r->zone_tpl == NULL)
        return true;
    name = wr_template_str(x, r->zone_tpl);
    if (name.n == 0 || wr_str_is(name, "off"))
        return true;
    *out = wr_cache_zone_find(x->conf, name);
    if (*out == NULL)
        wr_xlog(x, WR_LOG_ERROR, 0, "cache \"" WR_FMT "\" not found", WR_ARG(name));
    return *out != NULL;
}

struct wr_str wr_cache_key(struct wr_exchange *x, const struct wr_cache_rows *r)
{
    const struct wr_http *h = wr_http_of(x);
    struct wr_text t = wr_text_grow(x->pool, 128, WR_CACHE_KEY_MAX);

    if (r->key != NULL)
        (void)wr_template_text(x, r->key, &t);
    else if (h->proxy->url != NULL)
        h->proxy->url(x, &t);
    return t.overflow ? wr_str_of(NULL, 0) : wr_text_view(&t);
}
