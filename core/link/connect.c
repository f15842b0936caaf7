/* connect: opens a link to a peer: socket and connect(), then TLS if needed (peer_tls). Needs no
 * exchange: the step dial calls it for a link that serves one exchange, a shared link calls it from
 * its own task. */
#include "link/link_impl.h"

#include <errno.h>
#include <linux/capability.h>

#define link_log(l, level, err, ...) wr_log((l)->log, (level), (err), (l)->source, __VA_ARGS__)

bool wr_set_bind(struct wr_cf *cf, void *conf)
{
    struct wr_dial_rows *r = WR_FIELD(cf, conf, struct wr_dial_rows);
    struct wr_str addr = wr_cf_arg(cf, 1), literal;
    struct wr_addr parsed;

    r->bind = NULL;
    r->bind_transparent = false;
    if (cf->nargs == 1 && wr_str_is(addr, "off"))
        return true;
    if (cf->nargs == 2 && !wr_str_is(wr_cf_arg(cf, 2), "transparent"))
        return wr_cf_error(cf, 2, "invalid parameter \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 2)));
    r->bind_transparent = cf->nargs == 2;
    if (r->bind_transparent) /* IP_TRANSPARENT requires CAP_NET_RAW or CAP_NET_ADMIN */
        cf->conf->keep_caps |= (uint64_t)1 << CAP_NET_RAW;
    r->bind = wr_template_new(cf, 1, addr);
    if (r->bind == NULL)
        return false;
    if (wr_template_literal(r->bind, &literal) && !wr_addr_parse(literal, 0, &parsed)
        && !wr_addr_parse_ip(literal, &parsed))
        return wr_cf_error(cf, 1, "invalid address \"" WR_FMT "\"", WR_ARG(addr));
    return true;
}

static void tune_socket(const struct wr_dial_rows *r, int fd)
{
    int size;

    if (r->socket_keepalive)
        wr_socket_keepalive(fd);
    size = (int)r->rcvbuf;
    if (size > 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    size = (int)r->sndbuf;
    if (size > 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

/* -1: *why is set, and the failure was reported. */
static int open_socket(const struct wr_link_plan *p, enum wr_failure *why)
{
    const char *step = "socket()";
    int fd = -1, type = p->datagrams ? SOCK_DGRAM : SOCK_STREAM;

    *why = WR_FAIL_FULL;
    if (!wr_connections_room(WR_SERVER)) {
        wr_connections_refused(WR_SERVER, 0);
        return -1;
    }
    do {
        fd = wr_socket_client(p->addr->sa.sa_family, type, p->key.bind,
                              p->rows->bind_transparent, &step);
    } while (fd < 0 && errno == EMFILE && wr_connections_free_one());
    if (fd < 0 && errno == EMFILE) {
        wr_connections_refused(WR_SERVER, EMFILE);
    } else if (fd < 0) {
        wr_log(p->log, WR_LOG_CRIT, errno, p->source, "%s failed", step);
        *why = WR_FAIL_ERROR;
    }
    return fd;
}

enum wr_io wr_peer_link_up(struct wr_peer_link *l)
{
    l->state = WR_LINK_UP;
    wr_conn_timeout(&l->conn, 0);
    return WR_IO_OK;
}

enum wr_io wr_peer_link_down(struct wr_peer_link *l, enum wr_failure why)
{
    l->state = WR_LINK_DOWN;
    l->failure = why;
    wr_conn_timeout(&l->conn, 0);
    return WR_IO_ERROR;
}

enum wr_io wr_peer_link_waits(struct wr_peer_link *l)
{
    if (!l->conn.deadline.fired) {
        wr_conn_arm(&l->conn); /* connecting did not arm it if it succeeded at once (unix socket) */
        return WR_IO_AGAIN;
    }
    link_log(l, WR_LOG_ERROR, ETIMEDOUT, "upstream timed out");
    return wr_peer_link_down(l, WR_FAIL_TIMEOUT);
}

static enum wr_io connect_failed(struct wr_peer_link *l)
{
    int err = l->conn.error;
    enum wr_level level = err == ECONNREFUSED || err == ENOENT || err == ECONNRESET
                               || err == ETIMEDOUT || err == EHOSTUNREACH || err == ENETUNREACH
                               || err == ENETDOWN || err == EHOSTDOWN
                        ? WR_LOG_ERROR : WR_LOG_CRIT;

    link_log(l, level, err, "connect() failed");
    return wr_peer_link_down(l, WR_FAIL_ERROR);
}

static enum wr_io connect_done(struct wr_peer_link *l)
{
    l->connected_ms = wr_now();
    if (l->key.tls == NULL && l->announce.n == 0)
        return wr_peer_link_up(l);
    l->state = WR_LINK_SECURES;
    return WR_IO_OK;
}

static enum wr_io connect_result(struct wr_peer_link *l, enum wr_io io)
{
    return io == WR_IO_OK ? connect_done(l) : io == WR_IO_AGAIN ? wr_peer_link_waits(l)
                                                             : connect_failed(l);
}

struct wr_peer_link *wr_peer_link_open(const struct wr_link_plan *p, enum wr_failure *why)
{
    int fd = open_socket(p, why);
    struct wr_peer_link *l;

    if (fd < 0)
        return NULL;
    tune_socket(p->rows, fd);
    l = wr_peer_link_new(p, fd);
    wr_conn_timeout(&l->conn, p->rows->connect_timeout_ms);
    (void)connect_result(l, wr_conn_connect(&l->conn, &l->addr));
    return l;
}

enum wr_io wr_peer_link_connect(struct wr_peer_link *l)
{
    switch (l->state) {
    case WR_LINK_CONNECTS:
        return connect_result(l, wr_conn_connected(&l->conn));
    case WR_LINK_DOWN:
        return WR_IO_ERROR;
    default: /* connected */
        return WR_IO_OK;
    }
}

enum wr_io wr_peer_link_dial(struct wr_peer_link *l)
{
    enum wr_io io = wr_peer_link_connect(l);

    return io == WR_IO_OK && l->state == WR_LINK_SECURES ? wr_peer_link_secure(l) : io;
}
