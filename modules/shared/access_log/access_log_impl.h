/* access_log_impl: what the files of this module know of each other. Nobody else includes it.
 *
 * access_log.c (the module, the LOG hook), access_log_conf.c (the directive), access_log_target.c
 * (what it names, once each), access_log_format.c (log_format), access_log_file.c (a buffered file
 * as log sink), access_log_cache.c (files whose names have variables). */
#ifndef WR_ACCESS_LOG_H
#define WR_ACCESS_LOG_H

#include "text/text.h"

/* ---- formats ---- */
struct wr_log_format;
struct wr_log_formats { /* of one configuration: by name, for each layer */
    struct wr_dict *l4, *l7;
};
void wr_log_formats_init(struct wr_pool *pool, struct wr_log_formats *f);
/* "combined" is known at layer 7 without a log_format; it is compiled when first asked for. NULL:
 * unknown, or (found again and again) it could not be compiled and an error was reported. */
const struct wr_log_format *wr_log_format_find(struct wr_cf *cf, struct wr_log_formats *f,
                                               struct wr_str name);
bool wr_log_format_define(struct wr_cf *cf, struct wr_log_formats *f) WR_CHECKED;
/* One line without its line feed; what does not fit is cut. */
void wr_log_format_line(struct wr_exchange *x, const struct wr_log_format *f, struct wr_text *out);

/* ---- files ---- */
struct wr_log_file_opts {
    size_t buffer;       /* 0: written when the loop would sleep, at the latest after 1 s */
    uint64_t flush_ms;   /* with buffer: how long a line may wait; 0: until the buffer is full */
    int gzip;            /* 0 off, or the level */
};
/* Opens (creates) the file, or finds it open with these options already. NULL with errno. Release
 * with wr_sink_release, which writes what waits. */
struct wr_sink *wr_log_file_open(const char *path, const struct wr_log_file_opts *o) WR_CHECKED;
/* In each worker: from now on lines wait in buffers and the loop has them written. Before that each
 * line is written at once. */
void wr_log_files_use(struct wr_loop *l);
/* Before the loop goes: writes what waits; from now on nothing waits any more. */
void wr_log_files_end(void);
/* Writes everything or reports why not, at most once a second: *quiet_until is wall ms. Right after
 * a full disk nothing is tried until then. */
void wr_log_write(int fd, const char *name, struct wr_str text, uint64_t *quiet_until, bool *full);

/* ---- files whose names have variables ---- */
struct wr_log_cache_opts {
    uint32_t max, min_uses;
    uint64_t inactive_ms, valid_ms;
};
struct wr_log_cache;
struct wr_log_cache *wr_log_cache_new(struct wr_pool *pool, const struct wr_log_cache_opts *o);
/* cache NULL: opened, written, closed. */
void wr_log_path_write(struct wr_log_cache *cache, const char *path, struct wr_str line);

/* ---- the configuration ---- */
/* A file or syslog server; all lines that name it share it. */
struct wr_access_log_target {
    struct wr_str path;
    struct wr_log_file_opts o;
    struct wr_sink *sink;
    const struct wr_node *node;   /* the first that named it */
};
/* One `access_log` line. */
struct wr_access_log_line {
    const struct wr_log_format *format;
    struct wr_template *condition; /* NULL: always */
    struct wr_access_log_target *target; /* NULL: the path has variables */
    struct wr_template *path;
    uint32_t climbs;               /* ".." the administrator wrote in the path */
};
struct wr_access_log {
    WR_VEC(struct wr_access_log_line) entries;
    bool set, off;
    struct wr_log_cache *cache;    /* NULL: off */
};
struct wr_access_logs {
    struct wr_log_formats formats;
    struct wr_dict *by_path;
    WR_VEC(struct wr_access_log_target *) targets;
    struct wr_access_log_line default_http; /* format NULL: nobody needs it */
};

extern struct wr_module wr_module_access_log;
bool wr_set_access_log(struct wr_cf *cf, void *conf);
/* How many components of a path are "..". */
uint32_t wr_path_climbs(struct wr_str path);
/* The target of this path; a line without buffer= takes the file as the others have it. False: an
 * error was reported. */
bool wr_access_log_target_find(struct wr_cf *cf, struct wr_str path,
                               const struct wr_log_file_opts *o,
                               struct wr_access_log_target **out) WR_CHECKED;
bool wr_access_log_target_open(struct wr_cf *cf, struct wr_access_log_target *t) WR_CHECKED;
/* An http server without a word about it logs to the access log of ./configure. */
bool wr_access_log_default(struct wr_cf *cf, struct wr_access_logs *all) WR_CHECKED;

#endif
