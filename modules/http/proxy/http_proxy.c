/* http_proxy: proxy_pass at layer 7, its directives, and the CONTENT hook that gives a request to
 * the engine. The request and the reply are made in the files that proxy_impl.h lists. */
#include "../content_ranks.h"
#include "proxy_impl.h"

#include "http1/http1.h"

/* ---- proxy_pass ---- */

static bool has_no_room_for_uri(const struct wr_cf *cf)
{
    const struct wr_location *l = WR_CHECK(cf->scope->object, LOCATION);

    return cf->scope->level != WR_LV_LOCATION || l->kind == WR_LOC_REGEX
        || l->kind == WR_LOC_NAMED;
}

static bool set_pass(struct wr_cf *cf, void *conf)
{
    struct wr_proxy_conf *c = conf;
    struct wr_location *l = WR_CHECK(cf->scope->object, LOCATION);
    struct wr_str arg = wr_cf_arg(cf, 1);
    const char *why;

    c->pass = (struct wr_proxy_pass){ .node = cf->node };
    if (cf->scope->level == WR_LV_LOCATION) {
        c->pass.location = l->name;
        l->auto_redirect = wr_str_ends(l->name, WR_STR("/")) && !has_no_room_for_uri(cf);
    }
    if (wr_str_find(arg, '$') < arg.n) {
        c->pass.url_tpl = wr_template_new(cf, 1, arg);
        return c->pass.url_tpl != NULL;
    }
    why = wr_proxy_url_parse(arg, &c->pass.url);
    if (why != NULL)
        return wr_cf_error(cf, 1, "%s", why);
    if (c->pass.url.uri.p != NULL && has_no_room_for_uri(cf))
        return wr_cf_error(cf, 1,
                           "\"proxy_pass\" cannot have URI part in location given by regular "
                           "expression, or inside named location, or inside \"if\" statement, or "
                           "inside \"limit_except\" block");
    c->pass.upstream = wr_upstream_named(cf, 1, c->pass.url.target,
                                         wr_proxy_url_port(&c->pass.url));
    return c->pass.upstream != NULL;
}

static const struct wr_http_proxy_ops ops;

static enum wr_verdict pass_on(struct wr_exchange *x, const struct wr_proxy_conf *c,
                               const struct wr_proxy_url *url)
{
    struct wr_upstream *u = c->pass.upstream;
    enum wr_verdict v = wr_http_proxy(x, &ops, &c->base, u, url->target, wr_proxy_url_port(url));

    if (v == WR_TAKEN && url->secure && wr_http_of(x)->asking)
        wr_tries_secure(x, &c->tls, url->host);
    if (v == WR_TAKEN && c->announce.on && wr_http_of(x)->asking)
        x->tries->announce = wr_announce_text(x, &c->announce);
    return v;
}

/* Evaluate the URL, which has variables, for this request. */
static enum wr_verdict pass_to_url(struct wr_exchange *x, const struct wr_proxy_conf *c)
{
    struct wr_proxy_ctx *ctx = wr_ctx_of(x, &wr_module_http_proxy);
    struct wr_str url = wr_template_str(x, c->pass.url_tpl);
    const char *why = url.p == NULL ? "too long URL" : wr_proxy_url_parse(url, &ctx->url);

    if (why != NULL) {
        wr_xlog(x, WR_LOG_ERROR, 0, "%s in \"" WR_FMT "\"", why, WR_ARG(url));
        return wr_reject(x, 500, NULL);
    }
    return pass_on(x, c, &ctx->url);
}

static enum wr_verdict content(struct wr_exchange *x)
{
    const struct wr_proxy_conf *c = wr_conf_of(x, &wr_module_http_proxy);

    if (c->pass.node == NULL)
        return WR_PASS;
    if (c->pass.url_tpl != NULL)
        return pass_to_url(x, c);
    return pass_on(x, c, &c->pass.url);
}

const struct wr_proxy_url *wr_proxy_url_of(const struct wr_exchange *x)
{
    static const struct wr_proxy_url none;
    const struct wr_proxy_conf *c = wr_conf_of(x, &wr_module_http_proxy);
    const struct wr_proxy_ctx *ctx = x->ctx != NULL ? x->ctx[wr_module_http_proxy.index] : NULL;

    if (c->pass.url_tpl == NULL)
        return &c->pass.url;
    return ctx != NULL ? &ctx->url : &none;
}

/* "http://127.0.0.1:8080/uri", with the address of the current try. */
static void log_url(const struct wr_exchange *x, struct wr_text *t)
{
    const struct wr_proxy_conf *c = wr_conf_of(x, &wr_module_http_proxy);
    const struct wr_try *try = &x->tries->all.at[x->tries->all.n - 1];

    wr_text_c(t, wr_proxy_url_of(x)->secure ? "https://" : "http://");
    wr_try_peer_text(t, try);
    wr_text_c(t, try->addr.sa.sa_family == AF_UNIX ? ":" : "");
    wr_text_str(t, wr_proxy_target(x->pool, wr_http_of(x), &c->pass, wr_proxy_url_of(x)));
}

/* "http://backend/uri", with the name in proxy_pass. */
static void put_url(struct wr_exchange *x, struct wr_text *t)
{
    const struct wr_proxy_conf *c = wr_conf_of(x, &wr_module_http_proxy);
    const struct wr_proxy_url *url = wr_proxy_url_of(x);

    wr_text_str(t, url->origin);
    wr_text_str(t, wr_proxy_target(x->pool, wr_http_of(x), &c->pass, url));
}

static const struct wr_http_proxy_ops ops = {
    .name = "proxy",
    .url = put_url,
    .request = wr_proxy_request,
    .reply = wr_proxy_reply,
    .log_url = log_url,
};

/* ---- variables ---- */

static bool get_host(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = wr_proxy_url_of(x)->host;
    return out->p != NULL;
}

static bool get_port(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = wr_proxy_url_of(x)->port;
    return out->p != NULL;
}

/* The values of X-Forwarded-For, followed by the client's address. */
static bool get_forwarded_for(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_fields *fields = &wr_http_of(x)->req.fields;
    struct wr_text t = wr_text_grow(x->pool, 64, 1 << 20);

    (void)v;
    for (const struct wr_field *f = wr_fields_first(fields, WR_F_X_FORWARDED_FOR); f != NULL;
         f = wr_fields_find(fields, wr_field_name(WR_F_X_FORWARDED_FOR), f)) {
        wr_text_str(&t, f->value);
        wr_text_str(&t, WR_STR(", "));
    }
    wr_addr_text_ip(x->client_addr, &t);
    *out = wr_text_view(&t);
    return true;
}

static const struct wr_variable variables[] = {
    { .name = "proxy_host", .layers = WR_L7, .get = get_host },
    { .name = "proxy_port", .layers = WR_L7, .get = get_port },
    { .name = "proxy_add_x_forwarded_for", .layers = WR_L7, .get = get_forwarded_for },
    { 0 },
};

/* ---- the other directives ---- */

static bool set_hide(struct wr_cf *cf, void *conf)
{
    struct wr_proxy_conf *c = conf;

    if (cf->first)
        memset(&c->hide, 0, sizeof(c->hide));
    *wr_vec_push(cf->pool, &c->hide) = wr_cf_arg(cf, 1);
    return true;
}

static bool set_show(struct wr_cf *cf, void *conf)
{
    struct wr_proxy_conf *c = conf;

    if (cf->first)
        memset(&c->show, 0, sizeof(c->show));
    *wr_vec_push(cf->pool, &c->show) = wr_cf_arg(cf, 1);
    return true;
}

static bool set_version(struct wr_cf *cf, void *conf)
{
    struct wr_proxy_conf *c = conf;
    struct wr_str arg = wr_cf_arg(cf, 1);

    c->http10 = wr_str_is(arg, "1.0");
    c->base.speaker = c->http10 || wr_str_is(arg, "1.1") ? &wr_http1 : wr_speaker_of_version(arg);
    if (c->base.speaker == NULL && wr_str_is(arg, "2"))
        return wr_cf_error(cf, 1, "HTTP/2 to servers is not in this build");
    return c->base.speaker != NULL
        || wr_cf_error_hint(cf, 1, "allowed: 1.0, 1.1", "invalid value \"" WR_FMT "\"",
                            WR_ARG(arg));
}

/* A server may choose any of the protocols. If weir does not speak it, every request fails. */
static bool set_alpn(struct wr_cf *cf, void *conf)
{
    for (uint32_t i = 1; i <= cf->nargs; i++) {
        struct wr_str name = wr_cf_arg(cf, i);

        if (wr_str_find(name, '$') == name.n && !wr_speakers_reach(name))
            wr_cf_warn(cf, i, "\"" WR_FMT "\" is offered, but weir speaks only %s to servers",
                       WR_ARG(name), wr_http1.name);
    }
    return wr_set_peer_alpn(cf, conf);
}

static void enter(struct wr_scope *scope, void *conf)
{
    struct wr_proxy_conf *c = conf;

    (void)scope;
    c->pass = (struct wr_proxy_pass){ 0 };
}

static bool finish(struct wr_cf *cf, struct wr_scope *scope, void *conf)
{
    struct wr_proxy_conf *c = conf;

    c->base.chunked_out = !c->http10;
    if (!wr_http_proxy_finish(cf, &c->base, "proxy"))
        return false;
    if (c->pass.node == NULL)
        return true;
    if (!wr_announce_finish(cf, &c->announce))
        return false;
    wr_http_proxy_folders(cf, &c->base);
    if ((c->pass.url.secure || c->pass.url_tpl != NULL)
        && !wr_peer_tls_finish(cf, &c->tls, "proxy"))
        return false;
    wr_proxy_plan_make(cf->pool, c);
    if (c->pass.upstream != NULL)
        wr_upstream_used(cf, &(struct wr_upstream_use){
            .scope = scope, .u = c->pass.upstream, .rows = &c->base.rows,
            .tls = c->pass.url.secure ? &c->tls : NULL, .host = c->pass.url.host,
            .host_field = c->plan.host, .announce = c->announce.on ? c->announce.version : 0 });
    wr_proxy_hidden_make(cf->pool, c);
    return wr_proxy_rules_finish(cf, c);
}

#define CONF struct wr_proxy_conf
static const struct wr_directive directives[] = {
    WR_CUSTOM("proxy_pass",
              WR_L7 | WR_LV_LOCATION | WR_LV_LOCATION_IF | WR_LV_LIMIT_EXCEPT | WR_LOCAL, 1, 1,
              set_pass, NULL,
              "where requests go: http:// or https://, then an upstream, name, address or "
              "unix:path:, then a URI"),
    WR_HTTP_PROXY_ROWS("proxy", WR_PROXY_TEMP_PATH, CONF, base),
    WR_CUSTOM("proxy_set_header", WR_L7 | WR_IN_LOCATIONS | WR_MULTI, 2, 2, wr_proxy_set_header,
              NULL,
              "sets a field of the request to the server, or removes it (empty); replaces the "
              "outer list"),
    WR_PEER_TLS_ROWS("proxy", WR_L7 | WR_IN_LOCATIONS, CONF, tls, set_alpn),
    WR_ANNOUNCE_ROWS(WR_L7, CONF, announce),
    WR_TEMPLATE("proxy_set_body", WR_L7 | WR_IN_LOCATIONS, CONF, base.set_body, NULL,
                "text to send instead of the client's body"),
    WR_TEMPLATE("proxy_method", WR_L7 | WR_IN_LOCATIONS, CONF, method, NULL,
                "method of the request to the server, instead of the client's"),
    WR_CUSTOM("proxy_http_version", WR_L7 | WR_IN_LOCATIONS, 1, 1, set_version, "1.1",
              "1.1 keeps connections to servers open, 1.0 does not"),
    WR_FLAG("proxy_pass_trailers", WR_L7 | WR_IN_LOCATIONS, CONF, base.pass_trailers, "off",
            "passes on the fields after a chunked reply"),
    WR_CUSTOM("proxy_hide_header", WR_L7 | WR_IN_LOCATIONS | WR_MULTI, 1, 1, set_hide, NULL,
              "a field of replies that is not passed to clients"),
    WR_CUSTOM("proxy_pass_header", WR_L7 | WR_IN_LOCATIONS | WR_MULTI, 1, 1, set_show, NULL,
              "a field that is passed although hidden by default (Date, Server, X-Accel-...)"),
    WR_CUSTOM("proxy_redirect", WR_L7 | WR_IN_LOCATIONS | WR_MULTI, 1, 2, wr_proxy_set_redirect,
              NULL,
              "replaces the beginning of Location and Refresh: default, off, or text (~regex) and "
              "its replacement"),
    WR_CUSTOM("proxy_cookie_domain", WR_L7 | WR_IN_LOCATIONS | WR_MULTI, 1, 2,
              wr_proxy_set_cookie_domain, NULL,
              "replaces the domain of cookies: off, or a domain (~regex) and its replacement"),
    WR_CUSTOM("proxy_cookie_path", WR_L7 | WR_IN_LOCATIONS | WR_MULTI, 1, 2,
              wr_proxy_set_cookie_path, NULL,
              "replaces the path of cookies: off, or its beginning (~regex) and a replacement"),
    WR_CUSTOM("proxy_cookie_flags", WR_L7 | WR_IN_LOCATIONS | WR_MULTI, 1, 4,
              wr_proxy_set_cookie_flags, NULL,
              "sets or removes Secure, HttpOnly and SameSite of a cookie (~regex); or off"),
    { .name = "proxy_headers_hash_max_size", .where = WR_L7 | WR_IN_LOCATIONS, .min = 1, .max = 1,
      .set = wr_set_ignored_num, .help = "no effect: names are compared by length first" },
    { .name = "proxy_headers_hash_bucket_size", .where = WR_L7 | WR_IN_LOCATIONS, .min = 1,
      .max = 1, .set = wr_set_ignored_num,
      .help = "no effect: names are compared by length first" },
    { 0 },
};

struct wr_module wr_module_http_proxy = {
    .name = "proxy",
    .layers = WR_L7,
    .conf_size = sizeof(struct wr_proxy_conf),
    .ctx_size = sizeof(struct wr_proxy_ctx),
    .directives = directives,
    .variables = variables,
    .phases = (const struct wr_phase_hook[]){
        { .phase = WR_PH_CONTENT, .layers = WR_L7, .run = content, .rank = WR_CONTENT_NAMED },
        { 0 },
    },
    .enter = enter,
    .finish = finish,
};
