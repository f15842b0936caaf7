/* scope: the module structs of a block. A scope begins with its parent's array of structs; the
 * array and a struct are copied when a directive first writes. Called by apply.c and conf.c. */
#include "config/config_impl.h"

struct wr_scope *wr_scope_new(struct wr_pool *pool, struct wr_scope *parent, uint32_t layer,
                              uint32_t level)
{
    struct wr_scope *s = WR_NEW(pool, struct wr_scope);

    s->layer = layer;
    s->level = level;
    s->parent = parent;
    if (parent != NULL) {
        s->conf = parent->conf;
        if (parent->last_child != NULL)
            parent->last_child->next = s;
        else
            parent->children = s;
        parent->last_child = s;
    }
    return s;
}

static void own_array(struct wr_pool *pool, struct wr_scope *s)
{
    void **conf = WR_NEW_ARRAY(pool, void *, wr_modules_count + 1);

    if (s->conf != NULL)
        memcpy(conf, s->conf, wr_modules_count * sizeof(*conf));
    s->conf = conf;
    s->owned = WR_NEW_ARRAY(pool, uint64_t, wr_modules_count / 64 + 1);
}

void *wr_scope_own(struct wr_pool *pool, struct wr_scope *s, const struct wr_module *m)
{
    void *conf = s->conf[m->index];

    if (conf == NULL || wr_bit_get(s->owned, m->index))
        return conf;
    if (s->owned == NULL)
        own_array(pool, s);
    s->conf[m->index] = memcpy(wr_pool_alloc(pool, m->conf_size), conf, m->conf_size);
    wr_bit_set(s->owned, m->index);
    return s->conf[m->index];
}

/* True: the first struct of the module is made in this scope, see wr_module.conf_size. */
static bool must_begin_here(const struct wr_module *m, const struct wr_scope *s)
{
    const struct wr_directive *row;
    uint32_t home = 0;

    if (s->level == WR_LV_LAYER)
        return (m->layers & ~m->without & s->layer) != 0;
    for (row = m->directives; row != NULL && row->name != NULL; row++)
        if ((row->where & (WR_BLOCK | WR_DEFINE)) == 0)
            home |= row->where & (WR_LV_MAIN | WR_LV_EVENTS);
    if (home == 0 && m->layers == 0)
        home = WR_LV_MAIN;
    return (home & s->level) != 0;
}

/* True: s is the outermost scope that allows the row; its default is set there, once. */
static bool must_default_here(const struct wr_module *m, const struct wr_directive *row,
                              const struct wr_scope *s)
{
    uint32_t where = row->where & ~m->without;

    if (row->def == NULL)
        return false;
    if (s->level == WR_LV_MAIN)
        return (where & WR_LV_MAIN) != 0;
    if ((where & WR_LV_MAIN) != 0)
        return false;
    return (where & (s->level == WR_LV_EVENTS ? (uint32_t)WR_LV_EVENTS : s->layer)) != 0;
}

static void set_default(struct wr_conf *c, struct wr_scope *s, struct wr_module *m,
                        const struct wr_directive *row)
{
    struct wr_str text = wr_pool_fmt(c->pool, "%s %s;", row->name, row->def);
    struct wr_tree *t = wr_tree_parse_only(c->pool, "default", text);
    struct wr_cf cf = { .conf = c, .pool = c->pool, .scope = s, .node = t->root->children,
                        .row = row, .module = m, .first = true, .defaulting = true };

    WR_ASSERT(t->errors == 0 && cf.node != NULL && cf.node->next == NULL);
    cf.nargs = cf.node->nwords - 1;
    /* A refused default is a mistake in the table: every start fails with "in default:1". */
    if (!row->set(&cf, wr_scope_own(c->pool, s, m)))
        WR_ASSERT(c->tree->errors > 0);
}

static void begin_module(struct wr_conf *c, struct wr_scope *s, struct wr_module *m)
{
    const struct wr_directive *row;

    if (m->conf_size > 0 && s->conf[m->index] == NULL && must_begin_here(m, s)) {
        if (s->owned == NULL)
            own_array(c->pool, s);
        s->conf[m->index] = wr_pool_zalloc(c->pool, m->conf_size);
        wr_bit_set(s->owned, m->index);
    }
    for (row = m->directives; row != NULL && row->name != NULL; row++)
        if (must_default_here(m, row, s))
            set_default(c, s, m, row);
}

void wr_scope_enter(struct wr_conf *c, struct wr_scope *s)
{
    uint32_t i;

    if (s->parent != NULL)
        s->conf = s->parent->conf;
    else
        own_array(c->pool, s);
    for (i = 0; i < wr_modules_count; i++) {
        struct wr_module *m = wr_modules[i];

        if ((s->level & (WR_LV_MAIN | WR_LV_EVENTS | WR_LV_LAYER)) != 0)
            begin_module(c, s, m);
        else if ((s->level & (WR_LV_SERVER | WR_LV_LOCATION)) != 0 && m->enter != NULL &&
                 s->conf[i] != NULL)
            m->enter(s, wr_scope_own(c->pool, s, m));
    }
}

static bool visit_scopes(struct wr_scope *s, bool (*fn)(struct wr_scope *, void *), void *arg)
{
    struct wr_scope *child;

    if (!fn(s, arg))
        return false;
    for (child = s->children; child != NULL; child = child->next)
        if (!visit_scopes(child, fn, arg))
            return false;
    return true;
}

void wr_scope_each(struct wr_scope *s, bool (*fn)(struct wr_scope *, void *), void *arg)
{
    visit_scopes(s, fn, arg);
}
