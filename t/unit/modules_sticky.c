/* The values of sticky cookies, their signatures and attributes, the file of secrets, and the index
 * by which a value is found. */
#include "lib/unit.h"

#include "../../modules/http/sticky/sticky_impl.h"

static struct wr_addr addr_of(const char *text)
{
    struct wr_addr a;

    ck_assert(wr_addr_parse(wr_str_c(text), 80, &a));
    return a;
}

static struct wr_sticky_value name_of(const char *route, const char *addr)
{
    struct wr_addr a = addr_of(addr);

    return wr_sticky_name(wr_str_c(route), &a);
}

static struct wr_sticky_value signed_by(const char *key, const char *route, const char *addr)
{
    struct wr_addr a = addr_of(addr);

    return wr_sticky_sign(wr_str_c(key), wr_str_c(route), &a);
}

static void check_value(struct wr_sticky_value v, const char *want)
{
    ck_view(wr_sticky_text(&v), want);
}

START_TEST(names)
{
    /* printf %s 127.0.0.1:8081 | md5sum */
    check_value(name_of("", "127.0.0.1:8081"), "df2b80dc43705d28db9be6f29fe58da3");
    check_value(name_of("", "[::1]:80"), "c1308178d10b33ec4a853215e9af4ea2");
    check_value(name_of("", "unix:/run/a.sock"), "8cef2b5a944ef5972cac7a36adf74cbb");
    check_value(name_of("a", "127.0.0.1:8081"), "a");
}
END_TEST

#define KEY "0123456789abcdef"

START_TEST(signatures)
{
    struct wr_sticky_value one = signed_by(KEY, "", "127.0.0.1:8081");

    /* printf %s 'server 127.0.0.1:8081' | openssl dgst -sha256 -hmac 0123456789abcdef */
    check_value(one, "f0d75c846330f9525e851b13d997e628");
    check_value(signed_by(KEY, "a", "127.0.0.1:8081"), "e2b06647c363e556502a0c2b5870a2c5");
    ck_assert(!wr_str_eq(wr_sticky_text(&one),
                         wr_str_of(signed_by(KEY "0", "", "127.0.0.1:8081").p, one.n)));
    ck_assert(!wr_str_eq(wr_sticky_text(&one),
                         wr_str_of(signed_by(KEY, "127.0.0.1:8081", "127.0.0.1:1").p, one.n)));
    ck_assert(!wr_str_eq(wr_sticky_text(&one),
                         wr_str_of(signed_by(KEY, "", "127.0.0.1:8082").p, one.n)));
}
END_TEST

START_TEST(cookies)
{
    static const struct { const char *field, *values; } rows[] = {
        { "sid=a", "a," },
        { "x=1; sid=a; y=2", "a," },
        { "sid=a; sid=b", "a,b," },
        { "sid=;SID= c ;sid", ",c," },
        { "xsid=a; sidx=b; s=sid=c", "" },
        { "sid=a=b; sid", "a=b," },
        { "", "" },
        { ";;;", "" },
        { "sid", "" },
        { "sid=\"a\"", "\"a\"," },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_str rest = wr_str_c(rows[i].field), value;
        char buf[64];
        struct wr_text t = wr_text_on(buf, sizeof(buf));

        while (wr_sticky_cookie(&rest, wr_str_c("sid"), &value)) {
            wr_text_str(&t, value);
            wr_text_char(&t, ',');
        }
        ck_view(wr_text_view(&t), rows[i].values);
        ck_assert_uint_eq(rest.n, 0);
    }
}
END_TEST

START_TEST(parts_of_cookies)
{
    ck_assert(wr_sticky_is_value(WR_STR("")));
    ck_assert(wr_sticky_is_value(WR_STR("a-b_c.d:1")));
    ck_assert(!wr_sticky_is_value(WR_STR("a b")));
    ck_assert(!wr_sticky_is_value(WR_STR("a;b")));
    ck_assert(!wr_sticky_is_value(WR_STR("a\r\nb")));
    ck_assert(!wr_sticky_is_value(wr_str_of("a\0b", 3)));
    ck_assert(!wr_sticky_is_value(WR_STR("a\x7f")));
    ck_assert_int_eq(wr_same_site_of(WR_STR("LAX")), WR_SAME_SITE_LAX);
    ck_assert_int_eq(wr_same_site_of(WR_STR("none")), WR_SAME_SITE_NONE);
    ck_assert_int_eq(wr_same_site_of(WR_STR("")), WR_SAME_SITE_NO);
    ck_assert_int_eq(wr_same_site_of(WR_STR("strictly")), WR_SAME_SITE_NO);
}
END_TEST

#define NOW 1800000000 /* Fri, 15 Jan 2027 08:00:00 GMT */

static void check_attributes(struct wr_sticky_cookie c, const char *domain, const char *want)
{
    char buf[256];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    wr_sticky_attributes(&t, &c, NOW, wr_str_c(domain), c.fixed_same_site);
    ck_view(wr_text_view(&t), want);
}

START_TEST(attributes)
{
    check_attributes((struct wr_sticky_cookie){ .secure = false }, "", "");
    check_attributes((struct wr_sticky_cookie){ .expires_s = 3600 }, "",
                     "; expires=Fri, 15-Jan-27 09:00:00 GMT");
    check_attributes((struct wr_sticky_cookie){ .expires_s = 20 * 365 * 86400ULL }, "",
                     "; expires=Thu, 10-Jan-2047 08:00:00 GMT");
    check_attributes((struct wr_sticky_cookie){
        .expires_max = true, .path = WR_STR("/a"), .secure = true, .httponly = true,
        .fixed_same_site = WR_SAME_SITE_STRICT }, ".x.y",
        "; expires=Thu, 31-Dec-37 23:55:55 GMT; domain=.x.y; path=/a; secure; httponly"
        "; samesite=strict");
    check_attributes((struct wr_sticky_cookie){ .fixed_same_site = WR_SAME_SITE_NONE }, "",
                     "; samesite=none");
}
END_TEST

START_TEST(secrets)
{
    static const struct { const char *text, *why; uint32_t n; } rows[] = {
        { KEY, NULL, 1 },
        { KEY "\n", NULL, 1 },
        { "\r\n" KEY "\r\n\n" KEY "2\n", NULL, 2 },
        { KEY "\nshort\n", "has a secret of less than 16 bytes", 1 },
        { KEY "\n" KEY "\n" KEY "\n" KEY "\n" KEY "\n" KEY "\n" KEY "\n" KEY "\n" KEY "\n",
          "has more than 8 secrets", 8 },
        { "", "has no secret", 0 },
        { "\n\r\n", "has no secret", 0 },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_str out[WR_STICKY_SECRETS];
        uint32_t n;
        const char *why = wr_sticky_secrets(wr_str_c(rows[i].text), out, &n);

        ck_assert_uint_eq(n, rows[i].n);
        ck_assert_msg((why == NULL) == (rows[i].why == NULL), "%zu: %s", i, why);
        if (why != NULL)
            ck_assert_str_eq(why, rows[i].why);
        for (uint32_t k = 0; k < n; k++)
            ck_assert(wr_str_starts(out[k], WR_STR(KEY)) && out[k].n <= 17);
    }
}
END_TEST

/* ---- the index ---- */

#define PEERS 40
static struct wr_peer_slot slots[PEERS];
static struct wr_peer peers[PEERS];
static uint32_t made;            /* values made by values_of */

static void values_of(const void *arg, struct wr_str route, const struct wr_addr *addr,
                      struct wr_sticky_value *out)
{
    made++;
    out[0] = wr_sticky_name(route, addr);
    out[1] = wr_sticky_sign(wr_str_c(arg), route, addr);
}

static struct wr_peer_group make_group(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        char text[32];

        (void)snprintf(text, sizeof(text), "10.0.0.%u:80", i);
        slots[i].addr = addr_of(text);
        peers[i] = (struct wr_peer){ &slots[i], i * 3, 2 };
    }
    return (struct wr_peer_group){ .at = peers, .n = n };
}

static void check_found(const struct wr_sticky_index *ix, struct wr_sticky_value v, uint32_t want)
{
    uint32_t at = 0;

    ck_assert_uint_eq(wr_sticky_index_next(ix, wr_sticky_text(&v), &at), want);
}

START_TEST(finding)
{
    struct wr_peer_group g = make_group(PEERS);
    struct wr_sticky_index ix = { .pool = NULL };
    struct wr_sticky_value long_one = { .n = WR_STICKY_VALUE };

    check_found(&ix, name_of("", "10.0.0.1:80"), UINT32_MAX);
    wr_sticky_index_make(&ix, &g, 2, values_of, KEY);
    for (uint32_t i = 0; i < PEERS; i++) {
        char text[32];

        (void)snprintf(text, sizeof(text), "10.0.0.%u:80", i);
        check_found(&ix, name_of("", text), i);
        check_found(&ix, signed_by(KEY, "", text), i);
        ck_assert(wr_str_eq(wr_sticky_text(wr_sticky_index_value(&ix, &peers[i])),
                            wr_str_of(name_of("", text).p, 32)));
    }
    check_found(&ix, name_of("", "10.0.0.99:80"), UINT32_MAX);
    check_found(&ix, (struct wr_sticky_value){ .n = 0 }, UINT32_MAX);
    check_found(&ix, long_one, UINT32_MAX);
    peers[3].generation = 4;
    ck_assert_ptr_null(wr_sticky_index_value(&ix, &peers[3]));
    wr_sticky_index_free(&ix);
}
END_TEST

START_TEST(equal_values)
{
    struct wr_peer_group g = make_group(4);
    struct wr_sticky_index ix = { .pool = NULL };
    uint32_t at = 0, seen = 0, i;

    memcpy(slots[1].route, "r", 2);
    memcpy(slots[3].route, "r", 2);
    wr_sticky_index_make(&ix, &g, 2, values_of, KEY);
    while ((i = wr_sticky_index_next(&ix, WR_STR("r"), &at)) != UINT32_MAX)
        seen |= 1U << i;
    ck_assert_uint_eq(seen, 1 << 1 | 1 << 3);
    wr_sticky_index_free(&ix);
}
END_TEST

/* Only the values of peers that are new are made. A route without its zero ends with the slot. */
START_TEST(made_again)
{
    struct wr_peer_group g = make_group(10);
    struct wr_sticky_index ix = { .pool = NULL };
    char route[sizeof(slots[0].route) + 1] = { 0 };

    made = 0;
    wr_sticky_index_make(&ix, &g, 2, values_of, KEY);
    ck_assert_uint_eq(made, 10);
    g.n = 9;
    peers[0].generation = 4;
    slots[2].addr = addr_of("10.0.1.1:80");
    memset(slots[4].route, 'x', sizeof(slots[4].route));
    memset(route, 'x', sizeof(slots[4].route));
    wr_sticky_index_make(&ix, &g, 2, values_of, KEY);
    ck_assert_uint_eq(made, 12);
    check_found(&ix, name_of("", "10.0.0.0:80"), 0);
    check_found(&ix, name_of("", "10.0.1.1:80"), 2);
    check_found(&ix, name_of("", "10.0.0.2:80"), UINT32_MAX);
    check_found(&ix, name_of(route, "10.0.0.4:80"), 4);
    check_found(&ix, name_of("", "10.0.0.9:80"), UINT32_MAX);
    wr_sticky_index_free(&ix);
}
END_TEST

UNIT_MAIN("sticky", names, signatures, cookies, parts_of_cookies, attributes, secrets, finding,
          equal_values, made_again)
