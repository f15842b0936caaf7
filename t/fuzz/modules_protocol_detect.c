/* Any bytes as the first ones of a client, whole and cut at every length: the verdict may change
 * only once, from "more" to a protocol, and never depends on how many bytes follow. */
#include "base/base.h"

#include "../../modules/stream/protocol_detect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A block of exactly this size, so that ASan finds a read past its end. */
static struct wr_str detect(const uint8_t *data, size_t n)
{
    char *own = wr_malloc(n > 0 ? n : 1);
    struct wr_str v;

    memcpy(own, data, n);
    v = wr_protocol_detect(wr_str_of(own, n));
    free(own);
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_str before = WR_STR("");

    if (size > 16384)
        size = 16384;
    for (size_t n = 0; n <= size; n += n < 256 ? 1 : 997) {
        struct wr_str v = detect(data, n);

        WR_ASSERT(before.n == 0 || wr_str_eq(v, before));
        before = v;
    }
    WR_ASSERT(size <= 9000 || before.n > 0 || detect(data, size).n > 0);
    return 0;
}
