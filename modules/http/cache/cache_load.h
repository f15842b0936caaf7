/* cache_load: after a start, reads what lies in the folder: in a thread, at bounded speed. Called
 * by the keeper. It removes broken files and temporary ones that a dead process left, and moves
 * files that lie at levels used earlier. The loop's part of a turn is one or two calls for each of
 * at most pace.files files. */
#ifndef WR_CACHE_LOAD_H
#define WR_CACHE_LOAD_H

#include "cache_file.h"

struct wr_cache_pace {            /* as nginx documents loader_*, manager_* and purger_* */
    uint32_t files;               /* at most so many in one turn */
    uint32_t sleep_ms;            /* between two turns */
    uint32_t threshold_ms;        /* a thread works no longer than that in one turn */
};
struct wr_cache_load_conf {
    struct wr_cache_pace pace;
    uint64_t inactive_s;          /* files of another format are removed if unused for so long */
};
struct wr_cache_loaded {          /* a file that was found, valid during the call */
    struct wr_cache_name name;
    const struct wr_cache_object *object;
    uint64_t size;
    uint64_t used_s;              /* the later one of its access and its change, Unix time */
};
struct wr_cache_load_sums {
    uint64_t known, files, bytes; /* known already; taken by `found`, with their cost in bytes */
    uint64_t removed;             /* broken, not wanted, old ones of another format, temporary */
    uint64_t moved, other_format, foreign;
    bool failed;                  /* the folder could not be read, or not to its end; logged */
};
struct wr_cache_load_ops {        /* all called in the loop's thread */
    /* True: the index has an object of that name; its file is not opened. */
    bool (*known)(void *arg, const struct wr_cache_name *name);
    /* False: the object is not wanted (expired, purged, no room in the index): its file is
     * removed. */
    bool (*found)(void *arg, const struct wr_cache_loaded *l);
    /* The end. It may free the loader. */
    void (*done)(void *arg, const struct wr_cache_load_sums *sums);
    /* False: not now, ask again in a second; what was begun waits. NULL: always. */
    bool (*may_work)(void *arg);
};
struct wr_cache_loader;
/* Begins at once. The folder, the threads and arg outlive the loader. */
struct wr_cache_loader *wr_cache_loader_new(struct wr_loop *l, struct wr_threads *t,
                                            struct wr_cache_folder *f,
                                            const struct wr_cache_load_conf *conf,
                                            const struct wr_cache_load_ops *ops, void *arg);
/* At any time, but not from `known` and `found`; before wr_threads_free. NULL is fine. */
void wr_cache_loader_free(struct wr_cache_loader *l);

/* ---- cache_walk: the names of the files in a folder; blocks ---- */
struct wr_cache_walk;
struct wr_cache_place {
    struct wr_cache_name name;
    uint8_t levels[3];            /* where it lies */
};
/* NULL with *why. */
struct wr_cache_walk *wr_cache_walk_new(struct wr_cache_folder *f, struct wr_cache_failure *why);
/* The next file with a name of an object where levels of the marker put it. False: no more. */
bool wr_cache_walk_next(struct wr_cache_walk *w, struct wr_cache_place *out);
/* Files that are no objects by name or place; what failed (call NULL: nothing). */
uint64_t wr_cache_walk_foreign(const struct wr_cache_walk *w);
struct wr_cache_failure wr_cache_walk_failure(const struct wr_cache_walk *w);
void wr_cache_walk_free(struct wr_cache_walk *w); /* NULL is fine */

#endif
