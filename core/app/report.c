/* report: what the master and a child say to each other, in records. Opened by supervise before the
 * fork. A child says that it is ready, or why it is not; the keeper is told to commit and says when
 * that is done; workers are told what changed. The master believes nothing but the words: they are
 * bounded, it never waits for them, and a child that says more than it was asked is heard no more.
 *
 * Nothing a child does to its ends may make the master wait. So each direction has an open file of
 * its own for the master, whose flags no child can change (an eventfd is one for both), and the
 * master takes bytes from a pipe: over a socket descriptors can come along, and the last close of
 * a foreign socket may take hours (SO_LINGER). What it says goes over a socket that cannot be
 * answered: a writer of a pipe would wait for the reader's page faults. */
#include "app/app.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPARE_WORDS 8        /* a child may say so many unasked */
#define AT_ONCE 16

static int master_epoll = -1; /* the master's ends of all children */
static struct wr_report_ends child = { -1, -1 }; /* in a child: its own */
static struct {
    struct wr_loop *loop;
    struct wr_watch told;
    struct wr_task hear;
    wr_report_told *on_word;
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
    return master_epoll >= 0 && epoll_ctl(master_epoll, EPOLL_CTL_ADD, ch->report, &ev) == 0;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void wr_report_ends_close(struct wr_report_ends *ends)
{
    close_end(&ends->mouth);
    close_end(&ends->ear);
}

static bool make_ends(struct wr_child *ch, struct wr_report_ends *other)
{
    int up[2], down[2];

    if (pipe2(up, O_DIRECT | O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    ch->report = up[0];
    other->mouth = up[1];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, down) != 0)
        return false;
    ch->tell = down[0];
    other->ear = down[1];
    return shutdown(ch->tell, SHUT_RD) == 0;
}

bool wr_report_open(struct wr_child *ch, struct wr_report_ends *other)
{
    wr_report_close(ch);
    ch->words = 0;
    *other = (struct wr_report_ends){ -1, -1 };
    if (make_ends(ch, other) && watch_end(ch))
        return true;
    wr_report_ends_close(other);
    wr_report_close(ch);
    return false;
}

void wr_report_close(struct wr_child *ch)
{
    /* A child that was forked meanwhile may hold the descriptor: closing is not enough. */
    if (ch->report >= 0)
        (void)epoll_ctl(master_epoll, EPOLL_CTL_DEL, ch->report, NULL);
    close_end(&ch->report);
    close_end(&ch->tell);
}

void wr_report_begin(const struct wr_report_ends *own)
{
    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old) {
        for (uint32_t i = 0; i < c->nchildren; i++) {
            close_end(&c->child[i].report);
            close_end(&c->child[i].tell);
        }
    }
    close_end(&master_epoll);
    child = *own;
}

/* ---- records ---- */

/* 1: a record, 0: none now, -1: never again. */
static int receive_record(int fd, struct wr_report *out)
{
    ssize_t n;

    *out = (struct wr_report){ .word = 0 };
    n = read(fd, out, sizeof(*out) - 1);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return (size_t)n >= offsetof(struct wr_report, text) ? 1 : -1;
}

void wr_report(enum wr_message word, uint32_t number, const char *text)
{
    struct wr_report r = { .word = word, .number = number };
    size_t n = wr_min(strlen(text), sizeof(r.text) - 1);

    memcpy(r.text, text, n);
    if (child.mouth >= 0 && write(child.mouth, &r, offsetof(struct wr_report, text) + n) < 0
        && errno != EPIPE)
        wr_say(WR_LOG_WARN, errno, "the master cannot be told"); /* or it is gone */
}

static void hear_master(struct wr_task *t)
{
    struct wr_report r;
    int got;

    (void)t;
    while ((got = receive_record(child.ear, &r)) > 0)
        me.on_word(&r);
    if (got < 0)
        close_end(&child.ear);
}

static void on_told(struct wr_watch *w, uint32_t events)
{
    (void)w;
    (void)events;
    wr_task_wake(me.loop, &me.hear);
}

bool wr_report_listen(struct wr_loop *l, wr_report_told *heard)
{
    if (child.ear < 0)
        return true;
    me.loop = l;
    me.on_word = heard;
    me.hear.run = hear_master;
    me.told.on_event = on_told;
    return wr_watch_add(l, child.ear, &me.told, EPOLLIN);
}

bool wr_tell_child(struct wr_child *ch, enum wr_message word, uint32_t number)
{
    struct wr_report r = { .word = word, .number = number };

    if (ch->tell < 0 || send(ch->tell, &r, offsetof(struct wr_report, text),
                             MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return false;
    if (ch->kind == WR_PROC_KEEPER)
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
