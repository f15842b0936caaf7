/* cache_encode: a server's reply as the bytes that are stored before its body. */
#include "cache_impl.h"
#include "stored_fields.h"

struct wr_cache_facts wr_cache_facts_of(struct wr_exchange *x, const struct wr_cache_ctx *c,
                                        const struct wr_freshness *fresh)
{
    return (struct wr_cache_facts){
        .created_us = c->created_us,
        .variant = c->variant,
        .fresh = *fresh,
        .last_modified_s = wr_response_modified(&wr_http_of(x)->res),
        .flags = c->lacks | (c->varies != NULL ? WR_CACHE_VARIES : 0u),
    };
}

/* The reply as it is stored. */
static struct wr_response stored_reply(struct wr_exchange *x, const struct wr_cache_ctx *c)
{
    const struct wr_http *h = wr_http_of(x);
    struct wr_response r = h->res;
    struct wr_cache_control control;

    wr_cache_control_init(&control);
    if (c->rows->rfc9111)
        control = wr_cache_control_reply(&h->res.fields);
    r.fields = (struct wr_fields){ 0 };
    for (uint32_t i = 0; i < h->res.fields.n; i++) {
        const struct wr_field *f = &h->res.fields.at[i];

        if (!f->gone)
            wr_fields_put(x->pool, &r.fields, (enum wr_field_id)f->id, f->name, f->value);
    }
    wr_stored_trim(&r.fields, &control);
    return r;
}

bool wr_cache_encode_reply(struct wr_exchange *x, const struct wr_cache_ctx *c,
                           const struct wr_cache_facts *facts, struct wr_str *out)
{
    struct wr_text t = wr_text_grow(x->pool, 1024, WR_CACHE_BEFORE_BODY_MAX);
    struct wr_response r = stored_reply(x, c);
    struct wr_cache_parts parts = {
        .facts = facts, .key = c->key, .res = &r, .tags = c->tags.at, .ntags = c->tags.n,
        .vary = c->varies != NULL ? c->varies->at : NULL,
        .nvary = c->varies != NULL ? c->varies->n : 0,
    };

    if (!wr_cache_encode(&t, &parts))
        return false;
    *out = wr_text_view(&t);
    return true;
}

static void drop_field(struct wr_fields *f, struct wr_str name)
{
    struct wr_field *at = NULL;

    while ((at = wr_fields_find(f, name, at)) != NULL)
        wr_fields_drop(f, at);
}

bool wr_cache_take_tags(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    const char *why;

    c->tags.n = 0;
    if (c->rows->tag != NULL) {
        why = wr_cache_tags_add(&c->tags, wr_template_str(x, c->rows->tag));
        if (why != NULL) {
            wr_xlog(x, WR_LOG_WARN, 0, "not stored: %s", why);
            return false;
        }
        drop_field(&wr_http_of(x)->res.fields, WR_STR("Cache-Tag"));
    }
    return true;
}
