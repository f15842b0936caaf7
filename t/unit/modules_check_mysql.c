/* Checks of MySQL and MariaDB: logins of both kinds, without a user, over TLS, hostile packets. */
#include "lib/check_talk.h"

#define ANYTHING ((struct wr_str){ 0 })
#define CLOSES ((struct wr_str){ 0 })
#define NOT_MYSQL "the answer is not one of MySQL"
#define NATIVE "mysql_native_password\0"
#define SHA2 "caching_sha2_password\0"
#define CAPS_ALL "\xff\xff"
#define CAPS_LATE "\xff\x81"
/* Version, thread, salt, caps, and so on: MariaDB 10.11, MySQL 8. */
#define GREETING(plugin) \
    packet(0, WR_STR("\x0a" "8.0.36\0" "\1\0\0\0" "abcdefgh" "\0" CAPS_ALL "\x21" "\2\0" CAPS_LATE \
                     "\x15" "\0\0\0\0\0\0\0\0\0\0" "ijklmnopqrst\0" plugin))
#define LOGIN_HEAD "\1\xa2\x08\0" "\0\0\0\1" "\x21" "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define TLS_HEAD "\1\xaa\x08\0" "\0\0\0\1" "\x21" "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define NATIVE_PROOF \
    "\x88\x17\xc5\x0f\xa7\x79\xda\xef\x01\x0e\xe7\x57\x78\x25\xb0\x84\x7d\xf9\x84\x2e"
#define SHA2_PROOF \
    "\xc7\x6e\x28\x98\x61\x2a\x4c\xf0\x42\xc7\x7f\xa8\xc4\x70\x2c\x4c\x64\xc0\xc2\xc5\x57\xc5\x3c" \
    "\x4d\x75\x59\x5a\xaa\x6a\xba\xe8\x09"
#define NATIVE_PROOF_2 \
    "\x28\x44\x15\x90\x67\x42\x85\xe7\xd0\x3c\xae\x7a\xf2\x37\x50\x47\x97\xf7\x0e\x91"
#define SHA2_PROOF_2 \
    "\xd7\x21\xe1\x83\xc1\xf0\x36\xa1\x96\xc1\x38\x92\x01\xb8\xd5\x3f\x38\x06\x4a\x16\xf1\xd0\x92" \
    "\x36\x83\xab\x88\x67\x63\x15\x2d\x75"
#define SALT_2 "ABCDEFGHIJKLMNOPQRST\0"
#define OK_AT(n) packet(n, WR_STR("\0\0\0\2\0\0\0"))
#define PING packet(0, WR_STR("\x0e"))
#define QUIT packet(0, WR_STR("\1"))
#define DENIED_1045 WR_STR("\xff\x15\x04#28000Access denied for user ''@'localhost'")

static struct wr_str packet(char sequence, struct wr_str payload)
{
    const char head[4] = { (char)(payload.n & 0xff), (char)(payload.n >> 8 & 0xff),
                           (char)(payload.n >> 16 & 0xff), sequence };

    return JOIN(wr_str_of(head, 4), payload);
}

static struct wr_str login(struct wr_str user, struct wr_str rest)
{
    return packet(1, JOIN(WR_STR(LOGIN_HEAD), user, rest));
}

START_TEST(logins)
{
    const struct wr_str native = login(WR_STR("weir\0\x14"), WR_STR(NATIVE_PROOF NATIVE));
    const struct wr_str sha2 = login(WR_STR("weir\0\x20"), WR_STR(SHA2_PROOF SHA2));
    const struct told t[] = {
        { "weir", "secret", .turns = 3,
          .turn = { { WR_STR(""), GREETING(NATIVE) }, { native, OK_AT(2) }, { PING, OK_AT(1) } },
          .verdict = "pass", .last = QUIT },
        { "weir", NULL, .turns = 3,
          .turn = { { ANYTHING, GREETING(NATIVE) },
                    { login(WR_STR("weir\0\0"), WR_STR(NATIVE)), OK_AT(2) }, { PING, OK_AT(1) } },
          .verdict = "pass", .last = QUIT },
        { "weir", "secret", .turns = 4, /* in the server's cache */
          .turn = { { ANYTHING, GREETING(SHA2) }, { sha2, packet(2, WR_STR("\1\3")) },
                    { WR_STR(""), OK_AT(3) }, { PING, OK_AT(1) } },
          .verdict = "pass", .last = QUIT },
        { "weir", "secret", .turns = 2,
          .turn = { { ANYTHING, GREETING(SHA2) }, { sha2, packet(2, WR_STR("\1\4")) } },
          .verdict = "caching_sha2_password asks for the whole password, which is sent over TLS "
                     "only: set proxy_ssl on, or log in as this user elsewhere" },
        { "weir", "secret", .turns = 4, /* the server's way is an unknown one, the user's not */
          .turn = { { ANYTHING, GREETING("client_ed25519\0") },
                    { native, packet(2, WR_STR("\xfe" SHA2 SALT_2)) },
                    { packet(3, WR_STR(SHA2_PROOF_2)), packet(4, WR_STR("\1\3")) },
                    { ANYTHING, OK_AT(5) } },
          .verdict = "more", .last = PING },
        { "weir", "secret", .turns = 3,
          .turn = { { ANYTHING, GREETING(SHA2) }, { sha2, packet(2, WR_STR("\xfe" NATIVE SALT_2)) },
                    { packet(3, WR_STR(NATIVE_PROOF_2)), OK_AT(4) } },
          .verdict = "more", .last = PING },
        { "weir", "secret", .turns = 2,
          .turn = { { ANYTHING, GREETING(NATIVE) },
                    { ANYTHING, packet(2, WR_STR("\xfe" "client_ed25519\0" SALT_2)) } },
          .verdict = "the server asks for \"client_ed25519\", not mysql_native_password or "
                     "caching_sha2_password" },
        { "weir", "secret", .turns = 2,
          .turn = { { ANYTHING, GREETING(NATIVE) }, { ANYTHING, packet(2, WR_STR("\xfe")) } },
          .verdict = "the server asks for a password in the format of MySQL 4.0" },
        { "weir", "wrong", .turns = 2,
          .turn = { { ANYTHING, GREETING(NATIVE) },
                    { ANYTHING, packet(2, WR_STR("\xff\x15\x04#28000Access denied for user "
                                                 "'weir'@'localhost' (using password: YES)")) } },
          .verdict = "Access denied for user 'weir'@'localhost' (using password: YES)" },
        { "weir", "secret", .turns = 3,
          .turn = { { ANYTHING, GREETING(NATIVE) }, { ANYTHING, OK_AT(2) },
                    { ANYTHING, packet(1, WR_STR("\xff\x1d\x04#08S01Server shutdown in "
                                                 "progress")) } },
          .verdict = "Server shutdown in progress" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++)
        converse(&wr_check_mysql, &t[i]);
    drop_texts();
}
END_TEST

START_TEST(without_user)
{
    const struct wr_str nobody = login(WR_STR("\0\0"), WR_STR(NATIVE));
    const struct told t[] = {
        { .turns = 2,
          .turn = { { ANYTHING, GREETING(NATIVE) }, { nobody, packet(2, DENIED_1045) } },
          .verdict = "pass", .last = WR_STR("") },
        { .turns = 3,
          .turn = { { ANYTHING, GREETING(NATIVE) }, { nobody, OK_AT(2) }, { PING, OK_AT(1) } },
          .verdict = "pass", .last = QUIT },
        { .turns = 3,
          .turn = { { ANYTHING, GREETING(NATIVE) },
                    { nobody, packet(2, WR_STR("\xfe" "unix_socket\0" SALT_2)) },
                    { packet(3, WR_STR("")), packet(4, DENIED_1045) } },
          .verdict = "pass" },
        { .turns = 1,
          .turn = { { ANYTHING, packet(0, WR_STR("\xff\x10\x04Too many connections")) } },
          .verdict = "Too many connections" },
        { .turns = 1,
          .turn = { { ANYTHING, packet(0, WR_STR("\xff\x69\x04Host '10.0.0.1' is blocked because "
                                                 "of many connection errors")) } },
          .verdict = "Host '10.0.0.1' is blocked because of many connection errors" },
        { .turns = 1, .turn = { { ANYTHING, CLOSES } },
          .verdict = "the server closed the connection before its greeting" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++)
        converse(&wr_check_mysql, &t[i]);
    drop_texts();
}
END_TEST

START_TEST(over_tls)
{
    const struct wr_str tls = packet(1, WR_STR(TLS_HEAD));
    const struct wr_str over = packet(2, WR_STR(TLS_HEAD "weir\0\x20" SHA2_PROOF SHA2));
    const struct told t[] = {
        { "weir", "secret", .tls = true, .turns = 4,
          .turn = { { ANYTHING, GREETING(SHA2) },
                    { JOIN(tls, over), packet(3, WR_STR("\1\4")) },
                    { packet(4, WR_STR("secret\0")), OK_AT(5) }, { PING, OK_AT(1) } },
          .verdict = "pass", .last = QUIT },
        { .tls = true, .turns = 1,
          .turn = { { ANYTHING, packet(0, WR_STR("\x0a" "5\0" "1234" "abcdefgh" "\0" "\xff\xf7" "\0"
                                                 "\0\0\0\0\0" "\0\0\0\0\0\0\0\0\0\0"
                                                 "ijklmnopqrst\0")) } },
          .verdict = "the server does not accept SSL, and proxy_ssl is on" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++)
        converse(&wr_check_mysql, &t[i]);
    drop_texts();
}
END_TEST

START_TEST(hostile)
{
    const struct wr_str greeting = GREETING(SHA2);
    const struct { struct wr_str reply; const char *verdict; } first[] = {
        { WR_STR("HTTP/1.1 400 Bad Request\r\n"), NOT_MYSQL },
        { WR_STR("\0\0\0\0"), NOT_MYSQL },
        { WR_STR("\xff\xff\xff\0"), NOT_MYSQL },
        { packet(0, WR_STR("\x09" "5.0\0")), NOT_MYSQL },
        { packet(0, WR_STR("\x0a")), NOT_MYSQL },
        { packet(0, WR_STR("\x0a" "8.0")), NOT_MYSQL },
        { packet(0, WR_STR("\x0a" "8.0\0" "1234" "abcdefgh" "\0")), NOT_MYSQL },
        { packet(0, WR_STR("\x0a" "8.0\0" "1234" "abcdefgh" "\0" "\xff\xff")),
          "the server is older than MySQL 4.1" },
        { packet(0, WR_STR("\x0a" "3.23\0" "1234" "abcdefgh" "\0" "\x2c\0" "\0" "\0\0" "\0\0" "\0"
                           "\0\0\0\0\0\0\0\0\0\0" "ijklmnopqrst\0")),
          "the server is older than MySQL 4.1" },
        { packet(0, WR_STR("\xff")), NOT_MYSQL },
        { packet(0, WR_STR("\xff\x10\x04")), "error 1040 of MySQL" },
        { wr_str_of(greeting.p, greeting.n - 1), "more" },
    };
    const struct { struct wr_str reply; const char *verdict; } then[] = {
        { packet(2, WR_STR("\2")), NOT_MYSQL },
        { packet(2, WR_STR("\1")), NOT_MYSQL },
        { packet(2, WR_STR("\1\5")), NOT_MYSQL },
        { packet(2, WR_STR("\xfe" NATIVE "short")), NOT_MYSQL },
        { JOIN(packet(2, WR_STR("\xfe" NATIVE SALT_2)), packet(4, WR_STR("\xfe" NATIVE SALT_2))),
          NOT_MYSQL },
        { JOIN(packet(2, WR_STR("\xfe" NATIVE SALT_2)), packet(4, WR_STR("\1\4"))), NOT_MYSQL },
        { JOIN(OK_AT(2), packet(1, WR_STR("\xfe"))), NOT_MYSQL },
    };

    for (size_t i = 0; i < WR_COUNT(first); i++)
        converse(&wr_check_mysql, &(struct told){
            "weir", "secret", .turns = 1, .turn = { { ANYTHING, first[i].reply } },
            .verdict = first[i].verdict });
    for (size_t i = 0; i < WR_COUNT(then); i++)
        converse(&wr_check_mysql, &(struct told){
            "weir", "secret", .turns = 2,
            .turn = { { ANYTHING, greeting }, { ANYTHING, then[i].reply } },
            .verdict = then[i].verdict });
    drop_texts();
}
END_TEST

UNIT_MAIN("check_mysql", logins, without_user, over_tls, hostile)
