/* The table of a zone: records that several processes use, of which some die and some write
 * garbage. */
#include "os/os.h"

#include "lib/unit.h"

#include <sys/mman.h>

enum { NOW = 1000, LONG_MS = 20000 };

static uint64_t state = 1;

static uint64_t next_random(void)
{
    state = state * 6364136223846793005U + 1442695040888963407U;
    return state >> 20;
}

/* Uses memory of the exact size, so that ASan finds an access past it. */
static struct wr_table table_new(size_t size)
{
    struct wr_zone z = { .p = wr_calloc(1, size), .fd = memfd_create("zone", MFD_CLOEXEC) };
    struct wr_table t;

    wr_table_place(&t, &z, size, "test");
    ck_assert_uint_le(z.n, size);
    return t;
}

static void table_free(struct wr_table *t)
{
    (void)close(t->fd);
    free(t->head);
}

static void lock_table(struct wr_table *t)
{
    if (!wr_table_lock(t, LONG_MS))
        ck_abort_msg("not locked");
}

static struct wr_str key_of(char *buf, uint32_t i)
{
    size_t n = 4 + i % 50;

    memset(buf, 'k', n);
    memcpy(buf, &i, sizeof(i));
    return wr_str_of(buf, n);
}

/* A value whose size and bytes follow from its number. */
static struct wr_str value_of(char *buf, uint32_t i, size_t max)
{
    size_t n = 1 + i * 7919U % max;

    for (size_t k = 0; k < n; k++)
        buf[k] = (char)(i + k);
    return wr_str_of(buf, n);
}

static bool put_number(struct wr_table *t, uint32_t i, size_t max)
{
    char key[64], value[WR_TABLE_VALUE_MAX];

    return wr_table_put(t, key_of(key, i), value_of(value, i, max), NOW + 1, NOW);
}

/* True if it is there; its value must then be the one that was put. */
static bool has_number(struct wr_table *t, uint32_t i, size_t max)
{
    char key[64], value[WR_TABLE_VALUE_MAX], got[WR_TABLE_VALUE_MAX];
    size_t n = wr_table_get(t, key_of(key, i), NOW, got, sizeof(got));

    if (n > 0 && !wr_str_eq(wr_str_of(got, n), value_of(value, i, max)))
        ck_abort_msg("another value for %u", i);
    return n > 0;
}

static bool put_text(struct wr_table *t, const char *key, const char *value)
{
    return wr_table_put(t, wr_str_c(key), wr_str_c(value), NOW + 10, NOW);
}

static const char *text_at(struct wr_table *t, const char *key, uint64_t now)
{
    static char out[100];
    size_t n = wr_table_get(t, wr_str_c(key), now, out, sizeof(out) - 1);

    out[n] = '\0';
    return n > 0 ? out : "-";
}

/* ---- one process ---- */

static const struct {
    char what;               /* p put, g get, r remove, w get after it expired */
    const char *key, *value; /* of g and w: the expected value */
} steps[] = {
    { 'g', "a", "-" }, { 'r', "a", NULL }, { 'p', "a", "1" }, { 'g', "a", "1" },
    { 'p', "a", "a longer value, of more than the bytes that a first cell has room for" },
    { 'g', "a", "a longer value, of more than the bytes that a first cell has room for" },
    { 'p', "a", "2" }, { 'g', "a", "2" }, { 'g', "b", "-" }, { 'p', "b", "3" }, { 'p', "", "4" },
    { 'g', "a", "2" }, { 'g', "b", "3" }, { 'g', "", "4" }, { 'r', "b", NULL }, { 'g', "b", "-" },
    { 'g', "a", "2" }, { 'r', "b", NULL }, { 'w', "a", "-" }, { 'g', "a", "-" }, { 'g', "", "4" },
};

START_TEST(puts_gets_removes)
{
    struct wr_table t = table_new(4096);

    lock_table(&t);
    for (size_t i = 0; i < WR_COUNT(steps); i++) {
        const char *key = steps[i].key, *got;

        if (steps[i].what == 'p')
            ck_assert(put_text(&t, key, steps[i].value));
        else if (steps[i].what == 'r')
            wr_table_remove(&t, wr_str_c(key));
        if (steps[i].what != 'g' && steps[i].what != 'w')
            continue;
        got = text_at(&t, key, steps[i].what == 'w' ? NOW + 10 : NOW);
        ck_assert_msg(strcmp(got, steps[i].value) == 0, "step %zu: %s", i, got);
    }
    ck_assert(!t.damaged);
    wr_table_unlock(&t);
    table_free(&t);
}
END_TEST

START_TEST(bounds)
{
    static char bytes[WR_TABLE_VALUE_MAX + 1];
    struct wr_table t = table_new(1 << 16), small = table_new(4096), none = table_new(4095);
    char out[10];

    ck_assert(!wr_table_lock(&none, 0));
    lock_table(&t);
    lock_table(&small);
    ck_assert(!wr_table_put(&t, wr_str_of(bytes, WR_TABLE_KEY_MAX + 1), WR_STR("v"), 9, 1));
    ck_assert(wr_table_put(&t, wr_str_of(bytes, WR_TABLE_KEY_MAX), WR_STR("v"), 9, 1));
    ck_assert(!wr_table_put(&t, WR_STR("k"), wr_str_of(bytes, 0), 9, 1));
    ck_assert(!wr_table_put(&t, WR_STR("k"), wr_str_of(bytes, sizeof(bytes)), 9, 1));
    ck_assert(wr_table_put(&t, WR_STR("k"), wr_str_of(bytes, sizeof(bytes) - 1), 9, 1));
    ck_assert_uint_eq(wr_table_get(&t, WR_STR("k"), 1, out, sizeof(out)), 0); /* no room */
    ck_assert(!wr_table_put(&small, WR_STR("k"), wr_str_of(bytes, 4000), 9, 1));
    ck_assert(wr_table_put(&small, WR_STR("k"), wr_str_of(bytes, 3000), 9, 1));
    ck_assert(wr_table_put(&small, WR_STR("l"), wr_str_of(bytes, 3000), 9, 1));
    ck_assert_str_eq(text_at(&small, "k", 1), "-"); /* there is room for one of the two */
    wr_table_unlock(&small);
    wr_table_unlock(&t);
    table_free(&none);
    table_free(&small);
    table_free(&t);
}
END_TEST

/* Also sizes that do not divide evenly: a table has room for as many records as expected. The
 * records are of 180 bytes with a key of 32, like TLS sessions, about 4000 in a megabyte. */
START_TEST(capacity)
{
    static const size_t sizes[] = { 4096, 4097, 32768, 65535, 1000003, 1 << 20 };

    for (size_t i = 0; i < WR_COUNT(sizes); i++) {
        struct wr_table t = table_new(sizes[i]);
        uint32_t n = (uint32_t)(sizes[i] / 270), kept = 0;
        char key[32] = { 0 }, value[180] = { 0 };

        lock_table(&t);
        for (uint32_t pass = 0; pass < 2; pass++)
            for (uint32_t k = 0; k < n; k++) {
                memcpy(key, &k, sizeof(k));
                if (pass == 0)
                    ck_assert(wr_table_put(&t, wr_str_of(key, 32), wr_str_of(value, 180), 9, 1));
                else
                    kept += wr_table_get(&t, wr_str_of(key, 32), 1, value, 180) == 180;
            }
        ck_assert_uint_eq(kept, n);
        ck_assert(!t.damaged);
        wr_table_unlock(&t);
        table_free(&t);
    }
}
END_TEST

/* The full table gets 0, 1, 2 or 3 more records. */
static const struct {
    uint32_t more;
    const char *left;
} fuller[] = { { 0, "a1 b2 c3 " }, { 1, "a1 b2 " }, { 2, "a1 " }, { 3, "" } };

START_TEST(the_least_recently_used_goes)
{
    for (size_t i = 0; i < WR_COUNT(fuller); i++) {
        struct wr_table t = table_new(4096);
        char text[40] = "";

        lock_table(&t);
        ck_assert(put_text(&t, "a", "1") && put_text(&t, "b", "2") && put_text(&t, "c", "3"));
        ck_assert_str_eq(text_at(&t, "b", NOW), "2");
        ck_assert_str_eq(text_at(&t, "a", NOW), "1");
        for (uint32_t k = 0; k < t.ncells - 3 + fuller[i].more; k++) {
            char key[16];

            (void)snprintf(key, sizeof(key), "%u", k);
            ck_assert(put_text(&t, key, "x"));
        }
        for (const char *key = "a\0b\0c\0"; *key != '\0'; key += 2) {
            const char *value = text_at(&t, key, NOW);

            if (*value != '-')
                (void)snprintf(text + strlen(text), 8, "%s%s ", key, value);
        }
        ck_assert_str_eq(text, fuller[i].left);
        wr_table_unlock(&t);
        table_free(&t);
    }
}
END_TEST

/* Expired records are dropped before others. */
START_TEST(expired_ones_go_first)
{
    struct wr_table t = table_new(4096);
    char key[64];

    lock_table(&t);
    for (uint32_t i = 0; i < 30; i++)
        ck_assert(wr_table_put(&t, key_of(key, i), WR_STR("v"), i < 10 ? 5 : 50, 1));
    for (uint32_t i = 30; i < 35; i++)
        ck_assert(wr_table_put(&t, key_of(key, i), WR_STR("v"), 50, 10));
    for (uint32_t i = 0; i < 35; i++)
        ck_assert_int_eq(wr_table_get(&t, key_of(key, i), 1, key, 60) > 0, i >= 10);
    wr_table_unlock(&t);
    table_free(&t);
}
END_TEST

START_TEST(many_keys)
{
    static const size_t most[] = { 1, 150, 1000, 9000 };

    for (size_t m = 0; m < WR_COUNT(most); m++) {
        struct wr_table t = table_new(32768);

        lock_table(&t);
        for (uint32_t i = 1; i < 2000; i++) {
            ck_assert(put_number(&t, i, most[m]));
            ck_assert(has_number(&t, i, most[m]));
            if (next_random() % 4 == 0) {
                char key[64];

                wr_table_remove(&t, key_of(key, i - 1));
            }
            for (uint32_t k = i > 300 ? i - 300 : 1; k < i; k += 7)
                (void)has_number(&t, k, most[m]);
        }
        ck_assert(!t.damaged);
        ck_assert(!has_number(&t, 1, most[m]) || most[m] == 1);
        ck_assert(!has_number(&t, 3001, most[m]));
        wr_table_unlock(&t);
        table_free(&t);
    }
}
END_TEST

/* ---- garbage in the table ---- */

static uint32_t word_at_random(uint32_t cells)
{
    switch (next_random() % 5) {
    case 0:
        return (uint32_t)next_random();
    case 1:
        return UINT32_MAX;
    case 2:
        return 0;
    case 3:
        return cells + (uint32_t)(next_random() % 3) - 1;
    default:
        return 1 + (uint32_t)(next_random() % cells);
    }
}

/* Overwrites some words of the table, half of them near its beginning. */
static void write_garbage(struct wr_table *t, size_t size)
{
    uint32_t *word = (void *)t->head;

    for (uint64_t n = 1 + next_random() % 8; n > 0; n--) {
        size_t words = size / 4, near = next_random() % 2 == 0 ? words : 32;

        word[next_random() % near] = word_at_random(t->ncells);
    }
}

/* Whatever was written, the next process finds a table that works. */
static void works_again(struct wr_table *t)
{
    for (uint32_t i = 0; i < 2; i++) {
        lock_table(t);
        (void)put_number(t, 1, 500);
        (void)put_number(t, 2, 500);
        wr_table_unlock(t);
    }
    memset((void *)t->head, 0xff, 4); /* as left by a holder that died */
    lock_table(t);
    for (uint32_t i = 0; i < 10; i++)
        ck_assert(put_number(t, i, 100) && has_number(t, i, 100));
    wr_table_unlock(t);
}

static void one_step(struct wr_table *t, uint32_t i)
{
    char key[64], out[WR_TABLE_VALUE_MAX];

    switch (next_random() % 4) {
    case 0:
        wr_table_remove(t, key_of(key, i));
        break;
    case 1:
        (void)wr_table_get(t, key_of(key, i), NOW + next_random() % 2, out, sizeof(out));
        break;
    default:
        (void)put_number(t, i, next_random() % 2 == 0 ? 100 : 5000);
    }
}

START_TEST(garbage_between_any_two_steps)
{
    static const size_t sizes[] = { 4096, 32768 };
    static struct wr_log nowhere;

    wr_log_default = &nowhere;
    for (uint32_t round = 0; round < 200; round++) {
        size_t size = sizes[round % 2];
        struct wr_table t = table_new(size);

        for (uint32_t k = 0; k < 60; k++) {
            lock_table(&t);
            for (uint64_t n = next_random() % 6; n > 0; n--) {
                one_step(&t, (uint32_t)(next_random() % 100));
                if (next_random() % 3 == 0)
                    write_garbage(&t, size);
            }
            wr_table_unlock(&t);
            if (round % 2 == 0)
                write_garbage(&t, size);
        }
        works_again(&t);
        table_free(&t);
    }
}
END_TEST

/* ---- several processes ---- */

struct shared_table {
    struct wr_shm_set *set;
    struct wr_table t;
    size_t size;
};

static struct shared_table share_table(size_t size)
{
    struct shared_table s = { .set = wr_shm_set_new(), .size = size };
    struct wr_shm *shm = wr_shm_get(s.set, NULL, "zone", 1, 1, size, NULL);
    struct wr_zone z;

    ck_assert_ptr_nonnull(shm);
    z = wr_zone_of(shm);
    wr_table_place(&s.t, &z, size, "test");
    return s;
}

static void ends_well(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

/* All processes put, get and remove the same keys: each value found is one that was put. */
START_TEST(processes_at_once)
{
    struct shared_table s = share_table(16384);
    pid_t pid[3];

    for (uint32_t p = 0; p < WR_COUNT(pid); p++) {
        pid[p] = fork();
        if (pid[p] != 0)
            continue;
        state = p;
        for (uint32_t i = 0; i < 3000; i++) {
            uint32_t number = (uint32_t)(next_random() % 200);

            lock_table(&s.t);
            if (!has_number(&s.t, number, 600) && !put_number(&s.t, number, 600))
                _exit(1);
            if (s.t.damaged)
                _exit(2);
            wr_table_unlock(&s.t);
        }
        _exit(0);
    }
    for (uint32_t p = 0; p < WR_COUNT(pid); p++)
        ends_well(pid[p]);
    wr_shm_set_free(s.set);
}
END_TEST

/* The holder dies after i puts, and sometimes in the middle of the next step: other processes then
 * find an empty table, and one line is logged. */
START_TEST(a_holder_dies)
{
    struct shared_table s = share_table(16384);
    int status, log = memfd_create("log", MFD_CLOEXEC), err = dup(STDERR_FILENO);
    char said[1000];
    ssize_t n;

    wr_clock_update();
    ck_assert_int_eq(dup2(log, STDERR_FILENO), STDERR_FILENO);

    lock_table(&s.t);
    ck_assert(put_text(&s.t, "before", "1"));
    wr_table_unlock(&s.t);
    for (uint32_t i = 0; i < 20; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            lock_table(&s.t);
            for (uint32_t k = 0; k < i; k++)
                (void)put_number(&s.t, k, 500);
            if (i % 2 == 0)
                write_garbage(&s.t, s.size);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        lock_table(&s.t);
        ck_assert_str_eq(text_at(&s.t, "before", NOW), "-");
        ck_assert(!has_number(&s.t, 0, 500));
        ck_assert(put_text(&s.t, "before", "1"));
        wr_table_unlock(&s.t);
        lock_table(&s.t);
        ck_assert_str_eq(text_at(&s.t, "before", NOW), "1");
        wr_table_unlock(&s.t);
    }
    ck_assert_int_eq(dup2(err, STDERR_FILENO), STDERR_FILENO);
    n = pread(log, said, sizeof(said), 0);
    ck_assert_int_gt(n, 0);
    ck_assert_ptr_eq(memchr(said, '\n', (size_t)n), said + n - 1);
    wr_shm_set_free(s.set);
}
END_TEST

/* One process writes garbage as fast as it can, without the lock, while this one works. */
START_TEST(garbage_meanwhile)
{
    struct shared_table s = share_table(16384);
    static struct wr_log nowhere;
    pid_t pid;

    wr_log_default = &nowhere;
    pid = fork();
    if (pid == 0)
        for (;;)
            write_garbage(&s.t, s.size);
    for (uint32_t i = 0; i < 4000; i++) {
        lock_table(&s.t);
        one_step(&s.t, i % 100);
        wr_table_unlock(&s.t);
    }
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    works_again(&s.t);
    wr_shm_set_free(s.set);
}
END_TEST

UNIT_MAIN("os/zone_table", puts_gets_removes, bounds, capacity, the_least_recently_used_goes,
          expired_ones_go_first, many_keys, garbage_between_any_two_steps, processes_at_once,
          a_holder_dies, garbage_meanwhile)
