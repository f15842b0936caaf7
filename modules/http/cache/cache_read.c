/* cache_read: see cache_read.h. */
#include "cache_read.h"

#include "cache_write.h"

#include <errno.h>
#include <unistd.h>

struct wr_cache_job {          /* one look, and the thread's memory */
    struct wr_job job;
    struct wr_cache_read *read;
    struct wr_cache_folder *folder;
    struct wr_cache_name name;
    int fd;                    /* -1: there is no file, or it failed */
    int err;                   /* 0: fd, or there is no file */
    struct wr_cache_head head;
};

/* Opens and reads. False with errno: EAGAIN if that would wait and `warm` forbids it, ENOENT. */
static bool look_at(struct wr_cache_job *j, bool warm)
{
    j->fd = wr_cache_file_open(j->folder, &j->name, warm);
    if (j->fd < 0)
        return false;
    if (wr_cache_head_read(j->fd, warm && !j->folder->in_memory, &j->head))
        return true;
    j->err = errno;
    free(j->head.bytes);
    j->head.bytes = NULL;
    (void)close(j->fd);
    j->fd = -1;
    errno = j->err;
    return false;
}

/* A path without a file. Links and folders in its place are not ours: they count as that, too. */
static bool is_absent(int err)
{
    return err == ENOENT || err == ENOTDIR || err == ELOOP || err == EINVAL;
}

static void job_run(struct wr_job *job)
{
    struct wr_cache_job *j = wr_container(job, struct wr_cache_job, job);

    j->err = look_at(j, false) || is_absent(errno) ? 0 : errno;
}

static void job_free(struct wr_job *job)
{
    struct wr_cache_job *j = wr_container(job, struct wr_cache_job, job);

    if (j->fd >= 0)
        (void)close(j->fd);
    free(j->head.bytes);
    free(j);
}

static void job_done(struct wr_job *job)
{
    struct wr_cache_job *j = wr_container(job, struct wr_cache_job, job);

    wr_task_wake(j->read->who.loop, j->read->who.task);
}

static void end_read(void *arg)
{
    struct wr_cache_read *r = arg;

    r->failed = r->opened && r->reader.failed;
    if (r->opened)
        wr_reader_end(&r->reader);
    if (r->job != NULL)
        wr_job_leave(&r->job->job, job_free);
    r->job = NULL;
}

static void take_file(struct wr_cache_read *r, struct wr_cache_job *j)
{
    struct wr_opened *file = wr_opened_new(j->fd, r->folder->path);

    j->fd = -1;
    file->size = j->head.size;
    file->id = j->head.object.facts.created_us ^ wr_hash(r->key); /* the file never changes */
    r->object = j->head.object;
    r->size = j->head.size;
    r->at_hand = wr_str_of(j->head.bytes + r->object.body_at, j->head.n - r->object.body_at);
    r->at_hand.n = (size_t)wr_min((uint64_t)r->at_hand.n, r->object.body_n);
    wr_reader_init(&r->reader, file, r->folder->in_memory ? NULL : r->threads);
    r->opened = true;
}

static enum wr_cache_found judge_file(struct wr_cache_read *r, struct wr_cache_job *j)
{
    if (j->fd < 0 || j->head.is == WR_CACHE_FOREIGN || j->head.is == WR_CACHE_OTHER_FORMAT)
        return WR_CACHE_NOT_FOUND;
    if (j->head.is != WR_CACHE_WHOLE) {
        wr_cache_remove_later(r->folder, r->threads, &r->name, 0);
        return WR_CACHE_WAS_BROKEN;
    }
    if (!wr_str_eq(j->head.object.key, r->key))
        return WR_CACHE_NOT_FOUND;
    take_file(r, j);
    return WR_CACHE_FOUND;
}

/* The job is done, or the look was made here. Its memory stays for the views of the object. */
static enum wr_cache_found take_result(struct wr_cache_read *r)
{
    struct wr_cache_job *j = r->job;

    if (j->err == 0)
        return judge_file(r, j);
    wr_cache_folder_failed(r->folder, &(struct wr_cache_failure){ "open()", j->err });
    return WR_CACHE_UNREADABLE;
}

static enum wr_cache_found start_job(struct wr_cache_read *r)
{
    if (wr_job_start(r->threads, &r->job->job))
        return WR_CACHE_OPENING;
    r->job->err = EAGAIN;
    return WR_CACHE_UNREADABLE;
}

static enum wr_cache_found look_here(struct wr_cache_read *r)
{
    const bool warm = r->threads != NULL;

    if (!look_at(r->job, warm) && warm && errno == EAGAIN) {
        r->job->err = 0;
        return start_job(r);
    }
    r->job->err = r->job->fd >= 0 || is_absent(errno) ? 0 : errno;
    return take_result(r);
}

enum wr_cache_found wr_cache_read_ask(struct wr_cache_read *r)
{
    if (r->opened)
        return WR_CACHE_FOUND;
    if (r->job != NULL)
        return r->job->job.busy ? WR_CACHE_OPENING : take_result(r);
    r->job = wr_calloc(1, sizeof(*r->job));
    *r->job = (struct wr_cache_job){
        .job.run = job_run, .job.done = job_done, .read = r, .folder = r->folder,
        .name = r->name, .fd = -1,
    };
    wr_pool_cleanup(r->pool, end_read, r);
    return look_here(r);
}
