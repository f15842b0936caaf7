/* limit_conn_conf: limit_conn_zone, limit_conn and their companions; the zones of a configuration,
 * made when all of it is loaded, and what the keeper does for them. The master places the zones and
 * reads nothing in them. */
#include "limit_conn_impl.h"

#include <errno.h>
#include <unistd.h>

#define LAYOUT 1
#define ZONE_LEAST 32768
#define LIMIT_MOST 65535

static struct wr_limit_zone *find_zone(struct wr_cf *cf, struct wr_str name)
{
    struct wr_limit_state *state = wr_cf_state(cf, &wr_module_limit_conn);
    struct wr_limit_zone *z = state->zones;

    while (z != NULL && (z->layer != cf->scope->layer || !wr_str_eq(z->name, name)))
        z = z->next;
    if (z != NULL)
        return z;
    z = WR_NEW(cf->pool, struct wr_limit_zone);
    z->name = wr_pool_str(cf->pool, name);
    z->layer = cf->scope->layer;
    z->node = cf->node;
    z->next = state->zones;
    state->zones = z;
    return z;
}

/* "zone=NAME:SIZE" */
static bool read_zone(struct wr_cf *cf, struct wr_str *name, uint64_t *size)
{
    struct wr_str arg = wr_cf_arg(cf, 2), text;

    if (!wr_param(arg, "zone", &text))
        return wr_cf_error(cf, 2, "invalid parameter \"" WR_FMT "\"", WR_ARG(arg));
    *name = wr_str_cut(&text, ':');
    if (name->n == 0 || text.p == NULL || !wr_parse_size(text, size))
        return wr_cf_error_hint(cf, 2, "write zone=NAME:SIZE, for example zone=addr:10m",
                                "invalid zone size \"" WR_FMT "\"", WR_ARG(arg));
    if (*size < ZONE_LEAST)
        return wr_cf_error(cf, 2, "zone \"" WR_FMT "\" is too small", WR_ARG(arg));
    return true;
}

static bool set_zone(struct wr_cf *cf, void *conf)
{
    struct wr_limit_zone *z;
    struct wr_str name;
    uint64_t size;

    (void)conf;
    if (!read_zone(cf, &name, &size))
        return false;
    z = find_zone(cf, name);
    if (z->key != NULL)
        return wr_cf_error(cf, 2, "limit_conn_zone \"" WR_FMT "\" is already bound to key \""
                           WR_FMT "\"", WR_ARG(name), WR_ARG(z->node->words[1].text));
    z->key = wr_template_new(cf, 1, wr_cf_arg(cf, 1));
    z->size = (size_t)size;
    z->node = cf->node;
    return z->key != NULL;
}

static bool set_limit(struct wr_cf *cf, void *conf)
{
    struct wr_limit_conf *c = conf;
    struct wr_str number = wr_cf_arg(cf, 2);
    struct wr_conn_limit limit;
    uint64_t most;

    if (!wr_str_u64(number, &most) || most == 0)
        return wr_cf_error(cf, 2, "invalid number of connections \"" WR_FMT "\"", WR_ARG(number));
    if (most > LIMIT_MOST)
        return wr_cf_error(cf, 2, "connection limit must be less 65536");
    limit = (struct wr_conn_limit){ find_zone(cf, wr_cf_arg(cf, 1)), (uint32_t)most };
    if (cf->first)
        memset(&c->limits, 0, sizeof(c->limits));
    for (uint32_t i = 0; i < c->limits.n; i++)
        if (c->limits.at[i].zone == limit.zone)
            return wr_cf_error(cf, 1, "is duplicate: zone \"" WR_FMT "\" has a limit here already",
                               WR_ARG(limit.zone->name));
    *wr_vec_push(cf->pool, &c->limits) = limit;
    return true;
}

static const struct wr_enum levels[] = {
    { "info", WR_LOG_INFO }, { "notice", WR_LOG_NOTICE }, { "warn", WR_LOG_WARN },
    { "error", WR_LOG_ERROR }, { NULL, 0 },
};
static const struct wr_bounds statuses = { 400, 599 };

const struct wr_directive wr_limit_conn_directives[] = {
    WR_CUSTOM("limit_conn_zone", WR_ANY | WR_LV_LAYER | WR_MULTI, 2, 2, set_zone, NULL,
              "a key, and zone=NAME:SIZE, the shared memory in which its connections are counted"),
    WR_CUSTOM("limit_conn", WR_ANY | WR_IN_LOCATIONS | WR_MULTI, 2, 2, set_limit, NULL,
              "a zone, and the most connections (layer 7: requests) at a time of one key"),
    WR_ENUM("limit_conn_log_level", WR_ANY | WR_IN_LOCATIONS, struct wr_limit_conf, log_level,
            levels, "error", "level of the log lines of limit_conn: info, notice, warn, error"),
    { .name = "limit_conn_status", .where = WR_L7 | WR_IN_LOCATIONS, .min = 1, .max = 1,
      .set = wr_set_num, .offset = offsetof(struct wr_limit_conf, status), .data = &statuses,
      .def = "503", .help = "status of the requests that limit_conn refuses" },
    WR_FLAG("limit_conn_dry_run", WR_ANY | WR_IN_LOCATIONS, struct wr_limit_conf, dry_run, "off",
            "limit_conn only logs and sets $limit_conn_status, and refuses nothing"),
    { 0 },
};

bool wr_limit_conn_prepare(struct wr_cf *cf)
{
    wr_cf_state(cf, &wr_module_limit_conn) = WR_NEW(cf->pool, struct wr_limit_state);
    return true;
}

void wr_limit_conn_missing(struct wr_cf *cf)
{
    const struct wr_limit_state *state = wr_cf_state(cf, &wr_module_limit_conn);

    for (const struct wr_limit_zone *z = state->zones; z != NULL; z = z->next)
        if (z->key == NULL)
            (void)wr_cf_error_at(cf, z->node, 1, "unknown zone \"" WR_FMT "\": no limit_conn_zone"
                                 " of this layer defines it", WR_ARG(z->name));
}

static bool open_zone(struct wr_cf *cf, struct wr_limit_zone *z)
{
    const char *name = wr_pool_fmt(cf->pool, "limit_conn/%s/" WR_FMT,
                                   z->layer == WR_L4 ? "l4" : "l7", WR_ARG(z->name)).p;
    const struct wr_shm *shm = wr_shm_get(cf->conf->shm, cf->conf->old_shm, name, LAYOUT, z->size,
                                          z->size, NULL);
    struct wr_zone zone;

    if (shm == NULL)
        return wr_cf_error_at(cf, z->node, 0, "shared memory for the zone \"" WR_FMT "\" could"
                              " not be made (%d: %s)", WR_ARG(z->name), errno, strerror(errno));
    zone = wr_zone_of(shm);
    wr_conn_counts_place(&z->counts, &zone, z->size, name);
    return true;
}

bool wr_limit_conn_check(struct wr_cf *cf)
{
    const struct wr_limit_state *state = wr_cf_state(cf, &wr_module_limit_conn);
    bool ok = true;

    for (struct wr_limit_zone *z = state->zones; z != NULL; z = z->next)
        ok = open_zone(cf, z) && ok;
    return ok;
}

bool wr_limit_conn_worker(struct wr_conf *conf, struct wr_loop *loop)
{
    const struct wr_limit_state *state = wr_conf_state(conf, &wr_module_limit_conn);

    (void)loop;
    for (struct wr_limit_zone *z = state->zones; z != NULL; z = z->next)
        wr_conn_counts_begin(&z->counts);
    return true;
}

/* ---- the keeper ---- */

static void clear_process(void *arg, uint32_t process)
{
    struct wr_limit_state *state = arg;

    for (struct wr_limit_zone *z = state->zones; z != NULL; z = z->next)
        wr_conn_counts_clear(&z->counts, process);
}

static bool sweep(struct wr_conf *conf)
{
    struct wr_limit_state *state = wr_conf_state(conf, &wr_module_limit_conn);

    return state->zones != NULL && wr_ledger_sweep(clear_process, state);
}

const struct wr_keeper_hooks wr_limit_conn_keeper = { .sweep = sweep };
