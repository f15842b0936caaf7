/* access_log: writes a line about each exchange at its end. Both layers. This file has the module
 * with its rows and the LOG hook; access_log_impl.h lists the others. */
#include "access_log_impl.h"

#define LONGEST_LINE (64 * 1024)

/* ---- at the end of an exchange ---- */

/* The path with its variables filled in. False: it is refused, because a client may have supplied
 * part of it: it is empty, has a NUL, or has more ".." than the configured path. */
static bool make_path(struct wr_exchange *x, const struct wr_access_log_line *e, struct wr_text *t,
                      const char **out)
{
    struct wr_str path = wr_template_str(x, e->path);

    if (path.n == 0 || wr_str_find(path, '\0') != path.n || wr_path_climbs(path) > e->climbs) {
        wr_xlog(x, WR_LOG_ERROR, 0, "access log path \"" WR_FMT "\" refused", WR_ARG(path));
        return false;
    }
    if (path.p[0] != '/')
        wr_text_c(t, x->conf->prefix);
    wr_text_str(t, path);
    return wr_text_cstr(t, out);
}

static void write_line(struct wr_exchange *x, const struct wr_access_log *c,
                       const struct wr_access_log_line *e, struct wr_str line)
{
    char buf[4096];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    const char *path;

    if (e->target != NULL)
        wr_sink_write(e->target->sink, WR_LOG_LEVELS, line);
    else if (make_path(x, e, &t, &path))
        wr_log_path_write(c->cache, path, line);
}

static void log_line(struct wr_exchange *x, const struct wr_access_log *c,
                     const struct wr_access_log_line *e)
{
    static char buf[LONGEST_LINE];
    struct wr_text t = wr_text_on(buf, sizeof(buf) - 1);

    if (e->condition != NULL && !wr_template_true(x, e->condition))
        return;
    wr_log_format_line(x, e->format, &t);
    buf[t.n] = '\n';
    write_line(x, c, e, wr_str_of(buf, t.n + 1));
}

/* Without any access_log directive layer 7 has the default log. */
static bool has_lines(const void *conf)
{
    const struct wr_access_log *c = conf;

    return c->entries.n > 0 || !c->set;
}

static enum wr_verdict access_log_run(struct wr_exchange *x)
{
    const struct wr_access_log *c = wr_conf_of(x, &wr_module_access_log);
    const struct wr_access_logs *st = wr_conf_state(x->conf, &wr_module_access_log);

    for (uint32_t i = 0; i < c->entries.n; i++)
        log_line(x, c, &c->entries.at[i]);
    if (!c->set && x->layer->bit == WR_L7 && st->default_http.format != NULL)
        log_line(x, c, &st->default_http);
    return WR_PASS;
}

/* ---- log_format, open_log_file_cache ---- */

static bool set_log_format(struct wr_cf *cf, void *conf)
{
    struct wr_access_logs *st = wr_cf_state(cf, &wr_module_access_log);

    (void)conf;
    return wr_log_format_define(cf, &st->formats);
}

static bool cache_param(struct wr_str arg, struct wr_log_cache_opts *o)
{
    struct wr_str v;
    uint64_t n;

    if (wr_param(arg, "inactive", &v))
        return wr_parse_msec(v, &o->inactive_ms);
    if (wr_param(arg, "valid", &v))
        return wr_parse_msec(v, &o->valid_ms);
    if (wr_param(arg, "max", &v) && wr_str_u64(v, &n) && n <= UINT32_MAX) {
        o->max = (uint32_t)n;
        return true;
    }
    if (wr_param(arg, "min_uses", &v) && wr_str_u64(v, &n) && n <= UINT32_MAX) {
        o->min_uses = (uint32_t)n;
        return true;
    }
    return false;
}

static bool set_cache(struct wr_cf *cf, void *conf)
{
    struct wr_log_cache_opts o = { .min_uses = 1, .inactive_ms = 10000, .valid_ms = 60000 };
    struct wr_access_log *c = conf;
    bool off = false;

    for (uint32_t i = 1; i <= cf->nargs; i++) {
        struct wr_str arg = wr_cf_arg(cf, i);

        if (wr_str_is(arg, "off"))
            off = true;
        else if (!cache_param(arg, &o))
            return wr_cf_error(cf, i, "invalid \"open_log_file_cache\" parameter \"" WR_FMT "\"",
                               WR_ARG(arg));
    }
    if (!off && o.max == 0)
        return wr_cf_error(cf, 0, "\"open_log_file_cache\" must have \"max\" parameter");
    c->cache = off ? NULL : wr_log_cache_new(cf->pool, &o);
    return true;
}

/* ---- the configuration as a whole ---- */

static bool prepare(struct wr_cf *cf)
{
    struct wr_access_logs *st = WR_NEW(cf->pool, struct wr_access_logs);

    wr_log_formats_init(cf->pool, &st->formats);
    st->by_path = wr_dict_new(cf->pool, false);
    wr_cf_state(cf, &wr_module_access_log) = st;
    return true;
}

static bool check(struct wr_cf *cf)
{
    struct wr_access_logs *st = wr_cf_state(cf, &wr_module_access_log);
    bool ok = wr_access_log_default(cf, st);

    for (uint32_t i = 0; i < st->targets.n; i++)
        ok = wr_access_log_target_open(cf, st->targets.at[i]) && ok;
    return ok;
}

static bool worker_init(struct wr_conf *conf, struct wr_loop *l)
{
    (void)conf;
    wr_log_files_use(l);
    return true;
}

static void worker_exit(struct wr_conf *conf)
{
    (void)conf;
    wr_log_files_end();
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("log_format", WR_ANY | WR_LV_LAYER | WR_MULTI, 2, WR_ARGS_ANY, set_log_format, NULL,
              "defines a named format of access log lines"),
    WR_ROW("access_log", WR_ANY | WR_IN_LOCATION_IFS | WR_LV_LIMIT_EXCEPT | WR_MULTI | WR_LATE, 1,
           WR_ARGS_ANY, wr_set_access_log, struct wr_access_log, entries, NULL, NULL,
           "file or syslog server for a line about each session or request, or off"),
    WR_CUSTOM("open_log_file_cache", WR_ANY | WR_IN_LOCATIONS, 1, 4, set_cache, NULL,
              "keeps open access logs whose names have variables"),
    { 0 }
};

struct wr_module wr_module_access_log = {
    .name = "access_log",
    .layers = WR_ANY,
    .conf_size = sizeof(struct wr_access_log),
    .directives = directives,
    .has_work = has_lines,
    .phases = (const struct wr_phase_hook[]){ { WR_PH_LOG, WR_ANY, access_log_run, 0 }, { 0 } },
    .prepare = prepare,
    .check = check,
    .worker_init = worker_init,
    .worker_exit = worker_exit,
};
