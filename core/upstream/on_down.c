/* on_down: ends the sessions of layer 4, and the upgraded connections, whose peer has gone down, if
 * they shall end then (on_down close, proxy_session_drop). Each worker has a list of them for each
 * slot. It looks at the slots that have any when its bell rings, and every second: a process that
 * rings may not know the bell of a newer one.
 *
 * A session that begins on a peer that is down already (all are tried in a panic) ends only when
 * the peer has been up meanwhile and goes down again. */
#include "upstream/upstream_impl.h"

#define LOOK_MS 1000
#define CLOSES_A_TURN 256

struct seat {                    /* of a slot */
    struct wr_link up, down;     /* wr_tries, by what their peer was when they began */
    uint32_t nup;
    uint32_t version, generation; /* of the last view with the peer, and of the peer in it */
    bool said;                   /* that its sessions are closed; they are not all yet */
};
struct wr_down_watch {           /* of an upstream */
    struct seat *at;             /* by slot */
    uint32_t sessions, version;
};

static struct {
    const struct wr_upstreams *all;
    struct wr_loop *loop;        /* NULL: this process has no sessions */
    struct wr_task task;
    struct wr_timer timer;
    uint32_t sessions;
} me;

/* ---- what a peer is ---- */

static void mark_group(struct wr_down_watch *w, const struct wr_peer_group *g, uint32_t version)
{
    for (uint32_t i = 0; i < g->n; i++) {
        w->at[g->at[i].index].version = version;
        w->at[g->at[i].index].generation = g->at[i].generation;
    }
}

/* The watch, with the members of the current view. */
static struct wr_down_watch *watch_of(struct wr_upstream *u)
{
    const struct wr_peers *v = wr_peers_view(u);
    struct wr_down_watch *w = u->watch;

    if (w == NULL) {
        w = u->watch = WR_NEW(u->pool, struct wr_down_watch);
        w->at = WR_NEW_ARRAY(u->pool, struct seat, v->zone.slots);
        w->version = v->version - 1;
        for (uint32_t i = 0; i < v->zone.slots; i++) {
            wr_list_init(&w->at[i].up);
            wr_list_init(&w->at[i].down);
            w->at[i].version = w->version;
        }
    }
    if (w->version != v->version) {
        mark_group(w, &v->main, v->version);
        mark_group(w, &v->backup, v->version);
        w->version = v->version;
    }
    return w;
}

/* NULL: the peer is up, or its health does not matter now. */
static const char *why_down(struct wr_upstream *u, const struct wr_peer *peer)
{
    const struct wr_down_watch *w = u->watch;
    const struct seat *seat = &w->at[peer->index];
    const struct wr_peer_slot *s = peer->slot;
    uint32_t health = atomic_load_explicit(&s->health, memory_order_relaxed);

    if (seat->version != w->version || seat->generation != peer->generation)
        return "was removed from the group";
    if ((atomic_load_explicit(&s->down, memory_order_relaxed) & WR_DOWN_CONF) != 0)
        return "is marked down";
    if ((health & (WR_HEALTH_CHECK | WR_HEALTH_EJECTED)) == 0
        || wr_group_panics(u, u->peers, wr_now()))
        return NULL;
    if ((health & WR_HEALTH_CHECK) != 0)
        return "failed its health check";
    return wr_peer_is_ejected(s, wr_now()) ? "was ejected" : NULL;
}

/* ---- sessions ---- */

static bool must_close(const struct wr_tries *a, const struct wr_peer_slot *s)
{
    uint32_t on_down = atomic_load_explicit(&s->on_down, memory_order_relaxed);

    return on_down == WR_ON_DOWN_CLOSE || (on_down != WR_ON_DOWN_DRAIN && a->rows->session_drop);
}

void wr_try_watch(struct wr_exchange *x)
{
    struct wr_tries *a = x->tries;
    const struct wr_try *t = wr_try_now(a);
    struct wr_down_watch *w;
    bool down;

    if (me.loop == NULL || t == NULL || !t->held || wr_linked(&a->at_peer)
        || !must_close(a, t->peer.slot))
        return;
    w = watch_of(a->u);
    down = why_down(a->u, &t->peer) != NULL;
    a->began_down = down && a->panic;
    if (a->began_down) {
        wr_list_push(&w->at[t->peer.index].down, &a->at_peer);
    } else {
        wr_list_push(&w->at[t->peer.index].up, &a->at_peer);
        w->at[t->peer.index].nup++;
    }
    w->sessions++;
    if (down && !a->began_down) /* it went down while this session connected */
        wr_task_wake(me.loop, &me.task);
    if (me.sessions++ == 0)
        wr_timer_set(me.loop, &me.timer, LOOK_MS);
}

void wr_try_unwatch(struct wr_tries *a)
{
    struct wr_down_watch *w = a->u->watch;

    wr_list_remove(&a->at_peer);
    w->at[wr_try_now(a)->peer.index].nup -= !a->began_down;
    w->sessions--;
    if (--me.sessions == 0)
        wr_timer_off(me.loop, &me.timer);
}

/* ---- looking ---- */

static void say_closing(const struct wr_upstream *u, struct seat *seat, const struct wr_try *t,
                        const char *why)
{
    char buf[WR_ADDR_TEXT_MAX];
    struct wr_text addr = wr_text_on(buf, sizeof(buf));

    wr_addr_text(&t->addr, &addr);
    if (!seat->said)
        wr_say(WR_LOG_NOTICE, 0, "upstream \"" WR_FMT "\": server " WR_FMT " %s: closing its %u "
               "sessions", WR_ARG(u->name), WR_ARG(wr_text_view(&addr)), why, seat->nup);
    seat->said = true;
}

static void raise_sessions(struct seat *seat)
{
    while (!wr_list_empty(&seat->down)) {
        struct wr_link *k = seat->down.next;

        wr_list_remove(k);
        wr_list_push(&seat->up, k);
        wr_container(k, struct wr_tries, at_peer)->began_down = false;
        seat->nup++;
    }
}

/* The peer is what it was when the first of its sessions looked: all have the same. */
static void look_at_seat(struct wr_upstream *u, struct seat *seat, uint32_t *room)
{
    struct wr_link *first = wr_list_empty(&seat->up) ? seat->down.next : seat->up.next;
    struct wr_tries *a = wr_container(first, struct wr_tries, at_peer);
    const char *why = why_down(u, &wr_try_now(a)->peer);

    if (why == NULL) {
        raise_sessions(seat);
        return;
    }
    while (*room > 0 && !wr_list_empty(&seat->up)) {
        a = wr_container(seat->up.next, struct wr_tries, at_peer);
        say_closing(u, seat, wr_try_now(a), why);
        wr_xlog(a->owner, WR_LOG_INFO, 0, "the server %s, the session is closed", why);
        wr_try_unwatch(a);
        (void)wr_finish(a->owner, 0);
        (*room)--;
    }
    seat->said = !wr_list_empty(&seat->up);
}

static void look_at_group(struct wr_upstream *u, uint32_t *room)
{
    struct wr_down_watch *w = watch_of(u);

    for (uint32_t i = 0; i < u->peers->zone.slots && w->sessions > 0 && *room > 0; i++)
        if (!wr_list_empty(&w->at[i].up) || !wr_list_empty(&w->at[i].down))
            look_at_seat(u, &w->at[i], room);
}

static void look_at_all(struct wr_task *t)
{
    uint32_t room = CLOSES_A_TURN;

    for (uint32_t i = 0; i < me.all->all.n && room > 0; i++)
        if (me.all->all.at[i]->watch != NULL && me.all->all.at[i]->watch->sessions > 0)
            look_at_group(me.all->all.at[i], &room);
    if (room == 0)
        wr_task_wake(me.loop, t); /* the rest in the next turn */
    if (me.sessions > 0)
        wr_timer_set(me.loop, &me.timer, LOOK_MS);
}

/* Balancers with tables of the peers begin with them now, not when the next exchange comes. */
static void refresh_views(const struct wr_upstreams *all)
{
    for (uint32_t i = 0; i < all->all.n; i++)
        if (all->all.at[i]->balancer->changed != NULL)
            (void)wr_peers_view(all->all.at[i]);
}

void wr_peers_called(void)
{
    if (me.loop == NULL)
        return;
    refresh_views(me.all);
    if (me.sessions > 0)
        wr_task_wake(me.loop, &me.task);
}

void wr_down_start(const struct wr_upstreams *all, struct wr_loop *l)
{
    me.all = all;
    me.loop = l;
    me.task.run = look_at_all;
    me.timer.task = &me.task;
}

void wr_down_stop(void)
{
    if (me.loop == NULL)
        return;
    wr_timer_off(me.loop, &me.timer);
    wr_task_cancel(&me.task);
    me.loop = NULL;
}
