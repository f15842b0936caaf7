/* cache_find: looks for the object that a request may get: in memory, then in its file, for a key
 * whose replies vary in two steps. Purged objects are not found. Called by cache_look. */
#include "cache_impl.h"

/* The lengths in the object's own bytes come from shared memory, too. */
static bool has_size(const struct wr_cache_object *o, uint64_t size)
{
    return wr_cache_object_size(o) == size;
}

static bool take_whole(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    char *own = wr_pool_alloc(x->pool, c->view.memory.size);

    if (!wr_cache_memory_copy(&c->zone->store.memory, &c->view, own))
        return false;
    c->whole = wr_str_of(own, c->view.memory.size);
    return wr_cache_decode(c->whole, false, &c->object) == WR_CACHE_WHOLE
        && has_size(&c->object, c->whole.n);
}

/* Copies what comes before the body, as decode wants it in one piece. */
static bool take_pinned(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    struct wr_cache_at at = { 0 };
    struct wr_text t = wr_text_grow(x->pool, 1024, WR_CACHE_BEFORE_BODY_MAX);
    size_t most = WR_CACHE_EXTENT;

    if (!wr_cache_pin_take(&c->zone->store.memory, &c->view, false, &c->pinned))
        return false;
    for (;;) {
        struct wr_str part = wr_cache_pin_part(&c->pinned, &at, t.n, most);
        enum wr_cache_decoded d;

        wr_text_str(&t, part);
        d = part.n == 0 || t.overflow ? WR_CACHE_BROKEN
                                      : wr_cache_decode(wr_text_view(&t), false, &c->object);
        if (d == WR_CACHE_WHOLE && has_size(&c->object, c->pinned.ref.size)
            && c->pinned.ref.size <= wr_cache_memory_most(&c->zone->store.memory))
            return true;
        if (d != WR_CACHE_MORE) {
            wr_cache_pin_drop(&c->pinned);
            return false;
        }
    }
}

static bool take_memory(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    if (c->view.memory.number == 0)
        return false;
    if (wr_cache_memory_is_small(&c->view.memory) ? !take_whole(x, c) : !take_pinned(x, c))
        return false;
    return wr_str_eq(c->object.key, c->key) && c->object.facts.variant == c->variant;
}

static void await_read(struct wr_exchange *x, struct wr_cache_ctx *c, bool on)
{
    if (c->reads != on)
        x->waits += on ? 1 : UINT32_MAX;
    c->reads = on;
}

static enum wr_cache_finding read_file(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    if (c->read == NULL) {
        c->read = WR_NEW(x->pool, struct wr_cache_read);
        c->read->folder = &c->zone->folder;
        c->read->threads = wr_cache_threads;
        c->read->pool = x->pool;
        c->read->name = c->name;
        c->read->key = c->key;
        c->read->who = wr_exchange_waiter(x);
    }
    switch (wr_cache_read_ask(c->read)) {
    case WR_CACHE_FOUND:
        c->object = c->read->object;
        if (c->object.facts.variant != c->variant)
            return WR_CACHE_ABSENT;
        wr_cache_admit(x, c);
        return WR_CACHE_THERE;
    case WR_CACHE_OPENING:
        return WR_CACHE_READING;
    default: /* there is none, or it cannot be read */
        return WR_CACHE_ABSENT;
    }
}

/* Is it purged? Otherwise notes that it was looked at, so that the next look-up need not. */
static enum wr_purged check_purges(struct wr_cache_ctx *c, bool seen)
{
    struct wr_purges *p = &c->zone->store.purges;
    uint64_t created = c->object.facts.created_us, newest = wr_purge_newest(p);
    enum wr_purged purged;

    if (seen && c->view.purged_us >= created)
        return WR_PURGED_STALE;
    if (newest <= wr_max(created, seen ? c->view.cleared_us : 0))
        return WR_PURGED_NOT;
    purged = wr_purge_check(p, created, c->object.key, c->object.tags);
    if (purged == WR_PURGED_NOT && seen)
        wr_cache_index_clear(&c->zone->store.index, &c->view, newest);
    return purged;
}

static enum wr_cache_finding find_object(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    struct wr_cache_index *ix = &c->zone->store.index;
    enum wr_cache_finding f = WR_CACHE_ABSENT;
    bool reads = c->reads, seen;

    c->found = false;
    if (reads) {
        await_read(x, c, false);
    } else {
        c->read = NULL;
        wr_cache_pin_drop(&c->pinned);
        c->whole = wr_str_of(NULL, 0);
    }
    seen = wr_cache_index_find(ix, &c->name, &c->view);
    if (!seen)
        c->view = (struct wr_cache_view){ 0 };
    else if (!reads) {
        wr_cache_index_touch(ix, &c->view);
        if (take_memory(x, c))
            f = WR_CACHE_THERE;
    }
    if (f != WR_CACHE_THERE && c->zone->disk
        && (c->view.disk > 0 || atomic_load(c->zone->store.loaded) == 0))
        f = read_file(x, c);
    if (f == WR_CACHE_READING)
        await_read(x, c, true);
    if (f != WR_CACHE_THERE)
        return f;
    switch (check_purges(c, seen)) {
    case WR_PURGED_GONE:
        return WR_CACHE_ABSENT;
    case WR_PURGED_STALE:
        c->object.facts.fresh.fresh_until = wr_min(c->object.facts.fresh.fresh_until,
                                                   wr_clock.wall_ms);
        break;
    case WR_PURGED_NOT:
        break;
    }
    c->found = true;
    return WR_CACHE_THERE;
}

/* A reply that error_page replaced elsewhere has no body, nor has one to HEAD. */
static bool is_usable_here(const struct wr_exchange *x, const struct wr_cache_object *o)
{
    const struct wr_http *h = wr_http_of(x);

    if ((o->facts.flags & WR_CACHE_OF_HEAD) != 0 && h->req.method != WR_M_HEAD)
        return false;
    return (o->facts.flags & WR_CACHE_BODILESS) == 0
        || (h->proxy_conf->intercept_errors && wr_http_has_page(x, o->status));
}

/* Finds the object for this request: for a key whose replies vary, in two look-ups. */
enum wr_cache_finding wr_cache_find(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    enum wr_cache_finding f = find_object(x, c);

    if (f == WR_CACHE_THERE && wr_cache_is_marker(&c->object)) {
        c->found = false;
        if (!wr_cache_vary_by(x, c, wr_cache_marker_names(x, &c->object)))
            return WR_CACHE_ABSENT;
        f = find_object(x, c);
    }
    if (f == WR_CACHE_THERE && (!wr_cache_is_same_variant(c) || !is_usable_here(x, &c->object))) {
        c->found = false;
        f = WR_CACHE_ABSENT;
    }
    return f;
}
