/* Health checks without a network: the directives, the match language, the kinds http and tcp, and
 * how results are counted. The checks come from a configuration, as users write them. */
#include "lib/check_talk.h"
#include "lib/said.h"

#define HTTP(lines, body) WR_STR("HTTP/1.1 " lines "\r\n\r\n" body)
#define CLOSES ((struct wr_str){ 0 })
#define ANYTHING ((struct wr_str){ 0 })

static struct wr_conf *conf;

/* Loads a location with these parameters of health_check and lines of match; NULL: not valid. */
static const struct wr_check *load(bool http, const char *params, const char *match)
{
    char text[4096];

    wr_modules_init();
    wr_clock_update();
    wr_error_log_default = "stderr";
    said_keep();
    (void)snprintf(text, sizeof(text),
                   http ? "http { access_log off; match m { %s } server { listen 80;"
                          " location / { proxy_pass http://b:81; health_check %s; } } }"
                        : "stream { match m { %s } server { listen 80; proxy_pass 127.0.0.1:81;"
                          " health_check %s; } }",
                   match, params);
    conf = wr_conf_load_text("unit", wr_str_c(text), WR_STR(""), "/");
    if (conf->tree->errors > 0)
        return NULL;
    return wr_health_of(conf)->checks.at[0];
}

static const char *first_error(void)
{
    for (const struct wr_diag *d = conf->tree->diags; d != NULL; d = d->next)
        if (d->level == WR_LOG_EMERG)
            return d->text;
    return "";
}

static void unload(void)
{
    wr_conf_free(conf);
    conf = NULL;
}

/* ---- reasons of servers that stay down ---- */

START_TEST(reasons)
{
    static const struct {
        const char *why;
        bool changed, said;
        uint64_t at_ms;
    } t[] = {
        { "HTTP 503", false, false, 1000 },  /* down already when this keeper began */
        { "HTTP 503", false, false, 2000 },
        { "HTTP 500", false, true, 3000 },
        { "HTTP 503", false, false, 62999 }, /* within a minute */
        { "HTTP 500", false, false, 63000 },
        { "connect refused after 3 ms", false, true, 64000 },
        { "connect refused after 7 ms", false, false, 200000 },
        { "connect timed out after 5 s", true, false, 201000 },
        { "HTTP 503", false, true, 202000 },
        { "HTTP 500", true, false, 203000 },
        { "HTTP 500", false, false, 400000 },
    };
    struct wr_check_said said = { .n = 0 };
    char longest[2 * WR_CHECK_WHY_MAX] = { 0 };

    for (size_t i = 0; i < WR_COUNT(t); i++)
        ck_assert_msg(wr_check_reason_new(&said, wr_str_c(t[i].why), t[i].changed, t[i].at_ms)
                      == t[i].said, "row %zu", i);
    ck_assert(wr_check_reason_new(&said, wr_str_of(longest, sizeof(longest)), false, 500000));
}
END_TEST

/* ---- counting ---- */

START_TEST(counting)
{
    static const struct {
        enum wr_check_state from;
        uint32_t fails, passes;
        const char *results, *states; /* of each result; 'U', 'D' */
    } t[] = {
        { WR_CHECK_UP, 1, 1, "+-+-", "UDUD" },
        { WR_CHECK_UP, 3, 2, "--+---", "UUUUUD" },
        { WR_CHECK_UP, 3, 2, "---+-++", "UUDDDDU" },
        { WR_CHECK_DOWN, 1, 3, "++-+++", "DDDDDU" },
        { WR_CHECK_UNKNOWN, 3, 3, "+--", "UUU" },
        { WR_CHECK_UNKNOWN, 3, 3, "-+++", "DDDU" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++) {
        struct wr_check_count c = { t[i].from, 0 };

        for (size_t k = 0; t[i].results[k] != '\0'; k++) {
            enum wr_check_state before = c.state;
            bool changed = wr_check_counted(&c, t[i].results[k] == '+', t[i].fails, t[i].passes);

            ck_assert(changed == (c.state != before));
            ck_assert_msg(c.state == (t[i].states[k] == 'U' ? WR_CHECK_UP : WR_CHECK_DOWN),
                          "row %zu, result %zu", i, k);
        }
    }
}
END_TEST

/* ---- http ---- */

START_TEST(http_request)
{
    static const struct { const char *params; struct wr_str sent; } t[] = {
        { "", WR_STR_INIT("GET / HTTP/1.1\r\nHost: b:81\r\nConnection: close\r\n"
                          "User-Agent: weir health check\r\nAccept: */*\r\n\r\n") },
        { "uri=/a?b keepalive_time=60s",
          WR_STR_INIT("GET /a?b HTTP/1.1\r\nHost: b:81\r\nUser-Agent: weir health check\r\n"
                      "Accept: */*\r\n\r\n") },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++) {
        const struct wr_check *c = load(true, t[i].params, "");
        struct told one = { .conf = &c->conf, .turns = 1, .verdict = "pass",
                            .turn = { { .reply = HTTP("200 OK\r\nContent-Length: 0", "") } } };

        one.turn[0].sent = t[i].sent;
        converse(c->kind, &one);
        drop_texts();
        unload();
    }
}
END_TEST

#define LENGTH_2 "\r\nContent-Length: 2"

START_TEST(http_replies)
{
    static const struct { const char *params, *match; struct wr_str reply; const char *verdict; }
    t[] = {
        { "", "", WR_STR_INIT("HTTP/1.1 200 OK\r\n\r\n"), "pass" },
        { "", "", WR_STR_INIT("HTTP/1.1 399 Odd\r\n\r\n"), "pass" },
        { "", "", WR_STR_INIT("HTTP/1.1 503 No\r\n\r\n"), "HTTP 503" },
        { "", "", WR_STR_INIT("HTTP/1.1 400 No\r\n\r\n"), "HTTP 400" },
        { "", "", WR_STR_INIT("HTTP/1.0 200\n\n"), "pass" },
        { "", "", WR_STR_INIT("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), "pass" },
        { "", "", WR_STR_INIT("HTTP/1.1 103 E\r\nLink: a\r\n\r\nHTTP/1.1 500 OK\r\n\r\n"),
          "HTTP 500" },
        { "", "", WR_STR_INIT("HTTP/1.1 101 Up\r\nUpgrade: x\r\n\r\n"), "HTTP 101" },
        { "", "", WR_STR_INIT("+PONG\r\n"),
          "invalid reply: upstream sent no valid HTTP/1.0 header" },
        { "", "", WR_STR_INIT("HTTP/1.1 200 OK\r\nA b\r\n\r\n"),
          "invalid reply: upstream sent invalid header: \"A b\"" },
        /* status */
        { "match=m", "status 204;", WR_STR_INIT("HTTP/1.1 204 N\r\n\r\n"), "pass" },
        { "match=m", "status 204;", WR_STR_INIT("HTTP/1.1 200 N\r\n\r\n"), "HTTP 200" },
        { "match=m", "status 200 500-599;", WR_STR_INIT("HTTP/1.1 503 N\r\n\r\n"), "pass" },
        { "match=m", "status ! 500;", WR_STR_INIT("HTTP/1.1 404 N\r\n\r\n"), "pass" },
        { "match=m", "status ! 500-503 404;", WR_STR_INIT("HTTP/1.1 404 N\r\n\r\n"), "HTTP 404" },
        { "match=m", "", WR_STR_INIT("HTTP/1.1 404 N\r\n\r\n"), "pass" },
        /* header */
        { "match=m", "header X-A;", WR_STR_INIT("HTTP/1.1 200 N\r\nx-a:\r\n\r\n"), "pass" },
        { "match=m", "header X-A;", WR_STR_INIT("HTTP/1.1 200 N\r\nX-B: x-a\r\n\r\n"),
          "header \"X-A\" is missing" },
        { "match=m", "header ! X-A;", WR_STR_INIT("HTTP/1.1 200 N\r\nX-A: 1\r\n\r\n"),
          "header \"X-A\" is there" },
        { "match=m", "header Content-Type = text/html;",
          WR_STR_INIT("HTTP/1.1 200 N\r\nContent-Type: text/html\r\n\r\n"), "pass" },
        { "match=m", "header Content-Type != text/html;",
          WR_STR_INIT("HTTP/1.1 200 N\r\nContent-Type: text/html\r\n\r\n"),
          "header \"Content-Type\" is not to equal \"text/html\"" },
        { "match=m", "header Connection ~ close;",
          WR_STR_INIT("HTTP/1.1 200 N\r\nConnection: x, close\r\n\r\n"), "pass" },
        { "match=m", "header Connection !~ close;",
          WR_STR_INIT("HTTP/1.1 200 N\r\nConnection: close\r\n\r\n"),
          "header \"Connection\" is not to match \"close\"" },
        { "match=m", "header A = b;", WR_STR_INIT("HTTP/1.1 200 N\r\nA: a\r\nA: b\r\n\r\n"),
          "pass" },
        /* require */
        { "match=m", "require $upstream_http_x_load $upstream_status;",
          WR_STR_INIT("HTTP/1.1 200 N\r\nX-Load: 1\r\n\r\n"), "pass" },
        { "match=m", "require $upstream_http_x_load;",
          WR_STR_INIT("HTTP/1.1 200 N\r\nX-Load: 0\r\n\r\n"),
          "\"$upstream_http_x_load\" is empty or \"0\"" },
        /* body */
        { "match=m", "body ~ Welcome;",
          WR_STR_INIT("HTTP/1.1 200 N\r\nContent-Length: 8\r\n\r\nWelcome!"), "pass" },
        { "match=m", "body ~ Welcome;", WR_STR_INIT("HTTP/1.1 200 N" LENGTH_2 "\r\n\r\nno"),
          "body does not match \"Welcome\"" },
        { "match=m", "body !~ error;",
          WR_STR_INIT("HTTP/1.1 200 N\r\nContent-Length: 5\r\n\r\nerror"),
          "body matches \"error\"" },
        { "match=m", "body ~ ^ab$;",
          WR_STR_INIT("HTTP/1.1 200 N\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "1\r\na\r\n1\r\nb\r\n0\r\n\r\n"),
          "pass" },
        { "match=m", "body ~ a;",
          WR_STR_INIT("HTTP/1.1 200 N\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
          "invalid reply: chunk without a size" },
        { "match=m", "body ~ a;", WR_STR_INIT("HTTP/1.1 200 N" LENGTH_2 "\r\n\r\na"), "more" },
        { "match=m", "body ~ a; status 200;", WR_STR_INIT("HTTP/1.1 500 N" LENGTH_2 "\r\n\r\na"),
          "HTTP 500" },
        /* a connection that is kept is read to its end */
        { "keepalive_time=1m", "", WR_STR_INIT("HTTP/1.1 200 N" LENGTH_2 "\r\n\r\na"), "more" },
        { "keepalive_time=1m", "", WR_STR_INIT("HTTP/1.1 200 N" LENGTH_2 "\r\n\r\nab"), "pass" },
        { "keepalive_time=1m", "", WR_STR_INIT("HTTP/1.0 200 N" LENGTH_2 "\r\n\r\n"), "pass" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++) {
        const struct wr_check *c = load(true, t[i].params, t[i].match);
        struct told one = { .conf = &c->conf, .turns = 1, .verdict = t[i].verdict };

        one.turn[0].reply = t[i].reply;
        converse(c->kind, &one);
        drop_texts();
        unload();
    }
}
END_TEST

START_TEST(http_ends)
{
    static const struct { const char *match; struct wr_str reply; const char *verdict; } t[] = {
        { "", WR_STR_INIT(""), "the server closed the connection without a reply" },
        { "", WR_STR_INIT("HTTP/1.1 200 OK\r\nA"),
          "the server closed the connection within the head" },
        { "body ~ a;", WR_STR_INIT("HTTP/1.1 200 N" LENGTH_2 "\r\n\r\na"),
          "the server closed the connection within the body" },
        { "body ~ ab;", WR_STR_INIT("HTTP/1.1 200 N\r\n\r\naab"), "pass" },
        { "body ~ ac;", WR_STR_INIT("HTTP/1.1 200 N\r\n\r\naab"), "body does not match \"ac\"" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++) {
        const struct wr_check *c = load(true, "match=m", t[i].match);
        struct told one = { .conf = &c->conf, .turns = 2, .verdict = t[i].verdict };

        one.turn[0].reply = t[i].reply;
        one.turn[1].reply = CLOSES;
        converse(c->kind, &one);
        drop_texts();
        unload();
    }
}
END_TEST

/* The bound counts for a head and for a body: what was read decides. */
START_TEST(http_too_long)
{
    static char bytes[WR_CHECK_READ_MAX + 1];
    const struct wr_check *c = load(true, "match=m", "body ~ x$;");
    static struct side d;
    struct told one;

    memset(bytes, 'a', sizeof(bytes));
    memcpy(bytes, "HTTP/1.1 200 N\r\n\r\n", 18);
    side_begin(&d, c->kind, &c->conf, false);
    side_give(&d, wr_str_of(bytes, WR_CHECK_READ_MAX), 4096);
    ck_assert(d.next == WR_CHECK_MORE);
    side_call(&d, WR_CHECK_FULL);
    ck_view(wr_text_view(&d.t.why), "body does not match \"x$\"");
    wr_pool_free(d.t.pool);
    unload();
    c = load(true, "", "");
    memcpy(bytes, "HTTP/1.1 200 N\r\nA", 17);
    one = (struct told){ .conf = &c->conf, .turns = 1,
                         .verdict = "invalid reply: upstream sent too big header",
                         .turn = { { ANYTHING, wr_str_of(bytes, WR_CHECK_READ_MAX) } } };
    tell(c->kind, &one, 4096);
    drop_texts();
    unload();
}
END_TEST

/* Heads of 1xx without end, each with a field, and a head of many fields: in memory they are many
 * times as large, and there is little of it. */
START_TEST(http_many_heads)
{
    static char bytes[WR_CHECK_READ_MAX];
    static const struct { const char *each, *begin; } t[] = {
        { "HTTP/1.1 100 C\na:\n\n", "" },
        { "a:\n", "HTTP/1.1 200 OK\n" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++) {
        const struct wr_check *c = load(true, "", "");
        static struct side d;
        struct wr_text all = wr_text_on(bytes, sizeof(bytes));

        wr_text_c(&all, t[i].begin);
        while (!all.overflow)
            wr_text_c(&all, t[i].each);
        side_begin(&d, c->kind, &c->conf, false);
        side_give(&d, wr_str_of(bytes, sizeof(bytes)), 4096);
        if (d.next == WR_CHECK_MORE)
            side_call(&d, WR_CHECK_FULL);
        ck_assert(d.next == WR_CHECK_FAIL);
        wr_pool_free(d.t.pool);
        drop_texts();
        unload();
    }
}
END_TEST

/* ---- tcp ---- */

START_TEST(tcp_replies)
{
    static const struct {
        const char *match;
        struct wr_str sent, reply;
        const char *open, *closed; /* verdicts */
    } t[] = {
        { "send \"a\\x00b\\r\\n\"; expect \"ok\";", WR_STR_INIT("a\0b\r\n"),
          WR_STR_INIT("not ok"), "pass", "pass" },
        { "expect ~ \"^\\x05.$\";", WR_STR_INIT(""), WR_STR_INIT("\x05z"), "pass", "pass" },
        { "expect ~* OK;", WR_STR_INIT(""), WR_STR_INIT("ok"), "pass", "pass" },
        { "expect \"\\xff\";", WR_STR_INIT(""), WR_STR_INIT("\xfe"), "more",
          "the reply \"\\xfe\" does not match \"\\xff\"" },
        { "expect a;", WR_STR_INIT(""), WR_STR_INIT(""), "more",
          "the server closed the connection without a reply" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++) {
        const struct wr_check *c = load(false, "match=m", t[i].match);
        struct told one = { .conf = &c->conf, .turns = 1, .verdict = t[i].open };

        one.turn[0] = (struct turn){ t[i].sent, t[i].reply };
        converse(c->kind, &one);
        one.verdict = t[i].closed;
        one.turns = 2;
        if (strcmp(t[i].open, "more") == 0)
            converse(c->kind, &one);
        drop_texts();
        unload();
    }
}
END_TEST

/* ---- what is refused ---- */

START_TEST(refused)
{
    static const struct { bool http; const char *params, *match, *error; } t[] = {
        { true, "interval=0", "", "invalid value of \"interval\" in \"interval=0\"" },
        { true, "fails=0", "", "invalid value of \"fails\"" },
        { true, "port=65536", "", "invalid value of \"port\"" },
        { true, "uri=x", "", "invalid value of \"uri\"" },
        { true, "intervall=1s", "", "invalid parameter \"intervall=1s\"" },
        { true, "udp", "", "invalid parameter \"udp\"" },
        { true, "persistent", "", "\"persistent\" needs \"mandatory\"" },
        { true, "match=n", "", "match \"n\" is not defined" },
        { false, "type=postgres", "", "unknown type \"postgres\" of health check" },
        { true, "type=pgsql", "", "unknown type \"pgsql\" of health check; here are: http" },
        { true, "type=grpc", "", "type=grpc comes with HTTP/2, which this build does not have" },
        { true, "type=x", "", "unknown type \"x\" of health check; here are: http" },
        { true, "user=a", "", "a check of type \"http\" has no parameter \"user\"" },
        { true, "", "status 2;", "invalid status \"2\"" },
        { true, "", "status 300-200;", "invalid status \"300-200\"" },
        { true, "", "status;", "invalid number of arguments in \"status\" directive" },
        { true, "", "header A + b;", "invalid operator \"+\": use =, !=, ~ or !~" },
        { true, "", "header A b;", "invalid \"header\"" },
        { true, "", "body = a;", "invalid operator \"=\": use ~ or !~" },
        { true, "", "body ~ (;", "pcre2_compile() failed" },
        { true, "", "require $uri;", "variable \"$uri\" has no value in a health check" },
        { true, "", "send a;", "unknown directive \"send\" in \"match\"" },
        { true, "", "status 200 { }", "unexpected \"{\"" },
        { false, "", "status 200;", "unknown directive \"status\" in \"match\"" },
        { false, "uri=/", "", "a check of type \"tcp\" has no parameter \"uri\"" },
        { false, "type=http", "", "unknown type \"http\" of health check; here are: tcp, pgsql" },
        { false, "keepalive_time=1m", "", "has no parameter \"keepalive_time\"" },
        { false, "type=redis match=m", "", "a check of type \"redis\" has no parameter \"match\"" },
        { false, "type=redis role=primary", "", "unknown role \"primary\"" },
        { false, "", "send \\x4g;", "invalid escape in \"\\x4g\"" },
        { false, "", "send a\\x;", "invalid escape in \"a\\x\"" },
        { false, "", "expect \\x0;", "invalid escape in \"\\x0\"" },
        { false, "", "send;", "invalid number of arguments in \"send\" directive" },
        { false, "", "send a b;", "invalid number of arguments in \"send\" directive" },
        { false, "", "expect a; expect b;", "\"expect\" directive is duplicate" },
        { false, "", "expect = b;", "invalid operator \"=\" of \"expect\"" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++) {
        ck_assert_msg(load(t[i].http, t[i].params, t[i].match) == NULL, "%s %s", t[i].params,
                      t[i].match);
        ck_assert_msg(strstr(first_error(), t[i].error) != NULL, "%s, not %s", first_error(),
                      t[i].error);
        unload();
    }
}
END_TEST

UNIT_MAIN("modules_health", reasons, counting, http_request, http_replies, http_ends, http_too_long,
          http_many_heads, tcp_replies, refused)
