/* geo: a variable whose value depends on the client's address, or on an address in another
 * variable: `geo [$address] $variable { ... }`. Both layers. The block becomes a table of sorted
 * spans (geo_table.c), immutable and owned by the configuration. */
#include "listen/listen.h"
#include "text/text.h"
#include "geo_table.h"

struct geo {
    uint32_t magic;
    struct wr_var *source;          /* NULL: the client */
    struct wr_networks proxies;
    bool proxy_recursive;
    WR_VEC(struct wr_str) values;   /* the texts by their number in the table */
    uint32_t fallback;              /* `default` of a block with ranges; WR_GEO_NONE: empty */
    struct wr_geo_table table;
};

/* A network of the block; `gone` once it was deleted. */
struct net {
    struct wr_cidr cidr;
    uint32_t value;
    bool gone;
};

/* State while the block is read. */
struct geo_build {
    struct wr_cf *cf;
    struct geo *geo;
    struct wr_pool *pool;
    struct wr_dict *values;         /* text -> its number + 1 */
    struct wr_dict *nets;           /* the bytes of a struct wr_cidr -> struct net */
    WR_VEC(struct net *) list;
    struct wr_geo_spans spans;      /* of ranges */
    bool ranges, any;
};

/* ---- at run time ---- */

static void client_address(struct wr_exchange *x, const struct geo *g, struct wr_addr *a)
{
    struct wr_str text;

    *a = *x->client_addr;
    if (g->proxies.list.n > 0 && x->layer->field(x, WR_STR("X-Forwarded-For"), &text))
        (void)wr_forwarded(a, text, &g->proxies, g->proxy_recursive);
}

static bool geo_get(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct geo *g = WR_CHECK(v->object, GEO);
    struct wr_addr a = { .len = 0 };
    struct wr_str text;
    uint32_t value;

    if (g->source == NULL)
        client_address(x, g, &a);
    else if (!wr_var_value(x, g->source, &text) || !wr_addr_parse_ip(text, &a))
        a.len = 0;
    value = wr_geo_find(&g->table, &a);
    if (value == WR_GEO_NONE)
        value = g->fallback;
    *out = value == WR_GEO_NONE ? WR_STR("") : g->values.at[value];
    return true;
}

/* ---- the block ---- */

static uint32_t value_number(struct geo_build *b, struct wr_str text)
{
    uintptr_t n = (uintptr_t)wr_dict_get(b->values, text);

    if (n == 0) {
        *wr_vec_push(b->cf->pool, &b->geo->values) = text;
        n = b->geo->values.n;
        (void)wr_dict_add(b->values, text, (void *)n);
    }
    return (uint32_t)(n - 1);
}

static void warn_twice(struct geo_build *b, const char *what, struct wr_str key, uint32_t value,
                       uint32_t old)
{
    const struct wr_str *text = b->geo->values.at;

    wr_cf_warn(b->cf, 0, "duplicate %s \"" WR_FMT "\", value: \"" WR_FMT "\", old value: \"" WR_FMT
               "\"", what, WR_ARG(key), WR_ARG(text[value]), WR_ARG(text[old]));
}

static struct wr_str net_key(const struct wr_cidr *c)
{
    return wr_str_of((const char *)c, offsetof(struct wr_cidr, host_bits));
}

/* Returns the old value of this network, or WR_GEO_NONE. */
static uint32_t put_net(struct geo_build *b, const struct wr_cidr *cidr, uint32_t value)
{
    struct net *net = wr_dict_get(b->nets, net_key(cidr));
    uint32_t old = WR_GEO_NONE;

    if (net == NULL) {
        net = WR_NEW(b->pool, struct net);
        memcpy(&net->cidr, cidr, sizeof(*cidr));
        (void)wr_dict_add(b->nets, net_key(&net->cidr), net);
        *wr_vec_push(b->pool, &b->list) = net;
    } else if (!net->gone) {
        old = net->value;
    }
    net->value = value;
    net->gone = false;
    return old;
}

static bool put_default(struct geo_build *b, uint32_t value)
{
    struct wr_cidr all4, all6;
    uint32_t old = b->geo->fallback, old6;

    if (b->ranges) {
        b->geo->fallback = value;
    } else if (wr_cidr_parse(WR_STR("0.0.0.0/0"), &all4) && wr_cidr_parse(WR_STR("::/0"), &all6)) {
        old = put_net(b, &all4, value);
        old6 = put_net(b, &all6, value);
        old = old == WR_GEO_NONE ? old6 : old;
    }
    if (old != WR_GEO_NONE)
        warn_twice(b, b->ranges ? "default geo value" : "network", WR_STR("default"), value, old);
    return true;
}

static bool parse_net(struct geo_build *b, uint32_t word, struct wr_cidr *out)
{
    struct wr_str text = wr_cf_arg(b->cf, word);

    return (wr_cf_network(b->cf, word, out) && out->family != AF_UNIX)
        || wr_cf_error(b->cf, word, "invalid network \"" WR_FMT "\"", WR_ARG(text));
}

static bool net_line(struct geo_build *b, bool erase, struct wr_str value)
{
    struct wr_cidr cidr;
    struct net *net;
    uint32_t old, number;

    if (!parse_net(b, erase ? 1 : 0, &cidr))
        return false;
    if (erase) {
        net = wr_dict_get(b->nets, net_key(&cidr));
        if (net == NULL || net->gone)
            wr_cf_warn(b->cf, 1, "no network \"" WR_FMT "\" to delete",
                       WR_ARG(wr_cf_arg(b->cf, 1)));
        else
            net->gone = true;
        return true;
    }
    number = value_number(b, value);
    old = put_net(b, &cidr, number);
    if (old != WR_GEO_NONE)
        warn_twice(b, "network", wr_cf_arg(b->cf, 0), number, old);
    return true;
}

static bool parse_range(struct wr_str text, struct wr_geo_span *out)
{
    struct wr_str last = text, first = wr_str_cut(&last, '-');
    struct wr_addr a, z;

    if (!wr_addr_parse_ip(first, &a) || !wr_addr_parse_ip(last, &z) ||
        a.sa.sa_family != AF_INET || z.sa.sa_family != AF_INET)
        return false;
    out->first = ntohl(a.in.sin_addr.s_addr);
    out->last = ntohl(z.in.sin_addr.s_addr);
    return out->first <= out->last;
}

static bool range_line(struct geo_build *b, bool erase, struct wr_str value)
{
    struct wr_str text = wr_cf_arg(b->cf, erase ? 1 : 0);
    struct wr_geo_span span;
    uint32_t old;

    if (!parse_range(text, &span))
        return wr_cf_error(b->cf, erase ? 1 : 0, "invalid range \"" WR_FMT "\"", WR_ARG(text));
    if (erase) {
        if (!wr_geo_erase(&b->spans, span.first, span.last))
            wr_cf_warn(b->cf, 1, "no address range \"" WR_FMT "\" to delete", WR_ARG(text));
        return true;
    }
    span.value = value_number(b, value);
    old = wr_geo_paint(b->pool, &b->spans, &span);
    if (old != WR_GEO_NONE)
        warn_twice(b, "range", text, span.value, old);
    return true;
}

static bool proxy_line(struct geo_build *b)
{
    struct geo *g = b->geo;

    return parse_net(b, 1, wr_vec_push(b->cf->pool, &g->proxies.list));
}

static bool take_word(struct geo_build *b, struct wr_str word)
{
    if (wr_str_is(word, "ranges")) {
        if (b->any)
            return wr_cf_error(b->cf, 0, "the \"ranges\" directive must be the first directive "
                               "inside \"geo\" block");
        b->ranges = true;
        return true;
    }
    if (wr_str_is(word, "proxy_recursive") && b->cf->scope->layer == WR_L7) {
        b->geo->proxy_recursive = true;
        return true;
    }
    return wr_cf_error(b->cf, 0, "invalid number of the geo parameters");
}

static bool geo_line(struct geo_build *b)
{
    struct wr_str key = wr_cf_arg(b->cf, 0), value;
    bool erase = wr_str_is(key, "delete");

    if (b->cf->node->block)
        return wr_cf_error(b->cf, 0, "unexpected \"{\"");
    if (b->cf->node->nwords == 1)
        return take_word(b, key);
    if (b->cf->node->nwords != 2)
        return wr_cf_error(b->cf, 0, "invalid number of the geo parameters");
    if (b->cf->scope->layer == WR_L7 && wr_str_is(key, "proxy"))
        return proxy_line(b);
    b->any = true;
    value = wr_cf_arg(b->cf, 1);
    if (wr_str_is(key, "default"))
        return put_default(b, value_number(b, value));
    return b->ranges ? range_line(b, erase, value) : net_line(b, erase, value);
}

/* Turn all networks of one family into disjoint spans. */
static void nest_networks(struct geo_build *b, int family, struct wr_geo_spans *out)
{
    struct wr_geo_span *nets = WR_NEW_ARRAY(b->pool, struct wr_geo_span, b->list.n + 1);
    size_t size = family == AF_INET ? 4 : 16;
    uint32_t n = 0;

    for (uint32_t i = 0; i < b->list.n; i++) {
        const struct net *net = b->list.at[i];
        uint8_t last[16];

        if (net->gone || net->cidr.family != family)
            continue;
        for (size_t k = 0; k < size; k++)
            last[k] = (uint8_t)(net->cidr.addr[k] | (net->cidr.mask[k] ^ 0xff));
        nets[n++] = (struct wr_geo_span){
            wr_geo_number(net->cidr.addr, size), wr_geo_number(last, size), net->value,
        };
    }
    wr_geo_nest(b->pool, nets, n, out);
}

static bool read_block(struct wr_cf *cf, struct geo *g)
{
    const struct wr_node *block = cf->node;
    struct geo_build b = { .cf = cf, .geo = g, .pool = wr_pool_new(0) };
    struct wr_geo_spans v6 = { 0 };
    bool ok = true;

    b.values = wr_dict_new(b.pool, false);
    b.nets = wr_dict_new(b.pool, false);
    for (const struct wr_node *line = block->children; line != NULL; line = line->next) {
        cf->node = line;
        ok = geo_line(&b) && ok;
    }
    cf->node = block;
    if (!b.ranges) {
        nest_networks(&b, AF_INET, &b.spans);
        nest_networks(&b, AF_INET6, &v6);
    }
    wr_geo_build(cf->pool, &b.spans, &v6, &g->table);
    wr_pool_free(b.pool);
    return ok;
}

static bool mention_source(struct wr_cf *cf, struct geo *g)
{
    struct wr_str name = wr_cf_arg(cf, 1);

    if (name.n < 2 || name.p[0] != '$')
        return wr_cf_error(cf, 1, "invalid variable name \"" WR_FMT "\"", WR_ARG(name));
    g->source = wr_var_mention(cf, wr_str_skip(name, 1), 1);
    return g->source != NULL;
}

static bool set_geo(struct wr_cf *cf, void *conf)
{
    struct geo *g = WR_NEW(cf->pool, struct geo);
    struct wr_var *v;

    (void)conf;
    g->fallback = WR_GEO_NONE;
    if (cf->nargs == 2 && !mention_source(cf, g))
        return false;
    v = wr_var_define(cf, cf->nargs, geo_get, WR_VAR_USER | WR_VAR_CACHED);
    if (v == NULL)
        return false;
    WR_TYPED(g, GEO);
    v->object = g;
    return read_block(cf, g);
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("geo", WR_ANY | WR_LV_LAYER | WR_DEFINE | WR_MULTI, 1, 2, set_geo, NULL,
              "a variable whose value depends on the address of the client"),
    { 0 }
};

struct wr_module wr_module_geo = {
    .name = "geo",
    .layers = WR_ANY,
    .directives = directives,
};
