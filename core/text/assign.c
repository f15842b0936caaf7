/* assign: `set $variable value` of both layers: what one row means and what it does. The set module
 * of layer 4 and the rewrite program of layer 7 call it; the row is theirs. */
#include "text/text.h"

bool wr_assignment_conf(struct wr_cf *cf, struct wr_assignment *a, wr_var_get *unset)
{
    a->var = wr_var_define(cf, 1, unset, WR_VAR_CACHED | WR_VAR_SETTABLE);
    if (a->var == NULL)
        return false;
    a->value = wr_template_new(cf, 2, wr_cf_arg(cf, 2));
    return a->value != NULL;
}

void wr_assignment_run(struct wr_exchange *x, const struct wr_assignment *a)
{
    wr_var_store(x, a->var, wr_template_str(x, a->value));
}

bool wr_var_unset(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    wr_xlog(x, WR_LOG_WARN, 0, "using uninitialized \"" WR_FMT "\" variable", WR_ARG(v->name));
    *out = WR_STR("");
    return true;
}
