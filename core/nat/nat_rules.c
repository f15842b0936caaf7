/* nat_rules: the transactions for nft, as text. Pure. Called by the nat process.
 *
 * A packet that begins a flow finds its server by address, protocol and port in one of four maps
 * (v4, v6: exact addresses; w4, w6: wildcards) and goes to chain e_ID (allow and deny), which goes
 * to d_ID: one rule that takes a slot from map m_ID by turns or by a hash of the client. ID is a
 * hash of all that stands in these chains. So a chain that is there is never written again, and the
 * counter in its rule goes on; which server has which slot is in the map alone.
 *
 * The chain owner_GENERATION_RUN is empty; its name says who may change the table. A transaction
 * deletes it and makes it again: if it is not there the kernel refuses all of the transaction. */
#include "nat/nat_impl.h"

#define ID_HEX 16

static void put_id(struct wr_text *t, uint64_t id)
{
    uint8_t bytes[8];

    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(id >> (56 - 8 * i));
    wr_text_hex(t, bytes, sizeof(bytes));
}

static struct wr_str chain_text(char kind, uint64_t id, char *buf, size_t size)
{
    struct wr_text t = wr_text_on(buf, size);

    wr_text_char(&t, kind);
    wr_text_char(&t, '_');
    put_id(&t, id);
    return wr_text_view(&t);
}

static const char *ip_word(int family)
{
    return family == AF_INET ? "ip" : "ip6";
}

/* ---- which packets ---- */

bool wr_nat_serves(const struct wr_listener *l, int family)
{
    if (l->addr.sa.sa_family == family)
        return true;
    return family == AF_INET && l->addr.sa.sa_family == AF_INET6 && l->opts.ipv6only_off
        && wr_addr_wildcard(&l->addr);
}

/* "tcp . 80", with the address before it unless it is a wildcard */
static void put_key(struct wr_text *t, const struct wr_listener *l)
{
    if (!wr_addr_wildcard(&l->addr)) {
        wr_addr_text_ip(&l->addr, t);
        wr_text_c(t, " . ");
    }
    wr_text_fmt(t, "tcp . %u", (unsigned)wr_addr_port(&l->addr));
}

static void put_elements(struct wr_text *t, const struct wr_nat_plan *p, const char *map,
                         int family, bool wildcards)
{
    char buf[WR_NAT_NAME_MAX];

    wr_text_fmt(t, "flush map inet " WR_FMT " %s\n", WR_ARG(p->table), map);
    for (uint32_t i = 0; i < p->n; i++) {
        const struct wr_nat_chain *c = &p->chains[i];

        for (uint32_t k = 0; c->family == family && k < c->sv->listens.n; k++) {
            const struct wr_listener *l = c->sv->listens.at[k];

            if (!wr_nat_serves(l, family) || wr_addr_wildcard(&l->addr) != wildcards)
                continue;
            wr_text_fmt(t, "add element inet " WR_FMT " %s { ", WR_ARG(p->table), map);
            put_key(t, l);
            wr_text_fmt(t, " : goto " WR_FMT " }\n",
                        WR_ARG(chain_text('e', c->id, buf, sizeof(buf))));
        }
    }
}

/* ---- masquerade ---- */

/* Adds a source address of this machine, so that the replies come back to it. The clients of a
 * wildcard are told from those of other tables by the server they go to. */
static void put_source_rule(struct wr_text *t, const struct wr_nat_plan *p,
                            const struct wr_listener *l, int family)
{
    const char *ip = ip_word(family);

    wr_text_fmt(t, "add rule inet " WR_FMT " postrouting ct status dnat ", WR_ARG(p->table));
    if (wr_addr_wildcard(&l->addr)) {
        wr_text_fmt(t, "%s daddr . meta l4proto . th dport @q%d ", ip, family == AF_INET ? 4 : 6);
    } else {
        wr_text_fmt(t, "ct original %s daddr ", ip);
        wr_addr_text_ip(&l->addr, t);
    }
    wr_text_fmt(t, " meta l4proto tcp ct original proto-dst %u masquerade\n",
                (unsigned)wr_addr_port(&l->addr));
}

static void put_source_rules(struct wr_text *t, const struct wr_nat_plan *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        const struct wr_nat_chain *c = &p->chains[i];

        for (uint32_t k = 0; c->sv->masquerade && k < c->sv->listens.n; k++)
            if (wr_nat_serves(c->sv->listens.at[k], c->family))
                put_source_rule(t, p, c->sv->listens.at[k], c->family);
    }
}

/* All servers of such chains, for wildcards. */
static void put_source_sets(struct wr_text *t, const struct wr_nat_plan *p)
{
    wr_text_fmt(t, "flush set inet " WR_FMT " q4\nflush set inet " WR_FMT " q6\n",
                WR_ARG(p->table), WR_ARG(p->table));
    for (uint32_t i = 0; i < p->n; i++) {
        const struct wr_nat_chain *c = &p->chains[i];

        for (uint32_t k = 0; c->sv->masquerade && k < c->npeers; k++) {
            wr_text_fmt(t, "add element inet " WR_FMT " q%d { ", WR_ARG(p->table),
                        c->family == AF_INET ? 4 : 6);
            wr_addr_text_ip(&c->peers[k].addr, t);
            wr_text_fmt(t, " . tcp . %u }\n", (unsigned)wr_addr_port(&c->peers[k].addr));
        }
    }
}

/* ---- the table ---- */

static void put_source_base(struct wr_text *t, const struct wr_nat_plan *p)
{
    for (int v = 4; v <= 6; v += 2)
        wr_text_fmt(t, "add set inet " WR_FMT " q%d { typeof %s daddr . meta l4proto . th dport; "
                    "}\n", WR_ARG(p->table), v, v == 4 ? "ip" : "ip6");
    wr_text_fmt(t, "add chain inet " WR_FMT " postrouting { type nat hook postrouting priority "
                "100; policy accept; }\nflush chain inet " WR_FMT " postrouting\n",
                WR_ARG(p->table), WR_ARG(p->table));
    put_source_rules(t, p);
}

/* The flows that are there need connection tracking, which the kernel keeps up as long as a rule
 * uses it: the first rule of each hook does, and stays when all others have gone. */
static void put_base(struct wr_text *t, const struct wr_nat_plan *p)
{
    static const char *const hooks[] = { "prerouting", "output" };

    wr_text_fmt(t, "add table inet " WR_FMT " { comment \"weir, " WR_FMT "\"; }\n",
                WR_ARG(p->table), WR_ARG(p->instance));
    if (p->anew)
        wr_text_fmt(t, "delete table inet " WR_FMT "\nadd table inet " WR_FMT
                    " { comment \"weir, " WR_FMT "\"; }\n", WR_ARG(p->table), WR_ARG(p->table),
                    WR_ARG(p->instance));
    for (int v = 4; v <= 6; v += 2) {
        wr_text_fmt(t, "add map inet " WR_FMT " v%d { typeof %s daddr . meta l4proto . th dport : "
                    "verdict; }\n", WR_ARG(p->table), v, v == 4 ? "ip" : "ip6");
        wr_text_fmt(t, "add map inet " WR_FMT " w%d { typeof meta l4proto . th dport : verdict; "
                    "}\n", WR_ARG(p->table), v);
    }
    put_source_base(t, p);
    for (size_t i = 0; i < WR_COUNT(hooks); i++) {
        const char *h = hooks[i];
        struct wr_str n = p->table;

        wr_text_fmt(t, "add chain inet " WR_FMT " %s { type nat hook %s priority -100; policy "
                    "accept; }\nflush chain inet " WR_FMT " %s\n", WR_ARG(n), h, h, WR_ARG(n), h);
        wr_text_fmt(t, "add rule inet " WR_FMT " %s ct status dnat accept\n", WR_ARG(n), h);
        wr_text_fmt(t, "add rule inet " WR_FMT " %s ip daddr . meta l4proto . th dport vmap @v4\n",
                    WR_ARG(n), h);
        wr_text_fmt(t, "add rule inet " WR_FMT " %s ip6 daddr . meta l4proto . th dport vmap @v6\n",
                    WR_ARG(n), h);
        wr_text_fmt(t, "add rule inet " WR_FMT " %s fib daddr type != local return\n", WR_ARG(n),
                    h);
        wr_text_fmt(t, "add rule inet " WR_FMT " %s meta nfproto ipv4 meta l4proto . th dport vmap "
                    "@w4\n", WR_ARG(n), h);
        wr_text_fmt(t, "add rule inet " WR_FMT " %s meta nfproto ipv6 meta l4proto . th dport vmap "
                    "@w6\n", WR_ARG(n), h);
    }
}

static bool is_owner(struct wr_str name)
{
    return wr_str_starts(name, WR_STR("owner_"));
}

static void put_owner(struct wr_text *t, const struct wr_nat_plan *p)
{
    for (uint32_t i = 0; p->takes && !p->anew && i < p->has->at.n; i++)
        if (is_owner(p->has->at.at[i]))
            wr_text_fmt(t, "delete chain inet " WR_FMT " " WR_FMT "\n", WR_ARG(p->table),
                        WR_ARG(p->has->at.at[i]));
    if (!p->takes)
        wr_text_fmt(t, "delete chain inet " WR_FMT " " WR_FMT "\n", WR_ARG(p->table),
                    WR_ARG(p->owner));
    wr_text_fmt(t, "add chain inet " WR_FMT " " WR_FMT "\n", WR_ARG(p->table), WR_ARG(p->owner));
}

/* ---- a server's chains ---- */

static void put_network(struct wr_text *t, const struct wr_cidr *net)
{
    struct wr_addr a = { .len = sizeof(a.in6) };
    unsigned bits = 0;

    a.sa.sa_family = (sa_family_t)net->family;
    memcpy(net->family == AF_INET ? (void *)&a.in.sin_addr : (void *)&a.in6.sin6_addr, net->addr,
           net->family == AF_INET ? 4 : 16);
    for (int i = 0; i < 16; i++)
        bits += (unsigned)__builtin_popcount(net->mask[i]);
    wr_addr_text_ip(&a, t);
    wr_text_fmt(t, "/%u", bits);
}

/* allow and deny: the first that matches. */
static void put_access(struct wr_text *t, const struct wr_nat_chain *c, struct wr_str d)
{
    for (uint32_t i = 0; i < c->sv->rules.n; i++) {
        const struct wr_nat_rule *r = &c->sv->rules.at[i];

        if (!r->all && r->net.family != c->family)
            continue;
        wr_text_c(t, "add rule inet %t %e ");
        if (!r->all) {
            wr_text_fmt(t, "%s saddr ", ip_word(c->family));
            put_network(t, &r->net);
            wr_text_char(t, ' ');
        }
        if (r->deny)
            wr_text_c(t, "reject with tcp reset\n");
        else
            wr_text_fmt(t, "goto " WR_FMT "\n", WR_ARG(d));
    }
}

/* Chooses a slot. A hash has a fixed seed: a client has the same slot after a start, too. */
static void put_choice(struct wr_text *t, const struct wr_nat_chain *c)
{
    const char *ip = ip_word(c->family);

    if (c->sv->way == WR_NAT_TURNS)
        wr_text_fmt(t, "numgen inc mod %u", c->slots);
    else if (c->sv->way == WR_NAT_BY_ADDRESS)
        wr_text_fmt(t, "jhash %s saddr mod %u seed 1", ip, c->slots);
    else
        wr_text_fmt(t, "jhash %s saddr . tcp sport mod %u seed 1", ip, c->slots);
}

/* The rules with %t, %e, %d and %m for the names of table, chains and map. Packets that do not
 * begin a flow belong to a session of a worker, or to a flow that is forgotten. */
static void put_rules(struct wr_text *t, const struct wr_nat_chain *c)
{
    const char *ip = ip_word(c->family);

    wr_text_c(t, "add rule inet %t %e tcp flags & (fin|syn|rst|ack) != syn fib daddr type local "
              "accept\n");
    wr_text_c(t, "add rule inet %t %e tcp flags & (fin|syn|rst|ack) != syn reject with tcp "
              "reset\n");
    put_access(t, c, WR_STR("%d"));
    wr_text_c(t, "add rule inet %t %e goto %d\n");
    wr_text_fmt(t, "add rule inet %%t %%d ct timeout set \"t_%u_%s\"\n", c->sv->timeout_s, ip);
    wr_text_fmt(t, "add rule inet %%t %%d meta l4proto tcp dnat %s to ", ip);
    put_choice(t, c);
    wr_text_c(t, " map @%m\nadd rule inet %t %d reject with tcp reset\n");
}

static struct wr_text rules_of(const struct wr_nat_chain *c, struct wr_pool *pool)
{
    struct wr_text t = wr_text_grow(pool, 2048, 16u << 20);

    put_rules(&t, c);
    return t;
}

void wr_nat_chain_name(struct wr_nat_chain *c)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text t = rules_of(c, pool);

    wr_text_char(&t, '\n');
    wr_text_str(&t, c->sv->u->name);
    wr_text_char(&t, '\n');
    wr_text_str(&t, c->sv->listens.at[0]->text);
    c->id = wr_hash_stable(wr_text_view(&t), 0);
    wr_pool_free(pool);
}

/* Replaces %t, %e, %d and %m. */
static void put_named(struct wr_text *t, const struct wr_nat_plan *p, uint64_t id,
                      struct wr_str rules)
{
    char buf[WR_NAT_NAME_MAX];

    while (rules.n > 0) {
        size_t at = wr_str_find(rules, '%');

        wr_text_str(t, wr_str_of(rules.p, at));
        if (at == rules.n)
            return;
        if (rules.p[at + 1] == 't')
            wr_text_str(t, p->table);
        else
            wr_text_str(t, chain_text(rules.p[at + 1], id, buf, sizeof(buf)));
        rules = wr_str_skip(rules, at + 2);
    }
}

static void put_new_chain(struct wr_text *t, const struct wr_nat_plan *p,
                          const struct wr_nat_chain *c)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text rules = wr_text_grow(pool, 2048, 16u << 20);
    const char *ip = ip_word(c->family);

    wr_text_fmt(&rules, "add ct timeout inet %%t t_%u_%s { protocol tcp; l3proto %s; policy = { "
                "established : %u }; }\n", c->sv->timeout_s, ip, ip, c->sv->timeout_s);
    wr_text_fmt(&rules, "add map inet %%t %%m { typeof numgen inc mod %u : %s daddr . tcp dport; "
                "}\n", c->slots, ip);
    wr_text_c(&rules, "add chain inet %t %d\nadd chain inet %t %e\n");
    put_rules(&rules, c);
    put_named(t, p, c->id, wr_text_view(&rules));
    wr_pool_free(pool);
}

static void put_slots(struct wr_text *t, const struct wr_nat_plan *p, struct wr_nat_chain *c)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text all = wr_text_grow(pool, 4096, 16u << 20);
    uint32_t n = 0;
    uint64_t hash;

    for (uint32_t k = 0; k < c->slots; k++) {
        const struct wr_nat_peer *peer;

        if (c->slot[k] == WR_NAT_NOBODY)
            continue;
        peer = &c->peers[c->slot[k]];
        wr_text_fmt(&all, "%s%u : ", n++ > 0 ? ", " : "", k);
        wr_addr_text_ip(&peer->addr, &all);
        wr_text_fmt(&all, " . %u", (unsigned)wr_addr_port(&peer->addr));
    }
    hash = wr_hash_stable(wr_text_view(&all), n) | 1;
    if (hash != c->filled) {
        put_named(t, p, c->id, WR_STR("flush map inet %t %m\n"));
        if (n > 0) {
            put_named(t, p, c->id, WR_STR("add element inet %t %m { "));
            wr_text_str(t, wr_text_view(&all));
            wr_text_c(t, " }\n");
        }
    }
    c->filled = hash;
    wr_pool_free(pool);
}

/* ---- plans ---- */

/* "e_0123456789abcdef" */
static bool is_chain(struct wr_str name, char kind)
{
    return name.n == 2 + ID_HEX && name.p[0] == kind && name.p[1] == '_';
}

static bool plan_has(const struct wr_nat_plan *p, struct wr_str name)
{
    char buf[WR_NAT_NAME_MAX];

    for (uint32_t i = 0; i < p->n; i++)
        if (wr_str_eq(chain_text(name.p[0], p->chains[i].id, buf, sizeof(buf)), name))
            return true;
    return false;
}

/* Deletes the chains that the plan does not have, with what belongs to them. */
static void drop_chains(struct wr_text *t, const struct wr_nat_plan *p)
{
    static const char kinds[] = "ed"; /* in this order: e_ goes to d_ */

    for (int k = 0; k < 2 && !p->anew; k++)
        for (uint32_t i = 0; i < p->has->at.n; i++) {
            struct wr_str name = p->has->at.at[i];

            if (!is_chain(name, kinds[k]) || plan_has(p, name))
                continue;
            wr_text_fmt(t, "delete chain inet " WR_FMT " " WR_FMT "\n", WR_ARG(p->table),
                        WR_ARG(name));
            if (kinds[k] == 'd')
                wr_text_fmt(t, "delete map inet " WR_FMT " m_" WR_FMT "\n", WR_ARG(p->table),
                            WR_ARG(wr_str_skip(name, 2)));
        }
}

static void put_all_elements(struct wr_text *t, const struct wr_nat_plan *p)
{
    put_elements(t, p, "v4", AF_INET, false);
    put_elements(t, p, "v6", AF_INET6, false);
    put_elements(t, p, "w4", AF_INET, true);
    put_elements(t, p, "w6", AF_INET6, true);
    put_source_sets(t, p);
}

void wr_nat_rules_write(struct wr_text *t, const struct wr_nat_plan *p)
{
    char buf[WR_NAT_NAME_MAX];

    if (p->takes)
        put_base(t, p);
    put_owner(t, p);
    for (uint32_t i = 0; i < p->n; i++) {
        struct wr_nat_chain *c = &p->chains[i];

        if (p->anew || !wr_nat_names_have(p->has, chain_text('e', c->id, buf, sizeof(buf))))
            put_new_chain(t, p, c);
        put_slots(t, p, c);
    }
    put_all_elements(t, p);
    drop_chains(t, p);
}

void wr_nat_rules_clear(struct wr_text *t, const struct wr_nat_plan *p)
{
    struct wr_nat_plan none = *p;

    none.n = 0;
    none.takes = none.anew = false;
    put_owner(t, &none);
    put_all_elements(t, &none);
    drop_chains(t, &none);
}

void wr_nat_rules_end(struct wr_text *t, const struct wr_nat_plan *p)
{
    wr_text_fmt(t, "delete chain inet " WR_FMT " " WR_FMT "\ndelete table inet " WR_FMT "\n",
                WR_ARG(p->table), WR_ARG(p->owner), WR_ARG(p->table));
}

/* ---- names ---- */

/* "table inet weir_1 {" begins a table, "\tchain NAME {" stands in it. */
void wr_nat_names_read(struct wr_str text, struct wr_str table, struct wr_pool *pool,
                       struct wr_nat_names *out)
{
    bool ours = false;

    *out = (struct wr_nat_names){ .at = { .n = 0 } };
    while (text.n > 0) {
        struct wr_str line = wr_str_cut(&text, '\n'), word;

        while (line.n > 0 && (*line.p == '\t' || *line.p == ' '))
            line = wr_str_skip(line, 1);
        word = wr_str_cut(&line, ' ');
        if (wr_str_is(word, "table")) {
            (void)wr_str_cut(&line, ' ');
            ours = wr_str_eq(wr_str_cut(&line, ' '), table);
        } else if (ours && wr_str_is(word, "chain")) {
            *wr_vec_push(pool, &out->at) = wr_pool_str(pool, wr_str_cut(&line, ' '));
        }
    }
}

bool wr_nat_names_have(const struct wr_nat_names *names, struct wr_str name)
{
    for (uint32_t i = 0; i < names->at.n; i++)
        if (wr_str_eq(names->at.at[i], name))
            return true;
    return false;
}

/* ---- addresses ---- */

static bool is_local(const struct wr_addr *a)
{
    const struct in6_addr *v6 = &a->in6.sin6_addr;
    uint32_t v4;

    if (a->sa.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(v6) || IN6_IS_ADDR_LINKLOCAL(v6) || IN6_IS_ADDR_MULTICAST(v6)
            || IN6_IS_ADDR_UNSPECIFIED(v6) || IN6_IS_ADDR_V4MAPPED(v6);
    v4 = ntohl(a->in.sin_addr.s_addr);
    return v4 >> 24 == 127 || v4 >> 24 == 0 || v4 >> 16 == 0xa9fe || v4 >> 28 >= 0xe;
}

bool wr_nat_address_allowed(const struct wr_conf *c, const struct wr_addr *a)
{
    if (is_local(a))
        return false;
    for (const struct wr_listener *l = wr_conf_listens(c)->first; l != NULL; l = l->next)
        if (wr_addr_eq(&l->addr, a))
            return false;
    return true;
}
