/* cache_keeper: what the keeper does for each zone: reads what lies in its folder after a start,
 * and removes what is too much or was not used for long. Threads touch the disk; the loop only
 * changes the index. The keeper of an old program lives on during an upgrade: only the owner of a
 * folder does anything there. */
#include "cache_impl.h"

#define PURGE_LOOK_MS 2000     /* between two looks whether something was purged */
#define TEND_MS 500            /* between two pieces of a walk through the index */
#define TEND_ENTRIES 8192      /* of a piece: less than a millisecond */

static struct wr_threads *threads;
static struct wr_loop *the_loop;
static struct wr_cache_zone *zones; /* between start and stop */
static uint64_t own_run;           /* number of this keeper; 0: not committed */

static struct wr_cache_index *index_of(void *zone)
{
    struct wr_cache_zone *z = WR_CHECK(zone, CACHE_ZONE);

    return &z->store.index;
}

static bool is_owner(const struct wr_cache_zone *z)
{
    return atomic_load(z->owner) == own_run;
}

static bool may_work(void *zone)
{
    return is_owner(WR_CHECK(zone, CACHE_ZONE));
}

/* ---- loading ---- */

static bool is_known(void *arg, const struct wr_cache_name *name)
{
    struct wr_cache_view v;

    return wr_cache_index_find(index_of(arg), name, &v) && v.disk > 0;
}

/* When it was last used, on this machine's monotonic clock; at least 1. The file system only gives
 * the order: most mounts note an access once a day or never, and hits in memory read no file. So at
 * least half of `inactive` is left to every object. */
static uint64_t used_ms(const struct wr_cache_zone *z, uint64_t used_s)
{
    uint64_t ago_ms = wr_clock.wall_ms - wr_min(wr_clock.wall_ms, used_s * 1000);

    ago_ms = wr_min(ago_ms, z->inactive_s * 500);
    return wr_now() > ago_ms ? wr_now() - ago_ms : 1;
}

static bool take_loaded(void *arg, const struct wr_cache_loaded *l)
{
    struct wr_cache_zone *z = WR_CHECK(arg, CACHE_ZONE);
    const struct wr_cache_facts *facts = &l->object->facts;
    const struct wr_cache_stored s = {
        .created_us = facts->created_us,
        .used_ms = used_ms(z, l->used_s),
        .disk = wr_cache_file_cost(l->size),
        .flags = facts->flags,
        .loaded = true,
    };

    return wr_purge_saw(&z->store.purges, facts->created_us)
        && wr_purge_check(&z->store.purges, facts->created_us, l->object->key, l->object->tags)
               != WR_PURGED_GONE
        && wr_cache_index_store(&z->store.index, &l->name, &s);
}

static void is_loaded(void *arg, const struct wr_cache_load_sums *sums)
{
    const struct wr_cache_zone *z = WR_CHECK(arg, CACHE_ZONE);

    if (!sums->failed)
        atomic_store(z->store.loaded, 1);
    if (sums->files + sums->removed > 0)
        wr_say(WR_LOG_NOTICE, 0, "http file cache: %s %.3fM, %llu files", z->path,
               (double)sums->bytes / 1048576, (unsigned long long)sums->files);
}

static const struct wr_cache_load_ops load_ops = { is_known, take_loaded, is_loaded, may_work };

/* ---- purger=on: files of what was purged are removed although nobody asks for them ---- */

static bool is_unknown(void *arg, const struct wr_cache_name *name)
{
    (void)arg;
    (void)name;
    return false;
}

static bool is_wanted(void *arg, const struct wr_cache_loaded *l)
{
    struct wr_cache_zone *z = WR_CHECK(arg, CACHE_ZONE);
    const struct wr_cache_facts *facts = &l->object->facts;

    if (wr_purge_check(&z->store.purges, facts->created_us, l->object->key, l->object->tags)
        != WR_PURGED_GONE)
        return true;
    (void)wr_cache_index_remove(&z->store.index, &l->name, facts->created_us, NULL);
    return false;
}

static void has_purged(void *arg, const struct wr_cache_load_sums *sums)
{
    struct wr_cache_zone *z = WR_CHECK(arg, CACHE_ZONE);

    (void)sums;
    wr_cache_loader_free(z->purger);
    z->purger = NULL;
}

static const struct wr_cache_load_ops purge_ops = {
    is_unknown, is_wanted, has_purged, may_work
};

/* Reads all files once more when something was purged since the last time. */
static void look_for_purges(struct wr_task *t)
{
    struct wr_cache_zone *z = wr_container(t, struct wr_cache_zone, purge_task);
    struct wr_cache_load_conf how = { z->purger_pace, z->inactive_s };
    uint64_t newest = wr_purge_newest(&z->store.purges);

    wr_timer_set(the_loop, &z->purge_timer, PURGE_LOOK_MS);
    if (newest == z->purged_us || z->purger != NULL || !is_owner(z))
        return;
    z->purged_us = newest;
    z->purger = wr_cache_loader_new(the_loop, threads, &z->folder, &how, &purge_ops, z);
}

static void start_purger(struct wr_cache_zone *z)
{
    z->purge_task.run = look_for_purges;
    z->purge_timer.task = &z->purge_task;
    z->purged_us = wr_purge_newest(&z->store.purges); /* the loader looks at these */
    wr_timer_set(the_loop, &z->purge_timer, PURGE_LOOK_MS);
}

/* ---- evicting ---- */

static uint64_t count_bytes(void *arg)
{
    return wr_cache_index_totals(index_of(arg)).disk;
}

static bool take_victim(void *arg, enum wr_cache_wanted why, struct wr_cache_victim *out)
{
    const struct wr_cache_zone *z = WR_CHECK(arg, CACHE_ZONE);
    uint64_t inactive_ms = z->inactive_s * 1000, before = UINT64_MAX;
    struct wr_cache_view v;

    if (!is_owner(z))
        return false;
    if (why == WR_CACHE_OUTDATED)
        before = wr_now() > inactive_ms ? wr_now() - inactive_ms : 0;
    if (before == 0 || !wr_cache_index_take(index_of(arg), before, &v))
        return false;
    *out = (struct wr_cache_victim){ v.name, v.created_us, v.disk };
    return true;
}

static const struct wr_cache_evict_ops evict_ops = { count_bytes, take_victim, NULL };

/* ---- tending the index ---- */

/* Evicting is for objects that have a file. */
static void drop_unused(void *arg, const struct wr_cache_view *v)
{
    const struct wr_cache_zone *z = WR_CHECK(arg, CACHE_ZONE);

    if (v->disk == 0 && v->created_us != 0 && v->leader == 0
        && wr_now() - wr_min(v->used_ms, wr_now()) > z->inactive_s * 1000)
        (void)wr_cache_index_remove(index_of(arg), &v->name, v->created_us, NULL);
}

/* Takes what dead leaders held, and compares the counts, on its way. */
static void tend_index(struct wr_task *t)
{
    struct wr_cache_zone *z = wr_container(t, struct wr_cache_zone, tend_task);

    (void)wr_cache_index_walk(&z->store.index, &z->tended, TEND_ENTRIES, drop_unused, z);
    wr_timer_set(the_loop, &z->tend_timer, TEND_MS);
}

static void start_tending(struct wr_cache_zone *z)
{
    z->tend_task.run = tend_index;
    z->tend_timer.task = &z->tend_task;
    wr_timer_set(the_loop, &z->tend_timer, TEND_MS);
}

/* ---- hooks ---- */

static void commit(struct wr_conf *conf, uint64_t run, bool learn)
{
    const struct wr_cache_state *state = wr_conf_state(conf, &wr_module_http_cache);

    (void)learn;
    own_run = run;
    for (struct wr_cache_zone *z = state->zones; z != NULL; z = z->next)
        if (z->disk)
            atomic_store(z->owner, run);
}

/* A process that writes over the owner cannot stop the evicting for long. */
static bool is_damaged(const struct wr_conf *conf)
{
    const struct wr_cache_state *state = wr_conf_state(conf, &wr_module_http_cache);
    const struct wr_cache_zone *z = state->zones;

    while (z != NULL && (!z->disk || is_owner(z)))
        z = z->next;
    return z != NULL;
}

static void start(struct wr_conf *conf, struct wr_loop *loop)
{
    const struct wr_cache_state *state = wr_conf_state(conf, &wr_module_http_cache);

    zones = state->zones;
    the_loop = loop;
    for (struct wr_cache_zone *z = zones; z != NULL; z = z->next) {
        struct wr_cache_evict_conf how = {
            .max_size = z->max_size, .min_free = z->min_free,
            .pace = z->manager_pace,
        };
        struct wr_cache_load_conf load = { z->loader_pace, z->inactive_s };

        start_tending(z);
        if (!z->disk)
            continue;
        if (threads == NULL)
            threads = wr_threads_new(loop, WR_STR("cache"), 4, 65536);
        wr_cache_purges_settle(z, threads, wr_cache_purges_read(z));
        z->loader = wr_cache_loader_new(loop, threads, &z->folder, &load, &load_ops, z);
        if (z->purge)
            start_purger(z);
        z->evictor = wr_cache_evictor_new(loop, threads, &z->folder, &how, &evict_ops, z);
    }
}

static void stop(void)
{
    for (struct wr_cache_zone *z = zones; z != NULL; z = z->next) {
        wr_timer_off(the_loop, &z->tend_timer);
        wr_task_cancel(&z->tend_task);
        wr_timer_off(the_loop, &z->purge_timer);
        wr_task_cancel(&z->purge_task);
        wr_cache_loader_free(z->purger);
        wr_cache_loader_free(z->loader);
        wr_cache_evictor_free(z->evictor);
    }
    wr_cache_writes_end(); /* files that are to be removed wait for a thread */
    wr_threads_free(threads);
    threads = NULL;
    for (struct wr_cache_zone *z = zones; z != NULL; z = z->next)
        wr_cache_store_end(&z->store);
    zones = NULL;
}

static void clear_process(void *arg, uint32_t process)
{
    wr_cache_store_clear(arg, process);
}

static bool sweep(struct wr_conf *conf)
{
    const struct wr_cache_state *state = wr_conf_state(conf, &wr_module_http_cache);
    bool again = false;

    for (struct wr_cache_zone *z = state->zones; z != NULL; z = z->next)
        again |= wr_ledger_sweep(clear_process, &z->store);
    return again;
}

static bool look(struct wr_conf *conf)
{
    const struct wr_cache_state *state = wr_conf_state(conf, &wr_module_http_cache);
    bool done = true;

    for (struct wr_cache_zone *z = state->zones; z != NULL; z = z->next)
        done &= wr_cache_store_copy(&z->store);
    return done;
}

const struct wr_keeper_hooks wr_cache_keeper = {
    .commit = commit, .start = start, .stop = stop, .sweep = sweep, .look = look,
    .is_damaged = is_damaged,
};
