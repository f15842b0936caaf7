/* cache_head: reads the beginning of a stored object's file and judges it. Called by the reader,
 * the writer and the loader. */
#include "cache_file.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define FIRST_READ 4096

/* Reads up to `want` bytes in all; at the end of the file there are fewer. */
static bool read_to(int fd, size_t want, bool warm, struct wr_cache_head *h)
{
    while (h->n < want) {
        struct iovec v = { h->bytes + h->n, want - h->n };
        ssize_t k = preadv2(fd, &v, 1, (off_t)h->n, warm ? RWF_NOWAIT : 0);

        if (k == 0)
            return true;
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0 && warm && errno == EOPNOTSUPP)
            errno = EAGAIN;
        if (k < 0)
            return false;
        h->n += (size_t)k;
    }
    return true;
}

/* Reads on until the part before the body is there, and judges it. */
static bool read_and_decode(int fd, bool warm, struct wr_cache_head *h)
{
    size_t want = FIRST_READ;

    h->bytes = wr_malloc(want);
    if (!read_to(fd, want, warm, h))
        return false;
    h->is = wr_cache_decode(wr_str_of(h->bytes, h->n), true, &h->object);
    if (h->is == WR_CACHE_MORE && h->n == want && h->object.body_at > want) {
        want = h->object.body_at;
        h->bytes = wr_realloc(h->bytes, want);
        if (!read_to(fd, want, warm, h))
            return false;
        h->is = wr_cache_decode(wr_str_of(h->bytes, h->n), true, &h->object);
    }
    return true;
}

bool wr_cache_head_read(int fd, bool warm, struct wr_cache_head *h)
{
    struct stat st;

    *h = (struct wr_cache_head){ .is = WR_CACHE_FOREIGN };
    if (fstat(fd, &st) != 0)
        return false;
    if (!S_ISREG(st.st_mode)) {
        errno = EINVAL;
        return false;
    }
    h->size = (uint64_t)st.st_size;
    h->used_s = (uint64_t)wr_max(st.st_atime, st.st_mtime);
    if (!read_and_decode(fd, warm, h))
        return false;
    if (h->is == WR_CACHE_MORE /* it was cut off */
        || (h->is == WR_CACHE_WHOLE && wr_cache_object_size(&h->object) != h->size))
        h->is = WR_CACHE_BROKEN;
    return true;
}
