/* peer_ledger: counts the leases each process holds of each peer, in the ledger of the group's zone
 * (core/os/zone_ledger.c): one column for each slot; the slot has the total. Workers call it at a
 * pick and at the end of a try, the keeper at its start and after the death of a process. */
#include "upstream/upstream_impl.h"

void wr_peers_begin(struct wr_conf *c)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);

    for (uint32_t i = 0; i < all->all.n; i++)
        wr_ledger_begin(&all->all.at[i]->peers->zone.ledger, all->all.at[i]->pool);
}

bool wr_peer_hold(struct wr_upstream *u, const struct wr_peer *peer)
{
    struct wr_ledger *l = &u->peers->zone.ledger;
    struct wr_peer_slot *s = peer->slot;
    uint32_t before, generation, max;

    if (l->held == NULL)
        wr_ledger_begin(l, u->pool);
    before = wr_ledger_hold(l, peer->index);
    generation = atomic_load(&s->generation); /* must follow the count: see wr_slot_claim */
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
    wr_ledger_release(&u->peers->zone.ledger, peer->index);
}

/* ---- the keeper ---- */

static void clear_rows(void *arg, uint32_t process)
{
    struct wr_upstreams *all = arg;

    for (uint32_t i = 0; i < all->all.n; i++)
        wr_ledger_clear(&all->all.at[i]->peers->zone.ledger, process);
}

bool wr_peers_sweep(struct wr_conf *c)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);

    for (uint32_t i = 0; i < all->all.n; i++)
        wr_ledger_forget(&all->all.at[i]->peers->zone.ledger);
    return wr_ledger_sweep(clear_rows, all);
}

bool wr_peers_look(struct wr_conf *c)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);
    bool right = true;

    for (uint32_t i = 0; i < all->all.n; i++)
        right &= wr_ledger_look(&all->all.at[i]->peers->zone.ledger, all->all.at[i]->pool);
    return right;
}
