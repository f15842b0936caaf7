/* The table of geo: networks and ranges, compared with a plain array. */
#include "lib/unit.h"

#include "../../modules/shared/geo_table.h"

static struct wr_geo_span span(uint32_t first, uint32_t last, uint32_t value)
{
    return (struct wr_geo_span){ first, last, value };
}

static struct wr_geo_span net(const char *text, uint32_t value)
{
    struct wr_geo_span s = { .value = value };
    struct wr_cidr c;
    size_t n;

    ck_assert(wr_cidr_parse(wr_str_c(text), &c));
    n = c.family == AF_INET ? 4 : 16;
    s.first = wr_geo_number(c.addr, n);
    for (size_t i = 0; i < 16; i++)
        c.addr[i] = (uint8_t)(c.addr[i] | (c.mask[i] ^ 0xff));
    s.last = wr_geo_number(c.addr, n);
    return s;
}

static uint32_t find(const struct wr_geo_table *t, const char *text)
{
    struct wr_addr a = { .len = 0 };

    if (text[0] != '\0')
        ck_assert(wr_addr_parse_ip(wr_str_c(text), &a));
    return wr_geo_find(t, &a);
}

START_TEST(nothing)
{
    struct wr_pool *p = wr_pool_new(0);
    struct wr_geo_spans none = { 0 };
    struct wr_geo_table t;

    wr_geo_nest(p, NULL, 0, &none);
    wr_geo_build(p, &none, &none, &t);
    ck_assert_uint_eq(find(&t, "0.0.0.0"), WR_GEO_NONE);
    ck_assert_uint_eq(find(&t, "255.255.255.255"), WR_GEO_NONE);
    ck_assert_uint_eq(find(&t, "::"), WR_GEO_NONE);
    ck_assert_uint_eq(find(&t, ""), WR_GEO_NONE);
    wr_pool_free(p);
}
END_TEST

START_TEST(networks)
{
    struct wr_pool *p = wr_pool_new(0);
    struct wr_geo_span v4[] = {
        net("10.1.2.3", 4), net("10.1.0.0/16", 2), net("10.0.0.0/8", 1), net("10.1.2.0/24", 3),
        net("255.255.255.255", 6), net("10.1.255.255", 5), net("0.0.0.0/32", 7),
    };
    struct wr_geo_span v6[] = {
        net("::/0", 1), net("2001:db8::/32", 2), net("2001:db8::1", 3), net("ffff::/16", 4),
        net("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 5),
    };
    struct wr_geo_spans s4 = { 0 }, s6 = { 0 };
    struct wr_geo_table t;

    wr_geo_nest(p, v4, WR_COUNT(v4), &s4);
    wr_geo_nest(p, v6, WR_COUNT(v6), &s6);
    wr_geo_build(p, &s4, &s6, &t);
    ck_assert_uint_eq(find(&t, "9.255.255.255"), WR_GEO_NONE);
    ck_assert_uint_eq(find(&t, "10.0.0.0"), 1);
    ck_assert_uint_eq(find(&t, "10.1.0.0"), 2);
    ck_assert_uint_eq(find(&t, "10.1.2.2"), 3);
    ck_assert_uint_eq(find(&t, "10.1.2.3"), 4);
    ck_assert_uint_eq(find(&t, "10.1.2.4"), 3);
    ck_assert_uint_eq(find(&t, "10.1.3.0"), 2);
    ck_assert_uint_eq(find(&t, "10.1.255.255"), 5);
    ck_assert_uint_eq(find(&t, "10.2.0.0"), 1);
    ck_assert_uint_eq(find(&t, "11.0.0.0"), WR_GEO_NONE);
    ck_assert_uint_eq(find(&t, "255.255.255.254"), WR_GEO_NONE);
    ck_assert_uint_eq(find(&t, ""), 6);
    ck_assert_uint_eq(find(&t, "0.0.0.0"), 7);
    ck_assert_uint_eq(find(&t, "0.0.0.1"), WR_GEO_NONE);
    ck_assert_uint_eq(find(&t, "::ffff:10.1.2.3"), 4);
    ck_assert_uint_eq(find(&t, "::1"), 1);
    ck_assert_uint_eq(find(&t, "2001:db8::1"), 3);
    ck_assert_uint_eq(find(&t, "2001:db8::2"), 2);
    ck_assert_uint_eq(find(&t, "2001:db9::"), 1);
    ck_assert_uint_eq(find(&t, "ffff::"), 4);
    ck_assert_uint_eq(find(&t, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 5);
    wr_pool_free(p);
}
END_TEST

START_TEST(whole_world)
{
    struct wr_pool *p = wr_pool_new(0);
    struct wr_geo_span v4[] = { net("0.0.0.0/0", 1), net("255.0.0.0/8", 2) };
    struct wr_geo_span v6[] = { net("::/0", 3) };
    struct wr_geo_spans s4 = { 0 }, s6 = { 0 };
    struct wr_geo_table t;

    wr_geo_nest(p, v4, WR_COUNT(v4), &s4);
    wr_geo_nest(p, v6, WR_COUNT(v6), &s6);
    wr_geo_build(p, &s4, &s6, &t);
    ck_assert_uint_eq(find(&t, "0.0.0.0"), 1);
    ck_assert_uint_eq(find(&t, "254.255.255.255"), 1);
    ck_assert_uint_eq(find(&t, "255.255.255.255"), 2);
    ck_assert_uint_eq(find(&t, "::"), 3);
    ck_assert_uint_eq(find(&t, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 3);
    wr_pool_free(p);
}
END_TEST

/* Paint and erase random ranges over 64 addresses, and do the same to a plain array. */
START_TEST(ranges)
{
    enum { N = 64 };

    srandom(1);
    for (int round = 0; round < 300; round++) {
        struct wr_pool *p = wr_pool_new(0);
        struct wr_geo_spans s = { 0 }, none = { 0 };
        struct wr_geo_table t;
        uint32_t plain[N];

        memset(plain, 0xff, sizeof(plain));
        for (uint32_t i = 0; i < 12; i++) {
            uint32_t a = (uint32_t)random() % N, b = (uint32_t)random() % N;
            struct wr_geo_span one = span(wr_min(a, b), wr_max(a, b), i);

            (void)wr_geo_paint(p, &s, &one);
            for (uint32_t k = (uint32_t)one.first; k <= one.last; k++)
                plain[k] = i;
        }
        for (uint32_t i = 1; i < s.n; i++)
            ck_assert(s.at[i - 1].last < s.at[i].first);
        if (s.n > 0) {
            struct wr_geo_span gone = s.at[(uint32_t)random() % s.n];

            ck_assert(wr_geo_erase(&s, gone.first, gone.last));
            ck_assert(!wr_geo_erase(&s, gone.first, gone.last));
            for (uint32_t k = (uint32_t)gone.first; k <= gone.last; k++)
                plain[k] = WR_GEO_NONE;
        }
        wr_geo_build(p, &s, &none, &t);
        for (uint32_t k = 0; k < N; k++) {
            struct wr_addr a;
            char text[16];

            (void)snprintf(text, sizeof(text), "0.0.0.%u", k);
            ck_assert(wr_addr_parse_ip(wr_str_c(text), &a));
            ck_assert_uint_eq(wr_geo_find(&t, &a), plain[k]);
        }
        wr_pool_free(p);
    }
}
END_TEST

START_TEST(ranges_to_the_ends)
{
    struct wr_pool *p = wr_pool_new(0);
    struct wr_geo_spans s = { 0 }, none = { 0 };
    struct wr_geo_span all = span(0, UINT32_MAX, 1), last = span(UINT32_MAX, UINT32_MAX, 2);
    struct wr_geo_table t;

    ck_assert_uint_eq(wr_geo_paint(p, &s, &all), WR_GEO_NONE);
    ck_assert_uint_eq(wr_geo_paint(p, &s, &all), 1);
    ck_assert_uint_eq(wr_geo_paint(p, &s, &last), WR_GEO_NONE);
    ck_assert_uint_eq(s.n, 2);
    wr_geo_build(p, &s, &none, &t);
    ck_assert_uint_eq(find(&t, "0.0.0.0"), 1);
    ck_assert_uint_eq(find(&t, "255.255.255.254"), 1);
    ck_assert_uint_eq(find(&t, "255.255.255.255"), 2);
    wr_pool_free(p);
}
END_TEST

UNIT_MAIN("geo", nothing, networks, whole_world, ranges, ranges_to_the_ends)
