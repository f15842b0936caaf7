/* rights: changes from root to the configured user, for good, and hides the process from other
 * processes of that user. Workers, keeper and demo call it once, after fork and before they read
 * any bytes from a peer. It owns nothing. */
#include "os/os.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool set_groups(const char *user, gid_t gid)
{
    return user != NULL ? initgroups(user, gid) == 0 : setgroups(1, &gid) == 0;
}

/* Makes the system call itself: libcap would be a dependency for this one function. */
static bool set_capabilities(uint64_t keep)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { { .effective = (uint32_t)keep,
                                                .permitted = (uint32_t)keep },
                                              { .effective = (uint32_t)(keep >> 32),
                                                .permitted = (uint32_t)(keep >> 32) } };

    return syscall(SYS_capset, &head, data) == 0;
}

static const char *drop_all_rights(const char *user, uid_t uid, gid_t gid, uint64_t keep)
{
    if (!set_groups(user, gid))
        return user != NULL ? "initgroups()" : "setgroups()";
    if (setresgid(gid, gid, gid) != 0)
        return "setgid()";
    /* A configuration with `user root` wants root: without capabilities root could not read files
     * of other users. */
    if (uid == 0)
        return NULL;
    if (keep != 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
        return "prctl(PR_SET_KEEPCAPS)";
    if (setresuid(uid, uid, uid) != 0)
        return "setuid()";
    if (!set_capabilities(keep))
        return "capset()";
    return NULL;
}

bool wr_drop_rights(const char *user, uid_t uid, gid_t gid, uint64_t keep_caps, const char **step)
{
    const char *failed = drop_all_rights(user, uid, gid, keep_caps);

    if (failed != NULL)
        *step = failed;
    return failed == NULL;
}

bool wr_rights_only(uint64_t caps)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];

    return syscall(SYS_capget, &head, data) == 0
        && set_capabilities(caps & ((uint64_t)data[1].permitted << 32 | data[0].permitted));
}

#if WR_DEBUG
/* Leak checks read the memory of the process from another process. */
static void show_at_exit(void)
{
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
#endif

void wr_memory_show(bool on)
{
    if (prctl(PR_SET_DUMPABLE, on, 0, 0, 0) != 0)
        wr_say(WR_LOG_WARN, errno, "prctl(PR_SET_DUMPABLE) failed, ignored");
#if WR_DEBUG
    if (!on)
        (void)atexit(show_at_exit);
#endif
}

void wr_memory_secret(void *p, size_t n)
{
    if (madvise(p, n, MADV_DONTDUMP) != 0)
        wr_say(WR_LOG_WARN, errno, "madvise(MADV_DONTDUMP) failed, ignored");
}

void wr_no_new_privs(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        wr_say(WR_LOG_WARN, errno, "prctl(PR_SET_NO_NEW_PRIVS) failed, ignored");
}
