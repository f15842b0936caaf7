/* The relay: its share of a turn, its rate, filters and stored sources, between a fake source and a
 * fake sink. */
#include "lib/event_lib.h"

#include "relay/relay.h"

enum { MIB = 1024 * 1024, BLOCK = 65536 };

static struct wr_loop *l;
static struct wr_relay r;
static struct wr_timer timer;
static size_t left;           /* bytes of the source */
static size_t largest;        /* largest write of a file */
static size_t pause_at;       /* the source pauses when so many are left; 0: never */
static size_t room;           /* bytes the sink will take */
static char sent[64];         /* bytes of memory it took */
static size_t nsent;

static enum wr_io give(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    (void)e;
    *got = 0;
    if (pause_at > 0 && left == pause_at)
        return WR_IO_AGAIN;
    *got = wr_min(n, left - pause_at);
    memset(p, 'x', *got);
    left -= *got;
    return *got > 0 ? WR_IO_OK : WR_IO_EOF;
}

/* Takes of a file as much as one sendfile may send, of memory a block. */
static enum wr_io take(struct wr_endpoint *e, const struct wr_slice *chain, bool fin, size_t *put)
{
    (void)fin;
    *put = 0;
    if (chain == NULL)
        return WR_IO_OK;
    *put = wr_min(chain->n, chain->p == NULL ? e->conn->file_max : (size_t)BLOCK);
    *put = wr_min(*put, room);
    room -= *put;
    if (*put == 0)
        return WR_IO_AGAIN;
    if (chain->p == NULL)
        largest = wr_max(largest, *put);
    else if (nsent + *put < sizeof(sent))
        memcpy(sent + nsent, chain->p, *put);
    nsent += *put;
    return WR_IO_OK;
}

static const struct wr_endpoint_ops ops = { .read = give, .write = take };
static struct wr_conn conn;
static struct wr_endpoint source = { .ops = &ops }, sink = { .ops = &ops, .conn = &conn };

static void setup(uint64_t turn)
{
    l = wr_loop_new(16);
    wr_clock_update();
    conn.file_max = SIZE_MAX;
    left = pause_at = nsent = 0;
    room = SIZE_MAX;
    r = (struct wr_relay){ .src = &source, .dst = &sink, .high = 2 * BLOCK, .turn = turn,
                           .rate_timer = &timer, .rate_from = wr_now() };
}

static void teardown(void)
{
    wr_relay_end(&r, l);
    wr_loop_free(l);
}

/* Runs one turn. Returns how much was written. */
static uint64_t pump(enum wr_pump want)
{
    uint64_t before = r.moved;
    bool moved = false;
    enum wr_pump p = wr_relay_pump(&r, l, &moved);

    ck_assert_int_eq(p, want);
    return r.moved - before;
}

START_TEST(a_file_gets_its_share_of_a_turn)
{
    static const struct { uint64_t turn; size_t want; } table[] = {
        { 0, 2 * MIB }, { 512 * 1024, 512 * 1024 }, { 3 * MIB + 1, 3 * MIB + 1 },
    };

    for (size_t i = 0; i < WR_COUNT(table); i++) {
        setup(table[i].turn);
        wr_bufq_file(&r.q, NULL, 0, (size_t)100 * MIB);
        largest = 0;
        ck_assert_uint_eq(pump(WR_PUMP_MORE), table[i].want);
        ck_assert_uint_eq(pump(WR_PUMP_MORE), table[i].want);
        ck_assert_uint_le(largest, table[i].want);
        teardown();
    }
}
END_TEST

START_TEST(sendfile_off_stays_off)
{
    setup(0);
    conn.file_max = 0;
    wr_bufq_borrow(&r.q, "text", 4);
    ck_assert_uint_eq(pump(WR_PUMP_DONE), 4);
    ck_assert_uint_eq(conn.file_max, 0);
    teardown();
}
END_TEST

START_TEST(memory_gets_no_more)
{
    char *text = wr_calloc(8, MIB);
    uint64_t sum = 0;

    setup(2 * MIB);
    r.src = NULL;
    wr_bufq_borrow(&r.q, text, (size_t)8 * MIB);
    for (int i = 0; i < 4; i++)
        sum += pump(WR_PUMP_MORE);
    ck_assert_uint_eq(sum, 8 * MIB);
    ck_assert_uint_eq(pump(WR_PUMP_DONE), 0);
    teardown();
    free(text);
}
END_TEST

START_TEST(no_rate_overflows)
{
    static const uint64_t ms[] = { 0, 1000, 86400000, 86400000ull * 3650 };

    for (size_t i = 0; i < WR_COUNT(ms); i++) {
        setup(0);
        r.rate = WR_RATE_MAX;
        r.rate_from = wr_now() - ms[i];
        r.taken = r.moved = WR_RATE_MAX * (ms[i] / 1000);
        left = BLOCK;
        ck_assert_uint_eq(pump(WR_PUMP_DONE), BLOCK);
        teardown();
    }
}
END_TEST

/* ---- filters ---- */

/* A filter that passes bytes on and appends a mark at each push. `how` has one letter for each run:
 * w waits, W waits after half of its input, f fails; else it takes all. */
struct slow {
    struct wr_relay_filter filter;
    const char *how;
    char name;
    unsigned runs, flushes, fins;
    size_t most;              /* largest input of a run */
    bool files;               /* it was given slices of files */
};

static enum wr_filtered slow_run(struct wr_relay_filter *f, enum wr_push push, struct wr_bufq *out)
{
    struct slow *s = wr_container(f, struct slow, filter);
    char how = *s->how != '\0' ? *s->how++ : 'd';

    s->runs++;
    s->most = wr_max(s->most, f->in.n);
    for (const struct wr_slice *i = f->in.head; i != NULL; i = i->next)
        s->files |= i->p == NULL && i->n > 0;
    if (how == 'f')
        return WR_FILTER_FAILED;
    if (how == 'w' || how == 'W') {
        wr_bufq_move(out, &f->in, how == 'W' ? f->in.n / 2 : 0);
        return WR_FILTER_WAITS;
    }
    wr_bufq_move(out, &f->in, f->in.n);
    s->flushes += push == WR_PUSH_FLUSH;
    s->fins += push == WR_PUSH_FIN;
    if (push != WR_PUSH_NONE)
        wr_bufq_copy(out, push == WR_PUSH_FIN ? ">" : "|", 1);
    if (push != WR_PUSH_NONE)
        wr_bufq_copy(out, &s->name, 1);
    return WR_FILTERED;
}

#define SLOW(letter, text) \
    ((struct slow){ .filter.run = slow_run, .name = (letter), .how = (text) })

static void add_filter(struct slow *s)
{
    struct wr_relay_filter **at = &r.filters;

    while (*at != NULL)
        at = &(*at)->next;
    *at = &s->filter;
}

static void sent_is(const char *want)
{
    ck_assert_uint_eq(nsent, strlen(want));
    ck_assert_int_eq(memcmp(sent, want, nsent), 0);
}

START_TEST(filters_run_in_order)
{
    struct slow a = SLOW('a', ""), b = SLOW('b', "");

    setup(0);
    add_filter(&a);
    add_filter(&b);
    left = 3;
    pump(WR_PUMP_DONE);
    sent_is("xxx>a>b");
    ck_assert_uint_eq(a.fins + b.fins, 2);
    pump(WR_PUMP_DONE); /* FIN is pushed once */
    ck_assert_uint_eq(a.fins + b.fins, 2);
    teardown();
}
END_TEST

START_TEST(a_filter_waits)
{
    static const struct { const char *a, *b; unsigned pumps; } table[] = {
        { "w", "", 1 }, { "www", "", 3 }, { "W", "", 0 }, { "Ww", "", 1 },
        { "dw", "", 1 }, { "dww", "", 2 },
        { "", "w", 1 }, { "", "dw", 1 }, { "", "dwww", 3 }, { "wdw", "", 2 },
    };

    for (size_t i = 0; i < WR_COUNT(table); i++) {
        struct slow a = SLOW('a', table[i].a), b = SLOW('b', table[i].b);

        setup(0);
        add_filter(&a);
        add_filter(&b);
        left = 4;
        for (unsigned k = 0; k < table[i].pumps; k++) {
            pump(WR_PUMP_IDLE);
            ck_assert(r.filter_waits && wr_relay_is_busy(&r));
        }
        pump(WR_PUMP_DONE);
        ck_assert(!r.filter_waits && !wr_relay_is_busy(&r));
        sent_is("xxxx>a>b");
        ck_assert_uint_eq(a.fins, 1);
        ck_assert_uint_eq(b.fins, 1);
        teardown();
    }
}
END_TEST

/* While a filter waits nothing is read. If the sink does not take what the filter has released, the
 * relay is not busy: it waits for the sink. */
START_TEST(a_filter_that_waits_holds_up)
{
    struct slow a = SLOW('a', "Www");

    setup(0);
    add_filter(&a);
    left = 10 * BLOCK;
    room = 1;
    pump(WR_PUMP_IDLE);
    ck_assert_uint_eq(left, 8 * BLOCK);
    ck_assert(r.filter_waits && !wr_relay_is_busy(&r));
    room = SIZE_MAX;
    pump(WR_PUMP_IDLE);
    ck_assert_uint_eq(left, 8 * BLOCK);
    ck_assert(wr_relay_is_busy(&r));
    pump(WR_PUMP_IDLE);
    pump(WR_PUMP_DONE);
    ck_assert_uint_eq(nsent, 10 * BLOCK + 2);
    ck_assert_uint_le(a.most, 2 * BLOCK);
    teardown();
}
END_TEST

START_TEST(a_filter_fails)
{
    static const struct { const char *a, *b; size_t sent; } table[] = {
        { "f", "", 0 }, { "", "f", 0 }, { "wf", "", 0 }, { "df", "", 4 }, { "", "df", 4 },
    };

    for (size_t i = 0; i < WR_COUNT(table); i++) {
        struct slow a = SLOW('a', table[i].a), b = SLOW('b', table[i].b);

        setup(0);
        add_filter(&a);
        add_filter(&b);
        left = 4;
        if (table[i].a[0] == 'w')
            pump(WR_PUMP_IDLE);
        pump(WR_PUMP_SRC_ERROR);
        ck_assert(r.broken);
        ck_assert_uint_eq(nsent, table[i].sent);
        teardown();
    }
}
END_TEST

START_TEST(a_source_that_pauses_flushes)
{
    struct slow a = SLOW('a', ""), b = SLOW('b', "ddw");

    setup(0);
    add_filter(&a);
    add_filter(&b);
    left = 4;
    pause_at = 2;
    pump(WR_PUMP_IDLE);
    sent_is("xx|a|b");
    pump(WR_PUMP_IDLE); /* once */
    ck_assert_uint_eq(a.flushes + b.flushes, 2);
    pause_at = 0;
    pump(WR_PUMP_IDLE); /* b waits, with bytes in its queue */
    pump(WR_PUMP_DONE);
    sent_is("xx|a|bxx>a>b");
    teardown();
}
END_TEST

/* ---- stored sources ---- */

static struct wr_task reading;
static struct wr_pool *stored_pool;

/* A text, 300,000 bytes of a file, a text, as the source of the relay. */
static void setup_stored(struct wr_reader *reader)
{
    char path[] = "/tmp/weir-unit-XXXXXX";
    struct wr_bufq q = { 0 };
    int fd = mkstemp(path);

    setup(0);
    unlink(path);
    ck_assert_int_eq(ftruncate(fd, 300000), 0);
    wr_reader_init(reader, wr_opened_new(fd, path), NULL);
    wr_bufq_borrow(&q, "head", 4);
    wr_bufq_file(&q, reader, 0, 300000);
    wr_bufq_borrow(&q, "tail", 4);
    stored_pool = wr_pool_new(0);
    wr_endpoint_store(&source, stored_pool, (struct wr_waiter){ l, &reading }, &q);
    ck_assert_uint_eq(q.n, 0);
}

static void teardown_stored(struct wr_reader *reader)
{
    teardown();
    wr_pool_free(stored_pool);
    wr_reader_end(reader);
    source = (struct wr_endpoint){ .ops = &ops };
    ck_assert_uint_eq(wr_blocks_live(), 0);
}

START_TEST(a_file_is_given_as_it_lies)
{
    struct slow a = SLOW('a', "");
    struct wr_reader reader;

    for (int passes = 0; passes < 2; passes++) {
        setup_stored(&reader);
        largest = 0;
        if (passes) {
            a.filter.passes = true;
            add_filter(&a);
        }
        pump(WR_PUMP_DONE);
        ck_assert_uint_eq(nsent, 300008 + (passes ? 2 : 0));
        ck_assert_uint_eq(largest, 300000);
        ck_assert(a.files == passes);
        teardown_stored(&reader);
    }
}
END_TEST

START_TEST(a_filter_gets_a_file_in_pieces)
{
    struct slow a = SLOW('a', ""), b = SLOW('b', "");
    struct wr_reader reader;

    setup_stored(&reader);
    a.filter.passes = true; /* b does not */
    add_filter(&a);
    add_filter(&b);
    pump(WR_PUMP_DONE);
    ck_assert_uint_eq(nsent, 300008 + 4);
    ck_assert(!a.files && !b.files);
    ck_assert_uint_le(b.most, r.high);
    teardown_stored(&reader);
}
END_TEST

START_TEST(a_file_keeps_to_a_rate)
{
    struct wr_reader reader;

    setup_stored(&reader);
    r.rate = 100000;
    pump(WR_PUMP_IDLE);
    ck_assert_uint_eq(nsent, 100000);
    ck_assert(r.limited && !wr_relay_is_busy(&r));
    teardown_stored(&reader);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { a_file_gets_its_share_of_a_turn, sendfile_off_stays_off,
                                   memory_gets_no_more, no_rate_overflows,
                                   filters_run_in_order, a_filter_waits,
                                   a_filter_that_waits_holds_up, a_filter_fails,
                                   a_source_that_pauses_flushes, a_file_is_given_as_it_lies,
                                   a_filter_gets_a_file_in_pieces, a_file_keeps_to_a_rate, NULL };

    return run_suite("relay/relay", tests);
}
