/* Region memory and the arrays in it. */
#include "lib/unit.h"

START_TEST(gives_aligned_memory)
{
    struct wr_pool *p = wr_pool_new(0);
    size_t last = 0;

    for (size_t n = 0; n < 6000; n += 7) {
        unsigned char *a = wr_pool_alloc(p, n);

        ck_assert_ptr_nonnull(a);
        ck_assert_uint_eq((uintptr_t)a % 16, 0);
        memset(a, 0xff, n);
        ck_assert_uint_gt(wr_pool_used(p), last);
        last = wr_pool_used(p);
    }
    wr_pool_free(p);
    wr_pool_free(NULL);
}
END_TEST

START_TEST(pieces_do_not_overlap)
{
    struct wr_pool *p = wr_pool_new(0);
    unsigned char *a[300];

    for (unsigned i = 0; i < 300; i++) {
        a[i] = wr_pool_zalloc(p, i * 5);
        for (unsigned j = 0; j < i * 5; j++)
            ck_assert_uint_eq(a[i][j], 0);
        memset(a[i], (int)(i & 0xff), i * 5);
    }
    for (unsigned i = 0; i < 300; i++) {
        for (unsigned j = 0; j < i * 5; j++)
            ck_assert_uint_eq(a[i][j], i & 0xff);
    }
    wr_pool_free(p);
}
END_TEST

static void over(void *p)
{
    (void)wr_pool_alloc(p, 200);
}

static void product(void *p)
{
    (void)wr_pool_array(p, SIZE_MAX / 2, 3);
}

START_TEST(keeps_the_limit)
{
    struct wr_pool *p = wr_pool_new(160);

    ck_assert_ptr_nonnull(wr_pool_try(p, 100));
    ck_assert_ptr_null(wr_pool_try(p, 100));
    ck_assert_ptr_null(wr_pool_try(p, SIZE_MAX));
    ck_assert_ptr_null(wr_pool_try(p, SIZE_MAX - 8));
    ck_assert_ptr_nonnull(wr_pool_try(p, 40));
    ck_assert(unit_aborts(over, p));
    wr_pool_free(p);
    p = wr_pool_new(0);
    ck_assert_ptr_null(wr_pool_try(p, SIZE_MAX - 8));
    ck_assert(unit_aborts(product, p));
    wr_pool_free(p);
}
END_TEST

static char trail[8];

static void leave(void *arg)
{
    size_t n = strlen(trail);

    trail[n] = *(char *)arg;
}

static struct wr_pool *late;

static void allocate(void *arg)
{
    ck_assert_ptr_nonnull(wr_pool_alloc(late, 3000));
    wr_pool_cleanup(late, leave, arg);
}

START_TEST(cleans_up_backwards)
{
    static char names[] = "abc";

    late = wr_pool_new(0);
    wr_pool_cleanup(late, leave, &names[0]);
    wr_pool_cleanup(late, allocate, &names[1]);
    wr_pool_cleanup(late, leave, &names[2]);
    wr_pool_free(late);
    ck_assert_str_eq(trail, "cba");
}
END_TEST

START_TEST(copies_text)
{
    struct wr_pool *p = wr_pool_new(0);
    struct wr_str s = WR_STR("abc"), copy = wr_pool_str(p, s);
    char big[5000];

    ck_view(copy, "abc");
    ck_assert_ptr_ne(copy.p, s.p);
    ck_assert_int_eq(copy.p[3], '\0');
    ck_assert_str_eq(wr_pool_cstr(p, wr_str_of(NULL, 0)), "");
    copy = wr_pool_lower(p, WR_STR("Az[\xc3\x84-9"));
    ck_view(copy, "az[\xc3\x84-9");
    ck_assert_int_eq(copy.p[copy.n], '\0');
    ck_assert_uint_eq(wr_pool_lower(p, wr_str_of(NULL, 0)).n, 0);
    ck_view(wr_pool_fmt(p, "%s:%d", "x", 80), "x:80");
    memset(big, 'b', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    ck_view(wr_pool_fmt(p, "%s", big), big);
    wr_pool_free(p);
}
END_TEST

START_TEST(vec_grows)
{
    struct wr_pool *p = wr_pool_new(0);
    WR_VEC(struct { uint32_t a; char b; }) v = { 0 };

    for (uint32_t i = 0; i < 1000; i++) {
        ck_assert_uint_eq(wr_vec_push(p, &v)->a, 0);
        v.at[i].a = i + 1;
    }
    ck_assert_uint_eq(v.n, 1000);
    for (uint32_t i = 0; i < 1000; i++)
        ck_assert_uint_eq(v.at[i].a, i + 1);
    wr_pool_free(p);
}
END_TEST

START_TEST(cache_is_bounded)
{
    struct wr_pool *p = wr_pool_new(0);

    for (unsigned i = 0; i < 100000; i++)
        (void)wr_pool_alloc(p, 64);
    wr_pool_free(p);
    for (unsigned i = 0; i < 1000; i++) {
        p = wr_pool_new(0);
        (void)wr_pool_alloc(p, i);
        wr_pool_free(p);
    }
    wr_pool_drop_cache();
    wr_pool_drop_cache();
}
END_TEST

START_TEST(plain_memory)
{
    char *a = wr_malloc(0), *b = wr_calloc(3, 5);

    ck_assert_ptr_nonnull(a);
    ck_assert_int_eq(b[14], 0);
    a = wr_realloc(a, 100);
    memset(a, 1, 100);
    free(a);
    free(b);
}
END_TEST

UNIT_MAIN("base/pool", gives_aligned_memory, pieces_do_not_overlap, keeps_the_limit,
          cleans_up_backwards, copies_text, vec_grows, cache_is_bounded, plain_memory)
