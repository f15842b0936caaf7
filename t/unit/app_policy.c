/* The pure decisions of app: back-off, owners of sockets, CPU masks, module file names. */
#include "lib/unit.h"

#include "app/app.h"

START_TEST(backs_off)
{
    static const uint64_t want[] = { 0, 0, 100, 200, 400, 800, 1000, 1000 };

    for (uint32_t i = 0; i < WR_COUNT(want); i++)
        ck_assert_msg(wr_backoff_ms(i) == want[i], "%u deaths: %llu", i,
                      (unsigned long long)wr_backoff_ms(i));
    ck_assert_uint_eq(wr_backoff_ms(UINT32_MAX), 1000);
}
END_TEST

START_TEST(shares_have_owners)
{
    static const struct {
        uint32_t share, workers;
        bool away[4];
        uint32_t owner;
    } table[] = {
        { 0, 1, { false }, 0 },
        { 3, 1, { false }, 0 },
        { 0, 4, { false }, 0 },
        { 3, 4, { false }, 3 },
        { 5, 4, { false }, 1 },
        { 1, 4, { false, true }, 2 },
        { 3, 4, { false, false, false, true }, 0 },
        { 3, 4, { true, false, false, true }, 1 },
        { 6, 4, { true, true, true, false }, 3 },
        { 2, 4, { true, true, true, true }, 2 }, /* nobody: as if all were there */
    };

    for (size_t i = 0; i < WR_COUNT(table); i++)
        ck_assert_msg(wr_share_owner(table[i].share, table[i].workers, table[i].away) ==
                      table[i].owner, "row %zu", i);
}
END_TEST

START_TEST(neighbours_serve_for_who_is_full)
{
    static const struct {
        uint32_t owner, worker, workers;
        bool full[4], serves;
    } table[] = {
        { 0, 0, 1, { false }, true },
        { 0, 0, 1, { true }, true },
        { 1, 1, 4, { false }, true },
        { 1, 2, 4, { false }, false },
        { 1, 1, 4, { false, true }, false },
        { 1, 2, 4, { false, true }, true },
        { 1, 3, 4, { false, true }, false }, /* one is enough */
        { 1, 3, 4, { false, true, true }, true },
        { 2, 2, 4, { true, true, true, true }, true }, /* nobody has room: each refuses its own */
        { 2, 3, 4, { true, true, true, true }, false },
        { WR_OWNER_ALL, 2, 4, { false }, true },
        { WR_OWNER_ALL, 1, 4, { false, true }, false },
        { WR_OWNER_ALL, 2, 4, { false, true }, true },
        { WR_OWNER_ALL, 1, 4, { true, true, true, true }, true },
    };

    for (size_t i = 0; i < WR_COUNT(table); i++)
        ck_assert_msg(wr_worker_may_accept(table[i].owner, table[i].worker, table[i].workers,
                                      table[i].full) == table[i].serves, "row %zu", i);
}
END_TEST

START_TEST(every_living_worker_has_a_share)
{
    for (uint32_t workers = 1; workers <= 8; workers++) {
        for (uint32_t away = 0; away < 1U << workers; away++) {
            bool is_away[8], has[8] = { false };

            for (uint32_t w = 0; w < workers; w++)
                is_away[w] = (away >> w & 1) != 0;
            for (uint32_t s = 0; s < workers; s++)
                has[wr_share_owner(s, workers, is_away)] = true;
            for (uint32_t w = 0; w < workers && away + 1 != 1U << workers; w++)
                ck_assert_msg(has[w] == !is_away[w], "%u of %u, away %x", w, workers, away);
        }
    }
}
END_TEST

START_TEST(reads_masks)
{
    cpu_set_t m;
    char bad;

    ck_assert(wr_affinity_parse(WR_STR("0101"), &m, &bad));
    ck_assert_int_eq(CPU_COUNT(&m), 2);
    ck_assert(CPU_ISSET(0, &m) && CPU_ISSET(2, &m));
    ck_assert(wr_affinity_parse(WR_STR("1000 0000"), &m, &bad));
    ck_assert(CPU_COUNT(&m) == 1 && CPU_ISSET(7, &m));
    ck_assert(!wr_affinity_parse(WR_STR("01x1"), &m, &bad));
    ck_assert_int_eq(bad, 'x');
}
END_TEST

START_TEST(refuses_long_masks)
{
    char digits[CPU_SETSIZE + 1];
    cpu_set_t m;
    char bad;

    memset(digits, '1', sizeof(digits));
    ck_assert(wr_affinity_parse(wr_str_of(digits, CPU_SETSIZE), &m, &bad));
    ck_assert_int_eq(CPU_COUNT(&m), CPU_SETSIZE);
    ck_assert(!wr_affinity_parse(wr_str_of(digits, CPU_SETSIZE + 1), &m, &bad));
    ck_assert_int_eq(bad, '\0');
}
END_TEST

START_TEST(spreads_workers_over_cpus)
{
    cpu_set_t m;

    CPU_ZERO(&m);
    ck_assert_int_eq(wr_affinity_auto(&m, 0), -1);
    CPU_SET(1, &m);
    CPU_SET(4, &m);
    ck_assert_int_eq(wr_affinity_auto(&m, 0), 1);
    ck_assert_int_eq(wr_affinity_auto(&m, 1), 4);
    ck_assert_int_eq(wr_affinity_auto(&m, 2), 1);
}
END_TEST

START_TEST(knows_module_files)
{
    static const char *const table[][2] = {
        { "modules/ngx_stream_module.so", "stream" },
        { "/usr/lib/nginx/modules/ngx_stream_geoip_module.so", "stream_geoip" },
        { "ngx_http_geoip_module.so", "http_geoip" },
        { "ngx_module.so", "" },
        { "ngx__module.so", "" },
        { "stream.so", "" },
        { "ngx_stream_module.so.1", "" },
        { "", "" },
    };

    for (size_t i = 0; i < WR_COUNT(table); i++)
        ck_view(wr_module_file_word(wr_str_c(table[i][0])), table[i][1]);
}
END_TEST

UNIT_MAIN("app/policy", backs_off, shares_have_owners, neighbours_serve_for_who_is_full,
          every_living_worker_has_a_share, reads_masks, refuses_long_masks,
          spreads_workers_over_cpus, knows_module_files)
