/* preread: the first bytes of a client, looked at before the session is routed and not taken from
 * it: the relay sends them on first. PREREAD hooks call wr_stream_preread until they know enough.
 *  */
#include "stream/stream.h"

enum wr_verdict wr_stream_preread(struct wr_exchange *x, struct wr_str *seen)
{
    const struct wr_stream_conf *c = wr_conf_of(x, &wr_module_stream);
    struct wr_stream_ctx *ctx = wr_ctx_of(x, &wr_module_stream);
    size_t got = 0;
    enum wr_io io;

    if (ctx->preread == NULL) {
        ctx->preread = wr_pool_alloc(x->pool, c->preread_size);
        wr_timer_set(x->loop, &x->idle, c->preread_timeout_ms);
    }
    if (ctx->n >= c->preread_size)
        return wr_reject(x, 400, "preread buffer full");
    io = wr_conn_read(&x->s->conn, ctx->preread + ctx->n, c->preread_size - ctx->n, &got);
    ctx->n += got;
    wr_bufq_clear(&x->preread);
    wr_bufq_borrow(&x->preread, ctx->preread, ctx->n);
    *seen = wr_str_of(ctx->preread, ctx->n);
    if (io == WR_IO_OK)
        return WR_PASS;
    if (io != WR_IO_AGAIN)
        return WR_SKIP;
    return x->idle.fired ? wr_reject(x, 200, "preread timed out") : WR_HOLD;
}
