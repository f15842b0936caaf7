/* ClientHello: the facts read from one, however it is split into records, and malformed ones. */
#include "lib/unit.h"

#include "../../modules/stream/client_hello.h"

static struct wr_pool *pool;

static void set_up(void) { pool = wr_pool_new(0); }
static void tear_down(void) { wr_pool_free(pool); }

/* ---- making hellos ---- */

static void number(struct wr_text *t, size_t v, unsigned bytes)
{
    while (bytes-- > 0)
        wr_text_char(t, (char)(v >> 8 * bytes & 0xff));
}

static struct wr_text make(void)
{
    return wr_text_grow(pool, 256, 1 << 20);
}

/* The text with its length in front. */
static struct wr_str sized(unsigned bytes, struct wr_str s)
{
    struct wr_text t = make();

    number(&t, s.n, bytes);
    wr_text_str(&t, s);
    return wr_text_view(&t);
}

static struct wr_str both(struct wr_str a, struct wr_str b)
{
    struct wr_text t = make();

    wr_text_str(&t, a);
    wr_text_str(&t, b);
    return wr_text_view(&t);
}

static struct wr_str ext(unsigned type, struct wr_str data)
{
    struct wr_text t = make();

    number(&t, type, 2);
    wr_text_str(&t, sized(2, data));
    return wr_text_view(&t);
}

static struct wr_str sni(struct wr_str name)
{
    return ext(0, sized(2, both(WR_STR("\0"), sized(2, name))));
}

static struct wr_str versions(struct wr_str list)
{
    return ext(43, sized(1, list));
}

static struct wr_str alpn(struct wr_str list)
{
    return ext(16, sized(2, list));
}

/* tail: all that comes behind the compressions. */
static struct wr_str message(unsigned version, struct wr_str tail)
{
    struct wr_text t = make();

    number(&t, version, 2);
    wr_text_c(&t, "0123456789abcdef0123456789abcdef");
    wr_text_str(&t, sized(1, WR_STR("session")));
    wr_text_str(&t, sized(2, WR_STR("\x13\x01\x13\x02")));
    wr_text_str(&t, sized(1, WR_STR("\0")));
    wr_text_str(&t, tail);
    return both(WR_STR("\x01"), sized(3, wr_text_view(&t)));
}

static struct wr_str record(struct wr_str s)
{
    return both(WR_STR("\x16\x03\x01"), sized(2, s));
}

static struct wr_str records(struct wr_str s, size_t each)
{
    struct wr_text t = make();

    for (; s.n > 0; s = wr_str_skip(s, wr_min(each, s.n)))
        wr_text_str(&t, record(wr_str_of(s.p, wr_min(each, s.n))));
    return wr_text_view(&t);
}

static struct wr_str hello(struct wr_str exts)
{
    return record(message(0x0303, sized(2, exts)));
}

/* ---- what is read ---- */

/* "TLSv1.2|name|alpn", "more" or "not". The bytes are in a block of their own, so that ASan finds a
 * read past their end. */
static struct wr_str result(struct wr_str s)
{
    struct wr_text t = make();
    struct wr_client_hello h = { .version = 9 };
    char *own = malloc(wr_max(s.n, (size_t)1));

    if (s.n > 0)
        memcpy(own, s.p, s.n);
    switch (wr_client_hello_parse(wr_str_of(own, s.n), pool, &h)) {
    case WR_HELLO_MORE:
        wr_text_c(&t, "more");
        ck_assert(h.version == 0 && h.name.n == 0 && h.alpn.n == 0);
        break;
    case WR_HELLO_NOT_TLS:
        wr_text_c(&t, "not");
        ck_assert(h.version == 0 && h.name.n == 0 && h.alpn.n == 0);
        break;
    case WR_HELLO_DONE:
        wr_text_str(&t, wr_client_hello_version(h.version));
        wr_text_c(&t, "|");
        wr_text_str(&t, h.name);
        wr_text_c(&t, "|");
        wr_text_str(&t, h.alpn);
    }
    free(own);
    return wr_text_view(&t);
}

START_TEST(what_it_says)
{
    struct wr_str foo, h2;

    set_up();
    foo = sni(WR_STR("foo.example"));
    h2 = alpn(WR_STR("\2h2\10http/1.1"));
    ck_view(result(record(message(0x0303, WR_STR("")))), "TLSv1.2||");
    ck_view(result(hello(WR_STR(""))), "TLSv1.2||");
    ck_view(result(hello(foo)), "TLSv1.2|foo.example|");
    ck_view(result(hello(h2)), "TLSv1.2||h2,http/1.1");
    ck_view(result(hello(both(ext(0x0a0a, WR_STR("")), both(h2, both(ext(21, WR_STR("....")),
                                                                    foo))))),
            "TLSv1.2|foo.example|h2,http/1.1");
    ck_view(result(both(hello(foo), WR_STR("and more"))), "TLSv1.2|foo.example|");
    ck_view(result(both(record(both(message(0x0303, sized(2, foo)), WR_STR("x"))), WR_STR(""))),
            "TLSv1.2|foo.example|");
    tear_down();
}
END_TEST

START_TEST(protocols)
{
    static const struct { unsigned version; const char *list; size_t n; const char *want; } t[] = {
        { 0x0300, "", 0, "SSLv3||" }, { 0x0301, "", 0, "TLSv1||" }, { 0x0302, "", 0, "TLSv1.1||" },
        { 0x0303, "", 0, "TLSv1.2||" }, { 0x0304, "", 0, "TLSv1.3||" }, { 0x0305, "", 0, "||" },
        { 0x02ff, "", 0, "||" }, { 0x0002, "", 0, "SSLv2||" }, { 0, "", 0, "||" },
        { 0x0303, "\3\4\3\3", 4, "TLSv1.3||" }, { 0x0303, "\3\3\3\4", 4, "TLSv1.3||" },
        { 0x0303, "\x3a\x3a\3\4", 4, "TLSv1.3||" }, { 0x0303, "\x7f\x1c", 2, "TLSv1.3||" },
        { 0x0303, "\3\2\3\1", 4, "TLSv1.1||" }, { 0x0303, "\x3a\x3a", 2, "TLSv1.2||" },
        { 0x0303, "\3\5\3\3", 4, "TLSv1.2||" },
    };

    set_up();
    for (size_t i = 0; i < WR_COUNT(t); i++) {
        struct wr_str list = wr_str_of(t[i].list, t[i].n);
        struct wr_str exts = list.n > 0 ? versions(list) : WR_STR("");

        ck_view(result(record(message(t[i].version, sized(2, exts)))), t[i].want);
    }
    tear_down();
}
END_TEST

START_TEST(ssl2)
{
    set_up();
    ck_view(result(WR_STR("\x80\x1c\1\0\2")), "SSLv2||");
    ck_view(result(WR_STR("\x80\x1c\1\3\1\0\3")), "TLSv1||");
    ck_view(result(WR_STR("\xc0\x1c\1\3\0")), "SSLv3||");
    ck_view(result(WR_STR("\x80\x1c\1\3\3")), "TLSv1.2||");
    ck_view(result(WR_STR("\x80\x1c\1\x09\x09")), "||");
    ck_view(result(WR_STR("\x80\x1c\1\0")), "more");
    ck_view(result(WR_STR("\x80\x1c\1")), "more");
    ck_view(result(WR_STR("\x80\x1c")), "more");
    ck_view(result(WR_STR("\x80")), "more");
    ck_view(result(WR_STR("\x80\x1c\2")), "not");
    ck_view(result(WR_STR("\x40\x1c\0\1\3\1")), "not");
    tear_down();
}
END_TEST

/* ---- names ---- */

START_TEST(host_names)
{
    static const char *const good[] = { "a", "localhost", "FoO.Bar", "foo.", "a-b_c.example",
                                        "127.0.0.1", "xn--bcher-kva.example" };
    static const struct wr_str bad[] = {
        WR_STR_INIT(""), WR_STR_INIT("a\0b"), WR_STR_INIT("\0"), WR_STR_INIT("a b"),
        WR_STR_INIT("unix:/run/x"), WR_STR_INIT("a:80"), WR_STR_INIT("a/b"), WR_STR_INIT("a\nb"),
        WR_STR_INIT(".a"), WR_STR_INIT("a..b"), WR_STR_INIT("."), WR_STR_INIT("a.."),
        WR_STR_INIT("b\xc3\xbc.de"), WR_STR_INIT("$x"), WR_STR_INIT("*.a"), WR_STR_INIT("[::1]"),
        WR_STR_INIT("a\x7f"), WR_STR_INIT("a\"b"),
    };
    char longest[257], want[512];

    set_up();
    for (size_t i = 0; i < WR_COUNT(good); i++) {
        snprintf(want, sizeof(want), "TLSv1.2|%s|", good[i]);
        ck_view(result(hello(sni(wr_str_c(good[i])))), want);
    }
    for (size_t i = 0; i < WR_COUNT(bad); i++)
        ck_view(result(hello(both(sni(bad[i]), alpn(WR_STR("\2h2"))))), "TLSv1.2||h2");
    memset(longest, 'x', sizeof(longest));
    snprintf(want, sizeof(want), "TLSv1.2|%.255s|", longest);
    ck_view(result(hello(sni(wr_str_of(longest, 255)))), want);
    ck_view(result(hello(sni(wr_str_of(longest, 256)))), "TLSv1.2||");
    tear_down();
}
END_TEST

START_TEST(protocol_names)
{
    set_up();
    ck_view(result(hello(alpn(WR_STR("\1a")))), "TLSv1.2||a");
    ck_view(result(hello(alpn(WR_STR("\2\x0a\x0a\2h2")))), "TLSv1.2||h2");
    ck_view(result(hello(alpn(WR_STR("\2h2\2\xfa\xfa\3foo")))), "TLSv1.2||h2,foo");
    ck_view(result(hello(alpn(WR_STR("\3a,b\1c")))), "TLSv1.2||c");
    ck_view(result(hello(alpn(WR_STR("\3a\0b")))), "TLSv1.2||");
    ck_view(result(hello(alpn(WR_STR("\1 ")))), "TLSv1.2||");
    tear_down();
}
END_TEST

/* ---- what is wrong ---- */

/* Malformed tails after the version: the hello then has no names, not even earlier good ones. */
START_TEST(wrong_extensions)
{
    static const struct { unsigned type; struct wr_str data; } bad[] = {
        { 0, WR_STR_INIT("") }, { 0, WR_STR_INIT("\0\0") }, { 0, WR_STR_INIT("\0\7\0\0\3bar") },
        { 0, WR_STR_INIT("\0\5\0\0\3bar") }, { 0, WR_STR_INIT("\0\6\0\0\4bar") },
        { 0, WR_STR_INIT("\0\6\0\0\2bar") }, { 0, WR_STR_INIT("\0\6\0\0\3barZ") },
        { 0, WR_STR_INIT("\0\6\1\0\3bar") }, { 0, WR_STR_INIT("\0\14\0\0\3one\0\0\3two") },
        { 16, WR_STR_INIT("") }, { 16, WR_STR_INIT("\0\0") }, { 16, WR_STR_INIT("\0\2\2h2") },
        { 16, WR_STR_INIT("\0\4\2h2") }, { 16, WR_STR_INIT("\0\3\3h2") },
        { 16, WR_STR_INIT("\0\4\0\2h2") }, { 43, WR_STR_INIT("") }, { 43, WR_STR_INIT("\0") },
        { 43, WR_STR_INIT("\3\x3a\x3a\x3a") }, { 43, WR_STR_INIT("\2\3\4\3") },
        { 43, WR_STR_INIT("\4\3\4") },
    };
    static const struct wr_str cut[] = {
        WR_STR_INIT("\0"), WR_STR_INIT("\0\x23\0"), WR_STR_INIT("\0\x23\0\1"),
        WR_STR_INIT("\0\x23\xff\xff" "abc"),
    };
    struct wr_str name, protocol;

    set_up();
    name = sni(WR_STR("foo"));
    protocol = alpn(WR_STR("\3foo"));
    for (size_t i = 0; i < WR_COUNT(bad); i++)
        ck_view(result(hello(both(bad[i].type == 0 ? protocol : name,
                                  ext(bad[i].type, bad[i].data)))), "TLSv1.2||");
    for (size_t i = 0; i < WR_COUNT(cut); i++)
        ck_view(result(hello(both(name, cut[i]))), "TLSv1.2||");
    ck_view(result(hello(both(name, name))), "TLSv1.2||");
    ck_view(result(hello(both(protocol, both(name, protocol)))), "TLSv1.2||");
    /* From an extension that is cut off the protocol is used, as in nginx, but not the name. */
    ck_view(result(hello(WR_STR("\0\x2b\0\7\2\x7f\x1c"))), "TLSv1.3||");
    ck_view(result(hello(WR_STR("\0\0\0\x20\0\6\0\0\3foo"))), "TLSv1.2||");
    tear_down();
}
END_TEST

START_TEST(wrong_messages)
{
    struct wr_str body;

    set_up();
    body = message(0x0303, sized(2, sni(WR_STR("foo"))));
    ck_view(result(record(both(WR_STR("\2"), wr_str_skip(body, 1)))), "not");
    ck_view(result(record(WR_STR("\1\0\0\0"))), "not");
    ck_view(result(record(both(WR_STR("\1"), sized(3, wr_str_of(body.p + 4, 34))))), "not");
    ck_view(result(record(both(WR_STR("\1"), sized(3, wr_str_of(body.p + 4, body.n - 5))))), "not");
    ck_view(result(record(message(0x0303, WR_STR("\0")))), "not");
    ck_view(result(record(message(0x0303, WR_STR("\0\4\0\5\0")))), "not");
    ck_view(result(record(message(0x0303, WR_STR("\0\4\0\5\0\0z")))), "not");
    tear_down();
}
END_TEST

/* Rejected at the first wrong byte. */
START_TEST(no_records)
{
    static const struct wr_str t[] = {
        WR_STR_INIT("S"), WR_STR_INIT("GET / HTTP/1.1\r\n"), WR_STR_INIT("\0"), WR_STR_INIT("\x15"),
        WR_STR_INIT("\x17\3\3"), WR_STR_INIT("\x16\2"), WR_STR_INIT("\x16\4\1\0\5"),
        WR_STR_INIT("\x16\3\1\x40\1"), WR_STR_INIT("\x16\3\1\xff\xff"),
        WR_STR_INIT("\x16\3\1\0\1\2"),
    };
    struct wr_str body, first;

    set_up();
    for (size_t i = 0; i < WR_COUNT(t); i++)
        ck_view(result(t[i]), "not");
    body = message(0x0303, sized(2, sni(WR_STR("foo"))));
    first = record(wr_str_of(body.p, 20));
    ck_view(result(both(first, WR_STR("\x17"))), "not");
    ck_view(result(both(first, WR_STR("\x16\2"))), "not");
    ck_view(result(both(first, WR_STR("\x16\3\0"))), "more");
    tear_down();
}
END_TEST

/* ---- pieces ---- */

START_TEST(split_over_records)
{
    struct wr_str body, whole;

    set_up();
    body = message(0x0303, sized(2, both(sni(WR_STR("foo.example")),
                                         both(alpn(WR_STR("\2h2")), versions(WR_STR("\3\4"))))));
    for (size_t each = 1; each <= body.n; each++)
        ck_view(result(records(body, each)), "TLSv1.3|foo.example|h2");
    whole = record(body);
    ck_view(result(both(record(WR_STR("")), whole)), "TLSv1.3|foo.example|h2");
    ck_view(result(both(record(wr_str_of(body.p, 50)),
                        both(record(WR_STR("")), record(wr_str_skip(body, 50))))),
            "TLSv1.3|foo.example|h2");
    ck_view(result(both(record(wr_str_of(body.p, 50)),
                        record(both(wr_str_skip(body, 50), WR_STR("behind"))))),
            "TLSv1.3|foo.example|h2");
    tear_down();
}
END_TEST

/* Every proper prefix needs more bytes; only the whole is done. */
START_TEST(truncated)
{
    static const size_t each[] = { 1, 2, 3, 4, 5, 64, 4096 };
    struct wr_str body, exts;

    set_up();
    exts = both(sni(WR_STR("foo.example")), alpn(WR_STR("\2h2\10http/1.1")));
    body = message(0x0303, sized(2, both(exts, ext(21, WR_STR("............")))));
    for (size_t i = 0; i < WR_COUNT(each); i++) {
        struct wr_str s = records(body, each[i]);

        for (size_t n = 0; n < s.n; n++)
            ck_view(result(wr_str_of(s.p, n)), "more");
        ck_view(result(s), "TLSv1.2|foo.example|h2,http/1.1");
    }
    tear_down();
}
END_TEST

/* The message ends early at every length, in a record of that length: a part gives no name. */
START_TEST(shortened)
{
    struct wr_str body;

    set_up();
    body = message(0x0303, sized(2, sni(WR_STR("foo"))));
    for (size_t n = 4; n < body.n; n++) {
        struct wr_str part = both(WR_STR("\1"), sized(3, wr_str_of(body.p + 4, n - 4)));
        /* A record cut where the extensions would begin is a hello without them. */
        bool bare = n == body.n - 14;

        ck_view(result(record(part)), bare ? "TLSv1.2||" : "not");
    }
    tear_down();
}
END_TEST

UNIT_MAIN("client_hello", what_it_says, protocols, ssl2, host_names, protocol_names,
          wrong_extensions, wrong_messages, no_records, split_over_records, truncated, shortened)
