/* cache_store: makes the segments of a cache, or goes on with those of the previous configuration;
 * copies from a previous one of other sizes. The master only measures and places. */
#include "cache_store.h"

#include <fcntl.h>

#define LAYOUT 3
#define PURGE_LAYOUT 2
#define PAGE 4096
#define COPY_STEP 64               /* entries of a call of wr_cache_store_copy */

static size_t place_parts(struct wr_cache_store *s, struct wr_zone z, size_t keys, size_t memory)
{
    wr_cache_index_place(&s->index, &z, keys);
    wr_cache_waits_place(&s->waits, &z);
    wr_cache_memory_place(&s->memory, &z, memory, &s->index);
    s->loaded = wr_zone_part(&z, sizeof(*s->loaded));
    s->index.waits = &s->waits;
    return z.n;
}

static size_t store_bytes(size_t keys, size_t memory)
{
    struct wr_cache_store s;

    return place_parts(&s, (struct wr_zone){ .fd = -1 }, keys, memory);
}

static size_t purge_bytes(void)
{
    struct wr_purges p;
    struct wr_zone z = { .fd = -1 };

    wr_purges_place(&p, &z);
    return z.n;
}

static void release_shm(void *arg)
{
    wr_shm_release(arg);
}

/* Both sizes are in the shape, so that the parts of a previous segment can be found. */
static uint64_t shape_of(size_t keys, size_t memory)
{
    return (uint64_t)(keys / PAGE) << 32 | (uint32_t)(memory / PAGE);
}

bool wr_cache_store_open(struct wr_cache_store *s, struct wr_conf *conf, struct wr_str name,
                         size_t keys, size_t memory)
{
    const char *text = wr_pool_fmt(conf->pool, "cache/" WR_FMT, WR_ARG(name)).p;
    struct wr_shm *shm, *purges;
    struct wr_zone z;

    *s = (struct wr_cache_store){ .copied = 0 };
    keys = wr_min(keys / PAGE, (size_t)UINT32_MAX) * PAGE;
    memory = wr_min(memory / PAGE, (size_t)UINT32_MAX) * PAGE;
    shm = wr_shm_get(conf->shm, conf->old_shm, text, LAYOUT, shape_of(keys, memory),
                     store_bytes(keys, memory), &s->previous);
    text = wr_pool_fmt(conf->pool, "cache-purges/" WR_FMT, WR_ARG(name)).p;
    purges = shm != NULL ? wr_shm_get(conf->shm, conf->old_shm, text, PURGE_LAYOUT, 0,
                                      purge_bytes(), NULL)
                         : NULL;
    if (purges == NULL)
        return false;
    if (s->previous != NULL) {
        wr_shm_hold(s->previous);
        wr_pool_cleanup(conf->pool, release_shm, s->previous);
    }
    (void)place_parts(s, wr_zone_of(shm), keys, memory);
    z = wr_zone_of(purges);
    wr_purges_place(&s->purges, &z);
    return true;
}

void wr_cache_store_clear(struct wr_cache_store *s, uint32_t process)
{
    wr_cache_waits_clear(&s->waits, process);
    wr_cache_memory_clear(&s->memory, process);
}

void wr_cache_store_end(struct wr_cache_store *s)
{
    wr_cache_waits_end(&s->waits);
    wr_cache_memory_end(&s->memory);
}

/* ---- a previous segment of other sizes ---- */

struct copying {
    struct wr_cache_store *from, *to;
};

/* Copies the bytes of v->memory; number 0: they are gone, or there is no room. */
static struct wr_cache_fill *copy_memory(const struct copying *c, const struct wr_cache_view *v)
{
    struct wr_cache_pinned pinned = { .m = NULL };
    struct wr_cache_at at = { .cell = 0 };
    struct wr_cache_fill *f;
    uint64_t done = 0;

    if (v->memory.number == 0 || !wr_cache_pin_take(&c->from->memory, v, false, &pinned))
        return NULL;
    f = wr_cache_fill_new(&c->to->memory, v->memory.size);
    while (f != NULL && done < v->memory.size) {
        struct wr_str part = wr_cache_pin_part(&pinned, &at, done, v->memory.size - done);

        if (part.n == 0 || !wr_cache_fill_add(f, part)) {
            wr_cache_fill_end(f);
            f = NULL;
        }
        done += part.n;
    }
    wr_cache_pin_drop(&pinned);
    return f;
}

static void copy_entry(void *arg, const struct wr_cache_view *v)
{
    const struct copying *c = arg;
    struct wr_cache_stored s = { .created_us = v->created_us, .used_ms = v->used_ms,
                                 .disk = v->disk, .flags = v->flags, .loaded = true };
    struct wr_cache_view there;
    struct wr_cache_fill *f;

    if (v->purged_us != 0)
        (void)wr_cache_index_purge(&c->to->index, &v->name, v->purged_us, true, NULL);
    if (v->created_us == 0 || v->created_us <= v->purged_us ||
        (wr_cache_index_find(&c->to->index, &v->name, &there) && there.created_us != 0))
        return;
    f = copy_memory(c, v);
    if (f != NULL)
        s.memory = wr_cache_fill_finish(f);
    if (f != NULL || v->disk > 0)
        (void)wr_cache_index_store(&c->to->index, &v->name, &s);
    wr_cache_fill_end(f);
}

/* Does a process of another generation live? Such a one may use the previous segment. */
static bool has_strangers(void)
{
    for (uint32_t i = 0; i < WR_SLOTS; i++) {
        const struct wr_slot *slot = &wr_self.run->slot[i];

        if (i != wr_self.slot && atomic_load(&slot->generation) != wr_self.generation &&
            wr_self.run_fd >= 0 && wr_locked(wr_self.run_fd, i))
            return true;
    }
    return false;
}

/* All processes of this generation have the previous segment mapped: give its memory back. */
static bool free_previous(struct wr_cache_store *s)
{
    if (has_strangers())
        return false;
    (void)fallocate(s->previous->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                    (off_t)s->previous->size);
    s->previous = NULL;
    return true;
}

bool wr_cache_store_copy(struct wr_cache_store *s)
{
    struct wr_cache_store old = { .copied = 0 };
    struct copying c = { .from = &old, .to = s };
    size_t keys, memory;

    if (s->previous == NULL)
        return true;
    if (s->copied == UINT32_MAX)
        return free_previous(s);
    keys = (size_t)(s->previous->shape >> 32) * PAGE;
    memory = (size_t)(s->previous->shape & UINT32_MAX) * PAGE;
    if (s->previous->size != store_bytes(keys, memory)) {
        s->previous = NULL;
        return true;
    }
    (void)place_parts(&old, wr_zone_of(s->previous), keys, memory);
    if (wr_cache_index_walk(&old.index, &s->copied, COPY_STEP, copy_entry, &c))
        s->copied = UINT32_MAX;
    wr_cache_store_end(&old);
    return false;
}
