/* Private to the files of sticky and their tests: what the directive says, the text that stands for
 * a server, the index of those texts, the table of learned sessions. */
#ifndef WR_STICKY_IMPL_H
#define WR_STICKY_IMPL_H

#include "http/http.h"

/* ---- sticky_value: the text that stands for a server ---- */
#define WR_STICKY_VALUE 64       /* most bytes of one: a route is shorter */
struct wr_sticky_value {
    char p[WR_STICKY_VALUE];
    size_t n;                    /* 0: none */
};
static inline struct wr_str wr_sticky_text(const struct wr_sticky_value *v)
{
    return wr_str_of((char *)(uintptr_t)v->p, v->n);
}
/* The route, or MD5 of the address as it is written ("1.2.3.4:80", "[::1]:80", "unix:/path") in
 * hexadecimal digits. n 0: OpenSSL has no MD5. */
struct wr_sticky_value wr_sticky_name(struct wr_str route, const struct wr_addr *addr);
/* The signed one: 128 bits of HMAC-SHA-256 of the same, in hexadecimal digits. No other text is
 * signed by the key for that server, and neither address nor route can be found from it. */
struct wr_sticky_value wr_sticky_sign(struct wr_str key, struct wr_str route,
                                      const struct wr_addr *addr);
bool wr_sticky_can_name(void);   /* is there MD5? */
/* Takes the next cookie of that name from *rest, a Cookie field. False: there is none. */
bool wr_sticky_cookie(struct wr_str *rest, struct wr_str name, struct wr_str *value) WR_CHECKED;
/* True: a browser and every proxy take it for one value of a cookie or its attribute. */
bool wr_sticky_is_value(struct wr_str s);
/* Takes the secrets from a file's text, one a line, at most `max`. NULL, or what is wrong. */
#define WR_STICKY_SECRETS 8
#define WR_STICKY_SECRET_MIN 16
const char *wr_sticky_secrets(struct wr_str text, struct wr_str *out, uint32_t *n);

/* ---- the cookie's attributes ---- */
enum wr_same_site { WR_SAME_SITE_NO, WR_SAME_SITE_STRICT, WR_SAME_SITE_LAX, WR_SAME_SITE_NONE };
struct wr_sticky_cookie {
    struct wr_str name, path;    /* path n 0: no attribute */
    struct wr_template *domain, *same_site; /* NULL: no attribute; same_site: with variables */
    enum wr_same_site fixed_same_site;
    uint64_t expires_s;          /* 0: at the end of the browser's session */
    bool expires_max, httponly, secure;
};
#define WR_STICKY_MAX_TIME 2145916555 /* 31 Dec 2037 23:55:55 */
/* Appends "; expires=..." and the others. domain n 0: none. Pure. */
void wr_sticky_attributes(struct wr_text *t, const struct wr_sticky_cookie *c, time_t now,
                          struct wr_str domain, enum wr_same_site same_site);
enum wr_same_site wr_same_site_of(struct wr_str word); /* NO: it is none of the three */

/* ---- sticky_index: the values of a group's peers, in this process ---- */
struct wr_sticky_peer {
    uint32_t slot, generation;
    uint64_t print;              /* of route and address: its values need not be made again */
};
struct wr_sticky_mark {
    struct wr_sticky_value value;
    uint32_t next;               /* in the bucket: index + 1; 0: the last */
};
struct wr_sticky_index {
    struct wr_pool *pool;        /* NULL: was never built */
    bool stale;                  /* the view has changed since */
    uint32_t n, each;            /* peers, values of each (one for each key); marks: n * each */
    struct wr_sticky_peer *peers;
    struct wr_sticky_mark *marks; /* those of peer i begin at i * each */
    uint32_t *buckets, nbuckets; /* a power of 2 */
    uint32_t *of_slot, nslots;   /* index of a peer + 1, by slot */
};
/* Makes the `each` values of a peer. */
typedef void wr_sticky_values(const void *arg, struct wr_str route, const struct wr_addr *addr,
                              struct wr_sticky_value *out);
/* Makes the index of g; each: at most WR_STICKY_SECRETS. The values of peers that stay are taken
 * from the index before. */
void wr_sticky_index_make(struct wr_sticky_index *ix, const struct wr_peer_group *g, uint32_t each,
                          wr_sticky_values *values, const void *arg);
void wr_sticky_index_free(struct wr_sticky_index *ix);
/* The next peer with this value: *at is 0 at first. Returns its number, or UINT32_MAX. The
 * comparison takes the same time whatever differs. */
uint32_t wr_sticky_index_next(const struct wr_sticky_index *ix, struct wr_str value, uint32_t *at);
/* The first value of a peer; NULL: it is not in the index. */
const struct wr_sticky_value *wr_sticky_index_value(const struct wr_sticky_index *ix,
                                                    const struct wr_peer *peer);

/* ---- sticky_learn: sessions in memory that all workers share ---- */
#define WR_STICKY_LAYOUT 1       /* of a key and a target */
struct wr_sticky_key { unsigned char p[16]; }; /* of SHA-256 of what names the session */
struct wr_sticky_target {        /* what a session points to */
    uint64_t server, addr;       /* wr_peer_slot.key, wr_addr_hash: they outlive a slot's number */
};
struct wr_sticky_key wr_sticky_key_of(struct wr_str session);
enum wr_sticky_found { WR_STICKY_NO, WR_STICKY_YES, WR_STICKY_BUSY /* another has the lock */ };
/* Finds the session and prolongs it. */
enum wr_sticky_found wr_sticky_look(struct wr_table_zone *z, const struct wr_sticky_key *key,
                                    uint64_t timeout_s, struct wr_sticky_target *out);
void wr_sticky_store(struct wr_table_zone *z, const struct wr_sticky_key *key, uint64_t timeout_s,
                     const struct wr_sticky_target *target);

/* ---- sticky_conf, sticky ---- */
enum wr_sticky_method { WR_STICKY_COOKIE, WR_STICKY_ROUTE, WR_STICKY_LEARN };
struct wr_sticky_texts { struct wr_template **at; uint32_t n, cap; };
struct wr_sticky {               /* u->sticky_conf */
    uint32_t magic;
    enum wr_sticky_method method;
    struct wr_upstream *u;
    const struct wr_node *node;
    struct wr_sticky_cookie cookie;
    struct wr_str secrets[WR_STICKY_SECRETS]; /* the first signs */
    uint32_t nsecrets;           /* 0: the value is not signed */
    struct wr_sticky_texts lookup, create; /* the first that is not empty counts */
    struct wr_table_zone *zone;
    uint64_t timeout_s;
    bool header;                 /* learn from the head */
    struct wr_sticky_index index[2]; /* of this process: main peers, backups */
    struct wr_sticky *next;
};
struct wr_sticky_state {         /* of wr_module_sticky in a configuration */
    struct wr_sticky *all;
    struct wr_table_zone *zones;
};
extern struct wr_module wr_module_sticky;
extern const struct wr_sticky_ops wr_sticky_ops;
extern const struct wr_directive wr_sticky_directives[];
bool wr_sticky_check(struct wr_cf *cf); /* wr_module.check */

#endif
