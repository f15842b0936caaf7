/* stored_fields: which fields of a reply are stored, and what a 304 changes in them (RFC 9111 3.1,
 * 3.2, 4.3.4). Pure, but that fields which are added lie in the caller's pool. */
#ifndef WR_STORED_FIELDS_H
#define WR_STORED_FIELDS_H

#include "cache_control.h"

/* Removes the fields that are not stored: those of the connection, those that Connection names,
 * those of authentication with a proxy, and those named by no-cache="..." and private="...". */
void wr_stored_trim(struct wr_fields *f, const struct wr_cache_control *c);

enum wr_merge {
    WR_MERGE_SAME,             /* nothing but Date and Age has changed */
    WR_MERGE_CHANGED,
    WR_MERGE_OTHER             /* the 304 is about another reply than the stored one, by its ETag or
                                * Vary: nothing was changed. Ask again without validators */
};
/* Changes `stored` by the fields of a 304. The fields of `fresh` are not copied. Its Set-Cookie is
 * for the client that asked, and what describes the body (Content-Length, Content-Encoding,
 * Content-Range, ETag) does not change without it; these stay as they are stored. Age is that of
 * the 304. Last-Modified may have changed: forget a value that was parsed before. */
enum wr_merge wr_stored_merge(struct wr_pool *pool, struct wr_fields *stored,
                              const struct wr_fields *fresh) WR_CHECKED;

#endif
