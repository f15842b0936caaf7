/* Places of keys. The values of plain, consistent and ip_hash are what nginx 1.22.1 answered:
 * t/320_hash.t asks it for 10,000 keys each. */
#include "lib/unit.h"

#include "../../modules/shared/balancers/placement.h"

static struct wr_addr parse_ip(const char *text)
{
    struct wr_addr a = { .len = 0 };

    if (strcmp(text, "unix:") == 0)
        a = (struct wr_addr){ .un = { .sun_family = AF_UNIX }, .len = sizeof(sa_family_t) };
    else
        ck_assert_msg(wr_addr_parse_ip(wr_str_c(text), &a), "%s", text);
    return a;
}

START_TEST(checksums)
{
    ck_assert_uint_eq(wr_crc32(0, WR_STR("123456789")), 0xcbf43926);
    ck_assert_uint_eq(wr_crc32(wr_crc32(0, WR_STR("1234")), WR_STR("56789")), 0xcbf43926);
    ck_assert_uint_eq(wr_crc32(0, WR_STR("")), 0);
}
END_TEST

START_TEST(keys_and_addresses)
{
    static const struct { const char *ip; uint32_t want[2]; } addrs[] = {
        { "10.0.0.1", { 2565, 0 } }, { "10.0.0.200", { 2565, 0 } }, { "10.0.1.1", { 2566, 0 } },
        { "10.15.0.1", { 4260, 0 } }, { "165.0.0.1", { 124, 0 } }, { "10.240.0.1", { 4601, 0 } },
    };
    struct wr_addr unix_client = parse_ip("unix:"), zero = parse_ip("0.0.0.9");
    uint32_t sum;

    for (size_t i = 0; i < WR_COUNT(addrs); i++) {
        struct wr_addr a = parse_ip(addrs[i].ip);

        ck_assert_msg(wr_place_addr(&a, WR_PLACE_ADDR_BEGIN) == addrs[i].want[0], "%s: %u",
                      addrs[i].ip, wr_place_addr(&a, WR_PLACE_ADDR_BEGIN));
    }
    ck_assert_uint_eq(wr_place_addr(&unix_client, 89), wr_place_addr(&zero, 89));
    sum = wr_place_key(WR_STR("k1"), 0, 0);
    ck_assert_uint_eq(sum, wr_crc32(0, WR_STR("k1")) >> 16 & 0x7fff);
    ck_assert_uint_eq(wr_place_key(WR_STR("k1"), 12, sum),
                      sum + (wr_crc32(0, WR_STR("12k1")) >> 16 & 0x7fff));
}
END_TEST

START_TEST(servers)
{
    static const struct { const char *text, *host, *port; } rows[] = {
        { "a.example:80", "a.example", "80" }, { "a.example", "a.example", "" },
        { "[::1]:81", "[::1]", "81" }, { "[::1]", "[::1]", "" }, { "unix:/x:1", "/x:1", "" },
        { "127.0.0.1:080", "127.0.0.1", "080" }, { ":80", "", "80" }, { "80", "80", "" },
        { "", "", "" }, { "a:", "a:", "" },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        uint32_t c = wr_crc32(0, wr_str_c(rows[i].host));

        c = wr_crc32(wr_crc32(c, wr_str_of("\0", 1)), wr_str_c(rows[i].port));
        ck_assert_msg(wr_place_server(wr_str_c(rows[i].text)) == c, "%s", rows[i].text);
    }
}
END_TEST

START_TEST(weights)
{
    struct wr_line_of_weights l = { .n = 0 };
    static const uint32_t weight[] = { 3, 0, 1, 5 };
    static const uint32_t want[] = { 0, 0, 0, 2, 3, 3, 3, 3, 3 };

    for (int round = 0; round < 2; round++) {
        wr_weights_begin(&l);
        for (size_t i = 0; i < WR_COUNT(weight); i++)
            wr_weights_add(&l, weight[i]);
        ck_assert_uint_eq(l.sum, WR_COUNT(want));
        for (uint32_t i = 0; i < l.sum; i++)
            ck_assert_uint_eq(wr_weights_at(&l, i), want[i]);
    }
    wr_weights_clear(&l);
    ck_assert_uint_eq(wr_weights_at(&l, 0), 0);
}
END_TEST

/* ---- tables ---- */

static struct wr_placed placed[1000];

static uint32_t place_servers(uint32_t n, uint32_t without)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < n; i++) {
        char text[32];
        int len = snprintf(text, sizeof(text), "127.0.%u.%u:1", i / 250, i % 250 + 1);
        struct wr_str s = wr_str_of(text, (size_t)len);

        if (i != without)
            placed[count++] = (struct wr_placed){ wr_hash_stable(s, 0), wr_place_server(s), 1 };
    }
    return count;
}

static struct wr_ring make_ring(uint32_t n, uint32_t units)
{
    struct wr_ring_work w = { .of = NULL };
    struct wr_ring r;

    wr_ring_begin(&w, placed, n);
    while (!wr_ring_step(&w, units))
        ;
    r = w.ring;
    w.ring = (struct wr_ring){ .n = 0 };
    wr_ring_stop(&w);
    return r;
}

static struct wr_maglev make_maglev(uint32_t n, uint32_t units)
{
    struct wr_maglev_work w = { .of = NULL };
    struct wr_maglev m;

    wr_maglev_begin(&w, placed, n);
    while (!wr_maglev_step(&w, units))
        ;
    m = w.table;
    w.table = (struct wr_maglev){ .size = 0 };
    wr_maglev_stop(&w);
    return m;
}

static uint32_t key_hash(uint32_t i)
{
    char key[16];

    return wr_crc32(0, wr_str_of(key, (size_t)snprintf(key, sizeof(key), "key%u", i)));
}

START_TEST(ring_is_sorted_and_found)
{
    struct wr_ring r = make_ring(place_servers(1000, 1000), 777), again = make_ring(1000, 100000);

    ck_assert_uint_gt(r.n, 159900);
    ck_assert_uint_le(r.n, 160000);
    ck_assert_uint_eq(r.n, again.n);
    ck_assert_int_eq(memcmp(r.owner, again.owner, r.n * sizeof(*r.owner)), 0);
    for (uint32_t i = 0; i < r.n; i++) {
        ck_assert_msg(i == 0 || r.point[i - 1] < r.point[i], "%u", i);
        ck_assert_uint_eq(wr_ring_find(&r, r.point[i]), i);
    }
    ck_assert_uint_eq(wr_ring_find(&r, r.point[r.n - 1] + 1), 0);
    ck_assert_uint_eq(wr_ring_find(&r, 0), 0);
    ck_assert_uint_eq(wr_ring_find(&r, UINT32_MAX), 0);
    wr_ring_free(&r);
    wr_ring_free(&again);
}
END_TEST

/* Two servers have an equal point: the one that comes first in the configuration has it. */
START_TEST(ring_collision)
{
    struct wr_ring r = make_ring(place_servers(1000, 1000), 4096);

    ck_assert_uint_eq(r.owner[wr_ring_find(&r, 1274114110)], 205);
    ck_assert_uint_eq(r.owner[wr_ring_find(&r, 1708717907)], 107);
    wr_ring_free(&r);
}
END_TEST

START_TEST(empty_tables)
{
    struct wr_ring r = make_ring(0, 10);
    struct wr_maglev m = make_maglev(0, 10);

    ck_assert_uint_eq(r.n, 0);
    ck_assert_uint_eq(m.size, 0);
    wr_ring_free(&r);
    wr_maglev_free(&m);
}
END_TEST

START_TEST(heavy_servers_keep_their_shares)
{
    struct wr_ring r;

    place_servers(2, 2);
    placed[0].weight = 3000000;
    placed[1].weight = 1000000;
    r = make_ring(2, 1000000);
    ck_assert_uint_gt(r.n, WR_RING_MOST / 100 * 98);
    ck_assert_uint_le(r.n, WR_RING_MOST);
    wr_ring_free(&r);
}
END_TEST

/* ---- one of ten goes ---- */

START_TEST(ring_moves_few)
{
    struct wr_ring all = make_ring(place_servers(10, 10), 4096), nine;
    uint32_t moved = 0;

    nine = make_ring(place_servers(10, 4), 4096);
    for (uint32_t i = 0; i < 10000; i++) {
        uint32_t was = all.owner[wr_ring_find(&all, key_hash(i))];
        uint32_t is = nine.owner[wr_ring_find(&nine, key_hash(i))];

        if (was == 4)
            moved++;
        else
            ck_assert_uint_eq(is, was > 4 ? was - 1 : was);
    }
    ck_assert_uint_gt(moved, 500);
    ck_assert_uint_le(moved, 1500);
    wr_ring_free(&all);
    wr_ring_free(&nine);
}
END_TEST

START_TEST(maglev_shares_and_moves)
{
    static const uint32_t weight[] = { 1, 2, 5, 2 };
    struct wr_maglev all, nine;
    uint32_t share[10] = { 0 }, moved = 0;

    place_servers(4, 4);
    for (uint32_t i = 0; i < 4; i++)
        placed[i].weight = weight[i];
    all = make_maglev(4, 1000);
    for (uint32_t i = 0; i < all.size; i++)
        share[all.owner[i]]++;
    for (uint32_t i = 0; i < 4; i++) {
        double part = (double)share[i] * 10 / all.size / weight[i];

        ck_assert_msg(part > 0.99 && part < 1.01, "%u: %f", i, part);
    }
    wr_maglev_free(&all);

    all = make_maglev(place_servers(10, 10), 5000);
    nine = make_maglev(place_servers(10, 4), 5000);
    for (uint32_t i = 0; i < all.size; i++) {
        uint32_t was = all.owner[i], is = nine.owner[i];

        moved += was != 4 && is != (was > 4 ? was - 1 : was);
    }
    ck_assert_msg(moved < all.size / 50, "%u of %u", moved, all.size);
    wr_maglev_free(&all);
    wr_maglev_free(&nine);
}
END_TEST

START_TEST(maglev_does_not_see_the_order)
{
    struct wr_maglev a = make_maglev(place_servers(20, 20), 5000), b;
    struct wr_placed first = placed[0];

    placed[0] = placed[19];
    placed[19] = first;
    b = make_maglev(20, 5000);
    for (uint32_t i = 0; i < a.size; i++) {
        uint32_t was = a.owner[i] == 0 ? 19 : a.owner[i] == 19 ? 0 : a.owner[i];

        ck_assert_uint_eq(b.owner[i], was);
    }
    wr_maglev_free(&a);
    wr_maglev_free(&b);
}
END_TEST

UNIT_MAIN("modules/placement", checksums, keys_and_addresses, servers, weights,
          ring_is_sorted_and_found, ring_collision, empty_tables, heavy_servers_keep_their_shares,
          ring_moves_few, maglev_shares_and_moves, maglev_does_not_see_the_order)
