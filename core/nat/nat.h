/* nat: `forward nat` of stream servers: the kernel translates their flows, with no socket of ours
 * (docs/decisions/nat.md).
 *
 * Map: nat_conf (the directives, and what of the configuration the kernel can do), nat_force (which
 * directives are in force), nat_slots (which slot of a table is whose: pure), nat_rules (the text
 * for nft: pure), nat_wire (the messages of the keeper: pure), nat_keeper (sends them), nat_run
 * (the nat process: applies rules, and waits for the end of flows), nat_kernel (libnftables and
 * conntrack).
 *
 * The nat process is a child of the master with CAP_NET_ADMIN alone. Addresses come to it in the
 * configuration it was forked with and in messages of the keeper, over a pair of sockets. */
#ifndef WR_NAT_H
#define WR_NAT_H

#include "stream/stream.h"

extern struct wr_module wr_module_nat;
bool wr_nat_wanted(const struct wr_conf *c); /* has it a server with `forward nat`? */

/* ---- keeper ---- */
void wr_nat_channel(int fd); /* to the nat process of this generation; call it before commit */

/* ---- nat process ---- */
struct wr_nat_told {             /* how it tells the result */
    void (*committed)(uint32_t number);
    void (*failed)(const char *why);
    void (*ended)(void);         /* nothing more is to be done: the process may exit */
};
struct wr_nat_start {
    struct wr_conf *conf;
    struct wr_loop *loop;
    int keeper;                  /* the channel */
    const char *instance;        /* path of the pid file: names the table */
    uint32_t generation;
    uint64_t run;                /* with it the owner's name; the same for all its processes */
    const struct wr_nat_told *told;
};
/* False: logged. */
bool wr_nat_begin(const struct wr_nat_start *s) WR_CHECKED;
/* Owns the table from now on, and writes what the keeper has said, when all has come. */
void wr_nat_commit(uint32_t number);
/* If this process still owns the table: takes no more flows, and ends the table when there is no
 * flow left, at the latest after most_ms (0: no limit). */
void wr_nat_quit(uint64_t most_ms);
void wr_nat_stop(void);          /* the same at once, with the flows */
void wr_nat_free(void);

#endif
