/* spill: what a slow receiver has not taken yet, in a temp file without a name, so that the sender
 * can be let go. The relay writes behind and reads in front; once all is read it begins again at 0.
 * Lives in the exchange's pool; the file is closed with it. With aio_write a thread writes, one
 * piece after the other. */
#include "exchange/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct wr_spill_write {       /* a piece on its way to the disk, and the thread's memory */
    struct wr_job job;
    struct wr_spill *spill;   /* NULL: has left, the job frees itself */
    struct wr_opened *file;   /* a use of its own */
    uint64_t at;
    size_t n;
    int err;
    char data[];
};

static void write_free(struct wr_spill_write *w)
{
    wr_opened_drop(w->file);
    free(w);
}

static void close_file(void *arg)
{
    struct wr_spill *s = arg;

    if (s->writing != NULL && wr_job_cancel(&s->writing->job))
        write_free(s->writing);
    else if (s->writing != NULL)
        s->writing->spill = NULL;
    s->writing = NULL;
    wr_reader_end(&s->reader);
}

struct wr_spill *wr_spill_new(struct wr_pool *pool, const char *folder, uint64_t max,
                              struct wr_threads *threads)
{
    struct wr_spill *s = WR_NEW(pool, struct wr_spill);

    s->pool = pool;
    s->folder = folder;
    s->max = max;
    s->threads = threads;
    s->fd = -1;
    return s;
}

static bool open_file(struct wr_spill *s)
{
    s->fd = open(s->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd < 0) {
        wr_say(WR_LOG_CRIT, errno, "open() \"%s\" failed", s->folder);
        s->max = 0;
        return false;
    }
    wr_reader_init(&s->reader, wr_opened_new(s->fd, s->folder), s->threads);
    wr_pool_cleanup(s->pool, close_file, s);
    return true;
}

void wr_spill_by_threads(struct wr_spill *s, struct wr_threads *t, struct wr_loop *l,
                         struct wr_task *task)
{
    s->writers = t;
    s->loop = l;
    s->task = task;
}

size_t wr_spill_room(const struct wr_spill *s)
{
    if (s == NULL || s->in >= s->max || s->writing != NULL)
        return 0;
    return (size_t)wr_min(s->max - s->in, (uint64_t)1 << 20);
}

/* 0, or errno. In the loop or in a thread. */
static int write_all(int fd, const char *p, size_t n, uint64_t at)
{
    while (n > 0) {
        ssize_t r = pwrite(fd, p, n, (off_t)at);

        if (r < 0 && errno != EINTR)
            return errno;
        if (r > 0) {
            p += r;
            n -= (size_t)r;
            at += (uint64_t)r;
        }
    }
    return 0;
}

static void written(struct wr_spill *s, size_t n, int err)
{
    if (err == 0) {
        s->in += n;
        return;
    }
    wr_say(WR_LOG_CRIT, err, "pwrite() to a temporary file in \"%s\" failed", s->folder);
    s->failed = true;
}

static void write_run(struct wr_job *j)
{
    struct wr_spill_write *w = wr_container(j, struct wr_spill_write, job);

    w->err = write_all(w->file->fd, w->data, w->n, w->at);
}

static void write_done(struct wr_job *j)
{
    struct wr_spill_write *w = wr_container(j, struct wr_spill_write, job);
    struct wr_spill *s = w->spill;

    if (s != NULL) {
        s->writing = NULL;
        written(s, w->n, w->err);
        wr_task_wake(s->loop, s->task);
    }
    write_free(w);
}

static bool hand_over(struct wr_spill *s, const void *p, size_t n)
{
    struct wr_spill_write *w = wr_malloc(sizeof(*w) + n);

    *w = (struct wr_spill_write){
        .job.run = write_run, .job.done = write_done, .spill = s,
        .file = wr_opened_use(s->reader.file), .at = s->in, .n = n,
    };
    memcpy(w->data, p, n);
    if (wr_job_start(s->writers, &w->job)) {
        s->writing = w;
        return true;
    }
    write_free(w); /* why, was logged */
    s->failed = true;
    return false;
}

bool wr_spill_put(struct wr_spill *s, const void *p, size_t n)
{
    WR_ASSERT(s->writing == NULL);
    if (s->fd < 0 && !open_file(s))
        return false;
    if (s->writers != NULL)
        return hand_over(s, p, n);
    written(s, n, write_all(s->fd, p, n, s->in));
    return !s->failed;
}

bool wr_spill_get(struct wr_spill *s, struct wr_bufq *q)
{
    if (s == NULL || s->out == s->in)
        return false;
    wr_bufq_file(q, &s->reader, (off_t)s->out, (size_t)(s->in - s->out));
    s->out = s->in;
    return true;
}

void wr_spill_drained(struct wr_spill *s)
{
    if (s != NULL && s->out == s->in)
        s->in = s->out = 0;
}
