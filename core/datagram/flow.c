/* flow: the datagrams of one client, and the sessions of this process by their addresses. receive
 * calls wr_flow_arrived; the layer forwards what came and replies. A flow belongs to its session
 * and is freed with it; the client's endpoint of the session's exchange is here. */
#include "datagram/datagram_impl.h"

#include <errno.h>
#include <sys/uio.h>

#define KEPT_MOST (64 * 1024)  /* bytes of datagrams that wait for a peer */
#define BUCKETS_MIN 64
#define IOV 64

struct wr_flow {
    struct wr_session_part part; /* first: ends with the session */
    struct wr_doomed doomed;
    struct wr_session *s;        /* NULL: there is none yet, or it has ended */
    struct wr_accepting *at;     /* the socket the client is answered through */
    struct wr_addr client, local;
    uint64_t hash, key;          /* key: of the directory (mail) */
    struct wr_flow *next, **back; /* in a bucket; back NULL: released, no datagram finds it */
    struct wr_link young;        /* in `one_packet`, the longest idle first */
    struct wr_kept kept;         /* not forwarded yet */
    struct wr_trains *now;         /* just received, behind those; NULL: none */
    uint64_t arrived, limit;     /* datagrams; limit 0: any number */
    bool ended;
};

static struct {
    struct wr_flow **buckets;
    uint32_t n, size;            /* size: a power of 2, or 0 */
    struct wr_link one_packet;
} flows = { .one_packet = { &flows.one_packet, &flows.one_packet } };

/* ---- by addresses ---- */

static uint64_t hash_addrs(const struct wr_addr *client, const struct wr_addr *local)
{
    char key[2 * (16 + 2)];
    struct wr_text t = wr_text_on(key, sizeof(key));
    uint16_t ports[2] = { wr_addr_port(client), wr_addr_port(local) };

    wr_text_str(&t, wr_addr_bytes(client));
    wr_text_str(&t, wr_addr_bytes(local));
    wr_text_str(&t, wr_str_of((const char *)ports, sizeof(ports)));
    return wr_hash(wr_text_view(&t));
}

static void link_flow(struct wr_flow *f)
{
    struct wr_flow **at = &flows.buckets[f->hash & (flows.size - 1)];

    f->next = *at;
    f->back = at;
    if (f->next != NULL)
        f->next->back = &f->next;
    *at = f;
}

static void grow_table(void)
{
    struct wr_flow **old = flows.buckets;
    uint32_t size = flows.size;

    flows.size = wr_max(2 * size, (uint32_t)BUCKETS_MIN);
    flows.buckets = wr_calloc(flows.size, sizeof(*flows.buckets));
    for (uint32_t i = 0; i < size; i++)
        for (struct wr_flow *f = old[i], *next; f != NULL; f = next) {
            next = f->next;
            link_flow(f);
        }
    free(old);
}

static void release_flow(struct wr_flow *f)
{
    if (f->back == NULL)
        return;
    *f->back = f->next;
    if (f->next != NULL)
        f->next->back = f->back;
    f->back = NULL;
    flows.n--;
    wr_mail_hide(f->key);
}

static struct wr_flow *find_flow(const struct wr_addr *client, const struct wr_addr *local,
                                 uint64_t hash)
{
    if (flows.size == 0)
        return NULL;
    for (struct wr_flow *f = flows.buckets[hash & (flows.size - 1)]; f != NULL; f = f->next)
        if (f->hash == hash && wr_addr_eq(&f->client, client) && wr_addr_eq(&f->local, local))
            return f;
    return NULL;
}

/* ---- the client's endpoint ---- */

static struct wr_envelope envelope_of(const struct wr_flow *f)
{
    return (struct wr_envelope){
        .to = &f->client,
        .from = wr_addr_wildcard(&f->at->listener->addr) && !wr_addr_wildcard(&f->local)
              ? &f->local : NULL,
    };
}

static struct wr_flow *flow_of(const struct wr_endpoint *e)
{
    return e->state;
}

/* Datagrams are forwarded as such (wr_flow_forward), not as bytes. */
static enum wr_io flow_read(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    (void)e;
    (void)p;
    (void)n;
    *got = 0;
    return WR_IO_AGAIN;
}

/* One datagram of all bytes of the chain (the text of `return`). */
static enum wr_io flow_write(struct wr_endpoint *e, const struct wr_slice *chain, bool fin,
                             size_t *put)
{
    struct wr_envelope to = envelope_of(flow_of(e));
    char *whole;
    struct wr_train t = { 0 };
    struct wr_trains l = { &t, 1 };
    struct wr_count sent = { 0 };
    int err = 0;

    (void)fin;
    *put = 0;
    if (chain == NULL)
        return WR_IO_OK;
    for (const struct wr_slice *s = chain; s != NULL; s = s->next)
        t.n += s->n;
    whole = wr_calloc(1, t.n + 1);
    t.p = whole;
    t.size = t.n;
    for (const struct wr_slice *s = chain; s != NULL; s = s->next) {
        memcpy(whole + *put, s->p, s->n);
        *put += s->n;
    }
    (void)!wr_envelope_send(flow_of(e)->at->fd, &to, &l, &sent, &err);
    free(whole);
    e->conn->sent += sent.bytes;
    e->conn->error = err;
    return err == 0 ? WR_IO_OK : WR_IO_ERROR;
}

static void flow_end(struct wr_endpoint *e, enum wr_end how)
{
    (void)how;
    e->ops = NULL;
}

static const struct wr_endpoint_ops flow_ops = {
    .name = "datagrams",
    .read = flow_read,
    .write = flow_write,
    .end = flow_end,
};

/* ---- beginning and end ---- */

static void free_flow(struct wr_doomed *d)
{
    free(wr_container(d, struct wr_flow, doomed));
}

static void end_flow(struct wr_session_part *p, struct wr_session *s)
{
    struct wr_flow *f = wr_container(p, struct wr_flow, part);

    f->ended = true;
    f->s = NULL;
    f->now = NULL;
    wr_flow_busy(f);
    release_flow(f);
    wr_kept_clear(&f->kept);
    f->at->users--;
    f->doomed.free = free_flow;
    wr_condemn(s->loop, &f->doomed);
}

static struct wr_flow *make_flow(struct wr_accepting *a, const struct wr_addr *client,
                                 const struct wr_addr *local, uint64_t hash)
{
    struct wr_flow *f;

    if (!wr_connections_room(WR_CLIENT)) {
        wr_connections_refused(WR_CLIENT, 0);
        return NULL;
    }
    f = wr_calloc(1, sizeof(*f));
    f->part.end = end_flow;
    f->at = a;
    f->client = *client;
    f->local = *local;
    f->hash = hash;
    f->key = wr_mail_key(client, local);
    a->users++;
    if (flows.n >= flows.size)
        grow_table();
    flows.n++;
    link_flow(f);
    wr_mail_show(f->key);
    return f;
}

static void begin_session(struct wr_flow *f, uint64_t bytes)
{
    wr_session_of_flow(f->at->listener, &(struct wr_flow_client){
        .client = f->client, .local = f->local, .flow = f, .ops = &flow_ops, .part = &f->part,
        .received = bytes, .made = &f->s });
}

/* ---- datagrams of the client ---- */

/* Counts what arrived, and lets the exchange run on it at once: that spares a turn and a copy. */
static void pass_to_session(struct wr_flow *f, struct wr_trains *l)
{
    struct wr_count c = wr_trains_count(l);

    f->arrived += c.datagrams;
    wr_flow_busy(f);
    f->now = l;
    if (f->s == NULL) {
        begin_session(f, c.bytes);
    } else {
        f->s->conn.received += c.bytes;
        if (f->s->x != NULL)
            wr_exchange_run(f->s->x);
    }
    if (f->ended)
        return;
    f->now = NULL;
    if (l->n > 0)
        (void)wr_kept_add(&f->kept, l, KEPT_MOST);
    if (f->limit > 0 && f->arrived >= f->limit)
        release_flow(f);
}

void wr_flow_arrived(struct wr_accepting *a, const struct wr_addr *client,
                     const struct wr_addr *local, struct wr_trains *l)
{
    uint64_t hash = hash_addrs(client, local);

    while (l->n > 0) {
        struct wr_flow *f = find_flow(client, local, hash);
        struct wr_train first;
        struct wr_trains one = { &first, 1 };

        if (f == NULL && (wr_mail_forward(wr_mail_key(client, local), client, local, l)
                          || a->draining || (f = make_flow(a, client, local, hash)) == NULL))
            return;
        if (f->s != NULL && f->limit == 0) {
            pass_to_session(f, l);
            return;
        }
        first = wr_trains_first(l); /* a new session is not asked for more before it has begun */
        pass_to_session(f, &one);
    }
}

bool wr_flow_found(const struct wr_addr *client, const struct wr_addr *local, struct wr_trains *l)
{
    struct wr_flow *f = find_flow(client, local, hash_addrs(client, local));

    if (f != NULL)
        pass_to_session(f, l);
    return f != NULL;
}

void wr_flow_begin(struct wr_accepting *a, const struct wr_addr *client,
                   const struct wr_addr *local, struct wr_trains *l)
{
    struct wr_flow *f = make_flow(a, client, local, hash_addrs(client, local));

    if (f != NULL)
        pass_to_session(f, l);
}

static void copy_sent(const struct wr_flow_copy *copy, struct wr_trains l, uint64_t datagrams)
{
    for (; datagrams > 0; datagrams--) {
        struct wr_train one = wr_trains_first(&l);

        (void)wr_kept_add(copy->to, &(struct wr_trains){ &one, 1 }, copy->most);
    }
}

static enum wr_io send_some(struct wr_trains *l, struct wr_conn *peer,
                            const struct wr_flow_copy *copy, struct wr_count *sent)
{
    struct wr_train trains[WR_TRAINS];
    uint64_t before = wr_trains_count(l).datagrams;
    struct wr_trains all = { trains, l->n };
    enum wr_io io;

    if (copy != NULL)
        memcpy(trains, l->at, l->n * sizeof(*l->at));
    io = wr_trains_send(peer, l, sent);
    if (copy != NULL)
        copy_sent(copy, all, before - wr_trains_count(l).datagrams);
    return io;
}

enum wr_io wr_flow_forward(struct wr_flow *f, struct wr_conn *peer, const struct wr_flow_copy *copy,
                           struct wr_count *sent)
{
    enum wr_io io = WR_IO_OK;

    while (io == WR_IO_OK && f->kept.first != NULL) {
        struct wr_train trains[WR_TRAINS];
        struct wr_trains l = wr_kept_load(&f->kept, trains);
        uint64_t all = l.n;

        io = send_some(&l, peer, copy, sent);
        wr_kept_drop(&f->kept, all - l.n);
    }
    if (io == WR_IO_OK && f->now != NULL && f->now->n > 0)
        io = send_some(f->now, peer, copy, sent);
    return io;
}

struct wr_count wr_flow_reply(struct wr_flow *f, struct wr_trains *l, uint64_t *lost)
{
    struct wr_count all = wr_trains_count(l), sent = { 0 };
    struct wr_envelope to = envelope_of(f);
    int err = 0;

    (void)!wr_envelope_send(f->at->fd, &to, l, &sent, &err);
    f->s->conn.sent += sent.bytes;
    f->s->conn.error = err;
    *lost = all.datagrams - sent.datagrams;
    return sent;
}

void wr_flow_limit(struct wr_flow *f, uint64_t datagrams)
{
    f->limit = datagrams;
}

bool wr_flow_is_complete(const struct wr_flow *f)
{
    return (f->limit == 0 || f->arrived >= f->limit) && f->kept.first == NULL
        && (f->now == NULL || f->now->n == 0);
}

struct wr_str wr_flow_peek(const struct wr_flow *f)
{
    struct wr_train trains[WR_TRAINS];
    struct wr_trains l = wr_kept_load(&f->kept, trains);

    if (l.n == 0 && f->now != NULL)
        l = *f->now;
    return l.n == 0 ? wr_str_of(NULL, 0) : wr_str_of(l.at->p, wr_min(l.at->n, l.at->size));
}

/* ---- making room ---- */

void wr_flow_idle(struct wr_flow *f)
{
    if (f->arrived == 1 && !wr_linked(&f->young))
        wr_list_push(&flows.one_packet, &f->young);
}

void wr_flow_busy(struct wr_flow *f)
{
    wr_list_remove(&f->young);
}

bool wr_flows_spare(void)
{
    struct wr_flow *f;

    if (wr_list_empty(&flows.one_packet))
        return false;
    f = wr_container(flows.one_packet.next, struct wr_flow, young);
    wr_session_log(f->s, "proxying datagrams", WR_LOG_INFO, 0,
                   "ended to make room for other clients");
    wr_session_end(f->s);
    return true;
}
