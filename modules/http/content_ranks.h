/* content_ranks: the order of the content hooks at layer 7. Those that a directive of the location
 * asks for (proxy_pass) come first, at rank 0; those that every location has by default follow. */
#ifndef WR_CONTENT_RANKS_H
#define WR_CONTENT_RANKS_H

#include "http/http.h"

enum wr_content_rank {
    WR_CONTENT_NAMED = 0,
    WR_CONTENT_INDEX = 100,     /* uris that end with a slash */
    WR_CONTENT_LISTING = 200,
    WR_CONTENT_STATIC = 300,    /* uris that do not */
    WR_CONTENT_FORBIDDEN = 400  /* a folder that no other hook has shown */
};

#endif
