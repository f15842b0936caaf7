/* TLS over a socket pair, with OpenSSL at the far end: things no ordinary client does, and a
 * receiver that stops reading. */
#include "event/event_impl.h" /* first: it defines _GNU_SOURCE, for O_DIRECT */

#include "lib/event_lib.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define CHUNK (256 * 1024)
#define SIZE (3 * CHUNK)

static struct wr_loop *l;
static struct counter task;
static struct wr_conn c;
static SSL_CTX *ours, *theirs;
static SSL *far;
static int other; /* the far end, non-blocking */

static SSL_CTX *server_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();

    ck_assert(X509_gmtime_adj(X509_getm_notBefore(x), 0) != NULL);
    ck_assert(X509_gmtime_adj(X509_getm_notAfter(x), 1000) != NULL);
    ck_assert_int_eq(X509_set_pubkey(x, key), 1);
    ck_assert_int_gt(X509_sign(x, key, EVP_sha256()), 0);
    ck_assert_int_eq(SSL_CTX_use_certificate(ctx, x), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(ctx, key), 1);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
                              | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    X509_free(x);
    EVP_PKEY_free(key);
    return ctx;
}

static void setup(void)
{
    enum wr_io io = WR_IO_AGAIN;
    int fd[2], r = 0;

    l = wr_loop_new(16);
    task = COUNTER;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    wr_conn_init(&c, l, fd[0], &task.task);
    other = fd[1];
    ours = server_context();
    theirs = SSL_CTX_new(TLS_client_method());
    far = SSL_new(theirs);
    ck_assert_int_eq(SSL_set_fd(far, other), 1);
    SSL_set_connect_state(far);
    ck_assert(wr_tls_open(&c, ours, true, 0));
    while (io != WR_IO_OK || r != 1) {
        r = SSL_do_handshake(far);
        if (io != WR_IO_OK)
            io = wr_tls_handshake(&c);
        ck_assert(io == WR_IO_OK || io == WR_IO_AGAIN);
    }
    wr_conn_arm(&c);
}

static void teardown(void)
{
    wr_conn_close(&c);
    SSL_free(far);
    SSL_CTX_free(ours);
    SSL_CTX_free(theirs);
    close(other);
    wr_loop_free(l);
    ck_assert_uint_eq(wr_blocks_live(), 0);
}

/* Bytes that have arrived and are not read. */
static int unread(void)
{
    int n = 0;

    ck_assert_int_eq(ioctl(c.fd, FIONREAD, &n), 0);
    return n;
}

/* Sends n key updates in one piece, as a slow receiver finds them. */
static void update_keys(int n)
{
    BIO *b = BIO_new(BIO_s_mem());
    char *p;
    long size;

    SSL_set0_wbio(far, b);
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(SSL_key_update(far, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        ck_assert_int_eq(SSL_do_handshake(far), 1);
    }
    size = BIO_get_mem_data(b, &p);
    ck_assert_int_eq(write(other, p, (size_t)size), size);
    SSL_set0_wbio(far, BIO_new_socket(other, BIO_NOCLOSE));
}

/* Records without data could keep OpenSSL busy for as long as they come. */
START_TEST(a_read_that_brings_nothing_ends)
{
    char buf[100];
    size_t got;
    enum wr_io io;
    int before, reads = 0;

    setup();
    update_keys(5000);
    before = unread();
    ck_assert_int_gt(before, 100000);
    ck_assert_int_eq(wr_conn_read(&c, buf, sizeof(buf), &got), WR_IO_AGAIN);
    ck_assert_int_lt(before - unread(), 80000);
    ck_assert(task.task.queued); /* otherwise no event would tell that more is there */
    ck_assert(c.ready & WR_READABLE);

    while ((io = wr_conn_read(&c, buf, sizeof(buf), &got)) == WR_IO_AGAIN && unread() > 0)
        ck_assert_int_lt(++reads, 1000);
    ck_assert_int_eq(SSL_do_handshake(far), 1);
    ck_assert_int_eq(SSL_write(far, "hello", 5), 5);
    wr_loop_turn(l, 1000);
    do {
        io = wr_conn_read(&c, buf, sizeof(buf), &got);
    } while (io == WR_IO_AGAIN && ++reads < 1000);
    ck_assert_int_eq(io, WR_IO_OK);
    ck_assert_uint_eq(got, 5);
    teardown();
}
END_TEST

/* Reads one record at most, so that the sender is stopped at each. */
static size_t take_some(void)
{
    char buf[16384];
    int r = SSL_read(far, buf, sizeof(buf));

    return r > 0 ? (size_t)r : 0;
}

static void send_some(struct wr_bufq *q)
{
    enum wr_io io = WR_IO_OK;
    size_t put;

    while (q->n > 0 && io == WR_IO_OK)
        io = wr_conn_write_q(&c, q, SIZE_MAX, &put);
    ck_assert_int_ne(io, WR_IO_ERROR);
}

static void send_from(size_t from, struct wr_threads *t, int file, const struct stat *st)
{
    struct wr_bufq q = { 0 };
    struct wr_reader r;
    size_t have = 0;

    wr_reader_init(&r, wr_opened_new(dup(file), "test"), t);
    wr_opened_facts(r.file, st);
    wr_bufq_file(&q, &r, (off_t)from, SIZE - from);
    for (int turns = 0; have < SIZE - from; turns++) {
        ck_assert_int_lt(turns, 1000);
        send_some(&q);
        if (q.n > 0 && q.head->at % CHUNK > CHUNK - 16384)
            wr_clock.mono_ms += 60000; /* no longer known to be warm */
        c.ready |= WR_WRITABLE;
        send_some(&q);
        have += take_some();
        wr_loop_turn(l, c.reading ? 1000 : 0);
    }
    ck_assert_uint_eq(have, SIZE - from);
    wr_bufq_clear(&q);
    wr_reader_end(&r);
}

/* A record that OpenSSL has made must be repeated with as many bytes, even if meanwhile the reader
 * has forgotten which part of the file is warm. */
START_TEST(a_file_goes_on_after_a_long_halt)
{
    char path[] = "/tmp/weir-unit-XXXXXX";
    struct wr_threads *t;
    struct stat st;
    int file = mkstemp(path);

    unlink(path);
    ck_assert_int_eq(ftruncate(file, SIZE), 0);
    ck_assert_int_eq(fstat(file, &st), 0);
    setup();
    t = wr_threads_new(l, WR_STR("test"), 1, 10);
    send_from(0, t, file, &st); /* all chunks are known to be warm now */
    for (size_t from = 100; from < 16384; from += 1000)
        send_from(from, t, file, &st);
    close(file);
    wr_threads_free(t);
    teardown();
}
END_TEST

/* ---- the last message of a connection meets a full socket ---- */

static void fill_socket(void)
{
    char junk[4096] = { 0 };
    int small = 0;

    ck_assert_int_eq(setsockopt(c.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    while (send(c.fd, junk, sizeof(junk), 0) > 0)
        ;
    ck_assert_int_eq(errno, EAGAIN);
}

/* Reads to the end. The last record must be a message of two bytes: it looks like application data
 * with 2 bytes, 1 of type, 16 of tag (RFC 8446 5.2). */
static void far_reads_last_message(void)
{
    static const char header[] = { 0x17, 3, 3, 0, 19 };
    char buf[65536], last[sizeof(header) + 19] = { 0 };
    ssize_t r = -1;

    for (int turns = 0; turns < 1000 && r != 0; turns++) {
        wr_loop_turn(l, 0);
        r = recv(other, buf, sizeof(buf), 0);
        if (r >= (ssize_t)sizeof(last))
            memcpy(last, buf + r - sizeof(last), sizeof(last));
        else if (r > 0) {
            memmove(last, last + r, sizeof(last) - (size_t)r);
            memcpy(last + sizeof(last) - r, buf, (size_t)r);
        }
    }
    ck_assert_int_eq(r, 0);
    ck_assert_mem_eq(last, header, sizeof(header));
}

START_TEST(close_notify_waits_for_room)
{
    setup();
    fill_socket();
    wr_conn_close(&c);
    far_reads_last_message();
    teardown();
}
END_TEST

static void fail_reading(void)
{
    char buf[100];
    size_t got;

    ck_assert_int_eq(send(other, "\x17\x03\x03\x00\x20 this cannot be decrypted by any key", 37, 0),
                     37);
    ck_assert_int_eq(wr_conn_read(&c, buf, sizeof(buf), &got), WR_IO_ERROR);
}

START_TEST(an_alert_waits_for_room)
{
    setup();
    fill_socket();
    fail_reading();
    wr_conn_close(&c);
    far_reads_last_message();
    teardown();
}
END_TEST

START_TEST(last_words_end_with_the_loop_or_after_a_while)
{
    char buf[65536];
    ssize_t r;

    setup();
    fill_socket();
    wr_conn_close(&c);
    teardown(); /* the sanitizer finds what is not freed */

    setup();
    fill_socket();
    wr_conn_close(&c);
    wr_clock.mono_ms += 6000;
    wr_timers_expire(l);
    wr_loop_turn(l, 0);
    do {
        r = recv(other, buf, sizeof(buf), 0);
    } while (r > 0);
    ck_assert_int_eq(r, 0);
    teardown();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_read_that_brings_nothing_ends, a_file_goes_on_after_a_long_halt,
        close_notify_waits_for_room, an_alert_waits_for_room,
        last_words_end_with_the_loop_or_after_a_while, NULL,
    };

    return run_suite("event_tls", tests);
}
