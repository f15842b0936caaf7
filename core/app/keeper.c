/* keeper: the process for work that must be done once, not once for each worker. Started by
 * supervise, with the workers' rights. The work is done by the wr_keeper_hooks of the modules: at
 * COMMIT this process becomes the owner of the modules' shared memory, and each hook publishes its
 * module's part; after the death of a process the hooks take back what that process held. The
 * keeper of an earlier generation lives on for a while, but publishes no more. The master asks
 * whether a keeper is alive, and replaces one that does not answer. */
#include "app/app.h"

#include <errno.h>
#include <unistd.h>

/* The counts in shared memory are checked until they are right: LOOKS_MAX times at intervals of
 * LOOK_MS, then every SLOW_MS. */
#define LOOK_MS 10
#define LOOKS_MAX 200
#define SLOW_MS 1000

static struct {
    struct wr_cycle *cycle;
    struct wr_loop *loop;
    struct wr_task count;
    struct wr_timer timer;
    bool committed;
    bool sweep;                  /* before the next check */
    bool again;                  /* sweep again: nobody reports the next death */
    uint64_t swept_ms;
    uint32_t looks;              /* checks since the last death */
    uint64_t run;                /* a random number that names this keeper as the zones' owner */
} me;

/* ---- the modules ---- */

/* The hooks of module i, or a struct of NULLs. */
static const struct wr_keeper_hooks *hooks_of(uint32_t i)
{
    static const struct wr_keeper_hooks none;

    return wr_modules[i]->keeper != NULL ? wr_modules[i]->keeper : &none;
}

void wr_keeper_commit(struct wr_conf *c, uint64_t run, bool learn)
{
    for (uint32_t i = 0; i < wr_modules_count; i++)
        if (hooks_of(i)->commit != NULL)
            hooks_of(i)->commit(c, run, learn);
}

void wr_keeper_start(struct wr_conf *c, struct wr_loop *l)
{
    for (uint32_t i = 0; i < wr_modules_count; i++)
        if (hooks_of(i)->start != NULL)
            hooks_of(i)->start(c, l);
}

void wr_keeper_stop(void)
{
    for (uint32_t i = 0; i < wr_modules_count; i++)
        if (hooks_of(i)->stop != NULL)
            hooks_of(i)->stop();
}

/* Take back what dead processes held, for every generation this process knows. True: processes are
 * just ending, or another master's live, whose deaths nobody reports. */
static bool sweep_all(void)
{
    bool again = false;

    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old)
        for (uint32_t i = 0; i < wr_modules_count; i++)
            if (hooks_of(i)->sweep != NULL)
                again |= hooks_of(i)->sweep(c->conf);
    return again;
}

static bool are_counts_right(void)
{
    bool right = true;

    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old)
        for (uint32_t i = 0; i < wr_modules_count; i++)
            if (hooks_of(i)->look != NULL)
                right &= hooks_of(i)->look(c->conf);
    return right;
}

static bool are_zones_damaged(void)
{
    bool damaged = false;

    for (uint32_t i = 0; i < wr_modules_count; i++)
        if (hooks_of(i)->is_damaged != NULL)
            damaged |= hooks_of(i)->is_damaged(me.cycle->conf);
    return damaged;
}

/* The question may be an old one, from before another keeper became the owner: so the master, which
 * knows the owner, has the last word. */
static void tell_alive(bool owner)
{
    wr_report_send(WR_MSG_ALIVE, 0, "");
    if (owner && me.committed && are_zones_damaged())
        wr_report_send(WR_MSG_DAMAGED, 0, "");
}

/* ---- after a death ---- */

static void begin_checks(void)
{
    me.sweep = true;
    me.looks = 0;
    wr_task_wake(me.loop, &me.count);
}

static void check_counts(struct wr_task *t)
{
    (void)t;
    if (me.sweep) {
        me.again = sweep_all();
        me.swept_ms = wr_now();
    }
    /* Not only when the counts are right: what is left of a dead one may keep them wrong. */
    me.sweep = me.again && wr_now() - me.swept_ms >= SLOW_MS;
    if (!are_counts_right()) {
        wr_timer_set(me.loop, &me.timer, ++me.looks < LOOKS_MAX ? LOOK_MS : SLOW_MS);
    } else if (me.again) {
        me.sweep = true;
        me.looks = 0;
        wr_timer_set(me.loop, &me.timer, SLOW_MS);
    }
}

/* ---- messages and signals ---- */

static void commit_zones(uint32_t number)
{
    const struct wr_child *own = &me.cycle->child[me.cycle->nchildren - 1];
    bool before = me.cycle->resumed || own->committed != 0;

    wr_keeper_commit(me.cycle->conf, me.run, before && !me.committed);
    if (!me.committed)
        wr_keeper_start(me.cycle->conf, me.loop);
    else
        begin_checks(); /* another master has ended, and nobody reports its processes */
    me.committed = true;
    wr_report_send(WR_MSG_COMMITTED, number, "");
}

static void on_message(const struct wr_report *r)
{
    if (r->message == WR_MSG_COMMIT)
        commit_zones(r->number);
    else if (r->message == WR_MSG_DIED)
        begin_checks();
    else if (r->message == WR_MSG_ALIVE)
        tell_alive(r->number != 0);
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

void wr_keeper_run(struct wr_cycle *c, uint32_t slot)
{
    wr_title_set("keeper process");
    wr_process_begin(WR_PROC_KEEPER, c, slot, 0);
    wr_process_settle(c);
    me.cycle = c;
    wr_nat_channel(c->nat_fd[0]);
    me.run = wr_random() | 1;
    me.loop = wr_loop_new(64);
    if (me.loop == NULL) {
        wr_say(WR_LOG_EMERG, errno, "cannot create the event loop of the keeper");
        wr_process_fail();
    }
    me.count.run = check_counts;
    me.timer.task = &me.count;
    wr_loop_on_bell(me.loop, on_bell, NULL);
    if (!wr_messages_listen(me.loop, on_message)) {
        wr_say(WR_LOG_EMERG, errno, "epoll_ctl() of the channel from the master failed");
        wr_process_fail();
    }
    wr_process_ready();
    begin_checks();
    on_bell(0, NULL);
    wr_loop_run(me.loop);
    wr_timer_off(me.loop, &me.timer);
    wr_keeper_stop();
    wr_resolvers_forget();
    wr_loop_free(me.loop);
    wr_master_free();
    if (wr_threads_stuck()) /* the leak check in exit() would wait for them */
        _exit(0);
    exit(0);
}
