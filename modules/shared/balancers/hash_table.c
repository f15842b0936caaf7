/* hash_table: keeps the table of a group in step with the peers. Reading the peers takes a few
 * hundred nanoseconds each; the points of all servers take milliseconds, so they are made by a task
 * in steps while picks go on with the table before. Owned by the balancer hash. */
#include "hash_table.h"


#define STEP_UNITS 512       /* of work between two looks at the clock */
#define STEP_NS 200000       /* of work in a turn */
#define NOBODY UINT32_MAX

/* ---- the peers of the view ---- */

/* A slot has the first part of a very long text. */
static struct wr_str slot_text(const struct wr_upstream *u, const struct wr_peer_slot *s,
                               char copy[static sizeof(s->name)])
{
    memcpy(copy, s->name, sizeof(s->name));
    if (copy[sizeof(s->name) - 2] != 0)
        for (uint32_t i = 0; i < u->servers.n; i++)
            if (u->servers.at[i].key == s->key)
                return u->servers.at[i].text;
    return wr_str_of(copy, strnlen(copy, sizeof(s->name)));
}

static struct wr_placed read_peer(const struct wr_hash_table *t, const struct wr_upstream *u,
                                  const struct wr_peer *peer)
{
    struct wr_placed p = { .weight = atomic_load_explicit(&peer->slot->weight,
                                                          memory_order_relaxed) };
    char copy[sizeof(peer->slot->name)];
    struct wr_str text;
    struct wr_addr addr;

    if (t->way == WR_HASH_MAGLEV && wr_peer_addr(peer, &addr)) {
        p.id = wr_addr_hash(&addr);
        return p;
    }
    text = slot_text(u, peer->slot, copy);
    p.id = wr_hash_stable(text, 0);
    p.base = wr_place_server(text);
    return p;
}

/* ---- members: the peers of one id ---- */

struct finder { uint32_t *at, size; }; /* numbers of members, by id */

static struct finder finder_new(uint32_t n)
{
    struct finder f = { .size = 16 };

    while (f.size < 2 * n)
        f.size *= 2;
    f.at = wr_calloc(f.size, sizeof(*f.at));
    for (uint32_t i = 0; i < f.size; i++)
        f.at[i] = NOBODY;
    return f;
}

/* The place where the id's number is, or belongs. */
static uint32_t *find_place(const struct finder *f, const struct wr_hash_members *m, uint64_t id)
{
    uint32_t i = (uint32_t)id & (f->size - 1);

    while (f->at[i] != NOBODY && m->at[f->at[i]].id != id)
        i = (i + 1) & (f->size - 1);
    return &f->at[i];
}

/* Several lines with one text or one address: in nginx the heaviest counts; addresses add up. */
static struct wr_hash_members make_members(const struct wr_hash_table *t)
{
    struct wr_hash_members m = { .at = wr_calloc((size_t)t->npeers + 1, sizeof(*m.at)) };
    struct finder f = finder_new(t->npeers);

    for (uint32_t i = 0; i < t->npeers; i++) {
        const struct wr_placed *p = &t->peers[i];
        uint32_t *place = find_place(&f, &m, p->id);
        struct wr_placed *known;

        if (*place == NOBODY) {
            *place = m.n;
            m.at[m.n++] = *p;
            continue;
        }
        known = &m.at[*place];
        known->weight = t->way == WR_HASH_MAGLEV ? known->weight + p->weight
                                                 : wr_max(known->weight, p->weight);
    }
    free(f.at);
    return m;
}

static bool is_same(const struct wr_hash_members *a, const struct wr_hash_members *b)
{
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->at[i].id != b->at[i].id || a->at[i].weight != b->at[i].weight)
            return false;
    return true;
}

static void drop_members(struct wr_hash_members *m)
{
    free(m->at);
    *m = (struct wr_hash_members){ .at = NULL };
}

/* ---- which peers of the view each member of the table has ---- */

static void count_part(struct wr_hash_part *part, const struct wr_hash_table *t, uint32_t peer)
{
    if (part->n++ == 0)
        part->turn = peer; /* for the comparison */
    part->even = part->n == 1
              || (part->even && t->peers[peer].weight == t->peers[part->turn].weight);
}

static void bind_peers(struct wr_hash_table *t)
{
    uint32_t *member = wr_calloc((size_t)t->npeers + 1, sizeof(*member)), at = 0;
    struct finder f = finder_new(t->of.n);

    free(t->parts);
    free(t->list);
    t->parts = wr_calloc((size_t)t->of.n + 1, sizeof(*t->parts));
    t->list = wr_calloc((size_t)t->npeers + 1, sizeof(*t->list));
    for (uint32_t i = 0; i < t->of.n; i++)
        *find_place(&f, &t->of, t->of.at[i].id) = i;
    for (uint32_t i = 0; i < t->npeers; i++) {
        member[i] = *find_place(&f, &t->of, t->peers[i].id);
        if (member[i] != NOBODY)
            count_part(&t->parts[member[i]], t, i);
    }
    for (uint32_t i = 0; i < t->of.n; i++) {
        t->parts[i].first = at;
        at += t->parts[i].n;
        t->parts[i].n = t->parts[i].turn = 0;
    }
    for (uint32_t i = 0; i < t->npeers; i++)
        if (member[i] != NOBODY) {
            struct wr_hash_part *part = &t->parts[member[i]];

            t->list[part->first + part->n++] = i;
        }
    free(member);
    free(f.at);
}

/* ---- making the next table ---- */

static bool work_step(struct wr_hash_table *t, uint32_t units)
{
    return t->way == WR_HASH_RING ? wr_ring_step(&t->ring_work, units)
                                  : wr_maglev_step(&t->maglev_work, units);
}

static void stop_work(struct wr_hash_table *t)
{
    wr_task_cancel(&t->task);
    wr_ring_stop(&t->ring_work);
    wr_maglev_stop(&t->maglev_work);
    drop_members(&t->next);
    t->working = false;
}

static void take_table(struct wr_hash_table *t)
{
    wr_ring_free(&t->ring);
    wr_maglev_free(&t->maglev);
    drop_members(&t->of);
    t->ring = t->ring_work.ring;
    t->maglev = t->maglev_work.table;
    t->of = t->next;
    t->ring_work.ring = (struct wr_ring){ .n = 0 };
    t->maglev_work.table = (struct wr_maglev){ .size = 0 };
    t->next = (struct wr_hash_members){ .at = NULL };
    stop_work(t);
    bind_peers(t);
}

/* Memory that is touched for the first time costs many times as much as other: the clock bounds a
 * turn's work, not a number of units. */
static bool work_for_a_turn(struct wr_hash_table *t)
{
    uint64_t end = wr_time_ns() + STEP_NS;
    bool done;

    do
        done = work_step(t, STEP_UNITS);
    while (!done && wr_time_ns() < end);
    return done;
}

static void table_task(struct wr_task *task)
{
    struct wr_hash_table *t = wr_container(task, struct wr_hash_table, task);

    if (work_for_a_turn(t))
        take_table(t);
    else
        wr_task_wake(t->loop, &t->task);
}

static void begin_work(struct wr_hash_table *t, struct wr_hash_members next)
{
    stop_work(t);
    t->next = next;
    t->working = true;
    if (t->way == WR_HASH_RING)
        wr_ring_begin(&t->ring_work, t->next.at, t->next.n);
    else
        wr_maglev_begin(&t->maglev_work, t->next.at, t->next.n);
    wr_task_wake(t->loop, &t->task);
}

/* ---- for hash ---- */

void wr_hash_table_init(struct wr_hash_table *t, enum wr_hash_way way, struct wr_loop *l)
{
    *t = (struct wr_hash_table){ .way = way, .loop = l, .task = { .run = table_task } };
}

void wr_hash_table_pause(struct wr_hash_table *t)
{
    wr_task_cancel(&t->task);
}

void wr_hash_table_end(struct wr_hash_table *t)
{
    stop_work(t);
    wr_ring_free(&t->ring);
    wr_maglev_free(&t->maglev);
    drop_members(&t->of);
    free(t->peers);
    free(t->current);
    free(t->parts);
    free(t->list);
}

void wr_hash_table_sync(struct wr_hash_table *t, const struct wr_upstream *u,
                        const struct wr_peer_group *g)
{
    struct wr_hash_members m;

    free(t->peers);
    free(t->current);
    t->peers = wr_calloc((size_t)g->n + 1, sizeof(*t->peers));
    t->current = wr_calloc((size_t)g->n + 1, sizeof(*t->current));
    t->npeers = g->n;
    for (uint32_t i = 0; i < g->n; i++)
        t->peers[i] = read_peer(t, u, &g->at[i]);
    m = make_members(t);
    bind_peers(t);
    if (is_same(&m, t->working ? &t->next : &t->of)) {
        drop_members(&m);
    } else if (is_same(&m, &t->of)) {
        drop_members(&m);
        stop_work(t);
    } else {
        begin_work(t, m);
    }
}

void wr_hash_table_finish(struct wr_hash_table *t)
{
    if (wr_likely(t->of.n > 0) || !t->working)
        return;
    while (!work_step(t, STEP_UNITS))
        ;
    take_table(t);
}

/* ---- the peers of a member ---- */

static struct wr_peer *take_turn(const struct wr_hash_table *t, struct wr_peer_group *g,
                                 struct wr_hash_part *part, wr_hash_usable *usable, void *arg)
{
    for (uint32_t i = 0; i < part->n; i++) {
        uint32_t at = (part->turn + i) % part->n, peer = t->list[part->first + at];

        if (usable(&g->at[peer], peer, arg)) {
            part->turn = (at + 1) % part->n;
            return &g->at[peer];
        }
    }
    return NULL;
}

/* Records of a service may have different weights. */
static struct wr_peer *take_smooth(const struct wr_hash_table *t, struct wr_peer_group *g,
                                   const struct wr_hash_part *part, wr_hash_usable *usable,
                                   void *arg)
{
    int64_t sum = 0;
    uint32_t best = NOBODY;

    for (uint32_t i = part->first; i < part->first + part->n; i++) {
        uint32_t peer = t->list[i];

        if (!usable(&g->at[peer], peer, arg))
            continue;
        t->current[peer] += t->peers[peer].weight;
        sum += t->peers[peer].weight;
        if (best == NOBODY || t->current[peer] > t->current[best])
            best = peer;
    }
    if (best == NOBODY)
        return NULL;
    t->current[best] -= sum;
    return &g->at[best];
}

struct wr_peer *wr_hash_member_peer(struct wr_hash_table *t, struct wr_peer_group *g,
                                    uint32_t member, wr_hash_usable *usable, void *arg)
{
    struct wr_hash_part *part = &t->parts[member];

    return part->even ? take_turn(t, g, part, usable, arg)
                      : take_smooth(t, g, part, usable, arg);
}
