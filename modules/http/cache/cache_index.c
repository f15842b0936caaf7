/* cache_index: look-ups, and who fills an entry. Both are without locks; only the first request for
 * a name takes one, to make its entry. How entries lie in shared memory: cache_shard.
 *
 * A leader is a word of the entry, taken by compare and swap: the process and the time. It is none
 * any more if the process is dead, or has led for too long. Two sides may meet: one becomes the
 * leader, another drops the entry. The first writes the word, then looks whether the entry is still
 * in use; the second makes its generation odd, then looks at the word. One of the two sees the
 * other and steps back. */
#include "cache_entry.h"

#define COPY_TRIES 8               /* of an entry that changes all the time */
#define LEAD_TRIES 8
#define TRUST_MS 200               /* so long a leader is taken for alive without a look */
#define TOUCH_MS 100

/* ---- look-up ---- */

static bool find_entry(struct wr_cache_index *ix, const struct wr_cache_place *p,
                       struct wr_cache_view *v)
{
    uint32_t i, first = p->shard * ix->each;

    i = atomic_load_explicit(&ix->bucket[p->bucket], memory_order_acquire);
    for (uint32_t step = 0; i - 1 - first < ix->each && step <= WR_CACHE_CHAIN_MAX; step++) {
        const struct wr_cache_entry *e = &ix->entry[i - 1];

        if (WR_READ(e->name[0]) == p->name[0] && WR_READ(e->name[1]) == p->name[1]) {
            for (uint32_t tries = 0; tries < COPY_TRIES; tries++)
                if (wr_cache_entry_copy(ix, i - 1, v))
                    return memcmp(v->name.digest, p->name, sizeof(p->name)) == 0;
            return false;
        }
        i = atomic_load_explicit(&e->chain, memory_order_acquire);
    }
    return false;
}

bool wr_cache_index_find(struct wr_cache_index *ix, const struct wr_cache_name *name,
                         struct wr_cache_view *v)
{
    struct wr_cache_place p;

    if (ix->each == 0)
        return false;
    p = wr_cache_place_of(ix, name);
    return find_entry(ix, &p, v);
}

bool wr_cache_index_holds(const struct wr_cache_index *ix, const struct wr_cache_view *v)
{
    const struct wr_cache_entry *e = &ix->entry[v->at];

    atomic_thread_fence(memory_order_acquire);
    return WR_READ(e->memory_number) == v->memory.number
        && WR_READ(e->created_us) == v->created_us;
}

void wr_cache_index_touch(struct wr_cache_index *ix, const struct wr_cache_view *v)
{
    struct wr_cache_entry *e = &ix->entry[v->at];
    uint64_t now = wr_now();

    WR_WRITE(e->uses, v->uses + 1); /* one of two at the same time is lost, which costs nothing */
    if (now - v->used_ms >= (ix->shards == 1 ? 1 : TOUCH_MS))
        WR_WRITE(e->used_ms, now);
}

/* The old value is the object's own stamp or a purge that was compared with it, so another object
 * of the entry has another one, or was made later than that purge. */
void wr_cache_index_clear(struct wr_cache_index *ix, const struct wr_cache_view *v, uint64_t us)
{
    struct wr_cache_entry *e = &ix->entry[v->at];
    uint64_t old = v->cleared_us;

    if (us <= old || !atomic_compare_exchange_strong(&e->cleared_us, &old, us))
        return;
    if (atomic_load(&e->created_us) != v->created_us)
        WR_WRITE(e->cleared_us, 0);
}

void wr_cache_index_set_user(struct wr_cache_index *ix, const struct wr_cache_view *v,
                             uint64_t user)
{
    WR_WRITE(ix->entry[v->at].user, user);
}

/* ---- leaders ---- */

uint64_t wr_cache_leader_me(void)
{
    return (uint64_t)wr_cache_holder_me() << 32 | (uint32_t)wr_now();
}

bool wr_cache_leader_is_over(uint64_t leader, uint64_t age_ms)
{
    uint32_t age = wr_cache_leader_age(leader);

    if (leader == 0 || (age_ms > 0 && age >= age_ms))
        return true;
    return age >= TRUST_MS && wr_cache_holder_is_gone((uint32_t)(leader >> 32));
}

uint32_t wr_cache_index_leader_slot(const struct wr_cache_view *v)
{
    return v->leader != 0 ? wr_cache_holder_slot((uint32_t)(v->leader >> 32)) : WR_SLOT_NONE;
}

uint64_t wr_cache_index_leader_ms(const struct wr_cache_view *v)
{
    return v->leader != 0 ? wr_cache_leader_age(v->leader) : 0;
}

static void ring_name(struct wr_cache_index *ix, const struct wr_cache_name *name)
{
    if (ix->waits != NULL)
        wr_cache_waits_ring(ix->waits, name);
}

/* Takes a word of the entry that was found as v: `leader` or `updating`. */
static bool take_word(struct wr_cache_index *ix, const struct wr_cache_view *v,
                      _Atomic uint64_t *word, uint64_t old, uint64_t me)
{
    struct wr_cache_entry *e = &ix->entry[v->at];
    uint64_t name[2], was = old;

    if (!atomic_compare_exchange_strong(word, &old, me))
        return false;
    memcpy(name, v->name.digest, sizeof(name));
    atomic_thread_fence(memory_order_seq_cst);
    if (wr_cache_entry_in_use(e) && WR_READ(e->name[0]) == name[0] &&
        WR_READ(e->name[1]) == name[1])
        return true;
    (void)atomic_compare_exchange_strong(word, &me, was); /* it is being changed */
    return false;
}

static enum wr_cache_led new_leader(struct wr_cache_index *ix, const struct wr_cache_place *p,
                                    uint64_t me, struct wr_cache_view *v)
{
    struct wr_cache_entry *e;
    enum wr_cache_led led = WR_CACHE_NO_LEADER;

    if (!wr_cache_shard_lock(ix, p->shard, true))
        return WR_CACHE_LEAD_BUSY;
    e = wr_cache_shard_find(ix, p);
    if (e != NULL) {
        led = WR_CACHE_FOLLOWS; /* if it leads to one; the caller looks again */
    } else {
        e = wr_cache_shard_new(ix, p);
        if (e != NULL) {
            WR_WRITE(e->uses, 1);
            WR_WRITE(e->leader, me);
            wr_cache_shard_link(ix, p, e);
            led = wr_cache_entry_copy(ix, wr_cache_entry_number(ix, e), v) ? WR_CACHE_LEADS
                                                                            : WR_CACHE_NO_LEADER;
        }
    }
    wr_cache_shard_unlock(ix, p->shard);
    return led;
}

enum wr_cache_led wr_cache_index_lead(struct wr_cache_index *ix, const struct wr_cache_name *name,
                                      uint64_t age_ms, struct wr_cache_view *v)
{
    struct wr_cache_place p;
    enum wr_cache_led led;
    uint64_t me;

    if (ix->each == 0)
        return WR_CACHE_NO_LEADER;
    p = wr_cache_place_of(ix, name);
    for (uint32_t tries = 0; tries < LEAD_TRIES; tries++) {
        me = wr_cache_leader_me();
        if (!find_entry(ix, &p, v)) {
            led = new_leader(ix, &p, me, v);
            if (led != WR_CACHE_FOLLOWS)
                return led;
        } else if (!wr_cache_leader_is_over(v->leader, age_ms)) {
            return WR_CACHE_FOLLOWS;
        } else if (take_word(ix, v, &ix->entry[v->at].leader, v->leader, me)) {
            WR_WRITE(ix->entry[v->at].filling_number, 0);
            v->leader = me;
            v->filling = (struct wr_cache_ref){ .number = 0 };
            return WR_CACHE_LEADS;
        }
    }
    return WR_CACHE_LEAD_BUSY; /* who changes the entry does not run just now */
}

bool wr_cache_index_leads(const struct wr_cache_index *ix, const struct wr_cache_view *v)
{
    return v->leader != 0 && WR_READ(ix->entry[v->at].leader) == v->leader;
}

void wr_cache_index_show(struct wr_cache_index *ix, const struct wr_cache_view *v,
                         const struct wr_cache_ref *filling)
{
    struct wr_cache_entry *e = &ix->entry[v->at];

    if (!wr_cache_index_leads(ix, v))
        return;
    atomic_store_explicit(&e->filling_at, filling->at, memory_order_relaxed);
    atomic_store_explicit(&e->filling_number, filling->number, memory_order_release);
    ring_name(ix, &v->name);
}

void wr_cache_index_lead_end(struct wr_cache_index *ix, const struct wr_cache_view *v)
{
    struct wr_cache_entry *e = &ix->entry[v->at];
    uint64_t me = v->leader;

    if (!wr_cache_index_leads(ix, v))
        return;
    WR_WRITE(e->filling_number, 0);
    if (atomic_compare_exchange_strong(&e->leader, &me, 0))
        ring_name(ix, &v->name);
}

bool wr_cache_index_update(struct wr_cache_index *ix, struct wr_cache_view *v, uint64_t age_ms)
{
    _Atomic uint64_t *word = &ix->entry[v->at].updating;
    uint64_t old = WR_READ(*word), me = wr_cache_leader_me();

    if (!wr_cache_leader_is_over(old, age_ms) || !take_word(ix, v, word, old, me))
        return false;
    v->updating = me;
    return true;
}

void wr_cache_index_update_end(struct wr_cache_index *ix, const struct wr_cache_view *v)
{
    uint64_t me = v->updating;

    if (me != 0 && atomic_compare_exchange_strong(&ix->entry[v->at].updating, &me, 0))
        ring_name(ix, &v->name);
}
