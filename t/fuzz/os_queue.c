/* Any words in the queue of a zone, as a faulty or hostile process may write them: whoever enters,
 * shows, calls, passes others and leaves goes on, only slots that exist are named, and the process
 * finds its own ticket and its own places as they are. The sanitizers watch the rest of the memory.
 *
 * An input is a sequence of letters with arguments: w (two bytes offset, one byte count, the bytes)
 * writes; W (a byte) writes it everywhere; e enters; l leaves; s (two bytes) shows a ticket; c
 * calls; k passes the head; d (two bytes) clears a process; o compares the counts. */
#include "os/os.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SLOT 5
#define MOST 8

static struct wr_zone zone;
static struct wr_queue queue;
static struct wr_pool *pool;
static uint32_t held;

static void overwrite(struct wr_scan *s)
{
    size_t at = (size_t)wr_scan_u16(s) * 8 % zone.n;
    struct wr_str bytes = wr_scan_take(s, wr_scan_u8(s));

    if (!s->bad)
        memcpy(zone.p + at, bytes.p, wr_min(bytes.n, zone.n - at));
}

static void act(uint8_t what, struct wr_scan *s)
{
    struct wr_queue_head h = wr_queue_head(&queue);
    uint32_t process;

    WR_ASSERT(h.process < WR_SLOTS);
    switch (what) {
    case 'w':
        overwrite(s);
        break;
    case 'W':
        memset(zone.p, wr_scan_u8(s), zone.n);
        break;
    case 'e':
        held += held < MOST && wr_queue_enter(&queue, MOST, pool);
        break;
    case 'l':
        if (held > 0)
            wr_queue_leave(&queue);
        held -= held > 0;
        break;
    case 's':
        wr_queue_show(&queue, wr_scan_u16(s), false);
        break;
    case 'c':
        (void)wr_queue_call(&queue);
        break;
    case 'k':
        wr_queue_skip(&queue, h);
        break;
    case 'd':
        process = wr_scan_u16(s) % WR_SLOTS;
        if (process != SLOT)
            wr_queue_clear(&queue, process);
        break;
    case 'o':
        (void)wr_ledger_look(&queue.places, pool);
        break;
    default:
        break;
    }
    WR_ASSERT(queue.places.held == NULL || queue.places.held[0] == held);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wr_log nowhere;
    struct wr_scan s = wr_scan_of(data, size);
    struct wr_queue measured = { .mine = 0 };
    struct wr_zone only = { .fd = -1 };

    wr_log_default = &nowhere;
    wr_self_init();
    wr_self.slot = SLOT;
    wr_queue_place(&measured, &only);
    zone = (struct wr_zone){ .p = wr_calloc(1, only.n), .fd = -1 };
    queue = (struct wr_queue){ .mine = 0 };
    wr_queue_place(&queue, &zone);
    pool = wr_pool_new(0);
    held = 0;
    for (int acts = 0; acts < 200 && !s.bad && wr_scan_left(&s) > 0; acts++)
        act(wr_scan_u8(&s), &s);
    memset(zone.p, 0, zone.n); /* all others have ended */
    wr_queue_show(&queue, 7, false);
    WR_ASSERT(wr_queue_head(&queue).ticket == 7 && wr_queue_head(&queue).process == SLOT);
    WR_ASSERT(wr_queue_call(&queue));
    wr_pool_free(pool);
    free(zone.p);
    return 0;
}
