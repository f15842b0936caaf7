/* The queue of a zone: its places, its order over processes, who is rung, and what is left of it
 * when words of it are overwritten. The processes are slots of one program. */
#include "os/os.h"

#include "lib/unit.h"

static struct wr_queue queue;
static struct wr_zone zone;
static struct wr_pool *pool;

static void setup(void)
{
    struct wr_queue measured;
    struct wr_zone only = { .fd = -1 };

    wr_self_init();
    memset(wr_self.run, 0, sizeof(*wr_self.run));
    pool = wr_pool_new(0);
    measured = queue = (struct wr_queue){ .mine = 0 };
    wr_queue_place(&measured, &only);
    zone = (struct wr_zone){ .p = wr_calloc(1, only.n), .fd = -1 };
    wr_queue_place(&queue, &zone);
    ck_assert_uint_eq(zone.n, only.n);
}

static void teardown(void)
{
    wr_pool_free(pool);
    free(zone.p);
}

/* The queue as process n sees it; it shows `ticket`. */
static struct wr_queue as(uint32_t n, uint64_t ticket)
{
    struct wr_queue q = queue;

    wr_self.slot = n;
    q.places.held = NULL;
    wr_ledger_begin(&q.places, pool);
    wr_queue_show(&q, ticket, false);
    return q;
}

static bool is_rung(uint32_t process)
{
    return (atomic_exchange(&wr_self.run->slot[process].bell, 0) & WR_BELL_QUEUE) != 0;
}

START_TEST(places_are_counted_over_all)
{
    struct wr_queue q[2];

    setup();
    for (uint32_t i = 0; i < 2; i++) {
        q[i] = as(3 + i, 0);
        ck_assert(wr_queue_is_empty(&q[i]) == (i == 0));
        ck_assert(wr_queue_enter(&q[i], 3, pool));
    }
    ck_assert(wr_queue_enter(&q[1], 3, pool));
    ck_assert(!wr_queue_enter(&q[1], 3, pool));
    ck_assert(wr_queue_enter(&q[1], 4, pool)); /* another generation, with another number */
    ck_assert(!wr_queue_enter(&q[1], 3, pool));
    wr_queue_leave(&q[1]);
    wr_queue_clear(&q[0], 3); /* dies */
    ck_assert_uint_eq(atomic_load(q[0].taken), 2);
    wr_queue_leave(&q[1]);
    wr_queue_leave(&q[1]);
    ck_assert(wr_queue_is_empty(&q[0]));
    teardown();
}
END_TEST

static const struct {
    uint64_t shown[3];           /* tickets of processes 3, 64 and 2047 */
    uint64_t ticket;             /* of the head */
    uint32_t process;
} orders[] = {
    { { 0, 0, 0 }, 0, 0 },
    { { 7, 0, 0 }, 7, 3 },
    { { 0, 7, 9 }, 7, 64 },
    { { 9, 8, 7 }, 7, 2047 },
    { { 5, 5, 5 }, 5, 3 },
    { { 6, 5, 5 }, 5, 64 },
    { { UINT64_MAX / 2, 0, UINT64_MAX / 2 - 1 }, UINT64_MAX / 2 - 1, 2047 },
};

START_TEST(the_smallest_ticket_is_first)
{
    static const uint32_t process[] = { 3, 64, 2047 };

    for (size_t i = 0; i < WR_COUNT(orders); i++) {
        struct wr_queue q[3];

        setup();
        for (uint32_t k = 0; k < 3; k++)
            q[k] = as(process[k], orders[i].shown[k]);
        for (uint32_t k = 0; k < 3; k++) {
            struct wr_queue_head h;
            bool own;

            wr_self.slot = process[k];
            h = wr_queue_head(&q[k]);
            ck_assert_msg(h.ticket == orders[i].ticket, "row %zu as %u", i, process[k]);
            ck_assert(h.ticket == 0 || h.process == orders[i].process);
            own = h.ticket != 0 && h.process == process[k];
            ck_assert(wr_queue_call(&q[k]) == own);
            for (uint32_t n = 0; n < WR_SLOTS; n++)
                ck_assert(is_rung(n) == (h.ticket != 0 && !own && n == h.process));
        }
        teardown();
    }
}
END_TEST

START_TEST(those_aside_are_rung_with_the_head)
{
    struct wr_queue q[3];

    setup();
    for (uint32_t i = 0; i < 3; i++)
        q[i] = as(3 + i, i == 0 ? 9 : 0);
    wr_queue_show(&q[2], 0, true);
    ck_assert(wr_queue_call(&q[2])); /* itself */
    ck_assert(is_rung(3) && !is_rung(4) && !is_rung(5));
    wr_self.slot = 4;
    ck_assert(!wr_queue_call(&q[1]));
    ck_assert(is_rung(3) && !is_rung(4) && is_rung(5));
    ck_assert_uint_eq(wr_queue_head(&q[1]).ticket, 9);
    teardown();
}
END_TEST

START_TEST(one_that_does_not_move_is_passed)
{
    struct wr_queue q[2], none;
    struct wr_queue_head h;

    setup();
    q[0] = as(3, 5);
    q[1] = as(4, 7);
    h = wr_queue_head(&q[1]);
    ck_assert_uint_eq(h.process, 3);
    wr_self.slot = 3;
    wr_queue_show(&q[0], 6, true); /* it has moved after all */
    wr_self.slot = 4;
    wr_queue_skip(&q[1], h);
    h = wr_queue_head(&q[1]);
    ck_assert(h.process == 3 && h.ticket == 6);
    wr_queue_skip(&q[1], h);
    ck_assert_uint_eq(wr_queue_head(&q[1]).process, 4);
    wr_queue_skip(&q[1], wr_queue_head(&q[1])); /* never itself */
    ck_assert_uint_eq(wr_queue_head(&q[1]).ticket, 7);
    ck_assert(wr_queue_call(&q[1]) && is_rung(3)); /* it waits aside as before */
    wr_self.slot = 3;
    wr_queue_show(&q[0], 6, false); /* and comes back */
    wr_self.slot = 4;
    ck_assert_uint_eq(wr_queue_head(&q[1]).process, 3);
    wr_queue_clear(&q[1], 3);
    ck_assert_uint_eq(wr_queue_head(&q[1]).process, 4);
    none = as(5, 0);
    ck_assert_uint_eq(wr_queue_head(&none).process, 4);
    teardown();
}
END_TEST

/* Nonsense in all words: a call ends, and the process's own ticket counts. */
START_TEST(any_words_do)
{
    static const unsigned char bytes[] = { 0x00, 0x01, 0x55, 0x80, 0xff };
    struct wr_queue q;

    setup();
    for (size_t i = 0; i < WR_COUNT(bytes); i++) {
        q = as(4, 7);
        memset(zone.p, bytes[i], zone.n);
        (void)wr_queue_call(&q);
        wr_queue_skip(&q, wr_queue_head(&q));
        for (uint32_t n = 0; n < WR_SLOTS; n++)
            wr_queue_clear(&q, n);
        wr_queue_show(&q, 7, false);
        ck_assert_uint_eq(wr_queue_head(&q).ticket, 7);
        (void)!wr_queue_enter(&q, 1, pool);
    }
    teardown();
}
END_TEST

START_TEST(tickets_are_in_order_of_time)
{
    uint64_t one = wr_time_ns();

    wr_clock_update();
    ck_assert_uint_le(one / 1000000, wr_now());
    ck_assert_uint_ge(wr_time_ns(), one);
    ck_assert_uint_ge(wr_time_ns(), wr_now() * 1000000);
}
END_TEST

UNIT_MAIN("os/queue", places_are_counted_over_all, the_smallest_ticket_is_first,
          those_aside_are_rung_with_the_head, one_that_does_not_move_is_passed, any_words_do,
          tickets_are_in_order_of_time)
