/* http_tls: before the first request of `listen ... ssl`: is it TLS that the client speaks, and the
 * handshake. http_session calls it until heads may be read. */
#include "http/http_impl.h"

#include <errno.h>

/* OK: a record of TLS (RFC 8446 5.1: a handshake is 22) or an SSLv2 hello; EOF: something else. */
static enum wr_io speaks_tls(struct wr_session *s)
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
    enum wr_io io = s->conn.tls == NULL ? speaks_tls(s) : WR_IO_OK;

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

const struct wr_scope *wr_http_by_name(const struct wr_session *s, struct wr_str name)
{
    const struct wr_http_address *a = WR_CHECK(s->listener->object, HTTP_ADDRESS);

    return wr_host_scope(a->a.map, s, name);
}
