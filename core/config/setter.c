/* setter: functions for setters and for prepare, finish and check of modules: errors at a word of
 * the directive, absolute paths. Owns nothing. */
#include "config/config_impl.h"

#include <sys/stat.h>

static void report_at(const struct wr_cf *cf, const struct wr_node *n, uint32_t i,
                      enum wr_level level, const char *hint, const char *fmt, va_list ap)
{
    wr_diag_vput(cf->conf->tree, level, wr_place_of(n, i), hint, fmt, ap);
}

static const char *swallowed_hint(const struct wr_cf *cf)
{
    if (cf->node == NULL || cf->row == NULL)
        return NULL;
    return wr_suggest_semicolon(cf->pool, cf->node, cf->scope, true);
}

bool wr_cf_error(struct wr_cf *cf, uint32_t i, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    report_at(cf, cf->node, i, WR_LOG_EMERG, swallowed_hint(cf), fmt, ap);
    va_end(ap);
    return false;
}

bool wr_cf_error_hint(struct wr_cf *cf, uint32_t i, const char *hint, const char *fmt, ...)
{
    const char *better = swallowed_hint(cf);
    va_list ap;

    va_start(ap, fmt);
    report_at(cf, cf->node, i, WR_LOG_EMERG, better != NULL ? better : hint, fmt, ap);
    va_end(ap);
    return false;
}

bool wr_cf_error_variable(struct wr_cf *cf, uint32_t i, struct wr_str name, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    wr_diag_vput(cf->conf->tree, WR_LOG_EMERG, wr_place_variable(cf->node, i, name),
                 swallowed_hint(cf), fmt, ap);
    va_end(ap);
    return false;
}

void wr_cf_warn(struct wr_cf *cf, uint32_t i, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    report_at(cf, cf->node, i, WR_LOG_WARN, NULL, fmt, ap);
    va_end(ap);
}

bool wr_cf_error_at(struct wr_cf *cf, const struct wr_node *n, uint32_t i, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    report_at(cf, n, i, WR_LOG_EMERG, NULL, fmt, ap);
    va_end(ap);
    return false;
}

const char *wr_cf_path(struct wr_cf *cf, struct wr_str path, bool conf)
{
    if (path.n > 0 && path.p[0] == '/')
        return wr_pool_cstr(cf->pool, path);
    return wr_pool_fmt(cf->pool, "%s" WR_FMT, conf ? cf->conf->tree->prefix : cf->conf->prefix,
                       WR_ARG(path)).p;
}

void wr_cf_warn_open(struct wr_cf *cf, uint32_t word, const char *path, const char *what)
{
    struct stat st;

    if (stat(path, &st) == 0 && (st.st_mode & S_IRWXO) != 0)
        wr_cf_warn(cf, word, "%s in \"%s\" can be read by other users: chmod o= \"%s\"", what, path,
                   path);
}

void wr_cf_temp_folder(struct wr_cf *cf, const char *path)
{
    for (uint32_t i = 0; i < cf->conf->folders.n; i++)
        if (strcmp(cf->conf->folders.at[i], path) == 0)
            return;
    *wr_vec_push(cf->pool, &cf->conf->folders) = path;
}
