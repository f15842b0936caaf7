/* Private to the relay's files: relay (the round), rate (its speed), splice (bulk), filter (changes
 * of the bytes). */
#ifndef WR_RELAY_IMPL_H
#define WR_RELAY_IMPL_H

#include "relay/relay.h"

/* Result of a part of a round. */
enum wr_moved {
    WR_MOVED,
    WR_BLOCKED, /* the receiver takes no more */
    WR_STARVED, /* the source has no more, for now */
    WR_ENDED, WR_SRC_FAILED, WR_DST_FAILED,
    WR_COPY     /* of a splice: a read and a write have to do it */
};
/* Bytes that may still be written in this turn. */
static inline size_t wr_relay_turn_left(const struct wr_relay *r)
{
    return r->moved < r->turn_end ? (size_t)(r->turn_end - r->moved) : 0;
}
/* The result of a read of the source. */
static inline enum wr_moved wr_relay_read_result(struct wr_relay *r, enum wr_io io)
{
    if (io == WR_IO_EOF)
        r->src_fin = true;
    return io == WR_IO_OK || io == WR_IO_EOF ? WR_MOVED
         : io == WR_IO_AGAIN ? WR_STARVED : WR_SRC_FAILED;
}

/* ---- rate: only where r->rate is not 0 ---- */
/* Bytes that may be read now, at most want; 0: the timer was set. */
size_t wr_relay_read_quota(struct wr_relay *r, struct wr_loop *l, size_t want);
/* n bytes were read (and are in r->taken): they have to last for their time. */
void wr_relay_delay_read(struct wr_relay *r, size_t n);

/* ---- filter: only where r->filters is not NULL ---- */
/* May they be given bytes that nobody has read? */
bool wr_relay_may_pass_unread(const struct wr_relay *r);
/* Hands in, if it is not NULL, to the filters; what comes out of them is in r->q. STARVED: one of
 * them waits. */
enum wr_moved wr_relay_filter(struct wr_relay *r, struct wr_bufq *in, enum wr_push push);

/* ---- splice ---- */
/* Nothing waits in q or in a pipe. COPY also where the bytes are none for a pipe. */
enum wr_moved wr_relay_splice(struct wr_relay *r, struct wr_loop *l);
enum wr_moved wr_relay_flush_pipe(struct wr_relay *r, struct wr_loop *l); /* r->pipe is set */

#endif
