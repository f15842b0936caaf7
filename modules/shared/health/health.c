/* health: the keeper's work for active health checks (docs/decisions/keeper.md). Each server of a
 * group with health_check has a job for each of them: a task, a timer and a link. The result of a
 * job is counted here; what it means for the server is a bit of its slot, which all workers see at
 * once. The lists of servers follow what is published. All of it belongs to this process alone. */
#include "health_impl.h"

#define LOOK_MS 200            /* how often the published servers are looked at */
#define BITS (WR_HEALTH_CHECK | WR_HEALTH_UNCHECKED)

struct job {                   /* one check of one server */
    struct wr_task task;
    struct wr_timer timer;     /* the deadline of a conversation, or the begin of the next one */
    struct wr_check_run run;
    struct wr_check_count count;
    struct wr_check_said said;
    struct member *member;
    uint64_t due_ms;           /* begin of the conversation, without jitter */
    bool busy;                 /* in a conversation */
};
struct member {                /* a server that is checked */
    struct group *group;
    struct wr_peer peer;
    struct wr_addr addr;
    bool seen;                 /* in the list that was read last */
    struct job *jobs;          /* one for each check of the group */
};
struct group {
    struct wr_upstream *u;
    struct wr_check **checks;
    uint32_t nchecks;
    struct member **at;        /* by number of the slot */
    uint32_t n;                /* length of `at` */
    struct wr_peer *peers;     /* room for what is published */
    uint32_t room;
};

static struct {
    struct wr_conf *conf;      /* NULL: not started */
    struct wr_loop *loop;
    struct group *groups;
    uint32_t n;
    struct wr_task look;
    struct wr_timer timer;
} me;

/* ---- results ---- */

static uint32_t bits_of(const struct member *m)
{
    uint32_t bits = 0;

    for (uint32_t i = 0; i < m->group->nchecks; i++) {
        enum wr_check_state state = m->jobs[i].count.state;

        bits |= state == WR_CHECK_DOWN ? WR_HEALTH_CHECK : 0;
        bits |= state == WR_CHECK_UNKNOWN ? WR_HEALTH_UNCHECKED : 0;
    }
    return bits;
}

/* False: another keeper owns the group now. */
static bool write_bits(const struct member *m)
{
    uint32_t bits = bits_of(m);

    return wr_peer_health_set(m->group->u, &m->peer, bits, BITS & ~bits);
}

static void log_state(const struct job *j, const char *state)
{
    const struct member *m = j->member;
    const struct wr_check *c = j->run.check;
    char addr[WR_ADDR_TEXT_MAX], which[512] = "";
    struct wr_text a = wr_text_on(addr, sizeof(addr));

    wr_addr_text(&m->addr, &a);
    if (m->group->nchecks > 1)
        (void)snprintf(which, sizeof(which), " (health_check in %s:%u)", c->node->file->path,
                       c->node->words[0].line);
    wr_say(WR_LOG_NOTICE, 0, "health check of \"" WR_FMT "\" in upstream \"" WR_FMT "\": is %s: "
           WR_FMT "%s", WR_ARG(wr_text_view(&a)), WR_ARG(m->group->u->name), state,
           WR_ARG(wr_text_view(&j->run.talk.why)), which);
}

static void take_result(struct job *j, enum wr_check_result result)
{
    const struct wr_check *c = j->run.check;
    struct wr_check_count before = j->count;
    bool passed = result == WR_CHECK_PASSED, changed;

    if (result == WR_CHECK_SKIPPED)
        return;
    changed = wr_check_counted(&j->count, passed, c->fails, c->passes);
    if (changed && !write_bits(j->member)) {
        j->count = before; /* say so if this keeper becomes the owner again */
        return;
    }
    if (changed)
        log_state(j, j->count.state == WR_CHECK_UP ? "up" : "down");
    if (!passed && j->count.state == WR_CHECK_DOWN
        && wr_check_reason_new(&j->said, wr_text_view(&j->run.talk.why), changed, wr_now()))
        log_state(j, "still down");
}

/* ---- jobs ---- */

static void plan_next(struct job *j)
{
    const struct wr_check *c = j->run.check;
    uint64_t now = wr_now(), at;

    j->due_ms = wr_max(j->due_ms + c->interval_ms, now);
    at = j->due_ms + (c->jitter_ms > 0 ? wr_random() % (c->jitter_ms + 1) : 0);
    wr_timer_set(me.loop, &j->timer, wr_max(at - now, (uint64_t)1));
}

static void end_talk(struct job *j, enum wr_check_result result)
{
    bool keep = result == WR_CHECK_PASSED && j->run.talk.keep && j->run.check->conf.keep;

    take_result(j, result);
    wr_check_run_end(&j->run, keep);
    j->busy = false;
    plan_next(j);
}

static void begin_talk(struct job *j)
{
    enum wr_check_result result;

    /* Another keeper checks these servers now; this one may become the owner again. */
    if (!wr_peer_health_set(j->member->group->u, &j->member->peer, 0, 0)) {
        wr_check_run_end(&j->run, false);
        plan_next(j);
        return;
    }
    j->busy = true;
    result = wr_check_run_begin(&j->run);
    if (result != WR_CHECK_WAITS)
        end_talk(j, result);
}

static void run_job(struct wr_task *t)
{
    struct job *j = wr_container(t, struct job, task);
    enum wr_check_result result;

    if (!j->busy) {
        if (j->timer.fired)
            begin_talk(j);
        else
            wr_check_run_look(&j->run);
        return;
    }
    result = wr_check_run_step(&j->run);
    if (result != WR_CHECK_WAITS)
        end_talk(j, result);
}

/* The servers' first checks are spread over the interval; those that must pass before the server is
 * used begin soon. */
static uint64_t first_delay(const struct job *j, bool soon)
{
    uint64_t hash = wr_addr_hash(&j->member->addr) ^ j->member->peer.slot->key;
    uint64_t span = soon ? wr_min(j->run.check->interval_ms, (uint64_t)LOOK_MS)
                         : j->run.check->interval_ms;

    return 1 + (hash ^ hash >> 32) % wr_max(span, (uint64_t)1);
}

/* The state as the zone has it, of a keeper before or of another one. Which of several checks has
 * failed is not known: all have to pass. */
static void read_state(struct job *j)
{
    uint32_t health = atomic_load_explicit(&j->member->peer.slot->health, memory_order_relaxed);

    j->count.streak = 0;
    j->count.state = (health & WR_HEALTH_CHECK) != 0 ? WR_CHECK_DOWN
                   : j->run.check->mandatory && (health & WR_HEALTH_UNCHECKED) != 0
                   ? WR_CHECK_UNKNOWN : WR_CHECK_UP;
}

static void job_init(struct job *j, struct member *m, const struct wr_check *c, bool anew)
{
    uint64_t delay;

    j->member = m;
    j->task.run = run_job;
    j->timer.task = &j->task;
    j->run = (struct wr_check_run){ .loop = me.loop, .task = &j->task, .timer = &j->timer,
                                    .check = c, .addr = m->addr };
    if (c->port != 0)
        wr_addr_set_port(&j->run.addr, c->port);
    read_state(j);
    delay = first_delay(j, anew || j->count.state == WR_CHECK_UNKNOWN);
    j->due_ms = wr_now() + delay;
    wr_timer_set(me.loop, &j->timer, delay);
}

/* ---- servers ---- */

static void member_free(struct member *m)
{
    for (uint32_t i = 0; i < m->group->nchecks; i++) {
        struct job *j = &m->jobs[i];

        wr_check_run_end(&j->run, false);
        wr_timer_off(me.loop, &j->timer);
        wr_task_cancel(&j->task);
    }
    free(m->jobs);
    free(m);
}

static struct member *member_new(struct group *g, const struct wr_peer *p,
                                 const struct wr_addr *addr, bool anew)
{
    struct member *m = wr_calloc(1, sizeof(*m));

    m->group = g;
    m->peer = *p;
    m->addr = *addr;
    m->jobs = wr_calloc(g->nchecks, sizeof(*m->jobs));
    for (uint32_t i = 0; i < g->nchecks; i++)
        job_init(&m->jobs[i], m, g->checks[i], anew);
    (void)write_bits(m); /* clears what a check left that is not configured any more */
    return m;
}

static void make_room(struct group *g, uint32_t n)
{
    if (n <= g->n)
        return;
    g->at = wr_realloc(g->at, n * sizeof(struct member *));
    for (; g->n < n; g->n++)
        g->at[g->n] = NULL;
}

/* The server is published: make its jobs if it is new. Servers marked as down are not checked. */
static void see_peer(struct group *g, const struct wr_peer *p, bool anew)
{
    struct wr_addr addr;
    struct member **m;

    if ((atomic_load_explicit(&p->slot->down, memory_order_relaxed) & WR_DOWN_CONF) != 0
        || !wr_slot_addr(p->slot, &addr))
        return;
    make_room(g, p->index + 1);
    m = &g->at[p->index];
    if (*m != NULL && (*m)->peer.generation != p->generation) {
        member_free(*m);
        *m = NULL;
    }
    if (*m == NULL)
        *m = member_new(g, p, &addr, anew);
    (*m)->seen = true;
}

static uint32_t read_members(struct group *g)
{
    uint32_t n = wr_upstream_members(g->u, g->peers, g->room);

    while (n > g->room) {
        g->room = n;
        g->peers = wr_realloc(g->peers, n * sizeof(*g->peers));
        n = wr_upstream_members(g->u, g->peers, g->room);
    }
    return n;
}

static void look_group(struct group *g, bool anew)
{
    uint32_t n = read_members(g);

    for (uint32_t i = 0; i < n; i++)
        see_peer(g, &g->peers[i], anew);
    for (uint32_t i = 0; i < g->n; i++) {
        struct member *m = g->at[i];

        if (m != NULL && !m->seen) {
            member_free(m);
            g->at[i] = NULL;
        } else if (m != NULL) {
            m->seen = false;
        }
    }
}

static void look_all(struct wr_task *t WR_UNUSED)
{
    for (uint32_t i = 0; i < me.n; i++)
        look_group(&me.groups[i], true);
    wr_timer_set(me.loop, &me.timer, LOOK_MS);
}

/* ---- groups ---- */

static struct group *group_of(struct wr_upstream *u)
{
    for (uint32_t i = 0; i < me.n; i++)
        if (me.groups[i].u == u)
            return &me.groups[i];
    me.groups = wr_realloc(me.groups, (me.n + 1) * sizeof(*me.groups));
    me.groups[me.n] = (struct group){ .u = u };
    return &me.groups[me.n++];
}

static void make_groups(const struct wr_health_conf *h)
{
    for (uint32_t i = 0; i < h->checks.n; i++) {
        struct wr_check *c = h->checks.at[i];
        struct group *g = group_of(c->u);

        g->checks = wr_realloc(g->checks, (g->nchecks + 1) * sizeof(*g->checks));
        g->checks[g->nchecks++] = c;
    }
}

/* ---- hooks of the keeper ---- */

/* A mandatory check must pass again after a reload, unless it is persistent. */
static void uncheck_group(struct wr_upstream *u)
{
    uint32_t room = wr_upstream_members(u, NULL, 0);
    struct wr_peer *peers = wr_calloc(room, sizeof(*peers));
    uint32_t n = wr_min(wr_upstream_members(u, peers, room), room);

    for (uint32_t i = 0; i < n; i++)
        (void)wr_peer_health_set(u, &peers[i], WR_HEALTH_UNCHECKED, 0);
    free(peers);
}

/* Another keeper has owned the zone meanwhile: its results are newer than ours. */
static void read_all(void)
{
    for (uint32_t i = 0; i < me.n; i++) {
        const struct group *g = &me.groups[i];

        for (uint32_t k = 0; k < g->n; k++)
            for (uint32_t c = 0; g->at[k] != NULL && c < g->nchecks; c++)
                read_state(&g->at[k]->jobs[c]);
    }
}

static void health_commit(struct wr_conf *conf, uint64_t run WR_UNUSED, bool learn)
{
    const struct wr_health_conf *h = wr_health_of(conf);

    if (me.conf == conf) {
        read_all();
        return;
    }
    for (uint32_t i = 0; i < h->checks.n && !learn; i++)
        if (h->checks.at[i]->mandatory && !h->checks.at[i]->persistent)
            uncheck_group(h->checks.at[i]->u);
}

static void health_start(struct wr_conf *conf, struct wr_loop *loop)
{
    const struct wr_health_conf *h = wr_health_of(conf);

    if (h->checks.n == 0)
        return;
    me.conf = conf;
    me.loop = loop;
    me.look.run = look_all;
    me.timer.task = &me.look;
    make_groups(h);
    for (uint32_t i = 0; i < me.n; i++)
        look_group(&me.groups[i], false);
    wr_timer_set(loop, &me.timer, LOOK_MS);
}

static void group_free(struct group *g)
{
    for (uint32_t i = 0; i < g->n; i++)
        if (g->at[i] != NULL)
            member_free(g->at[i]);
    free(g->at);
    free(g->peers);
    free(g->checks);
}

static void health_stop(void)
{
    if (me.conf == NULL)
        return;
    for (uint32_t i = 0; i < me.n; i++)
        group_free(&me.groups[i]);
    free(me.groups);
    me.groups = NULL;
    me.n = 0;
    me.conf = NULL;
    wr_timer_off(me.loop, &me.timer);
    wr_task_cancel(&me.look);
}

static uint64_t health_every(const struct wr_conf *conf)
{
    const struct wr_health_conf *h = wr_health_of(conf);
    uint64_t least = 0;

    for (uint32_t i = 0; i < h->checks.n; i++)
        if (least == 0 || h->checks.at[i]->interval_ms < least)
            least = h->checks.at[i]->interval_ms;
    return least;
}

static const struct wr_keeper_hooks hooks = {
    .commit = health_commit,
    .start = health_start,
    .stop = health_stop,
    .every = health_every,
};

struct wr_module wr_module_health = {
    .name = "health",
    .layers = WR_ANY,
    .conf_size = sizeof(struct wr_health_scope),
    .directives = wr_health_directives,
    .prepare = wr_health_prepare,
    .check = wr_health_check,
    .keeper = &hooks,
};
