/* The loader and the evictor of a cache's folder, with an index that the test plays. */
#include "lib/cache_lib.h"
#include "lib/said.h"

#include "../../modules/http/cache/cache_evict.h"
#include "../../modules/http/cache/cache_write.h"

#include <errno.h>
#include <utime.h>

/* ---- an index ---- */

#define MOST 4096

static struct {
    struct wr_cache_victim at[MOST]; /* the oldest one first */
    uint32_t n, outdated, found, gone, kept;
    uint32_t asked;
    uint64_t bytes;
    bool refuses;
    bool waits;
    bool vanishes;             /* the folder, after the names in it were listed */
    bool done;
    struct wr_cache_load_sums sums;
} idx;

static bool is_known(void *arg, const struct wr_cache_name *name)
{
    (void)arg;
    if (idx.vanishes) {
        idx.vanishes = false;
        remove_tree(folder_path);
        write_file(folder_path, "", 0); /* so that it is not made again */
        atomic_store(&folder.checked_ms, 0);
    }
    for (uint32_t i = 0; i < idx.n; i++)
        if (memcmp(&idx.at[i].name, name, sizeof(*name)) == 0)
            return true;
    return false;
}

static bool take_found(void *arg, const struct wr_cache_loaded *l)
{
    struct wr_cache_name name = wr_cache_name_of(l->object->key, 0);

    (void)arg;
    ck_assert_int_eq(memcmp(&name, &l->name, sizeof(name)), 0);
    ck_assert_uint_eq(wr_cache_object_size(l->object), l->size);
    ck_assert_uint_gt(l->used_s, 1600000000);
    idx.found++;
    if (idx.refuses)
        return false;
    ck_assert_uint_lt(idx.n, MOST);
    idx.at[idx.n++] = (struct wr_cache_victim){
        l->name, l->object->facts.created_us, wr_cache_file_cost(l->size),
    };
    idx.bytes += wr_cache_file_cost(l->size);
    return true;
}

static void note_done(void *arg, const struct wr_cache_load_sums *sums)
{
    (void)arg;
    idx.done = true;
    idx.sums = *sums;
}

static bool may_work(void *arg)
{
    (void)arg;
    return !idx.waits || ++idx.asked > 2;
}

static const struct wr_cache_load_ops load_ops = { is_known, take_found, note_done, may_work };

static uint64_t count_bytes(void *arg)
{
    (void)arg;
    return idx.bytes;
}

static bool take_victim(void *arg, enum wr_cache_wanted why, struct wr_cache_victim *out)
{
    (void)arg;
    if (idx.n == 0 || (why == WR_CACHE_OUTDATED && idx.outdated == 0))
        return false;
    idx.outdated -= why == WR_CACHE_OUTDATED;
    *out = idx.at[0];
    idx.bytes -= out->cost;
    memmove(idx.at, idx.at + 1, --idx.n * sizeof(*idx.at));
    return true;
}

static void note_gone(void *arg, const struct wr_cache_victim *v, bool removed)
{
    (void)arg;
    (void)v;
    idx.gone += removed;
    idx.kept += !removed;
}

static const struct wr_cache_evict_ops evict_ops = { count_bytes, take_victim, note_gone };

static void begin(void)
{
    struct wr_cache_failure why;

    setup();
    memset(&idx, 0, sizeof(idx));
    ck_assert_int_ge(wr_cache_folder_open(&folder, &why), 0);
}

static void end(void)
{
    wr_cache_writes_end();
    teardown();
}

static struct wr_str key_of(unsigned i)
{
    return wr_pool_fmt(pool, "http://host/%u", i);
}

static bool is_there(struct wr_str key)
{
    return access(path_of(key, levels_12), F_OK) == 0;
}

static void load_with(uint32_t files)
{
    const struct wr_cache_load_conf conf = {
        .pace = { files, 1, 200 }, .inactive_s = 600,
    };
    struct wr_cache_loader *l = wr_cache_loader_new(loop, threads, &folder, &conf, &load_ops, NULL);

    idx.done = false;
    turn_until(idx.done);
    wr_cache_loader_free(l);
    turn_until(wr_cache_writes() == 0);
}

/* ---- loading ---- */

START_TEST(all_objects)
{
    begin();
    for (unsigned i = 0; i < 300; i++)
        put_object(key_of(i), levels_12, CREATED, WR_STR("body"));
    load_with(_i == 0 ? 7 : 100);
    ck_assert_uint_eq(idx.n, 300);
    ck_assert_uint_eq(idx.sums.files, 300);
    ck_assert_uint_eq(idx.sums.bytes, 300 * 4096);
    ck_assert_uint_eq(idx.sums.removed + idx.sums.foreign + idx.sums.known + idx.sums.moved, 0);
    ck_assert(!idx.sums.failed);
    /* once more: nothing is opened */
    load_with(100);
    ck_assert_uint_eq(idx.found, 300);
    ck_assert_uint_eq(idx.sums.known, 300);
    end();
}
END_TEST

START_TEST(another_is_owner)
{
    begin();
    put_object(key_of(1), levels_12, CREATED, WR_STR("body"));
    idx.waits = true;
    load_with(100);
    ck_assert_uint_gt(idx.asked, 2);
    ck_assert_uint_eq(idx.n, 1);
    end();
}
END_TEST

/* The index must not be taken for complete then. */
START_TEST(folder_vanishes)
{
    begin();
    said_keep();
    put_object(key_of(1), levels_12, CREATED, WR_STR("body"));
    idx.vanishes = true;
    load_with(100);
    ck_assert_uint_eq(idx.n, 0);
    ck_assert(idx.sums.failed);
    (void)unlink(folder_path);
    end();
}
END_TEST

START_TEST(an_empty_folder)
{
    begin();
    load_with(100);
    ck_assert_uint_eq(idx.n, 0);
    ck_assert(!idx.sums.failed);
    remove_tree(folder_path);
    load_with(100);
    ck_assert_uint_eq(idx.n, 0);
    end();
}
END_TEST

START_TEST(not_wanted)
{
    begin();
    for (unsigned i = 0; i < 10; i++)
        put_object(key_of(i), levels_12, CREATED, WR_STR("body"));
    idx.refuses = true;
    load_with(3);
    ck_assert_uint_eq(idx.sums.removed, 10);
    ck_assert_uint_eq(idx.found, 10);
    for (unsigned i = 0; i < 10; i++)
        ck_assert(!is_there(key_of(i)));
    end();
}
END_TEST

static void spoil(struct wr_str key, off_t size, const char *start)
{
    const char *path = path_of(key, levels_12);
    int fd = open(path, O_RDWR | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    if (size > 0)
        ck_assert_int_eq(ftruncate(fd, size), 0);
    ck_assert_int_eq(pwrite(fd, start, 9, 0), 9);
    (void)close(fd);
}

static const char *add_file(const char *name, const char *text)
{
    const char *path = wr_pool_fmt(pool, "%s/%s", folder_path, name).p;

    write_file(path, text, strlen(text));
    return path;
}

/* Broken objects go, all that is not weir's stays. */
START_TEST(other_files)
{
    static const struct utimbuf old = { 1700000000, 1700000000 };
    const char *stay[8];

    begin();
    for (unsigned i = 0; i < 6; i++)
        put_object(key_of(i), levels_12, CREATED, WR_STR("body"));
    spoil(key_of(0), 150, "weirobj1\1");
    spoil(key_of(1), 0, "\0\0\0\0\0\0\0\0");
    spoil(key_of(2), 0, "weirobj1\2");  /* of another format */
    spoil(key_of(3), 0, "weirobj1\2");
    ck_assert_int_eq(utime(path_of(key_of(3), levels_12), &old), 0); /* and too old */
    spoil(key_of(4), 0, "<!doctype");
    stay[0] = add_file("index.html", "x");
    stay[1] = add_file("b7f54b2df7773722d382f4809d65029c", ""); /* not at our levels */
    (void)mkdir(wr_pool_fmt(pool, "%s/c", folder_path).p, 0700);
    (void)mkdir(wr_pool_fmt(pool, "%s/c/30", folder_path).p, 0700);
    stay[2] = add_file("c/30/b7f54b2df7773722d382f4809d65029c", ""); /* not its folder */
    (void)mkdir(wr_pool_fmt(pool, "%s/c/xx", folder_path).p, 0700);
    stay[3] = add_file("c/xx/b7f54b2df7773722d382f4809d65029c", "");
    (void)mkdir(wr_pool_fmt(pool, "%s/tmp", folder_path).p, 0700);
    stay[4] = add_file("tmp/somebody", "");
    stay[5] = add_file("tmp/1-2-00000003", ""); /* too young to be left over */
    (void)mkdir("/tmp/weir-cache-other", 0700);
    ck_assert_int_eq(symlink("/tmp/weir-cache-other",
                             wr_pool_fmt(pool, "%s/d", folder_path).p), 0);
    (void)mkdir("/tmp/weir-cache-other/29", 0700);
    write_file("/tmp/weir-cache-other/29/b7f54b2df7773722d382f4809d65029d", "", 0);
    stay[6] = "/tmp/weir-cache-other/29/b7f54b2df7773722d382f4809d65029d";
    stay[7] = path_of(key_of(4), levels_12);

    load_with(100);
    ck_assert_uint_eq(idx.n, 1);
    ck_assert_uint_eq(idx.sums.removed, 3);
    ck_assert_uint_eq(idx.sums.other_format, 1);
    ck_assert(!is_there(key_of(0)) && !is_there(key_of(1)) && !is_there(key_of(3)));
    ck_assert(is_there(key_of(2)) && is_there(key_of(5)));
    for (size_t i = 0; i < WR_COUNT(stay); i++)
        ck_assert_msg(access(stay[i], F_OK) == 0, "%s", stay[i]);
    remove_tree("/tmp/weir-cache-other");
    end();
}
END_TEST

/* The levels were changed: files of the old ones are moved; a young file at the new place wins. */
START_TEST(other_levels)
{
    static const uint8_t none[3], deep[3] = { 2, 2, 2 };
    struct wr_cache_failure why;

    begin();
    for (unsigned i = 0; i < 20; i++)
        put_object(key_of(i), levels_12, CREATED, WR_STR("body"));
    put_object(key_of(20), deep, CREATED, WR_STR("body")); /* never were levels of this folder */
    for (int turn = 0; turn < 2; turn++) {
        wr_cache_folder_close(&folder);
        wr_cache_folder_init(&folder, folder_path, turn == 0 ? none : levels_12);
        ck_assert_int_ge(wr_cache_folder_open(&folder, &why), 0);
        if (turn == 0)
            put_object(key_of(0), none, CREATED + 7, WR_STR("newer"));
        idx.n = 0;
        load_with(turn == 0 ? 3 : 100);
        ck_assert_uint_ge(idx.n, 20);
        ck_assert_uint_eq(idx.sums.moved, turn == 0 ? 19 : 20);
        for (unsigned i = 0; i < 20; i++) {
            ck_assert_int_eq(access(path_of(key_of(i), folder.levels), F_OK), 0);
            ck_assert_int_ne(access(path_of(key_of(i), turn == 0 ? levels_12 : none), F_OK), 0);
        }
    }
    ck_assert_int_eq(access(path_of(key_of(20), deep), F_OK), 0);
    end();
}
END_TEST

/* The keeper ends at any moment. */
START_TEST(ends_early)
{
    const struct wr_cache_load_conf conf = { .pace = { 5, 1, 200 }, .inactive_s = 600 };
    struct wr_cache_loader *l;

    begin();
    for (unsigned i = 0; i < 50; i++)
        put_object(key_of(i), levels_12, CREATED, WR_STR("body"));
    l = wr_cache_loader_new(loop, threads, &folder, &conf, &load_ops, NULL);
    for (int i = 0; i < _i; i++)
        wr_loop_turn(loop, _i % 3);
    wr_cache_loader_free(l);
    wr_cache_loader_free(NULL);
    ck_assert(!idx.done);
    end();
}
END_TEST

/* ---- evicting ---- */

START_TEST(excess)
{
    static const struct { uint64_t max_size, min_free, counted, free_now, want; } rows[] = {
        { UINT64_MAX, 0, UINT64_MAX, 0, 0 },
        { 100, 0, 100, 0, 0 },
        { 100, 0, 101, 0, 1 },
        { 0, 0, 5, UINT64_MAX, 5 },
        { 100, 50, 100, 50, 0 },
        { 100, 50, 10, 20, 30 },
        { 100, 50, 150, 20, 50 },
        { 100, 50, 110, UINT64_MAX, 10 },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        const struct wr_cache_evict_conf c = {
            .max_size = rows[i].max_size, .min_free = rows[i].min_free,
        };

        ck_assert_msg(wr_cache_excess(&c, rows[i].counted, rows[i].free_now) == rows[i].want,
                      "row %zu", i);
    }
}
END_TEST

static struct wr_cache_evictor *new_evictor(uint64_t max_size, uint64_t min_free)
{
    const struct wr_cache_evict_conf conf = {
        .max_size = max_size, .min_free = min_free, .pace = { 7, 1, 200 },
    };

    return wr_cache_evictor_new(loop, threads, &folder, &conf, &evict_ops, NULL);
}

static void fill_index(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        put_object(key_of(i), levels_12, CREATED, WR_STR("body"));
        idx.at[idx.n++] = (struct wr_cache_victim){
            wr_cache_name_of(key_of(i), 0), CREATED, 4096,
        };
        idx.bytes += 4096;
    }
}

START_TEST(down_to_max_size)
{
    struct wr_cache_evictor *e;

    begin();
    fill_index(100);
    e = new_evictor(10 * 4096, 0);
    turn_until(idx.gone == 90);
    ck_assert_uint_eq(idx.bytes, 10 * 4096);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(is_there(key_of(i)), i >= 90);
    /* another object has the name by now: it stays */
    idx.at[0].created_us++;
    idx.bytes += 4096;
    turn_until(idx.kept == 1);
    ck_assert(is_there(key_of(90)));
    wr_cache_evictor_free(e);
    end();
}
END_TEST

START_TEST(outdated)
{
    struct wr_cache_evictor *e;

    begin();
    fill_index(20);
    e = new_evictor(UINT64_MAX, 0);
    turn_until(!e || wr_loop_turns(loop) > 5);
    ck_assert_uint_eq(idx.gone, 0);
    idx.outdated = 15;
    wr_cache_evictor_wake(e);
    turn_until(idx.gone == 15);
    ck_assert_uint_eq(idx.n, 5);
    wr_cache_evictor_free(e);
    end();
}
END_TEST

/* More is to stay free than there is: everything goes. */
START_TEST(min_free)
{
    struct wr_cache_evictor *e;

    begin();
    fill_index(20);
    e = new_evictor(UINT64_MAX, (uint64_t)1 << 60);
    turn_until(idx.gone == 20);
    wr_cache_evictor_free(e);
    end();
}
END_TEST

/* Files that cannot be removed do not empty the index. */
START_TEST(removing_fails)
{
    struct wr_cache_evictor *e;

    begin();
    said_keep();
    fill_index(20);
    remove_tree(folder_path);
    write_file(folder_path, "", 0); /* so that it is not made again */
    atomic_store(&folder.checked_ms, 0);
    e = new_evictor(0, 0);
    turn_until(idx.kept == 7);
    for (int i = 0; i < 5; i++)
        wr_loop_turn(loop, 20);
    ck_assert_uint_eq(idx.n, 13);
    ck_assert(said("cache: open() in"));
    wr_cache_evictor_free(e);
    (void)unlink(folder_path);
    end();
}
END_TEST

START_TEST(evictor_ends_early)
{
    struct wr_cache_evictor *e;

    begin();
    fill_index(60);
    e = new_evictor(0, 1);
    for (int i = 0; i < _i; i++)
        wr_loop_turn(loop, _i % 3);
    wr_cache_evictor_free(e);
    wr_cache_evictor_free(NULL);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache load");
    TCase *t = tcase_create("cache load");
    SRunner *runner;
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, all_objects, 0, 2);
    tcase_add_test(t, another_is_owner);
    tcase_add_test(t, folder_vanishes);
    tcase_add_test(t, an_empty_folder);
    tcase_add_test(t, not_wanted);
    tcase_add_test(t, other_files);
    tcase_add_test(t, other_levels);
    tcase_add_loop_test(t, ends_early, 0, 8);
    tcase_add_test(t, excess);
    tcase_add_test(t, down_to_max_size);
    tcase_add_test(t, outdated);
    tcase_add_test(t, min_free);
    tcase_add_test(t, removing_fails);
    tcase_add_loop_test(t, evictor_ends_early, 0, 8);
    suite_add_tcase(suite, t);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    wr_pool_drop_cache();
    return failed > 0;
}
