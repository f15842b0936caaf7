/* socket: opening, binding and querying sockets. The master's listeners, connections to
 * clients and servers, and the syslog sink call it; descriptors belong to the caller. */
#include "os/os.h"

#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#if WR_HAVE_UDP_SEGMENT
#include <netinet/udp.h>
#endif
#include <sys/stat.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define BACKLOG 511

static bool set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

/* For optional settings: a failure is logged and ignored. */
static void try_option(int fd, int level, int name, int value, const char *text)
{
    if (!set_option(fd, level, name, value))
        wr_say(WR_LOG_WARN, errno, "setsockopt(%s, %d) failed, ignored", text, value);
}

static int fail_step(int fd, const char **step, const char *failed)
{
    int err = errno;

    *step = failed;
    if (fd >= 0)
        (void)close(fd);
    errno = err;
    return -1;
}

static int open_socket(int family, int type)
{
    return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int open_listener(int family, const struct wr_listen_opts *o)
{
    if (o->multipath && o->type == SOCK_STREAM && family != AF_UNIX) {
        int fd = socket(family, o->type | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_MPTCP);

        if (fd >= 0)
            return fd;
        wr_say(WR_LOG_WARN, errno, "no multipath TCP on this system, plain TCP is used");
    }
    return open_socket(family, o->type);
}

static bool set_transparent(int fd, int family)
{
    if (family == AF_INET6)
        return set_option(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1);
    return set_option(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
}

/* ---- listeners ---- */

/* Returns NULL or the step that failed. */
static const char *set_listener_options(int fd, int family, const struct wr_listen_opts *o)
{
    if (family == AF_UNIX)
        return NULL;
    if (!set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1))
        return "setsockopt(SO_REUSEADDR)";
    if (!set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1))
        return "setsockopt(SO_REUSEPORT)";
    if (family == AF_INET6 && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !o->ipv6only_off))
        return "setsockopt(IPV6_V6ONLY)";
    return NULL;
}

static void tune_tcp(int fd, const struct wr_listen_opts *o)
{
    bool keepalive = o->keepalive || o->keepidle > 0 || o->keepintvl > 0 || o->keepcnt > 0;

    /* Accepted sockets inherit it, which saves a call for each. */
    (void)set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (keepalive || o->keepalive_off)
        try_option(fd, SOL_SOCKET, SO_KEEPALIVE, keepalive, "SO_KEEPALIVE");
    if (o->keepidle > 0)
        try_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, o->keepidle, "TCP_KEEPIDLE");
    if (o->keepintvl > 0)
        try_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, o->keepintvl, "TCP_KEEPINTVL");
    if (o->keepcnt > 0)
        try_option(fd, IPPROTO_TCP, TCP_KEEPCNT, o->keepcnt, "TCP_KEEPCNT");
    if (o->fastopen > 0)
        try_option(fd, IPPROTO_TCP, TCP_FASTOPEN, o->fastopen, "TCP_FASTOPEN");
    /* Always set: after a reload without `deferred`, zero switches it off. */
    try_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, o->deferred, "TCP_DEFER_ACCEPT");
}

/* A wildcard gives no address to answer from: ask for the one each datagram was sent to. */
static void tune_datagrams(int fd, const struct wr_addr *a)
{
#if WR_HAVE_UDP_SEGMENT
    (void)set_option(fd, IPPROTO_UDP, UDP_GRO, 1); /* several datagrams in one piece */
#endif
    if (!wr_addr_wildcard(a))
        return;
    if (a->sa.sa_family == AF_INET6)
        try_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO");
    else
        try_option(fd, IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO");
}

static void tune_socket(int fd, const struct wr_addr *a, const struct wr_listen_opts *o)
{
    if (o->rcvbuf > 0)
        try_option(fd, SOL_SOCKET, SO_RCVBUF, o->rcvbuf, "SO_RCVBUF");
    if (o->sndbuf > 0)
        try_option(fd, SOL_SOCKET, SO_SNDBUF, o->sndbuf, "SO_SNDBUF");
    if (o->type == SOCK_DGRAM)
        tune_datagrams(fd, a);
    else if (a->sa.sa_family != AF_UNIX)
        tune_tcp(fd, o);
}

static bool start_listening(int fd, const struct wr_listen_opts *o)
{
    return o->type != SOCK_STREAM || listen(fd, o->backlog > 0 ? o->backlog : BACKLOG) == 0;
}

/* Is this the socket file of a killed run, on which no process accepts? Check the type, too:
 * connect() is refused on any other file as well, and weir must not remove those. */
static bool is_stale_file(const struct wr_addr *a, int type)
{
    struct stat st;
    bool refused;
    int fd;

    if (lstat(a->un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    fd = open_socket(AF_UNIX, type);
    if (fd < 0)
        return false;
    refused = connect(fd, &a->sa, a->len) != 0 && errno == ECONNREFUSED;
    (void)close(fd);
    return refused;
}

static bool bind_listener(int fd, const struct wr_addr *a, int type)
{
    if (bind(fd, &a->sa, a->len) == 0)
        return true;
    if (errno != EADDRINUSE || a->sa.sa_family != AF_UNIX)
        return false;
    if (!is_stale_file(a, type)) {
        errno = EADDRINUSE;
        return false;
    }
    return wr_file_remove(a->un.sun_path) && bind(fd, &a->sa, a->len) == 0;
}

/* As in nginx, all users may connect. The mode is set on the socket before bind(): changing it by
 * name afterwards could hit another file. */
static bool bind_path(int fd, const struct wr_addr *a, int type)
{
    char name[NAME_MAX + 1];
    int dir = wr_folder_to_write(a->un.sun_path, name);
    mode_t mask;
    bool ok;

    if (dir < 0)
        return false;
    (void)close(dir);
    if (fchmod(fd, 0666) != 0)
        return false;
    mask = umask(0);
    ok = bind_listener(fd, a, type);
    (void)umask(mask);
    return ok;
}

int wr_socket_bind(const struct wr_addr *a, const struct wr_listen_opts *o, const char **step)
{
    int family = a->sa.sa_family;
    int fd = open_listener(family, o);
    const char *failed;
    bool named;

    if (fd < 0)
        return fail_step(fd, step, "socket()");
    failed = set_listener_options(fd, family, o);
    if (failed != NULL)
        return fail_step(fd, step, failed);
    /* Before listen(): the receive buffer decides the window scale of what is accepted. */
    tune_socket(fd, a, o);
    named = family == AF_UNIX && a->un.sun_path[0] != '\0';
    if (!(named ? bind_path : bind_listener)(fd, a, o->type))
        return fail_step(fd, step, "bind()");
    return fd;
}

int wr_socket_listen(const struct wr_addr *a, const struct wr_listen_opts *o, const char **step)
{
    int fd = wr_socket_bind(a, o, step);

    return fd < 0 || start_listening(fd, o) ? fd : fail_step(fd, step, "listen()");
}

static bool probe_unix(const struct wr_addr *a, int type)
{
    int fd = open_socket(AF_UNIX, type);
    bool answered;

    if (fd < 0)
        return false;
    /* EAGAIN means a full backlog: a process listens there. */
    answered = connect(fd, &a->sa, a->len) == 0 || errno == EAGAIN;
    (void)close(fd);
    errno = EADDRINUSE;
    return !answered;
}

bool wr_socket_probe(const struct wr_addr *a, int type)
{
    int family = a->sa.sa_family, fd;
    const char *step;
    bool ok;

    if (family == AF_UNIX)
        return probe_unix(a, type);
    fd = open_socket(family, type);
    if (fd < 0)
        return false;
    /* For TCP this ignores connections in TIME_WAIT but still finds listeners. Not for UDP: with it
     * two UDP sockets can share the port. */
    if (type == SOCK_STREAM)
        (void)set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (family == AF_INET6)
        (void)set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    ok = bind(fd, &a->sa, a->len) == 0;
    (void)fail_step(fd, &step, "bind()"); /* for its close() that keeps errno */
    return ok;
}

bool wr_socket_tune(int fd, const struct wr_listen_opts *o)
{
    struct wr_addr a;

    if (!wr_socket_local(fd, &a))
        return false;
    tune_socket(fd, &a, o);
    return start_listening(fd, o); /* on a listening socket this changes the backlog */
}

int wr_socket_accept(int fd, struct wr_addr *peer)
{
    socklen_t len = offsetof(struct wr_addr, len);
    int c = accept4(fd, &peer->sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    peer->len = c < 0 ? 0 : len;
    return c;
}

/* ---- clients ---- */

static bool bind_client(int fd, int type, const struct wr_addr *a)
{
    /* A configured port may be in use by connections to other servers, or in TIME_WAIT. */
    if (type == SOCK_STREAM && a->sa.sa_family != AF_UNIX && wr_addr_port(a) != 0)
        (void)set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
#ifdef IP_BIND_ADDRESS_NO_PORT
    /* Let connect() choose the port: when the other end is known, many more ports are free. */
    if (a->sa.sa_family != AF_UNIX && wr_addr_port(a) == 0)
        (void)set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
#endif
    return bind(fd, &a->sa, a->len) == 0;
}

int wr_socket_client(int family, int type, const struct wr_addr *bind_to, bool transparent,
                     const char **step)
{
    int fd = open_socket(family, type);

    if (fd < 0)
        return fail_step(fd, step, "socket()");
    if (transparent && !set_transparent(fd, family))
        return fail_step(fd, step, "setsockopt(IP_TRANSPARENT)");
    if (bind_to != NULL && bind_to->len > 0 && !bind_client(fd, type, bind_to))
        return fail_step(fd, step, "bind()");
    return fd;
}

bool wr_socket_deafen(int fd)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13), /* the flags of the TCP header */
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = { .len = WR_COUNT(code), .filter = code };

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

bool wr_socket_local(int fd, struct wr_addr *out)
{
    socklen_t len = offsetof(struct wr_addr, len);

    memset(out, 0, sizeof(*out));
    if (getsockname(fd, &out->sa, &len) != 0)
        return false;
    out->len = len;
    return true;
}

int wr_socket_error(int fd)
{
    int err = 0;
    socklen_t len = sizeof(err);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
        return errno;
    return err;
}

void wr_socket_nodelay(int fd)
{
    (void)set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

void wr_socket_delay(int fd)
{
    (void)set_option(fd, IPPROTO_TCP, TCP_NODELAY, 0);
}

void wr_socket_keepalive(int fd)
{
    (void)set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

void wr_socket_reset_on_close(int fd)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

bool wr_socket_tcp_info(int fd, struct wr_tcp_info *out)
{
    struct tcp_info ti;
    socklen_t len = sizeof(ti);

    memset(&ti, 0, sizeof(ti));
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len) != 0)
        return false;
    *out = (struct wr_tcp_info){ ti.tcpi_rtt, ti.tcpi_rttvar, ti.tcpi_snd_cwnd, ti.tcpi_rcv_space };
    return true;
}
