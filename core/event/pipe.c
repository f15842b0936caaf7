/* Pipes for splice: bulk bytes go from socket to socket through a pipe and never enter the process.
 * The relay calls it. Owns the idle pipes of the process and keeps within the process' share of the
 * 32 MB that the pipes of all processes together may fill. */
#include "event/event_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PIPE_SIZE = 1 << 20, GROUP_PIPES = 32, SHARE_MIN = 2, IDLE_MAX = 4 };

static uint32_t pipe_share(void)
{
    /* a fixed share for each process, without asking the others; at least two */
    return wr_max(GROUP_PIPES / wr_max(wr_self.workers, 1u), (uint32_t)SHARE_MIN);
}

static struct wr_pipe *open_pipe(void)
{
    int fd[2], size;
    struct wr_pipe *p;

    if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) < 0)
        return NULL;
    /* an unprivileged user gets 64 big pipes; then the ordinary 64 KB, or one page, must do */
    size = fcntl(fd[1], F_SETPIPE_SZ, PIPE_SIZE);
    if (size < 0)
        size = fcntl(fd[1], F_GETPIPE_SZ);
    p = wr_calloc(1, sizeof(*p));
    p->fd[0] = fd[0];
    p->fd[1] = fd[1];
    p->size = size > 0 ? (size_t)size : 4096;
    return p;
}

static void close_pipe(struct wr_loop *l, struct wr_pipe *p)
{
    close(p->fd[0]);
    close(p->fd[1]);
    free(p);
    l->pipes_open--;
}

struct wr_pipe *wr_pipe_borrow(struct wr_loop *l)
{
    struct wr_pipe *p = l->pipes;

    if (p != NULL) {
        l->pipes = p->next;
        l->pipes_idle--;
        p->next = NULL;
        return p;
    }
    if (l->pipes_open >= pipe_share() || (p = open_pipe()) == NULL)
        return NULL;
    l->pipes_open++;
    return p;
}

void wr_pipe_return(struct wr_loop *l, struct wr_pipe *p)
{
    /* draining it would cost more than making a new one */
    if (p->fill > 0 || l->pipes_idle >= IDLE_MAX) {
        close_pipe(l, p);
        return;
    }
    p->next = l->pipes;
    l->pipes = p;
    l->pipes_idle++;
}

void wr_pipes_drop(struct wr_loop *l)
{
    struct wr_pipe *p;

    while ((p = l->pipes) != NULL) {
        l->pipes = p->next;
        close_pipe(l, p);
    }
    l->pipes_idle = 0;
}

static ssize_t splice_bytes(int from, int to, size_t n)
{
    ssize_t r;

    do {
        r = splice(from, NULL, to, NULL, n, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    } while (r < 0 && errno == EINTR);
    return r;
}

static enum wr_io splice_failed(struct wr_conn *c)
{
    c->error = errno;
    return WR_IO_ERROR;
}

enum wr_io wr_conn_splice_in(struct wr_conn *src, struct wr_pipe *p, size_t max, size_t *got)
{
    size_t n = wr_min(max, p->size - p->fill);
    ssize_t r;

    *got = 0;
    if (src->read_eof)
        return WR_IO_EOF;
    if (n == 0 || !(src->ready & WR_READABLE))
        return WR_IO_AGAIN;
    if (!wr_chaos_io(&n))
        return wr_conn_pretend_again(src);
    r = splice_bytes(src->fd, p->fd[1], n);
    if (r > 0) {
        *got = (size_t)r;
        p->fill += *got;
        src->received += *got;
        return WR_IO_OK;
    }
    if (r == 0) {
        src->read_eof = true;
        return WR_IO_EOF;
    }
    if (errno != EAGAIN)
        return splice_failed(src);
    /* a pipe with bytes in it may be out of pages; if it is empty, the source has no bytes */
    if (p->fill == 0)
        src->ready = (uint8_t)(src->ready & ~(unsigned)WR_READABLE);
    return WR_IO_AGAIN;
}

enum wr_io wr_conn_splice_out(struct wr_conn *dst, struct wr_pipe *p, size_t *put)
{
    size_t n = p->fill;
    ssize_t r;

    WR_ASSERT(n > 0);
    *put = 0;
    if (!(dst->ready & WR_WRITABLE))
        return WR_IO_AGAIN;
    if (!wr_chaos_io(&n))
        return wr_conn_pretend_again(dst);
    r = splice_bytes(p->fd[0], dst->fd, n);
    if (r > 0) {
        *put = (size_t)r;
        p->fill -= *put;
        dst->sent += *put;
        return WR_IO_OK;
    }
    if (r < 0 && errno != EAGAIN)
        return splice_failed(dst);
    /* the pipe has bytes, so the receiver has no room */
    wr_conn_full(dst);
    return WR_IO_AGAIN;
}
