/* The chaos switch: without it nothing changes, with it a seed repeats the same sequence. */
#include "os/os.h"

#include "lib/unit.h"

enum { CALLS = 16000 };

/* A checksum over the results of all calls: 0 for EAGAIN, else the bytes allowed of 1000. */
static uint64_t draw(const char *seed, unsigned *again, unsigned *shortened)
{
    uint64_t sum = 0;

    ck_assert_int_eq(setenv("WR_CHAOS", seed, 1), 0);
    *again = *shortened = 0;
    for (unsigned i = 0; i < CALLS; i++) {
        size_t n = 1000;
        bool go = wr_chaos_io(&n);

        ck_assert(n == 1000 || (n >= 1 && n <= 8));
        *again += !go;
        *shortened += n != 1000;
        sum = sum * 31 + (go ? n : 0);
    }
    return sum;
}

START_TEST(off)
{
    size_t n = 5;

    (void)unsetenv("WR_CHAOS");
    ck_assert(!wr_chaos());
    for (unsigned i = 0; i < 100; i++)
        ck_assert(wr_chaos_io(&n));
    ck_assert_uint_eq(n, 5);
}
END_TEST

START_TEST(on)
{
    unsigned again, shortened;

    (void)draw("1", &again, &shortened);
#if WR_DEBUG
    ck_assert(wr_chaos());
    ck_assert_uint_gt(again, CALLS / 16 / 2);
    ck_assert_uint_lt(again, CALLS / 16 * 2);
    ck_assert_uint_gt(shortened, CALLS / 4 / 2);
    ck_assert_uint_lt(shortened, CALLS / 4 * 2);
#else
    ck_assert_uint_eq(again + shortened, 0);
#endif
}
END_TEST

START_TEST(never_lengthens)
{
    ck_assert_int_eq(setenv("WR_CHAOS", "word", 1), 0);
    for (unsigned i = 0; i < CALLS; i++) {
        size_t n = i % 4;

        (void)wr_chaos_io(&n);
        ck_assert_uint_le(n, i % 4);
    }
}
END_TEST

START_TEST(repeats)
{
    unsigned a, b;
    uint64_t mine[2], of_child;
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    for (unsigned i = 0; i < 2; i++) {
        if (fork() == 0) {
            of_child = draw("42", &a, &b);
            _exit(write(fds[1], &of_child, sizeof(of_child)) != sizeof(of_child));
        }
        ck_assert_int_eq(read(fds[0], &mine[i], sizeof(mine[i])), sizeof(mine[i]));
    }
    ck_assert_uint_eq(mine[0], mine[1]);
}
END_TEST

UNIT_MAIN("os/chaos", off, on, never_lengthens, repeats)
