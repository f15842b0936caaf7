/* The end of a process that finds a broken invariant. */
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

/* ---- types ---- */

struct map {
    uint32_t magic;
};
struct geo {
    uint32_t magic;
};
struct wr_address { /* wr_http_address is derived from it: both casts are right */
    uint32_t magic;
};
struct wr_http_address {
    struct wr_address a;
    uint32_t magic;
};

static void taking_map(void *p)
{
    (void)WR_CHECK(p, MAP);
}

static void taking_http_address(void *p)
{
    (void)WR_CHECK(p, HTTP_ADDRESS);
}

static void said_by(char *out, size_t n, void (*fn)(void *), void *arg)
{
    int fds[2];
    ssize_t got;
    pid_t pid;

    ck_assert_int_eq(pipe(fds), 0);
    pid = fork();
    if (pid == 0) {
        (void)dup2(fds[1], STDERR_FILENO);
        fn(arg);
        _exit(0);
    }
    (void)close(fds[1]);
    got = read(fds[0], out, n - 1);
    out[got > 0 ? got : 0] = '\0';
    (void)close(fds[0]);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(wrong_type_dies)
{
    struct map m = { 0 };
    struct geo g;
    struct wr_http_address stream = { 0 }, http = { 0 };
    void *p = &m;
    char line[512];

    WR_TYPED(&m, MAP);
    WR_TYPED(&g, GEO);
    ck_assert_ptr_eq(WR_CHECK(p, MAP), &m);
    ck_assert(!unit_aborts(taking_map, &m));
    ck_assert(unit_aborts(taking_map, &g));
    said_by(line, sizeof(line), taking_map, &g);
    ck_assert_msg(strstr(line, "GEO where MAP is expected") != NULL, "%s", line);
    WR_UNTYPED(&m);
    ck_assert(unit_aborts(taking_map, &m));
    WR_TYPED(&stream.a, ADDRESS);
    WR_TYPED(&http.a, ADDRESS);
    WR_TYPED(&http, HTTP_ADDRESS);
    p = &http;
    ck_assert_ptr_eq(WR_CHECK(p, ADDRESS), &http.a);
    ck_assert(!unit_aborts(taking_http_address, &http));
    ck_assert(unit_aborts(taking_http_address, &stream));
}
END_TEST

UNIT_MAIN("base/check", aborts, calls_the_hook_first, wrong_type_dies)
