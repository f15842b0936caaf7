/* dns: names to addresses, in our loop.
 *
 * Map: resolver (names, their cache, the queries that wait for them), question (one name, all its
 * records), channel (c-ares in our loop), mixed_case (of its questions), answer_parser (pure: a
 * message in, records out), etc_hosts (/etc/hosts). */
#ifndef WR_DNS_H
#define WR_DNS_H

#include "event/event.h"

/* ---- dns: pure; message in, records out ---- */
struct wr_dns_record {
    uint16_t type;             /* 1 A, 28 AAAA, 33 SRV, 5 CNAME, 12 PTR */
    uint32_t ttl;
    struct wr_addr addr;       /* A, AAAA; port 0 */
    uint16_t priority, weight, port; /* SRV */
    char name[256];            /* CNAME, SRV, PTR target; text, no final dot */
};
enum wr_dns_code {
    WR_DNS_OK, WR_DNS_FORMERR = 1, WR_DNS_SERVFAIL = 2, WR_DNS_NXDOMAIN = 3, WR_DNS_NOTIMP = 4,
    WR_DNS_REFUSED = 5, WR_DNS_TIMEDOUT = 110, WR_DNS_BAD = 111, WR_DNS_NO_SERVER = 112
};
const char *wr_dns_code_text(enum wr_dns_code c); /* nginx's: "Host not found", "Server failure" */
#define WR_DNS_RECORDS 512
struct wr_dns_answer {         /* some 200 KB: not for the stack */
    enum wr_dns_code code;     /* OK with n == 0: the name is there, records of this type are not */
    uint32_t n;
    uint32_t ttl;              /* s; smallest of the chain; n == 0: that of the SOA (0: no SOA) */
    char alias[256];           /* not empty: the chain ends at this name, and the message has no
                                * records of it and no SOA: ask for it (n == 0; ttl: the chain's) */
    struct wr_dns_record at[WR_DNS_RECORDS]; /* at most that many, the rest is dropped */
};
/* Follows the CNAME chain inside the message from `name` (empty: from the name of the question);
 * keeps records of `type` only. In names, '?' replaces each byte that could confuse a log line or
 * the division into labels. */
void wr_dns_parse(const void *p, size_t n, struct wr_str name, uint16_t type,
                  struct wr_dns_answer *out);
/* Is this the only question in the message, with each letter in the same case? */
bool wr_dns_asks(const void *p, size_t n, struct wr_str name, uint16_t type);

/* ---- resolver ---- */
struct wr_resolver;            /* one `resolver` directive, or the system's resolv.conf */
struct wr_resolver_opts {
    struct wr_addr *servers;   /* NULL: those of /etc/resolv.conf, read again when it changes */
    uint32_t nservers;
    uint64_t valid_ms;         /* 0: by TTL, clamped to 1 s .. 1 h */
    bool no_ipv4, no_ipv6;
    bool mixed_case;           /* only with servers */
    struct wr_addr local[2];   /* questions come from here: IPv4, IPv6; len 0: from any */
    uint64_t timeout_ms;       /* resolver_timeout */
    bool hosts;                /* look into /etc/hosts first, read again when it changes */
};
#define WR_NAMES 512
struct wr_name_addr {
    struct wr_addr addr;       /* port 0, or that of the SRV record */
    uint16_t priority, weight; /* of the SRV record */
};
struct wr_names {              /* result of one question */
    enum wr_dns_code code;     /* OK: n > 0; else the reason. NXDOMAIN may also mean that the name
                                * has no such records */
    uint32_t n;                /* at most WR_NAMES */
    struct wr_name_addr *at;   /* inside done(): stays until it returns */
    uint64_t ttl_ms;           /* ask again after this time, also after a failure */
    bool failed4, failed6;     /* OK: addresses of this family may be missing, as their name server
                                * failed */
    bool kept;                 /* not fresh from the DNS: others get the same in the same order */
};
struct wr_query {              /* embedded in the caller's struct; zeroed before its first use */
    struct wr_link link;
    void (*done)(struct wr_query *, const struct wr_names *); /* never from inside wr_resolve */
    struct wr_timer timer;
    struct wr_resolver *asked;
};
/* The options are copied, servers too. Questions go to one server after the other, 1 s, 2 s, 4 s
 * each, until timeout_ms (default 30 s) is over. Search domains and ndots of resolv.conf are used
 * only with its servers (servers == NULL): nginx, too, applies them to names resolved at start, not
 * to names asked of a `resolver`. */
struct wr_resolver *wr_resolver_new(struct wr_loop *l, const struct wr_resolver_opts *o);
/* Open queries are dropped without done(). Not from inside done(). NULL is fine. */
void wr_resolver_free(struct wr_resolver *r);
/* Asks for the addresses of name, of both families at once. If service is not empty, asks for the
 * SRV records of _service._tcp.name (service "http") or of service.name (service with a dot,
 * "_x._y"), and then for the addresses of each target, each target once. A literal address is its
 * own answer. Answers are kept for their TTL; the same question asked twice is sent once. done() is
 * called in a later turn, unless the query is cancelled or the resolver freed. */
void wr_resolve(struct wr_resolver *r, struct wr_query *q, struct wr_str name,
                struct wr_str service);
void wr_resolve_cancel(struct wr_query *q);   /* idempotent; done() will not be called */
/* Looks the name up in /etc/hosts only, at once; n == 0: not found. "localhost" is always found.
 * Reads the file again when it has changed, which is checked at most once a second. out->at stays
 * until the next lookup. */
void wr_hosts_lookup(struct wr_str name, struct wr_names *out);
/* For tests: uses this file instead of /etc/hosts. path is borrowed. */
void wr_hosts_use(const char *path);

#endif
