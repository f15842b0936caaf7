/* policy: the decisions of the upstream steps as pure functions; the steps act on them. */
#include "upstream/upstream.h"

static uint32_t next_mask(enum wr_failure f)
{
    switch (f) {
    case WR_FAIL_ERROR:
        return WR_NEXT_ERROR;
    case WR_FAIL_TIMEOUT:
        return WR_NEXT_TIMEOUT;
    case WR_FAIL_INVALID:
        return WR_NEXT_INVALID;
    default: /* the caller has compared the status; the directive has no word for the others */
        return f == WR_FAIL_STATUS ? UINT32_MAX : 0;
    }
}

/* A refusal on a new link is a failure of the peer, not STALE: otherwise a peer that always refuses
 * would be tried for ever. */
struct wr_try_verdict wr_try_judge(const struct wr_try_facts *f)
{
    bool processed = f->sent > 0 && !f->refused;
    bool broke = f->refused || (f->received == 0 && (f->idempotent || !processed));

    return (struct wr_try_verdict){
        .failure = f->failure == WR_FAIL_ERROR && f->reused && broke ? WR_FAIL_STALE : f->failure,
        .processed = processed,
    };
}

enum wr_retry_decision wr_retry_policy(const struct wr_retry_facts *f)
{
    if (f->failure == WR_FAIL_NO_LIVE || f->failure == WR_FAIL_NAME || f->failure == WR_FAIL_FULL
        || f->lost)
        return WR_RETRY_GIVE_UP;
    if (f->failure == WR_FAIL_STALE)
        return WR_RETRY_NEXT;
    if ((f->next & next_mask(f->failure)) == 0)
        return WR_RETRY_GIVE_UP;
    if (f->sent && (f->next & WR_NEXT_NON_IDEMPOTENT) == 0)
        return WR_RETRY_GIVE_UP;
    if (f->max_tries > 0 && f->tries >= f->max_tries)
        return WR_RETRY_GIVE_UP;
    if (f->max_ms > 0 && f->elapsed_ms >= f->max_ms)
        return WR_RETRY_GIVE_UP;
    return WR_RETRY_NEXT;
}
