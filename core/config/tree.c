/* tree: the tokens of lex.c to nodes. Called by source.c and, for text alone, by tests and the
 * fuzzer. Owns the shape of the tree; all memory is the tree's pool.
 *
 * It goes on after an error as far as it can without guessing: a ; or } ends the directive, a
 * brace too many is left out. When blocks may have got the wrong contents by that, the tree is
 * marked broken and nobody applies it: the errors that followed would be noise. */
#include "config/config_impl.h"

/* One file being parsed. */
struct reader {
    struct wr_parse *parse;
    struct wr_lex lex;
    struct wr_node *parent;
    struct wr_node **tail;
    WR_VEC(struct wr_word) words; /* of the directive so far */
    uint32_t depth;
    struct {
        struct wr_node *block;
        struct wr_node **tail;    /* where to go on behind it */
        uint32_t line;
    } open[WR_NEST_MAX];
    uint32_t errors;           /* of the tree when the last directive ended */
};

static struct wr_place at(const struct reader *r, const struct wr_word *w)
{
    return (struct wr_place){ r->lex.file, w->line, w->column, 1 };
}

/* Takes the words gathered so far. */
static struct wr_node *node_new(struct reader *r)
{
    struct wr_node *n = WR_NEW(r->parse->tree->pool, struct wr_node);

    n->words = r->words.at;
    n->nwords = r->words.n;
    n->file = r->lex.file;
    n->parent = r->parent;
    n->faulty = r->parse->tree->errors > r->errors;
    r->errors = r->parse->tree->errors;
    memset(&r->words, 0, sizeof(r->words));
    return n;
}

static void append(struct reader *r, struct wr_node *n)
{
    *r->tail = n;
    r->tail = &n->next;
}

static bool is_include(const struct reader *r, const struct wr_node *n)
{
    return r->parse->expand && wr_str_is(n->words[0].text, "include");
}

static void end_directive(struct reader *r)
{
    struct wr_node *n = node_new(r);

    if (is_include(r, n)) {
        r->parse->levels += r->depth;
        r->tail = wr_source_include(r->parse, n, r->parent, r->tail);
        r->parse->levels -= r->depth;
    } else {
        append(r, n);
    }
}

static void on_semi(struct reader *r, const struct wr_word *w)
{
    if (r->words.n > 0)
        end_directive(r);
    else
        wr_diag_put(r->parse->tree, WR_LOG_EMERG, at(r, w),
                    "remove it: a block ends with its \"}\", a directive with one \";\"",
                    "unexpected \";\"");
}

/* False: too deep, reading on makes no sense. */
static bool on_open(struct reader *r, const struct wr_word *w)
{
    struct wr_tree *t = r->parse->tree;
    bool keep = true;
    struct wr_node *n;

    if (r->parse->levels + r->depth >= WR_NEST_MAX) {
        wr_diag_put(t, WR_LOG_EMERG, at(r, w), NULL, "more than %d blocks in each other",
                    WR_NEST_MAX);
        t->broken = true;
        return false;
    }
    n = node_new(r);
    n->block = true;
    if (n->nwords == 0) {
        wr_diag_put(t, WR_LOG_EMERG, at(r, w), "the name of the block is missing before it",
                    "unexpected \"{\"");
        t->broken = true;
        keep = false;
    } else if (is_include(r, n)) {
        wr_diag_add(t, WR_LOG_EMERG, n, 0, NULL,
                    "directive \"include\" is not terminated by \";\"");
        keep = false;
    }
    if (keep)
        append(r, n);
    r->open[r->depth].block = n;
    r->open[r->depth].tail = r->tail;
    r->open[r->depth].line = w->line;
    r->depth++;
    r->parent = n;
    r->tail = &n->children;
    return true;
}

static void on_close(struct reader *r, const struct wr_word *w)
{
    struct wr_tree *t = r->parse->tree;
    char hint[96];
    bool said = false;

    if (r->words.n > 0) {
        const struct wr_word *last = &r->words.at[r->words.n - 1];

        snprintf(hint, sizeof(hint), "missing \";\" after \"%.40s\" on line %u", last->text.p,
                 last->line);
        wr_diag_put(t, WR_LOG_EMERG, at(r, w), hint, "unexpected \"}\"");
        said = true;
        end_directive(r);
    }
    if (r->depth == 0) {
        if (!said)
            wr_diag_put(t, WR_LOG_EMERG, at(r, w), "there is no open block: one \"}\" too many",
                        "unexpected \"}\"");
        t->broken = true;
        return;
    }
    r->depth--;
    r->open[r->depth].block->end_line = w->line;
    r->parent = r->open[r->depth].block->parent;
    r->tail = r->open[r->depth].tail;
}

static void on_end(struct reader *r, const struct wr_word *w)
{
    struct wr_tree *t = r->parse->tree;
    char hint[96];

    if (r->lex.reported || (r->words.n == 0 && r->depth == 0))
        return;
    t->broken = true;
    if (r->words.n > 0) {
        const struct wr_word *last = &r->words.at[r->words.n - 1];

        snprintf(hint, sizeof(hint), "missing \";\" after \"%.40s\" on line %u", last->text.p,
                 last->line);
        if (r->lex.file->command_line)
            wr_diag_put(t, WR_LOG_EMERG, at(r, w), hint,
                        "unexpected end of parameter, expecting \";\"");
        else
            wr_diag_put(t, WR_LOG_EMERG, at(r, w), hint,
                        "unexpected end of file, expecting \";\" or \"}\"");
    } else {
        const struct wr_node *block = r->open[r->depth - 1].block;

        snprintf(hint, sizeof(hint), "the block \"%.40s\" opened on line %u is not closed",
                 block->nwords > 0 ? block->words[0].text.p : "", r->open[r->depth - 1].line);
        wr_diag_put(t, WR_LOG_EMERG, at(r, w), hint, "unexpected end of file, expecting \"}\"");
    }
}

static struct wr_node **outer_tail(const struct reader *r)
{
    return r->depth > 0 ? r->open[0].tail : r->tail;
}

struct wr_node **wr_tree_read(struct wr_parse *p, const struct wr_file *f, struct wr_node *parent,
                              struct wr_node **tail)
{
    struct reader r = { .parse = p, .lex = wr_lex_on(p->tree, f), .parent = parent,
                        .tail = tail, .errors = p->tree->errors };

    while (p->tree->errors <= WR_ERRORS_MAX) {
        struct wr_token token = wr_lex_next(&r.lex);

        switch (token.kind) {
        case WR_TOKEN_WORD:
            *wr_vec_push(p->tree->pool, &r.words) = token.word;
            break;
        case WR_TOKEN_SEMI:
            on_semi(&r, &token.word);
            break;
        case WR_TOKEN_OPEN:
            if (!on_open(&r, &token.word))
                return outer_tail(&r);
            break;
        case WR_TOKEN_CLOSE:
            on_close(&r, &token.word);
            break;
        case WR_TOKEN_END:
            on_end(&r, &token.word);
            return outer_tail(&r);
        }
    }
    return outer_tail(&r);
}

struct wr_tree *wr_tree_new(struct wr_pool *pool, const char *path)
{
    struct wr_tree *t = WR_NEW(pool, struct wr_tree);
    struct wr_str folder = wr_str_c(path);
    size_t slash = wr_str_rfind(folder, '/');

    t->pool = pool;
    t->root = WR_NEW(pool, struct wr_node);
    t->root->block = true;
    t->last_file = &t->files;
    t->last_diag = &t->diags;
    folder.n = slash < folder.n ? slash + 1 : 0;
    t->prefix = wr_pool_cstr(pool, folder);
    return t;
}

static struct wr_tree *parse(struct wr_pool *pool, const char *path, struct wr_str text,
                             bool expand)
{
    struct wr_tree *t = wr_tree_new(pool, path);
    struct wr_parse p = { .tree = t, .expand = expand };

    wr_tree_read(&p, wr_source_add(t, path, text), t->root, &t->root->children);
    return t;
}

struct wr_tree *wr_tree_parse(struct wr_pool *pool, const char *path, struct wr_str text)
{
    return parse(pool, path, text, true);
}

struct wr_tree *wr_tree_parse_only(struct wr_pool *pool, const char *path, struct wr_str text)
{
    return parse(pool, path, text, false);
}
