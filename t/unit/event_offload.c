/* Thread pools: jobs run beside the loop and are reported in it; threads begin when they are needed
 * and end with their pool; a full queue, cancelling, owners that end first. */
#include "lib/event_lib.h"
#include "lib/said.h"

#include <pthread.h>
#include <signal.h>

static struct wr_loop *l;
static struct wr_threads *t;

/* Makes jobs wait until the test opens it. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    unsigned inside;
} gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 };

struct work {
    struct wr_job job;
    struct counter *task;
    unsigned in, out;
    sigset_t mask;
    bool done, left;
};

static unsigned freed;

static void square(struct wr_job *j)
{
    struct work *w = wr_container(j, struct work, job);

    (void)pthread_sigmask(SIG_BLOCK, NULL, &w->mask);
    w->out = w->in * w->in;
}

static void pass_gate(struct wr_job *j)
{
    (void)pthread_mutex_lock(&gate.lock);
    gate.inside++;
    (void)pthread_cond_broadcast(&gate.changed);
    while (!gate.open)
        (void)pthread_cond_wait(&gate.changed, &gate.lock);
    (void)pthread_mutex_unlock(&gate.lock);
    square(j);
}

static void open_gate(bool open)
{
    (void)pthread_mutex_lock(&gate.lock);
    gate.open = open;
    if (!open)
        gate.inside = 0;
    (void)pthread_cond_broadcast(&gate.changed);
    (void)pthread_mutex_unlock(&gate.lock);
}

static void wait_inside(unsigned n)
{
    (void)pthread_mutex_lock(&gate.lock);
    while (gate.inside < n)
        (void)pthread_cond_wait(&gate.changed, &gate.lock);
    (void)pthread_mutex_unlock(&gate.lock);
}

static void done(struct wr_job *j)
{
    struct work *w = wr_container(j, struct work, job);

    w->done = true;
    if (w->task != NULL)
        wr_task_wake(l, &w->task->task);
    if (w->left) {
        free(w);
        freed++;
    }
}

static struct work *work_new(unsigned in, void (*run)(struct wr_job *))
{
    struct work *w = wr_calloc(1, sizeof(*w));

    w->job.run = run;
    w->job.done = done;
    w->in = in;
    return w;
}

static void setup(uint32_t threads, uint32_t queue)
{
    l = wr_loop_new(16);
    t = wr_threads_new(l, WR_STR("test"), threads, queue);
    freed = 0;
    open_gate(false);
}

static void teardown(void)
{
    wr_threads_free(t);
    wr_loop_free(l);
}

START_TEST(a_job_comes_back)
{
    struct counter task = COUNTER;
    struct work *w = work_new(7, square);

    setup(4, 10);
    ck_assert_uint_eq(wr_threads_started(t), 0);
    w->task = &task;
    ck_assert(wr_job_start(t, &w->job));
    ck_assert(w->job.busy);
    ck_assert(!w->done);
    turn_until(l, w->done);
    /* woken in step (1), so it ran in the same turn */
    ck_assert_uint_eq(task.runs, 1);
    ck_assert_uint_eq(w->out, 49);
    ck_assert(!w->job.busy);
    ck_assert(wr_job_cancel(&w->job));
    ck_assert(sigismember(&w->mask, SIGTERM) == 1 && sigismember(&w->mask, SIGHUP) == 1);

    /* the same job again */
    w->done = false;
    w->in = 8;
    ck_assert(wr_job_start(t, &w->job));
    turn_until(l, w->done);
    ck_assert_uint_eq(w->out, 64);
    free(w);
    teardown();
}
END_TEST

START_TEST(many_jobs)
{
    enum { N = 2000 };
    struct work *w[N];
    unsigned n = 0;

    setup(8, N);
    for (unsigned i = 0; i < N; i++) {
        w[i] = work_new(i, square);
        ck_assert(wr_job_start(t, &w[i]->job));
        if (i % 100 == 0)
            wr_loop_turn(l, 0);
    }
    while (n < N) {
        wr_loop_turn(l, 100);
        for (n = 0; n < N && w[n]->done; n++)
            ;
    }
    ck_assert_uint_le(wr_threads_started(t), 8);
    for (unsigned i = 0; i < N; i++) {
        ck_assert_uint_eq(w[i]->out, i * i);
        free(w[i]);
    }
    teardown();
}
END_TEST

START_TEST(threads_begin_when_none_is_idle)
{
    struct work *w[5];

    setup(3, 10);
    for (unsigned i = 0; i < 5; i++) {
        w[i] = work_new(i, pass_gate);
        ck_assert(wr_job_start(t, &w[i]->job));
        wait_inside(i < 3 ? i + 1 : 3);
        ck_assert_uint_eq(wr_threads_started(t), i < 3 ? i + 1 : 3);
    }
    open_gate(true);
    for (unsigned i = 0; i < 5; i++) {
        turn_until(l, w[i]->done);
        free(w[i]);
    }
    teardown();
}
END_TEST

START_TEST(a_full_queue)
{
    struct work *w[3];

    setup(1, 1);
    said_keep();
    for (unsigned i = 0; i < 3; i++)
        w[i] = work_new(i, pass_gate);
    ck_assert(wr_job_start(t, &w[0]->job));
    wait_inside(1);
    ck_assert(wr_job_start(t, &w[1]->job));
    ck_assert(!wr_job_start(t, &w[2]->job));
    ck_assert(!w[2]->job.busy);
    ck_assert(said("thread pool \"test\" queue overflow: 1 tasks waiting"));
    open_gate(true);
    turn_until(l, w[0]->done && w[1]->done);
    ck_assert(wr_job_start(t, &w[2]->job));
    turn_until(l, w[2]->done);
    for (unsigned i = 0; i < 3; i++)
        free(w[i]);
    teardown();
}
END_TEST

START_TEST(cancelling)
{
    struct work *runs = work_new(1, pass_gate), *waits = work_new(2, pass_gate);

    setup(1, 10);
    ck_assert(wr_job_start(t, &runs->job));
    wait_inside(1);
    ck_assert(wr_job_start(t, &waits->job));
    ck_assert(wr_job_cancel(&waits->job));
    ck_assert(wr_job_cancel(&waits->job));
    free(waits);

    ck_assert(!wr_job_cancel(&runs->job));
    open_gate(true);
    turn_until(l, runs->done);
    free(runs);
    teardown();
}
END_TEST

static void free_work(struct wr_job *j)
{
    struct work *w = wr_container(j, struct work, job);

    ck_assert(!w->done);
    free(w);
    freed++;
}

START_TEST(leaving)
{
    struct work *fresh = work_new(0, pass_gate), *runs = work_new(1, pass_gate);
    struct work *waits = work_new(2, pass_gate);

    setup(1, 10);
    ck_assert(wr_job_start(t, &runs->job));
    wait_inside(1);
    ck_assert(wr_job_start(t, &waits->job));
    wr_job_leave(&fresh->job, free_work);
    ck_assert_uint_eq(freed, 1);
    wr_job_leave(&waits->job, free_work);
    ck_assert_uint_eq(freed, 2);
    wr_job_leave(&runs->job, free_work);
    ck_assert_uint_eq(freed, 2); /* the thread has it */
    open_gate(true);
    turn_until(l, freed == 3);
    teardown();
}
END_TEST

START_TEST(the_end_waits_for_what_runs)
{
    struct work *w[4];

    setup(4, 10);
    for (unsigned i = 0; i < 4; i++) {
        w[i] = work_new(i, pass_gate);
        w[i]->left = true;
        ck_assert(wr_job_start(t, &w[i]->job));
    }
    wait_inside(4);
    open_gate(true);
    wr_threads_free(t);
    ck_assert_uint_eq(freed, 4);
    wr_threads_free(NULL);
    wr_loop_free(l);
}
END_TEST

START_TEST(a_job_that_never_ends)
{
    static struct work *w;

    setup(2, 10);
    said_keep();
    w = work_new(1, pass_gate);
    w->left = true;
    ck_assert(wr_job_start(t, &w->job));
    wait_inside(1);
    ck_assert(!wr_threads_stuck());
    wr_threads_free(t);
    ck_assert(wr_threads_stuck());
    ck_assert(said("a thread of pool \"test\" still waits for a disk"));
    wr_loop_free(l);
    open_gate(true); /* the thread must not touch the loop now */
    usleep(10000);
    ck_assert_uint_eq(freed, 0);
    _exit(0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_job_comes_back, many_jobs, threads_begin_when_none_is_idle, a_full_queue, cancelling,
        leaving, the_end_waits_for_what_runs, a_job_that_never_ends, NULL,
    };

    return run_suite("event_offload", tests);
}
