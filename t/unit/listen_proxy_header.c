/* The PROXY header's parser and writer: both versions, whole and in parts, valid and hostile. */
#include "lib/unit.h"

#include "listen/listen.h"

static char packet[70000];
static size_t length;

static void bytes(const void *p, size_t n)
{
    memcpy(packet + length, p, n);
    length += n;
}

static void number(unsigned v, unsigned n)
{
    while (n-- > 0) {
        char c = (char)(v >> (8 * n));

        bytes(&c, 1);
    }
}

static void v2(unsigned version, unsigned family, unsigned n)
{
    length = 0;
    bytes("\r\n\r\n\0\r\nQUIT\n", 12);
    number(version, 1);
    number(family, 1);
    number(n, 2);
}

static void addresses_v4(void)
{
    number(0xc0000201, 4);
    number(0xc0000202, 4);
    number(123, 2);
    number(5678, 2);
}

/* "OK 192.0.2.1:123 192.0.2.2:5678 +TLVS" or "MORE" or the reason. */
static const char *parsed(const char *p, size_t n)
{
    static char buf[512];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    struct wr_proxy_header h;
    const char *s;

    switch (wr_proxy_header_parse(wr_str_of(p, n), &h)) {
    case WR_PROXY_MORE:
        return "MORE";
    case WR_PROXY_BAD:
        return h.why;
    default:
        break;
    }
    wr_text_fmt(&t, "%zu ", h.size);
    wr_addr_text(&h.source, &t);
    wr_text_c(&t, " ");
    wr_addr_text(&h.destination, &t);
    if (h.tlvs.n > 0)
        wr_text_fmt(&t, " +%zu", h.tlvs.n);
    ck_assert(wr_text_cstr(&t, &s));
    return s;
}

struct row {
    const char *text, *out;
};

static const struct row lines[] = {
    { "PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\r\nGET", "41 192.0.2.1:123 192.0.2.2:5678" },
    { "PROXY TCP6 2001:DB8::1 ::2 1 65535\r\n", "36 [2001:db8::1]:1 [::2]:65535" },
    { "PROXY TCP4 192.0.2.1 192.0.2.2 0 0\r\n", "36 192.0.2.1:0 192.0.2.2:0" },
    { "PROXY UNKNOWN\r\n", "15  " },
    { "PROXY UNKNOWN ffff::1 ffff::2 65535 65535 and so on\r\n", "53  " },
    { "", "MORE" },
    { "P", "MORE" },
    { "PROXY ", "MORE" },
    { "PROXY TCP4 192.0.2.1 192.0.2.2 123 5678\r", "MORE" },
    { "\r\n", "MORE" },
    { "GET / HTTP/1.1\r\n", "not a PROXY header" },
    { "PROXy", "not a PROXY header" },
    { "\r\nGET", "not a PROXY header" },
    { "PROXY I", "not well-formed" },
    { "PROXY TC", "MORE" },
    { "PROXY UNK", "MORE" },
    { "PROXY \n", "not well-formed" },
    { "PROXY \r\n", "not well-formed" },
    { "PROXY UNKNOWN\n", "not well-formed" },
    { "PROXY TCP5 192.0.2.1 192.0.2.2 123 5678\r\n", "not well-formed" },
    { "PROXY TCP4  192.0.2.1 192.0.2.2 123 5678\r\n", "not well-formed" },
    { "PROXY TCP4 192.0.2.1 192.0.2.2 123\r\n", "not well-formed" },
    { "PROXY TCP4 192.0.2.1 192.0.2.2 123 5678 \r\n", "not well-formed" },
    { "PROXY TCP4 192.0.2.1 192.0.2.2 123 5678 9\r\n", "not well-formed" },
    { "PROXY TCP4 192.0.2.1 192.0.2.2 123 65536\r\n", "not well-formed" },
    { "PROXY TCP4 192.0.2.1 192.0.2.2 0123 1\r\n", "not well-formed" },
    { "PROXY TCP4 192.0.2.1 192.0.2.2 +123 1\r\n", "not well-formed" },
    { "PROXY TCP4 192.0.2 192.0.2.2 123 1\r\n", "not well-formed" },
    { "PROXY TCP4 ::1 ::2 123 1\r\n", "not well-formed" },
    { "PROXY TCP6 192.0.2.1 192.0.2.2 123 1\r\n", "not well-formed" },
    { "PROXY TCP6 [::1] [::2] 123 1\r\n", "not well-formed" },
    { "PROXY TCP4 unix:/a unix:/b 1 1\r\n", "not well-formed" },
};

START_TEST(version_1)
{
    char rest[128];

    for (size_t i = 0; i < WR_COUNT(lines); i++)
        ck_assert_str_eq(parsed(lines[i].text, strlen(lines[i].text)), lines[i].out);
    memset(rest, 'x', sizeof(rest));
    memcpy(rest, "PROXY UNKNOWN ", 14);
    ck_assert_str_eq(parsed(rest, 106), "MORE");
    ck_assert_str_eq(parsed(rest, 107), "too long a line");
    memcpy(rest + 105, "\r\n", 2);
    ck_assert_str_eq(parsed(rest, 107), "107  ");
}
END_TEST

START_TEST(version_2)
{
    v2(0x21, 0x11, 12);
    addresses_v4();
    ck_assert_str_eq(parsed(packet, length), "28 192.0.2.1:123 192.0.2.2:5678");
    for (size_t n = 0; n < length; n++)
        ck_assert_str_eq(parsed(packet, n), "MORE");

    v2(0x21, 0x21, 36);
    bytes("\x20\x01\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    bytes("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
    number(1, 2);
    number(2, 2);
    ck_assert_str_eq(parsed(packet, length), "52 [2001:db8::1]:1 [::2]:2");

    v2(0x21, 0x11, 16); /* with a TLV of no bytes, and one cut short */
    addresses_v4();
    bytes("\4\0\0\4", 4);
    ck_assert_str_eq(parsed(packet, length), "32 192.0.2.1:123 192.0.2.2:5678 +4");
}
END_TEST

START_TEST(version_2_without_addresses)
{
    v2(0x20, 0x00, 0); /* LOCAL */
    ck_assert_str_eq(parsed(packet, length), "16  ");
    v2(0x20, 0x11, 12);
    addresses_v4();
    ck_assert_str_eq(parsed(packet, length), "28  ");
    v2(0x21, 0x44, 0); /* an unknown family */
    ck_assert_str_eq(parsed(packet, length), "16  ");
    v2(0x21, 0x31, 3); /* unix */
    bytes("abc", 3);
    ck_assert_str_eq(parsed(packet, length), "19  ");
}
END_TEST

START_TEST(version_2_refused)
{
    v2(0x11, 0x11, 12);
    ck_assert_str_eq(parsed(packet, length), "of an unknown version or command");
    v2(0x22, 0x11, 12);
    ck_assert_str_eq(parsed(packet, length), "of an unknown version or command");
    v2(0x21, 0x11, 4081);
    ck_assert_str_eq(parsed(packet, length), "too large");
    v2(0x21, 0x11, 4080);
    ck_assert_str_eq(parsed(packet, length), "MORE");
    v2(0x21, 0x11, 11);
    addresses_v4();
    ck_assert_str_eq(parsed(packet, length - 1), "too short for its addresses");
    v2(0x21, 0x21, 12);
    addresses_v4();
    ck_assert_str_eq(parsed(packet, length), "too short for its addresses");
}
END_TEST

static void tlv(unsigned type, const char *text)
{
    number(type, 1);
    number((unsigned)strlen(text), 2);
    bytes(text, strlen(text));
}

static const struct row tlvs[] = {
    { "alpn", "h2" },
    { "0x1", "h2" },
    { "0x0001", "h2" },
    { "authority", "example.com" },
    { "unique_id", "" },
    { "netns", NULL },
    { "0xAE", "mine" },
    { "0xaf", NULL },
    { "0x101", NULL },
    { "0x100000001", NULL },
    { "0x", NULL },
    { "0xg", NULL },
    { "1", NULL },
    { "", NULL },
    { "ssl_verify", "255" },
    { "ssl_version", "TLSv1.2" },
    { "ssl_0x22", "cn" },
    { "ssl_cn", "cn" },
    { "ssl_cipher", NULL },
    { "ssl_", NULL },
    { "ssl_alpn", NULL },
    { "version", NULL },
};

START_TEST(finds_tlvs)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_str all, out;

    length = 0;
    tlv(0x01, "h2");
    tlv(0x02, "example.com");
    tlv(0x05, "");
    tlv(0xae, "mine");
    tlv(0xae, "again");
    number(0x20, 1);
    number(5 + 3 + 7 + 3 + 2, 2);
    number(1, 1);
    number(255, 4);
    tlv(0x21, "TLSv1.2");
    tlv(0x22, "cn");
    number(0xaf, 1); /* longer than the rest of the header */
    number(9, 2);
    bytes("short", 5);
    all = wr_str_of(packet, length);
    for (size_t i = 0; i < WR_COUNT(tlvs); i++) {
        bool found = wr_proxy_tlv(pool, all, wr_str_c(tlvs[i].text), &out);

        ck_assert_msg(found == (tlvs[i].out != NULL), "%s", tlvs[i].text);
        if (found)
            ck_view(out, tlvs[i].out);
    }
    ck_assert(!wr_proxy_tlv(pool, wr_str_of("\x20\0\4\1\0\0\0", 7), WR_STR("ssl_verify"), &out));
    ck_assert(wr_proxy_tlv(pool, wr_str_of("\x20\0\4\1\0\0\0", 7), WR_STR("ssl"), &out));
    wr_pool_free(pool);
}
END_TEST

static const char *written(const char *source, const char *destination)
{
    static char buf[WR_ADDR_TEXT_MAX];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    struct wr_addr a = { .len = 0 }, b = { .len = 0 };
    const char *s;

    if (*source != '\0')
        ck_assert(wr_addr_parse(wr_str_c(source), 0, &a));
    if (*destination != '\0')
        ck_assert(wr_addr_parse(wr_str_c(destination), 0, &b));
    wr_proxy_header_write(&t, &a, &b);
    ck_assert(wr_text_cstr(&t, &s));
    return s;
}

START_TEST(writes)
{
    const char *longest = "[1111:2222:3333:4444:5555:6666:7777:8888]:65535", *text;

    ck_assert_str_eq(written("192.0.2.1:5", "192.0.2.2:443"),
                     "PROXY TCP4 192.0.2.1 192.0.2.2 5 443\r\n");
    ck_assert_str_eq(written("[2001:db8::1]:5", "[::1]:443"),
                     "PROXY TCP6 2001:db8::1 ::1 5 443\r\n");
    ck_assert_str_eq(written("192.0.2.1:5", "[::1]:443"), "PROXY UNKNOWN\r\n");
    ck_assert_str_eq(written("unix:/a", "unix:/b"), "PROXY UNKNOWN\r\n");
    ck_assert_str_eq(written("", "192.0.2.2:443"), "PROXY UNKNOWN\r\n");
    text = written(longest, longest);
    ck_assert_uint_eq(strlen(text), 104);
    ck_assert_str_ne(parsed(text, strlen(text)), "too long a line");
}
END_TEST

/* Reads again what was written. */
START_TEST(writes_version_2)
{
    static const struct { const char *source, *destination; size_t addresses; } rows[] = {
        { "192.0.2.1:5", "192.0.2.2:443", 12 }, { "[2001:db8::1]:5", "[::1]:443", 36 },
        { "192.0.2.1:5", "[::1]:443", 0 },      { "unix:/a", "unix:/b", 0 },
    };
    struct wr_pool *pool = wr_pool_new(0);

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_text own = wr_text_grow(pool, 64, 256), t = wr_text_grow(pool, 64, 512);
        struct wr_proxy_header h;
        struct wr_addr a, b;
        struct wr_str out;

        ck_assert(wr_addr_parse(wr_str_c(rows[i].source), 0, &a));
        ck_assert(wr_addr_parse(wr_str_c(rows[i].destination), 0, &b));
        wr_proxy_tlv_put(&own, 0x02, WR_STR("example.test"));
        wr_proxy_header_write2(&t, &a, &b, wr_text_view(&own), true);
        ck_assert_uint_eq(t.n, 16 + rows[i].addresses + 15 + 7);
        ck_assert_int_eq(wr_proxy_header_parse(wr_text_view(&t), &h), WR_PROXY_OK);
        ck_assert_uint_eq(h.size, t.n);
        if (rows[i].addresses == 0)
            continue;
        ck_assert(wr_addr_eq(&h.source, &a) && wr_addr_eq(&h.destination, &b));
        ck_assert(wr_proxy_tlv(pool, h.tlvs, WR_STR("authority"), &out));
        ck_view(out, "example.test");
        ck_assert(wr_proxy_tlv(pool, h.tlvs, WR_STR("0x3"), &out));
        ck_assert_uint_eq(out.n, 4);
    }
    wr_pool_free(pool);
}
END_TEST

UNIT_MAIN("listen/proxy_header", version_1, version_2, version_2_without_addresses,
          version_2_refused, finds_tlvs, writes, writes_version_2)
