/* patience: timeouts of steps that move bytes: how long they wait, which side was too slow, and
 * what the client gets then. One decision for requests, replies, tunnels and TCP sessions. */
#include "exchange/exchange.h"

#include <errno.h>

enum wr_patient wr_patience(const struct wr_patience *p)
{
    if (p->busy)
        return WR_PATIENT_FREELY;
    if (p->moved)
        return WR_PATIENT_ANEW;
    if (!p->fired)
        return p->running ? WR_PATIENT_STILL : WR_PATIENT_ANEW;
    if (p->raw)
        return WR_PATIENT_CLOSES;
    if (p->begun)
        return WR_PATIENT_CUTS;
    return p->whom == WR_AWAITS_CLIENT ? WR_PATIENT_REFUSES : WR_PATIENT_FAILS;
}

static void log_timeout(struct wr_exchange *x, enum wr_awaited whom)
{
    if (whom == WR_AWAITS_SERVER)
        wr_xlog(x, WR_LOG_ERROR, ETIMEDOUT, "upstream timed out");
    else
        wr_xlog(x, WR_LOG_INFO, ETIMEDOUT, "%s timed out",
                whom == WR_AWAITS_CLIENT ? "client" : "connection");
}

enum wr_patient wr_patience_keep(struct wr_exchange *x, struct wr_patience p, uint64_t ms)
{
    enum wr_patient verdict;

    p.fired = x->idle.fired;
    p.running = x->idle.at != 0;
    verdict = wr_patience(&p);
    if (verdict == WR_PATIENT_ANEW)
        wr_timer_set(x->loop, &x->idle, ms);
    else if (verdict == WR_PATIENT_FREELY)
        wr_timer_idle(&x->idle);
    else if (verdict != WR_PATIENT_STILL)
        log_timeout(x, p.whom);
    return verdict;
}
