/* spill: what a slow receiver has not taken yet, in a temp file without a name, so that the sender
 * can be let go. The relay writes behind and reads in front; once all is read it begins again at 0.
 * Lives in the exchange's pool; the file is closed with it. */
#include "exchange/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void close_file(void *arg)
{
    wr_reader_end(&((struct wr_spill *)arg)->reader);
}

struct wr_spill *wr_spill_new(struct wr_pool *pool, const char *folder, uint64_t max,
                              struct wr_threads *threads)
{
    struct wr_spill *s = WR_NEW(pool, struct wr_spill);

    s->pool = pool;
    s->folder = folder;
    s->max = max;
    s->threads = threads;
    s->fd = -1;
    return s;
}

static bool open_file(struct wr_spill *s)
{
    s->fd = open(s->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd < 0) {
        wr_say(WR_LOG_CRIT, errno, "open() \"%s\" failed", s->folder);
        s->max = 0;
        return false;
    }
    wr_reader_init(&s->reader, wr_opened_new(s->fd, s->folder), s->threads);
    wr_pool_cleanup(s->pool, close_file, s);
    return true;
}

size_t wr_spill_room(const struct wr_spill *s)
{
    return s == NULL || s->in >= s->max ? 0 : (size_t)wr_min(s->max - s->in, (uint64_t)1 << 20);
}

bool wr_spill_put(struct wr_spill *s, const void *p, size_t n)
{
    const char *from = p;

    if (s->fd < 0 && !open_file(s))
        return false;
    while (n > 0) {
        ssize_t r = pwrite(s->fd, from, n, (off_t)s->in);

        if (r < 0 && errno != EINTR) {
            wr_say(WR_LOG_CRIT, errno, "pwrite() to a temporary file in \"%s\" failed", s->folder);
            return false;
        }
        if (r > 0) {
            from += r;
            n -= (size_t)r;
            s->in += (uint64_t)r;
        }
    }
    return true;
}

bool wr_spill_get(struct wr_spill *s, struct wr_bufq *q)
{
    if (s == NULL || s->out == s->in)
        return false;
    wr_bufq_file(q, &s->reader, (off_t)s->out, (size_t)(s->in - s->out));
    s->out = s->in;
    return true;
}

void wr_spill_drained(struct wr_spill *s)
{
    if (s != NULL && s->out == s->in)
        s->in = s->out = 0;
}
