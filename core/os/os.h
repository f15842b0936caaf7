/* os: the system calls, each wrapped once. Rank 1: knows base.
 *
 * Map: socket (listen, connect, options), holder (the process that has an address), file (read
 * whole, replace, make folders), vault (memory in no core file), shm (named shared memory that
 * survives reload and upgrade), lock (between processes), zone (a list that its owner publishes),
 * zone_table (records by key, the least recently used goes) and zone_ledger (counts that survive
 * their holder) in shared memory, doorbell (process slots and their bells), title (ps), rights
 * (dropping them), syslog (a log sink), chaos (debug builds).
 *
 * All descriptors are close-on-exec and non-blocking unless a comment says otherwise. */
#ifndef WR_OS_H
#define WR_OS_H

#include "base/base.h"

#include <stdatomic.h>

/* ---- socket ---- */
struct wr_listen_opts {      /* what `listen` can say about one address; zero = system default */
    int type;                /* SOCK_STREAM, SOCK_DGRAM */
    int backlog;             /* 0: 511 */
    int rcvbuf, sndbuf;      /* bytes */
    int fastopen;            /* queue length, 0 off */
    int setfib;              /* -1: none; only where the system has it */
    bool deferred;           /* TCP_DEFER_ACCEPT */
    bool ipv6only_off;       /* default is on, as nginx since 1.3.4 */
    bool keepalive, keepalive_off;
    int keepidle, keepintvl, keepcnt; /* seconds, seconds, probes; 0: system's */
    bool multipath;          /* IPPROTO_MPTCP where the system has it */
    bool transparent;        /* IP_TRANSPARENT */
    bool bind;               /* a bind() of its own was asked for */
};

/* Creates, binds and (for streams) listens with SO_REUSEPORT + SO_REUSEADDR. For a unix path no
 * reuseport; a socket file nobody accepts on is removed first. -1 with errno. `step` names the
 * failed call for the message ("bind()", "socket()", ...). */
int wr_socket_listen(const struct wr_addr *a, const struct wr_listen_opts *o,
                     const char **step) WR_CHECKED;
/* The same but for listen(): nobody is connected to it, and none is reset when it is closed. */
int wr_socket_bind(const struct wr_addr *a, const struct wr_listen_opts *o,
                   const char **step) WR_CHECKED;
/* Binds WITHOUT SO_REUSEPORT and closes again: false with errno EADDRINUSE when somebody else
 * owns the address. (With it set a second instance would silently share the port.) */
bool wr_socket_probe(const struct wr_addr *a, int type) WR_CHECKED;
/* Sets what may be changed on a living socket (backlog, buffers, keepalive, deferred), and lets one
 * that is only bound listen. False with errno: it does not listen, or not with that backlog. */
bool wr_socket_tune(int fd, const struct wr_listen_opts *o) WR_CHECKED;
/* accept4; -1 with errno. */
int wr_socket_accept(int fd, struct wr_addr *peer);
/* socket + optional bind. -1 with errno and *step. */
int wr_socket_client(int family, int type, const struct wr_addr *bind_to, bool transparent,
                     const char **step) WR_CHECKED;
bool wr_socket_local(int fd, struct wr_addr *out); /* getsockname */
/* A listening socket that will be closed: new SYNs are dropped, so that their repetition (after a
 * second) finds who listens then; handshakes that have begun go on. */
bool wr_socket_deafen(int fd);
int wr_socket_error(int fd);                       /* SO_ERROR */
void wr_socket_nodelay(int fd);
void wr_socket_delay(int fd);                      /* accepted ones have TCP_NODELAY on: off */
void wr_socket_keepalive(int fd);
void wr_socket_reset_on_close(int fd);             /* SO_LINGER 0: close sends RST */
struct wr_tcp_info {
    uint32_t rtt, rttvar, snd_cwnd, rcv_space;         /* microseconds, segments, bytes */
};
bool wr_socket_tcp_info(int fd, struct wr_tcp_info *out) WR_CHECKED; /* false: no TCP socket */

/* ---- holder ---- */
struct wr_holder {
    pid_t pid;
    char title[256];         /* its command line, as ps has it: any process writes its own */
};
/* The process that listens there or on a wildcard of that port: the one with the lowest number of
 * those that may be looked at. Reads all of /proc: not in a loop. */
bool wr_socket_holder(const struct wr_addr *a, int type, struct wr_holder *out) WR_CHECKED;

/* ---- file ---- */
/* Whole file into the pool, at most max bytes; p == NULL with errno on failure (EFBIG over max). A
 * zero byte stands behind it. */
struct wr_str wr_file_read(struct wr_pool *pool, const char *path, size_t max) WR_CHECKED;
/* Replaces it. The descriptor holds a lock (F_WRLCK) of this process on the whole file, from before
 * it had its name; any close of that file by this process ends it. -1 with errno. */
int wr_file_write_locked(const char *path, struct wr_str text, mode_t mode) WR_CHECKED;
/* The same where only the file itself may be written: a concurrent reader may see the beginning of
 * the new text in front of the rest of the old one. */
int wr_file_rewrite_locked(const char *path, struct wr_str text) WR_CHECKED;
/* Folders on the way are those wr_folder_to_write takes. */
bool wr_file_remove(const char *path);
bool wr_folder_remove(const char *path); /* an empty one */
bool wr_file_rename(const char *from, const char *to) WR_CHECKED;
bool wr_mkdirs(const char *path, mode_t mode) WR_CHECKED;       /* like mkdir -p */

/* ---- vault: memory that gets into no core file; as malloc(), but alloc of 0 is NULL ---- */
void *wr_vault_alloc(size_t n) WR_CHECKED;
void *wr_vault_realloc(void *p, size_t n) WR_CHECKED;
void wr_vault_free(void *p);
void wr_vault_pool(struct wr_pool *p); /* what it gives from now on is in there; idempotent */

/* ---- shm: memory shared by all processes of the instance ---- */
struct wr_shm {
    struct wr_link link;
    char *name;
    int fd;
    void *p;               /* zeroed when new */
    size_t size;
    uint32_t layout;       /* of the record types: bump when a struct changes */
    uint64_t shape;        /* hash of the table sizes */
    unsigned users;        /* generations of this process that hold it */
    bool fresh;            /* made by this get, nobody used it before */
};
/* The set of segments one configuration uses. Segments are found in `old` (NULL at start) first:
 * name, layout and shape fit -> the same memory is used on. */
struct wr_shm_set {
    struct wr_link segments; /* of struct wr_shm_ref inside shm.c */
};
struct wr_shm_set *wr_shm_set_new(void);
void wr_shm_set_free(struct wr_shm_set *s); /* releases its references; last one unmaps */
/* NULL with errno: no memory, or this set has the name with another shape (EEXIST). *previous (may
 * be NULL) gets the segment of the same name and layout in `old` whose shape did not fit, so that
 * state can be copied by key; it lives as long as `old`, or who holds it. Sparse: untouched pages
 * cost nothing. Nobody can change the size of a segment: it is sealed. */
struct wr_shm *wr_shm_get(struct wr_shm_set *set, struct wr_shm_set *old, const char *name,
                          uint32_t layout, uint64_t shape, size_t size,
                          struct wr_shm **previous) WR_CHECKED;
void wr_shm_hold(struct wr_shm *shm); /* it lives until wr_shm_release */
void wr_shm_release(struct wr_shm *shm);
/* For a binary upgrade: text "fd:layout:shape:size:name;" for each segment (close-on-exec is
 * cleared by the caller after fork), and a set made back from it. A segment that is not sealed is
 * copied into one that is. */
void wr_shm_export(const struct wr_shm_set *s, struct wr_text *out);
struct wr_shm_set *wr_shm_import(struct wr_str text);
void wr_shm_inherit(const struct wr_shm_set *s, bool on); /* on: survives exec */

/* ---- lock: byte `at` of a file that processes share; a dead holder leaves it to the next ---- */
/* Waits at most so long (0: not at all). False: another process has it. */
bool wr_lock(int fd, uint64_t at, uint32_t most_ms) WR_CHECKED;
void wr_unlock(int fd, uint64_t at);
bool wr_locked(int fd, uint64_t at); /* by another process, now */

/* ---- process: slots, doorbells ---- */
/* Processes of one instance, all generations together. Two masters may live at once, during an
 * upgrade: each gives out the slots of its half. */
#define WR_SLOTS 2048
#define WR_SLOT_NONE UINT32_MAX
enum wr_kind { WR_PROC_MASTER, WR_PROC_WORKER, WR_PROC_KEEPER, WR_PROC_SINGLE };

/* Bells: bits that say what changed. */
enum wr_bell {
    WR_BELL_LISTEN = 1u << 0, /* owner map of the listeners */
    WR_BELL_TRACE = 1u << 1,  /* somebody wants to see the rings of what runs */
};

/* In shared memory, where every process of the instance may write: the master reads nothing of it,
 * for the others it is a hint. A living process holds the lock of the byte of its slot. */
struct wr_slot {
    _Atomic int32_t pid;      /* of the last process in it */
    _Atomic uint32_t kind, generation, index; /* index: worker number in its generation */
    _Atomic uint32_t bell;    /* wr_bell bits */
    _Atomic uint32_t asleep;  /* 1 while in epoll_wait */
    _Atomic uint64_t beat_ms; /* last turn of the loop, monotonic */
    _Atomic uint64_t accepted, active; /* sessions */
    uint8_t pad[80];
};
_Static_assert(sizeof(struct wr_slot) == 128, "two lines of cache: no process shares one");

struct wr_run {               /* layout of the "run" segment */
    struct wr_slot slot[WR_SLOTS];
    _Atomic uint64_t connections; /* last connection number given out */
};
struct wr_self {              /* this process */
    uint32_t slot;            /* WR_SLOT_NONE before the master gave one */
    enum wr_kind kind;
    uint32_t index, workers;  /* worker number in its generation, how many there are */
    uint32_t generation;
    int bell_fd;              /* own eventfd, -1 none */
    int bell_of[WR_SLOTS];    /* eventfds of the others, -1 unknown */
    struct wr_run *run;       /* never NULL: private memory before the master made one */
    int run_fd;               /* its memfd, for the locks of slots; -1 none */
};
extern struct wr_self wr_self;
void wr_self_init(void);
/* Sets bits in the slot's bell; writes its eventfd only if the process sleeps. So who goes to sleep
 * first stores asleep = 1 and then looks at its bell once more. Not for the master: another process
 * may have filled the eventfd and made it blocking. */
void wr_ring(uint32_t slot, uint32_t bits);
uint32_t wr_bell_take(void); /* own bits, cleared; does not read the eventfd */

/* ---- zone: a segment in parts; docs/decisions/zones.md ---- */
/* Every process of the instance may write any byte of a segment at any time. So where the parts lie
 * and how large they are is kept here, in private memory; a word of the segment is read once and
 * checked against that. */
struct wr_zone {
    char *p;                  /* NULL: only the size is wanted */
    size_t n;                 /* bytes of the parts so far */
    int fd;                   /* of the memfd: its byte 0 is the lock of the zone */
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
/* The next n bytes, on lines of cache of their own; NULL when only the size is wanted. */
void *wr_zone_part(struct wr_zone *z, size_t n);

/* Configured: a list of numbers, published whole by the one owner of the zone (a seqlock). */
struct wr_roster {
    uint32_t most;            /* numbers are below this, and there are at most so many */
    _Atomic uint64_t *owner;  /* shared, as all below: a run; 0 none */
    _Atomic uint32_t *version;
    _Atomic uint32_t *list[2]; /* that of version & 1 is current: how many, then the numbers */
};
void wr_roster_place(struct wr_roster *r, struct wr_zone *z, uint32_t most);
/* The current numbers into `out`, with room for `most`: how many; *version is theirs. */
uint32_t wr_roster_read(const struct wr_roster *r, uint32_t *out, uint32_t *version);
/* By the owner, n <= most. */
void wr_roster_publish(struct wr_roster *r, const uint32_t *numbers, uint32_t n);
static inline uint32_t wr_roster_version(const struct wr_roster *r)
{
    return atomic_load_explicit(r->version, memory_order_acquire);
}

/* Learned: records by key. The least recently used go when the room is needed; those whose time has
 * come are not found. Everything is done under the lock of the zone, with copies. A holder that
 * died, and links that do not fit, empty the table, with one line in the log. */
#define WR_TABLE_KEY_MAX 255
#define WR_TABLE_VALUE_MAX 16384
struct wr_table {
    const char *name;         /* for the log */
    int fd;                   /* of the zone */
    uint32_t ncells, nbuckets; /* private, as all above and the next two */
    bool damaged;             /* found since it was locked: to be emptied */
    uint64_t quiet_ms;        /* until then no damage is logged */
    struct wr_table_head *head; /* shared, as all below */
    _Atomic uint32_t *buckets;
    union wr_table_cell *cells;
};
/* The next parts of z, so many bytes at most; less than 4096 keep nothing. The name lives on. */
void wr_table_place(struct wr_table *t, struct wr_zone *z, size_t bytes, const char *name);
/* Waits at most so long. False: another process works there. */
bool wr_table_lock(struct wr_table *t, uint32_t most_ms) WR_CHECKED;
void wr_table_unlock(struct wr_table *t);
/* Between the two; time is Unix seconds. Put replaces; false: not kept, as it is empty or too long,
 * or the table is damaged. Get copies the value into `out`, which has room for `max` bytes, and
 * makes its record the last one to go: how many; 0: there is none, or it is longer. */
bool wr_table_put(struct wr_table *t, struct wr_str key, struct wr_str value, uint64_t expires_s,
                  uint64_t now_s);
size_t wr_table_get(struct wr_table *t, struct wr_str key, uint64_t now_s, void *out, size_t max);
void wr_table_remove(struct wr_table *t, struct wr_str key);

/* Counted: how many each process holds in each column, and a total of each column. A process shows
 * its count in its row of the zone before it changes a total: no count outlives its holder. The row
 * of a slot of the run segment belongs to the process that holds the lock of that slot. */
struct wr_ledger {
    uint32_t columns;
    uint32_t *held;           /* what this process counts; its row says the same */
    struct wr_ledger_seen {   /* by column, in the process that puts totals right */
        int32_t differs;      /* column less total */
        uint32_t times;       /* in a row */
    } *seen;
    _Atomic uint64_t *used;   /* shared, as all below: bit: that process ever counted here */
    _Atomic uint32_t *rows;   /* of each process one; untouched they cost no memory */
    void *totals;             /* of column 0: the user's; may stand in its records */
    size_t stride;            /* bytes from a total to the next one */
};
void wr_ledger_place(struct wr_ledger *l, struct wr_zone *z, uint32_t columns);
/* A process that counts: its row is clean, and says from now on what it holds. */
void wr_ledger_begin(struct wr_ledger *l, struct wr_pool *pool);
void wr_ledger_show(struct wr_ledger *l); /* its row says what it holds, whoever wrote there */
void wr_ledger_clear(struct wr_ledger *l, uint32_t process); /* it is dead: totals without it */
/* clear() is called with each slot nobody lives in, and the own one, under the locks of the slots.
 * True: others may die unnoticed, as their master is not ours or gone: sweep again. */
bool wr_ledger_sweep(void (*clear)(void *arg, uint32_t process), void *arg);
/* One look at totals and columns; true: they agreed for several looks, no more is needed. A process
 * may die between its row and the total, so totals are put right when both rest. */
bool wr_ledger_look(struct wr_ledger *l, struct wr_pool *pool);
void wr_ledger_forget(struct wr_ledger *l); /* what was seen */
/* Pure: `differs` as often as this in a row is believed. */
enum wr_ledger_find { WR_LEDGER_LOOK, WR_LEDGER_WRONG, WR_LEDGER_RIGHT };
enum wr_ledger_find wr_ledger_judge(struct wr_ledger_seen *seen, uint32_t column, uint32_t total);

static inline _Atomic uint32_t *wr_ledger_row(const struct wr_ledger *l, uint32_t process)
{
    return l->rows + (size_t)process * l->columns;
}
static inline _Atomic uint32_t *wr_ledger_total(const struct wr_ledger *l, uint32_t column)
{
    return (_Atomic uint32_t *)(void *)((char *)l->totals + column * l->stride);
}
static inline void wr_ledger_set(struct wr_ledger *l, uint32_t column, uint32_t count)
{
    WR_ASSERT(column < l->columns);
    l->held[column] = count;
    if (wr_self.slot != WR_SLOT_NONE)
        atomic_store_explicit(&wr_ledger_row(l, wr_self.slot)[column], count,
                              memory_order_relaxed);
}
/* A total never goes below 0: a process that died between its row and the total had one less. */
static inline void wr_ledger_take_back(_Atomic uint32_t *total, uint32_t held)
{
    uint32_t now = atomic_load(total);

    while (!atomic_compare_exchange_weak(total, &now, now - wr_min(now, held)))
        ;
}
/* Returns the total as it was before. */
static inline uint32_t wr_ledger_hold(struct wr_ledger *l, uint32_t column)
{
    wr_ledger_set(l, column, l->held[column] + 1);
    return atomic_fetch_add(wr_ledger_total(l, column), 1);
}
static inline void wr_ledger_release(struct wr_ledger *l, uint32_t column)
{
    wr_ledger_take_back(wr_ledger_total(l, column), 1);
    wr_ledger_set(l, column, l->held[column] - 1);
}

/* ---- title, rights ---- */
/* "weir: worker process" in ps; call wr_title_init in main before argv is used elsewhere. */
void wr_title_init(int argc, char **argv);
void wr_title_set(const char *title); /* gets "weir: " in front */
/* Drops to uid/gid with the user's groups (user NULL: only gid); keeps no capabilities but those in
 * keep_caps (bit mask, 0 none). uid 0 keeps them all. False with errno and the failed step. */
bool wr_drop_rights(const char *user, uid_t uid, gid_t gid, uint64_t keep_caps,
                    const char **step) WR_CHECKED;
void wr_no_new_privs(void);
/* May other processes of the same user read this one's memory (ptrace, /proc/PID/mem), and may the
 * kernel write core files of it? A change of the user ends it. */
void wr_memory_show(bool on);
void wr_memory_secret(void *p, size_t n); /* whole pages that no core file shall have */

/* ---- syslog: "syslog:server=ADDR[,facility=][,tag=][,severity=][,nohostname]" ---- */
/* NULL with *err set to a message (static or in pool). params with or without "syslog:" in front.
 * Lines of level WR_LOG_LEVELS (access logs) get the severity of the parameters, default info. */
struct wr_sink *wr_syslog_open(struct wr_pool *pool, struct wr_str params,
                               const char **err) WR_CHECKED;

/* ---- chaos: in builds with WR_DEBUG=1, on when the environment has WR_CHAOS=seed ---- */
/* Shortens n to a few bytes in one call of four; false: pretend EAGAIN. Without chaos: n, true. */
#if WR_DEBUG
bool wr_chaos_io(size_t *n);
bool wr_chaos(void); /* is it on */
#else
static inline bool wr_chaos_io(size_t *n) { (void)n; return true; }
static inline bool wr_chaos(void) { return false; }
#endif

#endif
