/* shared: the peers of an upstream as slots in shared memory. The master opens a zone for each
 * upstream while loading and publishes when the configuration is accepted; afterwards only the
 * keeper changes the membership. Workers count in slots and, before that, in their ledger row.
 *
 * Layout of a zone: header, two index arrays (index[version & 1] is current), slots, ledger
 * (a row of counts for each process of the instance; untouched rows cost no memory). */
#include "upstream/upstream.h"

#include <errno.h>

#define ALIGN 64
#define SPARE_PER_NAME 64
#define SPARE 16

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

struct wr_peer_index *wr_shared_index(struct wr_peers_shared *z, uint32_t version)
{
    char *p = (char *)z + aligned(offsetof(struct wr_peers_shared, first));

    return (struct wr_peer_index *)(void *)(p + (version & 1) * index_bytes(z->slots));
}

struct wr_peer_slot *wr_shared_slot(struct wr_peers_shared *z, uint32_t i)
{
    WR_ASSERT(i < z->slots);
    return (struct wr_peer_slot *)(void *)((char *)z + slots_at(z->slots)) + i;
}

_Atomic uint32_t *wr_shared_ledger(struct wr_peers_shared *z, uint32_t process, uint32_t slot)
{
    WR_ASSERT(process < WR_SLOTS && slot < z->slots);
    return (_Atomic uint32_t *)(void *)((char *)z + ledger_at(z->slots))
         + (size_t)process * z->slots + slot;
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

static bool open_zone(struct wr_conf *c, struct wr_upstream *u)
{
    uint32_t slots = capacity(u);
    struct wr_shm *previous = NULL;
    const char *name = wr_pool_fmt(c->pool, "peers/%s/" WR_FMT, u->layer == WR_L4 ? "l4" : "l7",
                                   WR_ARG(u->name)).p;
    struct wr_peers_shared *z;

    u->zone = wr_shm_get(c->shm, c->old_shm, name, WR_PEER_LAYOUT, slots, zone_bytes(slots),
                         &previous);
    if (u->zone == NULL)
        return false;
    z = u->zone->p;
    u->previous = u->zone->fresh && previous != NULL ? previous->p : NULL;
    if (u->zone->fresh)
        z->slots = slots;
    u->peers = WR_NEW(c->pool, struct wr_peers);
    u->peers->shared = z;
    return true;
}

bool wr_upstreams_open(struct wr_conf *c)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);

    for (uint32_t i = 0; i < all->all.n; i++)
        if (!open_zone(c, all->all.at[i])) {
            wr_say(WR_LOG_EMERG, errno, "no memory for the servers of upstream \"" WR_FMT "\"",
                   WR_ARG(all->all.at[i]->name));
            return false;
        }
    return true;
}

/* ---- membership ---- */

static bool in_index(const struct wr_peer_index *ix, uint32_t slot)
{
    for (uint32_t i = 0; ix != NULL && i < ix->n; i++)
        if (ix->slot[i] == slot)
            return true;
    return false;
}

/* Live slots are found in the published index; a slot outside it may be reused when nothing is in
 * flight on it. A service may have an address twice: not one that is taken already. */
static struct wr_peer_slot *find(struct wr_peers_shared *z, uint64_t key,
                                 const struct wr_addr *addr, const struct wr_peer_index *taken,
                                 uint32_t *at)
{
    const struct wr_peer_index *ix = wr_shared_index(z, atomic_load(&z->version));

    for (uint32_t i = 0; i < ix->n; i++) {
        struct wr_peer_slot *s = wr_shared_slot(z, ix->slot[i]);

        if (s->key == key && wr_addr_eq(&s->addr, addr) && !in_index(taken, ix->slot[i])) {
            *at = ix->slot[i];
            return s;
        }
    }
    return NULL;
}

/* A worker with an old view may count on the slot at this moment. It counts, then looks at the
 * generation (wr_peer_hold); here the generation changes, then the count is looked at: one of the
 * two sees the other and steps back. */
bool wr_slot_claim(struct wr_peer_slot *s)
{
    if (atomic_load(&s->live) != 0 || atomic_load(&s->conns) != 0)
        return false;
    atomic_fetch_add(&s->generation, 1); /* odd: whoever has the old peer sees it is gone */
    if (atomic_load(&s->conns) == 0)
        return true;
    atomic_fetch_add(&s->generation, 1);
    return false;
}

static struct wr_peer_slot *take_free(struct wr_peers_shared *z, uint32_t *at)
{
    for (uint32_t i = 0; i < z->slots; i++) {
        struct wr_peer_slot *s = wr_shared_slot(z, i);

        if (wr_slot_claim(s)) {
            *at = i;
            return s;
        }
    }
    return NULL;
}

/* Counters carry over from the zone this one replaces (it had another shape). */
static void inherit(struct wr_peer_slot *s, struct wr_peers_shared *previous)
{
    uint32_t at;
    struct wr_peer_slot *old = previous ? find(previous, s->key, &s->addr, NULL, &at) : NULL;

    if (old == NULL)
        return;
    atomic_store(&s->fails, atomic_load(&old->fails));
    atomic_store(&s->failed_ms, atomic_load(&old->failed_ms));
    atomic_store(&s->checked_ms, atomic_load(&old->checked_ms));
    atomic_store(&s->requests, atomic_load(&old->requests));
    atomic_store(&s->failures, atomic_load(&old->failures));
}

/* What a service record says; of a plain name, nothing. True: what is chosen changes. */
static bool set_share(struct wr_peer_slot *s, const struct wr_server *sv,
                      const struct wr_name_addr *a, uint16_t first)
{
    uint32_t weight = sv->weight == 1 && a->weight > 0 ? a->weight : sv->weight;
    uint32_t backup = sv->backup || a->priority > first;
    bool changed = s->weight != weight || s->backup != backup;

    s->weight = weight;
    s->backup = backup;
    return changed;
}

static void configure(struct wr_peer_slot *s, const struct wr_server *sv)
{
    s->max_fails = sv->max_fails;
    s->max_conns = sv->max_conns;
    s->fail_timeout_ms = sv->fail_timeout_ms;
    s->slow_start_ms = sv->slow_start_ms;
    if (sv->down)
        atomic_fetch_or(&s->down, WR_DOWN_CONF);
    else
        atomic_fetch_and(&s->down, ~(uint32_t)WR_DOWN_CONF);
    (void)snprintf(s->name, sizeof(s->name), WR_FMT, WR_ARG(sv->text));
}

/* Of a claimed slot. */
static void fill(struct wr_peer_slot *s, const struct wr_server *sv, const struct wr_addr *addr,
                 struct wr_peers_shared *previous)
{
    memset(&s->key, 0, sizeof(*s) - offsetof(struct wr_peer_slot, key));
    s->key = sv->key;
    s->addr = *addr;
    inherit(s, previous);
    atomic_fetch_add(&s->generation, 1);
}

/* The next index, under construction. */
struct draft {
    struct wr_upstream *u;
    struct wr_peers_shared *z;
    struct wr_peer_index *next;
    uint32_t full;
    bool changed;             /* a weight or a rank, of members that stay */
};

static struct draft draft_new(struct wr_upstream *u)
{
    struct wr_peers_shared *z = u->zone->p;
    struct draft d = { .u = u, .z = z };

    d.next = wr_shared_index(z, atomic_load(&z->version) + 1);
    d.next->n = 0;
    return d;
}

static void draft_keep(struct draft *d, uint32_t slot)
{
    d->next->slot[d->next->n++] = slot;
}

static void draft_add(struct draft *d, const struct wr_server *sv, const struct wr_name_addr *a,
                      uint16_t first)
{
    uint32_t at = 0;
    struct wr_peer_slot *s = find(d->z, sv->key, &a->addr, d->next, &at);

    if (sv->backup && a->priority > first)
        return;
    if (s == NULL) {
        s = take_free(d->z, &at);
        if (s == NULL) {
            d->full++;
            return;
        }
        fill(s, sv, &a->addr, d->u->previous);
    }
    configure(s, sv);
    d->changed |= set_share(s, sv, a, first);
    atomic_store(&s->live, 1);
    draft_keep(d, at);
}

/* All addresses of a server; the first has the lowest priority number. */
static void draft_all(struct draft *d, const struct wr_server *sv, const struct wr_name_addr *a,
                      uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        draft_add(d, sv, &a[i], a->priority);
}

static bool draft_same(const struct draft *d)
{
    const struct wr_peer_index *now = wr_shared_index(d->z, atomic_load(&d->z->version));

    return now->n == d->next->n
        && memcmp(now->slot, d->next->slot, now->n * sizeof(uint32_t)) == 0;
}

static void draft_publish(struct draft *d)
{
    const struct wr_peer_index *old = wr_shared_index(d->z, atomic_load(&d->z->version));
    const struct wr_peer_index *next = d->next;

    if (d->full > 0)
        wr_say(WR_LOG_ERROR, 0, "zone of upstream \"" WR_FMT "\" is full (%u slots), %u addresses "
               "are not used: give it a larger \"zone\" size", WR_ARG(d->u->name), d->z->slots,
               d->full);
    atomic_fetch_add(&d->z->version, 1);
    for (uint32_t i = 0; i < old->n; i++) {
        if (!in_index(next, old->slot[i]))
            atomic_store(&wr_shared_slot(d->z, old->slot[i])->live, 0);
    }
}

/* The host of "host", "host:port". */
static struct wr_str host_of(const struct wr_peer_slot *s)
{
    struct wr_str name = wr_str_c(s->name);

    return wr_str_cut(&name, ':');
}

static bool named_at(const struct wr_names *n, const struct wr_addr *addr)
{
    for (uint32_t i = 0; i < n->n; i++)
        if (wr_addr_eq(&n->at[i].addr, addr))
            return true;
    return false;
}

/* What the configuration before knew of the name, under whatever port and parameters: a name server
 * that fails while weir reloads takes no server away. */
static void draft_old(struct draft *d, const struct wr_server *sv)
{
    struct wr_peers_shared *z = d->u->previous != NULL ? d->u->previous : d->z;
    const struct wr_peer_index *old = wr_shared_index(z, atomic_load(&z->version));
    struct wr_names *n = wr_calloc(1, sizeof(*n));

    for (uint32_t i = 0; i < old->n && n->n < WR_COUNT(n->at); i++) {
        const struct wr_peer_slot *s = wr_shared_slot(z, old->slot[i]);
        struct wr_name_addr a = { .addr = s->addr, .priority = s->backup && !sv->backup };

        if (!wr_str_ieq(host_of(s), sv->host) || s->addr.sa.sa_family == AF_UNIX)
            continue;
        if (sv->service.n == 0)
            wr_addr_set_port(&a.addr, sv->port);
        else
            a.weight = (uint16_t)s->weight;
        if (sv->service.n > 0 || !named_at(n, &a.addr)) /* other ports were other servers */
            n->at[n->n++] = a;
    }
    draft_all(d, sv, n->at, n->n);
    free(n);
}

static void commit(struct wr_upstream *u)
{
    struct draft d = draft_new(u);

    for (uint32_t i = 0; i < u->servers.n; i++) {
        const struct wr_server *sv = &u->servers.at[i];

        if (!sv->named)
            draft_all(&d, sv, &(struct wr_name_addr){ .addr = sv->addr }, 1);
        else if (sv->known != NULL)
            draft_all(&d, sv, sv->known->at, sv->known->n);
        else if (sv->unanswered)
            draft_old(&d, sv);
    }
    draft_publish(&d); /* even if the members are the same: weights may differ */
    u->previous = NULL;
}

void wr_upstreams_commit(struct wr_conf *c)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);

    for (uint32_t i = 0; i < all->all.n; i++)
        commit(all->all.at[i]);
}

bool wr_shared_update(struct wr_upstream *u, const struct wr_server *s,
                      const struct wr_name_addr *addrs, uint32_t n)
{
    struct draft d = draft_new(u);
    const struct wr_peer_index *now = wr_shared_index(d.z, atomic_load(&d.z->version));

    /* In the order of the configuration: what stands before s, s itself, what stands behind. */
    for (uint32_t i = 0; i < u->servers.n; i++) {
        const struct wr_server *sv = &u->servers.at[i];

        if (sv == s)
            draft_all(&d, s, addrs, n);
        for (uint32_t k = 0; sv != s && k < now->n; k++)
            if (wr_shared_slot(d.z, now->slot[k])->key == sv->key)
                draft_keep(&d, now->slot[k]);
    }
    if (draft_same(&d) && !d.changed)
        return false;
    draft_publish(&d);
    return true;
}

/* Whoever died between the ledger and the total had one less: the total never goes below 0. */
static void take_back(_Atomic uint32_t *total, uint32_t held)
{
    uint32_t now = atomic_load(total);

    while (!atomic_compare_exchange_weak(total, &now, now - wr_min(now, held)))
        ;
}

void wr_upstreams_reclaim(struct wr_conf *c, uint32_t process)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);

    for (uint32_t i = 0; i < all->all.n; i++) {
        struct wr_peers_shared *z = all->all.at[i]->zone->p;

        for (uint32_t k = 0; k < z->slots; k++) {
            uint32_t held = atomic_exchange(wr_shared_ledger(z, process, k), 0);

            if (held > 0)
                take_back(&wr_shared_slot(z, k)->conns, held);
        }
    }
}
