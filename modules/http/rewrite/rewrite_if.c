/* rewrite_if: the condition of `if`: a variable that is true, a comparison, a regex, or a test of a
 * file. Called by rewrite.c. */
#include "../open/open_path.h"
#include "rewrite_impl.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

enum kind { IS_TRUE, IS_EQUAL, MATCHES, FILE_IS };

struct wr_condition {
    enum kind kind;
    bool negated;
    char test;                 /* of FILE_IS: f, d, e, x */
    const struct wr_var *var;
    struct wr_template *value; /* of IS_EQUAL; the path of FILE_IS */
    struct wr_regex *re;
};

/* ---- while traffic flows ---- */

static bool is_true(struct wr_str v)
{
    return v.n > 0 && !wr_str_is(v, "0");
}

static bool test_file(struct wr_exchange *x, const struct wr_condition *c)
{
    struct wr_text t = wr_text_grow(x->pool, 128, PATH_MAX);
    const char *path;
    struct wr_open_error e;
    struct stat st;

    if (!wr_template_text(x, c->value, &t) || !wr_text_cstr(&t, &path) || strlen(path) != t.n)
        return false;
    if (!wr_stat_path(x, path, &st, &e)) {
        if (wr_open_status(e.err) != 404)
            wr_xlog(x, WR_LOG_CRIT, e.err, "%s \"%s\" failed", e.call, path);
        return false;
    }
    switch (c->test) {
    case 'f':
        return S_ISREG(st.st_mode);
    case 'd':
        return S_ISDIR(st.st_mode);
    case 'x':
        return (st.st_mode & S_IXUSR) != 0;
    default:
        return true;
    }
}

static int eval_condition(struct wr_rewrite *rw, const struct wr_condition *c)
{
    struct wr_str v;

    if (c->kind == FILE_IS)
        return test_file(rw->x, c);
    (void)wr_var_value(rw->x, c->var, &v);
    if (c->kind == MATCHES)
        return wr_rewrite_match(rw, c->re, v);
    if (c->kind == IS_EQUAL)
        return wr_str_eq(v, wr_template_str(rw->x, c->value));
    return is_true(v);
}

int wr_condition_holds(struct wr_rewrite *rw, const struct wr_condition *c)
{
    int h = eval_condition(rw, c);

    return h < 0 ? h : (h > 0) != c->negated;
}

/* ---- the arguments ---- */

#define OPERANDS 3

/* The words between the parentheses. */
struct operands {
    struct wr_str at[OPERANDS];
    uint32_t word[OPERANDS], n; /* n may be OPERANDS + 1: too many */
};

static bool invalid_condition(struct wr_cf *cf, struct wr_str what)
{
    return wr_cf_error(cf, 1, "invalid condition \"" WR_FMT "\"", WR_ARG(what));
}

static bool split_operands(struct wr_cf *cf, struct operands *o)
{
    for (uint32_t i = 1; i <= cf->nargs; i++) {
        struct wr_str s = wr_cf_arg(cf, i);
        bool edge = false;

        if (i == 1) {
            if (s.n == 0 || s.p[0] != '(')
                return invalid_condition(cf, s);
            s = wr_str_skip(s, 1);
            edge = true;
        }
        if (i == cf->nargs) {
            if (s.n == 0 || s.p[s.n - 1] != ')')
                return invalid_condition(cf, o->n > 0 ? o->at[0] : s.n > 0 ? s : wr_cf_arg(cf, i));
            s.n--;
            edge = true;
        }
        if (edge && s.n == 0)
            continue; /* the word is a parenthesis alone */
        if (o->n < OPERANDS) {
            o->at[o->n] = s;
            o->word[o->n] = i;
        }
        o->n = wr_min(o->n + 1, (uint32_t)OPERANDS + 1);
    }
    return o->n > 0 || invalid_condition(cf, wr_cf_arg(cf, cf->nargs));
}

static bool parse_regex(struct wr_cf *cf, const struct operands *o, bool fold,
                        struct wr_condition *c)
{
    c->kind = MATCHES;
    c->re = wr_cf_regex(cf, o->word[2], o->at[2], fold);
    return c->re != NULL;
}

/* o->n is 3: variable, operator, value. */
static bool parse_comparison(struct wr_cf *cf, const struct operands *o, struct wr_condition *c)
{
    struct wr_str op = o->at[1];

    c->negated = op.n > 1 && op.p[0] == '!';
    if (c->negated)
        op = wr_str_skip(op, 1);
    if (wr_str_is(op, "=")) {
        c->kind = IS_EQUAL;
        c->value = wr_template_new(cf, o->word[2], o->at[2]);
        return c->value != NULL;
    }
    if (wr_str_is(op, "~"))
        return parse_regex(cf, o, false, c);
    if (wr_str_is(op, "~*"))
        return parse_regex(cf, o, true, c);
    return wr_cf_error(cf, o->word[1], "unexpected \"" WR_FMT "\" in condition", WR_ARG(o->at[1]));
}

static bool parse_variable(struct wr_cf *cf, const struct operands *o, struct wr_condition *c)
{
    c->var = wr_var_mention(cf, wr_str_skip(o->at[0], 1), o->word[0]);
    if (c->var == NULL)
        return false;
    c->kind = IS_TRUE;
    if (o->n == 1)
        return true;
    if (o->n == 3)
        return parse_comparison(cf, o, c);
    return invalid_condition(cf, o->at[0]);
}

/* "-f path", "!-f path". */
static bool parse_file(struct wr_cf *cf, const struct operands *o, struct wr_condition *c)
{
    struct wr_str test = o->at[0];

    c->kind = FILE_IS;
    c->negated = test.n > 0 && test.p[0] == '!';
    if (c->negated)
        test = wr_str_skip(test, 1);
    if (o->n != 2 || test.n != 2 || test.p[0] != '-' || strchr("fdex", test.p[1]) == NULL)
        return invalid_condition(cf, o->at[0]);
    c->test = test.p[1];
    c->value = wr_template_new(cf, o->word[1], o->at[1]);
    return c->value != NULL;
}

const struct wr_condition *wr_condition_new(struct wr_cf *cf)
{
    struct wr_condition *c = WR_NEW(cf->pool, struct wr_condition);
    struct operands o = { .n = 0 };
    bool ok;

    if (!split_operands(cf, &o))
        return NULL;
    if (o.at[0].n > 1 && o.at[0].p[0] == '$')
        ok = parse_variable(cf, &o, c);
    else
        ok = parse_file(cf, &o, c);
    return ok ? c : NULL;
}
