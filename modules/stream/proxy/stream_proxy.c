/* stream_proxy: proxy_pass at layer 4 and the other proxy_* directives. Called in phase CONTENT;
 * owns nothing at run time. */
#include "stream/stream.h"

struct proxy_conf {
    struct wr_upstream *upstream; /* proxy_pass to a group or an address */
    struct wr_template *target;   /* proxy_pass with variables */
    struct wr_upstream_rows rows;
    struct wr_stream_relay relay;
    struct wr_peer_tls tls;
    struct wr_announce announce;
    bool ssl;
};

extern struct wr_module wr_module_stream_proxy;

static bool set_pass(struct wr_cf *cf, void *conf)
{
    struct proxy_conf *c = conf;
    struct wr_str literal;
    struct wr_template *t;

    if (!wr_stream_content(cf))
        return false;
    t = wr_template_new(cf, 1, wr_cf_arg(cf, 1));
    if (t == NULL)
        return false;
    if (!wr_template_literal(t, &literal)) {
        c->target = t;
        return true;
    }
    c->upstream = wr_upstream_named(cf, 1, literal, 0);
    return c->upstream != NULL;
}

static enum wr_verdict content(struct wr_exchange *x)
{
    const struct proxy_conf *c = wr_conf_of(x, &wr_module_stream_proxy);
    struct wr_str target;

    if (c->upstream == NULL && c->target == NULL)
        return WR_PASS;
    wr_stream_relay_as(x, &c->relay);
    if (x->s->flow != NULL)
        wr_flow_limit(x->s->flow, c->relay.requests);
    if (c->upstream != NULL) {
        target = c->upstream->name;
        wr_upstream_start(x, c->upstream, &c->rows);
    } else {
        target = wr_template_str(x, c->target);
        if (!wr_upstream_start_text(x, target, 0, &c->rows))
            return wr_reject(x, 500, NULL);
    }
    if (c->announce.on)
        x->tries->announce = wr_announce_text(x, &c->announce);
    if (c->ssl)
        wr_tries_secure(x, &c->tls, target);
    return WR_TAKEN;
}

/* proxy_responses: the field is 0 where it is not configured. */
static bool set_responses(struct wr_cf *cf, void *conf)
{
    uint32_t *each = WR_FIELD(cf, conf, uint32_t);
    uint64_t v;

    if (!wr_str_u64(wr_cf_arg(cf, 1), &v) || v >= UINT32_MAX)
        return wr_cf_error(cf, 1, "invalid number \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 1)));
    *each = (uint32_t)v + 1;
    return true;
}

/* Directives in force in a server that gets datagrams, and need a connection. */
static bool check_datagrams(struct wr_cf *cf, const struct wr_scope *scope,
                            const struct proxy_conf *c)
{
    const struct wr_stream_server *sv = WR_CHECK(scope->object, STREAM_SERVER);
    const char *word = c->ssl ? "proxy_ssl" : c->announce.on ? "proxy_protocol" : NULL;

    return sv->datagrams == NULL || word == NULL || (c->upstream == NULL && c->target == NULL)
        || wr_cf_error_at(cf, sv->datagrams, 0, "\"%s on\" needs a connection to the server, and "
                          "this server block gets datagrams (udp): write a server block of its own "
                          "for each", word);
}

static bool finish(struct wr_cf *cf, struct wr_scope *scope, void *conf)
{
    struct proxy_conf *c = conf;

    if (scope->level == WR_LV_SERVER && !check_datagrams(cf, scope, c))
        return false;
    WR_TYPED(&c->relay, STREAM_RELAY);
    if (c->upstream != NULL && scope->level == WR_LV_SERVER)
        wr_upstream_used(cf, &(struct wr_upstream_use){
            .scope = scope, .u = c->upstream, .rows = &c->rows, .tls = c->ssl ? &c->tls : NULL,
            .host = c->upstream->name, .announce = c->announce.on ? c->announce.version : 0 });
    if (scope->level != WR_LV_SERVER || (c->upstream == NULL && c->target == NULL))
        return true;
    if (!wr_announce_finish(cf, &c->announce))
        return false;
    if (c->tls.start != WR_START_OFF && !c->ssl)
        return wr_cf_error(cf, 0, "\"proxy_ssl_start\" needs \"proxy_ssl on\"");
    return !c->ssl || wr_peer_tls_finish(cf, &c->tls, "proxy");
}

static const struct wr_enum on_off[] = {
    { "on", WR_NEXT_ERROR | WR_NEXT_TIMEOUT },
    { "off", WR_NEXT_OFF },
    { 0 },
};

static const struct wr_directive directives[] = {
    WR_CUSTOM("proxy_pass", WR_L4 | WR_LV_SERVER, 1, 1, set_pass, NULL,
              "the upstream, address or name that sessions are sent to"),
    WR_UPSTREAM_ROWS("proxy", WR_L4, struct proxy_conf, rows),
    WR_ENUM("proxy_next_upstream", WR_L4 | WR_IN_LOCATIONS, struct proxy_conf, rows.next, on_off,
            "on", "tries another server when a connection cannot be made"),
    WR_MSEC("proxy_timeout", WR_L4 | WR_IN_LOCATIONS, struct proxy_conf, relay.timeout_ms, "10m",
            "a session without traffic in either direction is closed after this time"),
    WR_SIZE("proxy_buffer_size", WR_L4 | WR_IN_LOCATIONS, struct proxy_conf, relay.buffer_size,
            "16k", "most bytes buffered in each direction"),
    WR_AMOUNT("proxy_upload_rate", WR_L4 | WR_IN_LOCATIONS, struct proxy_conf, relay.upload_rate,
              "0", "bytes a second read from a client; 0: no limit"),
    WR_AMOUNT("proxy_download_rate", WR_L4 | WR_IN_LOCATIONS, struct proxy_conf,
              relay.download_rate, "0", "bytes a second read from a server; 0: no limit"),
    WR_NUM("proxy_requests", WR_L4 | WR_IN_LOCATIONS, struct proxy_conf, relay.requests, "0",
           "UDP: datagrams of a client in one session; the next begins another; 0: any number"),
    WR_ROW("proxy_responses", WR_L4 | WR_IN_LOCATIONS, 1, 1, set_responses, struct proxy_conf,
           relay.responses, NULL, NULL,
           "UDP: datagrams that answer each of the client; with all of them a session ends"),
    WR_FLAG("proxy_half_close", WR_L4 | WR_IN_LOCATIONS, struct proxy_conf, relay.half_close, "off",
            "keeps one direction open when the other has ended"),
    WR_ANNOUNCE_ROWS(WR_L4, struct proxy_conf, announce),
    WR_FLAG("proxy_session_drop", WR_L4 | WR_IN_LOCATIONS, struct proxy_conf, rows.session_drop,
            "off", "ends sessions when their server goes down; on_down of a group comes first"),
    WR_FLAG("proxy_ssl", WR_L4 | WR_IN_LOCATIONS, struct proxy_conf, ssl, "off",
            "speaks TLS to the server"),
    WR_PEER_TLS_ROWS("proxy", WR_L4 | WR_IN_LOCATIONS, struct proxy_conf, tls, wr_set_peer_alpn),
    WR_ENUM("proxy_ssl_start", WR_L4 | WR_IN_LOCATIONS, struct proxy_conf, tls.start,
            wr_start_words, "off",
            "asks the server in its own protocol to begin TLS: pgsql, smtp, imap, ldap"),
    { 0 },
};

struct wr_module wr_module_stream_proxy = {
    .name = "proxy",
    .layers = WR_L4,
    .conf_size = sizeof(struct proxy_conf),
    .directives = directives,
    .finish = finish,
    .phases = (const struct wr_phase_hook[]){
        { .phase = WR_PH_CONTENT, .layers = WR_L4, .run = content },
        { 0 },
    },
};
