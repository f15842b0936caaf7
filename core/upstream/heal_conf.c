/* heal_conf: the directives by which a group heals itself. Only those that are written do
 * something: without them a group does what nginx's does. */
#include "upstream/upstream_impl.h"

static struct wr_heal *heal_of(struct wr_cf *cf)
{
    struct wr_upstream *u = WR_CHECK(cf->scope->object, UPSTREAM);

    if (u->heal == NULL)
        u->heal = WR_NEW(cf->pool, struct wr_heal);
    return u->heal;
}

/* ---- values ---- */

/* "30%" */
static bool read_percent(struct wr_str v, uint64_t least, uint32_t *out)
{
    uint64_t n;

    if (v.n < 2 || v.p[v.n - 1] != '%' || !wr_str_u64(wr_str_of(v.p, v.n - 1), &n) || n < least
        || n > 100)
        return false;
    *out = (uint32_t)n;
    return true;
}

static bool read_time(struct wr_str v, uint64_t least, uint64_t *out)
{
    return wr_parse_msec(v, out) && *out >= least && *out <= WR_EJECT_MAX_MS;
}

bool wr_on_down_read(struct wr_str v, uint32_t *out)
{
    if (wr_str_is(v, "close"))
        *out = WR_ON_DOWN_CLOSE;
    else if (wr_str_is(v, "drain"))
        *out = WR_ON_DOWN_DRAIN;
    else
        return false;
    return true;
}

static bool p_errors(struct wr_heal *h, struct wr_str v)
{
    uint64_t n;

    if (!wr_str_u64(v, &n) || n == 0 || n > 1000000)
        return false;
    h->outlier.errors = (uint32_t)n;
    return true;
}
static bool p_rate(struct wr_heal *h, struct wr_str v)
{
    return read_percent(v, 1, &h->outlier.rate);
}
static bool p_window(struct wr_heal *h, struct wr_str v)
{
    return read_time(v, 1000, &h->outlier.window_ms);
}
static bool p_eject(struct wr_heal *h, struct wr_str v)
{
    return read_time(v, 100, &h->outlier.eject_ms);
}
static bool p_max_ejected(struct wr_heal *h, struct wr_str v)
{
    return read_percent(v, 1, &h->outlier.max_ejected);
}

/* "3/s" */
static bool p_min(struct wr_heal *h, struct wr_str v)
{
    uint64_t n;

    if (!wr_str_ends(v, WR_STR("/s")) || !wr_str_u64(wr_str_of(v.p, v.n - 2), &n) || n > 1000000)
        return false;
    h->budget.min = (uint32_t)n;
    return true;
}

/* ---- parameters: tables ---- */

struct param {
    const char *name;            /* NULL: the end */
    bool (*set)(struct wr_heal *h, struct wr_str v);
    const char *takes;
};

static const struct param outlier_params[] = {
    { "errors", p_errors, "a number, 1 or more" },
    { "rate", p_rate, "a share of the tries: 1% ... 100%" },
    { "window", p_window, "a time between 1s and 1h" },
    { "eject", p_eject, "a time between 100ms and 1h" },
    { "max_ejected", p_max_ejected, "a share of the servers: 1% ... 100%" },
    { 0 },
};

static const struct param budget_params[] = {
    { "min", p_min, "retries a second: 3/s" },
    { 0 },
};

static bool read_param(struct wr_cf *cf, uint32_t i, const struct param *params)
{
    struct wr_str arg = wr_cf_arg(cf, i), v;
    struct wr_param_near near = wr_param_near(arg);
    const char *hint = NULL;

    for (const struct param *p = params; p->name != NULL && hint == NULL; p++) {
        if (!wr_param(arg, p->name, &v))
            wr_param_consider(cf->pool, &near, p->name, true);
        else if (p->set(heal_of(cf), v))
            return true;
        else
            hint = wr_pool_fmt(cf->pool, "it takes %s", p->takes).p;
    }
    return wr_cf_error_hint(cf, i, hint != NULL ? hint : near.hint,
                            "invalid parameter \"" WR_FMT "\"", WR_ARG(arg));
}

static bool read_params(struct wr_cf *cf, uint32_t from, const struct param *params)
{
    bool ok = true;

    for (uint32_t i = from; i <= cf->nargs; i++)
        ok &= read_param(cf, i, params);
    return ok;
}

/* ---- directives ---- */

static bool set_outlier(struct wr_cf *cf, void *conf WR_UNUSED)
{
    heal_of(cf)->outlier = (struct wr_outlier){
        .errors = 5, .window_ms = 10000, .eject_ms = 30000, .max_ejected = 50,
    };
    return read_params(cf, 1, outlier_params);
}

static bool set_retry_budget(struct wr_cf *cf, void *conf WR_UNUSED)
{
    struct wr_retry_budget *b = &heal_of(cf)->budget;

    *b = (struct wr_retry_budget){ .on = true, .min = 3 };
    if (!read_percent(wr_cf_arg(cf, 1), 0, &b->percent))
        return wr_cf_error_hint(cf, 1, "it takes a share of the requests: 0% ... 100%",
                                "invalid value \"" WR_FMT "\" in \"retry_budget\" directive",
                                WR_ARG(wr_cf_arg(cf, 1)));
    return read_params(cf, 2, budget_params);
}

static bool set_panic(struct wr_cf *cf, void *conf WR_UNUSED)
{
    if (read_percent(wr_cf_arg(cf, 1), 1, &heal_of(cf)->panic))
        return true;
    return wr_cf_error_hint(cf, 1, "it takes a share of the servers: 1% ... 100%",
                            "invalid value \"" WR_FMT "\" in \"panic\" directive",
                            WR_ARG(wr_cf_arg(cf, 1)));
}

static bool set_on_down(struct wr_cf *cf, void *conf WR_UNUSED)
{
    if (wr_on_down_read(wr_cf_arg(cf, 1), &heal_of(cf)->on_down))
        return true;
    return wr_cf_error_hint(cf, 1, "it takes \"close\" or \"drain\"",
                            "invalid value \"" WR_FMT "\" in \"on_down\" directive",
                            WR_ARG(wr_cf_arg(cf, 1)));
}

static const struct wr_directive directives[] = {
    WR_WORDS("outlier", WR_ANY | WR_LV_UPSTREAM, 0, 5, set_outlier,
             "[errors=5] [rate=SHARE] [window=10s] [eject=30s] [max_ejected=50%]", NULL,
             "ejects a server when as many tries failed within the window, and that share of all; "
             "for the time of eject, for twice that if its next try fails, and so on up to 10 "
             "times"),
    WR_WORDS("retry_budget", WR_ANY | WR_LV_UPSTREAM, 1, 2, set_retry_budget,
             "SHARE [min=3/s]", NULL,
             "most retries, as a share of the requests of the last 10 s in all workers (20%); min "
             "retries a second are allowed in any case"),
    WR_WORDS("panic", WR_ANY | WR_LV_UPSTREAM, 1, 1, set_panic, "SHARE", NULL,
              "if a smaller share of the servers is healthy (50%), all of them are tried"),
    WR_WORDS("on_down", WR_ANY | WR_LV_UPSTREAM, 1, 1, set_on_down, "close | drain", NULL,
              "what becomes of sessions and upgraded connections to a server that goes down: close "
              "ends them, drain lets them finish"),
    { 0 },
};

struct wr_module wr_module_heal = {
    .name = "heal",
    .layers = WR_ANY,
    .directives = directives,
};
