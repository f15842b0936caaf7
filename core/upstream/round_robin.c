/* round_robin: the default balancer of an upstream. Takes the peers in the order of the schedule
 * (schedule) and skips unusable ones, and those that have not all of their weight yet (slow_start).
 * The position is one counter in the group's zone: the order holds over all workers. Other
 * balancers use its turns to choose among equal peers. */
#include "upstream/upstream_impl.h"

#define SKIPS_MAX 16         /* positions passed over before the usable peers are looked for */

static uint64_t take_position(_Atomic uint64_t *cursor)
{
    return atomic_fetch_add_explicit(cursor, 1, memory_order_relaxed);
}

static uint64_t usable_weight(const struct wr_peer_group *g, const struct wr_pick *p)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < g->n; i++)
        if (wr_peer_usable(p, &g->at[i]))
            sum += atomic_load_explicit(&g->at[i].slot->weight, memory_order_relaxed);
    return sum;
}

/* Few peers are usable: shares the turns among them by weight. */
static struct wr_peer *pick_usable(struct wr_peer_group *g, struct wr_pick *p,
                                   _Atomic uint64_t *cursor)
{
    uint64_t sum = usable_weight(g, p), place;
    struct wr_peer *last = NULL;

    if (sum == 0)
        return NULL;
    place = wr_schedule_spread(take_position(cursor), sum);
    for (uint32_t i = 0; i < g->n; i++) {
        uint64_t weight;

        if (!wr_peer_usable(p, &g->at[i]))
            continue;
        last = &g->at[i];
        weight = atomic_load_explicit(&last->slot->weight, memory_order_relaxed);
        if (place < weight)
            break;
        place -= weight;
    }
    return last; /* the weights may have changed between the two walks */
}

static struct wr_group_cursors *cursors_of(struct wr_upstream *u, const struct wr_pick *p)
{
    return &u->peers->zone.words->cursors[p->backup];
}

uint64_t wr_turns_take(struct wr_upstream *u, const struct wr_pick *p, uint32_t n)
{
    return atomic_fetch_add_explicit(&cursors_of(u, p)->turn, n, memory_order_relaxed);
}

struct wr_peer *wr_peer_by_turn(struct wr_peer_group *g, uint64_t turn)
{
    return g->schedule.steps > 0 ? &g->at[wr_schedule_at(&g->schedule, turn)] : NULL;
}

static struct wr_peer *round_robin_pick(struct wr_upstream *u, struct wr_peer_group *g,
                                        struct wr_pick *p)
{
    struct wr_group_cursors *c = cursors_of(u, p);

    for (uint32_t i = 0; g->schedule.steps > 0 && i < SKIPS_MAX; i++) {
        struct wr_peer *peer = wr_peer_by_turn(g, take_position(&c->turn));

        if (wr_peer_usable(p, peer) && wr_peer_takes_turn(p, peer))
            return peer;
    }
    return pick_usable(g, p, &c->rest);
}

const struct wr_balancer_ops wr_round_robin = {
    .name = "round_robin",
    .warms = true,
    .pick = round_robin_pick,
};
