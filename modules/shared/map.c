/* map: a variable whose value depends on a text with variables: `map $key $variable { ... }`. Both
 * layers. The block becomes a table of keys (map_table.c) and a list of regexes, both immutable and
 * owned by the configuration; nothing is kept between exchanges. */
#include "text/text.h"
#include "map_table.h"

struct map_regex {
    struct wr_regex *re;
    struct wr_template *value;
};
struct map {
    uint32_t magic;
    struct wr_template *key;
    struct wr_map_table table;      /* values: struct wr_template */
    WR_VEC(struct map_regex) regexes; /* in the order of the file */
    struct wr_template *fallback;   /* NULL: the empty text */
    struct wr_var *var;
    bool hostnames;
};

/* Find the value of the first regex that matches; *out NULL: none does. False: the regex engine
 * failed, so the variable has no value. */
static bool find_regex(struct wr_exchange *x, const struct map *m, struct wr_str key,
                       const struct wr_template **out)
{
    *out = NULL;
    for (uint32_t i = 0; i < m->regexes.n; i++) {
        int found = wr_match(x, m->regexes.at[i].re, key);

        if (found > 0)
            *out = m->regexes.at[i].value;
        if (found != 0)
            return found > 0;
    }
    return true;
}

static bool map_get(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct map *m = WR_CHECK(v->object, MAP);
    struct wr_str key = wr_template_str(x, m->key), name = key;
    const struct wr_template *value;

    if (m->hostnames && name.n > 0 && name.p[name.n - 1] == '.')
        name.n--;
    value = wr_map_find(&m->table, name);
    if (value == NULL && !find_regex(x, m, key, &value))
        return false;
    if (value == NULL)
        value = m->fallback;
    *out = value != NULL ? wr_template_str(x, value) : WR_STR("");
    return out->p != NULL;
}

/* ---- the block ---- */

static bool put_regex(struct wr_cf *cf, struct map *m, struct wr_template *value)
{
    struct wr_str pattern = wr_str_skip(wr_cf_arg(cf, 0), 1);
    bool fold_case = pattern.n > 0 && pattern.p[0] == '*';
    struct wr_regex *re = wr_cf_regex(cf, 0, wr_str_skip(pattern, fold_case), fold_case);

    if (re == NULL)
        return false;
    *wr_vec_push(cf->pool, &m->regexes) = (struct map_regex){ re, value };
    return true;
}

static bool put_key(struct wr_cf *cf, struct map *m, struct wr_template *value)
{
    struct wr_str word = wr_cf_arg(cf, 0), key = word;

    /* A backslash escapes words with a special meaning: \default, \~, \include. */
    if (key.n > 0 && key.p[0] == '\\')
        key = wr_str_skip(key, 1);
    switch (wr_map_put(&m->table, key, m->hostnames, value)) {
    case WR_MAP_PUT:
        return true;
    case WR_MAP_TWICE:
        return wr_cf_error(cf, 0, "conflicting parameter \"" WR_FMT "\"", WR_ARG(word));
    case WR_MAP_INVALID:
        break;
    }
    return wr_cf_error(cf, 0, "invalid hostname or wildcard \"" WR_FMT "\"", WR_ARG(word));
}

static bool map_line(struct wr_cf *cf, struct map *m)
{
    struct wr_str key = wr_cf_arg(cf, 0);
    struct wr_template *value;

    if (cf->node->block)
        return wr_cf_error(cf, 0, "unexpected \"{\"");
    if (cf->node->nwords == 1 && wr_str_is(key, "hostnames"))
        return m->hostnames = true;
    if (cf->node->nwords == 1 && wr_str_is(key, "volatile")) {
        m->var->flags &= ~(uint32_t)WR_VAR_CACHED;
        return true;
    }
    if (cf->node->nwords != 2)
        return wr_cf_error(cf, 0, "invalid number of the map parameters");
    value = wr_template_new(cf, 1, wr_cf_arg(cf, 1));
    if (value == NULL)
        return false;
    if (!wr_str_is(key, "default"))
        return key.n > 0 && key.p[0] == '~' ? put_regex(cf, m, value) : put_key(cf, m, value);
    if (m->fallback != NULL)
        return wr_cf_error(cf, 0, "duplicate default map parameter");
    m->fallback = value;
    return true;
}

static bool set_map(struct wr_cf *cf, void *conf)
{
    const struct wr_node *block = cf->node;
    struct map *m = WR_NEW(cf->pool, struct map);
    bool ok = true;

    (void)conf;
    m->table.pool = cf->pool;
    m->key = wr_template_new(cf, 1, wr_cf_arg(cf, 1));
    m->var = wr_var_define(cf, 2, map_get, WR_VAR_USER | WR_VAR_CACHED);
    if (m->key == NULL || m->var == NULL)
        return false;
    WR_TYPED(m, MAP);
    m->var->object = m;
    for (const struct wr_node *line = block->children; line != NULL; line = line->next) {
        cf->node = line;
        ok = map_line(cf, m) && ok;
    }
    cf->node = block;
    return ok;
}

static const struct wr_bounds any_size = { 0, INT32_MAX };

static const struct wr_directive directives[] = {
    WR_CUSTOM("map", WR_ANY | WR_LV_LAYER | WR_DEFINE | WR_MULTI, 2, 2, set_map, NULL,
              "defines a variable whose value is looked up by a text with variables"),
    { .name = "map_hash_max_size", .where = WR_ANY | WR_LV_LAYER, .min = 1, .max = 1,
      .set = wr_set_ignored_num, .data = &any_size,
      .help = "no effect: the tables of map grow as needed" },
    { .name = "map_hash_bucket_size", .where = WR_ANY | WR_LV_LAYER, .min = 1, .max = 1,
      .set = wr_set_ignored_num, .data = &any_size,
      .help = "no effect: the tables of map have no buckets of fixed size" },
    { 0 }
};

struct wr_module wr_module_map = {
    .name = "map",
    .layers = WR_ANY,
    .directives = directives,
};
