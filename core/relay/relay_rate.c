/* relay_rate: limits the speed of a relay: how much it may read now, or when it may read again.
 * Called by the relay's round. */
#include "relay/relay_impl.h"

/* As in nginx the bytes of the first second may go at once. */
size_t wr_relay_read_quota(struct wr_relay *r, struct wr_loop *l, size_t want)
{
    uint64_t now = wr_now(), ms = now - r->rate_from + 1000;
    /* cannot overflow: see WR_RATE_MAX */
    uint64_t allowed = r->rate * (ms / 1000) + r->rate * (ms % 1000) / 1000 + r->rate_after;

    r->limited = now < r->rate_next || allowed <= r->taken;
    if (!r->limited)
        return (size_t)wr_min((uint64_t)want, allowed - r->taken);
    wr_timer_set(l, r->rate_timer, now < r->rate_next
                                       ? r->rate_next - now
                                       : (r->taken - allowed) * 1000 / r->rate + 1);
    return 0;
}

bool wr_relay_may_read(struct wr_relay *r, struct wr_loop *l)
{
    return wr_relay_read_quota(r, l, 1) > 0;
}

/* Without the delay each byte the rate allows would be read by itself. */
void wr_relay_delay_read(struct wr_relay *r, size_t n)
{
    uint64_t over = r->taken > r->rate_after ? r->taken - r->rate_after : 0;

    r->rate_next = wr_now() + wr_min(wr_min((uint64_t)n, over) * 1000 / r->rate, (uint64_t)1000);
}

void wr_relay_count(struct wr_relay *r, size_t n)
{
    r->taken += n;
    r->moved += n;
    if (r->rate > 0 && n > 0)
        wr_relay_delay_read(r, n);
}
