/* cache_fill: writes an object into the memory tier. A fill is private to its process; readers see
 * the bytes that are there so far, through the extents. The writer of replies calls it, and whoever
 * brings an object from the disk back into memory. */
#include "cache_tier.h"

struct part {                      /* an extent */
    struct wr_cache_room *room;
    uint32_t cell, cells;
};
struct wr_cache_fill {
    struct wr_cache_memory *m;
    uint64_t number;
    size_t size;                   /* of the object at most */
    bool sized, finished;
    uint32_t filled, in_last;      /* bytes: of the object, in its last extent */
    struct part *parts;
    struct part first;             /* most objects have one */
    uint32_t nparts, room;
    struct wr_cache_fill *moved;   /* the finished object is this one */
};

static const struct part *last_part(const struct wr_cache_fill *f)
{
    return &f->parts[f->nparts - 1];
}

static struct wr_cache_extent *extent_at(const struct wr_cache_fill *f, uint32_t i)
{
    return &f->m->extent[f->parts[i].cell];
}

static void show_filled(const struct wr_cache_fill *f, enum wr_cache_filled state)
{
    atomic_store_explicit(&extent_at(f, 0)->filled, (uint32_t)state << 30 | f->filled,
                          memory_order_release);
}

static bool add_extent(struct wr_cache_fill *f)
{
    size_t left = f->size - f->filled;
    uint32_t n = WR_CACHE_CELLS;
    struct wr_cache_extent *x;
    struct part *p;

    if (f->sized && left < WR_CACHE_EXTENT)
        n = wr_max(wr_cache_cells_for((uint32_t)left), 1U);
    if (f->nparts == f->room) {
        struct part *old = f->parts != &f->first ? f->parts : NULL;

        f->room *= 4;
        f->parts = wr_realloc(old, f->room * sizeof(*f->parts));
        if (old == NULL)
            f->parts[0] = f->first;
    }
    p = &f->parts[f->nparts];
    *p = (struct part){ .cells = n };
    p->room = wr_cache_room_take(f->m, n, &p->cell);
    if (p->room == NULL)
        return false;
    x = extent_at(f, f->nparts++);
    WR_WRITE(x->first, f->parts[0].cell);
    WR_WRITE(x->next, 0);
    WR_WRITE(x->bytes, 0);
    WR_WRITE(x->filled, 0);
    atomic_store_explicit(&x->number, f->number, memory_order_release);
    if (f->nparts > 1)
        atomic_store_explicit(&extent_at(f, f->nparts - 2)->next, p->cell + 1,
                              memory_order_release);
    f->in_last = 0;
    return true;
}

static void free_fill(struct wr_cache_fill *f)
{
    if (f->parts != &f->first)
        free(f->parts);
    free(f);
}

struct wr_cache_fill *wr_cache_fill_new(struct wr_cache_memory *m, size_t size)
{
    size_t most = wr_cache_memory_most(m);
    struct wr_cache_fill *f;

    if (m->blocks == 0 || (size != SIZE_MAX && size > most))
        return NULL;
    f = wr_calloc(1, sizeof(*f));
    f->m = m;
    f->parts = &f->first;
    f->room = 1;
    f->sized = size != SIZE_MAX;
    f->size = wr_min(size, most);
    f->number = atomic_fetch_add(&m->head->number, 1) + 1;
    if (f->number != 0 && add_extent(f))
        return f;
    free_fill(f);
    return NULL;
}

size_t wr_cache_fill_room(struct wr_cache_fill *f, char **p)
{
    size_t left = f->size - f->filled, here;

    WR_ASSERT(!f->finished);
    if (left == 0 || (f->in_last == last_part(f)->cells * WR_CACHE_CELL && !add_extent(f)))
        return 0;
    here = last_part(f)->cells * WR_CACHE_CELL - f->in_last;
    *p = wr_cache_cell(f->m, last_part(f)->cell) + f->in_last;
    return wr_min(left, here);
}

void wr_cache_fill_wrote(struct wr_cache_fill *f, size_t n)
{
    f->in_last += (uint32_t)n;
    f->filled += (uint32_t)n;
    atomic_store_explicit(&extent_at(f, f->nparts - 1)->bytes, f->in_last, memory_order_release);
    show_filled(f, WR_CACHE_FILLING);
}

bool wr_cache_fill_add(struct wr_cache_fill *f, struct wr_str bytes)
{
    while (bytes.n > 0) {
        char *p;
        size_t n = wr_cache_fill_room(f, &p);

        if (n == 0)
            return false;
        n = wr_min(n, bytes.n);
        memcpy(p, bytes.p, n);
        wr_cache_fill_wrote(f, n);
        bytes = wr_str_of(bytes.p + n, bytes.n - n);
    }
    return true;
}

void wr_cache_fill_patch(struct wr_cache_fill *f, size_t at, struct wr_str bytes)
{
    WR_ASSERT(at + bytes.n <= f->filled);
    while (bytes.n > 0) {
        size_t in = at % WR_CACHE_EXTENT, n = wr_min(WR_CACHE_EXTENT - in, bytes.n);

        memcpy(wr_cache_cell(f->m, f->parts[at / WR_CACHE_EXTENT].cell) + in, bytes.p, n);
        at += n;
        bytes = wr_str_of(bytes.p + n, bytes.n - n);
    }
}

struct wr_cache_ref wr_cache_fill_ref(const struct wr_cache_fill *f)
{
    return (struct wr_cache_ref){ f->number, f->parts[0].cell, f->finished ? f->filled : 0 };
}

/* An object whose size was not known has a block of its own; if it is small it moves to where other
 * small ones are, and the block is for the next one. */
static void move_small(struct wr_cache_fill *f)
{
    f->moved = wr_cache_fill_new(f->m, f->filled);
    if (f->moved == NULL)
        return;
    if (!wr_cache_fill_add(f->moved, wr_str_of(wr_cache_cell(f->m, f->parts[0].cell), f->filled))) {
        wr_cache_fill_end(f->moved);
        f->moved = NULL;
        return;
    }
    (void)wr_cache_fill_finish(f->moved);
}

static void trim_last(struct wr_cache_fill *f)
{
    struct part *p = &f->parts[f->nparts - 1];
    uint32_t needed = wr_max(wr_cache_cells_for(f->in_last), 1U);

    wr_cache_room_give(f->m, p->room, p->cell + needed, p->cells - needed);
    p->cells = needed;
}

struct wr_cache_ref wr_cache_fill_finish(struct wr_cache_fill *f)
{
    if (!f->finished) {
        f->finished = true;
        show_filled(f, WR_CACHE_FILLED);
        if (!f->sized && f->nparts == 1 && f->in_last <= WR_CACHE_EXTENT - WR_CACHE_CELL)
            move_small(f);
        if (f->moved == NULL)
            trim_last(f);
    }
    return wr_cache_fill_ref(f->moved != NULL ? f->moved : f);
}

static bool is_in_index(const struct wr_cache_fill *f)
{
    const struct wr_cache_index *ix = f->m->ix;
    uint64_t used_ms;

    return f->finished
        && wr_cache_index_refers(ix, WR_READ(ix->owner[f->parts[0].cell]), f->number, &used_ms);
}

/* Frees the cells, unless somebody reads them: then the next owner of the block will. */
static void drop_bytes(struct wr_cache_fill *f)
{
    struct wr_cache_pinned_now *now = &f->m->own->pinned;
    bool read;

    if (!f->finished)
        show_filled(f, WR_CACHE_FILL_BROKEN);
    for (uint32_t i = 0; i < f->nparts; i++)
        atomic_store(&extent_at(f, i)->number, 0);
    read = !wr_cache_pinned_read(f->m, now) || wr_cache_pinned_has(now, f->number);
    for (uint32_t i = 0; i < f->nparts; i++) {
        if (read)
            atomic_store(&extent_at(f, i)->number, f->number);
        else
            wr_cache_room_give(f->m, f->parts[i].room, f->parts[i].cell, f->parts[i].cells);
    }
}

void wr_cache_fill_end(struct wr_cache_fill *f)
{
    if (f == NULL)
        return;
    wr_cache_fill_end(f->moved);
    if (!is_in_index(f))
        drop_bytes(f);
    for (uint32_t i = 0; i < f->nparts; i++)
        wr_cache_room_end(f->m, f->parts[i].room);
    free_fill(f);
}
