/* access: `allow` and `deny` by the address of the client, first match wins. Both layers; at layer
 * 4 the session is closed with status 403. The rules are immutable and belong to the
 * configuration. */
#include "text/text.h"

struct rule {
    struct wr_cidr net;
    bool all, deny;
};
struct access_conf {
    WR_VEC(struct rule) rules;
};

extern struct wr_module wr_module_access;

static enum wr_verdict access_run(struct wr_exchange *x)
{
    const struct access_conf *c = wr_conf_of(x, &wr_module_access);

    for (uint32_t i = 0; i < c->rules.n; i++) {
        const struct rule *r = &c->rules.at[i];

        if (!r->all && !wr_cidr_match(&r->net, x->client_addr))
            continue;
        if (!r->deny)
            return WR_PASS;
        wr_xlog(x, WR_LOG_ERROR, 0, "access forbidden by rule");
        return wr_reject(x, 403, NULL);
    }
    return WR_PASS;
}

static bool has_rules(const void *conf)
{
    return ((const struct access_conf *)conf)->rules.n > 0;
}

static bool set_rule(struct wr_cf *cf, void *conf)
{
    struct access_conf *c = conf;
    struct wr_str arg = wr_cf_arg(cf, 1);
    struct rule r = { .deny = wr_str_is(wr_cf_arg(cf, 0), "deny"), .all = wr_str_is(arg, "all") };

    if (!r.all && !wr_cf_network(cf, 1, &r.net))
        return wr_cf_error(cf, 1, "invalid parameter \"" WR_FMT "\"", WR_ARG(arg));
    if (cf->first)
        *c = (struct access_conf){ 0 };
    *wr_vec_push(cf->pool, &c->rules) = r;
    return true;
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("allow", WR_ANY | WR_IN_LOCATIONS | WR_LV_LIMIT_EXCEPT | WR_MULTI, 1, 1, set_rule,
              NULL, "admits clients by address, network, unix: or all"),
    WR_CUSTOM("deny", WR_ANY | WR_IN_LOCATIONS | WR_LV_LIMIT_EXCEPT | WR_MULTI, 1, 1, set_rule,
              NULL, "refuses clients by address, network, unix: or all"),
    { 0 }
};

struct wr_module wr_module_access = {
    .name = "access",
    .layers = WR_ANY,
    .conf_size = sizeof(struct access_conf),
    .directives = directives,
    .has_work = has_rules,
    .phases = (const struct wr_phase_hook[]){ { WR_PH_ACCESS, WR_ANY, access_run, 0 }, { 0 } },
};
