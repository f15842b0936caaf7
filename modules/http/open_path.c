/* open_path: see open_path.h. Where links are not trusted the path is walked folder by folder, each
 * opened relative to the one before, so that nobody can exchange a folder for a link in between. */
#include "open_path.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum symlinks { SYMLINKS_OFF, SYMLINKS_ON, SYMLINKS_OWNER }; /* what is disabled */

struct open_conf {
    struct {
        uint32_t disabled;
        struct wr_template *from;  /* NULL: the whole path is looked at */
    } links;
};

extern struct wr_module wr_module_open_path;

static int failed(struct wr_open_error *e, int fd, const char *call)
{
    *e = (struct wr_open_error){ errno, call };
    if (fd != -1)
        (void)close(fd);
    return -1;
}

/* A link inside folder may be followed when it and what it leads to have one owner. Asked of what
 * was opened, not of the name. */
static int follow(int folder, const char *name, int flags, uid_t owner)
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
    if (disabled == SYMLINKS_OWNER)
        return follow(folder, name, flags, st.st_uid);
    errno = ELOOP;
    return -1;
}

/* How much of path is trusted: `from` where it is an initial part of it, else the slash it begins
 * with. */
static size_t trusted(struct wr_exchange *x, const struct open_conf *c, struct wr_str path)
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

/* The next name of the path, zero-terminated in place; folder: a slash follows it. */
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

/* The folder was needed until fd was opened. */
static int leave(int folder, int fd)
{
    int err = errno;

    (void)close(folder);
    errno = err;
    return fd;
}

static int walk(int folder, char *rest, int flags, uint32_t disabled)
{
    const int pass = O_PATH | O_DIRECTORY | O_CLOEXEC;
    bool more;

    for (char *name; (name = next_name(&rest, &more)) != NULL;) {
        int fd = leave(folder, open_in(folder, name, more ? pass : flags, disabled));

        if (fd == -1 || !more)
            return fd;
        folder = fd;
    }
    return leave(folder, openat(folder, ".", flags)); /* it ended with a slash */
}

static int open_checked(struct wr_exchange *x, const struct open_conf *c, const char *path,
                        int flags)
{
    struct wr_str whole = wr_str_c(path);
    size_t n = trusted(x, c, whole);
    int folder;

    if (n == whole.n)
        return open(path, flags);
    folder = open(n > 0 ? wr_pool_cstr(x->pool, wr_str_of(path, n)) : ".",
                  O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder == -1)
        return -1;
    return walk(folder, wr_pool_cstr(x->pool, wr_str_skip(whole, n)), flags, c->links.disabled);
}

int wr_open_path(struct wr_exchange *x, const char *path, struct stat *st, struct wr_open_error *e)
{
    const struct open_conf *c = wr_conf_of(x, &wr_module_open_path);
    bool plain = wr_likely(c->links.disabled == SYMLINKS_OFF);
    int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    int fd = plain ? open(path, flags) : open_checked(x, c, path, flags);

    if (fd == -1)
        return failed(e, -1, plain ? "open()" : "openat()");
    if (fstat(fd, st) == -1)
        return failed(e, fd, "fstat()");
    return fd;
}

bool wr_stat_path(struct wr_exchange *x, const char *path, struct stat *st,
                  struct wr_open_error *e)
{
    const struct open_conf *c = wr_conf_of(x, &wr_module_open_path);
    int fd;

    if (wr_likely(c->links.disabled == SYMLINKS_OFF)) {
        if (stat(path, st) == 0)
            return true;
        *e = (struct wr_open_error){ errno, "stat()" };
        return false;
    }
    fd = open_checked(x, c, path, O_PATH | O_CLOEXEC);
    if (fd == -1 || fstat(fd, st) == -1) {
        (void)failed(e, fd, "openat()");
        return false;
    }
    (void)close(fd);
    return true;
}

unsigned wr_open_status(int err)
{
    switch (err) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
        return 404;
    case EACCES:
    case ELOOP:
        return 403;
    default:
        return 500;
    }
}

static bool set_links(struct wr_cf *cf, void *conf)
{
    static const char *const modes[] = { "off", "on", "if_not_owner" };
    struct open_conf *c = conf;
    uint32_t mode = UINT32_MAX;

    c->links.from = NULL;
    for (uint32_t i = 1; i <= cf->nargs; i++) {
        struct wr_str arg = wr_cf_arg(cf, i), from;
        uint32_t m = 0;

        if (wr_param(arg, "from", &from)) {
            c->links.from = wr_template_new(cf, i, from);
            if (c->links.from == NULL)
                return false;
            continue;
        }
        while (m < WR_COUNT(modes) && !wr_str_is(arg, modes[m]))
            m++;
        if (m == WR_COUNT(modes))
            return wr_cf_error(cf, i, "invalid parameter \"" WR_FMT "\"", WR_ARG(arg));
        if (mode != UINT32_MAX)
            return wr_cf_error(cf, i, "duplicate parameters \"%s " WR_FMT "\"", modes[mode],
                               WR_ARG(arg));
        mode = m;
    }
    if (mode == UINT32_MAX)
        return wr_cf_error(cf, 0, "\"disable_symlinks\" must have \"off\", \"on\" or "
                           "\"if_not_owner\" parameter");
    if (mode == SYMLINKS_OFF && c->links.from != NULL)
        return wr_cf_error(cf, 0, "\"from=\" cannot be used with \"off\" parameter");
    c->links.disabled = mode;
    return true;
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("disable_symlinks", WR_L7 | WR_SCOPES, 1, 2, set_links, "off",
              "refuses paths with symbolic links in them, or with links of somebody else"),
    { 0 }
};

struct wr_module wr_module_open_path = {
    .name = "open_path",
    .layers = WR_L7,
    .conf_size = sizeof(struct open_conf),
    .directives = directives,
};
