/* Zones: their parts, the roster, and counting in a ledger. What the keeper does with a ledger is
 * tested with upstream peers. */
#include "os/os.h"

#include "lib/unit.h"

START_TEST(parts_follow_each_other)
{
    struct wr_zone only = { .fd = -1 }, z = { .p = wr_calloc(1, 512), .fd = -1 };

    ck_assert_ptr_null(wr_zone_part(&only, 1));
    ck_assert_ptr_null(wr_zone_part(&only, 65));
    ck_assert_uint_eq(only.n, 192);
    ck_assert_ptr_eq(wr_zone_part(&z, 1), z.p);
    ck_assert_ptr_eq(wr_zone_part(&z, 65), z.p + 64);
    ck_assert_ptr_eq(wr_zone_part(&z, 0), z.p + 192);
    ck_assert_ptr_eq(wr_zone_part(&z, 64), z.p + 192);
    free(z.p);
}
END_TEST

START_TEST(a_roster_is_published_whole)
{
    struct wr_roster r, measured;
    struct wr_zone only = { .fd = -1 }, z = { .fd = -1 };
    uint32_t out[5], version, first;

    wr_roster_place(&measured, &only, 5);
    z.p = wr_calloc(1, only.n);
    wr_roster_place(&r, &z, 5);
    ck_assert_uint_eq(z.n, only.n);
    ck_assert_uint_eq(wr_roster_read(&r, out, &first), 0);
    wr_roster_publish(&r, (uint32_t[]){ 4, 0, 2 }, 3);
    ck_assert_uint_ne(wr_roster_version(&r), first);
    ck_assert_uint_eq(wr_roster_read(&r, out, &version), 3);
    ck_assert_uint_eq(version, wr_roster_version(&r));
    ck_assert(out[0] == 4 && out[1] == 0 && out[2] == 2);
    wr_roster_publish(&r, out, 5);
    memset(z.p, 0xff, z.n); /* no number is below 5 */
    ck_assert_uint_eq(wr_roster_read(&r, out, &version), 0);
    memset(z.p, 1, z.n);
    ck_assert_uint_eq(wr_roster_read(&r, out, &version), 0);
    free(z.p);
}
END_TEST

/* ---- the ledger: totals that stand in the records of its user ---- */

struct counted {
    uint64_t other;
    _Atomic uint32_t total;
};

static struct wr_ledger ledger_on(struct wr_zone *z, struct counted *records, uint32_t columns)
{
    struct wr_ledger l = { .columns = 0 };

    wr_ledger_place(&l, z, columns);
    l.totals = (void *)&records[0].total;
    l.stride = sizeof(*records);
    return l;
}

START_TEST(no_count_outlives_its_holder)
{
    struct counted records[3] = { { .other = 7 } };
    struct wr_zone only = { .fd = -1 }, z = { .fd = -1 };
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_ledger measured = ledger_on(&only, records, 3), l;

    wr_self_init();
    z.p = wr_calloc(1, only.n);
    l = ledger_on(&z, records, 3);
    ck_assert_uint_eq(measured.columns, 3);
    ck_assert_uint_eq(z.n, only.n);
    for (uint32_t process = 5; process < 7; process++) {
        wr_self.slot = process;
        l.held = NULL;
        wr_ledger_begin(&l, pool);
        ck_assert(wr_ledger_hold(&l, 1, 0));
        ck_assert(wr_ledger_hold(&l, 1, 4));
        ck_assert(wr_ledger_hold(&l, 2, 2));
        ck_assert_uint_eq(records[1].total, process == 5 ? 2 : 4);
    }
    ck_assert(!wr_ledger_hold(&l, 1, 4)); /* full */
    ck_assert(!wr_ledger_hold(&l, 2, 1));
    ck_assert(records[1].total == 4 && atomic_load(&wr_ledger_row(&l, 6)[1]) == 2);
    wr_ledger_release(&l, 1);
    ck_assert(records[1].total == 3 && records[2].total == 2);
    wr_ledger_clear(&l, 4); /* no process ever counted there */
    wr_ledger_clear(&l, 5);
    wr_ledger_clear(&l, 5);
    ck_assert(records[0].total == 0 && records[1].total == 1 && records[2].total == 1);
    atomic_store(&wr_ledger_row(&l, 6)[2], 99); /* another process writes there: it is corrected */
    wr_ledger_show(&l);
    ck_assert_uint_eq(atomic_load(&wr_ledger_row(&l, 6)[2]), 1);
    records[2].total = 50;
    for (uint32_t looks = 0; !wr_ledger_look(&l, pool); looks++)
        ck_assert_uint_lt(looks, 10);
    ck_assert(records[1].total == 1 && records[2].total == 1 && records[0].other == 7);
    wr_pool_free(pool);
    free(z.p);
}
END_TEST

/* A process dies at each step of taking and giving back one; another one holds `others`. */
static const struct {
    const char *when;
    uint32_t row, total;         /* of the dead one: what it left */
} deaths[] = {
    { "before it takes the second", 1, 1 },
    { "after its mark", 1 | WR_LEDGER_CHANGES, 1 },
    { "after the total", 1 | WR_LEDGER_CHANGES, 2 },
    { "when it has two", 2, 2 },
    { "after the mark of giving one back", 1 | WR_LEDGER_CHANGES, 2 },
    { "after that total", 1 | WR_LEDGER_CHANGES, 1 },
};

START_TEST(a_total_is_never_below_what_the_living_hold)
{
    enum { OTHERS = 3 };
    struct counted records[1] = { { .other = 7 } };
    struct wr_zone only = { .fd = -1 }, z = { .fd = -1 };
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_ledger l;

    wr_self_init();
    (void)ledger_on(&only, records, 1);
    z.p = wr_calloc(1, only.n);
    l = ledger_on(&z, records, 1);
    for (uint32_t process = 5; process < 7; process++) {
        wr_self.slot = process;
        wr_ledger_begin(&l, pool);
    }
    for (size_t i = 0; i < WR_COUNT(deaths); i++) {
        atomic_store(&wr_ledger_row(&l, 5)[0], deaths[i].row);
        atomic_store(&wr_ledger_row(&l, 6)[0], OTHERS);
        records[0].total = OTHERS + deaths[i].total;
        wr_ledger_forget(&l);
        for (uint32_t k = 0; k < 10; k++) /* alive and stopped there: nothing is corrected */
            (void)wr_ledger_look(&l, pool);
        ck_assert_msg(records[0].total == OTHERS + deaths[i].total, "%s", deaths[i].when);
        wr_ledger_clear(&l, 5);
        ck_assert_msg(records[0].total >= OTHERS, "%s", deaths[i].when);
        for (uint32_t looks = 0; !wr_ledger_look(&l, pool); looks++)
            ck_assert_uint_lt(looks, 10);
        ck_assert_msg(records[0].total == OTHERS, "%s", deaths[i].when);
    }
    wr_pool_free(pool);
    free(z.p);
}
END_TEST

UNIT_MAIN("os/zone", parts_follow_each_other, a_roster_is_published_whole,
          no_count_outlives_its_holder, a_total_is_never_below_what_the_living_hold)
