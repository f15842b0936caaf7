/* precondition: the conditional fields of a request against what would be sent (RFC 9110 13). Pure.
 * Called by the filters, for files and texts of weir's own, and by the cache. */
#ifndef WR_PRECONDITION_H
#define WR_PRECONDITION_H

#include "message/message.h"

enum wr_since { WR_SINCE_OFF, WR_SINCE_EXACT, WR_SINCE_BEFORE }; /* if_modified_since */
enum wr_precondition {
    WR_PRECONDITION_HOLDS,     /* send it */
    WR_PRECONDITION_UNCHANGED, /* 304 */
    WR_PRECONDITION_FAILED     /* 412 */
};
struct wr_validators {
    struct wr_str etag;        /* empty: none */
    time_t modified;           /* -1: none */
};
/* strict: If-None-Match makes If-Modified-Since void, and If-Match makes If-Unmodified-Since void
 * (13.2.2). Otherwise as nginx: all of them must agree. */
enum wr_precondition wr_precondition(const struct wr_fields *request,
                                     const struct wr_validators *have, enum wr_since how,
                                     bool strict);
/* True: a Range field may be honoured; there is no If-Range, or the client has parts of the same
 * reply (13.1.5). */
bool wr_if_range_holds(const struct wr_fields *request, const struct wr_validators *have);

#endif
