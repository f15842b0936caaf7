/* start: begins and ends an exchange's tries. Content hooks call wr_upstream_start; the step start
 * resolves a name found at run time; wr_finish ends the current try through x->tries_end. */
#include "upstream/upstream_impl.h"

static struct wr_tries *tries_new(struct wr_exchange *x, struct wr_upstream *u,
                                  const struct wr_upstream_rows *rows)
{
    struct wr_tries *a = x->tries;

    if (a == NULL) {
        a = WR_NEW(x->pool, struct wr_tries);
        x->tries = a;
        a->owner = x;
        a->all.at = &a->only;
        a->all.cap = 1;
        x->tries_end = wr_tries_end;
    }
    /* After an internal redirect all begins again; only the list of tries is kept. */
    a->first = a->all.n;
    a->stale = 0;
    a->tried = NULL;
    a->addrs = NULL;
    a->naddrs = a->next_addr = 0;
    a->failure = WR_FAIL_NONE;
    a->sealed = a->lost = false;
    a->datagrams = x->s->flow != NULL;
    a->u = u;
    a->rows = rows;
    a->speaker = NULL;
    a->tls = NULL;
    a->client = 0;
    a->announce = wr_str_of(NULL, 0);
    a->begun_ms = wr_now();
    a->waited_ms = 0;
    x->step = u != NULL ? &wr_step_pick : &wr_step_start;
    return a;
}

void wr_upstream_start(struct wr_exchange *x, struct wr_upstream *u,
                       const struct wr_upstream_rows *rows)
{
    (void)tries_new(x, u, rows);
}

static bool direct_address(struct wr_exchange *x, struct wr_tries *a, struct wr_str text,
                           uint16_t default_port)
{
    const char *why = wr_hostport_parse(text, default_port, &a->direct);

    if (why != NULL) {
        wr_xlog(x, WR_LOG_ERROR, 0, "%s in upstream \"" WR_FMT "\"", why, WR_ARG(text));
    } else if (a->direct.addr.len > 0) {
        a->addrs = &a->direct.addr;
        a->naddrs = 1;
    }
    return why == NULL;
}

bool wr_upstream_start_text(struct wr_exchange *x, struct wr_str text, uint16_t default_port,
                            const struct wr_upstream_rows *rows)
{
    struct wr_upstream *u = wr_upstream_find(x->conf, x->layer->bit, text,
                                             default_port);
    struct wr_tries *a = tries_new(x, u, rows);

    return u != NULL || direct_address(x, a, text, default_port);
}

static void resolved(struct wr_query *q, const struct wr_names *n)
{
    struct wr_tries *a = wr_container(q, struct wr_tries, query);
    struct wr_exchange *x = a->owner;

    a->resolving = false;
    x->waits--;
    if (n->code != WR_DNS_OK || n->n == 0) {
        wr_xlog(x, WR_LOG_ERROR, 0, WR_FMT " could not be resolved (%u: %s)",
                WR_ARG(a->direct.host), (unsigned)n->code, wr_dns_code_text(n->code));
        a->failure = WR_FAIL_NAME;
    } else {
        /* keep the name server's order, but rotate an answer that was cached */
        uint32_t from = n->kept ? (uint32_t)(wr_random() % n->n) : 0;

        a->addrs = WR_NEW_ARRAY(x->pool, struct wr_addr, n->n);
        for (a->naddrs = 0; a->naddrs < n->n; a->naddrs++) {
            a->addrs[a->naddrs] = n->at[(a->naddrs + from) % n->n].addr;
            wr_addr_set_port(&a->addrs[a->naddrs], a->direct.port);
        }
    }
    wr_exchange_wake(x);
}

/* As in nginx: layer 4 has no status for a name that has no address. */
static enum wr_go reject_name(struct wr_exchange *x)
{
    return x->layer->reject(x, x->layer->bit == WR_L4 ? 500 : 502);
}

static enum wr_go ask_resolver(struct wr_exchange *x, struct wr_tries *a)
{
    struct wr_resolver *r = wr_scope_resolver(x->scope, x->loop);

    if (r == NULL) {
        wr_xlog(x, WR_LOG_ERROR, 0, "no resolver defined to resolve " WR_FMT,
                WR_ARG(a->direct.host));
        return reject_name(x);
    }
    a->query.done = resolved;
    a->resolving = true;
    x->waits++;
    wr_resolve(r, &a->query, a->direct.host, (struct wr_str){ 0 });
    return WR_WAIT;
}

static enum wr_go start_run(struct wr_exchange *x)
{
    struct wr_tries *a = x->tries;

    if (a->resolving)
        return WR_WAIT;
    if (a->failure == WR_FAIL_NAME)
        return reject_name(x);
    if (a->u == NULL && a->addrs == NULL)
        return ask_resolver(x, a);
    x->step = &wr_step_pick;
    return WR_GO;
}

const struct wr_step wr_step_start = { "start", "resolving the upstream's name", start_run };

void wr_tries_end(struct wr_exchange *x)
{
    struct wr_tries *a = x->tries;

    if (a->resolving) {
        wr_resolve_cancel(&a->query);
        x->waits--;
    }
    a->resolving = false;
    if (wr_unlikely(wr_linked(&a->waiting)))
        wr_waiting_leave(a);
    wr_try_end(x, false);
}
