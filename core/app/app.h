/* app: the program: master, workers, keeper and the command line. The highest rank: it may include
 * everything below, and reaches modules only through objs/modules.c.
 *
 * The files, in reading order:
 *   main                  what each command line starts
 *   options, paths        the command line; the paths of files
 *   console               the log and the terminal until the configured log is open
 *   core_conf, core_set   the directives of main and events {}
 *   cycle, temp_folders   load a configuration and make what it needs: zones, temporary folders
 *   sockets, socket_check the listening sockets; whether addresses can be bound
 *   socket_owners, socket_handover
 *                         who accepts on which socket; sockets that change generation or binary
 *   launch                a new generation, from the configuration until it serves
 *   master, signals       the main loop and the end; signal handlers and the master's sleep
 *   supervise, report     fork, reap and restart children; the channel between master and child
 *   verdict, upgrade      weir -s and its answer; the next binary (USR2)
 *   process               slots; rights and limits of a new process
 *   worker, keeper, nat_process
 *                         the kinds of children
 *   daemon, demo          background and pid file; weir --demo
 *
 * The master is one thread that sleeps in ppoll; handlers only set flags. It controls children by
 * signals, as nginx does, and by messages over a channel (see report). */
#ifndef WR_APP_H
#define WR_APP_H

#include "nat/nat.h"

#include <sched.h>
#include <signal.h>

/* ---- options ---- */
struct wr_options {
    const char *program; /* as it was called */
    const char *conf, *prefix, *error_log, *signal, *help_word;
    const char *globals; /* -g: directives in front of those of the file */
    bool test, dump, quiet, version, version_full, help, demo;
};
/* The strings are those of argv. False: the reason was printed. */
bool wr_options_parse(int argc, char **argv, struct wr_options *o) WR_CHECKED;
void wr_options_usage(FILE *out);
void wr_options_version(FILE *out, bool full);
/* True: the build has the module that nginx calls by this word ("stream", "stream_map", ...). */
bool wr_has_module_word(struct wr_str word);

/* ---- paths: absolute paths, from the command line and the defaults of configure ---- */
struct wr_paths {
    const char *prefix;    /* ends with /; the same as home, if that is set */
    const char *conf;
    const char *error_log; /* or "stderr" */
    const char *pid, *lock; /* the defaults; directives may name others */
    const char *home;      /* a private folder, used instead of a prefix that is not writable; or
                            * the folder of the demo, removed when that ends. NULL: neither */
    char cwd[4096];        /* the current directory at start; ends with / */
};
extern struct wr_paths wr_paths;
/* False: the reason was printed. */
bool wr_paths_init(const struct wr_options *o) WR_CHECKED;

/* ---- console: messages to the person who started weir (or asked for a reload) ---- */
/* Opens the log that is used until the configured one is open: -e FILE or the built-in path.
 * Warnings and worse are also written to stderr, as "weir: [emerg] ...". upgrade: if stderr is a
 * log file, everything is written there instead, as whole log lines. */
void wr_console_init(const char *error_log, bool upgrade);
/* Warnings and worse are also written to `to`; NULL: no longer. */
void wr_console_to(FILE *to);
FILE *wr_console_file(void); /* NULL: no console is in use */
/* Use this log, which belongs to a configuration, from now on; NULL: use that of wr_console_init
 * again. Its sinks are borrowed: call this before the log in use is freed. */
void wr_console_use(const struct wr_log *log);
/* The log without the console, for wr_diag_print; NULL: both write to stderr, and the console is
 * enough. */
const struct wr_log *wr_console_log(void);
/* Make stderr the error log's file (/dev/null without one): when weir goes to the background, and
 * after the logs were reopened. */
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
    WR_VEC(cpu_set_t) affinity;   /* of worker i; the last one also for all further workers */
    WR_VEC(struct wr_str) env;    /* NAME or NAME=value */
    /* events */
    uint32_t worker_connections;
    struct wr_networks debug_connection;
};
enum wr_debug_points { WR_DEBUG_NONE, WR_DEBUG_STOP, WR_DEBUG_ABORT };
extern struct wr_module wr_module_core;
const struct wr_core_conf *wr_core_of(const struct wr_conf *c);   /* main */
uid_t wr_log_owner(const struct wr_conf *c); /* the workers' user; -1: the same as ours */
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
/* Set user, uid and gid of c. False: no such user (c->user stays empty) or no such group. */
bool wr_user_find(struct wr_str user, struct wr_str group, struct wr_core_conf *c) WR_CHECKED;
/* Pure: "0101" -> CPUs 0 and 2. False: *bad is the wrong character; 0: too many CPUs. */
bool wr_affinity_parse(struct wr_str mask, cpu_set_t *out, char *bad) WR_CHECKED;
/* Pure: the CPU of this worker when each gets one of `allowed` in turn; -1: `allowed` is empty. */
int wr_affinity_auto(const cpu_set_t *allowed, uint32_t worker);
/* Pure: "modules/ngx_stream_geo_module.so" -> "stream_geo"; empty: the name has another form. */
struct wr_str wr_module_file_word(struct wr_str path);

/* ---- cycle: one generation of the configuration, as the master sees it ---- */
struct wr_child {
    pid_t pid;                    /* 0: not running */
    enum wr_kind kind;
    uint32_t slot, index;
    uint64_t born_ms;
    uint64_t restart_ms;          /* when it is to be restarted; 0: not planned */
    uint32_t deaths;              /* quick ones in a row */
    bool retired;                 /* it was told to end and is not restarted */
    int from_child, to_child;     /* the master reads reports from the one and sends messages over
                                   * the other; -1: closed */
    uint32_t reports;             /* received since the master last asked for one */
    bool ready;                   /* it reported READY */
    bool leaving;                 /* it reported LEAVING: it accepts no more clients */
    uint32_t committed;           /* keeper: the number of its last COMMITTED; 0: none */
    uint32_t unanswered;          /* keeper: ALIVE questions that it has not answered */
    bool asked;                   /* keeper: since then it has not asked for a COMMIT */
    uint64_t ask_ms;              /* when the next such question is sent */
    bool stuck;                   /* it was killed because it did not answer */
};
struct wr_cycle {
    struct wr_conf *conf;
    uint32_t *conf_users;         /* counts the cycles that use conf: two after a rollback */
    uint32_t generation;
    uint32_t workers;
    uint32_t *owner;              /* of each listening socket, by wr_accepting.share */
    _Atomic uint32_t *shared_owner; /* its copy in shared memory, which the workers read */
    _Atomic uint32_t *full;       /* in shared memory, by worker; 1: it accepts no clients now */
    uint32_t nshares;
    struct wr_child *child;       /* workers, then the keeper */
    uint32_t nchildren;
    int nat_fd[2];                /* keeper to nat process; -1: none. The owner's name has `run` */
    uint64_t run;
    bool resumed;                 /* its configuration ran before, in another generation */
    struct wr_cycle *old;         /* the previous generation, while its processes live */
};
/* Load the configuration of wr_paths (or this text, for the demo) and what belongs to it. NULL:
 * the reason was logged, and everything is undone. */
struct wr_cycle *wr_cycle_load(const struct wr_cycle *running, struct wr_str globals);
struct wr_cycle *wr_cycle_load_text(const char *name, struct wr_str text);
/* A new generation with the configuration of c, while the processes of c still finish. */
struct wr_cycle *wr_cycle_again(struct wr_cycle *c);
void wr_cycle_free(struct wr_cycle *c); /* its processes have ended */
int wr_cycle_test(const struct wr_options *o); /* -t, -T: the exit code */

/* ---- sockets ---- */
/* An entry of the owner map: the number of a worker or one of these two, and bits. */
#define WR_OWNER_ALL 0x1fffffffu  /* every worker: a unix socket, which has one descriptor */
#define WR_OWNER_NOBODY 0x1ffffffeu /* no worker yet */
#define WR_OWNER_GONE 0x80000000u /* bit: the address is dropped: accept what waits, then close */
#define WR_OWNER_SLOW 0x40000000u /* bit beside GONE: first let begun handshakes end */
#define WR_OWNER_MOVED 0x20000000u /* bit beside GONE: an overlapping address gets its clients */
#define WR_OWNER_BITS (WR_OWNER_GONE | WR_OWNER_SLOW | WR_OWNER_MOVED)
enum wr_opening { WR_OPENED, WR_IN_USE, WR_FAILED };
/* Probe every new address of the configuration, then bind its first socket. Unless the result is
 * WR_OPENED, everything this call has opened is closed again. WR_FAILED was logged; WR_IN_USE,
 * which may be temporary, was logged only with `tell`. */
enum wr_opening wr_sockets_open(const struct wr_conf *c, bool tell) WR_CHECKED;
/* After WR_IN_USE: log who holds the address, as far as that can be found out: the weir of the pid
 * file pid_path (NULL: not looked at), another weir, or which process. */
void wr_sockets_tell_holder(const struct wr_conf *c, const char *pid_path);
bool wr_sockets_probe(const struct wr_conf *c) WR_CHECKED; /* -t: leaves nothing open */
/* Bind further sockets, as many for each address as c has workers, fill listener->fds, and make the
 * owner map, in which no worker owns anything yet. */
void wr_sockets_share(struct wr_cycle *c);
/* Let all sockets of the configuration listen, with its options. False: the reason was logged. */
bool wr_sockets_listen(const struct wr_conf *c) WR_CHECKED;
void wr_sockets_keep(void); /* the configuration is accepted */
void wr_sockets_undo(void); /* it is refused: close what was bound for it */
/* Close the master's sockets of addresses that `now` does not have (NULL: of all addresses), and
 * mark them as GONE in the owner maps of the cycles before. */
void wr_sockets_drop(const struct wr_cycle *now, struct wr_cycle *before);
/* Call it before the workers of dropped addresses are told to end. Where another address takes
 * over, stop new handshakes on the old sockets now (but not on those of an old binary that goes on
 * serving). */
void wr_sockets_hand_over(void);
/* In a child: close its copies of the sockets that c does not have, because the kernel would go on
 * queueing clients on them. NULL: of all sockets. */
void wr_sockets_keep_only(const struct wr_cycle *c);
void wr_sockets_unsteer(void);     /* in the old binary, when a rollback is over */
/* Close all sockets, and remove the files of unix sockets. others: another binary may serve on
 * those files: keep them, until a call without `others` (a new binary may still fail). */
void wr_sockets_end(bool others);
/* For an upgrade: "listen TYPE FDS ADDR" lines; descriptors survive exec when on. */
void wr_sockets_export(struct wr_text *out);
void wr_sockets_inherit(bool on);
bool wr_sockets_import(struct wr_str line); /* one such line; false: not one, or no socket fits */
/* Pure: the worker that owns this share. The shares of a worker that is away go to the next one;
 * when all are away, each keeps its own. */
uint32_t wr_share_owner(uint32_t share, uint32_t workers, const bool *away);
/* Pure: may this worker accept on a socket of that owner? While the owner is full, the next worker
 * with room accepts; when all are full, each accepts on its own sockets, to refuse the clients. */
bool wr_worker_may_accept(uint32_t owner, uint32_t worker, uint32_t workers, const bool *full);
/* Write the owner map of c from the state of its workers, and ring them. */
void wr_owners_write(struct wr_cycle *c);

/* ---- signals ---- */
struct wr_signals { /* set by handlers, taken by the loops */
    volatile sig_atomic_t hup, usr1, usr2, winch, quit, term, chld, trace;
    volatile pid_t hup_from, usr1_from, usr2_from, winch_from, quit_from, term_from,
        trace_from;
    volatile sig_atomic_t term_signal; /* SIGTERM or SIGINT */
};
extern struct wr_signals wr_signals;
#define WR_SIGTRACE SIGRTMIN /* to a master or worker: log the traces of all live exchanges */
/* Install the handlers. A master blocks its signals except during its sleep; other kinds of process
 * take them at any time. */
void wr_signals_init(enum wr_kind kind);
/* Master: sleep until a signal or a report comes, at most ms; UINT64_MAX: no limit. */
void wr_signals_wait(uint64_t ms);
struct wr_ask {          /* a reload asked for by `weir -s reload` */
    pid_t pid;
    int fd;              /* the number that the pipe for the answer has in that process */
};
bool wr_signals_ask(struct wr_ask *out); /* take one that is not answered yet; false: none */
#define WR_ASK_MAGIC 0x57520000 /* value of the signal: "WR" and a descriptor below 65536 */

/* ---- verdict: sigqueue carries a descriptor number, the answer comes through that pipe ---- */
int wr_signaller(const struct wr_options *o);   /* weir -s WORD: exit code */
enum { WR_EXIT_USAGE = 2, WR_EXIT_NOT_RUNNING = 2 }; /* 1: refused, e.g. a wrong configuration */
struct wr_answer {
    FILE *text;          /* write here what the user is to see */
    char *buf;
    size_t n;
    int fd[8];
    uint32_t nfds;
};
void wr_answer_acknowledge(struct wr_answer *r); /* acknowledge all new requests for a reload */
void wr_answer_begin(struct wr_answer *r);      /* take over next_answer; acknowledge as above */
void wr_answer_end(struct wr_answer *r, bool ok); /* send the text and the verdict to all of them */
void wr_answer_forget(struct wr_answer *r);     /* in a child: the master answers */

/* ---- master ---- */
#define WR_RUN_LAYOUT 3           /* of the run segment: struct wr_run of os.h */
struct wr_master {
    const struct wr_options *options;
    pid_t pid;                    /* our own */
    struct wr_cycle *cycle;       /* the newest; ->old are those before */
    struct wr_cycle *pending;     /* the newest while it does not serve yet, else NULL */
    struct wr_shm_set *shm;       /* holds the run segment */
    bool run_fresh;               /* the run segment is new, not that of an old binary */
    uint32_t half;                /* 0 or 1: our half of the slots; another master has the other */
    uint32_t generation;          /* the last one given out, by any master of this instance */
    char *pid_path;               /* of the pid file that is written; NULL: not yet */
    int pid_fd;                   /* holds the lock of that file */
    pid_t new_binary;             /* the child of an upgrade; 0: none */
    pid_t parent;                 /* the process that started us */
    bool inherited;               /* we are the new binary of an upgrade */
    bool stopped;                 /* SIGWINCH has stopped the workers */
    bool is_up;                   /* the first generation serves, or served */
    int code;                     /* the exit code */
    uint64_t resume_ms;           /* after a failed upgrade: when workers are restarted; 0: never */
    struct wr_answer answer;      /* to the reload in progress; text NULL: there is none */
    struct wr_answer next_answer; /* to those who asked meanwhile */
    uint64_t kill_ms;             /* when children that do not end get SIGKILL; 0: never */
    enum { WR_RUNNING, WR_QUITTING, WR_TERMINATING } going;
};
extern struct wr_master wr_master;
int wr_master_run(struct wr_cycle *c, const struct wr_options *o); /* until the end; exit code */
void wr_master_launched(bool ok); /* called by launch: the generation serves, or is undone */
void wr_master_use_log(const struct wr_cycle *c); /* log where its configuration says */
/* The newest generation that serves, NULL at start. */
static inline struct wr_cycle *wr_running(void)
{
    return wr_master.pending != NULL ? wr_master.pending->old : wr_master.cycle;
}
bool wr_master_segment(void) WR_CHECKED; /* make the run segment, or attach the old binary's */
void wr_refuse_reload(const char *why); /* answer and log it */
void wr_master_free(void);        /* at the end of any process: configurations, caches */

/* ---- report: the messages between the master and a child ---- */
enum wr_message {
    WR_MSG_READY = 1,   /* child: it is initialised and in its loop */
    WR_MSG_FAILED,      /* child: it cannot begin (or commit); the text is the reason */
    WR_MSG_COMMIT,      /* to the keeper: it owns the zones now and must publish them; a number */
    WR_MSG_COMMITTED,   /* keeper: done; the number of that COMMIT */
    WR_MSG_LEAVING,     /* worker: it accepts no more; others may have its sockets */
    WR_MSG_DIED,        /* to the keeper: a process died; it must take back what that held */
    WR_MSG_BELL,        /* to a worker: wr_bell bits as the number */
    WR_MSG_ALIVE,       /* to a keeper: is its loop still turning? And its answer: yes. Number 1: it
                         * is the owner of the zones */
    WR_MSG_DAMAGED,     /* keeper: somebody has written into its zones; COMMIT shall come again */
};
struct wr_report {
    uint32_t message;    /* enum wr_message; but a child may send anything */
    uint32_t number;
    char text[513];      /* ends with a zero byte */
};
struct wr_report_ends {  /* of a child */
    int to_master, from_master;
};
/* Master, before the fork: open the channel. *other is for the child; the master closes it after
 * the fork. False with errno. */
bool wr_report_open(struct wr_child *ch, struct wr_report_ends *other) WR_CHECKED;
void wr_report_ends_close(struct wr_report_ends *ends);
void wr_report_close(struct wr_child *ch);
/* Child: keep its own ends, close those of the master for all children. */
void wr_report_begin(const struct wr_report_ends *own);
void wr_report_send(enum wr_message m, uint32_t number, const char *text); /* child: send it */
/* Child: call handle, from a task of the loop, for each message of the master. False with errno. */
typedef void wr_message_handler(const struct wr_report *r);
bool wr_messages_listen(struct wr_loop *l, wr_message_handler *handle) WR_CHECKED;
/* Master: send it. False: the child is gone, or its queue is full. */
bool wr_child_send(struct wr_child *ch, enum wr_message m, uint32_t number);
/* Master: readable when a child has reported or closed; -1: there was no child yet. */
int wr_reports_fd(void);
typedef void wr_report_handler(struct wr_child *ch, const struct wr_report *r);
void wr_reports_take(wr_report_handler *handle);     /* a bounded number; never waits */

/* ---- launch ---- */
/* Launch takes the cycle over, and calls wr_master_launched with the result, perhaps at once. */
void wr_launch_begin(struct wr_cycle *c);
bool wr_launch_is_pending(void);
void wr_launch_turn(void);
uint64_t wr_launch_next_ms(void);        /* when there is something to do; UINT64_MAX: never */
/* The launch in progress (if any) fails, for this reason: it is undone at the next turn. */
void wr_launch_break(const char *fmt, ...) WR_PRINTF(1, 2);
void wr_launch_abort(const char *why);   /* undo it at once; if it serves already, finish it */
/* master_process off: the same without child processes. Waits until the addresses are free, unless
 * a signal asks to end. False: the reason was logged, or such a signal came. */
bool wr_launch_single(struct wr_cycle *c) WR_CHECKED;
bool wr_launch_has_zones(const struct wr_cycle *c); /* its keeper is to publish the zones */

/* ---- supervise ---- */
bool wr_children_new(struct wr_cycle *c) WR_CHECKED; /* take slots and bells for a generation */
void wr_children_start(struct wr_cycle *c);
void wr_child_reported(struct wr_child *ch, const struct wr_report *r); /* handle one report */
void wr_children_signal(int signo);      /* to the children of all cycles */
void wr_children_retire(struct wr_cycle *c, int signo); /* signal them, restart none */
bool wr_children_are_ready(const struct wr_cycle *c); /* all of them are READY */
bool wr_children_have_left(const struct wr_cycle *c); /* no worker of c or an older one accepts */
void wr_children_bury(void);             /* free generations whose processes have ended */
const char *wr_child_name(const struct wr_child *ch);
struct wr_child *wr_keeper_of(const struct wr_cycle *c); /* NULL: c has no processes */
struct wr_child *wr_nat_of(const struct wr_cycle *c);    /* NULL: it has none */
void wr_child_ring(struct wr_child *ch, uint32_t bits);
void wr_children_ring(uint32_t bits);    /* the workers of all cycles */
/* Let our keeper own the zones again, after the keeper of another master did. */
void wr_children_commit_again(void);
void wr_children_reap(void);
void wr_children_respawn(void);          /* start those whose restart_ms has come */
void wr_children_ask(void);              /* kill keepers that do not answer: they are restarted */
uint64_t wr_children_next_ms(void);      /* when there is something to do; UINT64_MAX: never */
uint32_t wr_children_alive(void);
/* Pure: ms to wait before the next start, after this many quick deaths in a row. */
uint64_t wr_backoff_ms(uint32_t deaths);

/* ---- process ---- */
/* Take a free slot and give it a new doorbell. WR_SLOT_NONE: the reason was logged. */
uint32_t wr_slot_take(enum wr_kind kind, uint32_t generation, uint32_t index);
void wr_slot_ready(uint32_t slot);       /* reset it, before a process starts (again) in it */
void wr_slot_release(uint32_t slot);
/* Raise the soft limit of open files to the hard one. The soft one (often 1024) exists for programs
 * that use select(); a process of weir has a socket for each worker and address. */
void wr_files_raise(void);
/* The number of open files that may be listening sockets; the others are for connections and
 * files. */
uint32_t wr_files_for_listening(void);
void wr_process_begin(enum wr_kind kind, const struct wr_cycle *c, uint32_t slot, uint32_t index);
/* Set limits, priority, rights, working directory and environment. Exits on failure. */
void wr_process_settle(const struct wr_cycle *c);
void wr_process_ready(void);             /* child: it is in its loop; report READY */
/* Child: report FAILED, with everything logged since wr_process_begin, and exit. */
void wr_process_fail(void) WR_NORETURN;

/* ---- children ---- */
void wr_worker_run(struct wr_cycle *c, uint32_t slot, uint32_t index) WR_NORETURN;
int wr_single_run(struct wr_cycle *c);   /* master_process off */
void wr_keeper_run(struct wr_cycle *c, uint32_t slot) WR_NORETURN;
void wr_nat_run(struct wr_cycle *c, uint32_t slot) WR_NORETURN;
bool wr_nat_channel_open(struct wr_cycle *c) WR_CHECKED; /* if it needs one; false with errno */
void wr_nat_channel_close(struct wr_cycle *c);
void wr_nat_channel_keep(const struct wr_cycle *own); /* child: closes what it must not have */
/* Call these hooks of all modules; also for master_process off, where one process does all. */
void wr_keeper_commit(struct wr_conf *c, uint64_t run, bool learn);
void wr_keeper_start(struct wr_conf *c, struct wr_loop *l);
void wr_keeper_stop(void);

/* ---- upgrade ---- */
void wr_upgrade_remember(char **argv);   /* copy it, before titles overwrite it */
const char *wr_command_line(void);       /* for the title */
bool wr_is_new_binary(void);             /* an old binary started us; call before _inherit */
bool wr_upgrade_inherit(void);           /* take over its sockets; false: nobody passed any on */
/* The segments of the old binary's configuration. NULL: there are none, or the layout of its run
 * segment differs, so that its ledgers do not fit our slots. */
struct wr_shm_set *wr_upgrade_shm(void);
struct wr_shm_set *wr_upgrade_run(void); /* its run segment; NULL: none */
void wr_upgrade_start(void);             /* SIGUSR2 */
void wr_upgrade_ended(int status);       /* the new binary has ended */
void wr_upgrade_settled(void);           /* the first generation serves: free what is left over */
void wr_upgrade_move_pid(bool back);     /* rename the old master's pid file, if there is one */
bool wr_old_master_is_alive(void);       /* we are the new binary and the old master still runs */

/* ---- daemon ---- */
bool wr_daemonize(void) WR_CHECKED;      /* the first process waits for wr_daemon_ready */
void wr_daemon_ready(void);
void wr_daemon_forget(void);             /* in a child: only the master may release that process */
/* Write and lock the pid file. The descriptor holds the lock; closing it, or any other descriptor
 * of the same file in this process, releases the lock. -1: the reason was logged. */
int wr_pid_write(const char *path) WR_CHECKED;
struct wr_pid_file {
    pid_t pid;           /* 0: no number */
    bool is_held;        /* that process has the lock, so it is the weir that wrote the file */
    char text[64];       /* its first line */
};
/* Not for a file this process holds. False with errno: it cannot be opened. */
bool wr_pid_read(const char *path, struct wr_pid_file *out) WR_CHECKED;

/* ---- demo ---- */
/* Before wr_paths_init: a demo started by root continues as an ordinary user. False: the reason
 * was printed. */
bool wr_demo_rights(void) WR_CHECKED;
int wr_demo(const struct wr_options *o);
void wr_demo_tell(void);                 /* print what to type, once it runs */

/* ---- temp_folders: for temporary files; they belong to the workers' user ---- */
bool wr_folders_make(const struct wr_conf *c) WR_CHECKED; /* false: the reason was logged */
bool wr_folders_check(const struct wr_conf *c) WR_CHECKED; /* -t: makes nothing */
void wr_folders_undo(void); /* remove those that were made, if they are empty */
void wr_folders_keep(void); /* the configuration is accepted */

#endif
