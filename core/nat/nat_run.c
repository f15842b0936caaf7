/* nat_run: the work of the nat process: takes the lists of peers that the keeper sends, makes the
 * rules of all servers from them and hands them to the kernel, in one transaction for each change.
 * Called by core/app/nat_process.c. The death of this process changes nothing in the kernel; the
 * next one reads what is there. */
#include "nat/nat_impl.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define AGAIN_MS 1000        /* after a transaction that failed */
#define FLOWS_MS 500         /* between two looks whether a flow is left */
#define TEXT_MAX (256u << 20)

static struct {
    struct wr_nat_start start;
    const struct wr_nat_conf *conf;
    struct wr_nat_kernel *kernel;
    struct wr_nat_list *lists;   /* by group */
    char table[WR_NAT_NAME_MAX], owner[WR_NAT_NAME_MAX], instance[100];
    struct wr_pool *pool;        /* of what the kernel has */
    struct wr_nat_names has;
    bool listed;                 /* `has` is right */
    struct { uint64_t id, filled; } *maps; /* as written last */
    uint32_t nmaps;
    bool committing, told, owns; /* told: that it cannot commit */
    uint32_t number;
    enum { WORKS, QUITS, ENDED } state;
    uint64_t until_ms;           /* while it quits; 0: no limit */
    struct wr_task task;
    struct wr_timer timer;
    struct wr_watch watch;
    char why[600];
} me;

/* ---- what the kernel has ---- */

static bool run_text(struct wr_text *t)
{
    const char *text, *why = "its rules are too long";

    if (wr_text_cstr(t, &text) && wr_nat_kernel_run(me.kernel, text, &why))
        return true;
    (void)snprintf(me.why, sizeof(me.why), "%s", why);
    return false;
}

static bool list_names(void)
{
    const char *why;

    wr_pool_free(me.pool);
    me.pool = wr_pool_new(0);
    me.listed = wr_nat_kernel_run(me.kernel, "list chains inet", &why);
    if (me.listed)
        wr_nat_names_read(wr_str_c(wr_nat_kernel_output(me.kernel)), wr_str_c(me.table), me.pool,
                          &me.has);
    else
        (void)snprintf(me.why, sizeof(me.why), "%s", why);
    return me.listed;
}

/* ---- the plan ---- */

static bool is_complete(void)
{
    for (uint32_t i = 0; i < me.conf->groups.n; i++)
        if (!me.lists[i].known)
            return false;
    return true;
}

static uint64_t filled_before(uint64_t id)
{
    for (uint32_t i = 0; i < me.nmaps; i++)
        if (me.maps[i].id == id)
            return me.maps[i].filled;
    return 0;
}

/* The peers of the list that are of that family. */
static struct wr_nat_list peers_of(struct wr_pool *pool, const struct wr_nat_list *all, int family)
{
    struct wr_nat_list l = { .at = WR_NEW_ARRAY(pool, struct wr_nat_peer, all->n + 1) };

    for (uint32_t i = 0; i < all->n; i++)
        if (all->at[i].addr.sa.sa_family == family)
            l.at[l.n++] = all->at[i];
    return l;
}

static void add_chain(struct wr_nat_plan *p, struct wr_pool *pool, const struct wr_nat_server *sv,
                      int family)
{
    struct wr_nat_list l = peers_of(pool, &me.lists[sv->group], family);
    struct wr_nat_chain *c = &p->chains[p->n];
    uint32_t *slot;
    bool serves = false;

    for (uint32_t i = 0; i < sv->listens.n; i++)
        serves = serves || wr_nat_serves(sv->listens.at[i], family);
    if (!serves)
        return;
    *c = (struct wr_nat_chain){ .sv = sv, .family = family, .peers = l.at, .npeers = l.n,
                                .slots = wr_nat_slots(l.at, l.n) };
    slot = WR_NEW_ARRAY(pool, uint32_t, c->slots);
    wr_nat_slots_fill(l.at, l.n, slot, c->slots);
    c->slot = slot;
    wr_nat_chain_name(c);
    c->filled = filled_before(c->id);
    p->n++;
}

static struct wr_nat_plan empty_plan(void)
{
    return (struct wr_nat_plan){ .table = wr_str_c(me.table), .owner = wr_str_c(me.owner),
                                 .instance = wr_str_c(me.instance), .has = &me.has };
}

static struct wr_nat_plan make_plan(struct wr_pool *pool)
{
    struct wr_nat_plan p = empty_plan();

    p.takes = me.committing;
    p.chains = WR_NEW_ARRAY(pool, struct wr_nat_chain, 2 * (size_t)me.conf->servers.n);
    for (uint32_t i = 0; i < me.conf->servers.n; i++) {
        add_chain(&p, pool, &me.conf->servers.at[i], AF_INET);
        add_chain(&p, pool, &me.conf->servers.at[i], AF_INET6);
    }
    return p;
}

/* The kernel has what the plan says: remember it. */
static void note_applied(const struct wr_nat_plan *p)
{
    me.maps = wr_realloc(me.maps, (p->n + 1) * sizeof(*me.maps));
    me.nmaps = p->n;
    for (uint32_t i = 0; i < p->n; i++) {
        me.maps[i].id = p->chains[i].id;
        me.maps[i].filled = p->chains[i].filled;
    }
}

/* `has` is read again after a change of chains only: that is rare, and other tables may be long. */
static bool has_new_chains(const struct wr_nat_plan *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        bool was = false;

        for (uint32_t k = 0; k < me.nmaps; k++)
            was = was || me.maps[k].id == p->chains[i].id;
        if (!was)
            return true;
    }
    return p->n != me.nmaps;
}

static bool write_plan(struct wr_pool *pool, bool anew)
{
    struct wr_nat_plan p = make_plan(pool);
    struct wr_text t = wr_text_grow(pool, 1u << 16, TEXT_MAX);
    bool relist;

    p.anew = anew;
    for (uint32_t i = 0; anew && i < p.n; i++)
        p.chains[i].filled = 0;
    wr_nat_rules_write(&t, &p);
    if (!run_text(&t))
        return false;
    relist = has_new_chains(&p);
    note_applied(&p);
    me.listed = !relist && !p.takes;
    return true;
}

/* A table that an earlier release has left may have other maps: then all of it is replaced. */
static bool apply_rules(void)
{
    struct wr_pool *pool = wr_pool_new(0);
    bool ok = (me.listed || list_names()) && write_plan(pool, false);

    if (!ok && me.committing && me.listed && me.has.at.n > 0)
        ok = write_plan(pool, true);
    me.listed = me.listed && ok;
    me.nmaps = ok ? me.nmaps : 0;
    wr_pool_free(pool);
    return ok;
}

/* ---- work ---- */

/* Another generation or another master's process may own the table now. */
static bool is_owner(void)
{
    return list_names() && wr_nat_names_have(&me.has, wr_str_c(me.owner));
}

static void tell_failure(void)
{
    if (me.committing) {
        if (!me.told)
            wr_say(WR_LOG_ERROR, 0, "%s", me.why);
        if (!me.told)
            me.start.told->failed(me.why);
        me.told = true;
    } else if (is_owner()) {
        wr_say(WR_LOG_ERROR, 0, "%s", me.why);
    } else {
        me.owns = false;
        wr_say(WR_LOG_NOTICE, 0, "table \"%s\" of the kernel belongs to another generation",
               me.table);
        return;
    }
    wr_timer_set(me.start.loop, &me.timer, AGAIN_MS);
}

static void do_work(void)
{
    if ((!me.owns && !me.committing) || !is_complete())
        return;
    if (!apply_rules()) {
        tell_failure();
        return;
    }
    me.owns = true;
    if (me.committing)
        me.start.told->committed(me.number);
    me.committing = false;
}

/* ---- lists ---- */

static bool is_configured(const struct wr_upstream *u, const struct wr_addr *a)
{
    for (uint32_t i = 0; i < u->servers.n; i++)
        if (!u->servers.at[i].named && wr_addr_eq(&u->servers.at[i].addr, a))
            return true;
    return false;
}

static bool is_own_address(const struct wr_addr *a)
{
    struct wr_addr any_port = *a;

    wr_addr_set_port(&any_port, 0);
    return wr_socket_probe(&any_port, SOCK_STREAM);
}

/* Drops addresses of names that would lead clients to services of this machine. */
static void refuse_addresses(const struct wr_upstream *u, struct wr_nat_list *l)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < l->n; i++) {
        const struct wr_addr *a = &l->at[i].addr;
        char buf[WR_ADDR_TEXT_MAX];
        struct wr_text t = wr_text_on(buf, sizeof(buf));

        if (is_configured(u, a) || (wr_nat_address_allowed(me.start.conf, a)
                                    && !is_own_address(a))) {
            l->at[n++] = l->at[i];
            continue;
        }
        wr_addr_text(a, &t);
        wr_say(WR_LOG_ERROR, 0, "upstream \"" WR_FMT "\": address " WR_FMT " of a name is not used "
               "for \"forward nat\": it leads to this machine", WR_ARG(u->name),
               WR_ARG(wr_text_view(&t)));
    }
    l->n = n;
}

static void take_list(struct wr_str text)
{
    uint32_t group;
    struct wr_nat_list l;

    if (!wr_nat_wire_read(text, &group, &l))
        return;
    if (group >= me.conf->groups.n) {
        free(l.at);
        return;
    }
    refuse_addresses(me.conf->groups.at[group], &l);
    free(me.lists[group].at);
    me.lists[group] = l;
}

static void take_lists(void)
{
    char *buf = wr_malloc(WR_NAT_WIRE_MAX);
    ssize_t n;

    while ((n = recv(me.start.keeper, buf, WR_NAT_WIRE_MAX, MSG_DONTWAIT)) > 0)
        take_list(wr_str_of(buf, (size_t)n));
    if (n == 0)
        wr_watch_del(me.start.loop, me.start.keeper); /* the master is gone */
    free(buf);
}

/* ---- the end ---- */

static bool is_ours(const struct wr_nat_flow *f, void *arg WR_UNUSED)
{
    for (uint32_t i = 0; i < me.conf->servers.n; i++) {
        const struct wr_nat_server *sv = &me.conf->servers.at[i];

        for (uint32_t k = 0; k < sv->listens.n; k++) {
            const struct wr_listener *l = sv->listens.at[k];

            if (wr_nat_serves(l, f->to.sa.sa_family)
                && wr_addr_port(&l->addr) == wr_addr_port(&f->to)
                && (wr_addr_wildcard(&l->addr) || wr_addr_eq(&l->addr, &f->to)))
                return true;
        }
    }
    return false;
}

static void end_work(void)
{
    me.state = ENDED;
    me.owns = me.committing = false;
    wr_timer_off(me.start.loop, &me.timer);
    me.start.told->ended();
}

/* Does nothing if the table is another owner's. */
static void end_table(void)
{
    char buf[4 * WR_NAT_NAME_MAX];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    struct wr_nat_plan p = empty_plan();

    wr_nat_rules_end(&t, &p);
    if (!run_text(&t) && is_owner())
        wr_say(WR_LOG_ERROR, 0, "%s", me.why);
    end_work();
}

static void look_for_flows(void)
{
    if ((me.until_ms > 0 && wr_now() >= me.until_ms) || wr_nat_kernel_flows(is_ours, NULL) <= 0)
        end_table();
    else
        wr_timer_set(me.start.loop, &me.timer, FLOWS_MS);
}

void wr_nat_quit(uint64_t most_ms)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text t = wr_text_grow(pool, 4096, TEXT_MAX);
    struct wr_nat_plan p = empty_plan();

    if (me.state != WORKS) {
        wr_pool_free(pool);
        return;
    }
    me.state = QUITS;
    me.until_ms = most_ms > 0 ? wr_now() + most_ms : 0;
    if (!me.conf->keep && is_owner()) {
        wr_nat_rules_clear(&t, &p);
        if (run_text(&t))
            look_for_flows();
        else
            end_work();
    } else {
        end_work();
    }
    wr_pool_free(pool);
}

void wr_nat_stop(void)
{
    if (me.conf->keep)
        end_work();
    else
        end_table();
}

/* ---- the beginning ---- */

static void run_task(struct wr_task *t WR_UNUSED)
{
    take_lists();
    if (me.state == WORKS)
        do_work();
    else if (me.state == QUITS)
        look_for_flows();
}

static void on_readable(struct wr_watch *w WR_UNUSED, uint32_t events WR_UNUSED)
{
    wr_task_wake(me.start.loop, &me.task);
}

void wr_nat_commit(uint32_t number)
{
    me.committing = true;
    me.told = false;
    me.number = number;
    me.listed = false;
    me.nmaps = 0;
    wr_task_wake(me.start.loop, &me.task);
}

/* The table is named by the pid file: it is the same in the next binary, and after a start. */
static void name_all(const struct wr_nat_start *s)
{
    size_t n = wr_min(strlen(s->instance), sizeof(me.instance) - 1);

    (void)snprintf(me.table, sizeof(me.table), "weir_%08x",
                   (unsigned)wr_hash_stable(wr_str_c(s->instance), 0));
    (void)snprintf(me.owner, sizeof(me.owner), "owner_%u_%016llx", s->generation,
                   (unsigned long long)s->run);
    for (size_t i = 0; i < n; i++)
        me.instance[i] = wr_is_word_char(s->instance[i]) || strchr("/.-", s->instance[i]) != NULL
                       ? s->instance[i] : '_';
}

bool wr_nat_begin(const struct wr_nat_start *s)
{
    me.start = *s;
    me.conf = wr_nat_conf_of(s->conf);
    me.lists = wr_calloc(me.conf->groups.n + 1, sizeof(*me.lists));
    name_all(s);
    me.task.run = run_task;
    me.timer.task = &me.task;
    me.watch.on_event = on_readable;
    me.kernel = wr_nat_kernel_new();
    if (me.kernel == NULL)
        return false;
    if (!list_names()) {
        wr_say(WR_LOG_EMERG, 0, "%s", me.why);
        return false;
    }
    if (!wr_watch_add(s->loop, s->keeper, &me.watch, EPOLLIN)) {
        wr_say(WR_LOG_EMERG, errno, "epoll_ctl() of the channel from the keeper failed");
        return false;
    }
    (void)send(s->keeper, "?", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    return true;
}

void wr_nat_free(void)
{
    for (uint32_t i = 0; i < me.conf->groups.n; i++)
        free(me.lists[i].at);
    free(me.lists);
    free(me.maps);
    wr_pool_free(me.pool);
    wr_nat_kernel_free(me.kernel);
    wr_timer_off(me.start.loop, &me.timer);
    wr_task_cancel(&me.task);
}
