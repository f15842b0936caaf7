/* relay_splice: moves bulk from socket to socket through a pooled pipe: after four full reads in a
 * row, or when much of a body of known length is still to come. Both sides must be raw. The pipe is
 * borrowed only while bytes are in it. Called by the relay's round. */
#include "relay/relay_impl.h"

#define BULK_AFTER 4         /* full reads in a row: 64 KB with the default buffer */
#define BULK_LEFT 65536      /* bytes of a body of known length still to come */
#define THIN 8192            /* a splice of fewer bytes is thin: a small message */
#define THIN_MAX 4           /* thin splices in a row that end bulk */

static void note_spliced(struct wr_endpoint *e, uint64_t n)
{
    if (e->ops->spliced != NULL && n > 0)
        e->ops->spliced(e, n);
}

enum wr_moved wr_relay_flush_pipe(struct wr_relay *r, struct wr_loop *l)
{
    while (r->pipe != NULL) {
        size_t put = 0;
        enum wr_io io = wr_conn_splice_out(r->dst->conn, r->pipe, &put);

        r->moved += put;
        note_spliced(r->dst, put);
        if (r->pipe->fill == 0) {
            wr_pipe_return(l, r->pipe);
            r->pipe = NULL;
        } else if (io == WR_IO_ERROR) {
            return WR_DST_FAILED;
        } else if (io == WR_IO_AGAIN) {
            r->fill = r->high; /* a slow receiver: begin again with a small fill */
            return WR_BLOCKED;
        }
    }
    return WR_MOVED;
}

static uint64_t wanted_by(struct wr_endpoint *e)
{
    return e->ops->want != NULL ? e->ops->want(e) : 0;
}

static bool is_bulk(const struct wr_relay *r)
{
    uint64_t left;

    if (r->copied || r->rate > 0 || r->filters != NULL || r->src->conn == NULL
        || r->dst->conn == NULL)
        return false;
    left = wanted_by(r->src);
    if (r->full < BULK_AFTER && (left == UINT64_MAX || left < BULK_LEFT))
        return false;
    return left > 0 && wanted_by(r->dst) > 0;
}

enum wr_moved wr_relay_splice(struct wr_relay *r, struct wr_loop *l)
{
    size_t n = 0;
    enum wr_io io;

    if (!is_bulk(r))
        return WR_COPY;
    r->pipe = wr_pipe_borrow(l);
    if (r->pipe == NULL) { /* all pipes are in use: copy */
        r->full = 0;
        return WR_COPY;
    }
    r->fill = wr_min(wr_max(r->fill, r->high), r->pipe->size);
    n = (size_t)wr_min((uint64_t)wr_min(r->fill, wr_relay_turn_left(r)),
                       wr_min(wanted_by(r->src), wanted_by(r->dst)));
    io = wr_conn_splice_in(r->src->conn, r->pipe, n, &n);
    r->taken += n;
    note_spliced(r->src, n);
    if (io != WR_IO_OK) {
        wr_pipe_return(l, r->pipe);
        r->pipe = NULL;
        /* At EOF the endpoint must decide whether the message is complete: read. */
        return io == WR_IO_EOF ? WR_COPY : wr_relay_read_result(r, io);
    }
    r->fill *= 2; /* for the next splice, unless the receiver blocks on this one */
    r->thin = n < THIN ? r->thin + 1 : 0;
    if (r->thin >= THIN_MAX)
        r->full = r->thin = 0;
    return wr_relay_flush_pipe(r, l);
}
