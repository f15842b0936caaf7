/* Slots and doorbells. */
#include "os/os.h"

#include "lib/unit.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

static bool rung(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

/* Takes the slot for this process. One of another generation would be woken by a signal. */
static void settle(uint32_t slot, enum wr_kind kind, uint32_t generation)
{
    struct wr_slot *s = &wr_self.run->slot[slot];

    wr_self.generation = generation;
    atomic_store(&s->pid, (int32_t)getpid());
    atomic_store(&s->kind, (uint32_t)kind);
    atomic_store(&s->generation, generation);
    wr_self.bell_of[slot] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
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
    ck_assert(!rung(wr_self.bell_of[3]));
    wr_ring(3, WR_BELL_LISTEN);
    ck_assert_uint_eq(wr_bell_take(), WR_BELL_TRACE | WR_BELL_LISTEN);
    ck_assert_uint_eq(wr_bell_take(), 0);
    atomic_store(&wr_self.run->slot[3].asleep, 1);
    wr_ring(3, WR_BELL_LISTEN);
    ck_assert(rung(wr_self.bell_of[3]));
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

/* As os.h demands: asleep = 1, then check the bell once more. */
static bool sleep_for_bell(struct wr_slot *s, int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    uint64_t n;
    int ready = 1;

    atomic_store(&s->asleep, 1);
    if (atomic_load(&s->bell) == 0)
        ready = poll(&p, 1, 5000);
    atomic_store(&s->asleep, 0);
    (void)!read(fd, &n, sizeof(n));
    return ready == 1;
}

START_TEST(no_ring_is_lost)
{
    enum { ROUNDS = 20000 };
    struct wr_run *run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid;
    int status;

    wr_self_init();
    wr_self.run = run;
    settle(0, WR_PROC_WORKER, 1);
    settle(1, WR_PROC_KEEPER, 1);
    pid = fork();
    /* Ping pong: a lost ring stops both. */
    wr_self.slot = pid == 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (pid != 0)
            wr_ring(1, 1);
        while (wr_bell_take() == 0) {
            if (!sleep_for_bell(&run->slot[wr_self.slot], wr_self.bell_of[wr_self.slot])) {
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

UNIT_MAIN("os/doorbell", before_the_master, rings_only_the_sleeper, no_such_slot, no_ring_is_lost)
