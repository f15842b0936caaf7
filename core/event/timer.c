/* Timers: a 4-ary heap of deadlines, 1-based so that place 0 means "not in it". The loop calls it,
 * and all code that waits with a limit. Owns the heap array; the timers belong to their owners.
 *
 * Moving a deadline later, which every byte on a connection does, only writes timer->at: the heap
 * keeps the old key, and when that comes due the timer is put back with its true deadline. */
#include "event/event_impl.h"

#include <limits.h>

#define FOREVER_MS (UINT64_C(1) << 40) /* 34 years: sums cannot overflow */

static void put_entry(struct wr_loop *l, uint32_t i, struct wr_heap_entry e)
{
    l->heap[i] = e;
    e.timer->place = i;
}

static void sift_up(struct wr_loop *l, uint32_t i, struct wr_heap_entry e)
{
    while (i > 1) {
        uint32_t parent = (i - 2) / 4 + 1;

        if (l->heap[parent].at <= e.at)
            break;
        put_entry(l, i, l->heap[parent]);
        i = parent;
    }
    put_entry(l, i, e);
}

/* Four children share a cache line, and the heap is half as deep as a binary one. */
static void sift_down(struct wr_loop *l, uint32_t i, struct wr_heap_entry e)
{
    for (;;) {
        uint32_t child = 4 * (i - 1) + 2, last = wr_min(child + 3, l->timers), best = child;

        if (child > l->timers)
            break;
        while (++child <= last)
            if (l->heap[child].at < l->heap[best].at)
                best = child;
        if (l->heap[best].at >= e.at)
            break;
        put_entry(l, i, l->heap[best]);
        i = best;
    }
    put_entry(l, i, e);
}

static void insert_timer(struct wr_loop *l, struct wr_timer *t)
{
    if (l->timers + 1 >= l->heap_cap) {
        l->heap_cap = wr_max(64u, l->heap_cap * 2);
        l->heap = wr_realloc(l->heap, l->heap_cap * sizeof(*l->heap));
    }
    t->queued_at = t->at;
    sift_up(l, ++l->timers, (struct wr_heap_entry){ t->at, t });
}

void wr_timer_take_out(struct wr_loop *l, struct wr_timer *t)
{
    uint32_t i = t->place;
    /* the last entry fills the gap; coming from another branch, it may have to move up */
    struct wr_heap_entry last = l->heap[l->timers--];

    t->place = 0;
    if (last.timer == t)
        return;
    if (last.at < t->queued_at)
        sift_up(l, i, last);
    else
        sift_down(l, i, last);
}

void wr_timer_set(struct wr_loop *l, struct wr_timer *t, uint64_t ms_from_now)
{
    t->at = wr_now() + wr_min(ms_from_now, FOREVER_MS);
    t->fired = false;
    if (t->place == 0) {
        insert_timer(l, t);
    } else if (t->at < t->queued_at) {
        t->queued_at = t->at;
        sift_up(l, t->place, (struct wr_heap_entry){ t->at, t });
    }
}

static void wake_owner(struct wr_loop *l, struct wr_timer *t)
{
    if (t->task != NULL)
        wr_task_wake(l, t->task);
}

/* Chaos: a task has to bear being woken before its time. */
static void wake_somebody_early(struct wr_loop *l)
{
    if (l->timers > 0 && wr_random() % 16 == 0)
        wake_owner(l, l->heap[1 + wr_random() % l->timers].timer);
}

void wr_timers_expire(struct wr_loop *l)
{
    uint64_t now = wr_now();

    while (l->timers > 0 && l->heap[1].at <= now) {
        struct wr_timer *t = l->heap[1].timer;

        /* it was moved later, maybe a thousand times: it is put back only now */
        if (t->at > now) {
            t->queued_at = t->at;
            sift_down(l, 1, (struct wr_heap_entry){ t->at, t });
            continue;
        }
        wr_timer_take_out(l, t);
        /* 0: it was left in the heap by wr_timer_idle */
        if (t->at != 0) {
            t->at = 0;
            t->fired = true;
            wake_owner(l, t);
        }
    }
    if (wr_chaos())
        wake_somebody_early(l);
}
