/* The keys of TLS tickets: their rotation, and keys from files. Includes the source for its
 * statics; the program also links it, so its extern functions get other names here. */
#define wr_ssl_tickets_use test_tickets_use
#define wr_ssl_tickets_open test_tickets_open
#define wr_ssl_ticket_keys_load test_ticket_keys_load
#include "tls/ticket_keys.c"

#include "lib/unit.h"

static struct keys keys_at(struct ring *r, uint64_t s)
{
    struct keys k = { .n = KEYS };

    wr_clock.wall_ms = s * 1000;
    rotate_keys(r, 300);
    memcpy(k.at, r->at, sizeof(k.at));
    return k;
}

static bool is_same(const struct wr_ssl_ticket_key *a, const struct wr_ssl_ticket_key *b)
{
    return memcmp(a->name, b->name, sizeof(a->name)) == 0
        && memcmp(a->aes, b->aes, sizeof(a->aes)) == 0;
}

START_TEST(rotation)
{
    struct ring r = { .made_s = 0 };
    struct keys a = keys_at(&r, 10000), b, c, d;

    b = keys_at(&r, 10299);
    ck_assert(is_same(&a.at[0], &b.at[0]));
    b = keys_at(&r, 9999); /* a worker whose turn began earlier */
    ck_assert(is_same(&a.at[0], &b.at[0]));
    b = keys_at(&r, 10300);
    ck_assert(!is_same(&a.at[0], &b.at[0]));
    ck_assert(is_same(&a.at[0], &b.at[1]));
    c = keys_at(&r, 10600);
    ck_assert(is_same(&b.at[0], &c.at[1]));
    ck_assert(is_same(&a.at[0], &c.at[2]));
    d = keys_at(&r, 20000); /* after a long time without clients */
    ck_assert(!is_same(&c.at[0], &d.at[0]));
    ck_assert(!is_same(&c.at[0], &d.at[1]) && !is_same(&c.at[0], &d.at[2]));
    a = keys_at(&r, 15000); /* the clock was set back */
    ck_assert(!is_same(&d.at[0], &a.at[0]));
}
END_TEST

/* A worker died while it wrote the ring: the next one makes a key of its own. */
START_TEST(half_rotated)
{
    struct ring r = { .made_s = 0 };
    struct keys a = keys_at(&r, 10000), b;

    memmove(&r.at[1], &r.at[0], (KEYS - 1) * sizeof(r.at[0]));
    b = keys_at(&r, 10300);
    ck_assert(!is_same(&a.at[0], &b.at[0]) && is_same(&a.at[0], &b.at[1]));
    r.at[0].name[0]++;
    a = keys_at(&r, 10600);
    ck_assert(!is_same(&a.at[0], &a.at[1]));
}
END_TEST

START_TEST(key_files)
{
    static const char bytes[] = "0123456789abcdef" "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF"
                                "abcdefghijklmnopqrstuvwxyzabcdef";
    struct wr_ssl_ticket_key k;

    ck_assert(take_key(wr_str_of(bytes, 80), &k));
    ck_assert(!k.aes128);
    ck_assert_int_eq(memcmp(k.hmac, bytes + 16, 32), 0);
    ck_assert_int_eq(memcmp(k.aes, bytes + 48, 32), 0);
    ck_assert(take_key(wr_str_of(bytes, 48), &k));
    ck_assert(k.aes128);
    ck_assert_int_eq(memcmp(k.aes, bytes + 16, 16), 0);
    ck_assert_int_eq(memcmp(k.hmac, bytes + 32, 16), 0);
    for (size_t n = 0; n < 80; n++)
        ck_assert(n == 48 || !take_key(wr_str_of(bytes, n), &k));
}
END_TEST

UNIT_MAIN("tls/ticket_keys", rotation, half_rotated, key_files)
