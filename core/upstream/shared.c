/* shared: the peers of an upstream as slots in shared memory. The master opens a zone for each
 * upstream while loading and never looks inside; the keeper of the newest generation owns what is
 * configured in it: it commits, and publishes what it learns of names, from its own configuration.
 * A keeper that is not the owner any more is refused. Workers count in slots (ledger).
 *
 * Layout of a zone: header, two index arrays (index[version & 1] is current), slots, ledger
 * (a row of counts for each process of the instance; untouched rows cost no memory). Everything in
 * it may be written by any process of the instance at any time: it is read once, and checked. */
#include "upstream/upstream.h"

#include <errno.h>

#define ALIGN 64
#define SPARE_PER_NAME 64
#define SPARE 16
#define COPY_TRIES 64

static size_t aligned(size_t n)
{
    return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static size_t index_bytes(uint32_t slots)
{
    return aligned(sizeof(struct wr_peer_index) + slots * sizeof(uint32_t));
}

static size_t slots_at(uint32_t slots)
{
    return aligned(offsetof(struct wr_peers_shared, first)) + 2 * index_bytes(slots);
}

static size_t ledger_at(uint32_t slots)
{
    return slots_at(slots) + aligned(slots * sizeof(struct wr_peer_slot));
}

static size_t zone_bytes(uint32_t slots)
{
    return ledger_at(slots) + (size_t)WR_SLOTS * slots * sizeof(uint32_t);
}

struct wr_peer_index *wr_shared_index(const struct wr_zone *z, uint32_t version)
{
    char *p = (char *)z->shared + aligned(offsetof(struct wr_peers_shared, first));

    return (struct wr_peer_index *)(void *)(p + (version & 1) * index_bytes(z->slots));
}

struct wr_peer_slot *wr_shared_slot(const struct wr_zone *z, uint32_t i)
{
    WR_ASSERT(i < z->slots);
    return (struct wr_peer_slot *)(void *)((char *)z->shared + slots_at(z->slots)) + i;
}

_Atomic uint32_t *wr_shared_ledger(const struct wr_zone *z, uint32_t process, uint32_t slot)
{
    WR_ASSERT(process < WR_SLOTS && slot < z->slots);
    return (_Atomic uint32_t *)(void *)((char *)z->shared + ledger_at(z->slots))
         + (size_t)process * z->slots + slot;
}

static uint32_t version_of(const struct wr_zone *z)
{
    return atomic_load_explicit(&z->shared->version, memory_order_acquire);
}

/* A seqlock: the keeper writes the other index, then the version. It may publish twice meanwhile,
 * then the copy is taken again; for ever only where somebody writes nonsense. */
uint32_t wr_shared_members(const struct wr_zone *z, uint32_t *out, uint32_t *version)
{
    uint32_t count = 0;

    for (uint32_t tries = 0; tries < COPY_TRIES; tries++) {
        const struct wr_peer_index *ix;
        uint32_t n;

        *version = version_of(z);
        ix = wr_shared_index(z, *version);
        n = wr_min(atomic_load_explicit(&ix->n, memory_order_relaxed), z->slots);
        count = 0;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t slot = atomic_load_explicit(&ix->slot[i], memory_order_relaxed);

            if (slot < z->slots)
                out[count++] = slot;
        }
        atomic_thread_fence(memory_order_acquire); /* the copy is taken before the second look */
        if (atomic_load_explicit(&z->shared->version, memory_order_relaxed) == *version)
            break;
    }
    return count;
}

bool wr_slot_addr(const struct wr_peer_slot *s, struct wr_addr *out)
{
    memcpy(out, &s->addr, sizeof(*out));
    switch (out->len == 0 ? AF_UNSPEC : out->sa.sa_family) {
    case AF_INET:
        return out->len == sizeof(out->in);
    case AF_INET6:
        return out->len == sizeof(out->in6);
    case AF_UNIX:
        return out->len > offsetof(struct sockaddr_un, sun_path) && out->len <= sizeof(out->un);
    default:
        return false;
    }
}

/* ---- opening ---- */

/* A power of two, so that a few servers more or less keep the zone at a reload. */
static uint32_t capacity(const struct wr_upstream *u)
{
    size_t want = SPARE, n = 16;

    for (uint32_t i = 0; i < u->servers.n; i++)
        want += u->servers.at[i].named ? SPARE_PER_NAME : 1;
    want = wr_max(want, u->zone_size / sizeof(struct wr_peer_slot));
    while (n < want)
        n *= 2;
    return (uint32_t)n;
}

static void let_go(void *shm)
{
    wr_shm_release(shm);
}

static bool open_zone(struct wr_conf *c, struct wr_upstream *u)
{
    uint32_t slots = capacity(u);
    const char *name = wr_pool_fmt(c->pool, "peers/%s/" WR_FMT, u->layer == WR_L4 ? "l4" : "l7",
                                   WR_ARG(u->name)).p;

    u->zone = wr_shm_get(c->shm, c->old_shm, name, WR_PEER_LAYOUT, slots, zone_bytes(slots),
                         &u->previous);
    if (u->zone == NULL)
        return false;
    if (u->previous != NULL) {
        wr_shm_hold(u->previous);
        wr_pool_cleanup(c->pool, let_go, u->previous);
    }
    u->pool = c->pool;
    u->peers = WR_NEW(c->pool, struct wr_peers);
    u->peers->zone = (struct wr_zone){ .shared = u->zone->p, .slots = slots };
    return true;
}

bool wr_upstreams_open(struct wr_conf *c)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);

    for (uint32_t i = 0; i < all->all.n; i++)
        if (!open_zone(c, all->all.at[i])) {
            wr_say(WR_LOG_EMERG, errno, "shared memory for the servers of upstream \"" WR_FMT
                   "\" could not be made", WR_ARG(all->all.at[i]->name));
            return false;
        }
    return true;
}

bool wr_shared_previous(const struct wr_upstream *u, struct wr_zone *out)
{
    if (u->previous == NULL || u->previous->shape > UINT32_MAX / 2)
        return false;
    *out = (struct wr_zone){ .shared = u->previous->p, .slots = (uint32_t)u->previous->shape };
    return u->previous->size == zone_bytes(out->slots);
}
