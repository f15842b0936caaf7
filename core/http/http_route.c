/* http_route: the first step of a request, which derives the path from its target; the checks after
 * the search for a location; the return to that search after a rewrite or for an internal redirect.
 * Called by speakers (as the first step), phases and modules. */
#include "http/http_impl.h"

#include <errno.h>

/* ---- route ---- */

/* Derives uri and args from the target. False: it is invalid. */
static bool set_path(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_request *r = &wr_http_of(x)->req;
    bool ok = wr_uri_normalize(x->pool, r->target, c->merge_slashes, r);

    if (!ok)
        r->uri = r->args = wr_str_of(NULL, 0);
    return ok;
}

static enum wr_go bad_request(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);
    int err = h->bad_status == 408 ? ETIMEDOUT : h->aborted ? wr_endpoint_error(&x->client) : 0;

    wr_xlog(x, WR_LOG_INFO, err, "%s",
            h->bad_why != NULL ? h->bad_why : "client sent invalid request");
    h->keepalive = false;
    if (h->bad_status != 0 && x->step == &wr_step_route && h->req.target.p != NULL)
        set_path(x); /* for error_page and the log */
    if (h->aborted) /* the client has left before the end of its head */
        return wr_finish(x, 400);
    return x->layer->reject(x, h->bad_status != 0 ? h->bad_status : 400);
}

/* As in nginx: a reply to TRACE could show fields that scripts in a browser must not see, and weir
 * is not a forward proxy (CONNECT). */
static bool is_refused_method(enum wr_method m)
{
    return m == WR_M_TRACE || m == WR_M_CONNECT;
}

static enum wr_go refuse_method(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);

    if (h->req.method == WR_M_TRACE)
        wr_xlog(x, WR_LOG_INFO, 0, "client sent TRACE method");
    h->keepalive = false;
    return x->layer->reject(x, 405);
}

static enum wr_go route_run(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);

    if (h->bad_status != 0)
        return bad_request(x);
    if (is_refused_method(h->req.method)) /* before set_path: the target of CONNECT is not a path */
        return refuse_method(x);
    if (!set_path(x)) {
        h->bad_why = "client sent invalid request URI";
        x->step = &wr_step_bad_line;
        return bad_request(x);
    }
    x->phase = 0;
    x->hook = 0;
    x->step = &wr_step_phases;
    return WR_GO;
}

const struct wr_step wr_step_route = { "route", "reading client request headers", route_run };
const struct wr_step wr_step_bad_line = { "route", "reading client request line", route_run };

/* ---- the scope ---- */

static enum wr_verdict too_large(struct wr_exchange *x)
{
    wr_xlog(x, WR_LOG_ERROR, 0, "client intended to send too large body: %llu bytes",
            (unsigned long long)wr_http_of(x)->req.length);
    return wr_reject(x, 413, NULL);
}

/* Hook after the search for a location: rejects what the scope that was found does not allow. */
static enum wr_verdict enter_scope(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);

    h->uri_changed = false;
    if (h->named_next.n > 0) {
        wr_xlog(x, WR_LOG_ERROR, 0, "could not find named location \"" WR_FMT "\"",
                WR_ARG(h->named_next));
        h->named_next.n = 0;
        return wr_reject(x, 500, NULL);
    }
    if (c->internal && !h->internal)
        return wr_reject(x, 404, NULL);
    if (h->req.framing == WR_BODY_LENGTH && c->client_max_body > 0 && !h->discard
        && h->req.length > c->client_max_body)
        return too_large(x);
    return WR_PASS;
}

/* Hook after the rewrite program: a changed uri needs another search for its location. */
static enum wr_verdict rewritten(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);

    if (!h->uri_changed)
        return WR_PASS;
    if (h->redirects-- == 0) {
        wr_xlog(x, WR_LOG_ERROR, 0, "rewrite or internal redirection cycle while processing \""
                WR_FMT "\"", WR_ARG(h->req.uri));
        h->redirects = 0;
        return wr_reject(x, 500, NULL);
    }
    x->phase = WR_PH_FIND;
    return WR_ROUTE;
}

struct wr_module wr_module_http_route = {
    .name = "http_route",
    .layers = WR_L7,
    .phases = (const struct wr_phase_hook[]){
        { WR_PH_FIND, WR_L7, enter_scope, 1000 },
        { WR_PH_REWRITE, WR_L7, rewritten, 1000 },
        { 0 },
    },
};

enum wr_verdict wr_http_internal(struct wr_exchange *x, struct wr_str uri, struct wr_str args)
{
    struct wr_http *h = wr_http_of(x);

    if (h->redirects == 0) {
        wr_xlog(x, WR_LOG_ERROR, 0, "rewrite or internal redirection cycle while internally "
                "redirecting to \"" WR_FMT "\"", WR_ARG(uri));
        return wr_reject(x, 500, NULL);
    }
    h->redirects--;
    wr_http_leave_upstream(x);
    wr_timer_off(x->loop, &x->idle);
    h->proxy = NULL;
    h->internal = true;
    if (uri.n > 0 && uri.p[0] == '@') {
        h->named_next = uri;
        x->phase = WR_PH_FIND;
    } else {
        h->req.uri = uri;
        h->req.args = args;
        h->uri_internal = true;
        h->uri_changed = h->uri_set_by_break = h->alias_appends_uri = false;
        h->location = NULL;
        wr_exchange_scope(x, h->server->v.scope);
        x->phase = WR_PH_SET; /* the rewrite program of the server runs again */
    }
    wr_response_init(&h->res);
    x->hook = 0;
    x->step = &wr_step_phases;
    return WR_TAKEN;
}
