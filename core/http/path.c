/* path: maps a uri to a path of the file system by root or alias; and these two directives. Called
 * wherever files are opened for a request (static files, try_files, index). */
#include "http/http_impl.h"

/* True: the path may be opened. Its text before `join` is the configuration's, the rest is the
 * client's, which must not have a zero or a segment "..". Such a segment may begin with dots of the
 * configuration's text: then the search begins there. */
static bool is_safe(struct wr_str path, size_t join)
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

static bool path_too_long(struct wr_exchange *x)
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
            return path_too_long(x);
        if (root.n == 0 || root.p[0] != '/')
            wr_text_c(out, x->conf->prefix);
    }
    wr_text_str(out, root);
    return !out->overflow || path_too_long(x);
}

bool wr_http_path(struct wr_exchange *x, struct wr_str uri, struct wr_text *out)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    size_t start = out->n, join;

    if (!wr_http_root(x, out))
        return false;
    /* A root with variables may be the client's text (captures), too: check all of the path, unless
     * the configuration has ".." itself. */
    join = c->root_tpl == NULL || wr_str_search(c->root, WR_STR("..")) < c->root.n ? out->n - start
                                                                                   : 0;
    if (c->is_alias && c->alias_of.p == NULL) {
        if (!wr_http_of(x)->alias_appends_uri)
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
        return path_too_long(x);
    if (!is_safe(wr_str_skip(wr_text_view(out), start), join)) {
        wr_xlog(x, WR_LOG_ERROR, 0, "unsafe path \"" WR_FMT "\"", WR_ARG(wr_text_view(out)));
        return false;
    }
    return true;
}

/* ---- the directives ---- */

static bool is_not_circular(struct wr_cf *cf, struct wr_str s)
{
    static const char *const own[] = { "document_root", "realpath_root" };

    for (size_t i = 0; i < WR_COUNT(own); i++) {
        struct wr_str plain = wr_pool_fmt(cf->pool, "$%s", own[i]);
        struct wr_str braces = wr_pool_fmt(cf->pool, "${%s}", own[i]);

        if (wr_str_search(s, plain) < s.n || wr_str_search(s, braces) < s.n)
            return wr_cf_error(cf, 1, "the $%s variable cannot be used in the \"%s\" directive",
                               own[i], cf->row->name);
    }
    return true;
}

static bool may_stand_here(struct wr_cf *cf, const struct wr_http_conf *c, bool alias)
{
    if (c->root_scope == cf->scope && c->is_alias == alias)
        return wr_cf_error(cf, 0, "\"%s\" directive is duplicate", cf->row->name);
    if (c->root_scope == cf->scope)
        return wr_cf_error(cf, 0,
                           "\"%s\" directive is duplicate, \"%s\" directive was specified earlier",
                           cf->row->name, alias ? "root" : "alias");
    if (alias && WR_CHECK(cf->scope->object, LOCATION)->kind == WR_LOC_NAMED)
        return wr_cf_error(cf, 0,
                           "the \"alias\" directive cannot be used inside the named location");
    return is_not_circular(cf, wr_cf_arg(cf, 1));
}

/* root and alias set one value: the one in the nearest block applies, whichever it is. */
bool wr_http_set_root(struct wr_cf *cf, void *conf)
{
    struct wr_http_conf *c = conf;
    bool alias = strcmp(cf->row->name, "alias") == 0;
    const struct wr_location *loc = alias ? WR_CHECK(cf->scope->object, LOCATION) : NULL;
    struct wr_str path = wr_cf_arg(cf, 1);

    if (!cf->defaulting && !may_stand_here(cf, c, alias))
        return false;
    c->root_tpl = NULL;
    if (wr_str_find(path, '$') == path.n)
        path = wr_str_c(wr_cf_path(cf, path, false));
    if (!alias && path.n > 0 && path.p[path.n - 1] == '/')
        path.n--;
    c->root = path;
    if (wr_str_find(path, '$') < path.n && (c->root_tpl = wr_template_new(cf, 1, path)) == NULL)
        return false;
    c->is_alias = alias;
    c->alias_of = alias && loc->kind != WR_LOC_REGEX ? loc->name : wr_str_of(NULL, 0);
    c->root_scope = cf->defaulting ? NULL : cf->scope;
    return true;
}
