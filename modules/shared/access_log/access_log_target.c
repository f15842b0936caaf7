/* access_log_target: the files and syslog servers of a configuration, each once however many lines
 * name it. They are opened after the whole configuration was read, so that one with an error leaves
 * no file behind; the sinks are released with the configuration. */
#include "access_log_impl.h"

#include <errno.h>

static bool has_same_opts(const struct wr_log_file_opts *a, const struct wr_log_file_opts *b)
{
    return a->buffer == b->buffer && a->flush_ms == b->flush_ms && a->gzip == b->gzip;
}

bool wr_access_log_target_find(struct wr_cf *cf, struct wr_str path,
                               const struct wr_log_file_opts *o,
                               struct wr_access_log_target **out)
{
    struct wr_access_logs *st = wr_cf_state(cf, &wr_module_access_log);
    struct wr_access_log_target *t = wr_dict_get(st->by_path, path);

    if (t == NULL) {
        t = WR_NEW(cf->pool, struct wr_access_log_target);
        *t = (struct wr_access_log_target){ .path = path, .o = *o, .node = cf->node };
        (void)wr_dict_add(st->by_path, path, t);
        *wr_vec_push(cf->pool, &st->targets) = t;
    } else if (o->buffer > 0 && t->o.buffer == 0) {
        t->o = *o;
    } else if (o->buffer > 0 && !has_same_opts(o, &t->o)) {
        return wr_cf_error(cf, 1, "access_log \"" WR_FMT "\" already defined with conflicting "
                           "parameters", WR_ARG(wr_cf_arg(cf, 1)));
    }
    *out = t;
    return true;
}

/* Called for each scope of http; stops at the first server or location without an access_log. */
static bool look_for_log(struct wr_scope *s, void *arg)
{
    const struct wr_access_log *c = wr_scope_conf(s, &wr_module_access_log);
    bool *silent = arg;

    *silent = (s->level & (WR_LV_SERVER | WR_LV_LOCATION)) != 0 && !c->set;
    return !*silent;
}

bool wr_access_log_default(struct wr_cf *cf, struct wr_access_logs *st)
{
    struct wr_log_file_opts o = { 0 };
    struct wr_scope *http = wr_conf_layer(cf->conf, WR_L7), *main = cf->scope;
    const struct wr_node *node = cf->node;
    struct wr_access_log_line *e = &st->default_http;
    struct wr_str path = wr_str_c(wr_cf_path(cf, WR_STR(WR_HTTP_LOG_PATH), false));
    bool silent = false;

    if (http != NULL)
        wr_scope_each(http, look_for_log, &silent);
    if (!silent)
        return true;
    cf->scope = http;
    cf->node = http->node;
    e->format = wr_log_format_find(cf, &st->formats, WR_STR("combined"));
    if (e->format != NULL &&
        !wr_access_log_target_find(cf, path, &o, &e->target))
        e->format = NULL;
    cf->scope = main;
    cf->node = node;
    return e->format != NULL;
}

bool wr_access_log_target_open(struct wr_cf *cf, struct wr_access_log_target *t)
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
    wr_conf_hold_log(cf->conf, t->sink);
    return true;
}
