/* peer_publish: writes the peers into an upstream's zone. The zone's owner is the keeper of the
 * newest generation: it commits its configuration, then publishes new addresses of names. A keeper
 * that is no longer the owner is refused. The next list of members is built in private memory (a
 * draft). Called by the keeper, and by peer_names when a name was resolved. */
#include "upstream/upstream_impl.h"

#define LOCK_MS 100          /* a holder needs far less, unless it is stopped or malicious */
#define LOCKED_MS 10000      /* after a wait in vain no zone's lock is waited for, for this time */

/* ---- slots ---- */

/* A worker with an old view may count a lease in the slot at the same time. It counts, then reads
 * the generation (wr_peer_hold); this function changes the generation, then reads the count. So at
 * least one of them sees the other and gives up. */
bool wr_slot_claim(struct wr_peer_slot *s)
{
    uint32_t odd;

    if (atomic_load(&s->conns) != 0)
        return false;
    odd = (atomic_load(&s->generation) + 1) | 1; /* differs from that of every view */
    atomic_store(&s->generation, odd);
    if (atomic_load(&s->conns) == 0)
        return true;
    atomic_store(&s->generation, odd + 1);
    return false;
}

/* Counters carry over from the zone this one replaces (which had another capacity). */
static void inherit_counters(struct wr_peer_slot *s, const struct wr_peer_slot *old)
{
    atomic_store(&s->health, atomic_load(&old->health));
    atomic_store(&s->up_ms, atomic_load(&old->up_ms));
    atomic_store(&s->ejected_ms, atomic_load(&old->ejected_ms));
    atomic_store(&s->returned_ms, atomic_load(&old->returned_ms));
    atomic_store(&s->ejections, atomic_load(&old->ejections));
    for (uint32_t i = 0; i < WR_SLICES; i++)
        atomic_store(&s->window.slice[i], atomic_load(&old->window.slice[i]));
    atomic_store(&s->fails, atomic_load(&old->fails));
    atomic_store(&s->failed_ms, atomic_load(&old->failed_ms));
    atomic_store(&s->checked_ms, atomic_load(&old->checked_ms));
    atomic_store(&s->requests, atomic_load(&old->requests));
    atomic_store(&s->failures, atomic_load(&old->failures));
    atomic_store(&s->time_avg, atomic_load(&old->time_avg));
    atomic_store(&s->timed_ms, atomic_load(&old->timed_ms));
}

static bool store_changed(_Atomic uint32_t *word, uint32_t value)
{
    return atomic_exchange_explicit(word, value, memory_order_relaxed) != value;
}

/* Sets weight and rank (main or backup): an SRV record has its own, a plain name the server's.
 * True: they changed, which changes the picks. */
static bool set_weight_rank(struct wr_peer_slot *s, const struct wr_server *sv,
                            const struct wr_name_addr *a, uint16_t first)
{
    bool changed = store_changed(&s->weight, sv->weight == 1 && a->weight > 0 ? a->weight
                                                                              : sv->weight);

    return store_changed(&s->backup, sv->backup || a->priority > first) || changed;
}

static uint32_t down_bits(const struct wr_server *sv)
{
    return (sv->down ? WR_DOWN_CONF : 0) | (sv->drain ? WR_DOWN_DRAIN : 0);
}

/* Writes the parameters of the server; the learned words stay. True: something changed that a
 * view depends on: its schedule, its index of routes. */
static bool configure_slot(struct wr_peer_slot *s, const struct wr_server *sv)
{
    char name[sizeof(s->name)] = { 0 }, route[sizeof(s->route)] = { 0 };
    bool changed;

    (void)store_changed(&s->max_fails, sv->max_fails);
    (void)store_changed(&s->max_conns, sv->max_conns);
    atomic_store_explicit(&s->fail_timeout_ms, sv->fail_timeout_ms, memory_order_relaxed);
    (void)store_changed(&s->slow_start_ms, (uint32_t)sv->slow_start_ms);
    (void)snprintf(name, sizeof(name), WR_FMT, WR_ARG(sv->text));
    memcpy(s->name, name, sizeof(name));
    (void)snprintf(route, sizeof(route), WR_FMT, WR_ARG(sv->route));
    changed = memcmp(s->route, route, sizeof(route)) != 0;
    memcpy(s->route, route, sizeof(route));
    if (atomic_load_explicit(&s->down, memory_order_relaxed) != 0 && down_bits(sv) == 0)
        wr_slot_rises(s, wr_now());
    return store_changed(&s->down, down_bits(sv)) || changed;
}

static uint32_t on_down_of(const struct wr_upstream *u, const struct wr_server *sv)
{
    return sv->on_down != WR_ON_DOWN_UNSET || u->heal == NULL ? sv->on_down : u->heal->on_down;
}

/* ---- the next list of members, built in private memory ---- */

struct draft {
    struct wr_upstream *u;
    struct wr_peer_zone *z;
    struct wr_peer_zone before;  /* the zone this one replaces; slots 0: none */
    struct wr_member_list old;        /* members of `before` */
    struct wr_member_list now, next;  /* members of z: published, and of the next list */
    uint32_t free;               /* claim_free searches from here: no slot before is free */
    uint32_t full;               /* addresses without a slot */
    bool changed;                /* weight, rank or `down` of a member that stays */
};

static struct draft draft_new(struct wr_upstream *u)
{
    struct draft d = { .u = u, .z = &u->peers->zone };

    d.now = wr_members_read(d.z);
    d.next = wr_members_new(d.z->slots);
    if (wr_peer_zone_previous(u, &d.before))
        d.old = wr_members_read(&d.before);
    else
        d.before.slots = 0;
    return d;
}

static void draft_free(struct draft *d)
{
    wr_members_free(&d->now);
    wr_members_free(&d->next);
    wr_members_free(&d->old);
}

/* Claims a slot that is in neither list and has no leases. */
static struct wr_peer_slot *claim_free(struct draft *d)
{
    while (d->free < d->z->slots) {
        uint32_t i = d->free++;
        struct wr_peer_slot *s = &d->z->slot[i];

        if (!wr_members_have(&d->now, i) && !wr_members_have(&d->next, i) && wr_slot_claim(s))
            return s;
    }
    return NULL;
}

/* Writes server and address into a claimed slot. */
static void fill_slot(struct draft *d, struct wr_peer_slot *s, const struct wr_server *sv,
                      const struct wr_addr *addr)
{
    const struct wr_peer_slot *old = d->before.slots == 0 ? NULL
                                   : wr_members_find(&d->old, &d->before, sv->key, addr, NULL);

    memset((void *)&s->down, 0, sizeof(*s) - offsetof(struct wr_peer_slot, down));
    s->key = sv->key;
    s->addr = *addr;
    atomic_store(&s->health, d->u->born);
    if (old != NULL)
        inherit_counters(s, old);
}

static void draft_add(struct draft *d, const struct wr_server *sv, const struct wr_name_addr *a,
                      uint16_t first)
{
    struct wr_peer_slot *s;
    uint32_t generation;

    if (sv->backup && a->priority > first)
        return;
    s = wr_members_find(&d->now, d->z, sv->key, &a->addr, &d->next);
    if (s == NULL) {
        s = claim_free(d);
        if (s == NULL) {
            d->full++;
            return;
        }
        fill_slot(d, s, sv, &a->addr);
    }
    d->changed |= configure_slot(s, sv);
    if (!d->u->checked) /* what checks found that are not configured any more */
        atomic_fetch_and(&s->health, ~(uint32_t)(WR_HEALTH_CHECK | WR_HEALTH_UNCHECKED));
    (void)store_changed(&s->on_down, on_down_of(d->u, sv));
    d->changed |= set_weight_rank(s, sv, a, first);
    generation = atomic_load(&s->generation);
    if ((generation & 1) != 0)
        atomic_store(&s->generation, generation + 1);
    wr_members_add(&d->next, (uint32_t)(s - d->z->slot));
}

static void draft_servers(struct draft *d)
{
    for (uint32_t i = 0; i < d->u->servers.n; i++) {
        const struct wr_server *sv = &d->u->servers.at[i];

        if (!sv->named)
            draft_add(d, sv, &(struct wr_name_addr){ .addr = sv->addr }, 0);
        for (uint32_t k = 0; sv->named && sv->known != NULL && k < sv->known->n; k++)
            draft_add(d, sv, &sv->known->at[k], sv->known->at[0].priority);
    }
    for (uint32_t i = 0; d->u->listed != NULL && i < d->u->listed->n; i++)
        draft_add(d, &d->u->listed->at[i],
                  &(struct wr_name_addr){ .addr = d->u->listed->at[i].addr }, 0);
}

static bool has_same_members(const struct draft *d)
{
    return d->now.n == d->next.n
        && memcmp(d->now.at, d->next.at, d->now.n * sizeof(uint32_t)) == 0;
}

static void draft_publish(struct draft *d)
{
    d->u->full = d->full;
    d->u->published = wr_members_hash(&d->next);
    wr_roster_publish(&d->z->members, d->next.at, d->next.n);
    wr_waiting_tell(d->u);
    wr_ring_workers(WR_BELL_PEERS);
}

/* before: u->full before the change. */
static void say_full(const struct wr_upstream *u, uint32_t before)
{
    if (u->full > 0 && before == 0)
        wr_say(WR_LOG_ERROR, 0, "zone of upstream \"" WR_FMT "\" is full (%u slots), %u addresses "
               "are not used: increase the size in its \"zone\" directive", WR_ARG(u->name),
               u->peers->zone.slots, u->full);
}

/* ---- addresses of a name that the zone has from before ---- */

/* True: the slot's name is "host" or "host:port". */
static bool has_host(const struct wr_peer_slot *s, struct wr_str host)
{
    char text[sizeof(s->name)];
    struct wr_str name;

    memcpy(text, s->name, sizeof(text));
    name = wr_str_of(text, strnlen(text, sizeof(text)));
    return wr_str_ieq(wr_str_cut(&name, ':'), host);
}

static bool has_addr(const struct wr_known_addrs *n, const struct wr_addr *addr)
{
    for (uint32_t i = 0; i < n->n; i++)
        if (wr_addr_eq(&n->at[i].addr, addr))
            return true;
    return false;
}

static struct wr_known_addrs *known_names(struct wr_upstream *u, struct wr_server *sv)
{
    if (sv->known == NULL)
        sv->known = WR_NEW(u->pool, struct wr_known_addrs);
    return sv->known;
}

static void add_known(struct wr_pool *pool, struct wr_server *sv, const struct wr_peer_slot *s)
{
    struct wr_known_addrs *n = sv->known;
    struct wr_name_addr a = { .priority = 0 };

    if (n->n == WR_NAMES || !wr_slot_addr(s, &a.addr) || a.addr.sa.sa_family == AF_UNIX)
        return;
    a.priority = atomic_load_explicit(&s->backup, memory_order_relaxed) != 0 && !sv->backup;
    if (sv->service.n == 0)
        wr_addr_set_port(&a.addr, sv->port);
    else
        a.weight = (uint16_t)atomic_load_explicit(&s->weight, memory_order_relaxed);
    if (sv->service.n > 0 || !has_addr(n, &a.addr)) /* several servers may have had this address */
        *wr_vec_push(pool, n) = a;
}

/* Takes over the addresses the zone has: with `same` those of this server, otherwise those of its
 * host, whatever the port and the parameters were. A failure of the name server during a reload
 * must not remove servers. */
static void learn_name(struct draft *d, struct wr_server *sv, bool same)
{
    bool here = same || d->before.slots == 0;
    const struct wr_peer_zone *z = here ? d->z : &d->before;
    const struct wr_member_list *members = here ? &d->now : &d->old;

    known_names(d->u, sv)->n = 0;
    for (uint32_t i = 0; i < members->n; i++) {
        const struct wr_peer_slot *s = &z->slot[members->at[i]];

        if (same ? s->key == sv->key : has_host(s, sv->host))
            add_known(d->u->pool, sv, s);
    }
}

/* ---- servers of a file that the zone has from before ---- */

static int compare_keys(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* A server made again of its slot. Its text is put at `text`, with room for a slot's name and
 * route. */
static struct wr_server server_of(const struct wr_peer_slot *s, char *text)
{
    struct wr_server sv = wr_server_new();
    uint32_t down = atomic_load_explicit(&s->down, memory_order_relaxed);

    memcpy(text, s->name, sizeof(s->name));
    memcpy(text + sizeof(s->name), s->route, sizeof(s->route));
    sv.text = wr_str_of(text, strnlen(text, sizeof(s->name)));
    sv.route = wr_str_of(text + sizeof(s->name),
                         strnlen(text + sizeof(s->name), sizeof(s->route) - 1));
    sv.key = s->key;
    sv.weight = atomic_load_explicit(&s->weight, memory_order_relaxed);
    sv.max_fails = atomic_load_explicit(&s->max_fails, memory_order_relaxed);
    sv.max_conns = atomic_load_explicit(&s->max_conns, memory_order_relaxed);
    sv.fail_timeout_ms = atomic_load_explicit(&s->fail_timeout_ms, memory_order_relaxed);
    sv.slow_start_ms = atomic_load_explicit(&s->slow_start_ms, memory_order_relaxed);
    sv.backup = atomic_load_explicit(&s->backup, memory_order_relaxed) != 0;
    sv.down = (down & WR_DOWN_CONF) != 0;
    sv.drain = (down & WR_DOWN_DRAIN) != 0;
    return sv;
}

/* The file may have been read again since the start, by a keeper that died: all members that are of
 * no `server` line are of the file, which will be read soon. */
static void learn_listed(struct draft *d)
{
    struct wr_upstream *u = d->u;
    const size_t room = sizeof(d->z->slot->name) + sizeof(d->z->slot->route);
    uint64_t *keys = wr_calloc(u->servers.n + 1, sizeof(*keys));
    struct wr_server_list l = { .at = wr_calloc(d->now.n + 1, sizeof(*l.at)),
                                .text = wr_calloc(d->now.n + 1, room) };

    for (uint32_t i = 0; i < u->servers.n; i++)
        keys[i] = u->servers.at[i].key;
    qsort(keys, u->servers.n, sizeof(*keys), compare_keys);
    for (uint32_t i = 0; i < d->now.n; i++) {
        struct wr_server sv = server_of(&d->z->slot[d->now.at[i]], l.text + l.n * room);

        if (bsearch(&sv.key, keys, u->servers.n, sizeof(*keys), compare_keys) == NULL
            && wr_slot_addr(&d->z->slot[d->now.at[i]], &sv.addr))
            l.at[l.n++] = sv;
    }
    free(keys);
    wr_server_list_free(u->listed);
    *u->listed = l;
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
    struct draft d = draft_new(u);
    uint32_t full = u->full;

    for (uint32_t i = 0; i < u->servers.n; i++) {
        struct wr_server *sv = &u->servers.at[i];

        if (sv->named && learn)
            learn_name(&d, sv, true);
        else if (sv->named && sv->known == NULL && sv->unanswered)
            learn_name(&d, sv, false);
    }
    if (learn && u->listed != NULL && d.now.n > 0)
        learn_listed(&d);
    u->run = run;
    atomic_store(u->peers->zone.members.owner, run);
    draft_servers(&d);
    draft_publish(&d); /* even if the members are the same: their weights may differ */
    draft_free(&d);
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
    struct draft d = draft_new(u);
    bool publish;

    draft_servers(&d);
    publish = !has_same_members(&d) || d.changed;
    if (publish)
        draft_publish(&d);
    draft_free(&d);
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
    struct wr_known_addrs *known = known_names(u, s);

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
        wr_ring_workers(WR_BELL_PEERS);
    return ours;
}
