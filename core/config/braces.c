/* braces: which brace of a file is missing or one too many. Called by tree.c before it reads the
 * file; owns nothing. If the number of braces is wrong, the indentation of the lines tells where: a
 * block ends at a "}" indented like its first line, and all lines between are indented further. No
 * fixes are found for a file that is indented in another way. */
#include "config/config_impl.h"

#define OPEN_MAX 64
#define TAB 8

enum mark_kind { MARK_DIRECTIVE, MARK_OPEN, MARK_CLOSE, MARK_UNOPENED };
struct mark {
    enum mark_kind kind;
    uint32_t line, column;  /* of a brace, else of the directive's name */
    uint32_t indent;        /* of that line */
    bool first;             /* only white space precedes it in its line */
};
struct scan {
    struct wr_lex lex;
    struct wr_pool *pool;
    WR_VEC(struct mark) marks;
    WR_VEC(struct wr_token) words; /* of the directive so far */
    WR_VEC(bool) upstreams;        /* for each open block: it is an upstream {} */
    struct mark directive;
    int depth, lowest;             /* of open blocks: now, and the lowest so far */
    int unopened;                  /* blocks whose "{" is missing */
};

/* ---- scanning: braces and the beginnings of directives ---- */

static uint32_t indent_of(const char *line, const char *end)
{
    uint32_t n = 0;

    for (; line < end && (*line == ' ' || *line == '\t'); line++)
        n = *line == '\t' ? (n / TAB + 1) * TAB : n + 1;
    return n;
}

static struct mark mark_of(const struct scan *s, enum mark_kind kind, const struct wr_token *t)
{
    struct mark m = { .kind = kind, .line = t->word.line, .column = t->word.column };

    m.indent = indent_of(t->line, s->lex.end);
    m.first = true;
    for (uint32_t i = 0; m.first && i + 1 < m.column; i++)
        m.first = t->line[i] == ' ' || t->line[i] == '\t';
    return m;
}

/* True: in this kind of block every row of the name has a block of its own. */
static bool is_block_only(struct wr_str name, bool in_upstream)
{
    bool found = false;

    for (const struct wr_row *r = wr_row_chain(name); r != NULL; r = r->next) {
        if (((r->where & WR_LV_UPSTREAM) != 0) != in_upstream)
            continue;
        if ((r->where & (WR_BLOCK | WR_DEFINE)) == 0)
            return false;
        found = true;
    }
    return found;
}

static bool is_in_upstream(const struct scan *s)
{
    return s->upstreams.n > 0 && s->upstreams.at[s->upstreams.n - 1];
}

static void open_block(struct scan *s, enum mark_kind kind)
{
    struct mark m = s->directive;
    bool upstream = s->words.n > 0 && wr_str_is(s->words.at[0].word.text, "upstream");

    m.kind = kind;
    *wr_vec_push(s->pool, &s->marks) = m;
    *wr_vec_push(s->pool, &s->upstreams) = upstream;
}

static void on_word(struct scan *s, const struct wr_token *t)
{
    if (s->words.n == 0) {
        s->directive = mark_of(s, MARK_DIRECTIVE, t);
        *wr_vec_push(s->pool, &s->marks) = s->directive;
    }
    *wr_vec_push(s->pool, &s->words) = *t;
}

/* Opens a block whose "{" is missing: the first line is the block, the words of the next lines are
 * its first directive and stay in s->words. False: it is not such a block. */
static bool open_unopened(struct scan *s)
{
    uint32_t own = 1, n = s->words.n;

    while (own < n && s->words.at[own].word.line == s->words.at[0].word.line)
        own++;
    if (own >= n || !is_block_only(s->words.at[0].word.text, is_in_upstream(s)))
        return false;
    open_block(s, MARK_UNOPENED);
    s->unopened++;
    s->directive = mark_of(s, MARK_DIRECTIVE, &s->words.at[own]);
    s->words.n = n - own;
    memmove(s->words.at, s->words.at + own, s->words.n * sizeof(s->words.at[0]));
    return true;
}

static void on_semi(struct scan *s)
{
    while (open_unopened(s))
        ;
    s->words.n = 0;
}

static void on_open(struct scan *s, const struct wr_token *t)
{
    while (open_unopened(s))
        ;
    if (s->words.n > 0 && wr_is_lua_block(s->words.at[0].word.text)) {
        (void)wr_lex_skip_lua(&s->lex);
    } else {
        if (s->words.n == 0)
            s->directive = mark_of(s, MARK_OPEN, t);
        open_block(s, MARK_OPEN);
        s->depth++;
    }
    s->words.n = 0;
}

static void on_close(struct scan *s, const struct wr_token *t)
{
    *wr_vec_push(s->pool, &s->marks) = mark_of(s, MARK_CLOSE, t);
    if (s->upstreams.n > 0)
        s->upstreams.n--;
    s->words.n = 0;
    s->depth--;
    s->lowest = wr_min(s->lowest, s->depth);
}

static void scan_file(struct scan *s)
{
    for (;;) {
        struct wr_token token = wr_lex_next(&s->lex);

        switch (token.kind) {
        case WR_TOKEN_WORD:
        case WR_TOKEN_PLACEHOLDER:
            on_word(s, &token);
            break;
        case WR_TOKEN_SEMI:
            on_semi(s);
            break;
        case WR_TOKEN_OPEN:
            on_open(s, &token);
            break;
        case WR_TOKEN_CLOSE:
            on_close(s, &token);
            break;
        case WR_TOKEN_END:
            return;
        }
    }
}

/* ---- comparing braces with the indentation ---- */

struct sweep {
    struct wr_fixes fixes;
    const struct mark *open[OPEN_MAX];
    uint32_t depth;        /* number of open blocks */
    uint32_t found;        /* faults, including those that fixes has no room for */
};

static void add_fault(struct sweep *s, enum wr_fix_kind kind, const struct mark *m)
{
    if (s->found++ < WR_FIXES_MAX)
        s->fixes.at[s->fixes.n++] = (struct wr_fix){ kind, m->line, m->column };
}

static const struct mark *innermost_block(const struct sweep *s)
{
    return s->open[s->depth - 1];
}

/* A directive that is not indented further than the block around it is not in that block. */
static void see_directive(struct sweep *s, const struct mark *m)
{
    while (m->first && s->depth > 0 && m->indent <= innermost_block(s)->indent
           && m->line > innermost_block(s)->line) {
        add_fault(s, WR_FIX_CLOSE, m);
        s->depth--;
    }
}

static void see_close(struct sweep *s, const struct mark *m)
{
    while (m->first && s->depth > 1 && m->indent < innermost_block(s)->indent
           && m->indent <= s->open[s->depth - 2]->indent) {
        add_fault(s, WR_FIX_CLOSE, m);
        s->depth--;
    }
    if (s->depth == 0
        || (m->first && m->indent > innermost_block(s)->indent
            && m->line > innermost_block(s)->line))
        add_fault(s, WR_FIX_DROP, m);
    else
        s->depth--;
}

/* False: nested too deep. */
static bool sweep_mark(struct sweep *s, const struct mark *m)
{
    switch (m->kind) {
    case MARK_DIRECTIVE:
        see_directive(s, m);
        return true;
    case MARK_CLOSE:
        see_close(s, m);
        return true;
    case MARK_UNOPENED:
        add_fault(s, WR_FIX_OPEN, m);
        break;
    case MARK_OPEN:
        break;
    }
    if (s->depth == OPEN_MAX)
        return false;
    s->open[s->depth++] = m;
    return true;
}

/* False: there are more faults than the numbers of { and } account for, so the indentation is
 * arbitrary. If the numbers agree, a brace is in the wrong place, which is two faults. */
static bool is_plausible(const struct scan *scan, const struct sweep *s)
{
    uint32_t missing = (uint32_t)abs(scan->depth + scan->unopened);
    uint32_t faults = s->found - (uint32_t)scan->unopened + s->depth;

    return s->found <= WR_FIXES_MAX && faults <= (missing > 0 ? missing : 2);
}

struct wr_fixes wr_braces_fix(const struct wr_file *f)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *scratch = wr_tree_new(pool, "");
    struct scan scan = { .lex = wr_lex_on(scratch, f), .pool = pool };
    struct sweep sweep = { .depth = 0 };
    bool usable;

    wr_vault_pool(pool); /* a word may be a key (data:...) */
    scan_file(&scan);
    usable = (scan.depth != 0 || scan.lowest < 0 || scan.unopened > 0) && !scan.lex.reported;
    for (uint32_t i = 0; usable && i < scan.marks.n; i++)
        usable = sweep_mark(&sweep, &scan.marks.at[i]);
    if (!usable || !is_plausible(&scan, &sweep))
        sweep.fixes.n = 0;
    wr_pool_free(pool);
    return sweep.fixes;
}
