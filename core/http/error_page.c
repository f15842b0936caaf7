/* error_page: the directive, and the reply to an error: an internal redirect, a named location, a
 * redirect to another URL, or a built-in page. The engine calls wr_http_error for every status that
 * has no reply yet. */
#include "http/http.h"

struct page {
    unsigned status;
    int response;              /* status of `=code`; 0: that of the page's reply; -1: the error's */
    struct wr_template *uri;
};
struct page_conf {
    WR_VEC(struct page) list;
};

extern struct wr_module wr_module_error_page;

/* ---- an exchange that ends without a reply ---- */

static enum wr_go drop_run(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);

    wr_http_abort(x, c->reset_timedout && (x->status == 408 || x->status == 444) ? WR_ABORT_RESET
                                                                                 : WR_ABORT_CUT);
    return wr_finish(x, 0);
}

static const struct wr_step step_drop = { "drop", "closing request", drop_run };

/* True: the client gets no reply, as in nginx: 444 demands it; the client timed out or has left. */
static bool has_no_reply(const struct wr_http *h, unsigned status)
{
    return status == 444 || status == 499 || status == 408 || h->head_sent;
}

/* After these statuses the client's further input cannot be trusted, or is not worth reading. */
static bool must_close(unsigned status)
{
    switch (status) {
    case 400: case 413: case 414: case 431: case 494: case 495: case 496: case 497: case 500:
    case 501:
        return true;
    default:
        return false;
    }
}

/* A body that is too large or malformed must not be sent to the server that makes the page: the
 * session drops it. */
static void drop_body(struct wr_http *h)
{
    wr_bufq_clear(&h->body.q);
    h->body.file = NULL; /* the pool frees it */
    h->body.size = 0;
    h->req.framing = WR_BODY_NONE;
}

/* ---- built-in ---- */

static enum wr_verdict reply_built_in(struct wr_exchange *x, unsigned status)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_str text = wr_error_text(x, status), type = wr_str_of(NULL, 0);

    wr_http_leave_upstream(x);
    if (status >= 494 && status <= 497)
        status = 400;
    h->error_status = status;
    h->res.reason = wr_str_of(NULL, 0);
    h->res.last_modified = -1;
    h->res.ranges = false;
    wr_fields_remove(&h->res.fields, WR_F_ETAG);
    if (text.n > 0)
        type = WR_STR("text/html");
    return wr_http_respond_text(x, status, type, text);
}

/* ---- pages ---- */

static bool is_redirect(unsigned status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static const struct page *find_page(const struct wr_exchange *x, unsigned status)
{
    const struct page_conf *c = wr_conf_of(x, &wr_module_error_page);

    for (uint32_t i = 0; i < c->list.n; i++) {
        unsigned named = c->list.at[i].status;

        /* nginx's 494 is 431 here. */
        if (named == status || (named == 494 && status == 431))
            return &c->list.at[i];
    }
    return NULL;
}

bool wr_http_has_page(const struct wr_exchange *x, unsigned status)
{
    return find_page(x, status) != NULL;
}

static enum wr_verdict redirect_to(struct wr_exchange *x, struct wr_str url)
{
    struct wr_http *h = wr_http_of(x);
    unsigned status = is_redirect(h->error_status) ? h->error_status : 302;

    wr_fields_set(x->pool, &h->res.fields, WR_F_LOCATION, url);
    return reply_built_in(x, status);
}

/* The page's reply will have other fields: keep for it those that belong to the failure. */
static void keep_fields(struct wr_exchange *x)
{
    static const enum wr_field_id ids[] = {
        WR_F_WWW_AUTHENTICATE, WR_F_PROXY_AUTHENTICATE, WR_F_RETRY_AFTER, WR_F_LOCATION,
    };
    struct wr_http *h = wr_http_of(x);

    for (size_t i = 0; i < WR_COUNT(ids); i++) {
        const struct wr_field *f = wr_fields_first(&h->res.fields, ids[i]);

        if (f != NULL)
            wr_fields_remove(&h->kept, ids[i]);
        for (; f != NULL; f = wr_fields_find(&h->res.fields, f->name, f))
            wr_fields_put(x->pool, &h->kept, ids[i], f->name, f->value);
    }
}

static void make_get(struct wr_http *h)
{
    if (h->req.method == WR_M_HEAD)
        return;
    h->req.method = WR_M_GET;
    h->req.method_text = WR_STR("GET");
}

/* A named location handles the request as it came. But a request that could not be parsed cannot be
 * sent to a server: make it one for "/". (nginx has no path then and replies with 500 instead of
 * the error.) */
static void make_sendable(struct wr_http *h)
{
    if (h->req.uri.p != NULL)
        return;
    h->req.uri = WR_STR("/");
    h->req.args = wr_str_of(NULL, 0);
    h->uri_internal = true;
    make_get(h);
}

static enum wr_verdict go_internal(struct wr_exchange *x, struct wr_str uri, struct wr_str args)
{
    enum wr_verdict v;

    keep_fields(x);
    v = wr_http_internal(x, uri, args);
    if (v == WR_REJECTED)
        return reply_built_in(x, x->status); /* the page failed, too: no further pages */
    x->status = 0;
    return v;
}

static enum wr_verdict go_to_page(struct wr_exchange *x, const struct page *p)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_str uri = wr_template_str(x, p->uri), path;
    struct wr_str none = wr_str_of(NULL, 0);

    h->error_page = true;
    if (p->response >= 0)
        h->error_status = (unsigned)p->response;
    if (uri.n > 0 && uri.p[0] == '@') {
        make_sendable(h);
        return go_internal(x, uri, none);
    }
    if (uri.n == 0 || uri.p[0] != '/')
        return redirect_to(x, uri);
    make_get(h);
    path = wr_str_cut(&uri, '?');
    return go_internal(x, path, uri);
}

enum wr_verdict wr_http_error(struct wr_exchange *x, unsigned status)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_http *h = wr_http_of(x);
    const struct page *p;

    if (has_no_reply(h, status)) {
        x->status = h->head_sent ? x->status : status;
        x->step = &step_drop;
        return WR_TAKEN;
    }
    if (must_close(status))
        h->keepalive = false;
    if (status == 413 || status == 400)
        drop_body(h);
    wr_http_discard_body(x);
    h->filters = NULL;
    h->error_status = status;
    p = h->error_page && !c->recursive_error_pages ? NULL : find_page(x, status);
    return p != NULL ? go_to_page(x, p) : reply_built_in(x, status);
}

/* ---- the directive ---- */

static bool invalid_value(struct wr_cf *cf, uint32_t i)
{
    return wr_cf_error(cf, i, "invalid value \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, i)));
}

/* Parses "=" or "=200", the last but one argument. False: the argument is something else. */
static bool parse_response(struct wr_cf *cf, uint32_t i, int *response, bool *ok)
{
    struct wr_str s = wr_cf_arg(cf, i);
    uint64_t code;

    *ok = true;
    if (s.n == 0 || s.p[0] != '=')
        return false;
    *response = 0;
    if (s.n == 1)
        return true;
    *ok = wr_str_u64(wr_str_skip(s, 1), &code) && code <= 999;
    *response = *ok ? (int)code : 0;
    return true;
}

static bool add_page(struct wr_cf *cf, struct page_conf *c, uint32_t i, const struct page *p)
{
    struct page *added;
    uint64_t code;

    if (!wr_str_u64(wr_cf_arg(cf, i), &code) || code == 499)
        return invalid_value(cf, i);
    if (code < 300 || code > 599)
        return wr_cf_error(cf, i, "value \"" WR_FMT "\" must be between 300 and 599",
                           WR_ARG(wr_cf_arg(cf, i)));
    added = wr_vec_push(cf->pool, &c->list);
    *added = *p;
    added->status = (unsigned)code;
    /* nginx's own statuses: the client gets 400. */
    if (p->response < 0 && code >= 494 && code <= 497)
        added->response = 400;
    return true;
}

static bool set_error_page(struct wr_cf *cf, void *conf)
{
    struct page_conf *c = conf;
    uint32_t codes = cf->nargs - 1;
    struct page p = { .response = -1 };
    bool ok;

    if (cf->first)
        *c = (struct page_conf){ 0 };
    if (parse_response(cf, codes, &p.response, &ok))
        codes--;
    if (!ok || codes == 0)
        return invalid_value(cf, cf->nargs - 1);
    p.uri = wr_template_new(cf, cf->nargs, wr_cf_arg(cf, cf->nargs));
    if (p.uri == NULL)
        return false;
    for (uint32_t i = 1; i <= codes; i++)
        if (!add_page(cf, c, i, &p))
            return false;
    return true;
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("error_page", WR_L7 | WR_IN_LOCATION_IFS | WR_MULTI, 2, WR_ARGS_ANY,
              set_error_page, NULL, "replaces the built-in page of a status"),
    { 0 },
};

struct wr_module wr_module_error_page = {
    .name = "error_page",
    .layers = WR_L7,
    .conf_size = sizeof(struct page_conf),
    .directives = directives,
};
