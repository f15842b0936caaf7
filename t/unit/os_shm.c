/* Shared memory over forks, reloads and upgrades. */
#include "os/os.h"

#include "lib/unit.h"

#include <errno.h>

START_TEST(is_shared_with_children)
{
    struct wr_shm_set *set = wr_shm_set_new();
    struct wr_shm *shm = wr_shm_get(set, NULL, "zone", 1, 2, 10000, NULL);
    unsigned char *p;
    pid_t pid;

    ck_assert_ptr_nonnull(shm);
    ck_assert(shm->fresh);
    p = shm->p;
    for (size_t i = 0; i < 10000; i++)
        ck_assert_uint_eq(p[i], 0);
    pid = fork();
    if (pid == 0) {
        p[9999] = 42;
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_uint_eq(p[9999], 42);
    ck_assert_ptr_eq(wr_shm_get(set, NULL, "zone", 1, 2, 10000, NULL), shm);
    ck_assert_ptr_null(wr_shm_get(set, NULL, "zone", 1, 2, 20000, NULL));
    ck_assert_int_eq(errno, EEXIST);
    wr_shm_set_free(set);
    wr_shm_set_free(NULL);
}
END_TEST

START_TEST(reload_keeps_what_fits)
{
    struct wr_shm_set *old = wr_shm_set_new(), *set = wr_shm_set_new(), *third = wr_shm_set_new();
    struct wr_shm *a = wr_shm_get(old, NULL, "a", 1, 2, 4096, NULL);
    struct wr_shm *b = wr_shm_get(old, NULL, "b", 1, 2, 4096, NULL), *again, *previous;

    ck_assert_ptr_ne(a, b);
    again = wr_shm_get(set, old, "a", 1, 2, 4096, &previous);
    ck_assert_ptr_eq(again, a);
    ck_assert_ptr_null(previous);
    ck_assert(!again->fresh);
    ck_assert_uint_eq(again->users, 2);

    again = wr_shm_get(set, old, "b", 1, 3, 4096, &previous);
    ck_assert_ptr_ne(again, b);
    ck_assert_ptr_eq(previous, b);
    ck_assert(again->fresh);
    ck_assert_ptr_nonnull(wr_shm_get(set, old, "c", 1, 3, 4096, &previous));
    ck_assert_ptr_null(previous);

    wr_shm_set_free(old);
    *(char *)a->p = 'a'; /* still mapped */
    ck_assert_uint_eq(a->users, 1);
    ck_assert_ptr_ne(wr_shm_get(third, set, "a", 2, 2, 4096, &previous), a);
    ck_assert_ptr_eq(previous, a);
    wr_shm_set_free(set);
    wr_shm_set_free(third);
}
END_TEST

START_TEST(untouched_pages_cost_nothing)
{
    struct wr_shm_set *set = wr_shm_set_new();
    struct wr_shm *shm = wr_shm_get(set, NULL, "huge", 1, 1, (size_t)1 << 40, NULL);

    ck_assert_ptr_nonnull(shm);
    ((char *)shm->p)[((size_t)1 << 40) - 1] = 1;
    wr_shm_set_free(set);
}
END_TEST

START_TEST(refuses)
{
    struct wr_shm_set *set = wr_shm_set_new();

    ck_assert_ptr_null(wr_shm_get(set, NULL, "a", 1, 1, 0, NULL));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(wr_shm_get(set, NULL, "a;b", 1, 1, 1, NULL));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_ptr_null(wr_shm_get(set, NULL, "a", 1, 1, SIZE_MAX, NULL));
    ck_assert_ptr_null(wr_shm_get(set, NULL, "a", 1, 1, SIZE_MAX / 4, NULL));
    ck_assert(wr_list_empty(&set->segments));
    wr_shm_set_free(set);
}
END_TEST

START_TEST(upgrade_hands_on)
{
    struct wr_shm_set *set = wr_shm_set_new(), *next, *used = wr_shm_set_new();
    struct wr_shm *a = wr_shm_get(set, NULL, "a:b", 7, UINT64_MAX, 5000, NULL), *b;
    char buf[512];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    ck_assert_ptr_nonnull(wr_shm_get(set, NULL, "second", 1, 1, 1, NULL));
    memcpy(a->p, "state", 5);
    wr_shm_inherit(set, true);
    ck_assert_int_eq(fcntl(a->fd, F_GETFD) & FD_CLOEXEC, 0);
    wr_shm_inherit(set, false);
    ck_assert_int_ne(fcntl(a->fd, F_GETFD) & FD_CLOEXEC, 0);
    wr_shm_export(set, &t);
    ck_assert(!t.overflow);
    /* Here the new binary is the same process: two mappings of one memory. */
    next = wr_shm_import(wr_text_view(&t));
    b = wr_shm_get(used, next, "a:b", 7, UINT64_MAX, 5000, NULL);
    ck_assert_ptr_ne(a, b);
    ck_assert(!b->fresh);
    ck_assert_int_eq(memcmp(b->p, "state", 5), 0);
    ck_assert(!wr_shm_get(used, next, "second", 1, 1, 1, NULL)->fresh);
    wr_shm_set_free(next);
    wr_shm_set_free(used);
    wr_shm_set_free(set);
}
END_TEST

START_TEST(believes_no_text)
{
    static const char *const bad[] = {
        "", ";;;", "x", "1:2:3", "999:1:1:4096:a;", "-1:1:1:4096:a;", "2:1:1:99999999999999:a;",
        "99999999999:1:1:1:a;", "2:99999999999:1:1:a;", "2:1:1:0:a;", "2:1:1:18446744073709551615:a"
    };

    for (unsigned i = 0; i < WR_COUNT(bad); i++) {
        struct wr_shm_set *set = wr_shm_import(wr_str_c(bad[i]));

        ck_assert_msg(wr_list_empty(&set->segments), "%s", bad[i]);
        wr_shm_set_free(set);
    }
}
END_TEST

UNIT_MAIN("os/shm", is_shared_with_children, reload_keeps_what_fits, untouched_pages_cost_nothing,
          refuses, upgrade_hands_on, believes_no_text)
