/* report: what the master and a child say to each other, in records over a socket pair of their
 * own. Opened by supervise before the fork. A child says that it is ready, or why it is not; the
 * keeper is told to commit and says when that is done. The master believes nothing but the words:
 * they are bounded, it never waits for them, and a child that says more than it was asked is heard
 * no more. */
#include "app/app.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPARE_WORDS 8        /* a child may say so many unasked */
#define AT_ONCE 16

static int master_epoll = -1; /* the master's ends of all children */
static int child_end = -1;    /* in a child: its own */

int wr_reports_fd(void)
{
    return master_epoll;
}

static bool watch_end(struct wr_child *ch)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = ch };

    if (master_epoll < 0)
        master_epoll = epoll_create1(EPOLL_CLOEXEC);
    return master_epoll >= 0 && epoll_ctl(master_epoll, EPOLL_CTL_ADD, ch->report, &ev) == 0;
}

bool wr_report_open(struct wr_child *ch, int *other)
{
    int fd[2];

    wr_report_close(ch);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) != 0)
        return false;
    ch->report = fd[0];
    ch->words = 0;
    *other = fd[1];
    if (watch_end(ch))
        return true;
    (void)close(fd[1]);
    wr_report_close(ch);
    return false;
}

void wr_report_close(struct wr_child *ch)
{
    if (ch->report < 0)
        return;
    /* A child that was forked meanwhile may hold the descriptor: closing is not enough. */
    (void)epoll_ctl(master_epoll, EPOLL_CTL_DEL, ch->report, NULL);
    (void)close(ch->report);
    ch->report = -1;
}

void wr_report_begin(int own)
{
    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old) {
        for (uint32_t i = 0; i < c->nchildren; i++) {
            if (c->child[i].report >= 0)
                (void)close(c->child[i].report);
            c->child[i].report = -1;
        }
    }
    if (master_epoll >= 0)
        (void)close(master_epoll);
    master_epoll = -1;
    child_end = own;
}

int wr_report_fd(void)
{
    return child_end;
}

/* ---- records ---- */

static bool send_record(int fd, enum wr_message word, uint32_t number, const char *text)
{
    struct wr_report r = { .word = word, .number = number };
    size_t n = wr_min(strlen(text), sizeof(r.text) - 1);

    memcpy(r.text, text, n);
    return fd >= 0
        && send(fd, &r, offsetof(struct wr_report, text) + n, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

/* 1: a record, 0: none now, -1: never again. */
static int receive_record(int fd, struct wr_report *out)
{
    ssize_t n;

    *out = (struct wr_report){ .word = 0 };
    n = recv(fd, out, sizeof(*out) - 1, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return (size_t)n >= offsetof(struct wr_report, text) ? 1 : -1;
}

void wr_report(enum wr_message word, uint32_t number, const char *text)
{
    if (child_end >= 0 && !send_record(child_end, word, number, text) && errno != EPIPE)
        wr_say(WR_LOG_WARN, errno, "the master cannot be told"); /* or it is gone */
}

bool wr_report_hear(struct wr_report *out)
{
    int r = child_end >= 0 ? receive_record(child_end, out) : 0;

    if (r < 0) {
        (void)close(child_end);
        child_end = -1;
    }
    return r > 0;
}

bool wr_tell_keeper(struct wr_child *ch, enum wr_message word, uint32_t number)
{
    if (!send_record(ch->report, word, number, ""))
        return false;
    ch->words = 0;
    return true;
}

static void take_from(struct wr_child *ch, wr_report_heard *heard)
{
    struct wr_report r;

    for (int i = 0; i < AT_ONCE && ch->report >= 0; i++) {
        int got = receive_record(ch->report, &r);

        if (got == 0)
            return;
        if (got < 0 || ++ch->words > SPARE_WORDS)
            wr_report_close(ch);
        else
            heard(ch, &r);
    }
}

void wr_reports_take(wr_report_heard *heard)
{
    struct epoll_event ev[AT_ONCE];
    int n = master_epoll >= 0 ? epoll_wait(master_epoll, ev, AT_ONCE, 0) : 0;

    for (int i = 0; i < n; i++)
        take_from(ev[i].data.ptr, heard);
}
