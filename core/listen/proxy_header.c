/* proxy_header: the header of the PROXY protocol, versions 1 and 2, by which a proxy passes on the
 * client's address (HAProxy's proxy-protocol.txt, 2.1 and 2.2). Pure: bytes to struct, and back.
 * Called by proxy_protocol (reads) and announce (writes). */
#include "listen/listen.h"

#define V1_MAX 107            /* "Any line longer than 107 characters is invalid" */
#define V2_SIGNATURE WR_STR("\r\n\r\n\0\r\nQUIT\n")
#define V2_FIXED 16
#define SSL_FIXED 5           /* PP2_TYPE_SSL before its own TLVs: flags, result of verification */

static enum wr_proxy_found refuse_header(struct wr_proxy_header *h, const char *why)
{
    h->why = why;
    return WR_PROXY_BAD;
}

/* ---- version 1: a line ---- */

static bool take_ip(struct wr_str *line, int family, struct wr_addr *out)
{
    struct wr_str word = wr_str_cut(line, ' ');

    return word.n > 0 && word.p[0] != '[' && wr_addr_parse_ip(word, out)
        && out->sa.sa_family == family;
}

static bool take_port(struct wr_str *line, struct wr_addr *a)
{
    struct wr_str word = wr_str_cut(line, ' ');
    uint64_t v;

    if (word.n > 5 || (word.n > 1 && word.p[0] == '0') || !wr_str_u64(word, &v) || v > UINT16_MAX)
        return false;
    wr_addr_set_port(a, (uint16_t)v);
    return true;
}

/* "TCP4 192.0.2.1 192.0.2.2 56324 443", with single spaces. */
static bool parse_line(struct wr_str line, struct wr_proxy_header *h)
{
    struct wr_str word = wr_str_cut(&line, ' ');
    int family = wr_str_is(word, "TCP4") ? AF_INET : AF_INET6;

    if (wr_str_is(word, "UNKNOWN")) /* the rest must be ignored */
        return true;
    return (wr_str_is(word, "TCP4") || wr_str_is(word, "TCP6"))
        && take_ip(&line, family, &h->source) && take_ip(&line, family, &h->destination)
        && take_port(&line, &h->source) && take_port(&line, &h->destination) && line.p == NULL;
}

/* True: `in` begins with the text, or is the beginning of it. */
static bool may_begin_with(struct wr_str in, struct wr_str with)
{
    return memcmp(in.p, with.p, wr_min(in.n, with.n)) == 0;
}

static enum wr_proxy_found parse_v1(struct wr_str in, struct wr_proxy_header *h)
{
    struct wr_str whole = wr_str_of(in.p, wr_min(in.n, (size_t)V1_MAX));
    struct wr_str rest = wr_str_skip(whole, wr_min(whole.n, (size_t)6));
    size_t end = wr_str_find(whole, '\n');

    if (rest.n > 0 && !may_begin_with(rest, WR_STR("TCP"))
        && !may_begin_with(rest, WR_STR("UNKNOWN")))
        return refuse_header(h, "not well-formed");
    if (end == whole.n)
        return in.n < V1_MAX ? WR_PROXY_MORE : refuse_header(h, "too long a line");
    if (whole.p[end - 1] != '\r' || !parse_line(wr_str_of(whole.p + 6, end - 7), h))
        return refuse_header(h, "not well-formed");
    h->size = end + 1;
    return WR_PROXY_OK;
}

/* ---- version 2: binary ---- */

static struct wr_addr scan_ip(struct wr_scan *s, int family)
{
    struct wr_addr a = { .sa.sa_family = (sa_family_t)family };
    bool v6 = family == AF_INET6;
    struct wr_str bytes = wr_scan_take(s, v6 ? 16 : 4);

    if (s->bad)
        return a;
    memcpy(v6 ? (void *)&a.in6.sin6_addr : &a.in.sin_addr, bytes.p, bytes.n);
    a.len = v6 ? sizeof(a.in6) : sizeof(a.in);
    return a;
}

static bool scan_addresses(struct wr_scan *s, int family, struct wr_proxy_header *h)
{
    h->source = scan_ip(s, family);
    h->destination = scan_ip(s, family);
    wr_addr_set_port(&h->source, wr_scan_u16(s));
    wr_addr_set_port(&h->destination, wr_scan_u16(s));
    return !s->bad;
}

/* LOCAL (a health check of the proxy) and families other than TCP over IP carry no client address.
 * They must be accepted; the connection's own address counts then. */
static enum wr_proxy_found parse_v2(struct wr_str in, struct wr_proxy_header *h)
{
    struct wr_scan s = wr_scan_of(in.p, in.n);
    uint8_t version, family;

    (void)wr_scan_skip(&s, V2_SIGNATURE.n);
    version = wr_scan_u8(&s);
    family = wr_scan_u8(&s);
    h->size = wr_scan_u16(&s) + (size_t)V2_FIXED;
    if (s.bad)
        return WR_PROXY_MORE;
    if (version != 0x20 && version != 0x21)
        return refuse_header(h, "of an unknown version or command");
    if (h->size > WR_PROXY_MAX)
        return refuse_header(h, "too large");
    if (in.n < h->size)
        return WR_PROXY_MORE;
    s.end = s.p + (h->size - V2_FIXED);
    if (version == 0x20 || (family != 0x11 && family != 0x21))
        return WR_PROXY_OK;
    if (!scan_addresses(&s, family == 0x11 ? AF_INET : AF_INET6, h))
        return refuse_header(h, "too short for its addresses");
    h->tlvs = wr_scan_take(&s, wr_scan_left(&s));
    return WR_PROXY_OK;
}

enum wr_proxy_found wr_proxy_header_parse(struct wr_str in, struct wr_proxy_header *out)
{
    *out = (struct wr_proxy_header){ 0 };
    if (in.n == 0)
        return WR_PROXY_MORE;
    if (may_begin_with(in, WR_STR("PROXY ")))
        return parse_v1(in, out);
    if (may_begin_with(in, V2_SIGNATURE))
        return parse_v2(in, out);
    return refuse_header(out, "not a PROXY header");
}

/* ---- TLVs of version 2 ---- */

static bool find_tlv(struct wr_str list, uint8_t type, struct wr_str *out)
{
    struct wr_scan s = wr_scan_of(list.p, list.n);

    while (wr_scan_left(&s) > 0) {
        uint8_t t = wr_scan_u8(&s);
        struct wr_str v = wr_scan_take(&s, wr_scan_u16(&s));

        if (s.bad)
            return false;
        if (t == type) {
            *out = v;
            return true;
        }
    }
    return false;
}

struct tlv_name {
    const char *name;
    uint8_t type;
};
static const struct tlv_name tlv_names[] = {
    { "alpn", 0x01 }, { "authority", 0x02 }, { "unique_id", 0x05 }, { "ssl", 0x20 },
    { "netns", 0x30 }, { 0 },
};
static const struct tlv_name ssl_names[] = {
    { "version", 0x21 }, { "cn", 0x22 }, { "cipher", 0x23 }, { "sig_alg", 0x24 },
    { "key_alg", 0x25 }, { 0 },
};

/* "0x3", "0x000ae" */
static bool parse_hex_type(struct wr_str s, uint8_t *out)
{
    unsigned v = 0;

    if (s.n < 3 || !wr_str_starts(s, WR_STR("0x")))
        return false;
    for (size_t i = 2; i < s.n && v <= UINT8_MAX; i++) {
        int digit = wr_hex_digit(s.p[i]);

        if (digit < 0)
            return false;
        v = v << 4 | (unsigned)digit;
    }
    *out = (uint8_t)v;
    return v <= UINT8_MAX;
}

static bool find_type(const struct tlv_name *table, struct wr_str name, uint8_t *out)
{
    for (; table->name != NULL; table++) {
        if (wr_str_is(name, table->name)) {
            *out = table->type;
            return true;
        }
    }
    return parse_hex_type(name, out);
}

static bool find_ssl_tlv(struct wr_pool *pool, struct wr_str tlvs, struct wr_str name,
                         struct wr_str *out)
{
    struct wr_str ssl;
    struct wr_scan s;
    uint8_t type;

    if (!find_tlv(tlvs, 0x20, &ssl) || ssl.n < SSL_FIXED)
        return false;
    s = wr_scan_of(ssl.p, ssl.n);
    (void)wr_scan_u8(&s);
    if (wr_str_is(name, "verify")) {
        *out = wr_pool_fmt(pool, "%u", wr_scan_u32(&s));
        return true;
    }
    return find_type(ssl_names, name, &type) && find_tlv(wr_str_skip(ssl, SSL_FIXED), type, out);
}

bool wr_proxy_tlv(struct wr_pool *pool, struct wr_str tlvs, struct wr_str name, struct wr_str *out)
{
    struct wr_str ssl = WR_STR("ssl_");
    uint8_t type;

    if (wr_str_starts(name, ssl))
        return find_ssl_tlv(pool, tlvs, wr_str_skip(name, ssl.n), out);
    return find_type(tlv_names, name, &type) && find_tlv(tlvs, type, out);
}

/* ---- writing ---- */

void wr_proxy_header_write(struct wr_text *t, const struct wr_addr *source,
                           const struct wr_addr *destination)
{
    int family = source->len > 0 ? source->sa.sa_family : AF_UNSPEC;

    if ((family != AF_INET && family != AF_INET6) || destination->len == 0
        || destination->sa.sa_family != family) {
        wr_text_c(t, "PROXY UNKNOWN\r\n");
        return;
    }
    wr_text_c(t, family == AF_INET ? "PROXY TCP4 " : "PROXY TCP6 ");
    wr_addr_text_ip(source, t);
    wr_text_char(t, ' ');
    wr_addr_text_ip(destination, t);
    wr_text_fmt(t, " %u %u\r\n", wr_addr_port(source), wr_addr_port(destination));
}

void wr_proxy_tlv_put(struct wr_text *t, uint8_t type, struct wr_str value)
{
    const char head[3] = { (char)type, (char)(value.n >> 8), (char)value.n };

    wr_text_str(t, wr_str_of(head, sizeof(head)));
    wr_text_str(t, value);
}

static void put_u16(struct wr_text *t, size_t v)
{
    const char bytes[2] = { (char)(v >> 8), (char)v };

    wr_text_str(t, wr_str_of(bytes, sizeof(bytes)));
}

static void put_ip(struct wr_text *t, const struct wr_addr *a)
{
    if (a->sa.sa_family == AF_INET)
        wr_text_str(t, wr_str_of((const char *)&a->in.sin_addr, 4));
    else
        wr_text_str(t, wr_str_of((const char *)&a->in6.sin6_addr, 16));
}

/* CRC-32C (Castagnoli), reflected. A header is short: no table is worth its memory. */
static uint32_t crc32c_of(struct wr_str s)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < s.n; i++) {
        crc ^= (unsigned char)s.p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

/* Over the whole header, with zeros in its own place. */
static void put_checksum(struct wr_text *t)
{
    uint32_t crc;

    wr_proxy_tlv_put(t, 0x03, wr_str_of("\0\0\0\0", 4));
    if (t->overflow)
        return;
    crc = crc32c_of(wr_text_view(t));
    for (unsigned i = 0; i < 4; i++)
        t->p[t->n - 4 + i] = (char)(crc >> (24 - 8 * i));
}

void wr_proxy_header_write2(struct wr_text *t, const struct wr_addr *source,
                            const struct wr_addr *destination, struct wr_str tlvs, bool crc32c)
{
    sa_family_t family = source->len > 0 ? source->sa.sa_family : AF_UNSPEC;
    bool ip = (family == AF_INET || family == AF_INET6) && destination->len > 0
           && destination->sa.sa_family == family;
    size_t size = tlvs.n + (crc32c ? 7 : 0);

    if (ip)
        size += family == AF_INET ? 12 : 36;
    wr_text_str(t, V2_SIGNATURE);
    wr_text_char(t, 0x21);
    wr_text_char(t, !ip ? 0 : family == AF_INET ? 0x11 : 0x21);
    put_u16(t, size);
    if (ip) {
        put_ip(t, source);
        put_ip(t, destination);
        put_u16(t, wr_addr_port(source));
        put_u16(t, wr_addr_port(destination));
    }
    wr_text_str(t, tlvs);
    if (crc32c)
        put_checksum(t);
}
