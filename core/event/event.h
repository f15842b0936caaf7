/* event: waiting for things. Rank 2: knows base and os.
 *
 * Map: loop (epoll, tasks, reap), timer (deadlines in a heap), bufq (blocks, slices, queues), conn
 * (a descriptor with its ready bits), pipe (pooled pipes for splice), listen (accepting), resolver
 * (DNS through c-ares, /etc/hosts by ourselves), dns (the pure answer parser).
 *
 * One turn: (1) epoll_wait sets ready bits and queues tasks, nothing else; (2) expired timers set
 * bits and queue; (3) the queued tasks run, each at most once a turn; (4) reap frees everything
 * condemned. A task never calls another task, it wakes it. Nothing else frees. */
#ifndef WR_EVENT_H
#define WR_EVENT_H

#include "base/base.h"
#include "os/os.h"

struct wr_loop;
struct iovec;

/* ---- tasks and reaping ---- */
struct wr_task {
    void (*run)(struct wr_task *);
    struct wr_task *next;
    bool queued;
};
/* Queues the task for this turn (from events or timers) or the next (from a running task). */
void wr_task_wake(struct wr_loop *l, struct wr_task *t);
void wr_task_cancel(struct wr_loop *l, struct wr_task *t); /* not queued any more; idempotent */

struct wr_doomed {
    struct wr_doomed *next;
    void (*free)(struct wr_doomed *);
};
/* Calls d->free(d) at the end of this turn. Once for each d. */
void wr_condemn(struct wr_loop *l, struct wr_doomed *d);

/* ---- loop ---- */
struct wr_loop *wr_loop_new(uint32_t connections); /* the size of one epoll_wait is bounded */
void wr_loop_free(struct wr_loop *l);
/* Runs turns until wr_loop_stop. */
void wr_loop_run(struct wr_loop *l);
void wr_loop_turn(struct wr_loop *l, int max_wait_ms); /* one turn; -1: as long as timers allow */
void wr_loop_stop(struct wr_loop *l);
/* Called once before the loop would sleep (log buffers are written there). */
void wr_loop_before_sleep(struct wr_loop *l, void (*fn)(void *), void *arg);
/* Watches the process' doorbell and signals: fn gets the bell bits (0: a signal came). Signal
 * handlers only set flags; the loop is woken by EINTR and by its own eventfd. */
void wr_loop_on_bell(struct wr_loop *l, void (*fn)(uint32_t bits, void *), void *arg);
uint64_t wr_loop_turns(const struct wr_loop *l);

/* ---- timers: ms, monotonic; lazy: moving one later costs nothing ---- */
struct wr_timer {
    uint64_t at;              /* deadline; 0: off */
    uint64_t queued_at;       /* key in the heap, <= at */
    uint32_t place;           /* in the heap, 0: not in it */
    bool fired;               /* set at expiry, cleared by wr_timer_set and by the owner */
    struct wr_task *task;     /* woken at expiry */
};
void wr_timer_set(struct wr_loop *l, struct wr_timer *t, uint64_t ms_from_now);
void wr_timer_off(struct wr_loop *l, struct wr_timer *t); /* idempotent */

/* ---- bufq ---- */
#define WR_BLOCK_SIZE 16384
struct wr_block {             /* the only thing that is reference counted */
    uint32_t refs, size;
    struct wr_block *next;    /* in the free list */
    char data[];
};
struct wr_block *wr_block_new(void);           /* refs 1; from the process' free list */
struct wr_block *wr_block_sized(size_t size);  /* of another size: plain memory */
void wr_block_unref(struct wr_block *b);
uint64_t wr_blocks_live(void);                 /* for leak checks */
void wr_blocks_drop_cache(void);

struct wr_slice {
    struct wr_slice *next;
    struct wr_block *block;   /* NULL: a range of a file, or borrowed memory */
    const char *p;            /* memory slices */
    size_t n;
    int fd;                   /* file slices: p == NULL */
    off_t at;
};
struct wr_bufq {
    struct wr_slice *head, *tail;
    size_t n;                 /* bytes */
};
void wr_bufq_copy(struct wr_bufq *q, const void *p, size_t n); /* into blocks */
void wr_bufq_borrow(struct wr_bufq *q, const void *p, size_t n); /* must outlive the queue */
void wr_bufq_file(struct wr_bufq *q, int fd, off_t at, size_t n);
/* Room for at least 1 byte in the last block (a new one is begun if it is full); *n says how much.
 * Commit what was written. */
char *wr_bufq_room(struct wr_bufq *q, size_t *n);
void wr_bufq_commit(struct wr_bufq *q, size_t n);
void wr_bufq_move(struct wr_bufq *dst, struct wr_bufq *src, size_t n); /* no bytes are copied */
void wr_bufq_tee(struct wr_bufq *dst, const struct wr_bufq *src);      /* another reference */
size_t wr_bufq_iovec(const struct wr_bufq *q, struct iovec *v, size_t max); /* memory at the front */
void wr_bufq_drop(struct wr_bufq *q, size_t n);                        /* consumed from the front */
size_t wr_bufq_peek(const struct wr_bufq *q, void *p, size_t n);       /* copy out, not consumed */
void wr_bufq_clear(struct wr_bufq *q);

/* ---- conn: one descriptor ---- */
enum wr_io {
    WR_IO_OK,     /* moved > 0 bytes */
    WR_IO_AGAIN,  /* nothing now; the ready bit is cleared, an event will come */
    WR_IO_EOF,    /* read: the peer sent FIN (or close_notify) */
    WR_IO_ERROR   /* conn->error has the errno */
};
enum wr_ready {
    WR_READABLE = 1, WR_WRITABLE = 2,
    WR_HUP = 4,   /* EPOLLRDHUP or EPOLLHUP was seen: read on to the end */
    WR_ERR = 8,   /* EPOLLERR was seen */
};
struct wr_conn;
struct wr_transport { /* plain here; TLS later */
    enum wr_io (*read)(struct wr_conn *c, void *p, size_t n, size_t *got);
    enum wr_io (*write)(struct wr_conn *c, const struct iovec *v, size_t nv, size_t *put);
    enum wr_io (*shutdown)(struct wr_conn *c);   /* write side: FIN */
    bool raw;                                    /* bytes may be spliced past it */
};
extern const struct wr_transport wr_plain;
struct wr_conn {
    int fd;                   /* -1: none */
    uint8_t ready;            /* wr_ready bits */
    bool registered;
    bool read_eof, write_shut;
    bool reset_on_close;
    int error;                /* errno of the last WR_IO_ERROR */
    struct wr_loop *loop;
    struct wr_task *task;     /* woken on events and deadline */
    const struct wr_transport *io;
    void *tls;
    struct wr_timer deadline;
    uint64_t received, sent;  /* bytes */
    void (*free_state)(struct wr_conn *); /* of the transport; NULL none */
};
/* A connected or accepted socket: both ready bits set (optimistic), not registered yet. */
void wr_conn_init(struct wr_conn *c, struct wr_loop *l, int fd, struct wr_task *task);
/* Registers with epoll (edge triggered, once for life). Call before waiting; cheap when done. */
void wr_conn_arm(struct wr_conn *c);
/* Starts connecting: WR_IO_OK connected at once, AGAIN in progress (armed), ERROR. Both ready bits
 * are cleared. Later: wr_conn_connected. */
enum wr_io wr_conn_connect(struct wr_conn *c, const struct wr_addr *to);
enum wr_io wr_conn_connected(struct wr_conn *c); /* OK, AGAIN (no event yet), ERROR */
/* A short read clears the ready bit unless HUP or ERR is set (never trust it there). */
enum wr_io wr_conn_read(struct wr_conn *c, void *p, size_t n, size_t *got);
enum wr_io wr_conn_write(struct wr_conn *c, const void *p, size_t n, size_t *put);
enum wr_io wr_conn_writev(struct wr_conn *c, const struct iovec *v, size_t nv, size_t *put);
/* From the front of q: memory by writev, file ranges by sendfile; what went out is dropped. */
enum wr_io wr_conn_write_q(struct wr_conn *c, struct wr_bufq *q, size_t max, size_t *put);
enum wr_io wr_conn_shutdown(struct wr_conn *c); /* idempotent */
/* Looks at what has come without taking it (MSG_PEEK). */
enum wr_io wr_conn_peek(struct wr_conn *c, void *p, size_t n, size_t *got);
void wr_conn_close(struct wr_conn *c);          /* idempotent; timer off, fd closed */
void wr_conn_timeout(struct wr_conn *c, uint64_t ms); /* 0: off */
/* Hands the conn to another task (parking, taking over). */
void wr_conn_retask(struct wr_conn *c, struct wr_task *task);

/* The worker's scratch for reads; valid until the next step runs. */
#define WR_SCRATCH (256 * 1024)
char *wr_loop_scratch(struct wr_loop *l);

/* ---- pipe: splice for bulk; a pipe is borrowed only while bytes are in it ---- */
struct wr_pipe {
    int fd[2];
    size_t size, fill;
    struct wr_pipe *next;
};
/* NULL when the process' share of pipe memory is used up: copy instead. */
struct wr_pipe *wr_pipe_borrow(struct wr_loop *l);
/* An empty pipe goes back to the pool, one with bytes in it is closed. */
void wr_pipe_return(struct wr_loop *l, struct wr_pipe *p);
/* src -> pipe, at most max bytes. AGAIN: either the pipe is full or src has nothing; src's ready
 * bit is cleared only when the pipe had room. EOF, ERROR as read. */
enum wr_io wr_conn_splice_in(struct wr_conn *src, struct wr_pipe *p, size_t max, size_t *got);
enum wr_io wr_conn_splice_out(struct wr_conn *dst, struct wr_pipe *p, size_t *put);

/* ---- listen ---- */
struct wr_listener;
/* One accepting descriptor of an address; there are as many as workers (SO_REUSEPORT). */
struct wr_accepting {
    int fd;                    /* -1: closed */
    uint32_t share;            /* index in the owner map */
    bool watching, drained;    /* drained: two accepts in a row found nothing */
    uint8_t empty;
    struct wr_listener *listener;
    struct wr_task task;
    struct wr_loop *loop;
    uint8_t ready;
};
struct wr_listener {           /* one configured address */
    struct wr_addr addr;
    struct wr_listen_opts opts;
    struct wr_accepting *fds;
    uint32_t nfds;
    /* Called for each accepted socket; takes the fd. */
    void (*accepted)(struct wr_listener *, int fd, const struct wr_addr *peer);
    void *object;              /* of the layer: its servers */
    const struct wr_layer *layer; /* exchange.h */
    struct wr_str text;        /* address as text, for logs */
    struct wr_listener *next;
    const struct wr_node *node; /* the listen directive */
    bool inherited;
};
/* Accepts until EAGAIN, at most 64 in a turn, then queues itself again. On EMFILE/ENFILE accepting
 * rests for 500 ms (logged once) on all of them. */
bool wr_accepting_start(struct wr_loop *l, struct wr_accepting *a);
/* EPOLL_CTL_DEL first: a listener is a shared open file description. */
void wr_accepting_stop(struct wr_accepting *a);
/* At most this many open connections (worker_connections); accepting pauses at the limit. */
void wr_accepting_limit(uint32_t max_connections);
void wr_connections_add(int delta); /* callers: sessions and peer connections */
uint32_t wr_connections(void);

/* ---- dns: pure; message in, records out ---- */
struct wr_dns_record {
    uint16_t type;             /* 1 A, 28 AAAA, 33 SRV, 5 CNAME, 12 PTR */
    uint32_t ttl;
    struct wr_addr addr;       /* A, AAAA; port 0 */
    uint16_t priority, weight, port; /* SRV */
    char name[256];            /* CNAME, SRV, PTR target; text, no final dot */
};
enum wr_dns_code {
    WR_DNS_OK, WR_DNS_FORMERR = 1, WR_DNS_SERVFAIL = 2, WR_DNS_NXDOMAIN = 3, WR_DNS_NOTIMP = 4,
    WR_DNS_REFUSED = 5, WR_DNS_TIMEDOUT = 110, WR_DNS_BAD = 111, WR_DNS_NO_SERVER = 112
};
const char *wr_dns_code_text(enum wr_dns_code c); /* nginx's: "Host not found", "Server failure" */
struct wr_dns_answer {
    enum wr_dns_code code;
    uint32_t n;
    uint32_t ttl;              /* smallest of the chain, s; of the SOA minimum when negative */
    struct wr_dns_record at[64];
};
/* Follows the CNAME chain inside the message from `name`; keeps records of `type` only. */
void wr_dns_parse(const void *p, size_t n, struct wr_str name, uint16_t type,
                  struct wr_dns_answer *out);

/* ---- resolver ---- */
struct wr_resolver;            /* one `resolver` directive, or the system's resolv.conf */
struct wr_resolver_opts {
    struct wr_addr *servers;   /* NULL: /etc/resolv.conf, looked at again when it changes */
    uint32_t nservers;
    uint64_t valid_ms;         /* 0: by TTL, clamped to 1 s .. 1 h */
    bool no_ipv4, no_ipv6;
    uint64_t timeout_ms;       /* resolver_timeout */
    bool hosts;                /* look into /etc/hosts first (rechecked on mtime) */
};
struct wr_names {              /* result of one question */
    enum wr_dns_code code;     /* OK and n > 0, or why not */
    uint32_t n;
    struct { struct wr_addr addr; uint16_t priority, weight; } at[64]; /* port set for SRV */
    uint64_t ttl_ms;           /* when to ask again */
};
struct wr_query {              /* embedded in who asks */
    struct wr_link link;
    void (*done)(struct wr_query *, const struct wr_names *); /* never from inside wr_resolve */
    struct wr_timer timer;
    void *state;               /* of the resolver */
};
struct wr_resolver *wr_resolver_new(struct wr_loop *l, const struct wr_resolver_opts *o);
void wr_resolver_free(struct wr_resolver *r); /* open queries are dropped without done() */
/* Asks for the addresses of name (both families at once); service: SRV of
 * _service._tcp.name when service is not empty ("http" or a full "_x._y" form). Cached answers
 * are kept for their TTL. */
void wr_resolve(struct wr_resolver *r, struct wr_query *q, struct wr_str name,
                struct wr_str service);
void wr_resolve_cancel(struct wr_query *q);   /* idempotent; done() will not be called */
/* /etc/hosts only, at once; n == 0 when the name is not there. */
void wr_hosts_lookup(struct wr_str name, struct wr_names *out);

#endif
