/* A lock between processes: it excludes, writes to the memory beside it do not matter, and the
 * death of the holder releases it. */
#include "os/os.h"

#include "lib/unit.h"

#include <sys/mman.h>

#define LONG_MS 20000

struct shared {
    long count;
    int half;                /* 1 while a process has the lock */
};
static int file;

static struct shared *shared(void)
{
    struct shared *s;

    file = memfd_create("lock", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(file, sizeof(*s)), 0);
    s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ck_assert_ptr_ne(s, MAP_FAILED);
    return s;
}

static void drop(struct shared *s)
{
    ck_assert_int_eq(munmap(s, sizeof(*s)), 0);
    ck_assert_int_eq(close(file), 0);
}

static void take(void)
{
    if (!wr_lock(file, 7, LONG_MS))
        _exit(2);
}

START_TEST(excludes)
{
    struct shared *s = shared();
    int status;

    for (int i = 0; i < 4; i++) {
        if (fork() != 0)
            continue;
        for (int j = 0; j < 2000; j++) {
            take();
            if (s->half++ != 0)
                _exit(1);
            s->count++;
            s->half--;
            wr_unlock(file, 7);
        }
        _exit(0);
    }
    for (int i = 0; i < 4; i++) {
        ck_assert_int_gt(wait(&status), 0);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(s->count, 8000);
    drop(s);
}
END_TEST

static pid_t holder(struct shared *s)
{
    pid_t pid = fork();

    if (pid == 0) {
        take();
        *(volatile int *)&s->half = 1;
        pause();
        _exit(1);
    }
    while (*(volatile int *)&s->half != 1)
        usleep(1000);
    return pid;
}

static void end_holder(pid_t pid)
{
    int status;

    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
}

START_TEST(gives_up_and_inherits)
{
    struct shared *s = shared();
    pid_t pid = holder(s);

    ck_assert(wr_locked(file, 7));
    ck_assert(!wr_locked(file, 8)); /* each byte is a lock of its own */
    ck_assert(wr_lock(file, 8, 0));
    ck_assert(!wr_lock(file, 7, 0));
    ck_assert(!wr_lock(file, 7, 20));
    memset(s, 0xff, sizeof(*s));
    ck_assert(!wr_lock(file, 7, 0));
    end_holder(pid);
    ck_assert(!wr_locked(file, 7));
    ck_assert(wr_lock(file, 7, 0));
    ck_assert(wr_lock(file, 7, 0)); /* it is ours already */
    wr_unlock(file, 7);
    drop(s);
}
END_TEST

/* The owner is killed while another process waits. */
START_TEST(owner_dies)
{
    struct shared *s = shared();
    pid_t owner = holder(s), waiter = fork();
    int status;

    if (waiter == 0) {
        take();
        s->half = 2;
        _exit(0);
    }
    usleep(20000);
    ck_assert_int_eq(s->half, 1);
    end_holder(owner);
    ck_assert_int_eq(waitpid(waiter, &status, 0), waiter);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(s->half, 2);
    ck_assert(wr_lock(file, 7, 0)); /* its end left it free */
    drop(s);
}
END_TEST

UNIT_MAIN("os/lock", excludes, gives_up_and_inherits, owner_dies)
