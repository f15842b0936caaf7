/* access_log_cache: access logs whose names have variables, and open_log_file_cache, which keeps
 * their descriptors. access_log.c writes through it. A cache belongs to a configuration; its
 * descriptors belong to the process and are closed with the configuration.
 *
 * As in nginx, a file that was used min_uses times stays open until it is not used for `inactive`.
 * After `valid` its name is looked up again, so that a rotated file is closed. */
#include "access_log_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUCKETS 256

struct log_open {
    struct wr_link recent;       /* the most recently used is first */
    struct log_open *next;       /* in its bucket */
    uint64_t hash, used_ms, checked_ms;
    uint32_t uses;
    int fd;                      /* -1: closed after its last use */
    char path[];
};
struct wr_log_cache {
    struct wr_log_cache_opts o;
    struct wr_link recent;
    uint32_t n;
    struct log_open *bucket[BUCKETS];
};

static uint64_t quiet_until;     /* wall ms; for all of these files together */
static bool disk_full;

static int open_path(const char *path)
{
    enum wr_log_origin origin;
    bool made;
    int fd = wr_open_log(path, &origin, &made);

    if (fd < 0 && wr_clock.wall_ms >= quiet_until) {
        quiet_until = wr_clock.wall_ms + 1000;
        wr_say(WR_LOG_CRIT, errno, "open() \"%s\" failed", path);
    }
    return fd;
}

static void close_fd(struct log_open *e)
{
    if (e->fd >= 0)
        (void)close(e->fd);
    e->fd = -1;
}

static void drop_entry(struct wr_log_cache *c, struct log_open *e)
{
    struct log_open **at = &c->bucket[e->hash % BUCKETS];

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    wr_list_remove(&e->recent);
    close_fd(e);
    free(e);
    c->n--;
}

static struct log_open *oldest_entry(struct wr_log_cache *c)
{
    return wr_container(c->recent.prev, struct log_open, recent);
}

static void drop_inactive(struct wr_log_cache *c)
{
    while (c->n > 0 && oldest_entry(c)->used_ms + c->o.inactive_ms < wr_now())
        drop_entry(c, oldest_entry(c));
}

/* NULL: it cannot be opened; then no other file is closed to make room. */
static struct log_open *add_entry(struct wr_log_cache *c, struct wr_str path, uint64_t hash)
{
    struct log_open *e;
    int fd = open_path(path.p);

    if (fd < 0)
        return NULL;
    if (c->n == c->o.max)
        drop_entry(c, oldest_entry(c));
    e = wr_calloc(1, sizeof(*e) + path.n + 1);
    memcpy(e->path, path.p, path.n);
    e->hash = hash;
    e->fd = fd;
    e->checked_ms = wr_now();
    e->next = c->bucket[hash % BUCKETS];
    c->bucket[hash % BUCKETS] = e;
    c->n++;
    return e;
}

static struct log_open *find_or_add(struct wr_log_cache *c, const char *path)
{
    struct wr_str name = wr_str_c(path);
    uint64_t hash = wr_hash(name);
    struct log_open *e = c->bucket[hash % BUCKETS];

    while (e != NULL && (e->hash != hash || !wr_str_is(name, e->path)))
        e = e->next;
    if (e == NULL)
        e = add_entry(c, name, hash);
    if (e == NULL)
        return NULL;
    wr_list_remove(&e->recent);
    wr_list_unshift(&c->recent, &e->recent);
    e->used_ms = wr_now();
    e->uses++;
    return e;
}

static bool is_same_file(int fd, const char *path)
{
    struct stat by_fd, by_name;

    return fstat(fd, &by_fd) == 0 && stat(path, &by_name) == 0 &&
           by_fd.st_ino == by_name.st_ino && by_fd.st_dev == by_name.st_dev;
}

static void cached_write(struct wr_log_cache *c, const char *path, struct wr_str line)
{
    struct log_open *e;

    drop_inactive(c);
    e = find_or_add(c, path);
    if (e == NULL)
        return;
    if (e->fd >= 0 && wr_now() - e->checked_ms >= c->o.valid_ms) {
        if (!is_same_file(e->fd, path))
            close_fd(e);
        e->checked_ms = wr_now();
    }
    if (e->fd < 0) {
        e->fd = open_path(path);
        e->checked_ms = wr_now();
    }
    wr_log_write(e->fd, path, line, &quiet_until, &disk_full);
    if (e->uses < c->o.min_uses)
        close_fd(e);
}

void wr_log_path_write(struct wr_log_cache *cache, const char *path, struct wr_str line)
{
    int fd;

    if (cache != NULL) {
        cached_write(cache, path, line);
        return;
    }
    fd = open_path(path);
    if (fd < 0)
        return;
    wr_log_write(fd, path, line, &quiet_until, &disk_full);
    (void)close(fd);
}

static void drop_all(void *arg)
{
    struct wr_log_cache *c = arg;

    while (c->n > 0)
        drop_entry(c, oldest_entry(c));
}

struct wr_log_cache *wr_log_cache_new(struct wr_pool *pool, const struct wr_log_cache_opts *o)
{
    struct wr_log_cache *c = WR_NEW(pool, struct wr_log_cache);

    c->o = *o;
    wr_list_init(&c->recent);
    wr_pool_cleanup(pool, drop_all, c);
    return c;
}
