/* http_match: `match NAME { status ...; header ...; body ...; require ...; }`: what a reply to a
 * health check must be. All lines of a block must hold. Pure, but for reading the configuration. */
#include "http_check.h"

struct range { unsigned from, to; };
struct status_test {
    WR_VEC(struct range) ranges;
    bool not;                    /* none of them */
};
enum how { HAS, EQUALS, MATCHES };
struct text_test {               /* of a field, or of the body */
    struct wr_str name;          /* of the field */
    enum how how;
    bool not;
    struct wr_str text;          /* EQUALS */
    struct wr_regex *regex;      /* MATCHES */
};
struct required {                /* a variable that is neither empty nor "0" */
    struct wr_str name;          /* as written, with its $ */
    struct wr_str field;         /* of the reply, in words with "_"; p NULL: the status */
};
struct http_match {
    struct wr_match base;        /* first */
    WR_VEC(struct status_test) status;
    WR_VEC(struct text_test) fields, body;
    WR_VEC(struct required) required;
};

static const struct http_match *match_of(const struct wr_match *m)
{
    return wr_container(m, const struct http_match, base);
}

/* ---- a reply ---- */

static bool is_in(const struct status_test *t, unsigned status)
{
    for (uint32_t i = 0; i < t->ranges.n; i++)
        if (status >= t->ranges.at[i].from && status <= t->ranges.at[i].to)
            return true;
    return false;
}

static bool is_status_right(const struct wr_match *m, unsigned status)
{
    if (m == NULL)
        return status >= 200 && status < 400;
    for (uint32_t i = 0; i < match_of(m)->status.n; i++) {
        const struct status_test *t = &match_of(m)->status.at[i];

        if (is_in(t, status) == t->not)
            return false;
    }
    return true;
}

/* Takes a line off *lines. */
static struct wr_str take_field(struct wr_str *lines, struct wr_str *value)
{
    struct wr_str line = wr_str_cut(lines, '\n'), name = wr_str_cut(&line, ':');

    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    *value = wr_str_trim(line);
    return name;
}

static bool is_value_right(const struct text_test *t, struct wr_str value)
{
    return t->how == HAS || (t->how == EQUALS ? wr_str_eq(t->text, value)
                                              : wr_regex_match(t->regex, value, NULL, 0) == 1);
}

/* Is there a field with that name and value? */
static bool has_field(const struct text_test *t, struct wr_str lines)
{
    while (lines.n > 0) {
        struct wr_str value, name = take_field(&lines, &value);

        if (wr_str_ieq(name, t->name) && is_value_right(t, value))
            return true;
    }
    return false;
}

static void field_wrong(const struct text_test *t, struct wr_text *why)
{
    wr_text_c(why, "header ");
    wr_check_quote(why, t->name);
    if (t->how == HAS) {
        wr_text_c(why, t->not ? " is there" : " is missing");
        return;
    }
    wr_text_c(why, t->not ? " is not to " : " does not ");
    wr_text_c(why, t->how == EQUALS ? "equal " : "match ");
    wr_check_quote(why, t->how == EQUALS ? t->text : wr_regex_pattern(t->regex));
}

/* The name of a variable means "-" by "_". */
static bool is_variable_of(struct wr_str name, struct wr_str field)
{
    if (name.n != field.n)
        return false;
    for (size_t i = 0; i < name.n; i++)
        if ((name.p[i] == '-' ? '_' : (char)wr_lower((unsigned char)name.p[i])) != field.p[i])
            return false;
    return true;
}

static bool is_set(const struct required *r, const struct wr_http_head *h)
{
    struct wr_str lines = h->lines;

    if (r->field.p == NULL)
        return h->status != 0;
    while (lines.n > 0) {
        struct wr_str value, name = take_field(&lines, &value);

        if (is_variable_of(name, r->field))
            return value.n > 0 && !wr_str_is(value, "0");
    }
    return false;
}

bool wr_http_match_head(const struct wr_match *match, const struct wr_http_head *h,
                        struct wr_text *why)
{
    const struct http_match *m = match == NULL ? NULL : match_of(match);

    if (!is_status_right(match, h->status)) {
        wr_text_fmt(why, "HTTP %u", h->status);
        return false;
    }
    for (uint32_t i = 0; m != NULL && i < m->fields.n; i++) {
        if (has_field(&m->fields.at[i], h->lines) == m->fields.at[i].not) {
            field_wrong(&m->fields.at[i], why);
            return false;
        }
    }
    for (uint32_t i = 0; m != NULL && i < m->required.n; i++) {
        if (!is_set(&m->required.at[i], h)) {
            wr_text_fmt(why, "\"" WR_FMT "\" is empty or \"0\"", WR_ARG(m->required.at[i].name));
            return false;
        }
    }
    return true;
}

bool wr_http_match_wants_body(const struct wr_match *m)
{
    return m != NULL && match_of(m)->body.n > 0;
}

bool wr_http_match_body(const struct wr_match *match, struct wr_str body, struct wr_text *why)
{
    const struct http_match *m = match_of(match);

    for (uint32_t i = 0; i < m->body.n; i++) {
        const struct text_test *t = &m->body.at[i];
        int found = wr_regex_match(t->regex, body, NULL, 0);

        if (found < 0 || (found == 1) == t->not) {
            wr_text_c(why, found < 0 ? "the regex engine gave up on the body with "
                         : t->not ? "body matches " : "body does not match ");
            wr_check_quote(why, wr_regex_pattern(t->regex));
            return false;
        }
    }
    return true;
}

/* ---- the block ---- */

struct wr_match *wr_http_match_new(struct wr_pool *pool, struct wr_str name)
{
    struct http_match *m = WR_NEW(pool, struct http_match);

    m->base = (struct wr_match){ .name = name };
    return &m->base;
}

static bool is_status(struct wr_str s, unsigned *out)
{
    uint64_t n;

    if (s.n != 3 || !wr_str_u64(s, &n) || n < 100 || n > 599)
        return false;
    *out = (unsigned)n;
    return true;
}

static bool set_status(struct wr_cf *cf, struct http_match *m)
{
    struct status_test *t = wr_vec_push(cf->pool, &m->status);
    uint32_t i = 1;

    if (cf->nargs > 1 && wr_str_is(wr_cf_arg(cf, 1), "!")) {
        t->not = true;
        i++;
    }
    for (; i <= cf->nargs; i++) {
        struct wr_str rest = wr_cf_arg(cf, i), from = wr_str_cut(&rest, '-');
        struct range r;

        if (!is_status(from, &r.from) || !is_status(rest.p != NULL ? rest : from, &r.to)
            || r.to < r.from)
            return wr_cf_error(cf, i, "invalid status \"" WR_FMT "\": write a code or a range, "
                               "\"200\", \"200-399\"", WR_ARG(wr_cf_arg(cf, i)));
        *wr_vec_push(cf->pool, &t->ranges) = r;
    }
    return true;
}

/* Reads "~ REGEX", "!~ REGEX" and, for fields, "= TEXT", "!= TEXT" at word i. */
static bool set_operator(struct wr_cf *cf, uint32_t i, struct text_test *t, bool texts)
{
    static const struct { const char *op; enum how how; bool not, fold; } ops[] = {
        { "~", MATCHES, false, false }, { "!~", MATCHES, true, false },
        { "~*", MATCHES, false, true }, { "!~*", MATCHES, true, true },
        { "=", EQUALS, false, false }, { "!=", EQUALS, true, false },
    };

    for (size_t k = 0; k < WR_COUNT(ops); k++) {
        if (!wr_str_is(wr_cf_arg(cf, i), ops[k].op) || (ops[k].how == EQUALS && !texts))
            continue;
        t->how = ops[k].how;
        t->not = ops[k].not;
        t->text = wr_cf_arg(cf, i + 1);
        if (t->how == MATCHES)
            t->regex = wr_cf_regex(cf, i + 1, t->text, ops[k].fold);
        return t->how == EQUALS || t->regex != NULL;
    }
    return wr_cf_error(cf, i, "invalid operator \"" WR_FMT "\": use %s", WR_ARG(wr_cf_arg(cf, i)),
                       texts ? "=, !=, ~ or !~" : "~ or !~");
}

/* header NAME; header ! NAME; header NAME OP VALUE; */
static bool set_header(struct wr_cf *cf, struct http_match *m)
{
    struct text_test *t = wr_vec_push(cf->pool, &m->fields);
    uint32_t name = cf->nargs == 2 ? 2 : 1;

    if (cf->nargs == 2 && !wr_str_is(wr_cf_arg(cf, 1), "!"))
        return wr_cf_error(cf, 1, "invalid \"header\": write \"header NAME;\", \"header ! NAME;\" "
                           "or \"header NAME = VALUE;\"");
    t->name = wr_cf_arg(cf, name);
    t->not = cf->nargs == 2;
    if (t->name.n == 0)
        return wr_cf_error(cf, name, "empty name of a header");
    return cf->nargs < 3 || set_operator(cf, 2, t, true);
}

static bool set_body(struct wr_cf *cf, struct http_match *m)
{
    return set_operator(cf, 1, wr_vec_push(cf->pool, &m->body), false);
}

/* Only what the head of a reply says has a value here: there is no request. */
static bool set_require(struct wr_cf *cf, struct http_match *m)
{
    for (uint32_t i = 1; i <= cf->nargs; i++) {
        struct wr_str word = wr_cf_arg(cf, i), field = { NULL, 0 };
        struct required *r;

        if (word.n < 2 || word.p[0] != '$')
            return wr_cf_error(cf, i, "invalid variable name \"" WR_FMT "\"", WR_ARG(word));
        if (wr_str_starts(word, WR_STR("$upstream_http_")))
            field = wr_str_skip(word, strlen("$upstream_http_"));
        else if (!wr_str_is(word, "$upstream_status") && !wr_str_is(word, "$status"))
            return wr_cf_error(cf, i, "variable \"" WR_FMT "\" has no value in a health check; "
                               "\"require\" takes $upstream_http_NAME and $upstream_status",
                               WR_ARG(word));
        r = wr_vec_push(cf->pool, &m->required);
        r->name = word;
        r->field = field.p != NULL ? wr_pool_lower(cf->pool, field) : field;
    }
    return true;
}

bool wr_http_match_line(struct wr_cf *cf, struct wr_match *match)
{
    static const struct {
        const char *name, *takes;
        uint32_t min, max;
        bool (*set)(struct wr_cf *cf, struct http_match *m);
    } lines[] = {
        { "status", "\"status 200 301-399;\" or \"status ! 500;\"", 1, UINT32_MAX, set_status },
        { "header", "\"header NAME;\", \"header ! NAME;\" or \"header NAME = VALUE;\", VALUE in "
          "quotes if it has spaces", 1, 3, set_header },
        { "body", "\"body ~ REGEX;\" or \"body !~ REGEX;\"", 2, 2, set_body },
        { "require", "\"require $upstream_http_NAME;\"", 1, UINT32_MAX, set_require },
    };

    for (size_t i = 0; i < WR_COUNT(lines); i++) {
        if (!wr_str_is(wr_cf_arg(cf, 0), lines[i].name))
            continue;
        if (cf->nargs < lines[i].min || cf->nargs > lines[i].max)
            return wr_cf_error_hint(cf, 0, wr_pool_fmt(cf->pool, "write %s", lines[i].takes).p,
                                    "invalid number of arguments in \"%s\" directive",
                                    lines[i].name);
        return lines[i].set(cf, wr_container(match, struct http_match, base));
    }
    return wr_cf_error(cf, 0, "unknown directive \"" WR_FMT "\" in \"match\": a match of http has "
                       "\"status\", \"header\", \"body\" and \"require\"",
                       WR_ARG(wr_cf_arg(cf, 0)));
}
