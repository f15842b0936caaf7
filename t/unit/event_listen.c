/* Accepting: batches, the limit of connections, draining an address that goes away. */
#include "lib/event_lib.h"
#include "lib/said.h"

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
    wr_connections_add(WR_CLIENT, 1);
}

static void setup(void)
{
    const struct wr_listen_opts o = { .type = SOCK_STREAM };
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

static bool has_ended(int fd)
{
    char c;

    return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

START_TEST(above_the_limit_clients_are_refused)
{
    setup();
    said_keep();
    wr_connections_limit(l, 3);
    come(5);
    turn_until(l, has_ended(clients[4]));
    ck_assert_uint_eq(ntaken, 3);
    ck_assert(has_ended(clients[3]) && !has_ended(clients[2]));
    ck_assert_uint_eq(wr_connections(), 3);
    ck_assert(said("[error]") && said("3 worker_connections are not enough"));
    wr_connections_add(WR_CLIENT, -1);
    come(1);
    turn_until(l, ntaken == 4);
    teardown();
}
END_TEST

static unsigned told[2];

static void hand_over(bool full)
{
    told[full]++;
    if (full)
        wr_accepting_stop(&a);
    else
        ck_assert(wr_accepting_start(l, &a));
}

START_TEST(another_worker_takes_them_until_there_is_room)
{
    setup();
    wr_connections_limit(l, 3);
    wr_connections_watch(hand_over);
    come(5);
    turn_until(l, told[true] == 1);
    ck_assert_uint_eq(ntaken, 3);
    wr_loop_turn(l, 10);
    ck_assert(!has_ended(clients[3]) && !has_ended(clients[4])); /* they wait for the other
                                                                  * worker */
    wr_connections_add(WR_CLIENT, -1);
    turn_until(l, told[false] > 0);
    turn_until(l, ntaken == 4);
    wr_connections_limit(l, 0);
    turn_until(l, ntaken == 5); /* half a second later: nothing was closed */
    teardown();
}
END_TEST

/* Lowers the limit so that no more descriptors can be opened. */
static struct rlimit use_up_descriptors(void)
{
    struct rlimit old, low;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t)clients[nclients - 1] + 1;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    return old;
}

START_TEST(without_descriptors_clients_are_refused)
{
    struct rlimit old;

    setup();
    said_keep();
    wr_connections_limit(l, 0);
    come(3);
    old = use_up_descriptors();
    turn_until(l, has_ended(clients[2]));
    ck_assert(said("[error]") && said("open files are not enough"));
    ck_assert_uint_eq(ntaken, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    come(1);
    turn_until(l, ntaken == 1);
    teardown();
}
END_TEST

static bool close_a_taken_one(enum wr_side side)
{
    if (side != WR_CLIENT || ntaken == 0)
        return false;
    close(taken[--ntaken]);
    return true;
}

START_TEST(what_nobody_uses_gives_its_descriptor)
{
    struct rlimit old;

    setup();
    wr_connections_limit(l, 0);
    wr_connections_unused(close_a_taken_one);
    come(1);
    turn_until(l, ntaken == 1);
    come(1);
    old = use_up_descriptors();
    turn_until(l, has_ended(clients[0]));
    wr_loop_turn(l, 10);
    ck_assert(!has_ended(clients[1]));
    ck_assert_uint_eq(ntaken, 1);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
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

/* A batch that is exactly used up: no accept has found an empty queue yet. */
START_TEST(draining_goes_on_after_a_whole_batch)
{
    setup();
    wr_accepting_drain(&a);
    wr_loop_turn(l, 1000);
    ck_assert(!a.drained);
    come(1);
    turn_until(l, a.drained);
    ck_assert_uint_eq(ntaken, 1);
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
                                   above_the_limit_clients_are_refused,
                                   another_worker_takes_them_until_there_is_room,
                                   without_descriptors_clients_are_refused,
                                   what_nobody_uses_gives_its_descriptor, draining,
                                   draining_goes_on_after_a_whole_batch,
                                   stopped_is_stopped_and_starts_again, NULL };

    return run_suite("event_listen", tests);
}
