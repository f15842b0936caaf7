/* peer_ledger: counts the leases each process holds of each peer, in the ledger of the group's zone
 * (core/os/zone_ledger.c): one column for each slot; the slot has the total. Workers call it at a
 * pick and at the end of a try, the keeper at its start and after the death of a process. */
#include "upstream/upstream_impl.h"

void wr_peers_begin(struct wr_conf *c)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);

    for (uint32_t i = 0; i < all->all.n; i++) {
        struct wr_peer_zone *z = &all->all.at[i]->peers->zone;

        wr_ledger_begin(&z->ledger, all->all.at[i]->pool);
        if (wr_self.slot != WR_SLOT_NONE)
            wr_queue_clear(&z->queue, wr_self.slot);
    }
}

bool wr_peer_hold(struct wr_upstream *u, const struct wr_peer *peer)
{
    struct wr_ledger *l = &u->peers->zone.ledger;
    struct wr_peer_slot *s = peer->slot;
    uint32_t generation;

    if (l->held == NULL)
        wr_ledger_begin(l, u->pool);
    if (!wr_ledger_hold(l, peer->index,
                        atomic_load_explicit(&s->max_conns, memory_order_relaxed)))
        return false;
    generation = atomic_load(&s->generation); /* must follow the count: see wr_slot_claim */
    if (generation != peer->generation || (generation & 1) != 0) {
        wr_peer_release(u, peer);
        return false;
    }
    atomic_fetch_add_explicit(&s->requests, 1, memory_order_relaxed);
    return true;
}

void wr_peer_release(struct wr_upstream *u, const struct wr_peer *peer)
{
    wr_ledger_release(&u->peers->zone.ledger, peer->index);
    wr_waiting_tell(u);
}

/* ---- the keeper ---- */

static void clear_rows(void *arg, uint32_t process)
{
    struct wr_upstreams *all = arg;

    for (uint32_t i = 0; i < all->all.n; i++) {
        wr_queue_clear(&all->all.at[i]->peers->zone.queue, process);
        wr_ledger_clear(&all->all.at[i]->peers->zone.ledger, process);
    }
}

bool wr_peers_sweep(struct wr_conf *c)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);
    bool again;

    for (uint32_t i = 0; i < all->all.n; i++) {
        wr_ledger_forget(&all->all.at[i]->peers->zone.ledger);
        wr_ledger_forget(&all->all.at[i]->peers->zone.queue.places);
    }
    again = wr_ledger_sweep(clear_rows, all);
    for (uint32_t i = 0; i < all->all.n; i++)
        wr_waiting_tell(all->all.at[i]);
    return again;
}

bool wr_peers_look(struct wr_conf *c)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);
    bool right = true;

    for (uint32_t i = 0; i < all->all.n; i++) {
        struct wr_upstream *u = all->all.at[i];
        bool conns = wr_ledger_look(&u->peers->zone.ledger, u->pool);

        right &= wr_ledger_look(&u->peers->zone.queue.places, u->pool) && conns;
        if (!conns) /* counts may be lower now */
            wr_waiting_tell(u);
    }
    return right;
}
