/* cache_shard: the entries of the index as shared memory: shards, their buckets, chains and free
 * entries. cache_index looks up and leads, cache_change changes; both come here for an entry.
 *
 * A shard is a hash table of its own: its entries, its buckets (as many as entries), a list of free
 * entries, its counts, and a byte of the segment for its lock. `busy` is set while the lock is
 * held: the next one to lock sees that a holder died in between, and makes chains, free entries and
 * counts anew from the entries themselves; one that was being changed is dropped. The same happens
 * when a number is found that cannot be right. So nothing has to be trusted but single entries, and
 * those only for what they say of themselves.
 *
 * Readers follow the chains without the lock. A reader may be led into another chain, or miss an
 * entry, while chains change; it compares whole names and copies an entry as one (a seqlock), so
 * that it finds the right one or none. */
#include "cache_entry.h"

#include <sched.h>

#define LOCKS_AT 1                 /* byte 0 is the lock of the zone */
#define LOCK_MS 3                  /* then go on without */
#define REST_MS 20                 /* between two such waits of those who come again */
#define SHARDS_MAX 64
#define SHARD_LEAST 4096           /* entries: fewer, and shards fill too unevenly */
#define SAMPLE 32                  /* entries of which the least recently used ones go */
#define EXACT_MOST 1024            /* so many are all looked at */
#define OPEN_TRIES 200
#define LINES 4                    /* bytes lost between the parts, in cache lines */

static uint32_t shards_for(size_t bytes)
{
    size_t n = bytes / WR_CACHE_ENTRY_BYTES / SHARD_LEAST;

    return (uint32_t)wr_min(wr_max(n, (size_t)1), (size_t)SHARDS_MAX);
}

void wr_cache_index_place(struct wr_cache_index *ix, struct wr_zone *z, size_t bytes)
{
    uint32_t shards = shards_for(bytes);
    size_t rest = sizeof(struct wr_cache_shard) * shards + sizeof(uint64_t) + (size_t)LINES * 64;
    size_t n = bytes > rest ? (bytes - rest) / WR_CACHE_ENTRY_BYTES / shards : 0;

    n = wr_min(n, (size_t)(UINT32_MAX / 2 / SHARDS_MAX));
    *ix = (struct wr_cache_index){ .fd = z->fd, .each = (uint32_t)n, .shards = shards };
    ix->shared_seed = wr_zone_part(z, sizeof(*ix->shared_seed));
    ix->shard = wr_zone_part(z, sizeof(*ix->shard) * shards);
    ix->bucket = wr_zone_part(z, sizeof(*ix->bucket) * n * shards);
    ix->entry = wr_zone_part(z, sizeof(*ix->entry) * n * shards);
}

/* ---- names ---- */

/* The first process that needs it makes it: clients choose keys, and could choose some that all
 * fall into one bucket. */
static uint64_t own_seed(struct wr_cache_index *ix)
{
    uint64_t none = 0, seed;

    if (wr_likely(ix->seed != 0))
        return ix->seed;
    seed = wr_random() | 1;
    if (!atomic_compare_exchange_strong(ix->shared_seed, &none, seed))
        seed = none;
    ix->seed = seed;
    return seed;
}

struct wr_cache_place wr_cache_place_of(struct wr_cache_index *ix,
                                        const struct wr_cache_name *name)
{
    uint64_t seed = own_seed(ix), h;
    struct wr_cache_place p;
    unsigned __int128 product;

    memcpy(p.name, name->digest, sizeof(p.name));
    product = (unsigned __int128)(p.name[0] ^ seed) * (p.name[1] ^ 0x9e3779b97f4a7c15U);
    h = (uint64_t)product ^ (uint64_t)(product >> 64);
    h = (h ^ seed) * 0xff51afd7ed558ccdU;
    p.shard = (uint32_t)((h >> 32) * ix->shards >> 32);
    p.bucket = p.shard * ix->each + (uint32_t)((h & UINT32_MAX) * ix->each >> 32);
    return p;
}

static struct wr_cache_place place_of_entry(struct wr_cache_index *ix,
                                            const struct wr_cache_entry *e)
{
    uint64_t words[2] = { WR_READ(e->name[0]), WR_READ(e->name[1]) };
    struct wr_cache_name name;

    memcpy(name.digest, words, sizeof(words));
    return wr_cache_place_of(ix, &name);
}

static bool has_name(const struct wr_cache_entry *e, const struct wr_cache_place *p)
{
    return WR_READ(e->name[0]) == p->name[0] && WR_READ(e->name[1]) == p->name[1];
}

static inline void read_entry(const struct wr_cache_entry *e, struct wr_cache_view *v)
{
    uint64_t words[2] = { WR_READ(e->name[0]), WR_READ(e->name[1]) };

    memcpy(v->name.digest, words, sizeof(words));
    v->uses = WR_READ(e->uses);
    v->flags = WR_READ(e->flags);
    v->used_ms = WR_READ(e->used_ms);
    v->created_us = WR_READ(e->created_us);
    v->purged_us = WR_READ(e->purged_us);
    v->cleared_us = WR_READ(e->cleared_us);
    v->disk = (uint64_t)WR_READ(e->pages) * WR_CACHE_PAGE;
    v->user = WR_READ(e->user);
    v->memory = (struct wr_cache_ref){ WR_READ(e->memory_number), WR_READ(e->memory_at),
                                       WR_READ(e->memory_size) };
    v->leader = WR_READ(e->leader);
    v->updating = WR_READ(e->updating);
    v->filling = (struct wr_cache_ref){
        .number = atomic_load_explicit(&e->filling_number, memory_order_acquire) };
    v->filling.at = WR_READ(e->filling_at);
}

bool wr_cache_entry_copy(const struct wr_cache_index *ix, uint32_t at, struct wr_cache_view *v)
{
    const struct wr_cache_entry *e = &ix->entry[at];
    uint32_t g = atomic_load_explicit(&e->generation, memory_order_acquire);

    if ((g & 1) != 0 || g == 0)
        return false;
    v->at = at;
    read_entry(e, v);
    atomic_thread_fence(memory_order_acquire);
    return WR_READ(e->generation) == g;
}

void wr_cache_entry_read(const struct wr_cache_index *ix, uint32_t at, struct wr_cache_view *v)
{
    v->at = at;
    read_entry(&ix->entry[at], v);
}

/* ---- opening ---- */

bool wr_cache_entry_open(struct wr_cache_entry *e)
{
    for (uint32_t tries = 0; tries < OPEN_TRIES; tries++) {
        uint32_t g = WR_READ(e->generation);

        if ((g & 1) == 0 && atomic_compare_exchange_strong(&e->generation, &g, g | 1)) {
            atomic_thread_fence(memory_order_seq_cst);
            return true;
        }
        if (tries > OPEN_TRIES / 2)
            (void)sched_yield();
    }
    return false;
}

/* Open by its leader, which lives. */
static bool is_led_open(const struct wr_cache_entry *e)
{
    uint64_t leader = WR_READ(e->leader);

    return (WR_READ(e->generation) & 1) != 0 && leader != 0
        && !wr_cache_leader_is_over(leader, 0);
}

/* ---- chains, under the lock ---- */

/* Entry number i of a chain of this shard; NULL: damage. */
static struct wr_cache_entry *entry_at(const struct wr_cache_index *ix, uint32_t shard, uint32_t i)
{
    uint32_t first = shard * ix->each;

    return i - 1 - first < ix->each ? &ix->entry[i - 1] : NULL;
}

/* Returns the word that leads to the entry (`of`, or the one of that name), or the last word of the
 * chain. NULL: the chain leads elsewhere, or does not end. */
static _Atomic uint32_t *chain_word(const struct wr_cache_index *ix,
                                    const struct wr_cache_place *p, const struct wr_cache_entry *of)
{
    _Atomic uint32_t *word = &ix->bucket[p->bucket];

    for (uint32_t step = 0; step <= WR_CACHE_CHAIN_MAX; step++) {
        uint32_t i = WR_READ(*word);
        struct wr_cache_entry *e = entry_at(ix, p->shard, i);

        if (i == 0 || (e != NULL && e == of))
            return word;
        if (e == NULL || (!wr_cache_entry_in_use(e) && !is_led_open(e)))
            break;
        if (of == NULL && has_name(e, p))
            return word;
        word = &e->chain;
    }
    return NULL;
}

static void free_entry(struct wr_cache_index *ix, uint32_t shard, struct wr_cache_entry *e)
{
    WR_WRITE(e->chain, WR_READ(ix->shard[shard].free));
    WR_WRITE(ix->shard[shard].free, wr_cache_entry_number(ix, e) + 1);
}

/* ---- mending ---- */

struct counts {
    uint64_t entries, pages, memory;
};

static void count_entry(struct counts *c, const struct wr_cache_entry *e)
{
    c->entries++;
    c->pages += WR_READ(e->pages);
    if (WR_READ(e->memory_number) != 0)
        c->memory += WR_READ(e->memory_size);
}

/* Links an entry again; false: it does not belong here, or another one has its name. */
static bool link_again(struct wr_cache_index *ix, uint32_t shard, struct wr_cache_entry *e)
{
    struct wr_cache_place p = place_of_entry(ix, e);
    _Atomic uint32_t *word;

    if (p.shard != shard)
        return false;
    WR_WRITE(e->chain, 0);
    word = chain_word(ix, &p, NULL);
    if (word == NULL || WR_READ(*word) != 0)
        return false;
    atomic_store_explicit(word, wr_cache_entry_number(ix, e) + 1, memory_order_release);
    return true;
}

static struct wr_cache_view file_of(const struct wr_cache_entry *e)
{
    struct wr_cache_view v = { .created_us = WR_READ(e->created_us) };
    uint64_t words[2] = { WR_READ(e->name[0]), WR_READ(e->name[1]) };

    memcpy(v.name.digest, words, sizeof(words));
    v.disk = (uint64_t)WR_READ(e->pages) * WR_CACHE_PAGE;
    return v;
}

static void tell_dropped(const struct wr_cache_index *ix, const struct wr_cache_view *v)
{
    if (v->disk > 0 && ix->dropped != NULL)
        ix->dropped(ix->dropped_arg, v);
}

static void empty_entry(struct wr_cache_entry *e)
{
    wr_cache_entry_seize(e);
    WR_WRITE(e->memory_number, 0);
    WR_WRITE(e->created_us, 0);
    WR_WRITE(e->pages, 0);
    WR_WRITE(e->leader, 0);
    WR_WRITE(e->filling_number, 0);
}

static void mend_shard(struct wr_cache_index *ix, uint32_t shard)
{
    struct wr_cache_shard *s = &ix->shard[shard];
    uint32_t first = shard * ix->each, fresh = wr_cache_read_most(&s->fresh, ix->each);
    struct counts c = { 0 };
    struct wr_cache_view lost;

    for (uint32_t i = 0; i < ix->each; i++)
        WR_WRITE(ix->bucket[first + i], 0);
    WR_WRITE(s->free, 0);
    WR_WRITE(s->fresh, fresh);
    for (uint32_t i = 0; i < fresh; i++) {
        struct wr_cache_entry *e = &ix->entry[first + i];

        if ((wr_cache_entry_in_use(e) || is_led_open(e)) &&
            link_again(ix, shard, e)) {
            count_entry(&c, e);
            continue;
        }
        lost = file_of(e);
        empty_entry(e);
        tell_dropped(ix, &lost);
        free_entry(ix, shard, e);
    }
    WR_WRITE(s->entries, c.entries);
    WR_WRITE(s->pages, c.pages);
    WR_WRITE(s->memory, c.memory);
}

void wr_cache_shard_check(struct wr_cache_index *ix, uint32_t shard)
{
    const struct wr_cache_shard *s = &ix->shard[shard];
    uint32_t first = shard * ix->each, fresh = wr_cache_read_most(&s->fresh, ix->each);
    struct counts c = { 0 };

    for (uint32_t i = 0; i < fresh; i++)
        if (wr_cache_entry_in_use(&ix->entry[first + i]) ||
            is_led_open(&ix->entry[first + i]))
            count_entry(&c, &ix->entry[first + i]);
    if (c.entries != WR_READ(s->entries) || c.pages != WR_READ(s->pages))
        mend_shard(ix, shard);
    else
        WR_WRITE(ix->shard[shard].memory, c.memory);
}

/* ---- the lock ---- */

/* A process that has waited in vain does not wait again at once: hundreds of requests may come here
 * in one turn of its loop. */
bool wr_cache_shard_lock(struct wr_cache_index *ix, uint32_t shard, bool again)
{
    struct wr_cache_shard *s = &ix->shard[shard];
    bool tired = again && wr_now() - ix->waited_ms < REST_MS;

    if (ix->each == 0)
        return false;
    if (!wr_lock(ix->fd, LOCKS_AT + shard, tired ? 0 : LOCK_MS)) {
        ix->waited_ms = wr_now();
        return false;
    }
    if (WR_READ(s->busy) != 0) {
        mend_shard(ix, shard);
    } else {
        WR_WRITE(s->busy, 1);
        atomic_thread_fence(memory_order_release);
    }
    return true;
}

void wr_cache_shard_unlock(struct wr_cache_index *ix, uint32_t shard)
{
    atomic_store_explicit(&ix->shard[shard].busy, 0, memory_order_release);
    wr_unlock(ix->fd, LOCKS_AT + shard);
}

struct wr_cache_entry *wr_cache_shard_find(struct wr_cache_index *ix,
                                           const struct wr_cache_place *p)
{
    _Atomic uint32_t *word = chain_word(ix, p, NULL);

    if (word == NULL) {
        mend_shard(ix, p->shard);
        word = chain_word(ix, p, NULL);
    }
    return word != NULL ? entry_at(ix, p->shard, WR_READ(*word)) : NULL;
}

/* ---- room ---- */

void wr_cache_entry_clear_object(struct wr_cache_index *ix, uint32_t shard,
                                 struct wr_cache_entry *e)
{
    struct wr_cache_shard *s = &ix->shard[shard];

    WR_WRITE(s->pages, WR_READ(s->pages) - WR_READ(e->pages));
    WR_WRITE(e->pages, 0);
    WR_WRITE(e->created_us, 0);
    WR_WRITE(e->flags, 0);
    if (atomic_exchange(&e->memory_number, 0) != 0)
        (void)atomic_fetch_sub(&s->memory, WR_READ(e->memory_size));
}

bool wr_cache_shard_drop(struct wr_cache_index *ix, uint32_t shard, struct wr_cache_entry *e)
{
    struct wr_cache_shard *s = &ix->shard[shard];
    struct wr_cache_place p = place_of_entry(ix, e);
    _Atomic uint32_t *word;

    /* Then look at the leader: who becomes one looks whether the entry is open. */
    if (!wr_cache_entry_open(e))
        return false;
    if (!wr_cache_leader_is_over(WR_READ(e->leader), 0)) {
        wr_cache_entry_close(e);
        return false;
    }
    word = p.shard == shard ? chain_word(ix, &p, e) : NULL;
    if (word == NULL || WR_READ(*word) == 0) {
        mend_shard(ix, shard); /* which drops it */
        return true;
    }
    if (WR_READ(e->purged_us) > WR_READ(s->floor_us))
        WR_WRITE(s->floor_us, WR_READ(e->purged_us));
    atomic_store_explicit(word, WR_READ(e->chain), memory_order_release);
    wr_cache_entry_clear_object(ix, shard, e);
    WR_WRITE(e->leader, 0);
    WR_WRITE(e->filling_number, 0);
    WR_WRITE(s->entries, WR_READ(s->entries) - 1);
    free_entry(ix, shard, e);
    return true;
}

static uint64_t last_use(const struct wr_cache_entry *e)
{
    return wr_cache_used_ms(WR_READ(e->used_ms));
}

/* Drops the least recently used of n entries from `first` on, in the order of the shard. */
static bool drop_oldest(struct wr_cache_index *ix, uint32_t shard, uint32_t first, uint32_t n,
                        bool led)
{
    struct wr_cache_entry *of = &ix->entry[shard * ix->each], *oldest = NULL;
    struct wr_cache_view v;

    for (uint32_t i = 0; i < n; i++) {
        struct wr_cache_entry *e = &of[(first + i) % ix->each];

        if (!wr_cache_entry_in_use(e) || (WR_READ(e->leader) != 0) != led)
            continue;
        if (oldest == NULL || last_use(e) < last_use(oldest))
            oldest = e;
    }
    if (oldest == NULL)
        return false;
    v = file_of(oldest);
    if (!wr_cache_shard_drop(ix, shard, oldest))
        return false;
    tell_dropped(ix, &v);
    return true;
}

/* Small shards are looked at as a whole; in others two of a sample go, so that the next request for
 * room need not look. */
static bool make_room(struct wr_cache_index *ix, uint32_t shard)
{
    struct wr_cache_shard *s = &ix->shard[shard];
    uint32_t n = ix->each <= EXACT_MOST ? ix->each : SAMPLE, hand = WR_READ(s->hand) % ix->each;

    WR_WRITE(s->hand, hand + n);
    if (!drop_oldest(ix, shard, hand, n, false))
        return drop_oldest(ix, shard, hand, n, false) || drop_oldest(ix, shard, hand, n, true);
    if (n == SAMPLE)
        (void)drop_oldest(ix, shard, hand, n, false);
    return true;
}

/* A bucket that is full: somebody knows the seed, or is very unlucky. */
static bool shorten_chain(struct wr_cache_index *ix, const struct wr_cache_place *p)
{
    struct wr_cache_entry *oldest = NULL, *e;
    struct wr_cache_view v;
    uint32_t n = 0;

    for (uint32_t i = WR_READ(ix->bucket[p->bucket]); n < WR_CACHE_CHAIN_MAX; n++) {
        e = entry_at(ix, p->shard, i);
        if (e == NULL)
            return true;
        if (oldest == NULL || last_use(e) < last_use(oldest))
            oldest = e;
        i = WR_READ(e->chain);
    }
    v = file_of(oldest);
    if (!wr_cache_shard_drop(ix, p->shard, oldest))
        return false;
    tell_dropped(ix, &v);
    return true;
}

static struct wr_cache_entry *take_free(struct wr_cache_index *ix, uint32_t shard)
{
    struct wr_cache_shard *s = &ix->shard[shard];
    uint32_t free = WR_READ(s->free), fresh = WR_READ(s->fresh);
    struct wr_cache_entry *e = entry_at(ix, shard, free);

    if (e != NULL && !wr_cache_entry_in_use(e)) {
        WR_WRITE(s->free, WR_READ(e->chain));
        return e;
    }
    if (free != 0)
        mend_shard(ix, shard);
    if (fresh >= ix->each)
        return NULL;
    WR_WRITE(s->fresh, fresh + 1);
    return &ix->entry[shard * ix->each + fresh];
}

struct wr_cache_entry *wr_cache_shard_new(struct wr_cache_index *ix,
                                          const struct wr_cache_place *p)
{
    struct wr_cache_entry *e = shorten_chain(ix, p) ? take_free(ix, p->shard) : NULL;

    if (e == NULL && make_room(ix, p->shard))
        e = take_free(ix, p->shard);
    if (e == NULL)
        return NULL;
    empty_entry(e);
    WR_WRITE(e->name[0], p->name[0]);
    WR_WRITE(e->name[1], p->name[1]);
    WR_WRITE(e->used_ms, wr_now());
    WR_WRITE(e->uses, 0);
    WR_WRITE(e->flags, 0);
    WR_WRITE(e->purged_us, 0);
    WR_WRITE(e->cleared_us, 0);
    WR_WRITE(e->updating, 0);
    WR_WRITE(e->user, 0);
    return e;
}

void wr_cache_shard_link(struct wr_cache_index *ix, const struct wr_cache_place *p,
                         struct wr_cache_entry *e)
{
    struct wr_cache_shard *s = &ix->shard[p->shard];

    WR_WRITE(e->chain, WR_READ(ix->bucket[p->bucket]));
    wr_cache_entry_close(e);
    atomic_store_explicit(&ix->bucket[p->bucket], wr_cache_entry_number(ix, e) + 1,
                          memory_order_release);
    WR_WRITE(s->entries, WR_READ(s->entries) + 1);
}
