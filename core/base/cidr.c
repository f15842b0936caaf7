/* cidr: address ranges, parsed and matched. allow, deny, geo, realip and debug_connection call it;
 * a range is a value. */
#include "base/base.h"

static void fill_mask(uint8_t mask[static 16], unsigned bits)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned here = bits > i * 8 ? wr_min(bits - i * 8, 8U) : 0;

        mask[i] = (uint8_t)(0xff00U >> here);
    }
}

bool wr_cidr_parse(struct wr_str s, struct wr_cidr *out)
{
    struct wr_str rest = s, host = wr_str_cut(&rest, '/'), bytes;
    struct wr_addr a;
    uint64_t bits;

    memset(out, 0, sizeof(*out));
    if (wr_str_is(s, "unix:")) {
        out->family = AF_UNIX;
        return true;
    }
    /* Brackets are for addresses with a port; a range has none. */
    if (host.n == 0 || *host.p == '[' || !wr_addr_parse_ip(host, &a))
        return false;
    bytes = wr_addr_bytes(&a);
    bits = bytes.n * 8;
    /* "10.0.0.0/": the text behind the slash is empty, which is not a number. */
    if (rest.p != NULL && (rest.n > 3 || !wr_str_u64(rest, &bits) || bits > bytes.n * 8))
        return false;
    out->family = a.sa.sa_family;
    fill_mask(out->mask, (unsigned)bits);
    for (size_t i = 0; i < bytes.n; i++) {
        uint8_t byte = (uint8_t)bytes.p[i];

        out->addr[i] = byte & out->mask[i];
        out->host_bits = out->host_bits || out->addr[i] != byte;
    }
    return true;
}

bool wr_cidr_match(const struct wr_cidr *c, const struct wr_addr *a)
{
    struct wr_str bytes = wr_addr_bytes(a);
    int family = a->len == 0 ? AF_UNSPEC : a->sa.sa_family;

    if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)) {
        family = AF_INET;
        bytes = wr_str_skip(bytes, 12);
    }
    if (family != c->family)
        return false;
    for (size_t i = 0; i < bytes.n; i++) {
        if (((uint8_t)bytes.p[i] & c->mask[i]) != c->addr[i])
            return false;
    }
    return true;
}

bool wr_networks_have(const struct wr_networks *n, const struct wr_addr *a)
{
    for (uint32_t i = 0; i < n->list.n; i++)
        if (wr_cidr_match(&n->list.at[i], a))
            return true;
    return false;
}
