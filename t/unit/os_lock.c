/* A mutex between processes: it excludes, and whoever dies with it leaves it to the next. */
#include "os/os.h"

#include "lib/unit.h"

#include <sys/mman.h>

struct shared {
    pthread_mutex_t lock;
    long count;
    int half;                /* 1 while somebody is at work */
};

static struct shared *shared(void)
{
    struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                            -1, 0);

    ck_assert_ptr_ne(s, MAP_FAILED);
    wr_lock_init(&s->lock);
    return s;
}

static void drop(struct shared *s)
{
    ck_assert_int_eq(munmap(s, sizeof(*s)), 0);
}

START_TEST(excludes)
{
    struct shared *s = shared();
    int status;

    for (int i = 0; i < 4; i++) {
        if (fork() != 0)
            continue;
        for (int j = 0; j < 20000; j++) {
            wr_lock(&s->lock);
            if (s->half++ != 0)
                _exit(1);
            s->count++;
            s->half--;
            wr_unlock(&s->lock);
        }
        _exit(0);
    }
    for (int i = 0; i < 4; i++) {
        ck_assert_int_gt(wait(&status), 0);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_int_eq(s->count, 80000);
    drop(s);
}
END_TEST

/* Killed at any place, also while others wait. */
START_TEST(owner_dies)
{
    struct shared *s = shared();

    for (int i = 0; i < 3; i++) {
        pid_t owner = fork(), waiter;
        int status;

        if (owner == 0) {
            wr_lock(&s->lock);
            s->half = 1;
            pause();
            _exit(1);
        }
        while (*(volatile int *)&s->half != 1)
            usleep(1000);
        waiter = fork();
        if (waiter == 0) {
            wr_lock(&s->lock);
            s->half = 2;
            wr_unlock(&s->lock);
            _exit(0);
        }
        usleep(20000);
        ck_assert_int_eq(s->half, 1);
        ck_assert_int_eq(kill(owner, SIGKILL), 0);
        ck_assert_int_eq(waitpid(owner, &status, 0), owner);
        ck_assert_int_eq(waitpid(waiter, &status, 0), waiter);
        ck_assert_int_eq(status, 0);
        ck_assert_int_eq(s->half, 2);
        wr_lock(&s->lock); /* and it is a lock like any other */
        s->half = 0;
        wr_unlock(&s->lock);
    }
    drop(s);
}
END_TEST

/* Nobody waits: the next to come finds it. */
START_TEST(owner_died_before)
{
    struct shared *s = shared();
    pid_t owner = fork();

    if (owner == 0) {
        wr_lock(&s->lock);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(owner, NULL, 0), owner);
    for (int i = 0; i < 3; i++) {
        wr_lock(&s->lock);
        wr_unlock(&s->lock);
    }
    drop(s);
}
END_TEST

UNIT_MAIN("lock", excludes, owner_dies, owner_died_before)
