/* Objects written to files by threads, and read back. */
#include "lib/cache_lib.h"
#include "lib/said.h"

#include "../../modules/http/cache/cache_read.h"
#include "../../modules/http/cache/cache_write.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

static struct {
    struct wr_cache_written is;
    unsigned calls;
} written;

static void note_written(void *arg, const struct wr_cache_written *w)
{
    ck_assert_ptr_eq(arg, &written);
    written.is = *w;
    written.calls++;
}

static void begin(void)
{
    setup();
    written.calls = 0;
}

static struct wr_cache_write_how how_of(struct wr_str key)
{
    return (struct wr_cache_write_how){
        .folder = &folder, .threads = threads, .loop = loop, .name = wr_cache_name_of(key, 0),
        .done = note_written, .arg = &written,
    };
}

static struct wr_cache_write *new_write(struct wr_str key, uint64_t created_us)
{
    const struct wr_cache_write_how how = how_of(key);

    return wr_cache_write_new(&how, before_body(key, created_us));
}

/* The bytes of a body, which tell where they are. */
static char byte_at(uint64_t i)
{
    return (char)(i * 7 + i / 251 + (i >> 13));
}

static struct wr_str make_body(size_t n)
{
    char *p = wr_pool_alloc(pool, n + 1);

    for (size_t i = 0; i < n; i++)
        p[i] = byte_at(i);
    return wr_str_of(p, n);
}

static bool add(struct wr_cache_write *w, struct wr_str bytes)
{
    struct wr_bufq q = { 0 };
    bool ok;

    wr_bufq_copy(&q, bytes.p, bytes.n);
    ok = wr_cache_write_add(w, &q);
    wr_bufq_clear(&q);
    return ok;
}

static bool store(struct wr_str key, uint64_t created_us, struct wr_str body)
{
    struct wr_cache_write *w = new_write(key, created_us);
    unsigned calls = written.calls;

    (void)add(w, body);
    wr_cache_write_finish(w, WR_STR(""));
    turn_until(written.calls == calls + 1);
    ck_assert_uint_eq(wr_cache_writes(), 0);
    return written.is.stored;
}

static void no_task(struct wr_task *t)
{
    (void)t;
}

static struct wr_task idle_task = { .run = no_task };

static enum wr_cache_found look_up(struct wr_cache_read **out, struct wr_str key)
{
    struct wr_cache_read *r = *out = WR_NEW(pool, struct wr_cache_read);
    enum wr_cache_found f;

    *r = (struct wr_cache_read){
        .folder = &folder, .threads = threads, .pool = pool, .key = key,
        .name = wr_cache_name_of(key, 0), .who = { loop, &idle_task },
    };
    f = wr_cache_read_ask(r);
    if (f == WR_CACHE_OPENING)
        turn_until((f = wr_cache_read_ask(r)) != WR_CACHE_OPENING);
    return f;
}

static void check_bytes(const struct wr_cache_read *r, struct wr_str body)
{
    const size_t n = body.n + r->object.trailers_n;
    char *got = wr_pool_alloc(pool, n + 1);

    ck_assert_uint_eq(r->object.body_n, body.n);
    ck_assert_int_eq(pread(r->reader.file->fd, got, n + 1, (off_t)r->object.body_at), (ssize_t)n);
    ck_assert_int_eq(memcmp(got, body.p, body.n), 0);
    ck_assert_int_eq(memcmp(r->at_hand.p, body.p, r->at_hand.n), 0);
}

static void check_stored(struct wr_str key, struct wr_str body)
{
    struct wr_cache_read *r = NULL;

    ck_assert_int_eq(look_up(&r, key), WR_CACHE_FOUND);
    ck_assert(wr_str_eq(r->object.key, key));
    ck_view(r->object.etag, "\"abc\"");
    check_bytes(r, body);
}

static unsigned count_in(const char *path)
{
    DIR *d = opendir(path);
    unsigned n = 0;

    if (d == NULL)
        return 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    (void)closedir(d);
    return n;
}

static unsigned count_temp(void)
{
    return count_in(wr_pool_fmt(pool, "%s/tmp", folder_path).p);
}

START_TEST(a_small_object)
{
    const struct wr_str key = WR_STR("http://h/a");
    struct wr_cache_read *r = NULL;
    struct stat st;

    begin();
    ck_assert_int_eq(look_up(&r, key), WR_CACHE_NOT_FOUND);
    ck_assert(store(key, CREATED, WR_STR("hello")));
    ck_assert_uint_eq(written.is.body_n, 5);
    ck_assert_int_eq(stat(path_of(key, levels_12), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_uint_eq((uint64_t)st.st_size, written.is.size);
    ck_assert_int_eq(look_up(&r, key), WR_CACHE_FOUND);
    ck_view(r->at_hand, "hello");
    ck_assert_uint_eq(r->size, written.is.size);
    check_stored(key, WR_STR("hello"));
    ck_assert(store(WR_STR("empty"), CREATED, WR_STR("")));
    check_stored(WR_STR("empty"), WR_STR(""));
    teardown();
}
END_TEST

/* Pieces of all sizes, with and without names for temporary files. */
START_TEST(a_large_object)
{
    const struct wr_str key = WR_STR("k");
    struct wr_str body, rest;
    struct wr_cache_write *w;
    size_t n = 1;

    begin();
    atomic_store(&folder.no_nameless, _i == 1);
    body = rest = make_body(3000000);
    w = new_write(key, CREATED);
    for (; rest.n > 0; n = n * 3 % 100003 + 1) {
        ck_assert(add(w, wr_str_of(rest.p, wr_min(n, rest.n))));
        rest = wr_str_skip(rest, n);
        if (n % 5 == 0)
            wr_loop_turn(loop, 0);
    }
    ck_assert_int_ne(access(path_of(key, levels_12), F_OK), 0); /* no name before it is whole */
    wr_cache_write_finish(w, WR_STR("A: b\r\n"));
    turn_until(written.calls == 1);
    ck_assert(written.is.stored);
    check_stored(key, body);
    ck_assert_uint_eq(count_temp(), 0);
    teardown();
}
END_TEST

/* Memory that was borrowed may be used again at once. */
START_TEST(borrowed_memory)
{
    const struct wr_str key = WR_STR("k");
    struct wr_cache_write *w;
    struct wr_bufq q = { 0 };
    struct wr_str body;
    char *p;

    begin();
    body = make_body(200000);
    p = wr_pool_alloc(pool, body.n);
    memcpy(p, body.p, body.n);
    w = new_write(key, CREATED);
    wr_bufq_borrow(&q, p, body.n);
    ck_assert(wr_cache_write_add(w, &q));
    wr_bufq_clear(&q);
    memset(p, 'x', body.n);
    wr_cache_write_finish(w, WR_STR(""));
    turn_until(written.calls == 1);
    check_stored(key, body);
    teardown();
}
END_TEST

/* A reader has the old file as long as it likes. */
START_TEST(one_after_the_other)
{
    const struct wr_str key = WR_STR("k");
    struct wr_str old, new;
    struct wr_cache_read *r = NULL;

    begin();
    atomic_store(&folder.no_nameless, _i == 1);
    old = make_body(100000);
    new = WR_STR("another");
    ck_assert(store(key, CREATED, old));
    ck_assert_int_eq(look_up(&r, key), WR_CACHE_FOUND);
    ck_assert(store(key, CREATED + 1, new));
    check_bytes(r, old);
    check_stored(key, new);
    ck_assert_uint_eq(count_temp(), 0);
    teardown();
}
END_TEST

START_TEST(aborted)
{
    const struct wr_str key = WR_STR("k");
    struct wr_cache_write *w;

    begin();
    atomic_store(&folder.no_nameless, _i % 2 == 1);
    w = new_write(key, CREATED);
    if (_i >= 2)
        ck_assert(add(w, make_body(300000)));
    if (_i >= 4)
        turn_until(wr_cache_write_pending(w) == 0);
    for (int i = 0; i < 10 && _i >= 6; i++)
        wr_loop_turn(loop, 10);
    wr_cache_write_abort(w);
    turn_until(wr_cache_writes() == 0);
    ck_assert_uint_eq(written.calls, 0);
    ck_assert_int_eq(access(path_of(key, levels_12), F_OK), -1);
    ck_assert_uint_eq(count_temp(), 0);
    teardown();
}
END_TEST

/* ---- what is not found ---- */

enum damage { TRUNCATED, TOO_LONG, EMPTY, ZERO, FLIPPED, CUT_HEAD, ALL_BROKEN,
              FOREIGN = ALL_BROKEN, NGINX, NEXT_FORMAT, OTHER_KEY, ALL_DAMAGES };

static void damage_file(const char *path, enum damage how)
{
    static char zeros[5000];
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    switch (how) {
    case TRUNCATED:
        ck_assert_int_eq(ftruncate(fd, st.st_size - 1), 0);
        break;
    case TOO_LONG:
        ck_assert_int_eq(ftruncate(fd, st.st_size + 1), 0);
        break;
    case EMPTY:
        ck_assert_int_eq(ftruncate(fd, 0), 0);
        break;
    case ZERO:
        ck_assert_int_eq(pwrite(fd, zeros, sizeof(zeros), 0), sizeof(zeros));
        break;
    case FLIPPED:
        ck_assert_int_eq(pwrite(fd, "X", 1, WR_CACHE_FIXED + 1), 1);
        break;
    case CUT_HEAD:
        ck_assert_int_eq(ftruncate(fd, WR_CACHE_FIXED + 3), 0);
        break;
    case FOREIGN:
        ck_assert_int_eq(pwrite(fd, "<!doctype html>", 15, 0), 15);
        break;
    case NGINX:
        ck_assert_int_eq(pwrite(fd, "\5\0\0\0\0\0\0\0", 8, 0), 8);
        break;
    case NEXT_FORMAT:
        ck_assert_int_eq(pwrite(fd, "\2", 1, 8), 1);
        break;
    default:
        break;
    }
    (void)close(fd);
}

START_TEST(damaged_files)
{
    const struct wr_str key = WR_STR("k1");
    const char *path;
    struct wr_cache_read *r = NULL;

    begin();
    said_keep();
    path = path_of(key, levels_12);
    for (int times = 0; times < 2; times++) { /* by a thread, and here */
        put_object(key, levels_12, CREATED, make_body(3000));
        if (times == 0)
            write_file(wr_pool_fmt(pool, "%s/" WR_CACHE_MARKER, folder_path).p, "", 0);
        damage_file(path, (enum damage)_i);
        if (_i == OTHER_KEY) {
            put_object(WR_STR("k2"), levels_12, CREATED, WR_STR("x"));
            ck_assert_int_eq(rename(path_of(WR_STR("k2"), levels_12), path), 0);
        }
        ck_assert_int_eq(look_up(&r, key),
                         _i < ALL_BROKEN ? WR_CACHE_WAS_BROKEN : WR_CACHE_NOT_FOUND);
        turn_until(wr_cache_writes() == 0);
        ck_assert_int_eq(access(path, F_OK), _i < ALL_BROKEN ? -1 : 0);
    }
    ck_assert_str_eq(said_text, "");
    /* what is no object is replaced by one all the same */
    ck_assert(store(key, CREATED, WR_STR("good")));
    check_stored(key, WR_STR("good"));
    teardown();
}
END_TEST

START_TEST(other_things_in_its_place)
{
    const struct wr_str key = WR_STR("k");
    const char *path;
    struct wr_cache_read *r = NULL;

    begin();
    said_keep();
    path = path_of(key, levels_12);
    ck_assert(store(key, CREATED, WR_STR("a")));
    (void)unlink(path);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    ck_assert_int_eq(look_up(&r, key), WR_CACHE_NOT_FOUND);
    (void)unlink(path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(look_up(&r, key), WR_CACHE_NOT_FOUND);
    (void)unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(look_up(&r, key), WR_CACHE_NOT_FOUND);
    ck_assert_str_eq(said_text, "");
    ck_assert(!store(key, CREATED, WR_STR("a")));
    ck_assert(said("cache: link() in"));
    teardown();
}
END_TEST

/* The exchange ends while a thread looks. */
START_TEST(nobody_waits_for_it)
{
    const struct wr_str key = WR_STR("k");
    struct wr_cache_read *r = NULL;
    struct wr_pool *own;

    begin();
    ck_assert(store(key, CREATED, WR_STR("a")));
    wr_cache_folder_close(&folder); /* so that a thread must look */
    own = wr_pool_new(0);
    r = WR_NEW(own, struct wr_cache_read);
    *r = (struct wr_cache_read){
        .folder = &folder, .threads = threads, .pool = own, .key = key,
        .name = wr_cache_name_of(key, 0), .who = { loop, &idle_task },
    };
    ck_assert_int_eq(wr_cache_read_ask(r), WR_CACHE_OPENING);
    wr_pool_free(own);
    teardown();
}
END_TEST

/* ---- changes ---- */

START_TEST(a_new_head)
{
    const struct wr_str key = WR_STR("k");
    struct wr_cache_write_how how;
    struct wr_cache_read *r = NULL;
    struct wr_str body;

    begin();
    body = make_body(_i == 0 ? 10 : 500000);
    ck_assert(store(key, CREATED, body));
    how = how_of(key);
    wr_cache_refresh(&how, before_body(key, CREATED + 5), CREATED + 1);
    turn_until(written.calls == 2);
    ck_assert(!written.is.stored);
    wr_cache_refresh(&how, before_body(key, CREATED + 5), CREATED);
    turn_until(written.calls == 3);
    ck_assert(written.is.stored);
    ck_assert_int_eq(look_up(&r, key), WR_CACHE_FOUND);
    ck_assert_uint_eq(r->object.facts.created_us, CREATED + 5);
    ck_assert_uint_eq(written.is.size, r->size);
    check_stored(key, body);
    /* the file is gone */
    (void)unlink(path_of(key, levels_12));
    wr_cache_refresh(&how, before_body(key, CREATED + 6), CREATED + 5);
    turn_until(written.calls == 4);
    ck_assert(!written.is.stored);
    teardown();
}
END_TEST

START_TEST(removed_later)
{
    const struct wr_str key = WR_STR("k");
    struct wr_cache_name name = wr_cache_name_of(key, 0);

    begin();
    for (int i = 0; i < 2; i++) {
        ck_assert(store(key, CREATED, WR_STR("a")));
        wr_cache_remove_later(&folder, i == 0 ? threads : NULL, &name, CREATED + 1);
        turn_until(wr_cache_writes() == 0);
        ck_assert_int_eq(access(path_of(key, levels_12), F_OK), 0);
        wr_cache_remove_later(&folder, i == 0 ? threads : NULL, &name, CREATED);
        turn_until(wr_cache_writes() == 0);
        ck_assert_int_eq(access(path_of(key, levels_12), F_OK), -1);
    }
    teardown();
}
END_TEST

/* The process ends: whole bodies are stored, and their callbacks called; the others vanish. */
START_TEST(at_the_end)
{
    struct wr_cache_write *w, *half;
    struct wr_str key;

    begin();
    for (int i = 0; i < 20; i++) {
        key = wr_pool_fmt(pool, "k%d", i);
        w = new_write(key, CREATED);
        ck_assert(add(w, make_body(200000)));
        wr_cache_write_finish(w, WR_STR(""));
    }
    half = new_write(WR_STR("half"), CREATED);
    ck_assert(add(half, make_body(300000)));
    wr_cache_writes_end();
    wr_threads_free(threads);
    threads = NULL;
    ck_assert_uint_eq(wr_cache_writes(), 0);
    ck_assert_uint_eq(written.calls, 20);
    for (int i = 0; i < 20; i++)
        check_stored(wr_pool_fmt(pool, "k%d", i), make_body(200000));
    ck_assert_int_eq(access(path_of(WR_STR("half"), levels_12), F_OK), -1);
    teardown();
}
END_TEST

/* ---- a bad disk ---- */

static int gate[2];

static void wait_gate(struct wr_job *j)
{
    char c;

    (void)j;
    (void)!read(gate[0], &c, 1);
}

static void pass_gate(struct wr_job *j)
{
    (void)j;
}

/* A disk that does not answer: memory is bounded, and nobody waits. */
START_TEST(a_hanging_disk)
{
    static struct wr_job blocked[2];
    struct wr_cache_write *w[3];
    struct wr_str piece;
    size_t n = 0;

    begin();
    said_keep();
    piece = make_body(16 << 20);
    ck_assert_int_eq(pipe(gate), 0);
    for (int i = 0; i < 2; i++) {
        blocked[i].run = wait_gate;
        blocked[i].done = pass_gate;
        ck_assert(wr_job_start(threads, &blocked[i]));
    }
    for (int i = 0; i < 3; i++) {
        w[i] = new_write(wr_pool_fmt(pool, "k%d", i), CREATED);
        for (n = 0; n < 10 && add(w[i], piece); n++)
            ;
        ck_assert_uint_le(n, 5);
    }
    ck_assert(said("cache: writing in time in"));
    ck_assert(!add(w[0], piece));
    ck_assert_int_eq(write(gate[1], "xx", 2), 2);
    turn_until(wr_cache_writes() == 0);
    ck_assert_uint_eq(written.calls, 3);
    ck_assert(!written.is.stored);
    ck_assert(store(WR_STR("after"), CREATED, WR_STR("x")));
    teardown();
}
END_TEST

/* For a child: events of its own. */
static void begin_again(void)
{
    loop = wr_loop_new(16);
    threads = wr_threads_new(loop, WR_STR("cache"), 2, 100000);
    said_keep();
}

/* In a child that may mount: writes until the disk is full. */
static void fill_disk(void *arg)
{
    bool named = *(const bool *)arg;
    unsigned stored = 0, failed = 0;

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0
        || mount("tmpfs", "/mnt", "tmpfs", 0, "size=1m") != 0)
        return;
    begin_again();
    wr_cache_folder_init(&folder, "/mnt", levels_12);
    atomic_store(&folder.no_nameless, named);
    for (int i = 0; i < 40; i++) {
        if (store(wr_pool_fmt(pool, "k%d", i), CREATED, make_body(i % 2 == 0 ? 100000 : 300000)))
            stored++;
        else
            failed++;
    }
    ck_assert_uint_gt(stored, 2);
    ck_assert_uint_gt(failed, 10);
    ck_assert(said("in \"/mnt\" failed (28: No space left on device)"));
    ck_assert_uint_eq(count_in("/mnt/tmp"), 0);
    for (int i = 0; i < 40; i++) {
        struct wr_str key = wr_pool_fmt(pool, "k%d", i);
        struct wr_cache_read *r = NULL;
        enum wr_cache_found f = look_up(&r, key);

        ck_assert(f == WR_CACHE_FOUND || f == WR_CACHE_NOT_FOUND);
        stored -= f == WR_CACHE_FOUND;
        if (f == WR_CACHE_FOUND)
            check_bytes(r, make_body(i % 2 == 0 ? 100000 : 300000));
    }
    ck_assert_uint_eq(stored, 0);
    /* the file system becomes read-only, and then writable again */
    ck_assert_int_eq(mount(NULL, "/mnt", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    ck_assert(!store(WR_STR("other"), CREATED, WR_STR("x")));
    ck_assert_int_eq(mount(NULL, "/mnt", NULL, MS_REMOUNT, "size=8m"), 0);
    ck_assert(store(WR_STR("other"), CREATED, make_body(2000000)));
    check_stored(WR_STR("other"), make_body(2000000));
}

/* In a child without rights: the folder is another user's, and goes away. */
static void lack_rights(void *arg)
{
    const struct wr_str key = WR_STR("k");

    (void)arg;
    begin_again();
    if (geteuid() == 0) {
        ck_assert_int_eq(setresgid(65534, 65534, 65534) + setresuid(65534, 65534, 65534), 0);
    } else {
        ck_assert_int_eq(chmod(folder_path, 0), 0);
    }
    ck_assert(!store(key, CREATED, WR_STR("x")));
    ck_assert(!store(key, CREATED, make_body(400000)));
    ck_assert(said("failed (13: Permission denied)"));
}

/* The folder is removed while it is in use; a user who may, makes it again. */
static void lose_folder(void *arg)
{
    const struct wr_str key = WR_STR("k");
    struct wr_cache_read *r = NULL;

    (void)arg;
    begin_again();
    ck_assert(store(key, CREATED, WR_STR("x")));
    remove_tree(folder_path);
    ck_assert_int_eq(look_up(&r, key), WR_CACHE_NOT_FOUND);
    ck_assert_int_eq(store(key, CREATED, make_body(400000)), geteuid() != 0);
    ck_assert_int_eq(said("failed (2: No such file or directory)"), geteuid() == 0);
    (void)mkdir(folder_path, 0700);
    ck_assert(store(key, CREATED, WR_STR("x")));
    check_stored(key, WR_STR("x"));
    remove_tree(wr_pool_fmt(pool, "%s/tmp", folder_path).p);
    ck_assert(store(key, CREATED, WR_STR("y")));
    check_stored(key, WR_STR("y"));
}

static void run_in_child(void (*fn)(void *), void *arg)
{
    int status = 0;
    pid_t pid;

    begin();
    pid = fork();
    if (pid == 0) {
        fn(arg);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    (void)chmod(folder_path, 0700);
    teardown();
}

START_TEST(a_full_disk)
{
    bool named = _i == 1;

    run_in_child(fill_disk, &named);
}
END_TEST

START_TEST(no_rights)
{
    run_in_child(lack_rights, NULL);
}
END_TEST

START_TEST(a_folder_that_goes_away)
{
    run_in_child(lose_folder, NULL);
}
END_TEST

/* ---- kill -9 ---- */

#define KEYS 8

static void write_for_ever(int named)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    begin_again();
    wr_cache_folder_close(&folder);
    atomic_store(&folder.no_nameless, named);
    for (unsigned i = 0;; i++)
        (void)store(wr_pool_fmt(pool, "k%u", (unsigned)wr_random() % KEYS), CREATED + i,
                    make_body((size_t)wr_random() % 400000));
}

START_TEST(killed_at_any_moment)
{
    unsigned found = 0;
    pid_t pid[2];

    begin();
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < 2; i++)
            if ((pid[i] = fork()) == 0)
                write_for_ever(_i);
        for (int i = 0; i < 40; i++) {
            struct wr_str key = wr_pool_fmt(pool, "k%u", (unsigned)wr_random() % KEYS);
            struct wr_cache_read *r = NULL;
            enum wr_cache_found f = look_up(&r, key);

            ck_assert(f == WR_CACHE_FOUND || f == WR_CACHE_NOT_FOUND);
            if (f == WR_CACHE_FOUND)
                check_bytes(r, make_body((size_t)r->object.body_n));
            found += f == WR_CACHE_FOUND;
            (void)usleep((useconds_t)wr_random() % 3000);
        }
        for (int i = 0; i < 2; i++) {
            (void)kill(pid[i], SIGKILL);
            (void)waitpid(pid[i], NULL, 0);
        }
    }
    ck_assert_uint_gt(found, 20);
    if (_i == 0) /* files without names leave nothing; the window of link and rename is small */
        ck_assert_uint_le(count_temp(), 2);
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache write");
    TCase *t = tcase_create("cache write");
    SRunner *runner;
    int failed;

    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_small_object);
    tcase_add_loop_test(t, a_large_object, 0, 2);
    tcase_add_test(t, borrowed_memory);
    tcase_add_loop_test(t, one_after_the_other, 0, 2);
    tcase_add_loop_test(t, aborted, 0, 8);
    tcase_add_loop_test(t, damaged_files, 0, ALL_DAMAGES);
    tcase_add_test(t, other_things_in_its_place);
    tcase_add_test(t, nobody_waits_for_it);
    tcase_add_loop_test(t, a_new_head, 0, 2);
    tcase_add_test(t, removed_later);
    tcase_add_test(t, at_the_end);
    tcase_add_test(t, a_hanging_disk);
    tcase_add_loop_test(t, a_full_disk, 0, 2);
    tcase_add_test(t, no_rights);
    tcase_add_test(t, a_folder_that_goes_away);
    tcase_add_loop_test(t, killed_at_any_moment, 0, 2);
    suite_add_tcase(suite, t);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    wr_pool_drop_cache();
    return failed > 0;
}
