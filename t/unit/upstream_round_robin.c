/* Round robin: whose turn it is while peers are down, full, failed or tried, and how the turns are
 * shared then. */
#include "lib/unit.h"

#include "upstream/upstream_impl.h"

#define PEERS_MAX 1000

static struct wr_peer_slot slots[PEERS_MAX];
static struct wr_peer at[PEERS_MAX];
static struct wr_group_words words;
static struct wr_peers view;
static struct wr_upstream u;
static struct wr_peer_group group;
static uint32_t taken[PEERS_MAX];
static struct wr_pool *pool;

static void setup(const uint32_t *weights, uint32_t n)
{
    memset(slots, 0, sizeof(slots));
    memset(taken, 0, sizeof(taken));
    memset(&words, 0, sizeof(words));
    pool = wr_pool_new(0);
    view = (struct wr_peers){ .zone = { .words = &words } };
    u = (struct wr_upstream){ .balancer = &wr_round_robin, .peers = &view };
    group = (struct wr_peer_group){ .at = at, .n = n };
    for (uint32_t i = 0; i < n; i++) {
        slots[i].weight = weights[i];
        at[i] = (struct wr_peer){ .slot = &slots[i], .index = i };
    }
    wr_schedule_make(&group.schedule, pool, weights, n);
}

static void teardown(void)
{
    wr_pool_free(pool);
}

static struct wr_peer *pick(const uint64_t *tried)
{
    struct wr_pick p = { .tried = tried, .now_ms = 1000000 };

    return u.balancer->pick(&u, &group, &p);
}

static void pick_many(uint32_t n)
{
    while (n-- > 0) {
        struct wr_peer *peer = pick(NULL);

        ck_assert_ptr_nonnull(peer);
        taken[peer->index]++;
    }
}

/* Share of what all but the unusable ones got, within 2 picks and 2%. */
static void check_share(uint32_t i, uint32_t weight, uint32_t sum, uint32_t picks)
{
    double due = (double)weight * picks / sum, off = due * 0.02 + 2;

    ck_assert_msg(taken[i] > due - off && taken[i] < due + off, "peer %u: %u of %u, due %.1f", i,
                  taken[i], picks, due);
}

START_TEST(others_keep_their_shares)
{
    const uint32_t weights[] = { 5, 1, 1, 3, 2 };

    setup(weights, 5);
    slots[0].health = WR_HEALTH_CHECK;
    slots[4].max_conns = slots[4].conns = 1;
    pick_many(1000);
    ck_assert_uint_eq(taken[0] + taken[4], 0);
    check_share(1, 1, 5, 1000);
    check_share(2, 1, 5, 1000);
    check_share(3, 3, 5, 1000);
    teardown();
}
END_TEST

START_TEST(few_usable_among_many_share_by_weight)
{
    uint32_t weights[PEERS_MAX];

    for (uint32_t i = 0; i < PEERS_MAX; i++)
        weights[i] = 1 + i % 10;
    setup(weights, PEERS_MAX);
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        slots[i].health = i == 3 || i == 500 || i == 509 ? 0 : WR_HEALTH_CHECK;
    pick_many(3000);
    check_share(3, 4, 15, 3000);
    check_share(500, 1, 15, 3000);
    check_share(509, 10, 15, 3000);
    teardown();
}
END_TEST

START_TEST(the_heaviest_is_down)
{
    uint32_t weights[PEERS_MAX];

    for (uint32_t i = 0; i < PEERS_MAX; i++)
        weights[i] = i == 17 ? 100000 : 1 + i % 2;
    setup(weights, PEERS_MAX);
    slots[17].health = WR_HEALTH_CHECK;
    pick_many(150000);
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        double due = i == 17 ? 0 : weights[i] * 150000.0 / 1499;

        ck_assert_msg(taken[i] > due * 0.85 - 2 && taken[i] < due * 1.15 + 2,
                      "peer %u: %u, due %.1f", i, taken[i], due);
    }
    teardown();
}
END_TEST

START_TEST(a_failed_one_rests_and_a_tried_one_is_passed)
{
    const uint32_t weights[] = { 1, 1 };
    const uint64_t tried = 1;

    setup(weights, 2);
    for (uint32_t i = 0; i < 10; i++)
        ck_assert_uint_eq(pick(&tried)->index, 1);
    slots[1].max_fails = slots[1].fails = 1;
    slots[1].fail_timeout_ms = 10000;
    slots[1].checked_ms = 1000000 - 5000;
    ck_assert_ptr_null(pick(&tried));
    slots[1].checked_ms = 1000000 - 10001;
    ck_assert_uint_eq(pick(&tried)->index, 1);
    teardown();
}
END_TEST

START_TEST(nobody_is_usable)
{
    const uint32_t weights[] = { 1, 2 };

    setup(weights, 2);
    slots[0].down = WR_DOWN_CONF;
    slots[1].down = WR_DOWN_DRAIN;
    ck_assert_ptr_null(pick(NULL));
    teardown();
    setup(NULL, 0);
    ck_assert_ptr_null(pick(NULL));
    teardown();
}
END_TEST

/* Two views of one zone, as of two workers. */
START_TEST(workers_share_the_turn)
{
    const uint32_t weights[] = { 1, 1, 1 };

    setup(weights, 3);
    for (uint32_t i = 0; i < 9; i++) {
        struct wr_peers other = view;
        struct wr_upstream v = u;

        v.peers = &other;
        ck_assert_uint_eq(pick(NULL)->index, i * 2 % 3);
        ck_assert_uint_eq(wr_round_robin.pick(&v, &group, &(struct wr_pick){ 0 })->index,
                          (i * 2 + 1) % 3);
    }
    teardown();
}
END_TEST

UNIT_MAIN("upstream/round_robin", others_keep_their_shares, few_usable_among_many_share_by_weight,
          the_heaviest_is_down, a_failed_one_rests_and_a_tried_one_is_passed, nobody_is_usable,
          workers_share_the_turn)
