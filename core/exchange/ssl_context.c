/* ssl_context: OpenSSL contexts out of directives: certificates and keys, protocols, ciphers, whom
 * to trust. What ssl_ (servers) and proxy_ssl_ (clients) have in common. Called while loading, and
 * for certificates whose names have variables also in a handshake. */
#include "exchange/ssl_impl.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define PEM_MAX (16 << 20)

/* ---- what went wrong ---- */

static bool wrong(struct wr_text *why, const char *what, struct wr_str name, const char *call)
{
    wr_text_fmt(why, "cannot load %s \"" WR_FMT "\": %s failed", what, WR_ARG(name), call);
    wr_tls_errors(why);
    return false;
}

/* ---- certificates ---- */

struct wr_str wr_tls_file_read(struct wr_pool *pool, const char *path)
{
    FILE *f = fopen(path, "re");
    struct wr_text t = wr_text_grow(pool, 4096, PEM_MAX);
    char buf[4096];
    size_t n;

    if (f == NULL)
        return wr_str_of(NULL, 0);
    while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
        wr_text_str(&t, wr_str_of(buf, n));
    OPENSSL_cleanse(buf, sizeof(buf));
    fclose(f);
    return wr_text_view(&t);
}

/* While loading each file is read once, however many servers name it. */
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

void wr_tls_forget(struct wr_cf *cf)
{
    struct wr_ssl_state *state = wr_cf_state(cf, &wr_module_ssl);

    for (struct wr_ssl_pem *p = state->pems; p != NULL; p = p->next)
        if (p->text.p != NULL)
            OPENSSL_cleanse((void *)(uintptr_t)p->text.p, p->text.n);
    state->pems = NULL;
}

/* cf NULL: traffic flows, the file is read anew. */
static BIO *open_pem(struct wr_cf *cf, struct wr_str name)
{
    struct wr_str data = WR_STR("data:"), text;

    if (wr_str_starts(name, data)) {
        name = wr_str_skip(name, data.n);
        return BIO_new_mem_buf(name.p, (int)name.n);
    }
    text = cf != NULL ? read_once(cf, name.p) : wr_str_of(NULL, 0);
    /* what cannot be read leaves its reason with OpenSSL */
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

/* The end of a file is an error like any other for PEM. */
static bool at_end(void)
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
    if (!at_end())
        return false;
    ERR_clear_error();
    return true;
}

static bool load_certificate(struct wr_cf *cf, struct wr_str name, struct wr_tls_pair *out,
                             struct wr_text *why)
{
    BIO *b = open_pem(cf, name);
    const char *call = NULL;

    if (b == NULL)
        return wrong(why, "certificate", name, "BIO_new_file()");
    out->certificate = PEM_read_bio_X509_AUX(b, NULL, NULL, NULL);
    out->chain = sk_X509_new_null();
    if (out->certificate == NULL || out->chain == NULL)
        call = "PEM_read_bio_X509_AUX()";
    else if (!read_chain(b, out))
        call = "PEM_read_bio_X509()";
    BIO_free(b);
    return call == NULL || wrong(why, "certificate", name, call);
}

struct password {
    struct wr_str text;          /* p NULL: none */
    bool asked;
};

/* Asked once for an encrypted key; without a password the answer is none, never a prompt. */
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
    BIO *b = open_pem(cf, name);
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
    return out->key != NULL || wrong(why, "certificate key", name, call);
}

static bool into_context(SSL_CTX *ctx, struct wr_tls_pair *p, const char **call)
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

static bool into_connection(SSL *ssl, struct wr_tls_pair *p, const char **call)
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

/* What variables came to, too, is relative to the configuration. */
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

/* In a handshake. A key that takes a password is not kept, nor is its certificate: whoever has the
 * cache need not have the password. */
static bool from_cache(const struct wr_tls_conf *c, struct wr_str certificate, struct wr_str key,
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

static bool load_pair(struct wr_cf *cf, struct wr_pool *pool, const struct wr_tls_conf *c, SSL *ssl,
                      const struct wr_str name[2], struct wr_text *why)
{
    struct wr_str certificate = full_name(pool, c, name[0]), key = full_name(pool, c, name[1]);
    struct wr_tls_pair p = { 0 };
    const char *call = "";
    bool ok;

    ERR_clear_error();
    ok = cf != NULL || c->cache == NULL
             ? load_certificate(cf, certificate, &p, why) && load_key(cf, c, key, &p, why)
             : from_cache(c, certificate, key, &p, why);
    if (ok && !(ssl == NULL ? into_context(c->ctx, &p, &call) : into_connection(ssl, &p, &call))) {
        /* The key may belong to another certificate: say so with both names. */
        (void)wrong(why, "certificate key", key, call);
        ok = false;
    }
    wr_tls_pair_free(&p);
    return ok;
}

bool wr_tls_load_pair(struct wr_pool *pool, const struct wr_tls_conf *c, SSL *ssl,
                      struct wr_str certificate, struct wr_str key, struct wr_text *why)
{
    return load_pair(NULL, pool, c, ssl, (const struct wr_str[]){ certificate, key }, why);
}

static bool load_certificates(struct wr_cf *cf, struct wr_tls_conf *c)
{
    char buf[1024];
    struct wr_str name[2];

    for (uint32_t i = 0; i < c->certificates.n && i < c->keys.n; i++) {
        struct wr_text why = wr_text_on(buf, sizeof(buf));

        if (!wr_template_literal(c->certificates.at[i].name, &name[0])
            || !wr_template_literal(c->keys.at[i].name, &name[1])) {
            c->dynamic = true;
            continue;
        }
        if (name[0].n == 0)
            continue;
        if (!load_pair(cf, cf->pool, c, NULL, name, &why))
            return wr_cf_error_at(cf, c->certificates.at[i].node, 1, WR_FMT,
                                  WR_ARG(wr_text_view(&why)));
    }
    if (c->certificates.n > c->keys.n)
        return wr_cf_error_at(cf, c->certificates.at[c->keys.n].node, 0,
                              "no \"%s_key\" is defined for this certificate",
                              c->certificates.at[c->keys.n].node->words[0].text.p);
    return true;
}

/* ---- whom to trust ---- */

/* A directive that names a file; NULL: none. */
static bool file_failed(struct wr_cf *cf, const struct wr_tls_file *f, const char *call)
{
    char buf[1024];
    struct wr_text why = wr_text_on(buf, sizeof(buf));

    wr_text_fmt(&why, "%s(\"%s\") failed", call, f->path);
    wr_tls_errors(&why);
    return wr_cf_error_at(cf, f->node, 1, WR_FMT, WR_ARG(wr_text_view(&why)));
}

static bool trust(SSL_CTX *ctx, X509 *x, STACK_OF(X509_NAME) *names)
{
    X509_NAME *name;

    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x) != 1)
        return false;
    if (names == NULL || sk_X509_NAME_find(names, X509_get_subject_name(x)) >= 0)
        return true;
    name = X509_NAME_dup(X509_get_subject_name(x));
    if (name != NULL && sk_X509_NAME_push(names, name) > 0)
        return true;
    X509_NAME_free(name);
    return false;
}

/* "TRUSTED CERTIFICATE", too, which SSL_CTX_load_verify_locations would not take for a name. */
bool wr_tls_trust(struct wr_cf *cf, const struct wr_tls_file *f, SSL_CTX *ctx,
                  STACK_OF(X509_NAME) *names)
{
    BIO *b = open_pem(cf, wr_str_c(f->path));
    const char *call = b == NULL ? "BIO_new_file" : NULL;
    X509 *x;
    int n = 0;

    while (call == NULL && (x = PEM_read_bio_X509_AUX(b, NULL, NULL, NULL)) != NULL) {
        if (!trust(ctx, x, names))
            call = "X509_STORE_add_cert";
        X509_free(x);
        n++;
    }
    if (call == NULL && (n == 0 || !at_end()))
        call = "PEM_read_bio_X509_AUX";
    BIO_free(b);
    if (call != NULL)
        return file_failed(cf, f, call);
    ERR_clear_error();
    return true;
}

static bool load_crl(struct wr_cf *cf, const struct wr_tls_conf *c, SSL_CTX *ctx)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    BIO *b = open_pem(cf, wr_str_c(c->crl.path));
    const char *call = b == NULL ? "BIO_new_file" : NULL;
    X509_CRL *crl;
    int n = 0;

    while (call == NULL && (crl = PEM_read_bio_X509_CRL(b, NULL, NULL, NULL)) != NULL) {
        if (X509_STORE_add_crl(store, crl) != 1)
            call = "X509_STORE_add_crl";
        X509_CRL_free(crl);
        n++;
    }
    if (call == NULL && (n == 0 || !at_end()))
        call = "PEM_read_bio_X509_CRL";
    BIO_free(b);
    if (call != NULL)
        return file_failed(cf, &c->crl, call);
    ERR_clear_error();
    return X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) == 1;
}

static bool load_trust(struct wr_cf *cf, const struct wr_tls_conf *c, SSL_CTX *ctx)
{
    ERR_clear_error();
    if (c->trusted.path != NULL && !wr_tls_trust(cf, &c->trusted, ctx, NULL))
        return false;
    if (c->crl.path != NULL && !load_crl(cf, c, ctx))
        return false;
    SSL_CTX_set_verify_depth(ctx, (int)c->depth);
    return true;
}

/* ---- protocols, ciphers, commands ---- */

static const struct version {
    int number;
    uint32_t bit;
    uint64_t without;
} versions[] = {
    { TLS1_VERSION, WR_TLS_1_0, SSL_OP_NO_TLSv1 },
    { TLS1_1_VERSION, WR_TLS_1_1, SSL_OP_NO_TLSv1_1 },
    { TLS1_2_VERSION, WR_TLS_1_2, SSL_OP_NO_TLSv1_2 },
    { TLS1_3_VERSION, WR_TLS_1_3, SSL_OP_NO_TLSv1_3 },
};

static void set_protocols(SSL_CTX *ctx, uint32_t bits)
{
    int lowest = 0, highest = 0;

    for (size_t i = 0; i < WR_COUNT(versions); i++) {
        if ((bits & versions[i].bit) == 0) {
            SSL_CTX_set_options(ctx, versions[i].without);
            continue;
        }
        lowest = lowest == 0 ? versions[i].number : lowest;
        highest = versions[i].number;
    }
    /* Only SSLv2 and SSLv3 asked for, which nobody has: no version at all then. */
    SSL_CTX_set_min_proto_version(ctx, lowest);
    SSL_CTX_set_max_proto_version(ctx, highest);
}

static const char *command_value(struct wr_cf *cf, SSL_CONF_CTX *k, const struct wr_node *n)
{
    int type = SSL_CONF_cmd_value_type(k, n->words[1].text.p);

    return type == SSL_CONF_TYPE_FILE || type == SSL_CONF_TYPE_DIR
               ? wr_cf_path(cf, n->words[2].text, true) : n->words[2].text.p;
}

static bool run_command(struct wr_cf *cf, SSL_CONF_CTX *k, const struct wr_node *n)
{
    char buf[1024];
    struct wr_text why = wr_text_on(buf, sizeof(buf));

    ERR_clear_error();
    if (SSL_CONF_cmd(k, n->words[1].text.p, command_value(cf, k, n)) > 0)
        return true;
    wr_text_fmt(&why, "SSL_CONF_cmd(\"%s\", \"%s\") failed", n->words[1].text.p,
                n->words[2].text.p);
    wr_tls_errors(&why);
    return wr_cf_error_at(cf, n, 1, WR_FMT, WR_ARG(wr_text_view(&why)));
}

bool wr_tls_commands(struct wr_cf *cf, struct wr_tls_conf *c, bool server)
{
    SSL_CONF_CTX *k = SSL_CONF_CTX_new();
    bool ok = k != NULL;

    if (ok) {
        SSL_CONF_CTX_set_flags(k, SSL_CONF_FLAG_FILE | SSL_CONF_FLAG_SHOW_ERRORS
                                      | SSL_CONF_FLAG_CERTIFICATE
                                      | (server ? SSL_CONF_FLAG_SERVER : SSL_CONF_FLAG_CLIENT));
        SSL_CONF_CTX_set_ssl_ctx(k, c->ctx);
    }
    for (uint32_t i = 0; ok && i < c->commands.n; i++)
        ok = run_command(cf, k, c->commands.at[i]);
    if (ok && SSL_CONF_CTX_finish(k) != 1)
        ok = wr_cf_error(cf, 0, "SSL_CONF_finish() failed");
    SSL_CONF_CTX_free(k);
    return ok;
}

static bool set_ciphers(struct wr_cf *cf, const struct wr_tls_conf *c, SSL_CTX *ctx)
{
    char buf[512];
    struct wr_text why = wr_text_on(buf, sizeof(buf));

    ERR_clear_error();
    if (SSL_CTX_set_cipher_list(ctx, c->ciphers.text.p) == 1)
        return true;
    wr_text_fmt(&why, "SSL_CTX_set_cipher_list(\"" WR_FMT "\") failed", WR_ARG(c->ciphers.text));
    wr_tls_errors(&why);
    return wr_cf_error_at(cf, c->ciphers.node, 1, WR_FMT, WR_ARG(wr_text_view(&why)));
}

/* A worker that ends forgets its own sessions; those that are shared are the others', too. */
static void context_free(void *arg)
{
    SSL_CTX_sess_set_remove_cb(arg, NULL);
    SSL_CTX_free(arg);
}

SSL_CTX *wr_tls_context(struct wr_cf *cf, struct wr_tls_conf *c, bool server)
{
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

    if (ctx == NULL)
        wr_out_of_memory(0);
    wr_pool_cleanup(cf->pool, context_free, ctx);
    c->ctx = ctx;
    c->folder = wr_cf_path(cf, WR_STR(""), true);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION
                                 | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
                              | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    set_protocols(ctx, c->protocols);
    return set_ciphers(cf, c, ctx) && load_certificates(cf, c) && load_trust(cf, c, ctx)
               ? ctx : NULL;
}
