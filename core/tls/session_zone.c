/* session_zone: TLS sessions in memory that all workers share, so that a client can resume its
 * session in any worker and after a reload. Called by OpenSSL in handshakes. A zone is a table
 * (config/table_zone), its key a session id. */
#include "tls/tls_impl.h"

#define LAYOUT 4
#define SESSION_MAX 8192     /* larger sessions are not kept */
#define LOCK_MS 3            /* then go on without: the client does a full handshake */

static int zone_index(void)
{
    static int index = -1;

    if (index == -1)
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return index;
}

/* ---- callbacks of OpenSSL ---- */

static struct wr_table_zone *zone_of(SSL_CTX *ctx)
{
    return SSL_CTX_get_ex_data(ctx, zone_index());
}

static struct wr_str id_of(const SSL_SESSION *s)
{
    unsigned n;
    const unsigned char *id = SSL_SESSION_get_id(s, &n);

    return wr_str_of((const char *)id, n);
}

static int session_new(SSL *ssl, SSL_SESSION *s)
{
    struct wr_table_zone *z = zone_of(wr_ssl_default_conf(wr_ssl_session_of(ssl))->tls.ctx);
    unsigned char buf[SESSION_MAX], *p = buf;
    int n = i2d_SSL_SESSION(s, NULL);

    if (z == NULL || n <= 0 || n > SESSION_MAX || id_of(s).n == 0)
        return 0;
    n = i2d_SSL_SESSION(s, &p);
    if (wr_table_lock(&z->table, LOCK_MS)) {
        (void)wr_table_put(&z->table, id_of(s), wr_str_of((char *)buf, (size_t)n),
                           wr_ssl_now_s() + (uint64_t)SSL_SESSION_get_timeout(s),
                           wr_ssl_now_s());
        wr_table_unlock(&z->table);
    }
    OPENSSL_cleanse(buf, sizeof(buf));
    return 0; /* we keep no reference to s */
}

static SSL_SESSION *session_get(SSL *ssl, const unsigned char *id, int id_n, int *copy)
{
    struct wr_table_zone *z = zone_of(wr_ssl_default_conf(wr_ssl_session_of(ssl))->tls.ctx);
    unsigned char buf[SESSION_MAX];
    const unsigned char *p = buf;
    SSL_SESSION *s;
    size_t n;

    *copy = 0;
    if (z == NULL || !wr_table_lock(&z->table, LOCK_MS))
        return NULL;
    n = wr_table_get(&z->table, wr_str_of((const char *)id, (size_t)id_n), wr_ssl_now_s(), buf,
                     sizeof(buf));
    wr_table_unlock(&z->table);
    s = n > 0 ? d2i_SSL_SESSION(NULL, &p, (long)n) : NULL;
    OPENSSL_cleanse(buf, sizeof(buf));
    return s;
}

static void session_remove(SSL_CTX *ctx, SSL_SESSION *s)
{
    struct wr_table_zone *z = zone_of(ctx);

    if (z == NULL || !wr_table_lock(&z->table, LOCK_MS))
        return;
    wr_table_remove(&z->table, id_of(s));
    wr_table_unlock(&z->table);
}

void wr_ssl_zone_use(SSL_CTX *ctx, struct wr_table_zone *zone)
{
    SSL_CTX_set_ex_data(ctx, zone_index(), zone);
    SSL_CTX_sess_set_new_cb(ctx, session_new);
    SSL_CTX_sess_set_get_cb(ctx, session_get);
    SSL_CTX_sess_set_remove_cb(ctx, session_remove);
}

/* ---- zones of a configuration ---- */

struct wr_table_zone *wr_ssl_zone_named(struct wr_cf *cf, uint32_t i, struct wr_str name,
                                        size_t size)
{
    struct wr_ssl_state *state = wr_cf_state(cf, &wr_module_ssl);

    return wr_table_zone_named(cf, i, &state->zones, name, size);
}

bool wr_ssl_zones_open(struct wr_cf *cf)
{
    const struct wr_ssl_state *state = wr_cf_state(cf, &wr_module_ssl);

    if (!wr_table_zones_open(cf, state->zones, "ssl", LAYOUT))
        return false;
    for (const struct wr_table_zone *z = state->zones; z != NULL; z = z->next)
        wr_memory_secret(z->shm->p, z->shm->size);
    return true;
}
