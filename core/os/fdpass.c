/* fdpass: descriptors sent over a unix socketpair. Master, workers and the generations of an
 * upgrade call it; what is received belongs to the caller. */
#include "os/os.h"

#include <errno.h>
#include <unistd.h>

#define FDS_MAX 16

union control {
    struct cmsghdr align;
    char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

bool wr_fds_send(int sock, const void *p, size_t n, const int *fds, unsigned nfds)
{
    struct iovec iov = { .iov_base = (void *)(uintptr_t)p, .iov_len = n };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    union control control;
    ssize_t sent;

    WR_ASSERT(nfds <= FDS_MAX && n > 0);
    memset(&control, 0, sizeof(control));
    if (nfds > 0) {
        msg.msg_control = control.buf;
        msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(&control.align), fds, nfds * sizeof(int));
    }
    do
        sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0 && (size_t)sent != n)
        errno = EMSGSIZE;
    return sent == (ssize_t)n;
}

/* The kernel sends one control message; more than FDS_MAX it cannot, for want of room. */
static unsigned received(struct msghdr *msg, int fds[static FDS_MAX])
{
    unsigned count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || n > FDS_MAX - count)
            continue;
        memcpy(fds + count, CMSG_DATA(c), n * sizeof(int));
        count += (unsigned)n;
    }
    return count;
}

ssize_t wr_fds_recv(int sock, void *p, size_t n, int *fds, unsigned *nfds)
{
    struct iovec iov = { .iov_base = p, .iov_len = n };
    union control control;
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
                          .msg_controllen = sizeof(control.buf) };
    unsigned room = *nfds, count;
    int got[FDS_MAX];
    ssize_t len;

    *nfds = 0;
    do
        len = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    while (len < 0 && errno == EINTR);
    if (len < 0)
        return -1;
    count = received(&msg, got);
    if (count > room || (msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0) {
        /* Half a message is none, and its descriptors must not leak. */
        while (count > 0)
            (void)close(got[--count]);
        errno = EMSGSIZE;
        return -1;
    }
    if (count > 0)
        memcpy(fds, got, count * sizeof(int));
    *nfds = count;
    return len;
}
