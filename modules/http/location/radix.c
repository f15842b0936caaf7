/* radix: a compact trie of byte strings: a node for each key and for each point where keys diverge;
 * the edges have the bytes between them. Filled while the configuration is loaded, walked on each
 * request (the walk is in location_impl.h). Keys are borrowed, nodes live in the pool. */
#include "location_impl.h"

static struct wr_radix *add_child(struct wr_pool *p, struct wr_radix *node, struct wr_str edge)
{
    struct wr_radix *child = WR_NEW(p, struct wr_radix);

    if (node->n == node->cap) {
        uint32_t cap = node->cap == 0 ? 2 : node->cap * 2;
        char *firsts = wr_pool_alloc(p, cap);
        struct wr_radix **below = WR_NEW_ARRAY(p, struct wr_radix *, cap);

        for (uint32_t i = 0; i < node->n; i++) {
            firsts[i] = node->firsts[i];
            below[i] = node->below[i];
        }
        node->firsts = firsts;
        node->below = below;
        node->cap = cap;
    }
    child->edge = edge;
    node->firsts[node->n] = *edge.p;
    node->below[node->n++] = child;
    return child;
}

/* Cut the edge after n bytes. Returns the new node that its upper part leads to. */
static struct wr_radix *split_edge(struct wr_pool *p, struct wr_radix **at, size_t n)
{
    struct wr_radix *lower = *at, *upper = WR_NEW(p, struct wr_radix);
    struct wr_str edge = lower->edge;

    upper->edge = wr_str_of(edge.p, n);
    lower->edge = wr_str_skip(edge, n);
    upper->firsts = wr_pool_alloc(p, 1);
    upper->below = WR_NEW_ARRAY(p, struct wr_radix *, 1);
    upper->n = upper->cap = 1;
    upper->firsts[0] = *lower->edge.p;
    upper->below[0] = lower;
    *at = upper;
    return upper;
}

struct wr_radix *wr_radix_put(struct wr_pool *p, struct wr_radix *root, struct wr_str key)
{
    struct wr_radix *node = root;

    while (key.n > 0) {
        const char *at = node->n > 0 ? memchr(node->firsts, (unsigned char)*key.p, node->n) : NULL;
        struct wr_radix **child;
        size_t same = 0;

        if (at == NULL)
            return add_child(p, node, key);
        child = &node->below[at - node->firsts];
        while (same < key.n && same < (*child)->edge.n && key.p[same] == (*child)->edge.p[same])
            same++;
        node = same < (*child)->edge.n ? split_edge(p, child, same) : *child;
        key = wr_str_skip(key, same);
    }
    return node;
}
