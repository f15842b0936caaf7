/* realip: takes the client's address from trusted proxies: at both layers from the PROXY header, at
 * layer 7 from a field of the request. Access rules, limits, variables and logs then use it. Runs
 * when a session or request begins, and again when the location is known. Each request starts from
 * the connection's own address. */
#include "listen/listen.h"
#include "text/text.h"

#include <limits.h>

struct realip_conf {
    struct wr_networks from;
    struct wr_str field;         /* p NULL: the PROXY header */
    bool recursive;
};
extern struct wr_module wr_module_realip;

static bool find_client(struct wr_exchange *x, const struct realip_conf *c, struct wr_addr *a)
{
    const struct wr_proxy_header *h = x->s->proxy;
    struct wr_str said;

    if (!wr_networks_have(&c->from, a))
        return false;
    if (c->field.p != NULL)
        return x->layer->field(x, c->field, &said)
            && wr_forwarded(a, said, &c->from, c->recursive);
    if (h == NULL || h->source.len == 0)
        return false;
    *a = h->source;
    return true;
}

static bool is_replaced(const struct wr_exchange *x)
{
    return x->client_addr != &x->s->client;
}

static enum wr_verdict replace(struct wr_exchange *x)
{
    const struct realip_conf *c = wr_conf_of(x, &wr_module_realip);
    struct wr_addr *a;

    if (c->from.list.n == 0 || is_replaced(x))
        return WR_PASS;
    a = WR_NEW(x->pool, struct wr_addr);
    *a = *x->client_addr;
    if (find_client(x, c, a))
        x->client_addr = a;
    return WR_PASS;
}

/* ---- variables ---- */

static bool get_addr(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    char buf[WR_ADDR_TEXT_MAX];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    (void)v;
    wr_addr_text_ip(&x->s->client, &t);
    *out = wr_pool_str(x->pool, wr_text_view(&t));
    return true;
}

static bool get_port(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    uint16_t port = wr_addr_port(&x->s->client);

    (void)v;
    *out = port == 0 ? WR_STR("") : wr_pool_fmt(x->pool, "%u", port);
    return true;
}

/* ---- configuration ---- */

static bool set_from(struct wr_cf *cf, void *conf)
{
    struct realip_conf *c = conf;

    if (cf->first)
        c->from = (struct wr_networks){ 0 };
    return wr_cf_networks(cf, 1, &c->from);
}

static bool set_header(struct wr_cf *cf, void *conf)
{
    struct realip_conf *c = conf;
    struct wr_str arg = wr_cf_arg(cf, 1);

    if (arg.n == 0)
        return wr_cf_error(cf, 1, "the field name must not be empty");
    c->field = wr_str_is(arg, "proxy_protocol") ? wr_str_of(NULL, 0) : arg;
    return true;
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("set_real_ip_from", WR_ANY | WR_IN_LOCATIONS | WR_MULTI, 1, 1, set_from, NULL,
              "a trusted proxy (address, network, host, unix:) that names its client"),
    WR_CUSTOM("real_ip_header", WR_L7 | WR_IN_LOCATIONS, 1, 1, set_header, "X-Real-IP",
              "the field with the client's address; proxy_protocol: the PROXY header"),
    WR_FLAG("real_ip_recursive", WR_L7 | WR_IN_LOCATIONS, struct realip_conf, recursive, "off",
            "the client is the last address in the field that is not a trusted proxy; off: the "
            "last address"),
    { 0 }
};

static const struct wr_variable variables[] = {
    { .name = "realip_remote_addr", .layers = WR_ANY, .get = get_addr },
    { .name = "realip_remote_port", .layers = WR_ANY, .get = get_port },
    { 0 },
};

struct wr_module wr_module_realip = {
    .name = "realip",
    .layers = WR_ANY,
    .conf_size = sizeof(struct realip_conf),
    .directives = directives,
    .variables = variables,
    .phases = (const struct wr_phase_hook[]){
        { .phase = WR_PH_ACCEPTED, .layers = WR_ANY, .run = replace },
        { .phase = WR_PH_PREACCESS, .layers = WR_L7, .run = replace, .rank = INT_MIN },
        { 0 },
    },
};
