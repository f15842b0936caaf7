/* stream_pass: `pass ADDRESS;` hands a session to another listener of this weir, of either layer,
 * as if the client had connected there: with the bytes that were read, its TLS and its real
 * address, and under that listener's own rules. Called in phase CONTENT; the connection moves when
 * the exchange has ended and was logged. */
#include "stream/stream.h"

#define PASSES_MAX 8         /* more are a loop */

struct pass_conf {
    struct wr_template *target;      /* NULL: no pass in this server */
    const struct wr_node *node;
    const struct wr_stream_server *server;
    const struct wr_listener *to;    /* NULL: the target has variables */
};
struct pass_ctx {
    const struct wr_listener *to;
};
struct pass_state {
    WR_VEC(struct pass_conf *) all;
};
extern struct wr_module wr_module_pass;

static void hand_over(struct wr_exchange *x)
{
    const struct pass_ctx *ctx = wr_ctx_of(x, &wr_module_pass);
    const struct wr_stream_ctx *stream = wr_ctx_of(x, &wr_module_stream);

    wr_conn_unread(&x->s->conn, stream->preread, stream->n);
    wr_session_pass(x->s, ctx->to, x->client_addr);
    wr_session_end(x->s);
}

static enum wr_go pass_run(struct wr_exchange *x)
{
    x->over = hand_over;
    return wr_finish(x, 200);
}

static const struct wr_step step_pass = { "pass", "passing connection", pass_run };

static const struct wr_listener *find_target(struct wr_exchange *x, const struct pass_conf *c)
{
    const struct wr_listener *to = c->to;
    struct wr_addr a;
    struct wr_str text;

    if (to != NULL)
        return to;
    text = wr_template_str(x, c->target);
    if (wr_addr_parse(text, 0, &a))
        to = wr_conf_listener_at(x->conf, &a);
    if (to == NULL)
        wr_xlog(x, WR_LOG_ERROR, 0, "nothing listens at \"" WR_FMT "\" of \"pass\"", WR_ARG(text));
    return to;
}

static enum wr_verdict content(struct wr_exchange *x)
{
    const struct pass_conf *c = wr_conf_of(x, &wr_module_pass);
    struct pass_ctx *ctx;

    if (c->target == NULL)
        return WR_PASS;
    ctx = wr_ctx_of(x, &wr_module_pass);
    ctx->to = find_target(x, c);
    if (ctx->to == NULL)
        return wr_reject(x, 500, NULL);
    if (x->s->passes >= PASSES_MAX || ctx->to == x->s->listener) {
        wr_xlog(x, WR_LOG_ERROR, 0, "pass cycle at " WR_FMT, WR_ARG(ctx->to->text));
        return wr_reject(x, 500, NULL);
    }
    if (ctx->to->ssl && wr_tls_up(&x->s->conn)) {
        wr_xlog(x, WR_LOG_ERROR, 0, "cannot pass to " WR_FMT ", which listens with \"ssl\": the"
                " TLS of the client ends here", WR_ARG(ctx->to->text));
        return wr_reject(x, 500, NULL);
    }
    wr_xlog(x, WR_LOG_INFO, 0, "passed to " WR_FMT, WR_ARG(ctx->to->text));
    x->step = &step_pass;
    return WR_TAKEN;
}

/* ---- configuration ---- */

static bool prepare(struct wr_cf *cf)
{
    wr_cf_state(cf, &wr_module_pass) = WR_NEW(cf->pool, struct pass_state);
    return true;
}

static bool set_pass(struct wr_cf *cf, void *conf)
{
    struct pass_state *state = wr_cf_state(cf, &wr_module_pass);
    struct pass_conf *c = conf;
    struct wr_str literal;
    struct wr_addr a;

    if (!wr_stream_content(cf))
        return false;
    c->node = cf->node;
    c->server = WR_CHECK(cf->scope->object, STREAM_SERVER);
    c->target = wr_template_new(cf, 1, wr_cf_arg(cf, 1));
    if (c->target == NULL)
        return false;
    *wr_vec_push(cf->pool, &state->all) = c;
    if (!wr_template_literal(c->target, &literal))
        return true;
    if (!wr_addr_parse(literal, 0, &a) || (a.sa.sa_family != AF_UNIX && wr_addr_port(&a) == 0))
        return wr_cf_error_hint(cf, 1, "write an address as in \"listen\": IP:PORT or unix:PATH",
                                "invalid address \"" WR_FMT "\"", WR_ARG(literal));
    return true;
}

static bool check_target(struct wr_cf *cf, struct pass_conf *c)
{
    struct wr_str literal;
    struct wr_addr a;

    if (c->server->datagrams != NULL)
        return wr_cf_error_at(cf, c->server->datagrams, 0, "\"pass\" needs a connection, and this"
                              " server block gets datagrams (udp)");
    if (!wr_template_literal(c->target, &literal))
        return true;
    if (wr_addr_parse(literal, 0, &a))
        c->to = wr_conf_listener_at(cf->conf, &a);
    return c->to != NULL
        || wr_cf_error_at(cf, c->node, 1, "nothing listens at \"" WR_FMT "\": pass needs the"
                          " address of a \"listen\"", WR_ARG(c->node->words[1].text));
}

/* All listeners are known. */
static bool check(struct wr_cf *cf)
{
    const struct pass_state *state = wr_cf_state(cf, &wr_module_pass);
    bool ok = true;

    for (uint32_t i = 0; i < state->all.n; i++)
        ok = check_target(cf, state->all.at[i]) && ok;
    return ok;
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("pass", WR_L4 | WR_LV_SERVER, 1, 1, set_pass, NULL,
              "hands the session to another listener, of stream {} or http {}, by its address"),
    { 0 },
};

struct wr_module wr_module_pass = {
    .name = "pass",
    .layers = WR_L4,
    .conf_size = sizeof(struct pass_conf),
    .ctx_size = sizeof(struct pass_ctx),
    .directives = directives,
    .prepare = prepare,
    .check = check,
    .phases = (const struct wr_phase_hook[]){
        { .phase = WR_PH_CONTENT, .layers = WR_L4, .run = content },
        { .run = NULL },
    },
};
