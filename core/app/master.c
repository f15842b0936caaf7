/* master: the master process: start, the loop that sleeps until a signal or a deadline, reload,
 * end. Called by main and demo. Owns wr_master; cycle, launch, sockets, supervise, upgrade and
 * verdict work for it. */
#include "app/app.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define KILL_MS 3000         /* after SIGTERM, until children get SIGKILL */
#define RESUME_AGAIN_MS 1000 /* between attempts to start workers again after an upgrade */

struct wr_master wr_master = { .pid_fd = -1 };

/* ---- start ---- */

bool wr_master_segment(void)
{
    struct wr_shm *s;

    wr_master.shm = wr_shm_set_new();
    s = wr_shm_get(wr_master.shm, wr_upgrade_run(), "run", WR_RUN_LAYOUT, WR_SLOTS,
                   sizeof(struct wr_run), NULL);
    if (s == NULL) {
        wr_say(WR_LOG_EMERG, errno, "cannot create shared memory for the processes");
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

void wr_master_use_log(const struct wr_cycle *c)
{
    const struct wr_core_conf *core = wr_core_of(c->conf);

    wr_console_use(wr_scope_log(c->conf->main));
    if (core->daemon && wr_console_file() != stderr)
        wr_console_redirect();
}

/* Release the process that started us. From here on messages go to the log alone. */
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

static bool begin_master(const struct wr_cycle *c)
{
    const struct wr_core_conf *core = wr_core_of(c->conf);

    wr_master_use_log(c);
    if (core->daemon && !wr_master.inherited && !wr_daemonize())
        return false;
    wr_master.pid = getpid();
    wr_self.kind = WR_PROC_MASTER;
    wr_signals_init(WR_PROC_MASTER);
    if (core->master_process)
        set_title();
    log_start();
    return true;
}

/* ---- reload ---- */

static const char *verdict_text(bool ok)
{
    return ok ? "is loaded, new workers take over"
              : wr_master.going != WR_RUNNING ? "was not loaded"
              : "was not loaded; the previous configuration stays active";
}

static void send_answer(bool ok)
{
    struct wr_answer *r = &wr_master.answer;

    wr_console_to(NULL);
    fprintf(r->text, "weir: %sconfiguration file %s %s\n", ok ? "the " : "", wr_paths.conf,
            verdict_text(ok));
    wr_answer_end(r, ok);
    wr_say(ok ? WR_LOG_NOTICE : WR_LOG_ERROR, 0, "%sconfiguration file %s %s", ok ? "the " : "",
           wr_paths.conf, verdict_text(ok));
}

static void begin_reload(void)
{
    struct wr_cycle *c;

    wr_answer_begin(&wr_master.answer);
    wr_console_to(wr_master.answer.text);
    wr_say(WR_LOG_NOTICE, 0, "reconfiguring");
    c = wr_cycle_load(wr_master.cycle, wr_str_c(wr_master.options->globals));
    if (c == NULL)
        send_answer(false);
    else
        wr_launch_begin(c);
}

/* The launch of the first generation has ended. */
static void first_launched(bool ok)
{
    struct wr_master *m = &wr_master;

    m->is_up = ok;
    if (!ok) {
        m->code = m->going == WR_RUNNING ? 1 : 0; /* ended by a signal: not a failure */
        m->going = WR_TERMINATING;
        return;
    }
    stand_alone(wr_core_of(m->cycle->conf)->daemon && !m->inherited);
    if (m->options->demo)
        wr_demo_tell();
}

void wr_master_launched(bool ok)
{
    struct wr_master *m = &wr_master;

    if (!m->is_up)
        first_launched(ok);
    else if (m->answer.text != NULL)
        send_answer(ok);
    else if (ok)
        m->stopped = false;
    else
        m->resume_ms = wr_now() + RESUME_AGAIN_MS;
}

void wr_refuse_reload(const char *why)
{
    struct wr_answer *r = &wr_master.answer;

    wr_say(WR_LOG_NOTICE, 0, "reload refused: %s", why);
    wr_answer_begin(r);
    fprintf(r->text, "weir: reload refused: %s\n", why);
    wr_answer_end(r, false);
}

/* The old master of an upgrade serves again, with the configuration it had. */
static void resume_workers(void)
{
    wr_master.resume_ms = 0;
    wr_say(WR_LOG_NOTICE, 0, "starting workers again with the configuration they had");
    wr_launch_begin(wr_cycle_again(wr_master.cycle));
}

static void on_hup(void)
{
    if (wr_master.going != WR_RUNNING)
        wr_refuse_reload("weir is shutting down");
    else if (wr_master.options->demo && wr_signals.hup_from == 0)
        (void)raise(SIGINT); /* its terminal is gone */
    else if (wr_master.options->demo)
        wr_refuse_reload("the demo has no configuration file");
    else if (wr_master.stopped) {
        wr_refuse_reload("an upgrade is in progress; starting the stopped workers again instead");
        resume_workers();
    } else if (wr_master.new_binary > 0)
        wr_refuse_reload("an upgrade is in progress");
    else
        begin_reload();
}

/* ---- signals and deadlines ---- */

static bool take_flag(volatile sig_atomic_t *flag)
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

static void reopen_logs(void)
{
    const struct wr_cycle *c = wr_running() != NULL ? wr_running() : wr_master.cycle;
    const struct wr_core_conf *core = wr_core_of(c->conf);

    wr_say(WR_LOG_NOTICE, 0, "reopening logs");
    wr_sink_reopen_all(wr_log_owner(c->conf));
    if (core->daemon)
        wr_console_redirect();
    wr_children_signal(SIGUSR1);
}

/* Workers accept and serve the connections that wait in their queues before they close the
 * sockets. */
static void shut_down(int signo)
{
    bool others = wr_master.new_binary > 0 || wr_old_master_is_alive();

    wr_launch_abort("weir is shutting down");
    wr_sockets_drop(NULL, wr_master.cycle);
    wr_sockets_end(others);
    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old)
        wr_children_retire(c, signo);
}

static void on_quit(void)
{
    if (wr_master.going != WR_RUNNING)
        return;
    wr_master.going = WR_QUITTING;
    shut_down(SIGQUIT);
}

static void on_term(void)
{
    bool first = wr_master.going == WR_RUNNING;

    wr_master.going = WR_TERMINATING;
    if (first)
        shut_down(SIGTERM);
    else
        wr_children_signal(SIGTERM);
    wr_master.kill_ms = wr_now() + KILL_MS;
}

static void stop_workers(void)
{
    if (wr_master.stopped || wr_master.going != WR_RUNNING)
        return;
    wr_launch_abort("a signal stops the workers");
    wr_master.stopped = true;
    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old)
        wr_children_retire(c, SIGQUIT);
}

static void take_signals(void)
{
    struct wr_signals *s = &wr_signals;

    if (take_flag(&s->chld))
        wr_children_reap();
    if (take_flag(&s->term)) {
        tell_signal(s->term_signal, s->term_signal == SIGINT ? "SIGINT" : "SIGTERM", s->term_from,
                    ", exiting");
        on_term();
    }
    if (take_flag(&s->quit)) {
        tell_signal(SIGQUIT, "SIGQUIT", s->quit_from, ", shutting down");
        on_quit();
    }
    if (take_flag(&s->usr1)) {
        tell_signal(SIGUSR1, "SIGUSR1", s->usr1_from, ", reopening logs");
        reopen_logs();
    }
    if (take_flag(&s->trace)) {
        tell_signal(WR_SIGTRACE, "SIGRTMIN", s->trace_from, ", tracing");
        wr_children_ring(WR_BELL_TRACE);
    }
    if (take_flag(&s->winch)) {
        tell_signal(SIGWINCH, "SIGWINCH", s->winch_from, "");
        stop_workers();
    }
    /* One launch at a time: acknowledge further requests, and handle them after it. */
    if (wr_launch_is_pending()) {
        if (s->hup)
            wr_answer_acknowledge(&wr_master.next_answer);
        return;
    }
    if (take_flag(&s->hup)) {
        tell_signal(SIGHUP, "SIGHUP", s->hup_from, ", reconfiguring");
        on_hup();
    } else if (take_flag(&s->usr2)) {
        tell_signal(SIGUSR2, "SIGUSR2", s->usr2_from, ", changing binary");
        wr_upgrade_start();
    }
}

static void keep_deadlines(void)
{
    struct wr_master *m = &wr_master;

    if (m->going == WR_RUNNING) {
        wr_children_respawn();
        wr_children_ask();
        wr_launch_turn();
        if (m->resume_ms > 0 && wr_now() >= m->resume_ms && !wr_launch_is_pending())
            resume_workers();
    } else if (m->kill_ms > 0 && wr_now() >= m->kill_ms) {
        m->kill_ms = wr_now() + KILL_MS;
        wr_say(WR_LOG_WARN, 0, "%u processes did not end in time, killing them",
               wr_children_alive());
        wr_children_signal(SIGKILL);
    }
}

/* The time in ms that the master may sleep; UINT64_MAX: until a signal. */
static uint64_t time_to_sleep(void)
{
    const struct wr_master *m = &wr_master;
    uint64_t next = UINT64_MAX;

    if (m->going == WR_RUNNING && !wr_launch_is_pending() && (wr_signals.hup || wr_signals.usr2))
        return 0; /* requests that came during a launch */
    if (m->going == WR_RUNNING)
        next = wr_min(wr_children_next_ms(), wr_launch_next_ms());
    if (m->going == WR_RUNNING && m->resume_ms > 0)
        next = wr_min(next, m->resume_ms);
    if (m->kill_ms > 0)
        next = wr_min(next, m->kill_ms);
    if (next == UINT64_MAX)
        return next;
    return next > wr_now() ? next - wr_now() : 0;
}

/* ---- the end ---- */

/* The pid file may have been renamed: remove the path only if it is the file this process wrote. */
static void remove_if_ours(const char *path)
{
    struct stat ours, there;

    if (fstat(wr_master.pid_fd, &ours) == 0 && stat(path, &there) == 0
        && ours.st_ino == there.st_ino && ours.st_dev == there.st_dev && !wr_file_remove(path))
        wr_say(WR_LOG_ERROR, errno, "unlink() \"%s\" failed", path);
}

static void remove_pid_file(void)
{
    char old[4096];

    if (wr_master.pid_path == NULL)
        return;
    snprintf(old, sizeof(old), "%s.oldbin", wr_master.pid_path);
    remove_if_ours(wr_master.pid_path);
    remove_if_ours(old);
    if (wr_master.inherited && !wr_old_master_is_alive()) /* which may have been killed */
        (void)wr_file_remove(old);
}

void wr_master_free(void)
{
    struct wr_cycle *c, *old;

    wr_console_use(NULL);
    for (c = wr_master.cycle; c != NULL; c = old) {
        old = c->old;
        if (getpid() != wr_master.pid)
            c->nchildren = 0; /* only the master releases slots */
        wr_cycle_free(c);
    }
    wr_master.cycle = NULL;
    free(wr_master.pid_path);
    wr_pool_drop_cache();
}

static void run_loop(void)
{
    while (wr_master.going == WR_RUNNING || wr_children_alive() > 0) {
        wr_signals_wait(time_to_sleep());
        wr_clock_update();
        wr_reports_take(wr_child_reported);
        take_signals();
        keep_deadlines();
    }
}

int wr_master_run(struct wr_cycle *c, const struct wr_options *o)
{
    struct wr_master *m = &wr_master;

    m->options = o;
    m->cycle = c;
    if (!begin_master(c)) {
        m->code = 1;
    } else if (!wr_core_of(c->conf)->master_process) {
        m->code = wr_single_run(c);
    } else {
        wr_launch_begin(c);
        run_loop();
    }
    wr_sockets_end(m->new_binary > 0 || wr_old_master_is_alive());
    remove_pid_file();
    wr_say(WR_LOG_NOTICE, 0, "exit");
    wr_master_free();
    return m->code;
}
