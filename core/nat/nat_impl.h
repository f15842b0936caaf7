/* Private to nat's files and their tests. */
#ifndef WR_NAT_IMPL_H
#define WR_NAT_IMPL_H

#include "nat/nat.h"

/* ---- configuration ---- */
enum wr_nat_way { WR_NAT_TURNS, WR_NAT_BY_ADDRESS, WR_NAT_BY_PORT };
struct wr_nat_rule {             /* allow or deny */
    struct wr_cidr net;
    bool all, deny;
};
struct wr_nat_server {           /* server {} with `forward nat` */
    struct wr_upstream *u;
    uint32_t group;              /* index in wr_nat_conf.groups */
    enum wr_nat_way way;
    uint32_t timeout_s;          /* proxy_timeout */
    bool masquerade;
    WR_VEC(const struct wr_listener *) listens;
    WR_VEC(struct wr_nat_rule) rules;
};
struct wr_nat_conf {             /* of a configuration */
    WR_VEC(struct wr_nat_server) servers;
    WR_VEC(struct wr_upstream *) groups;
    bool keep;                   /* forward_exit keep */
};
extern const struct wr_keeper_hooks wr_nat_keeper;
const struct wr_nat_conf *wr_nat_conf_of(const struct wr_conf *c);

/* ---- nat_force ---- */
/* Reports directives in force in the server that the kernel cannot honour. False: there is one. */
bool wr_nat_check_server(struct wr_cf *cf, const struct wr_scope *server);
/* The same for its group; sets out->way. */
bool wr_nat_check_group(struct wr_cf *cf, struct wr_nat_server *out);
/* Calls fn for each directive of that name in force: those of the server or, if it has none, those
 * of stream {}. */
void wr_nat_in_force(const struct wr_scope *server, const char *name,
                     void (*fn)(const struct wr_node *n, void *arg), void *arg);

/* ---- nat_slots: pure ---- */
#define WR_NAT_SLOTS_MAX 4096
#define WR_NAT_NOBODY UINT32_MAX
struct wr_nat_peer {
    struct wr_addr addr;
    uint32_t weight;             /* not 0 */
    bool backup, usable;
};
#define WR_NAT_PEERS_MAX 4096
/* The number of slots for a group of these peers: main peers get as many as their weights say. */
uint32_t wr_nat_slots(const struct wr_nat_peer *peers, uint32_t n);
/* Fills `slots` with indexes of usable peers, or with NOBODY if there is none. Only depends on its
 * arguments: a peer that is not usable leaves its slots to the others, whose own stay, and gets the
 * same back. Backups have the slots while no main peer is usable. */
void wr_nat_slots_fill(const struct wr_nat_peer *peers, uint32_t n, uint32_t *slot, uint32_t slots);

/* ---- nat_wire: pure ---- */
struct wr_nat_list {             /* the peers of a group, as the keeper knows them */
    struct wr_nat_peer *at;      /* malloc'ed */
    uint32_t n;
    bool known;
};
/* The message for a group; malloc'ed. */
char *wr_nat_wire_write(uint32_t group, const struct wr_nat_peer *peers, uint32_t n, size_t *size);
/* False: it is none. *group may be any number. out->at is malloc'ed. */
bool wr_nat_wire_read(struct wr_str text, uint32_t *group, struct wr_nat_list *out) WR_CHECKED;
#define WR_NAT_WIRE_MAX (16 + (size_t)WR_NAT_PEERS_MAX * 28)

/* ---- nat_rules: pure ---- */
#define WR_NAT_NAME_MAX 64
struct wr_nat_chain {            /* a server's rules for one family */
    const struct wr_nat_server *sv;
    int family;
    uint32_t slots;
    const uint32_t *slot;        /* indexes of peers */
    const struct wr_nat_peer *peers;
    uint32_t npeers;
    uint64_t id;                 /* names the chains and the map; set by wr_nat_chain_name */
    uint64_t filled;             /* a hash of what is in its map */
};
/* The name follows from the rules: what the kernel has under that name is the same. */
void wr_nat_chain_name(struct wr_nat_chain *c);
bool wr_nat_serves(const struct wr_listener *l, int family); /* a wildcard may serve both */
struct wr_nat_names {            /* names of chains in the table; in a pool */
    WR_VEC(struct wr_str) at;
};
/* Reads the names of the table's chains out of what `list chains` prints. */
void wr_nat_names_read(struct wr_str text, struct wr_str table, struct wr_pool *pool,
                       struct wr_nat_names *out);
bool wr_nat_names_have(const struct wr_nat_names *names, struct wr_str name);
struct wr_nat_plan {
    struct wr_str table, owner;  /* names */
    struct wr_str instance;      /* for people */
    bool takes;                  /* owns the table from now on; else it must own it already */
    bool anew;                   /* replaces all there is */
    const struct wr_nat_names *has; /* chains that are there */
    struct wr_nat_chain *chains;
    uint32_t n;
};
/* The transaction after which the kernel does what the plan says. Fails as a whole if another owner
 * has the table. */
void wr_nat_rules_write(struct wr_text *t, const struct wr_nat_plan *p);
/* Ends all rules; the flows that there are go on. */
void wr_nat_rules_clear(struct wr_text *t, const struct wr_nat_plan *p);
void wr_nat_rules_end(struct wr_text *t, const struct wr_nat_plan *p); /* removes the table */
/* Is this address fit for a name? Not one of this machine, and no listener's. */
bool wr_nat_address_allowed(const struct wr_conf *c, const struct wr_addr *a);

/* ---- nat_kernel ---- */
bool wr_nat_kernel_there(void);  /* was it built with the libraries? */
struct wr_nat_kernel;
struct wr_nat_kernel *wr_nat_kernel_new(void); /* NULL: logged */
void wr_nat_kernel_free(struct wr_nat_kernel *k);
/* Runs a text for nft. False: nothing was changed, *why tells the reason, until the next call. */
bool wr_nat_kernel_run(struct wr_nat_kernel *k, const char *text, const char **why) WR_CHECKED;
const char *wr_nat_kernel_output(const struct wr_nat_kernel *k); /* of the last run */
/* Counts the flows to addresses for which is_ours says so; -1: cannot tell (logged). */
struct wr_nat_flow {
    struct wr_addr to;           /* as the client sent it */
};
int64_t wr_nat_kernel_flows(bool (*is_ours)(const struct wr_nat_flow *f, void *arg), void *arg);

#endif
