/* Descriptors over a socketpair. */
#include "os/os.h"

#include "lib/unit.h"

#include <errno.h>
#include <sys/stat.h>

static unsigned open_fds(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void pair(int fds[2], int type)
{
    ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fds), 0);
}

START_TEST(passes)
{
    int sock[2], pipes[2], got[16];
    unsigned n = 16;
    char text[8];

    pair(sock, SOCK_SEQPACKET);
    ck_assert_int_eq(pipe(pipes), 0);
    ck_assert(wr_fds_send(sock[0], "hello", 5, pipes, 2));
    ck_assert_int_eq(wr_fds_recv(sock[1], text, sizeof(text), got, &n), 5);
    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(memcmp(text, "hello", 5), 0);
    ck_assert_int_ne(got[0], pipes[0]);
    ck_assert_int_ne(fcntl(got[0], F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_eq(write(got[1], "x", 1), 1);
    ck_assert_int_eq(read(pipes[0], text, 1), 1);

    ck_assert(wr_fds_send(sock[0], "none", 4, NULL, 0));
    n = 16;
    ck_assert_int_eq(wr_fds_recv(sock[1], text, sizeof(text), got, &n), 4);
    ck_assert_uint_eq(n, 0);
    n = 16;
    ck_assert_int_eq(wr_fds_recv(sock[1], text, sizeof(text), got, &n), -1);
    ck_assert_int_eq(errno, EAGAIN);
    (void)close(sock[0]);
    ck_assert_int_eq(wr_fds_recv(sock[1], text, sizeof(text), got, &n), 0);
    ck_assert(!wr_fds_send(sock[1], "x", 1, NULL, 0));
}
END_TEST

START_TEST(sixteen)
{
    int sock[2], fds[16], got[16];
    unsigned n = 16;
    char c;

    pair(sock, SOCK_STREAM);
    for (int i = 0; i < 16; i++)
        fds[i] = dup(STDERR_FILENO);
    ck_assert(wr_fds_send(sock[0], "x", 1, fds, 16));
    ck_assert_int_eq(wr_fds_recv(sock[1], &c, 1, got, &n), 1);
    ck_assert_uint_eq(n, 16);
}
END_TEST

START_TEST(what_does_not_fit_is_closed)
{
    int sock[2], fds[3] = { 2, 2, 2 }, got[16];
    unsigned n = 2, before;
    char text[4];

    pair(sock, SOCK_SEQPACKET);
    before = open_fds();
    ck_assert(wr_fds_send(sock[0], "x", 1, fds, 3));
    ck_assert_int_eq(wr_fds_recv(sock[1], text, sizeof(text), got, &n), -1);
    ck_assert_int_eq(errno, EMSGSIZE);
    ck_assert_uint_eq(n, 0);
    ck_assert_uint_eq(open_fds(), before);
    ck_assert(wr_fds_send(sock[0], "longer", 6, fds, 1));
    n = 16;
    ck_assert_int_eq(wr_fds_recv(sock[1], text, sizeof(text), got, &n), -1);
    ck_assert_int_eq(errno, EMSGSIZE);
    ck_assert_uint_eq(open_fds(), before);
}
END_TEST

UNIT_MAIN("os/fdpass", passes, sixteen, what_does_not_fit_is_closed)
