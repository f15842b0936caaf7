/* stream_datagrams: the step relay of a UDP session: datagrams of the client to the peer, and back.
 * The layer calls wr_stream_flow_connected. Owns the copies of datagrams that no peer has answered:
 * an ICMP error before the first answer is the failure of this peer, and another one gets them. */
#include "stream/stream_impl.h"

#include <errno.h>

#define ROUNDS 8               /* reads in one turn, so that other sessions get their share */
#define COPY_MOST 8192         /* bytes of the copies; the first datagram is always copied */
#define COPY_MS 1000           /* an ICMP error that is late is not about what was sent before */

struct wr_stream_flow {
    struct wr_kept unanswered;
    bool repeats;              /* `unanswered` is to be sent to another peer */
    bool answered;             /* by the current peer */
    uint64_t since_ms;         /* when the current peer was connected */
    uint64_t requests, responses, lost;
};

static const struct wr_step step_datagrams;

bool wr_flow_is_over(const struct wr_flow_facts *f)
{
    return f->all_forwarded && f->each > 0 && f->responses >= (f->each - 1) * f->requests;
}

/* ---- the end ---- */

static enum wr_go flow_over(struct wr_exchange *x, const char *why)
{
    const struct wr_stream_ctx *ctx = wr_ctx_of(x, &wr_module_stream);
    const struct wr_stream_flow *st = ctx->flow;
    char buf[256];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    if (wr_log_on(x->log, WR_LOG_INFO, &x->source)) {
        wr_text_fmt(&t, "udp %s, packets from/to client:%llu/%llu", why,
                    (unsigned long long)st->requests, (unsigned long long)st->responses);
        wr_stream_add_bytes(&t, x);
        if (st->lost > 0)
            wr_text_fmt(&t, ", packets lost:%llu", (unsigned long long)st->lost);
        wr_xlog(x, WR_LOG_INFO, 0, WR_FMT, WR_ARG(wr_text_view(&t)));
    }
    return wr_finish(x, 0);
}

static bool is_answer_due(const struct wr_stream_flow *st, const struct wr_stream_relay *how)
{
    return how->responses > 0 && st->responses < (how->responses - 1) * st->requests;
}

/* As in nginx: where proxy_responses are due the server has failed, and no other one is tried, as
 * the client has given up long since. */
static enum wr_go flow_timed_out(struct wr_exchange *x, const struct wr_stream_flow *st)
{
    const struct wr_stream_relay *how = WR_CHECK(x->of_layer, STREAM_RELAY);

    if (!is_answer_due(st, how))
        return flow_over(x, "timed out");
    wr_xlog(x, WR_LOG_ERROR, ETIMEDOUT, "upstream timed out");
    wr_flow_busy(x->s->flow);
    x->tries->failure = WR_FAIL_TIMEOUT;
    x->tries->lost = true;
    x->step = &wr_step_retry;
    return WR_GO;
}

static enum wr_go try_another(struct wr_exchange *x, struct wr_stream_flow *st)
{
    wr_xlog(x, WR_LOG_ERROR, wr_try_conn(x->tries)->error, "recv() failed");
    wr_flow_busy(x->s->flow);
    st->repeats = true;
    x->tries->failure = WR_FAIL_ERROR;
    x->step = &wr_step_retry;
    return WR_GO;
}

/* ---- both directions ---- */

static void first_answer(struct wr_exchange *x, struct wr_stream_flow *st)
{
    st->answered = true;
    wr_kept_clear(&st->unanswered);
    wr_stream_note_first_byte(x);
    wr_try_works(x);
}

/* ERROR: there was no answer yet. Later errors are about single datagrams, which are lost. */
static enum wr_io read_answers(struct wr_exchange *x, struct wr_stream_flow *st, bool *moved)
{
    struct wr_conn *peer = wr_try_conn(x->tries);

    for (int i = 0; i < ROUNDS; i++) {
        struct wr_trains l;
        struct wr_count got;
        uint64_t lost;
        enum wr_io io;

        if (x->down.rate > 0 && !wr_relay_may_read(&x->down, x->loop))
            return WR_IO_AGAIN;
        io = wr_trains_read(peer, &l);
        if (io == WR_IO_AGAIN || (io == WR_IO_ERROR && !st->answered))
            return io;
        if (io == WR_IO_ERROR)
            continue;
        got = wr_trains_count(&l);
        wr_relay_count(&x->down, got.bytes);
        if (!st->answered)
            first_answer(x, st);
        st->responses += got.datagrams;
        *moved = true;
        (void)wr_flow_reply(x->s->flow, &l, &lost);
        st->lost += lost;
    }
    wr_exchange_wake(x);
    return WR_IO_OK;
}

/* Copies are kept only while their answer may still be missing. */
static const struct wr_flow_copy *copies_of(struct wr_stream_flow *st, struct wr_flow_copy *buf)
{
    if (st->answered)
        return NULL;
    if (wr_now() - st->since_ms > COPY_MS) {
        wr_kept_clear(&st->unanswered);
        return NULL;
    }
    *buf = (struct wr_flow_copy){ &st->unanswered, COPY_MOST };
    return buf;
}

/* To the second or a later peer. */
static enum wr_io send_again(struct wr_exchange *x, struct wr_stream_flow *st)
{
    struct wr_train trains[WR_TRAINS];
    struct wr_trains l = wr_kept_load(&st->unanswered, trains);
    struct wr_count sent = { 0 };
    enum wr_io io = wr_trains_send(wr_try_conn(x->tries), &l, &sent);

    st->repeats = io == WR_IO_ERROR;
    return io;
}

static enum wr_io send_requests(struct wr_exchange *x, struct wr_stream_flow *st, bool *moved)
{
    struct wr_conn *peer = wr_try_conn(x->tries);
    struct wr_flow_copy buf;
    struct wr_count sent = { 0 };
    enum wr_io io = st->repeats ? send_again(x, st) : WR_IO_OK;

    if (io == WR_IO_ERROR)
        return io;
    if (x->up.rate > 0 && !wr_relay_may_read(&x->up, x->loop))
        return WR_IO_AGAIN;
    for (int i = 0; i < ROUNDS; i++) {
        io = wr_flow_forward(x->s->flow, peer, copies_of(st, &buf), &sent);
        if (io != WR_IO_ERROR || !st->answered)
            break;
    }
    st->requests += sent.datagrams;
    *moved = *moved || sent.datagrams > 0;
    wr_relay_count(&x->up, sent.bytes);
    return io == WR_IO_ERROR && st->answered ? WR_IO_OK : io;
}

static enum wr_go datagrams_run(struct wr_exchange *x)
{
    const struct wr_stream_relay *how = WR_CHECK(x->of_layer, STREAM_RELAY);
    struct wr_stream_flow *st = ((struct wr_stream_ctx *)wr_ctx_of(x, &wr_module_stream))->flow;
    bool moved = false;

    if (send_requests(x, st, &moved) == WR_IO_ERROR || read_answers(x, st, &moved) == WR_IO_ERROR)
        return try_another(x, st);
    if (wr_flow_is_over(&(struct wr_flow_facts){
            .all_forwarded = wr_flow_is_complete(x->s->flow),
            .requests = st->requests, .responses = st->responses, .each = how->responses }))
        return flow_over(x, "done");
    if (moved)
        wr_timer_set(x->loop, &x->idle, how->timeout_ms);
    else if (x->idle.fired)
        return flow_timed_out(x, st);
    wr_flow_idle(x->s->flow);
    return WR_WAIT;
}

static const struct wr_step step_datagrams = { "relay", "proxying datagrams", datagrams_run };

/* ---- the beginning ---- */

static void drop_copies(void *arg)
{
    struct wr_stream_flow *st = arg;

    wr_kept_clear(&st->unanswered);
}

static struct wr_stream_flow *state_of(struct wr_exchange *x)
{
    struct wr_stream_ctx *ctx = wr_ctx_of(x, &wr_module_stream);

    if (ctx->flow == NULL) {
        ctx->flow = WR_NEW(x->pool, struct wr_stream_flow);
        wr_pool_cleanup(x->pool, drop_copies, ctx->flow);
    }
    return ctx->flow;
}

/* Nothing can have come yet; the loop reports what comes. Only a session that expects no answer
 * looks at once, or nobody would learn of an error. */
enum wr_go wr_stream_flow_connected(struct wr_exchange *x)
{
    const struct wr_stream_relay *how = WR_CHECK(x->of_layer, STREAM_RELAY);
    struct wr_stream_flow *st = state_of(x);
    struct wr_conn *peer = wr_try_conn(x->tries);

    if (how->responses != 1)
        peer->ready = (uint8_t)(peer->ready & ~(unsigned)WR_READABLE);
    st->answered = false;
    st->since_ms = wr_now();
    wr_try_watch(x);
    wr_stream_relay_prepare(x, true);
    x->step = &step_datagrams;
    return WR_GO;
}
