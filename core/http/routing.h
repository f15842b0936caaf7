/* routing: what the files that find servers and locations share: the radix trie, the index of
 * regexes, and the setters of server_name, location and the file directives. For core/http only. */
#ifndef WR_ROUTING_H
#define WR_ROUTING_H

#include "http/http.h"

/* ---- radix: a compact trie over bytes; a node may have a value ---- */
struct wr_radix {
    struct wr_str edge;         /* bytes between its parent and it */
    char *firsts;               /* first byte of each child's edge */
    struct wr_radix **below;
    uint32_t n, cap;
    void *value;
};
/* The node of this key, made when it is not there. A zeroed root is an empty trie. */
struct wr_radix *wr_radix_put(struct wr_pool *p, struct wr_radix *root, struct wr_str key);

static inline const struct wr_radix *wr_radix_child(const struct wr_radix *node, char first)
{
    const char *at = node->n > 0 ? memchr(node->firsts, (unsigned char)first, node->n) : NULL;

    return at != NULL ? node->below[at - node->firsts] : NULL;
}
/* One edge down when *rest begins with it; *rest becomes what is behind. NULL: no such edge. */
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
#define WR_REGEX_CHAIN 8        /* lists a uri can run into in one trie */
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

/* ---- directives ---- */
extern const struct wr_directive wr_http_rows[];
struct wr_http_state {          /* of a configuration, state of wr_module_http */
    WR_VEC(struct wr_http_server *) servers;
    WR_VEC(struct wr_locations *) levels;   /* of locations: to be built after loading */
    uint32_t locations;
    struct wr_dict *types;      /* what holds without types {} */
};
bool wr_http_set_aio(struct wr_cf *cf, void *conf);
bool wr_http_set_http(struct wr_cf *cf, void *conf);
bool wr_http_set_server(struct wr_cf *cf, void *conf);
bool wr_http_set_listen(struct wr_cf *cf, void *conf);
bool wr_http_set_location(struct wr_cf *cf, void *conf);
bool wr_http_set_limit_except(struct wr_cf *cf, void *conf);
bool wr_http_set_root(struct wr_cf *cf, void *conf);
bool wr_http_set_types(struct wr_cf *cf, void *conf);
struct wr_dict *wr_http_default_types(struct wr_pool *p);
/* A new level of locations: of a server, or inside of a location. */
struct wr_locations *wr_http_level(struct wr_cf *cf);

#endif
