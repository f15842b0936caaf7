/* ledger: how many connections each process holds on each slot, and their totals. A process keeps
 * its own counts and shows them in its row of the zone before it changes a total. The row of a
 * slot of the run segment belongs to the holder of that slot's lock: so the keeper, which takes
 * back what the dead held, takes the lock first, and knows by that that nobody lives there.
 *
 * Called by pick and the end of a try in workers, by the keeper at its start and after a death. */
#include "upstream/upstream.h"

#define BELIEVED 3           /* looks in a row */

static bool is_used(const struct wr_zone *z, uint32_t process)
{
    return (atomic_load_explicit(&z->shared->rows[process / 64], memory_order_relaxed)
            >> (process % 64) & 1) != 0;
}

/* A total never goes below 0: whoever died between its row and the total had one less. */
static void take_back(_Atomic uint32_t *total, uint32_t held)
{
    uint32_t now = atomic_load(total);

    while (!atomic_compare_exchange_weak(total, &now, now - wr_min(now, held)))
        ;
}

/* What the row still says is of a process that is dead. */
static void clear_row(const struct wr_zone *z, uint32_t process)
{
    if (!is_used(z, process))
        return;
    for (uint32_t k = 0; k < z->slots; k++) {
        uint32_t held = atomic_exchange(wr_shared_ledger(z, process, k), 0);

        if (held > 0)
            take_back(&wr_shared_slot(z, k)->conns, held);
    }
}

/* ---- a process that counts ---- */

static void show(const struct wr_peers *v, uint32_t slot)
{
    if (wr_self.slot != WR_SLOT_NONE)
        atomic_store_explicit(wr_shared_ledger(&v->zone, wr_self.slot, slot), v->held[slot],
                              memory_order_relaxed);
}

void wr_ledger_show(struct wr_upstream *u)
{
    struct wr_peers *v = u->peers;

    for (uint32_t i = 0; v->held != NULL && wr_self.slot != WR_SLOT_NONE && i < v->zone.slots; i++)
        if (atomic_load(wr_shared_ledger(&v->zone, wr_self.slot, i)) != v->held[i])
            show(v, i);
}

static void begin(struct wr_upstream *u)
{
    struct wr_peers *v = u->peers;

    if (v->held == NULL)
        v->held = WR_NEW_ARRAY(u->pool, uint32_t, v->zone.slots);
    if (wr_self.slot == WR_SLOT_NONE)
        return;
    clear_row(&v->zone, wr_self.slot);
    atomic_fetch_or(&v->zone.shared->rows[wr_self.slot / 64],
                    (uint64_t)1 << (wr_self.slot % 64));
    wr_ledger_show(u); /* the bit may have been wrong */
}

void wr_ledger_begin(struct wr_conf *c)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);

    for (uint32_t i = 0; i < all->all.n; i++)
        begin(all->all.at[i]);
}

bool wr_peer_hold(struct wr_upstream *u, const struct wr_peer *peer)
{
    struct wr_peer_slot *s = peer->slot;
    struct wr_peers *v = u->peers;
    uint32_t before, generation, max;

    if (v->held == NULL)
        begin(u);
    /* The row first: no count outlives its holder. */
    v->held[peer->index]++;
    show(v, peer->index);
    before = atomic_fetch_add(&s->conns, 1);
    generation = atomic_load(&s->generation); /* after the count: see wr_slot_claim */
    max = atomic_load_explicit(&s->max_conns, memory_order_relaxed);
    if (generation != peer->generation || (generation & 1) != 0 || (max > 0 && before >= max)) {
        wr_peer_release(u, peer);
        return false;
    }
    atomic_fetch_add_explicit(&s->requests, 1, memory_order_relaxed);
    return true;
}

void wr_peer_release(struct wr_upstream *u, const struct wr_peer *peer)
{
    struct wr_peers *v = u->peers;

    take_back(&peer->slot->conns, 1);
    v->held[peer->index]--;
    show(v, peer->index);
}

/* ---- the keeper ---- */

static struct wr_ledger_seen *seen_of(struct wr_upstream *u)
{
    if (u->peers->seen == NULL)
        u->peers->seen = WR_NEW_ARRAY(u->pool, struct wr_ledger_seen, u->peers->zone.slots);
    return u->peers->seen;
}

bool wr_ledger_sweep(struct wr_conf *c)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);
    bool strangers = false;

    for (uint32_t k = 0; k < all->all.n; k++)
        memset(seen_of(all->all.at[k]), 0,
               all->all.at[k]->peers->zone.slots * sizeof(struct wr_ledger_seen));
    for (uint32_t i = 0; wr_self.run_fd >= 0 && i < WR_SLOTS; i++) {
        bool own = i == wr_self.slot; /* the keeper holds nothing, whatever stands there */

        if (!own && !wr_lock(wr_self.run_fd, i, 0)) {
            strangers |= i / (WR_SLOTS / 2) != wr_self.slot / (WR_SLOTS / 2);
            continue;
        }
        for (uint32_t k = 0; k < all->all.n; k++)
            clear_row(&all->all.at[k]->peers->zone, i);
        if (!own)
            wr_unlock(wr_self.run_fd, i);
    }
    return strangers;
}

enum wr_ledger_find wr_ledger_judge(struct wr_ledger_seen *seen, uint32_t column, uint32_t total)
{
    int32_t differs = (int32_t)(column - total);

    if (differs != seen->differs)
        *seen = (struct wr_ledger_seen){ .differs = differs };
    if (++seen->times < BELIEVED)
        return WR_LEDGER_LOOK;
    seen->times = BELIEVED;
    return differs == 0 ? WR_LEDGER_RIGHT : WR_LEDGER_WRONG;
}

static uint32_t column_of(const struct wr_zone *z, uint32_t slot)
{
    uint32_t sum = 0;

    for (uint32_t w = 0; w < WR_SLOTS / 64; w++) {
        uint64_t rows = atomic_load_explicit(&z->shared->rows[w], memory_order_relaxed);

        for (; rows != 0; rows &= rows - 1)
            sum += atomic_load(wr_shared_ledger(z, w * 64 + (uint32_t)__builtin_ctzll(rows), slot));
    }
    return sum;
}

static bool look_at(const struct wr_zone *z, struct wr_ledger_seen *seen, uint32_t slot)
{
    _Atomic uint32_t *conns = &wr_shared_slot(z, slot)->conns;
    uint32_t total = atomic_load(conns), column = column_of(z, slot);

    if (atomic_load(conns) != total) /* it is being used: another look */
        return false;
    switch (wr_ledger_judge(seen, column, total)) {
    case WR_LEDGER_RIGHT:
        return true;
    case WR_LEDGER_WRONG:
        (void)atomic_compare_exchange_strong(conns, &total, column);
        *seen = (struct wr_ledger_seen){ .times = 0 };
        return false;
    default:
        return false;
    }
}

bool wr_ledger_look(struct wr_conf *c)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);
    bool right = true;

    for (uint32_t i = 0; i < all->all.n; i++) {
        struct wr_ledger_seen *seen = seen_of(all->all.at[i]);
        const struct wr_zone *z = &all->all.at[i]->peers->zone;

        for (uint32_t k = 0; k < z->slots; k++)
            right &= look_at(z, &seen[k], k);
    }
    return right;
}
