/* path: where on the disk a uri is, by root or alias. Whoever opens files for a request calls it
 * (static files, try_files, index). Pure but for variables and the log. */
#include "http/routing.h"

/* May a path be opened that was put together from the configuration's text before `join` and the
 * client's behind it? It may hold no zero, and what the client said may not climb: its first
 * segment can begin in the configuration's text. */
static bool safe(struct wr_str path, size_t join)
{
    if (wr_str_find(path, '\0') < path.n)
        return false;
    while (join > 0 && join < path.n && path.p[join] != '/' && path.p[join - 1] != '/')
        join--;
    path = wr_str_skip(path, join);
    while (path.n > 0)
        if (wr_str_is(wr_str_cut(&path, '/'), ".."))
            return false;
    return true;
}

static bool too_long(struct wr_exchange *x)
{
    wr_xlog(x, WR_LOG_ERROR, 0, "the path of the file is too long");
    return false;
}

bool wr_http_root(struct wr_exchange *x, struct wr_text *out)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_str root = c->root;

    if (c->root_tpl != NULL) {
        root = wr_template_str(x, c->root_tpl);
        if (root.p == NULL)
            return too_long(x);
        if (root.n == 0 || root.p[0] != '/')
            wr_text_c(out, x->conf->prefix);
    }
    wr_text_str(out, root);
    return !out->overflow || too_long(x);
}

bool wr_http_path(struct wr_exchange *x, struct wr_str uri, struct wr_text *out)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    size_t start = out->n, join;

    if (!wr_http_root(x, out))
        return false;
    /* Variables (captures) are the client's words too, unless the configuration itself climbs. */
    join = c->root_tpl == NULL || wr_str_search(c->root, WR_STR("..")) < c->root.n ? out->n - start
                                                                                   : 0;
    if (c->is_alias && c->alias_of.p == NULL) {
        if (!wr_http_of(x)->alias_open)
            uri.n = 0;
    } else if (c->is_alias) {
        if (!wr_str_starts(uri, c->alias_of)) {
            wr_xlog(x, WR_LOG_ERROR, 0,
                    "\"alias\" cannot be used in location \"" WR_FMT "\" where URI was rewritten",
                    WR_ARG(c->alias_of));
            return false;
        }
        uri = wr_str_skip(uri, c->alias_of.n);
    }
    wr_text_str(out, uri);
    if (out->overflow)
        return too_long(x);
    if (!safe(wr_str_skip(wr_text_view(out), start), join)) {
        wr_xlog(x, WR_LOG_ERROR, 0, "unsafe path \"" WR_FMT "\"", WR_ARG(wr_text_view(out)));
        return false;
    }
    return true;
}
