/* The loop: one turn after the other. The processes' main functions call wr_loop_run; all code
 * wakes tasks and condemns memory. Owns the epoll descriptor, the task queue, the flush list, the
 * list of condemned objects and the worker's scratch buffer. */
#include "event/event_impl.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/* With more than 512 events at once the tasks of the first ones would only wait for the others. */
enum { EVENTS_MIN = 64, EVENTS_MAX = 512 };

char wr_scratch[WR_SCRATCH];

static void bell_rung(struct wr_watch *w, uint32_t events)
{
    struct wr_loop *l = wr_container(w, struct wr_loop, bell);

    (void)events;
    l->rung = true;
}

struct wr_loop *wr_loop_new(uint32_t connections)
{
    struct wr_loop *l = wr_calloc(1, sizeof(*l));

    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epfd < 0) {
        wr_say(WR_LOG_EMERG, errno, "epoll_create1() failed");
        free(l);
        return NULL;
    }
    l->max_events = (int)wr_min(wr_max(connections, EVENTS_MIN), EVENTS_MAX);
    l->events = wr_calloc((size_t)l->max_events, sizeof(*l->events));
    l->queue.next = l->queue.prev = &l->queue;
    l->doomed_last = &l->doomed;
    l->bell.on_event = bell_rung;
    l->jobs_fd = -1;
    wr_list_init(&l->last_words);
    wr_list_init(&l->flushes);
    signal(SIGPIPE, SIG_IGN);
    wr_clock_update();
    return l;
}

static void reap_doomed(struct wr_loop *l)
{
    struct wr_doomed *d, *next;

    /* a free function may condemn more */
    while ((d = l->doomed) != NULL) {
        l->doomed = NULL;
        l->doomed_last = &l->doomed;
        for (; d != NULL; d = next) {
            next = d->next;
            d->free(d);
        }
    }
}

void wr_loop_free(struct wr_loop *l)
{
    if (l == NULL)
        return;
    wr_last_words_drop(l);
    reap_doomed(l);
    wr_pipes_drop(l);
    wr_jobs_close(l);
    close(l->epfd);
    free(l->events);
    free(l->heap);
    free(l);
}

/* ---- tasks ---- */
static void enqueue_task(struct wr_loop *l, struct wr_task *t)
{
    t->next = &l->queue;
    t->prev = l->queue.prev;
    t->prev->next = t;
    l->queue.prev = t;
    t->queued = true;
}

void wr_task_dequeue(struct wr_task *t)
{
    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->queued = false;
}

void wr_task_wake(struct wr_loop *l, struct wr_task *t)
{
    if (!t->queued)
        enqueue_task(l, t);
}

void wr_condemn(struct wr_loop *l, struct wr_doomed *d)
{
    d->next = NULL;
    *l->doomed_last = d;
    l->doomed_last = &d->next;
}

static void run_tasks(struct wr_loop *l)
{
    struct wr_task *t;

    if (l->queue.next == &l->queue)
        return;
    /* One queue with a mark in it rather than two queues: a task can be cancelled without knowing
     * which of them it is in. Tasks that wake themselves are behind the mark, so they cannot keep
     * the loop from its sockets. */
    enqueue_task(l, &l->fence);
    while ((t = l->queue.next) != &l->fence) {
        wr_task_dequeue(t);
        t->run(t);
    }
    wr_task_dequeue(&l->fence);
}

/* ---- the flush list ---- */
void wr_loop_flush_later(struct wr_loop *l, struct wr_flush *f)
{
    if (!wr_linked(&f->link))
        wr_list_push(&l->flushes, &f->link);
}

/* Entries behind the mark are for the next turn, as with tasks. */
static void run_flushes(struct wr_loop *l)
{
    struct wr_link mark;

    if (wr_list_empty(&l->flushes))
        return;
    wr_list_push(&l->flushes, &mark);
    while (l->flushes.next != &mark) {
        struct wr_flush *f = wr_container(l->flushes.next, struct wr_flush, link);

        wr_list_remove(&f->link);
        f->fn(f);
    }
    wr_list_remove(&mark);
}

/* ---- watching ---- */
static bool control_epoll(struct wr_loop *l, int op, int fd, struct wr_watch *w, uint32_t events)
{
    struct epoll_event e = { .events = events, .data.ptr = w };

    return epoll_ctl(l->epfd, op, fd, &e) == 0;
}

bool wr_watch_add(struct wr_loop *l, int fd, struct wr_watch *w, uint32_t events)
{
    return control_epoll(l, EPOLL_CTL_ADD, fd, w, events);
}

bool wr_watch_change(struct wr_loop *l, int fd, struct wr_watch *w, uint32_t events)
{
    return control_epoll(l, EPOLL_CTL_MOD, fd, w, events);
}

void wr_watch_del(struct wr_loop *l, int fd)
{
    (void)control_epoll(l, EPOLL_CTL_DEL, fd, NULL, 0);
}

void wr_loop_before_sleep(struct wr_loop *l, void (*fn)(void *), void *arg)
{
    WR_ASSERT(l->nbefore_sleep < WR_BEFORE_SLEEP);
    l->before_sleep[l->nbefore_sleep].fn = fn;
    l->before_sleep[l->nbefore_sleep++].arg = arg;
}

void wr_loop_on_bell(struct wr_loop *l, void (*fn)(uint32_t bits, void *), void *arg)
{
    l->on_bell = fn;
    l->bell_arg = arg;
    /* edge triggered and never read: each write is a new edge */
    if (wr_self.bell_fd >= 0 && !wr_watch_add(l, wr_self.bell_fd, &l->bell, EPOLLIN | EPOLLET)
        && errno != EEXIST)
        wr_say(WR_LOG_ALERT, errno, "epoll_ctl() of the doorbell failed");
}

/* ---- one turn ---- */
static struct wr_slot *own_slot(void)
{
    return wr_self.slot != WR_SLOT_NONE ? &wr_self.run->slot[wr_self.slot] : NULL;
}

static int time_to_wait(const struct wr_loop *l, int max_wait_ms)
{
    int ms;

    /* a turn is also needed for objects condemned, and flushes requested, outside of a turn */
    if (l->queue.next != &l->queue || !wr_list_empty(&l->flushes) || l->doomed != NULL || l->stop)
        return 0;
    ms = wr_timers_wait(l);
    return ms < 0 || (max_wait_ms >= 0 && max_wait_ms < ms) ? max_wait_ms : ms;
}

/* Runs the callbacks; they may wake tasks or set timers, so the time to wait is computed again. */
static int call_before_sleep(struct wr_loop *l, int max_wait_ms)
{
    for (uint32_t i = 0; i < l->nbefore_sleep; i++)
        l->before_sleep[i].fn(l->before_sleep[i].arg);
    return time_to_wait(l, max_wait_ms);
}

/* A process that rings sets the bits and then reads `asleep`; this one sets `asleep` and then reads
 * the bits, so one of the two always sees the other. */
static int sleep_in_epoll(struct wr_loop *l, struct wr_slot *slot, int ms)
{
    int n;

    if (ms != 0 && slot != NULL) {
        atomic_store(&slot->asleep, 1);
        if (atomic_load(&slot->bell) != 0)
            ms = 0;
    }
    n = epoll_wait(l->epfd, l->events, l->max_events, ms);
    if (n < 0) {
        if (errno != EINTR)
            wr_say(WR_LOG_ALERT, errno, "epoll_wait() failed");
        l->rung = true;
        /* handle events that came during the wait before timers that expired meanwhile */
        n = epoll_wait(l->epfd, l->events, l->max_events, 0);
        n = wr_max(n, 0);
    }
    if (slot != NULL)
        atomic_store_explicit(&slot->asleep, 0, memory_order_release);
    return n;
}

static void answer_bell(struct wr_loop *l, struct wr_slot *slot)
{
    uint32_t bits = 0;

    /* the bell is not struck while we are awake: check the word in every turn */
    if (slot != NULL && atomic_load_explicit(&slot->bell, memory_order_relaxed) != 0)
        bits = wr_bell_take();
    if ((bits != 0 || l->rung) && l->on_bell != NULL)
        l->on_bell(bits, l->bell_arg);
    l->rung = false;
}

void wr_loop_turn(struct wr_loop *l, int max_wait_ms)
{
    struct wr_slot *slot = own_slot();
    int n, ms = time_to_wait(l, max_wait_ms);

    if (ms != 0)
        ms = call_before_sleep(l, max_wait_ms);
    n = sleep_in_epoll(l, slot, ms);
    /* the clock is read here only, once a turn */
    wr_clock_update();
    if (slot != NULL)
        atomic_store_explicit(&slot->beat_ms, wr_now(), memory_order_relaxed);

    for (int i = 0; i < n; i++) {
        struct wr_watch *w = l->events[i].data.ptr;

        w->on_event(w, l->events[i].events);
    }
    wr_timers_expire(l);
    answer_bell(l, slot);
    run_tasks(l);
    run_flushes(l);
    reap_doomed(l);
    l->turns++;
}

void wr_loop_run(struct wr_loop *l)
{
    while (!l->stop)
        wr_loop_turn(l, -1);
    l->stop = false;
}

void wr_loop_stop(struct wr_loop *l)
{
    l->stop = true;
}

uint64_t wr_loop_turns(const struct wr_loop *l)
{
    return l->turns;
}
