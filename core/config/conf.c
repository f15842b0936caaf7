/* conf: one whole configuration, from a path or a text to finished structs, and its end. Called by
 * the application at start, at a reload and for -t. A configuration owns its pool, which holds
 * everything made of it, and references to its shared memory. */
#include "config/config_impl.h"

static struct wr_conf *conf_new(const char *prefix, const struct wr_conf *old)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_conf *c = WR_NEW(pool, struct wr_conf);
    size_t n = strlen(prefix);

    c->pool = pool;
    c->prefix = wr_pool_fmt(pool, "%s%s", prefix, n > 0 && prefix[n - 1] == '/' ? "" : "/").p;
    c->shm = wr_shm_set_new();
    c->old_shm = old != NULL ? old->shm : NULL;
    c->state = WR_NEW_ARRAY(pool, void *, wr_modules_count + 1);
    c->main = wr_scope_new(pool, NULL, 0, WR_LV_MAIN);
    return c;
}

static struct wr_cf cf_of(struct wr_conf *c)
{
    return (struct wr_cf){ .conf = c, .pool = c->pool, .scope = c->main };
}

static bool prepare_modules(struct wr_conf *c)
{
    struct wr_cf cf = cf_of(c);
    uint32_t i;

    for (i = 0; i < wr_modules_count; i++) {
        cf.module = wr_modules[i];
        if (cf.module->prepare != NULL && !cf.module->prepare(&cf))
            return false;
    }
    return true;
}

static bool finish_scope(struct wr_scope *s, void *arg)
{
    struct wr_cf cf = cf_of(arg);
    uint32_t i;

    cf.scope = s;
    cf.node = s->node;
    for (i = 0; i < wr_modules_count; i++) {
        cf.module = wr_modules[i];
        if (cf.module->finish != NULL && wr_bit_get(s->owned, i) &&
            !cf.module->finish(&cf, s, s->conf[i]))
            WR_ASSERT(cf.conf->tree->errors > 0);
    }
    return true;
}

static void check_modules(struct wr_conf *c)
{
    struct wr_cf cf = cf_of(c);
    uint32_t i;

    for (i = 0; i < wr_modules_count; i++) {
        cf.module = wr_modules[i];
        if (cf.module->check != NULL && !cf.module->check(&cf))
            WR_ASSERT(c->tree->errors > 0);
    }
}

static void report_missing(struct wr_conf *c)
{
    struct wr_cf cf = cf_of(c);

    for (uint32_t i = 0; i < wr_modules_count && !c->tree->broken; i++) {
        cf.module = wr_modules[i];
        if (cf.module->missing != NULL)
            cf.module->missing(&cf);
    }
}

static void apply_tree(struct wr_conf *c)
{
    if (!prepare_modules(c)) {
        WR_ASSERT(c->tree->errors > 0);
        return;
    }
    wr_scope_enter(c, c->main);
    wr_apply_scope(c, c->main, c->tree->root);
    if (wr_conf_events(c) == NULL)
        wr_scope_enter(c, wr_scope_new(c->pool, c->main, 0, WR_LV_EVENTS));
    if (c->tree->errors == 0)
        wr_scope_each(c->main, finish_scope, c);
    report_missing(c);
    if (c->tree->errors == 0)
        check_modules(c);
    if (c->tree->broken)
        wr_diag_cut(c->tree);
}

struct wr_conf *wr_conf_load(const char *path, struct wr_str globals, const char *prefix,
                             const struct wr_conf *old)
{
    struct wr_conf *c = conf_new(prefix, old);

    c->path = wr_pool_cstr(c->pool, wr_str_c(path));
    c->tree = wr_tree_load(c->pool, c->path, globals);
    apply_tree(c);
    c->old_shm = NULL;
    return c;
}

struct wr_conf *wr_conf_load_text(const char *name, struct wr_str text, struct wr_str globals,
                                  const char *prefix)
{
    struct wr_conf *c = conf_new(prefix, NULL);
    struct wr_parse p;

    c->path = wr_pool_cstr(c->pool, wr_str_c(name));
    c->tree = wr_tree_new(c->pool, c->path);
    c->tree->prefix = c->prefix;
    p = (struct wr_parse){ .tree = c->tree, .expand = true };
    wr_tree_read(&p, wr_source_add(c->tree, name, wr_pool_str(c->pool, text)), c->tree->root,
                 wr_source_globals(&p, globals, &c->tree->root->children));
    apply_tree(c);
    return c;
}

void wr_conf_drop_logs(struct wr_conf *c)
{
    while (c->logs.n > 0)
        wr_sink_release(c->logs.at[--c->logs.n]);
}

static void drop_logs(void *conf)
{
    wr_conf_drop_logs(conf);
}

void wr_conf_hold_log(struct wr_conf *c, struct wr_sink *sink)
{
    if (c->logs.n == 0)
        wr_pool_cleanup(c->pool, drop_logs, c);
    *wr_vec_push(c->pool, &c->logs) = sink;
}

/* Free the shared memory last: cleanups of the pool may still read it. */
void wr_conf_free(struct wr_conf *c)
{
    struct wr_shm_set *shm;

    if (c == NULL)
        return;
    shm = c->shm;
    wr_pool_free(c->pool);
    wr_shm_set_free(shm);
}

static struct wr_scope *child_of(const struct wr_conf *c, uint32_t layer, uint32_t level)
{
    struct wr_scope *s;

    for (s = c->main->children; s != NULL; s = s->next)
        if (s->layer == layer && s->level == level)
            return s;
    return NULL;
}

struct wr_scope *wr_conf_layer(const struct wr_conf *c, uint32_t layer)
{
    return child_of(c, layer, WR_LV_LAYER);
}

struct wr_scope *wr_conf_events(const struct wr_conf *c)
{
    return child_of(c, 0, WR_LV_EVENTS);
}
