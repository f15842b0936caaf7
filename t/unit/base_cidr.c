/* Address ranges. */
#include "lib/unit.h"

START_TEST(matches)
{
    static const struct {
        const char *range, *addr;
        bool match;
    } rows[] = {
        { "10.0.0.0/8", "10.255.1.2", true },      { "10.0.0.0/8", "11.0.0.0", false },
        { "1.2.3.4", "1.2.3.4", true },            { "1.2.3.4", "1.2.3.5", false },
        { "1.2.3.4/32", "1.2.3.4", true },         { "0.0.0.0/0", "9.9.9.9", true },
        { "1.2.3.128/25", "1.2.3.127", false },    { "1.2.3.128/25", "1.2.3.200", true },
        { "0.0.0.0/0", "::1", false },             { "::/0", "::1", true },
        { "2001:db8::/32", "2001:db8:1::1", true }, { "2001:db8::/32", "2001:db9::", false },
        { "2001:db8::/33", "2001:db8:8000::", false }, { "::1", "::1", true },
        { "10.0.0.0/8", "::ffff:10.1.2.3", true }, { "10.0.0.0/8", "::ffff:11.1.2.3", false },
        { "::1/128", "::2", false },
    };
    struct wr_cidr c;
    struct wr_addr a;

    for (unsigned i = 0; i < WR_COUNT(rows); i++) {
        ck_assert_msg(wr_cidr_parse(wr_str_c(rows[i].range), &c), "%s", rows[i].range);
        ck_assert(wr_addr_parse_ip(wr_str_c(rows[i].addr), &a));
        ck_assert_msg(wr_cidr_match(&c, &a) == rows[i].match, "%s in %s", rows[i].addr,
                      rows[i].range);
        ck_assert(!c.host_bits);
    }
}
END_TEST

START_TEST(unix_is_every_unix_client)
{
    struct wr_addr a, none = { .len = 0 };
    struct wr_cidr c;

    ck_assert(wr_cidr_parse(WR_STR("unix:"), &c));
    ck_assert(wr_addr_parse(WR_STR("unix:/a"), 0, &a));
    ck_assert(wr_cidr_match(&c, &a));
    ck_assert(!wr_cidr_match(&c, &none));
    ck_assert(wr_addr_parse_ip(WR_STR("1.2.3.4"), &a));
    ck_assert(!wr_cidr_match(&c, &a));
    ck_assert(wr_cidr_parse(WR_STR("0.0.0.0/0"), &c));
    ck_assert(!wr_cidr_match(&c, &none));
}
END_TEST

START_TEST(low_bits_are_reported)
{
    struct wr_cidr c;
    struct wr_addr a;

    ck_assert(wr_cidr_parse(WR_STR("10.1.2.3/8"), &c));
    ck_assert(c.host_bits);
    ck_assert(wr_addr_parse_ip(WR_STR("10.9.9.9"), &a));
    ck_assert(wr_cidr_match(&c, &a));
    ck_assert(wr_cidr_parse(WR_STR("2001:db8::1/127"), &c));
    ck_assert(c.host_bits);
}
END_TEST

START_TEST(refuses)
{
    static const char *const bad[] = { "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
                                       "10.0.0/8", "10.0.0.0/8/8", "::/129", "::/0000", "[::1]",
                                       "[::1]/128", "unix:/a", "unix", "all", "10.0.0.0/8 ",
                                       "10.0.0.0/255.0.0.0", "1.2.3.4:80" };
    struct wr_cidr c;

    for (unsigned i = 0; i < WR_COUNT(bad); i++)
        ck_assert_msg(!wr_cidr_parse(wr_str_c(bad[i]), &c), "%s", bad[i]);
}
END_TEST

UNIT_MAIN("base/cidr", matches, unix_is_every_unix_client, low_bits_are_reported, refuses)
