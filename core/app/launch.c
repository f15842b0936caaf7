/* launch: a new generation on its way from the configuration to the moment it serves - or back, as
 * if nothing had been. The master's loop calls it each turn; it never waits. There is one at a
 * time, the head of wr_master.cycle, while the one before it (if any) serves on untouched.
 *
 * Its sockets are bound, its processes start and say that they are ready; its keeper publishes the
 * servers; then the sockets listen, the pid file is written (who sees it may count on weir), the
 * owner map too, and those before it are told to go. Up to there everything can be undone. */
#include "app/app.h"

#include <errno.h>
#include <unistd.h>

#define BIND_MS 2500         /* an address that is in use may become free: old workers leave */
#define BIND_AGAIN_MS 50
#define READY_MS 30000
#define LEAVE_MS 1000        /* the answer waits so long for the old workers to accept no more */
#define LEAVE_LOOK_MS 10
#define NAMES_MS 1000

static struct {
    enum launch { NOTHING, OPENING, STARTING, COMMITTING, LEAVING } state;
    struct wr_cycle *cycle;
    uint64_t until_ms, look_ms;
    uint64_t ready_ms;       /* READY_MS, or what a test of a debug build wants */
    int pid_fd;              /* of the file this generation wrote; -1: none */
    char broken[600];        /* why it cannot go on; "": it can */
} me = { .pid_fd = -1 };

bool wr_launch_pending(void)
{
    return me.state != NOTHING;
}

static void enter(enum launch state, uint64_t ms)
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

static bool pid_file_stays(void)
{
    return wr_master.pid_path != NULL && strcmp(wr_master.pid_path, pid_path(me.cycle)) == 0;
}

static bool write_pid_file(void)
{
    if (pid_file_stays())
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

/* ---- back ---- */

bool wr_launch_has_zones(const struct wr_cycle *c)
{
    return c == wr_running() && me.state != COMMITTING && wr_master.new_binary == 0;
}

static void undo(void)
{
    struct wr_cycle *c = me.cycle, *before = c->old;
    bool committing = me.state == COMMITTING;

    me.state = NOTHING;
    wr_master.pending = NULL;
    wr_children_retire(c, SIGKILL); /* they have served nobody */
    wr_sockets_undo();
    undo_pid_file();
    wr_folders_undo();
    wr_sink_undo_new();
    if (before != NULL) { /* else the master ends with it */
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
        undo();
    }
}

/* ---- forth ---- */

static void start(void)
{
    bool alone = me.cycle->old == NULL && !wr_master.inherited;

    wr_sockets_share(me.cycle);
    /* Nobody serves yet: clients may as well wait here for the names and the workers. */
    if (alone && !wr_sockets_listen(me.cycle->conf)) {
        undo();
        return;
    }
    wr_names_start(me.cycle->conf, NAMES_MS);
    wr_children_start(me.cycle);
    enter(STARTING, me.ready_ms);
}

static void open_sockets(void)
{
    bool last = wr_now() >= me.until_ms;

    switch (wr_sockets_open(me.cycle->conf, last)) {
    case WR_OPENED:
        start();
        break;
    case WR_FAILED:
        undo();
        break;
    case WR_IN_USE:
        me.look_ms = wr_now() + BIND_AGAIN_MS;
        if (last) {
            wr_sockets_tell_holder(me.cycle->conf,
                                   me.cycle->old == NULL ? pid_path(me.cycle) : NULL);
            undo();
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
    if (!wr_children_ready(me.cycle)) {
        if (wr_now() < me.until_ms)
            return;
        tell_who_is_late();
        undo();
    } else if (!wr_tell_child(wr_keeper_of(me.cycle), WR_MSG_COMMIT, me.cycle->generation)) {
        wr_say(WR_LOG_ERROR, errno, "%s %d cannot be told to publish the servers",
               wr_child_name(wr_keeper_of(me.cycle)), (int)wr_keeper_of(me.cycle)->pid);
        undo();
    } else {
        enter(COMMITTING, me.ready_ms);
    }
}

/* From here on there is no way back. */
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
    wr_sockets_part();
    wr_upgrade_settled();
    for (struct wr_cycle *old = c->old; old != NULL; old = old->old)
        wr_children_retire(old, SIGQUIT);
    enter(LEAVING, LEAVE_MS);
}

static void look_committed(void)
{
    if (wr_keeper_of(me.cycle)->committed != me.cycle->generation) {
        if (wr_now() < me.until_ms)
            return;
        wr_say(WR_LOG_ERROR, 0, "%s %d has not published the servers after %llu ms",
               wr_child_name(wr_keeper_of(me.cycle)), (int)wr_keeper_of(me.cycle)->pid,
               (unsigned long long)me.ready_ms);
        undo();
    } else if (write_pid_file() && wr_sockets_listen(me.cycle->conf)) {
        /* In this order: closing a socket that listens resets the clients it has got meanwhile. */
        accept_it();
    } else {
        undo();
    }
}

static void look_left(void)
{
    if (!wr_children_left(me.cycle->old) && wr_now() < me.until_ms) {
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
            undo();
            return;
        }
        switch (me.state) {
        case NOTHING: break;
        case OPENING: open_sockets(); break;
        case STARTING: look_ready(); break;
        case COMMITTING: look_committed(); break;
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
    enter(OPENING, BIND_MS);
    if (wr_children_new(c))
        wr_launch_turn();
    else
        undo();
}

/* As the master waits, where signals are heard: a process that was told to end does. */
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
