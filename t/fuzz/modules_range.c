/* Any bytes as the Range field of a request: two bytes with the length of the body, one for how it
 * comes (0: whole; else in pieces of that size), then the field. Ranges must lie within the body;
 * the reply must have the announced length and the requested bytes. */
#include "http/http.h"

#include "../../modules/http/filters/range_set.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX 16                 /* ranges */

extern struct wr_module wr_module_range;

struct asked {
    struct wr_session s;
    struct wr_exchange x;
    struct wr_http h;
    struct wr_ranges ranges;
    char *body;
    size_t length;
};

static struct wr_conf *conf;

static void free_conf(void)
{
    wr_conf_free(conf);
}

static struct wr_conf *load_once(void)
{
    if (conf == NULL) {
        wr_modules_init();
        wr_clock_update();
        wr_error_log_default = "stderr";
        conf = wr_conf_load_text("fuzz", WR_STR("http { access_log off; server { listen 80;"
                                                " max_ranges 16; } }"), WR_STR(""), "/");
        WR_ASSERT(conf->tree->errors == 0 && atexit(free_conf) == 0);
    }
    return conf;
}

static void begin_request(struct asked *a, size_t length, bool streams, struct wr_str range)
{
    static const struct wr_endpoint_ops streaming;

    memset(a, 0, sizeof(*a));
    a->s.conf = load_once();
    a->x.s = &a->s;
    a->x.main = &a->x;
    a->x.conf = a->s.conf;
    a->x.of_layer = &a->h;
    WR_TYPED(&a->h, HTTP);
    a->x.pool = wr_pool_new(0);
    a->x.scope = wr_conf_layer(a->s.conf, WR_L7)->children;
    a->x.peer.ops = streams ? &streaming : NULL; /* else stored, below */
    a->h.req.version = 11;
    (void)wr_fields_add_id(a->x.pool, &a->h.req.fields, WR_F_RANGE, range);
    wr_response_init(&a->h.res);
    a->h.res.status = 200;
    a->h.res.ranges = true;
    a->h.res.framing = WR_BODY_LENGTH;
    a->h.res.length = a->length = length;
    a->h.res.type = WR_STR("a/b");
    a->body = wr_pool_alloc(a->x.pool, length + 1);
    for (size_t i = 0; i < length; i++)
        a->body[i] = (char)('a' + (i * 7 + i / 26) % 26);
    if (!streams) {
        struct wr_bufq q = { 0 };

        wr_bufq_borrow(&q, a->body, length);
        wr_endpoint_store(&a->x.peer, a->x.pool, wr_exchange_waiter(&a->x), &q);
    }
}

static enum wr_range_result check_parsed(struct asked *a, struct wr_str range)
{
    struct wr_ranges *r = &a->ranges;
    enum wr_range_result result = wr_ranges_parse(range, a->length, MAX, a->x.pool, r);
    uint64_t total = 0;
    bool ascending = true;

    if (result != WR_RANGE_OK)
        return result;
    WR_ASSERT(r->list.n > 0 && r->list.n <= MAX);
    for (uint32_t i = 0; i < r->list.n; i++) {
        const struct wr_range *one = &r->list.at[i];

        WR_ASSERT(one->from < one->to && one->to <= a->length);
        total += one->to - one->from;
        ascending = ascending && (i == 0 || r->list.at[i - 1].to <= one->from);
    }
    WR_ASSERT(total == r->total && total <= a->length && ascending == r->ascending);
    return result;
}

static struct wr_str text_of(struct asked *a, struct wr_bufq *q)
{
    size_t n = q->n;
    char *text = wr_pool_alloc(a->x.pool, n + 1);

    WR_ASSERT(wr_bufq_peek(q, text, n) == n);
    wr_bufq_clear(q);
    return wr_str_of(text, n);
}

/* The body as the relay gives it to the filter. */
static struct wr_str cut_body(struct asked *a, size_t piece)
{
    struct wr_relay_filter *f = a->h.filters;
    struct wr_bufq out = { 0 };

    for (size_t at = 0; at < a->length; at += piece) {
        wr_bufq_borrow(&f->in, a->body + at, wr_min(piece, a->length - at));
        WR_ASSERT(f->run(f, WR_PUSH_NONE, &out) == WR_FILTERED && f->in.n == 0);
    }
    return text_of(a, &out);
}

/* Skips what stands in front of a part, up to the empty line behind its fields. */
static struct wr_str part_body(struct wr_str s)
{
    size_t end = wr_str_search(s, WR_STR("\r\n\r\n"));

    WR_ASSERT(wr_str_starts(s, WR_STR("\r\n--")) && end < s.n);
    return wr_str_skip(s, end + 4);
}

static void check_sent(struct asked *a, struct wr_str sent)
{
    const struct wr_ranges *r = &a->ranges;
    bool parts = r->list.n > 1;

    WR_ASSERT(a->h.res.status == 206 && sent.n == a->h.res.length);
    for (uint32_t i = 0; i < r->list.n; i++) {
        const struct wr_range *one = &r->list.at[i];
        struct wr_str want = wr_str_of(a->body + one->from, one->to - one->from);

        sent = parts ? part_body(sent) : sent;
        WR_ASSERT(wr_str_starts(sent, want));
        sent = wr_str_skip(sent, want.n);
    }
    WR_ASSERT(parts ? wr_str_starts(sent, WR_STR("\r\n--")) && wr_str_ends(sent, WR_STR("--\r\n"))
                    : sent.n == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum wr_filter_result filtered;
    enum wr_range_result parsed;
    struct wr_str range;
    struct asked a;

    if (size < 3)
        return 0;
    range = wr_str_of((const char *)data + 3, size - 3);
    begin_request(&a, (size_t)data[0] | (size_t)(data[1] & 15) << 8, data[2] > 0, range);
    parsed = check_parsed(&a, range);
    filtered = wr_module_range.filters[0].head(&a.x);
    if (parsed == WR_RANGE_NONE)
        WR_ASSERT(filtered == WR_FILTER_ERROR && a.h.res.status == 416);
    else if (parsed == WR_RANGE_OK && (a.ranges.ascending || data[2] == 0))
        check_sent(&a, data[2] > 0 ? cut_body(&a, data[2])
                                   : text_of(&a, wr_endpoint_stored(&a.x.peer)));
    else
        WR_ASSERT(filtered == WR_FILTER_OK && a.h.res.status == 200 && a.h.filters == NULL);
    wr_pool_free(a.x.pool);
    return 0;
}
