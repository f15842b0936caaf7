/* Leases: how many links are parked (the peak in use within the last minute), and how one is found
 * (by key, without comparing others). No socket is opened: to the loop each link looks like a
 * connection without events. */
#include "lib/unit.h"

#include "link/link_impl.h"

START_TEST(keeps_the_peak_of_the_last_minute)
{
    struct wr_links u = { .keepalive = { .connections = 32, .grows = true } };

    wr_in_use_add(&u.in_use, 100, 1000000);
    wr_in_use_add(&u.in_use, -95, 1000010);
    ck_assert_uint_eq(u.in_use.now, 5);
    ck_assert_uint_eq(wr_links_limit(&u, 1000010), 100);
    ck_assert_uint_eq(wr_links_limit(&u, 1029000), 100);
    ck_assert_uint_eq(wr_links_limit(&u, 1031000), 100); /* the half minute before */
    wr_in_use_add(&u.in_use, 45, 1040000);
    wr_in_use_add(&u.in_use, -45, 1040001);
    ck_assert_uint_eq(wr_links_limit(&u, 1062000), 50);
    ck_assert_uint_eq(wr_links_limit(&u, 1093000), 32); /* the default */
}
END_TEST

START_TEST(a_long_silence_forgets_both_halves)
{
    struct wr_links u = { .keepalive = { .connections = 32, .grows = true } };

    wr_in_use_add(&u.in_use, 100, 1000000);
    wr_in_use_add(&u.in_use, -100, 1000001);
    ck_assert_uint_eq(wr_links_limit(&u, 1060001), 32);
}
END_TEST

START_TEST(a_configured_limit_stays)
{
    struct wr_links u = { .keepalive = { .connections = 4 } };

    wr_in_use_add(&u.in_use, 100, 1000000);
    ck_assert_uint_eq(wr_links_limit(&u, 1000000), 4);
}
END_TEST

/* ---- by key ---- */

static struct wr_loop *loop;
static struct wr_links u;
static struct wr_exchange x; /* only the members that leases need */
static struct wr_lease lease;
static const struct wr_dial_rows rows;
static const struct wr_link_speaker spoken = { .name = "spoken" };
static char places[4]; /* stand for locations and contexts: only their addresses matter */

static void setup(uint32_t keep)
{
    wr_clock_update();
    loop = wr_loop_new(8);
    u = (struct wr_links){
        .keepalive = { .connections = keep, .requests = 1000, .time_ms = 3600000,
                       .timeout_ms = 60000 },
    };
    wr_list_init(&u.parked);
    x = (struct wr_exchange){ .loop = loop };
}

static void teardown(void)
{
    wr_links_drop(&u);
    ck_assert_uint_eq(u.n, 0);
    ck_assert_ptr_null(u.buckets);
    ck_assert_uint_eq(u.in_use.now, 0);
    wr_loop_turn(loop, 0);
    wr_loop_free(loop);
}

static struct wr_link_key peer_key(uint32_t index, uint32_t generation)
{
    return (struct wr_link_key){
        .speaker = &spoken, .index = index, .generation = generation,
    };
}

static struct wr_peer_link *open_for(struct wr_link_key key, bool bound)
{
    const struct wr_addr to = { .len = 0 };
    struct wr_link_plan p = {
        .loop = loop, .task = &x.task, .links = &u, .addr = &to, .rows = &rows, .key = key,
        .bound = bound, .log = wr_log_default,
    };
    struct wr_peer_link *l = wr_peer_link_new(&p, -1);

    l->conn.ready = 0; /* no unread bytes */
    l->conn.registered = true;
    l->state = WR_LINK_UP;
    return l;
}

/* Leases the link for one request and ends it. */
static void serve(struct wr_peer_link *l)
{
    wr_lease_begin(&lease, &x, l);
    lease.reusable = true;
    wr_lease_end(&lease, false);
}

static struct wr_peer_link *park_for(struct wr_link_key key)
{
    struct wr_peer_link *l = open_for(key, false);

    serve(l);
    return l;
}

/* Finds a link, leases it and gives it back at once; NULL: none found. */
static struct wr_peer_link *found(const struct wr_link_key *k)
{
    struct wr_peer_link *l = wr_link_find(&u, k);

    if (l == NULL)
        return NULL;
    wr_lease_begin(&lease, &x, l);
    lease.reusable = true;
    wr_lease_end(&lease, false);
    return l;
}

START_TEST(found_without_a_search)
{
    enum { PEERS = 500, KEYS = 6 };
    static struct wr_peer_link *links[PEERS][KEYS];
    const struct wr_addr bind = { .in = { .sin_family = AF_INET, .sin_port = 7 },
                                  .len = sizeof(bind.in) };
    uint64_t looked;

    setup(PEERS * KEYS);
    for (uint32_t i = 0; i < PEERS * KEYS * 2; i++) {
        uint32_t peer = i / KEYS % PEERS, kind = i % KEYS;
        struct wr_link_key key = peer_key(peer, 2);

        key.location = kind >= 1 ? &places[0] : NULL;
        key.bind = kind >= 2 ? &bind : NULL;
        key.tls = kind >= 3 ? (struct wr_peer_tls_live *)&places[1] : NULL;
        key.name = kind >= 4 ? WR_STR("one.example") : WR_STR("two.example");
        key.alpn = kind >= 5 ? WR_STR("\010http/1.1") : WR_STR("");
        if (i < PEERS * KEYS) {
            links[peer][kind] = park_for(key);
            continue;
        }
        ck_assert_ptr_eq(found(&key), links[peer][kind]);
    }
    looked = u.looked;
    ck_assert_uint_eq(u.n, PEERS * KEYS);
    ck_assert_uint_eq(u.nparked, PEERS * KEYS);
    /* 3000 searches among 3000 links; comparing all would be 4.5 million. */
    ck_assert_uint_lt(looked, 4 * PEERS * KEYS);
    for (uint32_t i = 0; i < 1000; i++) {
        struct wr_link_key key = peer_key(PEERS + i, 2);

        ck_assert_ptr_null(found(&key));
    }
    ck_assert_uint_lt(u.looked - looked, 4 * 1000);
    teardown();
}
END_TEST

START_TEST(the_newest_serves_and_the_oldest_goes)
{
    struct wr_link_key one = peer_key(1, 2), two = peer_key(2, 2);
    struct wr_peer_link *a, *b, *c;

    setup(3);
    a = park_for(one);
    b = park_for(one);
    c = park_for(two);
    ck_assert_ptr_eq(found(&one), b);
    serve(a); /* now it is the newest, and c the oldest of all */
    ck_assert_ptr_eq(found(&one), a);
    park_for(two);
    ck_assert_uint_eq(u.nparked, 3);
    ck_assert_ptr_nonnull(c->doomed.free);
    park_for(two);
    ck_assert_ptr_nonnull(b->doomed.free);
    ck_assert_ptr_null(a->doomed.free);
    ck_assert(wr_links_drop_one(&u));
    ck_assert_ptr_nonnull(a->doomed.free);
    ck_assert_ptr_null(found(&one));
    teardown();
}
END_TEST

/* A slot given to another server is another peer, even if links to the old one are still open. */
START_TEST(another_generation_is_another_peer)
{
    struct wr_link_key before = peer_key(1, 2), after = peer_key(1, 4);
    struct wr_peer_link *l;

    setup(8);
    l = park_for(before);
    ck_assert_ptr_null(found(&after));
    ck_assert_ptr_eq(found(&before), l);
    teardown();
}
END_TEST

START_TEST(one_in_use_or_bound_or_broken_is_not_found)
{
    struct wr_link_key key = peer_key(1, 2);
    struct wr_peer_link *l;

    setup(8);
    l = park_for(key);
    wr_lease_begin(&lease, &x, l);
    ck_assert_ptr_null(found(&key));
    ck_assert_uint_eq(u.in_use.now, 1);
    wr_lease_end(&lease, false); /* not reusable: the reply was cut */
    ck_assert_ptr_nonnull(l->doomed.free);

    l = open_for(key, true);
    serve(l);
    ck_assert_ptr_nonnull(l->doomed.free);

    l = park_for(key);
    l->conn.ready = WR_HUP;
    ck_assert_ptr_null(found(&key));
    ck_assert_ptr_nonnull(l->doomed.free);

    u.keepalive.requests = 2;
    l = park_for(key);
    ck_assert_ptr_null(l->doomed.free);
    serve(l);
    ck_assert_ptr_nonnull(l->doomed.free);
    teardown();
}
END_TEST

UNIT_MAIN("upstream/lease", keeps_the_peak_of_the_last_minute, a_long_silence_forgets_both_halves,
          a_configured_limit_stays, found_without_a_search, the_newest_serves_and_the_oldest_goes,
          another_generation_is_another_peer, one_in_use_or_bound_or_broken_is_not_found)
