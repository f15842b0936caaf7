/* core_vars: variables of both layers: the client, the listener, the session, the clock, the
 * process. The registry (variables) finds them through the module's table. Values that may change
 * in a later turn (addresses, times) are copied into the exchange's pool. */
#include "text/text.h"

#include <unistd.h>

struct core_vars {          /* of a configuration */
    struct wr_str hostname;
};

static bool core_vars_prepare(struct wr_cf *cf)
{
    struct core_vars *v = WR_NEW(cf->pool, struct core_vars);
    char name[WR_HOSTNAME_SIZE];

    v->hostname = wr_pool_lower(cf->pool, wr_hostname(name));
    wr_cf_state(cf, &wr_module_core_vars) = v;
    return true;
}

/* ---- addresses ---- */

static struct wr_str address_text(struct wr_exchange *x, const struct wr_addr *a, bool whole)
{
    char buf[WR_ADDR_TEXT_MAX];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    if (whole)
        wr_addr_text(a, &t);
    else
        wr_addr_text_ip(a, &t);
    return wr_pool_str(x->pool, wr_text_view(&t));
}

static bool is_unix(const struct wr_addr *a)
{
    return a->len > 0 && a->sa.sa_family == AF_UNIX;
}

/* Empty for a unix socket. */
static struct wr_str port_text(struct wr_exchange *x, const struct wr_addr *a)
{
    uint16_t port = wr_addr_port(a);

    return port == 0 ? wr_str_of("", 0) : wr_pool_fmt(x->pool, "%u", port);
}

static bool get_remote_addr(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = x->client_addr == &x->s->client ? wr_session_client_text(x->s)
                                           : address_text(x, x->client_addr, false);
    return true;
}

static bool get_remote_port(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = port_text(x, x->client_addr);
    return true;
}

/* "unix:" for all clients of unix sockets, as in nginx: they share one key. */
static bool get_binary_remote_addr(struct wr_exchange *x, const struct wr_var *v,
                                   struct wr_str *out)
{
    (void)v;
    *out = is_unix(x->client_addr) ? WR_STR("unix:")
                                  : wr_pool_str(x->pool, wr_addr_bytes(x->client_addr));
    return true;
}

static bool get_server_addr(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_addr *a = wr_session_local(x->s);

    (void)v;
    *out = address_text(x, a, is_unix(a));
    return true;
}

static bool get_server_port(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = port_text(x, wr_session_local(x->s));
    return true;
}

/* ---- the session ---- */

static bool get_connection(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = wr_pool_fmt(x->pool, "%llu", (unsigned long long)x->s->number);
    return true;
}

static bool get_status(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = wr_pool_fmt(x->pool, "%03u", x->status);
    return true;
}

static bool get_bytes_sent(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = wr_pool_fmt(x->pool, "%llu", (unsigned long long)wr_endpoint_sent(&x->client));
    return true;
}

static bool get_bytes_received(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = wr_pool_fmt(x->pool, "%llu", (unsigned long long)wr_endpoint_received(&x->client));
    return true;
}

static struct wr_str seconds_text(struct wr_exchange *x, uint64_t ms)
{
    return wr_pool_fmt(x->pool, "%llu.%03u", (unsigned long long)(ms / 1000),
                       (unsigned)(ms % 1000));
}

static bool get_session_time(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = seconds_text(x, wr_now() - x->s->begun_ms);
    return true;
}

static bool get_protocol(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = x->s->listener->opts.type == SOCK_DGRAM ? WR_STR("UDP") : WR_STR("TCP");
    return true;
}

/* ---- the clock ---- */

static bool get_msec(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = seconds_text(x, wr_clock.wall_ms);
    return true;
}

static bool get_time_iso8601(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = wr_pool_str(x->pool, wr_clock.iso8601);
    return true;
}

static bool get_time_local(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = wr_pool_str(x->pool, wr_clock.local);
    return true;
}

/* ---- the process ---- */

static bool get_hostname(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct core_vars *c = wr_conf_state(x->conf, &wr_module_core_vars);

    (void)v;
    *out = c->hostname;
    return true;
}

static bool get_pid(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = wr_pool_fmt(x->pool, "%ld", (long)getpid());
    return true;
}

static bool get_nginx_version(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)x;
    (void)v;
    *out = WR_STR(WR_NGINX_VERSION);
    return true;
}

/* nginx caches most of these, so that after `return "$bytes_sent"` the access log shows 0. Only
 * those that cannot change are cached here. */
static const struct wr_variable variables[] = {
    { .name = "binary_remote_addr", .layers = WR_ANY, .get = get_binary_remote_addr },
    { .name = "bytes_received", .layers = WR_L4, .get = get_bytes_received },
    { .name = "bytes_sent", .layers = WR_ANY, .get = get_bytes_sent },
    { .name = "connection", .layers = WR_ANY, .flags = WR_VAR_CACHED, .get = get_connection },
    { .name = "hostname", .layers = WR_ANY, .get = get_hostname },
    { .name = "msec", .layers = WR_ANY, .get = get_msec },
    { .name = "nginx_version", .layers = WR_ANY, .get = get_nginx_version },
    { .name = "pid", .layers = WR_ANY, .flags = WR_VAR_CACHED, .get = get_pid },
    { .name = "protocol", .layers = WR_L4, .get = get_protocol },
    { .name = "remote_addr", .layers = WR_ANY, .get = get_remote_addr },
    { .name = "remote_port", .layers = WR_ANY, .get = get_remote_port },
    { .name = "server_addr", .layers = WR_ANY, .flags = WR_VAR_CACHED, .get = get_server_addr },
    { .name = "server_port", .layers = WR_ANY, .flags = WR_VAR_CACHED, .get = get_server_port },
    { .name = "session_time", .layers = WR_L4, .get = get_session_time },
    { .name = "status", .layers = WR_L4, .get = get_status },
    { .name = "time_iso8601", .layers = WR_ANY, .get = get_time_iso8601 },
    { .name = "time_local", .layers = WR_ANY, .get = get_time_local },
    { .name = NULL },
};

struct wr_module wr_module_core_vars = {
    .name = "core_vars",
    .layers = WR_ANY,
    .variables = variables,
    .prepare = core_vars_prepare,
};
