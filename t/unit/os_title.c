/* The title in ps. */
#include "os/os.h"

#include "lib/unit.h"

static char **arguments;

static struct wr_str command_line(struct wr_pool *p)
{
    struct wr_str s = wr_file_read(p, "/proc/self/cmdline", 65536);

    return wr_str_of(s.p, wr_str_find(s, '\0'));
}

START_TEST(is_shown)
{
    struct wr_pool *p = wr_pool_new(0);
    char longer[10000];

    wr_title_set("worker process");
    ck_view(command_line(p), "weir: worker process");
    wr_title_set("a");
    ck_view(command_line(p), "weir: a");
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    wr_title_set(longer);
    ck_assert(wr_str_starts(command_line(p), WR_STR("weir: xxx")));
    wr_pool_free(p);
}
END_TEST

START_TEST(arguments_and_environment_stay)
{
    wr_title_set("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    ck_assert(wr_str_ends(wr_str_c(arguments[0]), WR_STR("os_title")));
    ck_assert_ptr_null(arguments[1]);
    ck_assert_str_eq(getenv("WEIR_UNIT"), "here");
    ck_assert_ptr_nonnull(getenv("PATH"));
    ck_assert_int_eq(setenv("WEIR_UNIT", "changed", 1), 0);
    ck_assert_str_eq(getenv("WEIR_UNIT"), "changed");
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *const tests[] = { is_shown, arguments_and_environment_stay };

    arguments = argv;
    (void)setenv("WEIR_UNIT", "here", 1);
    wr_title_init(argc, argv);
    return unit_run("os/title", tests, WR_COUNT(tests));
}
