/* conn_counts: counts by key that several processes share, of which some die and some write
 * garbage. */
#include "lib/unit.h"

#include "../../modules/shared/limit_conn/limit_conn_impl.h"

#include <sys/mman.h>

static uint64_t state = 1;

static uint64_t next_random(void)
{
    state = state * 6364136223846793005U + 1442695040888963407U;
    return state >> 20;
}

/* Uses memory of the exact size, so that ASan finds an access past it. */
static struct wr_conn_counts counts_new(size_t size)
{
    struct wr_zone z = { .p = wr_calloc(1, size), .fd = memfd_create("zone", MFD_CLOEXEC) };
    struct wr_conn_counts c;

    wr_conn_counts_place(&c, &z, size, "test");
    ck_assert_uint_le(z.n, size);
    return c;
}

static void counts_free(struct wr_conn_counts *c)
{
    (void)close(c->fd);
    free(c->head);
}

static struct wr_count_key key_of(uint32_t i)
{
    return wr_count_key_of(wr_str_of((const char *)&i, sizeof(i)));
}

static enum wr_counted take(struct wr_conn_counts *c, uint32_t key, uint32_t most, uint32_t *cell)
{
    struct wr_count_key k = key_of(key);

    return wr_conn_counts_take(c, &k, most, cell);
}

static void give(struct wr_conn_counts *c, uint32_t key, uint32_t cell)
{
    struct wr_count_key k = key_of(key);

    wr_conn_counts_give(c, &k, cell);
}

static void be_process(struct wr_conn_counts *c, uint32_t slot)
{
    wr_self.slot = slot;
    wr_conn_counts_begin(c);
}

START_TEST(counts_over_processes)
{
    struct wr_conn_counts c = counts_new(32768);
    uint32_t a, b, none;

    be_process(&c, 1);
    ck_assert_int_eq(take(&c, 7, 2, &a), WR_COUNTED);
    be_process(&c, 70);
    ck_assert_int_eq(take(&c, 7, 2, &b), WR_COUNTED);
    ck_assert_uint_ne(a, b);
    ck_assert_int_eq(take(&c, 7, 2, &none), WR_COUNT_FULL);
    ck_assert_int_eq(take(&c, 8, 1, &none), WR_COUNTED);
    give(&c, 8, b); /* not its cell */
    ck_assert_int_eq(take(&c, 7, 2, &none), WR_COUNT_FULL);
    give(&c, 7, b);
    give(&c, 7, b); /* never below 0 */
    ck_assert_int_eq(take(&c, 7, 2, &b), WR_COUNTED);
    wr_conn_counts_clear(&c, 1);
    ck_assert_int_eq(take(&c, 7, 2, &b), WR_COUNTED);
    ck_assert_int_eq(take(&c, 7, 2, &none), WR_COUNT_FULL);
    be_process(&c, 70); /* a new one in the slot of a dead one */
    ck_assert_int_eq(take(&c, 7, 2, &b), WR_COUNTED);
    counts_free(&c);
}
END_TEST

/* Every cell can be used, and is used again. */
START_TEST(full_and_empty)
{
    struct wr_conn_counts c = counts_new(32768);
    uint32_t *cell = wr_calloc(c.ncells + 1, sizeof(*cell));

    be_process(&c, 1);
    ck_assert_uint_gt(c.ncells, 800);
    for (uint32_t round = 0; round < 3; round++) {
        uint32_t base = round * 100000;

        for (uint32_t i = 0; i < c.ncells; i++)
            ck_assert_int_eq(take(&c, base + i, 1, &cell[i]), WR_COUNTED);
        ck_assert_int_eq(take(&c, base + c.ncells, 1, &cell[c.ncells]), WR_COUNT_NO_ROOM);
        ck_assert_int_eq(take(&c, base, 1, &cell[c.ncells]), WR_COUNT_FULL);
        ck_assert_int_eq(take(&c, base, 2, &cell[c.ncells]), WR_COUNTED);
        give(&c, base, cell[0]);
        for (uint32_t i = 0; i < c.ncells; i++)
            give(&c, base + i, cell[i]);
    }
    ck_assert(!c.damaged);
    free(cell);
    counts_free(&c);
}
END_TEST

static void write_garbage(struct wr_conn_counts *c, size_t size)
{
    unsigned char *p = (unsigned char *)c->head;

    for (uint64_t n = 1 + next_random() % 40; n > 0; n--)
        p[next_random() % size] = (unsigned char)next_random();
}

START_TEST(garbage_at_any_time)
{
    static struct wr_log nowhere;

    wr_log_default = &nowhere;
    for (uint32_t round = 0; round < 100; round++) {
        struct wr_conn_counts c = counts_new(32768);
        uint32_t cell[50] = { 0 };

        be_process(&c, 1);
        for (uint32_t k = 0; k < 300; k++) {
            uint32_t i = (uint32_t)(next_random() % 50);

            if (next_random() % 2 == 0)
                (void)!take(&c, i, 5, &cell[i]);
            else
                give(&c, i, cell[i]);
            if (next_random() % 10 == 0)
                write_garbage(&c, 32768);
            if (next_random() % 50 == 0)
                wr_conn_counts_clear(&c, (uint32_t)(next_random() % WR_SLOTS));
        }
        counts_free(&c);
    }
}
END_TEST

/* Links that were lost are made anew, and no count is. */
START_TEST(counts_survive_damage)
{
    static struct wr_log nowhere;
    struct wr_conn_counts c = counts_new(32768);
    uint32_t cell[20], other;

    wr_log_default = &nowhere;
    be_process(&c, 1);
    for (uint32_t i = 0; i < 20; i++)
        ck_assert_int_eq(take(&c, i, 1, &cell[i]), WR_COUNTED);
    memset((void *)c.buckets, 0xff, c.nbuckets * sizeof(*c.buckets));
    for (uint32_t i = 0; i < 20; i++)
        ck_assert_int_eq(take(&c, i, 1, &other), WR_COUNT_FULL);
    atomic_store((_Atomic uint32_t *)(void *)c.head, 1); /* a holder died half way */
    memset((void *)c.buckets, 0, c.nbuckets * sizeof(*c.buckets));
    for (uint32_t i = 0; i < 20; i++)
        ck_assert_int_eq(take(&c, i, 1, &other), WR_COUNT_FULL);
    counts_free(&c);
}
END_TEST

/* Processes take and give at once; one after the other is killed, at any instruction. */
START_TEST(dead_ones_hold_nothing)
{
    struct wr_shm_set *set = wr_shm_set_new();
    const struct wr_shm *shm = wr_shm_get(set, NULL, "zone", 1, 1, 32768, NULL);
    static struct wr_log nowhere;
    struct wr_zone z = wr_zone_of(shm);
    struct wr_conn_counts c;
    uint32_t cell;

    wr_log_default = &nowhere;
    wr_conn_counts_place(&c, &z, 32768, "test");
    for (uint32_t p = 1; p <= 40; p++) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
            be_process(&c, p);
            state = p;
            for (;;) {
                uint32_t i = (uint32_t)(next_random() % 10), own;

                if (take(&c, i, 3, &own) == WR_COUNTED && next_random() % 4 != 0)
                    give(&c, i, own);
            }
        }
        usleep((useconds_t)(next_random() % 3000));
        (void)kill(pid, SIGKILL);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        wr_conn_counts_clear(&c, p);
    }
    be_process(&c, 1);
    for (uint32_t i = 0; i < 10; i++)
        for (uint32_t n = 0; n < 3; n++)
            ck_assert_int_eq(take(&c, i, 3, &cell), WR_COUNTED);
    ck_assert_int_eq(take(&c, 0, 3, &cell), WR_COUNT_FULL);
    wr_shm_set_free(set);
}
END_TEST

UNIT_MAIN("modules/limit_conn", counts_over_processes, full_and_empty, garbage_at_any_time,
          counts_survive_damage, dead_ones_hold_nothing)
