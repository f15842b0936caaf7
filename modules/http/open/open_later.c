/* open_later: opens a file whose path the kernel does not have in memory: a thread does it, and the
 * hook that asked runs again. Called by open_path. A path in memory costs nothing more:
 * openat2(RESOLVE_CACHED) opens it without the disk, or fails with EAGAIN. */
#include "open_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

struct later {                  /* one path, and the thread's memory */
    struct wr_job job;
    struct wr_open_ctx *ctx;
    struct wr_exchange *x;
    int flags, fd, err;
    bool done;
    char path[];
};

static void later_free(struct wr_job *j)
{
    struct later *w = wr_container(j, struct later, job);

    if (w->fd != -1)
        (void)close(w->fd);
    free(w);
}

static void later_run(struct wr_job *j)
{
    struct later *w = wr_container(j, struct later, job);

    w->fd = open(w->path, w->flags);
    w->err = w->fd == -1 ? errno : 0;
}

static void later_done(struct wr_job *j)
{
    struct later *w = wr_container(j, struct later, job);

    w->done = true;
    w->x->waits--;
    wr_exchange_wake(w->x);
}

static void drop_job(void *arg)
{
    struct wr_open_ctx *ctx = arg;
    struct later *w = ctx->later;

    if (w == NULL)
        return;
    ctx->later = NULL;
    if (!w->done)
        w->x->waits--;
    wr_job_leave(&w->job, later_free);
}

static enum wr_there start_job(struct wr_exchange *x, struct wr_threads *t, const char *path,
                               int flags)
{
    struct wr_open_ctx *ctx = wr_ctx_of(x, &wr_module_open_path);
    size_t n = strlen(path);
    struct later *w = wr_calloc(1, sizeof(*w) + n + 1);

    *w = (struct later){
        .job.run = later_run, .job.done = later_done, .ctx = ctx, .x = x,
        .flags = flags, .fd = -1,
    };
    memcpy(w->path, path, n);
    if (!wr_job_start(t, &w->job)) {
        free(w);
        errno = EAGAIN;
        return WR_NOT_THERE;
    }
    drop_job(ctx); /* drops the job of another path, whose result nobody will ask for */
    ctx->later = w;
    x->waits++;
    if (!ctx->cleanup)
        wr_pool_cleanup(x->pool, drop_job, ctx);
    ctx->cleanup = true;
    return WR_OPENING;
}

/* The job for this path; NULL: none was started. */
static struct later *find_job(const struct wr_exchange *x, const char *path)
{
    const struct wr_open_ctx *ctx = x->ctx != NULL ? x->ctx[wr_module_open_path.index] : NULL;
    struct later *w = ctx != NULL ? ctx->later : NULL;

    return w != NULL && strcmp(w->path, path) == 0 ? w : NULL;
}

static enum wr_there take_result(struct later *w, int *fd)
{
    int err = w->err;

    if (!w->done)
        return WR_OPENING;
    *fd = w->fd;
    w->fd = -1;
    drop_job(w->ctx);
    errno = err;
    return *fd != -1 ? WR_THERE : WR_NOT_THERE;
}

/* Kernels before 5.12 and some system call filters refuse openat2: use open() then. */
static int open_cached(const char *path, int flags)
{
    static bool unknown;
    struct open_how how = { .flags = (unsigned)flags, .resolve = RESOLVE_CACHED };
    int fd;

    if (unknown)
        return open(path, flags);
    if (wr_chaos() && wr_random() % 4 == 0) {
        errno = EAGAIN;
        return -1;
    }
    fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
    if (fd != -1 || (errno != ENOSYS && errno != EINVAL && errno != EPERM))
        return fd;
    unknown = errno != EPERM;
    return open(path, flags);
}

enum wr_there wr_open_later(struct wr_exchange *x, const char *path, int flags, int *fd)
{
    struct wr_threads *t;
    struct later *w = find_job(x, path);

    *fd = -1;
    if (w != NULL)
        return take_result(w, fd);
    if (!wr_http_threads(x, false, &t))
        t = NULL; /* the reader of the file logs the reason */
    *fd = t != NULL ? open_cached(path, flags) : open(path, flags);
    if (*fd == -1 && errno == EAGAIN && t != NULL)
        return start_job(x, t, path, flags);
    return *fd != -1 ? WR_THERE : WR_NOT_THERE;
}
