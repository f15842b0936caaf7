/* suggest: hints for a directive that is unknown, in the wrong block or has swallowed the next one,
 * and for an unknown parameter. Called by apply.c, help.c and setters with parameters; owns
 * nothing. */
#include "config/config_impl.h"

#define HINT_MAX 256

static void consider_row(const struct wr_row *r, struct wr_str name, unsigned *near,
                         const char **found)
{
    unsigned d = wr_str_distance(name, wr_str_c(r->row->name), *near - 1);

    if (d < *near) {
        *near = d;
        *found = r->row->name;
    }
}

/* The smallest distance that is not near. Short names allow fewer edits: most of them are similar
 * to each other. */
static unsigned first_too_far(struct wr_str name)
{
    return name.n <= 3 ? 2 : name.n <= 6 ? 3 : 4;
}

const char *wr_suggest_name(struct wr_str name, uint32_t layer, uint32_t level)
{
    unsigned near = first_too_far(name);
    const char *found = NULL;
    uint32_t i;

    for (i = 0; i < wr_rows_count && near > 1; i++)
        if (wr_row_find(wr_str_c(wr_rows[i].row->name), layer, level) != NULL)
            consider_row(&wr_rows[i], name, &near, &found);
    return found;
}

/* True: the block is allowed in an outer scope; perhaps a "}" is missing before it. */
static bool may_belong_outside(const struct wr_scope *s, struct wr_str name)
{
    const struct wr_row *r = NULL;

    for (s = s->parent; s != NULL && r == NULL; s = s->parent)
        r = wr_row_find(name, s->layer, s->level);
    return r != NULL && (r->row->where & (WR_BLOCK | WR_DEFINE)) != 0;
}

/* Reports a directive that is allowed in other blocks only. */
static void report_misplaced(struct wr_tree *t, const struct wr_scope *s, const struct wr_node *n,
                             const struct wr_row *chain)
{
    char buf[HINT_MAX], hint[HINT_MAX + 128];
    struct wr_text text = wr_text_on(buf, sizeof(buf));
    uint32_t where = wr_row_where(chain, s->layer);
    const char *other = "";

    wr_where_text(where, &text);
    if (s->layer != 0 && (where & s->layer) == 0 && (where & WR_ANY) != 0)
        other = s->layer == WR_L4 ? "it belongs to http {}; " : "it belongs to stream {}; ";
    snprintf(hint, sizeof(hint), "%sallowed in: " WR_FMT "%s", other, WR_ARG(wr_text_view(&text)),
             may_belong_outside(s, n->words[0].text) ? "; is a \"}\" missing before it?" : "");
    wr_diag_structural(t, n, hint, "\"%s\" directive is not allowed here", chain->row->name);
}

/* Reports a name that some nginx has or had. False: none, nothing was reported. */
static bool report_known(struct wr_tree *t, const struct wr_node *n)
{
    struct wr_str name = n->words[0].text;
    const struct wr_removed_word *gone = wr_known_removed(name);
    const struct wr_nginx_word *w = wr_known_directive(name);
    const char *module = wr_known_elsewhere(name.p);

    if (gone != NULL)
        wr_diag_add(t, WR_LOG_EMERG, n, 0, gone->instead,
                    "unknown directive \"%s\": removed in nginx %s", gone->name, gone->version);
    else if (w != NULL)
        wr_diag_add(t, WR_LOG_EMERG, n, 0,
                    w->commercial
                        ? wr_pool_fmt(t->pool, "part of nginx's commercial subscription (module "
                                      "%s)", w->module).p
                        : wr_pool_fmt(t->pool, "nginx has it in module %s, for: %s", w->module,
                                      w->contexts).p,
                    "unknown directive \"%s\": known in nginx, not in this build", w->name);
    else if (module != NULL)
        wr_diag_add(t, WR_LOG_EMERG, n, 0,
                    wr_pool_fmt(t->pool, "it is a directive of %s", module).p,
                    "unknown directive \"" WR_FMT "\": of a third-party module, not in this build",
                    WR_ARG(name));
    return gone != NULL || w != NULL || module != NULL;
}

/* A parameter of another directive of this block that was written as a directive. NULL: it is not
 * one. */
static const char *word_of_another(struct wr_tree *t, const struct wr_scope *s, struct wr_str name)
{
    name.n = wr_str_find(name, '=');
    for (uint32_t i = 0; i < wr_rows_count; i++) {
        const struct wr_directive *row = wr_rows[i].row;

        if (wr_row_has_word(&wr_rows[i], name)
            && wr_row_find(wr_str_c(row->name), s->layer, s->level) != NULL)
            return wr_pool_fmt(t->pool, "it is a word of \"%s\": weir --help %s", row->name,
                               row->name).p;
    }
    return NULL;
}

void wr_suggest_unknown(struct wr_tree *t, const struct wr_scope *s, const struct wr_node *n)
{
    struct wr_str name = n->words[0].text;
    const struct wr_row *chain = wr_row_chain(name);
    const char *near, *hint = NULL;

    if (chain != NULL) {
        report_misplaced(t, s, n, chain);
        return;
    }
    if (report_known(t, n))
        return;
    near = wr_suggest_name(name, s->layer, s->level);
    hint = word_of_another(t, s, name);
    if (hint != NULL)
        near = NULL;
    if (wr_str_starts(name, WR_STR("\xef\xbb\xbf")))
        hint = "the file begins with a byte order mark: save it without one";
    else if (near != NULL)
        hint = wr_pool_fmt(t->pool, "did you mean \"%s\"?", near).p;
    wr_diag_add(t, WR_LOG_EMERG, n, 0, hint, "unknown directive \"" WR_FMT "\"", WR_ARG(name));
}

/* True: word i of n begins a line and is the name of a directive allowed here, with enough words
 * after it. guess: a similar name counts, too. */
static bool starts_directive(const struct wr_node *n, uint32_t i, const struct wr_scope *s,
                             bool guess)
{
    const struct wr_word *w = &n->words[i];
    const char *name = NULL;
    const struct wr_row *r;

    if (w->line == n->words[i - 1].line || w->quote != 0)
        return false;
    if (guess)
        name = wr_suggest_name(w->text, s->layer, s->level);
    r = wr_row_find(name != NULL ? wr_str_c(name) : w->text, s->layer, s->level);
    return r != NULL && n->nwords - 1 - i >= r->row->min;
}

const char *wr_suggest_semicolon(struct wr_pool *pool, const struct wr_node *n,
                                 const struct wr_scope *s, bool guess)
{
    uint32_t i;

    for (i = 1; i < n->nwords; i++) {
        const struct wr_word *last = &n->words[i - 1];

        if (starts_directive(n, i, s, guess))
            return wr_pool_fmt(pool, "missing \";\" after \"%.80s\" on line %u", last->text.p,
                               last->line).p;
    }
    return NULL;
}

/* ---- parameters ---- */

struct wr_param_near wr_param_near(struct wr_str word)
{
    struct wr_str name = wr_str_of(word.p, wr_str_find(word, '='));

    return (struct wr_param_near){ .word = word, .best = first_too_far(name) };
}

void wr_param_consider(struct wr_pool *pool, struct wr_param_near *n, const char *name, bool value)
{
    struct wr_str given = wr_str_of(n->word.p, wr_str_find(n->word, '='));
    unsigned d = wr_str_distance(given, wr_str_c(name), n->best);

    if (d >= n->best)
        return;
    n->best = d;
    if (d > 0)
        n->hint = wr_pool_fmt(pool, "did you mean \"%s%s\"?", name, value ? "=" : "").p;
    else if (value)
        n->hint = wr_pool_fmt(pool, "write \"%s=\" and a value", name).p;
    else
        n->hint = wr_pool_fmt(pool, "write \"%s\": it takes no value", name).p;
}
