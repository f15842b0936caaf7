/* Any answers of a server before TLS begins. The first byte chooses the protocol, and how many
 * bytes come at a time. */
#include "link/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_start_talk t = { 0 };
    enum wr_start how;
    size_t at = 1, end = 1;

    if (size == 0)
        return 0;
    how = (enum wr_start)(WR_START_PGSQL + data[0] % 4);
    size = wr_min(size, (size_t)WR_START_MAX);
    for (unsigned rounds = 0; rounds < 64; rounds++) {
        char *own = wr_malloc(end - at + 1);
        enum wr_start_next next;

        memcpy(own, data + at, end - at);
        next = wr_start_talk(how, &t, wr_str_of(own, end - at));
        WR_ASSERT(t.used <= end - at && t.greeting.n <= t.used);
        free(own);
        if (next == WR_START_SENDS)
            at += t.used;
        else if (next != WR_START_MORE || end == size)
            return 0;
        end = wr_min(size, end + 1 + data[0] / 4 % 16);
    }
    return 0;
}
