/* reply_vars: variables about the reply and the time of the request, mostly for logs, which read
 * them when the exchange is over. Also $limit_rate, which `set` may change. */
#include "http/http_impl.h"

static struct wr_str number_text(struct wr_exchange *x, uint64_t n)
{
    return wr_pool_fmt(x->pool, "%llu", (unsigned long long)n);
}

static struct wr_str seconds_text(struct wr_exchange *x, uint64_t ms)
{
    return wr_pool_fmt(x->pool, "%llu.%03u", (unsigned long long)(ms / 1000),
                       (unsigned)(ms % 1000));
}

/* The status that was or will be sent; "009" for an HTTP/0.9 request that has no reply yet. */
static bool get_status(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_http *h = wr_http_of(x);
    unsigned status = x->status;

    (void)v;
    if (!h->head_sent && status == 0)
        status = h->error_status != 0 ? h->error_status : h->res.status;
    if (status == 0 && h->req.version == 9)
        status = 9;
    *out = wr_pool_fmt(x->pool, "%03u", status);
    return true;
}

static bool get_body_bytes_sent(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    uint64_t all = wr_endpoint_sent(&x->client), head = wr_http_of(x)->header_bytes_sent;

    (void)v;
    *out = number_text(x, all > head ? all - head : 0);
    return true;
}

static bool get_request_time(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = seconds_text(x, wr_now() - x->begun_ms);
    return true;
}

static bool get_connection_time(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = seconds_text(x, wr_now() - x->s->begun_ms);
    return true;
}

static bool get_completion(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_http *h = wr_http_of(x);

    (void)v;
    *out = h->head_sent && x->down.dst_fin && !h->aborted ? WR_STR("OK") : WR_STR("");
    return true;
}

/* ---- the reply's fields ---- */

static bool sent_type(struct wr_exchange *x, struct wr_str *out)
{
    *out = wr_http_of(x)->res.type;
    return out->n > 0;
}

static bool sent_length(struct wr_exchange *x, struct wr_str *out)
{
    const struct wr_http *h = wr_http_of(x);

    if (h->res.framing != WR_BODY_LENGTH && !(h->head_sent && h->header_only && h->res.length > 0))
        return false;
    *out = number_text(x, h->res.length);
    return true;
}

static bool sent_last_modified(struct wr_exchange *x, struct wr_str *out)
{
    struct wr_response *r = &wr_http_of(x)->res;
    struct wr_text t = wr_text_grow(x->pool, 32, 64);

    if (wr_response_modified(r) < 0)
        return false;
    wr_clock_http(r->last_modified, &t);
    *out = wr_text_view(&t);
    return true;
}

static bool sent_connection(struct wr_exchange *x, struct wr_str *out)
{
    const struct wr_http *h = wr_http_of(x);

    *out = h->tunnel ? WR_STR("upgrade") : h->keepalive ? WR_STR("keep-alive") : WR_STR("close");
    return true;
}

static bool sent_keep_alive(struct wr_exchange *x, struct wr_str *out)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);

    if (!wr_http_of(x)->keepalive || c->keepalive_header_s == 0)
        return false;
    *out = wr_pool_fmt(x->pool, "timeout=%llu", (unsigned long long)c->keepalive_header_s);
    return true;
}

static bool sent_transfer_encoding(struct wr_exchange *x, struct wr_str *out)
{
    *out = WR_STR("chunked");
    return wr_http_of(x)->res.framing == WR_BODY_CHUNKED;
}

/* Fields that are written from members of wr_http, not from h->res.fields. */
static const struct {
    const char *name;
    bool (*get)(struct wr_exchange *x, struct wr_str *out);
} own_fields[] = {
    { "content_type", sent_type },
    { "content_length", sent_length },
    { "last_modified", sent_last_modified },
    { "connection", sent_connection },
    { "keep_alive", sent_keep_alive },
    { "transfer_encoding", sent_transfer_encoding },
};

static bool get_sent_http(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    if (wr_fields_joined(x->pool, &wr_http_of(x)->res.fields, v->tail, ", ", out))
        return true;
    for (size_t i = 0; i < WR_COUNT(own_fields); i++)
        if (wr_str_is(v->tail, own_fields[i].name))
            return own_fields[i].get(x, out);
    return false;
}

static bool get_sent_trailer(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    return wr_fields_joined(x->pool, &wr_http_of(x)->res.trailers, v->tail, ", ", out);
}

/* ---- limit_rate ---- */

uint64_t wr_http_limit_rate(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_str given = wr_http_of(x)->limit_rate;
    uint64_t rate;

    if (given.p == NULL)
        return wr_amount(x, &c->limit_rate);
    return wr_parse_size(given, &rate) ? rate : 0;
}

static bool get_limit_rate(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = number_text(x, wr_http_limit_rate(x));
    return true;
}

static bool set_limit_rate(struct wr_exchange *x, const struct wr_var *v, struct wr_str value)
{
    uint64_t rate;

    (void)v;
    if (!wr_parse_size(value, &rate)) {
        wr_xlog(x, WR_LOG_ERROR, 0, "invalid $limit_rate \"" WR_FMT "\"", WR_ARG(value));
        return false;
    }
    wr_http_of(x)->limit_rate = value;
    return true;
}

#define ROW(nm, fn, fl) { .name = nm, .layers = WR_L7, .flags = (fl), .get = fn }

static const struct wr_variable variables[] = {
    ROW("body_bytes_sent", get_body_bytes_sent, 0),
    ROW("connection_time", get_connection_time, 0),
    { .name = "limit_rate", .layers = WR_L7, .flags = WR_VAR_SETTABLE, .get = get_limit_rate,
      .set = set_limit_rate },
    ROW("request_completion", get_completion, 0),
    ROW("request_time", get_request_time, 0),
    ROW("sent_http_", get_sent_http, WR_VAR_PREFIX),
    ROW("sent_trailer_", get_sent_trailer, WR_VAR_PREFIX),
    ROW("status", get_status, 0),
    { 0 },
};

struct wr_module wr_module_reply_vars = {
    .name = "reply_vars",
    .layers = WR_L7,
    .variables = variables,
};
