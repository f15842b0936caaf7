/* nat_keeper: the keeper's part. Whenever the servers of a group or their health change it tells
 * the nat process all peers of that group. Addresses are those that this process knows itself, from
 * the configuration and from its own queries; only the health comes from the zone. */
#include "nat/nat_impl.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define AGAIN_MS 50          /* the other side has not read yet */

static struct {
    int fd;                      /* -1: no nat process */
    const struct wr_nat_conf *conf; /* NULL: not committed */
    struct wr_loop *loop;        /* NULL: not started */
    bool *changed;               /* by group: to be told */
    struct wr_task task, asked;
    struct wr_timer timer;
    struct wr_watch watch;
} me = { .fd = -1 };

void wr_nat_channel(int fd)
{
    me.fd = fd;
}

/* ---- the peers of a group ---- */

struct walk {
    struct wr_upstream *u;
    struct wr_peer *members;     /* as published, in the order of the servers */
    uint32_t nmembers, next;
    struct wr_nat_peer *out;
    uint32_t n;
};

static bool is_member(const struct wr_peer *p, uint64_t key, const struct wr_addr *addr)
{
    struct wr_addr a;

    return p->slot->key == key && wr_slot_addr(p->slot, &a) && wr_addr_eq(&a, addr);
}

/* NULL: it has no slot (the zone is full). Mostly it is the next one. */
static const struct wr_peer_slot *find_slot(struct walk *w, uint64_t key,
                                            const struct wr_addr *addr)
{
    for (uint32_t i = 0; i < w->nmembers; i++) {
        uint32_t at = (w->next + i) % w->nmembers;

        if (is_member(&w->members[at], key, addr)) {
            w->next = at + 1;
            return w->members[at].slot;
        }
    }
    return NULL;
}

static void add_peer(struct walk *w, const struct wr_server *sv, const struct wr_name_addr *a,
                     uint16_t first)
{
    const struct wr_peer_slot *s = find_slot(w, sv->key, &a->addr);
    uint32_t bad = WR_HEALTH_CHECK | WR_HEALTH_UNCHECKED;

    if (s == NULL || w->n == WR_NAT_PEERS_MAX || (sv->backup && a->priority > first))
        return;
    w->out[w->n++] = (struct wr_nat_peer){
        .addr = a->addr,
        .weight = sv->weight == 1 && a->weight > 0 ? a->weight : sv->weight,
        .backup = sv->backup || a->priority > first,
        .usable = !sv->down && !sv->drain && (atomic_load(&s->health) & bad) == 0,
    };
}

static void read_members(struct walk *w)
{
    uint32_t room = wr_upstream_members(w->u, NULL, 0);

    w->members = wr_calloc(room + 1, sizeof(*w->members));
    w->nmembers = wr_min(wr_upstream_members(w->u, w->members, room), room);
}

static struct walk walk_group(struct wr_upstream *u)
{
    struct walk w = { .u = u, .out = wr_calloc(WR_NAT_PEERS_MAX, sizeof(*w.out)) };

    read_members(&w);
    for (uint32_t i = 0; i < u->servers.n; i++) {
        const struct wr_server *sv = &u->servers.at[i];

        if (!sv->named)
            add_peer(&w, sv, &(struct wr_name_addr){ .addr = sv->addr }, 0);
        for (uint32_t k = 0; sv->named && sv->known != NULL && k < sv->known->n; k++)
            add_peer(&w, sv, &sv->known->at[k], sv->known->at[0].priority);
    }
    free(w.members);
    return w;
}

/* ---- telling ---- */

/* False: the other side must read first. */
static bool tell_group(uint32_t group)
{
    struct walk w = walk_group(me.conf->groups.at[group]);
    size_t size;
    char *text = wr_nat_wire_write(group, w.out, w.n, &size);
    bool ok = send(me.fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0
           || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);

    free(text);
    free(w.out);
    return ok;
}

static void tell_changed(struct wr_task *t WR_UNUSED)
{
    for (uint32_t i = 0; i < me.conf->groups.n; i++) {
        if (!me.changed[i])
            continue;
        me.changed[i] = !tell_group(i);
        if (me.changed[i]) {
            if (me.loop != NULL)
                wr_timer_set(me.loop, &me.timer, AGAIN_MS);
            return;
        }
    }
}

static void group_changed(struct wr_upstream *u)
{
    for (uint32_t i = 0; me.conf != NULL && i < me.conf->groups.n; i++)
        me.changed[i] |= me.conf->groups.at[i] == u;
    if (me.loop != NULL)
        wr_task_wake(me.loop, &me.task);
}

static void tell_all(void)
{
    for (uint32_t i = 0; i < me.conf->groups.n; i++)
        me.changed[i] = true;
    tell_changed(NULL);
}

/* A nat process that begins asks by a message of any content. */
static void take_questions(struct wr_task *t WR_UNUSED)
{
    char buf[16];
    bool asked = false;
    ssize_t n;

    while ((n = recv(me.fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
        asked = true;
    if (n == 0)
        wr_watch_del(me.loop, me.fd); /* the master is gone */
    if (asked)
        tell_all();
}

static void on_question(struct wr_watch *w WR_UNUSED, uint32_t events WR_UNUSED)
{
    wr_task_wake(me.loop, &me.asked);
}

/* ---- hooks of the keeper ---- */

/* After the hook of the upstreams, which has published. */
static void nat_commit(struct wr_conf *conf, uint64_t run WR_UNUSED, bool learn WR_UNUSED)
{
    if (me.fd < 0 || !wr_nat_wanted(conf))
        return;
    if (me.conf == NULL) {
        me.conf = wr_nat_conf_of(conf);
        me.changed = wr_calloc(me.conf->groups.n, sizeof(*me.changed));
        for (uint32_t i = 0; i < me.conf->groups.n; i++)
            me.conf->groups.at[i]->changed = group_changed;
    }
    tell_all();
}

static void nat_start(struct wr_conf *conf WR_UNUSED, struct wr_loop *loop)
{
    if (me.conf == NULL)
        return;
    me.loop = loop;
    me.task.run = tell_changed;
    me.asked.run = take_questions;
    me.timer.task = &me.task;
    me.watch.on_event = on_question;
    if (!wr_watch_add(loop, me.fd, &me.watch, EPOLLIN))
        wr_say(WR_LOG_ALERT, errno, "epoll_ctl() of the channel to the nat process failed");
    tell_changed(NULL);
}

static void nat_stop(void)
{
    if (me.loop != NULL) {
        wr_timer_off(me.loop, &me.timer);
        wr_task_cancel(&me.task);
        wr_task_cancel(&me.asked);
    }
    free(me.changed);
    me.changed = NULL;
    me.conf = NULL;
    me.loop = NULL;
}

const struct wr_keeper_hooks wr_nat_keeper = {
    .commit = nat_commit,
    .start = nat_start,
    .stop = nat_stop,
};
