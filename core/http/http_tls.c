/* http_tls: `listen ... ssl`: whether a client speaks TLS, its handshake before the first request,
 * and the status for a request without TLS or without the certificate its server wants.
 * http_session calls it until heads may be read, the ACCEPTED phase for each request. */
#include "http/http_impl.h"

#include <errno.h>

/* OK: a record of TLS (RFC 8446 5.1: a handshake is 22) or an SSLv2 hello; EOF: something else. */
static enum wr_io peek_tls(struct wr_session *s)
{
    unsigned char first;
    size_t got;
    enum wr_io io = wr_conn_peek(&s->conn, &first, 1, &got);

    if (io == WR_IO_OK)
        return first == 22 || (first & 0x80) != 0 ? WR_IO_OK : WR_IO_EOF;
    return io == WR_IO_AGAIN ? io : WR_IO_ERROR;
}

bool wr_http_secured(struct wr_session *s)
{
    struct wr_http_session *hs = WR_CHECK(s->of_layer, HTTP_SESSION);
    enum wr_io io = s->conn.tls == NULL ? peek_tls(s) : WR_IO_OK;

    if (s->conn.deadline.fired) {
        wr_session_log(s, "SSL handshaking", WR_LOG_INFO, ETIMEDOUT, "client timed out");
        wr_session_end(s);
        return false;
    }
    if (io == WR_IO_OK) {
        io = wr_ssl_accept(s);
        hs->secured = io == WR_IO_OK;
        io = io == WR_IO_EOF ? WR_IO_ERROR : io;
    } else {
        hs->secured = io == WR_IO_EOF;
    }
    if (hs->secured)
        wr_conn_timeout(&s->conn, 0);
    else if (io == WR_IO_AGAIN)
        wr_session_wait(s);
    else
        wr_session_end(s);
    return hs->secured;
}

enum wr_verdict wr_http_check_client(struct wr_exchange *x)
{
    static const unsigned status[] = {
        [WR_CLIENT_CERT_INVALID] = 495,
        [WR_CLIENT_CERT_MISSING] = 496,
        [WR_CLIENT_CERT_OF_OTHER] = 421,
    };
    enum wr_client_cert cert;

    if (!x->s->listener->ssl)
        return WR_PASS;
    if (!wr_tls_up(&x->s->conn)) {
        wr_xlog(x, WR_LOG_INFO, 0, "client sent plain HTTP request to HTTPS port");
        return wr_reject(x, 497, NULL);
    }
    cert = wr_ssl_client_cert(x);
    return cert == WR_CLIENT_CERT_OK ? WR_PASS : wr_reject(x, status[cert], NULL);
}

const struct wr_scope *wr_http_by_name(const struct wr_session *s, struct wr_str name)
{
    const struct wr_http_address *a = WR_CHECK(s->listener->object, HTTP_ADDRESS);

    return wr_host_scope(a->a.map, s, name);
}
