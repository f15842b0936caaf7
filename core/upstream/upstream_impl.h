/* Private to upstream's files and their tests: peers in shared memory and a worker's view of them,
 */
#ifndef WR_UPSTREAM_IMPL_H
#define WR_UPSTREAM_IMPL_H

#include "upstream/upstream.h"

/* ---- configuration ---- */
struct wr_upstreams {            /* state of wr_module_upstream */
    WR_VEC(struct wr_upstream *) all;
    WR_VEC(struct wr_upstream_use) uses;
    struct wr_keepalive keepalive; /* defaults of a group of layer 7 */
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

/* ---- steps ---- */
/* Ends the current try: counts its outcome, gives its lease back. Idempotent. */
void wr_try_end(struct wr_exchange *x, bool failed);
void wr_waiting_leave(struct wr_tries *a); /* leaves the queue of those that wait for a peer */
uint32_t wr_peers_to_try(struct wr_exchange *x); /* peers not down, or addresses of the name */

#endif
