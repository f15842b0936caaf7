/* temp: files for data too large for memory: request bodies, replies a slow client has not taken.
 * They have no name, so that a crash leaves no file behind, until a caller asks for one. Data is
 * appended, by a thread if the owner wants that, and read by the reader. A pool owns them: they end
 * with it. */
#include "relay/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct wr_temp_write {        /* a piece being written, and the thread's memory */
    struct wr_job job;
    struct wr_temp *temp;
    struct wr_opened *file;   /* with a use of its own */
    uint64_t at;
    size_t n;
    int err;
    char data[];
};

static void write_free(struct wr_job *j)
{
    struct wr_temp_write *w = wr_container(j, struct wr_temp_write, job);

    wr_opened_drop(w->file);
    free(w);
}

static void close_file(void *arg)
{
    struct wr_temp *t = arg;

    if (t->writing != NULL)
        wr_job_leave(&t->writing->job, write_free);
    t->writing = NULL;
    wr_reader_end(&t->reader);
}

static bool open_file(struct wr_temp *t)
{
    int fd = open(t->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0) {
        wr_log(t->log, WR_LOG_CRIT, errno, t->source, "open() \"%s\" failed", t->folder);
        t->failed = true;
        return false;
    }
    wr_reader_init(&t->reader, wr_opened_new(fd, t->folder), t->readers);
    wr_pool_cleanup(t->pool, close_file, t);
    return true;
}

/* Returns 0 or errno. Runs in the loop or in a thread. */
static int write_piece(const struct wr_opened *f, const void *p, size_t n, uint64_t at)
{
    return wr_file_write_at(f->fd, wr_str_of(p, n), at) ? 0 : errno;
}

static void note_written(struct wr_temp *t, size_t n, int err)
{
    if (err == 0) {
        t->size += n;
        return;
    }
    wr_log(t->log, WR_LOG_CRIT, err, t->source, "pwrite() to a temporary file in \"%s\" failed",
           t->folder);
    t->failed = true;
}

static void write_run(struct wr_job *j)
{
    struct wr_temp_write *w = wr_container(j, struct wr_temp_write, job);

    w->err = write_piece(w->file, w->data, w->n, w->at);
}

static void write_done(struct wr_job *j)
{
    struct wr_temp_write *w = wr_container(j, struct wr_temp_write, job);
    struct wr_temp *t = w->temp;

    t->writing = NULL;
    note_written(t, w->n, w->err);
    wr_task_wake(t->who.loop, t->who.task);
    write_free(j);
}

static bool hand_over(struct wr_temp *t, const void *p, size_t n)
{
    struct wr_temp_write *w = wr_malloc(sizeof(*w) + n);

    *w = (struct wr_temp_write){
        .job.run = write_run, .job.done = write_done, .temp = t,
        .file = wr_opened_use(t->reader.file), .at = t->size, .n = n,
    };
    memcpy(w->data, p, n);
    if (wr_job_start(t->writers, &w->job)) {
        t->writing = w;
        return true;
    }
    write_free(&w->job); /* the reason was logged */
    t->failed = true;
    return false;
}

bool wr_temp_append(struct wr_temp *t, const void *p, size_t n)
{
    WR_ASSERT(t->writing == NULL);
    if (t->reader.file == NULL && !open_file(t))
        return false;
    if (t->writers != NULL)
        return hand_over(t, p, n);
    note_written(t, n, write_piece(t->reader.file, p, n, t->size));
    return !t->failed;
}

/* ---- names ---- */

static void remove_name(void *arg)
{
    (void)unlink(arg);
}

/* "FOLDER/7/56/0123456756": the last digits of the name are the names of the folders. */
static const char *new_name(const struct wr_temp *t, const uint32_t levels[static 3])
{
    static uint32_t count;
    char digits[16];
    struct wr_text text = wr_text_grow(t->pool, 128, 4096);
    size_t end = 10;
    const char *path;

    (void)snprintf(digits, sizeof(digits), "%010u", (unsigned)(wr_random() + count++) % 1000000000);
    wr_text_c(&text, t->folder);
    for (size_t i = 0; i < 3 && levels[i] > 0; i++) {
        size_t n = wr_min((size_t)levels[i], end);

        end -= n;
        wr_text_char(&text, '/');
        wr_text_str(&text, wr_str_of(digits + end, n));
        if (!wr_text_cstr(&text, &path) || !wr_mkdirs(path, 0700))
            return NULL;
    }
    wr_text_char(&text, '/');
    wr_text_c(&text, digits);
    return wr_text_cstr(&text, &path) ? path : NULL;
}

const char *wr_temp_name(struct wr_temp *t, const uint32_t levels[static 3], bool stays)
{
    char fd[32];

    if (t->path != NULL || t->reader.file == NULL)
        return t->path;
    (void)snprintf(fd, sizeof(fd), "/proc/self/fd/%d", t->reader.file->fd);
    for (int i = 0; i < 3 && t->path == NULL; i++) {
        const char *path = new_name(t, levels);

        if (path != NULL && linkat(AT_FDCWD, fd, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0)
            t->path = path;
    }
    if (t->path == NULL)
        wr_log(t->log, WR_LOG_CRIT, errno, t->source, "linkat() into \"%s\" failed", t->folder);
    else if (!stays)
        wr_pool_cleanup(t->pool, remove_name, (void *)(uintptr_t)t->path);
    return t->path;
}
