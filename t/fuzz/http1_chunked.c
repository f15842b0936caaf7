/* Any bytes as a chunked body, read at once and in pieces whose size is the first byte: data,
 * trailers, end and error must be the same; trailers must be fields. */
#include "http1/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    struct wr_text data;
    struct wr_chunked c;
    size_t used;
};

static struct outcome read_body(struct wr_pool *pool, struct wr_str in, size_t piece)
{
    struct outcome o = { .data = wr_text_grow(pool, 64, in.n + 1),
                         .c = { .trailers = wr_text_grow(pool, 64, in.n + 1) } };
    enum wr_parse r = WR_PARSE_MORE;

    while (o.used < in.n && !o.c.done && r != WR_PARSE_BAD) {
        struct wr_str view, part = wr_str_of(in.p + o.used, wr_min(piece, in.n - o.used));
        size_t used;

        r = wr_chunked_step(&o.c, part, &used, &view);
        WR_ASSERT(used <= part.n && (r != WR_PARSE_MORE || used == part.n));
        WR_ASSERT(view.p >= part.p && view.p + view.n <= part.p + used);
        WR_ASSERT((r == WR_PARSE_BAD) == (o.c.why != NULL));
        WR_ASSERT(used > 0 || r == WR_PARSE_BAD);
        wr_text_str(&o.data, view);
        o.used += used;
    }
    WR_ASSERT(!o.data.overflow && !o.c.trailers.overflow);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_str in;
    struct outcome a, b;

    if (size > 0) {
        in = wr_str_of((const char *)data + 1, size - 1);
        a = read_body(pool, in, in.n);
        b = read_body(pool, in, data[0] % 16U + 1);
        WR_ASSERT(a.c.done == b.c.done && (a.c.why == NULL) == (b.c.why == NULL));
        WR_ASSERT(a.used == b.used);
        /* An error takes back the data of its own call only. */
        WR_ASSERT(wr_str_starts(wr_text_view(&b.data), wr_text_view(&a.data)));
        WR_ASSERT(a.c.why != NULL || a.data.n == b.data.n);
        if (a.c.done) {
            struct wr_fields f = { 0 };

            WR_ASSERT(wr_str_eq(wr_text_view(&a.c.trailers), wr_text_view(&b.c.trailers)));
            WR_ASSERT(wr_h1_trailers(wr_text_view(&a.c.trailers), pool, &f));
        }
    }
    wr_pool_free(pool);
    return 0;
}
