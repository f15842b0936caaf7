/* http_cache: the module of the response cache: its rows, and the hook by which it joins the
 * engine of the proxy modules. */
#include "cache_impl.h"
#include "cache_status.h"

#include <errno.h>

#define THREADS 32             /* of a worker, for files */
#define JOBS 65536             /* that wait for one of them */
#define STALE_HELP "failures, and statuses of a server, for which a stale reply is sent instead"

#define PATH_WORDS \
    "FOLDER keys_zone=NAME:SIZE [levels=N:N:N] [inactive=10m] [max_size=SIZE] [min_free=SIZE] " \
    "[memory=SIZE] [disk=on|off] [use_temp_path=on|off] [purger=on|off] [manager_files=100] " \
    "[manager_threshold=200ms] [manager_sleep=50ms] [loader_files=100] [loader_threshold=200ms] " \
    "[loader_sleep=50ms] [purger_files=10] [purger_threshold=50ms] [purger_sleep=50ms]"

/* A row with a field and words of its own. */
#define WORDS(nm, wh, mn, mx, setter, wd, type, field, df, hl) \
    { .name = nm, .where = WR_L7 | WR_IN_LOCATIONS | (wh), .min = (mn), .max = (mx), \
      .set = (setter), .offset = offsetof(type, field), .words = (wd), .def = (df), .help = (hl) }

/* The rows of a family, written once for all of them. */
#define WR_CACHE_ROWS(prefix, type, field) \
    WORDS(prefix "_cache", 0, 1, 1, wr_cache_set_zone, "ZONE | off", type, field, "off", \
          "keeps replies in this zone of " prefix "_cache_path (keys_zone=); variables are " \
          "possible"), \
    WR_TEMPLATE(prefix "_cache_key", WR_L7 | WR_IN_LOCATIONS, type, field.key, NULL, \
                "what names a stored reply; default: the URL that the server is asked for"), \
    WORDS(prefix "_cache_valid", WR_MULTI, 1, WR_ARGS_ANY, wr_cache_set_valid, \
          "[STATUS ... | any] TIME", type, field, NULL, \
          "how long replies of these statuses are fresh if the server does not say it; without " \
          "STATUS those of 200, 301 and 302"), \
    WORDS(prefix "_cache_methods", 0, 1, WR_ARGS_ANY, wr_cache_set_methods, \
          "GET | HEAD | POST ...", type, field, "GET HEAD", \
          "methods whose replies are stored; GET and HEAD always are"), \
    WR_ROW(prefix "_cache_min_uses", WR_L7 | WR_IN_LOCATIONS, 1, 1, wr_set_num, type, \
           field.min_uses, (&(const struct wr_bounds){ 0, INT32_MAX }), "1", \
           "requests after which a reply is stored"), \
    WR_FLAG(prefix "_cache_lock", WR_L7 | WR_IN_LOCATIONS, type, field.lock, "off", \
            "one request at a time fills a missing entry, the others wait for it"), \
    WR_MSEC(prefix "_cache_lock_age", WR_L7 | WR_IN_LOCATIONS, type, field.lock_age_ms, "5s", \
            "after this time one more request may go to the server"), \
    WR_MSEC(prefix "_cache_lock_timeout", WR_L7 | WR_IN_LOCATIONS, type, field.lock_timeout_ms, \
            "5s", "longest wait for another request; after it nothing is stored"), \
    WR_ROW(prefix "_cache_use_stale", WR_L7 | WR_IN_LOCATIONS | WR_MULTI, 1, WR_ARGS_ANY, \
           wr_set_mask, type, field.use_stale, wr_stale_words, "off", STALE_HELP), \
    WR_FLAG(prefix "_cache_background_update", WR_L7 | WR_IN_LOCATIONS, type, field.background, \
            "off", "a stale reply is sent at once and refreshed behind it"), \
    WR_FLAG(prefix "_cache_revalidate", WR_L7 | WR_IN_LOCATIONS, type, field.revalidate, "off", \
            "asks the server whether a stale reply has changed (If-None-Match, " \
            "If-Modified-Since)"), \
    WR_FLAG(prefix "_cache_convert_head", WR_L7 | WR_IN_LOCATIONS, type, field.convert_head, "on", \
            "HEAD is sent on as GET, so that the reply can be stored"), \
    WR_ROW(prefix "_cache_max_range_offset", WR_L7 | WR_IN_LOCATIONS, 1, 1, wr_cache_set_range, \
           type, field, NULL, NULL, \
           "a range behind this byte is asked of the server and not stored"), \
    WR_ROW(prefix "_cache_bypass", WR_L7 | WR_IN_LOCATIONS | WR_MULTI, 1, WR_ARGS_ANY, \
           wr_cache_set_tests, type, field.bypass, NULL, NULL, \
           "texts; one that is neither empty nor 0: the server is asked in any case"), \
    WR_ROW(prefix "_no_cache", WR_L7 | WR_IN_LOCATIONS | WR_MULTI, 1, WR_ARGS_ANY, \
           wr_cache_set_tests, type, field.no_cache, NULL, NULL, \
           "texts; one that is neither empty nor 0: the reply is not stored"), \
    WR_FLAG(prefix "_cache_rfc9111", WR_L7 | WR_IN_LOCATIONS, type, field.rfc9111, "off", \
            "follows RFC 9111 where nginx has rules of its own"), \
    WR_TEMPLATE(prefix "_cache_tag", WR_L7 | WR_IN_LOCATIONS, type, field.tag, NULL, \
                "tags of a reply, by which it can be purged: $upstream_http_cache_tag"), \
    WR_ROW(prefix "_cache_purge", WR_L7 | WR_IN_LOCATIONS | WR_MULTI, 1, WR_ARGS_ANY, \
           wr_cache_set_purge, type, field.purge, NULL, NULL, \
           "texts; one that is neither empty nor 0: the request purges what is stored"), \
    WR_WORDS(prefix "_cache_path", WR_L7 | WR_LV_LAYER | WR_MULTI, 2, WR_ARGS_ANY, \
             wr_cache_set_path, PATH_WORDS, NULL, \
             "a folder for stored replies; keys_zone: the zone's name, and memory for 8,000 keys " \
             "in 1m; inactive: what nobody asks for goes after this time; memory: replies in " \
             "memory that all workers share; disk=off: in memory only")

#define CONF struct wr_cache_conf
static const struct wr_directive directives[] = {
    WR_CACHE_ROWS("proxy", CONF, proxy),
    WR_FLAG("cache_status", WR_L7 | WR_IN_LOCATIONS, CONF, status, "off",
            "adds Cache-Status (RFC 9211): what the cache did"),
    { 0 },
};

static bool has_work(const void *conf)
{
    const struct wr_cache_conf *c = conf;

    return c->proxy.zone_name.p != NULL; /* and proxy_cache_purge purges that zone */
}

static bool prepare(struct wr_cf *cf)
{
    wr_cf_state(cf, &wr_module_http_cache) = WR_NEW(cf->pool, struct wr_cache_state);
    return true;
}

static bool finish_rows(struct wr_cf *cf, struct wr_cache_rows *r)
{
    if (r->zone_name.p == NULL || r->zone_tpl != NULL)
        return true;
    r->zone = wr_cache_zone_find(cf->conf, r->zone_name);
    return r->zone != NULL || wr_cache_zone_unknown(cf, r);
}

static bool finish(struct wr_cf *cf, struct wr_scope *scope, void *conf)
{
    struct wr_cache_conf *c = conf;

    (void)scope;
    return finish_rows(cf, &c->proxy);
}

/* ---- Cache-Status ---- */

static enum wr_forwarded why_forwarded(const struct wr_exchange *x, const struct wr_cache_ctx *c)
{
    switch (c->status) {
    case WR_CACHE_NONE: /* with only-if-cached nobody is asked */
        return x->tries == NULL || x->tries->all.n == 0 ? WR_FWD_NOWHERE : WR_FWD_METHOD;
    case WR_CACHE_MISS:
        return c->varies != NULL ? WR_FWD_VARY_MISS : WR_FWD_URI_MISS;
    case WR_CACHE_BYPASS:
        return WR_FWD_BYPASS;
    case WR_CACHE_EXPIRED:
    case WR_CACHE_REVALIDATED:
        return c->refused ? WR_FWD_REQUEST : WR_FWD_STALE;
    default: /* a stored reply was sent, and nobody asked before */
        return c->asked_ms != 0 ? WR_FWD_STALE : WR_FWD_NONE;
    }
}

static enum wr_filter_result add_status(struct wr_exchange *x)
{
    const struct wr_cache_conf *conf = wr_conf_of(x, &wr_module_http_cache);
    const struct wr_cache_ctx *c = wr_cache_ctx_of(x);
    struct wr_http *h = wr_http_of(x);
    struct wr_text t = wr_text_grow(x->pool, 64, 8192);
    struct wr_cache_status s = { .cache = WR_STR("weir"), .fwd = why_forwarded(x, c) };

    if (!conf->status || h->proxy == NULL)
        return WR_FILTER_OK;
    s.stored = c->fill != NULL || c->kept;
    s.detail = c->why_not;
    s.collapsed = c->wait_until_ms != 0;
    s.has_ttl = c->found;
    if (c->found)
        s.ttl = wr_freshness_ttl(&c->object.facts.fresh, wr_clock.wall_ms);
    if (s.fwd != WR_FWD_NONE && x->tries != NULL && x->tries->all.n > 0
        && wr_try_now(x->tries)->status != h->res.status)
        s.fwd_status = wr_try_now(x->tries)->status;
    if (wr_cache_status_write(&t, &s))
        (void)wr_fields_add(x->pool, &h->res.fields, WR_STR("Cache-Status"), wr_text_view(&t));
    return WR_FILTER_OK;
}

/* ---- life ---- */

struct wr_threads *wr_cache_threads;

/* By path: a folder keeps its owner when a reload gives its zone another name or size. */
static bool open_owner(struct wr_conf *conf, struct wr_cache_zone *z)
{
    const char *name = wr_pool_fmt(conf->pool, "cache-owner/%s", z->path).p;
    struct wr_shm *shm = wr_shm_get(conf->shm, conf->old_shm, name, 1, 0, 64, NULL);

    if (shm != NULL)
        z->owner = shm->p;
    return shm != NULL;
}

/* The names in the zone's folder that lead to temporary folders of the configuration. */
static const char *const *folders_inside(const struct wr_cf *cf, const struct wr_cache_zone *z)
{
    WR_VEC(const char *) list = { 0 };
    size_t n = strlen(z->path);

    for (uint32_t i = 0; i < cf->conf->folders.n; i++) {
        struct wr_str at = wr_str_c(cf->conf->folders.at[i]);

        if (!wr_str_starts(at, wr_str_of(z->path, n)) || at.n <= n || at.p[n] != '/')
            continue;
        at = wr_str_skip(at, n + 1);
        *wr_vec_push(cf->pool, &list) = wr_pool_cstr(cf->pool, wr_str_cut(&at, '/'));
    }
    *wr_vec_push(cf->pool, &list) = NULL;
    return list.at;
}

static bool open_zone(struct wr_cf *cf, struct wr_cache_zone *z)
{
    const char *why;

    if (!wr_cache_store_open(&z->store, cf->conf, z->name, z->keys_size, z->memory_size)
        || (z->disk && !open_owner(cf->conf, z)))
        return wr_cf_error_at(cf, z->node, 0, "shared memory for the zone \"" WR_FMT "\" could not"
                              " be made (%d: %s)", WR_ARG(z->name), errno, strerror(errno));
    wr_cache_folder_init(&z->folder, z->path, z->levels);
    if (!z->disk)
        return true;
    z->folder.inside = folders_inside(cf, z);
    why = wr_cache_folder_check(cf->pool, z->path, z->folder.inside);
    if (why != NULL)
        return wr_cf_error_at(cf, z->node, 1, "%s", why);
    wr_cf_temp_folder(cf, z->path);
    return true;
}

static bool check(struct wr_cf *cf)
{
    const struct wr_cache_state *state = wr_cf_state(cf, &wr_module_http_cache);

    for (struct wr_cache_zone *z = state->zones; z != NULL; z = z->next)
        if (!open_zone(cf, z))
            return false;
    return true;
}

/* The index makes room, or has found a broken entry. */
static void entry_dropped(void *arg, const struct wr_cache_view *v)
{
    struct wr_cache_zone *z = WR_CHECK(arg, CACHE_ZONE);

    wr_cache_remove_later(&z->folder, wr_cache_threads, &v->name, v->created_us);
}

static bool worker_init(struct wr_conf *conf, struct wr_loop *loop)
{
    const struct wr_cache_state *state = wr_conf_state(conf, &wr_module_http_cache);

    for (struct wr_cache_zone *z = state->zones; z != NULL; z = z->next) {
        if (!z->disk)
            continue;
        if (atomic_load(z->store.loaded) == 0)
            (void)wr_cache_purges_read(z);
        z->store.index.dropped = entry_dropped;
        z->store.index.dropped_arg = z;
        if (wr_cache_threads == NULL)
            wr_cache_threads = wr_threads_new(loop, WR_STR("cache"), THREADS, JOBS);
    }
    return true;
}

static void worker_exit(struct wr_conf *conf)
{
    const struct wr_cache_state *state = wr_conf_state(conf, &wr_module_http_cache);

    wr_cache_keeps_end();
    for (struct wr_cache_zone *z = state->zones; z != NULL; z = z->next) {
        wr_cache_folder_close(&z->folder);
        wr_cache_store_end(&z->store);
    }
}

static void worker_rung(uint32_t bits)
{
    if ((bits & WR_BELL_CACHE) != 0)
        wr_cache_waits_called();
}

static const struct wr_proxy_hook hook = {
    .start = wr_cache_start,
    .request = wr_cache_request,
    .head = wr_cache_head,
    .intercept = wr_cache_intercept,
    .fail = wr_cache_fail,
    .after = wr_cache_after,
};

struct wr_module wr_module_http_cache = {
    .name = "http_cache",
    .layers = WR_L7,
    .conf_size = sizeof(struct wr_cache_conf),
    .ctx_size = sizeof(struct wr_cache_ctx),
    .directives = directives,
    .variables = wr_cache_vars,
    .has_work = has_work,
    .prepare = prepare,
    .finish = finish,
    .check = check,
    .worker_init = worker_init,
    .worker_exit = worker_exit,
    .worker_rung = worker_rung,
    .keeper = &wr_cache_keeper,
    .proxy_hook = &hook,
    .filters = (const struct wr_filter[]){ { WR_FR_HEADERS, add_status }, { 0 } },
};
