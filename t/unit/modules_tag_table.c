/* Purges by tag and prefix: what counts as purged, what is forgotten, and what a restart keeps. */
#include "lib/store.h"

static struct wr_purges *p = &store.purges;

static struct wr_str tags_of(const char *text)
{
    static uint64_t tags[64];
    struct wr_str rest = wr_str_c(text);
    uint32_t n = 0;

    while (rest.n > 0)
        tags[n++] = wr_purge_tag_of(wr_str_cut(&rest, ' '));
    return wr_str_of((char *)tags, n * sizeof(tags[0]));
}

static enum wr_purged check_object(uint64_t created, const char *key, const char *tags)
{
    return wr_purge_check(p, created, wr_str_c(key), tags_of(tags));
}

static const struct {
    const char *purge;           /* "tag NAME", "prefix TEXT"; a ~ before it: soft */
    const char *key, *tags;      /* of an object */
    enum wr_purged before, after; /* of one made before the purge, and after it */
} rows[] = {
    { "tag a", "/x", "a", WR_PURGED_GONE, WR_PURGED_NOT },
    { "tag b", "/x", "c b d", WR_PURGED_GONE, WR_PURGED_NOT },
    { "tag c", "/x", "x y", WR_PURGED_NOT, WR_PURGED_NOT },
    { "tag d", "/x", "", WR_PURGED_NOT, WR_PURGED_NOT },
    { "~tag e", "/x", "e", WR_PURGED_STALE, WR_PURGED_NOT },
    { "prefix /a/", "/a/b", "", WR_PURGED_GONE, WR_PURGED_NOT },
    { "prefix /a/", "/a", "", WR_PURGED_NOT, WR_PURGED_NOT },
    { "prefix /b", "/b", "q", WR_PURGED_GONE, WR_PURGED_NOT },
    { "~prefix /b", "/bb", "q", WR_PURGED_STALE, WR_PURGED_NOT },
    { "prefix /c", "/d", "q", WR_PURGED_NOT, WR_PURGED_NOT },
    { "prefix ", "/d", "", WR_PURGED_GONE, WR_PURGED_NOT },
    { "~prefix ", "", "", WR_PURGED_STALE, WR_PURGED_NOT },
};

static void purge_text(const char *text)
{
    bool soft = text[0] == '~';
    struct wr_str rest = wr_str_c(text + soft), what = wr_str_cut(&rest, ' ');

    if (wr_str_is(what, "tag"))
        ck_assert(wr_purge_tag(p, wr_purge_tag_of(rest), soft));
    else
        ck_assert(wr_purge_prefix(p, rest.p != NULL ? rest : WR_STR(""), soft));
}

START_TEST(what_is_purged)
{
    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        uint64_t before, after, newest;

        make_store(32768, 0);
        before = wr_purge_stamp(p);
        newest = wr_purge_newest(p);
        purge_text(rows[i].purge);
        ck_assert(newest < wr_purge_newest(p) && before < wr_purge_newest(p));
        after = wr_purge_stamp(p);
        ck_assert(after > wr_purge_newest(p));
        ck_assert_msg(check_object(before, rows[i].key, rows[i].tags) == rows[i].before, "row %zu",
                      i);
        ck_assert_msg(check_object(after, rows[i].key, rows[i].tags) == rows[i].after, "row %zu",
                      i);
        free_store();
    }
}
END_TEST

START_TEST(soft_and_hard)
{
    uint64_t first, second;

    make_store(32768, 0);
    first = wr_purge_stamp(p);
    purge_text("~tag a");
    ck_assert_int_eq(check_object(first, "k", "a"), WR_PURGED_STALE);
    purge_text("tag a");
    second = wr_purge_stamp(p);
    purge_text("~tag a");
    ck_assert_int_eq(check_object(first, "k", "a"), WR_PURGED_GONE);
    ck_assert_int_eq(check_object(second, "k", "a"), WR_PURGED_STALE);
    ck_assert_int_eq(check_object(second, "k", "b"), WR_PURGED_NOT);
    ck_assert_int_eq(check_object(wr_purge_stamp(p) + 2 * 86400ULL * 1000000, "k", "b"),
                     WR_PURGED_GONE); /* from the far future: not believed */
    free_store();
}
END_TEST

START_TEST(stamps_only_grow)
{
    uint64_t last = 0;

    make_store(32768, 0);
    for (uint32_t i = 0; i < 10000; i++) {
        uint64_t stamp = wr_purge_stamp(p);

        ck_assert_uint_gt(stamp, last);
        last = stamp;
    }
    ck_assert(wr_purge_saw(p, last + 1000000)); /* the clock was set back */
    ck_assert_uint_gt(wr_purge_stamp(p), last + 1000000);
    ck_assert(!wr_purge_saw(p, last + 3 * 86400ULL * 1000000));
    ck_assert_uint_lt(wr_purge_stamp(p), last + 2000000);
    free_store();
}
END_TEST

/* When the tables are full nothing that was purged revives, and what was made later is there. */
START_TEST(the_floor_rises)
{
    uint64_t old, half, new;
    char text[40];

    make_store(32768, 0);
    old = wr_purge_stamp(p);
    for (uint32_t i = 0; i < 400; i++) {
        (void)snprintf(text, sizeof(text), "prefix /%u/", i);
        purge_text(text);
    }
    new = wr_purge_stamp(p);
    for (uint32_t i = 0; i < 400; i++) {
        (void)snprintf(text, sizeof(text), "/%u/x", i);
        ck_assert_int_eq(check_object(old, text, ""), WR_PURGED_GONE);
        ck_assert_int_eq(check_object(new, text, ""), WR_PURGED_NOT);
    }
    free_store();
    make_store(32768, 0);
    old = half = wr_purge_stamp(p);
    for (uint32_t i = 0; i < 2 * WR_PURGE_TAGS; i++) {
        if (i == WR_PURGE_TAGS * 15 / 8)
            half = wr_purge_stamp(p);
        ck_assert(wr_purge_tag(p, (i * 0x9e3779b97f4a7c15U >> 1) + 1, false));
    }
    new = wr_purge_stamp(p);
    for (uint32_t i = 0; i < 2 * WR_PURGE_TAGS; i++) {
        uint64_t tag = (i * 0x9e3779b97f4a7c15U >> 1) + 1;
        struct wr_str tags = wr_str_of((char *)&tag, sizeof(tag));

        ck_assert_int_eq(wr_purge_check(p, old, WR_STR("k"), tags), WR_PURGED_GONE);
        ck_assert_int_eq(wr_purge_check(p, new, WR_STR("k"), tags), WR_PURGED_NOT);
    }
    ck_assert_int_eq(check_object(old, "k", ""), WR_PURGED_NOT); /* no tags, no floor */
    ck_assert_int_eq(check_object(half, "k", "other"), WR_PURGED_NOT);
    free_store();
}
END_TEST

START_TEST(a_restart_keeps_them)
{
    static struct wr_purge_record records[100];
    uint32_t n = 0, cursor = 0;
    uint64_t old, stale;

    make_store(32768, 0);
    old = wr_purge_stamp(p);
    purge_text("tag a");
    stale = wr_purge_stamp(p);
    purge_text("~tag a");
    purge_text("prefix /p");
    while (n < WR_COUNT(records) && wr_purge_next(p, &cursor, &records[n]))
        n++;
    ck_assert_uint_eq(n, 2);
    free_store();
    make_store(32768, 0);
    for (uint32_t i = 0; i < n; i++)
        ck_assert(wr_purge_restore(p, &records[i]));
    ck_assert(!wr_purge_restore(p, &(struct wr_purge_record){ .kind = WR_PURGE_TAG, .hash = 1 }));
    ck_assert(!wr_purge_restore(p, &(struct wr_purge_record){ .kind = 9, .gone_us = 1 }));
    ck_assert(!wr_purge_restore(p, &(struct wr_purge_record){ .hash = 1, .gone_us = UINT64_MAX }));
    ck_assert_int_eq(check_object(old, "k", "a"), WR_PURGED_GONE);
    ck_assert_int_eq(check_object(stale, "k", "a"), WR_PURGED_STALE);
    ck_assert_int_eq(check_object(old, "/pp", ""), WR_PURGED_GONE);
    ck_assert_int_eq(check_object(wr_purge_stamp(p), "/pp", "a"), WR_PURGED_NOT);
    ck_assert(wr_purge_restore(p, &(struct wr_purge_record){ .kind = WR_PURGE_PREFIX_FLOOR,
                                                             .stale_us = stale }));
    ck_assert_int_eq(check_object(stale, "z", ""), WR_PURGED_STALE);
    ck_assert(wr_purge_restore(p, &(struct wr_purge_record){ .kind = WR_PURGE_TAG_FLOOR,
                                                             .gone_us = stale }));
    ck_assert_int_eq(check_object(stale, "z", "z"), WR_PURGED_GONE);
    free_store();
}
END_TEST

START_TEST(keys)
{
    static struct wr_purge_record record;
    uint64_t old, newer;
    uint32_t cursor = 0;

    make_store(32768, 0);
    old = wr_purge_stamp(p);
    ck_assert(wr_purge_tag(p, wr_purge_key_of(WR_STR("/a")), true));
    newer = wr_purge_stamp(p);
    ck_assert_int_eq(check_object(old, "/a", ""), WR_PURGED_STALE);
    ck_assert_int_eq(check_object(newer, "/a", ""), WR_PURGED_NOT);
    ck_assert_int_eq(check_object(old, "/aa", "/a"), WR_PURGED_NOT);
    ck_assert(wr_purge_next(p, &cursor, &record));
    free_store();
    make_store(32768, 0);
    ck_assert(wr_purge_restore(p, &record));
    ck_assert_int_eq(check_object(old, "/a", ""), WR_PURGED_STALE);
    /* forgotten: the floor is of keys alone, and holds for objects without tags */
    for (uint64_t i = 1; i <= 16; i++)
        ck_assert(wr_purge_tag(p, record.hash + (i << 40), false));
    ck_assert_int_eq(check_object(old, "z", "z"), WR_PURGED_STALE);
    ck_assert_int_eq(check_object(newer, "z", "z"), WR_PURGED_NOT);
    cursor = 0;
    while (wr_purge_next(p, &cursor, &record))
        ck_assert_uint_ne(record.kind, WR_PURGE_TAG_FLOOR);
    free_store();
}
END_TEST

/* One purges and tells the number of its purge, and is killed anywhere; another purges beside it.
 * What was told is purged. */
START_TEST(killed_anywhere)
{
    _Atomic uint64_t *told = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                                  -1, 0);

    make_store(32768, 0);
    for (uint32_t round = 0; round < 300; round++) {
        uint64_t old = wr_purge_stamp(p);
        pid_t pid[2];

        for (uint32_t i = 0; i < 2; i++) {
            atomic_store(&told[i], 0);
            pid[i] = fork_process(3 + i);
            for (uint64_t k = 1; pid[i] == 0; k++) {
                uint64_t tag = (k % 40 * 2 + i) << 44 | 5; /* of few sets: they are full */

                if (k % 3 == 0 ? wr_purge_prefix(p, wr_str_of((char *)&tag, 8), false)
                               : wr_purge_tag(p, tag, false))
                    atomic_store(&told[i], k);
            }
        }
        (void)usleep((useconds_t)(next_random() % 2000));
        for (uint32_t i = 0; i < 2; i++) {
            ck_assert_int_eq(kill(pid[i], SIGKILL), 0);
            ends_with(pid[i], SIGKILL);
        }
        for (uint32_t i = 0; i < 2; i++)
            for (uint64_t k = 1, n = wr_min(atomic_load(&told[i]), (uint64_t)40); k <= n; k++) {
                uint64_t tag = (k % 40 * 2 + i) << 44 | 5;
                struct wr_str bytes = wr_str_of((char *)&tag, 8);

                ck_assert_int_eq(k % 3 == 0 ? wr_purge_check(p, old, bytes, WR_STR(""))
                                            : wr_purge_check(p, old, WR_STR("k"), bytes),
                                 WR_PURGED_GONE);
            }
        ck_assert_int_eq(check_object(wr_purge_stamp(p), "k", "a b"), WR_PURGED_NOT);
    }
    free_store();
}
END_TEST

START_TEST(any_bytes)
{
    size_t words;

    make_store(32768, 0);
    words = ((size_t)((char *)p->prefixes - (char *)p->head) + 256 * 32) / 8;
    for (uint32_t round = 0; round < 2000; round++) {
        uint64_t *word = (uint64_t *)(void *)p->head, random = next_random() << 22 ^ next_random();

        for (uint32_t i = 0; i < 50; i++)
            word[next_random() % (i < 10 ? 8 : words)] = i % 3 == 0 ? UINT64_MAX : random >> i;
        ck_assert(wr_purge_tag(p, random | 1, false));
        ck_assert(wr_purge_prefix(p, WR_STR("/prefix"), true));
        (void)check_object(wr_purge_stamp(p), "/prefix/x", "a b c");
        ck_assert_int_ne(check_object(1700000000000000, "/prefix/x", ""), WR_PURGED_NOT);
        ck_assert(wr_purge_stamp(p) < 4000000000000000);
    }
    free_store();
}
END_TEST

UNIT_MAIN("modules/tag_table", what_is_purged, soft_and_hard, stamps_only_grow, the_floor_rises,
          a_restart_keeps_them, keys, killed_anywhere, any_bytes)
