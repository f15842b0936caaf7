/* setter: functions for setters: errors, hints, warnings, paths. */
#define WR_FAKE_MODULES
#include "lib/config_fake.h"

static struct wr_cf cf_on(struct wr_conf *c, const struct wr_node *n)
{
    return (struct wr_cf){ .conf = c, .pool = c->pool, .scope = wr_conf_layer(c, WR_L4),
                           .node = n, .nargs = n->nwords - 1 };
}

START_TEST(errors)
{
    struct wr_conf *c = fake_load("stream { allow a; }\nerror_log b;");
    const struct wr_node *n = c->tree->root->children->children;
    struct wr_cf cf = cf_on(c, n);

    ck_assert(!wr_cf_error(&cf, 1, "no %s", "good"));
    ck_assert(!wr_cf_error_hint(&cf, 0, "write b", "bad %d", 1));
    ck_assert(!wr_cf_error_at(&cf, c->tree->root->children->next, 1, "there"));
    wr_cf_warn(&cf, 9, "careful");
    cf.node = NULL;
    ck_assert(!wr_cf_error(&cf, 1, "nowhere"));
    ck_assert_str_eq(findings(c->tree), "1:16 no good\n"
                                        "1:10 bad 1 (write b)\n"
                                        "2:11 there\n"
                                        "warn 1:16 careful\n"
                                        "nowhere\n");
    ck_assert_uint_eq(c->tree->errors, 4);
    wr_conf_free(c);
}
END_TEST

START_TEST(paths)
{
    struct wr_conf *c = fake_load("stream { allow a; }");
    struct wr_cf cf = cf_on(c, c->tree->root->children->children);

    ck_assert_str_eq(wr_cf_path(&cf, WR_STR("/abs"), false), "/abs");
    ck_assert_str_eq(wr_cf_path(&cf, WR_STR("logs/a"), false), "/prefix/logs/a");
    c->tree->prefix = "/etc/weir/";
    ck_assert_str_eq(wr_cf_path(&cf, WR_STR("a.pem"), true), "/etc/weir/a.pem");
    ck_assert_str_eq(wr_cf_path(&cf, WR_STR(""), false), "/prefix/");
    wr_conf_free(c);
}
END_TEST

FAKE_MAIN("config/setter", { errors, 0 }, { paths, 0 })
