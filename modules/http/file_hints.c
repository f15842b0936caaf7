/* file_hints: nginx's directives about how files are read that change nothing in weir: their values
 * are checked, and their help says why. */
#include "http/http.h"

extern struct wr_module wr_module_file_hints;

/* Sets a field nobody reads: the rows below have offset 0. */
#define NEEDLESS(name, setter, type)                    \
    static bool name(struct wr_cf *cf, void *conf)      \
    {                                                   \
        type unused;                                    \
                                                        \
        (void)conf;                                     \
        return setter(cf, &unused);                     \
    }
NEEDLESS(needless_flag, wr_set_flag, bool)
NEEDLESS(needless_size, wr_set_size, size_t)
NEEDLESS(needless_offset, wr_set_offset, uint64_t)
NEEDLESS(needless_sec, wr_set_sec, uint64_t)

static bool set_cache(struct wr_cf *cf, void *conf)
{
    bool has_max = false, off = false;

    (void)conf;
    for (uint32_t i = 1; i <= cf->nargs; i++) {
        struct wr_str arg = wr_cf_arg(cf, i), value;
        uint64_t n = 0;
        bool ok;

        if (wr_param(arg, "max", &value)) {
            ok = wr_str_u64(value, &n) && n > 0 && n <= INT32_MAX;
            has_max = true;
        } else if (wr_param(arg, "inactive", &value)) {
            ok = wr_parse_sec(value, &n);
        } else {
            ok = off = wr_str_is(arg, "off");
        }
        if (!ok)
            return wr_cf_error(cf, i, "invalid \"open_file_cache\" parameter \"" WR_FMT "\"",
                               WR_ARG(arg));
    }
    return has_max || off
        || wr_cf_error(cf, 0, "\"open_file_cache\" must have the \"max\" parameter");
}

static bool set_directio(struct wr_cf *cf, void *conf)
{
    return wr_str_is(wr_cf_arg(cf, 1), "off") || needless_offset(cf, conf);
}

#define SCOPES (WR_L7 | WR_SCOPES)

static const struct wr_directive directives[] = {
    WR_CUSTOM("open_file_cache", SCOPES, 1, 2, set_cache, NULL,
              "without effect: files are opened for each request"),
    WR_CUSTOM("open_file_cache_errors", SCOPES, 1, 1, needless_flag, NULL,
              "without effect: files are opened for each request"),
    WR_CUSTOM("open_file_cache_min_uses", SCOPES, 1, 1, wr_set_needless_num, NULL,
              "without effect: files are opened for each request"),
    WR_CUSTOM("open_file_cache_valid", SCOPES, 1, 1, needless_sec, NULL,
              "without effect: files are opened for each request"),
    WR_CUSTOM("aio_write", SCOPES, 1, 1, needless_flag, NULL,
              "without effect: temp files are written by the worker"),
    WR_CUSTOM("directio", SCOPES, 1, 1, set_directio, NULL,
              "without effect: files go out by sendfile, through the system's cache"),
    WR_CUSTOM("directio_alignment", SCOPES, 1, 1, needless_offset, NULL,
              "without effect: files go out by sendfile, through the system's cache"),
    WR_CUSTOM("read_ahead", SCOPES, 1, 1, needless_size, NULL,
              "without effect: the system decides how far it reads ahead"),
    { 0 }
};

struct wr_module wr_module_file_hints = {
    .name = "file_hints",
    .layers = WR_L7,
    .directives = directives,
};
