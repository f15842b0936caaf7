/* hash: hash functions and the fast random numbers. The tables, balancers and zones call it; it owns
 * the seeds. wr_hash meets keys a peer chose, so it is keyed (SipHash-1-3) and the key is secret. */
#include "base/base.h"

#include <endian.h>
#include <pthread.h>
#include <sys/random.h>

static uint64_t seed[2];
static uint32_t crc_table[256];
static _Thread_local uint64_t random_state;
static _Thread_local bool random_seeded;

static void random_bytes(void *p, size_t n)
{
    struct timespec now;
    uint64_t v;

    if (getrandom(p, n, 0) == (ssize_t)n)
        return;
    /* A kernel without getrandom: unpredictable enough for tables, never used for secrets. */
    (void)clock_gettime(CLOCK_REALTIME, &now);
    v = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15U ^ (uint64_t)(uintptr_t)p;
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)p)[i] = (unsigned char)(v >> (i % 8 * 8));
}

/* A forked worker must not repeat its sister's numbers. */
static void forked(void)
{
    random_seeded = false;
}

__attribute__((constructor)) static void hash_init(void)
{
    random_bytes(seed, sizeof(seed));
    (void)pthread_atfork(NULL, NULL, forked);
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int bit = 0; bit < 8; bit++)
            c = c >> 1 ^ (0xedb88320U & (0U - (c & 1)));
        crc_table[i] = c;
    }
}

static inline uint64_t rotl(uint64_t v, int bits)
{
    return v << bits | v >> (64 - bits);
}

static inline void sip_round(uint64_t v[static 4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

static inline void sip_word(uint64_t v[static 4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

static uint64_t sip13(struct wr_str s, uint64_t k0, uint64_t k1)
{
    uint64_t v[4] = { k0 ^ 0x736f6d6570736575U, k1 ^ 0x646f72616e646f6dU,
                      k0 ^ 0x6c7967656e657261U, k1 ^ 0x7465646279746573U };
    size_t at = 0;
    uint64_t word;

    for (; s.n - at >= 8; at += 8) {
        memcpy(&word, s.p + at, 8);
        sip_word(v, le64toh(word));
    }
    word = 0;
    if (s.n > at)
        memcpy(&word, s.p + at, s.n - at);
    sip_word(v, le64toh(word) | (uint64_t)s.n << 56);
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t wr_hash(struct wr_str s)
{
    return sip13(s, seed[0], seed[1]);
}

uint64_t wr_hash_stable(struct wr_str s, uint64_t stable_seed)
{
    return sip13(s, stable_seed, 0x77656972U);
}

uint32_t wr_crc32(uint32_t crc, const void *p, size_t n)
{
    const unsigned char *at = p;

    crc = ~crc;
    for (size_t i = 0; i < n; i++)
        crc = crc_table[(crc ^ at[i]) & 0xff] ^ crc >> 8;
    return ~crc;
}

uint32_t wr_murmur2(struct wr_str s)
{
    const uint32_t m = 0x5bd1e995U;
    uint32_t h = (uint32_t)s.n, k;
    size_t at = 0;

    for (; s.n - at >= 4; at += 4) {
        memcpy(&k, s.p + at, 4);
        k = le32toh(k) * m;
        k = (k ^ k >> 24) * m;
        h = h * m ^ k;
    }
    if (s.n > at) {
        k = 0;
        memcpy(&k, s.p + at, s.n - at);
        h = (h ^ le32toh(k)) * m;
    }
    h = (h ^ h >> 13) * m;
    return h ^ h >> 15;
}

uint64_t wr_random(void)
{
    uint64_t v;

    if (wr_unlikely(!random_seeded)) {
        random_bytes(&random_state, sizeof(random_state));
        random_seeded = true;
    }
    v = random_state += 0x9e3779b97f4a7c15U;
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9U;
    v = (v ^ v >> 27) * 0x94d049bb133111ebU;
    return v ^ v >> 31;
}
