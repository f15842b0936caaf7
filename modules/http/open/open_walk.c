/* open_walk: opens a path whose symbolic links are not trusted: folder by folder, each relative to
 * the one before, so that nobody can exchange a folder for a link meanwhile. Called by
 * open_path. */
#include "open_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Follow a link if it and its target have the same owner. The target is checked after opening, so
 * that it cannot change in between. */
static int follow_link(int folder, const char *name, int flags, uid_t owner)
{
    int fd = openat(folder, name, flags);
    struct stat st;

    if (fd == -1 || (fstat(fd, &st) == 0 && st.st_uid == owner))
        return fd;
    (void)close(fd);
    errno = ELOOP;
    return -1;
}

static int open_in(int folder, const char *name, int flags, uint32_t disabled)
{
    struct stat st;

    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
        return -1;
    if (!S_ISLNK(st.st_mode))
        return openat(folder, name, flags | O_NOFOLLOW);
    if (disabled == WR_SYMLINKS_OWNER)
        return follow_link(folder, name, flags, st.st_uid);
    errno = ELOOP;
    return -1;
}

size_t wr_open_trusted(struct wr_exchange *x, const struct wr_open_conf *c, struct wr_str path)
{
    size_t root = path.n > 0 && path.p[0] == '/';
    struct wr_str from;

    if (c->links.from == NULL)
        return root;
    from = wr_template_str(x, c->links.from);
    if (from.n == 0 || !wr_str_starts(path, from))
        return root;
    if (from.n == path.n || from.p[from.n - 1] == '/')
        return from.n;
    return path.p[from.n] == '/' ? from.n + 1 : root;
}

/* The next name of the path, zero-terminated in place; *folder: a slash follows it. */
static char *next_name(char **path, bool *folder)
{
    char *name = *path, *end;

    while (*name == '/')
        name++;
    end = name + strcspn(name, "/");
    *folder = *end == '/';
    *path = *folder ? end + 1 : end;
    *end = '\0';
    return *name != '\0' ? name : NULL;
}

/* Close the folder that fd was opened in, and keep errno. */
static int close_folder(int folder, int fd)
{
    int err = errno;

    (void)close(folder);
    errno = err;
    return fd;
}

static int walk_path(int folder, char *rest, int flags, uint32_t disabled)
{
    const int pass = O_PATH | O_DIRECTORY | O_CLOEXEC;
    bool more;

    for (char *name; (name = next_name(&rest, &more)) != NULL;) {
        int fd = close_folder(folder, open_in(folder, name, more ? pass : flags, disabled));

        if (fd == -1 || !more)
            return fd;
        folder = fd;
    }
    return close_folder(folder, openat(folder, ".", flags)); /* the path ended with a slash */
}

int wr_open_walk(struct wr_exchange *x, const struct wr_open_conf *c, const char *path, int flags)
{
    struct wr_str whole = wr_str_c(path);
    size_t n;
    int folder;

    if (wr_likely(c->links.disabled == WR_SYMLINKS_OFF))
        return open(path, flags);
    n = wr_open_trusted(x, c, whole);
    if (n == whole.n)
        return open(path, flags);
    folder = open(n > 0 ? wr_pool_cstr(x->pool, wr_str_of(path, n)) : ".",
                  O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder == -1)
        return -1;
    return walk_path(folder, wr_pool_cstr(x->pool, wr_str_skip(whole, n)), flags,
                     c->links.disabled);
}
