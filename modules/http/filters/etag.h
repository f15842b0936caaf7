/* etag: comparing entity tags (RFC 9110 8.8.3.2) as the conditional fields need it. Pure. */
#ifndef WR_ETAG_H
#define WR_ETAG_H

#include "base/base.h"

/* True: etag (empty: the reply has none) is among the tags of If-Match (strong comparison: a weak
 * tag equals nothing) or If-None-Match (weak). "*" alone matches any reply. */
bool wr_etag_listed(struct wr_str list, struct wr_str etag, bool weak);

#endif
