/* sticky_conf: the directive sticky in the upstream {} of http: its three methods and their
 * parameters, the file of secrets, and what is checked when all is loaded. */
#include "sticky_impl.h"

#include <errno.h>

#define ZONE_MIN 32768
#define ZONE_HINT "it takes 32k or more: 1m keeps 15,000 sessions"
#define SECRETS_MAX 65536        /* bytes of the file */

static bool bad_param(struct wr_cf *cf, uint32_t i, const char *hint)
{
    return wr_cf_error_hint(cf, i, hint, "invalid parameter \"" WR_FMT "\"",
                            WR_ARG(wr_cf_arg(cf, i)));
}

/* ---- cookie ---- */

static bool p_expires(struct wr_cf *cf, uint32_t i, struct wr_sticky *s, struct wr_str v)
{
    s->cookie.expires_max = wr_str_is(v, "max");
    if (s->cookie.expires_max)
        return true;
    if (!wr_parse_sec(v, &s->cookie.expires_s) || s->cookie.expires_s == 0
        || s->cookie.expires_s > INT32_MAX)
        return bad_param(cf, i, "it takes a time (1h, 30d) or \"max\"");
    return true;
}

static bool p_domain(struct wr_cf *cf, uint32_t i, struct wr_sticky *s, struct wr_str v)
{
    struct wr_str literal;

    if (v.n == 0)
        return bad_param(cf, i, "it takes a domain");
    s->cookie.domain = wr_template_new(cf, i, v);
    if (s->cookie.domain == NULL)
        return false;
    return !wr_template_literal(s->cookie.domain, &literal) || wr_sticky_is_value(literal)
        || bad_param(cf, i, "spaces, \";\" and control characters cannot be in a cookie");
}

static bool p_httponly(struct wr_cf *cf, uint32_t i, struct wr_sticky *s, struct wr_str v)
{
    (void)cf;
    (void)i;
    (void)v;
    return s->cookie.httponly = true;
}

static bool p_same_site(struct wr_cf *cf, uint32_t i, struct wr_sticky *s, struct wr_str v)
{
    struct wr_template *t = wr_template_new(cf, i, v);
    struct wr_str literal;

    if (t == NULL)
        return false;
    if (!wr_template_literal(t, &literal)) {
        s->cookie.same_site = t;
        return true;
    }
    s->cookie.fixed_same_site = wr_same_site_of(literal);
    return s->cookie.fixed_same_site != WR_SAME_SITE_NO
        || bad_param(cf, i, "it takes strict, lax, none or a variable");
}

static bool p_secure(struct wr_cf *cf, uint32_t i, struct wr_sticky *s, struct wr_str v)
{
    (void)cf;
    (void)i;
    (void)v;
    return s->cookie.secure = true;
}

static bool p_path(struct wr_cf *cf, uint32_t i, struct wr_sticky *s, struct wr_str v)
{
    s->cookie.path = v;
    return (v.n > 0 && wr_sticky_is_value(v))
        || bad_param(cf, i, "it takes a path without spaces, \";\" and control characters");
}

/* The secrets stay out of logs, -T and core files. */
static bool p_secret_file(struct wr_cf *cf, uint32_t i, struct wr_sticky *s, struct wr_str v)
{
    const char *path = wr_cf_path(cf, v, true), *why;
    struct wr_str text;

    wr_vault_pool(cf->pool);
    text = wr_file_read(cf->pool, path, SECRETS_MAX);
    if (text.p == NULL)
        return wr_cf_error(cf, i, "cannot read \"%s\" (%d: %s)", path, errno, strerror(errno));
    wr_cf_warn_open(cf, i, path, "the secret");
    why = wr_sticky_secrets(text, s->secrets, &s->nsecrets);
    return why == NULL
        || wr_cf_error_hint(cf, i, "one secret a line, 16 bytes or more; the first signs, all"
                            " verify (openssl rand -hex 32)", "\"%s\" %s", path, why);
}

/* ---- learn ---- */

static bool add_variable(struct wr_cf *cf, uint32_t i, struct wr_str v, struct wr_sticky_texts *to)
{
    struct wr_template *t;

    if (v.n < 2 || v.p[0] != '$')
        return wr_cf_error(cf, i, "invalid variable name \"" WR_FMT "\"", WR_ARG(v));
    t = wr_template_new(cf, i, v);
    if (t == NULL)
        return false;
    *wr_vec_push(cf->pool, to) = t;
    return true;
}

static bool p_create(struct wr_cf *cf, uint32_t i, struct wr_sticky *s, struct wr_str v)
{
    return add_variable(cf, i, v, &s->create);
}

static bool p_lookup(struct wr_cf *cf, uint32_t i, struct wr_sticky *s, struct wr_str v)
{
    return add_variable(cf, i, v, &s->lookup);
}

static bool p_zone(struct wr_cf *cf, uint32_t i, struct wr_sticky *s, struct wr_str v)
{
    struct wr_sticky_state *state = wr_cf_state(cf, &wr_module_sticky);
    struct wr_str name = wr_str_cut(&v, ':');
    uint64_t size;

    if (name.n == 0)
        return bad_param(cf, i, "it takes NAME:SIZE");
    if (v.p == NULL || !wr_parse_size(v, &size))
        return wr_cf_error_hint(cf, i, "it takes NAME:SIZE", "invalid zone size \"" WR_FMT "\"",
                                WR_ARG(wr_cf_arg(cf, i)));
    if (size < ZONE_MIN)
        return wr_cf_error_hint(cf, i, ZONE_HINT, "zone \"" WR_FMT "\" is too small",
                                WR_ARG(name));
    s->zone = wr_table_zone_named(cf, i, &state->zones, name,
                                  (size_t)wr_min(size, (uint64_t)1 << 36));
    return s->zone != NULL;
}

static bool p_timeout(struct wr_cf *cf, uint32_t i, struct wr_sticky *s, struct wr_str v)
{
    return (wr_parse_sec(v, &s->timeout_s) && s->timeout_s > 0 && s->timeout_s <= INT32_MAX)
        || bad_param(cf, i, "it takes a time of whole seconds: 30, 10m, 1h");
}

static bool p_header(struct wr_cf *cf, uint32_t i, struct wr_sticky *s, struct wr_str v)
{
    (void)cf;
    (void)i;
    (void)v;
    return s->header = true;
}

static bool p_sync(struct wr_cf *cf, uint32_t i, struct wr_sticky *s, struct wr_str v)
{
    (void)s;
    (void)v;
    return wr_cf_error_hint(cf, i, "sessions are not sent to other machines",
                            "the \"sync\" parameter is known in nginx, not in this build");
}

/* ---- the directive ---- */

static const struct param {
    const char *name;
    enum wr_sticky_method method;
    bool value, many;
    bool (*set)(struct wr_cf *cf, uint32_t i, struct wr_sticky *s, struct wr_str v);
} params[] = {
    { "expires", WR_STICKY_COOKIE, true, false, p_expires },
    { "domain", WR_STICKY_COOKIE, true, false, p_domain },
    { "httponly", WR_STICKY_COOKIE, false, false, p_httponly },
    { "samesite", WR_STICKY_COOKIE, true, false, p_same_site },
    { "secure", WR_STICKY_COOKIE, false, false, p_secure },
    { "path", WR_STICKY_COOKIE, true, false, p_path },
    { "secret_file", WR_STICKY_COOKIE, true, false, p_secret_file },
    { "create", WR_STICKY_LEARN, true, true, p_create },
    { "lookup", WR_STICKY_LEARN, true, true, p_lookup },
    { "zone", WR_STICKY_LEARN, true, false, p_zone },
    { "timeout", WR_STICKY_LEARN, true, false, p_timeout },
    { "header", WR_STICKY_LEARN, false, false, p_header },
    { "sync", WR_STICKY_LEARN, false, false, p_sync },
};

static const char *nearest_param(struct wr_cf *cf, const struct wr_sticky *s, struct wr_str arg)
{
    struct wr_param_near near = wr_param_near(arg);

    for (size_t k = 0; k < WR_COUNT(params); k++)
        if (params[k].method == s->method && params[k].set != p_sync)
            wr_param_consider(cf->pool, &near, params[k].name, params[k].value);
    return near.hint;
}

static bool take_param(struct wr_cf *cf, uint32_t i, struct wr_sticky *s, uint32_t *seen)
{
    struct wr_str arg = wr_cf_arg(cf, i), v = arg;

    for (size_t k = 0; k < WR_COUNT(params); k++) {
        const struct param *p = &params[k];

        if (p->method != s->method
            || !(p->value ? wr_param(arg, p->name, &v) : wr_str_is(arg, p->name)))
            continue;
        if (!p->many && (*seen & 1U << k) != 0)
            return wr_cf_error(cf, i, "duplicate parameter \"%s\"", p->name);
        *seen |= 1U << k;
        return p->set(cf, i, s, v);
    }
    return bad_param(cf, i, nearest_param(cf, s, arg));
}

static bool take_params(struct wr_cf *cf, uint32_t from, struct wr_sticky *s)
{
    uint32_t seen = 0;

    for (uint32_t i = from; i <= cf->nargs; i++)
        if (!take_param(cf, i, s, &seen))
            return false;
    return true;
}

static bool is_cookie_name(struct wr_str s)
{
    return s.n > 0 && wr_sticky_is_value(s) && wr_str_find(s, '=') == s.n
        && wr_str_find(s, ',') == s.n;
}

static bool report_no_md5(struct wr_cf *cf)
{
    return wr_cf_error(cf, 1, "this OpenSSL has no MD5, by which servers are named here");
}

static bool set_cookie(struct wr_cf *cf, struct wr_sticky *s)
{
    if (cf->nargs < 2)
        return wr_cf_error_hint(cf, 1, "write \"sticky cookie NAME\"", "no name of a cookie");
    s->cookie.name = wr_cf_arg(cf, 2);
    if (!is_cookie_name(s->cookie.name))
        return wr_cf_error(cf, 2, "invalid cookie name \"" WR_FMT "\"", WR_ARG(s->cookie.name));
    if (!take_params(cf, 3, s))
        return false;
    if (s->cookie.fixed_same_site == WR_SAME_SITE_NONE && !s->cookie.secure)
        wr_cf_warn(cf, 0, "browsers drop cookies with \"samesite=none\" and without \"secure\"");
    return s->nsecrets > 0 || wr_sticky_can_name() || report_no_md5(cf);
}

static bool set_route(struct wr_cf *cf, struct wr_sticky *s)
{
    if (cf->nargs < 2)
        return wr_cf_error_hint(cf, 1, "write \"sticky route $VARIABLE ...\"", "no variable");
    for (uint32_t i = 2; i <= cf->nargs; i++)
        if (!add_variable(cf, i, wr_cf_arg(cf, i), &s->lookup))
            return false;
    return wr_sticky_can_name() || report_no_md5(cf);
}

static bool set_learn(struct wr_cf *cf, struct wr_sticky *s)
{
    const char *missing;

    s->timeout_s = 600;
    if (!take_params(cf, 2, s))
        return false;
    missing = s->create.n == 0 ? "create=" : s->lookup.n == 0 ? "lookup="
            : s->zone == NULL ? "zone=" : NULL;
    return missing == NULL
        || wr_cf_error(cf, 0, "\"sticky learn\" must have the \"%s\" parameter", missing);
}

static const struct {
    const char *word;
    enum wr_sticky_method method;
    bool (*set)(struct wr_cf *cf, struct wr_sticky *s);
} methods[] = {
    { "cookie", WR_STICKY_COOKIE, set_cookie },
    { "route", WR_STICKY_ROUTE, set_route },
    { "learn", WR_STICKY_LEARN, set_learn },
};

static bool set_sticky(struct wr_cf *cf, void *conf)
{
    struct wr_sticky_state *state = wr_cf_state(cf, &wr_module_sticky);
    struct wr_upstream *u = WR_CHECK(cf->scope->object, UPSTREAM);
    struct wr_sticky *s = WR_NEW(cf->pool, struct wr_sticky);
    size_t k = 0;

    (void)conf;
    while (k < WR_COUNT(methods) && !wr_str_is(wr_cf_arg(cf, 1), methods[k].word))
        k++;
    if (k == WR_COUNT(methods))
        return bad_param(cf, 1, "write \"sticky cookie NAME\", \"sticky route $VARIABLE\" or"
                                " \"sticky learn create=... lookup=... zone=...\"");
    WR_TYPED(s, STICKY);
    s->method = methods[k].method;
    s->u = u;
    s->node = cf->node;
    s->next = state->all;
    state->all = s;
    u->sticky = &wr_sticky_ops;
    u->sticky_conf = s;
    return methods[k].set(cf, s);
}

const struct wr_directive wr_sticky_directives[] = {
    WR_WORDS("sticky", WR_L7 | WR_LV_UPSTREAM, 1, WR_ARGS_ANY, set_sticky,
             "cookie NAME [expires=TIME|max] [domain=NAME] [httponly] [samesite=strict|lax|none] "
             "[secure] [path=PATH] [secret_file=FILE] | route $VARIABLE ... | learn "
             "create=$VARIABLE lookup=$VARIABLE zone=NAME:SIZE [timeout=10m] [header]", NULL,
             "clients stay with a server: by a cookie that weir sets (secret_file: and signs), by "
             "the route= of servers, or by a session that a server's reply begins"),
    { 0 }
};

/* ---- after loading ---- */

/* nginx wants the balancer first: a method that follows would replace sticky there. */
static void check_order(struct wr_cf *cf, const struct wr_sticky *s)
{
    const struct wr_node *n = s->node->next;

    while (n != NULL && !wr_str_is(n->words[0].text, s->u->balancer->name))
        n = n->next;
    if (n != NULL)
        wr_diag_add(cf->conf->tree, WR_LOG_WARN, n, 0, "move it up: nginx wants this order",
                    "load balancing method \"%s\" should be before \"sticky\"",
                    s->u->balancer->name);
}

/* A route is sent as the value of the cookie as it is. */
static bool check_routes(struct wr_cf *cf, const struct wr_sticky *s)
{
    for (uint32_t i = 0; i < s->u->servers.n; i++) {
        const struct wr_server *sv = &s->u->servers.at[i];

        if (s->method == WR_STICKY_COOKIE && s->nsecrets == 0 && !wr_sticky_is_value(sv->route))
            return wr_cf_error_at(cf, sv->node, 0, "\"route=" WR_FMT "\" cannot be the value of a"
                                  " cookie", WR_ARG(sv->route));
    }
    return true;
}

bool wr_sticky_check(struct wr_cf *cf)
{
    const struct wr_sticky_state *state = wr_cf_state(cf, &wr_module_sticky);
    bool ok = true;

    for (const struct wr_sticky *s = state->all; s != NULL; s = s->next) {
        check_order(cf, s);
        ok = check_routes(cf, s) && ok;
    }
    return ok && wr_table_zones_open(cf, state->zones, "sticky", WR_STICKY_LAYOUT);
}
