/* exchange: the step runner and the only exit. The exchange's task, at first the session that made
 * it, calls wr_exchange_run; a step function sets x->step and returns whether to go on, wait or
 * end. */
#include "exchange/exchange.h"

#define STEPS_A_TURN 1000
#define TURNS_MAX 10000

static void log_context(const struct wr_log_source *src, struct wr_text *t)
{
    const struct wr_exchange *x = wr_container(src, struct wr_exchange, source);
    const char *doing = x->step->doing;

    if (x->step == &wr_step_phases && x->layer->bit == WR_L4)
        doing = x->phase == WR_PH_PREREAD ? "prereading client data"
              : x->phase == WR_PH_SSL     ? "SSL handshaking"
                                          : "initializing session";
    if (doing != NULL)
        wr_text_fmt(t, " while %s", doing);
    if (x->client_addr->len > 0) {
        wr_text_c(t, x->s->flow != NULL ? ", udp client: " : ", client: ");
        wr_addr_text_ip(x->client_addr, t);
    }
    x->layer->log_context(x, t);
}

static void exchange_task(struct wr_task *t)
{
    struct wr_exchange *x = wr_container(t, struct wr_exchange, task);

    if (!x->ending)
        wr_exchange_run(x);
}

struct wr_exchange *wr_exchange_new(struct wr_session *s, const struct wr_scope *scope,
                                    const struct wr_step *first)
{
    /* The trace is most of the struct: clear its count only, not its entries. */
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_exchange *x = wr_pool_alloc(pool, sizeof(*x));

    memset(x, 0, offsetof(struct wr_exchange, trace));
    x->trace.n = 0;
    WR_TYPED(x, EXCHANGE);
    x->s = s;
    x->pool = pool;
    x->layer = s->layer;
    x->loop = s->loop;
    x->conf = s->conf;
    x->client_addr = &s->client;
    x->main = x;
    wr_list_init(&x->children);
    x->step = first;
    x->begun_ms = wr_now();
    x->task.run = exchange_task;
    x->idle.task = &x->task;
    x->source.number = s->number;
    x->source.context = log_context;
    x->source.debug = wr_session_debug != NULL && wr_session_debug(&s->client);
    if (s->conn.fd >= 0)
        wr_endpoint_raw(&x->client, &s->conn);
    else if (s->flow != NULL)
        x->client = (struct wr_endpoint){ .ops = s->flow_ops, .conn = &s->conn,
                                          .state = s->flow };
    wr_exchange_scope(x, scope);
    if (x->layer->prepare != NULL)
        x->layer->prepare(x);
    return x;
}

void wr_exchange_wake(struct wr_exchange *x)
{
    wr_task_wake(x->loop, &x->task);
}

/* Without the context: the step and the number of the connection are enough. */
static void log_step(const struct wr_exchange *x)
{
    const struct wr_log_source who = { .number = x->source.number, .debug = x->source.debug };

    wr_log_put(x->log, WR_LOG_DEBUG, 0, &who, "%s %s", x->layer->name, x->step->name);
}

static const struct wr_exchange *running; /* its trace is logged if an assertion fails */

static void dump_running(void)
{
    if (running != NULL)
        wr_trace_dump(running, WR_LOG_ALERT);
}

/* False: nothing will wake the exchange, it would wait for ever. */
static bool is_armed(const struct wr_exchange *x)
{
    return x->task.queued || x->idle.at != 0 || x->waits > 0 || !wr_list_empty(&x->children)
        || (x->client.conn != NULL && x->client.conn->fd >= 0)
        || (x->peer.conn != NULL && x->peer.conn->fd >= 0);
}

/* Steps have returned GO many times: go on in the next turn. In many turns in a row it is a bug. */
static enum wr_go pause_steps(struct wr_exchange *x)
{
    WR_ASSERT(++x->turns < TURNS_MAX);
    wr_exchange_wake(x);
    return WR_WAIT;
}

/* After a regex gave up. The mark is cleared last: an error page whose own values give up, too, is
 * sent without them, or there would be no end. */
static enum wr_go reject_gave_up(struct wr_exchange *x)
{
    enum wr_go go = x->layer->reject(x, 500);

    x->gave_up = false;
    return go;
}

static enum wr_go run_steps(struct wr_exchange *x)
{
    enum wr_go go = WR_GO;

    for (uint32_t i = 0; go == WR_GO; i++) {
        if (wr_unlikely(i == STEPS_A_TURN))
            return pause_steps(x);
        wr_trace(x, x->step->name, 0);
        if (wr_log_on(x->log, WR_LOG_DEBUG, &x->source))
            log_step(x);
        go = x->step->run(x);
        if (wr_unlikely(go != WR_END && x->gave_up))
            go = reject_gave_up(x);
    }
    if (go == WR_WAIT)
        x->turns = 0;
    return go;
}

void wr_exchange_run(struct wr_exchange *x)
{
    enum wr_go go;

    running = x;
    wr_assert_hook = dump_running;
    go = run_steps(x);
    if (go == WR_WAIT && x->left != NULL && wr_endpoint_gone(&x->client))
        go = x->left(x);
    if (go == WR_WAIT) {
        wr_endpoint_arm(&x->client);
        /* The connection of a unix socket is not armed yet: it never had to wait to connect. */
        wr_endpoint_arm(&x->peer);
        WR_ASSERT(is_armed(x));
    }
    running = NULL;
}

enum wr_verdict wr_reject(struct wr_exchange *x, unsigned status, const char *reason)
{
    x->status = status;
    if (reason != NULL)
        wr_xlog(x, WR_LOG_INFO, 0, "%s", reason);
    return WR_REJECTED;
}

void *wr_ctx_of(struct wr_exchange *x, const struct wr_module *m)
{
    if (x->ctx == NULL)
        x->ctx = WR_NEW_ARRAY(x->pool, void *, wr_modules_count);
    if (x->ctx[m->index] == NULL)
        x->ctx[m->index] = wr_pool_zalloc(x->pool, m->ctx_size);
    return x->ctx[m->index];
}

/* Cancels the task: a job that ended in the same turn may have woken it. */
static void exchange_free(struct wr_doomed *d)
{
    struct wr_exchange *x = wr_container(d, struct wr_exchange, doomed);

    wr_task_cancel(&x->task);
    WR_UNTYPED(x);
    x->of_layer = NULL;
    wr_pool_free(x->pool);
}

void wr_exchange_drop(struct wr_exchange *x)
{
    x->ending = true;
    x->doomed.free = exchange_free;
    wr_condemn(x->loop, &x->doomed);
}

static void end_children(struct wr_exchange *x)
{
    struct wr_link *l;

    while ((l = x->children.next) != &x->children)
        (void)wr_finish(wr_container(l, struct wr_exchange, link), 0);
}

static void leave_owner(struct wr_exchange *x)
{
    if (x->parent == NULL) {
        wr_session_leave(x);
        return;
    }
    wr_list_remove(&x->link);
    if (!x->parent->ending)
        wr_exchange_wake(x->parent);
}

enum wr_go wr_finish(struct wr_exchange *x, unsigned status)
{
    if (x->ending)
        return WR_END;
    x->ending = true;
    if (status != 0)
        x->status = status;
    wr_trace(x, "finish", x->status);
    if (x->status >= 500 && wr_log_on(x->log, WR_LOG_INFO, &x->source))
        wr_trace_dump(x, WR_LOG_INFO);
    wr_timer_off(x->loop, &x->idle);
    end_children(x);
    wr_relay_end(&x->up, x->loop);
    wr_relay_end(&x->down, x->loop);
    wr_bufq_clear(&x->preread);
    if (x->peer.ops != NULL)
        x->peer.ops->end(&x->peer, WR_END_REUSE);
    if (x->tries_end != NULL)
        x->tries_end(x);
    if (x->parent == NULL && !x->detached)
        wr_phases_log(x);
    leave_owner(x);
    wr_exchange_drop(x);
    if (x->over != NULL)
        x->over(x);
    return WR_END;
}

struct wr_exchange *wr_child_new(struct wr_exchange *x, const struct wr_scope *scope,
                                 const struct wr_step *first)
{
    struct wr_exchange *child = wr_exchange_new(x->s, scope, first);

    WR_ASSERT(!x->ending);
    child->parent = x;
    child->main = x->main;
    child->client_addr = x->client_addr;
    wr_endpoint_store(&child->client, child->pool, wr_exchange_waiter(child), NULL);
    wr_list_push(&x->children, &child->link);
    return child;
}

/* The session stays in memory, as x uses its address and number: see wr_session_leave. */
void wr_exchange_detach(struct wr_exchange *x)
{
    WR_ASSERT(x->parent == NULL && !x->ending);
    if (x->detached)
        return;
    wr_phases_log(x); /* what is logged is what the client got */
    x->detached = true;
    x->left = NULL;
    wr_session_detach(x);
    if (x->over != NULL)
        x->over(x);
    x->over = NULL;
    wr_endpoint_store(&x->client, x->pool, wr_exchange_waiter(x), NULL);
}
