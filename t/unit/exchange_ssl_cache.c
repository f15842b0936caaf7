/* The ring of TLS sessions from inside: what is put is found until as much again was written, never
 * anything else, whatever died half way. */
#define wr_ssl_zone_named test_zone_named /* the file is in the program once already */
#define wr_ssl_zones_open test_zones_open
#define wr_ssl_zone_use test_zone_use
#include "exchange/ssl_cache.c"

#include "lib/unit.h"

static struct cache *cache_new(size_t size)
{
    struct cache *c = wr_malloc(sizeof(*c));

    *c = cache_of(wr_calloc(1, size), size);
    return c;
}

static void cache_free(struct cache *c)
{
    free(c->m);
    free(c);
}

static struct wr_str id_number(unsigned char *buf, uint32_t i)
{
    memset(buf, 0, 32);
    memcpy(buf, &i, sizeof(i));
    return wr_str_of((char *)buf, 32);
}

/* Of a size and with bytes that follow from its number. */
static size_t session_of(unsigned char *buf, uint32_t i, size_t max)
{
    size_t n = 1 + i * 7919U % max;

    for (size_t k = 0; k < n; k++)
        buf[k] = (unsigned char)(i + k);
    return n;
}

static void put_number(struct cache *c, uint32_t i, size_t max)
{
    unsigned char id[32], session[SESSION_MAX];
    size_t n = session_of(session, i, max);

    put(c, id_number(id, i), session, n, 1000 + i);
}

/* It is not there, or it is what was put. */
static bool has_number(struct cache *c, uint32_t i, size_t max)
{
    unsigned char id[32], session[SESSION_MAX];
    size_t n = session_of(session, i, max);
    struct entry *e = find(c, id_number(id, i));

    if (e == NULL)
        return false;
    ck_assert_uint_eq(e->expires_s, 1000 + i);
    ck_assert_uint_eq(e->n, n);
    ck_assert_int_eq(memcmp(e->session, session, n), 0);
    return true;
}

START_TEST(fits)
{
    static const size_t sizes[] = { 32768, 32769, 65536, 1000003, 1 << 20 };

    for (size_t i = 0; i < WR_COUNT(sizes); i++) {
        struct cache *c = cache_new(sizes[i]);

        ck_assert_uint_gt(c->places, 0);
        ck_assert_uint_eq(c->places % WAYS, 0);
        ck_assert_uint_eq(c->ring % 8, 0);
        ck_assert(ring_of(c) + c->ring <= (unsigned char *)c->m + sizes[i]);
        ck_assert_uint_gt(c->ring, sizes[i] * 9 / 10);
        cache_free(c);
    }
}
END_TEST

/* Several times around, with sessions of all sizes: nothing wrong is ever found. */
START_TEST(around)
{
    static const size_t most[] = { 1, 150, 1000, SESSION_MAX };

    for (size_t m = 0; m < WR_COUNT(most); m++) {
        struct cache *c = cache_new(32768);

        for (uint32_t i = 1; i < 3000; i++) {
            put_number(c, i, most[m]);
            ck_assert(has_number(c, i, most[m]));
            for (uint32_t k = i > 300 ? i - 300 : 1; k < i; k += 7)
                (void)has_number(c, k, most[m]);
        }
        ck_assert(!has_number(c, 1, most[m]));
        ck_assert(!has_number(c, 3001, most[m]));
        cache_free(c);
    }
}
END_TEST

/* Half of what there is room for is kept, but for a few that share their places with others. */
START_TEST(keeps)
{
    struct cache *c = cache_new(1 << 20);
    uint32_t n = c->places / 2, kept = 0;

    for (uint32_t i = 1; i <= n; i++)
        put_number(c, i, 180);
    for (uint32_t i = 1; i <= n; i++)
        kept += has_number(c, i, 180);
    ck_assert_uint_ge(kept, n - n / 20);
    cache_free(c);
}
END_TEST

START_TEST(replaces)
{
    struct cache *c = cache_new(32768);
    unsigned char id[32];
    struct wr_str one = id_number(id, 1);

    put(c, one, (const unsigned char *)"first", 5, 10);
    put(c, one, (const unsigned char *)"again", 5, 20);
    ck_assert_uint_eq(find(c, one)->expires_s, 20);
    ck_assert_int_eq(memcmp(find(c, one)->session, "again", 5), 0);
    cache_free(c);
}
END_TEST

START_TEST(too_large)
{
    struct cache *c = cache_new(32768);
    unsigned char *session = wr_calloc(1, 40000), id[64] = { 0 };
    uint64_t head = c->m->head;

    put(c, wr_str_of((char *)id, 32), session, 40000, 10);
    put(c, wr_str_of((char *)id, 33), session, 100, 10);
    ck_assert_uint_eq(c->m->head, head);
    ck_assert_ptr_null(find(c, wr_str_of((char *)id, 32)));
    ck_assert_ptr_null(find(c, wr_str_of((char *)id, 0)));
    free(session);
    cache_free(c);
}
END_TEST

/* A worker that died made room and wrote a part, or nothing. */
START_TEST(half_written)
{
    struct cache *c = cache_new(32768);
    unsigned char id[32];

    for (uint32_t i = 1; i < 1000; i++) {
        put_number(c, i, 300);
        if (i % 3 == 0) {
            *place_for(c, id_number(id, i)) = 0;
            memset(ring_of(c) + make_room(c, entry_size(200)) % c->ring, 0xff, 100);
            ck_assert(!has_number(c, i, 300));
        }
        for (uint32_t k = i > 100 ? i - 100 : 1; k <= i; k++)
            (void)has_number(c, k, 300);
    }
    cache_free(c);
}
END_TEST

/* Another process wrote whatever it likes. The memory is of the exact size: reading or writing past
 * it is seen. */
START_TEST(hostile_bytes)
{
    enum { SIZE = 32768 };
    struct cache *c = cache_new(SIZE);
    uint64_t seed = 1;

    for (uint32_t round = 0; round < 300; round++) {
        uint64_t *word = (void *)c->m;

        for (size_t i = 0; i < SIZE / 8; i++) {
            seed = seed * 6364136223846793005U + 1442695040888963407U;
            word[i] = round % 3 == 0 ? seed : round % 3 == 1 ? seed >> 46 : ~(seed >> 50);
        }
        for (uint32_t i = 1; i < 50; i++) {
            unsigned char id[32], session[SESSION_MAX];
            struct entry *e = find(c, id_number(id, i));

            if (e != NULL)
                memcpy(session, e->session, session_bytes(c, e, sizeof(session)));
            if (round % 2 == 0)
                put_number(c, i, SESSION_MAX);
            /* An entry that is found right at the end of the ring. */
            places_of(c, id_number(id, i))[0] = c->ring - 8 + 1;
            c->m->head = c->ring;
        }
    }
    cache_free(c);
}
END_TEST

UNIT_MAIN("ssl_cache", fits, around, keeps, replaces, too_large, half_written, hostile_bytes)
