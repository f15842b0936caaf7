/* health_use: what a check needs of the directives around it, copied when all of them are known:
 * the group, how its servers are dialed, TLS, Host, and the match block that it names. */
#include "health_impl.h"

/* Names with variables have no value without a request: the host of proxy_pass is used. */
static void take_tls(struct wr_cf *cf, struct wr_check *c, const struct wr_upstream_use *use)
{
    struct wr_text alpn = wr_text_grow(cf->pool, 64, UINT16_MAX);
    struct wr_str name = use->host;

    c->tls = use->tls->live;
    if (use->tls->name != NULL && !wr_template_literal(use->tls->name, &name))
        name = use->host;
    c->tls_name = wr_pool_str(cf->pool, wr_hostport_host(name));
    for (uint32_t i = 0; i < use->tls->alpn.n; i++)
        if (wr_template_literal(use->tls->alpn.at[i], &name))
            (void)wr_alpn_append(&alpn, name); /* one that is too long is left out everywhere */
    c->tls_alpn = wr_text_view(&alpn);
}

static void take_use(struct wr_cf *cf, struct wr_check *c, const struct wr_upstream_use *use)
{
    const struct wr_health_scope *s = wr_scope_conf(c->scope, &wr_module_health);
    struct wr_str text;

    c->u = use->u;
    c->u->checked = true;
    if (c->mandatory)
        c->u->born |= WR_HEALTH_UNCHECKED;
    c->timeout_ms = s->timeout_ms;
    c->dial = use->rows->dial;
    c->dial.connect_timeout_ms = wr_min(c->dial.connect_timeout_ms, c->timeout_ms);
    c->conf.host = use->host;
    if (use->host_field != NULL && wr_template_literal(use->host_field, &text))
        c->conf.host = text;
    c->announces = use->announce;
    if (use->tls != NULL)
        take_tls(cf, c, use);
    if (c->dial.bind != NULL && wr_template_literal(c->dial.bind, &text)
        && !wr_addr_parse(text, 0, &c->bind))
        c->bind.len = 0;
}

/* A block of the other layer, or one with a similar name. NULL: there is none. */
static const char *other_match(struct wr_cf *cf, const struct wr_check *c)
{
    const struct wr_health_conf *h = wr_health_of(cf->conf);
    struct wr_param_near near = wr_param_near(c->match_name);

    if (wr_match_find(h, WR_ANY & ~c->scope->layer, c->match_name) != NULL)
        return c->scope->layer == WR_L4 ? "it is in http {}: stream {} needs its own"
                                        : "it is in stream {}: http {} needs its own";
    for (const struct wr_match *m = h->matches; m != NULL; m = m->next)
        if ((m->kind->layers & c->scope->layer) != 0)
            wr_param_consider(cf->pool, &near, wr_pool_cstr(cf->pool, m->name), false);
    return near.hint;
}

/* A check dials TCP: it would call a server of datagrams down. */
static bool gets_datagrams(const struct wr_conf *conf, const struct wr_scope *scope)
{
    for (const struct wr_listener *l = wr_conf_listens(conf)->first; l != NULL; l = l->next) {
        const struct wr_address *a;

        if (l->opts.type != SOCK_DGRAM)
            continue;
        a = WR_CHECK(l->object, ADDRESS);
        for (uint32_t i = 0; i < a->servers.n; i++)
            if (a->servers.at[i]->scope == scope)
                return true;
    }
    return false;
}

static bool resolve_check(struct wr_cf *cf, struct wr_check *c)
{
    const struct wr_upstream_use *use = wr_upstream_use_of(cf->conf, c->scope);

    if (gets_datagrams(cf->conf, c->scope))
        return wr_cf_error_at(cf, c->node, 0, "\"health_check\" connects by TCP, and this server "
                              "block gets datagrams (udp): check the group in a block without");
    if (use == NULL)
        return wr_cf_error_at(cf, c->node, 0, "\"health_check\" needs a \"proxy_pass\" to a group "
                              "or an address, without variables, beside it");
    take_use(cf, c, use);
    if (c->match_name.p == NULL)
        return true;
    c->conf.match = wr_match_find(wr_health_of(cf->conf), c->scope->layer, c->match_name);
    if (c->conf.match == NULL)
        wr_diag_add(cf->conf->tree, WR_LOG_EMERG, c->node, c->match_word, other_match(cf, c),
                    "match \"" WR_FMT "\" is not defined", WR_ARG(c->match_name));
    return c->conf.match != NULL;
}

bool wr_health_check(struct wr_cf *cf)
{
    struct wr_health_conf *h = wr_health_of(cf->conf);
    bool ok = true;

    for (uint32_t i = 0; i < h->checks.n; i++)
        ok = resolve_check(cf, h->checks.at[i]) && ok;
    return ok;
}
