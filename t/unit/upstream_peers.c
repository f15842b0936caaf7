/* Peers in shared memory: publishing, a worker's view, usable peers, counting, the ledger. */
#include "lib/unit.h"

#include "upstream/upstream_impl.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

enum { RUN = 5 };
static struct wr_pool *pool;
static struct wr_conf conf;
static struct wr_upstreams all;
static void *states[64];

static struct wr_addr address(const char *text)
{
    struct wr_addr a;

    ck_assert(wr_addr_parse(wr_str_c(text), 0, &a));
    return a;
}

static struct wr_upstream *upstream(void)
{
    struct wr_upstream *u = WR_NEW(pool, struct wr_upstream);

    u->name = WR_STR("group");
    u->layer = WR_L4;
    u->balancer = &wr_round_robin;
    return u;
}

static void server(struct wr_upstream *u, const char *addr, uint32_t weight, bool backup)
{
    struct wr_server *s = wr_vec_push(pool, &u->servers);

    *s = (struct wr_server){
        .text = wr_str_c(addr), .host = wr_str_c(addr), .weight = weight, .max_fails = 1,
        .fail_timeout_ms = 10000, .backup = backup, .key = wr_hash_stable(wr_str_c(addr), 1),
    };
    if (addr[0] >= '0' && addr[0] <= '9')
        s->addr = address(addr);
    else
        s->named = true;
}

static void open_conf(struct wr_upstream *u, struct wr_shm_set *old)
{
    wr_self_init();
    wr_clock_update();
    all = (struct wr_upstreams){ 0 };
    *wr_vec_push(pool, &all.all) = u;
    conf = (struct wr_conf){ .pool = pool, .state = states, .shm = wr_shm_set_new(),
                             .old_shm = old };
    states[wr_module_upstream.index] = &all;
    ck_assert(wr_upstreams_open(&conf));
    wr_upstreams_commit(&conf, RUN, false);
    wr_self.slot = 3; /* a worker */
}

static struct wr_peer *pick(struct wr_upstream *u, uint64_t now)
{
    struct wr_pick p = { .now_ms = now };

    return wr_round_robin.pick(u, &wr_peers_view(u)->main, &p);
}

static uint16_t port_of(const struct wr_peer *p)
{
    struct wr_addr a;

    return p != NULL && wr_peer_addr(p, &a) ? wr_addr_port(&a) : 0;
}

static void setup(void)
{
    pool = wr_pool_new(0);
}

static void teardown(struct wr_upstream *u)
{
    wr_peers_drop(u);
    wr_shm_set_free(conf.shm);
    wr_pool_free(pool);
}

START_TEST(round_robin_by_weight_main_before_backup)
{
    struct wr_upstream *u;
    static const uint16_t want[] = { 1, 1, 2, 1, 3, 1, 1 };

    setup();
    u = upstream();
    server(u, "127.0.0.1:1", 5, false);
    server(u, "127.0.0.1:2", 1, false);
    server(u, "127.0.0.1:3", 1, false);
    server(u, "127.0.0.1:4", 1, true);
    open_conf(u, NULL);
    ck_assert_uint_eq(wr_peers_view(u)->main.n, 3);
    ck_assert_uint_eq(wr_peers_view(u)->backup.n, 1);
    for (size_t i = 0; i < WR_COUNT(want); i++)
        ck_assert_uint_eq(port_of(pick(u, 1000)), want[i]);
    teardown(u);
}
END_TEST

START_TEST(failed_peers_rest_and_are_probed)
{
    struct wr_upstream *u;
    struct wr_peer one;

    setup();
    u = upstream();
    server(u, "127.0.0.1:1", 1, false);
    server(u, "127.0.0.1:2", 1, false);
    open_conf(u, NULL);
    one = *pick(u, 50000);
    ck_assert_uint_eq(port_of(&one), 1);
    ck_assert(wr_peer_failed(&one, 50000));
    ck_assert(!wr_peer_failed(&one, 50000)); /* tries that had begun before */
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(port_of(pick(u, 59000)), 2);
    /* After fail_timeout one exchange may try the peer, the next ones go elsewhere. */
    while (port_of(pick(u, 60001)) != 1)
        ;
    wr_peer_probe(&one, 60001);
    ck_assert_uint_eq(port_of(pick(u, 60002)), 2);
    ck_assert_uint_eq(port_of(pick(u, 60002)), 2);
    ck_assert(wr_peer_failed(&one, 60002)); /* the probe failed: set aside again */
    while (port_of(pick(u, 70003)) != 1)
        ;
    wr_peer_probe(&one, 70003);
    wr_peer_succeeded(&one);
    ck_assert_uint_eq(port_of(pick(u, 70004)) + port_of(pick(u, 70004)), 3);
    teardown(u);
}
END_TEST

START_TEST(max_conns_and_the_ledger)
{
    struct wr_upstream *u;
    struct wr_peer *p;

    setup();
    u = upstream();
    server(u, "127.0.0.1:1", 1, false);
    u->servers.at[0].max_conns = 2;
    open_conf(u, NULL);
    p = pick(u, 1);
    ck_assert(wr_peer_hold(u, p));
    ck_assert(wr_peer_hold(u, p));
    ck_assert(!wr_peer_hold(u, p));
    ck_assert_ptr_null(pick(u, 1));
    wr_peer_release(u, p);
    ck_assert_uint_eq(atomic_load(&p->slot->conns), 1);
    /* The worker dies: its successor begins with empty rows. */
    wr_peers_begin(&conf);
    ck_assert_uint_eq(atomic_load(&p->slot->conns), 0);
    ck_assert_ptr_nonnull(pick(u, 1));
    teardown(u);
}
END_TEST

START_TEST(names_come_change_and_go)
{
    struct wr_upstream *u;
    struct wr_name_addr two[2] = { { .priority = 1 }, { .priority = 1 } };
    struct wr_peer old;

    setup();
    u = upstream();
    server(u, "name:80", 1, false);
    server(u, "127.0.0.1:9", 1, false);
    open_conf(u, NULL);
    two[0].addr = address("127.0.0.1:1");
    two[1].addr = address("127.0.0.1:2");
    ck_assert_uint_eq(wr_peers_view(u)->main.n, 1);
    ck_assert(wr_peer_zone_update(u, &u->servers.at[0], two, 2));
    ck_assert(!wr_peer_zone_update(u, &u->servers.at[0], two, 2));
    ck_assert_uint_eq(wr_peers_view(u)->main.n, 3);
    ck_assert_uint_eq(port_of(&u->peers->main.at[0]), 1);
    ck_assert_uint_eq(port_of(&u->peers->main.at[2]), 9);
    /* The same addresses with another rank and weight. */
    two[1] = (struct wr_name_addr){ .addr = two[1].addr, .priority = 2, .weight = 7 };
    ck_assert(wr_peer_zone_update(u, &u->servers.at[0], two, 2));
    ck_assert(!wr_peer_zone_update(u, &u->servers.at[0], two, 2));
    ck_assert_uint_eq(wr_peers_view(u)->main.n, 2);
    ck_assert_uint_eq(u->peers->backup.n, 1);
    ck_assert_uint_eq(u->peers->backup.at[0].slot->weight, 7);
    old = u->peers->main.at[0];
    ck_assert(wr_peer_hold(u, &old));
    ck_assert(wr_peer_zone_update(u, &u->servers.at[0], &two[1], 1));
    ck_assert_uint_eq(wr_peers_view(u)->main.n, 2);
    /* Its slot is not given away while a lease is counted. */
    two[0].addr = address("127.0.0.1:3");
    ck_assert(wr_peer_zone_update(u, &u->servers.at[0], two, 1));
    ck_assert_uint_eq(atomic_load(&old.slot->generation), old.generation);
    wr_peer_release(u, &old);
    ck_assert(wr_peer_zone_update(u, &u->servers.at[0], NULL, 0));
    ck_assert_uint_eq(wr_peers_view(u)->main.n, 1);
    teardown(u);
}
END_TEST

/* A worker has picked a peer; before it counts, the keeper gives the slot to another server. */
START_TEST(a_slot_reused_before_the_count_is_not_held)
{
    struct wr_upstream *u;
    struct wr_name_addr one = { .addr = address("127.0.0.1:1") };
    struct wr_peer old;

    setup();
    u = upstream();
    server(u, "name:80", 1, false);
    open_conf(u, NULL);
    ck_assert(wr_peer_zone_update(u, &u->servers.at[0], &one, 1));
    old = *pick(u, 1);
    one.addr = address("127.0.0.1:2");
    ck_assert(wr_peer_zone_update(u, &u->servers.at[0], NULL, 0));
    ck_assert(wr_peer_zone_update(u, &u->servers.at[0], &one, 1));
    ck_assert_uint_eq(port_of(&old), 2); /* the same slot */
    ck_assert(!wr_peer_hold(u, &old));
    ck_assert_uint_eq(atomic_load(&old.slot->conns), 0);
    ck_assert_uint_eq(atomic_load(&old.slot->requests), 0);
    ck_assert_uint_eq(atomic_load(&wr_ledger_row(&u->peers->zone.ledger, 3)[old.index]), 0);
    ck_assert(wr_peer_hold(u, pick(u, 1)));
    teardown(u);
}
END_TEST

static void sees_odd(struct wr_upstream *u, struct wr_peer *p)
{
    p->generation = atomic_load(&p->slot->generation);
    ck_assert_uint_eq(p->generation & 1, 1);
    ck_assert(!wr_peer_hold(u, p));
}

/* A worker counts while the keeper searches a free slot, in each order. */
START_TEST(a_count_and_a_reuse_see_each_other)
{
    struct wr_upstream *u;
    struct wr_name_addr one = { .addr = address("127.0.0.1:1") };
    struct wr_peer old;

    setup();
    u = upstream();
    server(u, "name:80", 1, false);
    open_conf(u, NULL);
    ck_assert(wr_peer_zone_update(u, &u->servers.at[0], &one, 1));
    old = *pick(u, 1);
    ck_assert(wr_peer_zone_update(u, &u->servers.at[0], NULL, 0));
    /* The worker is first: the slot stays its own. */
    ck_assert(wr_peer_hold(u, &old));
    ck_assert(!wr_slot_claim(old.slot));
    ck_assert_uint_eq(atomic_load(&old.slot->generation), old.generation);
    wr_peer_release(u, &old);
    /* The worker has counted, and not yet looked: its count is still there when the slot is filled,
     * so that it can be taken back. */
    ck_assert(wr_slot_claim(old.slot));
    atomic_fetch_add(&old.slot->conns, 1);
    sees_odd(u, &(struct wr_peer){ .slot = old.slot, .index = old.index });
    atomic_fetch_add(&old.slot->generation, 1);
    ck_assert(!wr_slot_claim(old.slot));
    one.addr = address("127.0.0.1:2");
    ck_assert(wr_peer_zone_update(u, &u->servers.at[0], &one, 1));
    ck_assert_ptr_ne(wr_peers_view(u)->main.at[0].slot, old.slot);
    atomic_fetch_sub(&old.slot->conns, 1);
    ck_assert_uint_eq(atomic_load(&old.slot->conns), 0);
    teardown(u);
}
END_TEST

static atomic_bool done;

/* A reader of an old view against a keeper that changes the address as fast as it can. */
static void *changes(void *arg)
{
    struct wr_upstream *u = arg;
    struct wr_name_addr a = { .addr = address("127.0.0.1:1") };

    for (uint16_t i = 1; i <= 5000; i++) {
        wr_addr_set_port(&a.addr, i);
        (void)wr_peer_zone_update(u, &u->servers.at[0], &a, 1);
        (void)wr_peer_zone_update(u, &u->servers.at[0], NULL, 0);
    }
    atomic_store(&done, true);
    return NULL;
}

START_TEST(no_count_is_lost_while_slots_are_reused)
{
    struct wr_upstream *u;
    const struct wr_peer_zone *z;
    pthread_t keeper;

    setup();
    u = upstream();
    server(u, "name:80", 1, false);
    open_conf(u, NULL);
    z = &u->peers->zone;
    ck_assert_int_eq(pthread_create(&keeper, NULL, changes, u), 0);
    for (uint32_t k = 0; !atomic_load(&done); k++) {
        struct wr_peer p = { .slot = &z->slot[k % 2], .index = k % 2 };
        uint16_t port;

        p.generation = atomic_load(&p.slot->generation);
        if (!wr_peer_hold(u, &p))
            continue;
        port = port_of(&p);
        (void)sched_yield();
        if (port_of(&p) != port) /* a held slot is not given to another server */
            ck_abort_msg("slot %u was reused", p.index);
        wr_peer_release(u, &p);
    }
    ck_assert_int_eq(pthread_join(keeper, NULL), 0);
    for (uint32_t k = 0; k < z->slots; k++)
        ck_assert_uint_eq(atomic_load(&z->slot[k].conns), 0);
    teardown(u);
}
END_TEST

START_TEST(a_reload_keeps_counters)
{
    struct wr_upstream *u, *v;
    struct wr_shm_set *first;
    struct wr_peer p;

    setup();
    u = upstream();
    server(u, "127.0.0.1:1", 1, false);
    open_conf(u, NULL);
    p = *pick(u, 1);
    (void)wr_peer_failed(&p, 77);
    first = conf.shm;
    v = upstream();
    for (int i = 0; i < 40; i++) /* another capacity: copied by key */
        server(v, i == 39 ? "127.0.0.1:1" : "127.0.0.1:8", 1, false);
    for (uint32_t i = 0; i < 39; i++)
        v->servers.at[i].key += i + 1;
    open_conf(v, first);
    ck_assert_uint_eq(wr_peers_view(v)->main.n, 40);
    ck_assert_uint_eq(atomic_load(&v->peers->main.at[39].slot->failed_ms), 77);
    ck_assert_uint_eq(atomic_load(&v->peers->main.at[39].slot->fails), 1);
    wr_peers_drop(u);
    wr_shm_set_free(first);
    teardown(v);
}
END_TEST

/* ---- a zone that another process writes into ---- */

static void fill_words(void *p, size_t n, uint32_t word)
{
    for (size_t i = 0; i < n / sizeof(word); i++)
        ((uint32_t *)p)[i] = word;
}

START_TEST(nothing_outside_the_zone_is_read)
{
    static const uint32_t words[] = { 0xffffffff, 0x80000000, 17, 100000, 1 };
    struct wr_name_addr one = { .addr = address("127.0.0.9:9") };
    struct wr_upstream *u;
    uint32_t members[256], version;

    setup();
    u = upstream();
    server(u, "127.0.0.1:1", 1, false);
    server(u, "name:80", 1, false);
    open_conf(u, NULL);
    for (size_t i = 0; i < WR_COUNT(words); i++) {
        uint32_t n;

        fill_words(u->zone->p, u->zone->size, words[i]);
        n = wr_roster_read(&u->peers->zone.members, members, &version);
        ck_assert_uint_le(n, u->peers->zone.slots);
        for (uint32_t k = 0; k < n; k++)
            ck_assert_uint_lt(members[k], u->peers->zone.slots);
        (void)pick(u, 1);
        (void)wr_peer_zone_update(u, &u->servers.at[1], &one, 1);
        (void)wr_peers_look(&conf);
    }
    /* The next keeper works again, whatever was left in the zone. */
    for (uint32_t k = 0; k < u->peers->zone.slots; k++)
        atomic_store(&u->peers->zone.slot[k].conns, 0);
    wr_upstreams_commit(&conf, RUN + 1, false);
    ck_assert_uint_eq(wr_peers_view(u)->main.n, 2);
    ck_assert(wr_peer_hold(u, pick(u, 1)));
    teardown(u);
}
END_TEST

START_TEST(an_address_is_checked)
{
    struct wr_peer_slot s = { .addr = address("127.0.0.1:1") };
    struct wr_addr out;

    ck_assert(wr_slot_addr(&s, &out) && wr_addr_eq(&out, &s.addr));
    s.addr.len++;
    ck_assert(!wr_slot_addr(&s, &out));
    s.addr.len = 0;
    ck_assert(!wr_slot_addr(&s, &out));
    s.addr = address("unix:/a");
    ck_assert(wr_slot_addr(&s, &out));
    s.addr.len = sizeof(s.addr.un) + 1;
    ck_assert(!wr_slot_addr(&s, &out));
    s.addr = address("[::1]:1");
    ck_assert(wr_slot_addr(&s, &out));
    s.addr.sa.sa_family = 77;
    ck_assert(!wr_slot_addr(&s, &out));
}
END_TEST

/* The keeper of an earlier generation resolves a name. */
START_TEST(only_the_owner_publishes)
{
    struct wr_name_addr one = { .addr = address("127.0.0.1:1") };
    struct wr_upstream *u, *v;
    struct wr_shm_set *first;

    setup();
    u = upstream();
    server(u, "name:80", 1, false);
    server(u, "127.0.0.1:7", 1, false);
    open_conf(u, NULL);
    first = conf.shm;
    v = upstream();
    server(v, "name:80", 1, false);
    server(v, "127.0.0.1:8", 1, false);
    open_conf(v, first);
    ck_assert_ptr_eq(v->zone, u->zone);
    wr_upstreams_commit(&conf, RUN + 1, false);
    ck_assert(!wr_peer_zone_update(u, &u->servers.at[0], &one, 1));
    ck_assert_uint_eq(wr_peers_view(v)->main.n, 1);
    ck_assert_uint_eq(port_of(&v->peers->main.at[0]), 8);
    ck_assert(wr_peer_zone_update(v, &v->servers.at[0], &one, 1));
    ck_assert_uint_eq(wr_peers_view(v)->main.n, 2);
    /* The upgrade is undone: it publishes its servers, and the addresses resolved meanwhile. */
    all.all.at[0] = u;
    wr_upstreams_commit(&conf, RUN, false);
    ck_assert_uint_eq(wr_peers_view(u)->main.n, 2);
    ck_assert_uint_eq(port_of(&u->peers->main.at[0]), 1);
    ck_assert_uint_eq(port_of(&u->peers->main.at[1]), 7);
    ck_assert(!wr_peer_zone_update(v, &v->servers.at[0], NULL, 0));
    wr_peers_drop(v);
    wr_shm_set_free(first);
    teardown(u);
}
END_TEST

/* A keeper was killed: the next has the addresses found at start, and those in the zone. */
START_TEST(the_next_keeper_learns_from_the_zone)
{
    struct wr_name_addr now = { .addr = address("127.0.0.1:2") };
    struct wr_upstream *u;
    struct wr_name_addr at_start[4] = { { .addr = address("127.0.0.1:1") } };
    struct wr_known_addrs known = { .at = at_start, .n = 1, .cap = WR_COUNT(at_start) };

    setup();
    u = upstream();
    server(u, "name:80", 1, false);
    u->servers.at[0].port = 80;
    u->servers.at[0].known = &known;
    open_conf(u, NULL);
    ck_assert(wr_peer_zone_update(u, &u->servers.at[0], &now, 1));
    known.at[0].addr = address("127.0.0.1:1"); /* as in the memory of the master */
    wr_upstreams_commit(&conf, RUN + 1, true);
    ck_assert_uint_eq(wr_peers_view(u)->main.n, 1);
    ck_assert_uint_eq(known.at[0].addr.in.sin_addr.s_addr, now.addr.in.sin_addr.s_addr);
    ck_assert_uint_eq(port_of(&u->peers->main.at[0]), 80);
    teardown(u);
}
END_TEST

/* 512 addresses of a name are found again, in any order; what has no slot is left out, and gets one
 * when there is room. */
START_TEST(hundreds_of_addresses)
{
    static struct wr_name_addr first[WR_NAMES], second[WR_NAMES];
    struct wr_upstream *u;
    uint32_t version;

    setup();
    u = upstream();
    server(u, "name:80", 1, false);
    server(u, "other:80", 1, false);
    open_conf(u, NULL);
    ck_assert_uint_eq(u->peers->zone.slots, 512);
    for (uint32_t i = 0; i < WR_NAMES; i++) {
        first[i].addr = second[i].addr = address("10.0.0.0:80");
        first[i].addr.in.sin_addr.s_addr = htonl(0x0a000000 + i);
        second[i].addr.in.sin_addr.s_addr = htonl(0x0a010000 + i);
    }
    ck_assert(wr_peer_zone_update(u, &u->servers.at[0], first, 300));
    ck_assert(wr_peer_zone_update(u, &u->servers.at[1], second, 300));
    ck_assert_uint_eq(wr_peers_view(u)->main.n, 512);
    ck_assert_uint_eq(u->full, 88);
    version = wr_roster_version(&u->peers->zone.members);
    wr_upstreams_fit(&conf);
    ck_assert_uint_eq(wr_roster_version(&u->peers->zone.members), version);
    ck_assert(wr_peer_zone_update(u, &u->servers.at[0], first + 100, 200));
    ck_assert_uint_eq(u->full, 0);
    ck_assert_uint_eq(wr_peers_view(u)->main.n, 500);
    teardown(u);
}
END_TEST

/* ---- totals ---- */

static const struct {
    uint32_t column, total;
    enum wr_ledger_finding want;
} looks[] = {
    { 3, 3, WR_LEDGER_LOOK }, { 4, 4, WR_LEDGER_LOOK }, { 4, 4, WR_LEDGER_RIGHT },
    { 5, 4, WR_LEDGER_LOOK },                             /* between its row and the total */
    { 4, 4, WR_LEDGER_LOOK }, { 4, 4, WR_LEDGER_LOOK }, { 0, 0, WR_LEDGER_RIGHT },
    { 1, 0, WR_LEDGER_LOOK }, { 9, 8, WR_LEDGER_LOOK }, { 2, 1, WR_LEDGER_WRONG },
    { 0, UINT32_MAX, WR_LEDGER_WRONG },                   /* the same difference */
    { 0, 7, WR_LEDGER_LOOK }, { 0, 7, WR_LEDGER_LOOK }, { 1, 8, WR_LEDGER_WRONG },
};

START_TEST(a_difference_that_stays_is_believed)
{
    struct wr_ledger_seen seen = { .times = 0 };

    for (size_t i = 0; i < WR_COUNT(looks); i++)
        ck_assert_msg(wr_ledger_judge(&seen, looks[i].column, looks[i].total) == looks[i].want,
                      "look %zu", i);
}
END_TEST

static bool put_right(void)
{
    for (int i = 0; i < 10; i++)
        if (wr_peers_look(&conf))
            return true;
    return false;
}

/* A worker died after it wrote its row and before the total, or the other way round. */
START_TEST(totals_are_put_right)
{
    static const uint32_t wrong[] = { 0, 1, 3, 4, 1000, UINT32_MAX };
    struct wr_upstream *u;
    struct wr_peer p;

    setup();
    u = upstream();
    server(u, "127.0.0.1:1", 1, false);
    open_conf(u, NULL);
    p = *pick(u, 1);
    ck_assert(wr_peer_hold(u, &p));
    ck_assert(wr_peer_hold(u, &p));
    for (size_t i = 0; i < WR_COUNT(wrong); i++) {
        (void)wr_peers_sweep(&conf);
        atomic_store(&p.slot->conns, wrong[i]);
        ck_assert(put_right());
        ck_assert_uint_eq(atomic_load(&p.slot->conns), 2);
    }
    /* The total is one too low: ending a lease does not make it negative. */
    atomic_store(&p.slot->conns, 1);
    wr_peer_release(u, &p);
    wr_peer_release(u, &p);
    ck_assert_uint_eq(atomic_load(&p.slot->conns), 0);
    ck_assert_uint_eq(atomic_load(&wr_ledger_row(&u->peers->zone.ledger, 3)[p.index]), 0);
    teardown(u);
}
END_TEST

/* A row belongs to the process that holds the lock of its slot, also while that process ends: the
 * kernel takes the lock away first. */
START_TEST(only_the_dead_are_taken_back)
{
    struct wr_upstream *u;
    int fd = memfd_create("run", MFD_CLOEXEC);
    struct wr_peer p;
    pid_t pid;
    int go[2], end[2];
    char c;

    setup();
    u = upstream();
    server(u, "127.0.0.1:1", 1, false);
    open_conf(u, NULL);
    wr_self.run_fd = fd;
    ck_assert_int_eq(pipe(go) | pipe(end), 0);
    pid = fork();
    if (pid == 0) {
        wr_self.slot = 4;
        if (!wr_lock(fd, 4, 100) || !wr_peer_hold(u, pick(u, 1)))
            _exit(1);
        (void)!write(go[1], "x", 1);
        (void)!read(end[0], &c, 1);
        wr_unlock(fd, 4);
        (void)!write(go[1], "x", 1);
        pause();
        _exit(1);
    }
    ck_assert_int_eq(read(go[0], &c, 1), 1);
    atomic_store(&wr_self.run->slot[4].pid, pid);
    (void)wr_peers_sweep(&conf);
    p = *pick(u, 1);
    ck_assert_uint_eq(atomic_load(&p.slot->conns), 1);
    /* The keeper's own row has nonsense: a keeper holds no leases. */
    atomic_fetch_or(&u->peers->zone.ledger.used[0], (uint64_t)1 << wr_self.slot);
    atomic_store(&wr_ledger_row(&u->peers->zone.ledger, wr_self.slot)[p.index], 99);
    atomic_store(&p.slot->conns, 100);
    (void)wr_peers_sweep(&conf);
    ck_assert_uint_eq(atomic_load(&p.slot->conns), 1);
    ck_assert_int_eq(write(end[1], "x", 1) + read(go[0], &c, 1), 2);
    ck_assert(wr_peers_sweep(&conf));
    ck_assert_uint_eq(atomic_load(&p.slot->conns), 1);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert(!wr_peers_sweep(&conf));
    ck_assert_uint_eq(atomic_load(&pick(u, 1)->slot->conns), 0);
    (void)close(fd);
    for (int i = 0; i < 2; i++)
        (void)(close(go[i]) + close(end[i]));
    teardown(u);
}
END_TEST

UNIT_MAIN("upstream/peers", round_robin_by_weight_main_before_backup,
          failed_peers_rest_and_are_probed, max_conns_and_the_ledger, names_come_change_and_go,
          a_slot_reused_before_the_count_is_not_held, a_count_and_a_reuse_see_each_other,
          no_count_is_lost_while_slots_are_reused, a_reload_keeps_counters,
          nothing_outside_the_zone_is_read, an_address_is_checked, only_the_owner_publishes,
          the_next_keeper_learns_from_the_zone, hundreds_of_addresses,
          a_difference_that_stays_is_believed,
          totals_are_put_right, only_the_dead_are_taken_back)
