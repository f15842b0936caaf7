/* patience: timeouts of steps that move bytes: how long they wait, which side was too slow, and
 * what the client gets then. One decision for requests, replies, tunnels and TCP sessions. */
#include "exchange/exchange.h"

#include <errno.h>

enum wr_timeout wr_patience(const struct wr_patience *p)
{
    if (p->busy)
        return WR_TIMEOUT_OFF;
    if (p->moved)
        return WR_TIMEOUT_RESTARTS;
    if (!p->fired)
        return p->running ? WR_TIMEOUT_RUNS : WR_TIMEOUT_RESTARTS;
    if (p->raw)
        return WR_TIMEOUT_CLOSE;
    if (p->begun)
        return WR_TIMEOUT_CUT;
    return p->whom == WR_AWAITS_CLIENT ? WR_TIMEOUT_REFUSE : WR_TIMEOUT_FAIL;
}

static void log_timeout(struct wr_exchange *x, enum wr_awaited whom)
{
    if (whom == WR_AWAITS_SERVER)
        wr_xlog(x, WR_LOG_ERROR, ETIMEDOUT, "upstream timed out");
    else
        wr_xlog(x, WR_LOG_INFO, ETIMEDOUT, "%s timed out",
                whom == WR_AWAITS_CLIENT ? "client" : "connection");
}

enum wr_timeout wr_patience_keep(struct wr_exchange *x, struct wr_patience p, uint64_t ms)
{
    enum wr_timeout verdict;

    p.fired = x->idle.fired;
    p.running = x->idle.at != 0;
    verdict = wr_patience(&p);
    if (verdict == WR_TIMEOUT_RESTARTS)
        wr_timer_set(x->loop, &x->idle, ms);
    else if (verdict == WR_TIMEOUT_OFF)
        wr_timer_idle(&x->idle);
    else if (verdict != WR_TIMEOUT_RUNS)
        log_timeout(x, p.whom);
    return verdict;
}
