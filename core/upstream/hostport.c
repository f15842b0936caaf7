/* hostport: splits and checks the "host:port" of server, proxy_pass and resolver lines. Pure. */
#include "upstream/upstream.h"

static bool is_host_char(char c)
{
    return wr_is_word_char(c) || c == '-' || c == '.';
}

static bool is_valid_host(struct wr_str h)
{
    if (h.n == 0 || h.n > 253 || h.p[0] == '.')
        return false;
    for (size_t i = 0; i < h.n; i++)
        if (!is_host_char(h.p[i]))
            return false;
    return true;
}

const char *wr_hostport_parse(struct wr_str s, uint16_t default_port, struct wr_hostport *out)
{
    size_t colon = wr_str_find(s, ':');
    struct wr_str port = wr_str_skip(s, colon + 1);
    uint64_t n = default_port;

    *out = (struct wr_hostport){ .port = default_port };
    if (s.n > 0 && (s.p[0] == '[' || wr_str_starts(s, WR_STR("unix:")))) {
        if (!wr_addr_parse(s, default_port, &out->addr))
            return s.p[0] == '[' ? "invalid IPv6 address" : "invalid path";
        out->port = wr_addr_port(&out->addr);
        out->host = s;
        return out->port == 0 && out->addr.sa.sa_family != AF_UNIX ? "no port" : NULL;
    }
    out->host = wr_str_of(s.p, wr_min(colon, s.n));
    if (colon < s.n && (!wr_str_u64(port, &n) || n == 0 || n > 65535))
        return "invalid port";
    out->port = (uint16_t)n;
    if (!is_valid_host(out->host))
        return out->host.n == 0 ? "no host" : "invalid host";
    if (wr_addr_parse_ip(out->host, &out->addr))
        wr_addr_set_port(&out->addr, out->port);
    return out->port == 0 ? "no port" : NULL;
}

struct wr_str wr_hostport_host(struct wr_str name)
{
    size_t end;

    if (name.n > 0 && name.p[0] == '[')
        return wr_str_of(name.p, wr_min(wr_str_find(name, ']') + 1, name.n));
    end = wr_str_find(name, ':');
    return end == wr_str_rfind(name, ':') ? wr_str_of(name.p, end) : name;
}
