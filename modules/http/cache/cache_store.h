/* cache_store: the shared memory of one proxy_cache_path: the index, a word that tells whether it
 * is complete, and the memory tier in a segment "cache/NAME", the purges in a segment
 * "cache-purges/NAME".
 *
 * Reload with the same sizes, and USR2: everything goes on. With another keys_zone or memory size:
 * the purges go on, index and memory begin anew, and the keeper copies what the old segment has
 * (wr_cache_store_copy) while requests are served. The old generation uses the old segment until it
 * ends. */
#ifndef WR_CACHE_STORE_H
#define WR_CACHE_STORE_H

#include "cache_memory.h"
#include "tag_table.h"

struct wr_cache_store {
    struct wr_cache_index index;
    struct wr_cache_memory memory;
    struct wr_cache_waits waits;
    struct wr_purges purges;
    _Atomic uint32_t *loaded;     /* shared: the index has all files of the folder */
    struct wr_shm *previous;      /* held; NULL: there is nothing to copy */
    uint32_t copied;              /* cursor of wr_cache_store_copy */
};
/* Called while the configuration is loaded, by the master, which reads and writes nothing there.
 * keys, memory: bytes; memory may be 0. False with errno. */
bool wr_cache_store_open(struct wr_cache_store *s, struct wr_conf *conf, struct wr_str name,
                         size_t keys, size_t memory) WR_CHECKED;
/* Keeper, after a reload with other sizes: copies the next entries, with their objects in memory,
 * that the new segment lacks; when all are copied and the old generation has ended, gives the
 * memory back. True: all that is done. False: call it again, in a while. */
bool wr_cache_store_copy(struct wr_cache_store *s);
void wr_cache_store_end(struct wr_cache_store *s); /* before the loop of this process is freed */
/* Keeper: a process is dead (the lock of its slot is held by the caller: wr_ledger_sweep). */
void wr_cache_store_clear(struct wr_cache_store *s, uint32_t process);

#endif
