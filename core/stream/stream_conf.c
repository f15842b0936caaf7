/* stream_conf: stream {}, server {} and listen of layer 4. Owns the list of stream servers of a
 * configuration, to check after loading that each has a `listen` and a content directive. */
#include "stream/stream.h"

struct server_list {
    WR_VEC(struct wr_stream_server *) all;
};

static bool prepare(struct wr_cf *cf)
{
    wr_cf_state(cf, &wr_module_stream) = WR_NEW(cf->pool, struct server_list);
    return true;
}

static bool set_stream(struct wr_cf *cf, void *conf)
{
    (void)conf;
    return wr_cf_block(cf, WR_L4, WR_LV_LAYER, NULL, NULL);
}

static bool set_server(struct wr_cf *cf, void *conf)
{
    struct server_list *list = wr_cf_state(cf, &wr_module_stream);
    struct wr_stream_server *sv = WR_NEW(cf->pool, struct wr_stream_server);
    struct wr_scope *scope;
    bool ok;

    (void)conf;
    WR_TYPED(sv, STREAM_SERVER);
    WR_TYPED(&sv->v, VIRTUAL);
    sv->v.node = cf->node;
    *wr_vec_push(cf->pool, &list->all) = sv;
    ok = wr_cf_block(cf, 0, WR_LV_SERVER, sv, &scope);
    sv->v.scope = scope;
    if (sv->v.names.n == 0)
        wr_virtual_unnamed(cf, &sv->v);
    return ok;
}

static bool attach(struct wr_cf *cf, const struct wr_listen_line *line)
{
    struct wr_stream_server *sv = WR_CHECK(cf->scope->object, STREAM_SERVER);
    struct wr_address *a;

    if (line->listener->opts.type == SOCK_DGRAM && sv->datagrams == NULL)
        sv->datagrams = cf->node;
    if (line->listener->object == NULL) {
        a = WR_NEW(cf->pool, struct wr_address);
        WR_TYPED(a, ADDRESS);
        line->listener->object = a;
    }
    return wr_address_attach(cf, line, WR_CHECK(line->listener->object, ADDRESS));
}

static bool set_listen(struct wr_cf *cf, void *conf)
{
    (void)conf;
    return wr_listen_conf(cf, &wr_layer_stream, 0, attach);
}

bool wr_stream_content(struct wr_cf *cf)
{
    struct wr_stream_server *sv = WR_CHECK(cf->scope->object, STREAM_SERVER);

    if (sv->content != NULL)
        return wr_cf_error(cf, 0, "is duplicate: the server has \"" WR_FMT "\" already",
                           WR_ARG(sv->content->words[0].text));
    sv->content = cf->node;
    return true;
}

static bool check(struct wr_cf *cf)
{
    const struct server_list *list = wr_cf_state(cf, &wr_module_stream);
    bool ok = true, datagrams = false;

    for (uint32_t i = 0; i < list->all.n; i++) {
        const struct wr_stream_server *sv = list->all.at[i];

        if (!sv->v.has_listen)
            ok = wr_cf_error_at(cf, sv->v.node, 0, "no \"listen\" is defined for server");
        /* A warning only, as in newer nginx: a server that refuses handshakes needs no content
         * directive. */
        if (sv->content == NULL)
            wr_diag_add(cf->conf->tree, WR_LOG_WARN, sv->v.node, 0, NULL,
                        "no handler for server: its sessions are closed");
    }
    for (const struct wr_listener *l = wr_conf_listens(cf->conf)->first; l != NULL; l = l->next) {
        if (l->layer == &wr_layer_stream)
            ok = wr_address_finish(cf, l, WR_CHECK(l->object, ADDRESS)) && ok;
        datagrams = datagrams || l->opts.type == SOCK_DGRAM;
    }
    return ok && (!datagrams || wr_mail_open(cf, wr_conf_listens(cf->conf)->first));
}

static const struct wr_bounds hash_size = { 1, UINT32_MAX };

static const struct wr_directive directives[] = {
    WR_CUSTOM("stream", WR_LV_MAIN | WR_BLOCK, 0, 0, set_stream, NULL,
              "layer 4: TCP sessions, proxied by address and port"),
    WR_CUSTOM("server", WR_L4 | WR_LV_LAYER | WR_BLOCK | WR_MULTI, 0, 0, set_server, NULL,
              "one service: where it listens and what it does"),
    WR_CUSTOM("listen", WR_L4 | WR_LV_SERVER | WR_MULTI, 1, WR_ARGS_ANY, set_listen, NULL,
              "address and port (or unix:path) on which the server accepts"),
    WR_CUSTOM("server_name", WR_L4 | WR_LV_SERVER | WR_MULTI, 1, WR_ARGS_ANY, wr_set_server_name,
              NULL, "TLS server names this server is for: names, *.wildcards, ~regexes"),
    WR_FLAG("tcp_nodelay", WR_L4 | WR_IN_LOCATIONS, struct wr_stream_conf, tcp_nodelay, "on",
            "TCP_NODELAY on both sides"),
    WR_SIZE("preread_buffer_size", WR_L4 | WR_IN_LOCATIONS, struct wr_stream_conf, preread_size,
            "16k", "most bytes read before a session is routed"),
    WR_MSEC("proxy_protocol_timeout", WR_L4 | WR_IN_LOCATIONS, struct wr_stream_conf,
            proxy_protocol_timeout_ms, "30s",
            "longest wait for the PROXY header of a client of `listen ... proxy_protocol`"),
    WR_MSEC("preread_timeout", WR_L4 | WR_IN_LOCATIONS, struct wr_stream_conf, preread_timeout_ms,
            "30s", "longest wait for the bytes read before a session is routed"),
    { .name = "server_names_hash_max_size", .where = WR_L4 | WR_LV_LAYER, .min = 1, .max = 1,
      .set = wr_set_ignored_num, .data = &hash_size,
      .help = "checked only: the hash of names grows by itself" },
    { .name = "server_names_hash_bucket_size", .where = WR_L4 | WR_LV_LAYER, .min = 1, .max = 1,
      .set = wr_set_ignored_num, .data = &hash_size,
      .help = "checked only: the hash of names has no buckets" },
    { .name = "variables_hash_max_size", .where = WR_L4 | WR_LV_LAYER, .min = 1, .max = 1,
      .set = wr_set_ignored_num, .data = &hash_size,
      .help = "checked only: variables are numbered while loading, there is no hash to size" },
    { .name = "variables_hash_bucket_size", .where = WR_L4 | WR_LV_LAYER, .min = 1, .max = 1,
      .set = wr_set_ignored_num, .data = &hash_size,
      .help = "checked only: variables are numbered while loading, there is no hash to size" },
    { 0 },
};

struct wr_module wr_module_stream = {
    .name = "stream",
    .words = "stream",
    .layers = WR_L4,
    .conf_size = sizeof(struct wr_stream_conf),
    .ctx_size = sizeof(struct wr_stream_ctx),
    .directives = directives,
    .prepare = prepare,
    .check = check,
    .phases = (const struct wr_phase_hook[]){
        { .phase = WR_PH_PRECONTENT, .layers = WR_L4, .run = wr_stream_preread_over, .rank = -1 },
        { 0 },
    },
};
