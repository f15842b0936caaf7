/* peer_view: a worker's view of an upstream's peers, rebuilt when the zone has a new version, and
 * the rules that decide whether a peer may be picked. Balancers and the step pick call it. */
#include "upstream/upstream_impl.h"

static void group_add(struct wr_peer_group *g, const struct wr_peer_zone *z, uint32_t slot)
{
    struct wr_peer *p = &g->at[g->n++];

    p->index = slot;
    p->slot = &z->slot[slot];
    p->generation = atomic_load(&p->slot->generation);
}

/* Peers that are down in the configuration have no turn. The others keep theirs while they are out
 * for a time. */
static void group_schedule(struct wr_peer_group *g, struct wr_pool *pool)
{
    uint32_t *weights = WR_NEW_ARRAY(pool, uint32_t, g->n + 1);

    for (uint32_t i = 0; i < g->n; i++) {
        const struct wr_peer_slot *s = g->at[i].slot;

        if (atomic_load_explicit(&s->down, memory_order_relaxed) == 0)
            weights[i] = atomic_load_explicit(&s->weight, memory_order_relaxed);
    }
    wr_schedule_make(&g->schedule, pool, weights, g->n);
}

static bool is_backup(const struct wr_peer_slot *s)
{
    return atomic_load_explicit(&s->backup, memory_order_relaxed) != 0;
}

void wr_peers_rebuild(struct wr_upstream *u)
{
    struct wr_peers *v = u->peers;
    struct wr_peer_zone *z = &v->zone;
    uint32_t *slots = wr_calloc(z->slots, sizeof(*slots));
    uint32_t n = wr_roster_read(&z->members, slots, &v->version);

    wr_pool_free(v->pool);
    v->pool = wr_pool_new(0);
    v->main = (struct wr_peer_group){ .at = WR_NEW_ARRAY(v->pool, struct wr_peer, n + 1) };
    v->backup = (struct wr_peer_group){ .at = WR_NEW_ARRAY(v->pool, struct wr_peer, n + 1) };
    for (uint32_t i = 0; i < n; i++)
        group_add(is_backup(&z->slot[slots[i]]) ? &v->backup : &v->main, z, slots[i]);
    free(slots);
    group_schedule(&v->main, v->pool);
    group_schedule(&v->backup, v->pool);
    if (u->balancer->changed != NULL)
        u->balancer->changed(u, &v->main);
    if (u->sticky != NULL)
        u->sticky->changed(u);
    wr_ledger_show(&z->ledger);
}

void wr_peers_drop(struct wr_upstream *u)
{
    wr_pool_free(u->peers->pool);
    u->peers->pool = NULL;
}

static bool is_healthy(const struct wr_pick *p, const struct wr_peer_slot *s)
{
    uint32_t bits = atomic_load_explicit(&s->health, memory_order_relaxed);

    if (wr_likely(bits == 0))
        return true;
    if (p->panic)
        return (bits & WR_HEALTH_UNCHECKED) == 0;
    if (p->alone || !wr_peer_is_ejected(s, p->now_ms))
        bits &= ~(uint32_t)WR_HEALTH_EJECTED;
    return bits == 0;
}

/* A draining peer serves the clients that are bound to it. */
static bool is_down(const struct wr_pick *p, const struct wr_peer_slot *s)
{
    uint32_t down = atomic_load_explicit(&s->down, memory_order_relaxed);

    return down != 0 && (!p->bound || down != WR_DOWN_DRAIN);
}

bool wr_peer_usable(const struct wr_pick *p, const struct wr_peer *peer)
{
    const struct wr_peer_slot *s = peer->slot;
    uint32_t most;

    if (wr_peer_is_tried(p->tried, peer->index) || is_down(p, s)
        || atomic_load_explicit(&s->generation, memory_order_relaxed) != peer->generation
        || !is_healthy(p, s))
        return false;
    most = atomic_load_explicit(&s->max_conns, memory_order_relaxed);
    if (most > 0 && !p->crowded && atomic_load_explicit(&s->conns, memory_order_relaxed) >= most)
        return false;
    most = atomic_load_explicit(&s->max_fails, memory_order_relaxed);
    return p->alone || p->panic || most == 0
        || atomic_load_explicit(&s->fails, memory_order_relaxed) < most
        || wr_peer_is_rested(s, p->now_ms);
}

uint64_t wr_peer_room(const struct wr_pick *p, const struct wr_peer *peer)
{
    const struct wr_peer_slot *s = peer->slot;
    struct wr_pick later = *p;

    if (wr_peer_usable(p, peer))
        return p->now_ms;
    later.now_ms = atomic_load_explicit(&s->checked_ms, memory_order_relaxed)
                 + atomic_load_explicit(&s->fail_timeout_ms, memory_order_relaxed) + 1;
    if (wr_peer_is_ejected(s, p->now_ms))
        later.now_ms = wr_max(later.now_ms, atomic_load(&s->ejected_ms) + 1);
    return later.now_ms > p->now_ms && wr_peer_usable(&later, peer) ? later.now_ms : WR_NOT_YET;
}

bool wr_peer_failed(const struct wr_peer *peer, uint64_t now_ms)
{
    struct wr_peer_slot *s = peer->slot;
    uint32_t fails = atomic_fetch_add(&s->fails, 1) + 1;
    uint32_t most = atomic_load_explicit(&s->max_fails, memory_order_relaxed);
    uint64_t before = atomic_exchange(&s->failed_ms, now_ms);

    atomic_store(&s->checked_ms, now_ms);
    atomic_fetch_add_explicit(&s->failures, 1, memory_order_relaxed);
    if (most == 0 || fails < most)
        return false;
    return fails == most /* or a probe */
        || now_ms - before > atomic_load_explicit(&s->fail_timeout_ms, memory_order_relaxed);
}

bool wr_peer_forgive(const struct wr_peer *peer)
{
    struct wr_peer_slot *s = peer->slot;
    uint32_t most = atomic_load_explicit(&s->max_fails, memory_order_relaxed);

    if (atomic_load(&s->failed_ms) >= atomic_load(&s->checked_ms))
        return false;
    if (most > 0 && atomic_load(&s->fails) >= most)
        wr_slot_rises(s, wr_now());
    atomic_store(&s->fails, 0);
    return true;
}
