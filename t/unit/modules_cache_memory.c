/* The memory tier: objects of all sizes, readers that are slower than the tier turns over,
 * followers of an object that is still being filled, processes that die, and a reload with other
 * sizes. */
#include "lib/store.h"

enum { KEYS = 1 << 18, MEMORY = 2 << 20 };

static struct wr_cache_view view;

static bool find_name(uint64_t number)
{
    struct wr_cache_name name = name_of(number);

    return wr_cache_index_find(&store.index, &name, &view);
}

static uint32_t parts_of(const struct wr_cache_pinned *p, uint64_t size)
{
    struct wr_cache_at at = { .cell = 0 };
    uint32_t n = 0;

    for (uint64_t done = 0; done < size; n++) {
        struct wr_str part = wr_cache_pin_part(p, &at, done, SIZE_MAX);

        ck_assert_uint_gt(part.n, 0);
        done += part.n;
    }
    return n;
}

static const struct {
    size_t size;
    uint32_t parts;              /* 0: it is copied */
} objects[] = {
    { 0, 0 }, { 1, 0 }, { 511, 0 }, { 512, 0 }, { 513, 0 }, { 1400, 0 }, { 16383, 0 },
    { 16384, 0 }, { 16385, 2 }, { 32768, 2 }, { 65536, 4 }, { 66136, 5 }, { 100000, 7 },
    { 120000, 8 },
};

START_TEST(objects_of_all_sizes)
{
    make_store(KEYS, MEMORY);
    for (uint32_t pass = 0; pass < 50; pass++)
        for (size_t i = 0; i < WR_COUNT(objects); i++) {
            struct wr_cache_pinned pinned = { .m = NULL };

            ck_assert_msg(put_object(i, objects[i].size), "size %zu", objects[i].size);
            ck_assert_int_eq(get_object(i), RIGHT);
            ck_assert(find_name(i));
            ck_assert_uint_eq(view.memory.size, objects[i].size);
            ck_assert(wr_cache_memory_is_small(&view.memory) == (objects[i].parts == 0));
            if (objects[i].parts == 0)
                continue;
            ck_assert(wr_cache_pin_take(&store.memory, &view, false, &pinned));
            ck_assert_uint_eq(parts_of(&pinned, view.memory.size), objects[i].parts);
            wr_cache_pin_drop(&pinned);
            wr_cache_pin_drop(&pinned);
        }
    free_store();
}
END_TEST

START_TEST(bounds)
{
    size_t most;
    struct wr_cache_fill *f;
    char byte = 'x';

    make_store(KEYS, MEMORY);
    most = wr_cache_memory_most(&store.memory);
    ck_assert_uint_gt(most, MEMORY / WR_CACHE_PARTS * 9 / 10);
    ck_assert_uint_le(most, MEMORY / WR_CACHE_PARTS);
    ck_assert_ptr_null(wr_cache_fill_new(&store.memory, most + 1));
    f = fill_object(1, 1, most, false);
    ck_assert_ptr_nonnull(f);
    ck_assert(!wr_cache_fill_add(f, wr_str_of(&byte, 1)));
    wr_cache_fill_end(f);
    ck_assert_ptr_null(fill_object(1, 1, most + 1, true));
    f = fill_object(1, 1, 40000, true);
    wr_cache_fill_patch(f, 16380, WR_STR("patched"));
    ck_assert_uint_eq(wr_cache_fill_finish(f).size, 40000);
    wr_cache_fill_end(f); /* was not stored */
    wr_cache_fill_end(NULL);
    free_store();
    make_store(KEYS, 0); /* no tier */
    ck_assert_ptr_null(wr_cache_fill_new(&store.memory, 1));
    ck_assert_uint_eq(wr_cache_memory_most(&store.memory), 0);
    free_store();
}
END_TEST

/* Counts how many objects of one size are there after twice as many were stored as fit. */
static const struct {
    size_t size;
    uint32_t cells;              /* of 512 bytes that each one takes */
} kinds[] = { { 1300, 3 }, { 512, 1 }, { 4000, 8 }, { 20000, 40 }, { 65536, 128 } };

START_TEST(little_is_lost)
{
    for (size_t i = 0; i < WR_COUNT(kinds); i++) {
        uint32_t fit, right = 0;

        make_store(KEYS * 4, MEMORY);
        fit = store.index.cells / kinds[i].cells;
        for (uint32_t k = 0; k < 2 * fit; k++)
            ck_assert(put_object(k, kinds[i].size));
        for (uint32_t k = 0; k < 2 * fit; k++)
            right += get_object(k) == RIGHT;
        ck_assert_msg(right > fit * 7 / 10, "size %zu: %u of %u", kinds[i].size, right, fit);
        ck_assert_uint_eq(wr_cache_index_totals(&store.index).memory, right * kinds[i].size);
        free_store();
    }
}
END_TEST

/* Objects that are used stay, while others of all sizes pass by. */
START_TEST(what_is_used_stays)
{
    uint32_t kept = 0;

    make_store(KEYS * 4, MEMORY);
    for (uint32_t k = 0; k < 200; k++)
        ck_assert(put_object(k, 1000 + k * 10));
    for (uint32_t k = 0; k < 4000; k++) {
        wr_clock.mono_ms += 10;
        ck_assert(put_object(1000 + k, 100 + next_random() % (k % 10 == 0 ? 50000 : 3000)));
        for (uint32_t i = 0; i < 200; i += 10)
            ck_assert_int_ne(get_object((k + i) % 200), WRONG);
    }
    for (uint32_t k = 0; k < 200; k++)
        kept += get_object(k) == RIGHT;
    ck_assert_uint_gt(kept, 180);
    free_store();
}
END_TEST

static void turn_over(uint32_t times, uint64_t first)
{
    uint64_t bytes = 0, name = first;

    while (bytes < (uint64_t)times * MEMORY) {
        size_t n = 500 + next_random() % 60000;

        wr_clock_update();
        bytes += put_object(name++, n) ? n : 0;
    }
}

/* Slow readers of 64 KB in other processes, while the tier turns over ten times. */
START_TEST(slow_readers)
{
    enum { READERS = 3 };
    pid_t pid[READERS];
    int ready[2];
    char byte;

    make_store(KEYS, MEMORY);
    ck_assert(pipe(ready) == 0);
    for (uint32_t i = 0; i < READERS; i++)
        ck_assert(put_object(i, 65536));
    for (uint32_t i = 0; i < READERS; i++) {
        pid[i] = fork_process(20 + i);
        if (pid[i] == 0) {
            struct wr_cache_pinned a = { .m = NULL }, b = { .m = NULL };

            if (!find_name(i) || !wr_cache_pin_take(&store.memory, &view, false, &a) ||
                !wr_cache_pin_take(&store.memory, &view, false, &b) || write(ready[1], "", 1) != 1)
                _exit(1);
            wr_cache_pin_drop(&b); /* the same word */
            if (!read_pinned(&a, i, view.created_us, 65536, i == 2 ? 100000 : 8000))
                _exit(2);
            if (!read_pinned(&a, i, view.created_us, 65536, 0))
                _exit(3);
            wr_cache_pin_drop(&a);
            _exit(0);
        }
    }
    for (uint32_t i = 0; i < READERS; i++)
        ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    turn_over(10, 100);
    for (uint32_t i = 0; i < READERS - 1; i++)
        ends_with(pid[i], 0);
    ck_assert_int_eq(kill(pid[2], SIGKILL), 0);
    ends_with(pid[2], SIGKILL);
    wr_cache_store_clear(&store, 22);
    turn_over(2, 100000);
    free_store();
}
END_TEST

/* ---- many pins ---- */

START_TEST(as_many_pins_as_there_are)
{
    static struct wr_cache_pinned pinned[1100];
    uint32_t taken = 0;

    make_store(KEYS, MEMORY);
    for (uint32_t i = 0; i < WR_COUNT(pinned); i++) {
        ck_assert(put_object(i, 600));
        ck_assert(find_name(i));
        taken += wr_cache_pin_take(&store.memory, &view, false, &pinned[i]);
    }
    ck_assert_uint_eq(taken, 1024);
    for (uint32_t i = 0; i < WR_COUNT(pinned); i += 3)
        wr_cache_pin_drop(&pinned[i]);
    ck_assert(wr_cache_pin_take(&store.memory, &view, false, &pinned[0]));
    for (uint32_t i = 0; i < WR_COUNT(pinned); i++)
        wr_cache_pin_drop(&pinned[i]);
    free_store();
}
END_TEST

/* All of it is pinned: there is no room, and no object is hurt. */
START_TEST(everything_is_pinned)
{
    static struct wr_cache_pinned pinned[200];
    uint64_t stamp[200];
    uint32_t n = 0;

    make_store(KEYS, MEMORY);
    for (; n < 200 && put_object(n, 16384); n++) {
        ck_assert(find_name(n));
        stamp[n] = view.created_us;
        ck_assert(wr_cache_pin_take(&store.memory, &view, false, &pinned[n]));
    }
    ck_assert_uint_eq(n, store.memory.blocks);
    for (uint32_t i = 0; i < n; i++) {
        ck_assert(read_pinned(&pinned[i], i, stamp[i], 16384, 0));
        wr_cache_pin_drop(&pinned[i]);
    }
    ck_assert(put_object(1000, 16384));
    free_store();
}
END_TEST

/* ---- followers ---- */

static void follow(uint64_t number, uint64_t wanted, int end)
{
    struct wr_cache_pinned pinned = { .m = NULL };
    struct wr_cache_at at = { .cell = 0 };
    enum wr_cache_filled state;
    uint64_t done = 0, n;

    while (!find_name(number) || !wr_cache_pin_take(&store.memory, &view, true, &pinned))
        (void)usleep(100);
    do {
        state = wr_cache_pin_filled(&pinned, &n);
        while (done < n) {
            struct wr_str part = wr_cache_pin_part(&pinned, &at, done, n - done);

            if (part.n == 0 || !has_bytes(part, number, number, done))
                _exit(1);
            done += part.n;
        }
        (void)usleep(50);
    } while (state == WR_CACHE_FILLING);
    wr_cache_pin_drop(&pinned);
    _exit(done == wanted && state == (enum wr_cache_filled)end ? 0 : 2);
}

START_TEST(followers_of_a_fill)
{
    make_store(KEYS, MEMORY);
    for (uint32_t round = 0; round < 6; round++) {
        struct wr_cache_name name = name_of(round);
        struct wr_cache_stored s = { .created_us = wr_purge_stamp(&store.purges) };
        bool whole = round % 2 == 0;
        struct wr_cache_view led;
        struct wr_cache_fill *f;
        struct wr_cache_ref ref;
        pid_t pid[2];

        for (uint32_t i = 0; i < 2; i++) {
            pid[i] = fork_process(30 + i);
            if (pid[i] == 0)
                follow(round, 100000, whole ? WR_CACHE_FILLED : WR_CACHE_FILL_BROKEN);
        }
        ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 0, &led), WR_CACHE_LEADS);
        f = wr_cache_fill_new(&store.memory, round < 4 ? SIZE_MAX : 100000);
        ck_assert_ptr_nonnull(f);
        ref = wr_cache_fill_ref(f);
        wr_cache_index_show(&store.index, &led, &ref);
        for (uint32_t at = 0; at < 100000; at += 500) {
            char bytes[500];

            (void)usleep(50);
            fill_bytes(bytes, round, round, at, sizeof(bytes));
            ck_assert(wr_cache_fill_add(f, wr_str_of(bytes, sizeof(bytes))));
        }
        (void)usleep(20000);
        if (whole) {
            s.memory = wr_cache_fill_finish(f);
            ck_assert(wr_cache_index_store(&store.index, &name, &s));
        }
        if (round == 1) { /* the order does not matter */
            wr_cache_fill_end(f);
            wr_cache_index_lead_end(&store.index, &led);
        } else {
            wr_cache_index_lead_end(&store.index, &led);
            wr_cache_fill_end(f);
        }
        turn_over(2, 1000 * (round + 1));
        for (uint32_t i = 0; i < 2; i++)
            ends_with(pid[i], 0);
    }
    free_store();
}
END_TEST

/* Memory that a dead process had taken is free again. */
START_TEST(fillers_die)
{
    make_store(KEYS, MEMORY);
    for (uint32_t round = 0; round < 60; round++) {
        pid_t pid = fork_process(40 + round % 2);

        if (pid == 0) {
            for (uint32_t i = 0; i < 3; i++)
                (void)fill_object(round, 1, 60000, round % 2 == 0);
            (void)fill_object(round, 1, 100, false);
            _exit(0);
        }
        ends_with(pid, 0);
    }
    ck_assert_uint_gt(60 * 180000, 4 * MEMORY);
    for (uint32_t i = 0; i < 30; i++) {
        ck_assert(put_object(i, 60000));
        ck_assert_int_eq(get_object(i), RIGHT);
    }
    free_store();
}
END_TEST

/* One that is stopped keeps what it fills. */
START_TEST(a_filler_is_stopped)
{
    int go[2];
    pid_t pid;

    make_store(KEYS, MEMORY);
    ck_assert(pipe(go) == 0);
    pid = fork_process(50);
    if (pid == 0) {
        struct wr_cache_fill *f = fill_object(1, 1, 50000, false);
        struct wr_cache_stored s = { .created_us = wr_purge_stamp(&store.purges) };
        struct wr_cache_name name = name_of(1);
        char bytes[50000];

        if (f == NULL || write(go[1], "", 1) != 1)
            _exit(1);
        (void)raise(SIGSTOP);
        fill_bytes(bytes, 1, s.created_us, 0, sizeof(bytes));
        wr_cache_fill_patch(f, 0, wr_str_of(bytes, sizeof(bytes)));
        s.memory = wr_cache_fill_finish(f);
        _exit(wr_cache_index_store(&store.index, &name, &s) ? 0 : 2);
    }
    ck_assert_int_eq(read(go[0], &(char){ 0 }, 1), 1);
    turn_over(5, 100);
    while (kill(pid, SIGCONT) == 0 && waitpid(pid, &(int){ 0 }, WNOHANG) == 0)
        (void)usleep(1000);
    ck_assert_int_eq(get_object(1), RIGHT);
    free_store();
}
END_TEST

/* ---- reload ---- */

static const struct {
    size_t keys, memory;
    uint32_t least;              /* objects of 200 that are there afterwards */
    bool same;
} reloads[] = {
    { KEYS, MEMORY, 200, true },
    { KEYS, 2 * MEMORY, 200, false },
    { 2 * KEYS, MEMORY, 200, false },
    { KEYS, MEMORY / 2, 50, false },
    { KEYS / 2, MEMORY, 200, false },
    { KEYS, 0, 0, false },
};

START_TEST(reload_with_other_sizes)
{
    for (size_t i = 0; i < WR_COUNT(reloads); i++) {
        struct wr_cache_name purged = name_of(500), tagged = name_of(7);
        struct wr_cache_stored s = { .created_us = 1700000000000000 };
        struct wr_shm_set *old;
        struct wr_pool *old_pool;
        uint32_t found = 0;

        make_store(KEYS, MEMORY);
        for (uint32_t k = 0; k < 200; k++)
            ck_assert(put_object(k, k % 10 == 0 ? 40000 : 2000));
        ck_assert(wr_cache_index_set_disk(&store.index, &tagged, (find_name(7), view.created_us),
                                          3000));
        ck_assert(wr_cache_index_purge(&store.index, &purged, 1700000000000005, false, NULL));
        ck_assert(wr_purge_tag(&store.purges, 77, false));
        wr_cache_store_end(&store);
        old = store_conf.shm;
        old_pool = store_conf.pool;
        open_store(reloads[i].keys, reloads[i].memory, old);
        ck_assert((store.previous == NULL) == reloads[i].same);
        while (!wr_cache_store_copy(&store))
            ;
        for (uint32_t k = 0; k < 200; k++) {
            enum got got = get_object(k);

            ck_assert_int_ne(got, WRONG);
            found += got == RIGHT;
        }
        ck_assert_msg(found >= reloads[i].least, "row %zu: %u", i, found);
        ck_assert(find_name(7));
        ck_assert_uint_eq(view.disk, 4096);
        ck_assert(!wr_cache_index_store(&store.index, &purged, &s));
        ck_assert_int_eq(wr_purge_check(&store.purges, s.created_us, WR_STR("k"),
                                        wr_str_of((char *)&(uint64_t){ 77 }, 8)), WR_PURGED_GONE);
        wr_shm_set_free(old);
        wr_pool_free(old_pool);
        free_store();
    }
}
END_TEST

UNIT_MAIN("modules/cache_memory", objects_of_all_sizes, bounds, little_is_lost, what_is_used_stays,
          slow_readers, as_many_pins_as_there_are, everything_is_pinned, followers_of_a_fill,
          fillers_die, a_filler_is_stopped, reload_with_other_sizes)
