/* sticky_learn: the sessions that `sticky learn` knows, in memory that all workers share. The key
 * is a digest of what names the session, so the memory has no cookie of a client; the value is the
 * server's key and address, so it outlives the number of its slot. A record is one cell. The master
 * makes a zone while loading and neither locks nor reads it. */
#include "sticky_impl.h"

#include <errno.h>
#include <openssl/evp.h>

#define LAYOUT 1
#define LOCK_MS 3            /* then go on without: this request is not bound */

struct wr_sticky_zone *wr_sticky_zone_get(struct wr_cf *cf, uint32_t i, struct wr_str name,
                                          size_t size)
{
    struct wr_sticky_state *state = wr_cf_state(cf, &wr_module_sticky);
    struct wr_sticky_zone *z = state->zones;

    while (z != NULL && !wr_str_eq(z->name, name))
        z = z->next;
    if (z != NULL && z->size != size) {
        (void)wr_cf_error(cf, i, "the size %zu of shared memory zone \"" WR_FMT "\" conflicts with"
                          " already declared size %zu", size, WR_ARG(name), z->size);
        return NULL;
    }
    if (z != NULL)
        return z;
    z = WR_NEW(cf->pool, struct wr_sticky_zone);
    z->name = wr_pool_str(cf->pool, name);
    z->size = size;
    z->node = cf->node;
    z->next = state->zones;
    state->zones = z;
    return z;
}

bool wr_sticky_zones_open(struct wr_cf *cf)
{
    const struct wr_sticky_state *state = wr_cf_state(cf, &wr_module_sticky);

    for (struct wr_sticky_zone *z = state->zones; z != NULL; z = z->next) {
        const char *name = wr_pool_fmt(cf->pool, "sticky/" WR_FMT, WR_ARG(z->name)).p;
        struct wr_shm *shm = wr_shm_get(cf->conf->shm, cf->conf->old_shm, name, LAYOUT, z->size,
                                        z->size, NULL);
        struct wr_zone zone;

        if (shm == NULL)
            return wr_cf_error_at(cf, z->node, 0, "shared memory for the zone \"" WR_FMT "\" could"
                                  " not be made (%d: %s)", WR_ARG(z->name), errno,
                                  strerror(errno));
        zone = wr_zone_of(shm);
        wr_table_place(&z->sessions, &zone, z->size, name);
    }
    return true;
}

struct wr_sticky_key wr_sticky_key_of(struct wr_str session)
{
    static EVP_MD *sha256;
    struct wr_sticky_key key = { { 0 } };
    unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };

    if (sha256 == NULL)
        sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (sha256 != NULL && EVP_Digest(session.p, session.n, digest, NULL, sha256, NULL) == 1)
        memcpy(key.p, digest, sizeof(key.p));
    return key;
}

static struct wr_str key_text(const struct wr_sticky_key *key)
{
    return wr_str_of((const char *)key->p, sizeof(key->p));
}

static uint64_t now_s(void)
{
    return wr_clock.wall_ms / 1000;
}

static void put_session(struct wr_sticky_zone *z, const struct wr_sticky_key *key,
                        uint64_t timeout_s, const struct wr_sticky_target *target)
{
    (void)wr_table_put(&z->sessions, key_text(key),
                       wr_str_of((const char *)target, sizeof(*target)), now_s() + timeout_s,
                       now_s());
}

enum wr_sticky_found wr_sticky_look(struct wr_sticky_zone *z, const struct wr_sticky_key *key,
                                    uint64_t timeout_s, struct wr_sticky_target *out)
{
    bool found;

    if (!wr_table_lock(&z->sessions, LOCK_MS))
        return WR_STICKY_BUSY;
    found = wr_table_get(&z->sessions, key_text(key), now_s(), out, sizeof(*out)) == sizeof(*out);
    if (found)
        put_session(z, key, timeout_s, out);
    wr_table_unlock(&z->sessions);
    return found ? WR_STICKY_YES : WR_STICKY_NO;
}

void wr_sticky_store(struct wr_sticky_zone *z, const struct wr_sticky_key *key, uint64_t timeout_s,
                     const struct wr_sticky_target *target)
{
    if (!wr_table_lock(&z->sessions, LOCK_MS))
        return;
    put_session(z, key, timeout_s, target);
    wr_table_unlock(&z->sessions);
}
