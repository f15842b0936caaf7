/* master: the life of the master process: start, the loop that sleeps until a signal or a deadline,
 * reload, the end. Owns wr_master; its parts are cycle, sockets, supervise, upgrade, verdict. */
#include "app/app.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#define NAMES_START_MS 1000
#define RETIRE_MS 1000       /* the old workers wait so long for the new ones to stand */
#define LOOK_MS 10
#define KILL_MS 3000         /* after TERM */

struct wr_master wr_master;

/* ---- start ---- */

bool wr_master_segment(void)
{
    struct wr_shm *s;

    wr_master.shm = wr_shm_set_new();
    s = wr_shm_get(wr_master.shm, wr_upgrade_run(), "run", WR_RUN_LAYOUT, WR_SLOTS,
                   sizeof(struct wr_run), NULL);
    if (s == NULL) {
        wr_say(WR_LOG_EMERG, errno, "shared memory for the processes could not be made");
        return false;
    }
    wr_self.run = s->p;
    wr_self.run_fd = s->fd;
    wr_master.run_fresh = s->fresh;
    return true;
}

static void log_start(void)
{
    struct rlimit r;
    struct utsname u;

    wr_say(WR_LOG_NOTICE, 0, "using the \"epoll\" event method");
    wr_say(WR_LOG_NOTICE, 0, "weir/%s (nginx/%s grammar)", WR_VERSION, WR_NGINX_VERSION);
    wr_say(WR_LOG_NOTICE, 0, "built by %s", WR_COMPILER);
    if (uname(&u) == 0)
        wr_say(WR_LOG_NOTICE, 0, "OS: %s %s", u.sysname, u.release);
    if (getrlimit(RLIMIT_NOFILE, &r) == 0)
        wr_say(WR_LOG_NOTICE, 0, "getrlimit(RLIMIT_NOFILE): %llu:%llu",
               (unsigned long long)r.rlim_cur, (unsigned long long)r.rlim_max);
}

static void use_log(const struct wr_cycle *c)
{
    const struct wr_core_conf *core = wr_core_of(c->conf);

    wr_console_use(wr_scope_log(c->conf->main));
    if (core->daemon && wr_console_file() != stderr)
        wr_console_redirect();
}

static const char *pid_of(const struct wr_cycle *c)
{
    return wr_core_of(c->conf)->pid.p;
}

static void remember_pid_path(const char *path)
{
    size_t n = strlen(path) + 1;

    free(wr_master.pid_path);
    wr_master.pid_path = memcpy(wr_malloc(n), path, n);
}

/* Whoever started us can go: from here on messages are for the log. */
static void stand_alone(bool daemon)
{
    wr_console_to(NULL);
    wr_log_startup(false);
    if (daemon)
        wr_console_redirect();
    wr_daemon_ready();
}

static void set_title(void)
{
    char title[2048];

    snprintf(title, sizeof(title), "master process %s", wr_command_line());
    wr_title_set(title);
}

/* What makes a generation run, once its sockets are open: nothing here may fail but the slots. */
static void launch(struct wr_cycle *c)
{
    wr_sockets_share(c);
    if (wr_master.inherited) { /* what the old binary listened on, and we do not */
        wr_sockets_drop(c, NULL);
        wr_sockets_part(true);
    }
    wr_children_start(c);
}

static bool begin(struct wr_cycle *c)
{
    const struct wr_core_conf *core = wr_core_of(c->conf);
    bool daemon = core->daemon && !wr_master.inherited;

    use_log(c);
    if (!wr_sockets_open(c) || (daemon && !wr_daemonize()))
        return false;
    wr_master.pid = getpid();
    wr_self.kind = WR_PROC_MASTER;
    wr_signals_init(WR_PROC_MASTER);
    if (core->master_process)
        set_title();
    log_start();
    remember_pid_path(pid_of(c));
    if (!wr_pid_write(wr_master.pid_path) || (core->master_process && !wr_children_new(c)))
        return false;
    if (daemon)
        stand_alone(true);
    wr_names_start(c->conf, NAMES_START_MS);
    if (!daemon)
        stand_alone(false);
    wr_upgrade_settled();
    return true;
}

/* ---- reload ---- */

static void say_verdict(FILE *to, const char *path, bool ok)
{
    if (ok)
        fprintf(to, "weir: the configuration file %s is loaded, new workers take over\n", path);
    else
        fprintf(to, "weir: configuration file %s failed, weir goes on with the one before\n", path);
}

static bool pid_file_moves(const struct wr_cycle *c)
{
    return strcmp(wr_master.pid_path, pid_of(c)) != 0;
}

/* A pid file of another name is written before the configuration is accepted. */
static bool open_places(const struct wr_cycle *c)
{
    if (pid_file_moves(c) && !wr_pid_write(pid_of(c)))
        return false;
    if (wr_sockets_open(c))
        return true;
    if (pid_file_moves(c))
        (void)unlink(pid_of(c));
    return false;
}

static struct wr_cycle *load_next(void)
{
    struct wr_cycle *c = wr_cycle_load(wr_master.cycle, wr_str_c(wr_master.options->globals));

    if (c == NULL)
        return NULL;
    c->workers = wr_core_of(c->conf)->worker_processes;
    if (wr_children_new(c)) {
        wr_names_start(c->conf, NAMES_START_MS);
        if (open_places(c))
            return c;
    }
    wr_cycle_free(c);
    return NULL;
}

static void leave_old_pid_file(const struct wr_cycle *c)
{
    if (!pid_file_moves(c))
        return;
    (void)unlink(wr_master.pid_path);
    remember_pid_path(pid_of(c));
}

static void adopt(struct wr_cycle *c)
{
    c->old = wr_master.cycle;
    wr_master.cycle = c;
    use_log(c);
    leave_old_pid_file(c);
    wr_sockets_drop(c, c->old);
    wr_children_retire(c->old, 0);
    launch(c);
    wr_master.retire_ms = wr_now() + RETIRE_MS;
}

/* The old generation goes when the new one stands, or has had time to; or at once, because
 * the next is coming, which may want the addresses the old one leaves. */
static void retire_old(bool at_once)
{
    struct wr_master *m = &wr_master;

    if (m->retire_ms == 0 ||
        (!at_once && wr_now() < m->retire_ms && !wr_children_ready(m->cycle)))
        return;
    m->retire_ms = 0;
    wr_sockets_part(true);
    for (struct wr_cycle *c = m->cycle->old; c != NULL; c = c->old)
        wr_children_retire(c, SIGQUIT);
}

static void reload(void)
{
    struct wr_reply reply;
    struct wr_cycle *c;

    wr_say(WR_LOG_NOTICE, 0, "reconfiguring");
    retire_old(true);
    wr_reply_begin(&reply);
    wr_console_to(reply.text);
    c = load_next();
    say_verdict(reply.text, wr_places.conf, c != NULL);
    wr_console_to(NULL);
    wr_reply_end(&reply, c != NULL);
    if (c != NULL)
        adopt(c);
}

void wr_refuse_reload(const char *why)
{
    struct wr_reply reply;

    wr_say(WR_LOG_NOTICE, 0, "no reload: %s", why);
    wr_reply_begin(&reply);
    fprintf(reply.text, "weir: no reload: %s\n", why);
    wr_reply_end(&reply, false);
}

/* HUP to the old master of an upgrade: it takes up its work again, as it was configured. */
static void resume(void)
{
    struct wr_cycle *c = wr_cycle_again(wr_master.cycle);

    wr_say(WR_LOG_NOTICE, 0, "starting workers again, with the configuration there was");
    if (!wr_children_new(c)) {
        wr_cycle_free(c);
        return;
    }
    wr_master.stopped = false;
    c->old = wr_master.cycle;
    wr_master.cycle = c;
    wr_sockets_share(c);
    wr_children_start(c);
}

static void on_hup(void)
{
    if (wr_master.going != WR_RUNNING)
        wr_refuse_reload("weir is shutting down");
    else if (wr_master.options->demo && wr_signals.hup_from == 0)
        (void)raise(SIGINT); /* its terminal is gone */
    else if (wr_master.options->demo)
        wr_refuse_reload("the demo has no file to load");
    else if (wr_master.stopped) {
        wr_refuse_reload("an upgrade is going on; the workers are started again instead");
        resume();
    } else if (wr_master.new_binary > 0)
        wr_refuse_reload("an upgrade is going on");
    else
        reload();
}

/* ---- signals and deadlines ---- */

static bool take(volatile sig_atomic_t *flag)
{
    bool was = *flag != 0;

    *flag = 0;
    return was;
}

static void tell_signal(int signo, const char *name, pid_t from, const char *doing)
{
    if (from > 0)
        wr_say(WR_LOG_NOTICE, 0, "signal %d (%s) received from %d%s", signo, name, (int)from,
               doing);
    else
        wr_say(WR_LOG_NOTICE, 0, "signal %d (%s) received%s", signo, name, doing);
}

static void reopen(void)
{
    const struct wr_core_conf *core = wr_core_of(wr_master.cycle->conf);

    wr_say(WR_LOG_NOTICE, 0, "reopening logs");
    wr_sink_reopen_all(geteuid() == 0 && core->user.n > 0 ? core->uid : (uid_t)-1);
    if (core->daemon)
        wr_console_redirect();
    wr_children_signal(SIGUSR1);
}

/* Connections that wait in a queue are accepted and served before the sockets close. */
static void leave(int signo)
{
    bool others = wr_master.new_binary > 0 || wr_upgrade_old_lives();

    wr_sockets_drop(NULL, wr_master.cycle);
    wr_sockets_unlink(others);
    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old)
        wr_children_retire(c, signo);
}

static void on_quit(void)
{
    if (wr_master.going == WR_RUNNING)
        leave(SIGQUIT);
    wr_master.going = wr_max(wr_master.going, WR_QUITTING);
}

static void on_term(void)
{
    if (wr_master.going == WR_RUNNING)
        leave(SIGTERM);
    else
        wr_children_signal(SIGTERM);
    wr_master.going = WR_TERMINATING;
    wr_master.kill_ms = wr_now() + KILL_MS;
}

static void stop_workers(void)
{
    if (wr_master.stopped || wr_master.going != WR_RUNNING)
        return;
    wr_master.stopped = true;
    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old)
        wr_children_retire(c, SIGQUIT);
}

static void take_signals(void)
{
    struct wr_signals *s = &wr_signals;

    if (take(&s->chld))
        wr_children_reap();
    if (take(&s->term)) {
        tell_signal(s->term_signal, s->term_signal == SIGINT ? "SIGINT" : "SIGTERM", s->term_from,
                    ", exiting");
        on_term();
    }
    if (take(&s->quit)) {
        tell_signal(SIGQUIT, "SIGQUIT", s->quit_from, ", shutting down");
        on_quit();
    }
    if (take(&s->usr1)) {
        tell_signal(SIGUSR1, "SIGUSR1", s->usr1_from, ", reopening logs");
        reopen();
    }
    if (take(&s->trace)) {
        tell_signal(WR_SIGTRACE, "SIGRTMIN", s->trace_from, ", tracing");
        wr_children_ring(WR_BELL_TRACE);
    }
    if (take(&s->winch)) {
        tell_signal(SIGWINCH, "SIGWINCH", s->winch_from, "");
        stop_workers();
    }
    if (take(&s->hup)) {
        tell_signal(SIGHUP, "SIGHUP", s->hup_from, ", reconfiguring");
        on_hup();
    }
    if (take(&s->usr2)) {
        tell_signal(SIGUSR2, "SIGUSR2", s->usr2_from, ", changing binary");
        wr_upgrade_start();
    }
}

static void keep_deadlines(void)
{
    struct wr_master *m = &wr_master;

    if (m->going == WR_RUNNING) {
        retire_old(false);
        wr_children_respawn();
        if (m->restart_workers) {
            m->restart_workers = false;
            resume();
        }
    } else if (m->kill_ms > 0 && wr_now() >= m->kill_ms) {
        m->kill_ms = wr_now() + KILL_MS;
        wr_say(WR_LOG_WARN, 0, "%u processes did not end in time and are killed",
               wr_children_alive());
        wr_children_signal(SIGKILL);
    }
}

static uint64_t how_long(void)
{
    const struct wr_master *m = &wr_master;
    uint64_t next = m->going == WR_RUNNING ? wr_children_next_ms() : UINT64_MAX;

    if (m->retire_ms > 0 && m->going == WR_RUNNING)
        next = wr_min(next, wr_now() + LOOK_MS);
    if (m->kill_ms > 0)
        next = wr_min(next, m->kill_ms);
    if (next == UINT64_MAX)
        return next;
    return next > wr_now() ? next - wr_now() : 0;
}

/* ---- the end ---- */

static void remove_pid_file(void)
{
    char old[4096];
    const char *path = wr_master.pid_path;

    if (path == NULL)
        return;
    if (wr_master.new_binary > 0) {
        snprintf(old, sizeof(old), "%s.oldbin", path);
        path = old;
    }
    if (unlink(path) != 0)
        wr_say(WR_LOG_ALERT, errno, "unlink() \"%s\" failed", path);
    if (wr_master.inherited && !wr_upgrade_old_lives()) { /* it may have been killed */
        snprintf(old, sizeof(old), "%s.oldbin", wr_master.pid_path);
        (void)unlink(old);
    }
}

void wr_master_free(void)
{
    struct wr_cycle *c, *old;

    wr_console_use(NULL);
    for (c = wr_master.cycle; c != NULL; c = old) {
        old = c->old;
        if (getpid() != wr_master.pid)
            c->nchildren = 0; /* the slots are the master's to give back */
        wr_cycle_free(c);
    }
    wr_master.cycle = NULL;
    free(wr_master.pid_path);
    wr_pool_drop_cache();
}

static void serve(void)
{
    while (wr_master.going == WR_RUNNING || wr_children_alive() > 0) {
        wr_signals_wait(how_long());
        wr_clock_update();
        take_signals();
        wr_reports_take(wr_children_heard);
        keep_deadlines();
    }
}

int wr_master_run(struct wr_cycle *c, const struct wr_options *o)
{
    int code = 0;

    wr_master.options = o;
    wr_master.cycle = c;
    if (!begin(c)) {
        if (wr_master.pid_path != NULL)
            (void)unlink(wr_master.pid_path);
        wr_sockets_unlink(wr_upgrade_old_lives());
        wr_master_free();
        return 1;
    }
    if (!wr_core_of(c->conf)->master_process) {
        code = wr_single_run(c);
        wr_sockets_unlink(false);
    } else {
        launch(c);
        if (o->demo)
            wr_demo_tell();
        serve();
    }
    remove_pid_file();
    wr_say(WR_LOG_NOTICE, 0, "exit");
    wr_master_free();
    return code;
}
