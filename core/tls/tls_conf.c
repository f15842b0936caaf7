/* tls_conf: the ssl_ directives of servers, the contexts made of them, and the handshake of layer 4
 * as a hook. */
#include "tls/tls_impl.h"

#include <openssl/pem.h>

/* ---- setters ---- */

static bool report_too_small(struct wr_cf *cf, uint32_t i, struct wr_str name)
{
    return wr_cf_error(cf, i, "session cache \"" WR_FMT "\" is too small", WR_ARG(name));
}

/* "shared:NAME:SIZE" */
static bool set_shared(struct wr_cf *cf, uint32_t i, struct wr_str rest, struct wr_ssl_conf *c)
{
    struct wr_str name = wr_str_cut(&rest, ':');
    uint64_t size;

    if (name.n == 0 || rest.p == NULL || !wr_parse_size(rest, &size))
        return wr_cf_error(cf, i, "invalid session cache \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, i)));
    if (size < 32768)
        return report_too_small(cf, i, wr_cf_arg(cf, i));
    c->zone = wr_ssl_zone_named(cf, i, name, (size_t)size);
    return c->zone != NULL;
}

static bool set_cache_word(struct wr_cf *cf, uint32_t i, struct wr_ssl_conf *c)
{
    struct wr_str word = wr_cf_arg(cf, i), builtin = WR_STR("builtin:"), shared = WR_STR("shared:");
    uint64_t n;

    if (wr_str_is(word, "off") || wr_str_is(word, "none")) {
        c->sessions = wr_str_is(word, "off") ? WR_SESSIONS_OFF : WR_SESSIONS_NONE;
        return true;
    }
    c->sessions = WR_SESSIONS_OURS;
    if (wr_str_is(word, "builtin")) {
        c->builtin = SSL_SESSION_CACHE_MAX_SIZE_DEFAULT;
        return true;
    }
    if (wr_str_starts(word, shared))
        return set_shared(cf, i, wr_str_skip(word, shared.n), c);
    if (!wr_str_starts(word, builtin) || !wr_str_u64(wr_str_skip(word, builtin.n), &n) || n == 0
        || n > INT32_MAX)
        return wr_cf_error(cf, i, "invalid session cache \"" WR_FMT "\"", WR_ARG(word));
    c->builtin = (uint32_t)n;
    return true;
}

static bool set_cache(struct wr_cf *cf, void *conf)
{
    struct wr_ssl_conf *c = conf;

    c->builtin = 0;
    c->zone = NULL;
    for (uint32_t i = 1; i <= cf->nargs; i++)
        if (!set_cache_word(cf, i, c))
            return false;
    return true;
}

/* ---- the context ---- */

static bool report_call(struct wr_cf *cf, const struct wr_node *n, const char *call)
{
    char buf[768];
    struct wr_text why = wr_text_on(buf, sizeof(buf));

    wr_text_fmt(&why, "%s failed", call);
    wr_tls_errors(&why);
    return wr_cf_error_at(cf, n, 1, WR_FMT, WR_ARG(wr_text_view(&why)));
}

static bool set_dh(struct wr_cf *cf, const struct wr_ssl_conf *c, SSL_CTX *ctx)
{
    BIO *b = BIO_new_file(c->dhparam.path, "r");
    EVP_PKEY *dh = b != NULL ? PEM_read_bio_Parameters(b, NULL) : NULL;

    BIO_free(b);
    if (dh == NULL)
        return report_call(cf, c->dhparam.node, "PEM_read_bio_Parameters()");
    if (SSL_CTX_set0_tmp_dh_pkey(ctx, dh) == 1)
        return true;
    EVP_PKEY_free(dh);
    return report_call(cf, c->dhparam.node, "SSL_CTX_set0_tmp_dh_pkey()");
}

static bool set_client_ca(struct wr_cf *cf, const struct wr_ssl_conf *c, SSL_CTX *ctx)
{
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();

    if (names == NULL || !wr_tls_trust(cf, &c->client_ca, ctx, names)) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return false;
    }
    SSL_CTX_set_client_CA_list(ctx, names);
    return true;
}

/* Adds the trusted certificates and CRLs (their contents, not their paths) to the digest. A resumed
 * session is not verified again, so a reload that revokes a certificate must invalidate it. */
static bool digest_trust(EVP_MD_CTX *md, const struct wr_ssl_conf *c, SSL_CTX *ctx)
{
    STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx));
    bool ok = EVP_DigestUpdate(md, &c->tls.depth, sizeof(c->tls.depth)) == 1;

    for (int i = 0; ok && i < sk_X509_OBJECT_num(all); i++) {
        const X509_OBJECT *o = sk_X509_OBJECT_value(all, i);
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned n = 0;

        ok = X509_OBJECT_get_type(o) == X509_LU_CRL
                 ? X509_CRL_digest(X509_OBJECT_get0_X509_CRL(o), EVP_sha256(), digest, &n) == 1
                 : X509_digest(X509_OBJECT_get0_X509(o), EVP_sha256(), digest, &n) == 1;
        ok = ok && EVP_DigestUpdate(md, digest, n) == 1;
    }
    return ok;
}

/* A session may be resumed only with a server that has the same certificates and trust. OpenSSL
 * compares this id, which is a digest of both. */
static bool set_id_context(struct wr_cf *cf, const struct wr_ssl_conf *c, SSL_CTX *ctx)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned n = 0;
    bool ok = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;

    for (long at = SSL_CERT_SET_FIRST; ok && SSL_CTX_set_current_cert(ctx, at) == 1;
         at = SSL_CERT_SET_NEXT)
        ok = X509_digest(SSL_CTX_get0_certificate(ctx), EVP_sha256(), digest, &n) == 1
          && EVP_DigestUpdate(md, digest, n) == 1;
    for (uint32_t i = 0; ok && i < c->tls.certificates.n; i++) { /* names with variables */
        struct wr_str name = c->tls.certificates.at[i].node->words[1].text;

        ok = EVP_DigestUpdate(md, name.p, name.n) == 1;
    }
    ok = ok && (c->verify == WR_VERIFY_OFF || digest_trust(md, c, ctx))
      && EVP_DigestUpdate(md, &c->verify, sizeof(c->verify)) == 1
      && EVP_DigestFinal_ex(md, digest, &n) == 1
      && SSL_CTX_set_session_id_context(ctx, digest, n) == 1;
    EVP_MD_CTX_free(md);
    return ok || wr_cf_error(cf, 0, "SSL_CTX_set_session_id_context() failed");
}

static bool set_sessions(struct wr_cf *cf, struct wr_ssl_conf *c, SSL_CTX *ctx)
{
    long mode = SSL_SESS_CACHE_SERVER | (c->builtin == 0 ? SSL_SESS_CACHE_NO_INTERNAL : 0);

    SSL_CTX_set_session_cache_mode(ctx, c->sessions == WR_SESSIONS_OFF ? SSL_SESS_CACHE_OFF : mode);
    SSL_CTX_set_timeout(ctx, (long)c->session_timeout_s);
    if (c->builtin > 0)
        SSL_CTX_sess_set_cache_size(ctx, c->builtin);
    if (!c->tickets)
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    else if (c->ticket_keys.n == 0)
        wr_ssl_tickets_use(cf, c);
    else if (!wr_ssl_ticket_keys_load(cf, c))
        return false;
    if (c->zone != NULL)
        wr_ssl_zone_use(ctx, c->zone);
    return true;
}

/* Checks that there is something to verify client certificates with. False: reported. */
static bool check_trust(struct wr_cf *cf, const struct wr_ssl_conf *c)
{
    const struct wr_node *n = c->tls.certificates.n > 0 ? c->tls.certificates.at[0].node : cf->node;

    if ((c->verify != WR_VERIFY_ON && c->verify != WR_VERIFY_OPTIONAL)
        || c->client_ca.path != NULL || c->tls.trusted.path != NULL)
        return true;
    return wr_cf_error_at(cf, n, 0, "no ssl_client_certificate or ssl_trusted_certificate for "
                          "ssl_verify_client");
}

static bool make_context(struct wr_cf *cf, struct wr_ssl_conf *c)
{
    SSL_CTX *ctx;

    if (!check_trust(cf, c))
        return false;
    ctx = wr_tls_context(cf, &c->tls, true);
    if (ctx == NULL)
        return false;
    ERR_clear_error();
    if (c->prefer_server_ciphers)
        SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    if (!wr_str_is(c->curves.text, "auto")
        && SSL_CTX_set1_curves_list(ctx, c->curves.text.p) != 1)
        return report_call(cf, c->curves.node, "SSL_CTX_set1_curves_list()");
    if (c->dhparam.path != NULL && !set_dh(cf, c, ctx))
        return false;
    if (c->client_ca.path != NULL && !set_client_ca(cf, c, ctx))
        return false;
    wr_ssl_accept_setup(ctx, c);
    return set_sessions(cf, c, ctx) && wr_tls_commands(cf, &c->tls, true)
        && set_id_context(cf, c, ctx);
}

static bool has_certificate(const struct wr_ssl_conf *c)
{
    return c->tls.certificates.n > 0 || c->reject_handshake;
}

/* Makes contexts for servers only: settings in http {} may be completed (with the key, say) only
 * inside a server. */
static bool context_of(struct wr_scope *s, void *arg)
{
    struct wr_cf *cf = arg;
    struct wr_ssl_conf *c;

    if (s->level != WR_LV_SERVER || (s->layer & WR_ANY) == 0)
        return true;
    c = wr_scope_conf(s, &wr_module_ssl);
    if (c->tls.ctx == NULL && !c->failed && has_certificate(c))
        c->failed = !make_context(cf, c);
    return true;
}

static bool check(struct wr_cf *cf)
{
    wr_scope_each(cf->conf->main, context_of, cf);
    wr_tls_forget_files(cf);
    return cf->conf->tree->errors == 0 && wr_ssl_zones_open(cf) && wr_ssl_tickets_open(cf);
}

bool wr_ssl_check(struct wr_cf *cf, const struct wr_listener *l,
                  const struct wr_scope *default_server)
{
    if (!l->ssl || has_certificate(wr_ssl_conf_of(default_server)))
        return true;
    return wr_cf_error_at(cf, l->node, 0, "no \"ssl_certificate\" is defined for the "
                          "\"listen ... ssl\" directive");
}

static bool prepare(struct wr_cf *cf)
{
    wr_cf_state(cf, &wr_module_ssl) = WR_NEW(cf->pool, struct wr_ssl_state);
    return true;
}

/* ---- the handshake of layer 4 ---- */

static enum wr_verdict shake_hands(struct wr_exchange *x)
{
    const struct wr_ssl_conf *c = wr_ssl_conf_of(x->scope);
    struct wr_start_state *st;

    if (!x->s->listener->ssl)
        return WR_PASS;
    st = wr_ctx_of(x, &wr_module_ssl);
    if (!st->timed)
        wr_timer_set(x->loop, &x->idle, c->handshake_timeout_ms);
    st->timed = true;
    if (x->idle.fired) {
        wr_xlog(x, WR_LOG_INFO, ETIMEDOUT, "client timed out");
        return wr_reject(x, 500, NULL);
    }
    if (c->start == WR_SSL_PGSQL && x->s->conn.tls == NULL) {
        enum wr_verdict v = wr_start_pgsql(x, st);

        if (v == WR_PASS && st->plain)
            wr_timer_off(x->loop, &x->idle);
        if (v != WR_PASS || st->plain)
            return v;
    }
    switch (wr_ssl_accept(x->s)) {
    case WR_IO_OK:
        wr_timer_off(x->loop, &x->idle);
        wr_exchange_scope(x, wr_ssl_scope(x->s));
        return wr_ssl_client_cert(x) == WR_CLIENT_CERT_OK ? WR_PASS : wr_reject(x, 500, NULL);
    case WR_IO_AGAIN:
        return WR_HOLD;
    default: /* the handshake failed, which was logged */
        return wr_reject(x, 500, NULL);
    }
}

/* ---- directives ---- */

static const struct wr_enum verify_words[] = {
    { "off", WR_VERIFY_OFF }, { "on", WR_VERIFY_ON }, { "optional", WR_VERIFY_OPTIONAL },
    { "optional_no_ca", WR_VERIFY_OPTIONAL_NO_CA }, { 0 },
};

static const struct wr_enum start_words[] = {
    { "off", WR_SSL_AT_ONCE }, { "pgsql", WR_SSL_PGSQL }, { 0 },
};

#define CONF struct wr_ssl_conf

static const struct wr_directive directives[] = {
    WR_TLS_ROWS("ssl", WR_ANY | WR_IN_SERVERS, CONF, tls, WR_MULTI, "HIGH:!aNULL:!MD5"),
    WR_ROW("ssl_client_certificate", WR_ANY | WR_IN_SERVERS, 1, 1, wr_set_tls_file, CONF, client_ca,
           NULL, NULL,
           "trusted issuers (PEM) of client certificates; their names are sent to clients"),
    WR_ROW("ssl_verify_client", WR_ANY | WR_IN_SERVERS, 1, 1, wr_set_enum, CONF, verify,
           verify_words, "off",
           "asks clients for a certificate: off, on, optional, optional_no_ca"),
    WR_ROW("ssl_dhparam", WR_ANY | WR_IN_SERVERS, 1, 1, wr_set_tls_file, CONF, dhparam, NULL, NULL,
           "parameters (PEM) for DHE ciphers; without them these are not used"),
    WR_ROW("ssl_ecdh_curve", WR_ANY | WR_IN_SERVERS, 1, 1, wr_set_tls_text, CONF, curves, NULL,
           "auto", "groups for key exchange in OpenSSL's names; auto: OpenSSL's list"),
    WR_FLAG("ssl_prefer_server_ciphers", WR_ANY | WR_IN_SERVERS, CONF, prefer_server_ciphers, "off",
            "prefers the server's order of ciphers to the client's, up to TLS 1.2"),
    WR_FLAG("ssl_reject_handshake", WR_ANY | WR_IN_SERVERS, CONF, reject_handshake, "off",
            "refuses handshakes for this server (in the default server: without SNI, too)"),
    WR_CUSTOM("ssl_session_cache", WR_ANY | WR_IN_SERVERS | WR_MULTI, 1, 2, set_cache, "none",
              "cache of sessions to resume: off, none, builtin[:N], shared:NAME:SIZE"),
    WR_ROW("ssl_session_timeout", WR_ANY | WR_IN_SERVERS, 1, 1, wr_set_sec, CONF, session_timeout_s,
           NULL, "5m", "how long a session can be resumed"),
    WR_FLAG("ssl_session_tickets", WR_ANY | WR_IN_SERVERS, CONF, tickets, "on",
            "sessions are kept by clients, as tickets"),
    WR_ROW("ssl_session_ticket_key", WR_ANY | WR_IN_SERVERS | WR_MULTI, 1, 1, wr_set_tls_command,
           CONF, ticket_keys, NULL, NULL,
           "file of 48 or 80 random bytes; new tickets use the first one"),
    WR_ROW("ssl_handshake_timeout", WR_L4 | WR_IN_SERVERS, 1, 1, wr_set_msec, CONF,
           handshake_timeout_ms, NULL, "60s", "longest time for a handshake"),
    WR_ROW("ssl_alpn", WR_L4 | WR_IN_SERVERS, 1, WR_ARGS_ANY, wr_set_alpn, CONF, alpn, NULL, NULL,
           "protocols offered by ALPN; a client that supports none of them is refused"),
    WR_ROW("ssl_start", WR_L4 | WR_IN_SERVERS, 1, 1, wr_set_enum, CONF, start, start_words, "off",
           "at `listen ... ssl`: what comes before the handshake: pgsql, an SSLRequest; or off"),
    WR_SIZE("ssl_buffer_size", WR_L7 | WR_IN_SERVERS, CONF, record, "16k",
            "most bytes of a record"),
    { 0 },
};

struct wr_module wr_module_ssl = {
    .name = "ssl",
    .layers = WR_ANY,
    .conf_size = sizeof(struct wr_ssl_conf),
    .ctx_size = sizeof(struct wr_start_state),
    .directives = directives,
    .prepare = prepare,
    .check = check,
    .phases = (const struct wr_phase_hook[]){
        { .phase = WR_PH_SSL, .layers = WR_L4, .run = shake_hands },
        { 0 },
    },
};
