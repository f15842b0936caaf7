/* http_proxy_request: the head of the request a backend gets. What proxy_set_header says is merged
 * with the defaults into a plan once, while the configuration is loaded; a request is then one pass
 * over the plan and one over the client's fields. Called by the engine for each try. */
#include "http_proxy.h"

/* Fields about the connection they came on (RFC 9110 7.6.1), and those the plan or the framing
 * writes. They are sent only when proxy_set_header says so. */
static const enum wr_field_id never_passed[] = {
    WR_F_HOST, WR_F_CONNECTION, WR_F_CONTENT_LENGTH, WR_F_TRANSFER_ENCODING, WR_F_KEEP_ALIVE,
    WR_F_TE, WR_F_TRAILER, WR_F_UPGRADE, WR_F_PROXY_CONNECTION, WR_F_EXPECT,
};

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

static void constant(struct wr_text *t, struct wr_str name, struct wr_str value)
{
    size_t from;

    if (value.n == 0)
        return;
    wr_text_str(t, name);
    wr_text_c(t, ": ");
    from = t->n;
    wr_text_str(t, value);
    wr_field_guard(t, from, WR_F_OTHER);
    wr_text_c(t, "\r\n");
}

/* Ends the constant text with the name of a field whose value comes at run time. */
static struct wr_proxy_line *variable(struct wr_pool *pool, struct wr_proxy_plan *p,
                                      struct wr_text *t, struct wr_str name)
{
    struct wr_proxy_line *l = wr_vec_push(pool, &p->lines);

    wr_text_str(t, name);
    wr_text_c(t, ": ");
    l->text = wr_text_view(t);
    l->own = name.n + 2;
    *t = wr_text_grow(pool, 64, SIZE_MAX / 2);
    return l;
}

static void add_set(struct wr_pool *pool, struct wr_proxy_plan *p, struct wr_text *t,
                    const struct wr_proxy_set *s)
{
    enum wr_field_id id = wr_field_id(s->name);
    struct wr_str literal;

    wr_proxy_names_add(pool, &p->skip, s->name);
    p->own_connection |= id == WR_F_CONNECTION;
    if (id == WR_F_CONTENT_LENGTH || id == WR_F_TRANSFER_ENCODING)
        p->own_length = true; /* the framing of a body is nobody's choice: see framing() */
    else if (wr_template_literal(s->value, &literal))
        constant(t, s->name, literal);
    else
        variable(pool, p, t, s->name)->value = s->value;
}

/* Host stands first and once (RFC 9112 3.2): what proxy_set_header says last or, where it says
 * nothing or that is empty ($http_host of HTTP/1.0, say), the host of proxy_pass. */
static void add_host(struct wr_pool *pool, const struct wr_proxy_conf *c, struct wr_proxy_plan *p,
                     struct wr_text *t)
{
    struct wr_template *said = NULL;
    struct wr_str text = { NULL, 0 };
    struct wr_proxy_line *l;

    for (uint32_t i = 0; i < c->set.n; i++)
        if (wr_field_id(c->set.at[i].name) == WR_F_HOST)
            said = c->set.at[i].value;
    if (said != NULL && wr_template_literal(said, &text) && text.n == 0)
        said = NULL;
    if (said == NULL && c->pass.url_tpl == NULL)
        text = c->pass.url.host;
    constant(t, WR_STR("Host"), text);
    if (text.n > 0)
        return;
    l = variable(pool, p, t, WR_STR("Host"));
    l->value = said;
    l->proxy_host = true;
}

void wr_proxy_plan_make(struct wr_pool *pool, struct wr_proxy_conf *c)
{
    struct wr_proxy_plan p = { 0 };
    struct wr_text t = wr_text_grow(pool, 64, SIZE_MAX / 2);

    for (size_t i = 0; i < WR_COUNT(never_passed); i++)
        wr_proxy_names_add(pool, &p.skip, wr_field_name(never_passed[i]));
    add_host(pool, c, &p, &t);
    for (uint32_t i = 0; i < c->set.n; i++)
        if (wr_field_id(c->set.at[i].name) != WR_F_HOST)
            add_set(pool, &p, &t, &c->set.at[i]);
    if (c->http10 && !p.own_connection) {
        constant(&t, WR_STR("Connection"), WR_STR("close"));
        p.own_connection = true;
    }
    p.tail = wr_text_view(&t);
    c->plan = p;
}

/* ---- for each request ---- */

static void put_method(struct wr_exchange *x, const struct wr_proxy_conf *c, struct wr_text *out)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_str method = h->req.method_text;

    if (c->method != NULL) {
        struct wr_str own = wr_template_str(x, c->method);

        if (is_token(own)) {
            method = own;
            h->upstream_method = wr_method_of(own);
        } else if (own.n > 0) {
            wr_xlog(x, WR_LOG_ERROR, 0, "invalid method \"" WR_FMT "\" of proxy_method is not used",
                    WR_ARG(own));
        }
    }
    wr_text_str(out, method);
    wr_text_char(out, ' ');
}

static void put_line(struct wr_exchange *x, const struct wr_proxy_line *l, struct wr_text *out)
{
    size_t from;

    wr_text_str(out, l->text);
    from = out->n;
    if (l->value != NULL)
        (void)wr_template_text(x, l->value, out);
    if (l->proxy_host && out->n == from)
        wr_text_str(out, wr_proxy_url_of(x)->host);
    if (out->n == from) {
        out->n -= out->overflow ? 0 : l->own;
        return;
    }
    wr_field_guard(out, from, WR_F_OTHER);
    wr_text_str(out, WR_STR("\r\n"));
}

/* A connection that the configuration keeps for nobody is better closed by the server. Without a
 * group nothing is said of it, as nginx has it: weir closes it behind the reply. */
static bool leaves(const struct wr_exchange *x)
{
    const struct wr_attempts *a = x->attempts;

    return a != NULL && a->u != NULL && a->u->keepalive.connections == 0;
}

/* A body is framed as it is sent; proxy_set_header can only spare the "Content-Length: 0". */
static void framing(const struct wr_http *h, const struct wr_proxy_plan *p, uint64_t length,
                    struct wr_text *out)
{
    if (length == UINT64_MAX) {
        wr_text_str(out, WR_STR("Transfer-Encoding: chunked\r\n"));
    } else if (length > 0 || (h->req.framing != WR_BODY_NONE && !p->own_length)) {
        wr_text_str(out, WR_STR("Content-Length: "));
        wr_text_u64(out, length);
        wr_text_str(out, WR_STR("\r\n"));
    }
}

/* Does Connection name fields, rather than say how the connection goes on? */
static bool names_fields(const struct wr_request *r)
{
    const struct wr_field *f = wr_fields_first(&r->fields, WR_F_CONNECTION);

    return f != NULL && ((!wr_str_ieq(f->value, WR_STR("keep-alive"))
                          && !wr_str_ieq(f->value, WR_STR("close")))
                         || wr_fields_find(&r->fields, f->name, f) != NULL);
}

static void put_fields(const struct wr_request *r, const struct wr_proxy_plan *p,
                       struct wr_text *out)
{
    bool named = names_fields(r);
    struct wr_str run = { NULL, 0 };

    for (uint32_t i = 0; i < r->fields.n; i++) {
        const struct wr_field *f = &r->fields.at[i];

        if (f->gone || wr_proxy_names_has(&p->skip, f->id, f->name)
            || (named && wr_fields_has_token(&r->fields, WR_F_CONNECTION, f->name)))
            continue;
        wr_field_line(&run, f, out);
    }
    wr_field_lines_end(&run, out);
}

bool wr_proxy_request(struct wr_exchange *x, struct wr_text *out, uint64_t body_length)
{
    const struct wr_proxy_conf *c = wr_conf_of(x, &wr_module_http_proxy);
    const struct wr_http *h = wr_http_of(x);
    const struct wr_proxy_plan *p = &c->plan;

    put_method(x, c, out);
    wr_proxy_target(out, h, &c->pass, wr_proxy_url_of(x));
    wr_text_str(out, c->http10 ? WR_STR(" HTTP/1.0\r\n") : WR_STR(" HTTP/1.1\r\n"));
    for (uint32_t i = 0; i < p->lines.n; i++)
        put_line(x, &p->lines.at[i], out);
    wr_text_str(out, p->tail);
    if (!p->own_connection && leaves(x))
        wr_text_str(out, WR_STR("Connection: close\r\n"));
    framing(h, p, body_length, out);
    if (c->base.pass_request_headers)
        put_fields(&h->req, p, out);
    wr_text_str(out, WR_STR("\r\n"));
    return !out->overflow;
}
