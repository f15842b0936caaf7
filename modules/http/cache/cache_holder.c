/* cache_holder: names the process that leads the filling of an entry, or fills a block of memory.
 * The kernel tells who holds the lock of a slot; what stands in shared memory names only the slot,
 * so a damaged word makes a living process look dead, or a dead one alive, and nothing worse: each
 * user of this says what follows from that. */
#include "cache_holder.h"

#include <pthread.h>
#include <unistd.h>

#define PID_BITS 0xfffffU
#define NO_SLOT 0xfffU

static uint32_t own_pid;

static void after_fork(void)
{
    own_pid = 0;
}

__attribute__((constructor)) static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, after_fork);
}

uint32_t wr_cache_holder_me(void)
{
    uint32_t slot = wr_self.slot < WR_SLOTS ? wr_self.slot + 1 : NO_SLOT;

    if (own_pid == 0)
        own_pid = (uint32_t)getpid();
    return slot << 20 | (own_pid & PID_BITS);
}

bool wr_cache_holder_is_gone(uint32_t holder)
{
    uint32_t slot = wr_cache_holder_slot(holder), me = wr_cache_holder_me();
    pid_t pid;

    if (holder == me)
        return false;
    if (holder >> 20 == me >> 20)
        return true; /* an earlier process of our slot */
    if (slot == WR_SLOT_NONE)
        return holder >> 20 != NO_SLOT;
    if (wr_self.run_fd < 0)
        return false;
    pid = wr_locked_by(wr_self.run_fd, slot);
    if (pid > 0)
        return ((uint32_t)pid & PID_BITS) != (holder & PID_BITS);
    return !wr_locked(wr_self.run_fd, slot); /* of another pid namespace: it has no number here */
}
