/* A connection's descriptor: registration, ready bits, deadline, and the calls of its transport.
 * Endpoints and steps call it. Owns the fd and the transport's state; the task it wakes belongs to
 * the code that waits. */
#include "event/event_impl.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

enum { IOVECS = 64 }; /* 1 MB in full blocks: more than a socket takes at once */

static void on_event(struct wr_watch *w, uint32_t events)
{
    struct wr_conn *c = wr_container(w, struct wr_conn, watch);
    unsigned bits = 0;

    if (events & (EPOLLIN | EPOLLPRI))
        bits |= WR_READABLE;
    if (events & EPOLLOUT)
        bits |= WR_WRITABLE;
    if (events & (EPOLLRDHUP | EPOLLHUP))
        bits |= WR_HUP | WR_READABLE;
    /* the next read or write reports the error */
    if (events & (EPOLLERR | EPOLLHUP))
        bits |= WR_READABLE | WR_WRITABLE;
    if (events & EPOLLERR)
        bits |= WR_ERR;

    /* EPOLLOUT comes with every event, so it wakes the task only when it is new. EPOLLIN always
     * does: a task that has peeked waits for more bytes with the bit set */
    if (((bits & ~(unsigned)c->ready) != 0 || (bits & WR_READABLE)) && c->task != NULL)
        wr_task_wake(c->loop, c->task);
    c->ready = (uint8_t)(c->ready | bits);
}

void wr_conn_init(struct wr_conn *c, struct wr_loop *l, int fd, struct wr_task *task)
{
    *c = (struct wr_conn){
        .watch.on_event = on_event,
        .fd = fd,
        .ready = WR_READABLE | WR_WRITABLE,
        .loop = l,
        .task = task,
        .io = &wr_plain,
        .deadline.task = task,
        .file_max = SIZE_MAX,
    };
}

static uint32_t wanted_events(const struct wr_conn *c)
{
    return EPOLLIN | EPOLLRDHUP | EPOLLET | (c->watches_out ? (uint32_t)EPOLLOUT : 0);
}

static void give_up_watching(struct wr_conn *c)
{
    wr_say(WR_LOG_CRIT, errno, "epoll_ctl() failed, the connection is closed");
    shutdown(c->fd, SHUT_RDWR);
    c->ready = WR_READABLE | WR_WRITABLE | WR_HUP;
    if (c->task != NULL)
        wr_task_wake(c->loop, c->task);
}

void wr_conn_register(struct wr_conn *c)
{
    c->registered = true;
    c->watches_out = !(c->ready & WR_WRITABLE);
    if (!wr_watch_add(c->loop, c->fd, &c->watch, wanted_events(c)))
        give_up_watching(c);
}

void wr_conn_full(struct wr_conn *c)
{
    c->ready = (uint8_t)(c->ready & ~(unsigned)WR_WRITABLE);
    if (!c->registered || c->watches_out)
        return;
    c->watches_out = true;
    if (!wr_watch_change(c->loop, c->fd, &c->watch, wanted_events(c)))
        give_up_watching(c);
}

enum wr_io wr_conn_connect(struct wr_conn *c, const struct wr_addr *to)
{
    c->ready = 0;
    /* EAGAIN of a unix socket with a full queue is an error, too: no event would follow */
    if (connect(c->fd, &to->sa, to->len) == 0) {
        c->ready = WR_READABLE | WR_WRITABLE;
        return WR_IO_OK;
    }
    if (errno != EINPROGRESS && errno != EINTR) {
        c->error = errno;
        return WR_IO_ERROR;
    }
    /* not before connect(): an unconnected socket reports EPOLLHUP */
    wr_conn_arm(c);
    return WR_IO_AGAIN;
}

enum wr_io wr_conn_connected(struct wr_conn *c)
{
    if (!(c->ready & WR_WRITABLE))
        return WR_IO_AGAIN;
    /* success costs no system call */
    if (!(c->ready & (WR_HUP | WR_ERR)))
        return WR_IO_OK;
    /* the kernel reports an error once, but this function may be called again */
    if (c->error == 0)
        c->error = wr_socket_error(c->fd);
    return c->error == 0 ? WR_IO_OK : WR_IO_ERROR;
}

enum wr_io wr_conn_pretend_again(struct wr_conn *c)
{
    if (c->task != NULL)
        wr_task_wake(c->loop, c->task);
    return WR_IO_AGAIN;
}

enum wr_io wr_conn_peek(struct wr_conn *c, void *p, size_t n, size_t *got)
{
    *got = 0;
    if (c->read_eof)
        return WR_IO_EOF;
    if (!(c->ready & WR_READABLE))
        return WR_IO_AGAIN;
    return c->io->peek(c, p, n, got);
}

enum wr_io wr_conn_writev(struct wr_conn *c, const struct iovec *v, size_t nv, size_t *put)
{
    *put = 0;
    if (!(c->ready & WR_WRITABLE))
        return WR_IO_AGAIN;
    return c->io->write(c, v, nv, put);
}

enum wr_io wr_conn_write(struct wr_conn *c, const void *p, size_t n, size_t *put)
{
    /* struct iovec has no const form; it is only read from */
    const struct iovec v = { (void *)(uintptr_t)p, n };

    return wr_conn_writev(c, &v, 1, put);
}

enum wr_io wr_conn_shutdown(struct wr_conn *c)
{
    enum wr_io r;

    if (c->write_shut)
        return WR_IO_OK;
    /* AGAIN: the transport has a last message to write; call again when that is possible */
    r = c->io->shutdown(c);
    c->write_shut = r != WR_IO_AGAIN;
    return r;
}

static enum wr_io write_memory(struct wr_conn *c, struct wr_bufq *q, size_t max, size_t *put)
{
    struct iovec v[IOVECS];
    size_t nv = wr_bufq_iovec(q, v, IOVECS), n = 0, i;
    enum wr_io r;

    for (i = 0; i < nv && n < max; i++) {
        v[i].iov_len = wr_min(v[i].iov_len, max - n);
        n += v[i].iov_len;
    }
    r = wr_conn_writev(c, v, i, put);
    wr_bufq_drop(q, *put);
    return r;
}

enum wr_io wr_conn_write_q(struct wr_conn *c, struct wr_bufq *q, size_t max, size_t *put)
{
    size_t left = wr_min(max, q->n);
    enum wr_io r = WR_IO_AGAIN;

    *put = 0;
    while (left > 0) {
        size_t n = 0;

        if (q->head->p != NULL) {
            r = write_memory(c, q, left, &n);
        } else {
            r = wr_conn_write_file(c, q->head, left, &n);
            wr_bufq_drop(q, n);
        }
        *put += n;
        left -= n;
        if (r != WR_IO_OK)
            break;
    }
    /* report an error even if bytes went out before it: no more will follow */
    return *put > 0 && r == WR_IO_AGAIN ? WR_IO_OK : r;
}

void wr_conn_move(struct wr_conn *to, struct wr_conn *from, struct wr_task *task)
{
    wr_timer_off(from->loop, &from->deadline);
    *to = *from;
    to->task = task;
    to->deadline = (struct wr_timer){ .task = task };
    from->fd = -1;
    from->ready = 0;
    from->registered = false;
    from->io = &wr_plain;
    from->tls = NULL;
    from->free_state = NULL;
    from->unread = NULL;
    if (to->tls != NULL)
        wr_tls_moved(to);
    if (to->registered && !wr_watch_change(to->loop, to->fd, &to->watch, wanted_events(to)))
        give_up_watching(to);
}

void wr_conn_close(struct wr_conn *c)
{
    /* first, and also without fd: an idle deadline may still be in the heap */
    wr_timer_off(c->loop, &c->deadline);
    if (c->fd < 0)
        return;
    c->task = NULL; /* the last message wakes no task */
    free(wr_unread_detach(c));
    if (c->free_state != NULL)
        c->free_state(c);
    c->free_state = NULL;
    if (c->fd >= 0) { /* else wr_last_words has taken it */
        if (c->reset_on_close)
            wr_socket_reset_on_close(c->fd);
        /* no other process has this socket, so close() removes it from epoll */
        close(c->fd);
    }
    c->fd = -1;
    c->ready = 0;
    c->registered = false;
}
