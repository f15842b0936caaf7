/* event: waiting for things.
 *
 * Map: loop (epoll, tasks, reap), timer (deadlines in a heap), block (16 KiB buffers and slices),
 * bufq (queues of slices), offload (thread pools and their jobs), reader (files on their way out),
 * warm (the part of a file in the page cache), conn (a descriptor with its ready bits), plain (the
 * bare transport), unread (bytes put back), tls (OpenSSL), last_words (bytes of a closed connection
 * that its full socket did not take), pipe (for splice), listen (accepting), limit (their number).
 *
 * One turn: (1) epoll_wait sets ready bits and queues tasks, nothing else; (2) expired timers set
 * bits and queue; (3) the queued tasks run, each at most once a turn, and behind them the flush
 * list; (4) reap frees everything condemned. A task never calls another task, it wakes it. Nothing
 * else frees. */
#ifndef WR_EVENT_H
#define WR_EVENT_H

#include "base/base.h"
#include "os/os.h"

struct wr_loop;
struct iovec;

/* ---- tasks and reaping ---- */
struct wr_task {
    void (*run)(struct wr_task *);
    struct wr_task *next, *prev; /* in the queue */
    bool queued;
};
/* Queues the task for this turn (from events or timers) or the next (from a running task). */
void wr_task_wake(struct wr_loop *l, struct wr_task *t);
void wr_task_dequeue(struct wr_task *t); /* t is queued */
static inline void wr_task_cancel(struct wr_task *t) /* idempotent */
{
    if (t->queued)
        wr_task_dequeue(t);
}

/* For a connection that many exchanges write frames to: its output is sent once a turn, when the
 * tasks of all of them have run. Embedded in the session or link; zeroed before its first use. */
struct wr_flush {
    struct wr_link link;
    void (*fn)(struct wr_flush *);
};
/* Runs fn once, after the tasks and before the reaping of this turn. A call from inside a flush
 * counts for the next turn, which then begins without sleeping. fn may do all that a task may, but
 * what it writes must not point into memory of an exchange that may have been condemned before.
 * Idempotent. */
void wr_loop_flush_later(struct wr_loop *l, struct wr_flush *f);
static inline void wr_flush_cancel(struct wr_flush *f) /* idempotent */
{
    wr_list_remove(&f->link);
}

struct wr_doomed {
    struct wr_doomed *next;
    void (*free)(struct wr_doomed *);
};
/* Calls d->free(d) at the end of this turn. Once for each d. */
void wr_condemn(struct wr_loop *l, struct wr_doomed *d);

/* ---- loop ---- */
/* connections: decides only how many events one epoll_wait takes. SIGPIPE is ignored from here on:
 * splice and sendfile have no MSG_NOSIGNAL. */
struct wr_loop *wr_loop_new(uint32_t connections);
void wr_loop_free(struct wr_loop *l); /* reaps what is still condemned; NULL is fine */
/* Runs turns until wr_loop_stop; the turn that stops is finished, its reaping included. */
void wr_loop_run(struct wr_loop *l);
void wr_loop_turn(struct wr_loop *l, int max_wait_ms); /* one turn; -1: as long as timers allow */
void wr_loop_stop(struct wr_loop *l);
/* fn is called each time the loop is about to wait in epoll_wait (log buffers are written there);
 * at most 4 of them. It may wake tasks and set timers. */
void wr_loop_before_sleep(struct wr_loop *l, void (*fn)(void *), void *arg);
/* Watches the process' doorbell and signals: fn gets the bell bits, or 0 when a signal came (EINTR,
 * or a bell without bits). Signal handlers only set flags and call wr_bell_self: without that a
 * signal just before epoll_wait is seen late. Called between steps (2) and (3), so it may do
 * whatever a task may. */
void wr_loop_on_bell(struct wr_loop *l, void (*fn)(uint32_t bits, void *), void *arg);
uint64_t wr_loop_turns(const struct wr_loop *l);

/* The target of epoll's pointers: the first member of a struct that has a descriptor in the loop.
 * on_event runs in step (1): it notes the EPOLL* bits and wakes a task, nothing else. */
struct wr_watch {
    void (*on_event)(struct wr_watch *, uint32_t events);
};
/* events as for epoll_ctl, EPOLLET included where wanted. False with errno. */
bool wr_watch_add(struct wr_loop *l, int fd, struct wr_watch *w, uint32_t events) WR_CHECKED;
bool wr_watch_change(struct wr_loop *l, int fd, struct wr_watch *w, uint32_t events) WR_CHECKED;
/* Needed before close only where another process or descriptor shares the open file. */
void wr_watch_del(struct wr_loop *l, int fd);

/* ---- timers: ms, monotonic; lazy: moving one later costs nothing ---- */
struct wr_timer {
    uint64_t at;              /* deadline; 0: off */
    uint64_t queued_at;       /* key in the heap, <= at */
    uint32_t place;           /* in the heap, 0: not in it */
    bool fired;               /* set at expiry; cleared by wr_timer_set, _off and the owner */
    struct wr_task *task;     /* woken at expiry; by chaos now and then before it */
};
void wr_timer_set(struct wr_loop *l, struct wr_timer *t, uint64_t ms_from_now);
void wr_timer_take_out(struct wr_loop *l, struct wr_timer *t); /* t must be in the heap */
/* Switches the timer off without taking it out of the heap, which costs nothing. The heap still
 * points to it: call wr_timer_off before its memory is freed. */
static inline void wr_timer_idle(struct wr_timer *t)
{
    t->at = 0;
    t->fired = false;
}
/* Switches the timer off and takes it out of the heap: its memory may then be freed. Idempotent. */
static inline void wr_timer_off(struct wr_loop *l, struct wr_timer *t)
{
    if (t->place != 0)
        wr_timer_take_out(l, t);
    wr_timer_idle(t);
}

/* ---- offload: threads for work that may wait for a disk, while the loop goes on ---- */
struct wr_threads;            /* a thread pool */
struct wr_job {               /* embedded in its owner; zeroed before its first use */
    /* Called in a thread: may touch only the job and memory that belongs to the job alone. Pools,
     * log, clock and conns belong to the loop's thread. */
    void (*run)(struct wr_job *);
    /* Called in the loop, in step (1), never from inside wr_job_start: notes the result and wakes a
     * task; it may free the job. */
    void (*done)(struct wr_job *);
    struct wr_job *next;      /* private to offload.c, like the fields below except busy */
    struct wr_link link;
    struct wr_threads *threads;
    uint32_t delay_us;        /* chaos */
    bool queued;              /* under the pool's lock */
    bool busy;                /* started, and done() was not called yet; the owner may read it */
};
/* A pool of up to max threads. None exists at first; a job that finds no idle thread starts one. At
 * most max_queue jobs wait for a thread. */
struct wr_threads *wr_threads_new(struct wr_loop *l, struct wr_str name, uint32_t max,
                                  uint32_t max_queue);
/* Waits for the running jobs and calls their done(). Call it before wr_loop_free; owners must have
 * cancelled all queued jobs. If a job is not done within a second, that is logged, its thread goes
 * on, and the process must end by _exit. NULL is fine. */
void wr_threads_free(struct wr_threads *t);
bool wr_threads_stuck(void); /* has a thread outlived its pool? */
uint32_t wr_threads_started(const struct wr_threads *t);
/* All memory that run() touches must stay until done() was called or wr_job_cancel returned true.
 * False: not started, because the queue is full or no thread can be made; that was logged. */
bool wr_job_start(struct wr_threads *t, struct wr_job *j) WR_CHECKED;
/* Takes the job back out of the queue. True: it does not run, and done() will not be called. False:
 * it is running, and done() will be called. */
bool wr_job_cancel(struct wr_job *j) WR_CHECKED;
/* The owner ends, and leaves the job its memory: free_job is called now or, if the job is running,
 * in the place of done(). */
void wr_job_leave(struct wr_job *j, void (*free_job)(struct wr_job *));

/* ---- reader: a file on its way out; the loop never waits for its disk ---- */
struct stat;
struct wr_opened {            /* an open file, counted: caches, exchanges and threads share it */
    int fd;
    uint32_t uses;            /* touched by the loop's thread only */
    uint64_t id, size;        /* from wr_opened_facts; id 0: not set, as for a file that changes */
    bool direct;              /* O_DIRECT is set */
    char name[];              /* for the log */
};
/* Takes the fd; one use is the caller's. */
struct wr_opened *wr_opened_new(int fd, const char *name);
void wr_opened_facts(struct wr_opened *f, const struct stat *st);
struct wr_opened *wr_opened_use(struct wr_opened *f); /* one more; returns f */
void wr_opened_drop(struct wr_opened *f);             /* the last one closes; NULL is fine */
struct wr_file_fetch;
struct wr_reader {            /* one exchange's way to a file; its slices go out by one conn */
    struct wr_opened *file;
    struct wr_threads *threads; /* read cold data; NULL: the worker reads it, and waits */
    size_t direct, align;     /* bytes of one O_DIRECT read, a multiple of align; 0: no O_DIRECT */
    uint64_t warm, warm_end;  /* the range that was last found in the page cache */
    struct wr_file_fetch *fetch;   /* NULL: nothing was read yet */
    bool failed;              /* the file cannot be read, or has become shorter */
};
/* Takes a use of f. */
void wr_reader_init(struct wr_reader *r, struct wr_opened *f, struct wr_threads *t);
void wr_reader_direct(struct wr_reader *r, size_t size, size_t align); /* file->direct is set */
/* Call it when the slices are freed. A running read keeps its memory and the file until it is done.
 * Idempotent. */
void wr_reader_end(struct wr_reader *r);

/* ---- bufq ---- */
#define WR_BLOCK_SIZE 16384
struct wr_block {             /* reference counted: slices of several queues may share it */
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
    struct wr_reader *file;   /* file slices: p == NULL */
    off_t at;
};
struct wr_bufq {
    struct wr_slice *head, *tail;
    size_t n;                 /* bytes; 0: empty, though unused room may be left at tail */
};
struct wr_waiter { struct wr_loop *loop; struct wr_task *task; };
/* Reads up to n bytes from the front of a file slice, which is not changed. AGAIN: a thread reads
 * them and the task will be woken; call again then. ERROR was logged. */
enum wr_io wr_reader_read(const struct wr_slice *s, const struct wr_waiter *who, void *p, size_t n,
                          size_t *got);
void wr_bufq_copy(struct wr_bufq *q, const void *p, size_t n); /* into blocks */
void wr_bufq_borrow(struct wr_bufq *q, const void *p, size_t n); /* must outlive the queue */
void wr_bufq_file(struct wr_bufq *q, struct wr_reader *r, off_t at, size_t n); /* outlives q */
/* If the whole queue fits into a block, replaces each file range by its bytes where that needs no
 * disk: then they go out in one piece with the memory before them. */
void wr_bufq_load(struct wr_bufq *q);
/* Returns room for *n bytes, at least 1, in the last block or a new one. Commit the bytes that were
 * written there. */
char *wr_bufq_room(struct wr_bufq *q, size_t *n);
void wr_bufq_commit(struct wr_bufq *q, size_t n);
void wr_bufq_move(struct wr_bufq *dst, struct wr_bufq *src, size_t n); /* no bytes are copied */
void wr_bufq_tee(struct wr_bufq *dst, const struct wr_bufq *src);      /* another reference */
/* Fills in the memory at the front, up to the first file slice; returns the number of iovecs. */
size_t wr_bufq_iovec(const struct wr_bufq *q, struct iovec *v, size_t max);
void wr_bufq_drop(struct wr_bufq *q, size_t n);                        /* consumed from the front */
/* Copies bytes out without consuming them, up to the first file slice; returns their number. */
size_t wr_bufq_peek(const struct wr_bufq *q, void *p, size_t n);
void wr_bufq_free(struct wr_bufq *q); /* drops all slices, and unused room at the tail */
static inline void wr_bufq_clear(struct wr_bufq *q)
{
    if (q->head != NULL)
        wr_bufq_free(q);
}

/* ---- conn: one descriptor ---- */
enum wr_io {
    WR_IO_OK,     /* moved > 0 bytes */
    WR_IO_AGAIN,  /* nothing now. The ready bit is cleared, and an event will wake the task once the
                   * conn is armed; or a thread reads a file (conn->reading) and wakes the task */
    WR_IO_EOF,    /* read: the peer sent FIN (or close_notify) */
    WR_IO_ERROR   /* conn->error has the errno */
};
enum wr_ready {
    WR_READABLE = 1, WR_WRITABLE = 2,
    WR_HUP = 4,   /* EPOLLRDHUP or EPOLLHUP was seen: read on to the end */
    WR_ERR = 8,   /* EPOLLERR was seen */
};
struct wr_conn;
struct wr_transport {
    enum wr_io (*read)(struct wr_conn *c, void *p, size_t n, size_t *got);
    enum wr_io (*write)(struct wr_conn *c, const struct iovec *v, size_t nv, size_t *put);
    enum wr_io (*peek)(struct wr_conn *c, void *p, size_t n, size_t *got);
    enum wr_io (*shutdown)(struct wr_conn *c);   /* write side: FIN */
    bool raw;                                    /* bytes may be spliced past it */
};
extern const struct wr_transport wr_plain;
struct wr_tls_state;
struct wr_conn {
    struct wr_watch watch;    /* first */
    int fd;                   /* -1: none */
    uint8_t ready;            /* wr_ready bits */
    bool registered, watches_out;
    bool read_eof, write_shut;
    bool reset_on_close;
    bool reading;             /* the last write of a file waits for the file, not for the peer */
    int error;                /* errno of the last WR_IO_ERROR; 0: the error was logged */
    struct wr_loop *loop;
    struct wr_task *task;     /* woken on events and deadline */
    const struct wr_transport *io;
    struct wr_tls_state *tls; /* NULL: none */
    struct wr_unread *unread; /* wr_conn_unread; NULL: none */
    struct wr_timer deadline;
    uint64_t received, sent;  /* bytes */
    size_t file_max;          /* most bytes of the next sendfile(); 0: pread() and write instead */
    bool more;                /* more bytes follow the next write at once (MSG_MORE) */
    void (*free_state)(struct wr_conn *); /* of the transport; NULL none */
};
/* A connected or accepted socket: both ready bits set (optimistic), not registered yet. */
void wr_conn_init(struct wr_conn *c, struct wr_loop *l, int fd, struct wr_task *task);
void wr_conn_register(struct wr_conn *c); /* for wr_conn_arm */
/* Registers with epoll, edge triggered, if that was not done yet. Call before waiting. If the
 * kernel refuses (max_user_watches), shuts the socket down and wakes the task, which reads EOF. */
static inline void wr_conn_arm(struct wr_conn *c)
{
    if (wr_unlikely(!c->registered))
        wr_conn_register(c);
}
/* For transports: nothing more can be written now. Clears WRITABLE, and the first time registers
 * for EPOLLOUT. Registered earlier, while the socket has room, it would end the next epoll_wait at
 * once. */
void wr_conn_full(struct wr_conn *c);
/* Starts connecting: WR_IO_OK connected at once (both ready bits set), AGAIN in progress (armed,
 * both bits cleared; later: wr_conn_connected), ERROR. */
enum wr_io wr_conn_connect(struct wr_conn *c, const struct wr_addr *to);
enum wr_io wr_conn_connected(struct wr_conn *c); /* OK, AGAIN (no event yet), ERROR */
/* All I/O below returns AGAIN without a system call while its ready bit is clear. A short write
 * always clears the bit (a short sendfile() does not). A short read clears it unless HUP or ERR is
 * set: then the end may still be behind the bytes, and no further event would report it. */
static inline enum wr_io wr_conn_read(struct wr_conn *c, void *p, size_t n, size_t *got)
{
    *got = 0;
    if (wr_unlikely(c->read_eof))
        return WR_IO_EOF;
    return (c->ready & WR_READABLE) != 0 ? c->io->read(c, p, n, got) : WR_IO_AGAIN;
}
enum wr_io wr_conn_write(struct wr_conn *c, const void *p, size_t n, size_t *put);
enum wr_io wr_conn_writev(struct wr_conn *c, const struct iovec *v, size_t nv, size_t *put);
/* Writes at most max bytes from the front of q and drops them there: memory by writev(), ranges of
 * files by sendfile() (by pread() and write if the transport is not raw), as far as that need not
 * wait for a disk. A file shorter than its slice is ERROR with EIO. */
enum wr_io wr_conn_write_q(struct wr_conn *c, struct wr_bufq *q, size_t max, size_t *put);
/* Writes at most max bytes of one file slice, which is not changed. */
enum wr_io wr_conn_write_file(struct wr_conn *c, const struct wr_slice *s, size_t max, size_t *put);
enum wr_io wr_conn_shutdown(struct wr_conn *c); /* idempotent */
/* Copies received bytes without consuming them (MSG_PEEK). READABLE stays set if there were any: to
 * wait for more, just wait, the next event wakes the task. Chaos does not shorten the result. */
enum wr_io wr_conn_peek(struct wr_conn *c, void *p, size_t n, size_t *got);
void wr_conn_unread(struct wr_conn *c, const void *p, size_t n); /* puts read bytes back */
/* Hands descriptor, TLS and unread bytes to `to`, which wakes that task; `from` has none then. */
void wr_conn_move(struct wr_conn *to, struct wr_conn *from, struct wr_task *task);
/* Idempotent. Needed also with fd -1 if a timeout was ever set: it may be in the heap. */
void wr_conn_close(struct wr_conn *c);
/* Sets the deadline, or with 0 switches it off; cheap. wr_conn_close ends it for good. */
static inline void wr_conn_timeout(struct wr_conn *c, uint64_t ms)
{
    if (ms == 0)
        wr_timer_idle(&c->deadline);
    else
        wr_timer_set(c->loop, &c->deadline, ms);
}
static inline void wr_conn_retask(struct wr_conn *c, struct wr_task *task)
{
    c->task = task;
    c->deadline.task = task;
}

/* The worker's scratch for reads; valid until the next step runs. */
#define WR_SCRATCH (256 * 1024)
extern char wr_scratch[WR_SCRATCH];

/* ---- tls: OpenSSL as a transport ---- */
struct ssl_st;
struct ssl_ctx_st;
/* Gives the connection a TLS state; server: we are the server of the handshake. The context is
 * borrowed; SSL_get_app_data gives the conn. record: most plain bytes of a record, 0: 16 KB. False:
 * OpenSSL had no memory. Freed by wr_conn_close, which sends close_notify. */
bool wr_tls_open(struct wr_conn *c, struct ssl_ctx_st *ctx, bool server, size_t record) WR_CHECKED;
/* OK: c->io is TLS from now on. AGAIN: call again when an event has come. EOF: the other side
 * has closed. ERROR: c->error, or see wr_tls_errors. */
enum wr_io wr_tls_handshake(struct wr_conn *c) WR_CHECKED;
struct ssl_st *wr_tls_of(const struct wr_conn *c); /* NULL: none */
bool wr_tls_up(const struct wr_conn *c);           /* the handshake is done */
/* Appends the errors in OpenSSL's queue as " (SSL: error:... error:...)", or nothing. */
void wr_tls_errors(struct wr_text *t);
void wr_tls_init(void); /* call before OpenSSL is used: keeps its memory out of core files */

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
/* src -> pipe, at most max bytes. AGAIN: either the pipe is full or src has nothing. EAGAIN names
 * no side and a pipe counts pages, not bytes, so src's ready bit is cleared only when the pipe was
 * empty; with bytes in it: write them out, then try again. EOF, ERROR as read. */
enum wr_io wr_conn_splice_in(struct wr_conn *src, struct wr_pipe *p, size_t max, size_t *got);
/* pipe -> dst, all that dst takes. The pipe must not be empty. */
enum wr_io wr_conn_splice_out(struct wr_conn *dst, struct wr_pipe *p, size_t *put);

/* ---- listen ---- */
struct wr_listener;
struct wr_session;
/* One accepting descriptor of an address; there are as many as workers (SO_REUSEPORT). */
struct wr_accepting {
    struct wr_watch watch;     /* first */
    int fd;                    /* -1: closed */
    uint32_t share;            /* index in the owner map */
    uint32_t users;            /* sessions that are answered through it: it stays open for them */
    bool watching, paused, draining;
    bool drained;              /* two accepts in a row found nothing */
    uint8_t empty;             /* accepts in a row that found nothing, while draining */
    uint8_t batch, full_turns; /* most accepts in a turn; turns in a row with so many */
    uint64_t last_turn;
    struct wr_listener *listener;
    struct wr_task task;
    struct wr_loop *loop;
    struct wr_link link;       /* all that are watched in this process */
};
struct wr_listener {           /* one configured address */
    struct wr_addr addr;
    struct wr_listen_opts opts;
    struct wr_accepting *fds;
    uint32_t nfds;
    void (*accepted)(struct wr_listener *, int fd, const struct wr_addr *peer); /* takes the fd */
    void (*receive)(struct wr_task *); /* datagrams: the task of its sockets; NULL: it accepts */
    void *object;              /* of the layer: its servers */
    const struct wr_layer *layer; /* exchange.h */
    struct wr_str text;        /* address as text, for logs */
    struct wr_listener *next;
    const struct wr_node *node; /* the listen directive */
    /* Reads the bytes before the layer's first one (a PROXY header); NULL: there are none. OK: the
     * layer may begin. AGAIN: more must arrive. EOF: the client was too slow. ERROR: logged. */
    enum wr_io (*greet)(struct wr_session *);
    bool ssl, in_kernel;       /* a TLS handshake follows; forward nat: it has no sockets */
    uint32_t speaks;           /* bits of the layer's further protocols that `listen` names */
};
/* Accepts one connection a turn, up to 64 while the queue stays full (level triggered, see
 * listen.c). Without room (limit), or on EMFILE, calls wr_connections_full; if the socket is still
 * watched after that, clients are accepted and closed. If the system lacks memory or files,
 * accepting pauses for 500 ms on all sockets. The caller has set fd and listener. False with
 * errno. */
bool wr_accepting_start(struct wr_loop *l, struct wr_accepting *a) WR_CHECKED;
/* For an address that goes away: goes on accepting until two turns in a row found nothing; then
 * `drained` is set and the task rests. Needs wr_accepting_start. */
void wr_accepting_drain(struct wr_accepting *a);
void wr_accepting_empty(struct wr_accepting *a); /* for `receive`: nothing waits there */
/* Removes it from epoll: close() would not, as other processes share the listening socket. The fd
 * stays open. Idempotent. */
void wr_accepting_stop(struct wr_accepting *a);

/* ---- limit: worker_connections ---- */
enum wr_side { WR_CLIENT, WR_SERVER };
struct wr_open {
    uint32_t n[2], max;       /* by side; max 0: no limit */
};
/* Pure: is there room for `more` connections of that side? A tenth is kept for servers. */
bool wr_open_fits(const struct wr_open *o, enum wr_side side, uint32_t more);
void wr_connections_limit(struct wr_loop *l, uint32_t max);
void wr_connections_add(enum wr_side side, int delta);
/* Room for one more; where there is none, connections that nobody uses are closed. */
bool wr_connections_room(enum wr_side side) WR_CHECKED;
/* close_one closes a connection of that side that nobody uses; false: there is none. */
void wr_connections_unused(bool (*close_one)(enum wr_side side));
/* Closes a parked link or else an idle client; false: there is none. */
bool wr_connections_free_one(void) WR_CHECKED;
/* Counts a refused connection of that side. Logs the first at once, then once a second how many
 * were refused and how many unused ones closed. err: EMFILE, or 0 for worker_connections. */
void wr_connections_refused(enum wr_side side, int err);
/* No client can be accepted. Calls `changed`, and calls it again when there is room, or after half
 * a second: no event tells that a client has become idle or a descriptor free. Idempotent. */
void wr_connections_full(void);
void wr_connections_watch(void (*changed)(bool full));
void wr_connections_end(void); /* call before the loop is freed: logs the counts not yet logged */
uint32_t wr_connections(void);

#endif
