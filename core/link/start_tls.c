/* start_tls: asks a server in its own protocol to begin TLS (proxy_ssl_start), on a link that is
 * connected. peer_tls calls it before the handshake. A greeting that the client behind weir waits
 * for is kept, and read again when the link is up. */
#include "link/link_impl.h"

static enum wr_io start_failed(struct wr_peer_link *l, int err, const char *why)
{
    wr_log(l->log, WR_LOG_ERROR, err, l->source, "%s", why);
    return wr_peer_link_down(l, WR_FAIL_ERROR);
}

/* Leaves out IMAP's list of what is possible before TLS: RFC 3501 6.2.1 wants it asked anew. */
static void keep_greeting(struct wr_peer_link *l, struct wr_str text)
{
    struct wr_str codes = WR_STR("* OK [CAPABILITY ");
    size_t end = wr_str_starts(text, codes) ? wr_str_find(text, ']') : text.n;

    if (text.n == 0)
        return;
    l->greeting = wr_malloc(text.n);
    if (end < text.n) {
        struct wr_str rest = wr_str_skip(text, end + 1);

        memcpy(l->greeting, "* OK", 4);
        memcpy(l->greeting + 4, rest.p, rest.n);
        l->greeting_n = (uint32_t)(4 + rest.n);
    } else {
        memcpy(l->greeting, text.p, text.n);
        l->greeting_n = (uint32_t)text.n;
    }
}

static enum wr_io send_rest(struct wr_peer_link *l)
{
    enum wr_io io = WR_IO_OK;

    while (io == WR_IO_OK && l->start.out.n > 0) {
        size_t put = 0;

        io = wr_conn_write(&l->conn, l->start.out.p, l->start.out.n, &put);
        l->start.out = wr_str_skip(l->start.out, put);
    }
    return io;
}

/* Takes the bytes that were understood; peeking has shown that they are there. */
static bool drop_used(struct wr_peer_link *l)
{
    char buf[512];

    for (size_t left = l->start.used, got; left > 0; left -= got) {
        enum wr_io io = wr_conn_read(&l->conn, buf, wr_min(left, sizeof(buf)), &got);

        if (io == WR_IO_ERROR || io == WR_IO_EOF)
            return false;
    }
    return true;
}

enum wr_io wr_peer_link_start(struct wr_peer_link *l, enum wr_start how)
{
    enum wr_start_next next = WR_START_SENDS;

    while (!l->started) {
        enum wr_io io = send_rest(l);
        size_t got = 0;

        if (io == WR_IO_OK && (how == WR_START_SMTP || how == WR_START_IMAP || l->start.step > 0))
            io = wr_conn_peek(&l->conn, wr_scratch, WR_START_MAX, &got);
        if (io == WR_IO_AGAIN)
            return wr_peer_link_waits(l);
        if (io == WR_IO_ERROR)
            return start_failed(l, l->conn.error, "upstream failed before TLS");
        if (io == WR_IO_EOF)
            return start_failed(l, 0, "upstream closed connection before TLS");
        next = wr_start_talk(how, &l->start, wr_str_of(wr_scratch, got));
        keep_greeting(l, l->start.greeting);
        if (next == WR_START_REFUSED)
            return start_failed(l, 0, "upstream refused to start TLS");
        if (next == WR_START_BROKEN)
            return start_failed(l, 0, "upstream sent an invalid answer before TLS");
        if (next == WR_START_MORE) {
            if ((l->conn.ready & (WR_HUP | WR_ERR)) != 0)
                return start_failed(l, 0, "upstream closed connection before TLS");
            return wr_peer_link_waits(l);
        }
        if (!drop_used(l))
            return start_failed(l, l->conn.error, "recv() failed");
        l->started = next == WR_START_READY;
    }
    return WR_IO_OK;
}
