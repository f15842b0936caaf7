/* health: what a kind of check is. A kind is a pure state machine: it is given the bytes that a
 * server has sent, and returns bytes to send or a verdict. The engine dials, keeps
 * times and bounds, and shakes hands. Kinds know no sockets, clocks and processes, so that a table
 * of bytes tests them (t/unit/modules_check_*.c). */
#ifndef WR_HEALTH_H
#define WR_HEALTH_H

#include "upstream/upstream.h"

#define WR_CHECK_READ_MAX 65536 /* most bytes read from a server in one check */
#define WR_CHECK_WHY_MAX 200    /* most bytes of a reason */

struct wr_match;

/* ---- what a check is configured to do ---- */
enum wr_check_param {          /* parameters that only some kinds take */
    WR_CHECK_URI = 1,          /* uri= */
    WR_CHECK_MATCH = 2,        /* match= */
    WR_CHECK_USER = 4,         /* user= and password_file= */
    WR_CHECK_ROLE = 8,         /* role=, one of the kind's `roles` */
    WR_CHECK_KEEPALIVE = 16,   /* keepalive_time= */
    WR_CHECK_DATABASE = 32,    /* database= */
};
struct wr_check_conf {         /* what kinds may read; lives as long as the configuration */
    struct wr_str uri;         /* WR_CHECK_URI; "/" if it was not given */
    struct wr_str host;        /* the name of the servers: of proxy_pass, or set for them */
    struct wr_str user, password; /* p NULL: not given. The password is never logged */
    struct wr_str database;    /* p NULL: not given */
    uint32_t role;             /* index in the kind's `roles`; 0 if it was not given */
    const struct wr_match *match; /* of this kind; NULL: none */
    bool keep;                 /* the connection shall carry the next check, too */
};
struct wr_match {              /* `match NAME { ... }`; begins the kind's own struct */
    struct wr_str name;
    const struct wr_check_kind *kind;
    struct wr_match *next;
};

/* ---- one conversation with a server ---- */
enum wr_check_next {
    WR_CHECK_MORE,             /* send what is in `out`, then wait for more bytes */
    WR_CHECK_TLS,              /* send what is in `out`, shake hands, then call `input` again with
                                * `secured` set; only if `can_secure` */
    WR_CHECK_WORK,             /* nothing is sent or waited for: `input` is called again in the next
                                * turn, with the bytes that were not used. For what takes long */
    WR_CHECK_PASS,             /* the server is fine; `why` may have what was seen ("HTTP 200").
                                * What is in `out` is sent as well as one write can (QUIT) */
    WR_CHECK_FAIL,             /* it is not: `why` has the reason. `out` as above */
};
enum wr_check_end {
    WR_CHECK_OPEN,             /* more bytes may come */
    WR_CHECK_CLOSED,           /* the server has closed: nothing follows `in` */
    WR_CHECK_FULL,             /* WR_CHECK_READ_MAX bytes were read, or very many very small pieces:
                                * decide with what there is */
};
struct wr_check_talk {
    const struct wr_check_conf *conf;
    struct wr_text out;        /* append bytes that are to be sent; empty at each call; grows in
                                * the pool, at most 16 KB at a time */
    struct wr_text why;        /* with FAIL: the reason, as it ends "is down: ...": without a full
                                * stop, and without secrets. Bytes of the server only by
                                * wr_check_quote. Empty at each call, WR_CHECK_WHY_MAX bytes */
    void *state;               /* of the kind: its state_size bytes, zeroed before `begin` */
    struct wr_pool *pool;      /* of this conversation; at most 1 MB */
    unsigned char nonce[24];   /* random bytes of this conversation, for SCRAM */
    bool can_secure;           /* TLS is configured (proxy_ssl on) and not up yet. A kind with
                                * `upgrades` has to ask for it then, or fail */
    bool secured;              /* TLS is up */
    bool keep;                 /* with PASS, set by the kind: the connection is in a state in which
                                * `begin` may be called on it for the next check */
};

/* ---- kinds ---- */
struct wr_check_kind {
    const char *name;          /* type=NAME */
    uint32_t layers;           /* WR_L4, WR_L7 */
    uint32_t params;           /* wr_check_param bits: others are refused */
    const char *const *roles;  /* role=; the first is the default; ends with NULL */
    size_t state_size;
    bool upgrades;             /* TLS begins when the kind asks for it (STARTTLS), and not with the
                                * first byte */
    bool needs_user;           /* user= must be given with password_file= or role= */
    /* The connection is there (and secured, unless `upgrades`). Returns MORE, or a verdict. */
    enum wr_check_next (*begin)(struct wr_check_talk *t);
    /* in: the bytes received and not yet used; *used (0 at the call) of them are not given again.
     * Called when bytes have come, after a handshake (in may be empty), and at the end. CLOSED and
     * FULL: must return a verdict. MORE without using bytes: the next call has more. */
    enum wr_check_next (*input)(struct wr_check_talk *t, struct wr_str in, enum wr_check_end end,
                                size_t *used);
    /* With WR_CHECK_MATCH: makes its struct, which begins with struct wr_match, zeroed; and the
     * setter of one line of the block (cf->node). False: an error was reported. */
    struct wr_match *(*match_new)(struct wr_pool *pool, struct wr_str name);
    bool (*match_line)(struct wr_cf *cf, struct wr_match *m);
};
/* For modules of a layer, in `prepare`: adds a kind. The first one of a layer is its default. */
void wr_check_kind_add(struct wr_cf *cf, const struct wr_check_kind *k);

/* For kinds: fails with a reason. */
enum wr_check_next wr_check_fail(struct wr_check_talk *t, const char *fmt, ...) WR_PRINTF(2, 3);
/* Appends text that came from a server, in quotes: printable ASCII as it is, other bytes as \xXX,
 * at most 64 bytes of it. */
void wr_check_quote(struct wr_text *why, struct wr_str s);

#endif
