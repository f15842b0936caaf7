/* stamp: an example of a module from outside, built with ./configure --add-module=t/modules/stamp.
 *
 *     stamp VALUE;            the value of $stamp, a text with variables
 *     stamp_required on;      refuses clients with status 403 if $stamp is missing or empty
 *
 * Both are allowed in stream, http, server and location. Both layers run the same code. */
#include "text/text.h"

struct stamp_conf {
    struct wr_template *value; /* NULL: none */
    bool required;
};

extern struct wr_module wr_module_stamp;

static bool stamp_value(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct stamp_conf *c = wr_conf_of(x, &wr_module_stamp);

    (void)v;
    if (c->value == NULL)
        return false;
    *out = wr_template_str(x, c->value);
    return out->n > 0;
}

static enum wr_verdict stamp_access(struct wr_exchange *x)
{
    const struct stamp_conf *c = wr_conf_of(x, &wr_module_stamp);
    struct wr_str value;

    if (c->required && !stamp_value(x, NULL, &value))
        return wr_reject(x, 403, "no stamp");
    return WR_PASS;
}

static const struct wr_directive directives[] = {
    WR_TEMPLATE("stamp", WR_ANY | WR_IN_LOCATIONS, struct stamp_conf, value, NULL,
                "the value of $stamp"),
    WR_FLAG("stamp_required", WR_ANY | WR_IN_LOCATIONS, struct stamp_conf, required, "off",
            "refuses clients without a stamp"),
    { 0 }
};

struct wr_module wr_module_stamp = {
    .name = "stamp",
    .layers = WR_ANY,
    .conf_size = sizeof(struct stamp_conf),
    .directives = directives,
    .variables = (const struct wr_variable[]){
        { "stamp", WR_ANY, 0, stamp_value, 0, NULL },
        { .name = NULL },
    },
    .phases = (const struct wr_phase_hook[]){
        { WR_PH_ACCESS, WR_ANY, stamp_access, 0 },
        { 0 },
    },
};
