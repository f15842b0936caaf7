/* How a process ends that found itself wrong. */
#include "lib/unit.h"

static int pipe_fd;

static void hook(void)
{
    (void)!write(pipe_fd, "h", 1);
}

static void asserting(void *arg)
{
    WR_ASSERT(arg == NULL);
}

static void hooked(void *arg)
{
    wr_assert_hook = hook;
    asserting(arg);
}

static void out_of_memory(void *arg)
{
    (void)arg;
    wr_out_of_memory(1);
}

static void asserting_again(void)
{
    asserting(&pipe_fd);
}

static void assert_in_hook(void *arg)
{
    wr_assert_hook = asserting_again;
    asserting(arg);
}

START_TEST(aborts)
{
    ck_assert(!unit_aborts(asserting, NULL));
    ck_assert(unit_aborts(asserting, &pipe_fd));
    ck_assert(unit_aborts(out_of_memory, NULL));
}
END_TEST

START_TEST(calls_the_hook_first)
{
    int fds[2];
    char c = 0;

    ck_assert_int_eq(pipe(fds), 0);
    pipe_fd = fds[1];
    ck_assert(unit_aborts(hooked, &pipe_fd));
    ck_assert_int_eq(read(fds[0], &c, 1), 1);
    ck_assert_int_eq(c, 'h');
    ck_assert(unit_aborts(assert_in_hook, &pipe_fd));
}
END_TEST

UNIT_MAIN("base/check", aborts, calls_the_hook_first)
