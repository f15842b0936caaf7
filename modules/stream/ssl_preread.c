/* ssl_preread: protocol, server name and ALPN of a TLS client as variables, read from its
 * ClientHello before the session is routed. The upstream makes the handshake: the bytes are passed
 * on unchanged. Called in phase PREREAD; client_hello.c reads the bytes. The state belongs to the
 * exchange.
 *
 * As in nginx, a session whose client does not speak TLS goes on, with empty variables. Unlike
 * nginx, another protocol is recognised at its first byte, and $ssl_preread_protocol is the highest
 * of supported_versions, not always TLSv1.3. */
#include "stream/stream.h"

#include "client_hello.h"

struct ssl_preread_conf {
    bool on;
};
struct ssl_preread_ctx {
    struct wr_str seen;
    struct wr_client_hello hello;
    bool looked;
};

extern struct wr_module wr_module_ssl_preread;

/* Choose the server of that name, as if weir made the handshake. */
static enum wr_verdict choose_server(struct wr_exchange *x, struct wr_str name)
{
    const struct wr_scope *found = x->layer->by_name(x->s, name);

    if (found == NULL)
        return wr_reject(x, 500, NULL);
    wr_exchange_scope(x, found);
    return WR_PASS;
}

static enum wr_verdict preread(struct wr_exchange *x)
{
    const struct ssl_preread_conf *c = wr_conf_of(x, &wr_module_ssl_preread);
    struct ssl_preread_ctx *ctx;
    enum wr_verdict v;

    if (!c->on)
        return WR_PASS;
    ctx = wr_ctx_of(x, &wr_module_ssl_preread);
    while ((v = wr_stream_preread(x, &ctx->seen)) == WR_PASS) {
        ctx->looked = true;
        if (wr_client_hello_parse(ctx->seen, x->pool, &ctx->hello) == WR_HELLO_MORE)
            continue;
        return ctx->hello.name.n > 0 ? choose_server(x, ctx->hello.name) : WR_PASS;
    }
    return v;
}

enum fact { PROTOCOL, SERVER_NAME, ALPN_PROTOCOLS };

static bool get(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct ssl_preread_ctx *ctx = wr_ctx_of(x, &wr_module_ssl_preread);

    switch ((enum fact)v->data) {
    case PROTOCOL:
        *out = wr_client_hello_version(ctx->hello.version);
        break;
    case SERVER_NAME:
        *out = ctx->hello.name;
        break;
    case ALPN_PROTOCOLS:
        *out = ctx->hello.alpn;
        break;
    }
    if (out->n == 0)
        *out = WR_STR("");
    return ctx->looked;
}

static const struct wr_directive directives[] = {
    WR_FLAG("ssl_preread", WR_L4 | WR_IN_LOCATIONS, struct ssl_preread_conf, on, "off",
            "reads the ClientHello for the variables $ssl_preread_*, without terminating TLS"),
    { 0 },
};

static const struct wr_variable variables[] = {
    { "ssl_preread_protocol", WR_L4, 0, get, PROTOCOL, NULL },
    { "ssl_preread_server_name", WR_L4, 0, get, SERVER_NAME, NULL },
    { "ssl_preread_alpn_protocols", WR_L4, 0, get, ALPN_PROTOCOLS, NULL },
    { 0 },
};

struct wr_module wr_module_ssl_preread = {
    .name = "ssl_preread",
    .layers = WR_L4,
    .conf_size = sizeof(struct ssl_preread_conf),
    .ctx_size = sizeof(struct ssl_preread_ctx),
    .directives = directives,
    .variables = variables,
    .phases = (const struct wr_phase_hook[]){ { WR_PH_PREREAD, WR_L4, preread, 0 }, { 0 } },
};
