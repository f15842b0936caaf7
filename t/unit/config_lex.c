/* lex: words, quotes, escapes, comments, positions. */
#include "lib/config_fake.h"
#include "config/config_impl.h"

struct row {
    const char *text, *words; /* as show() writes them */
};

static const struct row rows[] = {
    { "", "" },
    { "# only\n#\n", "" },
    { "a;", "a;" },
    { " a\tb\r\nc ;", "a b c;" },
    { "a{b;}", "a {b;}" },
    { "a#b #c\n;", "a#b;" },
    { "a\"b\";", "a\"b\";" },
    { "a 'b c' \"d;{}\";", "a 'b c' \"d;{}\";" },
    { "\"\" '';", "\"\" '';" },
    { "a \"b'c\" 'd\"e';", "a \"b'c\" 'd\"e';" },
    { "a 'b\nc';", "a 'b\nc';" },
    { "a\\tb\\\"c\\xd\\'f\\\\g\\ h;", "a\tb\"c\\xd'f\\g\\ h;" },
    { "\"\\n\\r\\t\\$\\\"\";", "\"\n\r\t\\$\"\";" },
    { "a\\;b\\{ c;", "a\\;b\\{ c;" },
    { "\\# b;", "\\# b;" },
    { "a${b}c ${d};", "a${b}c ${d};" },
    { "a$b{c;}", "a$b {c;}" },
    { "a${b{c;}", "a${b {c;}" },
    { "a${{b}{c;}", "a${{b} {c;}" },
    { "a$ {b;}", "a$ {b;}" },
    { "a}b;", "a}b;" },
    { "if (\"a\"){}", "if (\"a\") {}" },
    { "if ( \"a\"){}", "if ( \"a\" ) {}" },
    { "a \"b\"\n'c'\t\"d\";", "a \"b\" 'c' \"d\";" },
};

START_TEST(words)
{
    const struct row *r = &rows[_i];
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t = wr_tree_parse_only(pool, "t", wr_str_c(r->text));

    ck_assert_str_eq(findings(t), "");
    ck_assert_str_eq(show(t), r->words);
    wr_pool_free(pool);
}
END_TEST

static const struct row wrong[] = {
    { "a \"1\"2 \"3\"#;\n", "1:6 unexpected \"2\" (a closing quote ends the word: white space, "
                          "\";\" or \"{\" has to follow)\n"
                          "1:11 unexpected \"#\" (a closing quote ends the word: white space, "
                          "\";\" or \"{\" has to follow)\n"
                          "2:1 unexpected end of file, expecting \";\" or \"}\" "
                          "(missing \";\" after \"3\" on line 1)\n" },
    { "a;\nb \"c;\n", "3:1 unexpected end of file, expecting \";\" or \"}\" "
                      "(the quote \" opened on line 2 is not closed)\n" },
    { "a 'b\\'", "1:7 unexpected end of file, expecting \";\" or \"}\" "
                 "(the quote ' opened on line 1 is not closed)\n" },
    { "a\\", "1:3 unexpected end of file, expecting \";\" or \"}\" "
             "(missing \";\" after \"a\\\" on line 1)\n" },
};

START_TEST(refused)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t = wr_tree_parse_only(pool, "t", wr_str_c(wrong[_i].text));

    ck_assert_str_eq(findings(t), wrong[_i].words);
    wr_pool_free(pool);
}
END_TEST

START_TEST(places)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t = wr_tree_parse_only(pool, "t", WR_STR("a\n  bc 'd\ne' f{\n}\n"));
    const struct wr_node *n = t->root->children;

    ck_assert_uint_eq(n->nwords, 4);
    ck_assert_uint_eq(n->words[1].line, 2);
    ck_assert_uint_eq(n->words[1].column, 3);
    ck_assert_uint_eq(n->words[2].line, 2);
    ck_assert_uint_eq(n->words[2].column, 6);
    ck_assert_uint_eq(n->words[3].line, 3);
    ck_assert_uint_eq(n->words[3].column, 4);
    ck_assert_int_eq(n->words[1].text.p[2], '\0');
    wr_pool_free(pool);
}
END_TEST

/* Tokens and their positions, as braces.c uses them without a tree. */
START_TEST(tokens)
{
    static const struct wr_token expected[] = {
        { .kind = WR_TOKEN_WORD, .word = { .line = 1, .column = 1 } },
        { .kind = WR_TOKEN_OPEN, .word = { .line = 1, .column = 2 } },
        { .kind = WR_TOKEN_WORD, .word = { .line = 2, .column = 2, .quote = '\'' } },
        { .kind = WR_TOKEN_SEMI, .word = { .line = 2, .column = 5 } },
        { .kind = WR_TOKEN_CLOSE, .word = { .line = 3, .column = 3 } },
        { .kind = WR_TOKEN_END, .word = { .line = 4, .column = 1 } },
        { .kind = WR_TOKEN_END, .word = { .line = 4, .column = 1 } },
    };
    static const int lines[] = { 0, 0, 6, 6, 12, 16, 16 };
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t = wr_tree_new(pool, "t");
    struct wr_file *f = wr_source_add(t, "t", WR_STR("a{ #x\n 'b';\n\t\t}\n"));
    struct wr_lex lex = wr_lex_on(t, f);
    size_t i;

    for (i = 0; i < WR_COUNT(expected); i++) {
        struct wr_token token = wr_lex_next(&lex);

        ck_assert_int_eq(token.kind, expected[i].kind);
        ck_assert_uint_eq(token.word.line, expected[i].word.line);
        ck_assert_uint_eq(token.word.column, expected[i].word.column);
        ck_assert_int_eq(token.word.quote, expected[i].word.quote);
        ck_assert_int_eq(token.line - f->text.p, lines[i]);
    }
    wr_pool_free(pool);
}
END_TEST

struct lua {
    const char *text;
    size_t n; /* length of the program with its closing brace; 0: it does not end */
};

static const struct lua programs[] = {
    { "}", 1 },
    { " a = {1, {2}} } x", 15 },
    { " s = '}' }", 10 },
    { " s = \"\\\"}\" }", 12 },
    { " -- }\n}", 7 },
    { " --[[ }\n} ]] }", 14 },
    { " [==[ } ]] ]=] ]==] }", 21 },
    { " a[b[1]] }", 10 },
    { " a = 1 - -2 }", 13 },
    { " s = 'it\n}", 10 },
    { " {}", 0 },
    { " [[ }", 0 },
    { " '}", 0 },
    { "--", 0 },
    { "[=", 0 },
};

START_TEST(lua)
{
    const struct lua *r = &programs[_i];
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t = wr_tree_new(pool, "t");
    struct wr_lex lex = wr_lex_on(t, wr_source_add(t, "t", wr_str_c(r->text)));

    ck_assert_int_eq(wr_lex_skip_lua(&lex), r->n > 0);
    ck_assert_uint_eq((size_t)(lex.p - r->text), r->n > 0 ? r->n : strlen(r->text));
    ck_assert(wr_is_lua_block(WR_STR("content_by_lua_block")));
    ck_assert(!wr_is_lua_block(WR_STR("content_by_lua")));
    wr_pool_free(pool);
}
END_TEST

START_TEST(too_long)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text text = wr_text_grow(pool, 1 << 16, 1 << 18);
    struct wr_tree *t;
    int i;

    wr_text_c(&text, "a xxxxxxxxxxxx");
    for (i = 0; i < 70000; i++)
        wr_text_char(&text, 'x');
    wr_text_c(&text, ";\nb \"");
    for (i = 0; i < 70000; i++)
        wr_text_char(&text, ' ');
    wr_text_c(&text, "\";c;");
    t = wr_tree_parse_only(pool, "t", wr_text_view(&text));
    ck_assert_str_eq(findings(t),
                     "1:3 too long parameter \"xxxxxxxxxx...\" started\n"
                     "2:3 too long parameter, probably missing terminating \"\"\" character\n");
    wr_pool_free(pool);
}
END_TEST

START_TEST(zero_bytes)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t = wr_tree_parse_only(pool, "t", wr_str_of("a \0b 'c\0';", 10));

    ck_assert_str_eq(findings(t), "");
    ck_assert_uint_eq(t->root->children->words[1].text.n, 2);
    ck_assert_uint_eq(t->root->children->words[2].text.n, 2);
    t = wr_tree_parse_only(pool, "t", wr_str_of(NULL, 0));
    ck_assert_ptr_null(t->root->children);
    wr_pool_free(pool);
}
END_TEST

FAKE_MAIN("config/lex", { words, WR_COUNT(rows) }, { refused, WR_COUNT(wrong) }, { places, 0 },
          { tokens, 0 }, { lua, WR_COUNT(programs) }, { too_long, 0 }, { zero_bytes, 0 })
