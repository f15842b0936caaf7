/* Checks of mail servers and of LDAP servers, and what they say that is not their protocol. */
#include "lib/check_talk.h"

#define ANYTHING ((struct wr_str){ 0 })
#define CLOSES ((struct wr_str){ 0 })
#define EHLO WR_STR("EHLO localhost\r\n")
#define HELO WR_STR("HELO localhost\r\n")
#define QUIT WR_STR("QUIT\r\n")
#define HELLO WR_STR("220 mail.example ESMTP\r\n")
#define NOT_SMTP "the answer is not one of SMTP"
#define NOT_LDAP "the answer is not one of LDAP"
#define UNBIND WR_STR("\x30\5\2\1\2\x42\0")

START_TEST(mail)
{
    const struct told t[] = {
        { .turns = 3,
          .turn = { { WR_STR(""), WR_STR("220-one\r\n220-\r\n220 two\r\n") },
                    { EHLO, WR_STR("250-mail.example\r\n250-SIZE\r\n250 HELP\r\n") },
                    { QUIT, WR_STR("221 bye\r\n") } },
          .verdict = "pass" },
        { .turns = 4,
          .turn = { { WR_STR(""), HELLO }, { EHLO, WR_STR("502 what?\r\n") },
                    { HELO, WR_STR("250\r\n") }, { QUIT, CLOSES } },
          .verdict = "pass" },
        { .turns = 1, .turn = { { ANYTHING, WR_STR("554 no service here.\r\n") } },
          .verdict = "SMTP 554 no service here", .last = QUIT },
        { .turns = 1, .turn = { { ANYTHING, WR_STR("421\n") } }, .verdict = "SMTP 421" },
        { .turns = 2, .turn = { { ANYTHING, HELLO }, { EHLO, WR_STR("421 too busy\r\n") } },
          .verdict = "SMTP 421 too busy", .last = QUIT },
        { .turns = 3,
          .turn = { { ANYTHING, HELLO }, { EHLO, WR_STR("500 what?\r\n") },
                    { HELO, WR_STR("502 what?\r\n") } },
          .verdict = "SMTP 502 what?" },
        { .turns = 1, .turn = { { ANYTHING, CLOSES } },
          .verdict = "the server closed the connection before its greeting" },
        { .turns = 2, .turn = { { ANYTHING, HELLO }, { EHLO, CLOSES } },
          .verdict = "the server closed the connection instead of answering EHLO" },
    };
    static const struct { const char *reply, *verdict; } first[] = {
        { "HTTP/1.1 400 Bad Request\r\n", NOT_SMTP },
        { "22", "more" },
        { "220", "more" },
        { "220 mail", "more" },
        { "220-mail\r\n", "more" },
        { "22\r\n", NOT_SMTP },
        { "\r\n", NOT_SMTP },
        { "220x\r\n", NOT_SMTP },
        { "-220 x\r\n", NOT_SMTP },
        { "220-x\r\nx", NOT_SMTP },
        { "999 \x1b[2J\r\n", "SMTP 999 \\x1b[2J" },
    };
    static char endless[70000];

    for (size_t i = 0; i < WR_COUNT(t); i++)
        converse(&wr_check_smtp, &t[i]);
    for (size_t i = 0; i < WR_COUNT(first); i++)
        converse(&wr_check_smtp, &(struct told){
            .turns = 1, .turn = { { ANYTHING, wr_str_c(first[i].reply) } },
            .verdict = first[i].verdict });
    memset(endless, '2', sizeof(endless));
    tell(&wr_check_smtp, &(struct told){
        .turns = 1, .turn = { { ANYTHING, wr_str_of(endless, sizeof(endless)) } },
        .verdict = "the server sent more than 65536 bytes before its greeting" }, 4096);
    drop_texts();
}
END_TEST

START_TEST(directory)
{
    const struct told t[] = {
        { .turns = 1,
          .turn = { { WR_STR("\x30\x82\0\x12\2\1\1\x60\x82\0\x0b\2\1\3\4\x82\0\0\x80\x82\0\0"),
                      WR_STR("\x30\x0c\2\1\1\x61\7\x0a\1\0\4\0\4\0") } },
          .verdict = "pass", .last = UNBIND },
        { "cn=weir", "secret", .turns = 1,
          .turn = { { WR_STR("\x30\x82\0\x1f\2\1\1\x60\x82\0\x18\2\1\3\4\x82\0\7cn=weir"
                             "\x80\x82\0\6secret"),
                      WR_STR("\x30\x84\0\0\0\x10\2\1\1\x61\x84\0\0\0\7\x0a\1\0\4\0\4\0") } },
          .verdict = "pass", .last = UNBIND },
        { "cn=weir", "wrong", .turns = 1,
          .turn = { { ANYTHING, WR_STR("\x30\x0c\2\1\1\x61\7\x0a\1\x31\4\0\4\0") } },
          .verdict = "LDAP result 49, invalid credentials", .last = UNBIND },
        { .turns = 1,
          .turn = { { ANYTHING, WR_STR("\x30\x22\2\1\1\x61\x1d\x0a\1\x30\4\0\4\x16"
                                       "anonymous bind is not.") } },
          .verdict = "LDAP result 48, inappropriate authentication: anonymous bind is not" },
        { .turns = 1, /* a farewell that nobody asked for */
          .turn = { { ANYTHING, WR_STR("\x30\x0f\2\1\0\x78\x0a\x0a\1\x34\4\0\4\3off") } },
          .verdict = "LDAP result 52, unavailable: off", .last = UNBIND },
        { .turns = 1,
          .turn = { { ANYTHING, WR_STR("\x30\x0d\2\1\1\x61\x08\x0a\2\x10\0\4\0\4\0") } },
          .verdict = "LDAP result 4096" },
        { .turns = 1, .turn = { { ANYTHING, CLOSES } },
          .verdict = "the server closed the connection while binding" },
    };
    const struct { struct wr_str reply; const char *verdict; } first[] = {
        { WR_STR("HTTP/1.1 400 Bad Request\r\n"), NOT_LDAP },
        { WR_STR("\x30"), "more" },
        { WR_STR("\x30\x0c\2\1\1\x61\7\x0a\1\0\4\0\4"), "more" },
        { WR_STR("\x30\x80"), NOT_LDAP },
        { WR_STR("\x30\x85\0\0\0\0\1"), NOT_LDAP },
        { WR_STR("\x30\x84\xff\xff\xff\xff"), NOT_LDAP },
        { WR_STR("\x30\0"), NOT_LDAP },
        { WR_STR("\x30\3\2\1\1"), NOT_LDAP },
        { WR_STR("\x30\x0c\2\1\2\x61\7\x0a\1\0\4\0\4\0"), NOT_LDAP },      /* of another request */
        { WR_STR("\x30\x0c\2\1\1\x65\7\x0a\1\0\4\0\4\0"), NOT_LDAP },      /* of a search */
        { WR_STR("\x30\x0c\2\1\1\x61\x07\x0a\1\0\4\0\4\1"), NOT_LDAP },    /* reaches outside */
        { WR_STR("\x30\x0c\2\1\1\x61\x08\x0a\1\0\4\0\4\0"), NOT_LDAP },
        { WR_STR("\x30\x0c\2\1\1\x61\7\x0a\0\0\4\0\4\0"), NOT_LDAP },
        { WR_STR("\x30\x0e\2\1\1\x61\x09\x0a\5\0\0\0\0\0\4\0"), NOT_LDAP },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++)
        converse(&wr_check_ldap, &t[i]);
    for (size_t i = 0; i < WR_COUNT(first); i++)
        converse(&wr_check_ldap, &(struct told){
            .turns = 1, .turn = { { ANYTHING, first[i].reply } }, .verdict = first[i].verdict });
    drop_texts();
}
END_TEST

UNIT_MAIN("check_smtp_ldap", mail, directory)
