/* The core directives of http: errors and their words, inheritance, the conf of servers and
 * locations, paths under root and alias, content types. */
#include "lib/unit.h"

#include "lib/config_fake.h"

#include "../../modules/http/location/location_impl.h"

static bool get_up(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)x;
    (void)v;
    *out = WR_STR("../x");
    return true;
}

static enum wr_claim claims_none(struct wr_str first)
{
    (void)first;
    return WR_CLAIM_NO;
}

static const struct wr_http_speaker plain = { .name = "plain", .alpn = WR_STR_INIT("\5plain") };
static const struct wr_http_speaker other = {
    .name = "other", .word = "other", .alpn = WR_STR_INIT("\5other"), .claims = claims_none,
};

static struct wr_module other_module = { .name = "other", .layers = WR_L7, .speaker = &other };
static struct wr_module up_module = {
    .name = "up",
    .layers = WR_L7,
    .speaker = &plain,
    .variables = (const struct wr_variable[]){ { .name = "up", .layers = WR_L7, .get = get_up },
                                               { 0 } },
};

struct wr_module *const wr_modules[] = { &wr_module_vars, &wr_module_core_vars,
                                         &wr_module_log_conf, &wr_module_thread_pool,
                                         &wr_module_listen, &wr_module_http,
                                         &wr_module_location, &other_module,
                                         &up_module, NULL };

static struct wr_conf *load(const char *text)
{
    wr_modules_init();
    wr_clock_update();
    wr_error_log_default = "stderr";
    return wr_conf_load_text("t.conf", wr_str_c(text), WR_STR(""), "/p");
}

/* ---- errors ---- */

static const struct refusal {
    const char *text, *found; /* text stands in http {} */
} refusals[] = {
    { "server { location /a {} location ^~ /a {} }", "1:44 duplicate location \"/a\"\n" },
    { "server { location /a {} location = /a {} }", "" },
    { "server { location ~ a {} location ~ a {} location @a {} location @a {} }", "" },
    { "server { location /a { location /b {} } }",
      "1:40 location \"/b\" is outside location \"/a\"\n" },
    { "server { location = /a { location /a/b {} } }",
      "1:42 location \"/a/b\" cannot be inside the exact location \"/a\"\n" },
    { "server { location @a { location /a {} } }",
      "1:40 location \"/a\" cannot be inside the named location \"@a\"\n" },
    { "server { location /a { location @b {} } }",
      "1:40 named location \"@b\" can be on the server level only\n" },
    { "server { location ~ ^/a { location /a/b {} } }",
      "1:43 location \"/a/b\" is outside location \"^/a\"\n" },
    { "server { location ~ /a { location /a/b {} } }",
      "warn 1:42 location \"/a/b\" is never found inside the regex location \"/a\"\n" },
    { "server { location ! /a {} }",
      "1:26 invalid location modifier \"!\" (use one of =, ^~, ~ and ~*)\n" },
    { "server { location ~* \"(\" {} }",
      "1:29 pcre2_compile() failed: missing closing parenthesis in \"(\"\n" },
    { "server { location / { limit_except FOO {} } }", "1:43 invalid method \"FOO\"\n" },
    { "server { location / { limit_except get POST {} } }", "" },
    { "server { location / { limit_except GET {} limit_except GET {} } }",
      "1:50 \"limit_except\" directive is duplicate\n" },
    { "server { location / { root /a; alias /b; } }",
      "1:39 \"alias\" directive is duplicate, \"root\" directive was specified earlier\n" },
    { "server { location / { alias /a; root /b; } }",
      "1:40 \"root\" directive is duplicate, \"alias\" directive was specified earlier\n" },
    { "root a; server { root b; location / { alias c; } }", "" },
    { "root a; root b;", "1:16 \"root\" directive is duplicate\n" },
    { "server { location @a { alias /a; } }",
      "1:31 the \"alias\" directive cannot be used inside the named location\n" },
    { "root $document_root/a;",
      "1:13 the $document_root variable cannot be used in the \"root\" directive\n" },
    { "server { location / { alias ${realpath_root}; } }",
      "1:36 the $realpath_root variable cannot be used in the \"alias\" directive\n" },
    { "server { server_name *a; }", "1:29 server name \"*a\" is invalid\n" },
    { "server { server_name *. .; }",
      "1:29 server name \"*.\" is invalid\n1:32 server name \".\" is invalid\n" },
    { "server { server_name a/b; }", "warn 1:29 server name \"a/b\" has suspicious symbols\n" },
    { "server { server_name ~; }", "1:29 empty regex in server name \"~\"\n" },
    { "server { listen 81; server_name a*; }", "" },
    { "server { listen 81; server_name a*; } server { listen 81; server_name b; }",
      "1:40 invalid server name or wildcard \"a*\" on 0.0.0.0:81\n" },
    { "server { listen 81; server_name A b; } server { listen 81; server_name a; }",
      "warn 1:79 conflicting server name \"a\" on 0.0.0.0:81, ignored\n" },
    { "server { listen 81; } server { listen 81; }",
      "warn 1:30 conflicting server name \"\" on 0.0.0.0:81, ignored\n" },
    { "server { listen 81 default_server; } server { listen 81 default_server; }",
      "1:61 a duplicate default server for 0.0.0.0:81\n" },
    { "types { text/a a; text/b A; }",
      "warn 1:33 duplicate extension \"A\", content type: \"text/b\", previous content type: "
      "\"text/a\"\n" },
    { "types { text/a { } }", "1:16 unexpected \"{\"\n" },
    { "large_client_header_buffers 0 8k;",
      "1:36 \"large_client_header_buffers\" directive invalid value\n" },
    { "output_buffers 1 1g;", "1:25 \"output_buffers\" directive invalid value\n" },
    { "keepalive_timeout 5 5ms;", "1:28 \"keepalive_timeout\" directive invalid value\n" },
    { "keepalive_disable none foo;",
      "1:31 invalid value \"foo\" (allowed: none, msie6, safari)\n" },
    { "limit_rate 1g;", "1:19 \"limit_rate\" directive invalid value\n" },
    { "limit_rate \"\";", "1:19 \"limit_rate\" directive invalid value\n" },
    { "limit_rate $remote_port; limit_rate_after $remote_port;", "" },
    { "client_body_temp_path a 1 0;",
      "1:34 \"client_body_temp_path\" directive invalid value\n" },
    { "server_names_hash_max_size 0; server_names_hash_bucket_size 64; types_hash_max_size 1;\n"
      "types_hash_bucket_size 64; variables_hash_max_size 9; variables_hash_bucket_size 64;\n"
      "connection_pool_size 4k; request_pool_size 4k;", "" },
    { "types_hash_bucket_size 4k;",
      "1:31 \"types_hash_bucket_size\" directive invalid number\n" },
    { "request_pool_size 4x;", "1:26 \"request_pool_size\" directive invalid value\n" },
};

START_TEST(refuses)
{
    for (size_t i = 0; i < WR_COUNT(refusals); i++) {
        char text[512];
        struct wr_conf *c;

        snprintf(text, sizeof(text), "http { %s }", refusals[i].text);
        c = load(text);
        ck_assert_msg(strcmp(findings(c->tree), refusals[i].found) == 0, "%s\n%s, not\n%s",
                      refusals[i].text, findings(c->tree), refusals[i].found);
        wr_conf_free(c);
    }
}
END_TEST

/* ---- a configuration, and its values ---- */

static struct wr_conf *conf;
static struct wr_http_address *address; /* the first */

static void begin(const char *text)
{
    conf = load(text);
    ck_assert_str_eq(findings(conf->tree), "");
    address = wr_conf_listens(conf)->first->object;
}

static const struct wr_http_server *server_of(const char *host)
{
    return wr_http_server_of(wr_host_find(address->a.map, NULL, wr_str_c(host)));
}

/* NULL: the server has none for the uri. */
static const struct wr_location *location_at(const char *host, const char *uri)
{
    bool redirect;
    const struct wr_http_server *sv = server_of(host);

    return sv->locations == NULL ? NULL
        : wr_location_find(sv->locations, NULL, wr_str_c(uri), &redirect);
}

static const struct wr_http_conf *at(const char *host, const char *uri)
{
    const struct wr_location *loc = location_at(host, uri);

    return wr_scope_conf(loc != NULL ? loc->scope : server_of(host)->v.scope, &wr_module_http);
}

START_TEST(defaults)
{
    const struct wr_http_conf *c;

    begin("http { server { listen 80; } }");
    c = at("", "/");
    ck_assert_ptr_nonnull(address->a.map);
    ck_assert_ptr_eq(address->a.default_server, address->a.servers.at[0]);
    ck_view(address->a.default_server->name, "");
    ck_assert(c->large_buffers == 4 && c->large_buffer == 8192 && c->max_headers == 1000);
    ck_assert(c->client_max_body == 1 << 20 && c->client_body_buffer == 16384);
    ck_assert(c->keepalive_timeout_ms == 75000 && c->keepalive_header_s == 0);
    ck_assert(c->keepalive_time_ms == 3600000 && c->keepalive_disable == WR_KA_MSIE6);
    ck_assert(c->lingering_close == 1 && c->server_tokens == 1 && c->if_modified_since == 1);
    ck_assert(c->max_ranges == UINT32_MAX && c->sendfile_max_chunk == 2 << 20 && !c->sendfile);
    ck_assert(c->limit_rate.text == NULL && c->limit_rate.fixed == 0);
    ck_assert(c->merge_slashes && c->ignore_invalid && !c->underscores && !c->internal);
    ck_view(c->root, "/p/html");
    ck_view(c->default_type, "text/plain");
    wr_conf_free(conf);
}
END_TEST

START_TEST(inherits)
{
    const struct wr_location *loc;

    begin("http { keepalive_timeout 1 2; limit_rate 5k;\n"
          "server { listen 80; server_name one .two.org; keepalive_timeout 3;\n"
          "  location /a/ { internal; location /a/b/ { send_timeout 9; } }\n"
          "  location /l { limit_except GET POST { } } }\n"
          "server { listen 80 default_server; server_name ~^x $hostname; limit_rate 0; } }");
    ck_assert_uint_eq(address->a.servers.n, 2);
    ck_assert_ptr_eq(address->a.default_server, address->a.servers.at[1]);
    ck_assert_uint_eq(at("a", "/")->keepalive_timeout_ms, 1000);
    ck_assert_uint_eq(at("a", "/")->keepalive_header_s, 2);
    ck_assert_uint_eq(at("a", "/")->limit_rate.fixed, 0);
    ck_assert_uint_eq(at("one", "/")->keepalive_timeout_ms, 3000);
    ck_assert_uint_eq(at("one", "/")->keepalive_header_s, 0);
    ck_assert_uint_eq(at("x.two.org", "/")->limit_rate.fixed, 5120);
    ck_view(address->a.servers.at[1]->name, "~^x");
    ck_assert(at("one", "/a/b/")->internal && at("one", "/a/")->internal);
    ck_assert_uint_eq(at("one", "/a/b/")->send_timeout_ms, 9000);
    ck_assert_uint_eq(at("one", "/a/")->send_timeout_ms, 60000);
    loc = location_at("one", "/l");
    ck_assert_ptr_null(wr_http_limit_scope(loc, WR_M_GET));
    ck_assert_ptr_null(wr_http_limit_scope(loc, WR_M_HEAD));
    ck_assert_ptr_null(wr_http_limit_scope(loc, WR_M_POST));
    ck_assert_uint_eq(wr_http_limit_scope(loc, WR_M_PUT)->level, WR_LV_LIMIT_EXCEPT);
    ck_assert_ptr_nonnull(wr_http_limit_scope(loc, WR_M_OTHER));
    ck_assert_ptr_null(wr_http_limit_scope(location_at("one", "/a/"), WR_M_PUT));
    wr_conf_free(conf);
}
END_TEST

START_TEST(listens_without_being_told)
{
    begin("http { server { } server { server_name b; } }");
    ck_view(wr_conf_listens(conf)->first->text, geteuid() == 0 ? "0.0.0.0:80" : "0.0.0.0:8000");
    ck_assert(wr_conf_listens(conf)->first != NULL && wr_conf_listens(conf)->first->next == NULL);
    ck_assert_uint_eq(address->a.servers.n, 2);
    wr_conf_free(conf);
}
END_TEST

/* ---- paths, types ---- */

static struct wr_session session;
static struct wr_exchange exchange;
static struct wr_http request;

static void exchange_at(const char *uri)
{
    static const struct wr_log silent = { .max = WR_LOG_EMERG };
    const struct wr_location *loc = location_at("", uri);

    memset(&session, 0, sizeof(session));
    memset(&exchange, 0, sizeof(exchange));
    session.conf = conf;
    session.client.len = sizeof(struct sockaddr_in);
    session.client.in.sin_family = AF_INET;
    wr_addr_set_port(&session.client, 77);
    exchange.s = &session;
    exchange.main = &exchange;
    exchange.conf = session.conf;
    exchange.client_addr = &session.client;
    exchange.of_layer = &request;
    WR_TYPED(&request, HTTP);
    exchange.pool = conf->pool;
    exchange.layer = &wr_layer_http;
    exchange.scope = loc != NULL ? loc->scope : address->a.default_server->scope;
    exchange.log = &silent;
}

/* A speaker brings a word of `listen`, and names offered in TLS handshakes. */
START_TEST(words_of_speakers)
{
    struct wr_conf *c = load("http { server { listen 81 other; listen 82; } }");
    const struct wr_listener *with = wr_conf_listens(c)->first, *without = with->next;

    ck_assert_str_eq(findings(c->tree), "");
    ck_assert_uint_eq(with->speaks, 1);
    ck_view(wr_layer_http.protocols(with), "\5other\5plain");
    ck_assert_uint_eq(without->speaks, 0);
    ck_view(wr_layer_http.protocols(without), "\5plain");
    wr_conf_free(c);
    c = load("http { server { listen 81; } server { listen 81 other; } }");
    ck_assert_str_eq(findings(c->tree),
                     "warn 1:46 protocol options redefined for 0.0.0.0:81\n"
                     "warn 1:30 conflicting server name \"\" on 0.0.0.0:81, ignored\n");
    ck_assert_uint_eq(wr_conf_listens(c)->first->speaks, 1);
    wr_conf_free(c);
}
END_TEST

START_TEST(paths)
{
    static const struct {
        const char *in, *uri, *path; /* in: a uri of the location; path NULL: refused */
    } rows[] = {
        { "/none", "/x", "/r/x" },
        { "/none", "/", "/r/" },
        { "/al/", "/al/x/y", "/data/x/y" },
        { "/al/", "/al/", "/data/" },
        { "/al/", "/else/x", NULL },
        { "/al/in/", "/al/in/x", "/data/in/x" },
        { "/al/own/", "/al/own/x", "/own/al/own/x" },
        { "/i", "/ix", "/img/x" },
        { "/i", "/i../x", NULL },
        { "/i", "/i..", NULL },
        { "/i", "/i...", "/img/..." },
        { "/j", "/j../x", "/jmg../x" },
        { "/re/x", "/re/x", "/file" },
        { "/re2/x", "/re2/x", "/p/77.txt" },
        { "/var/", "/var/x", "/p/77/var/x" },
        { "/set/", "/set/x", NULL },
        { "/set2/", "/set2/x", "/p/../77/../x/set2/x" },
        { "/none", "/a/../../x", NULL },
        { "/none", "/..", NULL },
        { "/none", "/..a/b..", "/r/..a/b.." },
        { "/rel", "/rel", "/r/../rel" },
    };

    begin("http { root /r/; server { listen 80;\n"
          "location /set/ { root $up; } location /set2/ { root ../$remote_port/$up; }\n"
          "location /al/ { alias /data/; location /al/in/ { } location /al/own/ { root /own; } }\n"
          "location /i { alias /img/; } location /j { alias /jmg; } location /rel { root /r/..; }\n"
          "location ~ ^/re/ { alias /file; } location ~ ^/re2/ { alias $remote_port.txt; }\n"
          "location /var/ { root $remote_port/; } } }");
    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        char buf[256];
        struct wr_text t = wr_text_on(buf, sizeof(buf));
        bool ok;

        exchange_at(rows[i].in);
        ok = wr_http_path(&exchange, wr_str_c(rows[i].uri), &t);
        ck_assert_msg(ok == (rows[i].path != NULL), "%s", rows[i].uri);
        if (ok)
            ck_view(wr_text_view(&t), rows[i].path);
        t = wr_text_on(buf, 2);
        ck_assert(!wr_http_path(&exchange, wr_str_c(rows[i].uri), &t));
    }
    exchange_at("/none");
    char buf[64];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    ck_assert(!wr_http_path(&exchange, wr_str_of("/a\0b", 4), &t));
    wr_conf_free(conf);
}
END_TEST

START_TEST(types)
{
    static const struct {
        const char *in, *path, *type;
    } rows[] = {
        { "/", "/a.html", "text/html" },   { "/", "/a.HTML", "text/html" },
        { "/", "a.b.gif", "image/gif" },   { "/", "/a.html/b", "d/t" },
        { "/", "/.html", "d/t" },          { "/", "/a.", "d/t" },
        { "/", "", "d/t" },                { "/", "/a.txt", "d/t" },
        { "/own", "/a.txt", "x/txt" },     { "/own", "/a.md", "x/md" },
        { "/own", "/a.html", "d/t" },      { "/own/in", "/a.md", "x/md" },
        { "/own/none", "/a.md", "d/n" },
    };

    begin("http { default_type d/t; server { listen 80;\n"
          "location /own { types { x/txt text txt; } types { x/md md; }\n"
          "  location /own/in { } location /own/none { types { } default_type d/n; } } } }");
    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        exchange_at(rows[i].in);
        ck_view(wr_http_type_of(&exchange, wr_str_c(rows[i].path)), rows[i].type);
    }
    wr_conf_free(conf);
}
END_TEST

UNIT_MAIN("http_directives", refuses, defaults, inherits, listens_without_being_told,
          words_of_speakers, paths, types)
