/* geo_table: address ranges to small numbers. Pure but for the pool. geo.c builds one for each
 * block: networks are nested into disjoint spans, or ranges are painted one over the other; then
 * both become two sorted arrays that a lookup bisects. Addresses are numbers here, IPv4 in the low
 * 32 bits. */
#ifndef WR_GEO_TABLE_H
#define WR_GEO_TABLE_H

#include "base/base.h"

__extension__ typedef unsigned __int128 wr_u128;

#define WR_GEO_NONE UINT32_MAX

struct wr_geo_span {
    wr_u128 first, last;     /* both belong to it */
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

/* The later one covers the earlier ones. Returns the value of a span with exactly these ends that
 * was there, else WR_GEO_NONE. */
uint32_t wr_geo_paint(struct wr_pool *pool, struct wr_geo_spans *s,
                      const struct wr_geo_span *span);
/* Removes the span with exactly these ends; false: there is none. */
bool wr_geo_erase(struct wr_geo_spans *s, wr_u128 first, wr_u128 last) WR_CHECKED;
/* Networks (each inside of or apart from each other, none twice): the smallest wins. Sorts `nets`
 * and fills `out`. */
void wr_geo_nest(struct wr_pool *pool, struct wr_geo_span *nets, uint32_t n,
                 struct wr_geo_spans *out);
void wr_geo_build(struct wr_pool *pool, const struct wr_geo_spans *v4,
                  const struct wr_geo_spans *v6, struct wr_geo_table *out);
/* An address of IPv4 inside IPv6 counts as IPv4; what is no IP address as 255.255.255.255. */
uint32_t wr_geo_find(const struct wr_geo_table *t, const struct wr_addr *a);
/* 4 or 16 bytes, network order. */
wr_u128 wr_geo_number(const void *bytes, size_t n);

#endif
