/* source: the files of a configuration: the main file, -g, included files, and their texts for -T.
 * Called by tree.c at an include and by conf.c. The texts live as long as the tree; a file included
 * twice is kept once. A text may hold keys (data:...): core dumps leave out the texts and, from the
 * first file with "data:" on, everything that is made of the configuration. */
#include "config/config_impl.h"

#include <errno.h>
#include <glob.h>

#define FILE_MAX (64u << 20)
#define INCLUDE_MAX 16

struct wr_file *wr_source_add(struct wr_tree *t, const char *path, struct wr_str text)
{
    struct wr_file *f = WR_NEW(t->pool, struct wr_file);

    f->path = wr_pool_cstr(t->pool, wr_str_c(path));
    f->text = text;
    f->number = t->nfiles++;
    *t->last_file = f;
    t->last_file = &f->next;
    return f;
}

static struct wr_file *find_file(const struct wr_tree *t, const char *path)
{
    struct wr_file *f;

    for (f = t->files; f != NULL; f = f->next)
        if (!f->command_line && strcmp(f->path, path) == 0)
            return f;
    return NULL;
}

static void free_texts(void *pool)
{
    wr_pool_free(pool);
}

static struct wr_pool *texts_of(struct wr_tree *t)
{
    if (t->texts == NULL) {
        t->texts = wr_pool_new(0);
        wr_vault_pool(t->texts);
        wr_pool_cleanup(t->pool, free_texts, t->texts);
    }
    return t->texts;
}

/* NULL: it cannot be read, which is reported at word 1 of n (n NULL: the main file). */
static struct wr_file *open_file(struct wr_tree *t, const char *path, const struct wr_node *n)
{
    struct wr_file *f = find_file(t, path);
    struct wr_str text;

    if (f != NULL)
        return f;
    text = wr_file_read(texts_of(t), path, FILE_MAX);
    if (text.p == NULL) {
        int err = errno;

        wr_diag_add(t, WR_LOG_EMERG, n, 1, NULL, "%s \"%s\" failed (%d: %s)",
                    err == EISDIR ? "read()" : "open()", path, err, strerror(err));
        return NULL;
    }
    if (wr_str_search(text, WR_STR("data:")) < text.n)
        wr_vault_pool(t->pool);
    return wr_source_add(t, path, text);
}

static struct wr_node **include_file(struct wr_parse *p, const char *path,
                                     const struct wr_node *n, struct wr_node *parent,
                                     struct wr_node **tail)
{
    struct wr_file *f = open_file(p->tree, path, n);

    if (f == NULL)
        return tail;
    p->files++;
    tail = wr_tree_read(p, f, parent, tail);
    p->files--;
    return tail;
}

static struct wr_node **include_pattern(struct wr_parse *p, const char *pattern,
                                        const struct wr_node *n, struct wr_node *parent,
                                        struct wr_node **tail)
{
    glob_t g = { 0 };
    int err = glob(pattern, 0, NULL, &g);
    size_t i;

    if (err != 0 && err != GLOB_NOMATCH)
        wr_diag_add(p->tree, WR_LOG_EMERG, n, 1, NULL, "glob() \"%s\" failed", pattern);
    for (i = 0; err == 0 && i < g.gl_pathc && !p->tree->full; i++)
        tail = include_file(p, g.gl_pathv[i], n, parent, tail);
    globfree(&g);
    return tail;
}

struct wr_node **wr_source_include(struct wr_parse *p, const struct wr_node *n,
                                   struct wr_node *parent, struct wr_node **tail)
{
    struct wr_tree *t = p->tree;
    const char *path;

    if (n->nwords != 2) {
        wr_diag_add(t, WR_LOG_EMERG, n, 0, "write one path or pattern",
                    "invalid number of arguments in \"include\" directive");
        return tail;
    }
    if (p->files >= INCLUDE_MAX) {
        wr_diag_add(t, WR_LOG_EMERG, n, 1, "does a file include itself?",
                    "include nested deeper than %d files", INCLUDE_MAX);
        return tail;
    }
    path = n->words[1].text.p;
    if (path[0] != '/')
        path = wr_pool_fmt(t->pool, "%s%s", t->prefix, path).p;
    if (strpbrk(path, "*?[") != NULL)
        return include_pattern(p, path, n, parent, tail);
    return include_file(p, path, n, parent, tail);
}

struct wr_tree *wr_tree_load(struct wr_pool *pool, const char *path, struct wr_str globals)
{
    struct wr_tree *t = wr_tree_new(pool, path);
    struct wr_parse p = { .tree = t, .expand = true };
    struct wr_node **tail = &t->root->children;
    struct wr_file *f;

    tail = wr_source_globals(&p, globals, tail);
    f = open_file(t, path, NULL);
    if (f != NULL)
        wr_tree_read(&p, f, t->root, tail);
    return t;
}

struct wr_node **wr_source_globals(struct wr_parse *p, struct wr_str globals,
                                   struct wr_node **tail)
{
    struct wr_tree *t = p->tree;
    struct wr_file *f;

    if (globals.n == 0)
        return tail;
    f = wr_source_add(t, "command line", wr_pool_str(t->pool, globals));
    f->command_line = true;
    return wr_tree_read(p, f, t->root, tail);
}

void wr_tree_dump(const struct wr_tree *t, FILE *out)
{
    const struct wr_file *f;

    for (f = t->files; f != NULL; f = f->next) {
        if (f->command_line)
            continue;
        fprintf(out, "# configuration file %s:\n", f->path);
        fwrite(f->text.p, 1, f->text.n, out);
        fputc('\n', out);
    }
}
