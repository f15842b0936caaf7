/* set: `set $variable value;` at layer 4. Runs in the first phase of a session, in the order of the
 * file. (At layer 7 `set` belongs to the rewrite program.) */
#include "text/text.h"

struct set_conf {
    WR_VEC(struct wr_assignment) list;
};

extern struct wr_module wr_module_set;

static enum wr_verdict set_run(struct wr_exchange *x)
{
    const struct set_conf *c = wr_conf_of(x, &wr_module_set);

    for (uint32_t i = 0; i < c->list.n; i++)
        wr_assignment_run(x, &c->list.at[i]);
    return WR_PASS;
}

static bool set_set(struct wr_cf *cf, void *conf)
{
    struct set_conf *c = conf;

    if (cf->first)
        *c = (struct set_conf){ 0 };
    return wr_assignment_conf(cf, wr_vec_push(cf->pool, &c->list), wr_var_unset);
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
