/* ip_hash: chooses the server by the client's address: three octets of IPv4, all of IPv6. For
 * upstream {} of both layers (nginx has it in http only):
 *
 *     ip_hash;
 *
 * The places are nginx's; so is what happens when a server cannot be used (see key_hash). */
#include "upstream/upstream.h"
#include "placement.h"

#define SKIPS 20             /* as in nginx; then round robin chooses */

static void free_line(void *arg)
{
    wr_weights_clear(arg);
}

static bool ip_hash_init(struct wr_upstream *u, struct wr_loop *l WR_UNUSED)
{
    struct wr_line_of_weights *line = WR_NEW(u->pool, struct wr_line_of_weights);

    WR_TYPED(line, WEIGHTS);
    wr_pool_cleanup(u->pool, free_line, line);
    u->balancer_state = line;
    return true;
}

static void ip_hash_changed(struct wr_upstream *u, struct wr_peer_group *g WR_UNUSED)
{
    if (u->balancer_state != NULL)
        wr_weights_begin(WR_CHECK(u->balancer_state, WEIGHTS));
}

/* The client that realip found, if it did. */
static struct wr_peer *place_client(const struct wr_line_of_weights *line, struct wr_peer_group *g,
                                    struct wr_pick *p)
{
    const struct wr_tries *a = p->x->tries;
    uint32_t hash = WR_PLACE_ADDR_BEGIN, rounds = SKIPS + 1 + a->all.n - a->first;

    for (uint32_t i = 0; i < rounds && line->sum > 0; i++) {
        struct wr_peer *peer;

        hash = wr_place_addr(p->x->client_addr, hash);
        peer = &g->at[wr_weights_at(line, hash % line->sum)];
        if (wr_peer_usable(p, peer))
            return peer;
    }
    return NULL;
}

static struct wr_peer *ip_hash_pick(struct wr_upstream *u, struct wr_peer_group *g,
                                    struct wr_pick *p)
{
    struct wr_line_of_weights *line = WR_CHECK(u->balancer_state, WEIGHTS);
    struct wr_peer *peer = NULL;

    if (p->backup || g->n == 0)
        return wr_round_robin.pick(u, g, p);
    for (uint32_t i = line->n; i < g->n; i++) /* after a change it is empty */
        wr_weights_add(line,
                       atomic_load_explicit(&g->at[i].slot->weight, memory_order_relaxed));
    peer = place_client(line, g, p);
    return peer != NULL ? peer : wr_round_robin.pick(u, g, p);
}

static const struct wr_balancer_ops ip_hash = {
    .name = "ip_hash",
    .init = ip_hash_init,
    .pick = ip_hash_pick,
    .changed = ip_hash_changed,
    .no_backup = true,
};

static bool set_ip_hash(struct wr_cf *cf, void *conf WR_UNUSED)
{
    return wr_upstream_balance(cf, &ip_hash, NULL);
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("ip_hash", WR_ANY | WR_LV_UPSTREAM | WR_MULTI, 0, 0, set_ip_hash, NULL,
              "chooses the server by the client's address: three octets of IPv4, all of IPv6"),
    { 0 }
};

extern struct wr_module wr_module_ip_hash;

struct wr_module wr_module_ip_hash = {
    .name = "ip_hash",
    .layers = WR_ANY,
    .directives = directives,
};
