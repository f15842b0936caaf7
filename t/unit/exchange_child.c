/* Exchanges without a session, with children, and detached ones: in whatever order they end, `over`
 * is called once for each, no step runs after it and no memory is left. The sanitizers of the build
 * find memory that is freed twice or not at all. */
#include "lib/exchange_fake.h"
#include "lib/unit.h"

#include <sys/socket.h>

static struct wr_loop *loop;
static struct wr_conf *conf;
static const struct wr_scope *scope;
static unsigned overs; /* exchanges that have ended */
static char ended[64]; /* their names, in order */

/* State of an exchange of these tests, in its own pool, as x->of_layer. */
struct plan {
    char name;
    unsigned left;            /* steps before it ends by itself */
    bool waits;               /* each step waits until the exchange is woken */
    unsigned *status_to;      /* gets its status; may be NULL */
};

static struct plan *plan_of(const struct wr_exchange *x)
{
    return x->of_layer;
}

static enum wr_go count_down(struct wr_exchange *x);

static const struct wr_step step_count = { "count", "counting", count_down };

static enum wr_go count_down(struct wr_exchange *x)
{
    struct plan *t = plan_of(x);

    if (t->left == 0 && wr_list_empty(&x->children))
        return wr_finish(x, 204);
    if (t->left > 0)
        t->left--;
    wr_timer_set(x->loop, &x->idle, 60000); /* something must be armed */
    return t->waits || t->left == 0 ? WR_WAIT : WR_GO;
}

static void note_over(struct wr_exchange *x)
{
    struct plan *t = plan_of(x);

    ended[overs++] = t->name;
    ended[overs] = '\0';
    if (t->status_to != NULL)
        *t->status_to = x->status;
    wr_exchange_wake(x); /* as a job would that ends in the same turn: no step may run */
}

static struct wr_exchange *give_plan(struct wr_exchange *x, char name, unsigned steps)
{
    struct plan *t = WR_NEW(x->pool, struct plan);

    t->name = name;
    t->left = steps;
    t->waits = true;
    x->of_layer = t;
    x->over = note_over;
    return x;
}

static struct wr_exchange *alone(char name, unsigned steps)
{
    struct wr_session *s = wr_session_nobody(fake_layer(WR_L7));

    return give_plan(wr_exchange_new(s, scope, &step_count), name, steps);
}

static struct wr_exchange *child_of(struct wr_exchange *x, char name, unsigned steps)
{
    struct wr_exchange *child = give_plan(wr_child_new(x, scope, &step_count), name, steps);

    wr_exchange_wake(child);
    return child;
}

static void turns(unsigned n)
{
    while (n-- > 0)
        wr_loop_turn(loop, 0);
}

static void setup(void)
{
    conf = fake_load("http { server { value a$kept; } }");
    ck_assert_uint_eq(conf->tree->errors, 0);
    scope = wr_conf_layer(conf, WR_L7)->children;
    loop = wr_loop_new(8);
    wr_sessions_use(loop, conf);
    overs = 0;
    ended[0] = '\0';
}

static void teardown(void)
{
    turns(1);
    wr_loop_free(loop);
    wr_conf_free(conf);
}

START_TEST(without_a_session)
{
    struct wr_exchange *x;
    struct wr_str v;

    setup();
    x = alone('a', 3);
    v = wr_template_str(x, ((const struct fake_conf *)wr_scope_conf(scope, &fake_module))->value);
    ck_view(v, "a1");
    wr_exchange_wake(x);
    turns(1);
    ck_assert_uint_eq(plan_of(x)->left, 2);
    wr_exchange_wake(x);
    turns(1);
    wr_exchange_wake(x);
    turns(1);
    ck_assert_uint_eq(overs, 0);
    wr_exchange_wake(x);
    turns(1);
    ck_assert_str_eq(ended, "a");
    teardown();
}
END_TEST

START_TEST(with_two_children)
{
    struct wr_exchange *x;
    unsigned status[2] = { 0, 0 };

    setup();
    x = alone('x', 1);
    plan_of(child_of(x, 'a', 1))->status_to = &status[0];
    plan_of(child_of(x, 'b', 0))->status_to = &status[1];
    wr_exchange_wake(x);
    turns(1);
    ck_assert_str_eq(ended, "b");
    turns(2); /* b's end woke x, which waits for a */
    ck_assert_str_eq(ended, "b");
    wr_exchange_wake(wr_container(x->children.next, struct wr_exchange, link));
    turns(2);
    ck_assert_str_eq(ended, "bax");
    ck_assert_uint_eq(status[0], 204);
    ck_assert_uint_eq(status[1], 204);
    teardown();
}
END_TEST

/* `over` of a parent is called after those of its children. */
START_TEST(a_child_of_a_child)
{
    struct wr_exchange *x, *a, *b;

    setup();
    x = alone('x', 1);
    a = child_of(x, 'a', 1);
    b = child_of(a, 'b', 9);
    ck_assert_ptr_eq(b->main, x);
    turns(2);
    (void)wr_finish(x, 499);
    ck_assert_str_eq(ended, "bax");
    ck_assert_uint_eq(x->idle.at + a->idle.at + b->idle.at, 0); /* their timers are off */
    (void)wr_finish(x, 500); /* idempotent */
    ck_assert_str_eq(ended, "bax");
    turns(2);
    teardown();
}
END_TEST

/* Parent or child is cancelled, at each combination of their steps. */
START_TEST(cancelled_anywhere)
{
    for (unsigned cancel_parent = 0; cancel_parent < 2; cancel_parent++)
        for (unsigned at_parent = 0; at_parent < 4; at_parent++)
            for (unsigned at_child = 0; at_child < 4; at_child++) {
                struct wr_exchange *x, *a;

                setup();
                x = alone('x', 4);
                a = child_of(x, 'a', 4);
                for (unsigned i = 0; i < wr_max(at_parent, at_child); i++) {
                    if (i < at_parent)
                        wr_exchange_wake(x);
                    if (i < at_child)
                        wr_exchange_wake(a);
                    turns(1);
                }
                wr_exchange_wake(x); /* woken and cancelled in one turn */
                wr_exchange_wake(a);
                (void)wr_finish(cancel_parent == 1 ? x : a, 499);
                ck_assert_str_eq(ended, cancel_parent == 1 ? "ax" : "a");
                turns(2);
                if (cancel_parent == 0) {
                    ck_assert(wr_list_empty(&x->children));
                    (void)wr_finish(x, 499);
                }
                ck_assert_str_eq(ended, "ax");
                teardown();
            }
}
END_TEST

/* ---- a child that holds an entry of a ledger, then a thread and a file ---- */

static struct wr_ledger ledger; /* one column, in shared memory */
static _Atomic uint32_t *total;
static struct wr_threads *threads;

/* The memory of a job: not in the exchange's pool, as the job may outlive the child. */
struct reading {
    struct wr_job job;
    struct wr_exchange *x;     /* NULL: its child has ended */
    int fd;
    char got;
};
static unsigned readings;

static void reading_free(struct reading *r)
{
    (void)close(r->fd);
    free(r);
    readings--;
}

static void read_byte(struct wr_job *j)
{
    struct reading *r = wr_container(j, struct reading, job);

    (void)!read(r->fd, &r->got, 1); /* waits for the test */
}

static void was_read(struct wr_job *j)
{
    struct reading *r = wr_container(j, struct reading, job);

    if (r->x == NULL) {
        reading_free(r);
        return;
    }
    r->x->waits--;
    wr_exchange_wake(r->x);
}

static void leave_reading(void *arg)
{
    struct reading *r = arg;

    if (wr_job_cancel(&r->job))
        reading_free(r);
    else
        r->x = NULL;
}

static void give_place_back(struct wr_exchange *x)
{
    (void)x;
    wr_ledger_release(&ledger, 0);
}

static enum wr_go end_held(struct wr_exchange *x)
{
    return x->waits > 0 ? WR_WAIT : wr_finish(x, 204);
}

static const struct wr_step step_end_held = { "end", "ending", end_held };

static int bytes; /* where the next reading gets its byte from */

static enum wr_go read_held(struct wr_exchange *x)
{
    struct reading *r = wr_calloc(1, sizeof(*r));

    *r = (struct reading){ .job = { .run = read_byte, .done = was_read }, .x = x,
                           .fd = dup(bytes) };
    readings++;
    ck_assert(wr_job_start(threads, &r->job));
    wr_pool_cleanup(x->pool, leave_reading, r);
    x->waits++;
    x->step = &step_end_held;
    return WR_WAIT;
}

static const struct wr_step step_read_held = { "read", "reading", read_held };

static enum wr_go take_place(struct wr_exchange *x)
{
    (void)!wr_ledger_hold(&ledger, 0, 0);
    x->tries_end = give_place_back; /* as upstream does it */
    x->step = &step_read_held;
    wr_timer_set(x->loop, &x->idle, 60000);
    return WR_WAIT;
}

static const struct wr_step step_take_place = { "place", "taking a place", take_place };

/* The child: not begun; with its entry in the ledger; its job queued after another one; its job in
 * the thread; ended. */
enum held { BEGINS, PLACED, QUEUED, READING, ENDED, HELD_STATES };

static void held_goes_to(struct wr_exchange *a, enum held state, int gate)
{
    if (state == BEGINS)
        return;
    wr_exchange_wake(a);
    turns(1);
    ck_assert_uint_eq(*total, 1);
    if (state == PLACED)
        return;
    wr_exchange_wake(a);
    turns(1);
    ck_assert_uint_eq(readings, 1);
    if (state <= READING)
        return;
    ck_assert_int_eq(write(gate, "1", 1), 1);
    for (int i = 0; i < 5000 && overs == 0; i++)
        wr_loop_turn(loop, 1);
    turns(1);
}

static void place_ledger(struct wr_zone *z, struct wr_pool *pool)
{
    ledger = (struct wr_ledger){ .columns = 0 };
    wr_ledger_place(&ledger, z, 1);
    ledger.totals = total;
    ledger.stride = sizeof(*total);
    if (z->p != NULL)
        wr_ledger_begin(&ledger, pool);
}

/* Cancels the parent or the child when they have come to these steps. */
static void cancel_held(enum held state, unsigned at_parent, bool parent)
{
    static _Atomic uint32_t count;
    struct wr_zone measured = { .fd = -1 }, z = { .fd = -1 };
    struct wr_pool *pool = wr_pool_new(0);
    struct reading *other = NULL;
    struct wr_exchange *x, *a;
    int gate[2], busy[2];

    setup();
    count = 0;
    total = &count;
    place_ledger(&measured, pool);
    z.p = wr_calloc(1, measured.n);
    place_ledger(&z, pool);
    ck_assert_int_eq(pipe(gate), 0);
    ck_assert_int_eq(pipe(busy), 0);
    bytes = gate[0];
    threads = wr_threads_new(loop, WR_STR("files"), 1, 8);
    if (state == QUEUED) {
        other = wr_calloc(1, sizeof(*other));
        *other = (struct reading){ .job = { .run = read_byte, .done = was_read }, .fd = busy[0] };
        ck_assert(wr_job_start(threads, &other->job));
    }
    x = alone('x', 4);
    a = give_plan(wr_child_new(x, scope, &step_take_place), 'a', 0);
    for (unsigned i = 0; i < at_parent; i++) {
        wr_exchange_wake(x);
        turns(1);
    }
    held_goes_to(a, state, gate[1]);
    (void)wr_finish(parent || state == ENDED ? x : a, 499);
    ck_assert_uint_eq(*total, 0);
    ck_assert_uint_eq(ledger.held[0], 0);
    turns(2);
    if (!parent && state != ENDED)
        (void)wr_finish(x, 499);
    ck_assert_str_eq(ended, "ax");
    (void)!write(gate[1], "1", 1); /* let a job that still runs end */
    (void)!write(busy[1], "1", 1);
    readings += other != NULL ? 1 : 0;
    for (int i = 0; i < 5000 && readings > 0; i++)
        wr_loop_turn(loop, 1);
    ck_assert_uint_eq(readings, 0);
    wr_threads_free(threads);
    for (int i = 0; i < 2; i++) {
        (void)close(gate[i]);
        if (i == 1 || other == NULL)
            (void)close(busy[i]);
    }
    free(z.p);
    teardown();
    wr_pool_free(pool);
}

START_TEST(cancelled_while_a_child_holds)
{
    for (unsigned parent = 0; parent < 2; parent++)
        for (unsigned at_parent = 0; at_parent < 4; at_parent++)
            for (unsigned state = BEGINS; state < HELD_STATES; state++)
                cancel_held((enum held)state, at_parent, parent == 1);
}
END_TEST

/* The bytes of a child are collected, as far as they are wanted. */
START_TEST(collects)
{
    struct wr_bufq into = { 0 };
    struct wr_slice two = { .p = "cd", .n = 2 }, one = { .next = &two, .p = "ab", .n = 2 };
    struct wr_exchange *x, *a;
    struct wr_endpoint *e;
    char got[8];
    size_t put;

    setup();
    x = alone('x', 9);
    a = child_of(x, 'a', 9);
    e = &a->client;
    ck_assert_int_eq(e->ops->write(e, &one, false, &put), WR_IO_OK); /* swallowed */
    ck_assert_uint_eq(put, 4);
    wr_endpoint_collect(e, &into, 5);
    ck_assert_int_eq(e->ops->write(e, &one, false, &put), WR_IO_OK);
    ck_assert_uint_eq(put, 4);
    ck_assert_uint_eq(wr_bufq_peek(&into, got, sizeof(got)), 4);
    ck_assert_int_eq(memcmp(got, "abcd", 4), 0);
    ck_assert_int_eq(e->ops->write(e, &one, true, &put), WR_IO_ERROR); /* it would be too much */
    ck_assert_uint_eq(into.n, 4);
    ck_assert_int_eq(e->ops->write(e, NULL, true, &put), WR_IO_OK);
    ck_assert(wr_endpoint_at_end(e));
    (void)wr_finish(x, 0);
    teardown();
    wr_bufq_clear(&into);
}
END_TEST

/* Variables, `set` and captures are the parent's: a value a child has found outlives it. */
START_TEST(shares_variables)
{
    struct wr_exchange *x, *a;
    struct wr_str v;
    const struct fake_conf *c;

    setup();
    c = wr_scope_conf(scope, &fake_module);
    x = alone('x', 1);
    a = child_of(x, 'a', 9);
    v = wr_template_str(a, c->value);
    ck_view(v, "a1");
    (void)wr_finish(a, 0);
    turns(1);
    v = wr_template_str(x, c->value);
    ck_view(v, "a1");
    ck_assert_uint_eq(fake_calls, 1);
    (void)wr_finish(x, 0);
    teardown();
}
END_TEST

/* ---- with a client ---- */

static struct wr_exchange *served;

static void serve(struct wr_session *s)
{
    served = give_plan(wr_exchange_new(s, scope, &step_count), 'x', 9);
    wr_session_add(served);
    wr_session_own(served);
}

static const struct wr_scope *greet(const struct wr_session *s, uint64_t *ms)
{
    (void)s;
    if (ms != NULL)
        *ms = 1000;
    return scope;
}

static int accept_one(void)
{
    static struct wr_layer layer;
    static struct wr_listener listener;
    struct wr_addr from = { 0 };
    int fd[2];

    layer = *fake_layer(WR_L7);
    layer.begin = serve;
    layer.greeting = greet;
    listener.layer = &layer;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    ck_assert(wr_addr_parse(WR_STR("192.0.2.1:99"), 0, &from));
    wr_session_new(&listener, fd[0], &from);
    return fd[1];
}

START_TEST(a_child_outlives_its_clients_reset)
{
    struct wr_exchange *a;
    int client;

    setup();
    client = accept_one();
    a = child_of(served, 'a', 9);
    turns(1);
    close(client); /* ignored, as x->left is NULL */
    turns(2);
    ck_assert_uint_eq(overs, 0);
    (void)wr_finish(a, 0);
    ck_assert_str_eq(ended, "a");
    (void)wr_finish(served, 0);
    ck_assert_str_eq(ended, "ax");
    wr_sessions_shutdown(true);
    turns(2);
    ck_assert_uint_eq(wr_sessions_live(), 0);
    teardown();
}
END_TEST

START_TEST(detached)
{
    struct wr_session *s;
    int client;

    setup();
    client = accept_one();
    s = served->s;
    child_of(served, 'a', 9);
    wr_exchange_detach(served);
    ck_assert_ptr_null(s->x); /* the connection is the session's again */
    ck_assert(s->task.queued);
    ck_assert_str_eq(ended, "x"); /* its client is told at once */
    wr_session_end(s);
    turns(3);
    ck_assert_uint_eq(wr_sessions_live(), 1); /* a shutdown waits for it */
    ck_assert_uint_eq(wr_addr_port(served->client_addr), 99);
    wr_exchange_wake(served);
    turns(1);
    (void)wr_finish(served, 0);
    ck_assert_str_eq(ended, "xa");
    turns(2);
    ck_assert_uint_eq(wr_sessions_live(), 0);
    close(client);
    teardown();
}
END_TEST

START_TEST(a_shutdown_ends_all)
{
    int client;

    setup();
    client = accept_one();
    child_of(served, 'a', 9);
    wr_exchange_detach(served);
    wr_session_end(served->s);
    close(client);
    client = accept_one();
    child_of(served, 'b', 9);
    turns(1);
    wr_sessions_shutdown(true);
    ck_assert_str_eq(ended, "xabx");
    turns(2);
    ck_assert_uint_eq(wr_sessions_live(), 0);
    close(client);
    teardown();
}
END_TEST

UNIT_MAIN("exchange/child", without_a_session, with_two_children, a_child_of_a_child,
          cancelled_anywhere, cancelled_while_a_child_holds, collects, shares_variables,
          a_child_outlives_its_clients_reset, detached, a_shutdown_ends_all)
