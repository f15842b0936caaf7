/* Connections over socket pairs and TCP on loopback: ready bits, ends, files, pipes, connecting. */
#include "lib/event_lib.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>

static struct wr_loop *l;
static struct counter task;
static struct wr_conn c;
static int other; /* the far end, non-blocking */

static void setup(int type)
{
    int fd[2];

    l = wr_loop_new(16);
    task = COUNTER;
    ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    wr_conn_init(&c, l, fd[0], &task.task);
    other = fd[1];
}

static void teardown(void)
{
    wr_conn_close(&c);
    wr_conn_close(&c);
    ck_assert_int_eq(c.fd, -1);
    close(other);
    wr_loop_free(l);
    ck_assert_uint_eq(wr_blocks_live(), 0);
}

static void far_writes(const char *text)
{
    ck_assert_int_eq(write(other, text, strlen(text)), (ssize_t)strlen(text));
}

static void reads(const char *text)
{
    char buf[64];
    size_t got;

    ck_assert_int_eq(wr_conn_read(&c, buf, sizeof(buf), &got), WR_IO_OK);
    ck_assert_uint_eq(got, strlen(text));
    ck_assert_mem_eq(buf, text, got);
}

START_TEST(reading)
{
    char buf[4];
    size_t got = 1;

    setup(SOCK_STREAM);
    ck_assert_uint_eq(c.ready, WR_READABLE | WR_WRITABLE);
    ck_assert_int_eq(wr_conn_read(&c, buf, sizeof(buf), &got), WR_IO_AGAIN);
    ck_assert_uint_eq(got, 0);
    ck_assert_uint_eq(c.ready, WR_WRITABLE);

    wr_conn_arm(&c);
    far_writes("abcdef");
    wr_loop_turn(l, 1000);
    ck_assert_uint_eq(task.runs, 1);
    ck_assert_uint_eq(c.ready, WR_READABLE | WR_WRITABLE);

    /* a full buffer does not tell whether more is left, a short read does */
    ck_assert_int_eq(wr_conn_read(&c, buf, sizeof(buf), &got), WR_IO_OK);
    ck_assert_uint_eq(got, 4);
    ck_assert(c.ready & WR_READABLE);
    reads("ef");
    ck_assert(!(c.ready & WR_READABLE));
    ck_assert_uint_eq(c.received, 6);
    teardown();
}
END_TEST

START_TEST(a_short_read_before_the_end_is_not_the_end)
{
    char buf[8];
    size_t got;

    setup(SOCK_STREAM);
    wr_conn_arm(&c);
    far_writes("last");
    shutdown(other, SHUT_WR);
    wr_loop_turn(l, 1000);
    ck_assert(c.ready & WR_HUP);
    reads("last");
    ck_assert(c.ready & WR_READABLE);
    ck_assert_int_eq(wr_conn_read(&c, buf, sizeof(buf), &got), WR_IO_EOF);
    ck_assert_int_eq(wr_conn_read(&c, buf, sizeof(buf), &got), WR_IO_EOF);
    ck_assert(c.read_eof);
    teardown();
}
END_TEST

START_TEST(bytes_wake_the_task_registering_does_not)
{
    setup(SOCK_STREAM);
    wr_conn_arm(&c);
    wr_loop_turn(l, 0);
    ck_assert_uint_eq(task.runs, 0);
    far_writes("a");
    wr_loop_turn(l, 1000);
    ck_assert_uint_eq(task.runs, 1);
    far_writes("b"); /* nothing was read: a task that has peeked must be woken for more */
    wr_loop_turn(l, 1000);
    ck_assert_uint_eq(task.runs, 2);
    teardown();
}
END_TEST

START_TEST(peeking)
{
    char buf[8];
    size_t got;

    setup(SOCK_STREAM);
    ck_assert_int_eq(wr_conn_peek(&c, buf, sizeof(buf), &got), WR_IO_AGAIN);
    wr_conn_arm(&c);
    far_writes("ab");
    wr_loop_turn(l, 1000);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(wr_conn_peek(&c, buf, sizeof(buf), &got), WR_IO_OK);
        ck_assert_uint_eq(got, 2);
    }
    ck_assert_uint_eq(c.received, 0);
    reads("ab");
    teardown();
}
END_TEST

START_TEST(writing_until_full)
{
    static char big[256 * 1024], sink[256 * 1024];
    const struct iovec v[2] = { { big, 1000 }, { big, sizeof(big) - 1000 } };
    size_t put, all = 0;
    unsigned before;

    setup(SOCK_STREAM);
    wr_conn_arm(&c);
    wr_loop_turn(l, 0);
    ck_assert_int_eq(wr_conn_write(&c, "xy", 2, &put), WR_IO_OK);
    while (wr_conn_writev(&c, v, 2, &put) == WR_IO_OK)
        all += put;
    ck_assert_uint_eq(put, 0);
    ck_assert(!(c.ready & WR_WRITABLE));
    ck_assert_uint_eq(c.sent, all + 2);

    before = task.runs;
    while (read(other, sink, sizeof(sink)) > 0)
        ;
    wr_loop_turn(l, 1000);
    ck_assert_uint_eq(task.runs, before + 1);
    ck_assert(c.ready & WR_WRITABLE);
    teardown();
}
END_TEST

START_TEST(writing_to_nobody)
{
    size_t put;

    setup(SOCK_STREAM);
    close(other);
    other = open("/dev/null", O_RDONLY);
    ck_assert_int_eq(wr_conn_write(&c, "x", 1, &put), WR_IO_ERROR);
    ck_assert_int_eq(c.error, EPIPE);
    teardown();
}
END_TEST

START_TEST(a_queue_with_a_file)
{
    char path[] = "/tmp/weir-unit-XXXXXX", buf[64];
    int file = mkstemp(path);
    struct wr_bufq q = { 0 };
    struct wr_reader r;
    size_t put;

    setup(SOCK_STREAM);
    unlink(path);
    wr_reader_init(&r, wr_opened_new(file, path), NULL);
    ck_assert_int_eq(write(file, "0123456789", 10), 10);
    wr_bufq_copy(&q, "head ", 5);
    wr_bufq_file(&q, &r, 2, 5);
    wr_bufq_borrow(&q, " tail", 5);
    ck_assert_int_eq(wr_conn_write_q(&c, &q, 7, &put), WR_IO_OK);
    ck_assert_uint_eq(put, 7);
    ck_assert_int_eq(wr_conn_write_q(&c, &q, SIZE_MAX, &put), WR_IO_OK);
    ck_assert_uint_eq(put, 8);
    ck_assert_uint_eq(q.n, 0);
    ck_assert_int_eq(read(other, buf, sizeof(buf)), 15);
    ck_assert_mem_eq(buf, "head 23456 tail", 15);

    wr_bufq_file(&q, &r, 8, 5); /* three bytes short */
    ck_assert_int_eq(wr_conn_write_q(&c, &q, SIZE_MAX, &put), WR_IO_ERROR);
    ck_assert_uint_eq(put, 2);
    ck_assert_int_eq(c.error, EIO);
    wr_bufq_clear(&q);
    wr_reader_end(&r);
    teardown();
}
END_TEST

static enum wr_io spy_write(struct wr_conn *conn, const struct iovec *v, size_t nv, size_t *put)
{
    return wr_plain.write(conn, v, nv, put);
}

START_TEST(a_file_past_a_transport_that_is_not_raw)
{
    static struct wr_transport spy;
    char path[] = "/tmp/weir-unit-XXXXXX", buf[16];
    int file = mkstemp(path);
    struct wr_bufq q = { 0 };
    struct wr_reader r;
    size_t put;

    setup(SOCK_STREAM);
    wr_reader_init(&r, wr_opened_new(file, path), NULL);
    spy = wr_plain;
    spy.raw = false;
    spy.write = spy_write;
    c.io = &spy;
    unlink(path);
    ck_assert_int_eq(write(file, "0123456789", 10), 10);
    wr_bufq_file(&q, &r, 0, 10);
    ck_assert_int_eq(wr_conn_write_q(&c, &q, SIZE_MAX, &put), WR_IO_OK);
    ck_assert_int_eq(read(other, buf, sizeof(buf)), 10);
    wr_reader_end(&r);
    teardown();
}
END_TEST

START_TEST(shutting_down)
{
    char buf[8];

    setup(SOCK_STREAM);
    ck_assert_int_eq(wr_conn_shutdown(&c), WR_IO_OK);
    ck_assert_int_eq(wr_conn_shutdown(&c), WR_IO_OK);
    ck_assert_int_eq(read(other, buf, sizeof(buf)), 0);
    far_writes("still");
    reads("still");
    teardown();
}
END_TEST

START_TEST(deadlines)
{
    setup(SOCK_STREAM);
    wr_conn_timeout(&c, 10);
    turn_until(l, c.deadline.fired);
    ck_assert_uint_ge(task.runs, 1);
    wr_conn_timeout(&c, 10);
    wr_conn_timeout(&c, 0);
    ck_assert(!c.deadline.fired);
    wr_conn_timeout(&c, 1);
    wr_conn_close(&c);
    ck_assert_uint_eq(c.deadline.place, 0);
    teardown();
}
END_TEST

START_TEST(another_task_takes_over)
{
    struct counter heir = COUNTER;

    setup(SOCK_STREAM);
    wr_conn_arm(&c);
    wr_conn_retask(&c, &heir.task);
    far_writes("a");
    turn_until(l, heir.runs == 1);
    wr_conn_timeout(&c, 5);
    turn_until(l, c.deadline.fired);
    ck_assert_uint_ge(heir.runs, 2);
    ck_assert_uint_eq(task.runs, 0);
    teardown();
}
END_TEST

/* ---- connecting ---- */
static int listen_on(struct wr_addr *a)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    ck_assert(wr_addr_parse_ip(WR_STR("127.0.0.1"), a));
    ck_assert_int_eq(bind(fd, &a->sa, a->len), 0);
    ck_assert_int_eq(listen(fd, 5), 0);
    ck_assert(wr_socket_local(fd, a));
    return fd;
}

static void dial(const struct wr_addr *to)
{
    const char *step;

    l = wr_loop_new(16);
    task = COUNTER;
    wr_conn_init(&c, l, wr_socket_client(to->sa.sa_family, SOCK_STREAM, NULL, false, &step),
                 &task.task);
    other = -1;
}

START_TEST(connecting)
{
    struct wr_addr a;
    int listener = listen_on(&a);
    size_t put;

    dial(&a);
    ck_assert_int_eq(wr_conn_connect(&c, &a), WR_IO_AGAIN);
    ck_assert(c.registered);
    ck_assert_int_eq(wr_conn_connected(&c), WR_IO_AGAIN);
    turn_until(l, wr_conn_connected(&c) == WR_IO_OK);
    ck_assert_uint_eq(task.runs, 1);
    other = accept(listener, NULL, NULL);
    ck_assert_int_eq(wr_conn_write(&c, "hello", 5, &put), WR_IO_OK);
    wr_conn_timeout(&c, 1000);
    c.reset_on_close = true;
    wr_conn_close(&c);
    close(listener);
    {
        char buf[8];

        /* a reset takes the bytes with it, or comes behind them */
        while (read(other, buf, sizeof(buf)) > 0)
            ;
        ck_assert_int_eq(errno, ECONNRESET);
    }
    teardown();
}
END_TEST

START_TEST(refused)
{
    struct wr_addr a;
    int listener = listen_on(&a);
    enum wr_io r;

    close(listener);
    dial(&a);
    r = wr_conn_connect(&c, &a);
    if (r == WR_IO_AGAIN)
        turn_until(l, (r = wr_conn_connected(&c)) != WR_IO_AGAIN);
    ck_assert_int_eq(r, WR_IO_ERROR);
    ck_assert_int_eq(c.error, ECONNREFUSED);
    teardown();
}
END_TEST

/* The other side accepts, writes and closes before we look: that counts as connected. */
START_TEST(connected_and_gone)
{
    struct wr_addr a;
    int listener = listen_on(&a), fd;

    dial(&a);
    ck_assert_int_eq(wr_conn_connect(&c, &a), WR_IO_AGAIN);
    fd = accept(listener, NULL, NULL);
    ck_assert_int_eq(write(fd, "bye", 3), 3);
    close(fd);
    turn_until(l, c.ready & WR_HUP);
    ck_assert_int_eq(wr_conn_connected(&c), WR_IO_OK);
    reads("bye");
    close(listener);
    teardown();
}
END_TEST

START_TEST(a_unix_socket_connects_at_once)
{
    struct wr_addr a = { .un.sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    /* autobind: an abstract name of five bytes */
    ck_assert_int_eq(bind(listener, &a.sa, sizeof(sa_family_t)), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    a.len = sizeof(a.un);
    ck_assert_int_eq(getsockname(listener, &a.sa, &a.len), 0);
    dial(&a);
    ck_assert_int_eq(wr_conn_connect(&c, &a), WR_IO_OK);
    ck_assert(!c.registered);
    ck_assert_uint_eq(c.ready, WR_READABLE | WR_WRITABLE);
    close(listener);
    teardown();
}
END_TEST

/* ---- pipes ---- */
START_TEST(splicing)
{
    struct wr_pipe *p;
    struct wr_conn dst;
    char buf[32];
    size_t n;
    int fd[2];

    setup(SOCK_STREAM);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    wr_conn_init(&dst, l, fd[0], &task.task);
    p = wr_pipe_borrow(l);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_ge(p->size, 4096);

    far_writes("through the pipe");
    ck_assert_int_eq(wr_conn_splice_in(&c, p, 7, &n), WR_IO_OK);
    ck_assert_uint_eq(n, 7);
    ck_assert_int_eq(wr_conn_splice_in(&c, p, 100, &n), WR_IO_OK);
    ck_assert_uint_eq(p->fill, 16);
    ck_assert_int_eq(wr_conn_splice_in(&c, p, 100, &n), WR_IO_AGAIN);
    ck_assert(c.ready & WR_READABLE); /* the pipe may have been full */
    ck_assert_int_eq(wr_conn_splice_out(&dst, p, &n), WR_IO_OK);
    ck_assert_uint_eq(n, 16);
    ck_assert_int_eq(wr_conn_splice_in(&c, p, 100, &n), WR_IO_AGAIN);
    ck_assert(!(c.ready & WR_READABLE));
    ck_assert_int_eq(read(fd[1], buf, sizeof(buf)), 16);
    ck_assert_mem_eq(buf, "through the pipe", 16);

    shutdown(other, SHUT_WR);
    wr_conn_arm(&c);
    wr_loop_turn(l, 1000);
    ck_assert_int_eq(wr_conn_splice_in(&c, p, 100, &n), WR_IO_EOF);
    ck_assert(c.read_eof);
    wr_pipe_return(l, p);
    wr_conn_close(&dst);
    close(fd[1]);
    teardown();
}
END_TEST

START_TEST(a_full_receiver_keeps_the_pipe_full)
{
    static char big[300000];
    struct wr_pipe *p;
    struct wr_conn dst;
    size_t n;
    int fd[2];

    setup(SOCK_STREAM);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    wr_conn_init(&dst, l, fd[0], &task.task);
    while (wr_conn_write(&dst, big, sizeof(big), &n) == WR_IO_OK)
        ;
    dst.ready |= WR_WRITABLE;
    p = wr_pipe_borrow(l);
    far_writes("waits");
    ck_assert_int_eq(wr_conn_splice_in(&c, p, 100, &n), WR_IO_OK);
    ck_assert_int_eq(wr_conn_splice_out(&dst, p, &n), WR_IO_AGAIN);
    ck_assert(!(dst.ready & WR_WRITABLE));
    ck_assert_uint_eq(p->fill, 5);
    wr_pipe_return(l, p); /* closed, as no other user may get these bytes */
    p = wr_pipe_borrow(l);
    ck_assert_uint_eq(p->fill, 0);
    wr_pipe_return(l, p);
    wr_conn_close(&dst);
    close(fd[1]);
    teardown();
}
END_TEST

/* Without SIG_IGN SIGPIPE would end the process: splice and sendfile have no flag against it. */
START_TEST(splicing_to_nobody)
{
    struct wr_pipe *p;
    struct wr_conn dst;
    size_t n;
    int fd[2];

    setup(SOCK_STREAM);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    wr_conn_init(&dst, l, fd[0], &task.task);
    close(fd[1]);
    p = wr_pipe_borrow(l);
    far_writes("lost");
    ck_assert_int_eq(wr_conn_splice_in(&c, p, 100, &n), WR_IO_OK);
    ck_assert_int_eq(wr_conn_splice_out(&dst, p, &n), WR_IO_ERROR);
    ck_assert_int_eq(dst.error, EPIPE);
    wr_pipe_return(l, p);
    wr_conn_close(&dst);
    teardown();
}
END_TEST

START_TEST(the_share_of_pipes)
{
    struct wr_pipe *p[32];
    unsigned n = 0;

    setup(SOCK_STREAM);
    wr_self.workers = 4;
    while (n < 32 && (p[n] = wr_pipe_borrow(l)) != NULL)
        n++;
    ck_assert_uint_eq(n, 8);
    wr_pipe_return(l, p[--n]);
    ck_assert_ptr_nonnull(p[n] = wr_pipe_borrow(l));
    n++;
    while (n > 0)
        wr_pipe_return(l, p[--n]);
    wr_self.workers = 100;
    ck_assert_ptr_nonnull(p[0] = wr_pipe_borrow(l));
    wr_pipe_return(l, p[0]);
    teardown();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        reading, a_short_read_before_the_end_is_not_the_end,
        bytes_wake_the_task_registering_does_not, peeking, writing_until_full, writing_to_nobody,
        a_queue_with_a_file, a_file_past_a_transport_that_is_not_raw, shutting_down, deadlines,
        another_task_takes_over, connecting, refused, connected_and_gone,
        a_unix_socket_connects_at_once, splicing, a_full_receiver_keeps_the_pipe_full,
        splicing_to_nobody, the_share_of_pipes, NULL,
    };

    wr_self_init();
    return run_suite("event_conn", tests);
}
