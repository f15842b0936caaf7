/* template: text with variables, "$remote_addr - ${host}:$1"; also amounts and `set`, which are
 * made of it. Setters compile templates; access logs, map values, keys and all other texts of an
 * exchange are evaluated from them. A template is a constant array of parts in the configuration's
 * pool.
 *
 * Evaluation is one pass: each part is appended to a bounded text. Nothing is measured before, so a
 * variable whose length changes between two evaluations does no harm. */
#include "text/text.h"

#define TEXT_FIRST 128
#define TEXT_MAX 65536

enum kind { LITERAL, VARIABLE, CAPTURE };

struct part {
    enum kind kind;
    uint32_t capture;
    struct wr_str text;
    const struct wr_var *var;
};

struct wr_template {
    uint32_t n;
    const struct part *parts;
};

/* ---- compile ---- */

struct compile {
    struct wr_cf *cf;
    uint32_t word;
    struct wr_str rest;
    WR_VEC(struct part) parts;
};

static struct part *add_part(struct compile *c, enum kind kind)
{
    struct part *p = wr_vec_push(c->cf->pool, &c->parts);

    p->kind = kind;
    return p;
}

/* Takes a name; c->rest begins after "$" or "${". */
static bool take_name(struct compile *c, bool bracket)
{
    struct wr_str name = wr_str_of(c->rest.p, 0);
    const struct wr_var *v;

    while (name.n < c->rest.n && wr_is_word_char(c->rest.p[name.n]))
        name.n++;
    c->rest = wr_str_skip(c->rest, name.n);
    if (name.n == 0)
        return wr_cf_error(c->cf, c->word, "invalid variable name");
    if (bracket) {
        if (c->rest.n == 0 || c->rest.p[0] != '}')
            return wr_cf_error_variable(
                c->cf, c->word, name, "the closing bracket in \"" WR_FMT "\" variable is missing",
                WR_ARG(name));
        c->rest = wr_str_skip(c->rest, 1);
    }
    v = wr_var_mention(c->cf, name, c->word);
    if (v == NULL)
        return false;
    add_part(c, VARIABLE)->var = v;
    return true;
}

/* Takes a variable or capture; c->rest begins after "$". */
static bool take_variable(struct compile *c)
{
    char first = c->rest.n > 0 ? c->rest.p[0] : '\0';

    if (first >= '1' && first <= '9') {
        add_part(c, CAPTURE)->capture = (uint32_t)(first - '0');
        c->rest = wr_str_skip(c->rest, 1);
        return true;
    }
    if (first == '{')
        c->rest = wr_str_skip(c->rest, 1);
    return take_name(c, first == '{');
}

struct wr_template *wr_template_new(struct wr_cf *cf, uint32_t i, struct wr_str text)
{
    struct compile c = { .cf = cf, .word = i, .rest = wr_pool_str(cf->pool, text) };
    struct wr_template *t;

    while (c.rest.n > 0) {
        struct wr_str literal = wr_str_of(c.rest.p, wr_str_find(c.rest, '$'));

        if (literal.n > 0)
            add_part(&c, LITERAL)->text = literal;
        if (literal.n == c.rest.n)
            break;
        c.rest = wr_str_skip(c.rest, literal.n + 1);
        if (!take_variable(&c))
            return NULL;
    }
    t = WR_NEW(cf->pool, struct wr_template);
    t->n = c.parts.n;
    t->parts = c.parts.at;
    return t;
}

bool wr_set_template(struct wr_cf *cf, void *conf)
{
    struct wr_template *t = wr_template_new(cf, 1, wr_cf_arg(cf, 1));

    *WR_FIELD(cf, conf, struct wr_template *) = t;
    return t != NULL;
}

/* ---- evaluate ---- */

/* False: not found; *out is empty. */
static bool part_value(struct wr_exchange *x, const struct part *p, struct wr_str *out)
{
    switch (p->kind) {
    case VARIABLE:
        return wr_var_value(x, p->var, out);
    case CAPTURE:
        return wr_capture(x, p->capture, out);
    case LITERAL:
        break;
    }
    *out = p->text;
    return true;
}

bool wr_template_literal(const struct wr_template *t, struct wr_str *out)
{
    if (t->n == 0)
        *out = wr_str_of("", 0);
    else if (t->n == 1 && t->parts[0].kind == LITERAL)
        *out = t->parts[0].text;
    else
        return false;
    return true;
}

bool wr_template_text(struct wr_exchange *x, const struct wr_template *t, struct wr_text *out)
{
    for (uint32_t i = 0; i < t->n && !out->overflow; i++) {
        struct wr_str v;

        (void)part_value(x, &t->parts[i], &v);
        wr_text_str(out, v);
    }
    return !out->overflow;
}

bool wr_template_captures(struct wr_exchange *x, const struct wr_template *t, struct wr_text *out,
                          void (*capture)(struct wr_text *out, struct wr_str text))
{
    for (uint32_t i = 0; i < t->n && !out->overflow; i++) {
        struct wr_str v;

        (void)part_value(x, &t->parts[i], &v);
        if (t->parts[i].kind == CAPTURE)
            capture(out, v);
        else
            wr_text_str(out, v);
    }
    return !out->overflow;
}

struct wr_str wr_template_str(struct wr_exchange *x, const struct wr_template *t)
{
    struct wr_str v = wr_str_of("", 0);
    struct wr_text text;

    if (t->n == 0)
        return v;
    if (t->n == 1) {
        (void)part_value(x, &t->parts[0], &v);
        if (v.n > TEXT_MAX)
            return wr_str_of(NULL, 0);
        return v.p != NULL ? v : wr_str_of("", 0);
    }
    text = wr_text_grow(x->pool, TEXT_FIRST, TEXT_MAX);
    return wr_template_text(x, t, &text) ? wr_text_view(&text) : wr_str_of(NULL, 0);
}

bool wr_template_true(struct wr_exchange *x, const struct wr_template *t)
{
    struct wr_str v = wr_template_str(x, t);

    /* p NULL: more than 64 KB, which is not empty. */
    return v.p == NULL || x->gave_up || (v.n > 0 && !wr_str_is(v, "0"));
}

/* ---- for logs: values are escaped, literals are not ---- */

/* Returns the text to write for c, which may be in buf; NULL: c is written as it is. */
typedef const char *escape_char(unsigned char c, char buf[static 8]);

static const char *escape_default(unsigned char c, char buf[static 8])
{
    if (c >= 32 && c <= 126 && c != '"' && c != '\\')
        return NULL;
    memcpy(buf, (char[]){ '\\', 'x', wr_hex_upper[c >> 4], wr_hex_upper[c & 15], '\0' }, 5);
    return buf;
}

static const char *escape_json(unsigned char c, char buf[static 8])
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    default:
        break;
    }
    if (c >= 32)
        return NULL;
    memcpy(buf, (char[]){ '\\', 'u', '0', '0', wr_hex_upper[c >> 4], wr_hex_upper[c & 15], '\0' },
           7);
    return buf;
}

static void append_escaped(struct wr_text *out, struct wr_str v, escape_char *escape)
{
    size_t clean = 0; /* beginning of the bytes that need no escape */

    for (size_t i = 0; i < v.n; i++) {
        char buf[8];
        const char *instead = escape((unsigned char)v.p[i], buf);

        if (instead == NULL)
            continue;
        wr_text_str(out, wr_str_of(v.p + clean, i - clean));
        wr_text_c(out, instead);
        clean = i + 1;
    }
    wr_text_str(out, wr_str_skip(v, clean));
}

static void append_value(struct wr_exchange *x, const struct part *p, enum wr_escape e,
                         struct wr_text *out)
{
    struct wr_str v;
    bool found = part_value(x, p, &v);

    if (p->kind == LITERAL || e == WR_ESCAPE_NONE)
        wr_text_str(out, v);
    else if (e == WR_ESCAPE_JSON)
        append_escaped(out, v, escape_json);
    else if (found)
        append_escaped(out, v, escape_default);
    else
        wr_text_char(out, '-');
}

bool wr_template_log(struct wr_exchange *x, const struct wr_template *t, enum wr_escape e,
                     struct wr_text *out)
{
    for (uint32_t i = 0; i < t->n && !out->overflow; i++)
        append_value(x, &t->parts[i], e, out);
    return !out->overflow;
}

/* ---- amounts ---- */

bool wr_set_amount(struct wr_cf *cf, void *conf)
{
    struct wr_amount *a = WR_FIELD(cf, conf, struct wr_amount);
    struct wr_str s = wr_cf_arg(cf, 1);

    *a = (struct wr_amount){ 0 };
    if (wr_str_find(s, '$') != s.n) {
        a->text = wr_template_new(cf, 1, s);
        return a->text != NULL;
    }
    return (s.n > 0 && wr_parse_size(s, &a->fixed) && wr_lower((unsigned char)s.p[s.n - 1]) != 'g')
        || wr_cf_error(cf, 1, "\"%s\" directive invalid value", cf->row->name);
}

uint64_t wr_amount_eval(struct wr_exchange *x, const struct wr_amount *a)
{
    uint64_t n;

    return wr_parse_size(wr_template_str(x, a->text), &n) ? n : 0;
}

/* ---- assignments: `set` of both layers ---- */

bool wr_assignment_conf(struct wr_cf *cf, struct wr_assignment *a, wr_var_get *unset)
{
    a->var = wr_var_define(cf, 1, unset, WR_VAR_CACHED | WR_VAR_SETTABLE);
    if (a->var == NULL)
        return false;
    a->value = wr_template_new(cf, 2, wr_cf_arg(cf, 2));
    return a->value != NULL;
}

void wr_assignment_run(struct wr_exchange *x, const struct wr_assignment *a)
{
    wr_var_store(x, a->var, wr_template_str(x, a->value));
}

bool wr_var_unset(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    wr_xlog(x, WR_LOG_WARN, 0, "using uninitialized \"" WR_FMT "\" variable", WR_ARG(v->name));
    *out = WR_STR("");
    return true;
}
