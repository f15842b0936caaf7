/* Timers: order, lazy moves, removal; random steps against a simple model. The test sets the clock
 * itself. */
#include "lib/event_lib.h"

#include "event/event_impl.h"

enum { N = 300 };

struct alarm_clock {
    struct wr_task task;
    struct wr_timer timer;
    unsigned woken, fired;
};

static void on_wake(struct wr_task *t)
{
    struct alarm_clock *a = wr_container(t, struct alarm_clock, task);

    a->woken++;
    a->fired += a->timer.fired;
    a->timer.fired = false;
}

static void init(struct alarm_clock *a)
{
    *a = (struct alarm_clock){ .task.run = on_wake, .timer.task = &a->task };
}

/* Runs the tasks of step (2) without epoll and the real clock. */
static void pass(struct wr_loop *l, uint64_t ms)
{
    struct wr_task *t;

    wr_clock.mono_ms += ms;
    wr_timers_expire(l);
    while ((t = l->queue.next) != &l->queue) {
        wr_task_cancel(t);
        t->run(t);
    }
}

START_TEST(fires_once)
{
    struct wr_loop *l = wr_loop_new(1);
    struct alarm_clock a;

    init(&a);
    ck_assert_int_eq(wr_timers_wait(l), -1);
    wr_timer_set(l, &a.timer, 10);
    ck_assert_int_eq(wr_timers_wait(l), 10);
    pass(l, 9);
    ck_assert_uint_eq(a.fired, 0);
    pass(l, 1);
    ck_assert_uint_eq(a.fired, 1);
    ck_assert_uint_eq(a.timer.at, 0);
    ck_assert_uint_eq(a.timer.place, 0);
    pass(l, 1000);
    ck_assert_uint_eq(a.fired, 1);
    wr_loop_free(l);
}
END_TEST

START_TEST(later_is_lazy_and_earlier_is_not)
{
    struct wr_loop *l = wr_loop_new(1);
    struct alarm_clock a;

    init(&a);
    wr_timer_set(l, &a.timer, 10);
    wr_timer_set(l, &a.timer, 50);
    ck_assert_int_eq(wr_timers_wait(l), 10);
    pass(l, 10);
    ck_assert_uint_eq(a.woken, 0);
    ck_assert_int_eq(wr_timers_wait(l), 40);
    wr_timer_set(l, &a.timer, 5);
    ck_assert_int_eq(wr_timers_wait(l), 5);
    pass(l, 5);
    ck_assert_uint_eq(a.fired, 1);
    wr_loop_free(l);
}
END_TEST

START_TEST(off_removes_and_idle_does_not)
{
    struct wr_loop *l = wr_loop_new(1);
    struct alarm_clock a, b;

    init(&a);
    init(&b);
    wr_timer_set(l, &a.timer, 10);
    wr_timer_set(l, &b.timer, 20);
    wr_timer_off(l, &a.timer);
    wr_timer_off(l, &a.timer);
    ck_assert_uint_eq(a.timer.place, 0);
    ck_assert_uint_eq(l->timers, 1);
    wr_timer_idle(&b.timer);
    ck_assert_uint_ne(b.timer.place, 0);
    pass(l, 100);
    ck_assert_uint_eq(a.woken + b.woken, 0);
    ck_assert_uint_eq(l->timers, 0);

    wr_timer_set(l, &b.timer, 20);
    wr_timer_idle(&b.timer);
    wr_timer_set(l, &b.timer, 30);
    pass(l, 29);
    ck_assert_uint_eq(b.woken, 0);
    pass(l, 1);
    ck_assert_uint_eq(b.fired, 1);
    wr_loop_free(l);
}
END_TEST

START_TEST(for_ever_does_not_wrap)
{
    struct wr_loop *l = wr_loop_new(1);
    struct alarm_clock a;

    init(&a);
    wr_timer_set(l, &a.timer, UINT64_MAX);
    ck_assert_int_eq(wr_timers_wait(l), INT32_MAX);
    pass(l, 1);
    ck_assert_uint_eq(a.woken, 0);
    wr_loop_free(l);
}
END_TEST

/* Each step changes one timer at random; those that fire must be the ones due in a plain array. */
START_TEST(as_the_model_says)
{
    static struct alarm_clock a[N];
    uint64_t due[N] = { 0 };
    struct wr_loop *l = wr_loop_new(1);

    srandom(7);
    for (unsigned i = 0; i < N; i++)
        init(&a[i]);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)random() % N;

        switch (random() % 4) {
        case 0:
            wr_timer_off(l, &a[i].timer);
            due[i] = 0;
            break;
        case 1:
            pass(l, (uint64_t)random() % 20);
            break;
        default:
            wr_timer_set(l, &a[i].timer, 1 + (uint64_t)random() % 1000);
            due[i] = a[i].timer.at;
        }
        for (i = 0; i < N; i++) {
            unsigned expected = due[i] != 0 && due[i] <= wr_now();

            if (a[i].fired != expected) /* a ck_assert is too slow here: Check records each one */
                ck_abort_msg("timer %u at step %u: fired %u times", i, step, a[i].fired);
            if (expected)
                due[i] = 0;
            a[i].fired = 0;
        }
    }
    wr_loop_free(l);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { fires_once, later_is_lazy_and_earlier_is_not,
                                   off_removes_and_idle_does_not, for_ever_does_not_wrap,
                                   as_the_model_says, NULL };

    return run_suite("event_timer", tests);
}
