/* health_conf: the directives of active health checks: health_check in a location or a stream
 * server, match { } and health_check_timeout. */
#include "health_impl.h"

bool wr_health_prepare(struct wr_cf *cf)
{
    struct wr_health_conf *h = WR_NEW(cf->pool, struct wr_health_conf);

    wr_cf_state(cf, &wr_module_health) = h;
    for (size_t i = 0; wr_check_kinds[i] != NULL; i++)
        wr_check_kind_add(cf, wr_check_kinds[i]);
    return true;
}

void wr_check_kind_add(struct wr_cf *cf, const struct wr_check_kind *k)
{
    struct wr_health_conf *h = wr_health_of(cf->conf);

    *wr_vec_push(cf->pool, &h->kinds) = k;
}

/* The kind of that name in a layer; name.p NULL: the layer's default. NULL: there is none. */
static const struct wr_check_kind *find_kind(const struct wr_health_conf *h, uint32_t layer,
                                             struct wr_str name)
{
    for (uint32_t i = 0; i < h->kinds.n; i++) {
        const struct wr_check_kind *k = h->kinds.at[i];

        if ((k->layers & layer) != 0 && (name.p == NULL || wr_str_is(name, k->name)))
            return k;
    }
    return NULL;
}

/* ---- match NAME { } ---- */

struct wr_match *wr_match_find(const struct wr_health_conf *h, uint32_t layer, struct wr_str name)
{
    struct wr_match *m = h->matches;

    while (m != NULL && ((m->kind->layers & layer) == 0 || !wr_str_eq(m->name, name)))
        m = m->next;
    return m;
}

static bool set_match(struct wr_cf *cf, void *conf)
{
    struct wr_health_conf *h = wr_health_of(cf->conf);
    const struct wr_check_kind *k = find_kind(h, cf->scope->layer, wr_str_of(NULL, 0));
    const struct wr_node *block = cf->node;
    struct wr_match *m;
    bool ok = true;

    (void)conf;
    if (k == NULL)
        return wr_cf_error(cf, 0, "this build has no health checks of http");
    if (wr_match_find(h, cf->scope->layer, wr_cf_arg(cf, 1)) != NULL)
        return wr_cf_error(cf, 1, "duplicate match \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 1)));
    m = k->match_new(cf->pool, wr_cf_arg(cf, 1));
    m->kind = k;
    m->next = h->matches;
    h->matches = m;
    for (const struct wr_node *line = block->children; line != NULL; line = line->next) {
        cf->node = line;
        cf->nargs = line->nwords - 1;
        ok = (line->block ? wr_cf_error(cf, 0, "unexpected \"{\"") : k->match_line(cf, m)) && ok;
    }
    cf->node = block;
    cf->nargs = block->nwords - 1;
    return ok;
}

/* ---- the parameters of health_check: a table ---- */

static bool param_num(struct wr_str v, uint32_t max, uint32_t *out)
{
    uint64_t n;

    if (!wr_str_u64(v, &n) || n < 1 || n > max)
        return false;
    *out = (uint32_t)n;
    return true;
}
static bool param_time(struct wr_str v, uint64_t min, uint64_t *out)
{
    return wr_parse_msec(v, out) && *out >= min && *out <= (uint64_t)365 * 24 * 3600 * 1000;
}
static bool p_interval(struct wr_check *c, struct wr_str v)
{
    return param_time(v, 1, &c->interval_ms);
}
static bool p_jitter(struct wr_check *c, struct wr_str v)
{
    return param_time(v, 0, &c->jitter_ms);
}
static bool p_fails(struct wr_check *c, struct wr_str v)
{
    return param_num(v, INT32_MAX, &c->fails);
}
static bool p_passes(struct wr_check *c, struct wr_str v)
{
    return param_num(v, INT32_MAX, &c->passes);
}
static bool p_port(struct wr_check *c, struct wr_str v)
{
    uint32_t port = 0;

    if (!param_num(v, 65535, &port))
        return false;
    c->port = (uint16_t)port;
    return true;
}
static bool p_uri(struct wr_check *c, struct wr_str v)
{
    for (size_t i = 0; i < v.n; i++)
        if ((unsigned char)v.p[i] <= ' ' || v.p[i] == 0x7f || v.p[i] == '#')
            return false;
    c->conf.uri = v;
    return v.n > 0 && v.p[0] == '/';
}
static bool p_keepalive(struct wr_check *c, struct wr_str v)
{
    c->conf.keep = true;
    return param_time(v, 1, &c->keepalive_ms);
}
static bool p_match(struct wr_check *c, struct wr_str v)
{
    c->match_name = v;
    return v.n > 0;
}
static bool p_type(struct wr_check *c, struct wr_str v)
{
    c->type = v;
    return v.n > 0;
}
static bool p_user(struct wr_check *c, struct wr_str v)
{
    c->conf.user = v;
    return v.n > 0 && v.n <= 255;
}
static bool p_password(struct wr_check *c WR_UNUSED, struct wr_str v) /* see take_param */
{
    return v.n > 0;
}
static bool p_database(struct wr_check *c, struct wr_str v)
{
    c->conf.database = v;
    return v.n > 0 && v.n <= 255;
}
static bool p_role(struct wr_check *c, struct wr_str v)
{
    c->role = v;
    return v.n > 0;
}
static bool p_mandatory(struct wr_check *c, struct wr_str v WR_UNUSED)
{
    return c->mandatory = true;
}
static bool p_persistent(struct wr_check *c, struct wr_str v WR_UNUSED)
{
    return c->persistent = true;
}

static const struct param {
    const char *name;
    bool value;
    bool (*set)(struct wr_check *c, struct wr_str v); /* false: the value is not valid */
    const char *takes;           /* describes the value */
    uint32_t needs;              /* the wr_check_param bit of the kind; 0: all have it */
} params[] = {
    { "interval", true, p_interval, "a time: 5s, 500ms", 0 },
    { "jitter", true, p_jitter, "a time: 1s, 500ms", 0 },
    { "fails", true, p_fails, "a number, 1 or more", 0 },
    { "passes", true, p_passes, "a number, 1 or more", 0 },
    { "uri", true, p_uri, "a path that begins with \"/\"", WR_CHECK_URI },
    { "port", true, p_port, "a port, 1 to 65535", 0 },
    { "mandatory", false, p_mandatory, NULL, 0 },
    { "persistent", false, p_persistent, NULL, 0 },
    { "keepalive_time", true, p_keepalive, "a time: 60s", WR_CHECK_KEEPALIVE },
    { "match", true, p_match, "the name of a \"match\" block", WR_CHECK_MATCH },
    { "type", true, p_type, "a kind of check", 0 },
    { "user", true, p_user, "a name of at most 255 bytes", WR_CHECK_USER },
    { "password_file", true, p_password, "the path of a file", WR_CHECK_USER },
    { "database", true, p_database, "a name of at most 255 bytes", WR_CHECK_DATABASE },
    { "role", true, p_role, "a role of the server", WR_CHECK_ROLE },
};

static const char *nearest_param(struct wr_cf *cf, struct wr_str arg)
{
    struct wr_param_near near = wr_param_near(arg);

    if (wr_str_is(arg, "udp"))
        return "servers are checked over TCP only";
    for (size_t k = 0; k < WR_COUNT(params); k++)
        wr_param_consider(cf->pool, &near, params[k].name, params[k].value);
    return near.hint;
}

/* The parameter that word i is, and its value. NULL: none. */
static const struct param *find_param(struct wr_cf *cf, uint32_t i, struct wr_str *value)
{
    *value = wr_str_of(NULL, 0);
    for (size_t k = 0; k < WR_COUNT(params); k++)
        if (params[k].value ? wr_param(wr_cf_arg(cf, i), params[k].name, value)
                            : wr_str_is(wr_cf_arg(cf, i), params[k].name))
            return &params[k];
    return NULL;
}

static bool take_param(struct wr_cf *cf, uint32_t i, struct wr_check *c)
{
    struct wr_str value;
    const struct param *p = find_param(cf, i, &value);

    if (p == NULL)
        return wr_cf_error_hint(cf, i, nearest_param(cf, wr_cf_arg(cf, i)),
                                "invalid parameter \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, i)));
    if (p->needs != 0 && (c->kind->params & p->needs) == 0)
        return wr_cf_error(cf, i, "a check of type \"%s\" has no parameter \"%s\"", c->kind->name,
                           p->name);
    if (!p->set(c, value))
        return wr_cf_error(cf, i, "invalid value of \"%s\" in \"" WR_FMT "\": it takes %s", p->name,
                           WR_ARG(wr_cf_arg(cf, i)), p->takes);
    return p->set != p_password || wr_check_password_read(cf, i, value, &c->conf.password);
}

/* ---- health_check ---- */

/* Names in other programs. NULL: nothing like it. */
static const char *meant_type(struct wr_cf *cf, struct wr_str type)
{
    const struct wr_health_conf *h = wr_health_of(cf->conf);

    if (cf->scope->layer == WR_L7 && find_kind(h, WR_L4, type) != NULL)
        return "stream {} has it: put the group there, with a server of its own";
    if (wr_str_starts(type, WR_STR("postgres")))
        return "write \"type=pgsql\"";
    return wr_str_is(type, "mariadb") ? "write \"type=mysql\"" : NULL;
}

static bool unknown_type(struct wr_cf *cf, uint32_t i, struct wr_str type)
{
    const struct wr_health_conf *h = wr_health_of(cf->conf);
    struct wr_text names = wr_text_grow(cf->pool, 64, 1024);

    if (wr_str_is(type, "grpc"))
        return wr_cf_error(cf, i, "type=grpc comes with HTTP/2, which this build does not have");
    for (uint32_t k = 0; k < h->kinds.n; k++)
        if ((h->kinds.at[k]->layers & cf->scope->layer) != 0)
            wr_text_fmt(&names, "%s%s", names.n > 0 ? ", " : "", h->kinds.at[k]->name);
    return wr_cf_error_hint(cf, i, meant_type(cf, type),
                            "unknown type \"" WR_FMT "\" of health check; here are: " WR_FMT,
                            WR_ARG(type), WR_ARG(wr_text_view(&names)));
}

/* The other parameters depend on the kind. */
static bool set_kind(struct wr_cf *cf, struct wr_check *c)
{
    const struct wr_health_conf *h = wr_health_of(cf->conf);
    struct wr_str type = { NULL, 0 };
    uint32_t word = 0;

    for (uint32_t i = 1; i <= cf->nargs; i++)
        if (wr_param(wr_cf_arg(cf, i), "type", &type))
            word = i;
    c->kind = find_kind(h, cf->scope->layer, type);
    return c->kind != NULL || unknown_type(cf, word, type);
}

static bool set_role(struct wr_cf *cf, uint32_t i, struct wr_check *c)
{
    struct wr_text names = wr_text_grow(cf->pool, 64, 1024);

    for (uint32_t k = 0; c->kind->roles[k] != NULL; k++) {
        if (wr_str_is(c->role, c->kind->roles[k])) {
            c->conf.role = k;
            return true;
        }
        wr_text_fmt(&names, "%s%s", k > 0 ? ", " : "", c->kind->roles[k]);
    }
    return wr_cf_error(cf, i, "unknown role \"" WR_FMT "\"; a check of type \"%s\" knows: " WR_FMT,
                       WR_ARG(c->role), c->kind->name, WR_ARG(wr_text_view(&names)));
}

static bool is_complete(struct wr_cf *cf, struct wr_check *c)
{
    if (c->persistent && !c->mandatory)
        return wr_cf_error(cf, 0, "\"persistent\" needs \"mandatory\"");
    if (c->conf.password.p != NULL && c->conf.user.p == NULL && c->kind->needs_user)
        return wr_cf_error(cf, 0, "\"password_file\" needs \"user\"");
    if (c->conf.role != 0 && c->conf.user.p == NULL && c->kind->needs_user)
        return wr_cf_error(cf, 0, "\"role\" needs \"user\"");
    return true;
}

static bool set_health_check(struct wr_cf *cf, void *conf)
{
    struct wr_health_conf *h = wr_health_of(cf->conf);
    struct wr_check *c = WR_NEW(cf->pool, struct wr_check);
    uint32_t role = 0;

    (void)conf;
    c->scope = cf->scope;
    c->node = cf->node;
    c->conf.uri = WR_STR("/");
    c->interval_ms = 5000;
    c->fails = c->passes = 1;
    if (!set_kind(cf, c))
        return false;
    for (uint32_t i = 1; i <= cf->nargs; i++) {
        struct wr_str unused;

        if (!take_param(cf, i, c))
            return false;
        if (wr_param(wr_cf_arg(cf, i), "match", &unused))
            c->match_word = i;
        if (wr_param(wr_cf_arg(cf, i), "role", &unused))
            role = i;
    }
    if ((role != 0 && !set_role(cf, role, c)) || !is_complete(cf, c))
        return false;
    *wr_vec_push(cf->pool, &h->checks) = c;
    return true;
}

static bool set_timeout(struct wr_cf *cf, void *conf)
{
    const struct wr_health_scope *s = conf;

    return wr_set_msec(cf, conf)
        && (s->timeout_ms > 0
            || wr_cf_error_hint(cf, 1, "it takes a time: 5s, 500ms", "invalid value \"" WR_FMT
                                "\" in \"health_check_timeout\" directive",
                                WR_ARG(wr_cf_arg(cf, 1))));
}

#define OF_ALL "[interval=5s] [jitter=TIME] [fails=1] [passes=1] [port=NUMBER] [mandatory " \
               "[persistent]] "

const struct wr_directive wr_health_directives[] = {
    WR_WORDS("health_check", WR_L7 | WR_LV_LOCATION | WR_MULTI, 0, WR_ARGS_ANY, set_health_check,
             OF_ALL "[uri=/] [match=NAME] [keepalive_time=TIME]", NULL,
             "beside proxy_pass: asks the servers of its group regularly; those that fail get no "
             "requests"),
    WR_WORDS("health_check", WR_L4 | WR_LV_SERVER | WR_MULTI, 0, WR_ARGS_ANY, set_health_check,
             OF_ALL "[match=NAME] [type=pgsql|redis|mysql|smtp|ldap] [user=NAME] "
             "[password_file=FILE] [database=NAME] [role=primary|standby|master|replica|any]",
             NULL, "beside proxy_pass: asks the servers of its group regularly; those that fail "
             "get no sessions"),
    WR_WORDS("match", WR_L7 | WR_LV_LAYER | WR_DEFINE | WR_MULTI, 1, 1, set_match,
             "NAME { status [!] CODE|FROM-TO ...; header [!] NAME [OPERATOR TEXT]; body ~|!~ "
             "REGEX; require $upstream_http_NAME ...; }", NULL,
             "the replies that pass a health check: all lines must hold; OPERATOR: = != ~ !~"),
    WR_WORDS("match", WR_L4 | WR_LV_LAYER | WR_DEFINE | WR_MULTI, 1, 1, set_match,
             "NAME { send TEXT; expect TEXT | ~ REGEX; }", NULL,
             "the replies that pass a health check; bytes in TEXT as \\xXX"),
    { .name = "health_check_timeout", .where = WR_ANY | WR_IN_LOCATIONS, .min = 1, .max = 1,
      .set = set_timeout, .offset = offsetof(struct wr_health_scope, timeout_ms), .def = "5s",
      .words = "TIME", .help = "a health check that takes longer has failed" },
    { 0 },
};
