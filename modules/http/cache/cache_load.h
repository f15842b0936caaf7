/* cache_load: after a start, reads what lies in the folder: in a thread, at bounded speed. Called
 * by the keeper. It removes broken files and temporary ones that a dead process left, and moves
 * files that lie at levels used earlier. The loop's part of a turn is one call for each file. */
#ifndef WR_CACHE_LOAD_H
#define WR_CACHE_LOAD_H

#include "cache_file.h"

struct wr_cache_pace {            /* as nginx documents loader_*, manager_* and purger_* */
    uint32_t files;               /* at most so many in one turn */
    uint32_t sleep_ms;            /* between two turns */
    uint32_t threshold_ms;        /* longest turn */
};
struct wr_cache_loaded {          /* a file that was found */
    struct wr_cache_name name;
    const struct wr_cache_object *object; /* valid during the call */
    uint64_t size;
    uint64_t used_s;              /* the later one of its access and its change, Unix time */
};
struct wr_cache_load_sums {
    uint64_t files, bytes;        /* taken by `found` or known; bytes by wr_cache_file_cost */
    uint64_t removed, moved, other_format, foreign; /* files */
    uint64_t ms;
};
struct wr_cache_load_ops {        /* all called in the loop's thread */
    /* True: the index has the object of that name; its file is not opened. NULL: none is known. */
    bool (*known)(void *arg, const struct wr_cache_name *name);
    /* False: the object is not wanted (expired, purged, no room in the index): its file is
     * removed. */
    bool (*found)(void *arg, const struct wr_cache_loaded *l);
    /* The whole folder was read, or could not be (logged). */
    void (*done)(void *arg, const struct wr_cache_load_sums *sums);
};
struct wr_cache_loader;
/* The folder, the threads and arg outlive the loader. */
struct wr_cache_loader *wr_cache_loader_new(struct wr_loop *l, struct wr_threads *t,
                                            struct wr_cache_folder *f,
                                            const struct wr_cache_pace *pace,
                                            const struct wr_cache_load_ops *ops, void *arg);
bool wr_cache_loader_busy(const struct wr_cache_loader *l);
void wr_cache_loader_free(struct wr_cache_loader *l); /* at any time; before wr_threads_free */

#endif
