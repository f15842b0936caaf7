/* limit_conn: refuses a connection (layer 4) or a request (layer 7) whose key has as many at a time
 * as its limit says. Called in phase PREACCESS; what was counted is given back in phase LOG, before
 * the session goes on with its next request. Each exchange counts once, by the scope it comes to
 * first; its children do not count. */
#include "limit_conn_impl.h"

enum outcome { NOT_LIMITED, PASSED, REJECTED, REJECTED_DRY_RUN };

struct held {
    struct wr_limit_zone *zone;
    struct wr_count_key key;
    uint32_t cell;
};
struct limit_ctx {
    bool begun;
    enum outcome outcome;
    WR_VEC(struct held) held;
};

/* Idempotent. */
static void give_back(void *arg)
{
    struct limit_ctx *ctx = arg;

    while (ctx->held.n > 0) {
        const struct held *h = &ctx->held.at[--ctx->held.n];

        wr_conn_counts_give(&h->zone->counts, &h->key, h->cell);
    }
}

static enum wr_counted take_one(struct wr_exchange *x, struct limit_ctx *ctx,
                                const struct wr_conn_limit *limit)
{
    struct wr_str text = wr_template_str(x, limit->zone->key);
    struct held h = { .zone = limit->zone };
    enum wr_counted v;

    if (text.n == 0) /* an empty key is not limited */
        return WR_COUNTED;
    h.key = wr_count_key_of(text);
    v = wr_conn_counts_take(&limit->zone->counts, &h.key, limit->most, &h.cell);
    if (v == WR_COUNTED)
        *wr_vec_push(x->pool, &ctx->held) = h;
    return v;
}

static void log_refusal(struct wr_exchange *x, const struct wr_limit_conf *c,
                        const struct wr_limit_zone *z, enum wr_counted why)
{
    static const char *const more[] = {
        [WR_COUNT_NO_ROOM] = ", which has no room for another key: make it larger",
        [WR_COUNT_BUSY] = ", which another process has locked",
    };

    wr_xlog(x, (enum wr_level)c->log_level, 0, "limiting connections%s by zone \"" WR_FMT "\"%s",
            c->dry_run ? ", dry run," : "", WR_ARG(z->name),
            why == WR_COUNT_FULL ? "" : more[why]);
}

static struct limit_ctx *begin_counting(struct wr_exchange *x)
{
    struct limit_ctx *ctx = wr_ctx_of(x, &wr_module_limit_conn);

    if (!ctx->begun)
        wr_pool_cleanup(x->pool, give_back, ctx); /* where the exchange ends without LOG */
    ctx->begun = true;
    return ctx;
}

static enum wr_verdict limit(struct wr_exchange *x)
{
    const struct wr_limit_conf *c = wr_conf_of(x, &wr_module_limit_conn);
    struct limit_ctx *ctx;

    if (c->limits.n == 0)
        return WR_PASS;
    ctx = begin_counting(x);
    if (ctx->outcome != NOT_LIMITED)
        return WR_PASS;
    ctx->outcome = PASSED;
    for (uint32_t i = 0; i < c->limits.n; i++) {
        enum wr_counted v = take_one(x, ctx, &c->limits.at[i]);

        if (v == WR_COUNTED)
            continue;
        log_refusal(x, c, c->limits.at[i].zone, v);
        give_back(ctx);
        ctx->outcome = c->dry_run ? REJECTED_DRY_RUN : REJECTED;
        if (c->dry_run)
            return WR_PASS;
        return wr_reject(x, x->layer->bit == WR_L4 ? 503 : c->status, NULL);
    }
    return WR_PASS;
}

static enum wr_verdict end_counting(struct wr_exchange *x)
{
    if (x->ctx != NULL && x->ctx[wr_module_limit_conn.index] != NULL)
        give_back(begin_counting(x));
    return WR_PASS;
}

static bool get_status(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    static const struct wr_str names[] = {
        [PASSED] = WR_STR_INIT("PASSED"),
        [REJECTED] = WR_STR_INIT("REJECTED"),
        [REJECTED_DRY_RUN] = WR_STR_INIT("REJECTED_DRY_RUN"),
    };
    const struct limit_ctx *ctx = wr_ctx_of(x, &wr_module_limit_conn);

    (void)v;
    *out = names[ctx->outcome];
    return ctx->outcome != NOT_LIMITED;
}

static const struct wr_variable variables[] = {
    { .name = "limit_conn_status", .layers = WR_ANY, .get = get_status },
    { .name = NULL },
};

struct wr_module wr_module_limit_conn = {
    .name = "limit_conn",
    .layers = WR_ANY,
    .conf_size = sizeof(struct wr_limit_conf),
    .ctx_size = sizeof(struct limit_ctx),
    .directives = wr_limit_conn_directives,
    .variables = variables,
    .prepare = wr_limit_conn_prepare,
    .check = wr_limit_conn_check,
    .missing = wr_limit_conn_missing,
    .worker_init = wr_limit_conn_worker,
    .keeper = &wr_limit_conn_keeper,
    .phases = (const struct wr_phase_hook[]){
        { .phase = WR_PH_PREACCESS, .layers = WR_ANY, .run = limit },
        { .phase = WR_PH_LOG, .layers = WR_ANY, .run = end_counting },
        { .run = NULL },
    },
};
