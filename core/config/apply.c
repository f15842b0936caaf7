/* apply: from nodes to module structs. Checks each directive of a block against its row and calls
 * the setter: first the simple directives, then definitions, late ones, nested scopes. Called by
 * conf.c for main and, through wr_cf_block, by the setters of blocks. Goes on after an error, to
 * find as many as possible in one run. */
#include "config/config_impl.h"

/* The directives of a block are applied in this order, within a pass in the order of the file. */
enum pass { PASS_SIMPLE, PASS_DEFINE, PASS_LATE, PASS_SCOPES, PASSES };

struct item {
    const struct wr_node *node;
    const struct wr_row *row;   /* NULL: refused, an error was reported */
    struct wr_scope *later;     /* scope of a WR_EARLY block, applied in PASS_SCOPES */
};

static enum pass pass_of(const struct wr_directive *row)
{
    if ((row->where & WR_DEFINE) != 0)
        return PASS_DEFINE;
    if ((row->where & WR_BLOCK) != 0)
        return (row->where & WR_EARLY) != 0 ? PASS_SIMPLE : PASS_SCOPES;
    return (row->where & WR_LATE) != 0 ? PASS_LATE : PASS_SIMPLE;
}

static const char *count_hint(struct wr_pool *pool, const struct wr_directive *row, uint32_t given)
{
    if (row->max == WR_ARGS_ANY)
        return wr_pool_fmt(pool, "it takes %u or more, %u given", row->min, given).p;
    if (row->min == row->max)
        return wr_pool_fmt(pool, "it takes %u, %u given", row->min, given).p;
    return wr_pool_fmt(pool, "it takes %u to %u, %u given", row->min, row->max, given).p;
}

/* Checks the node against its row, in nginx's order. False: reported. */
static bool is_well_formed(struct wr_conf *c, const struct wr_scope *s, const struct wr_node *n,
                           const struct wr_directive *row)
{
    bool wants_block = (row->where & (WR_BLOCK | WR_DEFINE)) != 0;
    uint32_t nargs = n->nwords - 1;
    const char *hint;

    if (n->block == wants_block && nargs >= row->min &&
        (row->max == WR_ARGS_ANY || nargs <= row->max))
        return true;
    if (n->faulty)
        return false;
    hint = wr_suggest_semicolon(c->pool, n, s, true);
    if (n->block && !wants_block)
        wr_diag_structural(c->tree, n, hint, "directive \"%s\" is not terminated by \";\"",
                           row->name);
    else if (!n->block && wants_block)
        wr_diag_structural(c->tree, n, hint, "directive \"%s\" has no opening \"{\"", row->name);
    else
        wr_diag_add(c->tree, WR_LOG_EMERG, n, 0,
                    hint != NULL ? hint : count_hint(c->pool, row, nargs),
                    "invalid number of arguments in \"%s\" directive", row->name);
    return false;
}

static const struct wr_row *find_row(struct wr_conf *c, const struct wr_scope *s,
                                     const struct wr_node *n)
{
    const struct wr_row *r = wr_row_find(n->words[0].text, s->layer, s->level);

    if (r == NULL) {
        wr_suggest_unknown(c->tree, s, n);
        return NULL;
    }
    if (n->faulty && !n->block)
        return NULL;
    return is_well_formed(c, s, n, r->row) ? r : NULL;
}

/* Marks the row as used in this block. False: it may be used once only and was used before. */
static bool mark_used(struct wr_conf *c, struct wr_scope *s, const struct wr_row *r, bool *first)
{
    if (s->written == NULL)
        s->written = WR_NEW_ARRAY(c->pool, uint64_t, wr_rows_count / 64 + 1);
    *first = !wr_bit_get(s->written, r->shared_index);
    if (!*first && (r->row->where & WR_MULTI) == 0)
        return false;
    wr_bit_set(s->written, r->shared_index);
    return true;
}

/* Warns of a directive that swallowed the next line and is valid all the same, as "server_name a"
 * before "listen 80;". */
static void warn_swallowed(const struct wr_cf *cf)
{
    const char *hint = wr_suggest_semicolon(cf->pool, cf->node, cf->scope, false);

    if (hint != NULL)
        wr_diag_add(cf->conf->tree, WR_LOG_WARN, cf->node, 0, hint,
                    "\"%s\" has the directive of a later line among its arguments",
                    cf->row->name);
}

static void apply_item(struct wr_conf *c, struct wr_scope *s, struct item *item)
{
    const struct wr_row *r = item->row;
    struct wr_cf cf = { .conf = c, .pool = c->pool, .scope = s, .node = item->node,
                        .row = r->row, .module = r->module, .nargs = item->node->nwords - 1,
                        .later = &item->later };
    uint32_t errors = c->tree->errors;

    if (!mark_used(c, s, r, &cf.first)) {
        wr_diag_add(c->tree, WR_LOG_EMERG, item->node, 0, NULL, "\"%s\" directive is duplicate",
                    r->row->name);
        return;
    }
    if (r->row->set(&cf, wr_scope_own(c->pool, s, r->module))) {
        warn_swallowed(&cf);
        return;
    }
    if ((r->row->where & WR_BLOCK) == 0)
        *wr_vec_push(c->pool, &c->tree->refused) = item->node;
    WR_ASSERT(c->tree->errors > errors || c->tree->full);
}

static void apply_pass(struct wr_conf *c, struct wr_scope *s, struct item *items, uint32_t n,
                       enum pass pass)
{
    uint32_t i;

    for (i = 0; i < n && !c->tree->full; i++) {
        struct item *item = &items[i];

        if (item->row == NULL)
            continue;
        if (pass_of(item->row->row) == pass) {
            apply_item(c, s, item);
        } else if (pass == PASS_SCOPES && item->later != NULL) {
            wr_scope_enter(c, item->later);
            wr_apply_scope(c, item->later, item->node);
        }
    }
}

void wr_apply_scope(struct wr_conf *c, struct wr_scope *s, const struct wr_node *block)
{
    const struct wr_node *n;
    struct item *items;
    uint32_t count = 0, i = 0;
    enum pass pass;

    for (n = block->children; n != NULL; n = n->next)
        count++;
    items = wr_calloc(count + 1, sizeof(*items));
    for (n = block->children; n != NULL; n = n->next, i++) {
        items[i].node = n;
        items[i].row = find_row(c, s, n);
        if (items[i].row == NULL)
            *wr_vec_push(c->pool, &c->tree->refused) = n;
    }
    for (pass = PASS_SIMPLE; pass < PASSES; pass++)
        apply_pass(c, s, items, count, pass);
    free(items);
}

bool wr_cf_block(struct wr_cf *cf, uint32_t layer, uint32_t level, void *object,
                 struct wr_scope **out)
{
    uint32_t errors = cf->conf->tree->errors;
    struct wr_scope *s = wr_scope_new(cf->pool, cf->scope, layer != 0 ? layer : cf->scope->layer,
                                      level);

    s->node = cf->node;
    s->object = object;
    if (out != NULL)
        *out = s;
    if ((cf->row->where & WR_EARLY) != 0) {
        *cf->later = s;
        return true;
    }
    wr_scope_enter(cf->conf, s);
    wr_apply_scope(cf->conf, s, cf->node);
    return cf->conf->tree->errors == errors;
}
