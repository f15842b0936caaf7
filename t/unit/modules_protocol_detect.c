/* The protocols that protocol_preread tells apart, and how many bytes it needs for that. */
#include "lib/unit.h"

#include "../../modules/stream/protocol_detect.h"

struct row {
    struct wr_str bytes;
    const char *protocol;
    size_t needs;            /* with fewer bytes the answer is "more" */
};

static const struct row table[] = {
    { WR_STR_INIT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "tls", 6 },
    { WR_STR_INIT("\x16\x03\x03\x00\x05\x02"), "other", 6 },
    { WR_STR_INIT("\x16\x02"), "other", 2 },
    { WR_STR_INIT("\x80\x2e\x01\x03\x01"), "tls", 5 },
    { WR_STR_INIT("\x80\x2e\x01\x00\x02"), "tls", 5 },
    { WR_STR_INIT("\x80\x2e\x02"), "other", 3 },
    { WR_STR_INIT("GET / HTTP/1.1\r\n"), "http", 5 },
    { WR_STR_INIT("M-SEARCH * HTTP/1.1\r\n"), "http", 21 },
    { WR_STR_INIT("OPTIONS * HTTP/1.0\n"), "http", 19 },
    { WR_STR_INIT("CONNECT a:443 HTTP/1.1\r\n"), "http", 24 },
    { WR_STR_INIT("GET http://a/ HTTP/1.1\r\n"), "http", 24 },
    { WR_STR_INIT("GET key\r\n"), "other", 9 },
    { WR_STR_INIT("get / HTTP/1.1\r\n"), "other", 1 },
    { WR_STR_INIT("GE / HTTP/1.1\r\n"), "other", 3 },
    { WR_STR_INIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "http2", 24 },
    { WR_STR_INIT("PRI * HTTP/2.0\r\n\r\nSX"), "other", 20 },
    { WR_STR_INIT("SSH-2.0-OpenSSH"), "ssh", 4 },
    { WR_STR_INIT("SSX"), "", 3 },
    { WR_STR_INIT("\0\0\0\x08\x04\xd2\x16\x2f"), "postgres", 8 },     /* SSLRequest */
    { WR_STR_INIT("\0\0\0\x08\x04\xd2\x16\x30"), "postgres", 8 },     /* GSSENCRequest */
    { WR_STR_INIT("\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\1"), "postgres", 8 }, /* CancelRequest */
    { WR_STR_INIT("\0\0\0\x29\0\3\0\0user\0"), "postgres", 6 },
    { WR_STR_INIT("\0\0\0\x07\0\3"), "other", 4 },
    { WR_STR_INIT("\0\0\0\x08\x04\xd2\x16\x31"), "other", 8 },
    { WR_STR_INIT("\0\0\0\x29\0\2"), "other", 6 },
    { WR_STR_INIT("*1\r\n$4\r\nPING\r\n"), "redis", 5 },
    { WR_STR_INIT("PING\r\n"), "redis", 6 },
    { WR_STR_INIT("*x"), "other", 2 },
    { WR_STR_INIT("\3\0\0\x13\x0e\xe0\0\0"), "rdp", 6 },
    { WR_STR_INIT("\3\0\0\x13\x0f\xe0"), "other", 5 },
    { WR_STR_INIT("\x10\x10\0\4MQTT"), "other", 1 },
    { WR_STR_INIT("EHLO a\r\n"), "other", 8 },
    { WR_STR_INIT(""), "", 1 },
};

START_TEST(protocols)
{
    for (size_t i = 0; i < WR_COUNT(table); i++) {
        const struct row *r = &table[i];
        char *own = wr_malloc(r->bytes.n + 1);

        memcpy(own, r->bytes.p, r->bytes.n);
        for (size_t n = 0; n <= r->bytes.n; n++) {
            struct wr_str got = wr_protocol_detect(wr_str_of(own, n));

            ck_assert_msg(wr_str_eq(got, wr_str_c(n < r->needs ? "" : r->protocol)),
                          "row %zu, %zu bytes: \"" WR_FMT "\"", i, n, WR_ARG(got));
        }
        free(own);
    }
}
END_TEST

START_TEST(a_line_has_an_end)
{
    size_t n = 9000;
    char *line = wr_malloc(n);

    memset(line, 'a', n);
    memcpy(line, "GET b", 5);
    ck_view(wr_protocol_detect(wr_str_of(line, 8000)), "");
    ck_view(wr_protocol_detect(wr_str_of(line, n)), "other");
    free(line);
}
END_TEST

UNIT_MAIN("modules/protocol_detect", protocols, a_line_has_an_end)
