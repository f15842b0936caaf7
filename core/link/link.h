/* link: connections to peers. A link is dialed with or without an exchange, has leases (exchanges
 * that use it), and is parked when the last of them ends.
 *
 * Map: link (from its creation to its end), connect and peer_tls (opening one, TLS to servers),
 * start_tls and start_talk (STARTTLS), lease (finding, parking and sharing them). */
#ifndef WR_LINK_H
#define WR_LINK_H

#include "exchange/exchange.h"
#include "text/text.h"
#include "tls/tls.h"

/* Kinds of failure, for the log and the policy. */
enum wr_failure {
    WR_FAIL_NONE,
    WR_FAIL_ERROR,   /* connect, send or receive */
    WR_FAIL_TIMEOUT,
    WR_FAIL_INVALID, /* the peer violated the protocol */
    WR_FAIL_STATUS,  /* a status proxy_next_upstream names */
    WR_FAIL_STALE,   /* a link that was parked before broke: not counted against the peer */
    WR_FAIL_NO_LIVE, /* no peer was usable */
    WR_FAIL_NAME,    /* the run-time name could not be resolved */
    WR_FAIL_FULL     /* this worker has no connection or descriptor left: not the peer's fault */
};

/* ---- how to dial: directives of proxy modules ---- */
struct wr_dial_rows {
    uint64_t connect_timeout_ms;
    struct wr_template *bind;    /* NULL: off */
    bool bind_transparent;
    bool socket_keepalive;
    size_t rcvbuf, sndbuf;
};
/* The rows for a module table: `type` is the module's conf, `field` its struct wr_dial_rows. */
bool wr_set_bind(struct wr_cf *cf, void *conf);
#define WR_DIAL_ROWS(prefix, layers, type, field) \
    WR_MSEC(prefix "_connect_timeout", (layers) | WR_IN_LOCATIONS, type, field.connect_timeout_ms, \
            "60s", "longest wait for a connection to a server"), \
    WR_ROW(prefix "_bind", (layers) | WR_IN_LOCATIONS, 1, 2, wr_set_bind, type, field, NULL, NULL, \
           "local address of connections to servers"), \
    WR_FLAG(prefix "_socket_keepalive", (layers) | WR_IN_LOCATIONS, type, field.socket_keepalive, \
            "off", "SO_KEEPALIVE on connections to servers"), \
    WR_SIZE(prefix "_socket_rcvbuf", (layers) | WR_IN_LOCATIONS, type, field.rcvbuf, NULL, \
            "SO_RCVBUF of connections to servers"), \
    WR_SIZE(prefix "_socket_sndbuf", (layers) | WR_IN_LOCATIONS, type, field.sndbuf, NULL, \
            "SO_SNDBUF of connections to servers")

/* ---- TLS to servers ---- */
struct wr_peer_tls_live;
#define WR_ALPN_NAME_MAX 255 /* RFC 7301 3.1 */
/* Appends a protocol's name as on the wire; an empty one is left out. False: it is too long, and
 * was left out. */
static inline bool wr_alpn_append(struct wr_text *t, struct wr_str name)
{
    if (name.n > 0 && name.n <= WR_ALPN_NAME_MAX) {
        wr_text_char(t, (char)name.n);
        wr_text_str(t, name);
    }
    return name.n <= WR_ALPN_NAME_MAX;
}
struct wr_peer_alpn { struct wr_template **at; uint32_t n, cap; }; /* protocols to offer */
/* proxy_ssl_start: what is said in plain text before the handshake. */
enum wr_start { WR_START_OFF, WR_START_PGSQL, WR_START_SMTP, WR_START_IMAP, WR_START_LDAP };
extern const struct wr_enum wr_start_words[];
#define WR_START_MAX 4096        /* bytes of an answer */
enum wr_start_next {
    WR_START_MORE,               /* bytes are missing */
    WR_START_SENDS,              /* send out, then go on */
    WR_START_READY,              /* the handshake may begin */
    WR_START_REFUSED, WR_START_BROKEN
};
struct wr_start_talk {
    uint32_t step;
    struct wr_str out;           /* static */
    struct wr_str greeting;      /* a view into `in`: for the client behind us; n 0: none */
    size_t used;                 /* bytes of `in` */
};
/* Pure. in: all bytes that have come and were not used yet. */
enum wr_start_next wr_start_talk(enum wr_start how, struct wr_start_talk *t, struct wr_str in);
struct wr_peer_tls {             /* proxy_ssl_* */
    uint32_t start;              /* wr_start */
    struct wr_tls_conf tls;
    struct wr_template *name;    /* proxy_ssl_name; NULL: the host of proxy_pass */
    struct wr_peer_alpn alpn;
    bool server_name, verify, session_reuse;
    struct wr_peer_tls_live *live; /* the context; NULL: TLS is not used here */
};
bool wr_set_peer_alpn(struct wr_cf *cf, void *conf);
/* set_alpn: wr_set_peer_alpn, or a setter that calls it after checks of its own. */
#define WR_PEER_TLS_ROWS(prefix, where, type, field, set_alpn) \
    WR_TLS_ROWS(prefix "_ssl", where, type, field.tls, 0, "DEFAULT"), \
    WR_TEMPLATE(prefix "_ssl_name", where, type, field.name, NULL, \
                "name that the server's certificate must have; sent as SNI if that is on"), \
    WR_FLAG(prefix "_ssl_server_name", where, type, field.server_name, "off", \
            "sends the name to the server (SNI)"), \
    WR_ROW(prefix "_ssl_alpn", where, 1, WR_ARGS_ANY, set_alpn, type, field.alpn, NULL, \
           NULL, "protocols offered to the server (ALPN); empty values are left out"), \
    WR_FLAG(prefix "_ssl_verify", where, type, field.verify, "off", \
            "verifies the server's certificate, and its name"), \
    WR_FLAG(prefix "_ssl_session_reuse", where, type, field.session_reuse, "on", \
            "resumes TLS sessions of earlier connections")
/* Sets c->live; call it from `finish` of a conf that uses TLS. prefix: "proxy". False: reported. */
bool wr_peer_tls_finish(struct wr_cf *cf, struct wr_peer_tls *c, const char *prefix);

/* ---- links: connections to peers; leases: an exchange's use of one ---- */
struct wr_peer_link;
struct wr_keepalive {            /* keepalive directives of an upstream of layer 7 */
    uint32_t connections, requests;
    bool local;                  /* each location uses its own connections */
    bool grows;                  /* not configured: up to the peak of `in_use` */
    uint64_t time_ms, timeout_ms;
};
struct wr_links {                /* of one group, in this process */
    struct wr_link parked;       /* wr_peer_link without leases, newest first */
    uint32_t nparked;
    uint32_t n, size;            /* in the table: parked links, and shared ones with room */
    struct wr_peer_link **buckets; /* `size` (a power of 2), by key; newest first */
    uint64_t looked;             /* how many links were compared, in all searches so far */
    struct wr_keepalive keepalive;
    struct wr_in_use {           /* links that are not parked */
        uint32_t now;
        uint32_t peak[2];        /* of the current half minute, and of the last one */
        uint64_t since_ms;       /* begin of the current half minute */
    } in_use;
};
bool wr_links_drop_one(struct wr_links *t); /* closes the longest parked; false: none parked */
void wr_links_drop(struct wr_links *t); /* at shutdown: closes all parked links */
enum wr_room { WR_ROOM_READY, WR_ROOM_FULL, WR_ROOM_GONE };
/* The protocol spoken on links, as far as this folder needs it: a const table of the layer. If it
 * has `lease`, a link carries several exchanges at once (it is shared) and the link's own task gets
 * the connection's events. Without, a link has one lease at a time, whose exchange gets them, and
 * only name and speaks are used. */
struct wr_link_speaker {
    const char *name;
    bool (*speaks)(struct wr_str alpn); /* pure: is this ALPN name its own? empty: none chosen */
    enum wr_room (*lease)(struct wr_peer_link *l); /* is there room for one more? l is up */
    void (*begin)(struct wr_peer_link *l); /* the link is up: make l->of_speaker */
    void (*run)(struct wr_peer_link *l);   /* something happened on the connection */
    void (*drain)(struct wr_peer_link *l); /* no more leases will begin: tell the peer; or NULL */
    void (*end)(struct wr_peer_link *l);   /* free l->of_speaker; called only after begin */
};
struct wr_link_key {             /* links of equal keys are interchangeable */
    const struct wr_link_speaker *speaker; /* NULL: bytes as they are */
    uint32_t index, generation;  /* of the peer */
    const void *location;        /* with `keepalive N local`: rows of the location; else NULL */
    const struct wr_addr *bind;  /* local address asked for; NULL: none */
    struct wr_peer_tls_live *tls; /* NULL: plain */
    struct wr_str name, alpn;    /* of the handshake */
    uint64_t client;             /* number of the only client that may use it; 0: all may */
};
enum wr_link_state { WR_LINK_CONNECTS, WR_LINK_SECURES, WR_LINK_UP, WR_LINK_DOWN };
struct wr_peer_link {            /* a connection to a peer; may outlive an exchange */
    struct wr_conn conn;         /* deadline: of dialing, later of being parked */
    struct wr_task task;         /* gets the events of a link that is shared or parked */
    enum wr_link_state state;
    enum wr_failure failure;     /* why it is DOWN; was logged */
    struct wr_link leases;       /* struct wr_lease */
    uint32_t nleases, requests;  /* requests: all leases so far */
    bool bound;                  /* belongs to one client: never leased to another */
    bool gone;                   /* takes no more leases */
    void *of_speaker;
    struct wr_links *links;      /* it is parked there; NULL: an address found at run time */
    struct wr_addr addr, bind;
    const struct wr_dial_rows *rows;
    struct wr_link_key key;      /* name and alpn are its own memory */
    uint64_t hash;               /* of the key */
    struct wr_peer_link *next, **back; /* in a bucket of links; back NULL: in none */
    struct wr_link parked;       /* in links->parked */
    struct wr_doomed doomed;
    struct wr_str announce;      /* PROXY header: sent first, before any handshake */
    size_t announced;            /* bytes of it that were sent */
    struct wr_start_talk start;  /* STARTTLS */
    bool started;                /* it is over, or somebody else does it */
    char *greeting;              /* of the server before TLS, to be read when the link is up */
    uint32_t greeting_n;
    struct wr_str certificate, certificate_key; /* where their names have variables */
    const struct wr_log *log;    /* for failures of dialing */
    const struct wr_log_source *source;
    struct wr_log_source own;
    uint64_t opened_ms, connected_ms; /* connected: 0 not yet */
};
struct wr_lease {
    struct wr_link at;           /* in link->leases */
    struct wr_peer_link *link;   /* NULL: none */
    struct wr_exchange *x;
    uint64_t sent, received;     /* shared link: bytes of this lease, counted by the speaker; else
                                  * the connection's counters when the lease began */
    bool reused;                 /* the link had carried other exchanges before */
    bool reusable;               /* not shared: the connection may carry another exchange */
    bool joined;                 /* waits for a dial that another exchange began */
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
/* True: the link is open and has no unread bytes. Bytes sent without a request must not become the
 * reply to the next one. Peeks, as the ready bit does not tell: the event may come later in this
 * turn, and a read that got all it asked for leaves the bit set. */
static inline bool wr_peer_link_is_silent(struct wr_peer_link *l)
{
    char byte;
    size_t got;

    return (l->conn.ready & (WR_HUP | WR_ERR)) == 0
        && wr_conn_peek(&l->conn, &byte, 1, &got) == WR_IO_AGAIN;
}
/* Idempotent; the link is freed at the end of the turn. */
void wr_peer_link_close(struct wr_peer_link *l);
/* A link of this key that has room, the newest first; NULL: none. */
struct wr_peer_link *wr_link_find(struct wr_links *t, const struct wr_link_key *k);
/* Closes the parked links of that client. */
void wr_links_drop_client(struct wr_links *t, uint64_t client);
/* Leases the link for the exchange; *e must have no link. */
void wr_lease_begin(struct wr_lease *e, struct wr_exchange *x, struct wr_peer_link *l);
/* Gives the lease back; with its last lease a link is parked or closed. */
void wr_lease_end(struct wr_lease *e, bool failed);
/* For speakers: the link takes no more leases. Wakes the exchanges that have one; closes the link
 * when the last of them ends, at once if there is none. */
void wr_peer_link_gone(struct wr_peer_link *l);
void wr_peer_link_offer(struct wr_peer_link *l); /* for speakers: it may have room again */

/* For the log: what dialing a link does. */
#define WR_LINK_CONNECTING "connecting to upstream"
#define WR_LINK_SECURING "SSL handshaking to upstream"
/* ---- dialing, with or without an exchange ---- */
struct wr_link_plan {            /* how to make a link; borrowed: addr and key are copied */
    struct wr_loop *loop;
    struct wr_task *task;        /* gets the connection's events and dials; NULL: the link's own */
    struct wr_links *links;      /* NULL: it is never parked */
    const struct wr_addr *addr;
    const struct wr_dial_rows *rows; /* must outlive the link */
    struct wr_link_key key;
    bool bound, datagrams;       /* datagrams: UDP */
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

#endif
