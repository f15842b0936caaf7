/* hash_load: for `hash ... balance_factor=`: has a peer more than its part of the connections? */
#ifndef WR_HASH_LOAD_H
#define WR_HASH_LOAD_H

#include "upstream/upstream.h"

/* The load of each peer as this worker has last seen it. Each pick looks at a few of them again,
 * and at those it asks about. */
struct wr_hash_load {
    struct wr_hash_seen { uint32_t conns, weight; } *seen; /* by number in the group */
    uint32_t n, at;              /* at: whose turn it is to be looked at */
    uint64_t conns, weight;      /* sums */
};
void wr_hash_load_begin(struct wr_hash_load *l, const struct wr_peer_group *g);
void wr_hash_load_end(struct wr_hash_load *l);
void wr_hash_load_look(struct wr_hash_load *l, const struct wr_peer_group *g); /* at each pick */
/* May the peer of this number have one more? factor: in thousandths. */
bool wr_hash_load_allows(struct wr_hash_load *l, const struct wr_peer *peer, uint32_t number,
                         uint32_t factor);

#endif
