/* Temp files: data is appended by the worker or a thread and read again; a file gets its name once,
 * in its folders, and is removed or stays; an owner that ends while a thread writes leaks
 * nothing. */
#include "relay/relay.h"
#include "lib/event_lib.h"
#include "lib/said.h"

static struct wr_loop *l;
static struct wr_threads *threads;
static struct wr_log_source source;
static struct counter task;
static struct wr_temp t;
static char folder[] = "/tmp/weir-unit-XXXXXX";

static void setup(bool by_threads)
{
    l = wr_loop_new(16);
    task = COUNTER;
    threads = by_threads ? wr_threads_new(l, WR_STR("test"), 2, 10) : NULL;
    (void)snprintf(folder, sizeof(folder), "/tmp/weir-unit-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    said_keep();
    t = (struct wr_temp){
        .pool = wr_pool_new(0), .folder = folder, .writers = threads,
        .who = { l, &task.task }, .log = &said_log, .source = &source,
    };
}

static void teardown(void)
{
    wr_pool_free(t.pool);
    wr_threads_free(threads);
    wr_loop_free(l);
}

static void put(const char *text)
{
    unsigned runs = task.runs;

    ck_assert(wr_temp_append(&t, text, strlen(text)));
    if (threads != NULL)
        turn_until(l, task.runs > runs);
    ck_assert_ptr_null(t.writing);
}

static void holds(const char *want)
{
    struct wr_bufq q = { 0 };
    struct wr_waiter who = { l, &task.task };
    char got[64];
    size_t n;

    ck_assert_uint_eq(t.size, strlen(want));
    wr_bufq_file(&q, &t.reader, 0, (size_t)t.size);
    ck_assert_int_eq(wr_reader_read(q.head, &who, got, sizeof(got), &n), WR_IO_OK);
    ck_assert_uint_eq(n, strlen(want));
    ck_assert_int_eq(memcmp(got, want, n), 0);
    wr_bufq_clear(&q);
}

START_TEST(appended_and_read)
{
    for (int by_threads = 0; by_threads < 2; by_threads++) {
        setup(by_threads);
        put("one");
        put("two");
        holds("onetwo");
        t.size = 0;
        put("again");
        holds("again");
        teardown();
        ck_assert_int_eq(rmdir(folder), 0); /* the file had no name */
    }
}
END_TEST

START_TEST(a_name_that_goes)
{
    static const uint32_t levels[3] = { 1, 2, 0 };
    const char *name, *base;
    char path[128];

    setup(false);
    ck_assert_ptr_null(wr_temp_name(&t, levels, false)); /* there is no file yet */
    put("text");
    name = wr_temp_name(&t, levels, false);
    ck_assert_ptr_nonnull(name);
    ck_assert_ptr_eq(wr_temp_name(&t, levels, false), name);
    base = strrchr(name, '/') + 1;
    ck_assert_uint_eq(strlen(base), 10);
    (void)snprintf(path, sizeof(path), "%s/%c/%.2s/%s", folder, base[9], base + 7, base);
    ck_assert_str_eq(name, path);
    ck_assert_int_eq(access(path, F_OK), 0);
    teardown();
    ck_assert_int_ne(access(path, F_OK), 0);
    *strrchr(path, '/') = '\0';
    ck_assert_int_eq(rmdir(path), 0);
    *strrchr(path, '/') = '\0';
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(a_name_that_stays)
{
    static const uint32_t levels[3];
    char path[128];

    setup(true);
    put(""); /* an empty file */
    (void)snprintf(path, sizeof(path), "%s", wr_temp_name(&t, levels, true));
    teardown();
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(no_folder)
{
    setup(false);
    ck_assert_int_eq(rmdir(folder), 0);
    ck_assert(!wr_temp_append(&t, "x", 1));
    ck_assert(t.failed && said("open() \"/tmp/weir-unit-"));
    teardown();
}
END_TEST

START_TEST(leaving_while_a_thread_writes)
{
    setup(true);
    for (int i = 0; i < 20; i++) {
        ck_assert(wr_temp_append(&t, "some", 4));
        wr_pool_free(t.pool);
        t = (struct wr_temp){
            .pool = wr_pool_new(0), .folder = folder, .writers = threads,
            .who = { l, &task.task }, .log = &said_log, .source = &source,
        };
        if (i % 5 == 0)
            wr_loop_turn(l, 10);
    }
    ck_assert_uint_eq(task.runs, 0); /* an owner that ended is not woken */
    teardown();
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { appended_and_read, a_name_that_goes, a_name_that_stays,
                                   no_folder, leaving_while_a_thread_writes, NULL };

    return run_suite("relay/temp", tests);
}
