/* proxy_rows: setters and words of WR_HTTP_PROXY_ROWS, and the check that the sizes of buffers and
 * files fit together. Proxy modules have the rows in their tables and call wr_http_proxy_finish
 * from their `finish`. */
#include "http/http.h"

const struct wr_enum wr_next_words[] = {
    { "error", WR_NEXT_ERROR },
    { "timeout", WR_NEXT_TIMEOUT },
    { "invalid_header", WR_NEXT_INVALID },
    { "non_idempotent", WR_NEXT_NON_IDEMPOTENT },
    { "http_500", WR_NEXT_500 },
    { "http_502", WR_NEXT_502 },
    { "http_503", WR_NEXT_503 },
    { "http_504", WR_NEXT_504 },
    { "http_403", WR_NEXT_403 },
    { "http_404", WR_NEXT_404 },
    { "http_429", WR_NEXT_429 },
    { "off", WR_NEXT_OFF },
    { 0 },
};
const struct wr_enum wr_ignore_words[] = {
    { "X-Accel-Redirect", WR_IGNORE_REDIRECT },
    { "X-Accel-Expires", WR_IGNORE_X_EXPIRES },
    { "X-Accel-Limit-Rate", WR_IGNORE_LIMIT_RATE },
    { "X-Accel-Buffering", WR_IGNORE_BUFFERING },
    { "X-Accel-Charset", WR_IGNORE_CHARSET },
    { "Expires", WR_IGNORE_EXPIRES },
    { "Cache-Control", WR_IGNORE_CACHE_CONTROL },
    { "Set-Cookie", WR_IGNORE_SET_COOKIE },
    { "Vary", WR_IGNORE_VARY },
    { 0 },
};

uint32_t wr_next_of_status(unsigned status)
{
    switch (status) {
    case 403:
        return WR_NEXT_403;
    case 404:
        return WR_NEXT_404;
    case 429:
        return WR_NEXT_429;
    case 500:
        return WR_NEXT_500;
    case 502:
        return WR_NEXT_502;
    case 503:
        return WR_NEXT_503;
    case 504:
        return WR_NEXT_504;
    default:
        return 0;
    }
}

static bool invalid_value(struct wr_cf *cf, uint32_t i)
{
    return wr_cf_error(cf, i, "\"%s\" directive invalid value", cf->row->name);
}

/* Accepts only k and m, as wr_set_size does. */
static bool parse_size(struct wr_str s, uint64_t *out)
{
    return wr_parse_size(s, out) && wr_lower((unsigned char)s.p[s.n - 1]) != 'g';
}

/* ---- sizes ---- */

/* The end of the directive's name selects the member; send_lowat is only checked. */
bool wr_set_proxy_size(struct wr_cf *cf, void *conf)
{
    struct wr_http_proxy_conf *c = WR_FIELD(cf, conf, struct wr_http_proxy_conf);
    struct wr_str name = wr_str_c(cf->row->name);
    uint64_t v;

    if (!parse_size(wr_cf_arg(cf, 1), &v))
        return invalid_value(cf, 1);
    if (wr_str_ends(name, WR_STR("_send_lowat"))) {
        wr_cf_warn(cf, 0, "\"%s\" is not supported, ignored", cf->row->name);
        return true;
    }
    c->sized = cf->defaulting ? NULL : cf->node;
    if (wr_str_ends(name, WR_STR("_busy_buffers_size"))) {
        c->busy = v;
        c->busy_set = true;
    } else if (wr_str_ends(name, WR_STR("_max_temp_file_size"))) {
        c->max_temp_file = v;
    } else if (wr_str_ends(name, WR_STR("_temp_file_write_size"))) {
        c->temp_write = v;
        c->temp_write_set = true;
    } else {
        c->buffer_size = v;
    }
    return true;
}

bool wr_set_proxy_buffers(struct wr_cf *cf, void *conf)
{
    struct wr_http_proxy_conf *c = WR_FIELD(cf, conf, struct wr_http_proxy_conf);
    uint64_t n, each;

    if (!wr_str_u64(wr_cf_arg(cf, 1), &n) || n == 0 || n > INT32_MAX)
        return invalid_value(cf, 1);
    if (!parse_size(wr_cf_arg(cf, 2), &each) || each == 0 || each > INT32_MAX)
        return invalid_value(cf, 2);
    c->sized = cf->defaulting ? NULL : cf->node;
    c->buffers = (uint32_t)n;
    c->buffer_each = each;
    return true;
}

bool wr_set_proxy_temp(struct wr_cf *cf, void *conf)
{
    struct wr_http_proxy_conf *c = WR_FIELD(cf, conf, struct wr_http_proxy_conf);
    uint64_t n;

    memset(c->temp_levels, 0, sizeof(c->temp_levels));
    for (uint32_t i = 2; i <= cf->nargs; i++) {
        if (!wr_str_u64(wr_cf_arg(cf, i), &n) || n == 0 || n > 9)
            return invalid_value(cf, i);
        c->temp_levels[i - 2] = (uint32_t)n;
    }
    c->temp_path = wr_str_c(wr_cf_path(cf, wr_cf_arg(cf, 1), false));
    return true;
}

#define LARGEST "the maximum of the value of \"%s_buffer_size\" and one of the \"%s_buffers\""

static bool check_sizes(struct wr_cf *cf, const struct wr_http_proxy_conf *c, const char *prefix,
                        size_t largest)
{
    const struct wr_node *n = c->sized;

    if (c->buffers < 2)
        return wr_cf_error_at(cf, n, 0, "there must be at least 2 \"%s_buffers\"", prefix);
    if (c->busy < largest)
        return wr_cf_error_at(cf, n, 0, "\"%s_busy_buffers_size\" must be equal to or greater than "
                              LARGEST, prefix, prefix, prefix);
    if (c->busy > (c->buffers - 1) * c->buffer_each)
        return wr_cf_error_at(cf, n, 0, "\"%s_busy_buffers_size\" must be less than the size of "
                              "all \"%s_buffers\" minus one buffer", prefix, prefix);
    if (c->temp_write < largest)
        return wr_cf_error_at(cf, n, 0, "\"%s_temp_file_write_size\" must be equal to or greater "
                              "than " LARGEST, prefix, prefix, prefix);
    if (c->max_temp_file > 0 && c->max_temp_file < largest)
        return wr_cf_error_at(cf, n, 0, "\"%s_max_temp_file_size\" must be equal to zero to "
                              "disable temporary files usage or must be equal to or greater "
                              "than " LARGEST, prefix, prefix, prefix);
    return true;
}

bool wr_http_proxy_finish(struct wr_cf *cf, struct wr_http_proxy_conf *c, const char *prefix)
{
    size_t largest = wr_max(c->buffer_size, c->buffer_each);

    c->buffers_total = c->buffers * c->buffer_each;
    if (!c->busy_set)
        c->busy = 2 * largest;
    if (!c->temp_write_set)
        c->temp_write = 2 * largest;
    /* Check only where one of the rows is in this block: the outer block was checked before. */
    if (c->sized == NULL || cf->node == NULL || c->sized->parent != cf->node)
        return true;
    return check_sizes(cf, c, prefix, largest);
}

void wr_http_proxy_folders(struct wr_cf *cf, const struct wr_http_proxy_conf *c)
{
    const struct wr_http_conf *http = wr_scope_conf(cf->scope, &wr_module_http);

    if (c->request_buffering || c->set_body != NULL || !c->chunked_out)
        wr_cf_temp_folder(cf, http->client_body_temp_path.p);
    if (c->max_temp_file > 0 && (c->buffering || (c->ignore & WR_IGNORE_BUFFERING) == 0))
        wr_cf_temp_folder(cf, c->temp_path.p);
}
