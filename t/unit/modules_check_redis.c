/* Checks of Redis: AUTH, PING, ROLE, servers that are not ready, hostile bytes. */
#include "lib/check_talk.h"

#define PING WR_STR("*1\r\n$4\r\nPING\r\n")
#define PONG WR_STR("+PONG\r\n")
#define ROLE WR_STR("*1\r\n$4\r\nROLE\r\n")
#define NOT_REDIS "the answer is not one of Redis"
#define ANYTHING ((struct wr_str){ 0 })
#define CLOSES ((struct wr_str){ 0 })

START_TEST(ping)
{
    static const struct { const char *reply, *verdict; } t[] = {
        { "+PONG\r\n", "pass: PONG" },
        { "+PONG\n", "pass" },
        { "-LOADING Redis is loading the dataset in memory\r\n",
          "LOADING Redis is loading the dataset in memory" },
        { "-NOAUTH Authentication required.\r\n", "NOAUTH Authentication required" },
        { "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
          "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'" },
        { "-\x1b[2J\"\r\n", "\\x1b[2J\"" },
        { "-. .\r\n", "an error without a message" },
        { "+PON\r\n", NOT_REDIS },
        { "+OK\r\n", NOT_REDIS },
        { "-\r\n", NOT_REDIS },
        { "\r\n", NOT_REDIS },
        { ":1\r\n", NOT_REDIS },
        { "*1\r\n", NOT_REDIS },
        { "HTTP/1.1 400 Bad Request\r\n\r\n", NOT_REDIS },
        { "+PONG", "more" },
        { "-ERR", "more" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++) {
        struct told c = { .turns = 1, .turn = { { PING, wr_str_c(t[i].reply) } },
                          .verdict = t[i].verdict };

        converse(&wr_check_redis, &c);
    }
    converse(&wr_check_redis, &(struct told){
        .turns = 1, .turn = { { PING, WR_STR("\0") } }, .verdict = NOT_REDIS });
    converse(&wr_check_redis, &(struct told){
        .turns = 2, .turn = { { PING, WR_STR("+PO") }, { ANYTHING, CLOSES } },
        .verdict = "the server closed the connection instead of answering PING" });
    drop_texts();
}
END_TEST

START_TEST(logins)
{
    const struct told t[] = {
        { NULL, "secret", .turns = 2,
          .turn = { { WR_STR("*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"), WR_STR("+OK\r\n") },
                    { PING, PONG } },
          .verdict = "pass" },
        { "weir", "se\r\nret", .turns = 2,
          .turn = { { WR_STR("*3\r\n$4\r\nAUTH\r\n$4\r\nweir\r\n$7\r\nse\r\nret\r\n"),
                      WR_STR("+OK\r\n") },
                    { PING, PONG } },
          .verdict = "pass" },
        { NULL, "secret", .turns = 1,
          .turn = { { ANYTHING, WR_STR("-WRONGPASS invalid username-password pair or user is "
                                       "disabled.\r\n") } },
          .verdict = "WRONGPASS invalid username-password pair or user is disabled" },
        { NULL, "secret", .turns = 1,
          .turn = { { ANYTHING, WR_STR("-ERR unknown command `AUTH`, with args beginning with: "
                                       "`secret`, secre secretsecret\r\n") } },
          .verdict = "ERR unknown command `AUTH`, with args beginning with: `***`, secre ******" },
        { NULL, "a secret that is long", .turns = 1,
          .turn = { { ANYTHING, WR_STR("-ERR args: `a secret`, `a secre`\r\n") } },
          .verdict = "ERR args: `***`, `a secre`" },
        { NULL, "secret", .turns = 1, .turn = { { ANYTHING, WR_STR("-secret\r\n") } },
          .verdict = "***" },
        { NULL, "secret", .turns = 1, .turn = { { ANYTHING, PONG } }, .verdict = NOT_REDIS },
        { NULL, "secret", .turns = 1, .turn = { { ANYTHING, CLOSES } },
          .verdict = "the server closed the connection while logging in" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++)
        converse(&wr_check_redis, &t[i]);
    drop_texts();
}
END_TEST

START_TEST(role_asked_for)
{
    static const struct { uint32_t role; const char *reply, *verdict; } t[] = {
        { 1, "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n", "pass" },
        { 2, "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:6379\r\n$9\r\nconnected\r\n:0\r\n", "pass" },
        { 1, "*5\r\n$5\r\nslave\r\n", "role is replica, master wanted" },
        { 2, "*3\r\n$6\r\nmaster\r\n", "role is master, replica wanted" },
        { 1, "*2\r\n$8\r\nsentinel\r\n*0\r\n", "role is sentinel, master wanted" },
        { 1, "*1\r\n$4\r\nking\r\n", NOT_REDIS },
        { 1, "*3\r\n:6\r\nmaster\r\n", NOT_REDIS },
        { 1, "*3\r\n$\r\nmaster\r\n", NOT_REDIS },
        { 1, "*\r\n", NOT_REDIS },
        { 1, "+master\r\n", NOT_REDIS },
        { 1, "*3\r\n$6\r\nmaster", "more" },
        { 1, "*3\r\n$6\r\n", "more" },
        { 1, "-NOPERM this user has no permissions to run the 'role' command\r\n",
          "NOPERM this user has no permissions to run the 'role' command" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++) {
        struct told c = { .role = t[i].role, .turns = 2,
                          .turn = { { PING, PONG }, { ROLE, wr_str_c(t[i].reply) } },
                          .verdict = t[i].verdict };

        converse(&wr_check_redis, &c);
    }
    drop_texts();
}
END_TEST

START_TEST(endless)
{
    static char bytes[70000];

    memset(bytes, '-', sizeof(bytes));
    tell(&wr_check_redis, &(struct told){
        .turns = 1, .turn = { { ANYTHING, wr_str_of(bytes, sizeof(bytes)) } },
        .verdict = "the server sent more than 65536 bytes instead of answering PING" }, 4096);
    drop_texts();
}
END_TEST

UNIT_MAIN("check_redis", ping, logins, role_asked_for, endless)
