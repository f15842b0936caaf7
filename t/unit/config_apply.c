/* apply: the row of a directive, the order of application, refused directives and their hints. */
#define WR_FAKE_MODULES
#include "lib/config_fake.h"

START_TEST(order)
{
    struct wr_conf *c = fake_load("stream {\n"
                                  " server { listen 2; proxy_pass a; }\n"
                                  " late;\n"
                                  " upstream a { server b; }\n"
                                  " map $x $y { a b; c d; }\n"
                                  " soon;\n"
                                  "}\n"
                                  "worker_processes 2;");

    ck_assert_str_eq(findings(c->tree), "");
    ck_assert_str_eq(fake_trace, "prepare stream soon upstream:a server:b map:$x late server "
                                 "listen:2 proxy_pass:a check ");
    wr_conf_free(c);
}
END_TEST

/* The setter of an early block is called in source order, its contents with the nested scopes. */
START_TEST(early)
{
    struct wr_conf *c = fake_load("http { server { location / {\n"
                                  " set $a 1;\n"
                                  " if ($a) { set $b 2; proxy_timeout 1s; }\n"
                                  " set $c 3;\n"
                                  " location /x { set $d 4; }\n"
                                  " proxy_pass p;\n"
                                  "} } }");
    struct wr_scope *l;

    ck_assert_str_eq(findings(c->tree), "");
    ck_assert_str_eq(strstr(fake_trace, "location:/ "),
                     "location:/ set:$a if:($a) set:$c proxy_pass:p set:$b "
                     "location:/x set:$d check ");
    l = wr_conf_layer(c, WR_L7)->children->children;
    ck_assert_uint_eq(l->children->level, WR_LV_LOCATION_IF);
    ck_assert_str_eq(fake_of(l->children, &fake_proxy)->local.p, "p");
    ck_assert_uint_eq(fake_of(l->children, &fake_proxy)->msec, 1000);
    ck_assert_uint_eq(fake_of(l, &fake_proxy)->msec, 600000);
    wr_conf_free(c);
}
END_TEST

struct row {
    const char *text, *errors;
};

static const struct row rows[] = {
    { "stream { server { proxy_pas a; } }", "1:19 unknown directive \"proxy_pas\" (did you mean "
                                            "\"proxy_pass\"?)\n" },
    /* proxy_pass is not allowed there */
    { "stream { proxy_pas a; }", "1:10 unknown directive \"proxy_pas\"\n" },
    { "foo 1; stream { foo 2; }", "1:1 unknown directive \"foo\" +1\n" },
    { "ssl on;", "1:1 unknown directive \"ssl\": removed in nginx 1.25.1 (write \"listen 443 "
                 "ssl\")\n" },
    { "brotli_types a;", "1:1 unknown directive \"brotli_types\": of a third-party module, not in "
                         "this build (it is a directive of ngx_brotli)\n" },
    { "http { server { a_by_lua_block { ';' } } }",
      "1:17 unknown directive \"a_by_lua_block\": of a third-party module, not in this build "
      "(it is a directive of lua-nginx-module)\n" },
    { "zzzzzzzzzzzz 1;", "1:1 unknown directive \"zzzzzzzzzzzz\"\n" },
    { "fastcgi_pass a;", "1:1 unknown directive \"fastcgi_pass\": known in nginx, not in this "
                         "build (nginx has it in module ngx_http_fastcgi_module, for: location, "
                         "if in location)\n" },
    { "zone_sync;", "1:1 unknown directive \"zone_sync\": known in nginx, not in this build (part "
                    "of nginx's commercial subscription (module ngx_stream_zone_sync_module))\n" },
    { "proxy_timeout 1s;", "1:1 \"proxy_timeout\" directive is not allowed here (allowed in: "
                           "stream, http, server, location, if in location)\n" },
    { "stream { daemon off; }", "1:10 \"daemon\" directive is not allowed here (allowed in: "
                                "main)\n" },
    { "stream { server { server_name a; } }",
      "1:19 \"server_name\" directive is not allowed here (it belongs to http {}; allowed in: "
      "server)\n" },
    { "http { proxy_half_close on; }",
      "1:8 \"proxy_half_close\" directive is not allowed here (it belongs to stream {}; allowed "
      "in: stream, server, location)\n" },
    { "http { listen 80; }",
      "1:8 \"listen\" directive is not allowed here (allowed in: server)\n" },
    { "daemon;",
      "1:1 invalid number of arguments in \"daemon\" directive (it takes 1, 0 given)\n" },
    { "\xef\xbb\xbf""daemon on;",
      "1:1 unknown directive \"\xef\xbb\xbf""daemon\" (the file begins with a byte order mark: "
      "save it without one)\n" },
    { "stream { server { server { } } }",
      "1:19 \"server\" directive is not allowed here (allowed in: stream, upstream; is a \"}\" "
      "missing before it?)\n" },
    { "http { server { location a b c {} } }",
      "1:17 invalid number of arguments in \"location\" directive (it takes 1 to 2, 3 given)\n" },
    { "stream { server { listen; } }",
      "1:19 invalid number of arguments in \"listen\" directive (it takes 1 or more, 0 given)\n" },
    { "daemon on { }", "1:1 directive \"daemon\" is not terminated by \";\"\n" },
    { "stream;", "1:1 directive \"stream\" has no opening \"{\"\n" },
    { "daemon on; daemon off;", "1:12 \"daemon\" directive is duplicate\n" },
    { "stream {} stream {}", "1:11 \"stream\" directive is duplicate\n" },
    { "stream { server {} server {} }", "" },
    { "events { worker_connections 1; } events {}", "1:34 \"events\" directive is duplicate\n" },
    { "stream { map a b { c; d e; f; } }", "1:20 invalid number of the map parameters\n" },
    { "stream { refuse a; server { refuse b; } }", "1:17 invalid parameter \"a\"\n"
                                                   "1:36 invalid parameter \"b\"\n" },
};

START_TEST(errors)
{
    struct wr_conf *c = fake_load(rows[_i].text);

    ck_assert_str_eq(findings(c->tree), rows[_i].errors);
    wr_conf_free(c);
}
END_TEST

static const struct row semicolons[] = {
    { "stream { server {\n listen 80\n proxy_pass a;\n}\n proxy_timeout 1s\n allow all;\n}",
      "5:2 invalid number of arguments in \"proxy_timeout\" directive "
      "(missing \";\" after \"1s\" on line 5)\n"
      "warn 2:2 \"listen\" has the directive of a later line among its arguments "
      "(missing \";\" after \"80\" on line 2)\n" },
    { "http { server {\n listen 80\n location / { }\n} }",
      "2:2 directive \"listen\" is not terminated by \";\" (missing \";\" after \"80\" on line "
      "2)\n" },
    { "stream { refuse a\n proxy_timeout 1s; }",
      "2:16 invalid parameter \"1s\" (missing \";\" after \"a\" on line 1)\n" },
    { "stream { refuse a\n porxy_timeout 1s; }",
      "2:16 invalid parameter \"1s\" (missing \";\" after \"a\" on line 1)\n" },
    { "stream { refuse a\n very_different 1s; }", "2:17 invalid parameter \"1s\"\n" },
    { "http { server { server_name a\n b\n 'listen' 80\n late; } }", "" },
};

START_TEST(semicolon)
{
    struct wr_conf *c = fake_load(semicolons[_i].text);

    ck_assert_str_eq(findings(c->tree), semicolons[_i].errors);
    wr_conf_free(c);
}
END_TEST

/* Braces do not match: with indentation the errors are those of the mended file, without it those
 * up to the first directive in a wrong block. */
static const struct row braces[] = {
    { "stream { server { listen 1; } } }\nproxy_pass x;\nfoo;",
      "1:33 unexpected \"}\" (there is no open block: one \"}\" too many)\n"
      "2:1 \"proxy_pass\" directive is not allowed here (allowed in: server, location, if in "
      "location)\n"
      "3:1 unknown directive \"foo\"\n" },
    { "foo;\nstream {\nserver {\nbar;\n}\n}\nlisten 1;\nbaz;\n}\n}\n",
      "1:1 unknown directive \"foo\"\n"
      "7:1 \"listen\" directive is not allowed here (allowed in: server)\n"
      "4:1 unknown directive \"bar\"\n" },
    { "stream {\nserver {\nlisten 1;\nfoo;\nserver {\nbar;\n}\n}\n",
      "4:1 unknown directive \"foo\"\n"
      "5:1 \"server\" directive is not allowed here (allowed in: stream, upstream; is a \"}\" "
      "missing before it?)\n" },
    { "stream {\n server\n  listen 1;\n  foo;\n }\n bar;\n}\n",
      "2:2 directive \"server\" has no opening \"{\" (write \"{\" at the end of line 2)\n"
      "6:2 unknown directive \"bar\"\n"
      "4:3 unknown directive \"foo\"\n" },
    { "stream {\n upstream a {\n  server b\n  c;\n }\n}\n}\n",
      "7:1 unexpected \"}\" (there is no open block: one \"}\" too many)\n" },
    { "http {\n server {\n  location /\n   foo;\n  }\n  bar;\n }\n}\n",
      "3:3 directive \"location\" has no opening \"{\" (write \"{\" at the end of line 3)\n"
      "6:3 unknown directive \"bar\"\n"
      "4:4 unknown directive \"foo\"\n" },
};

START_TEST(broken)
{
    struct wr_conf *c = fake_load(braces[_i].text);

    ck_assert_str_eq(findings(c->tree), braces[_i].errors);
    ck_assert_ptr_nonnull(wr_conf_events(c));
    wr_conf_free(c);
}
END_TEST

START_TEST(many)
{
    struct wr_conf *c = fake_load("a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p;q;r;s;t;u;v;w;x;stream {y;}");

    ck_assert_uint_eq(c->tree->errors, 25);
    ck_assert(!c->tree->full);
    ck_assert_ptr_nonnull(strstr(findings(c->tree), "1:57 unknown directive \"y\"\n"));
    wr_conf_free(c);
}
END_TEST

START_TEST(first)
{
    struct wr_conf *c = fake_load("http { allow a; deny b;\n"
                                  " server { deny c; allow d; location / { } }\n"
                                  " server { location / { allow e; } } }");
    struct wr_scope *http = wr_conf_layer(c, WR_L7), *one = http->children;

    ck_assert_str_eq(findings(c->tree), "");
    ck_assert_str_eq(fake_words(fake_of(http, &fake_proxy)), "a b ");
    ck_assert_str_eq(fake_words(fake_of(one, &fake_proxy)), "c d ");
    ck_assert_str_eq(fake_words(fake_of(one->children, &fake_proxy)), "c d ");
    ck_assert_str_eq(fake_words(fake_of(one->next, &fake_proxy)), "a b ");
    ck_assert_str_eq(fake_words(fake_of(one->next->children, &fake_proxy)), "e ");
    wr_conf_free(c);
}
END_TEST

FAKE_MAIN("config/apply", { order, 0 }, { early, 0 }, { errors, WR_COUNT(rows) },
          { semicolon, WR_COUNT(semicolons) }, { broken, WR_COUNT(braces) }, { many, 0 },
          { first, 0 })
