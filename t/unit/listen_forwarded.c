/* The client behind trusted proxies: one step along the list, or all steps. */
#include "lib/unit.h"

#include "listen/listen.h"

START_TEST(forwarded)
{
    static const struct { const char *list, *once, *all; } cases[] = {
        { "", "127.0.0.1", "127.0.0.1" },
        { "192.0.2.1", "192.0.2.1", "192.0.2.1" },
        { "10.0.0.1, 192.0.2.1", "192.0.2.1", "192.0.2.1" },
        { "192.0.2.1, 127.0.0.1", "127.0.0.1", "192.0.2.1" },
        { "192.0.2.1,10.0.0.7,127.0.0.2", "127.0.0.2", "192.0.2.1" },
        { "8.8.8.8, 192.0.2.1, 127.0.0.1 ,", "127.0.0.1", "192.0.2.1" },
        { "127.0.0.3", "127.0.0.3", "127.0.0.3" },
        { "192.0.2.1, unknown", "127.0.0.1", "127.0.0.1" },
        { "192.0.2.1:4711", "192.0.2.1", "192.0.2.1" },
        { "2001:db8::1", "2001:db8::1", "2001:db8::1" },
        { "[2001:db8::1]:80", "2001:db8::1", "2001:db8::1" },
        { "*:80", "127.0.0.1", "127.0.0.1" },
        { "unix:/a", "127.0.0.1", "127.0.0.1" },
        { "192.0.2.1, unix:", "127.0.0.1", "127.0.0.1" },
        { " , ,", "127.0.0.1", "127.0.0.1" },
    };
    struct wr_cidr at[2];
    struct wr_networks proxies = { .list = { at, 2, 2 } };

    ck_assert(wr_cidr_parse(WR_STR("127.0.0.0/8"), &at[0]));
    ck_assert(wr_cidr_parse(WR_STR("10.0.0.7"), &at[1]));
    for (size_t i = 0; i < WR_COUNT(cases); i++) {
        for (int recursive = 0; recursive < 2; recursive++) {
            char buf[WR_ADDR_TEXT_MAX];
            struct wr_text t = wr_text_on(buf, sizeof(buf));
            const char *want = recursive == 1 ? cases[i].all : cases[i].once;
            struct wr_addr a;
            bool changed;

            ck_assert(wr_addr_parse_ip(WR_STR("127.0.0.1"), &a));
            changed = wr_forwarded(&a, wr_str_c(cases[i].list), &proxies, recursive == 1);
            wr_addr_text_ip(&a, &t);
            ck_view(wr_text_view(&t), want);
            ck_assert(changed || strcmp(want, "127.0.0.1") == 0);
        }
    }
}
END_TEST

UNIT_MAIN("listen/forwarded", forwarded)
