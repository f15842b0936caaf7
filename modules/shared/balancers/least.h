/* least: the choice of the least loaded peer, for balancers that compare peers. */
#ifndef WR_LEAST_H
#define WR_LEAST_H

#include "upstream/upstream.h"

struct wr_load {                 /* of one peer; n / weight is compared, the least is picked */
    uint32_t rank;               /* compared before that */
    uint64_t n, weight;          /* below 2^32 */
};
/* Negative: a is less loaded; 0: equal. */
static inline int wr_load_compare(struct wr_load a, struct wr_load b)
{
    uint64_t l = a.n * b.weight, r = b.n * a.weight;

    if (a.rank != b.rank)
        return a.rank < b.rank ? -1 : 1;
    return l < r ? -1 : l > r;
}
/* A peer that has not all of its weight yet (slow_start) counts as more loaded, even without
 * connections. */
static inline struct wr_load wr_load_of(const struct wr_pick *p, const struct wr_peer *peer,
                                        uint32_t rank, uint64_t n)
{
    uint32_t weight = atomic_load_explicit(&peer->slot->weight, memory_order_relaxed);
    uint32_t warmth = wr_peer_warmth(p, peer);

    n = wr_min(n, (uint64_t)UINT32_MAX);
    if (wr_unlikely(warmth < WR_WARM))
        n = wr_min((n + 1) * WR_WARM / warmth - 1, (uint64_t)UINT32_MAX);
    return (struct wr_load){ .rank = rank, .n = n, .weight = wr_max(weight, 1u) };
}
static inline uint32_t wr_load_conns(const struct wr_peer *peer)
{
    return atomic_load_explicit(&peer->slot->conns, memory_order_relaxed);
}
static inline struct wr_load wr_load_by_conns(const struct wr_pick *p, const struct wr_peer *peer)
{
    return wr_load_of(p, peer, 0, wr_load_conns(peer));
}

#define WR_LEAST_TURNS 8         /* looked at before all peers are */

/* Turns spread evenly over 0 ... sum - 1: by the golden section. */
static inline uint64_t wr_least_place(uint64_t turn, uint64_t sum)
{
    return (uint64_t)((double)(turn * 0x9e3779b97f4a7c15U) * 0x1p-64 * (double)sum) % sum;
}

/* Picks among the peers that are as loaded as `best`, whose weights make `sum`: the first one from
 * `turn` on; if it is not among the next few, one by weight. */
static inline struct wr_peer *
wr_least_in_turn(struct wr_upstream *u, struct wr_peer_group *g, const struct wr_pick *p,
                 struct wr_load (*load_of)(const struct wr_pick *, const struct wr_peer *),
                 uint64_t turn, struct wr_load best, uint64_t sum)
{
    struct wr_peer *peer, *last = NULL;
    uint64_t place;

    for (uint32_t i = 0; i < wr_min(g->n, (uint32_t)WR_LEAST_TURNS); i++) {
        peer = wr_peer_by_turn(g, turn + i);
        if (peer == NULL || wr_load_compare(load_of(p, peer), best) != 0
            || !wr_peer_usable(p, peer) || !wr_peer_takes_turn(p, peer))
            continue;
        if (i > 0)
            (void)wr_turns_take(u, p, i);
        return peer;
    }
    place = wr_least_place(turn, sum);
    for (uint32_t i = 0; i < g->n; i++) {
        struct wr_load l = load_of(p, &g->at[i]);

        if (wr_load_compare(l, best) != 0 || !wr_peer_usable(p, &g->at[i]))
            continue;
        last = &g->at[i];
        if (place < l.weight)
            break;
        place -= l.weight;
    }
    return last;
}

/* The usable peer with the least load; equal ones take turns, and are asked only then whether they
 * are usable. turn: from wr_turns_take. NULL: none is usable. */
static inline struct wr_peer *
wr_least_pick(struct wr_upstream *u, struct wr_peer_group *g, const struct wr_pick *p,
              struct wr_load (*load_of)(const struct wr_pick *, const struct wr_peer *),
              uint64_t turn)
{
    struct wr_peer *least = NULL, *other;
    struct wr_load best = { 0 };
    uint64_t sum = 0;

    for (uint32_t i = 0; i < g->n; i++) {
        struct wr_load l = load_of(p, &g->at[i]);
        int order = least == NULL ? -1 : wr_load_compare(l, best);

        if (order == 0)
            sum += l.weight;
        if (order >= 0 || !wr_peer_usable(p, &g->at[i]))
            continue;
        least = &g->at[i];
        best = l;
        sum = l.weight;
    }
    if (least == NULL || sum == best.weight)
        return least;
    other = wr_least_in_turn(u, g, p, load_of, turn, best, sum);
    return other != NULL ? other : least; /* all may have changed meanwhile */
}

/* ---- many peers: a bounded number is looked at ---- */
#define WR_LEAST_ALL 32          /* a group of so many peers is compared as a whole */
#define WR_LEAST_LOOKS 16        /* peers looked at by a pick in a larger one */

struct wr_least_few {            /* the least loaded of those looked at, in order */
    uint32_t n;
    struct { uint32_t at; struct wr_load load; } of[WR_GROUP_LOW];
};

/* Among equally loaded ones the last offered comes first, so that they change from pick to pick. */
static inline void wr_least_offer(struct wr_least_few *f, const struct wr_peer_group *g,
                                  const struct wr_pick *p, uint32_t at, struct wr_load load)
{
    uint32_t i = f->n;

    if ((i == WR_GROUP_LOW && wr_load_compare(load, f->of[i - 1].load) > 0)
        || !wr_peer_usable(p, &g->at[at]))
        return;
    if (i < WR_GROUP_LOW)
        f->n++;
    else
        i--;
    for (; i > 0 && wr_load_compare(load, f->of[i - 1].load) <= 0; i--)
        f->of[i] = f->of[i - 1];
    f->of[i].at = at;
    f->of[i].load = load;
}

/* One of those that are as loaded as the first, by weight. f->n is not 0. */
static inline uint32_t wr_least_of_few(const struct wr_least_few *f, uint64_t turn)
{
    uint64_t sum = 0, place;
    uint32_t n = 0;

    while (n < f->n && wr_load_compare(f->of[n].load, f->of[0].load) == 0)
        sum += f->of[n++].load.weight;
    place = wr_least_place(turn, sum);
    for (n = 0; place >= f->of[n].load.weight; n++)
        place -= f->of[n].load.weight;
    return f->of[n].at;
}

/* Picks as wr_least_pick does, at a cost that does not grow with the group: of a large one it looks
 * at a few peers, others with each turn, and at the least loaded of those it has seen before. */
static inline struct wr_peer *
wr_least_find(struct wr_upstream *u, struct wr_peer_group *g, const struct wr_pick *p,
              struct wr_load (*load_of)(const struct wr_pick *, const struct wr_peer *),
              uint64_t turn)
{
    struct wr_least_few few = { .n = 0 };
    uint64_t seen = 0;           /* bits of the window that were among the known ones */
    uint32_t first;

    if (g->n <= WR_LEAST_ALL)
        return wr_least_pick(u, g, p, load_of, turn);
    first = (uint32_t)wr_least_place(turn, g->n);
    for (uint32_t i = 0; i < g->nlow; i++) {
        uint32_t off = (g->low[i] + g->n - first) % g->n;

        seen |= off < WR_LEAST_LOOKS ? 1ULL << off : 0;
        wr_least_offer(&few, g, p, g->low[i], load_of(p, &g->at[g->low[i]]));
    }
    for (uint32_t i = 0; i < WR_LEAST_LOOKS; i++) {
        uint32_t at = (first + i) % g->n;

        if ((seen >> i & 1) == 0)
            wr_least_offer(&few, g, p, at, load_of(p, &g->at[at]));
    }
    g->nlow = few.n;
    for (uint32_t i = 0; i < few.n; i++)
        g->low[i] = few.of[i].at;
    return few.n > 0 ? &g->at[wr_least_of_few(&few, turn)]
                     : wr_least_pick(u, g, p, load_of, turn);
}

#endif
