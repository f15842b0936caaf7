/* h1_out: how both HTTP/1 endpoints send. Control bytes (heads, chunk sizes) are collected in a
 * text, body bytes are borrowed from the relay, and one call sends both. */
#include "http1/http1_impl.h"

#include <sys/uio.h>

#define IOV 16
#define JOIN 4096 /* up to so many body bytes are copied after the control bytes: one send */

static const struct wr_str chunk_end = WR_STR_INIT("\r\n");

void wr_h1_chunk_open(struct wr_text *out, uint64_t n, const struct wr_fields *trailers)
{
    wr_text_fmt(out, "%llx\r\n", (unsigned long long)n);
    if (n > 0)
        return;
    if (trailers != NULL)
        wr_h1_write_fields(out, trailers);
    wr_text_c(out, "\r\n");
}

static enum wr_io send_control(struct wr_conn *c, struct wr_text *out, size_t *at)
{
    while (*at < out->n) {
        size_t put;
        enum wr_io io = wr_conn_write(c, out->p + *at, out->n - *at, &put);

        if (io != WR_IO_OK)
            return io;
        *at += put;
    }
    out->n = *at = 0;
    return WR_IO_OK;
}

static size_t gather_slices(struct iovec *v, const struct wr_text *out, size_t at,
                            const struct wr_slice *chain, uint64_t left)
{
    size_t n = 0;

    if (out->n > at)
        v[n++] = (struct iovec){ out->p + at, out->n - at };
    for (; chain != NULL && chain->p != NULL && n < IOV && left > 0; chain = chain->next) {
        size_t take = (size_t)wr_min((uint64_t)chain->n, left);

        v[n++] = (struct iovec){ (void *)(uintptr_t)chain->p, take };
        left -= take;
    }
    return n;
}

/* Copies a short body after its head: one send instead of a list. Returns the bytes copied. If more
 * than JOIN wait already, the receiver is slow: then the relay keeps the body. */
static size_t join_body(struct wr_text *out, size_t *at, const struct wr_slice *chain,
                        uint64_t left, bool chunk)
{
    if (out->n == *at || out->n - *at > JOIN || chain == NULL || chain->p == NULL
        || chain->next != NULL || chain->n > JOIN || chain->n > left)
        return 0;
    if (*at > 0) { /* a receiver that takes a little each time must not make the text grow */
        memmove(out->p, out->p + *at, out->n - *at);
        out->n -= *at;
        *at = 0;
    }
    wr_text_str(out, wr_str_of(chain->p, chain->n));
    if (chunk && chain->n == left)
        wr_text_str(out, chunk_end);
    return chain->n;
}

/* Sends control and data in one list. The CRLF of a chunk is sent with its last byte, as a receiver
 * may wait for it before it processes the chunk. */
static enum wr_io send_list(struct wr_conn *c, struct wr_text *out, size_t *at,
                            const struct wr_slice *chain, uint64_t left, bool chunk, size_t *put)
{
    struct iovec v[IOV + 2];
    size_t n = gather_slices(v, out, *at, chain, left), sent, control = out->n - *at, data = 0;
    enum wr_io io;

    for (size_t i = control > 0 ? 1 : 0; i < n; i++)
        data += v[i].iov_len;
    chunk = chunk && data == left;
    if (chunk)
        v[n++] = (struct iovec){ (void *)(uintptr_t)chunk_end.p, chunk_end.n };
    io = n == 1 ? wr_conn_write(c, v[0].iov_base, v[0].iov_len, &sent)
                : wr_conn_writev(c, v, n, &sent);
    if (io != WR_IO_OK)
        return io;
    if (sent < control) {
        *at += sent;
        return WR_IO_OK;
    }
    out->n = *at = 0;
    *put = wr_min(sent - control, data);
    if (chunk && *put == data)
        wr_text_str(out, wr_str_skip(chunk_end, sent - control - data));
    return WR_IO_OK;
}

static enum wr_io send_file(struct wr_conn *c, struct wr_text *out, const struct wr_slice *s,
                            uint64_t left, bool chunk, size_t *put)
{
    enum wr_io io = wr_conn_write_file(c, s, (size_t)wr_min(left, (uint64_t)SIZE_MAX), put);

    if (chunk && *put == left)
        wr_text_str(out, chunk_end);
    return io;
}

enum wr_io wr_h1_send(struct wr_conn *c, struct wr_text *out, size_t *at,
                      const struct wr_slice *chain, uint64_t left, bool chunk, size_t *put)
{
    enum wr_io io;

    *put = join_body(out, at, chain, left, chunk);
    if (*put > 0 || chain == NULL || chain->p == NULL) {
        c->more = chain != NULL && *put == 0; /* a file follows */
        io = send_control(c, out, at);
        c->more = false;
        /* `out` owns the joined bytes now: for the caller they are sent. */
        if (*put > 0)
            return io == WR_IO_ERROR ? io : WR_IO_OK;
        return io != WR_IO_OK || chain == NULL ? io : send_file(c, out, chain, left, chunk, put);
    }
    return send_list(c, out, at, chain, left, chunk, put);
}
