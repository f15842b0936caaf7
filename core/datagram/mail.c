/* mail: datagrams that another process has read for sessions of this one. After a reload, an
 * upgrade or the death of a worker a listening socket is read by a process that does not have the
 * sessions of all clients that send there. That process looks in the directory, which all share,
 * and puts the datagram into the mail box of the process that has the session.
 *
 * A box belongs to the process that holds the lock on its byte. The directory has a mark for each
 * session: a part of the hash of its addresses, the box, and how often the box has changed hands.
 * Any byte of the segment may be anything at any time: a wrong mark costs a look or a datagram, a
 * wrong record is dropped with all behind it. docs/decisions/udp.md has the reasons. */
#include "datagram/datagram_impl.h"

#include <errno.h>
#include <sys/mman.h>

#define LAYOUT 1
#define BOXES 512
#define BUCKETS 32768
#define WAYS 8
#define LOCK_OWNER 1           /* bytes that are locked: by the owner of a box, for life ... */
#define LOCK_SENDER (LOCK_OWNER + BOXES) /* ... and by who puts something into it */
#define SEND_MS 2
#define BEGIN_MS 100
#define TAKEN_A_TURN 64

struct box {
    _Atomic uint32_t change;   /* grows each time a process takes the box */
    _Atomic uint32_t slot;     /* of that process, for its bell */
    _Atomic uint64_t written, taken; /* bytes, since it took the box */
    char pad[40];
};
struct head {
    _Atomic uint64_t seed;     /* of the hash, which no client shall know; 0: not set yet */
};
struct parts {
    struct head *head;
    _Atomic uint64_t *marks;   /* BUCKETS times WAYS; 0: none */
    struct box *boxes;
    char *rings;               /* WR_MAIL_RING bytes for each box */
};

struct post {                  /* of a configuration */
    struct wr_shm *shm;
    const struct wr_listener *listeners;
};

static struct {
    const struct post *post;   /* NULL: this process looks nowhere, and nobody finds its sessions */
    struct parts p;
    uint64_t seed;
    uint32_t box, change;      /* ours */
    struct wr_loop *loop;
    struct wr_task task;
} me;

static size_t place_parts(struct wr_zone *z, struct parts *p)
{
    p->head = wr_zone_part(z, sizeof(*p->head));
    p->marks = wr_zone_part(z, sizeof(*p->marks) * BUCKETS * WAYS);
    p->boxes = wr_zone_part(z, sizeof(*p->boxes) * BOXES);
    p->rings = wr_zone_part(z, (size_t)WR_MAIL_RING * BOXES);
    return z->n;
}

/* ---- marks ---- */

static _Atomic uint64_t *bucket_of(uint64_t key)
{
    return me.p.marks + (key & (BUCKETS - 1)) * WAYS;
}

static uint64_t make_mark(uint64_t key, uint32_t box, uint32_t change)
{
    return (key >> 19 | 1) << 19 | (uint64_t)(box & 511) << 10 | (change & 1023);
}

static uint32_t box_of(uint64_t mark)
{
    return (uint32_t)(mark >> 10) & 511;
}

/* A box that changed hands since has none of the sessions that were marked before. */
static bool is_stale(uint64_t mark)
{
    return ((uint32_t)mark & 1023) != (atomic_load(&me.p.boxes[box_of(mark)].change) & 1023);
}

uint64_t wr_mail_key(const struct wr_addr *client, const struct wr_addr *local)
{
    return me.post == NULL ? 0 : wr_hash_stable(wr_addr_bytes(client),
        me.seed ^ wr_addr_hash(local) ^ (uint64_t)wr_addr_port(client) * 0x9e3779b97f4a7c15U);
}

/* In a full bucket a stale mark makes room, or any other: then its session is found by nobody else,
 * which matters only after a reload. */
void wr_mail_show(uint64_t key)
{
    _Atomic uint64_t *at;
    uint64_t mine, old;

    if (me.post == NULL)
        return;
    at = bucket_of(key);
    mine = make_mark(key, me.box, me.change);
    for (uint32_t i = 0; i < WAYS; i++) {
        old = atomic_load_explicit(&at[i], memory_order_relaxed);
        if ((old == 0 || is_stale(old)) && atomic_compare_exchange_strong(&at[i], &old, mine))
            return;
    }
    atomic_store(&at[wr_random() % WAYS], mine);
}

void wr_mail_hide(uint64_t key)
{
    if (me.post == NULL)
        return;
    for (uint32_t i = 0; i < WAYS; i++) {
        uint64_t mine = make_mark(key, me.box, me.change);

        if (atomic_compare_exchange_strong(&bucket_of(key)[i], &mine, 0))
            return;
    }
}

static bool is_owned(uint32_t box)
{
    return wr_locked(me.post->shm->fd, LOCK_OWNER + box);
}

/* The box of another living process that has the session; BOXES: none has. */
static uint32_t find_box(uint64_t key)
{
    _Atomic uint64_t *at = bucket_of(key);

    for (uint32_t i = 0; i < WAYS; i++) {
        uint64_t mark = atomic_load_explicit(&at[i], memory_order_relaxed);

        if (mark == 0 || mark >> 19 != (key >> 19 | 1) || box_of(mark) == me.box)
            continue;
        if (!is_stale(mark) && is_owned(box_of(mark)))
            return box_of(mark);
        (void)atomic_compare_exchange_strong(&at[i], &mark, 0);
    }
    return BOXES;
}

/* ---- putting ---- */

static void copy_in(char *ring, uint64_t at, const void *p, size_t n)
{
    size_t from = (size_t)at & (WR_MAIL_RING - 1), first = wr_min(n, WR_MAIL_RING - from);

    memcpy(ring + from, p, first);
    memcpy(ring, (const char *)p + first, n - first);
}

static void copy_out(const char *ring, uint64_t at, void *p, size_t n)
{
    size_t from = (size_t)at & (WR_MAIL_RING - 1), first = wr_min(n, WR_MAIL_RING - from);

    memcpy(p, ring + from, first);
    memcpy((char *)p + first, ring, n - first);
}

static char *ring_of(uint32_t box)
{
    return me.p.rings + (size_t)box * WR_MAIL_RING;
}

/* Called with the sender's lock. A full box loses the datagram. */
static void write_record(uint32_t box, const struct wr_mail *m)
{
    struct box *b = &me.p.boxes[box];
    uint64_t at = atomic_load(&b->written), used = at - atomic_load(&b->taken);
    struct wr_mail_record r = {
        .size = (uint32_t)((sizeof(r) + m->bytes.n + 7) & ~(size_t)7), .n = (uint32_t)m->bytes.n,
        .from = me.box, .returned = m->returned, .client = m->client, .local = m->local,
    };

    if (at % 8 != 0 || used > WR_MAIL_RING || WR_MAIL_RING - used < r.size)
        return;
    copy_in(ring_of(box), at, &r, sizeof(r));
    copy_in(ring_of(box), at + sizeof(r), m->bytes.p, m->bytes.n);
    atomic_store(&b->written, at + r.size);
}

static void put_mail(uint32_t box, const struct wr_mail *m)
{
    uint32_t slot;

    if (!wr_lock(me.post->shm->fd, LOCK_SENDER + box, SEND_MS))
        return;
    write_record(box, m);
    wr_unlock(me.post->shm->fd, LOCK_SENDER + box);
    slot = atomic_load(&me.p.boxes[box].slot);
    if (slot < WR_SLOTS)
        wr_ring(slot, WR_BELL_DATAGRAMS);
}

bool wr_mail_forward(uint64_t key, const struct wr_addr *client, const struct wr_addr *local,
                     struct wr_trains *l)
{
    struct wr_mail m = { .client = *client, .local = *local };
    uint32_t box = me.post != NULL ? find_box(key) : BOXES;

    if (box >= BOXES)
        return false;
    while (l->n > 0) {
        struct wr_train one = wr_trains_first(l);

        m.bytes = wr_str_of(one.p, one.n);
        put_mail(box, &m);
    }
    return true;
}

/* ---- taking ---- */

static bool is_address(const struct wr_addr *a)
{
    return (a->len == sizeof(a->in) && a->sa.sa_family == AF_INET)
        || (a->len == sizeof(a->in6) && a->sa.sa_family == AF_INET6);
}

bool wr_mail_is_valid(const struct wr_mail_record *r, uint64_t waiting)
{
    return r->size % 8 == 0 && r->size <= waiting && r->n <= WR_DATAGRAM_MOST
        && r->size >= sizeof(*r) + r->n && r->returned <= 1 && is_address(&r->client)
        && is_address(&r->local);
}

/* Copies the next one out of our ring. False: there is none. */
static bool take_mail(struct wr_mail *m, char room[static WR_DATAGRAM_MOST], uint32_t *from)
{
    struct box *b = &me.p.boxes[me.box];
    uint64_t written = atomic_load(&b->written), at = atomic_load(&b->taken);
    uint64_t waiting = written - at;
    struct wr_mail_record r = { 0 };

    if (waiting == 0)
        return false;
    if (waiting <= WR_MAIL_RING && waiting >= sizeof(r))
        copy_out(ring_of(me.box), at, &r, sizeof(r));
    if (!wr_mail_is_valid(&r, waiting) || waiting > WR_MAIL_RING || at % 8 != 0) {
        atomic_store(&b->taken, written);
        return false;
    }
    copy_out(ring_of(me.box), at + sizeof(r), room, r.n);
    atomic_store(&b->taken, at + r.size);
    *m = (struct wr_mail){ r.client, r.local, wr_str_of(room, r.n), r.returned != 0 };
    *from = r.from;
    return true;
}

/* The socket a client of that address is answered through. NULL: the address is not ours. */
static struct wr_accepting *socket_of(const struct wr_addr *local)
{
    struct wr_accepting *found = NULL;

    for (const struct wr_listener *l = me.post->listeners; l != NULL; l = l->next) {
        bool exact = wr_addr_eq(&l->addr, local);

        if (l->opts.type != SOCK_DGRAM || l->nfds == 0 || l->fds[0].fd < 0
            || (!exact && (!wr_addr_wildcard(&l->addr)
                           || l->addr.sa.sa_family != local->sa.sa_family
                           || wr_addr_port(&l->addr) != wr_addr_port(local))))
            continue;
        found = &l->fds[0];
        if (exact)
            break;
    }
    return found;
}

/* The session has ended since the sender looked: it begins another one. */
static void deliver_mail(struct wr_mail *m, uint32_t from)
{
    struct wr_train t = { m->bytes.p, m->bytes.n, WR_DATAGRAM_MOST };
    struct wr_trains l = { &t, 1 };
    struct wr_accepting *a;

    if (wr_flow_found(&m->client, &m->local, &l))
        return;
    if (!m->returned) {
        m->returned = true;
        if (from < BOXES && from != me.box && is_owned(from))
            put_mail(from, m);
        return;
    }
    a = socket_of(&m->local);
    if (a != NULL)
        wr_flow_begin(a, &m->client, &m->local, &l);
}

static void read_box(struct wr_task *t)
{
    static char room[WR_DATAGRAM_MOST];
    struct wr_mail m;
    uint32_t from;

    for (int i = 0; i < TAKEN_A_TURN; i++) {
        if (!take_mail(&m, room, &from))
            return;
        deliver_mail(&m, from);
    }
    wr_task_wake(me.loop, t);
}

/* ---- the beginning and the end ---- */

bool wr_mail_open(struct wr_cf *cf, const struct wr_listener *listeners)
{
    struct post *post = wr_cf_state(cf, &wr_module_mail);
    struct wr_zone z = { 0 };
    struct parts p;
    size_t size = place_parts(&z, &p);
    uint64_t unset = 0;

    post->listeners = listeners;
    post->shm = wr_shm_get(cf->conf->shm, cf->conf->old_shm, "datagrams", LAYOUT, size, size, NULL);
    if (post->shm == NULL)
        return wr_cf_error_at(cf, listeners->node, 0, "shared memory for datagrams could not be "
                              "made (%d: %s)", errno, strerror(errno));
    if (post->shm->fresh) {
        z = wr_zone_of(post->shm);
        (void)place_parts(&z, &p);
        (void)atomic_compare_exchange_strong(&p.head->seed, &unset, wr_random() | 1);
    }
    return true;
}

/* Drops the mail of the process before; the pages go back to the system. */
static void clear_box(uint32_t box)
{
    struct box *b = &me.p.boxes[box];
    uintptr_t page = 4096, first = ((uintptr_t)ring_of(box) + page - 1) & ~(page - 1);
    uintptr_t end = (uintptr_t)ring_of(box + 1) & ~(page - 1);

    (void)madvise((void *)first, end - first, MADV_REMOVE);
    atomic_store(&b->written, 0);
    atomic_store(&b->taken, 0);
}

/* False: all boxes have owners. */
static bool take_box(void)
{
    for (uint32_t i = 0; i < BOXES; i++) {
        uint32_t box = (wr_self.slot + i) % BOXES;

        if (!wr_lock(me.post->shm->fd, LOCK_OWNER + box, 0))
            continue;
        me.box = box;
        if (wr_lock(me.post->shm->fd, LOCK_SENDER + box, BEGIN_MS)) {
            me.change = atomic_fetch_add(&me.p.boxes[box].change, 1) + 1;
            atomic_store(&me.p.boxes[box].slot, wr_self.slot);
            clear_box(box);
            wr_unlock(me.post->shm->fd, LOCK_SENDER + box);
            return true;
        }
        wr_unlock(me.post->shm->fd, LOCK_OWNER + box);
    }
    return false;
}

static bool begin_mail(struct wr_conf *c, struct wr_loop *l)
{
    const struct post *post = wr_conf_state(c, &wr_module_mail);
    struct wr_zone z;

    if (post->shm == NULL)
        return true;
    z = wr_zone_of(post->shm);
    (void)place_parts(&z, &me.p);
    me.post = post;
    me.seed = atomic_load(&me.p.head->seed);
    me.loop = l;
    me.task.run = read_box;
    if (!take_box()) {
        me.post = NULL;
        wr_say(WR_LOG_WARN, 0, "no mail box is free: UDP sessions of this worker end for their "
               "clients when another process reads its sockets");
    }
    return true;
}

static void end_mail(struct wr_conf *c)
{
    (void)c;
    if (me.post == NULL)
        return;
    wr_task_cancel(&me.task);
    clear_box(me.box);
    wr_unlock(me.post->shm->fd, LOCK_OWNER + me.box);
    me.post = NULL;
}

static void mail_rung(uint32_t bits)
{
    if ((bits & WR_BELL_DATAGRAMS) != 0 && me.post != NULL)
        wr_task_wake(me.loop, &me.task);
}

static bool prepare_post(struct wr_cf *cf)
{
    wr_cf_state(cf, &wr_module_mail) = WR_NEW(cf->pool, struct post);
    return true;
}

struct wr_module wr_module_mail = {
    .name = "mail",
    .layers = WR_L4,
    .prepare = prepare_post,
    .worker_init = begin_mail,
    .worker_exit = end_mail,
    .worker_rung = mail_rung,
};
