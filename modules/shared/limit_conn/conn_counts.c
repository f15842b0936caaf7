/* conn_counts: how many connections each key has, over all processes. limit_conn takes and gives,
 * its keeper clears what the dead held. Lies in a segment of shared memory.
 *
 * A cell is the count of one process for one key; the count of a key is the sum of its cells. Only
 * the process of a cell changes its count, so that of a dead one can be taken back exactly, and no
 * death leaves a sum that is too low. Cells are found, made and reused under the lock of the
 * zone; giving back is one atomic, without it. A cell of count 0 stays until the room is needed.
 *
 * Each number is checked when it is read, every walk has an end. What is damaged, or was left half
 * done, is linked anew from the cells: keys and counts are kept. */
#include "limit_conn_impl.h"

#include <openssl/evp.h>

#define LOCK_MS 20           /* then refuse; a limit must hold */
#define HURRY_MS 1000        /* the holder may be stopped: do not make every client wait */
#define LOOKS_MAX 8192       /* cells looked at for a free one, by one call */
#define TELL_MS 60000
#define FREE 0               /* owner of a cell that nobody has */

enum state { NEW, BUSY, READY = 0x436e7473 };

struct wr_counts_head {
    _Atomic uint32_t state;
    _Atomic uint32_t hand;   /* the cell that is looked at next for a free one */
    _Atomic uint64_t seed;   /* of the hash, random: clients may choose keys */
};
struct wr_counts_cell {
    _Atomic uint32_t chain;  /* the next cell of the bucket; 0: none; cells count from 1 */
    _Atomic uint32_t owner;  /* process + 1 */
    _Atomic uint32_t count;
    uint32_t unused;
    _Atomic uint64_t key[2];
};
_Static_assert(sizeof(struct wr_counts_cell) == 32, "half a cache line");

static uint32_t read_word(const _Atomic uint32_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static bool is_cell(const struct wr_conn_counts *c, uint32_t i)
{
    return i - 1 < c->ncells;
}

static struct wr_counts_cell *cell_at(const struct wr_conn_counts *c, uint32_t i)
{
    return &c->cells[i - 1];
}

/* A process without a slot is the only one. */
static uint32_t own_number(void)
{
    return (wr_self.slot == WR_SLOT_NONE ? WR_SLOTS : wr_self.slot) + 1;
}

static struct wr_count_key key_of(const struct wr_counts_cell *cell)
{
    return (struct wr_count_key){ { atomic_load_explicit(&cell->key[0], memory_order_relaxed),
                                    atomic_load_explicit(&cell->key[1], memory_order_relaxed) } };
}

static bool has_key(const struct wr_counts_cell *cell, const struct wr_count_key *key)
{
    struct wr_count_key k = key_of(cell);

    return k.p[0] == key->p[0] && k.p[1] == key->p[1];
}

static _Atomic uint32_t *bucket_of(const struct wr_conn_counts *c, const struct wr_count_key *key)
{
    uint64_t seed = atomic_load_explicit(&c->head->seed, memory_order_relaxed);
    uint64_t hash = wr_hash_stable(wr_str_of((const char *)key, sizeof(*key)), seed);

    return &c->buckets[hash % c->nbuckets];
}

struct wr_count_key wr_count_key_of(struct wr_str text)
{
    static EVP_MD *sha256;
    struct wr_count_key key = { { 0 } };
    unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };

    if (sha256 == NULL)
        sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (sha256 != NULL && EVP_Digest(text.p, text.n, digest, NULL, sha256, NULL) == 1)
        memcpy(&key, digest, sizeof(key));
    return key;
}

void wr_conn_counts_place(struct wr_conn_counts *c, struct wr_zone *z, size_t bytes,
                          const char *name)
{
    const size_t each = sizeof(struct wr_counts_cell) + sizeof(uint32_t) / 2;
    const size_t fixed = sizeof(struct wr_counts_head) + WR_SLOTS / 8 + (size_t)4 * 64;
    size_t n = bytes < fixed ? 0 : (bytes - fixed) / each;

    *c = (struct wr_conn_counts){ .name = name, .fd = z->fd };
    c->ncells = (uint32_t)wr_min(n, (size_t)INT32_MAX) & ~(uint32_t)1;
    c->nbuckets = c->ncells / 2;
    c->head = wr_zone_part(z, sizeof(*c->head));
    c->used = wr_zone_part(z, WR_SLOTS / 8);
    c->buckets = wr_zone_part(z, c->nbuckets * sizeof(*c->buckets));
    c->cells = wr_zone_part(z, c->ncells * sizeof(*c->cells));
}

/* ---- the lock, and what makes the links right again ---- */

static void link_cell(struct wr_conn_counts *c, uint32_t i)
{
    struct wr_counts_cell *cell = cell_at(c, i);
    struct wr_count_key key = key_of(cell);
    _Atomic uint32_t *bucket = bucket_of(c, &key);

    atomic_store_explicit(&cell->chain, read_word(bucket), memory_order_relaxed);
    atomic_store_explicit(bucket, i, memory_order_relaxed);
}

static void link_anew(struct wr_conn_counts *c)
{
    memset((void *)c->buckets, 0, c->nbuckets * sizeof(*c->buckets));
    for (uint32_t i = 1; i <= c->ncells; i++) {
        if (read_word(&cell_at(c, i)->count) > 0)
            link_cell(c, i);
        else
            atomic_store_explicit(&cell_at(c, i)->owner, FREE, memory_order_relaxed);
    }
    c->damaged = false;
}

static void mend_counts(struct wr_conn_counts *c, const char *why)
{
    link_anew(c);
    if (wr_now() < c->quiet_ms)
        return;
    c->quiet_ms = wr_now() + TELL_MS;
    wr_say(WR_LOG_ERROR, 0, "shared memory \"%s\" %s and is put in order", c->name, why);
}

static bool lock_counts(struct wr_conn_counts *c)
{
    uint32_t state;

    if (!wr_lock(c->fd, 0, wr_now() < c->hurry_ms ? 0 : LOCK_MS)) {
        c->hurry_ms = wr_now() + HURRY_MS;
        return false;
    }
    c->hurry_ms = 0;
    state = atomic_load(&c->head->state);
    atomic_store(&c->head->state, BUSY);
    if (state == NEW)
        atomic_store_explicit(&c->head->seed, wr_random(), memory_order_relaxed);
    else if (state != READY)
        mend_counts(c, "was left half written");
    return true;
}

static void unlock_counts(struct wr_conn_counts *c)
{
    if (c->damaged)
        mend_counts(c, "was damaged");
    atomic_store(&c->head->state, READY);
    wr_unlock(c->fd, 0);
}

/* ---- cells ---- */

static bool leave_bucket(struct wr_conn_counts *c, uint32_t i)
{
    struct wr_count_key key = key_of(cell_at(c, i));
    _Atomic uint32_t *link = bucket_of(c, &key);

    for (uint32_t steps = 0; steps < c->ncells; steps++) {
        uint32_t at = read_word(link);

        if (at == i) {
            atomic_store_explicit(link, read_word(&cell_at(c, i)->chain), memory_order_relaxed);
            return true;
        }
        if (!is_cell(c, at))
            return false;
        link = &cell_at(c, at)->chain;
    }
    return false;
}

/* Returns a cell in no bucket, or 0. The hand goes round, so that each cell is looked at. */
static uint32_t free_cell(struct wr_conn_counts *c)
{
    uint32_t hand = read_word(&c->head->hand) % c->ncells, looks = wr_min(c->ncells, LOOKS_MAX);

    for (uint32_t n = 0; n < looks && !c->damaged; n++) {
        uint32_t i = hand + 1;

        hand = (hand + 1) % c->ncells;
        if (read_word(&cell_at(c, i)->count) > 0)
            continue;
        atomic_store_explicit(&c->head->hand, hand, memory_order_relaxed);
        if (read_word(&cell_at(c, i)->owner) == FREE || leave_bucket(c, i))
            return i;
        c->damaged = true;
    }
    atomic_store_explicit(&c->head->hand, hand, memory_order_relaxed);
    return 0;
}

static uint32_t make_cell(struct wr_conn_counts *c, const struct wr_count_key *key)
{
    uint32_t i = free_cell(c);
    struct wr_counts_cell *cell;

    if (i == 0)
        return 0;
    cell = cell_at(c, i);
    atomic_store_explicit(&cell->key[0], key->p[0], memory_order_relaxed);
    atomic_store_explicit(&cell->key[1], key->p[1], memory_order_relaxed);
    atomic_store_explicit(&cell->owner, own_number(), memory_order_relaxed);
    link_cell(c, i);
    return i;
}

/* Sums up the counts of a key, and finds the cell of this process (0: it has none). */
static uint32_t sum_of_key(struct wr_conn_counts *c, const struct wr_count_key *key, uint32_t *own)
{
    uint32_t i = read_word(bucket_of(c, key)), me = own_number();
    uint64_t sum = 0;

    *own = 0;
    for (uint32_t steps = 0; i != 0; steps++) {
        const struct wr_counts_cell *cell;

        if (!is_cell(c, i) || steps == c->ncells) {
            c->damaged = true;
            break;
        }
        cell = cell_at(c, i);
        if (has_key(cell, key)) {
            sum += read_word(&cell->count);
            if (read_word(&cell->owner) == me)
                *own = i;
        }
        i = read_word(&cell->chain);
    }
    return (uint32_t)wr_min(sum, (uint64_t)UINT32_MAX);
}

static enum wr_counted count_one(struct wr_conn_counts *c, const struct wr_count_key *key,
                                 uint32_t most, uint32_t *cell)
{
    uint32_t sum = sum_of_key(c, key, cell);

    if (c->damaged) { /* what is found is not all */
        link_anew(c);
        sum = sum_of_key(c, key, cell);
    }
    if (sum >= most)
        return WR_COUNT_FULL;
    if (*cell == 0)
        *cell = make_cell(c, key);
    if (*cell == 0)
        return WR_COUNT_NO_ROOM;
    atomic_fetch_add(&cell_at(c, *cell)->count, 1);
    return WR_COUNTED;
}

/* ---- calls ---- */

enum wr_counted wr_conn_counts_take(struct wr_conn_counts *c, const struct wr_count_key *key,
                                    uint32_t most, uint32_t *cell)
{
    enum wr_counted v;

    *cell = 0;
    if (c->ncells == 0)
        return WR_COUNT_NO_ROOM;
    if (!lock_counts(c))
        return WR_COUNT_BUSY;
    v = count_one(c, key, most, cell);
    unlock_counts(c);
    return v;
}

/* Nobody else changes the count of a cell of ours, unless it writes where it must not: then the
 * cell may be another one's now. */
void wr_conn_counts_give(struct wr_conn_counts *c, const struct wr_count_key *key, uint32_t cell)
{
    if (is_cell(c, cell) && has_key(cell_at(c, cell), key)
        && read_word(&cell_at(c, cell)->owner) == own_number())
        wr_ledger_take_back(&cell_at(c, cell)->count, 1);
}

/* No lock is needed: a dead process makes no cell its own, so one that still is its own after the
 * count was read was so before, and nobody takes a cell that has a count. */
void wr_conn_counts_clear(struct wr_conn_counts *c, uint32_t process)
{
    uint64_t bit = UINT64_C(1) << (process % 64);

    if ((atomic_load(&c->used[process / 64]) & bit) == 0)
        return;
    for (uint32_t i = 1; i <= c->ncells; i++) {
        struct wr_counts_cell *cell = cell_at(c, i);
        uint32_t count;

        if (read_word(&cell->owner) != process + 1)
            continue;
        count = atomic_load(&cell->count);
        if (count > 0 && atomic_load(&cell->owner) == process + 1)
            (void)atomic_compare_exchange_strong(&cell->count, &count, 0);
    }
    atomic_fetch_and(&c->used[process / 64], ~bit);
}

void wr_conn_counts_begin(struct wr_conn_counts *c)
{
    if (wr_self.slot == WR_SLOT_NONE)
        return;
    wr_conn_counts_clear(c, wr_self.slot); /* of the process that had the slot before */
    atomic_fetch_or(&c->used[wr_self.slot / 64], UINT64_C(1) << (wr_self.slot % 64));
}
