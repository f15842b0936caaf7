/* relay: bytes between two endpoints.
 *
 * Map: relay (the round; the only byte pump), relay_rate (its speed), relay_splice (bulk),
 * relay_filter (changes of the bytes), spill (its temp file), temp (a file for data too large for
 * memory), raw_endpoint (a connection as an endpoint), stored_endpoint (texts and files as one). */
#ifndef WR_RELAY_H
#define WR_RELAY_H

#include "event/event.h"

/* ---- temp: a file for data too large for memory ---- */
struct wr_temp_write;
struct wr_temp {              /* the owner sets the fields up to source; the first append makes the
                               * file */
    struct wr_pool *pool;     /* the file ends with it */
    const char *folder;
    struct wr_threads *readers; /* wr_reader.threads; NULL: the worker reads, and waits */
    struct wr_threads *writers; /* NULL: the caller of wr_temp_append writes, and waits */
    struct wr_waiter who;     /* woken when one of the writers has written a piece */
    const struct wr_log *log;
    const struct wr_log_source *source;
    struct wr_reader reader;  /* owns the file; its file is NULL until there is one */
    struct wr_temp_write *writing; /* a piece that is not in the file yet; NULL: none */
    uint64_t size;            /* bytes in it; set to 0 to begin again */
    const char *path;         /* NULL: it has no name */
    bool failed;              /* making or writing the file failed, which was logged */
};
/* Appends n bytes; p may be gone after the call. Call it only while t->writing is NULL. False:
 * it failed, which was logged. */
bool wr_temp_append(struct wr_temp *t, const void *p, size_t n) WR_CHECKED;
/* Returns the path of the file, which gets its name at the first call: ten digits. It lies in up to
 * three folders, one in the other below `folder`, each named by the next levels[i] digits from the
 * end of the name (0: no further folder). stays: the file outlives the pool. NULL: there is no
 * file, or it failed, which was logged. */
const char *wr_temp_name(struct wr_temp *t, const uint32_t levels[static 3], bool stays);

/* ---- endpoints: one side of the exchange ---- */
enum wr_end { WR_END_REUSE, WR_END_FIN, WR_END_RESET };
struct wr_endpoint;
struct wr_endpoint_ops {
    const char *name;
    enum wr_io (*read)(struct wr_endpoint *e, void *p, size_t n, size_t *got);
    /* Writes bytes of the chain, which is borrowed and not changed; *put: how many. fin: the
     * message ends after them. A NULL chain: only writes what the endpoint itself has added (a
     * head, the size of a chunk) and, with fin, the end of the message; OK: all is written. */
    enum wr_io (*write)(struct wr_endpoint *e, const struct wr_slice *chain, bool fin, size_t *put);
    /* Returns how many bytes may be spliced from (or to) the descriptor, UINT64_MAX: any number.
     * NULL: none. */
    uint64_t (*want)(struct wr_endpoint *e);
    /* Turns the endpoint into a raw one (Upgrade, CONNECT). Bytes that were read but not taken are
     * appended to in, bytes that are still to be written to out. */
    void (*to_raw)(struct wr_endpoint *e, struct wr_bufq *in, struct wr_bufq *out);
    void (*end)(struct wr_endpoint *e, enum wr_end how);
    void (*spliced)(struct wr_endpoint *e, uint64_t n); /* n of the bytes of `want` were spliced */
    /* Bytes read from its connection, but not by this exchange (the next request of the client).
     * NULL: none. */
    size_t (*unread)(const struct wr_endpoint *e);
    /* True: the whole message was read. NULL: only a read can tell. */
    bool (*at_end)(const struct wr_endpoint *e);
    /* Returns why the last read (or head) failed; NULL: a system call failed, or nothing did. */
    const char *(*why)(const struct wr_endpoint *e);
    /* Takes the bytes of the body that came with the head, without copying them: valid until the
     * step ends. n 0: there are none, or they need decoding. NULL: there are never any. */
    struct wr_str (*first)(struct wr_endpoint *e);
    /* Moves slices of up to max bytes, in memory or in files, to the end of q without reading them.
     * Returns how many bytes. NULL: its bytes must be read. */
    size_t (*give)(struct wr_endpoint *e, struct wr_bufq *q, size_t max);
    /* Copies bytes that still lie in the worker's scratch to memory of their own; called before the
     * step ends. NULL: there are none. */
    void (*keep)(struct wr_endpoint *e);
    /* True: its other side has ended the connection, or its part of it. NULL: look at the
     * connection. */
    bool (*gone)(const struct wr_endpoint *e);
    /* Lets every event of the endpoint wake the exchange. NULL: arm the connection. */
    void (*arm)(struct wr_endpoint *e);
};
struct wr_endpoint {
    const struct wr_endpoint_ops *ops;
    struct wr_conn *conn; /* NULL: it has none (a stored endpoint) */
    void *state;
    uint64_t received_before, sent_before; /* counts of the connection when this use of it began */
};
static inline bool wr_endpoint_at_end(const struct wr_endpoint *e)
{
    return e->ops != NULL && e->ops->at_end != NULL && e->ops->at_end(e);
}
static inline const char *wr_endpoint_why(const struct wr_endpoint *e)
{
    return e->ops != NULL && e->ops->why != NULL ? e->ops->why(e) : NULL;
}
/* errno of the last failure; 0: an end, or wr_endpoint_why has the reason. */
static inline int wr_endpoint_error(const struct wr_endpoint *e)
{
    return e->conn != NULL ? e->conn->error : 0;
}
static inline size_t wr_endpoint_unread(const struct wr_endpoint *e)
{
    return e->ops != NULL && e->ops->unread != NULL ? e->ops->unread(e) : 0;
}
/* Bytes this use of a connection has received and sent, heads and framing included. */
static inline uint64_t wr_endpoint_received(const struct wr_endpoint *e)
{
    return e->conn != NULL ? e->conn->received - e->received_before - wr_endpoint_unread(e) : 0;
}
static inline uint64_t wr_endpoint_sent(const struct wr_endpoint *e)
{
    return e->conn != NULL ? e->conn->sent - e->sent_before : 0;
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
/* Makes e a stored endpoint: reads give the bytes of q (taken over; their memory and files outlive
 * the pool; NULL: no bytes), then EOF; writes are swallowed. `who` is woken when a thread has read
 * a piece of a file. */
void wr_endpoint_store(struct wr_endpoint *e, struct wr_pool *pool, struct wr_waiter who,
                       struct wr_bufq *q);
/* Makes a stored endpoint (as the client of a child) append the bytes written to it to `into`
 * instead of swallowing them: at most `most` bytes, a write beyond that fails. The caller clears
 * `into`. */
void wr_endpoint_collect(struct wr_endpoint *e, struct wr_bufq *into, size_t most);
/* The bytes a stored endpoint has not given yet; the caller may change them (cut ranges out). NULL:
 * e is not a stored endpoint. */
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

/* ---- filters: the bytes of a relay go through them, one filter after the other ---- */
enum wr_filtered {
    WR_FILTERED,               /* all of f->in was taken */
    WR_FILTER_WAITS,           /* something is armed that wakes the exchange: it runs again then */
    WR_FILTER_FAILED           /* logged; no further byte is sent */
};
enum wr_push {
    WR_PUSH_NONE,
    WR_PUSH_FLUSH,             /* the source pauses: release all bytes that are held back */
    WR_PUSH_FIN                /* the end; pushed until run returns FILTERED, then never again */
};
struct wr_relay_filter {
    /* Takes bytes from f->in and appends the changed ones to out. Bytes it leaves in f->in are
     * still there at the next call. Its timers and memory end with the exchange's pool. */
    enum wr_filtered (*run)(struct wr_relay_filter *f, enum wr_push push, struct wr_bufq *out);
    bool passes;               /* neither looks at the bytes nor changes them, so that f->in may
                                * have slices of files; false: f->in is memory */
    bool ended;                /* this and the fields below belong to the relay */
    struct wr_bufq in;
    struct wr_relay_filter *next;
};

/* ---- relay: one direction ---- */
#define WR_RATE_MAX ((uint64_t)1 << 34) /* 16 GB a second for years does not overflow */
struct wr_relay {
    struct wr_endpoint *src;    /* NULL: the bytes in q are all */
    struct wr_endpoint *dst;
    struct wr_bufq q;           /* read and not yet written */
    struct wr_pipe *pipe;       /* while bytes are in it */
    size_t high;                /* at most this much waits in q */
    uint64_t taken, moved;      /* bytes read from src, written to dst */
    uint64_t turn;              /* most bytes written in one turn; 0: 2 MB */
    uint64_t turn_end;          /* value of `moved` at which this turn ends */
    size_t fill;                /* splice: next fill of the pipe, between high and its size */
    uint64_t rate;              /* bytes a second, at most WR_RATE_MAX; 0: no limit */
    uint64_t rate_from;         /* ms: when the rate began */
    uint64_t rate_next;         /* ms: no read before it */
    struct wr_timer *rate_timer;
    /* Read ahead of a slow receiver: up to `high` bytes into memory at once, more into the file
     * after the receiver has been behind for a second. */
    bool ahead;
    struct wr_spill *spill;     /* NULL: none */
    struct wr_timer *spill_timer;
    uint64_t behind_since;      /* ms; 0: the receiver has taken everything */
    uint32_t full, thin;        /* in a row: full reads (bulk begins at 4), small splices */
    bool src_fin, dst_fin;      /* EOF was read; the end was written to dst */
    bool hold_fin;              /* do not write the end to dst (no half-close) */
    bool copied;                /* never splice: `want` counts bytes of the other direction */
    bool limited;               /* stopped by rate: the timer is set */
    bool fetching;              /* waits for a read of a stored file: neither side is to blame */
    uint64_t rate_after;        /* bytes before the rate counts */
    struct wr_relay_filter *filters; /* NULL: none. Nothing is spliced or read ahead through them */
    bool filter_waits;          /* a filter waits: nothing is read meanwhile */
    bool filters_hold;          /* filters may hold bytes back: flush them when the source pauses */
    bool filters_ended;
    bool broken;                /* a filter or the temp file failed, not the source; logged */
};
enum wr_pump {
    WR_PUMP_IDLE,  /* waits for an endpoint (or the rate timer) */
    WR_PUMP_MORE,  /* its share of this turn is used up: wake again */
    WR_PUMP_DONE,  /* everything was written, the end, too */
    WR_PUMP_SRC_ERROR, WR_PUMP_DST_ERROR /* the endpoint's conn has the errno */
};
/* Moves as many bytes as it can in this turn. Sets *moved_any if any were moved. */
enum wr_pump wr_relay_pump(struct wr_relay *r, struct wr_loop *l, bool *moved_any);
/* Counts n bytes that were read without the relay (datagrams), and puts off the next read for the
 * time that they take at its rate. */
void wr_relay_count(struct wr_relay *r, size_t n);
/* False: not at this rate; the timer is set. */
bool wr_relay_may_read(struct wr_relay *r, struct wr_loop *l);
/* True: it waits for a disk or a filter, so that neither side is to blame. */
static inline bool wr_relay_is_busy(const struct wr_relay *r)
{
    return r->fetching || (r->filter_waits && r->q.n == 0)
        || (r->dst != NULL && r->dst->conn != NULL && r->dst->conn->reading)
        || (r->spill != NULL && r->spill->file.writing != NULL);
}
/* Drops the bytes the relay holds and returns its pipe. Idempotent. */
void wr_relay_end(struct wr_relay *r, struct wr_loop *l);

#endif
