/* cache_evict: keeps a folder within max_size and min_free, and removes what was not used for
 * `inactive` or was purged. Called by the keeper. The loop takes names out of the index, threads
 * remove their files. */
#ifndef WR_CACHE_EVICT_H
#define WR_CACHE_EVICT_H

#include "cache_load.h"

struct wr_cache_victim {
    struct wr_cache_name name;
    uint64_t created_us;          /* only this object is removed; 0: any of that name */
    uint64_t cost;                /* bytes it was counted as */
};
enum wr_cache_wanted {
    WR_CACHE_OUTDATED,            /* one that nobody used for `inactive`, or that was purged */
    WR_CACHE_OLDEST               /* the least recently used one, whatever it is */
};
struct wr_cache_evict_ops {       /* all called in the loop's thread; short */
    uint64_t (*bytes)(void *arg); /* counted in the index now */
    /* Takes an object out of the index; it is not found from now on. False: there is none. */
    bool (*take)(void *arg, enum wr_cache_wanted why, struct wr_cache_victim *out);
    /* removed: its file is gone. Else it stays: the disk failed (logged), or it is that of another
     * object by now. NULL: nobody wants to know. */
    void (*gone)(void *arg, const struct wr_cache_victim *v, bool removed);
};
struct wr_cache_evict_conf {
    uint64_t max_size;            /* bytes; UINT64_MAX: no limit */
    uint64_t min_free;            /* bytes of the file system; 0: no limit */
    struct wr_cache_pace pace;
};
struct wr_cache_evictor;
/* Looks twice a second, and every pace.sleep_ms while there is something to remove. The folder, the
 * threads and arg outlive the evictor. */
struct wr_cache_evictor *wr_cache_evictor_new(struct wr_loop *l, struct wr_threads *t,
                                              struct wr_cache_folder *f,
                                              const struct wr_cache_evict_conf *conf,
                                              const struct wr_cache_evict_ops *ops, void *arg);
void wr_cache_evictor_wake(struct wr_cache_evictor *e); /* something was purged: look now */
/* At any time, but not from ops; before wr_threads_free. NULL is fine. */
void wr_cache_evictor_free(struct wr_cache_evictor *e);

/* Pure: how many bytes are too many. free_now: UINT64_MAX: not known. */
uint64_t wr_cache_excess(const struct wr_cache_evict_conf *c, uint64_t counted, uint64_t free_now);

#endif
