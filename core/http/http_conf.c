/* http_conf: http {}, its servers, and where they listen. Owns the list of servers while a
 * configuration is loaded; `check` makes the map of host names of each listening address. The rows
 * of the core directives are in http_rows.c. */
#include "http/http_impl.h"

#include <unistd.h>

static bool prepare(struct wr_cf *cf)
{
    struct wr_http_state *state = WR_NEW(cf->pool, struct wr_http_state);

    wr_speakers_init();
    state->types = wr_http_default_types(cf->pool);
    wr_cf_state(cf, &wr_module_http) = state;
    return true;
}

bool wr_http_set_http(struct wr_cf *cf, void *conf)
{
    (void)conf;
    return wr_cf_block(cf, WR_L7, WR_LV_LAYER, NULL, NULL);
}

/* ---- listen ---- */

static bool attach(struct wr_cf *cf, const struct wr_listen_line *line)
{
    struct wr_http_address *a;

    if (line->listener->object == NULL) {
        a = WR_NEW(cf->pool, struct wr_http_address);
        WR_TYPED(a, HTTP_ADDRESS);
        WR_TYPED(&a->a, ADDRESS);
        line->listener->object = a;
    }
    return wr_address_attach(cf, line, WR_CHECK(line->listener->object, ADDRESS));
}

bool wr_http_set_listen(struct wr_cf *cf, void *conf)
{
    (void)conf;
    return wr_listen_conf(cf, &wr_layer_http, 80, attach);
}

/* Makes the `listen` of a server that has none; errors name the line of the server. */
static bool listen_default(struct wr_cf *cf, struct wr_scope *scope)
{
    struct wr_cf sub = *cf;
    struct wr_node *n = WR_NEW(cf->pool, struct wr_node);

    n->words = WR_NEW_ARRAY(cf->pool, struct wr_word, 2);
    n->words[0] = n->words[1] = cf->node->words[0];
    n->words[0].text = WR_STR("listen");
    n->words[1].text = geteuid() == 0 ? WR_STR("*:80") : WR_STR("*:8000");
    n->nwords = 2;
    n->file = cf->node->file;
    n->parent = cf->node->parent;
    sub.node = n;
    sub.nargs = 1;
    sub.scope = scope;
    return wr_listen_conf(&sub, &wr_layer_http, 80, attach);
}

/* ---- server ---- */

bool wr_http_set_server(struct wr_cf *cf, void *conf)
{
    struct wr_http_state *state = wr_cf_state(cf, &wr_module_http);
    struct wr_http_server *sv = WR_NEW(cf->pool, struct wr_http_server);
    struct wr_scope *scope;
    bool ok;

    (void)conf;
    WR_TYPED(sv, HTTP_SERVER);
    WR_TYPED(&sv->v, VIRTUAL);
    sv->v.node = cf->node;
    *wr_vec_push(cf->pool, &state->servers) = sv;
    ok = wr_cf_block(cf, 0, WR_LV_SERVER, sv, &scope);
    sv->v.scope = scope;
    if (sv->v.names.n == 0)
        wr_virtual_unnamed(cf, &sv->v);
    if (ok && !sv->v.has_listen)
        ok = listen_default(cf, scope);
    return ok;
}

/* ---- inheritance ---- */

static bool finish(struct wr_cf *cf, struct wr_scope *scope, void *conf)
{
    const struct wr_http_state *state = wr_cf_state(cf, &wr_module_http);
    struct wr_http_conf *c = conf;

    (void)scope;
    if (c->types == NULL)
        c->types = state->types;
    return true;
}

/* ---- after loading ---- */

static void set_limits(struct wr_http_server *sv)
{
    const struct wr_http_conf *c = wr_scope_conf(sv->v.scope, &wr_module_http);

    sv->limits = (struct wr_head_limits){
        .line = c->large_buffer,
        .first = c->large_buffer,
        .total = c->large_buffer * c->large_buffers,
        .fields = c->max_headers,
        .ignore_invalid = c->ignore_invalid,
        .underscores = c->underscores,
    };
}

/* A head is read before its server is known: read as much as any of the servers allows. */
static void set_most(struct wr_http_address *a)
{
    a->most = wr_http_server_of(a->a.default_server)->limits;
    for (uint32_t i = 0; i < a->a.servers.n; i++) {
        const struct wr_head_limits *l = &wr_http_server_of(a->a.servers.at[i])->limits;

        a->most.line = wr_max(a->most.line, l->line);
        a->most.total = wr_max(a->most.total, l->total);
    }
}

static bool check(struct wr_cf *cf)
{
    struct wr_http_state *state = wr_cf_state(cf, &wr_module_http);
    bool ok = true;

    for (uint32_t i = 0; i < state->servers.n; i++)
        set_limits(state->servers.at[i]);
    for (struct wr_listener *l = wr_conf_listens(cf->conf)->first; l != NULL; l = l->next) {
        struct wr_http_address *a;

        if (l->layer != &wr_layer_http)
            continue;
        a = WR_CHECK(l->object, HTTP_ADDRESS);
        ok = wr_address_finish(cf, l, &a->a) && ok;
        set_most(a);
        a->alpn = wr_speakers_alpn(cf->pool, l->speaks);
    }
    return ok;
}

struct wr_module wr_module_http = {
    .name = "http",
    .words = "http",
    .layers = WR_L7,
    .conf_size = sizeof(struct wr_http_conf),
    .directives = wr_http_rows,
    .phases = (const struct wr_phase_hook[]){
        { WR_PH_ACCEPTED, WR_L7, wr_http_check_client, 10 },
        { 0 },
    },
    .prepare = prepare,
    .finish = finish,
    .check = check,
};
