/* explain: findings as they are printed. */
#define WR_FAKE_MODULES
#include "lib/config_fake.h"

static const char *printed(struct wr_tree *t)
{
    static char buf[8192];
    FILE *f = fmemopen(buf, sizeof(buf), "w");

    buf[0] = '\0';
    wr_diag_print(t, f, NULL);
    fclose(f);
    return buf;
}

struct row {
    const char *text, *out;
};

static const struct row rows[] = {
    { "pid x;\n    daemn on;\n",
      "weir: [emerg] unknown directive \"daemn\" in test.conf:2\n"
      "    2 |     daemn on;\n"
      "      |     ^^^^^\n"
      "      = did you mean \"daemon\"?\n" },
    /* one finding with all its positions */
    { "stream {\n server { foo_bar_baz; foo_bar_baz; }\n foo_bar_baz;\n}\nfoo_bar_baz;\n",
      "weir: [emerg] unknown directive \"foo_bar_baz\" in test.conf:2, 3 more\n"
      "    2 |  server { foo_bar_baz; foo_bar_baz; }\n"
      "      |           ^^^^^^^^^^^\n"
      "      = 3 more: 3, 5\n" },
    /* in the order of the file, not of application */
    { "stream { foo_bar_baz; }\nworker_processes x;\n",
      "weir: [emerg] unknown directive \"foo_bar_baz\" in test.conf:1\n"
      "    1 | stream { foo_bar_baz; }\n"
      "      |          ^^^^^^^^^^^\n"
      "weir: [emerg] \"worker_processes\" directive invalid number in test.conf:2\n"
      "    2 | worker_processes x;\n"
      "      |                  ^\n" },
    { "\tdaemon\t'may be';\r\n",
      "weir: [emerg] invalid value \"may be\" in \"daemon\" directive, it must be \"on\" or "
      "\"off\" in test.conf:1\n"
      "    1 | \tdaemon\t'may be';\n"
      "      | \t      \t^^^^^^^^\n" },
    { "\"\xc3\xa4\" daemon x;\n\xc3\xa4\xc3\xa4\xc3\xa4 y;",
      "weir: [emerg] unknown directive \"\xc3\xa4\" in test.conf:1\n"
      "    1 | \"\xc3\xa4\" daemon x;\n"
      "      | ^^^\n"
      "weir: [emerg] unknown directive \"\xc3\xa4\xc3\xa4\xc3\xa4\" in test.conf:2\n"
      "    2 | \xc3\xa4\xc3\xa4\xc3\xa4 y;\n"
      "      | ^^^\n" },
    { "daemon \"a\nb\x1b\";",
      "weir: [emerg] invalid value \"a?b?\" in \"daemon\" directive, it must be \"on\" or \"off\" "
      "in test.conf:1\n"
      "    1 | daemon \"a\n"
      "      |        ^^\n" },
    { "stream {\n",
      "weir: [emerg] unexpected end of file, expecting \"}\" in test.conf:2\n"
      "    2 | \n"
      "      | ^\n"
      "      = the block \"stream\" opened on line 1 is not closed\n" },
};

START_TEST(looks)
{
    struct wr_conf *c = fake_load(rows[_i].text);

    ck_assert_str_eq(printed(c->tree), rows[_i].out);
    wr_conf_free(c);
}
END_TEST

/* A long line is cut around the carets, which stay below their word. */
/* A line is not cut in the middle of a character. */
START_TEST(long_characters)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text text = wr_text_grow(pool, 1024, 1 << 16);
    struct wr_conf *c;
    const char *end;

    wr_text_c(&text, "foo_bar_baz \"");
    for (int i = 0; i < _i; i++)
        wr_text_char(&text, 'x');
    for (int i = 0; i < 100; i++)
        wr_text_c(&text, "\xe2\x9c\x93");
    wr_text_c(&text, "\";");
    wr_text_char(&text, '\0');
    c = fake_load(text.p);
    end = strstr(printed(c->tree), "...\n");
    ck_assert_ptr_nonnull(end);
    ck_assert_int_eq(strncmp(end - 3, "\xe2\x9c\x93", 3), 0);
    wr_conf_free(c);
    wr_pool_free(pool);
}
END_TEST

START_TEST(long_line)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text text = wr_text_grow(pool, 1024, 1 << 16);
    const char *lines[3], *found;
    struct wr_conf *c;
    int i;

    for (i = 0; i < _i * 7; i++)
        wr_text_c(&text, i % 5 == 0 ? "\xc3\xa4" : " ");
    wr_text_c(&text, " foo_bar_baz \"  ");
    for (i = 0; i < 300 - _i * 7; i++)
        wr_text_char(&text, 'x');
    wr_text_c(&text, "\";");
    wr_text_char(&text, '\0');
    c = fake_load(text.p + _i % 2);
    c->tree->diags->at.column = (uint32_t)(strstr(text.p, "foo_bar_baz") - text.p) + 1 -
                             (uint32_t)_i % 2;
    c->tree->diags->at.width = 11;
    lines[0] = printed(c->tree);
    lines[1] = strchr(lines[0], '\n') + 1;
    lines[2] = strchr(lines[1], '\n') + 1;
    found = strstr(lines[1], "foo_bar_baz");
    ck_assert_ptr_nonnull(found);
    for (i = 0; lines[1] + i < found; i++)
        if (((unsigned char)lines[1][i] & 0xc0) == 0x80)
            lines[2]--; /* a byte without a column */
    lines[2] += found - lines[1];
    ck_assert_int_eq(strncmp(lines[2] - 1, " ^^^^^^^^^^^\n", 13), 0);
    ck_assert_int_lt(lines[2] - lines[1], 2 * 120);
    wr_conf_free(c);
    wr_pool_free(pool);
}
END_TEST

START_TEST(command_line)
{
    struct wr_conf *c;

    wr_modules_init();
    c = wr_conf_load_text("t", WR_STR(""), WR_STR("foo_bar_baz;"), "/");
    ck_assert_str_eq(printed(c->tree),
                     "weir: [emerg] unknown directive \"foo_bar_baz\" in command line\n"
                     "    1 | foo_bar_baz;\n"
                     "      | ^^^^^^^^^^^\n");
    wr_conf_free(c);
}
END_TEST

static const struct {
    const char *directive, *name, *place;
    uint32_t word;
} variables[] = {
    { "a 'x $foo';", "foo", "1:6+4", 1 },      { "a 'x ${foo}y';", "foo", "1:6+6", 1 },
    { "a $foobar$foo;", "foo", "1:10+4", 1 },  { "a $FOO;", "foo", "1:3+4", 1 },
    { "a b 'x\n y $foo';", "foo", "2:4+4", 2 }, { "a 'x\\'\\'$foo';", "foo", "1:9+4", 1 },
    { "a bar;", "foo", "1:3+3", 1 },           { "a '${foo';", "foo", "1:4+5", 1 },
    { "a x;b $foo;", "foo", "1:3+1", 1 },
};

START_TEST(variable_places)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t = wr_tree_parse_only(pool, "t", wr_str_c(variables[_i].directive));
    struct wr_place at = wr_place_variable(t->root->children, variables[_i].word,
                                           wr_str_c(variables[_i].name));

    ck_assert_str_eq(wr_pool_fmt(pool, "%u:%u+%u", at.line, at.column, at.width).p,
                     variables[_i].place);
    wr_pool_free(pool);
}
END_TEST

START_TEST(too_many)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text text = wr_text_grow(pool, 1024, 1 << 16);
    const struct wr_diag *d;
    struct wr_tree *t;

    for (int i = 0; i < 1100; i++)
        wr_text_fmt(&text, "a%d }\n", i);
    t = wr_tree_parse_only(pool, "t", wr_text_view(&text));
    ck_assert(t->full);
    for (d = t->diags; d->next != NULL; d = d->next)
        ;
    ck_assert_str_eq(d->text, "too many errors");
    wr_pool_free(pool);
}
END_TEST

START_TEST(warnings)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t = wr_tree_parse_only(pool, "t", WR_STR("a b;"));
    int i;

    wr_diag_add(t, WR_LOG_WARN, NULL, 0, "so what", "about nothing");
    wr_diag_add(t, WR_LOG_WARN, t->root->children, 9, NULL, "last word %d", 1);
    ck_assert_uint_eq(t->errors, 0);
    ck_assert_str_eq(printed(t), "weir: [warn] last word 1 in t:1\n"
                                 "    1 | a b;\n"
                                 "      |   ^\n"
                                 "weir: [warn] about nothing\n"
                                 "      = so what\n");
    for (i = 0; i < 1000; i++)
        wr_diag_add(t, WR_LOG_WARN, NULL, 0, NULL, "w");
    ck_assert_uint_eq(t->errors, 0);
    /* 500 warnings are kept, and none is printed twice. */
    ck_assert_uint_eq(strlen(printed(t)), 498 * strlen("weir: [warn] w\n"));
    ck_assert_uint_eq(strlen(printed(t)), 0);
    wr_pool_free(pool);
}
END_TEST

FAKE_MAIN("config/explain", { looks, WR_COUNT(rows) }, { long_line, 40 },
          { long_characters, 3 }, { command_line, 0 },
          { too_many, 0 }, { variable_places, WR_COUNT(variables) }, { warnings, 0 })
