/* peer_publish: writes the peers into an upstream's zone. The zone's owner is the keeper of the
 * newest generation: it commits its configuration, then publishes new addresses of names and new
 * files of servers. A keeper that is no longer the owner is refused. Called by the keeper,
 * peer_names, servers_watch and peer_mend; health checks set their bits here. */
#include "upstream/upstream_impl.h"

#define LOCK_MS 100          /* a holder needs far less, unless it is stopped or malicious */
#define LOCKED_MS 10000      /* after a wait in vain no zone's lock is waited for, for this time */

static void tell_change(struct wr_upstream *u)
{
    wr_ring_workers(WR_BELL_PEERS);
    if (u->changed != NULL)
        u->changed(u);
}

static void draft_publish(struct wr_draft *d)
{
    d->u->full = d->full;
    d->u->published = wr_members_hash(&d->next);
    wr_roster_publish(&d->z->members, d->next.at, d->next.n);
    wr_waiting_tell(d->u);
    tell_change(d->u);
}

/* before: u->full before the change. */
static void say_full(const struct wr_upstream *u, uint32_t before)
{
    if (u->full > 0 && before == 0)
        wr_say(WR_LOG_ERROR, 0, "zone of upstream \"" WR_FMT "\" is full (%u slots), %u addresses "
               "are not used: increase the size in its \"zone\" directive", WR_ARG(u->name),
               u->peers->zone.slots, u->full);
}

/* ---- owning and publishing ---- */

/* A holder that does not unlock is stopped or malicious. Publish without the lock then: one of the
 * two lists will remain, and readers check whatever they read. It may hold the locks of all zones,
 * and thousands of servers are written one by one: so wait once, then only try for a time. */
static bool lock_zone(const struct wr_upstream *u)
{
    static uint64_t waits_from_ms;
    bool waits = wr_now() >= waits_from_ms;

    if (wr_zone_lock(&u->peers->zone.zone, waits ? LOCK_MS : 0))
        return true;
    if (!waits)
        return false;
    waits_from_ms = wr_now() + LOCKED_MS;
    wr_say(WR_LOG_WARN, 0, "upstream \"" WR_FMT "\": its zone is locked by another process, "
           "publishing without the lock", WR_ARG(u->name));
    return false;
}

static void unlock_zone(const struct wr_upstream *u, bool locked)
{
    if (locked)
        wr_zone_unlock(&u->peers->zone.zone);
}

static void commit_group(struct wr_upstream *u, uint64_t run, bool learn)
{
    bool locked = lock_zone(u);
    struct wr_draft d = wr_draft_new(u);
    uint32_t full = u->full;

    for (uint32_t i = 0; i < u->servers.n; i++) {
        struct wr_server *sv = &u->servers.at[i];

        if (sv->named && learn)
            wr_draft_learn_name(&d, sv, true);
        else if (sv->named && sv->known == NULL && sv->unanswered)
            wr_draft_learn_name(&d, sv, false);
    }
    if (learn && u->listed != NULL && d.now.n > 0)
        wr_draft_learn_listed(&d);
    u->run = run;
    atomic_store(u->peers->zone.members.owner, run);
    wr_draft_servers(&d);
    draft_publish(&d); /* even if the members are the same: their weights may differ */
    wr_draft_free(&d);
    unlock_zone(u, locked);
    say_full(u, full);
}

void wr_upstreams_commit(struct wr_conf *c, uint64_t run, bool learn)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);

    for (uint32_t i = 0; i < all->all.n; i++)
        commit_group(all->all.at[i], run, learn);
}

static bool publish_changes(struct wr_upstream *u)
{
    struct wr_draft d = wr_draft_new(u);
    bool publish;

    wr_draft_servers(&d);
    publish = !wr_draft_is_same(&d) || d.changed;
    if (publish)
        draft_publish(&d);
    wr_draft_free(&d);
    return publish;
}

/* Publishes if anything changed. False: nothing did, or another process owns the zone. */
static bool publish_again(struct wr_upstream *u)
{
    bool locked = lock_zone(u), publish = false;
    uint32_t full = u->full;

    if (wr_upstream_is_owned(u)) {
        publish = publish_changes(u);
        if (publish && u->full > 0) /* slots of members that left are free from now on */
            (void)publish_changes(u);
    }
    unlock_zone(u, locked);
    say_full(u, full);
    return publish;
}

bool wr_peer_zone_update(struct wr_upstream *u, struct wr_server *s,
                         const struct wr_name_addr *addrs, uint32_t n)
{
    struct wr_known_addrs *known = wr_server_known(u, s);

    known->n = 0;
    for (uint32_t i = 0; i < n && i < WR_NAMES; i++)
        *wr_vec_push(u->pool, known) = addrs[i];
    return publish_again(u);
}

bool wr_peer_zone_relist(struct wr_upstream *u)
{
    return publish_again(u);
}

bool wr_upstream_is_owned(const struct wr_upstream *u)
{
    return atomic_load(u->peers->zone.members.owner) == u->run;
}

/* ---- health ---- */

uint32_t wr_upstream_members(const struct wr_upstream *u, struct wr_peer *out, uint32_t most)
{
    struct wr_peer_zone *z = &u->peers->zone;
    uint32_t *slots = wr_calloc(z->slots, sizeof(*slots)), version;
    uint32_t n = wr_roster_read(&z->members, slots, &version);

    for (uint32_t i = 0; i < n && i < most; i++) {
        struct wr_peer_slot *s = &z->slot[slots[i]];

        out[i] = (struct wr_peer){ .slot = s, .index = slots[i],
                                   .generation = atomic_load(&s->generation) };
    }
    free(slots);
    return n;
}

/* True: a peer that was out can be used without these bits. One that has only waited for its first
 * check was never out. */
static bool is_back(uint32_t health, uint32_t clear)
{
    return (health & ~clear) == 0 && (health & ~(uint32_t)WR_HEALTH_UNCHECKED) != 0;
}

/* Only an owner gives a slot to another peer, under the zone's lock. */
bool wr_peer_health_set(struct wr_upstream *u, const struct wr_peer *peer, uint32_t set,
                        uint32_t clear)
{
    bool locked = (set | clear) != 0 && lock_zone(u);
    bool ours = atomic_load(u->peers->zone.members.owner) == u->run
             && atomic_load(&peer->slot->generation) == peer->generation;

    if (ours && set != 0) /* first: between the two a worker must not find it well */
        (void)atomic_fetch_or(&peer->slot->health, set);
    if (ours && clear != 0) {
        if (is_back(atomic_load(&peer->slot->health), clear))
            wr_slot_rises(peer->slot, wr_now());
        (void)atomic_fetch_and(&peer->slot->health, ~clear);
    }
    unlock_zone(u, locked);
    if (ours && clear != 0)
        wr_waiting_tell(u);
    if (ours && (set | clear) != 0)
        tell_change(u);
    return ours;
}
