/* Any bytes as a stored object. The first byte chooses: the rest is an object as it is; one whose
 * first numbers are made right, so that its parts are looked at; or the head of a server's reply,
 * which is stored, and must come out the same. */
#include "http1/http1.h"

#include "../../modules/http/cache/cache_object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct wr_str part, const char *from, size_t n)
{
    WR_ASSERT(part.n == 0 || (part.p >= from && part.n <= n && part.p + part.n <= from + n));
}

static void look_at(struct wr_str bytes, bool check, struct wr_pool *pool)
{
    struct wr_cache_object o;
    struct wr_cache_vary v;
    struct wr_response r;
    struct wr_str rest;
    uint32_t n = 0;

    if (wr_cache_decode(bytes, check, &o) != WR_CACHE_WHOLE)
        return;
    WR_ASSERT(o.body_at <= bytes.n && o.status >= 100 && o.status <= 999);
    WR_ASSERT(!check || o.body_n != UINT64_MAX);
    check_inside(o.key, bytes.p, o.body_at);
    check_inside(o.vary, bytes.p, o.body_at);
    check_inside(o.tags, bytes.p, o.body_at);
    check_inside(o.head, bytes.p, o.body_at);
    check_inside(o.etag, o.head.p, o.head.n);
    for (uint32_t i = 0; i < wr_cache_ntags(&o); i++)
        (void)wr_cache_tag(&o, i);
    for (rest = o.vary; wr_cache_vary_next(&rest, &v); n++) {
        check_inside(v.name, o.vary.p, o.vary.n);
        check_inside(v.value, o.vary.p, o.vary.n);
    }
    WR_ASSERT(n <= WR_CACHE_VARY_MAX && rest.n == 0);
    if (wr_cache_reply(&o, pool, &r))
        WR_ASSERT(r.status == o.status && r.framing != WR_BODY_CLOSE);
}

/* The beginning of the fixed part, so that only what follows is judged. */
static void make_right(char *bytes, size_t n)
{
    static const uint32_t start[2] = { WR_CACHE_FORMAT, WR_CACHE_FIXED };
    struct wr_cache_object o;

    if (n < WR_CACHE_FIXED)
        return;
    memcpy(bytes, "weirobj1", 8);
    memcpy(bytes + 8, start, sizeof(start));
    if (wr_cache_decode(wr_str_of(bytes, n), false, &o) == WR_CACHE_WHOLE)
        wr_cache_seal(bytes, o.body_at, o.body_n, o.trailers_n);
}

static void check_same(const struct wr_response *a, const struct wr_response *b)
{
    uint32_t k = 0;

    WR_ASSERT(a->status == b->status && a->version == b->version && wr_str_eq(a->type, b->type));
    for (uint32_t i = 0; i < a->fields.n; i++) {
        const struct wr_field *f = &a->fields.at[i], *g;

        if (f->gone)
            continue;
        WR_ASSERT(k < b->fields.n);
        g = &b->fields.at[k++];
        WR_ASSERT(wr_str_eq(f->name, g->name) && wr_str_eq(f->value, g->value));
    }
    WR_ASSERT(k == b->fields.n);
}

static void store_head(struct wr_str text, struct wr_pool *pool)
{
    static const struct wr_cache_facts facts = { .created_us = 1, .last_modified_s = -1 };
    struct wr_text t = wr_text_grow(pool, 512, 1 << 20);
    struct wr_h1_progress p = { 0 };
    struct wr_response r, again;
    struct wr_cache_parts parts = { .facts = &facts, .key = text, .res = &r };
    struct wr_cache_object o;

    if (wr_h1_response(text, 32768, WR_M_GET, pool, &p, &r) != WR_PARSE_OK)
        return;
    if (!wr_cache_encode(&t, &parts)) {
        WR_ASSERT(text.n > WR_CACHE_KEY_MAX);
        return;
    }
    wr_cache_seal(t.p, t.n, 3, 0);
    WR_ASSERT(wr_cache_decode(wr_text_view(&t), true, &o) == WR_CACHE_WHOLE);
    WR_ASSERT(wr_str_eq(o.key, text) && wr_cache_reply(&o, pool, &again));
    check_same(&r, &again);
    WR_ASSERT((o.etag.p != NULL) == (wr_fields_value(&r.fields, WR_F_ETAG).n > 0));
    if (o.etag.p != NULL)
        WR_ASSERT(wr_str_eq(o.etag, wr_fields_value(&r.fields, WR_F_ETAG)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_pool *pool = wr_pool_new(0);
    char *copy;

    if (size > 0) {
        copy = wr_pool_alloc(pool, size);
        memcpy(copy, data + 1, size - 1);
        if (data[0] % 3 == 1)
            make_right(copy, size - 1);
        if (data[0] % 3 == 2)
            store_head(wr_str_of(copy, size - 1), pool);
        else
            look_at(wr_str_of(copy, size - 1), true, pool);
        look_at(wr_str_of(copy, size - 1), false, pool);
    }
    wr_pool_free(pool);
    return 0;
}
