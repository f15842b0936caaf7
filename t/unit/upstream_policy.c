/* Retry decisions, and splitting "host:port". */
#include "lib/unit.h"

#include "upstream/upstream.h"

START_TEST(decides_by_the_facts)
{
    static const struct {
        struct wr_retry_facts f;
        enum wr_retry_decision want;
    } table[] = {
        {{.failure = WR_FAIL_ERROR, .next = WR_NEXT_ERROR | WR_NEXT_TIMEOUT, .tries = 1},
         WR_RETRY_NEXT},
        {{.failure = WR_FAIL_TIMEOUT, .next = WR_NEXT_ERROR | WR_NEXT_TIMEOUT, .tries = 1},
         WR_RETRY_NEXT},
        {{.failure = WR_FAIL_ERROR, .next = WR_NEXT_OFF, .tries = 1}, WR_RETRY_GIVE_UP},
        {{.failure = WR_FAIL_STALE, .next = WR_NEXT_OFF, .tries = 9}, WR_RETRY_NEXT},
        {{.failure = WR_FAIL_INVALID, .next = WR_NEXT_ERROR, .tries = 1}, WR_RETRY_GIVE_UP},
        {{.failure = WR_FAIL_NO_LIVE, .next = WR_NEXT_ERROR | WR_NEXT_TIMEOUT, .tries = 1},
         WR_RETRY_GIVE_UP},
        {{.failure = WR_FAIL_FULL, .next = WR_NEXT_ERROR | WR_NEXT_TIMEOUT, .tries = 1},
         WR_RETRY_GIVE_UP},
        {{.failure = WR_FAIL_NAME, .next = WR_NEXT_ERROR | WR_NEXT_TIMEOUT}, WR_RETRY_GIVE_UP},
        {{.failure = WR_FAIL_ERROR,
          .next = WR_NEXT_ERROR | WR_NEXT_TIMEOUT,
          .tries = 1,
          .sent = true},
         WR_RETRY_GIVE_UP},
        {{.failure = WR_FAIL_ERROR, .next = WR_NEXT_ERROR | WR_NEXT_NON_IDEMPOTENT, .sent = true},
         WR_RETRY_NEXT},
        {{.failure = WR_FAIL_ERROR, .next = WR_NEXT_ERROR | WR_NEXT_NON_IDEMPOTENT, .lost = true},
         WR_RETRY_GIVE_UP},
        {{.failure = WR_FAIL_STALE, .next = WR_NEXT_ERROR, .lost = true}, WR_RETRY_GIVE_UP},
        {{.failure = WR_FAIL_ERROR,
          .next = WR_NEXT_ERROR | WR_NEXT_TIMEOUT,
          .tries = 1,
          .max_tries = 2},
         WR_RETRY_NEXT},
        {{.failure = WR_FAIL_ERROR,
          .next = WR_NEXT_ERROR | WR_NEXT_TIMEOUT,
          .tries = 2,
          .max_tries = 2},
         WR_RETRY_GIVE_UP},
        {{.failure = WR_FAIL_ERROR,
          .next = WR_NEXT_ERROR | WR_NEXT_TIMEOUT,
          .tries = 1,
          .elapsed_ms = 99,
          .max_ms = 100},
         WR_RETRY_NEXT},
        {{.failure = WR_FAIL_ERROR,
          .next = WR_NEXT_ERROR | WR_NEXT_TIMEOUT,
          .tries = 1,
          .elapsed_ms = 100,
          .max_ms = 100},
         WR_RETRY_GIVE_UP},
    };

    for (size_t i = 0; i < WR_COUNT(table); i++)
        ck_assert_msg(wr_retry_policy(&table[i].f) == table[i].want, "row %zu", i);
}
END_TEST

START_TEST(knows_what_a_broken_try_left)
{
    static const struct {
        struct wr_try_facts f;
        bool stale, processed;
    } table[] = {
        {{.reused = true, .idempotent = true, .sent = 100}, true, true},
        {{.reused = true, .idempotent = true, .sent = 100, .received = 1}, false, true},
        {{.reused = true, .sent = 100}, false, true},
        {{.reused = true}, true, false}, /* a POST of which nothing was sent */
        {{.reused = true, .received = 1}, false, false},
        {{.idempotent = true, .sent = 100}, false, true},
        {{.sent = 1}, false, true},
        {{.sent = 0}, false, false},
        {{.reused = true, .sent = 100, .received = 9, .refused = true}, true, false},
        {{.sent = 100, .refused = true}, false, false},
    };
    static const enum wr_failure as_it_is[] = { WR_FAIL_TIMEOUT, WR_FAIL_INVALID, WR_FAIL_STATUS };

    for (size_t i = 0; i < WR_COUNT(table); i++) {
        struct wr_try_facts f = table[i].f;
        struct wr_try_verdict v;

        f.failure = WR_FAIL_ERROR;
        v = wr_try_judge(&f);
        ck_assert_msg(v.failure == (table[i].stale ? WR_FAIL_STALE : WR_FAIL_ERROR), "row %zu", i);
        ck_assert_msg(v.processed == table[i].processed, "row %zu", i);
        for (size_t k = 0; k < WR_COUNT(as_it_is); k++) {
            f.failure = as_it_is[k];
            v = wr_try_judge(&f);
            ck_assert_msg(v.failure == as_it_is[k], "row %zu", i);
            ck_assert_msg(v.processed == table[i].processed, "row %zu", i);
        }
    }
}
END_TEST

START_TEST(splits_host_and_port)
{
    static const struct {
        const char *text, *why, *host;
        uint16_t standard, port;
        bool literal;
    } table[] = {
        { "backend1.example.com:80", NULL, "backend1.example.com", 0, 80, false },
        { "backend1", NULL, "backend1", 80, 80, false },
        { "backend1", "no port", "backend1", 0, 0, false },
        { "127.0.0.1:8080", NULL, "127.0.0.1", 0, 8080, true },
        { "127.0.0.1", NULL, "127.0.0.1", 80, 80, true },
        { "[::1]:5432", NULL, "[::1]:5432", 0, 5432, true },
        { "[::1]", NULL, "[::1]", 80, 80, true },
        { "[::1", "invalid IPv6 address", NULL, 80, 0, false },
        { "unix:/tmp/s", NULL, "unix:/tmp/s", 0, 0, true },
        { "a:0", "invalid port", NULL, 0, 0, false },
        { "a:65536", "invalid port", NULL, 0, 0, false },
        { "a:80x", "invalid port", NULL, 0, 0, false },
        { "a:", "invalid port", NULL, 0, 0, false },
        { ":80", "no host", NULL, 0, 0, false },
        { "", "no host", NULL, 80, 0, false },
        { "a b:80", "invalid host", NULL, 0, 0, false },
        { "a/b:80", "invalid host", NULL, 0, 0, false },
    };

    for (size_t i = 0; i < WR_COUNT(table); i++) {
        struct wr_hostport hp;
        const char *why = wr_hostport_parse(wr_str_c(table[i].text), table[i].standard, &hp);

        if (table[i].why != NULL) {
            ck_assert_msg(why != NULL, "%s", table[i].text);
            ck_assert_str_eq(why, table[i].why);
            continue;
        }
        ck_assert_msg(why == NULL, "%s: %s", table[i].text, why);
        ck_view(hp.host, table[i].host);
        ck_assert_uint_eq(hp.port, table[i].port);
        ck_assert_msg((hp.addr.len > 0) == table[i].literal, "%s", table[i].text);
    }
}
END_TEST

UNIT_MAIN("upstream/policy", decides_by_the_facts, knows_what_a_broken_try_left,
          splits_host_and_port)
