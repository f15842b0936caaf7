/* regex_index: the regexes of one level of locations, so that a uri is tried only with those that
 * can match it. Two tries (one of them for ~*, in lower case) hold lists of regexes, each at the
 * text that every match begins with. A walk along the uri collects the lists on the way, and the
 * cursor returns their members in the order of the file. location_tree.c calls it on each request;
 * nothing is allocated then.
 *
 * The cursor has room for WR_REGEX_CHAIN lists of a trie. If the prefixes of more regexes extend
 * one another, the longer ones go into the list of a shorter prefix: they are tried more often, but
 * never missed. */
#include "location_impl.h"

struct list {
    WR_VEC(struct wr_location *) all;
};
struct wr_regex_index {
    struct list always;
    struct wr_radix exact, folded;
};

/* A regex and the list it goes into. */
struct entry {
    struct wr_location *loc;
    struct wr_str prefix;
    uint32_t position;          /* in the file */
    struct list *home;
};

static int by_prefix_length(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return x->prefix.n != y->prefix.n ? (x->prefix.n < y->prefix.n ? -1 : 1) : 0;
}

static int by_position(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return x->position < y->position ? -1 : 1;
}

/* Called for shorter prefixes first, so the lists on the way exist already. */
static struct list *home_of(struct wr_pool *p, struct wr_regex_index *index, const struct entry *e)
{
    struct wr_radix *root = e->loc->fold_case ? &index->folded : &index->exact;
    struct list *deepest = &index->always;
    const struct wr_radix *node = root;
    struct wr_str rest = e->prefix;
    struct wr_radix *own;
    uint32_t lists = 0;

    /* Almost every uri begins with a slash: such a prefix excludes nothing. */
    if (e->prefix.n <= 1)
        return &index->always;
    while ((node = wr_radix_down(node, &rest)) != NULL) {
        if (node->value != NULL) {
            deepest = node->value;
            lists++;
        }
    }
    if (lists == WR_REGEX_CHAIN)
        return deepest;
    own = wr_radix_put(p, root, e->prefix);
    if (own->value == NULL)
        own->value = WR_NEW(p, struct list);
    return own->value;
}

struct wr_regex_index *wr_regex_index_new(struct wr_pool *p, struct wr_location *const *regexes,
                                          uint32_t n)
{
    struct wr_regex_index *index = WR_NEW(p, struct wr_regex_index);
    struct entry *all = wr_calloc((size_t)n + 1, sizeof(*all));

    for (uint32_t i = 0; i < n; i++) {
        struct wr_str prefix = wr_regex_literal_prefix(regexes[i]->name);

        all[i].loc = regexes[i];
        all[i].position = i;
        all[i].prefix = regexes[i]->fold_case ? wr_pool_lower(p, prefix) : prefix;
    }
    qsort(all, n, sizeof(*all), by_prefix_length);
    for (uint32_t i = 0; i < n; i++)
        all[i].home = home_of(p, index, &all[i]);
    qsort(all, n, sizeof(*all), by_position);
    for (uint32_t i = 0; i < n; i++)
        *wr_vec_push(p, &all[i].home->all) = all[i].loc;
    free(all);
    return index;
}

/* ---- on each request ---- */

static void take_list(struct wr_regex_cursor *c, const struct list *l)
{
    if (l == NULL || l->all.n == 0)
        return;
    WR_ASSERT(c->n < WR_COUNT(c->list));
    c->list[c->n].at = l->all.at;
    c->list[c->n++].left = l->all.n;
}

static bool begins_folded(struct wr_str s, struct wr_str lower)
{
    if (s.n < lower.n)
        return false;
    for (size_t i = 0; i < lower.n; i++)
        if (wr_lower((unsigned char)s.p[i]) != (unsigned char)lower.p[i])
            return false;
    return true;
}

static void walk_folded(struct wr_regex_cursor *c, const struct wr_radix *node, struct wr_str uri)
{
    while (uri.n > 0) {
        node = wr_radix_child(node, (char)wr_lower((unsigned char)*uri.p));
        if (node == NULL || !begins_folded(uri, node->edge))
            return;
        take_list(c, node->value);
        uri = wr_str_skip(uri, node->edge.n);
    }
}

void wr_regex_cursor_start(struct wr_regex_cursor *c, const struct wr_regex_index *index,
                           struct wr_str uri)
{
    const struct wr_radix *node = &index->exact;
    struct wr_str rest = uri;

    c->n = 0;
    take_list(c, &index->always);
    while ((node = wr_radix_down(node, &rest)) != NULL)
        take_list(c, node->value);
    walk_folded(c, &index->folded, uri);
}

const struct wr_location *wr_regex_cursor_next(struct wr_regex_cursor *c)
{
    const struct wr_location *next;
    uint32_t best = c->n;

    for (uint32_t i = 0; i < c->n; i++)
        if (c->list[i].left > 0
            && (best == c->n || c->list[i].at[0]->order < c->list[best].at[0]->order))
            best = i;
    if (best == c->n)
        return NULL;
    next = *c->list[best].at++;
    c->list[best].left--;
    return next;
}
