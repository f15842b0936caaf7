/* spill: a temp file for bytes a slow receiver has not taken yet, so that the sender need not wait.
 * The relay appends to it and reads from its front; when all is read, it starts again at offset 0.
 * Lives in the exchange's pool. */
#include "relay/relay.h"

struct wr_spill *wr_spill_new(const struct wr_temp *how, uint64_t max)
{
    struct wr_spill *s = WR_NEW(how->pool, struct wr_spill);

    s->file = *how;
    s->max = max;
    return s;
}

size_t wr_spill_room(const struct wr_spill *s)
{
    if (s == NULL || s->file.size >= s->max || s->file.writing != NULL)
        return 0;
    return (size_t)wr_min(s->max - s->file.size, (uint64_t)1 << 20);
}

bool wr_spill_get(struct wr_spill *s, struct wr_bufq *q)
{
    if (s->out == s->file.size)
        return false;
    wr_bufq_file(q, &s->file.reader, (off_t)s->out, (size_t)(s->file.size - s->out));
    s->out = s->file.size;
    return true;
}

void wr_spill_drained(struct wr_spill *s)
{
    if (s->out == s->file.size)
        s->file.size = s->out = 0;
}
