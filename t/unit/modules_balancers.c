/* The balancers least_conn, least_time and random, and slow_start: which peer of a group is picked,
 * by table. */
#include "lib/unit.h"

#include "upstream/upstream_impl.h"

#include "../../modules/shared/balancers/peer_time.h"

extern struct wr_module wr_module_least_conn, wr_module_least_time, wr_module_random;

#define PEERS_MAX 1000
#define NOW 1000000          /* ms */
static struct wr_pool *pool;
static struct wr_conf conf;
static struct wr_upstreams all;
static void *states[256];
static struct wr_upstream *group;

/* ---- a group ---- */

static void set_balancer(struct wr_module *m, const char *directive)
{
    struct wr_scope scope = { .layer = group->layer, .object = group };
    struct wr_node node = { .words = WR_NEW_ARRAY(pool, struct wr_word, 8) };
    struct wr_cf cf = { .conf = &conf, .pool = pool, .scope = &scope, .node = &node };
    struct wr_str rest = wr_str_c(directive);

    while (rest.n > 0)
        node.words[node.nwords++].text = wr_pool_str(pool, wr_str_cut(&rest, ' '));
    cf.nargs = node.nwords - 1;
    ck_assert(m->directives[0].set(&cf, NULL));
}

/* Peers 127.0.0.1:1 ... of these weights. m NULL: round robin. */
static void make_group(uint32_t layer, struct wr_module *m, const char *directive,
                       const uint32_t *weights, uint32_t n)
{
    pool = wr_pool_new(0);
    group = WR_NEW(pool, struct wr_upstream);
    WR_TYPED(group, UPSTREAM);
    group->name = WR_STR("group");
    group->layer = layer;
    group->balancer = &wr_round_robin;
    for (uint32_t i = 0; i < n; i++) {
        struct wr_server *s = wr_vec_push(pool, &group->servers);

        *s = (struct wr_server){ .text = wr_pool_fmt(pool, "127.0.0.1:%u", i + 1),
                                 .weight = weights[i], .max_fails = 1, .fail_timeout_ms = 10000,
                                 .key = i + 1 };
        ck_assert(wr_addr_parse(s->text, 0, &s->addr));
    }
    if (m != NULL)
        set_balancer(m, directive);
    wr_self_init();
    wr_clock_update();
    all = (struct wr_upstreams){ 0 };
    *wr_vec_push(pool, &all.all) = group;
    conf = (struct wr_conf){ .pool = pool, .state = states, .shm = wr_shm_set_new() };
    states[wr_module_upstream.index] = &all;
    ck_assert(wr_upstreams_open(&conf));
    wr_upstreams_commit(&conf, 5, false);
}

static void drop_group(void)
{
    wr_peers_drop(group);
    wr_shm_set_free(conf.shm);
    wr_pool_free(pool);
}

static struct wr_peer_slot *slot_of(uint32_t i)
{
    return wr_peers_view(group)->main.at[i].slot;
}

static uint32_t pick_at(uint64_t now)
{
    struct wr_pick p = { .now_ms = now };
    struct wr_peer_group *g = &wr_peers_view(group)->main;
    const struct wr_peer *peer = group->balancer->pick(group, g, &p);

    return peer != NULL ? (uint32_t)(peer - g->at) : UINT32_MAX;
}

/* "aab": the peers of n picks; "-": none. With `hold` each keeps its connection. */
static const char *picks(uint32_t n, bool hold)
{
    static char text[64];

    ck_assert_uint_lt(n, sizeof(text));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = pick_at(NOW);

        text[i] = k == UINT32_MAX ? '-' : (char)('a' + k);
        if (hold && k != UINT32_MAX)
            atomic_fetch_add(&slot_of(k)->conns, 1);
    }
    text[n] = 0;
    return text;
}

/* ---- which peer ---- */

struct row {
    const char *directive;
    struct wr_module *module;
    uint32_t n, weights[4], conns[4];
    uint32_t out;                /* bits: peers that are unhealthy */
    uint32_t ms[4];              /* average times; 0: not measured */
    uint32_t since[4];           /* when they were measured, before now */
    bool hold;
    const char *want;
};

static const struct row rows[] = {
    /* without connections: nginx's order of round robin */
    { "least_conn", &wr_module_least_conn, 3, { 5, 1, 1 }, { 0 }, 0, { 0 }, { 0 }, false,
      "aabacaa" },
    { "least_conn", &wr_module_least_conn, 3, { 1, 1, 1 }, { 0, 1, 0 }, 0, { 0 }, { 0 }, false,
      "acac" },
    { "least_conn", &wr_module_least_conn, 3, { 1, 1, 1 }, { 2, 1, 3 }, 0, { 0 }, { 0 }, false,
      "bbb" },
    /* for their weights: 4/4 < 2/1 */
    { "least_conn", &wr_module_least_conn, 2, { 4, 1 }, { 4, 2 }, 0, { 0 }, { 0 }, false, "aaa" },
    { "least_conn", &wr_module_least_conn, 2, { 4, 1 }, { 8, 1 }, 0, { 0 }, { 0 }, false, "bbb" },
    { "least_conn", &wr_module_least_conn, 3, { 1, 1, 1 }, { 0 }, 0, { 0 }, { 0 }, true,
      "abcabcabc" },
    { "least_conn", &wr_module_least_conn, 3, { 1, 1, 1 }, { 1, 1, 1 }, 0, { 0 }, { 0 }, false,
      "abcabc" },
    { "least_conn", &wr_module_least_conn, 3, { 1, 1, 1 }, { 1, 0, 2 }, 0, { 0 }, { 0 }, true,
      "bab" },
    { "least_conn", &wr_module_least_conn, 3, { 1, 1, 1 }, { 3, 0, 4 }, 2, { 0 }, { 0 }, true,
      "aca" },
    { "least_conn", &wr_module_least_conn, 2, { 1, 1 }, { 0 }, 3, { 0 }, { 0 }, false, "--" },
    /* the least time; peers that were not measured come first, but get one request only */
    { "least_time header", &wr_module_least_time, 2, { 1, 1 }, { 0 }, 0, { 10, 30 }, { 0 }, false,
      "aaa" },
    { "least_time header", &wr_module_least_time, 2, { 1, 1 }, { 3, 0 }, 0, { 10, 30 }, { 0 },
      false, "bbb" },
    { "least_time header", &wr_module_least_time, 2, { 4, 1 }, { 3, 0 }, 0, { 10, 30 }, { 0 },
      false, "aaa" },
    { "least_time header", &wr_module_least_time, 3, { 1, 1, 1 }, { 0 }, 0, { 10, 0, 0 }, { 0 },
      true, "bcaa" },
    { "least_time header", &wr_module_least_time, 3, { 1, 1, 1 }, { 0 }, 0, { 0 }, { 0 }, true,
      "abcabc" },
    { "least_time header", &wr_module_least_time, 2, { 1, 1 }, { 0 }, 1, { 10, 30 }, { 0 }, false,
      "bbb" },
    { "least_time header", &wr_module_least_time, 3, { 2, 1, 1 }, { 0 }, 0, { 7, 7, 7 }, { 0 },
      false, "aaa" },
    { "least_time header", &wr_module_least_time, 3, { 1, 1, 1 }, { 0 }, 0, { 7, 7, 7 }, { 0 },
      false, "abcabc" },
    /* forgotten: 4000 ms measured two minutes ago count as 1 */
    { "least_time last_byte", &wr_module_least_time, 2, { 1, 1 }, { 0 }, 0, { 10, 4000 },
      { 0, 120000 }, false, "bbb" },
    { "least_time last_byte", &wr_module_least_time, 2, { 1, 1 }, { 0 }, 0, { 10, 4000 },
      { 0, 9999 }, false, "aaaaaaaaa" },
    /* one pick of eight may go to a peer that was not asked for fail_timeout, if it has nothing to
     * do, and for as long as it takes */
    { "least_time last_byte", &wr_module_least_time, 2, { 1, 1 }, { 0 }, 0, { 10, 4000 },
      { 0, 10000 }, false, "baaaaaaab" },
    { "least_time last_byte", &wr_module_least_time, 2, { 1, 1 }, { 0, 1 }, 0, { 10, 4000 },
      { 0, 10000 }, false, "aaaaaaaaa" },
    { "least_time last_byte", &wr_module_least_time, 2, { 1, 1 }, { 0 }, 0, { 10, 14000 },
      { 0, 13999 }, false, "aaaaaaaaa" },
    /* also where all peers are due, as requests are rare */
    { "least_time header", &wr_module_least_time, 2, { 1, 1 }, { 0 }, 0, { 400, 10 },
      { 20000, 20000 }, false, "abbbbbbbb" },
    /* equal: below 5 ms, and within an eighth */
    { "least_time header", &wr_module_least_time, 2, { 1, 1 }, { 0 }, 0, { 1, 4 }, { 0 }, false,
      "abab" },
    { "least_time header", &wr_module_least_time, 2, { 1, 1 }, { 0 }, 0, { 6, 4 }, { 0 }, false,
      "bbb" },
    { "least_time header", &wr_module_least_time, 2, { 1, 1 }, { 0 }, 0, { 110, 104 }, { 0 },
      false, "abab" },
    { "least_time header", &wr_module_least_time, 2, { 1, 1 }, { 0 }, 0, { 125, 104 }, { 0 },
      false, "bbb" },
    /* inflight: its one request has waited for 500 ms, half of it counts as 1000 for two */
    { "least_time header inflight", &wr_module_least_time, 2, { 1, 1 }, { 1, 0 }, 0, { 10, 100 },
      { 500, 0 }, false, "bbb" },
    { "least_time header inflight", &wr_module_least_time, 2, { 1, 1 }, { 0, 0 }, 0, { 10, 100 },
      { 500, 0 }, false, "aaa" },
    { "least_time header", &wr_module_least_time, 2, { 1, 1 }, { 1, 0 }, 0, { 10, 100 },
      { 500, 0 }, false, "aaa" },
    /* two of two: always the better one */
    { "random two", &wr_module_random, 2, { 1, 1 }, { 3, 1 }, 0, { 0 }, { 0 }, false, "bbbbbbbb" },
    { "random two least_conn", &wr_module_random, 2, { 5, 1 }, { 3, 1 }, 0, { 0 }, { 0 }, false,
      "aaaaaaaa" },
    { "random two least_time=header", &wr_module_random, 2, { 1, 1 }, { 0 }, 0, { 30, 10 }, { 0 },
      false, "bbbbbbbb" },
    { "random two", &wr_module_random, 2, { 1, 1 }, { 0, 9 }, 1, { 0 }, { 0 }, false, "bbbb" },
    { "random two", &wr_module_random, 1, { 1 }, { 9 }, 0, { 0 }, { 0 }, false, "aaaa" },
    { "random", &wr_module_random, 2, { 1, 1 }, { 0 }, 2, { 0 }, { 0 }, false, "aaaa" },
    { "random", &wr_module_random, 2, { 1, 1 }, { 0 }, 3, { 0 }, { 0 }, false, "--" },
};

START_TEST(picks_by_table)
{
    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        const struct row *r = &rows[i];
        const char *got;

        make_group(WR_L7, r->module, r->directive, r->weights, r->n);
        for (uint32_t k = 0; k < r->n; k++) {
            struct wr_peer_slot *s = slot_of(k);

            atomic_store(&s->conns, r->conns[k]);
            atomic_store(&s->health, (r->out >> k & 1) != 0 ? WR_HEALTH_CHECK : 0);
            atomic_store(&s->time_avg, r->ms[k] * WR_TIME_MS);
            atomic_store(&s->timed_ms, NOW - r->since[k]);
        }
        got = picks((uint32_t)strlen(r->want), r->hold);
        ck_assert_msg(strcmp(got, r->want) == 0, "row %zu, %s: %s, not %s", i, r->directive, got,
                      r->want);
        drop_group();
    }
}
END_TEST

/* Bits of `out` are unhealthy; the picks of peer i are within 3% of `picks` of want[i]. */
static void check_shares(uint32_t n, const double *want, uint32_t total)
{
    uint32_t seen[PEERS_MAX] = { 0 };

    for (uint32_t i = 0; i < total; i++) {
        uint32_t k = pick_at(NOW);

        ck_assert_uint_lt(k, n);
        seen[k]++;
    }
    for (uint32_t i = 0; i < n; i++) {
        double share = (double)seen[i] / total;

        ck_assert_msg(share > want[i] - 0.03 && share < want[i] + 0.03, "peer %u: %.3f, not %.3f",
                      i, share, want[i]);
    }
}

START_TEST(random_draws_by_weight)
{
    make_group(WR_L4, &wr_module_random, "random", (const uint32_t[]){ 5, 3, 2 }, 3);
    check_shares(3, (const double[]){ 0.5, 0.3, 0.2 }, 20000);
    atomic_store(&slot_of(0)->health, WR_HEALTH_CHECK);
    check_shares(3, (const double[]){ 0, 0.6, 0.4 }, 20000);
    drop_group();
}
END_TEST

/* Only a few of many are usable: drawn in one walk, by weight. */
START_TEST(random_among_few)
{
    uint32_t weights[PEERS_MAX];
    double want[PEERS_MAX] = { [17] = 0.25, [500] = 0.75 };

    for (uint32_t i = 0; i < PEERS_MAX; i++)
        weights[i] = i == 500 ? 3 : 1;
    make_group(WR_L4, &wr_module_random, "random", weights, PEERS_MAX);
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        atomic_store(&slot_of(i)->health, want[i] > 0 ? 0 : WR_HEALTH_CHECK);
    check_shares(PEERS_MAX, want, 4000);
    drop_group();
}
END_TEST

/* Two equal ones of many with more: by weight, though they are seldom in turn. */
START_TEST(equal_ones_far_apart_share)
{
    uint32_t weights[PEERS_MAX];
    double want[PEERS_MAX] = { [17] = 0.25, [18] = 0.75 };

    for (uint32_t i = 0; i < PEERS_MAX; i++)
        weights[i] = i == 18 ? 3 : 1;
    make_group(WR_L7, &wr_module_least_conn, "least_conn", weights, PEERS_MAX);
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        atomic_store(&slot_of(i)->conns, want[i] > 0 ? weights[i] : 4 * weights[i]);
    check_shares(PEERS_MAX, want, 4000);
    drop_group();
}
END_TEST

/* All of many are busy, most of the idle ones cannot be used: few are looked at by a pick, and yet
 * the connections are spread evenly. */
START_TEST(many_busy_ones_fill_evenly)
{
    uint32_t weights[PEERS_MAX], want[PEERS_MAX], exact = 0;
    struct wr_module *const modules[] = { &wr_module_least_conn, &wr_module_least_time };

    for (unsigned m = 0; m < WR_COUNT(modules); m++) {
        exact = 0;
        for (uint32_t i = 0; i < PEERS_MAX; i++)
            weights[i] = 1 + i % 3;
        make_group(WR_L4, modules[m], m == 0 ? "least_conn" : "least_time connect", weights,
                   PEERS_MAX);
        for (uint32_t i = 0; i < PEERS_MAX; i++) {
            struct wr_peer_slot *s = slot_of(i);

            atomic_store(&s->health, i % 10 != 7 ? 0 : WR_HEALTH_CHECK);
            atomic_store(&s->conns, i % 10 != 7 ? 3 * weights[i] - m : 0);
            atomic_store(&s->time_avg, 40 * WR_TIME_MS);
            atomic_store(&s->timed_ms, NOW);
            want[i] = i % 10 != 7 ? 4 * weights[i] - m : 0;
        }
        for (uint32_t i = 0; i < PEERS_MAX; i++)
            (void)picks(i % 10 != 7 ? weights[i] : 0, true);
        for (uint32_t i = 0; i < PEERS_MAX; i++) {
            uint32_t conns = atomic_load(&slot_of(i)->conns);

            ck_assert_msg(conns <= want[i] + 1 && conns + 1 >= want[i],
                          "module %u, peer %u: %u, not %u", m, i, conns, want[i]);
            exact += conns == want[i];
        }
        ck_assert_uint_ge(exact, PEERS_MAX * 9 / 10);
        drop_group();
    }
}
END_TEST

/* ---- slow_start ---- */

START_TEST(warmth_grows)
{
    static const struct { uint64_t up, now; uint32_t slow, want; } warm[] = {
        { 0, 5000, 1000, WR_WARM },           /* it always was up */
        { 5000, 5000, 0, WR_WARM },
        { 5000, 5000, 1000, WR_WARM / 100 },
        { 5000, 5250, 1000, WR_WARM / 4 },
        { 5000, 5999, 1000, WR_WARM * 999 / 1000 },
        { 5000, 6000, 1000, WR_WARM },
        { 5000, 4990, 1000, WR_WARM / 100 },  /* another process' clock is ahead */
        { 5000, UINT64_MAX, UINT32_MAX, WR_WARM },
    };

    for (size_t i = 0; i < WR_COUNT(warm); i++) {
        struct wr_peer_slot s = { .up_ms = warm[i].up, .slow_start_ms = warm[i].slow };

        ck_assert_msg(wr_slot_warmth(&s, warm[i].now) == warm[i].want, "row %zu: %u", i,
                      wr_slot_warmth(&s, warm[i].now));
    }
}
END_TEST

static void warm_up(uint32_t i, uint32_t percent)
{
    atomic_store(&slot_of(i)->slow_start_ms, 10000);
    atomic_store(&slot_of(i)->up_ms, NOW - 100 * percent);
}

START_TEST(round_robin_skips_turns_of_the_cold)
{
    make_group(WR_L4, NULL, NULL, (const uint32_t[]){ 1, 1, 1 }, 3);
    warm_up(1, 50);
    check_shares(3, (const double[]){ 0.4, 0.2, 0.4 }, 1000);
    warm_up(1, 0);
    check_shares(3, (const double[]){ 0.5, 0.0, 0.5 }, 1000);
    warm_up(1, 100);
    check_shares(3, (const double[]){ 0.333, 0.333, 0.333 }, 999);
    atomic_store(&slot_of(0)->health, WR_HEALTH_CHECK); /* the only one left */
    atomic_store(&slot_of(2)->health, WR_HEALTH_CHECK);
    warm_up(1, 1);
    check_shares(3, (const double[]){ 0, 1, 0 }, 100);
    drop_group();
}
END_TEST

START_TEST(least_conn_and_least_time_spare_the_cold)
{
    make_group(WR_L4, &wr_module_least_conn, "least_conn", (const uint32_t[]){ 1, 1 }, 2);
    warm_up(1, 25);
    atomic_store(&slot_of(0)->conns, 8); /* a quarter of its weight: 2 are as many */
    ck_assert_str_eq(picks(2, true), "bb");
    ck_assert_str_eq(picks(1, true), "a");
    atomic_store(&slot_of(0)->conns, 0);
    atomic_store(&slot_of(1)->conns, 0);
    check_shares(2, (const double[]){ 0.8, 0.2 }, 1000);
    drop_group();
    make_group(WR_L4, &wr_module_least_time, "least_time connect", (const uint32_t[]){ 1, 1 }, 2);
    for (uint32_t i = 0; i < 2; i++) {
        atomic_store(&slot_of(i)->time_avg, 10 * WR_TIME_MS);
        atomic_store(&slot_of(i)->timed_ms, NOW);
    }
    warm_up(1, 25);
    ck_assert_str_eq(picks(3, true), "aaa"); /* then both are equal */
    ck_assert_ptr_nonnull(strchr(picks(2, true), 'b'));
    drop_group();
}
END_TEST

/* It begins when a peer comes back, not before; alone it has all of its weight. */
START_TEST(begins_when_a_peer_comes_back)
{
    struct wr_peer peer;
    struct wr_pick alone = { .now_ms = NOW, .alone = true };

    make_group(WR_L4, NULL, NULL, (const uint32_t[]){ 1, 1 }, 2);
    peer = wr_peers_view(group)->main.at[0];
    ck_assert_uint_eq(peer.slot->up_ms, 0);
    ck_assert(wr_peer_failed(&peer, wr_now()));
    atomic_fetch_add(&peer.slot->checked_ms, 1); /* picked as a probe */
    wr_peer_succeeded(&peer);
    ck_assert_uint_eq(peer.slot->up_ms, wr_now());
    warm_up(0, 0);
    ck_assert_uint_eq(wr_peer_warmth(&alone, &peer), WR_WARM);
    atomic_store(&peer.slot->up_ms, 0);
    atomic_store(&peer.slot->max_fails, 2); /* one failure of two: it was not away */
    (void)wr_peer_failed(&peer, wr_now());
    atomic_fetch_add(&peer.slot->checked_ms, 1);
    wr_peer_succeeded(&peer);
    ck_assert_uint_eq(peer.slot->up_ms, 0);
    group->servers.at[0].down = true;
    wr_upstreams_commit(&conf, 6, false);
    ck_assert_uint_eq(peer.slot->up_ms, 0);
    group->servers.at[0].down = false;
    wr_upstreams_commit(&conf, 7, false);
    ck_assert_uint_eq(peer.slot->up_ms, wr_now());
    drop_group();
}
END_TEST

START_TEST(begins_when_a_check_passes_again)
{
    struct wr_peer peer;

    make_group(WR_L4, NULL, NULL, (const uint32_t[]){ 1, 1 }, 2);
    peer = wr_peers_view(group)->main.at[0];
    ck_assert(wr_peer_health_set(group, &peer, WR_HEALTH_UNCHECKED, 0));
    ck_assert(wr_peer_health_set(group, &peer, 0, WR_HEALTH_UNCHECKED | WR_HEALTH_CHECK));
    ck_assert_uint_eq(peer.slot->up_ms, 0); /* its first check: it was not out */
    ck_assert(wr_peer_health_set(group, &peer, WR_HEALTH_CHECK | WR_HEALTH_EJECTED, 0));
    ck_assert(wr_peer_health_set(group, &peer, 0, WR_HEALTH_EJECTED));
    ck_assert_uint_eq(peer.slot->up_ms, 0);
    ck_assert(wr_peer_health_set(group, &peer, 0, WR_HEALTH_CHECK));
    ck_assert_uint_eq(peer.slot->up_ms, wr_now());
    drop_group();
}
END_TEST

/* ---- times ---- */

START_TEST(samples)
{
    static const struct {
        enum wr_time_kind kind;
        uint64_t connect, first, header, ended;
        unsigned status;
        bool failed, left;
        uint64_t avg, want;
    } tries[] = {
        { WR_TIME_CONNECT, 1, 2, WR_NOT_YET, 9, 0, false, false, 5, 1 },
        { WR_TIME_FIRST_BYTE, 1, 2, WR_NOT_YET, 9, 0, false, false, 5, 2 },
        { WR_TIME_HEADER, 1, WR_NOT_YET, 3, 9, 200, false, false, 5, 3 },
        { WR_TIME_LAST_BYTE, 1, WR_NOT_YET, 3, 9, 200, false, false, 5, 9 },
        /* a failure is never fast */
        { WR_TIME_CONNECT, WR_NOT_YET, WR_NOT_YET, WR_NOT_YET, 0, 502, true, false, 0, 1000 },
        { WR_TIME_CONNECT, WR_NOT_YET, WR_NOT_YET, WR_NOT_YET, 0, 502, true, false, 900, 1800 },
        { WR_TIME_HEADER, 1, WR_NOT_YET, WR_NOT_YET, 60000, 504, true, false, 5, 60000 },
        /* nor is an error page */
        { WR_TIME_HEADER, 1, WR_NOT_YET, 3, 9, 503, false, false, 5, 5 },
        { WR_TIME_HEADER, 1, WR_NOT_YET, 30, 90, 503, false, false, 5, 30 },
        { WR_TIME_HEADER, 1, WR_NOT_YET, 3, 9, 500, false, false, 0, 1000 },
        { WR_TIME_HEADER, 1, WR_NOT_YET, 3, 9, 404, false, false, 5, 3 },
        /* the client left, or a parked link was closed */
        { WR_TIME_HEADER, 1, WR_NOT_YET, WR_NOT_YET, 9, 0, false, false, 5, 9 },
        { WR_TIME_HEADER, 1, WR_NOT_YET, WR_NOT_YET, 4, 0, false, false, 5, WR_NOT_YET },
        { WR_TIME_HEADER, 1, WR_NOT_YET, WR_NOT_YET, 0, 502, false, false, 0, WR_NOT_YET },
        /* amid the body */
        { WR_TIME_LAST_BYTE, 1, WR_NOT_YET, 3, 9, 200, false, true, 50, WR_NOT_YET },
        { WR_TIME_LAST_BYTE, 1, WR_NOT_YET, 3, 90, 200, false, true, 50, 90 },
        { WR_TIME_LAST_BYTE, 1, WR_NOT_YET, 3, 9, 200, false, true, 0, WR_NOT_YET },
        { WR_TIME_HEADER, 1, WR_NOT_YET, 3, 9, 200, false, true, 50, 3 },
    };

    for (size_t i = 0; i < WR_COUNT(tries); i++) {
        struct wr_try t = {
            .connect_ms = tries[i].connect, .first_byte_ms = tries[i].first,
            .header_ms = tries[i].header, .ended_ms = tries[i].ended, .status = tries[i].status,
            .failed = tries[i].failed, .left = tries[i].left,
        };
        uint64_t got = wr_time_sample(tries[i].kind, &t, tries[i].avg);

        ck_assert_msg(got == tries[i].want, "row %zu: %ju", i, (uintmax_t)got);
    }
}
END_TEST

START_TEST(averages)
{
    uint32_t avg = wr_time_average(0, 40, false);

    ck_assert_uint_eq(avg, 40 * WR_TIME_MS);
    ck_assert_uint_eq(wr_time_average(avg, 80, false), 45 * WR_TIME_MS);
    ck_assert_uint_eq(wr_time_average(avg, 0, false), 35 * WR_TIME_MS);
    ck_assert_uint_eq(wr_time_average(avg, 1000, true), 520 * WR_TIME_MS);
    ck_assert_uint_eq(wr_time_average(0, 0, false), 1); /* measured */
    ck_assert_uint_le(wr_time_average(UINT32_MAX, UINT64_MAX - 1, true), UINT32_MAX);
    for (int i = 0; i < 60; i++)
        avg = wr_time_average(avg, 7, false);
    ck_assert_uint_eq((avg + WR_TIME_MS / 2) / WR_TIME_MS, 7);
    ck_assert_uint_eq(wr_time_left(1024, 9999), 1024);
    ck_assert_uint_eq(wr_time_left(1024, 10000), 512);
    ck_assert_uint_eq(wr_time_left(1024, 25000), 256);
    ck_assert_uint_eq(wr_time_left(1024, UINT64_MAX), 1);
    ck_assert_uint_eq(wr_time_left(0, 0), 0);
}
END_TEST

/* `done` writes what the next pick reads. */
START_TEST(learns_from_tries)
{
    struct wr_try t = { .header_ms = 20, .ended_ms = 25, .status = 200 };

    make_group(WR_L7, &wr_module_least_time, "least_time header", (const uint32_t[]){ 1, 1 }, 2);
    t.peer = wr_peers_view(group)->main.at[0];
    group->balancer->done(group, &t);
    ck_assert_uint_eq(slot_of(0)->time_avg, 20 * WR_TIME_MS);
    ck_assert_uint_eq(slot_of(0)->timed_ms, wr_now());
    t.peer = wr_peers_view(group)->main.at[1];
    t.failed = true;
    group->balancer->done(group, &t);
    ck_assert_uint_eq(slot_of(1)->time_avg, 1000 * WR_TIME_MS);
    ck_assert_uint_eq(pick_at(wr_now()), 0);
    drop_group();
}
END_TEST

/* Anything may be in a slot. */
START_TEST(nonsense_in_the_slots)
{
    static struct wr_module *const modules[] = { &wr_module_least_conn, &wr_module_least_time,
                                                 &wr_module_random };
    static const char *const directives[] = { "least_conn", "least_time header inflight",
                                              "random two least_time=last_byte" };

    for (size_t m = 0; m < WR_COUNT(modules); m++) {
        make_group(WR_L7, modules[m], directives[m], (const uint32_t[]){ 1, 2, 3 }, 3);
        for (uint32_t round = 0; round < 2000; round++) {
            struct wr_peer_slot *s = slot_of(round % 3);

            atomic_store(&s->conns, (uint32_t)wr_random());
            atomic_store(&s->weight, round % 5 == 0 ? 0 : (uint32_t)wr_random());
            atomic_store(&s->time_avg, (uint32_t)wr_random());
            atomic_store(&s->timed_ms, wr_random());
            atomic_store(&s->busy_ms, wr_random());
            atomic_store(&s->up_ms, wr_random());
            atomic_store(&s->slow_start_ms, (uint32_t)wr_random());
            atomic_store(&s->warming, (uint32_t)wr_random());
            ck_assert_uint_lt(pick_at(NOW), 3);
        }
        drop_group();
    }
}
END_TEST

UNIT_MAIN("modules/balancers", picks_by_table, random_draws_by_weight, random_among_few,
          equal_ones_far_apart_share, many_busy_ones_fill_evenly, warmth_grows,
          round_robin_skips_turns_of_the_cold,
          least_conn_and_least_time_spare_the_cold, begins_when_a_peer_comes_back,
          begins_when_a_check_passes_again, samples, averages, learns_from_tries,
          nonsense_in_the_slots)
