/* cache_tier: how the memory tier lies in shared memory. Private to cache_memory, cache_pin,
 * cache_block and cache_fill.
 *
 * The tier is blocks of 16 KB, a block is 32 cells. An extent is neighbouring cells of one block;
 * an object is one extent, or several that fill their blocks and a last one. What belongs to a cell
 * lies in arrays beside the cells. */
#ifndef WR_CACHE_TIER_H
#define WR_CACHE_TIER_H

#include "cache_holder.h"
#include "cache_memory.h"

#define WR_CACHE_CELL 512
#define WR_CACHE_CELLS 32          /* of a block */
#define WR_CACHE_PINS 1024         /* of a process */
#define WR_CACHE_OBJECT_MOST ((1U << 30) - 1) /* bytes: `filled` has 30 bits */

struct wr_cache_tier {
    _Atomic uint64_t number;       /* of the object that was begun last */
    _Atomic uint32_t fresh, hand;  /* blocks that were ever used; the next one to look at */
    _Atomic uint64_t used[WR_SLOTS / 64]; /* processes that ever pinned something */
    _Atomic uint32_t top[WR_SLOTS]; /* pins of each process from the first to the last in use */
};
struct wr_cache_pin_row {
    _Atomic uint64_t number[WR_CACHE_PINS]; /* of objects that a process reads; 0: none */
};
/* A block has an owner while a process fills cells of it; only the owner changes `used`. So no
 * process, stopped or slow, ever writes into cells that are another one's. */
struct wr_cache_block {
    _Atomic uint32_t owner;        /* cache_holder; 0: nobody */
    _Atomic uint32_t used;         /* a bit for each cell */
    _Atomic uint32_t visited_ms;   /* when somebody looked for room here; 0: never */
};
struct wr_cache_extent {           /* of the cell in which an extent begins */
    _Atomic uint64_t number;       /* of the object; 0: no extent begins here */
    _Atomic uint32_t first;        /* the object's first cell */
    _Atomic uint32_t next;         /* the object's next extent: its cell + 1; 0: the last one */
    _Atomic uint32_t bytes;        /* in this extent so far */
    _Atomic uint32_t filled;       /* first extent: enum wr_cache_filled << 30 | bytes of all */
};

static inline char *wr_cache_cell(const struct wr_cache_memory *m, uint32_t cell)
{
    return m->bytes + (size_t)cell * WR_CACHE_CELL;
}
static inline uint32_t wr_cache_cells(const struct wr_cache_memory *m)
{
    return m->blocks * WR_CACHE_CELLS;
}
static inline uint32_t wr_cache_cells_for(uint32_t bytes)
{
    return (bytes + WR_CACHE_CELL - 1) / WR_CACHE_CELL;
}
static inline uint32_t wr_cache_bits(uint32_t n) /* n <= 32 */
{
    return n >= WR_CACHE_CELLS ? UINT32_MAX : (1U << n) - 1;
}

/* ---- pins ---- */
/* The numbers that are pinned by any process now, sorted. False: the rows are damaged; take all for
 * pinned. */
struct wr_cache_pinned_now {
    uint64_t *number;
    uint32_t n, room;
};
bool wr_cache_pinned_read(const struct wr_cache_memory *m, struct wr_cache_pinned_now *p);
bool wr_cache_pinned_has(const struct wr_cache_pinned_now *p, uint64_t number);

/* ---- blocks ---- */
struct wr_cache_room {             /* a block that this process owns */
    struct wr_cache_room *next;
    uint32_t block;
    uint32_t free;                 /* cells, as bits */
    uint32_t fills;                /* objects that are being filled here */
    bool listed;                   /* in the list: it has free cells */
};
struct wr_cache_own {              /* private to a process */
    struct wr_cache_room *rooms;
    uint32_t nrooms;
    struct wr_cache_pinned_now pinned;
    uint32_t last_gone, last_alive; /* owners that were looked at in this search */
};
/* Takes n neighbouring cells: returns the block, and the first cell in *cell. NULL: no room. The
 * cells are marked as used. */
struct wr_cache_room *wr_cache_room_take(struct wr_cache_memory *m, uint32_t n, uint32_t *cell);
/* Frees cells that this process took. */
void wr_cache_room_give(struct wr_cache_memory *m, struct wr_cache_room *r, uint32_t cell,
                        uint32_t n);
/* A fill ends here: the room is kept for the next ones, or freed. */
void wr_cache_room_end(struct wr_cache_memory *m, struct wr_cache_room *r);

#endif
