/* socket_check: whether the addresses of a configuration can be bound; what to tell the user if
 * not, and which process holds them. Called by sockets, by launch when an address stays in use, and
 * for -t. Owns nothing: probes are closed at once. */
#include "app/app_impl.h"

#include <errno.h>

/* ---- failures ---- */

static const char *const remedies = "ports below 1024 are reserved for root: start weir as root, "
    "allow this program (setcap cap_net_bind_service=+ep weir), allow every program "
    "(sysctl net.ipv4.ip_unprivileged_port_start=%u), or listen on a higher port";

void wr_sockets_log_failure(const struct wr_conf *c, const struct wr_listener *l, const char *step,
                            int err)
{
    uint16_t port = wr_addr_port(&l->addr);
    char hint[256];

    (void)snprintf(hint, sizeof(hint), remedies, (unsigned)port);
    wr_diag_add(c->tree, WR_LOG_EMERG, l->node, 1,
                err == EACCES && port > 0 && port < 1024 ? hint : NULL,
                "%s to " WR_FMT " failed (%d: %s)", step, WR_ARG(l->text), err, strerror(err));
    if (c->report != NULL)
        c->report(c);
}

enum wr_opening wr_opening_of(int err)
{
    return err == EADDRINUSE ? WR_IN_USE : WR_FAILED;
}

/* ---- probes ---- */

/* True: a socket of our own would make the probe of this address fail: one of the two addresses is
 * a wildcard with the other's port. */
static bool has_own_wildcard(const struct wr_listener *l)
{
    for (struct wr_bound *b = wr_bound_first(); b != NULL; b = wr_bound_next(b)) {
        if (b->type == l->opts.type && b->kept > 0 && !wr_bound_is_unix(b) &&
            wr_addr_port(&b->addr) == wr_addr_port(&l->addr) &&
            (wr_addr_wildcard(&b->addr) || wr_addr_wildcard(&l->addr)))
            return true;
    }
    return false;
}

/* Called before any socket is bound: the sockets would make later probes fail. */
enum wr_opening wr_sockets_try(const struct wr_conf *c, bool tell)
{
    enum wr_opening worst = WR_OPENED;

    for (struct wr_listener *l = wr_conf_listens(c)->first; l != NULL; l = l->next) {
        if (l->in_kernel || wr_bound_of(l) != NULL || has_own_wildcard(l)
            || wr_socket_probe(&l->addr, l->opts.type))
            continue;
        worst = wr_max(worst, wr_opening_of(errno));
        if (tell || errno != EADDRINUSE)
            wr_sockets_log_failure(c, l, "bind()", errno);
    }
    return worst;
}

bool wr_sockets_probe(const struct wr_conf *c)
{
    return wr_sockets_try(c, false) != WR_FAILED;
}

/* ---- who holds an address ---- */

/* The title is "weir: master process ..." or, without a master, "/path/weir -c ...". */
static bool is_weir(const char *title)
{
    struct wr_str rest = wr_str_c(title), program;

    if (wr_str_starts(rest, WR_STR("weir: ")))
        return true;
    program = wr_str_cut(&rest, ' ');
    return wr_str_is(program, "weir") || wr_str_ends(program, WR_STR("/weir"));
}

/* Log which process holds the address. False: it cannot be found out. */
static bool tell_process(const struct wr_listener *l)
{
    struct wr_holder h;

    if (!wr_socket_holder(&l->addr, l->opts.type, &h))
        return false;
    if (is_weir(h.title))
        wr_say(WR_LOG_EMERG, 0, WR_FMT " is in use by another weir, which has its own pid file: "
               "process %d, \"%s\"", WR_ARG(l->text), (int)h.pid, h.title);
    else
        wr_say(WR_LOG_EMERG, 0, WR_FMT " is in use by process %d, \"%s\"", WR_ARG(l->text),
               (int)h.pid, h.title);
    return true;
}

void wr_sockets_tell_holder(const struct wr_conf *c, const char *pid_path)
{
    struct wr_pid_file f;

    wr_say(WR_LOG_EMERG, 0, "still could not bind()");
    if (pid_path != NULL && wr_pid_read(pid_path, &f) && f.is_held) {
        wr_say(WR_LOG_EMERG, 0, "weir is already running as process %d (pid file \"%s\"): \"weir "
               "-s reload\" loads a changed configuration, \"weir -s stop\" stops it", (int)f.pid,
               pid_path);
        return;
    }
    for (struct wr_listener *l = wr_conf_listens(c)->first; l != NULL; l = l->next) {
        if (!l->in_kernel && wr_bound_of(l) == NULL && !has_own_wildcard(l)
            && !wr_socket_probe(&l->addr, l->opts.type) && errno == EADDRINUSE && tell_process(l))
            return;
    }
    wr_say(WR_LOG_WARN, 0, "\"ss -lptun\" shows which process uses the address");
}
