/* hash_table: a worker's table of one group: which peers a hash belongs to, with the ring or the
 * Maglev table that is in use, and the one that is being made. */
#ifndef WR_HASH_TABLE_H
#define WR_HASH_TABLE_H

#include "upstream/upstream.h"
#include "placement.h"

enum wr_hash_way { WR_HASH_PLAIN, WR_HASH_RING, WR_HASH_MAGLEV };

/* The members that a table places. A member is all peers of one text (all addresses of a name are
 * one server, as in nginx), or of one address. `at` is malloc'ed. */
struct wr_hash_members { struct wr_placed *at; uint32_t n; };
struct wr_hash_table {
    enum wr_hash_way way;
    struct wr_loop *loop;
    struct wr_task task;         /* makes the next table */
    /* The view: in the order of its peers. */
    struct wr_placed *peers;
    uint32_t npeers;
    int64_t *current;            /* smooth order among the peers of a member */
    /* In use. */
    struct wr_hash_members of;
    struct wr_ring ring;
    struct wr_maglev maglev;
    struct wr_hash_part {        /* of a member: its peers */
        uint32_t first, n;       /* in `list` */
        uint32_t turn;
        bool even;               /* their weights are equal */
    } *parts;
    uint32_t *list;              /* numbers of peers, by member */
    /* In the making. */
    struct wr_hash_members next;
    struct wr_ring_work ring_work;
    struct wr_maglev_work maglev_work;
    bool working;
};
void wr_hash_table_init(struct wr_hash_table *t, enum wr_hash_way way, struct wr_loop *l);
void wr_hash_table_pause(struct wr_hash_table *t); /* before the loop is freed */
void wr_hash_table_end(struct wr_hash_table *t);
/* The view has changed. The loop makes the next table in steps; until it is there the one in use
 * stays, without the peers that have gone: keys that the new peers get move then. */
void wr_hash_table_sync(struct wr_hash_table *t, const struct wr_upstream *u,
                        const struct wr_peer_group *g);
/* Before a pick: without a table in use the first one is finished at once. */
void wr_hash_table_finish(struct wr_hash_table *t);
/* The usable peer of a member whose turn it is; NULL: none. usable: also called with arg. */
typedef bool wr_hash_usable(const struct wr_peer *peer, uint32_t number, void *arg);
struct wr_peer *wr_hash_member_peer(struct wr_hash_table *t, struct wr_peer_group *g,
                                    uint32_t member, wr_hash_usable *usable, void *arg);

#endif
