/* Checks of PostgreSQL: ways of logging in, roles, servers that are not ready, hostile bytes. */
#include "lib/check_talk.h"

#include "../../modules/shared/health/scram.h"

#include <openssl/hmac.h>

#define STARTUP_WEIR \
    WR_STR("\0\0\0\x3b\0\3\0\0user\0weir\0database\0postgres\0application_name\0weir\0\0")
#define QUIT WR_STR("X\0\0\0\4")
#define QUERY WR_STR("Q\0\0\0\x2aSELECT pg_catalog.pg_is_in_recovery()\0")
#define READY msg('Z', WR_STR("I"))
#define LOGIN_OK msg('R', WR_STR("\0\0\0\0"))
#define ROW(c) msg('D', WR_STR("\0\1\0\0\0\1" c))
#define SCRAM msg('R', WR_STR("\0\0\0\nSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"))
#define IN_CLEAR                                                                    \
    "the server asks for the password itself, which is sent over TLS only: set proxy_ssl on, or " \
    "let the server use scram-sha-256"
#define NONCE "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define SCRAM_FIRST msg('p', WR_STR("SCRAM-SHA-256\0\0\0\0\x28n,,n=,r=" NONCE))
#define CONTINUE(text) msg('R', WR_STR("\0\0\0\x0b" text))
#define PROOF msg('p', WR_STR("c=biws,r=" NONCE "server-nonce,p=" \
                              "XdEgRzQCdFhv9kAyDSW1ITpve66m+AxO1py7xGz9ZEM="))
#define SALTED "r=" NONCE "server-nonce,s=MDEyMzQ1Njc4OWFiY2RlZg==,"
#define FINAL(v) msg('R', WR_STR("\0\0\0\x0cv=" v))
#define SIGNED FINAL("GO3RxKXcgBKZIt+ssDIFtu4lH8ddg0R9LZtM68QIwDU=")
#define NO_PROOF "the server does not prove that it has the password"
#define NOT_PG "the answer is not one of PostgreSQL"
#define ANYTHING ((struct wr_str){ 0 })
#define CLOSES ((struct wr_str){ 0 })

#define X40 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static struct wr_str msg(char type, struct wr_str body)
{
    struct wr_text t = wr_text_grow(texts(), 64, 1 << 20);

    wr_text_char(&t, type);
    for (int i = 3; i >= 0; i--)
        wr_text_char(&t, (char)((body.n + 4) >> 8 * i & 0xff));
    wr_text_str(&t, body);
    return wr_text_view(&t);
}

static struct wr_str error(const char *code, const char *text)
{
    return msg('E', JOIN(WR_STR("SFATAL\0VFATAL\0C"), wr_str_c(code), WR_STR("\0M"), wr_str_c(text),
                         WR_STR("\0Fx.c\0\0")));
}

static struct wr_str session(void)
{
    return JOIN(LOGIN_OK, msg('S', WR_STR("in_hot_standby\0off\0")),
                msg('N', WR_STR("SNOTICE\0\0")), msg('K', WR_STR("12345678")), READY);
}

/* The server's answer to a query. */
static struct wr_str answer(struct wr_str row)
{
    return JOIN(msg('T', WR_STR("\0\1pg_is_in_recovery\0..................")), row,
                msg('C', WR_STR("SELECT 1\0")), READY);
}

START_TEST(without_user)
{
    const struct told t[] = {
        { .turns = 1, .turn = { { STARTUP_WEIR, msg('R', WR_STR("\0\0\0\5salt")) } },
          .verdict = "pass: answers", .last = WR_STR("") },
        { .turns = 1, .turn = { { ANYTHING, SCRAM } }, .verdict = "pass", .last = WR_STR("") },
        { .turns = 1, .turn = { { ANYTHING, LOGIN_OK } }, .verdict = "pass", .last = QUIT },
        { .turns = 1, .turn = { { ANYTHING, error("28000", "role \"weir\" does not exist") } },
          .verdict = "pass" },
        { .turns = 1, .turn = { { ANYTHING, error("3D000", "no such database") } },
          .verdict = "pass" },
        { .turns = 1,
          .turn = { { ANYTHING, error("57P03", "the database system is starting up") } },
          .verdict = "the database system is starting up" },
        { .turns = 1, .turn = { { ANYTHING, error("53300", "sorry, too many clients already") } },
          .verdict = "sorry, too many clients already" },
        { .turns = 1, .turn = { { ANYTHING, CLOSES } },
          .verdict = "the server closed the connection while logging in" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++)
        converse(&wr_check_pgsql, &t[i]);
    drop_texts();
}
END_TEST

START_TEST(logins)
{
    const struct told t[] = {
        { "weir", NULL, .turns = 1, .turn = { { STARTUP_WEIR, session() } },
          .verdict = "pass: logged in",
          .last = QUIT },
        { "weir", NULL, .database = "db", .turns = 1,
          .turn = { { WR_STR("\0\0\0\x35\0\3\0\0user\0weir\0database\0db\0"
                             "application_name\0weir\0\0"), error("3D000", "no db") } },
          .verdict = "no db" },
        { "weir", "secret", .turns = 1, .turn = { { ANYTHING, msg('R', WR_STR("\0\0\0\3")) } },
          .verdict = IN_CLEAR, .last = WR_STR("") },
        { "weir", "secret", .turns = 2,
          .turn = { { ANYTHING, msg('R', WR_STR("\0\0\0\5salt")) },
                    { msg('p', WR_STR("md5047c161fa3f204bd79ff971892f19158\0")), session() } },
          .verdict = "pass", .last = QUIT },
        { "weir", "wrong", .turns = 2,
          .turn = { { ANYTHING, msg('R', WR_STR("\0\0\0\5salt")) },
                    { ANYTHING, error("28P01", "password authentication failed for user "
                                             "\"weir\"") } },
          .verdict = "password authentication failed for user \"weir\"", .last = WR_STR("") },
        { "weir", NULL, .turns = 1, .turn = { { ANYTHING, msg('R', WR_STR("\0\0\0\5salt")) } },
          .verdict = "the server asks for a password, and there is no password_file" },
        { "weir", "secret", .turns = 1, .turn = { { ANYTHING, msg('R', WR_STR("\0\0\0\7")) } },
          .verdict = "the server asks for a way of logging in that is not password, md5 or "
                     "SCRAM-SHA-256" },
        { "weir", "secret", .turns = 2,
          .turn = { { ANYTHING, msg('R', WR_STR("\0\0\0\5salt")) },
                    { ANYTHING, msg('R', WR_STR("\0\0\0\3")) } },
          .verdict = NOT_PG },
        { "weir", "secret", .turns = 1, .turn = { { ANYTHING, msg('R', WR_STR("\0\0\0\5sal")) } },
          .verdict = NOT_PG },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++)
        converse(&wr_check_pgsql, &t[i]);
    drop_texts();
}
END_TEST

START_TEST(scram)
{
    const struct told t[] = {
        { "weir", "secret", .turns = 3,
          .turn = { { STARTUP_WEIR, SCRAM }, { SCRAM_FIRST, CONTINUE(SALTED "i=4096") },
                    { PROOF, JOIN(SIGNED, session()) } },
          .verdict = "pass", .last = QUIT },
        { "weir", "secret", .turns = 3,
          .turn = { { ANYTHING, SCRAM }, { ANYTHING, CONTINUE(SALTED "i=4096") },
                    { PROOF, FINAL("HO3RxKXcgBKZIt+ssDIFtu4lH8ddg0R9LZtM68QIwDU=") } },
          .verdict = NO_PROOF },
        { "weir", "secret", .turns = 3, /* logs in without a proof */
          .turn = { { ANYTHING, SCRAM }, { ANYTHING, CONTINUE(SALTED "i=4096") },
                    { PROOF, session() } },
          .verdict = NO_PROOF },
        { "weir", "secret", .turns = 2, .turn = { { ANYTHING, SCRAM }, { ANYTHING, session() } },
          .verdict = NO_PROOF },
        { "weir", "secret", .turns = 2, /* a proof before it was asked for */
          .turn = { { ANYTHING, SCRAM }, { ANYTHING, SIGNED } }, .verdict = NO_PROOF },
        { "weir", "secret", .turns = 2,
          .turn = { { ANYTHING, SCRAM }, { ANYTHING, CONTINUE(SALTED "i=100001") } },
          .verdict = "the server asks for more than 100000 iterations of SCRAM-SHA-256" },
        { "weir", "secret", .turns = 2,
          .turn = { { ANYTHING, SCRAM }, { ANYTHING, CONTINUE(SALTED "i=99999999999999999999") } },
          .verdict = "the server's message of SCRAM-SHA-256 is malformed" },
        { "weir", "secret", .turns = 1,
          .turn = { { ANYTHING, msg('R', WR_STR("\0\0\0\nSCRAM-SHA-1\0\0")) } },
          .verdict = "the server does not offer SCRAM-SHA-256" },
        { "weir", "secret", .turns = 1, .turn = { { ANYTHING, msg('R', WR_STR("\0\0\0\n")) } },
          .verdict = "the server does not offer SCRAM-SHA-256" },
        { "weir", "secret", .turns = 1, .turn = { { ANYTHING, CONTINUE(SALTED "i=4096") } },
          .verdict = NOT_PG },
    };
    static const char *const malformed[] = {
        "", "r=", "r=" NONCE, SALTED, SALTED "i=", SALTED "i=0", SALTED "i=-1", SALTED "i=x",
        "r=" NONCE ",s=MDEy,i=4096",                   /* no nonce of the server */
        "r=BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAx,s=MDEy,i=4096",
        "r=" NONCE "x,s=MDE,i=4096", "r=" NONCE "x,s=,i=4096", "r=" NONCE "x,s=====,i=4096",
        "r=" NONCE "x,s=M=Ey,i=4096", "m=ext,r=" NONCE "x,s=MDEy,i=4096",
    };
    struct wr_scram s;
    char buf[4096], long_salt[1200];
    struct wr_text out;

    for (size_t i = 0; i < WR_COUNT(t); i++)
        converse(&wr_check_pgsql, &t[i]);
    for (size_t i = 0; i < WR_COUNT(malformed); i++) {
        out = wr_text_on(buf, sizeof(buf));
        wr_scram_begin(&s, (const unsigned char[24]){ 0 }, 24, &out);
        ck_view(wr_text_view(&out), "n,,n=,r=" NONCE);
        ck_assert_int_eq(wr_scram_prove(&s, WR_STR("x"), wr_str_c(malformed[i]), &out),
                         WR_SCRAM_MALFORMED);
    }
    memset(long_salt, 'A', sizeof(long_salt));
    for (size_t n = 100; n < sizeof(long_salt); n += 4) {
        struct wr_str first = JOIN(WR_STR("r=" NONCE "x,s="), wr_str_of(long_salt, n),
                                   WR_STR(",i=1"));
        bool fits = n <= 128 / 3 * 4; /* 128 bytes of salt */

        ck_assert_int_eq(wr_scram_prove(&s, WR_STR("x"), first, &out),
                         fits ? WR_SCRAM_OK : WR_SCRAM_MALFORMED);
    }
    drop_texts();
}
END_TEST

/* A server may ask for many iterations, and for others each time: they are made in several turns,
 * with the result that OpenSSL has for all of them at once. */
START_TEST(scram_takes_turns)
{
    static const struct { const char *iterations; int n; unsigned turns; } t[] = {
        { ",i=1", 1, 1 }, { ",i=2", 2, 1 }, { ",i=4096", 4096, 1 }, { ",i=4097", 4097, 2 },
        { ",i=10000", 10000, 3 }, { ",i=10000", 10000, 1 }, /* remembered */
    };

    for (size_t i = 0; i < WR_COUNT(t); i++) {
        struct wr_str first = JOIN(WR_STR("r=" NONCE "x,s=MDEy"), wr_str_c(t[i].iterations));
        struct wr_str all = JOIN(WR_STR("n=,r=" NONCE ","), first, WR_STR(",c=biws,r=" NONCE "x"));
        unsigned char salted[32], key[32], server[32];
        char buf[512];
        struct wr_text out = wr_text_on(buf, sizeof(buf));
        struct wr_scram s = { .nonce_n = 0 };
        enum wr_scram_result r = WR_SCRAM_MORE;
        unsigned turns = 0;

        wr_scram_begin(&s, (const unsigned char[24]){ 0 }, 24, &out);
        for (; r == WR_SCRAM_MORE; turns++)
            r = wr_scram_prove(&s, WR_STR("secret"), first, &out);
        ck_assert_int_eq(r, WR_SCRAM_OK);
        ck_assert_uint_eq(turns, t[i].turns);
        ck_assert_int_eq(PKCS5_PBKDF2_HMAC("secret", 6, (const unsigned char *)"012", 3, t[i].n,
                                           EVP_sha256(), 32, salted), 1);
        ck_assert(HMAC(EVP_sha256(), salted, 32, (const unsigned char *)"Server Key", 10, key, NULL)
                  && HMAC(EVP_sha256(), key, 32, (const unsigned char *)all.p, all.n, server,
                          NULL));
        ck_assert_mem_eq(s.server, server, 32);
        drop_texts();
    }
}
END_TEST

START_TEST(role_asked_for)
{
    const struct { uint32_t role; struct wr_str row; const char *verdict; } t[] = {
        { 1, ROW("f"), "pass: role is primary" },
        { 2, ROW("t"), "pass" },
        { 1, ROW("t"), "role is standby, primary wanted" },
        { 2, ROW("f"), "role is primary, standby wanted" },
        { 1, WR_STR(""), "the server does not tell its role" },
        { 1, ROW("x"), NOT_PG },
        { 1, msg('D', WR_STR("\0\1\xff\xff\xff\xff")), NOT_PG },
        { 1, msg('D', WR_STR("\0\1\0\0\0\1")), NOT_PG },
        { 1, msg('D', WR_STR("\0\2\0\0\0\1t\0\0\0\1t")), NOT_PG },
        { 1, error("42501", "permission denied for function pg_is_in_recovery"),
          "permission denied for function pg_is_in_recovery" },
    };

    for (size_t i = 0; i < WR_COUNT(t); i++) {
        struct told c = { "weir", NULL, .role = t[i].role, .turns = 2,
                          .turn = { { ANYTHING, session() }, { QUERY, answer(t[i].row) } },
                          .verdict = t[i].verdict };

        converse(&wr_check_pgsql, &c);
    }
    drop_texts();
}
END_TEST

START_TEST(over_tls)
{
    const struct wr_str request = WR_STR("\0\0\0\x08\x04\xd2\x16\x2f");
    const struct told t[] = {
        { "weir", NULL, .tls = true, .turns = 2,
          .turn = { { request, WR_STR("S") }, { STARTUP_WEIR, session() } },
          .verdict = "pass", .last = QUIT },
        { "weir", "secret", .tls = true, .turns = 3,
          .turn = { { request, WR_STR("S") }, { STARTUP_WEIR, msg('R', WR_STR("\0\0\0\3")) },
                    { msg('p', WR_STR("secret\0")), session() } },
          .verdict = "pass", .last = QUIT },
        { .tls = true, .turns = 1, .turn = { { request, WR_STR("N") } },
          .verdict = "the server does not accept SSL, and proxy_ssl is on" },
        { .tls = true, .turns = 1, .turn = { { request, WR_STR("E") } }, .verdict = NOT_PG },
        { .tls = true, .turns = 1, .turn = { { request, CLOSES } },
          .verdict = "the server closed the connection instead of answering whether it has SSL" },
    };
    const struct told stuffed = { .tls = true, .turns = 1,
                                  .turn = { { request, WR_STR("SR\0\0\0\x08\0\0\0\0") } },
                                  .verdict = NOT_PG };

    for (size_t i = 0; i < WR_COUNT(t); i++)
        converse(&wr_check_pgsql, &t[i]);
    tell(&wr_check_pgsql, &stuffed, 100); /* bytes in the clear behind the answer */
    drop_texts();
}
END_TEST

START_TEST(hostile)
{
    char endless[70000];
    const struct { struct wr_str reply; const char *verdict; } t[] = {
        { WR_STR("HTTP/1.1 400 Bad Request\r\n\r\n"), NOT_PG },
        { WR_STR("R\0\0\0\3"), NOT_PG },
        { WR_STR("R\0\0\0\0"), NOT_PG },
        { WR_STR("R\xff\xff\xff\xff"), NOT_PG },
        { WR_STR("R\0\0\0\4"), NOT_PG },
        { WR_STR("E\0\0\0\4"), "an error without a message" },
        { WR_STR("E\0\0\0\6MM"), "M" },
        { WR_STR("E\0\0\0\x0bMa\n\"\xff. ."), "a\\x0a\"\\xff" },
        { WR_STR("?\0\0\0\4"), NOT_PG },
        { WR_STR("Z\0\0\0\5I"), NOT_PG },
        { WR_STR("D\0\0\0\x0b\0\1\0\0\0\1t"), NOT_PG },
    };
    char long_error[4000];

    memset(endless, 0, sizeof(endless));
    memcpy(endless, "N\0\0\xff\xff", 5);
    for (size_t i = 0; i < WR_COUNT(t); i++) {
        struct told c = { "weir", "secret", .turns = 1, .turn = { { ANYTHING, t[i].reply } },
                          .verdict = t[i].verdict };

        converse(&wr_check_pgsql, &c);
    }
    tell(&wr_check_pgsql, &(struct told){
        "weir", NULL, .turns = 1, .turn = { { ANYTHING, wr_str_of(endless, sizeof(endless)) } },
        .verdict = "the server sent more than 65536 bytes while logging in",
    }, 4096);
    memset(long_error, 'x', sizeof(long_error));
    long_error[0] = 'M';
    tell(&wr_check_pgsql, &(struct told){
        "weir", NULL, .turns = 1,
        .turn = { { ANYTHING, msg('E', wr_str_of(long_error, sizeof(long_error))) } },
        .verdict = X40 X40 X40 X40,
    }, 4096);
    drop_texts();
}
END_TEST

UNIT_MAIN("check_pgsql", without_user, logins, scram, scram_takes_turns,
          role_asked_for, over_tls, hostile)
