/* Private to upstream's files and their tests: peers in shared memory and a worker's view of them,
 * how links are dialed, found and given back. */
#ifndef WR_UPSTREAM_IMPL_H
#define WR_UPSTREAM_IMPL_H

#include "upstream/upstream.h"

/* ---- zones ---- */
/* A zone as this process knows it: who is a member, slots, and who holds how many of each. Every
 * process of the instance may write into it: what is read there is checked. */
struct wr_peer_zone {
    struct wr_zone zone;
    uint32_t slots;
    struct wr_roster members;
    struct wr_peer_slot *slot;   /* as many as slots */
    struct wr_ledger ledger;     /* the totals are the slots' conns */
};
/* The zone this one replaces; false: there is none, or its size is not what so many slots have. */
bool wr_shared_previous(const struct wr_upstream *u, struct wr_peer_zone *out) WR_CHECKED;
/* Keeper: a free slot becomes one that is being written; false: somebody counts on it just now. */
bool wr_slot_claim(struct wr_peer_slot *s) WR_CHECKED;
/* Replaces the addresses of one server; publishes a new index if anything changed, and this process
 * owns the zone. Returns true then. Of service records those of the lowest priority number are the
 * server, others its backups (if it is a backup itself: left out), and their weights are used
 * unless it has one. */
bool wr_shared_update(struct wr_upstream *u, struct wr_server *s,
                      const struct wr_name_addr *addrs, uint32_t n);
/* Keeper: counts were put right, so that slots may be free: tries again what did not fit. */
void wr_upstreams_fit(struct wr_conf *c);
/* Keeper: asks again at TTL and updates the zones; drop before the loop is freed. */
void wr_names_keep(struct wr_conf *c, struct wr_loop *l);
void wr_names_drop(void);

/* ---- a worker's view ---- */
struct wr_peers {
    struct wr_peer_zone zone;
    uint32_t version;
    struct wr_peer_group main, backup;
    struct wr_pool *pool;        /* of this version */
};
void wr_peers_rebuild(struct wr_upstream *u);
/* Brings the view up to the published version (cheap when nothing changed). */
static inline struct wr_peers *wr_peers_view(struct wr_upstream *u)
{
    struct wr_peers *v = u->peers;

    if (wr_unlikely(v->pool == NULL || v->version != wr_roster_version(&v->zone.members)))
        wr_peers_rebuild(u);
    return v;
}
void wr_peers_drop(struct wr_upstream *u);
/* Pure: the smooth weighted round robin order of `n` weights, nginx's sequence; at most max steps
 * (weights are divided by their gcd first). Returns the number of steps. */
uint32_t wr_schedule(const uint32_t *weights, uint32_t n, uint32_t *out, uint32_t max);
/* Counts a connection, in the ledger first; false: max_conns is reached, or the slot is another's
 * meanwhile. */
bool wr_peer_hold(struct wr_upstream *u, const struct wr_peer *peer) WR_CHECKED;
void wr_peer_release(struct wr_upstream *u, const struct wr_peer *peer);
/* Failure counting: probe at pick, failed (true: set aside, or again after a probe) or wr_peer_fine
 * at the end of a try. fail_timeout: the peer is set aside for it after max_fails failures, then
 * one session is let through as a probe (checked_ms moves, so that others wait); its success
 * forgives all. */
static inline bool wr_peer_rested(const struct wr_peer_slot *s, uint64_t now_ms)
{
    return now_ms - atomic_load_explicit(&s->checked_ms, memory_order_relaxed)
         > atomic_load_explicit(&s->fail_timeout_ms, memory_order_relaxed);
}
static inline void wr_peer_probe(const struct wr_peer *peer, uint64_t now_ms)
{
    if (wr_peer_rested(peer->slot, now_ms))
        atomic_store_explicit(&peer->slot->checked_ms, now_ms, memory_order_relaxed);
}
bool wr_peer_failed(const struct wr_peer *peer, uint64_t now_ms);

/* ---- links ---- */
static inline struct wr_peer_link *wr_peer_link_of(struct wr_conn *c)
{
    return wr_container(c, struct wr_peer_link, conn);
}

/* ---- connect: dialing, with or without an exchange ---- */
struct wr_link_plan {            /* a link that is to be; borrowed, what it points to is copied */
    struct wr_loop *loop;
    struct wr_task *task;        /* has the connection's events; NULL: the link's own,
                                  * which dials */
    struct wr_upstream *u;       /* NULL: an address that belongs to none */
    struct wr_peer peer;
    const struct wr_addr *addr;
    const struct wr_upstream_rows *rows; /* lives as long as the link */
    struct wr_link_key key;
    bool bound;
    struct wr_str announce, certificate, certificate_key; /* stay until it is up: not copied */
    const struct wr_log *log;
    const struct wr_log_source *source; /* stays, too; NULL: the link's own */
};
/* Begins to dial: the link connects, or is DOWN already, which was logged. NULL: *why. */
struct wr_peer_link *wr_peer_link_open(const struct wr_link_plan *p, enum wr_failure *why);
/* AGAIN: its task will be woken; OK: SECURES or UP; ERROR: DOWN, which was logged. */
enum wr_io wr_peer_link_connect(struct wr_peer_link *l) WR_CHECKED;
/* peer_tls: sends what is to be announced, shakes hands. OK: UP. */
enum wr_io wr_peer_link_secure(struct wr_peer_link *l) WR_CHECKED;
enum wr_io wr_peer_link_dial(struct wr_peer_link *l) WR_CHECKED; /* the one, then the other */
/* Results of their parts. */
enum wr_io wr_peer_link_up(struct wr_peer_link *l);
enum wr_io wr_peer_link_down(struct wr_peer_link *l, enum wr_failure why);
enum wr_io wr_peer_link_waits(struct wr_peer_link *l); /* until its deadline */

/* ---- link, lease ---- */
struct wr_peer_link *wr_peer_link_new(const struct wr_link_plan *p, int fd);
void wr_peer_link_close(struct wr_peer_link *l); /* idempotent; freed at the end of the turn */
/* The exchange's current try uses l, just opened; l NULL: a link of that key that has room, the
 * newest first. False: there is none. */
bool wr_lease_begin(struct wr_exchange *x, struct wr_peer_link *l, const struct wr_link_key *k);
/* Gives it back: with its last lease a link is parked or closed. */
void wr_lease_end(struct wr_lease *e, bool failed);
/* Bytes nobody asked for must not become the reply to what is asked next. The event that tells of
 * them may still wait in this turn; a read that took all it wanted leaves the bit set. */
static inline bool wr_peer_link_silent(struct wr_peer_link *l)
{
    char byte;
    size_t got;

    return (l->conn.ready & (WR_HUP | WR_ERR)) == 0
        && wr_conn_peek(&l->conn, &byte, 1, &got) == WR_IO_AGAIN;
}

/* ---- links by key ---- */
static inline uint64_t wr_link_key_hash(const struct wr_link_key *k)
{
    uint64_t h = ((uint64_t)k->generation << 32 | k->index) * 0x9e3779b97f4a7c15U;

    h = (h ^ (uintptr_t)k->location ^ (uint64_t)(uintptr_t)k->speaker << 20) * 0xff51afd7ed558ccdU;
    if (k->tls != NULL)
        h = wr_hash_stable(k->name, wr_hash_stable(k->alpn, h ^ (uintptr_t)k->tls));
    if (k->bind != NULL)
        h ^= wr_addr_hash(k->bind);
    return h ^ h >> 32;
}
void wr_links_grow(struct wr_links *t);
static inline void wr_links_put(struct wr_links *t, struct wr_peer_link *l)
{
    struct wr_peer_link **at;

    if (wr_unlikely(t->n == t->size))
        wr_links_grow(t);
    at = &t->buckets[l->hash & (t->size - 1)];
    l->next = *at;
    l->back = at;
    if (l->next != NULL)
        l->next->back = &l->next;
    *at = l;
    t->n++;
}
static inline void wr_links_take_out(struct wr_links *t, struct wr_peer_link *l)
{
    *l->back = l->next;
    if (l->next != NULL)
        l->next->back = l->back;
    l->back = NULL;
    t->n--;
}
/* Only a link of an upstream is ever found by another exchange, and none that is bound to one. */
static inline void wr_link_put_in(struct wr_peer_link *l)
{
    if (l->back == NULL && l->u != NULL && !l->bound)
        wr_links_put(&l->u->links, l);
}
static inline void wr_link_take_out(struct wr_peer_link *l)
{
    if (l->back != NULL)
        wr_links_take_out(&l->u->links, l);
}
bool wr_links_drop_one(struct wr_upstream *u); /* the one parked for longest; false: none */
void wr_links_drop(struct wr_upstream *u); /* all that nobody uses: shutdown */
#define WR_PEAK_MS 30000         /* two such spans make "the last minute" */
void wr_in_use_roll(struct wr_in_use *u, uint64_t now_ms);
/* One more (or less) in use; pure but for what is given. */
static inline void wr_in_use_add(struct wr_in_use *u, int delta, uint64_t now_ms)
{
    if (now_ms - u->since_ms >= WR_PEAK_MS)
        wr_in_use_roll(u, now_ms);
    u->now = (uint32_t)((int)u->now + delta);
    u->peak[0] = wr_max(u->peak[0], u->now);
}
/* How many may be parked. */
static inline uint32_t wr_links_limit(struct wr_upstream *u, uint64_t now_ms)
{
    if (!u->keepalive.grows)
        return u->keepalive.connections;
    if (now_ms - u->in_use.since_ms >= WR_PEAK_MS)
        wr_in_use_roll(&u->in_use, now_ms);
    return wr_max(u->keepalive.connections, wr_max(u->in_use.peak[0], u->in_use.peak[1]));
}

static inline void wr_link_count_use(struct wr_peer_link *l, int delta)
{
    if (l->u != NULL)
        wr_in_use_add(&l->u->in_use, delta, wr_now());
}
static inline void wr_link_unpark(struct wr_peer_link *l)
{
    wr_list_remove(&l->parked);
    l->u->links.nparked--;
    wr_conn_timeout(&l->conn, 0);
    if (!wr_link_is_shared(l)) /* else something may have happened that its speaker must hear of */
        wr_task_cancel(&l->task);
    wr_link_count_use(l, 1);
}

/* ---- steps ---- */
enum wr_go wr_try_failed(struct wr_exchange *x, enum wr_failure why); /* to step retry */
/* Ends the current try: counts it, gives its lease back. Idempotent. */
void wr_try_end(struct wr_exchange *x, bool failed);
void wr_waiting_leave(struct wr_attempts *a); /* it waits for no peer any more */
uint32_t wr_peers_to_try(struct wr_exchange *x); /* servers not down, or addresses of the name */

#endif
