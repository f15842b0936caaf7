/* http_upstream_vars: variables of layer 7 about upstreams: status, times and length of each try,
 * and the fields and trailers of the last reply as received. */
#include "http/http.h"

enum what { STATUS, HEADER_TIME, RESPONSE_TIME, RESPONSE_LENGTH };

extern struct wr_module wr_module_http_upstream_vars;

/* Bytes of the reply after its head. */
static uint64_t length_of(const struct wr_tries *a, const struct wr_try *try)
{
    uint64_t received = try->received;

    if (try->ended_ms == WR_NOT_YET)
        received = wr_lease_received(&a->lease);
    return received > try->head_size ? received - try->head_size : 0;
}

static void append_try(struct wr_text *t, const struct wr_tries *a, const struct wr_try *try,
                       uintptr_t what)
{
    switch ((enum what)what) {
    case STATUS:
        if (try->status != 0)
            wr_text_u64(t, try->status);
        else
            wr_text_char(t, '-');
        break;
    case HEADER_TIME:
        wr_try_seconds(t, try->header_ms);
        break;
    case RESPONSE_TIME:
        wr_try_seconds(t, try->ended_ms);
        break;
    case RESPONSE_LENGTH:
        wr_text_u64(t, length_of(a, try));
        break;
    }
}

static bool get_try(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    return wr_tries_text(x, append_try, v->data, out);
}

/* Values that the parser moved from the fields into members of wr_response. */
static bool get_moved(struct wr_exchange *x, const struct wr_response *r, struct wr_str name,
                      struct wr_str *out)
{
    if (wr_str_is(name, "content_type")) {
        *out = r->type;
        return r->type.p != NULL;
    }
    if (wr_str_is(name, "content_length") && r->has_length) {
        *out = wr_pool_fmt(x->pool, "%llu", (unsigned long long)r->length);
        return true;
    }
    if (wr_str_is(name, "transfer_encoding") && r->framing == WR_BODY_CHUNKED) {
        *out = WR_STR("chunked");
        return true;
    }
    return false;
}

static bool get_field(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_response *r = wr_http_of(x)->upstream_reply;

    return r != NULL
        && (wr_fields_joined(x->pool, &r->fields, v->tail, ", ", out)
            || get_moved(x, r, v->tail, out));
}

static bool get_cookie(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_response *r = wr_http_of(x)->upstream_reply;
    const struct wr_field *f = NULL;

    while (r != NULL && (f = wr_fields_find(&r->fields, WR_STR("Set-Cookie"), f)) != NULL) {
        struct wr_str rest = f->value, first = wr_str_cut(&rest, ';');

        if (wr_cookie_find(first, v->tail, out))
            return true;
    }
    return false;
}

static bool get_trailer(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_fields *came = wr_http_of(x)->upstream_trailers;

    return came != NULL && wr_fields_joined(x->pool, came, v->tail, ", ", out);
}

/* ---- keeping the reply ---- */

struct wanted {               /* by the variables of a configuration */
    bool reply;
};

static bool check(struct wr_cf *cf)
{
    struct wanted *w = WR_NEW(cf->pool, struct wanted);

    w->reply = wr_var_used(cf->conf, WR_L7, get_field) || wr_var_used(cf->conf, WR_L7, get_cookie);
    wr_cf_state(cf, &wr_module_http_upstream_vars) = w;
    return true;
}

void wr_http_keep_reply(struct wr_exchange *x)
{
    const struct wanted *w = wr_conf_state(x->conf, &wr_module_http_upstream_vars);
    struct wr_response *r;
    struct wr_http *h;

    if (w == NULL || !w->reply)
        return;
    h = wr_http_of(x);
    /* Fields are hidden and rewritten in place later, so the array is copied too. */
    r = WR_NEW(x->pool, struct wr_response);
    *r = h->res;
    r->fields.at = WR_NEW_ARRAY(x->pool, struct wr_field, (size_t)r->fields.n + 1);
    r->fields.cap = r->fields.n + 1;
    if (r->fields.n > 0)
        memcpy(r->fields.at, h->res.fields.at, r->fields.n * sizeof(*r->fields.at));
    h->upstream_reply = r;
}

void wr_http_take_trailers(struct wr_exchange *x, struct wr_fields *came)
{
    struct wr_http *h = wr_http_of(x);

    h->upstream_trailers = came;
    if (!h->proxy_conf->pass_trailers)
        return;
    for (uint32_t i = 0; i < came->n; i++) {
        const struct wr_field *f = &came->at[i];

        wr_fields_put(x->pool, &h->res.trailers, f->id, f->name, f->value)->parsed = f->parsed;
    }
}

static const struct wr_variable variables[] = {
    { .name = "upstream_status", .layers = WR_L7, .get = get_try, .data = STATUS },
    { .name = "upstream_header_time", .layers = WR_L7, .get = get_try, .data = HEADER_TIME },
    { .name = "upstream_response_time", .layers = WR_L7, .get = get_try, .data = RESPONSE_TIME },
    { .name = "upstream_response_length", .layers = WR_L7, .get = get_try,
      .data = RESPONSE_LENGTH },
    { .name = "upstream_http_", .layers = WR_L7, .flags = WR_VAR_PREFIX, .get = get_field },
    { .name = "upstream_cookie_", .layers = WR_L7, .flags = WR_VAR_PREFIX, .get = get_cookie },
    { .name = "upstream_trailer_", .layers = WR_L7, .flags = WR_VAR_PREFIX, .get = get_trailer },
    { 0 },
};

struct wr_module wr_module_http_upstream_vars = {
    .name = "http_upstream_vars",
    .layers = WR_L7,
    .variables = variables,
    .check = check,
};
