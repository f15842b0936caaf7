/* open_conf: the directives about opening files: disable_symlinks, open_file_cache and related
 * ones, directio, read_ahead. open_path applies them. */
#include "open_impl.h"

static bool set_links(struct wr_cf *cf, void *conf)
{
    static const char *const modes[] = { "off", "on", "if_not_owner" };
    struct wr_open_conf *c = conf;
    uint32_t mode = UINT32_MAX;

    c->links.from = NULL;
    for (uint32_t i = 1; i <= cf->nargs; i++) {
        struct wr_str arg = wr_cf_arg(cf, i), from;
        uint32_t m = 0;

        if (wr_param(arg, "from", &from)) {
            c->links.from = wr_template_new(cf, i, from);
            if (c->links.from == NULL)
                return false;
            continue;
        }
        while (m < WR_COUNT(modes) && !wr_str_is(arg, modes[m]))
            m++;
        if (m == WR_COUNT(modes))
            return wr_cf_error(cf, i, "invalid parameter \"" WR_FMT "\"", WR_ARG(arg));
        if (mode != UINT32_MAX)
            return wr_cf_error(cf, i, "duplicate parameters \"%s " WR_FMT "\"", modes[mode],
                               WR_ARG(arg));
        mode = m;
    }
    if (mode == UINT32_MAX)
        return wr_cf_error(cf, 0, "\"disable_symlinks\" must have \"off\", \"on\" or "
                           "\"if_not_owner\" parameter");
    if (mode == WR_SYMLINKS_OFF && c->links.from != NULL)
        return wr_cf_error(cf, 0, "\"from=\" cannot be used with \"off\" parameter");
    c->links.disabled = mode;
    return true;
}

/* ---- open_file_cache ---- */

struct cache_words {
    uint64_t max, inactive_s;
    bool off;
};

static bool take_cache_word(struct wr_str arg, struct cache_words *w)
{
    struct wr_str value;

    if (wr_param(arg, "max", &value))
        return wr_str_u64(value, &w->max) && w->max > 0 && w->max <= INT32_MAX;
    if (wr_param(arg, "inactive", &value))
        return wr_parse_sec(value, &w->inactive_s);
    w->off = wr_str_is(arg, "off");
    return w->off;
}

static bool set_cache(struct wr_cf *cf, void *conf)
{
    struct wr_open_conf *c = conf;
    struct cache_words w = { .inactive_s = 60 };

    for (uint32_t i = 1; i <= cf->nargs; i++)
        if (!take_cache_word(wr_cf_arg(cf, i), &w))
            return wr_cf_error(cf, i, "invalid \"open_file_cache\" parameter \"" WR_FMT "\"",
                               WR_ARG(wr_cf_arg(cf, i)));
    c->cache = NULL;
    if (w.off)
        return true;
    if (w.max == 0)
        return wr_cf_error(cf, 0, "\"open_file_cache\" must have the \"max\" parameter");
    c->cache = wr_open_cache_new(cf->pool, (uint32_t)w.max, w.inactive_s * 1000);
    return true;
}

/* ---- directio ---- */

static bool set_directio(struct wr_cf *cf, void *conf)
{
    struct wr_open_conf *c = conf;

    if (!wr_str_is(wr_cf_arg(cf, 1), "off"))
        return wr_set_offset(cf, conf);
    c->directio = UINT64_MAX;
    return true;
}

#define ALIGNMENT_MAX (1 << 20)

/* Refuse here what the system would refuse at each read. */
static bool set_alignment(struct wr_cf *cf, void *conf)
{
    const size_t *n = WR_FIELD(cf, conf, size_t);

    if (!wr_set_size(cf, conf))
        return false;
    if (*n > ALIGNMENT_MAX || (*n & (*n - 1)) != 0)
        return wr_cf_error(cf, 1, "\"directio_alignment\" must be a power of 2, at most 1m");
    return true;
}

#define CONF struct wr_open_conf

static const struct wr_directive directives[] = {
    WR_CUSTOM("disable_symlinks", WR_L7 | WR_IN_LOCATIONS, 1, 2, set_links, "off",
              "refuses paths with symbolic links, or with links whose target has another owner"),
    WR_CUSTOM("open_file_cache", WR_L7 | WR_IN_LOCATIONS, 1, 2, set_cache, "off",
              "max=N [inactive=TIME]: a worker caches lookups of paths, and open files"),
    WR_ROW("open_file_cache_valid", WR_L7 | WR_IN_LOCATIONS, 1, 1, wr_set_sec, CONF, cache_valid_s,
           NULL, "60s", "a cached lookup is checked again after this time"),
    WR_NUM("open_file_cache_min_uses", WR_L7 | WR_IN_LOCATIONS, CONF, cache_min_uses, "1",
           "a file stays open from this use on"),
    WR_FLAG("open_file_cache_errors", WR_L7 | WR_IN_LOCATIONS, CONF, cache_errors, "off",
            "also caches that a file was not found or may not be opened"),
    WR_ROW("directio", WR_L7 | WR_IN_LOCATIONS, 1, 1, set_directio, CONF, directio, NULL, "off",
           "files of this size or more are read without the system's cache (O_DIRECT)"),
    WR_ROW("directio_alignment", WR_L7 | WR_IN_LOCATIONS, 1, 1, set_alignment, CONF,
           directio_alignment, NULL, "512",
           "alignment of such reads; 4k where the system refuses 512"),
    WR_SIZE("read_ahead", WR_L7 | WR_IN_LOCATIONS, CONF, read_ahead, "0",
            "above 0 the system reads further ahead in files (POSIX_FADV_SEQUENTIAL)"),
    { 0 }
};

struct wr_module wr_module_open_path = {
    .name = "open_path",
    .layers = WR_L7,
    .conf_size = sizeof(struct wr_open_conf),
    .ctx_size = sizeof(struct wr_open_ctx),
    .directives = directives,
};
