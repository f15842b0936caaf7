/* policy: the decisions of the upstream steps as pure functions; the steps act on them. */
#include "upstream/upstream.h"

enum wr_retry_decision wr_retry_policy(const struct wr_retry_facts *f)
{
    if (f->failure == WR_FAIL_NO_LIVE || f->failure == WR_FAIL_NAME)
        return WR_RETRY_GIVE_UP;
    if (!f->enabled || f->sent)
        return WR_RETRY_GIVE_UP;
    if (f->max_tries > 0 && f->tries >= f->max_tries)
        return WR_RETRY_GIVE_UP;
    if (f->max_ms > 0 && f->elapsed_ms >= f->max_ms)
        return WR_RETRY_GIVE_UP;
    return WR_RETRY_NEXT;
}
