/* unusable: tells for the log why none of a group's peers could be picked. Called by pick. */
#include "upstream/upstream_impl.h"

enum reason { TRIED, DOWN, DRAINING, UNHEALTHY, UNCHECKED, EJECTED, FULL, FAILED, REASONS };

static const char *const words[REASONS] = {
    "tried", "down", "draining", "unhealthy", "not checked yet", "ejected", "at max_conns",
    "failed",
};

static enum reason reason_of(const struct wr_tries *a, const struct wr_peer *peer, uint64_t now_ms)
{
    const struct wr_peer_slot *s = peer->slot;
    uint32_t down = atomic_load_explicit(&s->down, memory_order_relaxed);
    uint32_t health = atomic_load_explicit(&s->health, memory_order_relaxed);
    uint32_t most = atomic_load_explicit(&s->max_conns, memory_order_relaxed);

    if (wr_peer_is_tried(a->tried, peer->index))
        return TRIED;
    if (down != 0)
        return down == WR_DOWN_DRAIN ? DRAINING : DOWN;
    if ((health & WR_HEALTH_CHECK) != 0)
        return UNHEALTHY;
    if ((health & WR_HEALTH_UNCHECKED) != 0)
        return UNCHECKED;
    if (wr_peer_is_ejected(s, now_ms))
        return EJECTED;
    if (most > 0 && atomic_load_explicit(&s->conns, memory_order_relaxed) >= most)
        return FULL;
    return FAILED;
}

static uint32_t count_reasons(const struct wr_tries *a, const struct wr_peer_group *g,
                              uint32_t *count)
{
    for (uint32_t i = 0; i < g->n; i++)
        count[reason_of(a, &g->at[i], wr_now())]++;
    return g->n;
}

/* "3 servers, 1 down, 2 at max_conns" */
void wr_unusable_text(const struct wr_exchange *x, struct wr_text *out)
{
    const struct wr_tries *a = x->tries;
    const struct wr_peers *v = wr_peers_view(a->u);
    uint32_t count[REASONS] = { 0 };
    uint32_t all = count_reasons(a, &v->main, count) + count_reasons(a, &v->backup, count);

    if (all == 0)
        wr_text_c(out, "no servers");
    else
        wr_text_fmt(out, "%u server%s", all, all == 1 ? "" : "s");
    for (uint32_t i = 0; i < REASONS; i++)
        if (count[i] > 0)
            wr_text_fmt(out, ", %u %s", count[i], words[i]);
}
