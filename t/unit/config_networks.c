/* networks: addresses, networks, host names and unix: as arguments. */
#define WR_FAKE_MODULES
#include "lib/config_fake.h"

static bool has(const struct wr_networks *n, const char *address)
{
    struct wr_addr a;

    ck_assert(wr_addr_parse_ip(wr_str_c(address), &a));
    return wr_networks_have(n, &a);
}

START_TEST(all_kinds)
{
    struct wr_conf *c = fake_load("stream { allow 192.0.2.0/24; allow 10.1.2.3/8; allow ::1;"
                                  " allow localhost; allow no.such.name.invalid; allow unix:; }");
    const struct wr_node *n = c->tree->root->children->children;
    struct wr_networks got = { 0 };
    struct wr_cidr one;

    for (int i = 0; n != NULL; n = n->next, i++) {
        struct wr_cf cf = { .conf = c, .pool = c->pool, .node = n, .nargs = 1,
                            .scope = wr_conf_layer(c, WR_L4) };

        ck_assert(wr_cf_network(&cf, 1, &one) == (i < 3 || i == 5));
        ck_assert(wr_cf_networks(&cf, 1, &got) == (i != 4));
    }
    ck_assert(has(&got, "192.0.2.7") && has(&got, "10.9.9.9") && has(&got, "::1"));
    ck_assert(has(&got, "127.0.0.1"));
    ck_assert(!has(&got, "192.0.3.1") && !has(&got, "::2"));
    ck_assert_ptr_nonnull(strstr(findings(c->tree),
                                 "warn 1:36 low address bits of 10.1.2.3/8 are meaningless"));
    ck_assert_ptr_nonnull(strstr(findings(c->tree),
                                 "host not found in allow \"no.such.name.invalid\"\n"));
    wr_conf_free(c);
}
END_TEST

FAKE_MAIN("config/networks", { all_kinds, 0 })
