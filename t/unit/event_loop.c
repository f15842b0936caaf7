/* The loop: the order of a turn, tasks, flushes, reaping, the doorbell. */
#include "lib/event_lib.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

struct step {
    struct wr_task task;
    struct wr_loop *loop;
    char name;
    struct step *wakes, *cancels;
};

static char trace[64];

static void note(struct wr_task *t)
{
    struct step *s = wr_container(t, struct step, task);
    size_t n = strlen(trace);

    trace[n] = s->name;
    trace[n + 1] = '\0';
    if (s->wakes != NULL)
        wr_task_wake(s->loop, &s->wakes->task);
    if (s->cancels != NULL)
        wr_task_cancel(&s->cancels->task);
}

static struct step step_of(struct wr_loop *l, char name)
{
    return (struct step){ .task.run = note, .loop = l, .name = name };
}

START_TEST(tasks_run_once_a_turn_in_order)
{
    struct wr_loop *l = wr_loop_new(1);
    struct step a = step_of(l, 'a'), b = step_of(l, 'b'), c = step_of(l, 'c');

    a.wakes = &a;
    wr_task_wake(l, &a.task);
    wr_task_wake(l, &b.task);
    wr_task_wake(l, &c.task);
    wr_task_wake(l, &a.task);
    wr_loop_turn(l, -1);
    ck_assert_str_eq(trace, "abc");
    a.wakes = NULL;
    wr_loop_turn(l, -1);
    ck_assert_str_eq(trace, "abca");
    ck_assert(!a.task.queued);
    ck_assert_uint_eq(wr_loop_turns(l), 2);
    wr_loop_free(l);
}
END_TEST

START_TEST(a_cancelled_task_does_not_run)
{
    struct wr_loop *l = wr_loop_new(1);
    struct step a = step_of(l, 'a'), b = step_of(l, 'b'), c = step_of(l, 'c');

    a.cancels = &b;
    c.wakes = &a;
    wr_task_wake(l, &a.task);
    wr_task_wake(l, &b.task);
    wr_task_wake(l, &c.task);
    wr_loop_turn(l, -1);
    ck_assert_str_eq(trace, "ac");
    wr_task_cancel(&a.task);
    wr_task_cancel(&a.task);
    wr_loop_turn(l, 0);
    ck_assert_str_eq(trace, "ac");
    wr_loop_free(l);
}
END_TEST

struct body {
    struct wr_doomed doomed;
    struct wr_loop *loop;
    struct body *next;
    char name;
};

static void bury(struct wr_doomed *d)
{
    struct body *b = wr_container(d, struct body, doomed);
    size_t n = strlen(trace);

    trace[n] = b->name;
    trace[n + 1] = '\0';
    if (b->next != NULL)
        wr_condemn(b->loop, &b->next->doomed);
    free(b);
}

static struct body *new_body(struct wr_loop *l, char name)
{
    struct body *b = wr_calloc(1, sizeof(*b));

    b->loop = l;
    b->name = name;
    b->doomed.free = bury;
    return b;
}

static void condemn_two(struct wr_task *t)
{
    struct step *s = wr_container(t, struct step, task);
    struct body *x = new_body(s->loop, 'x'), *y = new_body(s->loop, 'y');

    x->next = new_body(s->loop, 'z');
    wr_condemn(s->loop, &x->doomed);
    wr_condemn(s->loop, &y->doomed);
}

START_TEST(the_condemned_go_last)
{
    struct wr_loop *l = wr_loop_new(1);
    struct step a = step_of(l, 'a'), b = step_of(l, 'b');

    a.task.run = condemn_two;
    wr_task_wake(l, &a.task);
    wr_task_wake(l, &b.task);
    wr_loop_turn(l, -1);
    ck_assert_str_eq(trace, "bxyz");
    wr_condemn(l, &new_body(l, 'w')->doomed);
    wr_loop_free(l);
    ck_assert_str_eq(trace, "bxyzw");
}
END_TEST

struct frames {
    struct wr_flush flush;
    struct wr_loop *loop;
    char name;
    struct step *wakes;
    struct frames *asks, *cancels; /* requested or cancelled by this one; may be itself */
    struct body *condemns;
};

static void write_frames(struct wr_flush *f)
{
    struct frames *s = wr_container(f, struct frames, flush);
    size_t n = strlen(trace);

    trace[n] = s->name;
    trace[n + 1] = '\0';
    if (s->wakes != NULL)
        wr_task_wake(s->loop, &s->wakes->task);
    if (s->asks != NULL)
        wr_loop_flush_later(s->loop, &s->asks->flush);
    if (s->cancels != NULL)
        wr_flush_cancel(&s->cancels->flush);
    if (s->condemns != NULL)
        wr_condemn(s->loop, &s->condemns->doomed);
}

static struct frames frames_of(struct wr_loop *l, char name)
{
    return (struct frames){ .flush.fn = write_frames, .loop = l, .name = name };
}

START_TEST(flushes_run_behind_tasks_and_before_the_reaping)
{
    struct wr_loop *l = wr_loop_new(1);
    struct step a = step_of(l, 'a'), b = step_of(l, 'b');
    struct frames f = frames_of(l, 'f'), g = frames_of(l, 'g');

    wr_loop_flush_later(l, &f.flush);
    wr_loop_flush_later(l, &g.flush);
    wr_loop_flush_later(l, &f.flush);
    wr_condemn(l, &new_body(l, 'x')->doomed);
    f.condemns = new_body(l, 'y');
    f.wakes = &b; /* like a session that may read again: runs in the next turn */
    wr_task_wake(l, &a.task);
    wr_loop_turn(l, -1);
    ck_assert_str_eq(trace, "afgxy");
    wr_loop_turn(l, -1);
    ck_assert_str_eq(trace, "afgxyb");
    wr_loop_free(l);
}
END_TEST

START_TEST(a_flush_that_asks_again_waits_for_the_next_turn)
{
    struct wr_loop *l = wr_loop_new(1);
    struct step a = step_of(l, 'a');
    struct frames f = frames_of(l, 'f'), g = frames_of(l, 'g');

    f.asks = &f;
    g.wakes = &a;
    wr_loop_flush_later(l, &f.flush);
    wr_loop_flush_later(l, &g.flush);
    wr_loop_turn(l, -1);
    ck_assert_str_eq(trace, "fg");
    f.asks = NULL;
    g.wakes = NULL;
    wr_loop_flush_later(l, &f.flush);
    wr_loop_turn(l, -1); /* does not wait in epoll, and runs the woken task first */
    ck_assert_str_eq(trace, "fgaf");
    f.asks = &g; /* a flush that is already in the list keeps its place */
    wr_loop_flush_later(l, &f.flush);
    wr_loop_flush_later(l, &g.flush);
    wr_loop_turn(l, -1);
    wr_loop_turn(l, 0);
    ck_assert_str_eq(trace, "fgaffg");
    wr_loop_free(l);
}
END_TEST

START_TEST(a_cancelled_flush_does_not_run)
{
    struct wr_loop *l = wr_loop_new(1);
    struct frames f = frames_of(l, 'f'), g = frames_of(l, 'g'), h = frames_of(l, 'h');

    f.cancels = &g;
    wr_flush_cancel(&h.flush);
    wr_loop_flush_later(l, &f.flush);
    wr_loop_flush_later(l, &g.flush);
    wr_loop_flush_later(l, &h.flush);
    wr_flush_cancel(&h.flush);
    wr_flush_cancel(&h.flush);
    wr_loop_turn(l, -1);
    ck_assert_str_eq(trace, "f");
    wr_loop_flush_later(l, &g.flush);
    wr_loop_turn(l, -1);
    ck_assert_str_eq(trace, "fg");
    wr_loop_flush_later(l, &h.flush); /* a pending flush does not run in wr_loop_free */
    wr_loop_free(l);
    ck_assert_str_eq(trace, "fg");
}
END_TEST

static unsigned sleeps;

static void before_sleep(void *arg)
{
    struct step *s = arg;

    sleeps++;
    if (s->wakes != NULL)
        wr_task_wake(s->loop, &s->wakes->task);
    s->wakes = NULL;
}

START_TEST(before_sleep_only_when_it_would_wait)
{
    struct wr_loop *l = wr_loop_new(1);
    struct step a = step_of(l, 'a'), s = step_of(l, 's');

    wr_loop_before_sleep(l, before_sleep, &s);
    wr_loop_turn(l, 0);
    ck_assert_uint_eq(sleeps, 0);
    wr_task_wake(l, &a.task);
    wr_loop_turn(l, -1);
    ck_assert_uint_eq(sleeps, 0);
    wr_loop_turn(l, 1);
    ck_assert_uint_eq(sleeps, 1);
    s.wakes = &a; /* a task woken by the callback runs without a wait */
    wr_loop_turn(l, -1);
    ck_assert_uint_eq(sleeps, 2);
    ck_assert_str_eq(trace, "aa");
    wr_loop_free(l);
}
END_TEST

static uint32_t rung_bits;
static unsigned rings;

static void on_bell(uint32_t bits, void *arg)
{
    rung_bits |= bits;
    rings++;
    wr_loop_stop(arg);
}

static struct wr_loop *loop_with_bell(void)
{
    struct wr_loop *l;

    wr_self_init();
    wr_self.slot = 3;
    if (wr_self.bell_fd < 0)
        wr_self.bell_fd = wr_bell_new();
    wr_self.bell_of[3] = wr_self.bell_fd;
    atomic_store(&wr_self.run->slot[3].pid, getpid());
    l = wr_loop_new(1);
    wr_loop_on_bell(l, on_bell, l);
    return l;
}

START_TEST(a_ring_while_awake_is_not_slept_over)
{
    struct wr_loop *l = loop_with_bell();

    wr_ring(3, WR_BELL_LISTEN | WR_BELL_TRACE);
    wr_loop_run(l);
    ck_assert_uint_eq(rings, 1);
    ck_assert_uint_eq(rung_bits, WR_BELL_LISTEN | WR_BELL_TRACE);
    ck_assert_uint_eq(atomic_load(&wr_self.run->slot[3].asleep), 0);
    ck_assert_uint_ne(atomic_load(&wr_self.run->slot[3].beat_ms), 0);
    wr_loop_free(l);
}
END_TEST

static void ring_the_sleeper(int sig)
{
    (void)sig;
    wr_ring(3, WR_BELL_LISTEN);
}

START_TEST(a_ring_wakes_the_sleeper)
{
    struct wr_loop *l = loop_with_bell();
    struct itimerval soon = { .it_value.tv_usec = 50000 };

    /* epoll_wait may end by the bell or by EINTR */
    signal(SIGALRM, ring_the_sleeper);
    setitimer(ITIMER_REAL, &soon, NULL);
    wr_loop_run(l);
    ck_assert_uint_ge(rings, 1);
    turn_until(l, rung_bits == WR_BELL_LISTEN);
    wr_loop_free(l);
}
END_TEST

START_TEST(striking_the_bell_is_a_signal)
{
    struct wr_loop *l = loop_with_bell();

    for (unsigned i = 1; i <= 3; i++) {
        wr_bell_self();
        wr_loop_run(l);
        ck_assert_uint_eq(rings, i);
    }
    ck_assert_uint_eq(rung_bits, 0);
    wr_loop_free(l);
}
END_TEST

START_TEST(timers_end_the_sleep)
{
    struct wr_loop *l = wr_loop_new(1);
    struct counter c = COUNTER;
    struct wr_timer t = { .task = &c.task };
    uint64_t began = wr_now();

    wr_timer_set(l, &t, 20);
    while (c.runs == 0 || !t.fired)
        wr_loop_turn(l, -1);
    ck_assert_uint_ge(wr_now() - began, 20);
    ck_assert_uint_lt(wr_now() - began, 2000);
    wr_loop_free(l);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        tasks_run_once_a_turn_in_order, a_cancelled_task_does_not_run, the_condemned_go_last,
        flushes_run_behind_tasks_and_before_the_reaping,
        a_flush_that_asks_again_waits_for_the_next_turn, a_cancelled_flush_does_not_run,
        before_sleep_only_when_it_would_wait, a_ring_while_awake_is_not_slept_over,
        a_ring_wakes_the_sleeper, striking_the_bell_is_a_signal, timers_end_the_sleep, NULL,
    };

    return run_suite("event_loop", tests);
}
