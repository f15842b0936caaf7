/* session: an accepted client, with a connection or a flow of datagrams. Listeners call
 * wr_session_new, flows wr_session_of_flow; the layer makes exchanges on it and ends it. Owns the
 * connection. All live sessions of the process are on a list, for a
 * shutdown; the idle ones on another one, to make room for new clients. */
#include "exchange/exchange.h"

#include <sys/socket.h>

#define SPARE_LOOKS 32

static struct {
    struct wr_link sessions, idle;
    uint32_t count;
    struct wr_loop *loop;
    struct wr_conf *conf;
    void (*on_empty)(void *);
    void *on_empty_arg;
    bool quitting;             /* new sessions get one request only */
} live = { .sessions = { &live.sessions, &live.sessions }, .idle = { &live.idle, &live.idle } };

bool (*wr_session_debug)(const struct wr_addr *client);

void wr_sessions_use(struct wr_loop *l, struct wr_conf *conf)
{
    live.loop = l;
    live.conf = conf;
}

/* ---- log lines before there is an exchange ---- */

struct early_source {
    struct wr_log_source source;
    const struct wr_session *s;
    const char *doing;
};

static void early_context(const struct wr_log_source *src, struct wr_text *t)
{
    const struct early_source *e = wr_container(src, struct early_source, source);

    wr_text_fmt(t, " while %s, %sclient: ", e->doing, e->s->flow != NULL ? "udp " : "");
    wr_addr_text_ip(&e->s->client, t);
    wr_text_c(t, ", server: ");
    wr_text_str(t, e->s->listener->text);
}

void wr_session_log(const struct wr_session *s, const char *doing, enum wr_level l, int err,
                    const char *fmt, ...)
{
    char buf[1024];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    const struct early_source e = {
        .source = {
            .number = s->number,
            .context = early_context,
            .debug = wr_session_debug != NULL && wr_session_debug(&s->client),
        },
        .s = s,
        .doing = doing,
    };
    va_list ap;

    va_start(ap, fmt);
    wr_text_vfmt(&t, fmt, ap);
    va_end(ap);
    if (s->x != NULL)
        wr_xlog(s->x, l, err, WR_FMT, WR_ARG(wr_text_view(&t)));
    else
        wr_log(wr_scope_log(s->layer->greeting(s, NULL)), l, err, &e.source, WR_FMT,
               WR_ARG(wr_text_view(&t)));
}

/* ---- the beginning ---- */

/* Ends a session without a valid PROXY header. layer->begin is called, as a layer that makes its
 * exchange there writes its access log. */
static void refuse_session(struct wr_session *s, unsigned status)
{
    s->begun = true;
    s->layer->begin(s);
    if (s->x != NULL)
        (void)wr_finish(s->x, status);
    wr_session_end(s);
}

void wr_session_wait(struct wr_session *s)
{
    uint64_t ms;

    if (s->conn.deadline.at == 0) {
        (void)s->layer->greeting(s, &ms);
        wr_conn_timeout(&s->conn, ms);
    }
    wr_conn_arm(&s->conn);
}

/* Lets the layer begin, after the PROXY header if one is expected. False: not yet, or the session
 * has ended. */
static bool begin_session(struct wr_session *s)
{
    switch (s->listener->greet != NULL ? s->listener->greet(s) : WR_IO_OK) {
    case WR_IO_OK:
        s->begun = true;
        wr_conn_timeout(&s->conn, 0);
        s->layer->begin(s);
        if (s->x != NULL)
            wr_exchange_run(s->x);
        return !s->ending;
    case WR_IO_AGAIN:
        wr_session_wait(s);
        return false;
    case WR_IO_EOF:
        refuse_session(s, 200);
        return false;
    default: /* an error, which was logged */
        refuse_session(s, 400);
        return false;
    }
}

static void session_run(struct wr_task *t)
{
    struct wr_session *s = wr_container(t, struct wr_session, task);

    if (s->ending || (!s->begun && !begin_session(s)))
        return;
    if (s->x == NULL && s->layer->wake != NULL)
        s->layer->wake(s);
}

static void count_sessions(int delta)
{
    live.count = (uint32_t)((int)live.count + delta);
    wr_connections_add(WR_CLIENT, delta);
}

/* The layer's memory behind the struct; sets its magic number. */
static void *layer_state(struct wr_session *s, const struct wr_layer *layer)
{
    if (layer->session_size > 0)
        *(uint32_t *)(void *)(s + 1) = layer->session_type;
    return layer->session_size > 0 ? s + 1 : NULL;
}

static uint64_t next_number(void)
{
    return atomic_fetch_add_explicit(&wr_self.run->connections, 1, memory_order_relaxed) + 1;
}

static struct wr_session *make_session(const struct wr_listener *l, int fd,
                                       const struct wr_addr *peer)
{
    struct wr_session *s = wr_calloc(1, sizeof(*s) + l->layer->session_size);

    s->of_layer = layer_state(s, l->layer);
    s->loop = live.loop;
    s->conf = live.conf;
    s->listener = l;
    s->layer = l->layer;
    s->client = *peer;
    s->begun_ms = wr_now();
    s->quitting = live.quitting;
    s->task.run = session_run;
    wr_list_init(&s->exchanges);
    wr_conn_init(&s->conn, s->loop, fd, &s->task);
    wr_list_push(&live.sessions, &s->link);
    count_sessions(1);
    return s;
}

void wr_session_new(struct wr_listener *l, int fd, const struct wr_addr *peer)
{
    struct wr_session *s = make_session(l, fd, peer);

    s->number = next_number();
    /* Read right after accept: the loop is asked only if nothing has come yet. */
    session_run(&s->task);
}

void wr_session_of_flow(struct wr_listener *l, const struct wr_flow_client *c)
{
    struct wr_session *s = make_session(l, -1, &c->client);

    s->conn.ready = 0;
    s->local = c->local;
    s->flow = c->flow;
    s->flow_ops = c->ops;
    s->parts = c->part;
    s->conn.received = c->received;
    s->number = next_number();
    *c->made = s;
    session_run(&s->task);
}

void wr_session_pass(struct wr_session *s, const struct wr_listener *to,
                     const struct wr_addr *client)
{
    struct wr_session *next = make_session(to, -1, client);

    next->conf = s->conf;
    next->number = s->number;
    next->passes = (uint8_t)(s->passes + 1);
    next->local = *wr_session_local(s);
    next->proxy = s->proxy;
    next->proxy_unread = s->proxy_unread;
    s->proxy = NULL;
    wr_conn_move(&next->conn, &s->conn, &next->task);
    next->conn.received = next->conn.sent = 0;
    wr_task_wake(next->loop, &next->task);
}

struct wr_str wr_session_client_text(struct wr_session *s)
{
    struct wr_text t = wr_text_on(s->client_text, sizeof(s->client_text));

    if (s->client_len == 0) {
        wr_addr_text_ip(&s->client, &t);
        s->client_len = (uint8_t)t.n;
    }
    return wr_str_of(s->client_text, s->client_len);
}

const struct wr_addr *wr_session_local(struct wr_session *s)
{
    if (s->local.len == 0) {
        if (!wr_addr_wildcard(&s->listener->addr))
            s->local = s->listener->addr;
        else if (s->conn.fd < 0 || !wr_socket_local(s->conn.fd, &s->local))
            s->local = s->listener->addr;
    }
    return &s->local;
}

struct wr_session *wr_session_nobody(const struct wr_layer *layer)
{
    static struct wr_session *nobody[2];
    static struct wr_listener internal;
    struct wr_session **at = &nobody[layer->bit == WR_L7], *s = *at;

    if (s == NULL) {
        s = *at = wr_calloc(1, sizeof(*s) + layer->session_size);
        s->of_layer = layer_state(s, layer);
        s->layer = layer;
        s->listener = &internal;
        s->conn.fd = -1;
        s->begun = true;
        wr_list_init(&s->exchanges);
    }
    s->loop = live.loop;
    s->conf = live.conf;
    return s;
}

static void session_free(struct wr_doomed *d)
{
    struct wr_session *s = wr_container(d, struct wr_session, doomed);

    free(s->proxy);
    if (s->of_layer != NULL)
        *(volatile uint32_t *)s->of_layer = 0;
    free(s);
    if (live.count == 0 && live.on_empty != NULL)
        live.on_empty(live.on_empty_arg);
}

/* Closing a socket with unread bytes sends RST, which can destroy bytes sent just before. So read
 * once, if the ready bit is set. */
static void take_unread(struct wr_session *s)
{
    size_t got;

    if ((s->conn.ready & WR_READABLE) != 0 && !s->conn.read_eof && !s->conn.reset_on_close
        && s->conn.sent > 0)
        (void)!wr_conn_read(&s->conn, wr_scratch, WR_SCRATCH, &got);
}

static void give_back_connection(struct wr_session *s, const struct wr_exchange *x)
{
    if (s->x != x)
        return;
    s->x = NULL;
    wr_conn_retask(&s->conn, &s->task);
}

static void free_later(struct wr_session *s)
{
    wr_list_remove(&s->link);
    count_sessions(-1);
    s->doomed.free = session_free;
    wr_condemn(s->loop, &s->doomed);
}

/* Frees the session with its last detached exchange. */
void wr_session_leave(struct wr_exchange *x)
{
    struct wr_session *s = x->s;

    if (!wr_linked(&x->link))
        return;
    wr_list_remove(&x->link);
    give_back_connection(s, x);
    if (s->ending && x->detached && wr_list_empty(&s->exchanges))
        free_later(s);
}

/* Wakes the session: events that were reported to x are its own now. */
void wr_session_detach(struct wr_exchange *x)
{
    give_back_connection(x->s, x);
    wr_task_wake(x->s->loop, &x->s->task);
}

static struct wr_exchange *next_to_end(const struct wr_session *s, bool detached_too)
{
    for (struct wr_link *l = s->exchanges.next; l != &s->exchanges; l = l->next) {
        struct wr_exchange *x = wr_container(l, struct wr_exchange, link);

        if (!x->ending && (detached_too || !x->detached))
            return x;
    }
    return NULL;
}

/* Looks again after each: the end of one may end others. */
static void end_exchanges(struct wr_session *s, bool detached_too)
{
    struct wr_exchange *x;

    while ((x = next_to_end(s, detached_too)) != NULL)
        (void)wr_finish(x, 0);
}

static void end_parts(struct wr_session *s)
{
    while (s->parts != NULL) {
        struct wr_session_part *p = s->parts;

        s->parts = p->next;
        p->end(p, s);
    }
}

void wr_session_end(struct wr_session *s)
{
    if (s->ending)
        return;
    s->ending = true;
    end_exchanges(s, false);
    wr_session_idle(s, false);
    if (s->layer->session_ended != NULL)
        s->layer->session_ended(s);
    end_parts(s);
    take_unread(s);
    wr_conn_close(&s->conn);
    wr_task_cancel(&s->task);
    if (wr_list_empty(&s->exchanges))
        free_later(s);
}

void wr_session_idle(struct wr_session *s, bool idle)
{
    if (s->idle == idle)
        return;
    s->idle = idle;
    if (idle)
        wr_list_push(&live.idle, &s->idle_link);
    else
        wr_list_remove(&s->idle_link);
}

/* True: within keepalive_min_timeout, or a request has just arrived. */
static bool must_keep(const struct wr_session *s)
{
    char byte;

    return s->keep_until > wr_now() || (s->conn.ready & WR_READABLE) != 0
        || recv(s->conn.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

bool wr_sessions_spare(void)
{
    struct wr_link *l = live.idle.next;

    for (int i = 0; i < SPARE_LOOKS && l != &live.idle; i++, l = l->next) {
        struct wr_session *s = wr_container(l, struct wr_session, idle_link);

        if (must_keep(s))
            continue;
        wr_session_end(s);
        return true;
    }
    return false;
}

uint32_t wr_sessions_live(void)
{
    return live.count;
}

static void cut_session(struct wr_session *s)
{
    end_exchanges(s, true);
    wr_session_end(s); /* even if the layer lingers */
}

void wr_sessions_shutdown(bool now)
{
    struct wr_link *l = live.sessions.next, *next;

    live.quitting = true;
    for (; l != &live.sessions; l = next) {
        struct wr_session *s = wr_container(l, struct wr_session, link);

        next = l->next;
        s->quitting = true;
        if (now)
            cut_session(s);
        else if (s->layer->drain != NULL)
            s->layer->drain(s);
    }
    if (live.count == 0 && live.on_empty != NULL)
        live.on_empty(live.on_empty_arg);
}

static void trace_exchange(struct wr_exchange *x)
{
    bool debug = x->source.debug;

    x->source.debug = true; /* shown whatever the log's level */
    wr_trace_dump(x, WR_LOG_NOTICE);
    x->source.debug = debug;
}

static void trace_session(const struct wr_session *s)
{
    struct wr_log_source source = { .number = s->number, .debug = true };

    if (wr_list_empty(&s->exchanges))
        wr_log_put(wr_scope_log(s->layer->greeting(s, NULL)), WR_LOG_NOTICE, 0, &source,
                   "trace: a %s session between exchanges, %llu ms old", s->layer->name,
                   (unsigned long long)(wr_now() - s->begun_ms));
    for (struct wr_link *l = s->exchanges.next; l != &s->exchanges; l = l->next)
        trace_exchange(wr_container(l, struct wr_exchange, link));
}

void wr_sessions_trace(void)
{
    struct wr_log_source asked = { .debug = true };

    wr_log_put(wr_log_default, WR_LOG_NOTICE, 0, &asked, "trace of %u sessions", live.count);
    for (struct wr_link *l = live.sessions.next; l != &live.sessions; l = l->next)
        trace_session(wr_container(l, struct wr_session, link));
}

void wr_sessions_on_empty(void (*fn)(void *), void *arg)
{
    live.on_empty = fn;
    live.on_empty_arg = arg;
}
