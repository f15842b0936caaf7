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
extern const struct wr_keeper_hooks wr_upstreams_keeper;
bool wr_set_keepalive(struct wr_cf *cf, void *conf);
bool wr_set_keepalive_requests(struct wr_cf *cf, void *conf);
bool wr_set_keepalive_ms(struct wr_cf *cf, void *conf);
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

/* ---- servers: of directives and of files ---- */
struct wr_server wr_server_new(void); /* with the defaults of its parameters */
/* Sets text, host, port and addr or named. NULL, or the reason of a failure. Pure. */
const char *wr_server_address(struct wr_server *s, struct wr_str text, uint16_t default_port);
enum wr_param_kind {             /* parameters that are refused in some places */
    WR_PARAMS_OF_NAMES = 1, WR_PARAMS_OF_BACKUPS = 2, WR_PARAMS_OF_ROUTES = 4
};
enum wr_param_result { WR_PARAM_SET, WR_PARAM_UNKNOWN, WR_PARAM_WRONG, WR_PARAM_REFUSED };
/* Sets a parameter, "weight=2". refused: wr_param_kind bits. *why: the reason of a refusal, else a
 * description of the value, or NULL. Pure. */
enum wr_param_result wr_server_param(struct wr_server *s, struct wr_str arg, uint32_t refused,
                                     const char **why) WR_CHECKED;
const char *wr_server_param_near(struct wr_pool *pool, struct wr_str arg); /* a hint, or NULL */
/* The identity of a server; seen: how many servers of the group before it have the same text. */
uint64_t wr_server_key(struct wr_str group, struct wr_str text, uint64_t seen);

#define WR_LIST_SIZE_MAX (4u << 20)
#define WR_LIST_LINES_MAX 16384u
struct wr_server_list {          /* what a file of servers says; in memory of its own */
    struct wr_server *at;
    uint32_t n, cap;
    char *text;                  /* to which `at` points */
    size_t size;
    struct wr_list_fault {
        uint32_t line, column, width; /* line 0: none */
        char why[256];
    } fault;
};
struct wr_list_rules {
    uint16_t default_port;
    uint32_t refused;            /* wr_param_kind bits; with that of names also names */
    bool directives;             /* lines are `server ...;` */
};
/* The rules for servers of u, by its layer and the balancer it has so far. directives: for `server`
 * lines, of the configuration or a state file. */
struct wr_list_rules wr_list_rules_of(const struct wr_upstream *u, bool directives);
/* Pure. False: out->fault tells why. The list points to text. */
bool wr_server_list_parse(struct wr_str text, const struct wr_list_rules *r,
                          struct wr_server_list *out);
void wr_server_list_free(struct wr_server_list *l); /* what is in it; NULL is fine */
void wr_server_list_keys(struct wr_server_list *l, struct wr_str group,
                         const struct wr_server *before, uint32_t nbefore);
/* A number by which servers are compared, of their keys or of more. */
typedef uint64_t wr_server_id(const struct wr_server *s);
uint64_t wr_server_key_of(const struct wr_server *s);
/* The numbers of n servers, in order; malloc'ed, the caller's. */
uint64_t *wr_server_ids(const struct wr_server *at, uint32_t n, wr_server_id *id);
bool wr_server_ids_have(const uint64_t *ids, uint32_t n, uint64_t id);
struct wr_file_id { uint64_t device, inode, size, changed, touched; };
struct wr_list_source {          /* a file, and what a look at it found */
    const char *path;
    struct wr_list_rules rules;
    struct wr_file_id id;        /* of what was read last; as it was, the file is not read again */
    bool same;                   /* not read again */
    bool unsettled;              /* it changed while it was read */
    const char *failed;          /* not read: the call, with `err`, or what is wrong; or NULL */
    int err;
    struct wr_server_list list;  /* check its fault */
};
void wr_list_read(struct wr_list_source *s); /* touches nothing else: for threads, too */
bool wr_set_servers_file(struct wr_cf *cf, void *conf);
bool wr_set_state(struct wr_cf *cf, void *conf);
void wr_servers_file_finish(struct wr_upstream *u);
/* Keeper: reads the files of servers_file again when they change, and updates the zones. Call
 * wr_lists_unwatch before the loop is freed. */
void wr_lists_watch(struct wr_conf *c, struct wr_loop *l);
void wr_lists_unwatch(void);

/* ---- zones ---- */
#define WR_PEER_LAYOUT 7         /* of wr_peer_slot and wr_group_words */
/* Words of a group that all its workers share. */
struct wr_group_words {
    struct wr_group_cursors {    /* round robin */
        _Atomic uint64_t turn;   /* the next position of the schedule */
        _Atomic uint64_t rest;   /* the same among the usable peers, when few are */
    } cursors[2];                /* main peers, backups */
    struct wr_window tries;      /* retry_budget: all tries, marked: retries */
    _Atomic uint64_t refused;    /* retry_budget: retries so far that it did not afford */
    _Atomic uint64_t refused_said_ms, ejected_said_ms; /* when this was last logged */
    _Atomic uint64_t panic_looked_ms; /* when the healthy peers were last counted */
    _Atomic uint32_t panic;      /* 1: fewer than `panic` says are healthy */
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
    struct wr_queue queue;       /* of exchanges that wait for a peer */
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
uint64_t wr_members_hash(const struct wr_member_list *l);
void wr_members_add(struct wr_member_list *l, uint32_t slot); /* must not be there yet */
/* The slot of the server for an address, of a list that was read. A service may have an address
 * twice: skips slots in `taken` (or NULL). */
struct wr_peer_slot *wr_members_find(const struct wr_member_list *l, const struct wr_peer_zone *z,
                                     uint64_t key, const struct wr_addr *addr,
                                     const struct wr_member_list *taken) WR_CHECKED;
/* ---- drafts: how the keeper makes the next list ---- */
struct wr_draft {                /* of the next list of members; in private memory */
    struct wr_upstream *u;
    struct wr_peer_zone *z;
    struct wr_peer_zone before;  /* the zone this one replaces; slots 0: none */
    struct wr_member_list old;   /* members of `before` */
    struct wr_member_list now, next; /* members of z: published, and of the next list */
    uint32_t free;               /* claim_free searches from here: no slot before is free */
    uint32_t full;               /* addresses without a slot */
    bool changed;                /* weight, rank or `down` of a member that stays */
};
struct wr_draft wr_draft_new(struct wr_upstream *u); /* end it with wr_draft_free */
void wr_draft_free(struct wr_draft *d);
/* Puts all servers of the upstream into the draft, and their parameters into the slots. */
void wr_draft_servers(struct wr_draft *d);
bool wr_draft_is_same(const struct wr_draft *d); /* are the members those that are published? */
/* Takes over addresses that the zone has: with `same` those of this server, otherwise those of its
 * host, whatever the port and the parameters were. */
void wr_draft_learn_name(struct wr_draft *d, struct wr_server *sv, bool same);
/* Replaces u->listed by the members that are of no `server` line. */
void wr_draft_learn_listed(struct wr_draft *d);
/* The addresses known of a name, empty if there are none yet. */
struct wr_known_addrs *wr_server_known(struct wr_upstream *u, struct wr_server *sv);
/* Keeper: marks a free slot as being written (odd generation); false: a worker has counted a lease
 * in it. */
bool wr_slot_claim(struct wr_peer_slot *s) WR_CHECKED;
/* Replaces the addresses of one server and publishes a new list of members if anything changed and
 * this process owns the zone; true: published. SRV records of the lowest priority number become
 * main peers, the others backups (left out for a server that is itself a backup). Their weights
 * apply unless the server has `weight`. */
bool wr_peer_zone_update(struct wr_upstream *u, struct wr_server *s,
                         const struct wr_name_addr *addrs, uint32_t n);
/* The same after u->listed was replaced, or somebody may have written into the zone. */
bool wr_peer_zone_relist(struct wr_upstream *u);
bool wr_upstream_is_owned(const struct wr_upstream *u); /* by this keeper */
/* Keeper, if it is the owner, after a death: writes again what that process may have written
 * over. */
void wr_upstreams_rewrite(struct wr_conf *c);
/* Keeper that is to be the owner. True: the owner or the members of a zone are not what it has
 * written (logged). */
bool wr_upstreams_are_damaged(const struct wr_conf *c);
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
/* Counts a lease; false: max_conns is reached, or the slot was given to another peer. */
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
/* The peer is usable again after it was not: slow_start begins. */
static inline void wr_slot_rises(struct wr_peer_slot *s, uint64_t now_ms)
{
    atomic_store_explicit(&s->up_ms, now_ms, memory_order_relaxed);
}
static inline bool wr_peer_is_tried(const uint64_t *tried, uint32_t slot) /* tried: NULL is fine */
{
    return tried != NULL && (tried[slot / 64] >> (slot % 64) & 1) != 0;
}
/* The time from which the peer is usable, as far as is known now; WR_NOT_YET: not before something
 * changes. */
uint64_t wr_peer_room(const struct wr_pick *p, const struct wr_peer *peer);

/* ---- queue: waiting for a peer ---- */
struct wr_peer_queue {
    uint32_t places;             /* for all processes together */
    uint64_t timeout_ms;
    struct wr_upstream *u;
    struct wr_link waiting;      /* wr_tries of this process, by ticket */
    struct wr_link aside;        /* those that let the others pass */
    struct wr_link at;           /* among the queues of this process in which exchanges wait */
    struct wr_loop *loop;
    struct wr_task look;
    struct wr_timer timer;
    struct wr_queue_head seen;   /* another process's head, that leaves room unused */
    uint64_t seen_ms;            /* since when */
};
void wr_waiting_begin(struct wr_upstream *u, struct wr_loop *l);
/* May the exchange pick now? False: others came first. */
bool wr_waiting_turn(const struct wr_tries *a);
/* The way on for an exchange that may not pick, or for which no peer could be picked. */
enum wr_stay {
    WR_STAY_NOT,                 /* no peer is worth waiting for */
    WR_STAY_FULL, WR_STAY_LATE,  /* the queue is full; it has waited long enough */
    WR_STAY_LOOK,                /* ask wr_waiting_turn again */
    WR_STAY_WAIT                 /* it will be woken */
};
enum wr_stay wr_waiting_stay(struct wr_exchange *x, bool looked);
void wr_waiting_leave(struct wr_tries *a); /* it waits no longer */
/* As wr_waiting_wake, for where mostly nobody waits. */
static inline void wr_waiting_tell(struct wr_upstream *u)
{
    if (wr_unlikely(!wr_queue_is_empty(&u->peers->zone.queue)))
        wr_waiting_wake(u);
}
bool wr_set_queue(struct wr_cf *cf, void *conf);

/* ---- heal: decisions, pure ---- */
struct wr_tally {                /* of a window: how many, and how many of them were marked */
    uint32_t all, marked;
};
/* One window_ms for all calls with a window. Times of different processes may differ a little. An
 * update may be lost where many processes add at once. */
void wr_window_add(struct wr_window *w, uint64_t window_ms, uint64_t now_ms, struct wr_tally more);
struct wr_tally wr_window_sum(const struct wr_window *w, uint64_t window_ms, uint64_t now_ms);
void wr_window_clear(struct wr_window *w);

struct wr_heal {                 /* of a group */
    struct wr_outlier {
        uint32_t errors, rate;   /* errors 0: off; rate in percent, 0: any */
        uint32_t max_ejected;    /* percent of the peers */
        uint64_t window_ms, eject_ms;
        uint64_t full_ms;        /* in this process: no peer may be ejected until then */
    } outlier;
    struct wr_retry_budget {
        bool on;
        uint32_t percent, min;   /* of the tries; a second */
    } budget;
    uint32_t panic;              /* percent; 0: off */
    uint32_t on_down;            /* enum wr_on_down */
};
#define WR_BUDGET_MS 10000
#define WR_EJECT_TIMES_MAX 10
#define WR_EJECT_MAX_MS 3600000
bool wr_outlier_found(const struct wr_outlier *o, struct wr_tally t); /* marked: failed */
/* The time of an ejection is this number times eject_ms. before: that of the last one; quiet_ms:
 * since the peer has returned from it. */
uint32_t wr_eject_times(uint32_t before, uint64_t quiet_ms, uint64_t eject_ms);
/* The most peers of one rank (main or backup) that may be ejected at a time. */
uint32_t wr_eject_most(uint32_t peers, uint32_t percent);
bool wr_retry_affordable(const struct wr_retry_budget *b, struct wr_tally t); /* marked: retries */
bool wr_panic_needed(uint32_t healthy, uint32_t peers, uint32_t percent);

/* ---- outlier, retry_budget, panic ---- */
extern struct wr_module wr_module_heal;
/* False also for a time that no ejection lasts: the word may hold anything. */
static inline bool wr_peer_is_ejected(const struct wr_peer_slot *s, uint64_t now_ms)
{
    uint64_t left = atomic_load_explicit(&s->ejected_ms, memory_order_relaxed) - now_ms;

    return (atomic_load_explicit(&s->health, memory_order_relaxed) & WR_HEALTH_EJECTED) != 0
        && left - 1 < WR_EJECT_TIMES_MAX * (uint64_t)WR_EJECT_MAX_MS;
}
/* The peer of t was picked: if its ejection is over, this try may be the probe. */
void wr_outlier_picked(struct wr_upstream *u, struct wr_try *t);
enum wr_outcome { WR_TRY_UNKNOWN, WR_TRY_WORKED, WR_TRY_FAILED };
/* Counts the outcome, once; ejects the peer, or lets it return. The peer is held. */
void wr_outlier_note(struct wr_upstream *u, struct wr_try *t, enum wr_outcome outcome);
static inline void wr_retry_count(struct wr_upstream *u) /* the first try of an exchange */
{
    if (u->heal != NULL && u->heal->budget.on)
        wr_window_add(&u->peers->zone.words->tries, WR_BUDGET_MS, wr_now(),
                      (struct wr_tally){ 1, 0 });
}
/* The fate of a peer's sessions when it goes down; unset: proxy_session_drop decides. */
enum wr_on_down { WR_ON_DOWN_UNSET, WR_ON_DOWN_CLOSE, WR_ON_DOWN_DRAIN };
/* Reads "close" or "drain". */
bool wr_on_down_read(struct wr_str v, uint32_t *out) WR_CHECKED;
void wr_try_unwatch(struct wr_tries *a); /* a->at_peer is linked */
void wr_down_start(const struct wr_upstreams *all, struct wr_loop *l); /* worker */
void wr_down_stop(void);
/* True: the group panics. Some process counts the healthy peers every 100 ms; the others read what
 * it found. */
bool wr_group_panics(struct wr_upstream *u, const struct wr_peers *v, uint64_t now_ms);

/* ---- own links ---- */
/* For an exchange with links of its client (x->tries->client). The peer that the session has been
 * at, if it is usable; else NULL. */
const struct wr_peer *wr_own_peer(const struct wr_exchange *x, const struct wr_pick *p);
void wr_own_peer_set(const struct wr_exchange *x, const struct wr_peer *peer);
bool wr_own_is_kept(const struct wr_exchange *x); /* false: the session ends, and has no peer */

/* ---- steps ---- */
/* Ends the current try: counts its outcome, gives its lease back. Idempotent. */
void wr_try_end(struct wr_exchange *x, bool failed);
void wr_unusable_text(const struct wr_exchange *x, struct wr_text *out); /* why no peer is picked */
uint32_t wr_peers_to_try(struct wr_exchange *x); /* peers not down, or addresses of the name */

#endif
