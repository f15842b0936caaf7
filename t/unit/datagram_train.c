/* Datagrams in trains: what is kept, what is counted, and that sockets get and give whole ones. */
#include "lib/event_lib.h"

#include "datagram/datagram.h"

#include <errno.h>
#include <unistd.h>

static struct wr_train train(const char *p, size_t n, size_t size)
{
    return (struct wr_train){ p, n, size };
}

START_TEST(counts)
{
    struct wr_train t[] = { train("", 0, 65536), train("abc", 3, 65536), train("abcdefg", 7, 3),
                            train("abcdef", 6, 3), train("x", 1, 1) };
    struct wr_trains l = { t, WR_COUNT(t) };
    struct wr_count c = wr_trains_count(&l);

    ck_assert_uint_eq(c.datagrams, 1 + 1 + 3 + 2 + 1);
    ck_assert_uint_eq(c.bytes, 17);
}
END_TEST

START_TEST(one_after_the_other)
{
    struct wr_train t[] = { train("", 0, 65536), train("abcdefg", 7, 3), train("x", 1, 65536) };
    struct wr_trains l = { t, WR_COUNT(t) };
    static const char *want[] = { "", "abc", "def", "g", "x" };

    for (size_t i = 0; i < WR_COUNT(want); i++) {
        struct wr_train one;

        ck_assert_uint_gt(l.n, 0);
        one = wr_trains_first(&l);
        ck_assert(wr_str_is(wr_str_of(one.p, one.n), want[i]));
    }
    ck_assert_uint_eq(l.n, 0);
}
END_TEST

START_TEST(kept_ones)
{
    struct wr_kept k = { 0 };
    struct wr_train t[] = { train("abcdefg", 7, 3), train("", 0, 65536) }, out[WR_TRAINS];
    struct wr_trains l = { t, WR_COUNT(t) }, back;
    static char large[9000];

    ck_assert_uint_eq(wr_kept_add(&k, &l, 1000), 0);
    ck_assert_uint_eq(l.n, 2);
    back = wr_kept_load(&k, out);
    ck_assert_uint_eq(back.n, 4);
    ck_assert(wr_str_is(wr_str_of(out[2].p, out[2].n), "g"));
    ck_assert_uint_eq(out[3].n, 0);
    wr_kept_drop(&k, 3);
    back = wr_kept_load(&k, out);
    ck_assert_uint_eq(back.n, 1);
    ck_assert_uint_eq(out[0].n, 0);
    t[0] = train(large, sizeof(large), 65536);
    l = (struct wr_trains){ t, 1 };
    ck_assert_uint_eq(wr_kept_add(&k, &l, 1000), 1);
    wr_kept_clear(&k);
    wr_kept_clear(&k);
    ck_assert_uint_eq(k.bytes, 0);
    ck_assert_uint_eq(wr_kept_add(&k, &l, 1000), 0); /* the first is always taken */
    ck_assert_uint_eq(wr_kept_add(&k, &l, 1000), 1);
    wr_kept_clear(&k);
}
END_TEST

START_TEST(errors)
{
    static const int way[] = { ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENETDOWN };
    static const int own[] = { EMSGSIZE, EPERM, ENOBUFS, EINVAL, ENOMEM, EACCES };

    for (size_t i = 0; i < WR_COUNT(way); i++)
        ck_assert(wr_is_unreachable(way[i]));
    for (size_t i = 0; i < WR_COUNT(own); i++)
        ck_assert(!wr_is_unreachable(own[i]));
}
END_TEST

static void no_work(struct wr_task *t)
{
    (void)t;
}

/* Pieces (GSO, GRO) keep the size of each datagram. */
START_TEST(through_the_network)
{
    struct wr_loop *l = wr_loop_new(16);
    struct wr_task task = { .run = no_work };
    struct wr_addr a = { .len = 0 };
    struct wr_conn from, to;
    struct wr_train t[] = { train("abcdefg", 7, 3), train("hij", 3, 65536), train("", 0, 65536),
                            train("k", 1, 65536), train("lmnop", 5, 2) };
    struct wr_trains out = { t, WR_COUNT(t) }, in;
    struct wr_count sent = { 0 };
    static const char *want[] = { "abc", "def", "g", "hij", "", "k", "lm", "no", "p" };
    size_t seen = 0;
    int one = 1;

    ck_assert(wr_addr_parse_ip(WR_STR("127.0.0.1"), &a));
    wr_conn_init(&to, l, socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), &task);
    wr_conn_init(&from, l, socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), &task);
    ck_assert_int_eq(bind(to.fd, &a.sa, a.len), 0);
    ck_assert(wr_socket_local(to.fd, &a));
    ck_assert_int_eq(connect(from.fd, &a.sa, a.len), 0);
    (void)setsockopt(to.fd, IPPROTO_UDP, 104 /* UDP_GRO */, &one, sizeof(one));
    ck_assert(wr_trains_send(&from, &out, &sent) == WR_IO_OK);
    ck_assert_uint_eq(sent.datagrams, WR_COUNT(want));
    ck_assert(wr_trains_read(&to, &in) == WR_IO_OK);
    while (in.n > 0) {
        struct wr_train got = wr_trains_first(&in);

        ck_assert_uint_lt(seen, WR_COUNT(want));
        ck_assert(wr_str_is(wr_str_of(got.p, got.n), want[seen++]));
    }
    ck_assert_uint_eq(seen, WR_COUNT(want));
    wr_conn_close(&from);
    wr_conn_close(&to);
    wr_loop_free(l);
}
END_TEST

START_TEST(through_a_socket)
{
    struct wr_loop *l = wr_loop_new(16);
    struct wr_task task = { .run = no_work };
    struct wr_conn a, b;
    int fd[2];
    char large[2000];
    struct wr_train t[] = { train("abcdefg", 7, 3), train("", 0, 65536),
                            train(large, 2000, 65536) };
    struct wr_trains out = { t, WR_COUNT(t) }, in;
    struct wr_count sent = { 0 };
    static const size_t want[] = { 3, 3, 1, 0, 2000 };

    memset(large, 'x', sizeof(large));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fd), 0);
    wr_conn_init(&a, l, fd[0], &task);
    wr_conn_init(&b, l, fd[1], &task);
    ck_assert(wr_trains_send(&a, &out, &sent) == WR_IO_OK);
    ck_assert_uint_eq(sent.datagrams, 5);
    ck_assert_uint_eq(sent.bytes, 2007);
    ck_assert_uint_eq(a.sent, 2007);
    ck_assert(wr_trains_read(&b, &in) == WR_IO_OK);
    ck_assert_uint_eq(in.n, 5);
    for (size_t i = 0; i < WR_COUNT(want); i++)
        ck_assert_uint_eq(in.at[i].n, want[i]);
    ck_assert_uint_eq(b.ready & WR_READABLE, 0);
    ck_assert(wr_trains_read(&b, &in) == WR_IO_AGAIN);
    wr_conn_close(&a);
    b.ready = WR_READABLE | WR_WRITABLE;
    t[0] = train("abc", 3, 65536);
    out = (struct wr_trains){ t, 1 };
    ck_assert(wr_trains_send(&b, &out, &sent) == WR_IO_ERROR);
    ck_assert_int_eq(b.error, ECONNREFUSED);
    ck_assert_uint_eq(out.n, 1);
    wr_conn_close(&b);
    wr_loop_free(l);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { counts, one_after_the_other, kept_ones, errors,
                                   through_a_socket, through_the_network, NULL };

    return run_suite("datagram/train", tests);
}
