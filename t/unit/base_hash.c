/* Hash functions against published values, and the random numbers against repetition. */
#include "lib/unit.h"

START_TEST(murmur2_is_murmur2)
{
    static const struct {
        const char *text;
        uint32_t hash;
    } rows[] = { { "", 0 }, { "a", 2456313694 }, { "abc", 324500635 },
                 { "hello world", 1151865881 } };

    for (unsigned i = 0; i < WR_COUNT(rows); i++)
        ck_assert_uint_eq(wr_murmur2(wr_str_c(rows[i].text)), rows[i].hash);
}
END_TEST

START_TEST(stable_is_stable)
{
    struct wr_str s = WR_STR("10.0.0.1:80");

    ck_assert_uint_eq(wr_hash_stable(s, 1), wr_hash_stable(s, 1));
    ck_assert_uint_ne(wr_hash_stable(s, 1), wr_hash_stable(s, 2));
    /* Zones outlive the process that wrote them, so this number must never change. */
    ck_assert_uint_eq(wr_hash_stable(s, 0), 0x9f25a31a9288a374U);
}
END_TEST

START_TEST(every_byte_counts)
{
    char buf[40] = { 0 };
    uint64_t first = wr_hash(wr_str_of(buf, sizeof(buf)));

    for (size_t i = 0; i < sizeof(buf); i++) {
        buf[i] = 1;
        ck_assert_uint_ne(wr_hash(wr_str_of(buf, sizeof(buf))), first);
        buf[i] = 0;
    }
    for (size_t n = 0; n < sizeof(buf); n++)
        ck_assert_uint_ne(wr_hash(wr_str_of(buf, n)), first);
    ck_assert_uint_eq(wr_hash(wr_str_of(buf, sizeof(buf))), first);
    ck_assert_uint_eq(wr_hash(wr_str_of(NULL, 0)), wr_hash(WR_STR("")));
}
END_TEST

START_TEST(children_draw_their_own)
{
    uint64_t of_child = 0, mine;
    int fds[2];
    pid_t pid;

    ck_assert_uint_ne(wr_random(), wr_random());
    ck_assert_int_eq(pipe(fds), 0);
    pid = fork();
    if (pid == 0) {
        mine = wr_random();
        _exit(write(fds[1], &mine, sizeof(mine)) == sizeof(mine) ? 0 : 1);
    }
    mine = wr_random();
    ck_assert_int_eq(read(fds[0], &of_child, sizeof(of_child)), sizeof(of_child));
    ck_assert_uint_ne(mine, of_child);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

UNIT_MAIN("base/hash", murmur2_is_murmur2, stable_is_stable, every_byte_counts,
          children_draw_their_own)
