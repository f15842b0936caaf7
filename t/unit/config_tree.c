/* tree: nesting, errors of the grammar, and the tree after each of them. */
#include "lib/config_fake.h"

struct row {
    const char *text, *shape, *errors;
    bool broken;
};

static const struct row rows[] = {
    { "a;b{c;d{}}e;", "a;b {c;d {}}e;", "", false },
    { "a{};b;", "a {}b;",
      "1:4 unexpected \";\" (remove it: a block ends with its \"}\", a directive with one \";\")\n",
      false },
    { "s {\n listen 80 }\nb;", "s {listen 80;}b;",
      "2:12 unexpected \"}\" (missing \";\" after \"80\" on line 2)\n", false },
    { "a;}\nb;", "a;b;",
      "1:3 unexpected \"}\" (there is no open block: one \"}\" too many)\n", false },
    { "a }\nb;", "a;b;", "1:3 unexpected \"}\" (missing \";\" after \"a\" on line 1)\n", false },
    { "{ a; } b { { c; } d; }", "b {d;}",
      "1:1 unexpected \"{\" (the name of the block is missing before it) +1\n", true },
    { "a {\n b {\n c;\n }\n", "a {b {c;}}",
      "5:1 unexpected end of file, expecting \"}\" "
      "(the block \"a\" opened on line 1 is not closed)\n", true },
    { "a {\n", "a {}",
      "2:1 unexpected end of file, expecting \"}\" "
      "(the block \"a\" opened on line 1 is not closed)\n", true },
    { "\n{\n", "", "2:1 unexpected \"{\" (the name of the block is missing before it)\n"
                   "3:1 unexpected end of file, expecting \"}\" "
                   "(the block \"\" opened on line 2 is not closed)\n", true },
    { "a b", "", "1:4 unexpected end of file, expecting \";\" or \"}\" "
                 "(missing \";\" after \"b\" on line 1)\n", true },
    { ";", "", "1:1 unexpected \";\" (remove it: a block ends with its \"}\", a directive with "
               "one \";\")\n", false },
    { "index {HTTP_INDEX};a;", "index {HTTP_INDEX};a;",
      "1:7 directive \"index\" is not terminated by \";\" (a \"{\" begins a block: write the "
      "value of {HTTP_INDEX} in its place, or quote it)\n", false },
    { "{X} a;", "{X} a;",
      "1:1 unexpected \"{\" (the name of the block is missing before it)\n", false },
    { "a_by_lua_block {\n x('}', 1) -- }\n}\nb;", "a_by_lua_block {}b;", "", false },
    { "a {\n b_by_lua_block {\n [[\n}\n", "a {b_by_lua_block {}}",
      "2:2 unexpected end of file, expecting \"}\" (the \"{\" of line 2 is not closed)\n", true },
    { "a {\n b {\n  c;\n d {\n  e;\n }\n}\nf;", "a {b {c;}d {e;}}f;",
      "4:2 unexpected \"d\", expecting \"}\" (the block \"b\" opened on line 2 is not closed)\n",
      false },
    { "a {\n b {\n  c;\n}\nf;", "a {b {c;}}f;",
      "4:1 unexpected end of an outer block, expecting \"}\" (the block \"b\" opened on line 2 is "
      "not closed)\n", false },
    { "a {\n b {\n  c;\n }\n }\n d;\n}", "a {b {c;}d;}",
      "5:2 unexpected \"}\" (one \"}\" too many: the block \"a\" opened on line 1 is not "
      "finished)\n", false },
    { "include a.conf; include b {}", "include a.conf;include b {}", "", false },
};

START_TEST(shapes)
{
    const struct row *r = &rows[_i];
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t = wr_tree_parse_only(pool, "t", wr_str_c(r->text));

    ck_assert_str_eq(findings(t), r->errors);
    ck_assert_str_eq(show(t), r->shape);
    ck_assert_int_eq(t->broken, r->broken);
    wr_pool_free(pool);
}
END_TEST

START_TEST(parents)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t = wr_tree_parse_only(pool, "a/b/t.conf", WR_STR("a { b; }"));
    const struct wr_node *a = t->root->children;

    ck_assert_ptr_eq(a->parent, t->root);
    ck_assert_ptr_eq(a->children->parent, a);
    ck_assert(a->block && !a->children->block);
    ck_assert_str_eq(a->file->path, "a/b/t.conf");
    ck_assert_str_eq(t->prefix, "a/b/");
    wr_pool_free(pool);
}
END_TEST

START_TEST(too_deep)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text text = wr_text_grow(pool, 1024, 1 << 16);
    struct wr_tree *t;
    int i;

    for (i = 0; i < 64; i++)
        wr_text_c(&text, "a{");
    for (i = 0; i < 64; i++)
        wr_text_c(&text, "}");
    t = wr_tree_parse_only(pool, "t", wr_text_view(&text));
    ck_assert_str_eq(findings(t), "");
    for (i = 0; i < 70; i++)
        wr_text_c(&text, "a{");
    t = wr_tree_parse_only(pool, "t", wr_text_view(&text));
    ck_assert_str_eq(findings(t), "1:322 blocks nested deeper than 64\n");
    wr_pool_free(pool);
}
END_TEST

START_TEST(too_many)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text text = wr_text_grow(pool, 1024, 1 << 16);
    const struct wr_diag *d;
    struct wr_tree *t;
    int i, n = 0;

    for (i = 0; i < 1100; i++)
        wr_text_fmt(&text, "a%d }\n", i);
    t = wr_tree_parse_only(pool, "t", wr_text_view(&text));
    for (d = t->diags; d->next != NULL; d = d->next)
        n++;
    ck_assert_int_eq(n, 1000);
    ck_assert_str_eq(d->text, "too many errors");
    ck_assert_ptr_null(d->at.file);
    wr_pool_free(pool);
}
END_TEST

FAKE_MAIN("config/tree", { shapes, WR_COUNT(rows) }, { parents, 0 }, { too_deep, 0 },
          { too_many, 0 })
