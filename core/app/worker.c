/* worker: a process that accepts clients and serves them in its event loop. Started by supervise;
 * with master_process off, run by the master as the only process. This file has its start, its
 * reactions to signals and messages, and its end. */
#include "app/app.h"

#include <errno.h>
#include <unistd.h>

#define DRAIN_LOOK_MS 5
#define USED_LOOK_MS 100
#define SLOW_MS 1000 /* WR_OWNER_SLOW: a handshake, with its first SYN repeated once */
#define DEAF_MS 100  /* WR_OWNER_MOVED: a handshake that has begun */

static struct {
    struct wr_cycle *cycle;
    struct wr_loop *loop;
    bool quitting, graceful;
    uint32_t draining;           /* sockets to be emptied and closed */
    uint64_t quit_ms;
    struct wr_task look, late;
    struct wr_timer look_timer, late_timer;
} me;

/* The listening socket that follows `a` (NULL: the first one), through all listeners of the
 * configuration. NULL: there are no more. */
static struct wr_accepting *next_accepting(struct wr_accepting *a)
{
    struct wr_listener *l = a != NULL ? a->listener : wr_conf_listens(me.cycle->conf)->first;

    if (a != NULL && ++a < l->fds + l->nfds)
        return a;
    if (a != NULL)
        l = l->next;
    while (l != NULL && l->nfds == 0)
        l = l->next;
    return l != NULL ? l->fds : NULL;
}

/* ---- the owner map ---- */

static uint32_t owner_of(const struct wr_accepting *a)
{
    return atomic_load(&me.cycle->shared_owner[a->share]);
}

/* Returns how many of the workers have room. */
static uint32_t look_at_full(bool *full)
{
    uint32_t room = 0;

    for (uint32_t i = 0; i < me.cycle->workers; i++) {
        full[i] = atomic_load(&me.cycle->full[i]) != 0;
        room += !full[i];
    }
    return room;
}

static void follow_owner_map(void)
{
    static const bool none[WR_WORKERS_MAX];
    bool full[WR_WORKERS_MAX];

    (void)look_at_full(full);
    for (struct wr_accepting *a = NULL; (a = next_accepting(a)) != NULL;) {
        uint32_t owner = owner_of(a) & ~WR_OWNER_BITS;
        bool keeps = a->listener->opts.type == SOCK_DGRAM; /* sessions stay with their worker */

        if (!wr_worker_may_accept(owner, wr_self.index, me.cycle->workers, keeps ? none : full))
            wr_accepting_stop(a);
        else if (!a->watching && !wr_accepting_start(me.loop, a))
            wr_say(WR_LOG_ALERT, errno, "accepting on " WR_FMT " failed",
                   WR_ARG(a->listener->text));
    }
}

/* Tell the other workers: one with room accepts on our sockets until there is room here again. */
static void set_full(bool full)
{
    bool each[WR_WORKERS_MAX];

    if (me.quitting)
        return;
    atomic_store(&me.cycle->full[wr_self.index], full);
    if (full && look_at_full(each) > 0)
        wr_say(WR_LOG_WARN, 0, "no room for more clients, other workers accept them");
    for (uint32_t i = 0; i < me.cycle->nchildren; i++)
        if (me.cycle->child[i].kind == WR_PROC_WORKER)
            wr_ring(me.cycle->child[i].slot, WR_BELL_LISTEN);
    follow_owner_map();
}

/* ---- the end ---- */

static void stop_if_done(void)
{
    if (me.draining == 0 && wr_sessions_live() == 0)
        wr_loop_stop(me.loop);
}

static void sessions_ended(void *arg)
{
    (void)arg;
    stop_if_done();
}

static void let_go(struct wr_accepting *a)
{
    wr_accepting_stop(a);
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
}

/* True: handshakes that have begun still need this socket, because closing it would reset them. The
 * kernel prefers a specific address to a wildcard as long as that socket is open, so the master has
 * stopped new handshakes on it (wr_sockets_hand_over). */
static bool must_wait(const struct wr_accepting *a)
{
    uint32_t owner = owner_of(a);

    if ((owner & WR_OWNER_SLOW) != 0)
        return wr_now() < me.quit_ms + SLOW_MS;
    return (owner & WR_OWNER_MOVED) != 0 && wr_now() < me.quit_ms + DEAF_MS;
}

static void look_at_draining(struct wr_task *t)
{
    uint32_t used = 0; /* sockets that only wait for the end of their sessions */

    (void)t;
    for (struct wr_accepting *a = NULL; (a = next_accepting(a)) != NULL;) {
        bool wait = must_wait(a);

        used += a->draining && a->drained && a->watching && a->users > 0;
        if (a->draining && a->drained && a->watching && !wait && a->users == 0) {
            let_go(a);
            me.draining--;
        }
    }
    if (me.draining > 0)
        wr_timer_set(me.loop, &me.look_timer, me.draining > used ? DRAIN_LOOK_MS : USED_LOOK_MS);
    stop_if_done();
}

/* Stop accepting on addresses that other processes go on serving. Empty the queues of dropped
 * addresses or, if the master was killed, of all addresses, since nobody else will. */
static void leave_listeners(void)
{
    bool orphan = wr_self.kind == WR_PROC_SINGLE || getppid() != wr_master.pid;

    for (struct wr_accepting *a = NULL; (a = next_accepting(a)) != NULL;) {
        bool gone = orphan || (owner_of(a) & WR_OWNER_GONE) != 0;

        if (a->watching && gone) {
            wr_accepting_drain(a);
            me.draining++;
        } else if (gone && a->users == 0)
            let_go(a);
        else
            wr_accepting_stop(a);
    }
}

static void too_late(struct wr_task *t)
{
    (void)t;
    if (!me.late_timer.fired) /* a task may be woken for other reasons */
        return;
    wr_say(WR_LOG_NOTICE, 0, "worker_shutdown_timeout has expired, closing %u sessions",
           wr_sessions_live());
    wr_sessions_shutdown(true);
}

static void begin_quit(void)
{
    const struct wr_core_conf *core = wr_core_of(me.cycle->conf);

    if (me.quitting)
        return;
    me.quitting = me.graceful = true;
    me.quit_ms = wr_now();
    wr_say(WR_LOG_NOTICE, 0, "gracefully shutting down");
    if (wr_self.kind == WR_PROC_WORKER)
        wr_title_set("worker process is shutting down");
    leave_listeners();
    wr_report_send(WR_MSG_LEAVING, 0, "");
    wr_sessions_on_empty(sessions_ended, NULL);
    wr_sessions_shutdown(false);
    if (core->shutdown_timeout.set)
        wr_timer_set(me.loop, &me.late_timer, core->shutdown_timeout.value);
    wr_task_wake(me.loop, &me.look);
}

static void terminate_worker(void)
{
    me.quitting = true;
    me.graceful = false;
    /* First: a session that is accepted after the next call would not be closed. */
    for (struct wr_accepting *a = NULL; (a = next_accepting(a)) != NULL;)
        wr_accepting_stop(a);
    wr_sessions_shutdown(true);
    wr_loop_stop(me.loop);
}

/* Free everything, so that tests find leaks. */
static void end_worker(void)
{
    wr_loop_turn(me.loop, 0); /* frees what the last turn condemned */
    for (struct wr_accepting *a = NULL; (a = next_accepting(a)) != NULL;)
        wr_accepting_stop(a);
    if (wr_self.kind == WR_PROC_SINGLE)
        wr_keeper_stop();
    for (uint32_t i = 0; i < wr_modules_count; i++) {
        if (wr_modules[i]->worker_exit != NULL)
            wr_modules[i]->worker_exit(me.cycle->conf);
    }
    wr_timer_off(me.loop, &me.late_timer);
    wr_timer_off(me.loop, &me.look_timer);
    wr_connections_end();
#if WR_DEBUG
    if (me.graceful) {
        WR_ASSERT(wr_sessions_live() == 0);
        WR_ASSERT(wr_connections() == 0);
        WR_ASSERT(wr_blocks_live() == 0);
    }
#endif
    wr_loop_free(me.loop);
    wr_blocks_drop_cache();
}

/* ---- signals and messages ---- */

static void ring_modules(uint32_t bits)
{
    for (uint32_t i = 0; bits != 0 && i < wr_modules_count; i++)
        if (wr_modules[i]->worker_rung != NULL)
            wr_modules[i]->worker_rung(bits);
}

static void on_bell(uint32_t bits, void *arg)
{
    struct wr_signals *s = &wr_signals;

    (void)arg;
    if (s->usr1) {
        s->usr1 = 0;
        wr_say(WR_LOG_NOTICE, 0, "reopening logs");
        wr_sink_reopen_all((uid_t)-1);
    }
    if (s->trace || (bits & WR_BELL_TRACE) != 0) {
        s->trace = 0;
        wr_sessions_trace();
    }
    if ((bits & WR_BELL_QUEUE) != 0)
        wr_waiting_called();
    if ((bits & WR_BELL_PEERS) != 0)
        wr_peers_called();
    ring_modules(bits);
    if (s->hup) {
        s->hup = 0;
        wr_refuse_reload("there is no master process (master_process off): restart weir instead");
    }
    if (s->term) {
        s->term = 0;
        wr_say(WR_LOG_NOTICE, 0, "exiting");
        terminate_worker();
    } else if (s->quit || s->winch) {
        s->quit = s->winch = 0;
        begin_quit();
    } else if ((bits & WR_BELL_LISTEN) != 0 && !me.quitting)
        follow_owner_map();
}

static void on_message(const struct wr_report *r)
{
    if (r->message == WR_MSG_BELL)
        on_bell(r->number, NULL);
}

static bool is_debug_client(const struct wr_addr *client)
{
    return wr_networks_have(&wr_events_of(me.cycle->conf)->debug_connection, client);
}

/* ---- the beginning ---- */

static bool init_modules(void)
{
    for (uint32_t i = 0; i < wr_modules_count; i++) {
        const struct wr_module *m = wr_modules[i];

        if (m->worker_init != NULL && !m->worker_init(me.cycle->conf, me.loop)) {
            wr_say(WR_LOG_EMERG, 0, "module \"%s\" failed to start in this worker", m->name);
            return false;
        }
    }
    return true;
}

static bool begin_worker(struct wr_cycle *c)
{
    const struct wr_core_conf *events = wr_events_of(c->conf);

    me.cycle = c;
    me.look.run = look_at_draining;
    me.late.run = too_late;
    me.look_timer.task = &me.look;
    me.late_timer.task = &me.late;
    me.loop = wr_loop_new(events->worker_connections);
    if (me.loop == NULL) {
        wr_say(WR_LOG_EMERG, errno, "cannot create the event loop of this worker");
        return false;
    }
    wr_sessions_use(me.loop, c->conf);
    wr_connections_limit(me.loop, events->worker_connections);
    wr_connections_watch(set_full);
    if (events->debug_connection.list.n > 0)
        wr_session_debug = is_debug_client;
    if (!init_modules())
        return false;
    wr_loop_on_bell(me.loop, on_bell, NULL);
    if (!wr_messages_listen(me.loop, on_message)) {
        wr_say(WR_LOG_EMERG, errno, "epoll_ctl() of the channel from the master failed");
        return false;
    }
    set_full(false); /* an earlier process of this worker may have died while it was full */
    wr_loop_turn(me.loop, 0);
    if (wr_self.kind == WR_PROC_WORKER)
        wr_process_ready();
    on_bell(0, NULL); /* for signals that came before the loop had its bell */
    return true;
}

void wr_worker_run(struct wr_cycle *c, uint32_t slot, uint32_t index)
{
    wr_title_set("worker process");
    wr_process_begin(WR_PROC_WORKER, c, slot, index);
    wr_process_settle(c);
    if (!begin_worker(c))
        wr_process_fail();
    wr_loop_run(me.loop);
    if (me.graceful)
        wr_say(WR_LOG_NOTICE, 0, "exiting");
    end_worker();
    wr_say(WR_LOG_NOTICE, 0, "exit");
    wr_master_free();
    if (wr_threads_stuck()) /* the leak check in exit() would wait for them */
        _exit(0);
    exit(0);
}

static bool begin_single(struct wr_cycle *c, uint32_t slot)
{
    if (!wr_launch_single(c))
        return false;
    wr_process_begin(WR_PROC_SINGLE, c, slot, 0);
    wr_keeper_commit(c->conf, 1, false);
    if (!begin_worker(c))
        return false;
    wr_keeper_start(c->conf, me.loop);
    wr_master_launched(true);
    return true;
}

int wr_single_run(struct wr_cycle *c)
{
    uint32_t slot = wr_slot_take(WR_PROC_SINGLE, 1, 0);

    if (slot == WR_SLOT_NONE || !begin_single(c, slot))
        return wr_signals.term || wr_signals.quit ? 0 : 1; /* ended by a signal: not a failure */
    wr_loop_run(me.loop);
    end_worker();
    wr_slot_release(slot);
    return 0;
}
