/* The state of the page cache: queried from the kernel, and remembered for a while. The reader
 * calls it before it lets the loop's thread read a file. Owns a table of the process. */
#include "event/event_impl.h"

#include <errno.h>
#include <sys/uio.h>

#define PLACES 4096           /* for 1 GB of chunks, in 64 KB of memory */
#define BELIEVED_MS 10000     /* a chunk read so recently was not evicted; later ask the kernel */

static struct {
    uint64_t key, until;
} seen[PLACES];

static uint64_t key_of(uint64_t id, uint64_t at)
{
    return (id ^ (at / WR_FILE_CHUNK + 1) * 0x9e3779b97f4a7c15U) | 1;
}

bool wr_warm_known(uint64_t id, uint64_t at)
{
    uint64_t key = key_of(id, at);
    size_t i = (key >> 20) % PLACES;

    return id != 0 && seen[i].key == key && wr_now() < seen[i].until;
}

void wr_warm_note(uint64_t id, uint64_t at)
{
    uint64_t key = key_of(id, at);
    size_t i = (key >> 20) % PLACES;

    if (id == 0)
        return;
    seen[i].key = key;
    seen[i].until = wr_now() + BELIEVED_MS;
}

/* Reads one byte without waiting: that works only if its page is in the cache and filled. File
 * systems that cannot tell refuse the flag: treat the page as cold. */
bool wr_warm_byte(int fd, off_t at)
{
    char byte;
    struct iovec v = { &byte, 1 };

    if (wr_chaos() && wr_random() % 4 == 0)
        return false;
    /* 0: the file ends before that byte, so reading does not wait */
    return preadv2(fd, &v, 1, at, RWF_NOWAIT) >= 0;
}
