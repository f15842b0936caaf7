/* The relay's share of a turn, and its rate, between a source and a sink that take everything. */
#include "lib/event_lib.h"

#include "exchange/exchange.h"

enum { MIB = 1024 * 1024, BLOCK = 65536 };

static struct wr_loop *l;
static struct wr_relay r;
static struct wr_timer timer;
static size_t left, largest; /* of the source; largest write of a file */

static enum wr_io give(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    (void)e;
    *got = wr_min(n, left);
    memset(p, 'x', *got);
    left -= *got;
    return *got > 0 ? WR_IO_OK : WR_IO_EOF;
}

/* Of a file as much as a sendfile may, of memory a block. */
static enum wr_io take(struct wr_endpoint *e, const struct wr_slice *chain, bool fin, size_t *put)
{
    (void)fin;
    *put = 0;
    if (chain == NULL)
        return WR_IO_OK;
    *put = wr_min(chain->n, chain->p == NULL ? e->conn->file_max : (size_t)BLOCK);
    if (chain->p == NULL)
        largest = wr_max(largest, *put);
    return WR_IO_OK;
}

static uint64_t nothing(struct wr_endpoint *e)
{
    (void)e;
    return 0;
}

static const struct wr_endpoint_ops ops = { .read = give, .write = take, .want = nothing };
static struct wr_conn conn;
static struct wr_endpoint source = { .ops = &ops }, sink = { .ops = &ops, .conn = &conn };

static void setup(uint64_t turn)
{
    l = wr_loop_new(16);
    wr_clock_update();
    conn.file_max = SIZE_MAX;
    r = (struct wr_relay){ .src = &source, .dst = &sink, .high = 2 * BLOCK, .turn = turn,
                           .rate_timer = &timer, .rate_from = wr_now() };
}

static void teardown(void)
{
    wr_relay_end(&r, l);
    wr_loop_free(l);
}

/* One turn: how much was written. */
static uint64_t pump(enum wr_pump want)
{
    uint64_t before = r.moved;
    bool moved = false;
    enum wr_pump p = wr_relay_pump(&r, l, &moved);

    ck_assert_int_eq(p, want);
    return r.moved - before;
}

START_TEST(a_file_gets_its_share_of_a_turn)
{
    static const struct { uint64_t turn; size_t want; } table[] = {
        { 0, 2 * MIB }, { 512 * 1024, 512 * 1024 }, { 3 * MIB + 1, 3 * MIB + 1 },
    };

    for (size_t i = 0; i < WR_COUNT(table); i++) {
        setup(table[i].turn);
        wr_bufq_file(&r.q, NULL, 0, (size_t)100 * MIB);
        largest = 0;
        ck_assert_uint_eq(pump(WR_PUMP_MORE), table[i].want);
        ck_assert_uint_eq(pump(WR_PUMP_MORE), table[i].want);
        ck_assert_uint_le(largest, table[i].want);
        teardown();
    }
}
END_TEST

START_TEST(sendfile_off_stays_off)
{
    setup(0);
    conn.file_max = 0;
    wr_bufq_borrow(&r.q, "text", 4);
    ck_assert_uint_eq(pump(WR_PUMP_DONE), 4);
    ck_assert_uint_eq(conn.file_max, 0);
    teardown();
}
END_TEST

START_TEST(memory_gets_no_more)
{
    char *text = wr_calloc(8, MIB);
    uint64_t sum = 0;

    setup(2 * MIB);
    r.src = NULL;
    wr_bufq_borrow(&r.q, text, (size_t)8 * MIB);
    for (int i = 0; i < 4; i++)
        sum += pump(WR_PUMP_MORE);
    ck_assert_uint_eq(sum, 8 * MIB);
    ck_assert_uint_eq(pump(WR_PUMP_DONE), 0);
    teardown();
    free(text);
}
END_TEST

START_TEST(no_rate_overflows)
{
    static const uint64_t ms[] = { 0, 1000, 86400000, 86400000ull * 3650 };

    for (size_t i = 0; i < WR_COUNT(ms); i++) {
        setup(0);
        r.rate = WR_RATE_MAX;
        r.rate_from = wr_now() - ms[i];
        r.taken = r.moved = WR_RATE_MAX * (ms[i] / 1000);
        left = BLOCK;
        ck_assert_uint_eq(pump(WR_PUMP_DONE), BLOCK);
        teardown();
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { a_file_gets_its_share_of_a_turn, sendfile_off_stays_off,
                                   memory_gets_no_more, no_rate_overflows, NULL };

    return run_suite("exchange_relay", tests);
}
