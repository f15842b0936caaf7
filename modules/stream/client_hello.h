/* client_hello: the unencrypted facts in the first message of a TLS client (RFC 8446 4.1.2, RFC
 * 6066 3, RFC 7301). Pure but for the pool. */
#ifndef WR_CLIENT_HELLO_H
#define WR_CLIENT_HELLO_H

#include "base/base.h"

struct wr_client_hello {
    uint16_t version;    /* the highest one offered, as on the wire; 0: none */
    struct wr_str name;  /* server_name, as sent; empty: none, or not a host name */
    struct wr_str alpn;  /* "h2,http/1.1" */
};
enum wr_hello {
    WR_HELLO_MORE,       /* more bytes are needed */
    WR_HELLO_DONE,
    WR_HELLO_NOT_TLS     /* they do not begin a ClientHello, or one that no server accepts */
};
/* seen: everything the client has sent so far. The views in *out live as long as those bytes and
 * the pool; *out is zeroed unless DONE. */
enum wr_hello wr_client_hello_parse(struct wr_str seen, struct wr_pool *pool,
                                    struct wr_client_hello *out) WR_CHECKED;
/* "TLSv1.2"; empty: an unknown version. */
struct wr_str wr_client_hello_version(uint16_t version);

#endif
