/* keepalive_conf: the keepalive directives of upstream {}, and their defaults, with which each
 * group of layer 7 begins. */
#include "upstream/upstream_impl.h"

/* Returns the group's settings. While defaults are set: those that every group begins with. */
static struct wr_keepalive *keepalive_of(struct wr_cf *cf)
{
    struct wr_upstreams *all = wr_cf_state(cf, &wr_module_upstream);

    return cf->defaulting ? &all->keepalive
                          : &WR_CHECK(cf->scope->object, UPSTREAM)->links.keepalive;
}

bool wr_set_keepalive(struct wr_cf *cf, void *conf)
{
    struct wr_keepalive *k = keepalive_of(cf);
    uint64_t n;

    (void)conf;
    if (cf->nargs == 2 && !wr_str_is(wr_cf_arg(cf, 2), "local"))
        return wr_cf_error_hint(cf, 2, "it takes NUMBER or NUMBER local",
                                "invalid parameter \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 2)));
    if (!wr_str_u64(wr_cf_arg(cf, 1), &n) || n > UINT16_MAX)
        return wr_cf_error_hint(cf, 1, "it takes a number, 0 to 65535; 0: none are kept",
                                "invalid value \"" WR_FMT "\" in \"keepalive\" directive",
                                WR_ARG(wr_cf_arg(cf, 1)));
    k->connections = (uint32_t)n;
    k->local = cf->nargs == 2;
    k->grows = cf->defaulting;
    return true;
}

bool wr_set_keepalive_requests(struct wr_cf *cf, void *conf)
{
    (void)conf;
    return wr_set_num(cf, keepalive_of(cf));
}

bool wr_set_keepalive_ms(struct wr_cf *cf, void *conf)
{
    (void)conf;
    return wr_set_msec(cf, keepalive_of(cf));
}
