/* The syslog sink: its parameters, its datagrams, and a log host that goes away. */
#include "os/os.h"

#include "lib/unit.h"

#include <errno.h>

static struct wr_pool *pool;

static struct wr_sink *open_ok(const char *params)
{
    const char *err = "no error";
    struct wr_sink *s;

    if (pool == NULL)
        pool = wr_pool_new(0);
    s = wr_syslog_open(pool, wr_str_c(params), &err);
    ck_assert_msg(s != NULL, "%s: %s", params, err);
    return s;
}

/* Makes a log host on 127.0.0.1; params gets the parameters of a sink for it. */
static int log_host(const char *more, char params[static 128])
{
    struct wr_listen_opts o = { .type = SOCK_DGRAM };
    struct wr_addr a;
    const char *step;
    int fd;

    ck_assert(wr_addr_parse(WR_STR("127.0.0.1"), 0, &a));
    fd = wr_socket_listen(&a, &o, &step);
    ck_assert_int_ge(fd, 0);
    ck_assert(wr_socket_local(fd, &a));
    (void)snprintf(params, 128, "syslog:server=127.0.0.1:%u%s", wr_addr_port(&a), more);
    return fd;
}

static struct wr_str received(int fd)
{
    static char buf[8192];
    ssize_t n = recv(fd, buf, sizeof(buf), 0);

    return n < 0 ? wr_str_of(NULL, 0) : wr_str_of(buf, (size_t)n);
}

START_TEST(datagram_format)
{
    char params[128], host[256], want[512];
    int fd = log_host("", params);
    struct wr_sink *s = open_ok(params);

    wr_clock_update();
    wr_sink_write(s, WR_LOG_ERROR, WR_STR("what happened\n"));
    ck_assert_int_eq(gethostname(host, sizeof(host)), 0);
    (void)snprintf(want, sizeof(want), "<187>" WR_FMT " %s weir: what happened",
                   WR_ARG(wr_clock.syslog), host);
    ck_view(received(fd), want);
    wr_sink_release(s);
    wr_pool_free(pool);
}
END_TEST

START_TEST(parameters)
{
    char params[128], want[512];
    int fd = log_host(",facility=user,severity=debug,tag=Some_1,nohostname", params);
    struct wr_sink *s = open_ok(params);

    wr_clock_update();
    wr_sink_write(s, WR_LOG_LEVELS, WR_STR("GET /"));
    (void)snprintf(want, sizeof(want), "<15>" WR_FMT " Some_1: GET /", WR_ARG(wr_clock.syslog));
    ck_view(received(fd), want);
    wr_sink_write(s, WR_LOG_EMERG, WR_STR("x"));
    ck_assert(wr_str_starts(received(fd), WR_STR("<8>")));
    wr_sink_release(s);
    wr_pool_free(pool);
}
END_TEST

START_TEST(one_sink_per_name)
{
    char params[128];
    struct wr_sink *s, *same;

    (void)log_host("", params);
    s = open_ok(params);
    same = open_ok(params + 7); /* without "syslog:" */
    ck_assert_ptr_eq(s, same);
    ck_assert_uint_eq(s->users, 2);
    ck_assert_ptr_eq(wr_sink_open(params), s);
    wr_sink_reopen_all((uid_t)-1);
    ck_assert_int_ge(s->fd, 0);
    for (unsigned i = 0; i < 3; i++)
        wr_sink_release(s);
    ck_assert_ptr_null(wr_sink_find(params));
    wr_pool_free(pool);
}
END_TEST

START_TEST(wrong_parameters)
{
    static const struct {
        const char *params, *err;
    } rows[] = {
        { "", "no syslog server specified" },
        { "tag=x", "no syslog server specified" },
        { "server=127.0.0.1,server=127.0.0.1", "duplicate syslog \"server\"" },
        { "server=", "host not found in syslog server \"\"" },
        { "server=no.such.host", "host not found in syslog server \"no.such.host\"" },
        { "server=127.0.0.1,facility=x", "unknown syslog facility \"x\"" },
        { "server=127.0.0.1,facility=user,facility=user", "duplicate syslog \"facility\"" },
        { "server=127.0.0.1,severity=x", "unknown syslog severity \"x\"" },
        { "server=127.0.0.1,severity=debug_http", "unknown syslog severity \"debug_http\"" },
        { "server=127.0.0.1,severity=info,severity=info", "duplicate syslog \"severity\"" },
        { "server=127.0.0.1,tag=a,tag=b", "duplicate syslog \"tag\"" },
        { "server=127.0.0.1,tag=a-b",
          "syslog \"tag\" only allows alphanumeric characters and underscore" },
        { "server=127.0.0.1,tag=x23456789012345678901234567890123",
          "syslog tag length exceeds 32" },
        { "server=127.0.0.1,x=y", "unknown syslog parameter \"x=y\"" },
        { "server=127.0.0.1,x", "unknown syslog parameter \"x\"" },
        { "server=127.0.0.1,", "unknown syslog parameter \"\"" },
    };
    const char *err;

    pool = wr_pool_new(0);
    for (unsigned i = 0; i < WR_COUNT(rows); i++) {
        ck_assert_ptr_null(wr_syslog_open(pool, wr_str_c(rows[i].params), &err));
        ck_assert_str_eq(err, rows[i].err);
    }
    wr_pool_free(pool);
}
END_TEST

START_TEST(servers)
{
    static const char *const good[] = { "server=127.0.0.1", "server=127.0.0.1:5140", "server=::1",
                                        "server=[::1]:514", "server=unix:/nonexistent/log" };

    for (unsigned i = 0; i < WR_COUNT(good); i++)
        wr_sink_release(open_ok(good[i]));
    wr_pool_free(pool);
}
END_TEST

START_TEST(log_host_comes_back)
{
    struct wr_listen_opts o = { .type = SOCK_DGRAM };
    char dir[] = "/tmp/weir-unit-XXXXXX", params[128];
    struct wr_log quiet = { .max = WR_LOG_EMERG };
    struct wr_addr a;
    const char *step;
    struct wr_sink *s;
    int fd;

    wr_log_default = &quiet;
    wr_clock_update();
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(params, sizeof(params), "server=unix:%s/log", dir);
    ck_assert(wr_addr_parse(wr_str_c(params + 7), 0, &a));
    s = open_ok(params);
    ck_assert_int_eq(s->fd, -1);
    wr_sink_write(s, WR_LOG_ERROR, WR_STR("lost"));
    fd = wr_socket_listen(&a, &o, &step);
    ck_assert_int_ge(fd, 0);
    wr_sink_write(s, WR_LOG_ERROR, WR_STR("lost as well: too early")); /* once a second */
    ck_assert_uint_eq(received(fd).n, 0);
    wr_clock.wall_ms += 1500;
    wr_sink_write(s, WR_LOG_ERROR, WR_STR("one"));
    ck_assert(wr_str_ends(received(fd), WR_STR(": one")));
    /* The daemon starts again behind the same path: no line is lost. */
    (void)close(fd);
    fd = wr_socket_listen(&a, &o, &step);
    ck_assert_int_ge(fd, 0);
    wr_sink_write(s, WR_LOG_ERROR, WR_STR("two"));
    ck_assert(wr_str_ends(received(fd), WR_STR(": two")));
    (void)close(fd);
    (void)unlink(a.un.sun_path);
    (void)rmdir(dir);
    wr_sink_release(s);
    wr_pool_free(pool);
}
END_TEST

START_TEST(a_full_queue_does_not_wait)
{
    char params[128], line[3000];
    int fd = log_host("", params);
    struct wr_sink *s = open_ok(params);

    memset(line, 'x', sizeof(line));
    for (unsigned i = 0; i < 2000; i++)
        wr_sink_write(s, WR_LOG_ERROR, wr_str_of(line, sizeof(line)));
    ck_assert_uint_gt(received(fd).n, 3000);
    wr_sink_release(s);
    wr_pool_free(pool);
}
END_TEST

UNIT_MAIN("os/syslog", datagram_format, parameters, one_sink_per_name, wrong_parameters, servers,
          log_host_comes_back, a_full_queue_does_not_wait)
