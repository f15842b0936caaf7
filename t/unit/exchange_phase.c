/* The hooks of a phase: any number of them, in the order of their ranks. */
#include "lib/unit.h"

#include "exchange/exchange.h"

enum { HOOKS = 100 };

static struct wr_exchange x;
static unsigned runs;

static enum wr_verdict even(struct wr_exchange *of)
{
    ck_assert_ptr_eq(of, &x);
    ck_assert_uint_lt(runs, HOOKS); /* before those of higher rank */
    runs++;
    return WR_PASS;
}

static enum wr_verdict odd(struct wr_exchange *of)
{
    ck_assert_ptr_eq(of, &x);
    ck_assert_uint_ge(runs, HOOKS);
    runs++;
    return WR_PASS;
}

static enum wr_verdict other_layer(struct wr_exchange *of)
{
    (void)of;
    ck_abort();
    return WR_PASS;
}

static struct wr_phase_hook many[2 * HOOKS + 2];
static struct wr_module module = { .name = "many", .layers = WR_ANY, .phases = many };
struct wr_module *const wr_modules[] = { &module, NULL };

START_TEST(any_number_in_the_order_of_ranks)
{
    static const struct wr_layer layer = { .name = "stream", .bit = WR_L4 };

    for (int i = 0; i < 2 * HOOKS; i++)
        many[i] = (struct wr_phase_hook){ WR_PH_LOG, WR_ANY, i % 2 == 0 ? even : odd, i % 2 };
    many[2 * HOOKS] = (struct wr_phase_hook){ WR_PH_LOG, WR_L7, other_layer, 0 };
    wr_phases_init();
    x.layer = &layer;
    wr_phases_log(&x);
    ck_assert_uint_eq(runs, 2 * HOOKS);
}
END_TEST

UNIT_MAIN("exchange/phase", any_number_in_the_order_of_ranks)
