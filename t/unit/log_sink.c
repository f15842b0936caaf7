/* Destinations of log bytes: files that are reopened, memory, a full disk. */
#include "log/log.h"
#include "lib/unit.h"

#include <errno.h>
#include <sys/stat.h>

static char dir[] = "/tmp/weir-unit-XXXXXX";

static struct wr_str path(const char *name)
{
    static char buf[256];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    const char *zero;

    wr_text_fmt(&t, "%s/%s", dir, name);
    ck_assert(wr_text_cstr(&t, &zero));
    return wr_text_view(&t);
}

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_all(void)
{
    static const char *const names[] = { "a.log", "b.log" };

    for (unsigned i = 0; i < WR_COUNT(names); i++)
        (void)unlink(path(names[i]).p);
    (void)rmdir(dir);
}

static void ck_file(const char *name, const char *want)
{
    char buf[256];
    int fd = open(path(name).p, O_RDONLY);
    ssize_t n;

    ck_assert_int_ge(fd, 0);
    n = read(fd, buf, sizeof(buf));
    (void)close(fd);
    ck_view(wr_str_of(buf, (size_t)n), want);
}

static void line(struct wr_sink *s, const char *text)
{
    wr_sink_write(s, WR_LOG_ERROR, wr_str_c(text));
}

START_TEST(files_are_shared)
{
    struct wr_sink *a, *b;

    setup();
    a = wr_sink_open(path("a.log").p);
    ck_assert_ptr_nonnull(a);
    b = wr_sink_open(path("a.log").p);
    ck_assert_ptr_eq(a, b);
    ck_assert_uint_eq(a->users, 2);
    line(a, "one\n");
    wr_sink_release(b);
    line(a, "two\n");
    ck_file("a.log", "one\ntwo\n");
    wr_sink_release(a);
    ck_assert_ptr_null(wr_sink_find(path("a.log").p));
    a = wr_sink_open(path("a.log").p);
    line(a, "three\n");
    ck_file("a.log", "one\ntwo\nthree\n");
    wr_sink_release(a);
    remove_all();
}
END_TEST

START_TEST(files_are_opened_again)
{
    char to[256];
    struct wr_sink *a;
    struct stat st;

    setup();
    a = wr_sink_open(path("a.log").p);
    line(a, "one\n");
    (void)snprintf(to, sizeof(to), "%s", path("b.log").p);
    ck_assert_int_eq(rename(path("a.log").p, to), 0);
    line(a, "two\n");
    wr_sink_reopen_all(getuid() == 0 ? 12345 : (uid_t)-1);
    line(a, "three\n");
    ck_file("b.log", "one\ntwo\n");
    ck_file("a.log", "three\n");
    ck_assert_int_eq(stat(path("a.log").p, &st), 0);
    ck_assert_uint_eq(st.st_uid, getuid() == 0 ? 12345 : getuid());
    ck_assert_int_eq(fcntl(a->fd, F_GETFD), FD_CLOEXEC);
    wr_sink_release(a);
    remove_all();
}
END_TEST

static uid_t owner_of(const char *name)
{
    struct stat st;

    ck_assert_int_eq(stat(path(name).p, &st), 0);
    return st.st_uid;
}

/* Root gives away a log in a folder that others can write only if it has just made it. */
START_TEST(logs_where_others_write)
{
    struct wr_sink *a, *b;
    char to[256];

    if (getuid() != 0)
        return;
    setup();
    ck_assert_int_eq(chown(dir, 12345, (gid_t)-1), 0);
    a = wr_sink_open(path("a.log").p);
    ck_assert_uint_eq(owner_of("a.log"), 0);
    wr_sink_give_new(12345);
    ck_assert_uint_eq(owner_of("a.log"), 12345);
    b = wr_sink_open(path("b.log").p);
    (void)snprintf(to, sizeof(to), "%s", path("a.log").p);
    ck_assert_int_eq(rename(path("b.log").p, to), 0); /* as an example of any file of root */
    wr_sink_reopen_all(12345);
    ck_assert_uint_eq(owner_of("a.log"), 0);
    ck_assert_uint_eq(owner_of("b.log"), 12345);
    wr_sink_give_new(12345);
    ck_assert_uint_eq(owner_of("a.log"), 0);
    wr_sink_release(a);
    wr_sink_release(b);
    remove_all();
}
END_TEST

START_TEST(no_file)
{
    errno = 0;
    ck_assert_ptr_null(wr_sink_open("/nonexistent/folder/a.log"));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_ptr_null(wr_sink_find("/nonexistent/folder/a.log"));
}
END_TEST

START_TEST(stderr_is_always_there)
{
    struct wr_sink *s = wr_sink_open("stderr");

    ck_assert_ptr_eq(s, &wr_sink_stderr);
    wr_sink_release(s);
    wr_sink_release(s);
    ck_assert_ptr_eq(wr_sink_find("stderr"), s);
    ck_assert_uint_ge(s->users, 1);
}
END_TEST

START_TEST(memory_is_a_ring)
{
    struct wr_sink *s = wr_sink_open("memory:4k");
    struct {
        uint32_t magic;
        size_t size, at;
        char p[];
    } *ring;

    ck_assert_ptr_nonnull(s);
    ring = s->state;
    ck_assert_uint_eq(ring->size, 4096);
    for (unsigned i = 0; i < 1000; i++)
        line(s, "0123456\n");
    ck_assert_uint_eq(ring->at, 8000 % 4096);
    line(s, "last\n");
    ck_view(wr_str_of(ring->p + 8000 % 4096, 5), "last\n");
    wr_sink_release(s);
    ck_assert_ptr_null(wr_sink_open("memory:1"));
    ck_assert_ptr_null(wr_sink_open("memory:"));
    ck_assert_ptr_null(wr_sink_open("memory:k"));
    ck_assert_ptr_null(wr_sink_open("memory:99999999999999999999m"));
    ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(full_disk_is_logged_once_and_left_alone)
{
    struct wr_sink *full = wr_sink_open("/dev/full"), *told = wr_sink_open("memory:4k");
    struct wr_log log = { .max = WR_LOG_CRIT, .n = 2,
                          .target = { { full, WR_LOG_CRIT }, { told, WR_LOG_CRIT } } };
    struct {
        uint32_t magic;
        size_t size, at;
        char p[];
    } *ring = told->state;
    size_t once;

    wr_clock_update();
    wr_log_default = &log;
    line(full, "x\n");
    once = ring->at;
    ck_assert_uint_gt(once, 0);
    ck_assert_ptr_nonnull(memmem(ring->p, once, "\"/dev/full\" failed (28: ", 24));
    line(full, "y\n");
    line(full, "z\n");
    ck_assert_uint_eq(ring->at, once);
    wr_clock.wall_ms += 2000;
    line(full, "again\n");
    ck_assert_uint_gt(ring->at, once);
}
END_TEST

START_TEST(other_kinds)
{
    static const struct wr_sink_ops ops = { NULL, NULL, NULL };
    struct wr_sink *s = wr_sink_add("kind:x", &ops, &s);

    ck_assert_ptr_eq(wr_sink_find("kind:x"), s);
    ck_assert_ptr_eq(wr_sink_open("kind:x"), s);
    wr_sink_release(s);
    wr_sink_reopen_all((uid_t)-1);
    wr_sink_release(s);
    ck_assert_ptr_null(wr_sink_find("kind:x"));
}
END_TEST

UNIT_MAIN("log/sink", files_are_shared, files_are_opened_again,
          logs_where_others_write, no_file, stderr_is_always_there,
          memory_is_a_ring, full_disk_is_logged_once_and_left_alone, other_kinds)
