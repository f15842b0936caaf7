/* health_count: from results of checks to the state of a server, and to lines of the log. Pure. */
#include "health_impl.h"

#define QUIET_MS 60000

bool wr_check_counted(struct wr_check_count *c, bool passed, uint32_t fails, uint32_t passes)
{
    enum wr_check_state seen = passed ? WR_CHECK_UP : WR_CHECK_DOWN;

    if (c->state == seen) {
        c->streak = 0;
        return false;
    }
    c->streak++;
    if (c->state != WR_CHECK_UNKNOWN && c->streak < (passed ? passes : fails))
        return false;
    c->state = seen;
    c->streak = 0;
    return true;
}

/* Times differ with each check: "timed out after 5 s", "connect refused after 3 ms". */
static struct wr_str without_time(struct wr_str why)
{
    size_t n = wr_str_search(why, WR_STR(" after "));

    return wr_str_of(why.p, wr_min(n, (size_t)WR_CHECK_WHY_MAX));
}

bool wr_check_reason_new(struct wr_check_said *s, struct wr_str why, bool changed,
                         uint64_t now_ms)
{
    struct wr_str seen = without_time(why);
    bool first = s->n == 0;

    if (changed)
        s->quiet_ms = 0;
    if (!changed && (now_ms < s->quiet_ms || wr_str_eq(seen, wr_str_of(s->why, s->n))))
        return false;
    memcpy(s->why, seen.p, seen.n);
    s->n = seen.n;
    if (changed || first)
        return false;
    s->quiet_ms = now_ms + QUIET_MS;
    return true;
}
