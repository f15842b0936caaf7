/* stream_return: `return value;` answers a session with a text and closes it. Called in phase
 * CONTENT at layer 4: the text is a stored endpoint, and the ordinary relay sends it. */
#include "stream/stream.h"

struct return_conf {
    struct wr_template *text; /* NULL: no return in this server */
};

extern struct wr_module wr_module_return;

static enum wr_verdict return_run(struct wr_exchange *x)
{
    static const struct wr_stream_relay how = {
        .magic = WR_TYPE_STREAM_RELAY,
        .timeout_ms = 60000, .buffer_size = 16384, .half_close = true,
    };
    const struct return_conf *c = wr_conf_of(x, &wr_module_return);
    struct wr_bufq q = { 0 };
    struct wr_str text;

    if (c->text == NULL)
        return WR_PASS;
    text = wr_template_str(x, c->text);
    wr_bufq_borrow(&q, text.p, text.n);
    wr_endpoint_store(&x->peer, x->pool, wr_exchange_waiter(x), &q);
    return wr_stream_serve(x, &how);
}

static bool set_return(struct wr_cf *cf, void *conf)
{
    if (!wr_stream_content(cf))
        return false;
    return wr_set_template(cf, conf);
}

static const struct wr_directive directives[] = {
    WR_ROW("return", WR_L4 | WR_LV_SERVER, 1, 1, set_return, struct return_conf, text, NULL, NULL,
           "answers a session with a text and closes it"),
    { 0 }
};

struct wr_module wr_module_return = {
    .name = "return",
    .layers = WR_L4,
    .conf_size = sizeof(struct return_conf),
    .directives = directives,
    .phases = (const struct wr_phase_hook[]){ { WR_PH_CONTENT, WR_L4, return_run, 0 }, { 0 } },
};
