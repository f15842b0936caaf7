/* relay: bytes between two endpoints.
 *
 * Map: relay (the round; the only byte pump), relay_rate (its speed), relay_splice (bulk),
 * relay_filter (changes of the bytes), spill (its temp file), temp (a file for bytes that memory
 * shall not hold), raw_endpoint (a descriptor as endpoint), stored_endpoint (texts and files as
 * one). */
#ifndef WR_RELAY_H
#define WR_RELAY_H

#include "event/event.h"

/* ---- temp: a file for what memory shall not hold ---- */
struct wr_temp_write;
struct wr_temp {              /* the first seven are the owner's to set; made at the first byte */
    struct wr_pool *pool;     /* the file ends with it */
    const char *folder;
    struct wr_threads *readers; /* of the reader */
    struct wr_threads *writers; /* NULL: the caller of wr_temp_append writes, and waits */
    struct wr_waiter who;     /* with writers: is woken when a piece is written */
    const struct wr_log *log;
    const struct wr_log_source *source;
    struct wr_reader reader;  /* owns the file; its file is NULL until there is one */
    struct wr_temp_write *writing; /* a piece that is not in the file yet; NULL: none */
    uint64_t size;            /* bytes in it; set to 0 to begin again */
    const char *path;         /* NULL: it has no name */
    bool failed;              /* to be made or written; was logged */
};
/* Nothing is being written. False: it failed. */
bool wr_temp_append(struct wr_temp *t, const void *p, size_t n) WR_CHECKED;
/* Its name, given now if it had none: in folders named by so many of its digits (0: none) below its
 * own. Unless it stays, it goes with the pool. NULL: there is no file, or it failed, which is
 * logged. */
const char *wr_temp_name(struct wr_temp *t, const uint32_t levels[static 3], bool stays);

/* ---- endpoints: one side of the exchange ---- */
enum wr_end { WR_END_REUSE, WR_END_FIN, WR_END_RESET };
struct wr_endpoint;
struct wr_endpoint_ops {
    const char *name;
    enum wr_io (*read)(struct wr_endpoint *e, void *p, size_t n, size_t *got);
    /* The chain is borrowed and not changed. fin: nothing comes after it. *put counts bytes of the
     * chain. OK with a NULL chain and fin: the end is written; with a NULL chain alone: so is all
     * that the endpoint had added to what came before. */
    enum wr_io (*write)(struct wr_endpoint *e, const struct wr_slice *chain, bool fin, size_t *put);
    /* Bytes that may move untouched from (or to) the descriptor: 0 or NULL none, UINT64_MAX all. */
    uint64_t (*want)(struct wr_endpoint *e);
    /* Upgrade, CONNECT: the connection's bytes as they are from now on. What was read and nobody
     * took is moved to in, what was to be written and is not yet out to out. */
    void (*to_raw)(struct wr_endpoint *e, struct wr_bufq *in, struct wr_bufq *out);
    void (*end)(struct wr_endpoint *e, enum wr_end how);
    void (*spliced)(struct wr_endpoint *e, uint64_t n); /* n of the bytes it wanted went past it */
    /* Bytes read from its connection, but not by this exchange (the next request of the client).
     * NULL: none. */
    size_t (*unread)(const struct wr_endpoint *e);
    /* All of the message that is read here was read. NULL: nobody can say. */
    bool (*at_end)(const struct wr_endpoint *e);
    /* Why the last read (or head) failed, when it was not a system call. NULL: no such reason. */
    const char *(*why)(const struct wr_endpoint *e);
    /* Bytes of the body that came with the head, where they lie, valid until the step ends; they
     * count as read. n 0: none, or they need decoding. NULL: none ever. */
    struct wr_str (*first)(struct wr_endpoint *e);
    /* Moves up to max bytes to the end of q as they lie, unread, in memory or in files: says how
     * many. NULL: its bytes must be read. */
    size_t (*give)(struct wr_endpoint *e, struct wr_bufq *q, size_t max);
    /* Gives memory of their own to bytes that were read into the worker's scratch: before the step
     * ends. NULL: there are none. */
    void (*keep)(struct wr_endpoint *e);
    /* Its other side has ended the connection, or its part of it. NULL: the connection tells. */
    bool (*gone)(const struct wr_endpoint *e);
    /* Lets whatever happens on it wake the exchange. NULL: the connection is armed. */
    void (*arm)(struct wr_endpoint *e);
};
struct wr_endpoint {
    const struct wr_endpoint_ops *ops;
    struct wr_conn *conn; /* NULL: what it has is stored */
    void *state;
    uint64_t received_before, sent_before; /* of the connection, when this use of it began */
};
/* Bytes this use of a connection has received and sent, heads and framing included. */
uint64_t wr_endpoint_received(const struct wr_endpoint *e);
uint64_t wr_endpoint_sent(const struct wr_endpoint *e);
static inline bool wr_endpoint_at_end(const struct wr_endpoint *e)
{
    return e->ops != NULL && e->ops->at_end != NULL && e->ops->at_end(e);
}
static inline const char *wr_endpoint_why(const struct wr_endpoint *e)
{
    return e->ops != NULL && e->ops->why != NULL ? e->ops->why(e) : NULL;
}
/* errno of the last failure; 0: an end, or wr_endpoint_why says it. */
static inline int wr_endpoint_error(const struct wr_endpoint *e)
{
    return e->conn != NULL ? e->conn->error : 0;
}
static inline size_t wr_endpoint_unread(const struct wr_endpoint *e)
{
    return e->ops != NULL && e->ops->unread != NULL ? e->ops->unread(e) : 0;
}
static inline bool wr_endpoint_gone(const struct wr_endpoint *e)
{
    if (e->ops != NULL && e->ops->gone != NULL)
        return e->ops->gone(e);
    return e->conn != NULL && (e->conn->ready & (WR_HUP | WR_ERR)) != 0;
}
static inline void wr_endpoint_arm(struct wr_endpoint *e)
{
    if (e->ops != NULL && e->ops->arm != NULL)
        e->ops->arm(e);
    else if (e->conn != NULL && e->conn->fd >= 0)
        wr_conn_arm(e->conn);
}
void wr_endpoint_raw(struct wr_endpoint *e, struct wr_conn *c);
/* Reads the bytes of q (taken over; memory and files outlive the pool; NULL: nothing), then EOF;
 * swallows what is written. `who` is woken when a thread has read a piece of a file. */
void wr_endpoint_store(struct wr_endpoint *e, struct wr_pool *pool, struct wr_waiter who,
                       struct wr_bufq *q);
/* From now on such an endpoint (the client of a child is one) adds the bytes that are written to
 * `into`, at most `most` of them; a write of more fails. The caller clears `into`. */
void wr_endpoint_collect(struct wr_endpoint *e, struct wr_bufq *into, size_t most);
/* The bytes such an endpoint has not given yet; the caller may change them (cut ranges out). NULL:
 * e is of another kind. */
struct wr_bufq *wr_endpoint_stored(const struct wr_endpoint *e);

/* ---- spill: a temp file between a fast sender and a slow receiver ---- */
struct wr_spill {
    struct wr_temp file;        /* written to by the relay: wr_temp_append */
    uint64_t out, max;          /* read so far; at most max bytes are in it */
};
struct wr_spill *wr_spill_new(const struct wr_temp *how, uint64_t max); /* in how's pool */
size_t wr_spill_room(const struct wr_spill *s);    /* NULL, or a thread is writing: 0 */
bool wr_spill_get(struct wr_spill *s, struct wr_bufq *q); /* all of it as a slice; false: none */
void wr_spill_drained(struct wr_spill *s);         /* the slices are sent: begin again at 0 */

/* ---- filters: what a relay moves goes through them, one behind the other ---- */
enum wr_filtered {
    WR_FILTERED,               /* all of f->in was taken */
    WR_FILTER_WAITS,           /* something is armed that wakes the exchange: it runs again then */
    WR_FILTER_FAILED           /* it was logged; what was sent so far is all there will be */
};
enum wr_push {
    WR_PUSH_NONE,
    WR_PUSH_FLUSH,             /* the source has no more for now: let go what is held back */
    WR_PUSH_FIN                /* nothing comes any more: until it is FILTERED, then never again */
};
struct wr_relay_filter {
    /* Moves what it can from f->in to the end of out, changed; what it leaves there it is given
     * again. What it has armed or holds ends with the exchange's pool. */
    enum wr_filtered (*run)(struct wr_relay_filter *f, enum wr_push push, struct wr_bufq *out);
    bool passes;               /* looks at no byte and changes none: files need not be read for it.
                                * Else f->in is memory */
    bool ended;                /* the relay's, from here on */
    struct wr_bufq in;
    struct wr_relay_filter *next;
};

/* ---- relay: one direction ---- */
#define WR_RATE_MAX ((uint64_t)1 << 34) /* 16 GB a second for years does not overflow */
struct wr_relay {
    struct wr_endpoint *src;    /* NULL: only what is in q */
    struct wr_endpoint *dst;
    struct wr_bufq q;           /* read and not yet written */
    struct wr_pipe *pipe;       /* while bytes are in it */
    size_t high;                /* at most this much waits in q */
    uint64_t taken, moved;      /* bytes read from src, written to dst */
    uint64_t turn, turn_end;    /* most bytes written in one turn, 0: 2 MB; of `moved`, its end */
    size_t fill;                /* splice: next fill of the pipe, between high and its size */
    uint64_t rate, rate_from;   /* bytes a second, at most WR_RATE_MAX, 0 none; ms it began */
    uint64_t rate_next;         /* ms: no read before it */
    struct wr_timer *rate_timer;
    /* Reading ahead of a slow receiver: `high` in memory at once; on to the file when the receiver
     * has been behind for a second. */
    bool ahead;
    struct wr_spill *spill;     /* NULL: none */
    struct wr_timer *spill_timer;
    uint64_t behind_since;      /* ms; 0: everything was taken */
    uint32_t full, thin;        /* full reads (bulk begins at 4), small splices in a row */
    bool src_fin, dst_fin;      /* EOF was read; the end was written on */
    bool hold_fin;              /* the end is not written on (no half-close) */
    bool copied;                /* never spliced: the endpoints' `want` is for the other way */
    bool limited;               /* stopped by rate: the timer is set */
    bool fetching;              /* what is stored is being read: neither side is to blame */
    uint64_t rate_after;        /* bytes before the rate counts */
    struct wr_relay_filter *filters; /* NULL: none. Nothing is spliced or read ahead through them */
    bool filter_waits;          /* one of them does: nothing is read meanwhile */
    bool filters_hold;          /* they may hold something back: to be flushed */
    bool filters_ended;
    bool broken;                /* a filter or the temp file is, not the source: it was logged */
};
enum wr_pump {
    WR_PUMP_IDLE,  /* waits for an endpoint (or the rate timer) */
    WR_PUMP_MORE,  /* its share of this turn is used up: wake again */
    WR_PUMP_DONE,  /* everything incl. the end was written */
    WR_PUMP_SRC_ERROR, WR_PUMP_DST_ERROR /* the endpoint's conn has the errno */
};
/* Moves what can be moved; *moved_any tells whether anything did. */
enum wr_pump wr_relay_pump(struct wr_relay *r, struct wr_loop *l, bool *moved_any);
/* It waits for a disk or a filter, and neither side is to blame. */
static inline bool wr_relay_is_busy(const struct wr_relay *r)
{
    return r->fetching || (r->filter_waits && r->q.n == 0)
        || (r->dst != NULL && r->dst->conn != NULL && r->dst->conn->reading)
        || (r->spill != NULL && r->spill->file.writing != NULL);
}
/* What the relay holds is dropped; pipes go back. Idempotent. */
void wr_relay_end(struct wr_relay *r, struct wr_loop *l);

#endif
