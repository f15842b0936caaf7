/* peer_learn: servers that a zone has from before and the configuration does not: addresses of
 * names that were not answered at start, and all that a keeper had learned that died. The memory
 * may hold anything: each word is checked. Called by peer_publish when a keeper commits. */
#include "upstream/upstream_impl.h"

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

struct wr_known_addrs *wr_server_known(struct wr_upstream *u, struct wr_server *sv)
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
void wr_draft_learn_name(struct wr_draft *d, struct wr_server *sv, bool same)
{
    bool here = same || d->before.slots == 0;
    const struct wr_peer_zone *z = here ? d->z : &d->before;
    const struct wr_member_list *members = here ? &d->now : &d->old;

    wr_server_known(d->u, sv)->n = 0;
    for (uint32_t i = 0; i < members->n; i++) {
        const struct wr_peer_slot *s = &z->slot[members->at[i]];

        if (same ? s->key == sv->key : has_host(s, sv->host))
            add_known(d->u->pool, sv, s);
    }
}

/* ---- servers of a file that the zone has from before ---- */

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
void wr_draft_learn_listed(struct wr_draft *d)
{
    struct wr_upstream *u = d->u;
    const size_t room = sizeof(d->z->slot->name) + sizeof(d->z->slot->route);
    uint64_t *keys = wr_server_ids(u->servers.at, u->servers.n, wr_server_key_of);
    struct wr_server_list l = { .at = wr_calloc(d->now.n + 1, sizeof(*l.at)),
                                .text = wr_calloc(d->now.n + 1, room) };

    for (uint32_t i = 0; i < d->now.n; i++) {
        struct wr_server sv = server_of(&d->z->slot[d->now.at[i]], l.text + l.n * room);

        if (!wr_server_ids_have(keys, u->servers.n, sv.key)
            && wr_slot_addr(&d->z->slot[d->now.at[i]], &sv.addr))
            l.at[l.n++] = sv;
    }
    free(keys);
    wr_server_list_free(u->listed);
    *u->listed = l;
}
