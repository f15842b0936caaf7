/* relay: moves the bytes of one direction of an exchange; nothing else in weir does. The relay
 * steps of both layers call wr_relay_pump when either side is ready.
 *
 * A small message is one read into the worker's scratch and one write; only bytes the receiver does
 * not take are copied, at most `high` of them. relay_splice.c moves bulk, relay_rate.c limits the
 * speed. */
#include "relay/relay_impl.h"

#define ROUNDS 16            /* reads in one turn, so that other connections get their share */
#define TURN (2 * 1024 * 1024) /* default of r->turn */
#define LARGE 16384          /* a read of so many bytes, or of r->high, is a full one */
#define SPILL_AFTER 1000     /* ms the receiver is behind before the temp file is used */

static enum wr_moved write_fin(struct wr_relay *r)
{
    size_t put;

    if (r->filters != NULL && !r->filters_ended) /* they may still hold bytes */
        return wr_relay_filter(r, NULL, WR_PUSH_FIN);
    if (r->hold_fin || r->dst_fin)
        return WR_ENDED;
    switch (r->dst->ops->write(r->dst, NULL, true, &put)) {
    case WR_IO_AGAIN:
        return WR_BLOCKED;
    case WR_IO_ERROR:
        return WR_DST_FAILED;
    default: /* written; EOF cannot come of a write */
        r->dst_fin = true;
        return WR_ENDED;
    }
}

static enum wr_moved flush_queue(struct wr_relay *r)
{
    struct wr_conn *c = r->dst->conn;
    size_t left;

    for (int i = 0; r->q.n > 0 && i < ROUNDS && (left = wr_relay_turn_left(r)) > 0; i++) {
        size_t put = 0;
        enum wr_io io;

        if (c != NULL && c->file_max > 0)
            c->file_max = left;
        io = r->dst->ops->write(r->dst, r->q.head, false, &put);

        r->moved += put;
        wr_bufq_drop(&r->q, put);
        if (io == WR_IO_ERROR)
            return WR_DST_FAILED;
        if (io == WR_IO_AGAIN)
            return WR_BLOCKED;
    }
    return WR_MOVED;
}

/* Moves slices of a stored source to q without reading them: all at once, as they take no memory,
 * unless there is a rate. Notes the end together with the last byte. */
static enum wr_moved take_stored(struct wr_relay *r, size_t max)
{
    struct wr_bufq in = { 0 };
    size_t n = r->src->ops->give(r->src, r->filters != NULL ? &in : &r->q,
                                 r->rate > 0 ? max : SIZE_MAX);

    r->taken += n;
    r->src_fin = wr_endpoint_at_end(r->src);
    if (r->rate > 0)
        wr_relay_delay_read(r, n);
    return r->filters != NULL ? wr_relay_filter(r, &in, WR_PUSH_NONE) : WR_MOVED;
}

/* Moves bytes by one read and one write. */
static enum wr_moved copy_once(struct wr_relay *r, size_t max)
{
    size_t n = 0, put = 0;
    enum wr_io io = r->src->ops->read(r->src, wr_scratch, max, &n);
    struct wr_slice one = { .p = wr_scratch, .n = n };

    r->fetching = io == WR_IO_AGAIN && r->src->conn == NULL;
    if (io != WR_IO_OK)
        return wr_relay_read_result(r, io);
    r->taken += n;
    if (r->rate > 0)
        wr_relay_delay_read(r, n);
    r->full = n >= wr_min(r->high, (size_t)LARGE) ? r->full + 1 : 0;
    if (r->filters != NULL) {
        struct wr_bufq in = { 0 };

        wr_bufq_copy(&in, wr_scratch, n);
        return wr_relay_filter(r, &in, WR_PUSH_NONE);
    }
    io = r->dst->ops->write(r->dst, &one, false, &put);
    r->moved += put;
    if (io == WR_IO_ERROR)
        return WR_DST_FAILED;
    if (put < n)
        wr_bufq_copy(&r->q, wr_scratch + put, n - put);
    return WR_MOVED;
}

static enum wr_moved fail_spill(struct wr_relay *r)
{
    r->broken = true;
    return WR_SRC_FAILED;
}

/* The receiver takes no more: read ahead into memory and, after SPILL_AFTER, into the file.
 * `filed`: these bytes come after bytes in the file, so they must go there, too. */
static enum wr_moved read_ahead(struct wr_relay *r)
{
    bool filed = r->spill != NULL && (r->spill->file.size > 0 || r->spill->file.writing != NULL
                                      || r->q.n >= r->high || r->pipe != NULL);
    size_t n = 0, max = r->q.n < r->high && r->pipe == NULL ? r->high - r->q.n : 0;
    enum wr_io io;

    if (!r->ahead || r->filters != NULL || r->src == NULL || r->src_fin || r->rate > 0)
        return WR_BLOCKED;
    if (filed)
        max = r->behind_since > 0 && wr_now() - r->behind_since >= SPILL_AFTER
            ? wr_min(wr_spill_room(r->spill), (size_t)65536) : 0;
    if (max == 0)
        return WR_BLOCKED;
    io = r->src->ops->read(r->src, wr_scratch, wr_min(max, (size_t)65536), &n);
    if (io != WR_IO_OK)
        return wr_relay_read_result(r, io) == WR_SRC_FAILED ? WR_SRC_FAILED : WR_BLOCKED;
    r->taken += n;
    if (!filed)
        wr_bufq_copy(&r->q, wr_scratch, n);
    else if (!wr_temp_append(&r->spill->file, wr_scratch, n))
        return fail_spill(r);
    return WR_MOVED;
}

/* Notes since when the receiver is behind: read_ahead uses it to decide about the file. */
static void note_behind(struct wr_relay *r, struct wr_loop *l, enum wr_moved st)
{
    if (!r->ahead)
        return;
    if (r->q.n == 0 && r->pipe == NULL) {
        r->behind_since = 0;
    } else if (st == WR_BLOCKED && r->behind_since == 0) {
        r->behind_since = wr_now();
        if (r->spill_timer != NULL)
            wr_timer_set(l, r->spill_timer, SPILL_AFTER);
    }
}

/* Writes the bytes in the pipe, then those in q. */
static enum wr_moved flush_kept(struct wr_relay *r, struct wr_loop *l)
{
    enum wr_moved st = WR_MOVED;

    if (r->spill != NULL && r->spill->file.failed)
        return fail_spill(r);
    if (r->pipe != NULL)
        st = wr_relay_flush_pipe(r, l);
    return st == WR_MOVED && r->q.n > 0 ? flush_queue(r) : st;
}

/* One round: writes kept bytes or, if there are none, moves new ones. */
static enum wr_moved run_round(struct wr_relay *r, struct wr_loop *l)
{
    enum wr_moved st = flush_kept(r, l);
    size_t max = wr_min(wr_min(r->high, (size_t)WR_SCRATCH), wr_relay_turn_left(r));
    bool spilled = r->spill != NULL && r->spill->file.size > 0;

    if (st == WR_MOVED && (max == 0 || r->q.n > 0 || (spilled && wr_spill_get(r->spill, &r->q))))
        return WR_MOVED;
    if (st == WR_BLOCKED)
        return read_ahead(r);
    if (st != WR_MOVED)
        return st;
    if (r->spill != NULL && r->spill->file.writing != NULL) /* those bytes come first */
        return WR_STARVED;
    if (spilled)
        wr_spill_drained(r->spill);
    if (r->filter_waits && !r->src_fin)
        return wr_relay_filter(r, NULL, WR_PUSH_NONE);
    if (r->src_fin || r->src == NULL) {
        r->src_fin = true;
        return write_fin(r);
    }
    st = wr_relay_splice(r, l);
    if (st != WR_COPY)
        return st;
    if (r->rate > 0 && (max = wr_relay_read_quota(r, l, max)) == 0)
        return WR_STARVED;
    if (r->src->ops->give != NULL && wr_relay_may_pass_unread(r))
        return take_stored(r, max);
    st = copy_once(r, max);
    if (st == WR_STARVED && r->filters_hold)
        return wr_relay_filter(r, NULL, WR_PUSH_FLUSH);
    return st;
}

/* Sends what the endpoint added (a head, the size of a chunk) without waiting for further bytes. */
static enum wr_moved flush_added(struct wr_relay *r)
{
    size_t put;

    switch (r->dst->ops->write(r->dst, NULL, false, &put)) {
    case WR_IO_ERROR:
        return WR_DST_FAILED;
    case WR_IO_AGAIN:
        return WR_BLOCKED;
    default: /* all is written */
        return WR_STARVED;
    }
}

enum wr_pump wr_relay_pump(struct wr_relay *r, struct wr_loop *l, bool *moved_any)
{
    uint64_t before = r->taken + r->moved;
    enum wr_moved st = WR_MOVED;

    r->turn_end = r->moved + wr_min(r->turn > 0 ? r->turn : TURN, UINT64_MAX - r->moved);
    for (int i = 0; i < ROUNDS && st == WR_MOVED && wr_relay_turn_left(r) > 0; i++)
        st = run_round(r, l);
    if (st == WR_STARVED)
        st = flush_added(r);
    note_behind(r, l, st);
    if (r->taken + r->moved != before)
        *moved_any = true;
    switch (st) {
    case WR_MOVED:
        return WR_PUMP_MORE;
    case WR_ENDED:
        return WR_PUMP_DONE;
    case WR_SRC_FAILED:
        return WR_PUMP_SRC_ERROR;
    case WR_DST_FAILED:
        return WR_PUMP_DST_ERROR;
    default: /* it waits for one of its ends */
        return WR_PUMP_IDLE;
    }
}

void wr_relay_end(struct wr_relay *r, struct wr_loop *l)
{
    wr_bufq_clear(&r->q);
    for (struct wr_relay_filter *f = r->filters; f != NULL; f = f->next)
        wr_bufq_clear(&f->in);
    if (r->pipe != NULL)
        wr_pipe_return(l, r->pipe);
    r->pipe = NULL;
    if (r->rate_timer != NULL)
        wr_timer_off(l, r->rate_timer);
    if (r->spill_timer != NULL)
        wr_timer_off(l, r->spill_timer);
}
