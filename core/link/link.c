/* link: a connection to a peer from its creation to its end. Its own task dials a shared link, then
 * runs the link's speaker. A parked link is closed on any event: unexpected bytes, FIN, timeout. */
#include "link/link_impl.h"

/* ---- its own task ---- */

static void wake_leases(struct wr_peer_link *l)
{
    for (struct wr_link *k = l->leases.next; k != &l->leases; k = k->next)
        wr_exchange_wake(wr_container(k, struct wr_lease, at)->x);
}

static void dial_link(struct wr_peer_link *l)
{
    switch (wr_peer_link_dial(l)) {
    case WR_IO_AGAIN:
        return;
    case WR_IO_OK:
        wr_conn_arm(&l->conn);
        l->key.speaker->begin(l);
        wake_leases(l);
        return;
    default: /* the link is down */
        wr_peer_link_gone(l);
    }
}

static void link_woken(struct wr_task *t)
{
    struct wr_peer_link *l = wr_container(t, struct wr_peer_link, task);

    if (l->state < WR_LINK_UP)
        dial_link(l);
    else if (l->nleases == 0 && l->conn.deadline.fired)
        wr_peer_link_close(l);
    else if (wr_link_is_shared(l))
        l->key.speaker->run(l);
    else if (!wr_peer_link_is_silent(l)) /* an event of bytes read before, a TLS ticket: no input */
        wr_peer_link_close(l);
}

/* ---- making and ending ---- */

static void copy_names(struct wr_link_key *k)
{
    char *own = wr_calloc(1, k->name.n + 1 + k->alpn.n);

    if (k->name.n > 0)
        memcpy(own, k->name.p, k->name.n);
    if (k->alpn.n > 0)
        memcpy(own + k->name.n + 1, k->alpn.p, k->alpn.n);
    k->name.p = own;
    k->alpn.p = own + k->name.n + 1;
}

static void own_context(const struct wr_log_source *s, struct wr_text *t)
{
    const struct wr_peer_link *l = wr_container(s, struct wr_peer_link, own);

    wr_text_fmt(t, " while %s, upstream: \"",
                l->state == WR_LINK_SECURES ? WR_LINK_SECURING : WR_LINK_CONNECTING);
    wr_addr_text(&l->addr, t);
    wr_text_char(t, '"');
}

struct wr_peer_link *wr_peer_link_new(const struct wr_link_plan *p, int fd)
{
    struct wr_peer_link *l = wr_calloc(1, sizeof(*l));

    l->links = p->links;
    l->addr = *p->addr;
    l->rows = p->rows;
    l->key = p->key;
    if (p->key.bind != NULL) {
        l->bind = *p->key.bind;
        l->key.bind = &l->bind;
    }
    if (p->key.tls != NULL)
        copy_names(&l->key);
    l->hash = wr_link_key_hash(&l->key);
    l->bound = p->bound;
    l->announce = p->announce;
    l->certificate = p->certificate;
    l->certificate_key = p->certificate_key;
    l->own.context = own_context;
    l->log = p->log;
    l->source = p->source != NULL ? p->source : &l->own;
    l->opened_ms = wr_now();
    l->task.run = link_woken;
    wr_list_init(&l->leases);
    wr_conn_init(&l->conn, p->loop, fd, p->task != NULL ? p->task : &l->task);
    wr_connections_add(WR_SERVER, 1);
    wr_link_count_use(l, 1);
    if (wr_link_is_shared(l))
        wr_peer_link_offer(l);
    return l;
}

static void link_free(struct wr_doomed *d)
{
    struct wr_peer_link *l = wr_container(d, struct wr_peer_link, doomed);

    if (l->key.tls != NULL)
        free((void *)(uintptr_t)l->key.name.p);
    free(l->greeting);
    free(l);
}

void wr_peer_link_close(struct wr_peer_link *l)
{
    if (l->doomed.free != NULL)
        return;
    wr_link_hide(l);
    if (l->parked.next != NULL)
        wr_link_unpark(l);
    wr_link_count_use(l, -1);
    wr_connections_add(WR_SERVER, -1);
    if (wr_link_is_shared(l) && l->of_speaker != NULL) {
        if (!l->gone && l->key.speaker->drain != NULL)
            l->key.speaker->drain(l);
        l->key.speaker->end(l);
    }
    wr_task_cancel(&l->task);
    wr_conn_close(&l->conn);
    l->doomed.free = link_free;
    wr_condemn(l->conn.loop, &l->doomed);
}

/* ---- for speakers ---- */

void wr_peer_link_offer(struct wr_peer_link *l)
{
    if (!l->gone)
        wr_link_show(l);
}

void wr_peer_link_gone(struct wr_peer_link *l)
{
    l->gone = true;
    wr_link_hide(l);
    wake_leases(l);
    if (l->nleases == 0)
        wr_peer_link_close(l);
}
