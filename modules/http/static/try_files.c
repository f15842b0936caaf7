/* try_files: the first file of a list that exists becomes the uri; if none does, the last argument
 * applies: another uri, a named location, a status. Called in phase PRECONTENT; a content hook
 * (static) sends the file. Owns nothing. */
#include "../open/open_path.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

struct candidate {
    struct wr_template *text;
    bool folder;               /* written with a final slash */
    bool literal;              /* without variables */
};
struct try_conf {
    WR_VEC(struct candidate) list;
    struct wr_template *fallback; /* NULL: status, or no try_files here */
    unsigned status;
    bool set;
};

extern struct wr_module wr_module_try_files;

/* The name to append to root or alias. A value of variables may begin with the name of the
 * location, which an alias replaces. */
static struct wr_str name_of(struct wr_exchange *x, const struct candidate *c)
{
    const struct wr_http_conf *hc = wr_conf_of(x, &wr_module_http);
    struct wr_str s = wr_template_str(x, c->text);

    if (c->folder && s.n > 0)
        s.n--;
    if (!c->literal && hc->is_alias && hc->alias_of.p != NULL && wr_str_starts(s, hc->alias_of))
        s = wr_str_skip(s, hc->alias_of.n);
    return s;
}

static bool is_there(struct wr_exchange *x, const char *path, bool folder)
{
    struct wr_open_error e;
    struct stat st;

    if (!wr_stat_path(x, path, &st, &e)) {
        if (wr_open_status(e.err) == 500)
            wr_xlog(x, WR_LOG_CRIT, e.err, "%s \"%s\" failed", e.call, path);
        return false;
    }
    return folder ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode);
}

static bool has_dots(struct wr_str s)
{
    while (s.n > 0)
        if (wr_str_is(wr_str_cut(&s, '/'), ".."))
            return true;
    return false;
}

static bool is_found(struct wr_exchange *x, const struct candidate *c, struct wr_str name)
{
    struct wr_text t = wr_text_grow(x->pool, 256, PATH_MAX);
    const char *path;

    if (name.p == NULL || (!c->literal && has_dots(name)) || !wr_http_root(x, &t))
        return false;
    wr_text_str(&t, name);
    return wr_text_cstr(&t, &path) && strlen(path) == t.n && is_there(x, path, c->folder);
}

/* Make the file's name the uri. With an alias the name of the location comes before it. */
static void take_name(struct wr_exchange *x, struct wr_str name)
{
    const struct wr_http_conf *hc = wr_conf_of(x, &wr_module_http);
    struct wr_http *h = wr_http_of(x);

    if (hc->is_alias && hc->alias_of.p != NULL)
        name = wr_pool_fmt(x->pool, WR_FMT WR_FMT, WR_ARG(hc->alias_of), WR_ARG(name));
    h->req.uri = name;
    h->uri_internal = true;
    h->alias_appends_uri = hc->is_alias && hc->alias_of.p == NULL;
}

static enum wr_verdict fall_back(struct wr_exchange *x, const struct try_conf *c)
{
    struct wr_str uri, path;

    if (c->fallback == NULL)
        return wr_reject(x, c->status, NULL);
    uri = wr_template_str(x, c->fallback);
    if (uri.p == NULL)
        return wr_reject(x, 500, "the uri of try_files is too long");
    if (uri.n > 0 && uri.p[0] == '@')
        return wr_http_internal(x, uri, wr_str_of(NULL, 0));
    path = wr_str_cut(&uri, '?');
    return wr_http_internal(x, path, uri);
}

static enum wr_verdict try_files(struct wr_exchange *x)
{
    const struct try_conf *c = wr_conf_of(x, &wr_module_try_files);

    if (!c->set)
        return WR_PASS;
    for (uint32_t i = 0; i < c->list.n; i++) {
        struct wr_str name = name_of(x, &c->list.at[i]);

        if (is_found(x, &c->list.at[i], name)) {
            take_name(x, name);
            return WR_PASS;
        }
    }
    return fall_back(x, c);
}

static bool has_files(const void *conf)
{
    return ((const struct try_conf *)conf)->set;
}

/* ---- the directive ---- */

static bool take_candidate(struct wr_cf *cf, struct try_conf *c, uint32_t i)
{
    struct candidate *one = wr_vec_push(cf->pool, &c->list);
    struct wr_str s = wr_cf_arg(cf, i), literal;

    one->text = wr_template_new(cf, i, s);
    if (one->text == NULL)
        return false;
    one->folder = s.n > 0 && s.p[s.n - 1] == '/';
    one->literal = wr_template_literal(one->text, &literal);
    return true;
}

static bool take_last(struct wr_cf *cf, struct try_conf *c)
{
    struct wr_str s = wr_cf_arg(cf, cf->nargs);
    uint64_t code;

    if (s.n == 0 || s.p[0] != '=') {
        c->fallback = wr_template_new(cf, cf->nargs, s);
        return c->fallback != NULL;
    }
    if (!wr_str_u64(wr_str_skip(s, 1), &code) || code > 999)
        return wr_cf_error(cf, cf->nargs, "invalid code \"" WR_FMT "\"", WR_ARG(s));
    c->status = (unsigned)code;
    return true;
}

static bool set_try_files(struct wr_cf *cf, void *conf)
{
    struct try_conf *c = conf;

    *c = (struct try_conf){ .set = true };
    for (uint32_t i = 1; i < cf->nargs; i++)
        if (!take_candidate(cf, c, i))
            return false;
    return take_last(cf, c);
}

static void enter(struct wr_scope *scope, void *conf)
{
    (void)scope;
    *(struct try_conf *)conf = (struct try_conf){ 0 };
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("try_files", WR_L7 | WR_LV_SERVER | WR_LV_LOCATION | WR_LOCAL, 2, WR_ARGS_ANY,
              set_try_files, NULL, "uses the first of these files that exists; else the last uri"),
    { 0 },
};

struct wr_module wr_module_try_files = {
    .name = "try_files",
    .layers = WR_L7,
    .conf_size = sizeof(struct try_conf),
    .directives = directives,
    .enter = enter,
    .has_work = has_files,
    .phases = (const struct wr_phase_hook[]){ { WR_PH_PRECONTENT, WR_L7, try_files, 0 }, { 0 } },
};
