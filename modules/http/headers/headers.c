/* headers: fields that the configuration adds to replies: add_header and `expires` to the head,
 * add_trailer after the body. Two head filters; the trailers need a body filter as well. Lists are
 * inherited as a whole, or as add_header_inherit says. */
#include "expires_time.h"
#include "http/http.h"

struct row {
    struct wr_str name;
    enum wr_field_id id;
    struct wr_template *value;
    bool always;               /* with any status */
};
struct list {
    WR_VEC(struct row) rows;
    const struct wr_scope *scope; /* where the rows were written; NULL: there are none */
    uint32_t inherit;
};
struct expires_conf {
    struct wr_template *variable; /* NULL: `fixed` is the value */
    bool modified;
    struct wr_expires fixed;
};
struct headers_conf {
    struct list headers, trailers;
    struct expires_conf expires;
};
enum inherit { INHERIT_ON, INHERIT_OFF, INHERIT_MERGE };

extern struct wr_module wr_module_headers;

/* The rows that apply in this scope; with `inherit off` an inherited list is empty. */
static const struct list *list_in(const struct list *l, const struct wr_scope *scope)
{
    static const struct list none;

    return l->inherit == INHERIT_OFF && l->scope != scope ? &none : l;
}

static bool may_have_headers(unsigned status)
{
    switch (status) {
    case 200: case 201: case 204: case 206:
    case 301: case 302: case 303: case 304: case 307: case 308:
        return true;
    default:
        return false;
    }
}

static bool may_have_trailers(unsigned status)
{
    return status != 204 && status != 304 && may_have_headers(status);
}

static void set_last_modified(struct wr_exchange *x, struct wr_str value)
{
    struct wr_response *res = &wr_http_of(x)->res;

    wr_fields_remove(&res->fields, WR_F_LAST_MODIFIED);
    if (!wr_http_time(value, &res->last_modified))
        res->last_modified = -1;
    if (value.n > 0)
        (void)wr_fields_add_id(x->pool, &res->fields, WR_F_LAST_MODIFIED, value);
}

static void add_header(struct wr_exchange *x, const struct row *r)
{
    struct wr_response *res = &wr_http_of(x)->res;
    struct wr_str value = wr_template_str(x, r->value);

    if (r->id == WR_F_LAST_MODIFIED) {
        set_last_modified(x, value);
        return;
    }
    if (r->id == WR_F_ETAG)
        wr_fields_remove(&res->fields, WR_F_ETAG);
    if (value.n > 0)
        (void)wr_fields_add(x->pool, &res->fields, r->name, value);
}

static void set_expires(struct wr_exchange *x, const struct expires_conf *c)
{
    struct wr_response *res = &wr_http_of(x)->res;
    struct wr_text at = wr_text_grow(x->pool, 32, 64);
    struct wr_expires e = c->fixed;
    struct wr_expiry expiry;

    /* an invalid value of a variable has no effect */
    if (c->variable != NULL
        && wr_expires_parse(wr_template_str(x, c->variable), c->modified, &e) != NULL)
        return;
    if (e.kind == WR_EXPIRES_OFF)
        return;
    expiry = wr_expires_at(&e, (time_t)(wr_clock.wall_ms / 1000),
                           wr_response_modified(res));
    wr_clock_http(expiry.at, &at);
    wr_fields_set(x->pool, &res->fields, WR_F_EXPIRES, wr_text_view(&at));
    wr_fields_set(x->pool, &res->fields, WR_F_CACHE_CONTROL,
                  expiry.max_age < 0 ? WR_STR("no-cache")
                                     : wr_pool_fmt(x->pool, "max-age=%lld",
                                                   (long long)expiry.max_age));
}

static enum wr_filter_result headers_head(struct wr_exchange *x)
{
    const struct headers_conf *c = wr_conf_of(x, &wr_module_headers);
    const struct list *l = list_in(&c->headers, x->scope);
    bool usual = may_have_headers(wr_http_of(x)->res.status);

    if (usual && (c->expires.variable != NULL || c->expires.fixed.kind != WR_EXPIRES_OFF))
        set_expires(x, &c->expires);
    for (uint32_t i = 0; i < l->rows.n; i++)
        if (usual || l->rows.at[i].always)
            add_header(x, &l->rows.at[i]);
    return WR_FILTER_OK;
}

/* Called at the end of the body: the variables of trailers are evaluated only then. */
static void add_trailers(struct wr_exchange *x, const struct list *l)
{
    struct wr_http *h = wr_http_of(x);
    bool usual = may_have_trailers(h->res.status);

    for (uint32_t i = 0; i < l->rows.n; i++) {
        const struct row *r = &l->rows.at[i];
        struct wr_str value = wr_str_of(NULL, 0);

        if (usual || r->always)
            value = wr_template_str(x, r->value);
        if (value.n > 0)
            wr_fields_add(x->pool, &h->res.trailers, r->name, value);
    }
}

struct trailers {
    struct wr_relay_filter filter;
    struct wr_exchange *x;
    const struct list *list;
};

static enum wr_filtered trailers_run(struct wr_relay_filter *f, enum wr_push push,
                                     struct wr_bufq *out)
{
    const struct trailers *t = wr_container(f, struct trailers, filter);

    wr_bufq_move(out, &f->in, f->in.n);
    if (push == WR_PUSH_FIN)
        add_trailers(t->x, t->list);
    return WR_FILTERED;
}

/* Trailers need chunked framing, even if the length is known. */
static enum wr_filter_result trailers_head(struct wr_exchange *x)
{
    const struct headers_conf *c = wr_conf_of(x, &wr_module_headers);
    const struct wr_http_conf *http = wr_conf_of(x, &wr_module_http);
    const struct list *l = list_in(&c->trailers, x->scope);
    struct wr_http *h;
    struct trailers *t;
    bool wanted = false;

    if (wr_likely(l->rows.n == 0))
        return WR_FILTER_OK;
    h = wr_http_of(x);
    if (h->header_only || h->req.method == WR_M_HEAD
        || h->req.version < 11 || !http->chunked || h->res.status == 204 || h->res.status == 304)
        return WR_FILTER_OK;
    for (uint32_t i = 0; i < l->rows.n; i++)
        wanted = wanted || l->rows.at[i].always || may_have_trailers(h->res.status);
    if (!wanted)
        return WR_FILTER_OK;
    h->res.framing = WR_BODY_CHUNKED;
    t = WR_NEW(x->pool, struct trailers);
    t->x = x;
    t->list = l;
    t->filter = (struct wr_relay_filter){ .run = trailers_run, .passes = true };
    wr_http_add_body_filter(x, &t->filter);
    return WR_FILTER_OK;
}

static bool has_control(struct wr_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return true;
    return false;
}

static bool set_field(struct wr_cf *cf, void *conf)
{
    struct list *l = WR_FIELD(cf, conf, struct list);
    struct wr_template *value = wr_template_new(cf, 2, wr_cf_arg(cf, 2));
    struct row *r;

    if (has_control(wr_cf_arg(cf, 1)))
        return wr_cf_error(cf, 1, "a header name must not have control characters");
    if (value == NULL)
        return false;
    if (cf->nargs == 3 && !wr_str_is(wr_cf_arg(cf, 3), "always"))
        return wr_cf_error(cf, 3, "invalid parameter \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 3)));
    if (cf->first)
        *l = (struct list){ .scope = cf->scope, .inherit = l->inherit };
    r = wr_vec_push(cf->pool, &l->rows);
    r->name = wr_cf_arg(cf, 1);
    r->id = wr_field_id(r->name);
    r->value = value;
    r->always = cf->nargs == 3;
    return true;
}

static bool set_expires_conf(struct wr_cf *cf, void *conf)
{
    struct expires_conf *c = WR_FIELD(cf, conf, struct expires_conf);
    uint32_t last = cf->nargs;
    struct wr_template *t = wr_template_new(cf, last, wr_cf_arg(cf, last));
    const char *wrong = "invalid value";
    struct wr_str literal;

    if (t == NULL)
        return false;
    *c = (struct expires_conf){ .modified = last == 2 };
    if (c->modified && !wr_str_is(wr_cf_arg(cf, 1), "modified"))
        return wr_cf_error(cf, 1, "\"expires\" directive %s", wrong);
    if (!wr_template_literal(t, &literal)) {
        c->variable = t;
        return true;
    }
    wrong = wr_expires_parse(literal, c->modified, &c->fixed);
    return wrong == NULL || wr_cf_error(cf, last, "\"expires\" directive %s", wrong);
}

/* `inherit merge`: append the rows that apply in the outer scope. */
static void merge_lists(struct wr_cf *cf, const struct wr_scope *scope, struct list *own,
                        const struct list *outer)
{
    if (own->inherit != INHERIT_MERGE || own->scope != scope)
        return;
    outer = list_in(outer, scope->parent);
    for (uint32_t i = 0; i < outer->rows.n; i++)
        *wr_vec_push(cf->pool, &own->rows) = outer->rows.at[i];
}

static bool headers_finish(struct wr_cf *cf, struct wr_scope *scope, void *conf)
{
    struct headers_conf *c = conf;
    const struct headers_conf *outer;

    if (scope->parent == NULL || (outer = wr_scope_conf(scope->parent, &wr_module_headers)) == NULL)
        return true;
    merge_lists(cf, scope, &c->headers, &outer->headers);
    merge_lists(cf, scope, &c->trailers, &outer->trailers);
    return true;
}

static const struct wr_enum inherits[] = {
    { "on", INHERIT_ON }, { "off", INHERIT_OFF }, { "merge", INHERIT_MERGE }, { NULL, 0 }
};

static const struct wr_directive directives[] = {
    WR_ROW("add_header", WR_L7 | WR_IN_LOCATION_IFS | WR_MULTI, 2, 3, set_field,
           struct headers_conf, headers, NULL, NULL,
           "adds a field to successful replies; always: to all"),
    WR_ROW("add_trailer", WR_L7 | WR_IN_LOCATION_IFS | WR_MULTI, 2, 3, set_field,
           struct headers_conf, trailers, NULL, NULL,
           "adds a field after the body of successful replies; always: of all"),
    WR_ENUM("add_header_inherit", WR_L7 | WR_IN_LOCATION_IFS, struct headers_conf, headers.inherit,
            inherits, "on",
            "a block inherits the outer list if it has none (on), adds to it (merge), or neither"),
    WR_ENUM("add_trailer_inherit", WR_L7 | WR_IN_LOCATION_IFS, struct headers_conf,
            trailers.inherit, inherits, "on",
            "a block inherits the outer list if it has none (on), adds to it (merge), or neither"),
    WR_ROW("expires", WR_L7 | WR_IN_LOCATION_IFS, 1, 2, set_expires_conf, struct headers_conf,
           expires, NULL, "off",
           "sets Expires and Cache-Control: from now, from Last-Modified, or to a time of day"),
    { 0 }
};

struct wr_module wr_module_headers = {
    .name = "headers",
    .layers = WR_L7,
    .conf_size = sizeof(struct headers_conf),
    .directives = directives,
    .filters = (const struct wr_filter[]){
        { WR_FR_HEADERS, headers_head }, { WR_FR_CHUNKED, trailers_head }, { 0 } },
    .finish = headers_finish,
};
