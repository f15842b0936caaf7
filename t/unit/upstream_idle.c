/* How many connections to servers are kept: the peak of those in use within the last minute. */
#include "lib/unit.h"

#include "upstream/upstream.h"

START_TEST(keeps_the_peak_of_the_last_minute)
{
    struct wr_upstream u = { .keepalive = { .connections = 32, .grows = true } };

    wr_in_use_add(&u.in_use, 100, 1000000);
    wr_in_use_add(&u.in_use, -95, 1000010);
    ck_assert_uint_eq(u.in_use.now, 5);
    ck_assert_uint_eq(wr_idle_limit(&u, 1000010), 100);
    ck_assert_uint_eq(wr_idle_limit(&u, 1029000), 100);
    ck_assert_uint_eq(wr_idle_limit(&u, 1031000), 100); /* the half minute before */
    wr_in_use_add(&u.in_use, 45, 1040000);
    wr_in_use_add(&u.in_use, -45, 1040001);
    ck_assert_uint_eq(wr_idle_limit(&u, 1062000), 50);
    ck_assert_uint_eq(wr_idle_limit(&u, 1093000), 32); /* as many as ever */
}
END_TEST

START_TEST(a_long_silence_forgets_both_halves)
{
    struct wr_upstream u = { .keepalive = { .connections = 32, .grows = true } };

    wr_in_use_add(&u.in_use, 100, 1000000);
    wr_in_use_add(&u.in_use, -100, 1000001);
    ck_assert_uint_eq(wr_idle_limit(&u, 1060001), 32);
}
END_TEST

START_TEST(what_is_configured_counts)
{
    struct wr_upstream u = { .keepalive = { .connections = 4 } };

    wr_in_use_add(&u.in_use, 100, 1000000);
    ck_assert_uint_eq(wr_idle_limit(&u, 1000000), 4);
}
END_TEST

UNIT_MAIN("upstream/idle", keeps_the_peak_of_the_last_minute, a_long_silence_forgets_both_halves,
          what_is_configured_counts)
