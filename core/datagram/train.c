/* train: many datagrams by one system call, from and to sockets. Called by receive and flow for
 * listening sockets, by the layer for peers. Owns the memory that datagrams are read into; pages
 * that are never touched use none.
 *
 * The kernel may give several datagrams of one size in one piece (GRO), and takes such a piece
 * (GSO). Where it refuses one (no checksums by the device: EIO; larger than the way allows: EINVAL,
 * EMSGSIZE), its datagrams are sent one by one, and the like for a while. */
#include "datagram/datagram_impl.h"

#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#if !WR_HAVE_UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif
#define MANY 16
#define ROOM 65536             /* more than any datagram has */

/* ---- reading ---- */

union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
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
        m->msg_control = &in->control[i];
        m->msg_controllen = sizeof(in->control[i]);
        if (named) {
            m->msg_name = &in->name[i].sa;
            m->msg_namelen = offsetof(struct wr_addr, len);
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

/* The size of the datagrams of a piece (GRO); a size that is 0 would never end. */
static void read_size(struct msghdr *m, struct wr_train *t)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        int size;

        if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
            continue;
        memcpy(&size, CMSG_DATA(c), sizeof(size));
        if (size > 0)
            t->size = (size_t)size;
    }
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
        out->local[i] = a->listener->addr;
        if (h->msg_hdr.msg_controllen == 0)
            continue;
        read_size(&h->msg_hdr, &out->train[i]);
        read_local(&h->msg_hdr, &a->listener->addr, &out->local[i]);
    }
    out->n = (uint32_t)n;
    renew_heads(in, n);
    return true;
}

/* Asks for pieces, if so many came at once that they may be worth a system call. */
static void ask_for_pieces(const struct wr_conn *c, int n)
{
    int on = 1;

    if (WR_HAVE_UDP_SEGMENT && n >= MANY)
        (void)setsockopt(c->fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
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
        if (of_peers.head[i].msg_hdr.msg_controllen > 0)
            read_size(&of_peers.head[i].msg_hdr, &from_peer[i]);
        c->received += from_peer[i].n;
    }
    renew_heads(&of_peers, n);
    ask_for_pieces(c, n);
    out->n = (uint32_t)n;
    return WR_IO_OK;
}

/* ---- sending ---- */

#define SEGMENTS 64             /* most datagrams of a piece that each kernel with GSO takes */
#define PIECE 65000            /* most bytes of one */
#define PARTS 16
#define REFUSED_MS 60000

union segment {
    struct cmsghdr align;
    char room[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
};
static struct outbox {         /* for one call of sendmmsg() */
    struct mmsghdr head[WR_TRAINS];
    struct iovec part[WR_TRAINS][PARTS];
    union segment control[WR_TRAINS];
    unsigned count[WR_TRAINS]; /* datagrams of each message */
    size_t size[WR_TRAINS];    /* of each of them, but for the last */
} out_box;

static struct {                /* what the kernel refused to split */
    size_t from;               /* datagrams of this size and larger; 0: none */
    uint64_t until_ms;
} refused;

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

static size_t largest_piece(size_t size)
{
    if (size == 0 || (refused.from > 0 && size >= refused.from && wr_now() < refused.until_ms))
        return 1;
    return wr_max(wr_min((size_t)SEGMENTS, PIECE / size), (size_t)1);
}

/* Takes datagrams from the front of l into message n: the first, and those behind it that may be
 * in one piece with it: all of its size, but for the last, which may be shorter. */
static void pack_piece(struct wr_trains *l, unsigned n, bool pieces)
{
    struct iovec *part = out_box.part[n];
    size_t size = wr_min(l->at->n, l->at->size), last = size;
    size_t most = pieces ? largest_piece(size) : 1;
    struct msghdr *m = &out_box.head[n].msg_hdr;

    m->msg_iov = part;
    m->msg_iovlen = 0;
    out_box.count[n] = 0;
    out_box.size[n] = size;
    while (l->n > 0 && out_box.count[n] < most && last == size) {
        struct iovec *v = &part[m->msg_iovlen - (m->msg_iovlen > 0)];
        size_t next = wr_min(l->at->n, l->at->size);
        struct wr_train one;
        bool joins = m->msg_iovlen > 0 && (const char *)v->iov_base + v->iov_len == l->at->p;

        if (out_box.count[n] > 0 && (next == 0 || next > size))
            break;
        if (!joins && m->msg_iovlen == PARTS)
            break;
        one = wr_trains_first(l);
        if (joins)
            v->iov_len += one.n;
        else
            part[m->msg_iovlen++] = (struct iovec){ (void *)(uintptr_t)one.p, one.n };
        out_box.count[n]++;
        last = one.n;
    }
}

/* Adds the size of the datagrams behind the control messages that are there. */
static void write_size(unsigned n, const struct msghdr *like)
{
    struct msghdr *m = &out_box.head[n].msg_hdr;
    uint16_t each = (uint16_t)out_box.size[n];
    struct cmsghdr *c;

    memset(&out_box.control[n], 0, sizeof(out_box.control[n]));
    if (like->msg_controllen > 0)
        memcpy(&out_box.control[n], like->msg_control, like->msg_controllen);
    m->msg_control = &out_box.control[n];
    m->msg_controllen = like->msg_controllen + CMSG_SPACE(sizeof(each));
    c = (struct cmsghdr *)(void *)((char *)&out_box.control[n] + like->msg_controllen);
    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof(each));
    memcpy(CMSG_DATA(c), &each, sizeof(each));
}

/* A unix socket takes a piece for one datagram. Asked only where there is more than one. */
static bool takes_pieces(int fd, const struct wr_trains *l)
{
    int domain = AF_UNIX;
    socklen_t n = sizeof(domain);

    return WR_HAVE_UDP_SEGMENT && l->n > 0 && (l->n > 1 || wr_train_count(l->at) > 1)
        && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0
        && (domain == AF_INET || domain == AF_INET6);
}

/* Fills the outbox from the front of l; returns the number of messages. */
static unsigned pack_load(const struct wr_trains *l, const struct msghdr *like, bool pieces)
{
    struct wr_train trains[WR_TRAINS];
    struct wr_trains left = { trains, wr_min(l->n, (uint32_t)WR_TRAINS) };
    unsigned n = 0, most = WR_TRAINS;
    size_t any = 2;

    if (!wr_chaos_io(&any) || any < 2)
        most = 1;
    memcpy(trains, l->at, left.n * sizeof(*trains));
    while (left.n > 0 && n < most) {
        out_box.head[n].msg_hdr = *like;
        pack_piece(&left, n, pieces);
        if (out_box.count[n] > 1)
            write_size(n, like);
        n++;
    }
    return n;
}

/* Returns how many of the first n messages of the outbox were sent; -1: errno. */
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

/* The first n messages of the outbox were sent. */
static void pass_first(struct wr_trains *l, int n, struct wr_count *sent)
{
    unsigned datagrams = 0;

    for (int i = 0; i < n; i++)
        datagrams += out_box.count[i];
    for (unsigned i = 0; i < datagrams; i++)
        sent->bytes += wr_trains_first(l).n;
    sent->datagrams += datagrams;
}

/* True: the kernel does not split the first message; send its datagrams one by one. */
static bool must_split(int err)
{
    size_t from = err == EIO ? 1 : out_box.size[0];

    if (out_box.count[0] < 2 || (err != EIO && err != EINVAL && err != EMSGSIZE))
        return false;
    refused.from = refused.from == 0 || wr_now() >= refused.until_ms ? from
                                                                     : wr_min(refused.from, from);
    refused.until_ms = wr_now() + REFUSED_MS;
    return true;
}

/* ERROR: the peer is unreachable, errno. *err: errno of the last datagram that was left out. */
static enum wr_io send_load(int fd, const struct msghdr *like, struct wr_trains *l,
                            struct wr_count *sent, int *err)
{
    bool pieces = takes_pieces(fd, l);

    while (l->n > 0) {
        int n = send_batch(fd, pack_load(l, like, pieces));

        if (n > 0) {
            pass_first(l, n, sent);
            continue;
        }
        if (errno == EAGAIN)
            return WR_IO_AGAIN;
        if (wr_is_unreachable(errno))
            return WR_IO_ERROR;
        if (must_split(errno))
            continue;
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
