/* queue: exchanges of a group with the directive `queue` that wait until a peer can be picked, in
 * order of arrival over all workers of all generations. The step pick asks here whether it is the
 * exchange's turn, and what to do when no peer could be picked. Whoever makes a peer usable calls
 * wr_waiting_wake: workers when a lease ends, the keeper when it publishes or has taken back what a
 * dead process held. The order between processes is in the zone (core/os/zone_queue.c).
 *
 * Only the first one picks. If it can use none of the peers that have room for others, as it has
 * tried them already, it steps aside: it keeps its place and is called with the first one, but
 * those behind it need not wait for it. An exchange that is bound to a draining peer stands aside
 * from the beginning: nobody else gets that peer, and the first one would not see its room. */
#include "upstream/upstream_impl.h"

#define LOOK_MS 1000         /* everyone who waits looks this often, in case a call was damaged */

static struct wr_link busy_queues; /* of this process, in which exchanges wait */

static struct wr_queue *zone_queue(const struct wr_upstream *u)
{
    return &u->peers->zone.queue;
}

static struct wr_tries *first_of(struct wr_link *list)
{
    return wr_list_empty(list) ? NULL : wr_container(list->next, struct wr_tries, waiting);
}

static void show_first(struct wr_peer_queue *q)
{
    const struct wr_tries *first = first_of(&q->waiting);

    wr_queue_show(zone_queue(q->u), first != NULL ? first->ticket : 0, !wr_list_empty(&q->aside));
}

/* ---- calling ---- */

static void wake_here(struct wr_peer_queue *q)
{
    struct wr_tries *first = first_of(&q->waiting);

    if (first != NULL)
        wr_exchange_wake(first->owner);
    for (struct wr_link *k = q->aside.next; k != &q->aside; k = k->next)
        wr_exchange_wake(wr_container(k, struct wr_tries, waiting)->owner);
}

void wr_waiting_wake(struct wr_upstream *u)
{
    if (!wr_queue_is_empty(zone_queue(u)) && wr_queue_call(zone_queue(u)) && u->queue != NULL)
        wake_here(u->queue);
}

void wr_waiting_called(void)
{
    for (struct wr_link *k = busy_queues.next; k != NULL && k != &busy_queues; k = k->next)
        wake_here(wr_container(k, struct wr_peer_queue, at));
}

/* ---- room ---- */

static uint64_t group_room(const struct wr_pick *p, const struct wr_peer_group *g)
{
    uint64_t at = WR_NOT_YET;

    for (uint32_t i = 0; i < g->n && at > p->now_ms; i++)
        at = wr_min(at, wr_peer_room(p, &g->at[i]));
    return at;
}

/* The time at which an exchange that has tried no peer finds one, as far as is known now;
 * WR_NOT_YET: not before something changes. */
static uint64_t room_at(struct wr_upstream *u)
{
    const struct wr_peers *v = wr_peers_view(u);
    struct wr_pick p = { .now_ms = wr_now(), .alone = v->main.n + v->backup.n == 1 };
    uint64_t at;

    p.panic = wr_group_panics(u, v, p.now_ms);
    at = group_room(&p, &v->main);
    p.backup = true;
    return at <= p.now_ms ? at : wr_min(at, group_room(&p, &v->backup));
}

static bool has_untried(const uint64_t *tried, const struct wr_peer_group *g)
{
    for (uint32_t i = 0; i < g->n; i++)
        if (!wr_peer_is_tried(tried, g->at[i].index) && atomic_load(&g->at[i].slot->down) == 0)
            return true;
    return false;
}

/* ---- the second look ---- */

static void look_at(struct wr_peer_queue *q, uint64_t at)
{
    uint64_t now = wr_now(), ms = at > now ? wr_min(at - now, (uint64_t)LOOK_MS) : LOOK_MS;

    if (q->timer.at == 0 || q->timer.at > now + ms)
        wr_timer_set(q->loop, &q->timer, ms);
}

/* Once a second, and when a peer has rested after its failures. A head that has left room unused
 * for a second is dead or stopped, or was never there. */
static void look_again(struct wr_task *t)
{
    struct wr_peer_queue *q = wr_container(t, struct wr_peer_queue, look);
    struct wr_queue *z = zone_queue(q->u);
    struct wr_queue_head h;

    show_first(q);
    h = wr_queue_head(z);
    if (h.process == wr_self.slot || room_at(q->u) > wr_now())
        h.ticket = 0;
    if (h.ticket == 0 || h.ticket != q->seen.ticket || h.process != q->seen.process) {
        q->seen = h;
        q->seen_ms = wr_now();
    } else if (wr_now() - q->seen_ms >= LOOK_MS) {
        wr_queue_skip(z, h);
        wr_waiting_wake(q->u);
    }
    wake_here(q);
    look_at(q, WR_NOT_YET);
}

void wr_waiting_begin(struct wr_upstream *u, struct wr_loop *l)
{
    struct wr_peer_queue *q = u->queue;

    q->u = u;
    q->loop = l;
    wr_list_init(&q->waiting);
    wr_list_init(&q->aside);
    q->look.run = look_again;
    q->timer.task = &q->look;
    if (busy_queues.next == NULL)
        wr_list_init(&busy_queues);
}

/* ---- waiting ---- */

/* A draining peer serves only clients that are bound to it. They need not stand behind the others,
 * who wait for other peers. */
static bool is_bound_to_draining(struct wr_exchange *x)
{
    struct wr_upstream *u = x->tries->u;
    struct wr_peers *v = wr_peers_view(u);
    struct wr_pick p = { .x = x, .tried = x->tries->tried, .now_ms = wr_now(), .crowded = true };
    const struct wr_peer *peer;

    if (u->sticky == NULL)
        return false;
    p.alone = v->main.n + v->backup.n == 1;
    p.panic = wr_group_panics(u, v, p.now_ms);
    peer = u->sticky->find(u, &v->main, &p);
    if (peer == NULL) {
        p.backup = true;
        peer = u->sticky->find(u, &v->backup, &p);
    }
    return peer != NULL
        && (atomic_load_explicit(&peer->slot->down, memory_order_relaxed) & WR_DOWN_DRAIN) != 0;
}

/* Inserts by the time of arrival, also after a try that failed. */
static void stand_in_line(struct wr_peer_queue *q, struct wr_tries *a)
{
    struct wr_link *before = q->waiting.prev;

    a->ticket = a->all.n > a->first ? a->begun_ms * 1000000 : wr_time_ns();
    while (before != &q->waiting
           && wr_container(before, struct wr_tries, waiting)->ticket > a->ticket)
        before = before->prev;
    wr_list_unshift(before, &a->waiting);
}

static enum wr_stay join_queue(struct wr_exchange *x)
{
    struct wr_tries *a = x->tries;
    struct wr_peer_queue *q = a->u->queue;
    const struct wr_peers *v = wr_peers_view(a->u);

    if (a->tried != NULL && !has_untried(a->tried, &v->main) && !has_untried(a->tried, &v->backup))
        return WR_STAY_NOT;
    if (!wr_queue_enter(zone_queue(a->u), q->places, a->u->pool))
        return WR_STAY_FULL;
    a->aside = is_bound_to_draining(x);
    if (a->aside)
        wr_list_push(&q->aside, &a->waiting);
    else
        stand_in_line(q, a);
    a->waits_from_ms = wr_now();
    if (a->aside || q->waiting.next == &a->waiting)
        show_first(q);
    if (!wr_linked(&q->at))
        wr_list_push(&busy_queues, &q->at);
    look_at(q, WR_NOT_YET);
    wr_timer_set(x->loop, &x->idle, q->timeout_ms);
    wr_trace(x, "queue", a->u->queue->places);
    wr_xlog(x, WR_LOG_INFO, 0, "waits for a server in the queue, %u of %u places are taken",
            atomic_load(zone_queue(a->u)->taken), q->places);
    return WR_STAY_LOOK;
}

static bool is_first(const struct wr_tries *a)
{
    return !a->aside && a->u->queue->waiting.next == &a->waiting;
}

bool wr_waiting_turn(const struct wr_tries *a)
{
    const struct wr_queue *z = zone_queue(a->u);

    if (a->u->queue == NULL)
        return true;
    if (!wr_linked(&a->waiting)) /* those aside let others pass */
        return wr_queue_is_empty(z) || wr_queue_head(z).ticket == 0;
    return a->aside || (is_first(a) && wr_queue_head(z).process == wr_self.slot);
}

static void step_aside(struct wr_tries *a)
{
    struct wr_peer_queue *q = a->u->queue;

    wr_list_remove(&a->waiting);
    wr_list_push(&q->aside, &a->waiting);
    a->aside = true;
    show_first(q);
    wr_waiting_wake(a->u);
}

enum wr_stay wr_waiting_stay(struct wr_exchange *x, bool looked)
{
    struct wr_tries *a = x->tries;
    uint64_t room;

    if (a->u->queue == NULL)
        return WR_STAY_NOT;
    if (!wr_linked(&a->waiting))
        return join_queue(x);
    if (x->idle.fired)
        return WR_STAY_LATE;
    if (!looked)
        return WR_STAY_WAIT;
    room = room_at(a->u);
    if (is_first(a) && room <= wr_now()) {
        step_aside(a);
        return WR_STAY_LOOK;
    }
    if (room > wr_now() && room != WR_NOT_YET)
        look_at(a->u->queue, room);
    return WR_STAY_WAIT;
}

/* Shows the next one first, then looks whether there is room for it: core/os/zone_queue.c. */
void wr_waiting_leave(struct wr_tries *a)
{
    struct wr_peer_queue *q = a->u->queue;
    bool first = is_first(a);

    a->waited_ms += wr_now() - a->waits_from_ms;
    wr_list_remove(&a->waiting);
    wr_timer_off(a->owner->loop, &a->owner->idle);
    if (first || a->aside)
        show_first(q);
    wr_queue_leave(zone_queue(a->u));
    if (wr_list_empty(&q->waiting) && wr_list_empty(&q->aside)) {
        wr_list_remove(&q->at);
        wr_timer_off(q->loop, &q->timer);
        wr_task_cancel(&q->look);
    }
    if (first && !wr_queue_is_empty(zone_queue(a->u)) && room_at(a->u) != WR_NOT_YET)
        wr_waiting_wake(a->u);
}

/* ---- configuration ---- */

bool wr_set_queue(struct wr_cf *cf, void *conf)
{
    struct wr_upstream *u = WR_CHECK(cf->scope->object, UPSTREAM);
    struct wr_str v;
    uint64_t n;

    (void)conf;
    u->queue = WR_NEW(cf->pool, struct wr_peer_queue);
    u->queue->timeout_ms = 60000;
    if (!wr_str_u64(wr_cf_arg(cf, 1), &n) || n == 0 || n > INT32_MAX)
        return wr_cf_error_hint(cf, 1, "it takes the most that wait at a time: 1 or more",
                                "invalid value \"" WR_FMT "\" in \"queue\" directive",
                                WR_ARG(wr_cf_arg(cf, 1)));
    u->queue->places = (uint32_t)n;
    if (cf->nargs == 1)
        return true;
    if (!wr_param(wr_cf_arg(cf, 2), "timeout", &v) || !wr_parse_msec(v, &u->queue->timeout_ms)
        || u->queue->timeout_ms == 0)
        return wr_cf_error_hint(cf, 2, "it takes timeout=TIME, 1ms or more",
                                "invalid parameter \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 2)));
    return true;
}
