/* Shared memory over forks, reloads and upgrades. */
#include "os/os.h"

#include "lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

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
    ck_assert_ptr_null(previous); /* another layout: its state cannot be read */
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
    ck_assert_ptr_null(wr_shm_get(set, NULL, "a", 1, 1, SIZE_MAX, NULL));
    ck_assert_ptr_null(wr_shm_get(set, NULL, "a", 1, 1, SIZE_MAX / 4, NULL));
    ck_assert(wr_list_empty(&set->segments));
    wr_shm_set_free(set);
}
END_TEST

START_TEST(survives_an_upgrade)
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

/* Names longer than a file name may be, and names with the characters that end a name or a set in
 * the exported text. */
START_TEST(any_name)
{
    static const char *const names[] = { "a;b", "a%3bb", "a b\nrun 1:2:3;", "%", "%3", "\xff" };
    struct wr_shm_set *set = wr_shm_set_new(), *next, *used = wr_shm_set_new();
    char longest[1000], buf[4096];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    ck_assert_ptr_nonnull(wr_shm_get(set, NULL, longest, 1, 1, 1, NULL));
    for (size_t i = 0; i < WR_COUNT(names); i++)
        ck_assert_ptr_nonnull(wr_shm_get(set, NULL, names[i], 1, i, 1, NULL));
    wr_shm_export(set, &t);
    ck_assert_ptr_null(memchr(buf, '\n', t.n));
    next = wr_shm_import(wr_text_view(&t));
    ck_assert(!wr_shm_get(used, next, longest, 1, 1, 1, NULL)->fresh);
    for (size_t i = 0; i < WR_COUNT(names); i++)
        ck_assert(!wr_shm_get(used, next, names[i], 1, i, 1, NULL)->fresh);
    wr_shm_set_free(next);
    wr_shm_set_free(used);
    wr_shm_set_free(set);
}
END_TEST

START_TEST(keeps_its_size)
{
    struct wr_shm_set *set = wr_shm_set_new();
    struct wr_shm *shm = wr_shm_get(set, NULL, "zone", 1, 2, 10000, NULL);

    ck_assert_int_ne(ftruncate(shm->fd, 0), 0);
    ck_assert_int_ne(ftruncate(shm->fd, 20000), 0);
    ck_assert_int_ne(fcntl(shm->fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    wr_shm_set_free(set);
}
END_TEST

/* An old binary does not seal: its workers can still truncate the memory. */
START_TEST(copies_what_is_not_sealed)
{
    int fd = memfd_create("old", 0);
    struct wr_shm_set *next, *used = wr_shm_set_new();
    struct wr_shm *shm;
    char text[64];

    ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
    ck_assert_int_eq(pwrite(fd, "first", 5, 0), 5);
    ck_assert_int_eq(pwrite(fd, "last", 4, (1 << 20) - 4), 4);
    (void)snprintf(text, sizeof(text), "%d:1:1:%d:zone;", dup(fd), 1 << 20);
    next = wr_shm_import(wr_str_c(text));
    shm = wr_shm_get(used, next, "zone", 1, 1, 1 << 20, NULL);
    ck_assert(!shm->fresh);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    ck_assert_int_eq(memcmp(shm->p, "first", 5), 0);
    ck_assert_int_eq(memcmp((char *)shm->p + (1 << 20) - 4, "last", 4), 0);
    ck_assert_int_ne(ftruncate(shm->fd, 0), 0);
    wr_shm_set_free(next);
    wr_shm_set_free(used);
    (void)close(fd);
}
END_TEST

START_TEST(refuses_wrong_texts)
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
          refuses, survives_an_upgrade, any_name, keeps_its_size,
          copies_what_is_not_sealed, refuses_wrong_texts)
