/* pem: loads certificates and keys from PEM files or the configuration (data:) into a context
 * or a connection. Called by tls_context while loading, and in handshakes for names with variables.
 * While loading each file is read once; its text is wiped when all is loaded. */
#include "tls/tls_impl.h"

#include <openssl/pem.h>
#include <sys/stat.h>

#define PEM_MAX (16 << 20)

/* ---- errors ---- */

static bool note_failure(struct wr_text *why, const char *what, struct wr_str name,
                         const char *call)
{
    wr_text_fmt(why, "cannot load %s \"" WR_FMT "\": %s failed", what, WR_ARG(name), call);
    wr_tls_errors(why);
    return false;
}

/* ---- certificates ---- */

struct wr_str wr_tls_file_read(struct wr_pool *pool, const char *path)
{
    FILE *f = fopen(path, "re");
    struct wr_text t;
    struct stat st;
    char buf[4096];
    size_t n;

    if (f == NULL)
        return wr_str_of(NULL, 0);
    /* leave no copy of a key in a buffer of stdio's, nor in one from which the text has grown */
    (void)setvbuf(f, NULL, _IONBF, 0);
    t = wr_text_grow(pool, fstat(fileno(f), &st) == 0 && st.st_size > 0 && st.st_size < PEM_MAX
                               ? (size_t)st.st_size + 1 : sizeof(buf), PEM_MAX);
    while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
        wr_text_str(&t, wr_str_of(buf, n));
    OPENSSL_cleanse(buf, sizeof(buf));
    fclose(f);
    return wr_text_view(&t);
}

/* While loading a file is read once for all servers. */
static struct wr_str read_once(struct wr_cf *cf, const char *path)
{
    struct wr_ssl_state *state = wr_cf_state(cf, &wr_module_ssl);
    struct wr_ssl_pem *p;

    for (p = state->pems; p != NULL; p = p->next)
        if (strcmp(p->path, path) == 0)
            return p->text;
    p = WR_NEW(cf->pool, struct wr_ssl_pem);
    p->path = path;
    p->text = wr_tls_file_read(cf->pool, path);
    p->next = state->pems;
    state->pems = p;
    return p->text;
}

void wr_tls_forget_files(struct wr_cf *cf)
{
    struct wr_ssl_state *state = wr_cf_state(cf, &wr_module_ssl);

    for (struct wr_ssl_pem *p = state->pems; p != NULL; p = p->next)
        if (p->text.p != NULL)
            OPENSSL_cleanse((void *)(uintptr_t)p->text.p, p->text.n);
    state->pems = NULL;
}

BIO *wr_tls_pem_open(struct wr_cf *cf, struct wr_str name)
{
    struct wr_str data = WR_STR("data:"), text;

    if (wr_str_starts(name, data)) {
        name = wr_str_skip(name, data.n);
        return BIO_new_mem_buf(name.p, (int)name.n);
    }
    text = cf != NULL ? read_once(cf, name.p) : wr_str_of(NULL, 0);
    /* for a file that cannot be read BIO_new_file sets OpenSSL's error */
    return text.p != NULL ? BIO_new_mem_buf(text.p, (int)text.n) : BIO_new_file(name.p, "r");
}

void wr_tls_pair_free(struct wr_tls_pair *p)
{
    X509_free(p->certificate);
    sk_X509_pop_free(p->chain, X509_free);
    EVP_PKEY_free(p->key);
    *p = (struct wr_tls_pair){ 0 };
}

void wr_tls_pair_share(struct wr_tls_pair *to, const struct wr_tls_pair *from)
{
    if (from->certificate != NULL) {
        X509_up_ref(from->certificate);
        to->certificate = from->certificate;
        to->chain = X509_chain_up_ref(from->chain);
    }
    if (from->key != NULL) {
        EVP_PKEY_up_ref(from->key);
        to->key = from->key;
    }
}

bool wr_tls_is_pem_end(void)
{
    unsigned long e = ERR_peek_last_error();

    return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

static bool read_chain(BIO *b, struct wr_tls_pair *out)
{
    X509 *x;

    while ((x = PEM_read_bio_X509(b, NULL, NULL, NULL)) != NULL) {
        if (sk_X509_push(out->chain, x) == 0) {
            X509_free(x);
            return false;
        }
    }
    if (!wr_tls_is_pem_end())
        return false;
    ERR_clear_error();
    return true;
}

static bool load_certificate(struct wr_cf *cf, struct wr_str name, struct wr_tls_pair *out,
                             struct wr_text *why)
{
    BIO *b = wr_tls_pem_open(cf, name);
    const char *call = NULL;

    if (b == NULL)
        return note_failure(why, "certificate", name, "BIO_new_file()");
    out->certificate = PEM_read_bio_X509_AUX(b, NULL, NULL, NULL);
    out->chain = sk_X509_new_null();
    if (out->certificate == NULL || out->chain == NULL)
        call = "PEM_read_bio_X509_AUX()";
    else if (!read_chain(b, out))
        call = "PEM_read_bio_X509()";
    BIO_free(b);
    return call == NULL || note_failure(why, "certificate", name, call);
}

struct password {
    struct wr_str text;          /* p NULL: none */
    bool asked;                  /* the key is encrypted */
};

/* OpenSSL asks once for the password of an encrypted key. Without one fail, never prompt. */
static int give_password(char *buf, int size, int writing, void *arg)
{
    struct password *p = arg;

    (void)writing;
    p->asked = true;
    if (p->text.p == NULL || p->text.n >= (size_t)size)
        return -1;
    memcpy(buf, p->text.p, p->text.n);
    return (int)p->text.n;
}

static EVP_PKEY *read_key(struct wr_cf *cf, struct wr_str name, struct password *password,
                          const char **call)
{
    BIO *b = wr_tls_pem_open(cf, name);
    EVP_PKEY *key;

    *call = "BIO_new_file()";
    if (b == NULL)
        return NULL;
    *call = "PEM_read_bio_PrivateKey()";
    key = PEM_read_bio_PrivateKey(b, NULL, give_password, password);
    BIO_free(b);
    return key;
}

static bool load_key(struct wr_cf *cf, const struct wr_tls_conf *c, struct wr_str name,
                     struct wr_tls_pair *out, struct wr_text *why)
{
    const char *call = NULL;
    uint32_t i = 0;

    do {
        struct password p = { .text = i < c->passwords.n ? c->passwords.at[i]
                                                         : wr_str_of(NULL, 0) };

        ERR_clear_error();
        out->key = read_key(cf, name, &p, &call);
        out->locked = p.asked;
    } while (out->key == NULL && ++i < c->passwords.n);
    return out->key != NULL || note_failure(why, "certificate key", name, call);
}

static bool use_in_context(SSL_CTX *ctx, struct wr_tls_pair *p, const char **call)
{
    *call = "SSL_CTX_use_certificate()";
    if (SSL_CTX_use_certificate(ctx, p->certificate) != 1)
        return false;
    *call = "SSL_CTX_set1_chain()";
    if (SSL_CTX_set1_chain(ctx, p->chain) != 1)
        return false;
    *call = "SSL_CTX_use_PrivateKey()";
    return SSL_CTX_use_PrivateKey(ctx, p->key) == 1;
}

static bool use_in_connection(SSL *ssl, struct wr_tls_pair *p, const char **call)
{
    *call = "SSL_use_certificate()";
    if (SSL_use_certificate(ssl, p->certificate) != 1)
        return false;
    *call = "SSL_set1_chain()";
    if (SSL_set1_chain(ssl, p->chain) != 1)
        return false;
    *call = "SSL_use_PrivateKey()";
    return SSL_use_PrivateKey(ssl, p->key) == 1;
}

/* Names are relative to the folder of the configuration, those with variables, too. */
static struct wr_str full_name(struct wr_pool *pool, const struct wr_tls_conf *c,
                               struct wr_str name)
{
    if (wr_str_starts(name, WR_STR("/")) || wr_str_starts(name, WR_STR("data:")))
        return wr_pool_str(pool, name);
    return wr_pool_fmt(pool, "%s" WR_FMT, c->folder, WR_ARG(name));
}

static bool is_file(struct wr_str name)
{
    return !wr_str_starts(name, WR_STR("data:"));
}

/* In a handshake: takes the pair from the cache or loads it. A key with a password and its
 * certificate are not put into the cache: another server that shares the cache may not have the
 * password. */
static bool load_cached(const struct wr_tls_conf *c, struct wr_str certificate, struct wr_str key,
                        struct wr_tls_pair *p, struct wr_text *why)
{
    bool had_certificate = is_file(certificate)
                        && wr_tls_cache_get(c->cache, certificate, false, p);
    bool had_key = is_file(key) && wr_tls_cache_get(c->cache, key, true, p);

    if ((!had_certificate && !load_certificate(NULL, certificate, p, why))
        || (!had_key && !load_key(NULL, c, key, p, why)))
        return false;
    if (p->locked)
        return true;
    if (!had_certificate && is_file(certificate))
        wr_tls_cache_put(c->cache, certificate, false,
                         &(struct wr_tls_pair){ .certificate = p->certificate,
                                                .chain = p->chain });
    if (!had_key && is_file(key))
        wr_tls_cache_put(c->cache, key, true, &(struct wr_tls_pair){ .key = p->key });
    return true;
}

bool wr_tls_load(struct wr_cf *cf, struct wr_pool *pool, const struct wr_tls_conf *c, SSL *ssl,
                 const struct wr_str name[2], struct wr_text *why)
{
    struct wr_str certificate = full_name(pool, c, name[0]), key = full_name(pool, c, name[1]);
    struct wr_tls_pair p = { 0 };
    const char *call = "";
    bool ok;

    ERR_clear_error();
    ok = cf != NULL || c->cache == NULL
             ? load_certificate(cf, certificate, &p, why) && load_key(cf, c, key, &p, why)
             : load_cached(c, certificate, key, &p, why);
    if (ok
        && !(ssl == NULL ? use_in_context(c->ctx, &p, &call)
                         : use_in_connection(ssl, &p, &call))) {
        /* most likely it is the key of another certificate */
        (void)note_failure(why, "certificate key", key, call);
        ok = false;
    }
    wr_tls_pair_free(&p);
    return ok;
}

bool wr_tls_load_pair(struct wr_pool *pool, const struct wr_tls_conf *c, SSL *ssl,
                      struct wr_str certificate, struct wr_str key, struct wr_text *why)
{
    return wr_tls_load(NULL, pool, c, ssl, (const struct wr_str[]){ certificate, key }, why);
}
