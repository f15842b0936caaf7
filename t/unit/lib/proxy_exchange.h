/* proxy_exchange: a request in a location of a real configuration, without a connection: for tests
 * of what proxy modules make of requests and replies. */
#ifndef PROXY_EXCHANGE_H
#define PROXY_EXCHANGE_H

#include "http1/http1.h"
#include "unit.h"

struct proxied {
    struct wr_conf *conf;
    struct wr_session s;
    struct wr_exchange x;
    struct wr_http h;
};

/* "LINE text\n" of each finding; in the pool of the tree. */
static WR_UNUSED const char *findings(const struct wr_conf *c)
{
    struct wr_text out = wr_text_grow(c->pool, 256, 1 << 20);
    const char *s;

    for (const struct wr_diag *d = c->tree->diags; d != NULL; d = d->next)
        wr_text_fmt(&out, "%u %s%s\n", d->at.line, d->level == WR_LOG_WARN ? "warn " : "", d->text);
    return wr_text_cstr(&out, &s) ? s : "";
}

static WR_UNUSED struct wr_conf *load(const char *http)
{
    char text[8192];

    wr_modules_init();
    wr_clock_update();
    wr_error_log_default = "stderr";
    ck_assert_uint_lt(strlen(http), sizeof(text) - 32);
    snprintf(text, sizeof(text), "http { access_log off; %s }", http);
    return wr_conf_load_text("t.conf", wr_str_c(text), WR_STR(""), "/");
}

/* The scope is the first location (of the first location, ...) of the first server. */
static const struct wr_scope *innermost(const struct wr_conf *c, struct wr_http_server **server)
{
    const struct wr_scope *s = wr_conf_layer(c, WR_L7)->children;

    *server = s->object;
    while (s->children != NULL && s->children->level == WR_LV_LOCATION)
        s = s->children;
    return s;
}

static void take_request(struct proxied *p, const char *text)
{
    struct wr_head_limits limits = { .line = 8192, .total = 32768 };
    struct wr_h1_progress progress = { 0 };
    struct wr_head_rules rules = { .limits = &limits, .pool = p->x.pool };
    enum wr_parse r = wr_h1_request(wr_pool_str(p->x.pool, wr_str_c(text)), &rules, &progress,
                                    &p->h.req);

    ck_assert_msg(r == WR_PARSE_OK, "%s: %s", text, progress.why);
    ck_assert(wr_uri_normalize(p->x.pool, p->h.req.target, true, &p->h.req));
    p->h.upstream_method = p->h.req.method;
}

static WR_UNUSED void proxied_begin(struct proxied *p, const char *http, const char *request)
{
    static struct wr_listener listener;

    memset(p, 0, sizeof(*p));
    p->conf = load(http);
    ck_assert_msg(p->conf->tree->errors == 0, "%s: %s", http, findings(p->conf));
    p->s.conf = p->conf;
    p->x.pool = wr_pool_new(0);
    p->s.layer = p->x.layer = &wr_layer_http;
    p->s.listener = &listener;
    p->s.conn.fd = -1;
    ck_assert(wr_addr_parse(WR_STR("192.0.2.1:5000"), 0, &p->s.client));
    ck_assert(wr_addr_parse(WR_STR("127.0.0.1:8080"), 0, &p->s.local));
    p->x.s = &p->s;
    p->x.main = &p->x;
    p->x.conf = p->conf;
    p->x.client_addr = &p->s.client;
    p->x.of_layer = &p->h;
    WR_TYPED(&p->h, HTTP);
    p->x.scope = innermost(p->conf, &p->h.server);
    p->x.log = wr_scope_log(p->x.scope);
    p->h.redirects = 10;
    wr_response_init(&p->h.res);
    take_request(p, request);
}

static WR_UNUSED void proxied_end(struct proxied *p)
{
    wr_pool_free(p->x.pool);
    wr_conf_free(p->conf);
}

#endif
