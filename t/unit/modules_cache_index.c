/* The index of the cache: what is stored, led, purged and dropped, by one process and by several of
 * which some die anywhere, and with any bytes in the memory. */
#include "lib/store.h"

#include "../../modules/http/cache/cache_entry.h"

#include <errno.h>

#define KEYS 65536

static struct wr_cache_view view;

/* ---- one process, by a table ---- */

static const struct step {
    char what; /* f find, l lead, e end of leading, s store, d on disk, m not in memory, r remove,
                * h hard purge, g soft purge */
    uint32_t name;
    uint32_t stamp;              /* + START */
    int result;
    uint32_t created;            /* of the entry afterwards; + START, 0: none */
} steps[] = {
    { 'f', 1, 0, false, 0 },
    { 'l', 1, 0, WR_CACHE_LEADS, 0 },
    { 'l', 1, 0, WR_CACHE_FOLLOWS, 0 },
    { 'f', 1, 0, true, 0 },
    { 's', 1, 10, true, 10 },
    { 'e', 1, 0, true, 10 },
    { 'l', 1, 0, WR_CACHE_LEADS, 10 },
    { 'e', 1, 0, true, 10 },
    { 's', 1, 9, false, 10 },    /* older than what is there */
    { 's', 1, 10, true, 10 },
    { 's', 1, 12, true, 12 },
    { 'd', 1, 10, false, 12 },
    { 'd', 1, 12, true, 12 },
    { 'r', 1, 10, false, 12 },
    { 'r', 1, 12, true, 0 },
    { 'f', 1, 0, false, 0 },
    { 's', 2, 20, true, 20 },    /* stored without a leader */
    { 'h', 2, 25, true, 0 },
    { 'f', 2, 0, true, 0 },
    { 's', 2, 24, false, 0 },    /* was asked for before the purge */
    { 's', 2, 25, false, 0 },
    { 's', 2, 26, true, 26 },
    { 'g', 2, 30, true, 26 },    /* soft: it stays, stale */
    { 'g', 2, 27, true, 26 },    /* one that was made before comes late */
    { 's', 2, 29, false, 26 },
    { 's', 2, 31, true, 31 },
    { 'h', 3, 40, true, 0 },     /* of a name that is not there */
    { 's', 3, 39, false, 0 },
    { 'r', 3, 0, true, 0 },
    { 's', 3, 39, false, 0 },    /* the entry is gone, the purge is not forgotten */
    { 's', 3, 41, true, 41 },
    { 'l', 4, 0, WR_CACHE_LEADS, 0 },
    { 'r', 4, 0, true, 0 },
    { 'f', 4, 0, true, 0 },      /* an entry with a leader stays */
    { 'e', 4, 0, true, 0 },
    { 'r', 4, 0, true, 0 },
    { 'f', 4, 0, false, 0 },
};
#define START 1700000000000000ULL

static int take_step(const struct step *s, struct wr_cache_view *led)
{
    struct wr_cache_index *ix = &store.index;
    struct wr_cache_name name = name_of(s->name);
    struct wr_cache_stored st = { .created_us = START + s->stamp, .flags = s->stamp };
    uint64_t stamp = s->stamp != 0 ? START + s->stamp : 0;
    enum wr_cache_led l;

    switch (s->what) {
    case 'f':
        return wr_cache_index_find(ix, &name, &view);
    case 'l':
        l = wr_cache_index_lead(ix, &name, 0, &view);
        if (l == WR_CACHE_LEADS)
            *led = view;
        return (int)l;
    case 'e':
        wr_cache_index_lead_end(ix, led);
        return !wr_cache_index_leads(ix, led);
    case 's':
        return wr_cache_index_store(ix, &name, &st);
    case 'd':
        return wr_cache_index_set_disk(ix, &name, stamp, 5000);
    case 'r':
        return wr_cache_index_remove(ix, &name, stamp, NULL);
    default:
        return wr_cache_index_purge(ix, &name, stamp, s->what == 'g', NULL);
    }
}

START_TEST(finds_leads_stores_purges)
{
    struct wr_cache_view led;

    make_store(KEYS, 0);
    for (size_t i = 0; i < WR_COUNT(steps); i++) {
        struct wr_cache_name name = name_of(steps[i].name);
        int got = take_step(&steps[i], &led);
        uint64_t created = steps[i].created != 0 ? START + steps[i].created : 0;
        bool there = wr_cache_index_find(&store.index, &name, &view);

        ck_assert_msg(got == steps[i].result, "step %zu: %d", i, got);
        ck_assert_msg((there ? view.created_us : 0) == created, "step %zu: another object", i);
        ck_assert(!there || view.flags == steps[i].created);
    }
    ck_assert_uint_eq(wr_cache_index_totals(&store.index).entries, 2);
    free_store();
}
END_TEST

START_TEST(counts_pages_and_uses)
{
    struct wr_cache_name name = name_of(1), other = name_of(2);
    struct wr_cache_stored s = { .created_us = START, .disk = 1 };

    make_store(KEYS, 0);
    ck_assert(wr_cache_index_store(&store.index, &name, &s));
    ck_assert_uint_eq(wr_cache_index_totals(&store.index).disk, 4096);
    ck_assert(wr_cache_index_set_disk(&store.index, &name, START, 8193));
    ck_assert_uint_eq(wr_cache_index_totals(&store.index).disk, 3 * 4096);
    for (uint32_t i = 0; i < 5; i++) {
        ck_assert(wr_cache_index_find(&store.index, &name, &view));
        ck_assert_uint_eq(view.uses, i);
        ck_assert_uint_eq(view.disk, 3 * 4096);
        wr_cache_index_touch(&store.index, &view);
    }
    wr_cache_index_set_user(&store.index, &view, 77);
    wr_cache_index_clear(&store.index, &view, START + 5);
    ck_assert(wr_cache_index_find(&store.index, &name, &view));
    ck_assert_uint_eq(view.user, 77);
    ck_assert_uint_eq(view.cleared_us, START + 5);
    s.created_us = START + 7;
    s.disk = 0;
    ck_assert(wr_cache_index_store(&store.index, &name, &s));
    wr_cache_index_clear(&store.index, &view, START + 9); /* of the object that was there before */
    ck_assert(wr_cache_index_find(&store.index, &name, &view));
    ck_assert_uint_eq(view.cleared_us, START + 7);
    ck_assert_uint_eq(wr_cache_index_totals(&store.index).disk, 0);
    ck_assert(!wr_cache_index_find(&store.index, &other, &view));
    ck_assert_int_eq(wr_cache_index_lead(&store.index, &other, 0, &view), WR_CACHE_LEADS);
    ck_assert_uint_eq(view.uses, 1);
    wr_cache_index_lead_end(&store.index, &view);
    free_store();
}
END_TEST

/* Keys that fit a keys_zone of so many bytes: nginx documents 8000 for each megabyte. */
static const struct {
    size_t bytes;
    uint32_t keys;
} sizes[] = { { 32768, 250 }, { 65536, 500 }, { 1 << 20, 8000 }, { 5 << 20, 40000 } };

START_TEST(as_many_keys_as_documented)
{
    for (size_t i = 0; i < WR_COUNT(sizes); i++) {
        uint32_t found = 0;

        make_store(sizes[i].bytes, 0);
        for (uint32_t k = 0; k < sizes[i].keys; k++) {
            struct wr_cache_name name = name_of(k);
            struct wr_cache_stored s = { .created_us = START + k };

            ck_assert(wr_cache_index_store(&store.index, &name, &s));
        }
        for (uint32_t k = 0; k < sizes[i].keys; k++) {
            struct wr_cache_name name = name_of(k);

            found += wr_cache_index_find(&store.index, &name, &view);
        }
        ck_assert_uint_eq(found, sizes[i].keys);
        ck_assert_uint_eq(wr_cache_index_totals(&store.index).entries, sizes[i].keys);
        free_store();
    }
}
END_TEST

static uint32_t dropped;

static void note_dropped(void *arg, const struct wr_cache_view *v)
{
    struct wr_cache_name oldest = name_of(dropped);

    (void)arg;
    ck_assert_mem_eq(v->name.digest, oldest.digest, sizeof(oldest.digest));
    ck_assert_uint_eq(v->created_us, START + dropped);
    ck_assert_uint_eq(v->disk, 8192);
    dropped++;
}

/* A small index is exact. Those that are led stay. */
START_TEST(the_least_recently_used_goes)
{
    struct wr_cache_stored s = { .created_us = START, .disk = 8192 };
    struct wr_cache_name name;
    uint32_t most;

    make_store(KEYS, 0);
    store.index.dropped = note_dropped;
    most = store.index.each;
    for (uint32_t k = 0; k < most + 50; k++) {
        name = name_of(k);
        s.created_us = START + k;
        s.used_ms = 1000 + k;
        ck_assert(wr_cache_index_store(&store.index, &name, &s));
    }
    ck_assert_uint_eq(dropped, 50);
    for (uint32_t k = 0; k < most + 50; k++) {
        name = name_of(k);
        ck_assert(wr_cache_index_find(&store.index, &name, &view) == (k >= 50));
    }
    ck_assert_uint_eq(wr_cache_index_totals(&store.index).entries, most);
    ck_assert_uint_eq(wr_cache_index_totals(&store.index).disk, most * 8192UL);
    for (uint32_t k = 0; k < 10; k++) { /* what the evictor of files does */
        ck_assert(wr_cache_index_take(&store.index, UINT64_MAX, &view));
        name = name_of(50 + k);
        ck_assert_mem_eq(view.name.digest, name.digest, sizeof(name.digest));
    }
    ck_assert(!wr_cache_index_take(&store.index, 1060, &view));
    name = name_of(most + 49); /* the last one */
    ck_assert(wr_cache_index_find(&store.index, &name, &view));
    atomic_store(&store.index.entry[view.at].used_ms, UINT64_MAX - 1); /* damage keeps no file */
    ck_assert(wr_cache_index_take(&store.index, 1, &view));
    ck_assert_mem_eq(view.name.digest, name.digest, sizeof(name.digest));
    free_store();
}
END_TEST

START_TEST(leaders_stay_and_others_go)
{
    struct wr_cache_view led[20];
    struct wr_cache_name name;

    make_store(KEYS, 0);
    for (uint32_t k = 0; k < 20; k++) {
        name = name_of(1000000 + k);
        ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 0, &led[k]), WR_CACHE_LEADS);
    }
    wr_clock.mono_ms += 10;
    for (uint32_t k = 0; k < 3 * store.index.each; k++) {
        struct wr_cache_stored s = { .created_us = START + k };

        name = name_of(k);
        ck_assert(wr_cache_index_store(&store.index, &name, &s));
    }
    for (uint32_t k = 0; k < 20; k++)
        ck_assert(wr_cache_index_leads(&store.index, &led[k]));
    for (uint32_t k = 0; k < 20; k++)
        wr_cache_index_lead_end(&store.index, &led[k]);
    /* All entries have leaders: no room. */
    for (uint32_t k = 0; k < store.index.each + 5; k++) {
        name = name_of(2000000 + k);
        ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 0, &view),
                         k < store.index.each ? WR_CACHE_LEADS : WR_CACHE_NO_LEADER);
    }
    free_store();
}
END_TEST

START_TEST(a_leader_is_too_old)
{
    struct wr_cache_name name = name_of(1);
    struct wr_cache_ref ref = { .number = 5, .at = 7, .size = 0 };
    struct wr_cache_view old;

    make_store(KEYS, 0);
    ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 1000, &old), WR_CACHE_LEADS);
    wr_cache_index_show(&store.index, &old, &ref);
    ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 1000, &view), WR_CACHE_FOLLOWS);
    ck_assert_uint_eq(view.filling.number, 5);
    ck_assert_uint_eq(view.filling.at, 7);
    ck_assert_uint_eq(wr_cache_index_leader_slot(&view), 1);
    wr_clock.mono_ms += 999;
    ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 1000, &view), WR_CACHE_FOLLOWS);
    ck_assert_uint_eq(wr_cache_index_leader_ms(&view), 999);
    wr_clock.mono_ms++;
    ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 1000, &view), WR_CACHE_LEADS);
    ck_assert(!wr_cache_index_leads(&store.index, &old));
    ck_assert(wr_cache_index_leads(&store.index, &view));
    ck_assert_uint_eq(view.filling.number, 0);
    wr_cache_index_show(&store.index, &old, &ref);
    wr_cache_index_lead_end(&store.index, &old);
    ck_assert(wr_cache_index_leads(&store.index, &view));
    wr_cache_index_lead_end(&store.index, &view);
    ck_assert(wr_cache_index_find(&store.index, &name, &view));
    ck_assert_uint_eq(wr_cache_index_leader_slot(&view), WR_SLOT_NONE);
    ck_assert(wr_cache_index_update(&store.index, &view, 1000));
    old = view;
    ck_assert(!wr_cache_index_update(&store.index, &view, 1000));
    wr_cache_index_update_end(&store.index, &old);
    ck_assert(wr_cache_index_update(&store.index, &view, 1000));
    free_store();
}
END_TEST

/* Processes read the clock once a turn of their loops, so that of a leader may be ahead. */
START_TEST(a_leader_of_a_later_turn)
{
    struct wr_cache_name name = name_of(1), far = name_of(2);

    make_store(KEYS, 0);
    wr_clock.mono_ms += 1500;
    ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 1000, &view), WR_CACHE_LEADS);
    wr_clock.mono_ms -= 1500;
    ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 1000, &view), WR_CACHE_FOLLOWS);
    wr_clock.mono_ms += 2499;
    ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 1000, &view), WR_CACHE_FOLLOWS);
    wr_clock.mono_ms++;
    ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 1000, &view), WR_CACHE_LEADS);
    wr_clock.mono_ms += WR_CACHE_AHEAD_MS + 1;
    ck_assert_int_eq(wr_cache_index_lead(&store.index, &far, 1000, &view), WR_CACHE_LEADS);
    wr_clock.mono_ms -= WR_CACHE_AHEAD_MS + 1; /* that is damage */
    ck_assert_int_eq(wr_cache_index_lead(&store.index, &far, 1000, &view), WR_CACHE_LEADS);
    free_store();
}
END_TEST

/* A process that has the locks of all shards and does not run. */
static pid_t hold_locks(void)
{
    int ready[2];
    char c = 0;
    pid_t pid;

    ck_assert_int_eq(pipe(ready), 0);
    pid = fork_process(7);
    if (pid == 0) {
        for (uint32_t i = 0; i < store.index.shards; i++)
            if (!wr_cache_shard_lock(&store.index, i, false))
                _exit(8);
        (void)!write(ready[1], &c, 1);
        for (;;)
            (void)pause();
    }
    ck_assert_int_eq(read(ready[0], &c, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    return pid;
}

START_TEST(a_holder_of_the_lock_does_not_run)
{
    struct wr_cache_name name = name_of(1), there = name_of(2);
    struct wr_cache_stored s = { .created_us = START };
    pid_t pid;

    make_store(KEYS, 0);
    ck_assert(wr_cache_index_store(&store.index, &there, &s));
    pid = hold_locks();
    ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 0, &view), WR_CACHE_LEAD_BUSY);
    ck_assert(!wr_cache_index_store(&store.index, &name, &s));
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert(!wr_cache_index_set_disk(&store.index, &there, START, 1));
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(wr_cache_index_lead(&store.index, &there, 0, &view), WR_CACHE_LEADS);
    wr_cache_index_lead_end(&store.index, &view);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ends_with(pid, SIGKILL);
    ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 0, &view), WR_CACHE_LEADS);
    s.created_us--;
    ck_assert(!wr_cache_index_store(&store.index, &there, &s));
    ck_assert_int_eq(errno, ESTALE);
    free_store();
}
END_TEST

START_TEST(a_leader_dies)
{
    struct wr_cache_name name = name_of(1);
    uint32_t cursor = 0;
    pid_t pid;

    make_store(KEYS, 0);
    for (uint32_t round = 0; round < 3; round++) {
        pid = fork_process(7);
        if (pid == 0)
            _exit(wr_cache_index_lead(&store.index, &name, 0, &view) != WR_CACHE_LEADS);
        ends_with(pid, 0);
        ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 0, &view), WR_CACHE_FOLLOWS);
        wr_clock.mono_ms += 300; /* it is looked at after a while */
        if (round == 2) { /* another process has the slot */
            pid = fork_process(7);
            if (pid == 0)
                _exit(wr_cache_index_lead(&store.index, &name, 0, &view) != WR_CACHE_LEADS);
            ends_with(pid, 0);
            wr_clock.mono_ms += 300;
        }
        if (round == 1) {
            while (!wr_cache_index_walk(&store.index, &cursor, 10, NULL, NULL))
                ;
            ck_assert(wr_cache_index_find(&store.index, &name, &view));
            ck_assert_uint_eq(view.leader, 0);
        }
        ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 0, &view), WR_CACHE_LEADS);
        wr_cache_index_lead_end(&store.index, &view);
    }
    free_store();
}
END_TEST

/* ---- several processes ---- */

enum { NAMES = 400 };

static void random_step(void)
{
    struct wr_cache_index *ix = &store.index;
    uint64_t number = next_random() % NAMES;
    struct wr_cache_name name = name_of(number);
    struct wr_cache_view v;

    switch (next_random() % 8) {
    case 0:
        if (wr_cache_index_lead(ix, &name, 1000, &v) == WR_CACHE_LEADS) {
            (void)put_object_led(number, 1 + next_random() % 3000, &v);
            wr_cache_index_lead_end(ix, &v);
        }
        break;
    case 1:
        if (wr_cache_index_find(ix, &name, &v))
            (void)wr_cache_index_remove(ix, &name, v.created_us, NULL);
        break;
    case 2:
        (void)wr_cache_index_purge(ix, &name, wr_purge_stamp(&store.purges), number % 2 == 0, NULL);
        break;
    case 3:
        if (wr_cache_index_find(ix, &name, &v) && v.created_us != 0)
            (void)wr_cache_index_set_disk(ix, &name, v.created_us, 1 + next_random() % 100000);
        break;
    default:
        (void)put_object(number, 1 + next_random() % (next_random() % 8 == 0 ? 60000 : 4000));
    }
}

static void work_for_ever(void)
{
    for (;;) {
        wr_clock_update();
        random_step();
        if (get_object(next_random() % NAMES) == WRONG)
            _exit(3);
    }
}

static uint64_t counted_pages, counted;

static void count_view(void *arg, const struct wr_cache_view *v)
{
    (void)arg;
    counted++;
    counted_pages += v->disk;
}

/* The totals are those of the entries, when nobody writes. */
static void counts_are_right(void)
{
    struct wr_cache_totals t;
    uint32_t cursor = 0;

    for (uint32_t pass = 0; pass < 2; pass++) {
        counted = counted_pages = 0;
        while (!wr_cache_index_walk(&store.index, &cursor, 1000, count_view, NULL))
            ;
    }
    t = wr_cache_index_totals(&store.index);
    ck_assert_uint_eq(t.entries, counted);
    ck_assert_uint_eq(t.disk, counted_pages);
}

/* Three processes store, remove, purge and read; one of them is killed again and again, at any
 * instruction, fewer times on a busy machine. What is found is what was stored under that name, and
 * everything goes on. */
START_TEST(killed_anywhere)
{
    enum { PROCESSES = 3, KILLS = 1500 };
    pid_t pid[PROCESSES];
    const uint64_t end_ns = wr_time_ns() + UINT64_C(12000000000);
    uint32_t right = 0, kills = 0;

    make_store(KEYS / 2, 1 << 20); /* fewer entries than names: some are dropped all the time */
    for (uint32_t p = 0; p < PROCESSES; p++) {
        pid[p] = fork_process(10 + p);
        if (pid[p] == 0)
            work_for_ever();
    }
    for (; kills < KILLS && wr_time_ns() < end_ns; kills++) {
        uint32_t p = kills % PROCESSES, slot = 10 + p;
        int status;

        (void)usleep((useconds_t)(next_random() % 1500));
        ck_assert_int_eq(waitpid(-1, &status, WNOHANG), 0); /* nobody found a wrong object */
        ck_assert_int_eq(kill(pid[p], SIGKILL), 0);
        ends_with(pid[p], SIGKILL);
        wr_cache_store_clear(&store, slot);
        wr_clock_update();
        for (uint32_t k = 0; k < 5; k++) {
            enum got got = get_object(next_random() % NAMES);

            ck_assert_int_ne(got, WRONG);
            right += got == RIGHT;
        }
        pid[p] = fork_process(slot);
        if (pid[p] == 0)
            work_for_ever();
    }
    for (uint32_t p = 0; p < PROCESSES; p++) {
        ck_assert_int_eq(kill(pid[p], SIGKILL), 0);
        ends_with(pid[p], SIGKILL);
        wr_cache_store_clear(&store, 10 + p);
    }
    ck_assert_uint_gt(right, kills / 4);
    wr_clock.mono_ms += 100000; /* dead leaders are found */
    counts_are_right();
    for (uint32_t k = 0; k < 100; k++) { /* and all of it still works */
        ck_assert(put_object(5000 + k, 2000));
        ck_assert_int_eq(get_object(5000 + k), RIGHT);
    }
    counts_are_right();
    free_store();
}
END_TEST

/* ---- any bytes ---- */

static void write_garbage(size_t bytes)
{
    uint32_t *words = (void *)store.index.shared_seed;

    for (uint64_t n = 1 + next_random() % 16; n > 0; n--) {
        uint64_t near = next_random() % 3 == 0 ? 64 : bytes / 4;
        uint32_t word = (uint32_t)next_random();

        if (next_random() % 2 == 0)
            word = (uint32_t)(next_random() % (2 * store.index.each));
        words[next_random() % near] = next_random() % 4 == 0 ? UINT32_MAX : word;
    }
}

static size_t store_size(void)
{
    return (size_t)((char *)store.memory.bytes - (char *)store.index.shared_seed)
        + (size_t)store.memory.blocks * WR_CACHE_EXTENT;
}

static void works_again(void)
{
    uint32_t right = 0, cursor = 0;

    WR_WRITE(store.index.shard[0].busy, 1);     /* as left by one that died */
    WR_WRITE(store.index.shard[0].floor_us, 0); /* it may forbid all for a day */
    for (uint32_t i = 0; i < WR_SLOTS; i++) /* as the keeper does at the next death */
        if (i != wr_self.slot)
            wr_cache_store_clear(&store, i);
    for (uint32_t i = 0; i < 3; i++)
        while (!wr_cache_index_walk(&store.index, &cursor, 1000, NULL, NULL))
            ;
    for (uint32_t i = 0; i < 60; i++) {
        (void)put_object(7000 + i, 1000);
        right += get_object(7000 + i) == RIGHT;
    }
    ck_assert_uint_gt(right, 50);
}

START_TEST(garbage_between_any_two_steps)
{
    make_store(KEYS / 2, 1 << 20);
    for (uint32_t round = 0; round < 150; round++) {
        for (uint32_t k = 0; k < 40; k++) {
            random_step();
            (void)get_object(next_random() % NAMES);
            if (next_random() % 8 == 0)
                write_garbage(store_size());
        }
        works_again();
    }
    free_store();
}
END_TEST

START_TEST(garbage_meanwhile)
{
    pid_t pid;

    make_store(KEYS / 2, 1 << 20);
    pid = fork_process(5);
    if (pid == 0)
        for (;;)
            write_garbage(store_size());
    for (uint32_t i = 0; i < 1500; i++) {
        random_step();
        (void)get_object(next_random() % NAMES);
    }
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ends_with(pid, SIGKILL);
    works_again();
    free_store();
}
END_TEST

UNIT_MAIN("modules/cache_index", finds_leads_stores_purges, counts_pages_and_uses,
          as_many_keys_as_documented, the_least_recently_used_goes, leaders_stay_and_others_go,
          a_leader_is_too_old, a_leader_of_a_later_turn, a_holder_of_the_lock_does_not_run,
          a_leader_dies, killed_anywhere, garbage_between_any_two_steps, garbage_meanwhile)
