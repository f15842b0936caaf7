/* The end of a UDP session, by table. */
#include "lib/event_lib.h"

#include "stream/stream_impl.h"

static const struct {
    bool all_forwarded;
    uint64_t requests, responses;
    uint32_t each;             /* 1 + proxy_responses; 0: not configured */
    bool over;
} table[] = {
    { true, 1, 0, 0, false }, { true, 1, 100, 0, false }, { true, 1, 0, 1, true },
    { false, 1, 0, 1, false }, { true, 1, 0, 2, false }, { true, 1, 1, 2, true },
    { true, 3, 2, 2, false }, { true, 3, 3, 2, true }, { true, 3, 5, 3, false },
    { true, 3, 6, 3, true }, { true, 3, 9, 3, true }, { false, 3, 9, 3, false },
};

START_TEST(when_it_is_over)
{
    for (size_t i = 0; i < WR_COUNT(table); i++) {
        struct wr_flow_facts f = { table[i].all_forwarded, table[i].requests, table[i].responses,
                                   table[i].each };

        ck_assert_msg(wr_flow_is_over(&f) == table[i].over, "row %zu", i);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { when_it_is_over, NULL };

    return run_suite("stream/datagrams", tests);
}
