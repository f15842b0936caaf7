/* core_conf: the directives of main and events {}. core/config applies them at load; the structs
 * live as long as their configuration. Setters of more than a line are in core_set. */
#include "app/app.h"

#include <sys/resource.h>
#include <unistd.h>

/* Directives of nginx that have no effect in weir: the value is checked, and the help row says why
 * weir does not need it. */
static bool ignored_flag(struct wr_cf *cf, void *conf)
{
    bool unused; /* the row has offset 0 */

    (void)conf;
    return wr_set_flag(cf, &unused);
}

static bool ignored_msec(struct wr_cf *cf, void *conf)
{
    uint64_t unused;

    (void)conf;
    return wr_set_msec(cf, &unused);
}

/* Patterns are compiled while the file is read, so the value is applied here. */
static bool set_pcre_jit(struct wr_cf *cf, void *conf)
{
    bool ok = wr_set_flag(cf, conf);

    wr_regex_jit = ((struct wr_core_conf *)conf)->pcre_jit;
    return ok;
}

static const struct wr_enum debug_points[] = {
    { "stop", WR_DEBUG_STOP }, { "abort", WR_DEBUG_ABORT }, { NULL, 0 }
};

#define CORE struct wr_core_conf
#define ONCE(field) offsetof(struct wr_core_conf, field)

static const struct wr_directive directives[] = {
    WR_CUSTOM("events", WR_LV_MAIN | WR_BLOCK, 0, 0, wr_set_events, NULL,
              "settings of connection handling; may be left out"),
    WR_CUSTOM("user", WR_LV_MAIN, 1, 2, wr_set_user, NULL,
              "user and group of the workers and the keeper, when started by root"),
    WR_FLAG("daemon", WR_LV_MAIN, CORE, daemon, "on", "runs in the background"),
    WR_FLAG("master_process", WR_LV_MAIN, CORE, master_process, "on",
            "off: one process does everything, without reload, upgrade or replacement"),
    WR_CUSTOM("worker_processes", WR_LV_MAIN, 1, 1, wr_set_workers, "1",
              "number of workers; auto: one for each CPU weir may use"),
    WR_CUSTOM("worker_cpu_affinity", WR_LV_MAIN, 1, WR_ARGS_ANY, wr_set_affinity, NULL,
              "CPUs of each worker as bit masks, or auto [mask]: one CPU for each worker"),
    WR_CUSTOM("worker_priority", WR_LV_MAIN, 1, 1, wr_set_priority, "0",
              "scheduling priority (nice value) of the workers: -20 to 20"),
    { .name = "worker_rlimit_nofile", .where = WR_LV_MAIN, .min = 1, .max = 1,
      .set = wr_set_rlimit, .offset = ONCE(rlimit_nofile),
      .help = "limit of open files of the workers (RLIMIT_NOFILE)" },
    { .name = "worker_rlimit_core", .where = WR_LV_MAIN, .min = 1, .max = 1,
      .set = wr_set_rlimit, .offset = ONCE(rlimit_core),
      .help = "largest core file of a worker (RLIMIT_CORE); without it, no core files" },
    WR_CUSTOM("worker_shutdown_timeout", WR_LV_MAIN, 1, 1, wr_set_shutdown_timeout, NULL,
              "a graceful shutdown closes sessions that are still open after this time"),
    WR_CUSTOM("working_directory", WR_LV_MAIN, 1, 1, wr_set_working_directory, NULL,
              "current directory of the workers; core files are written there"),
    WR_CUSTOM("env", WR_LV_MAIN | WR_MULTI, 1, 1, wr_set_env, NULL,
              "NAME or NAME=value: an environment variable of the workers, which get no others but "
              "TZ"),
    WR_ROW("lock_file", WR_LV_MAIN, 1, 1, wr_set_path, CORE, lock_file, NULL, NULL,
           "no effect: weir has no accept mutex, and its locks are in shared memory"),
    WR_ROW("pid", WR_LV_MAIN, 1, 1, wr_set_path, CORE, pid, NULL, NULL,
           "file with the process ID of the master"),
    { .name = "pcre_jit", .where = WR_LV_MAIN, .min = 1, .max = 1, .set = set_pcre_jit,
      .offset = ONCE(pcre_jit), .def = "on",
      .help = "compiles regular expressions to machine code" },
    WR_CUSTOM("timer_resolution", WR_LV_MAIN, 1, 1, ignored_msec, NULL,
              "no effect: the clock is read once in each turn of the event loop"),
    WR_ENUM("debug_points", WR_LV_MAIN, CORE, debug_points, debug_points, NULL,
            "what a process does after an internal error: stop for a debugger, or abort"),
    WR_CUSTOM("load_module", WR_LV_MAIN | WR_MULTI, 1, 1, wr_set_load_module, NULL,
              "accepted for modules that are built in; weir loads no files"),

    WR_CUSTOM("worker_connections", WR_LV_EVENTS, 1, 1, wr_set_connections, "512",
              "most open connections of a worker, to clients and servers; a tenth is reserved for "
              "servers; when all workers are full, new clients are closed"),
    WR_CUSTOM("use", WR_LV_EVENTS, 1, 1, wr_set_use, NULL,
              "the event method; weir has only epoll"),
    WR_CUSTOM("multi_accept", WR_LV_EVENTS, 1, 1, ignored_flag, NULL,
              "no effect: a worker always accepts all waiting connections, 64 in a turn"),
    WR_CUSTOM("accept_mutex", WR_LV_EVENTS, 1, 1, ignored_flag, NULL,
              "no effect: each worker accepts on sockets of its own (SO_REUSEPORT)"),
    WR_CUSTOM("accept_mutex_delay", WR_LV_EVENTS, 1, 1, ignored_msec, NULL,
              "no effect: there is no accept mutex"),
    WR_CUSTOM("worker_aio_requests", WR_LV_EVENTS, 1, 1, wr_set_ignored_num, NULL,
              "no effect: weir does not use kernel AIO"),
    WR_CUSTOM("debug_connection", WR_LV_EVENTS | WR_MULTI, 1, 1, wr_set_debug_connection, NULL,
              "clients (address, CIDR, unix:) whose sessions are logged at level debug"),
    { .name = NULL },
};

/* ---- after the file ---- */

/* c is the struct of the main scope; that of events is a copy of it. */
static bool finish_user(struct wr_cf *cf, CORE *c)
{
    if (c->user.n > 0 || geteuid() != 0)
        return true;
    if (wr_user_find(WR_STR(WR_USER), WR_STR(WR_GROUP), c))
        return true;
    return wr_cf_error(cf, 0, "user \"%s\" or group \"%s\" does not exist; name others with the "
                       "\"user\" directive", WR_USER, WR_GROUP);
}

static void warn_of_limit(struct wr_cf *cf, const CORE *c)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    if (c->worker_connections > r.rlim_cur &&
        (!c->rlimit_nofile.set || c->worker_connections > c->rlimit_nofile.value))
        wr_cf_warn(cf, 0, "%u worker_connections exceed open file resource limit: %llu",
                   c->worker_connections, (unsigned long long)r.rlim_cur);
}

static bool core_finish(struct wr_cf *cf, struct wr_scope *scope, void *conf)
{
    CORE *c = conf;

    if (scope->level == WR_LV_EVENTS)
        warn_of_limit(cf, c);
    if (scope->level != WR_LV_MAIN)
        return true;
    if (c->pid.n == 0)
        c->pid = wr_str_c(wr_paths.pid);
    if (c->lock_file.n == 0)
        c->lock_file = wr_str_c(wr_paths.lock);
    if (!c->affinity_auto && c->affinity.n > 1 && c->affinity.n != c->worker_processes)
        wr_cf_warn(cf, 0, "the number of \"worker_processes\" is not equal to the number of "
                   "\"worker_cpu_affinity\" masks, using last mask for remaining worker "
                   "processes");
    return finish_user(cf, c);
}

const struct wr_core_conf *wr_core_of(const struct wr_conf *c)
{
    return wr_scope_conf(c->main, &wr_module_core);
}

const struct wr_core_conf *wr_events_of(const struct wr_conf *c)
{
    return wr_scope_conf(wr_conf_events(c), &wr_module_core);
}

struct wr_module wr_module_core = {
    .name = "core",
    .conf_size = sizeof(struct wr_core_conf),
    .directives = directives,
    .finish = core_finish,
};
