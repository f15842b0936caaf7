/* hash: hash functions and the fast random numbers. The tables, balancers and zones call it; it
 * owns the seeds. A peer may choose the texts that wr_hash hashes, so that function has a secret
 * key (SipHash-1-3). */
#include "base/base_impl.h"

#include <pthread.h>
#include <sys/random.h>

static uint64_t seed[2];
static _Thread_local uint64_t random_state;
static _Thread_local bool random_seeded;

static void random_bytes(void *p, size_t n)
{
    struct timespec now;
    uint64_t v;

    if (getrandom(p, n, 0) == (ssize_t)n)
        return;
    /* No getrandom in this kernel: unpredictable enough for tables, never used for secrets. */
    (void)clock_gettime(CLOCK_REALTIME, &now);
    v = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15U ^ (uint64_t)(uintptr_t)p;
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)p)[i] = (unsigned char)(v >> (i % 8 * 8));
}

/* A forked worker must not draw the same numbers as its siblings. */
static void after_fork(void)
{
    random_seeded = false;
}

/* Runs before main, so that no function here has to check whether the seeds are set. */
__attribute__((constructor)) static void hash_init(void)
{
    random_bytes(seed, sizeof(seed));
    (void)pthread_atfork(NULL, NULL, after_fork);
}

static inline uint64_t rotate_left(uint64_t v, int bits)
{
    return v << bits | v >> (64 - bits);
}

/* The round of Aumasson and Bernstein's paper; 1-3 means one per word and three at the end, which
 * is what hash tables of other languages settled on. */
static inline void sip_round(uint64_t v[static 4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] = rotate_left(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[2] = rotate_left(v[2], 32);
}

static inline void sip_word(uint64_t v[static 4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

static uint64_t siphash_13(struct wr_str s, uint64_t k0, uint64_t k1)
{
    uint64_t v[4] = { k0 ^ 0x736f6d6570736575U, k1 ^ 0x646f72616e646f6dU,
                      k0 ^ 0x6c7967656e657261U, k1 ^ 0x7465646279746573U };
    uint64_t length = (uint64_t)s.n << 56;

    for (; s.n >= 8; s = wr_str_of(s.p + 8, s.n - 8))
        sip_word(v, wr_word_load(s.p));
    sip_word(v, wr_word_tail(s.p, s.n) | length);
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t wr_hash(struct wr_str s)
{
    return siphash_13(s, seed[0], seed[1]);
}

uint64_t wr_hash_stable(struct wr_str s, uint64_t stable_seed)
{
    return siphash_13(s, stable_seed, 0x77656972U);
}

uint32_t wr_murmur2(struct wr_str s)
{
    const uint32_t m = 0x5bd1e995U;
    uint32_t h = (uint32_t)s.n, k;

    for (; s.n >= 4; s = wr_str_of(s.p + 4, s.n - 4)) {
        k = wr_word_load4(s.p) * m;
        k = (k ^ k >> 24) * m;
        h = h * m ^ k;
    }
    if (s.n > 0)
        h = (h ^ (uint32_t)wr_word_tail(s.p, s.n)) * m;
    h = (h ^ h >> 13) * m;
    return h ^ h >> 15;
}

void wr_random_reseed(void)
{
    random_seeded = false;
}

uint64_t wr_random(void)
{
    uint64_t v;

    if (wr_unlikely(!random_seeded)) {
        random_bytes(&random_state, sizeof(random_state));
        random_seeded = true;
    }
    /* splitmix64: any seed will do, and a step is five operations. */
    v = random_state += 0x9e3779b97f4a7c15U;
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9U;
    v = (v ^ v >> 27) * 0x94d049bb133111ebU;
    return v ^ v >> 31;
}
