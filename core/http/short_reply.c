/* short_reply: short replies made by weir itself: a text, a redirect. Content hooks and error_page
 * call it. */
#include "http/http_impl.h"

enum wr_verdict wr_http_respond_text(struct wr_exchange *x, unsigned status, struct wr_str type,
                                     struct wr_str text)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_bufq q = { 0 };

    h->res.status = status;
    h->res.type = type;
    h->res.framing = WR_BODY_LENGTH;
    h->res.length = text.n;
    if (text.n > 0)
        wr_bufq_borrow(&q, text.p, text.n);
    return wr_http_respond(x, &q);
}

void wr_http_origin(struct wr_exchange *x, struct wr_text *t)
{
    const struct wr_http *h = wr_http_of(x);
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    uint16_t port = wr_addr_port(wr_session_local(x->s));
    bool secure = wr_tls_up(&x->s->conn);

    if (!c->absolute_redirect)
        return;
    wr_text_c(t, secure ? "https://" : "http://");
    if (c->server_name_in_redirect && h->server->v.name.n > 0) {
        wr_text_str(t, h->server->v.name);
    } else if (h->req.host.n > 0) {
        wr_text_str(t, h->req.host);
    } else {
        wr_addr_text_ip(wr_session_local(x->s), t);
    }
    if (c->port_in_redirect && port != 0 && port != (secure ? 443 : 80)) {
        wr_text_char(t, ':');
        wr_text_u64(t, port);
    }
}

enum wr_verdict wr_http_redirect(struct wr_exchange *x, unsigned status, struct wr_str location)
{
    struct wr_http *h = wr_http_of(x);

    if (location.n > 0 && location.p[0] == '/') {
        struct wr_text t = wr_text_grow(x->pool, location.n + 64, 1 << 17);

        wr_http_origin(x, &t);
        wr_text_str(&t, location);
        location = wr_text_view(&t);
    }
    wr_fields_set(x->pool, &h->res.fields, WR_F_LOCATION, location);
    return wr_http_error(x, status); /* error_page may name redirects too */
}
