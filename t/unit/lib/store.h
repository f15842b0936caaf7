/* store: for the unit tests of the cache's shared memory: a store in a segment, processes that have
 * slots in it, and objects whose bytes follow from name and stamp. */
#ifndef STORE_H
#define STORE_H

#include "unit.h"

#include "../../../modules/http/cache/cache_store.h"

#include <sys/mman.h>

static struct wr_cache_store store;
static struct wr_conf store_conf;
static uint64_t random_state = 1;

static inline uint64_t next_random(void)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return random_state >> 20;
}

/* This process takes a slot; the lock of it ends with the process. */
static inline void take_slot(uint32_t slot)
{
    wr_self.slot = slot;
    if (!wr_lock(wr_self.run_fd, slot, 5000))
        _exit(9);
}

/* As the master does: segments for the configuration, which goes on with those of the one
 * before. */
static inline void open_store(size_t keys, size_t memory, struct wr_shm_set *old)
{
    store_conf = (struct wr_conf){ .pool = wr_pool_new(0), .shm = wr_shm_set_new(),
                                   .old_shm = old };
    ck_assert(wr_cache_store_open(&store, &store_conf, WR_STR("c"), keys, memory));
}

static inline void make_store(size_t keys, size_t memory)
{
    static struct wr_run *run;

    wr_self_init();
    wr_clock_update();
    if (run == NULL)
        run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset((void *)run, 0, sizeof(*run));
    wr_self.run = run;
    wr_self.run_fd = memfd_create("run", MFD_CLOEXEC);
    take_slot(1);
    open_store(keys, memory, NULL);
}

static inline void free_store(void)
{
    wr_cache_store_end(&store);
    wr_shm_set_free(store_conf.shm);
    wr_pool_free(store_conf.pool);
    (void)close(wr_self.run_fd);
    wr_self.run_fd = -1;
}

/* A child of ours forgets what the parent has of its own. */
static inline pid_t fork_process(uint32_t slot)
{
    pid_t pid = fork();

    if (pid == 0) {
        store.memory.own = NULL;
        store.memory.pins = NULL;
        store.waits.here = NULL;
        take_slot(slot);
        random_state = slot * 7919 + (uint64_t)getpid();
    }
    return pid;
}

static inline void ends_with(pid_t pid, int wanted)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(status == wanted, "status %x, not %x", status, wanted);
}

static inline struct wr_cache_name name_of(uint64_t i)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "key %llu", (unsigned long long)i);

    return wr_cache_name_of(wr_str_of(text, (size_t)n), 0);
}

/* The byte of an object at an offset. */
static inline char byte_at(uint64_t name, uint64_t stamp, uint64_t at)
{
    uint64_t word = name * 0x9e3779b97f4a7c15U ^ stamp * 0xff51afd7ed558ccdU;

    word += at / 8 * 0x2545f4914f6cdd1dU;
    return (char)(word >> at % 8 * 8);
}

static inline void fill_bytes(char *p, uint64_t name, uint64_t stamp, uint64_t at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = byte_at(name, stamp, at + i);
}

static inline bool has_bytes(struct wr_str s, uint64_t name, uint64_t stamp, uint64_t at)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != byte_at(name, stamp, at + i))
            return false;
    return true;
}

/* Fills an object of n bytes; the declared size is SIZE_MAX if `unsized`. */
static inline struct wr_cache_fill *fill_object(uint64_t name, uint64_t stamp, size_t n,
                                                bool unsized)
{
    struct wr_cache_fill *f = wr_cache_fill_new(&store.memory, unsized ? SIZE_MAX : n);

    for (size_t at = 0; f != NULL && at < n;) {
        char *p;
        size_t room = wr_cache_fill_room(f, &p);

        if (room == 0) {
            wr_cache_fill_end(f);
            return NULL;
        }
        room = wr_min(room, n - at);
        fill_bytes(p, name, stamp, at, room);
        wr_cache_fill_wrote(f, room);
        at += room;
    }
    return f;
}

/* Stores an object of n bytes in memory, as the leader if led. False: no room, or refused. */
static inline bool put_object_led(uint64_t name, size_t n, const struct wr_cache_view *led)
{
    struct wr_cache_stored s = { .created_us = wr_purge_stamp(&store.purges) };
    struct wr_cache_name id = name_of(name);
    struct wr_cache_fill *f = fill_object(name, s.created_us, n, next_random() % 2 == 0);
    bool stored;

    if (f == NULL)
        return false;
    s.memory = wr_cache_fill_finish(f);
    stored = led != NULL ? wr_cache_index_store_led(&store.index, led, &s)
                         : wr_cache_index_store(&store.index, &id, &s);
    wr_cache_fill_end(f);
    return stored;
}

static inline bool put_object(uint64_t name, size_t n)
{
    return put_object_led(name, n, NULL);
}

enum got { ABSENT, RIGHT, WRONG };

/* Reads what is pinned, slowly if asked, and compares. */
static inline bool read_pinned(const struct wr_cache_pinned *p, uint64_t name, uint64_t stamp,
                               uint64_t size, uint32_t pause_us)
{
    struct wr_cache_at at = { .cell = 0 };

    for (uint64_t done = 0; done < size;) {
        struct wr_str part = wr_cache_pin_part(p, &at, done, pause_us > 0 ? 1000 : SIZE_MAX);

        if (part.n == 0 || !has_bytes(part, name, stamp, done))
            return false;
        done += part.n;
        if (pause_us > 0)
            (void)usleep(pause_us);
    }
    return true;
}

static inline enum got get_object(uint64_t name)
{
    static char bytes[WR_CACHE_EXTENT];
    struct wr_cache_name id = name_of(name);
    struct wr_cache_pinned pinned = { .m = NULL };
    struct wr_cache_view v;
    bool right;

    if (!wr_cache_index_find(&store.index, &id, &v) || v.memory.number == 0)
        return ABSENT;
    wr_cache_index_touch(&store.index, &v);
    if (wr_cache_memory_is_small(&v.memory)) {
        if (!wr_cache_memory_copy(&store.memory, &v, bytes))
            return ABSENT;
        return has_bytes(wr_str_of(bytes, v.memory.size), name, v.created_us, 0) ? RIGHT : WRONG;
    }
    if (!wr_cache_pin_take(&store.memory, &v, false, &pinned))
        return ABSENT;
    right = read_pinned(&pinned, name, v.created_us, v.memory.size, 0);
    wr_cache_pin_drop(&pinned);
    return right ? RIGHT : WRONG;
}

#endif
