/* own_links: links that belong to one client's connection (`ntlm`): servers that authenticate the
 * connection, and not each request, take whatever comes on it for that client's. A session that has
 * begun to authenticate asks the same server again, by a link that no other session gets; its links
 * end with it. Called by the layer before the first try, by pick, and when a session ends.
 *
 * The number that keeps the links of clients apart is counted here: that of the session comes from
 * shared memory, where another process may make it that of another client. */
#include "upstream/upstream_impl.h"

struct own_peer {                /* of a session, for one group */
    struct wr_session_part part;
    struct wr_upstream *u;
    struct wr_peer peer;         /* slot NULL: none was picked yet */
    uint64_t client;
};

static uint64_t clients;         /* the last number that was given out */

static void end_own(struct wr_session_part *part, struct wr_session *s WR_UNUSED)
{
    struct own_peer *own = wr_container(part, struct own_peer, part);

    wr_links_drop_client(&own->u->links, own->client);
    free(own);
}

/* NULL: the session has begun nothing in the group, or has ended. */
static struct own_peer *find_own(const struct wr_session *s, const struct wr_upstream *u)
{
    for (struct wr_session_part *p = s->parts; p != NULL; p = p->next)
        if (p->end == end_own && wr_container(p, struct own_peer, part)->u == u)
            return wr_container(p, struct own_peer, part);
    return NULL;
}

static struct own_peer *begin_own(struct wr_session *s, struct wr_upstream *u)
{
    struct own_peer *own = wr_calloc(1, sizeof(*own));

    own->u = u;
    own->client = ++clients;
    own->part.end = end_own;
    own->part.next = s->parts;
    s->parts = &own->part;
    return own;
}

/* A session that has ended, or is nobody's, gets a link that is used once. */
void wr_tries_own_link(struct wr_exchange *x, bool begin)
{
    struct wr_upstream *u = x->tries->u;
    const struct own_peer *own;

    if (u == NULL || !u->own_links)
        return;
    own = find_own(x->s, u);
    if (own == NULL && begin && !x->s->ending && x->s->conn.fd >= 0)
        own = begin_own(x->s, u);
    if (own != NULL || begin)
        x->tries->client = own != NULL ? own->client : ++clients;
}

bool wr_own_is_kept(const struct wr_exchange *x)
{
    return !x->s->ending && find_own(x->s, x->tries->u) != NULL;
}

const struct wr_peer *wr_own_peer(const struct wr_exchange *x, const struct wr_pick *p)
{
    const struct own_peer *own = find_own(x->s, x->tries->u);

    return own != NULL && own->peer.slot != NULL && wr_peer_usable(p, &own->peer) ? &own->peer
                                                                                  : NULL;
}

void wr_own_peer_set(const struct wr_exchange *x, const struct wr_peer *peer)
{
    struct own_peer *own = find_own(x->s, x->tries->u);

    if (own != NULL)
        own->peer = *peer;
}
