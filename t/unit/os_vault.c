/* Memory for keys: blocks of all sizes do not overlap and keep their bytes, also with several
 * threads, in mappings that the kernel leaves out of core files. */
#include "os/os.h"

#include "lib/unit.h"

#include <pthread.h>

#define BLOCKS 400

static void fill(unsigned char *p, size_t n, unsigned char with)
{
    memset(p, with, n);
}

static bool is_full_of(const unsigned char *p, size_t n, unsigned char with)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != with)
            return false;
    return true;
}

START_TEST(every_size)
{
    static const size_t around[] = { 1, 16, 128, 129, 144, 256, 1000, 4096, 16704, 65535, 65536 };

    for (size_t i = 0; i < WR_COUNT(around); i++) {
        for (size_t n = around[i]; n < around[i] + 3; n++) {
            unsigned char *a = wr_vault_alloc(n), *b = wr_vault_alloc(n);

            ck_assert(a != NULL && b != NULL && a != b);
            ck_assert_uint_eq((uintptr_t)a % 16, 0);
            fill(a, n, 1);
            fill(b, n, 2);
            ck_assert(is_full_of(a, n, 1));
            wr_vault_free(a);
            ck_assert(is_full_of(b, n, 2));
            wr_vault_free(b);
        }
    }
    ck_assert_ptr_null(wr_vault_alloc(0));
    ck_assert_ptr_null(wr_vault_alloc(SIZE_MAX));
    ck_assert_ptr_null(wr_vault_alloc(SIZE_MAX - 20));
    wr_vault_free(NULL);
}
END_TEST

START_TEST(used_again)
{
    void *a = wr_vault_alloc(1000), *b;

    wr_vault_free(a);
    b = wr_vault_alloc(990); /* the same class */
    ck_assert_ptr_eq(a, b);
    wr_vault_free(b);
}
END_TEST

START_TEST(grows_and_shrinks)
{
    static const size_t sizes[] = { 10, 16, 17, 500, 70000, 200000, 66000, 3000, 1 };
    unsigned char *p = wr_vault_realloc(NULL, 5);

    ck_assert_ptr_nonnull(p);
    fill(p, 5, 7);
    for (size_t i = 0, before = 5; i < WR_COUNT(sizes); before = sizes[i++]) {
        p = wr_vault_realloc(p, sizes[i]);
        ck_assert_ptr_nonnull(p);
        ck_assert(is_full_of(p, wr_min(before, sizes[i]), 7));
        fill(p, sizes[i], 7);
    }
    ck_assert_ptr_null(wr_vault_realloc(p, 0));
}
END_TEST

static void *work(void *arg)
{
    unsigned char mark = (unsigned char)(uintptr_t)arg, *p[BLOCKS];
    size_t n[BLOCKS];

    for (unsigned turn = 0; turn < 20; turn++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            n[i] = 1 + (i * 97 + turn * 13) % 3000;
            p[i] = wr_vault_alloc(n[i]);
            fill(p[i], n[i], mark);
        }
        for (size_t i = 0; i < BLOCKS; i++) {
            if (!is_full_of(p[i], n[i], mark))
                return arg;
            wr_vault_free(p[i]);
        }
    }
    return NULL;
}

START_TEST(threads)
{
    pthread_t id[4];
    void *wrong;

    for (uintptr_t i = 0; i < WR_COUNT(id); i++)
        ck_assert_int_eq(pthread_create(&id[i], NULL, work, (void *)(i + 1)), 0);
    for (size_t i = 0; i < WR_COUNT(id); i++) {
        ck_assert_int_eq(pthread_join(id[i], &wrong), 0);
        ck_assert_ptr_null(wrong);
    }
}
END_TEST

/* Does the mapping of p have the flag "dd" (not in core files)? */
static bool is_left_out(const void *p)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    unsigned long long from, to;
    bool here = false, out = false;
    char line[512];

    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
            here = (uintptr_t)p >= from && (uintptr_t)p < to;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            out = strstr(line, " dd") != NULL;
    }
    (void)fclose(f);
    return out;
}

START_TEST(not_in_core_files)
{
    void *small = wr_vault_alloc(40), *large = wr_vault_alloc(100000), *plain = wr_malloc(40);

    ck_assert(is_left_out(small));
    ck_assert(is_left_out(large));
    ck_assert(!is_left_out(plain));
    free(plain);
    wr_vault_free(small);
    wr_vault_free(large);
}
END_TEST

UNIT_MAIN("os/vault", every_size, used_again, grows_and_shrinks, threads, not_in_core_files)
