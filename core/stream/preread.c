/* preread: reads the first bytes of a client before the session is routed; the relay later sends
 * them to the peer first. PREREAD hooks call wr_stream_preread until they know enough; a later hook
 * gets the bytes an earlier one has read. The bytes are in the exchange's pool. */
#include "stream/stream.h"

static enum wr_verdict too_much(struct wr_exchange *x)
{
    wr_xlog(x, WR_LOG_ERROR, 0, "preread buffer full");
    return wr_reject(x, 400, NULL);
}

/* A hook sees the first datagram of a UDP session, and no more: the others are not part of it. */
static enum wr_verdict look_at_datagram(const struct wr_exchange *x, struct wr_str *seen)
{
    struct wr_str first = wr_flow_peek(x->s->flow);

    if (seen->p != NULL || first.n == 0)
        return WR_SKIP;
    *seen = first;
    return WR_PASS;
}

enum wr_verdict wr_stream_preread(struct wr_exchange *x, struct wr_str *seen)
{
    const struct wr_stream_conf *c = wr_conf_of(x, &wr_module_stream);
    struct wr_stream_ctx *ctx = wr_ctx_of(x, &wr_module_stream);
    enum wr_io io = WR_IO_OK;
    size_t got = 0;

    if (x->s->flow != NULL)
        return look_at_datagram(x, seen);
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
        return wr_reject(x, 200, "client closed connection while prereading");
    ctx->n += got;
    wr_bufq_clear(&x->preread);
    wr_bufq_borrow(&x->preread, ctx->preread, ctx->n);
    *seen = wr_str_of(ctx->preread, ctx->n);
    return WR_PASS;
}

/* preread_timeout limits the wait for these bytes, not the phases that follow. */
enum wr_verdict wr_stream_preread_over(struct wr_exchange *x)
{
    wr_timer_off(x->loop, &x->idle);
    return WR_PASS;
}
