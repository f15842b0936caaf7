/* socket_owners: which worker accepts on which listening socket. Called by launch and supervise;
 * the pure functions also by worker. Owns the owner map of each cycle.
 *
 * Each address has a socket for every worker (SO_REUSEPORT). Sockets are numbered through all
 * addresses, and socket i belongs to worker i mod n; while that worker is away, to the next one.
 * The owner map in shared memory has the result. A unix socket has one descriptor, on which all
 * workers accept. */
#include "app/app_impl.h"

#include <errno.h>
#include <sys/mman.h>

/* ---- sharing ---- */

static void *shared_array(size_t n, size_t size)
{
    void *m = mmap(NULL, wr_max(n, 1U) * size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (m == MAP_FAILED)
        wr_out_of_memory(n * size);
    return m;
}

/* The master never reads the shared map, since workers could write to it; it reads c->owner. */
static void set_owner(const struct wr_cycle *c, uint32_t share, uint32_t owner)
{
    c->owner[share] = owner;
    atomic_store(&c->shared_owner[share], owner);
}

static void give_sockets(struct wr_cycle *c, struct wr_listener *l, const struct wr_bound *b)
{
    l->fds = WR_NEW_ARRAY(c->conf->pool, struct wr_accepting, b->fds.n);
    l->nfds = b->fds.n;
    for (uint32_t i = 0; i < b->fds.n; i++) {
        l->fds[i].fd = b->fds.at[i];
        l->fds[i].share = c->nshares++;
        l->fds[i].listener = l;
    }
}

/* A failure is not fatal: workers share the sockets that could be opened. */
static void open_shares(struct wr_bound *b, const struct wr_listener *l, uint32_t shares)
{
    const char *step = "";

    while (b->fds.n < shares && !wr_bound_is_unix(b)) {
        int fd = wr_socket_bind(&l->addr, &l->opts, &step);

        if (fd < 0) {
            wr_say(WR_LOG_ERROR, errno, "%s of socket %u on " WR_FMT " failed, workers share the "
                   "other sockets", step, b->fds.n + 1, WR_ARG(l->text));
            return;
        }
        wr_bound_add_fd(b, fd);
    }
}

/* The number of sockets of each address: one for each worker, unless the limit of open files is
 * too low for that. */
static uint32_t shares_of_each(const struct wr_cycle *c)
{
    uint32_t addresses = 0, room;

    for (struct wr_listener *l = wr_conf_listens(c->conf)->first; l != NULL; l = l->next)
        addresses += !l->in_kernel;
    room = wr_files_for_listening() / wr_max(addresses, 1u);
    if (room >= c->workers)
        return c->workers;
    wr_say(WR_LOG_WARN, 0, "the limit of open files (ulimit -Hn) allows only %u sockets for each "
           "of %u addresses: %u workers share them", wr_max(room, 1u), addresses, c->workers);
    return wr_max(room, 1u);
}

void wr_sockets_share(struct wr_cycle *c)
{
    uint32_t shares = shares_of_each(c);

    for (struct wr_listener *l = wr_conf_listens(c->conf)->first; l != NULL; l = l->next) {
        struct wr_bound *b = wr_bound_of(l);

        if (l->in_kernel)
            continue;
        WR_ASSERT(b != NULL);
        open_shares(b, l, shares);
        give_sockets(c, l, b);
    }
    c->shared_owner = shared_array(c->nshares, sizeof(*c->shared_owner));
    c->owner = wr_calloc(wr_max(c->nshares, 1U), sizeof(*c->owner));
    for (uint32_t i = 0; i < c->nshares; i++)
        set_owner(c, i, WR_OWNER_NOBODY);
    c->full = shared_array(c->workers, sizeof(*c->full));
}

/* ---- the owner map ---- */

uint32_t wr_share_owner(uint32_t share, uint32_t workers, const bool *away)
{
    for (uint32_t i = 0; i < workers; i++) {
        uint32_t w = (share + i) % workers;

        if (!away[w])
            return w;
    }
    return share % workers;
}

bool wr_worker_may_accept(uint32_t owner, uint32_t worker, uint32_t workers, const bool *full)
{
    bool room = false;

    if (owner == WR_OWNER_NOBODY)
        return false;
    if (owner != WR_OWNER_ALL)
        return wr_share_owner(owner, workers, full) == worker;
    for (uint32_t i = 0; i < workers; i++)
        room |= !full[i];
    return !room || !full[worker];
}

void wr_owners_write(struct wr_cycle *c)
{
    bool away[WR_WORKERS_MAX] = { false };

    if (c == wr_master.pending)
        return;
    for (uint32_t i = 0; i < c->nchildren; i++) {
        const struct wr_child *ch = &c->child[i];

        if (ch->kind == WR_PROC_WORKER && (ch->restart_ms > 0 || ch->leaving))
            away[ch->index] = true;
        if (away[ch->index])
            atomic_store(&c->full[ch->index], 1);
    }
    for (struct wr_listener *l = wr_conf_listens(c->conf)->first; l != NULL; l = l->next) {
        for (uint32_t i = 0; i < l->nfds; i++) {
            uint32_t share = l->fds[i].share, bits = c->owner[share] & WR_OWNER_BITS;
            bool one_for_all = l->addr.sa.sa_family == AF_UNIX && c->workers > 1;

            set_owner(c, share, bits | (one_for_all ? WR_OWNER_ALL
                                                    : wr_share_owner(share, c->workers, away)));
        }
    }
    for (uint32_t i = 0; i < c->nchildren; i++) {
        if (c->child[i].kind == WR_PROC_WORKER)
            wr_child_ring(&c->child[i], WR_BELL_LISTEN);
    }
}

void wr_owners_mark(const struct wr_cycle *c, const struct wr_bound *b, uint32_t from,
                    uint32_t bits)
{
    for (struct wr_listener *l = wr_conf_listens(c->conf)->first; l != NULL; l = l->next) {
        if (l->opts.type != b->type || !wr_addr_eq(&l->addr, &b->addr))
            continue;
        for (uint32_t i = from; i < l->nfds && l->fds[i].share < c->nshares; i++)
            set_owner(c, l->fds[i].share, c->owner[l->fds[i].share] | bits);
    }
}
