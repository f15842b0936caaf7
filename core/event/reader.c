/* Files on their way out. A connection asks the reader of a slice before it touches the file: warm
 * data (in the page cache) goes out by sendfile, cold data is first read by a thread. Files read
 * with O_DIRECT never enter the page cache: their bytes wait in a buffer of the reader.
 *
 * A chunk counts as warm when its first and its last page are in the page cache: pages read in
 * order are also evicted in order. Checking every page would cost as much as sending them. */
#include "event/event_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define KNOWN_CHUNKS 8        /* at most this many known warm chunks go out by one call */
#define SINK 65536

struct wr_file_fetch {             /* one read, and the thread's memory while it runs */
    struct wr_job job;
    struct wr_opened *file;     /* with a use of its own */
    struct wr_reader *reader;
    struct wr_loop *loop;
    struct wr_task *task;     /* woken when it is done */
    uint64_t at, asked;       /* asked: the offset before it was aligned */
    size_t n, ahead;
    char *buf;                /* of direct reads, aligned */
    size_t got;
    int err;
};

/* ---- files ---- */

struct wr_opened *wr_opened_new(int fd, const char *name)
{
    size_t n = strlen(name);
    struct wr_opened *f = wr_calloc(1, sizeof(*f) + n + 1);

    f->fd = fd;
    f->uses = 1;
    memcpy(f->name, name, n);
    return f;
}

void wr_opened_facts(struct wr_opened *f, const struct stat *st)
{
    const uint64_t facts[] = {
        (uint64_t)st->st_dev, (uint64_t)st->st_ino, (uint64_t)st->st_size,
        (uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec,
    };

    f->size = (uint64_t)st->st_size;
    f->id = wr_hash(wr_str_of((const char *)facts, sizeof(facts)));
}

struct wr_opened *wr_opened_use(struct wr_opened *f)
{
    f->uses++;
    return f;
}

void wr_opened_drop(struct wr_opened *f)
{
    if (f == NULL || --f->uses > 0)
        return;
    (void)close(f->fd);
    free(f);
}

/* ---- in a thread ---- */

/* Reads the range to get it into the page cache and discards the bytes. Meanwhile readahead fetches
 * the data that follows. */
static ssize_t warm_up(const struct wr_file_fetch *f)
{
    char *sink = malloc(SINK);
    size_t done = 0;
    ssize_t r = 1;

    if (sink == NULL)
        return -1;
    (void)readahead(f->file->fd, (off64_t)f->at, f->n + f->ahead);
    while (done < f->n && r > 0) {
        r = pread(f->file->fd, sink, wr_min(f->n - done, (size_t)SINK), (off_t)(f->at + done));
        if (r > 0)
            done += (size_t)r;
    }
    free(sink);
    return r < 0 ? -1 : (ssize_t)done;
}

static void fetch_run(struct wr_job *j)
{
    struct wr_file_fetch *f = wr_container(j, struct wr_file_fetch, job);
    ssize_t r = f->buf != NULL ? pread(f->file->fd, f->buf, f->n, (off_t)f->at) : warm_up(f);

    f->err = r < 0 ? errno : 0;
    f->got = r < 0 ? 0 : (size_t)r;
}

/* ---- in the loop ---- */

static void fetch_free(struct wr_job *j)
{
    struct wr_file_fetch *f = wr_container(j, struct wr_file_fetch, job);

    wr_opened_drop(f->file);
    free(f->buf);
    free(f);
}

static bool is_whole_chunk(const struct wr_opened *f, uint64_t at, size_t n)
{
    return at % WR_FILE_CHUNK == 0 && (n == WR_FILE_CHUNK || at + n == f->size);
}

static void note_warm(struct wr_reader *r, uint64_t at, size_t n)
{
    if (at != r->warm_end)
        r->warm = at;
    r->warm_end = at + n;
    if (is_whole_chunk(r->file, at, n))
        wr_warm_note(r->file->id, at);
}

/* Some file systems refuse direct reading, or the alignment: read without `directio`. */
static void leave_direct(struct wr_reader *r, struct wr_file_fetch *f)
{
    int flags = fcntl(f->file->fd, F_GETFL);

    wr_say(WR_LOG_WARN, f->err, "direct reading of \"%s\" failed, the page cache is used",
           f->file->name);
    (void)fcntl(f->file->fd, F_SETFL, flags & ~O_DIRECT);
    f->file->direct = false;
    r->direct = 0;
    free(f->buf);
    f->buf = NULL;
    f->err = 0;
}

static void note_fetched(struct wr_reader *r, struct wr_file_fetch *f)
{
    if (f->err == EINVAL && f->buf != NULL)
        leave_direct(r, f);
    else if (f->err != 0)
        wr_say(WR_LOG_CRIT, f->err, "pread() \"%s\" failed", f->file->name);
    else if (f->buf == NULL)
        note_warm(r, f->at, f->n);
    r->failed |= f->err != 0;
}

static void fetch_done(struct wr_job *j)
{
    struct wr_file_fetch *f = wr_container(j, struct wr_file_fetch, job);

    note_fetched(f->reader, f);
    wr_task_wake(f->loop, f->task);
}

void wr_reader_init(struct wr_reader *r, struct wr_opened *f, struct wr_threads *t)
{
    *r = (struct wr_reader){ .file = f, .threads = t };
}

void wr_reader_direct(struct wr_reader *r, size_t size, size_t align)
{
    r->align = wr_max(align, (size_t)512);
    r->direct = (size + r->align - 1) / r->align * r->align;
}

void wr_reader_end(struct wr_reader *r)
{
    if (r->fetch != NULL)
        wr_job_leave(&r->fetch->job, fetch_free);
    wr_opened_drop(r->file);
    *r = (struct wr_reader){ 0 };
}

static struct wr_file_fetch *fetch_of(struct wr_reader *r)
{
    struct wr_file_fetch *f = r->fetch;

    if (f == NULL) {
        f = r->fetch = wr_calloc(1, sizeof(*f));
        f->job.run = fetch_run;
        f->job.done = fetch_done;
        f->file = wr_opened_use(r->file);
        f->reader = r;
    }
    return f;
}

static enum wr_at_hand start_fetch(struct wr_reader *r, struct wr_wanted *w)
{
    struct wr_file_fetch *f = r->fetch;

    f->err = 0;
    f->got = 0;
    f->loop = w->loop;
    f->task = w->task;
    if (r->threads == NULL) { /* aio off: the worker reads, and waits */
        fetch_run(&f->job);
        note_fetched(r, f);
        return WR_LOOK_AGAIN;
    }
    if (wr_job_start(r->threads, &f->job))
        return WR_NOT_YET;
    w->err = 0; /* was logged */
    return WR_NEVER;
}

/* Returns the end of the warm chunks remembered from `at` on. */
static uint64_t known_until(const struct wr_opened *f, uint64_t at, size_t n)
{
    uint64_t end = at;

    for (int i = 0; i < KNOWN_CHUNKS && end < at + n && wr_warm_known(f->id, end); i++)
        end = (end / WR_FILE_CHUNK + 1) * WR_FILE_CHUNK;
    return end;
}

/* Is the chunk at `at`, or its rest, warm? Asks the kernel. */
static bool is_chunk_warm(struct wr_reader *r, uint64_t at, size_t n)
{
    int fd = r->file->fd;
    bool goes_on = r->warm < r->warm_end && at == r->warm_end;

    if (!goes_on && !wr_warm_byte(fd, (off_t)at))
        return false;
    if (!wr_warm_byte(fd, (off_t)(at + n - 1)))
        return false;
    note_warm(r, at, n);
    return true;
}

static enum wr_at_hand ask_cache(struct wr_reader *r, uint64_t at, struct wr_wanted *w)
{
    uint64_t end = at;
    struct wr_file_fetch *f;

    if (r->threads == NULL)
        return WR_AT_HAND;
    if (at >= r->warm && at < r->warm_end)
        end = r->warm_end;
    else
        end = known_until(r->file, at, w->n);
    if (end > at) {
        w->n = (size_t)wr_min((uint64_t)w->n, end - at);
        return WR_AT_HAND;
    }
    w->n = (size_t)wr_min((uint64_t)w->n, WR_FILE_CHUNK - at % WR_FILE_CHUNK);
    if (is_chunk_warm(r, at, w->n))
        return WR_AT_HAND;
    f = fetch_of(r);
    f->at = at;
    f->n = w->n;
    f->ahead = wr_min(w->left - w->n, (size_t)WR_FILE_CHUNK);
    return start_fetch(r, w);
}

static void make_buffer(struct wr_reader *r, struct wr_file_fetch *f)
{
    void *p;

    if (f->buf != NULL)
        return;
    if (posix_memalign(&p, wr_max(r->align, (size_t)4096), r->direct) != 0)
        wr_out_of_memory(r->direct);
    f->buf = p;
}

/* Gives the bytes in the buffer, or else reads the aligned range around `at`. */
static enum wr_at_hand ask_directly(struct wr_reader *r, uint64_t at, struct wr_wanted *w)
{
    struct wr_file_fetch *f = fetch_of(r);
    uint64_t from = at / r->align * r->align;

    if (at >= f->at && at < f->at + f->got) {
        w->p = f->buf + (at - f->at);
        w->n = (size_t)wr_min((uint64_t)w->n, f->at + f->got - at);
        return WR_AT_HAND;
    }
    if (f->buf != NULL && f->asked == at) { /* that range was read, and the file ends before `at` */
        w->err = EIO;
        return WR_NEVER;
    }
    make_buffer(r, f);
    f->asked = at;
    f->at = from;
    f->n = wr_min(r->direct, (size_t)(at - from + w->left + r->align - 1) / r->align * r->align);
    return start_fetch(r, w);
}

static enum wr_at_hand ask_once(struct wr_reader *r, uint64_t at, struct wr_wanted *w)
{
    struct wr_file_fetch *f = r->fetch;

    if (f != NULL && f->job.busy) {
        f->task = w->task;
        return WR_NOT_YET;
    }
    if (f != NULL && f->err != 0) {
        w->err = f->err;
        return WR_NEVER;
    }
    return r->direct > 0 ? ask_directly(r, at, w) : ask_cache(r, at, w);
}

enum wr_at_hand wr_reader_ask(struct wr_reader *r, uint64_t at, struct wr_wanted *w)
{
    enum wr_at_hand h;

    w->p = NULL;
    do {
        h = ask_once(r, at, w);
    } while (h == WR_LOOK_AGAIN);
    return h;
}

/* For a file that fits into a block: one preadv2 both checks that it is warm and reads it. */
bool wr_reader_take(struct wr_reader *r, void *p, size_t n, uint64_t at)
{
    struct iovec v = { p, n };
    bool may_wait = r->threads == NULL || wr_warm_known(r->file->id, at);

    if (r->direct > 0 || (!may_wait && wr_chaos() && wr_random() % 4 == 0))
        return false;
    return preadv2(r->file->fd, &v, 1, (off_t)at, may_wait ? 0 : RWF_NOWAIT) == (ssize_t)n;
}

enum wr_io wr_reader_read(const struct wr_slice *s, const struct wr_waiter *who, void *p, size_t n,
                          size_t *got)
{
    struct wr_reader *r = s->file;
    struct wr_wanted w = {
        .loop = who->loop, .task = who->task, .n = wr_min(n, s->n), .left = s->n,
    };
    ssize_t k;

    *got = 0;
    switch (wr_reader_ask(r, (uint64_t)s->at, &w)) {
    case WR_NOT_YET:
        return WR_IO_AGAIN;
    case WR_AT_HAND:
        break;
    default: /* it cannot be read, or it has become shorter */
        if (w.err != 0)
            wr_say(WR_LOG_CRIT, w.err, "reading \"%s\" failed", r->file->name);
        return WR_IO_ERROR;
    }
    if (w.p != NULL) {
        memcpy(p, w.p, w.n);
        *got = w.n;
        return WR_IO_OK;
    }
    k = pread(r->file->fd, p, w.n, s->at);
    if (k <= 0) {
        r->failed = true;
        wr_say(WR_LOG_CRIT, k < 0 ? errno : EIO, "pread() \"%s\" failed", r->file->name);
        return WR_IO_ERROR;
    }
    *got = (size_t)k;
    return WR_IO_OK;
}
