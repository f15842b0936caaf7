/* relay: one direction of an exchange, and the only byte pump in weir. The relay steps of both
 * layers call wr_relay_pump when either side is ready.
 *
 * Small messages: one read into the worker's scratch, one write; only what the receiver does not
 * take is kept, in blocks, at most `high` bytes. Bulk (four full reads in a row, both sides raw):
 * splice through a pooled pipe that is borrowed only while bytes are in it. */
#include "exchange/exchange.h"

#define ROUNDS 16            /* reads in one turn, so that others get theirs */
#define TURN (2 * 1024 * 1024) /* bytes written in one turn, where nothing else is said */
#define BULK_AFTER 4         /* large reads in a row: 64 KB with the default buffer */
#define BULK_LEFT 65536      /* or so much of a body of known length still to come */
#define LARGE 16384          /* a read that filled this, or the whole buffer */
#define SPILL_AFTER 1000     /* ms */
#define THIN 8192            /* a splice below it is a small message */
#define THIN_MAX 4           /* so many in a row end the bulk mode */

enum state { MOVED, BLOCKED, STARVED, ENDED, SRC_FAILED, DST_FAILED };

static enum state write_fin(struct wr_relay *r)
{
    size_t put;

    if (r->filter != NULL && !r->filtered_fin) { /* filters may have kept something back */
        struct wr_bufq none = { 0 };

        r->filtered_fin = true;
        r->filter(r->filter_arg, &none, true, &r->q);
        return MOVED;
    }
    if (r->hold_fin || r->dst_fin)
        return ENDED;
    switch (r->dst->ops->write(r->dst, NULL, true, &put)) {
    case WR_IO_AGAIN:
        return BLOCKED;
    case WR_IO_ERROR:
        return DST_FAILED;
    default:
        r->dst_fin = true;
        return ENDED;
    }
}

static size_t left_of_turn(const struct wr_relay *r)
{
    return r->moved < r->turn_end ? (size_t)(r->turn_end - r->moved) : 0;
}

static enum state flush_queue(struct wr_relay *r)
{
    struct wr_conn *c = r->dst->conn;
    size_t left;

    for (int i = 0; r->q.n > 0 && i < ROUNDS && (left = left_of_turn(r)) > 0; i++) {
        size_t put = 0;
        enum wr_io io;

        if (c != NULL && c->file_max > 0)
            c->file_max = left;
        io = r->dst->ops->write(r->dst, r->q.head, false, &put);

        r->moved += put;
        wr_bufq_drop(&r->q, put);
        if (io == WR_IO_ERROR)
            return DST_FAILED;
        if (io == WR_IO_AGAIN)
            return BLOCKED;
    }
    return MOVED;
}

static void spliced(struct wr_endpoint *e, uint64_t n)
{
    if (e->ops->spliced != NULL && n > 0)
        e->ops->spliced(e, n);
}

static enum state flush_pipe(struct wr_relay *r, struct wr_loop *l)
{
    while (r->pipe != NULL) {
        size_t put = 0;
        enum wr_io io = wr_conn_splice_out(r->dst->conn, r->pipe, &put);

        r->moved += put;
        spliced(r->dst, put);
        if (r->pipe->fill == 0) {
            wr_pipe_return(l, r->pipe);
            r->pipe = NULL;
        } else if (io == WR_IO_ERROR) {
            return DST_FAILED;
        } else if (io == WR_IO_AGAIN) {
            r->fill = r->high; /* a slow receiver: no more than the buffer from now on */
            return BLOCKED;
        }
    }
    return MOVED;
}

/* Bytes the rate allows now; 0: the timer was set. As nginx: a second's worth at once. */
static size_t allowance(struct wr_relay *r, struct wr_loop *l, size_t want)
{
    uint64_t now = wr_now(), ms = now - r->rate_from + 1000;
    /* no product overflows, however long a session lasts */
    uint64_t allowed = r->rate * (ms / 1000) + r->rate * (ms % 1000) / 1000 + r->rate_after;

    r->limited = now < r->rate_next || allowed <= r->taken;
    if (!r->limited)
        return (size_t)wr_min((uint64_t)want, allowed - r->taken);
    wr_timer_set(l, r->rate_timer, now < r->rate_next
                                       ? r->rate_next - now
                                       : (r->taken - allowed) * 1000 / r->rate + 1);
    return 0;
}

/* What came has to last for its time: else each further byte would be fetched for itself. */
static void rest(struct wr_relay *r, size_t n)
{
    uint64_t over = r->taken > r->rate_after ? r->taken - r->rate_after : 0;

    r->rate_next = wr_now() + wr_min(wr_min((uint64_t)n, over) * 1000 / r->rate, (uint64_t)1000);
}

/* What was there before the first read keeps to the rate as well. */
static enum state take_held(struct wr_relay *r, struct wr_loop *l, size_t max)
{
    size_t n = allowance(r, l, wr_min(max, r->held.n));

    if (n == 0)
        return STARVED;
    wr_bufq_move(&r->q, &r->held, n);
    r->taken += n;
    rest(r, n);
    return MOVED;
}

static enum state src_state(struct wr_relay *r, enum wr_io io)
{
    if (io == WR_IO_EOF)
        r->src_fin = true;
    return io == WR_IO_OK || io == WR_IO_EOF ? MOVED : io == WR_IO_AGAIN ? STARVED : SRC_FAILED;
}

/* One read and one write. */
static enum state copy_once(struct wr_relay *r, struct wr_loop *l, size_t max)
{
    char *scratch = wr_loop_scratch(l);
    size_t n = 0, put = 0;
    enum wr_io io = r->src->ops->read(r->src, scratch, max, &n);
    struct wr_slice one = { .p = scratch, .n = n };

    if (io != WR_IO_OK)
        return src_state(r, io);
    r->taken += n;
    if (r->rate > 0)
        rest(r, n);
    r->full = n >= wr_min(r->high, (size_t)LARGE) ? r->full + 1 : 0;
    if (r->filter != NULL) {
        struct wr_bufq in = { 0 };

        wr_bufq_copy(&in, scratch, n);
        r->filter(r->filter_arg, &in, false, &r->q);
        return MOVED;
    }
    io = r->dst->ops->write(r->dst, &one, false, &put);
    r->moved += put;
    if (io == WR_IO_ERROR)
        return DST_FAILED;
    if (put < n)
        wr_bufq_copy(&r->q, scratch + put, n - put);
    return MOVED;
}

/* The receiver is full: read ahead into memory, later into the file. */
static enum state read_ahead(struct wr_relay *r, struct wr_loop *l)
{
    char *scratch = wr_loop_scratch(l);
    bool filed = r->spill != NULL && (r->spill->in > 0 || r->spill->writing != NULL
                                      || r->q.n >= r->high || r->pipe != NULL);
    size_t n = 0, max = r->q.n < r->high && r->pipe == NULL ? r->high - r->q.n : 0;
    enum wr_io io;

    if (!r->ahead || r->filter != NULL || r->src == NULL || r->src_fin || r->rate > 0)
        return BLOCKED;
    if (filed)
        max = r->behind_since > 0 && wr_now() - r->behind_since >= SPILL_AFTER
            ? wr_min(wr_spill_room(r->spill), (size_t)65536) : 0;
    if (max == 0)
        return BLOCKED;
    io = r->src->ops->read(r->src, scratch, wr_min(max, (size_t)65536), &n);
    if (io != WR_IO_OK)
        return src_state(r, io) == SRC_FAILED ? SRC_FAILED : BLOCKED;
    r->taken += n;
    if (!filed)
        wr_bufq_copy(&r->q, scratch, n);
    else if (!wr_spill_put(r->spill, scratch, n))
        return SRC_FAILED;
    return MOVED;
}

/* How long the receiver is behind decides about the file. */
static void note_behind(struct wr_relay *r, struct wr_loop *l, enum state st)
{
    if (!r->ahead)
        return;
    if (r->q.n == 0 && r->pipe == NULL) {
        r->behind_since = 0;
    } else if (st == BLOCKED && r->behind_since == 0) {
        r->behind_since = wr_now();
        if (r->spill_timer != NULL)
            wr_timer_set(l, r->spill_timer, SPILL_AFTER);
    }
}

static bool bulk(struct wr_relay *r)
{
    uint64_t left;

    if (r->copied || r->rate > 0 || r->filter != NULL || r->src->conn == NULL
        || r->dst->conn == NULL)
        return false;
    left = r->src->ops->want(r->src);
    if (r->full < BULK_AFTER && (left == UINT64_MAX || left < BULK_LEFT))
        return false;
    return left > 0 && r->dst->ops->want(r->dst) > 0;
}

static enum state splice_once(struct wr_relay *r, struct wr_loop *l, size_t max)
{
    size_t n = 0;
    enum wr_io io;

    r->pipe = wr_pipe_borrow(l);
    if (r->pipe == NULL) { /* all of them are full: as if there were no bulk */
        r->full = 0;
        return copy_once(r, l, max);
    }
    r->fill = wr_min(wr_max(r->fill, r->high), r->pipe->size);
    n = (size_t)wr_min((uint64_t)wr_min(r->fill, left_of_turn(r)),
                       wr_min(r->src->ops->want(r->src), r->dst->ops->want(r->dst)));
    io = wr_conn_splice_in(r->src->conn, r->pipe, n, &n);
    r->taken += n;
    spliced(r->src, n);
    if (io != WR_IO_OK) {
        wr_pipe_return(l, r->pipe);
        r->pipe = NULL;
        /* Whether the end may come here, the endpoint knows. */
        return io == WR_IO_EOF ? copy_once(r, l, max) : src_state(r, io);
    }
    r->fill *= 2; /* the next one may be larger, unless the receiver blocks on this one */
    r->thin = n < THIN ? r->thin + 1 : 0;
    if (r->thin >= THIN_MAX)
        r->full = r->thin = 0;
    return flush_pipe(r, l);
}

static enum state flush(struct wr_relay *r, struct wr_loop *l)
{
    enum state st = MOVED;

    if (r->spill != NULL && r->spill->failed)
        return SRC_FAILED;
    if (r->pipe != NULL)
        st = flush_pipe(r, l);
    return st == MOVED && r->q.n > 0 ? flush_queue(r) : st;
}

static enum state round_of(struct wr_relay *r, struct wr_loop *l)
{
    enum state st = flush(r, l);
    size_t max = wr_min(wr_min(r->high, (size_t)WR_SCRATCH), left_of_turn(r));
    bool spilled = r->spill != NULL && r->spill->in > 0;

    if (st == MOVED && (max == 0 || r->q.n > 0 || (spilled && wr_spill_get(r->spill, &r->q))))
        return MOVED;
    if (st == BLOCKED)
        return read_ahead(r, l);
    if (st != MOVED)
        return st;
    if (r->spill != NULL && r->spill->writing != NULL) /* that comes first */
        return STARVED;
    if (spilled)
        wr_spill_drained(r->spill);
    if (r->held.n > 0)
        return take_held(r, l, max);
    if (r->src_fin || r->src == NULL) {
        r->src_fin = true;
        return write_fin(r);
    }
    if (bulk(r))
        return splice_once(r, l, max);
    if (r->rate > 0 && (max = allowance(r, l, max)) == 0)
        return STARVED;
    return copy_once(r, l, max);
}

/* What an endpoint adds (a head, the size of a chunk) does not wait for the bytes behind it. */
static enum state flush_added(struct wr_relay *r)
{
    size_t put;

    switch (r->dst->ops->write(r->dst, NULL, false, &put)) {
    case WR_IO_ERROR:
        return DST_FAILED;
    case WR_IO_AGAIN:
        return BLOCKED;
    default:
        return STARVED;
    }
}

enum wr_pump wr_relay_pump(struct wr_relay *r, struct wr_loop *l, bool *moved_any)
{
    uint64_t before = r->taken + r->moved;
    enum state st = MOVED;

    r->turn_end = r->moved + wr_min(r->turn > 0 ? r->turn : TURN, UINT64_MAX - r->moved);
    for (int i = 0; i < ROUNDS && st == MOVED && left_of_turn(r) > 0; i++)
        st = round_of(r, l);
    if (st == STARVED)
        st = flush_added(r);
    note_behind(r, l, st);
    if (r->taken + r->moved != before)
        *moved_any = true;
    switch (st) {
    case MOVED:
        return WR_PUMP_MORE;
    case ENDED:
        return WR_PUMP_DONE;
    case SRC_FAILED:
        return WR_PUMP_SRC_ERROR;
    case DST_FAILED:
        return WR_PUMP_DST_ERROR;
    default:
        return WR_PUMP_IDLE;
    }
}

void wr_relay_end(struct wr_relay *r, struct wr_loop *l)
{
    wr_bufq_clear(&r->q);
    wr_bufq_clear(&r->held);
    if (r->pipe != NULL)
        wr_pipe_return(l, r->pipe);
    r->pipe = NULL;
    if (r->rate_timer != NULL)
        wr_timer_off(l, r->rate_timer);
    if (r->spill_timer != NULL)
        wr_timer_off(l, r->spill_timer);
}
