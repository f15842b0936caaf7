/* log: lines for people, and the files they go to.
 *
 * Map: log (lines, levels, context), sink (the files and other places they go to), trusted (how
 * root opens files in folders of others). */
#ifndef WR_LOG_H
#define WR_LOG_H

#include "base/base.h"

/* ---- trusted: files root writes to ---- */
/* As open(), close-on-exec. For root: a symbolic link is followed only if it is root's and only
 * root can write its folder; in a folder that others can write, only regular files with one name
 * are opened, or folders with O_DIRECTORY. -1 with errno; EPERM may mean that these rules refused
 * the path, which is then logged. */
int wr_open_to_write(const char *path, int flags, mode_t mode) WR_CHECKED;
enum wr_log_origin {
    WR_ORIGIN_OURS,           /* only root can write its folder, or the process is not root */
    WR_ORIGIN_NEW,            /* made now, in a folder that others can write */
    WR_ORIGIN_FOUND           /* found in such a folder */
};
/* Opens a log to append to. *made: it was not there, and was made. */
int wr_open_log(const char *path, enum wr_log_origin *origin, bool *made) WR_CHECKED;
/* Opens the folder (O_PATH) of the last component and copies that component to name; if it is a
 * link, it is not followed. */
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
                               * the options of a kind are part of its name */
    const char *path;         /* for messages: name, or what the kind put here */
    int fd;
    int err;                  /* errno of the last failed open */
    enum wr_log_origin origin; /* of a file, when it was opened last */
    bool on_trial;            /* a file this process made, for a configuration not yet accepted */
    unsigned users;
    void *state;              /* owned by the kind */
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
/* For kinds that write to the file at s->path: opens it, also when it is open already. If that
 * fails, the old descriptor stays: better in the old file than nowhere. False: s->err. */
bool wr_sink_open_file(struct wr_sink *s) WR_CHECKED;
void wr_sink_keep_new(void); /* call when the configuration is accepted */
void wr_sink_undo_new(void); /* when it is refused: removes the empty files made for it */
/* On USR1. If owner is not (uid_t)-1, gives the files to this user, except a file that was found in
 * a folder others can write: it may be a file of root that was moved there. */
void wr_sink_reopen_all(uid_t owner);
/* Gives the files just made in folders that others can write. Later they look like found ones. */
void wr_sink_give_new(uid_t owner);
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
/* On (as at start): lines of wr_log_default on stderr are "weir: [emerg] message", without time and
 * process, for the user who starts weir. Off once the configured logs are open. */
void wr_log_startup(bool on);
void wr_log_init(void); /* failed assertions are logged from now on */

/* The connection a line is about: adds "*NUMBER" before and ", client: ..." behind the message. */
struct wr_log_source {
    uint64_t number;                                        /* connection; 0 for none */
    void (*context)(const struct wr_log_source *, struct wr_text *); /* may be NULL */
    bool debug;                                             /* debug_connection matched */
};

/* One line "2026/11/22 23:37:44 [error] 12#12: *3 message (111: Connection refused), client: ..".
 * err is an errno or 0; lines are cut at 2048 bytes; never allocates; keeps errno. Control
 * characters and bytes that are not UTF-8 are written like \x0a, so that bytes from a peer cannot
 * begin a line. */
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
