/* zone_table: the part of a zone that remembers: records by key, in a hash table and in the order
 * of their last use. The shared TLS sessions call it; workers of all generations use one table.
 *
 * A record is a chain of cells of one size, so that memory never fragments. The records of a bucket
 * are a chain, too, and all records are a list from newest to oldest. Each cell number is checked
 * when it is read, each walk is bounded, and links must agree in both directions: whatever another
 * process writes, a lookup finds a record or detects damage. Damage is latched, and unlock empties
 * the table. The next lock empties it when `state` tells that a holder died halfway. */
#include "os/os.h"

#define STEPS_MAX 128        /* in a bucket, which has two records on average: more is damage */
#define EXPIRED_MAX 2        /* expired records that a put removes */
#define TELL_MS 60000        /* a process logs damage at most once in this time */
#define LEAST_BYTES 4096

enum state { NEW, BUSY, READY = 0x5a6f6e65 };

struct wr_table_head {
    _Atomic uint32_t state;
    _Atomic uint32_t newest, oldest; /* records; 0: none, here and below; cells count from 1 */
    _Atomic uint32_t free;   /* released cells, linked by `more` */
    _Atomic uint32_t fresh;  /* the number of cells that were ever used */
    _Atomic uint64_t seed;   /* of the hash, random: clients may choose keys */
};
struct record {              /* the first cell of a record */
    _Atomic uint32_t more;   /* the next cell of the record */
    _Atomic uint32_t chain;  /* the next record in the bucket */
    _Atomic uint32_t newer, older;
    _Atomic uint32_t hash;
    _Atomic uint32_t sizes;  /* size of the key << 16 | size of the value */
    _Atomic uint64_t expires_s;
    unsigned char bytes[32]; /* the key, then the value */
};
struct further {
    _Atomic uint32_t more;
    unsigned char bytes[60];
};
union wr_table_cell {
    struct record record;
    struct further further;
};
_Static_assert(sizeof(union wr_table_cell) == 64, "one cache line");

static uint32_t read_word(const _Atomic uint32_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void write_word(_Atomic uint32_t *word, uint32_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static bool is_cell(const struct wr_table *t, uint32_t i)
{
    return i - 1 < t->ncells;
}

static struct record *record_at(const struct wr_table *t, uint32_t i)
{
    return &t->cells[i - 1].record;
}

static _Atomic uint32_t *more_of(const struct wr_table *t, uint32_t i)
{
    return &t->cells[i - 1].further.more;
}

static _Atomic uint32_t *bucket_of(const struct wr_table *t, uint32_t hash)
{
    return &t->buckets[hash % t->nbuckets];
}

static uint32_t cells_for(size_t n)
{
    size_t first = sizeof(((struct record *)0)->bytes), each = sizeof(((struct further *)0)->bytes);

    return (uint32_t)(n <= first ? 1 : 1 + (n - first + each - 1) / each);
}

/* ---- the bytes of a record ---- */

struct cursor {
    const struct wr_table *t;
    uint32_t cell;
    unsigned char *p;
    size_t n;
};

static struct cursor cursor_at(const struct wr_table *t, uint32_t i)
{
    struct record *r = record_at(t, i);

    return (struct cursor){ .t = t, .cell = i, .p = r->bytes, .n = sizeof(r->bytes) };
}

/* Returns the room for the next bytes, at most n; 0: the chain has ended. */
static size_t cursor_room(struct cursor *c, size_t n)
{
    if (c->n == 0) {
        struct further *next;

        c->cell = read_word(more_of(c->t, c->cell));
        if (!is_cell(c->t, c->cell))
            return 0;
        next = &c->t->cells[c->cell - 1].further;
        c->p = next->bytes;
        c->n = sizeof(next->bytes);
    }
    return wr_min(n, c->n);
}

static void cursor_move(struct cursor *c, size_t n)
{
    c->p += n;
    c->n -= n;
}

static bool read_bytes(struct cursor *c, unsigned char *to, size_t n)
{
    size_t k;

    for (; n > 0; n -= k, to += k) {
        k = cursor_room(c, n);
        if (k == 0)
            return false;
        memcpy(to, c->p, k);
        cursor_move(c, k);
    }
    return true;
}

static bool write_bytes(struct cursor *c, struct wr_str s)
{
    size_t k;

    for (; s.n > 0; s = wr_str_of(s.p + k, s.n - k)) {
        k = cursor_room(c, s.n);
        if (k == 0)
            return false;
        memcpy(c->p, s.p, k);
        cursor_move(c, k);
    }
    return true;
}

/* ---- the order of use ---- */

static bool leave_order(struct wr_table *t, uint32_t i)
{
    const struct record *r = record_at(t, i);
    uint32_t newer = read_word(&r->newer), older = read_word(&r->older);
    _Atomic uint32_t *from_newer, *from_older;

    if ((newer != 0 && !is_cell(t, newer)) || (older != 0 && !is_cell(t, older)))
        return false;
    from_newer = newer == 0 ? &t->head->newest : &record_at(t, newer)->older;
    from_older = older == 0 ? &t->head->oldest : &record_at(t, older)->newer;
    if (read_word(from_newer) != i || read_word(from_older) != i)
        return false;
    write_word(from_newer, older);
    write_word(from_older, newer);
    return true;
}

static bool enter_order(struct wr_table *t, uint32_t i)
{
    struct record *r = record_at(t, i);
    uint32_t newest = read_word(&t->head->newest);

    if (newest != 0 && !is_cell(t, newest))
        return false;
    write_word(&r->newer, 0);
    write_word(&r->older, newest);
    write_word(newest == 0 ? &t->head->oldest : &record_at(t, newest)->newer, i);
    write_word(&t->head->newest, i);
    return true;
}

/* ---- removing ---- */

static bool leave_bucket(struct wr_table *t, uint32_t i)
{
    const struct record *r = record_at(t, i);
    _Atomic uint32_t *link = bucket_of(t, read_word(&r->hash));

    for (uint32_t steps = 0; steps < STEPS_MAX; steps++) {
        uint32_t at = read_word(link);

        if (at == i) {
            write_word(link, read_word(&r->chain));
            return true;
        }
        if (!is_cell(t, at))
            return false;
        link = &record_at(t, at)->chain;
    }
    return false;
}

/* Frees the cells of a record, as many as its sizes need: a chain that is shorter, longer or
 * circular is damage. */
static bool free_cells(struct wr_table *t, uint32_t i)
{
    uint32_t sizes = read_word(&record_at(t, i)->sizes), last = i;
    uint32_t n = cells_for((size_t)(sizes >> 16) + (sizes & 0xffff));

    for (uint32_t k = 1; k < n; k++) {
        last = read_word(more_of(t, last));
        if (!is_cell(t, last))
            return false;
    }
    if (read_word(more_of(t, last)) != 0)
        return false;
    write_word(more_of(t, last), read_word(&t->head->free));
    write_word(&t->head->free, i);
    return true;
}

static void drop_record(struct wr_table *t, uint32_t i)
{
    if (!is_cell(t, i) || !leave_bucket(t, i) || !leave_order(t, i) || !free_cells(t, i))
        t->damaged = true;
}

static bool has_expired(const struct wr_table *t, uint32_t i, uint64_t now_s)
{
    return atomic_load_explicit(&record_at(t, i)->expires_s, memory_order_relaxed) <= now_s;
}

static void drop_expired(struct wr_table *t, uint64_t now_s)
{
    for (uint32_t k = 0; k < EXPIRED_MAX && !t->damaged; k++) {
        uint32_t oldest = read_word(&t->head->oldest);

        if (!is_cell(t, oldest) || !has_expired(t, oldest, now_s))
            return;
        drop_record(t, oldest);
    }
}

/* ---- making ---- */

/* Returns a free cell, if need be after one eviction. 0: damage, since otherwise there is always a
 * record to evict. */
static uint32_t take_cell(struct wr_table *t)
{
    for (uint32_t tries = 0; tries < 2 && !t->damaged; tries++) {
        uint32_t i = read_word(&t->head->free), fresh = read_word(&t->head->fresh);

        if (i == 0 && fresh < t->ncells) {
            write_word(&t->head->fresh, fresh + 1);
            return fresh + 1;
        }
        if (is_cell(t, i)) {
            write_word(&t->head->free, read_word(more_of(t, i)));
            return i;
        }
        if (i != 0)
            break;
        drop_record(t, read_word(&t->head->oldest));
    }
    t->damaged = true;
    return 0;
}

/* Returns a chain of n cells that is in no list; 0: damage. */
static uint32_t take_cells(struct wr_table *t, uint32_t n)
{
    uint32_t first = take_cell(t), last = first;

    for (uint32_t k = 1; k < n && last != 0; k++) {
        uint32_t next = take_cell(t);

        write_word(more_of(t, last), next);
        last = next;
    }
    if (last != 0)
        write_word(more_of(t, last), 0);
    return last != 0 ? first : 0;
}

/* ---- finding ---- */

static uint32_t hash_of(const struct wr_table *t, struct wr_str key)
{
    return (uint32_t)wr_hash_stable(key, atomic_load_explicit(&t->head->seed,
                                                              memory_order_relaxed));
}

/* If true, *value is a cursor behind the key. */
static bool has_key(const struct wr_table *t, uint32_t i, struct wr_str key, struct cursor *value)
{
    unsigned char buf[WR_TABLE_KEY_MAX];

    *value = cursor_at(t, i);
    return read_word(&record_at(t, i)->sizes) >> 16 == key.n && key.n <= sizeof(buf)
        && read_bytes(value, buf, key.n) && wr_str_eq(wr_str_of((char *)buf, key.n), key);
}

static uint32_t find_record(struct wr_table *t, struct wr_str key, struct cursor *value)
{
    uint32_t hash = hash_of(t, key), i = read_word(bucket_of(t, hash));

    for (uint32_t steps = 0; i != 0; steps++) {
        if (!is_cell(t, i) || steps == STEPS_MAX) {
            t->damaged = true;
            return 0;
        }
        if (read_word(&record_at(t, i)->hash) == hash && has_key(t, i, key, value))
            return i;
        i = read_word(&record_at(t, i)->chain);
    }
    return 0;
}

/* ---- what users call ---- */

void wr_table_place(struct wr_table *t, struct wr_zone *z, size_t bytes, const char *name)
{
    const size_t each = sizeof(*t->cells), lines = 2 * each; /* the head; rounding up the buckets */
    size_t n = bytes < LEAST_BYTES ? 0 : (bytes - lines) / (each + sizeof(*t->buckets) / 2);

    *t = (struct wr_table){ .name = name, .fd = z->fd };
    t->ncells = (uint32_t)wr_min(n, (size_t)INT32_MAX) & ~(uint32_t)1;
    t->nbuckets = t->ncells / 2;
    t->head = wr_zone_part(z, sizeof(*t->head));
    t->buckets = wr_zone_part(z, t->nbuckets * sizeof(*t->buckets));
    t->cells = wr_zone_part(z, t->ncells * sizeof(*t->cells));
}

static void empty_table(struct wr_table *t)
{
    memset((void *)t->buckets, 0, t->nbuckets * sizeof(*t->buckets));
    write_word(&t->head->newest, 0);
    write_word(&t->head->oldest, 0);
    write_word(&t->head->free, 0);
    write_word(&t->head->fresh, 0);
    atomic_store_explicit(&t->head->seed, wr_random(), memory_order_relaxed);
    t->damaged = false;
}

static void mend_table(struct wr_table *t, const char *why)
{
    empty_table(t);
    if (wr_now() < t->quiet_ms)
        return;
    t->quiet_ms = wr_now() + TELL_MS;
    wr_say(WR_LOG_ERROR, 0, "shared memory \"%s\" %s and is emptied", t->name, why);
}

bool wr_table_lock(struct wr_table *t, uint32_t most_ms)
{
    uint32_t state;

    if (t->ncells == 0 || !wr_lock(t->fd, 0, most_ms))
        return false;
    state = atomic_load(&t->head->state);
    atomic_store(&t->head->state, BUSY);
    if (state == NEW)
        empty_table(t);
    else if (state != READY)
        mend_table(t, "was left half written");
    return true;
}

void wr_table_unlock(struct wr_table *t)
{
    if (t->damaged)
        mend_table(t, "was damaged");
    atomic_store(&t->head->state, READY);
    wr_unlock(t->fd, 0);
}

bool wr_table_put(struct wr_table *t, struct wr_str key, struct wr_str value, uint64_t expires_s,
                  uint64_t now_s)
{
    uint32_t n = cells_for(key.n + value.n), hash = hash_of(t, key), i;
    struct cursor c;
    struct record *r;

    if (key.n > WR_TABLE_KEY_MAX || value.n == 0 || value.n > WR_TABLE_VALUE_MAX || n > t->ncells)
        return false;
    wr_table_remove(t, key);
    drop_expired(t, now_s);
    i = take_cells(t, n);
    if (i == 0)
        return false;
    c = cursor_at(t, i);
    r = record_at(t, i);
    write_word(&r->hash, hash);
    write_word(&r->sizes, (uint32_t)key.n << 16 | (uint32_t)value.n);
    atomic_store_explicit(&r->expires_s, expires_s, memory_order_relaxed);
    t->damaged |= !write_bytes(&c, key) || !write_bytes(&c, value) || !enter_order(t, i);
    write_word(&r->chain, read_word(bucket_of(t, hash)));
    write_word(bucket_of(t, hash), i);
    return !t->damaged;
}

size_t wr_table_get(struct wr_table *t, struct wr_str key, uint64_t now_s, void *out, size_t max)
{
    struct cursor value;
    uint32_t i = find_record(t, key, &value);
    size_t n;

    if (i == 0)
        return 0;
    if (has_expired(t, i, now_s)) {
        drop_record(t, i);
        return 0;
    }
    if (read_word(&t->head->newest) != i)
        t->damaged |= !leave_order(t, i) || !enter_order(t, i);
    n = read_word(&record_at(t, i)->sizes) & 0xffff;
    return n <= max && read_bytes(&value, out, n) ? n : 0;
}

void wr_table_remove(struct wr_table *t, struct wr_str key)
{
    struct cursor value;
    uint32_t i = find_record(t, key, &value);

    if (i != 0)
        drop_record(t, i);
}
