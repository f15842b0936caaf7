/* upstream: groups of peers, and an exchange's tries of them: choosing a peer, connecting to it,
 * trying another. Layers 4 and 7 share these files.
 *
 * Map: upstream_conf (upstream {}), keepalive_conf, upstream_keeper (hooks of the keeper),
 * server_params (of `server`: pure), server_list (files of servers: pure), servers_file (reading
 * them), servers_watch (the keeper's watch over them), peer_names (resolves the servers' names),
 * peer_zone (peers as slots in shared memory), peer_publish (the keeper writes there), peer_draft,
 * peer_learn (the next list of members), peer_mend (writes again), peer_members (lists of slots),
 * peer_ledger (leases each process holds), peer_view (a worker's view), round_robin (the default
 * balancer), schedule (its order: pure), slow_start (peers that come back), start, pick, dial,
 * retry (the steps), unusable (why no peer is picked), queue (waiting for a peer), own_links (of
 * one client: ntlm), secure (what an exchange wants of the handshake), policy, heal and hostport
 * (pure), outlier, retry_budget, panic, on_down, heal_conf (groups that heal themselves),
 * resolver_conf (the resolver directive), upstream_vars ($upstream_addr ...). Connections to peers
 * are in core/link.
 *
 * A worker names a peer by its slot number and the slot's generation. Counters are in shared
 * memory: a worker writes its own row of the ledger first, then the slot's total, so that the
 * keeper can take back the counts of a worker that died. */
#ifndef WR_UPSTREAM_H
#define WR_UPSTREAM_H

#include "dns/dns.h"
#include "link/link.h"
#include "listen/listen.h"

/* ---- configured servers ---- */
struct wr_known_addrs {          /* of a name; at most WR_NAMES, in an order that stays */
    struct wr_name_addr *at;
    uint32_t n, cap;             /* as of a WR_VEC */
};
struct wr_server {
    struct wr_str text;          /* as written: "backend1.example.com:80" */
    struct wr_str host, service; /* host without port; service= for SRV */
    uint16_t port;
    struct wr_addr addr;         /* a literal address; len 0: a name */
    uint32_t weight, max_fails, max_conns;
    uint64_t fail_timeout_ms;
    uint64_t slow_start_ms;
    struct wr_str route;
    uint32_t on_down;            /* enum wr_on_down */
    bool backup, down, drain;
    bool named;                  /* the keeper resolves it */
    bool unanswered;             /* no answer at start: keep the addresses of the zone */
    struct wr_known_addrs *known; /* addresses of the name, from start or later; NULL: none */
    uint64_t key;                /* stable hash of upstream, text, occurrence */
    const struct wr_node *node;
};
struct wr_upstream {
    uint32_t magic;
    struct wr_str name;
    uint32_t layer;
    WR_VEC(struct wr_server) servers;
    struct wr_server_list *listed; /* of servers_file: as known to this process; NULL: none */
    const char *list_path;       /* servers_file; NULL: none */
    bool list_may_empty, has_state; /* its allow_empty; `servers` come from a state file */
    const struct wr_balancer_ops *balancer;
    void *balancer_conf;         /* of the balancer's directive */
    void *balancer_state;        /* of the balancer, in this process */
    struct wr_heal *heal;        /* outlier, retry_budget, panic, on_down; NULL: none of them */
    struct wr_down_watch *watch; /* sessions that end when their peer goes down, in this process */
    struct wr_peer_queue *queue; /* NULL: an exchange does not wait for a peer */
    const struct wr_sticky_ops *sticky; /* NULL: clients are not bound to peers */
    void *sticky_conf;           /* of the directive that has set `sticky` */
    struct wr_links links;       /* to its peers, in this process */
    struct wr_peers *peers;      /* this process' view; NULL before wr_upstreams_open */
    struct wr_shm *zone;
    struct wr_shm *previous;     /* the zone this one replaces (other capacity), held; or NULL */
    struct wr_pool *pool;        /* of the configuration */
    uint64_t run;                /* keeper: `run` of its wr_upstreams_commit; 0: not yet */
    uint64_t published;          /* keeper: a hash of the members it has published */
    void (*changed)(struct wr_upstream *u); /* keeper: its members or their health did; or NULL */
    uint32_t full;               /* keeper: number of addresses for which no slot was free */
    bool checked;                /* active checks own the bits CHECK and UNCHECKED of its peers */
    uint32_t born;               /* wr_health bits that a new peer begins with */
    size_t zone_size;            /* zone NAME SIZE; 0: by count */
    struct wr_str zone_name;
    const struct wr_scope *scope; /* of the upstream block; the layer's for an implicit one */
    const struct wr_node *node;   /* the block, or the proxy_pass */
    struct wr_resolver_conf *resolver; /* NULL: the system's */
    uint64_t grace_ms;           /* resolver_grace */
    bool implicit;               /* made by proxy_pass host:port */
    bool own_links;              /* `ntlm` */
    uint16_t default_port;       /* of an implicit one */
    uint32_t word;               /* index of the address among the node's words, for messages */
};
extern struct wr_module wr_module_upstream, wr_module_upstream_vars;
/* The group of this name in the layer of cf (it may be defined later in the file: then it is
 * resolved at check time), or an implicit one for "host:port" / "unix:path". NULL: error reported
 * at word i. Call from a setter; the result's servers are complete after loading. */
struct wr_upstream *wr_upstream_named(struct wr_cf *cf, uint32_t i, struct wr_str text,
                                      uint16_t default_port);
/* Run time: the group of that name, or an implicit one of some proxy_pass; NULL: none. */
struct wr_upstream *wr_upstream_find(const struct wr_conf *c, uint32_t layer, struct wr_str name,
                                     uint16_t default_port);

/* Parses "host:port", "1.2.3.4:80", "[::1]:80", "unix:/path"; addr.len is 0 for a name. Returns
 * NULL or the reason of a failure ("no port", "invalid host", ...). */
struct wr_hostport {
    struct wr_str host;
    uint16_t port;
    struct wr_addr addr;
};
const char *wr_hostport_parse(struct wr_str s, uint16_t default_port,
                              struct wr_hostport *out) WR_CHECKED;
/* The part of host:port before the port, "[::1]" of "[::1]:80"; all of an address without port. */
struct wr_str wr_hostport_host(struct wr_str name);

/* ---- resolver directive (both layers and upstream) ---- */
extern struct wr_module wr_module_resolver;
void wr_resolvers_forget(void); /* frees all resolvers made in this process */

/* ---- shared: counts of the last time ---- */
#define WR_SLICES 8
struct wr_window {               /* covers its time, and at most a seventh of it more: heal.c */
    _Atomic uint64_t slice[WR_SLICES];
};

/* ---- shared: slots ---- */
enum wr_down { WR_DOWN_CONF = 1, WR_DOWN_DRAIN = 2 };
enum wr_health {
    WR_HEALTH_CHECK = 1,         /* the active check failed */
    WR_HEALTH_UNCHECKED = 2,     /* a mandatory check has not passed yet */
    WR_HEALTH_EJECTED = 4        /* failed too often among its requests; until ejected_ms */
};
struct wr_peer_slot {
    /* The first 64 bytes, one line of the cache, are what a pick reads. generation: odd while the
     * slot is being written; grows at each reuse. */
    _Alignas(64) _Atomic uint32_t generation;
    _Atomic uint32_t conns;      /* leases now, of all workers; not reset when the slot is reused */
    _Atomic uint32_t down;       /* wr_down bits: from the configuration */
    _Atomic uint32_t health;     /* wr_health bits: learned */
    _Atomic uint32_t weight, max_conns, max_fails;
    _Atomic uint32_t fails;      /* in the current fail_timeout window */
    _Atomic uint64_t fail_timeout_ms;
    _Atomic uint64_t checked_ms; /* when it last failed, or was last picked as a probe */
    _Atomic uint64_t up_ms;      /* when it became usable again (slow_start); 0: it always was */
    _Atomic uint32_t slow_start_ms;
    _Atomic uint32_t backup;
    /* Monotonic, as all times here. */
    _Atomic uint64_t failed_ms;  /* when the last failure was counted */
    _Atomic uint64_t ejected_ms; /* end of the ejection */
    _Atomic uint64_t requests, failures;
    _Atomic uint32_t warming;    /* slow_start: parts of turns that were passed over */
    _Atomic uint32_t time_avg;   /* least_time: 1/256 ms; 0: not measured */
    _Atomic uint64_t timed_ms;   /* when that was measured */
    _Atomic uint64_t busy_ms;    /* when it was last picked while it had no connection */
    uint64_t key;                /* server key; the peer's identity is key and addr */
    struct wr_addr addr;         /* read it with wr_peer_addr */
    char route[64];              /* route=, for sticky sessions; its zero may be missing */
    char name[128];              /* server text, for logs and status; its zero may be missing */
    _Atomic uint32_t on_down;    /* enum wr_on_down: from the configuration */
    struct wr_window window;     /* outlier: its tries, marked: those that failed */
    _Atomic uint64_t returned_ms; /* outlier: when it last returned; 0: it was never ejected */
    _Atomic uint32_t ejections;  /* outlier: the last one was as many times eject= */
};
/* Master, before it forks: creates the zones or takes over those of the previous configuration,
 * without writing into them. False: logged. */
bool wr_upstreams_open(struct wr_conf *c) WR_CHECKED;
/* Keeper (or the only process): becomes the owner of the zones until another process commits;
 * publishes the configured servers and the addresses known of names. run: names this owner; not 0,
 * unique. learn: the zones' addresses of names are newer than those found at start (a keeper died,
 * an upgrade was undone): keep them. */
void wr_upstreams_commit(struct wr_conf *c, uint64_t run, bool learn);

/* ---- what proxies a group; for health checks ---- */
struct wr_upstream_use {
    const struct wr_scope *scope; /* the location or server with proxy_pass */
    struct wr_upstream *u;
    const struct wr_upstream_rows *rows;
    const struct wr_peer_tls *tls; /* NULL: plain */
    struct wr_str host;          /* of proxy_pass: for a handshake, and for a Host field */
    struct wr_template *host_field; /* instead of it in the field; NULL: none */
    uint32_t announce;           /* version of the PROXY header that is sent first; 0: none */
};
/* Called in `finish` of a proxy module; the struct is copied. */
void wr_upstream_used(struct wr_cf *cf, const struct wr_upstream_use *use);
/* From `check` on. NULL: this scope has no proxy_pass, or one with variables. */
const struct wr_upstream_use *wr_upstream_use_of(const struct wr_conf *c,
                                                 const struct wr_scope *scope);

/* ---- names: start and keeper ---- */
/* Resolves all names of the configuration with one deadline; warns about those that fail. Runs its
 * own loop. The results stay in the configuration; wr_upstreams_commit publishes them. */
void wr_names_start(struct wr_conf *c, uint64_t deadline_ms);

/* ---- a worker's view ---- */
struct wr_peer {
    struct wr_peer_slot *slot;
    uint32_t index, generation;
};
/* Copies the slot's address; false: it is not an address. */
bool wr_slot_addr(const struct wr_peer_slot *s, struct wr_addr *out) WR_CHECKED;
/* Copies the peer's address. Hold the peer first: otherwise its slot may already belong to another
 * server, and have that one's address. False: the slot holds no address. */
static inline WR_CHECKED bool wr_peer_addr(const struct wr_peer *peer, struct wr_addr *out)
{
    return wr_slot_addr(peer->slot, out);
}
struct wr_peer_group {
    struct wr_peer *at;
    uint32_t n;
    struct wr_schedule {         /* order of round robin; computed once per version */
        uint64_t steps, stride;  /* positions of a period: the sum of the weights; 0: no peer */
        uint32_t shift;
        uint32_t *order;         /* peer by position; NULL: by `end` */
        uint64_t *end;           /* by peer: the end of its part of `steps` */
        uint32_t *guide;         /* a peer to begin the search with, by `steps` >> shift */
    } schedule;
#define WR_GROUP_LOW 8
    uint32_t nlow, low[WR_GROUP_LOW]; /* for balancers: peers found little loaded */
};

/* Keeper: copies the peers as published to out (room for `most`, NULL with 0) and returns how many
 * there are. */
uint32_t wr_upstream_members(const struct wr_upstream *u, struct wr_peer *out, uint32_t most);
/* Keeper: sets and clears wr_health bits of the peer. False: the slot belongs to another peer, or
 * another process owns the zone (a keeper of a newer configuration): nothing was changed. */
bool wr_peer_health_set(struct wr_upstream *u, const struct wr_peer *peer, uint32_t set,
                        uint32_t clear);

/* ---- balancers ---- */
struct wr_pick {
    struct wr_exchange *x;
    const uint64_t *tried;       /* a bitmap, by slot */
    uint64_t now_ms;
    bool alone;                  /* the group has one peer: max_fails does not apply */
    bool panic;                  /* few peers are healthy: health does not apply */
    bool backup;                 /* a backup is wanted: no main peer could be picked */
    bool bound;                  /* the client is bound to the peer: a draining one is usable */
    bool crowded;                /* max_conns does not count */
};
/* Not down, healthy, not tried, below max_conns, not failed too often. Pure, except that it reads
 * the slot's words. */
bool wr_peer_usable(const struct wr_pick *p, const struct wr_peer *peer);
/* Clears the failure count if the peer was picked as a probe after its last failure: true. */
bool wr_peer_forgive(const struct wr_peer *peer);
/* A try of the peer succeeded. True: the peer may be usable from now on (wr_waiting_wake). */
static inline bool wr_peer_succeeded(const struct wr_peer *peer)
{
    return wr_unlikely(atomic_load_explicit(&peer->slot->fails, memory_order_relaxed) > 0)
        && wr_peer_forgive(peer);
}
/* The turns of round robin, for all balancers: takes the next n and returns the first of them. */
uint64_t wr_turns_take(struct wr_upstream *u, const struct wr_pick *p, uint32_t n);
/* The peer whose turn it is, usable or not; turn: any number. NULL: no peer has turns. */
struct wr_peer *wr_peer_by_turn(struct wr_peer_group *g, uint64_t turn);
/* slow_start: how much of its weight the peer has; WR_WARM: all. */
#define WR_WARM 65536u
uint32_t wr_slot_warmth(const struct wr_peer_slot *s, uint64_t now_ms);
static inline uint32_t wr_peer_warmth(const struct wr_pick *p, const struct wr_peer *peer)
{
    uint32_t slow = atomic_load_explicit(&peer->slot->slow_start_ms, memory_order_relaxed);

    return wr_likely(slow == 0) || p->alone ? WR_WARM : wr_slot_warmth(peer->slot, p->now_ms);
}
/* False: this turn of the peer is passed over, as it has not all of its weight yet. */
bool wr_peer_warm_turn(const struct wr_peer *peer, uint32_t warmth);
static inline bool wr_peer_takes_turn(const struct wr_pick *p, const struct wr_peer *peer)
{
    uint32_t warmth = wr_peer_warmth(p, peer);

    return wr_likely(warmth >= WR_WARM) || wr_peer_warm_turn(peer, warmth);
}
struct wr_try;
struct wr_balancer_ops {
    const char *name;            /* the directive in upstream {} */
    bool warms;                  /* slow_start works with it */
    /* Called once in each worker: makes u->balancer_state in u->pool. False: the worker cannot
     * start; logged. NULL: no state needed. */
    bool (*init)(struct wr_upstream *u, struct wr_loop *l);
    /* Returns NULL when no peer of this group is usable. Where the group has a `queue` the exchange
     * waits, and pick is called again when it is first and something has changed. */
    struct wr_peer *(*pick)(struct wr_upstream *u, struct wr_peer_group *g, struct wr_pick *p);
    /* Called once for each try of a picked peer when its lease ends; t->failed, t->status, times
     * and bytes tell the outcome. The slot's `conns` still includes the try. NULL: not called. */
    void (*done)(struct wr_upstream *u, const struct wr_try *t);
    /* This worker's view is new: g has its main peers from now on. NULL: not called. */
    void (*changed)(struct wr_upstream *u, struct wr_peer_group *g);
    void (*end)(struct wr_upstream *u); /* the loop ends: cancel tasks, timers. NULL: not called */
    bool no_backup;              /* as in nginx: `backup` behind the directive is refused */
};
/* A peer of u may have become usable: wakes the exchange that waits longest for one, whichever
 * process has it. The end of a lease and publishing do so themselves. */
void wr_waiting_wake(struct wr_upstream *u);
void wr_waiting_called(void); /* another process has: WR_BELL_QUEUE */
extern const struct wr_balancer_ops wr_round_robin;

/* ---- clients that stay with a peer ---- */
struct wr_sticky_ops {           /* no member is NULL */
    /* Asked before the balancer, in the same way: the usable peer of g that the client is bound to.
     * NULL: there is none, ask the balancer. Called again if the peer could not be held, and by the
     * queue with p->crowded set. */
    struct wr_peer *(*find)(struct wr_upstream *u, struct wr_peer_group *g, struct wr_pick *p);
    /* Layer 7: the current try has the reply that is used. Returns the value of a Set-Cookie field
     * for the client; p NULL: none. */
    struct wr_str (*reply)(struct wr_exchange *x);
    void (*done)(struct wr_exchange *x); /* the current try ends; it is still counted */
    void (*changed)(struct wr_upstream *u); /* this worker's view is new */
};
/* For the setter of a balancer's directive; warns if the group has one already. conf: becomes
 * u->balancer_conf. Always true. */
bool wr_upstream_balance(struct wr_cf *cf, const struct wr_balancer_ops *ops, void *conf);

/* ---- a try, and all tries of an exchange ---- */
#define WR_NOT_YET UINT64_MAX
struct wr_try {
    struct wr_peer peer;         /* slot NULL: a run-time address */
    struct wr_addr addr;
    struct wr_str group;         /* name of the group if no peer could be picked; addr is empty */
    uint64_t begun_ms;           /* monotonic */
    uint64_t connect_ms, first_byte_ms, ended_ms; /* since begun; WR_NOT_YET */
    uint64_t queue_ms;           /* how long it waited for a peer before; WR_NOT_YET: not at all */
    uint64_t header_ms;          /* layer 7 */
    unsigned status;             /* layer 7: of the reply; 0 none */
    uint64_t sent, received;
    uint64_t head_size;          /* layer 7: bytes of the reply's head */
    bool failed, held;           /* held: counted in the slot and the ledger */
    bool anew;                   /* first try after an internal redirect to another upstream */
    bool cut;                    /* the peer failed behind the head of its reply */
    bool left;                   /* layer 7: the client left before the end of the reply */
    bool counted;                /* outlier: the outcome is known and counted */
    bool probe;                  /* outlier: decides whether the peer returns */
};
enum wr_next {
    WR_NEXT_OFF = 1, WR_NEXT_ERROR = 2, WR_NEXT_TIMEOUT = 4, WR_NEXT_INVALID = 8,
    WR_NEXT_500 = 16, WR_NEXT_502 = 32, WR_NEXT_503 = 64, WR_NEXT_504 = 128, WR_NEXT_403 = 256,
    WR_NEXT_404 = 512, WR_NEXT_429 = 1024, WR_NEXT_NON_IDEMPOTENT = 2048
};
struct wr_upstream_rows {        /* `proxy_*` directives of both layers (in the module's conf) */
    struct wr_dial_rows dial;
    uint32_t next;               /* wr_next bits; `on` of layer 4: error and timeout */
    uint32_t next_tries;
    uint64_t next_timeout_ms;
    bool session_drop;           /* layer 4: sessions end when their peer goes down */
};
/* The rows for a module table: `type` is the module's conf, `field` its struct wr_upstream_rows. */
#define WR_UPSTREAM_ROWS(prefix, layers, type, field) \
    WR_DIAL_ROWS(prefix, layers, type, field.dial), \
    WR_NUM(prefix "_next_upstream_tries", (layers) | WR_IN_LOCATIONS, type, field.next_tries, "0", \
           "most servers tried for one session; 0: all"), \
    WR_MSEC(prefix "_next_upstream_timeout", (layers) | WR_IN_LOCATIONS, type, \
            field.next_timeout_ms, "0", "no other server is tried after this time; 0: no limit")

/* Makes this exchange speak TLS to its peers; call it after wr_upstream_start*. host: that of
 * proxy_pass, with or without port. */
void wr_tries_secure(struct wr_exchange *x, const struct wr_peer_tls *tls, struct wr_str host);

struct wr_tries {                /* x->tries: all tries of an exchange */
    struct wr_upstream *u;       /* NULL: an address found at run time */
    const struct wr_upstream_rows *rows;
    const struct wr_link_speaker *speaker; /* of its links; NULL: bytes as they are */
    const struct wr_peer_tls *tls; /* NULL: plain */
    struct wr_str tls_host;      /* that of proxy_pass */
    struct wr_str tls_name;      /* name of the handshake: without port, a zero follows it */
    struct wr_str tls_alpn;      /* as on the wire; empty: none */
    struct wr_str announce;      /* PROXY header: sent first, before any handshake */
    struct wr_lease lease;       /* of the current try */
    uint64_t client;             /* whose links are for it alone (ntlm); 0: links of all */
    WR_VEC(struct wr_try) all;   /* the last is the current one */
    struct wr_try only;          /* memory of the first try: mostly it is the only one */
    uint32_t first;              /* index in `all` of the first try of this upstream */
    uint32_t stale;              /* how many of those failed with WR_FAIL_STALE */
    uint64_t *tried;             /* a bitmap, by slot; NULL: none yet */
    uint64_t begun_ms;
    enum wr_failure failure;     /* of the last try */
    struct wr_hostport direct;   /* the address found at run time: has no group and no slot */
    struct wr_query query;       /* for its name */
    struct wr_exchange *owner;
    struct wr_link waiting;      /* in u->queue; unlinked: does not wait for a peer */
    uint64_t ticket;             /* its place in the order of those that wait */
    uint64_t waits_from_ms, waited_ms; /* waited: in all waits that are over */
    bool aside;                  /* waits outside of the order: see queue.c */
    struct wr_link at_peer;      /* in u->watch */
    struct wr_addr *addrs;       /* NULL: the upstream's peers are used */
    uint32_t naddrs, next_addr;
    bool resolving;
    bool panic;                  /* the current peer was picked while the group panicked */
    bool began_down;             /* at_peer: the peer was down when the session began */
    bool sealed;                 /* the peer may have begun a request that is not idempotent */
    bool datagrams;              /* the session's kind, and so that of its links */
    bool lost;                   /* part of what was sent is not kept: it cannot be repeated */
};
static inline struct wr_conn *wr_try_conn(const struct wr_tries *a) /* NULL: none */
{
    return a->lease.link != NULL ? &a->lease.link->conn : NULL;
}
static inline struct wr_try *wr_try_now(struct wr_tries *a)
{
    return a->all.n > 0 ? &a->all.at[a->all.n - 1] : NULL;
}
/* For variables: calls append_try for each try of the exchange and separates the texts by ", ", or
 * by " : " where the next upstream's tries begin. False: there was no try. */
typedef void wr_try_text(struct wr_text *t, const struct wr_tries *a, const struct wr_try *try,
                         uintptr_t what);
bool wr_tries_text(struct wr_exchange *x, wr_try_text *append_try, uintptr_t what,
                   struct wr_str *out);
void wr_try_seconds(struct wr_text *t, uint64_t ms); /* "0.005"; "-" for WR_NOT_YET */
/* Appends the peer's address, or the group's name where no peer could be picked. */
void wr_try_peer_text(struct wr_text *t, const struct wr_try *try);
/* Begins to try the peers of u. Content hooks call this or wr_upstream_start_text, and return
 * WR_TAKEN. */
void wr_upstream_start(struct wr_exchange *x, struct wr_upstream *u,
                       const struct wr_upstream_rows *rows);
/* The same with a text found at run time: the name of a group, "host:port" or "unix:path". If it is
 * an address without a group, x->tries->u is NULL. False: it is none of these (logged); the caller
 * rejects with 500. */
bool wr_upstream_start_text(struct wr_exchange *x, struct wr_str text, uint16_t default_port,
                            const struct wr_upstream_rows *rows) WR_CHECKED;
/* For the layer, after wr_upstream_start*: with `ntlm` an exchange whose session has begun to
 * authenticate its connection, or begins now, gets a link that no other session gets. */
void wr_tries_own_link(struct wr_exchange *x, bool begin);
/* Ends the current try, the wait for a peer and the query for a name. Idempotent. */
void wr_tries_end(struct wr_exchange *x);
/* The peer of the current try has done what it must: layers call it if they cannot wait for the end
 * of the try, as a session may last for hours. */
void wr_try_works(struct wr_exchange *x);
/* Bytes are relayed from now on, for as long as both sides want: the exchange ends when its peer
 * goes down, if it shall. */
void wr_try_watch(struct wr_exchange *x);
void wr_peers_called(void); /* worker: its bell rang WR_BELL_PEERS */
/* False: the group has spent its retry_budget (logged). True: the retry is counted. The step retry
 * asks it, but for a status: for WR_FAIL_STATUS the layer asks before it gives up the reply. */
bool wr_retry_take(struct wr_exchange *x) WR_CHECKED;
bool wr_peer_is_left(struct wr_exchange *x); /* is there a usable peer besides the current one? */
struct wr_try_facts {            /* a try of layer 7 that failed */
    enum wr_failure failure;     /* as seen by the caller */
    bool reused, idempotent;     /* the link had carried others before; the method is idempotent */
    bool refused;                /* the peer reported that it has not begun with the request */
    uint64_t sent, received;     /* bytes in this try */
};
struct wr_try_verdict {
    enum wr_failure failure;     /* STALE: a link that had carried others broke, and the request can
                                  * be repeated without harm */
    bool processed;              /* the peer may have begun with the request */
};
struct wr_try_verdict wr_try_judge(const struct wr_try_facts *f); /* pure; speakers call it */
enum wr_retry_decision { WR_RETRY_NEXT, WR_RETRY_GIVE_UP };
struct wr_retry_facts {
    enum wr_failure failure;
    uint32_t next;               /* wr_next bits; WR_FAIL_STATUS: the caller checks the status */
    uint32_t tries, max_tries;   /* 0: no limit */
    uint64_t elapsed_ms, max_ms; /* 0: no limit */
    bool sent;                   /* wr_tries.sealed: try again only with non_idempotent */
    bool lost;                   /* wr_tries.lost: never try again */
};
enum wr_retry_decision wr_retry_policy(const struct wr_retry_facts *f);
extern const struct wr_step wr_step_start, wr_step_pick, wr_step_dial, wr_step_retry;

#endif
