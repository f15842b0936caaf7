/* Files on their way out: the bytes are those of the file, whatever the page cache contains and
 * whoever reads; a task that waits for a thread is woken; an owner that ends meanwhile leaks
 * nothing. */
#include "event/event.h" /* first: it defines _GNU_SOURCE, for O_DIRECT */

#include "lib/event_lib.h"
#include "lib/said.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define SIZE (1200 * 1024 + 77)

static struct wr_loop *l;
static struct wr_threads *t;
static struct counter task;
static struct wr_conn c;
static struct wr_reader r;
static int other, file;
static char text[SIZE], got[SIZE];

static void evict(void)
{
    (void)fdatasync(file);
    (void)posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
}

static void setup(bool threads)
{
    char path[] = "/tmp/weir-unit-XXXXXX";
    struct stat st;
    int fd[2];

    l = wr_loop_new(16);
    t = threads ? wr_threads_new(l, WR_STR("test"), 2, 10) : NULL;
    task = COUNTER;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    wr_conn_init(&c, l, fd[0], &task.task);
    other = fd[1];
    for (size_t i = 0; i < SIZE; i++)
        text[i] = (char)(i * 7 + i / 251);
    file = mkstemp(path);
    unlink(path);
    ck_assert_int_eq(write(file, text, SIZE), SIZE);
    ck_assert_int_eq(fstat(file, &st), 0);
    wr_reader_init(&r, wr_opened_new(file, path), t);
    wr_opened_facts(r.file, &st);
    evict();
}

static void teardown(void)
{
    wr_reader_end(&r);
    wr_reader_end(&r);
    wr_conn_close(&c);
    close(other);
    wr_threads_free(t);
    wr_loop_free(l);
    ck_assert_uint_eq(wr_blocks_live(), 0);
}

/* Sends n bytes from `at` on, as the relay would, and compares what arrives at the far end. */
static void pass(size_t at, size_t n)
{
    struct wr_bufq q = { 0 };
    size_t have = 0;

    wr_conn_arm(&c);
    wr_bufq_file(&q, &r, (off_t)at, n);
    while (have < n) {
        size_t put;
        enum wr_io io = q.n > 0 ? wr_conn_write_q(&c, &q, SIZE_MAX, &put) : WR_IO_AGAIN;
        ssize_t k;

        ck_assert_int_ne(io, WR_IO_ERROR);
        while ((k = read(other, got + have, n - have)) > 0)
            have += (size_t)k;
        if (io == WR_IO_AGAIN && have < n)
            wr_loop_turn(l, 2000);
    }
    ck_assert_uint_eq(q.n, 0);
    ck_assert_int_eq(memcmp(got, text + at, n), 0);
}

static void all_ways(void)
{
    pass(0, SIZE);
    pass(0, SIZE); /* warm now */
    evict();
    pass(300001, 200000);
    pass(300001, 1);
    pass(SIZE - 5000, 5000);
    evict();
    pass(SIZE - 1, 1);
    pass(4096, 600000);
}

/* Reads in pieces into memory, as a filter does. */
static void read_pieces(size_t at, size_t n)
{
    struct wr_bufq q = { 0 };
    struct wr_waiter who = { l, &task.task };
    size_t have = 0;

    wr_bufq_file(&q, &r, (off_t)at, n);
    while (q.n > 0) {
        size_t k;
        enum wr_io io = wr_reader_read(q.head, &who, got + have, 30000, &k);

        ck_assert_int_ne(io, WR_IO_ERROR);
        ck_assert_uint_le(k, 30000);
        if (io == WR_IO_AGAIN)
            wr_loop_turn(l, 2000);
        have += k;
        wr_bufq_drop(&q, k);
    }
    ck_assert_uint_eq(have, n);
    ck_assert_int_eq(memcmp(got, text + at, n), 0);
}

START_TEST(pieces_into_memory)
{
    setup(_i & 1);
    if (_i & 2) {
        r.file->direct = fcntl(file, F_SETFL, fcntl(file, F_GETFL) | O_DIRECT) == 0;
        wr_reader_direct(&r, 65536, 4096);
    }
    read_pieces(0, SIZE);
    evict();
    read_pieces(300001, 200000);
    read_pieces(SIZE - 1, 1);
    teardown();
}
END_TEST

/* A file that became shorter is an error, not an end. */
START_TEST(pieces_of_a_file_that_became_shorter)
{
    struct wr_waiter who;
    struct wr_bufq q = { 0 };
    enum wr_io io;
    size_t k;

    setup(_i & 1);
    said_keep();
    who = (struct wr_waiter){ l, &task.task };
    wr_bufq_file(&q, &r, SIZE, 10);
    for (int i = 0; i < 100; i++) {
        io = wr_reader_read(q.head, &who, got, 10, &k);
        if (io != WR_IO_AGAIN)
            break;
        wr_loop_turn(l, 1000);
    }
    ck_assert_int_eq(io, WR_IO_ERROR);
    ck_assert_uint_eq(k, 0);
    ck_assert(said("pread() "));
    wr_bufq_clear(&q);
    teardown();
}
END_TEST

START_TEST(cold_and_warm)
{
    setup(_i & 1);
    if (_i & 2)
        c.file_max = 0; /* sendfile off */
    all_ways();
    teardown();
}
END_TEST

START_TEST(directly)
{
    int flags;

    setup(_i & 1);
    flags = fcntl(file, F_GETFL);
    /* if the file system refuses it, reading logs that and goes on through the cache */
    r.file->direct = fcntl(file, F_SETFL, flags | O_DIRECT) == 0;
    wr_reader_direct(&r, 100000, 512);
    ck_assert_uint_eq(r.direct, 100352);
    all_ways();
    teardown();
}
END_TEST

START_TEST(a_file_that_became_shorter)
{
    struct wr_bufq q = { 0 };
    enum wr_io io = WR_IO_AGAIN;
    size_t put;

    setup(true);
    wr_conn_arm(&c);
    if (_i == 1) {
        r.file->direct = fcntl(file, F_SETFL, fcntl(file, F_GETFL) | O_DIRECT) == 0;
        wr_reader_direct(&r, 65536, 4096);
    }
    wr_bufq_file(&q, &r, 0, 30000);
    ck_assert_int_eq(ftruncate(file, 10000), 0);
    for (int i = 0; i < 100 && io != WR_IO_ERROR; i++) {
        io = wr_conn_write_q(&c, &q, SIZE_MAX, &put);
        if (io == WR_IO_AGAIN)
            wr_loop_turn(l, 1000);
    }
    ck_assert_int_eq(io, WR_IO_ERROR);
    ck_assert_int_eq(c.error, EIO);
    ck_assert_int_eq(read(other, got, SIZE), 10000);
    wr_bufq_clear(&q);
    teardown();
}
END_TEST

START_TEST(leaving_while_a_thread_reads)
{
    struct wr_bufq q = { 0 };
    size_t put;

    setup(true);
    wr_conn_arm(&c);
    wr_reader_direct(&r, 65536, 4096); /* a direct read goes to a thread, cached or not */
    wr_bufq_file(&q, &r, 0, SIZE);
    ck_assert_int_eq(wr_conn_write_q(&c, &q, SIZE_MAX, &put), WR_IO_AGAIN);
    ck_assert(c.reading);
    wr_bufq_clear(&q);
    teardown();
}
END_TEST

START_TEST(no_room_in_the_queue)
{
    struct wr_bufq q = { 0 };
    size_t put;

    setup(true);
    wr_threads_free(t);
    said_keep();
    r.threads = t = wr_threads_new(l, WR_STR("none"), 1, 0);
    wr_reader_direct(&r, 65536, 4096);
    wr_bufq_file(&q, &r, 0, SIZE);
    ck_assert_int_eq(wr_conn_write_q(&c, &q, SIZE_MAX, &put), WR_IO_ERROR);
    ck_assert_int_eq(c.error, 0);
    ck_assert(said("thread pool \"none\" queue overflow: 0 tasks waiting"));
    wr_bufq_clear(&q);
    teardown();
}
END_TEST

START_TEST(small_ranges_become_memory)
{
    struct wr_bufq q = { 0 };

    setup(_i);
    (void)!pread(file, got, 20000, 0);
    wr_bufq_file(&q, &r, 100, WR_BLOCK_SIZE + 1);
    wr_bufq_load(&q);
    ck_assert_ptr_null(q.head->p);
    wr_bufq_clear(&q);

    wr_bufq_borrow(&q, "head", 4);
    wr_bufq_file(&q, &r, 100, 1000);
    wr_bufq_load(&q);
    if (_i == 0) { /* with threads only if the file system can tell that it is warm */
        ck_assert_uint_eq(wr_bufq_peek(&q, got, SIZE), 1004);
        ck_assert_int_eq(memcmp(got + 4, text + 100, 1000), 0);
    }
    wr_bufq_clear(&q);
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("event_reader");
    TCase *tc = tcase_create("event_reader");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, pieces_into_memory, 0, 4);
    tcase_add_loop_test(tc, pieces_of_a_file_that_became_shorter, 0, 2);
    tcase_add_loop_test(tc, cold_and_warm, 0, 4);
    tcase_add_loop_test(tc, directly, 0, 2);
    tcase_add_loop_test(tc, a_file_that_became_shorter, 0, 2);
    tcase_add_test(tc, leaving_while_a_thread_reads);
    tcase_add_test(tc, no_room_in_the_queue);
    tcase_add_loop_test(tc, small_ranges_become_memory, 0, 2);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
