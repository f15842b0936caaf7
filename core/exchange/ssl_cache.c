/* ssl_cache: TLS sessions in memory that all workers share, so that a client may go on with any of
 * them, and after a reload. Called by OpenSSL in handshakes. The master makes a zone while loading.
 *
 * Sessions are written into a ring, the oldest are overwritten; a table of places, by the hash of
 * the session's id, says where one lies. A place that the ring has passed is no more valid, so
 * nothing is ever freed and a worker that dies leaves nothing to repair. Any bytes may stand in the
 * shared memory: sizes are known from the configuration, what is read is bounded by them. */
#include "exchange/ssl_impl.h"

#define LAYOUT 3
#define SESSION_MAX 8192     /* larger ones are not kept */
#define TYPICAL 256          /* bytes of a session, for the size of the table */
#define WAYS 8               /* places a session may have: with one, two would share it too soon */
#define LOCK_MS 3            /* a session that is not kept costs the client a handshake */

struct entry {               /* in the ring, 8-aligned */
    _Atomic uint64_t expires_s; /* Unix time; 0: removed */
    _Atomic uint32_t n;      /* bytes of the session, behind the id */
    _Atomic uint32_t id_n;
    unsigned char id[SSL_MAX_SSL_SESSION_ID_LENGTH];
    unsigned char session[];
};
struct memory {              /* shared; then the ring */
    _Atomic uint64_t head;   /* bytes ever written; head % ring is where the next one goes */
    _Atomic uint64_t place[]; /* head at the time it was written, plus one; 0: none */
};
struct cache {
    struct memory *m;
    uint32_t places;         /* a multiple of WAYS */
    uint64_t ring;           /* bytes */
    int fd;                  /* of the memory; its first byte is the lock */
};
struct wr_ssl_zone {
    struct wr_str name;
    size_t size;
    const struct wr_node *node;
    struct cache *cache;
    uint64_t timeout_s;
    struct wr_ssl_zone *next;
};

static int zone_index(void)
{
    static int index = -1;

    if (index == -1)
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return index;
}

/* ---- the ring ---- */

static unsigned char *ring_of(struct cache *c)
{
    return (unsigned char *)(c->m->place + c->places);
}

static size_t entry_size(size_t n)
{
    return (sizeof(struct entry) + n + 7) & ~(size_t)7;
}

/* The first of WAYS. */
static _Atomic uint64_t *places_of(struct cache *c, struct wr_str id)
{
    return &c->m->place[wr_hash_stable(id, 0) % (c->places / WAYS) * WAYS];
}

static struct entry *entry_at(struct cache *c, uint64_t at)
{
    return (struct entry *)(void *)(ring_of(c) + at % c->ring);
}

static bool lies_at(struct cache *c, uint64_t place, struct wr_str id)
{
    uint64_t at = place - 1, head = c->m->head;
    const struct entry *e;

    if (place == 0 || at % 8 != 0 || at + c->ring < head || at >= head
        || at % c->ring + sizeof(*e) > c->ring)
        return false;
    e = entry_at(c, at);
    return e->id_n == id.n && id.n <= sizeof(e->id)
        && wr_str_eq(wr_str_of((const char *)e->id, id.n), id);
}

static _Atomic uint64_t *place_of(struct cache *c, struct wr_str id)
{
    _Atomic uint64_t *place = places_of(c, id);

    for (size_t i = 0; i < WAYS; i++)
        if (lies_at(c, place[i], id))
            return &place[i];
    return NULL;
}

/* What is nowhere yet takes the oldest one's: places grow with time, and 0 is none. */
static _Atomic uint64_t *place_for(struct cache *c, struct wr_str id)
{
    _Atomic uint64_t *place = place_of(c, id), *all = places_of(c, id);

    if (place != NULL)
        return place;
    place = all;
    for (size_t i = 1; i < WAYS; i++)
        if (all[i] < *place)
            place = &all[i];
    return place;
}

/* Whole entries only: the rest of the ring is passed over. A head that far on is not ours. */
static uint64_t make_room(struct cache *c, size_t size)
{
    uint64_t head = c->m->head & ~(uint64_t)7, at;

    if (head > UINT64_MAX / 2)
        head = 0;
    at = head % c->ring;
    if (at + size > c->ring)
        head += c->ring - at;
    c->m->head = head + size;
    return head;
}

static void put(struct cache *c, struct wr_str id, const unsigned char *session, size_t n,
                uint64_t expires_s)
{
    _Atomic uint64_t *place;
    uint64_t at;
    struct entry *e;

    if (entry_size(n) > c->ring || id.n > sizeof(e->id))
        return;
    place = place_for(c, id);
    *place = 0;
    at = make_room(c, entry_size(n));
    e = entry_at(c, at);
    e->expires_s = expires_s;
    e->n = (uint32_t)n;
    e->id_n = (uint32_t)id.n;
    memcpy(e->id, id.p, id.n);
    memcpy(e->session, session, n);
    *place = at + 1;
}

static struct entry *find(struct cache *c, struct wr_str id)
{
    _Atomic uint64_t *places = places_of(c, id);

    for (size_t i = 0; i < WAYS; i++) {
        uint64_t place = places[i];

        if (lies_at(c, place, id))
            return entry_at(c, place - 1);
    }
    return NULL;
}

/* How much of it can be read into so much room; 0: it is not a session. */
static size_t session_bytes(struct cache *c, const struct entry *e, size_t room)
{
    size_t n = e->n, at = (size_t)((const unsigned char *)e - ring_of(c));

    return n <= room && at + entry_size(n) <= c->ring ? n : 0;
}

/* ---- sessions, as OpenSSL wants them kept ---- */

static struct wr_ssl_zone *zone_of(SSL_CTX *ctx)
{
    return SSL_CTX_get_ex_data(ctx, zone_index());
}

static bool lock(const struct wr_ssl_zone *z)
{
    return wr_lock(z->cache->fd, 0, LOCK_MS);
}

static void unlock(const struct wr_ssl_zone *z)
{
    wr_unlock(z->cache->fd, 0);
}

static struct wr_str id_of(const SSL_SESSION *s)
{
    unsigned n;
    const unsigned char *id = SSL_SESSION_get_id(s, &n);

    return wr_str_of((const char *)id, n);
}

static int session_new(SSL *ssl, SSL_SESSION *s)
{
    struct wr_ssl_zone *z = zone_of(wr_ssl_first(wr_ssl_session_of(ssl))->tls.ctx);
    unsigned char buf[SESSION_MAX], *p = buf;
    int n = i2d_SSL_SESSION(s, NULL);

    if (z == NULL || n <= 0 || n > SESSION_MAX || id_of(s).n == 0)
        return 0;
    n = i2d_SSL_SESSION(s, &p);
    if (lock(z)) {
        put(z->cache, id_of(s), buf, (size_t)n, wr_ssl_now_s() + z->timeout_s);
        unlock(z);
    }
    OPENSSL_cleanse(buf, sizeof(buf));
    return 0; /* OpenSSL's reference is OpenSSL's */
}

static SSL_SESSION *session_get(SSL *ssl, const unsigned char *id, int id_n, int *copy)
{
    struct wr_ssl_zone *z = zone_of(wr_ssl_first(wr_ssl_session_of(ssl))->tls.ctx);
    unsigned char buf[SESSION_MAX];
    const unsigned char *p = buf;
    const struct entry *e;
    SSL_SESSION *s;
    size_t n = 0;

    *copy = 0;
    if (z == NULL)
        return NULL;
    if (!lock(z))
        return NULL;
    e = find(z->cache, wr_str_of((const char *)id, (size_t)id_n));
    if (e != NULL && e->expires_s > wr_ssl_now_s())
        n = session_bytes(z->cache, e, sizeof(buf));
    if (n > 0)
        memcpy(buf, e->session, n);
    unlock(z);
    s = n > 0 ? d2i_SSL_SESSION(NULL, &p, (long)n) : NULL;
    OPENSSL_cleanse(buf, sizeof(buf));
    return s;
}

static void session_remove(SSL_CTX *ctx, SSL_SESSION *s)
{
    struct wr_ssl_zone *z = zone_of(ctx);
    struct entry *e;

    if (z == NULL || !lock(z))
        return;
    e = find(z->cache, id_of(s));
    if (e != NULL)
        e->expires_s = 0;
    unlock(z);
}

void wr_ssl_zone_use(SSL_CTX *ctx, struct wr_ssl_zone *zone, uint64_t timeout_s)
{
    zone->timeout_s = wr_max(zone->timeout_s, timeout_s);
    SSL_CTX_set_ex_data(ctx, zone_index(), zone);
    SSL_CTX_sess_set_new_cb(ctx, session_new);
    SSL_CTX_sess_set_get_cb(ctx, session_get);
    SSL_CTX_sess_set_remove_cb(ctx, session_remove);
}

/* ---- zones of a configuration ---- */

struct wr_ssl_zone *wr_ssl_zone_named(struct wr_cf *cf, uint32_t i, struct wr_str name, size_t size)
{
    struct wr_ssl_state *state = wr_cf_state(cf, &wr_module_ssl);
    struct wr_ssl_zone *z;

    for (z = state->zones; z != NULL && !wr_str_eq(z->name, name); z = z->next)
        ;
    if (z != NULL && z->size != size) {
        (void)wr_cf_error(cf, i, "the size %zu of shared memory zone \"" WR_FMT "\" conflicts with"
                          " already declared size %zu", size, WR_ARG(name), z->size);
        return NULL;
    }
    if (z != NULL)
        return z;
    z = WR_NEW(cf->pool, struct wr_ssl_zone);
    z->name = wr_pool_str(cf->pool, name);
    z->size = size;
    z->node = cf->node;
    z->next = state->zones;
    state->zones = z;
    return z;
}

static struct cache cache_of(void *memory, size_t size)
{
    struct cache c = { .m = memory, .fd = -1 };
    size_t room = size - sizeof(*c.m);

    c.places = (uint32_t)(room / (TYPICAL + sizeof(c.m->place[0]))) / WAYS * WAYS;
    c.ring = (room - c.places * sizeof(c.m->place[0])) & ~(size_t)7;
    return c;
}

bool wr_ssl_zones_open(struct wr_cf *cf)
{
    const struct wr_ssl_state *state = wr_cf_state(cf, &wr_module_ssl);

    for (struct wr_ssl_zone *z = state->zones; z != NULL; z = z->next) {
        const char *name = wr_pool_fmt(cf->pool, "ssl/" WR_FMT, WR_ARG(z->name)).p;
        struct wr_shm *shm = wr_shm_get(cf->conf->shm, cf->conf->old_shm, name, LAYOUT, z->size,
                                        z->size, NULL);

        if (shm == NULL)
            return wr_cf_error_at(cf, z->node, 0, "shared memory for the zone \"" WR_FMT "\" could"
                                  " not be made (%d: %s)", WR_ARG(z->name), errno,
                                  strerror(errno));
        z->cache = WR_NEW(cf->pool, struct cache);
        *z->cache = cache_of(shm->p, z->size);
        z->cache->fd = shm->fd;
        wr_memory_secret(shm->p, shm->size);
    }
    return true;
}
