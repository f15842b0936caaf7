/* cache_evict: see cache_evict.h. */
#include "cache_evict.h"

#define LOOK_MS 500
#define REST_MS 10000          /* when nothing can be removed: the index must not be emptied */

struct wr_cache_evictor {
    struct wr_job job;
    struct wr_task task;
    struct wr_timer timer;
    struct wr_loop *loop;
    struct wr_threads *threads;
    struct wr_cache_folder *folder;
    struct wr_cache_evict_conf conf;
    const struct wr_cache_evict_ops *ops;
    void *arg;
    bool more;                 /* the last look found more than fit into a turn */
    uint64_t rest_until_ms;    /* the disk refuses to remove files */
    /* the thread's while job.busy */
    struct victim {
        struct wr_cache_victim is;
        bool removed;
    } *victim;
    uint32_t n, from, next;    /* victims; the thread has tried [from, next) in this turn */
    uint64_t free_now;
    struct wr_cache_failure why;
};

uint64_t wr_cache_excess(const struct wr_cache_evict_conf *c, uint64_t counted, uint64_t free_now)
{
    const uint64_t over = counted > c->max_size ? counted - c->max_size : 0;
    const uint64_t lacks = free_now < c->min_free ? c->min_free - free_now : 0;

    return wr_max(over, lacks);
}

/* ---- in a thread ---- */

static void evict_run(struct wr_job *j)
{
    struct wr_cache_evictor *e = wr_container(j, struct wr_cache_evictor, job);
    const uint64_t end_ns = wr_time_ns() + e->conf.pace.threshold_ms * UINT64_C(1000000);

    e->from = e->next;
    for (; e->next < e->n && (e->next == e->from || wr_time_ns() < end_ns); e->next++) {
        struct victim *v = &e->victim[e->next];

        v->removed = wr_cache_file_remove(e->folder, &v->is.name, v->is.created_us, &e->why)
                  == WR_CACHE_GONE;
    }
    e->free_now = e->conf.min_free > 0 ? wr_cache_folder_free(e->folder) : UINT64_MAX;
}

/* ---- in the loop ---- */

static void free_evictor(struct wr_job *j)
{
    struct wr_cache_evictor *e = wr_container(j, struct wr_cache_evictor, job);

    free(e->victim);
    free(e);
}

static void evict_done(struct wr_job *j)
{
    struct wr_cache_evictor *e = wr_container(j, struct wr_cache_evictor, job);

    wr_task_wake(e->loop, &e->task);
}

static void report_gone(struct wr_cache_evictor *e)
{
    for (; e->from < e->next; e->from++)
        if (e->ops->gone != NULL)
            e->ops->gone(e->arg, &e->victim[e->from].is, e->victim[e->from].removed);
    if (e->why.call != NULL) {
        wr_cache_folder_failed(e->folder, &e->why);
        e->rest_until_ms = wr_now() + REST_MS;
    }
    e->why.call = NULL;
}

static bool take_one(struct wr_cache_evictor *e, enum wr_cache_wanted why, uint64_t *excess)
{
    struct victim *v = &e->victim[e->n];

    *v = (struct victim){ .removed = false };
    if (!e->ops->take(e->arg, why, &v->is))
        return false;
    *excess -= wr_min(*excess, v->is.cost);
    e->n++;
    return true;
}

static void choose_victims(struct wr_cache_evictor *e)
{
    uint64_t excess = wr_cache_excess(&e->conf, e->ops->bytes(e->arg), e->free_now);
    bool found = true;

    e->n = e->from = e->next = 0;
    while (e->n < e->conf.pace.files && take_one(e, WR_CACHE_OUTDATED, &excess))
        ;
    while (excess > 0 && e->n < e->conf.pace.files && found)
        found = take_one(e, WR_CACHE_OLDEST, &excess);
    e->more = e->n == e->conf.pace.files;
}

static void evict_turn(struct wr_task *t)
{
    struct wr_cache_evictor *e = wr_container(t, struct wr_cache_evictor, task);
    const bool looks = e->timer.fired || e->timer.at == 0;
    bool works;

    if (e->job.busy)
        return;
    report_gone(e);
    if (!looks) /* a job has ended; the timer is set */
        return;
    if (e->next == e->n && wr_now() >= e->rest_until_ms)
        choose_victims(e);
    works = e->next < e->n;
    if ((works || e->conf.min_free > 0) && !wr_job_start(e->threads, &e->job))
        works = e->more = false; /* logged: wait a little */
    wr_timer_set(e->loop, &e->timer,
                 works || e->more ? wr_max(e->conf.pace.sleep_ms, 1U) : LOOK_MS);
}

struct wr_cache_evictor *wr_cache_evictor_new(struct wr_loop *l, struct wr_threads *t,
                                              struct wr_cache_folder *f,
                                              const struct wr_cache_evict_conf *conf,
                                              const struct wr_cache_evict_ops *ops, void *arg)
{
    struct wr_cache_evictor *e = wr_calloc(1, sizeof(*e));

    *e = (struct wr_cache_evictor){
        .job.run = evict_run, .job.done = evict_done, .task.run = evict_turn, .loop = l,
        .threads = t, .folder = f, .conf = *conf, .ops = ops, .arg = arg, .free_now = UINT64_MAX,
    };
    e->conf.pace.files = wr_max(conf->pace.files, 1U);
    e->timer.task = &e->task;
    e->victim = wr_calloc(e->conf.pace.files, sizeof(*e->victim));
    wr_task_wake(l, &e->task);
    return e;
}

void wr_cache_evictor_wake(struct wr_cache_evictor *e)
{
    wr_timer_idle(&e->timer);
    wr_task_wake(e->loop, &e->task);
}

void wr_cache_evictor_free(struct wr_cache_evictor *e)
{
    if (e == NULL)
        return;
    wr_timer_off(e->loop, &e->timer);
    wr_task_cancel(&e->task);
    wr_job_leave(&e->job, free_evictor);
}
