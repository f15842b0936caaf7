/* Waiting for an entry of the cache: who is woken, and that nobody is forgotten. */
#include "lib/store.h"

struct exchange {                /* one that waits */
    struct wr_task task;
    struct wr_cache_waiter waiter;
    uint32_t woken;
};
static struct wr_loop *loop;

static void count_wake(struct wr_task *t)
{
    wr_container(t, struct exchange, task)->woken++;
}

static void on_bell(uint32_t bits, void *arg)
{
    (void)arg;
    if ((bits & WR_BELL_CACHE) != 0)
        wr_cache_waits_called();
}

static void begin_loop(void)
{
    loop = wr_loop_new(16);
    wr_loop_on_bell(loop, on_bell, NULL);
}

static void setup(void)
{
    make_store(65536, 0);
    for (uint32_t i = 1; i < 8; i++)
        wr_self.bell_of[i] = wr_bell_new();
    wr_self.bell_fd = wr_self.bell_of[1];
    begin_loop();
}

static void teardown(void)
{
    free_store();
    wr_loop_free(loop);
    for (uint32_t i = 1; i < 8; i++)
        (void)close(wr_self.bell_of[i]);
}

static void begin_wait(struct exchange *x, uint32_t number)
{
    struct wr_cache_name name = name_of(number);

    x->task.run = count_wake;
    wr_cache_wait_begin(&store.waits, &x->waiter, &name, loop, &x->task);
}

static void ring_number(uint32_t number)
{
    struct wr_cache_name name = name_of(number);

    wr_cache_waits_ring(&store.waits, &name);
}

static uint32_t words_taken(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < 8192; i++)
        n += atomic_load(&store.waits.words[i]) != 0;
    return n;
}

START_TEST(wakes_those_of_the_name)
{
    struct exchange x[4] = { { .woken = 0 } };

    setup();
    for (uint32_t i = 0; i < 4; i++)
        begin_wait(&x[i], i / 2);
    begin_wait(&x[3], 1); /* again */
    ck_assert_uint_eq(words_taken(), 2); /* one for each name */
    ring_number(1);
    wr_loop_turn(loop, 0);
    ck_assert_uint_eq(x[0].woken + x[1].woken, 0);
    ck_assert_uint_eq(x[2].woken * 10 + x[3].woken, 11);
    ring_number(5);
    wr_loop_turn(loop, 0);
    ck_assert_uint_eq(x[0].woken + x[1].woken + x[2].woken + x[3].woken, 2);
    wr_cache_wait_end(&x[2].waiter); /* the other one gets its word */
    ck_assert_uint_eq(words_taken(), 2);
    wr_cache_wait_end(&x[3].waiter);
    wr_cache_wait_end(&x[3].waiter);
    ck_assert_uint_eq(words_taken(), 1);
    begin_wait(&x[0], 9); /* another name */
    ck_assert_uint_eq(words_taken(), 2);
    ring_number(9);
    wr_loop_turn(loop, 0);
    ck_assert_uint_eq(x[0].woken * 10 + x[1].woken, 10);
    wr_cache_wait_end(&x[0].waiter);
    wr_cache_wait_end(&x[1].waiter);
    ck_assert_uint_eq(words_taken(), 0);
    teardown();
}
END_TEST

/* Changes of the index that others wait for. */
START_TEST(what_rings)
{
    static const char what[] = "eswhrd";
    struct exchange x = { .woken = 0 };

    setup();
    for (const char *w = what; *w != '\0'; w++) {
        struct wr_cache_name name = name_of((uint64_t)*w);
        struct wr_cache_stored s = { .created_us = 1700000000000000 };
        struct wr_cache_ref ref = { .number = 1 };
        struct wr_cache_view led;

        ck_assert_int_eq(wr_cache_index_lead(&store.index, &name, 0, &led), WR_CACHE_LEADS);
        ck_assert(*w != 'r' || wr_cache_index_store(&store.index, &name, &s));
        begin_wait(&x, (uint32_t)*w);
        if (*w == 'e')
            wr_cache_index_lead_end(&store.index, &led);
        else if (*w == 's')
            ck_assert(wr_cache_index_store(&store.index, &name, &s));
        else if (*w == 'w')
            wr_cache_index_show(&store.index, &led, &ref);
        else if (*w == 'h')
            ck_assert(wr_cache_index_purge(&store.index, &name, 5, false, NULL));
        else if (*w == 'r')
            ck_assert(wr_cache_index_remove(&store.index, &name, s.created_us, NULL));
        x.woken = 0;
        wr_loop_turn(loop, 0);
        ck_assert_msg(x.woken == (*w != 'd'), "%c", *w);
        wr_cache_wait_end(&x.waiter);
    }
    teardown();
}
END_TEST

/* No place for a word, a word that was overwritten: then the timer wakes. */
START_TEST(the_timer_wakes)
{
    struct exchange x = { .woken = 0 };

    setup();
    for (uint32_t i = 0; i < 8192; i++)
        atomic_store(&store.waits.words[i], (uint64_t)4 << 48 | 77);
    begin_wait(&x, 1);
    ck_assert_uint_eq(x.waiter.word, 0);
    for (uint32_t i = 0; i < 200 && x.woken < 3; i++)
        wr_loop_turn(loop, 100);
    ck_assert_uint_eq(x.woken, 3);
    wr_cache_waits_clear(&store.waits, 3); /* which is not known to wait */
    begin_wait(&x, 1);
    ck_assert_uint_eq(x.waiter.word, 0);
    atomic_store(&store.waits.used[0], 8);
    wr_cache_waits_clear(&store.waits, 3);
    begin_wait(&x, 1);
    ck_assert_uint_gt(x.waiter.word, 0);
    wr_cache_wait_end(&x.waiter);
    ck_assert_uint_eq(words_taken(), 0);
    teardown();
}
END_TEST

/* Two processes hand a leadership to and fro; each waits until the other has ended. No ring is
 * lost: the timer would make it too slow. */
static void hand_over(uint32_t rounds)
{
    struct wr_cache_name name = name_of(1);
    struct exchange x = { .woken = 0 };
    struct wr_cache_view v;

    for (uint32_t i = 0; i < rounds;) {
        begin_wait(&x, 1);
        if (wr_cache_index_lead(&store.index, &name, 0, &v) == WR_CACHE_LEADS) {
            uint64_t turn = v.user;

            wr_cache_wait_end(&x.waiter);
            if (turn % 2 == wr_self.slot % 2) {
                wr_cache_index_set_user(&store.index, &v, turn + 1);
                i++;
            }
            wr_cache_index_lead_end(&store.index, &v);
            if (turn % 2 != wr_self.slot % 2) {
                begin_wait(&x, 1);
                if (wr_cache_index_find(&store.index, &name, &v) &&
                    v.user % 2 != wr_self.slot % 2)
                    wr_loop_turn(loop, 20000);
            }
        } else {
            wr_loop_turn(loop, 20000);
        }
    }
    wr_cache_wait_end(&x.waiter);
}

START_TEST(no_ring_is_lost)
{
    pid_t pid;

    setup();
    atomic_store(&wr_self.run->slot[1].kind, WR_PROC_WORKER);
    pid = fork_process(2);
    if (pid == 0) {
        wr_self.bell_fd = wr_self.bell_of[2];
        begin_loop();
        hand_over(3000);
        _exit(0);
    }
    hand_over(3000);
    ends_with(pid, 0);
    teardown();
}
END_TEST

UNIT_MAIN("modules/cache_wait", wakes_those_of_the_name, what_rings, the_timer_wakes,
          no_ring_is_lost)
