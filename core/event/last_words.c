/* last_words: sends the last message of a connection that is being closed (a TLS alert,
 * close_notify) when its socket is full. Transports call wr_last_words from wr_conn_close. Owns the
 * descriptor from then on: it sends the rest as soon as there is room and closes it then, or after
 * 5 s, or when the loop ends. */
#include "event/event_impl.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAIT_MS = 5000, AT_MOST = 64 };

struct last_words {
    struct wr_watch watch;    /* first */
    struct wr_link link;
    struct wr_task task;
    struct wr_timer deadline;
    struct wr_doomed doomed;
    struct wr_loop *loop;
    int fd;
    size_t n;
    char text[WR_LAST_WORDS];
};

/* False: all of it is sent, or cannot be sent. */
static bool send_left(int fd, char *p, size_t *n)
{
    ssize_t r;

    do {
        r = send(fd, p, *n, MSG_NOSIGNAL);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return errno == EAGAIN;
    *n -= (size_t)r;
    memmove(p, p + r, *n);
    return *n > 0;
}

static void words_free(struct wr_doomed *d)
{
    free(wr_container(d, struct last_words, doomed));
}

static void end_words(struct last_words *w)
{
    wr_timer_off(w->loop, &w->deadline);
    wr_task_cancel(&w->task);
    wr_list_remove(&w->link);
    w->loop->nlast_words--;
    close(w->fd);
    wr_condemn(w->loop, &w->doomed);
}

static void words_run(struct wr_task *t)
{
    struct last_words *w = wr_container(t, struct last_words, task);

    if (!send_left(w->fd, w->text, &w->n) || w->deadline.fired)
        end_words(w);
}

static void on_event(struct wr_watch *watch, uint32_t events)
{
    struct last_words *w = wr_container(watch, struct last_words, watch);

    (void)events;
    wr_task_wake(w->loop, &w->task);
}

static bool watch_room(const struct wr_conn *c, struct last_words *w)
{
    const uint32_t events = EPOLLOUT | EPOLLET;

    return c->registered ? wr_watch_change(c->loop, c->fd, &w->watch, events)
                         : wr_watch_add(c->loop, c->fd, &w->watch, events);
}

void wr_last_words(struct wr_conn *c, const char *p, size_t n)
{
    struct last_words *w;

    WR_ASSERT(n <= WR_LAST_WORDS);
    if (c->loop->nlast_words == AT_MOST)
        return;
    w = wr_calloc(1, sizeof(*w));
    memcpy(w->text, p, n);
    w->n = n;
    /* try at once: the socket may not be full, only chaos may have said so */
    if (!send_left(c->fd, w->text, &w->n) || !watch_room(c, w)) {
        free(w);
        return;
    }
    w->watch.on_event = on_event;
    w->task.run = words_run;
    w->deadline.task = &w->task;
    w->doomed.free = words_free;
    w->loop = c->loop;
    w->fd = c->fd;
    c->fd = -1;
    wr_list_push(&w->loop->last_words, &w->link);
    w->loop->nlast_words++;
    wr_timer_set(w->loop, &w->deadline, WAIT_MS);
}

void wr_last_words_drop(struct wr_loop *l)
{
    while (!wr_list_empty(&l->last_words))
        end_words(wr_container(l->last_words.next, struct last_words, link));
}
