/* vary: see vary.h. */
#include "vary.h"

#define SEED 0x76617279U       /* "vary": a number is kept in files */

struct names {
    struct wr_str at[WR_CACHE_VARY_MAX];
    uint32_t n;
};

static bool is_name(struct wr_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!wr_is_alnum(s.p[i]) && (s.p[i] == '\0' || strchr("!#$%&'+-.^_`|~", s.p[i]) == NULL))
            return false;
    return s.n > 0;
}

static int compare_names(struct wr_str a, struct wr_str b)
{
    for (size_t i = 0; i < a.n && i < b.n; i++) {
        int d = wr_lower((unsigned char)a.p[i]) - wr_lower((unsigned char)b.p[i]);

        if (d != 0)
            return d;
    }
    return (a.n > b.n) - (a.n < b.n);
}

/* False: there is no room. */
static bool insert_name(struct names *l, struct wr_str name)
{
    uint32_t at = 0;
    int d = 1;

    while (at < l->n && (d = compare_names(l->at[at], name)) < 0)
        at++;
    if (at < l->n && d == 0)
        return true;
    if (l->n == WR_CACHE_VARY_MAX)
        return false;
    memmove(&l->at[at + 1], &l->at[at], (l->n - at) * sizeof(l->at[0]));
    l->at[at] = name;
    l->n++;
    return true;
}

static bool add_names(struct names *l, struct wr_str list)
{
    while (list.n > 0) {
        struct wr_str name = wr_str_trim(wr_str_cut(&list, ','));

        if (name.n > 0 && (!is_name(name) || !insert_name(l, name)))
            return false;
    }
    return true;
}

enum wr_vary wr_vary_names(const struct wr_fields *reply, struct wr_text *out)
{
    const struct wr_field *f = NULL;
    struct names l = { .n = 0 };

    while ((f = wr_fields_find(reply, WR_STR("Vary"), f)) != NULL)
        if (!add_names(&l, f->value))
            return WR_VARY_NEVER;
    for (uint32_t i = 0; i < l.n; i++) {
        if (i > 0)
            wr_text_char(out, ',');
        for (size_t c = 0; c < l.at[i].n; c++)
            wr_text_char(out, (char)wr_lower((unsigned char)l.at[i].p[c]));
    }
    if (out->overflow)
        return WR_VARY_NEVER;
    return l.n > 0 ? WR_VARY_BY : WR_VARY_NONE;
}

/* ---- values ---- */

enum { AS_IS = 0, LISTS = 1, ANY_CASE = 2 };

/* Says what may be changed in a value without changing its meaning. */
static unsigned syntax_of(struct wr_str name)
{
    if (wr_str_is(name, "accept-encoding") || wr_str_is(name, "accept-language")
        || wr_str_is(name, "accept-charset"))
        return LISTS | ANY_CASE;
    return wr_str_is(name, "accept") ? LISTS : AS_IS;
}

static bool is_mark(char c)
{
    return c == ',' || c == ';' || c == '=';
}

/* Is the white space at s.p[i] beside a mark, where it means nothing? */
static bool is_loose(struct wr_str s, size_t i)
{
    size_t end = i;

    if (i == 0 || is_mark(s.p[i - 1]))
        return true;
    while (end < s.n && (s.p[end] == ' ' || s.p[end] == '\t'))
        end++;
    return end == s.n || is_mark(s.p[end]);
}

static void write_list(struct wr_text *t, struct wr_str s, bool fold)
{
    char last = '\0';

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if ((c == ' ' || c == '\t') && (is_mark(last) || is_loose(s, i)))
            continue;
        last = c;
        wr_text_char(t, fold ? (char)wr_lower((unsigned char)c) : c);
    }
}

static void write_value(struct wr_text *t, struct wr_str value, unsigned syntax)
{
    value = wr_str_trim(value);
    if ((syntax & LISTS) != 0 && wr_str_find(value, '"') == value.n)
        write_list(t, value, (syntax & ANY_CASE) != 0);
    else
        wr_text_str(t, value);
}

/* False: the request does not have the field. */
static bool write_values(struct wr_text *t, const struct wr_fields *request, struct wr_str name)
{
    unsigned syntax = syntax_of(name);
    const struct wr_field *f = NULL;
    bool any = false;

    while ((f = wr_fields_find(request, name, f)) != NULL) {
        if (any)
            wr_text_c(t, (syntax & LISTS) != 0 ? "," : ", ");
        write_value(t, f->value, syntax);
        any = true;
    }
    return any;
}

bool wr_vary_variant(struct wr_str names, const struct wr_fields *request, struct wr_text *values,
                     struct wr_variant *out)
{
    size_t from[WR_CACHE_VARY_MAX], to[WR_CACHE_VARY_MAX];
    bool has[WR_CACHE_VARY_MAX];

    out->number = SEED;
    out->n = 0;
    while (names.n > 0) {
        uint32_t i = out->n;

        if (i == WR_CACHE_VARY_MAX)
            return false;
        out->at[i].name = wr_str_cut(&names, ',');
        from[i] = values->n;
        has[i] = write_values(values, request, out->at[i].name);
        to[i] = values->n;
        out->n++;
    }
    for (uint32_t i = 0; i < out->n; i++) { /* now the text stays where it is */
        struct wr_str v = wr_str_of(has[i] ? values->p + from[i] : NULL, to[i] - from[i]);

        out->at[i].value = v;
        out->number = wr_hash_stable(out->at[i].name, out->number);
        out->number = wr_hash_stable(v, out->number + has[i]);
    }
    out->number = wr_max(out->number, (uint64_t)1);
    return !values->overflow;
}
