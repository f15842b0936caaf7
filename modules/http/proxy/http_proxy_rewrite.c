/* http_proxy_rewrite: rules that replace the beginning of a text, or all of it if a regex matches:
 * proxy_redirect for Location and Refresh, proxy_cookie_domain and proxy_cookie_path for attributes
 * of cookies. Called by http_proxy_reply.c and http_proxy_cookie.c. */
#include "proxy_impl.h"

#define REWRITTEN_MAX 65536

/* ---- while loading ---- */

/* "~pattern", "~*pattern": a regex; else text with variables. */
static bool take_from(struct wr_cf *cf, struct wr_proxy_rewrite *r, bool fold_case)
{
    struct wr_str s = wr_cf_arg(cf, 1);

    if (s.n == 0 || s.p[0] != '~') {
        r->from = wr_template_new(cf, 1, s);
        return r->from != NULL;
    }
    s = wr_str_skip(s, 1);
    if (!fold_case && s.n > 0 && s.p[0] == '*') {
        s = wr_str_skip(s, 1);
        fold_case = true;
    }
    r->regex = wr_cf_regex(cf, 1, s, fold_case);
    return r->regex != NULL;
}

static bool duplicate_error(struct wr_cf *cf)
{
    return wr_cf_error(cf, 0, "\"%s\" directive is duplicate", cf->row->name);
}

/* One argument: `off`, which must be the only line, or `word` (NULL: no further one). */
static bool take_word(struct wr_cf *cf, struct wr_proxy_rules *rules, const char *word)
{
    struct wr_str arg = wr_cf_arg(cf, 1);

    if (wr_str_is(arg, "off")) {
        rules->off = true;
        return cf->first || duplicate_error(cf);
    }
    if (word == NULL || !wr_str_is(arg, word))
        return wr_cf_error(cf, 1, "invalid parameter \"" WR_FMT "\"", WR_ARG(arg));
    rules->standard = cf->node;
    wr_vec_push(cf->pool, &rules->at)->standard = true;
    return true;
}

static bool take_rule(struct wr_cf *cf, struct wr_proxy_rules *rules, const char *word,
                      bool fold_case)
{
    struct wr_proxy_rewrite *r;

    if (cf->first)
        *rules = (struct wr_proxy_rules){ .set = true };
    if (rules->off)
        return duplicate_error(cf);
    if (cf->nargs == 1)
        return take_word(cf, rules, word);
    r = wr_vec_push(cf->pool, &rules->at);
    if (!take_from(cf, r, fold_case))
        return false;
    r->to = wr_template_new(cf, 2, wr_cf_arg(cf, 2));
    return r->to != NULL;
}

bool wr_proxy_set_redirect(struct wr_cf *cf, void *conf)
{
    struct wr_proxy_conf *c = conf;

    if (cf->nargs == 1 && wr_str_is(wr_cf_arg(cf, 1), "default") && c->pass.node == NULL)
        return wr_cf_error_hint(cf, 1, "it is the default, where there is a proxy_pass",
                                "\"proxy_redirect default\" should be placed after the "
                                "\"proxy_pass\" directive");
    return take_rule(cf, &c->redirect, "default", false);
}

bool wr_proxy_set_cookie_domain(struct wr_cf *cf, void *conf)
{
    return take_rule(cf, &((struct wr_proxy_conf *)conf)->cookie_domain, NULL, true);
}

bool wr_proxy_set_cookie_path(struct wr_cf *cf, void *conf)
{
    return take_rule(cf, &((struct wr_proxy_conf *)conf)->cookie_path, NULL, false);
}

/* The default rule: undo what proxy_pass did to the URI. */
static void fill_standard(struct wr_pool *pool, const struct wr_proxy_pass *pass,
                          struct wr_proxy_rewrite *r)
{
    const struct wr_proxy_url *u = &pass->url;

    if (u->uri.p != NULL) {
        const char *between = wr_str_starts(u->target, WR_STR("unix:")) ? ":" : "";

        r->from_text = wr_pool_fmt(pool, WR_FMT "%s" WR_FMT, WR_ARG(u->origin), between,
                                   WR_ARG(u->uri));
        r->to_text = pass->location;
    } else {
        r->from_text = wr_pool_fmt(pool, WR_FMT "/", WR_ARG(u->origin));
        r->to_text = WR_STR("/");
    }
}

bool wr_proxy_rules_finish(struct wr_cf *cf, struct wr_proxy_conf *c)
{
    bool variables = c->pass.url_tpl != NULL;

    c->location = (struct wr_proxy_rules){ 0 };
    if (c->redirect.off || (!c->redirect.set && variables))
        return true;
    if (variables && c->redirect.standard != NULL)
        return wr_cf_error_at(cf, c->redirect.standard, 1,
                              "\"proxy_redirect default\" cannot be used with \"proxy_pass\" "
                              "directive with variables");
    if (!c->redirect.set)
        fill_standard(cf->pool, &c->pass, wr_vec_push(cf->pool, &c->location.at));
    for (uint32_t i = 0; i < c->redirect.at.n; i++) {
        struct wr_proxy_rewrite *r = wr_vec_push(cf->pool, &c->location.at);

        *r = c->redirect.at.at[i];
        if (r->standard)
            fill_standard(cf->pool, &c->pass, r);
    }
    return true;
}

/* ---- for each reply ---- */

static struct wr_str text_of(struct wr_exchange *x, const struct wr_template *t, struct wr_str text)
{
    return t != NULL ? wr_template_str(x, t) : text;
}

static struct wr_str join_texts(struct wr_exchange *x, struct wr_str a, struct wr_str b)
{
    struct wr_text t = wr_text_grow(x->pool, a.n + b.n + 1, REWRITTEN_MAX * 2);

    wr_text_str(&t, a);
    wr_text_str(&t, b);
    return wr_text_view(&t);
}

static struct wr_str without_dot(struct wr_str s)
{
    return wr_str_skip(s, s.n > 0 && s.p[0] == '.' ? 1 : 0);
}

static bool replace_text(struct wr_exchange *x, const struct wr_proxy_rewrite *r, bool domain,
                         struct wr_str value, struct wr_str *out)
{
    struct wr_str from = text_of(x, r->from, r->from_text);

    if (domain) {
        struct wr_str bare = without_dot(value);

        if (!wr_str_ieq(bare, without_dot(from)))
            return false;
        *out = join_texts(x, wr_str_of(value.p, value.n - bare.n),
                          without_dot(text_of(x, r->to, r->to_text)));
        return true;
    }
    if (!wr_str_starts(value, from))
        return false;
    *out = join_texts(x, text_of(x, r->to, r->to_text), wr_str_skip(value, from.n));
    return true;
}

bool wr_proxy_rules_apply(struct wr_exchange *x, const struct wr_proxy_rules *rules, bool domain,
                          struct wr_str value, struct wr_str *out)
{
    for (uint32_t i = 0; i < rules->at.n; i++) {
        const struct wr_proxy_rewrite *r = &rules->at.at[i];

        if (r->regex == NULL) {
            if (replace_text(x, r, domain, value, out))
                return true;
        } else if (wr_match(x, r->regex, value) == 1) {
            *out = text_of(x, r->to, r->to_text);
            return true;
        }
    }
    return false;
}

/* If the new value is a path, write the origin of this server before it, as absolute_redirect
 * asks. */
static void rewrite_location(struct wr_exchange *x, const struct wr_proxy_rules *rules)
{
    struct wr_fields *fields = &wr_http_of(x)->res.fields;
    struct wr_str value = wr_fields_value(fields, WR_F_LOCATION), to;
    struct wr_text t;

    if (value.p == NULL || !wr_proxy_rules_apply(x, rules, false, value, &to))
        return;
    t = wr_text_grow(x->pool, to.n + 64, REWRITTEN_MAX * 2);
    if (to.n > 0 && to.p[0] == '/')
        wr_http_origin(x, &t);
    wr_text_str(&t, to);
    wr_fields_set(x->pool, fields, WR_F_LOCATION, wr_text_view(&t));
}

/* The offset after "url=" in "5; url=http://..."; s.n: there is none. */
static size_t refresh_url(struct wr_str s)
{
    for (size_t i = 0; i + 4 <= s.n; i++)
        if (wr_str_ieq(wr_str_of(s.p + i, 4), WR_STR("url=")))
            return i + 4;
    return s.n;
}

static void rewrite_refresh(struct wr_exchange *x, const struct wr_proxy_rules *rules)
{
    struct wr_fields *fields = &wr_http_of(x)->res.fields;
    struct wr_str value = wr_fields_value(fields, WR_F_REFRESH), to;
    size_t at = refresh_url(value);

    if (at < value.n && wr_proxy_rules_apply(x, rules, false, wr_str_skip(value, at), &to))
        wr_fields_set(x->pool, fields, WR_F_REFRESH, join_texts(x, wr_str_of(value.p, at), to));
}

void wr_proxy_rewrite_redirects(struct wr_exchange *x, const struct wr_proxy_conf *c)
{
    if (c->location.at.n == 0)
        return;
    rewrite_location(x, &c->location);
    rewrite_refresh(x, &c->location);
}
