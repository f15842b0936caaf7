/* peer_members: a list of slots in the keeper's private memory, with an index by server and address
 * and a set of the slots in it: the members of a zone, as peer_publish reads and rebuilds them. A
 * list of thousands is searched once for each of its servers. */
#include "upstream/upstream_impl.h"

/* A service may have an address WR_NAMES times. Slots in which somebody has written the same server
 * a hundred thousand times must not make each search as long: what is farther is not found. */
#define PROBES_MAX (WR_NAMES + 64)

struct wr_member_list wr_members_new(uint32_t slots)
{
    struct wr_member_list l = { .at = wr_calloc(slots, sizeof(*l.at)),
                                .has = wr_calloc(slots / 64 + 1, sizeof(*l.has)) };

    return l;
}

void wr_members_free(struct wr_member_list *l)
{
    free(l->at);
    free(l->has);
    free(l->index);
    *l = (struct wr_member_list){ .n = 0 };
}

void wr_members_add(struct wr_member_list *l, uint32_t slot)
{
    l->at[l->n++] = slot;
    l->has[slot / 64] |= (uint64_t)1 << (slot % 64);
}

static uint32_t place_of(const struct wr_member_list *l, uint64_t key, const struct wr_addr *addr)
{
    return (uint32_t)(key ^ wr_addr_hash(addr) * 0x9e3779b97f4a7c15U) & l->mask;
}

static void make_index(struct wr_member_list *l, const struct wr_peer_zone *z)
{
    uint32_t size = 16;

    while (size < 2 * l->n)
        size *= 2;
    l->mask = size - 1;
    l->index = wr_calloc(size, sizeof(*l->index));
    for (uint32_t i = 0; i < l->n; i++) {
        const struct wr_peer_slot *s = &z->slot[l->at[i]];
        struct wr_addr addr;
        uint32_t at, probes = 0;

        if (!wr_slot_addr(s, &addr))
            continue;
        at = place_of(l, s->key, &addr);
        while (l->index[at] != 0 && ++probes < PROBES_MAX)
            at = (at + 1) & l->mask;
        if (l->index[at] == 0)
            l->index[at] = l->at[i] + 1;
    }
}

struct wr_member_list wr_members_read(const struct wr_peer_zone *z)
{
    struct wr_member_list l = wr_members_new(z->slots);
    uint32_t *numbers = wr_calloc(z->slots, sizeof(*numbers));
    uint32_t version, n = wr_roster_read(&z->members, numbers, &version);

    for (uint32_t i = 0; i < n; i++) /* a number that is there twice is damage */
        if (!wr_members_have(&l, numbers[i]))
            wr_members_add(&l, numbers[i]);
    free(numbers);
    make_index(&l, z);
    return l;
}

struct wr_peer_slot *wr_members_find(const struct wr_member_list *l, const struct wr_peer_zone *z,
                                     uint64_t key, const struct wr_addr *addr,
                                     const struct wr_member_list *taken)
{
    uint32_t at = place_of(l, key, addr), probes = 0;

    for (; l->index[at] != 0 && probes++ < PROBES_MAX; at = (at + 1) & l->mask) {
        uint32_t slot = l->index[at] - 1;
        struct wr_peer_slot *s = &z->slot[slot];
        struct wr_addr a;

        if (s->key == key && wr_slot_addr(s, &a) && wr_addr_eq(&a, addr)
            && (taken == NULL || !wr_members_have(taken, slot)))
            return s;
    }
    return NULL;
}

uint64_t wr_members_hash(const struct wr_member_list *l)
{
    return wr_hash_stable(wr_str_of((const char *)l->at, l->n * sizeof(*l->at)), l->n);
}
