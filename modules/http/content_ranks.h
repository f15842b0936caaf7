/* content_ranks: the order of the content hooks at layer 7. What a location names itself
 * (proxy_pass, return) comes first, at rank 0; what every location has without being told follows.
 */
#ifndef WR_CONTENT_H
#define WR_CONTENT_H

#include "http/http.h"

enum wr_content_rank {
    WR_CONTENT_NAMED = 0,
    WR_CONTENT_INDEX = 100,     /* uris that end with a slash */
    WR_CONTENT_LISTING = 200,
    WR_CONTENT_STATIC = 300,    /* those that do not */
    WR_CONTENT_FORBIDDEN = 400  /* a folder nobody wanted to show */
};

#endif
