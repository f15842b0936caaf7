/* preface: a text in front of HTML pages, as an example of a module: a directive, a variable, a
 * filter of reply bodies and a child exchange. CONTRIBUTING.md walks through it.
 *
 *     preface URI;       where the text is: a path of the same server, or off
 *     $preface_status    the status with which URI was answered
 *
 * The text is fetched when the head of a page is known, and the page waits for it. If fetching
 * fails, or the text is too long, the page goes out without it. */
#include "http/http.h"

#define TEXT_MAX 65536         /* bytes */

struct preface_conf {
    struct wr_str path, args;  /* path n 0: off */
};
struct preface {               /* of one exchange */
    struct wr_relay_filter filter;
    struct wr_bufq text;
    unsigned status;           /* of the child; 0: it has not ended */
    bool asked, fetching;
};

extern struct wr_module wr_module_preface;

/* The child has ended, and its end wakes the parent. */
static void preface_over(struct wr_exchange *child)
{
    struct preface *p = wr_ctx_of(child->parent, &wr_module_preface);

    p->fetching = false;
    p->status = child->status;
    if (child->status != 200 || wr_http_of(child)->aborted)
        wr_bufq_clear(&p->text);
}

static void drop_text(void *text)
{
    wr_bufq_clear(text);
}

static void fetch_text(struct wr_exchange *x, const struct preface_conf *c, struct preface *p)
{
    struct wr_exchange *child = wr_subrequest_new(x, c->path, c->args);

    if (child == NULL)
        return;
    wr_fields_remove(&wr_http_of(child)->req.fields, WR_F_ACCEPT_ENCODING);
    wr_endpoint_collect(&child->client, &p->text, TEXT_MAX);
    wr_pool_cleanup(x->pool, drop_text, &p->text);
    child->over = preface_over;
    p->fetching = true;
    wr_exchange_wake(child);
}

static enum wr_filtered preface_run(struct wr_relay_filter *f, enum wr_push push WR_UNUSED,
                                    struct wr_bufq *out)
{
    struct preface *p = wr_container(f, struct preface, filter);

    if (p->fetching)
        return WR_FILTER_WAITS;
    wr_bufq_move(out, &p->text, p->text.n);
    wr_bufq_move(out, &f->in, f->in.n);
    return WR_FILTERED;
}

static bool is_page(const struct wr_http *h)
{
    return h->res.status == 200 && wr_str_starts(h->res.type, WR_STR("text/html"))
        && wr_fields_first(&h->res.fields, WR_F_CONTENT_ENCODING) == NULL;
}

/* The length of the body is not known any more, and the validators of the page do not fit what is
 * sent. */
static void change_head(struct wr_http *h)
{
    h->res.framing = WR_BODY_CHUNKED;
    h->res.has_length = h->res.ranges = false;
    h->res.last_modified = -1;
    wr_fields_remove(&h->res.fields, WR_F_LAST_MODIFIED);
    wr_fields_remove(&h->res.fields, WR_F_ETAG);
    wr_fields_remove(&h->res.fields, WR_F_ACCEPT_RANGES);
}

static enum wr_filter_result preface_head(struct wr_exchange *x)
{
    const struct preface_conf *c = wr_conf_of(x, &wr_module_preface);
    struct preface *p = wr_ctx_of(x, &wr_module_preface);

    if (!is_page(wr_http_of(x)))
        return WR_FILTER_OK;
    change_head(wr_http_of(x));
    if (wr_http_of(x)->header_only) /* HEAD */
        return WR_FILTER_OK;
    if (!p->asked) /* an error page may have come in between */
        fetch_text(x, c, p);
    p->asked = true;
    p->filter = (struct wr_relay_filter){ .run = preface_run, .passes = true };
    wr_http_add_body_filter(x, &p->filter);
    return WR_FILTER_OK;
}

static bool preface_status(struct wr_exchange *x, const struct wr_var *v WR_UNUSED,
                           struct wr_str *out)
{
    const struct preface *p = wr_ctx_of(x->main, &wr_module_preface);

    *out = wr_pool_fmt(x->pool, "%u", p->status);
    return p->status != 0;
}

static bool set_preface(struct wr_cf *cf, void *conf)
{
    struct wr_request r = { .uri = { NULL, 0 } };
    struct preface_conf *c = conf;

    if (!wr_str_is(wr_cf_arg(cf, 1), "off")
        && !wr_uri_normalize(cf->pool, wr_cf_arg(cf, 1), true, &r))
        return wr_cf_error(cf, 1, "invalid URI \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 1)));
    c->path = r.uri;
    c->args = r.args;
    return true;
}

static bool has_path(const void *conf)
{
    return ((const struct preface_conf *)conf)->path.n > 0;
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("preface", WR_L7 | WR_IN_LOCATIONS, 1, 1, set_preface, "off",
              "path of a text that is sent in front of HTML pages"),
    { 0 }
};

struct wr_module wr_module_preface = {
    .name = "preface",
    .layers = WR_L7,
    .conf_size = sizeof(struct preface_conf),
    .ctx_size = sizeof(struct preface),
    .directives = directives,
    .variables = (const struct wr_variable[]){
        { .name = "preface_status", .layers = WR_L7, .get = preface_status },
        { .name = NULL },
    },
    .has_work = has_path,
    .filters = (const struct wr_filter[]){ { WR_FR_ADDITION, preface_head }, { 0 } },
};
