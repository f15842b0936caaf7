/* Blocks, slices and queues of them. Each test must free all its blocks. */
#include "lib/event_lib.h"

#include <sys/uio.h>

enum { BIG = 3 * WR_BLOCK_SIZE + 100 };

static char bytes[BIG];

static void fill(void)
{
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7 + i / 251);
}

static void holds(const struct wr_bufq *q, const void *p, size_t n)
{
    static char got[BIG];

    ck_assert_uint_eq(q->n, n);
    ck_assert_uint_eq(wr_bufq_peek(q, got, sizeof(got)), n);
    ck_assert_mem_eq(got, p, n);
}

static void no_blocks(void)
{
    ck_assert_uint_eq(wr_blocks_live(), 0);
    wr_blocks_drop_cache();
}

START_TEST(copies_over_several_blocks)
{
    struct wr_bufq q = { 0 };

    fill();
    wr_bufq_copy(&q, bytes, 10);
    wr_bufq_copy(&q, bytes + 10, BIG - 10);
    holds(&q, bytes, BIG);
    ck_assert_uint_eq(wr_blocks_live(), 4);
    wr_bufq_drop(&q, WR_BLOCK_SIZE + 1);
    holds(&q, bytes + WR_BLOCK_SIZE + 1, BIG - WR_BLOCK_SIZE - 1);
    ck_assert_uint_eq(wr_blocks_live(), 3);
    wr_bufq_drop(&q, q.n);
    ck_assert_ptr_null(q.head);
    no_blocks();
}
END_TEST

START_TEST(room_and_commit)
{
    struct wr_bufq q = { 0 };
    size_t n;
    char *p = wr_bufq_room(&q, &n);

    ck_assert_uint_eq(n, WR_BLOCK_SIZE);
    ck_assert_uint_eq(q.n, 0);
    memcpy(p, "abc", 3);
    wr_bufq_commit(&q, 3);
    p = wr_bufq_room(&q, &n);
    ck_assert_uint_eq(n, WR_BLOCK_SIZE - 3);
    *p = 'd';
    wr_bufq_commit(&q, 1);
    holds(&q, "abcd", 4);
    ck_assert_uint_eq(wr_blocks_live(), 1);
    wr_bufq_clear(&q);
    no_blocks();
}
END_TEST

START_TEST(unused_room_does_not_count)
{
    struct wr_bufq q = { 0 }, to = { 0 };
    struct iovec v[4];
    size_t n;

    wr_bufq_room(&q, &n);
    ck_assert_uint_eq(wr_bufq_iovec(&q, v, 4), 0);
    wr_bufq_borrow(&q, "xyz", 3);
    ck_assert_uint_eq(wr_bufq_iovec(&q, v, 4), 1);
    wr_bufq_tee(&to, &q);
    holds(&to, "xyz", 3);
    wr_bufq_clear(&to);
    wr_bufq_move(&to, &q, SIZE_MAX);
    holds(&to, "xyz", 3);
    ck_assert_uint_eq(q.n, 0);
    wr_bufq_clear(&q);
    wr_bufq_clear(&to);
    no_blocks();
}
END_TEST

/* The bytes behind a moved part belong to the other queue and must not be overwritten. */
START_TEST(a_shared_block_is_not_appended_to)
{
    struct wr_bufq a = { 0 }, b = { 0 };

    wr_bufq_copy(&a, "hello world", 11);
    wr_bufq_move(&b, &a, 5);
    wr_bufq_copy(&b, "!!!!!!", 6);
    holds(&a, " world", 6);
    holds(&b, "hello!!!!!!", 11);
    wr_bufq_copy(&a, "?", 1);
    holds(&a, " world?", 7);
    wr_bufq_clear(&a);
    holds(&b, "hello!!!!!!", 11);
    wr_bufq_clear(&b);
    no_blocks();
}
END_TEST

START_TEST(parts_that_meet_again_join)
{
    struct wr_bufq a = { 0 }, b = { 0 };

    wr_bufq_copy(&a, "abcdef", 6);
    wr_bufq_move(&b, &a, 2);
    wr_bufq_move(&b, &a, 2);
    wr_bufq_move(&b, &a, 2);
    ck_assert_ptr_eq(b.head, b.tail);
    ck_assert_ptr_null(a.head);
    holds(&b, "abcdef", 6);
    ck_assert_uint_eq(b.head->block->refs, 1);
    wr_bufq_clear(&b);
    no_blocks();
}
END_TEST

START_TEST(a_tee_takes_references)
{
    struct wr_bufq a = { 0 }, b = { 0 };

    fill();
    wr_bufq_copy(&a, bytes, BIG);
    wr_bufq_borrow(&a, "tail", 4);
    wr_bufq_tee(&b, &a);
    ck_assert_uint_eq(wr_blocks_live(), 4);
    wr_bufq_clear(&a);
    ck_assert_uint_eq(b.n, BIG + 4);
    wr_bufq_drop(&b, BIG);
    holds(&b, "tail", 4);
    wr_bufq_clear(&b);
    no_blocks();
}
END_TEST

START_TEST(files_split_too)
{
    struct wr_bufq a = { 0 }, b = { 0 };
    struct wr_reader r = { 0 };
    struct iovec v[4];
    char c[8];

    wr_bufq_copy(&a, "head", 4);
    wr_bufq_file(&a, &r, 1000, 300);
    wr_bufq_borrow(&a, "tail", 4);
    ck_assert_uint_eq(a.n, 308);
    ck_assert_uint_eq(wr_bufq_iovec(&a, v, 4), 1);
    ck_assert_uint_eq(wr_bufq_peek(&a, c, sizeof(c)), 4);
    wr_bufq_move(&b, &a, 104);
    ck_assert_uint_eq(b.n, 104);
    ck_assert_int_eq(b.tail->at, 1000);
    ck_assert_uint_eq(b.tail->n, 100);
    ck_assert_int_eq(a.head->at, 1100);
    wr_bufq_drop(&a, 150);
    ck_assert_int_eq(a.head->at, 1250);
    ck_assert_uint_eq(a.head->n, 50);
    wr_bufq_clear(&a);
    wr_bufq_clear(&b);
    no_blocks();
}
END_TEST

/* Queues that pass bytes on in random portions must not lose, repeat or reorder any. */
START_TEST(a_relay_of_queues)
{
    struct wr_bufq q[3] = { { 0 } };
    size_t in = 0, out = 0;

    fill();
    srandom(11);
    while (out < 20 * BIG) {
        size_t n = (size_t)random() % 40000, at = in % BIG;

        n = wr_min(n, BIG - at);
        if (random() % 2)
            wr_bufq_copy(&q[0], bytes + at, n);
        else
            wr_bufq_borrow(&q[0], bytes + at, n);
        in += n;
        wr_bufq_move(&q[1], &q[0], (size_t)random() % 50000);
        wr_bufq_move(&q[2], &q[1], (size_t)random() % 50000);
        while (q[2].n > 0) {
            char c[777];
            size_t got = wr_bufq_peek(&q[2], c, 1 + (size_t)random() % sizeof(c));

            got = wr_min(got, BIG - out % BIG);
            ck_assert_mem_eq(c, bytes + out % BIG, got);
            wr_bufq_drop(&q[2], got);
            out += got;
        }
    }
    for (int i = 0; i < 3; i++)
        wr_bufq_clear(&q[i]);
    no_blocks();
}
END_TEST

START_TEST(blocks_of_other_sizes)
{
    struct wr_block *b = wr_block_sized(10), *c = wr_block_sized(100000);

    memset(b->data, 1, b->size);
    memset(c->data, 1, c->size);
    b->refs++;
    wr_block_unref(b);
    ck_assert_uint_eq(wr_blocks_live(), 2);
    wr_block_unref(b);
    wr_block_unref(c);
    no_blocks();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { copies_over_several_blocks, room_and_commit,
                                   unused_room_does_not_count, a_shared_block_is_not_appended_to,
                                   parts_that_meet_again_join, a_tee_takes_references,
                                   files_split_too, a_relay_of_queues, blocks_of_other_sizes,
                                   NULL };

    return run_suite("event_bufq", tests);
}
