/* event_lib: helpers for the tests of core/event. Included by one test each. */
#ifndef WR_EVENT_LIB_H
#define WR_EVENT_LIB_H

#include <check.h>
#include <unistd.h>

#include "event/event.h"

/* A task that counts its runs. */
struct counter {
    struct wr_task task;
    unsigned runs;
};

static WR_UNUSED void count_run(struct wr_task *t)
{
    wr_container(t, struct counter, task)->runs++;
}

#define COUNTER ((struct counter){ .task.run = count_run })

/* Turns until the condition holds, at most 5 s. */
#define turn_until(loop, condition)                                \
    do {                                                           \
        for (int turns_ = 0; turns_ < 500 && !(condition); turns_++) \
            wr_loop_turn((loop), 10);                              \
        ck_assert_msg((condition), "never: %s", #condition);       \
    } while (0)

/* Runs the tests of one file; the exit status of main. */
static WR_UNUSED int run_suite(const char *name, const TTest *const *tests)
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create(name);
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    for (; *tests != NULL; tests++)
        tcase_add_test(tc, *tests);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

#endif
