/* cache_write: see cache_write.h. Owns the list of this process's writes. Bytes are collected until
 * there are enough for a thread, so that a small object is one job with one write. */
#include "cache_write.h"

#include <errno.h>
#include <limits.h>
#include <sys/uio.h>
#include <unistd.h>

#define BATCH 131072           /* bytes that are worth a job */
#define COPIED 2048            /* smaller slices are copied: each would hold a block of 16 KB */
#define PIECES 64              /* slices of one pwritev() */
#define END_MS 500

enum work { APPEND, FINISH, COPY, DROP, REMOVE };

struct wr_cache_write {
    struct wr_job job;
    struct wr_task task;       /* calls done */
    struct wr_link link;
    struct wr_cache_write_how how;
    struct wr_bufq pending;    /* no thread has them yet */
    bool finished;             /* no more bytes will come */
    bool unwanted;             /* it failed or was aborted */
    bool silent;               /* nobody is to be called */
    bool settled;              /* the task is woken */
    bool orphan;               /* the loop has ended */
    /* the thread's while job.busy */
    enum work work;
    struct wr_bufq batch;
    struct wr_cache_temp temp;
    char *before_body, *trailers;
    size_t before_n, trailers_n;
    uint64_t body_n;           /* written */
    uint64_t created_us;       /* of the object to be copied or removed */
    struct wr_cache_failure why; /* call NULL: it failed without a fault, or did not fail */
    bool failed;
    bool placed;               /* the file has its name */
};

static struct wr_link writes = { &writes, &writes };
static uint32_t count;
static size_t held;            /* bytes of all, pending or in a batch */

/* ---- in a thread ---- */

static bool fail_with(struct wr_cache_write *w, const char *call, int err)
{
    w->why = (struct wr_cache_failure){ call, err };
    return false;
}

static bool write_pieces(int fd, struct iovec *v, int n, uint64_t at)
{
    while (n > 0) {
        ssize_t k = pwritev(fd, v, n, (off_t)at);

        if (k < 0 && errno == EINTR)
            continue;
        if (k == 0)
            errno = ENOSPC;
        if (k <= 0)
            return false;
        at += (uint64_t)k;
        for (; n > 0 && (size_t)k >= v->iov_len; n--, v++)
            k -= (ssize_t)v->iov_len;
        if (n > 0) {
            v->iov_base = (char *)v->iov_base + k;
            v->iov_len -= (size_t)k;
        }
    }
    return true;
}

static struct iovec piece_of(const void *p, size_t n)
{
    return (struct iovec){ (void *)(uintptr_t)p, n };
}

/* Writes the batch behind what was written. whole: this is all of the object, in one call. */
static bool write_batch(struct wr_cache_write *w, bool whole)
{
    const struct wr_slice *s = w->batch.head;
    uint64_t at = whole ? 0 : w->before_n + w->body_n;
    struct iovec v[PIECES];
    uint64_t bytes;
    int n = 0;

    if (whole)
        v[n++] = piece_of(w->before_body, w->before_n);
    do {
        for (; s != NULL && n < PIECES - 1; s = s->next)
            if (s->n > 0)
                v[n++] = piece_of(s->p, s->n);
        if (whole && s == NULL && w->trailers_n > 0)
            v[n++] = piece_of(w->trailers, w->trailers_n);
        bytes = 0;
        for (int i = 0; i < n; i++)
            bytes += v[i].iov_len;
        if (!write_pieces(w->temp.fd, v, n, at))
            return fail_with(w, "pwritev()", errno);
        at += bytes;
        n = 0;
    } while (s != NULL);
    w->body_n += w->batch.n;
    return true;
}

static bool open_temp(struct wr_cache_write *w)
{
    return w->temp.fd >= 0 || wr_cache_temp_open(w->how.folder, &w->temp, &w->why);
}

/* The lengths are known only now: the part before the body is written last. */
static bool write_rest(struct wr_cache_write *w)
{
    const uint64_t end = w->before_n + w->body_n;

    wr_cache_seal(w->before_body, w->before_n, w->body_n, (uint32_t)w->trailers_n);
    if (wr_file_write_at(w->temp.fd, wr_str_of(w->trailers, w->trailers_n), end)
        && wr_file_write_at(w->temp.fd, wr_str_of(w->before_body, w->before_n), 0))
        return true;
    return fail_with(w, "pwrite()", errno);
}

static bool finish_file(struct wr_cache_write *w)
{
    bool whole = w->temp.fd < 0;

    if (whole)
        wr_cache_seal(w->before_body, w->before_n, w->batch.n, (uint32_t)w->trailers_n);
    if (!open_temp(w) || !write_batch(w, whole) || (!whole && !write_rest(w)))
        return false;
    w->placed = wr_cache_temp_place(w->how.folder, &w->temp, &w->how.name, &w->why);
    return w->placed;
}

static bool copy_from(struct wr_cache_write *w, int fd, const struct wr_cache_object *o)
{
    if (o->facts.created_us != w->created_us)
        return fail_with(w, NULL, 0); /* another object by now: no fault */
    if (!open_temp(w))
        return false;
    if (!wr_cache_copy(fd, o->body_at, w->temp.fd, w->before_n, o->body_n + o->trailers_n))
        return fail_with(w, "copy_file_range()", errno);
    wr_cache_seal(w->before_body, w->before_n, o->body_n, o->trailers_n);
    w->body_n = o->body_n;
    w->trailers_n = o->trailers_n;
    if (!wr_file_write_at(w->temp.fd, wr_str_of(w->before_body, w->before_n), 0))
        return fail_with(w, "pwrite()", errno);
    w->placed = wr_cache_temp_place(w->how.folder, &w->temp, &w->how.name, &w->why);
    return w->placed;
}

static bool copy_file(struct wr_cache_write *w)
{
    int fd = wr_cache_file_open(w->how.folder, &w->how.name, false);
    struct wr_cache_head h = { 0 };
    bool ok;

    if (fd < 0)
        return fail_with(w, errno == ENOENT ? NULL : "open()", errno);
    if (!wr_cache_head_read(fd, false, &h))
        ok = fail_with(w, "pread()", errno);
    else if (h.is != WR_CACHE_WHOLE)
        ok = fail_with(w, NULL, 0);
    else
        ok = copy_from(w, fd, &h.object);
    free(h.bytes);
    (void)close(fd);
    return ok;
}

static bool remove_file(struct wr_cache_write *w)
{
    return wr_cache_file_remove(w->how.folder, &w->how.name, w->created_us, &w->why)
        != WR_CACHE_NOT_REMOVED;
}

static void write_run(struct wr_job *j)
{
    struct wr_cache_write *w = wr_container(j, struct wr_cache_write, job);
    bool ok = true;

    switch (w->work) {
    case APPEND:
        ok = open_temp(w) && write_batch(w, false);
        break;
    case FINISH:
        ok = finish_file(w);
        break;
    case COPY:
        ok = copy_file(w);
        break;
    case REMOVE:
        ok = remove_file(w);
        break;
    case DROP:
        ok = false;
        break;
    }
    if (!ok)
        wr_cache_temp_drop(w->how.folder, &w->temp);
    w->failed = !ok;
}

/* ---- in the loop ---- */

static void drop_bytes(struct wr_bufq *q)
{
    held -= q->n;
    wr_bufq_clear(q);
}

static void free_write(struct wr_cache_write *w)
{
    drop_bytes(&w->pending);
    drop_bytes(&w->batch);
    wr_cache_temp_drop(w->how.folder, &w->temp);
    wr_task_cancel(&w->task);
    wr_list_remove(&w->link);
    count--;
    free(w->before_body);
    free(w->trailers);
    free(w);
}

static void tell_and_free(struct wr_cache_write *w)
{
    const struct wr_cache_written r = {
        .stored = w->placed, .body_n = w->body_n,
        .size = w->before_n + w->body_n + w->trailers_n,
    };

    if (!w->silent)
        w->how.done(w->how.arg, &r);
    free_write(w);
}

static void write_over(struct wr_task *t)
{
    tell_and_free(wr_container(t, struct wr_cache_write, task));
}

/* No thread works for it any more, and its temporary file is closed. */
static void settle_write(struct wr_cache_write *w)
{
    if (w->silent) {
        free_write(w);
        return;
    }
    w->settled = true;
    wr_task_wake(w->how.loop, &w->task);
}

static void start_work(struct wr_cache_write *w, enum work work)
{
    w->work = work;
    wr_bufq_move(&w->batch, &w->pending, w->pending.n);
    if (wr_job_start(w->how.threads, &w->job))
        return;
    w->unwanted = true; /* the reason was logged */
    drop_bytes(&w->batch);
    wr_cache_temp_drop(w->how.folder, &w->temp);
    settle_write(w);
}

/* Decides what is next. May free a silent w. */
static void go_on(struct wr_cache_write *w)
{
    if (w->job.busy || w->settled)
        return;
    if (w->unwanted)
        drop_bytes(&w->pending);
    if (w->unwanted && w->temp.fd >= 0)
        start_work(w, DROP);
    else if (w->unwanted || w->placed)
        settle_write(w);
    else if (w->finished)
        start_work(w, w->created_us != 0 ? COPY : FINISH);
    else if (w->pending.n >= BATCH)
        start_work(w, APPEND);
}

static void note_result(struct wr_cache_write *w)
{
    drop_bytes(&w->batch);
    if (w->failed)
        w->unwanted = true;
    if (w->why.call != NULL)
        wr_cache_folder_failed(w->how.folder, &w->why);
    w->why.call = NULL;
}

static void work_here(struct wr_cache_write *w, enum work work)
{
    w->work = work;
    write_run(&w->job);
    note_result(w);
}

static uint64_t end_ms;        /* when the end of the process may wait no longer */

/* At the end of the process: no job runs for it. */
static void end_write(struct wr_cache_write *w)
{
    wr_clock_update();
    if (w->batch.n > 0 || w->work == REMOVE)
        work_here(w, w->work);
    if (w->finished && !w->unwanted && !w->placed && wr_now() < end_ms) {
        wr_bufq_move(&w->batch, &w->pending, w->pending.n);
        work_here(w, w->created_us != 0 ? COPY : FINISH);
    }
    w->silent = w->silent || !w->placed;
    tell_and_free(w);
}

static void write_done(struct wr_job *j)
{
    struct wr_cache_write *w = wr_container(j, struct wr_cache_write, job);

    note_result(w);
    if (w->work == REMOVE)
        free_write(w);
    else if (w->orphan)
        end_write(w);
    else
        go_on(w);
}

/* ---- for callers ---- */

static struct wr_cache_write *new_write(const struct wr_cache_write_how *how, struct wr_str before)
{
    struct wr_cache_write *w = wr_calloc(1, sizeof(*w));

    w->how = *how;
    w->job.run = write_run;
    w->job.done = write_done;
    w->task.run = write_over;
    w->temp.fd = -1;
    w->before_body = wr_malloc(wr_max(before.n, (size_t)1));
    w->before_n = before.n;
    if (before.n > 0)
        memcpy(w->before_body, before.p, before.n);
    wr_list_push(&writes, &w->link);
    count++;
    return w;
}

struct wr_cache_write *wr_cache_write_new(const struct wr_cache_write_how *how,
                                          struct wr_str before_body)
{
    WR_ASSERT(how->threads != NULL && before_body.n >= WR_CACHE_FIXED);
    return new_write(how, before_body);
}

static void add_slice(struct wr_bufq *to, const struct wr_slice *s)
{
    struct wr_slice own = *s;
    struct wr_bufq one = { &own, &own, s->n };

    WR_ASSERT(s->p != NULL);
    own.next = NULL;
    if (s->block == NULL || s->n < COPIED)
        wr_bufq_copy(to, s->p, s->n);
    else
        wr_bufq_tee(to, &one);
}

static bool is_too_slow(const struct wr_cache_write *w, size_t more)
{
    return more > WR_CACHE_PENDING_MAX - wr_min(w->pending.n, (size_t)WR_CACHE_PENDING_MAX)
        || more > WR_CACHE_PENDING_ALL - wr_min(held, (size_t)WR_CACHE_PENDING_ALL);
}

bool wr_cache_write_add(struct wr_cache_write *w, const struct wr_bufq *q)
{
    WR_ASSERT(!w->finished);
    if (w->unwanted)
        return false;
    if (is_too_slow(w, q->n)) {
        w->unwanted = true;
        wr_cache_folder_failed(w->how.folder, &(struct wr_cache_failure){ "writing in time", 0 });
    }
    for (const struct wr_slice *s = q->head; s != NULL && !w->unwanted; s = s->next)
        if (s->n > 0)
            add_slice(&w->pending, s);
    if (!w->unwanted)
        held += q->n;
    go_on(w);
    return !w->unwanted;
}

size_t wr_cache_write_pending(const struct wr_cache_write *w)
{
    return w->pending.n;
}

void wr_cache_write_finish(struct wr_cache_write *w, struct wr_str trailers)
{
    WR_ASSERT(!w->finished && trailers.n <= WR_CACHE_TRAILERS_MAX);
    w->finished = true;
    if (trailers.n > 0) {
        w->trailers = wr_malloc(trailers.n);
        w->trailers_n = trailers.n;
        memcpy(w->trailers, trailers.p, trailers.n);
    }
    go_on(w);
}

void wr_cache_write_abort(struct wr_cache_write *w)
{
    w->unwanted = w->silent = true;
    if (w->settled)
        free_write(w);
    else
        go_on(w);
}

void wr_cache_refresh(const struct wr_cache_write_how *how, struct wr_str before_body,
                      uint64_t created_us)
{
    struct wr_cache_write *w = new_write(how, before_body);

    WR_ASSERT(created_us != 0);
    w->created_us = created_us;
    w->finished = true;
    go_on(w);
}

void wr_cache_remove_later(struct wr_cache_folder *f, struct wr_threads *t,
                           const struct wr_cache_name *name, uint64_t created_us)
{
    const struct wr_cache_write_how how = { .folder = f, .threads = t, .name = *name };
    struct wr_cache_write *w = new_write(&how, wr_str_of(NULL, 0));

    w->silent = true;
    w->created_us = created_us;
    if (t != NULL) {
        start_work(w, REMOVE);
        return;
    }
    work_here(w, REMOVE);
    free_write(w);
}

void wr_cache_writes_end(void)
{
    struct wr_link *next;

    wr_clock_update();
    end_ms = wr_now() + END_MS;
    for (struct wr_link *l = writes.next; l != &writes; l = next) {
        struct wr_cache_write *w = wr_container(l, struct wr_cache_write, link);

        next = l->next;
        w->orphan = true;
        if (wr_job_cancel(&w->job))
            end_write(w);
    }
}

uint32_t wr_cache_writes(void)
{
    return count;
}
