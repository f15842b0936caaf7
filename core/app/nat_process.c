/* nat_process: the child that speaks to the kernel for `forward nat`: CAP_NET_ADMIN is all that it
 * may do more than a worker. Started by supervise where the configuration has such servers. At
 * COMMIT it writes the rules; its end at SIGQUIT or SIGTERM removes them, unless another generation
 * has written its own meanwhile. The work is in core/nat. */
#include "app/app.h"

#include <errno.h>
#include <unistd.h>

static struct {
    struct wr_cycle *cycle;
    struct wr_loop *loop;
} me;

static void tell_committed(uint32_t number)
{
    wr_report_send(WR_MSG_COMMITTED, number, "");
}

static void tell_failed(const char *why)
{
    wr_report_send(WR_MSG_FAILED, 0, why);
}

static void stop_loop(void)
{
    wr_loop_stop(me.loop);
}

static void on_message(const struct wr_report *r)
{
    if (r->message == WR_MSG_COMMIT)
        wr_nat_commit(r->number);
}

/* The master was killed: what the kernel forwards goes on without weir. */
static bool is_orphan(void)
{
    return getppid() != wr_master.pid;
}

static void on_bell(uint32_t bits, void *arg)
{
    const struct wr_limit *most = &wr_core_of(me.cycle->conf)->shutdown_timeout;
    struct wr_signals *s = &wr_signals;

    (void)bits;
    (void)arg;
    if (s->usr1) {
        s->usr1 = 0;
        wr_sink_reopen_all((uid_t)-1);
    }
    if ((s->term || s->quit || s->winch) && is_orphan()) {
        wr_loop_stop(me.loop);
    } else if (s->term) {
        wr_nat_stop();
    } else if (s->quit || s->winch) {
        s->quit = s->winch = 0;
        wr_nat_quit(most->set ? most->value : 0);
    }
}

static bool begin_work(void)
{
    static const struct wr_nat_told told = { tell_committed, tell_failed, stop_loop };
    const struct wr_cycle *c = me.cycle;

    me.loop = wr_loop_new(64);
    if (me.loop == NULL) {
        wr_say(WR_LOG_EMERG, errno, "cannot create the event loop of the nat process");
        return false;
    }
    wr_loop_on_bell(me.loop, on_bell, NULL);
    if (!wr_messages_listen(me.loop, on_message)) {
        wr_say(WR_LOG_EMERG, errno, "epoll_ctl() of the channel from the master failed");
        return false;
    }
    return wr_nat_begin(&(struct wr_nat_start){
        .conf = c->conf, .loop = me.loop, .keeper = c->nat_fd[1], .generation = c->generation,
        .instance = wr_core_of(c->conf)->pid.p, .run = c->run, .told = &told });
}

void wr_nat_run(struct wr_cycle *c, uint32_t slot)
{
    wr_title_set("nat process");
    wr_process_begin(WR_PROC_NAT, c, slot, 0);
    wr_process_settle(c);
    me.cycle = c;
    if (!begin_work())
        wr_process_fail();
    wr_process_ready();
    on_bell(0, NULL);
    wr_loop_run(me.loop);
    wr_nat_free();
    wr_loop_free(me.loop);
    wr_master_free();
    exit(0);
}

/* ---- the channel from the keeper ---- */

bool wr_nat_channel_open(struct wr_cycle *c)
{
    c->run = wr_random();
    return !wr_nat_wanted(c->conf)
        || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, c->nat_fd) == 0;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void wr_nat_channel_close(struct wr_cycle *c)
{
    close_end(&c->nat_fd[0]);
    close_end(&c->nat_fd[1]);
}

void wr_nat_channel_keep(const struct wr_cycle *own)
{
    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old) {
        if (c != own || wr_self.kind != WR_PROC_KEEPER)
            close_end(&c->nat_fd[0]);
        if (c != own || wr_self.kind != WR_PROC_NAT)
            close_end(&c->nat_fd[1]);
    }
}
