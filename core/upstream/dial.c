/* dial: the steps dial and secure: lease a link to the picked peer, an existing one with room or a
 * new one. Each event runs the step again until the link is up, fails or times out; then the layer
 * or the step retry takes over. */
#include "upstream/upstream_impl.h"

#define STALE_MAX 3 /* after so many parked links that broke, dial a new one */

/* NULL: do not bind, as the value is empty or invalid (logged). If the address has another family
 * than that of the peer, bind() will fail. */
static const struct wr_addr *bind_address(struct wr_exchange *x)
{
    struct wr_str text = wr_template_str(x, x->tries->rows->dial.bind);
    struct wr_addr *buf;

    if (text.n == 0)
        return NULL;
    buf = WR_NEW(x->pool, struct wr_addr);
    if (!wr_addr_parse(text, 0, buf) && !wr_addr_parse_ip(text, buf)) {
        wr_xlog(x, WR_LOG_ERROR, 0, "invalid local address \"" WR_FMT "\"", WR_ARG(text));
        return NULL;
    }
    return buf;
}

static enum wr_go go_to_retry(struct wr_exchange *x, enum wr_failure why)
{
    x->tries->failure = why;
    x->step = &wr_step_retry;
    return WR_GO;
}

static struct wr_link_key link_key(struct wr_exchange *x)
{
    const struct wr_tries *a = x->tries;
    const struct wr_peer *peer = &a->all.at[a->all.n - 1].peer;

    return (struct wr_link_key){
        .speaker = a->speaker,
        .index = peer->index,
        .generation = peer->generation,
        .location = a->u != NULL && a->u->links.keepalive.local ? a->rows : NULL,
        .bind = a->rows->dial.bind != NULL ? bind_address(x) : NULL,
        .tls = a->tls != NULL ? a->tls->live : NULL,
        .name = a->tls_name,
        .alpn = a->tls_alpn,
        .client = a->client,
    };
}

/* True: only this client may use the link, as the peer's replies depend on the PROXY header or the
 * certificate sent. */
static bool is_bound(const struct wr_tries *a)
{
    return a->announce.n > 0 || (a->tls != NULL && a->tls->tls.dynamic);
}

static void plan_pair(struct wr_exchange *x, const struct wr_tls_conf *c, struct wr_link_plan *p)
{
    wr_vault_pool(x->pool); /* the name may contain the key itself (data:$key) */
    p->certificate = wr_template_str(x, c->certificates.at[0].name);
    p->certificate_key = wr_template_str(x, c->keys.at[0].name);
}

/* A shared link dials from its own task: it must not end with the exchange that opened it. */
static struct wr_peer_link *open_link(struct wr_exchange *x, const struct wr_link_key *key,
                                      enum wr_failure *why)
{
    const struct wr_tries *a = x->tries;
    const struct wr_try *t = &a->all.at[a->all.n - 1];
    bool shared = key->speaker != NULL && key->speaker->lease != NULL;
    struct wr_link_plan p = {
        .loop = x->loop,
        .task = shared ? NULL : &x->task,
        .links = a->u != NULL ? &a->u->links : NULL,
        .addr = &t->addr,
        .rows = &a->rows->dial,
        .key = *key,
        .bound = is_bound(a),
        .datagrams = a->datagrams,
        .announce = a->announce,
        .log = x->log,
        .source = shared ? NULL : &x->source,
    };

    if (a->tls != NULL && a->tls->tls.dynamic)
        plan_pair(x, &a->tls->tls, &p);
    return wr_peer_link_open(&p, why);
}

/* Not inline: it is called seldom and needs much stack. */
static __attribute__((noinline)) bool dial_anew(struct wr_exchange *x,
                                                const struct wr_link_key *key,
                                                enum wr_failure *why)
{
    struct wr_peer_link *l = open_link(x, key, why);

    if (l == NULL)
        return false;
    wr_lease_begin(&x->tries->lease, x, l);
    if (!wr_link_is_shared(l)) /* the exchange waits for the connection itself */
        x->peer = (struct wr_endpoint){ .conn = &l->conn };
    return true;
}

/* A link that has room spares dialing. */
static bool lease_link(struct wr_exchange *x, enum wr_failure *why)
{
    struct wr_tries *a = x->tries;
    struct wr_link_key key = link_key(x);
    struct wr_peer_link *l = NULL;

    if (a->u != NULL && a->u->links.n > 0 && a->stale < STALE_MAX && !is_bound(a))
        l = wr_link_find(&a->u->links, &key);
    if (l == NULL)
        return dial_anew(x, &key, why);
    wr_lease_begin(&a->lease, x, l);
    return true;
}

static void note_connected(struct wr_try *t, const struct wr_peer_link *l)
{
    if (t->connect_ms == WR_NOT_YET && l->connected_ms != 0)
        t->connect_ms = l->connected_ms > t->begun_ms ? l->connected_ms - t->begun_ms : 0;
}

/* The link dials from its own task. If more exchanges have joined than it has room for, it serves
 * the first ones and the others search again. If it has no room even for the exchange it was dialed
 * for, the try has failed: dialing again might never end. */
static enum wr_go await_shared(struct wr_exchange *x, struct wr_lease *e)
{
    struct wr_peer_link *l = e->link;
    bool joined = e->joined;

    if (l->state < WR_LINK_UP)
        return WR_WAIT;
    x->waits -= e->waits;
    e->waits = false;
    if (l->state == WR_LINK_DOWN)
        return go_to_retry(x, l->failure);
    e->joined = false;
    if (l->key.speaker->lease(l) == WR_ROOM_READY)
        return x->layer->connected(x);
    if (!joined) {
        wr_xlog(x, WR_LOG_ERROR, 0, "upstream accepts no request on a new connection");
        return go_to_retry(x, WR_FAIL_ERROR);
    }
    wr_lease_end(e, false);
    return WR_GO;
}

static enum wr_go secure_run(struct wr_exchange *x)
{
    struct wr_peer_link *l = x->tries->lease.link;

    switch (wr_peer_link_secure(l)) {
    case WR_IO_OK:
        return x->layer->connected(x);
    case WR_IO_AGAIN:
        return WR_WAIT;
    default: /* the link is down: its failure says why */
        return go_to_retry(x, l->failure);
    }
}

static const struct wr_step step_secure = { "secure", WR_LINK_SECURING, secure_run };

static enum wr_go dial_run(struct wr_exchange *x)
{
    struct wr_tries *a = x->tries;
    enum wr_failure why;
    struct wr_peer_link *l;
    enum wr_io io;

    if (a->lease.link == NULL && !lease_link(x, &why))
        return go_to_retry(x, why);
    l = a->lease.link;
    note_connected(wr_try_now(a), l);
    if (a->lease.waits)
        return await_shared(x, &a->lease);
    if (l->state == WR_LINK_UP)
        return x->layer->connected(x);
    io = wr_peer_link_connect(l);
    note_connected(wr_try_now(a), l);
    if (io == WR_IO_AGAIN)
        return WR_WAIT;
    if (io == WR_IO_ERROR)
        return go_to_retry(x, l->failure);
    if (l->state == WR_LINK_UP)
        return x->layer->connected(x);
    x->step = &step_secure;
    return WR_GO;
}

const struct wr_step wr_step_dial = { "dial", WR_LINK_CONNECTING, dial_run };
