/* log: lines for people, and the files they go to.
 *
 * Map: log (lines, levels, context), sink (the files and other places they go to), trusted (how
 * root opens files in folders of others). */
#ifndef WR_LOG_H
#define WR_LOG_H

#include "base/base.h"

/* ---- trusted: files root writes to ---- */
/* As open(), close-on-exec. For root: a symbolic link is followed only if it is root's and only
 * root can write its folder; in a folder that others can write only regular files with one name are
 * opened (but with O_DIRECTORY). -1 with errno; EPERM: refused by that, which is logged. */
int wr_open_to_write(const char *path, int flags, mode_t mode) WR_CHECKED;
/* A log to append to, made if it is not there. */
enum wr_log_origin {
    WR_ORIGIN_OURS,           /* only root can write its folder */
    WR_ORIGIN_NEW,            /* made now, where others can write */
    WR_ORIGIN_FOUND           /* it was there */
};
/* *made: it was not there. */
int wr_open_log(const char *path, enum wr_log_origin *origin, bool *made) WR_CHECKED;
/* The folder (O_PATH) of the last component, which is not followed and copied to name. */
int wr_folder_to_write(const char *path, char name[static NAME_MAX + 1]) WR_CHECKED;

/* ---- log ---- */
#define WR_LEVELS(X) \
    X(EMERG, "emerg") X(ALERT, "alert") X(CRIT, "crit") X(ERROR, "error") X(WARN, "warn") \
    X(NOTICE, "notice") X(INFO, "info") X(DEBUG, "debug")
enum wr_level {
#define X(id, text) WR_LOG_##id,
    WR_LEVELS(X)
#undef X
    WR_LOG_LEVELS
};
const char *wr_level_name(enum wr_level l);
bool wr_level_parse(struct wr_str s, enum wr_level *out) WR_CHECKED; /* debug_* words: see log.c */

/* A place log bytes go to: opened once per name, shared by all who name it, reopened on USR1.
 * Kinds: file, stderr, memory (a ring shown in a core dump), syslog (os/syslog.c). */
struct wr_sink;
struct wr_sink_ops {
    bool (*open)(struct wr_sink *s);                    /* also used to open again */
    void (*write)(struct wr_sink *s, enum wr_level level, struct wr_str line);
    void (*close)(struct wr_sink *s);
};
struct wr_sink {
    const struct wr_sink_ops *ops;
    struct wr_link link;
    char *name;               /* the file path, or "stderr", "memory:32k", "syslog:server=...";
                               * kinds with options of their own have them in it */
    const char *path;         /* for messages: name, or what the kind put here */
    int fd;
    int err;                  /* errno of the last failed open */
    enum wr_log_origin origin; /* of files: when it was opened */
    bool on_trial;            /* a file this process made, for a configuration not yet accepted */
    unsigned users;
    void *state;              /* of the kind */
    uint64_t quiet_until;     /* wall ms; a failed write is reported at most once a second */
};
/* Finds or makes the sink. On failure NULL with errno set. `path` is absolute, "stderr" or
 * "memory:SIZE". Other kinds register with wr_sink_add. */
struct wr_sink *wr_sink_open(const char *path) WR_CHECKED;
/* A new sink of another kind; no sink has this name yet. ops->open (may be NULL) is called; when it
 * fails the sink exists all the same, with `err` set, and write may try again. */
struct wr_sink *wr_sink_add(const char *name, const struct wr_sink_ops *ops, void *state);
struct wr_sink *wr_sink_find(const char *name); /* takes no reference; NULL when there is none */
void wr_sink_release(struct wr_sink *s);
/* For kinds that write to the file at s->path: opens it, again too. The old descriptor stays until
 * the new one is there: better in the old file than nowhere. False: s->err. */
bool wr_sink_open_file(struct wr_sink *s) WR_CHECKED;
void wr_sink_keep_new(void); /* the configuration is accepted */
void wr_sink_undo_new(void); /* it is not: files made for it go, if they are empty */
/* USR1; owner != (uid_t)-1: files are given to this user, but those that stood in a folder of
 * others: they may be files of root that were moved there. */
void wr_sink_reopen_all(uid_t owner);
void wr_sink_give_new(uid_t owner); /* the new ones in folders of others; later nobody knows */
extern struct wr_sink wr_sink_stderr; /* never released */
/* A whole line with its line feed. The level matters to syslog only; access logs pass WR_LOG_LEVELS
 * (no level of their own), which means the severity named in the configuration. */
static inline void wr_sink_write(struct wr_sink *s, enum wr_level l, struct wr_str line)
{
    s->ops->write(s, l, line);
}

struct wr_log {
    enum wr_level max;        /* of all targets: the cheap test */
    uint32_t n;
    struct {
        struct wr_sink *sink;
        enum wr_level level;
    } target[8];
};
extern struct wr_log *wr_log_default; /* stderr until the configuration names one; never NULL */
/* On (as at start): what wr_log_default says to stderr is "weir: [emerg] message", without time and
 * process, for the eyes of who starts weir. Off once the configured logs are open. */
void wr_log_startup(bool on);
void wr_log_init(void); /* failed assertions are logged from now on */

/* Who speaks: adds "*NUMBER" before and ", client: ..." behind the message. */
struct wr_log_source {
    uint64_t number;                                        /* connection; 0 for none */
    void (*context)(const struct wr_log_source *, struct wr_text *); /* may be NULL */
    bool debug;                                             /* debug_connection matched */
};

/* One line "2026/11/22 23:37:44 [error] 12#12: *3 message (111: Connection refused), client: ..".
 * err is an errno or 0; lines are cut at 2048 bytes; never allocates; keeps errno. Bytes below 0x20
 * are written as \x0a, so that nobody outside can begin a line. */
void wr_log_put(const struct wr_log *log, enum wr_level l, int err,
                const struct wr_log_source *src, const char *fmt, ...) WR_PRINTF(5, 6);
static inline bool wr_log_on(const struct wr_log *log, enum wr_level l,
                             const struct wr_log_source *src)
{
    return wr_unlikely(l <= log->max || (src != NULL && src->debug));
}
#define wr_log(log, level, err, src, ...)                        \
    do {                                                         \
        if (wr_log_on((log), (level), (src)))                    \
            wr_log_put((log), (level), (err), (src), __VA_ARGS__); \
    } while (0)
/* With the process log and no source. */
#define wr_say(level, err, ...) wr_log(wr_log_default, (level), (err), NULL, __VA_ARGS__)

#endif
