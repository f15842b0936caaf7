/* proxy_hook: where the response cache joins the engine: finds the module that has the hook, tells
 * it of failures, and lets an exchange go on without its client. */
#include "http/http_impl.h"

#define MANY 16                /* exchanges of a session that go on without their client */

const struct wr_proxy_hook *wr_proxy_hook;
uint64_t wr_proxy_hook_idle;

void wr_proxy_hook_init(void)
{
    for (struct wr_module *const *m = wr_modules; *m != NULL; m++)
        if ((*m)->proxy_hook != NULL) {
            wr_proxy_hook = (*m)->proxy_hook;
            wr_proxy_hook_idle = wr_module_idle_bit(*m);
        }
}

bool wr_proxy_hook_fails(struct wr_exchange *x, unsigned status)
{
    struct wr_http *h = wr_http_of(x);
    const struct wr_proxy_hook *hook = wr_proxy_hook_of(x);

    if (hook == NULL || !h->asking || (status != 502 && status != 504))
        return false;
    h->asking = false;
    return hook->fail(x);
}

/* One client that asks for many stale replies in a row does not have all of them fetched at
 * once. */
static bool has_many(const struct wr_session *s)
{
    uint32_t n = 0;

    for (struct wr_link *l = s->exchanges.next; l != &s->exchanges && n < MANY; l = l->next)
        n += wr_container(l, struct wr_exchange, link)->detached;
    return n == MANY;
}

static bool may_let_go(const struct wr_exchange *x)
{
    return x->parent == NULL && !x->detached && !x->s->quitting && !has_many(x->s);
}

/* The rest of the request's body would be missing, and its end could look like the end of it. */
static bool still_sends(const struct wr_exchange *x)
{
    return x->up.src != NULL && !x->up.src_fin && !x->up.dst_fin;
}

bool wr_http_go_on(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);

    if (!h->wanted || !may_let_go(x) || still_sends(x))
        return false;
    if (!h->head_sent)
        x->status = 499;
    wr_http_abort(x, WR_ABORT_LEFT);
    x->down.rate = 0;
    wr_exchange_detach(x);
    h->speaker = NULL;
    return true;
}

bool wr_proxy_hook_after(struct wr_exchange *x)
{
    const struct wr_proxy_hook *hook = wr_http_of(x)->proxy != NULL ? wr_proxy_hook_of(x) : NULL;

    return hook != NULL && may_let_go(x) && hook->after(x);
}

void wr_http_ask_again(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);

    wr_relay_end(&x->down, x->loop);
    if (x->peer.ops != NULL)
        x->peer.ops->end(&x->peer, WR_END_REUSE);
    wr_http_leave_upstream(x);
    wr_exchange_detach(x);
    h->speaker = NULL;
    wr_response_init(&h->res);
    h->filters = NULL;
    h->head_sent = false;
    x->status = 0;
    x->phase = WR_PH_CONTENT;
    x->hook = 0;
    x->step = &wr_step_phases;
}
