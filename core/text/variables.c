/* variables: the variables of a configuration and their values. Setters mention and define
 * variables while the configuration is loaded; templates, maps and logs ask for values while
 * traffic flows. Each layer has a registry, made by `prepare` from the tables of all modules, which
 * lives with the configuration; values and captures live with the exchange.
 *
 * At the first mention a name is looked up in the modules' rows, exact names before families. The
 * configuration may define it before or after (map, geo, set). As in nginx case does not matter,
 * and a name that stays undefined is an error.
 *
 * There are two kinds of definitions. One computes (map, geo, split_clients) and replaces an
 * earlier definition. One assigns (set, named captures: WR_VAR_SETTABLE): until it has assigned,
 * the variable has the value of the other definition, if there is one. */
#include "text/text.h"

#define GROUPS_MAX 32

#define NO_SLOT UINT32_MAX
#define CAPTURES 10 /* $1 to $9; 0 is the whole match and has no variable */

struct registry {
    struct wr_dict *rows;                       /* const struct wr_variable, except families */
    WR_VEC(const struct wr_variable *) families;
    struct wr_dict *vars;                       /* struct wr_var */
    WR_VEC(struct wr_var *) all;                /* the same, in order of mention */
    uint32_t slots;
};
struct vars {
    struct registry layer[2];
};

struct captures {
    uint32_t n;
    struct wr_str at[CAPTURES];
};

static struct registry *registry_of(const struct wr_conf *c, uint32_t layer)
{
    struct vars *v = wr_conf_state(c, &wr_module_vars);

    WR_ASSERT(layer == WR_L4 || layer == WR_L7);
    return &v->layer[layer == WR_L7];
}

/* ---- while the configuration is loaded ---- */

static void registry_add(struct wr_pool *pool, struct registry *r, const struct wr_variable *row)
{
    if ((row->flags & WR_VAR_PREFIX) != 0) {
        *wr_vec_push(pool, &r->families) = row;
        return;
    }
    WR_ASSERT(wr_dict_add(r->rows, wr_str_c(row->name), (void *)(uintptr_t)row) == NULL);
}

static void registry_init(struct wr_pool *pool, struct registry *r, uint32_t layer)
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
static struct registry *registry_here(struct wr_cf *cf, uint32_t i)
{
    if (cf->scope->layer == WR_L4 || cf->scope->layer == WR_L7)
        return registry_of(cf->conf, cf->scope->layer);
    (void)wr_cf_error(cf, i, "variables are available in stream and http only");
    return NULL;
}

static const struct wr_variable *find_family(const struct registry *r, struct wr_str name)
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

static void want_slot(struct registry *r, struct wr_var *v)
{
    if (v->slot == NO_SLOT && (v->flags & (WR_VAR_CACHED | WR_VAR_SETTABLE | WR_VAR_USER)) != 0)
        v->slot = r->slots++;
}

/* Fills a new variable from its row, if a module has one. */
static void take_row(struct registry *r, struct wr_var *v)
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

static struct wr_var *find_or_make(struct wr_cf *cf, struct registry *r, struct wr_str name,
                                   uint32_t i)
{
    struct wr_var *v = wr_dict_get(r->vars, name);

    if (v != NULL)
        return v;
    v = WR_NEW(cf->pool, struct wr_var);
    v->name = wr_pool_lower(cf->pool, name);
    v->slot = NO_SLOT;
    v->node = cf->node;
    v->word = i;
    take_row(r, v);
    (void)wr_dict_add(r->vars, v->name, v);
    *wr_vec_push(cf->pool, &r->all) = v;
    return v;
}

struct wr_var *wr_var_mention(struct wr_cf *cf, struct wr_str name, uint32_t i)
{
    struct registry *r = registry_here(cf, i);

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

static struct wr_var *define_variable(struct wr_cf *cf, struct registry *r, struct wr_str name,
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
    struct registry *r = registry_here(cf, i);
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
    struct registry *r = registry_here(cf, i);
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
static const char *nearest_hint(struct wr_pool *pool, const struct registry *r, struct wr_str wrong)
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
    const char *near = nearest_hint(cf->pool, registry_of(cf->conf, layer), name);

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
    const struct registry *r = registry_of(cf->conf, layer);
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
    const struct registry *r = registry_of(c, layer);

    for (uint32_t i = 0; i < r->all.n; i++)
        if (r->all.at[i]->get == get)
            return true;
    return false;
}

/* ---- while traffic flows ---- */

static struct wr_value *slot_of(struct wr_exchange *x, const struct wr_var *v)
{
    WR_ASSERT(v->slot != NO_SLOT);
    if (x->values == NULL)
        x->values = WR_NEW_ARRAY(x->pool, struct wr_value,
                                 registry_of(x->conf, x->layer->bit)->slots);
    return &x->values[v->slot];
}

/* Keeps a value with the topmost parent, as it may outlive a child that found it. */
static void remember_value(struct wr_exchange *x, const struct wr_var *v, struct wr_str value,
                           bool found)
{
    if (x->main != x)
        value = wr_pool_str(x->main->pool, value);
    *slot_of(x->main, v) = (struct wr_value){ .v = value, .known = true, .found = found };
}

/* Variables the configuration defines may refer to themselves. The variables being evaluated are a
 * list on the stack; one that is asked for again meanwhile is a cycle. */
struct frame {
    const struct wr_exchange *x;
    const struct wr_var *v;
    const struct frame *outer;
};
static const struct frame *evaluating;

static bool is_cycle(const struct wr_exchange *x, const struct wr_var *v)
{
    for (const struct frame *f = evaluating; f != NULL; f = f->outer)
        if (f->v == v && f->x == x)
            return true;
    return false;
}

static bool get_guarded(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    struct frame here = { x, v, evaluating };
    bool found;

    if (is_cycle(x, v)) {
        wr_xlog(x, WR_LOG_ERROR, 0, "cycle while evaluating variable \"" WR_FMT "\"",
                WR_ARG(v->name));
        return false;
    }
    evaluating = &here;
    found = v->get(x, v, out);
    evaluating = here.outer;
    return found;
}

bool wr_var_value(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_value *kept = x->main->values;
    bool found;

    if (v->slot != NO_SLOT && kept != NULL && kept[v->slot].known) {
        *out = kept[v->slot].v;
        return kept[v->slot].found;
    }
    *out = wr_str_of("", 0);
    found = (v->flags & WR_VAR_USER) != 0 ? get_guarded(x, v, out) : v->get(x, v, out);
    if (!found)
        *out = wr_str_of("", 0);
    /* Do not cache a value after a regex gave up: an error page may ask for it again. */
    if ((v->flags & WR_VAR_CACHED) != 0 && !x->gave_up)
        remember_value(x, v, *out, found);
    return found;
}

void wr_var_store(struct wr_exchange *x, const struct wr_var *v, struct wr_str value)
{
    if (v->set != NULL)
        (void)v->set(x, v, value);
    else
        remember_value(x, v, value, true);
}

/* Copies the captures, as the subject may be gone when they are used. */
void wr_captures_set(struct wr_exchange *x, const struct wr_regex *re, const struct wr_str *groups,
                     uint32_t n)
{
    const struct registry *r = registry_of(x->conf, x->layer->bit);
    struct captures *c = wr_ctx_of(x->main, &wr_module_vars);

    c->n = wr_min(n, (uint32_t)CAPTURES);
    for (uint32_t i = 1; i < n; i++) {
        struct wr_str name = wr_regex_name(re, i), text = groups[i];
        const struct wr_var *v = name.n > 0 ? wr_dict_get(r->vars, name) : NULL;

        if (text.p != NULL && (i < CAPTURES || v != NULL))
            text = wr_pool_str(x->main->pool, text);
        if (i < CAPTURES)
            c->at[i] = text;
        if (v != NULL)
            wr_var_store(x, v, text.p != NULL ? text : WR_STR(""));
    }
}

int wr_match(struct wr_exchange *x, const struct wr_regex *re, struct wr_str subject)
{
    struct wr_str groups[GROUPS_MAX];
    uint32_t n = wr_min(wr_regex_captures(re) + 1, GROUPS_MAX);
    int found = wr_regex_match(re, subject, groups, n);

    if (found < 0 && x != NULL) {
        x->gave_up = true;
        wr_xlog(x, WR_LOG_ERROR, 0, "regex \"" WR_FMT "\" failed on \"" WR_FMT "\"",
                WR_ARG(wr_regex_pattern(re)), WR_ARG(subject));
    }
    if (found > 0 && x != NULL)
        wr_captures_set(x, re, groups, n);
    return found;
}

bool wr_capture(const struct wr_exchange *x, uint32_t i, struct wr_str *out)
{
    const struct wr_exchange *m = x->main;
    const struct captures *c = m->ctx != NULL ? m->ctx[wr_module_vars.index] : NULL;

    *out = wr_str_of("", 0);
    if (c == NULL || i >= c->n || c->at[i].p == NULL)
        return false;
    *out = c->at[i];
    return true;
}

struct wr_module wr_module_vars = {
    .name = "vars",
    .layers = WR_ANY,
    .ctx_size = sizeof(struct captures),
    .prepare = vars_prepare,
    .missing = vars_missing,
};
