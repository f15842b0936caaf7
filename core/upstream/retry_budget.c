/* retry_budget: how many of a group's tries of the last 10 s, in all workers, may be retries. The
 * step pick counts the first try of an exchange, whoever wants another one asks. */
#include "upstream/upstream_impl.h"

/* Once in a window, whichever worker comes first. */
static void say_refused(struct wr_upstream *u, struct wr_tally t)
{
    struct wr_group_words *w = u->peers->zone.words;
    uint64_t now = wr_now(), before = atomic_load(&w->refused_said_ms);
    uint64_t refused = atomic_fetch_add(&w->refused, 1) + 1;

    if (now - before < WR_BUDGET_MS
        || !atomic_compare_exchange_strong(&w->refused_said_ms, &before, now))
        return;
    wr_say(WR_LOG_WARN, 0, "upstream \"" WR_FMT "\": its retry_budget is spent, %u retries of %u "
           "requests within %u s: failures are passed on (%llu so far)", WR_ARG(u->name), t.marked,
           t.all, WR_BUDGET_MS / 1000, (unsigned long long)refused);
}

bool wr_retry_take(struct wr_exchange *x)
{
    struct wr_upstream *u = x->tries->u;
    struct wr_tally t;

    if (u == NULL || u->heal == NULL || !u->heal->budget.on)
        return true;
    t = wr_window_sum(&u->peers->zone.words->tries, WR_BUDGET_MS, wr_now());
    if (!wr_retry_affordable(&u->heal->budget, t)) {
        wr_trace(x, "no retry: budget", t.marked);
        say_refused(u, t);
        return false;
    }
    wr_window_add(&u->peers->zone.words->tries, WR_BUDGET_MS, wr_now(), (struct wr_tally){ 0, 1 });
    return true;
}
