/* trusted: how root opens files to write. Other users may own folders that the configuration names,
 * and put links there: root follows a symbolic link only if root made it, in a folder that only
 * root can write. Elsewhere a file must be regular and have no second name. The path is walked by
 * descriptors, so that nothing changes between a check and the use. A process that is not root has
 * no rights that a link could misuse: it calls open(). Logs, pid file, folders and unix sockets
 * call it. It owns nothing. */
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define LINKS_MAX 40 /* the kernel's limit */

struct walk {
    const char *path;        /* as it was given, for messages */
    int dir;                 /* O_PATH: the folder reached so far */
    char name[NAME_MAX + 1]; /* the component in it */
    char rest[PATH_MAX];     /* of the path, behind the component */
    unsigned links;
    bool magic;              /* name is a link in procfs, which only the kernel can follow */
};

/* Closes what is open and sets errno; returns false. */
static bool fail_walk(struct walk *w, int fd, int err)
{
    if (fd >= 0)
        (void)close(fd);
    if (w->dir >= 0)
        (void)close(w->dir);
    w->dir = -1;
    errno = err;
    return false;
}

static bool refuse_walk(struct walk *w, int fd, const char *why)
{
    wr_say(WR_LOG_EMERG, 0, "\"%s\" in \"%s\" %s: root does not open it", w->name, w->path, why);
    return fail_walk(w, fd, EPERM);
}

static bool is_root_only(int dir)
{
    struct stat st;

    return fstat(dir, &st) == 0 && st.st_uid == 0 && (st.st_mode & S_IWOTH) == 0
        && ((st.st_mode & S_IWGRP) == 0 || st.st_gid == 0);
}

static bool may_follow(const struct walk *w, const struct stat *link)
{
    return geteuid() != 0 || (link->st_uid == 0 && is_root_only(w->dir));
}

static bool is_procfs_link(int link)
{
    struct statfs fs;

    return fstatfs(link, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* Moves the next component of rest to name; an empty rest gives ".". *last: only slashes follow.
 * False: too long. */
static bool take_component(struct walk *w, bool *last)
{
    size_t from = strspn(w->rest, "/"), n = strcspn(w->rest + from, "/");
    const char *behind = w->rest + from + n;

    if (n > NAME_MAX)
        return false;
    memcpy(w->name, n > 0 ? w->rest + from : ".", wr_max(n, (size_t)1));
    w->name[wr_max(n, (size_t)1)] = '\0';
    behind += strspn(behind, "/");
    *last = *behind == '\0';
    memmove(w->rest, behind, strlen(behind) + 1);
    return true;
}

/* Puts the link's target in front of rest. An absolute target begins at "/", any other at the
 * folder of the link. */
static bool put_target(struct walk *w, int link)
{
    char target[2 * PATH_MAX];
    ssize_t n = readlinkat(link, "", target, PATH_MAX);
    size_t rest = strlen(w->rest);

    if (n < 0)
        return false;
    if (++w->links > LINKS_MAX || n == 0 || (size_t)n + 1 + rest >= PATH_MAX) {
        errno = n == 0 ? ENOENT : w->links > LINKS_MAX ? ELOOP : ENAMETOOLONG;
        return false;
    }
    target[n] = '/';
    memcpy(target + n + 1, w->rest, rest + 1);
    if (rest == 0) /* a trailing slash would ask for a folder */
        target[n] = '\0';
    memcpy(w->rest, target, (size_t)n + 1 + rest + 1);
    if (target[0] == '/') {
        (void)close(w->dir);
        w->dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    return w->dir >= 0;
}

/* Follows the link w->name, which fd (O_PATH) is open on. True: go on; *last: w->name is the end of
 * the walk. */
static bool walk_link(struct walk *w, int fd, const struct stat *st, bool *last)
{
    int dir;

    if (!may_follow(w, st))
        return refuse_walk(w, fd, "is a link that root does not own, or others can write its "
                           "folder");
    if (is_procfs_link(fd)) {
        w->magic = *last;
        (void)close(fd);
        if (*last)
            return true;
        dir = openat(w->dir, w->name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
            return fail_walk(w, -1, errno);
        (void)close(w->dir);
        w->dir = dir;
        return true;
    }
    *last = false;
    if (!put_target(w, fd))
        return fail_walk(w, fd, errno);
    (void)close(fd);
    return true;
}

/* Walks to the folder of the last component. `through`: if that is a link, follow it, too. On false
 * errno is set and nothing stays open. */
static bool walk_path(struct walk *w, const char *path, bool through)
{
    struct stat st;
    bool last = false;
    int fd;

    w->path = path;
    w->links = 0;
    w->magic = false;
    w->dir = -1;
    if (strlen(path) >= sizeof(w->rest) || path[0] == '\0')
        return fail_walk(w, -1, path[0] == '\0' ? ENOENT : ENAMETOOLONG);
    memcpy(w->rest, path, strlen(path) + 1);
    w->dir = open(path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (w->dir >= 0) {
        if (!take_component(w, &last))
            return fail_walk(w, -1, ENAMETOOLONG);
        if (last && !through)
            return true;
        fd = openat(w->dir, w->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return (last && errno == ENOENT) || fail_walk(w, -1, errno);
        if (fstat(fd, &st) != 0)
            return fail_walk(w, fd, errno);
        if (S_ISLNK(st.st_mode)) {
            if (!walk_link(w, fd, &st, &last))
                return false;
        } else if (last) {
            (void)close(fd);
        } else {
            (void)close(w->dir);
            w->dir = fd;
        }
        if (last)
            return true;
    }
    return false;
}

/* May this file, in a folder that others can write, be used? */
static bool may_use_file(struct walk *w, int fd)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return fail_walk(w, fd, errno);
    if (!S_ISREG(st.st_mode))
        return refuse_walk(w, fd, "is not a file, and others can write its folder");
    if (st.st_nlink > 1)
        return refuse_walk(w, fd, "has another name, and others can write its folder");
    /* O_NONBLOCK was set so that opening a FIFO without a reader does not wait. */
    return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0 || fail_walk(w, fd, errno);
}

/* *made: the file was created. */
static int open_last(const struct walk *w, int flags, mode_t mode, bool *made)
{
    int fd = -1;

    *made = false;
    for (int i = 0; i < 3; i++) { /* it may appear and vanish meanwhile */
        if ((flags & O_CREAT) != 0 && !w->magic) {
            fd = openat(w->dir, w->name, flags | O_EXCL, mode);
            *made = fd >= 0;
            if (fd >= 0 || errno != EEXIST)
                return fd;
        }
        fd = openat(w->dir, w->name, flags & ~O_CREAT);
        if (fd >= 0 || errno != ENOENT)
            return fd;
    }
    return fd;
}

static int open_as_root(const char *path, int flags, mode_t mode, enum wr_log_origin *origin,
                        bool *made)
{
    struct walk w;
    bool untrusted;
    int fd, err;

    if (!walk_path(&w, path, true))
        return -1;
    untrusted = !w.magic && (flags & O_DIRECTORY) == 0 && !is_root_only(w.dir);
    fd = open_last(&w, (flags & ~O_TRUNC) | O_CLOEXEC | (w.magic ? 0 : O_NOFOLLOW)
                   | (untrusted ? O_NONBLOCK : 0), mode, made);
    *origin = !untrusted ? WR_ORIGIN_OURS : *made ? WR_ORIGIN_NEW : WR_ORIGIN_FOUND;
    if (fd < 0) {
        (void)fail_walk(&w, -1, errno);
        return -1;
    }
    if (untrusted && !may_use_file(&w, fd))
        return -1;
    (void)close(w.dir);
    if ((flags & O_TRUNC) == 0 || ftruncate(fd, 0) == 0 || errno == EINVAL)
        return fd;
    err = errno;
    (void)close(fd);
    errno = err;
    return -1;
}

int wr_open_to_write(const char *path, int flags, mode_t mode)
{
    enum wr_log_origin origin;
    bool made;

    return geteuid() == 0 ? open_as_root(path, flags, mode, &origin, &made)
                          : open(path, flags | O_CLOEXEC, mode);
}

int wr_open_log(const char *path, enum wr_log_origin *origin, bool *made)
{
    int flags = O_WRONLY | O_APPEND | O_CREAT, fd;

    *origin = WR_ORIGIN_OURS;
    *made = false;
    if (geteuid() == 0)
        return open_as_root(path, flags, 0644, origin, made);
    fd = open(path, flags | O_EXCL | O_CLOEXEC, 0644);
    *made = fd >= 0;
    return fd >= 0 || errno != EEXIST ? fd : open(path, flags | O_CLOEXEC, 0644);
}

int wr_folder_to_write(const char *path, char name[static NAME_MAX + 1])
{
    struct walk w;

    if (!walk_path(&w, path, false))
        return -1;
    memcpy(name, w.name, strlen(w.name) + 1);
    return w.dir;
}
