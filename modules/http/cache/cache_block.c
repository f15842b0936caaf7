/* cache_block: blocks of the memory tier, and room in them. A process that fills an object takes
 * cells of a block that it owns; if it owns none with enough room it takes another block, which was
 * never used, or which the hand comes to (a clock): objects there that nobody used since the last
 * visit are evicted, and cells that no entry refers to and nobody reads are free again.
 *
 * A block is owned by compare and swap. The owner alone changes which cells are used. Objects in it
 * that are complete belong to the index, and anybody may evict them there; their cells are free
 * when the next owner of the block looks. What a process had taken when it died, no entry refers
 * to. Other processes may be stopped anywhere: what they own stays theirs. */
#include "cache_tier.h"

#define VISITS 16                  /* blocks that a search looks at */
#define FORCED 4                   /* blocks that it then empties, if it can */
#define KEPT 4                     /* blocks with room that a process keeps */

/* ---- owning ---- */

static bool is_free(struct wr_cache_own *own, uint32_t owner)
{
    if (owner == 0 || owner == own->last_gone)
        return true;
    if (owner == wr_cache_holder_me() || owner == own->last_alive)
        return false;
    if (!wr_cache_holder_is_gone(owner)) {
        own->last_alive = owner;
        return false;
    }
    own->last_gone = owner;
    return true;
}

static struct wr_cache_room *own_block(struct wr_cache_memory *m, uint32_t block)
{
    struct wr_cache_block *b = &m->block[block];
    uint32_t owner = WR_READ(b->owner);
    struct wr_cache_room *r;

    if (!is_free(m->own, owner) ||
        !atomic_compare_exchange_strong(&b->owner, &owner, wr_cache_holder_me()))
        return NULL;
    r = wr_calloc(1, sizeof(*r));
    r->block = block;
    return r;
}

static void list_room(struct wr_cache_own *own, struct wr_cache_room *r)
{
    if (r->listed)
        return;
    r->listed = true;
    r->next = own->rooms;
    own->rooms = r;
    own->nrooms++;
}

static void unlist_room(struct wr_cache_own *own, struct wr_cache_room *r)
{
    struct wr_cache_room **at = &own->rooms;

    if (!r->listed)
        return;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    r->listed = false;
    own->nrooms--;
}

static void disown_block(struct wr_cache_memory *m, struct wr_cache_room *r)
{
    unlist_room(m->own, r);
    atomic_store_explicit(&m->block[r->block].owner, 0, memory_order_release);
    free(r);
}

/* ---- collecting ---- */

struct dead {                      /* extents of a block that no entry refers to */
    uint32_t n;
    uint32_t cell[WR_CACHE_CELLS];
    uint32_t bits[WR_CACHE_CELLS];
    uint64_t number[WR_CACHE_CELLS];
};

static uint32_t cells_of(const struct wr_cache_extent *x)
{
    uint32_t n = wr_cache_cells_for(wr_cache_read_most(&x->bytes, WR_CACHE_EXTENT));

    return wr_max(n, 1U);
}

/* The entry of the extent's object; false: there is none. */
static bool find_owner(const struct wr_cache_memory *m, const struct wr_cache_extent *x,
                       uint64_t number, uint32_t *entry, uint64_t *used_ms)
{
    uint32_t first = WR_READ(x->first);

    if (first >= wr_cache_cells(m) || atomic_load(&m->extent[first].number) != number)
        return false;
    *entry = WR_READ(m->ix->owner[first]);
    return wr_cache_index_refers(m->ix, *entry, number, used_ms);
}

/* Makes sure that nobody reads or will read them; returns the cells of those that somebody
 * reads. */
static uint32_t take_numbers(struct wr_cache_memory *m, const struct dead *d)
{
    uint32_t keep = 0;
    bool known;

    for (uint32_t i = 0; i < d->n; i++)
        atomic_store(&m->extent[d->cell[i]].number, 0);
    known = d->n > 0 && wr_cache_pinned_read(m, &m->own->pinned);
    for (uint32_t i = 0; i < d->n; i++)
        if (!known || wr_cache_pinned_has(&m->own->pinned, d->number[i])) {
            atomic_store(&m->extent[d->cell[i]].number, d->number[i]);
            keep |= d->bits[i];
        }
    return keep;
}

/* Evicts objects of the block that were not used since the last visit, or all; then frees cells.
 * *hot gets the time of the last use of those that stay. */
static void collect_cells(struct wr_cache_memory *m, struct wr_cache_room *r, bool all,
                          uint64_t *hot)
{
    struct wr_cache_block *b = &m->block[r->block];
    uint32_t visited = WR_READ(b->visited_ms), used = WR_READ(b->used), keep = 0, bits, entry;
    struct dead d = { .n = 0 };
    uint64_t used_ms;

    *hot = 0;
    for (uint32_t c = 0; c < WR_CACHE_CELLS; c++) {
        uint32_t cell = r->block * WR_CACHE_CELLS + c;
        const struct wr_cache_extent *x = &m->extent[cell];
        uint64_t number = (used >> c & 1) != 0 ? WR_READ(x->number) : 0;

        if (number == 0)
            continue;
        bits = wr_cache_bits(cells_of(x)) << c;
        if (wr_cache_pinned_has(&m->own->pinned, number)) {
            keep |= bits;
            *hot = UINT64_MAX;
        } else if (find_owner(m, x, number, &entry, &used_ms) &&
                   !((all || (visited != 0 && (int32_t)((uint32_t)used_ms - visited) < 0)) &&
                     wr_cache_index_evict(m->ix, entry, number))) {
            keep |= bits;
            *hot = wr_max(*hot, used_ms);
        } else {
            d.cell[d.n] = cell;
            d.bits[d.n] = bits;
            d.number[d.n++] = number;
        }
    }
    keep |= take_numbers(m, &d);
    r->free = ~keep;
    WR_WRITE(b->used, keep);
    atomic_store_explicit(&b->visited_ms, (uint32_t)wr_now() | 1, memory_order_relaxed);
}

/* ---- room ---- */

/* The first of n neighbouring free cells; WR_CACHE_CELLS: there are none. */
static uint32_t find_run(uint32_t free, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        free &= free >> 1;
    free &= wr_cache_bits(WR_CACHE_CELLS - n + 1);
    return free != 0 ? (uint32_t)__builtin_ctz(free) : WR_CACHE_CELLS;
}

static struct wr_cache_room *fresh_block(struct wr_cache_memory *m)
{
    struct wr_cache_room *r = NULL;
    uint32_t block;

    while (r == NULL && WR_READ(m->head->fresh) < m->blocks) {
        block = atomic_fetch_add(&m->head->fresh, 1);
        if (block >= m->blocks)
            break;
        r = own_block(m, block);
        if (r != NULL)
            r->free = ~WR_READ(m->block[block].used); /* 0, unless it is damaged */
    }
    return r;
}

static struct wr_cache_room *look_at(struct wr_cache_memory *m, uint32_t block, uint32_t n,
                                     bool all, uint64_t *hot)
{
    struct wr_cache_room *r = own_block(m, block);

    *hot = UINT64_MAX;
    if (r == NULL)
        return NULL;
    collect_cells(m, r, all, hot);
    if (find_run(r->free, n) < WR_CACHE_CELLS)
        return r;
    disown_block(m, r);
    return NULL;
}

static uint32_t next_block(struct wr_cache_memory *m)
{
    return atomic_fetch_add(&m->head->hand, 1) % m->blocks;
}

/* A block with n neighbouring free cells; NULL: none was found. */
static struct wr_cache_room *search_block(struct wr_cache_memory *m, uint32_t n)
{
    struct wr_cache_room *r = fresh_block(m);
    uint64_t hot, least = UINT64_MAX;
    uint32_t coldest = 0, visits = wr_min((uint32_t)VISITS, m->blocks);

    if (r != NULL && find_run(r->free, n) < WR_CACHE_CELLS)
        return r;
    if (r != NULL)
        disown_block(m, r);
    m->own->last_gone = m->own->last_alive = 0;
    if (!wr_cache_pinned_read(m, &m->own->pinned))
        return NULL;
    for (uint32_t i = 0; i < visits; i++) {
        uint32_t block = next_block(m);

        r = look_at(m, block, n, false, &hot);
        if (r != NULL)
            return r;
        if (hot < least) {
            least = hot;
            coldest = block + 1;
        }
    }
    r = coldest != 0 ? look_at(m, coldest - 1, n, true, &hot) : NULL;
    for (uint32_t i = 0; r == NULL && i < FORCED; i++)
        r = look_at(m, next_block(m), n, true, &hot);
    return r;
}

/* Rooms in which n neighbouring cells are free. idle: only those that nobody fills. */
static struct wr_cache_room *fullest_room(const struct wr_cache_own *own, uint32_t n, bool idle)
{
    struct wr_cache_room *fullest = NULL;

    for (struct wr_cache_room *r = own->rooms; r != NULL; r = r->next) {
        if ((idle && r->fills > 0) || find_run(r->free, n) == WR_CACHE_CELLS)
            continue;
        if (fullest == NULL || __builtin_popcount(r->free) < __builtin_popcount(fullest->free))
            fullest = r;
    }
    return fullest;
}

/* The fullest one of those that are kept is the least use. */
static void keep_few(struct wr_cache_memory *m)
{
    struct wr_cache_room *r = m->own->nrooms > KEPT ? fullest_room(m->own, 1, true) : NULL;

    if (r != NULL)
        disown_block(m, r);
}

struct wr_cache_room *wr_cache_room_take(struct wr_cache_memory *m, uint32_t n, uint32_t *cell)
{
    struct wr_cache_room *r;
    uint32_t at;

    if (m->own == NULL)
        m->own = wr_calloc(1, sizeof(*m->own));
    r = fullest_room(m->own, n, false);
    if (r == NULL) {
        r = search_block(m, n);
    }
    if (r == NULL)
        return NULL;
    at = find_run(r->free, n);
    r->free &= ~(wr_cache_bits(n) << at);
    r->fills++;
    WR_WRITE(m->block[r->block].used, ~r->free);
    atomic_thread_fence(memory_order_release); /* before a number appears there */
    if (r->free != 0)
        list_room(m->own, r);
    else
        unlist_room(m->own, r);
    *cell = r->block * WR_CACHE_CELLS + at;
    return r;
}

void wr_cache_room_give(struct wr_cache_memory *m, struct wr_cache_room *r, uint32_t cell,
                        uint32_t n)
{
    if (n == 0)
        return;
    r->free |= wr_cache_bits(n) << cell % WR_CACHE_CELLS;
    atomic_store_explicit(&m->block[r->block].used, ~r->free, memory_order_release);
    list_room(m->own, r);
}

void wr_cache_room_end(struct wr_cache_memory *m, struct wr_cache_room *r)
{
    if (--r->fills == 0 && r->free == 0)
        disown_block(m, r);
    else
        keep_few(m);
}

void wr_cache_memory_end(struct wr_cache_memory *m)
{
    wr_cache_pins_end(m);
    if (m->own == NULL)
        return;
    while (m->own->rooms != NULL)
        disown_block(m, m->own->rooms);
    free(m->own->pinned.number);
    free(m->own);
    m->own = NULL;
}
