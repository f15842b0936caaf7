/* peer_tls: TLS to servers: the setters of the proxy_ssl_ directives of both layers, and the steps
 * on a link after connect(): sending a PROXY header, the handshake, checking the certificate.
 *
 * Locations with equal settings share a context, and with it parked links and TLS sessions. A
 * session is offered only to the address and name it came from. */
#include "link/link_impl.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define SESSIONS 64 /* of one context in one process, by hash of address and name */

struct stored_session {
    uint64_t key;
    struct wr_addr addr;
    char *name;
    SSL_SESSION *session;
};
struct wr_peer_tls_live {
    struct wr_peer_tls settings; /* that the context was made of */
    SSL_CTX *ctx;
    struct stored_session sessions[SESSIONS];
    struct wr_peer_tls_live *next;
};

struct contexts {            /* of a configuration: state of wr_module_peer_tls */
    struct wr_peer_tls_live *first;
};

/* ---- configuration ---- */

static void live_free(void *arg)
{
    struct wr_peer_tls_live *l = arg;

    for (size_t i = 0; i < SESSIONS; i++) {
        SSL_SESSION_free(l->sessions[i].session);
        free(l->sessions[i].name);
    }
}

/* Inherited settings share pointers, so comparing pointers is enough. */
static bool is_same_conf(const struct wr_peer_tls *a, const struct wr_peer_tls *b)
{
    const struct wr_tls_conf *s = &a->tls, *t = &b->tls;

    return s->cache == t->cache
        && s->certificates.at == t->certificates.at && s->keys.at == t->keys.at
        && s->certificates.n == t->certificates.n && s->keys.n == t->keys.n
        && s->passwords.at == t->passwords.at && s->trusted.path == t->trusted.path
        && s->crl.path == t->crl.path && s->ciphers.text.p == t->ciphers.text.p
        && s->commands.at == t->commands.at && s->commands.n == t->commands.n
        && s->protocols == t->protocols && s->depth == t->depth
        && a->verify == b->verify && a->server_name == b->server_name
        && a->session_reuse == b->session_reuse && a->start == b->start;
}

const struct wr_enum wr_start_words[] = {
    { "off", WR_START_OFF }, { "pgsql", WR_START_PGSQL }, { "smtp", WR_START_SMTP },
    { "imap", WR_START_IMAP }, { "ldap", WR_START_LDAP }, { NULL, 0 },
};

bool wr_set_peer_alpn(struct wr_cf *cf, void *conf)
{
    struct wr_peer_alpn *list = WR_FIELD(cf, conf, struct wr_peer_alpn);

    *list = (struct wr_peer_alpn){ 0 };
    for (uint32_t i = 1; i <= cf->nargs; i++) {
        struct wr_template *t = wr_template_new(cf, i, wr_cf_arg(cf, i));
        struct wr_str name;

        if (t == NULL)
            return false;
        if (wr_template_literal(t, &name) && (name.n == 0 || name.n > WR_ALPN_NAME_MAX))
            return wr_cf_error(cf, i, "protocol too long");
        *wr_vec_push(cf->pool, list) = t;
    }
    return true;
}

static int keep_session(SSL *ssl, SSL_SESSION *s);

/* A resumed session keeps the client certificate it began with. Where variables name the
 * certificate, the next exchange may need another one. */
static bool may_keep_sessions(const struct wr_peer_tls *c)
{
    return c->session_reuse && !c->tls.dynamic;
}

static bool live_new(struct wr_cf *cf, struct wr_peer_tls *c, const char *prefix)
{
    struct contexts *all = wr_cf_state(cf, &wr_module_peer_tls);
    struct wr_peer_tls_live *l;

    if (c->verify && c->tls.trusted.path == NULL)
        return wr_cf_error(cf, 0, "no %s_ssl_trusted_certificate for %s_ssl_verify", prefix,
                           prefix);
    l = WR_NEW(cf->pool, struct wr_peer_tls_live);
    wr_pool_cleanup(cf->pool, live_free, l);
    l->ctx = wr_tls_context(cf, &c->tls, false);
    if (l->ctx == NULL || !wr_tls_commands(cf, &c->tls, false))
        return false;
    if (may_keep_sessions(c)) {
        SSL_CTX_set_session_cache_mode(l->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(l->ctx, keep_session);
    } else {
        SSL_CTX_set_session_cache_mode(l->ctx, SSL_SESS_CACHE_OFF);
    }
    l->settings = *c;
    l->next = all->first;
    all->first = l;
    c->live = l;
    return true;
}

bool wr_peer_tls_finish(struct wr_cf *cf, struct wr_peer_tls *c, const char *prefix)
{
    const struct contexts *all = wr_cf_state(cf, &wr_module_peer_tls);

    for (struct wr_peer_tls_live *l = all->first; l != NULL; l = l->next) {
        if (is_same_conf(&l->settings, c)) {
            c->live = l;
            c->tls = l->settings.tls;
            return true;
        }
    }
    return live_new(cf, c, prefix);
}

/* ---- sessions ---- */

static uint64_t session_key(const struct wr_addr *a, struct wr_str name)
{
    return wr_addr_hash(a) ^ wr_hash_stable(name, 1);
}

static struct stored_session *session_at(struct wr_peer_tls_live *l, const struct wr_addr *a,
                                         struct wr_str name)
{
    return &l->sessions[session_key(a, name) % SESSIONS];
}

/* Callback of OpenSSL for a new session. Returns 1: the reference is kept here. */
static int keep_session(SSL *ssl, SSL_SESSION *s)
{
    struct wr_peer_link *link = wr_peer_link_of(SSL_get_app_data(ssl));
    struct stored_session *k = session_at(link->key.tls, &link->addr, link->key.name);

    SSL_SESSION_free(k->session);
    free(k->name);
    *k = (struct stored_session){ .key = session_key(&link->addr, link->key.name),
                                  .addr = link->addr,
                                  .session = s };
    k->name = wr_calloc(1, link->key.name.n + 1);
    if (link->key.name.n > 0)
        memcpy(k->name, link->key.name.p, link->key.name.n);
    return 1;
}

static void offer_session(struct wr_peer_link *link, SSL *ssl)
{
    const struct stored_session *k = session_at(link->key.tls, &link->addr, link->key.name);

    if (k->session != NULL && k->key == session_key(&link->addr, link->key.name)
        && wr_addr_eq(&k->addr, &link->addr) && wr_str_is(link->key.name, k->name))
        (void)SSL_set_session(ssl, k->session);
}

/* ---- the name ---- */

static bool is_ip_literal(struct wr_str name)
{
    struct wr_addr a;

    return wr_addr_parse_ip(name, &a);
}

static bool has_name(X509 *cert, struct wr_str name)
{
    struct wr_addr a;
    bool v4;

    if (!wr_addr_parse_ip(name, &a))
        /* X509_check_host takes a leading dot as "any subdomain" */
        return name.n > 0 && name.p[0] != '.'
            && X509_check_host(cert, name.p, name.n, 0, NULL) == 1;
    v4 = a.sa.sa_family == AF_INET;
    return X509_check_ip(cert, v4 ? (const unsigned char *)&a.in.sin_addr
                                  : a.in6.sin6_addr.s6_addr, v4 ? 4 : 16, 0) == 1;
}

/* ---- on a link ---- */

static enum wr_io tls_failed(struct wr_peer_link *l, int err, const char *what)
{
    char buf[768];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    wr_tls_errors(&t);
    wr_log(l->log, WR_LOG_ERROR, t.n > 0 ? 0 : err, l->source, "%s" WR_FMT, what,
           WR_ARG(wr_text_view(&t)));
    return wr_peer_link_down(l, WR_FAIL_ERROR);
}

static bool load_pair(const struct wr_peer_link *l, const struct wr_tls_conf *c, SSL *ssl)
{
    char buf[1024];
    struct wr_text why = wr_text_on(buf, sizeof(buf));
    struct wr_pool *pool;
    bool ok;

    if (l->certificate.n == 0)
        return true;
    pool = wr_pool_new(0);
    wr_vault_pool(pool); /* the name may contain the key itself (data:$key) */
    ok = wr_tls_load_pair(pool, c, ssl, l->certificate, l->certificate_key, &why);
    wr_pool_free(pool);
    if (!ok)
        wr_log(l->log, WR_LOG_ERROR, 0, l->source, WR_FMT, WR_ARG(wr_text_view(&why)));
    return ok;
}

static bool prepare_handshake(struct wr_peer_link *link)
{
    const struct wr_peer_tls *c = &link->key.tls->settings;
    struct wr_str name = link->key.name, alpn = link->key.alpn;
    SSL *ssl = wr_tls_of(&link->conn);

    if (c->server_name && name.n > 0 && !is_ip_literal(name)
        && SSL_set_tlsext_host_name(ssl, name.p) != 1)
        return false;
    if (alpn.n > 0 && SSL_set_alpn_protos(ssl, (const unsigned char *)alpn.p,
                                          (unsigned)alpn.n) != 0)
        return false;
    if (c->tls.dynamic && !load_pair(link, &c->tls, ssl))
        return false;
    if (may_keep_sessions(c))
        offer_session(link, ssl);
    return true;
}

static bool begin_handshake(struct wr_peer_link *l)
{
    wr_conn_timeout(&l->conn, l->rows->connect_timeout_ms);
    return wr_tls_open(&l->conn, l->key.tls->ctx, false, 0) && prepare_handshake(l);
}

/* OpenSSL has verified the chain; check its result, and the host name. */
static bool is_verified(const struct wr_peer_link *l)
{
    SSL *ssl = wr_tls_of(&l->conn);
    long result = SSL_get_verify_result(ssl);
    X509 *cert = SSL_get0_peer_certificate(ssl);
    bool match;

    if (!l->key.tls->settings.verify)
        return true;
    if (result != X509_V_OK || cert == NULL) {
        wr_log(l->log, WR_LOG_ERROR, 0, l->source,
               "upstream SSL certificate verify error: (%ld:%s)", result,
               X509_verify_cert_error_string(result));
        return false;
    }
    match = has_name(cert, l->key.name);
    if (!match)
        wr_log(l->log, WR_LOG_ERROR, 0, l->source,
               "upstream SSL certificate does not match \"" WR_FMT "\"", WR_ARG(l->key.name));
    return match;
}

/* A server that chose another protocol by ALPN would misread the requests. */
static bool is_protocol_spoken(const struct wr_peer_link *l)
{
    const unsigned char *p;
    unsigned n;

    SSL_get0_alpn_selected(wr_tls_of(&l->conn), &p, &n);
    if (l->key.speaker == NULL || l->key.speaker->speaks(wr_str_of((const char *)p, n)))
        return true;
    wr_log(l->log, WR_LOG_ERROR, 0, l->source,
           "upstream chose the protocol \"%.*s\" (ALPN), expected %s", (int)n,
           (const char *)p, l->key.speaker->name);
    return false;
}

/* Sends the PROXY header. AGAIN: not all of it was sent. */
static enum wr_io send_announce(struct wr_peer_link *l)
{
    enum wr_io io = WR_IO_OK;

    while (io == WR_IO_OK && l->announced < l->announce.n) {
        size_t put = 0;

        io = wr_conn_write(&l->conn, l->announce.p + l->announced, l->announce.n - l->announced,
                           &put);
        l->announced += put;
    }
    return io;
}

static enum wr_io shake_hands(struct wr_peer_link *l)
{
    ERR_clear_error();
    if (l->conn.tls == NULL && !begin_handshake(l))
        return tls_failed(l, 0, "cannot begin SSL handshake to upstream");
    switch (wr_tls_handshake(&l->conn)) {
    case WR_IO_OK:
        if (!is_verified(l) || !is_protocol_spoken(l))
            return wr_peer_link_down(l, WR_FAIL_ERROR);
        wr_conn_unread(&l->conn, l->greeting, l->greeting_n);
        return wr_peer_link_up(l);
    case WR_IO_AGAIN:
        return wr_peer_link_waits(l);
    case WR_IO_EOF:
        return tls_failed(l, 0, "peer closed connection in SSL handshake");
    default: /* an error */
        return tls_failed(l, l->conn.error, "SSL_do_handshake() failed");
    }
}

enum wr_io wr_peer_link_secure(struct wr_peer_link *l)
{
    enum wr_io io = send_announce(l);

    if (io == WR_IO_AGAIN)
        return wr_peer_link_waits(l);
    if (io != WR_IO_OK) {
        wr_log(l->log, WR_LOG_ERROR, l->conn.error, l->source, "send() failed");
        return wr_peer_link_down(l, WR_FAIL_ERROR);
    }
    if (l->key.tls == NULL)
        return wr_peer_link_up(l);
    if (l->key.tls->settings.start != WR_START_OFF && !l->started) {
        io = wr_peer_link_start(l, (enum wr_start)l->key.tls->settings.start);
        if (io != WR_IO_OK)
            return io;
    }
    return shake_hands(l);
}

static bool prepare(struct wr_cf *cf)
{
    wr_cf_state(cf, &wr_module_peer_tls) = WR_NEW(cf->pool, struct contexts);
    return true;
}

struct wr_module wr_module_peer_tls = {
    .name = "peer_tls",
    .layers = WR_ANY,
    .prepare = prepare,
};
