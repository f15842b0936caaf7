/* sticky_learn: the sessions that `sticky learn` knows, in memory that all workers share. The key
 * is a digest of what names the session, so the memory has no cookie of a client; the value is the
 * server's key and address, so it outlives the number of its slot. A record is one cell. */
#include "sticky_impl.h"

#include <openssl/evp.h>

#define LOCK_MS 3            /* then go on without: this request is not bound */

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

static void put_session(struct wr_table_zone *z, const struct wr_sticky_key *key,
                        uint64_t timeout_s, const struct wr_sticky_target *target)
{
    (void)wr_table_put(&z->table, key_text(key),
                       wr_str_of((const char *)target, sizeof(*target)), now_s() + timeout_s,
                       now_s());
}

enum wr_sticky_found wr_sticky_look(struct wr_table_zone *z, const struct wr_sticky_key *key,
                                    uint64_t timeout_s, struct wr_sticky_target *out)
{
    bool found;

    if (!wr_table_lock(&z->table, LOCK_MS))
        return WR_STICKY_BUSY;
    found = wr_table_get(&z->table, key_text(key), now_s(), out, sizeof(*out)) == sizeof(*out);
    if (found)
        put_session(z, key, timeout_s, out);
    wr_table_unlock(&z->table);
    return found ? WR_STICKY_YES : WR_STICKY_NO;
}

void wr_sticky_store(struct wr_table_zone *z, const struct wr_sticky_key *key, uint64_t timeout_s,
                     const struct wr_sticky_target *target)
{
    if (!wr_table_lock(&z->table, LOCK_MS))
        return;
    put_session(z, key, timeout_s, target);
    wr_table_unlock(&z->table);
}
