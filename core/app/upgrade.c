/* upgrade: the next binary (SIGUSR2). The old master runs its own command line again, and passes
 * the descriptors of its listening sockets and of its shared memory on, in the environment variable
 * WEIR. Both masters run until one of them is told to quit. Called by main at start and by the
 * master; owns the copy of the command line.
 *
 * The lines of WEIR:
 *   listen TYPE FD,FD,... ADDRESS   sockets
 *   place HALF GENERATION           the new master's half of the slots; the last generation so far
 *   run SEGMENTS, conf SEGMENTS     shared memory: of the processes, of the configuration
 *   pid PATH                        the old master's pid file
 * That file is renamed to PATH.oldbin only when the new binary is ready. */
#include "app/app.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#define VARIABLE "WEIR"
#define TEXT_MAX (96 * 1024) /* the kernel takes 128 KB in one string */

static char **command;       /* the command line of this process */
static char *line;           /* the same as one text */
static const char *program;  /* absolute */
static struct wr_shm_set *old_run, *old_conf;
static char *old_pid;        /* path of the old master's pid file, until this one serves */
static bool pid_moved;

static char *copy_text(const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(wr_malloc(n), s, n);
}

static char *copy_str(struct wr_str s)
{
    char *to = wr_malloc(s.n + 1);

    memcpy(to, s.p, s.n);
    to[s.n] = '\0';
    return to;
}

/* The path of the program: searched in PATH, or relative to the current directory. Symbolic links
 * are not resolved: when the upgrade comes, one may point to the next version. */
static const char *locate_program(const char *name)
{
    char path[8192], cwd[4096];
    struct wr_str dirs = wr_str_c(getenv("PATH"));

    if (name[0] == '/')
        return copy_text(name);
    if (strchr(name, '/') != NULL) {
        if (getcwd(cwd, sizeof(cwd)) == NULL)
            return copy_text(name);
        snprintf(path, sizeof(path), "%s/%s", cwd, name);
        return copy_text(path);
    }
    while (dirs.p != NULL) {
        struct wr_str dir = wr_str_cut(&dirs, ':');

        snprintf(path, sizeof(path), WR_FMT "/%s", WR_ARG(dir), name);
        if (dir.n > 0 && access(path, X_OK) == 0)
            return copy_text(path);
    }
    return copy_text("/proc/self/exe");
}

void wr_upgrade_remember(char **argv)
{
    size_t n = 0, length = 1, at = 0;

    while (argv[n] != NULL)
        length += strlen(argv[n++]) + 1;
    command = wr_calloc(n + 1, sizeof(char *));
    line = wr_calloc(1, length);
    for (size_t i = 0; i < n; i++) {
        command[i] = copy_text(argv[i]);
        at += (size_t)snprintf(line + at, length - at, "%s%s", i > 0 ? " " : "", argv[i]);
    }
    program = locate_program(argv[0]);
}

const char *wr_command_line(void)
{
    return line;
}

/* ---- the new binary ---- */

static void take_place(struct wr_str text)
{
    uint64_t half, generation;

    if (wr_str_u64(wr_str_cut(&text, ' '), &half) && half <= 1)
        wr_master.half = (uint32_t)half;
    if (wr_str_u64(text, &generation) && generation <= INT32_MAX)
        wr_master.generation = (uint32_t)generation;
}

static void take_lines(struct wr_str text)
{
    struct wr_str run = WR_STR("run "), conf = WR_STR("conf "), place = WR_STR("place ");
    struct wr_str pid = WR_STR("pid ");

    while (text.n > 0) {
        struct wr_str l = wr_str_cut(&text, '\n');

        if (wr_str_starts(l, run) && old_run == NULL)
            old_run = wr_shm_import(wr_str_skip(l, run.n));
        else if (wr_str_starts(l, conf) && old_conf == NULL)
            old_conf = wr_shm_import(wr_str_skip(l, conf.n));
        else if (wr_str_starts(l, place))
            take_place(wr_str_skip(l, place.n));
        else if (wr_str_starts(l, pid) && old_pid == NULL)
            old_pid = copy_str(wr_str_skip(l, pid.n));
        else if (!wr_sockets_import(l))
            wr_say(WR_LOG_WARN, 0, "invalid line \"" WR_FMT "\" in " VARIABLE
                   " environment variable, ignored", WR_ARG(l));
    }
}

bool wr_is_new_binary(void)
{
    return getenv(VARIABLE) != NULL;
}

bool wr_upgrade_inherit(void)
{
    const char *text = getenv(VARIABLE);
    char *mine;

    wr_master.parent = getppid();
    if (text == NULL)
        return false;
    mine = copy_text(text);
    unsetenv(VARIABLE);
    wr_say(WR_LOG_NOTICE, 0, "using inherited sockets and shared memory");
    take_lines(wr_str_c(mine));
    free(mine);
    wr_sockets_inherit(false);
    wr_master.inherited = true;
    return true;
}

struct wr_shm_set *wr_upgrade_shm(void)
{
    return wr_master.run_fresh ? NULL : old_conf;
}

struct wr_shm_set *wr_upgrade_run(void)
{
    return old_run;
}

bool wr_old_master_is_alive(void)
{
    return wr_master.inherited && getppid() == wr_master.parent;
}

void wr_upgrade_settled(void)
{
    wr_shm_set_free(old_run);
    wr_shm_set_free(old_conf);
    old_run = old_conf = NULL;
    free(old_pid);
    old_pid = NULL;
}

static bool rename_pid(const char *path, bool back)
{
    char old[4096];
    const char *from = back ? old : path, *to = back ? path : old;

    snprintf(old, sizeof(old), "%s.oldbin", path);
    if (wr_file_rename(from, to))
        return true;
    if (errno != ENOENT) /* ENOENT: another process moved it, or it was not moved before */
        wr_say(WR_LOG_ERROR, errno, "rename() \"%s\" to \"%s\" failed", from, to);
    return false;
}

void wr_upgrade_move_pid(bool back)
{
    if (old_pid != NULL && back == pid_moved)
        pid_moved = rename_pid(old_pid, back) ? !back : pid_moved;
}

/* ---- the old binary ---- */

static bool write_variable(struct wr_text *t)
{
    wr_text_c(t, VARIABLE "=");
    wr_sockets_export(t);
    wr_text_fmt(t, "place %u %u\nrun ", 1 - wr_master.half, wr_master.generation);
    wr_shm_export(wr_master.shm, t);
    wr_text_c(t, "\nconf ");
    wr_shm_export(wr_master.cycle->conf->shm, t);
    wr_text_fmt(t, "\npid %s\n", wr_master.pid_path);
    if (t->overflow)
        wr_say(WR_LOG_ALERT, 0, "too many sockets and zones for an upgrade");
    return !t->overflow;
}

static void execute_binary(char *variable)
{
    size_t n = 0;
    char **env;
    sigset_t none;

    while (environ[n] != NULL)
        n++;
    env = wr_calloc(n + 2, sizeof(char *));
    memcpy(env, environ, n * sizeof(char *));
    env[n] = variable;
    wr_sockets_inherit(true);
    wr_shm_inherit(wr_master.shm, true);
    wr_shm_inherit(wr_master.cycle->conf->shm, true);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(program, command, env);
    wr_say(WR_LOG_ALERT, errno, "execve() failed while executing new binary process \"%s\"",
           program);
    _exit(2);
}

static void start_binary(struct wr_text *t)
{
    const char *text;
    pid_t pid;

    if (!write_variable(t) || !wr_text_cstr(t, &text))
        return;
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        execute_binary((char *)(uintptr_t)text);
    if (pid < 0) {
        wr_say(WR_LOG_ALERT, errno, "fork() failed while spawning \"new binary process\"");
        return;
    }
    wr_master.new_binary = pid;
    wr_say(WR_LOG_NOTICE, 0, "start new binary process %d", (int)pid);
}

void wr_upgrade_start(void)
{
    struct wr_pool *pool;
    struct wr_text t;

    if (wr_master.going != WR_RUNNING || wr_master.new_binary > 0 || wr_old_master_is_alive()) {
        wr_say(WR_LOG_CRIT, 0, "the changing binary signal is ignored: you should shutdown or "
               "terminate before either old or new binary's process");
        return;
    }
    wr_say(WR_LOG_NOTICE, 0, "changing binary");
    pool = wr_pool_new(0);
    t = wr_text_grow(pool, 4096, TEXT_MAX);
    start_binary(&t);
    wr_pool_free(pool);
}

void wr_upgrade_ended(int status)
{
    if (WIFSIGNALED(status))
        wr_say(WR_LOG_ALERT, 0, "new binary process %d exited on signal %d",
               (int)wr_master.new_binary, WTERMSIG(status));
    else
        wr_say(WEXITSTATUS(status) != 0 ? WR_LOG_ERROR : WR_LOG_NOTICE, 0,
               "new binary process %d exited with code %d, the old binary continues",
               (int)wr_master.new_binary, WEXITSTATUS(status));
    wr_master.new_binary = 0;
    wr_sockets_unsteer();
    (void)rename_pid(wr_master.pid_path, true);
    if (!wr_master.stopped)
        wr_children_commit_again();
    else if (!wr_launch_is_pending()) /* HUP may have asked for it already */
        wr_master.resume_ms = wr_now();
}
