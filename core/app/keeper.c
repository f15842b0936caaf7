/* keeper: the process for all work that must happen once, not once for each worker: asking for the
 * names of servers again. Started by supervise. There is one at a time: that of the next generation
 * waits for the robust lock of the one before, which the kernel frees if that one dies. */
#include "app/app.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LOCK_LOOK_MS 50

static struct {
    struct wr_cycle *cycle;
    struct wr_loop *loop;
    struct wr_task try_lock;
    struct wr_timer timer;
    struct wr_watch told;
    struct wr_task hear;
    bool locked;
} me;

/* What the dead keeper was writing is written anew by the next answer. */
static bool lock(void)
{
    pthread_mutex_t *m = &wr_master.common->keeper;
    int err = pthread_mutex_trylock(m);

    if (err == EOWNERDEAD)
        err = pthread_mutex_consistent(m);
    return err == 0;
}

static void try_lock(struct wr_task *t)
{
    (void)t;
    if (me.locked)
        return;
    me.locked = lock();
    if (me.locked)
        wr_names_keep(me.cycle->conf, me.loop);
    else
        wr_timer_set(me.loop, &me.timer, LOCK_LOOK_MS);
}

/* ---- the master's words ---- */

static void on_told(struct wr_watch *w, uint32_t events)
{
    (void)w;
    (void)events;
    wr_task_wake(me.loop, &me.hear);
}

static void hear_master(struct wr_task *t)
{
    int fd = wr_report_fd();
    struct wr_report r;

    (void)t;
    while (wr_report_hear(&r)) {
        if (r.word != WR_MSG_COMMIT)
            continue;
        wr_upstreams_commit(me.cycle->conf);
        wr_report(WR_MSG_COMMITTED, r.number, "");
        wr_task_wake(me.loop, &me.try_lock);
    }
    if (fd != wr_report_fd()) /* closed: the kernel has forgotten it */
        wr_say(WR_LOG_NOTICE, 0, "the master is gone");
}

static void hear_from_master(void)
{
    me.hear.run = hear_master;
    me.told.on_event = on_told;
    if (wr_report_fd() >= 0 && !wr_watch_add(me.loop, wr_report_fd(), &me.told, EPOLLIN)) {
        wr_say(WR_LOG_EMERG, errno, "epoll_ctl() of the master's words failed");
        exit(2);
    }
    wr_report(WR_MSG_READY, 0, "");
}

static void on_bell(uint32_t bits, void *arg)
{
    struct wr_signals *s = &wr_signals;

    (void)bits;
    (void)arg;
    if (s->usr1) {
        s->usr1 = 0;
        wr_sink_reopen_all((uid_t)-1);
    }
    if (s->term || s->quit || s->winch)
        wr_loop_stop(me.loop);
}

static void close_listeners(const struct wr_conf *c)
{
    for (struct wr_listener *l = wr_conf_listens(c)->first; l != NULL; l = l->next) {
        for (uint32_t i = 0; i < l->nfds; i++)
            close(l->fds[i].fd);
    }
}

void wr_keeper_run(struct wr_cycle *c, uint32_t slot)
{
    wr_title_set("keeper process");
    wr_process_begin(WR_PROC_KEEPER, c, slot, 0);
    wr_process_settle(c);
    close_listeners(c->conf);
    me.cycle = c;
    me.loop = wr_loop_new(64);
    if (me.loop == NULL) {
        wr_say(WR_LOG_EMERG, errno, "no event loop in the keeper");
        exit(2);
    }
    me.try_lock.run = try_lock;
    me.timer.task = &me.try_lock;
    wr_loop_on_bell(me.loop, on_bell, NULL);
    hear_from_master();
    on_bell(0, NULL);
    wr_loop_run(me.loop);
    wr_timer_off(me.loop, &me.timer);
    if (me.locked) {
        wr_names_drop();
        wr_resolvers_forget();
        pthread_mutex_unlock(&wr_master.common->keeper);
    }
    wr_loop_free(me.loop);
    wr_master_free();
    exit(0);
}
