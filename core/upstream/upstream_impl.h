/* Private to upstream's files and their tests: peers in shared memory and a worker's view of them,
 * how links are dialed, found and given back. */
#ifndef WR_UPSTREAM_IMPL_H
#define WR_UPSTREAM_IMPL_H

#include "upstream/upstream.h"

/* ---- configuration ---- */
struct wr_upstreams {            /* state of wr_module_upstream */
    WR_VEC(struct wr_upstream *) all;
    WR_VEC(struct wr_upstream_use) uses;
    struct wr_keepalive keepalive; /* defaults of a group of layer 7 */
    struct wr_peer_tls_live *tls;  /* contexts of proxy_ssl_* */
};
struct wr_upstreams *wr_conf_upstreams(const struct wr_conf *c);
struct wr_resolver_conf {        /* the resolver directive */
    struct wr_resolver_opts opts;
    uint64_t grace_ms;           /* how long a name that is gone keeps its addresses */
    struct wr_resolver *resolver; /* of this process; made on first use */
    struct wr_resolver_conf *next; /* in the list of those with a resolver in this process */
    bool set;
};
struct wr_resolver *wr_scope_resolver(const struct wr_scope *s,
                                      struct wr_loop *l); /* NULL: none configured */
struct wr_resolver *wr_resolver_of(struct wr_resolver_conf *c, struct wr_loop *l);

/* ---- zones ---- */
#define WR_PEER_LAYOUT 7         /* of wr_peer_slot and wr_group_words */
/* Words of a group that all its workers share. */
struct wr_group_words {
    struct wr_group_cursors {    /* round robin */
        _Atomic uint64_t turn;   /* the next position of the schedule */
        _Atomic uint64_t rest;   /* the same among the usable peers, when few are */
    } cursors[2];                /* main peers, backups */
};
/* This process' view of a zone: the list of members, the slots, and the ledger of leases. Any
 * process of the instance may write into it: check everything read from it. */
struct wr_peer_zone {
    struct wr_zone zone;
    uint32_t slots;
    struct wr_roster members;
    struct wr_group_words *words;
    struct wr_peer_slot *slot;   /* as many as slots */
    struct wr_ledger ledger;     /* the totals are the slots' conns */
};
/* The zone this one replaces; false: there is none, or its size does not fit its slots. */
bool wr_peer_zone_previous(const struct wr_upstream *u, struct wr_peer_zone *out) WR_CHECKED;
/* A list of slots, each at most once, in private memory. */
struct wr_member_list {
    uint32_t *at, n;
    uint64_t *has;               /* a bitmap, by slot */
    uint32_t *index, mask;       /* slot + 1, by server key and address; of a list that was read */
};
struct wr_member_list wr_members_new(uint32_t slots);
struct wr_member_list wr_members_read(const struct wr_peer_zone *z); /* as published */
void wr_members_free(struct wr_member_list *l);
static inline bool wr_members_have(const struct wr_member_list *l, uint32_t slot)
{
    return (l->has[slot / 64] >> (slot % 64) & 1) != 0;
}
void wr_members_add(struct wr_member_list *l, uint32_t slot); /* must not be there yet */
/* The slot of the server for an address, of a list that was read. A service may have an address
 * twice: skips slots in `taken` (or NULL). */
struct wr_peer_slot *wr_members_find(const struct wr_member_list *l, const struct wr_peer_zone *z,
                                     uint64_t key, const struct wr_addr *addr,
                                     const struct wr_member_list *taken) WR_CHECKED;
/* Keeper: marks a free slot as being written (odd generation); false: a worker has counted a lease
 * in it. */
bool wr_slot_claim(struct wr_peer_slot *s) WR_CHECKED;
/* Replaces the addresses of one server and publishes a new list of members if anything changed and
 * this process owns the zone; true: published. SRV records of the lowest priority number become
 * main peers, the others backups (left out for a server that is itself a backup). Their weights
 * apply unless the server has `weight`. */
bool wr_peer_zone_update(struct wr_upstream *u, struct wr_server *s,
                         const struct wr_name_addr *addrs, uint32_t n);
/* Keeper: publishes again the groups whose addresses did not all fit. Call it after counts were
 * corrected: slots may be free now. */
void wr_upstreams_fit(struct wr_conf *c);
/* Keeper: resolves names again when their TTL ends and updates the zones. Call wr_names_unwatch
 * before the loop is freed. */
void wr_names_watch(struct wr_conf *c, struct wr_loop *l);
void wr_names_unwatch(void);

/* ---- ledger: how many leases each process holds of each peer ---- */
/* Worker, before it counts: gets clean rows in the ledgers of all groups. */
void wr_peers_begin(struct wr_conf *c);
/* Keeper: takes back the counts of dead processes. Returns what wr_ledger_sweep does. */
bool wr_peers_sweep(struct wr_conf *c);
bool wr_peers_look(struct wr_conf *c); /* keeper: wr_ledger_look for all groups */

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
/* ---- schedule: pure ---- */
/* Makes the order for n weights; a peer of weight 0 has no turn. Sums of at most 4096, divided by
 * the weights' common divisor, have nginx's order; above, any `steps` positions in a row contain
 * each peer as often as its weight says. */
void wr_schedule_make(struct wr_schedule *s, struct wr_pool *pool, const uint32_t *weights,
                      uint32_t n);
/* The index of the peer at a position, which may be any number; steps must not be 0. */
uint32_t wr_schedule_at(const struct wr_schedule *s, uint64_t position);
/* Spreads positions evenly over 0 ... sum - 1, each once in a period; sum: 1 ... 2^32 - 1. */
uint64_t wr_schedule_spread(uint64_t position, uint64_t sum);

/* ---- counts of leases ---- */
/* Counts a lease, in the ledger first; false: max_conns is reached, or the slot was given to
 * another peer. */
bool wr_peer_hold(struct wr_upstream *u, const struct wr_peer *peer) WR_CHECKED;
void wr_peer_release(struct wr_upstream *u, const struct wr_peer *peer);
/* Counting failures. After max_fails failures a peer is set aside for fail_timeout; then one
 * exchange may try it as a probe (checked_ms moves, so that others wait); the success of the probe
 * clears the count. Call wr_peer_probe at each pick, wr_peer_failed or wr_peer_succeeded at the end
 * of each try. wr_peer_failed: true if the peer is set aside now, or again after a failed probe.
 * wr_peer_is_rested: fail_timeout is over. */
static inline bool wr_peer_is_rested(const struct wr_peer_slot *s, uint64_t now_ms)
{
    return now_ms - atomic_load_explicit(&s->checked_ms, memory_order_relaxed)
         > atomic_load_explicit(&s->fail_timeout_ms, memory_order_relaxed);
}
static inline void wr_peer_probe(const struct wr_peer *peer, uint64_t now_ms)
{
    if (wr_peer_is_rested(peer->slot, now_ms))
        atomic_store_explicit(&peer->slot->checked_ms, now_ms, memory_order_relaxed);
}
bool wr_peer_failed(const struct wr_peer *peer, uint64_t now_ms);

/* ---- links ---- */
static inline struct wr_peer_link *wr_peer_link_of(struct wr_conn *c)
{
    return wr_container(c, struct wr_peer_link, conn);
}

/* ---- connect: dialing, with or without an exchange ---- */
struct wr_link_plan {            /* how to make a link; borrowed: addr and key are copied */
    struct wr_loop *loop;
    struct wr_task *task;        /* gets the connection's events and dials; NULL: the link's own */
    struct wr_upstream *u;       /* NULL: an address that belongs to none */
    struct wr_peer peer;
    const struct wr_addr *addr;
    const struct wr_upstream_rows *rows; /* must outlive the link */
    struct wr_link_key key;
    bool bound;
    struct wr_str announce, certificate, certificate_key; /* not copied: must stay until it is up */
    const struct wr_log *log;
    const struct wr_log_source *source; /* must stay until it is up; NULL: the link's own */
};
/* Makes a link and begins to dial. The link may be DOWN already (logged). NULL: see *why. */
struct wr_peer_link *wr_peer_link_open(const struct wr_link_plan *p, enum wr_failure *why);
/* AGAIN: its task will be woken; OK: its state is SECURES or UP; ERROR: DOWN (logged). */
enum wr_io wr_peer_link_connect(struct wr_peer_link *l) WR_CHECKED;
/* In peer_tls: sends `announce`, then shakes hands. OK: its state is UP; AGAIN, ERROR: as above. */
enum wr_io wr_peer_link_secure(struct wr_peer_link *l) WR_CHECKED;
enum wr_io wr_peer_link_dial(struct wr_peer_link *l) WR_CHECKED; /* connect, then secure */
/* For the files that dial: set the state and return the result for it. */
enum wr_io wr_peer_link_up(struct wr_peer_link *l);
enum wr_io wr_peer_link_down(struct wr_peer_link *l, enum wr_failure why);
enum wr_io wr_peer_link_waits(struct wr_peer_link *l); /* AGAIN, or ERROR after its deadline */

/* ---- link, lease ---- */
struct wr_peer_link *wr_peer_link_new(const struct wr_link_plan *p, int fd);
void wr_peer_link_close(struct wr_peer_link *l); /* idempotent; freed at the end of the turn */
/* Leases l, just opened, for the exchange's current try. If l is NULL, searches for a link of key k
 * that has room, the newest first. False: l and k are NULL, or there is no such link. */
bool wr_lease_begin(struct wr_exchange *x, struct wr_peer_link *l, const struct wr_link_key *k);
/* Gives the lease back; with its last lease a link is parked or closed. */
void wr_lease_end(struct wr_lease *e, bool failed);
/* True: the parked link has no unread bytes. Bytes sent without a request must not become the reply
 * to the next one. Peeks, as the ready bit does not tell: the event may come later in this turn,
 * and a read that got all it asked for leaves the bit set. */
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
static inline void wr_links_add(struct wr_links *t, struct wr_peer_link *l)
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
static inline void wr_links_remove(struct wr_links *t, struct wr_peer_link *l)
{
    *l->back = l->next;
    if (l->next != NULL)
        l->next->back = l->back;
    l->back = NULL;
    t->n--;
}
/* Other exchanges may find only links of an upstream that are not bound to a client. */
static inline void wr_link_show(struct wr_peer_link *l)
{
    if (l->back == NULL && l->u != NULL && !l->bound)
        wr_links_add(&l->u->links, l);
}
static inline void wr_link_hide(struct wr_peer_link *l)
{
    if (l->back != NULL)
        wr_links_remove(&l->u->links, l);
}
bool wr_links_drop_one(struct wr_upstream *u); /* closes the longest parked; false: none parked */
void wr_links_drop(struct wr_upstream *u); /* at shutdown: closes all parked links */
#define WR_PEAK_MS 30000         /* half of the last minute */
void wr_in_use_roll(struct wr_in_use *u, uint64_t now_ms);
/* Counts delta more links in use. Changes nothing but *u. */
static inline void wr_in_use_add(struct wr_in_use *u, int delta, uint64_t now_ms)
{
    if (now_ms - u->since_ms >= WR_PEAK_MS)
        wr_in_use_roll(u, now_ms);
    u->now = (uint32_t)((int)u->now + delta);
    u->peak[0] = wr_max(u->peak[0], u->now);
}
/* How many links may be parked. */
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
    if (!wr_link_is_shared(l)) /* an event of a shared link stays for its speaker */
        wr_task_cancel(&l->task);
    wr_link_count_use(l, 1);
}

/* ---- steps ---- */
/* Ends the current try: counts its outcome, gives its lease back. Idempotent. */
void wr_try_end(struct wr_exchange *x, bool failed);
void wr_waiting_leave(struct wr_tries *a); /* leaves the queue of those that wait for a peer */
uint32_t wr_peers_to_try(struct wr_exchange *x); /* peers not down, or addresses of the name */

#endif
