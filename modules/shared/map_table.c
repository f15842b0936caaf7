/* map_table: exact keys and host names with wildcards, found label by label. map.c fills a table
 * while the configuration is read and asks it for each key; all memory is in the table's pool. */
#include "map_table.h"

static bool has_valid_labels(struct wr_str s)
{
    return s.n > 0 && s.p[0] != '.' && wr_str_find(s, '*') == s.n &&
           wr_str_search(s, WR_STR("..")) == s.n;
}

static bool add_key(struct wr_map_table *t, struct wr_dict **d, struct wr_str key, void *value)
{
    if (*d == NULL)
        *d = wr_dict_new(t->pool, true);
    return wr_dict_add(*d, key, value) == NULL;
}

static enum wr_map_put put_host(struct wr_map_table *t, struct wr_str key, void *value)
{
    struct wr_str name = key;
    bool dot = false, head = false, tail = false, fresh = true;

    if (wr_str_starts(key, WR_STR("*."))) {
        head = true;
        name = wr_str_skip(key, 2);
    } else if (key.n > 1 && key.p[0] == '.') {
        head = dot = true;
        name = wr_str_skip(key, 1);
    } else if (wr_str_ends(key, WR_STR(".*"))) {
        tail = true;
        name.n -= 2;
    }
    if (key.n > 0 && !has_valid_labels(name))
        return WR_MAP_INVALID;
    if (head)
        fresh = add_key(t, &t->head, name, value);
    if (tail)
        fresh = add_key(t, &t->tail, name, value);
    if (dot || (!head && !tail))
        fresh = add_key(t, &t->exact, name, value) && fresh;
    return fresh ? WR_MAP_PUT : WR_MAP_TWICE;
}

enum wr_map_put wr_map_put(struct wr_map_table *t, struct wr_str key, bool hostnames, void *value)
{
    if (hostnames)
        return put_host(t, key, value);
    return add_key(t, &t->exact, key, value) ? WR_MAP_PUT : WR_MAP_TWICE;
}

/* Drop labels from the left: for "a.b.c" look up "b.c", then "c". */
static void *find_head(const struct wr_dict *d, struct wr_str key)
{
    for (;;) {
        size_t at = wr_str_find(key, '.');
        void *value;

        if (at == key.n)
            return NULL;
        key = wr_str_skip(key, at + 1);
        value = wr_dict_get(d, key);
        if (value != NULL)
            return value;
    }
}

static void *find_tail(const struct wr_dict *d, struct wr_str key)
{
    for (;;) {
        size_t at = wr_str_rfind(key, '.');
        void *value;

        if (at == key.n)
            return NULL;
        key.n = at;
        value = wr_dict_get(d, key);
        if (value != NULL)
            return value;
    }
}

void *wr_map_find(const struct wr_map_table *t, struct wr_str key)
{
    void *value = t->exact != NULL ? wr_dict_get(t->exact, key) : NULL;

    if (value == NULL && t->head != NULL)
        value = find_head(t->head, key);
    if (value == NULL && t->tail != NULL)
        value = find_tail(t->tail, key);
    return value;
}
