/* unread: bytes that were read from a connection and put back, for whoever reads next: a session
 * that is passed to another listener begins with them. Stands in front of the connection's
 * transport until they are read. The connection owns the bytes. */
#include "event/event_impl.h"

struct wr_unread {
    const struct wr_transport *under;
    size_t at, n;
    char bytes[];
};

size_t wr_unread_take(struct wr_unread **u, void *p, size_t n)
{
    struct wr_unread *all = *u;
    size_t got = wr_min(n, all->n - all->at);

    memcpy(p, all->bytes + all->at, got);
    all->at += got;
    if (all->at == all->n) {
        free(all);
        *u = NULL;
    }
    return got;
}

static enum wr_io unread_read(struct wr_conn *c, void *p, size_t n, size_t *got)
{
    const struct wr_transport *under = c->unread->under;

    *got = wr_unread_take(&c->unread, p, n);
    c->received += *got;
    if (c->unread == NULL)
        c->io = under;
    return WR_IO_OK; /* READABLE stays: what is under these bytes is not known */
}

static enum wr_io unread_write(struct wr_conn *c, const struct iovec *v, size_t nv, size_t *put)
{
    return c->unread->under->write(c, v, nv, put);
}

/* An end behind these bytes is for later: read_eof would hide them. */
static enum wr_io unread_peek(struct wr_conn *c, void *p, size_t n, size_t *got)
{
    const struct wr_unread *u = c->unread;
    size_t have = wr_min(n, u->n - u->at), more = 0;

    memcpy(p, u->bytes + u->at, have);
    if (have < n && u->under->peek(c, (char *)p + have, n - have, &more) == WR_IO_EOF) {
        c->read_eof = false;
        c->ready |= WR_HUP;
    }
    c->ready |= WR_READABLE;
    *got = have + more;
    return WR_IO_OK;
}

static enum wr_io unread_shutdown(struct wr_conn *c)
{
    return c->unread->under->shutdown(c);
}

static const struct wr_transport unread_transport = {
    .read = unread_read,
    .write = unread_write,
    .peek = unread_peek,
    .shutdown = unread_shutdown,
    .raw = false,
};

void wr_conn_unread(struct wr_conn *c, const void *p, size_t n)
{
    struct wr_unread *old = c->unread, *u;
    size_t left = old != NULL ? old->n - old->at : 0;

    if (n == 0)
        return;
    u = wr_malloc(sizeof(*u) + n + left);
    *u = (struct wr_unread){ .under = old != NULL ? old->under : c->io, .n = n + left };
    memcpy(u->bytes, p, n);
    if (old != NULL)
        memcpy(u->bytes + n, old->bytes + old->at, left);
    free(old);
    c->unread = u;
    c->io = &unread_transport;
    c->ready |= WR_READABLE;
}

struct wr_unread *wr_unread_detach(struct wr_conn *c)
{
    struct wr_unread *u = c->unread;

    if (u != NULL)
        c->io = u->under;
    c->unread = NULL;
    return u;
}
