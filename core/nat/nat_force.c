/* nat_force: what of a configuration is in force for a server with `forward nat`, and whether the
 * kernel can do it. Nothing is silently lost: a directive that is not in the tables below is an
 * error at its line. Called by nat_conf when everything is loaded. */
#include "nat/nat_impl.h"

struct allowed {
    const char *name;            /* ends with "*": all that begin so */
    const char *value;           /* only with this one, which switches it off; NULL: any */
};

/* In server {} and, if inherited, in stream {}. */
static const struct allowed in_server[] = {
    /* done by the kernel or by the keeper */
    { "listen", NULL }, { "forward", NULL }, { "forward_exit", NULL }, { "proxy_pass", NULL },
    { "allow", NULL }, { "deny", NULL }, { "proxy_timeout", NULL }, { "health_check", NULL },
    { "health_check_timeout", NULL }, { "resolver", NULL }, { "resolver_timeout", NULL },
    { "resolver_grace", NULL },
    /* off */
    { "access_log", "off" }, { "proxy_ssl", "off" }, { "proxy_protocol", "off" },
    { "ssl_preread", "off" }, { "proxy_next_upstream", "off" }, { "proxy_session_drop", "off" },
    { "proxy_upload_rate", "0" }, { "proxy_download_rate", "0" }, { "proxy_bind", "off" },
    /* without an object here: no sockets, no buffers, no handshakes, one server for an address */
    { "error_log", NULL }, { "tcp_nodelay", NULL }, { "proxy_buffer_size", NULL },
    { "proxy_half_close", NULL }, { "proxy_socket_keepalive", NULL },
    { "preread_buffer_size", NULL }, { "preread_timeout", NULL },
    { "proxy_protocol_timeout", NULL }, { "server_name", NULL }, { "server_names_hash_*", NULL },
    { "variables_hash_*", NULL }, { "map_hash_*", NULL }, { "ssl_*", NULL },
    { "proxy_ssl_*", NULL }, { "set_real_ip_from", NULL },
    /* definitions */
    { "log_format", NULL }, { "limit_conn_zone", NULL }, { "open_log_file_cache", NULL },
};

static const struct allowed in_upstream[] = {
    { "server", NULL }, { "zone", NULL }, { "hash", NULL }, { "resolver", NULL },
    { "resolver_timeout", NULL }, { "resolver_grace", NULL }, { "on_down", "drain" },
};

static const struct allowed in_server_line[] = { /* parameters of `server` */
    { "weight=*", NULL }, { "backup", NULL }, { "down", NULL }, { "drain", NULL },
    { "resolve", NULL }, { "service=*", NULL }, { "max_fails=0", NULL }, { "on_down=drain", NULL },
};

static const struct allowed in_listen[] = {
    { "default_server", NULL }, { "default", NULL }, { "bind", NULL }, { "reuseport", NULL },
    { "ipv6only=*", NULL },
};

static bool is_name(struct wr_str s, const char *name)
{
    size_t n = strlen(name);

    return name[n - 1] == '*' ? wr_str_starts(s, wr_str_of(name, n - 1)) : wr_str_is(s, name);
}

static bool is_allowed(const struct allowed *table, size_t n, struct wr_str name,
                       const struct wr_node *node)
{
    for (size_t i = 0; i < n; i++) {
        const struct allowed *a = &table[i];

        if (!is_name(name, a->name))
            continue;
        return a->value == NULL
            || (node->nwords > 1 && wr_str_is(node->words[1].text, a->value));
    }
    return false;
}

/* ---- the server ---- */

/* NULL: none of that name in the block. */
static const struct wr_node *find_node(const struct wr_node *block, struct wr_str name)
{
    for (const struct wr_node *n = block->children; n != NULL; n = n->next)
        if (wr_str_eq(n->words[0].text, name))
            return n;
    return NULL;
}

/* allow and deny make one list. */
static bool is_replaced(const struct wr_node *server, struct wr_str name)
{
    bool access = wr_str_is(name, "allow") || wr_str_is(name, "deny");

    return find_node(server, name) != NULL
        || (access && (find_node(server, WR_STR("allow")) != NULL
                       || find_node(server, WR_STR("deny")) != NULL));
}

static bool refuse_node(struct wr_cf *cf, const struct wr_node *n)
{
    return wr_cf_error_at(cf, n, 0, "\"" WR_FMT "\" has no effect on what the kernel forwards: "
                          "remove it from this server (a server with \"forward nat\" gets it from "
                          "stream {}, too), or use \"forward proxy\"",
                          WR_ARG(n->words[0].text));
}

static bool check_block(struct wr_cf *cf, const struct wr_node *block,
                        const struct wr_node *inner)
{
    bool ok = true;

    for (const struct wr_node *n = block->children; n != NULL; n = n->next) {
        struct wr_str name = n->words[0].text;

        if ((inner != NULL && (n->block || is_replaced(inner, name)))
            || is_allowed(in_server, WR_COUNT(in_server), name, n))
            continue;
        ok = refuse_node(cf, n);
    }
    return ok;
}

static bool check_listen(struct wr_cf *cf, const struct wr_node *n)
{
    bool ok = true;

    for (uint32_t i = 2; i < n->nwords; i++)
        if (!is_allowed(in_listen, WR_COUNT(in_listen), n->words[i].text, n))
            ok = wr_cf_error_at(cf, n, i, "parameter \"" WR_FMT "\" cannot be used with \"forward "
                                "nat\": %s", WR_ARG(n->words[i].text),
                                wr_str_is(n->words[i].text, "udp") ? "UDP is not forwarded by the "
                                "kernel yet" : "no socket listens there");
    return ok;
}

bool wr_nat_check_server(struct wr_cf *cf, const struct wr_scope *server)
{
    bool ok = check_block(cf, server->node, NULL);

    if (server->parent->node != NULL)
        ok = check_block(cf, server->parent->node, server->node) && ok;
    for (const struct wr_node *n = server->node->children; n != NULL; n = n->next)
        if (wr_str_is(n->words[0].text, "listen"))
            ok = check_listen(cf, n) && ok;
    return ok;
}

void wr_nat_in_force(const struct wr_scope *server, const char *name,
                     void (*fn)(const struct wr_node *n, void *arg), void *arg)
{
    bool own = is_replaced(server->node, wr_str_c(name));
    const struct wr_node *block = own ? server->node : server->parent->node;

    for (const struct wr_node *n = block != NULL ? block->children : NULL; n != NULL; n = n->next)
        if (wr_str_is(n->words[0].text, name)
            || (strcmp(name, "allow") == 0 && wr_str_is(n->words[0].text, "deny")))
            fn(n, arg);
}

/* ---- the group ---- */

static bool check_hash(struct wr_cf *cf, const struct wr_node *n, struct wr_nat_server *out)
{
    if (n->nwords == 2 && wr_str_is(n->words[1].text, "$remote_addr"))
        out->way = WR_NAT_BY_ADDRESS;
    else if (n->nwords == 2 && wr_str_is(n->words[1].text, "$remote_addr$remote_port"))
        out->way = WR_NAT_BY_PORT;
    else
        return wr_cf_error_at(cf, n, 1, "with \"forward nat\" the kernel chooses by \"hash "
                              "$remote_addr\" or \"hash $remote_addr$remote_port\" only");
    return true;
}

static bool check_server_line(struct wr_cf *cf, const struct wr_node *n)
{
    bool ok = true;

    for (uint32_t i = 2; i < n->nwords; i++)
        if (!is_allowed(in_server_line, WR_COUNT(in_server_line), n->words[i].text, n))
            ok = wr_cf_error_at(cf, n, i, "parameter \"" WR_FMT "\" has no effect on what the "
                                "kernel forwards: remove it, or use \"forward proxy\" in the "
                                "servers that pass to this group", WR_ARG(n->words[i].text));
    return ok;
}

static bool check_node(struct wr_cf *cf, const struct wr_node *n, struct wr_nat_server *out)
{
    if (!is_allowed(in_upstream, WR_COUNT(in_upstream), n->words[0].text, n))
        return wr_cf_error_at(cf, n, 0, "\"" WR_FMT "\" has no effect on what the kernel forwards: "
                              "a group for \"forward nat\" has round robin or \"hash "
                              "$remote_addr\"", WR_ARG(n->words[0].text));
    if (wr_str_is(n->words[0].text, "hash"))
        return check_hash(cf, n, out);
    return !wr_str_is(n->words[0].text, "server") || check_server_line(cf, n);
}

static bool check_address(struct wr_cf *cf, const struct wr_server *sv)
{
    const struct wr_addr *a = &sv->addr;

    if (sv->named || (a->sa.sa_family != AF_UNIX
                      && !(a->sa.sa_family == AF_INET6
                           && (IN6_IS_ADDR_LINKLOCAL(&a->in6.sin6_addr)
                               || IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)))))
        return true;
    return wr_cf_error_at(cf, sv->node, 1, "the kernel cannot forward to \"" WR_FMT "\": \"forward "
                          "nat\" needs servers with an IP address that is routed",
                          WR_ARG(sv->text));
}

bool wr_nat_check_group(struct wr_cf *cf, struct wr_nat_server *out)
{
    const struct wr_upstream *u = out->u;
    bool ok = true;

    for (const struct wr_node *n = u->implicit ? NULL : u->node->children; n != NULL; n = n->next)
        ok = check_node(cf, n, out) && ok;
    for (uint32_t i = 0; i < u->servers.n; i++)
        ok = check_address(cf, &u->servers.at[i]) && ok;
    return ok;
}
