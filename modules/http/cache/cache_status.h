/* cache_status: the Cache-Status field (RFC 9211), which says what the cache did. Pure. */
#ifndef WR_CACHE_STATUS_H
#define WR_CACHE_STATUS_H

#include "base/base.h"

enum wr_forwarded {            /* RFC 9211 2.2: why the server was asked */
    WR_FWD_NONE,               /* it was not: a hit */
    WR_FWD_BYPASS,             /* the configuration: proxy_cache_bypass */
    WR_FWD_METHOD,             /* the method is not one of proxy_cache_methods */
    WR_FWD_URI_MISS,           /* nothing is stored under the key */
    WR_FWD_VARY_MISS,          /* something is, but not for the fields of this request */
    WR_FWD_MISS,               /* one of both */
    WR_FWD_REQUEST,            /* the request's own directives */
    WR_FWD_STALE,              /* what is stored is stale */
    WR_FWD_NOWHERE             /* it was not, and nothing stored was sent: only-if-cached */
};
struct wr_cache_status {
    struct wr_str cache;       /* name of this cache */
    enum wr_forwarded fwd;
    unsigned fwd_status;       /* of the server's reply; 0: none, or the same as is sent */
    bool stored;               /* what the server sent is stored */
    const char *detail;        /* why it is not stored; NULL: it is, or nobody knows */
    bool collapsed;            /* together with another request */
    bool has_ttl;
    int64_t ttl;               /* seconds it is still fresh; negative: stale since */
    struct wr_str key;         /* p NULL: not told */
};
/* Appends `weir; fwd=stale; fwd-status=304; stored; ttl=60; key="..."`. What cannot stand in a
 * field is left out: a key with other characters than those of ASCII. False: it does not fit. */
bool wr_cache_status_write(struct wr_text *out, const struct wr_cache_status *s) WR_CHECKED;

#endif
