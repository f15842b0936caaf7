/* tls_vars: variables of a client's TLS connection, valid after the handshake. Texts are made in
 * the exchange's pool. */
#include "tls/tls_impl.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

static SSL *ssl_of(const struct wr_exchange *x)
{
    return wr_tls_of(&x->s->conn);
}

/* ---- the connection ---- */

enum connection_value { PROTOCOL, CIPHER, CURVE };

static const char *curve_name(SSL *ssl)
{
    int nid = (int)SSL_get_negotiated_group(ssl);

    if (nid == 0)
        return NULL;
    return (nid & TLSEXT_nid_unknown) != 0
               ? SSL_group_to_name(ssl, nid) : OBJ_nid2sn(nid);
}

static const char *connection_text(SSL *ssl, uintptr_t what)
{
    switch (what) {
    case PROTOCOL: return SSL_get_version(ssl);
    case CIPHER: return SSL_get_cipher_name(ssl);
    default: /* CURVE */ return curve_name(ssl);
    }
}

static bool get_text(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    SSL *ssl = ssl_of(x);
    const char *s = ssl != NULL ? connection_text(ssl, v->data) : NULL;

    if (s == NULL)
        return false;
    *out = wr_pool_str(x->pool, wr_str_c(s));
    return true;
}

static bool get_server_name(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    SSL *ssl = ssl_of(x);
    struct wr_str name = ssl != NULL ? wr_ssl_server_name(ssl) : WR_STR("");

    (void)v;
    if (name.n == 0)
        return false;
    *out = wr_pool_str(x->pool, name);
    return true;
}

static bool get_ciphers(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    SSL *ssl = ssl_of(x);
    STACK_OF(SSL_CIPHER) *list = ssl != NULL ? SSL_get_client_ciphers(ssl) : NULL;
    struct wr_text t = wr_text_grow(x->pool, 256, 65536);

    (void)v;
    for (int i = 0; list != NULL && i < sk_SSL_CIPHER_num(list); i++) {
        wr_text_c(&t, i > 0 ? ":" : "");
        wr_text_c(&t, SSL_CIPHER_get_name(sk_SSL_CIPHER_value(list, i)));
    }
    *out = wr_text_view(&t);
    return list != NULL;
}

static bool get_curves(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    SSL *ssl = ssl_of(x);
    int list[64], n = ssl != NULL ? (int)SSL_get1_groups(ssl, NULL) : 0;
    struct wr_text t = wr_text_grow(x->pool, 256, 65536);

    (void)v;
    if (n <= 0 || n > (int)WR_COUNT(list))
        return false;
    n = (int)SSL_get1_groups(ssl, list);
    for (int i = 0; i < n; i++) {
        wr_text_c(&t, i > 0 ? ":" : "");
        if ((list[i] & TLSEXT_nid_unknown) != 0)
            wr_text_fmt(&t, "0x%04x", list[i] & 0xffff);
        else
            wr_text_c(&t, OBJ_nid2sn(list[i]));
    }
    *out = wr_text_view(&t);
    return true;
}

static bool get_session_id(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    SSL *ssl = ssl_of(x);
    SSL_SESSION *s = ssl != NULL ? SSL_get0_session(ssl) : NULL;
    struct wr_text t = wr_text_grow(x->pool, 64, 256);
    const unsigned char *id;
    unsigned n;

    (void)v;
    if (s == NULL)
        return false;
    id = SSL_SESSION_get_id(s, &n);
    wr_text_hex(&t, id, n);
    *out = wr_text_view(&t);
    return true;
}

static bool get_reused(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    SSL *ssl = ssl_of(x);

    (void)v;
    *out = ssl != NULL && SSL_session_reused(ssl) ? WR_STR("r") : WR_STR(".");
    return ssl != NULL;
}

static bool get_alpn(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = wr_pool_str(x->pool, wr_ssl_protocol(x->s));
    return out->n > 0;
}

/* ---- the client's certificate ---- */

static X509 *certificate_of(const struct wr_exchange *x)
{
    SSL *ssl = ssl_of(x);

    return ssl != NULL ? SSL_get0_peer_certificate(ssl) : NULL;
}

static bool take_bio_text(struct wr_exchange *x, BIO *b, bool ok, struct wr_str *out)
{
    char *p;
    long n = b != NULL ? BIO_get_mem_data(b, &p) : 0;

    ok = ok && n > 0;
    if (ok)
        *out = wr_pool_str(x->pool, wr_str_of(p, (size_t)n));
    BIO_free(b);
    return ok;
}

static bool certificate_pem(struct wr_exchange *x, struct wr_str *out)
{
    X509 *cert = certificate_of(x);
    BIO *b = cert != NULL ? BIO_new(BIO_s_mem()) : NULL;

    return take_bio_text(x, b, b != NULL && PEM_write_bio_X509(b, cert) == 1, out);
}

enum form { RAW, TABBED, ESCAPED };

static void append_tabbed(struct wr_str pem, struct wr_text *t)
{
    while (pem.p != NULL && pem.n > 0) {
        wr_text_str(t, wr_str_cut(&pem, '\n'));
        if (pem.p != NULL && pem.n > 0)
            wr_text_c(t, "\n\t");
    }
}

/* Escapes all but unreserved characters (RFC 3986 2.3), as in a URI component. */
static void append_escaped(struct wr_str pem, struct wr_text *t)
{
    for (size_t i = 0; i < pem.n; i++) {
        unsigned char c = (unsigned char)pem.p[i];

        if (wr_is_alnum((char)c) || strchr("-._~", c) != NULL)
            wr_text_char(t, (char)c);
        else
            wr_text_fmt(t, "%%%02X", (unsigned)c);
    }
}

static bool get_certificate(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    struct wr_text t;

    if (!certificate_pem(x, out))
        return false;
    if (v->data == RAW)
        return true;
    t = wr_text_grow(x->pool, out->n, 4 * out->n);
    if (v->data == TABBED)
        append_tabbed(*out, &t);
    else
        append_escaped(*out, &t);
    *out = wr_text_view(&t);
    return true;
}

static bool get_name(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    X509 *cert = certificate_of(x);
    BIO *b = cert != NULL ? BIO_new(BIO_s_mem()) : NULL;
    X509_NAME *name = cert == NULL ? NULL
                    : v->data == 's' ? X509_get_subject_name(cert) : X509_get_issuer_name(cert);
    bool ok = b != NULL && X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253) >= 0;

    return take_bio_text(x, b, ok, out);
}

static bool get_legacy_name(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    X509 *cert = certificate_of(x);
    char *line = cert == NULL ? NULL
               : X509_NAME_oneline(v->data == 's' ? X509_get_subject_name(cert)
                                                  : X509_get_issuer_name(cert), NULL, 0);

    if (line == NULL)
        return false;
    *out = wr_pool_str(x->pool, wr_str_c(line));
    OPENSSL_free(line);
    return true;
}

static bool get_serial(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    X509 *cert = certificate_of(x);
    BIO *b = cert != NULL ? BIO_new(BIO_s_mem()) : NULL;

    (void)v;
    return take_bio_text(x, b, b != NULL && i2a_ASN1_INTEGER(b, X509_get0_serialNumber(cert)) > 0,
                         out);
}

static bool get_fingerprint(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    X509 *cert = certificate_of(x);
    struct wr_text t = wr_text_grow(x->pool, 64, 64);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    (void)v;
    if (cert == NULL || X509_digest(cert, EVP_sha1(), digest, &n) != 1)
        return false;
    wr_text_hex(&t, digest, n);
    *out = wr_text_view(&t);
    return true;
}

static bool get_verify(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    SSL *ssl = ssl_of(x);
    long result = ssl != NULL ? SSL_get_verify_result(ssl) : X509_V_OK;

    (void)v;
    if (ssl == NULL)
        return false;
    if (certificate_of(x) == NULL)
        *out = WR_STR("NONE");
    else if (result == X509_V_OK)
        *out = WR_STR("SUCCESS");
    else
        *out = wr_pool_fmt(x->pool, "FAILED:%s", X509_verify_cert_error_string(result));
    return true;
}

static bool get_date(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    X509 *cert = certificate_of(x);
    BIO *b = cert != NULL ? BIO_new(BIO_s_mem()) : NULL;
    const ASN1_TIME *when = cert == NULL ? NULL
                          : v->data == 's' ? X509_get0_notBefore(cert) : X509_get0_notAfter(cert);

    return take_bio_text(x, b, b != NULL && ASN1_TIME_print(b, when) == 1, out);
}

/* Whole days until the certificate expires; 0: it has expired. */
static bool get_remain(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    X509 *cert = certificate_of(x);
    int days = 0, seconds = 0;

    (void)v;
    if (cert == NULL || ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) != 1)
        return false;
    *out = wr_pool_fmt(x->pool, "%d", days < 0 || seconds < 0 ? 0 : days);
    return true;
}

#define ROW(nm, getter, what) \
    { .name = "ssl_" nm, .layers = WR_ANY, .get = (getter), .data = (what) }

static const struct wr_variable variables[] = {
    ROW("protocol", get_text, PROTOCOL), ROW("cipher", get_text, CIPHER),
    ROW("server_name", get_server_name, 0), ROW("curve", get_text, CURVE),
    ROW("ciphers", get_ciphers, 0), ROW("curves", get_curves, 0),
    ROW("session_id", get_session_id, 0), ROW("session_reused", get_reused, 0),
    ROW("alpn_protocol", get_alpn, 0), ROW("client_cert", get_certificate, TABBED),
    ROW("client_raw_cert", get_certificate, RAW),
    ROW("client_escaped_cert", get_certificate, ESCAPED), ROW("client_s_dn", get_name, 's'),
    ROW("client_i_dn", get_name, 'i'), ROW("client_s_dn_legacy", get_legacy_name, 's'),
    ROW("client_i_dn_legacy", get_legacy_name, 'i'), ROW("client_serial", get_serial, 0),
    ROW("client_fingerprint", get_fingerprint, 0), ROW("client_verify", get_verify, 0),
    ROW("client_v_start", get_date, 's'), ROW("client_v_end", get_date, 'e'),
    ROW("client_v_remain", get_remain, 0),
    { 0 },
};

struct wr_module wr_module_ssl_vars = {
    .name = "ssl_vars",
    .layers = WR_ANY,
    .variables = variables,
};
