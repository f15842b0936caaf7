/* Private to link's files and their tests. */
#ifndef WR_LINK_IMPL_H
#define WR_LINK_IMPL_H

#include "link/link.h"

extern struct wr_module wr_module_peer_tls;

static inline struct wr_peer_link *wr_peer_link_of(struct wr_conn *c)
{
    return wr_container(c, struct wr_peer_link, conn);
}

/* For the files that dial: set the state and return the result for it. */
enum wr_io wr_peer_link_up(struct wr_peer_link *l);
enum wr_io wr_peer_link_down(struct wr_peer_link *l, enum wr_failure why);
enum wr_io wr_peer_link_waits(struct wr_peer_link *l); /* AGAIN, or ERROR after its deadline */

struct wr_peer_link *wr_peer_link_new(const struct wr_link_plan *p, int fd);

/* ---- links by key ---- */
static inline uint64_t wr_link_key_hash(const struct wr_link_key *k)
{
    uint64_t h = ((uint64_t)k->generation << 32 | k->index) * 0x9e3779b97f4a7c15U;

    h = (h ^ (uintptr_t)k->location ^ (uint64_t)(uintptr_t)k->speaker << 20) * 0xff51afd7ed558ccdU;
    if (k->tls != NULL)
        h = wr_hash_stable(k->name, wr_hash_stable(k->alpn, h ^ (uintptr_t)k->tls));
    if (k->client != 0)
        h ^= k->client * 0x94d049bb133111ebU;
    if (k->bind != NULL)
        h ^= wr_addr_hash(k->bind);
    return h ^ h >> 32;
}
void wr_links_grow(struct wr_links *t);
static inline void wr_links_add(struct wr_links *t, struct wr_peer_link *l)
{
    struct wr_peer_link **at;

    if (wr_unlikely(t->n == t->size))
        wr_links_grow(t);
    at = &t->buckets[l->hash & (t->size - 1)];
    l->next = *at;
    l->back = at;
    if (l->next != NULL)
        l->next->back = &l->next;
    *at = l;
    t->n++;
}
static inline void wr_links_remove(struct wr_links *t, struct wr_peer_link *l)
{
    *l->back = l->next;
    if (l->next != NULL)
        l->next->back = l->back;
    l->back = NULL;
    t->n--;
}
/* Other exchanges may find only links of an upstream that are not bound to a client. */
static inline void wr_link_show(struct wr_peer_link *l)
{
    if (l->back == NULL && l->links != NULL && !l->bound)
        wr_links_add(l->links, l);
}
static inline void wr_link_hide(struct wr_peer_link *l)
{
    if (l->back != NULL)
        wr_links_remove(l->links, l);
}
#define WR_PEAK_MS 30000         /* half of the last minute */
void wr_in_use_roll(struct wr_in_use *u, uint64_t now_ms);
/* Counts delta more links in use. Changes nothing but *u. */
static inline void wr_in_use_add(struct wr_in_use *u, int delta, uint64_t now_ms)
{
    if (now_ms - u->since_ms >= WR_PEAK_MS)
        wr_in_use_roll(u, now_ms);
    u->now = (uint32_t)((int)u->now + delta);
    u->peak[0] = wr_max(u->peak[0], u->now);
}
/* The most links that may be parked. */
static inline uint32_t wr_links_limit(struct wr_links *t, uint64_t now_ms)
{
    if (!t->keepalive.grows)
        return t->keepalive.connections;
    if (now_ms - t->in_use.since_ms >= WR_PEAK_MS)
        wr_in_use_roll(&t->in_use, now_ms);
    return wr_max(t->keepalive.connections, wr_max(t->in_use.peak[0], t->in_use.peak[1]));
}

static inline void wr_link_count_use(struct wr_peer_link *l, int delta)
{
    if (l->links != NULL)
        wr_in_use_add(&l->links->in_use, delta, wr_now());
}
static inline void wr_link_unpark(struct wr_peer_link *l)
{
    wr_list_remove(&l->parked);
    l->links->nparked--;
    wr_conn_timeout(&l->conn, 0);
    if (!wr_link_is_shared(l)) /* an event of a shared link stays for its speaker */
        wr_task_cancel(&l->task);
    wr_link_count_use(l, 1);
}

/* ---- start_tls ---- */
/* Asks the server to begin TLS, unless l->started. OK: the handshake may begin; AGAIN, ERROR: as
 * wr_peer_link_connect. */
enum wr_io wr_peer_link_start(struct wr_peer_link *l, enum wr_start how) WR_CHECKED;

#endif
