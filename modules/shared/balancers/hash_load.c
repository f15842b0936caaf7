/* hash_load: consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, 2016): no peer
 * gets more than `factor` times its part of all connections that the group has now. The counts are
 * those of all workers, in the slots. A group of up to 16 peers is summed up at each pick; of a
 * larger one a pick looks at 16 peers in turn, and the sum is as old as the last round. */
#include "hash_load.h"

#define LOOKS 16

static struct wr_hash_seen read_slot(const struct wr_peer_slot *s)
{
    struct wr_hash_seen now = { .conns = atomic_load_explicit(&s->conns, memory_order_relaxed) };

    if (atomic_load_explicit(&s->down, memory_order_relaxed) == 0
        && atomic_load_explicit(&s->health, memory_order_relaxed) == 0)
        now.weight = atomic_load_explicit(&s->weight, memory_order_relaxed);
    return now;
}

static void look_at(struct wr_hash_load *l, const struct wr_peer *peer, uint32_t number)
{
    struct wr_hash_seen *seen = &l->seen[number], now = read_slot(peer->slot);

    l->conns += (uint64_t)now.conns - seen->conns;
    l->weight += (uint64_t)now.weight - seen->weight;
    *seen = now;
}

void wr_hash_load_begin(struct wr_hash_load *l, const struct wr_peer_group *g)
{
    wr_hash_load_end(l);
    l->n = g->n;
    l->seen = wr_calloc((size_t)g->n + 1, sizeof(*l->seen));
    for (uint32_t i = 0; i < g->n; i++)
        look_at(l, &g->at[i], i);
}

void wr_hash_load_end(struct wr_hash_load *l)
{
    free(l->seen);
    *l = (struct wr_hash_load){ .seen = NULL };
}

void wr_hash_load_look(struct wr_hash_load *l, const struct wr_peer_group *g)
{
    for (uint32_t i = 0; i < wr_min(l->n, (uint32_t)LOOKS); i++) {
        look_at(l, &g->at[l->at], l->at);
        l->at = l->at + 1 < l->n ? l->at + 1 : 0;
    }
}

/* Rounded up: each may have one. */
static uint64_t find_bound(const struct wr_hash_load *l, uint32_t weight, uint32_t factor)
{
    double part = l->weight == 0 ? 0 : (double)weight / (double)l->weight;

    return (uint64_t)((double)(l->conns + 1) * part * factor / 1000 + 0.999999);
}

bool wr_hash_load_allows(struct wr_hash_load *l, const struct wr_peer *peer, uint32_t number,
                         uint32_t factor)
{
    const struct wr_hash_seen *seen = &l->seen[number];

    look_at(l, peer, number);
    return seen->conns < find_bound(l, seen->weight, factor);
}
