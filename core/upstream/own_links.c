/* own_links: links that belong to one client's connection (`ntlm`): servers that authenticate the
 * connection, and not each request, take whatever comes on it for that client's. A session that has
 * begun to authenticate asks the same server again, by a link that no other session gets; its links
 * end with it. Called by the layer before the first try, by pick, and when a session ends. */
#include "upstream/upstream_impl.h"

struct wr_own_peer {             /* of a session, for one group */
    struct wr_session_part part;
    struct wr_upstream *u;
    struct wr_peer peer;         /* slot NULL: none was picked yet */
};

static void end_own(struct wr_session_part *part, struct wr_session *s)
{
    struct wr_own_peer *own = wr_container(part, struct wr_own_peer, part);

    wr_links_drop_client(&own->u->links, s->number);
    free(own);
}

static struct wr_own_peer *find_own(const struct wr_session *s, const struct wr_upstream *u)
{
    for (struct wr_session_part *p = s->parts; p != NULL; p = p->next)
        if (p->end == end_own && wr_container(p, struct wr_own_peer, part)->u == u)
            return wr_container(p, struct wr_own_peer, part);
    return NULL;
}

void wr_tries_own_link(struct wr_exchange *x, bool begin)
{
    struct wr_upstream *u = x->tries->u;
    struct wr_own_peer *own;

    if (u == NULL || !u->own_links || x->s->number == 0 || x->s->ending)
        return;
    own = find_own(x->s, u);
    if (own == NULL && begin) {
        own = wr_calloc(1, sizeof(*own));
        own->u = u;
        own->part.end = end_own;
        own->part.next = x->s->parts;
        x->s->parts = &own->part;
    }
    x->tries->own = own;
}

const struct wr_peer *wr_own_peer(const struct wr_own_peer *own, const struct wr_pick *p)
{
    return own->peer.slot != NULL && wr_peer_usable(p, &own->peer) ? &own->peer : NULL;
}

void wr_own_peer_set(struct wr_own_peer *own, const struct wr_peer *peer)
{
    own->peer = *peer;
}
