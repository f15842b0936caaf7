/* tls_accept: TLS handshakes with clients: chooses the server and its certificate, the protocol
 * (ALPN), and checks the client's certificate. The session steps of layer 7 and the SSL phase of
 * layer 4 call wr_ssl_accept until it returns OK. The SSL object belongs to the connection. */
#include "tls/tls_impl.h"

#include <openssl/x509_vfy.h>

#define HANDSHAKING "SSL handshaking"

/* ---- the server ---- */

/* Scope of the server of this name; NULL: a regex gave up. */
static const struct wr_scope *scope_of(const struct wr_session *s, struct wr_str name)
{
    return name.n > 0 && s->layer->by_name != NULL ? s->layer->by_name(s, name)
                                                   : s->layer->greeting(s, NULL);
}

/* The name may be part of a path (ssl_certificate DIR/$ssl_server_name.crt): a text that cannot be
 * a host name counts as none, and the default server is used. */
static struct wr_str host_name(struct wr_str name)
{
    return wr_is_host_name(name) ? name : WR_STR("");
}

struct wr_str wr_ssl_server_name(const SSL *ssl)
{
    return host_name(wr_str_c(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)));
}

static const struct wr_scope *named_scope(const struct wr_session *s, const SSL *ssl)
{
    const struct wr_scope *found = scope_of(s, wr_ssl_server_name(ssl));

    /* NULL is not possible after choose_server, which ends such a handshake. */
    return found != NULL ? found : s->layer->greeting(s, NULL);
}

const struct wr_scope *wr_ssl_scope(const struct wr_session *s)
{
    return named_scope(s, wr_tls_of(&s->conn));
}

/* A server without certificates uses those of the default one. */
static const struct wr_ssl_conf *conf_for(const struct wr_session *s, const SSL *ssl)
{
    const struct wr_ssl_conf *c = wr_ssl_conf_of(named_scope(s, ssl));

    return c->tls.ctx != NULL ? c : wr_ssl_default_conf(s);
}

/* The name in a ClientHello, from a list that holds host names only (RFC 6066 3). */
static struct wr_str hello_name(SSL *ssl)
{
    const unsigned char *p = NULL;
    size_t n = 0;
    struct wr_scan s;
    struct wr_str name;

    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1)
        return wr_str_of("", 0);
    s = wr_scan_of(p, n);
    (void)wr_scan_u16(&s);
    (void)wr_scan_u8(&s);
    name = wr_scan_take(&s, wr_scan_u16(&s));
    return s.bad ? wr_str_of("", 0) : host_name(name);
}

/* SSL_set_SSL_CTX changes the certificates only: copy the other settings of the context. */
static void switch_to(SSL *ssl, const struct wr_ssl_conf *c)
{
    SSL_CTX *ctx = c->tls.ctx;

    SSL_set_SSL_CTX(ssl, ctx);
    SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx), SSL_CTX_get_verify_callback(ctx));
    SSL_set_verify_depth(ssl, SSL_CTX_get_verify_depth(ctx));
    SSL_clear_options(ssl, SSL_get_options(ssl) & ~SSL_CTX_get_options(ctx));
    SSL_set_options(ssl, SSL_CTX_get_options(ctx));
    SSL_set_min_proto_version(ssl, (int)SSL_CTX_get_min_proto_version(ctx));
    SSL_set_max_proto_version(ssl, (int)SSL_CTX_get_max_proto_version(ctx));
}

/* Called before the version is chosen, as servers may allow different versions. */
static int choose_server(SSL *ssl, int *alert, void *arg)
{
    const struct wr_session *s = wr_ssl_session_of(ssl);
    const struct wr_scope *found = scope_of(s, hello_name(ssl));
    const struct wr_ssl_conf *c;

    (void)arg;
    if (found == NULL) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    c = wr_ssl_conf_of(found);
    if (c->reject_handshake) {
        wr_session_log(s, HANDSHAKING, WR_LOG_INFO, 0, "handshake rejected");
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_CLIENT_HELLO_ERROR;
    }
    if (c->tls.ctx != NULL && c->tls.ctx != SSL_get_SSL_CTX(ssl))
        switch_to(ssl, c);
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* OpenSSL keeps the name for later only if this callback accepts it. */
static int take_name(SSL *ssl, int *alert, void *arg)
{
    (void)ssl;
    (void)alert;
    (void)arg;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- the protocol ---- */

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *n,
                           const unsigned char *in, unsigned in_n, void *arg)
{
    const struct wr_session *s = wr_ssl_session_of(ssl);
    struct wr_str list = s->layer->protocols != NULL ? s->layer->protocols(s->listener)
                                                     : wr_ssl_conf_of(named_scope(s, ssl))->alpn;
    unsigned char *chosen;

    (void)arg;
    if (list.n == 0)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_select_next_proto(&chosen, n, (const unsigned char *)list.p, (unsigned)list.n, in, in_n)
        != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 3.2 */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

struct wr_str wr_ssl_protocol(const struct wr_session *s)
{
    SSL *ssl = wr_tls_of(&s->conn);
    const unsigned char *p = NULL;
    unsigned n = 0;

    if (ssl != NULL)
        SSL_get0_alpn_selected(ssl, &p, &n);
    return wr_str_of((const char *)p, n);
}

/* ---- certificates whose names have variables ---- */

static bool load_pair(struct wr_exchange *x, SSL *ssl, const struct wr_tls_conf *c, uint32_t i,
                      struct wr_text *why)
{
    struct wr_str certificate, key;

    wr_vault_pool(x->pool); /* the text may be the key itself (data:$key) */
    certificate = wr_template_str(x, c->certificates.at[i].name);
    key = wr_template_str(x, c->keys.at[i].name);
    return certificate.n == 0 || wr_tls_load_pair(x->pool, c, ssl, certificate, key, why);
}

/* Step of an exchange made for the values of variables only, before there is a request. */
static const struct wr_step handshaking = { "handshake", HANDSHAKING, NULL };

static int load_certificates(SSL *ssl, void *arg)
{
    struct wr_session *s = wr_ssl_session_of(ssl);
    const struct wr_tls_conf *c = &conf_for(s, ssl)->tls;
    char buf[1024];
    struct wr_text why = wr_text_on(buf, sizeof(buf));
    bool ok = true, own = s->x == NULL;
    struct wr_exchange *x;

    (void)arg;
    if (!c->dynamic)
        return 1;
    x = own ? wr_exchange_new(s, s->layer->greeting(s, NULL), &handshaking) : s->x;
    for (uint32_t i = 0; ok && i < wr_min(c->certificates.n, c->keys.n); i++)
        ok = load_pair(x, ssl, c, i, &why) && !x->gave_up;
    if (own)
        wr_exchange_drop(x);
    if (!ok)
        wr_session_log(s, HANDSHAKING, WR_LOG_ERROR, 0, WR_FMT, WR_ARG(wr_text_view(&why)));
    return ok;
}

/* ---- the handshake ---- */

static void log_failure(struct wr_session *s)
{
    char buf[768];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    /* A client can provoke errors of any part of OpenSSL (bad keys, certificates, ciphertexts): log
     * them at info. Only fatal ones (no memory) are ours. */
    bool ours = ERR_FATAL_ERROR(ERR_peek_last_error()) != 0;

    wr_tls_errors(&t);
    wr_session_log(s, HANDSHAKING, ours ? WR_LOG_CRIT : WR_LOG_INFO,
                   t.n > 0 ? 0 : s->conn.error, "SSL_do_handshake() failed" WR_FMT,
                   WR_ARG(wr_text_view(&t)));
}

enum wr_io wr_ssl_accept(struct wr_session *s)
{
    const struct wr_ssl_conf *c = wr_ssl_default_conf(s);
    enum wr_io io;

    if (s->conn.tls == NULL && !wr_tls_open(&s->conn, c->tls.ctx, true, c->record)) {
        wr_session_log(s, HANDSHAKING, WR_LOG_ALERT, 0, "SSL_new() failed");
        return WR_IO_ERROR;
    }
    io = wr_tls_handshake(&s->conn);
    if (io == WR_IO_EOF)
        wr_session_log(s, HANDSHAKING, WR_LOG_INFO, 0, "peer closed connection in SSL handshake");
    else if (io == WR_IO_ERROR)
        log_failure(s);
    ERR_clear_error();
    return io;
}

/* ---- the client's certificate ---- */

/* Accepts every chain; wr_ssl_client_cert decides when the client can be answered. */
static int verify_later(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

/* True: no trusted issuer. optional_no_ca accepts that, for others to decide. */
static bool is_unknown_issuer(long result)
{
    switch (result) {
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return true;
    default:
        return false;
    }
}

static bool is_same_file(const struct wr_tls_file *a, const struct wr_tls_file *b)
{
    return a->path == b->path
        || (a->path != NULL && b->path != NULL && strcmp(a->path, b->path) == 0);
}

static bool has_same_trust(const struct wr_ssl_conf *a, const struct wr_ssl_conf *b)
{
    return is_same_file(&a->client_ca, &b->client_ca)
        && is_same_file(&a->tls.trusted, &b->tls.trusted)
        && is_same_file(&a->tls.crl, &b->tls.crl) && a->tls.depth == b->tls.depth;
}

/* A connection verified for one server name must not be used for another server that asks for
 * client certificates. Without SNI, or if the named server has no certificate, the default server
 * has verified it. */
static bool is_another_server(const struct wr_exchange *x, const SSL *ssl)
{
    if (x->s->layer->by_name == NULL)
        return false;
    if (wr_ssl_server_name(ssl).n > 0 && named_scope(x->s, ssl) != x->scope)
        return true;
    return SSL_get0_peer_certificate(ssl) != NULL
        && !has_same_trust(conf_for(x->s, ssl), wr_ssl_conf_of(x->scope));
}

enum wr_client_cert wr_ssl_client_cert(struct wr_exchange *x)
{
    const struct wr_ssl_conf *c = wr_ssl_conf_of(x->scope);
    SSL *ssl = wr_tls_of(&x->s->conn);
    long result;

    if (ssl == NULL || c->verify == WR_VERIFY_OFF)
        return WR_CLIENT_CERT_OK;
    if (is_another_server(x, ssl)) {
        wr_xlog(x, WR_LOG_INFO, 0, "client attempted to request the server name different from the"
                " one that was negotiated");
        return WR_CLIENT_CERT_OF_OTHER;
    }
    result = SSL_get_verify_result(ssl);
    if (result != X509_V_OK
        && !(c->verify == WR_VERIFY_OPTIONAL_NO_CA && is_unknown_issuer(result))) {
        wr_xlog(x, WR_LOG_INFO, 0, "client SSL certificate verify error: (%ld:%s)", result,
                X509_verify_cert_error_string(result));
        SSL_CTX_remove_session(SSL_get_SSL_CTX(ssl), SSL_get0_session(ssl));
        return WR_CLIENT_CERT_INVALID;
    }
    if (c->verify == WR_VERIFY_ON && SSL_get0_peer_certificate(ssl) == NULL) {
        wr_xlog(x, WR_LOG_INFO, 0, "client sent no required SSL certificate");
        SSL_CTX_remove_session(SSL_get_SSL_CTX(ssl), SSL_get0_session(ssl));
        return WR_CLIENT_CERT_MISSING;
    }
    return WR_CLIENT_CERT_OK;
}

void wr_ssl_accept_setup(SSL_CTX *ctx, struct wr_ssl_conf *c)
{
    SSL_CTX_set_client_hello_cb(ctx, choose_server, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, take_name);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    SSL_CTX_set_num_tickets(ctx, 1);
    if (c->verify != WR_VERIFY_OFF)
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, verify_later);
    if (c->tls.dynamic)
        SSL_CTX_set_cert_cb(ctx, load_certificates, NULL);
}
