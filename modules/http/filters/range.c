/* range: parts of a reply (RFC 9110 14), chosen in the head filter. A stored body is cut there,
 * before any of it is read, so that parts of a file can be sent as files. A body that streams
 * passes only once: a body filter cuts it if the ranges ascend; otherwise the whole body is
 * sent. */
#include "http/http.h"
#include "precondition.h"
#include "range_set.h"

struct cutter {
    struct wr_relay_filter filter;
    struct wr_ranges ranges;
    uint64_t at;               /* offset in the whole body of the next byte of `in` */
    uint32_t next;             /* the range that is being sent, or comes next */
    struct wr_str *heads;      /* of the parts; NULL: a single range */
    struct wr_str end;         /* after the last part */
};

extern struct wr_module wr_module_range;

static void write_part_head(const struct cutter *c, struct wr_bufq *out, uint32_t i)
{
    if (c->heads != NULL)
        wr_bufq_borrow(out, c->heads[i].p, c->heads[i].n);
}

static void write_end(struct cutter *c, struct wr_bufq *out)
{
    wr_bufq_borrow(out, c->end.p, c->end.n);
    c->end.n = 0;
}

/* Move the bytes in the ranges to out, drop the others. */
static enum wr_filtered cut_run(struct wr_relay_filter *f, enum wr_push push WR_UNUSED,
                                struct wr_bufq *out)
{
    struct cutter *c = wr_container(f, struct cutter, filter);
    struct wr_bufq *in = &f->in;

    while (in->n > 0 && c->next < c->ranges.list.n) {
        const struct wr_range *r = &c->ranges.list.at[c->next];
        uint64_t until = c->at < r->from ? r->from : r->to;
        size_t n = (size_t)wr_min(until - c->at, (uint64_t)in->n);

        if (c->at == r->from)
            write_part_head(c, out, c->next);
        if (c->at < r->from)
            wr_bufq_drop(in, n);
        else
            wr_bufq_move(out, in, n);
        c->at += n;
        if (c->at == r->to && ++c->next == c->ranges.list.n)
            write_end(c, out);
    }
    wr_bufq_drop(in, in->n);
    return WR_FILTERED;
}

/* Ranges in any order: cut each out of a copy of the queue, which refers to the same bytes. */
static void pick_parts(struct wr_bufq *whole, const struct cutter *c)
{
    struct wr_bufq parts = { 0 };

    for (uint32_t i = 0; i < c->ranges.list.n; i++) {
        const struct wr_range *r = &c->ranges.list.at[i];
        struct wr_bufq all = { 0 };

        write_part_head(c, &parts, i);
        wr_bufq_tee(&all, whole);
        wr_bufq_drop(&all, r->from);
        wr_bufq_move(&parts, &all, r->to - r->from);
        wr_bufq_clear(&all);
    }
    wr_bufq_borrow(&parts, c->end.p, c->end.n);
    wr_bufq_clear(whole);
    *whole = parts;
}

static struct wr_str content_range(struct wr_pool *pool, const struct wr_range *r, uint64_t length)
{
    return wr_pool_fmt(pool, "bytes %llu-%llu/%llu", (unsigned long long)r->from,
                       (unsigned long long)(r->to - 1), (unsigned long long)length);
}

/* multipart/byteranges (RFC 9110 14.6), with a random boundary. */
static void write_parts(struct wr_exchange *x, struct cutter *c)
{
    struct wr_response *res = &wr_http_of(x)->res;
    unsigned long long boundary = wr_random() % 10000000000000000000ULL;
    struct wr_str type = { 0 };

    if (res->type.p != NULL)
        type = wr_pool_fmt(x->pool, "Content-Type: " WR_FMT "\r\n", WR_ARG(res->type));
    c->heads = WR_NEW_ARRAY(x->pool, struct wr_str, c->ranges.list.n);
    c->end = wr_pool_fmt(x->pool, "\r\n--%020llu--\r\n", boundary);
    for (uint32_t i = 0; i < c->ranges.list.n; i++) {
        struct wr_str bytes = content_range(x->pool, &c->ranges.list.at[i], res->length);

        c->heads[i] = wr_pool_fmt(x->pool, "\r\n--%020llu\r\n" WR_FMT "Content-Range: " WR_FMT
                                  "\r\n\r\n", boundary, WR_ARG(type), WR_ARG(bytes));
        c->ranges.total += c->heads[i].n;
    }
    c->ranges.total += c->end.n;
    res->type = wr_pool_fmt(x->pool, "multipart/byteranges; boundary=%020llu", boundary);
}

/* The stored body, if no filter changes its bytes before they are cut; else NULL. */
static struct wr_bufq *whole_body(const struct wr_exchange *x)
{
    for (const struct wr_relay_filter *f = wr_http_of(x)->filters; f != NULL; f = f->next)
        if (!f->passes)
            return NULL;
    return wr_endpoint_stored(&x->peer);
}

static void give_parts(struct wr_exchange *x, struct cutter *c)
{
    struct wr_response *res = &wr_http_of(x)->res;
    struct wr_bufq *whole = whole_body(x);

    res->status = 206;
    res->reason = (struct wr_str){ 0 };
    wr_fields_remove(&res->fields, WR_F_ACCEPT_RANGES);
    wr_fields_remove(&res->fields, WR_F_CONTENT_RANGE);
    if (c->ranges.list.n == 1)
        (void)wr_fields_add_id(x->pool, &res->fields, WR_F_CONTENT_RANGE,
                               content_range(x->pool, &c->ranges.list.at[0], res->length));
    else
        write_parts(x, c);
    res->length = c->ranges.total;
    if (whole != NULL) {
        pick_parts(whole, c);
        return;
    }
    c->filter = (struct wr_relay_filter){ .run = cut_run };
    c->at = res->offset;
    wr_http_add_body_filter(x, &c->filter);
}

/* As in nginx, fields that describe the whole body are removed, those of add_header stay. */
static enum wr_filter_result not_satisfiable(struct wr_exchange *x)
{
    struct wr_response *res = &wr_http_of(x)->res;

    wr_fields_set(x->pool, &res->fields, WR_F_CONTENT_RANGE,
                  wr_pool_fmt(x->pool, "bytes */%llu", (unsigned long long)res->length));
    wr_fields_remove(&res->fields, WR_F_ACCEPT_RANGES);
    wr_fields_remove(&res->fields, WR_F_LAST_MODIFIED);
    wr_fields_remove(&res->fields, WR_F_ETAG);
    wr_fields_remove(&res->fields, WR_F_CONTENT_ENCODING);
    res->last_modified = -1;
    res->ranges = false;
    res->status = 416;
    return WR_FILTER_ERROR;
}

static bool is_unchanged(struct wr_http *h)
{
    const struct wr_validators have = { wr_fields_value(&h->res.fields, WR_F_ETAG),
                                        wr_response_modified(&h->res) };

    return wr_if_range_holds(&h->req.fields, &have);
}

static enum wr_range_result choose_ranges(struct wr_exchange *x, uint32_t max,
                                          struct wr_ranges *ranges)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_str value = wr_fields_value(&h->req.fields, WR_F_RANGE);
    enum wr_range_result r;

    if (value.p == NULL || !is_unchanged(h))
        return WR_RANGE_IGNORED;
    r = wr_ranges_parse(value, h->res.length, max, x->pool, ranges);
    if (r == WR_RANGE_OK && !ranges->ascending && whole_body(x) == NULL)
        return WR_RANGE_IGNORED;
    return r;
}

static enum wr_filter_result range_head(struct wr_exchange *x)
{
    const struct wr_http_conf *conf = wr_conf_of(x, &wr_module_http);
    struct wr_http *h = wr_http_of(x);
    struct cutter *c;

    /* has_length: a proxied reply to HEAD has a length, although no body follows */
    if (!h->res.ranges || h->res.status != 200 || h->req.version < 10 || conf->max_ranges == 0
        || (h->res.framing != WR_BODY_LENGTH && !h->res.has_length))
        return WR_FILTER_OK;
    if (wr_fields_first(&h->req.fields, WR_F_RANGE) != NULL) {
        c = WR_NEW(x->pool, struct cutter);
        switch (choose_ranges(x, conf->max_ranges, &c->ranges)) {
        case WR_RANGE_OK:
            give_parts(x, c);
            return WR_FILTER_OK;
        case WR_RANGE_NONE:
            return not_satisfiable(x);
        case WR_RANGE_IGNORED:
            break;
        }
    }
    wr_fields_set(x->pool, &h->res.fields, WR_F_ACCEPT_RANGES, WR_STR("bytes"));
    return WR_FILTER_OK;
}

struct wr_module wr_module_range = {
    .name = "range",
    .layers = WR_L7,
    .filters = (const struct wr_filter[]){ { WR_FR_RANGE, range_head }, { 0 } },
};
