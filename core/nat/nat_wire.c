/* nat_wire: the messages in which the keeper tells the nat process the peers of a group. The keeper
 * has fewer rights than its reader, which checks all of them. Pure. */
#include "nat/nat_impl.h"

#define MAGIC 0x77726e31     /* "wrn1" */

/* Numbers in network order: magic, group, count; then of each peer: family 4 or 6, rank, usable, 0,
 * port, 0, weight, 16 bytes of address. */
#define HEAD 12
#define RECORD 28

static void put_number(struct wr_text *t, uint64_t v, unsigned bytes)
{
    while (bytes > 0)
        wr_text_char(t, (char)(v >> (--bytes * 8) & 255));
}

static void put_peer(struct wr_text *t, const struct wr_nat_peer *p)
{
    struct wr_str bytes = wr_addr_bytes(&p->addr);

    put_number(t, bytes.n == 4 ? 4 : 6, 1);
    put_number(t, p->backup, 1);
    put_number(t, p->usable, 1);
    put_number(t, 0, 1);
    put_number(t, wr_addr_port(&p->addr), 2);
    put_number(t, 0, 2);
    put_number(t, p->weight, 4);
    wr_text_str(t, bytes);
    for (size_t i = bytes.n; i < 16; i++)
        wr_text_char(t, 0);
}

char *wr_nat_wire_write(uint32_t group, const struct wr_nat_peer *peers, uint32_t n, size_t *size)
{
    size_t room = HEAD + (size_t)n * RECORD;
    char *buf = wr_malloc(room);
    struct wr_text t = wr_text_on(buf, room);

    put_number(&t, MAGIC, 4);
    put_number(&t, group, 4);
    put_number(&t, n, 4);
    for (uint32_t i = 0; i < n; i++)
        put_peer(&t, &peers[i]);
    *size = t.n;
    return buf;
}

static bool take_peer(struct wr_scan *s, struct wr_nat_peer *p)
{
    uint8_t family = wr_scan_u8(s), backup = wr_scan_u8(s), usable = wr_scan_u8(s);
    uint16_t port;
    struct wr_str bytes;

    (void)wr_scan_skip(s, 1);
    port = wr_scan_u16(s);
    (void)wr_scan_skip(s, 2);
    *p = (struct wr_nat_peer){ .backup = backup != 0, .usable = usable != 0 };
    p->weight = wr_scan_u32(s);
    bytes = wr_scan_take(s, 16);
    if (s->bad || (family != 4 && family != 6) || port == 0 || p->weight == 0)
        return false;
    if (family == 4) {
        p->addr.in.sin_family = AF_INET;
        p->addr.len = sizeof(p->addr.in);
        memcpy(&p->addr.in.sin_addr, bytes.p, 4);
    } else {
        p->addr.in6.sin6_family = AF_INET6;
        p->addr.len = sizeof(p->addr.in6);
        memcpy(&p->addr.in6.sin6_addr, bytes.p, 16);
    }
    wr_addr_set_port(&p->addr, port);
    return true;
}

bool wr_nat_wire_read(struct wr_str text, uint32_t *group, struct wr_nat_list *out)
{
    struct wr_scan s = wr_scan_of(text.p, text.n);
    bool ok = wr_scan_u32(&s) == MAGIC;

    *group = wr_scan_u32(&s);
    *out = (struct wr_nat_list){ .n = wr_scan_u32(&s), .known = true };
    if (!ok || s.bad || out->n > WR_NAT_PEERS_MAX || wr_scan_left(&s) != (size_t)out->n * RECORD)
        return false;
    out->at = wr_calloc(out->n + 1, sizeof(*out->at));
    for (uint32_t i = 0; i < out->n && ok; i++)
        ok = take_peer(&s, &out->at[i]);
    if (!ok) {
        free(out->at);
        out->at = NULL;
    }
    return ok;
}
