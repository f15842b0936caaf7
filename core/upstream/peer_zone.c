/* peer_zone: the peers of an upstream as slots in shared memory. The master opens a zone for each
 * upstream while loading and never reads it; the keeper writes the members (peer_publish);
 * workers count in slots (peer_ledger).
 *
 * Any process of the instance may write anything into a zone at any time: read each value once, and
 * check it. */
#include "upstream/upstream_impl.h"

#include <errno.h>

#define SPARE_PER_NAME 64 /* slots for the addresses of one name */
#define NAMES_MIN 256     /* slots for the addresses of all names, at least */
#define LISTED_MIN 256    /* slots for the servers of a servers_file, at least */
#define SPARE 16          /* slots for servers that a reload adds */

/* Lays out the parts in z->zone; a zone without memory only adds up their sizes. */
static void place_parts(struct wr_peer_zone *z, uint32_t slots)
{
    z->slots = slots;
    wr_roster_place(&z->members, &z->zone, slots);
    z->words = wr_zone_part(&z->zone, sizeof(*z->words));
    z->slot = wr_zone_part(&z->zone, slots * sizeof(struct wr_peer_slot));
    wr_ledger_place(&z->ledger, &z->zone, slots);
    z->ledger.totals = z->slot != NULL ? &z->slot->conns : NULL;
    z->ledger.stride = sizeof(struct wr_peer_slot);
    wr_queue_place(&z->queue, &z->zone);
}

static size_t zone_bytes(uint32_t slots)
{
    struct wr_peer_zone z = { .slots = 0 };

    place_parts(&z, slots);
    return z.zone.n;
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

/* A power of two, so that a reload with a few servers more or less keeps the zone. */
static uint32_t slot_capacity(const struct wr_upstream *u)
{
    size_t want = SPARE, names = 0, n = 16;

    for (uint32_t i = 0; i < u->servers.n; i++) {
        const struct wr_server *sv = &u->servers.at[i];
        size_t known = sv->known != NULL ? sv->known->n : 0;

        names += sv->named ? wr_max(2 * known, (size_t)SPARE_PER_NAME) : 0;
        want += sv->named ? 0 : 1;
    }
    if (u->listed != NULL)
        want += wr_max(2 * (size_t)u->listed->n, (size_t)LISTED_MIN);
    want += names > 0 ? wr_max(names, (size_t)NAMES_MIN) : 0;
    want = wr_max(want, u->zone_size / sizeof(struct wr_peer_slot));
    while (n < want)
        n *= 2;
    return (uint32_t)n;
}

static void release_shm(void *shm)
{
    wr_shm_release(shm);
}

static bool open_zone(struct wr_conf *c, struct wr_upstream *u)
{
    uint32_t slots = slot_capacity(u);
    const char *name = wr_pool_fmt(c->pool, "peers/%s/" WR_FMT, u->layer == WR_L4 ? "l4" : "l7",
                                   WR_ARG(u->name)).p;

    u->zone = wr_shm_get(c->shm, c->old_shm, name, WR_PEER_LAYOUT, slots, zone_bytes(slots),
                         &u->previous);
    if (u->zone == NULL)
        return false;
    if (u->previous != NULL) {
        wr_shm_hold(u->previous);
        wr_pool_cleanup(c->pool, release_shm, u->previous);
    }
    u->pool = c->pool;
    u->peers = WR_NEW(c->pool, struct wr_peers);
    u->peers->zone.zone = wr_zone_of(u->zone);
    place_parts(&u->peers->zone, slots);
    return true;
}

bool wr_upstreams_open(struct wr_conf *c)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);

    for (uint32_t i = 0; i < all->all.n; i++)
        if (!open_zone(c, all->all.at[i])) {
            wr_say(WR_LOG_EMERG, errno, "cannot create shared memory for the servers of upstream \""
                   WR_FMT "\"", WR_ARG(all->all.at[i]->name));
            return false;
        }
    return true;
}

bool wr_peer_zone_previous(const struct wr_upstream *u, struct wr_peer_zone *out)
{
    uint32_t slots;

    if (u->previous == NULL || u->previous->shape > UINT32_MAX / 2)
        return false;
    slots = (uint32_t)u->previous->shape;
    if (u->previous->size != zone_bytes(slots))
        return false;
    *out = (struct wr_peer_zone){ .zone = wr_zone_of(u->previous) };
    place_parts(out, slots);
    return true;
}
