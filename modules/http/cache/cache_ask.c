/* cache_ask: changes the request to a server whose reply may be stored: the whole reply is wanted,
 * not the part or the comparison that one client asked for, unless it is to be revalidated. */
#include "cache_impl.h"

static bool is_left_out(unsigned id)
{
    switch (id) {
    case WR_F_RANGE: case WR_F_IF_RANGE: case WR_F_IF_MATCH: case WR_F_IF_NONE_MATCH:
    case WR_F_IF_MODIFIED_SINCE: case WR_F_IF_UNMODIFIED_SINCE:
        return true;
    default:
        return false;
    }
}

static const struct wr_field *new_field(struct wr_exchange *x, enum wr_field_id id,
                                        struct wr_str value)
{
    struct wr_field *f = WR_NEW(x->pool, struct wr_field);

    f->id = (uint16_t)id;
    f->name = wr_field_name(id);
    f->value = value;
    return f;
}

static struct wr_str date_text(struct wr_exchange *x, int64_t s)
{
    struct wr_text t = wr_text_grow(x->pool, 32, 64);

    wr_clock_http((time_t)s, &t);
    return wr_text_view(&t);
}

void wr_cache_request(struct wr_exchange *x, struct wr_request_out *out)
{
    struct wr_cache_ctx *c = wr_cache_ctx_of(x);
    const struct wr_field **to;
    uint32_t n = 0, own = out->own;

    if (c->rows == NULL || !c->stores)
        return;
    if (c->converts && out->method == WR_M_HEAD) {
        out->method = WR_M_GET;
        out->method_text = WR_STR("GET");
    }
    to = wr_pool_array(x->pool, out->n + 2, sizeof(*to));
    for (uint32_t i = 0; i < out->n; i++) /* those of proxy_set_header stay */
        if (i < own || !is_left_out(out->fields[i]->id))
            to[n++] = out->fields[i];
    if (c->revalidates && c->object.facts.last_modified_s >= 0)
        to[n++] = new_field(x, WR_F_IF_MODIFIED_SINCE,
                            date_text(x, c->object.facts.last_modified_s));
    if (c->revalidates && c->object.etag.p != NULL)
        to[n++] = new_field(x, WR_F_IF_NONE_MATCH, c->object.etag);
    out->fields = to;
    out->n = n;
}
