/* source: files, include with and without patterns, -g, the text of -T. */
#include "lib/config_fake.h"

static char folder[64];

static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");

    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static void begin(void)
{
    snprintf(folder, sizeof(folder), "/tmp/wr-source-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(mkdir(path_of("conf.d"), 0755), 0);
}

static void end(void)
{
    static const char *const names[] = { "main.conf", "a.conf", "self.conf", "conf.d/1.conf",
                                         "conf.d/2.conf", "conf.d/open.inc", "conf.d", "" };
    size_t i;

    for (i = 0; i < WR_COUNT(names); i++)
        remove(path_of(names[i]));
}

static struct wr_tree *load(struct wr_pool *pool, const char *text, const char *globals)
{
    put("main.conf", text);
    return wr_tree_load(pool, path_of("main.conf"), wr_str_c(globals));
}

START_TEST(includes)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t;

    begin();
    put("a.conf", "in a;\n");
    put("conf.d/2.conf", "two {}");
    put("conf.d/1.conf", "one;");
    t = load(pool, "x;\ns { include conf.d/*.conf; y; include \"a.conf\"; }\ninclude a.conf;\n"
                   "include none*.conf;\nz;", "");
    ck_assert_str_eq(findings(t), "");
    ck_assert_str_eq(show(t), "x;s {one;two {}y;in a;}in a;z;");
    ck_assert_str_eq(t->root->children->next->children->file->path, path_of("conf.d/1.conf"));
    ck_assert_ptr_eq(t->root->children->next->children->parent, t->root->children->next);
    end();
    wr_pool_free(pool);
}
END_TEST

START_TEST(missing)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t;
    char expected[512];

    begin();
    t = load(pool, "include a.conf;\n include;include a b;include c { d; } e;\ninclude conf.d;",
             "");
    snprintf(expected, sizeof(expected),
             "1:9 open() \"%s/a.conf\" failed (2: No such file or directory)\n"
             "2:2 invalid number of arguments in \"include\" directive (write one path or "
             "pattern) +1\n"
             "2:22 directive \"include\" is not terminated by \";\"\n"
             "3:9 read() \"%s/conf.d\" failed (21: Is a directory)\n", folder, folder);
    ck_assert_str_eq(findings(t), expected);
    ck_assert_str_eq(show(t), "e;");
    ck_assert(!t->broken);
    remove(path_of("main.conf"));
    t = wr_tree_load(pool, path_of("main.conf"), WR_STR(""));
    snprintf(expected, sizeof(expected),
             "open() \"%s/main.conf\" failed (2: No such file or directory)\n", folder);
    ck_assert_str_eq(findings(t), expected);
    end();
    wr_pool_free(pool);
}
END_TEST

START_TEST(unbalanced)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t;

    begin();
    put("conf.d/open.inc", "open {\n");
    put("a.conf", "a; }\nb;");
    t = load(pool, "s { include conf.d/open.inc; c; include a.conf; d; }\n", "");
    ck_assert_str_eq(findings(t), "2:1 unexpected end of file, expecting \"}\" "
                                  "(the block \"open\" opened on line 1 is not closed)\n"
                                  "1:4 unexpected \"}\" (there is no open block: one \"}\" too "
                                  "many)\n");
    ck_assert_str_eq(show(t), "s {open {}c;a;b;d;}");
    ck_assert(t->broken);
    end();
    wr_pool_free(pool);
}
END_TEST

START_TEST(circle)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t;

    begin();
    put("self.conf", "a; include self.conf;");
    t = load(pool, "include self.conf;", "");
    ck_assert_str_eq(findings(t), "1:12 include nested deeper than 16 files "
                                  "(does a file include itself?)\n");
    put("self.conf", "a { include self.conf; }");
    t = load(pool, "include self.conf;", "");
    ck_assert_uint_eq(t->errors, 1);
    end();
    wr_pool_free(pool);
}
END_TEST

START_TEST(globals)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t;

    begin();
    t = load(pool, "a;", "daemon off; user me;");
    ck_assert_str_eq(show(t), "daemon off;user me;a;");
    ck_assert(t->root->children->file->command_line);
    t = load(pool, "a;", "daemon off");
    ck_assert_str_eq(findings(t), "1:11 unexpected end of parameter, expecting \";\" "
                                  "(missing \";\" after \"off\" on line 1)\n");
    t = load(pool, "a;", "daemon 'off;");
    ck_assert_str_eq(findings(t), "1:8 unexpected end of parameter, expecting \";\" "
                                  "(the quote ' opened on line 1 is not closed)\n");
    end();
    wr_pool_free(pool);
}
END_TEST

START_TEST(dump)
{
    struct wr_pool *pool = wr_pool_new(0);
    char *out = NULL, expected[512];
    size_t n = 0;
    FILE *f;

    begin();
    put("a.conf", "a;\n");
    f = open_memstream(&out, &n);
    wr_tree_dump(load(pool, "include a.conf;\ninclude a.conf;", "daemon off;"), f);
    fclose(f);
    snprintf(expected, sizeof(expected),
             "# configuration file %s/main.conf:\ninclude a.conf;\ninclude a.conf;\n"
             "# configuration file %s/a.conf:\na;\n\n", folder, folder);
    ck_assert_str_eq(out, expected);
    free(out);
    end();
    wr_pool_free(pool);
}
END_TEST

FAKE_MAIN("config/source", { includes, 0 }, { missing, 0 }, { unbalanced, 0 }, { circle, 0 },
          { globals, 0 }, { dump, 0 })
