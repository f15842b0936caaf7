/* networks: arguments that stand for clients: an address, a network, unix:, or a host name that is
 * resolved while loading. Called by the setters of allow, deny, set_real_ip_from,
 * debug_connection and `proxy` of geo. */
#include "config/config.h"

#include <netdb.h>

static void add_address(struct wr_cf *cf, struct wr_networks *out, const struct sockaddr *sa)
{
    struct wr_cidr *r = wr_vec_push(cf->pool, &out->list);
    bool v6 = sa->sa_family == AF_INET6;

    r->family = sa->sa_family;
    memset(r->mask, 0xff, v6 ? 16 : 4);
    if (v6)
        memcpy(r->addr, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
    else
        memcpy(r->addr, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
}

/* Blocks in getaddrinfo: no loop runs while a configuration is loaded. */
static bool add_host(struct wr_cf *cf, uint32_t i, struct wr_networks *out)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all;

    if (getaddrinfo(wr_cf_arg(cf, i).p, NULL, &hints, &all) != 0)
        return wr_cf_error(cf, i, "host not found in " WR_FMT " \"" WR_FMT "\"",
                           WR_ARG(wr_cf_arg(cf, 0)), WR_ARG(wr_cf_arg(cf, i)));
    for (const struct addrinfo *a = all; a != NULL; a = a->ai_next)
        if (a->ai_family == AF_INET || a->ai_family == AF_INET6)
            add_address(cf, out, a->ai_addr);
    freeaddrinfo(all);
    return true;
}

bool wr_cf_network(struct wr_cf *cf, uint32_t i, struct wr_cidr *out)
{
    struct wr_str arg = wr_cf_arg(cf, i);

    if (!wr_cidr_parse(arg, out))
        return false;
    if (out->host_bits)
        wr_cf_warn(cf, i, "low address bits of " WR_FMT " are meaningless", WR_ARG(arg));
    return true;
}

bool wr_cf_networks(struct wr_cf *cf, uint32_t i, struct wr_networks *out)
{
    struct wr_cidr one;

    if (!wr_cf_network(cf, i, &one))
        return add_host(cf, i, out);
    *wr_vec_push(cf->pool, &out->list) = one;
    return true;
}
