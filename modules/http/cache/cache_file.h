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
    const char *const *inside;    /* names of temporary folders of the configuration that lie in it,
                                   * NULL behind the last one; NULL: there are none */
    _Atomic int fd;               /* of the folder; -1: not opened yet. Once open the number stays,
                                   * also when the path leads to another folder */
    _Atomic uint64_t checked_ms;  /* when the path was last seen to lead to it */
    _Atomic bool in_memory;       /* a tmpfs: reading never waits, though the system cannot tell */
    _Atomic bool no_nameless;     /* the file system has no O_TMPFILE, or there is no /proc */
    struct {                      /* the loop's thread only */
        uint64_t quiet_ms;        /* the next failure is logged then */
        uint32_t failures;        /* since the last one that was logged */
    } log;
};
void wr_cache_folder_init(struct wr_cache_folder *f, const char *path,
                          const uint8_t levels[static 3]);
void wr_cache_folder_close(struct wr_cache_folder *f); /* no job uses it any more */

/* Is the folder weir's, or empty but for those `inside`, or not there yet? Called while the
 * configuration is loaded, also by root: opens and creates no file in it. NULL, or what is wrong in
 * words for wr_cf_error, in the pool. Blocks. */
const char *wr_cache_folder_check(struct wr_pool *pool, const char *path,
                                  const char *const *inside) WR_CHECKED;

/* A failure, for the log of the loop's thread. */
struct wr_cache_failure {
    const char *call;             /* "open()"; NULL: nothing did */
    int err;
};
/* Opens the folder unless it is open, makes the marker and adds our levels to it. Looks once a
 * second whether the path leads to another folder by now (removed and made again, mounted over).
 * Returns the descriptor, which the folder keeps; -1 with *why. Blocks. */
int wr_cache_folder_open(struct wr_cache_folder *f, struct wr_cache_failure *why) WR_CHECKED;
/* The same at once, after a failure. True: it leads to another one, try once more. Blocks. */
bool wr_cache_folder_again(struct wr_cache_folder *f, struct wr_cache_failure *why) WR_CHECKED;
/* Logs a failure, one line a minute for each folder. */
void wr_cache_folder_failed(struct wr_cache_folder *f, const struct wr_cache_failure *why);
/* The levels that the marker names, at most `max`, ours first; returns how many. Blocks. */
uint32_t wr_cache_folder_levels(struct wr_cache_folder *f, uint8_t (*out)[3], uint32_t max);
/* Free bytes of the file system, for users that are not root; UINT64_MAX: not known. Blocks. */
uint64_t wr_cache_folder_free(struct wr_cache_folder *f);

/* Opens the object's file for reading. With `warm`, only as far as the kernel has the path in
 * memory, else -1 with EAGAIN: then it does not block. -1 with errno. */
int wr_cache_file_open(struct wr_cache_folder *f, const struct wr_cache_name *name, bool warm);
enum wr_cache_removed { WR_CACHE_GONE, WR_CACHE_KEPT, WR_CACHE_NOT_REMOVED };
/* Removes the object's file. created_us: only the object made then, 0: any. GONE: there is no such
 * file (any more). KEPT: it is another object's, or does not begin like one of ours. NOT_REMOVED:
 * *why. Blocks. */
enum wr_cache_removed wr_cache_file_remove(struct wr_cache_folder *f,
                                           const struct wr_cache_name *name, uint64_t created_us,
                                           struct wr_cache_failure *why);
/* The bytes that a file of that size is counted as: whole pages. */
static inline uint64_t wr_cache_file_cost(uint64_t size)
{
    return (size + 4095) / 4096 * 4096;
}

/* ---- cache_temp: files on their way to a name; for cache_*.c ---- */
struct wr_cache_temp {            /* a file on its way to its name */
    int fd;                       /* -1: none */
    char name[40];                /* in WR_CACHE_TEMP; "": it has none */
};
/* All block; false with *why. */
bool wr_cache_temp_open(struct wr_cache_folder *f, struct wr_cache_temp *t,
                        struct wr_cache_failure *why) WR_CHECKED;
/* Gives it the name, in place of the file that had it, and closes it. */
bool wr_cache_temp_place(struct wr_cache_folder *f, struct wr_cache_temp *t,
                         const struct wr_cache_name *name, struct wr_cache_failure *why) WR_CHECKED;
void wr_cache_temp_drop(struct wr_cache_folder *f, struct wr_cache_temp *t); /* idempotent */
/* Removes temporary files of dead processes; returns how many. */
uint32_t wr_cache_temp_clean(struct wr_cache_folder *f);
/* Copies n bytes between files; false with errno, EIO when `from` is too short. */
bool wr_cache_copy(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t n) WR_CHECKED;

/* ---- cache_head ---- */
/* The beginning of a file, read and judged. */
struct wr_cache_head {
    enum wr_cache_decoded is;     /* WHOLE: the size of the file is right, too */
    struct wr_cache_object object; /* views into bytes */
    char *bytes;                  /* malloced; free it in any case */
    size_t n;                     /* read: all before the body, and often some of it */
    uint64_t size;                /* of the file */
    uint64_t used_s;              /* the later one of its access and its change, Unix time */
};
/* warm: only what is in memory, else EAGAIN: then it does not block. False with errno: the disk
 * failed, or fd is no regular file (EINVAL). */
bool wr_cache_head_read(int fd, bool warm, struct wr_cache_head *h) WR_CHECKED;

/* ---- cache_file, for other cache_*.c ---- */
/* As openat() below the folder, following no link anywhere. */
int wr_cache_open_below(int folder, const char *path, int flags, bool warm);
/* The folder that the name's file lies in, as O_PATH; made if need be. -1 with errno. */
int wr_cache_open_parent(struct wr_cache_folder *f, const struct wr_cache_name *name, bool make);

#endif
