/* Private to core/config: tokens, findings, the index of all rows, scopes while they are made. */
#ifndef WR_CONFIG_IMPL_H
#define WR_CONFIG_IMPL_H

#include "config/config.h"

/* ---- explain.c: findings ---- */
#define WR_ERRORS_MAX 1000 /* with different texts; the next one becomes "too many errors" */

void wr_diag_vput(struct wr_tree *t, enum wr_level level, struct wr_place at, const char *hint,
                  const char *fmt, va_list ap) WR_PRINTF(5, 0);
/* Reports an error at word 0 of n and sets wr_diag.structural. */
void wr_diag_structural(struct wr_tree *t, const struct wr_node *n, const char *hint,
                        const char *fmt, ...) WR_PRINTF(4, 5);
/* Drops the findings behind the first structural error, because they follow from it. For a tree
 * that is `broken`: braces do not match, and braces.c did not find where. */
void wr_diag_cut(struct wr_tree *t);

/* ---- lex.c ---- */
#define WR_WORD_MAX 65536 /* nginx stops at 4096 */

enum wr_token_kind {
    WR_TOKEN_WORD,
    WR_TOKEN_PLACEHOLDER, /* "{NAME}", left over from a template that was not filled in */
    WR_TOKEN_SEMI,
    WR_TOKEN_OPEN,
    WR_TOKEN_CLOSE,
    WR_TOKEN_END
};
struct wr_token {
    enum wr_token_kind kind;
    struct wr_word word; /* position; WORD and PLACEHOLDER: also the text */
    const char *line;    /* beginning of its (first) line */
};
struct wr_lex {
    struct wr_tree *tree;
    const struct wr_file *file;
    const char *p, *end, *line_start;
    uint32_t line;
    bool after_quote; /* the last token was a quoted word: white space must follow */
    bool reported;   /* the file ends inside something, which was reported */
};
struct wr_lex wr_lex_on(struct wr_tree *t, const struct wr_file *f);
struct wr_token wr_lex_next(struct wr_lex *l);
/* True: the block of this directive holds Lua, not directives. */
bool wr_is_lua_block(struct wr_str name);
/* Skips the Lua after that "{" and the "}" that ends it. False: there is no such "}". */
bool wr_lex_skip_lua(struct wr_lex *l);

/* ---- braces.c ---- */
enum wr_fix_kind {
    WR_FIX_CLOSE, /* a "}" is missing before the directive or the "}" here */
    WR_FIX_DROP,  /* the "}" here is one too many */
    WR_FIX_OPEN   /* the directive that begins here has no "{" at the end of its line */
};
#define WR_FIXES_MAX 8
struct wr_fixes { /* in the order of the text */
    uint32_t n;
    struct wr_fix {
        enum wr_fix_kind kind;
        uint32_t line, column;
    } at[WR_FIXES_MAX];
};
/* Finds the changes that make the braces of the file match its indentation. None if the braces
 * match or the indentation tells nothing. Pure. */
struct wr_fixes wr_braces_fix(const struct wr_file *f);

/* ---- tree.c ---- */
#define WR_NEST_MAX 64 /* depth of nested blocks, across included files */

struct wr_parse {
    struct wr_tree *tree;
    bool expand;             /* follow include */
    uint32_t files, levels;  /* depth in included files and in blocks */
};
struct wr_tree *wr_tree_new(struct wr_pool *pool, const char *path);
/* Appends the directives of the file to parent at *tail. Returns the new tail. */
struct wr_node **wr_tree_read(struct wr_parse *p, const struct wr_file *f, struct wr_node *parent,
                              struct wr_node **tail);

/* ---- source.c ---- */
struct wr_file *wr_source_add(struct wr_tree *t, const char *path, struct wr_str text);
/* Appends the directives of -g at *tail. Returns the new tail. */
struct wr_node **wr_source_globals(struct wr_parse *p, struct wr_str globals,
                                   struct wr_node **tail);
/* Appends the directives of the files that include directive n names. Returns the new tail. */
struct wr_node **wr_source_include(struct wr_parse *p, const struct wr_node *n,
                                   struct wr_node *parent, struct wr_node **tail);

/* ---- rows.c: the row of a name in a block ---- */
struct wr_row {
    const struct wr_directive *row;
    struct wr_module *module;
    uint32_t where;        /* row->where without the layers of module->without */
    uint32_t index;        /* in wr_rows */
    uint32_t shared_index; /* bit in wr_scope.written, of rows that count as one: wr_cf.first */
    struct wr_row *next;   /* of the same name */
};
extern struct wr_row *wr_rows; /* all rows of all modules, in order */
extern uint32_t wr_rows_count;
const struct wr_row *wr_row_chain(struct wr_str name); /* NULL: no such name */
bool wr_row_has_word(const struct wr_row *r, struct wr_str word); /* see wr_directive.words */
const struct wr_row *wr_row_find(struct wr_str name, uint32_t layer, uint32_t level);
/* The places where the name is allowed: in this layer or, if nowhere there, in all. */
uint32_t wr_row_where(const struct wr_row *chain, uint32_t layer);

/* ---- suggest.c ---- */
/* The most similar name that is allowed here; NULL: none is near. */
const char *wr_suggest_name(struct wr_str name, uint32_t layer, uint32_t level);
/* Reports why words[0] of n is not a directive in this scope. */
void wr_suggest_unknown(struct wr_tree *t, const struct wr_scope *s, const struct wr_node *n);
/* Returns a hint about a missing ";" if a later line of the directive begins with the name of a
 * directive, else NULL. guess: accept a misspelled name (if there is an error anyway). */
const char *wr_suggest_semicolon(struct wr_pool *pool, const struct wr_node *n,
                                 const struct wr_scope *s, bool guess);

/* ---- words.c and elsewhere.c: data ---- */
extern const struct wr_nginx_word wr_nginx_directives[], wr_nginx_variables[]; /* sorted */
extern const uint32_t wr_nginx_directives_count, wr_nginx_variables_count;
struct wr_other_word {
    const char *names;   /* patterns with * and ?, separated by spaces */
    const char *module;
};
extern const struct wr_other_word wr_other_words[]; /* the last one has names NULL */
struct wr_removed_word {
    const char *name, *version, *instead; /* version of nginx that removed it; a hint */
};
extern const struct wr_removed_word wr_removed_words[]; /* the last one has name NULL */

/* ---- known.c ---- */
const char *wr_known_elsewhere(const char *name);   /* its module; NULL: unknown */
const struct wr_removed_word *wr_known_removed(struct wr_str name);

/* ---- scope.c ---- */
static inline bool wr_bit_get(const uint64_t *bits, uint32_t i)
{
    return bits != NULL && (bits[i / 64] >> (i % 64) & 1) != 0;
}
static inline void wr_bit_set(uint64_t *bits, uint32_t i)
{
    bits[i / 64] |= UINT64_C(1) << (i % 64);
}
struct wr_scope *wr_scope_new(struct wr_pool *pool, struct wr_scope *parent, uint32_t layer,
                              uint32_t level);
/* Shares the structs of the parent as they are now. For main, events and the layers: also makes the
 * structs whose outermost scope this is, with their defaults. */
void wr_scope_enter(struct wr_conf *c, struct wr_scope *s);
/* The module's struct in s, first copied if it is shared with the parent. */
void *wr_scope_own(struct wr_pool *pool, struct wr_scope *s, const struct wr_module *m);

/* ---- apply.c ---- */
void wr_apply_scope(struct wr_conf *c, struct wr_scope *s, const struct wr_node *block);

#endif
