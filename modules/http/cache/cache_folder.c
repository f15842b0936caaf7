/* cache_folder: the folder of a proxy_cache_path: whether it is ours, its marker, its descriptor,
 * and failures in the log. See cache_file.h. */
#include "cache_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MARKER_MAX 4096
#define MARKER_FIRST "weir cache\n" /* what follows in a later version must not matter to us */
#define FOREIGN "search for files that are not a cache's"
#define QUIET_MS 60000
#define CHECK_MS 1000

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

static bool fail_with(struct wr_cache_failure *why, const char *call, int err)
{
    *why = (struct wr_cache_failure){ call, err };
    return false;
}

/* ---- whose folder ---- */

/* True: it may lie in a folder that nobody has used. mkfs makes some, a marker is written under
 * another name at first, and configurations of nginx put their temporary folders there. */
static bool is_nothing(const char *name, const char *const *inside)
{
    for (; inside != NULL && *inside != NULL; inside++)
        if (strcmp(name, *inside) == 0)
            return true;
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0
        || strncmp(name, WR_CACHE_MARKER, sizeof(WR_CACHE_MARKER) - 1) == 0;
}

/* Returns 0 or errno; ENOTEMPTY: something lies in it. */
static int look_empty(int fd, const char *const *inside)
{
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;
    DIR *d = own >= 0 ? fdopendir(own) : NULL;
    const struct dirent *e;

    if (d == NULL) {
        err = errno;
        if (own >= 0)
            (void)close(own);
        return err;
    }
    do {
        errno = 0;
        e = readdir(d);
    } while (e != NULL && is_nothing(e->d_name, inside));
    err = e != NULL ? ENOTEMPTY : errno;
    (void)closedir(d);
    return err;
}

static bool has_marker(int fd)
{
    struct stat st;

    return fstatat(fd, WR_CACHE_MARKER, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* 0: the folder is ours or may become ours. Else errno. */
static int judge_folder(int fd, const char *const *inside)
{
    int err;

    if (has_marker(fd))
        return 0;
    err = look_empty(fd, inside);
    /* Another process may have begun to use it meanwhile. */
    return err == ENOTEMPTY && has_marker(fd) ? 0 : err;
}

static const char *explain_error(struct wr_pool *pool, const char *path, int err)
{
    if (err == ENOTEMPTY)
        return wr_pool_fmt(pool, "\"%s\" is not empty and has no file \"" WR_CACHE_MARKER "\", so "
                           "it is not a cache of weir; name an empty folder or a new one",
                           path).p;
    return wr_pool_fmt(pool, "the folder \"%s\" cannot be used (%d: %s)", path, err,
                       strerror(err)).p;
}

const char *wr_cache_folder_check(struct wr_pool *pool, const char *path,
                                  const char *const *inside)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;
    char link[1];

    if (fd < 0 && errno == ENOENT)
        return readlink(path, link, sizeof(link)) < 0
                   ? NULL
                   : wr_pool_fmt(pool, "\"%s\" is a symbolic link that leads nowhere", path).p;
    if (fd < 0)
        return explain_error(pool, path, errno);
    err = judge_folder(fd, inside);
    (void)close(fd);
    return err != 0 ? explain_error(pool, path, err) : NULL;
}

/* ---- the marker ---- */

/* Its text, in buf; empty: there is none, or it cannot be read. */
static struct wr_str read_marker(int fd, char buf[static MARKER_MAX])
{
    int file = wr_cache_open_below(fd, WR_CACHE_MARKER, O_RDONLY, false);
    ssize_t n = file >= 0 ? pread(file, buf, MARKER_MAX, 0) : 0;

    if (file >= 0)
        (void)close(file);
    return wr_str_of(buf, n > 0 ? (size_t)n : 0);
}

static bool parse_levels(struct wr_str line, uint8_t out[static 3])
{
    struct wr_str word;
    uint64_t n;

    memset(out, 0, 3);
    if (!wr_str_starts(line, WR_STR("levels ")))
        return false;
    line = wr_str_skip(line, 7);
    if (wr_str_is(line, "0"))
        return true;
    for (size_t i = 0; i < 3 && line.n > 0; i++) {
        word = wr_str_cut(&line, ':');
        if (!wr_str_u64(word, &n) || n < 1 || n > 2)
            return false;
        out[i] = (uint8_t)n;
    }
    return line.n == 0 && out[0] > 0;
}

static void put_levels(struct wr_text *t, const uint8_t levels[static 3])
{
    wr_text_c(t, "levels ");
    wr_text_u64(t, levels[0]);
    for (size_t i = 1; i < 3 && levels[i] > 0; i++)
        wr_text_fmt(t, ":%u", levels[i]);
    wr_text_char(t, '\n');
}

static bool has_levels(uint8_t (*list)[3], uint32_t n, const uint8_t levels[static 3])
{
    for (uint32_t i = 0; i < n; i++)
        if (memcmp(list[i], levels, 3) == 0)
            return true;
    return false;
}

/* Appends those of the text that are not in the list yet. */
static uint32_t read_levels(struct wr_str text, uint8_t (*list)[3], uint32_t n, uint32_t max)
{
    uint8_t one[3];

    while (text.n > 0 && n < max)
        if (parse_levels(wr_str_cut(&text, '\n'), one) && !has_levels(list, n, one))
            memcpy(list[n++], one, 3);
    return n;
}

/* Replaces the marker. */
static bool write_marker(int fd, struct wr_str text, struct wr_cache_failure *why)
{
    char name[64];
    int file, err;

    (void)snprintf(name, sizeof(name), WR_CACHE_MARKER ".%ld.%08x", (long)getpid(),
                   (unsigned)wr_random());
    file = openat(fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return fail_with(why, "open()", errno);
    err = wr_file_write_all(file, text) && renameat(fd, name, fd, WR_CACHE_MARKER) == 0 ? 0 : errno;
    (void)close(file);
    if (err != 0)
        (void)unlinkat(fd, name, 0);
    return err == 0 || fail_with(why, "write()", err);
}

/* Adds our levels to those that it names. */
static bool put_marker(const struct wr_cache_folder *f, int fd, struct wr_cache_failure *why)
{
    char old[MARKER_MAX], text[MARKER_MAX];
    struct wr_text t = wr_text_on(text, sizeof(text));
    uint8_t list[64][3];
    uint32_t n;

    memcpy(list[0], f->levels, 3);
    n = read_levels(read_marker(fd, old), list, 1, WR_COUNT(list));
    wr_text_c(&t, MARKER_FIRST);
    for (uint32_t i = 0; i < n; i++)
        put_levels(&t, list[i]);
    return write_marker(fd, wr_text_view(&t), why);
}

static bool names_our_levels(const struct wr_cache_folder *f, int fd)
{
    char buf[MARKER_MAX];
    uint8_t list[64][3];
    uint32_t n = read_levels(read_marker(fd, buf), list, 0, WR_COUNT(list));

    return has_levels(list, n, f->levels);
}

uint32_t wr_cache_folder_levels(struct wr_cache_folder *f, uint8_t (*out)[3], uint32_t max)
{
    char buf[MARKER_MAX];
    int fd = atomic_load(&f->fd);

    WR_ASSERT(max > 0);
    memcpy(out[0], f->levels, 3);
    return fd >= 0 ? read_levels(read_marker(fd, buf), out, 1, max) : 1;
}

/* ---- the descriptor ---- */

void wr_cache_folder_init(struct wr_cache_folder *f, const char *path,
                          const uint8_t levels[static 3])
{
    *f = (struct wr_cache_folder){ .path = path, .fd = -1 };
    memcpy(f->levels, levels, 3);
}

void wr_cache_folder_close(struct wr_cache_folder *f)
{
    int fd = atomic_exchange(&f->fd, -1);

    if (fd >= 0)
        (void)close(fd);
}

/* Makes sure that the folder is ours, with a marker that names our levels. */
static bool claim_folder(const struct wr_cache_folder *f, int fd, struct wr_cache_failure *why)
{
    int err = judge_folder(fd, f->inside);

    if (err != 0)
        return fail_with(why, err == ENOTEMPTY ? FOREIGN : "readdir()", err);
    return (has_marker(fd) && names_our_levels(f, fd)) || put_marker(f, fd, why);
}

/* The folder at the path, claimed. It is made again if somebody removed it, but not by root, who
 * makes folders at start only, with more care. */
static int open_path(struct wr_cache_folder *f, struct wr_cache_failure *why)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    struct statfs s;
    int fd = open(f->path, flags);

    if (fd < 0 && errno == ENOENT && geteuid() != 0 && mkdir(f->path, 0700) == 0)
        fd = open(f->path, flags);
    if (fd < 0) {
        (void)fail_with(why, "open()", errno);
        return -1;
    }
    if (claim_folder(f, fd, why)) {
        atomic_store(&f->in_memory, fstatfs(fd, &s) == 0 && s.f_type == TMPFS_MAGIC);
        return fd;
    }
    (void)close(fd);
    return -1;
}

static bool is_same_folder(int a, int b)
{
    struct stat sa, sb;

    return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev
        && sa.st_ino == sb.st_ino;
}

/* The new folder gets the number of the old one, which other threads may be using just now. */
static bool exchange_folder(struct wr_cache_folder *f, struct wr_cache_failure *why)
{
    int held = atomic_load(&f->fd), fd = open_path(f, why);
    bool other;

    if (fd < 0)
        return false;
    if (held < 0) {
        atomic_store(&f->fd, fd);
        return true;
    }
    other = !is_same_folder(held, fd);
    if (other && dup3(fd, held, O_CLOEXEC) != held)
        other = fail_with(why, "dup3()", errno);
    (void)close(fd);
    return other;
}

/* The folder that is held, unless it was removed and the path does not lead to another one. */
static int check_folder(struct wr_cache_folder *f, struct wr_cache_failure *why)
{
    int fd = atomic_load(&f->fd);
    struct wr_cache_failure other = { "stat()", ENOENT };
    struct stat held, now;

    if (fd < 0) {
        (void)exchange_folder(f, why);
        return atomic_load(&f->fd);
    }
    if (fstat(fd, &held) == 0 && (stat(f->path, &now) != 0 || now.st_dev != held.st_dev
                                  || now.st_ino != held.st_ino)
        && !exchange_folder(f, &other) && held.st_nlink == 0) {
        *why = other;
        return -1;
    }
    return fd;
}

int wr_cache_folder_open(struct wr_cache_folder *f, struct wr_cache_failure *why)
{
    const uint64_t now = wr_time_ns() / 1000000;
    int fd = atomic_load_explicit(&f->fd, memory_order_acquire);

    if (wr_likely(fd >= 0 && now < atomic_load(&f->checked_ms) + CHECK_MS))
        return fd;
    (void)pthread_mutex_lock(&opening);
    fd = check_folder(f, why);
    if (fd >= 0)
        atomic_store(&f->checked_ms, now);
    (void)pthread_mutex_unlock(&opening);
    return fd;
}

bool wr_cache_folder_again(struct wr_cache_folder *f, struct wr_cache_failure *why)
{
    bool other;

    (void)pthread_mutex_lock(&opening);
    other = exchange_folder(f, why);
    (void)pthread_mutex_unlock(&opening);
    return other;
}

uint64_t wr_cache_folder_free(struct wr_cache_folder *f)
{
    int fd = atomic_load(&f->fd);
    struct statvfs v;

    if (fd < 0 || fstatvfs(fd, &v) != 0)
        return UINT64_MAX;
    return (uint64_t)v.f_bavail * v.f_frsize;
}

/* ---- the log ---- */

void wr_cache_folder_failed(struct wr_cache_folder *f, const struct wr_cache_failure *why)
{
    const uint64_t now = wr_now();

    if (now < f->log.quiet_ms) {
        f->log.failures++;
        return;
    }
    f->log.quiet_ms = now + QUIET_MS;
    if (f->log.failures > 0)
        wr_say(WR_LOG_CRIT, why->err, "cache: %s in \"%s\" failed, after %u more failures",
               why->call, f->path, f->log.failures);
    else
        wr_say(WR_LOG_CRIT, why->err, "cache: %s in \"%s\" failed", why->call, f->path);
    f->log.failures = 0;
}
