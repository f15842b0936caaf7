/* listen_conf: the listen directive of both layers. The setters of `listen` in stream and http call
 * wr_listen_conf; the app opens the listeners of wr_conf_listens. They are in the order of their
 * first line, in the configuration's pool.
 *
 * One line may stand for several listeners (a port range, a name with several addresses), and lines
 * of several servers for one listener. Socket options belong to the listener: they come from the
 * one line that has some. */
#include "datagram/datagram.h"
#include "listen/listen_impl.h"

struct entry {
    struct wr_listener l;           /* first, as wr_listens links it */
    bool options;                   /* a line with socket options was seen: l.opts */
    bool default_server;
    const struct wr_scope *server;  /* of its last line */
};
struct listens {
    struct wr_listens list;
    struct wr_dict *by_text, *by_text_udp; /* struct entry by address */
};

/* One directive, while it is read. */
struct line {
    struct wr_cf *cf;
    const struct wr_layer *layer;
    struct wr_listen_opts opts;
    bool options;                   /* it has socket options */
    bool proxy_protocol, ssl;
    uint32_t speaks;
    struct wr_listen_line out;
};

/* ---- the parameters ---- */

/* i: index of the word; value: the text after its '='. */
typedef bool param_setter(struct line *l, uint32_t i, struct wr_str value);

static bool bad_param(struct line *l, uint32_t i, const char *hint)
{
    /* nginx words this differently in each layer. */
    return wr_cf_error_hint(l->cf, i, hint,
                            l->layer->bit == WR_L4 ? "the invalid \"" WR_FMT "\" parameter"
                                                   : "invalid parameter \"" WR_FMT "\"",
                            WR_ARG(wr_cf_arg(l->cf, i)));
}

static bool bad_value(struct line *l, uint32_t i, const char *name)
{
    return wr_cf_error(l->cf, i, "invalid %s \"" WR_FMT "\"", name, WR_ARG(wr_cf_arg(l->cf, i)));
}

static bool parse_int(struct wr_str s, int *out)
{
    uint64_t v;

    if (!wr_str_u64(s, &v) || v > INT32_MAX)
        return false;
    *out = (int)v;
    return true;
}

static bool take_default_server(struct line *l, uint32_t i, struct wr_str value)
{
    (void)value;
    if (wr_str_is(wr_cf_arg(l->cf, i), "default")) {
        /* nginx 0.7's word: http still takes it, stream never did. */
        if (l->layer->bit == WR_L4)
            return bad_param(l, i, "write \"default_server\"");
        wr_cf_warn(l->cf, i,
                   "the \"default\" parameter is obsolete, use \"default_server\" instead");
    }
    l->out.default_server = true;
    return true;
}

static bool take_backlog(struct line *l, uint32_t i, struct wr_str value)
{
    return (parse_int(value, &l->opts.backlog) && l->opts.backlog > 0)
           || bad_value(l, i, "backlog");
}

static bool take_fastopen(struct line *l, uint32_t i, struct wr_str value)
{
    return parse_int(value, &l->opts.fastopen) || bad_value(l, i, "fastopen");
}

static bool take_rcvbuf(struct line *l, uint32_t i, struct wr_str value)
{
    uint64_t v;

    if (!wr_parse_size(value, &v) || v > INT32_MAX)
        return bad_value(l, i, "rcvbuf");
    l->opts.rcvbuf = (int)v;
    return true;
}

static bool take_sndbuf(struct line *l, uint32_t i, struct wr_str value)
{
    uint64_t v;

    if (!wr_parse_size(value, &v) || v > INT32_MAX)
        return bad_value(l, i, "sndbuf");
    l->opts.sndbuf = (int)v;
    return true;
}

static bool take_accept_filter(struct line *l, uint32_t i, struct wr_str value)
{
    (void)value;
    wr_cf_warn(l->cf, i,
               "accept filters \"" WR_FMT "\" are not supported on this platform, ignored",
               WR_ARG(wr_cf_arg(l->cf, i)));
    return true;
}

static bool take_deferred(struct line *l, uint32_t i, struct wr_str value)
{
    (void)i;
    (void)value;
    l->opts.deferred = true;
    return true;
}

static bool take_ipv6only(struct line *l, uint32_t i, struct wr_str value)
{
    if (!wr_str_is(value, "on") && !wr_str_is(value, "off"))
        return bad_param(l, i, "write \"ipv6only=on\" or \"ipv6only=off\"");
    l->opts.ipv6only_off = wr_str_is(value, "off");
    return true;
}

/* bind and reuseport are always in effect: each listening socket is bound separately and with
 * SO_REUSEPORT. */
static bool take_always_on(struct line *l, uint32_t i, struct wr_str value)
{
    (void)l;
    (void)i;
    (void)value;
    return true;
}

static bool take_multipath(struct line *l, uint32_t i, struct wr_str value)
{
    (void)i;
    (void)value;
    l->opts.multipath = true;
    return true;
}

static bool parse_seconds(struct wr_str s, int *out)
{
    uint64_t v;

    if (s.n == 0)
        return true;
    if (!wr_parse_sec(s, &v) || v > INT32_MAX)
        return false;
    *out = (int)v;
    return true;
}

/* "[idle]:[interval]:[count]", not all of them empty. */
static bool parse_keepalive(struct wr_str s, struct wr_listen_opts *o)
{
    struct wr_str idle = wr_str_cut(&s, ':'), intvl = wr_str_cut(&s, ':');

    if (!parse_seconds(idle, &o->keepidle) || !parse_seconds(intvl, &o->keepintvl))
        return false;
    if (s.n > 0 && !parse_int(s, &o->keepcnt))
        return false;
    return o->keepidle != 0 || o->keepintvl != 0 || o->keepcnt != 0;
}

static bool take_so_keepalive(struct line *l, uint32_t i, struct wr_str value)
{
    bool on = wr_str_is(value, "on"), off = wr_str_is(value, "off");

    l->opts.keepidle = l->opts.keepintvl = l->opts.keepcnt = 0;
    if (!on && !off && !parse_keepalive(value, &l->opts))
        return wr_cf_error(l->cf, i, "invalid so_keepalive value: \"" WR_FMT "\"", WR_ARG(value));
    l->opts.keepalive = !off;
    l->opts.keepalive_off = off;
    return true;
}

static bool take_proxy_protocol(struct line *l, uint32_t i, struct wr_str value)
{
    (void)i;
    (void)value;
    l->proxy_protocol = true;
    return true;
}

static bool take_ssl(struct line *l, uint32_t i, struct wr_str value)
{
    (void)i;
    (void)value;
    l->ssl = true;
    return true;
}

static bool take_udp(struct line *l, uint32_t i, struct wr_str value)
{
    (void)value;
    if (wr_str_starts(wr_cf_arg(l->cf, 1), WR_STR("unix:")))
        return wr_cf_error_hint(l->cf, i, "listen on an IP address: most clients of a unix socket "
                                "have none to be answered at",
                                "\"udp\" is not for a unix domain socket");
    l->opts.type = SOCK_DGRAM;
    return true;
}

static bool report_not_built(struct line *l, uint32_t i, const char *hint)
{
    return wr_cf_error_hint(l->cf, i, hint,
                            "the \"" WR_FMT "\" parameter is known in nginx, not in this build",
                            WR_ARG(wr_cf_arg(l->cf, i)));
}

static bool refuse_http2(struct line *l, uint32_t i, struct wr_str value)
{
    (void)value;
    return report_not_built(l, i, "leave it out: clients speak HTTP/1.1 then");
}

static bool refuse_quic(struct line *l, uint32_t i, struct wr_str value)
{
    (void)value;
    return report_not_built(l, i, "leave the line out: clients speak HTTP/1.1 over TCP then");
}

static bool refuse_udp(struct line *l, uint32_t i, struct wr_str value)
{
    (void)value;
    return bad_param(l, i, "datagrams are served in stream {}");
}

enum param_flags {
    OPTION = 1,   /* a socket option: in one line of a listener only */
    TCP_ONLY = 2,
};
struct param {
    const char *name;
    bool has_value;
    uint32_t layers, flags;
    param_setter *take;
};
static const struct param params[] = {
    { "default_server", false, WR_ANY, 0, take_default_server },
    { "default", false, WR_ANY, 0, take_default_server },
    { "backlog", true, WR_ANY, OPTION | TCP_ONLY, take_backlog },
    { "fastopen", true, WR_ANY, OPTION | TCP_ONLY, take_fastopen },
    { "rcvbuf", true, WR_ANY, OPTION, take_rcvbuf },
    { "sndbuf", true, WR_ANY, OPTION, take_sndbuf },
    { "accept_filter", true, WR_ANY, OPTION | TCP_ONLY, take_accept_filter },
    { "deferred", false, WR_ANY, OPTION | TCP_ONLY, take_deferred },
    { "bind", false, WR_ANY, OPTION, take_always_on },
    { "ipv6only", true, WR_ANY, OPTION, take_ipv6only },
    { "reuseport", false, WR_ANY, OPTION, take_always_on },
    { "multipath", false, WR_ANY, OPTION | TCP_ONLY, take_multipath },
    { "so_keepalive", true, WR_ANY, OPTION | TCP_ONLY, take_so_keepalive },
    { "udp", false, WR_L4, 0, take_udp },
    { "udp", false, WR_L7, 0, refuse_udp },
    { "ssl", false, WR_ANY, TCP_ONLY, take_ssl },
    { "http2", false, WR_L7, TCP_ONLY, refuse_http2 },
    { "quic", false, WR_L7, 0, refuse_quic },
    { "proxy_protocol", false, WR_ANY, TCP_ONLY, take_proxy_protocol },
    /* No setfib: it is for FreeBSD, nginx refuses it on Linux, too. */
};

static const struct param *find_param(struct wr_str word, uint32_t layer, struct wr_str *value)
{
    for (size_t i = 0; i < WR_COUNT(params); i++) {
        const struct param *p = &params[i];

        *value = wr_str_of("", 0);
        if ((p->layers & layer) != 0
            && (p->has_value ? wr_param(word, p->name, value) : wr_str_is(word, p->name)))
            return p;
    }
    return NULL;
}

static const char *nearest_param(struct line *l, struct wr_str word)
{
    struct wr_param_near near = wr_param_near(word);

    for (size_t i = 0; i < WR_COUNT(params); i++)
        if ((params[i].layers & l->layer->bit) != 0 && params[i].take != refuse_udp)
            wr_param_consider(l->cf->pool, &near, params[i].name, params[i].has_value);
    return near.hint;
}

/* Index of the word; 0: not found. */
static uint32_t find_word(const struct wr_cf *cf, const char *word)
{
    for (uint32_t i = 2; i <= cf->nargs; i++)
        if (wr_str_is(wr_cf_arg(cf, i), word))
            return i;
    return 0;
}

/* Takes a word for a further protocol the layer can speak (wr_layer.speaks). */
static bool take_protocol(struct line *l, struct wr_str word)
{
    uint32_t bit = l->layer->speaks != NULL ? l->layer->speaks(word) : 0;

    l->speaks |= bit;
    return bit != 0;
}

static bool take_param(struct line *l, uint32_t i, bool udp)
{
    struct wr_str word = wr_cf_arg(l->cf, i), value;
    const struct param *p = find_param(word, l->layer->bit, &value);

    if (p == NULL && take_protocol(l, word))
        return true;
    if (p == NULL)
        return bad_param(l, i, nearest_param(l, word));
    if (udp && (p->flags & TCP_ONLY) != 0)
        return wr_cf_error(l->cf, i,
                           "\"listen\" directive \"%s\" parameter is incompatible with \"udp\"",
                           p->name);
    l->options = l->options || (p->flags & OPTION) != 0;
    return p->take(l, i, value);
}

static bool take_params(struct line *l)
{
    uint32_t udp = l->layer->bit == WR_L4 ? find_word(l->cf, "udp") : 0;
    bool ok = true;

    for (uint32_t i = 2; i <= l->cf->nargs; i++)
        ok = take_param(l, i, udp != 0) && ok;
    return ok;
}

/* ---- the addresses of the configuration ---- */

static struct listens *listens_of(const struct wr_conf *c)
{
    return wr_conf_state(c, &wr_module_listen);
}

/* TCP and UDP of one address are two listeners. */
static struct wr_dict *listeners_of(const struct line *l)
{
    struct listens *all = listens_of(l->cf->conf);

    return l->opts.type == SOCK_DGRAM ? all->by_text_udp : all->by_text;
}

static struct entry *entry_new(struct line *l, const struct wr_addr *a, struct wr_str text)
{
    struct listens *all = listens_of(l->cf->conf);
    struct entry *e = WR_NEW(l->cf->pool, struct entry);

    e->l.addr = *a;
    e->l.text = wr_pool_str(l->cf->pool, text);
    e->l.layer = l->layer;
    e->l.node = l->cf->node;
    e->l.accepted = wr_session_new;
    e->l.receive = l->opts.type == SOCK_DGRAM ? wr_receive : NULL;
    e->l.opts = l->opts;
    e->l.greet = l->proxy_protocol ? wr_proxy_read : NULL;
    e->l.ssl = l->ssl;
    e->l.speaks = l->speaks;
    *all->list.last = &e->l;
    all->list.last = &e->l.next;
    (void)wr_dict_add(listeners_of(l), e->l.text, e);
    return e;
}

/* Adds a line to a listener that other lines have made. */
static bool merge_line(struct line *l, struct entry *e)
{
    struct wr_cf *cf = l->cf;

    if (e->l.layer != l->layer)
        return wr_cf_error_hint(
            cf, 1, wr_pool_fmt(cf->pool, "it is used in %s {} already", e->l.layer->name).p,
            "duplicate \"" WR_FMT "\" address and port pair", WR_ARG(e->l.text));
    if (e->server == cf->scope)
        return wr_cf_error(cf, 1, "a duplicate listen " WR_FMT, WR_ARG(e->l.text));
    if (l->options && e->options)
        return wr_cf_error(cf, 1, "duplicate listen options for " WR_FMT, WR_ARG(e->l.text));
    if (l->out.default_server && e->default_server)
        return wr_cf_error(cf, 1, "a duplicate default server for " WR_FMT, WR_ARG(e->l.text));
    if (l->options)
        e->l.opts = l->opts;
    /* These options matter before a server is chosen, so one line sets them for all servers. */
    if (l->proxy_protocol != (e->l.greet != NULL) || l->ssl != e->l.ssl
        || l->speaks != e->l.speaks)
        wr_cf_warn(cf, 1, "protocol options redefined for " WR_FMT, WR_ARG(e->l.text));
    if (l->proxy_protocol)
        e->l.greet = wr_proxy_read;
    e->l.ssl = e->l.ssl || l->ssl;
    e->l.speaks |= l->speaks;
    return true;
}

typedef bool attach_line(struct wr_cf *cf, const struct wr_listen_line *line);

static bool add_listener(struct line *l, const struct wr_addr *a, attach_line *attach)
{
    char buf[WR_ADDR_TEXT_MAX];
    struct wr_text text = wr_text_on(buf, sizeof(buf));
    struct entry *e;

    wr_addr_text(a, &text);
    e = wr_dict_get(listeners_of(l), wr_text_view(&text));
    if (e == NULL)
        e = entry_new(l, a, wr_text_view(&text));
    else if (!merge_line(l, e))
        return false;
    e->options = e->options || l->options;
    e->default_server = e->default_server || l->out.default_server;
    e->server = l->cf->scope;
    l->out.listener = &e->l;
    return attach(l->cf, &l->out);
}

bool wr_listen_conf(struct wr_cf *cf, const struct wr_layer *layer, uint16_t default_port,
                    attach_line *attach)
{
    struct line l = { .cf = cf, .layer = layer, .opts = { .type = SOCK_STREAM } };
    struct wr_listen_addrs where = { .cf = cf };

    if (!wr_listen_addrs_read(&where, default_port) || !take_params(&l))
        return false;
    for (uint32_t i = 0; i < where.addrs.n; i++) {
        struct wr_addr a = where.addrs.at[i];

        for (uint32_t port = where.first_port; port <= where.last_port; port++) {
            wr_addr_set_port(&a, (uint16_t)port);
            if (!add_listener(&l, &a, attach))
                return false;
        }
    }
    return true;
}

struct wr_listens *wr_conf_listens(const struct wr_conf *c)
{
    return &listens_of(c)->list;
}

static bool takes_wildcard(const struct wr_listener *l, const struct wr_addr *a)
{
    return wr_addr_wildcard(&l->addr) && wr_addr_port(&l->addr) == wr_addr_port(a)
        && (l->addr.sa.sa_family == a->sa.sa_family
            || (a->sa.sa_family == AF_INET && l->opts.ipv6only_off));
}

const struct wr_listener *wr_conf_listener_at(const struct wr_conf *c, const struct wr_addr *a)
{
    const struct wr_listener *found = NULL;

    for (const struct wr_listener *l = wr_conf_listens(c)->first; l != NULL; l = l->next) {
        if (l->opts.type == SOCK_DGRAM)
            continue;
        if (wr_addr_eq(&l->addr, a))
            return l;
        if (found == NULL && a->sa.sa_family != AF_UNIX && takes_wildcard(l, a))
            found = l;
    }
    return found;
}

static bool listen_prepare(struct wr_cf *cf)
{
    struct listens *all = WR_NEW(cf->pool, struct listens);

    all->list.last = &all->list.first;
    all->by_text = wr_dict_new(cf->pool, false);
    all->by_text_udp = wr_dict_new(cf->pool, false);
    wr_cf_state(cf, &wr_module_listen) = all;
    return true;
}

struct wr_module wr_module_listen = {
    .name = "listen",
    .layers = WR_ANY,
    .prepare = listen_prepare,
};
