/* invalidation: which stored replies a request with an unsafe method makes void (RFC 9111 4.4).
 * Pure. */
#ifndef WR_INVALIDATION_H
#define WR_INVALIDATION_H

#include "message/message.h"

/* True: a method that may change something, or that nobody knows here, was answered without error
 * (2xx or 3xx). The reply stored for the request's own target is void then. */
bool wr_invalidates(struct wr_str method, unsigned status);

#endif
