/* start_pgsql: `ssl_start pgsql`: a client of PostgreSQL asks for TLS in plain text (SSLRequest)
 * and gets one byte. The SSL phase of layer 4 calls it before the handshake. A ClientHello may come
 * at once. A CancelRequest is let through as it is: libpq sends it in plain text. */
#include "tls/tls_impl.h"

#define REQUEST 8            /* bytes: a length, a number */
#define CANCEL 16            /* with a process and its secret */
#define READS 4              /* of what a client that is refused has sent */

/* Pure. */
enum wr_pgsql_first wr_pgsql_first(struct wr_str in)
{
    static const struct {
        struct wr_str head;
        enum wr_pgsql_first what;
        size_t size;
    } requests[] = {
        { WR_STR_INIT("\0\0\0\x08\x04\xd2\x16\x2f"), WR_PGSQL_SSL, REQUEST },
        { WR_STR_INIT("\0\0\0\x08\x04\xd2\x16\x30"), WR_PGSQL_GSS, REQUEST },
        { WR_STR_INIT("\0\0\0\x10\x04\xd2\x16\x2e"), WR_PGSQL_CANCEL, CANCEL },
    };

    if (in.n == 0)
        return WR_PGSQL_MORE;
    if (in.p[0] == 0x16) /* a record with a handshake */
        return WR_PGSQL_TLS;
    for (size_t i = 0; i < WR_COUNT(requests); i++) {
        if (memcmp(in.p, requests[i].head.p, wr_min(in.n, (size_t)REQUEST)) != 0)
            continue;
        if (in.n < requests[i].size)
            return WR_PGSQL_MORE;
        return in.n == requests[i].size ? requests[i].what : WR_PGSQL_BAD;
    }
    return in.n < REQUEST ? WR_PGSQL_MORE : WR_PGSQL_PLAIN;
}

static enum wr_verdict refuse_client(struct wr_exchange *x, const char *why)
{
    wr_xlog(x, WR_LOG_INFO, 0, "%s", why);
    return wr_reject(x, 400, NULL);
}

/* ErrorResponse: severity, SQLSTATE, message. With unread bytes close() would send a reset, which
 * may destroy it. */
static enum wr_verdict refuse_plain(struct wr_exchange *x)
{
    static const char text[] = "E\0\0\0\x34SFATAL\0VFATAL\0C28000\0M"
                               "this server requires TLS\0";
    size_t put, got, at = 0;

    for (int i = 0; i < READS; i++)
        if (wr_conn_read(&x->s->conn, wr_scratch, WR_SCRATCH, &got) != WR_IO_OK)
            break;
    while (at < sizeof(text)
           && wr_conn_write(&x->s->conn, text + at, sizeof(text) - at, &put) == WR_IO_OK)
        at += put;
    return refuse_client(x, "client sent no SSLRequest");
}

/* Sends the answer to a request, which is one byte. True: it went out. */
static bool send_answer(struct wr_exchange *x, struct wr_start_state *st)
{
    size_t put = 0;

    if (st->answer != 0 && wr_conn_write(&x->s->conn, &st->answer, 1, &put) == WR_IO_OK)
        st->answer = 0;
    return st->answer == 0;
}

/* Reads what was peeked at. */
static bool take_bytes(struct wr_exchange *x, char *buf, size_t n)
{
    for (size_t at = 0, got; at < n; at += got) {
        enum wr_io io = wr_conn_read(&x->s->conn, buf + at, n - at, &got);

        if (io == WR_IO_ERROR || io == WR_IO_EOF)
            return false;
    }
    return true;
}

static bool take_request(struct wr_exchange *x, struct wr_start_state *st, char answer)
{
    char buf[REQUEST];

    st->answer = answer;
    return take_bytes(x, buf, sizeof(buf));
}

/* Passes on the request and nothing behind it: no session in plain text begins this way. */
static bool take_cancel(struct wr_exchange *x, struct wr_start_state *st)
{
    char *request = wr_pool_alloc(x->pool, CANCEL);

    if (!take_bytes(x, request, CANCEL))
        return false;
    wr_bufq_borrow(&x->preread, request, CANCEL);
    x->s->conn.read_eof = true;
    st->plain = st->done = true;
    return true;
}

static enum wr_verdict wait_for_more(struct wr_exchange *x)
{
    if ((x->s->conn.ready & (WR_HUP | WR_ERR)) != 0)
        return refuse_client(x, "client closed connection before TLS");
    return WR_HOLD;
}

enum wr_verdict wr_start_pgsql(struct wr_exchange *x, struct wr_start_state *st)
{
    while (!st->done) {
        char buf[CANCEL + 1];
        size_t got;
        enum wr_io io = WR_IO_AGAIN;

        if (send_answer(x, st)) {
            if (st->ready)
                break;
            io = wr_conn_peek(&x->s->conn, buf, sizeof(buf), &got);
        }
        if (io == WR_IO_AGAIN)
            return WR_HOLD;
        if (io != WR_IO_OK)
            return refuse_client(x, "client closed connection before TLS");
        switch (wr_pgsql_first(wr_str_of(buf, got))) {
        case WR_PGSQL_MORE:
            return wait_for_more(x);
        case WR_PGSQL_TLS:
            st->done = true;
            break;
        case WR_PGSQL_SSL:
            st->ready = true;
            if (!take_request(x, st, 'S'))
                return refuse_client(x, "client closed connection before TLS");
            break;
        case WR_PGSQL_GSS:
            if (st->refused++ > 0 || !take_request(x, st, 'N'))
                return refuse_client(x, "client asks for GSSAPI again");
            break;
        case WR_PGSQL_CANCEL:
            if (!take_cancel(x, st))
                return refuse_client(x, "client closed connection before TLS");
            break;
        case WR_PGSQL_PLAIN:
            return refuse_plain(x);
        case WR_PGSQL_BAD:
            return refuse_client(x, "client sent bytes behind its request for TLS");
        }
    }
    st->done = true;
    return WR_PASS;
}
