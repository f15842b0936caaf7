/* sink: the destinations of log bytes: files, stderr, memory; other kinds register here. Logs and
 * access logs open them by name. It owns the list of all sinks: one per name, shared by all users
 * of that name. */
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static struct wr_link sinks = { &wr_sink_stderr.link, &wr_sink_stderr.link };

/* ---- files and stderr ---- */

bool wr_sink_open_file(struct wr_sink *s)
{
    bool made;
    int fd = wr_open_log(s->path, &s->origin, &made);

    if (fd < 0) {
        s->err = errno;
        return false;
    }
    /* A file made by reopening is not on trial: its configuration was accepted before. */
    if (s->fd >= 0)
        (void)close(s->fd);
    else
        s->on_trial = made;
    s->fd = fd;
    return true;
}

/* Report a failed write in the process log. quiet_until is set first: that ends the recursion when
 * it is the process log that failed. */
static void tell_failed_write(struct wr_sink *s, int err)
{
    if (wr_clock.wall_ms < s->quiet_until)
        return;
    s->quiet_until = wr_clock.wall_ms + 1000;
    wr_say(WR_LOG_CRIT, err, "write() to \"%s\" failed", s->name);
}

static void fd_write(struct wr_sink *s, enum wr_level level, struct wr_str line)
{
    ssize_t n;

    (void)level;
    /* On a full disk every write is slow: do not let the loop wait for each. */
    if (s->fd < 0 || (s->err == ENOSPC && wr_clock.wall_ms < s->quiet_until))
        return;
    do
        n = write(s->fd, line.p, line.n);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)line.n) {
        s->err = 0;
        return;
    }
    /* A short write to a file means that the disk is full. */
    s->err = n < 0 ? errno : ENOSPC;
    tell_failed_write(s, s->err);
}

static void fd_close(struct wr_sink *s)
{
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
}

static const struct wr_sink_ops file_ops = { wr_sink_open_file, fd_write, fd_close };
static const struct wr_sink_ops stderr_ops = { NULL, fd_write, NULL };

struct wr_sink wr_sink_stderr = {
    .ops = &stderr_ops,
    .link = { &sinks, &sinks },
    .name = (char *)(uintptr_t)"stderr",
    .path = "stderr",
    .fd = STDERR_FILENO,
    .users = 1,
};

/* ---- memory: the last bytes, to be found in a core file ---- */

struct ring {
    uint32_t magic;
    size_t size, at;
    char p[];
};

static void memory_write(struct wr_sink *s, enum wr_level level, struct wr_str line)
{
    struct ring *r = WR_CHECK(s->state, RING);

    (void)level;
    while (line.n > 0) {
        size_t n = wr_min(line.n, r->size - r->at);

        memcpy(r->p + r->at, line.p, n);
        r->at = (r->at + n) % r->size;
        line = wr_str_skip(line, n);
    }
}

static void memory_close(struct wr_sink *s)
{
    WR_UNTYPED(WR_CHECK(s->state, RING));
    free(s->state);
    s->state = NULL;
}

static const struct wr_sink_ops memory_ops = { NULL, memory_write, memory_close };

/* "32k", "1m" or bytes; at least one page, as in nginx. */
static struct ring *new_ring(struct wr_str size)
{
    unsigned shift = 0;
    uint64_t n;
    struct ring *r;

    if (size.n > 1 && wr_lower((unsigned char)size.p[size.n - 1]) == 'k')
        shift = 10;
    else if (size.n > 1 && wr_lower((unsigned char)size.p[size.n - 1]) == 'm')
        shift = 20;
    size.n -= shift > 0;
    if (!wr_str_u64(size, &n) || n > UINT32_MAX >> shift || n << shift < 4096) {
        errno = EINVAL;
        return NULL;
    }
    n <<= shift;
    r = calloc(1, sizeof(*r) + n);
    if (r == NULL)
        return NULL;
    WR_TYPED(r, RING);
    r->size = n;
    return r;
}

/* ---- all kinds ---- */

struct wr_sink *wr_sink_find(const char *name)
{
    for (struct wr_link *l = sinks.next; l != &sinks; l = l->next) {
        struct wr_sink *s = wr_container(l, struct wr_sink, link);

        if (wr_str_is(wr_str_c(s->name), name))
            return s;
    }
    return NULL;
}

struct wr_sink *wr_sink_add(const char *name, const struct wr_sink_ops *ops, void *state)
{
    struct wr_sink *s = wr_calloc(1, sizeof(*s));

    WR_ASSERT(wr_sink_find(name) == NULL);
    *s = (struct wr_sink){ .ops = ops, .fd = -1, .users = 1, .state = state };
    s->name = wr_malloc(strlen(name) + 1);
    memcpy(s->name, name, strlen(name) + 1);
    s->path = s->name;
    wr_list_push(&sinks, &s->link);
    if (ops->open != NULL)
        (void)ops->open(s);
    return s;
}

struct wr_sink *wr_sink_open(const char *path)
{
    struct wr_str memory = WR_STR("memory:"), name = wr_str_c(path);
    struct wr_sink *s = wr_sink_find(path);
    struct ring *ring;

    if (s != NULL) {
        s->users++;
        return s;
    }
    if (wr_str_starts(name, memory)) {
        ring = new_ring(wr_str_skip(name, memory.n));
        return ring == NULL ? NULL : wr_sink_add(path, &memory_ops, ring);
    }
    s = wr_sink_add(path, &file_ops, NULL);
    if (s->fd < 0) {
        int err = s->err;

        wr_sink_release(s);
        errno = err;
        return NULL;
    }
    return s;
}

void wr_sink_release(struct wr_sink *s)
{
    WR_ASSERT(s->users > 0);
    if (s == &wr_sink_stderr && s->users == 1)
        return;
    if (--s->users > 0)
        return;
    if (s->ops->close != NULL)
        s->ops->close(s);
    wr_list_remove(&s->link);
    free(s->name);
    free(s);
}

void wr_sink_keep_new(void)
{
    for (struct wr_link *l = sinks.next; l != &sinks; l = l->next)
        wr_container(l, struct wr_sink, link)->on_trial = false;
}

/* Removes the open file if it is empty and still has its name. */
static void remove_empty(const struct wr_sink *s)
{
    char name[NAME_MAX + 1];
    struct stat ours, there;
    int dir = wr_folder_to_write(s->path, name);

    if (dir < 0)
        return;
    if (fstat(s->fd, &ours) == 0 && ours.st_size == 0
        && fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && ours.st_ino == there.st_ino
        && ours.st_dev == there.st_dev)
        (void)unlinkat(dir, name, 0);
    (void)close(dir);
}

void wr_sink_undo_new(void)
{
    for (struct wr_link *l = sinks.next; l != &sinks; l = l->next) {
        struct wr_sink *s = wr_container(l, struct wr_sink, link);

        if (s->on_trial && s->fd >= 0)
            remove_empty(s);
        s->on_trial = false;
    }
}

/* Workers run as this user and reopen the file by themselves. */
static void give_to(const struct wr_sink *s, uid_t owner)
{
    struct stat st;

    if (fstat(s->fd, &st) != 0 || !S_ISREG(st.st_mode))
        return;
    if (st.st_uid != owner && s->origin == WR_ORIGIN_FOUND) {
        wr_say(WR_LOG_ERROR, 0, "\"%s\" is not given to the workers' user: it existed before, and "
               "others can write its folder", s->path);
        return;
    }
    if (st.st_uid != owner && fchown(s->fd, owner, (gid_t)-1) != 0)
        wr_say(WR_LOG_EMERG, errno, "chown(\"%s\", %ld) failed", s->path, (long)owner);
    if ((st.st_mode & 0600) != 0600 && fchmod(s->fd, st.st_mode | 0600) != 0)
        wr_say(WR_LOG_EMERG, errno, "chmod() \"%s\" failed", s->path);
}

void wr_sink_give_new(uid_t owner)
{
    for (struct wr_link *l = sinks.next; l != &sinks; l = l->next) {
        struct wr_sink *s = wr_container(l, struct wr_sink, link);

        if (s->fd >= 0 && s->origin == WR_ORIGIN_NEW)
            give_to(s, owner);
    }
}

void wr_sink_reopen_all(uid_t owner)
{
    for (struct wr_link *l = sinks.next; l != &sinks; l = l->next) {
        struct wr_sink *s = wr_container(l, struct wr_sink, link);

        if (s->ops->open == NULL)
            continue;
        if (!s->ops->open(s))
            wr_say(WR_LOG_EMERG, s->err, "open() \"%s\" failed", s->path);
        else if (s->fd >= 0 && owner != (uid_t)-1)
            give_to(s, owner);
    }
}
