/* cache_admit: takes an object from its file into the memory tier, when it is asked for the second
 * time. Only what the kernel has in memory is read: no hit waits for this. */
#include "cache_impl.h"

#define MOST (256 * 1024)      /* of the body; a larger one is admitted when it is stored */

/* Reads the rest of the body, behind what came with the head. */
static bool add_rest(const struct wr_cache_ctx *c, const struct wr_waiter *who,
                     struct wr_cache_fill *f)
{
    uint64_t at = c->read->at_hand.n, end = c->object.body_n;

    while (at < end) {
        struct wr_slice s = {
            .file = &c->read->reader, .at = (off_t)(c->object.body_at + at),
            .n = (size_t)(end - at),
        };
        size_t got;
        enum wr_io io = wr_reader_read(&s, who, wr_scratch, wr_min(s.n, sizeof(wr_scratch)), &got);

        if (io != WR_IO_OK || !wr_cache_fill_add(f, wr_str_of(wr_scratch, got)))
            return false;
        at += got;
    }
    return true;
}

void wr_cache_admit(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    struct wr_cache_store *s = &c->zone->store;
    const struct wr_cache_object *o = &c->object;
    struct wr_waiter who = wr_exchange_waiter(x);
    struct wr_cache_fill *f;

    if (s->memory.blocks == 0 || c->view.uses < 2 || c->view.memory.number != 0
        || c->view.created_us != o->facts.created_us || o->body_n > MOST || o->trailers_n > 0)
        return;
    f = wr_cache_fill_new(&s->memory, o->body_at + (size_t)o->body_n);
    if (f == NULL)
        return;
    /* the head lies before the bytes at hand */
    if (wr_cache_fill_add(f, wr_str_of(c->read->at_hand.p - o->body_at,
                                       o->body_at + c->read->at_hand.n))
        && add_rest(c, &who, f)) {
        struct wr_cache_ref ref = wr_cache_fill_finish(f);

        (void)wr_cache_index_set_memory(&s->index, &c->name, o->facts.created_us, &ref);
    }
    wr_cache_fill_end(f);
}
