/* http_rows: the table of the core directives of layer 7, and the setters that only this table
 * needs. wr_module_http (in http_conf) has the table; the setters fill struct wr_http_conf. */
#include "http/http_impl.h"

#define CONF struct wr_http_conf

static bool invalid_value(struct wr_cf *cf, uint32_t i)
{
    return wr_cf_error(cf, i, "\"%s\" directive invalid value", cf->row->name);
}

/* Accepts only k and m, as wr_set_size does. */
static bool parse_size(struct wr_str s, uint64_t *out)
{
    return wr_parse_size(s, out) && s.n > 0 && wr_lower((unsigned char)s.p[s.n - 1]) != 'g';
}

static bool parse_count(struct wr_str s, uint32_t min, uint32_t *out)
{
    uint64_t v;

    if (!wr_str_u64(s, &v) || v < min || v > UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

/* ---- a number and a size ---- */

static bool take_buffers(struct wr_cf *cf, uint32_t *number, size_t *size)
{
    uint64_t bytes;

    if (!parse_count(wr_cf_arg(cf, 1), 1, number))
        return invalid_value(cf, 1);
    if (!parse_size(wr_cf_arg(cf, 2), &bytes) || bytes == 0)
        return invalid_value(cf, 2);
    *size = bytes;
    return true;
}

static bool set_large_buffers(struct wr_cf *cf, void *conf)
{
    CONF *c = conf;

    return take_buffers(cf, &c->large_buffers, &c->large_buffer);
}

static bool set_output_buffers(struct wr_cf *cf, void *conf)
{
    CONF *c = conf;
    uint32_t number = 0;
    size_t size = 0;

    if (!take_buffers(cf, &number, &size))
        return false;
    return wr_mul(number, size, &c->output_buffers) || invalid_value(cf, 1);
}

/* ---- times, rates, paths ---- */

static bool set_keepalive_timeout(struct wr_cf *cf, void *conf)
{
    CONF *c = conf;

    c->keepalive_header_s = 0;
    if (!wr_parse_msec(wr_cf_arg(cf, 1), &c->keepalive_timeout_ms))
        return invalid_value(cf, 1);
    if (cf->nargs == 2 && !wr_parse_sec(wr_cf_arg(cf, 2), &c->keepalive_header_s))
        return invalid_value(cf, 2);
    return true;
}

static bool set_body_temp_path(struct wr_cf *cf, void *conf)
{
    CONF *c = conf;

    memset(c->client_body_temp_levels, 0, sizeof(c->client_body_temp_levels));
    for (uint32_t i = 2; i <= cf->nargs; i++)
        if (!parse_count(wr_cf_arg(cf, i), 1, &c->client_body_temp_levels[i - 2])
            || c->client_body_temp_levels[i - 2] > 9)
            return invalid_value(cf, i);
    c->client_body_temp_path = wr_str_c(wr_cf_path(cf, wr_cf_arg(cf, 1), false));
    return true;
}

/* ---- the rest ---- */

static bool set_internal(struct wr_cf *cf, void *conf)
{
    CONF *c = conf;

    (void)cf;
    c->internal = true;
    return true;
}

static bool set_ignored_size(struct wr_cf *cf, void *conf)
{
    uint64_t unused;

    (void)conf;
    return parse_size(wr_cf_arg(cf, 1), &unused) || invalid_value(cf, 1);
}

static const struct wr_enum off_on_always[] = { { "off", 0 }, { "on", 1 }, { "always", 2 }, { 0 } };
static const struct wr_enum off_on_clean[] = { { "off", 0 }, { "on", 1 }, { "clean", 2 }, { 0 } };
static const struct wr_enum off_on_build[] = { { "off", 0 }, { "on", 1 }, { "build", 2 }, { 0 } };
static const struct wr_enum off_exact_before[] = {
    { "off", 0 }, { "exact", 1 }, { "before", 2 }, { 0 },
};
static const struct wr_enum disables[] = {
    { "none", WR_KA_NONE }, { "msie6", WR_KA_MSIE6 }, { "safari", WR_KA_SAFARI }, { 0 },
};

#define IGNORED_NUM(nm, wh, hl) \
    { .name = nm, .where = (wh), .min = 1, .max = 1, .set = wr_set_ignored_num, .help = (hl) }

const struct wr_directive wr_http_rows[] = {
    /* blocks, addresses and names */
    WR_CUSTOM("http", WR_LV_MAIN | WR_BLOCK, 0, 0, wr_http_set_http, NULL,
              "layer 7: requests routed by host name and path"),
    WR_CUSTOM("server", WR_L7 | WR_LV_LAYER | WR_BLOCK | WR_MULTI, 0, 0, wr_http_set_server, NULL,
              "one virtual server: its addresses, names and locations"),
    WR_CUSTOM("listen", WR_L7 | WR_LV_SERVER | WR_MULTI, 1, WR_ARGS_ANY, wr_http_set_listen, NULL,
              "address and port (or unix:path) on which the server accepts connections"),
    WR_CUSTOM("server_name", WR_L7 | WR_LV_SERVER | WR_MULTI, 1, WR_ARGS_ANY,
              wr_set_server_name, NULL,
              "hosts the server answers for: exact, *.wildcard, wildcard.*, ~regex"),
    IGNORED_NUM("server_names_hash_max_size", WR_L7 | WR_LV_LAYER,
                 "checked only: the hash of names grows by itself"),
    IGNORED_NUM("server_names_hash_bucket_size", WR_L7 | WR_LV_LAYER,
                 "checked only: the hash of names has no buckets"),
    IGNORED_NUM("variables_hash_max_size", WR_L7 | WR_LV_LAYER,
                 "checked only: variables are numbered while loading, there is no hash to size"),
    IGNORED_NUM("variables_hash_bucket_size", WR_L7 | WR_LV_LAYER,
                 "checked only: variables are numbered while loading, there is no hash to size"),
    /* the head of a request */
    WR_CUSTOM("client_header_buffer_size", WR_L7 | WR_IN_SERVERS, 1, 1, set_ignored_size, NULL,
              "checked only: heads are read into the worker's buffer"),
    WR_CUSTOM("large_client_header_buffers", WR_L7 | WR_IN_SERVERS, 2, 2, set_large_buffers, "4 8k",
              "number and size of the buffers of a large head; a line must fit into one. "
              "The default server's until the Host is read"),
    WR_MSEC("client_header_timeout", WR_L7 | WR_IN_SERVERS, CONF, client_header_timeout_ms, "60s",
            "longest wait for a whole head; the default server's value counts"),
    WR_NUM("max_headers", WR_L7 | WR_IN_SERVERS, CONF, max_headers, "1000",
           "most header fields in a request; the default server's until the Host is read"),
    WR_FLAG("ignore_invalid_headers", WR_L7 | WR_IN_SERVERS, CONF, ignore_invalid, "on",
            "fields with invalid names are left out instead of refused; the default server's "
            "until the Host is read"),
    WR_FLAG("underscores_in_headers", WR_L7 | WR_IN_SERVERS, CONF, underscores, "off",
            "underscores in field names are valid; the default server's until the Host is read"),
    WR_FLAG("merge_slashes", WR_L7 | WR_IN_SERVERS, CONF, merge_slashes, "on",
            "several slashes in a row count as one"),
    WR_CUSTOM("connection_pool_size", WR_L7 | WR_IN_SERVERS, 1, 1, set_ignored_size, NULL,
              "checked only: a connection's memory grows as it is used"),
    WR_CUSTOM("request_pool_size", WR_L7 | WR_IN_SERVERS, 1, 1, set_ignored_size, NULL,
              "checked only: a request's memory grows as it is used"),
    /* the body of a request */
    WR_ROW("client_max_body_size", WR_L7 | WR_IN_LOCATIONS, 1, 1, wr_set_offset, CONF,
           client_max_body, NULL, "1m", "largest body accepted; more gets 413; 0: no limit"),
    WR_SIZE("client_body_buffer_size", WR_L7 | WR_IN_LOCATIONS, CONF, client_body_buffer, "16k",
            "most bytes of a body in memory; the rest goes to a file"),
    WR_MSEC("client_body_timeout", WR_L7 | WR_IN_LOCATIONS, CONF, client_body_timeout_ms, "60s",
            "longest wait between two reads of a body"),
    WR_CUSTOM("client_body_temp_path", WR_L7 | WR_IN_LOCATIONS, 1, 4, set_body_temp_path,
              "\"" WR_CLIENT_BODY_TEMP_PATH "\"", "folder of files that bodies are written to"),
    WR_ENUM("client_body_in_file_only", WR_L7 | WR_IN_LOCATIONS, CONF, client_body_in_file_only,
            off_on_clean, "off",
            "always writes bodies to files, which stay (on) or go with the request (clean)"),
    WR_CUSTOM("client_body_in_single_buffer", WR_L7 | WR_IN_LOCATIONS, 1, 1, wr_set_ignored_flag,
              NULL, "checked only: $request_body is always one piece"),
    /* connections of clients */
    WR_CUSTOM("keepalive_timeout", WR_L7 | WR_IN_LOCATIONS, 1, 2, set_keepalive_timeout, "75s",
              "how long an idle connection stays open; second value: for the Keep-Alive field"),
    WR_NUM("keepalive_requests", WR_L7 | WR_IN_LOCATIONS, CONF, keepalive_requests, "1000",
           "most requests of one connection"),
    WR_MSEC("keepalive_time", WR_L7 | WR_IN_LOCATIONS, CONF, keepalive_time_ms, "1h",
            "a connection that is older is closed after its current request"),
    WR_MSEC("keepalive_min_timeout", WR_L7 | WR_IN_LOCATIONS, CONF, keepalive_min_timeout_ms, "0",
            "idle connections stay open at least this long when a worker ends"),
    WR_ROW("keepalive_disable", WR_L7 | WR_IN_LOCATIONS | WR_MULTI, 1, WR_ARGS_ANY, wr_set_mask,
           CONF, keepalive_disable, disables, "msie6", "browsers whose connections are not kept"),
    WR_ENUM("lingering_close", WR_L7 | WR_IN_LOCATIONS, CONF, lingering_close, off_on_always, "on",
            "before closing a connection reads and drops what the client still sends"),
    WR_MSEC("lingering_time", WR_L7 | WR_IN_LOCATIONS, CONF, lingering_time_ms, "30s",
            "longest time of lingering_close"),
    WR_MSEC("lingering_timeout", WR_L7 | WR_IN_LOCATIONS, CONF, lingering_timeout_ms, "5s",
            "longest wait of lingering_close for further bytes"),
    WR_FLAG("reset_timedout_connection", WR_L7 | WR_IN_LOCATIONS, CONF, reset_timedout, "off",
            "resets connections that timed out, which frees their memory at once"),
    WR_FLAG("tcp_nodelay", WR_L7 | WR_IN_LOCATIONS, CONF, tcp_nodelay, "on",
            "TCP_NODELAY on both sides"),
    WR_CUSTOM("tcp_nopush", WR_L7 | WR_IN_LOCATIONS, 1, 1, wr_set_ignored_flag, NULL,
              "checked only: a head always goes out with the beginning of its file"),
    /* replies */
    WR_MSEC("send_timeout", WR_L7 | WR_IN_LOCATIONS, CONF, send_timeout_ms, "60s",
            "longest wait between two writes of a reply"),
    WR_FLAG("sendfile", WR_L7 | WR_IN_LOCATION_IFS, CONF, sendfile, "off",
            "sends files with sendfile()"),
    WR_SIZE("sendfile_max_chunk", WR_L7 | WR_IN_LOCATIONS, CONF, sendfile_max_chunk, "2m",
            "most bytes of one sendfile() call; 0: no limit"),
    WR_CUSTOM("output_buffers", WR_L7 | WR_IN_LOCATIONS, 2, 2, set_output_buffers, "2 32k",
              "number and size of buffers; their sum is the size of one direct read (directio)"),
    WR_CUSTOM("aio", WR_L7 | WR_IN_LOCATIONS, 1, 1, wr_http_set_aio, "threads",
              "what reads files that are not in memory: threads[=POOL]; on: threads, for directio "
              "only; off: the worker, which waits"),
    WR_FLAG("aio_write", WR_L7 | WR_IN_LOCATIONS, CONF, aio_write, "off",
            "the threads of aio also write replies that wait in temp files for slow clients"),
    WR_CUSTOM("postpone_output", WR_L7 | WR_IN_LOCATIONS, 1, 1, set_ignored_size, NULL,
              "checked only: a head waits for the first bytes of the body, nothing else waits"),
    WR_AMOUNT("limit_rate", WR_L7 | WR_IN_LOCATION_IFS, CONF, limit_rate, "0",
              "bytes a second to the client, per request; 0: no limit"),
    WR_AMOUNT("limit_rate_after", WR_L7 | WR_IN_LOCATION_IFS, CONF, limit_rate_after, "0",
              "bytes that are sent before limit_rate applies"),
    WR_ENUM("server_tokens", WR_L7 | WR_IN_LOCATIONS, CONF, server_tokens, off_on_build, "on",
            "shows the version in error pages and the Server field"),
    WR_FLAG("etag", WR_L7 | WR_IN_LOCATIONS, CONF, etag, "on", "static files get an ETag field"),
    WR_ENUM("if_modified_since", WR_L7 | WR_IN_LOCATIONS, CONF, if_modified_since, off_exact_before,
            "exact", "how the time in If-Modified-Since is compared"),
    WR_NUM("max_ranges", WR_L7 | WR_IN_LOCATIONS, CONF, max_ranges, "4294967295",
           "most ranges of one request; 0: ranges are ignored"),
    WR_FLAG("absolute_redirect", WR_L7 | WR_IN_LOCATIONS, CONF, absolute_redirect, "on",
            "redirects that weir makes have scheme and host in Location"),
    WR_FLAG("port_in_redirect", WR_L7 | WR_IN_LOCATIONS, CONF, port_in_redirect, "on",
            "redirects that weir makes have the port in Location"),
    WR_FLAG("server_name_in_redirect", WR_L7 | WR_IN_LOCATIONS, CONF, server_name_in_redirect,
            "off", "redirects that weir makes take the host from server_name, not the request"),
    WR_FLAG("chunked_transfer_encoding", WR_L7 | WR_IN_LOCATIONS, CONF, chunked, "on",
            "sends replies of unknown length in chunks"),
    WR_FLAG("msie_padding", WR_L7 | WR_IN_LOCATIONS, CONF, msie_padding, "on",
            "makes error pages for old browsers longer than 512 bytes"),
    WR_FLAG("recursive_error_pages", WR_L7 | WR_IN_LOCATIONS, CONF, recursive_error_pages, "off",
            "error_page applies also to errors while another error page is made"),
    WR_FLAG("log_not_found", WR_L7 | WR_IN_LOCATIONS, CONF, log_not_found, "on",
            "logs an error for files that do not exist"),
    /* files */
    WR_CUSTOM("root", WR_L7 | WR_IN_LOCATION_IFS, 1, 1, wr_http_set_root, "html",
              "folder in which the path of a request is looked up"),
    WR_CUSTOM("alias", WR_L7 | WR_LV_LOCATION, 1, 1, wr_http_set_root, NULL,
              "folder (or file) that replaces the location's part of the path"),
    WR_CUSTOM("internal", WR_L7 | WR_LV_LOCATION, 0, 0, set_internal, NULL,
              "only for internal redirects and subrequests; others get 404"),
    WR_CUSTOM("types", WR_L7 | WR_IN_LOCATIONS | WR_DEFINE | WR_MULTI, 0, 0, wr_http_set_types,
              NULL, "content types by extension"),
    WR_STRING("default_type", WR_L7 | WR_IN_LOCATIONS, CONF, default_type, "text/plain",
              "content type of files whose extension is not in types"),
    IGNORED_NUM("types_hash_max_size", WR_L7 | WR_IN_LOCATIONS,
                "checked only: the table of types grows by itself"),
    IGNORED_NUM("types_hash_bucket_size", WR_L7 | WR_IN_LOCATIONS,
                 "checked only: the table of types has no buckets"),
    { 0 },
};
