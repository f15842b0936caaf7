/* ticket_keys: the keys of TLS session tickets, from files or made here and replaced regularly.
 * Called by OpenSSL in handshakes. Keys made here are in memory that all workers share: a ticket is
 * valid in any worker, after a reload and after an upgrade; a key that leaks opens only what was
 * sent in the two periods before. The master makes the memory and neither locks nor reads it. */
#include "tls/tls_impl.h"

#include <openssl/core_names.h>
#include <openssl/rand.h>

#define LAYOUT 1
#define LOCK_MS 3            /* then go on without a ticket: the client does a full handshake */
#define SLACK_S 60           /* a key made further in the future: the clock was set back */
#define KEYS 3               /* the newest makes tickets, all are accepted */

struct ring {                /* in shared memory; the newest key first */
    uint64_t made_s;         /* Unix time of at[0]; 0: there are none */
    struct wr_ssl_ticket_key at[KEYS];
};
struct wr_ssl_tickets {
    uint64_t period_s;       /* how long a key makes tickets */
    struct ring *ring;       /* the contents of the zone */
    struct wr_zone zone;
    struct wr_ssl_tickets *next;
};
struct keys {                /* the keys of a context; the first makes tickets */
    uint32_t n;
    struct wr_ssl_ticket_key at[KEYS];
};

/* A context has one of two: struct keys (from files) or struct wr_ssl_tickets. */
static int files_index(void)
{
    static int index = -1;

    if (index == -1)
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return index;
}

static int tickets_index(void)
{
    static int index = -1;

    if (index == -1)
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return index;
}

static void keys_free(void *arg)
{
    OPENSSL_cleanse(arg, sizeof(struct keys));
}

static bool make_key(struct wr_ssl_ticket_key *k)
{
    *k = (struct wr_ssl_ticket_key){ .aes128 = false };
    return RAND_bytes(k->name, sizeof(k->name)) == 1 && RAND_bytes(k->hmac, sizeof(k->hmac)) == 1
        && RAND_bytes(k->aes, sizeof(k->aes)) == 1;
}

/* Makes a new key if the first has made tickets for as long as a ticket is valid. A key is accepted
 * until two others have followed it. */
static void rotate_keys(struct ring *r, uint64_t period_s)
{
    struct wr_ssl_ticket_key k;
    /* made_s may be ahead: another worker's clock is read later than this turn's. */
    uint64_t age = wr_max(wr_ssl_now_s(), r->made_s) - r->made_s;

    if (r->made_s > wr_ssl_now_s() + SLACK_S)
        age = UINT64_MAX;
    if ((r->made_s != 0 && age < period_s) || !make_key(&k))
        return;
    if (r->made_s != 0 && age >= 2 * period_s + 1) /* all keys are too old */
        memset(r->at, 0, sizeof(r->at));
    memmove(&r->at[1], &r->at[0], (KEYS - 1) * sizeof(k));
    r->at[0] = k;
    r->made_s = wr_ssl_now_s();
    OPENSSL_cleanse(&k, sizeof(k));
}

/* Copies the keys, so that no lock is held while OpenSSL works. */
static void copy_keys(SSL_CTX *ctx, struct keys *out)
{
    const struct wr_ssl_tickets *t = SSL_CTX_get_ex_data(ctx, tickets_index());
    const struct keys *fixed = SSL_CTX_get_ex_data(ctx, files_index());

    if (fixed != NULL) {
        *out = *fixed;
        return;
    }
    out->n = 0;
    if (t == NULL || !wr_zone_lock(&t->zone, LOCK_MS))
        return;
    rotate_keys(t->ring, t->period_s);
    out->n = KEYS;
    memcpy(out->at, t->ring->at, sizeof(out->at));
    wr_zone_unlock(&t->zone);
}

static bool set_hmac(EVP_MAC_CTX *hmac, const struct wr_ssl_ticket_key *k)
{
    char digest[] = "SHA256";
    OSSL_PARAM p[3] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)k->hmac,
                                          k->aes128 ? 16 : sizeof(k->hmac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(hmac, p) == 1;
}

static const EVP_CIPHER *cipher_of(const struct wr_ssl_ticket_key *k)
{
    return k->aes128 ? EVP_aes_128_cbc() : EVP_aes_256_cbc();
}

/* True: the key was never made, or RAND_bytes failed. */
static bool is_empty_key(const unsigned char *name)
{
    static const unsigned char none[WR_TICKET_NAME];

    return memcmp(name, none, sizeof(none)) == 0;
}

/* 1: sealed, 0: no ticket, -1: error. */
static int seal_ticket(const struct wr_ssl_ticket_key *k, unsigned char *name, unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *hmac)
{
    int n = EVP_CIPHER_get_iv_length(cipher_of(k));

    if (is_empty_key(k->name))
        return 0;
    if (RAND_bytes(iv, n) != 1 || EVP_EncryptInit_ex(cipher, cipher_of(k), NULL, k->aes, iv) != 1
        || !set_hmac(hmac, k))
        return -1;
    memcpy(name, k->name, sizeof(k->name));
    return 1;
}

/* 1: valid, 2: valid, but replace it, 0: no such key, -1: error. */
static int unseal_ticket(const struct keys *keys, const unsigned char *name,
                         const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *hmac)
{
    for (uint32_t i = 0; i < keys->n; i++) {
        const struct wr_ssl_ticket_key *k = &keys->at[i];

        if (memcmp(k->name, name, sizeof(k->name)) != 0 || is_empty_key(name))
            continue;
        if (!set_hmac(hmac, k) || EVP_DecryptInit_ex(cipher, cipher_of(k), NULL, k->aes, iv) != 1)
            return -1;
        return i == 0 ? 1 : 2;
    }
    return 0;
}

static int give_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                           EVP_MAC_CTX *hmac, int sealing)
{
    struct keys keys;
    int r;

    copy_keys(wr_ssl_default_conf(wr_ssl_session_of(ssl))->tls.ctx, &keys);
    if (sealing)
        r = keys.n > 0 ? seal_ticket(&keys.at[0], name, iv, cipher, hmac) : 0;
    else
        r = unseal_ticket(&keys, name, iv, cipher, hmac);
    /* TLS 1.3: a ticket is used once, the client gets a new one. */
    if (r == 1 && !sealing && SSL_version(ssl) == TLS1_3_VERSION)
        r = 2;
    OPENSSL_cleanse(&keys, sizeof(keys));
    return r;
}

/* A file is 80 bytes (name, HMAC key, AES-256 key) or 48 (name, AES-128 key, HMAC key). */
static bool take_key(struct wr_str text, struct wr_ssl_ticket_key *k)
{
    *k = (struct wr_ssl_ticket_key){ .aes128 = text.n == 48 };
    if (text.n != 48 && text.n != 80)
        return false;
    memcpy(k->name, text.p, sizeof(k->name));
    if (k->aes128) {
        memcpy(k->aes, text.p + 16, 16);
        memcpy(k->hmac, text.p + 32, 16);
    } else {
        memcpy(k->hmac, text.p + 16, 32);
        memcpy(k->aes, text.p + 48, 32);
    }
    return true;
}

bool wr_ssl_ticket_keys_load(struct wr_cf *cf, struct wr_ssl_conf *c)
{
    struct keys *all;

    wr_vault_pool(cf->pool);
    all = WR_NEW(cf->pool, struct keys);
    wr_pool_cleanup(cf->pool, keys_free, all);
    for (uint32_t i = 0; i < c->ticket_keys.n; i++) {
        const struct wr_node *n = c->ticket_keys.at[i];
        const char *path = wr_cf_path(cf, n->words[1].text, true);
        struct wr_str text = wr_file_read(cf->pool, path, 4096);

        if (text.p == NULL)
            return wr_cf_error_at(cf, n, 1, "cannot read \"%s\" (%d: %s)", path, errno,
                                  strerror(errno));
        if (all->n == KEYS)
            return wr_cf_error_at(cf, n, 1, "at most %d keys are used", KEYS);
        if (!take_key(text, &all->at[all->n]))
            return wr_cf_error_at(cf, n, 1, "\"%s\" must be 48 or 80 bytes", path);
        all->n++;
    }
    SSL_CTX_set_ex_data(c->tls.ctx, files_index(), all);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(c->tls.ctx, give_ticket_key);
    return true;
}

void wr_ssl_tickets_use(struct wr_cf *cf, const struct wr_ssl_conf *c)
{
    struct wr_ssl_state *state = wr_cf_state(cf, &wr_module_ssl);
    uint64_t period_s = wr_max(c->session_timeout_s, (uint64_t)1);
    struct wr_ssl_tickets *t = state->tickets;

    while (t != NULL && t->period_s != period_s)
        t = t->next;
    if (t == NULL) {
        t = WR_NEW(cf->pool, struct wr_ssl_tickets);
        t->period_s = period_s;
        t->next = state->tickets;
        state->tickets = t;
    }
    SSL_CTX_set_ex_data(c->tls.ctx, tickets_index(), t);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(c->tls.ctx, give_ticket_key);
}

bool wr_ssl_tickets_open(struct wr_cf *cf)
{
    const struct wr_ssl_state *state = wr_cf_state(cf, &wr_module_ssl);

    for (struct wr_ssl_tickets *t = state->tickets; t != NULL; t = t->next) {
        const char *name = wr_pool_fmt(cf->pool, "tickets/%llu",
                                       (unsigned long long)t->period_s).p;
        struct wr_shm *shm = wr_shm_get(cf->conf->shm, cf->conf->old_shm, name, LAYOUT, 0,
                                        sizeof(*t->ring), NULL);

        if (shm == NULL)
            return wr_cf_error(cf, 0, "no memory for the keys of tickets (%d: %s)", errno,
                               strerror(errno));
        t->zone = wr_zone_of(shm);
        t->ring = wr_zone_part(&t->zone, sizeof(*t->ring));
        wr_memory_secret(shm->p, shm->size);
    }
    return true;
}
