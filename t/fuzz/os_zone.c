/* Any bytes in a table of shared memory, as a faulty or hostile process may write them: put, get
 * and remove must go on, and the next process must find a table that works. The sanitizers watch
 * the rest of the memory.
 *
 * An input is a sequence of letters with arguments: w (two bytes offset, one byte count, the bytes)
 * writes; p (a key of one byte, the size of a value by 32) puts; g and r (a key) get and remove; t
 * lets time pass; u unlocks and locks again. */
#include "os/os.h"

#include <sys/mman.h>
#include <unistd.h>

#define SIZE 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct wr_table table;
static uint64_t now_s;

static void overwrite(struct wr_scan *s)
{
    size_t at = wr_scan_u16(s) % SIZE;
    struct wr_str bytes = wr_scan_take(s, wr_scan_u8(s));

    if (!s->bad)
        memcpy((char *)table.head + at, bytes.p, wr_min(bytes.n, SIZE - at));
}

static void act(uint8_t what, struct wr_scan *s)
{
    static char buf[WR_TABLE_VALUE_MAX];
    char key[40] = { (char)(what == 'p' || what == 'g' || what == 'r' ? wr_scan_u8(s) : 0) };
    struct wr_str k = wr_str_of(key, 1 + (unsigned char)key[0] % 40U);

    switch (what) {
    case 'w':
        overwrite(s);
        break;
    case 'p':
        (void)wr_table_put(&table, k, wr_str_of(buf, wr_scan_u8(s) * 32U), now_s + 5, now_s);
        break;
    case 'g':
        (void)wr_table_get(&table, k, now_s, buf, sizeof(buf));
        break;
    case 'r':
        wr_table_remove(&table, k);
        break;
    case 't':
        now_s += 3;
        break;
    case 'u':
        wr_table_unlock(&table);
        WR_ASSERT(wr_table_lock(&table, 0));
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wr_log nowhere;
    struct wr_scan s = wr_scan_of(data, size);
    struct wr_zone z = { .p = wr_calloc(1, SIZE), .fd = memfd_create("zone", MFD_CLOEXEC) };
    char out[4];

    wr_log_default = &nowhere;
    wr_table_place(&table, &z, SIZE, "fuzz");
    WR_ASSERT(wr_table_lock(&table, 0));
    for (int acts = 0; acts < 200 && !s.bad && wr_scan_left(&s) > 0; acts++)
        act(wr_scan_u8(&s), &s);
    wr_table_unlock(&table);
    memset((void *)table.head, 0xff, 4); /* as left by a holder that died */
    WR_ASSERT(wr_table_lock(&table, 0));
    WR_ASSERT(wr_table_put(&table, WR_STR("key"), WR_STR("well"), now_s + 1, now_s));
    WR_ASSERT(wr_table_get(&table, WR_STR("key"), now_s, out, sizeof(out)) == 4);
    wr_table_unlock(&table);
    (void)close(z.fd);
    free(z.p);
    return 0;
}
