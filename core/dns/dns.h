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
#define WR_DNS_RECORDS 64
struct wr_dns_answer {         /* some 25 KB */
    enum wr_dns_code code;     /* OK with n == 0: the name is there, records of this type are not */
    uint32_t n;
    uint32_t ttl;              /* smallest of the chain, s; of the SOA when negative, 0: no SOA */
    char alias[256];           /* the chain ends at this name, of which the server says no more: ask
                                * for it (n == 0, ttl is the chain's); empty: it says all */
    struct wr_dns_record at[WR_DNS_RECORDS]; /* at most that many, the rest is dropped */
};
/* Follows the CNAME chain inside the message from `name` (empty: from the name of the question);
 * keeps records of `type` only. Names come out with '?' for what does not belong into a log line
 * or a label. */
void wr_dns_parse(const void *p, size_t n, struct wr_str name, uint16_t type,
                  struct wr_dns_answer *out);
/* Is this the only question in the message, to the case of each letter? */
bool wr_dns_asks(const void *p, size_t n, struct wr_str name, uint16_t type);

/* ---- resolver ---- */
struct wr_resolver;            /* one `resolver` directive, or the system's resolv.conf */
struct wr_resolver_opts {
    struct wr_addr *servers;   /* NULL: /etc/resolv.conf, looked at again when it changes */
    uint32_t nservers;
    uint64_t valid_ms;         /* 0: by TTL, clamped to 1 s .. 1 h */
    bool no_ipv4, no_ipv6;
    bool mixed_case;           /* only with servers */
    uint64_t timeout_ms;       /* resolver_timeout */
    bool hosts;                /* look into /etc/hosts first (rechecked on mtime) */
};
#define WR_NAMES 64
struct wr_name_addr {
    struct wr_addr addr;       /* port 0, or that of the SRV record */
    uint16_t priority, weight; /* of the SRV record */
};
struct wr_names {              /* result of one question; some 8 KB */
    enum wr_dns_code code;     /* OK and n > 0, or why not (NXDOMAIN also for "no such record") */
    uint32_t n;
    struct wr_name_addr at[WR_NAMES];
    uint64_t ttl_ms;           /* when to ask again; failures too */
    bool kept;                 /* not new: others were told the same, in the same order */
};
struct wr_query {              /* embedded in who asks; zeroed before its first use */
    struct wr_link link;
    void (*done)(struct wr_query *, const struct wr_names *); /* never from inside wr_resolve */
    struct wr_timer timer;
    struct wr_resolver *asked;
};
/* The options are copied, servers too. Questions go to one server after the other, 1 s, 2 s, 4 s
 * each, until timeout_ms (default 30 s) is over. Search domains and ndots of resolv.conf count only
 * for the system's resolver (servers == NULL), as nginx's start-up and run-time names differ. */
struct wr_resolver *wr_resolver_new(struct wr_loop *l, const struct wr_resolver_opts *o);
/* Open queries are dropped without done(). Not from inside done(). NULL is fine. */
void wr_resolver_free(struct wr_resolver *r);
/* Asks for the addresses of name (both families at once); service: SRV of _service._tcp.name when
 * service is not empty ("http"; with a dot in it, "_x._y", it is taken as it stands), then the
 * addresses of each target. A literal address is its own answer. Answers are kept for their TTL,
 * the same question asked twice goes out once. done() comes in a later turn or never (cancel). */
void wr_resolve(struct wr_resolver *r, struct wr_query *q, struct wr_str name,
                struct wr_str service);
void wr_resolve_cancel(struct wr_query *q);   /* idempotent; done() will not be called */
/* /etc/hosts only, at once; n == 0 when the name is not there. "localhost" always is. The file is
 * looked at again when it changed, at most once a second. */
void wr_hosts_lookup(struct wr_str name, struct wr_names *out);
/* Another file than /etc/hosts, for tests; path stays the caller's. */
void wr_hosts_use(const char *path);

#endif
