/* Range fields against a length: what nginx answers with 206, 200 and 416. */
#include "lib/unit.h"

#include "../../modules/http/filters/range_set.h"

/* "0-5 7-9" for what was parsed, "whole" for a field without effect, "416". */
static void check_ranges(const char *field, uint64_t length, const char *want)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text got = wr_text_grow(pool, 64, 4096);
    struct wr_ranges r;

    switch (wr_ranges_parse(wr_str_c(field), length, 10, pool, &r)) {
    case WR_RANGE_IGNORED:
        wr_text_c(&got, "whole");
        break;
    case WR_RANGE_NONE:
        wr_text_c(&got, "416");
        break;
    case WR_RANGE_OK:
        for (uint32_t i = 0; i < r.list.n; i++)
            wr_text_fmt(&got, "%s%llu-%llu", i > 0 ? " " : "",
                        (unsigned long long)r.list.at[i].from,
                        (unsigned long long)r.list.at[i].to - 1);
        if (!r.ascending)
            wr_text_c(&got, " mixed");
    }
    ck_assert_msg(wr_str_is(wr_text_view(&got), want), "%s of %llu: " WR_FMT ", not %s", field,
                  (unsigned long long)length, WR_ARG(wr_text_view(&got)), want);
    wr_pool_free(pool);
}

START_TEST(one_range)
{
    check_ranges("bytes=0-4", 20, "0-4");
    check_ranges("bytes=5-", 20, "5-19");
    check_ranges("bytes=-5", 20, "15-19");
    check_ranges("bytes=-50", 20, "0-19");
    check_ranges("bytes=0-19", 20, "0-19");
    check_ranges("bytes=0-20", 20, "0-19");
    check_ranges("bytes=19-19", 20, "19-19");
    check_ranges("bytes= 0 - 3 ", 20, "0-3");
    check_ranges("BYTES=0-3", 20, "0-3");
    check_ranges("bytes=0-9223372036854775807", 20, "0-19");
}
END_TEST

START_TEST(several_ranges)
{
    check_ranges("bytes=0-1,5-6", 20, "0-1 5-6");
    check_ranges("bytes=0-9,10-19", 20, "0-9 10-19");
    check_ranges("bytes=1 -2 , 3-4", 20, "1-2 3-4");
    check_ranges("bytes=5-6,0-1", 20, "5-6 0-1 mixed");
    check_ranges("bytes=0-5,3-7", 20, "0-5 3-7 mixed");
    check_ranges("bytes=0-1,30-", 20, "0-1");
    check_ranges("bytes=0-1,5-2", 20, "0-1");
    check_ranges("bytes=0-1,-0", 20, "0-1");
    check_ranges("bytes=0-9,9-19", 20, "whole");
    check_ranges("bytes=0-,0-", 20, "whole");
}
END_TEST

START_TEST(not_for_us)
{
    check_ranges("", 20, "whole");
    check_ranges("bytes=", 20, "whole");
    check_ranges("items=0-3", 20, "whole");
    check_ranges("bytes =0-3", 20, "whole");
    check_ranges("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18", 20,
                 "0-0 2-2 4-4 6-6 8-8 10-10 12-12 14-14 16-16 18-18");
    check_ranges("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,19-19", 20, "whole");
}
END_TEST

START_TEST(not_satisfiable)
{
    static const char *const fields[] = {
        "bytes=20-", "bytes=5-2", "bytes=-0", "bytes=abc", "bytes=-", "bytes=0", "bytes=0-1,abc",
        "bytes=0-4,", "bytes=,0-4", "bytes=0-4,,6-7", "bytes=0-1 x", "bytes=+1-2", "bytes=\t1-2",
        "bytes=0-20,- 4", "bytes=--4", "bytes=0--4", "bytes=0-9,9-19,x", "bytes=0x1-2",
        "bytes=0-9223372036854775808", "bytes=9223372036854775807-",
        "bytes=0-99999999999999999999999", "bytes=99999999999999999999999-",
    };

    for (size_t i = 0; i < WR_COUNT(fields); i++)
        check_ranges(fields[i], 20, "416");
}
END_TEST

START_TEST(of_nothing)
{
    check_ranges("bytes=0-1", 0, "whole");
    check_ranges("bytes=0-", 0, "whole");
    check_ranges("bytes=-5", 0, "whole");
    check_ranges("bytes=5-6", 0, "416");
    check_ranges("bytes=5-6,-0", 0, "whole");
}
END_TEST

START_TEST(of_much)
{
    check_ranges("bytes=0-0,-1", INT64_MAX, "0-0 9223372036854775806-9223372036854775806");
    check_ranges("bytes=0-,0-,0-,0-,0-", INT64_MAX, "whole");
}
END_TEST

START_TEST(none_at_all)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_ranges r;

    ck_assert_int_eq(wr_ranges_parse(WR_STR("bytes=0-1"), 20, 0, pool, &r), WR_RANGE_IGNORED);
    ck_assert_int_eq(wr_ranges_parse(WR_STR("bytes=0-1,3-4"), 20, 1, pool, &r), WR_RANGE_IGNORED);
    ck_assert_int_eq(wr_ranges_parse(WR_STR("bytes=0-1,3-4"), 20, 2, pool, &r), WR_RANGE_OK);
    ck_assert_uint_eq(r.total, 4);
    wr_pool_free(pool);
}
END_TEST

UNIT_MAIN("range", one_range, several_ranges, not_for_us, not_satisfiable, of_nothing, of_much,
          none_at_all)
