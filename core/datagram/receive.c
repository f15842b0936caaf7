/* receive: the task of a listening socket that gets datagrams: reads what waits there, and passes
 * what belongs together to its flow. The worker starts it for each socket the owner map gives it
 * (wr_accepting_start). Level triggered, as all listening sockets. */
#include "datagram/datagram_impl.h"

#include <errno.h>

enum { ROUNDS = 4 };           /* reads in one turn, so that other sockets get their share */

static struct wr_arrivals got;

/* Index behind the last of the trains from i on that one client sent to one address. */
static uint32_t end_of_flow(uint32_t i)
{
    uint32_t j = i + 1;

    while (j < got.n && wr_addr_eq(&got.client[i], &got.client[j])
           && wr_addr_eq(&got.local[i], &got.local[j]))
        j++;
    return j;
}

static void read_failed(struct wr_accepting *a)
{
    switch (errno) {
    case EAGAIN:
        wr_accepting_empty(a);
        return;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EFAULT:
        /* epoll would report it again and again */
        wr_say(WR_LOG_ALERT, errno, "recvmmsg() on " WR_FMT " failed", WR_ARG(a->listener->text));
        wr_accepting_stop(a);
        return;
    default: /* a shortage, or an error of the network: it stays readable, if there is anything */
        if (a->draining)
            wr_task_wake(a->loop, &a->task);
        return;
    }
}

void wr_receive(struct wr_task *t)
{
    struct wr_accepting *a = wr_container(t, struct wr_accepting, task);

    for (unsigned round = 0; round < ROUNDS && a->watching; round++) {
        if (!wr_arrivals_read(a, &got)) {
            read_failed(a);
            return;
        }
        a->empty = 0;
        for (uint32_t i = 0, end; i < got.n; i = end) {
            struct wr_trains l = { &got.train[i], 0 };

            end = end_of_flow(i);
            l.n = end - i;
            wr_flow_arrived(a, &got.client[i], &got.local[i], &l);
        }
        if (got.n < WR_TRAINS)
            break;
    }
    if (a->draining && a->watching) /* if nothing more comes, no event would tell */
        wr_task_wake(a->loop, &a->task);
}
