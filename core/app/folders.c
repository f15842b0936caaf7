/* folders: the folders of temporary files that the configuration names are made before workers
 * need them, and given to the workers' user. cycle calls it. */
#include "app/app.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static bool make(const char *path, const struct wr_core_conf *core)
{
    struct stat st;

    if (!wr_mkdirs(path, 0700)) {
        wr_say(WR_LOG_EMERG, errno, "mkdir() \"%s\" failed", path);
        return false;
    }
    if (geteuid() == 0 && stat(path, &st) == 0 && st.st_uid != core->uid
        && chown(path, core->uid, (gid_t)-1) != 0) {
        wr_say(WR_LOG_EMERG, errno, "chown(\"%s\", %u) failed", path, (unsigned)core->uid);
        return false;
    }
    return true;
}

bool wr_folders_make(const struct wr_conf *c)
{
    const struct wr_core_conf *core = wr_scope_conf(c->main, &wr_module_core);

    for (uint32_t i = 0; i < c->folders.n; i++)
        if (!make(c->folders.at[i], core))
            return false;
    return true;
}
