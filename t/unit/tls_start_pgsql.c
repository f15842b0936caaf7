/* The first bytes of a client of PostgreSQL, where TLS is wanted. */
#include "lib/unit.h"

#include "tls/tls_impl.h"

#define SSL_REQUEST "\0\0\0\x08\x04\xd2\x16\x2f"
#define GSS_REQUEST "\0\0\0\x08\x04\xd2\x16\x30"
#define CANCEL "\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\1\0\0\0\2"
#define STARTUP "\0\0\0\x13\0\3\0\0user\0abc\0\0"

static const struct {
    struct wr_str bytes;
    enum wr_pgsql_first what;
    size_t needs;            /* with fewer bytes the answer is MORE */
} table[] = {
    { WR_STR_INIT(SSL_REQUEST), WR_PGSQL_SSL, 8 },
    { WR_STR_INIT(SSL_REQUEST "x"), WR_PGSQL_BAD, 9 },
    { WR_STR_INIT(GSS_REQUEST), WR_PGSQL_GSS, 8 },
    { WR_STR_INIT(GSS_REQUEST SSL_REQUEST), WR_PGSQL_BAD, 16 },
    { WR_STR_INIT(CANCEL), WR_PGSQL_CANCEL, 16 },
    { WR_STR_INIT(CANCEL "x"), WR_PGSQL_BAD, 17 },
    { WR_STR_INIT("\x16\x03\x01"), WR_PGSQL_TLS, 1 },
    { WR_STR_INIT(STARTUP), WR_PGSQL_PLAIN, 8 },
    { WR_STR_INIT("GET / HTTP/1.0\r\n"), WR_PGSQL_PLAIN, 8 },
    { WR_STR_INIT(""), WR_PGSQL_MORE, 0 },
};

START_TEST(first_bytes)
{
    for (size_t i = 0; i < WR_COUNT(table); i++) {
        size_t whole = table[i].bytes.n;

        for (size_t n = 0; n <= whole; n++) {
            char *own = wr_malloc(n + 1);
            enum wr_pgsql_first got;

            memcpy(own, table[i].bytes.p, n);
            got = wr_pgsql_first(wr_str_of(own, n));
            if (n == whole)
                ck_assert_msg(got == table[i].what, "row %zu: %d", i, (int)got);
            else if (n < table[i].needs && table[i].what != WR_PGSQL_BAD)
                ck_assert_int_eq(got, WR_PGSQL_MORE);
            free(own);
        }
    }
}
END_TEST

UNIT_MAIN("tls/start_pgsql", first_bytes)
