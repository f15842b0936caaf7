/* cache_path: proxy_cache_path: a zone, its folder and its limits. */
#include "cache_impl.h"

#include <unistd.h>

#define KEYS_MIN 8192

struct wr_cache_zone *wr_cache_zone_find(const struct wr_conf *c, struct wr_str name)
{
    const struct wr_cache_state *state = wr_conf_state(c, &wr_module_http_cache);
    struct wr_cache_zone *z = state->zones;

    while (z != NULL && !wr_str_eq(z->name, name))
        z = z->next;
    return z;
}

bool wr_cache_zone_unknown(struct wr_cf *cf, const struct wr_cache_rows *r)
{
    const struct wr_cache_state *state = wr_cf_state(cf, &wr_module_http_cache);
    const char *hint = NULL;

    for (const struct wr_cache_zone *z = state->zones; z != NULL; z = z->next)
        if (wr_str_distance(z->name, r->zone_name, 2) <= 2 || state->zones->next == NULL)
            hint = wr_pool_fmt(cf->pool, "did you mean \"" WR_FMT "\"?", WR_ARG(z->name)).p;
    if (hint == NULL)
        hint = state->zones == NULL
             ? "there is no zone: write proxy_cache_path FOLDER keys_zone=NAME:10m; in http {}"
             : "write the name of a keys_zone=NAME:SIZE of proxy_cache_path";
    wr_diag_add(cf->conf->tree, WR_LOG_EMERG, r->node, 1, hint,
                "\"proxy_cache\" zone \"" WR_FMT "\" is unknown", WR_ARG(r->zone_name));
    return false;
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
        return wr_cf_error_hint(cf, i, "1m has room for 8,000 keys: keys_zone=NAME:10m",
                                "zone \"" WR_FMT "\" is too small, at least 8k",
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

static const char *const paces[] = { "manager", "loader", "purger" };

/* Takes a name of three words in front: manager_, loader_ or purger_. */
static bool pace_param(struct wr_cf *cf, uint32_t i, struct wr_cache_zone *z, bool *ok)
{
    struct wr_cache_pace *const of[] = { &z->manager_pace, &z->loader_pace, &z->purger_pace };
    struct wr_str v = wr_cf_arg(cf, i), name = wr_str_cut(&v, '='), who = wr_str_cut(&name, '_');
    uint64_t n = 0;

    for (size_t k = 0; k < WR_COUNT(paces); k++) {
        if (!wr_str_is(who, paces[k]) || v.p == NULL)
            continue;
        if (wr_str_is(name, "files")) {
            *ok = (wr_str_u64(v, &n) && n > 0 && n <= INT32_MAX)
                  || bad_param(cf, i, "it takes a number, at least 1");
            of[k]->files = (uint32_t)n;
            return true;
        }
        if (wr_str_is(name, "sleep") || wr_str_is(name, "threshold")) {
            *ok = wr_parse_msec(v, &n) || bad_param(cf, i, "it takes a time: 200ms");
            n = wr_min(n, (uint64_t)UINT32_MAX);
            *(wr_str_is(name, "sleep") ? &of[k]->sleep_ms : &of[k]->threshold_ms) = (uint32_t)n;
            return true;
        }
    }
    return false;
}

static bool unknown_param(struct wr_cf *cf, uint32_t i)
{
    static const char *const ends[] = { "files", "sleep", "threshold" };
    struct wr_str arg = wr_cf_arg(cf, i);
    struct wr_param_near near = wr_param_near(arg);

    for (size_t k = 0; k < WR_COUNT(params); k++)
        wr_param_consider(cf->pool, &near, params[k].name, true);
    for (size_t k = 0; k < WR_COUNT(paces) * WR_COUNT(ends); k++)
        wr_param_consider(cf->pool, &near,
                          wr_pool_fmt(cf->pool, "%s_%s", paces[k / WR_COUNT(ends)],
                                      ends[k % WR_COUNT(ends)]).p, true);
    if (near.hint == NULL && wr_str_starts(arg, WR_STR("zone=")))
        near.hint = "did you mean \"keys_zone=\"?";
    if (near.hint == NULL)
        near.hint = wr_pool_fmt(cf->pool, "weir --help %s shows the parameters", cf->row->name).p;
    return wr_cf_error_hint(cf, i, near.hint, "invalid parameter \"" WR_FMT "\"", WR_ARG(arg));
}

static bool take_param(struct wr_cf *cf, uint32_t i, struct wr_cache_zone *z)
{
    struct wr_str v;
    bool ok = true;

    for (size_t k = 0; k < WR_COUNT(params); k++)
        if (wr_param(wr_cf_arg(cf, i), params[k].name, &v))
            return params[k].set(cf, i, z, v);
    return pace_param(cf, i, z, &ok) ? ok : unknown_param(cf, i);
}

/* The last word that is this parameter; 0: none is. */
static uint32_t word_of(const struct wr_cf *cf, const char *name)
{
    uint32_t i = cf->nargs;
    struct wr_str v;

    while (i > 0 && !wr_param(wr_cf_arg(cf, i), name, &v))
        i--;
    return i;
}

/* Returns whether a file of the one folder might lie in the other. */
static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);

    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool check_other(struct wr_cf *cf, const struct wr_cache_zone *z,
                        const struct wr_cache_zone *o)
{
    if (wr_str_eq(o->name, z->name))
        return wr_cf_error_hint(cf, word_of(cf, "keys_zone"), "each zone has a name and a folder "
                                "of its own", "duplicate zone \"" WR_FMT "\"", WR_ARG(z->name));
    if (!z->disk || !o->disk)
        return true;
    if (strcmp(o->path, z->path) == 0)
        return wr_cf_error_hint(cf, 1, "name another folder",
                                "the folder \"%s\" belongs to the zone \"" WR_FMT "\"", z->path,
                                WR_ARG(o->name));
    if (is_below(z->path, o->path) || is_below(o->path, z->path))
        return wr_cf_error_hint(cf, 1, "name folders side by side",
                                "one of the folders \"%s\" and \"%s\" lies in the other", z->path,
                                o->path);
    return true;
}

/* Warns of what is probably not intended. */
static void warn_zone(struct wr_cf *cf, const struct wr_cache_zone *z)
{
    static const char *const of_disk[] = { "levels", "max_size", "min_free", "purger" };
    uint64_t have = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    for (size_t k = 0; !z->disk && k < WR_COUNT(of_disk); k++)
        if (word_of(cf, of_disk[k]) > 0)
            wr_cf_warn(cf, word_of(cf, of_disk[k]), "\"%s\" has no effect with disk=off",
                       of_disk[k]);
    if (z->disk && strchr(z->path, '$') != NULL)
        wr_cf_warn(cf, 1, "no variables are possible here: the folder is \"%s\"", z->path);
    if (z->keys_size > have || z->memory_size > have - z->keys_size)
        wr_cf_warn(cf, 0, "zone \"" WR_FMT "\" may take %lluM, this machine has %lluM of memory",
                   WR_ARG(z->name), ((unsigned long long)z->keys_size + z->memory_size) >> 20,
                   (unsigned long long)have >> 20);
}

static bool check_zone(struct wr_cf *cf, const struct wr_cache_zone *z)
{
    const struct wr_cache_state *state = wr_cf_state(cf, &wr_module_http_cache);

    if (word_of(cf, "keys_zone") == 1)
        return wr_cf_error_hint(cf, 1, "write the folder first: proxy_cache_path FOLDER "
                                "keys_zone=NAME:10m", "the folder is missing");
    if (z->name.n == 0)
        return wr_cf_error_hint(cf, 0, "write keys_zone=NAME:10m",
                                "\"%s\" must have \"keys_zone\" parameter", cf->row->name);
    if (!z->disk && z->memory_size == 0)
        return wr_cf_error_hint(cf, word_of(cf, "disk"), "write memory=64m",
                                "disk=off needs memory=SIZE");
    for (const struct wr_cache_zone *o = state->zones; o != NULL; o = o->next)
        if (!check_other(cf, z, o))
            return false;
    warn_zone(cf, z);
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
