/* index: redirects a uri that ends with a slash, internally, to the first file of the `index` list
 * that exists. Its second hook is the last of all content hooks: it refuses a folder (403) that no
 * other hook has shown. Called in phase CONTENT. */
#include "../content_ranks.h"
#include "../open/open_path.h"

#include <errno.h>

struct index_conf {
    WR_VEC(struct wr_template *) names;
};

extern struct wr_module wr_module_index;

static bool is_folder_request(const struct wr_exchange *x)
{
    return wr_str_ends(wr_http_of(x)->req.uri, WR_STR("/"));
}

/* True: the folder exists. Called once, when the first file was not found in it. */
static bool is_existing_folder(struct wr_exchange *x, struct wr_str folder, struct wr_open_error *e)
{
    struct stat st;

    if (!wr_stat_path(x, wr_pool_cstr(x->pool, folder), &st, e))
        return false;
    if (S_ISDIR(st.st_mode))
        return true;
    *e = (struct wr_open_error){ ENOTDIR, "stat()" };
    return false;
}

static enum wr_verdict refuse_path(struct wr_exchange *x, const struct wr_open_error *e,
                                   const char *path)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    unsigned status = wr_open_status(e->err);

    if (status == 403)
        wr_xlog(x, WR_LOG_ERROR, e->err, "\"%s\" is forbidden", path);
    else if (status == 500)
        wr_xlog(x, WR_LOG_CRIT, e->err, "%s \"%s\" failed", e->call, path);
    else if (c->log_not_found)
        wr_xlog(x, WR_LOG_ERROR, e->err, "\"%s\" is not found", path);
    return wr_reject(x, status, NULL);
}

static enum wr_verdict go_to(struct wr_exchange *x, struct wr_str name)
{
    const struct wr_http *h = wr_http_of(x);

    return wr_http_internal(x, wr_pool_fmt(x->pool, WR_FMT WR_FMT, WR_ARG(h->req.uri),
                                           WR_ARG(name)), h->req.args);
}

/* Try one element of the list; PASS: it does not exist. */
static enum wr_verdict try_name(struct wr_exchange *x, struct wr_text *path, struct wr_str name,
                                bool *folder_seen)
{
    size_t folder = path->n;
    struct wr_open_error e;
    struct stat st;
    const char *full;
    bool found;

    wr_text_str(path, name);
    if (!wr_text_cstr(path, &full))
        return wr_reject(x, 500, NULL);
    found = wr_stat_path(x, full, &st, &e);
    path->n = folder;
    if (found)
        return go_to(x, name);
    if (e.err != ENOENT)
        return refuse_path(x, &e, full);
    if (!*folder_seen && !is_existing_folder(x, wr_text_view(path), &e))
        return refuse_path(x, &e, full);
    *folder_seen = true;
    return WR_PASS;
}

static enum wr_verdict index_run(struct wr_exchange *x)
{
    const struct index_conf *c = wr_conf_of(x, &wr_module_index);
    const struct wr_http *h = wr_http_of(x);
    struct wr_text path = { 0 };
    bool folder_seen = false;

    if (!is_folder_request(x)
        || (h->req.method != WR_M_GET && h->req.method != WR_M_HEAD && h->req.method != WR_M_POST))
        return WR_PASS;
    for (uint32_t i = 0; i < c->names.n; i++) {
        struct wr_str name = wr_template_str(x, c->names.at[i]);
        enum wr_verdict v;

        if (name.n == 0) /* its variables are empty */
            continue;
        if (name.p[0] == '/')
            return wr_http_internal(x, name, h->req.args);
        if (path.p == NULL) {
            path = wr_text_grow(x->pool, 256, WR_OPEN_PATH_MAX);
            if (!wr_http_path(x, h->req.uri, &path))
                return wr_reject(x, 500, NULL);
        }
        v = try_name(x, &path, name, &folder_seen);
        if (v != WR_PASS)
            return v;
    }
    return WR_PASS;
}

static enum wr_verdict forbid(struct wr_exchange *x)
{
    struct wr_text path = wr_text_grow(x->pool, 256, WR_OPEN_PATH_MAX);

    if (!is_folder_request(x))
        return WR_PASS;
    if (wr_http_path(x, wr_http_of(x)->req.uri, &path))
        wr_xlog(x, WR_LOG_ERROR, 0, "directory index of \"" WR_FMT "\" is forbidden",
                WR_ARG(wr_text_view(&path)));
    return wr_reject(x, 403, NULL);
}

static bool set_index(struct wr_cf *cf, void *conf)
{
    struct index_conf *c = conf;

    if (cf->first)
        *c = (struct index_conf){ 0 };
    for (uint32_t i = 1; i <= cf->nargs; i++) {
        struct wr_str name = wr_cf_arg(cf, i);
        struct wr_template *t;

        if (name.n == 0)
            return wr_cf_error(cf, i, "index \"\" in \"index\" directive is invalid");
        if (name.p[0] == '/' && i < cf->nargs)
            wr_cf_warn(cf, i, "only the last index in \"index\" directive should be absolute");
        t = wr_template_new(cf, i, name);
        if (t == NULL)
            return false;
        *wr_vec_push(cf->pool, &c->names) = t;
    }
    return true;
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("index", WR_L7 | WR_IN_LOCATIONS | WR_MULTI, 1, WR_ARGS_ANY, set_index, "index.html",
              "files that stand for a folder, in the order they are tried"),
    { 0 }
};

struct wr_module wr_module_index = {
    .name = "index",
    .layers = WR_L7,
    .conf_size = sizeof(struct index_conf),
    .directives = directives,
    .phases = (const struct wr_phase_hook[]){
        { WR_PH_CONTENT, WR_L7, index_run, WR_CONTENT_INDEX },
        { WR_PH_CONTENT, WR_L7, forbid, WR_CONTENT_FORBIDDEN }, { 0 } },
};
