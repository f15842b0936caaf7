/* Paths, escapes and hosts. The rows were compared with nginx's results. */
#include "message/message.h"
#include "lib/unit.h"

static void normalize(const char *in, bool merge, const char *path, const char *args)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_request r = { 0 };
    size_t n = strlen(in);
    char *copy = malloc(n + 1);
    bool ok;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, in, n);
    ok = wr_uri_normalize(pool, wr_str_of(copy, n), merge, &r);
    ck_assert_msg(ok == (path != NULL), "%s", in);
    if (ok) {
        ck_view(r.uri, path);
        ck_assert_msg((r.args.p != NULL) == (args != NULL), "%s", in);
        ck_view(r.args, args != NULL ? args : "");
    }
    free(copy);
    wr_pool_free(pool);
}

START_TEST(normalizes)
{
    static const struct {
        const char *in, *path, *args, *unmerged; /* unmerged NULL: as path */
    } rows[] = {
        { "/", "/", NULL, NULL },
        { "/a/b.c/", "/a/b.c/", NULL, NULL },
        { "/a?b?c", "/a", "b?c", NULL },
        { "/?", "/", "", NULL },
        { "/a?b/../c//d%zz", "/a", "b/../c//d%zz", NULL },
        { "/a/../b", "/b", NULL, NULL },
        { "/a/..", "/", NULL, NULL },
        { "/a/.", "/a/", NULL, NULL },
        { "/.", "/", NULL, NULL },
        { "/a/./b", "/a/b", NULL, NULL },
        { "/a//b", "/a/b", NULL, "/a//b" },
        { "//a", "/a", NULL, "//a" },
        { "/a///", "/a/", NULL, "/a///" },
        { "/a/%2e%2e/b", "/b", NULL, NULL },
        { "/a/%2E/b", "/a/b", NULL, NULL },
        { "/a%2fb", "/a/b", NULL, NULL },
        { "/a%2f%2Fb", "/a/b", NULL, "/a//b" },
        { "/a/..%2fb", "/b", NULL, NULL },
        { "/a%2F..", "/", NULL, NULL },
        { "/%2f%2f", "/", NULL, "///" },
        { "/a%20b?c%20d", "/a b", "c%20d", NULL },
        { "/%23x", "/#x", NULL, NULL },
        { "/%3Fx", "/?x", NULL, NULL },
        { "/%253F", "/%3F", NULL, NULL },
        { "/a/...", "/a/...", NULL, NULL },
        { "/a/..b", "/a/..b", NULL, NULL },
        { "/a/.b", "/a/.b", NULL, NULL },
        { "/a../b./c", "/a../b./c", NULL, NULL },
        { "/a/b/../..", "/", NULL, NULL },
        { "/a;b/..;/c", "/a;b/..;/c", NULL, NULL },
        { "/a\\..\\b", "/a\\..\\b", NULL, NULL },
        { "/a/..?x", "/", "x", NULL },
        { "/a+b", "/a+b", NULL, NULL },
        { "/%E4\xff", "/\xe4\xff", NULL, NULL },
        { "/a/b//../c", "/a/c", NULL, "/a/b/c" },
        { "/a/%0a", "/a/\n", NULL, NULL },
        { "/a%2e", "/a.", NULL, NULL },
        { "*", "*", NULL, NULL },
    };
    static const char *const bad[] = {
        "", "a", "?a", "**", "/../a", "/..", "/a/b/../../..", "/%2e%2e", "/./..", "/%2e./a",
        "/a/../..", "/%00", "/a%00b", "/%zz", "/%", "/%2", "/%2?1", "/a%g0", "/%-1",
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        normalize(rows[i].in, true, rows[i].path, rows[i].args);
        normalize(rows[i].in, false, rows[i].unmerged != NULL ? rows[i].unmerged : rows[i].path,
                  rows[i].args);
    }
    for (size_t i = 0; i < WR_COUNT(bad); i++) {
        normalize(bad[i], true, NULL, NULL);
        normalize(bad[i], false, NULL, NULL);
    }
    normalize("//../a", true, NULL, NULL);
    normalize("//../a", false, "/a", NULL);
    normalize("///..", false, "//", NULL);
}
END_TEST

START_TEST(says_what_it_changed)
{
    static const struct {
        const char *in;
        bool quoted, complex, copied;
    } rows[] = {
        { "/a/b?c%20", false, false, false }, { "/a%20", true, false, true },
        { "/a//b", false, true, true },       { "/a/.b", false, false, true },
        { "/a/./b%20", true, true, true },    { "*", false, false, false },
    };
    struct wr_pool *pool = wr_pool_new(0);

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_request r = { .quoted = true, .complex = true, .args = WR_STR("old") };

        ck_assert(wr_uri_normalize(pool, wr_str_c(rows[i].in), true, &r));
        ck_assert_msg(r.quoted == rows[i].quoted && r.complex == rows[i].complex, "%s", rows[i].in);
        ck_assert_msg((r.uri.p != rows[i].in) == rows[i].copied, "%s", rows[i].in);
    }
    wr_pool_free(pool);
}
END_TEST

/* The printable characters that are escaped; a space and all control characters always are. */
START_TEST(escapes)
{
    static const struct {
        enum wr_escape_kind kind;
        const char *chars;
        bool high;             /* 0x7f and above too */
    } rows[] = {
        { WR_ESC_URI, "\"#%<>?\\^`{|}", true },
        { WR_ESC_ARGS, "\"#%&+;<>?\\^`{|}", true },
        { WR_ESC_COMPONENT, "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}", true },
        { WR_ESC_REFRESH, "\"%'", true },
        { WR_ESC_MEMCACHED, "%", false },
    };
    struct wr_pool *pool = wr_pool_new(0);

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        for (unsigned c = 0; c < 256; c++) {
            struct wr_text t = wr_text_grow(pool, 8, 100);
            char in[3] = { 'a', (char)c, 'b' }, out[8];
            bool want = c <= ' ' || (c >= 0x7f ? rows[i].high : strchr(rows[i].chars, (int)c) != 0);

            wr_uri_escape(&t, wr_str_of(in, 3), rows[i].kind);
            snprintf(out, sizeof(out), want ? "a%%%02Xb" : "a%cb", c);
            ck_view(wr_text_view(&t), out);
            ck_assert(wr_str_eq(wr_uri_unescape(pool, wr_text_view(&t)), wr_str_of(in, 3))
                      || (c == '%' && !want));
        }
    }
    wr_pool_free(pool);
}
END_TEST

START_TEST(unescapes)
{
    static const char *const rows[][2] = {
        { "", "" }, { "a+b", "a+b" }, { "%41%62c", "Abc" }, { "%2", "%2" }, { "a%", "a%" },
        { "%zz%41%", "%zzA%" }, { "%2541", "%41" }, { "%%41", "%A" }, { "%4%41", "%4A" },
    };
    struct wr_pool *pool = wr_pool_new(0);

    for (size_t i = 0; i < WR_COUNT(rows); i++)
        ck_view(wr_uri_unescape(pool, wr_str_c(rows[i][0])), rows[i][1]);
    wr_pool_free(pool);
}
END_TEST

START_TEST(reads_hosts)
{
    static const struct {
        const char *in, *name;
        unsigned port;
    } rows[] = {
        { "a", "a", 0 }, { "A.Example.COM:8080", "a.example.com", 8080 }, { "a.b.", "a.b", 0 },
        { "a.:80", "a", 80 }, { "a:", "a", 0 }, { "a_b-1~%20", "a_b-1~%20", 0 },
        { "127.0.0.1:1", "127.0.0.1", 1 }, { "[::1]", "[::1]", 0 },
        { "[2001:DB8::A]:65535", "[2001:db8::a]", 65535 }, { "a:00080", "a", 80 },
        { "[::1]:", "[::1]", 0 },    { "[v1.x]", "[v1.x]", 0 },
        { "[VaF.Fe80::A+1~,(x)]:80", "[vaf.fe80::a+1~,(x)]", 80 },
    };
    static const char *const bad[] = {
        "", ".", "..", "a..b", ".a", "a..", ":80", "a:x", "a:80:80", "a:65536", "a:0", "a:123456",
        "a: 80", "a b", "a/b", "a?b", "a#b", "a\\b", "u@a", "a\tb", "\x01", "a\x7f", "\xe4", "a|b",
        "a\"b", "a<b", "[", "[]", "[::1", "[x]", "[::1]x", "[::1].", "[::1]a:80", "a]", "::1",
        "[1.2.3.4]", "a[::1]", "[v.x]", "[v1]", "[v1.]", "[v1x]", "[vg.x]", "[v1.a%20]", "[v1.a/b]",
        "[v1.[x]", "[v1.x", "[v1.a@b]", "[v1. ]",
    };
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_str name;
    uint16_t port;

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        ck_assert_msg(wr_host_parse(pool, wr_str_c(rows[i].in), &name, &port), "%s", rows[i].in);
        ck_view(name, rows[i].name);
        ck_assert_uint_eq(port, rows[i].port);
    }
    for (size_t i = 0; i < WR_COUNT(bad); i++)
        ck_assert_msg(!wr_host_parse(pool, wr_str_c(bad[i]), &name, &port), "%s", bad[i]);
    ck_assert(!wr_host_parse(pool, wr_str_of("a\0b", 3), &name, &port));
    wr_pool_free(pool);
}
END_TEST

UNIT_MAIN("message/uri", normalizes, says_what_it_changed, escapes, unescapes, reads_hosts)
