/* The connections that fit below worker_connections, and the log lines about those that do not. */
#include "lib/event_lib.h"
#include "lib/said.h"

#include <errno.h>

START_TEST(a_tenth_is_for_servers)
{
    static const struct {
        struct wr_open open;
        bool client, server;
    } table[] = {
        { { { 0, 0 }, 0 }, true, true }, /* no limit */
        { { { 9999, 9999 }, 0 }, true, true },
        { { { 0, 0 }, 1 }, true, true },
        { { { 1, 0 }, 1 }, false, false },
        { { { 1, 0 }, 2 }, true, true },
        { { { 2, 0 }, 2 }, false, false },
        { { { 8, 0 }, 10 }, true, true },
        { { { 9, 0 }, 10 }, false, true },
        { { { 9, 1 }, 10 }, false, false },
        { { { 5, 4 }, 10 }, true, true },
        { { { 5, 5 }, 10 }, false, false },
        { { { 0, 10 }, 10 }, false, false },
        { { { 255, 256 }, 512 }, true, true },
        { { { 256, 256 }, 512 }, false, false },
        { { { 460, 0 }, 512 }, true, true },
        { { { 461, 0 }, 512 }, false, true },
        { { { 461, 50 }, 512 }, false, true },
        { { { 461, 51 }, 512 }, false, false },
        { { { 3, 0 }, 2 }, false, false }, /* a reload may have lowered it */
    };

    for (size_t i = 0; i < WR_COUNT(table); i++) {
        ck_assert_msg(wr_open_fits(&table[i].open, WR_CLIENT, 1) == table[i].client, "row %zu", i);
        ck_assert_msg(wr_open_fits(&table[i].open, WR_SERVER, 1) == table[i].server, "row %zu", i);
    }
}
END_TEST

static unsigned unused[2];

static bool close_unused(enum wr_side side)
{
    if (unused[side] == 0)
        return false;
    unused[side]--;
    wr_connections_add(side, -1);
    return true;
}

/* Counts this many connections in. */
static void count_in(unsigned clients, unsigned servers)
{
    wr_connections_add(WR_CLIENT, (int)clients);
    wr_connections_add(WR_SERVER, (int)servers);
}

static struct wr_loop *loop_with_limit(uint32_t max)
{
    struct wr_loop *l = wr_loop_new(1);

    said_keep();
    wr_connections_limit(l, max);
    return l;
}

static void end_loop(struct wr_loop *l)
{
    wr_connections_end();
    wr_loop_free(l);
}

START_TEST(parked_ones_go_before_idle_clients)
{
    struct wr_loop *l = loop_with_limit(10);

    wr_connections_unused(close_unused);
    unused[WR_CLIENT] = unused[WR_SERVER] = 1;
    count_in(5, 5);
    ck_assert(wr_connections_room(WR_CLIENT));
    ck_assert(unused[WR_SERVER] == 0 && unused[WR_CLIENT] == 1);
    count_in(1, 0);
    ck_assert(wr_connections_room(WR_SERVER));
    ck_assert_uint_eq(unused[WR_CLIENT], 0);
    count_in(0, 1);
    ck_assert(!wr_connections_room(WR_CLIENT));
    ck_assert(!wr_connections_room(WR_SERVER));
    end_loop(l);
}
END_TEST

START_TEST(too_many_clients_close_no_parked_one)
{
    struct wr_loop *l = loop_with_limit(20);

    wr_connections_unused(close_unused);
    unused[WR_SERVER] = 1;
    count_in(18, 1);
    ck_assert(!wr_connections_room(WR_CLIENT));
    unused[WR_CLIENT] = 1;
    ck_assert(wr_connections_room(WR_CLIENT));
    ck_assert_uint_eq(unused[WR_SERVER], 1);
    end_loop(l);
}
END_TEST

static unsigned lines_said(void)
{
    unsigned n = 0;

    for (const char *p = said_text; (p = strchr(p, '\n')) != NULL; p++)
        n++;
    return n;
}

START_TEST(it_is_said_once_a_second)
{
    struct wr_loop *l = loop_with_limit(10);
    uint64_t began = wr_now();

    wr_connections_unused(close_unused);
    unused[WR_SERVER] = 3;
    count_in(5, 5);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(wr_connections_room(WR_CLIENT));
        count_in(1, 0);
    }
    ck_assert(!wr_connections_room(WR_CLIENT));
    wr_connections_refused(WR_CLIENT, 0);
    wr_connections_refused(WR_CLIENT, 0);
    wr_connections_refused(WR_SERVER, 0);
    ck_assert_uint_eq(lines_said(), 1);
    ck_assert(said("[warn]"));
    ck_assert(said("10 worker_connections are not enough, reusing connections\n"));
    turn_until(l, lines_said() > 1);
    ck_assert_uint_ge(wr_now() - began, 1000);
    ck_assert_uint_eq(lines_said(), 2);
    ck_assert(said("[error]") &&
              said("10 worker_connections are not enough, 2 clients and 1 connections to servers "
                   "were refused, reusing connections: 2 unused ones were closed\n"));
    wr_connections_refused(WR_CLIENT, EMFILE); /* a line of its own, with a second of its own */
    ck_assert_uint_eq(lines_said(), 3);
    wr_connections_refused(WR_CLIENT, 0);
    ck_assert_uint_eq(lines_said(), 3);
    end_loop(l);
    ck_assert_uint_eq(lines_said(), 4); /* the counts not logged yet */
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { a_tenth_is_for_servers, parked_ones_go_before_idle_clients,
                                   too_many_clients_close_no_parked_one, it_is_said_once_a_second,
                                   NULL };

    return run_suite("event_limit", tests);
}
