/* panic: whether so few main peers are healthy that all of them are tried. One process at a time
 * counts them, at most every 100 ms; the result is a word of the group, so a pick costs the same
 * with any number of peers, and each change is logged once. */
#include "upstream/upstream_impl.h"

#define LOOK_MS 100
#define CLOCKS_MS 1000 /* the clocks of two processes differ by less: each is read once a turn */

struct census {
    uint32_t peers, healthy;
};

static bool is_well(const struct wr_peer_slot *s, uint32_t health, uint64_t now_ms)
{
    uint32_t most = atomic_load_explicit(&s->max_fails, memory_order_relaxed);

    if ((health & WR_HEALTH_CHECK) != 0 || wr_peer_is_ejected(s, now_ms))
        return false;
    return most == 0 || atomic_load_explicit(&s->fails, memory_order_relaxed) < most;
}

/* Not counted: peers that are `down` or `drain`, and those that wait for their mandatory check. */
static struct census count_healthy(const struct wr_peer_group *g, uint64_t now_ms)
{
    struct census c = { 0, 0 };

    for (uint32_t i = 0; i < g->n; i++) {
        const struct wr_peer_slot *s = g->at[i].slot;
        uint32_t health = atomic_load_explicit(&s->health, memory_order_relaxed);

        if (atomic_load_explicit(&s->down, memory_order_relaxed) != 0
            || (health & WR_HEALTH_UNCHECKED) != 0)
            continue;
        c.peers++;
        c.healthy += is_well(s, health, now_ms);
    }
    return c;
}

/* With a healthy backup nobody fails: the main peers that are not healthy are left alone. */
static void look_at_group(struct wr_upstream *u, const struct wr_peers *v, uint64_t now_ms)
{
    struct census c = count_healthy(&v->main, now_ms);
    bool needed = wr_panic_needed(c.healthy, c.peers, u->heal->panic)
               && count_healthy(&v->backup, now_ms).healthy == 0;

    if (atomic_exchange(&v->zone.words->panic, needed) == needed)
        return;
    if (needed)
        wr_say(WR_LOG_WARN, 0, "upstream \"" WR_FMT "\": %u of %u servers healthy, panic is "
               "below %u%%: all are tried", WR_ARG(u->name), c.healthy, c.peers, u->heal->panic);
    else
        wr_say(WR_LOG_NOTICE, 0, "upstream \"" WR_FMT "\": %u of %u servers healthy, the panic is "
               "over", WR_ARG(u->name), c.healthy, c.peers);
}

bool wr_group_panics(struct wr_upstream *u, const struct wr_peers *v, uint64_t now_ms)
{
    struct wr_group_words *w = v->zone.words;
    uint64_t looked;

    if (u->heal == NULL || u->heal->panic == 0)
        return false;
    looked = atomic_load_explicit(&w->panic_looked_ms, memory_order_relaxed);
    if (now_ms + CLOCKS_MS - looked >= CLOCKS_MS + LOOK_MS
        && atomic_compare_exchange_strong(&w->panic_looked_ms, &looked, now_ms))
        look_at_group(u, v, now_ms);
    return atomic_load_explicit(&w->panic, memory_order_relaxed) != 0;
}
