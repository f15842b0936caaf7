/* suggest, rows, known: the row of a name, similar names, names of nginx and of other modules. */
#define WR_FAKE_MODULES
#include "lib/config_fake.h"
#include "config/config_impl.h"

START_TEST(rows_by_place)
{
    const struct wr_row *r;

    wr_modules_init();
    r = wr_row_find(WR_STR("server"), WR_L4, WR_LV_LAYER);
    ck_assert_ptr_eq(r->module, &fake_stream);
    ck_assert_ptr_eq(wr_row_find(WR_STR("server"), WR_L7, WR_LV_LAYER)->module, &fake_http);
    r = wr_row_find(WR_STR("server"), WR_L7, WR_LV_UPSTREAM);
    ck_assert_uint_eq(r->row->max, WR_ARGS_ANY);
    ck_assert_ptr_null(wr_row_find(WR_STR("server"), WR_L4, WR_LV_SERVER));
    ck_assert_ptr_null(wr_row_find(WR_STR("serve"), WR_L4, WR_LV_LAYER));
    ck_assert_ptr_null(wr_row_find(WR_STR(""), WR_L4, WR_LV_LAYER));
    ck_assert_ptr_nonnull(wr_row_find(WR_STR("daemon"), 0, WR_LV_MAIN));
    ck_assert_ptr_null(wr_row_find(WR_STR("worker_connections"), 0, WR_LV_MAIN));
    r = wr_row_find(WR_STR("deny"), WR_L4, WR_LV_SERVER);
    ck_assert_uint_eq(r->shared_index,
                      wr_row_find(WR_STR("allow"), WR_L4, WR_LV_SERVER)->index);
}
END_TEST

/* --without-stream_..._module: neither rows nor a struct in stream {}. */
START_TEST(a_layer_left_out)
{
    struct wr_conf *c;

    fake_proxy.without = WR_L4;
    c = fake_load("stream { } http { soon; }");
    ck_assert_uint_eq(c->tree->errors, 0);
    ck_assert_ptr_null(wr_row_find(WR_STR("soon"), WR_L4, WR_LV_LAYER));
    ck_assert_ptr_nonnull(wr_row_find(WR_STR("soon"), WR_L7, WR_LV_LAYER));
    ck_assert_ptr_null(fake_of(c->main->children, &fake_proxy));
    ck_assert_ptr_nonnull(fake_of(c->main->children->next, &fake_proxy));
    wr_conf_free(c);
    c = fake_load("stream { soon; }");
    ck_assert_uint_eq(c->tree->errors, 1);
    wr_conf_free(c);
}
END_TEST

struct where {
    uint32_t where;
    const char *text;
};

static const struct where wheres[] = {
    { WR_LV_MAIN, "main" },
    { WR_LV_EVENTS, "events" },
    { WR_ANY | WR_IN_LOCATIONS, "stream, http, server, location" },
    { WR_L7 | WR_IN_LOCATION_IFS | WR_LV_LIMIT_EXCEPT, "http, server, location, if in location, "
                                                "limit_except" },
    { WR_L7 | WR_LV_SERVER | WR_LV_LOCATION | WR_LV_LOCATION_IF | WR_LV_SERVER_IF,
      "server, location, if" },
    { WR_L4 | WR_LV_LAYER | WR_LV_SERVER | WR_MULTI, "stream, server" },
    { WR_ANY | WR_LV_UPSTREAM, "upstream" },
    { WR_LV_MAIN | WR_L7 | WR_LV_LAYER, "main, http" },
};

START_TEST(where_text)
{
    char buf[128];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    const char *s;

    wr_where_text(wheres[_i].where, &t);
    ck_assert(wr_text_cstr(&t, &s));
    ck_assert_str_eq(s, wheres[_i].text);
}
END_TEST

struct near {
    const char *name;
    uint32_t layer, level;
    const char *found;
};

static const struct near nears[] = {
    { "proxy_pas", WR_L4, WR_LV_SERVER, "proxy_pass" },
    { "porxy_timeout", WR_L4, WR_LV_LAYER, "proxy_timeout" },
    { "Listen", WR_L7, WR_LV_SERVER, "listen" },
    { "servers", WR_L7, WR_LV_LAYER, "server" },
    { "deamon", WR_L4, WR_LV_SERVER, NULL },      /* elsewhere */
    { "deamon", 0, WR_LV_MAIN, "daemon" },
    { "alow", 0, UINT32_MAX, "allow" },           /* anywhere */
    { "xyz", WR_L4, WR_LV_SERVER, NULL },
    { "", WR_L4, WR_LV_SERVER, NULL },
    { "completely_different", 0, WR_LV_MAIN, NULL },
};

START_TEST(near_names)
{
    const char *found;

    wr_modules_init();
    found = wr_suggest_name(wr_str_c(nears[_i].name), nears[_i].layer, nears[_i].level);
    ck_assert_pstr_eq(found, nears[_i].found);
}
END_TEST

START_TEST(nginx_words)
{
    const struct wr_nginx_word *w = wr_known_directive(WR_STR("fastcgi_pass"));

    ck_assert_str_eq(w->module, "ngx_http_fastcgi_module");
    ck_assert_str_eq(w->contexts, "location, if in location");
    ck_assert(!w->commercial);
    ck_assert(wr_known_directive(WR_STR("zone_sync"))->commercial);
    w = wr_known_directive(WR_STR("preread_timeout"));
    ck_assert_str_eq(w->contexts, "stream, server");
    w = wr_known_directive(WR_STR("ssl_protocols")); /* commercial in one module only */
    ck_assert(!w->commercial);
    ck_assert_ptr_nonnull(strstr(w->module, "ngx_stream_ssl_module"));
    ck_assert_ptr_nonnull(wr_known_directive(WR_STR("absolute_redirect"))); /* the first */
    ck_assert_ptr_nonnull(wr_known_directive(WR_STR("zone_sync_timeout"))); /* the last */
    ck_assert_str_eq(wr_known_variable(WR_STR("upstream_cache_status"))->module,
                     "ngx_http_upstream_module");
    ck_assert_ptr_nonnull(wr_known_variable(WR_STR("arg_x")));
    ck_assert(wr_known_variable(WR_STR("jwt_claim_sub"))->commercial);
    ck_assert_ptr_nonnull(wr_known_variable(WR_STR("acme_certificate"))); /* the first */
    ck_assert_ptr_nonnull(wr_known_variable(WR_STR("uri")));              /* the last */
    ck_assert_ptr_null(wr_known_variable(WR_STR("remote_adr")));
    ck_assert_str_eq(wr_known_elsewhere("more_set_headers"), "headers-more-nginx-module");
    ck_assert_str_eq(wr_known_elsewhere("access_by_lua_block"), "lua-nginx-module");
    ck_assert_str_eq(wr_known_elsewhere("lua_package_path"), "lua-nginx-module");
    ck_assert_ptr_null(wr_known_elsewhere("proxy_pas"));
    ck_assert_ptr_null(wr_known_elsewhere(""));
    ck_assert_str_eq(wr_known_removed(WR_STR("ssl"))->version, "1.25.1");
    ck_assert_ptr_null(wr_known_removed(WR_STR("ssl_")));
    ck_assert_ptr_null(wr_known_directive(WR_STR("proxy_pas")));
    ck_assert_ptr_null(wr_known_directive(WR_STR("")));
    ck_assert_ptr_null(wr_known_directive(wr_str_of("zone\0", 5)));
}
END_TEST

/* No pattern of a third-party module may match a name of nginx. */
START_TEST(others_are_others)
{
    for (uint32_t i = 0; i < wr_nginx_directives_count; i++)
        ck_assert_msg(wr_known_elsewhere(wr_nginx_directives[i].name) == NULL, "%s",
                      wr_nginx_directives[i].name);
}
END_TEST

FAKE_MAIN("config/suggest", { rows_by_place, 0 }, { a_layer_left_out, 0 },
          { where_text, WR_COUNT(wheres) },
          { near_names, WR_COUNT(nears) }, { nginx_words, 0 },
          { others_are_others, 0 })
