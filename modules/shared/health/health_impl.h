/* health_impl: private to the files of active health checks.
 *
 *   health_conf.c    the directives: health_check, match, health_check_timeout
 *   health_use.c     what a check takes over from the directives around it
 *   health_kinds.c   the kinds of both layers, and what they share (pure)
 *   check_tcp.c      the kind of a stream server: connect, send, expect (pure)
 *   check_pgsql.c, check_redis.c, check_mysql.c, check_smtp.c, check_ldap.c
 *                    the kinds of databases and the like (pure); check_wire.c has what they share,
 *                    scram.c a way to log in
 *   check_password.c reads a password from its file
 *   health_count.c   counts results: when a server goes down, when it is back (pure)
 *   health_run.c     one conversation with a server: dials, times, bounds
 *   health.c         the work of the keeper: which servers are checked when, and what becomes of
 *                    the results
 *
 * The kind of a location is in modules/http/health. */
#ifndef WR_HEALTH_IMPL_H
#define WR_HEALTH_IMPL_H

#include "health.h"

/* ---- configuration ---- */
struct wr_check {              /* one health_check */
    struct wr_check_conf conf;
    const struct wr_check_kind *kind;
    const struct wr_scope *scope; /* the location or server it stands in */
    const struct wr_node *node;
    struct wr_str type, match_name, role; /* as written; p NULL: not given */
    uint32_t match_word;
    struct wr_upstream *u;
    struct wr_dial_rows dial;  /* of the scope; connecting takes at most timeout_ms */
    struct wr_peer_tls_live *tls; /* NULL: plain */
    struct wr_str tls_name, tls_alpn; /* without port, a zero follows it; as on the wire */
    struct wr_addr bind;       /* len 0: none */
    uint32_t announces;        /* version of the PROXY header that comes first; 0: none */
    uint64_t interval_ms, jitter_ms, timeout_ms, keepalive_ms;
    uint32_t fails, passes;
    uint16_t port;             /* 0: the server's */
    bool mandatory, persistent;
};
struct wr_health_scope {       /* the module's conf of a scope */
    uint64_t timeout_ms;
};
struct wr_health_conf {        /* state of the module in a configuration */
    WR_VEC(const struct wr_check_kind *) kinds;
    WR_VEC(struct wr_check *) checks;
    struct wr_match *matches;
};
extern struct wr_module wr_module_health;
static inline struct wr_health_conf *wr_health_of(const struct wr_conf *c)
{
    return wr_conf_state(c, &wr_module_health);
}
extern const struct wr_directive wr_health_directives[];
bool wr_health_prepare(struct wr_cf *cf);
/* The match block of that name in one of the layers; NULL: there is none. */
struct wr_match *wr_match_find(const struct wr_health_conf *h, uint32_t layer, struct wr_str name);
bool wr_health_check(struct wr_cf *cf); /* health_use: wr_module.check */

/* ---- kinds ---- */
/* The kinds of this folder, in the order of messages; ends with NULL. To add one: a file with its
 * table, a row in health_kinds.c, its file in auto/modules. */
extern const struct wr_check_kind *const wr_check_kinds[];
extern const struct wr_check_kind wr_check_tcp, wr_check_pgsql, wr_check_redis, wr_check_mysql,
    wr_check_smtp, wr_check_ldap;
/* Reads the password from its file, for word i of the directive. False: an error was reported. */
bool wr_check_password_read(struct wr_cf *cf, uint32_t i, struct wr_str file, struct wr_str *out);
/* Turns \xXX of a text into bytes; other backslashes stay. */
struct wr_str wr_check_unescape(struct wr_pool *pool, struct wr_str s);

/* ---- counting: pure ---- */
enum wr_check_state {
    WR_CHECK_UP,               /* also while nothing is known and the check is not mandatory */
    WR_CHECK_DOWN,
    WR_CHECK_UNKNOWN,          /* mandatory: the first result decides */
};
struct wr_check_count {
    enum wr_check_state state;
    uint32_t streak;           /* results in a row that contradict the state */
};
/* Takes a result; true: the state has changed. */
bool wr_check_counted(struct wr_check_count *c, bool passed, uint32_t fails, uint32_t passes);
struct wr_check_said {         /* the reason that was logged last, up to its times; n 0: none */
    char why[WR_CHECK_WHY_MAX];
    size_t n;
    uint64_t quiet_ms;         /* no other reason is logged before */
};
/* Takes the reason why a server is down; changed: it has gone down just now, and that is logged.
 * True: it was down for another reason before, and the new one is to be logged: the first one at
 * once, then at most one a minute. */
bool wr_check_reason_new(struct wr_check_said *s, struct wr_str why, bool changed,
                         uint64_t now_ms);

/* ---- run: one conversation ---- */
enum wr_check_result {
    WR_CHECK_WAITS,            /* the task will be woken */
    WR_CHECK_PASSED, WR_CHECK_FAILED,
    WR_CHECK_SKIPPED           /* this process lacks something: says nothing about the server */
};
struct wr_check_run {          /* zeroed at first; used again for the next conversation */
    struct wr_loop *loop;
    struct wr_task *task;
    struct wr_timer *timer;    /* its task is `task`; the deadline of a conversation */
    const struct wr_check *check;
    struct wr_addr addr;
    struct wr_peer_link *link; /* NULL: none; kept after a conversation with keepalive_time */
    struct wr_check_talk talk; /* pool NULL: no conversation */
    size_t put;                /* so much of talk.out was sent */
    char *in;                  /* received and not used: in[0..n), malloc'ed */
    size_t n, cap, got;        /* got: received in this conversation */
    uint32_t reads;            /* in how many pieces */
    uint64_t begun_ms, sent_before;
    bool begun;                /* `begin` was called */
    bool reused;               /* the link has carried a conversation before */
    bool securing;             /* the kind has asked for TLS */
    struct wr_link work;       /* among those whose kind wants to be called again */
    char why[WR_CHECK_WHY_MAX];
};
/* Begins a conversation; later results come from wr_check_run_step, when the task is woken. The
 * reason, or what was seen, is in talk.why; the caller then calls wr_check_run_end. */
enum wr_check_result wr_check_run_begin(struct wr_check_run *r);
enum wr_check_result wr_check_run_step(struct wr_check_run *r);
/* Ends the conversation. keep: the link may carry the next one. Idempotent. */
void wr_check_run_end(struct wr_check_run *r, bool keep);
/* Between two conversations the task was woken: the link is closed, unless nothing has come. */
void wr_check_run_look(struct wr_check_run *r);

#endif
