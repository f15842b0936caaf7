/* sockets: the listening sockets of this instance, by address. Called by launch, master and
 * process. Owns the descriptors; configurations and workers borrow them.
 *
 * The sockets of a new configuration are bound first, so that errors show early. They listen when
 * its processes are ready (wr_sockets_listen), and are kept when nothing else can fail
 * (wr_sockets_keep). An address keeps its sockets as long as it is configured, even when there are
 * fewer workers: closing one would reset the connections that wait in its queue. */
#include "app/app_impl.h"

#include <errno.h>
#include <unistd.h>

static struct wr_link bound = { &bound, &bound };

/* ---- the list ---- */

struct wr_bound *wr_bound_first(void)
{
    return wr_list_empty(&bound) ? NULL : wr_container(bound.next, struct wr_bound, link);
}

struct wr_bound *wr_bound_next(const struct wr_bound *b)
{
    return b->link.next == &bound ? NULL : wr_container(b->link.next, struct wr_bound, link);
}

struct wr_bound *wr_bound_find(const struct wr_addr *a, int type)
{
    for (struct wr_bound *b = wr_bound_first(); b != NULL; b = wr_bound_next(b)) {
        if (b->type == type && wr_addr_eq(&b->addr, a))
            return b;
    }
    return NULL;
}

struct wr_bound *wr_bound_of(const struct wr_listener *l)
{
    return l->in_kernel ? NULL : wr_bound_find(&l->addr, l->opts.type);
}

void wr_bound_add_fd(struct wr_bound *b, int fd)
{
    if (b->fds.n == b->fds.cap) {
        b->fds.cap = b->fds.cap > 0 ? 2 * b->fds.cap : 8;
        b->fds.at = wr_realloc(b->fds.at, b->fds.cap * sizeof(int));
    }
    b->fds.at[b->fds.n++] = fd;
}

struct wr_bound *wr_bound_add(const struct wr_addr *a, int type)
{
    struct wr_bound *b = wr_calloc(1, sizeof(*b));

    b->addr = *a;
    b->type = type;
    wr_list_push(&bound, &b->link);
    return b;
}

bool wr_bound_is_unix(const struct wr_bound *b)
{
    return b->addr.sa.sa_family == AF_UNIX;
}

void wr_bound_remove_file(const struct wr_bound *b)
{
    if (wr_bound_is_unix(b) && b->addr.un.sun_path[0] != '\0'
        && !wr_file_remove(b->addr.un.sun_path) && errno != ENOENT)
        wr_say(WR_LOG_WARN, errno, "unlink() \"%s\" failed", b->addr.un.sun_path);
}

static void close_sockets(struct wr_bound *b)
{
    while (b->fds.n > 0)
        close(b->fds.at[--b->fds.n]);
}

void wr_bound_close(struct wr_bound *b)
{
    close_sockets(b);
    wr_list_remove(&b->link);
    free(b->fds.at);
    free(b);
}

/* ---- opening ---- */

static enum wr_opening open_all(const struct wr_conf *c, bool tell)
{
    const char *step = "";

    for (struct wr_listener *l = wr_conf_listens(c)->first; l != NULL; l = l->next) {
        int fd;

        if (l->in_kernel || wr_bound_of(l) != NULL)
            continue;
        fd = wr_socket_bind(&l->addr, &l->opts, &step);
        if (fd < 0 && (tell || errno != EADDRINUSE))
            wr_sockets_log_failure(c, l, step, errno);
        if (fd < 0)
            return wr_opening_of(errno);
        wr_bound_add_fd(wr_bound_add(&l->addr, l->opts.type), fd);
    }
    return WR_OPENED;
}

enum wr_opening wr_sockets_open(const struct wr_conf *c, bool tell)
{
    enum wr_opening how = wr_sockets_try(c, tell);

    if (how == WR_OPENED)
        how = open_all(c, tell);
    if (how != WR_OPENED)
        wr_sockets_undo();
    return how;
}

void wr_sockets_undo(void)
{
    struct wr_bound *next;

    for (struct wr_bound *b = wr_bound_first(); b != NULL; b = next) {
        next = wr_bound_next(b);
        if (b->kept == 0)
            wr_bound_remove_file(b);
        while (b->fds.n > b->kept)
            close(b->fds.at[--b->fds.n]);
        if (b->kept == 0)
            wr_bound_close(b);
    }
}

bool wr_sockets_listen(const struct wr_conf *c)
{
    struct wr_bound *b;

    /* New sockets first: that may fail, and until then the serving generation is left untouched. */
    for (struct wr_listener *l = wr_conf_listens(c)->first; l != NULL; l = l->next) {
        b = wr_bound_of(l);
        for (uint32_t i = b != NULL ? b->kept : 0; b != NULL && i < b->fds.n; i++) {
            if (!wr_socket_tune(b->fds.at[i], &l->opts)) {
                wr_sockets_log_failure(c, l, "listen()", errno);
                return false;
            }
        }
    }
    for (struct wr_listener *l = wr_conf_listens(c)->first; l != NULL; l = l->next) {
        b = wr_bound_of(l);
        for (uint32_t i = 0; b != NULL && i < b->kept; i++)
            if (!wr_socket_tune(b->fds.at[i], &l->opts))
                wr_say(WR_LOG_WARN, errno, "listen() with the new backlog on " WR_FMT " failed, "
                       "ignored", WR_ARG(l->text));
    }
    return true;
}

void wr_sockets_keep(void)
{
    for (struct wr_bound *b = wr_bound_first(); b != NULL; b = wr_bound_next(b))
        b->kept = b->fds.n;
}

/* ---- closing ---- */

const struct wr_listener *wr_listener_at(const struct wr_cycle *c, const struct wr_bound *b)
{
    if (c == NULL)
        return NULL;
    for (struct wr_listener *l = wr_conf_listens(c->conf)->first; l != NULL; l = l->next) {
        if (wr_bound_of(l) == b)
            return l;
    }
    return NULL;
}

void wr_sockets_keep_only(const struct wr_cycle *c)
{
    for (struct wr_bound *b = wr_bound_first(); b != NULL; b = wr_bound_next(b)) {
        const struct wr_listener *l = wr_listener_at(c, b);

        while (b->fds.n > (l != NULL ? l->nfds : 0))
            close(b->fds.at[--b->fds.n]);
    }
}

void wr_sockets_end(bool others)
{
    struct wr_bound *next;

    for (struct wr_bound *b = wr_bound_first(); b != NULL; b = next) {
        next = wr_bound_next(b);
        close_sockets(b);
        if (others && wr_bound_is_unix(b))
            continue;
        wr_bound_remove_file(b);
        wr_bound_close(b);
    }
}
