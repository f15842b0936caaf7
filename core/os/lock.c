/* lock: a mutex between processes, in memory they share. Whoever died with it held leaves it to the
 * next: what it protects must be readable after any half-done write. */
#include "os/os.h"

#include <errno.h>

void wr_lock_init(pthread_mutex_t *m)
{
    pthread_mutexattr_t a;

    WR_ASSERT(pthread_mutexattr_init(&a) == 0);
    WR_ASSERT(pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED) == 0);
    WR_ASSERT(pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST) == 0);
    WR_ASSERT(pthread_mutex_init(m, &a) == 0);
    WR_ASSERT(pthread_mutexattr_destroy(&a) == 0);
}

void wr_lock(pthread_mutex_t *m)
{
    int err = pthread_mutex_lock(m);

    if (err == EOWNERDEAD)
        err = pthread_mutex_consistent(m);
    WR_ASSERT(err == 0);
}

void wr_unlock(pthread_mutex_t *m)
{
    WR_ASSERT(pthread_mutex_unlock(m) == 0);
}
