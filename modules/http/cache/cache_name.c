/* cache_name: the names of stored objects, and the folders that they lie in. Owns an MD5 of its own
 * (RFC 1321): names need no strength, and OpenSSL has none where only FIPS 140 is allowed. A client
 * who makes two keys of one digest gets a miss for each: readers compare the whole key. Pure. */
#include "cache_object.h"

#include <endian.h>

struct md5 {
    uint32_t s[4];
    uint64_t n;               /* bytes taken */
    unsigned char block[64];  /* the last n % 64 of them */
};

/* 2^32 * |sin(i + 1)| */
static const uint32_t sines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a,
    0xa8304613, 0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be,
    0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340,
    0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8,
    0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c,
    0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa,
    0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92,
    0xffeff47d, 0x85845dd1, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
    0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};
static const uint8_t turns[4][4] = {
    { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 },
};

static inline uint32_t rotate_left(uint32_t v, unsigned bits)
{
    return v << bits | v >> (32 - bits);
}

static inline uint32_t mix_words(unsigned round, const uint32_t s[static 4])
{
    switch (round) {
    case 0:
        return (s[1] & s[2]) | (~s[1] & s[3]);
    case 1:
        return (s[1] & s[3]) | (s[2] & ~s[3]);
    case 2:
        return s[1] ^ s[2] ^ s[3];
    default:
        return s[2] ^ (s[1] | ~s[3]);
    }
}

static void take_block(struct md5 *m, const unsigned char *p)
{
    static const uint8_t from[4] = { 0, 1, 5, 0 }, step[4] = { 1, 5, 3, 7 };
    uint32_t word[16], s[4];

    memcpy(word, p, sizeof(word));
    memcpy(s, m->s, sizeof(s));
#pragma GCC unroll 64 /* then the compiler computes what depends on i alone: a third of the time */
    for (unsigned i = 0; i < 64; i++) {
        const unsigned round = i / 16, k = (from[round] + step[round] * i) % 16;
        const uint32_t v = s[0] + mix_words(round, s) + sines[i] + le32toh(word[k]);

        s[0] = s[3];
        s[3] = s[2];
        s[2] = s[1];
        s[1] += rotate_left(v, turns[round][i % 4]);
    }
    for (unsigned i = 0; i < 4; i++)
        m->s[i] += s[i];
}

static void take_bytes(struct md5 *m, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    while (n > 0) {
        const size_t at = m->n % 64, piece = wr_min(n, 64 - at);

        if (piece == 64) {
            take_block(m, p);
        } else {
            memcpy(m->block + at, p, piece);
            if (at + piece == 64)
                take_block(m, m->block);
        }
        m->n += piece;
        p += piece;
        n -= piece;
    }
}

static struct wr_cache_name end_digest(struct md5 *m)
{
    static const unsigned char end[64] = { 0x80 };
    const uint64_t bits = htole64(m->n * 8);
    struct wr_cache_name name;

    take_bytes(m, end, (119 - m->n % 64) % 64 + 1);
    take_bytes(m, &bits, sizeof(bits));
    for (unsigned i = 0; i < 4; i++)
        m->s[i] = htole32(m->s[i]);
    memcpy(name.digest, m->s, sizeof(name.digest));
    return name;
}

struct wr_cache_name wr_cache_name_of(struct wr_str key, uint64_t variant)
{
    struct md5 m = { .s = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 } };
    const uint64_t number = htole64(variant);

    take_bytes(&m, key.p, key.n);
    if (variant != 0)
        take_bytes(&m, &number, sizeof(number));
    return end_digest(&m);
}

/* ---- as text ---- */

void wr_cache_path(const struct wr_cache_name *name, const uint8_t levels[static 3],
                   char out[static WR_CACHE_PATH_MAX])
{
    static const char digits[16] = "0123456789abcdef";
    char hex[WR_CACHE_HEX];
    size_t end = sizeof(hex), n = 0;

    for (size_t i = 0; i < sizeof(hex); i++)
        hex[i] = digits[name->digest[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
    for (size_t i = 0; i < 3 && (levels[i] == 1 || levels[i] == 2); i++) {
        end -= levels[i];
        out[n++] = hex[end];
        if (levels[i] == 2)
            out[n++] = hex[end + 1];
        out[n++] = '/';
    }
    memcpy(out + n, hex, sizeof(hex));
    out[n + sizeof(hex)] = '\0';
}

static int digit_of(char c)
{
    return c >= 'A' && c <= 'F' ? -1 : wr_hex_digit(c);
}

bool wr_cache_name_parse(struct wr_str hex, struct wr_cache_name *out)
{
    if (hex.n != WR_CACHE_HEX)
        return false;
    for (size_t i = 0; i < sizeof(out->digest); i++) {
        int high = digit_of(hex.p[2 * i]), low = digit_of(hex.p[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out->digest[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
