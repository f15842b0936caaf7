/* The shares of split_clients: the figures of nginx's documentation. */
#include "lib/unit.h"

#include "../../modules/shared/split_scale.h"

START_TEST(percents)
{
    static const struct { const char *text; uint32_t want; } good[] = {
        { "51.2%", 5120 }, { "10%", 1000 }, { "0.5%", 50 }, { "0.01%", 1 }, { ".5%", 50 },
        { "10.%", 1000 }, { "100%", 10000 }, { "100.00%", 10000 }, { "2.05%", 205 },
    };
    static const char *const bad[] = {
        "", "%", "10", "0%", "0.0%", "10.123%", "a%", "-1%", "1.a%", "1.-%", "10%%", ".%",
        "99999999999%", "1.2.3%", " 1%",
    };
    uint32_t got;

    for (size_t i = 0; i < WR_COUNT(good); i++) {
        ck_assert_msg(wr_split_percent(wr_str_c(good[i].text), &got), "%s", good[i].text);
        ck_assert_msg(got == good[i].want, "%s: %u", good[i].text, got);
    }
    for (size_t i = 0; i < WR_COUNT(bad); i++)
        ck_assert_msg(!wr_split_percent(wr_str_c(bad[i]), &got), "%s", bad[i]);
}
END_TEST

/* "hash values from 0 to 21474835 (0.5%) correspond to ".one", hash values from 21474836 to
 * 107374180 (2%) to ".two"" */
START_TEST(scale)
{
    ck_assert_uint_eq(wr_split_scale(50), 21474836);
    ck_assert_uint_eq(wr_split_scale(50) + wr_split_scale(200), 107374181);
    ck_assert_uint_eq(wr_split_scale(WR_SPLIT_WHOLE), UINT32_MAX);
    ck_assert_uint_eq(wr_split_scale(0), 0);
}
END_TEST

UNIT_MAIN("split", percents, scale)
