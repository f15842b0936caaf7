/* cache_conf: setters of the rows that each family of proxy modules has (proxy_cache ...). */
#include "cache_impl.h"

const struct wr_enum wr_stale_words[] = {
    { "error", WR_STALE_ERROR },
    { "timeout", WR_STALE_TIMEOUT },
    { "invalid_header", WR_STALE_INVALID },
    { "updating", WR_STALE_UPDATING },
    { "http_500", WR_STALE_500 },
    { "http_502", WR_STALE_502 },
    { "http_503", WR_STALE_503 },
    { "http_504", WR_STALE_504 },
    { "http_403", WR_STALE_403 },
    { "http_404", WR_STALE_404 },
    { "http_429", WR_STALE_429 },
    { "off", WR_STALE_OFF },
    { 0 },
};

bool wr_cache_set_zone(struct wr_cf *cf, void *conf)
{
    struct wr_cache_rows *r = WR_FIELD(cf, conf, struct wr_cache_rows);
    struct wr_str name = wr_cf_arg(cf, 1);

    r->zone = NULL;
    r->zone_tpl = NULL;
    r->zone_name = wr_str_of(NULL, 0);
    r->node = cf->node;
    if (wr_str_is(name, "off"))
        return true;
    r->zone_name = name;
    if (wr_str_find(name, '$') == name.n)
        return true; /* `finish` finds the zone, which may be defined below */
    r->zone_tpl = wr_template_new(cf, 1, name);
    return r->zone_tpl != NULL;
}

/* ---- proxy_cache_valid ---- */

#define VALID_HINT \
    "write statuses and a time of whole seconds, minutes or more: 200 301 10m; any 1m"

static bool add_valid(struct wr_cf *cf, struct wr_cache_rows *r, uint32_t i, uint64_t s)
{
    struct wr_str arg = wr_cf_arg(cf, i);
    uint64_t status = 0;

    if (!wr_str_is(arg, "any") && (!wr_str_u64(arg, &status) || status < 100 || status > 599))
        return wr_cf_error_hint(cf, i, VALID_HINT, "invalid status \"" WR_FMT "\"", WR_ARG(arg));
    *wr_vec_push(cf->pool, &r->valid) = (struct wr_cache_valid){ (uint32_t)status, s };
    return true;
}

bool wr_cache_set_valid(struct wr_cf *cf, void *conf)
{
    static const uint32_t usual[] = { 200, 301, 302 };
    struct wr_cache_rows *r = WR_FIELD(cf, conf, struct wr_cache_rows);
    uint64_t s;

    if (cf->first)
        memset(&r->valid, 0, sizeof(r->valid));
    if (!wr_parse_sec(wr_cf_arg(cf, cf->nargs), &s))
        return wr_cf_error_hint(cf, cf->nargs, VALID_HINT, "invalid time value \"" WR_FMT "\"",
                                WR_ARG(wr_cf_arg(cf, cf->nargs)));
    for (uint32_t i = 1; i < cf->nargs; i++)
        if (!add_valid(cf, r, i, s))
            return false;
    for (size_t i = 0; cf->nargs == 1 && i < WR_COUNT(usual); i++)
        *wr_vec_push(cf->pool, &r->valid) = (struct wr_cache_valid){ usual[i], s };
    return true;
}

int64_t wr_cache_valid_s(const struct wr_cache_rows *r, unsigned status)
{
    for (uint32_t i = 0; i < r->valid.n; i++)
        if (r->valid.at[i].status == status || r->valid.at[i].status == 0)
            return (int64_t)r->valid.at[i].s;
    return -1;
}

/* ---- proxy_cache_methods ---- */

bool wr_cache_set_methods(struct wr_cf *cf, void *conf)
{
    struct wr_cache_rows *r = WR_FIELD(cf, conf, struct wr_cache_rows);

    r->methods = 1u << WR_M_GET | 1u << WR_M_HEAD; /* always, as in nginx */
    for (uint32_t i = 1; i <= cf->nargs; i++) {
        struct wr_str word = wr_cf_arg(cf, i);

        if (wr_str_ieq(word, WR_STR("POST")))
            r->methods |= 1u << WR_M_POST;
        else if (!wr_str_ieq(word, WR_STR("GET")) && !wr_str_ieq(word, WR_STR("HEAD")))
            return wr_cf_error_hint(cf, i, "allowed: GET, HEAD, POST", "invalid value \"" WR_FMT
                                    "\"", WR_ARG(word));
    }
    return true;
}

bool wr_cache_set_range(struct wr_cf *cf, void *conf)
{
    struct wr_cache_rows *r = WR_FIELD(cf, conf, struct wr_cache_rows);

    r->limits_range = true;
    return wr_parse_size(wr_cf_arg(cf, 1), &r->max_range_offset)
        || wr_cf_error_hint(cf, 1, "write a size in bytes, or with k, m or g: 10m",
                            "\"%s\" directive invalid value", cf->row->name);
}

/* ---- lists of texts ---- */

bool wr_cache_set_tests(struct wr_cf *cf, void *conf)
{
    struct wr_cache_tests *t = WR_FIELD(cf, conf, struct wr_cache_tests);

    if (cf->first)
        memset(t, 0, sizeof(*t));
    for (uint32_t i = 1; i <= cf->nargs; i++) {
        struct wr_template *text = wr_template_new(cf, i, wr_cf_arg(cf, i));

        if (text == NULL)
            return false;
        *wr_vec_push(cf->pool, &t->list) = text;
    }
    return true;
}

#define PURGE_HINT \
    "write a variable: map $request_method $purge { PURGE 1; default 0; } in http {}, and " \
    "proxy_cache_purge $purge;"

/* A word without variables holds for each request, so that nothing would be served at all. "1" is
 * meant so, in a location for purges. Other modules for nginx have another syntax ("PURGE from
 * 127.0.0.1", "ZONE KEY"). */
bool wr_cache_set_purge(struct wr_cf *cf, void *conf)
{
    const struct wr_cache_tests *t = WR_FIELD(cf, conf, struct wr_cache_tests);
    struct wr_str word;

    if (!wr_cache_set_tests(cf, conf))
        return false;
    for (uint32_t i = 1; i <= cf->nargs; i++)
        if (wr_template_literal(t->list.at[t->list.n - cf->nargs + i - 1], &word) && word.n > 0
            && !wr_str_is(word, "0") && !wr_str_is(word, "1"))
            return wr_cf_error_hint(cf, i, PURGE_HINT, "\"" WR_FMT "\" would make each request a "
                                    "purge", WR_ARG(word));
    return true;
}

bool wr_cache_is_any(struct wr_exchange *x, const struct wr_cache_tests *t)
{
    for (uint32_t i = 0; i < t->list.n; i++)
        if (wr_template_true(x, t->list.at[i]))
            return true;
    return false;
}
