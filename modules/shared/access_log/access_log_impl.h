/* access_log_impl: shared by the files of this module only.
 *
 *   access_log.c         the module, the LOG hook
 *   access_log_conf.c    the access_log directive
 *   access_log_target.c  the files and syslog servers it names, each once
 *   access_log_format.c  log_format
 *   access_log_file.c    a buffered file as a log sink
 *   access_log_cache.c   files whose names have variables */
#ifndef WR_ACCESS_LOG_IMPL_H
#define WR_ACCESS_LOG_IMPL_H

#include "text/text.h"

/* ---- formats ---- */
struct wr_log_format;
struct wr_log_formats { /* of one configuration: by name, for each layer */
    struct wr_dict *l4, *l7;
};
void wr_log_formats_init(struct wr_pool *pool, struct wr_log_formats *f);
/* "combined" exists at layer 7 without a log_format; it is compiled at its first use. NULL: there
 * is no such format, or "combined" could not be compiled and an error was reported. */
const struct wr_log_format *wr_log_format_find(struct wr_cf *cf, struct wr_log_formats *f,
                                               struct wr_str name);
bool wr_log_format_define(struct wr_cf *cf, struct wr_log_formats *f) WR_CHECKED;
/* Write one line, without a line feed, and cut it to what fits into out. */
void wr_log_format_line(struct wr_exchange *x, const struct wr_log_format *f, struct wr_text *out);

/* ---- files ---- */
struct wr_log_file_opts {
    size_t buffer;       /* 0: written when the loop would sleep, at the latest after 1 s */
    uint64_t flush_ms;   /* with buffer: how long a line may wait; 0: until the buffer is full */
    int gzip;            /* 0 off, or the level */
};
/* Open or create the file; a file that is already open with these options is shared. NULL with
 * errno. Release it with wr_sink_release, which writes the buffered lines. */
struct wr_sink *wr_log_file_open(const char *path, const struct wr_log_file_opts *o) WR_CHECKED;
/* In each worker: buffer lines from now on, and write them from the loop. Before this call each
 * line is written at once. */
void wr_log_files_use(struct wr_loop *l);
/* Before the loop is freed: write the buffered lines; from now on each line is written at once. */
void wr_log_files_end(void);
/* Write all of text. Errors are logged at most once a second: the next one from *quiet_until on
 * (wall clock in ms). While *full (the disk was full), nothing is written until then. */
void wr_log_write(int fd, const char *name, struct wr_str text, uint64_t *quiet_until, bool *full);

/* ---- files whose names have variables ---- */
struct wr_log_cache_opts {
    uint32_t max, min_uses;
    uint64_t inactive_ms, valid_ms;
};
struct wr_log_cache;
struct wr_log_cache *wr_log_cache_new(struct wr_pool *pool, const struct wr_log_cache_opts *o);
/* cache NULL: open the file, write the line and close it. */
void wr_log_path_write(struct wr_log_cache *cache, const char *path, struct wr_str line);

/* ---- the configuration ---- */
/* A file or syslog server, shared by all access_log lines that name it. */
struct wr_access_log_target {
    struct wr_str path;
    struct wr_log_file_opts o;
    struct wr_sink *sink;
    const struct wr_node *node;   /* the first line that names it */
};
/* One `access_log` line. */
struct wr_access_log_line {
    const struct wr_log_format *format;
    struct wr_template *condition; /* NULL: always */
    struct wr_access_log_target *target; /* NULL: the path has variables */
    struct wr_template *path;
    uint32_t climbs;               /* how many ".." the path has as configured */
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
    struct wr_access_log_line default_http; /* format NULL: it is not needed */
};

extern struct wr_module wr_module_access_log;
bool wr_set_access_log(struct wr_cf *cf, void *conf);
/* The number of components of a path that are "..". */
uint32_t wr_path_climbs(struct wr_str path);
/* The target of this path. A line without buffer= uses the file with the options of other lines.
 * False: an error was reported. */
bool wr_access_log_target_find(struct wr_cf *cf, struct wr_str path,
                               const struct wr_log_file_opts *o,
                               struct wr_access_log_target **out) WR_CHECKED;
bool wr_access_log_target_open(struct wr_cf *cf, struct wr_access_log_target *t) WR_CHECKED;
/* http servers without an access_log directive write to the default file of ./configure. */
bool wr_access_log_default(struct wr_cf *cf, struct wr_access_logs *all) WR_CHECKED;

#endif
