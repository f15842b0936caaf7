/* addr: socket addresses as text and back. The configuration, logs and upstreams call it; an
 * address is a value and owns nothing. Only literal addresses are parsed here: names are resolved
 * by the resolver, and a port without a host belongs to `listen`. */
#include "base/base.h"

#include <arpa/inet.h>

#define UNIX_PREFIX WR_STR("unix:")

static bool parse_inet(int family, struct wr_str s, struct wr_addr *out)
{
    char buf[INET6_ADDRSTRLEN];
    bool v6 = family == AF_INET6;

    /* inet_pton would stop at a zero byte and take "1.2.3.4\0anything" for an address. */
    if (s.n == 0 || s.n >= sizeof(buf) || wr_str_find(s, '\0') != s.n)
        return false;
    memcpy(buf, s.p, s.n);
    buf[s.n] = '\0';
    memset(out, 0, sizeof(*out));
    if (inet_pton(family, buf, v6 ? (void *)&out->in6.sin6_addr : &out->in.sin_addr) != 1)
        return false;
    out->sa.sa_family = (sa_family_t)family;
    out->len = v6 ? sizeof(out->in6) : sizeof(out->in);
    return true;
}

/* Brackets enclose IPv6 addresses only, as everywhere in nginx. */
static bool parse_brackets(struct wr_str s, struct wr_addr *out)
{
    return s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']' &&
           parse_inet(AF_INET6, wr_str_of(s.p + 1, s.n - 2), out);
}

static bool parse_unix(struct wr_str path, struct wr_addr *out)
{
    memset(out, 0, sizeof(*out));
    if (path.n == 0 || path.n >= sizeof(out->un.sun_path) || wr_str_find(path, '\0') != path.n)
        return false;
    out->un.sun_family = AF_UNIX;
    memcpy(out->un.sun_path, path.p, path.n);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
    return true;
}

bool wr_addr_parse_ip(struct wr_str s, struct wr_addr *out)
{
    return parse_inet(AF_INET, s, out) || parse_inet(AF_INET6, s, out) || parse_brackets(s, out);
}

static bool parse_port(struct wr_str s, uint16_t *out)
{
    uint64_t v;

    if (s.n > 5 || !wr_str_u64(s, &v) || v == 0 || v > UINT16_MAX)
        return false;
    *out = (uint16_t)v;
    return true;
}

bool wr_addr_parse(struct wr_str s, uint16_t default_port, struct wr_addr *out)
{
    uint16_t port = default_port;
    size_t colon;
    bool ok;

    if (wr_str_starts(s, UNIX_PREFIX))
        return parse_unix(wr_str_skip(s, UNIX_PREFIX.n), out);
    /* Colons inside brackets do not begin a port. */
    colon = wr_str_rfind(s, ':');
    if (s.n > 0 && s.p[s.n - 1] == ']')
        colon = s.n;
    if (colon < s.n && !parse_port(wr_str_skip(s, colon + 1), &port))
        return false;
    s.n = colon;
    if (wr_str_is(s, "*"))
        s = WR_STR("0.0.0.0");
    ok = parse_inet(AF_INET, s, out) || parse_brackets(s, out);
    if (ok)
        wr_addr_set_port(out, port);
    return ok;
}

/* Unnamed and abstract sockets have no path; a path need not end in a zero. */
static struct wr_str unix_path(const struct wr_addr *a)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t room = a->len > head ? a->len - head : 0;

    return wr_str_of(a->un.sun_path, strnlen(a->un.sun_path, wr_min(room, sizeof(a->un.sun_path))));
}

static void text_inet(int family, const void *bytes, struct wr_text *t)
{
    const unsigned char *b = bytes;
    char buf[INET6_ADDRSTRLEN];

    if (family == AF_INET) { /* inet_ntop is slow here: it formats with sprintf */
        for (int i = 0; i < 4; i++) {
            wr_text_c(t, i > 0 ? "." : "");
            wr_text_u64(t, b[i]);
        }
        return;
    }
    if (inet_ntop(family, bytes, buf, sizeof(buf)) != NULL)
        wr_text_c(t, buf);
}

void wr_addr_text_ip(const struct wr_addr *a, struct wr_text *t)
{
    if (a->len == 0)
        return;
    if (a->sa.sa_family == AF_UNIX)
        wr_text_str(t, UNIX_PREFIX);
    else
        text_inet(a->sa.sa_family, wr_addr_bytes(a).p, t);
}

void wr_addr_text(const struct wr_addr *a, struct wr_text *t)
{
    bool v6 = a->len > 0 && a->sa.sa_family == AF_INET6;

    if (a->len == 0)
        return;
    if (v6)
        wr_text_char(t, '[');
    wr_addr_text_ip(a, t);
    if (v6)
        wr_text_char(t, ']');
    if (a->sa.sa_family == AF_UNIX) {
        wr_text_str(t, unix_path(a));
    } else {
        wr_text_char(t, ':');
        wr_text_u64(t, wr_addr_port(a));
    }
}

uint16_t wr_addr_port(const struct wr_addr *a)
{
    if (a->len == 0)
        return 0;
    switch (a->sa.sa_family) {
    case AF_INET:
        return ntohs(a->in.sin_port);
    case AF_INET6:
        return ntohs(a->in6.sin6_port);
    default:
        return 0;
    }
}

void wr_addr_set_port(struct wr_addr *a, uint16_t port)
{
    if (a->len == 0)
        return;
    if (a->sa.sa_family == AF_INET)
        a->in.sin_port = htons(port);
    else if (a->sa.sa_family == AF_INET6)
        a->in6.sin6_port = htons(port);
}

bool wr_addr_eq(const struct wr_addr *a, const struct wr_addr *b)
{
    if (a->len == 0 || b->len == 0)
        return a->len == b->len;
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_UNIX)
        return wr_str_eq(unix_path(a), unix_path(b));
    if (a->sa.sa_family == AF_INET6 && a->in6.sin6_scope_id != b->in6.sin6_scope_id)
        return false;
    return wr_addr_port(a) == wr_addr_port(b) && wr_str_eq(wr_addr_bytes(a), wr_addr_bytes(b));
}

bool wr_addr_wildcard(const struct wr_addr *a)
{
    if (a->len == 0)
        return false;
    if (a->sa.sa_family == AF_INET)
        return a->in.sin_addr.s_addr == htonl(INADDR_ANY);
    return a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

/* Hash the bytes and the port only, never the struct: padding and flow labels do not identify an
 * address. */
uint64_t wr_addr_hash(const struct wr_addr *a)
{
    if (a->len == 0)
        return 0;
    if (a->sa.sa_family == AF_UNIX)
        return wr_hash_stable(unix_path(a), AF_UNIX);
    return wr_hash_stable(wr_addr_bytes(a),
                          (uint64_t)wr_addr_port(a) << 16 | (uint64_t)a->sa.sa_family);
}

struct wr_str wr_addr_bytes(const struct wr_addr *a)
{
    if (a->len == 0)
        return wr_str_of(NULL, 0);
    switch (a->sa.sa_family) {
    case AF_INET:
        return wr_str_of((const char *)&a->in.sin_addr, 4);
    case AF_INET6:
        return wr_str_of((const char *)&a->in6.sin6_addr, 16);
    default:
        return wr_str_of(NULL, 0);
    }
}

bool wr_is_host_name(struct wr_str s)
{
    if (s.n == 0 || s.n > WR_HOST_NAME_MAX || s.p[0] == '.')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!wr_is_word_char(c) && c != '-' && c != '.')
            return false;
        if (c == '.' && i + 1 < s.n && s.p[i + 1] == '.')
            return false;
    }
    return true;
}
