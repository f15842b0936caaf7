/* map_table: the keys of one `map`: exact words and host names with a wildcard at one end. Pure but
 * for the pool; map.c owns one for each block, the unit tests fill their own. */
#ifndef WR_MAP_TABLE_H
#define WR_MAP_TABLE_H

#include "base/base.h"

struct wr_map_table {
    struct wr_pool *pool;
    struct wr_dict *exact;      /* case is folded; NULL: no such key */
    struct wr_dict *head;       /* "*.example.com" under "example.com" */
    struct wr_dict *tail;       /* "www.*" under "www" */
};
enum wr_map_put { WR_MAP_PUT, WR_MAP_TWICE, WR_MAP_INVALID };

/* The key is borrowed and lives as long as the table; value is not NULL. hostnames: the key may be
 * "*.NAME", "NAME.*" or ".NAME" (NAME and everything below it). */
enum wr_map_put wr_map_put(struct wr_map_table *t, struct wr_str key, bool hostnames,
                           void *value) WR_CHECKED;
/* The exact key, else the longest leading wildcard, else the longest trailing one; NULL: none. */
void *wr_map_find(const struct wr_map_table *t, struct wr_str key);

#endif
