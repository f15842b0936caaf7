/* Any bytes in the zone of an upstream, as a faulty or malicious process may write them: workers
 * that view, pick and count, the keeper that publishes and takes counts back, and a reload that
 * copies must survive. The sanitizers watch the rest of the memory.
 *
 * An input is a sequence of letters with operands: w (four bytes: where, one: how many, then the
 * bytes) writes; p (a worker) picks and counts; q (a worker) waits in the queue; u (the
 * keeper) updates a name; c commits; l checks the ledger; r loads again from this zone. */
#include "base/base.h"

#include "upstream/upstream_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    struct wr_pool *pool;
    struct wr_upstreams all;
    struct wr_upstream *u;
    struct wr_shm_set *shm;
    struct wr_conf conf;
    void *states[64];
} me;

static void add_server(const char *addr, uint32_t max_conns, bool backup)
{
    struct wr_server *s = wr_vec_push(me.pool, &me.u->servers);

    *s = (struct wr_server){
        .text = wr_str_c(addr), .host = wr_str_c(addr), .weight = 2, .max_fails = 1,
        .max_conns = max_conns, .fail_timeout_ms = 10000, .backup = backup,
        .key = wr_hash_stable(wr_str_c(addr), 1),
    };
    s->named = addr[0] > '9';
    WR_ASSERT(s->named || wr_addr_parse(wr_str_c(addr), 0, &s->addr));
}

static void open_conf(struct wr_shm_set *old)
{
    me.pool = wr_pool_new(0);
    me.u = WR_NEW(me.pool, struct wr_upstream);
    me.u->name = WR_STR("group");
    me.u->layer = WR_L4;
    me.u->balancer = &wr_round_robin;
    add_server("127.0.0.1:1", 0, false);
    add_server("127.0.0.1:2", 3, false);
    add_server("name.test", 0, false);
    add_server("127.0.0.1:3", 0, true);
    me.all = (struct wr_upstreams){ 0 };
    *wr_vec_push(me.pool, &me.all.all) = me.u;
    me.shm = wr_shm_set_new();
    me.conf = (struct wr_conf){
        .pool = me.pool, .state = me.states, .shm = me.shm, .old_shm = old,
    };
    me.states[wr_module_upstream.index] = &me.all;
    WR_ASSERT(wr_upstreams_open(&me.conf));
}

static void close_conf(void)
{
    wr_peers_drop(me.u);
    wr_pool_free(me.pool);
    wr_shm_set_free(me.shm);
}

/* ---- the operations ---- */

static size_t overwrite(const uint8_t *p, size_t n)
{
    struct wr_scan s = wr_scan_of(p, n);
    uint32_t at = wr_scan_u32(&s);
    struct wr_str bytes = wr_scan_take(&s, wr_scan_u8(&s));
    size_t size = me.u->zone->size;

    if (s.bad)
        return n;
    at %= (uint32_t)size;
    memcpy((char *)me.u->zone->p + at, bytes.p, wr_min(bytes.n, size - at));
    return 5 + bytes.n;
}

static void use_peer(struct wr_peer *peer)
{
    struct wr_addr a;

    (void)!wr_peer_addr(peer, &a);
    if (!wr_peer_hold(me.u, peer))
        return;
    wr_peer_probe(peer, wr_now());
    (void)wr_peer_failed(peer, wr_now());
    wr_peer_succeeded(peer);
    wr_peer_release(me.u, peer);
}

static void pick(void)
{
    struct wr_peers *view;
    struct wr_pick p = { .now_ms = wr_now() };

    wr_self.slot = 3;
    view = wr_peers_view(me.u);
    for (int i = 0; i < 3; i++) {
        struct wr_peer_group *g = i < 2 ? &view->main : &view->backup;
        struct wr_peer *peer = me.u->balancer->pick(me.u, g, &p);

        if (peer != NULL)
            use_peer(peer);
    }
}

/* Takes a place, calls and leaves; the process's own ticket is there, whatever others wrote. */
static void wait_in_queue(void)
{
    struct wr_queue *q = &me.u->peers->zone.queue;

    wr_self.slot = 3;
    if (!wr_queue_enter(q, 4, me.pool))
        return;
    wr_queue_show(q, 7, true);
    WR_ASSERT(wr_queue_head(q).ticket != 0);
    WR_ASSERT(wr_queue_call(q));
    wr_queue_skip(q, wr_queue_head(q));
    wr_waiting_wake(me.u);
    wr_queue_show(q, 0, false);
    wr_queue_leave(q);
}

static void update(void)
{
    struct wr_name_addr at[3] = { 0 };

    for (uint32_t i = 0; i < WR_COUNT(at); i++)
        WR_ASSERT(wr_addr_parse(WR_STR("10.0.0.1:5"), 0, &at[i].addr));
    at[1].addr.in.sin_port = htons(7);
    (void)wr_peer_zone_update(me.u, &me.u->servers.at[2], at, 1 + (uint32_t)(wr_now() & 1));
}

static void look(void)
{
    (void)wr_peers_sweep(&me.conf);
    for (int i = 0; i < 4; i++)
        (void)wr_peers_look(&me.conf);
}

/* The new generation copies what fits, then ends. */
static void load_again(void)
{
    struct wr_upstream *u = me.u;
    struct wr_shm_set *shm = me.shm;
    struct wr_pool *pool = me.pool;
    struct wr_upstreams all = me.all;
    struct wr_conf conf = me.conf;

    open_conf(shm);
    wr_upstreams_commit(&me.conf, 7, false);
    pick();
    close_conf();
    me.u = u;
    me.shm = shm;
    me.pool = pool;
    me.all = all;
    me.conf = conf;
    me.states[wr_module_upstream.index] = &me.all;
}

static size_t act(uint8_t what, const uint8_t *p, size_t n)
{
    switch (what % 8) {
    case 'w' % 8:
        return overwrite(p, n);
    case 'p' % 8:
        pick();
        break;
    case 'q' % 8:
        wait_in_queue();
        break;
    case 'u' % 8:
        update();
        break;
    case 'c' % 8:
        wr_upstreams_commit(&me.conf, 5, (n & 1) != 0);
        break;
    case 'l' % 8:
        look();
        break;
    case 'r' % 8:
        load_again();
        break;
    default:
        break;
    }
    return 0;
}

static void begin(void)
{
    static struct wr_log nowhere;

    wr_log_default = &nowhere;
    wr_self_init();
    wr_clock_update();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (wr_self.run == NULL)
        begin();
    open_conf(NULL);
    wr_upstreams_commit(&me.conf, 5, false);
    for (int acts = 0; size > 0 && acts < 30; acts++) {
        size_t used = act(*data, data + 1, size - 1);

        data += 1 + used;
        size -= 1 + used;
    }
    pick();
    close_conf();
    return 0;
}
