/* cycle: one generation of the configuration: loads it and what belongs to it. Called by main and
 * master, which starts the generation's processes and ends them. Owns the configuration, the owner
 * map and the table of children. */
#include "app/app.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_TEST_MS 3000

/* Print errors and warnings to the console, with carets below the words, and to the log. */
static void print_report(const struct wr_conf *c)
{
    FILE *to = wr_console_file();

    if (to != NULL || wr_console_log() != NULL)
        wr_diag_print(c->tree, to, wr_console_log());
}

static bool is_right(struct wr_conf *c)
{
    c->report = print_report;
    print_report(c);
    if (c->tree->errors == 0 && wr_nat_wanted(c) && !wr_core_of(c)->master_process) {
        wr_say(WR_LOG_EMERG, 0, "\"forward nat\" needs a process of its own: not with "
               "\"master_process off\"");
        return false;
    }
    return c->tree->errors == 0;
}

uid_t wr_log_owner(const struct wr_conf *c)
{
    const struct wr_core_conf *core = wr_core_of(c);

    return geteuid() == 0 && core->user.n > 0 ? core->uid : (uid_t)-1;
}

/* Give log files to the workers' user. Now: only this process knows which ones it has created. */
static void give_logs(const struct wr_conf *c)
{
    if (wr_log_owner(c) != (uid_t)-1)
        wr_sink_give_new(wr_log_owner(c));
}

/* A zone of the old set whose layout fits is used on, with its contents. */
static bool open_zones(struct wr_conf *conf, struct wr_shm_set *old)
{
    bool done;

    conf->old_shm = old;
    done = wr_upstreams_open(conf);
    conf->old_shm = NULL;
    return done;
}

/* The pid file is written last, by launch, when everything else has succeeded. Check beforehand
 * what can be checked without touching the file. */
static bool check_pid(const struct wr_conf *c)
{
    struct wr_str pid = wr_core_of(c)->pid;
    char folder[4096];
    struct stat st;

    snprintf(folder, sizeof(folder), "%.*s", (int)wr_str_rfind(pid, '/'), pid.p);
    if (stat(pid.p, &st) == 0 && S_ISDIR(st.st_mode))
        errno = EISDIR;
    else if (access(folder[0] != '\0' ? folder : "/", W_OK) == 0 || access(pid.p, W_OK) == 0)
        return true;
    wr_say(WR_LOG_EMERG, errno, "open() \"" WR_FMT "\" failed", WR_ARG(pid));
    return false;
}

static struct wr_cycle *cycle_new(struct wr_conf *conf, struct wr_shm_set *old)
{
    const struct wr_core_conf *core;
    struct wr_cycle *c;

    if (!is_right(conf) || !check_pid(conf) || !wr_folders_make(conf) || !open_zones(conf, old)) {
        wr_folders_undo();
        wr_sink_undo_new();
        wr_conf_free(conf);
        return NULL;
    }
    wr_phases_mark(conf);
    give_logs(conf);
    core = wr_core_of(conf);
    c = wr_calloc(1, sizeof(*c));
    c->conf = conf;
    c->conf_users = wr_calloc(1, sizeof(*c->conf_users));
    *c->conf_users = 1;
    c->workers = core->master_process ? core->worker_processes : 1;
    c->nat_fd[0] = c->nat_fd[1] = -1;
    return c;
}

struct wr_cycle *wr_cycle_load(const struct wr_cycle *running, struct wr_str globals)
{
    struct wr_conf inherited = { .shm = wr_upgrade_shm() };
    const struct wr_conf *old = running != NULL ? running->conf : &inherited;

    return cycle_new(wr_conf_load(wr_paths.conf, globals, wr_paths.prefix,
                                  old->shm != NULL ? old : NULL), old->shm);
}

struct wr_cycle *wr_cycle_load_text(const char *name, struct wr_str text)
{
    return cycle_new(wr_conf_load_text(name, text, WR_STR(""), wr_paths.prefix), NULL);
}

struct wr_cycle *wr_cycle_again(struct wr_cycle *c)
{
    struct wr_cycle *again = wr_calloc(1, sizeof(*again));

    again->conf = c->conf;
    again->resumed = true;
    again->conf_users = c->conf_users;
    again->workers = c->workers;
    again->nat_fd[0] = again->nat_fd[1] = -1;
    ++*c->conf_users;
    return again;
}

void wr_cycle_free(struct wr_cycle *c)
{
    for (uint32_t i = 0; i < c->nchildren; i++) {
        wr_slot_release(c->child[i].slot);
        wr_report_close(&c->child[i]);
    }
    wr_nat_channel_close(c);
    if (c->shared_owner != NULL)
        (void)munmap(c->shared_owner, wr_max(c->nshares, 1U) * sizeof(*c->shared_owner));
    free(c->owner);
    if (c->full != NULL)
        (void)munmap(c->full, wr_max(c->workers, 1U) * sizeof(*c->full));
    if (--*c->conf_users == 0) {
        wr_conf_free(c->conf);
        free(c->conf_users);
    }
    free(c->child);
    free(c);
}

/* ---- -t ---- */

static bool test_conf(struct wr_conf *c, const struct wr_options *o)
{
    if (!is_right(c))
        return false;
    give_logs(c);
    if (!wr_upstreams_open(c))
        return false;
    if (!o->quiet)
        fprintf(stderr, "weir: the configuration file %s syntax is ok\n", c->path);
    wr_names_start(c, NAMES_TEST_MS);
    return wr_folders_check(c) && wr_sockets_probe(c) && check_pid(c);
}

int wr_cycle_test(const struct wr_options *o)
{
    struct wr_conf *c = wr_conf_load(wr_paths.conf, wr_str_c(o->globals), wr_paths.prefix, NULL);
    bool ok = test_conf(c, o);

    if (!ok || !o->quiet)
        fprintf(stderr, "weir: configuration file %s test %s\n", c->path,
                ok ? "is successful" : "failed");
    if (ok && o->dump)
        wr_tree_dump(c->tree, stdout);
    wr_conf_free(c);
    return ok ? 0 : 1;
}
