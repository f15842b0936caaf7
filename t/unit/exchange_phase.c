/* The hooks of a phase: any number of them, in the order of their ranks; hooks without work. */
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

/* ---- hooks without work ---- */

struct conf { bool on; };

static struct conf off = { false }, on = { true };
static void *confs[2][2] = { { NULL, &off }, { NULL, &on } };
static struct wr_scope outer = { .conf = confs[0] }, inner = { .conf = confs[1] };
static unsigned sometimes_ran;

static bool is_on(const void *conf) { return ((const struct conf *)conf)->on; }

static enum wr_verdict sometimes(struct wr_exchange *of)
{
    (void)of;
    sometimes_ran++;
    return WR_PASS;
}

static enum wr_verdict go_inside(struct wr_exchange *of)
{
    of->scope = &inner;
    return WR_PASS;
}

static struct wr_module may_idle = {
    .name = "may_idle",
    .layers = WR_L7,
    .has_work = is_on,
    .index = 1,
    .phases = (const struct wr_phase_hook[]){
        { WR_PH_LOG, WR_L7, sometimes, 1 },   /* in the outer scope: no work */
        { WR_PH_LOG, WR_L7, sometimes, 3 },   /* in the inner scope: work */
        { 0 },
    },
};
static struct wr_module jumps = {
    .name = "jumps",
    .layers = WR_L7,
    .phases = (const struct wr_phase_hook[]){ { WR_PH_LOG, WR_L7, go_inside, 2 }, { 0 } },
};
struct wr_module *const wr_modules[] = { &module, &may_idle, &jumps, NULL };

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

START_TEST(hooks_without_work)
{
    static const struct wr_layer layer = { .name = "http", .bit = WR_L7 };
    struct wr_conf c = { .main = &outer };
    struct wr_exchange here = { .layer = &layer, .scope = &outer };

    many[0] = (struct wr_phase_hook){ 0 };
    outer.children = &inner;
    wr_phases_init();
    wr_phases_log(&here); /* unmarked: all are called */
    ck_assert_uint_eq(sometimes_ran, 2);
    wr_phases_mark(&c);
    here.scope = &outer;
    wr_phases_log(&here);
    ck_assert_uint_eq(sometimes_ran, 3);
    wr_phases_log(&here);
    ck_assert_uint_eq(sometimes_ran, 5);
}
END_TEST

/* ---- children ---- */

static const struct wr_layer layer7 = { .name = "http", .bit = WR_L7 };
static enum wr_phase seen[WR_PHASES];
static unsigned nseen;

static enum wr_verdict see_phase(struct wr_exchange *of)
{
    seen[nseen++] = of->phase;
    return of->phase == WR_PH_CONTENT ? WR_TAKEN : WR_PASS;
}

START_TEST(access_and_limits_are_the_parents)
{
    struct wr_exchange parent = { .layer = &layer7, .scope = &outer }, child = parent;

    for (int i = 0; i < WR_PH_LOG; i++)
        many[i] = (struct wr_phase_hook){ (enum wr_phase)i, WR_L7, see_phase, 0 };
    many[WR_PH_LOG] = (struct wr_phase_hook){ 0 };
    wr_phases_init();
    ck_assert_int_eq(wr_step_phases.run(&parent), WR_GO);
    ck_assert_uint_eq(nseen, WR_PH_CONTENT + 1);
    nseen = 0;
    child.parent = &parent;
    child.phase = WR_PH_REWRITE;
    ck_assert_int_eq(wr_step_phases.run(&child), WR_GO);
    ck_assert_uint_eq(nseen, 5);
    ck_assert_uint_eq(seen[0], WR_PH_REWRITE);
    ck_assert_uint_eq(seen[1], WR_PH_SSL);
    ck_assert_uint_eq(seen[4], WR_PH_CONTENT);
}
END_TEST

UNIT_MAIN("exchange/phase", hooks_without_work, any_number_in_the_order_of_ranks,
          access_and_limits_are_the_parents)
