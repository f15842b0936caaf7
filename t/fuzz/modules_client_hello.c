/* Any bytes as the first ones of a client, whole and cut at every length: the verdict may change
 * only once, from MORE to another one, and the facts never depend on how many bytes follow. */
#include "base/base.h"

#include "../../modules/stream/client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_texts(const struct wr_client_hello *h)
{
    WR_ASSERT(h->name.n <= 255);
    for (size_t i = 0; i < h->name.n; i++)
        WR_ASSERT(h->name.p[i] > ' ' && h->name.p[i] <= 'z' && !strchr("/:\"'\\$", h->name.p[i]));
    for (size_t i = 0; i < h->alpn.n; i++)
        WR_ASSERT(h->alpn.p[i] > ' ' && h->alpn.p[i] <= '~');
    if (h->alpn.n > 0)
        WR_ASSERT(h->alpn.p[0] != ',' && h->alpn.p[h->alpn.n - 1] != ',');
    (void)wr_client_hello_version(h->version);
}

/* Parse a block of exactly this size, so that ASan finds a read past its end. */
static enum wr_hello parse_bytes(const uint8_t *data, size_t n, struct wr_pool *pool,
                                 struct wr_client_hello *h)
{
    char *own = wr_pool_alloc(pool, n);

    if (n > 0)
        memcpy(own, data, n);
    return wr_client_hello_parse(wr_str_of(own, n), pool, h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_client_hello h, at;
    enum wr_hello v;

    if (size > 4096)
        size = 4096;
    v = wr_client_hello_parse(wr_str_of((const char *)data, size), pool, &h);
    check_texts(&h);
    WR_ASSERT(v == WR_HELLO_DONE || (h.version == 0 && h.name.n == 0 && h.alpn.n == 0));
    for (size_t n = 0; n < size; n++) {
        enum wr_hello early = parse_bytes(data, n, pool, &at);

        if (early == WR_HELLO_MORE)
            continue;
        WR_ASSERT(early == v && at.version == h.version && wr_str_eq(at.name, h.name)
                  && wr_str_eq(at.alpn, h.alpn));
        break;
    }
    wr_pool_free(pool);
    return 0;
}
