/* supervise: the children of the master. Starts the workers and the keeper of a generation, and
 * restarts one that has ended, or a keeper that does not answer: at once or, if it keeps ending,
 * after a pause, in which another worker accepts on its sockets. Called by the master's loop. */
#include "app/app.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#define QUICK_MS 1000    /* a child that lived for less died quickly */
#define BACKOFF_MAX_MS 1000 /* short: the child may be the only worker */
#define ASK_MS 5000      /* between two questions to a keeper whether it is alive */
#define ASK_MIN_MS 1000
#define ASKS_MISSED 3    /* after so many without an answer it is killed */

uint64_t wr_backoff_ms(uint32_t deaths)
{
    uint64_t ms = 100;

    if (deaths <= 1)
        return 0;
    for (uint32_t i = 2; i < deaths && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    return wr_min(ms, (uint64_t)BACKOFF_MAX_MS);
}

const char *wr_child_name(const struct wr_child *ch)
{
    return ch->kind == WR_PROC_KEEPER ? "keeper process"
         : ch->kind == WR_PROC_NAT ? "nat process" : "worker process";
}

/* Workers, the nat process if there is one, the keeper. */
static enum wr_kind kind_of(const struct wr_cycle *c, uint32_t i)
{
    return i < c->workers ? WR_PROC_WORKER
         : i + 1 < c->nchildren ? WR_PROC_NAT : WR_PROC_KEEPER;
}

bool wr_children_new(struct wr_cycle *c)
{
    c->generation = ++wr_master.generation;
    c->nchildren = c->workers + 1 + wr_nat_wanted(c->conf);
    c->child = wr_calloc(c->nchildren, sizeof(*c->child));
    for (uint32_t i = 0; i < c->nchildren; i++) {
        c->child[i].slot = WR_SLOT_NONE;
        c->child[i].from_child = c->child[i].to_child = -1;
    }
    for (uint32_t i = 0; i < c->nchildren; i++) {
        struct wr_child *ch = &c->child[i];

        ch->kind = kind_of(c, i);
        ch->index = i < c->workers ? i : 0;
        ch->slot = wr_slot_take(ch->kind, c->generation, ch->index);
        if (ch->slot == WR_SLOT_NONE)
            return false;
    }
    if (wr_nat_channel_open(c))
        return true;
    wr_say(WR_LOG_ALERT, errno, "socketpair() for the nat process failed");
    return false;
}

/* In the master: the child's pid, or -1 with errno. Does not return in the child. */
static pid_t fork_child(struct wr_cycle *c, struct wr_child *ch)
{
    struct wr_report_ends other;
    pid_t pid;
    int err;

    if (!wr_report_open(ch, &other))
        return -1;
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        wr_report_begin(&other);
        if (ch->kind == WR_PROC_KEEPER)
            wr_keeper_run(c, ch->slot);
        if (ch->kind == WR_PROC_NAT)
            wr_nat_run(c, ch->slot);
        wr_worker_run(c, ch->slot, ch->index);
    }
    err = errno;
    wr_report_ends_close(&other);
    if (pid < 0)
        wr_report_close(ch);
    errno = err;
    return pid;
}

static void start_child(struct wr_cycle *c, struct wr_child *ch)
{
    pid_t pid;

    wr_slot_ready(ch->slot);
    ch->restart_ms = 0;
    ch->born_ms = wr_now();
    ch->ready = ch->leaving = ch->stuck = false;
    ch->unanswered = 0;
    ch->ask_ms = 0;
    pid = fork_child(c, ch);
    if (pid < 0) {
        wr_say(WR_LOG_ALERT, errno, "fork() failed while spawning \"%s\"", wr_child_name(ch));
        ch->restart_ms = wr_now() + wr_backoff_ms(++ch->deaths + 1);
        return;
    }
    ch->pid = pid;
    wr_say(WR_LOG_NOTICE, 0, "start %s %d", wr_child_name(ch), (int)pid);
    if (ch->kind != WR_PROC_WORKER && wr_launch_has_zones(c))
        (void)wr_child_send(ch, WR_MSG_COMMIT, c->generation);
}

static bool is_pending(const struct wr_child *ch)
{
    const struct wr_cycle *c = wr_master.pending;

    return c != NULL && ch >= c->child && ch < c->child + c->nchildren;
}

/* Give the sockets of workers that have left to the others. */
static void rewrite_owners(void)
{
    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old) {
        if (c->nchildren > 0 && !c->child[0].retired)
            wr_owners_write(c);
    }
}

/* Once for each question, so that a child cannot keep the master busy. */
static void commit_again(struct wr_child *ch)
{
    const struct wr_cycle *c = wr_running();

    if (!ch->asked || ch != wr_keeper_of(c) || !wr_launch_has_zones(c))
        return;
    ch->asked = false;
    (void)wr_child_send(ch, WR_MSG_COMMIT, c->generation);
}

void wr_child_reported(struct wr_child *ch, const struct wr_report *r)
{
    if (r->message == WR_MSG_READY)
        ch->ready = true;
    else if (r->message == WR_MSG_COMMITTED && ch->kind != WR_PROC_WORKER)
        ch->committed = r->number;
    else if (r->message == WR_MSG_ALIVE)
        ch->unanswered = 0;
    else if (r->message == WR_MSG_DAMAGED)
        commit_again(ch);
    else if (r->message == WR_MSG_LEAVING && !ch->leaving) {
        ch->leaving = true;
        if (wr_master.going == WR_RUNNING)
            rewrite_owners();
    } else if (r->message == WR_MSG_FAILED && is_pending(ch)) /* else its own log lines suffice */
        wr_launch_break("%s %d: %s", wr_child_name(ch), (int)ch->pid, r->text);
}

void wr_children_start(struct wr_cycle *c)
{
    wr_say(WR_LOG_NOTICE, 0, "start worker processes");
    for (uint32_t i = 0; i < c->nchildren; i++) {
        c->child[i].retired = false;
        c->child[i].deaths = 0;
        if (c->child[i].pid == 0)
            start_child(c, &c->child[i]);
    }
}

void wr_children_signal(int signo)
{
    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old) {
        for (uint32_t i = 0; i < c->nchildren; i++) {
            if (c->child[i].pid > 0)
                (void)kill(c->child[i].pid, signo);
        }
    }
}

/* Ring by a message: the master reads nothing of the slots, not even whether a process sleeps. If
 * the message cannot be sent, set the bits; the worker finds them in its next turn. */
void wr_child_ring(struct wr_child *ch, uint32_t bits)
{
    if (ch->pid > 0 && !wr_child_send(ch, WR_MSG_BELL, bits))
        (void)atomic_fetch_or(&wr_self.run->slot[ch->slot].bell, bits);
}

void wr_children_ring(uint32_t bits)
{
    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old) {
        for (uint32_t i = 0; i < c->nchildren; i++) {
            if (c->child[i].kind == WR_PROC_WORKER)
                wr_child_ring(&c->child[i], bits);
        }
    }
}

struct wr_child *wr_keeper_of(const struct wr_cycle *c)
{
    return c != NULL && c->nchildren > 0 ? &c->child[c->nchildren - 1] : NULL;
}

struct wr_child *wr_nat_of(const struct wr_cycle *c)
{
    return c != NULL && c->nchildren > c->workers + 1 ? &c->child[c->workers] : NULL;
}

void wr_children_commit_again(void)
{
    struct wr_child *keeper = wr_keeper_of(wr_running()), *nat = wr_nat_of(wr_running());

    if (keeper != NULL && keeper->pid > 0)
        (void)wr_child_send(keeper, WR_MSG_COMMIT, wr_running()->generation);
    if (nat != NULL && nat->pid > 0)
        (void)wr_child_send(nat, WR_MSG_COMMIT, wr_running()->generation);
}

/* A nat process that is killed leaves the kernel as it is: for another generation or master, which
 * serves on. Without them it ends what it began, also where workers would be killed. */
static int ending_signal(const struct wr_cycle *c, const struct wr_child *ch, int signo)
{
    bool others = (wr_master.going != WR_RUNNING || wr_master.stopped)
               && (wr_master.new_binary > 0 || wr_old_master_is_alive());

    if (ch->kind != WR_PROC_NAT || signo == 0)
        return signo;
    if (others)
        return SIGKILL;
    return signo == SIGKILL && c->old == NULL && c == wr_master.cycle ? SIGTERM : signo;
}

void wr_children_retire(struct wr_cycle *c, int signo)
{
    for (uint32_t i = 0; i < c->nchildren; i++) {
        struct wr_child *ch = &c->child[i];

        ch->restart_ms = 0;
        ch->retired = true;
        if (ch->pid > 0 && signo != 0)
            (void)kill(ch->pid, ending_signal(c, ch, signo));
    }
}

bool wr_children_are_ready(const struct wr_cycle *c)
{
    for (uint32_t i = 0; i < c->nchildren; i++) {
        if (!c->child[i].ready)
            return false;
    }
    return true;
}

bool wr_children_have_left(const struct wr_cycle *c)
{
    for (; c != NULL; c = c->old) {
        for (uint32_t i = 0; i < c->nchildren; i++) {
            const struct wr_child *ch = &c->child[i];

            if (ch->kind == WR_PROC_WORKER && ch->pid > 0 && !ch->leaving)
                return false;
        }
    }
    return true;
}

/* ---- the end of a child ---- */

static struct wr_child *find_child(pid_t pid, struct wr_cycle **of)
{
    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old) {
        for (uint32_t i = 0; i < c->nchildren; i++) {
            if (c->child[i].pid == pid) {
                *of = c;
                return &c->child[i];
            }
        }
    }
    return NULL;
}

/* Log the end of a child: as an alert, unless the reason is logged elsewhere (a launch that is
 * undone, a keeper that did not answer) or the end was asked for. */
static void tell_end(const struct wr_child *ch, pid_t pid, int status)
{
    bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    bool is_told = is_pending(ch) || ch->stuck || (ch->retired && (!ch->ready || was_killed));
    enum wr_level bad = is_told ? WR_LOG_NOTICE : WR_LOG_ALERT;

    if (WIFSIGNALED(status))
        wr_say(bad, 0, "%s %d exited on signal %d%s", wr_child_name(ch), (int)pid,
               WTERMSIG(status), WCOREDUMP(status) ? " (core dumped)" : "");
    else
        wr_say(WEXITSTATUS(status) != 0 ? bad : WR_LOG_NOTICE, 0, "%s %d exited with code %d",
               wr_child_name(ch), (int)pid, WEXITSTATUS(status));
}

static void break_launch(const struct wr_child *ch, pid_t pid, int status)
{
    if (WIFSIGNALED(status))
        wr_launch_break("%s %d exited on signal %d before it was ready", wr_child_name(ch),
                        (int)pid, WTERMSIG(status));
    else
        wr_launch_break("%s %d exited with code %d before it was ready", wr_child_name(ch),
                        (int)pid, WEXITSTATUS(status));
}

/* At once, or later if it keeps ending. */
static void restart_child(struct wr_cycle *c, struct wr_child *ch)
{
    bool quick = wr_now() - ch->born_ms < QUICK_MS;

    ch->deaths = quick ? ch->deaths + 1 : 1;
    ch->restart_ms = wr_now() + wr_backoff_ms(ch->deaths);
    if (ch->restart_ms == wr_now()) {
        start_child(c, ch);
        wr_owners_write(c); /* the old process may have been LEAVING */
        return;
    }
    if (ch->kind == WR_PROC_WORKER)
        wr_owners_write(c);
    wr_say(WR_LOG_WARN, 0, "%s %u keeps exiting, restarting it in %llu ms", wr_child_name(ch),
           ch->index, (unsigned long long)wr_backoff_ms(ch->deaths));
}

static void child_ended(pid_t pid, int status)
{
    struct wr_cycle *of = NULL;
    struct wr_child *ch;

    if (pid == wr_master.new_binary) {
        wr_upgrade_ended(status);
        return;
    }
    ch = find_child(pid, &of);
    if (ch == NULL) {
        wr_say(WR_LOG_NOTICE, 0, "unknown process %d exited", (int)pid);
        return;
    }
    tell_end(ch, pid, status);
    ch->pid = 0;
    wr_report_close(ch);
    if (is_pending(ch))
        break_launch(ch, pid, status);
    else if (!ch->retired && wr_master.going == WR_RUNNING)
        restart_child(of, ch);
    /* A keeper that does not get this sweeps when it starts, or after the next death. */
    if (wr_keeper_of(wr_running()) != NULL)
        (void)wr_child_send(wr_keeper_of(wr_running()), WR_MSG_DIED, 0);
    if (wr_keeper_of(wr_master.pending) != NULL)
        (void)wr_child_send(wr_keeper_of(wr_master.pending), WR_MSG_DIED, 0);
}

void wr_children_bury(void)
{
    struct wr_cycle **at = &wr_master.cycle;

    while (*at != NULL) {
        struct wr_cycle *c = *at;
        bool alive = c == wr_master.cycle;

        for (uint32_t i = 0; i < c->nchildren && !alive; i++)
            alive = c->child[i].pid > 0 || !c->child[i].retired;
        if (alive) {
            at = &c->old;
        } else {
            *at = c->old;
            wr_cycle_free(c);
        }
    }
}

void wr_children_reap(void)
{
    wr_reports_take(wr_child_reported); /* their last reports */
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);

        if (pid > 0)
            child_ended(pid, status);
        else if (pid == 0 || errno != EINTR)
            break;
    }
    wr_children_bury();
}

void wr_children_respawn(void)
{
    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old) {
        bool changed = false;

        for (uint32_t i = 0; i < c->nchildren; i++) {
            struct wr_child *ch = &c->child[i];

            if (ch->restart_ms == 0 || ch->restart_ms > wr_now())
                continue;
            changed |= ch->kind == WR_PROC_WORKER;
            start_child(c, ch);
        }
        if (changed)
            wr_owners_write(c);
    }
}

/* ---- keepers ---- */

/* True: the master asks this keeper whether it is alive (over the channel, because the master does
 * not trust shared memory). Not a keeper that debug_points may stop for a debugger, nor one that
 * starts, for which the launch waits. */
static bool is_watched(const struct wr_cycle *c)
{
    const struct wr_child *ch = wr_keeper_of(c);

    return ch != NULL && ch->pid > 0 && c != wr_master.pending
        && wr_core_of(c->conf)->debug_points != WR_DEBUG_STOP;
}

/* As often as its most frequent work is due. */
static uint64_t ask_every_ms(const struct wr_conf *conf)
{
    uint64_t every = ASK_MS;

#if WR_DEBUG
    const char *wanted = getenv("WR_ASK_MS");
    uint64_t ms;

    if (wanted != NULL && wr_str_u64(wr_str_c(wanted), &ms))
        return ms;
#endif
    for (uint32_t i = 0; i < wr_modules_count; i++) {
        const struct wr_keeper_hooks *k = wr_modules[i]->keeper;
        uint64_t due = k != NULL && k->every != NULL ? k->every(conf) : 0;

        if (due > 0)
            every = wr_min(every, wr_max(due, (uint64_t)ASK_MIN_MS));
    }
    return every;
}

static void ask_keeper(const struct wr_cycle *c, struct wr_child *ch)
{
    uint64_t every = ask_every_ms(c->conf);

    if (ch->unanswered >= ASKS_MISSED && !ch->stuck) {
        wr_say(WR_LOG_ERROR, 0, "%s %d has not answered for %llu ms, replacing it",
               wr_child_name(ch), (int)ch->pid, (unsigned long long)(every * ASKS_MISSED));
        ch->stuck = true;
        (void)kill(ch->pid, SIGKILL);
    }
    /* if that fails, no answer comes either */
    (void)wr_child_send(ch, WR_MSG_ALIVE, wr_launch_has_zones(c));
    ch->unanswered++;
    ch->asked = true;
    ch->ask_ms = wr_now() + every;
}

void wr_children_ask(void)
{
    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old) {
        if (is_watched(c) && wr_now() >= wr_keeper_of(c)->ask_ms)
            ask_keeper(c, wr_keeper_of(c));
    }
}

uint64_t wr_children_next_ms(void)
{
    uint64_t next = UINT64_MAX;

    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old) {
        for (uint32_t i = 0; i < c->nchildren; i++) {
            if (c->child[i].restart_ms > 0)
                next = wr_min(next, c->child[i].restart_ms);
        }
        if (is_watched(c))
            next = wr_min(next, wr_keeper_of(c)->ask_ms);
    }
    return next;
}

uint32_t wr_children_alive(void)
{
    uint32_t n = 0;

    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old) {
        for (uint32_t i = 0; i < c->nchildren; i++)
            n += c->child[i].pid > 0;
    }
    return n;
}
