/* tag_table: what was purged, by tag, by key and by prefix. Look-ups read it without a lock; the
 * few that purge write under the lock of byte 0 of the segment.
 *
 * Whatever a reader meets half-written errs to the side of "purged": a tag is forgotten by raising
 * the floor first, then taking the tag out, and readers look at the floor last. A writer that dies
 * leaves a floor that is higher than needed, or a purge that nobody was told of. Stamps that lie
 * more than a day in the future are damage, or a clock that was set back, and are passed over. */
#include "tag_table.h"

#define LOCK_MS 20
#define WAYS 16                    /* tags of a set; the oldest of a full one is forgotten */
#define SETS (WR_PURGE_TAGS / WAYS)
#define DAY_US (86400ULL * 1000000)
#define TAG_SEED 0x7461677461626c65U
#define PREFIX_SEED 0x7072656669786573U
#define KEY_SEED 0x6b65797374616773U
#define OF_KEY (1ULL << 63)        /* in a hash: of a key, not of a tag */

#define READ(word) atomic_load_explicit(&(word), memory_order_relaxed)

struct stamps {
    _Atomic uint64_t gone, stale;  /* the last hard and the last soft purge; 0: none */
};
struct wr_purge_head {
    _Atomic uint64_t last;         /* stamp that was given out */
    _Atomic uint64_t newest;       /* purge */
    struct stamps tag_floor, prefix_floor, key_floor;
};
struct wr_purge_set {
    _Atomic uint64_t tag[WAYS];    /* 0: none */
    struct stamps at[WAYS];
};
struct wr_purge_prefix {
    struct stamps at;              /* both 0: none */
    _Atomic uint64_t hash;
    _Atomic uint32_t length;
};

void wr_purges_place(struct wr_purges *p, struct wr_zone *z)
{
    *p = (struct wr_purges){ .fd = z->fd };
    p->head = wr_zone_part(z, sizeof(*p->head));
    p->sets = wr_zone_part(z, sizeof(*p->sets) * SETS);
    p->prefixes = wr_zone_part(z, sizeof(*p->prefixes) * WR_PURGE_PREFIXES);
}

/* ---- stamps ---- */

static uint64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t wr_purge_stamp(struct wr_purges *p)
{
    uint64_t now = now_us(), last = atomic_load(&p->head->last), next;

    do {
        next = last >= now && last < now + DAY_US ? last + 1 : now;
    } while (!atomic_compare_exchange_weak(&p->head->last, &last, next));
    return next;
}

static void raise_stamp(_Atomic uint64_t *word, uint64_t us)
{
    uint64_t old = atomic_load(word), most = now_us() + DAY_US;

    while (us <= most && (old < us || old > most) && !atomic_compare_exchange_weak(word, &old, us))
        ;
}

bool wr_purge_saw(struct wr_purges *p, uint64_t us)
{
    if (us > now_us() + DAY_US)
        return false;
    raise_stamp(&p->head->last, us);
    return true;
}

static void raise_stamps(struct stamps *s, uint64_t gone, uint64_t stale)
{
    if (gone != 0)
        raise_stamp(&s->gone, gone);
    if (stale != 0)
        raise_stamp(&s->stale, stale);
}

static uint64_t last_purge(const struct stamps *s)
{
    uint64_t gone = READ(s->gone), stale = READ(s->stale);

    return wr_max(gone, stale);
}

/* ---- purging ---- */

static struct wr_purge_set *set_of(const struct wr_purges *p, uint64_t tag)
{
    return &p->sets[(tag >> 16) % SETS];
}

uint64_t wr_purge_prefix_of(struct wr_str prefix)
{
    return wr_hash_stable(prefix, PREFIX_SEED);
}

static uint64_t as_tag(uint64_t hash)
{
    hash &= ~OF_KEY;
    return hash != 0 ? hash : 1;
}

uint64_t wr_purge_tag_of(struct wr_str tag)
{
    return as_tag(wr_hash_stable(tag, TAG_SEED));
}

uint64_t wr_purge_key_of(struct wr_str key)
{
    return wr_hash_stable(key, KEY_SEED) | OF_KEY;
}

/* The floor takes over what is forgotten. */
static void forget_purge(struct stamps *s, struct stamps *floor)
{
    raise_stamps(floor, READ(s->gone), READ(s->stale));
    atomic_thread_fence(memory_order_seq_cst);
}

static uint32_t way_for(struct wr_purge_set *s, uint64_t tag)
{
    uint32_t oldest = 0;

    for (uint32_t i = 0; i < WAYS; i++)
        if (READ(s->tag[i]) == tag)
            return i;
    for (uint32_t i = 0; i < WAYS; i++) {
        if (READ(s->tag[i]) == 0)
            return i;
        if (last_purge(&s->at[i]) < last_purge(&s->at[oldest]))
            oldest = i;
    }
    return oldest;
}

static void put_tag(struct wr_purges *p, uint64_t tag, uint64_t gone, uint64_t stale)
{
    struct wr_purge_set *s = set_of(p, tag);
    uint32_t i = way_for(s, tag);

    if (READ(s->tag[i]) != tag) {
        if (READ(s->tag[i]) != 0)
            forget_purge(&s->at[i], (READ(s->tag[i]) & OF_KEY) != 0 ? &p->head->key_floor
                                                                    : &p->head->tag_floor);
        atomic_store(&s->tag[i], 0);
        atomic_store(&s->at[i].gone, 0);
        atomic_store(&s->at[i].stale, 0);
    }
    raise_stamps(&s->at[i], gone, stale);
    atomic_store(&s->tag[i], tag);
}

static struct wr_purge_prefix *place_for(struct wr_purges *p, uint64_t hash, uint32_t length)
{
    struct wr_purge_prefix *oldest = &p->prefixes[0];

    for (uint32_t i = 0; i < WR_PURGE_PREFIXES; i++) {
        struct wr_purge_prefix *x = &p->prefixes[i];

        if (last_purge(&x->at) != 0 && READ(x->hash) == hash && READ(x->length) == length)
            return x;
    }
    for (uint32_t i = 0; i < WR_PURGE_PREFIXES; i++)
        if (last_purge(&p->prefixes[i].at) < last_purge(&oldest->at))
            oldest = &p->prefixes[i];
    return oldest;
}

static void put_prefix(struct wr_purges *p, uint64_t hash, uint32_t length, uint64_t gone,
                       uint64_t stale)
{
    struct wr_purge_prefix *x = place_for(p, hash, length);

    if (READ(x->hash) != hash || READ(x->length) != length) {
        forget_purge(&x->at, &p->head->prefix_floor);
        atomic_store(&x->at.gone, 0);
        atomic_store(&x->at.stale, 0);
        atomic_store(&x->hash, hash);
        atomic_store(&x->length, length);
    }
    raise_stamps(&x->at, gone, stale);
}

static bool lock_table(const struct wr_purges *p)
{
    return wr_lock(p->fd, 0, LOCK_MS);
}

static void unlock_table(struct wr_purges *p, uint64_t us)
{
    raise_stamp(&p->head->newest, us); /* what was looked at before is looked at again */
    wr_unlock(p->fd, 0);
}

bool wr_purge_tag(struct wr_purges *p, uint64_t tag, bool soft)
{
    uint64_t us;

    if (!lock_table(p))
        return false;
    us = wr_purge_stamp(p);
    put_tag(p, tag, soft ? 0 : us, soft ? us : 0);
    unlock_table(p, us);
    return true;
}

bool wr_purge_prefix(struct wr_purges *p, struct wr_str prefix, bool soft)
{
    uint64_t us;

    if (prefix.n > WR_CACHE_KEY_MAX || !lock_table(p))
        return false;
    us = wr_purge_stamp(p);
    put_prefix(p, wr_purge_prefix_of(prefix), (uint32_t)prefix.n, soft ? 0 : us,
               soft ? us : 0);
    unlock_table(p, us);
    return true;
}

/* ---- look-up ---- */

uint64_t wr_purge_newest(const struct wr_purges *p)
{
    return atomic_load(&p->head->newest);
}

struct check {                     /* of an object */
    uint64_t created, most;        /* stamps above `most` do not count */
    bool gone, stale;
};

static void compare_stamps(struct check *c, const struct stamps *s)
{
    uint64_t gone = READ(s->gone), stale = READ(s->stale);

    c->gone |= gone != 0 && gone >= c->created && gone <= c->most;
    c->stale |= stale != 0 && stale >= c->created && stale <= c->most;
}

static void check_tag(const struct wr_purges *p, uint64_t tag, struct check *c)
{
    const struct wr_purge_set *s = set_of(p, tag);

    for (uint32_t i = 0; i < WAYS; i++)
        if (atomic_load_explicit(&s->tag[i], memory_order_acquire) == tag)
            compare_stamps(c, &s->at[i]);
}

static void check_prefixes(const struct wr_purges *p, struct wr_str key, struct check *c)
{
    uint64_t hash = 0;
    uint32_t of = UINT32_MAX;      /* the length that hash is of */

    for (uint32_t i = 0; i < WR_PURGE_PREFIXES; i++) {
        const struct wr_purge_prefix *x = &p->prefixes[i];
        struct check one = *c;
        uint32_t length;

        compare_stamps(&one, &x->at);
        if (one.gone == c->gone && one.stale == c->stale)
            continue;
        atomic_thread_fence(memory_order_acquire);
        length = READ(x->length);
        if (length > key.n)
            continue;
        if (length != of)
            hash = wr_hash_stable(wr_str_of(key.p, length), PREFIX_SEED);
        of = length;
        if (READ(x->hash) == hash)
            *c = one;
    }
}

enum wr_purged wr_purge_check(const struct wr_purges *p, uint64_t created_us, struct wr_str key,
                              struct wr_str tags)
{
    struct check c = { .created = created_us, .most = now_us() + DAY_US };

    for (size_t i = 0; i + sizeof(uint64_t) <= tags.n; i += sizeof(uint64_t)) {
        uint64_t tag;

        memcpy(&tag, tags.p + i, sizeof(tag));
        check_tag(p, as_tag(tag), &c);
    }
    check_tag(p, wr_purge_key_of(key), &c);
    check_prefixes(p, key, &c);
    atomic_thread_fence(memory_order_seq_cst); /* the floors last */
    if (tags.n > 0)
        compare_stamps(&c, &p->head->tag_floor);
    compare_stamps(&c, &p->head->key_floor);
    compare_stamps(&c, &p->head->prefix_floor);
    if (c.gone || created_us > c.most)
        return WR_PURGED_GONE;
    return c.stale ? WR_PURGED_STALE : WR_PURGED_NOT;
}

/* ---- records ---- */

static bool fill_record(struct wr_purge_record *r, const struct stamps *s, enum wr_purge_kind kind,
                        uint64_t hash, uint32_t length)
{
    *r = (struct wr_purge_record){ hash, READ(s->gone), READ(s->stale), length, (uint32_t)kind };
    return r->gone_us != 0 || r->stale_us != 0;
}

static struct stamps *floor_of(const struct wr_purges *p, enum wr_purge_kind kind)
{
    struct wr_purge_head *h = p->head;
    struct stamps *const floors[] = {
        [WR_PURGE_TAG_FLOOR] = &h->tag_floor, [WR_PURGE_PREFIX_FLOOR] = &h->prefix_floor,
        [WR_PURGE_KEY_FLOOR] = &h->key_floor,
    };

    return floors[kind];
}

static bool record_at(const struct wr_purges *p, uint32_t i, struct wr_purge_record *r)
{
    if (i < WR_PURGE_TAGS) {
        const struct wr_purge_set *s = &p->sets[i / WAYS];
        uint64_t tag = READ(s->tag[i % WAYS]);

        return tag != 0 && fill_record(r, &s->at[i % WAYS], WR_PURGE_TAG, tag, 0);
    }
    i -= WR_PURGE_TAGS;
    if (i < WR_PURGE_PREFIXES)
        return fill_record(r, &p->prefixes[i].at, WR_PURGE_PREFIX, READ(p->prefixes[i].hash),
                           READ(p->prefixes[i].length));
    i -= WR_PURGE_PREFIXES;
    return fill_record(r, floor_of(p, WR_PURGE_TAG_FLOOR + i), WR_PURGE_TAG_FLOOR + i, 0, 0);
}

bool wr_purge_next(const struct wr_purges *p, uint32_t *cursor, struct wr_purge_record *out)
{
    while (*cursor < WR_PURGE_TAGS + WR_PURGE_PREFIXES + WR_PURGE_KINDS - WR_PURGE_TAG_FLOOR)
        if (record_at(p, (*cursor)++, out))
            return true;
    return false;
}

bool wr_purge_restore(struct wr_purges *p, const struct wr_purge_record *r)
{
    uint64_t us = wr_max(r->gone_us, r->stale_us);

    if (us == 0 || us > now_us() + DAY_US || r->kind >= WR_PURGE_KINDS ||
        (r->kind == WR_PURGE_TAG && r->hash == 0) || !lock_table(p))
        return false;
    if (r->kind == WR_PURGE_TAG)
        put_tag(p, r->hash, r->gone_us, r->stale_us);
    else if (r->kind == WR_PURGE_PREFIX)
        put_prefix(p, r->hash, r->length, r->gone_us, r->stale_us);
    else
        raise_stamps(floor_of(p, r->kind), r->gone_us, r->stale_us);
    raise_stamp(&p->head->last, us);
    unlock_table(p, us);
    return true;
}
