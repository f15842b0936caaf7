/* pick: the step that chooses a peer among the group's main peers, then its backups, or takes the
 * next address of a run-time name. If there is none the exchange may wait (queue). Also ends
 * tries. */
#include "upstream/upstream_impl.h"

#define VIEWS_MAX 8          /* most views to pick from while the peers keep changing */

static struct wr_try *push_try(struct wr_exchange *x, const struct wr_addr *addr)
{
    struct wr_tries *a = x->tries;
    struct wr_try *t = &a->only;

    if (a->all.n > 0)
        t = wr_vec_push(x->pool, &a->all);
    else
        a->all.n = 1;

    t->anew = a->first > 0 && a->all.n == a->first + 1;
    t->addr = *addr;
    t->begun_ms = wr_now();
    t->queue_ms = wr_linked(&a->waiting) ? wr_now() - a->waits_from_ms : WR_NOT_YET;
    t->connect_ms = t->first_byte_ms = t->header_ms = t->ended_ms = WR_NOT_YET;
    return t;
}

static void mark_tried(struct wr_exchange *x, struct wr_tries *a, uint32_t slot)
{
    if (a->tried == NULL)
        a->tried = WR_NEW_ARRAY(x->pool, uint64_t, a->u->peers->zone.slots / 64 + 1);
    a->tried[slot / 64] |= (uint64_t)1 << (slot % 64);
}

/* The peer the client is bound to, or the balancer's choice. */
static struct wr_peer *choose_peer(struct wr_upstream *u, struct wr_peer_group *g,
                                   struct wr_pick *p)
{
    struct wr_peer *peer = u->sticky != NULL ? u->sticky->find(u, g, p) : NULL;

    return peer != NULL ? peer : u->balancer->pick(u, g, p);
}

/* The peer at which the session has authenticated itself: no balancer is asked. */
static const struct wr_peer *pick_own(const struct wr_pick *p, struct wr_addr *addr)
{
    struct wr_tries *a = p->x->tries;
    const struct wr_peer *peer = a->client != 0 ? wr_own_peer(p->x, p) : NULL;

    if (peer == NULL || !wr_peer_hold(a->u, peer))
        return NULL;
    if (wr_peer_addr(peer, addr))
        return peer;
    wr_peer_release(a->u, peer);
    return NULL;
}

/* Picks until a peer can be held: after the pick another worker may have reached max_conns, or the
 * keeper may have given the slot to another server. Then the next pick sees that. */
static struct wr_peer *pick_from(struct wr_pick *p, struct wr_peer_group *g, struct wr_addr *addr)
{
    struct wr_tries *a = p->x->tries;

    for (uint32_t i = 0; i < g->n; i++) {
        struct wr_peer *peer = choose_peer(a->u, g, p);

        if (peer == NULL)
            return NULL;
        if (!wr_peer_hold(a->u, peer))
            continue;
        if (wr_peer_addr(peer, addr)) {
            wr_peer_probe(peer, p->now_ms);
            return peer;
        }
        wr_peer_release(a->u, peer); /* somebody has written into its slot */
        mark_tried(p->x, a, peer->index);
        p->tried = a->tried;
    }
    return NULL;
}

/* The only peer is never set aside: there is no other to try meanwhile. */
static bool is_alone(const struct wr_peers *v)
{
    return v->main.n + v->backup.n == 1;
}

static struct wr_try *pick_peer(struct wr_exchange *x) /* NULL: no peer */
{
    struct wr_tries *a = x->tries;
    struct wr_pick p = { .x = x, .tried = a->tried, .now_ms = wr_now() };
    struct wr_addr addr;
    const struct wr_peer *peer = pick_own(&p, &addr);
    struct wr_try *t;

    /* Pick again if the peers changed meanwhile. */
    for (uint32_t version = 0, i = 0; peer == NULL && i < VIEWS_MAX; i++) {
        struct wr_peers *v = wr_peers_view(a->u);

        if (i > 0 && v->version == version)
            break;
        version = v->version;
        p.alone = is_alone(v);
        p.panic = wr_group_panics(a->u, v, p.now_ms);
        p.backup = false;
        peer = pick_from(&p, &v->main, &addr);
        if (peer == NULL) {
            p.backup = true;
            peer = pick_from(&p, &v->backup, &addr);
        }
    }
    if (peer == NULL)
        return NULL;
    t = push_try(x, &addr);
    t->peer = *peer;
    t->held = true;
    if (a->client != 0)
        wr_own_peer_set(x, peer);
    a->panic = p.panic;
    wr_outlier_picked(a->u, t);
    if (a->all.n == a->first + 1)
        wr_retry_count(a->u);
    return t;
}

static bool has_usable(struct wr_exchange *x, const struct wr_peer_group *g)
{
    const struct wr_tries *a = x->tries;
    struct wr_pick p = { .x = x, .tried = a->tried, .now_ms = wr_now(), .panic = a->panic };
    uint32_t now = a->all.at[a->all.n - 1].peer.index;

    for (uint32_t i = 0; i < g->n; i++)
        if (g->at[i].index != now && wr_peer_usable(&p, &g->at[i]))
            return true;
    return false;
}

bool wr_peer_is_left(struct wr_exchange *x)
{
    const struct wr_tries *a = x->tries;
    const struct wr_peers *v;

    if (a->u == NULL)
        return a->next_addr < a->naddrs;
    v = wr_peers_view(a->u);
    return has_usable(x, &v->main) || has_usable(x, &v->backup);
}

static uint32_t count_up(const struct wr_peer_group *g)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < g->n; i++)
        n += atomic_load(&g->at[i].slot->down) == 0;
    return n;
}

uint32_t wr_peers_to_try(struct wr_exchange *x)
{
    const struct wr_tries *a = x->tries;
    const struct wr_peers *v;

    if (a->u == NULL)
        return a->naddrs;
    v = wr_peers_view(a->u);
    return count_up(&v->main) + count_up(&v->backup);
}

static void log_no_live(struct wr_exchange *x, enum wr_stay why)
{
    const struct wr_tries *a = x->tries;
    char buf[256];
    struct wr_text reasons = wr_text_on(buf, sizeof(buf));

    if (a->u != NULL)
        wr_unusable_text(x, &reasons);
    if (why == WR_STAY_FULL)
        wr_xlog(x, WR_LOG_ERROR, 0, "no live upstreams, the queue is full (%u places)",
                a->u->queue->places);
    else if (why == WR_STAY_LATE)
        wr_xlog(x, WR_LOG_ERROR, 0, "no live upstreams, waited %llu ms in the queue",
                (unsigned long long)(wr_now() - a->waits_from_ms));
    else if (reasons.n > 0) /* before nginx's text, which people look for */
        wr_xlog(x, WR_LOG_ERROR, 0, WR_FMT ": no live upstreams",
                WR_ARG(wr_text_view(&reasons)));
    else
        wr_xlog(x, WR_LOG_ERROR, 0, "no live upstreams");
}

/* As in nginx, variables show the group's name instead of an address. */
static void note_no_live(struct wr_exchange *x, enum wr_stay why)
{
    struct wr_tries *a = x->tries;
    struct wr_try *t;

    if (a->u != NULL) {
        t = push_try(x, &(struct wr_addr){ 0 });
        t->group = a->u->name;
        t->status = 502;
        t->ended_ms = 0;
    }
    log_no_live(x, why);
    a->failure = WR_FAIL_NO_LIVE;
}

/* NULL: then *why says what to do. */
static struct wr_try *pick_in_turn(struct wr_exchange *x, enum wr_stay *why)
{
    for (*why = WR_STAY_LOOK; *why == WR_STAY_LOOK;) {
        bool turn = wr_waiting_turn(x->tries);
        struct wr_try *t = turn ? pick_peer(x) : NULL;

        if (t != NULL)
            return t;
        *why = wr_waiting_stay(x, turn);
    }
    return NULL;
}

static enum wr_go pick_run(struct wr_exchange *x)
{
    struct wr_tries *a = x->tries;
    struct wr_try *t = NULL;
    enum wr_stay why = WR_STAY_NOT;

    if (a->u != NULL)
        t = pick_in_turn(x, &why);
    else if (a->next_addr < a->naddrs)
        t = push_try(x, &a->addrs[a->next_addr++]);
    if (t == NULL && why == WR_STAY_WAIT)
        return WR_WAIT;
    if (t == NULL)
        note_no_live(x, why);
    if (wr_unlikely(wr_linked(&a->waiting)))
        wr_waiting_leave(a);
    if (t == NULL)
        return x->layer->reject(x, 502);
    wr_trace(x, "server", t->peer.index);
    x->step = &wr_step_dial;
    return WR_GO;
}

const struct wr_step wr_step_pick = { "pick", "connecting to upstream", pick_run };

void wr_try_works(struct wr_exchange *x)
{
    struct wr_tries *a = x->tries;
    struct wr_try *t = wr_try_now(a);
    bool back;

    if (t == NULL || !t->held)
        return;
    back = atomic_load_explicit(&t->peer.slot->health, memory_order_relaxed) != 0;
    back |= wr_peer_succeeded(&t->peer);
    wr_outlier_note(a->u, t, WR_TRY_WORKED);
    if (back)
        wr_waiting_wake(a->u);
    wr_try_watch(x);
}

/* A reply of 5xx is a failure even if it is passed on. Nothing is known without a reply: the client
 * has left. */
static enum wr_outcome outcome_of(const struct wr_try *t)
{
    if (t->failed || t->cut)
        return WR_TRY_FAILED;
    if (t->header_ms == WR_NOT_YET)
        return WR_TRY_UNKNOWN;
    return t->status >= 500 ? WR_TRY_FAILED : WR_TRY_WORKED;
}

void wr_try_end(struct wr_exchange *x, bool failed)
{
    struct wr_tries *a = x->tries;
    struct wr_try *t = wr_try_now(a);
    bool mark = failed || a->lease.joined || a->failure == WR_FAIL_STATUS;

    if (t == NULL || t->ended_ms != WR_NOT_YET)
        return;
    t->ended_ms = wr_now() - t->begun_ms;
    t->failed = failed;
    if (wr_linked(&a->at_peer))
        wr_try_unwatch(a);
    if (a->lease.link != NULL) {
        t->sent = wr_lease_sent(&a->lease);
        t->received = wr_lease_received(&a->lease);
        if (x->peer.conn == &a->lease.link->conn) /* the link may be freed before the exchange */
            x->peer = (struct wr_endpoint){ 0 };
        if (wr_unlikely(a->client != 0) && !wr_own_is_kept(x))
            a->lease.reusable = false;
        wr_lease_end(&a->lease, failed);
    }
    if (!t->held)
        return;
    t->held = false;
    if (a->u->sticky != NULL)
        a->u->sticky->done(x);
    if (a->u->balancer->done != NULL)
        a->u->balancer->done(a->u, t);
    if (mark) /* a status of proxy_next_upstream need not be a failure (404) */
        mark_tried(x, a, t->peer.index);
    if (!failed && a->failure != WR_FAIL_FULL)
        wr_peer_succeeded(&t->peer);
    else if (failed && wr_peer_failed(&t->peer, wr_now()) && !is_alone(wr_peers_view(a->u)))
        wr_xlog(x, WR_LOG_WARN, 0, "upstream server temporarily disabled");
    wr_outlier_note(a->u, t, outcome_of(t));
    wr_peer_release(a->u, &t->peer); /* last: now the slot may be given to another server */
}
