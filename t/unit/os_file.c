/* Whole files and folders. */
#include "os/os.h"

#include "lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char dir[] = "/tmp/weir-unit-XXXXXX";

static const char *path(const char *name)
{
    static char buf[4][256];
    static unsigned turn;
    char *p = buf[turn++ % 4];

    (void)snprintf(p, sizeof(buf[0]), "%s/%s", dir, name);
    return p;
}

static bool write_file(const char *name, struct wr_str text, mode_t mode)
{
    int fd = wr_file_write_locked(name, text, mode);

    return fd >= 0 && close(fd) == 0;
}

START_TEST(writes_and_reads)
{
    struct wr_pool *p = wr_pool_new(0);
    struct wr_str big, got;
    struct stat st;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert(write_file(path("a"), WR_STR("hello"), 0640));
    got = wr_file_read(p, path("a"), 100);
    ck_view(got, "hello");
    ck_assert_int_eq(got.p[5], '\0');
    ck_assert_int_eq(stat(path("a"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0640);

    big = wr_str_of(wr_pool_zalloc(p, 100000), 100000);
    ck_assert(write_file(path("a"), big, 0600));
    ck_assert(wr_str_eq(wr_file_read(p, path("a"), 100000), big));
    ck_assert_ptr_null(wr_file_read(p, path("a"), 99999).p);
    ck_assert_int_eq(errno, EFBIG);

    ck_assert(write_file(path("a"), WR_STR(""), 0600));
    got = wr_file_read(p, path("a"), 100);
    ck_assert_ptr_nonnull(got.p);
    ck_assert_uint_eq(got.n, 0);
    (void)unlink(path("a"));
    ck_assert_int_eq(rmdir(dir), 0); /* no temporary file stays */
    wr_pool_free(p);
}
END_TEST

START_TEST(reads_more_than_the_reported_size)
{
    struct wr_pool *p = wr_pool_new(0);

    /* fstat reports 0 bytes for these. */
    ck_assert_uint_gt(wr_file_read(p, "/proc/self/status", 65536).n, 100);
    ck_assert_ptr_null(wr_file_read(p, "/proc/self/status", 10).p);
    ck_assert_int_eq(errno, EFBIG);
    ck_assert_ptr_null(wr_file_read(p, "/dev/zero", 100000).p);
    ck_assert_int_eq(errno, EFBIG);
    ck_assert_ptr_nonnull(wr_file_read(p, "/dev/null", 10).p);
    wr_pool_free(p);
}
END_TEST

START_TEST(fails_with_errno)
{
    struct wr_pool *p = wr_pool_new(0);
    char longer[5000];

    ck_assert_ptr_null(wr_file_read(p, "/nonexistent", 10).p);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_ptr_null(wr_file_read(p, "/", 100000).p);
    ck_assert_int_eq(errno, EISDIR);
    ck_assert(!write_file("/nonexistent/a", WR_STR("x"), 0600));
    ck_assert_int_eq(errno, ENOENT);
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    ck_assert(!write_file(longer, WR_STR("x"), 0600));
    ck_assert_int_eq(errno, ENAMETOOLONG);
    ck_assert(!wr_mkdirs(longer, 0700));
    ck_assert(!wr_mkdirs("", 0700));
    wr_pool_free(p);
}
END_TEST

START_TEST(makes_folders)
{
    struct stat st;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert(wr_mkdirs(path("a/b/c"), 0750));
    ck_assert(wr_mkdirs(path("a/b/c/"), 0750));
    ck_assert(wr_mkdirs(path("a//b"), 0750));
    ck_assert(wr_mkdirs("/", 0750));
    ck_assert_int_eq(stat(path("a/b/c"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0750);
    ck_assert(write_file(path("file"), WR_STR("x"), 0600));
    ck_assert(!wr_mkdirs(path("file"), 0700));
    ck_assert_int_eq(errno, EEXIST);
    ck_assert(!wr_mkdirs(path("file/x"), 0700));
    (void)unlink(path("file"));
    (void)rmdir(path("a/b/c"));
    (void)rmdir(path("a/b"));
    (void)rmdir(path("a"));
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

static bool is_there(const char *name)
{
    return access(path(name), F_OK) == 0;
}

/* As root these do not follow links that others may have made: "theirs" is a folder of another
 * user. */
START_TEST(removes_and_renames)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert(wr_mkdirs(path("ours/below"), 0755));
    ck_assert(wr_mkdirs(path("theirs"), 0755));
    ck_assert(write_file(path("ours/a"), WR_STR("x"), 0600));
    ck_assert(wr_file_rename(path("ours/a"), path("b")));
    ck_assert(is_there("b") && !is_there("ours/a"));
    ck_assert(wr_file_rename(path("b"), path("ours/a")));
    ck_assert(!wr_file_rename(path("b"), path("c")));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert(!wr_file_rename(path("ours/a"), path("none/c")));
    ck_assert_int_eq(errno, ENOENT);
    ck_assert(!wr_folder_remove(path("ours")));
    ck_assert_int_eq(errno, ENOTEMPTY);
    ck_assert_int_eq(symlink("../ours", path("theirs/link")), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path("theirs"), 65534, 65534), 0);
        ck_assert(!wr_file_remove(path("theirs/link/a")));
        ck_assert_int_eq(errno, EPERM);
        ck_assert(!wr_file_rename(path("theirs/link/a"), path("b")));
        ck_assert(!wr_file_rename(path("ours/a"), path("theirs/link/b")));
        ck_assert(!wr_folder_remove(path("theirs/link/below")));
        ck_assert(is_there("ours/a") && is_there("ours/below"));
    }
    ck_assert(wr_file_remove(path("theirs/link"))); /* the link */
    ck_assert(wr_folder_remove(path("ours/below")));
    ck_assert(wr_file_remove(path("ours/a")));
    ck_assert(wr_folder_remove(path("ours")));
    ck_assert(wr_folder_remove(path("theirs")));
    ck_assert(wr_folder_remove(dir));
}
END_TEST

/* Watches the file until the pipe closes: it must never have its name without its lock. */
static void watch_lock(const char *name, int until)
{
    struct pollfd p = { .fd = until, .events = POLLIN };
    unsigned seen = 0;

    while (poll(&p, 1, 0) == 0) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        struct stat st;
        int fd = open(name, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
            continue;
        if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK && fstat(fd, &st) == 0
            && st.st_nlink > 0)
            _exit(1);
        seen++;
        (void)close(fd);
    }
    _exit(seen > 0 ? 0 : 2);
}

START_TEST(is_locked_before_it_has_its_name)
{
    int until[2], status, fd;
    pid_t watcher;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(pipe2(until, O_CLOEXEC), 0);
    watcher = fork();
    if (watcher == 0) {
        (void)close(until[1]);
        watch_lock(path("pid"), until[0]);
    }
    for (unsigned i = 0; i < 2000; i++) {
        fd = wr_file_write_locked(path("pid"), WR_STR("12345\n"), 0644);
        ck_assert_int_ge(fd, 0);
        (void)usleep(10);
        ck_assert_int_eq(unlink(path("pid")), 0);
        (void)close(fd);
    }
    (void)close(until[1]);
    ck_assert_int_eq(waitpid(watcher, &status, 0), watcher);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
    (void)close(until[0]);
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

START_TEST(is_written_in_place)
{
    struct wr_pool *p = wr_pool_new(0);
    struct stat before, after;
    int fd;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_lt(wr_file_rewrite_locked(path("pid"), WR_STR("1\n")), 0);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert(write_file(path("pid"), WR_STR("1234567\n"), 0644));
    ck_assert_int_eq(stat(path("pid"), &before), 0);
    fd = wr_file_rewrite_locked(path("pid"), WR_STR("89\n"));
    ck_assert_int_ge(fd, 0);
    (void)close(fd);
    ck_view(wr_file_read(p, path("pid"), 100), "89\n");
    ck_assert_int_eq(stat(path("pid"), &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    ck_assert_int_eq(unlink(path("pid")), 0);
    ck_assert_int_eq(rmdir(dir), 0);
    wr_pool_free(p);
}
END_TEST

/* A pipe takes only a part of a large write at a time. */
START_TEST(writes_all)
{
    struct wr_pool *p = wr_pool_new(0);
    struct wr_str big = wr_str_of(wr_pool_zalloc(p, 300000), 300000), got;
    int fds[2], fd, status;
    pid_t reader;

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    reader = fork();
    if (reader == 0) {
        char buf[1000];
        size_t n = 0;
        ssize_t r;

        (void)close(fds[1]);
        while ((r = read(fds[0], buf, sizeof(buf))) > 0)
            n += (size_t)r;
        _exit(n == big.n ? 0 : 1);
    }
    (void)close(fds[0]);
    ck_assert(wr_file_write_all(fds[1], big));
    (void)close(fds[1]);
    ck_assert_int_eq(waitpid(reader, &status, 0), reader);
    ck_assert_int_eq(status, 0);

    ck_assert_ptr_nonnull(mkdtemp(dir));
    fd = open(path("a"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert(wr_file_write_all(fd, WR_STR("0123456789")));
    ck_assert(wr_file_write_at(fd, WR_STR("abc"), 4));
    ck_assert(wr_file_write_at(fd, wr_str_of(NULL, 0), 9));
    got = wr_file_read(p, path("a"), 100);
    ck_view(got, "0123abc789");
    (void)close(fd);
    ck_assert(!wr_file_write_all(fd, WR_STR("x")));
    ck_assert_int_eq(errno, EBADF);
    ck_assert(!wr_file_write_at(fd, WR_STR("x"), 0));
    fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    ck_assert(!wr_file_write_all(fd, WR_STR("x")));
    ck_assert_int_eq(errno, ENOSPC);
    (void)close(fd);
    ck_assert_int_eq(unlink(path("a")), 0);
    ck_assert_int_eq(rmdir(dir), 0);
    wr_pool_free(p);
}
END_TEST

UNIT_MAIN("os/file", writes_and_reads, writes_all, reads_more_than_the_reported_size,
          fails_with_errno, makes_folders, removes_and_renames,
          is_locked_before_it_has_its_name, is_written_in_place)
