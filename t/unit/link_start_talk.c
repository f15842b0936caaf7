/* Words before TLS to a server begins: answers, cut at every byte, and what is refused. */
#include "lib/unit.h"

#include "link/link.h"

struct row {
    enum wr_start how;
    const char *says[3];         /* of the server, before each answer of ours; NULL: we begin */
    enum wr_start_next end;
};

#define OK220 "220-mx\r\n220 mx ready\r\n"
#define EHLO "250-mx\r\n250-STARTTLS\r\n250 8BITMIME\r\n"

static const struct row table[] = {
    { WR_START_SMTP, { OK220, EHLO, "220 go\r\n" }, WR_START_READY },
    { WR_START_SMTP, { OK220, "250-mx\r\n250 starttls\r\n", "220 go\n" }, WR_START_READY },
    { WR_START_SMTP, { OK220, "250 mx\r\n", NULL }, WR_START_REFUSED },
    { WR_START_SMTP, { "554 no\r\n", NULL, NULL }, WR_START_REFUSED },
    { WR_START_SMTP, { OK220, EHLO, "454 not now\r\n" }, WR_START_REFUSED },
    { WR_START_SMTP, { OK220, EHLO, "220 go\r\n250 more\r\n" }, WR_START_BROKEN },
    { WR_START_SMTP, { "hello\r\n", NULL, NULL }, WR_START_BROKEN },
    { WR_START_IMAP, { "* OK ready\r\n", "* CAPABILITY X\r\nweir OK go\r\n", NULL },
      WR_START_READY },
    { WR_START_IMAP, { "* OK ready\r\n", "weir NO\r\n", NULL }, WR_START_REFUSED },
    { WR_START_IMAP, { "* PREAUTH\r\n", NULL, NULL }, WR_START_REFUSED },
    { WR_START_IMAP, { "* OK ready\r\n", "weir OK\r\n* OK\r\n", NULL }, WR_START_BROKEN },
    { WR_START_IMAP, { "hello\r\n", NULL, NULL }, WR_START_BROKEN },
};

static enum wr_start_next feed(enum wr_start how, struct wr_start_talk *t, struct wr_str says)
{
    enum wr_start_next next = WR_START_MORE;

    for (size_t n = 0; n <= says.n && next == WR_START_MORE; n++) {
        char *own = wr_malloc(n + 1);

        memcpy(own, says.p, n);
        next = wr_start_talk(how, t, wr_str_of(own, n));
        if (n < says.n && says.p[n - (n > 0)] != '\n')
            ck_assert(next == WR_START_MORE || next == WR_START_BROKEN);
        free(own);
    }
    return next;
}

START_TEST(lines)
{
    for (size_t i = 0; i < WR_COUNT(table); i++) {
        struct wr_start_talk t = { 0 };
        enum wr_start_next next = WR_START_MORE;

        for (size_t k = 0; k < 3 && table[i].says[k] != NULL; k++) {
            struct wr_str says = wr_str_c(table[i].says[k]);

            next = table[i].end == WR_START_BROKEN ? wr_start_talk(table[i].how, &t, says)
                                                   : feed(table[i].how, &t, says);
            if (next == WR_START_SENDS)
                ck_assert_uint_eq(t.used, says.n);
        }
        ck_assert_msg(next == table[i].end, "row %zu: %d", i, (int)next);
    }
}
END_TEST

/* We begin; the answer is binary. */
START_TEST(binary)
{
    static const struct {
        enum wr_start how;
        struct wr_str answer;
        enum wr_start_next end;
    } rows[] = {
        { WR_START_PGSQL, WR_STR_INIT("S"), WR_START_READY },
        { WR_START_PGSQL, WR_STR_INIT("N"), WR_START_REFUSED },
        { WR_START_PGSQL, WR_STR_INIT("E"), WR_START_BROKEN },
        { WR_START_PGSQL, WR_STR_INIT("SS"), WR_START_BROKEN },
        { WR_START_LDAP, WR_STR_INIT("\x30\x0c\2\1\1\x78\7\x0a\1\0\4\0\4\0"), WR_START_READY },
        { WR_START_LDAP, WR_STR_INIT("\x30\x84\0\0\0\x0c\2\1\1\x78\7\x0a\1\0\4\0\4\0"),
          WR_START_READY },
        { WR_START_LDAP, WR_STR_INIT("\x30\x0c\2\1\1\x78\7\x0a\1\x34\4\0\4\0"), WR_START_REFUSED },
        { WR_START_LDAP, WR_STR_INIT("\x30\x0c\2\1\2\x78\7\x0a\1\0\4\0\4\0"), WR_START_BROKEN },
        { WR_START_LDAP, WR_STR_INIT("\x30\x0c\2\1\1\x61\7\x0a\1\0\4\0\4\0"), WR_START_BROKEN },
        { WR_START_LDAP, WR_STR_INIT("\x30\x0c\2\1\1\x78\7\x0a\1\0\4\0\4\0x"), WR_START_BROKEN },
        { WR_START_LDAP, WR_STR_INIT("\x30\x83\xff\xff\xff"), WR_START_BROKEN },
        { WR_START_LDAP, WR_STR_INIT("\x30\x00"), WR_START_BROKEN },
        { WR_START_LDAP, WR_STR_INIT("\x15\x03"), WR_START_BROKEN },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_start_talk t = { 0 };
        enum wr_start_next next;

        ck_assert_int_eq(wr_start_talk(rows[i].how, &t, wr_str_of("", 0)), WR_START_SENDS);
        ck_assert_uint_gt(t.out.n, 0);
        for (size_t n = 0; n < rows[i].answer.n && rows[i].end != WR_START_BROKEN; n++)
            ck_assert_int_eq(wr_start_talk(rows[i].how, &t, wr_str_of(rows[i].answer.p, n)),
                             WR_START_MORE);
        next = wr_start_talk(rows[i].how, &t, rows[i].answer);
        ck_assert_msg(next == rows[i].end, "row %zu: %d", i, (int)next);
    }
}
END_TEST

START_TEST(an_answer_has_an_end)
{
    static char many[WR_START_MAX];
    struct wr_start_talk t = { 0 };

    memset(many, '2', sizeof(many));
    ck_assert_int_eq(wr_start_talk(WR_START_SMTP, &t, wr_str_of(many, 100)), WR_START_MORE);
    ck_assert_int_eq(wr_start_talk(WR_START_SMTP, &t, wr_str_of(many, sizeof(many))),
                     WR_START_BROKEN);
}
END_TEST

UNIT_MAIN("link/start_talk", lines, binary, an_answer_has_an_end)
