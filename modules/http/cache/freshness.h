/* freshness: may a reply be stored, how long is it fresh, and what is to be done with it when
 * somebody asks for it (RFC 9111 3, 4.2, 5.2; RFC 5861). Pure: the clock, the configuration and the
 * fields come as arguments. The rules, and where nginx has others, stand in freshness.c. */
#ifndef WR_FRESHNESS_H
#define WR_FRESHNESS_H

#include "cache_control.h"

/* ---- what is kept with a reply ---- */

enum { /* wr_freshness.flags */
    WR_FRESH_NEVER_STALE = 1,  /* not to be used once it is stale, whatever proxy_cache_use_stale
                                * says (RFC 9111 4.2.4) */
    WR_FRESH_ASK = 2           /* no-cache: not to be used before the server has been asked */
};
/* Plain numbers, each of which may be anything: they may come from a file. Times are Unix time in
 * milliseconds, like wr_clock.wall_ms. */
struct wr_freshness {
    uint64_t received;         /* when the reply came; of a reply that was revalidated, the 304 */
    uint64_t fresh_until;      /* fresh before this time */
    uint32_t age;              /* seconds, when it was received (RFC 9111 4.2.3) */
    uint32_t while_revalidate, if_error; /* seconds behind fresh_until; 0: none */
    uint32_t flags;
};
/* RFC 9111 4.2.3: seconds, at most 2^31; the value of the Age field to send. */
uint32_t wr_freshness_age(const struct wr_freshness *f, uint64_t now);
/* Seconds until it is stale; negative: since then. At most 2^31 either way. */
int64_t wr_freshness_ttl(const struct wr_freshness *f, uint64_t now);

/* ---- storing ---- */

enum wr_store {
    WR_STORE_YES,
    WR_STORE_STATUS,           /* 1xx, 304, a 206 that is not known to be a slice; with
                                * must-understand a status that has no rules here */
    WR_STORE_METHOD,           /* neither GET nor HEAD, and no time of its own */
    WR_STORE_NO_STORE, WR_STORE_NO_CACHE, WR_STORE_PRIVATE, /* Cache-Control of the reply */
    WR_STORE_ACCEL,            /* X-Accel-Expires: 0 */
    WR_STORE_COOKIE,           /* Set-Cookie */
    WR_STORE_VARY,             /* Vary: * */
    WR_STORE_AUTHORIZATION,    /* the request had it, and the reply does not permit it */
    WR_STORE_REQUEST,          /* the request has no-store */
    WR_STORE_EXPIRED,          /* it has come stale, and cannot be revalidated */
    WR_STORE_NO_TIME           /* neither the reply nor proxy_cache_valid names a time */
};
const char *wr_store_reason(enum wr_store why); /* for the trace and the log: "Set-Cookie" */

struct wr_store_ask {
    bool rfc9111;              /* the mode; else like nginx */
    unsigned status;
    enum wr_method method;     /* of the request */
    bool authorization;        /* the request has the field */
    bool slice;                /* the range is a part of the key: 206 may be stored */
    const struct wr_cache_control *request; /* of the client's request */
    const struct wr_fields *fields; /* of the reply */
    uint32_t ignore;           /* wr_ignore bits of proxy_ignore_headers */
    int64_t valid;             /* seconds of proxy_cache_valid for the status; -1: no row for it */
    uint64_t asked, now;       /* when the request was sent, when the reply came; wall ms */
};
/* Fills *out if it returns WR_STORE_YES. For a 304 to a revalidation: status of the stored reply,
 * fields after the merge. With no-cache="..." or private="..." and rfc9111 the fields named
 * there must not be stored. */
enum wr_store wr_store_judge(const struct wr_store_ask *a, struct wr_freshness *out) WR_CHECKED;

/* ---- using ---- */

enum wr_stale {                /* bits of proxy_cache_use_stale; what went wrong is one of them */
    WR_STALE_ERROR = 1, WR_STALE_TIMEOUT = 2, WR_STALE_INVALID = 4, WR_STALE_UPDATING = 8,
    WR_STALE_500 = 16, WR_STALE_502 = 32, WR_STALE_503 = 64, WR_STALE_504 = 128,
    WR_STALE_403 = 256, WR_STALE_404 = 512, WR_STALE_429 = 1024
};
enum wr_use {
    WR_USE_MISS,               /* nothing is stored: ask the server */
    WR_USE_BYPASS,             /* proxy_cache_bypass: ask the server */
    WR_USE_EXPIRED,            /* ask the server for a whole reply */
    WR_USE_REVALIDATE,         /* ask the server with the stored validators; a 304 makes it
                                * REVALIDATED, anything else EXPIRED */
    WR_USE_HIT,                /* send what is stored */
    WR_USE_STALE,              /* send what is stored; `background` says whether to ask the server
                                * meanwhile */
    WR_USE_UPDATING,           /* send what is stored; somebody is asking the server already */
    WR_USE_NOT_CACHED          /* 504: the request has only-if-cached (RFC 9111 5.2.1.7) */
};
static inline bool wr_use_is_stored(enum wr_use u) /* what is stored is to be sent */
{
    return u == WR_USE_HIT || u == WR_USE_STALE || u == WR_USE_UPDATING;
}
struct wr_use_ask {
    const struct wr_freshness *stored; /* NULL: nothing is */
    const struct wr_cache_control *request; /* NULL without rfc9111: clients have no say */
    uint64_t now;
    uint32_t use_stale;        /* wr_stale bits */
    bool bypass;
    bool updating;             /* another request is asking the server for this reply */
    bool background;           /* proxy_cache_background_update */
    bool validator;            /* proxy_cache_revalidate is on and the reply has an ETag or
                                * Last-Modified */
};
struct wr_using {
    enum wr_use how;
    bool background;           /* ask the server, in a request of weir's own */
};
struct wr_using wr_use_judge(const struct wr_use_ask *a);
/* The server was asked and failed in this way: may the stored reply be sent instead? */
bool wr_use_after_failure(const struct wr_use_ask *a, enum wr_stale failure);

#endif
