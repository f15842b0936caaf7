/* keeper: the process for work that must be done once, not once for each worker. Started by
 * supervise, with the workers' rights. The work is that of the modules' wr_keeper_hooks: at COMMIT
 * the shared memory of the modules becomes this process' to write, and they publish their part of
 * it; after the death of a process they take back what it held. The keeper of an earlier generation
 * lives on for a while, but publishes no more. The master asks whether a keeper is alive, and
 * replaces one that does not answer. */
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
    bool strangers;              /* processes of another master live */
    uint32_t looks;              /* checks since the last death */
    uint64_t run;                /* a random number that names this keeper as the zones' owner */
} me;

/* ---- the modules ---- */

#define EACH_HOOKS(k) \
    (uint32_t each = 0; each < wr_modules_count; each++) \
        for (const struct wr_keeper_hooks *k = wr_modules[each]->keeper; k != NULL; k = NULL)

void wr_keeper_commit(struct wr_conf *c, uint64_t run, bool learn)
{
    for EACH_HOOKS(k)
        if (k->commit != NULL)
            k->commit(c, run, learn);
}

void wr_keeper_start(struct wr_conf *c, struct wr_loop *l)
{
    for EACH_HOOKS(k)
        if (k->start != NULL)
            k->start(c, l);
}

void wr_keeper_stop(void)
{
    for EACH_HOOKS(k)
        if (k->stop != NULL)
            k->stop();
}

/* Take back what dead processes held, for every generation this process knows. True: processes of
 * another master live, whose deaths nobody reports. */
static bool sweep_all(void)
{
    bool strangers = false;

    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old)
        for EACH_HOOKS(k)
            if (k->sweep != NULL)
                strangers |= k->sweep(c->conf);
    return strangers;
}

/* True: all counts are right. */
static bool look_at_all(void)
{
    bool right = true;

    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old)
        for EACH_HOOKS(k)
            if (k->look != NULL)
                right &= k->look(c->conf);
    return right;
}

static void commit(uint32_t number)
{
    const struct wr_child *own = &me.cycle->child[me.cycle->nchildren - 1];
    bool before = me.cycle->resumed || own->committed != 0;

    wr_keeper_commit(me.cycle->conf, me.run, before && !me.committed);
    if (!me.committed)
        wr_keeper_start(me.cycle->conf, me.loop);
    me.committed = true;
    wr_report(WR_MSG_COMMITTED, number, "");
}

/* ---- after a death ---- */

static void begin_count(void)
{
    me.sweep = true;
    me.looks = 0;
    wr_task_wake(me.loop, &me.count);
}

static void count(struct wr_task *t)
{
    (void)t;
    if (me.sweep)
        me.strangers = sweep_all();
    me.sweep = false;
    if (!look_at_all()) {
        wr_timer_set(me.loop, &me.timer, ++me.looks < LOOKS_MAX ? LOOK_MS : SLOW_MS);
    } else if (me.strangers) { /* look ourselves: nobody reports when one dies */
        me.sweep = true;
        me.looks = 0;
        wr_timer_set(me.loop, &me.timer, SLOW_MS);
    }
}

/* ---- messages and signals ---- */

static void on_told(const struct wr_report *r)
{
    if (r->word == WR_MSG_COMMIT)
        commit(r->number);
    else if (r->word == WR_MSG_DIED)
        begin_count();
    else if (r->word == WR_MSG_ALIVE)
        wr_report(WR_MSG_ALIVE, 0, "");
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
    me.run = wr_random() | 1;
    me.loop = wr_loop_new(64);
    if (me.loop == NULL) {
        wr_say(WR_LOG_EMERG, errno, "cannot create the event loop of the keeper");
        wr_process_fail();
    }
    me.count.run = count;
    me.timer.task = &me.count;
    wr_loop_on_bell(me.loop, on_bell, NULL);
    if (!wr_report_listen(me.loop, on_told)) {
        wr_say(WR_LOG_EMERG, errno, "epoll_ctl() of the channel from the master failed");
        wr_process_fail();
    }
    wr_process_ready();
    begin_count();
    on_bell(0, NULL);
    wr_loop_run(me.loop);
    wr_timer_off(me.loop, &me.timer);
    wr_keeper_stop();
    wr_resolvers_forget();
    wr_loop_free(me.loop);
    wr_master_free();
    exit(0);
}
