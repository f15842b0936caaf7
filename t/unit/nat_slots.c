/* Kernel NAT without a kernel: who has which slot, messages of the keeper, the texts for nft. */
#include "lib/unit.h"

#include "nat/nat_impl.h"

/* "3 1- 2b": weights; "-": not usable, "b": a backup */
static uint32_t make_peers(const char *text, struct wr_nat_peer *out)
{
    struct wr_str rest = wr_str_c(text);
    uint32_t n = 0;

    while (rest.n > 0) {
        struct wr_str word = wr_str_cut(&rest, ' ');
        char addr[32];

        out[n] = (struct wr_nat_peer){ .usable = true };
        for (size_t i = 0; i < word.n; i++) {
            if (word.p[i] == '-')
                out[n].usable = false;
            else if (word.p[i] == 'b')
                out[n].backup = true;
            else
                out[n].weight = out[n].weight * 10 + (uint32_t)(word.p[i] - '0');
        }
        (void)snprintf(addr, sizeof(addr), "10.0.%u.%u:5000", n / 250, n % 250 + 1);
        ck_assert(wr_addr_parse(wr_str_c(addr), 0, &out[n].addr));
        n++;
    }
    return n;
}

/* The order of the slots, a letter each. */
static const char *order_of(const char *text, uint32_t slots)
{
    static char letters[WR_NAT_SLOTS_MAX + 1];
    struct wr_nat_peer peers[64];
    uint32_t n = make_peers(text, peers), *slot = wr_calloc(slots, sizeof(*slot));

    wr_nat_slots_fill(peers, n, slot, slots);
    for (uint32_t k = 0; k < slots; k++)
        letters[k] = slot[k] == WR_NAT_NOBODY ? '.' : (char)('a' + slot[k]);
    letters[slots] = '\0';
    free(slot);
    return letters;
}

START_TEST(slots_in_smooth_order)
{
    static const struct {
        const char *peers, *order;
    } t[] = {
        { "1 1 1", "abcabc" },           { "5 1 1", "aabacaa" },
        { "5 1 1-", "aabaaaa" },         { "1 1 1-", "abaabb" },
        { "1- 1- 1-", "......" },        { "1 1b", "aaaa" },
        { "1- 1b", "bbbb" },             { "1- 1b 1b", "bcbc" },
        { "1- 1b- 2", "cccccc" },        { "", "...." },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++) {
        const char *got = order_of(t[i].peers, (uint32_t)strlen(t[i].order));

        ck_assert_msg(strcmp(got, t[i].order) == 0, "%s: %s, not %s", t[i].peers, got, t[i].order);
    }
}
END_TEST

START_TEST(how_many_slots)
{
    static const struct {
        const char *peers;
        uint32_t slots;
    } t[] = {
        { "1", 60 }, { "1 1", 120 }, { "3 1", 240 }, { "10 20", 180 }, { "50 51", 606 },
        { "1000 1", 1001 }, { "60000 1", WR_NAT_SLOTS_MAX }, { "", 60 }, { "1 7b", 60 },
        { "4 4 4 4", 240 },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++) {
        struct wr_nat_peer peers[64];
        uint32_t n = make_peers(t[i].peers, peers), got = wr_nat_slots(peers, n);

        ck_assert_msg(got == t[i].slots, "%s: %u, not %u", t[i].peers, got, t[i].slots);
    }
}
END_TEST

/* Each has as many as its weight says, and a peer that goes moves its own slots only. */
START_TEST(slots_that_move)
{
    static const char *const t[][3] = {
        { "1 1 1", "1- 1 1", "1- 1 1-" }, { "3 1", "3- 1", "3 1-" },
        { "5 1 1 3", "5 1- 1 3", "5 1- 1- 3" }, { "7 7 7 7 7", "7 7 7- 7 7", "7 7 7- 7 7-" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++) {
        struct wr_nat_peer peers[3][8];
        uint32_t n = make_peers(t[i][0], peers[0]), slots = wr_nat_slots(peers[0], n);
        uint32_t *slot[3] = { 0 };

        for (int k = 0; k < 3; k++) {
            uint64_t sum = 0, have[8] = { 0 };

            (void)make_peers(t[i][k], peers[k]);
            slot[k] = wr_calloc(slots, sizeof(uint32_t));
            wr_nat_slots_fill(peers[k], n, slot[k], slots);
            for (uint32_t p = 0; p < n; p++)
                sum += peers[k][p].usable ? peers[k][p].weight : 0;
            for (uint32_t s = 0; s < slots; s++)
                have[slot[k][s]]++;
            for (uint32_t p = 0; p < n; p++)
                ck_assert_msg(have[p] * sum <= slots * peers[k][p].weight + sum
                              && (!peers[k][p].usable
                                  ? have[p] == 0
                                  : have[p] * sum + sum >= slots * peers[k][p].weight),
                              "%s: peer %u has %u of %u", t[i][k], p, (unsigned)have[p], slots);
            for (uint32_t s = 0; k > 0 && s < slots; s++)
                ck_assert(!peers[k][slot[0][s]].usable || slot[k][s] == slot[0][s]);
        }
        for (int k = 0; k < 3; k++)
            free(slot[k]);
    }
}
END_TEST

START_TEST(messages)
{
    struct wr_nat_peer peers[8];
    uint32_t n = make_peers("3 1- 65536b", peers), group = 0;
    struct wr_nat_list got;
    size_t size;
    char *text;

    ck_assert(wr_addr_parse(WR_STR("[2001:db8::1]:443"), 0, &peers[1].addr));
    text = wr_nat_wire_write(7, peers, n, &size);
    ck_assert(wr_nat_wire_read(wr_str_of(text, size), &group, &got));
    ck_assert_int_eq(group, 7);
    ck_assert_int_eq(got.n, n);
    for (uint32_t i = 0; i < n; i++) {
        ck_assert(wr_addr_eq(&got.at[i].addr, &peers[i].addr));
        ck_assert_int_eq(got.at[i].weight, peers[i].weight);
        ck_assert(got.at[i].usable == peers[i].usable && got.at[i].backup == peers[i].backup);
    }
    free(got.at);
    for (size_t cut = 0; cut < size; cut++)
        ck_assert(!wr_nat_wire_read(wr_str_of(text, cut), &group, &got));
    for (size_t at = 0; at < size; at++) { /* any byte may be anything */
        text[at] = (char)~text[at];
        if (wr_nat_wire_read(wr_str_of(text, size), &group, &got))
            free(got.at);
        text[at] = (char)~text[at];
    }
    free(text);
}
END_TEST

START_TEST(names_of_chains)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_nat_names names;
    const char *text = "table inet filter {\n\tchain e_1 {\n\t}\n}\n"
                       "table inet weir_1 {\n\tchain prerouting {\n\t\ttype nat hook prerouting "
                       "priority dstnat; policy accept;\n\t}\n\tchain owner_3_ab {\n\t}\n}\n"
                       "table inet weir_12 {\n\tchain e_2 {\n\t}\n}\n";

    wr_nat_names_read(wr_str_c(text), WR_STR("weir_1"), pool, &names);
    ck_assert_int_eq(names.at.n, 2);
    ck_view(names.at.at[0], "prerouting");
    ck_view(names.at.at[1], "owner_3_ab");
    ck_assert(!wr_nat_names_have(&names, WR_STR("e_1")));
    wr_pool_free(pool);
}
END_TEST

/* ---- texts for nft ---- */

struct server {                  /* what a table needs to know of a configuration */
    struct wr_listener listener;
    struct wr_upstream u;
    struct wr_nat_server sv;
    const struct wr_listener *listens[1];
};

static void make_server(struct server *s, const char *addr)
{
    *s = (struct server){ .u = { .name = WR_STR("u") } };
    ck_assert(wr_addr_parse(wr_str_c(addr), 0, &s->listener.addr));
    s->listener.text = wr_str_c(addr);
    s->listens[0] = &s->listener;
    s->sv.u = &s->u;
    s->sv.timeout_s = 600;
    s->sv.listens.at = s->listens;
    s->sv.listens.n = 1;
}

static bool has_text(const struct wr_text *t, const char *what)
{
    return wr_str_search(wr_text_view(t), wr_str_c(what)) < t->n;
}

START_TEST(transactions)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_nat_names none = { .at = { .n = 0 } }, has = { .at = { .n = 0 } };
    struct wr_nat_peer peers[8];
    uint32_t n = make_peers("2 1", peers), slot[3];
    struct server s;
    struct wr_nat_chain c;
    struct wr_nat_plan p = { .table = WR_STR("weir_1"), .owner = WR_STR("owner_2_b"),
                             .instance = WR_STR("/run/weir.pid"), .takes = true, .has = &none,
                             .chains = &c, .n = 1 };
    struct wr_text t = wr_text_grow(pool, 4096, 1u << 20);
    uint64_t id;

    make_server(&s, "192.0.2.1:80");
    c = (struct wr_nat_chain){ .sv = &s.sv, .family = AF_INET, .slots = 3, .slot = slot,
                               .peers = peers };
    wr_nat_slots_fill(peers, n, slot, 3);
    wr_nat_chain_name(&c);
    id = c.id;
    wr_nat_rules_write(&t, &p);
    ck_assert(has_text(&t, "dnat ip to numgen inc mod 3 map @m_"));
    ck_assert(has_text(&t, "{ 0 : 10.0.0.1 . 5000, 1 : 10.0.0.2 . 5000, 2 : 10.0.0.1 . 5000 }"));
    ck_assert(has_text(&t, "add element inet weir_1 v4 { 192.0.2.1 . tcp . 80 : goto e_"));
    ck_assert(has_text(&t, "add chain inet weir_1 owner_2_b\n"));
    ck_assert(!has_text(&t, "delete"));

    /* the same again: chains and map stay, the owner is asked for */
    *wr_vec_push(pool, &has.at) = wr_pool_fmt(pool, "e_%016llx", (unsigned long long)id);
    *wr_vec_push(pool, &has.at) = WR_STR("e_0000000000000001");
    *wr_vec_push(pool, &has.at) = WR_STR("d_0000000000000001");
    p.has = &has;
    p.takes = false;
    t.n = 0;
    wr_nat_rules_write(&t, &p);
    ck_assert(wr_str_starts(wr_text_view(&t), WR_STR("delete chain inet weir_1 owner_2_b\nadd ")));
    ck_assert(!has_text(&t, "numgen") && !has_text(&t, " 0 : "));
    ck_assert(has_text(&t, "delete chain inet weir_1 d_0000000000000001\n"
                       "delete map inet weir_1 m_0000000000000001\n"));

    /* other rules have another name */
    s.sv.way = WR_NAT_BY_ADDRESS;
    wr_nat_chain_name(&c);
    ck_assert(c.id != id);
    wr_pool_free(pool);
}
END_TEST

START_TEST(access_rules)
{
    static const struct {
        const char *net;
        bool deny;
        const char *text;
    } t[] = {
        { "10.0.0.0/8", true, "ip saddr 10.0.0.0/8 reject with tcp reset\n" },
        { "192.0.2.7", false, "ip saddr 192.0.2.7/32 goto d_" },
        { "2001:db8::/32", true, NULL }, /* of the other family */
        { "all", true, "reject with tcp reset\n" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++) {
        struct wr_pool *pool = wr_pool_new(0);
        struct wr_nat_names none = { .at = { .n = 0 } };
        struct wr_nat_rule rule = { .deny = t[i].deny, .all = strcmp(t[i].net, "all") == 0 };
        struct wr_text out = wr_text_grow(pool, 4096, 1u << 20);
        struct server s;
        struct wr_nat_chain c;
        struct wr_nat_plan p = { .table = WR_STR("w"), .owner = WR_STR("o"), .takes = true,
                                 .has = &none, .chains = &c, .n = 1 };

        make_server(&s, "*:80");
        ck_assert(rule.all || wr_cidr_parse(wr_str_c(t[i].net), &rule.net));
        s.sv.rules.at = &rule;
        s.sv.rules.n = 1;
        c = (struct wr_nat_chain){ .sv = &s.sv, .family = AF_INET };
        wr_nat_chain_name(&c);
        wr_nat_rules_write(&out, &p);
        ck_assert(t[i].text == NULL ? !has_text(&out, "saddr") : has_text(&out, t[i].text));
        ck_assert(has_text(&out, "add element inet w w4 { tcp . 80 : goto e_"));
        wr_pool_free(pool);
    }
}
END_TEST

UNIT_MAIN("nat_slots", slots_in_smooth_order, how_many_slots, slots_that_move, messages,
          names_of_chains, transactions, access_rules)
