/* access_log_format: `log_format name [escape=...] text ...;`. A format is a list of templates, one
 * for each word, because a variable's name at the end of one word must not go on in the next. */
#include "access_log_impl.h"

struct wr_log_format {
    enum wr_escape escape;
    WR_VEC(const struct wr_template *) parts;
};

#define COMBINED                                                                   \
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent " \
    "\"$http_referer\" \"$http_user_agent\""

void wr_log_formats_init(struct wr_pool *pool, struct wr_log_formats *f)
{
    f->l4 = wr_dict_new(pool, false);
    f->l7 = wr_dict_new(pool, false);
}

static struct wr_dict *formats_here(const struct wr_cf *cf, const struct wr_log_formats *f)
{
    return cf->scope->layer == WR_L7 ? f->l7 : f->l4;
}

const struct wr_log_format *wr_log_format_find(struct wr_cf *cf, struct wr_log_formats *f,
                                               struct wr_str name)
{
    struct wr_dict *here = formats_here(cf, f);
    struct wr_log_format *found = wr_dict_get(here, name);
    const struct wr_template *combined;

    if (found != NULL || here != f->l7 || !wr_str_is(name, "combined"))
        return found;
    combined = wr_template_new(cf, 0, WR_STR(COMBINED));
    if (combined == NULL)
        return NULL;
    found = WR_NEW(cf->pool, struct wr_log_format);
    *wr_vec_push(cf->pool, &found->parts) = combined;
    (void)wr_dict_add(here, WR_STR("combined"), found);
    return found;
}

static bool parse_escape(struct wr_cf *cf, struct wr_str mode, enum wr_escape *out)
{
    if (wr_str_is(mode, "default"))
        *out = WR_ESCAPE_DEFAULT;
    else if (wr_str_is(mode, "json"))
        *out = WR_ESCAPE_JSON;
    else if (wr_str_is(mode, "none"))
        *out = WR_ESCAPE_NONE;
    else
        return wr_cf_error_hint(cf, 2, "write default, json or none",
                                "unknown log format escaping \"" WR_FMT "\"", WR_ARG(mode));
    return true;
}

bool wr_log_format_define(struct wr_cf *cf, struct wr_log_formats *f)
{
    struct wr_log_format *format = WR_NEW(cf->pool, struct wr_log_format);
    struct wr_dict *here = formats_here(cf, f);
    struct wr_str name = wr_cf_arg(cf, 1), mode;
    uint32_t word = 2;

    if (wr_dict_get(here, name) != NULL || (here == f->l7 && wr_str_is(name, "combined")))
        return wr_cf_error(cf, 1, "duplicate \"log_format\" name \"" WR_FMT "\"", WR_ARG(name));
    (void)wr_dict_add(here, name, format);
    if (wr_param(wr_cf_arg(cf, word), "escape", &mode)) {
        if (!parse_escape(cf, mode, &format->escape))
            return false;
        word++;
    }
    for (; word <= cf->nargs; word++) {
        const struct wr_template *part = wr_template_new(cf, word, wr_cf_arg(cf, word));

        if (part == NULL)
            return false;
        *wr_vec_push(cf->pool, &format->parts) = part;
    }
    return true;
}

void wr_log_format_line(struct wr_exchange *x, const struct wr_log_format *f, struct wr_text *out)
{
    for (uint32_t i = 0; i < f->parts.n; i++)
        if (!wr_template_log(x, f->parts.at[i], f->escape, out))
            return;
}
