/* file: whole files read and replaced, folders made, bytes written to open files. Code of the
 * configuration, the pid file, access logs and temporary files calls it; every call may block. It
 * owns nothing. */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_keep_errno(int fd)
{
    int err = errno;

    (void)close(fd);
    errno = err;
}

/* Appends what read() gives until the end; false with errno. */
static bool append_all(int fd, char *buf, size_t size, struct wr_text *t, size_t max)
{
    for (;;) {
        ssize_t n = read(fd, buf, size);

        if (n == 0)
            return true;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if ((size_t)n > max - t->n) {
            errno = EFBIG;
            return false;
        }
        wr_text_str(t, wr_str_of(buf, (size_t)n));
        if (t->overflow) {
            errno = ENOMEM;
            return false;
        }
    }
}

static bool read_all(int fd, struct wr_text *t, size_t max)
{
    char buf[16384];
    bool ok = append_all(fd, buf, sizeof(buf), t, max);

    explicit_bzero(buf, sizeof(buf)); /* maybe a key; the stack is in core files */
    return ok;
}

struct wr_str wr_file_read(struct wr_pool *pool, const char *path, size_t max)
{
    struct wr_str none = { NULL, 0 };
    struct wr_text t;
    const char *text;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok;

    if (fd < 0)
        return none;
    if (fstat(fd, &st) != 0 || (S_ISREG(st.st_mode) && (uintmax_t)st.st_size > max)) {
        if (S_ISREG(st.st_mode))
            errno = EFBIG;
        close_keep_errno(fd);
        return none;
    }
    t = wr_text_grow(pool, S_ISREG(st.st_mode) ? (size_t)st.st_size : 4096, wr_max(max, 1U));
    ok = read_all(fd, &t, max);
    close_keep_errno(fd);
    return ok && wr_text_cstr(&t, &text) ? wr_text_view(&t) : none;
}

/* Removes from *s the bytes that one write() took; n is its result. False: it failed. */
static bool take_written(struct wr_str *s, ssize_t n)
{
    if (n == 0)
        errno = ENOSPC;
    else if (n > 0)
        *s = wr_str_skip(*s, (size_t)n);
    return n > 0 || (n < 0 && errno == EINTR);
}

bool wr_file_write_all(int fd, struct wr_str s)
{
    while (s.n > 0)
        if (!take_written(&s, write(fd, s.p, s.n)))
            return false;
    return true;
}

bool wr_file_write_at(int fd, struct wr_str s, uint64_t at)
{
    const uint64_t end = at + s.n;

    while (s.n > 0)
        if (!take_written(&s, pwrite(fd, s.p, s.n, (off_t)(end - s.n))))
            return false;
    return true;
}

/* A failure is logged only: weir must also run on a file system without locks. */
static void lock_whole(int fd, const char *path)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    if (fcntl(fd, F_SETLK, &lock) != 0)
        wr_say(WR_LOG_NOTICE, errno, "fcntl(F_SETLK) on \"%s\" failed", path);
}

/* Readers see the old file or the new one, never a part of it, and never without its lock. */
int wr_file_write_locked(const char *path, struct wr_str text, mode_t mode)
{
    char name[NAME_MAX + 1], temp[NAME_MAX + 32];
    int dir = wr_folder_to_write(path, name), fd, err;

    if (dir < 0)
        return -1;
    (void)snprintf(temp, sizeof(temp), "%s.%ld.new", name, (long)getpid());
    (void)unlinkat(dir, temp, 0);
    fd = openat(dir, temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd >= 0)
        lock_whole(fd, path);
    if (fd >= 0 && (!wr_file_write_all(fd, text) || fchmod(fd, mode) != 0
                    || renameat(dir, temp, dir, name) != 0)) {
        err = errno;
        (void)unlinkat(dir, temp, 0);
        (void)close(fd);
        errno = err;
        fd = -1;
    }
    close_keep_errno(dir);
    return fd;
}

int wr_file_rewrite_locked(const char *path, struct wr_str text)
{
    int fd = wr_open_to_write(path, O_RDWR, 0);

    if (fd < 0)
        return -1;
    lock_whole(fd, path);
    if (wr_file_write_all(fd, text) && ftruncate(fd, (off_t)text.n) == 0)
        return fd;
    close_keep_errno(fd);
    return -1;
}

static bool remove_name(const char *path, int flags)
{
    char name[NAME_MAX + 1];
    int dir = wr_folder_to_write(path, name);
    bool ok = dir >= 0 && unlinkat(dir, name, flags) == 0;

    if (dir >= 0)
        close_keep_errno(dir);
    return ok;
}

bool wr_file_remove(const char *path)
{
    return remove_name(path, 0);
}

bool wr_folder_remove(const char *path)
{
    return remove_name(path, AT_REMOVEDIR);
}

bool wr_file_rename(const char *from, const char *to)
{
    char old[NAME_MAX + 1], new[NAME_MAX + 1];
    int dir = wr_folder_to_write(from, old), into;
    bool ok;

    if (dir < 0)
        return false;
    into = wr_folder_to_write(to, new);
    ok = into >= 0 && renameat(dir, old, into, new) == 0;
    if (into >= 0)
        close_keep_errno(into);
    close_keep_errno(dir);
    return ok;
}

static bool make_folder(const char *path, mode_t mode)
{
    char name[NAME_MAX + 1];
    int dir = wr_folder_to_write(path, name), fd, err;
    bool made;

    if (dir < 0)
        return false;
    made = mkdirat(dir, name, mode) == 0;
    close_keep_errno(dir);
    if (made)
        return true;
    /* On some file systems mkdir of an existing folder fails with EROFS or EACCES. */
    err = errno;
    fd = wr_open_to_write(path, O_PATH | O_DIRECTORY, 0);
    if (fd >= 0)
        (void)close(fd);
    errno = fd < 0 && errno == EPERM ? EPERM : err;
    return fd >= 0;
}

bool wr_mkdirs(const char *path, mode_t mode)
{
    char buf[4096];
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof(buf)) {
        errno = n == 0 ? ENOENT : ENAMETOOLONG;
        return false;
    }
    memcpy(buf, path, n + 1);
    for (size_t i = 1; i < n; i++) {
        if (buf[i] != '/')
            continue;
        buf[i] = '\0';
        if (!make_folder(buf, 0755))
            return false;
        buf[i] = '/';
    }
    return make_folder(buf, mode);
}
