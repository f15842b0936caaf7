/* app: the program. Rank 6: knows everything below, and modules only through objs/modules.c.
 *
 * Map, in reading order: main (who does what), options (the command line), places (where files
 * are), console (the log before there is one), core_conf and core_set (main and events
 * directives), folders (of temporary files), cycle (load a configuration, open what it needs),
 * sockets (every listening socket, the owner map), launch (a new generation on its way), master
 * (the main loop, the end), supervise (fork, reap, back-off), report (what master and children
 * say to each other), signals, verdict (weir -s and its answer), upgrade (USR2), process (slots,
 * rights, limits of a new process), worker, keeper, daemon (background, pid file), demo.
 *
 * The master is one thread that sleeps in ppoll; handlers only set flags. Children are told by
 * signals as in nginx, and by the doorbell when the owner map changed. */
#ifndef WR_APP_H
#define WR_APP_H

#include "stream/stream.h"

#include <sched.h>
#include <signal.h>

#define WR_NGINX_VERSION "1.31.5" /* whose behaviour and grammar we follow; $nginx_version */

/* ---- options ---- */
struct wr_options {
    const char *program; /* as it was called */
    const char *conf, *prefix, *error_log, *globals, *signal, *help_word;
    bool test, dump, quiet, version, version_full, help, demo;
};
/* False: the reason was printed. */
bool wr_options_parse(int argc, char **argv, struct wr_options *o) WR_CHECKED;
void wr_options_usage(FILE *out);
void wr_options_version(FILE *out, bool full);
/* Is this one of nginx's module words of this build ("stream", "stream_map", ...)? */
bool wr_module_word(struct wr_str word);

/* ---- places: absolute paths, from the command line and the defaults of configure ---- */
struct wr_places {
    const char *prefix;    /* ends with /; the private folder where there is one */
    const char *conf;
    const char *error_log; /* or "stderr" */
    const char *pid, *lock; /* defaults */
    const char *home;      /* the private folder when the prefix cannot be written, or the demo's,
                            * which is removed at its end; else NULL */
    char cwd[4096];        /* at start, ends with / */
};
extern struct wr_places wr_places;
/* False: the reason was printed. */
bool wr_places_init(const struct wr_options *o) WR_CHECKED;

/* ---- console: messages for the person who started weir (or asked for a reload) ---- */
/* Makes the log of the start: -e FILE or the built-in path, and what is a warning or worse also on
 * stderr as "weir: [emerg] ..."; in an upgrade all of it, as lines of a log, if stderr is one. */
void wr_console_init(const char *error_log, bool upgrade);
/* Warnings and worse also go to `to` until it is taken away with NULL. */
void wr_console_to(FILE *to);
FILE *wr_console_file(void); /* NULL: nobody looks */
/* The log of the configuration takes over (its sinks are borrowed: call before the one in use is
 * freed); NULL: back to that of the start. */
void wr_console_use(const struct wr_log *log);
/* What wr_diag_print should log to: the log without the console; NULL when that is the console. */
const struct wr_log *wr_console_log(void);
/* Standard error follows the error log: for the background, and after the logs were reopened. */
void wr_console_redirect(void);

/* ---- directives ---- */
struct wr_limit {
    uint64_t value;
    bool set;
};
struct wr_core_conf {             /* of wr_module_core: main and events */
    uint32_t worker_processes;    /* auto = cores */
    bool daemon, master_process, pcre_jit;
    struct wr_str pid, lock_file, user, working_directory;
    uid_t uid;                    /* when user is not empty */
    gid_t gid;
    struct wr_limit rlimit_nofile, rlimit_core, shutdown_timeout; /* ms */
    int32_t worker_priority;
    uint32_t debug_points;        /* enum wr_debug_points */
    bool affinity_auto;
    WR_VEC(cpu_set_t) affinity;   /* of worker i mod n; the last serves the rest */
    WR_VEC(struct wr_str) env;    /* NAME or NAME=value */
    /* events */
    uint32_t worker_connections;
    struct wr_networks debug_connection;
};
enum wr_debug_points { WR_DEBUG_NONE, WR_DEBUG_STOP, WR_DEBUG_ABORT };
extern struct wr_module wr_module_core;
const struct wr_core_conf *wr_core_of(const struct wr_conf *c);   /* main */
uid_t wr_log_owner(const struct wr_conf *c); /* the workers' user, if it is another; else -1 */
const struct wr_core_conf *wr_events_of(const struct wr_conf *c); /* events */
#define WR_WORKERS_MAX 500 /* two generations and their keepers fit into the slots */

bool wr_set_events(struct wr_cf *cf, void *conf);
bool wr_set_user(struct wr_cf *cf, void *conf);
bool wr_set_workers(struct wr_cf *cf, void *conf);
bool wr_set_affinity(struct wr_cf *cf, void *conf);
bool wr_set_priority(struct wr_cf *cf, void *conf);
bool wr_set_rlimit(struct wr_cf *cf, void *conf);
bool wr_set_working_directory(struct wr_cf *cf, void *conf);
bool wr_set_shutdown_timeout(struct wr_cf *cf, void *conf);
bool wr_set_env(struct wr_cf *cf, void *conf);
bool wr_set_load_module(struct wr_cf *cf, void *conf);
bool wr_set_use(struct wr_cf *cf, void *conf);
bool wr_set_connections(struct wr_cf *cf, void *conf);
bool wr_set_debug_connection(struct wr_cf *cf, void *conf);
/* Fills user, uid, gid. False: no such user (c->user stays empty) or no such group. */
bool wr_user_find(struct wr_str user, struct wr_str group, struct wr_core_conf *c) WR_CHECKED;
/* Pure: "0101" -> CPUs 0 and 2. False at *bad. */
bool wr_affinity_parse(struct wr_str mask, cpu_set_t *out, char *bad) WR_CHECKED;
/* Pure: the CPU of worker i when each has one of its own, round and round through `allowed`. */
int wr_affinity_auto(const cpu_set_t *allowed, uint32_t worker);
/* Pure: "modules/ngx_stream_geo_module.so" -> "stream_geo"; empty when it is no such name. */
struct wr_str wr_module_file_word(struct wr_str path);
uint32_t wr_cores(void); /* CPUs this process may use */

/* ---- cycle: one generation of the configuration, as the master sees it ---- */
struct wr_child {
    pid_t pid;                    /* 0: not running */
    enum wr_kind kind;
    uint32_t slot, index;
    uint64_t born_ms;
    uint64_t again_ms;            /* when it is started again; 0: not planned */
    uint32_t deaths;              /* quick ones in a row */
    bool retired;                 /* told to go: not replaced */
    int report, tell;             /* the master's ends, -1: none; see report */
    uint32_t words;               /* heard since it was last asked something */
    bool ready;                   /* it said so */
    bool leaving;                 /* it accepts no more */
    uint32_t committed;           /* keeper: the last number it said that of */
    uint32_t asked;               /* keeper: so often whether it is alive, without an answer */
    uint64_t ask_ms;              /* when it is asked next */
    bool stuck;                   /* it was killed because it did not answer */
};
struct wr_cycle {
    struct wr_conf *conf;
    uint32_t *conf_users;         /* cycles that have it: after a rollback there are two */
    uint32_t generation;
    uint32_t workers;
    uint32_t *owner;              /* of sockets, by wr_accepting.share */
    _Atomic uint32_t *owners;     /* the same for the workers, in shared memory */
    _Atomic uint32_t *full;       /* by worker, there too: 1, it takes no clients */
    uint32_t nshares;
    struct wr_child *child;       /* workers, then the keeper */
    uint32_t nchildren;
    bool resumed;                 /* of a configuration that ran before */
    struct wr_cycle *old;         /* the one before, while its processes live */
};
/* Loads from the places (or from text, for the demo). NULL: everything was told and undone. */
struct wr_cycle *wr_cycle_load(const struct wr_cycle *running, struct wr_str globals);
struct wr_cycle *wr_cycle_load_text(const char *name, struct wr_str text);
/* A new generation with the same configuration: the processes of c still finish. */
struct wr_cycle *wr_cycle_again(struct wr_cycle *c);
void wr_cycle_free(struct wr_cycle *c); /* no process may use it any more */
int wr_cycle_test(const struct wr_options *o); /* -t, -T: exit code */

/* ---- sockets ---- */
#define WR_OWNER_GONE 0x80000000u /* bit: the socket goes away, accept what waits, then close */
#define WR_OWNER_SLOW 0x40000000u /* bit: ... but not before a handshake had its time */
#define WR_OWNER_MOVED 0x20000000u /* bit: ... and others listen there on an overlapping address */
#define WR_OWNER_BITS (WR_OWNER_GONE | WR_OWNER_SLOW | WR_OWNER_MOVED)
#define WR_OWNER_ALL 0x1fffffffu  /* one descriptor for all: a unix socket */
#define WR_OWNER_NOBODY 0x1ffffffeu /* not yet */
enum wr_opening { WR_OPENED, WR_IN_USE, WR_FAILED };
/* Every address of the configuration gets its first socket, bound and probed before. If not
 * WR_OPENED, what this call opened is closed, and WR_FAILED was told; WR_IN_USE, which may pass,
 * only with `tell`. */
enum wr_opening wr_sockets_open(const struct wr_conf *c, bool tell) WR_CHECKED;
/* After WR_IN_USE: says whose it is, as far as that can be seen: this weir's (pid_path; NULL: it is
 * not), another one's, or which process it is. */
void wr_sockets_tell_holder(const struct wr_conf *c, const char *pid_path);
bool wr_sockets_probe(const struct wr_conf *c) WR_CHECKED; /* -t: opens nothing */
/* As many sockets for each address as workers, listener->fds, an owner map of nobody. */
void wr_sockets_share(struct wr_cycle *c);
/* All sockets of the configuration listen, with its options. False: told. */
bool wr_sockets_listen(const struct wr_conf *c) WR_CHECKED;
void wr_sockets_keep(void); /* the configuration is accepted */
void wr_sockets_undo(void); /* it is not: closes what was bound for it */
/* Closes the master's sockets of addresses that `now` (NULL: nothing) does not have, and marks
 * them in the owner maps of the cycles before. */
void wr_sockets_drop(const struct wr_cycle *now, struct wr_cycle *before);
/* The workers that accept on what was dropped are about to be told to go: where another address
 * takes over, new handshakes there end now (not those of an old binary that goes on). */
void wr_sockets_part(void);
/* In a child: lets go of its copies of all others, on which nobody would accept. NULL: of all. */
void wr_sockets_keep_only(const struct wr_cycle *c);
void wr_sockets_unsteer(void);     /* the old binary, when a rollback is over */
/* Closes all. The files of unix sockets go, too; but while others may serve there, only at the next
 * call, when there are none any more: a new binary may still fail. */
void wr_sockets_end(bool others);
/* For an upgrade: "listen TYPE FDS ADDR" lines; descriptors survive exec when on. */
void wr_sockets_export(struct wr_text *out);
void wr_sockets_inherit(bool on);
bool wr_sockets_import(struct wr_str line); /* one such line */
/* Pure: who owns share i among n workers of which some are away (bit set). */
uint32_t wr_share_owner(uint32_t share, uint32_t workers, const bool *away);
/* Pure: does a worker accept on what `owner` owns? While that one is full the next with room does;
 * where none has, each has its own, to refuse what comes. */
bool wr_share_serves(uint32_t owner, uint32_t worker, uint32_t workers, const bool *full);
void wr_owners_write(struct wr_cycle *c); /* from the living children; rings the workers */

/* ---- signals ---- */
struct wr_signals { /* set by handlers, taken by the loops */
    volatile sig_atomic_t hup, usr1, usr2, winch, quit, term, chld, trace;
    volatile pid_t hup_from, usr1_from, usr2_from, winch_from, quit_from, term_from,
        trace_from;
    volatile sig_atomic_t term_signal; /* SIGTERM or SIGINT */
};
extern struct wr_signals wr_signals;
#define WR_SIGTRACE SIGRTMIN /* to a master or worker: the rings of what runs go to the log */
/* Of wr_self.kind: the master blocks them but for its sleep, others take them at any time. */
void wr_signals_init(enum wr_kind kind);
/* Master: sleeps until a signal or a child's word; UINT64_MAX: no limit. */
void wr_signals_wait(uint64_t ms);
struct wr_ask {          /* a reload asked for by `weir -s reload` */
    pid_t pid;
    int fd;              /* its pipe, in its descriptor table */
};
bool wr_signals_ask(struct wr_ask *out); /* takes the next one */
#define WR_ASK_MAGIC 0x57520000 /* value of the signal: "WR" and a descriptor below 65536 */

/* ---- verdict: sigqueue carries a descriptor number, the answer comes through that pipe ---- */
int wr_signaller(const struct wr_options *o);   /* weir -s WORD: exit code */
enum { WR_EXIT_USAGE = 2, WR_EXIT_NOT_RUNNING = 2 }; /* 1 is a no: a refused configuration */
struct wr_reply {
    FILE *text;          /* write here; what the user shall see */
    char *buf;
    size_t n;
    int fd[8];
    uint32_t nfds;
};
void wr_reply_hear(struct wr_reply *r);         /* tells all who asked that they will be answered */
void wr_reply_begin(struct wr_reply *r);        /* for those and the ones of reply_next */
void wr_reply_end(struct wr_reply *r, bool ok);
void wr_reply_forget(struct wr_reply *r);       /* in a child: the answer is the master's */

/* ---- master ---- */
#define WR_RUN_LAYOUT 3           /* of the run segment: struct wr_run of os.h */
struct wr_master {
    const struct wr_options *options;
    pid_t pid;                    /* our own */
    struct wr_cycle *cycle;       /* the newest; ->old are those before */
    struct wr_cycle *pending;     /* the newest while it does not serve yet, else NULL */
    struct wr_shm_set *shm;       /* holds the run segment */
    bool run_fresh;               /* not taken up from an old binary */
    uint32_t half;                /* 0 or 1: of the slots; the other is another master's */
    uint32_t generation;          /* last one given out, by any master of this instance */
    char *pid_path;               /* as written; NULL: not yet */
    int pid_fd;                   /* holds its lock */
    pid_t new_binary;             /* child of an upgrade, 0 none */
    pid_t parent;                 /* who started us */
    bool inherited;               /* we are the new binary */
    bool stopped;                 /* WINCH: no workers */
    bool is_up;                   /* the first generation served */
    int code;                     /* of the end */
    uint64_t resume_ms;           /* after a failed upgrade: workers are started again then */
    struct wr_reply reply;        /* of the reload that goes on; text NULL: nobody asked for it */
    struct wr_reply reply_next;   /* those who wait for their turn */
    uint64_t kill_ms;             /* stubborn children get SIGKILL then; 0: never */
    enum { WR_RUNNING, WR_QUITTING, WR_TERMINATING } going;
};
extern struct wr_master wr_master;
int wr_master_run(struct wr_cycle *c, const struct wr_options *o); /* the whole life; exit code */
void wr_master_launched(bool ok); /* launch: the generation serves, or has been undone */
void wr_master_use_log(const struct wr_cycle *c);
/* The newest generation that serves, NULL at start. */
static inline struct wr_cycle *wr_running(void)
{
    return wr_master.pending != NULL ? wr_master.pending->old : wr_master.cycle;
}
bool wr_master_segment(void) WR_CHECKED; /* makes the run segment, or takes up the old binary's */
void wr_refuse_reload(const char *why);
void wr_master_free(void);        /* at the end of any process: configurations, caches */

/* ---- report: what the master and a child say to each other ---- */
enum wr_message {
    WR_MSG_READY = 1,   /* child: stands, in its loop */
    WR_MSG_FAILED,      /* child: cannot begin (or commit); the text says why */
    WR_MSG_COMMIT,      /* master to the keeper: the zones are yours, publish; with a number */
    WR_MSG_COMMITTED,   /* keeper: done, with that number */
    WR_MSG_LEAVING,     /* worker: accepts no more, its sockets are for others */
    WR_MSG_DIED,        /* master to the keeper: a process died, look what it held */
    WR_MSG_BELL,        /* master to a worker: wr_bell bits as the number */
    WR_MSG_ALIVE,       /* master to a keeper: does its loop go round? keeper: it does */
};
struct wr_report {
    uint32_t word;       /* from a child anything may come */
    uint32_t number;
    char text[513];      /* ends with a zero byte */
};
struct wr_report_ends {  /* of a child */
    int mouth, ear;
};
/* Before the fork; *other is for the child, the master closes it then. False: errno. */
bool wr_report_open(struct wr_child *ch, struct wr_report_ends *other) WR_CHECKED;
void wr_report_ends_close(struct wr_report_ends *ends);
void wr_report_close(struct wr_child *ch);
/* Child: keeps its own ends, closes the master's of all. */
void wr_report_begin(const struct wr_report_ends *own);
void wr_report(enum wr_message word, uint32_t number, const char *text); /* child: says it */
/* Child: calls heard, from a task of the loop, for each word of the master. False: errno. */
typedef void wr_report_told(const struct wr_report *r);
bool wr_report_listen(struct wr_loop *l, wr_report_told *heard) WR_CHECKED;
/* Master: false: it is gone, or has not taken what it was told before. */
bool wr_tell_child(struct wr_child *ch, enum wr_message word, uint32_t number);
/* Master: readable when a child said something or closed; -1: there was no child yet. */
int wr_reports_fd(void);
typedef void wr_report_heard(struct wr_child *ch, const struct wr_report *r);
void wr_reports_take(wr_report_heard *heard);        /* a bounded number; never waits */

/* ---- launch ---- */
/* Takes the cycle over; wr_master_launched says what became of it, perhaps at once. */
void wr_launch_begin(struct wr_cycle *c);
bool wr_launch_pending(void);
void wr_launch_turn(void);
uint64_t wr_launch_next_ms(void);        /* when there is something to do; UINT64_MAX: never */
/* It cannot go on, for this reason: undone at the next turn. Nothing when there is none. */
void wr_launch_break(const char *fmt, ...) WR_PRINTF(1, 2);
void wr_launch_abort(const char *why);   /* the same at once */
/* master_process off: all of it but the process; waits for addresses, as long as no signal says to
 * end. False: told. */
bool wr_launch_single(struct wr_cycle *c) WR_CHECKED;
bool wr_launch_has_zones(const struct wr_cycle *c); /* its keeper shall publish the servers */

/* ---- supervise ---- */
bool wr_children_new(struct wr_cycle *c) WR_CHECKED; /* slots and bells for a generation */
void wr_children_start(struct wr_cycle *c);
void wr_children_heard(struct wr_child *ch, const struct wr_report *r); /* notes what it said */
void wr_children_signal(int signo);      /* all of all cycles */
void wr_children_retire(struct wr_cycle *c, int signo); /* not replaced; 0: told later */
bool wr_children_ready(const struct wr_cycle *c); /* all of them said so */
bool wr_children_left(const struct wr_cycle *cycles); /* and those before: no worker accepts */
void wr_children_bury(void);             /* generations whose processes are gone */
const char *wr_child_name(const struct wr_child *ch);
struct wr_child *wr_keeper_of(const struct wr_cycle *c); /* NULL: it has no processes */
void wr_children_leaving(void);          /* some accept no more: others get their sockets */
void wr_child_ring(struct wr_child *ch, uint32_t bits);
void wr_children_ring(uint32_t bits);    /* workers of all cycles */
/* The zones are ours again, after another master's keeper owned them. */
void wr_children_commit_again(void);
void wr_children_reap(void);
void wr_children_respawn(void);          /* those whose time has come */
void wr_children_ask(void);              /* keepers that stopped are killed, to be started again */
uint64_t wr_children_next_ms(void);      /* when there is something to do; UINT64_MAX: never */
uint32_t wr_children_alive(void);
/* Pure: ms to wait before the next start, after this many quick deaths in a row. */
uint64_t wr_backoff_ms(uint32_t deaths);

/* ---- process ---- */
/* With a new bell; the master's own list says which are given out. WR_SLOT_NONE: told. */
uint32_t wr_slot_take(enum wr_kind kind, uint32_t generation, uint32_t index);
void wr_slot_ready(uint32_t slot);       /* before a process starts (again) in it */
void wr_slot_release(uint32_t slot);
/* The soft limit of open files (often 1024) is for programs that use select(). Every process has a
 * socket for each worker and address. */
void wr_files_raise(void);
/* So many of them may be listening sockets; the rest is for connections and files. */
uint32_t wr_files_for_listening(void);
void wr_process_begin(enum wr_kind kind, const struct wr_cycle *c, uint32_t slot, uint32_t index);
/* Limits, priority, rights, working directory, environment; exits on failure. */
void wr_process_settle(const struct wr_cycle *c);
/* Child: stands, in its loop; or ends, and the master hears what was logged since its beginning. */
void wr_process_ready(void);
void wr_process_fail(void) WR_NORETURN;

/* ---- children ---- */
void wr_worker_run(struct wr_cycle *c, uint32_t slot, uint32_t index) WR_NORETURN;
int wr_single_run(struct wr_cycle *c);   /* master_process off */
void wr_keeper_run(struct wr_cycle *c, uint32_t slot) WR_NORETURN;
/* The hooks of all modules; for the only process, which is its own keeper. */
void wr_keeper_commit(struct wr_conf *c, uint64_t run, bool learn);
void wr_keeper_start(struct wr_conf *c, struct wr_loop *l);
void wr_keeper_stop(void);

/* ---- upgrade ---- */
void wr_upgrade_remember(char **argv);   /* before titles overwrite it */
const char *wr_command_line(void);       /* for the title */
bool wr_upgrade_is_one(void);            /* an old binary started us; until wr_upgrade_inherit */
bool wr_upgrade_inherit(void);           /* at start: true when an old binary started us */
/* Segments the old binary's configuration used; NULL when there is none, or its run segment did
 * not fit: ledger rows and slots would not go together. */
struct wr_shm_set *wr_upgrade_shm(void);
struct wr_shm_set *wr_upgrade_run(void); /* the run segment likewise */
void wr_upgrade_start(void);             /* USR2 */
void wr_upgrade_ended(int status);       /* the new binary is gone */
void wr_upgrade_settled(void);           /* the first generation holds what it uses */
void wr_upgrade_move_pid(bool back);     /* the old master's file; nothing when there is none */
bool wr_upgrade_old_lives(void);         /* we are new and the old master still runs */

/* ---- daemon ---- */
bool wr_daemonize(void) WR_CHECKED;      /* the starter waits for wr_daemon_ready */
void wr_daemon_ready(void);
void wr_daemon_forget(void);             /* in a child: the starter waits for the master's word */
/* Writes and locks it. A descriptor that keeps the lock until it is closed, as does any other of
 * the same file; -1: told. */
int wr_pid_write(const char *path) WR_CHECKED;
struct wr_pid_file {
    pid_t pid;           /* 0: no number */
    bool is_held;        /* its process has the lock: it is the weir that wrote it */
    char text[64];       /* its first line */
};
/* Not for a file this process holds. False with errno: it cannot be opened. */
bool wr_pid_read(const char *path, struct wr_pid_file *out) WR_CHECKED;

/* ---- demo ---- */
/* Before the places are looked for: a demo of root's goes on as an ordinary user. False: told. */
bool wr_demo_rights(void) WR_CHECKED;
int wr_demo(const struct wr_options *o);
void wr_demo_tell(void);                 /* once it runs */

/* ---- folders: of temporary files, made and given to the workers' user; false: said why ---- */
bool wr_folders_make(const struct wr_conf *c);
bool wr_folders_check(const struct wr_conf *c) WR_CHECKED; /* -t: makes nothing */
void wr_folders_undo(void); /* removes those that were made, if they are empty */
void wr_folders_keep(void); /* the configuration is accepted */

#endif
