/* The DNS answer parser: messages written out by hand, good ones and hostile ones. */
#include "dns/dns.h"
#include "lib/event_lib.h"

enum { A = 1, CNAME = 5, SOA = 6, PTR = 12, AAAA = 28, SRV = 33 };

struct packet {
    unsigned char p[70000];
    size_t n;
};

static struct packet m;
static struct wr_dns_answer out;

static void u8(unsigned v)
{
    m.p[m.n++] = (unsigned char)v;
}

static void u16(unsigned v)
{
    u8(v >> 8 & 255);
    u8(v & 255);
}

static void u32(uint32_t v)
{
    u16(v >> 16);
    u16(v & 65535);
}

/* "a.b" as labels; "a.@12" ends in a pointer to offset 12. */
static void name(const char *text)
{
    while (*text != '\0') {
        size_t n = strcspn(text, ".");

        if (*text == '@') {
            u16(0xc000u | (unsigned)atoi(text + 1));
            return;
        }
        u8((unsigned)n);
        while (n-- > 0)
            u8((unsigned char)*text++);
        text += *text == '.';
    }
    u8(0);
}

/* The question's name stands at offset 12. */
static void begin(unsigned rcode, unsigned answers, unsigned authority, const char *question)
{
    m.n = 0;
    u16(0x1234);
    u16(0x8180u | rcode);
    u16(1);
    u16(answers);
    u16(authority);
    u16(0);
    name(question);
    u16(A);
    u16(1);
}

/* Returns the place of the length, which end() fills in. */
static size_t record(const char *owner, unsigned type, uint32_t ttl)
{
    name(owner);
    u16(type);
    u16(1);
    u32(ttl);
    u16(0);
    return m.n - 2;
}

static void end(size_t at)
{
    size_t n = m.n - at - 2;

    m.p[at] = (unsigned char)(n >> 8);
    m.p[at + 1] = (unsigned char)n;
}

static void address(const char *owner, uint32_t ttl, uint32_t ip)
{
    size_t at = record(owner, A, ttl);

    u32(ip);
    end(at);
}

static void alias(const char *owner, uint32_t ttl, const char *target)
{
    size_t at = record(owner, CNAME, ttl);

    name(target);
    end(at);
}

/* Parses memory of the exact size, so that ASan finds a read past it. */
static void parse(const char *question, uint16_t type)
{
    void *p = wr_malloc(m.n + 1);

    memcpy(p, m.p, m.n);
    p = wr_realloc(p, m.n > 0 ? m.n : 1);
    wr_dns_parse(p, m.n, wr_str_c(question), type, &out);
    free(p);
}

static const char *address_text(uint32_t i)
{
    static char buf[WR_ADDR_TEXT_MAX];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    const char *s;

    wr_addr_text(&out.at[i].addr, &t);
    ck_assert(wr_text_cstr(&t, &s));
    return s;
}

START_TEST(addresses_with_the_smallest_ttl)
{
    begin(0, 3, 0, "www.Example.org");
    address("@12", 300, 0x7f000001);
    address("www.example.ORG", 60, 0x0a000002);
    address("other.example.org", 1, 0x0a000003);
    parse("WWW.example.org.", A);
    ck_assert_int_eq(out.code, WR_DNS_OK);
    ck_assert_uint_eq(out.n, 2);
    ck_assert_uint_eq(out.ttl, 60);
    ck_assert_str_eq(address_text(0), "127.0.0.1:0");
    ck_assert_str_eq(address_text(1), "10.0.0.2:0");
    ck_assert_uint_eq(out.at[0].ttl, 300);
}
END_TEST

START_TEST(ipv6_addresses)
{
    size_t at;

    begin(0, 2, 0, "six.test");
    at = record("@12", AAAA, 5);
    for (unsigned i = 0; i < 15; i++)
        u8(i == 0 ? 0xfd : 0);
    u8(1);
    end(at);
    address("@12", 1, 1);
    parse("six.test", AAAA);
    ck_assert_uint_eq(out.n, 1);
    ck_assert_uint_eq(out.ttl, 5);
    ck_assert_str_eq(address_text(0), "[fd00::1]:0");
}
END_TEST

START_TEST(the_chain_in_order_and_backwards)
{
    begin(0, 3, 0, "a.test");
    alias("@12", 50, "b.test");
    alias("b.test", 40, "c.@14");
    address("c.test", 100, 0x01020304);
    parse("a.test", A);
    ck_assert_uint_eq(out.n, 1);
    ck_assert_uint_eq(out.ttl, 40);

    begin(0, 4, 0, "a.test");
    address("c.test", 30, 0x01020304);
    alias("b.test", 40, "c.test");
    alias("a.test", 50, "b.test");
    address("c.test", 35, 0x01020305);
    parse("", A);
    ck_assert_uint_eq(out.n, 2);
    ck_assert_uint_eq(out.ttl, 30);

    begin(0, 1, 0, "a.test");
    alias("a.test", 50, "b.test");
    parse("a.test", CNAME);
    ck_assert_uint_eq(out.n, 1);
    ck_assert_str_eq(out.at[0].name, "b.test");
}
END_TEST

START_TEST(an_alias_alone)
{
    begin(0, 2, 0, "www.test");
    alias("@12", 50, "a.test");
    alias("a.test", 20, "b.test");
    parse("www.test", A);
    ck_assert_uint_eq(out.n, 0);
    ck_assert_str_eq(out.alias, "b.test");
    ck_assert_uint_eq(out.ttl, 20);

    begin(0, 2, 0, "www.test"); /* the answer is complete */
    alias("@12", 50, "a.test");
    address("a.test", 20, 0x0a000003);
    parse("www.test", A);
    ck_assert_uint_eq(out.n, 1);
    ck_assert_str_eq(out.alias, "");

    begin(3, 1, 0, "www.test"); /* complete, too: the target does not exist */
    alias("@12", 50, "a.test");
    parse("www.test", A);
    ck_assert_str_eq(out.alias, "");
}
END_TEST

START_TEST(a_chain_in_a_circle)
{
    begin(0, 2, 0, "a.test");
    alias("a.test", 50, "b.test");
    alias("b.test", 50, "a.test");
    parse("a.test", A);
    ck_assert_int_eq(out.code, WR_DNS_BAD);
    ck_assert_uint_eq(out.n, 0);
}
END_TEST

START_TEST(services)
{
    size_t at;

    begin(0, 2, 0, "_http._tcp.test");
    at = record("@12", SRV, 9);
    u16(1);
    u16(20);
    u16(8080);
    name("b1.@23");
    end(at);
    at = record("@12", SRV, 9);
    u16(0);
    u16(0);
    u16(0);
    name("");
    end(at);
    parse("_http._tcp.test", SRV);
    ck_assert_uint_eq(out.n, 2);
    ck_assert_uint_eq(out.at[0].priority, 1);
    ck_assert_uint_eq(out.at[0].weight, 20);
    ck_assert_uint_eq(out.at[0].port, 8080);
    ck_assert_str_eq(out.at[0].name, "b1.test");
    ck_assert_str_eq(out.at[1].name, "");
}
END_TEST

START_TEST(pointers)
{
    size_t at;

    begin(0, 1, 0, "4.3.2.1.in-addr.arpa");
    at = record("@12", PTR, 9);
    name("host.@14");
    end(at);
    parse("", PTR);
    ck_assert_uint_eq(out.n, 1);
    ck_assert_str_eq(out.at[0].name, "host.3.2.1.in-addr.arpa");
}
END_TEST

static void soa(uint32_t ttl, uint32_t minimum)
{
    size_t at = record("test", SOA, ttl);

    name("ns.test");
    name("root.@12");
    for (unsigned i = 0; i < 4; i++)
        u32(1);
    u32(minimum);
    end(at);
}

START_TEST(negative_answers)
{
    begin(3, 0, 1, "no.test");
    soa(600, 30);
    parse("no.test", A);
    ck_assert_int_eq(out.code, WR_DNS_NXDOMAIN);
    ck_assert_uint_eq(out.n, 0);
    ck_assert_uint_eq(out.ttl, 30);

    begin(0, 1, 1, "a.test");
    alias("@12", 77, "b.test");
    soa(20, 30);
    parse("a.test", AAAA);
    ck_assert_int_eq(out.code, WR_DNS_OK);
    ck_assert_uint_eq(out.n, 0);
    ck_assert_uint_eq(out.ttl, 20);

    begin(0, 0, 0, "a.test");
    parse("a.test", A);
    ck_assert_int_eq(out.code, WR_DNS_OK);
    ck_assert_uint_eq(out.ttl, 0);
}
END_TEST

START_TEST(codes)
{
    static const struct {
        unsigned rcode;
        enum wr_dns_code code;
        const char *text;
    } row[] = {
        { 1, WR_DNS_FORMERR, "Format error" },    { 2, WR_DNS_SERVFAIL, "Server failure" },
        { 3, WR_DNS_NXDOMAIN, "Host not found" }, { 4, WR_DNS_NOTIMP, "Unimplemented" },
        { 5, WR_DNS_REFUSED, "Operation refused" }, { 9, WR_DNS_BAD, "Malformed answer" },
    };

    for (size_t i = 0; i < WR_COUNT(row); i++) {
        begin(row[i].rcode, 0, 0, "a.test");
        parse("a.test", A);
        ck_assert_int_eq(out.code, row[i].code);
        ck_assert_str_eq(wr_dns_code_text(out.code), row[i].text);
    }
    ck_assert_str_eq(wr_dns_code_text(WR_DNS_TIMEDOUT), "Operation timed out");
}
END_TEST

/* Every prefix of a good message is refused, and read within its bounds. */
START_TEST(cut_anywhere)
{
    size_t whole;

    begin(0, 3, 0, "a.test");
    alias("@12", 50, "b.@14");
    address("b.test", 100, 0x01020304);
    address("b.test", 100, 0x01020305);
    whole = m.n;
    for (m.n = 0; m.n < whole; m.n++) {
        parse("a.test", A);
        ck_assert_int_eq(out.code, WR_DNS_BAD);
        ck_assert_uint_eq(out.n, 0);
    }
    parse("a.test", A);
    ck_assert_uint_eq(out.n, 2);
}
END_TEST

static void is_bad(void)
{
    parse("a.test", A);
    ck_assert_int_eq(out.code, WR_DNS_BAD);
    ck_assert_uint_eq(out.n, 0);
}

START_TEST(hostile)
{
    size_t at;

    begin(0, 1, 0, "a.test"); /* a query, no answer */
    m.p[2] &= 0x7f;
    address("@12", 1, 1);
    is_bad();

    begin(0, 1, 0, "a.test"); /* a pointer to itself, and one forward */
    address("@24", 1, 1);
    is_bad();
    begin(0, 1, 0, "a.test");
    address("@30", 1, 1);
    is_bad();

    begin(0, 1, 0, "a.test"); /* a label type that does not exist */
    address("@12", 1, 1);
    m.p[24] = 0x80;
    is_bad();

    begin(0, 1, 0, "a.test"); /* an address of three bytes, of five */
    at = record("@12", A, 1);
    u16(1);
    u8(1);
    end(at);
    is_bad();
    begin(0, 1, 0, "a.test");
    at = record("@12", A, 1);
    u32(1);
    u8(1);
    end(at);
    is_bad();

    begin(0, 1, 0, "a.test"); /* rdata with more than the name */
    at = record("@12", CNAME, 1);
    name("b.test");
    u8(0);
    end(at);
    is_bad();

    begin(0, 1, 0, "a.test"); /* rdata with less: the name runs into the next record */
    at = record("@12", CNAME, 1);
    end(at);
    name("b.test");
    is_bad();

    begin(0, 65535, 0, "a.test"); /* more promised than sent */
    address("@12", 1, 1);
    is_bad();
}
END_TEST

START_TEST(a_name_too_long)
{
    size_t at;

    begin(0, 1, 0, "a.test");
    at = record("@12", CNAME, 1);
    for (unsigned i = 0; i < 5; i++) {
        u8(60);
        for (unsigned k = 0; k < 60; k++)
            u8('x');
    }
    u8(0);
    end(at);
    is_bad();
}
END_TEST

/* Pointers to pointers, 16000 of them, once per record: refused after a few. */
START_TEST(a_long_way_of_pointers)
{
    size_t first, at;

    begin(0, 2, 0, "a.test");
    at = record("@12", 99, 1);
    u8(0);
    first = m.n - 1;
    while (m.n < 0x3ff0)
        u16((unsigned)(0xc000 | (m.n - first == 1 ? first : m.n - 2)));
    end(at);
    at = m.n - 2;
    u16((unsigned)(0xc000 | at));
    u16(A);
    u16(1);
    u32(1);
    u16(0);
    is_bad();
}
END_TEST

/* Names of 200 bytes in all records, and aliases from the last one to the first, so that each is
 * found by another pass: refused when it has cost enough. A large service needs far less. */
START_TEST(long_names_again_and_again)
{
    char owner[300] = "", deep[16], from[16], to[16];
    unsigned passes[] = { 1, 14 };

    for (unsigned i = 0; i < 199; i++)
        owner[i] = i % 2 == 0 ? 'x' : '.';
    for (size_t i = 0; i < WR_COUNT(passes); i++) {
        size_t at;

        begin(0, 512 + passes[i], 0, "q0");
        at = record("@12", 99, 1);
        (void)snprintf(deep, sizeof(deep), "@%zu", m.n);
        name(owner);
        end(at);
        for (unsigned k = passes[i] - 1; k > 0; k--) {
            (void)snprintf(from, sizeof(from), "q%u", k - 1);
            (void)snprintf(to, sizeof(to), "q%u", k);
            alias(from, 1, to);
        }
        for (unsigned k = 0; k < 511; k++)
            alias(deep, 1, deep);
        (void)snprintf(to, sizeof(to), "q%u", passes[i] - 1);
        address(to, 1, 1);
        parse("q0", A);
        ck_assert_int_eq(out.code, i == 0 ? WR_DNS_OK : WR_DNS_BAD);
        ck_assert_uint_eq(out.n, i == 0);
    }
}
END_TEST

START_TEST(odd_bytes_in_names)
{
    size_t at;

    begin(0, 1, 0, "a.test");
    at = record("@12", CNAME, 1);
    u8(6);
    u8('x');
    u8('\n');
    u8('.');
    u8('"');
    u8(0xff);
    u8(0);
    u8(0);
    end(at);
    parse("a.test", CNAME);
    ck_assert_uint_eq(out.n, 1);
    ck_assert_str_eq(out.at[0].name, "x?????");
}
END_TEST

START_TEST(more_than_fit)
{
    begin(0, 600, 0, "a.test");
    for (unsigned i = 0; i < 600; i++)
        address("@12", 1000 - i, i);
    parse("a.test", A);
    ck_assert_int_eq(out.code, WR_DNS_OK);
    ck_assert_uint_eq(out.n, WR_DNS_RECORDS);

    begin(0, 1, 0, "a.test"); /* RFC 2181 8: the top bit counts as zero */
    address("@12", 0x80000000u, 1);
    parse("a.test", A);
    ck_assert_uint_eq(out.ttl, 0);
}
END_TEST

static bool asks(const char *question, uint16_t type)
{
    void *p = wr_malloc(m.n + 1);
    bool is;

    memcpy(p, m.p, m.n);
    p = wr_realloc(p, m.n > 0 ? m.n : 1);
    is = wr_dns_asks(p, m.n, wr_str_c(question), type);
    free(p);
    return is;
}

START_TEST(the_question_to_the_letter)
{
    size_t whole;

    begin(0, 0, 0, "www.ExAmple.org");
    whole = m.n;
    ck_assert(asks("www.ExAmple.org", A));
    ck_assert(!asks("www.example.org", A));
    ck_assert(!asks("www.ExAmple.orG", A));
    ck_assert(!asks("www.ExAmple.org.", A));
    ck_assert(!asks("www.ExAmple", A));
    ck_assert(!asks("", A));
    ck_assert(!asks("www.ExAmple.org", AAAA));
    m.p[5] = 2; /* two questions */
    ck_assert(!asks("www.ExAmple.org", A));
    m.p[5] = 0;
    ck_assert(!asks("www.ExAmple.org", A));
    m.p[5] = 1;
    m.p[m.n - 1] = 3; /* another class */
    ck_assert(!asks("www.ExAmple.org", A));
    m.p[m.n - 1] = 1;
    while (m.n-- > 0)
        ck_assert(!asks("www.ExAmple.org", A));
    m.n = whole;
    ck_assert(asks("www.ExAmple.org", A));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        addresses_with_the_smallest_ttl, ipv6_addresses, the_chain_in_order_and_backwards,
        an_alias_alone, a_chain_in_a_circle, services, pointers, negative_answers, codes,
        cut_anywhere, hostile, a_name_too_long, a_long_way_of_pointers,
        long_names_again_and_again, odd_bytes_in_names, more_than_fit,
        the_question_to_the_letter, NULL,
    };

    return run_suite("dns_answer", tests);
}
