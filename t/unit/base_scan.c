/* The cursor over wire bytes: no call reads behind the end. */
#include "lib/unit.h"

START_TEST(reads_network_order)
{
    static const unsigned char bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 'a', 'b', 'c' };
    struct wr_scan s = wr_scan_of(bytes, sizeof(bytes));

    ck_assert_uint_eq(wr_scan_u8(&s), 1);
    ck_assert_uint_eq(wr_scan_u16(&s), 0x0203);
    ck_assert_uint_eq(wr_scan_u24(&s), 0x040506);
    ck_assert_uint_eq(wr_scan_u32(&s), 0x0708090a);
    ck_assert(wr_scan_skip(&s, 1));
    ck_view(wr_scan_take(&s, 2), "bc");
    ck_assert_uint_eq(wr_scan_left(&s), 0);
    ck_assert(!s.bad);
    ck_assert(wr_scan_skip(&s, 0));
}
END_TEST

START_TEST(latches)
{
    /* On the heap, so that ASan finds a read one byte too far. */
    unsigned char *bytes = wr_calloc(1, 3);
    struct wr_scan s = wr_scan_of(bytes, 3);

    bytes[0] = 9;
    ck_assert_uint_eq(wr_scan_u32(&s), 0);
    ck_assert(s.bad);
    ck_assert_uint_eq(wr_scan_u8(&s), 0);
    ck_assert_uint_eq(wr_scan_u16(&s), 0);
    ck_assert_uint_eq(wr_scan_u24(&s), 0);
    ck_assert_uint_eq(wr_scan_take(&s, 1).n, 0);
    ck_assert_ptr_null(wr_scan_take(&s, 1).p);
    ck_assert(!wr_scan_skip(&s, 0));
    s = wr_scan_of(bytes, 3);
    ck_assert(!wr_scan_skip(&s, SIZE_MAX));
    s = wr_scan_of(NULL, 0); /* no arithmetic on a null pointer */
    ck_assert_uint_eq(wr_scan_u8(&s), 0);
    ck_assert(s.bad);
    free(bytes);
}
END_TEST

UNIT_MAIN("base/scan", reads_network_order, latches)
