/* upstream_conf: upstream {} with its server, zone and keepalive lines, for both layers, and the
 * implicit groups of a proxy_pass that names an address. Owns the list of all upstreams of a
 * configuration. */
#include "upstream/upstream_impl.h"

struct wr_upstreams *wr_conf_upstreams(const struct wr_conf *c)
{
    return wr_conf_state(c, &wr_module_upstream);
}

static bool prepare(struct wr_cf *cf)
{
    wr_cf_state(cf, &wr_module_upstream) = WR_NEW(cf->pool, struct wr_upstreams);
    return true;
}

static struct wr_upstream *find_group(const struct wr_upstreams *all, uint32_t layer,
                                      struct wr_str name, uint16_t default_port)
{
    for (uint32_t i = 0; i < all->all.n; i++) {
        struct wr_upstream *u = all->all.at[i];

        if (u->layer == layer && wr_str_ieq(u->name, name)
            && (!u->implicit || u->default_port == default_port))
            return u;
    }
    return NULL;
}

struct wr_upstream *wr_upstream_find(const struct wr_conf *c, uint32_t layer, struct wr_str name,
                                     uint16_t default_port)
{
    return find_group(wr_conf_upstreams(c), layer, name, default_port);
}

static struct wr_upstream *add_group(struct wr_cf *cf, struct wr_str name)
{
    struct wr_upstreams *all = wr_cf_state(cf, &wr_module_upstream);
    struct wr_upstream *u = WR_NEW(cf->pool, struct wr_upstream);

    WR_TYPED(u, UPSTREAM);
    u->name = wr_pool_str(cf->pool, name);
    u->layer = cf->scope->layer;
    u->node = cf->node;
    u->scope = cf->scope;
    u->balancer = &wr_round_robin;
    if (u->layer == WR_L7)
        u->links.keepalive = all->keepalive;
    *wr_vec_push(cf->pool, &all->all) = u;
    return u;
}

/* False: the text is a URL, not an address or a name with a port (reported). */
static bool accept_address(struct wr_cf *cf, uint32_t i, struct wr_str text)
{
    bool secure = wr_str_starts(text, WR_STR("https://"));
    const char *tls = secure && cf->scope->layer == WR_L4 ? ", and \"proxy_ssl on;\"" : "";

    if (!secure && !wr_str_starts(text, WR_STR("http://")))
        return true;
    return wr_cf_error_hint(cf, i,
                            wr_pool_fmt(cf->pool, "layer 4 and servers of a group have no "
                                        "\"http%s://\": write HOST:PORT%s", secure ? "s" : "",
                                        tls).p,
                            "invalid host in upstream \"" WR_FMT "\"", WR_ARG(text));
}

struct wr_upstream *wr_upstream_named(struct wr_cf *cf, uint32_t i, struct wr_str text,
                                      uint16_t default_port)
{
    const struct wr_upstreams *all = wr_cf_state(cf, &wr_module_upstream);
    struct wr_upstream *u = find_group(all, cf->scope->layer, text, default_port);

    if (!accept_address(cf, i, text))
        return NULL;
    if (u == NULL) {
        u = add_group(cf, text);
        u->implicit = true;
        u->default_port = default_port;
        u->word = i;
    }
    return u;
}

void wr_upstream_used(struct wr_cf *cf, const struct wr_upstream_use *use)
{
    struct wr_upstreams *all = wr_cf_state(cf, &wr_module_upstream);

    *wr_vec_push(cf->pool, &all->uses) = *use;
}

const struct wr_upstream_use *wr_upstream_use_of(const struct wr_conf *c,
                                                 const struct wr_scope *scope)
{
    const struct wr_upstreams *all = wr_conf_upstreams(c);

    for (uint32_t i = 0; i < all->uses.n; i++)
        if (all->uses.at[i].scope == scope)
            return &all->uses.at[i];
    return NULL;
}

/* ---- upstream {} ---- */

static bool has_backups_only(const struct wr_upstream *u)
{
    for (uint32_t i = 0; i < u->servers.n; i++)
        if (!u->servers.at[i].backup)
            return false;
    return true;
}

static bool set_upstream(struct wr_cf *cf, void *conf)
{
    struct wr_upstreams *all = wr_cf_state(cf, &wr_module_upstream);
    struct wr_str name = wr_cf_arg(cf, 1);
    struct wr_upstream *u = find_group(all, cf->scope->layer, name, 0);
    struct wr_scope *scope;
    bool ok;

    (void)conf;
    if (u != NULL && !u->implicit)
        return wr_cf_error(cf, 1, "duplicate upstream \"" WR_FMT "\"", WR_ARG(name));
    if (u == NULL)
        u = add_group(cf, name);
    u->implicit = false;
    u->node = cf->node;
    ok = wr_cf_block(cf, 0, WR_LV_UPSTREAM, u, &scope);
    u->scope = scope;
    if (ok && u->servers.n == 0)
        return wr_cf_error(cf, 0, "no servers are inside upstream");
    if (ok && has_backups_only(u))
        return wr_cf_error_hint(cf, 1, "all servers are backup, at least one must not be",
                                "no servers in upstream \"" WR_FMT "\"", WR_ARG(name));
    return ok;
}

/* ---- server parameters: a table ---- */

static bool param_num(struct wr_str v, uint64_t min, uint32_t *out)
{
    uint64_t n;

    if (!wr_str_u64(v, &n) || n < min || n > INT32_MAX)
        return false;
    *out = (uint32_t)n;
    return true;
}
static bool p_weight(struct wr_server *s, struct wr_str v) { return param_num(v, 1, &s->weight); }
static bool p_max_fails(struct wr_server *s, struct wr_str v)
{
    return param_num(v, 0, &s->max_fails);
}
static bool p_max_conns(struct wr_server *s, struct wr_str v)
{
    return param_num(v, 0, &s->max_conns);
}
static bool p_fail_timeout(struct wr_server *s, struct wr_str v)
{
    uint64_t sec;

    if (!wr_parse_sec(v, &sec))
        return false;
    s->fail_timeout_ms = sec * 1000;
    return true;
}
static bool p_service(struct wr_server *s, struct wr_str v)
{
    s->service = v;
    return v.n > 0;
}
static bool p_backup(struct wr_server *s, struct wr_str v)
{
    (void)v;
    return s->backup = true;
}
static bool p_down(struct wr_server *s, struct wr_str v)
{
    (void)v;
    return s->down = true;
}
static bool p_drain(struct wr_server *s, struct wr_str v)
{
    (void)v;
    return s->drain = true;
}
static bool p_slow_start(struct wr_server *s, struct wr_str v)
{
    return wr_parse_msec(v, &s->slow_start_ms) && s->slow_start_ms <= INT32_MAX;
}
static bool p_route(struct wr_server *s, struct wr_str v)
{
    s->route = v;
    return v.n > 0 && v.n < sizeof(((struct wr_peer_slot *)NULL)->route);
}
static bool p_resolve(struct wr_server *s, struct wr_str v) /* weir always resolves names again */
{
    (void)s;
    (void)v;
    return true;
}

static const struct {
    const char *name;
    bool value;
    bool (*set)(struct wr_server *s, struct wr_str v); /* NULL: only nginx has the parameter */
    const char *takes;           /* describes the value; where set is NULL: why it is missing */
} params[] = {
    { "weight", true, p_weight, "a number, 1 or more" },
    { "max_fails", true, p_max_fails, "a number; 0: failures are not counted" },
    { "max_conns", true, p_max_conns, "a number; 0: no limit" },
    { "fail_timeout", true, p_fail_timeout, "a time of whole seconds: 30, 5m, 1d" },
    { "service", true, p_service, "the name of an SRV record" },
    { "backup", false, p_backup, NULL },
    { "down", false, p_down, NULL },
    { "resolve", false, p_resolve, NULL },
    { "drain", false, p_drain, NULL },
    { "route", true, p_route, "a word of at most 63 bytes" },
    { "slow_start", true, p_slow_start, "a time" },
};

static const char *nearest_param(struct wr_cf *cf, struct wr_str arg)
{
    struct wr_param_near near = wr_param_near(arg);

    for (size_t k = 0; k < WR_COUNT(params); k++)
        if (params[k].set != NULL)
            wr_param_consider(cf->pool, &near, params[k].name, params[k].value);
    return near.hint;
}

static bool server_param(struct wr_cf *cf, uint32_t i, struct wr_server *s)
{
    struct wr_str arg = wr_cf_arg(cf, i), v;
    const char *hint = NULL;
    size_t k = 0;

    for (; k < WR_COUNT(params); k++)
        if (params[k].value ? wr_param(arg, params[k].name, &v) : wr_str_is(arg, params[k].name))
            break;
    if (k < WR_COUNT(params) && params[k].set == NULL)
        return wr_cf_error_hint(cf, i, params[k].takes,
                                "the \"%s\" parameter is known in nginx, not in this build",
                                params[k].name);
    if (k < WR_COUNT(params) && params[k].set == p_backup
        && WR_CHECK(cf->scope->object, UPSTREAM)->balancer->no_backup)
        return wr_cf_error(cf, i, "balancing method does not support parameter \"backup\"");
    if (k < WR_COUNT(params) && params[k].set(s, params[k].value ? v : arg))
        return true;
    if (k < WR_COUNT(params))
        hint = wr_pool_fmt(cf->pool, "it takes %s", params[k].takes).p;
    else
        hint = nearest_param(cf, arg);
    return wr_cf_error_hint(cf, i, hint, "invalid parameter \"" WR_FMT "\"", WR_ARG(arg));
}

/* Equal lines are different servers: the number of equal lines before this one is in the key. */
static uint64_t server_key(const struct wr_upstream *u, struct wr_str text)
{
    uint64_t seen = 0;

    for (uint32_t i = 0; i < u->servers.n; i++)
        seen += wr_str_eq(u->servers.at[i].text, text) ? 1 : 0;
    return wr_hash_stable(text, wr_hash_stable(u->name, seen));
}

static bool server_address(struct wr_server *s, struct wr_upstream *u, struct wr_str text,
                           uint16_t default_port, const char **why)
{
    struct wr_hostport hp;

    s->key = server_key(u, text);
    s->text = text;
    *why = wr_hostport_parse(text, s->service.n > 0 ? 1 : default_port, &hp);
    s->host = hp.host;
    s->port = hp.port;
    s->addr = hp.addr;
    s->named = hp.addr.len == 0;
    if (*why == NULL && s->service.n > 0 && !s->named)
        *why = "service requires a name";
    return *why == NULL;
}

static bool set_server(struct wr_cf *cf, void *conf)
{
    struct wr_upstream *u = WR_CHECK(cf->scope->object, UPSTREAM);
    struct wr_server s = { .weight = 1, .max_fails = 1, .fail_timeout_ms = 10000 };
    struct wr_str text = wr_cf_arg(cf, 1);
    bool ok = true;
    const char *why;

    (void)conf;
    s.node = cf->node;
    for (uint32_t i = 2; i <= cf->nargs; i++)
        ok &= server_param(cf, i, &s);
    if (!accept_address(cf, 1, text) || !ok)
        return false;
    if (!server_address(&s, u, text, u->layer == WR_L7 ? 80 : 0, &why))
        return wr_cf_error(cf, 1, "%s in upstream \"" WR_FMT "\"", why, WR_ARG(text));
    *wr_vec_push(cf->pool, &u->servers) = s;
    return true;
}

bool wr_upstream_balance(struct wr_cf *cf, const struct wr_balancer_ops *ops, void *conf)
{
    struct wr_upstream *u = WR_CHECK(cf->scope->object, UPSTREAM);

    if (u->balancer != &wr_round_robin)
        wr_cf_warn(cf, 0, "load balancing method redefined");
    u->balancer = ops;
    u->balancer_conf = conf;
    return true;
}

#define ZONE_MIN (8 * 4096)
static bool set_zone(struct wr_cf *cf, void *conf)
{
    struct wr_upstream *u = WR_CHECK(cf->scope->object, UPSTREAM);
    uint64_t size;

    (void)conf;
    u->zone_name = wr_cf_arg(cf, 1);
    if (u->zone_name.n == 0)
        return wr_cf_error(cf, 1, "invalid zone name \"\"");
    if (cf->nargs < 2)
        return true;
    if (!wr_parse_size(wr_cf_arg(cf, 2), &size))
        return wr_cf_error(cf, 2, "invalid zone size \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 2)));
    if (size < ZONE_MIN)
        return wr_cf_error(cf, 2, "zone \"" WR_FMT "\" is too small", WR_ARG(u->zone_name));
    u->zone_size = (size_t)wr_min(size, (uint64_t)1 << 30);
    return true;
}

/* ---- after loading ---- */

static const char *similar_name(struct wr_cf *cf, const struct wr_upstream *u)
{
    const struct wr_upstreams *all = wr_cf_state(cf, &wr_module_upstream);
    struct wr_str host = u->name;

    host.n = wr_str_find(host, ':');
    for (uint32_t i = 0; i < all->all.n; i++) {
        const struct wr_upstream *o = all->all.at[i];

        if (!o->implicit && o->layer == u->layer && wr_str_find(host, '.') == host.n
            && wr_str_distance(o->name, host, 2) <= 2)
            return wr_pool_fmt(cf->pool, "did you mean the upstream \"" WR_FMT "\"?",
                               WR_ARG(o->name)).p;
    }
    return NULL;
}

static bool complete_implicit(struct wr_cf *cf, struct wr_upstream *u)
{
    struct wr_server s = { .weight = 1, .max_fails = 1, .fail_timeout_ms = 10000 };
    const char *why, *hint = similar_name(cf, u);

    s.node = u->node;
    if (!server_address(&s, u, u->name, u->default_port, &why)) {
        wr_diag_add(cf->conf->tree, WR_LOG_EMERG, u->node, u->word, hint,
                    "%s in upstream \"" WR_FMT "\"", why, WR_ARG(u->name));
        return false;
    }
    if (s.named && hint != NULL)
        wr_diag_add(cf->conf->tree, WR_LOG_WARN, u->node, u->word, hint,
                    "\"" WR_FMT "\" is not an upstream, it will be looked up as a host name",
                    WR_ARG(u->name));
    *wr_vec_push(cf->pool, &u->servers) = s;
    return true;
}

/* slow_start changes weights, which the balancer may not use. */
static void check_slow_start(struct wr_cf *cf, const struct wr_upstream *u)
{
    for (uint32_t i = 0; i < u->servers.n && !u->balancer->warms; i++)
        if (u->servers.at[i].slow_start_ms > 0)
            wr_diag_add(cf->conf->tree, WR_LOG_WARN, u->servers.at[i].node, 1,
                        "it works with round robin, least_conn and least_time",
                        "\"slow_start\" has no effect with \"%s\"", u->balancer->name);
}

static bool check(struct wr_cf *cf)
{
    struct wr_upstreams *all = wr_cf_state(cf, &wr_module_upstream);
    bool ok = true;

    for (uint32_t i = 0; i < all->all.n; i++) {
        struct wr_upstream *u = all->all.at[i];
        struct wr_resolver_conf *rc = wr_scope_conf(u->scope, &wr_module_resolver);

        u->resolver = rc->set ? rc : NULL;
        u->grace_ms = rc->grace_ms;
        if (u->implicit)
            ok &= complete_implicit(cf, u);
        check_slow_start(cf, u);
    }
    return ok;
}

/* Returns the group's settings. While defaults are set: those that every group begins with. */
static struct wr_keepalive *keepalive_of(struct wr_cf *cf)
{
    struct wr_upstreams *all = wr_cf_state(cf, &wr_module_upstream);

    return cf->defaulting ? &all->keepalive
                          : &WR_CHECK(cf->scope->object, UPSTREAM)->links.keepalive;
}

static bool set_keepalive(struct wr_cf *cf, void *conf)
{
    struct wr_keepalive *k = keepalive_of(cf);
    uint64_t n;

    (void)conf;
    if (cf->nargs == 2 && !wr_str_is(wr_cf_arg(cf, 2), "local"))
        return wr_cf_error(cf, 2, "invalid parameter \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 2)));
    if (!wr_str_u64(wr_cf_arg(cf, 1), &n) || n > UINT16_MAX)
        return wr_cf_error(cf, 1, "invalid value \"" WR_FMT "\" in \"keepalive\" directive",
                           WR_ARG(wr_cf_arg(cf, 1)));
    k->connections = (uint32_t)n;
    k->local = cf->nargs == 2;
    k->grows = cf->defaulting;
    return true;
}

static bool set_keepalive_requests(struct wr_cf *cf, void *conf)
{
    (void)conf;
    return wr_set_num(cf, keepalive_of(cf));
}

static bool set_keepalive_ms(struct wr_cf *cf, void *conf)
{
    (void)conf;
    return wr_set_msec(cf, keepalive_of(cf));
}

static struct wr_upstreams *in_this_worker;

static bool close_unused(enum wr_side side)
{
    struct wr_upstreams *all = in_this_worker;

    for (uint32_t i = 0; side == WR_SERVER && i < all->all.n; i++)
        if (wr_links_drop_one(&all->all.at[i]->links))
            return true;
    return side == WR_CLIENT && wr_sessions_spare();
}

static bool worker_init(struct wr_conf *conf, struct wr_loop *l)
{
    struct wr_upstreams *all = wr_conf_upstreams(conf);

    in_this_worker = all;
    wr_connections_unused(close_unused);
    wr_peers_begin(conf);

    for (uint32_t i = 0; i < all->all.n; i++) {
        struct wr_upstream *u = all->all.at[i];

        wr_list_init(&u->links.parked);
        wr_list_init(&u->waiting);
        if (u->balancer->init != NULL && !u->balancer->init(u, l))
            return false;
    }
    return true;
}

static void worker_exit(struct wr_conf *conf)
{
    struct wr_upstreams *all = wr_conf_upstreams(conf);

    wr_connections_unused(NULL);

    for (uint32_t i = 0; i < all->all.n; i++) {
        wr_links_drop(&all->all.at[i]->links);
        wr_peers_drop(all->all.at[i]);
    }
}

/* Corrects the counts. Slots may be free then: publishes the addresses that did not fit before. */
static bool keeper_look(struct wr_conf *conf)
{
    bool right = wr_peers_look(conf);

    wr_upstreams_fit(conf);
    return right;
}

static const struct wr_keeper_hooks keeper = {
    .commit = wr_upstreams_commit,
    .start = wr_names_watch,
    .stop = wr_names_unwatch,
    .sweep = wr_peers_sweep,
    .look = keeper_look,
};

static const struct wr_directive directives[] = {
    WR_CUSTOM("upstream", WR_ANY | WR_LV_LAYER | WR_DEFINE | WR_MULTI, 1, 1, set_upstream, NULL,
              "a group of servers that proxy_pass can name"),
    WR_CUSTOM("server", WR_ANY | WR_LV_UPSTREAM | WR_MULTI, 1, WR_ARGS_ANY, set_server, NULL,
              "a server of the group: address, weight=, max_fails=, fail_timeout=, backup, down"),
    WR_CUSTOM("zone", WR_ANY | WR_LV_UPSTREAM, 1, 2, set_zone, NULL,
              "room for the group's servers (state is always shared between workers)"),
    WR_CUSTOM("keepalive", WR_L7 | WR_LV_UPSTREAM, 1, 2, set_keepalive, "32 local",
              "most parked (idle) connections to the group's servers in each worker; 0: none; "
              "without the directive 32, or the most in use within the last minute if more"),
    WR_ROW("keepalive_requests", WR_L7 | WR_LV_UPSTREAM, 1, 1, set_keepalive_requests,
           struct wr_keepalive, requests, NULL, "1000",
           "a connection to a server is closed after this many requests"),
    WR_ROW("keepalive_time", WR_L7 | WR_LV_UPSTREAM, 1, 1, set_keepalive_ms, struct wr_keepalive,
           time_ms, NULL, "1h", "a connection that is older is not used again"),
    WR_ROW("keepalive_timeout", WR_L7 | WR_LV_UPSTREAM, 1, 1, set_keepalive_ms,
           struct wr_keepalive, timeout_ms, NULL, "60s",
           "a parked (idle) connection is closed after this time"),
    { 0 },
};

struct wr_module wr_module_upstream = {
    .name = "upstream",
    .words = "upstream_zone upstream_keepalive",
    .layers = WR_ANY,
    .directives = directives,
    .prepare = prepare,
    .check = check,
    .worker_init = worker_init,
    .worker_exit = worker_exit,
    .keeper = &keeper,
};
