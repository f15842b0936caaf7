/* report: the channel between the master and a child, in records of struct wr_report. Opened by
 * supervise before the fork. A child reports that it is ready, or why it failed; the keeper gets
 * COMMIT and reports COMMITTED; workers get doorbell bits.
 *
 * The master does not trust a child: records are bounded in size, and a child that sends more of
 * them than it was asked for is not listened to any more. Nothing a child does may make the master
 * wait:
 *   - Each side has an open file of its own, so that a child cannot change the flags of the
 *     master's (a doorbell is one open file for all).
 *   - The master reads from a pipe, not from a socket: a socket can carry descriptors, and the last
 *     close of somebody's socket may take hours (SO_LINGER).
 *   - It writes to a socket that is shut down for reading, not to a pipe: the writer of a pipe
 *     would wait for page faults of the reader. */
#include "app/app.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPARE_REPORTS 8        /* so many reports are accepted without a question */
#define AT_ONCE 16           /* so many children, and reports of each, in one turn */

static int master_epoll = -1; /* watches the pipes of all children */
static struct wr_report_ends child = { -1, -1 }; /* in a child: its own ends */
static struct {
    struct wr_loop *loop;
    struct wr_watch watch;
    struct wr_task task;
    wr_message_handler *on_message;
} me;

int wr_reports_fd(void)
{
    return master_epoll;
}

static bool watch_end(struct wr_child *ch)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = ch };

    if (master_epoll < 0)
        master_epoll = epoll_create1(EPOLL_CLOEXEC);
    return master_epoll >= 0 && epoll_ctl(master_epoll, EPOLL_CTL_ADD, ch->from_child, &ev) == 0;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void wr_report_ends_close(struct wr_report_ends *ends)
{
    close_end(&ends->to_master);
    close_end(&ends->from_master);
}

static bool make_ends(struct wr_child *ch, struct wr_report_ends *other)
{
    int up[2], down[2];

    if (pipe2(up, O_DIRECT | O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    ch->from_child = up[0];
    other->to_master = up[1];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, down) != 0)
        return false;
    ch->to_child = down[0];
    other->from_master = down[1];
    return shutdown(ch->to_child, SHUT_RD) == 0;
}

bool wr_report_open(struct wr_child *ch, struct wr_report_ends *other)
{
    wr_report_close(ch);
    ch->reports = 0;
    *other = (struct wr_report_ends){ -1, -1 };
    if (make_ends(ch, other) && watch_end(ch))
        return true;
    wr_report_ends_close(other);
    wr_report_close(ch);
    return false;
}

void wr_report_close(struct wr_child *ch)
{
    /* Closing alone does not remove it from the epoll: a child forked meanwhile may hold a copy. */
    if (ch->from_child >= 0)
        (void)epoll_ctl(master_epoll, EPOLL_CTL_DEL, ch->from_child, NULL);
    close_end(&ch->from_child);
    close_end(&ch->to_child);
}

void wr_report_begin(const struct wr_report_ends *own)
{
    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old) {
        for (uint32_t i = 0; i < c->nchildren; i++) {
            close_end(&c->child[i].from_child);
            close_end(&c->child[i].to_child);
        }
    }
    close_end(&master_epoll);
    child = *own;
}

/* ---- records ---- */

/* 1: a record; 0: none now; -1: the other side has closed, or sent something else. */
static int receive_record(int fd, struct wr_report *out)
{
    ssize_t n;

    *out = (struct wr_report){ .message = 0 };
    n = read(fd, out, sizeof(*out) - 1);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return (size_t)n >= offsetof(struct wr_report, text) ? 1 : -1;
}

void wr_report_send(enum wr_message m, uint32_t number, const char *text)
{
    struct wr_report r = { .message = m, .number = number };
    size_t n = wr_min(strlen(text), sizeof(r.text) - 1);

    memcpy(r.text, text, n);
    if (child.to_master >= 0 && write(child.to_master, &r, offsetof(struct wr_report, text) + n) < 0
        && errno != EPIPE)
        wr_say(WR_LOG_WARN, errno, "cannot report to the master process");
}

static void take_messages(struct wr_task *t)
{
    struct wr_report r;
    int got;

    (void)t;
    while ((got = receive_record(child.from_master, &r)) > 0)
        me.on_message(&r);
    if (got < 0)
        close_end(&child.from_master);
}

static void on_readable(struct wr_watch *w, uint32_t events)
{
    (void)w;
    (void)events;
    wr_task_wake(me.loop, &me.task);
}

bool wr_messages_listen(struct wr_loop *l, wr_message_handler *handle)
{
    if (child.from_master < 0)
        return true;
    me.loop = l;
    me.on_message = handle;
    me.task.run = take_messages;
    me.watch.on_event = on_readable;
    return wr_watch_add(l, child.from_master, &me.watch, EPOLLIN);
}

bool wr_child_send(struct wr_child *ch, enum wr_message m, uint32_t number)
{
    struct wr_report r = { .message = m, .number = number };

    if (ch->to_child < 0 || send(ch->to_child, &r, offsetof(struct wr_report, text),
                                 MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return false;
    if (ch->kind != WR_PROC_WORKER)
        ch->reports = 0;
    return true;
}

static void take_from(struct wr_child *ch, wr_report_handler *handle)
{
    struct wr_report r;

    for (int i = 0; i < AT_ONCE && ch->from_child >= 0; i++) {
        int got = receive_record(ch->from_child, &r);

        if (got == 0)
            return;
        if (got < 0 || ++ch->reports > SPARE_REPORTS)
            wr_report_close(ch);
        else
            handle(ch, &r);
    }
}

void wr_reports_take(wr_report_handler *handle)
{
    struct epoll_event ev[AT_ONCE];
    int n = master_epoll >= 0 ? epoll_wait(master_epoll, ev, AT_ONCE, 0) : 0;

    for (int i = 0; i < n; i++)
        take_from(ev[i].data.ptr, handle);
}
