/* access_log: what the files of this module know of each other. Nobody else includes it.
 *
 * access_log.c (directives, the LOG hook), access_log_format.c (log_format), access_log_file.c (a
 * buffered file as log sink), access_log_cache.c (files whose names have variables). */
#ifndef WR_ACCESS_LOG_H
#define WR_ACCESS_LOG_H

#include "exchange/exchange.h"

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
    size_t buffer;       /* 0: lines are written when the loop would sleep, at the latest after 1 s */
    uint64_t flush_ms;   /* with buffer: how long a line may wait; 0: until the buffer is full */
    int gzip;            /* 0 off, or the level */
};
/* Opens (creates) the file, or finds it open with these options already. NULL with errno. Release
 * with wr_sink_release, which writes what waits. */
struct wr_sink *wr_log_file_open(const char *path, const struct wr_log_file_opts *o) WR_CHECKED;
/* In each worker: from now on lines wait in buffers and the loop has them written. Before that each
 * line is written at once. */
void wr_log_files_use(struct wr_loop *l);
void wr_log_files_flush(void); /* all of this process */
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

#endif
