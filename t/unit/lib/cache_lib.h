/* cache_lib: what the tests of the response cache's disk half share: encoded objects, a folder that
 * is removed at the end, a loop with threads. Included by one test each. */
#ifndef CACHE_LIB_H
#define CACHE_LIB_H

#include "unit.h"

#include "../../../modules/http/cache/cache_file.h"
#include "http/http.h"

#include <ftw.h>
#include <sys/stat.h>

#define CREATED 1764480000000000U /* us */

static struct wr_pool *pool;
static struct wr_loop *loop;
static struct wr_threads *threads;
static char folder_path[64];
static struct wr_cache_folder folder;
static const uint8_t levels_12[3] = { 1, 2, 0 };

static WR_UNUSED const uint8_t *levels_of(uint8_t a, uint8_t b, uint8_t c)
{
    static uint8_t l[3];

    l[0] = a;
    l[1] = b;
    l[2] = c;
    return l;
}

static WR_UNUSED struct wr_response reply_of(const char *type)
{
    struct wr_response r;

    wr_response_init(&r);
    r.status = 200;
    r.version = 11;
    if (type != NULL)
        r.type = wr_str_c(type);
    return r;
}

/* Everything before the body of a plain object, not sealed. */
static WR_UNUSED struct wr_str before_body(struct wr_str key, uint64_t created_us)
{
    struct wr_text t = wr_text_grow(pool, 512, 1 << 20);
    struct wr_response r = reply_of("text/plain");
    const struct wr_cache_facts facts = {
        .created_us = created_us, .last_modified_s = -1, .fresh.fresh_until = 1764480060000U,
    };
    const struct wr_cache_parts parts = { .facts = &facts, .key = key, .res = &r };

    (void)wr_fields_add_id(pool, &r.fields, WR_F_ETAG, WR_STR("\"abc\""));
    ck_assert(wr_cache_encode(&t, &parts));
    return wr_text_view(&t);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static WR_UNUSED void remove_tree(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static WR_UNUSED void setup(void)
{
    wr_clock_update();
    pool = wr_pool_new(0);
    loop = wr_loop_new(16);
    threads = wr_threads_new(loop, WR_STR("cache"), 2, 100000);
    (void)snprintf(folder_path, sizeof(folder_path), "/tmp/weir-cache-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder_path));
    wr_cache_folder_init(&folder, folder_path, levels_12);
}

static WR_UNUSED void teardown(void)
{
    wr_threads_free(threads);
    wr_cache_folder_close(&folder);
    wr_loop_free(loop);
    wr_pool_free(pool);
    remove_tree(folder_path);
    ck_assert_uint_eq(wr_blocks_live(), 0);
}

#define turn_until(condition)                                          \
    do {                                                               \
        for (int turns_ = 0; turns_ < 2500 && !(condition); turns_++)  \
            wr_loop_turn(loop, 10);                                    \
        ck_assert_msg((condition), "never: %s", #condition);           \
    } while (0)

/* "FOLDER/c/29/b7f5...", in the pool. */
static WR_UNUSED const char *path_of(struct wr_str key, const uint8_t levels[static 3])
{
    struct wr_cache_name name = wr_cache_name_of(key, 0);
    char path[WR_CACHE_PATH_MAX];

    wr_cache_path(&name, levels, path);
    return wr_pool_fmt(pool, "%s/%s", folder_path, path).p;
}

static WR_UNUSED void write_file(const char *path, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_msg(fd >= 0, "%s", path);
    ck_assert(wr_file_write_all(fd, wr_str_of(p, n)));
    (void)close(fd);
}

/* Writes a whole object of that key to its place, or to where other levels put it. */
static WR_UNUSED void put_object(struct wr_str key, const uint8_t levels[static 3],
                                 uint64_t created_us, struct wr_str body)
{
    struct wr_str before = before_body(key, created_us);
    const char *path = path_of(key, levels);
    struct wr_text t = wr_text_grow(pool, before.n + body.n + 1, SIZE_MAX / 2);
    char *slash;

    wr_text_str(&t, before);
    wr_text_str(&t, body);
    wr_cache_seal(t.p, before.n, body.n, 0);
    slash = strrchr((char *)(uintptr_t)path, '/');
    *slash = '\0';
    ck_assert(wr_mkdirs(path, 0700));
    *slash = '/';
    write_file(path, t.p, t.n);
}

#endif
