/* dial: the step that connects to the picked peer. Entered again by events until the connection
 * stands, fails or takes too long; then the layer, or retry, takes over. */
#include "upstream/upstream.h"

#include <errno.h>
#include <linux/capability.h>

#define STALE_MAX 3 /* parked connections that broke, before one is made anew */

bool wr_set_bind(struct wr_cf *cf, void *conf)
{
    struct wr_upstream_rows *r = WR_FIELD(cf, conf, struct wr_upstream_rows);
    struct wr_str addr = wr_cf_arg(cf, 1), literal;
    struct wr_addr parsed;

    r->bind = NULL;
    r->bind_transparent = false;
    if (cf->nargs == 1 && wr_str_is(addr, "off"))
        return true;
    if (cf->nargs == 2 && !wr_str_is(wr_cf_arg(cf, 2), "transparent"))
        return wr_cf_error(cf, 2, "invalid parameter \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 2)));
    r->bind_transparent = cf->nargs == 2;
    if (r->bind_transparent) /* IP_TRANSPARENT is for CAP_NET_RAW or CAP_NET_ADMIN */
        cf->conf->keep_caps |= (uint64_t)1 << CAP_NET_RAW;
    r->bind = wr_template_new(cf, 1, addr);
    if (r->bind == NULL)
        return false;
    if (wr_template_literal(r->bind, &literal) && !wr_addr_parse(literal, 0, &parsed)
        && !wr_addr_parse_ip(literal, &parsed))
        return wr_cf_error(cf, 1, "invalid address \"" WR_FMT "\"", WR_ARG(addr));
    return true;
}

/* An empty value means no binding; an address of another family than the peer's cannot serve. */
static const struct wr_addr *bind_address(struct wr_exchange *x, struct wr_addr *buf)
{
    struct wr_str text;

    text = wr_template_str(x, x->attempts->rows->bind);
    if (text.n == 0)
        return NULL;
    if (!wr_addr_parse(text, 0, buf) && !wr_addr_parse_ip(text, buf)) {
        wr_xlog(x, WR_LOG_ERROR, 0, "invalid local address \"" WR_FMT "\"", WR_ARG(text));
        return NULL;
    }
    return buf;
}

enum wr_go wr_try_failed(struct wr_exchange *x, enum wr_failure why)
{
    x->attempts->failure = why;
    x->step = &wr_step_retry;
    return WR_GO;
}

enum wr_go wr_try_waits(struct wr_exchange *x)
{
    if (!x->idle.fired) {
        wr_conn_arm(x->attempts->conn); /* a unix socket connects at once, and was not armed then */
        return WR_WAIT;
    }
    wr_xlog(x, WR_LOG_ERROR, ETIMEDOUT, "upstream timed out");
    return wr_try_failed(x, WR_FAIL_TIMEOUT);
}

static enum wr_go connect_failed(struct wr_exchange *x)
{
    int err = x->attempts->conn->error;
    enum wr_level l = err == ECONNREFUSED || err == ENOENT || err == ECONNRESET
                           || err == ETIMEDOUT || err == EHOSTUNREACH || err == ENETUNREACH
                           || err == ENETDOWN || err == EHOSTDOWN
                    ? WR_LOG_ERROR : WR_LOG_CRIT;

    wr_xlog(x, l, err, "connect() failed");
    return wr_try_failed(x, WR_FAIL_ERROR);
}

static void tune(const struct wr_upstream_rows *r, int fd)
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

/* -1: *why is set, and it was logged. */
static int open_socket(struct wr_exchange *x, const struct wr_addr *to, const struct wr_addr *local,
                       enum wr_failure *why)
{
    const char *step = "socket()";
    int fd = -1;

    *why = WR_FAIL_FULL;
    if (!wr_connections_room(WR_SERVER)) {
        wr_connections_refused(WR_SERVER, 0);
        return -1;
    }
    do {
        fd = wr_socket_client(to->sa.sa_family, SOCK_STREAM, local,
                              x->attempts->rows->bind_transparent, &step);
    } while (fd < 0 && errno == EMFILE && wr_connections_free_one());
    if (fd < 0 && errno == EMFILE) {
        wr_connections_refused(WR_SERVER, EMFILE);
    } else if (fd < 0) {
        wr_xlog(x, WR_LOG_CRIT, errno, "%s failed", step);
        *why = WR_FAIL_ERROR;
    }
    return fd;
}

/* AGAIN: it goes on; EOF: *why says how it failed, which was logged. */
static enum wr_io begin(struct wr_exchange *x, struct wr_try *t, enum wr_failure *why)
{
    struct wr_attempts *a = x->attempts;
    struct wr_addr buf;
    const struct wr_addr *local = a->rows->bind != NULL ? bind_address(x, &buf) : NULL;
    struct wr_peer_link *l;
    int fd = open_socket(x, &t->addr, local, why);

    if (fd < 0)
        return WR_IO_EOF;
    tune(a->rows, fd);
    l = wr_peer_link_open(a->u, &t->peer);
    l->rows = a->rows;
    if (local != NULL)
        l->bind = *local;
    a->conn = &l->conn;
    wr_conn_init(a->conn, x->loop, fd, &x->task);
    wr_timer_set(x->loop, &x->idle, a->rows->connect_timeout_ms);
    return wr_conn_connect(a->conn, &t->addr);
}

/* A parked connection to this peer spares the dialling. */
static bool reuse(struct wr_exchange *x, struct wr_try *t)
{
    struct wr_attempts *a = x->attempts;
    const struct wr_addr *local = NULL;
    struct wr_peer_link *l = NULL;
    struct wr_addr buf;

    if (a->u->idle_count > 0 && a->stale < STALE_MAX) {
        local = a->rows->bind != NULL ? bind_address(x, &buf) : NULL;
        l = wr_idle_take(a, &t->peer, local);
    }
    a->reused = l != NULL;
    if (l == NULL)
        return false;
    a->conn = &l->conn;
    wr_conn_retask(&l->conn, &x->task);
    t->connect_ms = 0;
    t->sent = l->conn.sent; /* of the requests before; wr_try_end takes the difference */
    t->received = l->conn.received;
    return true;
}

static enum wr_go dial_run(struct wr_exchange *x)
{
    struct wr_attempts *a = x->attempts;
    struct wr_try *t = wr_try_now(a);
    enum wr_failure why;
    enum wr_io io;

    if (a->conn == NULL && a->u != NULL && reuse(x, t))
        return x->layer->connected(x);
    io = a->conn == NULL ? begin(x, t, &why) : wr_conn_connected(a->conn);
    if (io == WR_IO_EOF)
        return wr_try_failed(x, why);
    if (io == WR_IO_ERROR)
        return connect_failed(x);
    if (io == WR_IO_AGAIN)
        return wr_try_waits(x);
    t->connect_ms = wr_now() - t->begun_ms;
    if (a->tls == NULL && a->announce.n == 0)
        return x->layer->connected(x);
    a->announced = 0;
    x->step = &wr_step_secure;
    return WR_GO;
}

const struct wr_step wr_step_dial = { "dial", "connecting to upstream", dial_run };
