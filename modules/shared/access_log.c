/* access_log: a line about each exchange when it is over, and the directives that say where and how.
 * Both layers. It owns the list of log targets of a configuration: one for each file, opened once
 * everything was read, so that a configuration with an error leaves no file behind. */
#include "access_log.h"

#include <errno.h>

/* A file or syslog server; all lines that name it share it. */
struct target {
    struct wr_str path;
    struct wr_log_file_opts o;
    struct wr_sink *sink;
    const struct wr_node *node;   /* the first that named it */
};
/* One `access_log` line. */
struct entry {
    const struct wr_log_format *format;
    struct wr_template *condition; /* NULL: always */
    struct target *target;         /* NULL: the path has variables */
    struct wr_template *path;
    uint32_t climbs;               /* ".." the administrator wrote in the path */
};
struct access_log_conf {
    WR_VEC(struct entry) entries;
    bool set, off;
    struct wr_log_cache *cache;    /* NULL: off */
};
struct access_log_state {
    struct wr_log_formats formats;
    struct wr_dict *by_path;
    WR_VEC(struct target *) targets;
    struct entry default_http;     /* format NULL: nobody needs it */
};

#define LINE_MAX (64 * 1024)
#define GZIP_BUFFER (64 * 1024)

extern struct wr_module wr_module_access_log;

/* ---- at the end of an exchange ---- */

static uint32_t count_climbs(struct wr_str path)
{
    uint32_t n = 0;

    for (struct wr_str rest = path; rest.n > 0;)
        n += wr_str_is(wr_str_cut(&rest, '/'), "..");
    return n;
}

/* Where a path with variables points now. False: it is no path; the client may have written it. */
static bool make_path(struct wr_exchange *x, const struct entry *e, struct wr_text *t,
                      const char **out)
{
    struct wr_str path = wr_template_str(x, e->path);

    if (path.n == 0 || wr_str_find(path, '\0') != path.n || count_climbs(path) > e->climbs) {
        wr_xlog(x, WR_LOG_ERROR, 0, "access log path \"" WR_FMT "\" refused", WR_ARG(path));
        return false;
    }
    if (path.p[0] != '/')
        wr_text_c(t, x->s->conf->prefix);
    wr_text_str(t, path);
    return wr_text_cstr(t, out);
}

static void write_line(struct wr_exchange *x, const struct access_log_conf *c,
                       const struct entry *e, struct wr_str line)
{
    char buf[4096];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    const char *path;

    if (e->target != NULL)
        wr_sink_write(e->target->sink, WR_LOG_LEVELS, line);
    else if (make_path(x, e, &t, &path))
        wr_log_path_write(c->cache, path, line);
}

static void log_entry(struct wr_exchange *x, const struct access_log_conf *c, const struct entry *e)
{
    static char buf[LINE_MAX];
    struct wr_text t = wr_text_on(buf, sizeof(buf) - 1);

    if (e->condition != NULL && !wr_template_true(x, e->condition))
        return;
    wr_log_format_line(x, e->format, &t);
    buf[t.n] = '\n';
    write_line(x, c, e, wr_str_of(buf, t.n + 1));
}

static enum wr_verdict access_log_run(struct wr_exchange *x)
{
    const struct access_log_conf *c = wr_conf_of(x, &wr_module_access_log);
    const struct access_log_state *st = wr_conf_state(x->s->conf, &wr_module_access_log);

    for (uint32_t i = 0; i < c->entries.n; i++)
        log_entry(x, c, &c->entries.at[i]);
    if (!c->set && x->layer->bit == WR_L7 && st->default_http.format != NULL)
        log_entry(x, c, &st->default_http);
    return WR_PASS;
}

/* ---- access_log ---- */

static bool set_buffer(struct wr_cf *cf, uint32_t i, struct wr_str v, struct wr_log_file_opts *o)
{
    uint64_t size;

    if (!wr_parse_size(v, &size) || size == 0 || size > UINT32_MAX)
        return wr_cf_error(cf, i, "invalid buffer size \"" WR_FMT "\"", WR_ARG(v));
    o->buffer = size;
    return true;
}

static bool set_flush(struct wr_cf *cf, uint32_t i, struct wr_str v, struct wr_log_file_opts *o)
{
    if (!wr_parse_msec(v, &o->flush_ms) || o->flush_ms == 0)
        return wr_cf_error(cf, i, "invalid flush time \"" WR_FMT "\"", WR_ARG(v));
    return true;
}

static bool set_gzip(struct wr_cf *cf, uint32_t i, struct wr_str v, struct wr_log_file_opts *o)
{
    uint64_t level;

    if (!wr_str_u64(v, &level) || level < 1 || level > 9)
        return wr_cf_error(cf, i, "invalid compression level \"" WR_FMT "\"", WR_ARG(v));
    o->gzip = (int)level;
    return true;
}

static bool set_param(struct wr_cf *cf, uint32_t i, struct entry *e, struct wr_log_file_opts *o)
{
    struct wr_str arg = wr_cf_arg(cf, i), v;

    if (wr_param(arg, "buffer", &v))
        return set_buffer(cf, i, v, o);
    if (wr_param(arg, "flush", &v))
        return set_flush(cf, i, v, o);
    if (wr_param(arg, "gzip", &v))
        return set_gzip(cf, i, v, o);
    if (wr_str_is(arg, "gzip"))
        return set_gzip(cf, i, WR_STR("1"), o);
    if (wr_param(arg, "if", &v)) {
        e->condition = wr_template_new(cf, i, v);
        return e->condition != NULL;
    }
    return wr_cf_error(cf, i, "invalid parameter \"" WR_FMT "\"", WR_ARG(arg));
}

static bool same_opts(const struct wr_log_file_opts *a, const struct wr_log_file_opts *b)
{
    return a->buffer == b->buffer && a->flush_ms == b->flush_ms && a->gzip == b->gzip;
}

/* The target of this path; a line without buffer= takes the file as the others have it. */
static bool find_target(struct wr_cf *cf, struct wr_str path, const struct wr_log_file_opts *o,
                        struct target **out)
{
    struct access_log_state *st = wr_cf_state(cf, &wr_module_access_log);
    struct target *t = wr_dict_get(st->by_path, path);

    if (t == NULL) {
        t = WR_NEW(cf->pool, struct target);
        *t = (struct target){ .path = path, .o = *o, .node = cf->node };
        (void)wr_dict_add(st->by_path, path, t);
        *wr_vec_push(cf->pool, &st->targets) = t;
    } else if (o->buffer > 0 && t->o.buffer == 0) {
        t->o = *o;
    } else if (o->buffer > 0 && !same_opts(o, &t->o)) {
        return wr_cf_error(cf, 1, "access_log \"" WR_FMT "\" already defined with conflicting "
                           "parameters", WR_ARG(path));
    }
    *out = t;
    return true;
}

static bool set_path(struct wr_cf *cf, struct entry *e, struct wr_log_file_opts *o)
{
    struct wr_str path = wr_cf_arg(cf, 1), literal;
    bool syslog = wr_str_starts(path, WR_STR("syslog:"));

    if (o->gzip > 0 && o->buffer == 0)
        o->buffer = GZIP_BUFFER;
    if (o->flush_ms > 0 && o->buffer == 0)
        return wr_cf_error(cf, 1, "no buffer is defined for access_log \"" WR_FMT "\"",
                           WR_ARG(path));
    if (syslog && o->buffer > 0)
        return wr_cf_error(cf, 1, "logs to syslog cannot be buffered");
    if (!syslog) {
        e->path = wr_template_new(cf, 1, path);
        if (e->path == NULL)
            return false;
        if (!wr_template_literal(e->path, &literal)) {
            e->climbs = count_climbs(path);
            return o->buffer == 0 ||
                   wr_cf_error(cf, 1, "buffered logs cannot have variables in name");
        }
        path = wr_str_c(wr_cf_path(cf, path, false));
    }
    return find_target(cf, path, o, &e->target);
}

static bool set_format(struct wr_cf *cf, struct entry *e)
{
    struct access_log_state *st = wr_cf_state(cf, &wr_module_access_log);
    struct wr_str name = cf->nargs > 1 ? wr_cf_arg(cf, 2) : WR_STR("combined");

    if (cf->nargs == 1 && cf->scope->layer != WR_L7)
        return wr_cf_error_hint(cf, 1, "define one with log_format and name it behind the path",
                                "log format is not specified");
    e->format = wr_log_format_find(cf, &st->formats, name);
    return e->format != NULL || wr_cf_error(cf, cf->nargs > 1 ? 2 : 0,
                                            "unknown log format \"" WR_FMT "\"", WR_ARG(name));
}

static bool set_access_log(struct wr_cf *cf, void *conf)
{
    struct access_log_conf *c = conf;
    struct wr_log_file_opts o = { 0 };
    struct entry e = { 0 };

    if (cf->first)
        *c = (struct access_log_conf){ .set = true, .cache = c->cache };
    if (wr_str_is(wr_cf_arg(cf, 1), "off")) {
        c->off = true;
        c->entries.n = 0;
        return cf->nargs == 1 || wr_cf_error(cf, 2, "invalid parameter \"" WR_FMT "\"",
                                             WR_ARG(wr_cf_arg(cf, 2)));
    }
    if (!set_format(cf, &e))
        return false;
    for (uint32_t i = 3; i <= cf->nargs; i++)
        if (!set_param(cf, i, &e, &o))
            return false;
    /* One `off` in a block silences the whole block. */
    if (c->off)
        return true;
    if (!set_path(cf, &e, &o))
        return false;
    *wr_vec_push(cf->pool, &c->entries) = e;
    return true;
}

/* ---- log_format, open_log_file_cache ---- */

static bool set_log_format(struct wr_cf *cf, void *conf)
{
    struct access_log_state *st = wr_cf_state(cf, &wr_module_access_log);

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
    struct access_log_conf *c = conf;
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
    struct access_log_state *st = WR_NEW(cf->pool, struct access_log_state);

    wr_log_formats_init(cf->pool, &st->formats);
    st->by_path = wr_dict_new(cf->pool, false);
    wr_cf_state(cf, &wr_module_access_log) = st;
    return true;
}

/* Stops at the first scope of http that says nothing about its log. */
static bool says(struct wr_scope *s, void *arg)
{
    const struct access_log_conf *c = wr_scope_conf(s, &wr_module_access_log);
    bool *silent = arg;

    *silent = (s->level & (WR_LV_SERVER | WR_LV_LOCATION)) != 0 && !c->set;
    return !*silent;
}

/* An http server without a word about it logs to the access log of ./configure. */
static bool default_log(struct wr_cf *cf, struct access_log_state *st)
{
    struct wr_log_file_opts o = { 0 };
    struct wr_scope *http = wr_conf_layer(cf->conf, WR_L7), *main = cf->scope;
    const struct wr_node *node = cf->node;
    struct entry *e = &st->default_http;
    bool silent = false;

    if (http != NULL)
        wr_scope_each(http, says, &silent);
    if (!silent)
        return true;
    cf->scope = http;
    cf->node = http->node;
    e->format = wr_log_format_find(cf, &st->formats, WR_STR("combined"));
    if (e->format != NULL &&
        !find_target(cf, wr_str_c(wr_cf_path(cf, WR_STR(WR_HTTP_LOG_PATH), false)), &o,
                     &e->target))
        e->format = NULL;
    cf->scope = main;
    cf->node = node;
    return e->format != NULL;
}

static void release(void *sink)
{
    wr_sink_release(sink);
}

static bool open_target(struct wr_cf *cf, struct target *t)
{
    const char *err = "out of memory";

    if (wr_str_starts(t->path, WR_STR("syslog:"))) {
        t->sink = wr_syslog_open(cf->pool, t->path, &err);
        if (t->sink == NULL)
            return wr_cf_error_at(cf, t->node, 1, "%s", err);
    } else {
        t->sink = wr_log_file_open(t->path.p, &t->o);
        if (t->sink == NULL)
            return wr_cf_error_at(cf, t->node, 1, "open() \"" WR_FMT "\" failed (%d: %s)",
                                  WR_ARG(t->path), errno, strerror(errno));
    }
    wr_pool_cleanup(cf->pool, release, t->sink);
    return true;
}

static bool check(struct wr_cf *cf)
{
    struct access_log_state *st = wr_cf_state(cf, &wr_module_access_log);
    bool ok = default_log(cf, st);

    for (uint32_t i = 0; i < st->targets.n; i++)
        ok = open_target(cf, st->targets.at[i]) && ok;
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
    wr_log_files_flush();
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("log_format", WR_ANY | WR_LV_LAYER | WR_MULTI, 2, WR_ARGS_ANY, set_log_format, NULL,
              "names the text of access log lines"),
    WR_ROW("access_log", WR_ANY | WR_SCOPES | WR_LV_IF | WR_LV_LMT | WR_MULTI | WR_LATE, 1,
           WR_ARGS_ANY, set_access_log, struct access_log_conf, entries, NULL, NULL,
           "where a line about each session or request goes, or off"),
    WR_CUSTOM("open_log_file_cache", WR_ANY | WR_SCOPES, 1, 4, set_cache, NULL,
              "keeps access logs open whose names have variables"),
    { 0 }
};

struct wr_module wr_module_access_log = {
    .name = "access_log",
    .layers = WR_ANY,
    .conf_size = sizeof(struct access_log_conf),
    .directives = directives,
    .phases = (const struct wr_phase_hook[]){ { WR_PH_LOG, WR_ANY, access_log_run, 0 }, { 0 } },
    .prepare = prepare,
    .check = check,
    .worker_init = worker_init,
    .worker_exit = worker_exit,
};
