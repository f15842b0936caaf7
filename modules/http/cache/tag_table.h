/* tag_table: what was purged by tag, by key and by prefix, and when: a stamp for each, which is
 * compared at look-up. So a purge takes constant time, however many objects have the tag, and is
 * true for the next look-up of every process. A key is here if the index (wr_cache_index_purge)
 * does not tell all: of a key with variants, and if its object stays.
 *
 * A stamp is microseconds of Unix time, made unique: each one is greater than all before it in all
 * processes, also when the clock was set back. An object is stamped when its request is sent to the
 * server, a purge when it is made: what was made before the purge is purged, also when it is stored
 * afterwards.
 *
 * When a table is full, the oldest purge is forgotten, and its stamp becomes the floor: objects
 * with tags (or, for keys and prefixes, all objects) made before the floor count as purged. Nothing
 * that was purged revives. The table has a segment of its own, whose size depends on nothing in the
 * configuration: every reload keeps it. */
#ifndef WR_TAG_TABLE_H
#define WR_TAG_TABLE_H

#include "cache_object.h"

#define WR_PURGE_TAGS 65536       /* tags and keys that are remembered */
#define WR_PURGE_PREFIXES 256

struct wr_purges {                /* fields from `head` on are shared */
    int fd;
    struct wr_purge_head *head;
    struct wr_purge_set *sets;
    struct wr_purge_prefix *prefixes;
};
void wr_purges_place(struct wr_purges *p, struct wr_zone *z);

/* The next stamp: for a new object, and for wr_cache_index_purge. Lock-free. */
uint64_t wr_purge_stamp(struct wr_purges *p);
/* A stamp that was found (in a file): later ones are greater. One that is more than a day in the
 * future is not believed: false, drop the object. */
bool wr_purge_saw(struct wr_purges *p, uint64_t us) WR_CHECKED;

uint64_t wr_purge_tag_of(struct wr_str tag); /* its 64-bit hash, the same for ever; never 0 */
uint64_t wr_purge_key_of(struct wr_str key);       /* likewise; it is no tag's */
uint64_t wr_purge_prefix_of(struct wr_str prefix); /* likewise */
/* False: another process has the lock; nothing was purged, try again. */
bool wr_purge_tag(struct wr_purges *p, uint64_t tag_or_key, bool soft) WR_CHECKED;
/* All keys that begin with the prefix; empty: all keys. */
bool wr_purge_prefix(struct wr_purges *p, struct wr_str prefix, bool soft) WR_CHECKED;

enum wr_purged {
    WR_PURGED_NOT,
    WR_PURGED_STALE,              /* soft: may only be served stale */
    WR_PURGED_GONE
};
/* The last purge of any tag or prefix; 0: there was none. An object whose cleared_us (or else
 * created_us) is not less need not be checked. */
uint64_t wr_purge_newest(const struct wr_purges *p);
/* Is the object purged? Lock-free. tags: as wr_cache_object has them (numbers of wr_purge_tag_of).
 * NOT: wr_cache_index_clear it with the value that wr_purge_newest had BEFORE this call. */
enum wr_purged wr_purge_check(const struct wr_purges *p, uint64_t created_us, struct wr_str key,
                              struct wr_str tags);

/* ---- over a restart: one record for each purge that is remembered ---- */
struct wr_purge_record {
    uint64_t hash;                /* of the tag, the key or the prefix */
    uint64_t gone_us, stale_us;   /* last hard and last soft purge; 0: none */
    uint32_t length;              /* of the prefix */
    uint32_t kind;                /* enum wr_purge_kind */
};
enum wr_purge_kind {
    WR_PURGE_TAG, WR_PURGE_PREFIX, WR_PURGE_TAG_FLOOR, WR_PURGE_PREFIX_FLOOR, WR_PURGE_KEY_FLOOR,
    WR_PURGE_KINDS
};
/* The next record from *cursor on (begin with 0); false: no more. */
bool wr_purge_next(const struct wr_purges *p, uint32_t *cursor, struct wr_purge_record *out);
/* Adds what a record says to what is known; false: nonsense, or no lock. */
bool wr_purge_restore(struct wr_purges *p, const struct wr_purge_record *r) WR_CHECKED;

#endif
