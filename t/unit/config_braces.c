/* braces: which brace is missing or one too many, by the indentation. */
#define WR_FAKE_MODULES
#include "lib/config_fake.h"
#include "config/config_impl.h"

struct row {
    const char *text, *fixes; /* "close 4:2 drop 5:1 open 2:1 " */
};

static const struct row rows[] = {
    { "", "" },
    { "a {\n b;\n}\n", "" },
    { "a {\nb {\n}\n}\n", "" },
    /* a "}" is missing */
    { "a {\n b {\n  c;\n b {\n  c;\n }\n}\n", "close 4:2 " },
    { "a {\n\tb {\n\t\tc;\n\tb {\n\t\tc;\n\t}\n}\n", "close 4:2 " },
    { "a {\n    b {\n\tc;\n    b {\n\tc;\n    }\n}\n", "close 4:5 " }, /* tabs of eight */
    { "a {\n b {\n  c;\n}\nd;\n", "close 4:1 " },
    { "a {\n b {\n  c {\n   d;\n b {\n }\n}\n", "close 5:2 close 5:2 " },
    { "a {\n b {\n  c;\n d x\n  y;\n}\n", "close 4:2 " },
    { "a {\n b {\n  c;\n }\n", "" },                 /* the last one: tree.c reports it */
    { "a {\n b\n {\n  c;\n b\n {\n  c;\n }\n}\n", "close 5:2 " },
    { "a {\n b { c;\n b { c; }\n}\n", "close 3:2 " },
    /* one is too many */
    { "a {\n b {\n }\n }\n c;\n}\n", "drop 4:2 " },
    { "a {\n b {\n }\n}\n}\n", "drop 5:1 " },
    { "}\na {\n}\n", "drop 1:1 " },
    { "a { b; } }", "drop 1:10 " },
    { "a {\n b {\n  c; }\n  d {\n  }\n }\n}\n", "drop 6:2 " },
    /* one is missing, one too many */
    { "a {\n b {\n  c;\n b {\n }\n }\n d;\n}\n", "" }, /* the numbers agree */
    /* a "{" is missing; known names only, and not those that may be simple */
    { "stream {\n server\n  listen 1;\n }\n}\n", "open 2:2 " },
    { "stream {\n server\n  listen 1;\n  listen 2;\n }\n server\n  listen 3;\n }\n}\n",
      "open 2:2 open 6:2 " },
    { "stream\n server {\n  listen 1;\n }\n}\n", "open 1:1 " },
    { "stream\n server\n  listen 1;\n }\n}\n", "open 1:1 open 2:2 " },
    { "stream {\n server\n  listen 1;\n server {\n  listen 2;\n }\n}\n", "open 2:2 close 4:2 " },
    { "stream {\n server\n  listen 1;\n}\n", "open 2:2 close 4:1 " },
    { "stream {\n foo\n  listen 1;\n }\n}\n", "drop 4:2 " },
    { "stream {\n upstream a\n  server b;\n }\n}\n", "open 2:2 " },
    { "stream {\n upstream a {\n  server\n   b;\n }\n }\n}\n", "drop 6:2 " },
    { "stream {\n server listen 1;\n }\n}\n", "drop 3:2 " },
    /* without indentation */
    { "a {\nb {\nc;\nb {\nc;\n}\n}\n", "" },
    { "a {\nb {\nc;\n}\n}\n}\nd {\n}\n", "" },
    /* braces in words, comments and Lua do not count */
    { "a {\n b '}' \\} x};\n # }\n}\n", "" },
    { "a {\n b_by_lua_block {\n} { }\n }\n}\n", "drop 4:2 " },
    { "a {\n b \"\n}\n\";\n}\n}\n", "drop 6:1 " },
    { "a {\n b \"\n", "" },
    { "a {\n b {X};\n", "" },
    { "}}}}}}}}}", "" }, /* more than there is room for */
};

START_TEST(fixes)
{
    static const char *const kinds[] = { "close", "drop", "open" };
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_file file = { .path = "t", .text = wr_str_c(rows[_i].text) };
    struct wr_text out = wr_text_grow(pool, 64, 1024);
    struct wr_fixes f;
    const char *s;

    wr_modules_init();
    f = wr_braces_fix(&file);
    for (uint32_t i = 0; i < f.n; i++)
        wr_text_fmt(&out, "%s %u:%u ", kinds[f.at[i].kind], f.at[i].line, f.at[i].column);
    ck_assert(wr_text_cstr(&out, &s));
    ck_assert_str_eq(s, rows[_i].fixes);
    wr_pool_free(pool);
}
END_TEST

/* A generated file may be one line: that must not take quadratic time. */
START_TEST(a_long_line)
{
    enum { N = 200000 };
    char *text = wr_malloc(2 * N);
    struct wr_file file = { .path = "t", .text = wr_str_of(text, 2 * N) };

    for (size_t i = 0; i < N; i++)
        memcpy(text + 2 * i, "a;", 2);
    wr_modules_init();
    ck_assert_uint_eq(wr_braces_fix(&file).n, 0);
    free(text);
}
END_TEST

FAKE_MAIN("config/braces", { fixes, WR_COUNT(rows) }, { a_long_line, 1 })
