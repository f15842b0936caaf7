/* scope: the outermost scope of structs, sharing and copying, defaults, local rows. */
#define WR_FAKE_MODULES
#include "lib/config_fake.h"

START_TEST(homes)
{
    struct wr_conf *c = fake_load("stream { server { } }");
    struct wr_scope *events = wr_conf_events(c), *stream = wr_conf_layer(c, WR_L4);

    ck_assert_str_eq(findings(c->tree), "");
    ck_assert_ptr_nonnull(fake_of(c->main, &fake_core));
    ck_assert_ptr_nonnull(fake_of(c->main, &fake_log));
    ck_assert_ptr_null(fake_of(c->main, &fake_events));
    ck_assert_ptr_null(fake_of(c->main, &fake_proxy));
    ck_assert_ptr_nonnull(fake_of(events, &fake_events));
    ck_assert_ptr_null(fake_of(events, &fake_proxy));
    ck_assert_ptr_nonnull(fake_of(stream, &fake_stream));
    ck_assert_ptr_nonnull(fake_of(stream, &fake_proxy));
    ck_assert_ptr_null(fake_of(stream, &fake_http));
    ck_assert_ptr_null(fake_of(stream, &fake_events));
    ck_assert_ptr_eq(fake_of(stream, &fake_core), fake_of(c->main, &fake_core));
    ck_assert_ptr_null(wr_conf_layer(c, WR_L7));
    wr_conf_free(c);
}
END_TEST

START_TEST(defaults)
{
    struct wr_conf *c = fake_load("stream { }\nhttp { }");
    struct fake_conf *core = fake_of(c->main, &fake_core), *log, *proxy;

    ck_assert_uint_eq(core->num, 1);
    ck_assert(core->flag);
    ck_assert_str_eq(core->path.p, "/prefix/logs/weir.pid");
    ck_assert_uint_eq(fake_of(wr_conf_events(c), &fake_events)->num, 512);
    proxy = fake_of(wr_conf_layer(c, WR_L4), &fake_proxy);
    ck_assert_uint_eq(proxy->msec, 600000);
    ck_assert_uint_eq(proxy->size, 16384);
    ck_assert_uint_eq(proxy->choice, 3);
    ck_assert_ptr_ne(proxy, fake_of(wr_conf_layer(c, WR_L7), &fake_proxy));
    log = fake_of(c->main, &fake_log);
    ck_assert_str_eq(fake_words(log), "stderr ");
    ck_assert_uint_eq(log->num, 0);
    log = fake_of(wr_conf_layer(c, WR_L4), &fake_log);
    ck_assert_str_eq(fake_words(log), "stderr ");
    ck_assert_uint_eq(log->num, 7);
    ck_assert_str_eq(log->text.p, "a b");
    wr_conf_free(c);
}
END_TEST

START_TEST(shared_until_written)
{
    struct wr_conf *c = fake_load("error_log a; http { proxy_timeout 1s;\n"
                                  " server { location /a { } location /b { proxy_timeout 2s; } }\n"
                                  " server { error_log b; } }");
    struct wr_scope *http = wr_conf_layer(c, WR_L7), *one = http->children, *two = one->next;
    struct wr_scope *a = one->children, *b = a->next;

    ck_assert_str_eq(findings(c->tree), "");
    ck_assert_ptr_eq(a->parent, one);
    ck_assert_ptr_eq(fake_of(a, &fake_log), fake_of(http, &fake_log));
    ck_assert_ptr_ne(fake_of(two, &fake_log), fake_of(http, &fake_log));
    ck_assert_str_eq(fake_words(fake_of(one, &fake_log)), "a ");
    ck_assert_str_eq(fake_words(fake_of(two, &fake_log)), "b ");
    ck_assert_str_eq(fake_words(fake_of(c->main, &fake_log)), "a ");
    ck_assert_uint_eq(fake_of(a, &fake_proxy)->msec, 1000);
    ck_assert_uint_eq(fake_of(b, &fake_proxy)->msec, 2000);
    ck_assert_uint_eq(fake_of(two, &fake_proxy)->msec, 1000);
    wr_conf_free(c);
}
END_TEST

/* Inheritance does not depend on the order in the file. */
START_TEST(order_free)
{
    struct wr_conf *c = fake_load("http { server { location / { } proxy_timeout 3s; }\n"
                                  " allow a; }");
    struct wr_scope *l = wr_conf_layer(c, WR_L7)->children->children;

    ck_assert_uint_eq(fake_of(l, &fake_proxy)->msec, 3000);
    ck_assert_str_eq(fake_words(fake_of(l, &fake_proxy)), "a ");
    wr_conf_free(c);
}
END_TEST

START_TEST(local)
{
    struct wr_conf *c = fake_load("http { server { proxy_pass a;\n"
                                  " location /x { proxy_pass b; location /y { } if (z) { } }\n"
                                  " location /z { } } }");
    struct wr_scope *server = wr_conf_layer(c, WR_L7)->children, *x = server->children;

    ck_assert_str_eq(findings(c->tree), "");
    ck_assert_str_eq(fake_of(server, &fake_proxy)->local.p, "a");
    ck_assert_str_eq(fake_of(x, &fake_proxy)->local.p, "b");
    ck_assert_uint_eq(x->children->level, WR_LV_LOCATION_IF);
    ck_assert_str_eq(fake_of(x->children, &fake_proxy)->local.p, "b");
    ck_assert_ptr_null(fake_of(x->children->next, &fake_proxy)->local.p);
    ck_assert_ptr_null(fake_of(x->next, &fake_proxy)->local.p);
    wr_conf_free(c);
}
END_TEST

static bool count(struct wr_scope *s, void *arg)
{
    uint32_t *n = arg;

    ck_assert(s->parent == NULL || s->parent->next != s);
    return ++*n < 4;
}

START_TEST(each)
{
    struct wr_conf *c = fake_load("http { server { location / { } } server { } }");
    uint32_t n = 0;

    wr_scope_each(wr_conf_layer(c, WR_L7)->children, count, &n);
    ck_assert_uint_eq(n, 2);
    n = 0;
    wr_scope_each(c->main, count, &n);
    ck_assert_uint_eq(n, 4);
    wr_conf_free(c);
}
END_TEST

FAKE_MAIN("config/scope", { homes, 0 }, { defaults, 0 }, { shared_until_written, 0 },
          { order_free, 0 }, { local, 0 }, { each, 0 })
