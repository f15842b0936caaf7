/* listen: addresses and options of each line, error messages, lines that share a listener. */
#include "lib/unit.h"

#include "lib/exchange_fake.h"

static const char *one_server(const char *layer, const char *lines)
{
    static char text[8192];

    snprintf(text, sizeof(text), "%s { server { %s } }", layer, lines);
    return text;
}

/* "ADDRESS ADDRESS ", in the order the app opens them. */
static const char *listens(const struct wr_conf *c)
{
    static char buf[8192];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    const char *s;

    for (const struct wr_listener *l = wr_conf_listens(c)->first; l != NULL; l = l->next) {
        char again[WR_ADDR_TEXT_MAX];
        struct wr_text a = wr_text_on(again, sizeof(again));

        wr_addr_text(&l->addr, &a);
        ck_assert(wr_str_eq(wr_text_view(&a), l->text));
        ck_assert(l->accepted == wr_session_new && l->layer != NULL && l->node != NULL);
        wr_text_fmt(&t, WR_FMT " ", WR_ARG(l->text));
    }
    ck_assert(wr_text_cstr(&t, &s));
    return s;
}

struct row {
    const char *text, *out;
};

static const struct row good[] = {
    { "listen 80;", "0.0.0.0:80 " },
    { "listen *:80;", "0.0.0.0:80 " },
    { "listen 127.0.0.1:1; listen 127.0.0.1:65535;", "127.0.0.1:1 127.0.0.1:65535 " },
    { "listen [::]:80; listen 80;", "[::]:80 0.0.0.0:80 " },
    { "listen [2001:DB8::1]:80;", "[2001:db8::1]:80 " },
    { "listen unix:/tmp/a:80;", "unix:/tmp/a:80 " },
    { "listen 80-82;", "0.0.0.0:80 0.0.0.0:81 0.0.0.0:82 " },
    { "listen *:80-80;", "0.0.0.0:80 " },
    { "listen [::1]:80-81;", "[::1]:80 [::1]:81 " },
    { "listen 1.2.3:80;", "1.2.0.3:80 " }, /* inet_aton's short form, as nginx */
    { "listen 80; listen 127.0.0.1:80;", "0.0.0.0:80 127.0.0.1:80 " },
};

START_TEST(addresses)
{
    for (size_t i = 0; i < WR_COUNT(good); i++) {
        struct wr_conf *c = fake_load(one_server("stream", good[i].text));

        ck_assert_str_eq(fake_findings(c), "");
        ck_assert_str_eq(listens(c), good[i].out);
        ck_assert_str_eq(fake_attached, good[i].out);
        wr_conf_free(c);
    }
}
END_TEST

START_TEST(names_are_resolved)
{
    struct wr_conf *c = fake_load(one_server("stream", "listen localhost:80-81;"));

    ck_assert_str_eq(fake_findings(c), "");
    ck_assert_ptr_nonnull(strstr(listens(c), "127.0.0.1:80 127.0.0.1:81 "));
    wr_conf_free(c);
}
END_TEST

START_TEST(http_has_a_default_port)
{
    struct wr_conf *c = fake_load(one_server("http", "listen 127.0.0.1; listen [::1]; listen *;"));

    ck_assert_str_eq(fake_findings(c), "");
    ck_assert_str_eq(listens(c), "127.0.0.1:80 [::1]:80 0.0.0.0:80 ");
    wr_conf_free(c);
}
END_TEST

static const struct row bad_addresses[] = {
    { "0", "invalid port" },
    { "70000", "invalid port" },
    { "99999999999999999999", "invalid port" },
    { "127.0.0.1:0", "invalid port" },
    { "127.0.0.1:70000", "invalid port" },
    { "127.0.0.1:", "invalid port" },
    { "127.0.0.1:x", "invalid port" },
    { "127.0.0.1:1-x", "invalid port" },
    { "*:", "invalid port" },
    { "::1", "invalid port" },
    { "[::1]:", "invalid port" },
    { "80-70000", "invalid port" },
    { "0-5", "invalid port" },
    { "82-81", "invalid port range" },
    { "127.0.0.1", "no port" },
    { "[::1]", "no port" },
    { "*", "no port" },
    { "localhost", "no port" },
    { ":80", "no host" },
    { "\"\"", "no host" },
    { "127.0.0.1/24:80", "invalid host" },
    { "[::1", "invalid host" },
    { "[::1]80", "invalid host" },
    { "[x]:80", "invalid IPv6 address" },
    { "[]:80", "invalid IPv6 address" },
    { "unix:", "no path in the unix domain socket" },
};

START_TEST(refuses_addresses)
{
    for (size_t i = 0; i < WR_COUNT(bad_addresses); i++) {
        const struct row *r = &bad_addresses[i];
        char line[256], want[256];
        struct wr_conf *c;

        snprintf(line, sizeof(line), "listen %s;", r->text);
        snprintf(want, sizeof(want), "1:26 %s in \"%s\" of the \"listen\" directive\n", r->out,
                 strcmp(r->text, "\"\"") == 0 ? "" : r->text);
        c = fake_load(one_server("stream", line));
        ck_assert_str_eq(fake_findings(c), want);
        ck_assert_ptr_null(wr_conf_listens(c)->first);
        wr_conf_free(c);
    }
}
END_TEST

START_TEST(refuses_long_paths)
{
    char path[200], line[256];
    struct wr_conf *c;

    memset(path, 'a', sizeof(path));
    path[107] = '\0';
    snprintf(line, sizeof(line), "listen unix:%s;", path);
    c = fake_load(one_server("stream", line));
    ck_assert_str_eq(fake_findings(c), "");
    wr_conf_free(c);

    path[107] = 'a';
    path[108] = '\0';
    snprintf(line, sizeof(line), "listen unix:%s;", path);
    c = fake_load(one_server("stream", line));
    ck_assert_ptr_nonnull(strstr(fake_findings(c), "too long path in the unix domain socket in"));
    wr_conf_free(c);
}
END_TEST

START_TEST(options)
{
    struct wr_conf *c = fake_load(one_server(
        "stream", "listen 80 backlog=7 rcvbuf=4k sndbuf=0 fastopen=3 deferred bind reuseport"
                  " so_keepalive=1m::3 multipath;"
                  " listen 81; listen [::]:82 ipv6only=off so_keepalive=on;"
                  " listen 83 so_keepalive=off default_server ipv6only=on;"));
    const struct wr_listener *l = wr_conf_listens(c)->first;

    ck_assert_str_eq(fake_findings(c), "");
    ck_assert_str_eq(fake_attached, "0.0.0.0:80 0.0.0.0:81 [::]:82 0.0.0.0:83 default ");
    ck_assert(l->opts.backlog == 7 && l->opts.rcvbuf == 4096 && l->opts.sndbuf == 0);
    ck_assert(l->opts.fastopen == 3 && l->opts.deferred && l->opts.multipath);
    ck_assert(l->opts.keepalive && l->opts.keepidle == 60 && l->opts.keepintvl == 0);
    ck_assert(l->opts.keepcnt == 3 && !l->opts.keepalive_off);
    l = l->next;
    ck_assert(l->opts.type == SOCK_STREAM && l->opts.backlog == 0 && !l->opts.keepalive);
    l = l->next;
    ck_assert(l->opts.ipv6only_off && l->opts.keepalive && l->opts.keepidle == 0);
    l = l->next;
    ck_assert(!l->opts.ipv6only_off && !l->opts.keepalive && l->opts.keepalive_off);
    wr_conf_free(c);
}
END_TEST

#define NOT_BUILT "parameter is known in nginx, not in this build"
static const struct {
    const char *params, *stream, *http; /* NULL: fine there */
} params[] = {
    { "foo", "the invalid \"foo\" parameter", "invalid parameter \"foo\"" },
    { "default", "the invalid \"default\" parameter", NULL },
    { "default_server=1", "the invalid \"default_server=1\" parameter",
      "invalid parameter \"default_server=1\"" },
    { "deferred=1", "the invalid \"deferred=1\" parameter", "invalid parameter \"deferred=1\"" },
    { "setfib=1", "the invalid \"setfib=1\" parameter", "invalid parameter \"setfib=1\"" },
    { "ssl", NULL, NULL },
    { "ssl proxy_protocol bind", NULL, NULL },
    { "ssl=on", "the invalid \"ssl=on\" parameter", "invalid parameter \"ssl=on\"" },
    { "ssl udp", "\"listen\" directive \"ssl\" parameter is incompatible with \"udp\"",
      "invalid parameter \"udp\"" },
    { "http2", "the invalid \"http2\" parameter",
      "the \"http2\" " NOT_BUILT },
    { "quic", "the invalid \"quic\" parameter",
      "the \"quic\" " NOT_BUILT },
    { "udp", NULL, "invalid parameter \"udp\"" },
    { "udp reuseport rcvbuf=1m", NULL, "invalid parameter \"udp\"" },
    { "proxy_protocol", NULL, NULL },
    { "proxy_protocol udp",
      "\"listen\" directive \"proxy_protocol\" parameter is incompatible with \"udp\"",
      "invalid parameter \"udp\"" },
    { "backlog=0", "invalid backlog \"backlog=0\"", "invalid backlog \"backlog=0\"" },
    { "backlog=-1", "invalid backlog \"backlog=-1\"", "invalid backlog \"backlog=-1\"" },
    { "backlog=1:2", "invalid backlog \"backlog=1:2\"", "invalid backlog \"backlog=1:2\"" },
    { "backlog=2147483648", "invalid backlog \"backlog=2147483648\"",
      "invalid backlog \"backlog=2147483648\"" },
    { "fastopen=-1", "invalid fastopen \"fastopen=-1\"", "invalid fastopen \"fastopen=-1\"" },
    { "fastopen=0", NULL, NULL },
    { "rcvbuf=-1", "invalid rcvbuf \"rcvbuf=-1\"", "invalid rcvbuf \"rcvbuf=-1\"" },
    { "sndbuf=", "invalid sndbuf \"sndbuf=\"", "invalid sndbuf \"sndbuf=\"" },
    { "ipv6only=x", "the invalid \"ipv6only=x\" parameter", "invalid parameter \"ipv6only=x\"" },
    { "so_keepalive=", "invalid so_keepalive value: \"\"", "invalid so_keepalive value: \"\"" },
    { "so_keepalive=x", "invalid so_keepalive value: \"x\"", "invalid so_keepalive value: \"x\"" },
    { "so_keepalive=0", "invalid so_keepalive value: \"0\"", "invalid so_keepalive value: \"0\"" },
    { "so_keepalive=::", "invalid so_keepalive value: \"::\"",
      "invalid so_keepalive value: \"::\"" },
    { "so_keepalive=1:2:3:4", "invalid so_keepalive value: \"1:2:3:4\"",
      "invalid so_keepalive value: \"1:2:3:4\"" },
    { "so_keepalive=0:1:1", NULL, NULL },
    { "so_keepalive=1m", NULL, NULL },
    { "bind bind reuseport", NULL, NULL },
    { "backlog=4 udp", "\"listen\" directive \"backlog\" parameter is incompatible with \"udp\"",
      "invalid parameter \"udp\"" },
    { "udp so_keepalive=on",
      "\"listen\" directive \"so_keepalive\" parameter is incompatible with \"udp\"",
      "invalid parameter \"udp\"" },
};

START_TEST(ssl_is_of_the_address)
{
    struct wr_conf *c = fake_load("http { server { listen 80 ssl; listen 81; listen 82 ssl; }"
                                  " server { listen 80; listen 81 ssl; listen 82 ssl; } }");
    const struct wr_listener *l = wr_conf_listens(c)->first;

    ck_assert_str_eq(fake_findings(c),
                     "warn 1:76 protocol options redefined for 0.0.0.0:80\n"
                     "warn 1:87 protocol options redefined for 0.0.0.0:81\n");
    ck_assert(l->ssl && l->next->ssl && l->next->next->ssl);
    wr_conf_free(c);
}
END_TEST

START_TEST(proxy_protocol_is_of_the_address)
{
    struct wr_conf *c = fake_load("http { server { listen 80 proxy_protocol; listen 81; }"
                                  " server { listen 80; listen 81 proxy_protocol; } }");
    const struct wr_listener *l = wr_conf_listens(c)->first;

    ck_assert_str_eq(fake_findings(c),
                     "warn 1:72 protocol options redefined for 0.0.0.0:80\n"
                     "warn 1:83 protocol options redefined for 0.0.0.0:81\n");
    ck_assert(l->greet == wr_proxy_read && l->next->greet == wr_proxy_read);
    wr_conf_free(c);
}
END_TEST

static void check_params(const char *layer, const char *text, const char *want)
{
    char line[256];
    struct wr_conf *c;

    snprintf(line, sizeof(line), "listen 80 %s;", text);
    c = fake_load(one_server(layer, line));
    if (want == NULL) {
        ck_assert_uint_eq(c->tree->errors, 0);
    } else {
        ck_assert_uint_eq(c->tree->errors, 1);
        ck_assert_str_eq(c->tree->diags->text, want);
    }
    wr_conf_free(c);
}

START_TEST(parameters)
{
    for (size_t i = 0; i < WR_COUNT(params); i++) {
        check_params("stream", params[i].params, params[i].stream);
        check_params("http", params[i].params, params[i].http);
    }
}
END_TEST

START_TEST(warns)
{
    struct wr_conf *c = fake_load(one_server("http", "listen 80 default accept_filter=x;"));

    ck_assert_uint_eq(c->tree->errors, 0);
    ck_assert_str_eq(fake_findings(c),
                     "warn 1:27 the \"default\" parameter is obsolete, use \"default_server\""
                     " instead\nwarn 1:35 accept filters \"accept_filter=x\" are not supported on"
                     " this platform, ignored\n");
    ck_assert_str_eq(fake_attached, "0.0.0.0:80 default ");
    wr_conf_free(c);
}
END_TEST

static const struct row shared[] = {
    { "stream { server { listen 80; } server { listen 80; } }", "" },
    { "stream { server { listen 80-82; listen *:81; } }", "1:40 a duplicate listen 0.0.0.0:81\n" },
    { "stream { server { listen unix:/a; listen unix:/a; } }",
      "1:42 a duplicate listen unix:/a\n" },
    { "stream { server { listen 80; } } http { server { listen *:80; } }",
      "1:57 duplicate \"0.0.0.0:80\" address and port pair (it is used in stream {} already)\n" },
    { "http { server { listen 80; } server { listen 80; } }", "" },
    { "http { server { listen 80; listen *:80; } }", "1:35 a duplicate listen 0.0.0.0:80\n" },
    { "http { server { listen 80; } server { listen 80 backlog=1; } server { listen 80; } }", "" },
    { "http { server { listen 80 bind; } server { listen 80 backlog=1; } }",
      "1:51 duplicate listen options for 0.0.0.0:80\n" },
    { "http { server { listen 80 default_server; } server { listen 80 default_server; } }",
      "1:61 a duplicate default server for 0.0.0.0:80\n" },
};

START_TEST(shares)
{
    for (size_t i = 0; i < WR_COUNT(shared); i++) {
        struct wr_conf *c = fake_load(shared[i].text);

        ck_assert_str_eq(fake_findings(c), shared[i].out);
        wr_conf_free(c);
    }
}
END_TEST

START_TEST(options_come_from_the_line_that_has_some)
{
    struct wr_conf *c = fake_load("http { server { listen 80; listen 81; }"
                                  " server { listen 80 backlog=9; } server { listen 80; } }");

    ck_assert_str_eq(fake_findings(c), "");
    ck_assert_str_eq(listens(c), "0.0.0.0:80 0.0.0.0:81 ");
    ck_assert_str_eq(fake_attached, "0.0.0.0:80 0.0.0.0:81 0.0.0.0:80 0.0.0.0:80 ");
    ck_assert_int_eq(wr_conf_listens(c)->first->opts.backlog, 9);
    wr_conf_free(c);
}
END_TEST

/* Tens of thousands of listeners must not take quadratic time. */
START_TEST(a_wide_range)
{
    struct wr_conf *c = fake_load(one_server("stream", "listen 127.0.0.1:1-65535;"));
    uint32_t n = 0;

    for (const struct wr_listener *l = wr_conf_listens(c)->first; l != NULL; l = l->next)
        n++;
    ck_assert_uint_eq(n, 65535);
    wr_conf_free(c);
}
END_TEST

UNIT_MAIN("listen/conf", addresses, names_are_resolved, http_has_a_default_port,
          refuses_addresses, refuses_long_paths, options, parameters, warns, shares,
          ssl_is_of_the_address, proxy_protocol_is_of_the_address,
          options_come_from_the_line_that_has_some, a_wide_range)
