/* launch: brings a new generation from its configuration to the moment it serves, or undoes
 * everything. The master's loop calls it each turn; it never waits. There is one launch at a time,
 * of the head of wr_master.cycle, while the generation before it (if any) serves on untouched.
 *
 * The steps, in this order:
 *   OPENING      bind the sockets
 *   STARTING     start the processes and wait until all are ready
 *   COMMITTING   let the keeper publish the upstreams' servers; then let the sockets listen
 *   FORWARDING   with `forward nat`: let the nat process write its rules
 *   LEAVING      wait until their workers accept no more
 * Before LEAVING the pid file and the owner map are written, and the earlier processes are told to
 * end. Everything before the owner map can be undone. The pid file is written late, so that
 * programs may take it for the sign that weir serves. */
#include "app/app.h"

#include <errno.h>
#include <unistd.h>

#define BIND_MS 2500         /* an address in use may become free meanwhile: old workers close it */
#define BIND_AGAIN_MS 50
#define READY_MS 30000       /* for each of STARTING and COMMITTING */
#define LEAVE_MS 1000        /* then the launch counts as done, whatever old workers do */
#define LEAVE_LOOK_MS 10
#define NAMES_MS 1000        /* at most, for the host names of servers */

static struct {
    enum launch { NOTHING, OPENING, STARTING, COMMITTING, FORWARDING, LEAVING } state;
    struct wr_cycle *cycle;
    uint64_t until_ms, look_ms;
    uint64_t ready_ms;       /* READY_MS, or as a test of a debug build sets it */
    int pid_fd;              /* of the pid file this launch wrote; -1: none */
    char broken[600];        /* why the launch must be undone; "": it need not */
} me = { .pid_fd = -1 };

bool wr_launch_is_pending(void)
{
    return me.state != NOTHING;
}

static void enter_state(enum launch state, uint64_t ms)
{
    me.state = state;
    me.until_ms = wr_now() + ms;
    me.look_ms = me.until_ms;
}

/* ---- the pid file ---- */

static const char *pid_path(const struct wr_cycle *c)
{
    return wr_core_of(c->conf)->pid.p;
}

static bool is_same_pid_file(void)
{
    return wr_master.pid_path != NULL && strcmp(wr_master.pid_path, pid_path(me.cycle)) == 0;
}

static bool write_pid_file(void)
{
    if (is_same_pid_file())
        return true;
    wr_upgrade_move_pid(false);
    me.pid_fd = wr_pid_write(pid_path(me.cycle));
    return me.pid_fd >= 0;
}

static void keep_pid_file(void)
{
    const char *path = pid_path(me.cycle);
    size_t n = strlen(path) + 1;

    if (me.pid_fd < 0)
        return;
    if (wr_master.pid_path != NULL) {
        (void)wr_file_remove(wr_master.pid_path);
        close(wr_master.pid_fd);
        free(wr_master.pid_path);
    }
    wr_master.pid_path = memcpy(wr_malloc(n), path, n);
    wr_master.pid_fd = me.pid_fd;
    me.pid_fd = -1;
}

static void undo_pid_file(void)
{
    if (me.pid_fd >= 0) {
        (void)wr_file_remove(pid_path(me.cycle));
        close(me.pid_fd);
        me.pid_fd = -1;
    }
    wr_upgrade_move_pid(true);
}

/* ---- undoing ---- */

bool wr_launch_has_zones(const struct wr_cycle *c)
{
    return c == wr_running() && me.state != COMMITTING && me.state != FORWARDING
        && wr_master.new_binary == 0;
}

static void undo_launch(void)
{
    struct wr_cycle *c = me.cycle, *before = c->old;
    bool committing = me.state == COMMITTING || me.state == FORWARDING;

    me.state = NOTHING;
    wr_master.pending = NULL;
    wr_children_retire(c, SIGKILL); /* they have no clients */
    wr_sockets_undo();
    undo_pid_file();
    wr_folders_undo();
    wr_sink_undo_new();
    if (before != NULL) { /* else it was the first one, and the master ends */
        wr_master.cycle = before;
        c->old = before->old;
        before->old = c;
        wr_children_bury();
    }
    if (committing && before != NULL)
        wr_children_commit_again();
    wr_master_launched(false);
}

void wr_launch_break(const char *fmt, ...)
{
    va_list ap;

    if (me.state == NOTHING || me.state == LEAVING || me.broken[0] != '\0')
        return;
    va_start(ap, fmt);
    (void)vsnprintf(me.broken, sizeof(me.broken), fmt, ap);
    va_end(ap);
}

void wr_launch_abort(const char *why)
{
    if (me.state == LEAVING) {
        me.state = NOTHING;
        wr_master_launched(true);
    } else if (me.state != NOTHING) {
        wr_say(WR_LOG_ERROR, 0, "%s", why);
        undo_launch();
    }
}

/* ---- the steps ---- */

static void start_processes(void)
{
    bool alone = me.cycle->old == NULL && !wr_master.inherited;

    wr_sockets_share(me.cycle);
    /* These addresses are not served yet: let clients queue while names are resolved and workers
     * start. */
    if (alone && !wr_sockets_listen(me.cycle->conf)) {
        undo_launch();
        return;
    }
    wr_names_start(me.cycle->conf, NAMES_MS);
    wr_children_start(me.cycle);
    enter_state(STARTING, me.ready_ms);
}

static void open_sockets(void)
{
    bool last = wr_now() >= me.until_ms;

    switch (wr_sockets_open(me.cycle->conf, last)) {
    case WR_OPENED:
        start_processes();
        break;
    case WR_FAILED:
        undo_launch();
        break;
    case WR_IN_USE:
        me.look_ms = wr_now() + BIND_AGAIN_MS;
        if (last) {
            wr_sockets_tell_holder(me.cycle->conf,
                                   me.cycle->old == NULL ? pid_path(me.cycle) : NULL);
            undo_launch();
        }
        break;
    }
}

static void tell_who_is_late(void)
{
    for (uint32_t i = 0; i < me.cycle->nchildren; i++) {
        const struct wr_child *ch = &me.cycle->child[i];

        if (!ch->ready)
            wr_say(WR_LOG_ERROR, 0, "%s %d is not ready after %llu ms", wr_child_name(ch),
                   (int)ch->pid, (unsigned long long)me.ready_ms);
    }
}

static void look_ready(void)
{
    if (!wr_children_are_ready(me.cycle)) {
        if (wr_now() < me.until_ms)
            return;
        tell_who_is_late();
        undo_launch();
    } else if (!wr_child_send(wr_keeper_of(me.cycle), WR_MSG_COMMIT, me.cycle->generation)) {
        wr_say(WR_LOG_ERROR, errno, "%s %d cannot be asked to publish the upstream servers",
               wr_child_name(wr_keeper_of(me.cycle)), (int)wr_keeper_of(me.cycle)->pid);
        undo_launch();
    } else {
        enter_state(COMMITTING, me.ready_ms);
    }
}

/* From here on the launch cannot be undone. */
static void accept_it(void)
{
    struct wr_cycle *c = me.cycle;

    wr_master.pending = NULL;
    wr_sockets_keep();
    wr_folders_keep();
    wr_sink_keep_new();
    keep_pid_file();
    wr_master_use_log(c);
    wr_sockets_drop(c, c->old);
    wr_owners_write(c);
    wr_sockets_hand_over();
    wr_upgrade_settled();
    for (struct wr_cycle *old = c->old; old != NULL; old = old->old)
        wr_children_retire(old, SIGQUIT);
    enter_state(LEAVING, LEAVE_MS);
}

/* The sockets listen before, so that an address that was forwarded until now has one when it leaves
 * the rules; the pid file is written behind, as weir does not serve before. */
static void begin_forwarding(void)
{
    struct wr_child *nat = wr_nat_of(me.cycle);

    if (!wr_sockets_listen(me.cycle->conf)) {
        undo_launch();
    } else if (wr_child_send(nat, WR_MSG_COMMIT, me.cycle->generation)) {
        enter_state(FORWARDING, me.ready_ms);
    } else {
        wr_say(WR_LOG_ERROR, errno, "%s %d cannot be asked to write its rules",
               wr_child_name(nat), (int)nat->pid);
        undo_launch();
    }
}

static void look_forwarding(void)
{
    const struct wr_child *nat = wr_nat_of(me.cycle);
    bool done = nat->committed == me.cycle->generation;

    if (!done && wr_now() < me.until_ms)
        return;
    if (done && write_pid_file()) {
        accept_it();
        return;
    }
    if (!done)
        wr_say(WR_LOG_ERROR, 0, "%s %d has not written its rules after %llu ms",
               wr_child_name(nat), (int)nat->pid, (unsigned long long)me.ready_ms);
    undo_launch();
}

static void look_committed(void)
{
    if (wr_keeper_of(me.cycle)->committed != me.cycle->generation) {
        if (wr_now() < me.until_ms)
            return;
        wr_say(WR_LOG_ERROR, 0, "%s %d has not published the upstream servers after %llu ms",
               wr_child_name(wr_keeper_of(me.cycle)), (int)wr_keeper_of(me.cycle)->pid,
               (unsigned long long)me.ready_ms);
        undo_launch();
    } else if (wr_nat_of(me.cycle) != NULL) {
        begin_forwarding();
    } else if (write_pid_file() && wr_sockets_listen(me.cycle->conf)) {
        /* Listening is the last step that may fail: undoing it would reset the clients that have
         * connected meanwhile. */
        accept_it();
    } else {
        undo_launch();
    }
}

static void look_left(void)
{
    if (!wr_children_have_left(me.cycle->old) && wr_now() < me.until_ms) {
        me.look_ms = wr_now() + LEAVE_LOOK_MS;
        return;
    }
    me.state = NOTHING;
    wr_master_launched(true);
}

void wr_launch_turn(void)
{
    enum launch before;

    do {
        before = me.state;
        if (before != NOTHING && me.broken[0] != '\0') {
            wr_say(WR_LOG_ERROR, 0, "%s", me.broken);
            undo_launch();
            return;
        }
        switch (me.state) {
        case NOTHING: break;
        case OPENING: open_sockets(); break;
        case STARTING: look_ready(); break;
        case COMMITTING: look_committed(); break;
        case FORWARDING: look_forwarding(); break;
        case LEAVING: look_left(); break;
        }
    } while (me.state != before);
}

uint64_t wr_launch_next_ms(void)
{
    return me.state == NOTHING ? UINT64_MAX : me.look_ms;
}

static uint64_t ready_ms(void)
{
#if WR_DEBUG
    const char *wanted = getenv("WR_READY_MS");
    uint64_t ms;

    if (wanted != NULL && wr_str_u64(wr_str_c(wanted), &ms))
        return ms;
#endif
    return READY_MS;
}

void wr_launch_begin(struct wr_cycle *c)
{
    WR_ASSERT(me.state == NOTHING);
    me.cycle = c;
    me.broken[0] = '\0';
    me.ready_ms = ready_ms();
    if (wr_master.cycle != c) {
        c->old = wr_master.cycle;
        wr_master.cycle = c;
    }
    wr_master.pending = c;
    enter_state(OPENING, BIND_MS);
    if (wr_children_new(c))
        wr_launch_turn();
    else
        undo_launch();
}

/* Bind, and try again while an address is in use. A signal to end is handled meanwhile: it only
 * arrives while the master sleeps in wr_signals_wait. */
static enum wr_opening open_alone(const struct wr_conf *c)
{
    enum wr_opening how;
    uint64_t until = wr_now() + BIND_MS;

    for (;;) {
        bool last = wr_now() >= until;

        how = wr_sockets_open(c, last);
        if (how != WR_IN_USE || last || wr_signals.term || wr_signals.quit)
            return how;
        wr_signals_wait(BIND_AGAIN_MS);
        wr_clock_update();
    }
}

bool wr_launch_single(struct wr_cycle *c)
{
    enum wr_opening how = open_alone(c->conf);

    me.cycle = c;
    if (how == WR_IN_USE && !wr_signals.term && !wr_signals.quit)
        wr_sockets_tell_holder(c->conf, pid_path(c));
    if (how != WR_OPENED)
        return false;
    wr_sockets_share(c);
    wr_owners_write(c);
    wr_names_start(c->conf, NAMES_MS);
    if (!wr_sockets_listen(c->conf) || !write_pid_file())
        return false;
    wr_sockets_keep();
    wr_folders_keep();
    wr_sink_keep_new();
    keep_pid_file();
    return true;
}
