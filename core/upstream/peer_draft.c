/* peer_draft: the next list of an upstream's members, which the keeper builds in private memory (a
 * draft): each server gets the slot that it has, or a free one, and its parameters are written
 * there. Called by peer_publish, under the lock of the zone. */
#include "upstream/upstream_impl.h"

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

/* ---- the next list of members ---- */

struct wr_draft wr_draft_new(struct wr_upstream *u)
{
    struct wr_draft d = { .u = u, .z = &u->peers->zone };

    d.now = wr_members_read(d.z);
    d.next = wr_members_new(d.z->slots);
    if (wr_peer_zone_previous(u, &d.before))
        d.old = wr_members_read(&d.before);
    else
        d.before.slots = 0;
    return d;
}

void wr_draft_free(struct wr_draft *d)
{
    wr_members_free(&d->now);
    wr_members_free(&d->next);
    wr_members_free(&d->old);
}

/* Claims a slot that is in neither list and has no leases. */
static struct wr_peer_slot *claim_free(struct wr_draft *d)
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
static void fill_slot(struct wr_draft *d, struct wr_peer_slot *s, const struct wr_server *sv,
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

static void draft_add(struct wr_draft *d, const struct wr_server *sv, const struct wr_name_addr *a,
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

void wr_draft_servers(struct wr_draft *d)
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

bool wr_draft_is_same(const struct wr_draft *d)
{
    return d->now.n == d->next.n
        && memcmp(d->now.at, d->next.at, d->now.n * sizeof(uint32_t)) == 0;
}
