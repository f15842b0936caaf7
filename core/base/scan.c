/* scan: the checked cursor over bytes off the wire. The wire parsers call it; it borrows the bytes.
 * A failed read latches, so that a parser may read a whole record and check `bad` once. */
#include "base/base.h"

/* All reads go through here: this is the only bounds check. */
static const unsigned char *take_bytes(struct wr_scan *s, size_t n)
{
    const unsigned char *at = s->p;

    if (s->bad || n > wr_scan_left(s)) {
        s->bad = true;
        return NULL;
    }
    if (n > 0)
        s->p += n;
    return at;
}

static uint32_t read_number(struct wr_scan *s, size_t n)
{
    const unsigned char *p = take_bytes(s, n);
    uint32_t v = 0;

    for (size_t i = 0; p != NULL && i < n; i++)
        v = v << 8 | p[i];
    return v;
}

uint8_t wr_scan_u8(struct wr_scan *s)
{
    return (uint8_t)read_number(s, 1);
}

uint16_t wr_scan_u16(struct wr_scan *s)
{
    return (uint16_t)read_number(s, 2);
}

uint32_t wr_scan_u24(struct wr_scan *s)
{
    return read_number(s, 3);
}

uint32_t wr_scan_u32(struct wr_scan *s)
{
    return read_number(s, 4);
}

struct wr_str wr_scan_take(struct wr_scan *s, size_t n)
{
    const unsigned char *p = take_bytes(s, n);

    return wr_str_of((const char *)p, p == NULL ? 0 : n);
}

bool wr_scan_skip(struct wr_scan *s, size_t n)
{
    (void)take_bytes(s, n);
    return !s->bad;
}
