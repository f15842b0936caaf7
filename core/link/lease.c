/* lease: an exchange's use of a link. A link is found by its key among the parked ones and the
 * shared ones with room; when its last lease ends it is parked or closed. `keepalive` limits how
 * many are parked. Without the directive it is 32, or as many as were in use within the last minute
 * if these are more: dialing again costs more than parking. Called by the steps, and when a try
 * ends. */
#include "link/link_impl.h"

#define SIZE_MIN 16

void wr_in_use_roll(struct wr_in_use *u, uint64_t now_ms)
{
    u->peak[1] = now_ms - u->since_ms < 2 * WR_PEAK_MS ? u->peak[0] : 0;
    u->peak[0] = u->now;
    u->since_ms = now_ms;
}

/* ---- by key ---- */

void wr_links_grow(struct wr_links *t)
{
    uint32_t size = wr_max(2 * t->size, (uint32_t)SIZE_MIN);
    struct wr_links bigger = { .size = size, .buckets = wr_calloc(size, sizeof(*bigger.buckets)) };

    for (uint32_t i = 0; i < t->size; i++)
        while (t->buckets[i] != NULL) {
            struct wr_peer_link *last = t->buckets[i]; /* from the last: keeps the order */

            while (last->next != NULL)
                last = last->next;
            wr_links_remove(t, last);
            wr_links_add(&bigger, last);
        }
    free(t->buckets);
    t->buckets = bigger.buckets;
    t->size = size;
    t->n = bigger.n;
}

/* Links that differ in name, certificates or protocols of the handshake are not interchangeable. */
static bool is_same_key(const struct wr_link_key *a, const struct wr_link_key *b)
{
    if (a->index != b->index || a->generation != b->generation || a->speaker != b->speaker
        || a->location != b->location || a->tls != b->tls || a->client != b->client)
        return false;
    if (a->tls != NULL && (!wr_str_eq(a->name, b->name) || !wr_str_eq(a->alpn, b->alpn)))
        return false;
    if (a->bind == NULL || b->bind == NULL)
        return a->bind == b->bind;
    return wr_addr_eq(a->bind, b->bind);
}

/* A link that is being dialed may be joined: its room is not known yet. */
static enum wr_room find_room(struct wr_peer_link *l)
{
    if (!wr_link_is_shared(l))
        return wr_peer_link_is_silent(l) ? WR_ROOM_READY : WR_ROOM_GONE;
    return l->state < WR_LINK_UP ? WR_ROOM_READY : l->key.speaker->lease(l);
}

struct wr_peer_link *wr_link_find(struct wr_links *t, const struct wr_link_key *k)
{
    uint64_t hash = wr_link_key_hash(k);
    struct wr_peer_link *next;

    if (t->size == 0)
        return NULL;
    for (struct wr_peer_link *l = t->buckets[hash & (t->size - 1)]; l != NULL; l = next) {
        next = l->next;
        t->looked++;
        if (l->hash != hash || !is_same_key(&l->key, k))
            continue;
        switch (find_room(l)) {
        case WR_ROOM_READY:
            return l;
        case WR_ROOM_FULL: /* no search need see it until a lease ends: then it is offered again */
            wr_links_remove(t, l);
            break;
        case WR_ROOM_GONE:
            wr_peer_link_gone(l);
            break;
        }
    }
    return NULL;
}

/* True: keepalive_requests and keepalive_time allow another lease. */
static bool is_fresh(const struct wr_peer_link *l)
{
    const struct wr_keepalive *k = &l->links->keepalive;

    return l->requests < k->requests && wr_now() - l->opened_ms < k->time_ms;
}

static void lease_alone(struct wr_lease *e)
{
    struct wr_peer_link *l = e->link;

    wr_link_hide(l);
    e->sent = l->conn.sent; /* bytes of earlier leases */
    e->received = l->conn.received;
    wr_conn_retask(&l->conn, &e->x->task);
}

static void lease_shared(struct wr_lease *e)
{
    struct wr_peer_link *l = e->link;

    e->waits = l->state < WR_LINK_UP;
    e->x->waits += e->waits;
    if (l->state == WR_LINK_UP && l->links != NULL && !is_fresh(l)) {
        l->gone = true;
        wr_link_hide(l);
        if (l->key.speaker->drain != NULL)
            l->key.speaker->drain(l);
    }
}

void wr_lease_begin(struct wr_lease *e, struct wr_exchange *x, struct wr_peer_link *l)
{
    bool again = l->requests > 0;

    *e = (struct wr_lease){ .link = l, .x = x, .reused = again && l->state == WR_LINK_UP,
                            .joined = again && l->state < WR_LINK_UP };
    if (l->parked.next != NULL)
        wr_link_unpark(l);
    wr_list_push(&l->leases, &e->at);
    l->nleases++;
    l->requests++;
    if (wr_link_is_shared(l))
        lease_shared(e);
    else
        lease_alone(e);
}

static bool may_park(const struct wr_peer_link *l, const struct wr_lease *e, bool failed)
{
    if (l->links == NULL || l->links->keepalive.connections == 0 || l->bound || l->gone
        || l->state != WR_LINK_UP || (!wr_link_is_shared(l) && (failed || !e->reusable)))
        return false;
    return is_fresh(l) && !l->conn.read_eof && (l->conn.ready & (WR_HUP | WR_ERR)) == 0;
}

static void park_link(struct wr_peer_link *l)
{
    struct wr_links *t = l->links;

    while (t->nparked >= wr_links_limit(t, wr_now())) /* the longest parked makes room */
        (void)wr_links_drop_one(t);
    wr_conn_retask(&l->conn, &l->task);
    wr_conn_arm(&l->conn);
    wr_conn_timeout(&l->conn, t->keepalive.timeout_ms);
    wr_list_unshift(&t->parked, &l->parked);
    t->nparked++;
    wr_link_show(l);
    wr_link_count_use(l, -1);
}

void wr_lease_end(struct wr_lease *e, bool failed)
{
    struct wr_peer_link *l = e->link;

    e->link = NULL;
    wr_list_remove(&e->at);
    e->x->waits -= e->waits;
    e->waits = e->joined = false;
    if (--l->nleases > 0)
        wr_peer_link_offer(l);
    else if (may_park(l, e, failed))
        park_link(l);
    else
        wr_peer_link_close(l);
}

bool wr_links_drop_one(struct wr_links *t)
{
    if (t->nparked == 0)
        return false;
    wr_peer_link_close(wr_container(t->parked.prev, struct wr_peer_link, parked));
    return true;
}

void wr_links_drop_client(struct wr_links *t, uint64_t client)
{
    struct wr_link *next;

    for (struct wr_link *k = t->parked.next; k != &t->parked; k = next) {
        struct wr_peer_link *l = wr_container(k, struct wr_peer_link, parked);

        next = k->next;
        if (l->key.client == client)
            wr_peer_link_close(l);
    }
}

void wr_links_drop(struct wr_links *t)
{
    while (wr_links_drop_one(t))
        ;
    if (t->n > 0) /* some are in use */
        return;
    free(t->buckets);
    t->buckets = NULL;
    t->size = 0;
}
