/* Timeouts, by table: every combination of the facts and its verdict. */
#include "lib/event_lib.h"

#include "exchange/exchange.h"

#define ANY 2

static const struct {
    enum wr_awaited whom;     /* ANY: client or server */
    uint8_t busy, moved, fired, running, begun, raw;
    enum wr_timeout want;
} table[] = { /* the first row that fits counts */
    { ANY, true, ANY, ANY, ANY, ANY, ANY, WR_TIMEOUT_OFF },
    { ANY, false, true, ANY, ANY, ANY, ANY, WR_TIMEOUT_RESTARTS },
    { ANY, false, false, false, true, ANY, ANY, WR_TIMEOUT_RUNS },
    { ANY, false, false, false, false, ANY, ANY, WR_TIMEOUT_RESTARTS },
    { ANY, false, false, true, ANY, ANY, true, WR_TIMEOUT_CLOSE },
    { ANY, false, false, true, ANY, true, false, WR_TIMEOUT_CUT },
    { WR_AWAITS_CLIENT, false, false, true, ANY, false, false, WR_TIMEOUT_REFUSE },
    { WR_AWAITS_SERVER, false, false, true, ANY, false, false, WR_TIMEOUT_FAIL },
};

static bool fits(uint8_t want, bool is)
{
    return want == ANY || want == is;
}

static size_t row_of(const struct wr_patience *p)
{
    for (size_t i = 0; i < WR_COUNT(table); i++)
        if ((table[i].whom == ANY || table[i].whom == p->whom) && fits(table[i].busy, p->busy)
            && fits(table[i].moved, p->moved) && fits(table[i].fired, p->fired)
            && fits(table[i].running, p->running) && fits(table[i].begun, p->begun)
            && fits(table[i].raw, p->raw))
            return i;
    ck_abort_msg("no row");
}

START_TEST(every_combination)
{
    unsigned seen[WR_COUNT(table)] = { 0 };

    for (unsigned bits = 0; bits < 128; bits++) {
        struct wr_patience p = {
            .whom = bits & 1 ? WR_AWAITS_SERVER : WR_AWAITS_CLIENT, .busy = bits & 2,
            .moved = bits & 4, .fired = bits & 8, .running = bits & 16, .begun = bits & 32,
            .raw = bits & 64,
        };
        size_t row = row_of(&p);

        seen[row]++;
        ck_assert_msg(wr_patience(&p) == table[row].want, "row %zu, facts %x", row, bits);
    }
    for (size_t i = 0; i < WR_COUNT(table); i++)
        ck_assert_uint_gt(seen[i], 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { every_combination, NULL };

    return run_suite("exchange/patience", tests);
}
