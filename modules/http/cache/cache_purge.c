/* cache_purge: requests that make stored replies void: one key with all its variants, all keys with
 * a beginning (a star stands at the end), or all replies that have a tag. Access and authentication
 * were checked before, as for any request. */
#include "cache_impl.h"

static struct wr_purge_record record_of(uint64_t hash, enum wr_purge_kind kind, uint32_t length,
                                        uint64_t us, bool soft)
{
    return (struct wr_purge_record){
        .hash = hash, .kind = kind, .length = length, .gone_us = soft ? 0 : us,
        .stale_us = soft ? us : 0,
    };
}

static bool purge_tag(struct wr_cache_zone *z, uint64_t tag, bool soft)
{
    struct wr_purge_record r;

    if (!wr_purge_tag(&z->store.purges, tag, soft))
        return false;
    r = record_of(tag, WR_PURGE_TAG, 0, wr_purge_newest(&z->store.purges), soft);
    if (z->disk)
        wr_cache_purge_log(z, &r);
    return true;
}

static bool purge_prefix(struct wr_cache_zone *z, struct wr_str prefix, bool soft)
{
    struct wr_purge_record r;

    if (!wr_purge_prefix(&z->store.purges, prefix, soft))
        return false;
    r = record_of(wr_purge_prefix_of(prefix), WR_PURGE_PREFIX, (uint32_t)prefix.n,
                  wr_purge_newest(&z->store.purges), soft);
    if (z->disk)
        wr_cache_purge_log(z, &r);
    return true;
}

/* The table is needed for variants, as nobody knows which there are, for an index that is not
 * complete yet, which may not know the file, and for a soft purge, which must outlive the index. */
bool wr_cache_purge_key(struct wr_cache_zone *z, struct wr_str key, bool soft, bool *was_there)
{
    struct wr_cache_name name = wr_cache_name_of(key, 0);
    uint64_t now = wr_purge_stamp(&z->store.purges);
    bool complete = atomic_load(z->store.loaded) != 0;
    struct wr_cache_view v = { 0 };

    if (!wr_cache_index_purge(&z->store.index, &name, now, soft, &v))
        return false;
    *was_there = v.created_us != 0;
    if (!soft && z->disk && (v.disk > 0 || !complete))
        wr_cache_remove_later(&z->folder, wr_cache_threads, &name, v.created_us);
    return (complete && !soft && (v.flags & WR_CACHE_VARIES) == 0)
        || purge_tag(z, wr_purge_key_of(key), soft);
}

static enum wr_verdict reply_purge(struct wr_exchange *x, unsigned status, const char *text)
{
    struct wr_http *h = wr_http_of(x);

    h->proxy = NULL;
    wr_response_init(&h->res);
    return wr_http_respond_text(x, status, WR_STR("text/plain"), wr_str_c(text));
}

static struct wr_str field_of(const struct wr_exchange *x, struct wr_str name)
{
    const struct wr_field *f = wr_fields_find(&wr_http_of(x)->req.fields, name, NULL);

    return f != NULL ? f->value : wr_str_of(NULL, 0);
}

static enum wr_verdict purge_tags(struct wr_exchange *x, struct wr_cache_zone *z,
                                  struct wr_str list, bool soft)
{
    struct wr_cache_tags *tags = WR_NEW(x->pool, struct wr_cache_tags);
    const char *why = wr_cache_tags_add(tags, list);
    bool ok = true;

    if (why != NULL || tags->n == 0)
        return reply_purge(x, 400, wr_pool_fmt(x->pool, "%s\n", why != NULL ? why : "no tag").p);
    for (uint32_t i = 0; i < tags->n; i++)
        ok &= purge_tag(z, tags->at[i], soft);
    return ok ? reply_purge(x, 204, "") : reply_purge(x, 503, "try again\n");
}

enum wr_verdict wr_cache_purge(struct wr_exchange *x, const struct wr_cache_rows *r)
{
    struct wr_cache_zone *z;
    struct wr_str key = wr_cache_key(x, r), tags = field_of(x, WR_STR("Cache-Tag"));
    bool soft = wr_str_ieq(field_of(x, WR_STR("Cache-Purge-Mode")), WR_STR("soft"));
    bool was_there = true, ok;

    if (!wr_cache_zone_of(x, r, &z) || z == NULL || key.p == NULL)
        return reply_purge(x, 404, "no cache\n");
    if (tags.p != NULL)
        return purge_tags(x, z, tags, soft);
    if (key.n > 0 && key.p[key.n - 1] == '*')
        ok = purge_prefix(z, wr_str_of(key.p, key.n - 1), soft);
    else
        ok = wr_cache_purge_key(z, key, soft, &was_there);
    if (!ok)
        return reply_purge(x, 503, "try again\n");
    return was_there ? reply_purge(x, 204, "") : reply_purge(x, 404, "not stored\n");
}
