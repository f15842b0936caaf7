/* limit_conn: how many connections or requests at a time a key may have.
 *
 * Map: limit_conn (the hook, the variable), limit_conn_conf (directives, zones, the keeper's part),
 * conn_counts (the counts, in memory that all processes share). */
#ifndef WR_LIMIT_CONN_IMPL_H
#define WR_LIMIT_CONN_IMPL_H

#include "text/text.h"

/* ---- conn_counts ---- */
struct wr_count_key {          /* a digest: the memory has no address or cookie of a client */
    uint64_t p[2];
};
struct wr_conn_counts {
    const char *name;          /* for the log */
    int fd;                    /* of the zone */
    uint32_t ncells, nbuckets; /* private, like the fields above and the next three */
    bool damaged;              /* damage was found since it was locked: link all cells anew */
    uint64_t hurry_ms;         /* the lock was not free: do not wait for it before this time */
    uint64_t quiet_ms;         /* log no damage before this time */
    struct wr_counts_head *head; /* shared, as all below */
    _Atomic uint64_t *used;    /* a bit for each process that ever counted */
    _Atomic uint32_t *buckets;
    struct wr_counts_cell *cells;
};
/* Takes the next parts of z, at most `bytes`. The name is borrowed. */
void wr_conn_counts_place(struct wr_conn_counts *c, struct wr_zone *z, size_t bytes,
                          const char *name);
void wr_conn_counts_begin(struct wr_conn_counts *c); /* before this process counts */
struct wr_count_key wr_count_key_of(struct wr_str text);
enum wr_counted {
    WR_COUNTED,
    WR_COUNT_FULL,             /* the key has `most` already */
    WR_COUNT_NO_ROOM,          /* all cells are in use */
    WR_COUNT_BUSY              /* another process has the lock */
};
/* Counts one more of the key, unless it has `most` already; *cell is for give. */
enum wr_counted wr_conn_counts_take(struct wr_conn_counts *c, const struct wr_count_key *key,
                                    uint32_t most, uint32_t *cell) WR_CHECKED;
void wr_conn_counts_give(struct wr_conn_counts *c, const struct wr_count_key *key, uint32_t cell);
void wr_conn_counts_clear(struct wr_conn_counts *c, uint32_t process); /* a dead one */

/* ---- limit_conn_conf ---- */
struct wr_limit_zone {
    struct wr_str name;
    uint32_t layer;            /* stream {} and http {} have zones of their own */
    struct wr_template *key;   /* NULL: no limit_conn_zone has defined it yet */
    size_t size;
    const struct wr_node *node; /* limit_conn_zone, or the first limit_conn that names it */
    struct wr_conn_counts counts;
    struct wr_limit_zone *next;
};
struct wr_conn_limit {
    struct wr_limit_zone *zone;
    uint32_t most;
};
struct wr_limit_conf {
    WR_VEC(struct wr_conn_limit) limits;
    uint32_t log_level, status;
    bool dry_run;
};
struct wr_limit_state { struct wr_limit_zone *zones; };
extern struct wr_module wr_module_limit_conn;
extern const struct wr_directive wr_limit_conn_directives[];
extern const struct wr_keeper_hooks wr_limit_conn_keeper;
bool wr_limit_conn_prepare(struct wr_cf *cf);
bool wr_limit_conn_check(struct wr_cf *cf);    /* makes the zones */
void wr_limit_conn_missing(struct wr_cf *cf);  /* zones that nothing defines */
bool wr_limit_conn_worker(struct wr_conf *conf, struct wr_loop *loop);

#endif
