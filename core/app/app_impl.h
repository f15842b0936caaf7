/* app_impl: private to core/app: the addresses with listening sockets, shared by sockets.c and
 * socket_*.c. */
#ifndef WR_APP_IMPL_H
#define WR_APP_IMPL_H

#include "app/app.h"

/* ---- sockets ---- */
struct wr_bound {            /* one address with its sockets */
    struct wr_link link;
    struct wr_addr addr;
    int type;                /* SOCK_STREAM, SOCK_DGRAM */
    WR_VEC(int) fds;         /* on the heap: an address outlives configurations */
    uint32_t inherited;      /* the first so many are shared with the old binary */
    uint32_t kept;           /* the first so many belong to accepted configurations; 0: no such
                              * configuration has the address */
};
struct wr_bound *wr_bound_first(void); /* NULL: none */
struct wr_bound *wr_bound_next(const struct wr_bound *b);
struct wr_bound *wr_bound_find(const struct wr_addr *a, int type); /* NULL: none */
struct wr_bound *wr_bound_of(const struct wr_listener *l); /* NULL: none, or it needs none */
struct wr_bound *wr_bound_add(const struct wr_addr *a, int type); /* without sockets yet */
void wr_bound_add_fd(struct wr_bound *b, int fd);
bool wr_bound_is_unix(const struct wr_bound *b);
void wr_bound_remove_file(const struct wr_bound *b); /* of a unix socket; otherwise nothing */
void wr_bound_close(struct wr_bound *b);             /* its sockets, and frees it */
/* The listener of this address in c; NULL: none, or c is NULL. */
const struct wr_listener *wr_listener_at(const struct wr_cycle *c, const struct wr_bound *b);

/* ---- socket_check ---- */
/* Probe all addresses of c that have no socket yet. Returns the worst result. Failures are logged;
 * WR_IN_USE only with `tell`. */
enum wr_opening wr_sockets_try(const struct wr_conf *c, bool tell) WR_CHECKED;
enum wr_opening wr_opening_of(int err);
/* Log that step ("bind()") failed with err, at the listener's line. */
void wr_sockets_log_failure(const struct wr_conf *c, const struct wr_listener *l, const char *step,
                            int err);

/* ---- socket_owners ---- */
/* Set bits in the owner map of c, for the sockets of that address from number `from` on. */
void wr_owners_mark(const struct wr_cycle *c, const struct wr_bound *b, uint32_t from,
                    uint32_t bits);

#endif
