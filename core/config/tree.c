/* tree: the tokens of lex.c to nodes. Called by source.c, and for a text by tests, the fuzzer and
 * defaults. All memory is the tree's pool.
 *
 * After an error it goes on at the next ; or }. Where braces.c found a fix, the braces are read as
 * if they were right. Where it found none, the tree is marked broken, as directives may be in the
 * wrong block: findings after the first directive in a wrong block are dropped (wr_diag_cut). */
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
        struct wr_node **tail;    /* tail of the outer block */
        uint32_t line;
    } open[WR_NEST_MAX];
    uint32_t errors;           /* of the tree when the directive began */
    struct wr_fixes fixes;
    uint32_t fixes_done;       /* number of them that were used */
};

static struct wr_place place_of(const struct reader *r, const struct wr_word *w)
{
    return (struct wr_place){ r->lex.file, w->line, w->column, 1 };
}

/* Makes a node of the words read so far. */
static struct wr_node *make_node(struct reader *r)
{
    struct wr_node *n = WR_NEW(r->parse->tree->pool, struct wr_node);

    n->words = r->words.at;
    n->nwords = r->words.n;
    n->file = r->lex.file;
    n->parent = r->parent;
    n->faulty = r->parse->tree->errors > r->errors;
    memset(&r->words, 0, sizeof(r->words));
    return n;
}

static void append_node(struct reader *r, struct wr_node *n)
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
    struct wr_node *n = make_node(r);

    if (is_include(r, n)) {
        r->parse->levels += r->depth;
        r->tail = wr_source_include(r->parse, n, r->parent, r->tail);
        r->parse->levels -= r->depth;
    } else {
        append_node(r, n);
    }
}

/* Uses the next fix if it is of this kind and at this position. */
static bool take_fix(struct reader *r, enum wr_fix_kind kind, const struct wr_word *w)
{
    const struct wr_fix *f = &r->fixes.at[r->fixes_done];

    if (r->fixes_done == r->fixes.n || f->kind != kind || f->line != w->line
        || f->column != w->column)
        return false;
    r->fixes_done++;
    return true;
}

static void push_block(struct reader *r, struct wr_node *n, uint32_t line)
{
    n->block = true;
    r->open[r->depth].block = n;
    r->open[r->depth].tail = r->tail;
    r->open[r->depth].line = line;
    r->depth++;
    r->parent = n;
    r->tail = &n->children;
}

static void pop_block(struct reader *r)
{
    r->depth--;
    r->parent = r->open[r->depth].block->parent;
    r->tail = r->open[r->depth].tail;
}

static const char *block_name(const struct reader *r)
{
    const struct wr_node *n = r->open[r->depth - 1].block;

    return n->nwords > 0 ? n->words[0].text.p : "";
}

/* Opens the block whose "{" is missing after the first line of the words; the words of the next
 * lines are its first directive. */
static void split_block(struct reader *r)
{
    struct wr_tree *t = r->parse->tree;
    struct wr_word *words = r->words.at;
    uint32_t n = r->words.n, own = 1;
    struct wr_node *block;

    while (own < n && words[own].line == words[0].line)
        own++;
    r->words.n = own;
    block = make_node(r);
    wr_diag_add(t, WR_LOG_EMERG, block, 0,
                wr_pool_fmt(t->pool, "write \"{\" at the end of line %u", words[0].line).p,
                "directive \"" WR_FMT "\" has no opening \"{\"", WR_ARG(words[0].text));
    append_node(r, block);
    push_block(r, block, words[0].line);
    r->errors = t->errors;
    for (; own < n; own++)
        *wr_vec_push(t->pool, &r->words) = words[own];
}

static void open_unopened(struct reader *r)
{
    while (r->words.n > 0 && r->parse->levels + r->depth < WR_NEST_MAX
           && take_fix(r, WR_FIX_OPEN, &r->words.at[0]))
        split_block(r);
}

static void on_semi(struct reader *r, const struct wr_word *w)
{
    open_unopened(r);
    if (r->words.n > 0)
        end_directive(r);
    else
        wr_diag_put(r->parse->tree, WR_LOG_EMERG, place_of(r, w),
                    "remove it: a block ends with its \"}\", a directive with one \";\"",
                    "unexpected \";\"");
}

/* The contents are a program: the node gets no children. */
static void take_lua(struct reader *r, const struct wr_word *w)
{
    struct wr_node *n = make_node(r);
    char hint[96];

    n->block = true;
    append_node(r, n);
    if (wr_lex_skip_lua(&r->lex))
        return;
    snprintf(hint, sizeof(hint), "the \"{\" of line %u is not closed", w->line);
    wr_diag_put(r->parse->tree, WR_LOG_EMERG, place_of(r, &n->words[0]), hint,
                "unexpected end of file, expecting \"}\"");
    r->parse->tree->broken = true;
    r->lex.reported = true;
}

/* False: nested too deep, stop reading. */
static bool on_open(struct reader *r, const struct wr_word *w)
{
    struct wr_tree *t = r->parse->tree;
    bool keep = true;
    struct wr_node *n;

    open_unopened(r);
    if (r->words.n > 0 && wr_is_lua_block(r->words.at[0].text)) {
        take_lua(r, w);
        return true;
    }
    if (r->parse->levels + r->depth >= WR_NEST_MAX) {
        wr_diag_put(t, WR_LOG_EMERG, place_of(r, w), NULL, "blocks nested deeper than %d",
                    WR_NEST_MAX);
        t->broken = true;
        return false;
    }
    n = make_node(r);
    if (n->nwords == 0) {
        wr_diag_put(t, WR_LOG_EMERG, place_of(r, w), "the name of the block is missing before it",
                    "unexpected \"{\"");
        t->broken = true;
        keep = false;
    } else if (is_include(r, n)) {
        n->block = true;
        wr_diag_add(t, WR_LOG_EMERG, n, 0, NULL,
                    "directive \"include\" is not terminated by \";\"");
        keep = false;
    }
    if (keep)
        append_node(r, n);
    push_block(r, n, w->line);
    return true;
}

/* "index {NAME};" of a template that was not filled in. */
static void on_placeholder(struct reader *r, const struct wr_word *w)
{
    struct wr_tree *t = r->parse->tree;

    if (r->words.n == 0)
        wr_diag_put(t, WR_LOG_EMERG, place_of(r, w), "the name of the block is missing before it",
                    "unexpected \"{\"");
    else
        wr_diag_put(t, WR_LOG_EMERG,
                    (struct wr_place){ r->lex.file, w->line, w->column, (uint32_t)w->text.n },
                    wr_pool_fmt(t->pool, "a \"{\" begins a block: write the value of " WR_FMT
                                " in its place, or quote it", WR_ARG(w->text)).p,
                    "directive \"" WR_FMT "\" is not terminated by \";\"",
                    WR_ARG(r->words.at[0].text));
    *wr_vec_push(t->pool, &r->words) = *w;
}

static void report_unclosed(struct reader *r, const struct wr_word *w, const char *before)
{
    struct wr_tree *t = r->parse->tree;
    struct wr_place p = place_of(r, w);

    p.width = wr_max((uint32_t)w->text.n, 1u);
    wr_diag_put(t, WR_LOG_EMERG, p,
                wr_pool_fmt(t->pool, "the block \"%.40s\" opened on line %u is not closed",
                            block_name(r), r->open[r->depth - 1].line).p,
                "unexpected %s, expecting \"}\"", before);
}

/* Closes the blocks whose "}" is missing before this directive or "}". */
static void close_missing(struct reader *r, const struct wr_word *w)
{
    struct wr_pool *pool = r->parse->tree->pool;

    while (r->depth > 0 && take_fix(r, WR_FIX_CLOSE, w)) {
        report_unclosed(r, w, w->text.n > 0
                                  ? wr_pool_fmt(pool, "\"%.40s\"", w->text.p).p
                                  : "end of an outer block");
        pop_block(r);
    }
}

static void on_word(struct reader *r, const struct wr_word *w)
{
    if (r->words.n == 0) {
        close_missing(r, w);
        r->errors = r->parse->tree->errors;
    }
    *wr_vec_push(r->parse->tree->pool, &r->words) = *w;
}

static void report_too_many(struct reader *r, const struct wr_word *w)
{
    struct wr_tree *t = r->parse->tree;
    const char *hint = "there is no open block: one \"}\" too many";

    if (r->depth > 0)
        hint = wr_pool_fmt(t->pool,
                           "one \"}\" too many: the block \"%.40s\" opened on line %u is not "
                           "finished", block_name(r), r->open[r->depth - 1].line).p;
    wr_diag_put(t, WR_LOG_EMERG, place_of(r, w), hint, "unexpected \"}\"");
}

static void on_close(struct reader *r, const struct wr_word *w)
{
    struct wr_tree *t = r->parse->tree;
    char hint[96];
    bool reported = false;

    if (r->words.n > 0) {
        const struct wr_word *last = &r->words.at[r->words.n - 1];

        snprintf(hint, sizeof(hint), "missing \";\" after \"%.40s\" on line %u", last->text.p,
                 last->line);
        wr_diag_put(t, WR_LOG_EMERG, place_of(r, w), hint, "unexpected \"}\"");
        reported = true;
        end_directive(r);
    }
    close_missing(r, w);
    if (take_fix(r, WR_FIX_DROP, w) || r->depth == 0) {
        t->broken = t->broken || r->fixes.n == 0;
        if (!reported)
            report_too_many(r, w);
        return;
    }
    pop_block(r);
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
            wr_diag_put(t, WR_LOG_EMERG, place_of(r, w), hint,
                        "unexpected end of parameter, expecting \";\"");
        else
            wr_diag_put(t, WR_LOG_EMERG, place_of(r, w), hint,
                        "unexpected end of file, expecting \";\" or \"}\"");
    } else {
        report_unclosed(r, w, "end of file");
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
                        .tail = tail, .errors = p->tree->errors, .fixes = wr_braces_fix(f) };

    while (!p->tree->full) {
        struct wr_token token = wr_lex_next(&r.lex);

        switch (token.kind) {
        case WR_TOKEN_WORD:
            on_word(&r, &token.word);
            break;
        case WR_TOKEN_PLACEHOLDER:
            on_placeholder(&r, &token.word);
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

struct wr_tree *wr_tree_parse_only(struct wr_pool *pool, const char *path, struct wr_str text)
{
    struct wr_tree *t = wr_tree_new(pool, path);
    struct wr_parse p = { .tree = t };

    wr_tree_read(&p, wr_source_add(t, path, text), t->root, &t->root->children);
    return t;
}
