/* cache_change: what is stored under a name changes: stored, on the disk, in memory, purged,
 * removed; and the keeper's walks. All but the walks run under the lock of a shard (cache_shard). A
 * process that dies in a change leaves the entry open, and the next one drops it. */
#include "cache_entry.h"

#include <errno.h>

#define DAY_US (86400ULL * 1000000)
#define SAMPLE 256                 /* of which the least recently used file goes */

static void ring_name(struct wr_cache_index *ix, const struct wr_cache_name *name)
{
    if (ix->waits != NULL)
        wr_cache_waits_ring(ix->waits, name);
}

/* False with errno: EAGAIN if the holder of the lock does not run just now. */
static bool lock_shard(struct wr_cache_index *ix, uint32_t shard)
{
    bool locked = wr_cache_shard_lock(ix, shard, false);

    errno = locked ? ESTALE : EAGAIN; /* what a caller finds later is no matter of the lock */
    return locked;
}

static bool open_entry(struct wr_cache_entry *e)
{
    bool is_open = wr_cache_entry_open(e);

    errno = is_open ? ESTALE : EAGAIN;
    return is_open;
}

static uint32_t pages_of(uint64_t bytes)
{
    return (uint32_t)wr_min((bytes + WR_CACHE_PAGE - 1) / WR_CACHE_PAGE, (uint64_t)UINT32_MAX);
}

static void count_pages(struct wr_cache_index *ix, uint32_t shard, struct wr_cache_entry *e,
                        uint32_t pages)
{
    struct wr_cache_shard *s = &ix->shard[shard];

    WR_WRITE(s->pages, WR_READ(s->pages) - WR_READ(e->pages) + pages);
    WR_WRITE(e->pages, pages);
}

/* The entry is open. */
static void put_memory(struct wr_cache_index *ix, uint32_t shard, struct wr_cache_entry *e,
                       const struct wr_cache_ref *m)
{
    struct wr_cache_shard *s = &ix->shard[shard];
    bool valid = m->number != 0 && m->at < ix->cells;

    if (atomic_exchange(&e->memory_number, 0) != 0)
        (void)atomic_fetch_sub(&s->memory, WR_READ(e->memory_size));
    if (!valid)
        return;
    WR_WRITE(ix->owner[m->at], wr_cache_entry_number(ix, e));
    atomic_store_explicit(&e->memory_at, m->at, memory_order_relaxed);
    atomic_store_explicit(&e->memory_size, m->size, memory_order_relaxed);
    (void)atomic_fetch_add(&s->memory, m->size);
    atomic_store(&e->memory_number, m->number);
}

/* A later stamp is damage, and must not keep everything out for ever. */
static uint64_t day_ahead(void)
{
    return wr_clock.wall_ms * 1000 + DAY_US;
}

static bool is_purged(uint64_t created_us, uint64_t purged_us)
{
    return created_us <= purged_us && purged_us < day_ahead();
}

/* The entry of p for a new object, open; NULL: it must not be stored. *made: it is new, and not
 * linked yet. */
static struct wr_cache_entry *entry_to_store(struct wr_cache_index *ix,
                                             const struct wr_cache_place *p,
                                             const struct wr_cache_stored *s, bool *made)
{
    struct wr_cache_entry *e = wr_cache_shard_find(ix, p);

    *made = e == NULL;
    if (!s->loaded && is_purged(s->created_us, WR_READ(ix->shard[p->shard].floor_us)))
        return NULL;
    if (e == NULL)
        return wr_cache_shard_new(ix, p);
    if (is_purged(s->created_us, WR_READ(e->purged_us)) ||
        (WR_READ(e->created_us) > s->created_us && WR_READ(e->created_us) < day_ahead()))
        return NULL;
    return open_entry(e) ? e : NULL;
}

/* The entry is open. */
static void put_object(struct wr_cache_index *ix, uint32_t shard, struct wr_cache_entry *e,
                       const struct wr_cache_stored *s)
{
    put_memory(ix, shard, e, &s->memory);
    WR_WRITE(e->created_us, s->created_us);
    WR_WRITE(e->cleared_us, s->created_us);
    WR_WRITE(e->flags, s->flags);
    WR_WRITE(e->used_ms, s->used_ms != 0 ? s->used_ms : wr_now());
}

bool wr_cache_index_store(struct wr_cache_index *ix, const struct wr_cache_name *name,
                          const struct wr_cache_stored *s)
{
    struct wr_cache_place p;
    struct wr_cache_entry *e;
    bool made;
    int err;

    errno = ESTALE;
    if (ix->each == 0 || s->created_us == 0 || s->created_us > day_ahead())
        return false;
    p = wr_cache_place_of(ix, name);
    if (!lock_shard(ix, p.shard))
        return false;
    e = entry_to_store(ix, &p, s, &made);
    if (e != NULL) {
        count_pages(ix, p.shard, e, pages_of(s->disk));
        put_object(ix, p.shard, e, s);
        if (made)
            wr_cache_shard_link(ix, &p, e);
        else
            wr_cache_entry_close(e);
    }
    err = errno;
    wr_cache_shard_unlock(ix, p.shard);
    if (e != NULL)
        ring_name(ix, name);
    errno = err;
    return e != NULL;
}

/* Without a lock, as nobody else may drop the entry. The counts of files are under the lock. */
static bool store_unlocked(struct wr_cache_index *ix, struct wr_cache_entry *e, uint64_t leader,
                           const struct wr_cache_stored *s)
{
    uint32_t shard = wr_cache_entry_number(ix, e) / ix->each;
    bool stored;

    if (s->disk != 0 || s->created_us > day_ahead() || !wr_cache_entry_open(e))
        return false;
    stored = WR_READ(e->leader) == leader && WR_READ(e->pages) == 0
             && !is_purged(s->created_us, WR_READ(e->purged_us))
             && WR_READ(e->created_us) <= s->created_us;
    if (stored)
        put_object(ix, shard, e, s);
    wr_cache_entry_close(e);
    return stored;
}

bool wr_cache_index_store_led(struct wr_cache_index *ix, const struct wr_cache_view *led,
                              const struct wr_cache_stored *s)
{
    if (!wr_cache_index_leads(ix, led) ||
        !store_unlocked(ix, &ix->entry[led->at], led->leader, s))
        return wr_cache_index_store(ix, &led->name, s);
    ring_name(ix, &led->name);
    return true;
}

/* Locks the shard of the name; the entry if its object was made at created_us, else NULL and not
 * locked. */
static struct wr_cache_entry *lock_object(struct wr_cache_index *ix,
                                          const struct wr_cache_name *name, uint64_t created_us,
                                          uint32_t *shard)
{
    struct wr_cache_place p;
    struct wr_cache_entry *e;

    errno = ESTALE;
    if (ix->each == 0)
        return NULL;
    p = wr_cache_place_of(ix, name);
    *shard = p.shard;
    if (!lock_shard(ix, p.shard))
        return NULL;
    e = wr_cache_shard_find(ix, &p);
    if (e != NULL && WR_READ(e->created_us) == created_us)
        return e;
    wr_cache_shard_unlock(ix, p.shard);
    errno = ESTALE;
    return NULL;
}

/* The same, and opens it. */
static struct wr_cache_entry *open_object(struct wr_cache_index *ix,
                                          const struct wr_cache_name *name, uint64_t created_us,
                                          uint32_t *shard)
{
    struct wr_cache_entry *e = lock_object(ix, name, created_us, shard);
    int err;

    if (e == NULL)
        return NULL;
    if (open_entry(e)) {
        if (WR_READ(e->created_us) == created_us)
            return e;
        wr_cache_entry_close(e);
    }
    err = errno;
    wr_cache_shard_unlock(ix, *shard);
    errno = err;
    return NULL;
}

bool wr_cache_index_set_disk(struct wr_cache_index *ix, const struct wr_cache_name *name,
                             uint64_t created_us, uint64_t bytes)
{
    uint32_t shard;
    struct wr_cache_entry *e = open_object(ix, name, created_us, &shard);

    if (e == NULL)
        return false;
    count_pages(ix, shard, e, pages_of(bytes));
    wr_cache_entry_close(e);
    wr_cache_shard_unlock(ix, shard);
    return true;
}

bool wr_cache_index_set_memory(struct wr_cache_index *ix, const struct wr_cache_name *name,
                               uint64_t created_us, const struct wr_cache_ref *memory)
{
    uint32_t shard;
    struct wr_cache_entry *e = open_object(ix, name, created_us, &shard);

    if (e == NULL)
        return false;
    put_memory(ix, shard, e, memory);
    wr_cache_entry_close(e);
    wr_cache_shard_unlock(ix, shard);
    return true;
}

/* The object goes, and with it the entry, unless somebody leads. */
static bool remove_object(struct wr_cache_index *ix, uint32_t shard, struct wr_cache_entry *e,
                          uint64_t created_us)
{
    bool same;

    if (wr_cache_shard_drop(ix, shard, e))
        return true;
    if (!wr_cache_entry_open(e))
        return false;
    same = WR_READ(e->created_us) == created_us; /* the leader may just have stored another one */
    if (same)
        wr_cache_entry_clear_object(ix, shard, e);
    wr_cache_entry_close(e);
    return same;
}

bool wr_cache_index_remove(struct wr_cache_index *ix, const struct wr_cache_name *name,
                           uint64_t created_us, struct wr_cache_view *v)
{
    uint32_t shard;
    struct wr_cache_entry *e = lock_object(ix, name, created_us, &shard);
    bool removed;

    if (e == NULL)
        return false;
    removed = (v == NULL || wr_cache_entry_copy(ix, wr_cache_entry_number(ix, e), v))
              && remove_object(ix, shard, e, created_us);
    wr_cache_shard_unlock(ix, shard);
    if (removed)
        ring_name(ix, name);
    return removed;
}

/* Purges may come late: that of the previous index, when it is copied. */
static void note_purge(struct wr_cache_entry *e, uint64_t us)
{
    uint64_t purged = WR_READ(e->purged_us);

    if (us > purged || purged >= day_ahead())
        WR_WRITE(e->purged_us, us);
}

bool wr_cache_index_purge(struct wr_cache_index *ix, const struct wr_cache_name *name, uint64_t us,
                          bool soft, struct wr_cache_view *v)
{
    struct wr_cache_view was = { .name = *name };
    struct wr_cache_place p;
    struct wr_cache_entry *e;
    bool made;

    if (ix->each == 0)
        return false;
    p = wr_cache_place_of(ix, name);
    if (!wr_cache_shard_lock(ix, p.shard, false))
        return false;
    e = wr_cache_shard_find(ix, &p);
    made = e == NULL;
    if (made)
        e = wr_cache_shard_new(ix, &p); /* for those who fill it without leading */
    if (e == NULL || (!made && !wr_cache_entry_open(e))) {
        wr_cache_shard_unlock(ix, p.shard);
        return false;
    }
    if (!made)
        wr_cache_entry_read(ix, wr_cache_entry_number(ix, e), &was);
    note_purge(e, us);
    if (!soft && WR_READ(e->created_us) <= us)
        wr_cache_entry_clear_object(ix, p.shard, e);
    if (made)
        wr_cache_shard_link(ix, &p, e);
    else
        wr_cache_entry_close(e);
    wr_cache_shard_unlock(ix, p.shard);
    ring_name(ix, name);
    if (v != NULL)
        *v = was;
    return true;
}

/* ---- keeper ---- */

static void end_dead(struct wr_cache_index *ix, struct wr_cache_entry *e,
                     const struct wr_cache_view *v)
{
    uint64_t leader = v->leader, updating = v->updating;

    if (updating != 0 && wr_cache_leader_is_over(updating, 0))
        (void)atomic_compare_exchange_strong(&e->updating, &updating, 0);
    if (leader == 0 || !wr_cache_leader_is_over(leader, 0))
        return;
    WR_WRITE(e->filling_number, 0);
    if (atomic_compare_exchange_strong(&e->leader, &leader, 0))
        ring_name(ix, &v->name);
}

static void check_shard(struct wr_cache_index *ix, uint32_t shard)
{
    if (!wr_cache_shard_lock(ix, shard, false))
        return;
    wr_cache_shard_check(ix, shard);
    wr_cache_shard_unlock(ix, shard);
}

bool wr_cache_index_walk(struct wr_cache_index *ix, uint32_t *cursor, uint32_t n,
                         void (*fn)(void *arg, const struct wr_cache_view *v), void *arg)
{
    uint32_t all = ix->each * ix->shards;

    for (; n > 0 && *cursor < all; n--, ++*cursor) {
        struct wr_cache_view v;
        uint32_t shard = *cursor / ix->each, i = *cursor % ix->each;

        if (i == 0)
            check_shard(ix, shard);
        if (i >= WR_READ(ix->shard[shard].fresh)) { /* the rest of the shard was never used */
            *cursor += ix->each - 1 - i;
            continue;
        }
        if (!wr_cache_entry_copy(ix, *cursor, &v))
            continue;
        end_dead(ix, &ix->entry[*cursor], &v);
        v.used_ms = wr_cache_used_ms(v.used_ms);
        if (fn != NULL)
            fn(arg, &v);
    }
    if (*cursor < all)
        return false;
    *cursor = 0;
    return true;
}

static void older_file(struct wr_cache_index *ix, uint32_t at, uint64_t before_ms,
                       struct wr_cache_view *oldest)
{
    struct wr_cache_view v;

    if (WR_READ(ix->entry[at].pages) == 0
        || wr_cache_used_ms(WR_READ(ix->entry[at].used_ms)) >= before_ms
        || !wr_cache_entry_copy(ix, at, &v) || v.disk == 0 || v.leader != 0)
        return;
    v.used_ms = wr_cache_used_ms(v.used_ms);
    if (oldest->created_us == 0 || v.used_ms < oldest->used_ms)
        *oldest = v;
}

bool wr_cache_index_take(struct wr_cache_index *ix, uint64_t before_ms, struct wr_cache_view *v)
{
    uint32_t all = ix->each * ix->shards, n = wr_min(all, (uint32_t)SAMPLE), shard, from;
    struct wr_cache_view oldest = { .created_us = 0 };

    if (all == 0)
        return false;
    shard = (uint32_t)(wr_random() % ix->shards);
    from = wr_cache_read_most(&ix->shard[shard].fresh, ix->each);
    if (ix->shards == 1)
        n = from;
    from = from > n ? (uint32_t)(wr_random() % (from - n + 1)) : 0;
    for (uint32_t i = 0; i < n && from + i < ix->each; i++)
        older_file(ix, shard * ix->each + from + i, before_ms, &oldest);
    return oldest.created_us != 0
        && wr_cache_index_remove(ix, &oldest.name, oldest.created_us, v);
}

struct wr_cache_totals wr_cache_index_totals(const struct wr_cache_index *ix)
{
    struct wr_cache_totals t = { 0 };

    for (uint32_t i = 0; ix->each > 0 && i < ix->shards; i++) {
        t.entries += WR_READ(ix->shard[i].entries);
        t.disk += WR_READ(ix->shard[i].pages) * WR_CACHE_PAGE;
        t.memory += WR_READ(ix->shard[i].memory);
    }
    return t;
}

/* ---- for the memory tier ---- */

bool wr_cache_index_refers(const struct wr_cache_index *ix, uint32_t at, uint64_t number,
                           uint64_t *used_ms)
{
    const struct wr_cache_entry *e;

    if (at >= ix->each * ix->shards || number == 0)
        return false;
    e = &ix->entry[at];
    *used_ms = WR_READ(e->used_ms);
    return atomic_load(&e->memory_number) == number;
}

bool wr_cache_index_evict(struct wr_cache_index *ix, uint32_t at, uint64_t number)
{
    struct wr_cache_entry *e;
    uint32_t size;

    if (at >= ix->each * ix->shards)
        return false;
    e = &ix->entry[at];
    size = WR_READ(e->memory_size);
    if (!atomic_compare_exchange_strong(&e->memory_number, &number, 0))
        return false;
    (void)atomic_fetch_sub(&ix->shard[at / ix->each].memory, size);
    return true;
}

bool wr_cache_index_has(const struct wr_cache_index *ix, uint32_t at, uint64_t number)
{
    const struct wr_cache_entry *e = &ix->entry[at];

    return atomic_load(&e->memory_number) == number || atomic_load(&e->filling_number) == number;
}
