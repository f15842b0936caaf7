/* idle: connections to peers, and the parked ones of this process. dial takes one instead of
 * connecting, the end of a try parks it again. A parked connection on which anything happens
 * (bytes nobody asked for, FIN, its timeout) is closed. How many are kept is said by `keepalive`;
 * where nothing is said, as many as were in use within the last minute: closing one that the next
 * request would have used costs more than keeping it. */
#include "upstream/upstream.h"

#include <unistd.h>

#define PEAK_MS 30000 /* two such spans make "the last minute" */

static void roll(struct wr_in_use *u, uint64_t now_ms)
{
    uint64_t passed = now_ms - u->since_ms;

    if (passed < PEAK_MS)
        return;
    u->peak[1] = passed < 2 * PEAK_MS ? u->peak[0] : 0;
    u->peak[0] = u->now;
    u->since_ms = now_ms;
}

void wr_in_use_add(struct wr_in_use *u, int delta, uint64_t now_ms)
{
    roll(u, now_ms);
    u->now = (uint32_t)((int)u->now + delta);
    u->peak[0] = wr_max(u->peak[0], u->now);
}

uint32_t wr_idle_limit(struct wr_upstream *u, uint64_t now_ms)
{
    if (!u->keepalive.grows)
        return u->keepalive.connections;
    roll(&u->in_use, now_ms);
    return wr_max(u->keepalive.connections, wr_max(u->in_use.peak[0], u->in_use.peak[1]));
}

static void count_use(struct wr_peer_link *l, int delta)
{
    if (l->u != NULL)
        wr_in_use_add(&l->u->in_use, delta, wr_now());
}

struct wr_peer_link *wr_peer_link_open(struct wr_upstream *u, const struct wr_peer *peer)
{
    struct wr_peer_link *l = wr_calloc(1, sizeof(*l));

    l->u = u;
    l->peer = *peer;
    l->opened_ms = wr_now();
    l->conn.fd = -1;
    wr_connections_add(WR_SERVER, 1);
    count_use(l, 1);
    return l;
}

void wr_peer_link_name(struct wr_peer_link *l, struct wr_str name, struct wr_str alpn)
{
    char *own = wr_calloc(1, name.n + 1 + alpn.n);

    if (name.n > 0)
        memcpy(own, name.p, name.n);
    if (alpn.n > 0)
        memcpy(own + name.n + 1, alpn.p, alpn.n);
    free((void *)(uintptr_t)l->tls_name.p);
    l->tls_name = wr_str_of(own, name.n);
    l->tls_alpn = wr_str_of(own + name.n + 1, alpn.n);
}

static void link_free(struct wr_doomed *d)
{
    struct wr_peer_link *l = wr_container(d, struct wr_peer_link, doomed);

    free((void *)(uintptr_t)l->tls_name.p);
    free(l);
}

static void unpark(struct wr_peer_link *l)
{
    if (l->link.next != NULL) {
        wr_list_remove(&l->link);
        l->u->idle_count--;
        count_use(l, 1);
    }
}

void wr_peer_link_close(struct wr_peer_link *l)
{
    if (l->doomed.free != NULL)
        return;
    unpark(l);
    count_use(l, -1);
    wr_connections_add(WR_SERVER, -1);
    wr_task_cancel(l->conn.loop, &l->task);
    wr_conn_close(&l->conn);
    l->doomed.free = link_free;
    wr_condemn(l->conn.loop, &l->doomed);
}

/* Bytes nobody asked for must not become the reply to what is asked next. The event that tells of
 * them may still wait in this turn; a read that took all it wanted leaves the bit set. */
static bool silent(struct wr_conn *c)
{
    char byte;
    size_t got;

    if ((c->ready & (WR_HUP | WR_ERR)) != 0)
        return false;
    return wr_conn_peek(c, &byte, 1, &got) == WR_IO_AGAIN;
}

static void parked_woken(struct wr_task *t)
{
    struct wr_peer_link *l = wr_container(t, struct wr_peer_link, task);

    /* TLS has messages of its own (session tickets), which say nothing to us. */
    if (l->conn.io->raw || l->conn.deadline.fired || !silent(&l->conn))
        wr_peer_link_close(l);
}

/* A connection of another name, other certificates or other protocols is another one. */
static bool same_tls(const struct wr_peer_link *l, const struct wr_attempts *a)
{
    if (a->tls == NULL || l->tls == NULL)
        return a->tls == NULL && l->tls == NULL;
    return l->tls == a->tls->live && !a->tls->tls.dynamic && wr_str_eq(l->tls_name, a->tls_name)
        && wr_str_eq(l->tls_alpn, a->tls_alpn);
}

static bool serves(const struct wr_peer_link *l, const struct wr_attempts *a,
                   const struct wr_peer *peer, const struct wr_addr *bind)
{
    if (l->peer.index != peer->index || l->peer.generation != peer->generation)
        return false;
    if ((l->u->keepalive.local && l->rows != a->rows) || !same_tls(l, a))
        return false;
    return bind == NULL ? l->bind.len == 0 : wr_addr_eq(&l->bind, bind);
}

struct wr_peer_link *wr_idle_take(const struct wr_attempts *a, const struct wr_peer *peer,
                                const struct wr_addr *bind)
{
    struct wr_upstream *u = a->u;
    struct wr_link *next;

    for (struct wr_link *k = u->idle.next; k != &u->idle; k = next) {
        struct wr_peer_link *l = wr_container(k, struct wr_peer_link, link);

        next = k->next;
        if (!serves(l, a, peer, bind))
            continue;
        if (!silent(&l->conn)) {
            wr_peer_link_close(l);
            continue;
        }
        unpark(l);
        wr_conn_timeout(&l->conn, 0);
        wr_task_cancel(l->conn.loop, &l->task);
        return l;
    }
    return NULL;
}

static bool worth_keeping(const struct wr_peer_link *l)
{
    const struct wr_keepalive *k = &l->u->keepalive;

    return k->connections > 0 && l->requests < k->requests
        && wr_now() - l->opened_ms < k->time_ms && !l->conn.read_eof
        && (l->conn.ready & (WR_HUP | WR_ERR)) == 0;
}

void wr_idle_park(struct wr_peer_link *l)
{
    struct wr_upstream *u = l->u;

    l->requests++;
    if (u == NULL || !worth_keeping(l)) {
        wr_peer_link_close(l);
        return;
    }
    while (u->idle_count >= wr_idle_limit(u, wr_now())) /* the one idle for longest makes room */
        (void)wr_idle_drop_one(u);
    l->task.run = parked_woken;
    wr_conn_retask(&l->conn, &l->task);
    wr_conn_arm(&l->conn);
    wr_conn_timeout(&l->conn, u->keepalive.timeout_ms);
    wr_list_unshift(&u->idle, &l->link);
    u->idle_count++;
    count_use(l, -1);
}

bool wr_idle_drop_one(struct wr_upstream *u)
{
    if (u->idle_count == 0)
        return false;
    wr_peer_link_close(wr_container(u->idle.prev, struct wr_peer_link, link));
    return true;
}

void wr_idle_drop(struct wr_upstream *u)
{
    while (wr_idle_drop_one(u))
        ;
}
