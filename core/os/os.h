/* os: the system calls, each wrapped once.
 *
 * Map: socket (listen, connect, options), holder (the process that has an address), file (read
 * whole, replace, make folders), vault (memory excluded from core files), shm (named shared memory
 * that survives reload and upgrade), lock (between processes), zone (a list that its owner
 * publishes), zone_table (records by key, the least recently used are dropped), zone_ledger
 * (counts that do not outlive their holder) and zone_queue (who waits longest) in shared memory,
 * doorbell (process slots and their bells), title (ps), host (its name), rights (dropping them),
 * syslog (a log sink), chaos (debug builds).
 *
 * All descriptors are close-on-exec and non-blocking unless a comment says otherwise. */
#ifndef WR_OS_H
#define WR_OS_H

#include "log/log.h"

#include <stdatomic.h>

/* ---- socket ---- */
struct wr_listen_opts {      /* the parameters of `listen` for one address; zero = system default */
    int type;                /* SOCK_STREAM, SOCK_DGRAM */
    int backlog;             /* 0: 511 */
    int rcvbuf, sndbuf;      /* bytes */
    int fastopen;            /* queue length, 0 off */
    bool deferred;           /* TCP_DEFER_ACCEPT */
    bool ipv6only_off;       /* the default is on, as in nginx since 1.3.4 */
    bool keepalive, keepalive_off;
    int keepidle, keepintvl, keepcnt; /* seconds, seconds, probes; 0: system's */
    bool multipath;          /* IPPROTO_MPTCP, if the system has it */
};

/* Creates, binds and (for streams) listens with SO_REUSEPORT + SO_REUSEADDR. A unix path has no
 * SO_REUSEPORT; a socket file that no process accepts on is removed first. -1 with errno. *step
 * names the failed call for the message ("bind()", "socket()", ...). */
int wr_socket_listen(const struct wr_addr *a, const struct wr_listen_opts *o,
                     const char **step) WR_CHECKED;
/* As wr_socket_listen, but without listen(): no client can connect yet, so closing it resets no
 * connection. */
int wr_socket_bind(const struct wr_addr *a, const struct wr_listen_opts *o,
                   const char **step) WR_CHECKED;
/* Binds WITHOUT SO_REUSEPORT and closes again: false with errno EADDRINUSE if another process has
 * the address. (With SO_REUSEPORT a second instance would silently share the port.) */
bool wr_socket_probe(const struct wr_addr *a, int type) WR_CHECKED;
/* Sets the options that can be changed on an open socket (backlog, buffers, keepalive, deferred),
 * and calls listen(), also on a socket that is only bound. False with errno: it does not listen, or
 * not with that backlog. */
bool wr_socket_tune(int fd, const struct wr_listen_opts *o) WR_CHECKED;
/* accept4; -1 with errno. */
int wr_socket_accept(int fd, struct wr_addr *peer);
/* socket + optional bind. -1 with errno and *step. */
int wr_socket_client(int family, int type, const struct wr_addr *bind_to, bool transparent,
                     const char **step) WR_CHECKED;
bool wr_socket_local(int fd, struct wr_addr *out); /* getsockname */
/* For a listening socket that is about to be closed: drops new SYNs, so that the client repeats
 * them (after a second) and reaches the socket that listens by then. Handshakes under way go on. */
bool wr_socket_deafen(int fd);
int wr_socket_error(int fd);                       /* SO_ERROR */
void wr_socket_nodelay(int fd);
void wr_socket_delay(int fd);                      /* TCP_NODELAY off: accepted ones have it */
void wr_socket_keepalive(int fd);
void wr_socket_reset_on_close(int fd);             /* SO_LINGER 0: close() sends RST */
struct wr_tcp_info {
    uint32_t rtt, rttvar, snd_cwnd, rcv_space;         /* microseconds, segments, bytes */
};
bool wr_socket_tcp_info(int fd, struct wr_tcp_info *out) WR_CHECKED; /* false: not a TCP socket */

/* ---- holder ---- */
struct wr_holder {
    pid_t pid;
    char title[256];         /* its command line; any process can change its own */
};
/* Finds the process that listens on the address, or on the wildcard of its port: the lowest pid
 * among the processes that we may inspect. Reads all of /proc: do not call it in a loop. */
bool wr_socket_holder(const struct wr_addr *a, int type, struct wr_holder *out) WR_CHECKED;

/* ---- file ---- */
/* Reads the whole file into the pool, at most max bytes, and puts a zero byte behind it. p == NULL
 * with errno on failure (EFBIG: longer than max). */
struct wr_str wr_file_read(struct wr_pool *pool, const char *path, size_t max) WR_CHECKED;
/* Replaces the file by a new one and returns the new one's descriptor; -1 with errno. The new file
 * is locked as a whole (F_WRLCK) before it gets its name. Closing any descriptor of it in this
 * process ends the lock. */
int wr_file_write_locked(const char *path, struct wr_str text, mode_t mode) WR_CHECKED;
/* The same without a new file, where the folder cannot be written: a concurrent reader may see part
 * of the new text and the rest of the old one. */
int wr_file_rewrite_locked(const char *path, struct wr_str text) WR_CHECKED;
/* Write all of s; false with errno, ENOSPC when write() takes nothing. May be called in threads. */
bool wr_file_write_all(int fd, struct wr_str s) WR_CHECKED;
bool wr_file_write_at(int fd, struct wr_str s, uint64_t at) WR_CHECKED; /* by pwrite() */
/* The next four walk the path with wr_folder_to_write and follow only the links that it allows. */
bool wr_file_remove(const char *path);
bool wr_folder_remove(const char *path); /* must be empty */
bool wr_file_rename(const char *from, const char *to) WR_CHECKED;
bool wr_mkdirs(const char *path, mode_t mode) WR_CHECKED; /* like mkdir -p: parents get 0755 */

/* ---- vault: memory excluded from core files; as malloc(), but alloc of 0 is NULL ---- */
void *wr_vault_alloc(size_t n) WR_CHECKED;
void *wr_vault_realloc(void *p, size_t n) WR_CHECKED;
void wr_vault_free(void *p);
void wr_vault_pool(struct wr_pool *p); /* allocate from the vault from now on; idempotent */

/* ---- shm: memory shared by all processes of the instance ---- */
struct wr_shm {
    struct wr_link link;
    char *name;
    int fd;
    void *p;               /* zeroed when new */
    size_t size;
    uint32_t layout;       /* of the record types: increment it when a struct changes */
    uint64_t shape;        /* hash of the table sizes */
    unsigned users;        /* sets and other holders in this process */
    bool fresh;            /* made by this wr_shm_get; unused before */
};
/* The segments of one configuration. A segment of the `old` set (NULL at start) with the same name,
 * layout, shape and size is used again, with its content. */
struct wr_shm_set {
    struct wr_link segments; /* of struct ref in shm.c */
};
struct wr_shm_set *wr_shm_set_new(void);
void wr_shm_set_free(struct wr_shm_set *s); /* releases its references; the last one unmaps */
/* NULL with errno: no memory, or this set has the name with another shape (EEXIST). *previous (may
 * be NULL) gets the segment of the same name and layout in `old` whose shape did not fit, so that
 * its state can be copied by key; it is valid as long as `old`, or until released by a caller that
 * holds it. Sparse: untouched pages cost nothing. A segment is sealed: no process can change its
 * size. */
struct wr_shm *wr_shm_get(struct wr_shm_set *set, struct wr_shm_set *old, const char *name,
                          uint32_t layout, uint64_t shape, size_t size,
                          struct wr_shm **previous) WR_CHECKED;
void wr_shm_hold(struct wr_shm *shm); /* keeps it mapped until wr_shm_release */
void wr_shm_release(struct wr_shm *shm);
/* For a binary upgrade. Export writes "fd:layout:shape:size:name;" for each segment; import makes a
 * set of that text. The caller clears close-on-exec after fork (wr_shm_inherit). A segment that is
 * not sealed is copied into one that is. */
void wr_shm_export(const struct wr_shm_set *s, struct wr_text *out);
struct wr_shm_set *wr_shm_import(struct wr_str text);
void wr_shm_inherit(const struct wr_shm_set *s, bool on); /* on: the descriptors survive exec */

/* ---- lock: on byte `at` of a file that processes share; the death of a holder releases it ---- */
/* Waits at most most_ms (0: not at all). False: another process has the lock. */
bool wr_lock(int fd, uint64_t at, uint32_t most_ms) WR_CHECKED;
void wr_unlock(int fd, uint64_t at);
bool wr_locked(int fd, uint64_t at); /* is it held by another process now? */
pid_t wr_locked_by(int fd, uint64_t at); /* that process; 0: none, or it cannot be named here */

/* ---- process: slots, doorbells ---- */
/* The processes of one instance, all generations together. During an upgrade two masters run at
 * once: each assigns the slots of its half. */
#define WR_SLOTS 2048
#define WR_SLOT_NONE UINT32_MAX
enum wr_kind { WR_PROC_MASTER, WR_PROC_WORKER, WR_PROC_KEEPER, WR_PROC_NAT, WR_PROC_SINGLE };

/* Bells: bits that tell another process what has changed. */
enum wr_bell {
    WR_BELL_LISTEN = 1u << 0, /* the map of which process accepts on which listening socket */
    WR_BELL_TRACE = 1u << 1,  /* dump the trace rings of the running exchanges */
    WR_BELL_QUEUE = 1u << 2,  /* what an exchange waits for may be there (wr_queue) */
    WR_BELL_PEERS = 1u << 3,  /* a peer went up or down, or left its group */
    WR_BELL_CACHE = 1u << 4,  /* an entry of a cache that somebody waits for has changed */
    WR_BELL_DATAGRAMS = 1u << 5, /* another process has read datagrams of sessions of this one */
};
#define WR_SIGBELL SIGURG     /* ignored where it is not handled */

/* In shared memory that every process of the instance may write: the master reads none of it, other
 * processes take it for a hint. A running process holds the lock on the byte of its slot number in
 * wr_self.run_fd. */
struct wr_slot {
    _Atomic int32_t pid;      /* of the last process that had the slot */
    _Atomic uint32_t kind, generation, index; /* index: number of the worker in its generation */
    _Atomic uint32_t bell;    /* wr_bell bits */
    _Atomic uint32_t asleep;  /* 1 while in epoll_wait */
    _Atomic uint64_t beat_ms; /* last turn of the loop, monotonic */
    uint8_t pad[96];
};
_Static_assert(sizeof(struct wr_slot) == 128, "two cache lines: no two slots share one");

struct wr_run {               /* layout of the "run" segment */
    struct wr_slot slot[WR_SLOTS];
    _Atomic uint64_t connections; /* last connection number given out */
};
struct wr_self {              /* this process */
    uint32_t slot;            /* WR_SLOT_NONE until the master assigns one */
    enum wr_kind kind;
    uint32_t generation;
    uint32_t index, workers;  /* number of the worker in its generation, and how many there are */
    int bell_fd;              /* our doorbell, -1: none */
    int bell_of[WR_SLOTS];    /* those of the other processes, -1: unknown */
    struct wr_run *run;       /* never NULL: private memory until the master makes a segment */
    int run_fd;               /* the memfd of run, for the locks of slots; -1: none */
};
extern struct wr_self wr_self;
void wr_self_init(void);
int wr_bell_new(void); /* a descriptor, to be watched edge triggered and never read; -1: errno */
/* Sets bits in the slot's bell, and wakes the process only if it sleeps: by its doorbell, or by
 * WR_SIGBELL if it is of another generation. A process that goes to sleep therefore first stores
 * asleep = 1 and then checks its bell once more. It never waits, whatever others have done to the
 * descriptor. The master has no bell. */
void wr_ring(uint32_t slot, uint32_t bits);
/* Rings the workers of all generations. */
void wr_ring_workers(uint32_t bits);
void wr_bell_self(void);     /* wakes our own loop; may be called by a signal handler */
uint32_t wr_bell_take(void); /* returns our bits and clears them */

/* ---- zone: a segment in parts; docs/decisions/zones.md ---- */
/* Every process of the instance may write any byte of a segment at any time. So the places and
 * sizes of the parts are kept in private memory, and each word of the segment is read once and
 * checked against them. */
struct wr_zone {
    char *p;                  /* NULL: only the size is wanted */
    size_t n;                 /* bytes of the parts so far */
    int fd;                   /* of the memfd; byte 0 is the lock of the zone */
};
static inline struct wr_zone wr_zone_of(const struct wr_shm *shm)
{
    return (struct wr_zone){ .p = shm->p, .fd = shm->fd };
}
static inline bool wr_zone_lock(const struct wr_zone *z, uint32_t most_ms) /* as wr_lock */
{
    return wr_lock(z->fd, 0, most_ms);
}
static inline void wr_zone_unlock(const struct wr_zone *z)
{
    wr_unlock(z->fd, 0);
}
/* Returns the next n bytes, in cache lines of their own; NULL when z->p is NULL. */
void *wr_zone_part(struct wr_zone *z, size_t n);

/* Roster: a list of numbers which only the owner of the zone changes. Readers see each version as a
 * whole (a seqlock). */
struct wr_roster {
    uint32_t most;            /* the list has at most this many numbers, all below it */
    _Atomic uint64_t *owner;  /* shared, like the fields below: number of the owner; 0: no owner */
    _Atomic uint32_t *version;
    _Atomic uint32_t *list[2]; /* list[version & 1] is current: the count, then the numbers */
};
void wr_roster_place(struct wr_roster *r, struct wr_zone *z, uint32_t most);
/* Copies the current numbers to `out`, which has room for `most`, and returns how many there are;
 * *version is the version copied. */
uint32_t wr_roster_read(const struct wr_roster *r, uint32_t *out, uint32_t *version);
/* Called by the owner; n <= most. */
void wr_roster_publish(struct wr_roster *r, const uint32_t *numbers, uint32_t n);
static inline uint32_t wr_roster_version(const struct wr_roster *r)
{
    return atomic_load_explicit(r->version, memory_order_acquire);
}

/* Table: records by key, written by all processes. The least recently used records are dropped when
 * room is needed, and expired records are not found. All functions run under the lock of the zone
 * and copy in and out. If a holder died or links are inconsistent, the table is emptied and one
 * line is logged. */
#define WR_TABLE_KEY_MAX 255
#define WR_TABLE_VALUE_MAX 16384
struct wr_table {
    const char *name;         /* for the log */
    int fd;                   /* of the zone */
    uint32_t ncells, nbuckets; /* private, like the fields above and the next two */
    bool damaged;             /* damage was found since it was locked: empty it */
    uint64_t quiet_ms;        /* log no damage before this time */
    struct wr_table_head *head; /* shared, as all below */
    _Atomic uint32_t *buckets;
    union wr_table_cell *cells;
};
/* Takes the next parts of z, at most `bytes`; a table of less than 4096 bytes stores nothing. The
 * name is borrowed. */
void wr_table_place(struct wr_table *t, struct wr_zone *z, size_t bytes, const char *name);
/* Waits at most most_ms. False: another process has the lock, or the table stores nothing. */
bool wr_table_lock(struct wr_table *t, uint32_t most_ms) WR_CHECKED;
void wr_table_unlock(struct wr_table *t);
/* Call these between lock and unlock; times are Unix seconds. Put replaces; false: not stored,
 * because the key or value is too long, the value empty or the table damaged. Get copies the value
 * to `out`, which has room for `max` bytes, marks the record as the most recently used, and returns
 * the length; 0: not found, or longer than max. */
bool wr_table_put(struct wr_table *t, struct wr_str key, struct wr_str value, uint64_t expires_s,
                  uint64_t now_s);
size_t wr_table_get(struct wr_table *t, struct wr_str key, uint64_t now_s, void *out, size_t max);
void wr_table_remove(struct wr_table *t, struct wr_str key);

/* Ledger: counts of what processes hold: a row for each process, a column for each thing that is
 * counted (the connections of one peer, for example), and a total for each column. A process marks
 * its count before it changes the total (WR_LEDGER_CHANGES), and keeps the smaller one until the
 * total is changed. So the counts of a process that dies can be taken back, and at no moment is a
 * total below the counts of those that live. The row with the number of a slot belongs to the
 * process that holds the lock of that slot. */
#define WR_LEDGER_CHANGES (1u << 31)
struct wr_ledger {
    uint32_t columns;
    uint32_t *held;           /* the counts of this process, private; its row is a copy */
    struct wr_ledger_seen {   /* by column, in the process that corrects totals */
        int32_t differs;      /* sum of the column minus the total */
        uint32_t times;       /* in a row */
    } *seen;
    uint32_t looked;          /* columns, since the round began */
    bool right;               /* so far in this round */
    _Atomic uint64_t *used;   /* shared, like the fields below; a bit for each row ever used */
    _Atomic uint32_t *rows;   /* one for each process; untouched ones use no memory */
    void *totals;             /* the total of column 0, in memory of the caller */
    size_t stride;            /* bytes from one total to the next */
};
void wr_ledger_place(struct wr_ledger *l, struct wr_zone *z, uint32_t columns);
/* Begins counting in this process: clears the row of its slot, then copies `held` to it. */
void wr_ledger_begin(struct wr_ledger *l, struct wr_pool *pool);
void wr_ledger_show(struct wr_ledger *l); /* copies `held` to our row again */
/* Takes the counts of a dead process out of the totals. */
void wr_ledger_clear(struct wr_ledger *l, uint32_t process);
/* Calls clear() for each slot without a living process, under its lock, and for our own. True:
 * sweep again later: a process is just ending, there are living ones of another master, whose death
 * nobody may report, or it took too long and some slots are left. */
bool wr_ledger_sweep(void (*clear)(void *arg, uint32_t process), void *arg);
/* Compares all totals with their columns once, a part of them where there are very many. True: they
 * have agreed several times in a row, no more calls are needed. A total may be too high, as a
 * process may die between the total and its row; it is corrected when both have not changed for
 * several calls. */
bool wr_ledger_look(struct wr_ledger *l, struct wr_pool *pool);
void wr_ledger_forget(struct wr_ledger *l); /* start the comparison anew */
/* Pure: a difference is trusted when it was seen several times in a row. */
enum wr_ledger_finding { WR_LEDGER_LOOK, WR_LEDGER_WRONG, WR_LEDGER_RIGHT };
enum wr_ledger_finding wr_ledger_judge(struct wr_ledger_seen *seen, uint32_t column,
                                       uint32_t total);

static inline _Atomic uint32_t *wr_ledger_row(const struct wr_ledger *l, uint32_t process)
{
    return l->rows + (size_t)process * l->columns;
}
static inline _Atomic uint32_t *wr_ledger_total(const struct wr_ledger *l, uint32_t column)
{
    return (_Atomic uint32_t *)(void *)((char *)l->totals + column * l->stride);
}
static inline void wr_ledger_write(struct wr_ledger *l, uint32_t column, uint32_t count)
{
    if (wr_self.slot != WR_SLOT_NONE)
        atomic_store_explicit(&wr_ledger_row(l, wr_self.slot)[column], count,
                              memory_order_relaxed);
}
static inline void wr_ledger_set(struct wr_ledger *l, uint32_t column, uint32_t count)
{
    WR_ASSERT(column < l->columns);
    l->held[column] = count;
    wr_ledger_write(l, column, count);
}
/* A total never goes below 0: another process may have written there. */
static inline void wr_ledger_take_back(_Atomic uint32_t *total, uint32_t held)
{
    uint32_t now = atomic_load(total);

    while (!atomic_compare_exchange_weak(total, &now, now - wr_min(now, held)))
        ;
}
/* Counts one more, unless the total is `most` already (0: no limit). */
static inline WR_CHECKED bool wr_ledger_hold(struct wr_ledger *l, uint32_t column, uint32_t most)
{
    _Atomic uint32_t *total = wr_ledger_total(l, column);
    uint32_t held = l->held[column], now = 0;

    wr_ledger_write(l, column, held | WR_LEDGER_CHANGES);
    if (most == 0)
        (void)atomic_fetch_add(total, 1);
    else
        for (now = atomic_load(total);
             now < most && !atomic_compare_exchange_weak(total, &now, now + 1);)
            ;
    held += most == 0 || now < most;
    wr_ledger_set(l, column, held);
    return most == 0 || now < most;
}
static inline void wr_ledger_release(struct wr_ledger *l, uint32_t column)
{
    uint32_t held = l->held[column] - 1;

    wr_ledger_write(l, column, held | WR_LEDGER_CHANGES);
    wr_ledger_take_back(wr_ledger_total(l, column), 1);
    wr_ledger_set(l, column, held);
}

/* Queue: who waits longest for something that all processes share. Each process has a list of its
 * own waiters, by ticket (the time of arrival), in private memory. It shows the ticket of its first
 * one; the smallest ticket shown is the head of the queue. What is waited for, the user knows. How
 * no call is lost: zone_queue.c. */
struct wr_queue {
    struct wr_ledger places;     /* of one column; `used`: the processes that ever waited here */
    _Atomic uint32_t *taken;     /* shared: its total */
    _Atomic uint64_t *shown;     /* shared, by process: 2 * ticket (or 0), + 1: some wait aside */
    uint64_t mine;               /* what this process shows */
};
struct wr_queue_head { uint64_t ticket; uint32_t process; }; /* ticket 0: nobody waits */
void wr_queue_place(struct wr_queue *q, struct wr_zone *z);
/* Takes one of `most` places; false: there is none. */
bool wr_queue_enter(struct wr_queue *q, uint32_t most, struct wr_pool *pool) WR_CHECKED;
void wr_queue_leave(struct wr_queue *q);
/* Shows the ticket of this process's first waiter (0: none). aside: others of them are no part of
 * the order, but are to be called, too. What is looked at afterwards is new: see zone_queue.c. */
void wr_queue_show(struct wr_queue *q, uint64_t ticket, bool aside);
struct wr_queue_head wr_queue_head(const struct wr_queue *q);
/* Rings the process of the head, and those with waiters aside. True: this process is one of them.
 * wr_queue_is_empty is enough, and cheap, where nobody waits. */
bool wr_queue_call(const struct wr_queue *q);
static inline bool wr_queue_is_empty(const struct wr_queue *q)
{
    return atomic_load(q->taken) == 0;
}
/* The head does nothing with what is there: take it for gone. It may show itself again. */
void wr_queue_skip(struct wr_queue *q, struct wr_queue_head h);
void wr_queue_clear(struct wr_queue *q, uint32_t process); /* a dead one; as wr_ledger_clear */

/* ---- host ---- */
#define WR_HOSTNAME_SIZE 256
/* The name of this machine, in buf and zero-terminated; empty: it has none, or it does not fit. */
struct wr_str wr_hostname(char buf[static WR_HOSTNAME_SIZE]);

/* ---- title, rights ---- */
/* "weir: worker process" in ps; call wr_title_init in main before argv is used elsewhere. */
void wr_title_init(int argc, char **argv);
void wr_title_set(const char *title); /* "weir: " is put in front */
/* Changes to uid and gid for good, with the groups of the user (user NULL: only gid), and keeps
 * only the capabilities in keep_caps (bit mask, 0: none). uid 0 keeps them all. False with errno
 * and the failed step. */
bool wr_drop_rights(const char *user, uid_t uid, gid_t gid, uint64_t keep_caps,
                    const char **step) WR_CHECKED;
/* Gives up all capabilities but these, whatever the user is. False with errno. */
bool wr_rights_only(uint64_t caps) WR_CHECKED;
void wr_no_new_privs(void);
/* Allows (on) or forbids other processes of the same user to read this one's memory (ptrace,
 * /proc/PID/mem), and the kernel to write core files of it. A change of the user forbids it,
 * too. */
void wr_memory_show(bool on);
void wr_memory_secret(void *p, size_t n); /* excludes whole pages from core files */

/* ---- syslog: "syslog:server=ADDR[,facility=][,tag=][,severity=][,nohostname]" ---- */
/* NULL with *err set to a message (static or in the pool). params may begin with "syslog:". Lines
 * of level WR_LOG_LEVELS (access logs) get the severity of the parameters, default info. */
struct wr_sink *wr_syslog_open(struct wr_pool *pool, struct wr_str params,
                               const char **err) WR_CHECKED;

/* ---- chaos: in builds with WR_DEBUG=1, on when the environment has WR_CHAOS=seed ---- */
/* Shortens n to a few bytes in one of four calls; false: treat the call as EAGAIN. Without chaos:
 * true, and n is unchanged. */
#if WR_DEBUG
bool wr_chaos_io(size_t *n);
bool wr_chaos(void); /* is chaos on? */
#else
static inline bool wr_chaos_io(size_t *n) { (void)n; return true; }
static inline bool wr_chaos(void) { return false; }
#endif

#endif
