/* Private to the relay's files: relay (a round), relay_rate (speed limit), relay_splice (bulk),
 * relay_filter. */
#ifndef WR_RELAY_IMPL_H
#define WR_RELAY_IMPL_H

#include "relay/relay.h"

/* Results of a round and of its parts. */
enum wr_moved {
    WR_MOVED,
    WR_BLOCKED, /* the receiver takes no more */
    WR_STARVED, /* the source has no more for now */
    WR_ENDED, WR_SRC_FAILED, WR_DST_FAILED,
    WR_COPY     /* from wr_relay_splice: read and write instead */
};
/* Bytes that may still be written in this turn. */
static inline size_t wr_relay_turn_left(const struct wr_relay *r)
{
    return r->moved < r->turn_end ? (size_t)(r->turn_end - r->moved) : 0;
}
/* Notes the result of a read of the source. */
static inline enum wr_moved wr_relay_read_result(struct wr_relay *r, enum wr_io io)
{
    if (io == WR_IO_EOF)
        r->src_fin = true;
    return io == WR_IO_OK || io == WR_IO_EOF ? WR_MOVED
         : io == WR_IO_AGAIN ? WR_STARVED : WR_SRC_FAILED;
}

/* ---- rate: only if r->rate is not 0 ---- */
/* Returns how many bytes may be read now, at most want; 0: the timer was set. */
size_t wr_relay_read_quota(struct wr_relay *r, struct wr_loop *l, size_t want);
/* Call it when n bytes were read and counted in r->taken: puts off the next read for the time that
 * they take at this rate. */
void wr_relay_delay_read(struct wr_relay *r, size_t n);

/* ---- filter: only if r->filters is not NULL ---- */
/* True: all filters pass bytes on without looking at them, so that files need not be read. */
bool wr_relay_may_pass_unread(const struct wr_relay *r);
/* Runs the filters on the bytes of in (NULL: none); the results go to r->q. STARVED: a filter
 * waits. */
enum wr_moved wr_relay_filter(struct wr_relay *r, struct wr_bufq *in, enum wr_push push);

/* ---- splice ---- */
/* Call it with q and the pipe empty. COPY: do not splice, read and write instead. */
enum wr_moved wr_relay_splice(struct wr_relay *r, struct wr_loop *l);
enum wr_moved wr_relay_flush_pipe(struct wr_relay *r, struct wr_loop *l); /* r->pipe is set */

#endif
