/* table_zone: directives with one name share one table, which outlives its configuration. */
#define WR_FAKE_MODULES
#include "lib/config_fake.h"

static struct wr_conf *conf;

static struct wr_cf new_cf(void)
{
    struct wr_cf cf;

    conf = fake_load("stream { allow z:64k; }");
    cf = (struct wr_cf){ .conf = conf, .pool = conf->pool, .nargs = 1,
                         .node = conf->tree->root->children->children,
                         .scope = wr_conf_layer(conf, WR_L4) };
    return cf;
}

START_TEST(one_name_is_one_zone)
{
    struct wr_cf cf = new_cf();
    struct wr_table_zone *all = NULL, *z, *other;

    z = wr_table_zone_named(&cf, 1, &all, WR_STR("z"), 65536);
    other = wr_table_zone_named(&cf, 1, &all, WR_STR("other"), 32768);
    ck_assert(z != NULL && other != NULL && z != other);
    ck_assert_ptr_eq(wr_table_zone_named(&cf, 1, &all, WR_STR("z"), 65536), z);
    ck_assert_ptr_null(wr_table_zone_named(&cf, 1, &all, WR_STR("z"), 32768));
    ck_assert_ptr_nonnull(strstr(findings(conf->tree), "the size 32768 of shared memory zone \"z\" "
                                 "conflicts with already declared size 65536"));
    wr_conf_free(conf);
}
END_TEST

/* Opens the zone z of a new configuration that follows `old`. */
static struct wr_table *open_after(struct wr_shm_set *old, size_t size, uint32_t layout)
{
    struct wr_cf cf = new_cf();
    struct wr_table_zone *all = NULL, *z;

    conf->old_shm = old;
    z = wr_table_zone_named(&cf, 1, &all, WR_STR("z"), size);
    ck_assert(z != NULL && wr_table_zones_open(&cf, all, "test", layout));
    ck_assert_str_eq(z->shm->name, "test/z");
    return &z->table;
}

static bool has_record(struct wr_table *t)
{
    uint64_t value;
    bool found;

    ck_assert(wr_table_lock(t, 100));
    found = wr_table_get(t, WR_STR("key"), 1, &value, sizeof(value)) == 5;
    wr_table_unlock(t);
    return found;
}

START_TEST(content_goes_on)
{
    static const struct { size_t size; uint32_t layout; bool stays; } next[] = {
        { 65536, 1, true }, { 131072, 1, false }, { 65536, 2, false },
    };
    struct wr_table *t = open_after(NULL, 65536, 1);
    struct wr_conf *first = conf;

    ck_assert(wr_table_lock(t, 100));
    ck_assert(wr_table_put(t, WR_STR("key"), WR_STR("value"), 1000, 1));
    wr_table_unlock(t);
    ck_assert(has_record(t));
    for (size_t i = 0; i < WR_COUNT(next); i++) {
        t = open_after(first->shm, next[i].size, next[i].layout);
        ck_assert_msg(has_record(t) == next[i].stays, "row %zu", i);
        conf->old_shm = NULL;
        wr_conf_free(conf);
    }
    wr_conf_free(first);
}
END_TEST

FAKE_MAIN("config/table_zone", { one_name_is_one_zone, 0 }, { content_goes_on, 0 })
