/* Addresses as text and back. */
#include "lib/unit.h"

static struct wr_str text_of(const struct wr_addr *a, bool port)
{
    static char buf[WR_ADDR_TEXT_MAX];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    if (port)
        wr_addr_text(a, &t);
    else
        wr_addr_text_ip(a, &t);
    ck_assert(!t.overflow);
    return wr_text_view(&t);
}

START_TEST(parses)
{
    static const struct {
        const char *in, *out, *ip;
    } rows[] = {
        { "1.2.3.4", "1.2.3.4:53", "1.2.3.4" },
        { "1.2.3.4:80", "1.2.3.4:80", "1.2.3.4" },
        { "255.255.255.255:65535", "255.255.255.255:65535", "255.255.255.255" },
        { "*:80", "0.0.0.0:80", "0.0.0.0" },
        { "*", "0.0.0.0:53", "0.0.0.0" },
        { "[::1]:80", "[::1]:80", "::1" },
        { "[::]", "[::]:53", "::" },
        { "[2001:DB8::1]:443", "[2001:db8::1]:443", "2001:db8::1" },
        { "[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]:1", "::ffff:1.2.3.4" },
        { "unix:/run/a.sock", "unix:/run/a.sock", "unix:" },
        { "unix:relative", "unix:relative", "unix:" },
    };
    struct wr_addr a;

    for (unsigned i = 0; i < WR_COUNT(rows); i++) {
        ck_assert_msg(wr_addr_parse(wr_str_c(rows[i].in), 53, &a), "%s", rows[i].in);
        ck_view(text_of(&a, true), rows[i].out);
        ck_view(text_of(&a, false), rows[i].ip);
    }
}
END_TEST

START_TEST(refuses)
{
    static const char *const bad[] = {
        "", "80", ":80", "localhost", "localhost:80", "1.2.3", "1.2.3.4.5", "1.2.3.256",
        "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:80a", "1.2.3.4:-1", "1.2.3.4:000080",
        "::1", "::1:80", "[::1", "[]", "[]:80", "[::1]80", "[::1]:", "[1.2.3.4]:80", "[::g]:80",
        "[fe80::1%eth0]:80", "unix:", "**:80", "*:", "01.2.3.4", " 1.2.3.4", "1.2.3.4 ",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc",
        "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc]:80",
    };
    struct wr_addr a;
    char path[128];

    for (unsigned i = 0; i < WR_COUNT(bad); i++)
        ck_assert_msg(!wr_addr_parse(wr_str_c(bad[i]), 53, &a), "%s", bad[i]);
    ck_assert(!wr_addr_parse(wr_str_of("1.2.3.4\0:80", 11), 0, &a));
    ck_assert(!wr_addr_parse(wr_str_of("unix:/a\0b", 9), 0, &a));
    memset(path, 'x', sizeof(path));
    memcpy(path, "unix:/", 6);
    ck_assert(wr_addr_parse(wr_str_of(path, 5 + sizeof(a.un.sun_path) - 1), 0, &a));
    ck_assert_uint_eq(text_of(&a, true).n, 5 + sizeof(a.un.sun_path) - 1);
    ck_assert(!wr_addr_parse(wr_str_of(path, 5 + sizeof(a.un.sun_path)), 0, &a));
}
END_TEST

START_TEST(parses_hosts)
{
    struct wr_addr a;

    ck_assert(wr_addr_parse_ip(WR_STR("1.2.3.4"), &a));
    ck_assert_uint_eq(wr_addr_port(&a), 0);
    ck_assert(wr_addr_parse_ip(WR_STR("::1"), &a));
    ck_assert(wr_addr_parse_ip(WR_STR("[::1]"), &a));
    ck_view(text_of(&a, false), "::1");
    ck_assert(!wr_addr_parse_ip(WR_STR("1.2.3.4:80"), &a));
    ck_assert(!wr_addr_parse_ip(WR_STR("[::1]:80"), &a));
    ck_assert(!wr_addr_parse_ip(WR_STR("[1.2.3.4]"), &a));
    ck_assert(!wr_addr_parse_ip(WR_STR("unix:/x"), &a));
    ck_assert(!wr_addr_parse_ip(WR_STR(""), &a));
}
END_TEST

START_TEST(compares)
{
    static const char *const all[] = { "1.2.3.4:80", "1.2.3.4:81", "1.2.3.5:80", "[::1]:80",
                                       "[::1]:81", "[::ffff:1.2.3.4]:80", "unix:/a", "unix:/b" };
    struct wr_addr a, b, none = { .len = 0 };

    for (unsigned i = 0; i < WR_COUNT(all); i++) {
        ck_assert(wr_addr_parse(wr_str_c(all[i]), 0, &a));
        ck_assert(!wr_addr_eq(&a, &none));
        for (unsigned j = 0; j < WR_COUNT(all); j++) {
            ck_assert(wr_addr_parse(wr_str_c(all[j]), 0, &b));
            ck_assert(wr_addr_eq(&a, &b) == (i == j));
            ck_assert((wr_addr_hash(&a) == wr_addr_hash(&b)) == (i == j));
        }
    }
    ck_assert(wr_addr_eq(&none, &none));
    ck_assert_uint_eq(wr_addr_hash(&none), 0);
}
END_TEST

START_TEST(reads_parts)
{
    struct wr_addr a, none = { .len = 0 };

    ck_assert(wr_addr_parse(WR_STR("*:80"), 0, &a));
    ck_assert(wr_addr_wildcard(&a));
    ck_assert_uint_eq(wr_addr_bytes(&a).n, 4);
    wr_addr_set_port(&a, 8080);
    ck_assert_uint_eq(wr_addr_port(&a), 8080);
    ck_assert(wr_addr_parse(WR_STR("[::]:80"), 0, &a));
    ck_assert(wr_addr_wildcard(&a));
    ck_assert_uint_eq(wr_addr_bytes(&a).n, 16);
    ck_assert(wr_addr_parse(WR_STR("[::1]:80"), 0, &a));
    ck_assert(!wr_addr_wildcard(&a));
    ck_assert(wr_addr_parse(WR_STR("unix:/a"), 0, &a));
    wr_addr_set_port(&a, 1);
    ck_assert_uint_eq(wr_addr_port(&a), 0);
    ck_assert(!wr_addr_wildcard(&a));
    ck_assert_uint_eq(wr_addr_bytes(&a).n, 0);
    ck_assert(!wr_addr_wildcard(&none));
    ck_assert_uint_eq(wr_addr_port(&none), 0);
    ck_view(text_of(&none, true), "");
}
END_TEST

START_TEST(unnamed_unix_client)
{
    struct wr_addr a;

    memset(&a, 0x55, sizeof(a));
    a.un.sun_family = AF_UNIX;
    a.len = sizeof(sa_family_t); /* as accept() gives it */
    ck_view(text_of(&a, true), "unix:");
    memset(a.un.sun_path, 'p', sizeof(a.un.sun_path));
    a.len = sizeof(a.un); /* a path without a zero */
    ck_assert_uint_eq(text_of(&a, true).n, 5 + sizeof(a.un.sun_path));
}
END_TEST

START_TEST(host_names)
{
    static const char *const good[] = { "a", "A-b_c.example", "1.2.3.4", "a.", "-", "xn--a-0" };
    static const char *const bad[] = { "", ".", "..", ".a", "a..b", "a..", "../x", "a/b", "a b",
                                       "a\n", "a\x7f", "a\xc3\xa4", "a:1", "[::1]", "a\\b", "*.a",
                                       "~a", "a%2e", "$a" };
    char longest[WR_HOST_NAME_MAX + 1];

    for (unsigned i = 0; i < WR_COUNT(good); i++)
        ck_assert_msg(wr_is_host_name(wr_str_c(good[i])), "%s", good[i]);
    for (unsigned i = 0; i < WR_COUNT(bad); i++)
        ck_assert_msg(!wr_is_host_name(wr_str_c(bad[i])), "%s", bad[i]);
    ck_assert(!wr_is_host_name(wr_str_of("a\0b", 3)));
    memset(longest, 'a', sizeof(longest));
    ck_assert(wr_is_host_name(wr_str_of(longest, WR_HOST_NAME_MAX)));
    ck_assert(!wr_is_host_name(wr_str_of(longest, WR_HOST_NAME_MAX + 1)));
}
END_TEST

UNIT_MAIN("base/addr", host_names, parses, refuses, parses_hosts, compares, reads_parts,
          unnamed_unix_client)
