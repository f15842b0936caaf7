/* listen_addr: the address of a listen directive: port, host, name, [IPv6], unix path, port range.
 * Called by wr_listen_conf; errors in nginx's words.
 *
 * A host name must resolve while the configuration is loaded: the listening sockets are made from
 * it. If a name has an address twice, one socket is made for it, where nginx reports an error. */
#include "listen/listen_impl.h"

#include <netdb.h>

static bool bad_address(struct wr_listen_addrs *w, const char *what)
{
    return wr_cf_error(w->cf, 1, "%s in \"" WR_FMT "\" of the \"listen\" directive", what,
                       WR_ARG(wr_cf_arg(w->cf, 1)));
}

static bool is_number(struct wr_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0;
}

static bool parse_port(struct wr_str s, uint16_t *out)
{
    uint64_t v;

    if (!wr_str_u64(s, &v) || v == 0 || v > UINT16_MAX)
        return false;
    *out = (uint16_t)v;
    return true;
}

/* "80" or "8000-8010". */
static bool take_ports(struct wr_listen_addrs *w, struct wr_str s)
{
    struct wr_str first = wr_str_cut(&s, '-');

    if (!parse_port(first, &w->first_port) || (s.p != NULL && !parse_port(s, &w->last_port)))
        return bad_address(w, "invalid port");
    if (s.p == NULL)
        w->last_port = w->first_port;
    if (w->last_port < w->first_port)
        return bad_address(w, "invalid port range");
    return true;
}

static bool is_port_range(struct wr_str s)
{
    struct wr_str first = wr_str_cut(&s, '-');

    return is_number(first) && (s.p == NULL || is_number(s));
}

static void add_addr(struct wr_listen_addrs *w, const struct wr_addr *a)
{
    for (uint32_t i = 0; i < w->addrs.n; i++)
        if (wr_addr_eq(&w->addrs.at[i], a))
            return;
    *wr_vec_push(w->cf->pool, &w->addrs) = *a;
}

static void add_wildcard(struct wr_listen_addrs *w)
{
    struct wr_addr a = { .in = { .sin_family = AF_INET }, .len = sizeof(a.in) };

    add_addr(w, &a);
}

static bool take_unix(struct wr_listen_addrs *w, struct wr_str path)
{
    struct wr_addr a;

    if (path.n == 0)
        return bad_address(w, "no path in the unix domain socket");
    if (path.n >= sizeof(a.un.sun_path))
        return bad_address(w, "too long path in the unix domain socket");
    if (!wr_addr_parse(wr_cf_arg(w->cf, 1), 0, &a))
        return bad_address(w, "invalid path");
    add_addr(w, &a);
    return true;
}

static bool take_ipv6(struct wr_listen_addrs *w, struct wr_str word)
{
    size_t end = wr_str_find(word, ']');
    struct wr_str rest = wr_str_skip(word, end + 1);
    struct wr_addr a;

    if (end == word.n || (rest.n > 0 && rest.p[0] != ':'))
        return bad_address(w, "invalid host");
    if (rest.n > 0 && !take_ports(w, wr_str_skip(rest, 1)))
        return false;
    if (!wr_addr_parse_ip(wr_str_of(word.p, end + 1), &a))
        return bad_address(w, "invalid IPv6 address");
    add_addr(w, &a);
    return true;
}

static void add_family(struct wr_listen_addrs *w, const struct addrinfo *found, int family)
{
    for (const struct addrinfo *i = found; i != NULL; i = i->ai_next) {
        struct wr_addr a = { .len = i->ai_addrlen };

        if (i->ai_family != family || i->ai_addrlen > sizeof(a.in6))
            continue;
        memcpy(&a.sa, i->ai_addr, i->ai_addrlen);
        add_addr(w, &a);
    }
}

/* Blocks in getaddrinfo: no loop runs while a configuration is loaded. AI_ADDRCONFIG leaves out
 * families the machine lacks ("::1 localhost" is in many hosts files of machines without IPv6). */
static bool take_name(struct wr_listen_addrs *w, struct wr_str name)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
    struct addrinfo *found = NULL;

    if (getaddrinfo(wr_pool_cstr(w->cf->pool, name), NULL, &hints, &found) != 0)
        return bad_address(w, "host not found");
    add_family(w, found, AF_INET);
    add_family(w, found, AF_INET6);
    freeaddrinfo(found);
    return w->addrs.n > 0 || bad_address(w, "host not found");
}

static bool take_host(struct wr_listen_addrs *w, struct wr_str word)
{
    struct wr_str host = word, ports;
    size_t colon = wr_str_find(word, ':');
    struct wr_addr a;

    if (wr_str_find(word, '/') < word.n || wr_str_find(word, '?') < word.n)
        return bad_address(w, "invalid host");
    if (colon == word.n && is_port_range(word)) {
        add_wildcard(w);
        return take_ports(w, word);
    }
    if (colon < word.n) {
        host.n = colon;
        ports = wr_str_skip(word, colon + 1);
        if (!take_ports(w, ports))
            return false;
    }
    if (host.n == 0)
        return bad_address(w, "no host");
    if (wr_str_is(host, "*"))
        add_wildcard(w);
    else if (wr_addr_parse_ip(host, &a))
        add_addr(w, &a);
    else
        return take_name(w, host);
    return true;
}

bool wr_listen_addrs_read(struct wr_listen_addrs *w, uint16_t default_port)
{
    struct wr_str word = wr_cf_arg(w->cf, 1), prefix = WR_STR("unix:");
    bool ok;

    if (wr_str_starts(word, prefix))
        return take_unix(w, wr_str_skip(word, prefix.n));
    ok = word.n > 0 && word.p[0] == '[' ? take_ipv6(w, word) : take_host(w, word);
    if (!ok)
        return false;
    if (w->first_port == 0) {
        if (default_port == 0)
            return bad_address(w, "no port");
        w->first_port = w->last_port = default_port;
    }
    return true;
}
