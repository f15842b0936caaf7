/* Opening files to write, as root: links and second names in folders that others can write. */
#include "log/log.h"
#include "lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define OTHER 65534

static char dir[] = "/tmp/weir-unit-XXXXXX";

static const char *path(const char *name)
{
    static char buf[4][256];
    static unsigned turn;
    char *p = buf[turn++ % 4];

    (void)snprintf(p, sizeof(buf[0]), "%s/%s", dir, name);
    return p;
}

/* 0, or errno. */
static int opens(const char *name)
{
    int fd = wr_open_to_write(name[0] == '/' ? name : path(name), O_WRONLY | O_APPEND | O_CREAT,
                              0644);

    if (fd < 0)
        return errno;
    ck_assert_int_eq(close(fd), 0);
    return 0;
}

static void make_file(const char *name)
{
    int fd = open(path(name), O_WRONLY | O_CREAT | O_EXCL, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(close(fd), 0);
}

static void make_folders(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(mkdir(path("ours"), 0755), 0);
    ck_assert_int_eq(mkdir(path("theirs"), 0755), 0);
    ck_assert_int_eq(mkdir(path("all"), 0700), 0);
    ck_assert_int_eq(chmod(path("all"), 0777), 0);
    make_file("secret");
}

static void remove_all(void)
{
    char command[64];

    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(walks_as_the_kernel_does)
{
    char name[NAME_MAX + 1], longer[NAME_MAX + 3];
    int fd, here, err;
    struct stat st;

    make_folders();
    ck_assert_int_eq(opens("ours/new"), 0);
    ck_assert_int_eq(opens("ours//../ours/./new"), 0);
    ck_assert_int_eq(opens("none/new"), ENOENT);
    ck_assert_int_eq(opens("secret/new"), ENOTDIR);
    ck_assert_int_eq(opens("ours"), EISDIR);
    ck_assert_int_eq(symlink("../secret", path("ours/link")), 0);
    ck_assert_int_eq(symlink("ours", path("folder")), 0);
    ck_assert_int_eq(symlink("made", path("ours/dangling")), 0);
    ck_assert_int_eq(symlink("loop", path("ours/loop")), 0);
    ck_assert_int_eq(opens("folder/link"), 0);
    ck_assert_int_eq(opens("ours/dangling"), 0);
    ck_assert_int_eq(stat(path("ours/made"), &st), 0);
    ck_assert_int_eq(opens("ours/loop"), ELOOP);
    memset(longer, 'n', sizeof(longer) - 1);
    longer[0] = '/';
    longer[sizeof(longer) - 1] = '\0';
    ck_assert_int_eq(opens(longer), ENAMETOOLONG);
    ck_assert_int_eq(wr_open_to_write("", O_WRONLY, 0), -1);
    ck_assert_int_eq(errno, ENOENT);
    fd = open("/dev/stderr", O_WRONLY | O_APPEND); /* it may be a file of another user */
    err = fd < 0 ? errno : 0;
    ck_assert_int_eq(opens("/dev/stderr"), err);
    (void)close(fd);
    ck_assert_int_eq(opens("/dev/null"), 0);

    fd = wr_folder_to_write(path("folder/link/"), name);
    ck_assert_int_ge(fd, 0);
    ck_assert_str_eq(name, "link"); /* not followed */
    (void)close(fd);
    here = open(".", O_PATH | O_DIRECTORY);
    ck_assert_int_eq(chdir(dir), 0);
    fd = wr_open_to_write("ours/relative", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    (void)close(fd);
    ck_assert_int_eq(fchdir(here), 0);
    (void)close(here);
    remove_all();
}
END_TEST

START_TEST(what_others_made_is_refused)
{
    struct stat st;

    if (geteuid() != 0)
        return;
    make_folders();
    ck_assert_int_eq(chown(path("theirs"), OTHER, OTHER), 0);
    ck_assert_int_eq(symlink("../secret", path("theirs/link")), 0); /* root's, but not its folder */
    ck_assert_int_eq(symlink("../secret", path("all/link")), 0);
    ck_assert_int_eq(symlink("../secret", path("ours/link")), 0);
    ck_assert_int_eq(lchown(path("ours/link"), OTHER, OTHER), 0);
    ck_assert_int_eq(symlink("..", path("theirs/up")), 0);
    ck_assert_int_eq(symlink("../made", path("theirs/dangling")), 0);
    ck_assert_int_eq(link(path("secret"), path("theirs/second")), 0);
    ck_assert_int_eq(mkfifo(path("theirs/fifo"), 0600), 0);
    ck_assert_int_eq(opens("theirs/link"), EPERM);
    ck_assert_int_eq(opens("all/link"), EPERM);
    ck_assert_int_eq(opens("ours/link"), EPERM);
    ck_assert_int_eq(opens("theirs/up/secret"), EPERM);
    ck_assert_int_eq(opens("theirs/dangling"), EPERM);
    ck_assert_int_eq(stat(path("made"), &st), -1);
    ck_assert_int_eq(opens("theirs/second"), EPERM);
    ck_assert_int_ne(opens("theirs/fifo"), 0); /* opening it does not wait for a reader */
    ck_assert_int_eq(opens("theirs/new"), 0);
    ck_assert_int_eq(opens("theirs/new"), 0);
    ck_assert_int_eq(opens("secret"), 0);
    remove_all();
}
END_TEST

START_TEST(refused_files_are_not_truncated)
{
    struct stat st;

    if (geteuid() != 0)
        return;
    make_folders();
    ck_assert_int_eq(truncate(path("secret"), 10), 0);
    ck_assert_int_eq(chown(path("theirs"), OTHER, OTHER), 0);
    ck_assert_int_eq(link(path("secret"), path("theirs/second")), 0);
    ck_assert_int_eq(wr_open_to_write(path("theirs/second"), O_WRONLY | O_TRUNC, 0), -1);
    ck_assert_int_eq(stat(path("secret"), &st), 0);
    ck_assert_int_eq(st.st_size, 10);
    remove_all();
}
END_TEST

UNIT_MAIN("log/trusted", walks_as_the_kernel_does, what_others_made_is_refused,
          refused_files_are_not_truncated)
