/* Files of servers: what a line may say, the reasons of faults and where they are, keys. */
#include "lib/unit.h"

#include "upstream/upstream_impl.h"

static struct wr_server_list list;

static bool parse(const char *text, bool directives)
{
    struct wr_list_rules rules = { .default_port = 80, .directives = directives,
                                   .refused = directives ? WR_PARAMS_OF_BACKUPS
                                                         : WR_PARAMS_OF_NAMES };

    wr_server_list_free(&list);
    return wr_server_list_parse(wr_str_c(text), &rules, &list);
}

START_TEST(lines)
{
    static const struct {
        const char *text;
        uint32_t n;
    } rows[] = {
        { "", 0 },
        { "\n\n", 0 },
        { "# nothing\n  # more\n", 0 },
        { "10.0.0.1", 1 },
        { "10.0.0.1:80\n", 1 },
        { "\xef\xbb\xbf" "10.0.0.1:80\r\n\t[::1]:81  \r\n", 2 },
        { "10.0.0.1 weight=2 # heavy\n10.0.0.2 backup#not a comment", 1 },
        { "unix:/run/a#b.sock max_conns=3 drain\n", 1 },
        { "10.0.0.1 weight=2 max_fails=0 down route=a slow_start=30s\n", 1 },
        { "10.0.0.1\n10.0.0.1\n10.0.0.1:80\n", 3 },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        bool whole = strstr(rows[i].text, "#not") == NULL;

        ck_assert_msg(parse(rows[i].text, false) == whole, "%s", rows[i].text);
        ck_assert_uint_eq(list.n, rows[i].n);
    }
    ck_assert(parse("10.0.0.1 weight=2 max_fails=0 fail_timeout=1m max_conns=9 down route=a "
                    "slow_start=30s backup drain\n", false));
    ck_assert_uint_eq(list.at[0].weight, 2);
    ck_assert_uint_eq(list.at[0].max_fails, 0);
    ck_assert_uint_eq(list.at[0].fail_timeout_ms, 60000);
    ck_assert_uint_eq(list.at[0].max_conns, 9);
    ck_assert_uint_eq(list.at[0].slow_start_ms, 30000);
    ck_assert(list.at[0].down && list.at[0].backup && list.at[0].drain);
    ck_assert(wr_str_is(list.at[0].route, "a"));
    ck_assert_uint_eq(wr_addr_port(&list.at[0].addr), 80);
    ck_assert_uint_eq(list.at[0].max_fails, 0);
    ck_assert(parse("10.0.0.1\n", false));
    ck_assert_uint_eq(list.at[0].max_fails, 1);
    ck_assert_uint_eq(list.at[0].fail_timeout_ms, 10000);
}
END_TEST

#define FOR_NAMES "the parameters \"resolve\" and \"service\" are for names, which are not " \
                  "resolved here: write them in upstream {}"

START_TEST(faults)
{
    static const struct {
        const char *text;
        bool directives;
        uint32_t line, column, width;
        const char *why;
    } rows[] = {
        { "10.0.0.1\n10.0.0.2 wieght=2\n", false, 2, 10, 8, "invalid parameter \"wieght=2\"" },
        { "10.0.0.1  weight=0", false, 1, 11, 8,
          "invalid parameter \"weight=0\": it takes a number, 1 or more" },
        { "\n#\n10.0.0.1:0", false, 3, 1, 10, "invalid port in upstream \"10.0.0.1:0\"" },
        { "[::1", false, 1, 1, 4, "invalid IPv6 address in upstream \"[::1\"" },
        { " backend.test:80", false, 1, 2, 15, "\"backend.test:80\" is not an address: names are "
          "not resolved here, write them in upstream {}" },
        { "10.0.0.1 resolve", false, 1, 10, 7, FOR_NAMES },
        { "10.0.0.1 service=a", false, 1, 10, 9, FOR_NAMES },
        { "server 10.0.0.1 backup;", true, 1, 17, 6,
          "balancing method does not support parameter \"backup\"" },
        { "server 10.0.0.1;", false, 1, 1, 6, "unexpected \"server\": a line begins with an "
          "address" },
        { "10.0.0.1 weight=2;", false, 1, 10, 9, "unexpected \";\": a server ends with its line" },
        { "server\n", false, 1, 1, 6, "unexpected \"server\": a line begins with an address" },
        { "10.0.0.1;", false, 1, 1, 9, "unexpected \";\": a server ends with its line" },
        { "10.0.0.1 a\001b", false, 1, 10, 3, "a control character" },
        { "10.0.0.1 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3", false, 1,
          72, 1, "too many parameters" },
        { "10.0.0.1", true, 1, 1, 8, "unknown directive \"10.0.0.1\"" },
        { "server 10.0.0.1", true, 1, 8, 8, "unexpected end of line, expecting \";\"" },
        { "server;", true, 1, 1, 6, "invalid number of arguments in \"server\" directive" },
        { "server ;", true, 1, 1, 6, "invalid number of arguments in \"server\" directive" },
        { "server a.test service=;", true, 1, 15, 8,
          "invalid parameter \"service=\": it takes the name of an SRV record" },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        ck_assert(!parse(rows[i].text, rows[i].directives));
        ck_assert_str_eq(list.fault.why, rows[i].why);
        ck_assert_uint_eq(list.fault.line, rows[i].line);
        ck_assert_uint_eq(list.fault.column, rows[i].column);
        ck_assert_uint_eq(list.fault.width, rows[i].width);
    }
}
END_TEST

START_TEST(directives)
{
    ck_assert(parse("# state\nserver 10.0.0.1:80 weight=2;\nserver unix:/a ;\n"
                    "server a.test:80 resolve;\nserver b.test service=http resolve;\n", true));
    ck_assert_uint_eq(list.n, 4);
    ck_assert_uint_eq(list.at[0].weight, 2);
    ck_assert(list.at[2].named && list.at[3].named);
    ck_assert(wr_str_is(list.at[3].service, "http"));
}
END_TEST

START_TEST(sizes)
{
    char *text = wr_calloc(WR_LIST_LINES_MAX + 2, 16);
    size_t n = 0;

    for (uint32_t i = 0; i < WR_LIST_LINES_MAX; i++)
        n += (size_t)snprintf(text + n, 16, "10.0.%u.%u\n", i / 250, i % 250);
    ck_assert(parse(text, false));
    ck_assert_uint_eq(list.n, WR_LIST_LINES_MAX);
    text[n] = (char)35;
    ck_assert(!parse(text, false));
    ck_assert_str_eq(list.fault.why, "more than 16384 lines");
    free(text);
    wr_server_list_free(&list);
}
END_TEST

/* Equal texts are different servers, also where one is a `server` line. */
START_TEST(keys)
{
    struct wr_server before = wr_server_new();
    uint64_t second;

    before.text = WR_STR("10.0.0.1");
    ck_assert(parse("10.0.0.1\n10.0.0.2\n10.0.0.1\n", false));
    wr_server_list_keys(&list, WR_STR("g"), NULL, 0);
    ck_assert_uint_eq(list.at[0].key, wr_server_key(WR_STR("g"), before.text, 0));
    ck_assert_uint_eq(list.at[2].key, wr_server_key(WR_STR("g"), before.text, 1));
    ck_assert_uint_ne(list.at[0].key, list.at[1].key);
    second = list.at[2].key;
    wr_server_list_keys(&list, WR_STR("g"), &before, 1);
    ck_assert_uint_eq(list.at[0].key, second);
    wr_server_list_keys(&list, WR_STR("h"), &before, 1);
    ck_assert_uint_ne(list.at[0].key, second);
    wr_server_list_free(&list);
}
END_TEST

UNIT_MAIN("upstream/server_list", lines, faults, directives, sizes, keys)
