/* cache_file: the files of a cache by their objects' names: opened, removed; see cache_file.h. */
#include "cache_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

static void close_keep_errno(int fd)
{
    int err = errno;

    if (fd >= 0)
        (void)close(fd);
    errno = err;
}

/* ---- opening, without following links ---- */

/* Folder by folder, where the kernel has no openat2() or a filter of system calls refuses it. */
static int walk_below(int folder, const char *path, int flags)
{
    const int pass = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    char buf[WR_CACHE_PATH_MAX + sizeof(WR_CACHE_TEMP)], *name = buf, *slash;
    int fd = folder, next;

    if (strlen(path) >= sizeof(buf)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(buf, path, strlen(path) + 1);
    do {
        slash = strchr(name, '/');
        if (slash != NULL)
            *slash = '\0';
        next = openat(fd, name, slash != NULL ? pass : flags | O_NOFOLLOW | O_CLOEXEC);
        if (fd != folder)
            close_keep_errno(fd);
        fd = next;
        name = slash + 1;
    } while (slash != NULL && fd >= 0);
    return fd;
}

int wr_cache_open_below(int folder, const char *path, int flags, bool warm)
{
    static _Atomic bool unknown;
    struct open_how how = {
        .flags = (unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
        .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | (warm ? RESOLVE_CACHED : 0),
    };
    int fd = -1;

    if (warm && wr_chaos() && wr_random() % 4 == 0) {
        errno = EAGAIN;
        return -1;
    }
    errno = ENOSYS;
    if (!atomic_load_explicit(&unknown, memory_order_relaxed))
        fd = (int)syscall(SYS_openat2, folder, path, &how, sizeof(how));
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM && !(warm && errno == EINVAL)))
        return fd;
    if (errno == ENOSYS)
        atomic_store_explicit(&unknown, true, memory_order_relaxed);
    if (warm) {
        errno = EAGAIN;
        return -1;
    }
    return walk_below(folder, path, flags);
}

int wr_cache_file_open(struct wr_cache_folder *f, const struct wr_cache_name *name, bool warm)
{
    int fd = atomic_load_explicit(&f->fd, memory_order_acquire);
    struct wr_cache_failure why;
    char path[WR_CACHE_PATH_MAX];

    if (fd < 0 && warm) {
        errno = EAGAIN;
        return -1;
    }
    if (fd < 0)
        fd = wr_cache_folder_open(f, &why);
    if (fd < 0) {
        errno = why.err;
        return -1;
    }
    wr_cache_path(name, f->levels, path);
    return wr_cache_open_below(fd, path, O_RDONLY | O_NONBLOCK, warm);
}

/* Splits "c/29/b7f5..." into its folder and its last part, which is returned. */
static const char *split_path(char path[static WR_CACHE_PATH_MAX], const char **folder)
{
    char *slash = strrchr(path, '/');

    *folder = slash != NULL ? path : ".";
    if (slash == NULL)
        return path;
    *slash = '\0';
    return slash + 1;
}

static bool make_levels(int fd, const char *folder)
{
    char path[WR_CACHE_PATH_MAX];
    const size_t n = strlen(folder);

    for (size_t i = 1; i <= n; i++) {
        if (folder[i] != '/' && folder[i] != '\0')
            continue;
        memcpy(path, folder, i);
        path[i] = '\0';
        if (mkdirat(fd, path, 0700) != 0 && errno != EEXIST)
            return false;
    }
    return true;
}

static int open_levels(int fd, const char *folder, bool make)
{
    const int flags = O_PATH | O_DIRECTORY;
    int parent = wr_cache_open_below(fd, folder, flags, false);

    if (parent >= 0 || errno != ENOENT || !make)
        return parent;
    return make_levels(fd, folder) ? wr_cache_open_below(fd, folder, flags, false) : -1;
}

int wr_cache_open_parent(struct wr_cache_folder *f, const struct wr_cache_name *name, bool make)
{
    struct wr_cache_failure why;
    int fd = wr_cache_folder_open(f, &why);
    char path[WR_CACHE_PATH_MAX];
    const char *folder;

    if (fd < 0) {
        errno = why.err;
        return -1;
    }
    wr_cache_path(name, f->levels, path);
    (void)split_path(path, &folder);
    return open_levels(fd, folder, make);
}

/* ---- removing ---- */

/* May this file be removed, as the object made at created_us (0: any)? */
static bool is_removable(int fd, uint64_t created_us)
{
    char bytes[WR_CACHE_FIXED];
    ssize_t n = pread(fd, bytes, sizeof(bytes), 0);
    struct wr_cache_object o;

    if (n < 0)
        return false;
    switch (wr_cache_decode(wr_str_of(bytes, (size_t)n), false, &o)) {
    case WR_CACHE_FOREIGN:
        return false;
    case WR_CACHE_OTHER_FORMAT:
        return created_us == 0;
    case WR_CACHE_BROKEN:
        return true;
    default: /* too few bytes for a fixed part: it was cut off */
        return created_us == 0 || o.facts.created_us == created_us || n < (ssize_t)sizeof(bytes);
    }
}

static enum wr_cache_removed remove_from(int parent, const char *name, uint64_t created_us,
                                         struct wr_cache_failure *why)
{
    int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    bool ok;

    if (fd < 0)
        return errno == ENOENT ? WR_CACHE_GONE : WR_CACHE_KEPT;
    ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && is_removable(fd, created_us);
    (void)close(fd);
    if (!ok)
        return WR_CACHE_KEPT;
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return WR_CACHE_GONE;
    *why = (struct wr_cache_failure){ "unlink()", errno };
    return WR_CACHE_NOT_REMOVED;
}

enum wr_cache_removed wr_cache_file_remove(struct wr_cache_folder *f,
                                           const struct wr_cache_name *name, uint64_t created_us,
                                           struct wr_cache_failure *why)
{
    static const uint8_t none[3];
    char hex[WR_CACHE_PATH_MAX];
    enum wr_cache_removed r;
    int parent;

    if (wr_cache_folder_open(f, why) < 0)
        return WR_CACHE_NOT_REMOVED;
    parent = wr_cache_open_parent(f, name, false);
    if (parent < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return WR_CACHE_GONE;
    if (parent < 0) {
        *why = (struct wr_cache_failure){ "open()", errno };
        return WR_CACHE_NOT_REMOVED;
    }
    wr_cache_path(name, none, hex);
    r = remove_from(parent, hex, created_us, why);
    (void)close(parent);
    return r;
}
