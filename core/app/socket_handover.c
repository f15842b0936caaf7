/* socket_handover: listening sockets that go from one generation or binary to the next: dropping
 * addresses without a reset connection, and the list of sockets for a new binary. Called by launch,
 * master and upgrade. Owns the sockets between wr_sockets_drop and wr_sockets_hand_over. */
#include "app/app_impl.h"

#include <errno.h>
#include <fcntl.h>
#if WR_HAVE_REUSEPORT_CBPF
#include <linux/filter.h>
#endif

static struct wr_link handed_over = { &handed_over, &handed_over };

/* ---- between binaries ---- */

#if WR_HAVE_REUSEPORT_CBPF
/* Let the kernel queue new connections only on the first n sockets of the address. */
static void steer_clients(const struct wr_bound *b, uint32_t n)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, n),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = { .len = WR_COUNT(code), .filter = code };

    if (setsockopt(b->fds.at[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
                   sizeof(program)) != 0)
        wr_say(WR_LOG_WARN, errno, "setsockopt(SO_ATTACH_REUSEPORT_CBPF) failed");
}

void wr_sockets_unsteer(void)
{
    int unused = 0;

    for (struct wr_bound *b = wr_bound_first(); b != NULL; b = wr_bound_next(b)) {
        if (!wr_bound_is_unix(b)) /* fails with ENOENT where no filter is attached */
            (void)setsockopt(b->fds.at[0], SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused,
                             sizeof(unused));
    }
}
#else
static void steer_clients(const struct wr_bound *b, uint32_t n)
{
    (void)b;
    (void)n;
}

void wr_sockets_unsteer(void)
{
}
#endif

/* ---- dropped addresses ---- */

/* True: a listener of `now` gets some or all of the clients that connect to that address. */
static bool is_overlapped(const struct wr_cycle *now, const struct wr_bound *b)
{
    if (now == NULL || wr_bound_is_unix(b))
        return false;
    for (struct wr_listener *l = wr_conf_listens(now->conf)->first; l != NULL; l = l->next) {
        if (!l->in_kernel && l->opts.type == b->type &&
            wr_addr_port(&l->addr) == wr_addr_port(&b->addr) &&
            (wr_addr_wildcard(&l->addr) || wr_addr_wildcard(&b->addr)))
            return true;
    }
    return false;
}

/* A rollback: the old binary goes on with its sockets. Those that this binary has added get no new
 * connections, and are closed when handshakes that have begun had time to end. */
static void give_back(const struct wr_bound *b, struct wr_cycle *before)
{
    if (wr_bound_is_unix(b) || b->inherited == b->fds.n)
        return;
    steer_clients(b, b->inherited);
    for (struct wr_cycle *c = before; c != NULL; c = c->old)
        wr_owners_mark(c, b, b->inherited, WR_OWNER_GONE | WR_OWNER_SLOW);
}

void wr_sockets_drop(const struct wr_cycle *now, struct wr_cycle *before)
{
    struct wr_bound *next;

    for (struct wr_bound *b = wr_bound_first(); b != NULL; b = next) {
        next = wr_bound_next(b);
        if (wr_listener_at(now, b) != NULL)
            continue;
        if (now == NULL && b->inherited > 0 && wr_old_master_is_alive()) {
            give_back(b, before);
            continue;
        }
        for (struct wr_cycle *c = before; c != NULL; c = c->old)
            wr_owners_mark(c, b, 0, WR_OWNER_GONE | (is_overlapped(now, b) ? WR_OWNER_MOVED : 0));
        if (now == NULL)
            continue; /* the end: wr_sockets_end closes them */
        if (is_overlapped(now, b)) {
            wr_list_remove(&b->link);
            wr_list_push(&handed_over, &b->link);
            continue;
        }
        if (b->inherited == 0 || !wr_old_master_is_alive())
            wr_bound_remove_file(b);
        wr_bound_close(b);
    }
}

void wr_sockets_hand_over(void)
{
    while (!wr_list_empty(&handed_over)) {
        struct wr_bound *b = wr_container(handed_over.next, struct wr_bound, link);
        bool deaf = b->inherited == 0 || !wr_old_master_is_alive();

        /* EPERM: some kernels allow this only to privileged processes. */
        for (uint32_t i = 0; deaf && i < b->fds.n; i++)
            (void)wr_socket_deafen(b->fds.at[i]);
        wr_bound_close(b);
    }
}

/* ---- upgrade ---- */

void wr_sockets_export(struct wr_text *out)
{
    for (struct wr_bound *b = wr_bound_first(); b != NULL; b = wr_bound_next(b)) {
        wr_text_fmt(out, "listen %d ", b->type);
        for (uint32_t i = 0; i < b->fds.n; i++)
            wr_text_fmt(out, "%s%d", i > 0 ? "," : "", b->fds.at[i]);
        wr_text_char(out, ' ');
        wr_addr_text(&b->addr, out);
        wr_text_char(out, '\n');
    }
}

void wr_sockets_inherit(bool on)
{
    for (struct wr_bound *b = wr_bound_first(); b != NULL; b = wr_bound_next(b)) {
        for (uint32_t i = 0; i < b->fds.n; i++)
            (void)fcntl(b->fds.at[i], F_SETFD, on ? 0 : FD_CLOEXEC);
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
    struct wr_bound *b;

    if (!wr_str_is(word, "listen") || !wr_str_u64(type, &kind) || kind > INT32_MAX ||
        !wr_addr_parse(line, 0, &a) || wr_bound_find(&a, (int)kind) != NULL)
        return false;
    b = wr_bound_add(&a, (int)kind);
    while (fds.n > 0) {
        if (wr_str_u64(wr_str_cut(&fds, ','), &fd) && fd <= INT32_MAX &&
            is_socket_at((int)fd, &a))
            wr_bound_add_fd(b, (int)fd);
    }
    b->inherited = b->kept = b->fds.n;
    if (b->fds.n > 0)
        return true;
    wr_bound_close(b);
    return false;
}
