/* retry: the step after a failed try: ends it, then goes on to another peer or rejects the exchange
 * as policy decides. */
#include "upstream/upstream_impl.h"

/* True: the failure counts against the peer. Not if a parked link was closed, if this worker is
 * full, or if the peer just lacks what was asked for (403, 404). A dial that several exchanges have
 * joined counts once. */
static bool is_fault_of_peer(const struct wr_tries *a)
{
    unsigned status = a->all.n > a->first ? a->all.at[a->all.n - 1].status : 0;

    return a->failure != WR_FAIL_STALE && !a->lease.joined && a->failure != WR_FAIL_FULL
        && !(a->failure == WR_FAIL_STATUS && (status == 403 || status == 404));
}

/* At most one try for each peer: then the last failure decides the reply. */
static uint32_t max_tries(struct wr_exchange *x)
{
    uint32_t all = wr_max(wr_peers_to_try(x), 1u), configured = x->tries->rows->next_tries;

    return configured > 0 ? wr_min(configured, all) : all;
}

/* A link that broke while it was parked costs the peers no second request. */
static bool may_afford(struct wr_exchange *x)
{
    enum wr_failure why = x->tries->failure;

    return why == WR_FAIL_STALE || why == WR_FAIL_STATUS || wr_retry_take(x);
}

static enum wr_go retry_run(struct wr_exchange *x)
{
    struct wr_tries *a = x->tries;
    struct wr_retry_facts f = {
        .failure = a->failure,
        .next = a->rows->next,
        .tries = a->all.n - a->first - a->stale,
        .max_tries = max_tries(x),
        .elapsed_ms = wr_now() - a->begun_ms - a->waited_ms,
        .max_ms = a->rows->next_timeout_ms,
        .sent = a->sealed,
        .lost = a->lost,
    };

    wr_trace(x, "failure", a->failure);
    a->stale += a->failure == WR_FAIL_STALE;
    wr_timer_off(x->loop, &x->idle);
    if (a->all.n > a->first && wr_try_now(a)->status == 0)
        wr_try_now(a)->status = f.failure == WR_FAIL_TIMEOUT ? 504 : 502;
    wr_try_end(x, is_fault_of_peer(a));
    if (wr_retry_policy(&f) == WR_RETRY_GIVE_UP || !may_afford(x))
        return x->layer->reject(x, f.failure == WR_FAIL_TIMEOUT ? 504 : 502);
    x->step = &wr_step_pick;
    return WR_GO;
}

const struct wr_step wr_step_retry = { "retry", "connecting to upstream", retry_run };
