/* Accepting: takes connections off the listening sockets this process owns and passes them to their
 * listener. The worker starts it for each socket the owner map gives it. Owns no descriptor but a
 * spare one; refuses clients when there are too many connections (limit), and pauses when the
 * system is out of resources.
 *
 * Listening sockets are watched level triggered, unlike all others: an accept4 that finds no
 * connection allocates and frees a socket, a file and a descriptor (1.2 us), another report by
 * epoll costs a tenth of that. So a turn accepts one connection, and more only while turn after
 * turn finds more. */
#include "event/event_impl.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { BATCH_MAX = 64, GROW_AFTER = 8, REST_MS = 500 };

static struct wr_link watched = { &watched, &watched };
static int spare_fd = -1; /* closed for a moment to refuse a client without descriptors */

static void rest_over(struct wr_task *t);
static struct wr_task rest_task = { .run = rest_over };
static struct wr_timer rest_timer = { .task = &rest_task };

static void set_watching(struct wr_accepting *a, bool on)
{
    /* level triggered: unwanted events would be reported in every turn */
    if (a->paused == !on)
        return;
    if (!wr_watch_change(a->loop, a->fd, &a->watch, on ? (uint32_t)EPOLLIN : 0))
        wr_say(WR_LOG_ALERT, errno, "epoll_ctl() of " WR_FMT " failed", WR_ARG(a->listener->text));
    a->paused = !on;
}

static void resume_all(void)
{
    struct wr_link *k;

    for (k = watched.next; k != &watched; k = k->next) {
        struct wr_accepting *a = wr_container(k, struct wr_accepting, link);

        set_watching(a, true);
        if (a->draining)
            wr_task_wake(a->loop, &a->task);
    }
}

static bool is_resting(void)
{
    return rest_timer.at != 0;
}

static void rest_over(struct wr_task *t)
{
    (void)t;
    if (!is_resting())
        resume_all();
}

static void rest_for_a_while(struct wr_loop *l, int err)
{
    wr_say(WR_LOG_CRIT, err, "accept4() failed, no connections are accepted for %d ms", REST_MS);
    wr_timer_set(l, &rest_timer, REST_MS);
}

/* Two accepts in a row, a turn apart: a handshake may just have been completing at the first. */
void wr_accepting_empty(struct wr_accepting *a)
{
    if (!a->draining)
        return;
    if (++a->empty >= 2)
        a->drained = true;
    else
        wr_task_wake(a->loop, &a->task);
}

/* accept4 fails with EMFILE even when no connection is waiting: ask poll. */
static bool is_waiting(const struct wr_accepting *a)
{
    struct pollfd p = { .fd = a->fd, .events = POLLIN };

    return poll(&p, 1, 0) > 0;
}

static bool refuse_with_spare(struct wr_accepting *a)
{
    struct wr_addr peer;
    int fd;

    if (spare_fd < 0)
        return false;
    close(spare_fd);
    fd = wr_socket_accept(a->fd, &peer);
    if (fd >= 0)
        close(fd);
    spare_fd = eventfd(0, EFD_CLOEXEC);
    return fd >= 0;
}

/* Lets other workers take over; if none has room, closes the client, which needs only the spare
 * descriptor. True: try the next one. */
static bool out_of_files(struct wr_accepting *a)
{
    if (!is_waiting(a)) {
        wr_accepting_empty(a);
        return false;
    }
    if (wr_connections_free_one())
        return true;
    wr_connections_full();
    if (!a->watching)
        return false;
    if (!refuse_with_spare(a)) {
        rest_for_a_while(a->loop, EMFILE);
        return false;
    }
    wr_connections_refused(WR_CLIENT, EMFILE);
    return true;
}

/* True: try the next one. */
static bool accept_failed(struct wr_accepting *a, int err)
{
    switch (err) {
    case EAGAIN:
        wr_accepting_empty(a);
        return false;
    case EMFILE:
        return out_of_files(a);
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        rest_for_a_while(a->loop, err);
        return false;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EFAULT:
        /* the socket was shut down by another process; epoll would report it again and again */
        wr_say(WR_LOG_ALERT, err, "accept4() on " WR_FMT " failed", WR_ARG(a->listener->text));
        wr_watch_del(a->loop, a->fd);
        a->drained = a->draining;
        return false;
    default:
        /* the client has left, or the kernel reports an error of its network */
        return true;
    }
}

static bool accept_one(struct wr_accepting *a)
{
    bool room = wr_connections_room(WR_CLIENT);
    struct wr_addr peer;
    int fd;

    if (!room) {
        wr_connections_full();
        if (!a->watching) /* another worker accepts there now */
            return false;
    }
    fd = wr_socket_accept(a->fd, &peer);
    if (fd < 0)
        return accept_failed(a, errno);
    a->empty = 0;
    if (room) {
        a->listener->accepted(a->listener, fd, &peer);
    } else {
        close(fd);
        wr_connections_refused(WR_CLIENT, 0);
    }
    return true;
}

/* Grows the batch; full_turns counts turns in a row that found a whole batch. */
static void grow_batch(struct wr_accepting *a)
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
        /* the listener's callback may have called wr_accepting_stop */
        if (!a->watching)
            return;
        if (is_resting()) {
            set_watching(a, false);
            return;
        }
        /* the number found now is the best guess for the next turn */
        if (!accept_one(a)) {
            a->batch = (uint8_t)wr_max(i, 1u);
            return;
        }
    }
    grow_batch(a);
    if (a->draining) /* if the queue is empty now, no event would come */
        wr_task_wake(a->loop, &a->task);
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
    a->task.run = a->listener->receive != NULL ? a->listener->receive : accept_some;
    a->draining = a->drained = false;
    a->empty = 0;
    if (a->watching)
        return true;
    if (!wr_watch_add(l, a->fd, &a->watch, EPOLLIN))
        return false;
    if (wr_list_empty(&watched))
        spare_fd = eventfd(0, EFD_CLOEXEC);
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
    wr_task_cancel(&a->task);
    wr_list_remove(&a->link);
    if (!wr_list_empty(&watched))
        return;
    wr_timer_off(a->loop, &rest_timer);
    if (spare_fd >= 0)
        close(spare_fd);
    spare_fd = -1;
}
