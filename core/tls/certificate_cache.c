/* certificate_cache: ssl_certificate_cache: keeps certificates and keys whose names have variables
 * between handshakes. Each process has its own. An entry is dropped if it was not used for
 * `inactive`, or if its file has changed, which is checked once in `valid`. pem asks before it
 * reads a file. */
#include "tls/tls_impl.h"

#include <sys/stat.h>

#define BUCKETS 1024

struct cached {
    struct wr_link link;         /* in wr_tls_cache.all: the last used first */
    struct wr_link bucket;       /* entries of the same hash */
    struct wr_tls_pair pair;     /* a certificate with its chain, or a key */
    bool key;                    /* it is a key */
    struct timespec mtime;
    ino_t inode;
    off_t size;
    uint64_t checked_ms, used_ms;
    struct wr_str name;          /* path; its bytes follow the struct */
};
struct wr_tls_cache {
    struct wr_link all;
    struct wr_link bucket[BUCKETS];
    uint32_t n, max;
    uint64_t inactive_ms, valid_ms;
};

static void drop_entry(struct wr_tls_cache *k, struct cached *e)
{
    wr_list_remove(&e->link);
    wr_list_remove(&e->bucket);
    k->n--;
    wr_tls_pair_free(&e->pair);
    free(e);
}

static void drop_all(void *arg)
{
    struct wr_tls_cache *k = arg;

    while (!wr_list_empty(&k->all))
        drop_entry(k, wr_container(k->all.next, struct cached, link));
}

static struct cached *oldest_entry(const struct wr_tls_cache *k)
{
    return wr_list_empty(&k->all) ? NULL : wr_container(k->all.prev, struct cached, link);
}

static void drop_expired(struct wr_tls_cache *k)
{
    struct cached *e;

    while ((e = oldest_entry(k)) != NULL && wr_now() - e->used_ms > k->inactive_ms)
        drop_entry(k, e);
}

static bool stat_file(struct wr_str name, struct cached *e)
{
    struct stat st;

    if (stat(name.p, &st) != 0)
        return false;
    e->mtime = st.st_mtim;
    e->inode = st.st_ino;
    e->size = st.st_size;
    e->checked_ms = wr_now();
    return true;
}

static bool is_unchanged(struct wr_tls_cache *k, struct cached *e)
{
    struct cached now;

    if (wr_now() - e->checked_ms < k->valid_ms)
        return true;
    if (!stat_file(e->name, &now) || now.inode != e->inode || now.size != e->size
        || now.mtime.tv_sec != e->mtime.tv_sec || now.mtime.tv_nsec != e->mtime.tv_nsec)
        return false;
    e->checked_ms = now.checked_ms;
    return true;
}

static struct wr_link *bucket_of(struct wr_tls_cache *k, struct wr_str name)
{
    return &k->bucket[wr_hash(name) % BUCKETS];
}

static struct cached *find_entry(struct wr_tls_cache *k, struct wr_str name, bool key)
{
    struct wr_link *head = bucket_of(k, name);

    for (struct wr_link *l = head->next; l != head; l = l->next) {
        struct cached *e = wr_container(l, struct cached, bucket);

        if (e->key == key && wr_str_eq(e->name, name))
            return e;
    }
    return NULL;
}

bool wr_tls_cache_get(struct wr_tls_cache *k, struct wr_str name, bool key, struct wr_tls_pair *out)
{
    struct cached *e;

    drop_expired(k);
    e = find_entry(k, name, key);
    if (e == NULL)
        return false;
    if (!is_unchanged(k, e)) {
        drop_entry(k, e);
        return false;
    }
    e->used_ms = wr_now();
    wr_list_remove(&e->link);
    wr_list_unshift(&k->all, &e->link);
    wr_tls_pair_share(out, &e->pair);
    return true;
}

void wr_tls_cache_put(struct wr_tls_cache *k, struct wr_str name, bool key,
                      const struct wr_tls_pair *pair)
{
    struct cached *e = wr_calloc(1, sizeof(*e) + name.n + 1);

    memcpy(e + 1, name.p, name.n);
    e->name = wr_str_of((char *)(e + 1), name.n);
    e->key = key;
    e->used_ms = wr_now();
    if (!stat_file(e->name, e)) {
        free(e);
        return;
    }
    while (k->n >= k->max)
        drop_entry(k, oldest_entry(k));
    wr_tls_pair_share(&e->pair, pair);
    wr_list_unshift(&k->all, &e->link);
    wr_list_unshift(bucket_of(k, e->name), &e->bucket);
    k->n++;
}

/* "off", or "max=N [inactive=TIME] [valid=TIME]" */
static bool take_param(struct wr_cf *cf, uint32_t i, struct wr_tls_cache *k)
{
    struct wr_str arg = wr_cf_arg(cf, i), value;
    uint64_t n = 0;
    bool ok = false;

    if (wr_param(arg, "max", &value)) {
        ok = wr_str_u64(value, &n) && n > 0 && n <= INT32_MAX;
        k->max = (uint32_t)n;
    } else if (wr_param(arg, "inactive", &value)) {
        ok = wr_parse_sec(value, &n);
        k->inactive_ms = n * 1000;
    } else if (wr_param(arg, "valid", &value)) {
        ok = wr_parse_sec(value, &n);
        k->valid_ms = n * 1000;
    }
    return ok || wr_cf_error(cf, i, "invalid parameter \"" WR_FMT "\"", WR_ARG(arg));
}

bool wr_set_tls_cache(struct wr_cf *cf, void *conf)
{
    struct wr_tls_cache **field = WR_FIELD(cf, conf, struct wr_tls_cache *), *k;

    *field = NULL;
    if (cf->nargs == 1 && wr_str_is(wr_cf_arg(cf, 1), "off"))
        return true;
    k = WR_NEW(cf->pool, struct wr_tls_cache);
    wr_list_init(&k->all);
    for (uint32_t i = 0; i < BUCKETS; i++)
        wr_list_init(&k->bucket[i]);
    k->inactive_ms = 10000;
    k->valid_ms = 60000;
    for (uint32_t i = 1; i <= cf->nargs; i++)
        if (!take_param(cf, i, k))
            return false;
    if (k->max == 0)
        return wr_cf_error(cf, 0, "\"" WR_FMT "\" must have the \"max\" parameter",
                           WR_ARG(wr_cf_arg(cf, 0)));
    wr_pool_cleanup(cf->pool, drop_all, k);
    *field = k;
    return true;
}
