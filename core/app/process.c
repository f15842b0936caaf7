/* process: the slots of the run segment, and the initialisation of every new process: wr_self,
 * limits, rights, environment. Called by supervise in the master, by worker, keeper and nat_process
 * in the child.
 *
 * The processes of a generation inherit the doorbells of each other. Each generation has new ones:
 * what an old process does to one harms its own generation only. The master keeps its own list of
 * the slots in use: any process can write to the segment, so its contents may be wrong. */
#include "app/app.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- slots ---- */

#define HALF (WR_SLOTS / 2)
#define LOOK_NS 5000000      /* a thousand looks take one millisecond */
#define OWN_LOCK_MS 100      /* a keeper holds the lock of a slot for a moment while it sweeps */

static bool given[WR_SLOTS];

/* An orphan of an earlier master may still live in a slot of our half; it holds the slot's lock.
 * locked_too: take such a slot as well. A process may lock every slot, and so many bytes that each
 * look takes milliseconds: the master does not look for long. */
static uint32_t find_slot(bool locked_too)
{
    uint64_t until = wr_time_ns() + LOOK_NS;

    for (uint32_t i = wr_master.half * HALF; i < (wr_master.half + 1) * HALF; i++) {
        if (!given[i] && (locked_too || !wr_locked(wr_self.run_fd, i)))
            return i;
        if (!locked_too && wr_time_ns() > until)
            break;
    }
    return WR_SLOT_NONE;
}

static bool make_bell(uint32_t i)
{
    wr_self.bell_of[i] = wr_bell_new();
    if (wr_self.bell_of[i] < 0)
        wr_say(WR_LOG_EMERG, errno, "timerfd_create() of a doorbell failed");
    return wr_self.bell_of[i] >= 0;
}

uint32_t wr_slot_take(enum wr_kind kind, uint32_t generation, uint32_t index)
{
    uint32_t i = find_slot(false);
    struct wr_slot *s;

    if (i == WR_SLOT_NONE)
        i = find_slot(true);
    if (i == WR_SLOT_NONE) {
        wr_say(WR_LOG_EMERG, 0, "all %d process slots are in use: workers of earlier "
               "configurations are still finishing their sessions (see "
               "\"worker_shutdown_timeout\")", HALF);
        return i;
    }
    if (!make_bell(i))
        return WR_SLOT_NONE;
    given[i] = true;
    s = &wr_self.run->slot[i];
    atomic_store(&s->kind, (uint32_t)kind);
    atomic_store(&s->generation, generation);
    atomic_store(&s->index, index);
    wr_slot_ready(i);
    return i;
}

void wr_slot_ready(uint32_t slot)
{
    struct wr_slot *s = &wr_self.run->slot[slot];

    atomic_store(&s->bell, 0);
    atomic_store(&s->asleep, 0);
    atomic_store(&s->beat_ms, 0);
}

void wr_slot_release(uint32_t slot)
{
    if (slot == WR_SLOT_NONE)
        return;
    given[slot] = false;
    (void)close(wr_self.bell_of[slot]);
    wr_self.bell_of[slot] = -1;
    atomic_store(&wr_self.run->slot[slot].pid, 0);
}

static void settle_in(uint32_t slot)
{
    wr_self.bell_fd = wr_self.bell_of[slot];
    atomic_store(&wr_self.run->slot[slot].pid, (int32_t)getpid());
    if (!wr_lock(wr_self.run_fd, slot, OWN_LOCK_MS))
        wr_say(WR_LOG_WARN, 0, "the lock of slot %u is held by another process", slot);
}

/* ---- a new process ---- */

void wr_files_raise(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= r.rlim_max)
        return;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);
}

uint32_t wr_files_for_listening(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 512;
    return (uint32_t)wr_min(r.rlim_cur / 2, (rlim_t)INT32_MAX);
}

/* ---- what a new process logs until it is ready ---- */

static struct {          /* if the process fails, the master shows this to the user */
    FILE *file;
    char *p;
    size_t n;
} words;

static void begin_words(const struct wr_cycle *c)
{
    wr_console_to(NULL);
    wr_log_startup(false);
    wr_console_use(wr_scope_log(c->conf->main));
    if (wr_core_of(c->conf)->daemon)
        wr_console_redirect();
    words.file = open_memstream(&words.p, &words.n);
    wr_console_to(words.file);
}

static void end_words(void)
{
    wr_console_to(NULL);
    if (words.file != NULL)
        fclose(words.file);
    words.file = NULL;
}

/* "weir: [emerg] first\nweir: [emerg] second\n" -> "first; second" */
static void plain_words(struct wr_text *t)
{
    struct wr_str rest = wr_str_of(words.p, words.n), head = WR_STR("] ");

    while (rest.n > 0) {
        struct wr_str line = wr_str_cut(&rest, '\n');
        size_t at = wr_str_search(line, head);

        if (t->n > 0)
            wr_text_c(t, "; ");
        wr_text_str(t, at < line.n ? wr_str_skip(line, at + head.n) : line);
    }
}

void wr_process_ready(void)
{
    end_words();
    free(words.p);
    words.p = NULL;
    wr_report_send(WR_MSG_READY, 0, "");
}

void wr_process_fail(void)
{
    char buf[512];
    struct wr_text t = wr_text_on(buf, sizeof(buf) - 1);

    end_words();
    plain_words(&t);
    buf[t.n] = '\0';
    wr_report_send(WR_MSG_FAILED, 0, buf);
    _exit(2);
}

/* Debug builds: a test holds new processes here while this file exists. */
static void wait_for_test(void)
{
#if WR_DEBUG
    const char *file = getenv("WR_HOLD_START");

    for (int i = 0; i < 6000 && file != NULL && access(file, F_OK) == 0; i++)
        (void)usleep(10 * 1000);
#endif
}

/* Close the logs of other configurations. Otherwise SIGUSR1 would create their files again, though
 * nobody writes to them, and a removed file would keep its disk space. */
static void drop_other_logs(const struct wr_cycle *mine)
{
    for (struct wr_cycle *c = wr_master.cycle; c != NULL; c = c->old) {
        if (c->conf != mine->conf)
            wr_conf_drop_logs(c->conf);
    }
}

/* Close what only the master may use. */
static void leave_to_master(const struct wr_cycle *c)
{
    wr_answer_forget(&wr_master.answer);
    wr_answer_forget(&wr_master.next_answer);
    wr_daemon_forget();
    if (wr_master.pid_fd >= 0)
        close(wr_master.pid_fd); /* the lock stays: it belongs to the master's process */
    wr_master.pid_fd = -1;
    wr_sockets_keep_only(wr_self.kind == WR_PROC_WORKER ? c : NULL);
    wr_nat_channel_keep(c);
}

void wr_process_begin(enum wr_kind kind, const struct wr_cycle *c, uint32_t slot, uint32_t index)
{
    wr_self.slot = slot;
    wr_self.kind = kind;
    wr_self.generation = c->generation;
    wr_self.index = index;
    wr_self.workers = c->workers;
    if (slot != WR_SLOT_NONE)
        settle_in(slot);
    wr_random_reseed();
    if (kind != WR_PROC_SINGLE) {
        leave_to_master(c);
        begin_words(c);
        drop_other_logs(c);
        wait_for_test();
    }
    wr_signals_init(kind);
}

static void set_limit(int what, const char *name, const struct wr_limit *l)
{
    struct rlimit r = { .rlim_cur = l->value, .rlim_max = l->value };

    if (l->set && setrlimit((__rlimit_resource_t)what, &r) != 0)
        wr_say(WR_LOG_WARN, errno, "setrlimit(%s, %llu) failed", name,
               (unsigned long long)l->value);
}

static void set_affinity(const struct wr_core_conf *core)
{
    cpu_set_t mask;

    if (core->affinity.n > 0)
        mask = core->affinity.at[wr_min(wr_self.index, core->affinity.n - 1)];
    else if (!core->affinity_auto || sched_getaffinity(0, sizeof(mask), &mask) != 0)
        return;
    if (core->affinity_auto) {
        int cpu = wr_affinity_auto(&mask, wr_self.index);

        if (cpu < 0)
            return;
        CPU_ZERO(&mask);
        CPU_SET((size_t)cpu, &mask);
    }
    if (sched_setaffinity(0, sizeof(mask), &mask) != 0)
        wr_say(WR_LOG_ALERT, errno, "sched_setaffinity() failed");
}

#define NET_ADMIN ((uint64_t)1 << CAP_NET_ADMIN)

static void drop_rights(const struct wr_core_conf *core, uint64_t keep_caps)
{
    const char *step;

    if (geteuid() != 0 || core->user.n == 0)
        return;
    if (wr_drop_rights(core->user.p, core->uid, core->gid, keep_caps, &step))
        return;
    wr_say(WR_LOG_EMERG, errno, "%s to user \"" WR_FMT "\" failed", step, WR_ARG(core->user));
    wr_process_fail();
}

/* The kernel sends this process SIGQUIT when the master is killed, and it finishes gracefully. A
 * change of the user resets this setting, so call it afterwards. */
static void follow_master(void)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGQUIT);
    if (getppid() != wr_master.pid)
        (void)raise(SIGQUIT);
}

static void change_directory(const struct wr_core_conf *core)
{
    if (core->working_directory.n == 0 || chdir(core->working_directory.p) == 0)
        return;
    wr_say(WR_LOG_EMERG, errno, "chdir(\"" WR_FMT "\") failed", WR_ARG(core->working_directory));
    wr_process_fail();
}

/* ---- environment ---- */

static const char *find_variable(const char *name)
{
    size_t n = strlen(name);

    for (char **e = environ; *e != NULL; e++) {
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
            return *e;
    }
    return NULL;
}

static char **volatile all_of_it; /* leak checkers still find removed variables through this */

static void clean_environment(const struct wr_core_conf *core)
{
    /* TZ; in debug builds also those that programs started by this process need */
    static const char *const always[] = { "TZ", "WR_CHAOS", "ASAN_OPTIONS", "UBSAN_OPTIONS" };
    size_t n = 0, more = WR_DEBUG ? WR_COUNT(always) : 1;
    char **list = wr_calloc(core->env.n + more + 1, sizeof(char *));

    for (uint32_t i = 0; i < core->env.n; i++) {
        struct wr_str s = core->env.at[i];
        const char *value = wr_str_find(s, '=') < s.n ? s.p : find_variable(s.p);

        if (value != NULL)
            list[n++] = strdup(value);
    }
    for (size_t i = 0; i < more; i++) {
        size_t len = strlen(always[i]);
        bool named = false;

        for (size_t k = 0; k < n && !named; k++)
            named = strncmp(list[k], always[i], len) == 0 && list[k][len] == '=';
        if (!named && find_variable(always[i]) != NULL)
            list[n++] = strdup(find_variable(always[i]));
    }
    all_of_it = environ;
    environ = list;
    tzset();
}

/* ---- debug_points ---- */

static void (*dump)(void);

static void stop_for_debugger(void)
{
    if (dump != NULL)
        dump();
    (void)raise(SIGSTOP);
}

static void set_debug_points(const struct wr_core_conf *core)
{
    if (core->debug_points != WR_DEBUG_STOP)
        return; /* abort is the default */
    dump = wr_assert_hook;
    wr_assert_hook = stop_for_debugger;
}

void wr_process_settle(const struct wr_cycle *c)
{
    const struct wr_core_conf *core = wr_core_of(c->conf);

    clean_environment(core);
    set_debug_points(core);
    if (wr_self.kind == WR_PROC_WORKER) {
        if (core->worker_priority != 0 && setpriority(PRIO_PROCESS, 0, core->worker_priority) != 0)
            wr_say(WR_LOG_WARN, errno, "setpriority(%d) failed", core->worker_priority);
        set_affinity(core);
    }
    set_limit(RLIMIT_NOFILE, "RLIMIT_NOFILE", &core->rlimit_nofile);
    set_limit(RLIMIT_CORE, "RLIMIT_CORE", &core->rlimit_core);
    drop_rights(core, wr_self.kind == WR_PROC_NAT ? NET_ADMIN : c->conf->keep_caps);
    if (wr_self.kind == WR_PROC_NAT && !wr_rights_only(NET_ADMIN)) {
        wr_say(WR_LOG_EMERG, errno, "capset() failed");
        wr_process_fail();
    }
    /* Memory holds private keys, and the workers' user may run other programs: hide it from them,
     * unless a debugger or core files are wanted. */
    wr_memory_show(core->debug_points != WR_DEBUG_NONE || core->rlimit_core.set);
    follow_master();
    wr_no_new_privs();
    change_directory(core);
}
