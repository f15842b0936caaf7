/* outlier: counts in each peer's slot how its tries end, over all workers, and ejects a peer that
 * fails too often. When its time is over the peer gets one try as a probe, which decides whether it
 * returns. The step pick calls it; the decisions are in heal.
 *
 * Any worker may eject: the one that moves ejected_ms to the new time does the rest, and logs it. A
 * worker that dies there leaves a peer that is not ejected, and cannot be until that time. */
#include "upstream/upstream_impl.h"

#define FULL_MS 100   /* at the limit of max_ejected: the peers are counted again after this */
#define SAID_MS 10000 /* the limit is logged once in this time */

struct ranks {                   /* peers of one rank: main or backup */
    uint32_t n, ejected;
};

static struct ranks count_ranks(const struct wr_upstream *u, const struct wr_peer *peer,
                                uint64_t now_ms)
{
    bool backup = atomic_load_explicit(&peer->slot->backup, memory_order_relaxed) != 0;
    const struct wr_peer_group *g = backup ? &u->peers->backup : &u->peers->main;
    struct ranks r = { 0, 0 };

    for (uint32_t i = 0; i < g->n; i++) {
        const struct wr_peer_slot *s = g->at[i].slot;

        if ((atomic_load_explicit(&s->down, memory_order_relaxed) & WR_DOWN_CONF) != 0)
            continue;
        r.n++;
        r.ejected += wr_peer_is_ejected(s, now_ms);
    }
    return r;
}

/* ---- the log ---- */

static void say_about(enum wr_level level, const struct wr_upstream *u, const struct wr_try *t,
                      const char *what)
{
    char buf[WR_ADDR_TEXT_MAX];
    struct wr_text addr = wr_text_on(buf, sizeof(buf));

    wr_addr_text(&t->addr, &addr);
    wr_say(level, 0, "upstream \"" WR_FMT "\": server " WR_FMT " %s", WR_ARG(u->name),
           WR_ARG(wr_text_view(&addr)), what);
}

static void say_ejected(const struct wr_upstream *u, const struct wr_try *t, uint64_t ms,
                        struct wr_tally found)
{
    char why[128], what[256];

    if (t->probe)
        (void)snprintf(why, sizeof(why), "its probe failed");
    else
        (void)snprintf(why, sizeof(why), "%u of %u tries failed within %llu s", found.marked,
                       found.all, (unsigned long long)(u->heal->outlier.window_ms + 999) / 1000);
    (void)snprintf(what, sizeof(what), "is ejected for %llu.%03u s: %s",
                   (unsigned long long)(ms / 1000), (unsigned)(ms % 1000), why);
    say_about(WR_LOG_WARN, u, t, what);
}

static void say_full(struct wr_upstream *u, const struct wr_try *t, struct ranks r)
{
    _Atomic uint64_t *said = &u->peers->zone.words->ejected_said_ms;
    uint64_t before = atomic_load(said), now = wr_now();
    char what[128];

    if (now - before < SAID_MS || !atomic_compare_exchange_strong(said, &before, now))
        return;
    (void)snprintf(what, sizeof(what), "fails too often but stays: %u of %u servers are ejected, "
                   "max_ejected is %u%%", r.ejected, r.n, u->heal->outlier.max_ejected);
    say_about(WR_LOG_WARN, u, t, what);
}

/* ---- ejecting ---- */

static bool is_full(struct wr_upstream *u, const struct wr_try *t, uint32_t more)
{
    struct wr_outlier *o = &u->heal->outlier;
    struct ranks r = count_ranks(u, &t->peer, wr_now());

    if (r.ejected + more <= wr_eject_most(r.n, o->max_ejected))
        return false;
    o->full_ms = wr_now() + FULL_MS;
    if (r.n > 1)
        say_full(u, t, r);
    return true;
}

/* False: another process was first. */
static bool take_ejection(struct wr_peer_slot *s, uint64_t now_ms, uint64_t until_ms)
{
    uint64_t before = atomic_load(&s->ejected_ms);

    if (before - now_ms - 1 < WR_EJECT_TIMES_MAX * (uint64_t)WR_EJECT_MAX_MS)
        return false;
    return atomic_compare_exchange_strong(&s->ejected_ms, &before, until_ms);
}

static uint64_t next_time(const struct wr_outlier *o, struct wr_peer_slot *s, uint64_t quiet_ms,
                          uint32_t *times)
{
    *times = wr_eject_times(atomic_load(&s->ejections), quiet_ms, o->eject_ms);
    return *times * o->eject_ms;
}

/* Looks again after it has ejected the peer: another process may have ejected another one. */
static void eject_peer(struct wr_upstream *u, struct wr_try *t, struct wr_tally found)
{
    struct wr_peer_slot *s = t->peer.slot;
    uint64_t now = wr_now(), ms;
    uint32_t times;

    if (now < u->heal->outlier.full_ms || is_full(u, t, 1))
        return;
    ms = next_time(&u->heal->outlier, s, now - atomic_load(&s->returned_ms), &times);
    if (!take_ejection(s, now, now + ms))
        return;
    (void)atomic_fetch_or(&s->health, WR_HEALTH_EJECTED);
    if (is_full(u, t, 0)) {
        (void)atomic_fetch_and(&s->health, ~(uint32_t)WR_HEALTH_EJECTED);
        atomic_store(&s->ejected_ms, now);
        return;
    }
    atomic_store(&s->ejections, times);
    say_ejected(u, t, ms, found);
    wr_ring_workers(WR_BELL_PEERS);
}

static void eject_again(struct wr_upstream *u, const struct wr_try *t)
{
    struct wr_peer_slot *s = t->peer.slot;
    uint32_t times;
    uint64_t ms = next_time(&u->heal->outlier, s, 0, &times);

    atomic_store(&s->ejections, times);
    atomic_store(&s->ejected_ms, wr_now() + ms);
    say_ejected(u, t, ms, (struct wr_tally){ 0, 0 });
}

/* ---- returning ---- */

static void return_peer(const struct wr_upstream *u, const struct wr_try *t)
{
    struct wr_peer_slot *s = t->peer.slot;
    uint64_t now = wr_now();

    wr_window_clear(&s->window);
    atomic_store(&s->returned_ms, now);
    wr_slot_rises(s, now);
    atomic_store(&s->ejected_ms, now);
    if ((atomic_fetch_and(&s->health, ~(uint32_t)WR_HEALTH_EJECTED) & WR_HEALTH_EJECTED) != 0)
        say_about(WR_LOG_NOTICE, u, t, "returns: its probe succeeded");
    wr_ring_workers(WR_BELL_PEERS);
}

/* The probe has eject= to succeed; then another one may. */
void wr_outlier_picked(struct wr_upstream *u, struct wr_try *t)
{
    struct wr_peer_slot *s = t->peer.slot;
    uint64_t now = wr_now(), before;

    if (wr_likely((atomic_load_explicit(&s->health, memory_order_relaxed)
                   & WR_HEALTH_EJECTED) == 0))
        return;
    if (u->heal == NULL || u->heal->outlier.errors == 0) { /* ejected before a reload */
        (void)atomic_fetch_and(&s->health, ~(uint32_t)WR_HEALTH_EJECTED);
        return;
    }
    before = atomic_load(&s->ejected_ms);
    t->probe = !wr_peer_is_ejected(s, now)
            && atomic_compare_exchange_strong(&s->ejected_ms, &before,
                                              now + u->heal->outlier.eject_ms);
}

void wr_outlier_note(struct wr_upstream *u, struct wr_try *t, enum wr_outcome outcome)
{
    struct wr_peer_slot *s = t->peer.slot;
    struct wr_outlier *o = u->heal != NULL ? &u->heal->outlier : NULL;
    struct wr_tally found;

    if (o == NULL || o->errors == 0 || t->counted)
        return;
    if (outcome == WR_TRY_UNKNOWN && t->probe) /* let another one decide, now */
        atomic_store(&s->ejected_ms, wr_now());
    if (outcome == WR_TRY_UNKNOWN)
        return;
    t->counted = true;
    if (t->probe && outcome == WR_TRY_WORKED) {
        return_peer(u, t);
    } else if (t->probe) {
        eject_again(u, t);
    } else {
        wr_window_add(&s->window, o->window_ms, wr_now(),
                      (struct wr_tally){ 1, outcome == WR_TRY_FAILED });
        if (outcome != WR_TRY_FAILED || (atomic_load(&s->health) & WR_HEALTH_EJECTED) != 0)
            return;
        found = wr_window_sum(&s->window, o->window_ms, wr_now());
        if (wr_outlier_found(o, found))
            eject_peer(u, t, found);
    }
}
