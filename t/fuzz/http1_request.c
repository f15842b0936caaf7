/* Any bytes as the head of a request. The first byte chooses the limits; the rest is parsed at once
 * and, with the same outcome, in two pieces. What is accepted is written out again as a proxy
 * would, and has to be read as the same request. */
#include "http1/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct wr_head_limits limits;

static bool inside(struct wr_str s, struct wr_str text)
{
    return s.n == 0 || (s.p >= text.p && s.p + s.n <= text.p + text.n);
}

static void check_value(struct wr_str v)
{
    for (size_t i = 0; i < v.n; i++)
        WR_ASSERT(((unsigned char)v.p[i] >= ' ' && v.p[i] != 0x7f) || v.p[i] == '\t');
    WR_ASSERT(v.n == 0 || (v.p[0] != ' ' && v.p[0] != '\t' && v.p[v.n - 1] != ' '
                           && v.p[v.n - 1] != '\t'));
}

static void check_fields(const struct wr_fields *f)
{
    uint32_t known = 0;

    for (uint32_t i = 0; i < f->n; i++) {
        const struct wr_field *at = &f->at[i];

        WR_ASSERT(at->name.n > 0 && at->id == wr_field_id(at->name) && !at->gone);
        for (size_t k = 0; k < at->name.n; k++)
            WR_ASSERT((unsigned char)at->name.p[k] > ' ' && at->name.p[k] != ':');
        check_value(at->value);
        WR_ASSERT(f->first[at->id] > 0 && f->first[at->id] <= i + 1);
        known += f->first[at->id] == i + 1;
    }
    for (unsigned id = 0; id < WR_F_COUNT; id++)
        known -= f->first[id] != 0;
    WR_ASSERT(known == 0);
}

static void check_request(struct wr_str text, const struct wr_h1_progress *p,
                          const struct wr_request *r)
{
    WR_ASSERT(p->size > 0 && p->size <= text.n && p->size <= limits.total);
    WR_ASSERT(r->head_size == p->size && inside(r->line, text) && inside(r->method_text, r->line));
    WR_ASSERT(r->version == 9 || r->version == 10 || r->version == 11);
    WR_ASSERT(r->target.n > 0 && (r->target.p[0] == '/' || r->method == WR_M_OPTIONS
                                  || r->method == WR_M_CONNECT));
    WR_ASSERT(r->host.n > 0 || r->version < 11);
    WR_ASSERT(r->framing == WR_BODY_NONE || r->framing == WR_BODY_LENGTH
              || (r->framing == WR_BODY_CHUNKED && r->version == 11));
    WR_ASSERT(r->length <= INT64_MAX);
    check_fields(&r->fields);
}

static void check_again(struct wr_pool *pool, const struct wr_request *r)
{
    struct wr_text t = wr_text_grow(pool, 1024, 1 << 20);
    struct wr_head_limits wide = { .line = 1 << 20, .total = 1 << 20, .underscores = true };
    struct wr_head_rules rules = { .limits = &wide, .pool = pool };
    struct wr_h1_progress p = { 0 };
    struct wr_request again;

    wr_text_fmt(&t, WR_FMT " " WR_FMT " HTTP/1.%d\r\n", WR_ARG(r->method_text), WR_ARG(r->target),
                r->version - 10);
    for (uint32_t i = 0; i < r->fields.n; i++)
        wr_text_fmt(&t, WR_FMT ": " WR_FMT "\r\n", WR_ARG(r->fields.at[i].name),
                    WR_ARG(r->fields.at[i].value));
    wr_text_c(&t, "\r\n");
    WR_ASSERT(wr_h1_request(wr_text_view(&t), &rules, &p, &again) == WR_PARSE_OK);
    WR_ASSERT(p.size == t.n && again.fields.n == r->fields.n && again.framing == r->framing
              && again.length == r->length && again.method == r->method
              && again.keepalive == r->keepalive && wr_str_eq(again.target, r->target));
    /* Without a Host the authority was in the request line only. */
    if (r->fields.first[WR_F_HOST] != 0)
        WR_ASSERT(wr_str_eq(again.host, r->host) && again.host_port == r->host_port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_head_rules rules = { .limits = &limits, .pool = pool };
    struct wr_h1_progress p = { 0 }, q = { 0 };
    struct wr_request r, s;
    enum wr_parse whole, pieces;
    struct wr_str text;
    unsigned mode;

    if (size > 0) {
        mode = data[0];
        text = wr_str_of((const char *)data + 1, size - 1);
        limits = (struct wr_head_limits){ .line = mode & 8 ? 64 : 8192,
                                          .total = mode & 16 ? 256 : 32768,
                                          .fields = mode & 32 ? 4 : 0,
                                          .ignore_invalid = !(mode & 1),
                                          .underscores = mode & 2 };
        whole = wr_h1_request(text, &rules, &p, &r);
        WR_ASSERT((whole == WR_PARSE_BAD) == (p.status != 0 && p.why != NULL));
        pieces = wr_h1_request(wr_str_of(text.p, text.n * (mode >> 6) / 4), &rules, &q, &s);
        if (pieces == WR_PARSE_MORE)
            pieces = wr_h1_request(text, &rules, &q, &s);
        /* A line may be refused for its first bytes before it is too long. */
        WR_ASSERT(pieces == whole && p.size == q.size);
        WR_ASSERT(p.status == q.status || (p.status == 414 && q.status == 400));
        if (whole == WR_PARSE_OK) {
            check_request(text, &p, &r);
            if (r.version > 9)
                check_again(pool, &r);
        }
    }
    wr_pool_free(pool);
    return 0;
}
