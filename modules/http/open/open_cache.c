/* open_cache: the elements that open_file_cache keeps, see open_impl.h. Called by open_path. A
 * hash table with chains, and a list in the order of use. */
#include "open_impl.h"

struct wr_open_cache {
    uint32_t n, max, nbuckets;
    uint64_t inactive_ms;
    struct wr_link recent;
    struct wr_open_known **bucket; /* NULL until the first use, so that a master has none */
};

void wr_open_cache_drop(struct wr_open_cache *c, struct wr_open_known *k)
{
    struct wr_open_known **at = &c->bucket[k->hash % c->nbuckets];

    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    wr_list_remove(&k->recent);
    wr_opened_drop(k->file);
    free(k);
    c->n--;
}

static struct wr_open_known *oldest_known(struct wr_open_cache *c)
{
    return wr_container(c->recent.prev, struct wr_open_known, recent);
}

static void drop_all(void *arg)
{
    struct wr_open_cache *c = arg;

    while (c->n > 0)
        wr_open_cache_drop(c, oldest_known(c));
    free(c->bucket);
}

struct wr_open_cache *wr_open_cache_new(struct wr_pool *pool, uint32_t max, uint64_t inactive_ms)
{
    struct wr_open_cache *c = WR_NEW(pool, struct wr_open_cache);

    c->max = max;
    c->nbuckets = wr_min(max, 65536U);
    c->inactive_ms = inactive_ms;
    wr_list_init(&c->recent);
    wr_pool_cleanup(pool, drop_all, c);
    return c;
}

static struct wr_open_known *add_known(struct wr_open_cache *c, struct wr_str key, uint64_t hash)
{
    struct wr_open_known **at = &c->bucket[hash % c->nbuckets];
    struct wr_open_known *k;

    if (c->n == c->max)
        wr_open_cache_drop(c, oldest_known(c));
    k = wr_calloc(1, sizeof(*k) + key.n + 1);
    memcpy(k->key, key.p, key.n);
    k->n = key.n;
    k->hash = hash;
    k->next = *at;
    *at = k;
    c->n++;
    return k;
}

struct wr_open_known *wr_open_cache_use(struct wr_open_cache *c, struct wr_str key)
{
    uint64_t hash = wr_hash(key);
    struct wr_open_known *k;

    if (c->bucket == NULL)
        c->bucket = wr_calloc(c->nbuckets, sizeof(struct wr_open_known *));
    while (c->n > 0 && oldest_known(c)->used_ms + c->inactive_ms < wr_now())
        wr_open_cache_drop(c, oldest_known(c));
    k = c->bucket[hash % c->nbuckets];
    while (k != NULL && (k->hash != hash || !wr_str_eq(wr_str_of(k->key, k->n), key)))
        k = k->next;
    if (k == NULL)
        k = add_known(c, key, hash);
    wr_list_remove(&k->recent);
    wr_list_unshift(&c->recent, &k->recent);
    k->used_ms = wr_now();
    k->uses++;
    return k;
}
