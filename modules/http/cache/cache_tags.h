/* cache_tags: the tags of a reply, and those that a PURGE names: "product-17, shop list". Pure. */
#ifndef WR_CACHE_TAGS_H
#define WR_CACHE_TAGS_H

#include "cache_object.h"

#define WR_CACHE_TAG_MAX 128   /* bytes of one tag */

struct wr_cache_tags {
    uint64_t at[WR_CACHE_TAGS_MAX]; /* numbers of the tags, each once; the same in each process and
                                     * after a restart */
    uint32_t n;
};
/* Adds the tags of a list, with commas or white space between them; upper and lower case differ.
 * NULL, or why not all were taken, for the log: such a reply must not be stored, as a purge would
 * pass it by, and such a PURGE must be refused. */
const char *wr_cache_tags_add(struct wr_cache_tags *t, struct wr_str list) WR_CHECKED;

#endif
