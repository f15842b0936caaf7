/* Private to the files of location: the levels of locations, the trie over their names and the
 * index of their regexes. */
#ifndef WR_LOCATION_IMPL_H
#define WR_LOCATION_IMPL_H

#include "http/http.h"

/* ---- levels ---- */
/* The result of wr_location_find when a regex failed (its match limit, say): answer 500. It has no
 * scope; compare its address. */
extern const struct wr_location wr_location_failed;
struct wr_locations;           /* a level: of a server, or inside a location */
struct wr_locations *wr_locations_new(struct wr_pool *p);
/* False: there is one of that name and kind already; but of several @NAME the first one counts. */
bool wr_locations_add(struct wr_locations *l, struct wr_location *loc);
void wr_locations_build(struct wr_locations *l); /* trie and regex index */
/* nginx's precedence: exact; longest prefix (nested searched in turn); then regexes in order
 * unless ^~. *redirect: the result has auto_redirect, and its name is the uri and a slash. NULL:
 * none matches. x: for captures (may be NULL in tests). */
const struct wr_location *wr_location_find(const struct wr_locations *l, struct wr_exchange *x,
                                           struct wr_str uri, bool *redirect);
const struct wr_location *wr_location_named(const struct wr_locations *l, struct wr_str name);

/* ---- directives ---- */
struct wr_location_state {      /* of a configuration, state of wr_module_location */
    WR_VEC(struct wr_locations *) levels; /* to be built after loading */
    uint32_t n;                 /* locations so far */
};
extern struct wr_module wr_module_location;
bool wr_set_location(struct wr_cf *cf, void *conf);
bool wr_set_limit_except(struct wr_cf *cf, void *conf);

/* ---- radix: a compact trie over bytes; a node may have a value ---- */
struct wr_radix {
    struct wr_str edge;         /* bytes between its parent and this node */
    char *firsts;               /* first byte of each child's edge */
    struct wr_radix **below;
    uint32_t n, cap;
    void *value;
};
/* Find or make the node of this key. A zeroed root is an empty trie. */
struct wr_radix *wr_radix_put(struct wr_pool *p, struct wr_radix *root, struct wr_str key);

static inline const struct wr_radix *wr_radix_child(const struct wr_radix *node, char first)
{
    const char *at = node->n > 0 ? memchr(node->firsts, (unsigned char)first, node->n) : NULL;

    return at != NULL ? node->below[at - node->firsts] : NULL;
}
/* Follow the edge that *rest begins with, and remove it from *rest. NULL: no such edge. */
static inline const struct wr_radix *wr_radix_down(const struct wr_radix *node,
                                                   struct wr_str *rest)
{
    const struct wr_radix *child = rest->n > 0 ? wr_radix_child(node, *rest->p) : NULL;

    if (child == NULL || !wr_str_starts(*rest, child->edge))
        return NULL;
    *rest = wr_str_skip(*rest, child->edge.n);
    return child;
}

/* ---- regex_index: which regexes of a level can match a uri, in the order of the file ---- */
struct wr_regex_index;
struct wr_regex_index *wr_regex_index_new(struct wr_pool *p, struct wr_location *const *regexes,
                                          uint32_t n);
#define WR_REGEX_CHAIN 8        /* most lists that a uri passes in one trie */
struct wr_regex_cursor {
    struct {
        struct wr_location *const *at;
        uint32_t left;
    } list[2 * WR_REGEX_CHAIN + 2];
    uint32_t n;
};
void wr_regex_cursor_start(struct wr_regex_cursor *c, const struct wr_regex_index *index,
                           struct wr_str uri);
const struct wr_location *wr_regex_cursor_next(struct wr_regex_cursor *c); /* NULL: no more */

#endif
