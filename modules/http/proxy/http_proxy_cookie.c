/* http_proxy_cookie: parses Set-Cookie fields, changes them by proxy_cookie_domain,
 * proxy_cookie_path and proxy_cookie_flags, and writes them again. A cookie that no rule matches is
 * passed on unchanged. Called by http_proxy_reply.c. */
#include "proxy_impl.h"

#define COOKIE_MAX 65536

enum flag {
    SECURE = 1, HTTPONLY = 2, SAMESITE_STRICT = 4, SAMESITE_LAX = 8, SAMESITE_NONE = 16,
    NO_SECURE = 32, NO_HTTPONLY = 64, NO_SAMESITE = 128,
};
#define SAMESITE (SAMESITE_STRICT | SAMESITE_LAX | SAMESITE_NONE)

static const struct wr_enum flag_words[] = {
    { "secure", SECURE },
    { "httponly", HTTPONLY },
    { "samesite=strict", SAMESITE_STRICT },
    { "samesite=lax", SAMESITE_LAX },
    { "samesite=none", SAMESITE_NONE },
    { "nosecure", NO_SECURE },
    { "nohttponly", NO_HTTPONLY },
    { "nosamesite", NO_SAMESITE },
    { 0 },
};

static uint32_t flag_of(struct wr_str word)
{
    const struct wr_enum *e = flag_words;

    while (e->name != NULL && !wr_str_ieq(word, wr_str_c(e->name)))
        e++;
    return e->value;
}

/* ---- while loading ---- */

static bool take_flag(struct wr_cf *cf, uint32_t i, struct wr_proxy_cookie_rule *r)
{
    struct wr_template *t = wr_template_new(cf, i, wr_cf_arg(cf, i));
    struct wr_str literal;

    if (t == NULL)
        return false;
    if (wr_template_literal(t, &literal) && flag_of(literal) == 0)
        wr_cf_warn(cf, i, "unknown flag \"" WR_FMT "\" has no effect", WR_ARG(literal));
    *wr_vec_push(cf->pool, &r->flags) = t;
    return true;
}

bool wr_proxy_set_cookie_flags(struct wr_cf *cf, void *conf)
{
    struct wr_proxy_conf *c = conf;
    struct wr_str name = wr_cf_arg(cf, 1);
    struct wr_proxy_cookie_rule *r;

    if (cf->first) {
        memset(&c->cookie_flags, 0, sizeof(c->cookie_flags));
        c->cookie_flags_off = false;
    }
    if (c->cookie_flags_off || (cf->nargs == 1 && wr_str_is(name, "off") && !cf->first))
        return wr_cf_error(cf, 0, "\"%s\" directive is duplicate", cf->row->name);
    if (cf->nargs == 1) {
        c->cookie_flags_off = wr_str_is(name, "off");
        return c->cookie_flags_off
            || wr_cf_error(cf, 1, "invalid parameter \"" WR_FMT "\"", WR_ARG(name));
    }
    r = wr_vec_push(cf->pool, &c->cookie_flags);
    if (name.n > 0 && name.p[0] == '~')
        r->regex = wr_cf_regex(cf, 1, wr_str_skip(name, 1), true);
    else
        r->name = wr_template_new(cf, 1, name);
    if (r->regex == NULL && r->name == NULL)
        return false;
    for (uint32_t i = 2; i <= cf->nargs; i++)
        if (!take_flag(cf, i, r))
            return false;
    return true;
}

/* ---- a cookie ---- */

struct part {                  /* "name=value"; value.p NULL: a name alone */
    struct wr_str name, value;
};
struct cookie {
    WR_VEC(struct part) parts; /* the first is the cookie itself */
};

/* False: not a cookie, it has no "name=". */
static bool take_apart(struct wr_exchange *x, struct wr_str s, struct cookie *out)
{
    size_t first = wr_str_find(s, ';');

    if (wr_str_find(wr_str_of(s.p, first), '=') == first)
        return false;
    while (s.p != NULL) {
        struct part *p = wr_vec_push(x->pool, &out->parts);
        struct wr_str rest = wr_str_cut(&s, ';');

        p->name = wr_str_trim(wr_str_cut(&rest, '='));
        if (rest.p != NULL)
            p->value = wr_str_trim(rest);
    }
    return true;
}

static struct wr_str join_parts(struct wr_exchange *x, const struct cookie *c)
{
    struct wr_text t = wr_text_grow(x->pool, 128, COOKIE_MAX);

    for (uint32_t i = 0; i < c->parts.n; i++) {
        const struct part *p = &c->parts.at[i];

        if (i > 0)
            wr_text_c(&t, "; ");
        wr_text_str(&t, p->name);
        if (p->value.p != NULL) {
            wr_text_char(&t, '=');
            wr_text_str(&t, p->value);
        }
    }
    return wr_text_view(&t);
}

/* Rewrite all attributes of that name. */
static bool rewrite_attribute(struct wr_exchange *x, struct cookie *c, struct wr_str name,
                              const struct wr_proxy_rules *rules, bool domain)
{
    bool changed = false;

    for (uint32_t i = 1; i < c->parts.n && rules->at.n > 0; i++) {
        struct part *p = &c->parts.at[i];

        if (p->value.p != NULL && wr_str_ieq(p->name, name))
            changed |= wr_proxy_rules_apply(x, rules, domain, p->value, &p->value);
    }
    return changed;
}

/* ---- flags ---- */

static struct part *find_part(struct cookie *c, struct wr_str name)
{
    for (uint32_t i = 1; i < c->parts.n; i++)
        if (wr_str_ieq(c->parts.at[i].name, name))
            return &c->parts.at[i];
    return NULL;
}

static void add_part(struct wr_exchange *x, struct cookie *c, struct wr_str name,
                     struct wr_str value)
{
    *wr_vec_push(x->pool, &c->parts) = (struct part){ name, value };
}

static void remove_all(struct cookie *c, struct wr_str name)
{
    uint32_t n = 1;

    for (uint32_t i = 1; i < c->parts.n; i++)
        if (!wr_str_ieq(c->parts.at[i].name, name))
            c->parts.at[n++] = c->parts.at[i];
    c->parts.n = n;
}

static void set_flag(struct wr_exchange *x, struct cookie *c, struct wr_str name, bool wanted,
                     bool unwanted)
{
    if (wanted && find_part(c, name) == NULL)
        add_part(x, c, name, wr_str_of(NULL, 0));
    else if (!wanted && unwanted)
        remove_all(c, name);
}

static void set_same_site(struct wr_exchange *x, struct cookie *c, uint32_t flags)
{
    struct wr_str name = WR_STR("SameSite");
    struct part *p = find_part(c, name);
    struct wr_str value = (flags & SAMESITE_STRICT) != 0 ? WR_STR("Strict")
                        : (flags & SAMESITE_LAX) != 0    ? WR_STR("Lax") : WR_STR("None");

    if ((flags & SAMESITE) == 0)
        set_flag(x, c, name, false, (flags & NO_SAMESITE) != 0);
    else if (p != NULL)
        *p = (struct part){ name, value };
    else
        add_part(x, c, name, value);
}

static const struct wr_proxy_cookie_rule *rule_for(struct wr_exchange *x,
                                                   const struct wr_proxy_conf *c,
                                                   struct wr_str name)
{
    for (uint32_t i = 0; i < c->cookie_flags.n; i++) {
        const struct wr_proxy_cookie_rule *r = &c->cookie_flags.at[i];

        if (r->regex != NULL ? wr_match(x, r->regex, name) == 1
                             : wr_str_ieq(wr_template_str(x, r->name), name))
            return r;
    }
    return NULL;
}

static bool rewrite_flags(struct wr_exchange *x, const struct wr_proxy_conf *conf, struct cookie *c)
{
    const struct wr_proxy_cookie_rule *r = rule_for(x, conf, c->parts.at[0].name);
    uint32_t flags = 0;

    for (uint32_t i = 0; r != NULL && i < r->flags.n; i++)
        flags |= flag_of(wr_template_str(x, r->flags.at[i]));
    if (flags == 0)
        return false;
    set_flag(x, c, WR_STR("Secure"), (flags & SECURE) != 0, (flags & NO_SECURE) != 0);
    set_flag(x, c, WR_STR("HttpOnly"), (flags & HTTPONLY) != 0, (flags & NO_HTTPONLY) != 0);
    set_same_site(x, c, flags);
    return true;
}

/* ---- for each reply ---- */

static struct wr_str rewrite_cookie(struct wr_exchange *x, const struct wr_proxy_conf *c,
                                    struct wr_str value)
{
    struct cookie cookie = { 0 };
    bool changed;

    if (value.n > COOKIE_MAX / 2 || !take_apart(x, value, &cookie))
        return value;
    changed = rewrite_attribute(x, &cookie, WR_STR("domain"), &c->cookie_domain, true);
    changed |= rewrite_attribute(x, &cookie, WR_STR("path"), &c->cookie_path, false);
    changed |= rewrite_flags(x, c, &cookie);
    return changed ? join_parts(x, &cookie) : value;
}

/* A rewritten field moves to the end: rewrite all cookies, so that they keep their order. */
void wr_proxy_rewrite_cookies(struct wr_exchange *x, const struct wr_proxy_conf *c)
{
    struct wr_fields *fields = &wr_http_of(x)->res.fields;
    uint32_t n = fields->n;

    if (c->cookie_domain.at.n == 0 && c->cookie_path.at.n == 0 && c->cookie_flags.n == 0)
        return;
    for (uint32_t i = 0; i < n && wr_fields_first(fields, WR_F_SET_COOKIE) != NULL; i++) {
        struct wr_field f = fields->at[i];

        if (f.gone || f.id != WR_F_SET_COOKIE)
            continue;
        wr_fields_drop(fields, &fields->at[i]);
        wr_fields_put(x->pool, fields, WR_F_SET_COOKIE, f.name, rewrite_cookie(x, c, f.value));
    }
}
