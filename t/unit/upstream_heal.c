/* Groups that heal themselves: windows, outliers, ejections, retry budgets, panic. */
#include "lib/unit.h"

#include "upstream/upstream_impl.h"

enum { WINDOW = 7000 }; /* ms: slices of one second */

static struct wr_window window;

static void add(uint64_t ms, uint32_t all, uint32_t marked)
{
    wr_window_add(&window, WINDOW, ms, (struct wr_tally){ all, marked });
}

static void sums(uint64_t ms, uint32_t all, uint32_t marked)
{
    struct wr_tally t = wr_window_sum(&window, WINDOW, ms);

    ck_assert_uint_eq(t.all, all);
    ck_assert_uint_eq(t.marked, marked);
}

START_TEST(a_window_forgets)
{
    wr_window_clear(&window);
    sums(100000, 0, 0);
    add(100000, 1, 1);
    add(100999, 1, 0);
    add(101000, 2, 1);
    sums(101000, 4, 2);
    sums(107000, 4, 2); /* the whole window, and up to a slice more */
    sums(107999, 4, 2);
    sums(108000, 2, 1);
    sums(109000, 0, 0);
    add(108500, 3, 0); /* in the place of the first slice */
    sums(108500, 5, 1);
    sums(300000, 0, 0);
}
END_TEST

START_TEST(a_window_bears_other_clocks)
{
    wr_window_clear(&window);
    add(100000, 1, 0);
    sums(99990, 0, 0); /* a process that is late does not see it yet, and adds to its own */
    add(99990, 1, 1);
    sums(99990, 1, 1);
    sums(100000, 2, 1);
}
END_TEST

START_TEST(a_full_slice_keeps_its_share)
{
    wr_window_clear(&window);
    for (int i = 0; i < 1500000; i++)
        add(5000, 1, i % 4 == 0);
    ck_assert_uint_gt(wr_window_sum(&window, WINDOW, 5000).all, 500000);
    ck_assert_uint_le(wr_window_sum(&window, WINDOW, 5000).all, 1 << 20);
    ck_assert_uint_eq((wr_window_sum(&window, WINDOW, 5000).marked * 100 + 50)
                      / wr_window_sum(&window, WINDOW, 5000).all, 25);
}
END_TEST

START_TEST(a_window_bears_nonsense)
{
    uint64_t seed = 1;

    for (int i = 0; i < 10000; i++) {
        for (uint32_t k = 0; k < WR_SLICES; k++) {
            seed = seed * 6364136223846793005U + 1442695040888963407U;
            atomic_store(&window.slice[k], i == 0 ? UINT64_MAX : seed);
        }
        add(seed, 1, 1);
        ck_assert_uint_le(wr_window_sum(&window, WINDOW, seed).all, WR_SLICES << 20);
        ck_assert_uint_le(wr_window_sum(&window, seed % 3, seed).marked, WR_SLICES << 20);
    }
}
END_TEST

START_TEST(finds_outliers)
{
    static const struct {
        uint32_t errors, rate;
        struct wr_tally t;
        bool found;
    } table[] = {
        { 5, 0, { 5, 4 }, false },
        { 5, 0, { 5, 5 }, true },
        { 5, 0, { 1000, 5 }, true },
        { 5, 30, { 4, 4 }, false }, /* too few to speak of a share */
        { 5, 30, { 5, 5 }, true },
        { 5, 30, { 16, 5 }, true },
        { 5, 30, { 17, 5 }, false },
        { 5, 30, { 100, 29 }, false },
        { 5, 30, { 100, 30 }, true },
        { 1, 100, { 2, 1 }, false },
        { 1, 100, { 2, 2 }, true },
        { 1, 1, { 0, 9 }, true }, /* lost updates */
        { 1, 100, { UINT32_MAX, UINT32_MAX }, true },
    };

    for (size_t i = 0; i < WR_COUNT(table); i++) {
        struct wr_outlier o = { .errors = table[i].errors, .rate = table[i].rate };

        ck_assert_msg(wr_outlier_found(&o, table[i].t) == table[i].found, "row %zu", i);
    }
}
END_TEST

START_TEST(ejects_longer_each_time)
{
    static const struct {
        uint32_t before;
        uint64_t quiet_ms;
        uint32_t times;
    } table[] = {
        { 0, 0, 1 },
        { 1, 0, 2 },
        { 1, 29999, 2 },
        { 1, 30000, 1 }, /* a quiet time as long as eject= takes one back */
        { 4, 65000, 3 },
        { 4, UINT64_MAX, 1 },
        { 9, 0, 10 },
        { 10, 0, 10 },
        { UINT32_MAX, 0, 10 },
        { UINT32_MAX, 30000, 10 },
    };

    for (size_t i = 0; i < WR_COUNT(table); i++)
        ck_assert_msg(wr_eject_times(table[i].before, table[i].quiet_ms, 30000) == table[i].times,
                      "row %zu", i);
    ck_assert_uint_eq(wr_eject_times(3, 5, 0), 1);
}
END_TEST

START_TEST(never_ejects_too_many)
{
    static const struct { uint32_t peers, percent, most; } table[] = {
        { 0, 50, 0 }, { 1, 100, 0 }, { 2, 50, 1 }, { 2, 10, 1 }, { 2, 100, 2 }, { 3, 50, 1 },
        { 4, 50, 2 }, { 10, 33, 3 }, { 1000, 1, 10 }, { UINT32_MAX, 100, UINT32_MAX },
    };

    for (size_t i = 0; i < WR_COUNT(table); i++)
        ck_assert_msg(wr_eject_most(table[i].peers, table[i].percent) == table[i].most, "row %zu",
                      i);
}
END_TEST

START_TEST(affords_retries)
{
    static const struct {
        uint32_t percent, min;
        struct wr_tally t;
        bool yes;
    } table[] = {
        { 20, 3, { 0, 0 }, true },
        { 20, 3, { 1, 29 }, true },
        { 20, 3, { 149, 29 }, true },
        { 20, 3, { 150, 30 }, false },
        { 20, 3, { 155, 30 }, true },
        { 20, 3, { 1000, 199 }, true },
        { 20, 3, { 1000, 200 }, false },
        { 20, 0, { 4, 0 }, false },
        { 20, 0, { 5, 0 }, true },
        { 0, 1, { 100000, 9 }, true },
        { 0, 1, { 100000, 10 }, false },
        { 0, 0, { 100000, 0 }, false },
        { 100, 0, { UINT32_MAX, UINT32_MAX - 1 }, true },
    };

    for (size_t i = 0; i < WR_COUNT(table); i++) {
        struct wr_retry_budget b = { true, table[i].percent, table[i].min };

        ck_assert_msg(wr_retry_affordable(&b, table[i].t) == table[i].yes, "row %zu", i);
    }
}
END_TEST

START_TEST(panics_below_the_share)
{
    static const struct { uint32_t healthy, peers, percent; bool panic; } table[] = {
        { 0, 0, 50, false }, { 0, 1, 50, true }, { 1, 1, 100, false }, { 1, 2, 50, false },
        { 1, 2, 51, true }, { 1, 3, 50, true }, { 2, 3, 50, false }, { 1, 4, 50, true },
        { 0, 4, 1, true }, { UINT32_MAX, UINT32_MAX, 100, false },
    };

    for (size_t i = 0; i < WR_COUNT(table); i++)
        ck_assert_msg(wr_panic_needed(table[i].healthy, table[i].peers, table[i].percent)
                      == table[i].panic, "row %zu", i);
}
END_TEST

UNIT_MAIN("upstream/heal", a_window_forgets, a_window_bears_other_clocks,
          a_full_slice_keeps_its_share, a_window_bears_nonsense, finds_outliers,
          ejects_longer_each_time, never_ejects_too_many, affords_retries, panics_below_the_share)
