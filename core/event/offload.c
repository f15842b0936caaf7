/* Thread pools: work that may wait for a disk runs beside the loop. Code that reads or writes files
 * starts jobs; an eventfd tells the loop that jobs are done. Owns the threads, which begin with the
 * first job that finds none idle and end with their pool. */
#include "event/event_impl.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { END_S = 1 }; /* how long a pool that ends waits for its threads */

/* Enough for a job: a few calls without large frames. Sanitizers need more. */
#if WR_DEBUG
enum { STACK = 512 * 1024 };
#else
enum { STACK = 128 * 1024 };
#endif

struct wr_threads {
    struct wr_loop *loop;
    char *name;
    uint32_t max, max_queue;
    pthread_t *id;
    uint32_t started;          /* used by the loop's thread only, like the fields above */
    pthread_mutex_t lock;      /* protects the fields below */
    pthread_cond_t work;
    struct wr_link queue;
    uint32_t waiting, idle;
    bool ending;
    bool abandoned;            /* the loop is gone */
};

static bool stuck;             /* a thread has outlived its pool */

/* ---- in the threads ---- */

/* Only the first job of a batch writes the eventfd: the loop then takes all that are done. */
static void give_back(struct wr_loop *l, struct wr_job *j)
{
    struct wr_job *before = atomic_load_explicit(&l->jobs_done, memory_order_relaxed);
    const uint64_t one = 1;

    do {
        j->next = before;
    } while (!atomic_compare_exchange_weak_explicit(&l->jobs_done, &before, j,
                                                    memory_order_release, memory_order_relaxed));
    if (before == NULL)
        (void)!write(l->jobs_fd, &one, sizeof(one));
}

static struct wr_job *next_job(struct wr_threads *t)
{
    struct wr_job *j = NULL;

    (void)pthread_mutex_lock(&t->lock);
    t->idle++;
    while (wr_list_empty(&t->queue) && !t->ending)
        (void)pthread_cond_wait(&t->work, &t->lock);
    t->idle--;
    if (!wr_list_empty(&t->queue)) {
        j = wr_container(t->queue.next, struct wr_job, link);
        wr_list_remove(&j->link);
        t->waiting--;
        j->queued = false;
    }
    (void)pthread_mutex_unlock(&t->lock);
    return j;
}

static void *thread_main(void *arg)
{
    struct wr_threads *t = arg;
    struct wr_job *j;

    while ((j = next_job(t)) != NULL) {
        if (j->delay_us > 0)
            (void)usleep(j->delay_us);
        j->run(j);
        (void)pthread_mutex_lock(&t->lock);
        if (!t->abandoned)
            give_back(t->loop, j);
        (void)pthread_mutex_unlock(&t->lock);
    }
    return NULL;
}

/* ---- in the loop ---- */

static void take_done(struct wr_loop *l)
{
    struct wr_job *j = atomic_exchange_explicit(&l->jobs_done, NULL, memory_order_acquire);
    struct wr_job *first = NULL, *next;

    for (; j != NULL; j = next) { /* the list is in reverse order */
        next = j->next;
        j->next = first;
        first = j;
    }
    for (j = first; j != NULL; j = next) {
        next = j->next;
        j->busy = false;
        j->done(j);
    }
}

static void jobs_rung(struct wr_watch *w, uint32_t events)
{
    (void)events;
    take_done(wr_container(w, struct wr_loop, jobs_watch));
}

/* The eventfd is watched edge triggered and never read: each write is a new edge. */
static bool watch_jobs(struct wr_loop *l)
{
    if (l->jobs_fd >= 0)
        return true;
    l->jobs_watch.on_event = jobs_rung;
    l->jobs_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->jobs_fd >= 0 && wr_watch_add(l, l->jobs_fd, &l->jobs_watch, EPOLLIN | EPOLLET))
        return true;
    wr_say(WR_LOG_CRIT, errno, "eventfd() for thread pools failed");
    wr_jobs_close(l);
    return false;
}

void wr_jobs_close(struct wr_loop *l)
{
    if (l->jobs_fd >= 0)
        (void)close(l->jobs_fd);
    l->jobs_fd = -1;
}

/* Signals are handled in the loop's thread: block all of them in the new one. */
static bool start_thread(struct wr_threads *t)
{
    sigset_t all, before;
    pthread_attr_t how;
    int err;

    (void)sigfillset(&all);
    (void)pthread_attr_init(&how);
    (void)pthread_attr_setstacksize(&how, STACK);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&t->id[t->started], &how, thread_main, t);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&how);
    if (err != 0) {
        wr_say(WR_LOG_CRIT, err, "pthread_create() for thread pool \"%s\" failed", t->name);
        return t->started > 0;
    }
    t->started++;
    return true;
}

struct wr_threads *wr_threads_new(struct wr_loop *l, struct wr_str name, uint32_t max,
                                  uint32_t max_queue)
{
    struct wr_threads *t = wr_calloc(1, sizeof(*t));

    t->loop = l;
    t->name = wr_calloc(1, name.n + 1);
    memcpy(t->name, name.p, name.n);
    t->max = max;
    t->max_queue = max_queue;
    t->id = wr_calloc(max, sizeof(*t->id));
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_cond_init(&t->work, NULL);
    wr_list_init(&t->queue);
    return t;
}

static bool have_all_ended(struct wr_threads *t)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += END_S;
    for (uint32_t i = 0; i < t->started; i++)
        if (pthread_timedjoin_np(t->id[i], NULL, &until) != 0)
            return false;
    return true;
}

/* For a disk that does not answer: the thread's job and the pool stay allocated until the process
 * ends. */
static void abandon_pool(struct wr_threads *t)
{
    wr_say(WR_LOG_WARN, 0, "a thread of pool \"%s\" still waits for a disk", t->name);
    stuck = true;
    (void)pthread_mutex_lock(&t->lock);
    t->abandoned = true;
    (void)pthread_mutex_unlock(&t->lock);
    take_done(t->loop);
}

bool wr_threads_stuck(void)
{
    return stuck;
}

void wr_threads_free(struct wr_threads *t)
{
    if (t == NULL)
        return;
    (void)pthread_mutex_lock(&t->lock);
    WR_ASSERT(wr_list_empty(&t->queue));
    t->ending = true;
    (void)pthread_cond_broadcast(&t->work);
    (void)pthread_mutex_unlock(&t->lock);
    if (!have_all_ended(t)) {
        abandon_pool(t);
        return;
    }
    take_done(t->loop);
    (void)pthread_cond_destroy(&t->work);
    (void)pthread_mutex_destroy(&t->lock);
    free(t->id);
    free(t->name);
    free(t);
}

uint32_t wr_threads_started(const struct wr_threads *t)
{
    return t->started;
}

/* Chaos: make disks slow now and then. */
static uint32_t chaos_delay(void)
{
    return wr_chaos() && wr_random() % 4 == 0 ? (uint32_t)(wr_random() % 3000) : 0;
}

/* Puts the job into the queue unless that is full. *waiting: the jobs there before. *is_short:
 * there are fewer idle threads than jobs. */
static bool enqueue_job(struct wr_threads *t, struct wr_job *j, uint32_t *waiting, bool *is_short)
{
    bool room;

    (void)pthread_mutex_lock(&t->lock);
    *waiting = t->waiting;
    room = t->waiting < t->max_queue;
    if (room) {
        j->queued = true;
        wr_list_push(&t->queue, &j->link);
        t->waiting++;
        (void)pthread_cond_signal(&t->work);
    }
    *is_short = t->waiting > t->idle;
    (void)pthread_mutex_unlock(&t->lock);
    return room;
}

bool wr_job_start(struct wr_threads *t, struct wr_job *j)
{
    uint32_t waiting;
    bool is_short;

    WR_ASSERT(!j->busy && j->run != NULL && j->done != NULL);
    j->threads = t;
    j->delay_us = chaos_delay();
    if (!watch_jobs(t->loop))
        return false;
    if (!enqueue_job(t, j, &waiting, &is_short)) {
        wr_say(WR_LOG_ERROR, 0, "thread pool \"%s\" queue overflow: %u tasks waiting", t->name,
               waiting);
        return false;
    }
    j->busy = true;
    if (!is_short || t->started == t->max || start_thread(t))
        return true;
    return !wr_job_cancel(j);
}

bool wr_job_cancel(struct wr_job *j)
{
    struct wr_threads *t = j->threads;

    if (!j->busy)
        return true;
    (void)pthread_mutex_lock(&t->lock);
    if (j->queued) {
        wr_list_remove(&j->link);
        t->waiting--;
        j->queued = j->busy = false;
    }
    (void)pthread_mutex_unlock(&t->lock);
    return !j->busy;
}

void wr_job_leave(struct wr_job *j, void (*free_job)(struct wr_job *))
{
    if (wr_job_cancel(j))
        free_job(j);
    else
        j->done = free_job;
}
