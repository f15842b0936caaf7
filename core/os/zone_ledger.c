/* zone_ledger: the part of a zone that counts: what each process holds, and the totals. Counting
 * itself is inline in os.h; here are the beginning of counting, and the work of the keeper, which
 * takes back the counts of dead processes. It takes the lock of a slot first, and so knows that no
 * process has the slot. */
#include "os/os.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>
#ifdef WR_HAVE_PIDFD_OPEN
#include <sys/pidfd.h>
#endif

#define BELIEVED 3           /* equal comparisons in a row */
#define SWEEP_NS 100000000   /* all slots take a few milliseconds, unless somebody holds very many
                              * locks: then the rest is swept a second later */
#define READS_MAX (1u << 18) /* words of rows read at a time: somebody may say that all are used */
#define ENDING_MS 5000       /* so long a process may take to end; then its pid is not believed */

void wr_ledger_place(struct wr_ledger *l, struct wr_zone *z, uint32_t columns)
{
    l->columns = columns;
    l->used = wr_zone_part(z, WR_SLOTS / 64 * sizeof(*l->used));
    l->rows = wr_zone_part(z, (size_t)WR_SLOTS * columns * sizeof(*l->rows));
}

/* ---- the counting process ---- */

void wr_ledger_show(struct wr_ledger *l)
{
    for (uint32_t i = 0; l->held != NULL && wr_self.slot != WR_SLOT_NONE && i < l->columns; i++)
        if (atomic_load(&wr_ledger_row(l, wr_self.slot)[i]) != l->held[i])
            wr_ledger_set(l, i, l->held[i]);
}

void wr_ledger_begin(struct wr_ledger *l, struct wr_pool *pool)
{
    if (l->held == NULL)
        l->held = WR_NEW_ARRAY(pool, uint32_t, l->columns);
    if (wr_self.slot == WR_SLOT_NONE)
        return;
    wr_ledger_clear(l, wr_self.slot);
    atomic_fetch_or(&l->used[wr_self.slot / 64], (uint64_t)1 << (wr_self.slot % 64));
    wr_ledger_show(l); /* the `used` bit may have been wrong, and the row not cleared */
}

/* ---- dead processes ---- */

void wr_ledger_clear(struct wr_ledger *l, uint32_t process)
{
    uint64_t used = atomic_load_explicit(&l->used[process / 64], memory_order_relaxed);

    if ((used >> (process % 64) & 1) == 0)
        return;
    for (uint32_t i = 0; i < l->columns; i++) {
        uint32_t held = atomic_exchange(&wr_ledger_row(l, process)[i], 0);

        if (held > 0)
            wr_ledger_take_back(wr_ledger_total(l, i), held & ~WR_LEDGER_CHANGES);
    }
}

/* The kernel takes a process's locks away before it closes its connections. Counts that are taken
 * back in between let others come while the peer still has the dead one's. */
static bool has_ended(pid_t pid)
{
#ifdef WR_HAVE_PIDFD_OPEN
    int fd = pidfd_open(pid, 0);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    bool ended = fd < 0 || poll(&p, 1, 0) == 1;

    if (fd >= 0)
        (void)close(fd);
    return ended;
#else
    return kill(pid, 0) != 0 && errno == ESRCH;
#endif
}

/* Nobody has locked the slot, but its process is there still. The pid in the slot may be wrong, or
 * another process may have it now. */
static bool is_ending(uint32_t process)
{
    static struct { int32_t pid; uint64_t since_ms; } seen[WR_SLOTS];
    int32_t pid = atomic_load_explicit(&wr_self.run->slot[process].pid, memory_order_relaxed);

    if (pid <= 1 || has_ended(pid))
        return false;
    if (seen[process].pid != pid) {
        seen[process].pid = pid;
        seen[process].since_ms = wr_now();
    }
    return wr_now() - seen[process].since_ms < ENDING_MS;
}

/* True: a process of another master has the slot, or one is just ending. */
static bool sweep_slot(uint32_t i, void (*clear)(void *arg, uint32_t process), void *arg)
{
    /* The keeper itself counts nothing: clear its row, whose lock it holds already. */
    bool own = i == wr_self.slot, ending;

    if (!own && !wr_lock(wr_self.run_fd, i, 0))
        return i / (WR_SLOTS / 2) != wr_self.slot / (WR_SLOTS / 2);
    ending = !own && is_ending(i);
    if (!ending)
        clear(arg, i);
    if (!own)
        wr_unlock(wr_self.run_fd, i);
    return ending;
}

bool wr_ledger_sweep(void (*clear)(void *arg, uint32_t process), void *arg)
{
    static uint32_t from;
    uint64_t until = wr_time_ns() + SWEEP_NS;
    bool again = false;

    for (uint32_t n = 0; wr_self.run_fd >= 0 && n < WR_SLOTS; n++) {
        again |= sweep_slot(from, clear, arg);
        from = (from + 1) % WR_SLOTS;
        if (wr_time_ns() > until)
            return true;
    }
    return again;
}

/* ---- totals ---- */

enum wr_ledger_finding wr_ledger_judge(struct wr_ledger_seen *seen, uint32_t column, uint32_t total)
{
    int32_t differs = (int32_t)(column - total);

    if (differs != seen->differs)
        *seen = (struct wr_ledger_seen){ .differs = differs };
    if (++seen->times < BELIEVED)
        return WR_LEDGER_LOOK;
    seen->times = BELIEVED;
    return differs == 0 ? WR_LEDGER_RIGHT : WR_LEDGER_WRONG;
}

/* False: a process is just changing its count. */
static bool column_sum(const struct wr_ledger *l, uint32_t column, uint32_t *sum)
{
    uint32_t marks = 0;

    *sum = 0;

    for (uint32_t w = 0; w < WR_SLOTS / 64; w++) {
        uint64_t used = atomic_load_explicit(&l->used[w], memory_order_relaxed);

        for (; used != 0; used &= used - 1) {
            uint32_t process = w * 64 + (uint32_t)__builtin_ctzll(used);
            uint32_t count = atomic_load(&wr_ledger_row(l, process)[column]);

            *sum += count & ~WR_LEDGER_CHANGES;
            marks |= count;
        }
    }
    return (marks & WR_LEDGER_CHANGES) == 0;
}

static bool check_column(struct wr_ledger *l, uint32_t column)
{
    _Atomic uint32_t *shared = wr_ledger_total(l, column);
    uint32_t total = atomic_load(shared), sum;

    /* While it is changing nothing can be learned, even if it takes long: its process may have been
     * stopped. Compare again later. */
    if (!column_sum(l, column, &sum) || atomic_load(shared) != total) {
        l->seen[column] = (struct wr_ledger_seen){ .times = 0 };
        return false;
    }
    switch (wr_ledger_judge(&l->seen[column], sum, total)) {
    case WR_LEDGER_RIGHT:
        return true;
    case WR_LEDGER_WRONG:
        (void)atomic_compare_exchange_strong(shared, &total, sum);
        l->seen[column] = (struct wr_ledger_seen){ .times = 0 };
        return false;
    default: /* the next look decides */
        return false;
    }
}

static uint32_t count_used(const struct wr_ledger *l)
{
    uint32_t n = 0;

    for (uint32_t w = 0; w < WR_SLOTS / 64; w++)
        n += (uint32_t)__builtin_popcountll(atomic_load_explicit(&l->used[w],
                                                                 memory_order_relaxed));
    return n;
}

bool wr_ledger_look(struct wr_ledger *l, struct wr_pool *pool)
{
    uint32_t more = READS_MAX / (count_used(l) + 1);

    if (l->seen == NULL)
        l->seen = WR_NEW_ARRAY(pool, struct wr_ledger_seen, l->columns);
    if (l->looked == 0)
        l->right = true;
    for (; more > 0 && l->looked < l->columns; more--)
        l->right &= check_column(l, l->looked++);
    if (l->looked < l->columns)
        return false;
    l->looked = 0;
    return l->right;
}

void wr_ledger_forget(struct wr_ledger *l)
{
    l->looked = 0;
    if (l->seen != NULL)
        memset(l->seen, 0, l->columns * sizeof(*l->seen));
}
