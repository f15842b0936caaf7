/* paths: the paths of files. Called once by main, before the log is opened; the paths live as long
 * as the process.
 *
 * weir must run for a person who has just built it and cannot write to /usr/local/weir/logs. So,
 * without -p and with a default folder that is not writable, the log goes to stderr, and a private
 * folder becomes the prefix of the pid file, of temporary files and of relative paths in the
 * configuration. Each run of the demo has a folder of its own. */
#include "app/app.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

struct wr_paths wr_paths;

/* Replace *out and free the old value. */
static void replace_path(const char **out, const char *value)
{
    free((char *)(uintptr_t)*out);
    *out = value;
}

static const char *join_path(const char *folder, const char *path, const char *tail)
{
    size_t n = strlen(folder) + strlen(path) + strlen(tail) + 2;
    char *out = wr_malloc(n);

    snprintf(out, n, "%s%s%s", path[0] == '/' ? "" : folder, path, tail);
    return out;
}

/* True: the folder of the file exists and is writable. */
static bool can_write_beside(const char *path)
{
    char folder[4096];
    size_t n = wr_str_rfind(wr_str_c(path), '/');

    if (n == 0 || n >= sizeof(folder))
        return false;
    snprintf(folder, sizeof(folder), "%.*s", (int)n, path);
    return access(folder, W_OK | X_OK) == 0;
}

/* Started by root, workers run as another user, who must reach the temporary files. */
static mode_t private_mode(void)
{
    return geteuid() == 0 ? 0711 : 0700;
}

/* True: it is our folder, and no other user can read it. */
static bool is_private(const char *folder)
{
    struct stat st;

    if (lstat(folder, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid()
        || (st.st_mode & 077 & ~private_mode()) != 0)
        return false;
    return (st.st_mode & 0777) == private_mode() || chmod(folder, private_mode()) == 0;
}

static bool can_workers_enter(const char *folder)
{
    struct stat st;

    return geteuid() != 0 || (stat(folder, &st) == 0 && (st.st_mode & 01) != 0);
}

static const char *private_folder(void)
{
    const char *run = getenv("XDG_RUNTIME_DIR");
    char path[4096];

    if (run != NULL && run[0] == '/' && strlen(run) < sizeof(path) - 8
        && can_workers_enter(run)) {
        snprintf(path, sizeof(path), "%s/weir", run);
        if ((mkdir(path, private_mode()) == 0 || errno == EEXIST) && is_private(path))
            return join_path("", path, "/");
    }
    snprintf(path, sizeof(path), "/tmp/weir-%u", (unsigned)geteuid());
    if (mkdir(path, private_mode()) != 0 && errno != EEXIST) {
        fprintf(stderr, "weir: [emerg] mkdir() \"%s\" failed (%d: %s)\n", path, errno,
                strerror(errno));
        return NULL;
    }
    if (!is_private(path)) {
        fprintf(stderr, "weir: [emerg] \"%s\" must be a folder that you own and no other user can "
                "enter; -p sets another prefix\n", path);
        return NULL;
    }
    return join_path("", path, "/");
}

static const char *demo_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    char path[4096];

    snprintf(path, sizeof(path), "%s/weir-demo.XXXXXX",
             tmp != NULL && tmp[0] == '/' && strlen(tmp) < sizeof(path) - 32 ? tmp : "/tmp");
    if (mkdtemp(path) != NULL)
        return join_path("", path, "/");
    fprintf(stderr, "weir: [emerg] mkdtemp() \"%s\" failed (%d: %s)\n", path, errno,
            strerror(errno));
    return NULL;
}

static bool use_folder(const char *folder)
{
    const char *logs;

    wr_paths.home = folder;
    if (wr_paths.home == NULL)
        return false;
    replace_path(&wr_paths.error_log, join_path("", "stderr", ""));
    replace_path(&wr_paths.pid, join_path(wr_paths.home, "weir.pid", ""));
    replace_path(&wr_paths.lock, join_path(wr_paths.home, "weir.lock", ""));
    replace_path(&wr_paths.prefix, join_path("", wr_paths.home, ""));
    logs = join_path(wr_paths.home, "logs", "");
    (void)mkdir(logs, 0700);
    replace_path(&logs, NULL);
    return true;
}

/* -c is relative to the prefix; without -p, if there is no such file, to the current directory. */
static const char *conf_path(const struct wr_options *o)
{
    const char *path = join_path(wr_paths.prefix, o->conf != NULL ? o->conf : WR_CONF_PATH, "");

    if (o->conf != NULL && o->prefix == NULL && access(path, F_OK) != 0) {
        const char *here = join_path(wr_paths.cwd, o->conf, "");

        if (access(here, F_OK) == 0)
            replace_path(&path, here);
        else
            replace_path(&here, NULL);
    }
    return path;
}

bool wr_paths_init(const struct wr_options *o)
{
    const char *prefix = o->prefix != NULL ? o->prefix : WR_PREFIX;

    if (getcwd(wr_paths.cwd, sizeof(wr_paths.cwd) - 1) == NULL)
        wr_paths.cwd[0] = '\0';
    wr_paths.cwd[strlen(wr_paths.cwd)] = '/';
    wr_paths.prefix = join_path(wr_paths.cwd, prefix, prefix[strlen(prefix) - 1] == '/' ? "" : "/");
    wr_paths.conf = conf_path(o);
    wr_paths.pid = join_path(wr_paths.prefix, WR_PID_PATH, "");
    wr_paths.lock = join_path(wr_paths.prefix, WR_LOCK_PATH, "");
    wr_paths.error_log = join_path(wr_paths.prefix, WR_ERROR_LOG_PATH, "");
    if (o->prefix == NULL && (o->demo || !can_write_beside(wr_paths.pid))
        && !use_folder(o->demo ? demo_folder() : private_folder()))
        return false;
    if (o->error_log != NULL)
        replace_path(&wr_paths.error_log,
                     join_path(strcmp(o->error_log, "stderr") == 0 ? "" : wr_paths.prefix,
                               o->error_log, ""));
    return true;
}
