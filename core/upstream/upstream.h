/* upstream: choosing a server, getting there, trying another.
 * The same files serve layer 4 and 7.
 *
 * Map: upstream_conf (upstream {}, the proxy_* rows both layers share), addresses (server names and
 * who learns their addresses), shared (peers as slots in shared memory), publish (what the keeper
 * writes there), ledger (who holds how many), peers (a worker's view), round_robin (the default
 * balancer), schedule (its order: pure), start, pick, dial, retry (the steps), link (a connection
 * to a peer), connect and peer_tls (opening one, TLS), lease (finding, parking and sharing them),
 * policy and hostport (pure), resolver_conf (the resolver directive), upstream_vars
 * ($upstream_addr ...).
 *
 * A worker holds nothing of a peer but a slot number and its generation; what counts is in shared
 * memory, written to this process' ledger row before the shared total changes, so that the keeper
 * can take back what a dead worker held. */
#ifndef WR_UPSTREAM_H
#define WR_UPSTREAM_H

#include "dns/dns.h"
#include "listen/listen.h"
#include "text/text.h"
#include "tls/tls.h"

/* ---- configured servers ---- */
struct wr_server {
    struct wr_str text;          /* as written: "backend1.example.com:80" */
    struct wr_str host, service; /* host without port; service= for SRV */
    uint16_t port;
    struct wr_addr addr;         /* a literal address; len 0: a name */
    uint32_t weight, max_fails, max_conns;
    uint64_t fail_timeout_ms, slow_start_ms;
    bool backup, down;
    bool named;                  /* the keeper resolves it */
    bool unanswered;             /* nobody answered at start: what was known before stays */
    struct wr_names *known;      /* learned of a name, at start or later; NULL: nothing */
    uint64_t key;                /* stable hash of upstream, text, occurrence */
    const struct wr_node *node;
};
struct wr_upstream {
    uint32_t magic;
    struct wr_str name;
    uint32_t layer;
    WR_VEC(struct wr_server) servers;
    const struct wr_balancer_ops *balancer;
    void *balancer_state;        /* of the balancer, in this process */
    struct wr_link waiting;      /* wr_attempts that wait for a peer, the first one first */
    struct wr_keepalive {        /* layer 7 */
        uint32_t connections, requests;
        bool local;              /* each location uses its own connections */
        bool grows;              /* not configured: as many as were in use lately */
        uint64_t time_ms, timeout_ms;
    } keepalive;
    struct wr_links {            /* to its servers, in this process */
        struct wr_link parked;   /* wr_peer_link without leases, newest first */
        uint32_t nparked;
        uint32_t n, size;        /* found by key: parked ones, and those that take more leases */
        struct wr_peer_link **buckets; /* `size`, a power of 2; newest first */
        uint64_t looked;         /* links looked at by all searches */
    } links;
    struct wr_in_use {           /* links but for the parked ones */
        uint32_t now;
        uint32_t peak[2];        /* of the half minute that runs, and of the one before */
        uint64_t since_ms;
    } in_use;
    struct wr_peers *peers;      /* this process' view; NULL in the master until attached */
    struct wr_shm *zone;
    struct wr_shm *previous;     /* held: the zone this one replaces, of another capacity */
    struct wr_pool *pool;        /* of the configuration */
    uint64_t run;                /* keeper: of its last commit */
    uint32_t full;               /* keeper: addresses there was no slot for */
    size_t zone_size;            /* zone NAME SIZE; 0: by count */
    struct wr_str zone_name;
    const struct wr_scope *scope; /* of the upstream block; the layer's for an implicit one */
    const struct wr_node *node;   /* the block, or the proxy_pass */
    struct wr_resolver_conf *resolver; /* NULL: the system's */
    bool implicit;               /* made by proxy_pass host:port */
    uint16_t default_port;       /* of an implicit one */
    uint32_t word;               /* of the address in node, for messages */
    uint32_t index;              /* in wr_upstreams.all */
};
struct wr_upstreams {            /* state of wr_module_upstream */
    WR_VEC(struct wr_upstream *) all;
    struct wr_keepalive keepalive; /* of a group of layer 7 that says nothing about it */
    struct wr_peer_tls_live *tls;  /* contexts of proxy_ssl_ */
};
extern struct wr_module wr_module_upstream, wr_module_upstream_vars;
struct wr_upstreams *wr_conf_upstreams(const struct wr_conf *c);
/* The group of this name in the layer of cf (it may be defined later in the file: then it is
 * resolved at check time), or an implicit one for "host:port" / "unix:path". NULL: error reported
 * at word i. Call from a setter; the result's servers are complete after loading. */
struct wr_upstream *wr_upstream_named(struct wr_cf *cf, uint32_t i, struct wr_str text,
                                      uint16_t default_port);
/* Run time: the group of that name, or the one another proxy_pass made of it; NULL: none. */
struct wr_upstream *wr_upstream_find(const struct wr_conf *c, uint32_t layer, struct wr_str name,
                                     uint16_t default_port);

/* "host:port", "1.2.3.4:80", "[::1]:80", "unix:/path": addr.len is 0 for a name. Returns NULL or
 * what is wrong ("no port", "invalid host", ...). */
struct wr_hostport {
    struct wr_str host;
    uint16_t port;
    struct wr_addr addr;
};
const char *wr_hostport_parse(struct wr_str s, uint16_t default_port,
                              struct wr_hostport *out) WR_CHECKED;

/* ---- resolver directive (both layers and upstream) ---- */
struct wr_resolver_conf {
    struct wr_resolver_opts opts;
    struct wr_resolver *resolver; /* of this process; made on first use */
    struct wr_resolver_conf *next; /* of all made in this process */
    bool set;
};
extern struct wr_module wr_module_resolver;
struct wr_resolver *wr_scope_resolver(const struct wr_scope *s,
                                      struct wr_loop *l); /* NULL: none configured */
struct wr_resolver *wr_resolver_of(struct wr_resolver_conf *c, struct wr_loop *l);
void wr_resolvers_forget(void); /* frees all that were made in this process */

/* ---- shared: slots ---- */
#define WR_PEER_LAYOUT 5
enum wr_down { WR_DOWN_CONF = 1, WR_DOWN_CHECK = 2 };
struct wr_peer_slot {
    _Atomic uint32_t generation; /* odd while the slot is being written; grows at each reuse */
    _Atomic uint32_t conns;      /* in use now, all workers; a reuse does not touch it */
    uint64_t key;                /* server key; with addr it is the identity */
    struct wr_addr addr;         /* read it with wr_peer_addr */
    _Atomic uint32_t weight, max_fails, max_conns, backup;
    _Atomic uint64_t fail_timeout_ms, slow_start_ms;
    _Atomic uint32_t down;       /* wr_down bits */
    _Atomic uint32_t fails;      /* in the current fail_timeout window */
    _Atomic uint64_t failed_ms;  /* monotonic: when the window began / it was set aside */
    _Atomic uint64_t checked_ms; /* when it was last let in again for a probe */
    _Atomic uint64_t since_ms;   /* when it became usable again, for slow_start */
    _Atomic uint64_t requests, failures, sent, received;
    _Atomic uint64_t connect_us, first_byte_us, last_byte_us; /* moving averages */
    char name[128];              /* server text, for logs and status; may not end */
};
/* Master, before it forks: makes or adopts the zones, writes nothing. False: told. */
bool wr_upstreams_open(struct wr_conf *c) WR_CHECKED;
/* Keeper (or the only process): the zones are its own from now on, until another commits;
 * publishes what is configured and known. run: of this process, not 0, never used again. learn:
 * what the zones have of a name is newer than what the start found (a keeper died, an upgrade was
 * undone). */
void wr_upstreams_commit(struct wr_conf *c, uint64_t run, bool learn);

/* ---- ledger: what each process holds of the servers of all groups ---- */
/* Worker: its rows are clean, before it counts. */
void wr_peers_begin(struct wr_conf *c);
/* Keeper: takes back what processes held that are dead. True: as wr_ledger_sweep. */
bool wr_peers_sweep(struct wr_conf *c);
bool wr_peers_look(struct wr_conf *c); /* keeper: as wr_ledger_look */

/* ---- names: start and keeper ---- */
/* Resolves all names of the configuration with one deadline; unresolved ones are warned about.
 * Runs its own loop. Results wait in the configuration until wr_upstreams_commit. */
void wr_names_start(struct wr_conf *c, uint64_t deadline_ms);

/* ---- a worker's view ---- */
struct wr_peer {
    struct wr_peer_slot *slot;
    uint32_t index, generation;
};
/* A copy; false: it is not an address. */
bool wr_slot_addr(const struct wr_peer_slot *s, struct wr_addr *out) WR_CHECKED;
/* Copies the address. While the peer is held it is certain; before that the slot may be given to
 * another server. False: the slot holds no address. */
static inline WR_CHECKED bool wr_peer_addr(const struct wr_peer *peer, struct wr_addr *out)
{
    return wr_slot_addr(peer->slot, out);
}
struct wr_peer_group {
    struct wr_peer *at;
    uint32_t n;
    uint32_t *schedule, steps;   /* smooth weighted order, computed once a version */
    uint32_t pos;
};

/* ---- balancers ---- */
struct wr_pick {
    struct wr_exchange *x;
    const uint64_t *tried;       /* bit set by slot */
    uint64_t now_ms;
    bool alone;                  /* one peer in all: max_fails does not count */
    bool backup;                 /* a backup is wanted: no main server could be picked */
    uint64_t wait_ms;            /* out, with NULL: wait so long for one; 0: not */
};
bool wr_peer_tried(const struct wr_pick *p, const struct wr_peer *peer);
/* Not down, not tried, below max_conns, not failed too often. Pure but for the slot's counters. */
bool wr_peer_usable(const struct wr_pick *p, const struct wr_peer *peer);
/* A try of it went well: its failures may be forgiven. */
void wr_peer_forgive(const struct wr_peer *peer);
static inline void wr_peer_fine(const struct wr_peer *peer)
{
    if (wr_unlikely(atomic_load_explicit(&peer->slot->fails, memory_order_relaxed) > 0))
        wr_peer_forgive(peer);
}
struct wr_try;
struct wr_balancer_ops {
    const char *name;            /* the directive in upstream {} */
    /* In each worker, once: u->balancer_state, in u->pool. NULL: it needs none. */
    bool (*init)(struct wr_upstream *u, struct wr_loop *l);
    /* NULL: none usable in this group. With p->wait_ms as well the exchange waits, in the order in
     * which they came, and asks again when it is woken; when its time is over it is told that there
     * is no server. */
    struct wr_peer *(*pick)(struct wr_upstream *u, struct wr_peer_group *g, struct wr_pick *p);
    /* Once for each try of a peer that was picked, when its lease ends: t->failed, t->status and
     * the times say how. The peer still counts it. NULL: no matter. */
    void (*done)(struct wr_upstream *u, const struct wr_try *t);
    void (*changed)(struct wr_upstream *u); /* a new view; NULL: no matter */
};
/* For `done`: of those that wait for a peer the one that came first and is not woken yet. */
void wr_waiting_wake(struct wr_upstream *u);
extern const struct wr_balancer_ops wr_round_robin;

/* ---- one attempt, and all of an exchange ---- */
/* What failed, for the log and the policy. */
enum wr_failure {
    WR_FAIL_NONE,
    WR_FAIL_ERROR,   /* connect, send or receive */
    WR_FAIL_TIMEOUT,
    WR_FAIL_INVALID, /* what came is not the protocol */
    WR_FAIL_STATUS,  /* a status proxy_next_upstream names */
    WR_FAIL_STALE,   /* a parked connection was closed meanwhile: nobody's fault */
    WR_FAIL_NO_LIVE,
    WR_FAIL_NAME,
    WR_FAIL_FULL     /* this worker has no connection or descriptor left: no server's fault */
};
#define WR_NOT_YET UINT64_MAX
struct wr_try {
    struct wr_peer peer;         /* slot NULL: a run-time address */
    struct wr_addr addr;
    struct wr_str group;         /* no server could be chosen: its name, addr is empty */
    uint64_t begun_ms;           /* monotonic */
    uint64_t connect_ms, first_byte_ms, ended_ms; /* since begun; WR_NOT_YET */
    uint64_t header_ms;          /* layer 7 */
    unsigned status;             /* layer 7: of the reply; 0 none */
    uint64_t sent, received;
    uint64_t head_size;          /* layer 7: bytes of the reply's head */
    bool failed, held;           /* held: counted in the slot and the ledger */
    bool anew;                   /* the first one after an internal redirect to another upstream */
};
enum wr_next {
    WR_NEXT_OFF = 1, WR_NEXT_ERROR = 2, WR_NEXT_TIMEOUT = 4, WR_NEXT_INVALID = 8,
    WR_NEXT_500 = 16, WR_NEXT_502 = 32, WR_NEXT_503 = 64, WR_NEXT_504 = 128, WR_NEXT_403 = 256,
    WR_NEXT_404 = 512, WR_NEXT_429 = 1024, WR_NEXT_NON_IDEMPOTENT = 2048
};
struct wr_upstream_rows {        /* what `proxy_*` says in both layers (conf of the proxy module) */
    uint64_t connect_timeout_ms;
    uint32_t next;               /* wr_next bits; layer 4: on is error and timeout */
    uint32_t next_tries;
    uint64_t next_timeout_ms;
    struct wr_template *bind;    /* NULL: off */
    bool bind_transparent;
    bool socket_keepalive;
    size_t rcvbuf, sndbuf;
};
/* The rows for a module table: `type` is the module's conf, `field` its struct wr_upstream_rows. */
bool wr_set_bind(struct wr_cf *cf, void *conf);
#define WR_UPSTREAM_ROWS(prefix, layers, type, field) \
    WR_MSEC(prefix "_connect_timeout", (layers) | WR_IN_LOCATIONS, type, field.connect_timeout_ms, \
            "60s", "longest wait for a connection to a server"), \
    WR_NUM(prefix "_next_upstream_tries", (layers) | WR_IN_LOCATIONS, type, field.next_tries, "0", \
           "most servers tried for one session; 0: all"), \
    WR_MSEC(prefix "_next_upstream_timeout", (layers) | WR_IN_LOCATIONS, type, \
            field.next_timeout_ms, "0", "no other server is tried after this time; 0: no limit"), \
    WR_ROW(prefix "_bind", (layers) | WR_IN_LOCATIONS, 1, 2, wr_set_bind, type, field, NULL, NULL, \
           "local address of connections to servers"), \
    WR_FLAG(prefix "_socket_keepalive", (layers) | WR_IN_LOCATIONS, type, field.socket_keepalive, \
            "off", "SO_KEEPALIVE on connections to servers")

/* ---- TLS to servers ---- */
struct wr_peer_tls_live;
struct wr_peer_alpn { struct wr_template **at; uint32_t n, cap; }; /* protocols to offer */
struct wr_peer_tls {             /* proxy_ssl_* */
    struct wr_tls_conf tls;
    struct wr_template *name;    /* NULL: the host of proxy_pass */
    struct wr_peer_alpn alpn;
    bool server_name, verify, session_reuse;
    struct wr_peer_tls_live *live; /* the context; NULL: TLS is not used here */
};
bool wr_set_peer_alpn(struct wr_cf *cf, void *conf);
/* set_alpn: wr_set_peer_alpn, or what calls it behind checks of its own. */
#define WR_PEER_TLS_ROWS(prefix, where, type, field, set_alpn) \
    WR_TLS_ROWS(prefix "_ssl", where, type, field.tls, 0, "DEFAULT"), \
    WR_TEMPLATE(prefix "_ssl_name", where, type, field.name, NULL, \
                "name the server's certificate must have, and that is sent to it"), \
    WR_FLAG(prefix "_ssl_server_name", where, type, field.server_name, "off", \
            "sends the name to the server (SNI)"), \
    WR_ROW(prefix "_ssl_alpn", where, 1, WR_ARGS_ANY, set_alpn, type, field.alpn, NULL, \
           NULL, "protocols offered to the server (ALPN); empty values are left out"), \
    WR_FLAG(prefix "_ssl_verify", where, type, field.verify, "off", \
            "the server's certificate must be good and have the name"), \
    WR_FLAG(prefix "_ssl_session_reuse", where, type, field.session_reuse, "on", \
            "goes on with TLS sessions of earlier connections")
/* From `finish` of a conf that uses TLS: c->live. prefix: "proxy". False: reported. */
bool wr_peer_tls_finish(struct wr_cf *cf, struct wr_peer_tls *c, const char *prefix);
/* Behind wr_upstream_start*: this exchange speaks TLS to the server. host: of proxy_pass. */
void wr_attempts_secure(struct wr_exchange *x, const struct wr_peer_tls *tls, struct wr_str host);

/* ---- links: connections to peers; leases: an exchange's use of one ---- */
struct wr_peer_link;
enum wr_room { WR_ROOM_READY, WR_ROOM_FULL, WR_ROOM_GONE };
/* How a connection to a peer is spoken, as far as this folder has to know: a const table that the
 * layer hands down. With `lease` it carries several exchanges at once and the link's own task has
 * its events; without, there is one lease at a time, whose exchange has them. */
struct wr_link_speaker {
    const char *name;
    bool (*speaks)(struct wr_str alpn); /* pure: of a server that chose this; empty: nothing */
    enum wr_room (*lease)(struct wr_peer_link *l); /* may one more exchange use it, which is up? */
    void (*begin)(struct wr_peer_link *l); /* it is up: makes l->of_speaker */
    void (*run)(struct wr_peer_link *l);   /* something happened on the connection */
    void (*drain)(struct wr_peer_link *l); /* no lease will follow those there are: says goodbye */
    void (*end)(struct wr_peer_link *l);   /* frees l->of_speaker; NULL if it did not begin */
};
struct wr_link_key {             /* links of equal keys may stand in for each other */
    const struct wr_link_speaker *speaker; /* NULL: bytes as they are */
    uint32_t index, generation;  /* of the peer */
    const void *location;        /* with `keepalive N local`: whose it is; else NULL */
    const struct wr_addr *bind;  /* local address asked for; NULL: none */
    struct wr_peer_tls_live *tls; /* NULL: plain */
    struct wr_str name, alpn;    /* of the handshake */
};
enum wr_link_state { WR_LINK_CONNECTS, WR_LINK_SECURES, WR_LINK_UP, WR_LINK_DOWN };
struct wr_peer_link {            /* a connection to a peer; lives longer than one exchange */
    struct wr_conn conn;         /* its deadline is that of dialing, then of being parked */
    struct wr_task task;         /* dials, where no exchange does; while parked, or shared */
    enum wr_link_state state;
    enum wr_failure failure;     /* why it is DOWN; was logged */
    struct wr_link leases;       /* struct wr_lease */
    uint32_t nleases, requests;  /* requests: leases, ever */
    bool bound;                  /* to one client: never another's */
    bool gone;                   /* no more leases */
    void *of_speaker;
    struct wr_upstream *u;       /* NULL: an address found at run time */
    struct wr_peer peer;
    struct wr_addr addr, bind;
    const struct wr_upstream_rows *rows;
    struct wr_link_key key;      /* name and alpn are its own memory */
    uint64_t hash;               /* of the key */
    struct wr_peer_link *next, **back; /* in its bucket; back NULL: in none */
    struct wr_link parked;
    struct wr_doomed doomed;
    struct wr_str announce;      /* goes out first, before any handshake: a PROXY header */
    size_t announced;            /* bytes of it that are out */
    struct wr_str certificate, certificate_key; /* where their names have variables */
    const struct wr_log *log;    /* of what goes wrong while it dials */
    const struct wr_log_source *source;
    struct wr_log_source own;
    uint64_t opened_ms, connected_ms; /* connected: 0 not yet */
};
struct wr_lease {
    struct wr_link at;           /* of the link's */
    struct wr_peer_link *link;   /* NULL: none */
    struct wr_exchange *x;
    uint64_t sent, received;     /* alone: what the connection had counted before; of a shared one
                                  * the speaker counts here */
    bool reused;                 /* the link had served others before */
    bool reusable;               /* alone: the connection may serve another exchange */
    bool joined;                 /* somebody else's dial is waited for */
    bool waits;                  /* counted in x->waits until the link is up or down */
};
static inline bool wr_link_is_shared(const struct wr_peer_link *l)
{
    return l->key.speaker != NULL && l->key.speaker->lease != NULL;
}
static inline uint64_t wr_lease_sent(const struct wr_lease *e)
{
    return e->link == NULL ? 0
         : wr_link_is_shared(e->link) ? e->sent : e->link->conn.sent - e->sent;
}
static inline uint64_t wr_lease_received(const struct wr_lease *e)
{
    return e->link == NULL ? 0
         : wr_link_is_shared(e->link) ? e->received : e->link->conn.received - e->received;
}
/* For speakers: no lease will follow. Those there are are woken; with the last one it is closed, at
 * once if there is none. */
void wr_peer_link_gone(struct wr_peer_link *l);
void wr_peer_link_offer(struct wr_peer_link *l); /* it may have room again */

struct wr_attempts {
    struct wr_upstream *u;
    const struct wr_upstream_rows *rows;
    const struct wr_link_speaker *speaker; /* of its links; NULL: bytes as they are */
    const struct wr_peer_tls *tls; /* NULL: plain */
    struct wr_str tls_host, tls_name; /* of proxy_pass; without port, zero behind it */
    struct wr_str tls_alpn;      /* as on the wire; empty: none */
    struct wr_str announce;      /* goes out first, before any handshake: a PROXY header */
    struct wr_lease lease;       /* of the current try */
    WR_VEC(struct wr_try) tries; /* the last is the current */
    struct wr_try only;          /* room for the first: mostly there is no other */
    uint32_t first;              /* of tries: where those of this upstream begin */
    uint32_t stale;              /* of them: went to a parked connection that was closed */
    uint64_t *tried;
    uint64_t begun_ms;
    enum wr_failure failure;     /* of the last try */
    /* An address known only at run time: no group, no slot. */
    struct wr_hostport direct;
    struct wr_query query;
    struct wr_exchange *owner;
    struct wr_link waiting;      /* of the upstream's; unlinked: it does not wait for a peer */
    struct wr_addr *addrs;       /* NULL: the upstream's peers are used */
    uint32_t naddrs, next_addr;
    bool resolving;
    bool sealed;                 /* something was sent that should not be sent twice */
    bool lost;                   /* part of what was sent is gone: it cannot be sent again */
};
static inline struct wr_conn *wr_try_conn(const struct wr_attempts *a) /* NULL: none */
{
    return a->lease.link != NULL ? &a->lease.link->conn : NULL;
}
static inline struct wr_try *wr_try_now(struct wr_attempts *a)
{
    return a->tries.n > 0 ? &a->tries.at[a->tries.n - 1] : NULL;
}
/* What variables show of an exchange's tries: what `one` appends for each of them, separated by
 * ", ", or " : " where another upstream was asked. False: there was none. */
typedef void wr_try_text(struct wr_text *t, const struct wr_attempts *a, const struct wr_try *try,
                         uintptr_t what);
bool wr_tries_text(struct wr_exchange *x, wr_try_text *one, uintptr_t what, struct wr_str *out);
void wr_try_seconds(struct wr_text *t, uint64_t ms); /* "0.005"; "-" for WR_NOT_YET */
/* Its address; the name of the group where no server could be chosen. */
void wr_try_whom(struct wr_text *t, const struct wr_try *try);
/* Content hooks call one of these and return WR_TAKEN. */
void wr_upstream_start(struct wr_exchange *x, struct wr_upstream *u,
                       const struct wr_upstream_rows *rows);
/* A name found at run time: a group of the configuration, "host:port", "unix:path". False: it is
 * none of them, which is logged: the caller rejects with 500. */
bool wr_upstream_start_text(struct wr_exchange *x, struct wr_str text, uint16_t default_port,
                            const struct wr_upstream_rows *rows) WR_CHECKED;
void wr_attempts_end(struct wr_exchange *x);
bool wr_peer_left(struct wr_exchange *x); /* is there one to try after the current? */
struct wr_try_facts {            /* a try of layer 7 that failed */
    enum wr_failure failure;     /* as it looked */
    bool reused, idempotent;     /* its link had served others; the method may be repeated */
    bool refused;                /* the peer said that it has not begun */
    uint64_t sent, received;     /* bytes in this try */
};
struct wr_try_verdict {
    enum wr_failure failure;     /* STALE: a link that had served before broke, and nothing that
                                  * must not be done twice can have been done */
    bool processed;              /* the peer may have begun with it */
};
struct wr_try_verdict wr_try_judge(const struct wr_try_facts *f); /* pure; speakers call it */
enum wr_retry_decision { WR_RETRY_NEXT, WR_RETRY_GIVE_UP };
struct wr_retry_facts {
    enum wr_failure failure;
    uint32_t next;               /* wr_next bits; for WR_FAIL_STATUS the caller has checked */
    uint32_t tries, max_tries;   /* 0: no limit */
    uint64_t elapsed_ms, max_ms; /* 0: no limit */
    bool sent;                   /* what went to the peer should not go to another */
    bool lost;                   /* and cannot */
};
enum wr_retry_decision wr_retry_policy(const struct wr_retry_facts *f);
extern const struct wr_step wr_step_start, wr_step_pick, wr_step_dial, wr_step_secure,
    wr_step_retry;

#endif
