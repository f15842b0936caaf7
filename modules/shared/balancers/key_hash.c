/* key_hash: `hash` chooses the server by the hash of a text. For upstream {} of both layers:
 *
 *     hash $request_uri;                       places as nginx does
 *     hash $remote_addr consistent;            the same, with few keys moved when servers change
 *     hash $cookie_cart maglev;                even shares, few keys moved
 *     hash $arg_video consistent balance_factor=1.25;
 *
 * A server that cannot be used is passed over in nginx's order: the next hash of the key, or the
 * next point of the ring. After 20 of them, for an empty key and among backups round robin chooses.
 * With balance_factor a server that has more than its part of the connections, times this factor,
 * is passed over, too. */
#include "hash_table.h"
#include "hash_load.h"

#define SKIPS 20             /* as in nginx */
#define SKIPS_BOUNDED 200    /* with balance_factor many are passed over */
#define FACTOR_MOST 100000

struct hash_conf {
    uint32_t magic;
    struct wr_template *key;
    enum wr_hash_way way;
    uint32_t factor;             /* balance_factor in thousandths; 0: none */
};
struct hash_state {              /* of a group, in this worker */
    uint32_t magic;
    const struct hash_conf *conf;
    bool stale;                  /* the view has changed */
    struct wr_peer_group *group; /* of the view; NULL: there was none yet */
    struct wr_upstream *u;
    struct wr_loop *loop;
    struct wr_task task;         /* follows the view before an exchange comes */
    struct wr_line_of_weights line;
    struct wr_hash_table table;
    struct wr_hash_load load;
};

extern struct wr_module wr_module_hash;

/* ---- state ---- */

static void free_state(void *arg)
{
    struct hash_state *s = arg;

    wr_weights_clear(&s->line);
    wr_hash_table_end(&s->table);
    wr_hash_load_end(&s->load);
}

static void sync_state(struct hash_state *s, const struct wr_upstream *u,
                       const struct wr_peer_group *g)
{
    s->stale = false;
    if (s->conf->factor > 0)
        wr_hash_load_begin(&s->load, g);
    if (s->conf->way != WR_HASH_PLAIN) {
        wr_hash_table_sync(&s->table, u, g);
        return;
    }
    wr_weights_begin(&s->line);
    for (uint32_t i = 0; i < g->n; i++)
        wr_weights_add(&s->line,
                       atomic_load_explicit(&g->at[i].slot->weight, memory_order_relaxed));
}

static void follow_view(struct wr_task *task)
{
    struct hash_state *s = wr_container(task, struct hash_state, task);

    if (s->stale)
        sync_state(s, s->u, s->group);
}

static bool hash_init(struct wr_upstream *u, struct wr_loop *l)
{
    struct hash_state *s = WR_NEW(u->pool, struct hash_state);

    WR_TYPED(s, HASH_STATE);
    s->conf = WR_CHECK(u->balancer_conf, HASH_CONF);
    s->stale = true;
    s->u = u;
    s->loop = l;
    s->task.run = follow_view;
    wr_hash_table_init(&s->table, s->conf->way, l);
    wr_pool_cleanup(u->pool, free_state, s);
    u->balancer_state = s;
    return true;
}

static void hash_end(struct wr_upstream *u)
{
    struct hash_state *s;

    if (u->balancer_state == NULL)
        return;
    s = WR_CHECK(u->balancer_state, HASH_STATE);
    wr_task_cancel(&s->task);
    wr_hash_table_pause(&s->table);
}

static void hash_changed(struct wr_upstream *u, struct wr_peer_group *g)
{
    struct hash_state *s;

    if (u->balancer_state == NULL)
        return;
    s = WR_CHECK(u->balancer_state, HASH_STATE);
    s->stale = true;
    s->group = g;
    wr_task_wake(s->loop, &s->task);
}

/* ---- picks ---- */

struct pick {
    struct hash_state *state;
    struct wr_peer_group *group;
    struct wr_pick *p;
    struct wr_str key;
    uint32_t skips;              /* how many may still be passed over */
};

static bool is_usable(const struct wr_peer *peer, uint32_t number, void *arg)
{
    const struct pick *k = arg;
    uint32_t factor = k->state->conf->factor;

    return wr_peer_usable(k->p, peer)
        && (factor == 0 || wr_hash_load_allows(&k->state->load, peer, number, factor));
}

/* A try that failed does not count as passed over: its peer was chosen. */
static uint32_t tries_before(const struct wr_exchange *x)
{
    const struct wr_tries *a = x->tries;
    uint32_t tries = a->all.n - a->first;

    return tries > a->stale ? tries - a->stale : 0;
}

static struct wr_peer *plain_pick(struct pick *k)
{
    const struct wr_line_of_weights *line = &k->state->line;
    uint32_t hash = 0, skips = k->skips + tries_before(k->p->x);

    for (uint32_t round = 0; round <= skips && line->sum > 0; round++) {
        uint32_t i;

        hash = wr_place_key(k->key, round, hash);
        i = wr_weights_at(line, hash % line->sum);
        if (is_usable(&k->group->at[i], i, k))
            return &k->group->at[i];
    }
    return NULL;
}

static struct wr_peer *ring_pick(struct pick *k)
{
    const struct wr_ring *r = &k->state->table.ring;
    uint32_t at;

    if (r->n == 0)
        return NULL;
    at = wr_ring_find(r, wr_crc32(0, k->key));
    for (uint32_t i = 0; i <= k->skips; i++) {
        struct wr_peer *peer = wr_hash_member_peer(&k->state->table, k->group, r->owner[at],
                                                   is_usable, k);

        if (peer != NULL)
            return peer;
        at = at + 1 < r->n ? at + 1 : 0;
    }
    return NULL;
}

static struct wr_peer *maglev_pick(struct pick *k)
{
    const struct wr_maglev *m = &k->state->table.maglev;

    for (uint32_t i = 0; i <= k->skips && m->size > 0; i++) {
        uint32_t who = wr_maglev_at(m, wr_hash_stable(k->key, i));
        struct wr_peer *peer = wr_hash_member_peer(&k->state->table, k->group, who, is_usable, k);

        if (peer != NULL)
            return peer;
    }
    return NULL;
}

static struct wr_peer *(*const ways[])(struct pick *k) = {
    [WR_HASH_PLAIN] = plain_pick,
    [WR_HASH_RING] = ring_pick,
    [WR_HASH_MAGLEV] = maglev_pick,
};

static struct wr_peer *hash_pick(struct wr_upstream *u, struct wr_peer_group *g, struct wr_pick *p)
{
    struct hash_state *s = WR_CHECK(u->balancer_state, HASH_STATE);
    struct pick k = { .state = s, .group = g, .p = p,
                      .skips = s->conf->factor > 0 ? SKIPS_BOUNDED : SKIPS };
    struct wr_peer *peer;

    if (p->backup || g->n == 0)
        return wr_round_robin.pick(u, g, p);
    if (s->stale)
        sync_state(s, u, g);
    wr_hash_table_finish(&s->table);
    k.key = wr_template_str(p->x, s->conf->key);
    if (k.key.n == 0)
        return wr_round_robin.pick(u, g, p);
    if (s->conf->factor > 0)
        wr_hash_load_look(&s->load, g);
    peer = ways[s->conf->way](&k);
    return peer != NULL ? peer : wr_round_robin.pick(u, g, p);
}

static const struct wr_balancer_ops hash = {
    .name = "hash",
    .init = hash_init,
    .pick = hash_pick,
    .changed = hash_changed,
    .end = hash_end,
    .no_backup = true,
};

/* ---- directive ---- */

/* "1.25": more than 1, at most three digits after the point. */
static bool parse_factor(struct wr_str text, uint32_t *thousandths)
{
    static const uint32_t scale[] = { 1000, 100, 10, 1 };
    struct wr_str fraction = text, whole = wr_str_cut(&fraction, '.');
    uint64_t a, b = 0;

    if (!wr_str_u64(whole, &a) || a > FACTOR_MOST / 1000 || fraction.n > 3)
        return false;
    if (fraction.n > 0 && !wr_str_u64(fraction, &b))
        return false;
    *thousandths = (uint32_t)(a * 1000 + b * scale[fraction.n]);
    return *thousandths > 1000 && *thousandths <= FACTOR_MOST;
}

static bool set_param(struct wr_cf *cf, uint32_t i, struct hash_conf *c)
{
    struct wr_str word = wr_cf_arg(cf, i), value;

    if (c->way == WR_HASH_PLAIN && wr_str_is(word, "consistent")) {
        c->way = WR_HASH_RING;
        return true;
    }
    if (c->way == WR_HASH_PLAIN && wr_str_is(word, "maglev")) {
        c->way = WR_HASH_MAGLEV;
        return true;
    }
    if (!wr_param(word, "balance_factor", &value))
        return wr_cf_error_hint(cf, i, c->way == WR_HASH_PLAIN
                                       ? "it takes consistent or maglev, and balance_factor=1.25"
                                       : "it takes one of consistent and maglev, and "
                                         "balance_factor=1.25",
                                "invalid parameter \"" WR_FMT "\"", WR_ARG(word));
    if (parse_factor(value, &c->factor))
        return true;
    return wr_cf_error_hint(cf, i, "it takes a number above 1, at most 100: 1.25",
                            "invalid parameter \"" WR_FMT "\"", WR_ARG(word));
}

static bool set_hash(struct wr_cf *cf, void *conf WR_UNUSED)
{
    struct hash_conf *c = WR_NEW(cf->pool, struct hash_conf);

    WR_TYPED(c, HASH_CONF);
    c->key = wr_template_new(cf, 1, wr_cf_arg(cf, 1));
    if (c->key == NULL)
        return false;
    for (uint32_t i = 2; i <= cf->nargs; i++)
        if (!set_param(cf, i, c))
            return false;
    return wr_upstream_balance(cf, &hash, c);
}

static const struct wr_directive directives[] = {
    WR_WORDS("hash", WR_ANY | WR_LV_UPSTREAM | WR_MULTI, 1, 3, set_hash,
             "KEY [consistent | maglev] [balance_factor=1.25]", NULL,
              "chooses the server by the hash of a text: consistent or maglev moves few texts when "
              "servers change; balance_factor=1.25 limits each server's part of the connections"),
    { 0 }
};

struct wr_module wr_module_hash = {
    .name = "hash",
    .layers = WR_ANY,
    .directives = directives,
};
