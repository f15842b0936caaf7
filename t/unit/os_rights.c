/* From root to nobody, with no way back. Without root there is nothing to drop. */
#include "os/os.h"

#include "lib/unit.h"

#include <errno.h>
#include <linux/capability.h>

#define UID 65534

/* The value behind "NAME:\t" in /proc/self/status. */
static struct wr_str status_of(struct wr_pool *p, struct wr_str name)
{
    struct wr_str s = wr_file_read(p, "/proc/self/status", 65536);

    while (s.n > 0) {
        struct wr_str line = wr_str_cut(&s, '\n');

        if (wr_str_starts(line, name))
            return wr_str_trim(wr_str_skip(line, name.n));
    }
    return s;
}

static bool is_root(void)
{
    return geteuid() == 0;
}

START_TEST(drops_everything)
{
    struct wr_pool *p = wr_pool_new(0);
    const char *step = "";

    if (is_root()) {
        ck_assert_msg(wr_drop_rights("nobody", UID, UID, 0, &step), "%s", step);
        ck_assert_uint_eq(getuid(), UID);
        ck_assert_uint_eq(getegid(), UID);
        ck_view(status_of(p, WR_STR("CapEff:")), "0000000000000000");
        ck_view(status_of(p, WR_STR("CapPrm:")), "0000000000000000");
        ck_view(status_of(p, WR_STR("CapAmb:")), "0000000000000000");
        ck_view(status_of(p, WR_STR("Groups:")), "65534");
        ck_assert_int_eq(setuid(0), -1);
        ck_assert_ptr_null(wr_file_read(p, "/proc/self/environ", 1 << 20).p); /* not readable, as
                                                                               * for other users */
        wr_memory_show(true);
        ck_assert_ptr_nonnull(wr_file_read(p, "/proc/self/environ", 1 << 20).p);
        wr_memory_show(false);
        ck_assert_ptr_null(wr_file_read(p, "/proc/self/environ", 1 << 20).p);
    }
    wr_pool_free(p);
}
END_TEST

START_TEST(keeps_what_is_asked_for)
{
    struct wr_pool *p = wr_pool_new(0);
    const char *step = "";

    if (is_root()) {
        ck_assert_msg(wr_drop_rights(NULL, UID, UID, UINT64_C(1) << CAP_NET_RAW, &step), "%s",
                      step);
        ck_view(status_of(p, WR_STR("CapEff:")), "0000000000002000");
        ck_view(status_of(p, WR_STR("CapPrm:")), "0000000000002000");
        ck_assert_int_eq(setuid(0), -1);
    }
    wr_pool_free(p);
}
END_TEST

START_TEST(root_may_stay_root)
{
    const char *step = "";

    if (is_root()) {
        ck_assert(wr_drop_rights("root", 0, 0, 0, &step));
        ck_assert_int_eq(setuid(UID), 0);
        ck_assert(!wr_drop_rights("nobody", UID, UID, 0, &step));
        ck_assert_str_eq(step, "initgroups()");
        ck_assert(!wr_drop_rights(NULL, UID, UID, 0, &step));
        ck_assert_str_eq(step, "setgroups()");
        ck_assert_int_eq(errno, EPERM);
    }
}
END_TEST

START_TEST(no_new_privileges)
{
    struct wr_pool *p = wr_pool_new(0);

    wr_no_new_privs();
    ck_view(status_of(p, WR_STR("NoNewPrivs:")), "1");
    wr_pool_free(p);
}
END_TEST

UNIT_MAIN("os/rights", drops_everything, keeps_what_is_asked_for, root_may_stay_root,
          no_new_privileges)
