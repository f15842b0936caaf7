/* Private to core/tls: contexts, caches, tickets, and the conf of servers. */
#ifndef WR_TLS_IMPL_H
#define WR_TLS_IMPL_H

#include "tls/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

struct wr_ssl_pem {              /* a file that was read while loading */
    const char *path;
    struct wr_str text;          /* p NULL: it could not be read */
    struct wr_ssl_pem *next;
};
struct wr_ssl_state {            /* wr_module_ssl's, of a configuration */
    struct wr_table_zone *zones;
    struct wr_ssl_tickets *tickets;
    struct wr_ssl_pem *pems;     /* while loading only */
};

static inline uint64_t wr_ssl_now_s(void) /* Unix time */
{
    return wr_clock.wall_ms / 1000;
}

/* ---- pem ---- */
/* Opens a file or "data:...". cf NULL: in a handshake, the file is read again. NULL: the reason is
 * in OpenSSL's error queue. */
BIO *wr_tls_pem_open(struct wr_cf *cf, struct wr_str name);
bool wr_tls_is_pem_end(void); /* true: OpenSSL's last error means the end of a PEM file */
/* Loads a certificate (name[0]) and its key (name[1]); cf NULL: in a handshake. Otherwise as
 * wr_tls_load_pair. */
bool wr_tls_load(struct wr_cf *cf, struct wr_pool *pool, const struct wr_tls_conf *c, SSL *ssl,
                 const struct wr_str name[2], struct wr_text *why) WR_CHECKED;
/* Reads a file or FIFO without leaving copies of a key in memory. p NULL: see errno. */
struct wr_str wr_tls_file_read(struct wr_pool *pool, const char *path);
void wr_tls_forget_files(struct wr_cf *cf); /* wipes the texts of files, when all is loaded */

/* ---- tls_context ---- */
/* Makes ctx trust the certificates of the file and adds their names to `names` (NULL: does not).
 * False: reported. */
bool wr_tls_trust(struct wr_cf *cf, const struct wr_tls_file *f, SSL_CTX *ctx,
                  STACK_OF(X509_NAME) *names);

struct wr_tls_pair {             /* any part of it may be missing (NULL) */
    X509 *certificate;
    STACK_OF(X509) *chain;
    EVP_PKEY *key;
    bool locked;                 /* the key has a password */
};
void wr_tls_pair_free(struct wr_tls_pair *p);
/* Takes references to the parts of `from`. */
void wr_tls_pair_share(struct wr_tls_pair *to, const struct wr_tls_pair *from);

/* ---- certificate_cache ---- */
/* Finds a certificate with its chain, or a key, by the path of its file. False: not in the
 * cache. */
bool wr_tls_cache_get(struct wr_tls_cache *k, struct wr_str name, bool key,
                      struct wr_tls_pair *out) WR_CHECKED;
void wr_tls_cache_put(struct wr_tls_cache *k, struct wr_str name, bool key,
                      const struct wr_tls_pair *pair);

/* ---- tls_conf: servers ---- */
enum wr_ssl_verify { WR_VERIFY_OFF, WR_VERIFY_ON, WR_VERIFY_OPTIONAL, WR_VERIFY_OPTIONAL_NO_CA };
enum wr_ssl_sessions {           /* ssl_session_cache */
    WR_SESSIONS_OFF,             /* "off": sessions are not resumed by their id */
    WR_SESSIONS_NONE,            /* "none": clients get session ids, but no session is kept */
    WR_SESSIONS_OURS             /* sessions are kept, in wr_ssl_conf.builtin or .zone */
};
struct wr_ssl_conf {
    struct wr_tls_conf tls;
    struct wr_tls_file client_ca, dhparam;
    struct wr_tls_text curves;
    uint32_t verify;             /* wr_ssl_verify */
    bool prefer_server_ciphers, tickets, reject_handshake;
    bool failed;                 /* the context could not be made, which was reported */
    uint32_t sessions;           /* wr_ssl_sessions */
    uint32_t builtin;            /* sessions kept by each worker for itself; 0: none */
    struct wr_table_zone *zone;  /* of shared sessions; NULL: none */
    struct wr_tls_nodes ticket_keys;
    uint64_t session_timeout_s, handshake_timeout_ms;
    size_t record;               /* ssl_buffer_size */
    struct wr_str alpn;          /* as on the wire: length, name, ...; empty: none */
    uint32_t start;              /* wr_ssl_start */
};
enum wr_ssl_start { WR_SSL_AT_ONCE, WR_SSL_PGSQL };
static inline const struct wr_ssl_conf *wr_ssl_conf_of(const struct wr_scope *s)
{
    return wr_scope_conf(s, &wr_module_ssl);
}

/* ---- ticket_keys ---- */
#define WR_TICKET_NAME 16
struct wr_ssl_ticket_key {
    unsigned char name[WR_TICKET_NAME], hmac[32], aes[32];
    uint32_t aes128;             /* 1: from a file of 48 bytes; not a bool, as it lies in a zone */
};
/* Reads the files of ssl_session_ticket_key: tickets of c are made with the first key and accepted
 * with all. False: reported. */
bool wr_ssl_ticket_keys_load(struct wr_cf *cf, struct wr_ssl_conf *c);
/* Gives c keys that are replaced each session_timeout_s; contexts with the same timeout share
 * them. */
void wr_ssl_tickets_use(struct wr_cf *cf, const struct wr_ssl_conf *c);
bool wr_ssl_tickets_open(struct wr_cf *cf);   /* gets their shared memory; false: reported */

/* ---- session_zone: sessions that all workers share ---- */
/* As wr_table_zone_named. */
struct wr_table_zone *wr_ssl_zone_named(struct wr_cf *cf, uint32_t i, struct wr_str name,
                                        size_t size);
bool wr_ssl_zones_open(struct wr_cf *cf);     /* gets their shared memory; false: reported */
/* Makes the context keep its sessions in the zone. */
void wr_ssl_zone_use(SSL_CTX *ctx, struct wr_table_zone *zone);

/* ---- tls_accept ---- */
static inline struct wr_session *wr_ssl_session_of(const SSL *ssl)
{
    return wr_container(SSL_get_app_data(ssl), struct wr_session, conn);
}
/* The conf of the listener's default server: the handshake begins with its context, and OpenSSL
 * uses this context for sessions and tickets whatever server the client names. */
static inline const struct wr_ssl_conf *wr_ssl_default_conf(const struct wr_session *s)
{
    return wr_ssl_conf_of(s->layer->greeting(s, NULL));
}
struct wr_str wr_ssl_server_name(const SSL *ssl); /* the client's SNI; empty: none, or not a name */
void wr_ssl_accept_setup(SSL_CTX *ctx, struct wr_ssl_conf *c); /* sets the callbacks */

/* ---- start_pgsql ---- */
enum wr_pgsql_first {
    WR_PGSQL_MORE, WR_PGSQL_TLS,
    WR_PGSQL_SSL, WR_PGSQL_GSS, WR_PGSQL_CANCEL, /* alone: nothing follows */
    WR_PGSQL_PLAIN, WR_PGSQL_BAD                 /* BAD: something follows */
};
enum wr_pgsql_first wr_pgsql_first(struct wr_str in); /* what a client begins with; pure */
struct wr_start_state {
    bool done, ready, plain;     /* ready: TLS was agreed; plain: goes on without TLS */
    uint8_t refused;             /* requests answered by 'N' */
    char answer;                 /* to be sent; 0: none */
    bool timed;                  /* the deadline runs */
};
/* PASS: the handshake may begin, unless st->plain. */
enum wr_verdict wr_start_pgsql(struct wr_exchange *x, struct wr_start_state *st);

#endif
