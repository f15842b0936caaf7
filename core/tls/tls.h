/* tls: the settings that ssl_ and proxy_ssl_ have in common, and TLS with clients.
 *
 * Map: tls_conf (ssl_ of servers), tls_rows, pem, tls_context, certificate_cache (shared with
 * proxy_ssl_), tls_accept (handshakes with clients), session_zone and ticket_keys (sessions and
 * ticket keys all workers share), tls_vars ($ssl_protocol ...). */
#ifndef WR_TLS_H
#define WR_TLS_H

#include "text/text.h"

enum wr_tls_versions {
    WR_TLS_NONE = 1, WR_TLS_1_0 = 2, WR_TLS_1_1 = 4, WR_TLS_1_2 = 8, WR_TLS_1_3 = 16
};
struct wr_tls_name {           /* of a certificate or key: path, "data:...", with variables */
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
    struct wr_tls_cache *cache; /* of what a handshake loads; NULL: none */
    const char *folder;        /* of relative names */
    bool dynamic;              /* a name has variables: loaded in the handshake */
    struct ssl_ctx_st *ctx;    /* of the configuration; NULL: none was made */
};
extern const struct wr_enum wr_tls_protocols[];
bool wr_set_tls_files(struct wr_cf *cf, void *conf);     /* struct wr_tls_names */
bool wr_set_tls_file(struct wr_cf *cf, void *conf);      /* struct wr_tls_file */
bool wr_set_tls_text(struct wr_cf *cf, void *conf);      /* struct wr_tls_text */
bool wr_set_tls_command(struct wr_cf *cf, void *conf);   /* struct wr_tls_nodes */
bool wr_set_tls_cache(struct wr_cf *cf, void *conf);     /* struct wr_tls_cache * */
bool wr_set_tls_passwords(struct wr_cf *cf, void *conf); /* struct wr_tls_passwords */
bool wr_set_alpn(struct wr_cf *cf, void *conf);          /* struct wr_str, as on the wire */
/* The rows of both families; many: WR_MULTI where there may be several certificates. */
#define WR_TLS_ROWS(prefix, where, type, field, many, standard_ciphers) \
    WR_ROW(prefix "_certificate", (where) | (many), 1, 1, wr_set_tls_files, type, \
           field.certificates, NULL, NULL, \
           "certificate (PEM, with its chain) or data:; with variables a worker reads it"), \
    WR_ROW(prefix "_certificate_key", (where) | (many), 1, 1, wr_set_tls_files, type, field.keys, \
           NULL, NULL, "its key (PEM), or data:"), \
    WR_ROW(prefix "_password_file", where, 1, 1, wr_set_tls_passwords, type, field.passwords, \
           NULL, NULL, "passwords of keys, one a line"), \
    WR_ROW(prefix "_certificate_cache", where, 1, 3, wr_set_tls_cache, type, field.cache, NULL, \
           "off", "keeps certificates whose names have variables: off, max=N inactive= valid="), \
    WR_ROW(prefix "_protocols", (where) | WR_MULTI, 1, WR_ARGS_ANY, wr_set_mask, type, \
           field.protocols, wr_tls_protocols, "TLSv1.2 TLSv1.3", \
           "versions of TLS that are spoken"), \
    WR_ROW(prefix "_ciphers", where, 1, 1, wr_set_tls_text, type, field.ciphers, NULL, \
           standard_ciphers, "ciphers up to TLS 1.2, in OpenSSL's words"), \
    WR_ROW(prefix "_trusted_certificate", where, 1, 1, wr_set_tls_file, type, field.trusted, NULL, \
           NULL, "certificates (PEM) the other side's is verified with"), \
    WR_ROW(prefix "_crl", where, 1, 1, wr_set_tls_file, type, field.crl, NULL, NULL, \
           "revoked certificates (PEM)"), \
    WR_ROW(prefix "_verify_depth", where, 1, 1, wr_set_num, type, field.depth, NULL, "1", \
           "longest chain of certificates"), \
    WR_ROW(prefix "_conf_command", (where) | WR_MULTI, 2, 2, wr_set_tls_command, type, \
           field.commands, NULL, NULL, "a command of OpenSSL's configuration and its value")
/* From `finish`, after all rows: c->ctx, freed with the configuration. NULL: reported. */
struct ssl_ctx_st *wr_tls_context(struct wr_cf *cf, struct wr_tls_conf *c, bool server);
/* Behind everything else: the commands have the last word. False: reported. */
bool wr_tls_commands(struct wr_cf *cf, struct wr_tls_conf *c, bool server);
/* One certificate and its key into ssl, or into c->ctx where ssl is NULL; the pool is for the
 * names. False: *why says it. */
bool wr_tls_load_pair(struct wr_pool *pool, const struct wr_tls_conf *c, struct ssl_st *ssl,
                      struct wr_str certificate, struct wr_str key,
                      struct wr_text *why) WR_CHECKED;
extern struct wr_module wr_module_ssl, wr_module_ssl_vars;
/* Server side: opens and goes on with the handshake of the session's client, as the scope of the
 * address's default server says, or that of the server the client names. AGAIN: call again; EOF,
 * ERROR: it failed, which was logged. */
enum wr_io wr_ssl_accept(struct wr_session *s) WR_CHECKED;
/* Behind the handshake: of the server it was for, by its name, else of the default one. */
const struct wr_scope *wr_ssl_scope(const struct wr_session *s);
struct wr_str wr_ssl_protocol(const struct wr_session *s); /* that ALPN agreed on; n 0: none */
enum wr_client_cert {
    WR_CLIENT_CERT_OK,         /* valid, or the server asks for none */
    WR_CLIENT_CERT_INVALID,
    WR_CLIENT_CERT_MISSING,
    WR_CLIENT_CERT_OF_OTHER    /* verified for another server, which trusts others */
};
/* Decides about the certificate of x's client, for the server of x->scope. All but OK are logged;
 * the layer answers. */
enum wr_client_cert wr_ssl_client_cert(struct wr_exchange *x);
/* Every `listen ... ssl` address has a certificate for clients without SNI; called by the layers'
 * check. False: reported. */
bool wr_ssl_check(struct wr_cf *cf, const struct wr_listener *l, const struct wr_scope *standard);

#endif
