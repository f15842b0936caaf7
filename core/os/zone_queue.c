/* zone_queue: the part of a zone that tells who waits longest. Workers enter, show and leave;
 * whoever changes what they wait for calls; the keeper clears what the dead showed.
 *
 * No call is lost. One side is a waiter W, the other a process C that makes a change which W waits
 * for. All accesses to `taken` and `shown` and the fence of wr_queue_show are sequentially
 * consistent:
 *
 *     W: takes a place, shows its ticket, looks whether there is what it wants, sleeps
 *     C: makes the change, looks at `taken`, then at all tickets shown, rings the smallest
 *
 * If C sees neither place nor ticket of W, then W looks after the change and sees it. If C sees the
 * ticket, it rings, and wr_ring loses no bell. It may ring another process V, whose ticket is
 * smaller. V looks; if it has left meanwhile, then it did as every waiter that was first:
 *
 *     V: shows its next ticket (0: none), looks whether there is still something, and calls if so
 *
 * C saw V's old ticket, so V shows the next one after the change, looks after that, finds what has
 * changed, and calls who is first now. A waiter is first when no smaller ticket is shown; two that
 * come at the same time see each other in the same way.
 *
 * A dead process: the keeper clears what it showed, then calls. Whatever else is written here, by
 * damage or malice, delays a call until waiters look by their timer: each process shows its ticket
 * again then, and takes a head that does not move for gone. */
#include "os/os.h"


void wr_queue_place(struct wr_queue *q, struct wr_zone *z)
{
    q->taken = wr_zone_part(z, sizeof(*q->taken));
    q->shown = wr_zone_part(z, WR_SLOTS * sizeof(*q->shown));
    wr_ledger_place(&q->places, z, 1);
    q->places.totals = q->taken;
    q->places.stride = sizeof(*q->taken);
}

bool wr_queue_enter(struct wr_queue *q, uint32_t most, struct wr_pool *pool)
{
    if (q->places.held == NULL)
        wr_ledger_begin(&q->places, pool);
    return wr_ledger_hold(&q->places, 0, most);
}

void wr_queue_leave(struct wr_queue *q)
{
    wr_ledger_release(&q->places, 0);
}

void wr_queue_show(struct wr_queue *q, uint64_t ticket, bool aside)
{
    q->mine = 2 * ticket + aside;
    if (wr_self.slot != WR_SLOT_NONE)
        atomic_store(&q->shown[wr_self.slot], q->mine);
    atomic_thread_fence(memory_order_seq_cst); /* for what is looked at, mostly by relaxed loads */
}

static uint64_t shown_by(const struct wr_queue *q, uint32_t process)
{
    return process == wr_self.slot ? 0 : atomic_load(&q->shown[process]);
}

/* Calls fn for each other process that shows something. */
static void each_shown(const struct wr_queue *q, void (*fn)(void *, uint32_t, uint64_t), void *arg)
{
    for (uint32_t w = 0; w < WR_SLOTS / 64; w++) {
        uint64_t used = atomic_load(&q->places.used[w]);

        for (; used != 0; used &= used - 1) {
            uint32_t process = w * 64 + (uint32_t)__builtin_ctzll(used);
            uint64_t shown = shown_by(q, process);

            if (shown != 0)
                fn(arg, process, shown);
        }
    }
}

static void take_smaller(void *arg, uint32_t process, uint64_t shown)
{
    struct wr_queue_head *h = arg;
    uint64_t ticket = shown / 2;

    if (ticket == 0 || (h->ticket != 0 && h->ticket < ticket))
        return;
    if (h->ticket != ticket || process < h->process)
        *h = (struct wr_queue_head){ .process = process, .ticket = ticket };
}

struct wr_queue_head wr_queue_head(const struct wr_queue *q)
{
    struct wr_queue_head h = { .process = wr_self.slot, .ticket = q->mine / 2 };

    each_shown(q, take_smaller, &h);
    return h;
}

static void ring_aside(void *arg, uint32_t process, uint64_t shown)
{
    (void)arg;
    if (shown % 2 != 0)
        wr_ring(process, WR_BELL_QUEUE);
}

bool wr_queue_call(const struct wr_queue *q)
{
    struct wr_queue_head h = wr_queue_head(q);
    bool own = h.process == wr_self.slot && h.ticket != 0;

    if (h.ticket != 0 && !own)
        wr_ring(h.process, WR_BELL_QUEUE);
    each_shown(q, ring_aside, NULL);
    return own || q->mine % 2 != 0;
}

void wr_queue_skip(struct wr_queue *q, struct wr_queue_head h)
{
    uint64_t shown;

    if (h.ticket == 0 || h.process == wr_self.slot)
        return;
    shown = atomic_load(&q->shown[h.process]);
    if (shown / 2 == h.ticket)
        (void)atomic_compare_exchange_strong(&q->shown[h.process], &shown, shown % 2);
}

void wr_queue_clear(struct wr_queue *q, uint32_t process)
{
    uint64_t used = atomic_load_explicit(&q->places.used[process / 64], memory_order_relaxed);

    if ((used >> (process % 64) & 1) != 0)
        atomic_store(&q->shown[process], 0);
    wr_ledger_clear(&q->places, process);
}
