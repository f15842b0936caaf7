/* file: whole files read and replaced, folders made. The configuration, the pid file and persisted
 * state call it, never a request: every call may block. It owns nothing. */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_keep_errno(int fd)
{
    int err = errno;

    (void)close(fd);
    errno = err;
}

/* Appends what read() gives until the end; false with errno. */
static bool read_all(int fd, struct wr_text *t, size_t max)
{
    char buf[16384];

    for (;;) {
        ssize_t n = read(fd, buf, sizeof(buf));

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

static bool write_all(int fd, struct wr_str s)
{
    while (s.n > 0) {
        ssize_t n = write(fd, s.p, s.n);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            s = wr_str_skip(s, (size_t)n);
    }
    return true;
}

/* Readers see the old file or the new one, never half of it. */
bool wr_file_write(const char *path, struct wr_str text, mode_t mode)
{
    char buf[4096];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    const char *temp;
    bool ok;
    int fd;

    wr_text_fmt(&t, "%s.%ld.new", path, (long)getpid());
    if (!wr_text_cstr(&t, &temp)) {
        errno = ENAMETOOLONG;
        return false;
    }
    (void)unlink(temp);
    fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return false;
    ok = write_all(fd, text) && fchmod(fd, mode) == 0;
    close_keep_errno(fd);
    if (ok && rename(temp, path) == 0)
        return true;
    int err = errno;
    (void)unlink(temp);
    errno = err;
    return false;
}

static bool make_one(const char *path, mode_t mode)
{
    struct stat st;

    if (mkdir(path, mode) == 0)
        return true;
    /* Some systems say EROFS or EACCES of a folder that is there. */
    int err = errno;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return true;
    errno = err;
    return false;
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
        if (!make_one(buf, mode))
            return false;
        buf[i] = '/';
    }
    return make_one(buf, mode);
}

bool wr_file_mtime(const char *path, struct timespec *out)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return false;
    *out = st.st_mtim;
    return true;
}
