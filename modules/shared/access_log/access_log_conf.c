/* access_log_conf: the setter of `access_log`: path, format, parameters. access_log.c has its
 * row. */
#include "access_log_impl.h"

#define GZIP_BUFFER (64 * 1024)

uint32_t wr_path_climbs(struct wr_str path)
{
    uint32_t n = 0;

    for (struct wr_str rest = path; rest.n > 0;)
        n += wr_str_is(wr_str_cut(&rest, '/'), "..");
    return n;
}

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

static bool set_param(struct wr_cf *cf, uint32_t i, struct wr_access_log_line *e,
                      struct wr_log_file_opts *o)
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

static bool set_path(struct wr_cf *cf, struct wr_access_log_line *e, struct wr_log_file_opts *o)
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
            e->climbs = wr_path_climbs(path);
            return o->buffer == 0 ||
                   wr_cf_error(cf, 1, "buffered logs cannot have variables in name");
        }
        path = wr_str_c(wr_cf_path(cf, path, false));
    }
    return wr_access_log_target_find(cf, path, o, &e->target);
}

static bool set_format(struct wr_cf *cf, struct wr_access_log_line *e)
{
    struct wr_access_logs *st = wr_cf_state(cf, &wr_module_access_log);
    struct wr_str name = cf->nargs > 1 ? wr_cf_arg(cf, 2) : WR_STR("combined");

    if (cf->nargs == 1 && cf->scope->layer != WR_L7)
        return wr_cf_error_hint(cf, 1, "define one with log_format and name it after the path",
                                "log format is not specified");
    e->format = wr_log_format_find(cf, &st->formats, name);
    return e->format != NULL || wr_cf_error(cf, cf->nargs > 1 ? 2 : 0,
                                            "unknown log format \"" WR_FMT "\"", WR_ARG(name));
}

bool wr_set_access_log(struct wr_cf *cf, void *conf)
{
    struct wr_access_log *c = conf;
    struct wr_log_file_opts o = { 0 };
    struct wr_access_log_line e = { 0 };

    if (cf->first)
        *c = (struct wr_access_log){ .set = true, .cache = c->cache };
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
