/* access_log_file: a file with a buffer, as a kind of log sink, so that SIGUSR1 reopens it.
 * access_log_target.c opens it, and again at each reload; access_log.c writes. Each worker has a
 * buffer of its own; files are opened for append and get whole lines, so lines never mix.
 *
 * Without buffer= the lines of one turn are collected in a block of the loop and written before the
 * loop sleeps. */
#include "access_log_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#define LONGEST_WAIT_MS 1000

struct log_file {
    uint32_t magic;
    struct wr_link link;         /* of all in this process */
    struct wr_link dirty;        /* to be written before the loop sleeps */
    struct wr_sink *sink;
    struct wr_log_file_opts o;
    struct wr_block *block;      /* without buffer=: while lines wait */
    char *p;
    size_t n, cap;
    struct wr_timer timer;
    struct wr_task task;
    bool full;                   /* the disk */
    char path[];
};

static struct wr_link all = { &all, &all };
static struct wr_link dirty = { &dirty, &dirty };
static struct wr_loop *loop;     /* NULL in the master: nothing waits */

/* ---- writing ---- */

void wr_log_write(int fd, const char *name, struct wr_str text, uint64_t *quiet_until, bool *full)
{
    bool quiet = wr_clock.wall_ms < *quiet_until;
    int err;

    /* On a full disk every write is slow, and the loop must not wait for it each time. */
    if (fd < 0 || (quiet && *full))
        return;
    err = wr_file_write_all(fd, text) ? 0 : errno;
    *full = err == ENOSPC;
    if (err == 0 || quiet)
        return;
    *quiet_until = wr_clock.wall_ms + 1000;
    wr_say(WR_LOG_CRIT, err, "write() to \"%s\" failed", name);
}

static void write_plain(struct log_file *f, struct wr_str text)
{
    wr_log_write(f->sink->fd, f->path, text, &f->sink->quiet_until, &f->full);
}

/* Each buffer becomes a gzip member of its own; together they are a gzip file. */
static void write_gzip(struct log_file *f, struct wr_str text)
{
    z_stream z = { .next_in = (z_const Bytef *)(uintptr_t)text.p, .avail_in = (uInt)text.n };
    int err = deflateInit2(&z, f->o.gzip, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
    size_t size;
    char *out;

    if (err != Z_OK) {
        wr_say(WR_LOG_CRIT, 0, "deflateInit2() failed: %d, lines for \"%s\" are lost", err,
               f->path);
        return;
    }
    size = deflateBound(&z, text.n);
    out = wr_malloc(size);
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)size;
    err = deflate(&z, Z_FINISH);
    WR_ASSERT(err == Z_STREAM_END);
    write_plain(f, wr_str_of(out, size - z.avail_out));
    (void)deflateEnd(&z);
    free(out);
}

static void flush_lines(struct log_file *f)
{
    struct wr_str text = wr_str_of(f->p, f->n);

    f->n = 0;
    if (text.n > 0 && f->o.gzip > 0)
        write_gzip(f, text);
    else if (text.n > 0)
        write_plain(f, text);
    wr_list_remove(&f->dirty);
    if (f->block != NULL) {
        wr_block_unref(f->block);
        f->block = NULL;
        f->p = NULL;
        f->cap = 0;
    }
}

static void flush_task(struct wr_task *t)
{
    flush_lines(wr_container(t, struct log_file, task));
}

static void flush_dirty(void *arg)
{
    (void)arg;
    while (!wr_list_empty(&dirty))
        flush_lines(wr_container(dirty.next, struct log_file, dirty));
}

/* ---- the buffer ---- */

/* Prepare the buffer for its first line. A timer that is already set fires early enough. */
static void begin_buffer(struct log_file *f)
{
    uint64_t wait = f->o.buffer > 0 ? f->o.flush_ms : LONGEST_WAIT_MS;

    if (f->o.buffer > 0 && f->p == NULL) {
        f->p = wr_malloc(f->o.buffer);
        f->cap = f->o.buffer;
    } else if (f->o.buffer == 0) {
        f->block = wr_block_new();
        f->p = f->block->data;
        f->cap = f->block->size;
        wr_list_push(&dirty, &f->dirty);
    }
    if (wait > 0 && f->timer.place == 0)
        wr_timer_set(loop, &f->timer, wait);
}

static void file_write(struct wr_sink *s, enum wr_level level, struct wr_str line)
{
    struct log_file *f = WR_CHECK(s->state, LOG_FILE);

    (void)level;
    if (f->n > 0 && line.n > f->cap - f->n)
        flush_lines(f);
    if (loop != NULL && f->n == 0)
        begin_buffer(f);
    if (line.n <= f->cap - f->n) {
        memcpy(f->p + f->n, line.p, line.n);
        f->n += line.n;
    } else if (f->o.gzip > 0) {
        write_gzip(f, line);
    } else {
        write_plain(f, line);
    }
}

/* ---- as a sink ---- */

static bool file_open(struct wr_sink *s)
{
    struct log_file *f = WR_CHECK(s->state, LOG_FILE);

    f->sink = s;
    s->path = f->path;
    flush_lines(f);
    if (!wr_sink_open_file(s))
        return false;
    s->err = 0;
    return true;
}

static void file_close(struct wr_sink *s)
{
    struct log_file *f = WR_CHECK(s->state, LOG_FILE);

    flush_lines(f);
    if (loop != NULL) {
        wr_timer_off(loop, &f->timer);
        wr_task_cancel(&f->task);
    }
    if (s->fd >= 0)
        (void)close(s->fd);
    wr_list_remove(&f->link);
    if (f->o.buffer > 0)
        free(f->p);
    WR_UNTYPED(f);
    free(f);
    s->state = NULL;
}

static const struct wr_sink_ops file_ops = { file_open, file_write, file_close };

static struct wr_sink *open_new(const char *name, const char *path,
                                const struct wr_log_file_opts *o)
{
    size_t n = strlen(path) + 1;
    struct log_file *f = wr_calloc(1, sizeof(*f) + n);
    struct wr_sink *s;
    int err;

    WR_TYPED(f, LOG_FILE);
    f->o = *o;
    f->task.run = flush_task;
    f->timer.task = &f->task;
    memcpy(f->path, path, n);
    wr_list_push(&all, &f->link);
    s = wr_sink_add(name, &file_ops, f);
    if (s->fd >= 0)
        return s;
    err = s->err;
    wr_sink_release(s);
    errno = err;
    return NULL;
}

struct wr_sink *wr_log_file_open(const char *path, const struct wr_log_file_opts *o)
{
    char name[4200];
    struct wr_text t = wr_text_on(name, sizeof(name));
    struct wr_sink *s;
    const char *text;

    wr_text_fmt(&t, "%s (access log, buffer %zu, flush %llu ms, gzip %d)", path, o->buffer,
                (unsigned long long)o->flush_ms, o->gzip);
    if (!wr_text_cstr(&t, &text)) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    s = wr_sink_find(text);
    if (s == NULL)
        return open_new(text, path, o);
    /* A reload: the file may have been moved away meanwhile. */
    if (!s->ops->open(s)) {
        errno = s->err;
        return NULL;
    }
    s->users++;
    return s;
}

/* ---- the process ---- */

void wr_log_files_use(struct wr_loop *l)
{
    if (loop != l)
        wr_loop_before_sleep(l, flush_dirty, NULL);
    loop = l;
}

void wr_log_files_end(void)
{
    for (struct wr_link *l = all.next; l != &all; l = l->next) {
        struct log_file *f = wr_container(l, struct log_file, link);

        flush_lines(f);
        if (loop != NULL) {
            wr_timer_off(loop, &f->timer);
            wr_task_cancel(&f->task);
        }
    }
    loop = NULL;
}
