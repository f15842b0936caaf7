/* location_conf: the directives location and limit_except. Each location becomes a scope and a
 * struct wr_location, which is added to its level: that of the server, or that inside another
 * location. */
#include "location_impl.h"

/* ---- location ---- */

static bool take_regex(struct wr_cf *cf, struct wr_location *loc, uint32_t i, struct wr_str pattern,
                       bool fold_case)
{
    loc->kind = WR_LOC_REGEX;
    loc->name = pattern;
    loc->fold_case = fold_case;
    loc->regex = wr_cf_regex(cf, i, pattern, fold_case);
    return loc->regex != NULL;
}

static bool take_text(struct wr_location *loc, enum wr_location_kind kind, struct wr_str name)
{
    loc->kind = kind;
    loc->name = name;
    return true;
}

/* "location = /a", also written "location =/a". i: the word the name is in. */
static bool take_modified(struct wr_cf *cf, struct wr_location *loc, struct wr_str modifier,
                          uint32_t i, struct wr_str name)
{
    if (wr_str_is(modifier, "="))
        return take_text(loc, WR_LOC_EXACT, name);
    if (wr_str_is(modifier, "^~"))
        return take_text(loc, WR_LOC_PREFIX_FINAL, name);
    if (wr_str_is(modifier, "~*") || wr_str_is(modifier, "~"))
        return take_regex(cf, loc, i, name, modifier.n == 2);
    return wr_cf_error_hint(cf, 1, "use one of =, ^~, ~ and ~*",
                            "invalid location modifier \"" WR_FMT "\"", WR_ARG(modifier));
}

static bool take_words(struct wr_cf *cf, struct wr_location *loc)
{
    static const char *const modifiers[] = { "=", "^~", "~*", "~" };
    struct wr_str s = wr_cf_arg(cf, 1);

    if (cf->nargs == 2)
        return take_modified(cf, loc, s, 2, wr_cf_arg(cf, 2));
    for (size_t i = 0; i < WR_COUNT(modifiers); i++) {
        struct wr_str m = wr_str_c(modifiers[i]);

        if (wr_str_starts(s, m))
            return take_modified(cf, loc, m, 1, wr_str_skip(s, m.n));
    }
    return take_text(loc, s.n > 0 && s.p[0] == '@' ? WR_LOC_NAMED : WR_LOC_PREFIX, s);
}

static bool fits_inside(struct wr_cf *cf, const struct wr_location *loc,
                        const struct wr_location *outer)
{
    uint32_t word = cf->nargs;

    if (outer->kind == WR_LOC_EXACT)
        return wr_cf_error(cf, word,
                           "location \"" WR_FMT "\" cannot be inside the exact location \"" WR_FMT
                           "\"",
                           WR_ARG(loc->name), WR_ARG(outer->name));
    if (outer->kind == WR_LOC_NAMED)
        return wr_cf_error(cf, word,
                           "location \"" WR_FMT "\" cannot be inside the named location \"" WR_FMT
                           "\"",
                           WR_ARG(loc->name), WR_ARG(outer->name));
    if (loc->kind == WR_LOC_NAMED)
        return wr_cf_error(cf, word,
                           "named location \"" WR_FMT "\" can be on the server level only",
                           WR_ARG(loc->name));
    if (loc->kind != WR_LOC_REGEX && !wr_str_starts(loc->name, outer->name))
        return wr_cf_error(cf, word, "location \"" WR_FMT "\" is outside location \"" WR_FMT "\"",
                           WR_ARG(loc->name), WR_ARG(outer->name));
    if (loc->kind != WR_LOC_REGEX && outer->kind == WR_LOC_REGEX)
        wr_cf_warn(cf, word, "location \"" WR_FMT "\" is never found inside the regex location \""
                   WR_FMT "\"", WR_ARG(loc->name), WR_ARG(outer->name));
    return true;
}

static struct wr_locations *new_level(struct wr_cf *cf)
{
    struct wr_location_state *state = wr_cf_state(cf, &wr_module_location);
    struct wr_locations *l = wr_locations_new(cf->pool);

    *wr_vec_push(cf->pool, &state->levels) = l;
    return l;
}

/* The level that loc belongs to; NULL: it is not allowed there, which was reported. */
static struct wr_locations *level_of(struct wr_cf *cf, const struct wr_location *loc)
{
    struct wr_location *outer;

    if (cf->scope->level == WR_LV_SERVER) {
        struct wr_http_server *server = WR_CHECK(cf->scope->object, HTTP_SERVER);

        if (server->locations == NULL)
            server->locations = new_level(cf);
        return server->locations;
    }
    outer = WR_CHECK(cf->scope->object, LOCATION);
    if (!fits_inside(cf, loc, outer))
        return NULL;
    if (outer->inner == NULL)
        outer->inner = new_level(cf);
    return outer->inner;
}

bool wr_set_location(struct wr_cf *cf, void *conf)
{
    struct wr_location_state *state = wr_cf_state(cf, &wr_module_location);
    struct wr_location *loc = WR_NEW(cf->pool, struct wr_location);
    struct wr_locations *level;
    struct wr_scope *scope;
    bool ok;

    (void)conf;
    WR_TYPED(loc, LOCATION);
    loc->order = state->n++;
    if (!take_words(cf, loc))
        return false;
    level = level_of(cf, loc);
    if (level == NULL)
        return false;
    if (!wr_locations_add(level, loc))
        return wr_cf_error(cf, cf->nargs, "duplicate location \"" WR_FMT "\"", WR_ARG(loc->name));
    ok = wr_cf_block(cf, 0, WR_LV_LOCATION, loc, &scope);
    loc->scope = scope;
    return ok;
}

/* ---- limit_except ---- */

static const struct wr_enum methods[] = {
    { "GET", 1U << WR_M_GET | 1U << WR_M_HEAD },
    { "HEAD", 1U << WR_M_HEAD },
    { "POST", 1U << WR_M_POST },
    { "PUT", 1U << WR_M_PUT },
    { "DELETE", 1U << WR_M_DELETE },
    { "MKCOL", 1U << WR_M_MKCOL },
    { "COPY", 1U << WR_M_COPY },
    { "MOVE", 1U << WR_M_MOVE },
    { "OPTIONS", 1U << WR_M_OPTIONS },
    { "PROPFIND", 1U << WR_M_PROPFIND },
    { "PROPPATCH", 1U << WR_M_PROPPATCH },
    { "LOCK", 1U << WR_M_LOCK },
    { "UNLOCK", 1U << WR_M_UNLOCK },
    { "PATCH", 1U << WR_M_PATCH },
    { NULL, 0 },
};

static bool take_methods(struct wr_cf *cf, uint32_t *mask)
{
    for (uint32_t i = 1; i <= cf->nargs; i++) {
        const struct wr_enum *m = methods;

        while (m->name != NULL && !wr_str_ieq(wr_cf_arg(cf, i), wr_str_c(m->name)))
            m++;
        if (m->name == NULL)
            return wr_cf_error(cf, i, "invalid method \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, i)));
        *mask |= m->value;
    }
    return true;
}

bool wr_set_limit_except(struct wr_cf *cf, void *conf)
{
    struct wr_location *outer = WR_CHECK(cf->scope->object, LOCATION);
    struct wr_location *limit = WR_NEW(cf->pool, struct wr_location);
    struct wr_scope *scope;
    bool ok;

    (void)conf;
    WR_TYPED(limit, LOCATION);
    limit->kind = WR_LOC_LIMIT;
    limit->name = outer->name;
    if (!take_methods(cf, &outer->unlimited))
        return false;
    ok = wr_cf_block(cf, 0, WR_LV_LIMIT_EXCEPT, limit, &scope);
    limit->scope = scope;
    outer->limited = scope;
    return ok;
}
