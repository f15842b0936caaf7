/* temp_folders: makes the folders for temporary files that the configuration names, and gives them
 * to the workers' user. Called by cycle, before there are workers; launch undoes or keeps the
 * result. */
#include "app/app.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct wr_link made = { &made, &made }; /* by the load in progress, the last one first */
struct made {
    struct wr_link link;
    char path[];
};

/* Note which of the path's folders do not exist, so that they can be removed again. */
static void note_missing(const char *path)
{
    size_t n = strlen(path);

    for (size_t i = 1; i <= n; i++) {
        struct made *m;

        if (path[i] != '/' && path[i] != '\0')
            continue;
        m = wr_malloc(sizeof(*m) + i + 1);
        memcpy(m->path, path, i);
        m->path[i] = '\0';
        if (access(m->path, F_OK) == 0)
            free(m);
        else
            wr_list_unshift(&made, &m->link);
    }
}

static bool give_to(const char *path, uid_t uid)
{
    int fd = wr_open_to_write(path, O_PATH | O_DIRECTORY, 0);
    struct stat st;
    bool ok = fd >= 0 && fstat(fd, &st) == 0
           && (st.st_uid == uid || fchownat(fd, "", uid, (gid_t)-1, AT_EMPTY_PATH) == 0);

    if (!ok)
        wr_say(WR_LOG_EMERG, errno, "chown(\"%s\", %u) failed", path, (unsigned)uid);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool make_folder(const char *path, const struct wr_core_conf *core)
{
    note_missing(path);
    if (!wr_mkdirs(path, 0700)) {
        wr_say(WR_LOG_EMERG, errno, "mkdir() \"%s\" failed", path);
        return false;
    }
    return geteuid() != 0 || give_to(path, core->uid);
}

bool wr_folders_make(const struct wr_conf *c)
{
    const struct wr_core_conf *core = wr_scope_conf(c->main, &wr_module_core);

    for (uint32_t i = 0; i < c->folders.n; i++)
        if (!make_folder(c->folders.at[i], core))
            return false;
    return true;
}

/* -t: the folder exists, or can be made. */
static bool can_make(const char *path)
{
    char up[4096];
    size_t n = strlen(path);

    if (n >= sizeof(up))
        return true; /* wr_folders_make reports it */
    memcpy(up, path, n + 1);
    while (n > 1 && access(up, F_OK) != 0 && errno == ENOENT) {
        while (n > 1 && up[n - 1] != '/')
            n--;
        up[n > 1 ? --n : n] = '\0';
    }
    return access(up, F_OK) == 0 && (strcmp(up, path) == 0 || access(up, W_OK | X_OK) == 0);
}

bool wr_folders_check(const struct wr_conf *c)
{
    for (uint32_t i = 0; i < c->folders.n; i++) {
        if (can_make(c->folders.at[i]))
            continue;
        wr_say(WR_LOG_EMERG, errno, "mkdir() \"%s\" failed", c->folders.at[i]);
        return false;
    }
    return true;
}

static void forget_made(bool remove)
{
    while (!wr_list_empty(&made)) {
        struct made *m = wr_container(made.next, struct made, link);

        if (remove)
            (void)wr_folder_remove(m->path);
        wr_list_remove(&m->link);
        free(m);
    }
}

void wr_folders_undo(void)
{
    forget_made(true);
}

void wr_folders_keep(void)
{
    forget_made(false);
}
