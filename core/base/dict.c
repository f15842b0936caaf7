/* dict: names to pointers, an open-addressing table in a pool. The configuration fills it, requests
 * look names up. Keys are borrowed. They come from the administrator, so the hash is quick and not
 * keyed. It always folds case; the comparison then respects the case where that matters. */
#include "base/base_impl.h"

struct entry {
    struct wr_str key;
    void *value;              /* NULL: free */
    uint64_t hash;
};

struct wr_dict {
    struct wr_pool *pool;
    struct entry *entry;
    uint32_t n, mask;
    bool fold_case;
};

#define FIRST 16              /* entries, a power of two; at most half of them are used */

static inline uint64_t mix_words(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide r = (wide)a * b;

    return (uint64_t)r ^ (uint64_t)(r >> 64);
}

/* Setting 0x20 folds letters, but also some other bytes onto each other: those cost a
 * comparison. */
static uint64_t key_hash(struct wr_str s)
{
    const uint64_t lower = 0x2020202020202020U;
    uint64_t h = s.n + 0x9e3779b97f4a7c15U;

    for (; s.n >= 8; s = wr_str_of(s.p + 8, s.n - 8))
        h = mix_words(h ^ (wr_word_load(s.p) | lower), 0xd6e8feb86659fd93U);
    return mix_words(h ^ (wr_word_tail(s.p, s.n) | lower), 0xa0761d6478bd642fU);
}

struct wr_dict *wr_dict_new(struct wr_pool *p, bool fold_case)
{
    struct wr_dict *d = WR_NEW(p, struct wr_dict);

    d->pool = p;
    d->fold_case = fold_case;
    d->mask = FIRST - 1;
    d->entry = WR_NEW_ARRAY(p, struct entry, FIRST);
    return d;
}

/* The entry with this key, or the free one where it belongs: the table is never full. */
static struct entry *slot_of(const struct wr_dict *d, struct wr_str key, uint64_t hash)
{
    for (uint64_t i = hash;; i++) {
        struct entry *e = &d->entry[i & d->mask];

        if (e->value == NULL)
            return e;
        if (e->hash == hash && (d->fold_case ? wr_str_ieq(e->key, key) : wr_str_eq(e->key, key)))
            return e;
    }
}

static void widen_table(struct wr_dict *d)
{
    struct entry *old = d->entry;
    uint32_t count = d->mask + 1;

    WR_ASSERT(count < UINT32_C(1) << 31);
    d->entry = WR_NEW_ARRAY(d->pool, struct entry, (size_t)count * 2);
    d->mask = count * 2 - 1;
    for (uint32_t i = 0; i < count; i++) {
        if (old[i].value != NULL)
            *slot_of(d, old[i].key, old[i].hash) = old[i];
    }
}

void *wr_dict_get(const struct wr_dict *d, struct wr_str key)
{
    return slot_of(d, key, key_hash(key))->value;
}

void *wr_dict_add(struct wr_dict *d, struct wr_str key, void *value)
{
    uint64_t hash = key_hash(key);
    struct entry *e = slot_of(d, key, hash);

    WR_ASSERT(value != NULL);
    if (e->value != NULL)
        return e->value;
    *e = (struct entry){ key, value, hash };
    if (++d->n > d->mask / 2)
        widen_table(d);
    return NULL;
}
