/* http_proxy_reply: which fields of a server's reply are passed on to the client. The engine calls
 * it with the final head in h->res, once it has decided that no other server is tried. */
#include "proxy_impl.h"

/* Fields for weir, or about the server itself; proxy_pass_header passes them on. */
static const char *const hidden[] = {
    "Date", "Server", "X-Pad", "X-Accel-Expires", "X-Accel-Redirect", "X-Accel-Limit-Rate",
    "X-Accel-Buffering", "X-Accel-Charset",
};

/* ---- sets of names ---- */

void wr_proxy_names_add(struct wr_pool *p, struct wr_proxy_names *n, struct wr_str name)
{
    unsigned id = wr_field_id(name);

    if (wr_proxy_names_has(n, id, name))
        return;
    if (id != WR_F_OTHER) {
        n->known[id / 64] |= UINT64_C(1) << id % 64;
        return;
    }
    n->lengths |= UINT64_C(1) << wr_min(name.n, 63U);
    *wr_vec_push(p, &n->others) = name;
}

static void drop_name(struct wr_proxy_names *n, struct wr_str name)
{
    unsigned id = wr_field_id(name);
    uint32_t kept = 0;

    if (id != WR_F_OTHER) {
        n->known[id / 64] &= ~(UINT64_C(1) << id % 64);
        return;
    }
    for (uint32_t i = 0; i < n->others.n; i++)
        if (!wr_str_ieq(n->others.at[i], name))
            n->others.at[kept++] = n->others.at[i];
    n->others.n = kept;
}

bool wr_proxy_names_other(const struct wr_proxy_names *n, struct wr_str name)
{
    for (uint32_t i = 0; i < n->others.n; i++)
        if (wr_str_ieq(n->others.at[i], name))
            return true;
    return false;
}

/* ---- while loading ---- */

void wr_proxy_hidden_make(struct wr_pool *pool, struct wr_proxy_conf *c)
{
    c->hidden = (struct wr_proxy_names){ 0 };
    for (size_t i = 0; i < WR_COUNT(hidden); i++)
        wr_proxy_names_add(pool, &c->hidden, wr_str_c(hidden[i]));
    for (uint32_t i = 0; i < c->show.n; i++)
        drop_name(&c->hidden, c->show.at[i]);
    for (uint32_t i = 0; i < c->hide.n; i++)
        wr_proxy_names_add(pool, &c->hidden, c->hide.at[i]);
}

/* ---- for each reply ---- */

/* Two of the fields are also members of the reply: hide those, too. */
static void hide_fields(struct wr_response *r, const struct wr_proxy_names *names)
{
    for (uint32_t i = 0; i < r->fields.n; i++) {
        struct wr_field *f = &r->fields.at[i];

        if (!f->gone && wr_proxy_names_has(names, f->id, f->name))
            wr_fields_drop(&r->fields, f);
    }
    if (wr_proxy_names_has(names, WR_F_CONTENT_TYPE, wr_str_of(NULL, 0)))
        r->type = wr_str_of(NULL, 0);
    if (wr_proxy_names_has(names, WR_F_LAST_MODIFIED, wr_str_of(NULL, 0)))
        r->last_modified = -1;
}

static void force_ranges(struct wr_response *r)
{
    r->ranges = true;
    wr_fields_remove(&r->fields, WR_F_ACCEPT_RANGES);
}

enum wr_verdict wr_proxy_reply(struct wr_exchange *x)
{
    const struct wr_proxy_conf *c = wr_conf_of(x, &wr_module_http_proxy);
    struct wr_response *r = &wr_http_of(x)->res;
    enum wr_verdict v = wr_proxy_accel(x, &c->base);

    if (v != WR_PASS)
        return v;
    hide_fields(r, &c->hidden);
    r->no_server = !wr_proxy_names_has(&c->hidden, WR_F_SERVER, wr_str_of(NULL, 0));
    wr_proxy_rewrite_redirects(x, c);
    wr_proxy_rewrite_cookies(x, c);
    if (c->base.force_ranges)
        force_ranges(r);
    return WR_PASS;
}
