/* core_set: the longer setters of core_conf, and the pure parsers behind them. */
#include "app/app.h"

#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

bool wr_set_events(struct wr_cf *cf, void *conf)
{
    (void)conf;
    return wr_cf_block(cf, 0, WR_LV_EVENTS, NULL, NULL);
}

static bool invalid_value(struct wr_cf *cf)
{
    return wr_cf_error(cf, 1, "\"%s\" directive invalid value", cf->row->name);
}

static bool invalid_number(struct wr_cf *cf)
{
    return wr_cf_error(cf, 1, "\"%s\" directive invalid number", cf->row->name);
}

/* ---- user ---- */

bool wr_user_find(struct wr_str user, struct wr_str group, struct wr_core_conf *c)
{
    const struct passwd *pw = getpwnam(user.p);
    const struct group *gr;

    if (pw == NULL)
        return false;
    c->user = user;
    c->uid = pw->pw_uid;
    gr = getgrnam(group.n > 0 ? group.p : user.p);
    if (gr != NULL)
        c->gid = gr->gr_gid;
    return gr != NULL;
}

bool wr_set_user(struct wr_cf *cf, void *conf)
{
    struct wr_core_conf *c = conf;
    struct wr_str user = wr_cf_arg(cf, 1);
    struct wr_str group = cf->nargs > 1 ? wr_cf_arg(cf, 2) : user;

    if (geteuid() != 0) {
        wr_cf_warn(cf, 0, "the \"user\" directive makes sense only if the master process runs "
                   "with super-user privileges, ignored");
        return true;
    }
    if (wr_user_find(user, group, c))
        return true;
    if (c->user.n == 0)
        return wr_cf_error(cf, 1, "getpwnam(\"" WR_FMT "\") failed", WR_ARG(user));
    return wr_cf_error(cf, cf->nargs, "getgrnam(\"" WR_FMT "\") failed", WR_ARG(group));
}

/* ---- workers ---- */

/* CPUs this process may use. */
static uint32_t count_cpus(void)
{
    cpu_set_t allowed;
    int n;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        return 1;
    n = CPU_COUNT(&allowed);
    return n > 0 ? (uint32_t)n : 1;
}

bool wr_set_workers(struct wr_cf *cf, void *conf)
{
    struct wr_core_conf *c = conf;
    uint64_t n;

    if (wr_str_is(wr_cf_arg(cf, 1), "auto")) {
        c->worker_processes = wr_min(count_cpus(), WR_WORKERS_MAX);
        return true;
    }
    if (!wr_str_u64(wr_cf_arg(cf, 1), &n))
        return invalid_value(cf);
    if (n == 0)
        return wr_cf_error_hint(cf, 1, "at least one worker is needed; write 1 or auto",
                                "\"worker_processes\" directive invalid value");
    if (n > WR_WORKERS_MAX)
        return wr_cf_error(cf, 1, "\"worker_processes\" is too large, the maximum is %d",
                           WR_WORKERS_MAX);
    c->worker_processes = (uint32_t)n;
    return true;
}

bool wr_affinity_parse(struct wr_str mask, cpu_set_t *out, char *bad)
{
    size_t cpu = 0;

    CPU_ZERO(out);
    *bad = '\0';
    for (size_t i = mask.n; i > 0; i--) {
        char c = mask.p[i - 1];

        if (c == ' ')
            continue;
        if (c != '0' && c != '1') {
            *bad = c;
            return false;
        }
        if (cpu >= CPU_SETSIZE)
            return false;
        if (c == '1')
            CPU_SET(cpu, out);
        cpu++;
    }
    return true;
}

int wr_affinity_auto(const cpu_set_t *allowed, uint32_t worker)
{
    int n = CPU_COUNT(allowed), at;

    if (n == 0)
        return -1;
    at = (int)(worker % (uint32_t)n);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET((size_t)cpu, allowed) && at-- == 0)
            return cpu;
    }
    return -1;
}

static bool add_mask(struct wr_cf *cf, struct wr_core_conf *c, uint32_t i)
{
    cpu_set_t mask;
    char bad;

    if (wr_affinity_parse(wr_cf_arg(cf, i), &mask, &bad)) {
        *wr_vec_push(cf->pool, &c->affinity) = mask;
        return true;
    }
    if (bad == '\0')
        return wr_cf_error(cf, i, "\"worker_cpu_affinity\" supports up to %d CPUs only",
                           CPU_SETSIZE);
    return wr_cf_error(cf, i, "invalid character \"%c\" in \"worker_cpu_affinity\"", bad);
}

bool wr_set_affinity(struct wr_cf *cf, void *conf)
{
    struct wr_core_conf *c = conf;

    c->affinity_auto = wr_str_is(wr_cf_arg(cf, 1), "auto");
    if (c->affinity_auto && cf->nargs > 2)
        return wr_cf_error(cf, 0, "invalid number of arguments in \"worker_cpu_affinity\" "
                           "directive");
    for (uint32_t i = c->affinity_auto ? 2 : 1; i <= cf->nargs; i++) {
        if (!add_mask(cf, c, i))
            return false;
    }
    return true;
}

bool wr_set_priority(struct wr_cf *cf, void *conf)
{
    struct wr_str s = wr_cf_arg(cf, 1);
    bool negative = s.n > 0 && s.p[0] == '-';
    uint64_t n;

    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
        s = wr_str_skip(s, 1);
    if (!wr_str_u64(s, &n))
        return invalid_number(cf);
    n = wr_min(n, 20U); /* the kernel would clamp as well */
    ((struct wr_core_conf *)conf)->worker_priority = negative ? -(int32_t)n : (int32_t)n;
    return true;
}

/* Checked here, because an error in a worker comes too late. Still, this process may enter a folder
 * that the workers' user may not: then the workers fail to start. */
bool wr_set_working_directory(struct wr_cf *cf, void *conf)
{
    const char *path = wr_pool_cstr(cf->pool, wr_cf_arg(cf, 1));
    struct stat st;
    int err = stat(path, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;

    if (err == 0 && geteuid() != 0 && access(path, X_OK) != 0)
        err = errno;
    ((struct wr_core_conf *)conf)->working_directory = wr_str_c(path);
    return err == 0 || wr_cf_error(cf, 1, "chdir(\"%s\") failed (%d: %s)", path, err,
                                   strerror(err));
}

/* Only root may exceed the hard limit. */
static void warn_of_hard_limit(struct wr_cf *cf, bool is_size, uint64_t value)
{
    struct rlimit r;

    if (geteuid() != 0 && getrlimit(is_size ? RLIMIT_CORE : RLIMIT_NOFILE, &r) == 0
        && value > r.rlim_max)
        wr_cf_warn(cf, 1, "\"%s\" exceeds the hard limit of %llu, which only root can raise: "
                   "ignored", cf->row->name, (unsigned long long)r.rlim_max);
}

bool wr_set_rlimit(struct wr_cf *cf, void *conf)
{
    struct wr_limit *limit = WR_FIELD(cf, conf, struct wr_limit);
    bool is_size = cf->row->offset == offsetof(struct wr_core_conf, rlimit_core);

    if (is_size && !wr_parse_size(wr_cf_arg(cf, 1), &limit->value))
        return invalid_value(cf);
    if (!is_size && !wr_str_u64(wr_cf_arg(cf, 1), &limit->value))
        return invalid_number(cf);
    warn_of_hard_limit(cf, is_size, limit->value);
    limit->set = true;
    return true;
}

bool wr_set_shutdown_timeout(struct wr_cf *cf, void *conf)
{
    struct wr_limit *limit = &((struct wr_core_conf *)conf)->shutdown_timeout;

    if (!wr_parse_msec(wr_cf_arg(cf, 1), &limit->value))
        return invalid_value(cf);
    limit->set = limit->value > 0;
    return true;
}

bool wr_set_env(struct wr_cf *cf, void *conf)
{
    struct wr_core_conf *c = conf;

    *wr_vec_push(cf->pool, &c->env) = wr_cf_arg(cf, 1);
    return true;
}

/* ---- load_module ---- */

struct wr_str wr_module_file_word(struct wr_str path)
{
    struct wr_str prefix = WR_STR("ngx_"), suffix = WR_STR("_module.so"), none = { NULL, 0 };
    size_t slash = wr_str_rfind(path, '/');

    if (slash < path.n)
        path = wr_str_skip(path, slash + 1);
    if (!wr_str_starts(path, prefix) || !wr_str_ends(path, suffix) ||
        path.n <= prefix.n + suffix.n)
        return none;
    return wr_str_of(path.p + prefix.n, path.n - prefix.n - suffix.n);
}

/* nginx's files are named "ngx_http_geoip_module.so"; -V lists modules of http without "http_". */
bool wr_set_load_module(struct wr_cf *cf, void *conf)
{
    struct wr_str word = wr_module_file_word(wr_cf_arg(cf, 1)), http = WR_STR("http_");

    (void)conf;
    if (word.n > 0 && wr_has_module_word(word))
        return true;
    if (wr_str_starts(word, http) && wr_has_module_word(wr_str_skip(word, http.n)))
        return true;
    return wr_cf_error_hint(cf, 1, "all modules of weir are built in, \"weir -V\" lists them",
                            "module \"" WR_FMT "\" is not in this build", WR_ARG(wr_cf_arg(cf, 1)));
}

/* ---- events ---- */

bool wr_set_connections(struct wr_cf *cf, void *conf)
{
    uint64_t n;

    if (!wr_str_u64(wr_cf_arg(cf, 1), &n) || n > UINT32_MAX)
        return wr_cf_error(cf, 1, "invalid number \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 1)));
    if (n == 0)
        return wr_cf_error(cf, 1, "0 worker_connections are not enough");
    ((struct wr_core_conf *)conf)->worker_connections = (uint32_t)n;
    return true;
}

bool wr_set_use(struct wr_cf *cf, void *conf)
{
    (void)conf;
    if (wr_str_is(wr_cf_arg(cf, 1), "epoll"))
        return true;
    return wr_cf_error_hint(cf, 1, "weir always uses epoll; \"use\" is not needed",
                            "invalid event type \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 1)));
}

bool wr_set_debug_connection(struct wr_cf *cf, void *conf)
{
    struct wr_core_conf *c = conf;

    return wr_cf_networks(cf, 1, &c->debug_connection);
}
