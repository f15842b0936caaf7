/* cache_memory: reading what the memory tier has. Workers call it for hits: small objects are
 * copied, larger ones are read in place while they are pinned (cache_pin).
 *
 * Each number from shared memory is compared with the private size of the tier. All extents of an
 * object but the last fill a block, so the walk to an offset has as many steps as blocks, whatever
 * stands in the links. */
#include "cache_tier.h"

void wr_cache_memory_place(struct wr_cache_memory *m, struct wr_zone *z, size_t bytes,
                           struct wr_cache_index *ix)
{
    size_t each = WR_CACHE_EXTENT + sizeof(struct wr_cache_block)
                  + WR_CACHE_CELLS * (sizeof(struct wr_cache_extent) + sizeof(*ix->owner));
    size_t n = bytes / each;

    *m = (struct wr_cache_memory){ .ix = ix };
    m->blocks = (uint32_t)wr_min(n, (size_t)(UINT32_MAX / 2 / WR_CACHE_CELLS));
    if (m->blocks == 0)
        return;
    ix->cells = wr_cache_cells(m);
    m->head = wr_zone_part(z, sizeof(*m->head));
    m->block = wr_zone_part(z, sizeof(*m->block) * m->blocks);
    m->extent = wr_zone_part(z, sizeof(*m->extent) * ix->cells);
    ix->owner = wr_zone_part(z, sizeof(*ix->owner) * ix->cells);
    m->rows = wr_zone_part(z, sizeof(*m->rows) * WR_SLOTS);
    m->bytes = wr_zone_part(z, (size_t)m->blocks * WR_CACHE_EXTENT);
}

size_t wr_cache_memory_most(const struct wr_cache_memory *m)
{
    return wr_min((size_t)m->blocks * WR_CACHE_EXTENT / WR_CACHE_PARTS,
                  (size_t)WR_CACHE_OBJECT_MOST);
}

/* Returns how many bytes lie together from the cell on: to the end of its block. */
static uint32_t bytes_behind(uint32_t cell)
{
    return (WR_CACHE_CELLS - cell % WR_CACHE_CELLS) * WR_CACHE_CELL;
}

bool wr_cache_memory_copy(const struct wr_cache_memory *m, const struct wr_cache_view *v,
                          char *out)
{
    const struct wr_cache_ref *r = &v->memory;

    if (r->number == 0 || r->at >= wr_cache_cells(m) || r->size > bytes_behind(r->at))
        return false;
    memcpy(out, wr_cache_cell(m, r->at), r->size);
    return wr_cache_index_holds(m->ix, v);
}

enum wr_cache_filled wr_cache_pin_filled(const struct wr_cache_pinned *p, uint64_t *n)
{
    uint32_t filled = atomic_load_explicit(&p->m->extent[p->ref.at].filled, memory_order_acquire);

    *n = filled & WR_CACHE_OBJECT_MOST;
    if (filled >> 30 == WR_CACHE_FILLING)
        return WR_CACHE_FILLING;
    return filled >> 30 == WR_CACHE_FILLED ? WR_CACHE_FILLED : WR_CACHE_FILL_BROKEN;
}

struct wr_str wr_cache_pin_part(const struct wr_cache_pinned *p, struct wr_cache_at *hint,
                                uint64_t offset, size_t most)
{
    const struct wr_cache_memory *m = p->m;
    struct wr_str none = { .p = NULL, .n = 0 };
    uint32_t cell = p->ref.at, n;

    if (hint->cell != 0 && hint->begins <= offset)
        cell = hint->cell - 1;
    else
        hint->begins = 0;
    for (; offset - hint->begins >= WR_CACHE_EXTENT; hint->begins += WR_CACHE_EXTENT) {
        uint32_t next = atomic_load_explicit(&m->extent[cell].next, memory_order_acquire);

        if (next - 1 >= wr_cache_cells(m))
            return none;
        cell = next - 1;
    }
    hint->cell = cell + 1;
    n = atomic_load_explicit(&m->extent[cell].bytes, memory_order_acquire);
    n = wr_min(n, bytes_behind(cell));
    offset -= hint->begins;
    if (offset >= n)
        return none;
    return wr_str_of(wr_cache_cell(m, cell) + offset, wr_min((size_t)(n - offset), most));
}
