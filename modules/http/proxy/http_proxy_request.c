/* http_proxy_request: makes the request for a server, as data. While the configuration is loaded,
 * proxy_set_header and the defaults are merged into a plan; a request then takes one pass over the
 * plan and one over the client's fields. Called by the engine for each try. */
#include "proxy_impl.h"

#define VALUE_MAX (1 << 20)

/* ---- while loading ---- */

static bool is_token(struct wr_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
            return false;
    }
    return s.n > 0;
}

bool wr_proxy_set_header(struct wr_cf *cf, void *conf)
{
    struct wr_proxy_conf *c = conf;
    struct wr_proxy_set *s;

    if (cf->first)
        memset(&c->set, 0, sizeof(c->set));
    if (!is_token(wr_cf_arg(cf, 1)))
        return wr_cf_error(cf, 1, "invalid header name \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 1)));
    s = wr_vec_push(cf->pool, &c->set);
    s->name = wr_cf_arg(cf, 1);
    s->value = wr_template_new(cf, 2, wr_cf_arg(cf, 2));
    return s->value != NULL;
}

/* A constant that is empty leaves the field out. */
static void add_line(struct wr_pool *pool, struct wr_proxy_plan *p, const struct wr_proxy_set *s,
                     enum wr_field_id id)
{
    struct wr_str literal = { NULL, 0 };
    bool constant = wr_template_literal(s->value, &literal);

    if (!constant || literal.n > 0)
        *wr_vec_push(pool, &p->lines) = (struct wr_proxy_line){
            .field = { .name = s->name, .value = literal, .id = (uint16_t)id },
            .value = constant ? NULL : s->value,
        };
}

static void add_set(struct wr_pool *pool, struct wr_proxy_plan *p, const struct wr_proxy_set *s)
{
    enum wr_field_id id = wr_field_id(s->name);
    struct wr_str literal;

    wr_proxy_names_add(pool, &p->skip, s->name);
    p->own_connection |= id == WR_F_CONNECTION;
    if (id == WR_F_CONTENT_LENGTH || id == WR_F_TRANSFER_ENCODING)
        p->own_length = true; /* the configuration cannot set the framing */
    else if (id != WR_F_HOST)
        add_line(pool, p, s, id);
    else /* only one is allowed (RFC 9112 3.2): the last one configured */
        p->host = wr_template_literal(s->value, &literal) && literal.n == 0 ? NULL : s->value;
}

static void lay_out(struct wr_pool *pool, struct wr_proxy_plan *p)
{
    struct wr_field **at = wr_pool_alloc(pool, (p->lines.n + 1) * sizeof(*at));
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->lines.n; i++)
        if (p->lines.at[i].value == NULL)
            at[n++] = &p->lines.at[i].field;
    wr_fields_lay(pool, at, n);
}

void wr_proxy_plan_make(struct wr_pool *pool, struct wr_proxy_conf *c)
{
    struct wr_proxy_plan p = { 0 };

    for (unsigned id = WR_F_OTHER + 1; id < WR_F_COUNT; id++)
        if (wr_field_is_hop(id) || id == WR_F_HOST || id == WR_F_CONTENT_LENGTH
            || id == WR_F_EXPECT)
            wr_proxy_names_add(pool, &p.skip, wr_field_name(id));
    for (uint32_t i = 0; i < c->set.n; i++)
        add_set(pool, &p, &c->set.at[i]);
    lay_out(pool, &p);
    c->plan = p;
}

/* ---- for each request ---- */

static void set_method(struct wr_exchange *x, const struct wr_template *t,
                       struct wr_request_out *out)
{
    struct wr_str own = wr_template_str(x, t);

    if (is_token(own)) {
        out->method_text = own;
        out->method = wr_method_of(own);
    } else if (own.n > 0) {
        wr_xlog(x, WR_LOG_ERROR, 0, "invalid method \"" WR_FMT "\" of proxy_method is not used",
                WR_ARG(own));
    }
}

/* A field may be longer than wr_template_str allows. */
static bool long_value(struct wr_exchange *x, const struct wr_template *t, struct wr_str *out)
{
    struct wr_text text = wr_text_grow(x->pool, 1 << 17, VALUE_MAX);

    if (!wr_template_text(x, t, &text))
        return false;
    *out = wr_text_view(&text);
    return true;
}

static inline bool value_of(struct wr_exchange *x, const struct wr_template *t, struct wr_str *out)
{
    *out = wr_template_str(x, t);
    return out->p != NULL || long_value(x, t, out);
}

/* True: the group keeps no connections for reuse, so ask the server to close this one. Without a
 * group, as in nginx, nothing is asked, and weir closes it after the reply. */
static bool must_close(const struct wr_exchange *x)
{
    const struct wr_tries *a = x->tries;

    return a != NULL && a->u != NULL && a->u->links.keepalive.connections == 0;
}

/* True: Connection names fields, and is not just keep-alive or close. */
static bool has_named_fields(const struct wr_request *r)
{
    const struct wr_field *f = wr_fields_first(&r->fields, WR_F_CONNECTION);

    return f != NULL && ((!wr_str_ieq(f->value, WR_STR("keep-alive"))
                          && !wr_str_ieq(f->value, WR_STR("close")))
                         || wr_fields_find(&r->fields, f->name, f) != NULL);
}

/* made: room for the fields whose values have variables. */
static bool put_own(struct wr_exchange *x, const struct wr_proxy_plan *p, struct wr_field *made,
                    struct wr_request_out *out)
{
    for (uint32_t i = 0; i < p->lines.n; i++) {
        const struct wr_proxy_line *l = &p->lines.at[i];
        const struct wr_field *f = &l->field;

        if (l->value != NULL) {
            *made = l->field;
            if (!value_of(x, l->value, &made->value))
                return false;
            if (made->value.n == 0)
                continue;
            f = made++;
        }
        out->fields[out->n++] = f;
    }
    out->own = out->n;
    return true;
}

static void put_passed(const struct wr_request *r, const struct wr_proxy_plan *p,
                       struct wr_request_out *out)
{
    bool named = has_named_fields(r);

    for (uint32_t i = 0; i < r->fields.n; i++) {
        const struct wr_field *f = &r->fields.at[i];

        if (!f->gone && !wr_proxy_names_has(&p->skip, f->id, f->name)
            && !(named && wr_fields_has_token(&r->fields, WR_F_CONNECTION, f->name)))
            out->fields[out->n++] = f;
    }
}

bool wr_proxy_request(struct wr_exchange *x, struct wr_request_out *out)
{
    const struct wr_proxy_conf *c = wr_conf_of(x, &wr_module_http_proxy);
    const struct wr_http *h = wr_http_of(x);
    const struct wr_proxy_plan *p = &c->plan;
    size_t most = p->lines.n + h->req.fields.n + 1;
    struct wr_field *made = wr_pool_alloc(x->pool, p->lines.n * sizeof(*made)
                                                   + most * sizeof(*out->fields));

    if (c->method != NULL)
        set_method(x, c->method, out);
    out->target = wr_proxy_target(x->pool, h, &c->pass, wr_proxy_url_of(x));
    if (p->host != NULL && !value_of(x, p->host, &out->authority))
        return false;
    if (out->authority.n == 0)
        out->authority = wr_proxy_url_of(x)->host;
    out->version = c->http10 ? 10 : 11;
    out->close = !p->own_connection && (c->http10 || must_close(x));
    if (out->framing == WR_BODY_LENGTH && out->length == 0 && p->own_length)
        out->framing = WR_BODY_NONE; /* proxy_set_header can only remove "Content-Length: 0" */
    out->fields = (const struct wr_field **)(made + p->lines.n);
    if (!put_own(x, p, made, out))
        return false;
    if (c->base.pass_request_headers)
        put_passed(&h->req, p, out);
    return out->target.p != NULL;
}
