/* reply_head: the head of a reply, written once in one pass. */
#include "http/engine.h"
#include "http/h1_impl.h"

#ifndef WR_SERVER
#define WR_SERVER "weir"
#endif

static void type_line(struct wr_text *t, struct wr_str type)
{
    size_t from;

    wr_text_str(t, WR_STR("Content-Type: "));
    from = t->n;
    wr_text_str(t, type);
    wr_field_guard(t, from, WR_F_CONTENT_TYPE);
    wr_text_str(t, WR_STR("\r\n"));
}

static void status_line(struct wr_text *t, const struct wr_response *r)
{
    const char *reason = r->reason.n > 0 ? NULL : wr_status_reason(r->status);
    char digits[3] = { (char)('0' + r->status / 100 % 10), (char)('0' + r->status / 10 % 10),
                       (char)('0' + r->status % 10) };

    wr_text_c(t, "HTTP/1.1 ");
    wr_text_str(t, wr_str_of(digits, sizeof(digits)));
    wr_text_char(t, ' ');
    if (r->reason.n > 0)
        wr_text_str(t, r->reason);
    else
        wr_text_c(t, reason != NULL ? reason : "");
    wr_text_c(t, "\r\n");
}

/* How the body's end is shown: a length, chunks, or closing. */
static void decide_framing(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_response *r = &h->res;
    const struct wr_bufq *stored;

    if (r->status == 204 || r->status < 200) {
        r->framing = WR_BODY_NONE;
        r->type = wr_str_of(NULL, 0);
        r->last_modified = -1;
        return;
    }
    if (r->framing == WR_BODY_LENGTH)
        return;
    if (h->header_only && r->framing == WR_BODY_NONE)
        return;
    stored = wr_endpoint_stored(&x->peer);
    if (h->filters == NULL && stored != NULL) {
        r->framing = WR_BODY_LENGTH;
        r->length = stored->n;
    } else if (h->req.version >= 11 && c->chunked) {
        r->framing = WR_BODY_CHUNKED;
    } else {
        r->framing = WR_BODY_CLOSE;
        h->keepalive = false;
    }
}

static void framing_lines(struct wr_text *t, const struct wr_response *r, bool header_only)
{
    /* A server's reply to HEAD has a length and no body. */
    if ((r->framing == WR_BODY_LENGTH || (header_only && r->has_length)) && r->status != 304) {
        wr_text_c(t, "Content-Length: ");
        wr_text_u64(t, r->length);
        wr_text_c(t, "\r\n");
    } else if (r->framing == WR_BODY_CHUNKED && r->status != 304) {
        wr_text_c(t, "Transfer-Encoding: chunked\r\n");
    }
}

static void connection_lines(struct wr_exchange *x, struct wr_text *t)
{
    const struct wr_http *h = wr_http_of(x);
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);

    if (h->tunnel) {
        wr_text_c(t, "Connection: upgrade\r\n");
        return;
    }
    wr_text_c(t, h->keepalive ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
    if (h->keepalive && c->keepalive_header_s > 0)
        wr_text_fmt(t, "Keep-Alive: timeout=%llu\r\n", (unsigned long long)c->keepalive_header_s);
}

/* The page of an error was modified at some time, the error was not. What a server or add_header
 * says is a field. */
static void last_modified(struct wr_text *t, struct wr_response *r)
{
    if (wr_fields_first(&r->fields, WR_F_LAST_MODIFIED) != NULL)
        return;
    if (r->status != 200 && r->status != 206 && r->status != 304)
        r->last_modified = -1;
    if (r->last_modified < 0)
        return;
    wr_text_c(t, "Last-Modified: ");
    wr_clock_http(r->last_modified, t);
    wr_text_c(t, "\r\n");
}

static void own_fields(struct wr_exchange *x, struct wr_text *t)
{
    struct wr_http *h = wr_http_of(x);
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_response *r = &h->res;

    if (!r->no_server && wr_fields_first(&r->fields, WR_F_SERVER) == NULL)
        wr_text_str(t, c->server_tokens == 0 ? WR_STR("Server: " WR_SERVER "\r\n")
                                             : WR_STR("Server: " WR_SERVER "/" WR_VERSION "\r\n"));
    if (wr_fields_first(&r->fields, WR_F_DATE) == NULL) {
        wr_text_str(t, WR_STR("Date: "));
        wr_text_str(t, wr_clock.http);
        wr_text_str(t, WR_STR("\r\n"));
    }
    if (r->type.n > 0)
        type_line(t, r->type);
    framing_lines(t, r, h->header_only);
    last_modified(t, r);
}

void wr_http_reply_head(struct wr_exchange *x, struct wr_text *out)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_response *r = &h->res;
    struct wr_str run = { NULL, 0 };
    size_t begun = out->n;

    decide_framing(x);
    if (h->req.version < 10) { /* HTTP/0.9: the body is all there is */
        h->keepalive = false;
        r->framing = WR_BODY_CLOSE;
        return;
    }
    wr_h1_decide_keepalive(x, out);
    status_line(out, r);
    own_fields(x, out);
    connection_lines(x, out);
    for (uint32_t i = 0; i < r->fields.n; i++)
        if (!r->fields.at[i].gone)
            wr_field_line(&run, &r->fields.at[i], out);
    wr_field_lines_end(&run, out);
    wr_text_c(out, "\r\n");
    h->header_bytes_sent = out->n - begun;
    if (h->header_only)
        r->framing = WR_BODY_NONE;
}
