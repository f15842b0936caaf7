/* Private to base: up to eight bytes of text as one number, for the loops of base that hash and
 * compare; not for other folders. It owns nothing. The first byte is the lowest one on every
 * machine. */
#ifndef WR_BASE_IMPL_H
#define WR_BASE_IMPL_H

#include "base/base.h"

#include <endian.h>

static inline uint64_t wr_word_load(const char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

static inline uint32_t wr_word_load4(const char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

/* Fewer than eight bytes, zeros above them. Overlapping loads instead of a copy of unknown length,
 * which would be a call. */
static inline uint64_t wr_word_tail(const char *p, size_t n)
{
    const unsigned char *b = (const unsigned char *)p;

    if (n >= 4)
        return wr_word_load4(p) | (uint64_t)wr_word_load4(p + n - 4) << (n - 4) * 8;
    if (n == 0)
        return 0;
    return b[0] | (uint64_t)b[n / 2] << n / 2 * 8 | (uint64_t)b[n - 1] << (n - 1) * 8;
}

/* Folds eight letters at once: the high bit of a byte is set for "A" to "Z" and becomes 0x20. */
static inline uint64_t wr_word_lower(uint64_t v)
{
    const uint64_t ones = 0x0101010101010101U;
    uint64_t low = v & 0x7f * ones;
    uint64_t upper = ((low + (0x80 - 'A') * ones) ^ (low + (0x7f - 'Z') * ones)) & ~v & 0x80 * ones;

    return v | upper >> 2;
}

#endif
