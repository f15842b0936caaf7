/* random: draws a peer by weight; with `two` it draws two and picks the less loaded one, which is
 * nearly as good as comparing all and costs the same for any number of peers. */
#include "peer_time.h"

#define DRAWS 16 /* before the usable peers are looked for */

/* Few are usable, or few besides `other`: draws among them in one walk. */
static struct wr_peer *draw_usable(struct wr_peer_group *g, const struct wr_pick *p,
                                   const struct wr_peer *other)
{
    struct wr_peer *drawn = NULL;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < g->n; i++) {
        struct wr_peer *peer = &g->at[i];
        uint32_t weight = atomic_load_explicit(&peer->slot->weight, memory_order_relaxed);

        if (peer == other || !wr_peer_usable(p, peer))
            continue;
        weight = wr_max(weight, 1u);
        sum += weight;
        if (wr_random() % sum < weight)
            drawn = peer;
    }
    return drawn;
}

static struct wr_peer *draw_peer(struct wr_peer_group *g, const struct wr_pick *p,
                                 const struct wr_peer *other)
{
    for (uint32_t i = 0; i < DRAWS; i++) {
        struct wr_peer *peer = wr_peer_by_turn(g, wr_random());

        if (peer == NULL)
            break;
        if (peer != other && wr_peer_usable(p, peer))
            return peer;
    }
    return draw_usable(g, p, other);
}

static struct wr_peer *random_pick(struct wr_upstream *u, struct wr_peer_group *g,
                                   struct wr_pick *p)
{
    const struct wr_time_conf *c = WR_CHECK(u->balancer_conf, TIME_CONF);
    struct wr_load (*load_of)(const struct wr_pick *, const struct wr_peer *) =
        c->timed ? wr_load_timed : wr_load_by_conns;
    struct wr_peer *one = draw_peer(g, p, NULL);
    struct wr_peer *two = one != NULL && c->two ? draw_peer(g, p, one) : NULL;
    uint64_t chance = c->timed ? wr_random() : 1;

    if (two == NULL || wr_time_may_probe(p, one, chance))
        return one;
    if (wr_time_may_probe(p, two, chance))
        return two;
    return wr_load_compare(load_of(p, two), load_of(p, one)) < 0 ? two : one;
}

static void random_done(struct wr_upstream *u, const struct wr_try *t)
{
    const struct wr_time_conf *c = WR_CHECK(u->balancer_conf, TIME_CONF);

    if (c->timed)
        wr_time_note(c, t);
}

static const struct wr_balancer_ops random_ops = {
    .name = "random",
    .pick = random_pick,
    .done = random_done,
    .no_backup = true,
};

static bool set_method(struct wr_cf *cf, struct wr_time_conf *c)
{
    struct wr_str method = wr_cf_arg(cf, 2), kind;

    if (wr_str_is(method, "least_conn"))
        return true;
    c->timed = wr_param(method, "least_time", &kind)
            && wr_time_named(cf->scope->layer, kind, &c->kind);
    if (c->timed)
        return true;
    return wr_cf_error_hint(cf, 2, cf->scope->layer == WR_L4
                            ? "it takes least_conn, least_time=connect, least_time=first_byte or "
                              "least_time=last_byte"
                            : "it takes least_conn, least_time=header or least_time=last_byte",
                            "invalid parameter \"" WR_FMT "\"", WR_ARG(method));
}

static bool set_random(struct wr_cf *cf, void *conf WR_UNUSED)
{
    struct wr_time_conf *c = WR_NEW(cf->pool, struct wr_time_conf);

    WR_TYPED(c, TIME_CONF);
    c->two = cf->nargs > 0;
    if (c->two && !wr_str_is(wr_cf_arg(cf, 1), "two"))
        return wr_cf_error_hint(cf, 1,
                                "write \"random;\", \"random two;\" or \"random two least_conn;\"",
                                "invalid parameter \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 1)));
    if (cf->nargs == 2 && !set_method(cf, c))
        return false;
    return wr_upstream_balance(cf, &random_ops, c);
}

static const struct wr_directive directives[] = {
    WR_WORDS("random", WR_ANY | WR_LV_UPSTREAM, 0, 2, set_random,
             "[two [least_conn | least_time=header|last_byte|connect|first_byte]]", NULL,
             "draws a server by weight; two: draws two and picks the one with fewer connections, "
             "or less time: least_time as in the directive least_time"),
    { 0 }
};

extern struct wr_module wr_module_random;

struct wr_module wr_module_random = {
    .name = "random",
    .layers = WR_ANY,
    .directives = directives,
};
