/* cache_load: see cache_load.h. A turn: a thread lists some names, the loop says which it knows, a
 * thread reads the beginnings of the other files, the loop takes them, and rests. */
#include "cache_load.h"

#include "cache_write.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASK_AGAIN_MS 1000

struct file {
    struct wr_cache_place place;
    bool known;
    bool whole;                /* head is that of an object for the index */
    struct wr_cache_head head;
};
enum work { LIST, READ };

struct wr_cache_loader {
    struct wr_job job;
    struct wr_task task;
    struct wr_timer timer;
    struct wr_loop *loop;
    struct wr_threads *threads;
    struct wr_cache_folder *folder;
    struct wr_cache_load_conf conf;
    const struct wr_cache_load_ops *ops;
    void *arg;
    /* the thread's while job.busy */
    enum work work;
    struct wr_cache_walk *walk; /* NULL: not begun */
    bool ended;                /* the walk is */
    struct file *file;
    uint32_t n, from, next;    /* files; [from, next) were read in this turn */
    struct wr_cache_load_sums sums;
    struct wr_cache_failure why;
};

/* ---- in a thread ---- */

static void begin_walk(struct wr_cache_loader *l)
{
    l->walk = wr_cache_walk_new(l->folder, &l->why);
    l->ended = l->sums.failed = l->walk == NULL;
    if (l->walk != NULL)
        l->sums.removed += wr_cache_temp_clean(l->folder);
}

static void list_files(struct wr_cache_loader *l)
{
    const uint64_t end_ns = wr_time_ns() + l->conf.pace.threshold_ms * UINT64_C(1000000);

    if (l->walk == NULL)
        begin_walk(l);
    l->n = l->from = l->next = 0;
    while (!l->ended && l->n < l->conf.pace.files && (l->n % 16 != 15 || wr_time_ns() < end_ns)) {
        l->file[l->n] = (struct file){ .known = false };
        if (wr_cache_walk_next(l->walk, &l->file[l->n].place))
            l->n++;
        else
            l->ended = true;
    }
    if (!l->ended || l->walk == NULL)
        return;
    l->why = wr_cache_walk_failure(l->walk);
    l->sums.failed |= l->why.call != NULL;
    l->sums.foreign += wr_cache_walk_foreign(l->walk);
}

/* Reading the beginning does not count as a use, and the rest of the file is not read ahead. */
static int open_quietly(int folder, const char *path)
{
    const int flags = O_RDONLY | O_NONBLOCK;
    int fd = wr_cache_open_below(folder, path, flags | O_NOATIME, false);

    if (fd < 0 && errno == EPERM)
        fd = wr_cache_open_below(folder, path, flags, false);
    if (fd >= 0)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    return fd;
}

/* Moves a file that lies at other levels to its place; one that is there already is younger. */
static void move_file(struct wr_cache_loader *l, struct file *f, int folder, const char *path)
{
    static const uint8_t none[3];
    char hex[WR_CACHE_PATH_MAX];
    int parent = wr_cache_open_parent(l->folder, &f->place.name, true);

    wr_cache_path(&f->place.name, none, hex);
    f->whole = parent >= 0 && renameat2(folder, path, parent, hex, RENAME_NOREPLACE) == 0;
    l->sums.moved += f->whole;
    if (!f->whole && parent >= 0 && errno == EEXIST && unlinkat(folder, path, 0) == 0)
        l->sums.removed++;
    if (parent >= 0)
        (void)close(parent);
}

static bool is_named_right(const struct file *f)
{
    const struct wr_cache_object *o = &f->head.object;
    struct wr_cache_name name = wr_cache_name_of(o->key, o->facts.variant);

    return memcmp(&name, &f->place.name, sizeof(name)) == 0;
}

static bool is_too_old(const struct wr_cache_loader *l, const struct file *f)
{
    return f->head.used_s + l->conf.inactive_s < (uint64_t)time(NULL);
}

static void judge_file(struct wr_cache_loader *l, struct file *f, int folder, const char *path)
{
    bool remove = false;

    switch (f->head.is) {
    case WR_CACHE_WHOLE:
        f->whole = is_named_right(f);
        if (f->whole && memcmp(f->place.levels, l->folder->levels, 3) != 0)
            move_file(l, f, folder, path);
        l->sums.foreign += !f->whole;
        return;
    case WR_CACHE_OTHER_FORMAT:
        remove = is_too_old(l, f);
        l->sums.other_format += !remove;
        break;
    case WR_CACHE_FOREIGN:
        l->sums.foreign++;
        break;
    case WR_CACHE_MORE:
    case WR_CACHE_BROKEN:
        remove = true;
        break;
    }
    if (remove && unlinkat(folder, path, 0) == 0)
        l->sums.removed++;
}

static void read_file(struct wr_cache_loader *l, struct file *f, int folder)
{
    char path[WR_CACHE_PATH_MAX];
    int fd;

    wr_cache_path(&f->place.name, f->place.levels, path);
    fd = open_quietly(folder, path);
    if (fd < 0)
        return; /* it was removed meanwhile */
    if (wr_cache_head_read(fd, false, &f->head))
        judge_file(l, f, folder, path);
    else if (errno != EINVAL)
        l->why = (struct wr_cache_failure){ "pread()", errno };
    (void)close(fd);
}

static void read_files(struct wr_cache_loader *l)
{
    const uint64_t end_ns = wr_time_ns() + l->conf.pace.threshold_ms * UINT64_C(1000000);
    int folder = wr_cache_folder_open(l->folder, &l->why);

    l->from = l->next;
    l->sums.failed |= folder < 0;
    for (; l->next < l->n && (l->next == l->from || wr_time_ns() < end_ns); l->next++)
        if (!l->file[l->next].known && folder >= 0)
            read_file(l, &l->file[l->next], folder);
}

static void load_run(struct wr_job *j)
{
    struct wr_cache_loader *l = wr_container(j, struct wr_cache_loader, job);

    if (l->work == LIST)
        list_files(l);
    else
        read_files(l);
}

/* ---- in the loop ---- */

static void free_loader(struct wr_job *j)
{
    struct wr_cache_loader *l = wr_container(j, struct wr_cache_loader, job);

    for (uint32_t i = 0; i < l->n; i++)
        free(l->file[i].head.bytes);
    wr_cache_walk_free(l->walk);
    free(l->file);
    free(l);
}

static void load_done(struct wr_job *j)
{
    struct wr_cache_loader *l = wr_container(j, struct wr_cache_loader, job);

    wr_task_wake(l->loop, &l->task);
}

static void mark_known(struct wr_cache_loader *l)
{
    for (uint32_t i = 0; i < l->n; i++) {
        struct file *f = &l->file[i];

        f->known = memcmp(f->place.levels, l->folder->levels, 3) == 0
                && l->ops->known(l->arg, &f->place.name);
        l->sums.known += f->known;
    }
}

static void offer_file(struct wr_cache_loader *l, const struct file *f)
{
    const struct wr_cache_loaded loaded = {
        .name = f->place.name, .object = &f->head.object, .size = f->head.size,
        .used_s = f->head.used_s,
    };

    if (l->ops->found(l->arg, &loaded)) {
        l->sums.files++;
        l->sums.bytes += wr_cache_file_cost(f->head.size);
        return;
    }
    l->sums.removed++;
    wr_cache_remove_later(l->folder, l->threads, &f->place.name,
                          f->head.object.facts.created_us);
}

static void take_files(struct wr_cache_loader *l)
{
    for (uint32_t i = l->from; i < l->next; i++) {
        struct file *f = &l->file[i];

        if (f->whole)
            offer_file(l, f);
        free(f->head.bytes);
        f->head.bytes = NULL;
    }
}

static void start_work(struct wr_cache_loader *l, enum work work)
{
    l->work = work;
    if ((l->ops->may_work != NULL && !l->ops->may_work(l->arg))
        || !wr_job_start(l->threads, &l->job)) /* logged; later there may be room */
        wr_timer_set(l->loop, &l->timer, ASK_AGAIN_MS);
}

static void log_failure(struct wr_cache_loader *l)
{
    if (l->why.call != NULL)
        wr_cache_folder_failed(l->folder, &l->why);
    l->why.call = NULL;
}

/* Runs when a job is done, and when the timer has fired: then the next one begins. */
static void load_turn(struct wr_task *t)
{
    struct wr_cache_loader *l = wr_container(t, struct wr_cache_loader, task);
    const bool rested = l->timer.fired;

    if (l->job.busy || (!rested && l->timer.at != 0))
        return;
    wr_timer_off(l->loop, &l->timer);
    if (rested) {
        start_work(l, l->next < l->n ? READ : LIST);
        return;
    }
    log_failure(l);
    if (l->work == LIST)
        mark_known(l);
    else
        take_files(l);
    if (l->work == LIST && l->n > 0)
        start_work(l, READ);
    else if (l->next < l->n || !l->ended)
        wr_timer_set(l->loop, &l->timer, l->conf.pace.sleep_ms);
    else
        l->ops->done(l->arg, &l->sums);
}

struct wr_cache_loader *wr_cache_loader_new(struct wr_loop *loop, struct wr_threads *t,
                                            struct wr_cache_folder *f,
                                            const struct wr_cache_load_conf *conf,
                                            const struct wr_cache_load_ops *ops, void *arg)
{
    struct wr_cache_loader *l = wr_calloc(1, sizeof(*l));

    *l = (struct wr_cache_loader){
        .job.run = load_run, .job.done = load_done, .task.run = load_turn, .loop = loop,
        .threads = t, .folder = f, .conf = *conf, .ops = ops, .arg = arg,
    };
    l->conf.pace.files = wr_max(conf->pace.files, 1U);
    l->timer.task = &l->task;
    l->file = wr_calloc(l->conf.pace.files, sizeof(*l->file));
    start_work(l, LIST);
    return l;
}

void wr_cache_loader_free(struct wr_cache_loader *l)
{
    if (l == NULL)
        return;
    wr_timer_off(l->loop, &l->timer);
    wr_task_cancel(&l->task);
    wr_job_leave(&l->job, free_loader);
}
