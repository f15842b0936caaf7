/* health_count: from results of checks to the state of a server. Pure. */
#include "health_impl.h"

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
