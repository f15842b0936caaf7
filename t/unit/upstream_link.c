/* Links: dialed without an exchange, in a bare loop; and shared by several exchanges, with a
 * speaker that carries many at once. Servers are sockets of this process. */
#include "upstream/upstream_impl.h"

extern struct wr_module wr_module_peer_tls, module_dial;
#define FAKE_MODULES \
    &wr_module_peer_tls, &wr_module_resolver, &wr_module_upstream, &module_dial,
#include "lib/exchange_fake.h"
#include "lib/unit.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>

/* ---- a configuration: rows and TLS of a proxy module ---- */

struct dial_conf {
    struct wr_upstream_rows rows;
    struct wr_peer_tls tls;
};

static bool dial_finish(struct wr_cf *cf, struct wr_scope *scope, void *conf)
{
    struct dial_conf *c = conf;

    return scope->level != WR_LV_SERVER || wr_peer_tls_finish(cf, &c->tls, "to");
}

static const struct wr_directive dial_rows[] = {
    WR_UPSTREAM_ROWS("to", WR_L7, struct dial_conf, rows),
    WR_PEER_TLS_ROWS("to", WR_L7 | WR_IN_LOCATIONS, struct dial_conf, tls, wr_set_peer_alpn),
    { .name = NULL },
};
struct wr_module module_dial = {
    .name = "dial",
    .layers = WR_L7,
    .conf_size = sizeof(struct dial_conf),
    .directives = dial_rows,
    .finish = dial_finish,
};

static struct wr_loop *loop;
static struct wr_conf *conf;
static const struct wr_scope *scope;
static const struct dial_conf *dial;
static struct wr_upstream *group;
static int listening;
static struct wr_addr address;

static void turns(unsigned n)
{
    while (n-- > 0)
        wr_loop_turn(loop, 1);
}

static void hear(int backlog)
{
    struct wr_addr any = { .in = { .sin_family = AF_INET }, .len = sizeof(any.in) };

    any.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listening, &any.sa, any.len), 0);
    ck_assert_int_eq(listen(listening, backlog), 0);
    ck_assert(wr_socket_local(listening, &address));
}

static int accepted(void)
{
    return accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* more: further directives of the group. */
static void setup(const char *more)
{
    char text[1024];

    hear(64);
    snprintf(text, sizeof(text),
             "http { upstream group { server 127.0.0.1:%u; %s }"
             " server { to_connect_timeout 5s; to_ssl_session_reuse off; } }",
             (unsigned)wr_addr_port(&address), more);
    conf = fake_load(text);
    ck_assert_uint_eq(conf->tree->errors, 0);
    scope = wr_conf_layer(conf, WR_L7)->children;
    while (scope != NULL && scope->level != WR_LV_SERVER)
        scope = scope->next;
    ck_assert_ptr_nonnull(scope);
    dial = wr_scope_conf(scope, &module_dial);
    loop = wr_loop_new(64);
    wr_sessions_use(loop, conf);
    wr_self_init();
    if (conf->shm == NULL)
        conf->shm = wr_shm_set_new();
    ck_assert(wr_upstreams_open(conf));
    wr_upstreams_commit(conf, 5, false);
    ck_assert(wr_module_upstream.worker_init(conf, loop));
    group = wr_upstream_find(conf, WR_L7, WR_STR("group"), 80);
}

static void teardown(void)
{
    wr_module_upstream.worker_exit(conf);
    turns(1);
    ck_assert_uint_eq(group->links.in_use.now, 0);
    wr_loop_free(loop);
    wr_conf_free(conf);
    close(listening);
}

/* ---- without an exchange ---- */

static unsigned wakes;

static void count_wake(struct wr_task *t)
{
    (void)t;
    wakes++;
}

static struct wr_task mine = { .run = count_wake };
static struct wr_upstream_rows rows; /* of the links dialed here */

static struct wr_link_plan plan_to(const struct wr_addr *to)
{
    rows = dial->rows;
    return (struct wr_link_plan){
        .loop = loop, .task = &mine, .addr = to, .rows = &rows.dial, .log = wr_log_default,
    };
}

/* Dials until the link is up or down; serve, if not NULL, plays the server. */
static enum wr_io go_on(struct wr_peer_link *l, void (*serve)(void))
{
    enum wr_io io = WR_IO_AGAIN;

    for (unsigned i = 0; i < 5000 && (io = wr_peer_link_dial(l)) == WR_IO_AGAIN; i++) {
        if (serve != NULL)
            serve();
        turns(1);
    }
    return io;
}

START_TEST(dials_alone)
{
    struct wr_link_plan p;
    struct wr_peer_link *l;
    enum wr_failure why;
    char got[16];
    int fd;

    setup("");
    p = plan_to(&address);
    p.announce = WR_STR("PROXY UNKNOWN\r\n");
    l = wr_peer_link_open(&p, &why);
    ck_assert_int_eq(go_on(l, NULL), WR_IO_OK);
    ck_assert_int_eq(l->state, WR_LINK_UP);
    ck_assert_uint_eq(l->conn.deadline.at, 0);
    fd = accepted();
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(recv(fd, got, sizeof(got), 0), 15);
    ck_assert_int_eq(memcmp(got, "PROXY UNKNOWN\r\n", 15), 0);
    wr_peer_link_close(l);
    turns(1);
    ck_assert_int_eq(recv(fd, got, sizeof(got), 0), 0);
    close(fd);
    teardown();
}
END_TEST

START_TEST(is_refused)
{
    struct wr_link_plan p;
    struct wr_peer_link *l;
    enum wr_failure why;

    setup("");
    close(listening);
    p = plan_to(&address);
    l = wr_peer_link_open(&p, &why);
    ck_assert_int_eq(go_on(l, NULL), WR_IO_ERROR);
    ck_assert_int_eq(l->state, WR_LINK_DOWN);
    ck_assert_int_eq(l->failure, WR_FAIL_ERROR);
    ck_assert_int_eq(l->conn.error, ECONNREFUSED);
    ck_assert_int_eq(wr_peer_link_dial(l), WR_IO_ERROR); /* the state stays DOWN */
    wr_peer_link_close(l);
    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    teardown();
}
END_TEST

/* A listening socket with a full queue does not answer. */
START_TEST(runs_out_of_time)
{
    struct wr_peer_link *l[4];
    struct wr_link_plan p;
    enum wr_failure why;
    enum wr_io io = WR_IO_OK;

    setup("");
    close(listening);
    hear(0);
    for (unsigned i = 0; i < WR_COUNT(l); i++) {
        p = plan_to(&address);
        rows.dial.connect_timeout_ms = 30;
        l[i] = wr_peer_link_open(&p, &why);
        io = go_on(l[i], NULL);
    }
    ck_assert_int_eq(io, WR_IO_ERROR);
    ck_assert_int_eq(l[WR_COUNT(l) - 1]->failure, WR_FAIL_TIMEOUT);
    for (unsigned i = 0; i < WR_COUNT(l); i++)
        wr_peer_link_close(l[i]);
    teardown();
}
END_TEST

/* ---- TLS ---- */

static SSL_CTX *server_ctx;
static SSL *server;
static int server_fd = -1;
static const char *chosen; /* protocol the server chooses, whatever is offered; NULL: none */

static int choose(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in,
                  unsigned in_n, void *arg)
{
    (void)ssl;
    (void)in;
    (void)in_n;
    (void)arg;
    if (chosen == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    *out = (const unsigned char *)chosen;
    *n = (unsigned char)strlen(chosen);
    return SSL_TLSEXT_ERR_OK;
}

static void serve_tls(void)
{
    if (server_fd < 0) {
        server_fd = accepted();
        if (server_fd < 0)
            return;
        server = SSL_new(server_ctx);
        ck_assert_int_eq(SSL_set_fd(server, server_fd), 1);
        SSL_set_accept_state(server);
    }
    (void)SSL_do_handshake(server);
}

static void tls_setup(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();

    setup("");
    ck_assert(X509_gmtime_adj(X509_getm_notBefore(x), 0) != NULL);
    ck_assert(X509_gmtime_adj(X509_getm_notAfter(x), 1000) != NULL);
    ck_assert_int_eq(X509_set_pubkey(x, key), 1);
    ck_assert_int_gt(X509_sign(x, key, EVP_sha256()), 0);
    server_ctx = SSL_CTX_new(TLS_server_method());
    ck_assert_int_eq(SSL_CTX_use_certificate(server_ctx, x), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(server_ctx, key), 1);
    SSL_CTX_set_alpn_select_cb(server_ctx, choose, NULL);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void tls_teardown(void)
{
    SSL_free(server);
    SSL_CTX_free(server_ctx);
    if (server_fd >= 0)
        close(server_fd);
    server_fd = -1;
    teardown();
}

static bool speaks_one(struct wr_str alpn)
{
    return alpn.n == 0 || wr_str_is(alpn, "one");
}

static const struct wr_link_speaker one = { .name = "one", .speaks = speaks_one };

static struct wr_peer_link *dial_tls(enum wr_io *io)
{
    struct wr_link_plan p = plan_to(&address);
    enum wr_failure why;
    struct wr_peer_link *l;

    p.key = (struct wr_link_key){ .speaker = &one, .tls = dial->tls.live,
                                  .name = WR_STR("a.example"), .alpn = WR_STR("\3two\3one") };
    l = wr_peer_link_open(&p, &why);
    *io = go_on(l, serve_tls);
    return l;
}

START_TEST(shakes_hands_alone)
{
    static const struct {
        const char *chosen;
        enum wr_io want;
    } table[] = { { NULL, WR_IO_OK }, { "one", WR_IO_OK }, { "two", WR_IO_ERROR } };

    for (size_t i = 0; i < WR_COUNT(table); i++) {
        struct wr_peer_link *l;
        enum wr_io io;

        chosen = table[i].chosen;
        tls_setup();
        l = dial_tls(&io);
        ck_assert_int_eq(io, table[i].want);
        ck_assert_int_eq(l->state, io == WR_IO_OK ? WR_LINK_UP : WR_LINK_DOWN);
        ck_assert(io != WR_IO_OK || wr_tls_up(&l->conn));
        wr_peer_link_close(l);
        tls_teardown();
    }
}
END_TEST

/* The server accepts the connection, but sends nothing. */
START_TEST(a_handshake_runs_out_of_time)
{
    struct wr_link_plan p;
    struct wr_peer_link *l;
    enum wr_failure why;

    tls_setup();
    p = plan_to(&address);
    rows.dial.connect_timeout_ms = 30;
    p.key.tls = dial->tls.live;
    l = wr_peer_link_open(&p, &why);
    ck_assert_int_eq(go_on(l, NULL), WR_IO_ERROR);
    ck_assert_int_eq(l->failure, WR_FAIL_TIMEOUT);
    ck_assert_uint_gt(l->connected_ms, 0);
    wr_peer_link_close(l);
    tls_teardown();
}
END_TEST

/* ---- shared links, and a layer that only counts ---- */

struct many {                 /* of a link */
    unsigned streams;
    bool dead;
};
static unsigned most_streams, begun, drained, ended;

static enum wr_room many_lease(struct wr_peer_link *l)
{
    const struct many *m = l->of_speaker;

    return l->gone ? WR_ROOM_GONE : m->streams < most_streams ? WR_ROOM_READY : WR_ROOM_FULL;
}

static void many_begin(struct wr_peer_link *l)
{
    begun++;
    l->of_speaker = wr_calloc(1, sizeof(struct many));
}

static void many_run(struct wr_peer_link *l)
{
    char byte;
    size_t got;

    if (wr_conn_read(&l->conn, &byte, 1, &got) == WR_IO_AGAIN)
        return;
    ((struct many *)l->of_speaker)->dead = true;
    wr_peer_link_gone(l);
}

static void many_drain(struct wr_peer_link *l)
{
    (void)l;
    drained++;
}

static void many_end(struct wr_peer_link *l)
{
    ended++;
    free(l->of_speaker);
}

static const struct wr_link_speaker many = {
    .name = "many", .speaks = speaks_one, .lease = many_lease, .begin = many_begin,
    .run = many_run, .drain = many_drain, .end = many_end,
};

static unsigned overs, rejected, repeatable, lost;

static void say_nothing(const struct wr_exchange *x, struct wr_text *t)
{
    (void)x;
    (void)t;
}

static struct many *stream_of(struct wr_exchange *x)
{
    return x->tries->lease.link->of_speaker;
}

/* Odd exchanges have sent bytes that must not be sent twice; every third of those was refused. */
static enum wr_go served(struct wr_exchange *x)
{
    struct wr_lease *e = &x->tries->lease;
    struct wr_try_verdict v;

    wr_timer_set(x->loop, &x->idle, 60000);
    if (!stream_of(x)->dead)
        return WR_WAIT;
    v = wr_try_judge(&(struct wr_try_facts){
        .failure = WR_FAIL_ERROR, .reused = e->reused, .sent = e->sent, .refused = e->sent % 3 == 0,
    });
    if (v.processed)
        lost++;
    else
        repeatable++;
    stream_of(x)->streams--;
    return wr_finish(x, 502);
}

static const struct wr_step step_served = { "served", NULL, served };

static enum wr_go use(struct wr_exchange *x)
{
    stream_of(x)->streams++;
    x->step = &step_served;
    return WR_GO;
}

static enum wr_go reject(struct wr_exchange *x, unsigned status)
{
    rejected++;
    return wr_finish(x, status);
}

static const struct wr_layer layer = {
    .name = "http", .bit = WR_L7, .log_context = say_nothing, .connected = use, .reject = reject,
};

static void note_over(struct wr_exchange *x)
{
    (void)x;
    overs++;
}

static struct wr_exchange *ask(const struct wr_link_speaker *speaker)
{
    struct wr_exchange *x = wr_exchange_new(wr_session_nobody(&layer), scope, &step_served);

    x->over = note_over;
    wr_upstream_start(x, group, &dial->rows);
    x->tries->speaker = speaker;
    wr_exchange_run(x);
    return x;
}

static void answer(struct wr_exchange *x)
{
    stream_of(x)->streams--;
    (void)wr_finish(x, 200);
}

static bool is_served(const struct wr_exchange *x)
{
    return x->step == &step_served;
}

START_TEST(three_join_one_dial)
{
    struct wr_exchange *x[4];
    int fd;

    setup("");
    most_streams = 3;
    for (unsigned i = 0; i < 3; i++)
        x[i] = ask(&many);
    ck_assert_uint_eq(atomic_load(&x[0]->tries->all.at[0].peer.slot->conns), 3);
    (void)wr_finish(x[0], 499); /* the dial does not end with it */
    turns(3);
    ck_assert(is_served(x[1]) && is_served(x[2]));
    fd = accepted();
    ck_assert_int_ge(fd, 0);
    ck_assert_int_lt(accepted(), 0);
    ck_assert_uint_eq(group->links.in_use.now, 1);
    x[0] = ask(&many); /* the link is up: leased at once */
    ck_assert(is_served(x[0]));
    ck_assert(x[0]->tries->lease.reused && !x[1]->tries->lease.joined);
    x[3] = ask(&many); /* the link is full */
    turns(3);
    ck_assert(is_served(x[3]));
    ck_assert_uint_eq(begun, 2);
    answer(x[3]);
    answer(x[1]); /* the link has room again, and is found */
    ck_assert_uint_eq(group->links.nparked, 1);
    wr_peer_link_close(wr_container(group->links.parked.next, struct wr_peer_link, parked));
    x[1] = ask(&many);
    ck_assert(is_served(x[1]));
    for (unsigned i = 0; i < 3; i++)
        answer(x[i]);
    ck_assert_uint_eq(group->links.nparked, 1);
    ck_assert_uint_eq(begun, 2);
    close(fd);
    turns(2);
    ck_assert_uint_eq(group->links.nparked, 0);
    ck_assert_uint_eq(ended, 2);
    teardown();
}
END_TEST

/* More exchanges wait for a dial than the link then has room for: the others dial once more. */
START_TEST(too_many_join)
{
    struct wr_exchange *x[5];

    setup("");
    most_streams = 2;
    for (unsigned i = 0; i < 5; i++)
        x[i] = ask(&many);
    turns(8);
    for (unsigned i = 0; i < 5; i++)
        ck_assert(is_served(x[i]));
    ck_assert_uint_eq(begun, 3);
    for (unsigned i = 0; i < 5; i++)
        answer(x[i]);
    ck_assert_uint_eq(overs, 5);
    teardown();
}
END_TEST

/* Each exchange dials only once. */
START_TEST(a_server_has_no_room_at_all)
{
    setup("");
    most_streams = 0;
    for (unsigned i = 0; i < 3; i++)
        (void)ask(&many);
    for (unsigned i = 0; i < 20; i++)
        turns(1);
    ck_assert_uint_eq(rejected, 3);
    ck_assert_uint_eq(begun, 3);
    ck_assert_uint_eq(overs, 3);
    teardown();
}
END_TEST

/* One refusal is one failure, however many exchanges waited for the dial. */
START_TEST(a_joined_dial_is_refused)
{
    struct wr_peer_slot *slot;

    setup("");
    close(listening);
    for (unsigned i = 0; i < 10; i++)
        (void)ask(&many);
    slot = wr_peers_view(group)->main.at[0].slot;
    ck_assert_uint_eq(atomic_load(&slot->conns), 10);
    turns(4);
    ck_assert_uint_eq(rejected, 10);
    ck_assert_uint_eq(overs, 10);
    ck_assert_uint_eq(atomic_load(&slot->failures), 1);
    ck_assert_uint_eq(atomic_load(&slot->conns), 0);
    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    teardown();
}
END_TEST

START_TEST(a_link_with_100_leases_dies)
{
    int fd;

    setup("");
    most_streams = 100;
    for (uint64_t i = 0; i < 100; i++) {
        struct wr_exchange *x = ask(&many);

        turns(i == 0 ? 3 : 0);
        ck_assert(is_served(x));
        x->tries->lease.sent = i % 2 == 1 ? i : 0;
    }
    ck_assert_uint_eq(group->links.in_use.now, 1);
    fd = accepted();
    close(fd);
    turns(3);
    ck_assert_uint_eq(overs, 100);
    ck_assert_uint_eq(lost, 33); /* of 50 that sent something 17 are multiples of 3 */
    ck_assert_uint_eq(repeatable, 67);
    ck_assert_uint_eq(ended, 1);
    ck_assert_uint_eq(drained, 0); /* the peer has closed: nobody to tell */
    ck_assert_uint_eq(group->links.n, 0);
    teardown();
}
END_TEST

START_TEST(takes_no_more_than_its_requests)
{
    struct wr_exchange *x[3];

    setup("keepalive_requests 2;");
    most_streams = 100;
    x[0] = ask(&many);
    turns(3);
    x[1] = ask(&many);
    ck_assert_uint_eq(drained, 1);
    x[2] = ask(&many);
    turns(3);
    ck_assert_uint_eq(begun, 2);
    ck_assert_ptr_eq(x[0]->tries->lease.link, x[1]->tries->lease.link);
    ck_assert_ptr_ne(x[0]->tries->lease.link, x[2]->tries->lease.link);
    for (unsigned i = 0; i < 3; i++)
        answer(x[i]);
    ck_assert_uint_eq(ended, 1);
    ck_assert_uint_eq(group->links.nparked, 1);
    teardown();
    ck_assert_uint_eq(drained, 2);
}
END_TEST

/* A link with a PROXY header belongs to one client. */
START_TEST(a_bound_one_is_not_shared)
{
    struct wr_exchange *x[2];

    setup("");
    most_streams = 100;
    for (unsigned i = 0; i < 2; i++) {
        x[i] = wr_exchange_new(wr_session_nobody(&layer), scope, &step_served);
        x[i]->over = note_over;
        wr_upstream_start(x[i], group, &dial->rows);
        x[i]->tries->speaker = &many;
        x[i]->tries->announce = WR_STR("PROXY UNKNOWN\r\n");
        wr_exchange_run(x[i]);
    }
    turns(3);
    ck_assert(is_served(x[0]) && is_served(x[1]));
    ck_assert_uint_eq(begun, 2);
    answer(x[0]);
    answer(x[1]);
    ck_assert_uint_eq(group->links.nparked, 0);
    teardown();
}
END_TEST

/* ---- the queue: exchanges wait for a peer, and a balancer that allows one for each ---- */

static struct wr_try results[8];
static unsigned nresults;

static struct wr_peer *single_pick(struct wr_upstream *u, struct wr_peer_group *g,
                                   struct wr_pick *p)
{
    (void)u;
    for (uint32_t i = 0; i < g->n; i++)
        if (wr_peer_usable(p, &g->at[i]) && atomic_load(&g->at[i].slot->conns) == 0)
            return &g->at[i];
    return NULL;
}

static void single_done(struct wr_upstream *u, const struct wr_try *t)
{
    (void)u;
    results[nresults++] = *t;
}

static const struct wr_balancer_ops single = {
    .name = "single", .pick = single_pick, .done = single_done,
};

static void setup_queue(const char *queue)
{
    setup(queue);
    wr_self.slot = 3;
    nresults = 0;
    group->balancer = &single;
    most_streams = 100;
}

static struct wr_queue *shared_queue(void)
{
    return &group->peers->zone.queue;
}

static bool waits(const struct wr_exchange *x)
{
    return strcmp(x->step->name, "pick") == 0;
}

/* Another process, in slot 9, shows a ticket and takes a place. */
static struct wr_queue stranger_shows(uint64_t ticket)
{
    struct wr_queue q = *shared_queue();

    wr_self.slot = 9;
    q.places.held = NULL;
    wr_ledger_begin(&q.places, group->pool);
    ck_assert(wr_queue_enter(&q, 0, group->pool));
    wr_queue_show(&q, ticket, false);
    wr_self.slot = 3;
    return q;
}

static void stranger_leaves(struct wr_queue *q)
{
    wr_self.slot = 9;
    wr_queue_show(q, 0, false);
    wr_queue_leave(q);
    wr_waiting_wake(group);
    wr_self.slot = 3;
}

START_TEST(exchanges_wait_for_a_peer)
{
    struct wr_exchange *x[4];

    setup_queue("queue 3 timeout=1s;");
    for (unsigned i = 0; i < 4; i++)
        x[i] = ask(&many);
    turns(3);
    ck_assert(is_served(x[0]));
    ck_assert_uint_eq(atomic_load(shared_queue()->taken), 3);
    (void)ask(&many); /* the queue is full */
    ck_assert_uint_eq(rejected, 1);
    for (unsigned i = 1; i < 4; i++)
        ck_assert(waits(x[i]));
    (void)wr_finish(x[1], 499); /* leaves the queue */
    answer(x[0]);
    turns(1);
    ck_assert(is_served(x[2]) && !is_served(x[3]));
    ck_assert_uint_ne(x[2]->tries->all.at[0].queue_ms, WR_NOT_YET);
    ck_assert_uint_eq(nresults, 1);
    ck_assert(!results[0].failed);
    ck_assert_uint_eq(results[0].queue_ms, WR_NOT_YET);
    ck_assert_uint_ne(results[0].ended_ms, WR_NOT_YET);
    for (unsigned i = 0; i < 10000 && rejected < 2; i++) /* the wait of 3 ends */
        turns(1);
    ck_assert_uint_eq(rejected, 2);
    ck_assert(wr_queue_is_empty(shared_queue()));
    ck_assert(wr_list_empty(&group->queue->waiting));
    answer(x[2]);
    ck_assert_uint_eq(nresults, 2);
    teardown();
}
END_TEST

/* A newcomer does not overtake one that waits in another process, which is rung instead. */
START_TEST(another_process_came_first)
{
    struct wr_exchange *x[2];
    struct wr_queue other;

    setup_queue("queue 5;");
    x[0] = ask(&many);
    turns(3);
    ck_assert(is_served(x[0]));
    other = stranger_shows(1);
    x[1] = ask(&many);
    answer(x[0]);
    ck_assert_uint_ne(atomic_load(&wr_self.run->slot[9].bell) & WR_BELL_QUEUE, 0);
    wr_waiting_called(); /* a ring too many */
    turns(1);
    ck_assert(waits(x[1]));
    x[0] = ask(&many); /* the peer is free, but others came first */
    ck_assert(waits(x[0]));
    stranger_leaves(&other);
    ck_assert_uint_ne(wr_bell_take() & WR_BELL_QUEUE, 0);
    wr_waiting_called();
    turns(1);
    ck_assert(is_served(x[1]) && waits(x[0]));
    answer(x[1]);
    turns(1);
    ck_assert(is_served(x[0]));
    answer(x[0]);
    ck_assert(wr_queue_is_empty(shared_queue()));
    teardown();
}
END_TEST

/* The head is a process that does not move, or a forged word: it is passed after a while. */
START_TEST(a_head_that_is_dead_is_passed)
{
    struct wr_exchange *x;

    setup_queue("queue 5;");
    (void)stranger_shows(1);
    x = ask(&many);
    ck_assert(waits(x));
    for (unsigned i = 0; i < 10000 && waits(x); i++)
        turns(1);
    turns(3);
    ck_assert(is_served(x));
    answer(x);
    teardown();
}
END_TEST

/* One that cannot use what is free lets the others pass, and is served when it can. */
START_TEST(one_that_has_tried_the_peer_steps_aside)
{
    struct wr_exchange *x[3];
    uint64_t *tried;

    setup_queue("queue 5; server 127.0.0.1:1;");
    ((struct dial_conf *)(uintptr_t)dial)->rows.next = WR_NEXT_ERROR;
    for (unsigned i = 0; i < 3; i++)
        x[i] = ask(&many);
    turns(3);
    ck_assert(is_served(x[0]));
    ck_assert_uint_eq(rejected, 0); /* nobody listens on port 1: the others came back and wait */
    ck_assert(waits(x[1]) && waits(x[2]));
    ck_assert_uint_eq(atomic_load(shared_queue()->taken), 2);
    tried = x[1]->tries->tried;
    ck_assert_ptr_nonnull(tried);
    tried[0] |= 1 | 2; /* now it has tried both */
    answer(x[0]);
    turns(3);
    ck_assert(is_served(x[2]) && waits(x[1]));
    ck_assert(x[1]->tries->aside);
    tried[0] = 2;
    answer(x[2]);
    turns(3);
    ck_assert(is_served(x[1]));
    answer(x[1]);
    ck_assert(wr_queue_is_empty(shared_queue()));
    teardown();
}
END_TEST

/* A peer that rests after failures is worth waiting for: its rest ends by itself. */
START_TEST(a_peer_that_rests_ends_the_wait)
{
    struct wr_peer_slot *slot;
    struct wr_exchange *x;

    setup_queue("queue 5; server 127.0.0.1:1 down;");
    slot = wr_peers_view(group)->main.at[0].slot;
    atomic_store(&slot->fail_timeout_ms, 50);
    ck_assert(wr_peer_failed(&group->peers->main.at[0], wr_now()));
    x = ask(&many);
    ck_assert(waits(x));
    for (unsigned i = 0; i < 600 && waits(x); i++) /* the second look comes only after 1000 */
        turns(1);
    turns(3);
    ck_assert(is_served(x));
    answer(x);
    teardown();
}
END_TEST

UNIT_MAIN("upstream/link", dials_alone, is_refused, runs_out_of_time, shakes_hands_alone,
          a_handshake_runs_out_of_time, three_join_one_dial, too_many_join,
          a_server_has_no_room_at_all, a_joined_dial_is_refused, a_link_with_100_leases_dies,
          takes_no_more_than_its_requests, a_bound_one_is_not_shared, exchanges_wait_for_a_peer,
          another_process_came_first, a_head_that_is_dead_is_passed,
          one_that_has_tried_the_peer_steps_aside, a_peer_that_rests_ends_the_wait)
