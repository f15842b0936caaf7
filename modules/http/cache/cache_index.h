/* cache_index: which replies are stored, and where: one entry for each name, in memory that all
 * processes share. Workers of every generation look up, lead, store and purge; the keeper loads,
 * walks and evicts. An entry has no bytes of a reply: those are in files (cache_file) and in the
 * memory tier (cache_memory).
 *
 * A look-up takes no lock and makes no system call. Changes run under a lock of the kernel for the
 * entry's part of the table (a shard), for microseconds; one that does not get it within 3 ms
 * fails: the holder does not run just now. The caller comes again in a while, or goes on without.
 * All functions belong to the thread of the loop: the locks
 * exclude processes, not threads. Whatever another process wrote, and wherever one died: an entry
 * is found as it was stored, or it is not found.
 *
 * Times: *_ms are monotonic (wr_now()), *_us are stamps of wr_purge_stamp (tag_table.h). Bytes are
 * bytes. `name` is borrowed, views are copies. */
#ifndef WR_CACHE_INDEX_H
#define WR_CACHE_INDEX_H

#include "cache_object.h"
#include "cache_wait.h"

/* Bytes of keys_zone for one entry, with all that belongs to it: 8000 entries a megabyte and more,
 * as nginx documents. */
#define WR_CACHE_ENTRY_BYTES 124

/* Bytes in the memory tier; an object that is replaced has another number. */
struct wr_cache_ref {
    uint64_t number;              /* 0: there are none */
    uint32_t at, size;            /* where the memory tier has them, and how many there are */
};

struct wr_cache_view {            /* a copy of an entry */
    struct wr_cache_name name;
    uint32_t at;                  /* where it is; for this file */
    uint32_t uses;                /* requests since the entry was made, as far as counted */
    uint32_t flags;               /* the caller's, of the stored object */
    uint64_t used_ms;             /* when it was last used, to a second */
    uint64_t created_us;          /* of the stored object; 0: nothing is stored */
    uint64_t purged_us;           /* objects made up to then are not to be stored or served; 0 */
    uint64_t cleared_us;          /* purges up to then do not concern the object: see tag_table.h */
    uint64_t disk;                /* bytes of its file as counted; 0: there is none (yet) */
    uint64_t user;                /* the caller's, of the entry: kept while the entry lives */
    struct wr_cache_ref memory;   /* the whole object */
    struct wr_cache_ref filling;  /* what the leader has received so far; size is 0 */
    uint64_t leader, updating;    /* who fills it, who refreshes it; 0: nobody. For this file */
};

/* Fields from `shared_seed` on are shared, all before them private. */
struct wr_cache_index {
    int fd;                       /* of the segment, for its locks */
    uint32_t shards, each;        /* how many shards, and how many entries each one has */
    uint64_t seed;                /* of the buckets; 0: not read yet */
    uint64_t waited_ms;           /* when it last waited in vain for the lock of a shard */
    struct wr_cache_waits *waits; /* rung when an entry changes */
    /* An entry that had a file was dropped, since the index is full or was mended: its file is to
     * be removed, if it is the one made at v->created_us. Of v only that, name and disk are set.
     * Called under the lock of a shard: only note it. NULL: nobody wants to know. */
    void (*dropped)(void *arg, const struct wr_cache_view *v);
    void *dropped_arg;
    uint32_t cells;               /* of the memory tier; 0: there is none */
    _Atomic uint64_t *shared_seed;
    struct wr_cache_shard *shard;
    _Atomic uint32_t *bucket;     /* as many as entries, shard by shard, like the entries */
    struct wr_cache_entry *entry;
    _Atomic uint32_t *owner;      /* of each cell of the memory tier in which an object begins: the
                                   * entry that refers to it */
};
#define WR_CACHE_PAGE 4096        /* files are counted in these */
struct wr_cache_totals { uint64_t entries, disk, memory; }; /* disk, memory: bytes */

/* Takes the next parts of z, `bytes` of them at most. */
void wr_cache_index_place(struct wr_cache_index *ix, struct wr_zone *z, size_t bytes);

/* ---- look-up ---- */
/* The entry of that name; false: there is none, or it is being changed just now. An entry without
 * an object (created_us 0) is found, too: it counts uses, has a leader, or was purged. */
bool wr_cache_index_find(struct wr_cache_index *ix, const struct wr_cache_name *name,
                         struct wr_cache_view *v);
/* True: the object of v is still the entry's. Ask after bytes were copied from memory. */
bool wr_cache_index_holds(const struct wr_cache_index *ix, const struct wr_cache_view *v);
/* Counts a use, and remembers its time. */
void wr_cache_index_touch(struct wr_cache_index *ix, const struct wr_cache_view *v);
/* Purges up to `us` were looked at and do not concern the object. */
void wr_cache_index_clear(struct wr_cache_index *ix, const struct wr_cache_view *v, uint64_t us);
void wr_cache_index_set_user(struct wr_cache_index *ix, const struct wr_cache_view *v,
                             uint64_t user);

/* ---- who fills ---- */
enum wr_cache_led {
    WR_CACHE_LEADS,               /* the caller does: wr_cache_index_lead_end must follow */
    WR_CACHE_FOLLOWS,             /* another one is, or another exchange of this process */
    WR_CACHE_LEAD_BUSY,           /* no lock: ask again in a moment, or go on uncached */
    WR_CACHE_NO_LEADER            /* no room: go on uncached */
};
/* Becomes the leader of the name, makes its entry if there is none, and counts a use if it makes
 * one. A leader that is dead, or leads for longer than age_ms (0: no limit), is none. *v is what
 * was found; for a leader it is the token of the calls below. To wait for another leader:
 * wr_cache_wait_begin FIRST, then lead: FOLLOWS means sleep (cache_wait.h). */
enum wr_cache_led wr_cache_index_lead(struct wr_cache_index *ix, const struct wr_cache_name *name,
                                      uint64_t age_ms, struct wr_cache_view *v);
/* False: it took too long, and another one leads. */
bool wr_cache_index_leads(const struct wr_cache_index *ix, const struct wr_cache_view *v);
/* The leader shows what it fills (cache_memory.h): others may read it from now on. Rings. */
void wr_cache_index_show(struct wr_cache_index *ix, const struct wr_cache_view *v,
                         const struct wr_cache_ref *filling);
/* The end, whatever it was: stored before, not cacheable, failed. All waiters are rung and look
 * again. Nothing happens if another one leads by now. */
void wr_cache_index_lead_end(struct wr_cache_index *ix, const struct wr_cache_view *v);
uint32_t wr_cache_index_leader_slot(const struct wr_cache_view *v); /* WR_SLOT_NONE: unknown */
uint64_t wr_cache_index_leader_ms(const struct wr_cache_view *v);   /* how long it leads */

/* The same for the refresh of a stale object in the background, beside the leader. False: another
 * one does it. On true v is the token of the end. */
bool wr_cache_index_update(struct wr_cache_index *ix, struct wr_cache_view *v, uint64_t age_ms);
void wr_cache_index_update_end(struct wr_cache_index *ix, const struct wr_cache_view *v);

/* ---- changes ---- */
struct wr_cache_stored {          /* of a new object */
    uint64_t created_us;
    bool loaded;                  /* it is a file that was there before, not a reply of just now */
    uint64_t used_ms;             /* 0: now */
    uint64_t disk;                /* bytes; 0: its file is not there yet */
    struct wr_cache_ref memory;   /* number 0: not in memory. The index owns the bytes if it returns
                                   * true, else the caller still does */
    uint32_t flags;
};
/* Makes the object the one of its name; makes the entry if there is none. False: the name was
 * purged since created_us, there is a younger object, or no room; or with errno EAGAIN: whoever
 * changes this part of the index does not run just now, come again in a while. Rings. */
bool wr_cache_index_store(struct wr_cache_index *ix, const struct wr_cache_name *name,
                          const struct wr_cache_stored *s);
/* The same by the leader, with its token: without a lock, if neither the old nor the new object has
 * a file. */
bool wr_cache_index_store_led(struct wr_cache_index *ix, const struct wr_cache_view *led,
                              const struct wr_cache_stored *s);
/* The object made at created_us is on the disk (bytes > 0) or no longer (0). False: it is not the
 * one of its name by now (the file is to be removed); or errno is EAGAIN, as above. */
bool wr_cache_index_set_disk(struct wr_cache_index *ix, const struct wr_cache_name *name,
                             uint64_t created_us, uint64_t bytes);
/* As above, in memory; number 0: no longer. The index owns the bytes on true. */
bool wr_cache_index_set_memory(struct wr_cache_index *ix, const struct wr_cache_name *name,
                               uint64_t created_us, const struct wr_cache_ref *memory);
/* Removes the object if it is the one made at created_us (0: an entry without one), and the entry
 * unless somebody leads. Its file is the caller's affair; *v (may be NULL) is what it was. */
bool wr_cache_index_remove(struct wr_cache_index *ix, const struct wr_cache_name *name,
                           uint64_t created_us, struct wr_cache_view *v);
/* Objects of that name made up to `us` are purged, also those that are being filled. soft: what is
 * stored stays, but purged_us tells that it is stale. *v (may be NULL) is what it was; false: there
 * is no lock, nothing was purged. */
bool wr_cache_index_purge(struct wr_cache_index *ix, const struct wr_cache_name *name, uint64_t us,
                          bool soft, struct wr_cache_view *v);

/* ---- keeper ---- */
/* Calls fn (may be NULL) for those of the next n entries that are in use, also without an object,
 * and moves *cursor on; begin with 0. True: that was the last part. fn may change the index.
 * Leaders and updaters that are dead are cleared on the way, and the counts are compared. */
bool wr_cache_index_walk(struct wr_cache_index *ix, uint32_t *cursor, uint32_t n,
                         void (*fn)(void *arg, const struct wr_cache_view *v), void *arg);
/* Removes the least recently used object that has a file and was last used before before_ms; of 256
 * entries at random if there is room for more than 8000. False: there is none among them. The
 * caller removes the file. */
bool wr_cache_index_take(struct wr_cache_index *ix, uint64_t before_ms, struct wr_cache_view *v);
/* Counts of all entries; exact but for changes under way. */
struct wr_cache_totals wr_cache_index_totals(const struct wr_cache_index *ix);

/* ---- for the memory tier ---- */
/* Does entry `at` refer to the object of that number? When was it last used? */
bool wr_cache_index_refers(const struct wr_cache_index *ix, uint32_t at, uint64_t number,
                           uint64_t *used_ms);
/* Is it what entry `at` has in memory, or what is being filled for it? */
bool wr_cache_index_has(const struct wr_cache_index *ix, uint32_t at, uint64_t number);
/* The entry gives up its object in memory. False: no lock, or it has another by now. */
bool wr_cache_index_evict(struct wr_cache_index *ix, uint32_t at, uint64_t number);

#endif
