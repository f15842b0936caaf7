/* lock: mutual exclusion between processes by locks on bytes of a file that they share (the memfd
 * of a segment; the bytes need not exist). The kernel keeps the locks: a process cannot damage one
 * by writing to the shared memory, and the death of a holder releases it. Data under a lock must
 * stay readable after any half-done write. Locks exclude processes, not threads of one process. */
#include "os/os.h"

#include <fcntl.h>
#include <sched.h>
#include <time.h>

#define YIELDS 50
#define NAP_US 100

static bool set_lock(int fd, uint64_t at, short type)
{
    struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1 };

    return fcntl(fd, F_SETLK, &l) == 0;
}

bool wr_lock(int fd, uint64_t at, uint32_t most_ms)
{
    uint32_t naps = most_ms * 1000 / NAP_US;

    for (uint32_t i = 0; i < YIELDS + naps; i++) {
        if (set_lock(fd, at, F_WRLCK))
            return true;
        if (most_ms == 0)
            return false;
        if (i < YIELDS)
            (void)sched_yield();
        else
            (void)nanosleep(&(struct timespec){ .tv_nsec = NAP_US * 1000 }, NULL);
    }
    return false;
}

void wr_unlock(int fd, uint64_t at)
{
    (void)set_lock(fd, at, F_UNLCK);
}

static bool find_lock(int fd, uint64_t at, struct flock *l)
{
    *l = (struct flock){
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1,
    };
    return fcntl(fd, F_GETLK, l) == 0 && l->l_type != F_UNLCK;
}

bool wr_locked(int fd, uint64_t at)
{
    struct flock l;

    return find_lock(fd, at, &l);
}

pid_t wr_locked_by(int fd, uint64_t at)
{
    struct flock l;

    return find_lock(fd, at, &l) && l.l_pid > 0 ? l.l_pid : 0;
}
