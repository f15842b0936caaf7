/* cache_entry: what an entry of the index is, and the changes of a shard that cache_index and
 * cache_change share. Private to them. */
#ifndef WR_CACHE_ENTRY_H
#define WR_CACHE_ENTRY_H

#include "cache_holder.h"
#include "cache_index.h"

#define WR_CACHE_CHAIN_MAX 32      /* entries of a bucket: one on average, more are damage */

struct wr_cache_shard {
    _Atomic uint32_t busy;         /* a holder of the lock changes it, or died doing so */
    _Atomic uint32_t fresh;        /* entries that were ever used */
    _Atomic uint32_t free;         /* those that are free again, linked by `chain`; 0: none */
    _Atomic uint32_t hand;         /* where the search for the least recently used one goes on */
    _Atomic uint64_t entries, pages; /* counts: entries in use, pages of files */
    _Atomic uint64_t memory;       /* bytes of objects in memory; changed without the lock, too */
    _Atomic uint64_t floor_us;     /* purges of dropped entries: nothing older is stored */
};
_Static_assert(sizeof(struct wr_cache_shard) <= 64, "a cache line");

/* In use: the generation is even and not 0. It is odd while the entry changes and while it is free.
 * `leader`, `filling` and `updating` change without it, and so do uses, used_ms, cleared_us, user,
 * and memory_number, which anybody may replace by 0. */
struct wr_cache_entry {
    _Atomic uint32_t generation;
    _Atomic uint32_t chain;        /* the next entry of the bucket + 1; 0: none */
    _Atomic uint64_t name[2];
    _Atomic uint64_t used_ms;
    _Atomic uint32_t uses;
    _Atomic uint32_t flags;
    _Atomic uint64_t created_us, purged_us, cleared_us;
    _Atomic uint64_t memory_number;
    _Atomic uint32_t memory_at, memory_size;
    _Atomic uint64_t leader, updating; /* holder << 32 | when it began, in ms; 0: nobody */
    _Atomic uint64_t filling_number;
    _Atomic uint32_t filling_at;
    _Atomic uint32_t pages;        /* of its file */
    _Atomic uint64_t user;
};
_Static_assert(sizeof(struct wr_cache_entry) + sizeof(uint32_t) == WR_CACHE_ENTRY_BYTES,
               "an entry and its bucket");

struct wr_cache_place {            /* of a name */
    uint64_t name[2];
    uint32_t shard, bucket;
};
struct wr_cache_place wr_cache_place_of(struct wr_cache_index *ix,
                                        const struct wr_cache_name *name);
/* Copies entry `at`. False: it is free or changes. */
bool wr_cache_entry_copy(const struct wr_cache_index *ix, uint32_t at, struct wr_cache_view *v);
/* The same for the process that has it open. */
void wr_cache_entry_read(const struct wr_cache_index *ix, uint32_t at, struct wr_cache_view *v);

/* ---- under the lock of a shard ---- */
/* again: the caller comes again if this fails. */
bool wr_cache_shard_lock(struct wr_cache_index *ix, uint32_t shard, bool again) WR_CHECKED;
void wr_cache_shard_unlock(struct wr_cache_index *ix, uint32_t shard);
/* The entry of that name; NULL: none. */
struct wr_cache_entry *wr_cache_shard_find(struct wr_cache_index *ix,
                                           const struct wr_cache_place *p);
/* An entry that nobody sees yet, with its name and nothing else. NULL: there is no room, and
 * nothing that may be dropped. Complete it, then wr_cache_shard_link it. */
struct wr_cache_entry *wr_cache_shard_new(struct wr_cache_index *ix,
                                          const struct wr_cache_place *p);
void wr_cache_shard_link(struct wr_cache_index *ix, const struct wr_cache_place *p,
                         struct wr_cache_entry *e);
/* Removes the entry. False: it has a leader meanwhile, and stays. */
bool wr_cache_shard_drop(struct wr_cache_index *ix, uint32_t shard, struct wr_cache_entry *e);
/* Counts what is there; if that differs from what was counted, mends all chains. */
void wr_cache_shard_check(struct wr_cache_index *ix, uint32_t shard);

/* Between these two, readers pass over the entry; a process that dies there leaves it to be
 * dropped. Under the lock; or by the leader of the entry, without. Open fails while another one of
 * these has it open, which takes a moment, or for ever if that one was stopped there. */
bool wr_cache_entry_open(struct wr_cache_entry *e) WR_CHECKED;
/* An entry that nobody else can have: one that is free, or that is dropped. */
static inline void wr_cache_entry_seize(struct wr_cache_entry *e)
{
    WR_WRITE(e->generation, WR_READ(e->generation) | 1);
    atomic_thread_fence(memory_order_seq_cst);
}
static inline void wr_cache_entry_close(struct wr_cache_entry *e)
{
    uint32_t g = (WR_READ(e->generation) | 1) + 1;

    atomic_store_explicit(&e->generation, g != 0 ? g : 2, memory_order_release);
}
static inline bool wr_cache_entry_in_use(const struct wr_cache_entry *e)
{
    uint32_t g = WR_READ(e->generation);

    return (g & 1) == 0 && g != 0;
}
/* Without an object: pages and bytes in memory are no longer counted. */
void wr_cache_entry_clear_object(struct wr_cache_index *ix, uint32_t shard,
                                 struct wr_cache_entry *e);
static inline uint32_t wr_cache_entry_number(const struct wr_cache_index *ix,
                                             const struct wr_cache_entry *e)
{
    return (uint32_t)(e - ix->entry);
}

/* ---- leaders ---- */
/* Each process reads the clock once a turn, so another one's times may be ahead of wr_now() by as
 * much as a turn takes on a busy machine. What is further ahead is damage. */
#define WR_CACHE_AHEAD_MS 60000
uint64_t wr_cache_leader_me(void);
static inline uint32_t wr_cache_leader_age(uint64_t leader) /* ms */
{
    uint32_t age = (uint32_t)wr_now() - (uint32_t)leader;

    return (uint32_t)-age <= WR_CACHE_AHEAD_MS ? 0 : age;
}
/* The time of a use as it counts: damage must not keep an entry for ever. */
static inline uint64_t wr_cache_used_ms(uint64_t used_ms)
{
    return used_ms <= wr_now() + WR_CACHE_AHEAD_MS ? used_ms : 0;
}
/* Is it none: nobody, dead, or older than age_ms (0: no limit)? */
bool wr_cache_leader_is_over(uint64_t leader, uint64_t age_ms);

#endif
