/* Any bytes as the head of a peer's reply. The first byte chooses the request's method; the rest
 * is parsed at once and, with the same outcome, in two pieces. */
#include "http1/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool for_one_hop(enum wr_field_id id, unsigned status)
{
    switch (id) {
    case WR_F_CONNECTION:
    case WR_F_KEEP_ALIVE:
    case WR_F_PROXY_CONNECTION:
    case WR_F_TE:
    case WR_F_TRAILER:
    case WR_F_TRANSFER_ENCODING:
    case WR_F_CONTENT_LENGTH:
        return true;
    case WR_F_UPGRADE:
        return status != 101;
    default:
        return false;
    }
}

static void check_fields(const struct wr_fields *f, unsigned status)
{
    for (uint32_t i = 0; i < f->n; i++) {
        const struct wr_field *at = &f->at[i];

        WR_ASSERT(at->name.n > 0 && at->id == wr_field_id(at->name));
        WR_ASSERT(at->gone || !for_one_hop(at->id, status));
        for (size_t k = 0; k < at->value.n; k++)
            WR_ASSERT(at->value.p[k] != '\r' && at->value.p[k] != '\n' && at->value.p[k] != '\0');
    }
}

static void check_framing(const struct wr_response *r, enum wr_method method)
{
    bool empty = r->status < 200 || r->status == 204 || r->status == 304 || method == WR_M_HEAD;

    WR_ASSERT(!empty || r->framing == WR_BODY_NONE);
    WR_ASSERT(empty || method == WR_M_CONNECT || r->framing != WR_BODY_NONE);
    WR_ASSERT(r->framing != WR_BODY_CLOSE || !r->keepalive);
    WR_ASSERT(r->framing != WR_BODY_LENGTH || r->has_length);
    WR_ASSERT(r->length <= INT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_h1_progress p = { 0 }, q = { 0 };
    struct wr_response r, s;
    enum wr_parse whole, pieces;
    enum wr_method method;
    struct wr_str text;

    if (size > 0) {
        method = (enum wr_method)(data[0] % WR_M_COUNT);
        text = wr_str_of((const char *)data + 1, size - 1);
        whole = wr_h1_response(text, 4096, method, pool, &p, &r);
        WR_ASSERT((whole == WR_PARSE_BAD) == (p.status == 502 && p.why != NULL));
        pieces = wr_h1_response(wr_str_of(text.p, text.n * (data[0] >> 6) / 4), 4096, method, pool,
                                &q, &s);
        if (pieces == WR_PARSE_MORE)
            pieces = wr_h1_response(text, 4096, method, pool, &q, &s);
        WR_ASSERT(pieces == whole && p.size == q.size);
        if (whole == WR_PARSE_OK) {
            WR_ASSERT(p.size <= 4096 && p.size <= text.n && r.status >= 100 && r.status <= 999);
            WR_ASSERT(r.version == 10 || r.version == 11);
            check_fields(&r.fields, r.status);
            check_framing(&r, method);
        }
    }
    wr_pool_free(pool);
    return 0;
}
