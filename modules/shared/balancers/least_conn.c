/* least_conn: picks the peer with the fewest connections for its weight. The connections are those
 * of all workers, and peers with equally few take turns as in round robin. Among more than 32 peers
 * that are all busy it is the least loaded of those looked at lately. */
#include "least.h"

/* The first peer in turn without a connection: no other has fewer, so they need not be looked at.
 * NULL: there is none among the next few. */
static struct wr_peer *find_idle(struct wr_upstream *u, struct wr_peer_group *g,
                                 const struct wr_pick *p, uint64_t turn)
{
    for (uint32_t i = 0; i < wr_min(g->n, (uint32_t)WR_LEAST_TURNS); i++) {
        struct wr_peer *peer = wr_peer_by_turn(g, turn + i);

        if (peer == NULL || wr_load_conns(peer) > 0 || !wr_peer_usable(p, peer)
            || !wr_peer_takes_turn(p, peer))
            continue;
        if (i > 0)
            (void)wr_turns_take(u, p, i);
        return peer;
    }
    return NULL;
}

static struct wr_peer *least_conn_pick(struct wr_upstream *u, struct wr_peer_group *g,
                                       struct wr_pick *p)
{
    uint64_t turn = wr_turns_take(u, p, 1);
    struct wr_peer *idle = find_idle(u, g, p, turn);

    return idle != NULL ? idle : wr_least_find(u, g, p, wr_load_by_conns, turn);
}

static const struct wr_balancer_ops least_conn = {
    .name = "least_conn",
    .warms = true,
    .pick = least_conn_pick,
};

static bool set_least_conn(struct wr_cf *cf, void *conf WR_UNUSED)
{
    return wr_upstream_balance(cf, &least_conn, NULL);
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("least_conn", WR_ANY | WR_LV_UPSTREAM, 0, 0, set_least_conn, NULL,
              "picks the server with the fewest connections for its weight, of all workers"),
    { 0 }
};

extern struct wr_module wr_module_least_conn;

struct wr_module wr_module_least_conn = {
    .name = "least_conn",
    .layers = WR_ANY,
    .directives = directives,
};
