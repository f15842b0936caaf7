/* slow_start: a peer that becomes usable again gets its weight back little by little. Called by
 * balancers at each pick of such a peer. */
#include "upstream/upstream_impl.h"

#define COLD (WR_WARM / 100) /* what it has at once: it must be seen to work */

/* The time may be of another process, whose clock is a little ahead. */
uint32_t wr_slot_warmth(const struct wr_peer_slot *s, uint64_t now_ms)
{
    uint64_t slow = atomic_load_explicit(&s->slow_start_ms, memory_order_relaxed);
    uint64_t up = atomic_load_explicit(&s->up_ms, memory_order_relaxed);
    uint64_t since = now_ms > up ? now_ms - up : 0;

    if (up == 0 || since >= slow)
        return WR_WARM;
    return wr_max((uint32_t)(since * WR_WARM / slow), COLD);
}

/* Counts parts of turns: one is taken each time they make a whole. All workers count together. */
bool wr_peer_warm_turn(const struct wr_peer *peer, uint32_t warmth)
{
    uint32_t before = atomic_fetch_add_explicit(&peer->slot->warming, warmth,
                                                memory_order_relaxed);

    return before / WR_WARM != (before + warmth) / WR_WARM;
}
