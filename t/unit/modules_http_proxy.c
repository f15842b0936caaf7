/* proxy_pass at layer 7 without a server: the request to it, and the changes to its reply. Rows
 * marked (o) were observed to be the same in nginx 1.22.1. */
#include "lib/unit.h"

#include "http1/http1_impl.h"
#include "lib/proxy_exchange.h"
#include "lib/said.h"

#include "../../modules/http/proxy/proxy_impl.h"

/* ---- the URL ---- */

START_TEST(urls)
{
    static const struct { const char *url, *why, *target, *host, *port, *uri; } rows[] = {
        { "http://back", NULL, "back", "back", "80", NULL },
        { "HTTP://back/", NULL, "back", "back", "80", "/" },
        { "http://back:80/x?y", NULL, "back:80", "back", "80", "/x?y" },
        { "http://back:8080?y", NULL, "back:8080", "back:8080", "8080", "?y" },
        { "http://back?a/b", NULL, "back", "back", "80", "?a/b" },
        { "http://[::1]/", NULL, "[::1]", "[::1]", "80", "/" },
        { "http://[::1]:81", NULL, "[::1]:81", "[::1]:81", "81", NULL },
        { "http://[::1]:80", NULL, "[::1]:80", "[::1]", "80", NULL },
        { "http://unix:/a/b", NULL, "unix:/a/b", "localhost", "", NULL },
        { "http://unix:/a/b:", NULL, "unix:/a/b", "localhost", "", NULL },
        { "http://unix:/a/b:/c:d", NULL, "unix:/a/b", "localhost", "", "/c:d" },
        { "http://", NULL, "", "", "80", NULL },
        { "http:///x", NULL, "", "", "80", "/x" },
        { "", "invalid URL prefix", NULL, NULL, NULL, NULL },
        { "back", "invalid URL prefix", NULL, NULL, NULL, NULL },
        { "http:/back", "invalid URL prefix", NULL, NULL, NULL, NULL },
        { "https://b", NULL, "b", "b", "443", NULL },
        { "HTTPS://b:443/x", NULL, "b:443", "b", "443", "/x" },
        { "https://b:80", NULL, "b:80", "b:80", "80", NULL },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_proxy_url u;
        const char *why = wr_proxy_url_parse(wr_str_c(rows[i].url), &u);

        ck_assert_msg((why == NULL) == (rows[i].why == NULL), "%s: %s", rows[i].url, why);
        if (why != NULL) {
            ck_assert_str_eq(why, rows[i].why);
            continue;
        }
        ck_view(u.target, rows[i].target);
        ck_view(u.host, rows[i].host);
        ck_view(u.port, rows[i].port);
        ck_assert_msg((u.uri.p == NULL) == (rows[i].uri == NULL), "%s", rows[i].url);
        ck_view(u.uri, rows[i].uri == NULL ? "" : rows[i].uri);
    }
}
END_TEST

/* ---- the target ---- */

enum how { SENT, INTERNAL, ASTRAY };

static void change_uri(struct proxied *p, enum how how, const char *uri)
{
    if (how == SENT)
        return;
    p->h.req.uri = wr_str_c(uri);
    p->h.internal = p->h.uri_internal = true;
    p->h.uri_set_by_break = how == ASTRAY;
}

START_TEST(targets)
{
    static const struct {
        const char *location, *pass, *target;
        enum how how;
        const char *uri, *want;
    } rows[] = {
        { "/", "http://b", "/a%20b//c?x", SENT, NULL, "/a%20b//c?x" },            /* (o) */
        { "/n/", "http://b", "/n/../n/x", SENT, NULL, "/n/../n/x" },
        { "/d/", "http://b/two/", "/d/a%20b%3fc//d/../e?x=1&y=%20", SENT, NULL,
          "/two/a%20b%3Fc/e?x=1&y=%20" },                                        /* (o) */
        { "/d/", "http://b/two/", "/d/a\"b<>{}|\\^`", SENT, NULL, "/two/a\"b<>{}|\\^`" }, /* (o) */
        { "/e/", "http://b/e", "/e/foo?", SENT, NULL, "/efoo" },                  /* (o) */
        { "/d/", "http://b/two/", "/d/x#frag", SENT, NULL, "/two/x" },            /* (o) */
        { "/d", "http://b/", "/d/x", SENT, NULL, "//x" },                         /* as nginx */
        { "= /d", "http://b/z", "/d?q", SENT, NULL, "/z?q" },
        { "^~ /d/", "http://b/z/", "/d/q", SENT, NULL, "/z/q" },
        { "/q/", "http://b?x=1", "/q/abc?y", SENT, NULL, "/?x=1abc?y" },          /* nginx: no / */
        { "~ /r", "http://b", "/r%41", SENT, NULL, "/r%41" },
        { "/d/", "http://b/two/", "/d/x", ASTRAY, "/c/foo bar", "/c/foo%20bar" }, /* (o) */
        { "/d/", "http://b/two/", "/l/x?q=1", INTERNAL, "/d/foo bar", "/two/foo%20bar?q=1" },
        { "/d/", "http://b", "/l/x//y?q=1", INTERNAL, "/d/foo%", "/d/foo%25?q=1" }, /* (o) */
        { "/v/", "http://b$uri", "/v/a%20b%0d%0aX?z", SENT, NULL, "/v/a%20b%0D%0AX" }, /* not raw */
        { "/v/", "http://b/$arg_a", "/v/?a=x%20y", SENT, NULL, "/x%20y" },        /* (o) */
        { "/v/", "http://b?$arg_a", "/v/?a=7", SENT, NULL, "/?7" },               /* (o) */
        { "/v/", "http://$host", "/v/%41?a=7", SENT, NULL, "/v/%41?a=7" },
        { "/v/", "http://$host", "/w/?a=7", INTERNAL, "/v/\xc3\xa4", "/v/%C3%A4?a=7" },
        { "~ /v", "http://$host/z", "/v/%41?a=7", SENT, NULL, "/z" },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct proxied p;
        const struct wr_proxy_conf *c;
        struct wr_proxy_url url;
        struct wr_str target;
        char conf[512], request[512];

        snprintf(conf, sizeof(conf), "server { location %s { proxy_pass %s; } }", rows[i].location,
                 rows[i].pass);
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", rows[i].target);
        proxied_begin(&p, conf, request);
        change_uri(&p, rows[i].how, rows[i].uri);
        c = wr_conf_of(&p.x, &wr_module_http_proxy);
        url = c->pass.url;
        if (c->pass.url_tpl != NULL)
            ck_assert(wr_proxy_url_parse(wr_template_str(&p.x, c->pass.url_tpl), &url) == NULL);
        target = wr_proxy_target(p.x.pool, &p.h, &c->pass, &url);
        ck_assert_msg(wr_str_is(target, rows[i].want), "%s %s %s: " WR_FMT, rows[i].location,
                      rows[i].pass, rows[i].target, WR_ARG(target));
        proxied_end(&p);
    }
}
END_TEST

/* ---- the request head ---- */

static const struct {
    const char *http, *request;
    uint64_t length;
    const char *want;
} requests[] = {
    { "server { location / { proxy_pass http://b:8080; } }",
      "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\nAccept: */*\r\n\r\n", 0,
      "GET / HTTP/1.1\nHost: b:8080\nUser-Agent: u\nAccept: */*\n\n" },
    { "server { location / { proxy_pass http://b; proxy_set_header Host $host;"
      " proxy_set_header X-Real-IP $remote_addr; } }",
      "GET /x HTTP/1.1\nHost: H:1\nX-Real-IP: 1\nA:b\n\n", 0,
      "GET /x HTTP/1.1\nHost: h\nX-Real-IP: 192.0.2.1\nA: b\n\n" },
    { "server { location / { proxy_pass http://b; proxy_http_version 1.0; } }",
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nZ: 1\r\n\r\n", 3,
      "POST / HTTP/1.0\nHost: b\nConnection: close\nContent-Length: 3\nZ: 1\n\n" },
    /* Fields about the connection, and those that Connection names, are not passed on. */
    { "server { location / { proxy_pass http://b; } }",
      "GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nConnection: close, X-Hop,authorization\r\n"
      "TE: trailers\r\nKeep-Alive: 5\r\nTrailer: X\r\nUpgrade: h2c\r\nProxy-Connection: x\r\n"
      "Expect: 100-continue\r\n"
      "x-hop: 1\r\nB: 2\r\nC: 3\r\nAuthorization: a\r\n\r\n", 0,
      "GET / HTTP/1.1\nHost: b\nA: 1\nB: 2\nC: 3\n\n" },
    /* unless it is asked for */
    { "server { location / { proxy_pass http://b; proxy_set_header Upgrade $http_upgrade;"
      " proxy_set_header Connection upgrade; } }",
      "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 0,
      "GET / HTTP/1.1\nHost: b\nUpgrade: websocket\nConnection: upgrade\n\n" },
    /* Empty values leave a field out, constant or not; the client's is not passed either. */
    { "server { location / { proxy_pass http://b; proxy_set_header Host \"\";"
      " proxy_set_header User-Agent \"\"; proxy_set_header X-A $arg_a; proxy_set_header X-B b; } }",
      "GET /?b HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\nX-A: 1\r\nx-b: 2\r\nX-C: 3\r\n\r\n", 0,
      "GET /?b HTTP/1.1\nHost: b\nX-B: b\nX-C: 3\n\n" },
    /* Always one Host: the last one configured, or the default if that is empty. */
    { "server { location / { proxy_pass http://b; proxy_set_header Host a;"
      " proxy_set_header host $arg_h; } }",
      "GET /?h=c HTTP/1.1\r\nHost: h\r\n\r\n", 0, "GET /?h=c HTTP/1.1\nHost: c\n\n" },
    { "server { location / { proxy_pass http://b; proxy_set_header Host $arg_h;"
      " proxy_set_header host a; } }",
      "GET /?h=c HTTP/1.1\r\nHost: h\r\n\r\n", 0, "GET /?h=c HTTP/1.1\nHost: a\n\n" },
    { "server { location / { proxy_pass http://b:81; proxy_set_header Host $http_host; } }",
      "GET / HTTP/1.0\r\n\r\n", 0, "GET / HTTP/1.1\nHost: b:81\n\n" },
    { "server { location / { proxy_pass http://b; proxy_set_header Host $host; } }",
      "GET /x\r\n", 0, "GET /x HTTP/1.1\nHost: b\n\n" },
    /* A fragment is not passed on. */
    { "server { location / { proxy_pass http://b; proxy_set_header X $request_uri; } }",
      "GET /x#/../y HTTP/1.1\r\nHost: h\r\n\r\n", 0, "GET /x HTTP/1.1\nHost: b\nX: /x\n\n" },
    /* A value cannot end a line. */
    { "server { location / { proxy_pass http://b; proxy_set_header X-A \"a$uri\";"
      " proxy_set_header X-B \"1\\r\\nC: 2\"; } }",
      "GET /%0d%0aD:1 HTTP/1.1\r\nHost: h\r\n\r\n", 0,
      "GET /%0d%0aD:1 HTTP/1.1\nHost: b\nX-A: a/  D:1\nX-B: 1  C: 2\n\n" },
    /* Bodies: framed as they are sent, whatever proxy_set_header sets. */
    { "server { location / { proxy_pass http://b; } }",
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", UINT64_MAX,
      "POST / HTTP/1.1\nHost: b\nTransfer-Encoding: chunked\n\n" },
    { "server { location / { proxy_pass http://b; } }",
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 7,
      "POST / HTTP/1.1\nHost: b\nContent-Length: 7\n\n" },
    { "server { location / { proxy_pass http://b; } }",
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 0,
      "POST / HTTP/1.1\nHost: b\nContent-Length: 0\n\n" },
    { "server { location / { proxy_pass http://b; } }", "POST / HTTP/1.1\r\nHost: h\r\n\r\n", 0,
      "POST / HTTP/1.1\nHost: b\n\n" },
    { "server { location / { proxy_pass http://b; proxy_set_header Content-Length \"\"; } }",
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", 0,
      "POST / HTTP/1.1\nHost: b\n\n" },
    { "server { location / { proxy_pass http://b; proxy_set_header Content-Length 9;"
      " proxy_set_header Transfer-Encoding chunked; } }",
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", 5,
      "POST / HTTP/1.1\nHost: b\nContent-Length: 5\n\n" },
    { "server { location / { proxy_pass http://b; proxy_pass_request_headers off;"
      " proxy_method PUT; } }",
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nA: 1\r\n\r\n", 5,
      "PUT / HTTP/1.1\nHost: b\nContent-Length: 5\n\n" },
    { "server { location / { proxy_pass http://b; proxy_method $arg_m; } }",
      "GET /?m=a/b HTTP/1.1\r\nHost: h\r\n\r\n", 0, "GET /?m=a/b HTTP/1.1\nHost: b\n\n" },
    { "server { location / { proxy_pass http://b; proxy_set_header X-F $proxy_add_x_forwarded_for;"
      " proxy_set_header X-H $proxy_host:$proxy_port; } }",
      "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4, 5\r\nX-Forwarded-For: 6\r\n\r\n", 0,
      "GET / HTTP/1.1\nHost: b\nX-F: 1.2.3.4, 5, 6, 192.0.2.1\nX-H: b:80\n"
      "X-Forwarded-For: 1.2.3.4, 5\nX-Forwarded-For: 6\n\n" },
    /* The list of an outer block holds until there is one of its own. */
    { "proxy_set_header A 1; server { proxy_set_header B $host; proxy_set_header B 3;"
      " location /a/ { location /a/b/ { proxy_pass http://b; } } }",
      "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 0, "GET / HTTP/1.1\nHost: b\nB: h\nB: 3\n\n" },
    { "proxy_set_header A 1; server { proxy_set_header B 2; proxy_set_header B 3;"
      " location / { proxy_set_header C 4; proxy_pass http://b; } }",
      "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 0, "GET / HTTP/1.1\nHost: b\nC: 4\n\n" },
};

static const char *without_cr(struct wr_pool *pool, struct wr_str s)
{
    char *p = wr_pool_cstr(pool, s);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        if (p[i] != '\r')
            p[n++] = p[i];
    p[n] = '\0';
    return p;
}

START_TEST(heads)
{
    said_keep();
    for (size_t i = 0; i < WR_COUNT(requests); i++) {
        struct proxied p;
        struct wr_request_out out;
        struct wr_text t;

        proxied_begin(&p, requests[i].http, requests[i].request);
        p.x.log = &said_log;
        t = wr_text_grow(p.x.pool, 16, 1 << 16);
        out = wr_request_out(&p.h.req, requests[i].length);
        ck_assert(wr_proxy_request(&p.x, &out));
        wr_h1_write_request(&t, &out);
        ck_assert_str_eq(without_cr(p.x.pool, wr_text_view(&t)), requests[i].want);
        proxied_end(&p);
    }
    ck_assert(said("invalid method \"a/b\" of proxy_method is not used"));
}
END_TEST

/* The same as data: all that a speaker other than HTTP/1 needs is there, and fields of the hop can
 * be distinguished from the others. */
START_TEST(data)
{
    struct proxied p;
    struct wr_request_out out;
    char names[256] = "";

    proxied_begin(&p, "server { location / { proxy_pass http://b:81/u/; proxy_method PATCH;"
                  " proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
                  " proxy_set_header X-A a; proxy_set_header X-B $arg_b;"
                  " proxy_set_header X-C $arg_c; } }",
                  "POST /x?b=1 HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nX-D: d\r\n"
                  "Upgrade: u\r\nTransfer-Encoding: chunked\r\nX-A: b\r\nAccept: e\r\n\r\n");
    out = wr_request_out(&p.h.req, UINT64_MAX);
    ck_assert(wr_proxy_request(&p.x, &out));
    ck_assert_int_eq(out.method, WR_M_PATCH);
    ck_view(out.method_text, "PATCH");
    ck_view(out.target, "/u/x?b=1");
    ck_view(out.authority, "b:81");
    ck_assert_int_eq(out.framing, WR_BODY_CHUNKED);
    ck_assert(!out.close);
    for (uint32_t i = 0; i < out.n; i++)
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s" WR_FMT "%s=" WR_FMT,
                 i == out.own ? " | " : " ", WR_ARG(out.fields[i]->name),
                 wr_field_is_hop(out.fields[i]->id) ? "!" : "", WR_ARG(out.fields[i]->value));
    ck_assert_str_eq(names, " Upgrade!=u Connection!=upgrade X-A=a X-B=1 | X-D=d Accept=e");
    proxied_end(&p);
}
END_TEST

/* Values longer than those of other directives; and one that does not fit into a head. */
START_TEST(large_heads)
{
    static const size_t sizes[] = { 65536, 65537, 1 << 20, (1 << 20) + 1 };
    char *long_one = wr_malloc((1 << 20) + 2);

    for (size_t i = 0; i < WR_COUNT(sizes); i++) {
        struct proxied p;
        struct wr_request_out out;
        bool fits;

        proxied_begin(&p, "server { location / { proxy_pass http://b;"
                      " proxy_set_header A $http_a; } }", "GET / HTTP/1.0\r\nA: 1\r\n\r\n");
        memset(long_one, 'a', sizes[i]);
        p.h.req.fields.at[0].value = wr_str_of(long_one, sizes[i]);
        out = wr_request_out(&p.h.req, 0);
        fits = wr_proxy_request(&p.x, &out);
        ck_assert(fits == (sizes[i] <= 1 << 20));
        if (fits)
            ck_assert_uint_eq(out.fields[0]->value.n, sizes[i]);
        proxied_end(&p);
    }
    free(long_one);
}
END_TEST

/* Constant fields are contiguous, for one copy; one with a control character is not among them. */
START_TEST(constant_fields)
{
    struct proxied p;
    struct wr_request_out out;
    struct wr_text t;

    proxied_begin(&p, "server { location / { proxy_pass http://b; proxy_set_header A 1;"
                  " proxy_set_header B \"2\\n\"; proxy_set_header C $arg_c;"
                  " proxy_set_header D 4; } }", "GET /?c=3 HTTP/1.1\r\nHost: h\r\n\r\n");
    out = wr_request_out(&p.h.req, 0);
    ck_assert(wr_proxy_request(&p.x, &out));
    ck_assert(out.n == 4 && out.fields[0]->parsed && !out.fields[1]->parsed
              && out.fields[3]->parsed);
    ck_assert_ptr_eq(out.fields[3]->name.p, out.fields[0]->value.p + 3);
    t = wr_text_grow(p.x.pool, 16, 1 << 16);
    wr_h1_write_request(&t, &out);
    ck_assert_str_eq(without_cr(p.x.pool, wr_text_view(&t)),
                     "GET /?c=3 HTTP/1.1\nHost: b\nA: 1\nB: 2 \nC: 3\nD: 4\n\n");
    proxied_end(&p);
}
END_TEST

/* ---- replies ---- */

static void take_reply(struct proxied *p, const char *fields)
{
    struct wr_str text = wr_pool_fmt(p->x.pool, "HTTP/1.1 200 OK\r\n%s\r\n", fields);
    struct wr_h1_progress progress = { 0 };
    enum wr_parse r = wr_h1_response(text, 65536, WR_M_GET, p->x.pool, &progress, &p->h.res);

    ck_assert_msg(r == WR_PARSE_OK, "%s: %s", fields, progress.why);
}

static struct wr_str reply_text(struct proxied *p)
{
    struct wr_text t = wr_text_grow(p->x.pool, 256, 1 << 16);
    const struct wr_response *r = &p->h.res;

    if (r->type.p != NULL)
        wr_text_fmt(&t, "type " WR_FMT "\n", WR_ARG(r->type));
    for (uint32_t i = 0; i < r->fields.n; i++)
        if (!r->fields.at[i].gone)
            wr_text_fmt(&t, WR_FMT ": " WR_FMT "\n", WR_ARG(r->fields.at[i].name),
                        WR_ARG(r->fields.at[i].value));
    return wr_text_view(&t);
}

struct reply_row {
    const char *rows, *fields, *want;
};

static void check_replies(const char *location, const struct reply_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct proxied p;
        char conf[1024];

        snprintf(conf, sizeof(conf), "server { location %s { %s } }", location, rows[i].rows);
        proxied_begin(&p, conf, "GET /d/?v=var HTTP/1.1\r\nHost: front\r\n\r\n");
        take_reply(&p, rows[i].fields);
        ck_assert_int_eq(wr_proxy_reply(&p.x), WR_PASS);
        ck_assert_msg(wr_str_is(reply_text(&p), rows[i].want), "%s %s: " WR_FMT "not %s",
                      rows[i].rows, rows[i].fields, WR_ARG(reply_text(&p)), rows[i].want);
        proxied_end(&p);
    }
}

START_TEST(hides)
{
    static const struct reply_row rows[] = {
        { "proxy_pass http://b;",
          "Date: d\r\nServer: s\r\nX-Pad: p\r\nx-accel-expires: 1\r\nX-Accel-Buffering: no\r\n"
          "X-Accel-Limit-Rate: 1\r\nX-Accel-Charset: c\r\nA: 1\r\nContent-Type: t\r\n",
          "type t\nA: 1\n" },
        { "proxy_pass http://b; proxy_pass_header server; proxy_pass_header X-Pad;"
          " proxy_pass_header X-Accel-Charset; proxy_hide_header x-a;"
          " proxy_hide_header Content-Type; proxy_hide_header Last-Modified;",
          "Date: d\r\nServer: s\r\nX-Pad: p\r\nX-A: 1\r\nX-a: 2\r\nX-Accel-Charset: c\r\n"
          "X-AB: 1\r\n"
          "Content-Type: t\r\nLast-Modified: x\r\n",
          "Server: s\nX-Pad: p\nX-Accel-Charset: c\nX-AB: 1\n" },
        { "proxy_pass http://b; proxy_pass_header X-A; proxy_hide_header X-A;", "X-A: 1\r\n", "" },
        { "proxy_pass http://b; proxy_force_ranges on;", "Accept-Ranges: none\r\n", "" },
    };

    check_replies("/d/", rows, WR_COUNT(rows));
}
END_TEST

START_TEST(redirects)
{
    static const struct reply_row rows[] = {
        { "proxy_pass http://b:81/two/;", "Location: http://b:81/two/x\r\n",
          "Location: http://front:8080/d/x\n" },                                      /* (o) */
        { "proxy_pass http://b:81/two/;",
          "Location: /two/x\r\nRefresh: 5; URL=http://b:81/two/y\r\n",
          "Location: /two/x\nRefresh: 5; URL=/d/y\n" },                               /* (o) */
        { "proxy_pass http://b:81/two/;", "Location: http://other/two/x\r\n",
          "Location: http://other/two/x\n" },                                         /* (o) */
        { "proxy_pass http://b;", "Location: http://b/two/x\r\n",
          "Location: http://front:8080/two/x\n" },                                    /* (o) */
        { "proxy_pass http://b;", "Location: HTTP://b/x\r\n", "Location: HTTP://b/x\n" }, /* (o) */
        { "proxy_pass http://b;", "Location: http://b\r\n", "Location: http://b\n" }, /* (o) */
        { "proxy_pass http://b?x=1;", "Location: http://b?x=1z\r\n",
          "Location: http://front:8080/d/z\n" },                                      /* (o) */
        { "proxy_pass http://unix:/s:/u/;", "Location: http://unix:/s:/u/z\r\n",
          "Location: http://front:8080/d/z\n" },
        { "proxy_pass http://b; proxy_redirect off;", "Location: http://b/x\r\n",
          "Location: http://b/x\n" },
        { "proxy_pass http://b; proxy_redirect x y; proxy_redirect default;",
          "Location: http://b/x\r\n", "Location: http://front:8080/x\n" },
        { "proxy_pass http://b; proxy_redirect http://b/ /$arg_v/;", "Location: http://b/x\r\n",
          "Location: http://front:8080/var/x\n" },
        { "proxy_pass http://b; proxy_redirect http://$arg_v/ http://z/;",
          "Location: http://var/x\r\nRefresh: 0;url=http://var/\r\nA: 1\r\n",
          "A: 1\nLocation: http://z/x\nRefresh: 0;url=http://z/\n" },
        { "proxy_pass http://b; proxy_redirect ~^(.+)/re_([^/]+) $1/$2/t;"
          " proxy_redirect ~*OTHER /o;",
          "Location: http://h/re_x/z\r\nRefresh: 1; url=other\r\n",
          "Location: http://h/x/t\nRefresh: 1; url=/o\n" },
        { "proxy_pass http://b$uri;", "Location: http://b/x\r\n", "Location: http://b/x\n" },
        { "absolute_redirect off; proxy_pass http://b;", "Location: http://b/x\r\n",
          "Location: /x\n" },
        { "port_in_redirect off; proxy_pass http://b;", "Location: http://b/x\r\n",
          "Location: http://front/x\n" },
        { "proxy_pass http://b;", "Refresh: 5\r\n", "Refresh: 5\n" },
        { "proxy_pass http://b;", "Refresh: 5; url=\r\n", "Refresh: 5; url=\n" },
    };

    check_replies("/d/", rows, WR_COUNT(rows));
}
END_TEST

#define RULES "proxy_pass http://b; proxy_cookie_domain Old.org .new.org;" \
    " proxy_cookie_domain ~^re(.)\\.org$ r$1.net; proxy_cookie_path /two/ /;" \
    " proxy_cookie_path ~^/re(.) /x$1/; proxy_cookie_flags abc secure samesite=strict;" \
    " proxy_cookie_flags ~low httponly;"

/* The lines with `abc` and most others: (o). */
START_TEST(cookies)
{
    static const struct { const char *in, *want; } rows[] = {
        { "a=b; domain=.OLD.org; PATH=/two/x; Secure", "a=b; domain=.new.org; PATH=/x; Secure" },
        { "plain=1; domain=x.org;path=/q", "plain=1; domain=x.org;path=/q" },
        { "a=b;;Domain = old.org ; path=\"/two/\"; x; =y",
          "a=b; ; Domain=new.org; path=\"/two/\"; x; =y" },
        { "abc=1;secure;Path=/re5/z", "abc=1; secure; Path=/x5/; SameSite=Strict" },
        { "ABC=1", "ABC=1; Secure; SameSite=Strict" },
        { "xLowx; domain=reQ.org;", "xLowx; domain=reQ.org;" },
        { "abc = 1; samesite=None", "abc=1; SameSite=Strict; Secure" },
        { "a=1; Domain=old.org; Domain=old.org", "a=1; Domain=new.org; Domain=new.org" },
        { "", "" },
        { ";", ";" },
        { "low;Domain", "low;Domain" },
        { "abc=\"a;b\"; Path", "abc=\"a; b\"; Path; Secure; SameSite=Strict" },
        { "n=1; domain=reQ.org;", "n=1; domain=rQ.net; " },
        { "n=1; domain=REq.ORG", "n=1; domain=rq.net" },
        { "n; domain=old.org", "n; domain=old.org" },
        { "xLOWx=1", "xLOWx=1; HttpOnly" },
        { "=1; domain=old.org", "=1; domain=new.org" },
        { "abc=", "abc=; Secure; SameSite=Strict" },
        { "abc=1; HttpOnly=1; secure=x", "abc=1; HttpOnly=1; secure=x; SameSite=Strict" },
        { "abc=1; Path=/TWO/x", "abc=1; Path=/TWO/x; Secure; SameSite=Strict" },
        { "a=1; Domain=..old.org", "a=1; Domain=..old.org" },
        { "a=1; Domain=.rex.org", "a=1; Domain=.rex.org" },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        char in[256], want[256];
        struct reply_row row = { RULES, in, want };

        snprintf(in, sizeof(in), "Set-Cookie: z=1\r\nSet-Cookie: %s\r\nSet-Cookie: y\r\n",
                 rows[i].in);
        snprintf(want, sizeof(want), "Set-Cookie: z=1\nSet-Cookie: %s\nSet-Cookie: y\n",
                 rows[i].want);
        check_replies("/d/", &row, 1);
    }
}
END_TEST

START_TEST(cookie_flags)
{
    static const struct reply_row rows[] = {
        { "proxy_pass http://b; proxy_cookie_flags c nosecure nohttponly nosamesite;",
          "Set-Cookie: c=1; secure=1;httponly ;SameSite=lax; x\r\n", "Set-Cookie: c=1; x\n" },
        { "proxy_pass http://b; proxy_cookie_flags c SECURE nosecure;", "Set-Cookie: c=1\r\n",
          "Set-Cookie: c=1; Secure\n" },
        { "proxy_pass http://b; proxy_cookie_flags c samesite=none httponly secure;",
          "Set-Cookie: c=1\r\n", "Set-Cookie: c=1; Secure; HttpOnly; SameSite=None\n" },
        { "proxy_pass http://b; proxy_cookie_flags $arg_v $arg_f samesite=$arg_s httponly;",
          "Set-Cookie: var=1\r\n", "Set-Cookie: var=1; HttpOnly\n" },
        { "proxy_pass http://b; proxy_cookie_flags c samesite=;", "Set-Cookie: c=1;x\r\n",
          "Set-Cookie: c=1;x\n" },
        { "proxy_pass http://b; proxy_cookie_flags off;", "Set-Cookie: c=1;x\r\n",
          "Set-Cookie: c=1;x\n" },
    };

    check_replies("/d/", rows, WR_COUNT(rows));
}
END_TEST

START_TEST(accel)
{
    struct proxied p;

    proxied_begin(&p, "server { location / { proxy_pass http://b; } }",
                  "POST / HTTP/1.1\r\nHost: h\r\n\r\n");
    take_reply(&p, "X-Accel-Limit-Rate: 100\r\nX-Accel-Buffering: NO\r\nX-Accel-Charset: c\r\n");
    ck_assert_int_eq(wr_proxy_reply(&p.x), WR_PASS);
    ck_view(p.h.limit_rate, "100");
    ck_view(p.h.res.charset, "c");
    ck_assert_int_eq(p.h.x_buffering, WR_DONT_BUFFER);
    take_reply(&p, "X-Accel-Limit-Rate: 1x\r\nX-Accel-Buffering: yes\r\n");
    ck_assert_int_eq(wr_proxy_reply(&p.x), WR_PASS);
    ck_view(p.h.limit_rate, "100");
    ck_assert_int_eq(p.h.x_buffering, WR_BUFFER);

    take_reply(&p, "X-Accel-Redirect: /a%20b?c?d\r\nSet-Cookie: s\r\nContent-Type: t\r\nA: 1\r\n");
    ck_assert_int_eq(wr_proxy_reply(&p.x), WR_TAKEN);
    ck_view(p.h.req.uri, "/a b");
    ck_view(p.h.req.args, "c?d");
    ck_view(p.h.req.method_text, "GET");
    ck_view(wr_fields_value(&p.h.kept, WR_F_CONTENT_TYPE), "t");
    ck_assert_uint_eq(p.h.kept.n, 2);
    ck_assert_uint_eq(p.h.res.fields.n, 0);
    wr_fields_add_id(p.x.pool, &p.h.res.fields, WR_F_SET_COOKIE, WR_STR("own"));
    wr_http_add_kept_fields(&p.x);
    ck_assert(wr_str_is(reply_text(&p), "type t\nSet-Cookie: own\nSet-Cookie: s\n"));
    proxied_end(&p);
}
END_TEST

START_TEST(accel_ignored)
{
    static const struct reply_row row = {
        "proxy_pass http://b; proxy_ignore_headers x-accel-redirect X-Accel-Limit-Rate;"
        " proxy_pass_header X-Accel-Redirect;",
        "X-Accel-Redirect: /x\r\nX-Accel-Limit-Rate: 1\r\n", "X-Accel-Redirect: /x\n"
    };

    check_replies("/d/", &row, 1);
}
END_TEST

/* ---- what is refused ---- */

#define NO_URI "\"proxy_pass\" cannot have URI part in location given by regular expression, or " \
    "inside named location, or inside \"if\" statement, or inside \"limit_except\" block"
#define LARGEST "the maximum of the value of \"proxy_buffer_size\" and one of the \"proxy_buffers\""

START_TEST(refuses)
{
    static const struct { const char *location, *rows, *want; } rows[] = {
        { "~ a", "proxy_pass http://b/x;", NO_URI },
        { "@a", "proxy_pass http://b/;", NO_URI },
        { "/", "limit_except GET { proxy_pass http://b/; }", NO_URI },
        { "/", "proxy_pass 127.0.0.1;", "invalid URL prefix" },
        { "/", "proxy_pass http://;", "no host in upstream \"\"" },
        { "/", "proxy_pass http://127.0.0.1:0/x;", "invalid port in upstream \"127.0.0.1:0\"" },
        { "/", "proxy_pass http://b; proxy_pass http://b;",
          "\"proxy_pass\" directive is duplicate" },
        { "/", "proxy_pass http://b$uri; proxy_redirect default;",
          "\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with "
          "variables" },
        { "/", "proxy_redirect off; proxy_redirect a b;",
          "\"proxy_redirect\" directive is duplicate" },
        { "/", "proxy_redirect a b; proxy_redirect off;",
          "\"proxy_redirect\" directive is duplicate" },
        { "/", "proxy_redirect foo;", "invalid parameter \"foo\"" },
        { "/", "proxy_cookie_domain default;", "invalid parameter \"default\"" },
        { "/", "proxy_cookie_path off; proxy_cookie_path a b;",
          "\"proxy_cookie_path\" directive is duplicate" },
        { "/", "proxy_cookie_flags foo;", "invalid parameter \"foo\"" },
        { "/", "proxy_cookie_flags off; proxy_cookie_flags a secure;",
          "\"proxy_cookie_flags\" directive is duplicate" },
        { "/", "proxy_cookie_flags a bad;", "warn unknown flag \"bad\" has no effect" },
        { "/", "proxy_set_header \"a b\" c;", "invalid header name \"a b\"" },
        { "/", "proxy_http_version 1.2;", "invalid value \"1.2\"" },
        { "/", "proxy_ignore_headers foo;", "invalid value \"foo\"" },
        { "/", "proxy_next_upstream error error;", "warn duplicate value \"error\"" },
        { "/", "proxy_buffers 0 4k;", "\"proxy_buffers\" directive invalid value" },
        { "/", "proxy_buffers 2 0;", "\"proxy_buffers\" directive invalid value" },
        { "/", "proxy_temp_path a 1 0;", "\"proxy_temp_path\" directive invalid value" },
        { "/", "proxy_limit_rate 1x;", "\"proxy_limit_rate\" directive invalid value" },
        { "/", "proxy_send_lowat x;", "\"proxy_send_lowat\" directive invalid value" },
        { "/", "proxy_send_lowat 1;", "warn \"proxy_send_lowat\" is not supported, ignored" },
        { "/", "proxy_buffers 1 4k;", "there must be at least 2 \"proxy_buffers\"" },
        { "/", "proxy_buffers 3 4k;", "" },
        { "/", "proxy_buffers 2 4k;",
          "\"proxy_busy_buffers_size\" must be less than the size of all \"proxy_buffers\" minus "
          "one buffer" },
        { "/", "proxy_busy_buffers_size 1k;",
          "\"proxy_busy_buffers_size\" must be equal to or greater than " LARGEST },
        { "/", "proxy_temp_file_write_size 1k;",
          "\"proxy_temp_file_write_size\" must be equal to or greater than " LARGEST },
        { "/", "proxy_max_temp_file_size 0;", "" },
        { "/", "proxy_max_temp_file_size 1k;",
          "\"proxy_max_temp_file_size\" must be equal to zero to disable temporary files usage or "
          "must be equal to or greater than " LARGEST },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_conf *c;
        char conf[1024], want[512];

        snprintf(conf, sizeof(conf), "server { location %s { %s } }", rows[i].location,
                 rows[i].rows);
        snprintf(want, sizeof(want), rows[i].want[0] != '\0' ? "1 %s\n" : "%s", rows[i].want);
        c = load(conf);
        ck_assert_str_eq(findings(c), want);
        wr_conf_free(c);
    }
}
END_TEST

START_TEST(statuses_of_next)
{
    static const struct { unsigned status; uint32_t want; } rows[] = {
        { 200, 0 }, { 403, WR_NEXT_403 }, { 404, WR_NEXT_404 }, { 429, WR_NEXT_429 },
        { 500, WR_NEXT_500 }, { 502, WR_NEXT_502 }, { 503, WR_NEXT_503 }, { 504, WR_NEXT_504 },
        { 501, 0 }, { 0, 0 },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++)
        ck_assert_uint_eq(wr_next_of_status(rows[i].status), rows[i].want);
}
END_TEST

UNIT_MAIN("http_proxy", urls, targets, heads, data, large_heads, constant_fields, hides, redirects,
          cookies, cookie_flags, accel, accel_ignored, refuses, statuses_of_next)
