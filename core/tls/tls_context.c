/* tls_context: makes OpenSSL contexts of directives: protocols, ciphers, certificates, trust. For
 * ssl_ (servers) and proxy_ssl_ (clients). Called while loading; pem reads the files. */
#include "tls/tls_impl.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

static void warn_date(struct wr_cf *cf, const struct wr_node *n, const char *what,
                      const ASN1_TIME *at)
{
    char date[32] = "";
    struct tm tm;

    if (ASN1_TIME_to_tm(at, &tm) == 1)
        (void)strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S GMT", &tm);
    wr_diag_add(cf->conf->tree, WR_LOG_WARN, n, 1, NULL, "certificate \"" WR_FMT "\" %s %s",
                WR_ARG(n->words[1].text), what, date);
}

/* Only a warning: clients will refuse the certificate, but it may be renewed before the start. */
static void warn_of_dates(struct wr_cf *cf, const struct wr_node *n, const X509 *certificate)
{
    const ASN1_TIME *from = X509_get0_notBefore(certificate);
    const ASN1_TIME *to = X509_get0_notAfter(certificate);

    if (X509_cmp_current_time(to) < 0)
        warn_date(cf, n, "has expired on", to);
    else if (X509_cmp_current_time(from) > 0)
        warn_date(cf, n, "is not valid before", from);
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
        if (!wr_tls_load(cf, cf->pool, c, NULL, name, &why)) {
            struct wr_str said = wr_text_view(&why);
            bool key = wr_str_starts(said, WR_STR("cannot load certificate key"));

            return wr_cf_error_at(cf, (key ? &c->keys : &c->certificates)->at[i].node, 1, WR_FMT,
                                  WR_ARG(said));
        }
        warn_of_dates(cf, c->certificates.at[i].node, SSL_CTX_get0_certificate(c->ctx));
    }
    if (c->certificates.n > c->keys.n)
        return wr_cf_error_at(cf, c->certificates.at[c->keys.n].node, 0,
                              "no \"%s_key\" is defined for this certificate",
                              c->certificates.at[c->keys.n].node->words[0].text.p);
    return true;
}

/* ---- trust ---- */

static bool report_file(struct wr_cf *cf, const struct wr_tls_file *f, const char *call)
{
    char buf[1024];
    struct wr_text why = wr_text_on(buf, sizeof(buf));

    wr_text_fmt(&why, "%s(\"%s\") failed", call, f->path);
    wr_tls_errors(&why);
    return wr_cf_error_at(cf, f->node, 1, WR_FMT, WR_ARG(wr_text_view(&why)));
}

static bool trust_certificate(SSL_CTX *ctx, X509 *x, STACK_OF(X509_NAME) *names)
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

/* Also takes "TRUSTED CERTIFICATE" blocks: SSL_CTX_load_verify_locations would not give the names
 * of these issuers. */
bool wr_tls_trust(struct wr_cf *cf, const struct wr_tls_file *f, SSL_CTX *ctx,
                  STACK_OF(X509_NAME) *names)
{
    BIO *b = wr_tls_pem_open(cf, wr_str_c(f->path));
    const char *call = b == NULL ? "BIO_new_file" : NULL;
    X509 *x;
    int n = 0;

    while (call == NULL && (x = PEM_read_bio_X509_AUX(b, NULL, NULL, NULL)) != NULL) {
        if (!trust_certificate(ctx, x, names))
            call = "X509_STORE_add_cert";
        X509_free(x);
        n++;
    }
    if (call == NULL && (n == 0 || !wr_tls_is_pem_end()))
        call = "PEM_read_bio_X509_AUX";
    BIO_free(b);
    if (call != NULL)
        return report_file(cf, f, call);
    ERR_clear_error();
    return true;
}

static bool load_crl(struct wr_cf *cf, const struct wr_tls_conf *c, SSL_CTX *ctx)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    BIO *b = wr_tls_pem_open(cf, wr_str_c(c->crl.path));
    const char *call = b == NULL ? "BIO_new_file" : NULL;
    X509_CRL *crl;
    int n = 0;

    while (call == NULL && (crl = PEM_read_bio_X509_CRL(b, NULL, NULL, NULL)) != NULL) {
        if (X509_STORE_add_crl(store, crl) != 1)
            call = "X509_STORE_add_crl";
        X509_CRL_free(crl);
        n++;
    }
    if (call == NULL && (n == 0 || !wr_tls_is_pem_end()))
        call = "PEM_read_bio_X509_CRL";
    BIO_free(b);
    if (call != NULL)
        return report_file(cf, &c->crl, call);
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
    /* Both are 0 (no limit) if the directive has only SSLv2 or SSLv3, which OpenSSL lacks: then all
     * versions are switched off above. */
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

/* Frees a context without the callback that would remove its sessions from the shared zone: other
 * workers still use them. */
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
