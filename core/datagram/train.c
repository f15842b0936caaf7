/* train: many datagrams by one system call, from and to sockets. Called by receive and flow for
 * listening sockets, by the layer for peers. Owns the memory that datagrams are read into; pages
 * that are never touched use none. */
#include "datagram/datagram_impl.h"

#include <errno.h>
#include <netinet/ip.h>

#define ROOM 65536             /* more than any datagram has */

/* ---- reading ---- */

union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};
static struct inbox {          /* for one call of recvmmsg() */
    struct mmsghdr head[WR_TRAINS];
    struct iovec part[WR_TRAINS];
    union control control[WR_TRAINS];
    struct wr_addr name[WR_TRAINS];
    bool ready;
} of_listeners, of_peers;
static char clients_room[WR_TRAINS][ROOM], peers_room[WR_TRAINS][ROOM];
static struct wr_train from_peer[WR_TRAINS];

static void prepare_inbox(struct inbox *in, char (*room)[ROOM], bool named)
{
    for (uint32_t i = 0; i < WR_TRAINS; i++) {
        struct msghdr *m = &in->head[i].msg_hdr;

        in->part[i] = (struct iovec){ room[i], ROOM };
        m->msg_iov = &in->part[i];
        m->msg_iovlen = 1;
        if (named) {
            m->msg_name = &in->name[i].sa;
            m->msg_namelen = offsetof(struct wr_addr, len);
            m->msg_control = &in->control[i];
            m->msg_controllen = sizeof(in->control[i]);
        }
    }
    in->ready = true;
}

/* The kernel has written lengths into the heads it used. */
static void renew_heads(struct inbox *in, int n)
{
    for (int i = 0; i < n; i++) {
        struct msghdr *m = &in->head[i].msg_hdr;

        m->msg_namelen = offsetof(struct wr_addr, len);
        m->msg_controllen = sizeof(in->control[i]);
    }
}

static int read_batch(int fd, struct inbox *in)
{
    int n;

    do {
        n = recvmmsg(fd, in->head, WR_TRAINS, MSG_DONTWAIT, NULL);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* The address a datagram was sent to; the listener's where the kernel does not tell. */
static void read_local(struct msghdr *m, const struct wr_addr *bound, struct wr_addr *out)
{
    *out = *bound;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof(info));
            out->in.sin_addr = info.ipi_spec_dst; /* of a broadcast: our own address */
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;

            memcpy(&info, CMSG_DATA(c), sizeof(info));
            if (IN6_IS_ADDR_MULTICAST(&info.ipi6_addr))
                continue; /* nothing can be sent from it */
            out->in6.sin6_addr = info.ipi6_addr;
            if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
                out->in6.sin6_scope_id = info.ipi6_ifindex;
        }
    }
}

bool wr_arrivals_read(const struct wr_accepting *a, struct wr_arrivals *out)
{
    struct inbox *in = &of_listeners;
    size_t any = 1;
    int n;

    if (!in->ready)
        prepare_inbox(in, clients_room, true);
    out->n = 0;
    if (!wr_chaos_io(&any)) {
        errno = EINTR;
        return false;
    }
    n = read_batch(a->fd, in);
    if (n < 0)
        return false;
    for (int i = 0; i < n; i++) {
        struct mmsghdr *h = &in->head[i];

        out->train[i] = (struct wr_train){ clients_room[i], h->msg_len, ROOM };
        out->client[i] = in->name[i];
        out->client[i].len = h->msg_hdr.msg_namelen;
        if (h->msg_hdr.msg_controllen > 0)
            read_local(&h->msg_hdr, &a->listener->addr, &out->local[i]);
        else
            out->local[i] = a->listener->addr;
    }
    out->n = (uint32_t)n;
    renew_heads(in, n);
    return true;
}

static void set_unready(struct wr_conn *c, enum wr_ready bit)
{
    c->ready = (uint8_t)(c->ready & ~(unsigned)bit);
}

/* Wakes the task, as no event will. */
static enum wr_io pretend_again(struct wr_conn *c)
{
    wr_task_wake(c->loop, c->task);
    return WR_IO_AGAIN;
}

enum wr_io wr_trains_read(struct wr_conn *c, struct wr_trains *out)
{
    size_t any = 1;
    int n;

    if (!of_peers.ready)
        prepare_inbox(&of_peers, peers_room, false);
    *out = (struct wr_trains){ from_peer, 0 };
    if ((c->ready & WR_READABLE) == 0)
        return WR_IO_AGAIN;
    if (!wr_chaos_io(&any))
        return pretend_again(c);
    n = read_batch(c->fd, &of_peers);
    if (n < 0 && errno != EAGAIN) {
        c->error = errno;
        return WR_IO_ERROR;
    }
    if (n < WR_TRAINS) /* the socket is empty, or has an error: that is a new event */
        set_unready(c, WR_READABLE);
    if (n <= 0)
        return WR_IO_AGAIN;
    for (int i = 0; i < n; i++) {
        from_peer[i] = (struct wr_train){ peers_room[i], of_peers.head[i].msg_len, ROOM };
        c->received += from_peer[i].n;
    }
    out->n = (uint32_t)n;
    return WR_IO_OK;
}

/* ---- sending ---- */

static struct outbox {         /* for one call of sendmmsg() */
    struct mmsghdr head[WR_TRAINS];
    struct iovec part[WR_TRAINS];
} out_box;

bool wr_is_unreachable(int err)
{
    switch (err) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case ENONET:
    case ENOPROTOOPT:          /* ICMP: the protocol is not known there */
    case ENOTCONN:
    case EPIPE:
    case EBADF:
        return true;
    default: /* EMSGSIZE, EPERM (a packet filter), ENOBUFS, EINVAL (a source that is gone) */
        return false;
    }
}

/* Copies the heads of the first datagrams of l into the outbox, one each; returns how many. */
static unsigned pack_load(const struct wr_trains *l, const struct msghdr *like)
{
    unsigned n = 0, most = WR_TRAINS;
    size_t any = 2;

    if (!wr_chaos_io(&any) || any < 2)
        most = 1;
    for (uint32_t i = 0; i < l->n && n < most; i++) {
        struct wr_train t = l->at[i];
        struct wr_trains left = { &t, 1 };

        while (left.n > 0 && n < most) {
            struct wr_train one = wr_trains_first(&left);

            out_box.part[n] = (struct iovec){ (void *)(uintptr_t)one.p, one.n };
            out_box.head[n].msg_hdr = *like;
            out_box.head[n].msg_hdr.msg_iov = &out_box.part[n];
            out_box.head[n].msg_hdr.msg_iovlen = 1;
            n++;
        }
    }
    return n;
}

/* Returns how many of the first n datagrams of the outbox were sent; -1: errno. */
static int send_batch(int fd, unsigned n)
{
    int r;

    do {
        if (n == 1)
            r = sendmsg(fd, &out_box.head[0].msg_hdr, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 1;
        else
            r = sendmmsg(fd, out_box.head, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (r < 0 && errno == EINTR);
    return r;
}

static void pass_first(struct wr_trains *l, int n, struct wr_count *sent)
{
    for (int i = 0; i < n; i++)
        sent->bytes += wr_trains_first(l).n;
    sent->datagrams += (uint64_t)n;
}

/* ERROR: the peer is unreachable, errno. *err: errno of the last datagram that was left out. */
static enum wr_io send_load(int fd, const struct msghdr *like, struct wr_trains *l,
                            struct wr_count *sent, int *err)
{
    while (l->n > 0) {
        int n = send_batch(fd, pack_load(l, like));

        if (n > 0) {
            pass_first(l, n, sent);
            continue;
        }
        if (errno == EAGAIN)
            return WR_IO_AGAIN;
        if (wr_is_unreachable(errno))
            return WR_IO_ERROR;
        *err = errno;
        (void)wr_trains_first(l);
    }
    return WR_IO_OK;
}

enum wr_io wr_trains_send(struct wr_conn *c, struct wr_trains *l, struct wr_count *sent)
{
    const struct msghdr plain = { 0 };
    struct wr_count now = { 0 };
    enum wr_io io;

    c->error = 0;
    if ((c->ready & WR_WRITABLE) == 0)
        return WR_IO_AGAIN;
    io = send_load(c->fd, &plain, l, &now, &c->error);
    if (io == WR_IO_ERROR)
        c->error = errno;
    else if (io == WR_IO_AGAIN)
        wr_conn_full(c);
    c->sent += now.bytes;
    sent->bytes += now.bytes;
    sent->datagrams += now.datagrams;
    return io;
}

/* Fills in the address to send from; returns the length of the control message. */
static size_t write_source(union control *u, struct msghdr *m, const struct wr_addr *from)
{
    bool six = from->sa.sa_family == AF_INET6;
    struct cmsghdr *c;

    memset(u, 0, sizeof(*u));
    m->msg_control = u;
    m->msg_controllen = sizeof(*u);
    c = CMSG_FIRSTHDR(m);
    if (six) {
        struct in6_pktinfo info = { .ipi6_addr = from->in6.sin6_addr,
                                    .ipi6_ifindex = from->in6.sin6_scope_id };

        c->cmsg_level = IPPROTO_IPV6;
        c->cmsg_type = IPV6_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(c), &info, sizeof(info));
        return CMSG_SPACE(sizeof(info));
    }
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    memcpy(CMSG_DATA(c), &(struct in_pktinfo){ .ipi_spec_dst = from->in.sin_addr },
           sizeof(struct in_pktinfo));
    return CMSG_SPACE(sizeof(struct in_pktinfo));
}

/* No error of an earlier datagram is reported on a socket that is not connected: what is called
 * unreachable is about this one, too. */
enum wr_io wr_envelope_send(int fd, const struct wr_envelope *e, struct wr_trains *l,
                            struct wr_count *sent, int *err)
{
    union control control;
    struct msghdr m = { .msg_name = (void *)(uintptr_t)&e->to->sa, .msg_namelen = e->to->len };
    enum wr_io io;

    if (e->from != NULL)
        m.msg_controllen = write_source(&control, &m, e->from);
    while ((io = send_load(fd, &m, l, sent, err)) == WR_IO_ERROR) {
        *err = errno;
        (void)wr_trains_first(l);
    }
    return io;
}
