/* doorbell: the slot of this process, and the bells of the others. The master assigns the slots,
 * the loop takes the bells, every process rings. It owns wr_self; the slots are in shared memory
 * that the master made. */
#include "os/os.h"

#include <errno.h>
#include <signal.h>
#include <sys/timerfd.h>

static struct wr_run private_run;

#define NOBODY                                                                       \
    { .slot = WR_SLOT_NONE, .kind = WR_PROC_SINGLE, .workers = 1, .bell_fd = -1,     \
      .bell_of = { [0 ... WR_SLOTS - 1] = -1 }, .run = &private_run,    \
      .run_fd = -1 }
struct wr_self wr_self = NOBODY;

void wr_self_init(void)
{
    wr_self = (struct wr_self)NOBODY;
}

/* A timer, because setting one never waits. All processes of a generation have the same open file:
 * any of them could fill an eventfd, a pipe or a socket and make it blocking, and the next ring
 * would wait for ever. Nobody reads it: each time it runs out is an edge of its own. */
int wr_bell_new(void)
{
    return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
}

static bool strike_bell(int fd)
{
    return timerfd_settime(fd, 0, &(struct itimerspec){ .it_value.tv_nsec = 1 }, NULL) == 0;
}

void wr_bell_self(void)
{
    if (wr_self.bell_fd >= 0)
        (void)strike_bell(wr_self.bell_fd);
}

/* A process of another generation, or of another master, has a timer that this one does not have,
 * or one that has replaced the one we know. It is woken by a signal, which goes to the process that
 * holds the lock of the slot: the kernel names it, not the shared memory. */
static void wake_stranger(uint32_t slot)
{
    pid_t pid = wr_self.run_fd >= 0 ? wr_locked_by(wr_self.run_fd, slot) : 0;

    if (pid > 1)
        (void)kill(pid, WR_SIGBELL);
}

static void wake_process(uint32_t slot)
{
    if (wr_self.bell_of[slot] < 0
        || atomic_load(&wr_self.run->slot[slot].generation) != wr_self.generation) {
        wake_stranger(slot);
        return;
    }
    if (!strike_bell(wr_self.bell_of[slot]))
        wr_say(WR_LOG_ALERT, errno, "timerfd_settime() of the doorbell of slot %u failed",
               (unsigned)slot);
}

void wr_ring(uint32_t slot, uint32_t bits)
{
    struct wr_slot *s;

    WR_ASSERT(slot < WR_SLOTS);
    s = &wr_self.run->slot[slot];
    (void)atomic_fetch_or(&s->bell, bits);
    /* Both accesses are sequentially consistent: either we see that the process sleeps, or it sees
     * the bits. */
    if (atomic_load(&s->asleep) != 0)
        wake_process(slot);
}

void wr_ring_workers(uint32_t bits)
{
    for (uint32_t i = 0; i < WR_SLOTS; i++) {
        const struct wr_slot *s = &wr_self.run->slot[i];

        if (atomic_load_explicit(&s->pid, memory_order_relaxed) != 0
            && atomic_load_explicit(&s->kind, memory_order_relaxed) == WR_PROC_WORKER)
            wr_ring(i, bits);
    }
}

uint32_t wr_bell_take(void)
{
    if (wr_self.slot == WR_SLOT_NONE)
        return 0;
    return atomic_exchange(&wr_self.run->slot[wr_self.slot].bell, 0);
}
