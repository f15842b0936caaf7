/* geo_table: maps address ranges to small numbers. Pure but for the pool. geo.c builds one for each
 * block. Nested networks, or ranges that cover earlier ones, become disjoint spans; the spans
 * become two sorted arrays (IPv4, IPv6), which a lookup bisects. Addresses are numbers here, IPv4
 * in the low 32 bits. */
#ifndef WR_GEO_TABLE_H
#define WR_GEO_TABLE_H

#include "base/base.h"

__extension__ typedef unsigned __int128 wr_u128;

#define WR_GEO_NONE UINT32_MAX

struct wr_geo_span {
    wr_u128 first, last;     /* inclusive */
    uint32_t value;
};
struct wr_geo_spans {        /* sorted, disjoint */
    struct wr_geo_span *at;
    uint32_t n, cap;
};
struct wr_geo_table {        /* start[i] .. start[i + 1] - 1 has value[i], which may be NONE */
    uint32_t n4, n6;
    uint32_t *start4, *value4, *value6;
    wr_u128 *start6;
};

/* Add a span, which covers earlier ones. Returns the old value of a span with exactly these ends,
 * or WR_GEO_NONE. */
uint32_t wr_geo_paint(struct wr_pool *pool, struct wr_geo_spans *s,
                      const struct wr_geo_span *span);
/* Remove the span with exactly these ends; false: there is none. */
bool wr_geo_erase(struct wr_geo_spans *s, wr_u128 first, wr_u128 last) WR_CHECKED;
/* Make disjoint spans of networks, no two of which are equal: at each address the smallest network
 * wins. Sorts `nets` and fills `out`. */
void wr_geo_nest(struct wr_pool *pool, struct wr_geo_span *nets, uint32_t n,
                 struct wr_geo_spans *out);
void wr_geo_build(struct wr_pool *pool, const struct wr_geo_spans *v4,
                  const struct wr_geo_spans *v6, struct wr_geo_table *out);
/* An IPv4 address inside IPv6 counts as IPv4, an address that is not IP as 255.255.255.255. */
uint32_t wr_geo_find(const struct wr_geo_table *t, const struct wr_addr *a);
/* 4 or 16 bytes, network order. */
wr_u128 wr_geo_number(const void *bytes, size_t n);

#endif
