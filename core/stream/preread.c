/* preread: the first bytes of a client, looked at before the session is routed and not taken from
 * it: the relay sends them on first. PREREAD hooks call wr_stream_preread until they know enough;
 * what one has read the next one gets without reading. The bytes are of the exchange's pool. */
#include "stream/stream.h"

static enum wr_verdict too_much(struct wr_exchange *x)
{
    wr_xlog(x, WR_LOG_ERROR, 0, "preread buffer full");
    return wr_reject(x, 400, NULL);
}

enum wr_verdict wr_stream_preread(struct wr_exchange *x, struct wr_str *seen)
{
    const struct wr_stream_conf *c = wr_conf_of(x, &wr_module_stream);
    struct wr_stream_ctx *ctx = wr_ctx_of(x, &wr_module_stream);
    enum wr_io io = WR_IO_OK;
    size_t got = 0;

    if (ctx->preread == NULL) {
        ctx->preread = wr_pool_alloc(x->pool, c->preread_size);
        wr_timer_set(x->loop, &x->idle, c->preread_timeout_ms);
    }
    if (seen->n == ctx->n) {
        if (ctx->n >= c->preread_size)
            return too_much(x);
        io = wr_conn_read(&x->s->conn, ctx->preread + ctx->n, c->preread_size - ctx->n, &got);
    }
    if (io == WR_IO_AGAIN)
        return x->idle.fired ? wr_reject(x, 200, "preread timed out") : WR_HOLD;
    if (io != WR_IO_OK)
        return wr_reject(x, 200, "client ended before it was known what it wants");
    ctx->n += got;
    wr_bufq_clear(&x->preread);
    wr_bufq_borrow(&x->preread, ctx->preread, ctx->n);
    *seen = wr_str_of(ctx->preread, ctx->n);
    return WR_PASS;
}

/* The limit is on the wait for these bytes, not on what is done with them. */
enum wr_verdict wr_stream_preread_over(struct wr_exchange *x)
{
    wr_timer_off(x->loop, &x->idle);
    return WR_PASS;
}
