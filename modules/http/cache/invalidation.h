/* invalidation: which stored replies a request with an unsafe method makes void (RFC 9111 4.4).
 * Pure. */
#ifndef WR_INVALIDATION_H
#define WR_INVALIDATION_H

#include "message/message.h"

/* True: a method that may change something, or that nobody knows here, was answered without error
 * (2xx or 3xx). The reply stored for the request's own target is void then. */
bool wr_invalidates(struct wr_str method, unsigned status);

struct wr_origin {             /* of the request */
    struct wr_str scheme;      /* "http", "https" */
    struct wr_str host;        /* in lower case */
    uint16_t port;             /* the one that was asked for: 80 for http without any */
    struct wr_str target;      /* "/a/b?c" */
};
/* The target of a Location or Content-Location value, "/a/x?y", if it is of the same origin: only
 * then it may be made void. False: it is of another one, is not a reference, or does not fit. */
bool wr_invalidation_target(const struct wr_origin *o, struct wr_str location,
                            struct wr_text *out) WR_CHECKED;

#endif
