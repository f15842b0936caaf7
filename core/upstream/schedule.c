/* schedule: computes the order of smooth weighted round robin once for a set of weights, instead of
 * scanning all peers at each pick. Pure. */
#include "upstream/upstream_impl.h"

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
    while (b != 0) {
        uint32_t t = a % b;

        a = b;
        b = t;
    }
    return a;
}

/* Divides the weights by their greatest common divisor, then scales them down if the sum still
 * exceeds max (each stays at least 1). Returns the sum. */
static uint32_t reduce_weights(const uint32_t *weights, uint32_t n, uint32_t *out, uint32_t max)
{
    uint64_t sum = 0;
    uint32_t g = 0;

    for (uint32_t i = 0; i < n; i++)
        g = common_divisor(g, weights[i]);
    for (uint32_t i = 0; i < n; i++) {
        out[i] = g > 0 ? weights[i] / g : 0;
        sum += out[i];
    }
    if (sum > max) {
        uint64_t total = sum;

        sum = 0;
        for (uint32_t i = 0; i < n; i++) {
            uint64_t w = (uint64_t)out[i] * (max - wr_min(n, max - 1)) / total;

            out[i] = out[i] == 0 ? 0 : (uint32_t)wr_max(w, 1u);
            sum += out[i];
        }
    }
    return (uint32_t)wr_min(sum, max);
}

uint32_t wr_schedule(const uint32_t *weights, uint32_t n, uint32_t *out, uint32_t max)
{
    uint32_t *w = wr_calloc(n + 1, sizeof(*w));
    int64_t *current = wr_calloc(n + 1, sizeof(*current));
    uint32_t steps = reduce_weights(weights, n, w, max);

    /* Each step adds every weight to its peer's current value; the largest is chosen and gives
     * back the sum: 5 1 1 yields a a b a c a a. */
    for (uint32_t s = 0; s < steps; s++) {
        uint32_t best = UINT32_MAX;

        for (uint32_t i = 0; i < n; i++) {
            current[i] += w[i];
            if (w[i] > 0 && (best == UINT32_MAX || current[i] > current[best]))
                best = i;
        }
        current[best] -= steps;
        out[s] = best;
    }
    free(w);
    free(current);
    return steps;
}
