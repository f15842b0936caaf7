/* protocol_preread: $preread_protocol, the protocol of a client by its first bytes, for `map`,
 * `pass` and proxy_pass. Called in phase PREREAD, before ssl_preread. A client that says nothing
 * until preread_timeout goes on with an empty value: in some protocols the server speaks first. */
#include "stream/stream.h"

#include "protocol_detect.h"

struct protocol_conf {
    bool on;
};
struct protocol_ctx {
    struct wr_str seen, protocol;
};
extern struct wr_module wr_module_protocol_preread;

static enum wr_verdict preread(struct wr_exchange *x)
{
    const struct protocol_conf *c = wr_conf_of(x, &wr_module_protocol_preread);
    struct protocol_ctx *ctx;
    enum wr_verdict v;

    if (!c->on)
        return WR_PASS;
    ctx = wr_ctx_of(x, &wr_module_protocol_preread);
    for (;;) {
        if (x->idle.fired) {
            wr_timer_off(x->loop, &x->idle);
            wr_xlog(x, WR_LOG_INFO, 0, "the client's protocol is not known in time");
            return WR_PASS;
        }
        v = wr_stream_preread(x, &ctx->seen);
        if (v == WR_SKIP) /* all of the first datagram was seen */
            return WR_PASS;
        if (v != WR_PASS)
            return v;
        ctx->protocol = wr_protocol_detect(ctx->seen);
        if (ctx->protocol.n > 0)
            return WR_PASS;
    }
}

static bool get_protocol(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct protocol_ctx *ctx = wr_ctx_of(x, &wr_module_protocol_preread);

    (void)v;
    *out = ctx->protocol.n > 0 ? ctx->protocol : WR_STR("");
    return true;
}

static bool is_on(const void *conf)
{
    return ((const struct protocol_conf *)conf)->on;
}

static const struct wr_directive directives[] = {
    WR_FLAG("protocol_preread", WR_L4 | WR_IN_LOCATIONS, struct protocol_conf, on, "off",
            "reads the client's first bytes for $preread_protocol: tls, http, http2, ssh, postgres,"
            " redis, rdp, other; empty after preread_timeout"),
    { 0 },
};

static const struct wr_variable variables[] = {
    { .name = "preread_protocol", .layers = WR_L4, .get = get_protocol },
    { .name = NULL },
};

struct wr_module wr_module_protocol_preread = {
    .name = "protocol_preread",
    .layers = WR_L4,
    .conf_size = sizeof(struct protocol_conf),
    .ctx_size = sizeof(struct protocol_ctx),
    .directives = directives,
    .variables = variables,
    .has_work = is_on,
    .phases = (const struct wr_phase_hook[]){
        { .phase = WR_PH_PREREAD, .layers = WR_L4, .run = preread, .rank = -1 },
        { .run = NULL },
    },
};
