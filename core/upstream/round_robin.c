/* round_robin: the default balancer of an upstream. Walks the precomputed smooth weighted order and
 * skips unusable peers. Each worker has its own position. */
#include "upstream/upstream.h"

static struct wr_peer *round_robin_pick(struct wr_upstream *u, struct wr_peer_group *g,
                                        struct wr_pick *p)
{
    (void)u;
    for (uint32_t i = 0; i < g->steps; i++) {
        struct wr_peer *peer = &g->at[g->schedule[g->pos]];

        g->pos = g->pos + 1 < g->steps ? g->pos + 1 : 0;
        if (wr_peer_usable(p, peer))
            return peer;
    }
    return NULL;
}

const struct wr_balancer_ops wr_round_robin = {
    .name = "round_robin",
    .pick = round_robin_pick,
};
