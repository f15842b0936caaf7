/* schedule: the order in which round robin takes the peers, made once for a set of weights, so that
 * a pick scans nothing. Pure. Called for each new view of the peers (peer_view) and at each pick
 * (round_robin).
 *
 * Up to ORDER_MAX the order is nginx's, position by position. Peers of one weight are a class:
 * within it they take turns, so each position compares the classes only. Above that no list is
 * made: the position is multiplied by a stride, modulo the sum of the weights, and the peer is the
 * one in whose part of that sum the product falls. The stride has no common factor with the sum, so
 * a period contains each peer as often as its weight says; it is near the golden section, so the
 * turns of a peer are spread evenly. */
#include "upstream/upstream_impl.h"

#define ORDER_MAX 4096       /* positions of a list */
#define SUM_MAX UINT32_MAX   /* larger sums are scaled down */
#define GUIDES 4             /* at least so many places of the guide, for each peer */

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t t = a % b;

        a = b;
        b = t;
    }
    return a;
}

/* Divides the weights by their greatest common divisor. A sum above SUM_MAX is scaled down, each
 * weight that is not 0 to at least 1. Returns the sum. */
static uint64_t reduce_weights(const uint32_t *weights, uint32_t n, uint32_t *out)
{
    uint64_t sum = 0, scaled = 0, g = 0;

    for (uint32_t i = 0; i < n; i++)
        g = common_divisor(g, weights[i]);
    for (uint32_t i = 0; i < n; i++)
        sum += out[i] = g > 0 ? (uint32_t)(weights[i] / g) : 0;
    if (sum <= SUM_MAX)
        return sum;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t w = (uint64_t)((double)out[i] * (double)(SUM_MAX - n) / (double)sum);

        scaled += out[i] = out[i] == 0 ? 0 : (uint32_t)wr_max(w, (uint64_t)1);
    }
    return scaled;
}

/* ---- a list of positions ---- */

struct class {               /* the peers of one weight */
    int64_t current;         /* of the peers whose turn is still to come in this round */
    uint32_t weight, who;    /* who: the peer whose turn it is */
    uint32_t at, n, next;    /* its peers in the list by class; which of them is `who` */
};

static int compare_weights(const void *pa, const void *pb)
{
    const uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;

    return a < b ? -1 : a > b;
}

/* Sorts the peers by weight, equal ones by index. peers: n words. Returns how many classes. */
static uint32_t make_classes(const uint32_t *weights, uint32_t n, uint32_t *peers,
                             struct class *out)
{
    uint64_t *keys = wr_calloc(n + 1, sizeof(*keys));
    uint32_t count = 0, classes = 0;

    for (uint32_t i = 0; i < n; i++)
        if (weights[i] > 0)
            keys[count++] = (uint64_t)weights[i] << 32 | i;
    qsort(keys, count, sizeof(*keys), compare_weights);
    for (uint32_t i = 0; i < count; i++) {
        peers[i] = (uint32_t)keys[i];
        if (i == 0 || keys[i] >> 32 != keys[i - 1] >> 32)
            out[classes++] = (struct class){ .weight = (uint32_t)(keys[i] >> 32), .at = i };
        out[classes - 1].n++;
    }
    free(keys);
    return classes;
}

/* Passes the turn on. All peers of a class have given the sum back once when a round is over. */
static void pass_turn(struct class *c, const uint32_t *peers, int64_t sum)
{
    if (++c->next == c->n) {
        c->next = 0;
        c->current -= sum;
    }
    c->who = peers[c->at + c->next];
}

/* Each position adds every weight to its peer's current value; the largest, the first among equals,
 * is taken and gives back the sum: 5 1 1 yields a a b a c a a. Equal weights have equal values, but
 * for those that have given back the sum in this round. */
static void fill_order(struct wr_schedule *s, const uint32_t *weights, uint32_t n)
{
    uint32_t *peers = wr_calloc(n + 1, sizeof(*peers));
    struct class *all = wr_calloc(n + 1, sizeof(*all));
    uint32_t classes = make_classes(weights, n, peers, all);

    for (uint32_t i = 0; i < classes; i++)
        all[i].who = peers[all[i].at];
    for (uint64_t p = 0; p < s->steps; p++) {
        struct class *best = all;

        for (struct class *c = all; c < all + classes; c++) {
            c->current += c->weight;
            if (c->current > best->current || (c->current == best->current && c->who < best->who))
                best = c;
        }
        s->order[p] = best->who;
        pass_turn(best, peers, (int64_t)s->steps);
    }
    free(peers);
    free(all);
}

/* ---- a stride over the sum ---- */

static uint64_t golden_stride(uint64_t sum)
{
    uint64_t stride = (uint64_t)((double)sum * 0.6180339887498949);

    while (stride > 1 && common_divisor(stride, sum) != 1)
        stride--;
    return wr_max(stride, (uint64_t)1);
}

/* Each place of the guide stands for 2^shift steps. */
static void fill_parts(struct wr_schedule *s, struct wr_pool *pool, const uint32_t *weights,
                       uint32_t n)
{
    uint64_t end = 0, guide = 0;

    while (s->steps >> (s->shift + 1) >= (uint64_t)n * GUIDES)
        s->shift++;
    s->end = WR_NEW_ARRAY(pool, uint64_t, n);
    s->guide = WR_NEW_ARRAY(pool, uint32_t, (size_t)(s->steps >> s->shift) + 1);
    for (uint32_t i = 0; i < n; i++) {
        end += weights[i];
        s->end[i] = end;
        for (; guide << s->shift < end; guide++)
            s->guide[guide] = i;
    }
}

static uint32_t peer_at(const struct wr_schedule *s, uint64_t place)
{
    uint32_t i = s->guide[place >> s->shift];

    while (s->end[i] <= place) /* the last end is above every place */
        i++;
    return i;
}

/* ---- both ---- */

void wr_schedule_make(struct wr_schedule *s, struct wr_pool *pool, const uint32_t *weights,
                      uint32_t n)
{
    uint32_t *w = wr_calloc(n + 1, sizeof(*w));

    *s = (struct wr_schedule){ .steps = reduce_weights(weights, n, w) };
    s->stride = golden_stride(s->steps);
    if (s->steps <= ORDER_MAX) {
        s->order = WR_NEW_ARRAY(pool, uint32_t, s->steps + 1);
        fill_order(s, w, n);
    } else {
        fill_parts(s, pool, w, n);
    }
    free(w);
}

uint32_t wr_schedule_at(const struct wr_schedule *s, uint64_t position)
{
    position %= s->steps;
    if (s->order != NULL)
        return s->order[position];
    return peer_at(s, position * s->stride % s->steps);
}

uint64_t wr_schedule_spread(uint64_t position, uint64_t sum)
{
    return position % sum * golden_stride(sum) % sum;
}
