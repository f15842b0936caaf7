/* exchange: one thing proxied - a TCP session, later a UDP session or an HTTP request. Rank 3:
 * knows base, os, event, config.
 *
 * Map: session (an accepted client), proxy_protocol and proxy_header (what a proxy in front says of
 * it), forwarded (the client behind several of them), exchange (the step runner, the one exit),
 * phase (hooks in rank order), raw (a descriptor as endpoint), stored (texts and files as one),
 * relay (the only byte pump), rate (its speed), splice (bulk), filter (what changes the bytes),
 * spill (its temp file), patience (timeouts of what moves bytes), vars (their values), core_vars
 * ($remote_addr ...), template (text with variables, one pass), assign (set), listen_conf and
 * listen_addr (listen, of both layers), names and server_name (several servers on one address),
 * ssl_conf (ssl_ of servers), ssl_rows, ssl_pem, ssl_context, ssl_cert_cache (what proxy_ssl_ has),
 * ssl_accept (handshakes with clients), ssl_cache and ssl_tickets (sessions and ticket keys all
 * workers share), ssl_vars ($ssl_protocol ...), log_conf (error_log), thread_pool_conf
 * (thread_pool), trace (the event ring).
 *
 * Two endpoints, one exchange, one relay: what differs between the layers is in const tables
 * (wr_layer, wr_endpoint_ops). No HTTP word here but one opaque pointer. */
#ifndef WR_EXCHANGE_H
#define WR_EXCHANGE_H

#include "base/base.h"
#include "config/config.h"
#include "event/event.h"
#include "os/os.h"

struct wr_exchange;
struct wr_session;
struct wr_attempts; /* upstream.h */

/* ---- steps ---- */
enum wr_go {
    WR_GO,   /* x->step was set (or the same step wants to run again): run on */
    WR_WAIT, /* something is armed that will wake the exchange */
    WR_END   /* finish has run: the exchange is condemned, touch nothing */
};
struct wr_step {
    const char *name;                        /* trace label, what a test asserts */
    const char *doing;                       /* "connecting to upstream": the log's "while ..." */
    enum wr_go (*run)(struct wr_exchange *x);
};

/* ---- phases: the order is here and nowhere else ---- */
enum wr_phase {
    WR_PH_ACCEPTED,            /* real address */
    WR_PH_SET,                 /* set, server rewrite */
    WR_PH_FIND,                /* http: scope by uri */
    WR_PH_REWRITE,             /* http */
    WR_PH_PREACCESS,           /* limits */
    WR_PH_ACCESS,              /* allow, deny, auth */
    WR_PH_SSL,                 /* the handshake at layer 4 */
    WR_PH_PREREAD,             /* looks at the first bytes, layer 4 */
    WR_PH_PRECONTENT,          /* try_files, mirror */
    WR_PH_CONTENT,             /* who answers */
    WR_PH_LOG,
    WR_PHASES
};
enum wr_verdict {
    WR_PASS,     /* not mine, or fine: the next hook */
    WR_SKIP,     /* the rest of this phase is settled */
    WR_HOLD,     /* wait; the same hook runs again when the exchange is woken */
    WR_TAKEN,    /* x->step was set */
    WR_ROUTE,    /* x->phase was set: go on from its first hook */
    WR_REJECTED  /* wr_reject was called */
};
struct wr_phase_hook {
    enum wr_phase phase;
    uint32_t layers;
    enum wr_verdict (*run)(struct wr_exchange *x); /* LOG hooks: the verdict is ignored */
    int rank;                                      /* inside the phase; lower first */
};
/* Ends the exchange with this status; the reason is logged at info (NULL: nothing). Returns
 * WR_REJECTED. */
enum wr_verdict wr_reject(struct wr_exchange *x, unsigned status, const char *reason);
/* The step of both layers that walks the phases up to CONTENT. */
extern const struct wr_step wr_step_phases;
void wr_phases_init(void); /* the table of hooks, once, behind wr_modules_init */
/* In each scope of a complete configuration: whose hooks have no work (wr_module.has_work)? */
void wr_phases_mark(struct wr_conf *c);
void wr_phases_log(struct wr_exchange *x); /* the LOG phase; wr_finish calls it */

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
    /* How many bytes may move untouched from (or to) the descriptor: 0 none, UINT64_MAX all. */
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
/* Reads what is in q (taken over; memory and files outlive the exchange; NULL: nothing), then EOF;
 * what is written is swallowed. */
void wr_endpoint_store(struct wr_endpoint *e, struct wr_exchange *x, struct wr_bufq *q);
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

/* ---- patience: how long a step that moves bytes waits, and what follows ---- */
enum wr_awaited { WR_AWAITS_CLIENT, WR_AWAITS_SERVER, WR_AWAITS_EITHER };
struct wr_patience {
    enum wr_awaited whom;      /* keeps the step waiting */
    bool busy;                 /* a disk or a filter does: neither side is to blame */
    bool moved;                /* what is awaited came, or some of it */
    bool begun;                /* the reply is on its way: there can be no other */
    bool raw;                  /* a session or a tunnel: no message that could be answered */
    bool fired, running;       /* the timer; wr_patience_keep sets both */
};
enum wr_patient {
    WR_PATIENT_STILL, WR_PATIENT_ANEW, WR_PATIENT_FREELY, /* the timer stays, begins anew, is off */
    WR_PATIENT_REFUSES,        /* the client is told that it was too slow (408) */
    WR_PATIENT_FAILS,          /* another server is tried, or the client is told (504) */
    WR_PATIENT_CUTS,           /* the reply ends as it is */
    WR_PATIENT_CLOSES
};
enum wr_patient wr_patience(const struct wr_patience *p); /* pure */
/* Decides by x->idle, sets it to ms where it begins anew, and logs an end. Behind the pumps: what
 * has just come counts. */
enum wr_patient wr_patience_keep(struct wr_exchange *x, struct wr_patience p, uint64_t ms);

/* ---- trace ---- */
#define WR_TRACE 64
struct wr_trace_entry {
    const char *what;          /* static */
    uint32_t at_ms;            /* since the exchange began */
    uint32_t arg;
};
struct wr_trace {
    uint32_t n;                /* written so far; the ring holds the last WR_TRACE */
    struct wr_trace_entry at[WR_TRACE];
};
/* "trace at +35 ms: +0 phases +0 pick +0 server(2) +1 dial +2 relay(35)": milliseconds, event, and
 * its count or number. Goes to the exchange's log where that takes the level. */
void wr_trace_dump(const struct wr_exchange *x, enum wr_level l);

/* ---- layer ---- */
struct wr_layer {
    const char *name;          /* "stream", "http" */
    uint32_t bit;              /* WR_L4, WR_L7 */
    size_t session_size;       /* of s->of_layer, zeroed; 0: none */
    enum wr_type session_type;
    /* A client was accepted (listener->accepted calls wr_session_new, which calls this), and the
     * PROXY header was read if the address wants one. */
    void (*begin)(struct wr_session *s);
    /* Scope of the address's default server; *ms (may be NULL): longest wait for what
     * comes before the layer reads. */
    const struct wr_scope *(*greeting)(const struct wr_session *s, uint64_t *ms);
    /* The session was woken while no exchange has its connection. NULL: no matter. */
    void (*wake)(struct wr_session *s);
    /* Behind the phases when no hook took the exchange. */
    enum wr_go (*no_content)(struct wr_exchange *x);
    /* A hook (or the upstream, with 502, 504, ...) rejected: sets the next step. */
    enum wr_go (*reject)(struct wr_exchange *x, unsigned status);
    /* The peer is connected (L4) or the reply head is there (L7): sets the next step. */
    enum wr_go (*connected)(struct wr_exchange *x);
    /* Scope of the server a TLS client names (SNI), else of the default one; NULL: a regex gave up,
     * which is logged, and no server is right. May be NULL. */
    const struct wr_scope *(*by_name)(const struct wr_session *s, struct wr_str name);
    /* speaks: the bit of this word of `listen`, 0: not a word of the layer. protocols: what an
     * address offers (ALPN, as on the wire). NULL: the layer has no such words; ssl_alpn offers. */
    uint32_t (*speaks)(struct wr_str word);
    struct wr_str (*protocols)(const struct wr_listener *l);
    /* Gives a new exchange what the layer keeps of each one, x->of_layer. NULL: nothing. */
    void (*prepare)(struct wr_exchange *x);
    /* Values of the client's header field of this name (case folded, nothing else), joined by ", ";
     * false: there is none. NULL where there are no fields. */
    bool (*field)(struct wr_exchange *x, struct wr_str name, struct wr_str *out);
    /* Adds ", server: ..., request: ..." to an error log line. */
    void (*log_context)(const struct wr_exchange *x, struct wr_text *t);
    /* The process shuts down (s->quitting): ends what nobody needs. NULL: nothing but exchanges. */
    void (*drain)(struct wr_session *s);
    void (*session_ended)(struct wr_session *s); /* NULL: nothing to free */
};

/* ---- session: an accepted client; owns conn and exchanges ---- */
struct wr_session {
    struct wr_conn conn;
    struct wr_task task;       /* while no exchange has the connection to itself */
    struct wr_doomed doomed;
    struct wr_link link;       /* of all live sessions of this process */
    struct wr_link idle_link;  /* of those that are idle, the longest idle first */
    struct wr_conf *conf;
    struct wr_loop *loop;
    const struct wr_listener *listener;
    const struct wr_layer *layer;
    struct wr_addr client;     /* that connected */
    uint8_t client_len;        /* 0: nobody asked yet */
    char client_text[INET6_ADDRSTRLEN]; /* for $remote_addr */
    struct wr_addr local;      /* len 0 until wr_session_local asked */
    struct wr_proxy_header *proxy; /* of `listen ... proxy_protocol`; else NULL */
    size_t proxy_unread;       /* bytes of it not yet taken from the connection */
    uint64_t number;           /* $connection */
    uint64_t begun_ms;         /* monotonic */
    struct wr_link exchanges;  /* all that run */
    struct wr_exchange *x;     /* the one that has the connection to itself; NULL: none */
    void *of_layer;            /* session_size bytes */
    bool begun;                /* layer->begin was called */
    bool idle;                 /* kept alive: may be closed at a shutdown, or to make room */
    bool quitting;             /* the process shuts down: no further request */
    uint64_t keep_until;       /* ms: an idle one may not be closed before */
    bool ending;
};
/* The session of exchanges that no client asked for: without a connection, an address and a
 * number. One for each layer and process; it never ends. */
struct wr_session *wr_session_nobody(const struct wr_layer *layer);
/* Takes fd. Makes the session, calls layer->begin. */
void wr_session_new(struct wr_listener *l, int fd, const struct wr_addr *peer);
const struct wr_addr *wr_session_local(struct wr_session *s);
/* The client's address without the port, made once. */
struct wr_str wr_session_client_text(struct wr_session *s);
/* For what comes before a layer reads: arms, with one deadline for it all (layer->greeting). */
void wr_session_wait(struct wr_session *s);
/* An error log line of a session, with its exchange's context or, before there is one, " while
 * DOING, client: ..., server: ...". */
void wr_session_log(const struct wr_session *s, const char *doing, enum wr_level l, int err,
                    const char *fmt, ...) WR_PRINTF(5, 6);
/* Closes the client and condemns the session. Idempotent; called by wr_finish. */
void wr_session_end(struct wr_session *s);
void wr_session_leave(struct wr_exchange *x); /* idempotent; called by wr_finish */
void wr_session_detach(struct wr_exchange *x); /* it lets go of the connection; the session's
                                                * memory stays until x has ended */
void wr_session_idle(struct wr_session *s, bool idle); /* between two requests, or no longer */
/* Closes the longest-idle session that has no unread input; false: there is none. */
bool wr_sessions_spare(void);
uint32_t wr_sessions_live(void);
/* Closes what is idle; at `now` also what is not (worker_shutdown_timeout, TERM). */
void wr_sessions_shutdown(bool now);
/* The rings of all that run go to their error logs, whatever level these take. */
void wr_sessions_trace(void);
/* Called when the last session ended while shutting down. */
void wr_sessions_on_empty(void (*fn)(void *), void *arg);
/* Set by the app: does debug_connection name this client? NULL: none does. */
extern bool (*wr_session_debug)(const struct wr_addr *client);
/* Of this process: loop and configuration sessions are made with. */
void wr_sessions_use(struct wr_loop *l, struct wr_conf *conf);

/* ---- PROXY protocol: proxy-protocol.txt of HAProxy, versions 1 and 2 ---- */
#define WR_PROXY_MAX 4096      /* bytes of a header; more is refused */
struct wr_proxy_header {
    struct wr_addr source, destination; /* len 0: not told (LOCAL, UNKNOWN, another family) */
    struct wr_str tlvs;        /* raw, of version 2; borrowed from the text */
    size_t size;               /* bytes of the whole header */
    const char *why;           /* when BAD */
};
enum wr_proxy_found { WR_PROXY_MORE, WR_PROXY_OK, WR_PROXY_BAD };
enum wr_proxy_found wr_proxy_header_parse(struct wr_str in, struct wr_proxy_header *out);
/* Value of a TLV by its name ("alpn", "ssl_cn", ...) or number ("0xae", "ssl_0x21"); "ssl_verify"
 * is made in the pool, all others are views. False: not there. */
bool wr_proxy_tlv(struct wr_pool *pool, struct wr_str tlvs, struct wr_str name,
                  struct wr_str *out) WR_CHECKED;
/* Version 1, "PROXY UNKNOWN" where it cannot say both addresses; at most 107 bytes. */
void wr_proxy_header_write(struct wr_text *t, const struct wr_addr *source,
                           const struct wr_addr *destination);
/* OK: s->proxy is there and nothing but it was taken; AGAIN: call again; ERROR: there will be none,
 * EOF: not in time, both were logged. */
enum wr_io wr_proxy_read(struct wr_session *s) WR_CHECKED;
extern struct wr_module wr_module_proxy_protocol;
/* Follows a list of addresses ("192.0.2.1, 10.0.0.1:80") from its end while *a is one of the
 * proxies; one step at most unless recursive. True: *a was changed. */
bool wr_forwarded(struct wr_addr *a, struct wr_str list, const struct wr_networks *proxies,
                  bool recursive);

/* ---- error_log and friends ---- */
struct wr_log_target {
    const char *name;        /* of the sink; NULL: syslog, opened by the setter */
    enum wr_level level;
    struct wr_sink *sink;
    const struct wr_node *node; /* NULL: the default */
};
struct wr_log_conf {
    struct wr_log *log;      /* never NULL after finish */
    struct wr_log_target *targets;
    uint32_t n;
};
extern struct wr_module wr_module_log_conf;
static inline const struct wr_log *wr_scope_log(const struct wr_scope *s)
{
    return ((const struct wr_log_conf *)wr_scope_conf(s, &wr_module_log_conf))->log;
}
/* Where main logs to without an error_log: set by the app before loading ("-e", or "stderr"); NULL
 * means WR_ERROR_LOG_PATH. */
extern const char *wr_error_log_default;

/* ---- exchange ---- */
struct wr_value {
    struct wr_str v;
    bool known, found;
};
struct wr_exchange {
    uint32_t magic, turns;      /* turns in a row that its steps did not end in */
    const struct wr_step *step;
    struct wr_task task;        /* runs the steps; whatever is armed wakes it */
    struct wr_session *s;       /* never NULL: wr_session_nobody where no client asked */
    struct wr_link link;        /* of the session's exchanges, or of the parent's children */
    struct wr_exchange *parent; /* NULL: none */
    struct wr_exchange *main;   /* the topmost parent, or itself: has the variables and captures */
    struct wr_link children;
    uint32_t waits;             /* queries and jobs under way that will wake it */
    void (*over)(struct wr_exchange *x); /* wr_finish has run; what comes next is its owner's */
    /* The client has ended its side (FIN, RST) while a step waits: go on waiting, or finish. NULL:
     * no matter, an end is passed on like any byte. */
    enum wr_go (*left)(struct wr_exchange *x);
    struct wr_conf *conf;
    const struct wr_addr *client_addr; /* &s->client, or whom realip found behind it */
    struct wr_pool *pool;
    const struct wr_layer *layer;
    const struct wr_scope *scope;
    const struct wr_log *log;
    struct wr_log_source source;
    struct wr_loop *loop;
    struct wr_endpoint client;
    struct wr_endpoint peer;    /* ops NULL: none yet */
    struct wr_relay up, down;   /* client -> peer, peer -> client */
    struct wr_attempts *attempts; /* upstream.h; NULL: no upstream was asked */
    void (*attempts_end)(struct wr_exchange *x); /* set with attempts */
    struct wr_value *values;    /* by wr_var.slot; NULL until the first */
    void **ctx;                 /* by module index; NULL until the first */
    struct wr_timer idle;       /* of the step: preread, connect, proxy timeouts */
    struct wr_timer up_timer, down_timer; /* of the relays' rates */
    struct wr_timer spill_timer;
    uint64_t begun_ms;          /* monotonic */
    unsigned status;            /* 0: not decided */
    bool ending;                /* wr_finish is at work, or was */
    bool detached;              /* goes on without its client */
    bool gave_up;               /* a regex did: what follows from its value must not happen */
    enum wr_phase phase;
    uint32_t hook;              /* next one in the phase */
    void *of_layer;             /* the layer's own; nobody else looks at it */
    struct wr_bufq preread;     /* bytes taken from the client before a peer was there */
    struct wr_doomed doomed;
    struct wr_trace trace;
};
/* Makes an exchange with a pool of its own; wr_session_add makes it one of the session's. */
struct wr_exchange *wr_exchange_new(struct wr_session *s, const struct wr_scope *scope,
                                    const struct wr_step *first);
void wr_exchange_drop(struct wr_exchange *x); /* condemns it without an end and a log line */
/* Adds x to its session's exchanges. */
static inline void wr_session_add(struct wr_exchange *x)
{
    wr_list_push(&x->s->exchanges, &x->link);
}
/* x has its session's connection to itself from now on, whose events wake it. */
static inline void wr_session_own(struct wr_exchange *x)
{
    x->s->x = x;
    wr_conn_retask(&x->s->conn, &x->task);
}
/* Makes a child of x: its own pool, location, tries and status; the variables, captures, address
 * and number of its parent. What it sends is swallowed until its client endpoint is set. Set over,
 * which gets the result (the child's memory is gone in the next turn), then wake it. It ends with
 * its parent at the latest, and its end wakes the parent. It has no LOG phase. */
struct wr_exchange *wr_child_new(struct wr_exchange *x, const struct wr_scope *scope,
                                 const struct wr_step *first);
/* Lets x, which is no child, go on without its client: what it still sends is swallowed. */
void wr_exchange_detach(struct wr_exchange *x);
/* Runs steps while they return GO: called by its task, at first by the session that made it. */
void wr_exchange_run(struct wr_exchange *x);
void wr_exchange_wake(struct wr_exchange *x);
/* The one exit: ends children, attempts, endpoints and relays, runs the LOG phase, condemns.
 * Idempotent. Returns WR_END. */
enum wr_go wr_finish(struct wr_exchange *x, unsigned status);
static inline void wr_exchange_scope(struct wr_exchange *x, const struct wr_scope *scope)
{
    if (x->scope != scope)
        x->log = wr_scope_log(scope);
    x->scope = scope;
}
/* Module conf of this exchange's scope; module state of this exchange (zeroed, ctx_size). */
static inline void *wr_conf_of(const struct wr_exchange *x, const struct wr_module *m)
{
    return wr_scope_conf(x->scope, m);
}
static inline void wr_trace(struct wr_exchange *x, const char *what, uint32_t arg)
{
    struct wr_trace_entry *last = &x->trace.at[(x->trace.n - 1) % WR_TRACE];

    /* A relay wakes thousands of times: the same event again only counts up. */
    if (x->trace.n > 0 && last->what == what) {
        last->arg++;
        return;
    }
    x->trace.at[x->trace.n % WR_TRACE] = (struct wr_trace_entry){
        .at_ms = (uint32_t)(wr_now() - x->begun_ms), .what = what, .arg = arg,
    };
    x->trace.n++;
}
void *wr_ctx_of(struct wr_exchange *x, const struct wr_module *m);
/* Logs with the exchange's context: "... while connecting to upstream, client: ..., ...". */
#define wr_xlog(x, level, err, ...) wr_log((x)->log, (level), (err), &(x)->source, __VA_ARGS__)

/* ---- variables ---- */
#define WR_NGINX_VERSION "1.31.5" /* whose behaviour and grammar we follow; $nginx_version */
extern struct wr_module wr_module_vars, wr_module_core_vars;
enum wr_var_flags {
    WR_VAR_PREFIX = 1,   /* name ends with _: a family ("proxy_protocol_tlv_") */
    WR_VAR_CACHED = 2,   /* evaluated once an exchange (map, geo, set) */
    WR_VAR_SETTABLE = 4, /* `set` may assign it */
    WR_VAR_USER = 8,     /* defined by the configuration; may be defined again by the same kind */
};
struct wr_var;
/* False: not found (empty in a template, "-" in a log). *out lives as long as the exchange. */
typedef bool wr_var_get(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out);
struct wr_variable {        /* a row of a module */
    const char *name;       /* without $ */
    uint32_t layers, flags;
    wr_var_get *get;
    uintptr_t data;         /* for get */
    bool (*set)(struct wr_exchange *x, const struct wr_var *v, struct wr_str value);
};
struct wr_var {             /* one variable of one layer of one configuration */
    struct wr_str name;
    struct wr_str tail;     /* families: what follows the prefix */
    wr_var_get *get;        /* NULL: only mentioned so far; an error after loading */
    bool (*set)(struct wr_exchange *x, const struct wr_var *v, struct wr_str value);
    uintptr_t data;
    void *object;           /* of the definer (the map) */
    uint32_t flags, slot;
    const struct wr_node *node; /* first mention, for the error "unknown variable" */
    uint32_t word;
};
/* Mentions $name at word i of the current directive: found or made, defined or not yet (an
 * undefined one is reported at the end of loading). Layer from cf->scope. NULL: an error was
 * reported (bad name). */
struct wr_var *wr_var_mention(struct wr_cf *cf, struct wr_str name, uint32_t i);
/* Defines $name (word i, with its $): map, geo, set. With WR_VAR_SETTABLE (set) a `get` that
 * another definition gave is kept until something is stored; without it (map, geo) the last one
 * wins. NULL: an error was reported ("the duplicate "x" variable", "invalid variable name"). */
struct wr_var *wr_var_define(struct wr_cf *cf, uint32_t i, wr_var_get *get, uint32_t flags);
bool wr_var_value(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out);
/* Stores into the slot (set, captures). */
void wr_var_store(struct wr_exchange *x, const struct wr_var *v, struct wr_str value);
/* Does the configuration mention a variable with this getter in that layer? From `check` on. */
bool wr_var_used(const struct wr_conf *c, uint32_t layer, wr_var_get *get);
/* Regex captures $1..$9 and named groups of the last match (map, geo, rewrite, server_name). */
void wr_captures_set(struct wr_exchange *x, const struct wr_regex *re, const struct wr_str *groups,
                     uint32_t n);
/* $1..$9 of the last match; false: no match yet, or the group was not in it. */
bool wr_capture(const struct wr_exchange *x, uint32_t i, struct wr_str *out);
/* Matches and sets the captures (x NULL: does not). 1, 0 for no match, -1: the engine gave up. With
 * x that is logged, and the step runner rejects the exchange with 500, or cuts its reply: a rule
 * that blocks must not let pass what is hard to match. */
int wr_match(struct wr_exchange *x, const struct wr_regex *re, struct wr_str subject) WR_CHECKED;
/* Compiles a pattern of the configuration and defines its named groups as variables. NULL: an
 * error was reported at word i. */
struct wr_regex *wr_cf_regex(struct wr_cf *cf, uint32_t i, struct wr_str pattern, bool fold_case);

/* ---- templates: text with variables, one pass ---- */
struct wr_template; /* immutable, in the configuration's pool */
/* From word i, `text` a part of it ("$a-${b}", "$1"). NULL: an error was reported. */
struct wr_template *wr_template_new(struct wr_cf *cf, uint32_t i, struct wr_str text);
bool wr_template_literal(const struct wr_template *t, struct wr_str *out); /* no variable in it */
/* Appends; false when the text overflowed. */
bool wr_template_text(struct wr_exchange *x, const struct wr_template *t, struct wr_text *out);
/* In the exchange's pool (a literal is borrowed); at most 64 KB, p == NULL over it. */
struct wr_str wr_template_str(struct wr_exchange *x, const struct wr_template *t);
/* The same; what $1 to $9 stand for goes through `capture`, which appends it. */
bool wr_template_captures(struct wr_exchange *x, const struct wr_template *t, struct wr_text *out,
                          void (*capture)(struct wr_text *out, struct wr_str text));
bool wr_set_template(struct wr_cf *cf, void *conf); /* field: struct wr_template * */
#define WR_TEMPLATE(nm, wh, type, field, df, hl) \
    WR_ROW(nm, wh, 1, 1, wr_set_template, type, field, NULL, df, hl)
/* For logs: value -> out with nginx's escape modes. */
enum wr_escape { WR_ESCAPE_DEFAULT, WR_ESCAPE_JSON, WR_ESCAPE_NONE };
bool wr_template_log(struct wr_exchange *x, const struct wr_template *t, enum wr_escape e,
                     struct wr_text *out);
/* "", "0" and not found are false: for if= parameters. True when a regex gave up: a line too many
 * is better than one that a client can avoid. */
bool wr_template_true(struct wr_exchange *x, const struct wr_template *t);

/* A number of bytes, written down or with variables. */
struct wr_amount {
    uint64_t fixed;
    struct wr_template *text; /* NULL: fixed */
};
bool wr_set_amount(struct wr_cf *cf, void *conf); /* field: struct wr_amount; k, m */
uint64_t wr_amount_eval(struct wr_exchange *x, const struct wr_amount *a); /* of its text */
static inline uint64_t wr_amount(struct wr_exchange *x, const struct wr_amount *a)
{
    return a->text == NULL ? a->fixed : wr_amount_eval(x, a); /* 0: what came is none */
}
#define WR_AMOUNT(nm, wh, type, field, df, hl) \
    WR_ROW(nm, wh, 1, 1, wr_set_amount, type, field, NULL, df, hl)

/* ---- assign: `set $variable value` of both layers ---- */
struct wr_assignment {
    struct wr_var *var;
    struct wr_template *value;
};
/* The arguments of the current directive; unset: what the variable gives before it is assigned. */
bool wr_assignment_conf(struct wr_cf *cf, struct wr_assignment *a, wr_var_get *unset);
void wr_assignment_run(struct wr_exchange *x, const struct wr_assignment *a);
wr_var_get wr_var_unset; /* the empty text and a warning */

/* ---- listen ---- */
struct wr_listens { /* state of the listen module: all addresses of the configuration */
    struct wr_listener *first, **last;
    uint32_t n;
};
/* Parses a `listen` directive of a server block and adds it (port ranges: several). server goes
 * to layer's `attach`. Errors in nginx's words. default_port 0: a port is required. */
struct wr_listen_line {
    struct wr_listener *listener;
    bool default_server;
};
bool wr_listen_conf(struct wr_cf *cf, const struct wr_layer *layer, uint16_t default_port,
                    bool (*attach)(struct wr_cf *cf, const struct wr_listen_line *line));
/* ---- virtual servers: several on one address, chosen by a name ---- */
struct wr_server_name {
    struct wr_str text;        /* lower case; "" too; the pattern with its ~ */
    struct wr_regex *regex;    /* ~... */
    const struct wr_node *node; /* server_name, or the server without one */
    uint32_t word;
};
struct wr_virtual {            /* server {} of either layer, first in the layer's own struct */
    uint32_t magic;
    const struct wr_scope *scope;
    const struct wr_node *node;
    struct wr_str name;        /* the first, for $server_name */
    WR_VEC(struct wr_server_name) names;
    bool has_listen;
};
bool wr_set_server_name(struct wr_cf *cf, void *conf); /* of the server cf->scope is */
void wr_virtual_unnamed(struct wr_cf *cf, struct wr_virtual *v); /* it has no server_name */
struct wr_hosts_map;           /* names.c: of one listening address */
enum wr_host_put { WR_HOST_PUT, WR_HOST_CONFLICT /* ignored */, WR_HOST_INVALID };
struct wr_hosts_map *wr_hosts_new(struct wr_pool *p, struct wr_virtual *standard);
enum wr_host_put wr_hosts_add(struct wr_hosts_map *m, const struct wr_server_name *name,
                              struct wr_virtual *v) WR_CHECKED;
/* Exact, longest *.wildcard, longest wildcard.*, first regex in order, default. Sets captures (x
 * NULL: does not). NULL: a regex gave up. host is in lower case. */
struct wr_virtual *wr_host_find(const struct wr_hosts_map *m, struct wr_exchange *x,
                                struct wr_str host);
/* The scope for a host name as it came from a TLS client: `by_name` of the layers. */
const struct wr_scope *wr_host_scope(const struct wr_hosts_map *m, const struct wr_session *s,
                                     struct wr_str host);
struct wr_address {            /* listener->object, first in it */
    uint32_t magic;
    struct wr_virtual *standard; /* default_server, or the first */
    struct wr_hosts_map *map;
    WR_VEC(struct wr_virtual *) servers;
};
/* A listen line of the server cf->scope is; after loading: the map. False: reported. */
bool wr_address_attach(struct wr_cf *cf, const struct wr_listen_line *line, struct wr_address *a);
bool wr_address_finish(struct wr_cf *cf, const struct wr_listener *l, struct wr_address *a);

struct wr_listens *wr_conf_listens(const struct wr_conf *c);
extern struct wr_module wr_module_listen;

/* ---- thread_pool ---- */
struct wr_thread_pool {
    struct wr_str name;
    uint32_t threads, max_queue;
    struct wr_threads *run;      /* of this worker; NULL: no worker */
    bool configured;             /* false: "default", as it is */
    struct wr_thread_pool *next;
};
extern struct wr_module wr_module_thread_pool;
/* From the first http {} or stream {} on all are known. NULL: there is none of that name. */
struct wr_thread_pool *wr_thread_pool_find(const struct wr_conf *c, struct wr_str name);

#include "exchange/tls.h"

#endif
