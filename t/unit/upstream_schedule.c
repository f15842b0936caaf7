/* The order of round robin: nginx's sequences for small sums, exact shares for any. */
#include "lib/unit.h"

#include "upstream/upstream_impl.h"

static const char *order(const uint32_t *weights, uint32_t n)
{
    static char text[256];
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_schedule s;

    wr_schedule_make(&s, pool, weights, n);
    ck_assert_uint_lt(s.steps, sizeof(text));
    for (uint64_t i = 0; i < s.steps; i++)
        text[i] = (char)('a' + wr_schedule_at(&s, i));
    text[s.steps] = 0;
    wr_pool_free(pool);
    return text;
}
#define ORDER(...) \
    order((const uint32_t[]){ __VA_ARGS__ }, \
          sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

START_TEST(is_smooth)
{
    ck_assert_str_eq(ORDER(5, 1, 1), "aabacaa");
    ck_assert_str_eq(ORDER(1, 1, 1), "abc");
    ck_assert_str_eq(ORDER(2, 1), "aba");
    ck_assert_str_eq(ORDER(1), "a");
    ck_assert_str_eq(ORDER(2, 3, 1), "babcab");
}
END_TEST

START_TEST(divides_by_the_common_factor)
{
    ck_assert_str_eq(ORDER(100, 100), "ab");
    ck_assert_str_eq(ORDER(20, 10), "aba");
}
END_TEST

START_TEST(weight_0_has_no_turn)
{
    ck_assert_str_eq(ORDER(0, 2, 0, 1), "bdb");
}
END_TEST

START_TEST(no_peers_no_steps)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_schedule s;

    wr_schedule_make(&s, pool, NULL, 0);
    ck_assert_uint_eq(s.steps, 0);
    wr_schedule_make(&s, pool, (const uint32_t[]){ 0, 0 }, 2);
    ck_assert_uint_eq(s.steps, 0);
    wr_pool_free(pool);
}
END_TEST

/* The rule, position by position: each adds its weight, the largest is taken and gives back the
 * sum. */
static uint32_t take_largest(int64_t *current, const uint32_t *weights, uint32_t n, int64_t sum)
{
    uint32_t best = 0;

    for (uint32_t i = 0; i < n; i++) {
        current[i] += weights[i];
        if (current[i] > current[best])
            best = i;
    }
    current[best] -= sum;
    return best;
}

#define PEERS 100
START_TEST(follows_the_rule_for_many_weights)
{
    uint32_t weights[PEERS];

    for (uint32_t round = 0; round < 60; round++) {
        struct wr_pool *pool = wr_pool_new(0);
        int64_t current[PEERS] = { 0 }, sum = 0;
        uint32_t n = 2 + round % (PEERS - 1);
        struct wr_schedule s;

        for (uint32_t i = 0; i < n; i++)
            sum += weights[i] = 1 + (i * 7919 + round * 104729) % (round % 5 * 9 + 2);
        weights[0]++; /* consecutive weights have no common divisor */
        weights[1] = weights[0] + 1;
        sum = 0;
        for (uint32_t i = 0; i < n; i++)
            sum += weights[i];
        wr_schedule_make(&s, pool, weights, n);
        ck_assert_uint_eq(s.steps, (uint64_t)sum);
        ck_assert_ptr_nonnull(s.order);
        for (uint64_t p = 0; p < s.steps; p++)
            ck_assert_uint_eq(wr_schedule_at(&s, p), take_largest(current, weights, n, sum));
        wr_pool_free(pool);
    }
}
END_TEST

static void check_window(const struct wr_schedule *s, const uint32_t *weights, uint32_t n,
                         uint64_t from)
{
    uint32_t *seen = wr_calloc(n, sizeof(*seen));

    for (uint64_t p = 0; p < s->steps; p++)
        seen[wr_schedule_at(s, from + p)]++;
    for (uint32_t i = 0; i < n; i++)
        ck_assert_uint_eq(seen[i], weights[i]);
    free(seen);
}

START_TEST(large_sums_have_exact_shares)
{
    struct wr_pool *pool = wr_pool_new(0);
    uint32_t weights[1000];
    struct wr_schedule s;

    for (uint32_t i = 0; i < 1000; i++)
        weights[i] = 1 + i * 31 % 97;
    wr_schedule_make(&s, pool, weights, 1000);
    ck_assert_uint_gt(s.steps, 4096);
    check_window(&s, weights, 1000, 0);
    check_window(&s, weights, 1000, 12345);
    weights[17] = 1000000;
    weights[18] = 0;
    wr_schedule_make(&s, pool, weights, 1000);
    check_window(&s, weights, 1000, 777);
    wr_pool_free(pool);
}
END_TEST

/* 1,000,000 and 500,000 of 1,500,001: about two of three, in any short stretch. */
START_TEST(large_sums_are_spread)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_schedule s;

    wr_schedule_make(&s, pool, (const uint32_t[]){ 1000000, 1, 500000 }, 3);
    for (uint64_t from = 0; from < 3000; from += 30) {
        uint32_t first = 0;

        for (uint64_t p = 0; p < 30; p++)
            first += wr_schedule_at(&s, from + p) == 0;
        ck_assert_uint_ge(first, 18);
        ck_assert_uint_le(first, 22);
    }
    wr_pool_free(pool);
}
END_TEST

START_TEST(huge_sums_keep_all)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_schedule s;

    wr_schedule_make(&s, pool, (const uint32_t[]){ UINT32_MAX, UINT32_MAX - 1, 1 }, 3);
    ck_assert_uint_le(s.steps, UINT32_MAX);
    for (uint64_t p = 0; p < 1000; p++)
        ck_assert_uint_lt(wr_schedule_at(&s, UINT64_MAX - p), 3);
    ck_assert_uint_eq(s.end[2], s.end[1] + 1);
    wr_pool_free(pool);
}
END_TEST

START_TEST(spread_is_a_permutation)
{
    bool seen[1001] = { false };

    for (uint64_t p = 5000; p < 6001; p++) {
        uint64_t at = wr_schedule_spread(p, 1001);

        ck_assert_uint_lt(at, 1001);
        ck_assert(!seen[at]);
        seen[at] = true;
    }
    ck_assert_uint_eq(wr_schedule_spread(7, 1), 0);
}
END_TEST

UNIT_MAIN("upstream/schedule", is_smooth, divides_by_the_common_factor, weight_0_has_no_turn,
          no_peers_no_steps, follows_the_rule_for_many_weights, large_sums_have_exact_shares,
          large_sums_are_spread, huge_sums_keep_all, spread_is_a_permutation)
