/* Slots and doorbells. */
#include "os/os.h"

#include "lib/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

static bool rung(int fd, int wait_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, wait_ms) == 1;
}

/* Takes the slot for this process. One of another generation would be woken by a signal. */
static void settle(uint32_t slot, enum wr_kind kind, uint32_t generation)
{
    struct wr_slot *s = &wr_self.run->slot[slot];

    wr_self.generation = generation;
    atomic_store(&s->pid, (int32_t)getpid());
    atomic_store(&s->kind, (uint32_t)kind);
    atomic_store(&s->generation, generation);
    wr_self.bell_of[slot] = wr_bell_new();
}

START_TEST(before_the_master)
{
    wr_self_init();
    ck_assert_ptr_nonnull(wr_self.run);
    ck_assert_uint_eq(wr_self.slot, WR_SLOT_NONE);
    ck_assert_uint_eq(wr_bell_take(), 0);
    ck_assert_int_eq(wr_self.bell_of[7], -1);
    wr_ring(7, WR_BELL_TRACE); /* a slot without a process: no effect */
}
END_TEST

START_TEST(rings_only_the_sleeper)
{
    wr_self_init();
    settle(3, WR_PROC_WORKER, 1);
    wr_self.slot = 3;
    wr_ring(3, WR_BELL_TRACE);
    ck_assert(!rung(wr_self.bell_of[3], 0));
    wr_ring(3, WR_BELL_LISTEN);
    ck_assert_uint_eq(wr_bell_take(), WR_BELL_TRACE | WR_BELL_LISTEN);
    ck_assert_uint_eq(wr_bell_take(), 0);
    atomic_store(&wr_self.run->slot[3].asleep, 1);
    wr_ring(3, WR_BELL_LISTEN);
    ck_assert(rung(wr_self.bell_of[3], 5000));
    ck_assert_uint_eq(wr_bell_take(), WR_BELL_LISTEN);
}
END_TEST

static void ring_beyond(void *arg)
{
    (void)arg;
    wr_ring(WR_SLOTS, 1);
}

START_TEST(no_such_slot)
{
    wr_self_init();
    ck_assert(unit_aborts(ring_beyond, NULL));
}
END_TEST

static int watch_bell(int fd)
{
    struct epoll_event e = { .events = EPOLLIN | EPOLLET };
    int epfd = epoll_create1(EPOLL_CLOEXEC);

    ck_assert_int_eq(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e), 0);
    return epfd;
}

/* Whatever another process has done to it: it was rung before, nobody reads, a call could wait. */
START_TEST(no_ring_waits)
{
    struct epoll_event e;
    int epfd;

    wr_self_init();
    settle(3, WR_PROC_WORKER, 1);
    wr_self.bell_fd = wr_self.bell_of[3];
    epfd = watch_bell(wr_self.bell_fd);
    ck_assert_int_eq(fcntl(wr_self.bell_fd, F_SETFL, 0), 0); /* not O_NONBLOCK */
    atomic_store(&wr_self.run->slot[3].asleep, 1);
    for (unsigned i = 0; i < 1000; i++) {
        if (i % 2 == 0)
            wr_ring(3, WR_BELL_QUEUE);
        else
            wr_bell_self();
        ck_assert_msg(epoll_wait(epfd, &e, 1, 5000) == 1, "ring %u is an edge", i);
    }
    for (unsigned i = 0; i < 100000; i++)
        wr_ring(3, WR_BELL_QUEUE);
    (void)close(epfd);
}
END_TEST

static void count_signal(int sig)
{
    (void)sig;
    atomic_fetch_add(&wr_self.run->slot[9].beat_ms, 1);
}

static void live_in_slot(uint32_t slot)
{
    sigset_t none;

    sigemptyset(&none);
    signal(WR_SIGBELL, count_signal);
    if (!wr_lock(wr_self.run_fd, slot, 5000))
        _exit(1);
    atomic_store(&wr_self.run->slot[slot].asleep, 1);
    while (atomic_load(&wr_self.run->slot[9].beat_ms) == 0)
        (void)poll(NULL, 0, 10);
    _exit(0);
}

/* The slot says who: another generation, or somebody whose bell we do not have. The process that
 * holds the lock gets a signal; the pid in the slot is not believed. */
START_TEST(a_stranger_gets_a_signal)
{
    struct wr_run *run;
    int status;
    pid_t pid;

    wr_self_init();
    wr_self.run_fd = memfd_create("run", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(wr_self.run_fd, sizeof(*run)), 0);
    run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_SHARED, wr_self.run_fd, 0);
    wr_self.run = run;
    wr_self.generation = 1;
    for (uint32_t slot = 4; slot < 6; slot++) {
        settle(slot, WR_PROC_WORKER, slot);
        atomic_store(&run->slot[9].beat_ms, 0);
        if (slot == 5)
            wr_self.bell_of[slot] = -1;
        else
            wr_self.generation = 77;
        atomic_store(&run->slot[slot].asleep, 1);
        wr_ring(slot, WR_BELL_PEERS); /* nobody lives there: no effect, though our pid is there */
        atomic_store(&run->slot[slot].asleep, 0);
        pid = fork();
        if (pid == 0)
            live_in_slot(slot);
        while (atomic_load(&run->slot[slot].asleep) == 0)
            (void)poll(NULL, 0, 1);
        wr_ring(slot, WR_BELL_PEERS);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
    }
    (void)close(wr_self.run_fd);
}
END_TEST

/* As os.h demands: asleep = 1, then check the bell once more. */
static bool sleep_for_bell(struct wr_slot *s, int epfd)
{
    struct epoll_event e;
    int ready = 1;

    atomic_store(&s->asleep, 1);
    if (atomic_load(&s->bell) == 0)
        ready = epoll_wait(epfd, &e, 1, 5000);
    atomic_store(&s->asleep, 0);
    return ready == 1;
}

START_TEST(no_ring_is_lost)
{
    enum { ROUNDS = 20000 };
    struct wr_run *run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid;
    int status, epfd;

    wr_self_init();
    wr_self.run = run;
    settle(0, WR_PROC_WORKER, 1);
    settle(1, WR_PROC_KEEPER, 1);
    pid = fork();
    /* Ping pong: a lost ring stops both. */
    wr_self.slot = pid == 0;
    epfd = watch_bell(wr_self.bell_of[wr_self.slot]);
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (pid != 0)
            wr_ring(1, 1);
        while (wr_bell_take() == 0) {
            if (!sleep_for_bell(&run->slot[wr_self.slot], epfd)) {
                ck_assert_msg(pid == 0, "slept on in round %u", i);
                _exit(1);
            }
        }
        if (pid == 0)
            wr_ring(0, 1);
    }
    if (pid == 0)
        _exit(0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

UNIT_MAIN("os/doorbell", before_the_master, rings_only_the_sleeper, no_such_slot, no_ring_waits,
          a_stranger_gets_a_signal, no_ring_is_lost)
