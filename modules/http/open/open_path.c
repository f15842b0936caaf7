/* open_path: see open_path.h. Answers from open_file_cache where its element is fresh, else from
 * the file system, as far as disable_symlinks allows. */
#include "open_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define READ_AHEAD_FROM 131072 /* the system reads that much ahead by default */

struct look {                   /* one lookup */
    struct wr_exchange *x;
    const struct wr_open_conf *c;
    const char *path;
    bool open;                  /* a regular file is to be opened */
    struct stat *st;            /* results; file: a use that the caller drops, NULL: not opened */
    struct wr_opened *file;
    struct wr_open_error *e;
};

static enum wr_there fail_lookup(const struct look *l, int fd, const char *plain)
{
    bool walked = l->c->links.disabled != WR_SYMLINKS_OFF;

    *l->e = (struct wr_open_error){ errno, walked ? "openat()" : plain };
    if (fd != -1)
        (void)close(fd);
    return WR_NOT_THERE;
}

/* ---- the file system ---- */

static enum wr_there look_only(const struct look *l, struct stat *st)
{
    int fd;

    if (wr_likely(l->c->links.disabled == WR_SYMLINKS_OFF))
        return stat(l->path, st) == 0 ? WR_THERE : fail_lookup(l, -1, "stat()");
    fd = wr_open_walk(l->x, l->c, l->path, O_PATH | O_CLOEXEC);
    if (fd == -1 || fstat(fd, st) == -1)
        return fail_lookup(l, fd, NULL);
    (void)close(fd);
    return WR_THERE;
}

static void read_directly(struct wr_opened *f)
{
    int flags = fcntl(f->fd, F_GETFL);

    f->direct = flags != -1 && fcntl(f->fd, F_SETFL, flags | O_DIRECT) == 0;
    if (!f->direct)
        wr_say(WR_LOG_WARN, errno, "fcntl(O_DIRECT) \"%s\" failed, the system's cache is used",
               f->name);
}

/* Open for reading; O_NONBLOCK: do not wait for the writer of a FIFO. */
static enum wr_there open_it(const struct look *l, int *fd)
{
    const int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;

    if (wr_likely(l->c->links.disabled == WR_SYMLINKS_OFF))
        return wr_open_later(l->x, l->path, flags, fd);
    *fd = wr_open_walk(l->x, l->c, l->path, flags);
    return *fd != -1 ? WR_THERE : WR_NOT_THERE;
}

static enum wr_there look_and_open(struct look *l, struct stat *st)
{
    int fd;

    switch (open_it(l, &fd)) {
    case WR_OPENING:
        return WR_OPENING;
    case WR_NOT_THERE:
        return fail_lookup(l, -1, "open()");
    case WR_THERE:
        break;
    }
    if (fstat(fd, st) == -1)
        return fail_lookup(l, fd, "fstat()");
    if (!S_ISREG(st->st_mode)) {
        (void)close(fd);
        return WR_THERE;
    }
    l->file = wr_opened_new(fd, l->path);
    wr_opened_facts(l->file, st);
    if ((uint64_t)st->st_size >= l->c->directio)
        read_directly(l->file);
    if (l->c->read_ahead > 0 && st->st_size > READ_AHEAD_FROM)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return WR_THERE;
}

static enum wr_there look_at_disk(struct look *l, struct stat *st)
{
    return l->open ? look_and_open(l, st) : look_only(l, st);
}

/* ---- the cache ---- */

static enum wr_there answer_known(struct look *l, const struct wr_open_known *k)
{
    if (k->error.err != 0) {
        *l->e = k->error;
        return WR_NOT_THERE;
    }
    *l->st = k->st;
    if (l->open && k->file != NULL)
        l->file = wr_opened_use(k->file);
    return WR_THERE;
}

/* False: the error is one of the process (no descriptors, no memory) or of the disk, not of the
 * path. */
static bool is_lasting(int err)
{
    return err != EMFILE && err != ENFILE && err != ENOMEM && err != EAGAIN && err != EINTR
        && err != EIO;
}

static enum wr_there look_anew(struct look *l, struct wr_open_known *k)
{
    struct stat st;
    enum wr_there there = look_at_disk(l, &st);

    if (there == WR_OPENING) {
        k->uses--; /* the caller asks again */
        return there;
    }
    wr_opened_drop(k->file);
    k->file = NULL;
    k->checked_ms = wr_now();
    if (there == WR_NOT_THERE) {
        k->error = *l->e;
        if (!l->c->cache_errors || !is_lasting(l->e->err))
            wr_open_cache_drop(l->c->cache, k);
        return there;
    }
    k->error.err = 0;
    *l->st = k->st = st;
    if (l->file != NULL && k->uses >= l->c->cache_min_uses)
        k->file = wr_opened_use(l->file);
    return there;
}

/* True: the name still leads to the open file, which may have grown. */
static bool is_same_file(struct look *l, struct wr_open_known *k)
{
    struct stat st;

    if (k->file == NULL || look_only(l, &st) != WR_THERE || st.st_ino != k->st.st_ino
        || st.st_dev != k->st.st_dev)
        return false;
    k->st = st;
    k->checked_ms = wr_now();
    wr_opened_facts(k->file, &st);
    return true;
}

/* With disable_symlinks the result depends on its settings, so they are part of the key. */
static struct wr_str key_of(const struct look *l)
{
    struct wr_str path = wr_str_c(l->path);

    if (wr_likely(l->c->links.disabled == WR_SYMLINKS_OFF))
        return path;
    return wr_pool_fmt(l->x->pool, "%u:%zu:%s", l->c->links.disabled,
                       wr_open_trusted(l->x, l->c, path), l->path);
}

static enum wr_there look_up(struct look *l)
{
    struct wr_open_known *k;
    bool fresh;

    if (l->c->cache == NULL)
        return look_at_disk(l, l->st);
    k = wr_open_cache_use(l->c->cache, key_of(l));
    fresh = k->checked_ms > 0 && wr_now() - k->checked_ms < l->c->cache_valid_s * 1000;
    if (fresh && (k->error.err != 0 || !l->open || k->file != NULL || !S_ISREG(k->st.st_mode)))
        return answer_known(l, k);
    if (!fresh && k->error.err == 0 && is_same_file(l, k))
        return answer_known(l, k);
    return look_anew(l, k);
}

enum wr_there wr_open_path(struct wr_exchange *x, const char *path, struct stat *st,
                           struct wr_opened **file, struct wr_open_error *e)
{
    struct look l = {
        .x = x, .c = wr_conf_of(x, &wr_module_open_path), .path = path, .open = true, .st = st,
        .e = e,
    };
    enum wr_there there = look_up(&l);

    *file = l.file;
    return there;
}

bool wr_stat_path(struct wr_exchange *x, const char *path, struct stat *st,
                  struct wr_open_error *e)
{
    struct look l = {
        .x = x, .c = wr_conf_of(x, &wr_module_open_path), .path = path, .st = st, .e = e,
    };

    return look_up(&l) == WR_THERE;
}

void wr_open_reader(struct wr_exchange *x, struct wr_reader *r)
{
    const struct wr_open_conf *c = wr_conf_of(x, &wr_module_open_path);
    const struct wr_http_conf *h = wr_conf_of(x, &wr_module_http);

    if (r->file->direct)
        wr_reader_direct(r, h->output_buffers, c->directio_alignment);
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
