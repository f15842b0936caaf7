/* cache_temp: files on their way to a name, and copies between files. The writer calls it in
 * threads. A file has no name at first, where the file system can do that, so that a dead process
 * leaves nothing. See cache_file.h. */
#include "cache_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMP_AGE_S 60             /* a temporary file that may not be locked yet is younger */

static bool fail_with(struct wr_cache_failure *why, const char *call, int err)
{
    *why = (struct wr_cache_failure){ call, err };
    return false;
}

static void close_keep_errno(int fd)
{
    int err = errno;

    if (fd >= 0)
        (void)close(fd);
    errno = err;
}

static void new_name(char out[static 40])
{
    static _Atomic uint32_t count;

    (void)snprintf(out, 40, "%ld-%x-%08x", (long)getpid(), atomic_fetch_add(&count, 1),
                   (unsigned)wr_random());
}

static int open_temp_folder(int fd, bool make)
{
    const int flags = O_RDONLY | O_DIRECTORY;
    int folder = wr_cache_open_below(fd, WR_CACHE_TEMP, flags, false);

    if (folder >= 0 || errno != ENOENT || !make
        || (mkdirat(fd, WR_CACHE_TEMP, 0700) != 0 && errno != EEXIST))
        return folder;
    return wr_cache_open_below(fd, WR_CACHE_TEMP, flags, false);
}

/* With a name in WR_CACHE_TEMP, and a lock that ends with us. */
static bool open_named(int fd, struct wr_cache_temp *t)
{
    int folder = open_temp_folder(fd, true);

    if (folder < 0)
        return false;
    new_name(t->name);
    t->fd = openat(folder, t->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    close_keep_errno(folder);
    if (t->fd >= 0)
        (void)flock(t->fd, LOCK_EX | LOCK_NB);
    else
        t->name[0] = '\0';
    return t->fd >= 0;
}

static bool open_nameless(struct wr_cache_folder *f, int fd, struct wr_cache_temp *t)
{
    t->fd = openat(fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (t->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        atomic_store(&f->no_nameless, true);
    return t->fd >= 0;
}

static bool open_temp(struct wr_cache_folder *f, int fd, struct wr_cache_temp *t)
{
    if (!atomic_load(&f->no_nameless) && open_nameless(f, fd, t))
        return true;
    return atomic_load(&f->no_nameless) && open_named(fd, t);
}

/* The folder was removed: then the path may lead to another one. ext4 reports EPERM there. */
static bool is_removed(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

bool wr_cache_temp_open(struct wr_cache_folder *f, struct wr_cache_temp *t,
                        struct wr_cache_failure *why)
{
    int fd = wr_cache_folder_open(f, why);

    *t = (struct wr_cache_temp){ .fd = -1 };
    if (fd < 0)
        return false;
    if (open_temp(f, fd, t))
        return true;
    (void)fail_with(why, "open() of a temporary file", errno);
    if (!is_removed(fd) || !wr_cache_folder_again(f, why))
        return false;
    if (!open_temp(f, atomic_load(&f->fd), t))
        return fail_with(why, "open() of a temporary file", errno);
    *why = (struct wr_cache_failure){ .call = NULL };
    return true;
}

/* Gives the open file a name in this folder. Kernels before 6.10 want the way by /proc of processes
 * without rights. */
static bool link_into(int file, int folder, const char *name)
{
    static _Atomic bool by_proc;
    char path[32];

    if (!atomic_load_explicit(&by_proc, memory_order_relaxed)) {
        if (linkat(file, "", folder, name, AT_EMPTY_PATH) == 0)
            return true;
        if (errno != ENOENT)
            return false;
        atomic_store_explicit(&by_proc, true, memory_order_relaxed);
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    return linkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW) == 0;
}

/* The name is taken: link under another one, and rename that. */
static bool link_over(int fd, int file, int parent, const char *name)
{
    int folder = open_temp_folder(fd, true);
    char temp[40];
    bool ok;

    if (folder < 0)
        return false;
    new_name(temp);
    ok = link_into(file, folder, temp);
    if (ok && renameat(folder, temp, parent, name) != 0) {
        int err = errno;

        (void)unlinkat(folder, temp, 0);
        errno = err;
        ok = false;
    }
    close_keep_errno(folder);
    return ok;
}

static bool rename_named(int fd, const char *temp, int parent, const char *name)
{
    int folder = open_temp_folder(fd, false);
    bool ok = folder >= 0 && renameat(folder, temp, parent, name) == 0;

    close_keep_errno(folder);
    return ok;
}

static bool place_in(struct wr_cache_folder *f, const struct wr_cache_temp *t, int parent,
                     const char *name)
{
    int fd = atomic_load(&f->fd);

    if (t->name[0] != '\0')
        return rename_named(fd, t->name, parent, name);
    if (link_into(t->fd, parent, name))
        return true;
    if (errno == EEXIST)
        return link_over(fd, t->fd, parent, name);
    if (errno == ENOENT) /* there is no /proc: the next file gets its name at once */
        atomic_store(&f->no_nameless, true);
    return false;
}

bool wr_cache_temp_place(struct wr_cache_folder *f, struct wr_cache_temp *t,
                         const struct wr_cache_name *name, struct wr_cache_failure *why)
{
    static const uint8_t none[3];
    int parent = wr_cache_open_parent(f, name, true);
    char hex[WR_CACHE_PATH_MAX];
    bool ok;

    if (parent < 0)
        return fail_with(why, "mkdir()", errno);
    wr_cache_path(name, none, hex);
    ok = place_in(f, t, parent, hex);
    close_keep_errno(parent);
    if (!ok)
        return fail_with(why, "link()", errno);
    t->name[0] = '\0';
    (void)close(t->fd);
    t->fd = -1;
    return true;
}

void wr_cache_temp_drop(struct wr_cache_folder *f, struct wr_cache_temp *t)
{
    int folder = -1;

    if (t->name[0] != '\0')
        folder = open_temp_folder(atomic_load(&f->fd), false);
    if (folder >= 0) {
        (void)unlinkat(folder, t->name, 0);
        (void)close(folder);
    }
    t->name[0] = '\0';
    if (t->fd >= 0)
        (void)close(t->fd);
    t->fd = -1;
}

/* As new_name makes them. */
static bool is_temp_name(const char *name)
{
    long pid;
    unsigned count, number;
    int n = 0;

    return sscanf(name, "%ld-%x-%8x%n", &pid, &count, &number, &n) == 3 && name[n] == '\0';
}

/* A file that nobody writes to: its process is dead, or died before it locked it. */
static bool is_left_over(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    bool left;

    if (fd < 0)
        return false;
    left = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_ctime + TEMP_AGE_S < time(NULL)
        && flock(fd, LOCK_EX | LOCK_NB) == 0;
    (void)close(fd);
    return left;
}

uint32_t wr_cache_temp_clean(struct wr_cache_folder *f)
{
    int fd = atomic_load(&f->fd), folder = fd >= 0 ? open_temp_folder(fd, false) : -1;
    DIR *d = folder >= 0 ? fdopendir(folder) : NULL;
    uint32_t n = 0;

    if (d == NULL) {
        close_keep_errno(folder);
        return 0;
    }
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (is_temp_name(e->d_name) && is_left_over(dirfd(d), e->d_name))
            n += unlinkat(dirfd(d), e->d_name, 0) == 0;
    (void)closedir(d);
    return n;
}

/* ---- copying ---- */

static bool copy_by_hand(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t n)
{
    const size_t size = 65536;
    char *buf = malloc(size);
    ssize_t k = 1;

    if (buf == NULL)
        return false;
    for (uint64_t done = 0; done < n && k > 0; done += (uint64_t)k) {
        k = pread(from, buf, (size_t)wr_min((uint64_t)size, n - done), (off_t)(from_at + done));
        if (k == 0)
            errno = EIO;
        else if (k > 0 && !wr_file_write_at(to, wr_str_of(buf, (size_t)k), to_at + done))
            k = -1;
    }
    free(buf);
    return k > 0;
}

bool wr_cache_copy(int from, uint64_t from_at, int to, uint64_t to_at, uint64_t n)
{
    off64_t in = (off64_t)from_at, out = (off64_t)to_at;
    const off64_t end = in + (off64_t)n;
    ssize_t k = 1;

    while (in < end && k > 0)
        k = copy_file_range(from, &in, to, &out, (size_t)wr_min(end - in, (off64_t)1 << 30), 0);
    if (in == end)
        return true;
    if (k < 0 && (errno == ENOSPC || errno == EIO || errno == EDQUOT || errno == EFBIG))
        return false;
    return copy_by_hand(from, (uint64_t)in, to, (uint64_t)out, (uint64_t)(end - in));
}
