/* accel_fields: fields that outlive a reply with X-Accel-Redirect. The application that sent it has
 * decided about cookies, caching and the name of a download: the reply served instead gets these
 * fields. A proxy module calls wr_http_keep_fields before it redirects, the step respond calls
 * wr_http_add_kept_fields. */
#include "http/http.h"

static const enum wr_field_id kept_ids[] = {
    WR_F_SET_COOKIE, WR_F_CONTENT_DISPOSITION, WR_F_CACHE_CONTROL, WR_F_EXPIRES,
    WR_F_ACCEPT_RANGES,
};

static bool is_kept(unsigned id)
{
    for (size_t i = 0; i < WR_COUNT(kept_ids); i++)
        if (kept_ids[i] == id)
            return true;
    return false;
}

void wr_http_keep_fields(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);

    if (h->res.type.p != NULL)
        wr_fields_set(x->pool, &h->kept, WR_F_CONTENT_TYPE, h->res.type);
    for (uint32_t i = 0; i < h->res.fields.n; i++) {
        const struct wr_field *f = &h->res.fields.at[i];

        if (!f->gone && is_kept(f->id))
            wr_fields_put(x->pool, &h->kept, f->id, f->name, f->value);
    }
}

/* True: a kept field with this id is added: it is a list, or none of the first n fields, which are
 * the reply's own, has the id. */
static bool may_join(const struct wr_response *r, unsigned id, uint32_t n)
{
    return id == WR_F_SET_COOKIE || id == WR_F_CACHE_CONTROL || r->fields.first[id] == 0
        || r->fields.first[id] > n;
}

void wr_http_add_kept_fields(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_str type = wr_fields_value(&h->kept, WR_F_CONTENT_TYPE);
    uint32_t own = h->res.fields.n;

    /* The type of a proxied reply is right; one derived from a file's name is a guess. */
    if (type.p != NULL && (h->proxy == NULL || h->res.type.p == NULL))
        h->res.type = type;
    for (uint32_t i = 0; i < h->kept.n; i++) {
        const struct wr_field *f = &h->kept.at[i];

        if (!f->gone && f->id != WR_F_CONTENT_TYPE && may_join(&h->res, f->id, own))
            wr_fields_put(x->pool, &h->res.fields, f->id, f->name, f->value);
    }
    h->kept = (struct wr_fields){ 0 };
}
