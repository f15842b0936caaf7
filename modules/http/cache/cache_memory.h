/* cache_memory: the memory tier: whole objects in memory that all processes share. It knows nothing
 * of what the bytes are. An object is a list of extents of at most 16 KB; one of at most 16 KB is a
 * single extent. Workers fill and read; whoever needs room evicts what was not used for long.
 *
 *   fill:   wr_cache_fill_new, wr_cache_fill_add ..., wr_cache_fill_finish; then
 *           wr_cache_index_store or _set_memory with the ref; then wr_cache_fill_end in any case
 *   read:   wr_cache_memory_copy for what fits an extent, else wr_cache_pin_take, parts, drop
 *   follow: wr_cache_pin_take of view.filling; wr_cache_pin_filled tells how many bytes are there
 *
 * Bytes that are pinned, or are being filled by a living process, are used for nothing else,
 * however long it takes: a reader's pin is a word in shared memory with the number of the object.
 * What a dead process filled or pinned is free again: its slot in `run` tells that it is dead. No
 * locks, no system calls but a look at the lock of a slot that stands in the way. Belongs to the
 * thread of the loop. */
#ifndef WR_CACHE_MEMORY_H
#define WR_CACHE_MEMORY_H

#include "cache_index.h"

#define WR_CACHE_EXTENT 16384     /* bytes of an extent at most */
#define WR_CACHE_PARTS 16         /* an object of at most 1/16 of the tier is kept */

struct wr_cache_memory {          /* private fields first, shared ones from `head` on */
    uint32_t blocks;              /* capacity; 0: there is no tier */
    struct wr_cache_index *ix;
    struct wr_cache_own *own;     /* blocks that this process fills; made at the first fill */
    struct wr_cache_pins *pins;   /* of this process; made at the first one */
    struct wr_cache_tier *head;
    struct wr_cache_block *block;
    struct wr_cache_extent *extent;
    char *bytes;
    struct wr_cache_pin_row *rows;
};
/* Takes the next parts of z, `bytes` of them for objects (0: no tier), and a little more. */
void wr_cache_memory_place(struct wr_cache_memory *m, struct wr_zone *z, size_t bytes,
                           struct wr_cache_index *ix);
void wr_cache_memory_end(struct wr_cache_memory *m); /* nothing is pinned or filled any more */
size_t wr_cache_memory_most(const struct wr_cache_memory *m); /* bytes of an object at most */

/* ---- fill ---- */
struct wr_cache_fill;             /* malloced; wr_cache_fill_end frees it */
/* size: of the whole object; SIZE_MAX: not known. NULL: it is too large, or there is no room, as
 * everything is pinned or in use. */
struct wr_cache_fill *wr_cache_fill_new(struct wr_cache_memory *m, size_t size);
/* Appends; readers see the bytes when it returns. False: it became too large or there is no room:
 * what was appended before stays readable, end the fill. The caller rings followers. */
bool wr_cache_fill_add(struct wr_cache_fill *f, struct wr_str bytes) WR_CHECKED;
/* To append without a copy: *p gets the place of at most the returned number of bytes, at least 1;
 * 0 as above. Then tell how many were written. */
size_t wr_cache_fill_room(struct wr_cache_fill *f, char **p);
void wr_cache_fill_wrote(struct wr_cache_fill *f, size_t n);
/* Overwrites bytes that were appended, before the object is finished (lengths in its head). */
void wr_cache_fill_patch(struct wr_cache_fill *f, size_t at, struct wr_str bytes);
/* The bytes that others may follow: for wr_cache_index_show. */
struct wr_cache_ref wr_cache_fill_ref(const struct wr_cache_fill *f);
/* The object is whole. The ref is for the index. */
struct wr_cache_ref wr_cache_fill_finish(struct wr_cache_fill *f);
/* Frees f. The bytes stay if the index has them; else they are free as soon as nobody reads them,
 * and followers find them broken unless the object was finished. */
void wr_cache_fill_end(struct wr_cache_fill *f);

/* ---- read ---- */
static inline bool wr_cache_memory_is_small(const struct wr_cache_ref *r)
{
    return r->size <= WR_CACHE_EXTENT;
}
/* Copies v->memory, a small one, to `out`, which has room for its size. False: it is gone, as if it
 * had not been found. */
bool wr_cache_memory_copy(const struct wr_cache_memory *m, const struct wr_cache_view *v,
                          char *out) WR_CHECKED;

struct wr_cache_pinned {          /* zero: nothing is pinned */
    struct wr_cache_memory *m;
    struct wr_cache_ref ref;
    uint32_t pin;
};
/* Pins v->memory, or v->filling. False: it is gone, or too much is pinned in this process (1024
 * objects): as if it had not been found. */
bool wr_cache_pin_take(struct wr_cache_memory *m, const struct wr_cache_view *v, bool filling,
                       struct wr_cache_pinned *p) WR_CHECKED;
void wr_cache_pin_drop(struct wr_cache_pinned *p); /* idempotent */
enum wr_cache_filled { WR_CACHE_FILLING, WR_CACHE_FILLED, WR_CACHE_FILL_BROKEN };
/* *n: how many bytes are there. BROKEN: no more will come (the caller has looked at whether the
 * leader lives: wr_cache_index_find). */
enum wr_cache_filled wr_cache_pin_filled(const struct wr_cache_pinned *p, uint64_t *n);
struct wr_cache_at { uint32_t cell; uint64_t begins; }; /* zero: the beginning */
/* The bytes from `offset` on that lie together, at most `most`; *hint makes reading in order fast.
 * Empty: there are none (yet), or the memory was damaged. Valid until the pin is dropped. */
struct wr_str wr_cache_pin_part(const struct wr_cache_pinned *p, struct wr_cache_at *hint,
                                uint64_t offset, size_t most);

void wr_cache_pins_end(struct wr_cache_memory *m); /* part of wr_cache_memory_end */

/* ---- keeper ---- */
/* The pins of a dead process. */
void wr_cache_memory_clear(struct wr_cache_memory *m, uint32_t process);

#endif
