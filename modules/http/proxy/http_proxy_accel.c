/* http_proxy_accel: fields of a reply that control weir: X-Accel-Redirect (another location
 * answers), X-Accel-Limit-Rate, X-Accel-Buffering, X-Accel-Charset. Called by http_proxy_reply.c.
 * proxy_ignore_headers ignores any of them; only proxy_pass_header passes them on to the client. */
#include "proxy_impl.h"

/* A server may redirect to any location, but not out of it by "..". */
static bool is_safe(struct wr_str uri)
{
    if (uri.n == 0 || uri.p[0] != '/')
        return false;
    while (uri.p != NULL)
        if (wr_str_is(wr_str_cut(&uri, '/'), ".."))
            return false;
    return true;
}

static enum wr_verdict redirect_to(struct wr_exchange *x, struct wr_str to)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_str rest = to, uri = to, args = wr_str_of(NULL, 0);

    wr_http_keep_fields(x);
    wr_response_init(&h->res);
    if (to.n == 0 || to.p[0] != '@') {
        uri = wr_uri_unescape(x->pool, wr_str_cut(&rest, '?'));
        args = rest;
        if (!is_safe(uri) || wr_str_find(uri, '\0') < uri.n) {
            wr_xlog(x, WR_LOG_ERROR, 0, "unsafe URI \"" WR_FMT "\" was detected", WR_ARG(to));
            return wr_reject(x, 404, NULL);
        }
        if (h->req.method != WR_M_HEAD) {
            h->req.method = WR_M_GET;
            h->req.method_text = WR_STR("GET");
        }
    }
    return wr_http_internal(x, uri, args);
}

static void set_limit_rate(struct wr_http *h)
{
    struct wr_str v = wr_fields_value(&h->res.fields, WR_F_X_ACCEL_LIMIT_RATE);
    uint64_t rate;

    if (wr_str_is(v, "off"))
        h->limit_rate = WR_STR("0");
    else if (wr_str_u64(v, &rate))
        h->limit_rate = v;
}

static void set_buffering(struct wr_http *h)
{
    struct wr_str v = wr_fields_value(&h->res.fields, WR_F_X_ACCEL_BUFFERING);

    if (wr_str_ieq(v, WR_STR("yes")))
        h->x_buffering = WR_BUFFER;
    else if (wr_str_ieq(v, WR_STR("no")))
        h->x_buffering = WR_DONT_BUFFER;
}

enum wr_verdict wr_proxy_accel(struct wr_exchange *x, const struct wr_http_proxy_conf *c)
{
    struct wr_http *h = wr_http_of(x);
    const struct wr_field *to = wr_fields_first(&h->res.fields, WR_F_X_ACCEL_REDIRECT);

    if ((c->ignore & WR_IGNORE_LIMIT_RATE) == 0)
        set_limit_rate(h); /* applies to the final reply, also after a redirect */
    if (to != NULL && (c->ignore & WR_IGNORE_REDIRECT) == 0)
        return redirect_to(x, to->value);
    h->x_buffering = WR_AS_CONFIGURED;
    if ((c->ignore & WR_IGNORE_BUFFERING) == 0)
        set_buffering(h);
    if ((c->ignore & WR_IGNORE_CHARSET) == 0)
        h->res.charset = wr_fields_value(&h->res.fields, WR_F_X_ACCEL_CHARSET);
    return WR_PASS;
}
