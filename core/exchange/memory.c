/* memory: a text as an endpoint: what `return` answers. Reads give the text, then EOF; what is
 * written is swallowed. */
#include "exchange/exchange.h"

static enum wr_io memory_read(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    struct wr_str *rest = e->state;

    *got = wr_min(n, rest->n);
    if (*got == 0)
        return WR_IO_EOF;
    memcpy(p, rest->p, *got);
    *rest = wr_str_skip(*rest, *got);
    return WR_IO_OK;
}

static enum wr_io memory_write(struct wr_endpoint *e, const struct wr_slice *chain, bool fin,
                               size_t *put)
{
    (void)e;
    (void)fin;
    *put = 0;
    for (; chain != NULL; chain = chain->next)
        *put += chain->n;
    return WR_IO_OK;
}

static uint64_t memory_want(struct wr_endpoint *e)
{
    (void)e;
    return 0;
}

static void memory_to_raw(struct wr_endpoint *e, struct wr_bufq *in, struct wr_bufq *out)
{
    (void)e;
    (void)in;
    (void)out;
}

static void memory_end(struct wr_endpoint *e, enum wr_end how)
{
    (void)how;
    e->ops = NULL;
}

static const struct wr_endpoint_ops memory_ops = {
    .name = "memory",
    .read = memory_read,
    .write = memory_write,
    .want = memory_want,
    .to_raw = memory_to_raw,
    .end = memory_end,
};

void wr_endpoint_memory(struct wr_endpoint *e, struct wr_pool *pool, struct wr_str text)
{
    struct wr_str *rest = WR_NEW(pool, struct wr_str);

    *rest = text;
    *e = (struct wr_endpoint){ .ops = &memory_ops, .state = rest };
}
