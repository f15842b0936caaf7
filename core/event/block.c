/* Blocks and slices: the memory behind queues. bufq calls it, and code that fills a block directly.
 * Owns the process' idle blocks and slices, a bounded number of each. Under ASan none are kept
 * idle: every block is a malloc of its own, so that a use after free is found. */
#include "event/event_impl.h"

enum { BLOCKS_IDLE = WR_ASAN ? 0 : 64, SLICES_IDLE = WR_ASAN ? 0 : 1024 };

/* Per process, not per loop: queues have no pointer to a loop, and only one thread uses them. */
static struct wr_block *idle_blocks;
static struct wr_slice *idle_slices;
static unsigned nidle_blocks, nidle_slices;
static uint64_t live;

struct wr_block *wr_block_sized(size_t size)
{
    struct wr_block *b;

    WR_ASSERT(size > 0 && size <= UINT32_MAX - sizeof(*b));
    b = wr_malloc(sizeof(*b) + size);
    b->refs = 1;
    b->size = (uint32_t)size;
    b->next = NULL;
    live++;
    return b;
}

struct wr_block *wr_block_new(void)
{
    struct wr_block *b = idle_blocks;

    if (b == NULL)
        return wr_block_sized(WR_BLOCK_SIZE);
    idle_blocks = b->next;
    nidle_blocks--;
    b->next = NULL;
    b->refs = 1;
    live++;
    return b;
}

void wr_block_unref(struct wr_block *b)
{
    WR_ASSERT(b->refs > 0);
    if (--b->refs > 0)
        return;
    live--;
    /* + 1: the bound is 0 under ASan, and comparing with that warns */
    if (b->size != WR_BLOCK_SIZE || nidle_blocks + 1 > BLOCKS_IDLE) {
        free(b);
        return;
    }
    b->next = idle_blocks;
    idle_blocks = b;
    nidle_blocks++;
}

uint64_t wr_blocks_live(void)
{
    return live;
}

struct wr_slice *wr_slice_new(void)
{
    struct wr_slice *s = idle_slices;

    if (s == NULL)
        return wr_malloc(sizeof(*s));
    idle_slices = s->next;
    nidle_slices--;
    return s;
}

void wr_slice_free(struct wr_slice *s)
{
    if (s->block != NULL)
        wr_block_unref(s->block);
    if (nidle_slices + 1 > SLICES_IDLE) {
        free(s);
        return;
    }
    s->next = idle_slices;
    idle_slices = s;
    nidle_slices++;
}

void wr_blocks_drop_cache(void)
{
    struct wr_block *b;
    struct wr_slice *s;

    while ((b = idle_blocks) != NULL) {
        idle_blocks = b->next;
        free(b);
    }
    while ((s = idle_slices) != NULL) {
        idle_slices = s->next;
        free(s);
    }
    nidle_blocks = nidle_slices = 0;
}
