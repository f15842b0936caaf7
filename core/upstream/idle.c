/* idle: connections to peers, and the parked ones of this process. dial takes one instead of
 * connecting, the end of a try parks it again. A parked connection on which anything happens
 * (bytes nobody asked for, FIN, its timeout) is closed. */
#include "upstream/upstream.h"

#include <unistd.h>

struct wr_link_to *wr_link_of(struct wr_conn *c)
{
    return wr_container(c, struct wr_link_to, conn);
}

struct wr_link_to *wr_link_open(struct wr_upstream *u, const struct wr_peer *peer)
{
    struct wr_link_to *l = wr_calloc(1, sizeof(*l));

    l->u = u;
    l->peer = *peer;
    l->opened_ms = wr_now();
    l->conn.fd = -1;
    return l;
}

static void link_free(struct wr_doomed *d)
{
    free(wr_container(d, struct wr_link_to, doomed));
}

static void unpark(struct wr_link_to *l)
{
    if (l->link.next != NULL) {
        wr_list_remove(&l->link);
        l->u->idle_count--;
    }
}

void wr_link_close(struct wr_link_to *l)
{
    if (l->doomed.free != NULL)
        return;
    unpark(l);
    wr_task_cancel(l->conn.loop, &l->task);
    wr_conn_close(&l->conn);
    l->doomed.free = link_free;
    wr_condemn(l->conn.loop, &l->doomed);
}

static void parked_woken(struct wr_task *t)
{
    wr_link_close(wr_container(t, struct wr_link_to, task));
}

static bool serves(const struct wr_link_to *l, const struct wr_peer *peer,
                   const struct wr_upstream_rows *rows, const struct wr_addr *bind)
{
    if (l->peer.index != peer->index || l->peer.generation != peer->generation)
        return false;
    if (l->u->keepalive.local && l->rows != rows)
        return false;
    return bind == NULL ? l->bind.len == 0 : wr_addr_eq(&l->bind, bind);
}

/* Bytes nobody asked for must not become the reply to what is asked next. The event that tells of
 * them may still wait in this turn; a read that took all it wanted leaves the bit set. */
static bool silent(struct wr_conn *c)
{
    char byte;
    size_t got;

    if ((c->ready & (WR_HUP | WR_ERR)) != 0)
        return false;
    if ((c->ready & WR_READABLE) != 0 && c->io->raw
        && wr_conn_peek(c, &byte, 1, &got) != WR_IO_AGAIN)
        return false;
    return (c->ready & WR_READABLE) == 0 || !c->io->raw;
}

struct wr_link_to *wr_idle_take(struct wr_upstream *u, const struct wr_peer *peer,
                                const struct wr_upstream_rows *rows, const struct wr_addr *bind)
{
    struct wr_link *next;

    for (struct wr_link *k = u->idle.next; k != &u->idle; k = next) {
        struct wr_link_to *l = wr_container(k, struct wr_link_to, link);

        next = k->next;
        if (!serves(l, peer, rows, bind))
            continue;
        if (!silent(&l->conn)) {
            wr_link_close(l);
            continue;
        }
        unpark(l);
        wr_conn_timeout(&l->conn, 0);
        wr_task_cancel(l->conn.loop, &l->task);
        return l;
    }
    return NULL;
}

static bool worth_keeping(const struct wr_link_to *l)
{
    const struct wr_keepalive *k = &l->u->keepalive;

    return k->connections > 0 && l->requests < k->requests
        && wr_now() - l->opened_ms < k->time_ms && !l->conn.read_eof
        && (l->conn.ready & (WR_HUP | WR_ERR)) == 0;
}

void wr_idle_park(struct wr_link_to *l)
{
    struct wr_upstream *u = l->u;

    l->requests++;
    if (u == NULL || !worth_keeping(l)) {
        wr_link_close(l);
        return;
    }
    if (u->idle_count >= u->keepalive.connections) /* the one idle for longest makes room */
        wr_link_close(wr_container(u->idle.prev, struct wr_link_to, link));
    l->task.run = parked_woken;
    wr_conn_retask(&l->conn, &l->task);
    wr_conn_arm(&l->conn);
    wr_conn_timeout(&l->conn, u->keepalive.timeout_ms);
    wr_list_unshift(&u->idle, &l->link);
    u->idle_count++;
}

void wr_idle_drop(struct wr_upstream *u)
{
    while (u->idle.next != NULL && u->idle.next != &u->idle)
        wr_link_close(wr_container(u->idle.next, struct wr_link_to, link));
}
