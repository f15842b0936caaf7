/* The smooth weighted order, compared with nginx's sequences. */
#include "lib/unit.h"

#include "upstream/upstream_impl.h"

static const char *order(const uint32_t *weights, uint32_t n, uint32_t max)
{
    static char text[256];
    uint32_t steps[64], count = wr_schedule(weights, n, steps, max);

    ck_assert_uint_lt(count, sizeof(text));
    for (uint32_t i = 0; i < count; i++)
        text[i] = (char)('a' + steps[i]);
    text[count] = 0;
    return text;
}
#define ORDER(max, ...) \
    order((const uint32_t[]){ __VA_ARGS__ }, \
          sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t), max)

START_TEST(is_smooth)
{
    ck_assert_str_eq(ORDER(64, 5, 1, 1), "aabacaa");
    ck_assert_str_eq(ORDER(64, 1, 1, 1), "abc");
    ck_assert_str_eq(ORDER(64, 2, 1), "aba");
    ck_assert_str_eq(ORDER(64, 1), "a");
}
END_TEST

START_TEST(divides_by_the_common_factor)
{
    ck_assert_str_eq(ORDER(64, 100, 100), "ab");
    ck_assert_str_eq(ORDER(64, 20, 10), "aba");
}
END_TEST

START_TEST(stays_below_the_limit_and_keeps_all)
{
    uint32_t weights[3] = { 1000000, 1, 500000 }, steps[16], seen[3] = { 0 };
    uint32_t n = wr_schedule(weights, 3, steps, 16);

    ck_assert_uint_le(n, 16);
    for (uint32_t i = 0; i < n; i++)
        seen[steps[i]]++;
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_uint_gt(seen[i], 0);
    ck_assert_uint_gt(seen[0], seen[2]);
}
END_TEST

START_TEST(no_peers_no_steps)
{
    uint32_t none = 0;

    ck_assert_uint_eq(wr_schedule(NULL, 0, &none, 1), 0);
}
END_TEST

UNIT_MAIN("upstream/schedule", is_smooth, divides_by_the_common_factor,
          stays_below_the_limit_and_keeps_all, no_peers_no_steps)
