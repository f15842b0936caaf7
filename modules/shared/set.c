/* set: `set $variable value;` of layer 4, in the order of the file before anything else looks at
 * the session. (Layer 7 has its own, in the rewrite program.) */
#include "exchange/exchange.h"

struct assignment {
    struct wr_var *var;
    struct wr_template *value;
};
struct set_conf {
    WR_VEC(struct assignment) list;
};

extern struct wr_module wr_module_set;

/* Asked only where no `set` has run. */
static bool uninitialized_get(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    wr_xlog(x, WR_LOG_WARN, 0, "using uninitialized \"" WR_FMT "\" variable", WR_ARG(v->name));
    *out = WR_STR("");
    return true;
}

static enum wr_verdict set_run(struct wr_exchange *x)
{
    const struct set_conf *c = wr_conf_of(x, &wr_module_set);

    for (uint32_t i = 0; i < c->list.n; i++) {
        const struct assignment *a = &c->list.at[i];

        wr_var_store(x, a->var, wr_template_str(x, a->value));
    }
    return WR_PASS;
}

static bool set_set(struct wr_cf *cf, void *conf)
{
    struct set_conf *c = conf;
    struct assignment *a;

    if (cf->first)
        *c = (struct set_conf){ 0 };
    a = wr_vec_push(cf->pool, &c->list);
    a->var = wr_var_define(cf, 1, uninitialized_get, WR_VAR_CACHED | WR_VAR_SETTABLE);
    if (a->var == NULL)
        return false;
    a->value = wr_template_new(cf, 2, wr_cf_arg(cf, 2));
    return a->value != NULL;
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("set", WR_L4 | WR_LV_SERVER | WR_MULTI, 2, 2, set_set, NULL,
              "gives a variable a value when a session begins"),
    { 0 }
};

struct wr_module wr_module_set = {
    .name = "set",
    .layers = WR_L4,
    .conf_size = sizeof(struct set_conf),
    .directives = directives,
    .phases = (const struct wr_phase_hook[]){ { WR_PH_SET, WR_L4, set_run, 0 }, { 0 } },
};
