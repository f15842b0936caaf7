/* nat_conf: the directives forward and forward_exit, and the list of servers whose flows the kernel
 * forwards, made when all of the configuration is loaded. */
#include "nat/nat_impl.h"

#include <errno.h>

#define TIMEOUT_S 600        /* the default of proxy_timeout */

struct nat_scope {
    uint32_t forward, exit;
    bool masquerade;
};
enum { FORWARD_PROXY, FORWARD_NAT };
enum { EXIT_REMOVE, EXIT_KEEP };

const struct wr_nat_conf *wr_nat_conf_of(const struct wr_conf *c)
{
    return wr_conf_state(c, &wr_module_nat);
}

bool wr_nat_wanted(const struct wr_conf *c)
{
    return wr_nat_conf_of(c)->servers.n > 0;
}

static bool prepare(struct wr_cf *cf)
{
    wr_cf_state(cf, &wr_module_nat) = WR_NEW(cf->pool, struct wr_nat_conf);
    return true;
}

static const struct wr_enum ways[] = {
    { "proxy", FORWARD_PROXY },
    { "nat", FORWARD_NAT },
    { NULL, 0 },
};

static bool set_forward(struct wr_cf *cf, void *conf)
{
    struct nat_scope *c = conf;

    if (!wr_set_enum(cf, conf))
        return false;
    c->masquerade = c->forward == FORWARD_NAT && cf->nargs > 1
                 && wr_str_is(wr_cf_arg(cf, 2), "masquerade");
    if (cf->nargs > 1 && !c->masquerade)
        return wr_cf_error(cf, 2, "invalid parameter \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 2)));
    if (c->forward == FORWARD_NAT && !wr_nat_kernel_there())
        return wr_cf_error(cf, 1, "\"forward nat\" needs libnftables and libnetfilter_conntrack: "
                           "this weir was built without them");
    return true;
}

/* ---- servers ---- */

struct rules {
    struct wr_pool *pool;
    struct wr_nat_server *sv;
};

static void read_rule(const struct wr_node *n, void *arg)
{
    struct rules *to = arg;
    struct wr_nat_rule r = { .deny = wr_str_is(n->words[0].text, "deny") };

    r.all = wr_str_is(n->words[1].text, "all");
    if (r.all || wr_cidr_parse(n->words[1].text, &r.net)) /* else unix: or reported before */
        *wr_vec_push(to->pool, &to->sv->rules) = r;
}

static void read_timeout(const struct wr_node *n, void *arg)
{
    struct wr_nat_server *sv = arg;
    uint64_t ms;

    if (wr_parse_msec(n->words[1].text, &ms))
        sv->timeout_s = (uint32_t)wr_min(wr_max((ms + 999) / 1000, (uint64_t)1),
                                         (uint64_t)INT32_MAX / 1000);
}

static bool add_listens(struct wr_cf *cf, const struct wr_scope *scope, struct wr_nat_server *sv)
{
    bool ok = true;

    for (struct wr_listener *l = wr_conf_listens(cf->conf)->first; l != NULL; l = l->next) {
        const struct wr_address *a;

        if (l->layer != &wr_layer_stream)
            continue;
        a = WR_CHECK(l->object, ADDRESS);
        for (uint32_t i = 0; i < a->servers.n; i++) {
            if (a->servers.at[i]->scope != scope)
                continue;
            if (a->servers.n > 1)
                ok = wr_cf_error_at(cf, l->node, 1, "an address of a server with \"forward nat\" "
                                    "cannot have another server: the kernel does not choose by "
                                    "names");
            else if (l->addr.sa.sa_family == AF_UNIX || l->opts.type != SOCK_STREAM)
                ok = wr_cf_error_at(cf, l->node, 1, "\"forward nat\" is for TCP addresses only");
            l->in_kernel = true;
            *wr_vec_push(cf->pool, &sv->listens) = l;
        }
    }
    return ok;
}

static uint32_t group_number(struct wr_cf *cf, struct wr_nat_conf *all, struct wr_upstream *u)
{
    for (uint32_t i = 0; i < all->groups.n; i++)
        if (all->groups.at[i] == u)
            return i;
    *wr_vec_push(cf->pool, &all->groups) = u;
    return all->groups.n - 1;
}

/* ---- warnings ---- */

static bool is_sysctl_off(const char *path)
{
    struct wr_pool *pool = wr_pool_new(0);
    bool off = wr_str_is(wr_str_trim(wr_file_read(pool, path, 16)), "0\n");

    wr_pool_free(pool);
    return off;
}

static void warn_at(struct wr_cf *cf, const struct wr_node *n, const char *text)
{
    wr_diag_add(cf->conf->tree, WR_LOG_WARN, n, 1, NULL, "%s", text);
}

static void warn_listen(struct wr_cf *cf, const struct wr_listener *l)
{
    bool v6 = l->addr.sa.sa_family == AF_INET6;
    struct wr_addr any_port = l->addr;

    if (is_sysctl_off(v6 ? "/proc/sys/net/ipv6/conf/all/forwarding"
                         : "/proc/sys/net/ipv4/ip_forward"))
        warn_at(cf, l->node, v6 ? "the kernel does not forward IPv6: set net.ipv6.conf.all."
                "forwarding to 1 (sysctl)" : "the kernel does not forward: set "
                "net.ipv4.ip_forward to 1 (sysctl)");
    wr_addr_set_port(&any_port, 0);
    if (!wr_socket_probe(&any_port, SOCK_STREAM) && errno == EADDRNOTAVAIL)
        warn_at(cf, l->node, "this is not an address of this machine: only packets that are routed "
                "to it reach the server");
}

static bool has_family(const struct wr_upstream *u, int family)
{
    for (uint32_t i = 0; i < u->servers.n; i++)
        if (u->servers.at[i].named || u->servers.at[i].addr.sa.sa_family == family)
            return true;
    return false;
}

static bool is_loopback(const struct wr_addr *a)
{
    return a->sa.sa_family == AF_INET ? ntohl(a->in.sin_addr.s_addr) >> 24 == 127
         : a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

static void warn_server(struct wr_cf *cf, const struct wr_nat_server *sv)
{
    for (uint32_t i = 0; i < sv->listens.n; i++) {
        const struct wr_listener *l = sv->listens.at[i];

        warn_listen(cf, l);
        if (!has_family(sv->u, l->addr.sa.sa_family))
            warn_at(cf, l->node, "no server of the group has an address of this family: the kernel "
                    "does not translate between IPv4 and IPv6, and refuses these clients");
    }
    for (uint32_t i = 0; i < sv->u->servers.n; i++)
        if (!sv->u->servers.at[i].named && is_loopback(&sv->u->servers.at[i].addr))
            warn_at(cf, sv->u->servers.at[i].node, "the kernel does not forward to a loopback "
                    "address");
}

/* ---- check ---- */

static bool add_server(struct wr_cf *cf, struct wr_nat_conf *all, const struct wr_scope *scope)
{
    const struct wr_stream_server *server = WR_CHECK(scope->object, STREAM_SERVER);
    const struct wr_upstream_use *use = wr_upstream_use_of(cf->conf, scope);
    struct wr_nat_server *sv = wr_vec_push(cf->pool, &all->servers);
    struct rules to = { cf->pool, sv };
    bool ok;

    if (use == NULL)
        return wr_cf_error_at(cf, server->content != NULL ? server->content : scope->node, 0,
                              "\"forward nat\" needs a \"proxy_pass\" to a group or an address, "
                              "without variables");
    sv->u = use->u;
    sv->group = group_number(cf, all, use->u);
    sv->timeout_s = TIMEOUT_S;
    sv->masquerade = ((const struct nat_scope *)wr_scope_conf(scope, &wr_module_nat))->masquerade;
    wr_nat_in_force(scope, "allow", read_rule, &to);
    wr_nat_in_force(scope, "proxy_timeout", read_timeout, sv);
    ok = wr_nat_check_server(cf, scope);
    ok = wr_nat_check_group(cf, sv) && ok;
    ok = add_listens(cf, scope, sv) && ok;
    if (ok)
        warn_server(cf, sv);
    return ok;
}

static bool check(struct wr_cf *cf)
{
    struct wr_nat_conf *all = wr_cf_state(cf, &wr_module_nat);
    struct wr_scope *layer = wr_conf_layer(cf->conf, WR_L4);
    bool ok = true;

    if (layer == NULL)
        return true;
    all->keep = ((const struct nat_scope *)wr_scope_conf(layer, &wr_module_nat))->exit == EXIT_KEEP;
    for (const struct wr_scope *s = layer->children; s != NULL; s = s->next) {
        const struct nat_scope *c = wr_scope_conf(s, &wr_module_nat);

        if (s->level == WR_LV_SERVER && c->forward == FORWARD_NAT)
            ok = add_server(cf, all, s) && ok;
    }
    return ok;
}

static const struct wr_enum exits[] = {
    { "remove", EXIT_REMOVE },
    { "keep", EXIT_KEEP },
    { NULL, 0 },
};

static const struct wr_directive directives[] = {
    { .name = "forward", .where = WR_L4 | WR_LV_SERVER, .min = 1, .max = 2, .set = set_forward,
      .offset = offsetof(struct nat_scope, forward), .data = ways, .def = NULL,
      .words = "proxy|nat [masquerade]",
      .help = "proxy (default): a session of two connections; nat: the kernel translates the "
              "addresses of one connection, and the server sees the client's, or with masquerade "
              "this machine's" },
    WR_ENUM("forward_exit", WR_L4 | WR_LV_LAYER, struct nat_scope, exit, exits, "remove",
            "keep: servers with `forward nat` go on without weir when it ends"),
    { 0 },
};

struct wr_module wr_module_nat = {
    .name = "nat",
    .layers = WR_L4,
    .conf_size = sizeof(struct nat_scope),
    .directives = directives,
    .prepare = prepare,
    .check = check,
    .keeper = &wr_nat_keeper,
};
