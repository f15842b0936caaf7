/* tls: OpenSSL as the transport of a connection. wr_tls_open gives the connection a state, steps
 * call wr_tls_handshake until it returns OK; from then on conn reads and writes through it. Owns
 * the SSL; the context is the caller's.
 *
 * OpenSSL reads and writes through a BIO of ours. It records when a read has emptied the socket:
 * the next read then costs no system call. The conn's READABLE means "there may be plain bytes": it
 * stays set while the library has some. */
#include "event/event_impl.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#define RECORD 16384 /* most plain bytes of one record, RFC 8446 5.1 */
#define RECVS 4      /* in one call: OpenSSL reads on while records come that contain no data */

struct wr_tls_state {
    SSL *ssl;
    struct wr_conn *conn;
    struct wr_unread *early; /* read before TLS began; NULL: none */
    size_t record;           /* most plain bytes passed to the library at once */
    size_t pending;          /* plain bytes of a record not yet sent: to be repeated */
    unsigned recvs;          /* recv calls in this call */
    char *refused;           /* a short last write that the socket did not take; or NULL */
    size_t refused_n;
    bool dry;                /* the last recv emptied the socket */
    bool ended;              /* the last recv found the end */
    bool pretended;          /* EAGAIN was made up: for chaos, or in favour of other tasks */
    bool up, broken;
};

/* ---- the socket under it ---- */

static int bio_wait(BIO *b, bool reading)
{
    BIO_clear_retry_flags(b);
    if (reading)
        BIO_set_retry_read(b);
    else
        BIO_set_retry_write(b);
    return -1;
}

static int bio_pretend(BIO *b, struct wr_tls_state *t, bool reading)
{
    t->pretended = true;
    (void)wr_conn_pretend_again(t->conn);
    return bio_wait(b, reading);
}

static int bio_read(BIO *b, char *p, int len)
{
    struct wr_tls_state *t = BIO_get_data(b);
    size_t n = (size_t)len;
    ssize_t r;

    if (t->early != NULL) {
        BIO_clear_retry_flags(b);
        return (int)wr_unread_take(&t->early, p, n);
    }
    if (t->dry)
        return bio_wait(b, true);
    if (t->recvs++ >= RECVS || !wr_chaos_io(&n))
        return bio_pretend(b, t, true);
    do {
        r = recv(t->conn->fd, p, n, 0);
    } while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EAGAIN) {
        t->dry = true;
        return bio_wait(b, true);
    }
    BIO_clear_retry_flags(b);
    t->ended = r == 0;
    if (r < 0)
        t->conn->error = errno;
    /* a FIN that was reported may still be behind these bytes */
    t->dry = r > 0 && (size_t)r < n && !(t->conn->ready & (WR_HUP | WR_ERR));
    return (int)r;
}

/* The library tries only once to write a message it makes at the end (an alert, close_notify): keep
 * the part that the socket did not take. */
static int keep_refused(BIO *b, struct wr_tls_state *t, const char *p, size_t n)
{
    if (n <= WR_LAST_WORDS) {
        if (t->refused == NULL)
            t->refused = wr_malloc(WR_LAST_WORDS);
        memcpy(t->refused, p, n);
        t->refused_n = n;
    }
    return bio_wait(b, false);
}

static int bio_write(BIO *b, const char *p, int len)
{
    struct wr_tls_state *t = BIO_get_data(b);
    size_t n = (size_t)len;
    ssize_t r;

    t->refused_n = 0;
    if (!wr_chaos_io(&n)) {
        (void)bio_pretend(b, t, false);
        return keep_refused(b, t, p, (size_t)len);
    }
    do {
        r = send(t->conn->fd, p, n, MSG_NOSIGNAL | (t->conn->more ? MSG_MORE : 0));
    } while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EAGAIN)
        return keep_refused(b, t, p, (size_t)len);
    BIO_clear_retry_flags(b);
    if (r < 0)
        t->conn->error = errno;
    return (int)r;
}

/* Reporting the end of the input lets SSL_OP_IGNORE_UNEXPECTED_EOF treat a FIN without close_notify
 * like one with it. */
static long bio_ctrl(BIO *b, int command, long n, void *p)
{
    const struct wr_tls_state *t = BIO_get_data(b);

    (void)n;
    (void)p;
    if (command == BIO_CTRL_EOF)
        return t != NULL && t->ended;
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_PUSH || command == BIO_CTRL_POP;
}

static BIO_METHOD *bio_method(void)
{
    static BIO_METHOD *m;

    if (m == NULL) {
        m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir");
        if (m == NULL || !BIO_meth_set_read(m, bio_read) || !BIO_meth_set_write(m, bio_write)
            || !BIO_meth_set_ctrl(m, bio_ctrl))
            wr_out_of_memory(0);
    }
    return m;
}

/* ---- the result of a call ---- */

static enum wr_io again_reading(struct wr_tls_state *t)
{
    if (!t->pretended)
        t->conn->ready = (uint8_t)(t->conn->ready & ~(unsigned)WR_READABLE);
    return WR_IO_AGAIN;
}

static enum wr_io again_writing(struct wr_tls_state *t)
{
    if (!t->pretended)
        wr_conn_full(t->conn);
    return WR_IO_AGAIN;
}

/* r: the result of the SSL_ function, not positive. */
static enum wr_io call_result(struct wr_tls_state *t, int r)
{
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return again_reading(t);
    case SSL_ERROR_WANT_WRITE:
        return again_writing(t);
    case SSL_ERROR_ZERO_RETURN:
        return WR_IO_EOF;
    case SSL_ERROR_SYSCALL:
        t->broken = true;
        return t->conn->error == 0 && ERR_peek_error() == 0 ? WR_IO_EOF : WR_IO_ERROR;
    default:
        t->broken = true;
        if (t->conn->error == 0)
            t->conn->error = EPROTO;
        return WR_IO_ERROR;
    }
}

static void before_call(struct wr_tls_state *t)
{
    ERR_clear_error();
    t->pretended = false;
    t->recvs = 0;
    t->dry = false; /* more may have arrived since */
}

/* ---- the transport ---- */

static enum wr_io tls_read(struct wr_conn *c, void *p, size_t n, size_t *got)
{
    struct wr_tls_state *t = c->tls;
    int r;

    before_call(t);
    r = SSL_read(t->ssl, p, (int)wr_min(n, (size_t)INT32_MAX));
    if (r > 0) {
        *got = (size_t)r;
        c->received += *got;
        if (t->dry && !SSL_has_pending(t->ssl))
            c->ready = (uint8_t)(c->ready & ~(unsigned)WR_READABLE);
        return WR_IO_OK;
    }
    switch (call_result(t, r)) {
    case WR_IO_EOF:
        c->read_eof = true;
        return WR_IO_EOF;
    case WR_IO_AGAIN:
        return WR_IO_AGAIN;
    default: /* an error: r <= 0 is never OK */
        return WR_IO_ERROR;
    }
}

static enum wr_io tls_peek(struct wr_conn *c, void *p, size_t n, size_t *got)
{
    struct wr_tls_state *t = c->tls;
    int r;

    before_call(t);
    r = SSL_peek(t->ssl, p, (int)wr_min(n, (size_t)INT32_MAX));
    if (r <= 0)
        return call_result(t, r);
    *got = (size_t)r;
    return WR_IO_OK;
}

static enum wr_io write_record(struct wr_tls_state *t, const void *p, size_t n, size_t *put)
{
    int r;

    /* The library insists on getting at least the same bytes again, and callers comply. */
    if (n < t->pending) {
        t->conn->error = EIO;
        return WR_IO_ERROR;
    }
    before_call(t);
    r = SSL_write(t->ssl, p, (int)n);
    if (r <= 0) {
        enum wr_io io = call_result(t, r);

        t->pending = io == WR_IO_AGAIN ? n : 0;
        if (io == WR_IO_EOF) {
            t->conn->error = EPIPE;
            return WR_IO_ERROR;
        }
        return io;
    }
    t->pending = 0;
    t->conn->sent += (size_t)r;
    *put += (size_t)r;
    return WR_IO_OK;
}

/* Puts several pieces into one record: for example a head and the beginning of its body. */
static size_t gather_record(const struct iovec *v, size_t nv, size_t skip, char *to, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < nv && n < max; i++) {
        size_t from = wr_min(skip, v[i].iov_len), len = wr_min(v[i].iov_len - from, max - n);

        memcpy(to + n, (const char *)v[i].iov_base + from, len);
        n += len;
        skip -= from;
    }
    return n;
}

static enum wr_io tls_write(struct wr_conn *c, const struct iovec *v, size_t nv, size_t *put)
{
    static char together[RECORD];
    struct wr_tls_state *t = c->tls;
    size_t total = 0;
    enum wr_io io = WR_IO_OK;

    for (size_t i = 0; i < nv; i++)
        total += v[i].iov_len;
    while (*put < total && io == WR_IO_OK) {
        size_t n = wr_min(total - *put, t->record);

        if (nv == 1)
            io = write_record(t, (const char *)v->iov_base + *put, n, put);
        else
            io = write_record(t, together, gather_record(v, nv, *put, together, n), put);
    }
    return io == WR_IO_AGAIN && *put > 0 ? WR_IO_OK : io;
}

static enum wr_io tls_shutdown(struct wr_conn *c)
{
    struct wr_tls_state *t = c->tls;
    int r;

    if (!t->broken) {
        before_call(t);
        r = SSL_shutdown(t->ssl);
        if (r < 0 && SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_WRITE)
            return again_writing(t);
    }
    return wr_plain.shutdown(c);
}

static const struct wr_transport tls_transport = {
    .read = tls_read,
    .write = tls_write,
    .peek = tls_peek,
    .shutdown = tls_shutdown,
    .raw = false,
};

/* ---- beginning and end ---- */

/* Sends close_notify, so that the other side knows that nothing is missing. A session that failed
 * is not resumed; its alert may still have to be sent. */
static void free_state(struct wr_conn *c)
{
    struct wr_tls_state *t = c->tls;

    ERR_clear_error();
    if (!t->broken)
        t->refused_n = 0;
    if (!t->up || t->broken || c->reset_on_close)
        SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    else if (!c->write_shut)
        (void)SSL_shutdown(t->ssl);
    if (t->refused_n > 0 && !c->write_shut && !c->reset_on_close)
        wr_last_words(c, t->refused, t->refused_n);
    free(t->refused);
    free(t->early);
    SSL_free(t->ssl);
    free(t);
    c->tls = NULL;
    c->io = &wr_plain;
    ERR_clear_error();
}

bool wr_tls_open(struct wr_conn *c, struct ssl_ctx_st *ctx, bool server, size_t record)
{
    struct wr_tls_state *t = wr_calloc(1, sizeof(*t));
    BIO *bio = BIO_new(bio_method());

    t->conn = c;
    t->record = record == 0 ? RECORD : wr_min(record, (size_t)RECORD);
    t->ssl = SSL_new(ctx);
    if (t->ssl == NULL || bio == NULL) {
        SSL_free(t->ssl);
        BIO_free(bio);
        free(t);
        return false;
    }
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, c);
    if (server)
        SSL_set_accept_state(t->ssl);
    else
        SSL_set_connect_state(t->ssl);
    t->early = wr_unread_detach(c);
    c->tls = t;
    c->free_state = free_state;
    return true;
}

enum wr_io wr_tls_handshake(struct wr_conn *c)
{
    struct wr_tls_state *t = c->tls;
    int r;

    /* TLS decides whether this reads or writes: neither ready bit alone tells whether to try. */
    before_call(t);
    r = SSL_do_handshake(t->ssl);
    if (r <= 0)
        return call_result(t, r);
    t->up = true;
    c->io = &tls_transport;
    c->ready |= WR_READABLE; /* the first data may have come with the handshake */
    return WR_IO_OK;
}

void wr_tls_moved(struct wr_conn *c)
{
    c->tls->conn = c;
    SSL_set_app_data(c->tls->ssl, c);
}

struct ssl_st *wr_tls_of(const struct wr_conn *c)
{
    return c->tls != NULL ? c->tls->ssl : NULL;
}

bool wr_tls_up(const struct wr_conn *c)
{
    return c->tls != NULL && c->tls->up;
}

void wr_tls_errors(struct wr_text *t)
{
    const char *data, *separator = " (SSL: ";
    unsigned long e;
    int flags;

    while ((e = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        char buf[256];

        ERR_error_string_n(e, buf, sizeof(buf));
        wr_text_c(t, separator);
        wr_text_c(t, buf);
        if ((flags & ERR_TXT_STRING) != 0 && data != NULL && *data != '\0')
            wr_text_fmt(t, ":%s", data);
        separator = " ";
    }
    if (*separator == ' ' && separator[1] == '\0')
        wr_text_char(t, ')');
}

/* ---- memory ---- */

static void *vault_alloc(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return wr_vault_alloc(n);
}

static void *vault_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return wr_vault_realloc(p, n);
}

static void vault_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    wr_vault_free(p);
}

/* Under ASan OpenSSL uses malloc: ASan finds overflows and leaks only in its own heap. */
void wr_tls_init(void)
{
    if (!WR_ASAN && CRYPTO_set_mem_functions(vault_alloc, vault_realloc, vault_free) != 1)
        wr_say(WR_LOG_WARN, 0, "CRYPTO_set_mem_functions() failed: keys may get into core files");
}
