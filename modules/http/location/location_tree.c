/* location_tree: finds the location of a uri. Locations form levels: those of a server, and those
 * inside one location. The setter of `location` adds each to its level, and wr_locations_build
 * completes a level after loading. The hook of phase FIND searches on each request, and allocates
 * nothing. Searching the names takes time proportional to the length of the uri, not to their
 * number.
 *
 * nginx's precedence: an exact name (=) at once; else the longest prefix, where locations inside it
 * come before those around it; then regexes in the order of the file, unless that prefix has ^~. A
 * ^~ excludes the regexes of its own level only, not those of the levels around it. Inside a regex
 * location only regexes are searched. */
#include "location_impl.h"

/* The locations of one name: there may be both `location = /a` and `location /a`. */
struct entry {
    const struct wr_location *exact, *prefix;
};
struct wr_locations {
    struct wr_pool *pool;
    struct wr_radix tree;       /* values: struct entry */
    struct wr_dict *named;      /* NULL: none */
    WR_VEC(struct wr_location *) regexes;
    struct wr_regex_index *index; /* NULL: no regexes */
};

const struct wr_location wr_location_failed = { .kind = WR_LOC_REGEX };

struct wr_locations *wr_locations_new(struct wr_pool *p)
{
    struct wr_locations *l = WR_NEW(p, struct wr_locations);

    l->pool = p;
    return l;
}

static bool add_text(struct wr_locations *l, const struct wr_location *loc)
{
    struct wr_radix *node = wr_radix_put(l->pool, &l->tree, loc->name);
    const struct wr_location **slot;
    struct entry *entry = node->value;

    if (entry == NULL)
        node->value = entry = WR_NEW(l->pool, struct entry);
    slot = loc->kind == WR_LOC_EXACT ? &entry->exact : &entry->prefix;
    if (*slot != NULL)
        return false;
    *slot = loc;
    return true;
}

static void add_named(struct wr_locations *l, struct wr_location *loc)
{
    if (l->named == NULL)
        l->named = wr_dict_new(l->pool, false);
    (void)wr_dict_add(l->named, loc->name, loc);
}

bool wr_locations_add(struct wr_locations *l, struct wr_location *loc)
{
    switch (loc->kind) {
    case WR_LOC_EXACT:
    case WR_LOC_PREFIX:
    case WR_LOC_PREFIX_FINAL:
        return add_text(l, loc);
    case WR_LOC_NAMED:
        add_named(l, loc);
        return true;
    case WR_LOC_REGEX:
        *wr_vec_push(l->pool, &l->regexes) = loc;
        return true;
    case WR_LOC_IF:
    case WR_LOC_LIMIT:
        break; /* not found by a uri */
    }
    WR_ASSERT(loc->kind < WR_LOC_IF);
    return false;
}

void wr_locations_build(struct wr_locations *l)
{
    if (l->regexes.n > 0)
        l->index = wr_regex_index_new(l->pool, l->regexes.at, l->regexes.n);
}

/* ---- on each request ---- */

enum outcome {
    NONE,       /* no location of this level */
    OPEN,       /* a prefix: a regex of this level or around it may still win */
    SETTLED,
    REDIRECTED  /* the uri lacks the slash of the location's name */
};

/* node is the last one on the uri's way, rest the bytes of the uri after it. Returns the location
 * whose name is the uri and a slash, if it has auto_redirect; else NULL. */
static const struct wr_location *find_with_slash(const struct wr_radix *node, struct wr_str rest)
{
    const struct wr_radix *child = wr_radix_child(node, rest.n > 0 ? *rest.p : '/');
    const struct entry *entry;

    if (child == NULL || child->edge.n != rest.n + 1 || child->edge.p[rest.n] != '/'
        || !wr_str_starts(child->edge, rest) || child->value == NULL)
        return NULL;
    entry = child->value;
    if (entry->exact != NULL && entry->exact->auto_redirect)
        return entry->exact;
    return entry->prefix != NULL && entry->prefix->auto_redirect ? entry->prefix : NULL;
}

static enum outcome find_text(const struct wr_locations *l, struct wr_str uri,
                              const struct wr_location **found)
{
    const struct wr_radix *node = &l->tree, *next = node;
    const struct wr_location *best = NULL, *redirect;
    struct wr_str rest = uri;

    for (; next != NULL; next = wr_radix_down(node, &rest)) {
        const struct entry *entry = next->value;

        node = next;
        if (entry == NULL)
            continue;
        if (rest.n == 0 && entry->exact != NULL) {
            *found = entry->exact;
            return SETTLED;
        }
        if (entry->prefix != NULL)
            best = entry->prefix;
    }
    redirect = best != NULL && best->name.n == uri.n ? NULL : find_with_slash(node, rest);
    if (redirect == NULL && best == NULL)
        return NONE;
    *found = redirect != NULL ? redirect : best;
    return redirect != NULL ? REDIRECTED : OPEN;
}

/* As in nginx, only regexes are searched inside a regex location. */
static enum outcome find_regex(const struct wr_locations *l, struct wr_exchange *x,
                               struct wr_str uri, const struct wr_location **found)
{
    const struct wr_location *loc;
    struct wr_regex_cursor c;

    if (l == NULL || l->index == NULL)
        return NONE;
    wr_regex_cursor_start(&c, l->index, uri);
    while ((loc = wr_regex_cursor_next(&c)) != NULL) {
        int match = wr_match(x, loc->regex, uri);

        if (match == 0)
            continue;
        *found = match > 0 ? loc : &wr_location_failed;
        if (match > 0)
            (void)find_regex(loc->inner, x, uri, found);
        return SETTLED;
    }
    return NONE;
}

static enum outcome find_in_level(const struct wr_locations *l, struct wr_exchange *x,
                                  struct wr_str uri, const struct wr_location **found)
{
    enum outcome text = find_text(l, uri, found), inner = NONE, regex = NONE;
    const struct wr_location *here = *found;

    if (text == SETTLED || text == REDIRECTED)
        return text;
    if (text == OPEN && here->inner != NULL)
        inner = find_in_level(here->inner, x, uri, found);
    if (inner == SETTLED || inner == REDIRECTED)
        return inner;
    if (!(text == OPEN && here->kind == WR_LOC_PREFIX_FINAL))
        regex = find_regex(l, x, uri, found);
    return regex != NONE ? regex : text;
}

const struct wr_location *wr_location_find(const struct wr_locations *l, struct wr_exchange *x,
                                           struct wr_str uri, bool *redirect)
{
    const struct wr_location *found = NULL;

    *redirect = find_in_level(l, x, uri, &found) == REDIRECTED;
    return found;
}

const struct wr_location *wr_location_named(const struct wr_locations *l, struct wr_str name)
{
    return l->named != NULL ? wr_dict_get(l->named, name) : NULL;
}
