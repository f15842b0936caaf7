/* health_run: one conversation with a server: opens a link, feeds the kind with what comes, sends
 * what it wants, and ends at the deadline, or when 64 KB were read. Called by health.c in the task
 * of a check; owns the link. What the link would log about a failure becomes the reason. */
#include "health_impl.h"

#include <errno.h>
#include <openssl/rand.h>

#define POOL_MAX ((size_t)1 << 20)
#define OUT_MAX 16384
#define IN_FIRST 1024
#define READS_AT_ONCE 16 /* in one turn */
#define READS_MAX 1024 /* pieces of a reply: a regex looks at all bytes so far with each of them */

/* ---- what a link logs ---- */

static char logged[WR_CHECK_WHY_MAX];

/* Keeps the message of "2026/11/22 23:37:44 [error] 12#12: message". */
static void keep_line(struct wr_sink *s WR_UNUSED, enum wr_level l WR_UNUSED, struct wr_str line)
{
    size_t at = wr_str_search(line, WR_STR(": "));
    struct wr_str message = wr_str_skip(line, wr_min(at + 2, line.n));

    if (message.n > 0 && message.p[message.n - 1] == '\n')
        message.n--;
    (void)snprintf(logged, sizeof(logged), WR_FMT, WR_ARG(message));
}

static const struct wr_sink_ops keep_ops = { .write = keep_line };
static struct wr_sink keep_sink = { .ops = &keep_ops };
static const struct wr_log keep_log = {
    .max = WR_LOG_WARN, .n = 1, .target = { { &keep_sink, WR_LOG_WARN } },
};
static const struct wr_log_source no_source;

/* ---- reasons ---- */

static void append_time(struct wr_text *t, uint64_t ms)
{
    uint64_t tenths = (ms + 50) / 100;

    if (ms < 1000)
        wr_text_fmt(t, "%llu ms", (unsigned long long)ms);
    else if (tenths % 10 == 0)
        wr_text_fmt(t, "%llu s", (unsigned long long)(tenths / 10));
    else
        wr_text_fmt(t, "%llu.%llu s", (unsigned long long)(tenths / 10),
                    (unsigned long long)(tenths % 10));
}

static uint64_t sent_bytes(const struct wr_check_run *r)
{
    return r->link != NULL ? r->link->conn.sent - r->sent_before : 0;
}

static enum wr_check_result timed_out(struct wr_check_run *r)
{
    struct wr_text *t = &r->talk.why;
    enum wr_link_state at = r->link != NULL ? r->link->state : WR_LINK_CONNECTS;

    t->n = 0;
    wr_text_c(t, at == WR_LINK_CONNECTS ? "connect " : at == WR_LINK_SECURES ? "TLS " : "");
    wr_text_c(t, "timed out after ");
    append_time(t, wr_now() - r->begun_ms);
    if (r->begun)
        wr_text_fmt(t, " (sent %llu bytes, got %zu)", (unsigned long long)sent_bytes(r), r->got);
    return WR_CHECK_FAILED;
}

/* The link is down, or could not be made. */
static enum wr_check_result dial_failed(struct wr_check_run *r, enum wr_failure why)
{
    struct wr_text *t = &r->talk.why;
    const struct wr_peer_link *l = r->link;

    if (why == WR_FAIL_FULL)
        return WR_CHECK_SKIPPED;
    if (why == WR_FAIL_TIMEOUT)
        return timed_out(r);
    if (l != NULL && l->connected_ms == 0 && l->conn.error == ECONNREFUSED) {
        wr_text_c(t, "connect refused after ");
        append_time(t, wr_now() - r->begun_ms);
    } else if (l != NULL && l->connected_ms == 0 && l->conn.error != 0) {
        wr_text_fmt(t, "connect failed (%d: %s)", l->conn.error, strerror(l->conn.error));
    } else {
        wr_text_c(t, logged);
    }
    return WR_CHECK_FAILED;
}

/* ---- work ---- */

/* Kinds that need much time take turns, one in a turn of the loop: a thousand servers may want it
 * at the same time. */
static struct wr_link workers = { &workers, &workers };

static struct wr_check_run *first_worker(void)
{
    return wr_list_empty(&workers) ? NULL : wr_container(workers.next, struct wr_check_run, work);
}

/* Takes its turn in the next turn of the loop, if it is the first then. */
static enum wr_check_result work_later(struct wr_check_run *r)
{
    wr_list_push(&workers, &r->work);
    if (first_worker() == r)
        wr_task_wake(r->loop, r->task);
    return WR_CHECK_WAITS;
}

static void leave_work(struct wr_check_run *r)
{
    bool first = first_worker() == r;

    if (!wr_linked(&r->work))
        return;
    wr_list_remove(&r->work);
    if (first && first_worker() != NULL)
        wr_task_wake(r->loop, first_worker()->task);
}

/* ---- the conversation ---- */

static bool begin_talk(struct wr_check_run *r)
{
    const struct wr_check_kind *k = r->check->kind;
    struct wr_check_talk *t = &r->talk;

    if (t->pool != NULL)
        wr_pool_free(t->pool);
    *t = (struct wr_check_talk){ .conf = &r->check->conf, .pool = wr_pool_new(POOL_MAX) };
    if (r->check->conf.password.p != NULL)
        wr_vault_pool(t->pool);
    t->out = wr_text_grow(t->pool, 256, OUT_MAX);
    t->why = wr_text_on(r->why, sizeof(r->why));
    t->state = wr_pool_zalloc(t->pool, wr_max(k->state_size, (size_t)1));
    t->can_secure = k->upgrades && r->check->tls != NULL;
    r->put = r->n = r->got = r->reads = 0;
    r->begun = r->securing = false;
    return RAND_bytes(t->nonce, sizeof(t->nonce)) == 1;
}

/* Bytes before the first one of the kind: a PROXY header, which the link sends, except where the
 * kind begins before the handshake. */
static const struct wr_str local_header[] = {
    WR_STR_INIT(""), WR_STR_INIT("PROXY UNKNOWN\r\n"),
    WR_STR_INIT("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"), /* version 2, LOCAL */
};

static enum wr_check_result open_link(struct wr_check_run *r)
{
    const struct wr_check *c = r->check;
    struct wr_link_plan plan = {
        .loop = r->loop,
        .task = r->task,
        .addr = &r->addr,
        .rows = &c->dial,
        .key = { .bind = c->bind.len > 0 ? &c->bind : NULL, .tls = c->tls, .name = c->tls_name,
                 .alpn = c->tls_alpn },
        .bound = true,
        .announce = local_header[r->talk.can_secure ? 0 : c->announces],
        .log = &keep_log,
        .source = &no_source,
    };
    enum wr_failure why = WR_FAIL_NONE;

    logged[0] = '\0';
    r->reused = false;
    r->sent_before = 0;
    r->link = wr_peer_link_open(&plan, &why);
    return r->link == NULL ? dial_failed(r, why) : WR_CHECK_WAITS;
}

static void close_link(struct wr_check_run *r)
{
    if (r->link != NULL)
        wr_peer_link_close(r->link);
    r->link = NULL;
}

static bool is_link_fit(const struct wr_check_run *r)
{
    return wr_now() - r->link->opened_ms < r->check->keepalive_ms
        && wr_peer_link_is_silent(r->link);
}

void wr_check_run_look(struct wr_check_run *r)
{
    if (r->link != NULL && !is_link_fit(r))
        close_link(r);
}

enum wr_check_result wr_check_run_begin(struct wr_check_run *r)
{
    enum wr_check_result result = WR_CHECK_WAITS;

    r->begun_ms = wr_now();
    wr_timer_set(r->loop, r->timer, wr_max(r->check->timeout_ms, (uint64_t)1));
    if (!begin_talk(r))
        return WR_CHECK_SKIPPED;
    wr_check_run_look(r);
    if (r->link == NULL) {
        result = open_link(r);
    } else {
        r->reused = true;
        r->sent_before = r->link->conn.sent;
    }
    return result == WR_CHECK_WAITS ? wr_check_run_step(r) : result;
}

void wr_check_run_end(struct wr_check_run *r, bool keep)
{
    leave_work(r);
    if (!keep)
        close_link(r);
    if (r->talk.pool != NULL)
        wr_pool_free(r->talk.pool);
    r->talk.pool = NULL;
    free(r->in);
    r->in = NULL;
    r->n = r->cap = 0;
}

/* A link that had carried another conversation may have been closed just now: begin anew, once. */
static enum wr_check_result link_broke(struct wr_check_run *r, const char *what, int err)
{
    enum wr_check_result result;

    if (!r->reused || r->got > 0) {
        r->talk.why.n = 0;
        wr_text_fmt(&r->talk.why, err != 0 ? "%s failed (%d: %s)" : "%s failed", what, err,
                    strerror(err));
        return WR_CHECK_FAILED;
    }
    close_link(r);
    (void)begin_talk(r);
    result = open_link(r);
    return result == WR_CHECK_WAITS ? wr_check_run_step(r) : result;
}

/* ---- bytes ---- */

/* OK: all was sent. */
static enum wr_io send_out(struct wr_check_run *r)
{
    struct wr_text *out = &r->talk.out;
    enum wr_io io = WR_IO_OK;

    while (io == WR_IO_OK && r->put < out->n) {
        size_t put = 0;

        io = wr_conn_write(&r->link->conn, out->p + r->put, out->n - r->put, &put);
        r->put += put;
    }
    if (io == WR_IO_OK)
        r->put = out->n = 0;
    return io;
}

static void keep_bytes(struct wr_check_run *r, const char *p, size_t n)
{
    if (n > r->cap - r->n) {
        size_t cap = wr_max(r->cap, (size_t)IN_FIRST);

        while (cap < r->n + n)
            cap *= 2;
        r->in = wr_realloc(r->in, cap);
        r->cap = cap;
    }
    memcpy(r->in + r->n, p, n);
    r->n += n;
    r->got += n;
}

/* Gives the kind what there is; drops what it has used. */
static enum wr_check_next feed_kind(struct wr_check_run *r, enum wr_check_end end)
{
    size_t used = 0;
    enum wr_check_next next = r->check->kind->input(&r->talk, wr_str_of(r->in, r->n), end, &used);

    WR_ASSERT(used <= r->n);
    if (used > 0 && used < r->n)
        memmove(r->in, r->in + used, r->n - used);
    r->n -= used;
    if ((next != WR_CHECK_MORE && next != WR_CHECK_WORK) || end == WR_CHECK_OPEN)
        return next;
    r->talk.why.n = 0;
    return wr_check_fail(&r->talk, end == WR_CHECK_FULL ? "the reply is longer than 64 KB"
                                                        : "the server closed the connection");
}

static enum wr_io read_in(struct wr_check_run *r, enum wr_check_next *next)
{
    size_t got = 0, room = wr_min((size_t)WR_CHECK_READ_MAX - r->got, sizeof(wr_scratch));
    enum wr_io io = wr_conn_read(&r->link->conn, wr_scratch, room, &got);

    if (io == WR_IO_OK) {
        keep_bytes(r, wr_scratch, got);
        *next = feed_kind(r, r->got < WR_CHECK_READ_MAX && ++r->reads < READS_MAX
                             ? WR_CHECK_OPEN : WR_CHECK_FULL);
    } else if (io == WR_IO_EOF && !(r->reused && r->got == 0)) {
        *next = feed_kind(r, WR_CHECK_CLOSED);
    }
    return io;
}

static enum wr_check_result wait_more(struct wr_check_run *r)
{
    wr_conn_arm(&r->link->conn);
    return WR_CHECK_WAITS;
}

static enum wr_check_result verdict_of(struct wr_check_run *r, enum wr_check_next next)
{
    if (next == WR_CHECK_PASS || r->link->state == WR_LINK_UP)
        (void)send_out(r); /* a farewell: it may fail */
    return next == WR_CHECK_PASS ? WR_CHECK_PASSED : WR_CHECK_FAILED;
}

static enum wr_check_result read_later(struct wr_check_run *r)
{
    wr_task_wake(r->loop, r->task);
    return WR_CHECK_WAITS;
}

/* Sends and reads until the kind has a verdict, wants a handshake or time, or nothing comes. */
static enum wr_check_result talk_on(struct wr_check_run *r, enum wr_check_next next)
{
    for (unsigned reads = 0; next != WR_CHECK_PASS && next != WR_CHECK_FAIL; reads++) {
        enum wr_io io;

        if (next == WR_CHECK_WORK)
            return work_later(r);
        if (reads == READS_AT_ONCE)
            return read_later(r);
        io = send_out(r);

        if (io == WR_IO_AGAIN)
            return wait_more(r);
        if (io != WR_IO_OK)
            return link_broke(r, "send()", r->link->conn.error);
        if (next == WR_CHECK_TLS) {
            r->securing = true;
            r->n = 0; /* bytes before the handshake are not part of what comes after it */
            return wr_check_run_step(r);
        }
        io = read_in(r, &next);
        if (io == WR_IO_AGAIN)
            return wait_more(r);
        if (io == WR_IO_ERROR || (io == WR_IO_EOF && r->reused && r->got == 0))
            return link_broke(r, "recv()", r->link->conn.error);
    }
    return verdict_of(r, next);
}

static enum wr_check_result begin_kind(struct wr_check_run *r)
{
    enum wr_check_next next;

    wr_conn_timeout(&r->link->conn, 0);
    r->begun = true;
    if (r->talk.can_secure)
        wr_text_str(&r->talk.out, local_header[r->check->announces]);
    r->talk.secured = wr_tls_of(&r->link->conn) != NULL;
    next = r->check->kind->begin(&r->talk);
    return talk_on(r, next);
}

/* Connects, and shakes hands if that is to come first, or the kind has asked for it. */
static enum wr_io dial_link(struct wr_check_run *r)
{
    if (r->securing) {
        r->link->started = true; /* the kind has asked for TLS itself */
        return wr_peer_link_secure(r->link);
    }
    return r->talk.can_secure ? wr_peer_link_connect(r->link) : wr_peer_link_dial(r->link);
}

enum wr_check_result wr_check_run_step(struct wr_check_run *r)
{
    enum wr_io io;

    if (r->timer->fired)
        return timed_out(r);
    if (wr_linked(&r->work) && first_worker() != r) /* some event: not yet */
        return WR_CHECK_WAITS;
    if (wr_linked(&r->work)) {
        leave_work(r);
        return talk_on(r, feed_kind(r, WR_CHECK_OPEN));
    }
    if (r->begun && !r->securing)
        return talk_on(r, WR_CHECK_MORE);
    io = r->link->state == WR_LINK_UP ? WR_IO_OK : dial_link(r);
    if (io == WR_IO_AGAIN)
        return WR_CHECK_WAITS;
    if (io != WR_IO_OK)
        return dial_failed(r, r->link->failure);
    if (!r->securing)
        return begin_kind(r);
    r->securing = false;
    r->talk.secured = true;
    r->talk.can_secure = false;
    return talk_on(r, feed_kind(r, WR_CHECK_OPEN));
}
