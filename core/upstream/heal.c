/* heal: the decisions by which a group heals itself, as pure functions: counts in a sliding window,
 * whether a peer is an outlier and for how long it is ejected, how many peers may be, what a retry
 * budget affords, when a group panics. outlier, retry_budget and panic act on them. */
#include "upstream/upstream_impl.h"

/* ---- windows ----
 * A slice is one word, so that no lock is needed: the number of the slice (24 bits), how many, and
 * how many of them were marked (20 bits each). */

#define COUNT_BITS 20
#define COUNT_MAX ((1u << COUNT_BITS) - 1)
#define NUMBER_MASK 0xffffffu
#define UPDATES_MAX 8 /* tries to store a slice while other processes do: then a count is lost */

static uint32_t all_of(uint64_t slice)
{
    return (uint32_t)(slice >> COUNT_BITS) & COUNT_MAX;
}

static uint32_t marked_of(uint64_t slice)
{
    return (uint32_t)slice & COUNT_MAX;
}

static uint32_t number_of(uint64_t slice)
{
    return (uint32_t)(slice >> 2 * COUNT_BITS);
}

static uint32_t number_at(uint64_t window_ms, uint64_t now_ms)
{
    uint64_t slice_ms = (window_ms + WR_SLICES - 2) / (WR_SLICES - 1);

    return (uint32_t)(now_ms / wr_max(slice_ms, (uint64_t)1)) & NUMBER_MASK;
}

/* A full slice is halved: its share stays what it is. */
static uint64_t add_to(uint64_t slice, uint32_t number, struct wr_tally t)
{
    if (number_of(slice) == number) {
        t.all += all_of(slice);
        t.marked += marked_of(slice);
    }
    if (t.all > COUNT_MAX || t.marked > COUNT_MAX) {
        t.all /= 2;
        t.marked /= 2;
    }
    return (uint64_t)number << 2 * COUNT_BITS | (uint64_t)t.all << COUNT_BITS | t.marked;
}

void wr_window_add(struct wr_window *w, uint64_t window_ms, uint64_t now_ms, struct wr_tally more)
{
    uint32_t number = number_at(window_ms, now_ms);
    _Atomic uint64_t *slice = &w->slice[number % WR_SLICES];
    uint64_t before = atomic_load_explicit(slice, memory_order_relaxed);

    for (int i = 0; i < UPDATES_MAX; i++)
        if (atomic_compare_exchange_weak(slice, &before, add_to(before, number, more)))
            return;
}

struct wr_tally wr_window_sum(const struct wr_window *w, uint64_t window_ms, uint64_t now_ms)
{
    uint32_t number = number_at(window_ms, now_ms);
    struct wr_tally sum = { 0, 0 };

    for (uint32_t i = 0; i < WR_SLICES; i++) {
        uint64_t slice = atomic_load_explicit(&w->slice[i], memory_order_relaxed);

        if (((number - number_of(slice)) & NUMBER_MASK) >= WR_SLICES)
            continue;
        sum.all += all_of(slice);
        sum.marked += marked_of(slice);
    }
    return sum;
}

void wr_window_clear(struct wr_window *w)
{
    for (uint32_t i = 0; i < WR_SLICES; i++)
        atomic_store_explicit(&w->slice[i], 0, memory_order_relaxed);
}

/* ---- outliers ---- */

bool wr_outlier_found(const struct wr_outlier *o, struct wr_tally t)
{
    return t.marked >= o->errors && (uint64_t)t.marked * 100 >= (uint64_t)o->rate * t.all;
}

uint32_t wr_eject_times(uint32_t before, uint64_t quiet_ms, uint64_t eject_ms)
{
    uint64_t forgotten = quiet_ms / wr_max(eject_ms, (uint64_t)1);

    before = wr_min(before, (uint32_t)WR_EJECT_TIMES_MAX);
    return wr_min(before - (uint32_t)wr_min(forgotten, (uint64_t)before) + 1,
                  (uint32_t)WR_EJECT_TIMES_MAX);
}

uint32_t wr_eject_most(uint32_t peers, uint32_t percent)
{
    return peers < 2 ? 0 : wr_max((uint32_t)((uint64_t)peers * percent / 100), 1u);
}

/* ---- retries, panic ---- */

bool wr_retry_affordable(const struct wr_retry_budget *b, struct wr_tally t)
{
    uint64_t share = (uint64_t)t.all * b->percent / 100;
    uint64_t least = (uint64_t)b->min * WR_BUDGET_MS / 1000;

    return t.marked < wr_max(share, least);
}

bool wr_panic_needed(uint32_t healthy, uint32_t peers, uint32_t percent)
{
    return (uint64_t)healthy * 100 < (uint64_t)peers * percent;
}
