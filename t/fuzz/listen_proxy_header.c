/* Fuzz driver: any bytes as a PROXY header, whole and cut at every length. The verdict may change
 * once, from MORE; a header does not depend on the bytes after it; its TLVs lie inside it. */
#include "listen/listen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
    "alpn", "ssl", "ssl_verify", "ssl_cn", "ssl_0x22", "0x04", "0xff", "nothing",
};

static void look_at_tlvs(struct wr_pool *pool, const struct wr_proxy_header *h)
{
    struct wr_str v;

    for (size_t i = 0; i < WR_COUNT(names); i++)
        if (wr_proxy_tlv(pool, h->tlvs, wr_str_c(names[i]), &v))
            WR_ASSERT(v.n <= WR_PROXY_MAX);
}

/* Parses in a block of exactly this size, so that a read beyond its end is found. */
static enum wr_proxy_found parse(const uint8_t *data, size_t n, struct wr_pool *pool,
                                 struct wr_proxy_header *h)
{
    char *own = wr_pool_alloc(pool, n);

    if (n > 0)
        memcpy(own, data, n);
    return wr_proxy_header_parse(wr_str_of(own, n), h);
}

static void check_addresses(const struct wr_proxy_header *h)
{
    char buf[2 * WR_ADDR_TEXT_MAX];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    struct wr_proxy_header again;

    wr_proxy_header_write(&t, &h->source, &h->destination);
    WR_ASSERT(!t.overflow && t.n <= 107);
    WR_ASSERT(wr_proxy_header_parse(wr_text_view(&t), &again) == WR_PROXY_OK);
    WR_ASSERT(wr_addr_eq(&again.source, &h->source));
    WR_ASSERT(wr_addr_eq(&again.destination, &h->destination));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_proxy_header h, at;
    enum wr_proxy_found v;

    size = wr_min(size, (size_t)WR_PROXY_MAX);
    v = parse(data, size, pool, &h);
    if (v == WR_PROXY_OK) {
        WR_ASSERT(h.size <= size && h.tlvs.n <= h.size);
        look_at_tlvs(pool, &h);
        check_addresses(&h);
    }
    for (size_t n = 0; n < size; n++) {
        enum wr_proxy_found early = parse(data, n, pool, &at);

        if (early == WR_PROXY_MORE)
            continue;
        WR_ASSERT(early == v && at.size == h.size && wr_addr_eq(&at.source, &h.source));
        break;
    }
    wr_pool_free(pool);
    return 0;
}
