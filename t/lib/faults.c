/* faults: a disk that fails, as a library that is loaded before others (LD_PRELOAD): calls of the C
 * library for files below a folder return an error. Which calls and which error stands in a file
 * that a test writes: see Weir/BadDisk.pm. It counts the calls that it has failed there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FAR 16384                  /* the body of a large file begins before, and goes on behind */
enum { OPEN, READ, BODY, WRITE, LINK, RENAME, UNLINK, MKDIR, STAT, LOADED = 15, KINDS };

static struct {
    _Atomic int32_t error;         /* errno; 0: the call is made */
    _Atomic uint32_t failed;
} *faults;
static char folder[PATH_MAX];      /* a copy: a title may take the place of the environment */
static size_t folder_n;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULTS"), *below = getenv("FAULTS_FOLDER");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at = MAP_FAILED;

    if (fd < 0 || below == NULL)
        return;
    folder_n = (size_t)snprintf(folder, sizeof(folder), "%s", below);
    at = mmap(NULL, KINDS * sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return;
    faults = at;
    atomic_store(&faults[LOADED].failed, 1);
}

static bool is_below(const char *path)
{
    return strncmp(path, folder, folder_n) == 0
        && (path[folder_n] == '\0' || path[folder_n] == '/');
}

static bool is_fd_below(int fd)
{
    char name[32], path[PATH_MAX];
    ssize_t n;

    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    n = readlink(name, path, sizeof(path) - 1);
    if (n < 0 && errno == EACCES) { /* it has changed its user: let it look at itself */
        prctl(PR_SET_DUMPABLE, 1);
        n = readlink(name, path, sizeof(path) - 1);
    }
    if (n < 0)
        return false;
    path[n] = '\0';
    return is_below(path);
}

/* The call fails: errno is set. path NULL: it is about the descriptor itself. */
static bool fails(int kind, int fd, const char *path)
{
    int err = faults != NULL ? atomic_load(&faults[kind].error) : 0;
    int before = errno;

    if (err == 0)
        return false;
    if (path != NULL && path[0] == '/' ? !is_below(path) : !is_fd_below(fd)) {
        errno = before;
        return false;
    }
    atomic_fetch_add(&faults[kind].failed, 1);
    errno = err;
    return true;
}

static bool fails_reading(int fd, off_t at)
{
    return fails(READ, fd, NULL) || (at >= FAR && fails(BODY, fd, NULL));
}

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name)
{
    void *at = dlsym(RTLD_NEXT, name);

    if (at == NULL)
        abort();
    return at;
}

static bool has_mode(int flags)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    int mode;

    va_start(args, flags);
    mode = has_mode(flags) ? va_arg(args, int) : 0;
    va_end(args);
    return fails(OPEN, AT_FDCWD, path) ? -1 : REAL(open)(path, flags, mode);
}

int openat(int fd, const char *path, int flags, ...)
{
    va_list args;
    int mode;

    va_start(args, flags);
    mode = has_mode(flags) ? va_arg(args, int) : 0;
    va_end(args);
    return fails(OPEN, fd, path) ? -1 : REAL(openat)(fd, path, flags, mode);
}

long syscall(long number, ...)
{
    va_list args;
    long a[6];

    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (number == SYS_openat2 && fails(OPEN, (int)a[0], (const char *)a[1]))
        return -1;
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
    return fails_reading(fd, at) ? -1 : REAL(pread)(fd, p, n, at);
}

ssize_t preadv2(int fd, const struct iovec *v, int n, off_t at, int flags)
{
    return fails_reading(fd, at) ? -1 : REAL(preadv2)(fd, v, n, at, flags);
}

ssize_t sendfile(int to, int from, off_t *at, size_t n)
{
    ssize_t (*next)(int, int, off_t *, size_t);

    *(void **)&next = real("sendfile");
    return fails(BODY, from, NULL) ? -1 : next(to, from, at, n);
}

ssize_t splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t n, unsigned flags)
{
    return fails(BODY, from, NULL) ? -1 : REAL(splice)(from, from_at, to, to_at, n, flags);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    return fails(WRITE, fd, NULL) ? -1 : REAL(pwrite)(fd, p, n, at);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
    return fails(WRITE, fd, NULL) ? -1 : REAL(pwritev)(fd, v, n, at);
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t n, unsigned fl)
{
    if (fails(READ, from, NULL) || fails(WRITE, to, NULL))
        return -1;
    return REAL(copy_file_range)(from, from_at, to, to_at, n, fl);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    return fails(LINK, to, new) ? -1 : REAL(linkat)(from, old, to, new, flags);
}

int renameat(int from, const char *old, int to, const char *new)
{
    return fails(RENAME, to, new) ? -1 : REAL(renameat)(from, old, to, new);
}

int unlinkat(int fd, const char *path, int flags)
{
    return fails(UNLINK, fd, path) ? -1 : REAL(unlinkat)(fd, path, flags);
}

int mkdirat(int fd, const char *path, mode_t mode)
{
    return fails(MKDIR, fd, path) ? -1 : REAL(mkdirat)(fd, path, mode);
}

int fstat(int fd, struct stat *st)
{
    return fails(STAT, fd, NULL) ? -1 : REAL(fstat)(fd, st);
}

int fstatat(int fd, const char *path, struct stat *st, int flags)
{
    return fails(STAT, fd, path) ? -1 : REAL(fstatat)(fd, path, st, flags);
}

int stat(const char *path, struct stat *st)
{
    return fails(STAT, AT_FDCWD, path) ? -1 : REAL(stat)(path, st);
}
