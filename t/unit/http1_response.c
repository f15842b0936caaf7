/* Heads of replies: the values read, how their bodies are framed, and the errors. */
#include "lib/http_text.h"

static enum wr_method method;
static size_t limit;

static enum wr_parse response(struct wr_pool *pool, struct wr_str text, struct wr_h1_progress *p,
                              struct wr_text *t)
{
    struct wr_response r;
    enum wr_parse result = wr_h1_response(text, limit, method, pool, p, &r);

    if (result == WR_PARSE_BAD)
        put_bad(t, p);
    if (result != WR_PARSE_OK)
        return result;
    ck_assert_uint_eq(r.head_size, p->size);
    wr_text_fmt(t, "%u <" WR_FMT "> %u%s", r.status, WR_ARG(r.reason), r.version,
                r.keepalive ? " keep" : "");
    put_framing(t, r.framing, r.length);
    if (r.has_length && r.framing != WR_BODY_LENGTH)
        wr_text_fmt(t, " said %llu", (unsigned long long)r.length);
    if (r.type.p != NULL)
        wr_text_fmt(t, " type <" WR_FMT ">", WR_ARG(r.type));
    if (wr_response_modified(&r) != -1)
        wr_text_fmt(t, " modified %lld", (long long)r.last_modified);
    put_fields(t, &r.fields);
    return result;
}

#define CHECK(rows) check_rows(response, rows, WR_COUNT(rows))
#define RAW(s) s, sizeof(s) - 1
#define OK "HTTP/1.1 200 OK\r\n"

START_TEST(reads_status_lines)
{
    static const char invalid[] = "502 line: upstream sent no valid HTTP/1.0 header";
    static const struct head_row rows[] = {
        { "HTTP/1.1 200 OK\r\n\r\n", 0, "200 <OK> 11 until close" },
        { "HTTP/1.0 404 Not\t found\xff\n\n", 0, "404 <Not\t found\xff> 10 until close" },
        { "HTTP/1.1 200\r\n\r\n", 0, "200 <> 11 until close" },
        { "HTTP/1.1 200 \r\n\r\n", 0, "200 <> 11 until close" },
        { "HTTP/1.7 999 x\r\n\r\nbody", 0, "999 <x> 11 until close +4" },
        { "HTTP/1.1 200 OK", 0, "more" },
        { "HTT", 0, "more" },
        { "", 0, "more" },
        { "HTTP/1.1 2000\r\n\r\n", 0, invalid },
        { "HTTP/1.1 20\r\n\r\n", 0, invalid },
        { "HTTP/1.1 2x0 OK\r\n\r\n", 0, invalid },
        { "HTTP/1.1 099 OK\r\n\r\n", 0, invalid },
        { "HTTP/1.1  200 OK\r\n\r\n", 0, invalid },
        { "HTTP/1.1 200\tOK\r\n\r\n", 0, invalid },
        { "HTTP/1.1 200 O\x01K\r\n\r\n", 0, invalid },
        { "HTTP/1.1 200 O\rK\r\n\r\n", 0, invalid },
        { RAW("HTTP/1.1 200 O\0K\r\n\r\n"), invalid },
        { "HTTP/1.10 200 OK\r\n\r\n", 0, invalid },
        { "HTTP/2.0 200 OK\r\n\r\n", 0, invalid },
        { "HTTP/2 200\r\n\r\n", 0, invalid },
        { "HTTP/0.9 200\r\n\r\n", 0, invalid },
        { "http/1.1 200 OK\r\n\r\n", 0, invalid },
        { "SSH-2.0-OpenSSH_9.2\r\n", 0, invalid },
        { "<html>", 0, invalid },
        { "\r\nHTTP/1.1 200 OK\r\n\r\n", 0, invalid },
        { " HTTP/1.1 200 OK\r\n\r\n", 0, invalid },
        { RAW("\x15\x03\x01"), invalid },
    };

    method = WR_M_GET;
    limit = 4096;
    CHECK(rows);
}
END_TEST

START_TEST(reads_fields)
{
    static const struct head_row rows[] = {
        { OK "X: a\r\nx_y.z:\tb \r\nX: c\r\n\r\n", 0,
          "200 <OK> 11 until close X=<a> x_y.z=<b> X=<c>" },
        { OK "Date: d\r\nServer: s\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n", 0,
          "200 <OK> 11 until close Date=<d> Server=<s> Set-Cookie=<a> Set-Cookie=<b>" },
        { OK "Content-Type: text/html\r\ncontent-type: x\r\n\r\n", 0,
          "200 <OK> 11 until close type <text/html>" },
        { OK "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n", 0,
          "200 <OK> 11 until close modified 784111777 "
          "Last-Modified=<Sun, 06 Nov 1994 08:49:37 GMT>" },
        { OK "Last-Modified: yesterday\r\n\r\n", 0,
          "200 <OK> 11 until close Last-Modified=<yesterday>" },
        { OK "Date: a\r\nExpires: b\r\ndate: c\r\nX: d\r\nexpires: e\r\nX: f\r\n\r\n", 0,
          "200 <OK> 11 until close Date=<a> Expires=<b> X=<d> X=<f>" },
        { OK "X: a\r\n b\r\n\r\n", 0, "502 upstream sent invalid header: \" b\"" },
        { OK "X : a\r\n\r\n", 0, "502 upstream sent invalid header: \"X : a\"" },
        { OK "X(: a\r\n\r\n", 0, "502 upstream sent invalid header: \"X(: a\"" },
        { OK "X: a\rb\r\n\r\n", 0, "502 upstream sent invalid header: \"X: a\rb\"" },
        { OK "X: a\x02\r\n\r\n", 0, "502 upstream sent invalid header: \"X: a\x02\"" },
        { OK "garbage\r\n\r\n", 0, "502 upstream sent invalid header: \"garbage\"" },
        { OK "X: a\r\n", 0, "more" },
    };

    method = WR_M_GET;
    limit = 4096;
    CHECK(rows);
}
END_TEST

START_TEST(removes_what_is_for_one_hop)
{
    static const struct head_row rows[] = {
        { OK "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: x\r\n"
          "Trailer: x\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n", 0,
          "200 <OK> 11 keep length 0" },
        { OK "A: 1\r\nb: 2\r\nConnection: a,B\r\nC: 3\r\nConnection: c ,\tclose, D\r\n"
          "A: 4\r\nE: 5\r\n\r\n", 0, "200 <OK> 11 until close E=<5>" },
        { OK "Connection: set-cookie, ,x\r\nSet-Cookie: 1\r\nSet-Cookie: 2\r\n\r\n", 0,
          "200 <OK> 11 until close" },
        { "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nxx", 0,
          "101 <Go> 11 keep Upgrade=<websocket> +2" },
    };

    method = WR_M_GET;
    limit = 4096;
    CHECK(rows);
}
END_TEST

START_TEST(decides_keepalive)
{
#define EMPTY "Content-Length: 0\r\n\r\n"
    static const struct head_row rows[] = {
        { "HTTP/1.1 200 OK\r\n" EMPTY, 0, "200 <OK> 11 keep length 0" },
        { "HTTP/1.0 200 OK\r\n" EMPTY, 0, "200 <OK> 10 length 0" },
        { "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n" EMPTY, 0, "200 <OK> 10 keep length 0" },
        { "HTTP/1.1 200 OK\r\nConnection: x, Close\r\n" EMPTY, 0, "200 <OK> 11 length 0" },
        { "HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n" EMPTY, 0,
          "200 <OK> 10 length 0" },
        { "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", 0, "200 <OK> 10 until close" },
    };

    method = WR_M_GET;
    limit = 4096;
    CHECK(rows);
}
END_TEST

START_TEST(decides_framing)
{
    static const char te[] = "502 upstream sent unknown \"Transfer-Encoding\": ";
    static const struct head_row rows[] = {
        { OK "Content-Length: 7\r\n\r\n1234567HTTP", 0, "200 <OK> 11 keep length 7 +11" },
        { OK "Transfer-Encoding: Chunked\r\n\r\n0", 0, "200 <OK> 11 keep chunked +1" },
        { "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
          "200 <OK> 10 chunked" },
        { OK "Content-Length: 7\r\nContent-Length: 7\r\n\r\n", 0,
          "502 upstream sent duplicate header line: \"Content-Length: 7\", previous value: "
          "\"Content-Length: 7\"" },
        { OK "Content-Length: 7, 7\r\n\r\n", 0,
          "502 upstream sent invalid \"Content-Length\" header: \"7, 7\"" },
        { OK "Content-Length:\r\n\r\n", 0,
          "502 upstream sent invalid \"Content-Length\" header: \"\"" },
        { OK "Content-Length: 9223372036854775808\r\n\r\n", 0,
          "502 upstream sent invalid \"Content-Length\" header: \"9223372036854775808\"" },
        { OK "Transfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n", 0,
          "502 upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same "
          "time" },
        { OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
          "502 upstream sent duplicate header line: \"Transfer-Encoding: chunked\", previous "
          "value: \"Transfer-Encoding: chunked\"" },
    };
    static const struct head_row empty[] = {
        { "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 0, "100 <Continue> 11 keep +19" },
        { "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", 0, "103 <Early> 11 keep Link=<x>" },
        { "HTTP/1.1 204 No\r\n\r\n", 0, "204 <No> 11 keep" },
        { "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", 0, "204 <No> 11 keep" },
        { "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", 0, "204 <No> 11" },
        { "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", 0, "204 <No> 11" },
        { "HTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\n", 0, "304 <Not> 11 keep said 5" },
        { "HTTP/1.1 304 Not\r\nTransfer-Encoding: chunked\r\n\r\n", 0, "304 <Not> 11 keep" },
    };
    static const struct head_row head[] = {
        { OK "Content-Length: 5\r\n\r\n", 0, "200 <OK> 11 keep said 5" },
        { OK "Transfer-Encoding: chunked\r\n\r\n", 0, "200 <OK> 11 keep" },
        { OK "\r\n", 0, "200 <OK> 11 keep" },
    };
    static const struct head_row connect[] = {
        { OK "Content-Length: 5\r\n\r\n", 0, "200 <OK> 11 keep said 5" },
        { "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n", 0, "403 <No> 11 keep length 5" },
    };

    limit = 4096;
    method = WR_M_GET;
    CHECK(rows);
    CHECK(empty);
    for (unsigned i = 0; i < 3; i++) {
        static const char *const codings[] = { "gzip", "gzip, chunked", "" };
        char in[100], out[100];

        snprintf(in, sizeof(in), OK "Transfer-Encoding: %s\r\n\r\n", codings[i]);
        snprintf(out, sizeof(out), "%s\"%s\"", te, codings[i]);
        check_row(response, wr_str_c(in), out);
    }
    method = WR_M_HEAD;
    CHECK(head);
    method = WR_M_CONNECT;
    CHECK(connect);
}
END_TEST

START_TEST(keeps_to_limits)
{
    static const struct head_row rows[] = {
        { OK "X: 9\r\n\r\n", 0, "200 <OK> 11 until close X=<9>" },
        { OK "X: 90\r\n\r\n", 0, "502 upstream sent too big header" },
        { OK "X: 901234", 0, "502 upstream sent too big header" },
        { "HTTP/1.1 200 345678901234567890", 0, "502 line: upstream sent too big header" },
    };
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text t = wr_text_grow(pool, 64, 1 << 16);
    struct wr_h1_progress p = { 0 };
    struct wr_response r;

    method = WR_M_GET;
    limit = 25;
    CHECK(rows);
    wr_text_c(&t, OK);
    for (unsigned i = 0; i < 1001; i++)
        wr_text_c(&t, "a:\n");
    wr_text_c(&t, "\n");
    ck_assert_int_eq(wr_h1_response(wr_text_view(&t), 1 << 16, WR_M_GET, pool, &p, &r),
                     WR_PARSE_BAD);
    ck_assert_str_eq(p.why, "upstream sent too many header lines");
    wr_pool_free(pool);
}
END_TEST

START_TEST(reads_trailers)
{
    static const struct {
        const char *in, *out;  /* out NULL: refused */
    } rows[] = {
        { "", "" },
        { "X: a\r\nY:b \r\n", " X=<a> Y=<b>" },
        { "Content-Length: 5\r\nX: a\r\nhost: b\r\nSet-Cookie: c\r\n", " X=<a>" },
        { "X: a", NULL },
        { "X\r\n", NULL },
        { "X: a\r\n b\r\n", NULL },
        { "X(: a\r\n", NULL },
        { "\r\n", NULL },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_pool *pool = wr_pool_new(0);
        struct wr_text t = wr_text_grow(pool, 64, 1 << 16);
        struct wr_fields f = { 0 };

        ck_assert_msg(wr_h1_trailers(wr_str_c(rows[i].in), pool, &f) == (rows[i].out != NULL), "%s",
                      rows[i].in);
        put_fields(&t, &f);
        if (rows[i].out != NULL)
            ck_view(wr_text_view(&t), rows[i].out);
        wr_pool_free(pool);
    }
}
END_TEST

UNIT_MAIN("http1/response", reads_status_lines, reads_fields, removes_what_is_for_one_hop,
          decides_keepalive, decides_framing, keeps_to_limits, reads_trailers)
