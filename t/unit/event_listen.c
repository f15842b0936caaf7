/* Accepting: batches, the limit of connections, draining an address that goes away. */
#include "lib/event_lib.h"
#include "lib/said.h"

#include <errno.h>
#include <sys/resource.h>

enum { CLIENTS = 150 };

static struct wr_loop *l;
static struct wr_listener listener;
static struct wr_accepting a;
static int taken[CLIENTS + 1], clients[CLIENTS + 1];
static unsigned ntaken, nclients;

static void accepted(struct wr_listener *who, int fd, const struct wr_addr *peer)
{
    ck_assert_ptr_eq(who, &listener);
    ck_assert_int_eq(peer->sa.sa_family, AF_INET);
    taken[ntaken++] = fd;
    wr_connections_add(1);
}

static void setup(void)
{
    const struct wr_listen_opts o = { .type = SOCK_STREAM, .setfib = -1 };
    const char *step;

    wr_self_init();
    l = wr_loop_new(16);
    ck_assert(wr_addr_parse_ip(WR_STR("127.0.0.1"), &listener.addr));
    listener.accepted = accepted;
    listener.fds = &a;
    listener.nfds = 1;
    listener.text = WR_STR("127.0.0.1:0");
    a.listener = &listener;
    a.fd = wr_socket_listen(&listener.addr, &o, &step);
    ck_assert_int_ge(a.fd, 0);
    ck_assert(wr_socket_local(a.fd, &listener.addr));
    ck_assert(wr_accepting_start(l, &a));
}

static void teardown(void)
{
    wr_accepting_stop(&a);
    wr_accepting_stop(&a);
    close(a.fd);
    while (ntaken > 0)
        close(taken[--ntaken]);
    while (nclients > 0)
        close(clients[--nclients]);
    wr_loop_free(l);
}

static void come(unsigned n)
{
    while (n-- > 0) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ck_assert_int_eq(connect(fd, &listener.addr.sa, listener.addr.len), 0);
        clients[nclients++] = fd;
    }
}

START_TEST(one_a_turn_and_more_in_a_flood)
{
    setup();
    come(CLIENTS);
    for (unsigned i = 1; i <= 5; i++) {
        wr_loop_turn(l, 1000);
        ck_assert_uint_eq(ntaken, i);
    }
    turn_until(l, ntaken == CLIENTS);
    ck_assert_uint_lt(wr_loop_turns(l), 60);
    ck_assert_uint_gt(a.batch, 1);
    wr_loop_turn(l, 0);
    come(1);
    turn_until(l, ntaken == CLIENTS + 1);
    ck_assert_uint_eq(a.batch, 1);
    teardown();
}
END_TEST

START_TEST(the_limit_pauses_and_a_close_goes_on)
{
    setup();
    said_keep();
    wr_accepting_limit(3);
    come(5);
    turn_until(l, a.paused);
    ck_assert_uint_eq(ntaken, 3);
    wr_loop_turn(l, 10);
    ck_assert_uint_eq(ntaken, 3);
    ck_assert_uint_eq(wr_connections(), 3);
    ck_assert(said("[warn]") && said("3 worker_connections are not enough"));
    wr_connections_add(-1);
    turn_until(l, ntaken == 4);
    wr_accepting_limit(0);
    turn_until(l, ntaken == 5);
    teardown();
}
END_TEST

START_TEST(no_descriptors_left)
{
    struct rlimit old, low;

    setup();
    said_keep();
    come(3);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t)clients[2] + 1;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    wr_loop_turn(l, 1000);
    ck_assert_uint_eq(ntaken, 0);
    wr_loop_turn(l, 50);
    ck_assert(said("[crit]") && said("accept4() failed, accepting rests for"));
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    turn_until(l, ntaken == 3);
    teardown();
}
END_TEST

START_TEST(draining)
{
    setup();
    come(2);
    wr_accepting_drain(&a);
    wr_loop_turn(l, 1000);
    ck_assert_uint_eq(ntaken, 2);
    ck_assert(!a.drained);
    come(1);
    turn_until(l, a.drained);
    ck_assert_uint_eq(ntaken, 3);
    teardown();
}
END_TEST

START_TEST(stopped_is_stopped_and_starts_again)
{
    setup();
    come(1);
    wr_task_wake(l, &a.task);
    wr_accepting_stop(&a);
    wr_loop_turn(l, 20);
    ck_assert_uint_eq(ntaken, 0);
    ck_assert(wr_accepting_start(l, &a));
    turn_until(l, ntaken == 1);
    teardown();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { one_a_turn_and_more_in_a_flood,
                                   the_limit_pauses_and_a_close_goes_on, no_descriptors_left,
                                   draining, stopped_is_stopped_and_starts_again, NULL };

    return run_suite("event_listen", tests);
}
