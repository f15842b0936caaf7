/* proxy_protocol: reads the PROXY header of clients of `listen ... proxy_protocol`, and has its
 * variables. The session calls wr_proxy_read before the layer begins, and owns the header. The
 * header is peeked at and read only when it is complete, so that no byte after it is read: a TLS
 * handshake may follow. */
#include "listen/listen.h"

#include <errno.h>

#define READING "reading PROXY protocol"

static enum wr_io report_broken(struct wr_session *s, struct wr_str in, const char *why)
{
    in.n = wr_min(in.n, (size_t)128); /* the beginning is enough for a log */
    wr_session_log(s, READING, WR_LOG_ERROR, 0, "broken header: \"" WR_FMT "\" (%s)", WR_ARG(in),
                   why);
    return WR_IO_ERROR;
}

static enum wr_io report_gone(struct wr_session *s, enum wr_io io)
{
    wr_session_log(s, READING, WR_LOG_INFO, io == WR_IO_ERROR ? s->conn.error : 0,
                   "client closed connection");
    return WR_IO_ERROR;
}

static enum wr_io report_late(struct wr_session *s)
{
    wr_session_log(s, READING, WR_LOG_INFO, ETIMEDOUT, "client timed out");
    return WR_IO_EOF;
}

static void keep_header(struct wr_session *s, const struct wr_proxy_header *h)
{
    struct wr_proxy_header *own = wr_malloc(sizeof(*own) + h->tlvs.n);

    *own = *h;
    own->tlvs.p = (char *)(own + 1);
    if (h->tlvs.n > 0)
        memcpy(own + 1, h->tlvs.p, h->tlvs.n);
    s->proxy = own;
    s->proxy_unread = h->size;
}

static enum wr_io peek_header(struct wr_session *s)
{
    struct wr_proxy_header h;
    struct wr_str in;
    size_t got;
    enum wr_io io = wr_conn_peek(&s->conn, wr_scratch, WR_PROXY_MAX, &got);

    if (io != WR_IO_OK)
        return io == WR_IO_AGAIN ? io : report_gone(s, io);
    in = wr_str_of(wr_scratch, got);
    switch (wr_proxy_header_parse(in, &h)) {
    case WR_PROXY_OK:
        keep_header(s, &h);
        return WR_IO_OK;
    case WR_PROXY_MORE: /* after a FIN there will be no more */
        return (s->conn.ready & (WR_HUP | WR_ERR)) == 0 ? WR_IO_AGAIN : report_gone(s, WR_IO_EOF);
    default: /* it is invalid */
        return report_broken(s, in, h.why);
    }
}

enum wr_io wr_proxy_read(struct wr_session *s)
{
    enum wr_io io = WR_IO_OK;
    size_t got;

    if (s->conn.deadline.fired)
        return report_late(s);
    if (s->proxy == NULL)
        io = peek_header(s);
    while (io == WR_IO_OK && s->proxy_unread > 0) {
        io = wr_conn_read(&s->conn, wr_scratch, s->proxy_unread, &got);
        s->proxy_unread -= got;
    }
    if (io == WR_IO_OK)
        s->conn.received = 0; /* count the client's own bytes only */
    return io == WR_IO_EOF ? WR_IO_ERROR : io;
}

/* ---- variables ---- */

enum address_part { SOURCE_ADDR, SOURCE_PORT, DESTINATION_ADDR, DESTINATION_PORT };

static bool get_address(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_proxy_header *h = x->s->proxy;
    bool source = v->data == SOURCE_ADDR || v->data == SOURCE_PORT;
    char buf[WR_ADDR_TEXT_MAX];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    if (h == NULL || h->source.len == 0)
        return false;
    if (v->data == SOURCE_ADDR || v->data == DESTINATION_ADDR)
        wr_addr_text_ip(source ? &h->source : &h->destination, &t);
    else
        wr_text_u64(&t, wr_addr_port(source ? &h->source : &h->destination));
    *out = wr_pool_str(x->pool, wr_text_view(&t));
    return true;
}

static bool get_tlv(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    return x->s->proxy != NULL && wr_proxy_tlv(x->pool, x->s->proxy->tlvs, v->tail, out);
}

static const struct wr_variable variables[] = {
    { "proxy_protocol_addr", WR_ANY, 0, get_address, SOURCE_ADDR, NULL },
    { "proxy_protocol_port", WR_ANY, 0, get_address, SOURCE_PORT, NULL },
    { "proxy_protocol_server_addr", WR_ANY, 0, get_address, DESTINATION_ADDR, NULL },
    { "proxy_protocol_server_port", WR_ANY, 0, get_address, DESTINATION_PORT, NULL },
    { "proxy_protocol_tlv_", WR_ANY, WR_VAR_PREFIX, get_tlv, 0, NULL },
    { 0 },
};

struct wr_module wr_module_proxy_protocol = {
    .name = "proxy_protocol",
    .layers = WR_ANY,
    .variables = variables,
};
