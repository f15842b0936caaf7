/* values: the values of variables and the captures of the last match, while traffic flows.
 * Templates, maps and logs ask for values; rules with a regex set captures. Both live with the
 * topmost parent of an exchange, so that its children share them. */
#include "text/text_impl.h"

#define GROUPS_MAX 32

static struct wr_value *slot_of(struct wr_exchange *x, const struct wr_var *v)
{
    WR_ASSERT(v->slot != WR_NO_SLOT);
    if (x->values == NULL)
        x->values = WR_NEW_ARRAY(x->pool, struct wr_value,
                                 wr_registry_of(x->conf, x->layer->bit)->slots);
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

    if (v->slot != WR_NO_SLOT && kept != NULL && kept[v->slot].known) {
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
    const struct wr_registry *r = wr_registry_of(x->conf, x->layer->bit);
    struct wr_captures *c = wr_ctx_of(x->main, &wr_module_vars);

    c->n = wr_min(n, (uint32_t)WR_CAPTURES);
    for (uint32_t i = 1; i < n; i++) {
        struct wr_str name = wr_regex_name(re, i), text = groups[i];
        const struct wr_var *v = name.n > 0 ? wr_dict_get(r->vars, name) : NULL;

        if (text.p != NULL && (i < WR_CAPTURES || v != NULL))
            text = wr_pool_str(x->main->pool, text);
        if (i < WR_CAPTURES)
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
    const struct wr_captures *c = m->ctx != NULL ? m->ctx[wr_module_vars.index] : NULL;

    *out = wr_str_of("", 0);
    if (c == NULL || i >= c->n || c->at[i].p == NULL)
        return false;
    *out = c->at[i];
    return true;
}
