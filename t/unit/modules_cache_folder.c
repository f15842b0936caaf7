/* The folder of a cache: whose it is, its marker, objects removed from it, temporary files. */
#include "lib/cache_lib.h"
#include "lib/said.h"

#include <errno.h>
#include <sys/file.h>

static const char *in_folder(const char *name)
{
    return wr_pool_fmt(pool, "%s/%s", folder_path, name).p;
}

static const char *marker_text(void)
{
    struct wr_str s = wr_file_read(pool, in_folder(WR_CACHE_MARKER), 4096);

    ck_assert_ptr_nonnull(s.p);
    return s.p;
}

static bool is_refused(const char *what)
{
    const char *why = wr_cache_folder_check(pool, folder_path, NULL);

    return why != NULL && strstr(why, what) != NULL;
}

START_TEST(whose_folder)
{
    struct wr_cache_failure why;

    setup();
    ck_assert_ptr_null(wr_cache_folder_check(pool, "/tmp/weir-does-not-exist", NULL));
    ck_assert_ptr_null(wr_cache_folder_check(pool, folder_path, NULL));
    (void)mkdir(in_folder("temp"), 0700);
    ck_assert(is_refused("is not empty"));
    ck_assert_ptr_null(wr_cache_folder_check(pool, folder_path,
                                             (const char *const[]){ "other", "temp", NULL }));
    (void)rmdir(in_folder("temp"));
    (void)mkdir(in_folder("lost+found"), 0700);
    ck_assert_ptr_null(wr_cache_folder_check(pool, folder_path, NULL));
    write_file(in_folder("index.html"), "x", 1);
    ck_assert(is_refused("is not empty and has no file \".weir-cache\""));
    ck_assert_int_eq(wr_cache_folder_open(&folder, &why), -1);
    ck_assert_int_eq(why.err, ENOTEMPTY);
    ck_assert_int_eq(access(in_folder(WR_CACHE_MARKER), F_OK), -1);
    /* a link is no marker */
    ck_assert_int_eq(symlink("/etc/passwd", in_folder(WR_CACHE_MARKER)), 0);
    ck_assert(is_refused("is not empty"));
    (void)unlink(in_folder(WR_CACHE_MARKER));
    write_file(in_folder(WR_CACHE_MARKER), "", 0);
    ck_assert_ptr_null(wr_cache_folder_check(pool, folder_path, NULL));
    remove_tree(folder_path);
    write_file(folder_path, "", 0);
    ck_assert(is_refused("cannot be used (20: Not a directory)"));
    (void)unlink(folder_path);
    teardown();
}
END_TEST

START_TEST(the_marker)
{
    struct wr_cache_failure why;
    uint8_t levels[4][3];
    struct stat st;

    setup();
    ck_assert_int_ge(wr_cache_folder_open(&folder, &why), 0);
    ck_assert_str_eq(marker_text(), "weir cache\nlevels 1:2\n");
    ck_assert_int_eq(stat(in_folder(WR_CACHE_MARKER), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    wr_cache_folder_close(&folder);

    wr_cache_folder_init(&folder, folder_path, levels_of(0, 0, 0));
    ck_assert_int_ge(wr_cache_folder_open(&folder, &why), 0);
    ck_assert_str_eq(marker_text(), "weir cache\nlevels 0\nlevels 1:2\n");
    ck_assert_uint_eq(wr_cache_folder_levels(&folder, levels, 4), 2);
    ck_assert_int_eq(memcmp(levels[1], levels_12, 3), 0);

    /* nonsense, and what a later version may add, is passed over */
    write_file(in_folder(WR_CACHE_MARKER),
               "weir cache 9\nlevels 3:4\nlevels :\nx\nlevels 2:2:1\n\n", 49);
    ck_assert_uint_eq(wr_cache_folder_levels(&folder, levels, 4), 2);
    ck_assert_int_eq(memcmp(levels[1], levels_of(2, 2, 1), 3), 0);
    teardown();
}
END_TEST

static enum wr_cache_removed remove_it(struct wr_str key, uint64_t created_us)
{
    struct wr_cache_name name = wr_cache_name_of(key, 0);
    struct wr_cache_failure why;

    return wr_cache_file_remove(&folder, &name, created_us, &why);
}

/* Only the object that is meant is removed, and nothing that is not an object. */
START_TEST(removing)
{
    const struct wr_str key = WR_STR("a");
    const char *path;
    char next[WR_CACHE_FIXED] = "weirobj1\2";

    setup();
    path = path_of(key, levels_12);
    ck_assert_int_eq(remove_it(key, 0), WR_CACHE_GONE);
    put_object(key, levels_12, CREATED, WR_STR("body"));
    ck_assert_int_eq(remove_it(key, CREATED + 1), WR_CACHE_KEPT);
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_int_eq(remove_it(key, CREATED), WR_CACHE_GONE);
    ck_assert_int_eq(access(path, F_OK), -1);
    put_object(key, levels_12, CREATED, WR_STR("body"));
    ck_assert_int_eq(remove_it(key, 0), WR_CACHE_GONE);
    ck_assert_int_eq(access(path, F_OK), -1);

    write_file(path, "somebody's file", 15);
    ck_assert_int_eq(remove_it(key, 0), WR_CACHE_KEPT);
    write_file(path, next, sizeof(next));
    ck_assert_int_eq(remove_it(key, CREATED), WR_CACHE_KEPT);
    ck_assert_int_eq(remove_it(key, 0), WR_CACHE_GONE);
    write_file(path, "weirobj1", 8);
    ck_assert_int_eq(remove_it(key, CREATED), WR_CACHE_GONE);
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    ck_assert_int_eq(remove_it(key, 0), WR_CACHE_KEPT);
    (void)unlink(path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(remove_it(key, 0), WR_CACHE_KEPT);
    teardown();
}
END_TEST

/* A folder of the levels that is a link leads nowhere. */
START_TEST(links_as_folders)
{
    const struct wr_str key = WR_STR("a");
    struct wr_cache_name name = wr_cache_name_of(key, 0);
    struct wr_cache_failure why;
    struct wr_cache_temp t;
    char *first;

    setup();
    put_object(key, levels_12, CREATED, WR_STR("body"));
    first = wr_pool_cstr(pool, wr_str_of(path_of(key, levels_12), strlen(folder_path) + 2));
    ck_assert_int_eq(rename(first, in_folder("elsewhere")), 0);
    ck_assert_int_eq(symlink("elsewhere", first), 0);
    write_file(in_folder(WR_CACHE_MARKER), "", 0);
    ck_assert_int_eq(wr_cache_file_open(&folder, &name, false), -1);
    ck_assert_int_eq(remove_it(key, 0), WR_CACHE_GONE);
    ck_assert(wr_cache_temp_open(&folder, &t, &why));
    ck_assert(!wr_cache_temp_place(&folder, &t, &name, &why));
    wr_cache_temp_drop(&folder, &t);
    ck_assert_int_eq(access(path_of(key, levels_12), F_OK), 0);
    teardown();
}
END_TEST


/* Names of temporary files: one that a living process has locked stays. */
START_TEST(left_over_files)
{
    struct wr_cache_failure why;
    struct wr_cache_temp t;
    char path[200];

    setup();
    atomic_store(&folder.no_nameless, true);
    ck_assert(wr_cache_temp_open(&folder, &t, &why));
    ck_assert_int_ne(t.name[0], '\0');
    (void)snprintf(path, sizeof(path), "%s/tmp/%s", folder_path, t.name);
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_uint_eq(wr_cache_temp_clean(&folder), 0);
    ck_assert_int_eq(access(path, F_OK), 0);
    wr_cache_temp_drop(&folder, &t);
    wr_cache_temp_drop(&folder, &t);
    ck_assert_int_eq(access(path, F_OK), -1);
    teardown();
}
END_TEST

/* One line a minute for each folder. */
START_TEST(failures_in_the_log)
{
    const struct wr_cache_failure why = { "open()", EIO };

    setup();
    said_keep();
    wr_clock.mono_ms = 1000000;
    wr_cache_folder_failed(&folder, &why);
    ck_assert(said("cache: open() in \"/tmp/weir-cache-"));
    said_keep();
    for (int i = 0; i < 5; i++)
        wr_cache_folder_failed(&folder, &why);
    ck_assert(!said("cache"));
    wr_clock.mono_ms += 60000;
    wr_cache_folder_failed(&folder, &why);
    ck_assert(said("failed, after 5 more failures (5: Input/output error)"));
    teardown();
}
END_TEST

START_TEST(exchanged_folder)
{
    struct wr_cache_failure why;
    int fd;

    setup();
    fd = wr_cache_folder_open(&folder, &why);
    ck_assert_int_ge(fd, 0);
    ck_assert(!wr_cache_folder_again(&folder, &why)); /* it is the same one */
    remove_tree(folder_path);
    ck_assert_int_eq(mkdir(folder_path, 0700), 0);
    ck_assert(wr_cache_folder_again(&folder, &why));
    ck_assert_int_eq(wr_cache_folder_open(&folder, &why), fd);
    ck_assert_str_eq(marker_text(), "weir cache\nlevels 1:2\n");
    /* the new one must not be somebody's */
    remove_tree(folder_path);
    ck_assert_int_eq(mkdir(folder_path, 0700), 0);
    write_file(in_folder("index.html"), "x", 1);
    ck_assert(!wr_cache_folder_again(&folder, &why));
    ck_assert_int_eq(why.err, ENOTEMPTY);
    teardown();
}
END_TEST

/* The path is looked at once a second: here that is due at once. */
START_TEST(renamed_folder)
{
    struct wr_cache_failure why;
    const char *old;
    int fd;

    setup();
    old = wr_pool_fmt(pool, "%s-old", folder_path).p;
    fd = wr_cache_folder_open(&folder, &why);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(rename(folder_path, old), 0);
    ck_assert_int_eq(mkdir(folder_path, 0700), 0);
    ck_assert_int_eq(wr_cache_folder_open(&folder, &why), fd);
    ck_assert_int_eq(access(in_folder(WR_CACHE_MARKER), F_OK), -1);
    atomic_store(&folder.checked_ms, 0);
    ck_assert_int_eq(wr_cache_folder_open(&folder, &why), fd);
    ck_assert_str_eq(marker_text(), "weir cache\nlevels 1:2\n");
    remove_tree(old);
    /* somebody's folder is not used; the one that is held is, until it is removed */
    ck_assert_int_eq(rename(folder_path, old), 0);
    ck_assert_int_eq(mkdir(folder_path, 0700), 0);
    write_file(in_folder("index.html"), "x", 1);
    atomic_store(&folder.checked_ms, 0);
    ck_assert_int_eq(wr_cache_folder_open(&folder, &why), fd);
    remove_tree(old);
    atomic_store(&folder.checked_ms, 0);
    ck_assert_int_eq(wr_cache_folder_open(&folder, &why), -1);
    ck_assert_int_eq(why.err, ENOTEMPTY);
    teardown();
}
END_TEST

UNIT_MAIN("cache folder", whose_folder, the_marker, removing, links_as_folders, left_over_files,
          failures_in_the_log, exchanged_folder, renamed_folder)
