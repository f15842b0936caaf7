/* variables: the variables of a configuration. Setters mention and define them while it is loaded;
 * values.c evaluates them while traffic flows. Each layer has a registry, made by `prepare` from
 * the tables of all modules; it lives with the configuration.
 *
 * At the first mention a name is looked up in the modules' rows, exact names before families. The
 * configuration may define it before or after (map, geo, set). As in nginx case does not matter,
 * and a name that stays undefined is an error.
 *
 * There are two kinds of definitions. One computes (map, geo, split_clients) and replaces an
 * earlier definition. One assigns (set, named captures: WR_VAR_SETTABLE): until it has assigned,
 * the variable has the value of the other definition, if there is one. */
#include "text/text_impl.h"

struct vars {
    struct wr_registry layer[2];
};

struct wr_registry *wr_registry_of(const struct wr_conf *c, uint32_t layer)
{
    struct vars *v = wr_conf_state(c, &wr_module_vars);

    WR_ASSERT(layer == WR_L4 || layer == WR_L7);
    return &v->layer[layer == WR_L7];
}

static void registry_add(struct wr_pool *pool, struct wr_registry *r, const struct wr_variable *row)
{
    if ((row->flags & WR_VAR_PREFIX) != 0) {
        *wr_vec_push(pool, &r->families) = row;
        return;
    }
    WR_ASSERT(wr_dict_add(r->rows, wr_str_c(row->name), (void *)(uintptr_t)row) == NULL);
}

static void registry_init(struct wr_pool *pool, struct wr_registry *r, uint32_t layer)
{
    r->rows = wr_dict_new(pool, true);
    r->vars = wr_dict_new(pool, true);
    for (struct wr_module *const *m = wr_modules; *m != NULL; m++)
        for (const struct wr_variable *v = (*m)->variables; v != NULL && v->name != NULL; v++)
            if ((v->layers & ~(*m)->without & layer) != 0)
                registry_add(pool, r, v);
}

static bool vars_prepare(struct wr_cf *cf)
{
    struct vars *v = WR_NEW(cf->pool, struct vars);

    registry_init(cf->pool, &v->layer[0], WR_L4);
    registry_init(cf->pool, &v->layer[1], WR_L7);
    wr_cf_state(cf, &wr_module_vars) = v;
    return true;
}

static bool is_valid_name(struct wr_str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!wr_is_word_char(name.p[i]))
            return false;
    return name.n > 0;
}

/* The registry of the directive's layer. NULL: it is outside of both, which was reported. */
static struct wr_registry *registry_here(struct wr_cf *cf, uint32_t i)
{
    if (cf->scope->layer == WR_L4 || cf->scope->layer == WR_L7)
        return wr_registry_of(cf->conf, cf->scope->layer);
    (void)wr_cf_error(cf, i, "variables are available in stream and http only");
    return NULL;
}

static const struct wr_variable *find_family(const struct wr_registry *r, struct wr_str name)
{
    const struct wr_variable *best = NULL;

    for (uint32_t i = 0; i < r->families.n; i++) {
        struct wr_str prefix = wr_str_c(r->families.at[i]->name);

        if (name.n >= prefix.n && wr_str_ieq(wr_str_of(name.p, prefix.n), prefix)
            && (best == NULL || prefix.n > strlen(best->name)))
            best = r->families.at[i];
    }
    return best;
}

static void want_slot(struct wr_registry *r, struct wr_var *v)
{
    if (v->slot == WR_NO_SLOT && (v->flags & (WR_VAR_CACHED | WR_VAR_SETTABLE | WR_VAR_USER)) != 0)
        v->slot = r->slots++;
}

/* Fills a new variable from its row, if a module has one. */
static void take_row(struct wr_registry *r, struct wr_var *v)
{
    const struct wr_variable *row = wr_dict_get(r->rows, v->name);

    if (row == NULL) {
        row = find_family(r, v->name);
        if (row == NULL)
            return;
        v->tail = wr_str_skip(v->name, strlen(row->name));
    }
    v->get = row->get;
    v->set = row->set;
    v->data = row->data;
    v->flags = row->flags;
    want_slot(r, v);
}

static struct wr_var *find_or_make(struct wr_cf *cf, struct wr_registry *r, struct wr_str name,
                                   uint32_t i)
{
    struct wr_var *v = wr_dict_get(r->vars, name);

    if (v != NULL)
        return v;
    v = WR_NEW(cf->pool, struct wr_var);
    v->name = wr_pool_lower(cf->pool, name);
    v->slot = WR_NO_SLOT;
    v->node = cf->node;
    v->word = i;
    take_row(r, v);
    (void)wr_dict_add(r->vars, v->name, v);
    *wr_vec_push(cf->pool, &r->all) = v;
    return v;
}

struct wr_var *wr_var_mention(struct wr_cf *cf, struct wr_str name, uint32_t i)
{
    struct wr_registry *r = registry_here(cf, i);

    if (r == NULL)
        return NULL;
    if (!is_valid_name(name)) {
        (void)wr_cf_error(cf, i, "invalid variable name \"" WR_FMT "\"", WR_ARG(name));
        return NULL;
    }
    return find_or_make(cf, r, name, i);
}

static bool get_nothing(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)x;
    (void)v;
    (void)out;
    return false;
}

static struct wr_var *define_variable(struct wr_cf *cf, struct wr_registry *r, struct wr_str name,
                                      uint32_t i, wr_var_get *get, uint32_t flags)
{
    const struct wr_variable *row = wr_dict_get(r->rows, name);
    struct wr_var *v;

    if (row != NULL && (row->flags & WR_VAR_SETTABLE) == 0) {
        (void)wr_cf_error(cf, i, "the duplicate \"" WR_FMT "\" variable", WR_ARG(name));
        return NULL;
    }
    v = find_or_make(cf, r, name, i);
    /* A definition replaces the variable of a family. */
    if (row == NULL && (v->flags & WR_VAR_PREFIX) != 0) {
        v->get = NULL;
        v->set = NULL;
        v->flags = 0;
        v->tail = wr_str_of("", 0);
    }
    if (v->get == NULL || (flags & WR_VAR_SETTABLE) == 0) {
        v->get = get != NULL ? get : get_nothing;
        v->object = NULL;
        v->data = 0;
        v->flags = flags | (v->flags & WR_VAR_SETTABLE);
    }
    v->flags |= WR_VAR_USER | (flags & WR_VAR_SETTABLE);
    want_slot(r, v);
    return v;
}

struct wr_var *wr_var_define(struct wr_cf *cf, uint32_t i, wr_var_get *get, uint32_t flags)
{
    struct wr_registry *r = registry_here(cf, i);
    struct wr_str word = wr_cf_arg(cf, i);

    if (r == NULL)
        return NULL;
    /* nginx allows any characters here, but then the variable cannot be used. */
    if (word.n < 2 || word.p[0] != '$' || !is_valid_name(wr_str_skip(word, 1))) {
        (void)wr_cf_error(cf, i, "invalid variable name \"" WR_FMT "\"", WR_ARG(word));
        return NULL;
    }
    return define_variable(cf, r, wr_str_skip(word, 1), i, get, flags);
}

struct wr_regex *wr_cf_regex(struct wr_cf *cf, uint32_t i, struct wr_str pattern, bool fold_case)
{
    struct wr_registry *r = registry_here(cf, i);
    struct wr_regex_error err;
    struct wr_regex *re;

    if (r == NULL)
        return NULL;
    re = wr_regex_compile(cf->pool, pattern, fold_case, &err);
    if (re == NULL) {
        struct wr_str rest = wr_str_skip(pattern, err.offset);

        if (rest.n > 0)
            (void)wr_cf_error(cf, i,
                              "pcre2_compile() failed: %s in \"" WR_FMT "\" at \"" WR_FMT "\"",
                              err.text, WR_ARG(pattern), WR_ARG(rest));
        else
            (void)wr_cf_error(cf, i, "pcre2_compile() failed: %s in \"" WR_FMT "\"", err.text,
                              WR_ARG(pattern));
        return NULL;
    }
    for (uint32_t group = 1; group <= wr_regex_captures(re); group++) {
        struct wr_str name = wr_regex_name(re, group);

        if (name.n > 0
            && define_variable(cf, r, name, i, get_nothing, WR_VAR_CACHED | WR_VAR_SETTABLE)
                   == NULL)
            return NULL;
    }
    return re;
}

/* ---- undefined variables ---- */

/* Hint with the most similar name; NULL: none is similar. */
static const char *nearest_hint(struct wr_pool *pool, const struct wr_registry *r,
                                struct wr_str wrong)
{
    unsigned max = wrong.n < 3 ? 0 : wrong.n < 6 ? 1 : 2, best = max + 1;
    struct wr_str found = wr_str_of(NULL, 0);

    for (struct wr_module *const *m = wr_modules; *m != NULL; m++) {
        for (const struct wr_variable *v = (*m)->variables; v != NULL && v->name != NULL; v++) {
            struct wr_str name = wr_str_c(v->name);
            unsigned d = wr_str_distance(wrong, name, max);

            if (d < best && wr_dict_get(r->rows, name) == v) {
                best = d;
                found = name;
            }
        }
    }
    for (uint32_t i = 0; i < r->all.n; i++) {
        unsigned d = wr_str_distance(wrong, r->all.at[i]->name, max);

        if (r->all.at[i]->get != NULL && d < best) {
            best = d;
            found = r->all.at[i]->name;
        }
    }
    if (found.n == 0)
        return NULL;
    return wr_pool_fmt(pool, "did you mean \"$" WR_FMT "\"?", WR_ARG(found)).p;
}

/* True: the refused directive n, or one in its block, may define the variable: "$name" or a named
 * group. */
static bool may_define(const struct wr_node *n, struct wr_str name)
{
    for (uint32_t i = 1; i < n->nwords; i++) {
        struct wr_str word = n->words[i].text;
        size_t group = wr_str_find(word, '<');

        if (word.n == name.n + 1 && word.p[0] == '$' && wr_str_ieq(wr_str_skip(word, 1), name))
            return true;
        for (; group < word.n; group += 1 + wr_str_find(wr_str_skip(word, group + 1), '<'))
            if (word.n - group > name.n + 1 && word.p[group + 1 + name.n] == '>'
                && wr_str_ieq(wr_str_of(word.p + group + 1, name.n), name))
                return true;
    }
    for (const struct wr_node *c = n->children; c != NULL; c = c->next)
        if (wr_str_ieq(c->words[0].text, name) || may_define(c, name)
            || (c->words[0].text.n == name.n + 1
                && wr_str_ieq(wr_str_skip(c->words[0].text, 1), name)))
            return true;
    return false;
}

static bool was_refused(const struct wr_tree *t, struct wr_str name)
{
    for (uint32_t i = 0; i < t->refused.n; i++)
        if (may_define(t->refused.at[i], name))
            return true;
    return false;
}

/* True: nginx has it in this layer. */
static bool is_nginx_variable(const struct wr_nginx_word *w, uint32_t layer)
{
    const char *here = layer == WR_L4 ? "ngx_stream_" : "ngx_http_";
    const char *there = layer == WR_L4 ? "ngx_http_" : "ngx_stream_";

    return w != NULL && (strstr(w->module, here) != NULL || strstr(w->module, there) == NULL);
}

static const char *hint_of(struct wr_cf *cf, uint32_t layer, const struct wr_nginx_word *w,
                           struct wr_str name)
{
    const char *near = nearest_hint(cf->pool, wr_registry_of(cf->conf, layer), name);

    if (!is_nginx_variable(w, layer))
        return w == NULL || near != NULL
                   ? near
                   : wr_pool_fmt(cf->pool, "nginx has it in %s {}",
                                 layer == WR_L4 ? "http" : "stream").p;
    return wr_pool_fmt(cf->pool, w->commercial
                           ? "part of nginx's commercial subscription (module %s)"
                           : "nginx has it in module %s", w->module).p;
}

static void report_unknown(struct wr_cf *cf, uint32_t layer)
{
    const struct wr_registry *r = wr_registry_of(cf->conf, layer);
    struct wr_tree *t = cf->conf->tree;

    for (uint32_t i = 0; i < r->all.n; i++) {
        const struct wr_var *v = r->all.at[i];
        const struct wr_nginx_word *w = wr_known_variable(v->name);
        bool known = is_nginx_variable(w, layer);

        if (v->get == NULL && (known || !was_refused(t, v->name)))
            wr_diag_put(t, WR_LOG_EMERG, wr_place_variable(v->node, v->word, v->name),
                        hint_of(cf, layer, w, v->name), "unknown \"" WR_FMT "\" variable%s",
                        WR_ARG(v->name), known ? ": known in nginx, not in this build" : "");
    }
}

static void vars_missing(struct wr_cf *cf)
{
    report_unknown(cf, WR_L4);
    report_unknown(cf, WR_L7);
}

bool wr_var_used(const struct wr_conf *c, uint32_t layer, wr_var_get *get)
{
    const struct wr_registry *r = wr_registry_of(c, layer);

    for (uint32_t i = 0; i < r->all.n; i++)
        if (r->all.at[i]->get == get)
            return true;
    return false;
}

struct wr_module wr_module_vars = {
    .name = "vars",
    .layers = WR_ANY,
    .ctx_size = sizeof(struct wr_captures),
    .prepare = vars_prepare,
    .missing = vars_missing,
};
