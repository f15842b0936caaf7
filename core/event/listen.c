/* Accepting: takes connections off the listening sockets this process owns and hands them to their
 * listener. Started by the worker for each socket the owner map gives it. Owns no descriptor; keeps
 * the count of open connections, and rests when there are too many or no descriptors are left.
 *
 * Listeners are the one thing watched level triggered: an accept4 that finds nothing makes and
 * frees a socket, a file and a descriptor (1.2 us), being told again by epoll costs a tenth of
 * that. So a turn takes one connection, and more only while there are more turn after turn. */
#include "event/inside.h"

#include <errno.h>

enum { BATCH_MAX = 64, GROW_AFTER = 8, REST_MS = 500, WARN_MS = 1000 };

static struct wr_link watched = { &watched, &watched };
static uint32_t connections, connections_max;
static bool (*close_spare)(void);
static bool full;
static uint64_t warned;

static void rest_over(struct wr_task *t);
static struct wr_task rest_task = { .run = rest_over };
static struct wr_timer rest_timer = { .task = &rest_task };

static void watch(struct wr_accepting *a, bool on)
{
    /* level triggered: what we do not want to hear has to be switched off */
    if (a->paused == !on)
        return;
    if (!wr_watch_change(a->loop, a->fd, &a->watch, on ? (uint32_t)EPOLLIN : 0))
        wr_say(WR_LOG_ALERT, errno, "epoll_ctl() of " WR_FMT " failed", WR_ARG(a->listener->text));
    a->paused = !on;
}

static void go_on(void)
{
    struct wr_link *k;

    for (k = watched.next; k != &watched; k = k->next) {
        struct wr_accepting *a = wr_container(k, struct wr_accepting, link);

        watch(a, true);
        if (a->draining)
            wr_task_wake(a->loop, &a->task);
    }
}

static bool resting(void)
{
    return rest_timer.at != 0;
}

static void rest_over(struct wr_task *t)
{
    (void)t;
    if (!resting())
        go_on();
}

static void rest(struct wr_loop *l, int err)
{
    wr_say(WR_LOG_CRIT, err, "accept4() failed, accepting rests for %d ms", REST_MS);
    wr_timer_set(l, &rest_timer, REST_MS);
}

/* Under load one is closed and the next comes in all the time: said once a second. */
static void warn_of_limit(const char *what)
{
    if (warned != 0 && wr_now() - warned < WARN_MS)
        return;
    warned = wr_now();
    wr_say(WR_LOG_WARN, 0, "%u worker_connections are not enough%s", connections_max, what);
}

/* Closes what nobody uses until there are at most so many. */
static void make_room(uint32_t most)
{
    while (connections > most && close_spare != NULL && close_spare())
        warn_of_limit(", reusing connections");
}

static bool at_limit(void)
{
    if (connections_max == 0 || connections < connections_max)
        return false;
    make_room(connections_max - 1);
    full = connections >= connections_max;
    if (full)
        warn_of_limit("");
    return full;
}

void wr_accepting_limit(uint32_t max_connections)
{
    connections_max = max_connections;
    wr_connections_add(0);
}

void wr_connections_add(int delta)
{
    connections += (uint32_t)delta;
    if (delta > 0 && connections_max > 0)
        make_room(connections_max);
    if (full && (connections_max == 0 || connections < connections_max)) {
        full = false;
        go_on();
    }
}

void wr_connections_spare(bool (*close_one)(void))
{
    close_spare = close_one;
}

void wr_connections_idle(void)
{
    if (!full || close_spare == NULL)
        return;
    full = false;
    go_on();
}

uint32_t wr_connections(void)
{
    return connections;
}

/* Twice, with a turn between: the handshake of a connection may just have been ending. */
static void found_nothing(struct wr_accepting *a)
{
    if (!a->draining)
        return;
    if (++a->empty >= 2)
        a->drained = true;
    else
        wr_task_wake(a->loop, &a->task);
}

/* True: try the next one. */
static bool accept_failed(struct wr_accepting *a, int err)
{
    switch (err) {
    case EAGAIN:
        found_nothing(a);
        return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        rest(a->loop, err);
        return false;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EFAULT:
        /* somebody shut it down under us; it would be reported again and again */
        wr_say(WR_LOG_ALERT, err, "accept4() on " WR_FMT " failed", WR_ARG(a->listener->text));
        wr_watch_del(a->loop, a->fd);
        a->drained = a->draining;
        return false;
    default:
        /* the client is gone already, or the kernel reports an error of its network */
        return true;
    }
}

static bool accept_one(struct wr_accepting *a)
{
    struct wr_addr peer;
    int fd = wr_socket_accept(a->fd, &peer);

    if (fd < 0)
        return accept_failed(a, errno);
    a->empty = 0;
    a->listener->accepted(a->listener, fd, &peer);
    return true;
}

/* full_turns counts turns in a row whose whole batch was there. */
static void grow(struct wr_accepting *a)
{
    uint64_t turn = wr_loop_turns(a->loop);

    a->full_turns = (uint8_t)(turn == a->last_turn + 1 ? a->full_turns + 1 : 0);
    a->last_turn = turn;
    if (a->full_turns < GROW_AFTER)
        return;
    a->full_turns = 0;
    a->batch = (uint8_t)wr_min(2 * a->batch, BATCH_MAX);
}

static void accept_some(struct wr_task *t)
{
    struct wr_accepting *a = wr_container(t, struct wr_accepting, task);

    for (unsigned i = 0; i < a->batch; i++) {
        /* the listener's callback may have stopped it */
        if (!a->watching)
            return;
        if (resting() || at_limit()) {
            watch(a, false);
            return;
        }
        /* as many as there were is the best guess for the next turn */
        if (!accept_one(a)) {
            a->batch = (uint8_t)wr_max(i, 1u);
            return;
        }
    }
    grow(a);
}

static void on_event(struct wr_watch *w, uint32_t events)
{
    struct wr_accepting *a = wr_container(w, struct wr_accepting, watch);

    (void)events;
    wr_task_wake(a->loop, &a->task);
}

bool wr_accepting_start(struct wr_loop *l, struct wr_accepting *a)
{
    a->loop = l;
    a->watch.on_event = on_event;
    a->task.run = accept_some;
    a->draining = a->drained = false;
    a->empty = 0;
    if (a->watching)
        return true;
    if (!wr_watch_add(l, a->fd, &a->watch, EPOLLIN))
        return false;
    wr_list_push(&watched, &a->link);
    a->watching = true;
    a->paused = false;
    a->batch = 1;
    return true;
}

void wr_accepting_drain(struct wr_accepting *a)
{
    WR_ASSERT(a->watching);
    a->draining = true;
    a->drained = false;
    a->empty = 0;
    a->batch = BATCH_MAX;
    wr_task_wake(a->loop, &a->task);
}

void wr_accepting_stop(struct wr_accepting *a)
{
    if (!a->watching)
        return;
    a->watching = false;
    wr_watch_del(a->loop, a->fd);
    wr_task_cancel(a->loop, &a->task);
    wr_list_remove(&a->link);
    if (wr_list_empty(&watched))
        wr_timer_off(a->loop, &rest_timer);
}
