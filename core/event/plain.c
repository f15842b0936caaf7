/* The plain transport: bytes go directly from and to the socket. conn calls it. Owns nothing. */
#include "event/event_impl.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

static enum wr_io read_failed(struct wr_conn *c)
{
    if (errno == EAGAIN) {
        c->ready = (uint8_t)(c->ready & ~(unsigned)WR_READABLE);
        return WR_IO_AGAIN;
    }
    c->error = errno;
    return WR_IO_ERROR;
}

static enum wr_io write_failed(struct wr_conn *c)
{
    if (errno == EAGAIN) {
        wr_conn_full(c);
        return WR_IO_AGAIN;
    }
    c->error = errno;
    return WR_IO_ERROR;
}

static enum wr_io plain_read(struct wr_conn *c, void *p, size_t n, size_t *got)
{
    ssize_t r;

    WR_ASSERT(n > 0);
    if (!wr_chaos_io(&n))
        return wr_conn_pretend_again(c);
    do {
        r = recv(c->fd, p, n, 0);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return read_failed(c);
    if (r == 0) {
        c->read_eof = true;
        return WR_IO_EOF;
    }
    *got = (size_t)r;
    c->received += *got;
    /* the socket is empty now, unless a FIN that was reported is still behind these bytes */
    if (*got < n && !(c->ready & (WR_HUP | WR_ERR)))
        c->ready = (uint8_t)(c->ready & ~(unsigned)WR_READABLE);
    return WR_IO_OK;
}

static enum wr_io count_sent(struct wr_conn *c, ssize_t r, size_t n, size_t *put)
{
    if (r < 0)
        return write_failed(c);
    *put = (size_t)r;
    c->sent += *put;
    /* the kernel has seen the socket full, so epoll will report room in it */
    if (*put < n)
        wr_conn_full(c);
    return WR_IO_OK;
}

static enum wr_io plain_send(struct wr_conn *c, const struct iovec *v, size_t *put)
{
    size_t n = v->iov_len;
    ssize_t r;

    if (!wr_chaos_io(&n))
        return wr_conn_pretend_again(c);
    do {
        r = send(c->fd, v->iov_base, n, MSG_NOSIGNAL | (c->more ? MSG_MORE : 0));
    } while (r < 0 && errno == EINTR);
    return count_sent(c, r, n, put);
}

static enum wr_io plain_write(struct wr_conn *c, const struct iovec *v, size_t nv, size_t *put)
{
    struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = nv };
    size_t n = 0;
    ssize_t r;

    /* send() of one piece is cheaper. Chaos shortens single pieces, not lists */
    if (nv == 1 || wr_chaos())
        return plain_send(c, v, put);
    for (size_t i = 0; i < nv; i++)
        n += v[i].iov_len;
    do {
        r = sendmsg(c->fd, &m, MSG_NOSIGNAL);
    } while (r < 0 && errno == EINTR);
    return count_sent(c, r, n, put);
}

static enum wr_io plain_shutdown(struct wr_conn *c)
{
    if (shutdown(c->fd, SHUT_WR) == 0)
        return WR_IO_OK;
    c->error = errno;
    return WR_IO_ERROR;
}

static enum wr_io plain_peek(struct wr_conn *c, void *p, size_t n, size_t *got)
{
    size_t any = 1;
    ssize_t r;

    if (!wr_chaos_io(&any))
        return wr_conn_pretend_again(c);
    do {
        r = recv(c->fd, p, n, MSG_PEEK);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return read_failed(c);
    if (r == 0) {
        c->read_eof = true;
        return WR_IO_EOF;
    }
    /* the bit stays even after a short peek: the bytes are still there to be read */
    *got = (size_t)r;
    return WR_IO_OK;
}

const struct wr_transport wr_plain = {
    .read = plain_read,
    .write = plain_write,
    .peek = plain_peek,
    .shutdown = plain_shutdown,
    .raw = true,
};

/* ---- ranges of files ---- */
static enum wr_io reading_failed(struct wr_conn *c, const struct wr_slice *s)
{
    s->file->failed = true;
    c->error = EIO;
    return WR_IO_ERROR;
}

static enum wr_io send_file(struct wr_conn *c, const struct wr_slice *s, size_t n, size_t *put)
{
    off_t at = s->at;
    ssize_t r;

    if (!wr_chaos_io(&n))
        return wr_conn_pretend_again(c);
    do {
        r = sendfile(c->fd, s->file->file->fd, &at, n);
    } while (r < 0 && errno == EINTR);
    if (r == 0 || (r < 0 && errno == EIO))
        return reading_failed(c, s);
    if (r < 0)
        return write_failed(c);
    /* a short sendfile may also mean that the rest is not in the page cache: the bit stays */
    *put = (size_t)r;
    c->sent += *put;
    return WR_IO_OK;
}

/* Bytes that the transport does not take are read again next time; they are in the page cache. */
static enum wr_io copy_file(struct wr_conn *c, const struct wr_slice *s, size_t n, size_t *put)
{
    struct wr_block *b = wr_block_new();
    ssize_t r = pread(s->file->file->fd, b->data, wr_min(n, (size_t)b->size), s->at);
    enum wr_io io;

    if (r > 0)
        io = wr_conn_write(c, b->data, (size_t)r, put);
    else
        io = reading_failed(c, s);
    wr_block_unref(b);
    return io;
}

/* Do not wait for a disk on behalf of a peer that is known to be gone. */
static enum wr_io wait_for_file(struct wr_conn *c)
{
    if (c->ready & WR_ERR) {
        c->error = wr_socket_error(c->fd);
        return WR_IO_ERROR;
    }
    c->reading = true;
    return WR_IO_AGAIN;
}

enum wr_io wr_conn_write_file(struct wr_conn *c, const struct wr_slice *s, size_t max, size_t *put)
{
    bool send = c->io->raw && c->file_max > 0;
    struct wr_wanted w = {
        .loop = c->loop, .task = c->task, .n = wr_min(s->n, max), .left = s->n,
    };

    *put = 0;
    c->reading = false;
    if (!(c->ready & WR_WRITABLE))
        return WR_IO_AGAIN;
    if (send)
        w.n = wr_min(w.n, c->file_max);
    else /* after AGAIN a transport wants the same bytes again, at least as many: so the length must
          * not depend on whether the next chunk is known to be warm */
        w.n = wr_min(w.n, WR_FILE_CHUNK - (size_t)(s->at % WR_FILE_CHUNK));
    switch (wr_reader_ask(s->file, (uint64_t)s->at, &w)) {
    case WR_NOT_YET:
        return wait_for_file(c);
    case WR_AT_HAND:
        break;
    default: /* it cannot be read */
        c->error = w.err;
        return WR_IO_ERROR;
    }
    if (w.p != NULL)
        return wr_conn_write(c, w.p, w.n, put);
    return send ? send_file(c, s, w.n, put) : copy_file(c, s, w.n, put);
}
