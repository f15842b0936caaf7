/* sticky_index: finds the peers of a group by the value that stands for them. A worker makes it at
 * the first pick after its view has changed. Hashing has a secret seed and the final comparison
 * takes a constant time, so that the time of an answer tells nothing about a signature. */
#include "sticky_impl.h"

#include <openssl/crypto.h>

static uint32_t *bucket_of(const struct wr_sticky_index *ix, struct wr_str value)
{
    return &ix->buckets[(uint32_t)wr_hash(value) & (ix->nbuckets - 1)];
}

/* The peer's number in the index; UINT32_MAX: it is not there. */
static uint32_t number_of(const struct wr_sticky_index *ix, const struct wr_peer *peer)
{
    uint32_t i = peer->index < ix->nslots ? ix->of_slot[peer->index] : 0;

    if (i == 0 || ix->peers[i - 1].generation != peer->generation)
        return UINT32_MAX;
    return i - 1;
}

static struct wr_sticky_index new_index(const struct wr_peer_group *g, uint32_t each)
{
    struct wr_sticky_index ix = { .pool = wr_pool_new(0), .each = each, .nbuckets = 1 };

    for (uint32_t i = 0; i < g->n; i++)
        ix.nslots = wr_max(ix.nslots, g->at[i].index + 1);
    while (ix.nbuckets < g->n * each * 2)
        ix.nbuckets *= 2;
    ix.peers = WR_NEW_ARRAY(ix.pool, struct wr_sticky_peer, g->n + 1);
    ix.marks = WR_NEW_ARRAY(ix.pool, struct wr_sticky_mark, g->n * each + 1);
    ix.buckets = WR_NEW_ARRAY(ix.pool, uint32_t, ix.nbuckets);
    ix.of_slot = WR_NEW_ARRAY(ix.pool, uint32_t, ix.nslots + 1);
    return ix;
}

static void add_mark(struct wr_sticky_index *ix, uint32_t mark, const struct wr_sticky_value *value)
{
    struct wr_sticky_mark *m = &ix->marks[mark];
    uint32_t *bucket;

    m->value = *value;
    if (value->n == 0)
        return;
    bucket = bucket_of(ix, wr_sticky_text(value));
    m->next = *bucket;
    *bucket = mark + 1;
}

/* Reads the route and the address of which the peer's values are made. The slot may be given to
 * another server meanwhile: then the values are wrong, the peer cannot be held, and the view
 * changes. */
static struct wr_str read_slot(const struct wr_peer *peer, char *route, struct wr_addr *addr)
{
    memcpy(route, peer->slot->route, sizeof(peer->slot->route));
    if (!wr_peer_addr(peer, addr))
        *addr = (struct wr_addr){ .len = 0 };
    return wr_str_of(route, strnlen(route, sizeof(peer->slot->route)));
}

/* The values of the peer in the index before, if they are the same now; else NULL. */
static const struct wr_sticky_mark *made_before(const struct wr_sticky_index *ix,
                                                const struct wr_sticky_peer *p, uint32_t each)
{
    uint32_t i = p->slot < ix->nslots ? ix->of_slot[p->slot] : 0;

    if (i == 0 || ix->each != each || ix->peers[i - 1].print != p->print)
        return NULL;
    return &ix->marks[(i - 1) * each];
}

static void add_peer(struct wr_sticky_index *new, const struct wr_sticky_index *old,
                     const struct wr_peer *peer, wr_sticky_values *values, const void *arg)
{
    char buf[sizeof(peer->slot->route)];
    struct wr_sticky_value made[WR_STICKY_SECRETS];
    struct wr_sticky_peer *p = &new->peers[new->n];
    const struct wr_sticky_mark *before;
    struct wr_addr addr;
    struct wr_str route = read_slot(peer, buf, &addr);

    *p = (struct wr_sticky_peer){
        .slot = peer->index,
        .generation = peer->generation,
        .print = wr_hash(route) ^ wr_addr_hash(&addr),
    };
    before = made_before(old, p, new->each);
    if (before == NULL)
        memset(made, 0, sizeof(made));
    if (before == NULL && addr.len > 0)
        values(arg, route, &addr, made);
    for (uint32_t k = 0; k < new->each; k++)
        add_mark(new, new->n * new->each + k, before != NULL ? &before[k].value : &made[k]);
    new->of_slot[peer->index] = ++new->n;
}

void wr_sticky_index_make(struct wr_sticky_index *ix, const struct wr_peer_group *g, uint32_t each,
                          wr_sticky_values *values, const void *arg)
{
    struct wr_sticky_index new = new_index(g, each);

    for (uint32_t i = 0; i < g->n; i++)
        add_peer(&new, ix, &g->at[i], values, arg);
    wr_sticky_index_free(ix);
    *ix = new;
}

void wr_sticky_index_free(struct wr_sticky_index *ix)
{
    wr_pool_free(ix->pool);
    *ix = (struct wr_sticky_index){ .pool = NULL };
}

uint32_t wr_sticky_index_next(const struct wr_sticky_index *ix, struct wr_str value, uint32_t *at)
{
    if (ix->nbuckets == 0 || value.n == 0 || value.n > WR_STICKY_VALUE)
        return UINT32_MAX;
    *at = *at == 0 ? *bucket_of(ix, value) : ix->marks[*at - 1].next;
    for (; *at != 0; *at = ix->marks[*at - 1].next) {
        const struct wr_sticky_value *v = &ix->marks[*at - 1].value;

        if (v->n == value.n && CRYPTO_memcmp(v->p, value.p, v->n) == 0)
            return (*at - 1) / ix->each;
    }
    return UINT32_MAX;
}

const struct wr_sticky_value *wr_sticky_index_value(const struct wr_sticky_index *ix,
                                                    const struct wr_peer *peer)
{
    uint32_t i = number_of(ix, peer);

    return i != UINT32_MAX ? &ix->marks[i * ix->each].value : NULL;
}
