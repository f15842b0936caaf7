/* resolver_conf: the resolver and resolver_timeout directives of both layers and of upstream {}.
 * Each process makes the resolver itself when it is first used. */
#include "upstream/upstream_impl.h"

#include <netdb.h>

typedef WR_VEC(struct wr_addr) addr_vec;

static struct wr_resolver_conf *made; /* list of those that have a resolver in this process */

static bool add_literal(struct wr_cf *cf, addr_vec *v, struct wr_str arg)
{
    struct wr_addr a;

    if (!wr_addr_parse(arg, 53, &a) || a.sa.sa_family == AF_UNIX)
        return false;
    if (wr_addr_port(&a) == 0)
        wr_addr_set_port(&a, 53);
    *wr_vec_push(cf->pool, v) = a;
    return true;
}

/* Names in `resolver` are looked up once, by the system, and must be found. */
static bool add_named(struct wr_cf *cf, addr_vec *v, uint32_t i)
{
    struct wr_hostport hp;
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *list = NULL;
    const char *why = wr_hostport_parse(wr_cf_arg(cf, i), 53, &hp);

    if (why != NULL)
        return wr_cf_error(cf, i, "%s in resolver \"" WR_FMT "\"", why, WR_ARG(wr_cf_arg(cf, i)));
    if (getaddrinfo(wr_pool_cstr(cf->pool, hp.host), NULL, &hints, &list) != 0)
        return wr_cf_error(cf, i, "host not found in resolver \"" WR_FMT "\"",
                           WR_ARG(wr_cf_arg(cf, i)));
    for (struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
        struct wr_addr *a = wr_vec_push(cf->pool, v);

        memcpy(&a->sa, ai->ai_addr, ai->ai_addrlen);
        a->len = ai->ai_addrlen;
        wr_addr_set_port(a, hp.port);
    }
    freeaddrinfo(list);
    return true;
}

/* local=ADDRESS: one for each family. */
static bool parse_local(struct wr_str v, struct wr_resolver_opts *o)
{
    struct wr_addr a, *at;

    if (!wr_addr_parse_ip(v, &a))
        return false;
    at = &o->local[a.sa.sa_family == AF_INET6];
    if (at->len > 0)
        return false;
    *at = a;
    return true;
}

static bool is_switch(struct wr_str v, bool *on)
{
    *on = wr_str_is(v, "on");
    return *on || wr_str_is(v, "off");
}

static bool parse_family(struct wr_str v, bool *off)
{
    bool on, ok = is_switch(v, &on);

    *off = !on;
    return ok;
}

static bool resolver_param(struct wr_cf *cf, uint32_t i, struct wr_resolver_opts *o, bool *known)
{
    struct wr_str arg = wr_cf_arg(cf, i), v;
    bool ok = true;

    *known = true;
    if (wr_param(arg, "valid", &v)) {
        ok = wr_parse_sec(v, &o->valid_ms) && o->valid_ms > 0;
        o->valid_ms *= 1000;
    } else if (wr_param(arg, "ipv4", &v)) {
        ok = parse_family(v, &o->no_ipv4);
    } else if (wr_param(arg, "ipv6", &v)) {
        ok = parse_family(v, &o->no_ipv6);
    } else if (wr_param(arg, "local", &v)) {
        ok = parse_local(v, o);
    } else if (wr_param(arg, "case_mixing", &v)) {
        ok = is_switch(v, &o->mixed_case);
    } else if (wr_param(arg, "status_zone", &v)) {
        return wr_cf_error_hint(cf, i, "part of nginx's commercial subscription; leave it out",
                                "the \"status_zone\" parameter is known in nginx, not in this "
                                "build");
    } else {
        *known = false;
    }
    return ok || wr_cf_error(cf, i, "invalid parameter: " WR_FMT, WR_ARG(arg));
}

static bool set_resolver(struct wr_cf *cf, void *conf)
{
    struct wr_resolver_conf *c = conf;
    uint64_t timeout = c->opts.timeout_ms;
    addr_vec v = { 0 };

    c->opts = (struct wr_resolver_opts){ .timeout_ms = timeout };
    for (uint32_t i = 1; i <= cf->nargs; i++) {
        bool known;

        if (!resolver_param(cf, i, &c->opts, &known))
            return false;
        if (!known && !add_literal(cf, &v, wr_cf_arg(cf, i)) && !add_named(cf, &v, i))
            return false;
    }
    if (c->opts.no_ipv4 && c->opts.no_ipv6)
        return wr_cf_error(cf, 0, "\"ipv4\" and \"ipv6\" cannot both be \"off\"");
    if (v.n == 0)
        return wr_cf_error(cf, 0, "no name servers defined");
    c->opts.servers = v.at;
    c->opts.nservers = v.n;
    c->set = true;
    c->resolver = NULL;
    return true;
}

struct wr_resolver *wr_scope_resolver(const struct wr_scope *s, struct wr_loop *l)
{
    struct wr_resolver_conf *c = wr_scope_conf(s, &wr_module_resolver);

    return c->set ? wr_resolver_of(c, l) : NULL;
}

struct wr_resolver *wr_resolver_of(struct wr_resolver_conf *c, struct wr_loop *l)
{
    if (c->resolver == NULL) {
        c->resolver = wr_resolver_new(l, &c->opts);
        c->next = made;
        made = c;
    }
    return c->resolver;
}

void wr_resolvers_forget(void)
{
    for (; made != NULL; made = made->next) {
        wr_resolver_free(made->resolver);
        made->resolver = NULL;
    }
}

static void worker_exit(struct wr_conf *conf)
{
    (void)conf;
    wr_resolvers_forget();
}

static const struct wr_directive directives[] = {
    WR_WORDS("resolver", WR_ANY | WR_IN_LOCATIONS | WR_LV_UPSTREAM, 1, WR_ARGS_ANY, set_resolver,
             "ADDRESS ... [valid=TIME] [ipv4=on|off] [ipv6=on|off] [local=ADDRESS] "
             "[case_mixing=on|off]", NULL,
              "name servers for names found at run time, and for those of the group's servers; "
              "local=ADDRESS: where questions come from; "
              "case_mixing=on: mixes the case of letters in questions, which answers must repeat"),
    WR_MSEC("resolver_timeout", WR_ANY | WR_IN_LOCATIONS | WR_LV_UPSTREAM, struct wr_resolver_conf,
            opts.timeout_ms, "30s", "longest wait for a name"),
    WR_MSEC("resolver_grace", WR_ANY | WR_LV_LAYER | WR_LV_UPSTREAM, struct wr_resolver_conf,
            grace_ms, "30s",
            "how long a server whose name does not exist any more keeps its addresses; 0: not"),
    { 0 },
};

struct wr_module wr_module_resolver = {
    .name = "resolver",
    .layers = WR_ANY,
    .conf_size = sizeof(struct wr_resolver_conf),
    .directives = directives,
    .worker_exit = worker_exit,
};
