/* least_time: picks the peer whose average time, times its connections, is the least for its
 * weight. Times and connections are those of all workers. */
#include "peer_time.h"

/* The first of some peers that may be asked only to measure it again. */
static struct wr_peer *find_due(struct wr_peer_group *g, const struct wr_pick *p, uint64_t turn)
{
    uint32_t looks = turn % WR_TIME_PROBES == 0 ? wr_min(g->n, (uint32_t)WR_LEAST_ALL) : 0;

    for (uint32_t i = 0; i < looks; i++) {
        struct wr_peer *peer = &g->at[(wr_least_place(turn, g->n) + i) % g->n];

        if (wr_time_may_probe(p, peer, turn) && wr_peer_usable(p, peer)
            && wr_peer_takes_turn(p, peer))
            return peer;
    }
    return NULL;
}

static struct wr_peer *least_time_pick(struct wr_upstream *u, struct wr_peer_group *g,
                                       struct wr_pick *p)
{
    const struct wr_time_conf *c = WR_CHECK(u->balancer_conf, TIME_CONF);
    uint64_t turn = wr_turns_take(u, p, 1);
    struct wr_peer *peer = find_due(g, p, turn);

    if (peer == NULL)
        peer = wr_least_find(u, g, p, c->inflight ? wr_load_inflight : wr_load_timed, turn);
    if (peer != NULL && c->inflight && wr_load_conns(peer) == 0)
        atomic_store_explicit(&peer->slot->busy_ms, p->now_ms, memory_order_relaxed);
    return peer;
}

static void least_time_done(struct wr_upstream *u, const struct wr_try *t)
{
    wr_time_note(WR_CHECK(u->balancer_conf, TIME_CONF), t);
}

static const struct wr_balancer_ops least_time = {
    .name = "least_time",
    .warms = true,
    .pick = least_time_pick,
    .done = least_time_done,
};

static bool set_least_time(struct wr_cf *cf, void *conf WR_UNUSED)
{
    struct wr_time_conf *c = WR_NEW(cf->pool, struct wr_time_conf);

    WR_TYPED(c, TIME_CONF);
    if (!wr_time_named(cf->scope->layer, wr_cf_arg(cf, 1), &c->kind))
        return wr_cf_error_hint(cf, 1, cf->scope->layer == WR_L4
                                ? "it takes connect, first_byte or last_byte"
                                : "it takes header or last_byte",
                                "invalid parameter \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 1)));
    c->inflight = cf->nargs == 2;
    if (c->inflight && !wr_str_is(wr_cf_arg(cf, 2), "inflight"))
        return wr_cf_error_hint(cf, 2, "it takes inflight",
                                "invalid parameter \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 2)));
    return wr_upstream_balance(cf, &least_time, c);
}

static const struct wr_directive directives[] = {
    WR_WORDS("least_time", WR_ANY | WR_LV_UPSTREAM, 1, 2, set_least_time,
             "header|last_byte|connect|first_byte [inflight]", NULL,
              "picks the server with the least average time and the fewest connections: http: "
              "header or last_byte, stream: connect, first_byte or last_byte; inflight: waiting "
              "requests count, too"),
    { 0 }
};

extern struct wr_module wr_module_least_time;

struct wr_module wr_module_least_time = {
    .name = "least_time",
    .layers = WR_ANY,
    .directives = directives,
};
