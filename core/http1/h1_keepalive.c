/* h1_keepalive: decides whether a client's connection stays open after a reply. The server endpoint
 * calls it before it writes the head. */
#include "http1/http1_impl.h"

#define REFUSED_MAX 65536 /* longest refused body that is read to keep the connection */

const struct wr_str wr_h1_continue = WR_STR_INIT("HTTP/1.1 100 Continue\r\n\r\n");

/* Longest wait for the next request, ms; 0: close the connection. */
static uint64_t next_wait_ms(const struct wr_exchange *x, const struct wr_http *h,
                             const struct wr_http_conf *c)
{
    if (h->session->requests >= c->keepalive_requests || x->s->quitting
        || (c->keepalive_time_ms > 0 && wr_now() - x->s->begun_ms > c->keepalive_time_ms))
        return 0;
    return c->keepalive_timeout_ms;
}

/* True: a browser named in keepalive_disable, which cannot cope with keep-alive. */
static bool is_broken_browser(const struct wr_http_conf *c, const struct wr_request *r)
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

/* A client that waits for 100 Continue and gets the reply instead may send its body or leave it
 * out: then the next bytes are ambiguous. So send 100 Continue, and the session drops the body. But
 * if the body is refused and long, close the connection instead (false). */
static bool may_send_body(const struct wr_http *h, const struct wr_h1_in *in)
{
    return h->res.status < 400 || (in->framing == WR_BODY_LENGTH && in->left <= REFUSED_MAX);
}

void wr_h1_decide_keepalive(struct wr_h1_server *sv, struct wr_http *h)
{
    struct wr_exchange *x = sv->x;
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    bool waits = h->expect && !sv->in.done;
    uint64_t ms = h->keepalive ? next_wait_ms(x, h, c) : 0;

    h->keepalive = ms > 0 && !is_broken_browser(c, &h->req)
                && (!waits || may_send_body(h, &sv->in));
    wr_h1_session_of(x->s)->keep_ms = ms;
    if (waits && h->keepalive) {
        h->expect = false;
        wr_text_str(&sv->out, wr_h1_continue);
    }
}
