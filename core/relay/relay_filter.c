/* relay_filter: runs the bytes of a relay through its filters, in order. Bytes a filter has not
 * taken stay in its queue `in`, and the relay reads no more meanwhile. Called by the relay's
 * round. */
#include "relay/relay_impl.h"

bool wr_relay_may_pass_unread(const struct wr_relay *r)
{
    for (const struct wr_relay_filter *f = r->filters; f != NULL; f = f->next)
        if (!f->passes)
            return false;
    return true;
}

static enum wr_filtered run_filter(struct wr_relay_filter *f, enum wr_push push,
                                   struct wr_bufq *out)
{
    enum wr_filtered done;

    if (f->ended || (f->in.n == 0 && push == WR_PUSH_NONE))
        return WR_FILTERED;
    done = f->run(f, push, out);
    WR_ASSERT(done != WR_FILTERED || f->in.n == 0);
    f->ended = done == WR_FILTERED && push == WR_PUSH_FIN;
    return done;
}

/* If a filter waits, those after it get the bytes it has released, but no push: that comes
 * later. */
static enum wr_filtered run_filters(struct wr_relay *r, struct wr_bufq *in, enum wr_push push)
{
    enum wr_filtered all = WR_FILTERED;
    struct wr_bufq from = *in;

    for (struct wr_relay_filter *f = r->filters; f != NULL; f = f->next) {
        struct wr_bufq out = { 0 };
        enum wr_filtered one;

        wr_bufq_move(&f->in, &from, from.n);
        wr_bufq_clear(&from);
        one = run_filter(f, push, &out);
        from = out;
        if (one != WR_FILTERED) {
            all = one;
            push = WR_PUSH_NONE;
        }
        if (one == WR_FILTER_FAILED)
            break;
    }
    wr_bufq_move(&r->q, &from, from.n);
    wr_bufq_clear(&from);
    return all;
}

enum wr_moved wr_relay_filter(struct wr_relay *r, struct wr_bufq *in, enum wr_push push)
{
    struct wr_bufq none = { 0 };

    switch (run_filters(r, in != NULL ? in : &none, push)) {
    case WR_FILTER_FAILED:
        r->broken = true;
        return WR_SRC_FAILED;
    case WR_FILTER_WAITS:
        r->filter_waits = true;
        return r->q.n > 0 ? WR_MOVED : WR_STARVED;
    default: /* filtered */
        r->filter_waits = false;
        r->filters_hold = push == WR_PUSH_NONE;
        r->filters_ended = push == WR_PUSH_FIN;
        return WR_MOVED;
    }
}
