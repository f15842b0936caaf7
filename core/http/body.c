/* body: a request's body for those who want all of it before they begin: in memory up to
 * client_body_buffer_size, then in a temp file without a name. */
#include "http/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t r = write(fd, p, n);

        if (r < 0 && errno != EINTR)
            return false;
        if (r > 0) {
            p += r;
            n -= (size_t)r;
        }
    }
    return true;
}

static void close_file(void *arg)
{
    (void)close((int)(intptr_t)arg);
}

/* The name is gone before the first byte is in: nothing is left behind by a crash. */
static bool open_file(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_body *b = &wr_http_of(x)->body;
    const char *folder = wr_pool_cstr(x->pool, c->client_body_temp_path);

    b->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (b->fd < 0) {
        wr_xlog(x, WR_LOG_CRIT, errno, "open() \"%s\" failed", folder);
        return false;
    }
    wr_pool_cleanup(x->pool, close_file, (void *)(intptr_t)b->fd);
    wr_xlog(x, WR_LOG_WARN, 0, "a client request body is buffered to a temporary file in %s",
            folder);
    return true;
}

static bool spill(struct wr_exchange *x)
{
    struct wr_body *b = &wr_http_of(x)->body;

    if (b->fd < 0 && !open_file(x))
        return false;
    while (b->q.n > 0) {
        const struct wr_slice *s = b->q.head;

        if (!write_all(b->fd, s->p, s->n)) {
            wr_xlog(x, WR_LOG_CRIT, errno, "write() to a temporary file failed");
            return false;
        }
        b->in_file += s->n;
        wr_bufq_drop(&b->q, s->n);
    }
    return true;
}

static enum wr_verdict add(struct wr_exchange *x, const char *p, size_t n)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_http *h = wr_http_of(x);

    h->body.size += n;
    h->request_length += n;
    if (c->client_max_body > 0 && h->body.size > c->client_max_body) {
        wr_xlog(x, WR_LOG_ERROR, 0, "client intended to send too large chunked body: %llu bytes",
                (unsigned long long)h->body.size);
        return wr_reject(x, 413, NULL);
    }
    wr_bufq_copy(&h->body.q, p, n);
    if ((h->body.q.n > c->client_body_buffer || h->body.fd >= 0) && !spill(x))
        return wr_reject(x, 500, NULL);
    return WR_PASS;
}

static enum wr_verdict broken(struct wr_exchange *x)
{
    wr_http_of(x)->keepalive = false;
    if (x->s->conn.error == EBADMSG)
        return wr_reject(x, 400, "client sent invalid chunked body");
    wr_http_of(x)->aborted = true;
    return wr_reject(x, x->s->conn.error == 0 ? 400 : 499, "client prematurely closed connection");
}

enum wr_verdict wr_http_read_body(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_http *h = wr_http_of(x);
    char *scratch = wr_loop_scratch(x->loop);

    if (h->req.framing == WR_BODY_NONE)
        h->body.complete = true;
    while (!h->body.complete) {
        size_t got = 0;
        enum wr_verdict v = WR_PASS;

        switch (x->client.ops->read(&x->client, scratch, 65536, &got)) {
        case WR_IO_OK:
            v = add(x, scratch, got);
            wr_timer_set(x->loop, &x->idle, c->client_body_timeout_ms);
            break;
        case WR_IO_EOF:
            h->body.complete = true;
            break;
        case WR_IO_ERROR:
            return broken(x);
        case WR_IO_AGAIN:
            if (x->idle.at == 0)
                wr_timer_set(x->loop, &x->idle, c->client_body_timeout_ms);
            if (!x->idle.fired)
                return WR_HOLD;
            h->keepalive = false;
            return wr_reject(x, 408, "client timed out");
        }
        if (v != WR_PASS)
            return v;
    }
    wr_timer_off(x->loop, &x->idle);
    return WR_PASS;
}

void wr_http_discard_body(struct wr_exchange *x)
{
    wr_http_of(x)->discard = true; /* the session drops what is left when the reply is out */
}

void wr_http_add_body_filter(struct wr_exchange *x, struct wr_body_filter *f)
{
    struct wr_body_filter **at = &wr_http_of(x)->filters;

    while (*at != NULL)
        at = &(*at)->next;
    *at = f;
}
