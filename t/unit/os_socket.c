/* Sockets: addresses shared and not shared, stale files, options. */
#include "os/os.h"

#include "lib/unit.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

static struct wr_addr addr(const char *text)
{
    struct wr_addr a;

    ck_assert(wr_addr_parse(wr_str_c(text), 1, &a));
    return a;
}

static int must_listen(const struct wr_addr *a, const struct wr_listen_opts *o)
{
    const char *step = "none";
    int fd = wr_socket_listen(a, o, &step);

    ck_assert_msg(fd >= 0, "%s: %s", step, strerror(errno));
    ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    return fd;
}

/* Listens on a port the kernel chooses, and makes it the address. */
static int listen_any(struct wr_addr *a, int type)
{
    struct wr_listen_opts o = { .type = type };
    int fd;

    wr_addr_set_port(a, 0);
    fd = must_listen(a, &o);
    ck_assert(wr_socket_local(fd, a));
    ck_assert_uint_ne(wr_addr_port(a), 0);
    return fd;
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void share(const char *text, int type)
{
    struct wr_listen_opts o = { .type = type };
    struct wr_addr a = addr(text);
    int first = listen_any(&a, type), second = must_listen(&a, &o);

    errno = 0;
    ck_assert(!wr_socket_probe(&a, type));
    ck_assert_int_eq(errno, EADDRINUSE);
    (void)close(first);
    ck_assert(!wr_socket_probe(&a, type));
    (void)close(second);
    ck_assert(wr_socket_probe(&a, type));
}

START_TEST(reuseport_is_shared_and_probed)
{
    share("127.0.0.1:1", SOCK_STREAM);
    share("127.0.0.1:1", SOCK_DGRAM);
    share("*:1", SOCK_STREAM);
    if (access("/proc/net/if_inet6", F_OK) == 0)
        share("[::]:1", SOCK_STREAM);
}
END_TEST

START_TEST(accepts)
{
    struct wr_addr a = addr("127.0.0.1:1"), peer, mine;
    int l = listen_any(&a, SOCK_STREAM), c, s;
    const char *step;

    ck_assert_int_eq(wr_socket_accept(l, &peer), -1);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_uint_eq(peer.len, 0);
    c = wr_socket_client(AF_INET, SOCK_STREAM, NULL, false, &step);
    ck_assert_int_ge(c, 0);
    (void)connect(c, &a.sa, a.len);
    s = wr_socket_accept(l, &peer);
    ck_assert_int_ge(s, 0);
    ck_assert(wr_socket_local(c, &mine));
    ck_assert(wr_addr_eq(&peer, &mine));
    ck_assert_int_ne(fcntl(s, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(s, F_GETFD) & FD_CLOEXEC, 0);
    wr_socket_nodelay(s);
    wr_socket_keepalive(s);
    ck_assert_int_ne(option(s, IPPROTO_TCP, TCP_NODELAY), 0);
    ck_assert_int_ne(option(s, SOL_SOCKET, SO_KEEPALIVE), 0);
    wr_socket_reset_on_close(s);
    (void)close(s);
    ck_assert_int_eq(wr_socket_error(c), ECONNRESET);
    ck_assert_int_eq(wr_socket_error(c), 0);
    (void)close(c);
    (void)close(l);
    ck_assert_int_eq(wr_socket_error(l), EBADF);
    ck_assert(!wr_socket_local(l, &mine));
}
END_TEST

START_TEST(time_wait_does_not_hold_an_address)
{
    struct wr_addr a = addr("127.0.0.1:1"), peer;
    int l = listen_any(&a, SOCK_STREAM), c, s;
    const char *step;

    c = wr_socket_client(AF_INET, SOCK_STREAM, NULL, false, &step);
    (void)connect(c, &a.sa, a.len);
    s = wr_socket_accept(l, &peer);
    ck_assert_int_ge(s, 0);
    (void)close(s); /* closed first: this side keeps the address for a minute */
    (void)close(c);
    (void)close(l);
    ck_assert(wr_socket_probe(&a, SOCK_STREAM));
}
END_TEST

START_TEST(sets_options)
{
    struct wr_listen_opts o = { .type = SOCK_STREAM, .rcvbuf = 50000, .sndbuf = 60000,
                                .deferred = true, .keepidle = 77, .keepcnt = 3, .keepintvl = 5,
                                .fastopen = 7, .multipath = true };
    struct wr_addr a = addr("127.0.0.1:1");
    int fd;

    wr_addr_set_port(&a, 0);
    fd = must_listen(&a, &o);
    ck_assert_int_ge(option(fd, SOL_SOCKET, SO_RCVBUF), 50000);
    ck_assert_int_ge(option(fd, SOL_SOCKET, SO_SNDBUF), 60000);
    ck_assert_int_eq(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    ck_assert_int_eq(option(fd, SOL_SOCKET, SO_REUSEPORT), 1);
    (void)close(fd);
    o.multipath = false;
    fd = must_listen(&a, &o);
    ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 77);
    ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 5);
    ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
    ck_assert_int_gt(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
    o = (struct wr_listen_opts){ .type = SOCK_STREAM, .keepalive_off = true, .backlog = 5 };
    ck_assert(wr_socket_tune(fd, &o));
    ck_assert_int_eq(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
    (void)close(fd);
}
END_TEST

START_TEST(names_the_failed_step)
{
    struct wr_listen_opts o = { .type = SOCK_STREAM };
    struct wr_addr a = addr("192.0.2.1:1"); /* reserved for documentation: no host has it */
    const char *step = "";

    wr_addr_set_port(&a, 0);
    ck_assert_int_eq(wr_socket_listen(&a, &o, &step), -1);
    ck_assert_int_eq(errno, EADDRNOTAVAIL);
    ck_assert_str_eq(step, "bind()");
    ck_assert_int_eq(wr_socket_client(AF_INET, SOCK_STREAM, &a, false, &step), -1);
    ck_assert_str_eq(step, "bind()");
    o.type = 99;
    ck_assert_int_eq(wr_socket_listen(&a, &o, &step), -1);
    ck_assert_str_eq(step, "socket()");
}
END_TEST

START_TEST(client_binds)
{
    struct wr_addr a = addr("127.0.0.1:1"), from = addr("127.0.0.2:1"), none = { .len = 0 }, peer;
    int l = listen_any(&a, SOCK_STREAM), c, s;
    const char *step;

    wr_addr_set_port(&from, 0);
    c = wr_socket_client(AF_INET, SOCK_STREAM, &from, false, &step);
    ck_assert_int_ge(c, 0);
    (void)connect(c, &a.sa, a.len);
    s = wr_socket_accept(l, &peer);
    ck_assert_int_ge(s, 0);
    ck_assert(wr_str_eq(wr_addr_bytes(&peer), wr_addr_bytes(&from)));
    (void)close(c);
    (void)close(s);
    (void)close(l);
    c = wr_socket_client(AF_INET, SOCK_DGRAM, &none, false, &step);
    ck_assert_int_ge(c, 0);
    (void)close(c);
}
END_TEST

START_TEST(clients_share_a_port)
{
    struct wr_addr to[2] = { addr("127.0.0.1:1"), addr("127.0.0.3:1") };
    struct wr_addr from = addr("127.0.0.2:1"), peer;
    int l[2], c[2], s[2];
    const char *step;

    (void)close(listen_any(&from, SOCK_STREAM)); /* the port is free again */
    for (int i = 0; i < 2; i++) {
        l[i] = listen_any(&to[i], SOCK_STREAM);
        c[i] = wr_socket_client(AF_INET, SOCK_STREAM, &from, false, &step);
        ck_assert_int_ge(c[i], 0);
        (void)connect(c[i], &to[i].sa, to[i].len);
        s[i] = wr_socket_accept(l[i], &peer);
        ck_assert_int_ge(s[i], 0);
        ck_assert(wr_addr_eq(&peer, &from));
        if (i == 0) { /* now the port is in TIME_WAIT */
            (void)close(c[i]);
            (void)close(s[i]);
        }
    }
    (void)close(c[1]);
    (void)close(s[1]);
    (void)close(l[0]);
    (void)close(l[1]);
}
END_TEST

START_TEST(unix_paths)
{
    struct wr_listen_opts o = { .type = SOCK_STREAM };
    char dir[] = "/tmp/weir-unit-XXXXXX", text[64];
    struct wr_addr a, peer;
    struct stat st;
    const char *step = "";
    int l, c, s;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(text, sizeof(text), "unix:%s/s", dir);
    a = addr(text);
    ck_assert(wr_socket_probe(&a, SOCK_STREAM));
    l = must_listen(&a, &o);
    ck_assert_int_eq(stat(a.un.sun_path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0666);
    /* While a process listens, the path is in use. */
    ck_assert(!wr_socket_probe(&a, SOCK_STREAM));
    ck_assert_int_eq(errno, EADDRINUSE);
    ck_assert_int_eq(wr_socket_listen(&a, &o, &step), -1);
    ck_assert_int_eq(errno, EADDRINUSE);
    ck_assert_str_eq(step, "bind()");
    ck_assert(wr_socket_tune(l, &o));
    c = wr_socket_client(AF_UNIX, SOCK_STREAM, NULL, false, &step);
    ck_assert_int_eq(connect(c, &a.sa, a.len), 0);
    s = wr_socket_accept(l, &peer);
    ck_assert_int_eq(peer.sa.sa_family, AF_UNIX);
    /* The file that a killed process left is taken over. */
    (void)close(l);
    ck_assert_int_eq(access(a.un.sun_path, F_OK), 0);
    ck_assert(wr_socket_probe(&a, SOCK_STREAM));
    l = must_listen(&a, &o);
    (void)close(l);
    (void)close(c);
    (void)close(s);
    /* Any other file is not. */
    (void)unlink(a.un.sun_path);
    (void)close(open(a.un.sun_path, O_CREAT | O_WRONLY, 0600));
    ck_assert_int_eq(wr_socket_listen(&a, &o, &step), -1);
    ck_assert_int_eq(access(a.un.sun_path, F_OK), 0);
    (void)unlink(a.un.sun_path);
    (void)rmdir(dir);
}
END_TEST

UNIT_MAIN("os/socket", reuseport_is_shared_and_probed, accepts, time_wait_does_not_hold_an_address,
          sets_options, names_the_failed_step, client_binds, clients_share_a_port, unix_paths)
