/* cache_path: proxy_cache_path: a zone, its folder and its limits. */
#include "cache_impl.h"

#define KEYS_MIN 8192

struct wr_cache_zone *wr_cache_zone_find(const struct wr_conf *c, struct wr_str name)
{
    const struct wr_cache_state *state = wr_conf_state(c, &wr_module_http_cache);
    struct wr_cache_zone *z = state->zones;

    while (z != NULL && !wr_str_eq(z->name, name))
        z = z->next;
    return z;
}

static bool bad_param(struct wr_cf *cf, uint32_t i, const char *hint)
{
    return wr_cf_error_hint(cf, i, hint, "invalid value \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, i)));
}

static bool p_levels(struct wr_cf *cf, uint32_t i, struct wr_cache_zone *z, struct wr_str v)
{
    for (uint32_t n = 0; v.p != NULL; n++) {
        struct wr_str one = wr_str_cut(&v, ':');

        if (n == 3 || one.n != 1 || (one.p[0] != '1' && one.p[0] != '2'))
            return bad_param(cf, i, "levels: one to three digits, each 1 or 2: levels=1:2");
        z->levels[n] = (uint8_t)(one.p[0] - '0');
    }
    return true;
}

static bool p_keys_zone(struct wr_cf *cf, uint32_t i, struct wr_cache_zone *z, struct wr_str v)
{
    uint64_t size;

    z->name = wr_str_cut(&v, ':');
    if (z->name.n == 0 || v.p == NULL || !wr_parse_size(v, &size))
        return bad_param(cf, i, "write a name and a size: keys_zone=NAME:10m");
    if (size < KEYS_MIN)
        return wr_cf_error(cf, i, "zone \"" WR_FMT "\" is too small, at least 8k",
                           WR_ARG(z->name));
    z->keys_size = size;
    return true;
}

static bool p_on_off(struct wr_cf *cf, uint32_t i, struct wr_str v, bool *out)
{
    *out = wr_str_is(v, "on");
    return *out || wr_str_is(v, "off") || bad_param(cf, i, "it takes on or off");
}

static bool p_disk(struct wr_cf *cf, uint32_t i, struct wr_cache_zone *z, struct wr_str v)
{
    return p_on_off(cf, i, v, &z->disk);
}

/* Without effect: a file has no name until it is whole, and lies in the folder from the start. */
static bool p_temp(struct wr_cf *cf, uint32_t i, struct wr_cache_zone *z, struct wr_str v)
{
    bool on;

    (void)z;
    return p_on_off(cf, i, v, &on);
}

static bool p_purger(struct wr_cf *cf, uint32_t i, struct wr_cache_zone *z, struct wr_str v)
{
    return p_on_off(cf, i, v, &z->purge);
}

static bool p_inactive(struct wr_cf *cf, uint32_t i, struct wr_cache_zone *z, struct wr_str v)
{
    return wr_parse_sec(v, &z->inactive_s) || bad_param(cf, i, "it takes a time: inactive=10m");
}

static bool size_of(struct wr_cf *cf, uint32_t i, struct wr_str v, uint64_t *out)
{
    return wr_parse_size(v, out) || bad_param(cf, i, "it takes a size: 10m, 1g");
}

static bool p_max_size(struct wr_cf *cf, uint32_t i, struct wr_cache_zone *z, struct wr_str v)
{
    return size_of(cf, i, v, &z->max_size);
}

static bool p_min_free(struct wr_cf *cf, uint32_t i, struct wr_cache_zone *z, struct wr_str v)
{
    return size_of(cf, i, v, &z->min_free);
}

static bool p_memory(struct wr_cf *cf, uint32_t i, struct wr_cache_zone *z, struct wr_str v)
{
    uint64_t size;

    if (!size_of(cf, i, v, &size))
        return false;
    if (size < 1u << 20 || size > (uint64_t)1 << 40)
        return bad_param(cf, i, "memory: at least 1m, at most 1024g");
    z->memory_size = size;
    return true;
}

static const struct param {
    const char *name;
    bool (*set)(struct wr_cf *cf, uint32_t i, struct wr_cache_zone *z, struct wr_str v);
} params[] = {
    { "levels", p_levels }, { "keys_zone", p_keys_zone }, { "disk", p_disk },
    { "use_temp_path", p_temp }, { "inactive", p_inactive }, { "max_size", p_max_size },
    { "min_free", p_min_free }, { "memory", p_memory }, { "purger", p_purger },
};

/* Takes a name of three words in front: manager_, loader_ or purger_. */
static bool pace_param(struct wr_cf *cf, uint32_t i, struct wr_cache_zone *z, bool *ok)
{
    static const char *const names[] = { "manager", "loader", "purger" };
    struct wr_cache_pace *const paces[] = {
        &z->manager_pace, &z->loader_pace, &z->purger_pace
    };
    struct wr_str v = wr_cf_arg(cf, i), name = wr_str_cut(&v, '='), who = wr_str_cut(&name, '_');
    uint64_t n = 0;

    for (size_t k = 0; k < WR_COUNT(names); k++) {
        if (!wr_str_is(who, names[k]) || v.p == NULL)
            continue;
        if (wr_str_is(name, "files")) {
            *ok = (wr_str_u64(v, &n) && n > 0 && n <= INT32_MAX)
                  || bad_param(cf, i, "it takes a number, at least 1");
            paces[k]->files = (uint32_t)n;
            return true;
        }
        if (wr_str_is(name, "sleep") || wr_str_is(name, "threshold")) {
            *ok = wr_parse_msec(v, &n) || bad_param(cf, i, "it takes a time: 200ms");
            n = wr_min(n, (uint64_t)UINT32_MAX);
            *(wr_str_is(name, "sleep") ? &paces[k]->sleep_ms : &paces[k]->threshold_ms) =
                (uint32_t)n;
            return true;
        }
    }
    return false;
}

static bool take_param(struct wr_cf *cf, uint32_t i, struct wr_cache_zone *z)
{
    struct wr_str arg = wr_cf_arg(cf, i), v;
    struct wr_param_near near = wr_param_near(arg);
    bool ok = true;

    for (size_t k = 0; k < WR_COUNT(params); k++)
        if (wr_param(arg, params[k].name, &v))
            return params[k].set(cf, i, z, v);
    if (pace_param(cf, i, z, &ok))
        return ok;
    for (size_t k = 0; k < WR_COUNT(params); k++)
        wr_param_consider(cf->pool, &near, params[k].name, true);
    return near.hint != NULL
        ? wr_cf_error_hint(cf, i, near.hint, "invalid parameter \"" WR_FMT "\"", WR_ARG(arg))
        : wr_cf_error(cf, i, "invalid parameter \"" WR_FMT "\"", WR_ARG(arg));
}

static bool check_zone(struct wr_cf *cf, const struct wr_cache_zone *z)
{
    const struct wr_cache_state *state = wr_cf_state(cf, &wr_module_http_cache);

    if (z->name.n == 0)
        return wr_cf_error(cf, 0, "\"%s\" must have \"keys_zone\" parameter", cf->row->name);
    if (!z->disk && z->memory_size == 0)
        return wr_cf_error_hint(cf, 0, "write memory=64m", "disk=off needs memory=SIZE");
    for (const struct wr_cache_zone *o = state->zones; o != NULL; o = o->next) {
        if (wr_str_eq(o->name, z->name))
            return wr_cf_error(cf, 0, "duplicate zone \"" WR_FMT "\"", WR_ARG(z->name));
        if (z->disk && o->disk && strcmp(o->path, z->path) == 0)
            return wr_cf_error(cf, 1, "the folder \"%s\" belongs to the zone \"" WR_FMT "\"",
                               z->path, WR_ARG(o->name));
    }
    return true;
}

bool wr_cache_set_path(struct wr_cf *cf, void *conf)
{
    struct wr_cache_state *state = wr_cf_state(cf, &wr_module_http_cache);
    struct wr_cache_zone *z = WR_NEW(cf->pool, struct wr_cache_zone);
    struct wr_str path = wr_cf_arg(cf, 1);

    (void)conf;
    while (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    z->path = wr_cf_path(cf, path, false);
    WR_TYPED(z, CACHE_ZONE);
    z->node = cf->node;
    z->disk = true;
    z->inactive_s = 600;
    z->max_size = UINT64_MAX;
    z->manager_pace = z->loader_pace = (struct wr_cache_pace){ 100, 50, 200 };
    z->purger_pace = (struct wr_cache_pace){ 10, 50, 50 };
    for (uint32_t i = 2; i <= cf->nargs; i++)
        if (!take_param(cf, i, z))
            return false;
    if (!check_zone(cf, z))
        return false;
    z->next = state->zones;
    state->zones = z;
    return true;
}
