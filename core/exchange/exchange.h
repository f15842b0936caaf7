/* exchange: one thing proxied - a TCP session, a UDP session or an HTTP request - and the client's
 * session it belongs to.
 *
 * Map: session (an accepted client), exchange (the step runner, the one exit), phase (hooks in rank
 * order), patience (timeouts of what moves bytes), log_conf (error_log), thread_pool_conf
 * (thread_pool), trace (the event ring).
 *
 * Two endpoints, one exchange, one relay: const tables (wr_layer, wr_endpoint_ops) hold the
 * differences between the layers. Nothing here depends on HTTP: a layer keeps its own state behind
 * the opaque pointers `of_layer`. */
#ifndef WR_EXCHANGE_H
#define WR_EXCHANGE_H

#include "config/config.h"
#include "relay/relay.h"

struct wr_exchange;
struct wr_session;
struct wr_tries; /* upstream.h */
struct wr_flow;  /* datagram.h */

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
    WR_PH_CONTENT,             /* the module that answers takes the exchange */
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
void wr_phases_init(void); /* makes the table of hooks; called once, after wr_modules_init */
/* Sets in wr_scope.idle of each scope the bits of the modules whose hooks and filters have no work
 * there (wr_module.has_work). The configuration is complete. */
void wr_phases_mark(struct wr_conf *c);
/* The bit of a module in wr_scope.idle. 0: it has no has_work, or 64 modules before it have one:
 * its hooks are always called. */
uint64_t wr_module_idle_bit(const struct wr_module *m);
void wr_phases_log(struct wr_exchange *x); /* the LOG phase; wr_finish calls it */

/* ---- patience: how long a step that moves bytes waits, and the result of a timeout ---- */
enum wr_awaited { WR_AWAITS_CLIENT, WR_AWAITS_SERVER, WR_AWAITS_EITHER };
struct wr_patience {
    enum wr_awaited whom;      /* the side the step waits for */
    bool busy;                 /* the step waits for a disk or a filter: neither side is to blame */
    bool moved;                /* some of the awaited bytes have come */
    bool begun;                /* part of the reply was sent: the client can get no other one */
    bool raw;                  /* a TCP session or a tunnel: there is no message to answer */
    bool fired, running;       /* state of the timer; wr_patience_keep sets both */
};
enum wr_timeout {
    WR_TIMEOUT_RUNS,           /* the timer goes on */
    WR_TIMEOUT_RESTARTS,       /* the timer begins anew */
    WR_TIMEOUT_OFF,            /* no timer: the wait is nobody's fault */
    WR_TIMEOUT_REFUSE,         /* it fired: reject the request with 408 */
    WR_TIMEOUT_FAIL,           /* it fired: try another peer, or reject with 504 */
    WR_TIMEOUT_CUT,            /* it fired: end the reply as it is */
    WR_TIMEOUT_CLOSE           /* it fired: end the session */
};
enum wr_timeout wr_patience(const struct wr_patience *p); /* pure */
/* Decides with the state of the timer x->idle, starts it anew with ms (RESTARTS) and logs a
 * timeout. Call it after the relays were pumped, so that bytes that have just come count. */
enum wr_timeout wr_patience_keep(struct wr_exchange *x, struct wr_patience p, uint64_t ms);

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
/* Writes "trace at +35 ms: +0 phases +0 pick +0 server(2) +1 dial +2 relay(35)" (milliseconds,
 * event, and its count or number) to the targets of the exchange's log that take level l. */
void wr_trace_dump(const struct wr_exchange *x, enum wr_level l);

/* ---- layer ---- */
struct wr_layer {
    const char *name;          /* "stream", "http" */
    uint32_t bit;              /* WR_L4, WR_L7 */
    size_t session_size;       /* of s->of_layer, zeroed; 0: none */
    enum wr_type session_type;
    /* A client was accepted (listener->accepted calls wr_session_new, which calls this), and the
     * PROXY header was read if one is expected. */
    void (*begin)(struct wr_session *s);
    /* Scope of the address's default server; *ms (may be NULL): longest wait for everything that
     * comes before the layer reads (PROXY header, TLS handshake). */
    const struct wr_scope *(*greeting)(const struct wr_session *s, uint64_t *ms);
    /* The session was woken while no exchange has its connection. NULL: nothing is to be done. */
    void (*wake)(struct wr_session *s);
    /* Called after the phases if no hook took the exchange. */
    enum wr_go (*no_content)(struct wr_exchange *x);
    /* A hook (or the upstream, with 502, 504, ...) rejected: sets the next step. */
    enum wr_go (*reject)(struct wr_exchange *x, unsigned status);
    /* The peer is connected (L4) or the reply head is there (L7): sets the next step. */
    enum wr_go (*connected)(struct wr_exchange *x);
    /* Scope of the server a TLS client names (SNI), else of the default one. NULL: a regex gave up,
     * which was logged, so the server is not known. May be NULL. */
    const struct wr_scope *(*by_name)(const struct wr_session *s, struct wr_str name);
    /* speaks: the bit of a protocol by its word in `listen`; 0: not a protocol of the layer.
     * protocols: the protocols an address offers by ALPN, as on the wire. Both NULL: the layer has
     * no such words, and ssl_alpn has the list. */
    uint32_t (*speaks)(struct wr_str word);
    struct wr_str (*protocols)(const struct wr_listener *l);
    /* Makes x->of_layer, the layer's state of a new exchange. NULL: there is none. */
    void (*prepare)(struct wr_exchange *x);
    /* Values of the client's fields of exactly this name (in any case), joined by ", ". False:
     * there are none. NULL: the layer has no fields. */
    bool (*field)(struct wr_exchange *x, struct wr_str name, struct wr_str *out);
    /* Adds ", server: ..., request: ..." to an error log line. */
    void (*log_context)(const struct wr_exchange *x, struct wr_text *t);
    /* Called when the process shuts down (s->quitting): ends the session now if it is idle, else as
     * soon as it is. NULL: each session ends with its exchange. */
    void (*drain)(struct wr_session *s);
    void (*session_ended)(struct wr_session *s); /* NULL: nothing to free */
};

/* A part of a session that belongs to a higher rank and lives as long as the session: end is called
 * once, when the session has ended its exchanges, and frees it. */
struct wr_session_part {
    struct wr_session_part *next;
    void (*end)(struct wr_session_part *p, struct wr_session *s); /* frees p */
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
    struct wr_addr client;     /* the address that connected; see wr_exchange.client_addr */
    uint8_t client_len;        /* of client_text; 0: not made yet */
    char client_text[INET6_ADDRSTRLEN]; /* wr_session_client_text, for $remote_addr */
    struct wr_addr local;      /* see wr_session_local; len 0: not asked for yet */
    struct wr_flow *flow;      /* its datagrams (datagram.h); NULL: it has a connection */
    const struct wr_endpoint_ops *flow_ops; /* of the client's endpoint, with flow */
    struct wr_proxy_header *proxy; /* of `listen ... proxy_protocol`; else NULL */
    size_t proxy_unread;       /* bytes of it not yet taken from the connection */
    uint64_t number;           /* $connection */
    uint64_t begun_ms;         /* monotonic */
    uint8_t passes;            /* so many listeners have passed it on (wr_session_pass) */
    struct wr_link exchanges;  /* all that run */
    struct wr_exchange *x;     /* the one that has the connection to itself; NULL: none */
    void *of_layer;            /* session_size bytes */
    struct wr_session_part *parts;
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
/* The same for a client that sends datagrams: the session has no connection, but conn counts its
 * bytes. part: ends with it. It may have ended when this returns. */
struct wr_flow_client {
    struct wr_addr client, local;
    struct wr_flow *flow;
    const struct wr_endpoint_ops *ops;
    struct wr_session_part *part;
    uint64_t received;         /* bytes */
    struct wr_session **made;  /* set before anything runs */
};
void wr_session_of_flow(struct wr_listener *l, const struct wr_flow_client *c);
/* Makes a session of another listener that has the connection of s, with its TLS, its PROXY header
 * and what was put back (wr_conn_unread), as if it had been accepted there. End s then. */
void wr_session_pass(struct wr_session *s, const struct wr_listener *to,
                     const struct wr_addr *client);
const struct wr_addr *wr_session_local(struct wr_session *s);
/* The client's address without the port, made once. */
struct wr_str wr_session_client_text(struct wr_session *s);
/* Arms the connection for the bytes that come before the layer reads; the first call sets one
 * deadline for all of them (layer->greeting). */
void wr_session_wait(struct wr_session *s);
/* An error log line of a session, with its exchange's context or, before there is one, " while
 * DOING, client: ..., server: ...". */
void wr_session_log(const struct wr_session *s, const char *doing, enum wr_level l, int err,
                    const char *fmt, ...) WR_PRINTF(5, 6);
/* Closes the client and condemns the session. Idempotent; called by wr_finish. */
void wr_session_end(struct wr_session *s);
/* Takes x out of its session and gives the connection back. Idempotent; called by wr_finish. */
void wr_session_leave(struct wr_exchange *x);
/* Gives the connection, if x has it, back to the session, whose memory stays until x has ended. */
void wr_session_detach(struct wr_exchange *x);
/* idle: the session is between two requests, and may be closed to make room. */
void wr_session_idle(struct wr_session *s, bool idle);
/* Closes the longest-idle session that has no unread input; false: there is none. */
bool wr_sessions_spare(void);
uint32_t wr_sessions_live(void);
/* Closes the idle sessions and, with `now` (worker_shutdown_timeout, TERM), all others. */
void wr_sessions_shutdown(bool now);
/* Writes the traces of all exchanges to their error logs, whatever the level of these. */
void wr_sessions_trace(void);
/* Called when the last session ended while shutting down. */
void wr_sessions_on_empty(void (*fn)(void *), void *arg);
/* Set by the app. True: debug_connection names this client. NULL: it names none. */
extern bool (*wr_session_debug)(const struct wr_addr *client);
/* Sets the loop and the configuration of the sessions this process will accept. */
void wr_sessions_use(struct wr_loop *l, struct wr_conf *conf);

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
/* The error log of a configuration without error_log in main: set by the app before loading ("-e",
 * or "stderr"); NULL: WR_ERROR_LOG_PATH. */
extern const char *wr_error_log_default;

/* ---- exchange ---- */
struct wr_value {
    struct wr_str v;
    bool known, found;
};
struct wr_exchange {
    uint32_t magic;
    uint32_t turns;             /* turns in a row in which the steps never returned WAIT */
    const struct wr_step *step;
    struct wr_task task;        /* runs the steps; whatever is armed wakes it */
    struct wr_session *s;       /* never NULL: wr_session_nobody where no client asked */
    struct wr_link link;        /* of the session's exchanges, or of the parent's children */
    struct wr_exchange *parent; /* NULL: none */
    struct wr_exchange *main;   /* the topmost parent, or itself: has the variables and captures */
    struct wr_link children;
    uint32_t waits;             /* queries and jobs under way that will wake it */
    /* wr_finish or wr_exchange_detach has run: its owner goes on. Called once; may be NULL. */
    void (*over)(struct wr_exchange *x);
    /* The client has ended its side (FIN, RST) while a step waits: go on waiting, or finish. NULL:
     * the end is ignored here, and passed on like any byte. */
    enum wr_go (*left)(struct wr_exchange *x);
    struct wr_conf *conf;
    const struct wr_addr *client_addr; /* &s->client, or the client behind it that realip found */
    struct wr_pool *pool;
    const struct wr_layer *layer;
    const struct wr_scope *scope;
    const struct wr_log *log;
    struct wr_log_source source;
    struct wr_loop *loop;
    struct wr_endpoint client;
    struct wr_endpoint peer;    /* ops NULL: none yet */
    struct wr_relay up, down;   /* client -> peer, peer -> client */
    struct wr_tries *tries; /* upstream.h; NULL: no upstream was asked */
    void (*tries_end)(struct wr_exchange *x); /* set with tries */
    struct wr_value *values;    /* by wr_var.slot; NULL until the first */
    void **ctx;                 /* by module index; NULL until the first */
    struct wr_timer idle;       /* of the step: preread, connect, proxy timeouts */
    struct wr_timer up_timer, down_timer; /* of the relays' rates */
    struct wr_timer spill_timer;
    uint64_t begun_ms;          /* monotonic */
    unsigned status;            /* 0: not decided */
    bool ending;                /* wr_finish is at work, or was */
    bool detached;              /* goes on without its client */
    bool gave_up;               /* a regex did (wr_match): the step runner rejects the exchange */
    enum wr_phase phase;
    uint32_t hook;              /* next one in the phase */
    void *of_layer;             /* state of the layer, which alone uses it */
    struct wr_bufq preread;     /* bytes taken from the client before a peer was there */
    struct wr_doomed doomed;
    struct wr_trace trace;
};
/* Makes an exchange with a pool of its own; wr_session_add makes it one of the session's. */
struct wr_exchange *wr_exchange_new(struct wr_session *s, const struct wr_scope *scope,
                                    const struct wr_step *first);
void wr_exchange_drop(struct wr_exchange *x); /* frees it after this turn, without wr_finish */
/* Adds x to its session's exchanges. */
static inline void wr_session_add(struct wr_exchange *x)
{
    wr_list_push(&x->s->exchanges, &x->link);
}
/* From now on x has its session's connection to itself: events of the connection wake x. */
static inline void wr_session_own(struct wr_exchange *x)
{
    x->s->x = x;
    wr_conn_retask(&x->s->conn, &x->task);
}
/* Makes a child of x: its own pool, location, tries and status; the variables, captures, address
 * and number of its parent. The bytes it sends are swallowed until its client endpoint is set. Set
 * `over`, which gets the result (the child's memory is gone in the next turn), then wake the child.
 * It ends with its parent at the latest, and its end wakes the parent. It skips LOG and, at layer
 * 7, PREACCESS and ACCESS: those phases are run for its parent only. */
struct wr_exchange *wr_child_new(struct wr_exchange *x, const struct wr_scope *scope,
                                 const struct wr_step *first);
/* Lets x go on without its client, which is logged now: bytes that are still sent are swallowed. x
 * is not a child. */
void wr_exchange_detach(struct wr_exchange *x);
/* Runs steps while they return GO: called by its task, at first by the session that made it. */
void wr_exchange_run(struct wr_exchange *x);
void wr_exchange_wake(struct wr_exchange *x);
static inline struct wr_waiter wr_exchange_waiter(struct wr_exchange *x)
{
    return (struct wr_waiter){ x->loop, &x->task };
}
/* The one exit: ends children, tries, endpoints and relays, runs the LOG phase, condemns.
 * Idempotent. Returns WR_END. */
enum wr_go wr_finish(struct wr_exchange *x, unsigned status);
static inline void wr_exchange_scope(struct wr_exchange *x, const struct wr_scope *scope)
{
    if (x->scope != scope)
        x->log = wr_scope_log(scope);
    x->scope = scope;
}
/* The module's struct in the scope of this exchange. */
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
/* The module's state of this exchange: ctx_size bytes, made and zeroed by the first call. */
void *wr_ctx_of(struct wr_exchange *x, const struct wr_module *m);
/* Logs with the exchange's context: "... while connecting to upstream, client: ..., ...". */
#define wr_xlog(x, level, err, ...) wr_log((x)->log, (level), (err), &(x)->source, __VA_ARGS__)

/* ---- thread_pool ---- */
struct wr_thread_pool {
    struct wr_str name;
    uint32_t threads, max_queue;
    struct wr_threads *run;      /* its threads; NULL: this process is not a worker */
    bool configured;             /* false: the built-in "default" */
    struct wr_thread_pool *next;
};
extern struct wr_module wr_module_thread_pool;
/* NULL: no pool has that name. Pools are known from the first http {} or stream {} on: thread_pool
 * stands in main, which is applied before. */
struct wr_thread_pool *wr_thread_pool_find(const struct wr_conf *c, struct wr_str name);

#endif
