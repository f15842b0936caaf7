/* peers: a worker's view of an upstream, rebuilt when the zone has a new version, and the rules
 * of who may be picked. Balancers and the pick step call it. */
#include "upstream/upstream.h"

#define STEPS_MAX 16384

/* Copies the index; the keeper may publish twice meanwhile, then the copy is taken again. */
static uint32_t copy_index(struct wr_peers_shared *z, uint32_t *slots, uint32_t *version)
{
    uint32_t n;

    do {
        const struct wr_peer_index *ix;

        *version = atomic_load(&z->version);
        ix = wr_shared_index(z, *version);
        n = wr_min(ix->n, z->slots);
        memcpy(slots, ix->slot, n * sizeof(*slots));
    } while (atomic_load(&z->version) != *version);
    return n;
}

static void group_add(struct wr_peer_group *g, struct wr_peers_shared *z, uint32_t slot)
{
    struct wr_peer *p = &g->at[g->n++];

    p->index = slot;
    p->slot = wr_shared_slot(z, slot);
    p->generation = atomic_load(&p->slot->generation);
}

/* Worker n starts n places on, so that workers do not all begin with the first server. */
static void group_schedule(struct wr_peer_group *g, struct wr_pool *pool)
{
    uint32_t *weights = WR_NEW_ARRAY(pool, uint32_t, g->n + 1);
    uint64_t sum = 0;

    for (uint32_t i = 0; i < g->n; i++)
        sum += weights[i] = g->at[i].slot->weight;
    g->schedule = WR_NEW_ARRAY(pool, uint32_t, wr_min(sum, (uint64_t)STEPS_MAX) + 1);
    g->steps = wr_schedule(weights, g->n, g->schedule, STEPS_MAX);
    g->pos = g->steps > 0 ? wr_self.index % g->steps : 0;
}

static void rebuild(struct wr_upstream *u)
{
    struct wr_peers *v = u->peers;
    struct wr_peers_shared *z = v->shared;
    uint32_t *slots = wr_calloc(z->slots, sizeof(*slots));
    uint32_t n = copy_index(z, slots, &v->version);

    wr_pool_free(v->pool);
    v->pool = wr_pool_new(0);
    v->main = (struct wr_peer_group){ .at = WR_NEW_ARRAY(v->pool, struct wr_peer, n + 1) };
    v->backup = (struct wr_peer_group){ .at = WR_NEW_ARRAY(v->pool, struct wr_peer, n + 1) };
    for (uint32_t i = 0; i < n; i++)
        group_add(wr_shared_slot(z, slots[i])->backup ? &v->backup : &v->main, z, slots[i]);
    free(slots);
    group_schedule(&v->main, v->pool);
    group_schedule(&v->backup, v->pool);
    if (u->balancer->changed != NULL)
        u->balancer->changed(u);
}

struct wr_peers *wr_peers_view(struct wr_upstream *u)
{
    struct wr_peers *v = u->peers;

    if (v->pool == NULL || v->version != atomic_load_explicit(&v->shared->version,
                                                              memory_order_acquire))
        rebuild(u);
    return v;
}

void wr_peers_drop(struct wr_upstream *u)
{
    wr_pool_free(u->peers->pool);
    u->peers->pool = NULL;
}

bool wr_peer_tried(const struct wr_pick *p, const struct wr_peer *peer)
{
    return p->tried != NULL && (p->tried[peer->index / 64] >> (peer->index % 64) & 1) != 0;
}

bool wr_peer_usable(const struct wr_pick *p, const struct wr_peer *peer)
{
    const struct wr_peer_slot *s = peer->slot;

    if (wr_peer_tried(p, peer) || atomic_load_explicit(&s->down, memory_order_relaxed) != 0
        || atomic_load_explicit(&s->generation, memory_order_relaxed) != peer->generation)
        return false;
    if (s->max_conns > 0
        && atomic_load_explicit(&s->conns, memory_order_relaxed) >= s->max_conns)
        return false;
    return p->alone || s->max_fails == 0
        || atomic_load_explicit(&s->fails, memory_order_relaxed) < s->max_fails
        || p->now_ms - atomic_load_explicit(&s->checked_ms, memory_order_relaxed)
               > s->fail_timeout_ms;
}

bool wr_peer_hold(struct wr_upstream *u, const struct wr_peer *peer)
{
    struct wr_peer_slot *s = peer->slot;
    uint32_t before, generation;

    /* The ledger first: a worker that dies in between has too much taken back, for a moment, but
     * no count outlives its holder. */
    if (wr_self.slot != WR_SLOT_NONE)
        atomic_fetch_add_explicit(wr_shared_ledger(u->peers->shared, wr_self.slot, peer->index), 1,
                                  memory_order_relaxed);
    before = atomic_fetch_add(&s->conns, 1);
    generation = atomic_load(&s->generation); /* after the count: see wr_slot_claim */
    if (generation != peer->generation || (generation & 1) != 0
        || (s->max_conns > 0 && before >= s->max_conns)) {
        wr_peer_release(u, peer);
        return false;
    }
    atomic_fetch_add_explicit(&s->requests, 1, memory_order_relaxed);
    return true;
}

void wr_peer_release(struct wr_upstream *u, const struct wr_peer *peer)
{
    atomic_fetch_sub(&peer->slot->conns, 1);
    if (wr_self.slot != WR_SLOT_NONE)
        atomic_fetch_sub_explicit(wr_shared_ledger(u->peers->shared, wr_self.slot, peer->index), 1,
                                  memory_order_relaxed);
}

/* fail_timeout: the peer is set aside for it after max_fails failures, then one session is let
 * through as a probe (checked_ms moves, so that others wait); its success forgives all. */
void wr_peer_probe(const struct wr_peer *peer, uint64_t now_ms)
{
    struct wr_peer_slot *s = peer->slot;

    if (now_ms - atomic_load_explicit(&s->checked_ms, memory_order_relaxed) > s->fail_timeout_ms)
        atomic_store_explicit(&s->checked_ms, now_ms, memory_order_relaxed);
}

bool wr_peer_failed(const struct wr_peer *peer, uint64_t now_ms)
{
    struct wr_peer_slot *s = peer->slot;
    uint32_t fails = atomic_fetch_add(&s->fails, 1) + 1;
    uint64_t before = atomic_exchange(&s->failed_ms, now_ms);

    atomic_store(&s->checked_ms, now_ms);
    atomic_fetch_add_explicit(&s->failures, 1, memory_order_relaxed);
    if (s->max_fails == 0 || fails < s->max_fails)
        return false;
    return fails == s->max_fails || now_ms - before > s->fail_timeout_ms; /* a probe */
}

void wr_peer_fine(const struct wr_peer *peer)
{
    struct wr_peer_slot *s = peer->slot;

    if (atomic_load_explicit(&s->fails, memory_order_relaxed) > 0
        && atomic_load(&s->failed_ms) < atomic_load(&s->checked_ms))
        atomic_store(&s->fails, 0);
}
