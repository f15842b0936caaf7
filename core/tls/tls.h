/* tls: settings and contexts for ssl_ and proxy_ssl_, and handshakes with clients.
 *
 * The files of this folder:
 *   tls_conf           the ssl_ directives of servers, and the handshake of layer 4
 *   tls_rows           setters of directives that ssl_ and proxy_ssl_ have in common
 *   tls_context        OpenSSL contexts made of them
 *   pem                certificates and keys from files
 *   certificate_cache  certificates whose names have variables
 *   tls_accept         handshakes with clients
 *   start_pgsql        what a client of PostgreSQL sends before its handshake
 *   session_zone       sessions that all workers share
 *   ticket_keys        keys of tickets that all workers share
 *   tls_vars           $ssl_protocol, ... */
#ifndef WR_TLS_H
#define WR_TLS_H

#include "text/text.h"

enum wr_tls_versions {
    WR_TLS_NONE = 1, WR_TLS_1_0 = 2, WR_TLS_1_1 = 4, WR_TLS_1_2 = 8, WR_TLS_1_3 = 16
};
struct wr_tls_name {           /* a certificate or key: path or "data:...", may have variables */
    struct wr_template *name;
    const struct wr_node *node;
};
struct wr_tls_names { struct wr_tls_name *at; uint32_t n, cap; };
struct wr_tls_nodes { const struct wr_node **at; uint32_t n, cap; };
struct wr_tls_passwords { struct wr_str *at; uint32_t n, cap; };
struct wr_tls_file { const char *path; const struct wr_node *node; };    /* path NULL: none */
struct wr_tls_text { struct wr_str text; const struct wr_node *node; };
struct wr_tls_cache;
struct wr_tls_conf {
    struct wr_tls_names certificates, keys; /* the n-th key is that of the n-th certificate */
    struct wr_tls_passwords passwords;      /* of keys, tried in turn */
    struct wr_tls_file trusted, crl;
    struct wr_tls_text ciphers;
    struct wr_tls_nodes commands;           /* ssl_conf_command */
    uint32_t protocols, depth;
    struct wr_tls_cache *cache; /* of certificates loaded in handshakes; NULL: none */
    const char *folder;        /* relative names begin here */
    bool dynamic;              /* a name has variables: loaded in each handshake */
    struct ssl_ctx_st *ctx;    /* an SSL_CTX, freed with the configuration; NULL: none */
};
extern const struct wr_enum wr_tls_protocols[];
bool wr_set_tls_files(struct wr_cf *cf, void *conf);     /* struct wr_tls_names */
bool wr_set_tls_file(struct wr_cf *cf, void *conf);      /* struct wr_tls_file */
bool wr_set_tls_text(struct wr_cf *cf, void *conf);      /* struct wr_tls_text */
bool wr_set_tls_command(struct wr_cf *cf, void *conf);   /* struct wr_tls_nodes */
bool wr_set_tls_cache(struct wr_cf *cf, void *conf);     /* struct wr_tls_cache * */
bool wr_set_tls_passwords(struct wr_cf *cf, void *conf); /* struct wr_tls_passwords */
bool wr_set_alpn(struct wr_cf *cf, void *conf);          /* struct wr_str, as on the wire */
/* Rows for ssl_ and proxy_ssl_; many: WR_MULTI if several certificates are allowed. */
#define WR_TLS_ROWS(prefix, where, type, field, many, standard_ciphers) \
    WR_ROW(prefix "_certificate", (where) | (many), 1, 1, wr_set_tls_files, type, \
           field.certificates, NULL, NULL, \
           "certificate with its chain: PEM file or data:; with variables a worker reads it"), \
    WR_ROW(prefix "_certificate_key", (where) | (many), 1, 1, wr_set_tls_files, type, field.keys, \
           NULL, NULL, "key of the certificate: PEM file or data:"), \
    WR_ROW(prefix "_password_file", where, 1, 1, wr_set_tls_passwords, type, field.passwords, \
           NULL, NULL, "file with passwords of keys, one per line"), \
    WR_ROW(prefix "_certificate_cache", where, 1, 3, wr_set_tls_cache, type, field.cache, NULL, \
           "off", "keeps certificates whose names have variables: off, max=N inactive= valid="), \
    WR_ROW(prefix "_protocols", (where) | WR_MULTI, 1, WR_ARGS_ANY, wr_set_mask, type, \
           field.protocols, wr_tls_protocols, "TLSv1.2 TLSv1.3", \
           "versions of TLS that are used"), \
    WR_ROW(prefix "_ciphers", where, 1, 1, wr_set_tls_text, type, field.ciphers, NULL, \
           standard_ciphers, "ciphers up to TLS 1.2, in OpenSSL's format"), \
    WR_ROW(prefix "_trusted_certificate", where, 1, 1, wr_set_tls_file, type, field.trusted, NULL, \
           NULL, "trusted issuers (PEM) of the other side's certificate"), \
    WR_ROW(prefix "_crl", where, 1, 1, wr_set_tls_file, type, field.crl, NULL, NULL, \
           "revoked certificates (PEM)"), \
    WR_ROW(prefix "_verify_depth", where, 1, 1, wr_set_num, type, field.depth, NULL, "1", \
           "greatest depth of a chain of certificates"), \
    WR_ROW(prefix "_conf_command", (where) | WR_MULTI, 2, 2, wr_set_tls_command, type, \
           field.commands, NULL, NULL, "a command of OpenSSL's configuration and its value")
/* Makes c->ctx, which is freed with the configuration; called by `finish`. NULL: reported. */
struct ssl_ctx_st *wr_tls_context(struct wr_cf *cf, struct wr_tls_conf *c, bool server);
/* Runs the commands of ssl_conf_command; called last, as they override all else. False:
 * reported. */
bool wr_tls_commands(struct wr_cf *cf, struct wr_tls_conf *c, bool server);
/* Loads a certificate and its key into ssl, or into c->ctx if ssl is NULL; the pool is for their
 * names. False: the reason is appended to *why. */
bool wr_tls_load_pair(struct wr_pool *pool, const struct wr_tls_conf *c, struct ssl_st *ssl,
                      struct wr_str certificate, struct wr_str key,
                      struct wr_text *why) WR_CHECKED;
extern struct wr_module wr_module_ssl, wr_module_ssl_vars;
/* Starts or continues the handshake with the session's client, with the settings of the server the
 * client names, or of the listener's default server. AGAIN: call again; EOF, ERROR: it failed,
 * which was logged. */
enum wr_io wr_ssl_accept(struct wr_session *s) WR_CHECKED;
/* After the handshake: scope of the server the client named, else of the default one. */
const struct wr_scope *wr_ssl_scope(const struct wr_session *s);
struct wr_str wr_ssl_protocol(const struct wr_session *s); /* chosen by ALPN; n 0: none */
enum wr_client_cert {
    WR_CLIENT_CERT_OK,         /* valid, or the server asks for none */
    WR_CLIENT_CERT_INVALID,
    WR_CLIENT_CERT_MISSING,
    WR_CLIENT_CERT_OF_OTHER    /* verified for another server, which trusts others */
};
/* Decides about the certificate of x's client, for the server of x->scope. All but OK are logged;
 * the layer answers. */
enum wr_client_cert wr_ssl_client_cert(struct wr_exchange *x);
/* Checks that a `listen ... ssl` listener has a certificate for clients without SNI; called by the
 * layers' `check`. False: reported. */
bool wr_ssl_check(struct wr_cf *cf, const struct wr_listener *l,
                  const struct wr_scope *default_server);

#endif
