/* unit: the beginning of every unit test: Check, comparing views with literals, a main() that runs
 * the listed tests, and a way to see a process abort. */
#ifndef UNIT_H
#define UNIT_H

#include "base/base.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define ck_view(got, literal)                                                        \
    do {                                                                             \
        struct wr_str got_ = (got), want_ = wr_str_c(literal);                       \
        ck_assert_msg(wr_str_eq(got_, want_), "%s: \"" WR_FMT "\", not \"%s\"", #got, \
                      WR_ARG(got_), want_.p);                                        \
    } while (0)

static inline int unit_run(const char *name, const TTest *const *tests, size_t n)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 120);
    for (size_t i = 0; i < n; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    wr_pool_drop_cache();
    return failed > 0;
}

#define UNIT_MAIN(name, ...)                                \
    int main(void)                                          \
    {                                                       \
        const TTest *const tests[] = { __VA_ARGS__ };       \
        return unit_run(name, tests, WR_COUNT(tests));      \
    }

/* Does fn(arg) end its process by abort()? Its standard error is not shown. */
static inline bool unit_aborts(void (*fn)(void *arg), void *arg)
{
    int status = 0, null;
    pid_t pid = fork();

    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        null = open("/dev/null", O_WRONLY);
        (void)dup2(null, STDERR_FILENO);
        fn(arg);
        _exit(0);
    }
    ck_assert_int_gt(pid, 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

#endif
