/* nat_slots: which slot of a group's table is whose. The kernel counts flows (or hashes clients)
 * and looks its number up in the table. Pure. Called by the nat process for each new list. */
#include "nat/nat_impl.h"

#define SLOTS_WANTED 1024    /* above, a table is only as large as the weights need */

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t t = a % b;

        a = b;
        b = t;
    }
    return a;
}

/* A multiple of the sum, so that the slots of one that goes can be shared evenly by the others. */
uint32_t wr_nat_slots(const struct wr_nat_peer *peers, uint32_t n)
{
    static const uint32_t times[] = { 60, 12, 6, 2 };
    uint64_t sum = 0, g = 0;

    for (uint32_t i = 0; i < n; i++) {
        g = peers[i].backup ? g : common_divisor(g, peers[i].weight);
        sum += peers[i].backup ? 0 : peers[i].weight;
    }
    sum = g > 0 ? sum / g : 1;
    for (size_t i = 0; i < WR_COUNT(times); i++)
        if (sum * times[i] <= SLOTS_WANTED)
            return (uint32_t)sum * times[i];
    return (uint32_t)wr_min(sum, (uint64_t)WR_NAT_SLOTS_MAX);
}

/* Fills the slots at these places in nginx's smooth order: each place adds every share to its
 * peer's current value; the largest, the first among equals, is taken and gives back the sum. */
static void spread_shares(const uint64_t *share, uint32_t n, uint32_t *slot, const uint32_t *place,
                          uint32_t places)
{
    int64_t *current = wr_calloc(n + 1, sizeof(*current)), sum = 0;

    for (uint32_t i = 0; i < n; i++)
        sum += (int64_t)share[i];
    for (uint32_t k = 0; k < places && sum > 0; k++) {
        uint32_t best = WR_NAT_NOBODY;

        for (uint32_t i = 0; i < n; i++) {
            current[i] += (int64_t)share[i];
            if (share[i] > 0 && (best == WR_NAT_NOBODY || current[i] > current[best]))
                best = i;
        }
        current[best] -= sum;
        slot[place[k]] = best;
    }
    free(current);
}

/* Gives the places to those that have least of what their weights say. */
static void share_places(const struct wr_nat_peer *peers, const uint64_t *weight, uint32_t n,
                         uint64_t *share, uint32_t slots, uint32_t places)
{
    uint64_t *have = wr_calloc(n + 1, sizeof(*have)), sum = 0;

    memcpy(have, share, n * sizeof(*have));
    for (uint32_t i = 0; i < n; i++) {
        sum += peers[i].usable ? weight[i] : 0;
        share[i] = 0;
    }
    for (uint32_t k = 0; k < places && sum > 0; k++) {
        uint32_t best = WR_NAT_NOBODY;
        int64_t most = 0;

        for (uint32_t i = 0; i < n; i++) {
            int64_t lacks = (int64_t)(slots * weight[i]) - (int64_t)(have[i] * sum);

            if (peers[i].usable && weight[i] > 0 && (best == WR_NAT_NOBODY || lacks > most)) {
                best = i;
                most = lacks;
            }
        }
        have[best]++;
        share[best]++;
    }
    free(have);
}

static void fill_rank(const struct wr_nat_peer *peers, const uint64_t *weight, uint32_t n,
                      uint32_t *slot, uint32_t slots)
{
    uint32_t *place = wr_calloc(slots, sizeof(*place)), places = 0;
    uint64_t *share = wr_calloc(n + 1, sizeof(*share));

    for (uint32_t k = 0; k < slots; k++)
        place[k] = k;
    spread_shares(weight, n, slot, place, slots);
    for (uint32_t k = 0; k < slots; k++) {
        if (slot[k] != WR_NAT_NOBODY && peers[slot[k]].usable)
            share[slot[k]]++;
        else
            place[places++] = k;
    }
    for (uint32_t k = 0; k < places; k++)
        slot[place[k]] = WR_NAT_NOBODY;
    share_places(peers, weight, n, share, slots, places);
    spread_shares(share, n, slot, place, places);
    free(place);
    free(share);
}

void wr_nat_slots_fill(const struct wr_nat_peer *peers, uint32_t n, uint32_t *slot, uint32_t slots)
{
    uint64_t *weight = wr_calloc(n + 1, sizeof(*weight));
    bool backup = true;

    for (uint32_t i = 0; i < n; i++)
        backup = backup && (peers[i].backup || !peers[i].usable);
    for (uint32_t i = 0; i < n; i++)
        weight[i] = peers[i].backup == backup ? peers[i].weight : 0;
    for (uint32_t k = 0; k < slots; k++)
        slot[k] = WR_NAT_NOBODY;
    fill_rank(peers, weight, n, slot, slots);
    free(weight);
}
