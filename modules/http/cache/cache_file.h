/* cache_file: the folder of a proxy_cache_path, and the files in it by name. Everything below the
 * folder is opened relative to it, links are not followed, and only files that begin like an object
 * of weir are removed. The writer, the reader, the loader and the evictor use it; the functions
 * whose comment says so block, and run in threads.
 *
 * The folder has a file ".weir-cache". Without it the folder is used only if it is empty: so
 * `proxy_cache_path /var/www` removes nothing. It names the levels in use, now and before, as the
 * loader moves files from the old ones. */
#ifndef WR_CACHE_FILE_H
#define WR_CACHE_FILE_H

#include "cache_object.h"

#define WR_CACHE_MARKER ".weir-cache"
#define WR_CACHE_TEMP "tmp"       /* folder of files that get their name by renaming */

/* One folder in this process. Made with the configuration; opened by the first job that needs it.
 * The fields are read in threads, and changed by the functions of this file only. */
struct wr_cache_folder {
    const char *path;
    uint8_t levels[3];            /* digits of each folder; 0: no further one */
    const char *temp_path;        /* where files are written at first, a folder elsewhere; NULL: in
                                   * the folder itself */
    _Atomic int fd;               /* of the folder; -1: not opened yet. Once open the number stays,
                                   * also when the path leads to another folder */
    bool no_nameless;             /* the file system has no O_TMPFILE */
    struct {                      /* the loop's thread only */
        uint64_t quiet_ms;        /* the next failure is logged then */
        uint32_t failures;        /* since the last one that was logged */
    } log;
};
void wr_cache_folder_init(struct wr_cache_folder *f, const char *path,
                          const uint8_t levels[static 3], const char *temp_path);
void wr_cache_folder_close(struct wr_cache_folder *f); /* no job uses it any more */

/* Is the folder weir's, or empty, or not there yet? Called while the configuration is loaded, also
 * by root: opens and creates no file in it. NULL, or what is wrong in words for wr_cf_error, in the
 * pool. Blocks. */
const char *wr_cache_folder_check(struct wr_pool *pool, const char *path) WR_CHECKED;

/* What failed, for the log of the loop's thread. */
struct wr_cache_failure {
    const char *call;             /* "open()"; NULL: nothing did */
    int err;
};
/* Opens the folder unless it is open, makes the marker and adds our levels to it. Returns the
 * descriptor, which the folder keeps; -1 with *why. Blocks. */
int wr_cache_folder_open(struct wr_cache_folder *f, struct wr_cache_failure *why) WR_CHECKED;
/* After ENOENT: the path may lead to another folder by now. True: it does, try once more. Blocks. */
bool wr_cache_folder_again(struct wr_cache_folder *f, struct wr_cache_failure *why) WR_CHECKED;
/* Logs a failure, one line a minute for each folder. */
void wr_cache_folder_failed(struct wr_cache_folder *f, const struct wr_cache_failure *why);
/* The levels that the marker names, at most `max`, ours first; returns how many. Blocks. */
uint32_t wr_cache_folder_levels(struct wr_cache_folder *f, uint8_t (*out)[3], uint32_t max);
/* Writes the marker anew with our levels only: no file lies at others any more. Blocks. */
bool wr_cache_folder_settle(struct wr_cache_folder *f, struct wr_cache_failure *why);
/* Free bytes of the file system, for users that are not root; UINT64_MAX: not known. Blocks. */
uint64_t wr_cache_folder_free(struct wr_cache_folder *f);

/* Opens the object's file for reading. With `warm`, only as far as the kernel has the path in memory,
 * else -1 with EAGAIN: then it does not block. -1 with errno. */
int wr_cache_file_open(struct wr_cache_folder *f, const struct wr_cache_name *name, bool warm);
enum wr_cache_removed { WR_CACHE_GONE, WR_CACHE_KEPT, WR_CACHE_NOT_REMOVED };
/* Removes the object's file. created_us: only the object made then, 0: any. KEPT: it is another
 * one, or does not begin like an object of ours. NOT_REMOVED: *why. Blocks. */
enum wr_cache_removed wr_cache_file_remove(struct wr_cache_folder *f,
                                           const struct wr_cache_name *name, uint64_t created_us,
                                           struct wr_cache_failure *why);
/* The bytes that a file of that size is counted as: whole pages. */
static inline uint64_t wr_cache_file_cost(uint64_t size)
{
    return (size + 4095) / 4096 * 4096;
}

#endif
