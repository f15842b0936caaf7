/* protocol_detect: the protocol a client speaks, by its first bytes. */
#ifndef WR_PROTOCOL_DETECT_H
#define WR_PROTOCOL_DETECT_H

#include "base/base.h"

/* Pure. The name of the protocol ("tls", "http", "http2", "ssh", "postgres", "redis", "rdp", or
 * "other"); empty: more bytes are needed to tell. */
struct wr_str wr_protocol_detect(struct wr_str seen);

#endif
