/* raw_endpoint: the endpoint that moves the bytes of a connection unchanged: both sides of a TCP
 * session or of a tunnel (Upgrade). Owns nothing: the session owns the client's connection, the try
 * the peer's. */
#include "relay/relay.h"

#include <sys/uio.h>

#define IOV 16

static enum wr_io raw_read(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    return wr_conn_read(e->conn, p, n, got);
}

static enum wr_io raw_write(struct wr_endpoint *e, const struct wr_slice *chain, bool fin,
                            size_t *put)
{
    struct iovec v[IOV];
    size_t n = 0;
    const struct wr_slice *s;

    *put = 0;
    if (chain == NULL)
        return fin ? wr_conn_shutdown(e->conn) : WR_IO_OK;
    for (s = chain; s != NULL && n < IOV; s = s->next, n++)
        v[n] = (struct iovec){ (void *)(uintptr_t)s->p, s->n };
    if (n == 1)
        return wr_conn_write(e->conn, v[0].iov_base, v[0].iov_len, put);
    return wr_conn_writev(e->conn, v, n, put);
}

static uint64_t raw_want(struct wr_endpoint *e)
{
    return e->conn->io->raw ? UINT64_MAX : 0;
}

static void raw_to_raw(struct wr_endpoint *e, struct wr_bufq *in, struct wr_bufq *out)
{
    (void)e;
    (void)in;
    (void)out;
}

static void raw_end(struct wr_endpoint *e, enum wr_end how)
{
    if (how == WR_END_RESET)
        e->conn->reset_on_close = true;
    wr_conn_close(e->conn);
    e->ops = NULL;
}

static const struct wr_endpoint_ops raw_ops = {
    .name = "raw",
    .read = raw_read,
    .write = raw_write,
    .want = raw_want,
    .to_raw = raw_to_raw,
    .end = raw_end,
};

void wr_endpoint_raw(struct wr_endpoint *e, struct wr_conn *c)
{
    e->ops = &raw_ops;
    e->conn = c;
    e->state = NULL;
}
