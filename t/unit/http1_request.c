/* Heads of requests: the values read, and the errors with their words. */
#include "lib/http_text.h"

static struct wr_head_limits limits;

static void defaults(void)
{
    limits = (struct wr_head_limits){ .line = 8192, .total = 32768, .ignore_invalid = true };
}

static enum wr_parse request(struct wr_pool *pool, struct wr_str text, struct wr_h1_progress *p,
                             struct wr_text *t)
{
    struct wr_request r = { 0 };
    struct wr_head_rules rules = { .limits = &limits, .pool = pool };
    enum wr_parse result = wr_h1_request(text, &rules, p, &r);

    if (result == WR_PARSE_BAD)
        put_bad(t, p);
    if (result != WR_PARSE_OK)
        return result;
    ck_assert_uint_eq(r.head_size, p->size);
    ck_assert(r.version == 9 ? p->size <= text.n : text.p[p->size - 1] == '\n');
    wr_text_fmt(t, WR_FMT " " WR_FMT " %u", WR_ARG(r.method_text), WR_ARG(r.target), r.version);
    if (r.scheme_host.p != NULL)
        wr_text_fmt(t, " at " WR_FMT, WR_ARG(r.scheme_host));
    wr_text_fmt(t, " host " WR_FMT ":%u%s%s", WR_ARG(r.host), r.host_port,
                r.keepalive ? " keep" : "", r.expect ? " expect" : "");
    put_framing(t, r.framing, r.length);
    put_fields(t, &r.fields);
    if (r.ignored.p != NULL)
        wr_text_fmt(t, " ignored <" WR_FMT ">", WR_ARG(r.ignored));
    return result;
}

#define CHECK(rows) check_rows(request, rows, WR_COUNT(rows))
#define RAW(s) s, sizeof(s) - 1

START_TEST(reads_lines)
{
    static const struct head_row rows[] = {
        { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, "GET / 11 host a:0 keep Host=<a>" },
        { "GET / HTTP/1.1\nHost: a\n\n", 0, "GET / 11 host a:0 keep Host=<a>" },
        { "GET / HTTP/1.0\r\n\r\n", 0, "GET / 10 host :0" },
        { "GET / HTTP/1.9\r\nHost: a\r\n\r\n", 0, "GET / 11 host a:0 keep Host=<a>" },
        { "\r\n\n\r\nGET / HTTP/1.0\r\n\r\n", 0, "GET / 10 host :0" },
        { "M-SEARCH /x?y#z HTTP/1.0\r\n\r\nbody", 0, "M-SEARCH /x?y 10 host :0 +4" },
        { "GET /\xff\"<> HTTP/1.0\r\n\r\n", 0, "GET /\xff\"<> 10 host :0" },
        { "GET /x\r\n", 0, "GET /x 9 host :0" },
        { "GET /x\nHost: a\n\n", 0, "GET /x 9 host :0 +9" },
        { "GET /HTTP/1.1\r\n", 0, "GET /HTTP/1.1 9 host :0" },
        { "", 0, "more" },
        { "GET / HTTP/1.1", 0, "more" },
        { "GET / HTTP/1.1\r\nHost: a\r\n", 0, "more" },
        { "GET / HTTP/1.1\r\nHost: a\r\n\r", 0, "more" },
        { "\r\n", 0, "more" },
        { "GE", 0, "more" },
        { "GET /x\r", 0, "more" },
    };

    defaults();
    CHECK(rows);
}
END_TEST

START_TEST(refuses_lines)
{
    static const char method[] = "400 line: client sent invalid method";
    static const char invalid[] = "400 line: client sent invalid request";
    static const char version[] = "505 line: client sent invalid version";
    static const struct head_row rows[] = {
        { "get / HTTP/1.1\r\n\r\n", 0, method },
        { "G(T / HTTP/1.1\r\n\r\n", 0, method },
        { "GET\t/ HTTP/1.1\r\n\r\n", 0, method },
        { " GET / HTTP/1.1\r\n\r\n", 0, method },
        { "\rGET / HTTP/1.1\r\n\r\n", 0, method },
        { "GET\r\n", 0, method },
        { RAW("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), method },
        { RAW("GET\x00"), method },
        { "lower", 0, method },
        { "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", 0, invalid },
        { "GET  / HTTP/1.1\r\n\r\n", 0, invalid },
        { "GET /  HTTP/1.1\r\n\r\n", 0, invalid },
        { "GET / HTTP/1.1 \r\n\r\n", 0, invalid },
        { "GET /x \r\n", 0, invalid },
        { "GET  \r\n", 0, invalid },
        { "GET /a b HTTP/1.1\r\n\r\n", 0, invalid },
        { "GET / http/1.1\r\n\r\n", 0, invalid },
        { "GET / HTTP/1.10\r\n\r\n", 0, invalid },
        { "GET / HTTP/1\r\n\r\n", 0, invalid },
        { "GET / HTTP/0.9\r\n\r\n", 0, invalid },
        { "GET / HTTP/1.x\r\n\r\n", 0, invalid },
        { "GET / HTTPS/1.1\r\n\r\n", 0, invalid },
        { "GET /\x01 HTTP/1.1\r\n\r\n", 0, invalid },
        { "GET /\x7f", 0, invalid },
        { "GET /a\rb HTTP/1.1\r\n\r\n", 0, invalid },
        { "GET / HTTP/1.1\r\r\n\r\n", 0, invalid },
        { RAW("GET /\x00 HTTP/1.1\r\n\r\n"), invalid },
        { "GET / HTTP/2.0\r\n", 0, version },
        { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, version },
        { "POST /x\r\n", 0, "400 line: client sent invalid method in HTTP/0.9 request" },
        { "GET http://a/\r\n", 0, invalid },
    };

    defaults();
    CHECK(rows);
}
END_TEST

START_TEST(knows_the_forms_of_targets)
{
    static const char invalid[] = "400 line: client sent invalid request";
    static const char host[] = "400 client sent invalid host in request line";
    static const struct head_row rows[] = {
        { "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0, "OPTIONS * 11 host a:0 keep Host=<a>" },
        { "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 0, invalid },
        { "OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n", 0, invalid },
        { "GET http://B.c:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n", 0,
          "GET /x?y 11 at B.c:81 host b.c:81 keep Host=<B.c:81>" },
        { "GET http://b HTTP/1.0\r\n\r\n", 0, "GET / 10 at b host b:0" },
        { "GET http://b?x HTTP/1.0\r\n\r\n", 0, "GET /?x 10 at b host b:0" },
        { "GET http://b#x HTTP/1.0\r\n\r\n", 0, "GET / 10 at b host b:0" },
        { "GET /a#/../b?c HTTP/1.0\r\n\r\n", 0, "GET /a 10 host :0" },
        { "GET http://b?x#y?z HTTP/1.0\r\n\r\n", 0, "GET /?x 10 at b host b:0" },
        { "GET /#\r\n", 0, "GET / 9 host :0" },
        { "GET a+b-c.2://b/ HTTP/1.0\r\n\r\n", 0, "GET / 10 at b host b:0" },
        { "GET http://[::1]/ HTTP/1.0\r\n\r\n", 0, "GET / 10 at [::1] host [::1]:0" },
        { "GET http://b/ HTTP/1.1\r\n\r\n", 0,
          "400 client sent HTTP/1.1 request without \"Host\" header" },
        { "GET http://b/ HTTP/1.1\r\nHost: x/y\r\n\r\n", 0,
          "400 client sent invalid host header" },
        { "GET http://u@b/ HTTP/1.0\r\n\r\n", 0, host },
        { "GET http://b:x/ HTTP/1.0\r\n\r\n", 0, host },
        { "GET http://b*c/ HTTP/1.0\r\n\r\n", 0, host },
        { "GET http://*/ HTTP/1.1\r\nHost: b\r\n\r\n", 0, host },
        { "GET http:///b HTTP/1.0\r\n\r\n", 0, invalid },
        { "GET http:/b HTTP/1.0\r\n\r\n", 0, invalid },
        { "GET 1http://b/ HTTP/1.0\r\n\r\n", 0, invalid },
        { "GET b HTTP/1.0\r\n\r\n", 0, invalid },
        { "GET ://b HTTP/1.0\r\n\r\n", 0, invalid },
        { "CONNECT b:443 HTTP/1.1\r\nHost: b\r\n\r\n", 0,
          "CONNECT b:443 11 at b:443 host b:443 keep Host=<b:443>" },
        { "CONNECT b HTTP/1.1\r\nHost: b\r\n\r\n", 0, host },
        { "CONNECT /x HTTP/1.1\r\nHost: b\r\n\r\n", 0, host },
        { "CONNECT http://b:1/ HTTP/1.1\r\nHost: b\r\n\r\n", 0, host },
    };

    defaults();
    CHECK(rows);
}
END_TEST

#define LINE "GET / HTTP/1.1\r\nHost: a\r\n"
#define OUT "GET / 11 host a:0 keep Host=<a>"

START_TEST(reads_fields)
{
    static const struct head_row rows[] = {
        { LINE "X: b\r\n\r\n", 0, OUT " X=<b>" },
        { LINE "X:b\r\n\r\n", 0, OUT " X=<b>" },
        { LINE "X: \t b\tc d \t \r\n\r\n", 0, OUT " X=<b\tc d>" },
        { LINE "X:\r\n\r\n", 0, OUT " X=<>" },
        { LINE "X: \t\n\n", 0, OUT " X=<>" },
        { LINE "X: a:b,\xff\"\r\nx-Y2: c\r\nX: d\r\n\r\n", 0,
          OUT " X=<a:b,\xff\"> x-Y2=<c> X=<d>" },
        { LINE "X: 0123456789abcdef0123456789abcdef\t0123456789abcdef\r\n\r\n", 0,
          OUT " X=<0123456789abcdef0123456789abcdef\t0123456789abcdef>" },
    };

    defaults();
    CHECK(rows);
}
END_TEST

START_TEST(refuses_fields)
{
    static const struct head_row rows[] = {
        { LINE "Foo\r\n\r\n", 0, "400 client sent invalid header line: \"Foo\"" },
        { LINE "Foo : b\r\n\r\n", 0, "400 client sent invalid header line: \"Foo : b\"" },
        { LINE "Foo\t: b\r\n\r\n", 0, "400 client sent invalid header line: \"Foo\t: b\"" },
        { LINE ": b\r\n\r\n", 0, "400 client sent invalid header line: \": b\"" },
        { LINE " X: b\r\n\r\n", 0, "400 client sent invalid header line: \" X: b\"" },
        { LINE "X: a\r\n b\r\n\r\n", 0, "400 client sent invalid header line: \" b\"" },
        { LINE "X: a\r\n\tb\r\n\r\n", 0, "400 client sent invalid header line: \"\tb\"" },
        { LINE "X: a\rb\r\n\r\n", 0, "400 client sent invalid header line: \"X: a\rb\"" },
        { LINE "X: a\r\r\n\r\n", 0, "400 client sent invalid header line: \"X: a\r\"" },
        { LINE "X\r: a\r\n\r\n", 0, "400 client sent invalid header line: \"X\r: a\"" },
        { LINE "X: a\x01\r\n\r\n", 0, "400 client sent invalid header line: \"X: a\x01\"" },
        { LINE "X: a\x7f\r\n\r\n", 0, "400 client sent invalid header line: \"X: a\x7f\"" },
        { LINE "X: 0123456789abcde\x0b" "f\r\n\r\n", 0,
          "400 client sent invalid header line: \"X: 0123456789abcde\x0b" "f\"" },
        { LINE "X\x01: a\r\n\r\n", 0, "400 client sent invalid header line: \"X\x01: a\"" },
        /* printf ends at the zero. */
        { RAW(LINE "X: a\0b\r\n\r\n"), "400 client sent invalid header line: \"X: a" },
        { RAW(LINE "X\0: b\r\n\r\n"), "400 client sent invalid header line: \"X" },
    };

    defaults();
    for (size_t i = 0; i < WR_COUNT(rows) - 2; i++)
        check_row(request, row_text(rows[i].in, rows[i].n), rows[i].out);
    for (size_t i = WR_COUNT(rows) - 2; i < WR_COUNT(rows); i++) {
        struct wr_h1_progress p = { 0 };
        struct wr_pool *pool = wr_pool_new(0);
        struct wr_head_rules rules = { .limits = &limits, .pool = pool };
        struct wr_request r;

        ck_assert_int_eq(wr_h1_request(row_text(rows[i].in, rows[i].n), &rules, &p, &r),
                         WR_PARSE_BAD);
        ck_assert_uint_eq(p.status, 400);
        wr_pool_free(pool);
    }
}
END_TEST

START_TEST(odd_names)
{
    static const struct head_row ignored[] = {
        { LINE "a_b: c\r\nX: d\r\n\r\n", 0, OUT " X=<d> ignored <a_b: c>" },
        { LINE "a.b: c\r\nX: d\r\nc(: e\r\n\r\n", 0, OUT " X=<d> ignored <a.b: c>" },
        { LINE "Content_Length: 5\r\n\r\n", 0, OUT " ignored <Content_Length: 5>" },
        { LINE "\xff: b\r\n\r\n", 0, OUT " ignored <\xff: b>" },
    };
    static const struct head_row underscores[] = {
        { LINE "a_b: c\r\n\r\n", 0, OUT " a_b=<c>" },
        { LINE "a_.b: c\r\n\r\n", 0, OUT " ignored <a_.b: c>" },
    };
    static const struct head_row strict[] = {
        { LINE "a_b: c\r\na.b!#$%&'*+^`|~: c\r\n\r\n", 0,
          OUT " a_b=<c> a.b!#$%&'*+^`|~=<c>" },
        { LINE "c(: e\r\n\r\n", 0, "400 client sent invalid header line: \"c(: e\"" },
        { LINE "\xff: b\r\n\r\n", 0, "400 client sent invalid header line: \"\xff: b\"" },
    };

    defaults();
    CHECK(ignored);
    limits.underscores = true;
    CHECK(underscores);
    defaults();
    limits.ignore_invalid = false;
    CHECK(strict);
}
END_TEST

START_TEST(finds_the_host)
{
    static const char missing[] = "400 client sent HTTP/1.1 request without \"Host\" header";
    static const char invalid[] = "400 client sent invalid host header";
    static const struct head_row rows[] = {
        { "GET / HTTP/1.1\r\n\r\n", 0, missing },
        { "GET / HTTP/1.1\r\nHost:\r\n\r\n", 0, invalid },
        { "GET / HTTP/1.0\r\nHost:\r\n\r\n", 0, invalid },
        { "GET / HTTP/1.1\r\nHost: A.Example.:8080\r\n\r\n", 0,
          "GET / 11 host a.example:8080 keep Host=<A.Example.:8080>" },
        { "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 0, invalid },
        { "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 0, invalid },
        { "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 0,
          "400 client sent duplicate header line: \"Host: a\", previous value: \"Host: a\"" },
        { "GET / HTTP/1.0\r\nHost: a\r\nhOST: b\r\n\r\n", 0,
          "400 client sent duplicate header line: \"hOST: b\", previous value: \"Host: a\"" },
    };

    defaults();
    CHECK(rows);
}
END_TEST

START_TEST(finds_the_framing)
{
    static const char length[] = "400 client sent invalid \"Content-Length\" header";
    static const char both[] = "400 client sent \"Content-Length\" and \"Transfer-Encoding\" "
                               "headers at the same time";
    static const struct head_row rows[] = {
        { LINE "Content-Length: 9223372036854775808\r\n\r\n", 0, length },
        { LINE "Content-Length: 99999999999999999999999\r\n\r\n", 0, length },
        { LINE "Content-Length:\r\n\r\n", 0, length },
        { LINE "Content-Length: +5\r\n\r\n", 0, length },
        { LINE "Content-Length: -5\r\n\r\n", 0, length },
        { LINE "Content-Length: 5 5\r\n\r\n", 0, length },
        { LINE "Content-Length: 5,5\r\n\r\n", 0, length },
        { LINE "Content-Length: 0x5\r\n\r\n", 0, length },
        { LINE "Content-Length: 5\r\ncontent-length: 5\r\n\r\n", 0,
          "400 client sent duplicate header line: \"content-length: 5\", previous value: "
          "\"Content-Length: 5\"" },
        { LINE "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 0, both },
        { LINE "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 0, both },
        { LINE "Transfer-Encoding: gzip\r\n\r\n", 0,
          "501 client sent unknown \"Transfer-Encoding\": \"gzip\"" },
        { LINE "Transfer-Encoding: xchunked\r\n\r\n", 0,
          "501 client sent unknown \"Transfer-Encoding\": \"xchunked\"" },
        { LINE "Transfer-Encoding: gzip, chunked\r\n\r\n", 0,
          "501 client sent unknown \"Transfer-Encoding\": \"gzip, chunked\"" },
        { LINE "Transfer-Encoding: identity\r\n\r\n", 0,
          "501 client sent unknown \"Transfer-Encoding\": \"identity\"" },
        { LINE "Transfer-Encoding:\r\n\r\n", 0,
          "501 client sent unknown \"Transfer-Encoding\": \"\"" },
        { LINE "Transfer-Encoding: chunked, chunked\r\n\r\n", 0,
          "400 client sent unknown \"Transfer-Encoding\": \"chunked, chunked\"" },
        { LINE "Transfer-Encoding: chunked , gzip\r\n\r\n", 0,
          "400 client sent unknown \"Transfer-Encoding\": \"chunked , gzip\"" },
        { LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
          "400 client sent duplicate header line: \"Transfer-Encoding: chunked\", previous value: "
          "\"Transfer-Encoding: chunked\"" },
        { "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
          "400 client sent HTTP/1.0 request with \"Transfer-Encoding\" header" },
        { LINE "Transfer-Encoding : chunked\r\n\r\n", 0,
          "400 client sent invalid header line: \"Transfer-Encoding : chunked\"" },
        { LINE "Transfer-Encoding: \x0b" "chunked\r\n\r\n", 0,
          "400 client sent invalid header line: \"Transfer-Encoding: \x0b" "chunked\"" },
    };

    defaults();
    check_row(request, WR_STR(LINE "Content-Length: 5\r\n\r\nhello"),
              "GET / 11 host a:0 keep length 5 Host=<a> Content-Length=<5> +5");
    check_row(request, WR_STR(LINE "Content-Length: 9223372036854775807\r\n\r\n"),
              "GET / 11 host a:0 keep length 9223372036854775807 Host=<a> "
              "Content-Length=<9223372036854775807>");
    check_row(request, WR_STR(LINE "Transfer-Encoding:\tChunked \r\n\r\n"),
              "GET / 11 host a:0 keep chunked Host=<a> Transfer-Encoding=<Chunked>");
    CHECK(rows);
}
END_TEST

START_TEST(reads_wishes)
{
    static const struct {
        const char *fields;
        bool keep11, keep10;
    } rows[] = {
        { "", true, false },
        { "Connection: close\r\n", false, false },
        { "Connection: keep-alive\r\n", true, true },
        { "Connection: Upgrade, Keep-Alive\r\n", true, true },
        { "Connection: keep-alive\r\nConnection: x ,\tCLOSE\r\n", false, false },
        { "Connection: closer, ,keep-alive2\r\n", true, false },
    };
    struct wr_pool *pool = wr_pool_new(0);

    defaults();
    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        for (unsigned minor = 0; minor <= 1; minor++) {
            struct wr_h1_progress p = { 0 };
            struct wr_head_rules rules = { .limits = &limits, .pool = pool };
            struct wr_request r;
            struct wr_str text = wr_pool_fmt(pool, "GET / HTTP/1.%u\r\nHost: a\r\n%s\r\n", minor,
                                             rows[i].fields);

            ck_assert_int_eq(wr_h1_request(text, &rules, &p, &r), WR_PARSE_OK);
            ck_assert_msg(r.keepalive == (minor == 1 ? rows[i].keep11 : rows[i].keep10), "%s",
                          text.p);
        }
    }
    wr_pool_free(pool);
    check_row(request, WR_STR(LINE "Expect: 100-Continue\r\n\r\n"),
              "GET / 11 host a:0 keep expect Host=<a> Expect=<100-Continue>");
    check_row(request, WR_STR("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"),
              "GET / 10 host :0 Expect=<100-continue>");
    check_row(request, WR_STR(LINE "If-Match: x\r\nIf-Match: y\r\n\r\n"),
              "400 client sent duplicate header line: \"If-Match: y\", previous value: "
              "\"If-Match: x\"");
}
END_TEST

START_TEST(keeps_to_limits)
{
    static const struct head_row rows[] = {
        /* The longest line allowed, with its end, and one byte more. */
        { "GET /89012345678901234567 HTTP/1.1\r\nHost: a\r\n\r\n", 0,
          "GET /89012345678901234567 11 host a:0 keep Host=<a>" },
        { "GET /890123456789012345678 HTTP/1.1\r\nHost: a\r\n\r\n", 0,
          "414 line: client sent too long URI" },
        { "GET /8901234567890123456789012345678", 0, "414 line: client sent too long URI" },
        { LINE "X: 4567890123456789012345678901234\r\n\r\n", 0,
          OUT " X=<4567890123456789012345678901234>" },
        { LINE "X: 45678901234567890123456789012345\r\n\r\n", 0,
          "431 client sent too long header line" },
        { LINE "X: 456789012345678901234567890123456", 0, "431 client sent too long header line" },
        { LINE "X: 45678901234567890123456789\r\nY: 56789012345678901234\r\n\r\n", 0,
          "431 client sent too large request" },
        { LINE "A:\r\nB:\r\nC:\r\n\r\n", 0, OUT " A=<> B=<> C=<>" },
        { LINE "A:\r\nB:\r\nC:\r\nD:\r\n\r\n", 0, "400 client sent too many header lines" },
        { "OPTIONS * HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n", 0,
          "431 client sent too long header line" },
    };

    limits = (struct wr_head_limits){ .line = 36, .total = 80, .fields = 4 };
    CHECK(rows);
}
END_TEST

START_TEST(finds_ends)
{
    struct wr_str head = WR_STR(LINE "X: b\r\n\r\nGET");
    struct wr_h1_progress p = { 0 };
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_head_rules rules = { .limits = &limits, .pool = pool };
    struct wr_request r;

    /* Found in one place, parsed in another. */
    defaults();
    for (size_t n = 0; n < head.n - 3; n++)
        ck_assert_int_eq(wr_h1_head_end(wr_str_of(head.p, n), &limits, true, &p), WR_PARSE_MORE);
    ck_assert_int_eq(wr_h1_head_end(head, &limits, true, &p), WR_PARSE_OK);
    ck_assert_uint_eq(p.size, head.n - 3);
    head = wr_pool_str(pool, wr_str_of(head.p, p.size));
    ck_assert_int_eq(wr_h1_request(head, &rules, &p, &r), WR_PARSE_OK);
    ck_assert(r.line.p == head.p);
    ck_view(r.line, "GET / HTTP/1.1");
    ck_view(wr_fields_value(&r.fields, WR_F_HOST), "a");

    /* An error stays, and the line is there for the log. */
    p = (struct wr_h1_progress){ 0 };
    head = WR_STR("GET / HTTP/3.0\r\nHost");
    ck_assert_int_eq(wr_h1_head_end(head, &limits, true, &p), WR_PARSE_BAD);
    ck_assert_uint_eq(p.status, 505);
    ck_assert_int_eq(wr_h1_head_end(head, &limits, true, &p), WR_PARSE_BAD);
    ck_assert_int_eq(wr_h1_request(head, &rules, &p, &r), WR_PARSE_BAD);
    ck_view(r.line, "GET / HTTP/3.0");
    p = (struct wr_h1_progress){ 0 };
    ck_assert_int_eq(wr_h1_request(WR_STR("\r\nhello\x16"), &rules, &p, &r), WR_PARSE_BAD);
    ck_view(r.line, "hello\x16");
    wr_pool_free(pool);
}
END_TEST

UNIT_MAIN("http1/request", reads_lines, refuses_lines, knows_the_forms_of_targets, reads_fields,
          refuses_fields, odd_names, finds_the_host, finds_the_framing, reads_wishes,
          keeps_to_limits, finds_ends)
