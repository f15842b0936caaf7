/* h1_keepalive: does a client's connection go on behind a reply? */
#include "http1/http1_impl.h"

#define REFUSED_MAX 65536 /* most of a refused body that is read for the connection's sake */

const struct wr_str wr_h1_continue = WR_STR_INIT("HTTP/1.1 100 Continue\r\n\r\n");

/* How long the next request may take to come; 0: the connection is not kept. */
static uint64_t patience(const struct wr_exchange *x, const struct wr_http *h,
                         const struct wr_http_conf *c)
{
    if (h->session->requests >= c->keepalive_requests || x->s->quitting
        || (c->keepalive_time_ms > 0 && wr_now() - x->s->begun_ms > c->keepalive_time_ms))
        return 0;
    return c->keepalive_timeout_ms;
}

/* Browsers that once broke with keep-alive: keepalive_disable names them. */
static bool broken_browser(const struct wr_http_conf *c, const struct wr_request *r)
{
    struct wr_str ua = wr_fields_value(&r->fields, WR_F_USER_AGENT);
    size_t msie;

    if ((c->keepalive_disable & WR_KA_SAFARI) == 0 && r->method != WR_M_POST)
        return false;
    if (ua.n == 0 || (c->keepalive_disable & (WR_KA_MSIE6 | WR_KA_SAFARI)) == 0)
        return false;
    msie = wr_str_search(ua, WR_STR("MSIE "));
    if ((c->keepalive_disable & WR_KA_MSIE6) != 0 && r->method == WR_M_POST && msie + 5 < ua.n
        && ua.p[msie + 5] >= '4' && ua.p[msie + 5] <= '6')
        return true;
    return (c->keepalive_disable & WR_KA_SAFARI) != 0
        && wr_str_search(ua, WR_STR("Safari/")) < ua.n
        && wr_str_search(ua, WR_STR("Mac OS X")) < ua.n
        && wr_str_search(ua, WR_STR("Chrome/")) == ua.n;
}

/* A client that waits for 100 Continue may leave its body out or not when it gets the reply
 * instead, and nobody knows what comes next. So it is told to go on, and the session drops what it
 * sends; but a body that is refused and long is better left out, and the connection ends. */
static bool is_wanted(const struct wr_http *h, const struct wr_h1_in *in)
{
    return h->res.status < 400 || (in->framing == WR_BODY_LENGTH && in->left <= REFUSED_MAX);
}

void wr_h1_decide_keepalive(struct wr_h1_server *sv, struct wr_http *h)
{
    struct wr_exchange *x = sv->x;
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    bool waits = h->expect && !sv->in.done;
    uint64_t ms = h->keepalive ? patience(x, h, c) : 0;

    h->keepalive = ms > 0 && !broken_browser(c, &h->req) && (!waits || is_wanted(h, &sv->in));
    wr_h1_session_of(x->s)->keep_ms = ms;
    if (waits && h->keepalive) {
        h->expect = false;
        wr_text_str(&sv->out, wr_h1_continue);
    }
}
