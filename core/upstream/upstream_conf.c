/* upstream_conf: upstream {} with its server and zone lines, for both layers, and the implicit
 * groups of a proxy_pass that names an address. Owns the list of all upstreams of a
 * configuration. */
#include "datagram/datagram.h"
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
    if (ok && (u->list_path != NULL || u->has_state))
        return true; /* the file may be empty */
    if (ok && u->servers.n == 0)
        return wr_cf_error(cf, 0, "no servers are inside upstream");
    if (ok && has_backups_only(u))
        return wr_cf_error_hint(cf, 1, "all servers are backup, at least one must not be",
                                "no servers in upstream \"" WR_FMT "\"", WR_ARG(name));
    return ok;
}

/* ---- server ---- */

static bool server_param(struct wr_cf *cf, uint32_t i, struct wr_server *s)
{
    struct wr_str arg = wr_cf_arg(cf, i);
    struct wr_list_rules rules = wr_list_rules_of(WR_CHECK(cf->scope->object, UPSTREAM), true);
    const char *why, *hint = NULL;

    switch (wr_server_param(s, arg, rules.refused, &why)) {
    case WR_PARAM_SET:
        return true;
    case WR_PARAM_REFUSED:
        if (wr_str_is(arg, "backup"))
            hint = "leave it out: if a server fails the method chooses another one";
        return wr_cf_error_hint(cf, i, hint, "%s", why);
    case WR_PARAM_UNKNOWN:
        hint = wr_server_param_near(cf->pool, arg);
        break;
    case WR_PARAM_WRONG:
        if (why != NULL)
            hint = wr_pool_fmt(cf->pool, "it takes %s", why).p;
    }
    return wr_cf_error_hint(cf, i, hint, "invalid parameter \"" WR_FMT "\"", WR_ARG(arg));
}

/* Equal lines are different servers: the number of equal lines before this one is in the key. */
static uint64_t server_key(const struct wr_upstream *u, struct wr_str text)
{
    uint64_t seen = 0;

    for (uint32_t i = 0; i < u->servers.n; i++)
        seen += wr_str_eq(u->servers.at[i].text, text) ? 1 : 0;
    return wr_server_key(u->name, text, seen);
}

static bool set_server(struct wr_cf *cf, void *conf)
{
    struct wr_upstream *u = WR_CHECK(cf->scope->object, UPSTREAM);
    struct wr_str text = wr_cf_arg(cf, 1);
    struct wr_server s = wr_server_new();
    bool ok = true;
    const char *why;

    (void)conf;
    if (u->has_state)
        return wr_cf_error(cf, 0, "\"server\" is incompatible with \"state\"");
    s.node = cf->node;
    for (uint32_t i = 2; i <= cf->nargs; i++)
        ok &= server_param(cf, i, &s);
    if (!accept_address(cf, 1, text) || !ok)
        return false;
    why = wr_server_address(&s, text, wr_list_rules_of(u, true).default_port);
    s.key = server_key(u, text);
    if (why != NULL)
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
        return wr_cf_error_hint(cf, 2, "it takes a size: 64k, 1m", "invalid zone size \"" WR_FMT
                                "\"", WR_ARG(wr_cf_arg(cf, 2)));
    if (size < ZONE_MIN)
        return wr_cf_error_hint(cf, 2, "it takes 32k or more: 64k is usual",
                                "zone \"" WR_FMT "\" is too small", WR_ARG(u->zone_name));
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

/* At layer 4 a name without a port is meant to be that of a group. */
static const char *missing_group(struct wr_cf *cf, const struct wr_upstream *u)
{
    const struct wr_upstreams *all = wr_cf_state(cf, &wr_module_upstream);

    if (u->layer != WR_L4 || wr_str_find(u->name, ':') < u->name.n)
        return NULL;
    return find_group(all, WR_L7, u->name, 0) != NULL
               ? "the upstream of this name is in http {}: stream {} needs its own"
               : "there is no upstream of this name; a host needs a port";
}

static bool complete_implicit(struct wr_cf *cf, struct wr_upstream *u)
{
    const char *why, *hint = similar_name(cf, u);
    struct wr_server s = wr_server_new();

    s.node = u->node;
    why = wr_server_address(&s, u->name, u->default_port);
    s.key = server_key(u, u->name);
    if (why != NULL) {
        if (hint == NULL)
            hint = missing_group(cf, u);
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
        wr_servers_file_finish(u);
        if (u->implicit)
            ok &= complete_implicit(cf, u);
        check_slow_start(cf, u);
    }
    return ok;
}

static bool set_ntlm(struct wr_cf *cf, void *conf WR_UNUSED)
{
    WR_CHECK(cf->scope->object, UPSTREAM)->own_links = true;
    return true;
}

static struct wr_upstreams *in_this_worker;

static bool close_unused(enum wr_side side)
{
    struct wr_upstreams *all = in_this_worker;

    for (uint32_t i = 0; side == WR_SERVER && i < all->all.n; i++)
        if (wr_links_drop_one(&all->all.at[i]->links))
            return true;
    return side == WR_CLIENT && (wr_sessions_spare() || wr_flows_spare());
}

static bool worker_init(struct wr_conf *conf, struct wr_loop *l)
{
    struct wr_upstreams *all = wr_conf_upstreams(conf);

    in_this_worker = all;
    wr_connections_unused(close_unused);
    wr_peers_begin(conf);
    wr_down_start(all, l);

    for (uint32_t i = 0; i < all->all.n; i++) {
        struct wr_upstream *u = all->all.at[i];

        wr_list_init(&u->links.parked);
        if (u->queue != NULL)
            wr_waiting_begin(u, l);
        if (u->balancer->init != NULL && !u->balancer->init(u, l))
            return false;
    }
    wr_peers_called();
    return true;
}

static void worker_exit(struct wr_conf *conf)
{
    struct wr_upstreams *all = wr_conf_upstreams(conf);

    wr_connections_unused(NULL);
    wr_down_stop();

    for (uint32_t i = 0; i < all->all.n; i++) {
        struct wr_upstream *u = all->all.at[i];

        if (u->balancer->end != NULL)
            u->balancer->end(u);
        wr_links_drop(&u->links);
        wr_peers_drop(u);
    }
}

static const struct wr_directive directives[] = {
    WR_WORDS("upstream", WR_ANY | WR_LV_LAYER | WR_DEFINE | WR_MULTI, 1, 1, set_upstream, "NAME",
             NULL, "a group of servers that proxy_pass can name"),
    WR_WORDS("server", WR_ANY | WR_LV_UPSTREAM | WR_MULTI, 1, WR_ARGS_ANY, set_server,
             "ADDRESS [weight=1] [max_conns=0] [max_fails=1] [fail_timeout=10s] [backup] [down] "
             "[drain] [slow_start=TIME] [route=NAME] [resolve] [service=NAME] "
             "[on_down=close|drain]", NULL,
             "a server of the group, or all that a name stands for; drain: keeps only its sticky "
             "clients; service: the name of SRV records"),
    WR_WORDS("servers_file", WR_ANY | WR_LV_UPSTREAM | WR_LATE, 1, 2, wr_set_servers_file,
             "FILE [allow_empty]", NULL,
             "a file of servers, an address with parameters a line, read again when it changes; "
              "allow_empty: also when it is empty, or half of it is gone, at once"),
    WR_WORDS("state", WR_ANY | WR_LV_UPSTREAM, 1, 1, wr_set_state, "FILE", NULL,
              "a file of the group's `server` lines, read at start and reload, never written yet; "
              "if it does not exist the group is empty"),
    WR_WORDS("zone", WR_ANY | WR_LV_UPSTREAM, 1, 2, set_zone, "NAME [SIZE]", NULL,
              "room for the group's servers (state is always shared between workers)"),
    WR_WORDS("queue", WR_ANY | WR_LV_UPSTREAM, 1, 2, wr_set_queue, "NUMBER [timeout=60s]", NULL,
              "most requests or sessions that wait until a server can be used, in all workers "
              "together, first in, first out; timeout: the longest wait"),
    WR_WORDS("keepalive", WR_L7 | WR_LV_UPSTREAM, 1, 2, wr_set_keepalive, "NUMBER [local]",
              "32 local",
              "most parked (idle) connections to the group's servers in each worker; 0: none; "
              "without the directive 32, or the most in use within the last minute if more"),
    WR_ROW("keepalive_requests", WR_L7 | WR_LV_UPSTREAM, 1, 1, wr_set_keepalive_requests,
           struct wr_keepalive, requests, NULL, "1000",
           "a connection to a server is closed after this many requests"),
    WR_ROW("keepalive_time", WR_L7 | WR_LV_UPSTREAM, 1, 1, wr_set_keepalive_ms, struct wr_keepalive,
           time_ms, NULL, "1h", "a connection that is older is not used again"),
    WR_ROW("keepalive_timeout", WR_L7 | WR_LV_UPSTREAM, 1, 1, wr_set_keepalive_ms,
           struct wr_keepalive, timeout_ms, NULL, "60s",
           "a parked (idle) connection is closed after this time"),
    WR_CUSTOM("ntlm", WR_L7 | WR_LV_UPSTREAM, 0, 0, set_ntlm, NULL,
              "a client that authenticates by NTLM or Negotiate has connections to the servers of "
              "its own, as long as its own connection lasts"),
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
    .keeper = &wr_upstreams_keeper,
};
