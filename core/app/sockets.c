/* sockets: every listening socket of the instance, and who accepts on it. Called by the master
 * (cycle, reload, upgrade). Owns the descriptors; configurations and workers borrow them.
 *
 * An address has as many sockets as there were ever workers (SO_REUSEPORT), and keeps them while it
 * is configured: closing one would reset what waits in its queue. They are counted through all
 * addresses, and socket i belongs to worker i mod n; the owner map in shared memory says so, and
 * gives the sockets of a worker that is away to the next one. A unix socket has one descriptor for
 * all.
 *
 * What a new configuration needs is bound first, so that errors show; it listens when the processes
 * are ready (wr_sockets_listen), and stays when nothing else can fail (wr_sockets_keep). */
#include "app/app.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#if WR_HAVE_REUSEPORT_CBPF
#include <linux/filter.h>
#endif
#include <unistd.h>

struct place {               /* one address with its sockets */
    struct wr_link link;
    struct wr_addr addr;
    int type;
    WR_VEC(int) fds;
    uint32_t inherited;      /* the first so many are shared with the old binary */
    uint32_t kept;           /* the first so many belong to accepted configurations; 0: no such
                              * configuration has the address */
};
static struct wr_link places = { &places, &places };
static struct wr_link parting = { &parting, &parting }; /* wr_sockets_part closes these */

#define EACH_PLACE(p) \
    (struct wr_link *each = places.next, *after; \
     each != &places && (after = each->next, p = wr_container(each, struct place, link), true); \
     each = after)

static struct place *find(const struct wr_addr *a, int type)
{
    struct place *p;

    for EACH_PLACE(p) {
        if (p->type == type && wr_addr_eq(&p->addr, a))
            return p;
    }
    return NULL;
}

static struct place *find_for(const struct wr_listener *l)
{
    return find(&l->addr, l->opts.type);
}

/* From the heap, not from a pool: an address outlives configurations. */
static void add_fd(struct place *p, int fd)
{
    if (p->fds.n == p->fds.cap) {
        p->fds.cap = p->fds.cap > 0 ? 2 * p->fds.cap : 8;
        p->fds.at = wr_realloc(p->fds.at, p->fds.cap * sizeof(int));
    }
    p->fds.at[p->fds.n++] = fd;
}

static struct place *place_new(const struct wr_addr *a, int type)
{
    struct place *p = wr_calloc(1, sizeof(*p));

    p->addr = *a;
    p->type = type;
    wr_list_push(&places, &p->link);
    return p;
}

static bool is_unix(const struct place *p)
{
    return p->addr.sa.sa_family == AF_UNIX;
}

static void place_unlink(const struct place *p)
{
    if (is_unix(p) && p->addr.un.sun_path[0] != '\0' && !wr_file_remove(p->addr.un.sun_path) &&
        errno != ENOENT)
        wr_say(WR_LOG_WARN, errno, "unlink() \"%s\" failed", p->addr.un.sun_path);
}

static void close_all(struct place *p)
{
    while (p->fds.n > 0)
        close(p->fds.at[--p->fds.n]);
}

static void place_close(struct place *p)
{
    close_all(p);
    wr_list_remove(&p->link);
    free(p->fds.at);
    free(p);
}

/* ---- opening ---- */

static const char *const remedies = "ports below 1024 are reserved for root: start weir as root, "
    "allow this program (setcap cap_net_bind_service=+ep weir), allow every program "
    "(sysctl net.ipv4.ip_unprivileged_port_start=%u), or listen on a higher port";

static void tell_failure(const struct wr_conf *c, const struct wr_listener *l, const char *step,
                         int err)
{
    uint16_t port = wr_addr_port(&l->addr);
    char hint[256];

    (void)snprintf(hint, sizeof(hint), remedies, (unsigned)port);
    wr_diag_add(c->tree, WR_LOG_EMERG, l->node, 1,
                err == EACCES && port > 0 && port < 1024 ? hint : NULL,
                "%s to " WR_FMT " failed (%d: %s)", step, WR_ARG(l->text), err, strerror(err));
    if (c->report != NULL)
        c->report(c);
}

/* True: a socket of our own would make the probe of this address fail: one of the two addresses is
 * a wildcard with the other's port. */
static bool ours_overlap(const struct wr_listener *l)
{
    struct place *p;

    for EACH_PLACE(p) {
        if (p->type == l->opts.type && p->kept > 0 && !is_unix(p) &&
            wr_addr_port(&p->addr) == wr_addr_port(&l->addr) &&
            (wr_addr_wildcard(&p->addr) || wr_addr_wildcard(&l->addr)))
            return true;
    }
    return false;
}

static enum wr_opening why_not(int err)
{
    return err == EADDRINUSE ? WR_IN_USE : WR_FAILED;
}

/* Call it before the first socket is bound: the sockets would make later probes fail. */
static enum wr_opening probe_all(const struct wr_conf *c, bool tell)
{
    enum wr_opening worst = WR_OPENED;

    for (struct wr_listener *l = wr_conf_listens(c)->first; l != NULL; l = l->next) {
        if (find_for(l) != NULL || ours_overlap(l) || wr_socket_probe(&l->addr, l->opts.type))
            continue;
        /* With IP_TRANSPARENT it may be bound all the same: open_all tries. */
        if (errno == EADDRNOTAVAIL && l->opts.transparent)
            continue;
        worst = wr_max(worst, why_not(errno));
        if (tell || errno != EADDRINUSE)
            tell_failure(c, l, "bind()", errno);
    }
    return worst;
}

static enum wr_opening open_all(const struct wr_conf *c, bool tell)
{
    const char *step = "";

    for (struct wr_listener *l = wr_conf_listens(c)->first; l != NULL; l = l->next) {
        int fd;

        if (find_for(l) != NULL)
            continue;
        fd = wr_socket_bind(&l->addr, &l->opts, &step);
        if (fd < 0 && (tell || errno != EADDRINUSE))
            tell_failure(c, l, step, errno);
        if (fd < 0)
            return why_not(errno);
        add_fd(place_new(&l->addr, l->opts.type), fd);
    }
    return WR_OPENED;
}

enum wr_opening wr_sockets_open(const struct wr_conf *c, bool tell)
{
    enum wr_opening how = probe_all(c, tell);

    if (how == WR_OPENED)
        how = open_all(c, tell);
    if (how != WR_OPENED)
        wr_sockets_undo();
    return how;
}

/* The title is "weir: master process ..." or, without a master, "/path/weir -c ...". */
static bool is_weir(const char *title)
{
    struct wr_str rest = wr_str_c(title), program;

    if (wr_str_starts(rest, WR_STR("weir: ")))
        return true;
    program = wr_str_cut(&rest, ' ');
    return wr_str_is(program, "weir") || wr_str_ends(program, WR_STR("/weir"));
}

/* Log which process holds the address. False: it cannot be found out. */
static bool tell_process(const struct wr_listener *l)
{
    struct wr_holder h;

    if (!wr_socket_holder(&l->addr, l->opts.type, &h))
        return false;
    if (is_weir(h.title))
        wr_say(WR_LOG_EMERG, 0, WR_FMT " is in use by another weir, which has its own pid file: "
               "process %d, \"%s\"", WR_ARG(l->text), (int)h.pid, h.title);
    else
        wr_say(WR_LOG_EMERG, 0, WR_FMT " is in use by process %d, \"%s\"", WR_ARG(l->text),
               (int)h.pid, h.title);
    return true;
}

void wr_sockets_tell_holder(const struct wr_conf *c, const char *pid_path)
{
    struct wr_pid_file f;

    wr_say(WR_LOG_EMERG, 0, "still could not bind()");
    if (pid_path != NULL && wr_pid_read(pid_path, &f) && f.is_held) {
        wr_say(WR_LOG_EMERG, 0, "weir is already running as process %d (pid file \"%s\"): \"weir "
               "-s reload\" loads a changed configuration, \"weir -s stop\" stops it", (int)f.pid,
               pid_path);
        return;
    }
    for (struct wr_listener *l = wr_conf_listens(c)->first; l != NULL; l = l->next) {
        if (find_for(l) == NULL && !ours_overlap(l) && !wr_socket_probe(&l->addr, l->opts.type)
            && errno == EADDRINUSE && tell_process(l))
            return;
    }
    wr_say(WR_LOG_WARN, 0, "\"ss -lptun\" shows which process uses the address");
}

bool wr_sockets_probe(const struct wr_conf *c)
{
    return probe_all(c, false) != WR_FAILED;
}

void wr_sockets_undo(void)
{
    struct place *p;

    for EACH_PLACE(p) {
        if (p->kept == 0)
            place_unlink(p);
        while (p->fds.n > p->kept)
            close(p->fds.at[--p->fds.n]);
        if (p->kept == 0)
            place_close(p);
    }
}

bool wr_sockets_listen(const struct wr_conf *c)
{
    struct place *p;

    /* New sockets first: that may fail, and until then the serving generation is left untouched. */
    for (struct wr_listener *l = wr_conf_listens(c)->first; l != NULL; l = l->next) {
        p = find_for(l);
        for (uint32_t i = p->kept; i < p->fds.n; i++) {
            if (!wr_socket_tune(p->fds.at[i], &l->opts)) {
                tell_failure(c, l, "listen()", errno);
                return false;
            }
        }
    }
    for (struct wr_listener *l = wr_conf_listens(c)->first; l != NULL; l = l->next) {
        p = find_for(l);
        for (uint32_t i = 0; i < p->kept; i++)
            if (!wr_socket_tune(p->fds.at[i], &l->opts))
                wr_say(WR_LOG_WARN, errno, "listen() with the new backlog on " WR_FMT " failed, "
                       "ignored", WR_ARG(l->text));
    }
    return true;
}

void wr_sockets_keep(void)
{
    struct place *p;

    for EACH_PLACE(p)
        p->kept = p->fds.n;
}

/* ---- sharing ---- */

/* A failure is not fatal: workers share the sockets that could be opened. */
static void open_shares(struct place *p, const struct wr_listener *l, uint32_t shares)
{
    const char *step = "";

    while (p->fds.n < shares && !is_unix(p)) {
        int fd = wr_socket_bind(&l->addr, &l->opts, &step);

        if (fd < 0) {
            wr_say(WR_LOG_ERROR, errno, "%s of socket %u on " WR_FMT " failed, workers share the "
                   "other sockets", step, p->fds.n + 1, WR_ARG(l->text));
            return;
        }
        add_fd(p, fd);
    }
}

static void *shared_array(size_t n, size_t size)
{
    void *m = mmap(NULL, wr_max(n, 1U) * size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (m == MAP_FAILED)
        wr_out_of_memory(n * size);
    return m;
}

/* The master never reads the shared map, since workers could write to it; it reads c->owner. */
static void own(const struct wr_cycle *c, uint32_t share, uint32_t owner)
{
    c->owner[share] = owner;
    atomic_store(&c->owners[share], owner);
}

static void give(struct wr_cycle *c, struct wr_listener *l, const struct place *p)
{
    l->fds = WR_NEW_ARRAY(c->conf->pool, struct wr_accepting, p->fds.n);
    l->nfds = p->fds.n;
    l->inherited = p->inherited > 0;
    for (uint32_t i = 0; i < p->fds.n; i++) {
        l->fds[i].fd = p->fds.at[i];
        l->fds[i].share = c->nshares++;
        l->fds[i].listener = l;
    }
}

/* How many sockets each address gets: one for each worker, unless the limit of open files is too
 * low for that. */
static uint32_t shares_of_each(const struct wr_cycle *c)
{
    uint32_t addresses = 0, room;

    for (struct wr_listener *l = wr_conf_listens(c->conf)->first; l != NULL; l = l->next)
        addresses++;
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
        struct place *p = find_for(l);

        WR_ASSERT(p != NULL);
        open_shares(p, l, shares);
        give(c, l, p);
    }
    c->owners = shared_array(c->nshares, sizeof(*c->owners));
    c->owner = wr_calloc(wr_max(c->nshares, 1U), sizeof(*c->owner));
    for (uint32_t i = 0; i < c->nshares; i++)
        own(c, i, WR_OWNER_NOBODY);
    c->full = shared_array(c->workers, sizeof(*c->full));
}

/* ---- owners ---- */

uint32_t wr_share_owner(uint32_t share, uint32_t workers, const bool *away)
{
    for (uint32_t i = 0; i < workers; i++) {
        uint32_t w = (share + i) % workers;

        if (!away[w])
            return w;
    }
    return share % workers;
}

bool wr_share_serves(uint32_t owner, uint32_t worker, uint32_t workers, const bool *full)
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

        if (ch->kind == WR_PROC_WORKER && (ch->again_ms > 0 || ch->leaving))
            away[ch->index] = true;
        if (away[ch->index])
            atomic_store(&c->full[ch->index], 1);
    }
    for (struct wr_listener *l = wr_conf_listens(c->conf)->first; l != NULL; l = l->next) {
        for (uint32_t i = 0; i < l->nfds; i++) {
            uint32_t share = l->fds[i].share, bits = c->owner[share] & WR_OWNER_BITS;
            bool one_for_all = l->addr.sa.sa_family == AF_UNIX && c->workers > 1;

            own(c, share, bits | (one_for_all ? WR_OWNER_ALL
                                              : wr_share_owner(share, c->workers, away)));
        }
    }
    for (uint32_t i = 0; i < c->nchildren; i++) {
        if (c->child[i].kind == WR_PROC_WORKER)
            wr_child_ring(&c->child[i], WR_BELL_LISTEN);
    }
}

/* ---- leaving ---- */

static const struct wr_listener *listener_at(const struct wr_cycle *c, const struct place *p)
{
    if (c == NULL)
        return NULL;
    for (struct wr_listener *l = wr_conf_listens(c->conf)->first; l != NULL; l = l->next) {
        if (l->opts.type == p->type && wr_addr_eq(&l->addr, &p->addr))
            return l;
    }
    return NULL;
}

/* True: a listener of `now` gets some or all of the clients that connect to that address. */
static bool overlaps(const struct wr_cycle *now, const struct place *p)
{
    if (now == NULL || is_unix(p))
        return false;
    for (struct wr_listener *l = wr_conf_listens(now->conf)->first; l != NULL; l = l->next) {
        if (l->opts.type == p->type && wr_addr_port(&l->addr) == wr_addr_port(&p->addr) &&
            (wr_addr_wildcard(&l->addr) || wr_addr_wildcard(&p->addr)))
            return true;
    }
    return false;
}

/* Set bits in the owner map, for the sockets of that address from number `from` on. */
static void mark(const struct wr_cycle *c, const struct place *p, uint32_t from, uint32_t bits)
{
    for (struct wr_listener *l = wr_conf_listens(c->conf)->first; l != NULL; l = l->next) {
        if (l->opts.type != p->type || !wr_addr_eq(&l->addr, &p->addr))
            continue;
        for (uint32_t i = from; i < l->nfds && l->fds[i].share < c->nshares; i++)
            own(c, l->fds[i].share, c->owner[l->fds[i].share] | bits);
    }
}

#if WR_HAVE_REUSEPORT_CBPF
/* Let the kernel queue new connections only on the first n sockets of the address. */
static void steer(const struct place *p, uint32_t n)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, n),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = { .len = WR_COUNT(code), .filter = code };

    if (setsockopt(p->fds.at[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
                   sizeof(program)) != 0)
        wr_say(WR_LOG_WARN, errno, "setsockopt(SO_ATTACH_REUSEPORT_CBPF) failed");
}

void wr_sockets_unsteer(void)
{
    struct place *p;
    int unused = 0;

    for EACH_PLACE(p) {
        if (!is_unix(p)) /* fails with ENOENT where no filter is attached */
            (void)setsockopt(p->fds.at[0], SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused,
                             sizeof(unused));
    }
}
#else
static void steer(const struct place *p, uint32_t n)
{
    (void)p;
    (void)n;
}

void wr_sockets_unsteer(void)
{
}
#endif

/* A rollback: the old binary goes on with its sockets. Those that this binary has added get no new
 * connections, and are closed when handshakes that have begun had time to end. */
static void give_back(const struct place *p, struct wr_cycle *before)
{
    if (is_unix(p) || p->inherited == p->fds.n)
        return;
    steer(p, p->inherited);
    for (struct wr_cycle *c = before; c != NULL; c = c->old)
        mark(c, p, p->inherited, WR_OWNER_GONE | WR_OWNER_SLOW);
}

void wr_sockets_drop(const struct wr_cycle *now, struct wr_cycle *before)
{
    struct place *p;

    for EACH_PLACE(p) {
        if (listener_at(now, p) != NULL)
            continue;
        if (now == NULL && p->inherited > 0 && wr_upgrade_old_lives()) {
            give_back(p, before);
            continue;
        }
        for (struct wr_cycle *c = before; c != NULL; c = c->old)
            mark(c, p, 0, WR_OWNER_GONE | (overlaps(now, p) ? WR_OWNER_MOVED : 0));
        if (now == NULL)
            continue; /* the end: wr_sockets_end closes them */
        if (overlaps(now, p)) {
            wr_list_remove(&p->link);
            wr_list_push(&parting, &p->link);
            continue;
        }
        if (p->inherited == 0 || !wr_upgrade_old_lives())
            place_unlink(p);
        place_close(p);
    }
}

void wr_sockets_part(void)
{
    while (!wr_list_empty(&parting)) {
        struct place *p = wr_container(parting.next, struct place, link);
        bool deaf = p->inherited == 0 || !wr_upgrade_old_lives();

        /* EPERM: some kernels allow this only to privileged processes. */
        for (uint32_t i = 0; deaf && i < p->fds.n; i++)
            (void)wr_socket_deafen(p->fds.at[i]);
        place_close(p);
    }
}

void wr_sockets_keep_only(const struct wr_cycle *c)
{
    struct place *p;

    for EACH_PLACE(p) {
        const struct wr_listener *l = listener_at(c, p);

        while (p->fds.n > (l != NULL ? l->nfds : 0))
            close(p->fds.at[--p->fds.n]);
    }
}

void wr_sockets_end(bool others)
{
    struct place *p;

    for EACH_PLACE(p) {
        close_all(p);
        if (others && is_unix(p))
            continue;
        place_unlink(p);
        place_close(p);
    }
}

/* ---- upgrade ---- */

void wr_sockets_export(struct wr_text *out)
{
    struct place *p;

    for EACH_PLACE(p) {
        wr_text_fmt(out, "listen %d ", p->type);
        for (uint32_t i = 0; i < p->fds.n; i++)
            wr_text_fmt(out, "%s%d", i > 0 ? "," : "", p->fds.at[i]);
        wr_text_char(out, ' ');
        wr_addr_text(&p->addr, out);
        wr_text_char(out, '\n');
    }
}

void wr_sockets_inherit(bool on)
{
    struct place *p;

    for EACH_PLACE(p) {
        for (uint32_t i = 0; i < p->fds.n; i++)
            (void)fcntl(p->fds.at[i], F_SETFD, on ? 0 : FD_CLOEXEC);
    }
}

/* The line comes from the environment: accept a descriptor only if the kernel confirms it. */
static bool is_socket_at(int fd, const struct wr_addr *a)
{
    struct wr_addr local;

    return wr_socket_local(fd, &local) && wr_addr_eq(&local, a);
}

bool wr_sockets_import(struct wr_str line)
{
    struct wr_str word = wr_str_cut(&line, ' '), type = wr_str_cut(&line, ' ');
    struct wr_str fds = wr_str_cut(&line, ' ');
    uint64_t kind, fd;
    struct wr_addr a;
    struct place *p;

    if (!wr_str_is(word, "listen") || !wr_str_u64(type, &kind) || kind > INT32_MAX ||
        !wr_addr_parse(line, 0, &a) || find(&a, (int)kind) != NULL)
        return false;
    p = place_new(&a, (int)kind);
    while (fds.n > 0) {
        if (wr_str_u64(wr_str_cut(&fds, ','), &fd) && fd <= INT32_MAX &&
            is_socket_at((int)fd, &a))
            add_fd(p, (int)fd);
    }
    p->inherited = p->kept = p->fds.n;
    if (p->fds.n > 0)
        return true;
    place_close(p);
    return false;
}
